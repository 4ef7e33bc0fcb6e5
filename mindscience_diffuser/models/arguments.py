"""Checks of the arguments that models are built from."""

from mindscience_diffuser.step import COMPUTE_DTYPES

MOST_LAYERS = 10_000
"""More than any model has, and few enough that a mistyped number is answered before the memory is full."""


def check_heads(heads, hidden_channels):
    """Raises ValueError unless the channels can be shared out evenly among the attention heads."""
    if hidden_channels % heads:
        # Outwards from `heads`, so that a mistyped, huge number of channels does not keep the search busy.
        start = min(heads, hidden_channels)
        around = (count for distance in range(start) for count in (start - distance, start + distance))
        nearest = next(count for count in around if hidden_channels % count == 0)
        raise ValueError(
            f"'heads' must divide 'hidden_channels', but is {heads} and hidden_channels is {hidden_channels}; "
            f"the nearest number that fits is heads={nearest}."
        )


def check_compute_dtype(compute_dtype):
    """Raises ValueError unless `compute_dtype` is one of the two dtypes that every backend computes with."""
    if compute_dtype not in COMPUTE_DTYPES:
        raise ValueError(f"'compute_dtype' must be mindspore.float32 or mindspore.float16, but is {compute_dtype!r}.")
