"""SEEDS: stochastic explicit exponential derivative-free solvers (Gonzalez et al., 2023, arXiv:2305.14267)."""

import numpy as np

from mindscience_diffuser.schedulers.base.arguments import integer, takes_arguments
from mindscience_diffuser.schedulers.exponential.exponential import sde_noise_scale
from mindscience_diffuser.schedulers.exponential.log_snr import CHOICES, ETA, LogSNRScheduler
from mindscience_diffuser.schedulers.exponential.singlestep import INNER_CALLS, InnerCallMethod


@takes_arguments(
    choices={
        **CHOICES,
        **ETA,
        "calls_per_step": integer("Number of model calls a step, the order of the method", 2, 3),
    },
    **INNER_CALLS,
)
class SEEDSScheduler(InnerCallMethod, LogSNRScheduler):
    """Exponential Runge-Kutta steps of the reverse SDE, two or three model calls a step: SEEDS-2 and SEEDS-3.

    A step of length h in lambda, from x at level s, calls the model at lambda_s + k h / `calls_per_step`, where it has
    come by the exact solution for the x0 predicted before, constant (k = 1) or linear in lambda (k = 2). With
    H = (1 + eta) h, phi_1(-H) = (1 - exp(-H)) / H and phi_2(-H) = (1 - phi_1(-H)) / H the whole step is::

        SEEDS-2: x_t = sigma_t / sigma_s * exp(-eta h) * x + alpha_t H phi_1(-H) * x0_2 + n_t
        SEEDS-3: x_t = sigma_t / sigma_s * exp(-eta h) * x + alpha_t H (phi_1 * x0_1 + 1.5 phi_2 * (x0_3 - x0_1)) + n_t

    The noise n of all calls of a step is that of one path: from one call to the next it is
    ``n' = sigma' / sigma * exp(-eta d) * n + sigma' * sqrt(1 - exp(-2 eta d)) * z`` with d the distance in lambda. The
    paper has eta = 1; with eta = 0 the steps are those of the probability-flow ODE, of order 2 and 3.

    Examples:
        >>> scheduler = SEEDSScheduler(calls_per_step=3)
        >>> scheduler.set_timesteps(10)
        >>> for t in scheduler.timesteps:
        ...     x = scheduler.step(model(x, t), x, t, generator=0)
    """

    @property
    def slope_rule(self):
        """How a slope is weighted where two predictions are used."""
        return "half" if self.order == 2 else "exact"

    def trajectory_plan(self):
        """Returns the plan of the chosen levels."""
        places, begins, _ = self.places()
        step = self.group_step(places, np.sqrt(self.eta))
        if not self.adds_noise:
            return self.group_plan(step, places)
        lambdas = self.log_snrs()
        before, after = (self.eta * (levels - lambdas[begins]) for levels in (lambdas[:-1], lambdas[1:]))
        # Of the noise of unit variance that the path has added since the step began, what is new and what is older.
        total = np.where(after > 0, sde_noise_scale(after), 1.0)
        path = {
            "noise": np.where(step.noise > 0, sde_noise_scale(after - before) / total, 0.0),
            "path": sde_noise_scale(before) * np.exp(before - after) / total,
        }
        return self.group_plan(step, places, noise=path, path=path)
