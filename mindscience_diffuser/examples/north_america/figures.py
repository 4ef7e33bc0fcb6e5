"""How close refined fields are to those of the simulation, beside interpolation."""

import numpy as np

from mindscience_diffuser.runs.evaluation.ensembles import EnsembleScore
from mindscience_diffuser.runs.evaluation.forecast_scores import fair_crps
from mindscience_diffuser.runs.evaluation.spectra import SpectrumDistance

MOST_OF_A_SPECTRUM = 480
"""Samples of which the spectrum is taken."""


class RefinementFigures(EnsembleScore):
    """Scores of ensembles of refined fields in kelvin, beside those of interpolation and of the regression.

    The CRPS of a single field is its mean absolute error. ``spectrum_error`` is that of the fields themselves,
    ``departure_spectrum_error`` that of their departures from the mean of the held-out fields: the fixed pattern of
    coasts and mountains outweighs everything else in the first.
    """

    headline = ("crps", "rmse", "spread", "spectrum_error", "departure_spectrum_error")

    def prepare(self, data, count):
        """Takes the simulated fields; ValueError unless `count` samples are ensembles of one size."""
        super().prepare(data, count)
        self.simulation = data.test

    def __call__(self, drawn, held_out):
        """Returns the figures of the samples that were taken in."""
        data, truth = self.simulation, held_out["samples"]
        samples = np.concatenate([piece["samples"] for piece in self.pieces or [drawn]])
        figures = {**super().__call__(drawn, held_out), **spectrum_errors(samples[:MOST_OF_A_SPECTRUM], truth)}
        singles = {"bilinear": data.bilinear["test"], "cubic": data.cubic["test"], "regression": data.expected["test"]}
        for name, fields in singles.items():
            error = fields[:, None] - truth
            figures[name] = {
                "crps": float(fair_crps(fields[None, :, None], truth).mean()),
                "rmse": float(np.sqrt((error**2).mean())),
                **spectrum_errors(fields[:, None], truth),
            }
        for name in ("crps", "rmse"):
            better = min(figures["bilinear"][name], figures["cubic"][name])
            figures[f"{name}_below_the_better_interpolation"] = 1 - figures[name] / better
        return figures


def spectrum_errors(fields, truth):
    """Returns the distances of the spectra of fields and of their departures from the mean field."""
    distance = SpectrumDistance()
    pairs = {
        "spectrum_error": (fields, truth),
        "departure_spectrum_error": (fields - truth.mean(0), truth - truth.mean(0)),
    }
    return {
        name: distance({"samples": these}, {"samples": those})["spectrum_error"]
        for name, (these, those) in pairs.items()
    }
