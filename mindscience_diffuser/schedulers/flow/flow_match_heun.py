"""Heun's method along a rectified flow (Karras et al., 2022, arXiv:2206.00364, algorithm 2)."""

import numpy as np

from mindscience_diffuser.noise import churn
from mindscience_diffuser.plan import StepPlan, linear_combination
from mindscience_diffuser.schedulers.base.arguments import FLOW_CHOICES, takes_arguments
from mindscience_diffuser.schedulers.flow.flow_match import FlowMatchScheduler


@takes_arguments(choices=FLOW_CHOICES, num_train_timesteps=1000, shift=1.0, sigma_schedule=None)
class FlowMatchHeunDiscreteScheduler(FlowMatchScheduler):
    """Second order: two model calls a step, but for the last one to sigma = 0, which is an Euler step.

    The first call, at x, predicts x0 = x - sigma * v; noise then raises the ratio of noise to signal,
    sigma / (1 - sigma), by 1 + gamma to that of sigma_hat (nothing can be added to pure noise)::

        x_hat = (1 - sigma_hat) * (x / (1 - sigma) + s_noise * sqrt(ratio_hat^2 - ratio^2) * z)
        x'     = x_hat + (sigma_next - sigma_hat) * (x_hat - x0) / sigma_hat
        x_next = x_hat + (x' - x_hat) / 2 + (sigma_next - sigma_hat) / 2 * v'

    The second call gives v', at x'. So ``timesteps`` has 2n - 1 entries for n steps, and x_hat is remembered from the
    first call to the second.

    `step` has the options `s_churn`, how much noise is added and removed again, `s_tmin` and `s_tmax`, the levels
    between which it is, and `s_noise`, its factor.

    Examples:
        >>> scheduler = FlowMatchHeunDiscreteScheduler(shift=3.0)
        >>> scheduler.set_timesteps(10)
        >>> for t in scheduler.timesteps:
        ...     x = scheduler.step(model(x, t), x, t)
    """

    order = 2

    def _take_sigmas(self, sigmas, timesteps):
        repeats = np.where(np.arange(len(sigmas)) == 0, 1, 2)
        super()._take_sigmas(np.repeat(sigmas, repeats), np.repeat(timesteps, repeats))

    def trajectory_plan(self, s_churn=0.0, s_tmin=0.0, s_tmax=float("inf"), s_noise=1.0):
        """Returns the plan: a row for each model call, that of a corrector after that of its predictor."""
        count = len(self.timesteps)
        corrects = np.arange(count) % 2 == 1
        # sigmas is s0, s1, s1, s2, s2, ..., 0: the level of each call; a step leads from `sigma` to `sigma_next`.
        sigma = np.where(corrects, self.sigmas[np.maximum(np.arange(count) - 1, 0)], self.sigmas[:-1])
        sigma_next = np.where(corrects, self.sigmas[:-1], self.sigmas[1:])
        raised = 1 + churn(sigma, count, s_churn, s_tmin, s_tmax, s_noise)
        sigma_hat = raised * sigma / (1 - sigma + raised * sigma)
        signal = np.divide(1 - sigma_hat, 1 - sigma, out=np.ones_like(sigma), where=sigma < 1)
        kept, dt = sigma_next / sigma_hat, sigma_next - sigma_hat
        x_hat = {"sample": 1.0}
        if s_churn > 0:
            x_hat["sample"] = signal
            spread = np.sqrt(np.maximum(sigma_hat**2 - (signal * sigma) ** 2, 0))
            x_hat["noise"] = np.where(corrects, 0.0, s_noise * spread)
        first = linear_combination((kept, x_hat), (1 - kept, self.clean_sample(sigma)))
        second = {"sample": 0.5, "base": 0.5, "output": dt / 2}
        return StepPlan(
            self.timesteps,
            self.clean_sample(self.sigmas[:-1]),
            {
                "sample": {n: np.where(corrects, second.get(n, 0.0), first.get(n, 0.0)) for n in {**first, **second}},
                "base": x_hat,
            },
            next_level=(1 - sigma_next, sigma_next),
        )
