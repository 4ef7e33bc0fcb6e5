"""Schedulers of diffusers that follow the sampler of one release, and have no schedule before `set_timesteps`."""

from mindscience_diffuser.compat.integers import as_floats
from mindscience_diffuser.compat.outputs import in_dtype, result_of
from mindscience_diffuser.compat.scheduler import SchedulerMixin, is_integer


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
