"""Which timesteps a training batch is noised to."""

import numpy as np

from mindscience_diffuser.validation import check_integer


def training_timesteps(seed, step, batch_size, num_train_timesteps):
    """Draws the timesteps of one training batch uniformly and independently.

    The draw depends on (seed, step) alone, so a resumed run goes on as if it had not been interrupted.

    Args:
        seed (int): Seed of the run, at least 0.
        step (int): Number of the training step, counted from 0.
        batch_size (int): Number of timesteps to draw.
        num_train_timesteps (int): Timesteps of the scheduler; the draw is from [0, num_train_timesteps).

    Returns:
        numpy.ndarray, int32, shape (batch_size,).

    Raises:
        TypeError: If an argument is no integer.
        ValueError: If `seed` or `step` is negative, or a count is below 1.
    """
    seed = check_integer("seed", seed, low=0)
    step = check_integer("step", step, low=0)
    batch_size = check_integer("batch_size", batch_size, low=1)
    num_train_timesteps = check_integer("num_train_timesteps", num_train_timesteps, low=1)
    generator = np.random.default_rng((seed, step))
    return generator.integers(0, num_train_timesteps, batch_size, dtype=np.int32)
