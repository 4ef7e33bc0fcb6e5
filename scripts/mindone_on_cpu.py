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


def atan2(y, x):
    """Stands for `mint.atan2`."""
    return ops.atan2(y, x)


def full(size, fill_value, *, dtype=None):
    """Stands for `mint.full`."""
    return Tensor(np.full(size, _number(fill_value)), dtype or ms.float32)


def linspace(start, end, steps, *, dtype=None):
    """Stands for `mint.linspace`."""
    return Tensor(np.linspace(_number(start), _number(end), int(steps)), dtype or ms.float32)


def meshgrid(*tensors, indexing="ij"):
    """Stands for `mint.meshgrid`."""
    tensors = tensors[0] if len(tensors) == 1 else tensors
    return tuple(map(Tensor, np.meshgrid(*(tensor.asnumpy() for tensor in tensors), indexing=indexing)))


def norm(tensor, p=2, dim=None, keepdim=False):
    """Stands for `mint.norm` of vectors."""
    return Tensor(np.linalg.norm(tensor.asnumpy(), p, dim, keepdim))


def nonzero(tensor, *, as_tuple=False):
    """Stands for the method `nonzero` of a Tensor."""
    found = np.nonzero(tensor.asnumpy())
    return tuple(map(Tensor, found)) if as_tuple else Tensor(np.stack(found, axis=1))


def ones_like(tensor, *, dtype=None):
    """Stands for `mint.ones_like`."""
    return Tensor(np.ones(tensor.shape), dtype or tensor.dtype)


def repeat(tensor, *repeats):
    """Stands for the method `repeat` of a Tensor."""
    return ops.tile(tensor, repeats[0] if isinstance(repeats[0], (tuple, list)) else repeats)


def stack(tensors, dim=0):
    """Stands for `mint.stack`."""
    return ops.stack(list(tensors), dim)


def zeros_like(tensor, *, dtype=None):
    """Stands for `mint.zeros_like`."""
    return Tensor(np.zeros(tensor.shape), dtype or tensor.dtype)


def _number(value):
    return value.asnumpy().item() if isinstance(value, Tensor) else value


def stand_in():
    """Puts the stand-ins in place."""
    for function in (arange, atan2, full, linspace, meshgrid, norm, ones_like, stack, zeros_like):
        setattr(mint, function.__name__, function)
    for function in (nonzero, repeat):
        setattr(Tensor, function.__name__, function)
