"""DPM-Solver++ (2S) along the reverse SDE, in the sigma form of k-diffusion (Lu et al., 2022, arXiv:2211.01095)."""

import numpy as np

from mindscience_diffuser.noise import ancestral
from mindscience_diffuser.schedulers.base.arguments import LATENT_BETAS, LINSPACE, SIGMA_SPACINGS, takes_arguments
from mindscience_diffuser.schedulers.sigma.two_call import TwoCallScheduler
from mindscience_diffuser.validation import check_number


@takes_arguments(
    **LATENT_BETAS,
    prediction_type="epsilon",
    **SIGMA_SPACINGS,
    noise_sampler_seed=None,
    **LINSPACE,
    sigma_schedule=None,
)
class DPMSolverSDEScheduler(TwoCallScheduler):
    """A midpoint method in log(sigma) whose both calls add noise of one Brownian path: 2n - 1 model calls for n steps.

    Each call is an ancestral step from the base point x at sigma, the first one to ``sigma_mid = sqrt(sigma *
    sigma_next)`` with x0 predicted at x, the second one to sigma_next with x0 predicted at x_mid. With
    ``down(s) = s^2 / sigma`` and ``up(s)^2 = s^2 - down(s)^2``::

        x_mid  = x0 + down(sigma_mid)  / sigma * (x - x0) + s_noise * up(sigma_mid)  * w1
        x_next = x0 + down(sigma_next) / sigma * (x - x0) + s_noise * up(sigma_next) * w2

    w1 and w2 are the normalised increments of a Brownian motion W over [sigma_mid, sigma] and [sigma_next, sigma]. The
    second interval holds the first one, so with independent normals z1, z2, the noise of the two rows, ``w1 = z1`` and
    ``w2 = a * z1 + b * z2``, ``a^2 = (sigma - sigma_mid) / (sigma - sigma_next)``, ``a^2 + b^2 = 1``. This has the law
    of the Brownian tree of other implementations and needs no tree.

    `step` has the option `s_noise`, a factor of the noise. `noise_sampler_seed` is the generator of a step that is
    given neither `noise` nor `generator`.

    Examples:
        >>> scheduler = DPMSolverSDEScheduler(use_karras_sigmas=True, noise_sampler_seed=0)
        >>> scheduler.set_timesteps(20)
        >>> x = noise * scheduler.init_noise_sigma
        >>> for t in scheduler.timesteps:
        ...     x = scheduler.step(model(scheduler.scale_model_input(x, t), t), x, t)
    """

    def second_level(self, sigma, sigma_next):
        """Returns the level of the second call: the geometric mean of both ends."""
        return np.sqrt(sigma * sigma_next)

    def trajectory_plan(self, s_noise=1.0):
        """Returns the plan of the chosen levels."""
        check_number("s_noise", s_noise, "[0, inf)")
        sigma, sigma_next, second = self.steps()
        sigma_down, sigma_up = ancestral(sigma, np.where(second, sigma_next, self.sigmas[1:]))
        kept, spread = sigma_down / sigma, s_noise * sigma_up
        # (sigma - sigma_mid) / (sigma - sigma_next), without the difference that may be 0.
        shared = np.where(second, np.sqrt(sigma) / (np.sqrt(sigma) + np.sqrt(sigma_next)), 0.0)
        step = {
            "sample": np.where(second, 0.0, kept),
            "base": np.where(second, kept, 0.0),
            "x0": 1 - kept,
            "first_noise": spread * np.sqrt(shared),
            "noise": spread * np.sqrt(1 - shared),
        }
        return self.two_call_plan(step, first_noise={"noise": 1.0})

    def _step_noise(self, sample, noise, generator, place=None):
        if noise is None and generator is None:
            generator = self.settings.noise_sampler_seed
        return super()._step_noise(sample, noise, generator, place)
