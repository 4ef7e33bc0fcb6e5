"""What a sample and a condition may hold."""

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
        ValueError: If a value is NaN or infinite, or too large for float32; the error begins with `what`.
    """
    if np.issubdtype(values.dtype, np.integer):
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
