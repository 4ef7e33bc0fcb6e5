"""How alike the patterns of two fields are."""

import numpy as np


def pattern_correlation(fields, truth, axes=2, weights=1.0):
    """Pattern correlation of fields, their means taken off.

    Args:
        fields (numpy.ndarray): Shape ``(..., *grid)``.
        truth (numpy.ndarray): The same.
        axes (int): Axes of the grid, the last ones. Default: ``2``.
        weights (numpy.ndarray): Areas of the cells, of mean 1, shape ``(*grid)``; they weigh the means that are taken
            off, too. Default: ``1.0``, all alike.

    Returns:
        numpy.ndarray of shape ``(...)``, in [-1, 1]; 0 where a field is constant and has no pattern.
    """
    along = tuple(range(-axes, 0))
    fields, truth = (np.asarray(x, np.float64) for x in (fields, truth))
    a, b = (x - (weights * x).mean(along, keepdims=True) for x in (fields, truth))
    patterns = [np.sqrt((weights * (x * x)).mean(along)) for x in (a, b)]
    sizes = [np.sqrt((weights * np.square(x)).mean(along)) for x in (fields, truth)]
    # What is left of a constant field without its mean is rounding.
    constant = np.any([pattern <= 1e-12 * size for pattern, size in zip(patterns, sizes)], axis=0)
    return np.where(constant, 0, (weights * (a * b)).mean(along) / np.where(constant, 1, patterns[0] * patterns[1]))
