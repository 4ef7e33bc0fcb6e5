"""Weights of the loss over the elements of a batch: masks of valid values, areas of grid cells, weights of channels."""

import numpy as np
from mindspore import Tensor, mint, ops
from mindspore import dtype as mstype

from mindscience_diffuser.inputs import values_on_cpu
from mindscience_diffuser.training.shapes import check_noised


def checked_weights(weights, samples):
    """Returns `weights` as float32 of the rank of the samples; in graphs too.

    What a graph gets as an input has no values while it is compiled: there only the shape is checked.

    Args:
        weights (Tensor): Bool, integer or floating-point, of a shape that broadcasts to the samples.
        samples (Tensor): ``(B, ...)``.

    Raises:
        TypeError: If `weights` is no Tensor.
        ValueError: If its shape does not broadcast to the samples, or a value is negative or not finite, or all are 0.
    """
    if not isinstance(weights, Tensor):
        raise TypeError("'weights' must be a Tensor of MindSpore: convert it with mindspore.Tensor(weights).")
    shape = (1,) * (samples.ndim - weights.ndim) + tuple(weights.shape)
    fitting = ()
    for size, whole in zip(shape, samples.shape):
        fitting += (1 if size == 1 else whole,)
    if shape != fitting:
        raise ValueError(
            f"'weights' has shape {weights.shape}, which does not broadcast to the samples, {samples.shape}: axes are "
            "counted from the last one, so that weights of the samples have the shape (B, 1, ...)."
        )
    if ops.isconstant(weights):
        _check_values(weights)
    return ops.cast(weights, mstype.float32).reshape(shape)


@ops.constexpr
def _check_values(weights):
    values = values_on_cpu(weights)
    if values is not None:
        check_loss_weights("'weights'", values)
    return True


def check_loss_weights(name, values):
    """Raises ValueError if weights, a numpy.ndarray called `name`, are negative, not finite, or all 0."""
    if values.dtype != bool and not np.isfinite(values).all():
        raise ValueError(f"{name} must hold finite numbers, but has {values[~np.isfinite(values)][0]}.")
    if values.min() < 0:
        raise ValueError(f"{name} must be at least 0, but has {values.min()}.")
    if not values.any():
        raise ValueError(f"{name} is 0 everywhere: it leaves nothing of the batch to train on.")


def checked_samples(samples, noise, weights=None):
    """Returns the clean samples of a batch without what is missing, and their weights, None where all are alike.

    Raises:
        TypeError: If samples, noise or `weights` are no Tensors, or the former two hold no floating-point numbers.
        ValueError: If the noise has another shape than the samples, the batch is empty, or the weights do not fit them.
    """
    check_noised(samples, noise)
    if weights is None:
        return samples, None
    weights = checked_weights(weights, samples)
    return without_missing(samples, weights), weights


def without_missing(samples, weights):
    """Returns samples in which 0 stands for the values of weight 0 that are not finite; a value that counts stays."""
    missing = ops.logical_and(weights == 0, ops.logical_not(ops.isfinite(samples)))
    return mint.where(missing, ops.zeros_like(samples), samples)


def reduced(error, levels, weights=None, level_weights=None):
    """Returns the loss of a batch, a scalar, and the mean error at each of its levels, in the shape of `levels`.

    The loss is the weighted mean sum(w e) / sum(w) over all elements, in which the error of each sample, or frame, is
    multiplied by the weight of its level. The mean errors are weighted over the elements too, but not by level; that of
    a sample of which nothing counts is NaN.

    Args:
        error (Tensor): Errors of the elements, float32, ``(B, ...)``.
        levels (Tensor): Level of each sample, ``(B,)``, or of each frame of them, ``(B, T)``.
        weights (Tensor, optional): As :func:`checked_weights` returns them. Default: ``None``, all alike.
        level_weights (Tensor, optional): Weight of each level, in the shape of `levels`. Default: ``None``, 1.
    """
    if weights is None:
        means = error.reshape(levels.shape + (-1,)).mean(axis=-1)
        return (means if level_weights is None else means * level_weights).mean(), means
    sums = (weights * error).reshape(levels.shape + (-1,)).mean(axis=-1)
    # Of one sample, or of each: the mean over elements that are the same along an axis is that over one of them.
    counts = weights.reshape(weights.shape[: levels.ndim] + (-1,)).mean(axis=-1)
    weighed = sums if level_weights is None else sums * level_weights
    return weighed.mean() / counts.mean(), sums / counts
