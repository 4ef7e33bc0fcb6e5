"""Twisted particles: samples of the exact posterior in the limit of many particles (Wu et al., 2023, arXiv:2306.17775).

Algorithm 1, with p(y | x) up to a constant, as posterior guidance approximates it, for the twisting function psi(x).
Each row of measurements has K particles. A step moves them by the twisted proposal and weights them::

    x' ~ q(x' | x) = N(mean + s^2 grad log psi, s^2 I),   p(x' | x) = N(mean, s^2 I)
    w = p(x' | x) psi(x') / (q(x' | x) psi(x))

where mean and s are those of the scheduler's step without guidance. Particles of a row are drawn anew by their weights
where these have become uneven. The last psi is the likelihood of the clean sample, so that the weighted particles tend
to p(x0 | y), whatever the guidance approximates before.
"""

import inspect
import numbers
from typing import NamedTuple

import mindspore as ms
import numpy as np
from mindspore import Tensor, mint, ops
from mindspore import dtype as mstype
from scipy.special import ndtr
from tqdm import tqdm

from mindscience_diffuser.guidance import PosteriorGuidance
from mindscience_diffuser.noise import continuing, draw_noise
from mindscience_diffuser.sampling.compiled import with_own_memory
from mindscience_diffuser.sampling.host_noise import spans_of, steps_at_once
from mindscience_diffuser.sampling.model_step import ModelStep
from mindscience_diffuser.sampling.sampler import MOST_STATES, Sampler
from mindscience_diffuser.step import looked_up
from mindscience_diffuser.validation import check_bool, check_integer, check_number

RESAMPLING_STREAM = 2
"""Stream of a seed from which particles are drawn anew; 0 is that of the start, 1 that of the steps."""

ROUNDING = 1e-6
"""Relative amount by which the noise of a step may seem to be above that of its level."""


class TwistedSamples(NamedTuple):
    """What a :class:`TwistedSampler` returns, for B rows of K particles and n steps.

    Args:
        samples (Tensor): One particle of each row, drawn by the weights, ``(B, ...)``.
        particles (Tensor): All particles, ``(B, K, ...)``.
        weights (Tensor): Their weights, float32, ``(B, K)``; each row sums to 1.
        effective_sample_size (Tensor): 1 / sum(w^2), in [1, K], at each step before particles are drawn anew, and at
            the end: float32, ``(n + 1, B)``.
    """

    samples: Tensor
    particles: Tensor
    weights: Tensor
    effective_sample_size: Tensor


class TwistedStep(ModelStep):
    """One step of all particles, in one graph.

    Args:
        guidance (PosteriorGuidance): The model and its measurements.
        layout (Layout): Structure of the plan.
        compute_dtype (mindspore.dtype): Dtype of the arithmetic.
        particles (int): Number K of particles of a row.
        threshold (float): Share of K below which the effective sample size of a row has its particles drawn anew.

    Inputs:
        - **row** (tuple of Tensors) - weights of the step; the last two are those of :func:`twisting_weights`.
        - **timestep** (Tensor) - what the model is told, 0-D.
        - **states** (tuple of Tensors) - the particles, ``(B * K, ...)``, then the remembered tensors.
        - **log_weights** (Tensor) - ``(B, K)``, without psi of the present particles.
        - **noise** (Tensor) - fresh noise, like the particles.
        - **uniform** (Tensor) - the random number of the resampling, ``(B,)``, in [0, 1).
        - **inputs** (tuple) - standard deviation of the measurement noise, measurements, and conditions of the model,
          for B * K particles.

    Outputs:
        tuple: the next log_weights; the effective sample sizes before resampling, ``(B,)``; then the next states.
    """

    def __init__(self, guidance, layout, compute_dtype, particles, threshold):
        super().__init__(guidance, layout, compute_dtype)
        self.particles = particles
        self.least_size = threshold * particles
        self.numbers = Tensor(np.arange(particles), mstype.int64)

    def construct(self, row, timestep, states, log_weights, noise, uniform, inputs):
        """Returns the next weights and particles."""
        scaled, batched = self.told(row, timestep, states[0])
        output, change, twist = self.model.twisted(
            self.level_of(row, states[0]), scaled, batched, inputs[1], inputs[0], inputs[2:]
        )
        prediction = output[0] if isinstance(output, tuple) else output
        self.check(prediction, states[0])
        twist = twist.reshape(log_weights.shape)
        log_weights = normalised(log_weights + twist)
        size = effective_size(log_weights)
        uneven = (size < self.least_size).reshape((-1, 1))
        chosen = self.flat(ops.where(uneven, self.drawn(log_weights, uniform, self.numbers), self.numbers))
        log_weights = ops.where(uneven, ops.full_like(log_weights, -float(np.log(self.particles))), log_weights)
        values = ()
        for i in range(self.states):
            values += (ops.gather(states[i], chosen, 0),)
        moved = self.kernel.apply(row, values + (ops.gather(prediction, chosen, 0), noise))
        change = ops.gather(change, chosen, 0)
        particles = ops.cast(moved[0], mstype.float32) + row[-2] * change
        # The shift in units of s: log p(x' | x) - log q(x' | x) needs it and the noise alone.
        shift = row[-1] * change
        ratio = -ops.ReduceSum()(shift * (0.5 * shift + ops.cast(noise, mstype.float32)), tuple(range(1, shift.ndim)))
        twist = ops.gather(twist.reshape(-1), chosen, 0).reshape(log_weights.shape)
        results = (log_weights + ratio.reshape(log_weights.shape) - twist, size, ops.cast(particles, moved[0].dtype))
        for i in range(1, len(moved)):
            results += (moved[i],)
        return results

    def drawn(self, log_weights, uniform, numbers):
        """Returns the particles at `uniform` + `numbers` on a line on which each has K times its weight.

        With the numbers 0 to K - 1 this is systematic resampling (Douc and Cappe, 2005, arXiv:cs/0507025, section 2.4).
        """
        ends = self.particles * ops.cumsum(ops.exp(log_weights), 1)
        positions = uniform.reshape((-1, 1)) + ops.cast(numbers, mstype.float32)
        # The last end may have been rounded to less than K.
        return ops.clamp(ops.searchsorted(ends, positions, right=True), None, self.particles - 1)

    def flat(self, chosen):
        """Returns numbers of particles, ``(B, ...)``, as indices of the first axis of all particles, ``(B * ...,)``."""
        first = ops.cast(self.particles * ops.arange(chosen.shape[0]), chosen.dtype)
        return (first.reshape((-1, 1)) + chosen).reshape(-1)


def normalised(log_weights):
    """Returns the logarithms of weights that sum to 1 over each row."""
    log_weights = log_weights - ops.ReduceMax(True)(log_weights, 1)
    return log_weights - ops.log(ops.ReduceSum(True)(ops.exp(log_weights), 1))


def effective_size(log_weights):
    """Returns 1 / sum(w^2) of each row of normalised weights."""
    return 1 / ops.ReduceSum()(ops.exp(2 * log_weights), 1)


class TwistedSampler(Sampler):
    """Draws from the exact posterior of a diffusion model in the limit of many particles.

    Each row of measurements has `particles` weighted particles (Wu et al., 2023, arXiv:2306.17775, algorithm 1), whose
    error falls with their number. They are drawn anew, by systematic resampling, where the effective sample size of the
    row has fallen under the threshold. The prior is what the scheduler draws without guidance, errors of its steps
    included. All steps run in one graph with a loop inside.

    Args:
        guidance (PosteriorGuidance): Model, stochastic scheduler and measurements; any method, any measurement. Its
            method decides how many particles are needed, not what they tend to. Its ``noise_std`` must be above 0.
        particles (int): Number K of particles of each row, at least 1. Default: ``16``.
        threshold (float): Share of K below which the effective sample size leads to resampling, in [0, 1]: with 0 there
            is none, with 1 at each step. Default: ``0.5``.
        **step_options: Options of the scheduler's `step` that hold for the whole trajectory, such as `eta`.

    Inputs:
        - **noise** (Tensor) - where the particles start, ``(B * K, ...)``, those of a row one after the other.
        - **inputs** (Tensor) - inside a graph: fresh noise, ``(n, B * K, ...)``; uniform random numbers in [0, 1),
          ``(n + 1, B)``; measurements and conditions of the model, ``(B, ...)``.

    Outputs:
        :class:`TwistedSamples`, inside a graph a plain tuple.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a value is out of range, ``noise_std`` is 0, or the noise of the scheduler's steps gives no
            density of the next sample: it takes none, scales it by a learned variance, or remembers it.
    """

    def __init__(self, guidance, particles=16, threshold=0.5, **step_options):
        if not isinstance(guidance, PosteriorGuidance):
            raise TypeError(f"'guidance' must be a PosteriorGuidance, but is {type(guidance).__name__}.")
        particles = check_integer("particles", particles, low=1)
        threshold = check_number("threshold", threshold, "[0, 1]")
        _check_noise_std(guidance)
        for name in step_options:
            if name in inspect.signature(Sampler.__init__).parameters:
                raise ValueError(
                    f"'{name}' is given, but is an option of Sampler alone: particles run in one loop, along the whole "
                    "plan, with white noise."
                )
        super().__init__(guidance, guidance.scheduler, **step_options)
        self.particles = particles
        layout, _ = self._packed(self._plan)
        self.advance = TwistedStep(guidance, layout, self.scheduler.compute_dtype, particles, threshold)

    def check_plan(self):
        """Raises ValueError if the scheduler's present plan cannot be followed by particles."""
        super().check_plan()
        twisting_weights(self.scheduler.plan_for(**self.step_options), self.scheduler)

    def select_steps(self, strength=None, start=0):
        """Restricts the trajectory to its last steps, see :meth:`Sampler.select_steps`; its end is not moved."""
        super().select_steps(strength, start)

    def _packed(self, plan):
        """Returns layout and rows of a whole plan; the rows end with the two weights of :func:`twisting_weights`."""
        layout, rows = super()._packed(plan)
        weights = np.stack(twisting_weights(plan, self.scheduler), axis=1)
        return layout, np.concatenate([rows, weights.astype(np.float32)], axis=1)

    @property
    def input_names(self):
        """Names of the inputs of the graph form, without measurements and conditions."""
        return "noise", "step_noise", "uniform"

    def construct(self, noise, step_noise, uniform, *inputs):
        """Runs the whole trajectory as part of a graph."""
        noise, step_noise, uniform, *inputs = self.in_graph((noise, step_noise, uniform) + inputs)
        first, states = Tensor(0, mstype.int32), self.initial(noise)
        log_weights, sizes, particles = self.twisted(
            self.rows, self.timesteps, first, self.count, self.even(uniform), *states, step_noise, uniform, *inputs
        )[:3]
        return self.finished(log_weights, sizes, particles, uniform[-1], inputs[0])

    def even(self, uniform):
        """Returns the logarithms of the weights at the start, ``(B, K)``."""
        return ops.zeros_like(uniform[0].reshape((-1, 1)) + ops.cast(self.advance.numbers, mstype.float32))

    @ms.jit
    def twisted(self, rows, timesteps, first, last, log_weights, *inputs):
        """Runs the steps in [first, last); `inputs` are the states, noise and uniform numbers of each, y, conditions.

        Returns:
            tuple: the next log_weights; the effective sample size of each step, ``(n, B)``; then the next states.
        """
        states, noise, uniform = inputs[: self.history + 1], inputs[self.history + 1], inputs[self.history + 2]
        given = self.for_particles((self.advance.model.noise_std,) + inputs[self.history + 3 :])
        unused = (first,) * (MOST_STATES - self.history - 1)
        s0, s1, s2, s3, s4, s5, s6, s7 = states + unused
        numbers = ops.arange(noise.shape[0]).reshape((-1, 1))
        sizes = ops.zeros_like(uniform)[: noise.shape[0]]
        k = first
        while k < last:
            states = (s0, s1, s2, s3, s4, s5, s6, s7)[: self.history + 1]
            drawn = ops.gather(noise, k - first, 0), ops.gather(uniform, k - first, 0)
            results = self.advance(
                looked_up(rows, k), ops.gather(timesteps, k, 0), states, log_weights, drawn[0], drawn[1], given
            )
            log_weights = results[0]
            sizes = ops.where(numbers == k - first, results[1], sizes)
            s0, s1, s2, s3, s4, s5, s6, s7 = results[2:] + unused
            k = k + 1
        return (log_weights, sizes) + (s0, s1, s2, s3, s4, s5, s6, s7)[: self.history + 1]

    def for_particles(self, values):
        """Returns what is given for each row, or for all, as it is for each particle."""
        repeated = ()
        for value in values:
            if isinstance(value, (tuple, list)):
                repeated += (self.for_particles(value),)
            elif value.ndim == 0 or value.shape[0] == 1:
                repeated += (value,)
            else:
                tiled = ops.tile(ops.expand_dims(value, 1), (1, self.particles) + (1,) * (value.ndim - 1))
                repeated += (tiled.reshape((-1,) + value.shape[1:]),)
        return repeated

    @ms.jit
    def finished(self, log_weights, sizes, particles, uniform, y):
        """Returns the fields of :class:`TwistedSamples`; `uniform` draws a particle of each row."""
        noise_std, measured = self.for_particles((self.advance.model.noise_std, y))
        likelihood = self.advance.model.log_likelihood(particles, measured, noise_std)
        log_weights = normalised(log_weights + likelihood.reshape(log_weights.shape))
        numbers = self.advance.numbers[:1]
        one = self.advance.flat(self.advance.drawn(log_weights, self.particles * uniform, numbers))
        sizes = mint.cat((sizes, effective_size(log_weights).reshape((1, -1))), 0)
        every = particles.reshape((-1, self.particles) + particles.shape[1:])
        return ops.gather(particles, one, 0), every, ops.exp(log_weights), sizes

    def __call__(self, noise, *inputs, generator=None, step_noise=None, progress=False):
        """Draws particles.

        Args:
            noise (Tensor): Where the particles start, ``(B * K, ...)``.
            *inputs (Tensor or tuple of Tensors): The measurements y, ``(B, ...)``, NaN where they are missing; then
                conditions of the model, first axis B.
            generator (optional): Source of the fresh noise and of the resampling, as of a :class:`Sampler`, with one
                stream for each of the B * K particles.
            step_noise (Tensor, optional): The fresh noise itself, ``(n, B * K, ...)``.
            progress (bool): Whether to show a progress bar. Default: ``False``.

        Returns:
            :class:`TwistedSamples`.

        Raises:
            TypeError: If an input is no Tensor, or y is missing.
            ValueError: If shapes or batches differ.
        """
        rows = self._check_rows(noise, inputs)
        if step_noise is not None:
            self._check_step_noise(noise, step_noise)
        check_bool("progress", progress)
        if isinstance(generator, numbers.Integral):
            uniform = continuing(generator, len(noise), RESAMPLING_STREAM)
        else:
            uniform = continuing(generator, len(noise))
        # Normal numbers, as all draws are, of the first particle of each row.
        uniform = ndtr(draw_noise((len(noise), len(self._plan) + 1), uniform)[:: self.particles].T)
        fresh = self._fresh_noise(noise, generator, step_noise)
        inputs = tuple(map(with_own_memory, inputs))
        with self.compiled_calls():
            states = self.initial(with_own_memory(noise))
            weights, sizes = ops.zeros((rows, self.particles), mstype.float32), []
            length = len(self._plan) if step_noise is not None else steps_at_once(noise.nbytes)
            spans = spans_of(len(self._plan), length)
            each = zip(spans, fresh.parts(spans))
            for (first, last, _), noise in tqdm(each, total=len(spans), disable=not progress, desc="sampling"):
                bounds = Tensor(first, mstype.int32), Tensor(last, mstype.int32)
                drawn = np.zeros((length, rows), np.float32)
                drawn[: last - first] = uniform[first:last]
                weights, some, *states = self.whole(self.twisted)(
                    *self._tensors[:2], *bounds, weights, *states, noise, Tensor(drawn), *inputs
                )
                sizes.append(some[: last - first])
            last = Tensor(uniform[-1].astype(np.float32))
            return TwistedSamples(*self.finished(weights, ops.cat(sizes), states[0], last, inputs[0]))

    def _check_rows(self, noise, inputs):
        """Returns the number of rows; raises an error if measurements and conditions do not fit the particles."""
        self.scheduler.check_tensor("noise", noise)
        guidance = self.advance.model
        _check_noise_std(guidance)
        if inputs and isinstance(inputs[0], Tensor) and inputs[0].ndim > 0:
            expected = inputs[0].shape[0] * self.particles
            if noise.shape[0] != expected:
                raise ValueError(
                    f"'noise' has {noise.shape[0]} samples, but y has {inputs[0].shape[0]} rows with {self.particles} "
                    f"particles each: give {expected}."
                )
        rows = noise.shape[0] // self.particles
        guidance.check_inputs(noise[:rows], inputs)
        self._check_inputs(noise[:rows], inputs)
        return rows


def _check_noise_std(guidance):
    if np.any(guidance.noise_std.asnumpy() == 0):
        raise ValueError(
            "'noise_std' of the guidance is 0, but particles are weighted by the likelihood of the measurements: give "
            "a value above 0."
        )


def twisting_weights(plan, scheduler):
    """Returns the factors of the guidance's correction of x0 that give the shift of each step, and it over s.

    grad log psi(x') = alpha' / sigma'^2 * (the correction), since the score is (alpha x0 - x) / sigma^2. So the twisted
    proposal of an ancestral step is the guided step itself. There is no shift where the noise of a step is above that
    of its level, as at a last step to a clean sample.

    Returns:
        tuple (numpy.ndarray, numpy.ndarray), float64, ``(n,)`` each.

    Raises:
        ValueError: If the noise of the steps gives no density of the next sample.
    """
    name = type(scheduler).__name__
    folded = plan.folded()
    noisy = {state for state, weights in folded.states.items() if np.any(weights.get("noise", 0.0))}
    if len(plan.shape) > 1:
        raise ValueError(
            f"'scheduler' is a {name} with 'sigma_data' for each channel: twisted particles need one number, or the "
            "denoiser itself with prediction_type='sample'."
        )
    if plan.learned_std is not None:
        raise ValueError(f"'scheduler' is a {name} with a learned variance: twisted particles need a fixed one.")
    if not noisy:
        raise ValueError(
            f"'scheduler' is a {name} whose steps add no noise, but particles are weighted by it: use a stochastic "
            "one, such as DDPMScheduler, EulerAncestralDiscreteScheduler or DPMSolverMultistepScheduler with "
            "algorithm_type='sde-dpmsolver++'."
        )
    if noisy != {"sample"}:
        raise ValueError(
            f"'scheduler' is a {name}, which remembers the noise of its steps, so that it cannot be told from the next "
            "sample: use another one, such as DDPMScheduler."
        )
    noise = np.broadcast_to(folded.states["sample"]["noise"], len(plan)).astype(np.float64)
    alpha, sigma = (np.broadcast_to(level, len(plan)) for level in plan.next_level)
    shifts = (noise > 0) & (sigma >= noise * (1 - ROUNDING))
    relative = np.where(shifts, noise * alpha / np.where(shifts, sigma, 1) ** 2, 0)
    return noise * relative, relative
