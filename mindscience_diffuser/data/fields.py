"""Fields on a grid in NetCDF files and Zarr stores, through xarray."""

from pathlib import Path

import numpy as np

from mindscience_diffuser.data.split import chosen
from mindscience_diffuser.data.values import check_kind, finite, not_found
from mindscience_diffuser.files import write_atomically
from mindscience_diffuser.validation import check_path, nearest

SAMPLE = "sample"
"""Dimension that counts the samples in a file that is written."""


class Fields:
    """Samples of fields: the chosen variables are the channels, a chosen dimension counts the samples.

    Args:
        path (str): A NetCDF file or a Zarr store.
        variables (Sequence[str]): The variables of a sample; all have the dimension `samples` and the same grid.
        samples (str): The dimension that counts the samples. Default: ``"time"``.
        conditions (Sequence[str]): Variables of the condition. Those on the grid become the channels of one field
            ``(F, *grid)``; they may be without the dimension `samples`, such as a height of the ground. Those with
            the dimension `samples` alone become one vector, which comes before the field. Default: ``()``.
        split (str): ``"train"`` or ``"test"``. Default: ``"train"``.
        held_out (float or Sequence[int]): Share of samples that ``"test"`` gets, the last ones, since neighbours in
            time are alike; or the first one of them and the one after the last. Default: ``0.1``.

    Raises:
        FileNotFoundError: If there is no such file.
        ModuleNotFoundError: If xarray, or what it needs to read the file, is not installed.
        TypeError: If an argument has the wrong type, or a variable does not hold floating-point numbers.
        ValueError: If a variable or dimension is missing, or the variables do not fit together. ``[k]`` raises it for
            missing values.
    """

    def __init__(self, path, variables, samples="time", conditions=(), split="train", held_out=0.1):
        for name, value in (("variables", variables), ("conditions", conditions)):
            if isinstance(value, str):
                raise TypeError(f"'{name}' must be a list of names, but is the text {value!r}: write [{value}].")
        if not variables:
            raise ValueError("'variables' is empty: name at least one variable.")
        self.path, self.samples = path, samples
        self.variables = tuple(variables)
        self._data = _opened(path)
        for name in (*variables, *conditions):
            if name not in self._data:
                raise ValueError(f"'{path}' has no variable '{name}': {nearest(name, self._data.data_vars)}")
        if samples not in self._data.dims:
            raise ValueError(f"'{path}' has no dimension '{samples}': {nearest(samples, self._data.dims)}")
        self.grid = self._grid_of(self.variables[0])
        for name in self.variables:
            self._check(name, self.grid, "those of the first variable")
        whole = {name: set(self._data[name].dims) == {samples} for name in conditions}
        self.vector = tuple(name for name in conditions if whole[name])
        self.field = tuple(name for name in conditions if not whole[name])
        for name in self.field:
            self._check(name, self.grid, "those of the variables", optional=True)
        for name in self.vector:
            check_kind(f"'conditions' ('{name}')", self._data[name].dtype, whole=True)
        self.numbers = chosen(self._data.sizes[samples], split, held_out, shuffled=False)

    def __len__(self):
        return len(self.numbers)

    def __getitem__(self, k):
        number = int(self.numbers[k])
        sample = self._channels(self.variables, number)
        conditions = ()
        if self.vector:
            conditions += (np.stack([np.float32(self._values(name, number)) for name in self.vector]),)
        if self.field:
            conditions += (self._channels(self.field, number),)
        return (sample, *conditions) if conditions else sample

    @property
    def coordinates(self):
        """The coordinates of the grid, a dict of arrays of xarray by dimension; a dimension may be without."""
        return {name: self._data[name] for name in self.grid if name in self._data.coords}

    @property
    def times(self):
        """The coordinate of the dimension that counts the samples, the numbers that are stored, or None."""
        return self._data[self.samples].values if self.samples in self._data.coords else None

    @property
    def units(self):
        """The unit of each channel, or an empty text."""
        return tuple(str(self._data[name].attrs.get("units", "")) for name in self.variables)

    def write(self, directory, samples):
        """Writes samples as ``samples.nc``, with the variables, coordinates, units and attributes of the data set.

        Args:
            directory (str or Path): The folder.
            samples (numpy.ndarray): Shape ``(N, C, *grid)``, in the units of the data set.

        Returns:
            list of Path, the file.
        """
        import xarray

        drawn = xarray.Dataset(coords=self.coordinates, attrs=self._data.attrs)
        for channel, name in enumerate(self.variables):
            values = np.asarray(samples[:, channel], np.float32)
            drawn[name] = ((SAMPLE, *self.grid), values, self._data[name].attrs)
        path = Path(directory) / "samples.nc"
        write_atomically(path, drawn.to_netcdf)
        return [path]

    def _grid_of(self, name):
        return tuple(dimension for dimension in self._data[name].dims if dimension != self.samples)

    def _check(self, name, grid, whose, optional=False):
        """Raises ValueError unless a variable lies on the grid, and TypeError unless it holds real numbers."""
        variable = self._data[name]
        if self.samples not in variable.dims and not optional:
            raise ValueError(
                f"The variable '{name}' has no dimension '{self.samples}' to count samples: it has {variable.dims}."
            )
        if self._grid_of(name) != grid or not grid:
            raise ValueError(
                f"The variable '{name}' has the dimensions {self._grid_of(name)} beside '{self.samples}', but must "
                f"have {whose}, {grid}, in the same order, and at least one."
            )
        check_kind(f"The variable '{name}'", variable.dtype)

    def _channels(self, names, number):
        return np.stack([self._values(name, number) for name in names])

    def _values(self, name, number):
        # A DataArray would slice its coordinates too, which takes longer than reading.
        variable = self._data.variables[name]
        if self.samples in variable.dims:
            variable = variable[{self.samples: number}]
        return finite(f"The variable '{name}' at {self.samples} {number}", variable.values)


def _opened(path):
    """Returns a data set whose variables are read when they are asked for; times stay the numbers that are stored."""
    if not check_path("path", path).exists():
        raise not_found("path", "file", path)
    advice = "Fields needs xarray and what it reads files with: pip install mindscience_diffuser[fields]"
    try:
        import xarray
    except ImportError:
        raise ModuleNotFoundError(advice) from None
    try:
        return xarray.open_dataset(path, decode_times=False, engine="zarr" if Path(path).is_dir() else None)
    except ImportError as error:
        raise ModuleNotFoundError(f"{advice} ({error})") from None
    except (ValueError, OSError) as error:
        if "dependencies may not be installed" in str(error):
            raise ModuleNotFoundError(f"{advice} ({str(error).splitlines()[0]})") from None
        raise ValueError(f"'path' names '{path}', which xarray does not read: {error}") from None
