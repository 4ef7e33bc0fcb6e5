"""A whole trajectory: model and scheduler along a plan, compiled."""

import mindspore as ms
import numpy as np
from mindspore import Tensor, mint, nn, ops
from mindspore import dtype as mstype
from tqdm import tqdm

from mindscience_diffuser.cells import setting
from mindscience_diffuser.guidance import Stage
from mindscience_diffuser.guidance.grid_policy import check_policy
from mindscience_diffuser.inputs import (
    check_conditions,
    check_is_tensor,
    check_noise_law,
    check_scheduler,
    values_on_cpu,
)
from mindscience_diffuser.noise import (
    NoiseSource,
    WhiteNoise,
    continuing,
    counter_noise,
    share_of,
    source_by,
)
from mindscience_diffuser.noise.counter import check_size
from mindscience_diffuser.sampling.compiled import IDENTITY, CompiledSampler, with_own_memory
from mindscience_diffuser.sampling.frames import check_frames, plan_of_frames
from mindscience_diffuser.sampling.graph_noise import GraphNoise
from mindscience_diffuser.sampling.host_noise import GivenMotions, GivenNoise, HostNoise, spans_of, steps_at_once
from mindscience_diffuser.sampling.model_step import ModelStep
from mindscience_diffuser.sampling.rigid_motion import check_motion, motion_columns
from mindscience_diffuser.schedulers.base.scheduler import Scheduler, named_arguments
from mindscience_diffuser.settings import ReadOnly
from mindscience_diffuser.step import known_weights, looked_up, replace_value, weights_of
from mindscience_diffuser.validation import (
    check_bool,
    check_choice,
    check_function,
    check_integer,
    check_number,
    check_only_one,
    check_shape,
    check_within,
)

METHODS = ("step", "loop", "unrolled")

MOST_STATES = 8
"""Tensors that a loop in a graph can carry, each by a name of its own: the sample and what a solver remembers."""


def preconditioning_of(scheduler):
    """Returns the scalings that a scheduler puts around the model, or None where the model is the denoiser itself."""
    scales = getattr(scheduler, "prediction_type", None) != "sample"
    return getattr(scheduler, "preconditioning", None) if scales else None


MOTION_STREAM = 3
"""Stream of a seed that motions are drawn from."""

WHOLE = (None, 0, None)
"""The arguments of :meth:`Sampler.select_steps` that stand for the whole trajectory."""


class Sampler(CompiledSampler):
    """Draws samples: a model driven along a scheduler's plan.

    The plan follows the scheduler: after ``scheduler.set_timesteps`` the next call uses the new one, in compiled
    graphs too.

    Args:
        model (nn.Cell): Called as ``model(x, timestep, *conditions)`` with x ``(B, ...)`` and timestep ``(B,)``;
            returns the prediction in the shape and dtype of x (with a learned variance: a tuple of prediction and
            variance).
        scheduler (Scheduler): Its `set_timesteps` must have been called.
        method (str): How the plan is run. ``"step"``: one compiled call a step, which allows progress and callbacks.
            ``"loop"``: one graph with a loop inside; its compile time does not depend on the number of steps, and
            another number of steps does not compile it again. ``"unrolled"``: one graph with all steps written out,
            which may return what is on the way; it takes longer to compile and, for large samples of stochastic plans
            and of solvers with several model calls a step, less long to run. Default: ``"loop"``.
        return_intermediates (bool): Whether to return every sample and predicted clean sample on the way too; not
            with ``"loop"``. Default: ``False``.
        inpaint (bool): Whether calls take a mask and known values that hold outside it: at every step with the noise
            of its level, and exactly at the end of the trajectory. Default: ``False``.
        noise_law (NoiseLaw, optional): Law of the fresh noise, and of :meth:`initial_noise`. Default: ``None``, white
            noise.
        frames (FrameSchedule or array_like, optional): For samples ``(B, T, ...)`` whose T frames are at noise levels
            of their own: a :class:`~mindscience_diffuser.FrameSchedule`, or the matrix itself, ``(M + 1, T)``: how many
            steps of the scheduler each frame has still before it. The model is then told a timestep for each frame,
            ``(B, T)``; for a clean frame the `clean_timestep` of the scheduler. Default: ``None``, one level for all.
        motion (RigidMotion, optional): Moves samples ``(B, N, 3)`` between a step and the next one, before the fresh
            noise of the latter: the start and the final sample are as they are. Default: ``None``, nothing moves.
        noise_in_graph (bool): Whether the graph of a stochastic plan draws its fresh noise itself, as
            :class:`~mindscience_diffuser.CounterNoise` does: step i, from 0, takes draw i + 1. In place of the noise it
            takes a seed and the sample numbers, and sample k of a seed has the same noise on any device, in any batch
            and in an exported file. :meth:`initial_noise` is then draw 0. White noise only. Default: ``False``, the
            host draws, which is faster on CPU.
        **step_options: Options of the scheduler's `step` that hold for the whole trajectory, such as `eta`.

    Inputs:
        - **noise** (Tensor) - where the trajectory starts, ``(B, ...)``, float32, float16 or bfloat16.
        - **inputs** (Tensor) - inside a graph: fresh noise ``(n, B, ...)`` for a stochastic plan, or with
          `noise_in_graph` the seed, int32, ``(2,)``, its lower and upper 32 bits, and the sample numbers, int32,
          ``(B,)``; motions ``(n, B, 4, 3)`` with `motion`, and its mask ``(B, N)``, float32, if it has one; mask, known
          values and their noise, each ``(B, ...)``, with `inpaint`; then the conditions. In an eager call the
          conditions alone, the rest by keyword.

    Outputs:
        Tensor, the final sample, in the scheduler's `compute_dtype`; with `return_intermediates` a tuple of it, all
        samples ``(n + 1, B, ...)`` from noise to final, and all predicted clean samples ``(n, B, ...)``.

    Raises:
        TypeError: If `scheduler` is no Scheduler, `model` no Cell, or a step of the scheduler has not the option.
        ValueError: If `method` is none of the three, or cannot return intermediates, with `inpaint` if the scheduler
            has no noise levels, or with `motion` if it remembers earlier steps, or the samples are inpainted or guided
            by what is measured of them.
    """

    def __init__(
        self,
        model,
        scheduler,
        method="loop",
        return_intermediates=False,
        inpaint=False,
        noise_law=None,
        frames=None,
        motion=None,
        noise_in_graph=False,
        **step_options,
    ):
        if not isinstance(model, nn.Cell):
            raise TypeError(f"'model' must be an nn.Cell, but is {type(model).__name__}.")
        super().__init__(model)
        check_scheduler(scheduler, Scheduler)
        scheduler.check_options(step_options, _options_of(scheduler))
        check_policy(model, scheduler)
        self.method = check_choice("method", method, METHODS)
        if check_bool("return_intermediates", return_intermediates) and method == "loop":
            raise ValueError("'return_intermediates' needs method='step' or 'unrolled': a loop keeps only its state.")
        self.return_intermediates = return_intermediates
        self.inpaint = check_bool("inpaint", inpaint)
        self.noise_law = check_noise_law(noise_law, preconditioning_of(scheduler))
        self.noise_in_graph = check_bool("noise_in_graph", noise_in_graph)
        if noise_in_graph and not isinstance(self.noise_law, WhiteNoise):
            raise ValueError(
                f"'noise_in_graph' is True, but 'noise_law' is {type(self.noise_law).__name__}: a graph draws white "
                "noise only. Leave noise_in_graph out, the host draws by any law."
            )
        self.graph_noise = GraphNoise()
        self.scheduler = scheduler
        self.staged = isinstance(model, Stage) and model.needs_level
        self.step_options = ReadOnly(step_options)
        self.frames = frames
        if frames is not None and self.staged:
            raise ValueError(
                f"'frames' has levels for each frame, but {type(model).__name__} corrects samples that have one level."
            )
        self.motion = check_motion(motion, inpaint=inpaint, frames=frames, guidance=self.staged)
        plan = self._planned(WHOLE)[0]
        if self.staged:
            model.check_steps(plan, scheduler)
        if inpaint and plan.next_level is None:
            raise ValueError(
                f"'inpaint' is True, but {type(scheduler).__name__} has no levels at which known values could hold."
            )
        layout, _ = self._packed(plan)
        self.advance = ModelStep(model, layout, scheduler.compute_dtype, inpaint, self.motion)
        self.stochastic = plan.stochastic
        self.draws = plan.stochastic and noise_in_graph
        self.drawn = int(plan.stochastic and not noise_in_graph) + int(motion is not None)
        self.history = len(plan.states) - 1
        if method == "loop" and self.history >= MOST_STATES:
            raise ValueError(
                f"'method' is 'loop', which carries up to {MOST_STATES} tensors, but {type(scheduler).__name__} has "
                f"{self.history + 1}: the sample and what it remembers. Use method='unrolled' or 'step', or a lower "
                "order."
            )
        self.capacity = max(scheduler.num_train_timesteps * scheduler.order, len(plan)) if method == "loop" else 0
        self._chosen = WHOLE
        for name, value in zip(("rows", "timesteps", "count"), self._load(plan, slice(0, None))):
            setattr(self, name, setting(value, name, self.advance, value.dtype))
        scheduler.followers.add(self)

    def further_arguments(self):
        """Returns the names of the options of the scheduler's `step` that a trajectory can have."""
        return _options_of(self.scheduler)

    def __setstate__(self, state):
        super().__setstate__(state)
        self.scheduler.followers.add(self)

    @property
    def plan(self):
        """The :class:`~mindscience_diffuser.plan.StepPlan` of the selected steps."""
        return self._plan

    def follow(self):
        """Takes over the scheduler's present plan; schedulers call this when theirs has changed."""
        values = self._load(*self._planned(self._chosen))
        for parameter, value in zip((self.rows, self.timesteps, self.count), values):
            replace_value(parameter, value)

    def check_plan(self):
        """Raises ValueError if what was selected, the frames or a stage do not go with the scheduler's present plan."""
        if self._chosen != WHOLE or self.frames is not None:
            self._planned(self._chosen)
        if self.staged:
            self.advance.model.check_steps(self.scheduler.plan_for(**self.step_options), self.scheduler)
        if self.motion is not None:
            self._motion_columns(self.scheduler.plan_for(**self.step_options))

    def select_steps(self, strength=None, start=0, stop=None):
        """Restricts the trajectory to a part of its steps; holds for later calls and schedules too.

        What is given is kept as it is meant, and applied to each new schedule: a strength as that share of its steps,
        no `stop` as its end. A schedule in which `start` or `stop` is no row is refused by `set_timesteps`.

        Args:
            strength (float, optional): Share of the trajectory that is run, at its end, in (0, 1], rounded down to
                whole steps: image to image, from :meth:`starting_point`. Takes the place of `start`.
            start (int): First row of the plan, a multiple of the scheduler's `order`. Default: ``0``.
            stop (int, optional): Row before which to stop early. Default: ``None``, at the end.

        Raises:
            TypeError: If an argument is no number.
            ValueError: If a value is out of range, or no step is left.
        """
        chosen = (strength, start, stop)
        values = self._load(*self._planned(chosen))
        self._chosen = chosen
        for parameter, value in zip((self.rows, self.timesteps, self.count), values):
            replace_value(parameter, value)

    def _planned(self, chosen):
        """Returns the scheduler's present plan and the slice of its rows that `chosen` stands for."""
        plan = self.scheduler.plan_for(**self.step_options)
        if self.frames is not None:
            if chosen != WHOLE:
                raise ValueError(
                    "A trajectory with 'frames' is run as a whole: make a matrix that begins or ends there."
                )
            plan = plan_of_frames(plan, self.frames, self.scheduler.order, self.scheduler.clean_timestep)
            return plan, slice(0, None)
        rows = self._rows(len(plan), *chosen)
        if self.scheduler.has_warmup and rows.start > 0:
            plan = self.scheduler.plan_for(**self.step_options, begin=rows.start)
        return plan, rows

    def _rows(self, count, strength, start, stop):
        """Returns the rows of a plan of `count` rows that the arguments of :meth:`select_steps` stand for."""
        order = self.scheduler.order
        if strength is not None:
            steps = -(-count // order)
            kept = share_of(steps, check_number("strength", strength, "(0, 1]"))
            if kept == 0:
                raise ValueError(
                    f"'strength' is {strength}, which leaves none of {steps} steps; use at least {1 / steps:.3g} or "
                    "more steps."
                )
            start = (steps - kept) * order
        if check_integer("start", start, low=0) >= count:
            raise ValueError(
                f"'start' is {start}, which leaves none of the {count} rows of this schedule: call select_steps with a "
                "lower one, or with a strength, or choose more steps."
            )
        if start % order:
            raise ValueError(
                f"'start' is {start}, in the middle of a step: steps of {type(self.scheduler).__name__} have {order} "
                "model calls, and begin at multiples of it."
            )
        if stop is not None and not start < check_integer("stop", stop) <= count:
            raise ValueError(
                f"'stop' is {stop}, but of this schedule it must be in [{start + 1}, {count}]: call select_steps with "
                "another one, None for the end, or choose another number of steps."
            )
        return slice(start, stop)

    def starting_point(self, original_samples, noise):
        """Returns `original_samples` at the noise level of the first selected step."""
        return self.scheduler.noised_to_row(original_samples, noise, self._first)

    def initial_noise(self, shape, generator=None):
        """Draws what a trajectory starts from: noise by the law, of the standard deviation of the first level.

        Args:
            shape (Sequence[int]): Shape of the samples, ``(B, ...)``.
            generator (optional): Source of the noise, as in a call.

        Returns:
            Tensor, float32.
        """
        if self.noise_in_graph:
            generator = counter_noise(generator, check_shape("shape", shape)[0])
        return Tensor(self.noise_law.draw(shape, generator) * np.float32(self.scheduler.init_noise_sigma))

    @property
    def input_names(self):
        """Names of the inputs of the graph form, without the conditions."""
        fresh = ("seed", "samples") if self.draws else ("step_noise",) if self.stochastic else ()
        names = ("noise", *fresh)
        if self.motion is not None:
            names = (*names, "step_motions") if self.motion.mask is None else (*names, "step_motions", "motion_mask")
        return (*names, "mask", "known", "known_noise") if self.inpaint else names

    def construct(self, noise, *inputs):
        """Runs the whole trajectory as part of a graph."""
        if self.frames is not None:
            check_frames(noise.shape, self.timesteps.shape[1])
        states, inputs = self.initial(IDENTITY(noise)), self.in_graph(inputs)
        if self.method == "loop":
            return self.looped(self.rows, self.timesteps, Tensor(0, mstype.int32), self.count, *states, *inputs)[0]
        # Other graphs stay valid for other weights: nothing may be left out because of the present ones.
        return self.unrolled(self.rows, self.timesteps, ((),) * self.rows.shape[0], *states, *inputs)

    def initial(self, noise):
        """Returns the states at the start: the noise, and zeros for what will be remembered."""
        states = (ops.cast(noise, self.scheduler.compute_dtype),)
        for _ in range(self.history):
            states += (ops.zeros_like(states[0]),)
        return states

    @ms.jit
    def looped(self, rows, timesteps, first, last, *inputs):
        """Runs the steps in [first, last); `inputs` are the states, then those of a step, what is drawn for each."""
        states, inputs = inputs[: self.history + 1], inputs[self.history + 1 :]
        keys, inputs = self.noise_keys(inputs)
        unused = (first,) * (MOST_STATES - self.history - 1)
        # Under names of their own: every value that a tuple in a loop has had stays in memory to the end of the loop.
        s0, s1, s2, s3, s4, s5, s6, s7 = states + unused
        k = first
        while k < last:
            # Gathered: an index in brackets would be checked for its sign in every step.
            row = looked_up(rows, k)
            given = (self.graph_noise.draw(keys, k + 1, s0),) if self.draws else ()
            for i in range(self.drawn):
                given += (ops.gather(inputs[i], k - first, 0),)
            given += inputs[self.drawn :]
            states = (s0, s1, s2, s3, s4, s5, s6, s7)[: self.history + 1]
            s0, s1, s2, s3, s4, s5, s6, s7 = self.advance(row, ops.gather(timesteps, k, 0), states, given) + unused
            k = k + 1
        return (s0, s1, s2, s3, s4, s5, s6, s7)[: self.history + 1]

    @ms.jit
    def unrolled(self, rows, timesteps, known, *inputs):
        """Runs all steps, written out one by one; `known` are the :func:`known_weights` that the graph is for."""
        states, inputs = inputs[: self.history + 1], inputs[self.history + 1 :]
        keys, inputs = self.noise_keys(inputs)
        samples, predictions = (states[0],), ()
        width = rows.shape[-1]
        # Taken apart once: indexing a large Tensor step by step costs more than the steps.
        if rows.ndim == 2:
            weights = mint.unbind(rows.reshape(-1))
        else:
            weights = mint.unbind(rows.swapaxes(1, 2).reshape((-1, 1, rows.shape[1])))
        told = mint.unbind(timesteps)
        fresh = ()
        if self.draws:
            # All at once, which compiles once: the memory is that of noise from the host.
            numbers = ops.cumsum(ops.ones((rows.shape[0], 1, 1), mstype.int32), 0)
            fresh += (mint.unbind(self.graph_noise.draw(keys, numbers, states[0])),)
        for i in range(self.drawn):
            fresh += (mint.unbind(inputs[i]),)
        for i in range(rows.shape[0]):
            row = weights[i * width : (i + 1) * width]
            given = ()
            for drawn in fresh:
                given += (drawn[i],)
            given += inputs[self.drawn :]
            states = self.advance(row, told[i], states, given, known[i])
            if self.return_intermediates:
                predictions += (states[-1],)
                states = states[:-1]
                samples += (states[0],)
        if self.return_intermediates:
            return states[0], ops.stack(samples), ops.stack(predictions)
        return states[0]

    @ms.jit
    def compiled_step(self, row, timestep, *inputs):
        """One step; `inputs` are the states, then those of :class:`ModelStep`, or what a draw takes in place of it."""
        states, inputs = inputs[: self.history + 1], inputs[self.history + 1 :]
        if self.draws:
            keys, following = self.noise_keys(inputs[1:])
            inputs = (self.graph_noise.draw(keys, inputs[0], states[0]), *following)
        return self.advance(weights_of(row), timestep, states, inputs)

    def noise_keys(self, inputs):
        """Takes the seed and the sample numbers, which come first, from the inputs where the graph draws its noise."""
        if self.draws:
            return self.graph_noise.keys(inputs[0], inputs[1]), inputs[2:]
        return (), inputs

    def __call__(
        self,
        noise,
        *conditions,
        generator=None,
        step_noise=None,
        step_motions=None,
        mask=None,
        known=None,
        known_noise=None,
        callback=None,
        progress=False,
    ):
        """Draws samples.

        Args:
            noise (Tensor): Where the trajectory starts, ``(B, ...)``.
            *conditions (Tensor or tuple of Tensors): Passed on to the model; first axis B.
            generator (optional): Source of the fresh noise of a stochastic plan: a seed, a
                :class:`~mindscience_diffuser.NoiseSource`, or what :func:`~mindscience_diffuser.noise.draw_noise`
                takes. With a seed or a source, sample k gets the same noise whatever the batch. With `noise_in_graph`:
                a seed, or a :class:`~mindscience_diffuser.CounterNoise`, which numbers the samples; None takes a seed
                from NumPy's global stream.
            step_noise (Tensor, optional): The fresh noise itself, ``(n, B, ...)``; not with `noise_in_graph`, and not
                beside a `generator` that has nothing else to draw.
            step_motions (Tensor, optional): With `motion`: the motions themselves, ``(n, B, 4, 3)``, that after each
                step; after the last one there is none, whatever stands there. By default they are drawn from
                `generator`, of a seed from a stream of their own.
            mask (Tensor, optional): With `inpaint`: 1 where the sample is drawn, 0 where `known` holds, in [0, 1], as
                is checked on CPU; broadcasts to the sample.
            known (Tensor, optional): With `inpaint`: the known clean values, in the shape of the sample.
            known_noise (Tensor, optional): Noise that carries `known` to each level. Default: `noise`.
            callback (callable, optional): Called as ``callback(i, timestep, sample)`` after step i; ``"step"`` only.
            progress (bool): Whether to show a progress bar; ``"step"`` only. Default: ``False``.

        Returns:
            See Outputs of the class.

        Raises:
            TypeError: If an argument has the wrong type, or the model returns another dtype than the sample's.
            ValueError: If batches differ, the noise has not the frames of `frames`, the mask does not broadcast or has
                a value outside [0, 1], the model returns another shape than the sample's, or an option does not go with
                the method.
        """
        self._check_inputs(noise, conditions)
        if isinstance(self.advance.model, Stage):
            self.advance.model.check_inputs(noise, conditions)
        self._check_call(noise, generator, step_noise, step_motions, mask, known, known_noise, callback, progress)
        given = (*self._inpainting(noise, mask, known, known_noise), *conditions)
        if self.motion is not None and self.motion.mask is not None:
            given = (self.motion.mask_of(noise.shape[0]), *given)
        inputs = tuple(map(with_own_memory, given))
        seeds = ()
        if self.noise_in_graph:
            generator = counter_noise(generator, noise.shape[0])
            check_size(noise.shape)
            seeds = (Tensor(generator.seed_words), Tensor(generator.sample_numbers)) if self.draws else ()
        drawn = self._motions(noise, generator, step_motions)
        fresh = self._fresh_noise(noise, generator, step_noise)
        drawn = (fresh, *drawn) if self.stochastic and not self.draws else drawn
        with self.compiled_calls():
            if self.method == "step":
                return self._stepwise(noise, seeds, drawn, inputs, callback, progress)
            states = self.initial(with_own_memory(noise))
            if self.method == "loop":
                length = len(self._plan) if step_noise is not None else steps_at_once(noise.nbytes)
                return self._in_parts(states, seeds, drawn, length, inputs)
            whole = [(0, len(self._plan), 0)]
            values = [next(iter(source.parts(whole))) for source in drawn]
            return self.whole(self.unrolled)(*self._tensors[:2], self._known, *states, *seeds, *values, *inputs)

    def _in_parts(self, states, seeds, drawn, length, inputs):
        """Runs the loop at once, or `length` steps at a time so that only what is drawn for them is held in memory."""
        rows, timesteps, count = self._tensors
        looped = self.whole(self.looped)
        if not drawn:
            return looped(rows, timesteps, Tensor(0, mstype.int32), count, *states, *seeds, *inputs)[0]
        spans = spans_of(len(self._plan), length)
        for (first, last, _), *values in zip(spans, *(source.parts(spans) for source in drawn)):
            bounds = Tensor(first, mstype.int32), Tensor(last, mstype.int32)
            states = looped(rows, timesteps, *bounds, *states, *seeds, *values, *inputs)
        return states[0]

    def _stepwise(self, noise, seeds, drawn, inputs, callback, progress):
        states = self.initial(noise)
        samples, predictions = [states[0]], []
        each = zip(self._plan.timesteps, *(source.steps() for source in drawn))
        for i, (timestep, *values) in enumerate(
            tqdm(each, total=len(self._plan), disable=not progress, desc="sampling")
        ):
            number = (Tensor(i + 1, mstype.int32),) if self.draws else ()
            states = self.compiled_step(*self._step_inputs[i], *states, *number, *seeds, *values, *inputs)
            if self.return_intermediates:
                predictions.append(states[-1])
                states = states[:-1]
                samples.append(states[0])
            if callback is not None:
                callback(i, timestep, states[0])
        if self.return_intermediates:
            return states[0], ops.stack(samples), ops.stack(predictions)
        return states[0]

    def _fresh_noise(self, noise, generator, step_noise):
        """Returns the fresh noise of the steps, see :class:`HostNoise`."""
        if step_noise is not None:
            return GivenNoise(step_noise)
        streams = continuing(generator, noise.shape[0])
        source = source_by(self.noise_law, streams)
        return HostNoise(self._plan.needs_noise, noise.shape, source, streams, self.scheduler.compute_dtype)

    def _motions(self, noise, generator, step_motions):
        """Returns the motions after the steps, see :class:`GivenMotions`, in a tuple, which is empty without them."""
        if self.motion is None:
            if step_motions is not None:
                raise ValueError("'step_motions' is given, but this Sampler was not built with a motion.")
            return ()
        self.motion.check_sample("noise", noise)
        count, batch = len(self._plan), noise.shape[0]
        if step_motions is None:
            # All at once, before any noise: other parts of the trajectory would draw in another order.
            if self.noise_in_graph:
                source = NoiseSource(generator.seed, generator.samples, MOTION_STREAM)
            else:
                source = continuing(generator, batch, MOTION_STREAM)
            motions = self.motion.draw_steps(count, batch, source)
        else:
            motions = step_motions.asnumpy() if isinstance(step_motions, Tensor) else np.asarray(step_motions)
        if motions.shape != (count, batch, 4, 3):
            raise ValueError(
                f"'step_motions' has shape {motions.shape}, but this trajectory needs {(count, batch, 4, 3)}."
            )
        return (GivenMotions(motions),)

    def _motion_columns(self, plan):
        """Returns what the rows of a whole plan say of motions, see :func:`motion_columns`."""
        return motion_columns(plan, self.scheduler.order, type(self.scheduler).__name__)

    def _inpainting(self, noise, mask, known, known_noise):
        """Returns the inputs of inpainting: mask, known values and their noise."""
        if not self.inpaint:
            return ()
        dtype = self.scheduler.compute_dtype
        known_noise = noise if known_noise is None else known_noise
        return mask.astype(dtype) + ops.zeros_like(known).astype(dtype), known.astype(dtype), known_noise.astype(dtype)

    def _packed(self, plan):
        """Returns layout and rows of a whole plan; with inpainting the rows end with the level of the known values."""
        layout, rows = plan.pack(self.return_intermediates, self.scheduler.compute_dtype == mstype.float16, self.staged)
        if self.inpaint:
            levels = np.stack(plan.next_level, axis=-1).astype(np.float32)
            if not self.scheduler.inverts:
                # The known values themselves, also where the trajectory, or that of a frame, ends at some noise.
                levels[self._last_rows(plan)] = 1, 0
            if levels.ndim < rows.ndim:  # Channels have weights of their own, but one level.
                levels = np.broadcast_to(levels[:, None], (*rows.shape[:2], 2))
            rows = np.concatenate([rows, levels], axis=-1)
        if self.motion is not None:
            rows = np.concatenate([rows, self._motion_columns(plan)], axis=-1)
        return layout, rows

    @staticmethod
    def _last_rows(plan):
        """Returns where the last step is, an index of arrays by step: that of the plan, or that of each frame."""
        if plan.moves is None:
            return -1
        return len(plan) - 1 - plan.moves[::-1].argmax(axis=0), np.arange(plan.moves.shape[1])

    def _load(self, plan, selected):
        """Takes the selected steps of a plan over and returns rows, timesteps and their number as Tensors."""
        self._plan, self._first = plan.take(np.arange(len(plan))[selected]), selected.start
        rows = self._packed(plan)[1][selected]
        self._known = known_weights(rows) if self.method == "unrolled" else ()
        dtype = mstype.int32 if plan.timesteps.dtype.kind == "i" else mstype.float32
        self._tensors = (
            Tensor(self._padded(rows)),
            Tensor(self._padded(self._plan.timesteps), dtype),
            Tensor(len(self._plan), mstype.int32),
        )
        if self.method == "step":
            rows = rows if rows.ndim == 2 else rows[:, None]
            self._step_inputs = [(Tensor(row), timestep) for row, timestep in zip(rows, self._tensors[1])]
        return self._tensors

    def _padded(self, rows):
        """Pads with steps that the loop never reaches, so that its graph has one shape for any number of steps."""
        return np.pad(rows, [(0, max(self.capacity - len(rows), 0))] + [(0, 0)] * (rows.ndim - 1))

    def _check_call(
        self,
        noise,
        generator=None,
        step_noise=None,
        step_motions=None,
        mask=None,
        known=None,
        known_noise=None,
        callback=None,
        progress=False,
    ):
        """Checks the named arguments of a call, before anything is compiled."""
        if step_noise is not None:
            self._check_step_noise(noise, step_noise)
            if self.motion is None or step_motions is not None:  # Else the motions come from the generator.
                check_only_one(step_noise=step_noise, generator=generator)
        self._check_inpainting(noise, mask, known, known_noise)
        if callback is not None:
            check_function("callback", callback, "callback(i, timestep, sample)")
        check_bool("progress", progress)
        if self.method != "step" and (callback is not None or progress):
            raise ValueError(f"'callback' and 'progress' need method='step', but method is {self.method!r}.")

    def _check_step_noise(self, noise, step_noise):
        if self.noise_in_graph:
            raise ValueError(
                "'step_noise' is given, but this Sampler was built with noise_in_graph=True: its graph draws the noise "
                "from a seed. Give 'generator', or build it without noise_in_graph."
            )
        self.scheduler.check_tensor("step_noise", step_noise)
        expected = (len(self._plan), *noise.shape)
        if tuple(step_noise.shape) != expected:
            raise ValueError(f"'step_noise' has shape {step_noise.shape}, but this trajectory needs {expected}.")

    def _check_inpainting(self, noise, mask, known, known_noise):
        given = {"mask": mask, "known": known}
        if not self.inpaint:
            for name, value in {**given, "known_noise": known_noise}.items():
                if value is not None:
                    raise ValueError(f"'{name}' is given, but this Sampler was not built with inpaint=True.")
            return
        for name, value in given.items():
            check_is_tensor(name, value)
        self.scheduler.check_mask(mask, noise)
        values = values_on_cpu(mask)
        if values is not None:
            check_within("mask", values, "[0, 1]")
        self.scheduler.check_tensor("known", known, like=noise)
        if known_noise is not None:
            self.scheduler.check_tensor("known_noise", known_noise, like=noise)

    def _check_inputs(self, noise, conditions):
        self.scheduler.check_tensor("noise", noise)
        self.scheduler.check_channels(noise.shape)
        if self.frames is not None:
            check_frames(noise.shape, self.timesteps.shape[1])
        check_conditions(conditions, "the noise", noise.shape[0])


def _options_of(scheduler):
    """Returns the names of the options of `step` that a whole trajectory of a scheduler can have."""
    return tuple(dict.fromkeys([*named_arguments(scheduler.plan_for), *scheduler.step_options]))
