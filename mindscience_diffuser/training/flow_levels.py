"""Noise levels at which a rectified flow is trained: section 3.1 of Esser et al., 2024 (arXiv:2403.03206).

A level sigma runs from 0, the data, to 1, the noise; it is the paper's t. Every density is given by a map of a number
u that is uniform in (0, 1].
"""

import math

import numpy as np
from scipy.special import expit, ndtri

from mindscience_diffuser.noise import flow_shift
from mindscience_diffuser.validation import check_choice, check_integer, check_number

FLATTEST_MODE, STEEPEST_MODE = -1.0, 2 / (math.pi - 2)
"""Between these scales the map of the ``"mode"`` density is monotonic."""


def uniform(u):
    """Every level alike."""
    return u


def logit_normal(u, logit_mean, logit_std):
    """The level whose logit is normal: a mean below 0 favours the data, above 0 the noise."""
    return expit(logit_mean + logit_std * ndtri(u))


def mode(u, mode_scale):
    """Heavy tails: a scale above 0 favours the middle, below 0 the ends, 0 nothing."""
    return 1 - u - mode_scale * (np.cos(np.pi / 2 * u) ** 2 - 1 + u)


def cosmap(u):
    """The density 2 / (pi - 2 pi s + 2 pi s^2), at which the log-SNR is that of a cosine schedule."""
    return 1 - 1 / (np.tan(np.pi / 2 * u) + 1)


DENSITIES = {
    "uniform": (uniform, ()),
    "logit_normal": (logit_normal, ("logit_mean", "logit_std")),
    "mode": (mode, ("mode_scale",)),
    "cosmap": (cosmap, ()),
}
"""Map of u and the options that it takes, by name of the density."""


def training_sigmas(
    seed, step, batch_size, density="logit_normal", logit_mean=0.0, logit_std=1.0, mode_scale=1.29, shift=1.0
):
    """Draws the noise levels of one training batch independently.

    The draw depends on (seed, step) alone, so a resumed run goes on as if it had not been interrupted.

    Args:
        seed (int): Seed of the run, at least 0.
        step (int): Number of the training step, counted from 0.
        batch_size (int): Number of levels to draw.
        density (str): ``"uniform"``, ``"logit_normal"``, ``"mode"`` or ``"cosmap"``. Default: ``"logit_normal"``.
        logit_mean (float): Mean of the logit, for ``"logit_normal"``. Default: ``0.0``.
        logit_std (float): Standard deviation of the logit, above 0. Default: ``1.0``.
        mode_scale (float): Scale of ``"mode"``, in [-1, 2 / (pi - 2)]. Default: ``1.29``.
        shift (float): Moves the levels towards noise as in :func:`~mindscience_diffuser.noise.flow_shift`, above 0; for
            samples of another size see :func:`~mindscience_diffuser.noise.resolution_shift`. Default: ``1.0``.

    Returns:
        numpy.ndarray, float32, shape (batch_size,), in [0, 1].

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument is out of its range or `density` is unknown.
    """
    seed, step = check_integer("seed", seed, low=0), check_integer("step", step, low=0)
    check_choice("density", density, DENSITIES)
    options = {
        "logit_mean": check_number("logit_mean", logit_mean, "(-inf, inf)"),
        "logit_std": check_number("logit_std", logit_std, "(0, inf)"),
        "mode_scale": check_number("mode_scale", mode_scale, f"[{FLATTEST_MODE}, {STEEPEST_MODE}]"),
    }
    shift = check_number("shift", shift, "(0, inf)")
    level_of, names = DENSITIES[density]
    u = 1 - np.random.default_rng((seed, step)).random(check_integer("batch_size", batch_size, low=1))
    return flow_shift(level_of(u, *(options[name] for name in names)), shift).astype(np.float32)
