"""Yearly air temperature over North America of a climate model, to be refined from a coarse grid.

The files come with the package ``iris-sample-data``: two scenarios of 240 years from 1860 on, 37 x 49 points. Up to
1999 both are the same simulation, which counts once.
"""

from pathlib import Path

import numpy as np

from mindscience_diffuser.data import Fields
from mindscience_diffuser.examples.north_america.coarse import Regression, block_means, interpolated
from mindscience_diffuser.examples.north_america.maps import save_maps
from mindscience_diffuser.validation import check_choice, check_integer, check_number

SCENARIOS = ("A1B", "E1")
VARIABLE = "air_temperature"
FIRST_YEAR, YEARS, SHARED_YEARS = 1860, 240, 140
COARSER, YEARS_OF_A_FOLD = 8, 30


class NorthAmerica:
    """Fine fields of yearly temperature, each with the coarse field that it is to be drawn from.

    The coarse field has the means over 8 x 8 points. A ridge regression of the difference between the fine and the
    cubically interpolated coarse field says what can be said of each point; a sample ``(1, 37, 49)`` is what the
    regression leaves, in units of its standard deviation at the point. Among the training years that is what a
    regression leaves that has not seen the 30 years around. The condition ``(2, 37, 49)`` has the interpolated coarse
    field, as a departure from the mean of the training years, and the mean of that difference, which shows coasts and
    mountains.

    Args:
        split (str): Part that counts and gives samples, ``"train"`` or ``"test"``. Default: ``"train"``.
        held_out_years (int): Last years of both scenarios, which are held out, in [1, 90]. Default: ``60``.
        penalty (float): Penalty of the regression, above 0. Default: ``3.0``, the best of 0.3, 1, 3, 10, 30 and 100
            among the training years.

    Raises:
        ModuleNotFoundError: If ``iris-sample-data`` or xarray is not installed.
        TypeError: If an argument has the wrong type.
        ValueError: If an argument is out of its range.
    """

    metrics = "RefinementFigures"
    variables, units = ("air_temperature",), ("K",)

    def __init__(self, split="train", held_out_years=60, penalty=3.0):
        check_choice("split", split, ("train", "test"))
        self.last = YEARS - check_integer("held_out_years", held_out_years, low=1, high=90)
        check_number("penalty", penalty, "(0, inf)")
        self.fields, first = read_scenario(SCENARIOS[0], self.last)
        _, second = read_scenario(SCENARIOS[1], self.last)
        self.grid, self.coordinates = self.fields.grid, self.fields.coordinates
        kept, tested = slice(SHARED_YEARS, self.last), slice(self.last, YEARS)
        self.truth = {
            "train": np.concatenate([first[: self.last], second[kept]]),
            "test": np.concatenate([first[tested], second[tested]]),
        }
        years = FIRST_YEAR + np.arange(YEARS)
        self.years = {
            "train": np.concatenate([years[: self.last], years[kept]]),
            "test": np.concatenate([years[tested]] * 2),
        }
        coarse = {part: block_means(fields, COARSER) for part, fields in self.truth.items()}
        places = [np.asarray(self.coordinates[name], np.float64) for name in self.grid]
        centres = [block_means(np.stack([place] * 2), COARSER)[0] for place in places]
        rows, columns = zip(centres, places)
        self.bilinear, self.cubic = (
            {part: interpolated(values, rows, columns, method) for part, values in coarse.items()}
            for method in ("linear", "cubic")
        )
        difference = {part: self.truth[part] - self.cubic[part] for part in self.truth}
        regression = Regression(coarse["train"], difference["train"], penalty)
        self.expected = {part: self.cubic[part] + regression(coarse[part]) for part in self.truth}
        left = {"test": self.truth["test"] - self.expected["test"], "train": np.empty_like(difference["train"])}
        folds = (self.years["train"] - FIRST_YEAR) // YEARS_OF_A_FOLD
        for fold in np.unique(folds):
            out = folds == fold
            others = Regression(coarse["train"][~out], difference["train"][~out], penalty)
            left["train"][out] = difference["train"][out] - others(coarse["train"][out])
        self.deviation = left["train"].std(0)
        climate, structure = self.cubic["train"].mean(0), difference["train"].mean(0)
        spread = (self.cubic["train"] - climate).std()
        self._samples = {part: (values / self.deviation)[:, None].astype(np.float32) for part, values in left.items()}
        self._conditions = {
            part: np.stack(
                np.broadcast_arrays((values - climate) / spread, (structure - structure.mean()) / structure.std()), 1
            ).astype(np.float32)
            for part, values in self.cubic.items()
        }
        self.split = split

    def __len__(self):
        return len(self._samples[self.split])

    def __getitem__(self, k):
        return self._samples[self.split][k], self._conditions[self.split][k]

    def arrays(self, samples, conditions, numbers):
        """Returns samples as temperatures in kelvin; number k belongs to held-out field k modulo their number."""
        numbers = np.asarray(numbers) % len(self.truth["test"])
        fields = self.expected["test"][numbers] + self.deviation * samples[:, 0].astype(np.float64)
        return {"samples": fields[:, None].astype(np.float32)}

    def write(self, directory, samples):
        """Writes temperatures as ``samples.nc``, with the coordinates and attributes of the simulation."""
        return self.fields.write(directory, samples)

    def picture(self, path, arrays, config):
        """Writes maps of a held-out year and of the first samples for it."""
        save_maps(path, self, arrays["samples"])


def read_scenario(scenario, last):
    """Returns the reader of a scenario, of the years before `last`, and all its fields ``(240, 37, 49)``, float64."""
    path = _folder() / f"{scenario}_north_america.nc"
    parts = [Fields(path, [VARIABLE], held_out=[last, YEARS], split=part) for part in ("train", "test")]
    return parts[0], np.stack([part[k][0] for part in parts for k in range(len(part))]).astype(np.float64)


def _folder():
    try:
        import iris_sample_data
    except ImportError:
        raise ModuleNotFoundError(
            "NorthAmerica needs the package iris-sample-data: pip install iris-sample-data"
        ) from None
    return Path(iris_sample_data.path)
