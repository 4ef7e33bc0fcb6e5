"""Mean and standard deviation of each channel, taken from the training samples."""

import json

import numpy as np

from mindscience_diffuser.data.values import check_kind, finite
from mindscience_diffuser.files import write_atomically
from mindscience_diffuser.validation import check_integer, check_path


class Normalisation:
    """Brings each channel to mean 0 and standard deviation 1, and back.

    A channel that is the same everywhere is shifted only.

    Args:
        mean (Sequence[float]): Mean of each channel.
        deviation (Sequence[float]): Standard deviation of each channel, above 0.
        axes (int): Axes of the grid, which come after that of the channels. Default: ``0``.

    Raises:
        TypeError: If `axes` is no integer.
        ValueError: If they are not as many, or a value is out of its range.
    """

    def __init__(self, mean, deviation, axes=0):
        self.axes = check_integer("axes", axes, low=0)
        self.mean, self.deviation = np.asarray(mean, np.float64), np.asarray(deviation, np.float64)
        if self.mean.ndim != 1 or self.mean.shape != self.deviation.shape:
            raise ValueError(
                f"'mean' and 'deviation' must have one number for each channel, but have the shapes {self.mean.shape} "
                f"and {self.deviation.shape}."
            )
        if not (np.isfinite(self.mean).all() and np.isfinite(self.deviation).all() and (self.deviation > 0).all()):
            raise ValueError("'mean' must be finite and 'deviation' above 0 for each channel.")

    @classmethod
    def fit(cls, data, place=0):
        """Returns the normalisation of the samples of a data set; one sample at a time is in memory.

        The samples are merged with the update of Chan, Golub and LeVeque, 1979, in float64.

        Args:
            data (Sequence): Samples ``(C, ...)``, or tuples of a sample and its conditions.
            place (int): What of the tuples: 0 for the samples, 1 for their first condition, and so on. Default: ``0``.

        Raises:
            TypeError: If a sample does not hold floating-point numbers.
            ValueError: If there is no sample, a value is not finite, or the shape changes.
        """
        if len(data) == 0:
            raise ValueError("The data set is empty.")
        first, count, mean, scatter = None, 0, 0.0, 0.0
        for k in range(len(data)):
            sample = data[k]
            sample = np.asarray(sample[place] if isinstance(sample, tuple) else sample)
            first = sample.shape if first is None else first
            if sample.shape != first or not first:
                raise ValueError(
                    f"Sample {k} must be (C, ...) like sample 0, {first}, but has the shape {sample.shape}."
                )
            check_kind(f"Sample {k}", sample.dtype)
            values = finite(f"Sample {k}", sample).reshape(first[0], -1).astype(np.float64)
            size = values.shape[1]
            its_mean = values.mean(axis=1)
            shift = its_mean - mean
            scatter = scatter + np.square(values - its_mean[:, None]).sum(axis=1)
            scatter = scatter + shift**2 * (count * size / (count + size))
            mean = mean + shift * (size / (count + size))
            count += size
        deviation = np.sqrt(scatter / count)
        # What is left of a constant channel is rounding.
        constant = deviation <= 1e-7 * np.abs(mean)
        return cls(mean, np.where(constant, 1.0, deviation), len(first) - 1)

    def apply(self, samples):
        """Returns samples ``(..., C, *grid)`` normalised, float32: one sample, a batch, or an ensemble of batches."""
        return ((samples - self._at_grid(self.mean)) / self._at_grid(self.deviation)).astype(np.float32)

    def undo(self, samples):
        """Returns normalised samples ``(..., C, *grid)`` in the units of the data set, float32."""
        return (samples * self._at_grid(self.deviation) + self._at_grid(self.mean)).astype(np.float32)

    def save(self, path):
        """Writes a JSON file."""
        content = {"mean": self.mean.tolist(), "deviation": self.deviation.tolist(), "axes": self.axes}
        write_atomically(check_path("path", path), json.dumps(content, indent=2) + "\n")

    @classmethod
    def load(cls, path):
        """Reads what :meth:`save` has written.

        Raises:
            ValueError: If the file holds something else.
        """
        file = check_path("path", path)
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
            return cls(content["mean"], content["deviation"], content["axes"])
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"'{path}' holds no mean and deviation of channels: {error}.") from None

    def _at_grid(self, values):
        return values.reshape(values.shape + (1,) * self.axes)
