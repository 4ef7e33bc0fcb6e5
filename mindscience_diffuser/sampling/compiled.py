"""What the samplers share: the way from an eager call into a compiled graph."""

import contextlib
import functools
import inspect
import sys
import time

import mindspore as ms
from mindspore import Tensor
from mindspore.nn.cell import _pynative_executor as executor

from mindscience_diffuser.cells import PublicCell, WholeGraph
from mindscience_diffuser.sampling.model_step import MISFIT
from mindscience_diffuser.step import IDENTITY, in_own_memory

JIT = inspect.getmodule(type(executor))
"""The module of ``ms.jit``, which has another place in each release of MindSpore."""


class CompiledSampler(PublicCell):
    """Base of the samplers, whose eager calls run compiled methods.

    A graph with a loop reads a view (a slice of a Tensor, say) as if it began at the first element of its base, and it
    keeps the memory that the Parameters had when it was compiled. So every Tensor gets memory of its own before it
    enters one, and a graph is compiled again where the Parameters of the model have new memory, or where the model
    went from training to evaluation or back.

    Args:
        model (nn.Cell): The model that is watched.
    """

    def __init__(self, model):
        super().__init__()
        self._watched = (model,)  # In a tuple it is no further child of this cell.
        self._compiled_for = None
        self._wholes = {}

    def __del__(self):
        if "_create_time" in vars(self) and not sys.is_finalizing():
            self._free_graphs()
        super().__del__()

    def _free_graphs(self):
        """Gives back the memory of the graphs of ``ms.jit`` methods, which MindSpore keeps after their cell is gone.

        Those that were compiled while gradients were recorded stay: a gradient may still be computed by them.
        """
        made, own = f".{self._create_time}", f".{id(self)}."
        names = (name for name in tuple(JIT.ms_compile_cache) if made in name and own in name)
        graphs = {name for name in names if f".grad{made}" not in name}
        if graphs:
            executor.sync()  # A result that is still being computed is computed by one of these graphs.
            JIT.JitExecutor_.get_instance().del_net_res(None, graphs)
            JIT.ms_compile_cache.difference_update(graphs)

    def whole(self, method):
        """Returns a compiled method of this sampler as a :class:`WholeGraph`, which runs a trajectory faster.

        While gradients are recorded, in which such a graph has no part, the method is returned as it is.
        """
        if executor.requires_grad():
            return method
        name = method.__name__
        if name not in self._wholes:
            self._wholes[name] = WholeGraph()
        return functools.partial(self._wholes[name].run, method)

    @contextlib.contextmanager
    def compiled_calls(self):
        """Surrounds calls of compiled methods."""
        if self._compiled_for is not None and self._compiled_for != self._state_of_model():
            self._free_graphs()
            self._create_time = time.time_ns()  # Part of the name under which a compiled graph is found again.
            self._wholes = {}
        try:
            yield
        except (TypeError, ValueError) as error:
            # The compiler appends its own trace to an error that was raised while it read the model.
            message = str(error)
            if MISFIT in message:
                raise type(error)(message[message.index(MISFIT) :].split("\n")[0].rstrip("'")) from None
            raise
        finally:
            # Compiling a method marks it as the form that other graphs read; that is `construct`.
            self.__parse_method__ = "construct"
            self._compiled_for = self._state_of_model()

    def _state_of_model(self):
        """Returns what graphs keep of the model: where its Parameters are, and which of its cells are in training."""
        model = self._watched[0]
        addresses = tuple(parameter.data_ptr() for parameter in model.get_parameters())
        return addresses, tuple(cell.training for _, cell in model.cells_and_names())

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
    if not isinstance(value, Tensor):
        return value
    # Not `contiguous`, which hands on a slice at the beginning of a longer Tensor: a graph copies all of the latter.
    return in_own_memory(value)
