"""Euler's method with an estimated gradient (Permenter and Yuan, 2023, arXiv:2306.04848)."""

import numpy as np

from mindscience_diffuser.plan import StepPlan, linear_combination
from mindscience_diffuser.schedulers.base.arguments import (
    LINEAR_BETAS,
    LINSPACE,
    SIGMA_SPACINGS,
    number,
    takes_arguments,
)
from mindscience_diffuser.schedulers.sigma.solver import SolverScheduler


@takes_arguments(
    choices={"gamma": number("How far the noise is extrapolated, 1 is Euler's method", "[1, 5]")},
    **LINEAR_BETAS,
    **SIGMA_SPACINGS,
    prediction_type="epsilon",
    gamma=2.0,
    **LINSPACE,
    rescale_betas_zero_snr=False,
    sigma_schedule=None,
)
class GradientEstimationScheduler(SolverScheduler):
    """First order, one model call a step, algorithm 2 of the paper: the noise is extrapolated from the step before.

    ``x_next = x + (sigma_next - sigma) * (gamma * noise + (1 - gamma) * noise_before)``; the first step of a trajectory
    is Euler's.

    Examples:
        >>> scheduler = GradientEstimationScheduler(use_karras_sigmas=True)
        >>> scheduler.set_timesteps(20)
        >>> x = noise * scheduler.init_noise_sigma
        >>> for t in scheduler.timesteps:
        ...     x = scheduler.step(model(scheduler.scale_model_input(x, t), t), x, t)
    """

    scaled = True
    has_warmup = True

    def trajectory_plan(self, begin=0):
        """Returns the plan of the chosen levels, for trajectories that begin with row `begin`."""
        sigma, sigma_next = self.sigmas[:-1], self.sigmas[1:]
        gamma = np.where(np.arange(len(sigma)) > begin, self.settings.gamma, 1.0)
        noise = self.noise(sigma)
        slope = linear_combination((gamma, noise), (1 - gamma, {"last_noise": 1.0}))
        return StepPlan(
            self.timesteps,
            self.clean_sample(sigma),
            {"sample": linear_combination((1.0, {"sample": 1.0}), (sigma_next - sigma, slope)), "last_noise": noise},
            needs_fp16_gain=True,
            next_level=self.level(sigma_next),
            input_scale=self.input_scale(sigma),
        )
