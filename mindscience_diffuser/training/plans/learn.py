"""Levels, times and weights of a plan, learned by gradients through the compiled trajectory."""

from dataclasses import replace

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops
from mindspore import dtype as mstype

from mindscience_diffuser.cells import WholeGraph
from mindscience_diffuser.guidance import Stage
from mindscience_diffuser.plan import named_arrays, with_named_arrays
from mindscience_diffuser.sampling.model_step import ModelStep
from mindscience_diffuser.step import looked_up

LEARNED = ("times", "all")
STEP = 1e-4
"""Half the distance of the two plans from which a derivative is taken; they are float64."""
MOMENTS, EPSILON = (0.9, 0.99), 1e-8


class PlanFamily:
    """All plans of a solver that a fit may choose from, as a vector of numbers without bounds.

    ``learns="times"``: the levels of the solver. ``"all"``: besides, what the model is told at each level, and all
    weights of the sample, which may use earlier predictions that the solver itself does not use (Zhou et al., 2025,
    arXiv:2502.17423, and Tong et al., 2024, arXiv:2405.15506).

    Args:
        levels (Levels): The solver and its number of calls.
        learns (str): ``"times"`` or ``"all"``.
        history (int): Earlier predictions that a step may use, 0 or more; of fewer steps all. With ``"all"`` only, and
            for solvers that remember predictions, at least what they remember.
    """

    def __init__(self, levels, learns, history=0):
        self.levels, self.learns = levels, learns
        base = levels.plan(levels.start)
        self.remembered = list(base.states)[1:]
        self.history = 0
        shifts = [f"prediction_{k + 1}" for k in range(len(self.remembered))]
        if learns == "all" and self.remembered == shifts and (shifts or base.x0):
            self.history = max(min(history, levels.calls - 1), len(shifts))
        self.names = ()
        if learns == "all":
            plan = self._extended(base)
            self.names = tuple(f"states.sample.{name}" for name in plan.states["sample"])
        changes = len(self.names) + 1 if self.names else 0
        self.start = np.concatenate([levels.start, np.zeros(changes * levels.calls)])

    def _extended(self, plan):
        """Returns the plan with as many remembered predictions as the family uses."""
        states = {name: dict(weights) for name, weights in plan.states.items()}
        for k in range(len(self.remembered) + 1, self.history + 1):
            now = dict(plan.states["prediction_1"]) if "prediction_1" in plan.states else {"x0": 1.0}
            states[f"prediction_{k}"] = now if k == 1 else {f"prediction_{k - 1}": 1.0}
        zeros = np.zeros(len(plan))
        for k in range(1, self.history + 1):
            states["sample"].setdefault(f"prediction_{k}", zeros)
        states["sample"] = {name: np.broadcast_to(w, len(plan)).copy() for name, w in states["sample"].items()}
        return replace(plan, states=states)

    def plan(self, vector):
        """Returns the StepPlan of a vector."""
        count = self.levels.calls
        plan = self.levels.plan(vector[:count])
        if not self.names:
            return plan
        plan, changes = self._extended(plan), vector[count:].reshape(-1, count)
        arrays = named_arrays(plan)
        for name, change in zip(self.names, changes):
            history = name.rpartition("_")[2]
            # A prediction that has not been made yet is zero, and has no weight.
            made = np.arange(count) >= (int(history) if ".prediction_" in name else 0)
            # In units of the values that a weight multiplies: those of a sample are large where its noise is.
            size = np.hypot(*plan.level) if name == "states.sample.sample" else 1.0
            arrays[name] = arrays[name] + made * change / size
        # What the model is told belongs to levels of its own, and so is in order and in the range of training too.
        arrays["timesteps"] = self.levels.plan(vector[:count] + changes[-1]).timesteps
        return with_named_arrays(plan, arrays)


class PlanError(nn.Cell):
    """How far the final samples of a plan are from those of a teacher, in one graph, for gradients by the table.

    Args:
        model (nn.Cell): The model or a stage around it.
        layout (Layout): Structure of the plan.
        calls (int): Number n of steps.

    Inputs:
        - **rows** (Tensor) - the table, ``(n, columns)``.
        - **timesteps** (Tensor) - what the model is told, float32, ``(n,)``.
        - **noise** (Tensor) - where trajectories start, ``(B, ...)``.
        - **target** (Tensor) - where those of the teacher end, ``(B, ...)``.
        - **conditions** (Tensor) - those of the model.

    Outputs:
        Tuple (mean square distance, final samples).
    """

    def __init__(self, model, layout, calls):
        super().__init__(auto_prefix=False)
        self.advance = ModelStep(model, layout, mstype.float32)
        self.history, self.calls = layout.inputs.index("output") - 1, calls
        # One row for the batch, as if each sample had its own: the fused add of a single row passes no gradient to it.
        self.numbers = tuple(Tensor([k], mstype.int32) for k in range(calls))

    def construct(self, rows, timesteps, noise, target, *conditions):
        """Returns the error and the samples."""
        states = (noise,)
        for _ in range(self.history):
            states += (ops.zeros_like(noise),)
        for k in range(self.calls):
            states = self.advance(looked_up(rows, self.numbers[k]), timesteps[k], states, conditions)
        difference = states[0] - target
        return (difference * difference).mean(), states[0]


class Fit:
    """A fit of the plans of a family to the final samples of a teacher by Adam, which can stop and go on.

    Args:
        family (PlanFamily): What is fitted.
        model (nn.Cell): The model, or a stage such as guidance around it, in evaluation.
        learning_rate (float): Step of Adam, in the numbers of the family. Default: ``0.02``.
    """

    def __init__(self, family, model, learning_rate=0.02):
        self.family, self.learning_rate = family, learning_rate
        self.staged = isinstance(model, Stage) and model.needs_level
        layout, _ = self._packed(family.plan(family.start))
        self.error = PlanError(model, layout, family.levels.calls).set_train(False)
        self.gradient = ms.value_and_grad(self.error, (0, 1), has_aux=True)
        self.graph_of_error, self.graph_of_gradient = WholeGraph(), WholeGraph()
        self.vector = family.start.copy()
        self.first, self.second, self.iteration = np.zeros_like(self.vector), np.zeros_like(self.vector), 0

    def _packed(self, plan, dtype=np.float32):
        return plan.pack(level=self.staged, dtype=dtype)

    def _inputs(self, vector):
        plan = self.family.plan(vector)
        return Tensor(self._packed(plan)[1]), Tensor(plan.timesteps.astype(np.float32))

    def evaluate(self, vector, batches, count=None):
        """Returns the mean square distance to the teacher of the first `count` samples, by default of all.

        Args:
            vector (numpy.ndarray): The numbers of the plan.
            batches (Sequence): Batches (noise, target, *conditions) of equal size.
            count (int, optional): Number of samples that count, where the last batch is filled up. Default: ``None``.
        """
        inputs = self._inputs(vector)
        drawn = [self.graph_of_error.run(self.error, *inputs, *batch)[1].asnumpy() for batch in batches]
        difference = np.concatenate([samples - batch[1].asnumpy() for samples, batch in zip(drawn, batches)])
        return float(np.mean(np.square(difference[:count], dtype=np.float64)))

    def by_table(self, vector, batch):
        """Returns the mean square distance of a batch, and its gradients by the table and by what the model is told."""
        (loss, _), gradients = self.graph_of_gradient.run(self.gradient, *self._inputs(vector), *batch)
        return float(loss.asnumpy()), *(part.asnumpy() for part in gradients)

    def step(self, batch):
        """Takes one step of Adam on a batch (noise, target, *conditions); returns its mean square distance.

        Raises:
            ValueError: If the gradient is not finite.
        """
        loss, *of_table = self.by_table(self.vector, batch)
        gradient = self._chained(*of_table)
        norm = np.linalg.norm(gradient)
        if not np.isfinite(norm):
            raise ValueError(
                f"'model' has a gradient that is not finite: step {self.iteration} of the fit, at a distance of "
                f"{loss**0.5:.3g}, cannot follow it. A square root or a norm of 0 has none, for example. A search with "
                "learn=None needs no gradient, and a smaller 'learning_rate' may stay clear of it."
            )
        gradient = gradient / max(norm, 1e-30)
        self.iteration += 1
        self.first += (1 - MOMENTS[0]) * (gradient - self.first)
        self.second += (1 - MOMENTS[1]) * (gradient**2 - self.second)
        mean = self.first / (1 - MOMENTS[0] ** self.iteration)
        deviation = np.sqrt(self.second / (1 - MOMENTS[1] ** self.iteration))
        self.vector = self.vector - self.learning_rate * mean / (deviation + EPSILON)
        return loss

    def _chained(self, of_rows, of_times):
        """Returns the gradient by the numbers of the family: those of the table come from the device."""
        gradient = np.empty_like(self.vector)
        for k in range(len(gradient)):
            ends = []
            for sign in (1, -1):
                moved = self.vector.copy()
                moved[k] += sign * STEP
                plan = self.family.plan(moved)
                ends.append((self._packed(plan, np.float64)[1], plan.timesteps.astype(np.float64)))
            gradient[k] = sum(
                np.sum(part * (after - before)) / (2 * STEP) for part, after, before in zip((of_rows, of_times), *ends)
            )
        return gradient
