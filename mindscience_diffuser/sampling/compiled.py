"""What the samplers share: the way from an eager call into a compiled graph."""

import contextlib
import time

import mindspore as ms
from mindspore import Tensor, ops

from mindscience_diffuser.cells import PublicCell

IDENTITY = ops.Identity()
"""Copies a Tensor inside a graph. Not in a cell: primitives do not pickle."""


class CompiledSampler(PublicCell):
    """Base of the samplers, whose eager calls run compiled methods.

    A graph with a loop reads a view (a slice of a Tensor, say) as if it began at the first element of its base, and it
    keeps the memory that the Parameters had when it was compiled. So every Tensor gets memory of its own before it
    enters one, and a graph is compiled again where the Parameters of the model have new memory.

    Args:
        model (nn.Cell): The model whose Parameters are watched.
    """

    def __init__(self, model):
        super().__init__()
        self._watched = (model,)  # In a tuple it is no further child of this cell.
        self._addresses = None

    @contextlib.contextmanager
    def compiled_calls(self):
        """Surrounds calls of compiled methods."""
        if self._addresses is not None and self._addresses != self._memory():
            self._create_time = time.time_ns()  # Part of the name under which a compiled graph is found again.
        try:
            yield
        finally:
            # Compiling a method marks it as the form that other graphs read; that is `construct`.
            self.__parse_method__ = "construct"
            self._addresses = self._memory()

    def _memory(self):
        return tuple(parameter.data_ptr() for parameter in self._watched[0].get_parameters())

    def in_graph(self, values):
        """The form of :func:`with_own_memory` that the graph compiler reads, for a tuple."""
        own = ()
        for value in values:
            if isinstance(value, (tuple, list)):
                own += (self.in_graph(value),)
            else:
                own += (IDENTITY(value),)
        return own


def with_own_memory(value):
    """Returns a Tensor that is no view, and a tuple of such as one whose values are no constants of a graph."""
    if isinstance(value, (tuple, list)):
        return ms.mutable(tuple(map(with_own_memory, value)))
    # Not `contiguous`, which hands on a slice at the beginning of a longer Tensor: a graph copies all of the latter.
    return value.copy() if isinstance(value, Tensor) else value
