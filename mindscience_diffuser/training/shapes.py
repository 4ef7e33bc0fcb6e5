"""Shapes of a batch: what must be alike is compared, since a product or difference of other shapes would broadcast."""

from mindspore import ops


def check_like(name, value, other, like):
    """Raises ValueError unless `value`, called `name`, has the shape of `like`, called `other`; in graphs too."""
    if value.shape != like.shape:
        raise ValueError(f"{name} has shape {value.shape}, but must have that of {other}, {like.shape}.")


def check_batch(name, value, samples):
    """Raises ValueError unless the first axis of `value` is the batch of `samples`; in graphs too."""
    if value.ndim == 0 or value.shape[0] != samples.shape[0]:
        raise ValueError(
            f"{name} has shape {value.shape}, but its first axis must be the batch of the samples, {samples.shape[0]}."
        )


def one_for_each(name, values, samples):
    """Returns `values`, one number or one for each sample as ``(B,)`` or ``(B, 1)``, as ``(B,)``; in graphs too.

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
        f"{name} must be one number or have one for each of {batch} samples, shape ({batch},) or ({batch}, 1), but has "
        f"shape {shape}."
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
            f"{name} must be one number or have one for each of {samples.shape[0]} samples or for each frame of them, "
            f"shape {tuple(samples.shape[:2])}, but has shape {tuple(values.shape)}."
        )
    return values


def check_pairs(name, pairs, samples):
    """Raises ValueError unless a Tensor holds two levels, t and r, of each sample."""
    count = samples.shape[0]
    if tuple(pairs.shape) != (count, 2):
        raise ValueError(
            f"{name} must hold t and r of each of {count} samples, shape ({count}, 2), but has shape "
            f"{tuple(pairs.shape)}."
        )
