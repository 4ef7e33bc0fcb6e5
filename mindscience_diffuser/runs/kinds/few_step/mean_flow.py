"""Runs of the kind ``mean_flow``: a flow map, trained from data, that samples in any number of steps."""

import functools

from mindscience_diffuser.runs.kinds.few_step.beginning import begin_with
from mindscience_diffuser.runs.kinds.kind import Kind
from mindscience_diffuser.training import MeanFlowTrainer, training_intervals


class MeanFlow(Kind):
    """The scheduler must tell the model both ends of a step, as FlowMapEulerDiscreteScheduler does."""

    def unsuited(self, scheduler):
        """Returns why the steps are not those of a flow map, or None."""
        if hasattr(scheduler, "told"):
            return None
        return "it does not tell the model both ends of a step, as FlowMapEulerDiscreteScheduler does"

    def loss(self, config, data, model, scheduler):
        """Returns the loss of a MeanFlowTrainer; the model begins with the weights of a flow where there are some."""
        training = config.training
        begin_with(config, data, model, "flow_matching")
        return MeanFlowTrainer(
            model, scheduler.num_train_timesteps, training.adaptive_power, training.adaptive_c
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
