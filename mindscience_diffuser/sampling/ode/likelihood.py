"""The likelihood of samples under the probability-flow ODE (Song et al., 2021, arXiv:2011.13456, appendix D.2)."""

import numbers
from typing import NamedTuple

import mindspore as ms
import numpy as np
from mindspore import Tensor, ops
from mindspore import dtype as mstype

from mindscience_diffuser.guidance.patches import check_differentiable
from mindscience_diffuser.inputs import check_one_tensor
from mindscience_diffuser.noise import continuing, draw_noise
from mindscience_diffuser.plan import filled
from mindscience_diffuser.recent import RecentlyUsed
from mindscience_diffuser.sampling.compiled import CompiledSampler, with_own_memory
from mindscience_diffuser.sampling.model_step import ModelStep
from mindscience_diffuser.sampling.ode.probability_flow import checked_plan, in_memory, probability_flow
from mindscience_diffuser.schedulers.consistency.consistency import ConsistencyScheduler
from mindscience_diffuser.schedulers.learned.learned import LearnedScheduler
from mindscience_diffuser.step import looked_up, shaped
from mindscience_diffuser.validation import check_choice, check_integer, check_number

DIVERGENCES = ("exact", "rademacher", "gaussian")

MOST_EXACT = 256
"""Largest dimension of a sample of which the divergence is exact: it takes a gradient for each."""

PROBE_STREAM = 4
"""Stream of a seed that probes are drawn from."""

# Not in a cell: primitives do not pickle.
VJP, SUM = ops.GradOperation(sens_param=True), ops.ReduceSum()

_compiled = RecentlyUsed()


class LogLikelihood(NamedTuple):
    """The likelihood of each sample.

    Args:
        log_likelihood (numpy.ndarray): Logarithm of the density, in nats, float64, ``(B,)``; of probes the mean.
        standard_error (numpy.ndarray): Standard error of that mean, float64, ``(B,)``: 0 where the divergence is exact,
            NaN of a single probe.
    """

    log_likelihood: np.ndarray
    standard_error: np.ndarray


def log_likelihood(model, scheduler, x, *conditions, divergence="rademacher", probes=4, generator=None):
    """Returns the logarithm of the density that a model gives to samples, by the probability-flow ODE.

    It is the density, at the lowest level (alpha, sigma) above 0 at which the scheduler's present plan calls the model,
    of y = x0 + sigma / alpha * noise, evaluated at y = x: what the deterministic sampler draws from the noise of
    ``Sampler.initial_noise``, N(0, init_noise_sigma^2 I), before its last step removes the noise of that level. The
    smaller the level, the nearer to the density of the data. To average over that noise, add it to x.

    Sample and divergence are integrated together by the predictor and corrector of Adams, of third order, along the
    levels of the plan from the lowest to the highest, two model calls from one to the next; the solver of the scheduler
    does not matter. With
    z = x / c, c = sqrt(alpha^2 + sigma^2), and the angle phi = atan2(sigma, alpha),

        log p(y) = log N(x_1; 0, init_noise_sigma^2 I) + D log(c_1 cos phi_n) + integral of div(dz / d phi) d phi,

    D being the dimension, 1 the first and n the lowest level. The negative of it, divided by D, is an anomaly score of
    fields. Not inside graphs; the eight graphs that were used last are kept, with their models.

    Args:
        model (nn.Cell): Called as ``model(x, timestep, *conditions)``, as by a Sampler. Its gradient is taken by x.
        scheduler (Scheduler): Its `set_timesteps` must have been called. Deterministic, without a limit of the clean
            sample, in float32.
        x (Tensor): Clean samples, ``(B, ...)``, in the scale of the training data.
        *conditions (Tensor or tuple of Tensors): Passed on to the model; first axis B.
        divergence (str): ``"exact"``, by a gradient for each of at most 256 dimensions; or the estimate of Hutchinson
            (Grathwohl et al., 2019, arXiv:1810.01367, section 3.1), whose mean is what ``"exact"`` gives, with probes
            of values -1 and 1, ``"rademacher"``, or of normal values, ``"gaussian"``. Default: ``"rademacher"``.
        probes (int): Number of probes of each sample, at least 1, each the same along the ODE; a gradient for each. Not
            used by ``"exact"``. Default: ``4``.
        generator (optional): Source of the probes: a seed, a :class:`~mindscience_diffuser.NoiseSource` or what
            :func:`~mindscience_diffuser.noise.draw_noise` takes. With a seed or a source, sample k has the same probes
            whatever the batch. Default: ``None``, from NumPy's global stream.

    Returns:
        :class:`LogLikelihood`: the logarithms in nats and their standard errors, ``(B,)`` each.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If the steps of the plan are stochastic, limited or those of no ODE, there are fewer than two
            levels, the divergence cannot be exact, or a value or a shape does not fit.
    """
    plan = checked_plan(model, scheduler, x, conditions, "likelihood")
    _check_ode(scheduler, plan)
    check_differentiable(model, "A likelihood")
    check_choice("divergence", divergence, DIVERGENCES)
    check_integer("probes", probes, low=1)
    size = int(np.prod(x.shape[1:]))
    if divergence == "exact" and size > MOST_EXACT:
        raise ValueError(
            f"'divergence' is 'exact', which takes a gradient for each dimension, but the samples have {size} of them, "
            f"shape {x.shape}; at most {MOST_EXACT} are allowed. Use 'rademacher' with some probes."
        )
    flow = probability_flow(plan)
    adams, traces = _adams(flow, size)
    layout, rows = adams.pack()
    rows = np.concatenate([rows, filled(adams.states["slope"]["output"], adams.shape)[..., None]], axis=-1)
    walk = _compiled.made((model, layout), lambda: _LikelihoodWalk(model, layout))
    vectors, shares = _vectors(divergence, probes, x.shape, generator)
    start = ops.cast(with_own_memory(x), mstype.float32) * float(np.cos(flow.angles[0]))
    latent, total = walk.run(
        *(in_memory(table.astype(np.float32)) for table in (rows, traces)),
        in_memory(adams.timesteps),
        Tensor(len(adams), mstype.int32),
        Tensor(vectors),
        Tensor(shares),
        start,
        *map(with_own_memory, conditions),
    )
    std, length = scheduler.init_noise_sigma, flow.lengths[-1]
    squares = np.square(length / std * latent.asnumpy().astype(np.float64)).reshape(len(x), -1).sum(axis=1)
    prior = -squares / 2 - size * (np.log(2 * np.pi) / 2 + np.log(std))
    values = prior + size * np.log(length * np.cos(flow.angles[0])) + total.asnumpy().astype(np.float64)
    count = len(values)
    if divergence == "exact":
        error = np.zeros(len(x))
    else:
        error = values.std(axis=0, ddof=1) / np.sqrt(count) if count > 1 else np.full(len(x), np.nan)
    return LogLikelihood(values.mean(axis=0), error)


def bits_per_dimension(log_likelihood, shape, bins=256, width=2.0):
    """Returns the bits per dimension of images whose values were quantised.

    An interval of the given width is divided into bins, and a value stands for all of its bin: the probability of an
    image is its density times (width / bins)^D. So ``-log_likelihood / (D log 2) + log2(bins / width)``, whose
    expectation bounds the code length of the images from above where each value was drawn evenly from its bin
    (Theis et al., 2016, arXiv:1511.01844, section 3.1).

    Args:
        log_likelihood (float or numpy.ndarray): In nats, of each image.
        shape (Sequence[int]): Shape of an image, or ``(B, ...)`` without the B: D is the product of it.
        bins (int): Number of bins, at least 2. Default: ``256``.
        width (float): Width of the interval, above 0. Default: ``2.0``, that of [-1, 1].

    Returns:
        float or numpy.ndarray, bits per dimension of each image.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a value is out of range.
    """
    if not isinstance(log_likelihood, (numbers.Real, np.ndarray)):
        advice = ": give its attribute log_likelihood" if isinstance(log_likelihood, LogLikelihood) else ""
        raise TypeError(
            f"'log_likelihood' must be a number or an array of NumPy, but is {type(log_likelihood).__name__}{advice}."
        )
    if not isinstance(shape, (tuple, list)):
        raise TypeError(f"'shape' must be a sequence of integers, such as x.shape[1:], but is {shape!r}.")
    check_integer("bins", bins, low=2)
    check_number("width", width, "(0, inf)")
    size = int(np.prod([check_integer("shape", length, low=1) for length in shape]))
    return -log_likelihood / (size * np.log(2)) + np.log2(bins / width)


class _LikelihoodWalk(CompiledSampler):
    """Carries samples and the divergence along the rows of :func:`_adams`, as one graph."""

    def __init__(self, model, layout):
        super().__init__(model)
        self.advance = ModelStep(model, layout, mstype.float32)

    @ms.jit
    def looped(self, rows, traces, timesteps, count, vectors, shares, z, *conditions):
        """Returns the samples at the highest level, and the integral of the divergence, ``(probes, B)``."""
        s0 = z
        s1, s2, s3 = ops.zeros_like(z), ops.zeros_like(z), ops.zeros_like(z)
        total = ops.zeros((shares.shape[1], z.shape[0]), mstype.float32)
        k = ops.zeros_like(count)
        while k < count:
            row, timestep = looked_up(rows, k), ops.gather(timesteps, k, 0)
            weight, of_sample = looked_up(traces, k)
            estimate = self.divergence(row, timestep, s0, vectors, shares, conditions)
            total = total + weight * (of_sample + estimate)
            s0, s1, s2, s3 = self.advance(row, timestep, (s0, s1, s2, s3), conditions)
            k = k + 1
        return s0, total

    def divergence(self, row, timestep, z, vectors, shares, conditions):
        """Returns the divergence of what the model's output adds to the slope, for each probe, ``(probes, B)``."""

        def of_output(sample):
            scaled, batched = self.advance.told(row, timestep, sample)
            output = self.advance.model(scaled, batched, *conditions)
            check_one_tensor("The output of a model whose likelihood is computed", output)
            output = ops.cast(output, mstype.float32)
            return output * shaped(row[-1], sample)

        total = ops.zeros((shares.shape[1], z.shape[0]), mstype.float32)
        j = ops.zeros_like(timestep).astype(mstype.int32)
        while j < vectors.shape[0]:
            vector = ops.gather(vectors, j, 0) + ops.zeros_like(z)
            product = (vector * VJP(of_output)(z, vector)).reshape((z.shape[0], -1))
            total = total + ops.gather(shares, j, 0).reshape((-1, 1)) * SUM(product, 1)
            j = j + 1
        return total

    def run(self, *inputs):
        """Runs the graph."""
        with self.compiled_calls():
            return self.whole(self.looped)(*inputs)


def _check_ode(scheduler, plan):
    """Raises ValueError unless the outputs of the model are slopes of an ODE, and its noise is normal."""
    name = type(scheduler).__name__
    if plan.timesteps.ndim > 1 or isinstance(scheduler, (ConsistencyScheduler, LearnedScheduler)):
        raise ValueError(
            f"'scheduler' is {name}, whose model does not tell the slope of the ODE at its level: there is no "
            "likelihood along its steps. Use the scheduler of the diffusion or flow model that it was made from."
        )
    preconditioning = getattr(scheduler, "preconditioning", None)
    if preconditioning is not None and preconditioning.noise_variance != 1:
        raise ValueError(
            f"'scheduler' has noise_variance={preconditioning.noise_variance:g}: its trajectories do not begin with "
            "normal noise, of which a likelihood is known. Use a model of white noise."
        )
    if np.count_nonzero(np.unique(np.ravel(plan.level[1]))) < 2:
        raise ValueError(
            "The plan has one level, but a likelihood needs two or more: call set_timesteps with more steps, some 50."
        )


def _adams(flow, size):
    """Returns the method of Adams, of third order, along the levels of an ODE, and the columns of its divergence.

    From one level to the next the slope is extrapolated through its last two values, and the step is then taken anew by
    the polynomial through these and the slope at the end: Adams-Bashforth and Adams-Moulton, PECE (Hairer, Norsett and
    Wanner, 1993, "Solving ordinary differential equations I", section III.1). The first step is Heun's.

    Returns:
        Tuple of the StepPlan, two rows a step; and an array ``(rows, 2)``: weight of the divergence in its integral,
        and the part of the divergence that the weights of the sample alone give.
    """
    h = np.diff(flow.angles)
    before = np.append(np.inf, h[:-1])  # Nothing is known of the slope before the first step.
    extrapolated = -(h**2) / (2 * before)
    at_start, at_end = -(h**3) / (6 * before * (before + h)), h / 2 - h**2 / (6 * (before + h))
    now = h - at_start - at_end
    levels = np.stack([np.arange(len(h)), np.arange(1, len(h) + 1)], axis=1).ravel()
    second = np.arange(2 * len(h)) % 2.0

    def by_call(first, corrected):
        return np.stack([np.broadcast_to(first, h.shape), np.broadcast_to(corrected, h.shape)], axis=1).ravel()

    states = {
        "sample": {
            "sample": 1 - second,
            "base": second,
            "slope": by_call(0.0, now),
            "past": by_call(extrapolated, at_start),
            "velocity": by_call(h - extrapolated, at_end),
        },
        "base": {"sample": 1.0},
        "slope": {"velocity": 1.0},
        "past": {"past": 1 - second, "slope": second},
    }
    calls = flow.at(levels)
    of_sample = calls.of_sample.reshape(len(levels), -1).mean(axis=1) * size
    # The slope at the beginning of a step is also that before the next one.
    weights = by_call(now + np.append(at_start[1:], 0.0), at_end)
    return calls.plan(states), np.stack([weights, of_sample], axis=1)


def _vectors(divergence, probes, shape, generator):
    """Returns the vectors of the products v^T J v, ``(n, B, ...)`` or ``(n, 1, ...)``, and which sums they are part of.

    The latter are an array ``(n, sums)``, float32: all of basis vectors belong to one sum, each probe is one.
    """
    if divergence == "exact":
        size = int(np.prod(shape[1:]))
        return np.eye(size, dtype=np.float32).reshape(size, 1, *shape[1:]), np.ones((size, 1), np.float32)
    # For each sample one draw after the other: the first probes are the same whatever their number.
    drawn = draw_noise((shape[0], probes, *shape[1:]), continuing(generator, shape[0], PROBE_STREAM))
    drawn = np.ascontiguousarray(drawn.swapaxes(0, 1))
    if divergence == "rademacher":
        drawn = np.where(drawn < 0, np.float32(-1), np.float32(1))
    return drawn, np.eye(probes, dtype=np.float32)
