"""Settings that other objects take over when they are built: they stay as their constructor made them."""

import functools
import inspect

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
