"""Ancestral sampling with DPM-Solver++ (Lu et al., 2022, arXiv:2211.01095; Song et al., 2021, arXiv:2010.02502)."""

import numpy as np

from mindscience_diffuser.noise import ancestral
from mindscience_diffuser.schedulers.base.arguments import integer, takes_arguments
from mindscience_diffuser.schedulers.exponential.log_snr import CHOICES, LogSNRScheduler
from mindscience_diffuser.schedulers.exponential.singlestep import INNER_CALLS, InnerCallMethod


@takes_arguments(
    choices={**CHOICES, "calls_per_step": integer("Number of model calls a step, the order of the method", 1, 2)},
    **INNER_CALLS,
)
class DPMSolverAncestralScheduler(InnerCallMethod, LogSNRScheduler):
    """An ODE step beyond the next level, and fresh noise back up to it: DPM++ 2S ancestral, or Euler ancestral.

    With r = sigma / alpha, each step leads from r_s to r_down by DPM-Solver++ of order `calls_per_step`, whose second
    call is at sqrt(r_s * r_down), and then to x_t by noise of the variance alpha_t^2 * (r_t^2 - r_down^2). From betas
    r_down is that of ancestral sampling::

        r_down^2 = r_t^2 - eta^2 * r_t^2 * (1 - r_t^2 / r_s^2)

    and of a rectified flow, with `use_flow_sigmas`, that of sigma_down = sigma_t * (1 + eta * (sigma_t / sigma_s - 1)).
    With eta = 0 there is no noise.

    Examples:
        >>> scheduler = DPMSolverAncestralScheduler(use_karras_sigmas=True)
        >>> scheduler.set_timesteps(10)
        >>> for t in scheduler.timesteps:
        ...     x = scheduler.step(model(x, t), x, t, generator=0)
    """

    slope_rule = "half"

    def reached_ratios(self, ratio, ratio_next):
        """Returns sigma / alpha that steps between these ratios reach before their noise."""
        if self.flow:
            sigma, sigma_next = ratio / (1 + ratio), ratio_next / (1 + ratio_next)
            down = sigma_next * (1 + self.eta * (sigma_next / sigma - 1))
            return down / (1 - down)
        down, up = ancestral(ratio, ratio_next)
        return np.sqrt(down**2 + (1 - self.eta**2) * up**2)

    def trajectory_plan(self):
        """Returns the plan of the chosen levels."""
        places, begins, ends = self.places()
        alpha, sigma = self.levels
        ratio = sigma / alpha
        reached = self.reached_ratios(ratio[begins], ratio[ends])
        last = np.arange(1, len(ends) + 1) == ends
        step = self.group_step(places, 0.0, (alpha[1:], np.where(last, alpha[ends] * reached, sigma[1:])))
        above = (ratio[ends] - reached) * (ratio[ends] + reached)
        step.noise = np.where(last, alpha[ends] * np.sqrt(np.maximum(above, 0)), 0.0)
        return self.group_plan(step, places)
