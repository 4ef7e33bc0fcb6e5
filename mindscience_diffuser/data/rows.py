"""Rows of arrays in files, each read from its place when it is asked for."""

import math
import zipfile

import numpy as np

HEADER_OF_A_MEMBER, PLACE_OF_LENGTHS = 30, 26


class Rows:
    """The rows of an array in a file, which need not fit into the memory.

    A row is read, not mapped: rows in random order make a map bring in ten times as much, which counts as memory of the
    process.

    Args:
        path (Path): The file.
        shape (tuple): Shape of the array.
        dtype (numpy.dtype): Its dtype.
        offset (int): Byte at which its values begin.
    """

    def __init__(self, path, shape, dtype, offset):
        self.path, self.shape, self.dtype, self.offset = path, shape, dtype, offset

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, k):
        count = math.prod(self.shape[1:])
        row = np.fromfile(self.path, self.dtype, count, offset=self.offset + k * count * self.dtype.itemsize)
        if row.size != count:
            raise ValueError(f"'{self.path}' ends before row {k} of {len(self)}: it was not written to its end.")
        return row.reshape(self.shape[1:])


def rows_of_npy(path):
    """Returns the :class:`Rows` of an npy file.

    Raises:
        ValueError: If it is no npy file of numbers in C order.
    """
    with path.open("rb") as file:
        return _rows(path, file, str(path))


def rows_of_npz(path, key):
    """Returns the rows of the array `key` in an npz file.

    They are read from the file where it was written by ``numpy.savez``. An array that ``numpy.savez_compressed`` wrote
    is read as a whole.

    Raises:
        ValueError: If the array is not one of numbers in C order.
    """
    with zipfile.ZipFile(path) as archive:
        member = archive.getinfo(f"{key}.npy")
    if member.compress_type != zipfile.ZIP_STORED:
        with np.load(path, allow_pickle=False) as arrays:
            return arrays[key]
    with path.open("rb") as file:
        # The header of the member in the file, which may be longer than that in the directory of the archive.
        file.seek(member.header_offset + PLACE_OF_LENGTHS)
        name, extra = np.frombuffer(file.read(4), "<u2")
        file.seek(member.header_offset + HEADER_OF_A_MEMBER + int(name) + int(extra))
        return _rows(path, file, f"'{key}' of {path}")


def keys_of_npz(path):
    """Returns the names of the arrays in an npz file."""
    with zipfile.ZipFile(path) as archive:
        return [name[:-4] for name in archive.namelist() if name.endswith(".npy")]


def _rows(path, file, what):
    """Returns the rows of the array that begins where `file` stands."""
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    try:
        version = np.lib.format.read_magic(file)
        shape, by_column, dtype = readers[version](file)
    except (ValueError, KeyError) as error:
        raise ValueError(f"{what} is no array that numpy.save wrote: {error}.") from None
    if dtype.hasobject:
        raise ValueError(f"{what} holds Python objects, which are not read: store numbers.")
    if by_column and len(shape) > 1:
        raise ValueError(f"{what} is stored by columns: save numpy.ascontiguousarray of it, so that samples are rows.")
    return Rows(path, shape, dtype, file.tell())
