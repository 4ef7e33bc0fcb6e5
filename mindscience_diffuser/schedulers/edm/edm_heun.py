"""Algorithm 2 of EDM: Heun's method with churn (Karras et al., 2022, arXiv:2206.00364)."""

import numpy as np

from mindscience_diffuser.schedulers.base.arguments import EDM_SCHEDULES, takes_arguments
from mindscience_diffuser.schedulers.edm.churned import ChurnedSteps
from mindscience_diffuser.schedulers.edm.edm import EDMScheduler
from mindscience_diffuser.validation import check_integer


@takes_arguments(
    choices={**EDM_SCHEDULES, "prediction_type": ("epsilon", "v_prediction", "sample")},
    sigma_min=0.002,
    sigma_max=80.0,
    sigma_data=0.5,
    sigma_offset_noise=0.0,
    sigma_schedule="karras",
    num_train_timesteps=1000,
    prediction_type="epsilon",
    rho=7.0,
    solver_order=2,
    s_churn=0.0,
    s_tmin=0.0,
    s_tmax=float("inf"),
    s_noise=1.0,
    call_at_sigma_hat=True,
    quantize=False,
    noise_variance=1.0,
)
class EDMHeunScheduler(ChurnedSteps, EDMScheduler):
    """Second order, two model calls a step, but for a last step to sigma = 0, which has one.

    With ``x_hat = x + s_noise * sqrt(sigma_hat^2 - sigma^2) * z`` at ``sigma_hat = (1 + gamma) * sigma``::

        d      = (x_hat - D(x_hat; sigma_hat)) / sigma_hat
        x'     = x_hat + (sigma_next - sigma_hat) * d
        d'     = (x' - D(x'; sigma_next)) / sigma_next
        x_next = x_hat + (sigma_next - sigma_hat) * (d + d') / 2

    `solver_order` 1 ends with x'. The noise of churn is added at the end of the step before: the sample that `step`
    returns is already x_hat of the next step, and a trajectory begins with noise of standard deviation
    `init_noise_sigma`, x_hat of the first. `sigmas` are the levels before churn, ``(n + 1,)``; `timesteps` has an entry
    for each model call.

    Examples:
        >>> scheduler = EDMHeunScheduler(s_churn=40.0, s_tmin=0.05, s_tmax=50.0, s_noise=1.003)
        >>> scheduler.set_timesteps(18)
        >>> x = noise * scheduler.init_noise_sigma
        >>> for t in scheduler.timesteps:
        ...     x = scheduler.step(model(scheduler.scale_model_input(x, t), t), x, t, generator=0)
    """

    def _configure(self):
        self.order = check_integer("solver_order", self.settings.solver_order, low=1, high=2)
        self._churn_between("s_tmin", "s_tmax")
        super()._configure()

    def call_levels(self):
        """Returns the level that the model is told in each row of the plan."""
        told_hat = self.settings.get("call_at_sigma_hat", True)
        return self._by_call(self.churned_sigmas if told_hat else self.sigmas, self.second_sigmas)

    def updates(self, sigma_hat, sigma_next, step, corrects):
        """Returns the weights of Euler's predictor and of Heun's corrector."""
        kept = sigma_next / sigma_hat
        if self.order == 1:
            return {"sample": kept, "x0": 1 - kept}, {}
        # Half the step by the slope at x', which is (x' - x0) / sigma_next; x' itself holds that at x_hat.
        half = 0.5 * (1 - np.divide(sigma_hat, sigma_next, out=np.ones_like(kept), where=corrects))
        sample = {
            "sample": np.where(corrects, 0.5 + half, kept),
            "base": np.where(corrects, 0.5, 0.0),
            "x0": np.where(corrects, -half, 1 - kept),
        }
        return sample, {"base": {"sample": 1.0}}
