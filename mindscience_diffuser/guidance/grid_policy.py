"""A model that predicts a segment of a flow on a grid, as a model of its mean velocity (pi-Flow, arXiv:2510.14974)."""

from mindspore import nn, ops

from mindscience_diffuser.cells import PublicCell
from mindscience_diffuser.schedulers.flow.piflow import PiflowScheduler


class GridPolicy(PublicCell):
    """The mean velocity of a segment, from a model that predicts velocities at the points of a grid.

    It stands between the model and a :class:`~mindscience_diffuser.PiflowScheduler`, whose ``told`` it is called with.
    A policy of another kind is a subclass with a `construct` of its own.

    Args:
        model (nn.Cell): Called as ``model(x, timestep, *conditions)`` with x ``(B, ..., C)`` and timestep ``(B,)``; its
            output ``(B, ..., N * C)`` holds the C channels of the first point of the grid, then those of the next.

    Inputs:
        - **x** (Tensor) - The sample, ``(B, ..., C)``.
        - **told** (Tensor) - The timestep and the N weights, ``(B, 1 + N)``.
        - **conditions** (Tensor) - Handed on to the model.

    Outputs:
        Tensor, the weighted mean of the velocities, of the shape of `x`.

    Raises:
        TypeError: If `model` is no Cell.
        ValueError: If the output of the model does not have N values for each channel of `x`.
    """

    def __init__(self, model):
        super().__init__()
        if not isinstance(model, nn.Cell):
            raise TypeError(f"'model' must be an nn.Cell, but is {type(model).__name__}.")
        self.model = model

    def construct(self, x, told, *conditions):
        """Returns the mean velocity."""
        return mean_velocity(self.model(x, told[..., 0], *conditions), told[..., 1:], x)


def check_policy(model, scheduler):
    """Raises ValueError if the steps of a scheduler follow the policy of a grid, and no part of the model has one."""
    if isinstance(scheduler, PiflowScheduler) and not any(
        isinstance(c, GridPolicy) for _, c in model.cells_and_names()
    ):
        raise ValueError(
            f"'model' is {type(model).__name__}, but each step of PiflowScheduler needs a mean of the velocities that "
            "the model predicts on a grid: give GridPolicy(model), alone or inside a guidance."
        )


def mean_velocity(output, weights, sample):
    """Returns the weighted mean of velocities ``(B, ..., N * C)``, of the shape of the sample ``(B, ..., C)``."""
    size, channels = weights.shape[-1], sample.shape[-1]
    # The number of samples may be open, where a graph is exported.
    if output.shape[1:] != sample.shape[1:-1] + (size * channels,):
        raise ValueError(
            f"The model returns {output.shape} for a sample {sample.shape}, but must return {size} velocities, one "
            f"after the other along the last axis, which has then a length of {size * channels}."
        )
    between = (1,) * (sample.ndim - weights.ndim)
    weights = ops.cast(weights, output.dtype).reshape((-1,) + weights.shape[1:-1] + between + (size, 1))
    return (output.reshape((-1,) + sample.shape[1:-1] + (size, channels)) * weights).sum(axis=-2)
