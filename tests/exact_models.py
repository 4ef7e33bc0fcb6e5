"""Models that predict a Gaussian mixture perfectly, as cells, for any scheduler; and the density of the mixture."""

import numpy as np
from mindspore import Tensor, nn, ops
from mindspore import dtype as mstype
from scipy.special import logsumexp


class MixtureModel(nn.Cell):
    """Tells a scheduler's steps E[x0 | x] of a mixture of isotropic Gaussians, in the form that they expect.

    Args:
        mixture (Mixture): The data, see ``scripts/bench/mixture.py``.
        scheduler (Scheduler): Its steps are chosen.
    """

    def __init__(self, mixture, scheduler):
        super().__init__()
        plan = scheduler.plan_for()
        columns = plan.level_columns().astype(np.float32)
        self.levels = [Tensor(columns[:, k]) for k in range(5)]
        self.timesteps = Tensor(plan.timesteps.astype(np.float32))
        self.weights = Tensor(np.log(mixture.weights), mstype.float32)
        self.means = Tensor(mixture.means, mstype.float32)
        self.variances = Tensor(mixture.variances, mstype.float32)
        self.nearest = ops.Argmin(axis=-1, output_type=mstype.int32)

    def construct(self, u, timestep):
        rows = self.nearest(ops.abs(self.timesteps - timestep.reshape((-1, 1)).astype(mstype.float32)))
        level = ()
        for column in self.levels:
            level += (ops.gather(column, rows, 0).reshape((-1, 1)),)
        a, b, alpha, sigma, scale = level
        flat = u.reshape((u.shape[0], -1))
        x = flat / scale
        variances = alpha * alpha * self.variances + sigma * sigma
        centred = ops.expand_dims(x, 1) - ops.expand_dims(alpha, 1) * self.means
        distances = (centred * centred).sum(axis=-1)
        logits = self.weights - distances / (2 * variances) - x.shape[1] / 2 * ops.log(variances)
        shares = ops.softmax(logits, 1)
        parts = self.means + ops.expand_dims(alpha * self.variances / variances, -1) * centred
        clean = (ops.expand_dims(shares, -1) * parts).sum(axis=1)
        return ((clean - a * flat) / b).reshape(u.shape)


def log_density(mixture, x, sigma):
    """Returns the logarithm of the density of data of a mixture plus noise of the deviation sigma, ``(B,)``."""
    variances = mixture.variances + sigma**2
    squares = ((x[:, None] - mixture.means) ** 2).sum(-1)
    logs = np.log(mixture.weights) - squares / (2 * variances) - x.shape[1] / 2 * np.log(2 * np.pi * variances)
    return logsumexp(logs, axis=1)
