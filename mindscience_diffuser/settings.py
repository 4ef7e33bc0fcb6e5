"""Settings that other objects take over when they are built: they stay as their constructor made them."""

import functools
import inspect
from collections.abc import Mapping

import numpy as np

PACKAGE = __name__.split(".")[0]


class Settings:
    """Base of plain objects whose attributes are set once, by their constructor.

    What takes such an object derives tables and graphs from it, which a later value would not reach. In a class of a
    user this holds for the arguments of the class of this package that it is derived from; the rest is the user's.
    """

    def __setattr__(self, name, value):
        if name in vars(self) and (is_ours(type(self)) or name in _arguments_of(type(self))):
            raise AttributeError(
                f"'{name}' of {type(self).__name__} cannot be set: what was built with this object would not follow. "
                f"Build a new {type(self).__name__} with it, and give that to what uses it."
            )
        super().__setattr__(name, value)


def is_ours(cls):
    """Returns whether a class is one of this package, not of a user."""
    return cls.__module__.split(".")[0] == PACKAGE


@functools.cache
def _arguments_of(cls):
    """Returns the names of the arguments of the nearest class of this package."""
    return frozenset(inspect.signature(next(filter(is_ours, cls.__mro__))).parameters)


class ReadOnly(Mapping):
    """Values by name that cannot be set: what was built with them would not follow.

    Args:
        values (Mapping): The values.
    """

    def __init__(self, values):
        self._values = dict(values)

    def __getitem__(self, name):
        return self._values[name]

    def __setitem__(self, name, value):
        raise TypeError(f"{name!r} cannot be set here: what was built with it would not follow. Build it anew.")

    def __iter__(self):
        return iter(self._values)

    def __len__(self):
        return len(self._values)

    def __repr__(self):
        return repr(self._values)


def read_only(value):
    """Returns an array as a view that NumPy lets nobody write into, and a tuple or mapping with such views inside."""
    if isinstance(value, np.ndarray):
        view = value.view()
        view.flags.writeable = False
        return view
    if type(value) is tuple:
        return tuple(map(read_only, value))
    if isinstance(value, (dict, ReadOnly)):
        return ReadOnly({name: read_only(part) for name, part in value.items()})
    return value
