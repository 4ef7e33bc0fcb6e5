"""A whole trajectory: model and scheduler along a plan, compiled."""

import numbers

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, mint, nn, ops
from mindspore import dtype as mstype
from tqdm import tqdm

from mindscience_diffuser.noise import NoiseSource, draw_noise
from mindscience_diffuser.schedulers.scheduler import Scheduler
from mindscience_diffuser.step import replace_value, step_kernel
from mindscience_diffuser.validation import check_bool, check_choice

METHODS = ("step", "loop", "unrolled")


class ModelStep(nn.Cell):
    """One model call and one step of the plan, in one graph.

    Inputs:
        - **row** (Tensor) - weights of the step, ``(columns,)``.
        - **timestep** (Tensor) - what the model is told, 0-D.
        - **states** (tuple of Tensors) - the sample, then the remembered tensors.
        - **noise** (Tensor or None) - fresh noise of the shape of the sample, None for a deterministic plan.
        - **conditions** (tuple) - passed on to the model.

    Outputs:
        Tuple of Tensors: the next states, then the predicted clean sample where the layout returns it.
    """

    def __init__(self, model, layout, compute_dtype):
        super().__init__()
        self.model = model
        self.kernel = step_kernel(layout, compute_dtype)
        self.learned = "variance" in layout.inputs

    def construct(self, row, timestep, states, noise, conditions):
        """Returns the next states."""
        sample = states[0]
        batched = timestep + mint.zeros((sample.shape[0],), dtype=timestep.dtype)
        output = self.model(sample, batched, *conditions)
        values = states
        if self.learned:
            values += (output[0], noise, output[1])
        elif noise is not None:
            values += (output, noise)
        else:
            values += (output,)
        return self.kernel.apply(row, values)


class Sampler(nn.Cell):
    """Draws samples: a model driven along a scheduler's plan.

    The plan follows the scheduler: after ``scheduler.set_timesteps`` the next call uses the new one, in compiled
    graphs too.

    Args:
        model (nn.Cell): Called as ``model(x, timestep, *conditions)`` with x ``(B, ...)`` and timestep ``(B,)``;
            returns the prediction in the shape of x (with a learned variance: a tuple of prediction and variance).
        scheduler (Scheduler): Its `set_timesteps` must have been called.
        method (str): How the plan is run. ``"step"``: one compiled call a step, which allows progress and callbacks.
            ``"loop"``: one graph with a loop inside; its compile time does not depend on the number of steps, and
            another number of steps does not compile it again. ``"unrolled"``: one graph with all steps written out,
            the fastest for tiny models and short plans. Default: ``"loop"``.
        return_intermediates (bool): Whether to return every sample and predicted clean sample on the way too; not
            with ``"loop"``. Default: ``False``.
        **step_options: Options of the scheduler's `step` that hold for the whole trajectory, such as `eta`.

    Inputs:
        - **noise** (Tensor) - where the trajectory starts, ``(B, ...)``, float32 or float16.
        - **step_noise** (Tensor) - only inside a graph and only for a stochastic plan: ``(n, B, ...)``. In an eager
          call it is drawn from `generator`, or given by keyword.
        - **conditions** (Tensor or tuple of Tensors) - passed on to the model.

    Outputs:
        Tensor, the final sample, in the scheduler's `compute_dtype`; with `return_intermediates` a tuple of it, all
        samples ``(n + 1, B, ...)`` from noise to final, and all predicted clean samples ``(n, B, ...)``.

    Raises:
        TypeError: If `scheduler` is no Scheduler or `model` no Cell.
        ValueError: If `method` is none of the three, or cannot return intermediates.
    """

    def __init__(self, model, scheduler, method="loop", return_intermediates=False, **step_options):
        super().__init__()
        if not isinstance(model, nn.Cell):
            raise TypeError(f"'model' must be an nn.Cell, but is {type(model).__name__}.")
        if not isinstance(scheduler, Scheduler):
            raise TypeError(f"'scheduler' must be a scheduler of this package, but is {type(scheduler).__name__}.")
        self.method = check_choice("method", method, METHODS)
        if check_bool("return_intermediates", return_intermediates) and method == "loop":
            raise ValueError("'return_intermediates' needs method='step' or 'unrolled': a loop keeps only its state.")
        self.return_intermediates = return_intermediates
        self.scheduler = scheduler
        self.step_options = step_options
        self.half = scheduler.compute_dtype == mstype.float16
        plan = scheduler.plan_for(**step_options)
        layout, rows = plan.pack(return_intermediates, self.half)
        self.advance = ModelStep(model, layout, scheduler.compute_dtype)
        self.stochastic = plan.stochastic
        self.history = len(plan.states) - 1
        self.capacity = max(scheduler.num_train_timesteps, len(plan)) if method == "loop" else 0
        self.rows = Parameter(Tensor(self._padded(rows)), name="rows", requires_grad=False)
        self.timesteps = Parameter(self._timesteps(plan), name="timesteps", requires_grad=False)
        self.count = Parameter(Tensor(len(plan), mstype.int32), name="count", requires_grad=False)
        self._load(plan)
        scheduler.followers.add(self)

    def follow(self):
        """Takes over the scheduler's present plan; schedulers call this when theirs has changed."""
        self._load(self.scheduler.plan_for(**self.step_options))

    def construct(self, noise, *inputs):
        """Runs the whole trajectory as part of a graph."""
        return self.trajectory(self.rows, self.timesteps, self.count, noise, *inputs)

    @ms.jit
    def trajectory(self, rows, timesteps, count, noise, *inputs):
        """Runs the whole trajectory; the plan is an argument, so that another one takes effect."""
        step_noise, conditions = None, inputs
        if self.stochastic:
            step_noise, conditions = inputs[0], inputs[1:]
        states = (noise.astype(self.scheduler.compute_dtype),)
        for _ in range(self.history):
            states += (mint.zeros_like(states[0]),)
        if self.method == "loop":
            i = Tensor(0, mstype.int32)
            while i < count:
                fresh = step_noise[i] if self.stochastic else None
                states = self.advance(rows[i], timesteps[i], states, fresh, conditions)
                i = i + 1
            return states[0]
        samples, predictions = (states[0],), ()
        for i in range(rows.shape[0]):
            fresh = step_noise[i] if self.stochastic else None
            states = self.advance(rows[i], timesteps[i], states, fresh, conditions)
            if self.return_intermediates:
                predictions += (states[-1],)
                states = states[:-1]
                samples += (states[0],)
        if self.return_intermediates:
            return states[0], ops.stack(samples), ops.stack(predictions)
        return states[0]

    def __call__(self, noise, *conditions, generator=None, step_noise=None, callback=None, progress=False):
        """Draws samples.

        Args:
            noise (Tensor): Where the trajectory starts, ``(B, ...)``.
            *conditions (Tensor or tuple of Tensors): Passed on to the model.
            generator (optional): Source of the fresh noise of a stochastic plan: a seed, a
                :class:`~mindscience_diffuser.NoiseSource`, or what :func:`~mindscience_diffuser.noise.draw_noise`
                takes. With a seed or a source, sample k gets the same noise whatever the batch.
            step_noise (Tensor, optional): The fresh noise itself, ``(n, B, ...)``.
            callback (callable, optional): Called as ``callback(i, timestep, sample)`` after step i; ``"step"`` only.
            progress (bool): Whether to show a progress bar; ``"step"`` only. Default: ``False``.

        Returns:
            See Outputs of the class.

        Raises:
            TypeError: If `noise` or a condition is no Tensor.
            ValueError: If batches differ, or an option does not go with the method.
        """
        self._check_inputs(noise, conditions)
        # A plain tuple would be a constant of the graph, compiled anew for every value.
        conditions = tuple(ms.mutable(c) if isinstance(c, (tuple, list)) else c for c in conditions)
        if self.method != "step" and (callback is not None or progress):
            raise ValueError(f"'callback' and 'progress' need method='step', but method is {self.method!r}.")
        count = len(self._plan)
        if isinstance(generator, numbers.Integral):
            generator = NoiseSource(generator, noise.shape[0], stream=1)
        if step_noise is not None and tuple(step_noise.shape) != (count, *noise.shape):
            raise ValueError(
                f"'step_noise' has shape {step_noise.shape}, but {count} steps of this batch need "
                f"{(count, *noise.shape)}."
            )

        def fresh(i):
            if not self.stochastic:
                return None
            if step_noise is not None:
                return step_noise[i]
            return Tensor(draw_noise(noise.shape, generator), self.scheduler.compute_dtype)

        if self.method == "step":
            return self._stepwise(noise, conditions, fresh, callback, progress)
        inputs = conditions
        if self.stochastic:
            inputs = (
                step_noise if step_noise is not None else ops.stack([fresh(i) for i in range(count)]),
                *conditions,
            )
        return self.trajectory(*self._tensors, noise, *inputs)

    def _stepwise(self, noise, conditions, fresh, callback, progress):
        states = (noise.astype(self.scheduler.compute_dtype),)
        states += tuple(mint.zeros_like(states[0]) for _ in range(self.history))
        samples, predictions = [states[0]], []
        for i, timestep in enumerate(tqdm(self._plan.timesteps, disable=not progress, desc="sampling")):
            inputs = (*states, fresh(i)) if self.stochastic else states
            states = self.compiled_step(*self._step_inputs[i], *inputs, *conditions)
            if self.return_intermediates:
                predictions.append(states[-1])
                states = states[:-1]
                samples.append(states[0])
            if callback is not None:
                callback(i, timestep, states[0])
        if self.return_intermediates:
            return states[0], ops.stack(samples), ops.stack(predictions)
        return states[0]

    @ms.jit
    def compiled_step(self, row, timestep, *inputs):
        """One step; `inputs` are the states, the fresh noise of a stochastic plan, the conditions."""
        states, inputs = inputs[: self.history + 1], inputs[self.history + 1 :]
        if self.stochastic:
            return self.advance(row, timestep, states, inputs[0], inputs[1:])
        return self.advance(row, timestep, states, None, inputs)

    def _load(self, plan):
        _, rows = plan.pack(self.return_intermediates, self.half)
        self._plan = plan
        self._tensors = (Tensor(self._padded(rows)), self._timesteps(plan), Tensor(len(plan), mstype.int32))
        for parameter, value in zip((self.rows, self.timesteps, self.count), self._tensors):
            replace_value(parameter, value)
        if self.method == "step":
            self._step_inputs = [(Tensor(row), timestep) for row, timestep in zip(rows, self._tensors[1])]

    def _padded(self, rows):
        """Pads with steps that the loop never reaches, so that its graph has one shape for any number of steps."""
        return np.pad(rows, [(0, max(self.capacity - len(rows), 0))] + [(0, 0)] * (rows.ndim - 1))

    def _timesteps(self, plan):
        dtype = mstype.int32 if plan.timesteps.dtype.kind == "i" else mstype.float32
        return Tensor(self._padded(plan.timesteps), dtype)

    def _check_inputs(self, noise, conditions):
        self.scheduler.check_tensor("noise", noise)
        for i, condition in enumerate(conditions):
            for tensor in condition if isinstance(condition, (tuple, list)) else (condition,):
                if not isinstance(tensor, Tensor):
                    raise TypeError(
                        f"condition {i} must be a Tensor or a tuple of Tensors, but is {type(tensor).__name__}."
                    )
                if tensor.ndim == 0 or tensor.shape[0] != noise.shape[0]:
                    raise ValueError(
                        f"condition {i} has shape {tensor.shape}, but its first axis must be the batch of the noise, "
                        f"{noise.shape[0]}."
                    )
