"""Learning rates over the steps of a run."""

import numpy as np

from mindscience_diffuser.validation import check_integer, check_number


def warmup_cosine(peak, warmup_steps, steps, final=0.0):
    """Linear warm-up to `peak`, then half a cosine down to `final` (Loshchilov and Hutter, 2017, arXiv:1608.03983).

    Args:
        peak (float): Highest learning rate, above 0.
        warmup_steps (int): Steps of the warm-up, at most `steps`.
        steps (int): Steps of the whole run.
        final (float): Learning rate after the last step. Default: ``0.0``.

    Returns:
        list[float] with one learning rate a step, as MindSpore's optimizers take it.

    Raises:
        TypeError: If an argument is no number.
        ValueError: If an argument is out of its range.
    """
    peak = check_number("peak", peak, "(0, inf)")
    final = check_number("final", final, "[0, inf)")
    steps = check_integer("steps", steps, low=1)
    warmup_steps = check_integer("warmup_steps", warmup_steps, low=0, high=steps)
    step = np.arange(steps)
    rising = peak * (step + 1) / max(warmup_steps, 1)
    progress = (step - warmup_steps) / max(steps - warmup_steps, 1)
    falling = final + (peak - final) * 0.5 * (1 + np.cos(np.pi * progress))
    return np.where(step < warmup_steps, rising, falling).tolist()
