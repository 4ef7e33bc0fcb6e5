"""How close samples are to real data: does a classifier see what was asked for, and do the distributions overlap."""

import numpy as np
from sklearn.metrics import pairwise_distances
from sklearn.svm import SVC

from mindscience_diffuser.runs.distributed.ranks import gather
from mindscience_diffuser.runs.evaluation.features import FeatureStatistics, frechet_distance
from mindscience_diffuser.validation import check_integer


def fit_classifier(images, labels):
    """Fits a support vector machine with the usual radial kernel on real images (N, ...)."""
    return SVC(C=10, gamma="scale").fit(_flat(images), labels)


def class_accuracy(classifier, images, labels):
    """Returns the share of `images` that `classifier` gives the class in `labels`."""
    return float(classifier.score(_flat(images), labels))


class StreamedFigures:
    """What is measured over all samples, which come batch by batch and on any number of ranks.

    That is the share of samples that a classifier gives their class, and the statistics of their pixels.

    Args:
        data (Digits): The real data.
    """

    def __init__(self, data):
        self.classifier = fit_classifier(*data.train)
        self.statistics = pixel_statistics()
        self.hits = 0

    def update(self, images, labels):
        """Takes samples (N, ...) and the classes (N,) that were asked for in."""
        self.hits += round(class_accuracy(self.classifier, images, labels) * len(images))
        self.statistics.update(images)

    def merge_ranks(self, dimension):
        """Takes in what all ranks have measured; `dimension` is the number of pixels."""
        self.hits = int(sum(gather(np.int64(self.hits))))
        self.statistics.merge_ranks(dimension)


def pixel_statistics(images=()):
    """Returns the :class:`FeatureStatistics` of pixels."""
    statistics = FeatureStatistics(_flat)
    if len(images):
        statistics.update(images)
    return statistics


def precision_recall(samples, real, neighbours=3):
    """Precision and recall of Kynkaanniemi et al., 2019 (arXiv:1904.06991), eqs. (1) and (2).

    The manifold of a set is the union of balls around its points, each as large as the distance to the point's
    `neighbours`-th nearest neighbour in the set. Precision is the share of samples in the manifold of the real data,
    recall the share of real data in the manifold of the samples. Distances are Euclidean, between pixels.

    Args:
        samples (numpy.ndarray): Shape (N, ...).
        real (numpy.ndarray): Shape (M, ...).
        neighbours (int): k of the paper, which uses 3. Default: ``3``.

    Returns:
        tuple[float, float], precision and recall.

    Raises:
        TypeError: If `neighbours` is no integer.
        ValueError: If `neighbours` is below 1 or not below the size of both sets.
    """
    samples, real = _flat(samples), _flat(real)
    check_integer("neighbours", neighbours, low=1, high=min(len(samples), len(real)) - 1)
    between = pairwise_distances(samples, real)
    precision = (between <= _radii(real, neighbours)[None, :]).any(axis=1).mean()
    recall = (between <= _radii(samples, neighbours)[:, None]).any(axis=0).mean()
    return float(precision), float(recall)


def nearest_distance(images, real):
    """Returns the median distance of `images` to their nearest neighbour in `real`; zero would be copying."""
    return float(np.median(pairwise_distances(_flat(images), _flat(real)).min(axis=1)))


def compare(data, images, labels, neighbours=3, reference_draws=10):
    """Measures samples of `data`, each figure beside the one that real digits reach.

    Args:
        data (Digits): The real data.
        images (numpy.ndarray): Samples, shape (N, 8, 8).
        labels (numpy.ndarray): The classes that were asked for, shape (N,).
        neighbours (int): See :func:`precision_recall`. Default: ``3``.
        reference_draws (int): How often real training digits are drawn to be measured like samples; their mean is
            reported. Default: ``10``.

    Returns:
        dict of figures, ready for JSON.
    """
    streamed = StreamedFigures(data)
    streamed.update(images, labels)
    return all_figures(data, streamed, images, neighbours, reference_draws)


def all_figures(data, streamed, images, neighbours=3, reference_draws=10):
    """Returns the figures of :func:`compare` from the `streamed` ones of all samples and some of the samples.

    Precision, recall and the distance to the nearest digit are measured on the first of `images`, as many as there
    are training digits: the figures of sets of different sizes could not be compared.
    """
    count = min(len(images), len(data.train.images))
    images = images[:count]
    precision, recall = precision_recall(images, data.held_out.images, neighbours)
    generator = np.random.default_rng(0)
    draws = [generator.permutation(len(data.train.images))[:count] for _ in range(reference_draws)]
    real = [precision_recall(data.train.images[draw], data.held_out.images, neighbours) for draw in draws]
    real_precision, real_recall = np.mean(real, axis=0).tolist()
    held_out = pixel_statistics(data.held_out.images)
    return {
        "samples": streamed.statistics.count,
        "held_out_digits": len(data.held_out.images),
        "class_accuracy": {
            "samples": streamed.hits / streamed.statistics.count,
            "held_out_digits": class_accuracy(streamed.classifier, *data.held_out),
        },
        "frechet_distance_of_pixels": {
            "samples": frechet_distance(streamed.statistics, held_out),
            "training_digits": frechet_distance(pixel_statistics(data.train.images), held_out),
        },
        "precision": _beside(precision, real_precision),
        "recall": _beside(recall, real_recall),
        "precision_and_recall_over": count,
        "neighbours": neighbours,
        "distance_to_nearest_training_digit": {
            "samples": nearest_distance(images, data.train.images),
            "held_out_digits": nearest_distance(data.held_out.images, data.train.images),
        },
    }


def _beside(samples, real):
    return {"samples": samples, "training_digits": real, "ratio": samples / real if real > 0 else None}


def _flat(images):
    return np.reshape(images, (len(images), -1)).astype(np.float64)


def _radii(points, neighbours):
    """Distance of every point to its k-th nearest neighbour; the nearest of all is the point itself."""
    return np.partition(pairwise_distances(points), neighbours, axis=1)[:, neighbours]
