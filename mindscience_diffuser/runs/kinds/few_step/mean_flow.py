"""Runs of the kind ``mean_flow``: a flow map, of the data or of a trained flow, that samples in any number of steps."""

import functools

from mindscience_diffuser.runs.data.dataset import training_data
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
        if config.teacher is not None:
            teacher = trained_teacher(teacher_config(config, data, "flow_matching"), data)
            start_from(model.model if isinstance(model, Prediction) else model, teacher)
        return MeanFlowTrainer(
            model, scheduler.num_train_timesteps, training.adaptive_power, training.adaptive_c, teacher
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
