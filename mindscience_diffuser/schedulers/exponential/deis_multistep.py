"""DEIS (Zhang and Chen, 2022, arXiv:2204.13902)."""

from mindscience_diffuser.schedulers.base.arguments import (
    DYNAMIC_SHIFT,
    FLOW,
    LINEAR_BETAS,
    LINSPACE,
    SIGMA_SPACINGS,
    THRESHOLDING,
    takes_arguments,
)
from mindscience_diffuser.schedulers.exponential.log_snr import CHOICES, ETA, UP_TO_THREE, LogSNRScheduler


@takes_arguments(
    choices={**CHOICES, **UP_TO_THREE, **ETA, "algorithm_type": ("deis",), "solver_type": ("logrho",)},
    synonyms={
        "algorithm_type": {"dpmsolver": "deis", "dpmsolver++": "deis"},
        "solver_type": {"midpoint": "logrho", "heun": "logrho", "bh1": "logrho", "bh2": "logrho"},
    },
    **LINEAR_BETAS,
    solver_order=2,
    prediction_type="epsilon",
    **THRESHOLDING,
    algorithm_type="deis",
    solver_type="logrho",
    lower_order_final=True,
    **SIGMA_SPACINGS,
    **FLOW,
    **LINSPACE,
    **DYNAMIC_SHIFT,
    sigma_schedule=None,
    eta=0.0,
)
class DEISMultistepScheduler(LogSNRScheduler):
    """Exponential Adams-Bashforth in rho = sigma / alpha: tAB-DEIS of the paper with polynomials of log(rho).

    ``x_t / alpha_t = x_s / alpha_s + integral over rho in [rho_s, rho_t] of P(log(rho))`` with the polynomial P through
    the last `solver_order` predictions of the noise (section 4 of the paper; log(rho) is -lambda). Trajectories end at
    the lowest training level, spaced ones at their last level: their last step changes nothing. With `eta` above 0 the
    steps follow a reverse SDE, whose integral has the factor 1 + eta, and add noise.

    Examples:
        >>> scheduler = DEISMultistepScheduler(solver_order=3)
        >>> scheduler.set_timesteps(20)
        >>> for t in scheduler.timesteps:
        ...     x = scheduler.step(model(x, t), x, t)
    """

    predicts_x0 = False
    rounded = ("karras",)

    def trajectory_plan(self, begin=0):
        """Returns the plan of a trajectory that begins at row `begin`."""
        step = self.exponential_step()
        return self.multistep_plan(step, step.weights(self.past_log_snrs(self.most_predictions), self.orders(begin)))

    def _final(self, lowest):
        return lowest
