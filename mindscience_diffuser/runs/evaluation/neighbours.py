"""Precision and recall of samples by their nearest neighbours among real data."""

import numpy as np
from sklearn.metrics import pairwise_distances

from mindscience_diffuser.validation import check_integer


def precision_recall(samples, real, neighbours=3):
    """Precision and recall of Kynkaanniemi et al., 2019 (arXiv:1904.06991), eqs. (1) and (2).

    The manifold of a set is the union of balls around its points, each as large as the distance to the point's
    `neighbours`-th nearest neighbour in the set. Precision is the share of samples in the manifold of the real data,
    recall the share of real data in the manifold of the samples. Distances are Euclidean, between values.

    Args:
        samples (numpy.ndarray): Shape (N, ...).
        real (numpy.ndarray): Shape (M, ...).
        neighbours (int): k of the paper, which uses 3. Default: ``3``.

    Returns:
        tuple[float, float], precision and recall.

    Raises:
        TypeError: If `neighbours` is no integer.
        ValueError: If `neighbours` is below 1 or not below the size of both sets.
    """
    samples, real = flat(samples), flat(real)
    check_integer("neighbours", neighbours, low=1, high=min(len(samples), len(real)) - 1)
    between = pairwise_distances(samples, real)
    precision = (between <= _radii(real, neighbours)[None, :]).any(axis=1).mean()
    recall = (between <= _radii(samples, neighbours)[:, None]).any(axis=0).mean()
    return float(precision), float(recall)


def nearest_distance(samples, real):
    """Returns the median distance of `samples` to their nearest neighbour in `real`; zero would be copying."""
    return float(np.median(pairwise_distances(flat(samples), flat(real)).min(axis=1)))


def flat(samples):
    """Returns samples (N, ...) as rows (N, D), float64."""
    return np.reshape(samples, (len(samples), -1)).astype(np.float64)


def _radii(points, neighbours):
    """Distance of every point to its k-th nearest neighbour; the nearest of all is the point itself."""
    return np.partition(pairwise_distances(points), neighbours, axis=1)[:, neighbours]
