"""Mean and standard deviation of samples beside those of held-out data."""

import numpy as np


class Moments:
    """Mean and standard deviation over all values, and the distance of both over samples at each place.

    ``mean_error`` and ``deviation_error`` are root mean squares over the places of a sample, in units of the standard
    deviation of the held-out data.
    """

    headline = ("mean", "standard_deviation", "mean_error", "deviation_error")

    def __call__(self, drawn, held_out):
        """Returns the figures of ``samples`` ``(N, ...)``."""
        samples, real = (np.asarray(arrays["samples"], np.float64) for arrays in (drawn, held_out))
        spread = real.std() or 1.0
        return {
            "mean": {"samples": float(samples.mean()), "held_out": float(real.mean())},
            "standard_deviation": {"samples": float(samples.std()), "held_out": float(real.std())},
            "mean_error": float(np.sqrt(np.mean((samples.mean(0) - real.mean(0)) ** 2)) / spread),
            "deviation_error": float(np.sqrt(np.mean((samples.std(0) - real.std(0)) ** 2)) / spread),
        }
