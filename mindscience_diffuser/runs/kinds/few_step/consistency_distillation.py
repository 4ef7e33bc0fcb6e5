"""Runs of the kind ``consistency_distillation``: a few-step student of a diffusion model."""

import functools

import numpy as np
from mindspore import Tensor

from mindscience_diffuser.guidance import DistilledGuidance
from mindscience_diffuser.runs.config.origins import located
from mindscience_diffuser.runs.data.batches import TrainingBatches
from mindscience_diffuser.runs.data.dataset import training_data
from mindscience_diffuser.runs.errors import ConfigError
from mindscience_diffuser.runs.evaluation.measuring import Measuring
from mindscience_diffuser.runs.kinds.diffusion import Diffusion
from mindscience_diffuser.runs.kinds.few_step.teacher import start_from, teacher_config, teacher_file, trained_teacher
from mindscience_diffuser.runs.kinds.models import (
    build_model,
    build_scheduler,
    setting_up,
)
from mindscience_diffuser.runs.kinds.objective import Objective
from mindscience_diffuser.runs.kinds.present import present
from mindscience_diffuser.training import ConsistencyDistillation, training_timesteps


class Distillation(Diffusion):
    """The student takes the guidance scale as one more condition; the scheduler has the timesteps of its training."""

    model_calls_guided = 1

    def unsuited(self, scheduler):
        """Returns why the scheduler does not sample from a consistency model, or None."""
        if "original_inference_steps" not in scheduler.config or getattr(scheduler, "betas", None) is None:
            return "it has no timesteps of a distillation, 'original_inference_steps', as LCMScheduler has them"
        return super().unsuited(scheduler)

    def objective(self, config):
        """Returns the Objective, see :meth:`Kind.objective`."""
        data = self.training_data(config)
        scheduler = build_scheduler(config)
        self.check_sampling(config, scheduler)
        Measuring(config, data)
        teacher = build_teacher(config, data, scheduler)
        student, target = build_model(config, data), build_model(config, data)
        start_from(student, teacher)
        training = config.training
        low, high = training.guidance_range
        if low > high:
            raise ConfigError(
                "'training.guidance_range' must be [low, high] with low not above high, but is "
                f"{training.guidance_range}",
                "training.guidance_range",
            )
        if len(data.condition_shapes) != 1:
            raise ConfigError(f"'data' must give one condition, but gives {len(data.condition_shapes)}", "data")
        with setting_up(config):
            distillation = ConsistencyDistillation(
                student,
                target,
                teacher,
                scheduler,
                Tensor(data.unconditional(teacher)[0]),
                training.distance,
                training.huber_c,
            )
        draw = functools.partial(distillation_timesteps, timesteps=distillation.timesteps)
        batches = TrainingBatches(data, training.batch_size, draw, condition_dropout=0.0, seed=config.seed)
        batches = DistillationBatches(batches, training.guidance_range)
        self.called(config, data, scheduler, student)
        return Objective(student, distillation.get_loss, batches, present, target.trainable_params(), data.facts)

    def training_data(self, config):
        """Returns the data that the student is trained on, normalised as they were for the teacher."""
        return training_data(config, teacher_file(config))

    def model_conditions(self, config, samples, conditions):
        """Returns the conditions and the guidance scale as their last one."""
        return (*conditions, np.ones(len(samples), np.float32))

    def guided(self, config, data, scheduler, model):
        """Returns the model with its guidance scale."""
        return DistilledGuidance(model, config.sampling.guidance_scale)

    def check_guidance(self, config):
        """Raises ConfigError for a guidance that the model was not distilled with."""
        for name, unused in (("guidance_rescale", 0), ("guidance_interval", None)):
            if getattr(config.sampling, name) != unused:
                raise ConfigError(
                    f"'sampling.{name}' must not be set: the model was distilled with plain guidance",
                    f"sampling.{name}",
                )


class DistillationBatches:
    """Batches of a diffusion model's training with a guidance scale for every sample.

    Args:
        batches (TrainingBatches): Give all but the scales, and the seed.
        guidance_range (Sequence[float]): The scales are uniform between these two.
    """

    def __init__(self, batches, guidance_range):
        self.batches = batches
        self.guidance_range = guidance_range

    def batch(self, step):
        """Returns the batch of the training step with this number: samples, noise, timesteps, condition, scales."""
        generator = np.random.default_rng((self.batches.seed, step, 3))
        scales = generator.uniform(*self.guidance_range, self.batches.batch_size)
        return (*self.batches.batch(step), scales.astype(np.float32))


def distillation_timesteps(seed, step, batch_size, timesteps):
    """Draws a batch of `timesteps`, each as likely as the others."""
    return timesteps[training_timesteps(seed, step, batch_size, len(timesteps))].astype(np.int32)


def build_teacher(config, data, scheduler):
    """Returns the teacher with its weights; ConfigError if the student cannot learn from it."""
    described = teacher_config(config, data, "diffusion")
    with located(described):
        teacher_scheduler = build_scheduler(described)
    same_noise = np.array_equal(scheduler.betas, getattr(teacher_scheduler, "betas", None))
    if not same_noise or scheduler.prediction_type != teacher_scheduler.prediction_type:
        raise ConfigError(
            f"'scheduler' must have the betas and the prediction_type of the teacher '{config.teacher}', which was "
            f"trained with {described.scheduler.model_dump()}",
            "scheduler",
        )
    return trained_teacher(described, data)
