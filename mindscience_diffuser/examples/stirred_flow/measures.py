"""How far a film of a flow is from another one: correlation and energy spectra."""

import numpy as np
from scipy import fft


def correlation(frames, truth):
    """Pattern correlation of two films of vorticity.

    Args:
        frames (numpy.ndarray): Shape ``(..., side, side)``.
        truth (numpy.ndarray): The same.

    Returns:
        numpy.ndarray of shape ``(...)``, in [-1, 1]; 0 where a frame is constant and has no pattern.
    """
    a, b = (x - x.mean((-2, -1), keepdims=True) for x in (np.asarray(x, np.float64) for x in (frames, truth)))
    patterns = [np.sqrt((x * x).mean((-2, -1))) for x in (a, b)]
    sizes = [np.sqrt(np.square(x, dtype=np.float64).mean((-2, -1))) for x in (frames, truth)]
    # What is left of a constant frame without its mean is rounding.
    constant = np.any([pattern <= 1e-12 * size for pattern, size in zip(patterns, sizes)], axis=0)
    return np.where(constant, 0, (a * b).mean((-2, -1)) / np.where(constant, 1, patterns[0] * patterns[1]))


def energy_spectrum(frames):
    """Kinetic energy of each shell of wave numbers, from the vorticity w: half the sum of |w_k|^2 / k^2.

    Args:
        frames (numpy.ndarray): Vorticity on a periodic square of side 2 pi, shape ``(..., side, side)``.

    Returns:
        numpy.ndarray of shape ``(..., side // 3)``: the shells |k| = 1, 2, ... that the solver resolves.
    """
    side = frames.shape[-1]
    amplitude = fft.fft2(np.asarray(frames, np.float64), norm="forward")
    k = fft.fftfreq(side, 1 / side)
    squared = k[:, None] ** 2 + k[None, :] ** 2
    shell = np.rint(np.sqrt(squared))
    energy = 0.5 * np.abs(amplitude) ** 2 / np.where(squared > 0, squared, np.inf)
    return np.stack([energy[..., shell == n].sum(-1) for n in range(1, side // 3 + 1)], axis=-1)


def spectrum_error(frames, truth):
    """Root mean square over the shells of log10(E / E_true): 1 means wrong by a factor of ten, up or down.

    Two shells without energy agree; one without counts as the least that a double holds.

    Args:
        frames (numpy.ndarray): Shape ``(..., side, side)``.
        truth (numpy.ndarray): The same.

    Returns:
        numpy.ndarray of shape ``(...)``.
    """
    least = np.finfo(np.float64).tiny
    drawn, true = (np.log10(np.maximum(energy_spectrum(film), least)) for film in (frames, truth))
    return np.sqrt(((drawn - true) ** 2).mean(-1))
