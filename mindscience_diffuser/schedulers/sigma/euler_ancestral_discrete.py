"""Ancestral sampling by Euler's method (Karras et al., 2022, arXiv:2206.00364; Song et al., arXiv:2010.02502)."""

from mindscience_diffuser.noise import ancestral
from mindscience_diffuser.plan import StepPlan, linear_combination
from mindscience_diffuser.schedulers.base.arguments import LINEAR_BETAS, LINSPACE, takes_arguments
from mindscience_diffuser.schedulers.sigma.solver import SolverScheduler


@takes_arguments(
    **LINEAR_BETAS,
    prediction_type="epsilon",
    **LINSPACE,
    rescale_betas_zero_snr=False,
    sigma_schedule=None,
)
class EulerAncestralDiscreteScheduler(SolverScheduler):
    """First order: an Euler step down to ``sigma_down = sigma_next^2 / sigma``, and fresh noise up to sigma_next.

    ``x_next = x + (sigma_down - sigma) * (x - x0) / sigma + sigma_up * z``, ``sigma_up^2 = sigma_next^2 -
    sigma_down^2``.

    Examples:
        >>> scheduler = EulerAncestralDiscreteScheduler()
        >>> scheduler.set_timesteps(20)
        >>> x = noise * scheduler.init_noise_sigma
        >>> for t in scheduler.timesteps:
        ...     x = scheduler.step(model(scheduler.scale_model_input(x, t), t), x, t, generator=0)
    """

    scaled = True

    def trajectory_plan(self):
        """Returns the plan of the chosen levels."""
        sigma, sigma_next = self.sigmas[:-1], self.sigmas[1:]
        sigma_down, sigma_up = ancestral(sigma, sigma_next)
        step = linear_combination((1.0, {"sample": 1.0}), (sigma_down - sigma, self.noise(sigma)))
        return StepPlan(
            self.timesteps,
            self.clean_sample(sigma),
            {"sample": {**step, "noise": sigma_up}},
            needs_fp16_gain=self.prediction_type == "sample",
            next_level=self.level(sigma_next),
            input_scale=self.input_scale(sigma),
        )
