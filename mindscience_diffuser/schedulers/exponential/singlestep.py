"""Singlestep methods in the log-SNR: groups of model calls that all start from one base point."""

import numpy as np

from mindscience_diffuser.schedulers.base.arguments import (
    DYNAMIC_SHIFT,
    FLOW,
    LINEAR_BETAS,
    LINSPACE,
    SIGMA_SPACINGS,
    THRESHOLDING,
)
from mindscience_diffuser.schedulers.exponential.multistep import MultistepMethod

INNER_CALLS = {
    **LINEAR_BETAS,
    "calls_per_step": 2,
    "prediction_type": "epsilon",
    "eta": 1.0,
    **THRESHOLDING,
    **SIGMA_SPACINGS,
    "use_lu_lambdas": False,
    **FLOW,
    "final_sigmas_type": "zero",
    "lambda_min_clipped": -float("inf"),
    **LINSPACE,
    "rescale_betas_zero_snr": False,
    **DYNAMIC_SHIFT,
    "sigma_schedule": None,
}
"""Arguments of schedulers with :class:`InnerCallMethod`, with their defaults."""


class SinglestepMethod(MultistepMethod):
    """The plan of groups of rows: the k-th of a group is a step of order k from where the group began."""

    skips_second = True
    """Whether the third row of a group uses the slope between the first and the third prediction alone."""

    def group_step(self, orders, tau, end=None):
        """Returns the :class:`ExponentialStep` of every row, from the base point of its group.

        Args:
            orders (numpy.ndarray): The place of each row in its group, ``(n,)``.
            tau (float): How stochastic the steps are.
            end (tuple, optional): alpha and sigma at which they end. Default: ``None``, the level of the next row.
        """
        alpha, sigma = self.levels
        base = np.arange(len(orders)) - orders + 1
        return self.step_class((alpha[base], sigma[base]), end or (alpha[1:], sigma[1:]), self.predicts_x0, tau)

    def group_plan(self, step, orders, **options):
        """Returns the plan of the steps of :meth:`group_step`; `options` are those of :meth:`multistep_plan`."""
        most = self.most_predictions
        nodes = self.past_log_snrs(most)
        weights = step.weights(nodes, orders, self.slope_rule)
        if most == 1:
            return self.multistep_plan(step, weights, **options)
        if most == 3 and self.skips_second:
            third = orders == 3
            first_and_last = step.weights(nodes[[0, 2]], np.full(len(orders), 2))
            weights[:, third] = np.insert(first_and_last, 1, 0.0, axis=0)[:, third]
        begins = (orders == 1).astype(np.float64)
        base = {"sample": begins, "base": 1 - begins}
        return self.multistep_plan(step, weights, start=base, base=base, **options)


class InnerCallMethod(SinglestepMethod):
    """Singlestep methods that call the model inside their steps, `calls_per_step` times a step, of a LogSNRScheduler.

    The calls of a step are even in lambda, from its beginning towards the level that it reaches without noise. A last
    step to sigma = 0 has one call. ``sigmas`` and ``timesteps`` have an entry for each call.
    """

    has_warmup = False
    integral = False

    def _configure(self):
        self.order = self.settings.calls_per_step
        super()._configure()

    @property
    def most_predictions(self):
        """Number of predictions that a step uses at most."""
        return self.order

    def reached_ratios(self, ratio, ratio_next):
        """Returns sigma / alpha that steps between these ratios reach before their noise: that of their end."""
        del ratio
        return ratio_next

    def places(self):
        """Returns the place of each row in its step, from 1, and the rows where its step begins and ends."""
        rows = np.arange(len(self.timesteps))
        begins = rows - rows % self.order
        return rows - begins + 1, begins, np.minimum(begins + self.order, len(rows))

    def _take_levels(self, sigmas, timesteps, final):
        super()._take_levels(sigmas, timesteps, final)
        ratio = np.divide(*self.levels[::-1])
        reached = self.reached_ratios(ratio[:-1], ratio[1:])
        shares = np.arange(1, self.order) / self.order
        inner = ratio[:-1, None] ** (1 - shares) * reached[:, None] ** shares
        called = np.append([[True]] * len(reached), inner > 0, axis=1)
        if self.flow:
            inner = inner / (1 + inner)
            told = inner * self.num_train_timesteps
        else:  # Where level_at finds these levels again.
            told = np.interp(inner, self.training_sigmas, np.arange(len(self.training_sigmas)))
        self.timesteps = np.append(self.timesteps[:, None], told, axis=1)[called].astype(np.float32)
        self.sigmas = np.append(np.append(self.sigmas[:-1, None], inner, axis=1)[called], self.sigmas[-1])
