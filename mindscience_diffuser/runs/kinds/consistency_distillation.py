"""Runs of the kind ``consistency_distillation``: a few-step student of a diffusion model of digits."""

import functools

import numpy as np
from mindspore import Tensor

from mindscience_diffuser.runs.config.origins import located
from mindscience_diffuser.runs.data.batches import TrainingBatches
from mindscience_diffuser.runs.errors import ConfigError
from mindscience_diffuser.runs.kinds.build import (
    build_data,
    build_model,
    build_scheduler,
    build_trained_model,
    check_measuring,
    check_sampling,
    setting_up,
    trained_config,
)
from mindscience_diffuser.runs.kinds.objective import Objective
from mindscience_diffuser.runs.kinds.present import present_digits
from mindscience_diffuser.step import replace_value
from mindscience_diffuser.training import ConsistencyDistillation, training_timesteps

STARTING_MODEL = "PositionalConditionTransformer"
"""The model whose weights a GuidanceDiffusionTransformer starts from."""


def objective(config):
    """Returns the Objective of a ``consistency_distillation`` run."""
    data = build_data(config)
    scheduler = build_scheduler(config)
    check_sampling(config, scheduler)
    check_measuring(config, data)
    teacher = build_teacher(config, data, scheduler)
    student, target = build_model(config, data), build_model(config, data)
    start_from(student, teacher)
    training = config.training
    low, high = training.guidance_range
    if low > high:
        raise ConfigError(
            f"'training.guidance_range' must be [low, high] with low not above high, but is {training.guidance_range}",
            "training.guidance_range",
        )
    with setting_up(config):
        distillation = ConsistencyDistillation(
            student,
            target,
            teacher,
            scheduler,
            Tensor(np.zeros(data.classes, np.float32)),
            training.distance,
            training.huber_c,
        )
    batches = DistillationBatches(
        TrainingBatches(
            data,
            training.batch_size,
            functools.partial(distillation_timesteps, timesteps=distillation.timesteps),
            condition_dropout=0.0,
            seed=config.seed,
        ),
        training.guidance_range,
    )
    return Objective(student, distillation.get_loss, batches, present_digits, target.trainable_params())


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
        """Returns the batch of the training step with this number: tokens, noise, timesteps, conditions, scales."""
        generator = np.random.default_rng((self.batches.seed, step, 3))
        scales = generator.uniform(*self.guidance_range, self.batches.batch_size)
        return (*self.batches.batch(step), scales.astype(np.float32))


def distillation_timesteps(seed, step, batch_size, timesteps):
    """Draws a batch of `timesteps`, each as likely as the others."""
    return timesteps[training_timesteps(seed, step, batch_size, len(timesteps))].astype(np.int32)


def build_teacher(config, data, scheduler):
    """Returns the teacher with its weights; ConfigError if the student cannot learn from it."""
    described = trained_config(config.teacher, "teacher")
    if described.run != "diffusion":
        raise ConfigError(
            f"'teacher' must be a model of the kind 'diffusion', but '{config.teacher}' is '{described.run}'", "teacher"
        )
    if described.model.name != STARTING_MODEL:
        raise ConfigError(
            f"'teacher' must be a {STARTING_MODEL}, whose weights the student starts from, but '{config.teacher}' is a "
            f"{described.model.name}",
            "teacher",
        )
    with located(described):
        teacher_scheduler, teacher_data = build_scheduler(described), build_data(described)
    same_noise = np.array_equal(scheduler.betas, getattr(teacher_scheduler, "betas", None))
    if not same_noise or scheduler.prediction_type != teacher_scheduler.prediction_type:
        raise ConfigError(
            f"'scheduler' must have the betas and the prediction_type of the teacher '{config.teacher}', which was "
            f"trained with {described.scheduler.model_dump()}",
            "scheduler",
        )
    if (teacher_data.length, teacher_data.channels) != (data.length, data.channels):
        raise ConfigError(
            f"'data' must be that of the teacher '{config.teacher}', which was trained with "
            f"{described.data.model_dump()}",
            "data",
        )
    with located(described):
        return build_trained_model(described, data)[0]


def start_from(student, teacher):
    """Gives the student the teacher's weights; what the teacher does not have stays as it is, zero."""
    parameters = {parameter.name: parameter for parameter in student.get_parameters()}
    for weight in teacher.get_parameters():
        own = parameters.get(weight.name)
        if own is None or own.shape != weight.shape:
            raise ConfigError(
                f"'model' must have the sizes of the teacher, which has '{weight.name}' {weight.shape}", "model"
            )
        replace_value(own, Tensor(weight.asnumpy()))
