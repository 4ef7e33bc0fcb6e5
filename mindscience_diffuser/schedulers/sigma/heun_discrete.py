"""Heun's method along the probability-flow ODE (Karras et al., 2022, arXiv:2206.00364)."""

import numpy as np

from mindscience_diffuser.plan import linear_combination
from mindscience_diffuser.schedulers.base.arguments import LATENT_BETAS, LINSPACE, SIGMA_SPACINGS, takes_arguments
from mindscience_diffuser.schedulers.sigma.two_call import TwoCallScheduler


@takes_arguments(
    **LATENT_BETAS,
    prediction_type="epsilon",
    **SIGMA_SPACINGS,
    clip_sample=False,
    clip_sample_range=1.0,
    **LINSPACE,
    sigma_schedule=None,
)
class HeunDiscreteScheduler(TwoCallScheduler):
    """Second order, algorithm 1 of the paper: 2n - 1 model calls for n steps.

    With the slope ``d(x, sigma) = (x - x0) / sigma``::

        x'     = x + (sigma_next - sigma) * d(x, sigma)
        x_next = x + (sigma_next - sigma) * (d(x, sigma) + d(x', sigma_next)) / 2

    Examples:
        >>> scheduler = HeunDiscreteScheduler(use_karras_sigmas=True)
        >>> scheduler.set_timesteps(20)
        >>> x = noise * scheduler.init_noise_sigma
        >>> for t in scheduler.timesteps:
        ...     x = scheduler.step(model(scheduler.scale_model_input(x, t), t), x, t)
    """

    def second_level(self, sigma, sigma_next):
        """Returns the level of the second call: that of the end of the step."""
        return sigma_next

    def trajectory_plan(self):
        """Returns the plan of the chosen levels."""
        level = self.sigmas[:-1]
        sigma, sigma_next, second = self.steps()
        share = np.where(second, 0.5, 1.0)
        base = np.where(second, 1.0, 0.0)
        slope = self.noise(level) if self.limit is None else {"sample": 1 / level, "x0": -1 / level}
        step = linear_combination(
            (1.0, {"sample": 1 - base, "base": base}),
            (sigma_next - sigma, {"slope": np.where(second, 0.5, 0.0)}),
            ((sigma_next - sigma) * share, slope),
        )
        return self.two_call_plan(step, slope=slope)

    def _second_timesteps(self, levels, timesteps):
        return timesteps[1:]
