"""How far a film of a flow is from another one: energy spectra."""

import numpy as np
from scipy import fft

from mindscience_diffuser.runs.evaluation.spectra import log_distance


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
    """Distance of the energy spectra, see :func:`~mindscience_diffuser.runs.evaluation.spectra.log_distance`.

    Args:
        frames (numpy.ndarray): Shape ``(..., side, side)``.
        truth (numpy.ndarray): The same.

    Returns:
        numpy.ndarray of shape ``(...)``.
    """
    return log_distance(energy_spectrum(frames), energy_spectrum(truth))
