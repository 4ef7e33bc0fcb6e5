"""DPM-Solver-2 in the sigma form of k-diffusion (Lu et al., 2022, arXiv:2206.00927; Karras et al., 2022)."""

import numpy as np

from mindscience_diffuser.noise import ancestral
from mindscience_diffuser.schedulers.base.arguments import LATENT_BETAS, LINSPACE, SIGMA_SPACINGS, takes_arguments
from mindscience_diffuser.schedulers.sigma.two_call import TwoCallScheduler


@takes_arguments(
    **LATENT_BETAS,
    **SIGMA_SPACINGS,
    prediction_type="epsilon",
    **LINSPACE,
    sigma_schedule=None,
)
class KDPM2DiscreteScheduler(TwoCallScheduler):
    """Second order, a midpoint method in log(sigma): 2n - 1 model calls for n steps.

    With the slope ``d(x, sigma) = (x - x0) / sigma`` and ``sigma_mid = sqrt(sigma * sigma_next)``, algorithm 1 of Lu et
    al. with r = 1/2 for the sample divided by alpha::

        x_mid  = x + (sigma_mid - sigma) * d(x, sigma)
        x_next = x + (sigma_next - sigma) * d(x_mid, sigma_mid)

    Examples:
        >>> scheduler = KDPM2DiscreteScheduler()
        >>> scheduler.set_timesteps(20)
        >>> x = noise * scheduler.init_noise_sigma
        >>> for t in scheduler.timesteps:
        ...     x = scheduler.step(model(scheduler.scale_model_input(x, t), t), x, t)
    """

    rounded = ("karras",)

    def second_level(self, sigma, sigma_next):
        """Returns the level of the second call: the geometric mean of both ends."""
        return np.sqrt(sigma * sigma_next)

    def trajectory_plan(self):
        """Returns the plan of the chosen levels."""
        _, sigma_next, _ = self.steps()
        return self.two_call_plan(self.midpoint_step(sigma_next))


@takes_arguments(
    **LATENT_BETAS,
    **SIGMA_SPACINGS,
    prediction_type="epsilon",
    **LINSPACE,
    sigma_schedule=None,
)
class KDPM2AncestralDiscreteScheduler(TwoCallScheduler):
    """The same method as far as sigma_down, and then fresh noise: 2n - 1 model calls for n steps.

    With ``sigma_down = sigma_next^2 / sigma``, ``sigma_up^2 = sigma_next^2 - sigma_down^2`` and the midpoint
    ``sqrt(sigma * sigma_down)``, which is sigma_next::

        x_mid  = x + (sigma_next - sigma) * d(x, sigma)
        x_next = x + (sigma_down - sigma) * d(x_mid, sigma_next) + sigma_up * z

    Only second calls add noise.

    Examples:
        >>> scheduler = KDPM2AncestralDiscreteScheduler()
        >>> scheduler.set_timesteps(20)
        >>> x = noise * scheduler.init_noise_sigma
        >>> for t in scheduler.timesteps:
        ...     x = scheduler.step(model(scheduler.scale_model_input(x, t), t), x, t, generator=0)
    """

    rounded = ("karras",)

    def second_level(self, sigma, sigma_next):
        """Returns the level of the second call: the geometric mean of sigma and sigma_down."""
        return sigma_next

    def trajectory_plan(self):
        """Returns the plan of the chosen levels."""
        sigma, sigma_next, second = self.steps()
        sigma_down, sigma_up = ancestral(sigma, sigma_next)
        return self.two_call_plan({**self.midpoint_step(sigma_down), "noise": np.where(second, sigma_up, 0.0)})
