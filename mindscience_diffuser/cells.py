"""What the public cells share: attributes that never go stale, and parameters of the user that keep their names."""

import contextlib
import functools
import inspect

import numpy as np
from mindspore import Parameter, Tensor, nn
from mindspore import dtype as mstype

from mindscience_diffuser.settings import is_ours, read_only
from mindscience_diffuser.step import replace_value

ARRAYS = (np.ndarray, tuple)
"""Types of attributes that are arrays, or may hold some."""


class PublicCell(nn.Cell):
    """A cell whose public attributes take effect whenever they are set, or are refused.

    A compiled graph holds what the attributes of its cells were when it was compiled. So after construction an
    attribute that the constructor has set is refused, and so is one with the name of an argument, but for Parameters,
    which graphs read anew in each call. Arrays that the package has set cannot be written into. A cell that holds a
    model of the user does not rename its parameters.
    """

    own_settings = ()
    """Names of attributes that this package sets after construction."""

    def __init__(self, auto_prefix=False):
        super().__init__(auto_prefix=auto_prefix)

    def __init_subclass__(cls, **options):
        super().__init_subclass__(**options)
        if is_ours(cls):
            cls.__init__ = locking(cls.__init__)
        elif "__init__" in vars(cls):
            cls.__init__ = locking(cls.__init__, of_user=True)

    def __setattr__(self, name, value):
        if vars(self).get("_unlocked", 0):
            return super().__setattr__(name, read_only(value) if isinstance(value, ARRAYS) else value)
        if name not in vars(self).get("_locked", ()):
            return super().__setattr__(name, value)
        parameter = self._params.get(name)
        if parameter is None:
            raise AttributeError(
                f"'{name}' of {type(self).__name__} is part of compiled graphs, where a new value would not be seen: "
                f"build a new {type(self).__name__} with it."
            )
        return replace_value(parameter, Tensor(self.checked_parameter(name, value), parameter.dtype))

    def __setstate__(self, state):
        super().__setstate__(state)
        # A copied array can be written into.
        for name in vars(self).get("_locked", ()):
            if isinstance(vars(self).get(name), ARRAYS):
                vars(self)[name] = read_only(vars(self)[name])

    def further_arguments(self):
        """Returns the names of what the constructor takes besides its named arguments."""
        return ()

    def checked_parameter(self, name, value):
        """Returns the value that a Parameter is set to; cells name and check here those that can be set."""
        del value
        raise AttributeError(
            f"'{name}' of {type(self).__name__} is a table that follows from what it was built of, and cannot be set."
        )


class WholeGraph(nn.Cell):
    """Runs functions as graphs in the thread of the caller.

    A graph of ``ms.jit`` runs in another thread, and who needs its result waits by asking again and again: while a long
    graph runs, its model has a core less. A short graph is entered faster by ``ms.jit``.
    """

    def __init__(self):
        super().__init__(auto_prefix=False)
        self.function = None

    def run(self, function, *inputs):
        """Returns what `function` returns, which must be the same function in each call."""
        # Held for the call alone: a sampler that holds this cell is freed when nobody else holds it.
        self.function = function
        try:
            return self.compile_and_run(*inputs)
        finally:
            self.function = None

    def construct(self, *inputs):
        """Returns what the function returns."""
        return self._called(inputs)

    def _called(self, inputs):
        # MindSpore 2.10 keeps the memory of a graph for good if its outermost function hands on inputs with a star.
        return self.function(*inputs)


def locking(constructor, of_user=False):
    """Returns a constructor that locks the public attributes when it ends, unless it runs inside another one.

    What a constructor of a user has set is the user's; it may set what an argument of this package is called, too.
    """

    @functools.wraps(constructor)
    def construct(self, *args, **kwargs):
        with _counted(self, "_constructors"), contextlib.nullcontext() if of_user else unlocked(self):
            constructor(self, *args, **kwargs)
        lock(self, () if of_user else {*vars(self), *self._params, *self._cells})

    return construct


def lock(cell, attributes):
    """Locks attributes of a cell, and when no constructor is running any more the names of its arguments."""
    own = vars(cell)
    names = set() if own.get("_unlocked", 0) else set(attributes)
    if not own["_constructors"]:
        names |= {*_arguments_of(type(cell)), *cell.further_arguments()}
    names -= _names_of_every_cell() | set(cell.own_settings)
    public = (name for name in names if not name.startswith("_"))
    object.__setattr__(cell, "_locked", frozenset(public).union(own.get("_locked", ())))


@functools.cache
def _arguments_of(cls):
    """Returns the names of the arguments of a class, of the nearest one of this package for one of a user's own."""
    kind = next(kind for kind in cls.__mro__ if is_ours(kind) or "arguments" in vars(kind))
    parameters = list(inspect.signature(kind.__init__).parameters.values())[1:]
    named = [p.name for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    return frozenset(name for name in named if getattr(getattr(cls, name, None), "fset", None) is None)


@functools.cache
def _names_of_every_cell():
    return frozenset(vars(nn.Cell()))


def unlocked(cell):
    """Lets the package set attributes of a cell while it is entered."""
    return _counted(cell, "_unlocked")


@contextlib.contextmanager
def _counted(cell, name):
    """Counts in an attribute of a cell how often this is entered."""
    object.__setattr__(cell, name, vars(cell).get(name, 0) + 1)
    try:
        yield cell
    finally:
        object.__setattr__(cell, name, vars(cell)[name] - 1)


def unlock(cell):
    """Unlocks a cell for good whose attributes the package itself changes."""
    object.__setattr__(cell, "_locked", frozenset())
    return cell


def checked_values(name, value, shape=None, low=-np.inf):
    """Returns the values of a Parameter, float64, or raises TypeError or ValueError.

    Args:
        name (str): Its name.
        value (float, Tensor or array_like): What it is set to.
        shape (tuple, optional): Shape that it must have. Default: ``None``, any.
        low (float): Lowest value that is allowed.
    """
    try:
        if isinstance(value, Tensor) and value.dtype == mstype.bfloat16:
            value = value.astype(mstype.float32)
        values = np.asarray(value.asnumpy() if isinstance(value, Tensor) else value, np.float64)
    except (TypeError, ValueError):
        raise TypeError(f"'{name}' must be numbers, an array or a Tensor, but is {value!r}.") from None
    if shape is not None and values.shape != tuple(shape):
        raise ValueError(f"'{name}' must have the shape {tuple(shape)}, but has {values.shape}.")
    if not np.all(np.isfinite(values)) or np.any(values < low):
        least = "" if low == -np.inf else f" and at least {low:g}"
        raise ValueError(f"'{name}' must be finite{least}, but is {value!r}.")
    return values


def setting(value, name, beside, dtype=mstype.float32):
    """Returns values as a Parameter that graphs read anew in each call.

    Args:
        value (float or array_like): Its value.
        name (str): Its name, to which underscores are added while a Parameter of `beside` has the same.
        beside (nn.Cell): The model that is held beside it.
        dtype (mindspore.dtype): Its dtype. Default: ``mindspore.float32``.
    """
    taken = {parameter.name for parameter in beside.get_parameters()}
    while name in taken:
        name += "_"
    return Parameter(Tensor(value, dtype), name=name, requires_grad=False)


def frozen(model, beside, name):
    """Returns a model that is held, and not trained, beside another cell: it is set to evaluation, without gradients.

    One compiled graph holds both: a Parameter of the model whose name the other cell has too gets `name` before it.

    Args:
        model (nn.Cell): The model.
        beside (nn.Cell): The other cell.
        name (str): What is put before names, with a point.
    """
    taken = {parameter.name for parameter in beside.get_parameters()}
    for parameter in model.get_parameters():
        parameter.requires_grad = False
        while parameter.name in taken:
            parameter.name = f"{name}.{parameter.name}"
    return model.set_train(False)
