"""DPM-Solver++(2S) with churn around an EDM denoiser: the sampler of GenCast (Price et al., 2023, arXiv:2312.15796)."""

import numpy as np

from mindscience_diffuser.schedulers.base.arguments import EDM_SCHEDULES, takes_arguments
from mindscience_diffuser.schedulers.edm.churned import ChurnedSteps
from mindscience_diffuser.schedulers.edm.edm import EDMScheduler


@takes_arguments(
    choices={**EDM_SCHEDULES, "prediction_type": ("epsilon", "v_prediction", "sample")},
    sigma_min=0.002,
    sigma_max=80.0,
    sigma_data=0.5,
    sigma_schedule="karras",
    num_train_timesteps=1000,
    prediction_type="epsilon",
    rho=7.0,
    s_churn=0.0,
    s_tmin=0.0,
    s_tmax=float("inf"),
    s_noise=1.0,
    noise_variance=1.0,
)
class EDMDPMSolverSinglestepScheduler(ChurnedSteps, EDMScheduler):
    """Second order, two model calls a step, but for a last step to sigma = 0, which has one.

    Algorithm 1 of DPM-Solver++ (Lu et al., 2022, arXiv:2211.01095) with alpha = 1 and r = 1/2, from
    ``x_hat = x + s_noise * sqrt(sigma_hat^2 - sigma^2) * z`` at ``sigma_hat = (1 + gamma) * sigma``::

        sigma_mid = sqrt(sigma_hat * sigma_next)
        x_mid  = sigma_mid  / sigma_hat * x_hat + (1 - sigma_mid  / sigma_hat) * D(x_hat; sigma_hat)
        x_next = sigma_next / sigma_hat * x_hat + (1 - sigma_next / sigma_hat) * D(x_mid; sigma_mid)

    As in :class:`EDMHeunScheduler`, the noise of churn is added at the end of the step before. The levels and the churn
    of GenCast are the preset ``"gencast"``.

    Examples:
        >>> scheduler = EDMDPMSolverSinglestepScheduler.from_preset("gencast")
        >>> scheduler.set_timesteps(20)
        >>> x = noise * scheduler.init_noise_sigma
        >>> for t in scheduler.timesteps:
        ...     x = scheduler.step(model(scheduler.scale_model_input(x, t), t), x, t, generator=0)
    """

    order = 2

    def _configure(self):
        self._churn_between("s_tmin", "s_tmax")
        super()._configure()

    @property
    def second_sigmas(self):
        """The level of each step's second call, ``(n,)``: the geometric mean of its ends."""
        return np.sqrt(self.churned_sigmas[:-1] * self.sigmas[1:])

    def updates(self, sigma_hat, sigma_next, step, corrects):
        """Returns the weights of the way to the middle, or to the end where that is 0, and of the whole step."""
        ends = corrects | (sigma_next == 0)
        kept = np.where(ends, sigma_next, self.second_sigmas[step]) / sigma_hat
        sample = {"sample": np.where(corrects, 0.0, kept), "base": np.where(corrects, kept, 0.0), "x0": 1 - kept}
        return sample, {"base": {"sample": 1.0}}
