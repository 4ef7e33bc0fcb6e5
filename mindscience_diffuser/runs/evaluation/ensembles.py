"""Ensembles: several samples for the condition of each held-out field, measured against the field."""

import numpy as np

from mindscience_diffuser.runs.distributed.ranks import rank_count


def fair_crps(members, truth):
    """Continuous ranked probability score, in its form that favours no size of the ensemble (Ferro, 2014, eq. (8)).

    The mean of |x_i - y| minus half the mean of |x_i - x_j| over the pairs of different members. A single member
    scores its absolute error.

    Args:
        members (numpy.ndarray): Shape ``(M, ...)``.
        truth (numpy.ndarray): Shape ``(...)``.

    Returns:
        numpy.ndarray, shape ``(...)``.
    """
    members = np.sort(np.asarray(members, np.float64), axis=0)
    count = len(members)
    error = np.abs(members - truth).mean(0)
    if count == 1:
        return error
    # In ascending order member i is the larger one of i pairs and the smaller one of the others.
    weights = 2 * np.arange(count) - (count - 1)
    return error - np.tensordot(weights, members, 1) / (count * (count - 1))


class EnsembleScore:
    """CRPS and root mean square error of ensembles, in the units of the data.

    Every held-out field is the truth of the samples that were drawn with its conditions: ``sampling.samples`` is a
    multiple of the number of held-out fields, whose conditions are taken in turns. All samples of a run are taken in,
    and held in memory.

    ``crps`` is the fair one, the mean over all values; ``rmse`` that of the mean of the ensemble; ``spread`` the root
    of the mean variance of the ensemble, which is close to ``rmse`` where the ensemble knows its own error.
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
        members = len(ensembles)
        crps = np.mean([fair_crps(ensembles[:, k], truth[k]).mean() for k in range(len(truth))])
        mean = ensembles.mean(0, dtype=np.float64)
        # The error of a mean of M members is larger by 1 / M than their variance tells.
        variance = ensembles.var(0, dtype=np.float64, ddof=min(members - 1, 1)) * (1 + 1 / members)
        return {
            "crps": float(crps),
            "rmse": float(np.sqrt(((mean - truth) ** 2).mean())),
            "spread": float(np.sqrt(variance.mean())),
            "members": members,
        }
