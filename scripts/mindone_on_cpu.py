"""Stand-ins for the kernels that MindSpore lacks on CPU and mindone's schedulers and pipelines need.

`stand_in` puts functions of NumPy, or of operators that CPU has, into the place of the ones that CPU has no kernel for.
Nothing of mindone is changed.
"""

import mindspore as ms
import numpy as np
from mindspore import Tensor, mint, ops


def arange(start, end=None, step=1, *, dtype=None):
    """Stands for `mint.arange`."""
    start, end = (0, start) if end is None else (start, end)
    values = np.arange(*(_number(value) for value in (start, end, step)))
    return Tensor(values, dtype or (ms.float32 if values.dtype.kind == "f" else ms.int64))


def linspace(start, end, steps, *, dtype=None):
    """Stands for `mint.linspace`."""
    return Tensor(np.linspace(_number(start), _number(end), int(steps)), dtype or ms.float32)


def stack(tensors, dim=0):
    """Stands for `mint.stack`."""
    return ops.stack(list(tensors), dim)


def nonzero(tensor, *, as_tuple=False):
    """Stands for the method `nonzero` of a Tensor and `mint.nonzero`."""
    found = np.nonzero(tensor.asnumpy())
    return tuple(map(Tensor, found)) if as_tuple else Tensor(np.stack(found, axis=1))


def _number(value):
    return value.asnumpy().item() if isinstance(value, Tensor) else value


def stand_in():
    """Puts the stand-ins in place."""
    for function in (arange, linspace, stack, nonzero):
        setattr(mint, function.__name__, function)
    Tensor.nonzero = nonzero
