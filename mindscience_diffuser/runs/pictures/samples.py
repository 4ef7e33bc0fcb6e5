"""The picture of samples that a run leaves."""

import numpy as np

from mindscience_diffuser.runs.data.reading import method
from mindscience_diffuser.runs.pictures.by_kind import save_picture

MOST_IN_A_STRIP = 10


def save_samples(path, arrays, data, config):
    """Writes the picture that belongs to the data or, where there is none, the one for samples of this shape.

    Args:
        path (Path): The PNG file.
        arrays (dict): What is written of samples, by name.
        data (DataSet): The data of the run.
        config (SampledRun): The configuration.
    """
    if method(data.train, "picture"):
        data.train.picture(path, arrays, config)
        return
    save_picture(path, arrays["samples"], data.train)


def strip(arrays, data):
    """Returns the first samples side by side, one pixel apart, as one picture; None where they are not on a plane."""
    shown = planes({name: values[:MOST_IN_A_STRIP] for name, values in arrays.items()}, data)
    if shown is None:
        return None
    bordered = np.pad(shown, [(0, 0), (0, 1), (0, 1), *[(0, 0)] * (shown.ndim - 3)], constant_values=shown.max())
    return np.concatenate(list(bordered), axis=1)


def planes(arrays, data):
    """Returns samples as pictures (N, H, W) or (N, H, W, 3), or None where they are not on a plane.

    Those of samples (N, C, H, W) are in colours where C is 3, else the first channel.
    """
    if method(data.train, "planes"):
        return data.train.planes(arrays)
    samples = arrays["samples"]
    if samples.ndim != 4:
        return None
    low, high = samples.min(), samples.max()
    return (np.moveaxis(samples, 1, -1) - low) / max(high - low, 1e-12) if samples.shape[1] == 3 else samples[:, 0]
