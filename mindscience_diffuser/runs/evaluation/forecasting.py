"""What a forecast run measures: scores, correlations and spectra over lead times, and the fields that it shows."""

import numpy as np

from mindscience_diffuser.runs.data.frame_batches import with_channels
from mindscience_diffuser.runs.distributed.ranks import gather
from mindscience_diffuser.runs.evaluation.forecast_scores import (
    DeterministicScores,
    ForecastScores,
    area_weights,
    listed,
)
from mindscience_diffuser.runs.evaluation.intervals import mean_and_interval
from mindscience_diffuser.runs.evaluation.patterns import pattern_correlation
from mindscience_diffuser.runs.evaluation.spectra import log_distance, radial_spectrum

SHOWN_LEADS = (1, 5, 10, 20, 50, 100)
"""Lead times, in frames, of which rank histograms, reliability, spectra and maps are shown."""

MOST_ANIMATED = 100
"""Frames of an animation, evenly spread over the film."""

SHOWN_MEMBERS = 2

TRUTH, MEMBER, MEAN_OF_MEMBERS, SPREAD = "truth", "one member", "ensemble mean", "ensemble spread"


class Scoring:
    """Scores of the forecasts of several kinds, film by film and lead time by lead time, in physical units.

    Of an ensemble the correlation is that of its mean, and the error of the spectrum the mean of those of its members:
    a mean has no small scales.

    Args:
        config (ForecastRun): The configuration.
        data: The films, see :mod:`mindscience_diffuser.runs.kinds.films.forecast`.
        names (Sequence[str]): The kinds of forecasts, that of the run first.
        ensembles (Sequence[str]): Those of them that are ensembles.
        frame (tuple): Shape of a frame, ``(C, *grid)``.
    """

    def __init__(self, config, data, names, ensembles, frame):
        section = config.forecast
        self.data, self.names, self.ensembles, self.axes = data, names, ensembles, len(frame) - 1
        self.leads, channels = section.frames, frame[0]
        weights = cell_weights(data, frame[1:]) if section.area_weights else None
        self.weights = 1.0 if weights is None else weights
        training = self.physical(with_channels(data, data.train)[0])
        thresholds = [np.quantile(training[:, :, c], section.threshold_quantile) for c in range(channels)]
        self.scores = {
            name: ForecastScores(self.leads, channels, weights, thresholds)
            if name in ensembles
            else DeterministicScores(self.leads, channels, weights)
            for name in names
        }
        shape = (section.films, self.leads, channels)
        self.correlations = {name: np.zeros(shape) for name in names}
        self.spectrum_errors = {name: np.zeros(shape) for name in names}
        self.wave_numbers, nothing = self.spectrum(np.zeros(frame))
        # All of them from the start, in one order: ranks exchange them one by one.
        shown = [TRUTH, MEMBER, MEAN_OF_MEMBERS, *(name for name in names if name not in ensembles)]
        self.powers = {name: np.zeros((self.leads, *nothing.shape)) for name in shown}
        self.counted = {name: np.zeros((self.leads, 1, 1)) for name in shown}
        self.shown_leads = [n for n in SHOWN_LEADS if n <= self.leads]
        self.animated = np.unique(np.linspace(1, self.leads, min(self.leads, MOST_ANIMATED)).round().astype(int))
        self.fields = {}
        """By lead time, from 1, and by title: fields ``(C, *grid)`` of the first film."""

    def physical(self, frames):
        """Returns frames ``(..., C, *grid)`` in physical units."""
        return self.data.physical(frames) if hasattr(self.data, "physical") else frames

    def spectrum(self, fields):
        """Returns wave numbers and the power of fields at them, see the module of the films."""
        if hasattr(self.data, "spectrum"):
            return self.data.spectrum(fields)
        return radial_spectrum(fields, self.axes, getattr(self.data, "periodic", False))

    def update(self, film, lead, forecasts, truth):
        """Takes in the forecasts of one film for one lead time.

        Args:
            film (int): Number of the film.
            lead (int): Lead time, from 0.
            forecasts (Mapping[str, numpy.ndarray]): Frames ``(C, *grid)``, of ensembles ``(M, C, *grid)``.
            truth (numpy.ndarray): Frame ``(C, *grid)``.
        """
        truth = self.physical(truth)
        forecasts = {name: self.physical(frames) for name, frames in forecasts.items()}
        true_power = self.spectrum(truth)[1]
        self._add_power(TRUTH, lead, true_power)
        for name, frames in forecasts.items():
            members = frames if name in self.ensembles else frames[None]
            piece = frames[:, None] if name in self.ensembles else members
            self.scores[name].update(piece, truth[None], film, lead)
            finite = members[np.isfinite(members).reshape(len(members), -1).all(1)]
            if not len(finite):
                self.correlations[name][film, lead] = self.spectrum_errors[name][film, lead] = np.nan
                continue
            mean, (_, power) = finite.mean(0, dtype=np.float64), self.spectrum(finite)
            self.correlations[name][film, lead] = pattern_correlation(mean, truth, self.axes, self.weights)
            self.spectrum_errors[name][film, lead] = log_distance(power, true_power).mean(0)
            if name == self.names[0]:
                self._add_power(MEMBER, lead, power.mean(0))
                self._add_power(MEAN_OF_MEMBERS, lead, self.spectrum(mean)[1])
            elif name not in self.ensembles:
                self._add_power(name, lead, power[0])
        if film == 0 and (lead + 1 in self.animated or lead + 1 in self.shown_leads):
            self._show(lead, forecasts, truth)

    def merge_ranks(self):
        """Takes in what all ranks have measured; every rank must call it."""
        for scores in self.scores.values():
            scores.merge_ranks()
        for parts in (self.correlations, self.spectrum_errors):
            parts.update({name: np.sum(gather(values), axis=0) for name, values in parts.items()})
        for parts in (self.powers, self.counted):
            parts.update({name: np.sum(gather(values), axis=0) for name, values in parts.items()})

    def figures(self):
        """Returns the figures, ready for JSON: of each kind of forecast a list over lead times, for each channel."""
        figures = {"scores": {name: scores.figures() for name, scores in self.scores.items()}}
        for title, parts in (("correlation", self.correlations), ("spectrum_error", self.spectrum_errors)):
            figures[title] = {
                name: dict(zip(("mean", "half_width"), map(listed, of_films(values)))) for name, values in parts.items()
            }
        figures["wave_numbers"] = self.wave_numbers.tolist()
        figures["power"] = {name: self.mean_power(name).tolist() for name in self.powers}
        return figures

    def mean_power(self, name):
        """Returns the mean power over the films, ``(T, C, K)``, 0 where no film contributed."""
        return self.powers[name] / np.maximum(self.counted[name], 1)

    def _add_power(self, name, lead, power):
        self.powers[name][lead] += power
        self.counted[name][lead] += 1

    def _show(self, lead, forecasts, truth):
        members = forecasts[self.names[0]]
        shown = {TRUTH: truth, MEAN_OF_MEMBERS: members.mean(0), SPREAD: members.std(0, ddof=1)}
        shown.update({f"member {k + 1}": members[k] for k in range(SHOWN_MEMBERS)})
        shown.update({name: frames for name, frames in forecasts.items() if name not in self.ensembles})
        self.fields[lead + 1] = {title: np.asarray(field, np.float32) for title, field in shown.items()}


def channel_names(data, channels):
    """Returns the name of each channel: those of the data, where they have some."""
    return list(getattr(data, "variables", ())) or [f"channel {c}" for c in range(channels)]


def cell_weights(data, grid):
    """Returns the weights of the cells of a grid whose first axis has the latitudes of the data; raises ValueError."""
    rows = area_weights(data.latitudes, 1)
    return np.broadcast_to(rows.reshape(-1, *(1,) * (len(grid) - 1)), grid)


def of_films(values):
    """Returns the mean over films and the half width of its confidence interval, NaN for a single film.

    Args:
        values (numpy.ndarray): Shape ``(N, T, C)``, NaN where a film is left out: it is not counted there.
    """
    mean, width = np.full((2, *values.shape[1:]), np.nan)
    for lead in range(values.shape[1]):
        known = values[np.isfinite(values[:, lead]).all(1), lead]
        if len(known) > 1:
            mean[lead], width[lead] = mean_and_interval(known)
        elif len(known):
            mean[lead] = known[0]
    return mean, width
