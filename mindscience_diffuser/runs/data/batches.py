"""Training batches as a function of the seed and the number of the step."""

from typing import NamedTuple

import numpy as np

from mindscience_diffuser.noise import draw_noise


class Batch(NamedTuple):
    """What one training step needs: tokens and noise (B, L, C), timesteps (B,) and conditions (B, classes)."""

    tokens: np.ndarray
    noise: np.ndarray
    timesteps: np.ndarray
    condition: np.ndarray


class TrainingBatches:
    """Batches over shuffled epochs; batch n is the same whenever it is asked for, so a run can go on anywhere.

    Args:
        data (Digits): Source of the training images.
        batch_size (int): Images in a batch.
        draw_timesteps (Callable): Returns the timesteps (B,) of a batch from the seed, the step and the batch size.
        condition_dropout (float): Share of the conditions that are set to zero, so that the model also learns to
            predict without one (Ho and Salimans, 2022, arXiv:2207.12598).
        seed (int): Seed of the run.
    """

    def __init__(self, data, batch_size, draw_timesteps, condition_dropout, seed):
        self.tokens = data.to_tokens(data.train.images)
        self.conditions = data.condition(data.train.labels)
        self.batch_size = batch_size
        self.draw_timesteps = draw_timesteps
        self.condition_dropout = condition_dropout
        self.seed = seed
        self._order = {}

    def __len__(self):
        """The number of training images."""
        return len(self.tokens)

    def batch(self, step):
        """Returns the batch of the training step with this number, counted from 0."""
        chosen = [self._image_at(step * self.batch_size + place) for place in range(self.batch_size)]
        generator = np.random.default_rng((self.seed, step, 1))
        noise = draw_noise((self.batch_size, *self.tokens.shape[1:]), generator)
        kept = generator.random((self.batch_size, 1)) >= self.condition_dropout
        timesteps = self.draw_timesteps(self.seed, step, self.batch_size)
        return Batch(self.tokens[chosen], noise, timesteps, self.conditions[chosen] * kept.astype(np.float32))

    def _image_at(self, position):
        epoch, place = divmod(position, len(self.tokens))
        if epoch not in self._order:
            order = np.random.default_rng((self.seed, epoch, 2)).permutation(len(self.tokens))
            # A batch can straddle two epochs.
            self._order = {**{near: self._order[near] for near in self._order if abs(near - epoch) == 1}, epoch: order}
        return self._order[epoch][place]
