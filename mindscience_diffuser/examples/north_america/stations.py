"""Yearly temperature over North America from a few stations, by posterior sampling and by optimal interpolation."""

import numpy as np
from mindspore import Tensor, nn, ops
from mindspore import dtype as mstype

from mindscience_diffuser.examples.north_america.data import (
    FIRST_YEAR,
    SCENARIOS,
    SHARED_YEARS,
    YEARS,
    read_scenario,
)
from mindscience_diffuser.guidance import PosteriorGuidance
from mindscience_diffuser.models.blocks import Dense, FeedForward
from mindscience_diffuser.models.embedding import SinusoidalEmbedding
from mindscience_diffuser.runs.evaluation.ensembles import EnsembleScore
from mindscience_diffuser.runs.evaluation.optimal_interpolation import gaussian_crps, gaussian_update
from mindscience_diffuser.runs.pictures.maps import save_maps
from mindscience_diffuser.validation import check_choice, check_integer, check_number

YEARS_OF_A_BLOCK, BLOCKS_PER_TEST = 10, 4
"""Every fourth decade is held out."""

SOLVES = 30
"""Conjugate-gradient iterations of the guidance, for as many equations as there are stations."""

NOISE_LEVEL_SCALE = 250
"""Factor that brings c_noise to the size of timesteps, for which the embedding is made."""


class NorthAmericaStations:
    """Fields of yearly temperature by their principal components, and what stations measure of the held-out ones.

    A sample ``(components,)`` holds the coefficients of the leading principal components of the training years, each
    of variance 1: for a Gaussian law of the fields with the covariance of the training years they are independent and
    standard normal. The stations stand at points that the seed chooses, the same in all years; each measures with
    noise.

    Args:
        split (str): Part that counts and gives samples, ``"train"`` or ``"test"``. Default: ``"train"``.
        components (int): Number of components. Default: ``249``, all of them.
        stations (int): Number of stations. Default: ``40``.
        noise_std (float): Standard deviation of their noise, in kelvin, above 0. Default: ``0.2``.
        seed (int): Seed of places and noise. Default: ``0``.

    Raises:
        ModuleNotFoundError: If ``iris-sample-data`` or xarray is not installed.
        TypeError: If an argument has the wrong type.
        ValueError: If an argument is out of its range.
    """

    metrics = "StationFigures"
    variables, units = ("air_temperature",), ("K",)

    def __init__(self, split="train", components=249, stations=40, noise_std=0.2, seed=0):
        self.split = check_choice("split", split, ("train", "test"))
        self.noise_std = check_number("noise_std", noise_std, "(0, inf)")
        self.fields, first = read_scenario(SCENARIOS[0], YEARS - 1)
        _, second = read_scenario(SCENARIOS[1], YEARS - 1)
        self.grid, self.coordinates = self.fields.grid, self.fields.coordinates
        everything = np.concatenate([first, second[SHARED_YEARS:]])
        years = np.concatenate([np.arange(YEARS), np.arange(SHARED_YEARS, YEARS)])
        held_out = years // YEARS_OF_A_BLOCK % BLOCKS_PER_TEST == BLOCKS_PER_TEST - 1
        self.truth = {"train": everything[~held_out], "test": everything[held_out]}
        self.years = {"train": FIRST_YEAR + years[~held_out], "test": FIRST_YEAR + years[held_out]}
        self.mean = self.truth["train"].mean(0)
        apart = self._departures("train")
        _, values, directions = np.linalg.svd(apart, full_matrices=False)
        count = check_integer("components", components, low=1, high=len(apart) - 1)
        scale = values[:count] / np.sqrt(len(apart) - 1)
        self.patterns = scale[:, None] * directions[:count]
        self._samples = {
            part: (self._departures(part) @ (directions[:count] / scale[:, None]).T).astype(np.float32)
            for part in self.truth
        }
        points = check_integer("stations", stations, low=1, high=self.mean.size)
        generator = np.random.default_rng(check_integer("seed", seed, low=0))
        self.stations = np.zeros(self.mean.shape, bool)
        self.stations.flat[generator.choice(self.mean.size, points, replace=False)] = True
        noise = self.noise_std * generator.standard_normal(self.truth["test"].shape)
        self.measured = np.where(self.stations, self.truth["test"] + noise, np.nan)

    @property
    def model_arguments(self):
        """What the model must know of the data."""
        return {"components": len(self.patterns)}

    def __len__(self):
        return len(self._samples[self.split])

    def __getitem__(self, k):
        return self._samples[self.split][k]

    def _departures(self, part):
        return (self.truth[part] - self.mean).reshape(len(self.truth[part]), -1)

    def drawn_conditions(self, numbers):
        """Returns the measurements of held-out years, in kelvin from the mean, ``(N, stations)``."""
        apart = (self.measured - self.mean)[np.asarray(numbers) % len(self.measured)]
        return (apart[:, self.stations].astype(np.float32),)

    def arrays(self, samples, conditions, numbers):
        """Returns samples as temperatures in kelvin; number k belongs to held-out year k modulo their number."""
        fields = self.mean.ravel() + samples.astype(np.float64) @ self.patterns
        return {"samples": fields.reshape(-1, 1, *self.mean.shape).astype(np.float32)}

    def write(self, directory, samples):
        """Writes temperatures as ``samples.nc``, with the coordinates and attributes of the simulation."""
        return self.fields.write(directory, samples)

    def interpolated(self):
        """Returns optimal interpolation of the held-out years: means ``(N, 37, 49)`` and deviations ``(37, 49)`` in K.

        The background is the Gaussian law with mean and covariance of the training years.
        """
        flat = self.truth["train"].reshape(len(self.truth["train"]), -1)
        mean, covariance = flat.mean(0), np.cov(flat.T)
        count, *grid = self.measured.shape
        means, left = gaussian_update(mean, covariance, self.measured.reshape(count, -1), self.noise_std)
        return means.reshape(self.measured.shape), np.sqrt(np.diag(left)).reshape(grid)

    def picture(self, path, arrays, config):
        """Writes maps of the first held-out year: the simulation, optimal interpolation, ensemble mean and a sample."""
        ensemble = arrays["samples"][:: len(self.measured), 0]
        fields = {
            "simulation, stations": self.truth["test"][0],
            "optimal interpolation": self.interpolated()[0][0],
            "mean of the samples": ensemble.mean(0),
            "a sample": ensemble[0],
            "spread of the samples": ensemble.std(0),
        }
        # North is above.
        up = -1 if np.diff(self.coordinates[self.grid[0]])[0] > 0 else 1
        shown = {name: (field if "spread" in name else field - self.mean)[::up] for name, field in fields.items()}
        title = f"{self.years['test'][0]}, K"
        points = {"simulation, stations": np.argwhere(self.stations[::up])}
        save_maps(path, {title: shown}, {"spread of the samples"}, points)


class ComponentNetwork(nn.Cell):
    """The network F of an EDM denoiser of principal components: two layers, and an output that is 0 before training.

    With sigma_data = 1 an output of 0 is the exact denoiser of independent standard normal components. What is learned
    is how far their law is from that.

    Args:
        components (int): Number of components.
        hidden_channels (int): Width of the layers. Default: ``128``.
        compute_dtype (mindspore.dtype): float32 or float16. Default: ``mindspore.float32``.
    """

    def __init__(self, components, hidden_channels=128, compute_dtype=mstype.float32):
        super().__init__()
        self.compute_dtype = compute_dtype
        self.wave_embed = SinusoidalEmbedding(hidden_channels)
        self.level_embed = FeedForward(hidden_channels, compute_dtype)
        self.lift = Dense(components, hidden_channels, compute_dtype)
        self.between = Dense(hidden_channels, hidden_channels, compute_dtype)
        self.output_proj = Dense(hidden_channels, components, compute_dtype, weight_init="zeros", bias_init="zeros")

    def construct(self, x, noise_level):
        """Predicts from the noisy components ``(B, components)`` and c_noise ``(B,)``."""
        level = self.level_embed(ops.cast(self.wave_embed(noise_level * NOISE_LEVEL_SCALE), self.compute_dtype))
        hidden = ops.silu(self.lift(ops.cast(x, self.compute_dtype)) + level)
        return self.output_proj(ops.silu(self.between(hidden) + level))


class AtStations(nn.Cell):
    """Temperatures at the stations, from the mean, of components ``(B, components)``.

    Args:
        patterns (numpy.ndarray): Of each component at each station, in kelvin, ``(components, stations)``.
    """

    def __init__(self, patterns):
        super().__init__()
        self.patterns = Tensor(patterns, mstype.float32)

    def construct(self, x):
        """Returns the temperatures ``(B, stations)``."""
        return ops.matmul(x, self.patterns)

    def adjoint(self, y):
        """Returns the product with the transpose."""
        return ops.matmul(y, self.patterns.T)


class StationGuidance(PosteriorGuidance):
    """Posterior guidance by the measurements of the stations.

    What the components left out do at the stations counts as noise of the measurements.

    Args:
        model (nn.Cell): The trained model.
        scheduler (Scheduler): The scheduler that draws.
        data (NorthAmericaStations): Says where the stations are, and how exact.
        method (str): See :class:`~mindscience_diffuser.PosteriorGuidance`. Default: ``"jacobian_free"``.
    """

    def __init__(self, model, scheduler, data, method="jacobian_free"):
        patterns = data.patterns[:, data.stations.ravel()]
        variance = (data.truth["train"] - data.mean)[:, data.stations].var(0, ddof=1)
        left_out = np.maximum(variance - (patterns**2).sum(0), 0)
        noise_std = np.sqrt(data.noise_std**2 + left_out)[None].astype(np.float32)
        super().__init__(model, scheduler, AtStations(patterns), Tensor(noise_std), method, iterations=SOLVES)


class StationFigures(EnsembleScore):
    """Scores of the ensembles in kelvin beside those of optimal interpolation, over all points."""

    headline = ("crps", "rmse", "spread")

    def prepare(self, data, count):
        """Takes the simulated fields; ValueError unless `count` samples are ensembles of one size."""
        super().prepare(data, count)
        self.simulation = data.test

    def __call__(self, drawn, held_out):
        """Returns the figures of the samples that were taken in; the truth has all components."""
        data = self.simulation
        truth = data.truth["test"]
        means, deviations = data.interpolated()
        return {
            **super().__call__(drawn, {"samples": truth[:, None]}),
            "optimal_interpolation": {
                "crps": float(gaussian_crps(means, deviations, truth).mean()),
                "rmse": float(np.sqrt(((means - truth) ** 2).mean())),
                "spread": float(np.sqrt((deviations**2).mean())),
            },
        }
