"""The digits of the runs and the training batches drawn from them."""

import numpy as np
import pytest

from mindscience_diffuser.examples.digits.data import Digits
from mindscience_diffuser.runs.data.batches import TrainingBatches
from mindscience_diffuser.runs.data.dataset import DataSet
from mindscience_diffuser.training import training_timesteps


def draw_timesteps(seed, step, batch_size):
    return training_timesteps(seed, step, batch_size, 1000)


@pytest.fixture(scope="module")
def digits():
    return Digits(patch_height=2, patch_width=4)


def batches_of(digits, batch_size, dropout, seed):
    data = DataSet(digits, digits, None)
    return TrainingBatches(data, batch_size, draw_timesteps, dropout, seed, [np.zeros(10, np.float32)])


def test_digits_are_real_scans_in_the_range_of_the_model(digits):
    images = np.concatenate([digits.train.images, digits.held_out.images])
    assert images.shape == (1797, 8, 8)
    assert images.dtype == np.float32
    assert (images.min(), images.max()) == (-1, 1)
    assert len(np.unique(images)) == 17


def test_split_is_fixed_by_its_seed_and_keeps_the_share_of_every_class(digits):
    same, other = Digits(), Digits(split_seed=1)
    np.testing.assert_array_equal(same.held_out.images, digits.held_out.images)
    assert (other.held_out.images != digits.held_out.images).any()
    assert len(digits.held_out.images) == 500
    shares = [np.bincount(part.labels, minlength=10) / len(part.labels) for part in (digits.train, digits.held_out)]
    np.testing.assert_allclose(*shares, atol=0.002)


@pytest.mark.parametrize("patch", [(1, 1), (2, 2), (2, 4), (4, 2), (8, 8)])
def test_tokens_are_patches_that_go_back_to_the_image(patch):
    digits = Digits(patch_height=patch[0], patch_width=patch[1])
    images = digits.train.images[:5]
    tokens = digits.to_tokens(images)
    assert tokens.shape == (5, digits.length, digits.channels)
    np.testing.assert_array_equal(tokens[:, 0], images[:, : patch[0], : patch[1]].reshape(5, -1))
    np.testing.assert_array_equal(digits.to_images(tokens), images)


def test_condition_is_one_hot(digits):
    np.testing.assert_array_equal(digits.condition(np.array([3, 0])), np.eye(10, dtype=np.float32)[[3, 0]])


def test_batch_depends_on_seed_and_step_only(digits):
    forward = batches_of(digits, 64, 0.1, seed=5)
    batches = [forward.batch(step) for step in range(45)]
    for step in (44, 20, 0):
        for mine, again in zip(batches[step], batches_of(digits, 64, 0.1, seed=5).batch(step)):
            np.testing.assert_array_equal(mine, again)
    assert (batches_of(digits, 64, 0.1, seed=6).batch(0).noise != batches[0].noise).any()
    assert (batches[0].noise != batches[1].noise).any()


def test_every_training_image_comes_once_in_an_epoch(digits):
    count = len(digits.train.images)
    batches = batches_of(digits, 100, 0.0, seed=0)
    seen = np.concatenate([batches.batch(step).samples for step in range(-(-2 * count // 100))])[: 2 * count]
    everything = sorted(image.tobytes() for image in digits.to_tokens(digits.train.images))
    for epoch in (seen[:count], seen[count:]):
        assert sorted(tokens.tobytes() for tokens in epoch) == everything


@pytest.mark.parametrize("dropout", [0.0, 0.25, 1.0])
def test_share_of_conditions_is_dropped(digits, dropout):
    batches = batches_of(digits, 1000, dropout, seed=0)
    kept = np.concatenate([batches.batch(step).condition_0.sum(axis=1) for step in range(10)])
    assert set(np.unique(kept)) <= {0.0, 1.0}
    assert abs(1 - kept.mean() - dropout) < 0.02


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"held_out": 99}, ValueError, "'held_out' must be in"),
        ({"held_out": "half"}, TypeError, "'held_out' must be an integer"),
        ({"patch_width": 3}, ValueError, "'patch_width' must be 1, 2, 4 or 8, but is 3"),
        ({"split_seed": -1}, ValueError, "'split_seed'"),
    ],
)
def test_bad_data_argument_is_named(arguments, error, message):
    with pytest.raises(error, match=message):
        Digits(**arguments)
