"""Samples in npy and npz files."""

import zipfile

from mindscience_diffuser.data.rows import keys_of_npz, rows_of_npy, rows_of_npz
from mindscience_diffuser.data.split import chosen
from mindscience_diffuser.data.values import check_kind, finite, not_found
from mindscience_diffuser.validation import check_path, nearest


class Arrays:
    """Samples along the first axis of an array in an npy or npz file, which may be larger than the memory.

    Args:
        path (str): The file.
        samples (str, optional): Name of the array in an npz file, shape ``(N, C, ...)``. Default: ``None``, its only
            array that is no condition.
        conditions (Sequence[str]): Arrays of N conditions, in the order of the model's inputs: names in the npz file,
            or npy files. Integers are taken as classes. Default: ``()``.
        split (str): ``"train"`` or ``"test"``. Default: ``"train"``.
        held_out (float or Sequence[int]): Share of samples that ``"test"`` gets, drawn the same way each time; or the
            first one of them and the one after the last. Default: ``0.1``.

    Raises:
        FileNotFoundError: If a file is missing.
        TypeError: If an argument has the wrong type, or an array does not hold floating-point numbers.
        ValueError: If an array is missing, several could be the samples, the numbers of samples and conditions differ,
            or an argument is out of its range. ``[k]`` raises it for values that are not finite, or do not fit int32.
    """

    def __init__(self, path, samples=None, conditions=(), split="train", held_out=0.1):
        if isinstance(conditions, str):
            raise TypeError(f"'conditions' must be a list of names, but is the text {conditions!r}.")
        self.path = _existing("path", path)
        names = _keys(self.path)
        if names is None and samples is not None:
            raise ValueError(f"'samples' names an array of an npz file, but '{path}' is no such file: leave it out.")
        self.samples = self._only_array(names, conditions) if samples is None else samples
        self.conditions = tuple(conditions)
        self._rows = _rows("samples", self.path, names, self.samples)
        self._condition_rows = [
            _rows("conditions", self.path if names else _existing("conditions", name), names, name)
            for name in self.conditions
        ]
        check_kind(f"'samples' ({self._called(self.samples)})", self._rows.dtype)
        if len(self._rows.shape) < 2:
            raise ValueError(
                f"'samples' must be an array (N, C, ...) of two axes or more, but has the shape {self._rows.shape}."
            )
        for name, rows in zip(self.conditions, self._condition_rows):
            check_kind(f"'conditions' ({self._called(name)})", rows.dtype, whole=True)
            if not rows.shape or len(rows) != len(self._rows):
                raise ValueError(
                    f"'conditions' must have one row for each of the {len(self._rows)} samples, but '{name}' has the "
                    f"shape {rows.shape}."
                )
        self.numbers = chosen(len(self._rows), split, held_out, shuffled=True)

    def __len__(self):
        return len(self.numbers)

    def __getitem__(self, k):
        number = int(self.numbers[k])
        sample = finite(f"Sample {number} of {self._called(self.samples)}", self._rows[number])
        if not self.conditions:
            return sample
        pairs = zip(self.conditions, self._condition_rows)
        return (sample, *(finite(f"Row {number} of {self._called(name)}", rows[number]) for name, rows in pairs))

    def _only_array(self, names, conditions):
        """Returns the name of the one array of an npz file that is no condition; None for an npy file."""
        if names is None:
            return None
        left = [name for name in names if name not in conditions]
        if len(left) != 1:
            found = ", ".join(f"'{name}'" for name in left) or "none"
            raise ValueError(f"'samples' must say which array of '{self.path}' holds the samples; there are: {found}.")
        return left[0]

    def _called(self, name):
        """Returns what an error calls an array."""
        if name is None:
            return f"'{self.path}'"
        return f"'{name}' of '{self.path}'" if self.path.suffix == ".npz" else f"'{name}'"


def _existing(argument, path):
    """Returns a Path of an existing file."""
    file = check_path(argument, path)
    if not file.is_file():
        raise not_found(argument, "file", path)
    return file


def _keys(path):
    """Returns the names of the arrays of an npz file, or None for an npy file."""
    if path.suffix == ".npy":
        return None
    if path.suffix != ".npz" or not zipfile.is_zipfile(path):
        raise ValueError(f"'path' must be an npy or npz file of NumPy, but is '{path}'.")
    return keys_of_npz(path)


def _rows(argument, path, names, name):
    if names is None:
        return rows_of_npy(path)
    if name not in names:
        raise ValueError(f"'{argument}' names the array '{name}', which is not in '{path}': {nearest(name, names)}")
    return rows_of_npz(path, name)
