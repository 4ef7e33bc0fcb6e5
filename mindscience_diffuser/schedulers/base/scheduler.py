"""What all schedulers share: checks of a step's arguments, noise, and the way to the compiled kernel."""

import functools
import importlib
import inspect
import numbers
import weakref
from typing import NamedTuple

import numpy as np
from mindspore import Tensor, ops
from mindspore import dtype as mstype

from mindscience_diffuser.cells import PublicCell, unlocked
from mindscience_diffuser.inputs import check_is_tensor, check_samples, values_on_cpu
from mindscience_diffuser.noise import continuing, draw_noise, leading_timesteps
from mindscience_diffuser.plan import StepPlan
from mindscience_diffuser.recent import RecentlyUsed
from mindscience_diffuser.schedulers.base.config import Configurable
from mindscience_diffuser.schedulers.base.conversion import process_of
from mindscience_diffuser.settings import is_ours
from mindscience_diffuser.step import COMPUTE_DTYPES, EagerPlan
from mindscience_diffuser.validation import check_integer, check_only_one

PLANS = ("trajectory_plan", "dense_plan")
"""Methods that make the plan of a scheduler from the options of `step`."""

SWAPPED = (
    "'sample' and 'timestep' are swapped: call step(model_output, sample, timestep); the order "
    "(model_output, timestep, sample) is that of diffusers."
)


class SchedulerOutput(NamedTuple):
    """What a step returns with ``return_dict=True``, each of the shape of the sample.

    Attributes:
        prev_sample (Tensor): The sample at the next timestep.
        pred_original_sample (Tensor): The predicted clean sample.
    """

    prev_sample: Tensor
    pred_original_sample: Tensor


class Compatibles:
    """Classes that take a configuration: of a class those of the same kind of noise process.

    Of a scheduler those of them that can follow its noise schedule and its kind of prediction.
    """

    def __get__(self, scheduler, kind):
        process = _process(kind)
        known = [k for k in schedulers_by_name().values() if (k is kind if process is None else _process(k) == process)]
        if scheduler is None:
            return known
        config = scheduler.config
        told = [(name, config[name]) for name in ("beta_schedule", "prediction_type") if name in config]
        return [k for k in known if not k.conversion(config).lost and all(k.takes(*pair) for pair in told)]


def _process(kind):
    return process_of(kind, kind.defaults(), {})


class Followers(weakref.WeakSet):
    """Cells that follow a scheduler's plan. A copy of the scheduler has none: a copied cell adds itself again."""

    def __reduce__(self):
        return Followers, ()


def undone_on_error(method):
    """Lets a method that raises leave the attributes of the object as they were."""

    @functools.wraps(method)
    def attempt(self, *args, **kwargs):
        before = dict(vars(self))
        try:
            with unlocked(self):
                return method(self, *args, **kwargs)
        except Exception:
            vars(self).clear()
            vars(self).update(before)
            raise

    return attempt


class Scheduler(Configurable, PublicCell):
    """Base of all schedulers.

    Called on this class itself, ``from_preset``, ``from_config`` and ``from_pretrained`` build a scheduler of the class
    that the configuration names.

    Args:
        compute_dtype (mindspore.dtype): Dtype of the device arithmetic and of all results: float32 or float16.

    Attributes:
        config (SchedulerConfig): The arguments by name, as a mapping and as attributes, read-only; after `from_config`
            what else the configuration holds too.
        timesteps (numpy.ndarray): What the model is told at each step, in their order.
        num_inference_steps (int): Number of steps of the trajectory, None before `set_timesteps`.
        plan (StepPlan): The table of the steps, None before `set_timesteps`.
    """

    own_settings = ("fixed_shape",)
    shared_arguments = {"compute_dtype": mstype.float32}

    order = 1
    init_noise_sigma = 1.0
    compatibles = Compatibles()

    channels = None
    """Number of channels of the samples, where the plan has weights for each of them."""

    clean_timestep = 0
    """What the model is told of a frame that is clean while others are not: the lowest level of its training."""

    inverts = False
    """Whether trajectories lead from the clean sample to its noise."""

    leading_timesteps = staticmethod(leading_timesteps)
    """How the timesteps of ``timestep_spacing="leading"`` lie."""

    has_warmup = False
    """Whether a step uses more of the past the longer its trajectory runs: then its plan has the option `begin`."""

    def __init__(self, compute_dtype):
        super().__init__(auto_prefix=True)
        if compute_dtype not in COMPUTE_DTYPES:
            raise ValueError(
                f"'compute_dtype' must be mindspore.float32 or mindspore.float16, but is {compute_dtype!r}."
            )
        self.compute_dtype = compute_dtype
        self.num_inference_steps = None
        self.scheduled = False
        self.fixed_shape = True
        self.plan = None
        self.followers = Followers()
        self._eager_plans = RecentlyUsed()
        self._seeded = (None, None, None)

    def __init_subclass__(cls, **options):
        super().__init_subclass__(**options)
        if "set_timesteps" in vars(cls):
            cls.set_timesteps = undone_on_error(cls.set_timesteps)

    @classmethod
    def class_of(cls, config):
        """Returns the class that a configuration is loaded as: this one, on the base itself the one that it names."""
        return scheduler_class(config.get("_class_name")) if cls is Scheduler else cls

    @staticmethod
    def source_of(config):
        """Returns the class that a configuration is one of, None where it does not tell."""
        return schedulers_by_name().get(config.get("_class_name"), getattr(config, "_source", None))

    def scale_model_input(self, sample, timestep=None):
        """Returns what the model is given for `sample`: here the sample itself, whatever the timestep."""
        return sample

    def _eager_plan(self, key, plan):
        """Returns the plan that `step` runs for the options `key`; `plan` builds it the first time."""
        return self._eager_plans.made(key, lambda: EagerPlan(plan(), self.compute_dtype, key[-1]))

    def plan_for(self):
        """Returns the :class:`~mindscience_diffuser.plan.StepPlan` of the chosen timesteps.

        Options of `step` that change the plan are arguments here too.
        """
        raise NotImplementedError(f"{type(self).__name__} describes a noise process and has no steps.")

    @property
    def step_options(self):
        """Names of the options of `step` that change the plan."""
        return named_arguments(self.plan_for)

    def check_options(self, options, known=None):
        """Raises TypeError if an option of `step`, by name, is none that this scheduler, or what is `known`, has.

        A class of a user that takes options by ``**`` knows them itself.
        """
        if not options or any(_takes_any(getattr(self, name, None)) for name in ("plan_for", *PLANS)):
            return
        known = self.step_options if known is None else known
        for name, value in options.items():
            if name not in known:
                advice = f"it has {', '.join(known)}" if known else "it has none, leave it out"
                raise TypeError(
                    f"'{name}' is {value!r}, but a step of {type(self).__name__} has no such option; {advice}."
                )

    def levels_of_calls(self):
        """Returns alpha and sigma of the sample at each row of the plan."""
        return tuple(level[:-1] for level in self.levels)

    def replan(self):
        """Builds the plan of the present timesteps and levels anew."""
        self._schedule(self.timesteps)

    def check_scheduled(self):
        """Raises ValueError if `set_timesteps` was not called yet."""
        if not self.scheduled:
            raise ValueError("'set_timesteps' must be called first: there is no schedule yet.")

    def _check_followers(self):
        """Lets the cells that follow this scheduler refuse its new plan, before anything on the device is changed."""
        for cell in self.followers:
            cell.check_plan()

    def _plan_changed(self):
        """Drops what was derived from the last plan, and tells the cells that follow this scheduler."""
        self._eager_plans.clear()
        self._seeded = (None, None, None)
        for cell in self.followers:
            cell.follow()

    def noised_to_row(self, original_samples, noise, row):
        """Returns alpha * original_samples + sigma * noise at the level from which row `row` of the plan starts.

        Of equal timesteps each row has a level of its own.

        Raises:
            TypeError: If `row` is no integer, or the samples or the noise are no Tensor.
            ValueError: If `row` is outside the plan, the shapes differ, or `set_timesteps` was not called.
        """
        self.check_scheduled()
        row = check_integer("row", row, low=0, high=len(self.levels[0]) - 2)
        self.check_tensor("original_samples", original_samples)
        self.check_tensor("noise", noise, like=original_samples)
        return self._eager_plan(("noised_to_row", False), self._levels_plan).run(row, (original_samples, noise))[0]

    def _levels_plan(self):
        alpha, sigma = (level[:-1] for level in self.levels)
        return StepPlan(np.arange(len(alpha)), {}, {"sample": {"sample": alpha, "output": sigma}})

    def _check_step(self, model_output, sample, timestep):
        """Checks the arguments of `step` that all schedulers share."""
        self.check_scheduled()
        if _swapped(model_output, sample, timestep):
            raise TypeError(SWAPPED)
        self.check_tensor("sample", sample)
        self.check_tensor("model_output", model_output, like=sample)
        self.check_channels(sample.shape, timestep)

    def check_channels(self, shape, timestep=0):
        """Raises ValueError, in graphs too, unless samples of this shape have the channels that the plan is for."""
        if self.channels is None:
            return
        if shape[1] != self.channels:
            raise ValueError(
                f"'sigma_data' of {type(self).__name__} has {self.channels} numbers, one for each channel, but the "
                f"sample has shape {shape}: axis 1 must have as many."
            )
        if isinstance(timestep, Tensor) and timestep.ndim > 1 and timestep.shape[1] > 1:
            raise ValueError(
                f"The timestep has shape {timestep.shape}, one for each frame, but axis 1 of the sample are channels "
                "with a 'sigma_data' each: give one for each sample."
            )

    def check_in_graph(self, model_output, sample, timestep):
        """The form of the checks of `step` that the graph compiler reads: what shapes and constants tell."""
        self.check_scheduled()
        if sample.ndim < 2 and timestep.ndim >= 2:
            raise TypeError(SWAPPED)
        self.check_like_in_graph("model_output", model_output, sample)
        self.check_count_in_graph(timestep, sample)
        self.check_channels(sample.shape, timestep)

    def noise_in_graph(self, sample, noise, generator):
        """Returns the noise of a step inside a graph: the given one, or a draw from MindSpore's stream."""
        if generator is not None:
            raise ValueError(
                "'generator' is given inside a graph, where nothing is drawn on the host: draw the noise outside and "
                "pass it as 'noise', or give neither for MindSpore's own stream (mindspore.set_seed)."
            )
        if noise is None:
            return ops.standard_normal(sample.shape)
        self.check_like_in_graph("noise", noise, sample)
        return noise

    def check_count_in_graph(self, timestep, sample):
        """Raises ValueError, in a graph, unless there is one timestep, or one for each sample or each of its frames."""
        if not self.fixed_shape or not isinstance(timestep, Tensor) or timestep.ndim == 0:
            return
        if timestep.ndim > 2 or not _fits(timestep.shape, sample.shape):
            raise ValueError(
                f"The timestep must be a number, have one value for each of {sample.shape[0]} samples, or one for each "
                f"frame of them, {sample.shape[:2]}, but has shape {timestep.shape}."
            )

    def check_like_in_graph(self, name, value, sample):
        """Raises ValueError, in a graph, unless a value has the shape of the sample: it would broadcast."""
        if self.fixed_shape and value.shape != sample.shape:
            raise ValueError(f"'{name}' has shape {value.shape}, but must have that of the sample, {sample.shape}.")

    def check_tensor(self, name, value, like=None):
        """Checks that an argument is a floating Tensor of rank >= 2, and of the shape of another one."""
        check_samples(name, value)
        if like is not None and value.shape != like.shape:
            raise ValueError(f"'{name}' has shape {value.shape}, but must have that of the sample, {like.shape}.")

    @staticmethod
    def check_mask(mask, sample):
        """Checks that a mask is a Tensor that broadcasts to the sample."""
        check_is_tensor("mask", mask)
        try:
            np.broadcast_to(np.empty(mask.shape, np.bool_), sample.shape)
        except ValueError:
            raise ValueError(
                f"'mask' has shape {mask.shape}, which does not broadcast to the sample's {sample.shape}."
            ) from None

    def _step_noise(self, sample, noise, generator, place=None):
        """Returns the noise of a step: the given one, or a draw from `generator`, see :func:`next_source`."""
        check_only_one(noise=noise, generator=generator)
        if noise is not None:
            self.check_tensor("noise", noise, like=sample)
            return noise
        seeded = next_source(self._seeded, sample.shape[0], generator, place)
        drawn = Tensor(draw_noise(sample.shape, seeded[1]), self.compute_dtype)
        self._seeded = seeded
        return drawn

    @staticmethod
    def _result(outputs, return_dict):
        return SchedulerOutput(outputs[0], outputs[-1]) if return_dict else outputs[0]


def _takes_any(method):
    if method is None or is_ours(method):
        return False
    return any(p.kind is p.VAR_KEYWORD for p in inspect.signature(method).parameters.values())


def named_arguments(function):
    """Returns the names of the arguments of a function that have names of their own."""
    parameters = inspect.signature(function).parameters.values()
    return tuple(p.name for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD))


def next_source(seeded, batch, generator, place):
    """Returns what a step draws from, as the triple that the next step is given: its name, the source, the place.

    `place` rises along a trajectory, whichever of its steps are taken. A seed goes on while it rises; where it does
    not, another trajectory has begun, and the seed begins again. Without a place it goes on.

    Args:
        seeded (tuple): What the last step drew from, ``(None, None, None)`` before the first one.
        batch (int): Number of samples.
        generator (optional): What :func:`~mindscience_diffuser.noise.draw_noise` takes.
        place (optional): A number that rises along a trajectory.
    """
    key = (named_generator(generator), batch)
    before, source, last = seeded
    begins = place is not None and last is not None and place <= last
    if before != key or begins:
        source = continuing(generator, batch)
    return key, source, place


def named_generator(generator):
    """Returns what tells a generator from others: the value of a seed, the identity of an object."""
    if isinstance(generator, (list, tuple)):
        return tuple(map(named_generator, generator))
    return int(generator) if isinstance(generator, numbers.Integral) else ("object", id(generator))


REGISTERED = {}
"""Scheduler classes from elsewhere, by name."""


def register_scheduler(kind):
    """Makes a scheduler class of one's own known by its name: in configurations, in YAML runs, to `from_pretrained`.

    Args:
        kind (type): The class, a subclass of :class:`Scheduler` whose constructor is that of ``takes_arguments``.

    Returns:
        The class, so that this can be its decorator.

    Raises:
        TypeError: If it is no subclass of Scheduler, or has no arguments.
        ValueError: If another class has its name.
    """
    if not isinstance(kind, type) or not issubclass(kind, Scheduler) or not hasattr(kind, "arguments"):
        raise TypeError(f"'kind' must be a subclass of Scheduler with takes_arguments, but is {kind!r}.")
    other = schedulers_by_name().get(kind.__name__, kind)
    if (other.__module__, other.__qualname__) != (kind.__module__, kind.__qualname__):
        raise ValueError(f"'kind' is named {kind.__name__}, as {other.__module__}.{other.__qualname__} is: rename it.")
    REGISTERED[kind.__name__] = kind
    return kind


def schedulers_by_name():
    """Returns the public schedulers that can step, and those that were registered, by the name of their class.

    Those that are read from files of their own, and have no other arguments, are not among them.
    """
    return {name: kind for name, kind in stepping_schedulers().items() if kind.arguments}


def stepping_schedulers():
    """Returns all schedulers that can step, by the name of their class."""
    package = importlib.import_module("mindscience_diffuser.schedulers")
    public = [value for value in (getattr(package, name) for name in package.__all__) if isinstance(value, type)]
    own = {kind.__name__: kind for kind in public if issubclass(kind, Scheduler) and hasattr(kind, "step")}
    return {**own, **REGISTERED}


def scheduler_class(name):
    """Returns the scheduler class of that name; ValueError if there is none."""
    known = stepping_schedulers()
    if name not in known:
        raise ValueError(
            f"The configuration names the class {name!r}, but there are only {', '.join(sorted(known))}. Load it with "
            "one of these, as in DDIMScheduler.from_preset('sd15'), to follow its noise schedule by another method, or "
            "make a class of your own known with register_scheduler."
        )
    return known[name]


def _fits(shape, samples):
    """Whether timesteps of this shape are one, one for each sample, or one for each frame of ``(B, T, ...)``."""
    return (len(shape) < 1 or shape[0] in (1, samples[0])) and (len(shape) < 2 or shape[1] in (1, samples[1]))


def timestep_values(timestep, samples, name="timestep"):
    """Returns the values of a timestep that the host knows, as an array, or None where they stay on the device.

    Args:
        timestep (int, float, numpy.ndarray or Tensor): A number, one for each sample, ``(B,)`` or ``(B, 1)``, or one
            for each frame of samples ``(B, T, ...)``, ``(B, T)``. The values of a Tensor are read on CPU, where it
            costs nothing; on a device that would wait for the device.
        samples (tuple): Shape of the samples.
        name (str): What an error calls it.

    Raises:
        TypeError: If it is no number.
        ValueError: If it has another shape.
    """
    shape = np.shape(timestep)
    if len(shape) > 2 or not _fits(shape, samples):
        raise ValueError(
            f"'{name}' must be a number, have one value for each of {samples[0]} samples, or one for each frame of "
            f"them, {tuple(samples[:2])}, but has shape {shape}."
        )
    if isinstance(timestep, Tensor):
        return values_on_cpu(timestep)
    values = np.asarray(timestep)
    if values.dtype.kind not in "iuf":
        raise TypeError(f"'{name}' must be a number, a Tensor or one number for each sample, but is {timestep!r}.")
    return values


def timestep_index(timestep, samples, count, name="timestep"):
    """Returns a training timestep as an index of a table with one row for each of `count`.

    The other arguments are those of :func:`timestep_values`. The index is an int where the value is known to the host
    and the same for all, else an int32 Tensor.
    """
    values = timestep_values(timestep, samples, name)
    if values is None:
        return timestep.astype(mstype.int32)
    if values.dtype.kind not in "iuf" or np.any(values != np.floor(values)):
        raise TypeError(f"'{name}' must be an integer, a Tensor or one integer for each sample, but is {timestep!r}.")
    if values.min() < 0 or values.max() >= count:
        raise ValueError(f"'{name}' must be in [0, {count - 1}], but is {values.tolist()}.")
    if np.all(values == values.flat[0]):
        return int(values.flat[0])
    return Tensor(values, mstype.int32)


def timestep_index_in_graph(timestep, count):
    """The form of :func:`timestep_index` that the graph compiler reads: a number is checked and becomes a Tensor."""
    if isinstance(timestep, (int, float)):
        if timestep < 0 or timestep >= count or timestep != int(timestep):
            raise ValueError(f"'timestep' must be an integer in [0, {count - 1}], but is {timestep}.")
        return Tensor(int(timestep), mstype.int32)
    return timestep.astype(mstype.int32)


def _swapped(model_output, sample, timestep):
    """Whether `timestep` is what only a sample can be, and `sample` is not."""
    rank = len(np.shape(timestep))
    return rank >= 2 and (len(np.shape(sample)) < 2 or np.shape(timestep) == np.shape(model_output) != np.shape(sample))
