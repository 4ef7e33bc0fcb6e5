"""Samples in files, in the way of the data set that they are like."""

from pathlib import Path

import numpy as np

from mindscience_diffuser.files import write_atomically


def write_samples(data, directory, samples):
    """Writes samples as the data set's own ``write`` does, or as ``samples.npz`` where it has none.

    Args:
        data (object): The data set.
        directory (str or Path): The folder, which exists.
        samples (numpy.ndarray): Shape ``(N, C, ...)``, in the units of the data set.

    Returns:
        list of Path, the files.
    """
    if hasattr(data, "write"):
        return data.write(directory, samples)
    path = Path(directory) / "samples.npz"
    write_atomically(path, lambda temporary: np.savez(temporary, samples=np.asarray(samples, np.float32)))
    return [path]
