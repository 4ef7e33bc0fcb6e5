"""The kernel: the only place where step arithmetic touches the device."""

import inspect
from functools import cache, cached_property

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, mint, nn, ops
from mindspore import dtype as mstype

from mindscience_diffuser.plan import quantize_floor

COMPUTE_DTYPES = (mstype.float32, mstype.float16)
SAMPLE_DTYPES = (*COMPUTE_DTYPES, mstype.bfloat16)
"""Dtypes of the tensors that a step takes; the arithmetic is in one of `COMPUTE_DTYPES`."""
FLOAT16_MAX = 65504.0
IDENTITY = ops.Identity()
"""Copies a Tensor, in graphs too. Not in a cell: primitives do not pickle."""
LEAST_DIVISOR = 1e-30
"""Magnitude below which a divisor counts as 0."""
ZERO, ONE, OTHER = 0, 1, 2
"""What may be known of a weight while a graph is compiled."""


class StepKernel(nn.Cell):
    """One step of any plan: weighted sums around a limit on the predicted clean sample; a part of larger graphs.

    Args:
        layout (Layout): Static structure of the plan, from :meth:`StepPlan.pack`.
        compute_dtype (mindspore.dtype): Dtype of the arithmetic, float32 or float16.
    """

    def __init__(self, layout, compute_dtype):
        super().__init__()
        self.layout = layout
        self.compute_dtype = compute_dtype
        self.x0_form = tuple(layout.x0) if layout.x0 is not None else None
        self.sum_forms = tuple(tuple(form) for form in layout.sums)
        self.limit = tuple(layout.limit) if layout.limit is not None else None
        self.returns_x0 = layout.returns_x0
        self.output = layout.inputs.index("output")
        self.noise = layout.inputs.index("noise") if "noise" in layout.inputs else -1
        self.learned = "variance" in layout.inputs
        self.count = len(layout.inputs)
        self.log_std = layout.learned_std if isinstance(layout.learned_std, tuple) else ()
        self.langevin = layout.langevin
        self.moves = layout.moves
        self.largest = ops.TopK(sorted=True)
        # The norms of a Langevin corrector, and the squares of the levels that it belongs to, leave float16.
        self.arithmetic = compute_dtype if layout.langevin < 0 else mstype.float32
        # The fused add takes its factor as a host scalar. On CPU that is free; on Ascend it would wait for the device.
        # In float16 it would round less often than the portable form, and an exported graph would differ.
        self.fused = ms.get_context("device_target") == "CPU" and self.arithmetic == mstype.float32

    def __reduce__(self):
        return step_kernel, (self.layout, self.compute_dtype)

    def apply(self, row, values, known=()):
        """Returns the sums of the layout, then x0 where the layout returns it: a tuple of Tensors in `compute_dtype`.

        `row` is a tuple from :func:`weights_of`; `values` are the tensors named by ``layout.inputs``, each of shape
        ``(B, ...)``; `known` says what the graph may rely on, see :func:`known_weights`: empty, it holds for any
        weights.
        """
        cast = ()
        for i in range(self.count):
            cast += (ops.cast(values[i], self.arithmetic),)
        if self.learned:
            noise = cast[self.noise] * self.learned_std(row, cast[self.noise + 1])
            cast = cast[: self.noise] + (noise, cast[self.noise + 1])
        if self.x0_form is not None:
            cast += (self.limited(self.weighted_sum(row, self.x0_form, cast, known)),)
        results = ()
        # By number, here and below: `enumerate` and a slice take as long to compile as the arithmetic.
        for i in range(len(self.sum_forms)):
            result = self.weighted_sum(row, self.sum_forms[i], cast, known)
            # The states come first, among the inputs and among the sums.
            results += (self.held(row, result, cast[i]) if self.moves >= 0 and i < self.output else result,)
        if self.returns_x0:
            results += cast[-1:]
        return results if self.langevin < 0 else self.corrected(row, results, cast[self.output], cast[self.noise])

    def held(self, row, result, state):
        """Returns a state after a step: `result` where the sample moves, what it was before elsewhere."""
        return ops.where(shaped(row[self.moves], state) > 0, result, state)

    def corrected(self, row, results, score, noise):
        """Adds the Langevin corrector of a plan to the sample, and rounds to the dtype of the results."""
        lengths = self.mean_norm(noise), self.mean_norm(score)
        factor = self.weight(row, self.langevin, noise) * quotient(lengths[0], lengths[1])
        rounded = ()
        for result in (results[0] + 2 * factor * (factor * score + noise),) + results[1:]:
            if self.compute_dtype == mstype.float16:
                result = self.clamped(result, FLOAT16_MAX)
            rounded += (ops.cast(result, self.compute_dtype),)
        return rounded

    def mean_norm(self, values):
        """Returns the Euclidean norm of the samples, the mean over the batch."""
        flat = self.flattened(values)
        return ops.sqrt((flat * flat).sum(axis=1)).mean()

    def flattened(self, values):
        """Returns samples as rows, ``(B, size)``."""
        # The size of a sample from the axes after the batch, which are known even where the batch is not.
        size = 1
        for length in values.shape[1:]:
            size = size * length
        return values.reshape((-1, size))

    def weighted_sum(self, row, form, values, known):
        """Returns sum(weight * value); a common factor comes last, so that no infinities can meet."""
        terms, gain = form
        terms = simplified(terms, known)
        first, column = terms[0]
        total = values[first] if column < 0 else values[first] * self.weight(row, column, values[first])
        for i in range(1, len(terms)):
            index, column = terms[i]
            value = values[index]
            if column < 0:
                total = total + value
            elif self.fused and row[column].ndim == 0:
                total = mint.add(total, value, alpha=row[column].item())
            else:
                total = total + value * self.weight(row, column, value)
        if gain >= 0:
            scale = self.weight(row, gain, total)
            total = self.clamped(total * scale * scale, FLOAT16_MAX)
        return total

    def clamped(self, values, maximum):
        """Returns `values` in [-maximum, maximum]; MindSpore 2.7 misreads a float16 clamp that ends a graph."""
        return ops.cast(ops.clamp(ops.cast(values, mstype.float32), -maximum, maximum), self.compute_dtype)

    def weight(self, row, column, value):
        """Returns one weight of the row, shaped to multiply `value`."""
        return shaped(ops.cast(row[column], self.arithmetic), value)

    def limited(self, x0):
        """Clips or dynamically thresholds the predicted clean sample."""
        if self.limit is None:
            return x0
        kind, maximum, ratio = self.limit
        if kind == "clip":
            return self.clipped(x0, maximum)
        if kind == "pixels":
            return quantize_floor(self.clipped(x0, maximum), maximum, ops.floor)
        flat = self.flattened(x0).abs()
        size = flat.shape[1]
        position = ratio * (size - 1)
        lower = int(position)
        fraction = position - lower
        # Only the largest values are needed: the order statistics around the quantile.
        top = self.largest(flat, size - lower)[0]
        scale = top[:, -1:]
        if fraction > 0:
            scale = scale * (1 - fraction) + top[:, -2:-1] * fraction
        scale = ops.clamp(ops.clamp(scale, 1.0, None), None, maximum)
        scale = scale.reshape((-1,) + (1,) * (x0.ndim - 1))
        return mint.minimum(mint.maximum(x0, -scale), scale) / scale

    def clipped(self, x0, maximum):
        """Returns x0 clamped to [-maximum, maximum]."""
        if not self.fused:
            return self.clamped(x0, maximum)
        # On CPU a clamp takes four times as long as this: ReLU6 is vectorised, the affine maps are fused.
        lifted = mint.add(Tensor(3.0, mstype.float32), x0, alpha=3 / maximum)
        return mint.add(Tensor(-maximum, mstype.float32), ops.relu6(lifted), alpha=maximum / 3)

    def learned_std(self, row, variance):
        """Returns the standard deviation that the model's variance output stands for."""
        if not self.log_std:
            return ops.sqrt(ops.clamp(variance, 0.0, None))
        intercept, slope = self.log_std
        return ops.exp(self.weight(row, intercept, variance) + self.weight(row, slope, variance) * variance)


@ops.constexpr
def simplified(terms, known):
    """Returns the terms of a sum without those of weight 0, and without the weights that are 1.

    While a graph is compiled Python runs this: the graph compiler would take longer for it than for the sum.
    """
    if len(known) == 0:
        return terms
    left = tuple(
        (index, -1 if column < 0 or known[column] == ONE else column)
        for index, column in terms
        if column < 0 or known[column] != ZERO
    )
    return left or terms[:1]


def shaped(weight, value):
    """Returns a weight, 0-D, ``(B,)``, ``(B, S)`` or ``(1, S)``, so that it multiplies a value ``(B, S, ...)``."""
    return weight if weight.ndim == 0 else weight.reshape((-1,) + weight.shape[1:] + (1,) * (value.ndim - weight.ndim))


def weights_of(row):
    """Returns the weights of a row ``(..., columns)`` as Tensors ``(...)``, one for each column."""
    # At once: one element in brackets takes as long to compile as the rest of a simple step.
    return ops.unstack(row, -1)


def quotient(a, b):
    """Returns a / b, and 0 where b is 0. In place of DivNoNan, which on CPU is 0 wherever b is below 1.2e-7."""
    none = ops.abs(ops.cast(b, mstype.float32)) < LEAST_DIVISOR
    return ops.where(none, ops.zeros_like(a), a / ops.where(none, ops.ones_like(b), b))


def broadcast_like(value, like):
    """Returns a Tensor in the shape and dtype of another one, to which it broadcasts; also of bools and bfloat16."""
    if value.dtype == mstype.bfloat16:  # Of which there is no broadcast on CPU.
        value = ops.cast(value, mstype.float32)
    return ops.cast(ops.broadcast_to(value, like.shape), like.dtype)


def looked_up(table, index):
    """Returns the weights of row `index` of a table; the index is 0-D, or ``(B,)``, ``(B, 1)`` or ``(B, S)``.

    One row of a table with entries, ``(n, S, columns)``, is ``(1, S, columns)``: it keeps an axis for the batch.
    """
    return weights_of(ops.gather(table, index.reshape(-1) if table.ndim > 2 else index, 0))


def known_weights(rows):
    """Returns ``ZERO``, ``ONE`` or ``OTHER`` for each weight of a table, as tuples: constants of a graph.

    Of a table with entries, ``(n, S, columns)``, what holds for all entries.
    """
    entries = tuple(range(1, rows.ndim - 1))
    known = np.select([(rows == 0).all(axis=entries), (rows == 1).all(axis=entries)], [ZERO, ONE], OTHER)
    return tuple(map(tuple, known.tolist()))


@cache
def step_kernel(layout, compute_dtype):
    """Returns the kernel of a layout; schedulers of the same structure share one, and so its compiled graphs."""
    return StepKernel(layout, compute_dtype)


class CompiledStep:
    """A kernel that looks its row up. No cell: calling one would add a tenth to a small step."""

    def __init__(self, kernel):
        self.kernel = kernel

    def __reduce__(self):
        return compiled_step, (self.kernel,)

    def run(self, table, index, *values):
        """Returns what the kernel returns for row `index` of `table`, 0-D or of shape ``(B,)``."""
        return self.compiled(table, index, *map(no_view, values))

    @ms.jit
    def compiled(self, table, index, *values):
        """The same, for values that are no views."""
        return self.kernel.apply(looked_up(table, index), values)


@cache
def compiled_step(kernel):
    """Returns the :class:`CompiledStep` of a kernel."""
    return CompiledStep(kernel)


def no_view(value):
    """Returns a value as it is, or a copy where it is a Tensor that is a view of another one, such as ``x[1:]``.

    A graph that MindSpore 2.7 has run with a view reads every later value of that input at the place, and with the
    strides, of the view: it reads the memory of other Tensors, without an error.
    """
    if not isinstance(value, Tensor) or (value.is_contiguous() and value.storage_offset() == 0):
        return value
    return in_own_memory(value)


def in_own_memory(value):
    """Returns a copy of a Tensor, which is no view."""
    # Not `copy`, which takes 20 times as long on CPU, except for bfloat16, of which there is no Identity there.
    return value.copy() if value.dtype == mstype.bfloat16 else IDENTITY(value)


def row_index(index):
    """Returns the index of a row, an int or a Tensor, as a Tensor."""
    return index if isinstance(index, Tensor) else _index_tensor(index)


@cache
def _index_tensor(index):
    # A new Tensor for each step would take longer than the step of a small sample.
    return Tensor(index, mstype.int32)


def packed(plan, compute_dtype, returns_x0=False, capacity=0):
    """Returns the layout of a plan and its table, at least `capacity` rows of weights."""
    layout, rows = plan.pack(returns_x0, half=compute_dtype == mstype.float16)
    return layout, np.pad(rows, [(0, max(capacity - len(rows), 0))] + [(0, 0)] * (rows.ndim - 1))


class EagerPlan:
    """A plan whose steps Python runs one by one, each of them one call of a compiled graph, in both modes.

    Args:
        plan (StepPlan): The plan.
        compute_dtype (mindspore.dtype): Dtype of the arithmetic, float32 or float16.
        returns_x0 (bool): Whether a step also returns the predicted clean sample. Default: ``False``.
    """

    def __init__(self, plan, compute_dtype, returns_x0=False):
        # In whole thousands of rows: a table of another length would need another graph.
        layout, rows = packed(plan, compute_dtype, returns_x0, capacity=-(-len(plan) // 1000) * 1000)
        self.inputs = layout.inputs
        self.needs_noise = plan.needs_noise
        self._compute_dtype = compute_dtype
        self._table = Tensor(rows)
        self._passthrough_inputs = layout.passthrough_inputs
        computed = tuple(form for form, source in zip(layout.sums, self._passthrough_inputs) if source is None)
        self._step = compiled_step(step_kernel(layout._replace(sums=computed), compute_dtype))

    def run(self, index, values):
        """Returns what :meth:`StepKernel.apply` does; `index` is an int, or a Tensor that stays on the device."""
        computed = iter(self._step.run(self._table, row_index(index), *values))
        # The graph would copy what a step only hands on.
        sums = [
            next(computed) if source is None else ops.cast(values[source], self._compute_dtype)
            for source in self._passthrough_inputs
        ]
        return (*sums, *computed)


class PlanCell(nn.Cell):
    """A plan on the device: its table as a Parameter, which compiled graphs follow when it is replaced.

    Args:
        plan (StepPlan): The plan, any number of steps; later plans must have the same structure.
        compute_dtype (mindspore.dtype): Dtype of the arithmetic, float32 or float16.
        returns_x0 (bool): Whether a step also returns the predicted clean sample.
        capacity (int): Rows that the table has at least; plans up to it share one compiled graph. Default: ``0``.

    Inputs:
        - **index** (Tensor) - int32 row of the table, 0-D, or of shape ``(B,)``: one for each sample.
        - **values** (Tensor) - the tensors named by ``plan.inputs``.

    Outputs:
        Tuple of Tensors, see :class:`StepKernel`.
    """

    def __init__(self, plan, compute_dtype, returns_x0=False, capacity=0):
        super().__init__()
        self.compute_dtype = compute_dtype
        self.returns_x0 = returns_x0
        self.capacity = capacity
        self._plan = plan
        self.layout, rows = packed(plan, compute_dtype, returns_x0, capacity)
        self.kernel = step_kernel(self.layout, compute_dtype)
        self.rows = Parameter(Tensor(rows), name="rows", requires_grad=False)

    def load(self, plan):
        """Replaces the table by that of another plan of the same structure."""
        layout, rows = packed(plan, self.compute_dtype, self.returns_x0, self.capacity)
        if layout != self.layout:
            raise ValueError("The structure of a plan must not depend on its steps; this is a defect of the scheduler.")
        replace_value(self.rows, Tensor(rows))
        self._plan = plan
        vars(self).pop("eager", None)

    def construct(self, index, *values):
        """Returns the step as part of somebody else's graph."""
        return self.kernel.apply(looked_up(self.rows, index), values)

    @cached_property
    def eager(self):
        """The plan for single steps from Python."""
        return EagerPlan(self._plan, self.compute_dtype, self.returns_x0)

    def run(self, index, values):
        """Runs one step eagerly, see :meth:`EagerPlan.run`."""
        return self.eager.run(index, values)


def replace_value(parameter, value):
    """Gives a Parameter a new value that compiled graphs see.

    A function compiled with `mindspore.jit` in PYNATIVE_MODE keeps the memory of a Parameter, not the Parameter: only
    assignment in place reaches it. A new shape needs new memory, and a new compilation.
    """
    if parameter.shape == value.shape:
        # ops.assign would go by the shape that the Parameter had when it was first assigned.
        parameter.copy_(value)
    else:
        parameter.set_data(value, slice_shape=True)


def compiles_as(graph_form):
    """Marks the form of a method that the graph compiler reads, where Python runs the decorated one.

    The decorated form checks its arguments on the host and may choose among compiled cells; the graph form has the
    same signature and only device operations. MindSpore's parser unwraps functions as :func:`inspect.unwrap` does.
    """

    def mark(host_form):
        host_form.__signature__ = inspect.signature(host_form)
        host_form.__wrapped__ = graph_form
        return host_form

    return mark
