"""What a sample and a condition may hold."""

from difflib import get_close_matches
from pathlib import Path

import numpy as np


def check_kind(what, dtype, whole=False):
    """Raises TypeError unless a dtype is that of real numbers.

    Args:
        what (str): What has the dtype, as the error calls it.
        dtype (numpy.dtype): The dtype.
        whole (bool): Whether integers are taken too. Default: ``False``.
    """
    if np.issubdtype(dtype, np.floating) or (whole and np.issubdtype(dtype, np.integer)):
        return
    if np.issubdtype(dtype, np.complexfloating):
        advice = "store the real and the imaginary part as two channels"
    else:
        advice = "store them as float32"
    raise TypeError(f"{what} must hold floating-point numbers, but has the dtype {dtype}: {advice}.")


def finite(what, values):
    """Returns `values` as float32, or integers as int32.

    Raises:
        ValueError: If a value is NaN or infinite, or too large for float32 or int32; the error begins with `what`.
    """
    if np.issubdtype(values.dtype, np.integer):
        beyond = beyond_int32(values)
        if beyond.any():
            raise ValueError(f"{what} holds {values[beyond][0]}, which does not fit int32.")
        return values.astype(np.int32)
    with np.errstate(over="ignore"):
        single = np.asarray(values, np.float32)
    if not np.isfinite(single).all():
        place = tuple(int(i) for i in np.argwhere(~np.isfinite(single))[0])
        raise ValueError(
            f"{what} holds {values[place]} at {list(place)}: every value must be a finite number of float32. Leave the "
            "sample out, or fill the gap."
        )
    return single


def beyond_int32(values):
    """Returns which values of an array are integers that int32 does not hold, a bool array of its shape."""
    if not np.issubdtype(values.dtype, np.integer):
        return np.zeros(values.shape, bool)
    limits = np.iinfo(np.int32)
    return (values < limits.min) | (values > limits.max)


def not_found(argument, what, path):
    """Returns the FileNotFoundError that says where a path was looked for, and what of a similar name is there.

    Args:
        argument (str): The argument that gave the path.
        what (str): What it must be: a file or a folder.
        path (str or Path): The path.
    """
    folder = Path(path).absolute().parent
    beside = [other.name for other in folder.iterdir()] if folder.is_dir() else []
    near = get_close_matches(Path(path).name, beside, 1)
    advice = f"did you mean '{near[0]}'?" if near else "a relative path begins where the program was started."
    return FileNotFoundError(f"'{argument}' names the {what} '{path}', which does not exist in '{folder}': {advice}")
