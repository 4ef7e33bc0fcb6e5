"""Distances between the distributions of samples and of held-out data, by features of single samples."""

import sys

import numpy as np
from sklearn.model_selection import cross_val_predict
from sklearn.svm import SVC

from mindscience_diffuser.runs.evaluation.features import FeatureStatistics, frechet_distance
from mindscience_diffuser.runs.evaluation.neighbours import flat, precision_recall
from mindscience_diffuser.validation import check_integer

BATCH = 256
MOST_FEATURES = 4096
"""Most features of a Frechet distance: the matrix of their covariances has as many rows and columns."""


def extractor(features):
    """Returns a function from samples ``(N, ...)`` to features ``(N, D)``, ndarrays both.

    Args:
        features (nn.Cell, callable or None): A Cell that takes a batch as a Tensor, a function that takes an ndarray,
            or None for the values themselves.

    Raises:
        TypeError: If it is something else.
    """
    if features is None:
        return flat
    if not callable(features):
        raise TypeError(f"'features' must be an nn.Cell or a function, but is {features!r}.")
    mindspore = sys.modules.get("mindspore")
    if mindspore is None or not isinstance(features, mindspore.nn.Cell):
        return features

    def of_cell(samples):
        batches = np.split(samples, range(BATCH, len(samples), BATCH))
        return np.concatenate([features(mindspore.Tensor(batch)).asnumpy() for batch in batches])

    return of_cell


class FrechetDistance:
    """Frechet distance of the features of samples and of held-out data: FID, where they are those of Inception.

    All samples of a run are taken in, piece by piece.

    Args:
        features (nn.Cell or callable, optional): What makes features ``(N, D)`` of samples ``(N, ...)``: a Cell, which
            takes a Tensor, or a function, which takes an ndarray. Default: ``None``, the values themselves.

    Raises:
        TypeError: If `features` cannot be called.
        ValueError: Before anything is drawn, if there are fewer than two samples, or more than 4096 features.
    """

    headline = ("frechet_distance",)

    def __init__(self, features=None):
        self.features = extractor(features)
        self.statistics = FeatureStatistics(self._checked)
        self.dimension = None

    def prepare(self, data, count):
        """Counts the features; raises ValueError if there are too many, or too few samples for a covariance."""
        fewest = min(count, len(data), len(data.test))
        if fewest < 2:
            raise ValueError(
                f"a Frechet distance needs at least 2 samples, 2 training and 2 held-out ones, but there are {count}, "
                f"{len(data)} and {len(data.test)}: give more"
            )
        real = FeatureStatistics(self._checked)
        real.update(data.held_out_arrays(2)["samples"])
        self.dimension = len(real.mean)

    def update(self, arrays):
        """Takes in the next samples of a run."""
        self.statistics.update(arrays["samples"])

    def merge_ranks(self):
        """Takes in what all ranks have measured."""
        self.statistics.merge_ranks(self.dimension)

    def __call__(self, drawn, held_out):
        """Returns the figures of the samples that were taken in; `drawn` are the first of them."""
        if self.statistics.count == 0:
            self.update(drawn)
        real = FeatureStatistics(self._checked)
        real.update(held_out["samples"])
        return {"frechet_distance": frechet_distance(self.statistics, real)}

    def _checked(self, samples):
        features = self.features(samples)
        if np.ndim(features) == 2 and features.shape[1] > MOST_FEATURES:
            raise ValueError(
                f"a Frechet distance takes up to {MOST_FEATURES} features, but a sample has {features.shape[1]}: give "
                "'features' that are fewer"
            )
        return features


class PrecisionRecall:
    """Precision and recall of samples by nearest neighbours, see :func:`precision_recall`.

    Args:
        neighbours (int): k of the paper, which uses 3; below the number of samples. Default: ``3``.
        features (nn.Cell or callable, optional): See :class:`FrechetDistance`. Default: ``None``.

    Raises:
        TypeError: If `neighbours` is no integer or `features` cannot be called.
        ValueError: If `neighbours` is below 1.
    """

    headline = ("precision", "recall")

    def __init__(self, neighbours=3, features=None):
        self.neighbours = check_integer("neighbours", neighbours, low=1)
        self.features = extractor(features)

    def prepare(self, data, count):
        """Raises ValueError if there are not enough samples."""
        check_integer("neighbours", self.neighbours, low=1, high=min(count, len(data), len(data.test)) - 1)

    def __call__(self, drawn, held_out):
        """Returns the figures of ``samples``; sets of one size are compared."""
        count = min(len(drawn["samples"]), len(held_out["samples"]))
        samples, real = (self.features(arrays["samples"][:count]) for arrays in (drawn, held_out))
        precision, recall = precision_recall(samples, real, self.neighbours)
        return {"precision": precision, "recall": recall}


class ClassAccuracy:
    """Share of samples that a classifier of held-out data gives the class that was asked for.

    The classifier is a support vector machine with a radial kernel. Beside the samples stands what it reaches on the
    held-out data themselves, each tenth by a classifier of the rest.

    Args:
        condition (int): Which condition is the class, a number or one-hot, counted from 0. Default: ``0``.
        features (nn.Cell or callable, optional): See :class:`FrechetDistance`. Default: ``None``.

    Raises:
        TypeError: If `condition` is no integer or `features` cannot be called.
        ValueError: If `condition` is negative or, before anything is drawn, is not there or no class.
    """

    headline = ("class_accuracy",)

    def __init__(self, condition=0, features=None):
        self.condition = check_integer("condition", condition, low=0)
        self.features = extractor(features)

    def prepare(self, data, count):
        """Raises ValueError unless the condition is there, and a class."""
        self._classes(data.held_out_arrays(1))

    def __call__(self, drawn, held_out):
        """Returns the figures of ``samples``."""
        asked, real = (self._classes(arrays) for arrays in (drawn, held_out))
        features, classifier = self.features(held_out["samples"]), SVC(C=10, gamma="scale")
        recognised = classifier.fit(features, real).predict(self.features(drawn["samples"]))
        crossed = cross_val_predict(classifier, features, real, cv=min(10, np.bincount(real).max()))
        return {
            "class_accuracy": {
                "samples": float((recognised == asked).mean()),
                "held_out": float((crossed == real).mean()),
            }
        }

    def _classes(self, arrays):
        name = f"condition_{self.condition}"
        if name not in arrays:
            raise ValueError(
                f"'condition' is {self.condition}, but the data give no such condition: give the number of one, or "
                "leave this figure out"
            )
        classes = np.asarray(arrays[name])
        if classes.ndim > 2:
            raise ValueError(
                f"'condition' is {self.condition}, but that condition has the shape {classes.shape[1:]}: a class is a "
                "number, or one-hot"
            )
        return (classes.argmax(1) if classes.ndim == 2 else classes).astype(int)
