"""Runs of the kind ``flow_matching``: a rectified flow."""

import functools
import math

import numpy as np

from mindscience_diffuser.noise import resolution_shift
from mindscience_diffuser.runs.evaluation.level_losses import LevelBins
from mindscience_diffuser.runs.kinds.frames import per_frame
from mindscience_diffuser.runs.kinds.kind import Kind
from mindscience_diffuser.training import FlowMatchingTrainer, training_sigmas

TRIED_STEPS = 4


class FlowMatching(Kind):
    """Any scheduler will do whose steps are those of a model of the velocity, see :func:`is_flow`."""

    def unsuited(self, scheduler):
        """Returns why the steps are not those of a rectified flow, or None."""
        if is_flow(scheduler):
            return None
        return (
            "its steps are not those of the velocity noise - x0 at x = (1 - sigma) * x0 + sigma * noise, as those of "
            "FlowMatchEulerDiscreteScheduler are"
        )

    def loss(self, config, data, model, scheduler):
        """Returns the losses of a FlowMatchingTrainer."""
        training = config.training
        return FlowMatchingTrainer(
            model, scheduler.num_train_timesteps, training.weighting, training.loss_type
        ).get_losses

    def levels(self, config, data, scheduler):
        """Returns the draw of levels by the density of the configuration."""
        training = config.training
        shift = training.shift
        if training.base_length is not None:
            shift *= resolution_shift(math.prod(data.grid), training.base_length)
        draw = functools.partial(
            training_sigmas,
            density=training.density,
            logit_mean=training.logit_mean,
            logit_std=training.logit_std,
            mode_scale=training.mode_scale,
            shift=shift,
        )
        return per_frame(config, data, draw)

    def level_bins(self, config, scheduler):
        """Returns bins of sigma, from the data at 0 to the noise at 1."""
        return LevelBins.between("sigma", 0, 1)


def is_flow(scheduler):
    """Returns whether the steps of a scheduler are those of a rectified flow, and its timesteps T * sigma."""
    if hasattr(scheduler, "plan_of_stages"):
        return False
    mu = {"mu": 1.0} if scheduler.config.get("use_dynamic_shifting") else {}
    try:
        scheduler.set_timesteps(TRIED_STEPS, **mu)
        a, b, alpha, sigma, scale, *_ = scheduler.plan_for().level_columns().T
    except (TypeError, ValueError):
        return False
    flow = np.stack([a - 1, b + sigma, alpha + sigma - 1, scale - 1])
    if scheduler.plan.timesteps.ndim > 1:
        return False
    told = np.abs(scheduler.timesteps - scheduler.num_train_timesteps * sigma)
    return bool(np.abs(flow).max() < 1e-6 and told.max() <= 1)
