"""The sampler of AlphaFold 3 (Abramson et al., 2024, supplement, algorithm 18)."""

from mindscience_diffuser.noise import SIGMA_SCHEDULES
from mindscience_diffuser.schedulers.base.arguments import takes_arguments
from mindscience_diffuser.schedulers.edm.churned import ChurnedSteps
from mindscience_diffuser.schedulers.edm.edm import EDMScheduler


@takes_arguments(
    choices={"prediction_type": ("epsilon", "sample")},
    sigma_min=0.0064,
    sigma_max=2560.0,
    sigma_data=16.0,
    num_train_timesteps=1000,
    prediction_type="sample",
    rho=7.0,
    gamma_0=0.8,
    gamma_min=1.0,
    noise_scale=1.003,
    step_scale=1.5,
)
class AlphaFold3Scheduler(ChurnedSteps, EDMScheduler):
    """Euler's method with much churn and steps that are too long on purpose, one model call each.

    With ``sigma_hat = (1 + gamma) * sigma``, gamma = `gamma_0` where sigma_next > `gamma_min` and 0 elsewhere, and
    ``x_hat = x + noise_scale * sqrt(sigma_hat^2 - sigma^2) * z``::

        x_next = x_hat + step_scale * (sigma_next - sigma_hat) * (x_hat - D(x_hat; sigma_hat)) / sigma_hat

    `step_scale` above 1 makes samples sharper and less varied than the data; 1 without churn is
    :class:`EDMEulerScheduler`. The levels are those of Karras et al., 2022, in units of length (angstrom there), from
    `sigma_max` to `sigma_min`, at which a trajectory ends. The noise of churn is added at the end of the step before,
    as in :class:`EDMHeunScheduler`.

    Examples:
        >>> scheduler = AlphaFold3Scheduler(step_scale=1.638)
        >>> scheduler.set_timesteps(200)
        >>> x = noise * scheduler.init_noise_sigma
        >>> for t in scheduler.timesteps:
        ...     x = scheduler.step(model(scheduler.scale_model_input(x, t), t), x, t, generator=0)
    """

    order = 1

    @property
    def churns(self):
        """Whether noise is added at all, at any levels."""
        return self.settings.gamma_0 > 0

    @property
    def churn_rates(self):
        """How far churn raises the level of each step, by the level at which it ends, ``(n,)``."""
        return self.settings.gamma_0 * (self.sigmas[1:] > self.settings.gamma_min)

    @property
    def churn_factor(self):
        """Factor of the noise of churn."""
        return self.settings.noise_scale

    def updates(self, sigma_hat, sigma_next, step, corrects):
        """Returns the weights of a step of Euler's method, `step_scale` times as long."""
        part = self.settings.step_scale * (1 - sigma_next / sigma_hat)
        return {"sample": 1 - part, "x0": part}, {}

    def _spaced(self, count):
        """Returns the levels of `count` steps, the last of which ends at the lowest one."""
        config = self.settings
        return SIGMA_SCHEDULES["karras"](config.sigma_max, config.sigma_min, count + 1, rho=config.rho)
