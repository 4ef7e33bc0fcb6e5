"""Runs of the kind ``mean_flow``: a flow map, of the data or of a trained flow, that samples in any number of steps."""

import functools

from mindspore import Tensor

from mindscience_diffuser.runs.data.dataset import training_data
from mindscience_diffuser.runs.errors import ConfigError
from mindscience_diffuser.runs.kinds.few_step.teacher import start_from, teacher_config, teacher_file, trained_teacher
from mindscience_diffuser.runs.kinds.kind import Kind
from mindscience_diffuser.runs.kinds.models import Prediction
from mindscience_diffuser.training import MeanFlowTrainer, training_intervals


class MeanFlow(Kind):
    """The scheduler must tell the model both ends of a step, as FlowMapEulerDiscreteScheduler does."""

    def unsuited(self, scheduler):
        """Returns why the steps are not those of a flow map, or None."""
        if hasattr(scheduler, "told"):
            return None
        return "it does not tell the model both ends of a step, as FlowMapEulerDiscreteScheduler does"

    def training_data(self, config):
        """Returns the data that the student is trained on, normalised as they were for a teacher."""
        return training_data(config, None if config.teacher is None else teacher_file(config))

    def loss(self, config, data, model, scheduler):
        """Returns the loss of a MeanFlowTrainer; with a teacher the student begins as it and follows its velocity."""
        training, teacher = config.training, None
        student = model.model if isinstance(model, Prediction) else model
        if config.teacher is not None:
            teacher = trained_teacher(teacher_config(config, data, "flow_matching"), data)
            start_from(student, teacher)
        return MeanFlowTrainer(
            model,
            scheduler.num_train_timesteps,
            training.adaptive_power,
            training.adaptive_c,
            teacher,
            guidance_scale=training.guidance_scale,
            guidance_mix=training.guidance_mix,
            guidance_interval=training.guidance_interval,
            unconditional=left_out(config, data, student if teacher is None else teacher),
        ).get_loss

    def levels(self, config, data, scheduler):
        """Returns the draw of both ends of each interval."""
        training = config.training
        return functools.partial(
            training_intervals,
            interval_share=training.interval_share,
            density=training.density,
            logit_mean=training.logit_mean,
            logit_std=training.logit_std,
            mode_scale=training.mode_scale,
            shift=training.shift,
        )


def left_out(config, data, model):
    """Returns what the model takes for no condition where its training is guided; ConfigError if it knows none."""
    training = config.training
    if training.guidance_scale == 1:
        return None
    if not data.condition_shapes:
        raise ConfigError(
            f"'training.guidance_scale' is {training.guidance_scale}, but the data give no condition to guide by: set "
            "it to 1",
            "training.guidance_scale",
        )
    if config.teacher is None and training.condition_dropout == 0:
        raise ConfigError(
            f"'training.guidance_scale' is {training.guidance_scale}, but 'training.condition_dropout' is 0, so that "
            "the model never learns what is there without a condition: set it to a share such as 0.1",
            "training.condition_dropout",
        )
    return tuple(Tensor(value) for value in data.unconditional(model))
