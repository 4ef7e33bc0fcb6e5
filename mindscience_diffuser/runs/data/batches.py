"""Training batches as a function of the seed and the number of the step."""

import functools
from collections import namedtuple
from typing import NamedTuple

import numpy as np

from mindscience_diffuser.noise import draw_noise
from mindscience_diffuser.training import random_patches


@functools.cache
def batch_of(conditions):
    """Returns the type of a batch: ``samples`` and ``noise`` (B, ...), ``levels`` (B,) and so many conditions."""
    return namedtuple("Batch", ["samples", "noise", "levels", *(f"condition_{i}" for i in range(conditions))])


def white_noise(levels, shape, generator):
    """Returns standard normal noise of a shape, whatever the levels."""
    return draw_noise(shape, generator)


class Cropping(NamedTuple):
    """Which patches of the samples a batch has.

    Attributes:
        size (tuple): Points of a patch along each axis of the grid.
        positions (bool): Whether the positions of the patches are the last condition.
        law (bool): Whether the noise has a law, so that the noise of a patch is a part of that of its sample.
    """

    size: tuple
    positions: bool
    law: bool


class TrainingBatches:
    """Batches over shuffled epochs; batch n is the same whenever it is asked for, so a run can go on anywhere.

    Args:
        data (DataSet): The training data.
        batch_size (int): Samples in a batch.
        draw_levels (Callable): Returns the noise levels or timesteps (B,) of a batch from the seed, the step and the
            batch size.
        condition_dropout (float): Share of the samples whose conditions are left out, so that the model also learns to
            predict without them (Ho and Salimans, 2022, arXiv:2207.12598).
        seed (int): Seed of the run.
        unconditional (Sequence[numpy.ndarray]): What takes the place of each condition then. Default: ``()``.
        draw_noise (Callable): Returns the noise of a batch from the levels, its shape and a generator.
        cropping (Cropping, optional): Patches of the samples. Default: ``None``, whole samples.
    """

    def __init__(
        self,
        data,
        batch_size,
        draw_levels,
        condition_dropout,
        seed,
        unconditional=(),
        draw_noise=white_noise,
        cropping=None,
    ):
        self.data = data
        self.batch_size = batch_size
        self.draw_levels = draw_levels
        self.draw_noise = draw_noise
        self.condition_dropout = condition_dropout
        self.unconditional = unconditional
        self.seed = seed
        self.cropping = cropping
        self._order = {}

    def __len__(self):
        """The number of training samples."""
        return len(self.data)

    def batch(self, step):
        """Returns the batch of the training step with this number, counted from 0, see :func:`batch_of`."""
        samples, *conditions = self.data.batch(self.chosen(step))
        levels = self.draw_levels(self.seed, step, self.batch_size)
        generator = np.random.default_rng((self.seed, step, 1))
        cropping, shape = self.cropping, samples.shape
        if cropping is not None and not cropping.law:
            shape = (*shape[:2], *cropping.size)
        noise = self.draw_noise(levels, shape, generator)
        kept = generator.random((self.batch_size, 1)) >= self.condition_dropout
        if self.condition_dropout:
            conditions = [
                np.where(kept.reshape((-1,) + (1,) * (condition.ndim - 1)), condition, nothing)
                for condition, nothing in zip(conditions, self.unconditional)
            ]
        if cropping is not None:
            places = np.random.default_rng((self.seed, step, 4))
            samples, noise, *conditions = random_patches(
                cropping.size, places, samples, noise, *conditions, with_positions=cropping.positions
            )
        return batch_of(len(conditions))(samples, noise, levels, *conditions)

    def chosen(self, step):
        """Returns the numbers of the samples of a training step."""
        return [self._number_at(step * self.batch_size + place) for place in range(self.batch_size)]

    def _number_at(self, position):
        epoch, place = divmod(position, len(self.data))
        if epoch not in self._order:
            order = np.random.default_rng((self.seed, epoch, 2)).permutation(len(self.data))
            # A batch can straddle two epochs.
            self._order = {**{near: self._order[near] for near in self._order if abs(near - epoch) == 1}, epoch: order}
        return self._order[epoch][place]


class PairBatches(TrainingBatches):
    """Batches of samples and their conditions alone, for a regression.

    Args:
        data (DataSet): The training data.
        batch_size (int): Samples in a batch.
        seed (int): Seed of the run.
    """

    def __init__(self, data, batch_size, seed):
        super().__init__(data, batch_size, None, 0.0, seed)

    def batch(self, step):
        """Returns samples and conditions of the training step with this number, a tuple of arrays ``(B, ...)``."""
        return self.data.batch(self.chosen(step))
