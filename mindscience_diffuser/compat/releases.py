"""Schedulers of diffusers that follow the sampler of one release, and have no schedule before `set_timesteps`."""

import numpy as np
from mindspore import Tensor

from mindscience_diffuser.compat.integers import as_floats
from mindscience_diffuser.compat.outputs import in_dtype, result_of, to_host
from mindscience_diffuser.compat.scheduler import SchedulerMixin, is_integer
from mindscience_diffuser.guidance.grid_policy import mean_velocity


class Unscheduled(SchedulerMixin):
    """Base of classes whose timesteps and levels are None before `set_timesteps`, and cannot be written."""

    has_tables = False

    @property
    def timesteps(self):
        """The timesteps of the trajectory: a Tensor, float32; None before `set_timesteps`."""
        return super().timesteps if self.native.scheduled else None

    @property
    def sigmas(self):
        """The levels of the trajectory and of its end: a Tensor, float32; None before `set_timesteps`."""
        return self._hand_out("sigmas", self.native.sigmas) if self.native.scheduled else None


class LTXEulerAncestralRF(Unscheduled):
    """LTXEulerAncestralRFScheduler: levels may be given with their end, whose timestep is then one of the schedule."""

    steps_in_graph = True

    def _native_values(self):
        # As in diffusers, the levels are those of the flow whose configuration was handed over.
        carried = {name: value for name, value in self.config.items() if name in self.native_class.arguments}
        return {**carried, **super()._native_values()}

    def _index_of(self, timestep, schedule_timesteps=None):
        return super()._index_of(timestep, self.timesteps if schedule_timesteps is None else schedule_timesteps)

    def step(self, model_output, timestep, sample, generator=None, return_dict=True):
        """A step to the next level; at the end of the schedule the sample stays as it is."""
        self.native.check_scheduled()
        if not is_integer(timestep) and self._index_at(timestep) >= len(self.native.timesteps):
            return result_of(return_dict, prev_sample=sample)
        moved = super().step(model_output, timestep, sample, generator=generator)
        return result_of(return_dict, prev_sample=in_dtype(moved.prev_sample, as_floats(sample)))


class MiniMaxH3(Unscheduled):
    """MiniMaxH3Scheduler: a step returns the dtype of its sample."""

    steps_in_graph = True

    def step(self, model_output, timestep, sample, return_dict=True):
        """A step to the next time."""
        self.native.check_scheduled()
        moved = super().step(model_output, timestep, sample)
        return result_of(return_dict, prev_sample=in_dtype(moved.prev_sample, as_floats(sample)))


class Piflow(SchedulerMixin):
    """PiflowScheduler: a step takes the predictions of the whole grid, and there is nothing but its own schedule."""

    has_tables = False

    @property
    def timesteps(self):
        """The timesteps of the trajectory: a Tensor, float32; empty before `set_timesteps`."""
        return super().timesteps if self.native.scheduled else Tensor(np.zeros(0, np.float32))

    @property
    def sigmas(self):
        """The levels of the trajectory, and 0: a Tensor, float32; empty before `set_timesteps`."""
        levels = np.append(self.native.sigmas[:-1], 0.0) if self.native.scheduled else np.zeros(0)
        return self._hand_out("sigmas", levels)

    def set_timesteps(self, num_inference_steps=None, device=None, sigmas=None, mu=None, timesteps=None):
        """Chooses the segments of the following trajectory; `sigmas`, `mu` and `timesteps` are refused."""
        for name, value in {"sigmas": sigmas, "mu": mu, "timesteps": timesteps}.items():
            if value is not None:
                raise ValueError(f"'{name}' is given, but the schedule is that of the distillation: leave it out.")
        if num_inference_steps is None:
            raise ValueError("'num_inference_steps' must be at least 1, but is None.")
        super().set_timesteps(num_inference_steps)

    def step(self, model_output, timestep, sample, return_dict=True):
        """A step through a whole segment, from predictions ``(B, ..., n_grid * C)`` for a sample ``(B, ..., C)``."""
        if not is_integer(timestep) and self._index_at(timestep) >= len(self.native.timesteps):
            raise RuntimeError(f"The trajectory has {len(self.native.timesteps)} steps, all taken: call set_timesteps.")
        self._begin_step(timestep)
        row = self._step_index - 1
        weights = Tensor(self.native.told[row : row + 1, 1:])
        velocity = mean_velocity(as_floats(model_output), weights, sample)
        moved = self.native.step(velocity, as_floats(sample), self.native.timesteps[row])
        return result_of(return_dict, prev_sample=in_dtype(moved, as_floats(sample)))


class ConsistencyDecoder(SchedulerMixin):
    """ConsistencyDecoderScheduler: the timestep alone tells a step, and its scalings are tables of training."""

    has_tables = False
    steps_in_graph = True

    def _index_at(self, timestep):
        self._step_index = self._index_of(timestep)
        return self._step_index

    @property
    def sqrt_alphas_cumprod(self):
        """Weight of the clean sample at each training timestep: a Tensor, float32."""
        return self._of_training("sqrt_alphas_cumprod", lambda alpha, sigma: alpha)

    @property
    def sqrt_one_minus_alphas_cumprod(self):
        """Weight of the noise at each training timestep: a Tensor, float32."""
        return self._of_training("sqrt_one_minus_alphas_cumprod", lambda alpha, sigma: sigma)

    @property
    def c_in(self):
        """Factor of the sample in what the model is given at each training timestep: a Tensor, float32."""
        return self._of_training("c_in", lambda *level: self.native.scalings(*level)[0])

    @property
    def c_skip(self):
        """Weight of the sample in the clean one at each training timestep: a Tensor, float32."""
        return self._of_training("c_skip", lambda *level: self.native.scalings(*level)[1])

    @property
    def c_out(self):
        """Weight of the output in the clean sample at each training timestep: a Tensor, float32."""
        return self._of_training("c_out", lambda *level: self.native.scalings(*level)[2])

    def _of_training(self, name, table):
        alpha_bar = self.native.alphas_cumprod
        return self._hand_out(name, table(np.sqrt(alpha_bar), np.sqrt(1 - alpha_bar)))

    @property
    def init_noise_sigma(self):
        """Standard deviation of the noise that a trajectory starts from: a Tensor, absent before `set_timesteps`."""
        if not self.native.scheduled:
            raise AttributeError
        return self._hand_out("init_noise_sigma", np.asarray(self.native.init_noise_sigma))

    def __getattr__(self, name):
        if name == "init_noise_sigma":
            raise AttributeError("'init_noise_sigma' is that of the first timestep: call 'set_timesteps' first.")
        return super().__getattr__(name)

    def scale_model_input(self, sample, timestep=None):
        """Returns what the model is given for `sample` at any training timestep, or at each of several."""
        scale = self.c_in[Tensor(np.asarray(to_host(timestep)))]
        return in_dtype(sample * scale, as_floats(sample))
