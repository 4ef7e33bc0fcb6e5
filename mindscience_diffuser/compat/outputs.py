"""What the steps of drop-in schedulers take and return: outputs, tensors and sources of noise on their way."""

from collections import OrderedDict

import numpy as np
from mindspore import Tensor
from mindspore import dtype as mstype

DTYPES = {"f": mstype.float32, "i": mstype.int64}


class StepOutput(OrderedDict):
    """What a step returns with ``return_dict=True``: by attribute, by key and by position."""

    def __getattr__(self, name):
        if name in self:
            return self[name]
        raise AttributeError(f"A step has no {name!r}; it has {', '.join(self)}.")

    def __getitem__(self, key):
        return super().__getitem__(key) if isinstance(key, str) else self.to_tuple()[key]

    def to_tuple(self):
        """Returns the values in their order."""
        return tuple(self.values())


def result_of(return_dict, **values):
    """Returns values of a step under their names, or as a tuple."""
    return StepOutput(values) if return_dict else tuple(values.values())


def to_host(value):
    """Returns a Tensor as an array, anything else as it is."""
    return value.asnumpy() if isinstance(value, Tensor) else value


def in_dtype(tensor, like):
    """Returns a Tensor in the dtype of another one; `astype` would take its time where they are equal."""
    return tensor if tensor.dtype == like.dtype else tensor.astype(like.dtype)


def to_tensor(value):
    """Returns an array as a Tensor of int64 or float32, a NumPy number as Python's, anything else as it is."""
    if isinstance(value, np.ndarray):
        return Tensor(value, DTYPES[value.dtype.kind])
    return value.item() if isinstance(value, np.generic) else value


class DoubleDraws:
    """Noise of a NumPy generator as mindone draws it: in double precision, then rounded."""

    def __init__(self, generator):
        self.generator = generator

    def standard_normal(self, shape):
        """Returns standard normal noise, float64."""
        return self.generator.standard_normal(shape)


def noise_source(generator):
    """Returns a source of noise that gives the numbers which mindone's pipelines get of the same `generator`."""
    if isinstance(generator, (list, tuple)):
        sources = [noise_source(one) for one in generator]
        return sources[0] if len(sources) == 1 else sources
    return DoubleDraws(generator) if isinstance(generator, np.random.Generator) else generator
