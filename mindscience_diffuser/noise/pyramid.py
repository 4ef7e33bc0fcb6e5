"""Noise over growing resolutions: Pyramidal Flow Matching (Jin et al., 2024, arXiv:2410.05954), section 3.2.

Between two stages a sample is doubled in size, which repeats every value, and with it the noise in it, over a block of
2x2. Adding noise that is correlated *negatively* inside the blocks makes the sum white again.
"""

import math

import numpy as np

from mindscience_diffuser.noise.source import draw_noise
from mindscience_diffuser.validation import as_numbers, check_number, check_shape, check_within

LARGEST_GAMMA = 1 / 3
"""Where the covariance of a block turns singular; above it, it would have a negative eigenvalue."""


def block_noise(shape, gamma=1 / 3, generator=None):
    """Draws noise whose 2x2 blocks have the covariance (1 + gamma) I - gamma 11^T: unit variance, -gamma elsewhere.

    That matrix has the eigenvalue 1 - 3 gamma along the mean of a block and 1 + gamma across it, so white noise z
    becomes ``sqrt(1 + gamma) * (z - mean(z)) + sqrt(1 - 3 gamma) * mean(z)``, the mean taken over each block. At
    gamma = 1/3 every block sums to zero.

    Args:
        shape (Sequence[int]): ``(B, C, H, W)`` or ``(B, C, T, H, W)``, H and W even.
        gamma (float): In (0, 1/3]. Default: ``1/3``.
        generator (optional): Source of z, see :func:`~mindscience_diffuser.noise.draw_noise`: None, a
            `numpy.random.Generator`, a :class:`~mindscience_diffuser.NoiseSource`, or a list with one for each sample.

    Returns:
        numpy.ndarray, float32.

    Raises:
        TypeError: If `gamma` is no number, `shape` no sequence of integers or `generator` no source of noise.
        ValueError: If `gamma` is outside (0, 1/3], or `shape` has no blocks of 2x2.
    """
    gamma = check_gamma(gamma)
    shape = check_halvable("shape", shape)
    across, along = math.sqrt(1 + gamma), math.sqrt(max(1 - 3 * gamma, 0.0))
    noise = draw_noise(shape, generator)
    means = block_mean(noise) * np.float32(along - across)
    noise *= np.float32(across)
    rows = noise.reshape(-1, 2, shape[-1])
    rows += np.repeat(means, 2, axis=-1).reshape(-1, 1, shape[-1])
    return noise


def block_mean(x):
    """Returns the mean of every 2x2 block of the last two axes, which is bilinear interpolation to half the size.

    `x` is an array or, also inside a graph, a Tensor ``(..., H, W)`` with even H and W.
    """
    height, width = x.shape[-2:]
    rows = x.reshape((-1, 2, width))
    columns = (rows[:, 0] + rows[:, 1]).reshape((-1, 2))
    return ((columns[:, 0] + columns[:, 1]) * 0.25).reshape(x.shape[:-2] + (height // 2, width // 2))


def multi_scale_samples(samples, stages):
    """Returns `samples` at the resolution of every stage, the coarsest first; `stages` is at least 1.

    Args:
        samples (numpy.ndarray or Tensor): Finest resolution, ``(..., H, W)``, H and W multiples of 2^(stages - 1).
        stages (int): Number of resolutions; each is the bilinear half of the next.

    Returns:
        tuple of `stages` arrays or Tensors.
    """
    levels = (samples,)
    for _ in range(stages - 1):
        levels = (block_mean(levels[0]),) + levels
    return levels


def multi_scale_noise(noise, stages):
    """Returns noise at the resolution of every stage: each coarser one is the bilinear half of the finer one times 2.

    The factor keeps white noise at unit variance: the mean of four values has a quarter of their variance.

    Arguments and result are those of :func:`multi_scale_samples`.
    """
    levels = (noise,)
    for _ in range(stages - 1):
        levels = (2 * block_mean(levels[0]),) + levels
    return levels


def renoising_by_start(start, gamma=-1 / 3):
    """Where a stage must end so that the next one starts at `start`: the direction of the paper, section 3.2.2.

    Time counts from noise to data: at time t a sample is t * clean + (1 - t) * noise. `gamma` is the correlation of
    the added noise inside a block. With r = sqrt(-gamma / (1 - gamma)):

    e = s / (s + (1 - s) r),  s / e = s + (1 - s) r,  alpha = (1 - s) / sqrt(1 - gamma).

    Args:
        start (float or numpy.ndarray): s, where the next stage starts, in [0, 1].
        gamma (float): In [-1/3, 0). Default: ``-1/3``, where e = 2s / (1 + s), s / e = (1 + s) / 2 and
            alpha = sqrt(3) (1 - s) / 2.

    Returns:
        tuple (e, s / e, alpha): where the stage ends, the weight of the upsampled sample and that of the noise.

    Raises:
        TypeError: If an argument holds no numbers.
        ValueError: If `gamma` is outside [-1/3, 0), or `start` outside [0, 1].
    """
    gamma = _check_gamma(gamma, "[-1/3, 0)", -1)
    check_within("start", as_numbers("start", start), "[0, 1]")
    scale = start + (1 - start) * math.sqrt(-gamma / (1 - gamma))
    return start / scale, scale, (1 - start) / math.sqrt(1 - gamma)


def renoising_by_end(end, gamma=1 / 3):
    """Where the next stage starts after one that ended at `end`: the direction of the code of Pyramid-Flow.

    The inverse of :func:`renoising_by_start`, whose `gamma` has the opposite sign: here the correlation inside a block
    is -gamma. With r = sqrt(1 + 1 / gamma):

    alpha = s / e = 1 / (r (1 - e) + e),  s = alpha e,  beta = alpha (1 - e) / sqrt(gamma).

    Args:
        end (float or numpy.ndarray): e, where the stage ended, in [0, 1].
        gamma (float): In (0, 1/3]. Default: ``1/3``.

    Returns:
        tuple (s, alpha, beta): where the next stage starts, the weight of the upsampled sample and that of the noise.

    Raises:
        TypeError: If an argument holds no numbers.
        ValueError: If `gamma` is outside (0, 1/3], or `end` outside [0, 1].
    """
    gamma = check_gamma(gamma)
    check_within("end", as_numbers("end", end), "[0, 1]")
    alpha = 1 / (math.sqrt(1 + 1 / gamma) * (1 - end) + end)
    return alpha * end, alpha, alpha * (1 - end) / math.sqrt(gamma)


def check_gamma(gamma):
    """Returns `gamma` as float if it lies in (0, 1/3]."""
    return _check_gamma(gamma, "(0, 1/3]", 1)


def check_halvable(name, shape, halvings=1):
    """Returns the shape of samples or noise as a tuple if its height and width can be halved so many times.

    Raises:
        ValueError: If it is neither ``(B, C, H, W)`` nor ``(B, C, T, H, W)``, or H or W is no multiple.
    """
    shape = check_shape(name, shape)
    if len(shape) not in (4, 5):
        raise ValueError(f"'{name}' must be (B, C, H, W) or (B, C, T, H, W), but has {len(shape)} axes: {shape}.")
    divisor = 2**halvings
    if any(length < divisor or length % divisor for length in shape[-2:]):
        raise ValueError(f"'{name}' must end in a height and a width that are multiples of {divisor}, but is {shape}.")
    return shape


def _check_gamma(gamma, interval, sign):
    value = sign * check_number("gamma", gamma, "(-inf, inf)")
    if not 0 < value <= LARGEST_GAMMA:
        raise ValueError(
            f"'gamma' must be in {interval}, but is {gamma}: otherwise no noise can undo the correlation of a block."
        )
    return float(gamma)
