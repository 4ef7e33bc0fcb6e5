"""How the loss depends on the noise level, and on the progress of the training, without a further model call."""

import csv
import io
from typing import NamedTuple

import numpy as np

BINS = 20
STRETCHES = 10


class LevelBins(NamedTuple):
    """Bins of the noise level.

    Attributes:
        name (str): What a level is, such as ``"sigma"``.
        edges (numpy.ndarray): Edges of the bins, ascending, ``(BINS + 1,)``; levels beyond belong to the outermost.
        logarithmic (bool): Whether the bins are spaced evenly in the logarithm of the level.
    """

    name: str
    edges: np.ndarray
    logarithmic: bool

    @classmethod
    def between(cls, name, low, high, logarithmic=False):
        """Returns bins between two levels."""
        return cls(name, (np.geomspace if logarithmic else np.linspace)(low, high, BINS + 1), logarithmic)


class LevelLosses:
    """Mean losses in bins of the level, for each of `STRETCHES` stretches of a training.

    Args:
        bins (LevelBins): The bins.
        steps (int): Steps of the training.
        sums (numpy.ndarray, optional): What :attr:`sums` was where a training goes on. Default: ``None``, nothing yet.
    """

    def __init__(self, bins, steps, sums=None):
        self.bins, self.steps = bins, steps
        self.sums = np.zeros((2, STRETCHES, BINS)) if sums is None else np.array(sums)
        """Sums of the losses, and numbers of samples, float64, ``(2, STRETCHES, BINS)``."""

    def add(self, step, levels, losses):
        """Counts the samples of one training step.

        Args:
            step (int): Number of the step, counted from 0.
            levels (numpy.ndarray): Level of each sample, ``(B,)``.
            losses (numpy.ndarray): Loss of each sample, ``(B,)``; one that is NaN has nothing that counts.
        """
        counted = np.isfinite(losses)
        bins = np.clip(np.searchsorted(self.bins.edges, levels[counted], side="right") - 1, 0, BINS - 1)
        stretch = step * STRETCHES // self.steps
        np.add.at(self.sums[0, stretch], bins, losses[counted].astype(np.float64))
        np.add.at(self.sums[1, stretch], bins, 1)

    def means(self):
        """Returns the mean losses, NaN where there was no sample, ``(STRETCHES, BINS)``."""
        with np.errstate(invalid="ignore"):
            return self.sums[0] / self.sums[1]

    def stretches(self):
        """Returns the numbers of the first and of the last step of each stretch that has samples, counted from 1."""
        firsts = [-(-number * self.steps // STRETCHES) for number in range(STRETCHES + 1)]
        return {k: (firsts[k] + 1, firsts[k + 1]) for k in range(STRETCHES) if self.sums[1, k].any()}

    def to_csv(self):
        """Returns the table as text: a row for each bin of each stretch that has samples."""
        text = io.StringIO()
        rows, name, means = csv.writer(text, lineterminator="\n"), self.bins.name, self.means()
        rows.writerow(["first_step", "last_step", f"{name}_from", f"{name}_to", "samples", "mean_loss"])
        for k, (first, last) in self.stretches().items():
            for place, (low, high) in enumerate(zip(self.bins.edges, self.bins.edges[1:])):
                count = int(self.sums[1, k, place])
                mean = f"{means[k, place]:.6g}" if count else ""
                rows.writerow([first, last, f"{low:.6g}", f"{high:.6g}", count, mean])
        return text.getvalue()
