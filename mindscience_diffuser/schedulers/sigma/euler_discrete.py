"""Euler's method along the probability-flow ODE (Karras et al., 2022, arXiv:2206.00364)."""

import numpy as np

from mindscience_diffuser.schedulers.base.arguments import LINEAR_BETAS, SIGMA_SPACINGS, takes_arguments
from mindscience_diffuser.schedulers.sigma.churn import churned_euler_plan
from mindscience_diffuser.schedulers.sigma.solver import SolverScheduler


@takes_arguments(
    **LINEAR_BETAS,
    prediction_type="epsilon",
    interpolation_type="linear",
    **SIGMA_SPACINGS,
    sigma_min=None,
    sigma_max=None,
    timestep_spacing="linspace",
    timestep_type="discrete",
    steps_offset=0,
    rescale_betas_zero_snr=False,
    final_sigmas_type="zero",
    sigma_schedule=None,
)
class EulerDiscreteScheduler(SolverScheduler):
    """First order, algorithm 2 of the paper without its correction: from x to x_hat, which has more noise, and down.

    ``x_hat = x + s_noise * sqrt(sigma_hat^2 - sigma^2) * z``, ``sigma_hat = (1 + gamma) * sigma``,
    ``x_next = x0 + sigma_next / sigma_hat * (x_hat - x0)``, where x0 is predicted from x: the model was called there.

    `step` has the options `s_churn`, how much noise is added and removed again, `s_tmin` and `s_tmax`, the levels
    between which it is, and `s_noise`, its factor.

    Examples:
        >>> scheduler = EulerDiscreteScheduler(use_karras_sigmas=True)
        >>> scheduler.set_timesteps(20)
        >>> x = noise * scheduler.init_noise_sigma
        >>> for t in scheduler.timesteps:
        ...     x = scheduler.step(model(scheduler.scale_model_input(x, t), t), x, t)
    """

    scaled = True

    def trajectory_plan(self, s_churn=0.0, s_tmin=0.0, s_tmax=float("inf"), s_noise=1.0):
        """Returns the plan of the chosen levels."""
        return churned_euler_plan(self, s_churn, s_tmin, s_tmax, s_noise)

    def _interpolated(self, timesteps):
        if self.settings.interpolation_type == "linear":
            return super()._interpolated(timesteps)
        ends = np.log(self.training_sigmas[[-1, 0]])
        return np.exp(np.linspace(*ends, len(timesteps) + 1))[:-1]

    def _final(self, lowest):
        if self.settings.interpolation_type == "log_linear" and self.spacing is None:
            return self.training_sigmas[0]
        return super()._final(self.training_sigmas[0])

    def _take_levels(self, sigmas, timesteps, final):
        if self.settings.timestep_type == "continuous" and self.prediction_type == "v_prediction":
            timesteps = np.log(sigmas) / 4
        super()._take_levels(sigmas, timesteps, final)
