"""Runs of the kind ``consistency_tuning``: a consistency model that begins as a denoiser, trained from data alone."""

import functools

from mindscience_diffuser.runs.kinds.kind import Kind
from mindscience_diffuser.schedulers import CMStochasticIterativeScheduler
from mindscience_diffuser.training import ConsistencyTuningTrainer, tuning_levels


class ConsistencyTuning(Kind):
    """The scheduler gives the consistency function and its levels."""

    def unsuited(self, scheduler):
        """Returns why the scheduler has no consistency function of noise levels, or None."""
        if isinstance(scheduler, CMStochasticIterativeScheduler):
            return None
        return "it has no consistency function of the noise level, as CMStochasticIterativeScheduler has it"

    def loss(self, config, data, model, scheduler):
        """Returns the loss of a ConsistencyTuningTrainer."""
        return ConsistencyTuningTrainer(model, scheduler, config.training.huber_c).get_loss

    def told(self, levels):
        """Returns the higher level of each sample: the model is told one at a time."""
        return levels[:, 0]

    def levels(self, config, data, scheduler):
        """Returns the draw of both levels of each sample."""
        training, settings = config.training, scheduler.config
        return functools.partial(
            tuning_levels,
            q=training.q,
            stage_steps=training.stage_steps,
            sigma_min=settings.sigma_min,
            loc=training.sigma_loc,
            scale=training.sigma_scale,
            sigma_max=settings.sigma_max,
        )
