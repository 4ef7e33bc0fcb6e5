"""Euler's method around an EDM denoiser (Karras et al., 2022, arXiv:2206.00364)."""

from mindscience_diffuser.schedulers.base.arguments import EDM_SCHEDULES, takes_arguments
from mindscience_diffuser.schedulers.edm.edm import EDMScheduler
from mindscience_diffuser.schedulers.sigma.churn import churned_euler_plan


@takes_arguments(
    choices={**EDM_SCHEDULES, "prediction_type": ("epsilon", "v_prediction", "sample")},
    sigma_min=0.002,
    sigma_max=80.0,
    sigma_data=0.5,
    sigma_schedule="karras",
    num_train_timesteps=1000,
    prediction_type="epsilon",
    rho=7.0,
    final_sigmas_type="zero",
    noise_variance=1.0,
)
class EDMEulerScheduler(EDMScheduler):
    """First order: ``x_next = D + sigma_next / sigma_hat * (x_hat - D)``, D the denoised sample.

    `step` has the options `s_churn`, how much noise is added and removed again, `s_tmin` and `s_tmax`, the levels
    between which it is, and `s_noise`, its factor: ``x_hat = x + s_noise * sqrt(sigma_hat^2 - sigma^2) * z``,
    ``sigma_hat = (1 + gamma) * sigma``. D is that of x, where the model was called: the noise is added after it.
    :class:`EDMHeunScheduler` adds it before, as the paper does.

    Examples:
        >>> scheduler = EDMEulerScheduler()
        >>> scheduler.set_timesteps(20)
        >>> x = noise * scheduler.init_noise_sigma
        >>> for t in scheduler.timesteps:
        ...     x = scheduler.step(model(scheduler.scale_model_input(x, t), t), x, t)
    """

    def trajectory_plan(self, s_churn=0.0, s_tmin=0.0, s_tmax=float("inf"), s_noise=1.0):
        """Returns the plan of the chosen levels."""
        return churned_euler_plan(self, s_churn, s_tmin, s_tmax, s_noise)
