"""Ensembles: several samples for the condition of each held-out field, measured against the field."""

import numpy as np

from mindscience_diffuser.runs.distributed.ranks import rank_count
from mindscience_diffuser.runs.evaluation.forecast_scores import DeterministicScores, ForecastScores

OF_CHANNELS = ("crps", "rmse", "spread", "spread_over_error", "rank_histogram")
"""Figures of each channel."""


class EnsembleScore:
    """Scores of ensembles, in the units of the data.

    Every held-out field is the truth of the samples that were drawn with its conditions: ``sampling.samples`` is a
    multiple of the number of held-out fields, whose conditions are taken in turns. All samples of a run are taken in,
    and held in memory.

    ``crps`` is the fair one, ``rmse`` that of the mean of the ensemble, and ``spread`` the root of the mean variance of
    the ensemble, which is close to ``rmse`` where the ensemble knows its own error; they are those of all values
    together. ``energy_score``, and for each channel ``crps``, ``rmse``, ``spread``, ``spread_over_error`` and
    ``rank_histogram``, are those of :class:`~mindscience_diffuser.runs.evaluation.forecast_scores.ForecastScores`. Of a
    single sample for each field there are ``crps``, its absolute error, and ``rmse`` alone.
    """

    headline = ("crps", "rmse", "spread")

    def __init__(self):
        self.pieces = []

    def prepare(self, data, count):
        """Raises ValueError unless `count` samples are ensembles of one size, drawn in one process."""
        if rank_count() > 1:
            raise ValueError("ensembles are measured in one process: start the run without msrun")
        held_out = len(data.test)
        if count % held_out:
            raise ValueError(
                f"ensembles need as many samples for each of the {held_out} held-out conditions, but there are {count} "
                f"samples: set 'sampling.samples' to a multiple of {held_out}"
            )

    def update(self, arrays):
        """Takes in the next samples of a run."""
        self.pieces.append({name: np.asarray(values) for name, values in arrays.items()})

    def merge_ranks(self):
        """There is one process, see :meth:`prepare`."""

    def __call__(self, drawn, held_out):
        """Returns the figures of the samples that were taken in; `drawn` are the first of them."""
        samples = np.concatenate([piece["samples"] for piece in self.pieces or [drawn]])
        truth = held_out["samples"]
        ensembles = samples.reshape(-1, *truth.shape)
        # Channels on the first axis; a sample without a grid is one channel.
        shape = (truth.shape[1] if truth.ndim > 2 else 1, -1)
        fields = truth.reshape(len(truth), 1, *shape)
        ensembles = ensembles.reshape(*ensembles.shape[:2], 1, *shape)
        if len(ensembles) == 1:
            return single_figures(ensembles[0], fields)
        scores = ForecastScores(1, shape[0])
        for k, field in enumerate(fields):
            scores.update(ensembles[:, k], field, k)
        figures = scores.figures()
        crps, rmse, spread = (np.array(figures[name][0], float) for name in ("crps", "rmse", "spread"))
        return {
            "crps": float(crps.mean()),
            "rmse": float(np.sqrt((rmse**2).mean())),
            "spread": float(np.sqrt((spread**2).mean())),
            "energy_score": figures["energy_score"][0],
            "members": figures["members"],
            "members_left_out": figures["members_left_out"],
            "channels": {name: figures[name][0] for name in OF_CHANNELS},
        }


def single_figures(samples, truth):
    """Returns the figures of one sample for each field, both ``(N, 1, C, P)``."""
    scores = DeterministicScores(1, truth.shape[2])
    for sample, field in zip(samples, truth):
        scores.update(sample, field)
    figures = scores.figures()
    crps, rmse = (np.array(figures[name][0], float) for name in ("mae", "rmse"))
    return {"crps": float(crps.mean()), "rmse": float(np.sqrt((rmse**2).mean())), "members": 1}
