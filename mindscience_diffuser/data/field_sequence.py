"""A sequence of fields in time as the films of a forecast, from a NetCDF file or a Zarr store."""

import numpy as np

from mindscience_diffuser.data.fields import Fields
from mindscience_diffuser.data.normalisation import Normalisation
from mindscience_diffuser.validation import check_bool, check_integer, check_number

LATITUDE_NAMES, LATITUDE_UNITS = ("lat", "latitude"), ("degrees_north", "degree_north")


class FieldSequence:
    """Fields at equal steps of time: the first ones train a model of the next field, the last ones are forecast.

    All fields are held in memory. Each channel is brought to mean 0 and standard deviation 1 over the training fields.
    An axis of the grid with a single point, such as one level, is left out.

    Args:
        path (str): A NetCDF file or a Zarr store.
        variables (Sequence[str]): The channels of a field; all have the dimension `time` and the same grid, of one to
            three axes with more than one point.
        context (int): Number of past fields that the model sees, at least 1. Default: ``2``.
        time (str): The dimension of time. If it has a coordinate, that must ascend at equal steps; months and years,
            whose days differ, count as such. Default: ``"time"``.
        held_out (float): Share of the fields, the last ones, that no training sees, in (0, 1). Default: ``0.1``.
        periodic (bool): Whether the grid closes on itself, for spectra. Default: ``False``.

    Raises:
        FileNotFoundError: If there is no such file.
        ModuleNotFoundError: If xarray, or what it needs to read the file, is not installed.
        TypeError: If an argument has the wrong type, or a variable does not hold floating-point numbers.
        ValueError: If a variable or dimension is missing, a value is missing, times are not equal steps, or an argument
            is out of its range.
    """

    def __init__(self, path, variables, context=2, time="time", held_out=0.1, periodic=False):
        self.context = check_integer("context", context, low=1)
        self.periodic = check_bool("periodic", periodic)
        held_out = check_number("held_out", held_out, "(0, 1)")
        parts = [Fields(path, variables, samples=time, split=split, held_out=held_out) for split in ("train", "test")]
        self.fields = parts[0]
        self.variables, self.units = self.fields.variables, self.fields.units
        _check_times(path, time, self.fields.times)
        known, tested = (np.stack([part[k] for k in range(len(part))]) for part in parts)
        sizes = {name: size for name, size in zip(self.fields.grid, known.shape[2:]) if size > 1}
        if not sizes:
            raise ValueError(f"'variables' have a single point at each {time} in '{path}': a field needs more.")
        self.grid, self.axes = tuple(sizes), len(sizes)
        known, tested = (part.reshape(*part.shape[:2], *sizes.values()) for part in (known, tested))
        self.normalisation = Normalisation.fit(known)
        self._tested = self.normalisation.apply(tested)
        self.train = self.normalisation.apply(known)[None], None
        self.train_frames, self.test_frames = len(known), len(self._tested)

    @property
    def model_arguments(self):
        """Arguments of a model that follow from the data: channels first, past fields as channels of one condition."""
        channels = len(self.variables)
        return {
            "context": self.context,
            "in_channels": channels,
            "out_channels": channels,
            "axes": self.axes,
            "field_channels": self.context * channels,
        }

    @property
    def facts(self):
        """What is noted beside weights: they hold for fields of the same mean and standard deviation alone."""
        mean, deviation = self.normalisation.mean, self.normalisation.deviation
        return {"normalisation": {"mean": mean.tolist(), "deviation": deviation.tolist()}}

    @property
    def latitudes(self):
        """Latitude of each row in degrees; there is no such attribute where the rows have none."""
        coordinate = self.fields.coordinates.get(self.grid[0])
        if coordinate is not None:
            names = (self.grid[0].lower(), str(coordinate.attrs.get("standard_name", "")))
            if any(name in LATITUDE_NAMES for name in names) or coordinate.attrs.get("units") in LATITUDE_UNITS:
                latitudes = np.asarray(coordinate, np.float64)
                radians = str(coordinate.attrs.get("units", "")).startswith("rad")
                return np.rad2deg(latitudes) if radians else latitudes
        raise AttributeError(f"The dimension '{self.grid[0]}' has no coordinate of latitudes.")

    def test(self, films, frames):
        """Returns films ``(N, T, C, *grid)`` that no training has seen, spread evenly, and None: there are no actions.

        Args:
            films (int): Number N of films; they begin at different times and may overlap.
            frames (int): Number T of fields of each.

        Raises:
            ValueError: If fewer than N films of so many frames are held out.
        """
        most = max(self.test_frames - check_integer("frames", frames, low=1) + 1, 0)
        check_integer("films", films, low=1, high=most)
        starts = np.linspace(0, most - 1, films).round().astype(int)
        return self._tested[starts[:, None] + np.arange(frames)], None

    def physical(self, fields):
        """Returns fields ``(..., C, *grid)`` in the units of the file."""
        return self.normalisation.undo(fields)


def _check_times(path, name, times):
    """Raises ValueError unless times, where there are some, are numbers that ascend at equal steps."""
    if times is None or len(times) < 2 or not np.issubdtype(times.dtype, np.number):
        return
    steps = np.diff(times.astype(np.float64))
    usual = np.median(steps)
    wrong = np.flatnonzero(~((steps > 0) & (np.abs(steps - usual) < usual / 2)))
    if wrong.size:
        before, after = times[wrong[0]], times[wrong[0] + 1]
        raise ValueError(
            f"'time' names '{name}', whose values must ascend at equal steps, but in '{path}' number {wrong[0] + 1} is "
            f"{after} after {before}, where the usual step is {usual:g}: sort the times, and fill the gaps or cut the "
            "file at them."
        )
