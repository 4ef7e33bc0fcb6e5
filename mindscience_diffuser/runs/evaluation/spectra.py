"""Power of fields by wave number, averaged over directions."""

import numpy as np
from scipy import fft, signal

from mindscience_diffuser.validation import check_bool


def shell_powers(fields, axes):
    """Returns the shells of all waves of a periodic grid: their numbers, how many waves each has, and its mean power.

    The wave number is that along the shortest axis with more than one point: k waves over its length. Shell k has the
    waves whose number rounds to k; shell 0 has the mean of the field, and the waves that are longer than twice the
    shortest axis. No wave is left out, those in the corners have the highest numbers, so that by Parseval's theorem the
    sum of count times power is the mean square of the field.

    Args:
        fields (numpy.ndarray): Shape ``(..., *grid)``.
        axes (int): Axes of the grid, the last ones.

    Returns:
        tuple of numpy.ndarray, the wave numbers ``(S,)`` from 0 on, the counts ``(S,)`` and the power ``(..., S)``, in
        squared units of the fields.
    """
    fields = np.asarray(fields, np.float64)
    grid = fields.shape[-axes:]
    power = np.abs(fft.fftn(fields, axes=tuple(range(-axes, 0)), norm="forward")) ** 2
    frequencies = np.meshgrid(*(fft.fftfreq(size, 1 / shortest_axis(grid)) for size in grid), indexing="ij")
    shell = np.rint(np.sqrt(sum(frequency**2 for frequency in frequencies))).ravel().astype(int)
    count = np.bincount(shell)
    sums = np.stack([np.bincount(shell, weights=row) for row in power.reshape(-1, shell.size)])
    return np.arange(count.size), count, (sums / count).reshape(*power.shape[:-axes], -1)


def radial_spectrum(fields, axes, periodic=False):
    """Returns wave numbers and the mean power of the shells around them.

    The shells are those of :func:`shell_powers`, from 1 up to half the points of the shortest axis.

    Args:
        fields (numpy.ndarray): Shape ``(..., *grid)``.
        axes (int): Axes of the grid, the last ones.
        periodic (bool): Whether the grid closes on itself. Otherwise the mean of each field is taken off and a Hann
            window laid over it, so that the jump at the border makes no waves. Default: ``False``.

    Returns:
        tuple of numpy.ndarray, the wave numbers ``(K,)`` from 1 on and the power ``(..., K)``.
    """
    fields = np.asarray(fields, np.float64)
    grid = fields.shape[-axes:]
    if not periodic:
        fields = fields - fields.mean(tuple(range(-axes, 0)), keepdims=True)
        for place, size in enumerate(grid):
            if size == 1:
                continue
            window = signal.windows.hann(size, sym=False) * np.sqrt(8 / 3)
            fields = fields * window.reshape((-1,) + (1,) * (axes - 1 - place))
    numbers, _, power = shell_powers(fields, axes)
    shown = slice(1, shortest_axis(grid) // 2 + 1)
    return numbers[shown], power[..., shown]


def shortest_axis(grid):
    """Returns the points of the shortest axis of a grid that has more than one."""
    return min((size for size in grid if size > 1), default=1)


def log_distance(power, true):
    """Root mean square over wave numbers of log10 of the ratio of two spectra: 1 means wrong by a factor of ten.

    Two shells without power agree; one without counts as the least that a double holds.

    Args:
        power (numpy.ndarray): Shape ``(..., K)``, at least 0.
        true (numpy.ndarray): The same.

    Returns:
        numpy.ndarray of shape ``(...)``.
    """
    return np.sqrt((log_ratio(power, true) ** 2).mean(-1))


def log_ratio(power, true):
    """Returns log10 of the ratio of two spectra, see :func:`log_distance`."""
    least = np.finfo(np.float64).tiny
    return np.log10(np.maximum(power, least)) - np.log10(np.maximum(true, least))


class SpectrumDistance:
    """Distance of the radially averaged spectra of samples and of held-out data, ``(N, C, *grid)``.

    ``spectrum_error`` is the root mean square, over wave numbers and channels, of log10 of the ratio of the mean
    powers: 1 means wrong by a factor of ten, up or down.

    Args:
        periodic (bool): Whether the grid closes on itself, see :func:`radial_spectrum`. Default: ``False``.

    Raises:
        TypeError: If `periodic` is no bool.
        ValueError: Before anything is drawn, if the samples have no grid.
    """

    headline = ("spectrum_error",)

    def __init__(self, periodic=False):
        self.periodic = check_bool("periodic", periodic)

    def prepare(self, data, count):
        """Raises ValueError unless samples have an axis with waves."""
        shape = data.held_out_arrays(1)["samples"].shape[1:]
        if shortest_axis(shape[1:]) < 2:
            raise ValueError(
                f"a spectrum is that of samples (C, *grid), but they have the shape {shape}, whose grid has no axis of "
                "two points or more: leave this figure out"
            )

    def __call__(self, drawn, held_out):
        """Returns the figures of ``samples``."""
        fields = (arrays["samples"] for arrays in (drawn, held_out))
        ratios = log_ratio(*(radial_spectrum(x, x.ndim - 2, self.periodic)[1].mean(0) for x in fields))
        return {
            "spectrum_error": float(np.sqrt((ratios**2).mean())),
            "log10_of_power_ratio": ratios.tolist(),
        }
