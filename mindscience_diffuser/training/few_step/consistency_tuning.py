"""ConsistencyTuningTrainer: the training loss of easy consistency tuning (Geng et al., 2024, arXiv:2406.14548)."""

import numpy as np
from mindspore import dtype as mstype
from mindspore import nn, ops

from mindscience_diffuser.cells import PublicCell
from mindscience_diffuser.inputs import check_scheduler
from mindscience_diffuser.noise import log_normal_sigmas
from mindscience_diffuser.schedulers import CMStochasticIterativeScheduler
from mindscience_diffuser.step import shaped
from mindscience_diffuser.training.loss_weights import checked_samples
from mindscience_diffuser.training.shapes import check_batch, check_like, check_pairs
from mindscience_diffuser.validation import check_integer, check_number

STEEPNESS, LEAST_DECAY = 1.0, 8.0
"""b and k of n(t) = 1 + k / (1 + exp(b t)): lower levels begin with longer steps, relative to them."""


def tuning_levels(seed, step, batch_size, q=2.0, stage_steps=250, sigma_min=0.002, loc=-1.1, scale=2.0, sigma_max=80.0):
    """Draws the noise levels t and r of each sample of a training batch, section 3.2 of the paper.

    ::

        r = t * (1 - n(t) / q^stage),    n(t) = 1 + 8 / (1 + exp(t)),    stage = floor(step / stage_steps)

    ln(t) is normal. r is at least `sigma_min`: in the first stage all of them are, and the loss is that of a denoiser.

    Args:
        seed (int): Seed of the run, at least 0.
        step (int): Number of the training step, counted from 0.
        batch_size (int): Number of pairs to draw.
        q (float): Factor by which steps shorten from stage to stage, above 1. Default: ``2.0``.
        stage_steps (int): Training steps of a stage, at least 1. Default: ``250``.
        sigma_min (float): Lowest level, that of the scheduler; t is above it. Default: ``0.002``.
        loc (float): Mean of ln(t). Default: ``-1.1``.
        scale (float): Standard deviation of ln(t). Default: ``2.0``.
        sigma_max (float): Highest level. Default: ``80.0``.

    Returns:
        numpy.ndarray, float32, shape (batch_size, 2).

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument is out of its range.
    """
    seed, step = check_integer("seed", seed, low=0), check_integer("step", step, low=0)
    check_number("q", q, "(1, inf)")
    stage = step // check_integer("stage_steps", stage_steps, low=1)
    check_number("sigma_min", sigma_min, "(0, inf)")
    generator = np.random.default_rng((seed, step))
    t = log_normal_sigmas(generator, batch_size, loc, scale, LEAST_RATIO * sigma_min, sigma_max)
    decay = 1 + LEAST_DECAY / (1 + np.exp(STEEPNESS * t))
    # The ratio of a late stage would not be told from 1 in single precision.
    r = np.maximum(t * (1 - decay * max(q**-stage, SHORTEST)), sigma_min)
    return np.stack([t, r], axis=1).astype(np.float32)


LEAST_RATIO = 1.5
"""Least ratio of t and the lowest level."""

SHORTEST = 2.0**-12
"""Shortest step, as a share of n(t) * t."""


class ConsistencyTuningTrainer(PublicCell):
    """Training loss of a consistency model, of two levels of one sample under one noise, algorithm 1 of the paper.

    With the consistency function f(x, sigma) of the scheduler and levels t > r the loss is ::

        1 / (t - r) * distance(f(x0 + t * noise, t), stopgrad f(x0 + r * noise, r))

    with the pseudo-Huber distance sqrt(|d|^2 + c^2) - c of whole samples (Song and Dhariwal, 2023, arXiv:2310.14189).
    At r = sigma_min the second one is the sample itself, and the loss that of a denoiser: a training begins there, or
    with a trained denoiser, and brings r to t stage by stage, see :func:`tuning_levels`. Dropout must draw alike in
    both calls of the model.

    Args:
        model (nn.Cell): Network in f, called as ``model(x / sqrt(sigma^2 + sigma_data^2), 250 * ln(sigma),
            *conditions)``.
        scheduler (CMStochasticIterativeScheduler): Gives f, `sigma_min` and `sigma_data`, and samples later. Its
            `clip_denoised` has no part in the loss.
        huber_c (float): c of the distance, above 0; 0.00054 * sqrt(d) for samples of d values in the second paper.
            Default: ``0.03``.

    Raises:
        TypeError: If `model` is no Cell or `scheduler` no CMStochasticIterativeScheduler.
        ValueError: If `huber_c` is not above 0.
    """

    def __init__(self, model, scheduler, huber_c=0.03):
        super().__init__(auto_prefix=False)
        if not isinstance(model, nn.Cell):
            raise TypeError(f"'model' must be an nn.Cell, but is {model!r} of type {type(model).__name__}.")
        check_scheduler(scheduler, CMStochasticIterativeScheduler)
        self.model = model
        self.huber_c = check_number("huber_c", huber_c, "(0, inf)")
        self.sigma_min = float(scheduler.config.sigma_min)
        self.sigma_data = float(scheduler.config.sigma_data)
        # In the precision of the levels.
        self.interval = f"[{float(np.float32(self.sigma_min))}, inf)"

    def get_loss(self, original_samples, noise, levels, *conditions, weights=None):
        """Returns the loss of one batch, averaged over its samples.

        Args:
            original_samples (Tensor): Clean samples, shape (B, ...) of rank 2 or more.
            noise (Tensor): Standard normal noise of the same shape.
            levels (Tensor): Noise levels t and r of each sample, shape (B, 2), float32, sigma_min <= r < t, such as
                those of :func:`tuning_levels`.
            *conditions (Tensor): Conditions for the model, shape (B, ...) each.
            weights (Tensor, optional): Weights of the elements in |d|^2, see :meth:`EDMTrainer.get_loss`.
                Default: ``None``, all alike.

        Returns:
            Tensor, a float32 scalar.

        Raises:
            TypeError: If `weights` is no Tensor.
            ValueError: If the shapes do not belong together, or the model's output has another than the samples.
        """
        original_samples, weights = checked_samples(original_samples, noise, weights)
        check_pairs("levels", levels, original_samples, self.interval, strictly=True)
        for condition in conditions:
            check_batch("condition", condition, original_samples)
        t, r = levels[:, 0], levels[:, 1]
        target = ops.stop_gradient(self.denoised(original_samples + shaped(r, noise) * noise, r, *conditions))
        error = ops.square(self.denoised(original_samples + shaped(t, noise) * noise, t, *conditions) - target)
        if weights is not None:
            error = error * weights / (weights + ops.zeros_like(error)).mean()
        squared = error.reshape((error.shape[0], -1)).sum(axis=-1)
        return ((ops.sqrt(squared + self.huber_c**2) - self.huber_c) / (t - r)).mean()

    def denoised(self, x, sigma, *conditions):
        """Returns f(x, sigma), float32, for samples ``(B, ...)`` at levels ``(B,)``."""
        level = shaped(sigma, x)
        total = level * level + self.sigma_data**2
        prediction = ops.cast(self.model(x / ops.sqrt(total), 250 * ops.log(sigma), *conditions), mstype.float32)
        check_like("The model's output", prediction, "the samples", x)
        above = level - self.sigma_min
        c_skip = self.sigma_data**2 / (above * above + self.sigma_data**2)
        return c_skip * x + self.sigma_data * above / ops.sqrt(total) * prediction

    def construct(self, original_samples, noise, levels, *conditions, weights=None):
        """The same as ``get_loss``."""
        return self.get_loss(original_samples, noise, levels, *conditions, weights=weights)
