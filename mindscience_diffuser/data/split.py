"""Which samples belong to training and which are held out."""

import numpy as np

from mindscience_diffuser.validation import check_choice, check_integer, check_number

SPLITS = ("train", "test")


def chosen(count, split, held_out, shuffled):
    """Returns the numbers of the samples of a part of a data set, ascending.

    Args:
        count (int): Samples of the data set.
        split (str): ``"train"`` or ``"test"``.
        held_out (float or Sequence[int]): Share of the samples that is held out, in (0, 1), at least one of them; or
            the first held-out sample and the one after the last.
        shuffled (bool): Whether a share is drawn, always the same samples, or taken from the end.

    Returns:
        numpy.ndarray, int64.

    Raises:
        TypeError: If `split` or `held_out` has the wrong type.
        ValueError: If `split` is unknown, `held_out` is out of its range, or a part is left without a sample.
    """
    check_choice("split", split, SPLITS)
    if isinstance(held_out, (list, tuple)):
        if len(held_out) != 2:
            raise ValueError(
                f"'held_out' must be a share or two numbers, the first held-out sample and the one after the last, "
                f"but is {held_out!r}."
            )
        first = check_integer("held_out", held_out[0], low=0, high=count - 1)
        last = check_integer("held_out", held_out[1], low=first + 1, high=count)
        tested = np.arange(first, last)
    else:
        share = check_number("held_out", held_out, "(0, 1)")
        number = max(round(count * share), 1)
        order = np.random.default_rng(0).permutation(count) if shuffled else np.arange(count)
        tested = order[count - number :]
    if len(tested) == count:
        raise ValueError(
            f"'held_out' is {held_out!r} and holds out all of the {count} samples: hold out fewer or give more."
        )
    kept = np.zeros(count, bool)
    kept[tested] = True
    return np.flatnonzero(kept if split == "test" else ~kept)
