"""Drop-in schedulers: diffusers' conventions over the native ones, built from the list of what diffusers offers."""

import inspect
from collections import OrderedDict

import numpy as np
from mindspore import Tensor
from mindspore import dtype as mstype

import mindscience_diffuser
from mindscience_diffuser.compat.config import DEFAULTED, ConfigMixin
from mindscience_diffuser.compat.description import REQUIRED, arguments_of, described, signature_of
from mindscience_diffuser.noise import BETA_SCHEDULES, rescale_zero_terminal_snr
from mindscience_diffuser.schedulers.indexed import IndexedScheduler
from mindscience_diffuser.schedulers.solver import LOWEST_ALPHA_BAR

DTYPES = {"f": mstype.float32, "i": mstype.int64}


class StepOutput(OrderedDict):
    """What a step returns with ``return_dict=True``: by attribute, by key and by position."""

    def __getattr__(self, name):
        if name in self:
            return self[name]
        raise AttributeError(f"A step has no {name!r}; it has {', '.join(self)}.")

    def __getitem__(self, key):
        return super().__getitem__(key) if isinstance(key, str) else self.to_tuple()[key]

    def to_tuple(self):
        """Returns the values in their order."""
        return tuple(self.values())


class DropInScheduler(ConfigMixin):
    """A native scheduler behind diffusers' conventions.

    ``step(model_output, timestep, sample, ...)`` takes tensors of float32 or float16 and returns them in the dtype of
    `model_output`, computed in float32. Steps are counted: the first one is found by its timestep, or is that of
    :meth:`set_begin_index`; the following ones go on from there, whatever their timestep.

    Attributes:
        native (Scheduler): The scheduler that does the work, for a `Sampler` or a graph.
    """

    native_class = None
    facts = {}

    def _construct(self, given):
        values = {name: given.get(name, default) for name, default in self.arguments.items()}
        defaulted = [name for name in values if name not in given]
        self.register_to_config(**({DEFAULTED: defaulted} if defaulted else {}), **values)
        self.native = self.native_class(**_native_arguments(self.native_class, values))
        self.is_scale_input_called = False
        self._restart()
        if self.facts["scheduled_at_first"]:
            self.native.set_timesteps(self.native.num_train_timesteps)

    def _restart(self):
        self._step_index = None
        self._begin_index = None
        if isinstance(self.native, IndexedScheduler):
            self.native.restart()

    def __len__(self):
        return self.config.num_train_timesteps

    @property
    def timesteps(self):
        """Timesteps of the trajectory: a Tensor, int64 or float32."""
        return _tensor(np.asarray(self.native.timesteps))

    @property
    def num_inference_steps(self):
        """Number of steps, None before `set_timesteps`."""
        return self.native.num_inference_steps

    @property
    def init_noise_sigma(self):
        """Standard deviation of the noise that a trajectory starts from: a Tensor where it follows the levels."""
        sigma = self.native.init_noise_sigma
        return Tensor(sigma, mstype.float32) if getattr(self.native, "scaled", False) else sigma

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
        schedule = np.asarray(_host(self.native.timesteps if schedule_timesteps is None else schedule_timesteps))
        found = np.flatnonzero(schedule == np.asarray(_host(timestep)).astype(schedule.dtype))
        if found.size == 0 and self.facts["finds_unknown_timesteps"]:
            return len(schedule) - 1
        if found.size == 0:
            raise ValueError(f"'timestep' must be one of scheduler.timesteps, but is {timestep}.")
        return int(found[1 if found.size > 1 else 0])

    def previous_timestep(self, timestep):
        """Returns the timestep that follows `timestep` in the trajectory, -1 after the last one."""
        schedule = np.asarray(self.native.timesteps)
        found = np.flatnonzero(schedule == np.asarray(_host(timestep)).astype(schedule.dtype))
        if found.size == 0:
            return timestep - self.native.num_train_timesteps // len(schedule)
        following = schedule[found[0] + 1] if found[0] + 1 < len(schedule) else -1
        return _tensor(np.asarray(following, schedule.dtype))

    def _index_at(self, timestep):
        if self._step_index is None:
            self._step_index = self.index_for_timestep(timestep) if self._begin_index is None else self._begin_index
        return self._step_index

    def scale_model_input(self, sample, timestep=None):
        """Returns what the model is given for `sample`."""
        self.is_scale_input_called = True
        if not isinstance(self.native, IndexedScheduler) or self.native.input_scaling is None:
            return sample
        index = self._index_at(timestep)
        return self.native.input_scaling.run(index, (sample, sample))[0].astype(sample.dtype)

    def add_noise(self, original_samples, noise, timesteps):
        """Returns `original_samples` with noise of the level of each timestep, shape ``(B,)``."""
        return self.native.add_noise(original_samples, noise, timesteps).astype(original_samples.dtype)

    def get_velocity(self, sample, noise, timesteps):
        """Returns the velocity of `sample` and `noise` at each timestep, shape ``(B,)``."""
        return self.native.get_velocity(sample, noise, timesteps).astype(sample.dtype)

    def scale_noise(self, sample, timestep, noise):
        """Returns `sample` with noise of the level of each timestep, shape ``(B,)``."""
        return self.native.scale_noise(sample, timestep, noise).astype(sample.dtype)

    def set_timesteps(self, num_inference_steps=None, device=None, **others):
        """Chooses the timesteps of the following trajectory; `device` has no meaning here."""
        known = inspect.signature(self.native.set_timesteps).parameters
        given = {"num_inference_steps": num_inference_steps, **others}
        self.native.set_timesteps(**{n: _host(v) for n, v in given.items() if v is not None and n in known})
        self._restart()

    def step(self, model_output, timestep, sample, return_dict=True, **options):
        """Moves one step towards the clean sample."""
        if not self.native.scheduled and self.facts["steps_unscheduled"]:
            self.native.set_timesteps(self.native.num_train_timesteps)
        known = {*inspect.signature(self.native.step).parameters, *getattr(self.native, "step_options", ())}
        options = {OPTIONS.get(name, name): value for name, value in options.items()}
        options = {name: value for name, value in options.items() if name in known}
        if isinstance(self.native, IndexedScheduler):
            index = self._index_at(timestep)
            if index >= len(self.native.timesteps):
                raise IndexError(
                    f"The trajectory has {len(self.native.timesteps)} steps, all taken: set_timesteps begins it anew."
                )
            self.native.go_to(index)
            timestep = self.native.timesteps[index]
            self._step_index = index + 1
        outputs = self.native.step(model_output, sample, _host(timestep), return_dict=True, **options)
        results = {name: getattr(outputs, name).astype(model_output.dtype) for name in self.facts["output"]}
        return StepOutput(results) if return_dict else tuple(results.values())

    def __getattr__(self, name):
        if name in self.facts.get("attributes", ()) and "native" in self.__dict__:
            value = DERIVED[name](self.native) if name in DERIVED else getattr(self.native, name, None)
            return _tensor(value) if isinstance(value, np.ndarray) else value
        return super().__getattr__(name)


OPTIONS = {"variance_noise": "noise"}
"""Native names of options that diffusers calls otherwise."""

DERIVED = {
    "alphas": lambda native: 1 - native.betas,
    "final_alpha_cumprod": lambda native: _alpha_bar(native)[:1] if not native.config.set_alpha_to_one else np.ones(1),
    "one": lambda native: np.ones(()),
    "alpha_t": lambda native: np.sqrt(_alpha_bar(native)),
    "sigma_t": lambda native: np.sqrt(1 - _alpha_bar(native)),
    "lambda_t": lambda native: np.log(_alpha_bar(native) / (1 - _alpha_bar(native))) / 2,
}
"""Attributes that the native scheduler does not keep."""


def drop_in(name):
    """Returns the drop-in class of this name."""
    facts = described()[name]
    members = {
        "__doc__": f"{name} with the conventions of diffusers, see :class:`DropInScheduler`.",
        "__module__": "mindscience_diffuser.compat",
        "__init__": _method("__init__", facts["arguments"], lambda self, **given: self._construct(given)),
        "native_class": getattr(mindscience_diffuser, name),
        "facts": facts,
        "arguments": arguments_of(name),
        "order": facts["order"],
        "_compatibles": facts["compatibles"],
    }
    for method, parameters in facts["methods"].items():
        implementation = getattr(DropInScheduler, method, None) or _delegate(method)
        members[method] = _method(method, parameters, implementation)
    return type(name, (DropInScheduler,), members)


def _method(name, parameters, implementation):
    """Returns a method with these parameters that passes them on by name."""
    signature = signature_of(parameters)

    def method(self, *args, **kwargs):
        given = dict(signature.bind(self, *args, **kwargs).arguments)
        return implementation(**given)

    method.__name__, method.__signature__, method.__doc__ = name, signature, implementation.__doc__
    return method


def _delegate(name):
    """Returns a method that calls the native one, with and for Tensors."""

    def delegate(self, **given):
        return _tensor(getattr(self.native, name)(**given))

    return delegate


def _native_arguments(native_class, values):
    """Returns what the native constructor takes of diffusers' arguments, with betas that leave a signal everywhere.

    diffusers accepts betas of 1 and more, and a noise prediction where the last timestep is pure noise; it returns NaN
    there. Here alpha_bar stays above ``LOWEST_ALPHA_BAR``.
    """
    known = inspect.signature(native_class.__init__).parameters
    values = {name: value for name, value in values.items() if name in known and value is not REQUIRED}
    betas = values.get("trained_betas")
    highest = max(values.get("beta_start") or 0, values.get("beta_end") or 0)
    noise_at_zero_snr = values.get("rescale_betas_zero_snr") and values.get("prediction_type") == "epsilon"
    if betas is None and (highest >= 1 or noise_at_zero_snr):
        schedule = BETA_SCHEDULES[values["beta_schedule"]]
        betas = schedule(values["num_train_timesteps"], values["beta_start"], values["beta_end"])
        values.update(beta_start=0.5, beta_end=0.5)  # Not used beside given betas.
    if betas is not None:
        betas = np.minimum(np.asarray(_host(betas), np.float64), 1.0)
        if noise_at_zero_snr:
            betas = rescale_zero_terminal_snr(betas)
            values["rescale_betas_zero_snr"] = False
        alpha_bar = np.maximum(np.cumprod(1 - betas), LOWEST_ALPHA_BAR)
        alpha_bar *= 1 - 1e-9 * np.arange(len(betas))  # Strictly falling where it is held.
        betas = 1 - alpha_bar / np.append(1.0, alpha_bar[:-1])
        values.update(trained_betas=betas, num_train_timesteps=len(betas))
    return values


def _alpha_bar(native):
    return np.asarray(_host(native.alphas_cumprod), np.float64)


def _host(value):
    """Returns a Tensor as an array, anything else as it is."""
    return value.asnumpy() if isinstance(value, Tensor) else value


def _tensor(value):
    """Returns an array as a Tensor of int64 or float32, anything else as it is."""
    return Tensor(value, DTYPES[value.dtype.kind]) if isinstance(value, np.ndarray) else value
