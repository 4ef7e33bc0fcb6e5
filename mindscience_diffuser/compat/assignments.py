"""What a user writes into a drop-in scheduler after it was built: obeyed at the next call, or refused.

diffusers' methods read their scheduler's attributes and configuration at every call. Here both have gone into tables.
So before every call the configuration, and what was handed out, are compared with what the tables were made of; where
they differ, the tables are built anew and the trajectory goes on.
"""

from typing import Any, NamedTuple

import numpy as np
from mindspore import Tensor

from mindscience_diffuser.compat.outputs import to_host, to_tensor
from mindscience_diffuser.schedulers.sigma.dpmsolver_sde import DPMSolverSDEScheduler
from mindscience_diffuser.schedulers.sigma.kdpm2_discrete import KDPM2AncestralDiscreteScheduler, KDPM2DiscreteScheduler

CARRIED = ("sigma_min", "sigma_max")
"""Arguments that some classes read from their configuration although their constructor does not take them."""

STATE = (
    *("num_inference_steps", "scheduled", "timesteps", "num_timesteps", "sigmas", "times", "_levels", "_steps"),
    *("prk_timesteps", "plms_timesteps", "sigma_min", "sigma_max", "_seeds"),
)
"""What a native scheduler keeps of its schedule and draws, and hands on to one of another configuration."""

REMEMBERED = ("last_sample", "last_noise")
"""Attributes that are remembered tensors of the plan under the same name."""


class HandedOut(NamedTuple):
    """A value of an attribute that a user may write into."""

    source: Any
    shown: Any
    copy: Any

    @property
    def written(self):
        """Whether the user has written into it."""
        if isinstance(self.shown, list):
            return not same_items(self.shown, self.copy)
        return not np.array_equal(self.shown.asnumpy(), self.copy, equal_nan=True)


def same_items(one, other):
    """Whether two lists hold the same objects."""
    return len(one) == len(other) and all(a is b for a, b in zip(one, other))


class Assignments:
    """Attributes and configuration of a drop-in scheduler, as a user may write them; a part of `SchedulerMixin`."""

    has_tables = True
    """Whether the schedule is made of arrays that can be written one by one."""

    def __setattr__(self, name, value):
        own = vars(self)
        if "native" not in own or name in own or name not in self.facts["attributes"] or self._has_setter(name):
            super().__setattr__(name, value)
        elif name in self.facts["read_only"]:
            raise AttributeError(
                f"'{name}' of {type(self).__name__} cannot be set; diffusers does not allow it either."
            )
        elif name not in self.facts["reads"]:
            self._written[name] = value
        elif name in WRITERS and self.has_tables and hasattr(self, name):
            WRITERS[name](self, name, value)
            self._handed_out.pop(name, None)
        else:
            raise AttributeError(
                f"'{name}' of {type(self).__name__} cannot be set: it follows from the schedule and the configuration. "
                "Change these by set_timesteps and register_to_config, or build another scheduler by from_config."
            )

    def _has_setter(self, name):
        descriptor = getattr(type(self), name, None)
        return isinstance(descriptor, property) and descriptor.fset is not None

    def _hand_out(self, name, value):
        """Returns what the user sees of a value: the same object as long as the value is, so that writing lasts."""
        value = self._written.get(name, value)
        known = self._handed_out.get(name)
        if known is not None and (known.source is value or _equal(known.source, value)):
            return known.shown
        shown = value if isinstance(value, list) else to_tensor(value)
        if name in self.facts["reads"] and isinstance(shown, (list, Tensor)):
            copy = list(shown) if isinstance(shown, list) else shown.asnumpy().copy()
            source = copy if isinstance(shown, list) else value
            self._handed_out[name] = HandedOut(source, shown, copy)
        return shown

    def _follow(self):
        """Brings the tables up to date with what the user has written since the last call."""
        if self.config is not self._followed_config:
            self._followed_config = self.config
            if self._native_values() != self._built_of:
                self._rebuild()
        for name, handed in list(self._handed_out.items()):
            if handed.written:
                setattr(self, name, handed.shown)

    def _native_values(self):
        """Returns the arguments of the native scheduler: those that are read later from the present configuration."""
        later, config = self.facts["config_reads"], self.config
        values = {name: config[name] if name in later else value for name, value in self._constructed.items()}
        carried = {name: config[name] for name in CARRIED if name in later and config.get(name) is not None}
        return {**values, **carried, **self._replaced}

    def _rebuild(self):
        """Builds the native scheduler anew; the schedule and the trajectory stay."""
        old, memory = self.native, self._memory()
        self._build(self._native_values())
        new = self.native
        if not old.scheduled:
            return
        vars(new).update({name: value for name, value in vars(old).items() if name in STATE})
        for name in ("alphas_cumprod", "final_alpha_cumprod", "initial_alpha_cumprod"):
            if name in self._written:
                WRITERS[name](self, name, self._written[name])
        self._retable()
        self._remember(old, memory)

    def _memory(self):
        """Returns what the trajectory remembers, by the names of the plan."""
        if not (self.indexed and self.native.plan and self.native._trajectory.history):
            return {}
        return dict(zip(list(self.native.plan.states)[1:], self.native._trajectory.history))

    def _remember(self, old, memory):
        """Goes on with the trajectory of `old`, whose `memory` may have other names."""
        if not self.indexed:
            return
        self.native._trajectory = old._trajectory
        names = list(self.native.plan.states)[1:]
        if memory and names != list(memory):
            blank = next(iter(memory.values())) * 0
            self._set_trajectory(history=tuple(memory.get(name, blank) for name in names))

    def _set_trajectory(self, **changed):
        """Changes where the trajectory stands."""
        trajectory = self.native._trajectory
        for name, value in changed.items():
            setattr(trajectory, name, value)

    def _retable(self):
        """Builds the tables of the present timesteps and levels; the trajectory goes on.

        As in diffusers, timesteps and levels may differ in number: step i leads from level i to level i + 1.
        """
        native = self.native
        timesteps = self._written.get("timesteps", native.timesteps)
        sigmas = self._written.get("sigmas")
        count = len(timesteps) if sigmas is None else min(len(timesteps), len(sigmas) - 1)
        if sigmas is not None:
            native.sigmas = sigmas[: count + 1]
        if "_levels" in vars(native):
            count = min(count, len(native._levels[0]) - 1)
            native._levels = tuple(level[: count + 1] for level in native._levels)
        native.timesteps = np.asarray(timesteps)[:count].astype(native.timesteps.dtype)
        trajectory = native._trajectory if self.indexed else None
        native.replan()
        if self.indexed:
            native._trajectory = trajectory


def _equal(one, other):
    if isinstance(one, list):
        return isinstance(other, list) and same_items(one, other)
    return isinstance(one, np.ndarray) and isinstance(other, np.ndarray) and np.array_equal(one, other, equal_nan=True)


def _merged(scheduler, name, value, present):
    """Returns an array in double precision: of `value`, but `present` where both are equal in single precision."""
    value = np.asarray(to_host(value))
    present = np.asarray(present)
    if value.shape != present.shape:
        return value.astype(present.dtype)
    kept = value.astype(np.float32) == present.astype(np.float32)
    return np.where(kept, present, value).astype(present.dtype)


def _write_timesteps(scheduler, name, value):
    native = scheduler.native
    if scheduler.indexed and "times" in vars(native):
        trajectory = native._trajectory
        native._take(np.asarray(to_host(value), np.float64))
        native._trajectory = trajectory
        return
    if isinstance(vars(native).get("sigmas"), np.ndarray):
        scheduler._written.setdefault("sigmas", native.sigmas)
    scheduler._written[name] = np.asarray(to_host(value))
    scheduler._retable()


def _write_sigmas(scheduler, name, value):
    native = scheduler.native
    if isinstance(native, (DPMSolverSDEScheduler, KDPM2AncestralDiscreteScheduler, KDPM2DiscreteScheduler)):
        raise AttributeError(
            f"'sigmas' of {type(scheduler).__name__} cannot be set: its calls are at levels between them too. Give "
            "the levels of the configuration by register_to_config(sigma_min=..., sigma_max=...) and set_timesteps."
        )
    scheduler._written[name] = _merged(scheduler, name, value, scheduler._written.get(name, native.sigmas))
    scheduler._retable()


def _write_count(scheduler, name, value):
    scheduler.native.num_inference_steps = value
    scheduler.native.scheduled = value is not None
    if value is not None and hasattr(scheduler.native, "following"):
        scheduler._retable()


def _write_alphas_cumprod(scheduler, name, value):
    native = scheduler.native
    present = scheduler._written.get(name, native._alphas**2 if hasattr(native, "_alphas") else native.alphas_cumprod)
    scheduler._written[name] = alpha_bar = _merged(scheduler, name, value, present)
    native.replace_alphas_cumprod(alpha_bar)
    if native.scheduled and hasattr(native, "_alphas"):
        scheduler._retable()


def _write_end(scheduler, name, value):
    scheduler._written[name] = alpha_bar = np.asarray(to_host(value), np.float64)
    scheduler.native.end_level = float(np.sqrt(alpha_bar)), float(np.sqrt(1 - alpha_bar))
    if scheduler.native.scheduled:
        scheduler._retable()


def _write_argument(scheduler, name, value):
    scheduler._replaced[name] = value
    scheduler._rebuild()


def _write_range(scheduler, name, value):
    setattr(scheduler.native, name, float(to_host(value)))


def _write_order(scheduler, name, value):
    position = scheduler.native._trajectory.position
    if position is None:
        scheduler._past_count = value
    else:
        scheduler._set_trajectory(begin=position - value)


def _write_memory(scheduler, name, value):
    memory = scheduler._memory()
    if name not in memory:
        raise AttributeError(f"'{name}' cannot be set before the first step of a trajectory.")
    scheduler._set_trajectory(history=tuple({**memory, name: value}.values()))


WRITERS = {
    "timesteps": _write_timesteps,
    "sigmas": _write_sigmas,
    "num_inference_steps": _write_count,
    "alphas_cumprod": _write_alphas_cumprod,
    "final_alpha_cumprod": _write_end,
    "initial_alpha_cumprod": _write_end,
    "lower_order_nums": _write_order,
    "sigma_min": _write_range,
    "sigma_max": _write_range,
    **dict.fromkeys(REMEMBERED, _write_memory),
    **dict.fromkeys(
        ("disable_corrector", "eta", "noise_sampler_seed", "predict_x0", "s", "scaler", "solver_p", "tau_func"),
        _write_argument,
    ),
}
"""What obeys the assignment of an attribute that diffusers' methods read."""
