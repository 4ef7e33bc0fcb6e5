"""DPM-Solver run towards noise: the inversion of a sample (Lu et al., 2022, arXiv:2211.01095)."""

import numpy as np

from mindscience_diffuser.noise import AYS_SIGMAS, RATIO_SCHEDULES
from mindscience_diffuser.schedulers.base.arguments import (
    ARGUMENTS,
    FLOW,
    LINEAR_BETAS,
    LINSPACE,
    SIGMA_SPACINGS,
    THRESHOLDING,
    choice,
    optional,
    takes_arguments,
)
from mindscience_diffuser.schedulers.exponential.dpmsolver_multistep import DPM_CHOICES, SYNONYMS, DPMSolverFromBetas
from mindscience_diffuser.schedulers.exponential.log_snr import LogSNRScheduler

TO_THE_LOWEST = [name for name in RATIO_SCHEDULES if name not in AYS_SIGMAS]
"""Schedules whose last call is at the lowest level, so that an inversion can begin there."""


@takes_arguments(
    choices={
        **DPM_CHOICES,
        "algorithm_type": ("dpmsolver", "dpmsolver++"),
        "sigma_schedule": optional(choice(ARGUMENTS["sigma_schedule"].text, *TO_THE_LOWEST)),
    },
    synonyms=SYNONYMS,
    **LINEAR_BETAS,
    solver_order=2,
    prediction_type="epsilon",
    **THRESHOLDING,
    algorithm_type="dpmsolver++",
    solver_type="midpoint",
    lower_order_final=True,
    euler_at_final=False,
    **SIGMA_SPACINGS,
    **FLOW,
    lambda_min_clipped=-float("inf"),
    variance_type=None,
    **LINSPACE,
    sigma_schedule=None,
)
class DPMSolverMultistepInverseScheduler(DPMSolverFromBetas, LogSNRScheduler):
    """The steps of :class:`DPMSolverMultistepScheduler` along ascending levels, from a sample to its noise.

    There is no inversion of the reverse SDE, so that `algorithm_type` is one of the two that follow the ODE. A grid
    whose rounded timesteps repeat has fewer steps than asked for.

    Examples:
        >>> scheduler = DPMSolverMultistepInverseScheduler()
        >>> scheduler.set_timesteps(20)
        >>> for t in scheduler.timesteps:
        ...     x = scheduler.step(model(x, t), x, t)
    """

    inverts = True

    def set_timesteps(self, num_inference_steps):
        """Chooses the levels of the following trajectory; takes effect in compiled graphs too.

        Args:
            num_inference_steps (int): Number n of steps, in [1, T].

        Raises:
            TypeError: If it is not an integer.
            ValueError: If it is out of range.
        """
        super().set_timesteps(num_inference_steps)

    def grid_size(self, count):
        """Returns the number of timesteps of a grid: one more than there are steps, the end of the trajectory."""
        return count + 1

    def _grid(self, count):
        return np.unique(self._points(count)[::-1][:count])

    def _take_levels(self, sigmas, timesteps, final):
        if self.flow or self.spacing is not None:
            final = sigmas.max()
        else:
            final = self.training_sigmas[self.num_train_timesteps - 1 - self._clipped()]
        super()._take_levels(np.sort(sigmas), np.sort(timesteps), final)
