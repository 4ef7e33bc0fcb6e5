"""Which training timesteps a shorter trajectory visits: Table 2 of Lin et al., 2023 (arXiv:2305.08891)."""

import numpy as np

from mindscience_diffuser.validation import check_choice, check_integer


def leading_timesteps(train, count):
    """Returns `count` timesteps from 0 up, multiples of a stride.

    The stride is T // n, as in Table 2 of the paper. With many steps that falls so far short of T / n that the highest
    timesteps, those of pure noise, would not be visited: where T mod n is a stride or more, the timesteps are the
    multiples of T / n, rounded down. So the highest one is always less than two strides below T.

    Args:
        train (int): Number T of training timesteps.
        count (int): Number n of timesteps, at least 1.

    Returns:
        numpy.ndarray, int64, shape ``(n,)``, ascending; strictly where n is at most T.
    """
    stride, rest = divmod(train, count)
    return np.arange(count) * stride if rest < stride else np.arange(count) * train // count


def _linspace(train, count):
    return np.linspace(0, train - 1, count).round()[::-1]


def _trailing(train, count):
    return np.round(train - np.arange(count) * (train / count)) - 1


TIMESTEP_SPACINGS = ("leading", "linspace", "trailing")


def spaced_timesteps(spacing, num_train_timesteps, num_inference_steps, steps_offset=0, leading=leading_timesteps):
    """Returns evenly spaced timesteps, always exactly `num_inference_steps` of them.

    Args:
        spacing (str): ``"leading"`` (:func:`leading_timesteps` plus `steps_offset`), ``"linspace"`` (from T - 1 to 0,
            both included) or ``"trailing"`` (from T - 1 down in strides of T / n).
        num_train_timesteps (int): Number T of training timesteps.
        num_inference_steps (int): Number n of steps, in [1, T].
        steps_offset (int): Added to ``"leading"`` timesteps.
        leading (Callable): Takes the place of :func:`leading_timesteps`.

    Returns:
        numpy.ndarray, int64, shape ``(n,)``, strictly descending, in [0, T - 1].

    Raises:
        TypeError: If `num_inference_steps` is not an integer.
        ValueError: If it is outside [1, T], or the offset moves a timestep out of range.
    """
    check_choice("timestep_spacing", spacing, TIMESTEP_SPACINGS)
    count = check_integer("num_inference_steps", num_inference_steps, low=1, high=num_train_timesteps)
    if spacing == "leading":
        timesteps = leading(num_train_timesteps, count)[::-1] + steps_offset
    else:
        timesteps = (_linspace if spacing == "linspace" else _trailing)(num_train_timesteps, count).astype(np.int64)
    if timesteps[0] >= num_train_timesteps:
        raise ValueError(
            f"'steps_offset' is {steps_offset}, which moves the first of {count} leading timesteps to {timesteps[0]}; "
            f"it must stay below num_train_timesteps={num_train_timesteps}. Use fewer steps or a smaller offset."
        )
    return timesteps


def custom_timesteps(timesteps, num_train_timesteps):
    """Checks timesteps given by the user.

    Args:
        timesteps (Sequence[int]): Strictly descending training timesteps in [0, T - 1].
        num_train_timesteps (int): Number T of training timesteps.

    Returns:
        numpy.ndarray, int64, shape ``(n,)``.

    Raises:
        TypeError: If they are not integers.
        ValueError: If they are empty, not strictly descending or out of range.
    """
    given = np.asarray(timesteps)
    if given.ndim != 1 or given.size == 0:
        raise ValueError(f"'timesteps' must be a non-empty sequence of integers, but has shape {given.shape}.")
    if not np.issubdtype(given.dtype, np.integer):
        raise TypeError(f"'timesteps' must be integers, but has dtype {given.dtype}.")
    if np.any(given[1:] >= given[:-1]):
        raise ValueError(f"'timesteps' must be strictly descending, but is {given.tolist()}.")
    if given[0] >= num_train_timesteps or given[-1] < 0:
        raise ValueError(
            f"'timesteps' must lie in [0, {num_train_timesteps - 1}], but runs from {given[0]} to {given[-1]}."
        )
    return given.astype(np.int64)


def share_of(count, share):
    """Returns how many of `count` steps are a share of them, rounded down.

    The product of 100 and 0.29 is 28.999999999999996 in binary: a product that is an integer up to rounding in single
    precision is that integer.

    Args:
        count (int or numpy.ndarray): A number of steps, or a timestep, at least 0.
        share (float or numpy.ndarray): In [0, 1].

    Returns:
        int, or a numpy.ndarray of int64.
    """
    product = np.asarray(count * share, np.float64)
    nearest = np.round(product)
    whole = np.where(np.abs(product - nearest) <= 1e-6 * np.asarray(count), nearest, np.floor(product))
    return whole.astype(np.int64) if whole.ndim else int(whole)
