"""Mean and standard deviation of samples beside those of held-out data."""

import numpy as np


class Moments:
    """Mean and standard deviation of samples ``(N, C, ...)``, and the distance of both at each place.

    ``mean_error`` and ``deviation_error`` are root mean squares over the places of a sample, each in units of the
    standard deviation of its channel in the held-out data, so that channels of different units count alike. Where there
    are several channels, ``mean_of_channels`` and ``standard_deviation_of_channels`` are those of each.
    """

    headline = ("mean", "standard_deviation", "mean_error", "deviation_error")

    def __call__(self, drawn, held_out):
        """Returns the figures of ``samples``."""
        both = {"samples": drawn["samples"], "held_out": held_out["samples"]}
        both = {name: np.asarray(values, np.float64) for name, values in both.items()}
        samples, real = both.values()
        others = (0, *range(2, real.ndim))
        spread = real.std(axis=others, keepdims=True)[0] if real.ndim > 2 else real.std()
        spread = np.where(spread == 0, 1.0, spread)
        figures = {
            "mean": {name: float(values.mean()) for name, values in both.items()},
            "standard_deviation": {name: float(values.std()) for name, values in both.items()},
            "mean_error": _root_mean_square((samples.mean(0) - real.mean(0)) / spread),
            "deviation_error": _root_mean_square((samples.std(0) - real.std(0)) / spread),
        }
        if real.ndim > 2 and real.shape[1] > 1:
            figures["mean_of_channels"] = {name: values.mean(others).tolist() for name, values in both.items()}
            figures["standard_deviation_of_channels"] = {n: values.std(others).tolist() for n, values in both.items()}
        return figures


def _root_mean_square(values):
    return float(np.sqrt(np.mean(values**2)))
