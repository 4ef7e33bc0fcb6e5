"""The figures that say how close samples are to real digits."""

import numpy as np
import pytest

from mindscience_diffuser.examples.digits.data import Digits
from mindscience_diffuser.examples.digits.figures import DigitFigures, class_accuracy, fit_classifier
from mindscience_diffuser.runs.data.dataset import DataSet
from mindscience_diffuser.runs.evaluation.neighbours import nearest_distance, precision_recall


def compare(digits, images, labels, **arguments):
    """The figures of these images."""
    figures = DigitFigures(**arguments)
    figures.prepare(DataSet(digits, digits, None), len(images))
    drawn = {"images": images, "labels": labels}
    figures.update(drawn)
    return figures(drawn, drawn)


@pytest.fixture(scope="module")
def digits():
    return Digits()


def test_precision_and_recall_follow_their_definition():
    real = np.array([[0.0], [1.0], [2.0], [10.0]])
    samples = np.array([[0.5], [2.5], [30.0], [31.0]])
    # With one neighbour the balls of the real points have radii 1, 1, 1, 8 and those of the samples 2, 2, 1, 1.
    assert precision_recall(samples, real, neighbours=1) == (0.5, 0.75)


def test_precision_sees_wrong_samples_and_recall_sees_missing_ones():
    rng = np.random.default_rng(0)
    left, right = rng.normal(0, 1, (300, 2)), rng.normal(20, 1, (300, 2))
    both = np.concatenate([left[150:], right[150:]])
    precision, recall = precision_recall(left[:150], both)
    assert precision > 0.9
    assert recall < 0.55
    precision, recall = precision_recall(both, left[:150])
    assert precision < 0.55
    assert recall > 0.9


def test_classifier_recognises_held_out_digits_and_misses_mislabelled_ones(digits):
    classifier = fit_classifier(*digits.train)
    assert class_accuracy(classifier, *digits.held_out) > 0.97
    assert class_accuracy(classifier, digits.held_out.images, (digits.held_out.labels + 1) % 10) < 0.03


def test_real_digits_reach_about_what_is_reported_beside_samples(digits):
    figures = compare(digits, digits.train.images[:500], digits.train.labels[:500])
    for name in ("precision", "recall"):
        assert abs(figures[name]["ratio"] - 1) < 0.05
        assert figures[name]["training_digits"] > 0.8
    assert figures["class_accuracy"]["samples"] > 0.99
    assert figures["distance_to_nearest_training_digit"]["samples"] == 0


def test_noise_reaches_nothing(digits):
    noise = np.random.default_rng(0).uniform(-1, 1, (200, 8, 8)).astype(np.float32)
    figures = compare(digits, noise, np.arange(200) % 10, reference_draws=2)
    assert figures["precision"]["samples"] == 0
    assert figures["recall"]["samples"] < 0.05
    assert figures["class_accuracy"]["samples"] < 0.3


def test_nearest_distance_is_that_of_the_median_image():
    assert nearest_distance(np.array([[0.0], [5.0], [9.0]]), np.array([[1.0], [7.0]])) == 2


def test_neighbours_beyond_the_number_of_points_are_refused():
    with pytest.raises(ValueError, match=r"'neighbours' must be in \[1, 3\], but is 4"):
        precision_recall(np.zeros((4, 2)), np.zeros((9, 2)), neighbours=4)
