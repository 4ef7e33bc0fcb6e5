"""The probability-flow ODE of a model along the levels of a plan, as weights of its samples and its outputs.

With x = alpha * x0 + sigma * eps, c = sqrt(alpha^2 + sigma^2) and the angle phi of (alpha, sigma) = c * (cos phi,
sin phi), the sample z = x / c follows

    dz / d phi = v = cos phi * eps - sin phi * x0 = (cos phi * z - x0) / sin phi,

which is regular from data, phi = 0, to pure noise, phi = pi / 2 (Salimans and Ho, 2022, arXiv:2202.00512, appendix D;
the ODE is that of Song et al., 2021, arXiv:2011.13456, eq. (13)). Every process of this package and every kind of
prediction is of this form.
"""

from typing import NamedTuple

import numpy as np
from mindspore import Tensor, nn
from mindspore import dtype as mstype

from mindscience_diffuser.guidance import Stage
from mindscience_diffuser.inputs import check_conditions, check_scheduler
from mindscience_diffuser.plan import StepPlan, filled, substituted
from mindscience_diffuser.schedulers.base.scheduler import Scheduler

ROWS_AT_ONCE = 256
"""Tables of a graph have a multiple of so many rows: another number of steps mostly finds the same graph."""


class ProbabilityFlow(NamedTuple):
    """The ODE at levels that rise from data to noise; arrays with the level first, float64.

    Where channels have scales of their own, `input_scale`, `of_sample` and `of_output` have the shape ``(m, S)``.
    """

    angles: np.ndarray
    """phi, ascending, ``(m,)``."""
    lengths: np.ndarray
    """c, ``(m,)``."""
    timesteps: np.ndarray
    """What the model is told, ``(m,)`` or ``(m, k)``."""
    input_scale: np.ndarray
    """Factor of z in what the model is given."""
    of_sample: np.ndarray
    """Weight of z in v."""
    of_output: np.ndarray
    """Weight of the model's output in v."""

    def at(self, levels):
        """Returns the ODE at the chosen levels, an index of them."""
        return ProbabilityFlow(*(part[levels] for part in self))

    def plan(self, states):
        """Returns the StepPlan of model calls at the levels of this ODE in turn, whose first state is z.

        Args:
            states (Mapping[str, Weights]): The next states as sums of states and of ``velocity``, which is v.
        """
        velocity = {"sample": self.of_sample, "output": self.of_output}
        states = {name: substituted(weights, "velocity", velocity) for name, weights in states.items()}
        return StepPlan(self.timesteps, {}, states, input_scale=self.input_scale)


def probability_flow(plan):
    """Returns the ODE at the levels above 0 of which a plan calls the model, each of them once."""
    a, b, alpha, sigma, scale = np.moveaxis(plan.level_columns(), -1, 0)[:5]
    alpha, sigma = (part.reshape(len(plan), -1)[:, 0] for part in (alpha, sigma))
    rows = np.flatnonzero(sigma > 0)
    angles, first = np.unique(np.arctan2(sigma, alpha)[rows], return_index=True)
    rows = rows[first]
    length = np.hypot(alpha, sigma)[rows]
    shape = plan.take(rows).shape
    cos, sin, c = (filled(part, shape) for part in (np.cos(angles), np.sin(angles), length))
    scale = scale[rows] * c
    return ProbabilityFlow(angles, length, plan.timesteps[rows], scale, (cos - a[rows] * scale) / sin, -b[rows] / sin)


def checked_plan(model, scheduler, x, conditions, what):
    """Checks the arguments that likelihood and inversion share, and returns the scheduler's plan.

    Args:
        model (nn.Cell): The model.
        scheduler (Scheduler): The scheduler.
        x (Tensor): The samples.
        conditions (tuple): Conditions of the model.
        what (str): What is asked for, ``"likelihood"`` or ``"inversion"``.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If the plan follows no ODE, or a shape does not fit.
    """
    if not isinstance(model, nn.Cell):
        raise TypeError(f"'model' must be an nn.Cell, but is {type(model).__name__}.")
    check_scheduler(scheduler, Scheduler)
    if isinstance(model, Stage) and model.needs_level:
        raise ValueError(
            f"'model' is {type(model).__name__}, which corrects each step by its noise level, so that the samples do "
            f"not follow the ODE of a model: there is no {what}. Give the model that it holds."
        )
    plan, name = scheduler.plan_for(), type(scheduler).__name__
    if plan.stochastic:
        raise ValueError(
            f"'scheduler' is {name}, whose steps draw noise: there is no {what} along them. Build a deterministic one "
            "of the same noise process, one of scheduler.compatibles, by from_config(scheduler.config)."
        )
    if plan.limit is not None:
        raise ValueError(
            f"'scheduler' limits the predicted clean sample (limit {plan.limit.kind!r}), which is no step of an ODE: "
            f"there is no {what}. Build it without clip_sample, clip_denoised, thresholding and quantize."
        )
    if scheduler.inverts:
        raise ValueError(
            f"'scheduler' is {name}, whose steps lead from data to noise. Give the scheduler that samples are drawn "
            f"with; its {what} runs along its levels backwards."
        )
    if plan.level is None or plan.next_level is None or plan.x0.keys() - {"sample", "output"}:
        raise ValueError(
            f"'scheduler' is {name}, whose steps have no noise levels of their own: there is no {what} along them."
        )
    if scheduler.compute_dtype != mstype.float32:
        raise ValueError(
            f"'scheduler' has compute_dtype {scheduler.compute_dtype}, too coarse for a {what}: build it with float32. "
            "The model may compute in float16 inside."
        )
    scheduler.check_tensor("x", x)
    if x.size == 0:
        raise ValueError(f"'x' must hold one sample or more, of one value or more, but has shape {x.shape}.")
    scheduler.check_channels(x.shape)
    check_conditions(conditions, "x", x.shape[0])
    return plan


def in_memory(rows):
    """Returns a table as a Tensor, filled up with rows that a loop never reaches."""
    missing = -len(rows) % ROWS_AT_ONCE
    dtype = mstype.int32 if rows.dtype.kind == "i" else mstype.float32
    return Tensor(np.pad(rows, [(0, missing)] + [(0, 0)] * (rows.ndim - 1)), dtype)
