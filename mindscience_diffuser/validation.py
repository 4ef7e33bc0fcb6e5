"""Checks of arguments: each error names the argument, its value and what is allowed."""

import difflib
import math
import numbers
import os
from pathlib import Path

import numpy as np


def check_choice(name, value, choices):
    """Returns `value` if it is one of `choices`, else raises ValueError that lists them."""
    if not isinstance(value, str) or value not in choices:
        allowed = ", ".join(repr(choice) for choice in choices)
        raise ValueError(f"'{name}' must be one of {allowed}, but is {value!r}.")
    return value


def check_integer(name, value, low=None, high=None):
    """Returns `value` as int; TypeError if it is no integer, ValueError if outside [low, high]."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(f"'{name}' must be an integer, but is {value!r} of type {type(value).__name__}.")
    if (low is not None and value < low) or (high is not None and value > high):
        raise ValueError(f"'{name}' must be {_range_text(low, high)}, but is {value}.")
    return int(value)


def check_number(name, value, interval):
    """Returns `value` as float if it lies in `interval`, written as in ``"(0, 1]"`` (``inf`` allowed).

    Raises:
        TypeError: If it is no real number.
        ValueError: If it is outside the interval or not a number.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"'{name}' must be a number in {interval}, but is {value!r} of type {type(value).__name__}.")
    if not _inside(value, interval) or math.isnan(value):
        raise ValueError(f"'{name}' must be in {interval}, but is {value}.")
    return float(value)


def check_shape(name, shape):
    """Returns the shape of a batch, ``(B, ...)``, as a tuple of int.

    Raises:
        TypeError: If it is no tuple, list or array of integers.
        ValueError: If it is empty, or a length is negative.
    """
    if isinstance(shape, range) or (isinstance(shape, np.ndarray) and shape.ndim == 1):
        shape = list(shape)
    if not isinstance(shape, (tuple, list)):
        raise TypeError(
            f"'{name}' must be a tuple of integers, (B, ...), but is {shape!r} of type {type(shape).__name__}."
        )
    if not shape:
        raise ValueError(f"'{name}' must have a batch axis, (B, ...), but is empty.")
    return tuple(check_integer(f"{name}[{axis}]", length, low=0) for axis, length in enumerate(shape))


def check_numbers(name, value, interval):
    """Returns `value` as float if it is one number of `interval`, as a tuple of floats if it is a sequence of them.

    Raises:
        TypeError: If it is neither, or an element of it is no real number.
        ValueError: If it is empty, has more than one axis, or a number is outside the interval.
    """
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if not isinstance(value, (list, tuple)):
        return check_number(name, value, interval)
    if not value:
        raise ValueError(f"'{name}' must be a number or have one for each channel, but is empty.")
    return tuple(check_number(f"{name}[{k}]", number, interval) for k, number in enumerate(value))


def check_pair(name, value, interval):
    """Returns a pair of numbers ``(low, high)`` of an interval, low below high, as a tuple of floats.

    Raises:
        TypeError: If one of them is no number.
        ValueError: If `value` is no such pair, or a number is outside the interval.
    """
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        raise ValueError(f"'{name}' must be a pair (low, high), but is {value!r}.")
    low, high = (check_number(name, bound, interval) for bound in value)
    if low >= high:
        raise ValueError(f"'{name}' must be a pair (low, high) with low < high, but is {value!r}.")
    return low, high


def check_descending(name, values, interval, least=1):
    """Returns `values`, at least `least` numbers in `interval` that descend, as a float64 array of shape ``(n,)``.

    Raises:
        TypeError: If they are no numbers.
        ValueError: If they are no sequence, too few, outside the interval or not descending.
    """
    given = as_numbers(name, values)
    if given.ndim != 1 or given.size < least:
        amount = "a non-empty sequence of" if least == 1 else f"a sequence of at least {least}"
        raise ValueError(f"'{name}' must be {amount} numbers, but has shape {given.shape}.")
    outside = given[~(_inside(given, interval) & np.isfinite(given))]
    if outside.size:
        raise ValueError(f"'{name}' must lie in {interval}, but has {outside[0]}.")
    if np.any(given[1:] > given[:-1]):
        raise ValueError(f"'{name}' must be descending, but is {given.tolist()}.")
    return given


def as_numbers(name, values):
    """Returns numbers of any shape as a float64 array; TypeError if they are none."""
    try:
        return np.asarray(values, np.float64)
    except (TypeError, ValueError) as error:
        raise TypeError(f"'{name}' must hold numbers, but is {values!r}.") from error


def check_within(name, values, interval):
    """Returns an array if all of its values lie in `interval`, written as in ``"(0, 1]"``, else raises ValueError."""
    outside = ~_inside(values, interval)
    if np.any(outside):
        raise ValueError(f"'{name}' must be in {interval}, but is {values[outside][0]}.")
    return values


def check_bool(name, value):
    """Returns `value` if it is a bool, else raises TypeError."""
    if not isinstance(value, bool):
        raise TypeError(f"'{name}' must be True or False, but is {value!r} of type {type(value).__name__}.")
    return value


def check_generator(name, value):
    """Returns `value` if it is a `numpy.random.Generator`, else raises TypeError."""
    if not isinstance(value, np.random.Generator):
        raise TypeError(
            f"'{name}' must be a numpy.random.Generator, such as numpy.random.default_rng(0), but is {value!r} of type "
            f"{type(value).__name__}."
        )
    return value


def check_path(name, value):
    """Returns a str, a Path or another object with a path as a Path, else raises TypeError."""
    if not isinstance(value, (str, os.PathLike)):
        raise TypeError(f"'{name}' must be a path, a str or Path, but is {value!r} of type {type(value).__name__}.")
    return Path(value)


def check_function(name, value, called=""):
    """Returns `value` if it can be called, else raises TypeError that says how, as in ``"conditions(history, t)"``."""
    if not callable(value):
        how = called and f", called as {called}"
        raise TypeError(f"'{name}' must be a function{how}, but is {value!r} of type {type(value).__name__}.")
    return value


def check_any_given(function, **arguments):
    """Raises TypeError if all arguments of a function, by name, are None."""
    if all(value is None for value in arguments.values()):
        *names, last = [f"'{name}'" for name in arguments]
        raise TypeError(f"'{function}' needs {', '.join(names)} or {last}, but got none of them.")


def check_only_one(**arguments):
    """Raises ValueError if more than one of the arguments, by name, is not None."""
    names = [name for name, value in arguments.items() if value is not None]
    if len(names) > 1:
        raise ValueError(f"'{names[0]}' and '{names[1]}' are both given: give one of them.")


def check_one_given(function, **arguments):
    """Raises TypeError if all arguments of a function, by name, are None, and ValueError if several are not."""
    check_any_given(function, **arguments)
    check_only_one(**arguments)


def nearest(name, choices):
    """Returns a half-sentence that names the nearest of `choices` to `name`, or all of them if none is near."""
    choices = sorted(str(choice) for choice in choices)
    near = difflib.get_close_matches(str(name), choices, n=1, cutoff=0.5)
    if near:
        return f"did you mean '{near[0]}'?"
    return "allowed: " + ", ".join(f"'{choice}'" for choice in choices)


def _inside(value, interval):
    low, high = (float(end) for end in interval[1:-1].split(","))
    return (value >= low if interval[0] == "[" else value > low) & (
        value <= high if interval[-1] == "]" else value < high
    )


def _range_text(low, high):
    if high is None:
        return f"at least {low}"
    if low is None:
        return f"at most {high}"
    return f"in [{low}, {high}]"
