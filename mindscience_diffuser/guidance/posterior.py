"""Posterior sampling: a diffusion model conditioned on measurements y = A(x0) + noise while it samples.

At each level the clean prediction x0 is moved to::

    x0 + S A^T (A S A^T + Sy)^-1 (y - A x0)

where Sy is the covariance of the measurement noise and S that of the clean sample given the noisy one. Published
methods differ in what they take for S, in the likelihood and in front of it: see ``METHODS``. A Gaussian prior, a
linear A and the true S give the exact posterior.
"""

from typing import NamedTuple

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops
from mindspore import dtype as mstype

from mindscience_diffuser.cells import setting
from mindscience_diffuser.guidance.measurements import restricted_to
from mindscience_diffuser.guidance.patches import check_differentiable
from mindscience_diffuser.guidance.prior import PriorCovariance
from mindscience_diffuser.guidance.stage import Stage, level_for
from mindscience_diffuser.inputs import check_is_tensor, check_scheduler
from mindscience_diffuser.schedulers.base.scheduler import Scheduler
from mindscience_diffuser.step import looked_up, quotient, replace_value
from mindscience_diffuser.validation import check_choice, check_integer

SDA_GAMMA = 1e-3
"""gamma of score-based data assimilation, Rozet and Louppe, 2023 (arXiv:2306.10574), section 4.1."""

LEAST_SIGNAL = 3e-3
"""Ratio alpha / sigma below which the prior covariance takes the place of the model's vector-Jacobian product.

There the product has no digits left in single precision, since it is scaled by (sigma / alpha)^2, while the covariance
of x0 given x is that of the prior up to 1e-5.
"""


VJP = ops.GradOperation(sens_param=True)
"""The vector-Jacobian product of a function. Not in a cell: primitives do not pickle."""


class Method(NamedTuple):
    """What a method takes for the covariance S of the clean sample given the noisy one."""

    likelihood: str
    """In (A S A^T + Sy): ``"prior"``, that of a Gaussian prior; ``"model"``, sigma^2 / alpha * d x0 / d x, from the
    vector-Jacobian product of the model; ``"unit"``, that of a prior of variance 1; ``"isotropic"``, gamma *
    (sigma / alpha)^2 in place of A S A^T; ``"none"``, 0."""
    gain: str
    """In front of A^T: ``"prior"`` or ``"model"``."""


METHODS = {
    "jacobian_free": Method("prior", "prior"),
    "moment_matching": Method("model", "model"),
    "pigdm": Method("unit", "model"),
    "sda": Method("isotropic", "model"),
    "dps": Method("none", "model"),
}


class PosteriorGuidance(Stage):
    """A model conditioned on measurements, to be called by a Sampler with the measurements as its first condition.

    ``Sampler(PosteriorGuidance(model, scheduler, measure, noise_std), scheduler)(noise, y, *conditions)`` draws from
    p(x0 | y), y = measure(x0) + noise_std * z. The corrected clean prediction goes on as the model output that belongs
    to it, so that every scheduler and every prediction type works unchanged. Values of y that are NaN are missing.

    Args:
        model (nn.Cell): Called as ``model(x, timestep, *conditions)``.
        scheduler (Scheduler): The scheduler that the Sampler runs; tells the noise level of each step.
        measure (nn.Cell): x -> y, with x a clean sample ``(B, ...)``, in float32. Where it is linear its method
            ``adjoint(y)`` is the product with the transpose; without one it is linearised at the clean prediction, and
            the products come from automatic differentiation. A method ``restrict(y)`` sets those places of y to 0 that
            are never measured, see :class:`~mindscience_diffuser.guidance.Mask`; without one all of them are.
        noise_std (float or Tensor): Standard deviation of the measurement noise, at least 0: a number, or what
            broadcasts to y, such as ``(B, 1)`` for one value per sample.
        method (str): ``"jacobian_free"``: S = (Sx^-1 + (alpha / sigma)^2 I)^-1 with the prior covariance Sx from
            `prior_std`; calls the model once a step, and exports. ``"moment_matching"``: S from the vector-Jacobian
            product of the model (Rozet et al., 2024, arXiv:2405.13712). ``"pigdm"`` (Song et al., 2023, "Pseudoinverse-
            guided diffusion models", eq. (8)), ``"sda"`` (Rozet and Louppe, 2023, arXiv:2306.10574) and ``"dps"``
            (Chung et al., 2023, arXiv:2209.14687, with the likelihood N(A x0, Sy)) are approximations for comparison.
            Default: ``"jacobian_free"``.
        prior_std (float or array_like): Standard deviation of the clean samples, used by ``"jacobian_free"``: a number,
            one for each channel, or a spectrum, see :class:`~mindscience_diffuser.guidance.PriorCovariance`.
            Default: ``1.0``.
        iterations (int): Conjugate-gradient iterations a step, at least 1. One is exact where A S A^T + Sy is a
            multiple of the identity (masks, block means), as many as it has different eigenvalues elsewhere.
            Default: ``3``.

    Inputs:
        - **x** (Tensor) - what the model is given, ``(B, ...)``.
        - **timestep** (Tensor) - ``(B,)``.
        - **y** (Tensor) - measurements, ``(B, ...)`` in the shape that `measure` returns.
        - **conditions** (Tensor or tuple) - of the model.

    Outputs:
        What the model returns, with the prediction corrected.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a value is out of range, `method` is unknown, `noise_std` is 0 where the method divides by it, or
            the method takes gradients of a PatchedModel that lets none through.
    """

    def __init__(self, model, scheduler, measure, noise_std, method="jacobian_free", prior_std=1.0, iterations=3):
        super().__init__(model)
        check_scheduler(scheduler, Scheduler)
        if not isinstance(measure, nn.Cell):
            raise TypeError(f"'measure' must be an nn.Cell x -> y, but is {type(measure).__name__}.")
        self.scheduler = scheduler
        self.measure = measure
        self.method = check_choice("method", method, METHODS)
        self.likelihood, self.gain = METHODS[method]
        if "model" in METHODS[method]:
            check_differentiable(model, f"'method' is {method!r}, which", ", or use method='jacobian_free'")
        self.linear = hasattr(measure, "adjoint")
        self.iterations = check_integer("iterations", iterations, low=1)
        std = _checked_noise_std(noise_std, method)
        self.noise_std = setting(std, "noise_std", model)
        self.unit = PriorCovariance(1.0)
        self.prior = PriorCovariance(prior_std)
        self._capacity, self._measured = 0, {}
        table, timesteps = self._tables()
        self.table = setting(table, "levels", model)
        self.timesteps = setting(timesteps, "level_timesteps", model)
        scheduler.followers.add(self)

    def checked_parameter(self, name, value):
        """Returns the value that a Parameter is set to."""
        return _checked_noise_std(value, self.method) if name == "noise_std" else super().checked_parameter(name, value)

    def check_plan(self):
        """Raises ValueError if the steps of the scheduler's present plan have no noise levels."""
        self.scheduler.plan_for().level_columns()

    def follow(self):
        """Takes over the scheduler's present levels; schedulers call this when theirs have changed."""
        for parameter, value in zip((self.table, self.timesteps), self._tables()):
            replace_value(parameter, value)

    def _tables(self):
        """Returns the columns of the levels and the timesteps of the plan, filled up so that their shape stays."""
        plan = self.scheduler.plan_for()
        columns = plan.level_columns().astype(np.float32)
        self._capacity = max(self._capacity, len(plan), self.scheduler.num_train_timesteps * self.scheduler.order)
        missing = self._capacity - len(plan)
        told = plan.timesteps.reshape(len(plan), -1)[:, 0].astype(np.float32)
        timesteps = np.pad(told, (0, missing), constant_values=np.inf)
        return Tensor(np.pad(columns, [(0, missing)] + [(0, 0)] * (columns.ndim - 1))), Tensor(timesteps)

    def check_inputs(self, noise, inputs):
        """Raises an error if the measurements of a call do not fit samples like `noise`."""
        if not inputs:
            raise TypeError("'y' is missing: the measurements are the first condition, sampler(noise, y, ...).")
        y, *conditions = inputs
        check_is_tensor("y", y)
        self.prior.check_sample(noise.shape)
        if self._measured.get("sample") != noise.shape[1:]:
            measured = self.measure(ops.zeros((1, *noise.shape[1:]), mstype.float32)).shape[1:]
            self._measured.update(sample=noise.shape[1:], y=tuple(measured))
        expected = (noise.shape[0], *self._measured["y"])
        if y.shape != expected:
            raise ValueError(f"'y' has shape {y.shape}, but 'measure' gives {expected} for samples of {noise.shape}.")
        if not broadcasts(self.noise_std.shape, expected):
            raise ValueError(
                f"'noise_std' has shape {self.noise_std.shape}, which does not broadcast to y, {expected}."
            )
        super().check_inputs(noise, conditions)

    def construct(self, x, timestep, *inputs):
        """Returns the guided output at the level of the nearest timestep, the same for all samples."""
        distance = ops.abs(self.timesteps - timestep.astype(mstype.float32).reshape(-1)[0])
        row = looked_up(self.table, ops.Argmin(output_type=mstype.int32)(distance))
        return self.at_level(level_for(row, x), x, timestep, *inputs)

    def at_level(self, level, x, timestep, y, *conditions):
        """Returns the guided output at a level, see :class:`Stage`."""
        output, change, _ = self.twisted(level, x, timestep, y, self.noise_std, conditions)
        prediction = output[0] if isinstance(output, tuple) else output
        corrected = prediction + ops.cast(quotient(change, level[1]), prediction.dtype)
        return (corrected,) + output[1:] if isinstance(output, tuple) else corrected

    def twisted(self, level, x, timestep, y, noise_std, conditions):
        """Returns what guides a sample, and how well its prediction agrees with the measurements.

        Args:
            level (tuple): See :meth:`Stage.at_level`.
            x (Tensor): What the model is given, ``(B, ...)``.
            timestep (Tensor): What the model is told, ``(B,)``.
            y (Tensor): Measurements, ``(B, ...)``, NaN where they are missing.
            noise_std (Tensor): Standard deviation of the measurement noise, broadcasts to y.
            conditions (tuple): Of the model.

        Returns:
            tuple (output, change, log_likelihood): the output of the model without guidance; the correction of the
            clean prediction, float32, ``(B, ...)``; and -1/2 r^T (A S A^T + Sy)^-1 r with r = y - A x0, float32,
            ``(B, 1, ...)``: the logarithm of p(y | x) up to what depends on the level and on the missing values alone,
            where S does not depend on x.
        """
        _, _, alpha, sigma, scale = level[:5]
        output = self.output_of_model(level, x, timestep, *conditions)
        prediction = output[0] if isinstance(output, tuple) else output
        clean = self.clean(level, x, prediction)
        observed = self.observed(y)
        seen = ops.cast(observed, mstype.float32)
        residual = ops.where(observed, ops.cast(y, mstype.float32), ops.zeros_like(seen)) - seen * self.measure(clean)

        def denoised(u):
            out = self.output_of_model(level, u, timestep, *conditions)
            return self.clean(level, u, out[0] if isinstance(out, tuple) else out)

        signal = ops.maximum(alpha, LEAST_SIGNAL * sigma)

        def spread(v, kind):
            """The covariance of x0 given x, times v."""
            if kind == "unit":
                return self.unit(v, alpha, sigma)
            of_prior = self.prior(v, alpha, sigma)
            if kind == "prior":
                return of_prior
            # d x0 / d x is symmetric for the true model; what the model is given is x times the scale.
            of_model = ops.cast(VJP(denoised)(x, v), mstype.float32) * (scale * sigma * sigma / signal)
            return ops.where(alpha < signal, of_prior, of_model)

        def back(v):
            return self.measure.adjoint(v) if self.linear else VJP(self.measure)(clean, v)

        def forth(v):
            return self.measure(v) if self.linear else ms.jvp(self.measure, clean, v)[1]

        noise = noise_std * noise_std

        def likelihood(v):
            if self.likelihood == "isotropic":
                return (noise + SDA_GAMMA * sigma * sigma / (signal * signal)) * v
            if self.likelihood == "none":
                return noise * v
            return seen * forth(spread(back(v), self.likelihood)) + noise * v

        weights = self.solve(likelihood, residual)
        return output, spread(back(weights), self.gain), -0.5 * inner(residual, weights)

    def log_likelihood(self, x, y, noise_std):
        """Returns -1/2 |y - A x|^2 / Sy of clean samples x over the values that are observed, ``(B, 1, ...)``."""
        observed = self.observed(y)
        misfit = (ops.cast(y, mstype.float32) - self.measure(ops.cast(x, mstype.float32))) / noise_std
        misfit = ops.where(observed, misfit, ops.zeros_like(misfit))
        return -0.5 * inner(misfit, misfit)

    def observed(self, y):
        """Returns which values of y are measurements, bool: those of places that are measured, unless they are NaN."""
        present = ops.cast(ops.logical_not(ops.isnan(y)), mstype.float32)
        return restricted_to(self.measure, present) > 0

    def clean(self, level, x, prediction):
        """Returns the clean prediction, in float32."""
        return level[0] * ops.cast(x, mstype.float32) + level[1] * ops.cast(prediction, mstype.float32)

    def solve(self, operator, b):
        """Returns the solution of operator(v) = b by conjugate gradients, for each sample by itself."""
        solution, residual, direction = ops.zeros_like(b), b, b
        length = inner(residual, residual)
        for _ in range(self.iterations):
            image = operator(direction)
            step = quotient(length, inner(direction, image))
            solution = solution + step * direction
            residual = residual - step * image
            following = inner(residual, residual)
            direction = residual + quotient(following, length) * direction
            length = following
        return solution


def inner(a, b):
    """Returns the inner product of each pair of samples, kept broadcastable."""
    return ops.ReduceSum(keep_dims=True)(a * b, tuple(range(1, a.ndim)))


def broadcasts(shape, to):
    """Whether an array of one shape broadcasts to another shape."""
    return len(shape) <= len(to) and all(a in (1, b) for a, b in zip(shape[::-1], to[::-1]))


def _checked_noise_std(noise_std, method):
    try:
        std = np.asarray(noise_std.asnumpy() if isinstance(noise_std, Tensor) else noise_std, np.float64)
    except (TypeError, ValueError):
        raise TypeError(f"'noise_std' must be a number or a Tensor, but is {noise_std!r}.") from None
    if not np.all(np.isfinite(std)) or np.any(std < 0):
        raise ValueError(f"'noise_std' must be finite and at least 0, but is {noise_std!r}.")
    if method == "dps" and np.any(std == 0):
        raise ValueError("'noise_std' is 0, but method='dps' divides by it: use another method, or a value above 0.")
    return std
