"""A model that predicts a Gaussian mixture perfectly, for any scheduler; and what is known of the mixture."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
from mindspore import Parameter, Tensor, nn, ops
from mindspore import dtype as mstype
from scipy.integrate import solve_ivp
from scipy.special import logsumexp

import mindscience_diffuser as md
from mindscience_diffuser.step import replace_value

MOST_ROWS = 256


def load_mixture():
    """Returns the module ``scripts/bench/mixture.py``."""
    path = Path(__file__).parents[1] / "scripts" / "bench" / "mixture.py"
    spec = importlib.util.spec_from_file_location("mixture", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["mixture"] = module
    spec.loader.exec_module(module)
    return module


mixture = load_mixture()


def mixture_of(size, spread=0.8, deviations=(0.6, 0.9)):
    """Returns a mixture of two Gaussians in `size` dimensions; without a spread their means are one."""
    means = spread * np.random.default_rng(size).standard_normal((2, size)) + 0.2
    return mixture.Mixture([0.3, 0.7], means, deviations)


def scheduled(name, steps, **options):
    """Returns a scheduler with its steps chosen."""
    scheduler = getattr(md, name)(**options)
    scheduler.set_timesteps(steps)
    return scheduler


class MixtureModel(nn.Cell):
    """E[x0 | x] of a mixture of two isotropic Gaussians, in the form that a scheduler expects; one graph for all."""

    def __init__(self, data, scheduler):
        super().__init__()
        size = data.means.shape[1]
        self.levels = Parameter(Tensor(np.zeros((MOST_ROWS, 5)), mstype.float32), name="levels", requires_grad=False)
        self.timesteps = Parameter(Tensor(np.zeros(MOST_ROWS), mstype.float32), name="told", requires_grad=False)
        self.shares = Parameter(Tensor(np.zeros(2), mstype.float32), name="shares", requires_grad=False)
        self.means = Parameter(Tensor(np.zeros((2, size)), mstype.float32), name="means", requires_grad=False)
        self.variances = Parameter(Tensor(np.zeros(2), mstype.float32), name="variances", requires_grad=False)
        self.nearest = ops.Argmin(axis=-1, output_type=mstype.int32)
        self.of(data, scheduler)

    def of(self, data, scheduler):
        """Becomes the model of other data or another scheduler, and is returned."""
        plan = scheduler.plan_for()
        missing = MOST_ROWS - len(plan)
        values = {
            "levels": np.pad(plan.level_columns()[:, :5], [(0, missing), (0, 0)]),
            "timesteps": np.pad(plan.timesteps.astype(np.float64), (0, missing), constant_values=1e9),
            "shares": np.log(data.weights),
            "means": data.means,
            "variances": data.variances,
        }
        for name, value in values.items():
            replace_value(getattr(self, name), Tensor(value, mstype.float32))
        return self

    def construct(self, u, timestep):
        told = timestep.reshape((-1, 1)).astype(mstype.float32)
        level = ops.gather(self.levels, self.nearest(ops.abs(self.timesteps - told)), 0)
        a, b, alpha, sigma, scale = ops.split(level, 1, axis=1)
        flat = u.reshape((u.shape[0], -1))
        x = flat / scale
        variances = alpha * alpha * self.variances + sigma * sigma
        centred = ops.expand_dims(x, 1) - ops.expand_dims(alpha, 1) * self.means
        distances = (centred * centred).sum(axis=-1)
        logits = self.shares - distances / (2 * variances) - x.shape[1] / 2 * ops.log(variances)
        gains = ops.expand_dims(alpha * self.variances / variances, -1)
        parts = self.means + gains * centred
        clean = (ops.expand_dims(ops.softmax(logits, 1), -1) * parts).sum(axis=1)
        return ((clean - a * flat) / b).reshape(u.shape)


def log_density(data, x, sigma):
    """Returns the logarithm of the density of data of a mixture plus noise of the deviation sigma, ``(B,)``."""
    variances = data.variances + sigma**2
    squares = ((x[:, None] - data.means) ** 2).sum(-1)
    logs = np.log(data.weights) - squares / (2 * variances) - x.shape[1] / 2 * np.log(2 * np.pi * variances)
    return logsumexp(logs, axis=1)


def lowest_sigma(scheduler):
    """Returns sigma / alpha of the lowest level above 0 of the model's calls."""
    alpha, sigma = scheduler.plan_for().level
    return min(s / a for a, s in zip(alpha, sigma) if s > 0 and a > 0)


def exact_log_likelihood(data, scheduler, x):
    """Returns the logarithm of the density that the exact flow makes of the noise that trajectories begin with.

    The ODE of y = x / alpha is solved to rounding: dy / d log(s) = y - E[x0 | y], s = sigma / alpha. Along it the
    density of the data, known at every level, changes as that of the flow does.
    """
    alpha, sigma = (level[0] for level in scheduler.plan_for().level)
    low = lowest_sigma(scheduler)
    if alpha == 0:
        return log_density(data, x, low)

    def slope(log_s, y):
        y = y.reshape(x.shape)
        return (y - data.clean_sample(y, 1.0, np.exp(log_s))).ravel()

    span = np.log(low), np.log(sigma / alpha)
    y = solve_ivp(slope, span, x.ravel(), method="DOP853", rtol=1e-7, atol=1e-7).y[:, -1].reshape(x.shape)
    std, size = scheduler.init_noise_sigma / alpha, x.shape[1]
    prior = -(y**2).sum(axis=1) / (2 * std**2) - size * np.log(np.sqrt(2 * np.pi) * std)
    return log_density(data, x, low) + prior - log_density(data, y, sigma / alpha)
