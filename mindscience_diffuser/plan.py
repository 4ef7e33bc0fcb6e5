"""The table that a scheduler hands to the device: per step, the weights of a linear update around one clip.

At every step the clean sample is predicted as a weighted sum, ``x0 = sum(w * v)`` over the values ``v`` at hand (the
sample, remembered tensors, the model output, fresh noise); ``x0`` may be limited; then every state (the sample and
what is remembered) becomes another weighted sum in which ``x0`` may take part. Only the weights differ between
schedulers, so a scheduler is a :class:`StepPlan`.

Which values take part is part of the plan's *structure* and never depends on the number of steps, so that a compiled
graph stays valid when `set_timesteps` is called again. Pure NumPy, without MindSpore.
"""

import hashlib
import operator
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from numbers import Real
from typing import NamedTuple, Optional, Union

import numpy as np

from mindscience_diffuser.settings import read_only

HIGHEST_PIXEL = 255

Weights = Mapping[str, Union[np.ndarray, float]]
"""Weight of each value, by its name: ``sample``, a history name, ``output``, ``noise`` or ``x0``.

An array of shape ``(n,)``, one weight a step, or ``(n, S)``, where the S entries of a sample along its first axis have
weights of their own; or a number: the same weight at every step, whatever the steps.
"""


class Limit(NamedTuple):
    """What keeps the predicted clean sample in range.

    ``kind="clip"`` clamps to [-maximum, maximum]. ``kind="threshold"`` is dynamic thresholding (Saharia et al., 2022,
    arXiv:2205.11487, section 2.3): the `ratio` quantile s of |x0| of each sample, held in [1, maximum], clamps x0 to
    [-s, s] and divides it by s. ``kind="pixels"`` clamps as ``"clip"`` does, and rounds down to the nearest of the 256
    evenly spaced levels that 8-bit pixels have in that range.
    """

    kind: str
    maximum: float
    ratio: float = 1.0


class Form(NamedTuple):
    """One weighted sum of a kernel: pairs (value, column of the table); column -1 stands for the weight 1."""

    terms: tuple[tuple[int, int], ...]
    gain: int = -1
    """Column of the root of a common factor that is applied after the sum, -1 for none."""


class Layout(NamedTuple):
    """The static part of a packed plan: all that a compiled kernel depends on besides shapes and dtypes."""

    inputs: tuple[str, ...]
    """Names of the tensors that the kernel takes, in order."""
    x0: Optional[Form]
    sums: tuple[Form, ...]
    """Next value of the sample, then of each remembered tensor, then further results."""
    limit: Optional[Limit]
    returns_x0: bool
    learned_std: Union[int, str, tuple[int, int]]
    """Columns of intercept and slope of the learned log standard deviation, or ``"variance"``; -1 where it is not
    learned."""
    input_scale: int
    """Column of the factor of the sample in what the model is given; -1 where that is the sample itself."""
    langevin: int
    """Column of the ratio r of :func:`langevin_factor`; -1 where no step is a Langevin corrector."""
    level: tuple[int, ...] = ()
    """Columns of :meth:`StepPlan.level_columns`; empty where no stage before the step asks for them."""
    moves: int = -1
    """Column of what moves; -1 where every entry of the sample takes every step."""

    @property
    def passthrough_inputs(self):
        """For each sum the index of the input that it is at every step, None where it must be computed."""
        if self.moves >= 0:
            return (None,) * len(self.sums)

        def source(form):
            (index, column), *others = form.terms
            plain = column < 0 and form.gain < 0 and not others
            return index if plain and self.inputs[index : index + 1] not in ((), ("noise",)) else None

        return (None, *map(source, self.sums[1:]))


def column(**options):
    """A field of :class:`StepPlan` whose arrays become columns of the table, under its name in :class:`Layout`."""
    return field(metadata={"column": True}, **options)


@dataclass(frozen=True)
class StepPlan:
    """Weights of every step of a trajectory, float64. Every array in it has one value for each step.

    A sample ``(B, S, ...)`` may have weights of its own for each of the S entries of its first axis: channels with
    statistics of their own, frames at noise levels of their own. Arrays then have the shape ``(n, S)``.

    Args:
        timesteps (numpy.ndarray): What the model is told at each step, shape ``(n,)``, or ``(n, k)`` where it is told k
            numbers.
        x0 (Weights): The predicted clean sample as a sum over ``sample``, history names, ``output``, ``noise``.
        states (Mapping[str, Weights]): The next value of ``sample`` and of each remembered tensor; ``x0`` may take
            part. The first key is ``sample``.
        results (Mapping[str, Weights]): Further sums that a step returns but does not remember.
        limit (Limit, optional): Applied to x0 before the states are computed.
        needs_fp16_gain (bool): Whether a weight may be so large for some number of steps (dividing by alpha near pure
            noise) that float16 needs the difference taken before it is scaled.
        next_level (tuple, optional): alpha and sigma of the sample after each step, two arrays of shape ``(n,)``.
        input_scale (numpy.ndarray, optional): Factor of the sample in what the model is given, shape ``(n,)``.
            Default: ``None``, the sample itself.
        learned_std (str or tuple, optional): How `noise` is scaled by the model's variance output: ``"variance"``
            (its square root) or a pair of weights (intercept, slope) of the log standard deviation.
        given (tuple): Names of further tensors that a step takes and that the sums may use.
        langevin (numpy.ndarray, optional): Ratio r of each step that is a Langevin corrector, 0 at the others, shape
            ``(n,)``: the sample moves on by ``2 k * (k * output + noise)`` with k of :func:`langevin_factor`, which
            needs norms and so is no weighted sum. Default: ``None``, no step is.
        always_draws (bool or numpy.ndarray): Whether every step of a stochastic plan, or each by itself, shape
            ``(n,)``, draws noise, also one that gives it no weight.
        level (tuple, optional): alpha and sigma of the sample that the model is called for at each step, two arrays of
            shape ``(n,)``.
        moves (numpy.ndarray, optional): Where 0, the sample and what is remembered of it stay as they are, shape
            ``(n,)`` or ``(n, S)``. Default: ``None``, everything moves.
    """

    timesteps: np.ndarray
    x0: Weights
    states: Mapping[str, Weights]
    results: Mapping[str, Weights] = field(default_factory=dict)
    limit: Optional[Limit] = None
    needs_fp16_gain: bool = False
    next_level: Optional[tuple[np.ndarray, np.ndarray]] = None
    input_scale: Optional[np.ndarray] = column(default=None)
    learned_std: Union[None, str, tuple[np.ndarray, np.ndarray]] = column(default=None)
    given: tuple[str, ...] = ()
    langevin: Optional[np.ndarray] = column(default=None)
    always_draws: Union[bool, np.ndarray] = False
    level: Optional[tuple[np.ndarray, np.ndarray]] = None
    moves: Optional[np.ndarray] = column(default=None)

    def __post_init__(self):
        # What a plan became on the device would not follow.
        for part in fields(self):
            object.__setattr__(self, part.name, read_only(getattr(self, part.name)))

    def __reduce__(self):
        return type(self), tuple(getattr(self, part.name) for part in fields(self))

    def __len__(self):
        return len(self.timesteps)

    @property
    def stochastic(self):
        """Whether a step needs noise."""
        return any("noise" in weights for weights in (self.x0, *self.sums.values()))

    @property
    def needs_noise(self):
        """Whether each step draws noise, shape ``(n,)``: where it has any weight, or where it always does."""
        weights = [weights.get("noise", 0.0) for weights in (self.x0, *self.sums.values())]
        weights += [] if self.langevin is None else [self.langevin]
        used = [filled(weight, self.shape).reshape(len(self), -1).any(axis=1) for weight in weights]
        return self.always_draws | np.any(used, axis=0)

    @property
    def shape(self):
        """Shape of the weights: ``(n,)``, or ``(n, S)`` where the entries of a sample have weights of their own."""
        parts = [weight for weights in (self.x0, *self.sums.values()) for weight in weights.values()]
        parts += [part for part in (self.input_scale, self.langevin, self.moves) if part is not None]
        return np.broadcast_shapes((len(self),), *(np.shape(part)[::-1] for part in parts))[::-1]

    @property
    def sums(self):
        """All weighted sums that a step returns, by name: the states, then further results."""
        return {**self.states, **self.results}

    @property
    def inputs(self):
        """Names of the tensors that a step takes: the states, ``output``, ``noise``, ``variance`` or what is given."""
        names = (*self.states, "output")
        if self.stochastic:
            names += ("noise",)
        return (*names, *self.given) if self.learned_std is None else (*names, "variance")

    @property
    def fingerprint(self):
        """A short text that differs between plans: of other steps, weights or structure, all fields included."""
        text = _described({part.name: getattr(self, part.name) for part in fields(self)})
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def take(self, steps):
        """Returns the plan of the chosen steps, in the order of `steps`."""
        return replace(self, **{part.name: _at(getattr(self, part.name), steps) for part in fields(self)})

    def folded(self):
        """Returns the same plan with x0 substituted into the states, possible where nothing limits it."""
        if self.limit is not None:
            return self
        return replace(
            self,
            states={name: substituted(weights, "x0", self.x0) for name, weights in self.states.items()},
            results={name: substituted(weights, "x0", self.x0) for name, weights in self.results.items()},
        )

    def run(self, step, **values):
        """Takes one step on the host in float64, unpacked: the definition that the device follows.

        Args:
            step (int): Row of the plan.
            **values (numpy.ndarray): The tensors named by ``inputs``.

        Returns:
            Dict of the sums by name, and ``x0`` where the plan predicts a clean sample.
        """

        def total(weights):
            return sum(scaled(w, values[name]) for name, w in weights.items())

        def scaled(weight, value):
            weight = np.broadcast_to(weight, np.shape(weight) or 1)
            return weight.reshape(weight.shape + (1,) * (np.ndim(value) - weight.ndim)) * value

        plan = self.take([step])
        if plan.learned_std is not None:
            raise ValueError("A plan with a learned variance runs on the device alone.")
        if plan.x0:
            values["x0"] = limited(total(plan.x0), plan.limit)
        results = {name: total(weights) for name, weights in plan.sums.items()}
        if plan.langevin is not None:
            k = langevin_factor(plan.langevin[0], values["output"], values["noise"])
            results["sample"] = results["sample"] + 2 * k * (k * values["output"] + values["noise"])
        if plan.moves is not None:
            for name in plan.states:
                results[name] = np.where(scaled(plan.moves, np.ones_like(values[name])), results[name], values[name])
        return {**results, "x0": values["x0"]} if plan.x0 else results

    def level_columns(self):
        """Returns what a stage between model and step is told of each step.

        With u the tensor that the model is given, the clean sample is ``x0 = a * u + b * output``, and u = scale * x,
        x = alpha * x0 + sigma * noise. The step leads to the next alpha and sigma.

        Returns:
            numpy.ndarray, ``(n, 8)``, or ``(n, S, 8)`` where weights have the shape ``(n, S)``: a, b, alpha, sigma,
            scale, the next alpha and sigma, and the number of the row.
        """
        if self.level is None or self.next_level is None or self.x0.keys() - {"sample", "output"}:
            raise ValueError(
                "A plan without noise levels cannot be guided: its steps know no clean sample, or not the level that "
                "they lead to."
            )
        scale = 1.0 if self.input_scale is None else self.input_scale
        to_clean = (self.x0.get("sample", 0.0) / scale, self.x0["output"])
        columns = (*to_clean, *self.level, scale, *self.next_level, np.arange(len(self)))
        return np.stack([filled(values, self.shape) for values in columns], axis=-1)

    def pack(self, returns_x0=False, half=False, level=False, dtype=np.float32):
        """Returns what the device needs: the static :class:`Layout` and the table of weights.

        Args:
            returns_x0 (bool): Whether the kernel also returns the (limited) clean sample.
            half (bool): Whether the arithmetic is float16, which adds a common factor to amplifying sums.
            level (bool): Whether a stage between model and step is told the noise level.
            dtype (numpy.dtype): That of the table. Default: float32, that of the device.

        Returns:
            Tuple (Layout, numpy.ndarray): the table has the shape ``(n, columns)``, or ``(n, S, columns)`` where
            weights have the shape ``(n, S)``, rounded once.
        """
        plan, shape = self.folded(), self.shape
        inputs = plan.inputs
        values = (*inputs, "x0")
        columns = []

        def place(weight):
            columns.append(filled(weight, shape))
            return len(columns) - 1

        def places(value):
            if isinstance(value, tuple):
                return tuple(map(place, value))
            return place(value) if isinstance(value, np.ndarray) else -1 if value is None else value

        def form(weights):
            if half and plan.needs_fp16_gain:
                most = np.max([np.abs(filled(w, shape)) for w in weights.values()], axis=0, initial=1.0)
                # Applied twice, since its square may leave float16; a power of two, since that rounds nothing.
                gain = 2 ** np.ceil(np.log2(most) / 2)
                terms = tuple((values.index(name), place(filled(w, shape) / gain**2)) for name, w in weights.items())
                return Form(terms, place(gain))
            return Form(tuple((values.index(name), -1 if _is_one(w) else place(w)) for name, w in weights.items()))

        needs_x0 = returns_x0 or any("x0" in weights for weights in plan.sums.values())
        layout = Layout(
            inputs=inputs,
            x0=form(plan.x0) if needs_x0 else None,
            sums=tuple(form(weights) for weights in plan.sums.values()),
            limit=plan.limit,
            returns_x0=returns_x0,
            level=tuple(map(place, np.moveaxis(plan.level_columns(), -1, 0))) if level else (),
            **{part.name: places(getattr(plan, part.name)) for part in fields(plan) if "column" in part.metadata},
        )
        return layout, np.stack(columns, axis=-1).astype(dtype)


def _at(value, steps):
    """Returns a field of a plan for the chosen steps: arrays have one value for each step, the rest has no steps."""
    if isinstance(value, np.ndarray):
        return value[steps]
    if isinstance(value, Mapping):
        return {name: _at(part, steps) for name, part in value.items()}
    return tuple(_at(part, steps) for part in value) if type(value) is tuple else value


def joined(plans):
    """Returns the plan of several trajectories one after another, whose plans have the same structure."""
    lengths = list(map(len, plans))
    return replace(
        plans[0], **{part.name: _join([getattr(p, part.name) for p in plans], lengths) for part in fields(plans[0])}
    )


def _join(values, lengths):
    """Returns a field of plans one after another; numbers that are the same in all of them stay numbers."""
    first = values[0]
    if isinstance(first, Mapping):
        return {name: _join([value[name] for value in values], lengths) for name in first}
    if type(first) is tuple:
        return tuple(_join(parts, lengths) for parts in zip(*values))
    if not any(isinstance(value, np.ndarray) for value in values):
        return first
    return np.concatenate([np.broadcast_to(v, (n, *np.shape(v)[1:])) for v, n in zip(values, lengths)])


def named_arrays(plan):
    """Returns all numbers of a plan as arrays by dotted names, such as ``states.sample.x0`` and ``level.0``."""

    def named(name, value):
        if isinstance(value, Mapping) or type(value) is tuple:
            parts = value.items() if isinstance(value, Mapping) else enumerate(value)
            return {key: array for part, inner in parts for key, array in named(f"{name}.{part}", inner).items()}
        numeric = isinstance(value, np.ndarray) or (isinstance(value, Real) and not isinstance(value, bool))
        return {name: np.asarray(value)} if numeric else {}

    return {key: array for part in fields(plan) for key, array in named(part.name, getattr(plan, part.name)).items()}


def with_named_arrays(plan, arrays):
    """Returns a plan with the numbers of :func:`named_arrays` in place of its own, whatever their order."""
    tree = {}
    # The sample is the first state; others by the length of their names, so that prediction_10 comes after the ninth.
    for name in sorted(arrays, key=lambda name: (not name.startswith("states.sample."), len(name), name)):
        *path, last = name.split(".")
        place = tree
        for part in path:
            place = place.setdefault(part, {})
        place[last] = arrays[name] if np.ndim(arrays[name]) else float(arrays[name])
    pairs = {name: tuple(part for _, part in sorted(tree[name].items())) for name in ("level", "next_level")}
    return replace(plan, **{"input_scale": None, **tree, **pairs})


def _described(value):
    """Returns a text that tells a field of a plan from others; its numbers are those of the device, float32."""
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{name}: {_described(part)}' for name, part in value.items())}}}"
    if isinstance(value, tuple):
        return f"({', '.join(map(_described, value))})"
    if isinstance(value, np.ndarray) or (isinstance(value, Real) and not isinstance(value, bool)):
        numbers = np.asarray(value, np.float32)
        return f"{numbers.shape}{numbers.tobytes().hex()}"
    return repr(value)


def limited(x0, limit):
    """Returns a predicted clean sample in the range that `limit` describes, on the host."""
    if limit is None:
        return x0
    if limit.kind != "threshold":
        clipped = np.clip(x0, -limit.maximum, limit.maximum)
        return clipped if limit.kind == "clip" else quantize_floor(clipped, limit.maximum, np.floor)
    axes = tuple(range(1, x0.ndim))
    scale = np.clip(np.quantile(np.abs(x0), limit.ratio, axis=axes, keepdims=True), 1, limit.maximum)
    return np.clip(x0, -scale, scale) / scale


def quantize_floor(x0, maximum, floor):
    """Returns x0 in [-maximum, maximum] rounded down to the levels of 8-bit pixels; of arrays and Tensors alike."""
    return floor((x0 / maximum + 1) / 2 * HIGHEST_PIXEL) / HIGHEST_PIXEL * (2 * maximum) - maximum


def langevin_factor(ratio, score, noise):
    """Returns k = r * |z| / |score| of the corrector step x + epsilon * score + sqrt(2 epsilon) * z, epsilon = 2 k^2.

    Song et al., 2021 (arXiv:2011.13456), algorithms 4 and 5: the norms are means over the batch. 0 for a score of 0.
    """
    norms = [np.sqrt((values.reshape(len(values), -1) ** 2).sum(axis=1)).mean() for values in (noise, score)]
    return ratio * norms[0] / norms[1] if norms[1] > 0 else 0.0


def _is_one(weight):
    return not isinstance(weight, np.ndarray) and weight == 1


def filled(weight, shape):
    """Returns a weight, a number or an array whose first axis is the step, as a float64 array of `shape`."""
    weight = np.asarray(weight, np.float64)
    return np.broadcast_to(weight.reshape(weight.shape + (1,) * (len(shape) - weight.ndim)), shape)


def combined(operation, a, b):
    """Returns the sum or the product of two weights, each a number or an array whose first axis is the step."""
    most = max(np.ndim(a), np.ndim(b))
    a, b = (w if np.ndim(w) in (0, most) else np.reshape(w, np.shape(w) + (1,) * (most - np.ndim(w))) for w in (a, b))
    return operation(a, b)


def linear_combination(*pairs):
    """Returns the weighted sum of weighted sums: pairs (factor, weights), each factor an array or a number."""
    total = {}
    for factor, weights in pairs:
        for name, weight in weights.items():
            term = combined(operator.mul, factor, weight)
            total[name] = combined(operator.add, total[name], term) if name in total else term
    return total


def substituted(weights, name, by):
    """Replaces one value of a weighted sum by the weighted sum `by` that it stands for."""
    if name not in weights:
        return weights
    rest = {other: weight for other, weight in weights.items() if other != name}
    return linear_combination((1.0, rest), (weights[name], by))
