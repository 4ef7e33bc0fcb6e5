"""Resizing of samples: every mode is a matrix for each axis, computed in float64."""

import numpy as np
from mindspore import Tensor, ops

CUBIC = -0.75
"""Parameter of Keys' cubic convolution kernel (Keys, 1981, eq. (4)), as image libraries choose it."""

RANKS = {"linear": 3, "bilinear": 4, "bicubic": 4, "trilinear": 5}


def _cubic(distance):
    """Keys' kernel at distances in [0, 2]."""
    near = ((CUBIC + 2) * distance - (CUBIC + 3)) * distance**2 + 1
    far = CUBIC * (((distance - 5) * distance + 8) * distance - 4)
    return np.where(distance <= 1, near, far)


def resize_matrix(mode, source, target):
    """Returns the matrix that resizes one axis, float64, ``(target, source)``; pixels are areas, not points."""
    matrix = np.zeros((target, source))
    rows, scale = np.arange(target), source / target
    if mode == "area":
        for row in rows:
            first, last = row * source // target, -(-(row + 1) * source // target)
            matrix[row, first:last] = 1 / (last - first)
        return matrix
    if mode.startswith("nearest"):
        columns = rows * scale if mode == "nearest" else (rows + 0.5) * scale
        matrix[rows, np.minimum(columns.astype(np.int64), source - 1)] = 1
        return matrix
    centre = (rows + 0.5) * scale - 0.5
    if mode != "bicubic":
        centre = np.maximum(centre, 0)
    lower = np.floor(centre).astype(np.int64)
    for offset in (-1, 0, 1, 2) if mode == "bicubic" else (0, 1):
        distance = np.abs(centre - lower - offset)
        weights = _cubic(distance) if mode == "bicubic" else 1 - distance
        np.add.at(matrix, (rows, np.clip(lower + offset, 0, source - 1)), weights)
    return matrix


def resize(x, size, mode):
    """Resizes a sample ``(B, C, ...)`` to `size`, the lengths of its last axes; the mode's name may set its rank.

    Raises:
        ValueError: If the mode is for another rank.
    """
    if x.ndim != RANKS.get(mode, x.ndim):
        raise ValueError(
            f"'upscale_mode' is {mode!r}, for samples of rank {RANKS[mode]}, but the sample has shape {x.shape}."
        )
    for axis, (source, target) in enumerate(zip(x.shape[2:], size), start=2):
        if source != target:
            matrix = Tensor(resize_matrix(mode, source, target).T, x.dtype)
            x = ops.matmul(x.swapaxes(axis, -1), matrix).swapaxes(axis, -1)
    return x.contiguous()


def double(x):
    """Returns `x` (..., H, W) with every value repeated over a block of 2x2: nearest upsampling, also in a graph."""
    height, width = x.shape[-2:]
    blocks = ops.broadcast_to(x.reshape((-1, height, 1, width, 1)), (-1, height, 2, width, 2))
    return blocks.reshape(x.shape[:-2] + (2 * height, 2 * width))
