"""SA-Solver: stochastic Adams methods (Xue et al., 2023, arXiv:2309.05019)."""

from dataclasses import replace

import numpy as np

from mindscience_diffuser.schedulers.base.arguments import (
    FLOW,
    LINEAR_BETAS,
    LINSPACE,
    SIGMA_SPACINGS,
    THRESHOLDING,
    takes_arguments,
)
from mindscience_diffuser.schedulers.exponential.log_snr import CHOICES, LogSNRScheduler
from mindscience_diffuser.schedulers.exponential.predictor_corrector import PredictorCorrectorMethod
from mindscience_diffuser.validation import check_number


@takes_arguments(
    choices={**CHOICES, "algorithm_type": ("data_prediction", "noise_prediction")},
    **LINEAR_BETAS,
    predictor_order=2,
    corrector_order=2,
    prediction_type="epsilon",
    tau_func=None,
    **THRESHOLDING,
    algorithm_type="data_prediction",
    lower_order_final=True,
    **SIGMA_SPACINGS,
    **FLOW,
    lambda_min_clipped=-float("inf"),
    variance_type=None,
    **LINSPACE,
    sigma_schedule=None,
)
class SASolverScheduler(PredictorCorrectorMethod, LogSNRScheduler):
    """Predictor and corrector of the reverse SDE whose stochasticity tau is a function of the timestep.

    ``x_t = sigma_t / sigma_s * exp(-tau^2 h) * x_s + sum(b_k * x0_k) + sigma_t * sqrt(1 - exp(-2 tau^2 h)) * z`` with
    ``b_k = (1 + tau^2) * sigma_t * integral of exp(-tau^2 lambda_t + (1 + tau^2) lambda) * l_k(lambda)``, eqs. (14) and
    (15) of the paper, and the Lagrange polynomials l_k of the last predictions, for the corrector (eq. (17)) also of
    that at level t. `tau_func` takes a timestep; without it tau is 1 in [200, 800] and 0 elsewhere. With
    ``"data_prediction"`` and two predictions the slope has the weight of section B.5. Trajectories end at the
    lowest training level, spaced ones at their last level: their last step changes nothing.

    Examples:
        >>> scheduler = SASolverScheduler(predictor_order=3, corrector_order=4, tau_func=lambda t: 0.8)
        >>> scheduler.set_timesteps(20)
        >>> for t in scheduler.timesteps:
        ...     x = scheduler.step(model(x, t), x, t, generator=0)
    """

    rounded = ("karras",)
    adds_noise = True

    @property
    def predicts_x0(self):
        """Whether predictions are of x0, else of the noise."""
        return self.settings.algorithm_type == "data_prediction"

    @property
    def most_predictions(self):
        """Number of predictions that the predictor uses at most."""
        return self.settings.predictor_order

    @property
    def most_corrector_predictions(self):
        """Number of predictions that the corrector uses at most."""
        return self.settings.corrector_order

    @property
    def tau_func(self):
        """The function of the timestep that gives tau."""
        return self.settings.tau_func or (lambda t: 1 if 200 <= t <= 800 else 0)

    def tau(self):
        """Returns tau of each step, shape ``(n,)``."""
        timesteps = self.timesteps.tolist()
        return np.array([check_number(f"tau_func({t})", self.tau_func(t), "[0, inf)") for t in timesteps])

    @property
    def slope_rule(self):
        """How a slope is weighted where two predictions are used."""
        return "last" if self.predicts_x0 else "exact"

    def trajectory_plan(self, begin=0):
        """Returns the plan of a trajectory that begins at row `begin`."""
        rows = np.arange(len(self.timesteps))
        orders = self.rising_orders(begin)
        corrector_orders = np.clip(rows - begin + 2, 1, self.most_corrector_predictions)
        if self.settings.lower_order_final:
            left = rows[::-1] + 1
            orders, corrector_orders = np.minimum(orders, left), np.minimum(corrector_orders, left + 1)
        step = self.exponential_step(self.tau())
        plan = self.predictor_corrector_plan(step, orders, corrector_orders, rows > begin)
        return replace(plan, always_draws=True)  # As the original code, so that its seeds give the same samples.

    def _final(self, lowest):
        return lowest
