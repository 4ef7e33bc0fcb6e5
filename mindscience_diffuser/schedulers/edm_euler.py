"""Euler's method around an EDM denoiser (Karras et al., 2022, arXiv:2206.00364)."""

import numpy as np

from mindscience_diffuser.noise import churn
from mindscience_diffuser.plan import StepPlan, substituted
from mindscience_diffuser.schedulers.arguments import takes_arguments
from mindscience_diffuser.schedulers.edm import EDMScheduler


@takes_arguments(
    choices={"prediction_type": ("epsilon", "v_prediction", "sample")},
    sigma_min=0.002,
    sigma_max=80.0,
    sigma_data=0.5,
    sigma_schedule="karras",
    num_train_timesteps=1000,
    prediction_type="epsilon",
    rho=7.0,
    final_sigmas_type="zero",
)
class EDMEulerScheduler(EDMScheduler):
    """First order: ``x_next = x_hat + (sigma_next - sigma_hat) * (x_hat - D) / sigma_hat``.

    D is the denoised sample, ``"epsilon"``: ``c_skip * x_hat + c_out * F``, ``"v_prediction"``: with -c_out, and
    ``"sample"``: the output itself.

    `step` has the options `s_churn`, how much noise is added and removed again, `s_tmin` and `s_tmax`, the levels
    between which it is, and `s_noise`, its factor: ``x_hat = x + s_noise * sqrt(sigma_hat^2 - sigma^2) * z``,
    ``sigma_hat = (1 + gamma) * sigma``. As in diffusers the noise is added after the model was called;
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
        sigma, sigma_next = self.sigmas[:-1], self.sigmas[1:]
        sigma_hat = (1 + churn(sigma, len(sigma), s_churn, s_tmin, s_tmax, s_noise)) * sigma
        x_hat = {"sample": 1.0}
        if s_churn > 0:
            x_hat["noise"] = s_noise * np.sqrt(sigma_hat**2 - sigma**2)
        kept = sigma_next / sigma_hat
        return StepPlan(
            self.timesteps,
            substituted(self.clean_sample(sigma_hat), "sample", x_hat),
            {"sample": substituted({"sample": kept, "x0": 1 - kept}, "sample", x_hat)},
            limit=self.limit,
            next_level=(np.ones_like(sigma_next), sigma_next),
            input_scale=self.input_scale(sigma),
        )
