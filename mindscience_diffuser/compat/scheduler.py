"""Drop-in schedulers: diffusers' conventions over the native ones, built from the list of what diffusers offers."""

import contextlib
import copy
import inspect
import logging
from numbers import Integral

import numpy as np
from mindspore import Tensor, ops
from mindspore import dtype as mstype

from mindscience_diffuser.compat.assignments import CARRIED, Assignments
from mindscience_diffuser.compat.attributes import ATTRIBUTES, recall
from mindscience_diffuser.compat.config import DEFAULTED, ConfigMixin
from mindscience_diffuser.compat.in_graph import InGraph
from mindscience_diffuser.compat.integers import (
    CUTS_STEPS,
    as_floats,
    holds_integers,
    noises_by_alpha_bar,
    with_cut_levels,
)
from mindscience_diffuser.compat.internals import Internals, weighted_sum
from mindscience_diffuser.compat.native import build_native
from mindscience_diffuser.compat.outputs import StepOutput, in_dtype, noise_source, to_host, to_tensor
from mindscience_diffuser.noise import continuing
from mindscience_diffuser.schedulers.base.config import SchedulerConfig
from mindscience_diffuser.schedulers.base.scheduler import named_generator
from mindscience_diffuser.schedulers.base.sigmas import SigmaScheduler
from mindscience_diffuser.schedulers.base.trajectory import TrajectoryScheduler
from mindscience_diffuser.schedulers.diffusion.ddpm import DDPMScheduler
from mindscience_diffuser.validation import check_choice

logger = logging.getLogger(__name__)

OPTIONS = {"variance_noise": "noise"}
"""Native names of options that diffusers calls otherwise."""


FLAGS = {"is_scale_input_called", "custom_timesteps"}
"""What some of diffusers' schedulers note of the calls so far."""


class UnknownTimestepError(IndexError, ValueError):
    """A timestep that is not of the schedule: diffusers raises an IndexError."""


class SchedulerMixin(Internals, InGraph, Assignments, ConfigMixin):
    """A native scheduler behind diffusers' conventions: the base of the drop-in classes.

    Called on this class itself, `from_config` and `from_pretrained` build the class that the configuration names.

    ``step(model_output, timestep, sample, ...)`` takes tensors of float32, float16 or bfloat16 and returns them in the
    dtype of `model_output`, computed in float32. Steps are counted: the first one is found by its timestep, or is that
    of :meth:`set_begin_index`; the following ones go on from there, whatever their timestep.

    Attributes:
        native (Scheduler): The scheduler that does the work, for a `Sampler` or a graph.
    """

    steps_in_graph = False
    """Whether `step` and `scale_model_input` of a class of its own have the forms for graphs of the others."""

    native_class = None
    facts = {}

    @classmethod
    def class_of(cls, config):
        """Returns the class that a configuration is loaded as: this one, on the base itself the one that it names."""
        if cls is not SchedulerMixin:
            return cls
        from mindscience_diffuser import compat

        names = (*compat.CLASSES, "LearnedScheduler")
        return getattr(compat, check_choice("_class_name", config.get("_class_name"), names))

    def _construct(self, given):
        values = {name: given.get(name, default) for name, default in self.arguments.items()}
        defaulted = [name for name in values if name not in given]
        self.register_to_config(**({DEFAULTED: defaulted} if defaulted else {}), **values)
        # Pipelines write the package of their parts into model_index.json: this one is read back wherever there is one.
        self.__dict__["__module__"] = "diffusers.schedulers"
        self._constructed, self._replaced = values, {}
        self._written, self._handed_out, self._followed_config = {}, {}, self.config
        vars(self).update(dict.fromkeys(FLAGS & set(self.facts["attributes"]), False))
        self._build(values)
        self._restart()
        if self.facts["scheduled_at_first"]:
            with contextlib.suppress(ValueError):  # With an offset there is no room for a step at every timestep.
                self.native.set_timesteps(self.native.num_train_timesteps)

    def _build(self, values):
        """Builds the native scheduler of these arguments, and of what its configuration carries for others."""
        self._built_of = values
        self.native = build_native(self.native_class, values)
        carried = {name: value for name, value in values.items() if name in CARRIED}
        self.native.settings = SchedulerConfig({**self.native.settings, **carried})
        self.indexed = isinstance(self.native, TrajectoryScheduler)
        self._options = {*inspect.signature(self.native.step).parameters, *getattr(self.native, "step_options", ())}

    def _restart(self):
        self._seeded = None, None
        self._step_index = None
        self._begin_index = None
        self._past = None
        self._known_from = 0
        self._past_count = 0
        for name in ("timesteps", "sigmas"):
            self._written.pop(name, None)
            self._handed_out.pop(name, None)
        if self.indexed:
            self.native.restart()

    def _set_flag(self, name, value):
        if name in self.facts["attributes"] or name in self.facts["later"]:
            setattr(self, name, value)

    def __len__(self):
        return self.config.num_train_timesteps

    @property
    def timesteps(self):
        """Timesteps of the trajectory: a Tensor, int64 or float32; of a continuous time with that of the end."""
        return self._hand_out("timesteps", np.asarray(getattr(self.native, "times", self.native.timesteps)))

    @property
    def num_inference_steps(self):
        """Number of steps, None before `set_timesteps`."""
        return self.native.num_inference_steps

    @property
    def init_noise_sigma(self):
        """Standard deviation of the noise that a trajectory starts from: a Tensor where it follows the levels."""
        sigma = self.native.init_noise_sigma
        return self._hand_out("init_noise_sigma", np.asarray(sigma) if getattr(self.native, "scaled", False) else sigma)

    @property
    def step_index(self):
        """Index of the next step, None before the first one."""
        return self._step_index

    @property
    def begin_index(self):
        """Index of the first step, None where its timestep tells."""
        return self._begin_index

    def set_begin_index(self, begin_index=0):
        """Sets the index of the first step, as pipelines do before they begin in the middle."""
        self._begin_index = begin_index

    def index_for_timestep(self, timestep, schedule_timesteps=None):
        """Returns the index of a timestep; of equal ones the second, so that no level is left out."""
        return self._index_of(timestep, schedule_timesteps)

    def _index_of(self, timestep, schedule_timesteps=None):
        written = self._written.get("timesteps", self.native.timesteps)
        schedule = np.asarray(to_host(written if schedule_timesteps is None else schedule_timesteps))
        sought = np.ravel(to_host(timestep))[0]
        found = np.flatnonzero(schedule == (sought.astype(schedule.dtype) if schedule.dtype.kind == "f" else sought))
        if found.size == 0 and self.facts["finds_unknown_timesteps"]:
            return len(schedule) - 1
        if found.size == 0:
            raise UnknownTimestepError(f"'timestep' must be one of scheduler.timesteps, but is {timestep}.")
        return int(found[1 if found.size > 1 else 0])

    def previous_timestep(self, timestep):
        """Returns the timestep that follows `timestep` in the trajectory, -1 after the last one."""
        schedule, given = self.timesteps.asnumpy(), np.asarray(to_host(timestep))
        found = np.flatnonzero(np.isclose(schedule, np.ravel(given)[0], rtol=1e-6, atol=0))
        if found.size == 0:
            return timestep - self.native.num_train_timesteps // len(schedule)
        following = schedule[found[0] + 1] if found[0] + 1 < len(schedule) else -1
        return to_tensor(np.full(given.shape, following, schedule.dtype))

    def _index_at(self, timestep):
        if self._step_index is None:
            self._step_index = self._index_of(timestep) if self._begin_index is None else self._begin_index
        return self._step_index

    def scale_model_input(self, sample, timestep=None):
        """Returns what the model is given for `sample`."""
        self._set_flag("is_scale_input_called", True)
        if not self.indexed or self.native.input_scaling is None:
            return sample
        sample = as_floats(sample)
        return in_dtype(self.native.input_scaling.run(self._index_at(timestep), (sample, sample))[0], sample)

    def add_noise(self, original_samples, noise, timesteps):
        """Returns `original_samples` with noise of the level of each timestep, shape ``(B,)``.

        Where a pipeline has set the first step, it is the level of the present step instead. The result has the dtype
        of `original_samples`; for integers it is float32, and diffusers' levels are cut to integers.
        """
        return self._with_noise(original_samples, noise, timesteps)

    def _with_noise(self, original_samples, noise, timesteps):
        if not holds_integers(original_samples):
            return in_dtype(self._noised(original_samples, as_floats(noise), timesteps), original_samples)
        if noises_by_alpha_bar(self.native_class):
            return as_floats(noise)  # alpha_bar is 0 as an integer.
        if isinstance(self.native, SigmaScheduler) and hasattr(self.native, "sigmas"):
            return with_cut_levels(self.native, self._rows_to_noise(timesteps), original_samples, as_floats(noise))
        return in_dtype(self._noised(as_floats(original_samples), as_floats(noise), timesteps), original_samples)

    def _noised(self, original_samples, noise, timesteps):
        if self.native_class.__name__ == "SASolverScheduler":  # By the training timestep, wherever the trajectory is.
            alpha_bar = np.asarray(self.native.alphas_cumprod)[np.atleast_1d(to_host(timesteps)).astype(np.int64)]
            alpha_bar = alpha_bar.reshape((-1,) + (1,) * (original_samples.ndim - 1))
            return weighted_sum((np.sqrt(alpha_bar), original_samples), (np.sqrt(1 - alpha_bar), noise))
        if not self.noises_by_row:
            return self.native.add_noise(original_samples, noise, timesteps)
        rows = Tensor(np.array(self._rows_to_noise(timesteps), np.int32))
        return self.native.forward_process.run(rows, (original_samples, noise))[0]

    def _rows_to_noise(self, timesteps):
        """Returns the row of each timestep, or where a pipeline has set the first step that of the present one."""
        begun = self._begin_index if self._step_index is None else self._step_index
        at = np.atleast_1d(to_host(timesteps))
        return [begun] * len(at) if self._begin_index is not None else [self._index_of(t) for t in at]

    def get_velocity(self, sample, noise, timesteps):
        """Returns the velocity of `sample` and `noise` at each timestep, shape ``(B,)``."""
        if holds_integers(sample):
            return -as_floats(sample)  # alpha_bar is 0 as an integer.
        if not self.noises_by_row:
            return in_dtype(self.native.get_velocity(sample, as_floats(noise), timesteps), sample)
        alpha_bar = np.asarray(self.native.alphas_cumprod)[self._rows_to_noise(timesteps)]
        alpha_bar = alpha_bar.reshape((-1,) + (1,) * (sample.ndim - 1))
        return in_dtype(weighted_sum((np.sqrt(alpha_bar), noise), (-np.sqrt(1 - alpha_bar), sample)), sample)

    def scale_noise(self, sample, timestep, noise):
        """Returns `sample` with noise of the level of each timestep, shape ``(B,)``."""
        return self._with_noise(sample, noise, timestep)

    def set_timesteps(self, num_inference_steps=None, device=None, **others):
        """Chooses the timesteps of the following trajectory; `device` has no meaning here."""
        known = inspect.signature(self.native.set_timesteps).parameters
        given = {"num_inference_steps": num_inference_steps, **others}
        given = {n: to_host(v) for n, v in given.items() if v is not None}
        trained = self.native.num_train_timesteps
        try:
            # Of this schedule alone, where it is given.
            self.native.num_train_timesteps = given.get("num_train_timesteps", trained)
            self.native.set_timesteps(**{name: value for name, value in given.items() if name in known})
        finally:
            self.native.num_train_timesteps = trained
        self._set_flag("custom_timesteps", others.get("timesteps") is not None)
        self._restart()

    def step(self, model_output, timestep, sample, return_dict=True, **options):
        """Moves one step towards the clean sample."""
        self._schedule_training()
        given, sample = sample, as_floats(sample)
        if "is_scale_input_called" in self.facts["attributes"] and not self.is_scale_input_called:
            logger.warning("'scale_model_input' should be called before 'step', for the input of the model.")
        options = {OPTIONS.get(name, name): value for name, value in options.items()}
        options = {n: value for n, value in options.items() if n in self._options and value is not None}
        if "prev_timestep" in self._options:
            options.setdefault("prev_timestep", to_host(timestep) - 1)
        if "generator" in options:
            options["generator"] = self._source(options["generator"], sample.shape[0])
        if model_output.shape[1] == 2 * sample.shape[1]:
            model_output, variance = model_output.chunk(2, 1)
        else:
            variance = ops.zeros_like(sample) if np.all(np.equal(to_host(timestep), 0)) else None
        if isinstance(self.native, DDPMScheduler) and np.all(np.equal(to_host(timestep), 0)):
            options = {**options, "noise": sample, "generator": None}  # Nothing is drawn at timestep 0.
        if getattr(self.native, "learned", False):
            options["predicted_variance"] = variance  # No noise is added at timestep 0.
        if self.indexed:
            timestep = self._begin_step(timestep)
        outputs = self.native.step(model_output, sample, timestep, return_dict=True, **options)
        like = given if holds_integers(given) and self.native_class.__name__ in CUTS_STEPS else model_output
        results = {name: in_dtype(getattr(outputs, name), like) for name in self.facts["output"]}
        return StepOutput(results) if return_dict else tuple(results.values())

    @contextlib.contextmanager
    def unchanged_by_errors(self):
        """Surrounds a call: where it raises, the step index, the memories and the trajectory are as before it."""
        before = {name: copy.copy(value) if isinstance(value, dict) else value for name, value in vars(self).items()}
        native = self.__dict__.get("native")
        trajectory, seeded = copy.copy(getattr(native, "_trajectory", None)), getattr(native, "_seeded", None)
        try:
            yield
        except Exception:
            vars(self).clear()
            vars(self).update(before)
            if trajectory is not None:
                native._trajectory = trajectory
            native._seeded = seeded
            raise

    def _source(self, generator, batch):
        """Returns the source of noise that `generator` stands for; a seed goes on until `set_timesteps`."""
        source = noise_source(generator)
        name = named_generator(source), batch
        if self._seeded[0] != name:
            self._seeded = name, continuing(source, batch)
        return self._seeded[1]

    def _schedule_training(self):
        """Schedules all training timesteps where diffusers needs no call of `set_timesteps` for that."""
        if not self.native.scheduled and self.facts["steps_unscheduled"]:
            self.native.set_timesteps(self.native.num_train_timesteps)

    def _begin_step(self, timestep):
        """Takes the native scheduler to the next step of the trajectory, or begins one; returns its timestep."""
        if self.facts["refuses_integers"] and is_integer(timestep):
            raise ValueError(f"'timestep' is the integer {timestep}: pass one of scheduler.timesteps, no position.")
        index = self._index_at(timestep)
        if index >= len(self.native.timesteps):
            raise IndexError(
                f"The trajectory has {len(self.native.timesteps)} steps, all taken: set_timesteps begins it anew."
            )
        self._go_to(index)
        recall(self, index)
        self._step_index = index + 1
        return self.native.timesteps[index]

    def _go_to(self, row):
        """Takes the native scheduler to a row; what a trajectory remembers stays, also where the user has led it."""
        position, begin = self.native._trajectory.position, self.native._trajectory.begin
        if position is None:
            self.native.go_to(row)
        elif position != row:
            self._set_trajectory(position=row, begin=begin + row - position)
            self._known_from += row - position

    def __getattr__(self, name):
        if name in self.facts["attributes"] and "native" in self.__dict__:
            if name in self._replaced:
                return self._replaced[name]
            if hasattr(self.native, name):
                return self._hand_out(name, getattr(self.native, name))
            if name in ATTRIBUTES:
                return self._hand_out(name, ATTRIBUTES[name](self))
            if name in self.arguments:
                return self._hand_out(name, self._constructed[name])
        return super().__getattr__(name)


def is_integer(value):
    """Whether a timestep is an integer."""
    return value.dtype in (mstype.int32, mstype.int64) if isinstance(value, Tensor) else isinstance(value, Integral)
