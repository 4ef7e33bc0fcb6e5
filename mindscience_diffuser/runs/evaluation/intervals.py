"""Means over independent runs of something, with their confidence intervals."""

import numpy as np
from scipy import stats


def mean_and_interval(values, level=0.95):
    """Mean over films and the half width of its confidence interval by Student's t.

    Args:
        values (numpy.ndarray): Shape ``(N, ...)``, one entry for each of N >= 2 independent films.
        level (float): Level of confidence. Default: ``0.95``.

    Returns:
        tuple of two numpy.ndarray of shape ``(...)``.
    """
    count = len(values)
    width = stats.t.ppf(0.5 + level / 2, count - 1) * np.std(values, axis=0, ddof=1) / np.sqrt(count)
    return np.mean(values, axis=0), width
