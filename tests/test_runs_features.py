"""Statistics of features: the same however the images are split, and the distance that the formula gives."""

import numpy as np
import pytest

from mindscience_diffuser.runs.evaluation.features import FeatureStatistics, frechet_distance


def gathered(values, parts=1):
    statistics = FeatureStatistics(lambda images: images)
    for part in np.array_split(values, parts):
        statistics.update(part)
    return statistics


def test_batches_give_the_mean_and_covariance_of_everything():
    # A mean far above the spread: sums of squares would lose all digits here.
    values = np.random.default_rng(0).normal(1e6, 1e-2, (1000, 5))
    for parts in (1, 7, 400):
        statistics = gathered(values, parts)
        assert statistics.count == 1000
        np.testing.assert_allclose(statistics.mean, values.mean(axis=0), rtol=1e-14)
        np.testing.assert_allclose(statistics.covariance, np.cov(values.T), rtol=1e-5, atol=1e-11)


def test_distance_of_gaussians_with_axes_in_common_is_the_closed_form():
    # Four points at +-1 on each axis, scaled and moved: variances are known exactly.
    square = np.array([[1, 1], [1, -1], [-1, 1], [-1, -1]]) * np.sqrt(3 / 4)
    first, second = gathered(square * [2, 3]), gathered(square * [5, 1] + [4, -3])
    np.testing.assert_allclose(first.covariance, np.diag([4, 9]), atol=1e-12)
    assert frechet_distance(first, second) == pytest.approx(25 + (2 - 5) ** 2 + (3 - 1) ** 2)
    assert frechet_distance(first, first) == pytest.approx(0, abs=1e-9)


def test_distance_does_not_depend_on_the_order_and_takes_singular_covariances():
    rng = np.random.default_rng(1)
    flat = rng.normal(size=(50, 3)) @ np.array([[1, 2, 0], [0, 1, 0], [1, 0, 0.0]])
    other = rng.normal(size=(60, 3)) * [1, 2, 3]
    there, back = frechet_distance(gathered(flat), gathered(other)), frechet_distance(gathered(other), gathered(flat))
    assert there == pytest.approx(back)
    assert there > 0


def test_any_callable_extracts_features():
    statistics = FeatureStatistics(lambda images: images.reshape(len(images), -1)[:, :2])
    statistics.update(np.arange(24.0).reshape(3, 2, 4))
    np.testing.assert_array_equal(statistics.mean, [8, 9])


def test_features_of_the_wrong_shape_and_too_few_images_are_named():
    statistics = FeatureStatistics(lambda images: images.ravel())
    with pytest.raises(ValueError, match=r"'features' must return one row for each of the 3 images.*\(6,\)"):
        statistics.update(np.zeros((3, 2)))
    statistics = gathered(np.zeros((1, 2)))
    with pytest.raises(ValueError, match="returned 3 values an image, but 2 before"):
        statistics.update(np.zeros((1, 3)))
    with pytest.raises(ValueError, match="at least 2 images, but there are 1"):
        frechet_distance(statistics, statistics)
