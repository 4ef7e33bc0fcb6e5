"""Levels of noise that differ between the frames of a sample: scheduling matrices and the plans that follow them."""

from dataclasses import replace

import numpy as np

from mindscience_diffuser.settings import Settings
from mindscience_diffuser.validation import check_choice, check_integer, check_number

KINDS = ("full_sequence", "autoregressive", "pyramid", "trapezoid")


class FrameSchedule(Settings):
    """When which frame of a sequence is denoised: the scheduling matrices of Diffusion Forcing.

    Chen et al., 2024 (arXiv:2407.01392), section 3.3. A sample ``(B, T, ...)`` has T frames, each at a noise level of
    its own; in every step a frame moves to its next lower level or stays as it is.

    Args:
        frames (int): Number T of frames, at least 1.
        kind (str): ``"full_sequence"``: all frames move together. ``"autoregressive"``: a frame begins when the one
            before is clean. ``"pyramid"``: each frame begins `uncertainty` steps after the one before.
            ``"trapezoid"``: the same from both ends to the middle. Default: ``"full_sequence"``.
        uncertainty (float): Steps by which a frame lags behind the one before, at least 0; of ``"pyramid"`` and
            ``"trapezoid"``. Default: ``1.0``.
        context (int): Number of frames at the beginning that are clean from the start, in [0, T - 1]: given as they
            are in the noise that a Sampler is called with, they stay so. Default: ``0``.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a value is out of range or `kind` unknown.

    Examples:
        >>> FrameSchedule(3, "pyramid").matrix(2).tolist()
        [[2, 2, 2], [1, 2, 2], [0, 1, 2], [0, 0, 1], [0, 0, 0]]
    """

    def __init__(self, frames, kind="full_sequence", uncertainty=1.0, context=0):
        self.frames = check_integer("frames", frames, low=1)
        self.kind = check_choice("kind", kind, KINDS)
        self.uncertainty = check_number("uncertainty", uncertainty, "[0, inf)")
        self.context = check_integer("context", context, low=0, high=self.frames - 1)

    def matrix(self, steps):
        """Returns how many steps each frame has still before it, ``(M + 1, T)``, for trajectories of `steps` steps.

        Args:
            steps (int): Number K of steps of one frame, at least 1.

        Returns:
            numpy.ndarray, integers from K, pure noise, to 0, clean: before each of the M steps and at the end.
        """
        steps = check_integer("steps", steps, low=1)
        place = np.arange(self.frames - self.context)
        if self.kind == "trapezoid":
            place = np.minimum(place, place[::-1])
        lag = {"full_sequence": 0, "autoregressive": steps}.get(self.kind, self.uncertainty)
        begins = np.floor(place * lag).astype(int)
        remaining = np.clip(steps + begins - np.arange(steps + begins.max() + 1)[:, None], 0, steps)
        return np.pad(remaining, [(0, 0), (self.context, 0)])


def checked_matrix(frames, steps):
    """Returns the scheduling matrix that the argument `frames` of a Sampler stands for, for `steps` steps of a frame.

    Raises:
        TypeError: If it is neither a :class:`FrameSchedule` nor an array of integers.
        ValueError: If it has another shape, a number above `steps` or below 0, rises, or falls by more than one.
    """
    if isinstance(frames, FrameSchedule):
        return frames.matrix(steps)
    try:
        matrix = np.asarray(frames)
    except ValueError as error:
        raise ValueError(
            f"'frames' must be a matrix with as many numbers in each row as there are frames, but is {frames!r}."
        ) from error
    if matrix.dtype.kind not in "iu":
        raise TypeError(
            f"'frames' must be a FrameSchedule or a matrix of integers, but is {frames!r} of type "
            f"{type(frames).__name__}."
        )
    if matrix.ndim != 2 or len(matrix) < 2 or matrix.shape[1] < 1:
        raise ValueError(
            "'frames' must be a matrix with a row before each step and one for the end, and a column for each frame, "
            f"but has shape {matrix.shape}."
        )
    if matrix.min() < 0 or matrix.max() > steps:
        raise ValueError(
            f"'frames' must hold numbers of steps that are left, in [0, {steps}] for the {steps} steps of this "
            f"schedule, but holds {matrix.min()} to {matrix.max()}: make the matrix for the number of steps, or give a "
            "FrameSchedule, which follows it."
        )
    falls = -np.diff(matrix.astype(np.int64), axis=0)
    if falls.min() < 0 or falls.max() > 1:
        step, frame = np.argwhere((falls < 0) | (falls > 1))[0]
        raise ValueError(
            f"'frames' must fall by 0 or 1 in every step, but frame {frame} goes from {matrix[step, frame]} to "
            f"{matrix[step + 1, frame]} in step {step}."
        )
    if not falls.any():
        raise ValueError("'frames' must fall somewhere, but no frame moves.")
    return matrix


def check_frames(shape, count):
    """Raises ValueError unless samples of a shape ``(B, T, ...)`` have as many frames as the levels; in graphs too."""
    if len(shape) < 2 or shape[1] != count:
        raise ValueError(
            f"'frames' has levels for {count} frames, but the noise has shape {shape}: its second axis must be that of "
            f"the frames, {count} long."
        )


def plan_of_frames(plan, frames, order, clean_timestep):
    """Returns the plan of a sequence whose frames follow `plan` at their own times, its arrays ``(n, T)``.

    Args:
        plan (StepPlan): The plan of one frame.
        frames (FrameSchedule or array_like): See :func:`checked_matrix`.
        order (int): Rows of one step of `plan`.
        clean_timestep (float): What the model is told of a frame that is done.

    Raises:
        TypeError: If `frames` is something else.
        ValueError: If it is no scheduling matrix, or a step of the plan does not treat each frame by itself.
    """
    if plan.next_level is None:
        raise ValueError("'frames' has levels for each frame, but the steps of this scheduler lead to no noise levels.")
    if plan.timesteps.ndim > 1:
        raise ValueError(
            "'frames' has levels for each frame, but the model is told both ends of a step: one level each."
        )
    if len(plan.shape) > 1:
        raise ValueError("'frames' has levels for each frame, but sigma_data of the scheduler is one for each channel.")
    if plan.langevin is not None or (plan.limit is not None and plan.limit.kind == "threshold"):
        what = "thresholding" if plan.langevin is None else "a corrector that takes norms of whole samples"
        raise ValueError(f"'frames' has levels for each frame, but this scheduler has {what}, which would mix frames.")
    steps = -(-len(plan) // order)
    matrix = checked_matrix(frames, steps)
    done = steps - matrix
    call = np.arange(order)[:, None]
    # A step has `order` model calls, of which a last one to a clean sample may have fewer.
    begins, falls = np.repeat(done[:-1], order, axis=0), np.repeat(done[1:] > done[:-1], order, axis=0)
    rows = begins * order + np.where(falls, np.tile(call, (len(matrix) - 1, 1)), 0)
    moves = falls & (rows < len(plan))
    kept = moves.any(axis=1)
    rows, moves = rows[kept], moves[kept]
    ended = rows >= len(plan)
    rows = np.minimum(rows, len(plan) - 1)
    taken = plan.take(rows)
    # What does not move is after the step at the level at which it was before.
    before = [np.where(ended, reached[-1], now) for now, reached in zip(taken.level, plan.next_level)]
    reached = tuple(np.where(moves, after, now) for after, now in zip(taken.next_level, before))
    return replace(
        taken,
        timesteps=np.where(ended, clean_timestep, taken.timesteps).astype(plan.timesteps.dtype),
        next_level=reached,
        level=tuple(before),
        moves=moves.astype(np.float64),
    )
