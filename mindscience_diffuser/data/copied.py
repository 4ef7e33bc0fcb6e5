"""A data set of ``mindspore.dataset``, copied once to files from which any sample can be read."""

import sys
import tempfile
from pathlib import Path

import numpy as np

from mindscience_diffuser.data.rows import Rows
from mindscience_diffuser.data.split import chosen
from mindscience_diffuser.data.values import check_kind, finite


def as_data(source, split="train", held_out=0.1):
    """Returns what a user gave as a data set: a :class:`Copied` one of ``mindspore.dataset``, anything else as it is.

    Args:
        source (object): A data set.
        split (str): See :class:`Copied`. Default: ``"train"``.
        held_out (float or Sequence[int]): See :class:`Copied`. Default: ``0.1``.
    """
    # Where nobody has imported it, the object is none of its data sets, and the import would take a second.
    module = sys.modules.get("mindspore.dataset")
    if module is not None and isinstance(source, module.Dataset):
        return Copied(source, split, held_out)
    return source


class Copied:
    """The samples of a data set of ``mindspore.dataset``, which gives them only one after the other.

    It is gone through once, and its columns are kept in temporary files that vanish with this object. What it draws at
    random, such as augmentations, is drawn once.

    Args:
        dataset (mindspore.dataset.Dataset): Its first column holds the samples, the others the conditions.
        split (str): ``"train"`` or ``"test"``. Default: ``"train"``.
        held_out (float or Sequence[int]): Share of samples that ``"test"`` gets, drawn the same way each time; or the
            first one of them and the one after the last. Default: ``0.1``.

    Raises:
        TypeError: If the samples are no floating-point numbers.
        ValueError: If the data set is empty or in batches, or a column changes its shape.
    """

    def __init__(self, dataset, split="train", held_out=0.1):
        if dataset.get_batch_size() != 1:
            raise ValueError(
                f"The data set comes in batches of {dataset.get_batch_size()}: leave out its 'batch', the run makes "
                "the batches."
            )
        self.columns = dataset.get_col_names()
        self._folder = tempfile.TemporaryDirectory(prefix="mindscience_diffuser_")
        self._rows = self._copy(dataset)
        check_kind(f"The column '{self.columns[0]}'", self._rows[0].dtype)
        for name, rows in zip(self.columns[1:], self._rows[1:]):
            check_kind(f"The column '{name}'", rows.dtype, whole=True)
        self.numbers = chosen(len(self._rows[0]), split, held_out, shuffled=True)

    def __len__(self):
        return len(self.numbers)

    def __getitem__(self, k):
        number = int(self.numbers[k])
        row = [finite(f"Row {number} of '{name}'", rows[number]) for name, rows in zip(self.columns, self._rows)]
        return tuple(row) if len(row) > 1 else row[0]

    def _copy(self, dataset):
        """Writes each column as it comes; returns the rows."""
        paths = [Path(self._folder.name) / str(place) for place in range(len(self.columns))]
        files = [path.open("wb") for path in paths]
        first, count = None, 0
        try:
            for row in dataset.create_tuple_iterator(num_epochs=1, output_numpy=True):
                kinds = [(value.shape, value.dtype) for value in row]
                first = first or kinds
                if kinds != first:
                    place = next(i for i in range(len(row)) if kinds[i] != first[i])
                    raise ValueError(
                        f"The column '{self.columns[place]}' has the shape {kinds[place][0]} and dtype "
                        f"{kinds[place][1]} in row {count}, but {first[place][0]} and {first[place][1]} in row 0."
                    )
                for file, value in zip(files, row):
                    file.write(np.ascontiguousarray(value).tobytes())
                count += 1
        finally:
            for file in files:
                file.close()
        if count == 0:
            raise ValueError("The data set is empty.")
        return [Rows(path, (count, *shape), dtype, 0) for path, (shape, dtype) in zip(paths, first)]
