"""Distributions of single values."""

import numpy as np
from scipy.stats import wasserstein_distance

from mindscience_diffuser.validation import check_integer


class HistogramDistance:
    """Wasserstein distance between the values of samples and of held-out data, ``(N, C, ...)``.

    It is what a value must be moved on average, in the units of the data, the mean over channels. Where a channel has
    more values than `most`, as many are drawn from it.

    Args:
        most (int): Values of a channel that are compared, at least 1. Default: ``1000000``.

    Raises:
        TypeError: If `most` is no integer.
        ValueError: If it is below 1.
    """

    headline = ("wasserstein_distance",)

    def __init__(self, most=1_000_000):
        self.most = check_integer("most", most, low=1)

    def __call__(self, drawn, held_out):
        """Returns the figures of ``samples``."""
        samples, real = drawn["samples"], held_out["samples"]
        distances = [
            wasserstein_distance(self._values(samples[:, channel]), self._values(real[:, channel]))
            for channel in range(samples.shape[1])
        ]
        return {
            "wasserstein_distance": float(np.mean(distances)),
            "wasserstein_distance_of_channels": [float(d) for d in distances],
        }

    def _values(self, channel):
        values = channel.ravel()
        return values if values.size <= self.most else np.random.default_rng(0).choice(values, self.most)
