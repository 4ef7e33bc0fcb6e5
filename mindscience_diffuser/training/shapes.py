"""What a batch is made of: types and shapes, since a product or difference of other shapes would broadcast, and levels.

All checks hold in graphs too, but those of the values of levels: they are read on CPU alone, outside of graphs.
"""

import numpy as np
from mindspore import dtype as mstype
from mindspore import ops

from mindscience_diffuser.inputs import check_floating, check_is_tensor, check_samples, values_on_cpu
from mindscience_diffuser.validation import check_within

INTEGERS = (mstype.int8, mstype.int16, mstype.int32, mstype.int64, mstype.uint8)


def check_like(name, value, other, like):
    """Raises ValueError unless `value`, called `name`, has the shape of `like`, called `other`."""
    if value.shape != like.shape:
        raise ValueError(f"{name} has shape {value.shape}, but must have that of {other}, {like.shape}.")


def check_noised(samples, noise):
    """Raises an error unless clean samples and their noise are floating Tensors ``(B, ...)`` of one shape, B >= 1."""
    check_samples("original_samples", samples)
    check_samples("noise", noise)
    check_like("'noise'", noise, "'original_samples'", samples)
    if 0 in samples.shape:
        raise ValueError(f"'original_samples' has shape {samples.shape}: a loss needs one sample or more.")


def check_batch(name, value, samples):
    """Raises an error unless the first axis of a Tensor `value` is the batch of `samples`."""
    check_is_tensor(name, value)
    if value.ndim == 0 or value.shape[0] != samples.shape[0]:
        raise ValueError(
            f"'{name}' has shape {value.shape}, but its first axis must be the batch of the samples, "
            f"{samples.shape[0]}."
        )


def check_levels(name, values, interval):
    """Raises an error unless levels are a floating Tensor with all values in `interval`, written as in ``"(0, 1]"``."""
    check_floating(name, values)
    if ops.isconstant(values):
        _check_values(name, values, interval)


def check_among(name, values, choices):
    """Raises an error unless all values of a Tensor of integers are some of `choices`, a tuple of int."""
    check_whole(name, values, choices[-1] + 1)
    if ops.isconstant(values):
        _check_choices(name, values, choices)


def check_whole(name, values, count):
    """Raises an error unless `values` are a Tensor of integers in [0, count - 1]."""
    check_is_tensor(name, values)
    if values.dtype not in INTEGERS:
        raise TypeError(f"'{name}' must hold integers, but is {values.dtype}; convert it with astype(mindspore.int32).")
    if ops.isconstant(values):
        _check_values(name, values, f"[0, {count - 1}]")


@ops.constexpr
def _check_choices(name, values, choices):
    given = values_on_cpu(values)
    others = () if given is None else given[~np.isin(given, choices)]
    if len(others):
        raise ValueError(
            f"'{name}' must be some of the {len(choices)} that the trainer has under this name, from {choices[0]} to "
            f"{choices[-1]}, but has {others[0]}."
        )
    return True


@ops.constexpr
def _check_values(name, values, interval):
    given = values_on_cpu(values)
    if given is not None:
        check_within(name, given, interval)
    return True


def one_for_each(name, values, samples):
    """Returns `values`, one number or one for each sample as ``(B,)`` or ``(B, 1)``, as ``(B,)``.

    Raises:
        ValueError: If they have another shape.
    """
    batch = samples.shape[0]
    shape = tuple(values.shape)
    if shape == (batch,):
        return values
    if shape == (batch, 1):
        return values.reshape((-1,))
    if shape in ((), (1,), (1, 1)):
        return values.reshape((1,)) + ops.zeros((batch,), values.dtype)
    raise ValueError(
        f"'{name}' must be one number or have one for each of {batch} samples, shape ({batch},) or ({batch}, 1), but "
        f"has shape {shape}."
    )


def levels_for(name, values, samples):
    """Returns noise levels as :func:`one_for_each` does, or one for each frame of samples ``(B, T, ...)``, ``(B, T)``.

    Raises:
        ValueError: If they have another shape.
    """
    if values.ndim < 2 or values.shape[1] == 1:
        return one_for_each(name, values, samples)
    if tuple(values.shape) != tuple(samples.shape[:2]):
        raise ValueError(
            f"'{name}' must be one number or have one for each of {samples.shape[0]} samples or for each frame of "
            f"them, shape {tuple(samples.shape[:2])}, but has shape {tuple(values.shape)}."
        )
    return values


def check_pairs(name, pairs, samples, interval, strictly=False):
    """Raises an error unless a floating Tensor holds two levels, t and r <= t, of each sample, both in `interval`.

    With `strictly`, r must be below t.
    """
    check_floating(name, pairs)
    count = samples.shape[0]
    if tuple(pairs.shape) != (count, 2):
        raise ValueError(
            f"'{name}' must hold t and r of each of {count} samples, shape ({count}, 2), but has shape "
            f"{tuple(pairs.shape)}."
        )
    check_levels(name, pairs, interval)
    if ops.isconstant(pairs):
        _check_order(name, pairs, strictly)


@ops.constexpr
def _check_order(name, pairs, strictly):
    given = values_on_cpu(pairs)
    if given is None:
        return True
    t, r = given.T
    wrong = np.flatnonzero(r >= t if strictly else r > t)
    if wrong.size:
        order = "below" if strictly else "at most"
        raise ValueError(
            f"'{name}' must hold t and r of each sample, r {order} t, but sample {wrong[0]} has t = {t[wrong[0]]} and "
            f"r = {r[wrong[0]]}."
        )
    return True
