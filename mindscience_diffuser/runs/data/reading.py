"""Reading the samples of a part of the data: what they give is checked, and a message numbers them as they do."""

from numbers import Number

import numpy as np

from mindscience_diffuser.data import Copied
from mindscience_diffuser.data.values import beyond_int32
from mindscience_diffuser.runs.errors import ConfigError


class Part:
    """Some samples of data, which offers what the data offer.

    Args:
        data: The whole.
        numbers (numpy.ndarray): Numbers of the samples of this part.
    """

    def __init__(self, data, numbers):
        self.data = data
        self.numbers = numbers
        if method(data, "batch"):
            self.batch = lambda chosen: data.batch(numbers[np.asarray(chosen)])

    def __len__(self):
        return len(self.numbers)

    def __getitem__(self, k):
        return self.data[int(self.numbers[k])]

    def __getattr__(self, name):
        return getattr(self.data, name)


class Reading:
    """Reads samples and their conditions from a part of data.

    Args:
        part: The part, a class with ``__len__`` and ``__getitem__``.
        split (str): Its name, ``"train"`` or ``"test"``.
        component (Component): The component that the data were built from, for messages.
    """

    def __init__(self, part, split, component):
        self.part, self.split, self.component = part, split, component

    def read(self, numbers):
        """Returns samples and conditions as they are, a tuple of arrays ``(N, ...)`` in single precision.

        Raises:
            ConfigError: If they are no numbers, or no such ones as the device takes.
        """
        if method(self.part, "batch"):
            try:
                given = self.part.batch(numbers)
                arrays = [np.asarray(array) for array in given]
            except Exception as error:
                raise self._error(f"fails to give samples: {type(error).__name__}: {error}") from error
            if not isinstance(given, (tuple, list)) or any(a.shape[:1] != (len(numbers),) for a in arrays):
                raise self._error(
                    f"must give a tuple of arrays by 'batch', with as many rows as it gets numbers, {len(numbers)}"
                )
        else:
            arrays = self._stacked(numbers)
        if arrays[0].dtype.kind != "f":
            raise self._error(
                f"gives samples of {arrays[0].dtype}: they must be floating-point numbers, of about unit variance"
            )
        for place, array in enumerate(arrays[1:], 1):
            if array.dtype.kind not in "fiub":
                raise self._error(f"gives {_which(place)} of {array.dtype}: it must be of numbers")
            beyond = beyond_int32(array)
            if beyond.any():
                which = self.first(place, numbers, beyond)
                raise self._error(f"gives {which} with the value {array[beyond][0]}, which does not fit int32")
        return tuple(array.astype(single(array.dtype), copy=False) for array in arrays)

    def _stacked(self, numbers):
        """Returns the samples of these numbers and their conditions, stacked one by one."""
        entries = []
        for k in numbers:
            try:
                entries.append(_split(self.part[int(k)]))
            except Exception as error:
                raise self._error(f"fails to give sample {self.number(k)}: {type(error).__name__}: {error}") from error
        first, number = entries[0], self.number(numbers[0])
        for k, entry in zip(numbers, entries):
            if len(entry) != len(first):
                raise self._error(
                    f"gives {len(first) - 1} conditions with sample {number}, but {len(entry) - 1} with sample "
                    f"{self.number(k)}"
                )
            for place, (array, other) in enumerate(zip(entry, first)):
                if array.shape != other.shape:
                    raise self._error(
                        f"gives {_which(place)} {number} of shape {other.shape}, but {self.number(k)} of {array.shape}"
                    )
        return tuple(np.stack(arrays) for arrays in zip(*entries))

    def number(self, k):
        """Returns how the data themselves number sample k of the part."""
        if isinstance(self.part, (Part, Copied)):
            return f"number {self.part.numbers[k]}"
        return f"number {k} of split='{self.split}'"

    def first(self, place, numbers, bad):
        """Returns what a message calls the first sample, or condition of it, with a bad value."""
        rows = bad.reshape(len(bad), -1).any(axis=1)
        return f"{_which(place)} {self.number(numbers[int(np.argmax(rows))])}"

    def _error(self, what):
        return component_error(self.component, what)


def component_error(component, what):
    """Returns the ConfigError that says what is wrong with the data of a component."""
    return ConfigError(f"{component.name} at '{component.place}' {what}", component.place)


def method(data, name):
    """Returns the method of that name that the class of data offers, or None; a value of that name is not meant."""
    found = getattr(data, name, None)
    return found if callable(found) else None


def _split(entry):
    """Returns sample and conditions of what ``data[k]`` gives, a tuple of arrays."""
    if isinstance(entry, list) and (not entry or isinstance(entry[0], (list, Number))):
        raise TypeError("it is a list of numbers: give an array, or a tuple of the sample and its conditions")
    return tuple(np.asarray(part) for part in (entry if isinstance(entry, (tuple, list)) else (entry,)))


def single(dtype):
    """Returns the dtype in which the device takes values: float32, int32 or bool."""
    return {"f": np.dtype(np.float32), "i": np.dtype(np.int32), "u": np.dtype(np.int32)}.get(dtype.kind, dtype)


def _which(place):
    return "sample" if place == 0 else f"condition {place - 1} of sample"
