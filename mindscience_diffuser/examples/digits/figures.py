"""How close drawn digits are to real ones: does a classifier see what was asked for, do the distributions overlap."""

import numpy as np
from sklearn.svm import SVC

from mindscience_diffuser.runs.distributed.ranks import gather
from mindscience_diffuser.runs.evaluation.features import FeatureStatistics, frechet_distance
from mindscience_diffuser.runs.evaluation.neighbours import flat, nearest_distance, precision_recall
from mindscience_diffuser.validation import check_integer


class DigitFigures:
    """Figures of drawn digits, each beside the one that real digits reach.

    Class accuracy and the Frechet distance of pixels are those of all samples. Precision, recall and the distance to
    the nearest digit are measured on the first samples, as many as there are training digits: the figures of sets of
    different sizes could not be compared.

    Args:
        neighbours (int): k of precision and recall, below the number of samples. Default: ``3``.
        reference_draws (int): How often real training digits are drawn to be measured like samples; their mean is
            reported. Default: ``10``.

    Raises:
        TypeError: If an argument is no integer.
        ValueError: If it is below 1.
    """

    headline = ("class_accuracy", "precision", "recall", "frechet_distance_of_pixels")

    def __init__(self, neighbours=3, reference_draws=10):
        self.neighbours = check_integer("neighbours", neighbours, low=1)
        self.reference_draws = check_integer("reference_draws", reference_draws, low=1)
        self.digits = self.classifier = None
        self.statistics = pixel_statistics()
        self.hits = 0

    def prepare(self, data, count):
        """Takes the real digits; ValueError if there are not enough samples for so many neighbours."""
        self.digits = data.train
        count, held_out = min(count, len(self.digits.train.images)), len(self.digits.held_out.images)
        most = min(count, held_out) - 1
        if self.neighbours > most:
            raise ValueError(
                f"'neighbours' must be in [1, {most}], but is {self.neighbours}: it must be below the number of "
                f"samples, {count}, and of held-out images, {held_out}; make it smaller, or 'sampling.per_class' larger"
            )

    def update(self, arrays):
        """Takes in the next ``images`` (N, 8, 8) and ``labels`` (N,), the classes that were asked for."""
        if self.classifier is None:
            self.classifier = fit_classifier(*self.digits.train)
        images, labels = arrays["images"], arrays["labels"]
        self.hits += round(class_accuracy(self.classifier, images, labels) * len(images))
        self.statistics.update(images)

    def merge_ranks(self):
        """Takes in what all ranks have measured."""
        self.hits = int(sum(gather(np.int64(self.hits))))
        self.statistics.merge_ranks(self.digits.train.images[0].size)

    def __call__(self, drawn, held_out):
        """Returns the figures of the samples that were taken in; `drawn` are the first of them."""
        digits, images = self.digits, drawn["images"]
        count = len(images)
        precision, recall = precision_recall(images, digits.held_out.images, self.neighbours)
        generator = np.random.default_rng(0)
        draws = [generator.permutation(len(digits.train.images))[:count] for _ in range(self.reference_draws)]
        real = [precision_recall(digits.train.images[d], digits.held_out.images, self.neighbours) for d in draws]
        real_precision, real_recall = np.mean(real, axis=0).tolist()
        pixels = pixel_statistics(digits.held_out.images)
        return {
            "samples": self.statistics.count,
            "held_out_digits": len(digits.held_out.images),
            "class_accuracy": {
                "samples": self.hits / self.statistics.count,
                "held_out_digits": class_accuracy(self.classifier, *digits.held_out),
            },
            "frechet_distance_of_pixels": {
                "samples": frechet_distance(self.statistics, pixels),
                "training_digits": frechet_distance(pixel_statistics(digits.train.images), pixels),
            },
            "precision": _beside(precision, real_precision),
            "recall": _beside(recall, real_recall),
            "precision_and_recall_over": count,
            "neighbours": self.neighbours,
            "distance_to_nearest_training_digit": {
                "samples": nearest_distance(images, digits.train.images),
                "held_out_digits": nearest_distance(digits.held_out.images, digits.train.images),
            },
        }


def fit_classifier(images, labels):
    """Fits a support vector machine with the usual radial kernel on real images (N, ...)."""
    return SVC(C=10, gamma="scale").fit(flat(images), labels)


def class_accuracy(classifier, images, labels):
    """Returns the share of `images` that `classifier` gives the class in `labels`."""
    return float(classifier.score(flat(images), labels))


def pixel_statistics(images=()):
    """Returns the :class:`FeatureStatistics` of pixels."""
    statistics = FeatureStatistics(flat)
    if len(images):
        statistics.update(images)
    return statistics


def _beside(samples, real):
    return {"samples": samples, "training_digits": real, "ratio": samples / real if real > 0 else None}
