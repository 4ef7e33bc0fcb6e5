"""Schedulers of diffusers whose trajectories have stages: those of Helios."""

import numpy as np
from mindspore import Tensor
from mindspore import dtype as mstype

from mindscience_diffuser.compat.integers import as_floats
from mindscience_diffuser.compat.internals import weighted_sum
from mindscience_diffuser.compat.outputs import in_dtype, result_of, to_host
from mindscience_diffuser.compat.scheduler import SchedulerMixin
from mindscience_diffuser.noise import flow_shift


def by_stage(name, text):
    """Returns a property: a dict of what a table of the native scheduler says of each stage."""

    def get(scheduler):
        rows = enumerate(getattr(scheduler.native, name))
        return {stage: Tensor(row, mstype.float32) if np.ndim(row) else float(row) for stage, row in rows}

    return property(get, doc=f"{text}, a dict by stage.")


class HeliosTables(SchedulerMixin):
    """The tables of the stages; before `set_timesteps` the schedule is that of training, of no stage."""

    has_tables = False

    start_sigmas = by_stage("start_sigmas", "Share of noise at the start")
    end_sigmas = by_stage("end_sigmas", "Share of noise at the end")
    ori_start_sigmas = by_stage("ori_start_sigmas", "Share of noise at the start, before renoising")
    timesteps_per_stage = by_stage("timesteps_per_stage", "Timesteps of training")
    sigmas_per_stage = by_stage("sigmas_per_stage", "Levels of training")

    @property
    def timestep_ratios(self):
        """Where each stage begins and ends as shares of all timesteps, a dict by stage."""
        ratios = self.native.timestep_ratios.tolist()
        ratios[-1][1] = 0.9999999999999999  # As in diffusers.
        return {stage: tuple(ends) for stage, ends in enumerate(ratios)}

    @property
    def _levels_of_training(self):
        return flow_shift(self.native.even_levels(), self.native.settings.shift)

    @property
    def timesteps(self):
        """Timesteps of the trajectory, before `set_timesteps` of training: a Tensor, float32."""
        trained = self._levels_of_training * self.native.num_train_timesteps
        return super().timesteps if self.native.scheduled else self._hand_out("timesteps", trained)

    @property
    def sigmas(self):
        """Levels of the trajectory and of its end, before `set_timesteps` of training: a Tensor, float32."""
        native = self.native
        return self._hand_out("sigmas", native.sigmas if native.scheduled else self._levels_of_training)

    @property
    def sigma_max(self):
        """The highest level of training."""
        return float(self._levels_of_training[0])

    @property
    def sigma_min(self):
        """The lowest level of training."""
        return float(self._levels_of_training[-1])

    @property
    def num_inference_steps(self):
        """Number of points of the grid, also of those that are left out; None before `set_timesteps`."""
        count = self.native.num_inference_steps
        return None if count is None else count + self.native.left_out

    def init_sigmas(self):
        """Returns to the schedule of training."""
        self._build(self._built_of)
        self._restart()

    def init_sigmas_for_each_stage(self):
        """Returns to the schedule of training, of which the tables of the stages are made."""
        self.init_sigmas()

    def reset_scheduler_history(self):
        """Begins the trajectory anew."""
        self._restart()


def nearest_levels(timestep, sigmas, timesteps):
    """Returns the level of the nearest of `timesteps` for each timestep, float64, ``(B,)``."""
    at, known = (np.ravel(to_host(value)).astype(np.float64) for value in (timestep, timesteps))
    return np.asarray(to_host(sigmas), np.float64)[np.abs(known - at[:, None]).argmin(axis=1)]


class HeliosDMD(HeliosTables):
    """HeliosDMDScheduler: every step is told the schedule, its place in it and the start of the stage."""

    last_sample = None
    """Not used, as in diffusers."""

    def add_noise(self, original_samples, noise, timestep, sigmas, timesteps):
        """Returns ``(1 - s) * original_samples + s * noise`` with the level s of the nearest of `timesteps`."""
        levels = nearest_levels(timestep, sigmas, timesteps)
        levels = levels.reshape((-1,) + (1,) * (noise.ndim - 1))
        return in_dtype(weighted_sum((1 - levels, original_samples), (levels, noise)), noise)

    def convert_flow_pred_to_x0(self, flow_pred, xt, timestep, sigmas, timesteps):
        """Returns ``xt - s * flow_pred`` with the level s of the nearest of `timesteps`."""
        levels = nearest_levels(timestep, sigmas, timesteps)
        levels = levels.reshape((-1,) + (1,) * (xt.ndim - 1))
        return in_dtype(weighted_sum((1.0, xt), (-levels, flow_pred)), flow_pred)

    def step(
        self,
        model_output,
        timestep=None,
        sample=None,
        generator=None,
        return_dict=True,
        cur_sampling_step=0,
        dmd_noisy_tensor=None,
        dmd_sigmas=None,
        dmd_timesteps=None,
        all_timesteps=None,
    ):
        """A step to the next of `all_timesteps`, from the end of the stage and its start `dmd_noisy_tensor`."""
        del generator  # Without effect, as in diffusers.
        schedule = {"sigmas": dmd_sigmas, "timesteps": dmd_timesteps}
        for name, value in {**schedule, "all_timesteps": all_timesteps, "sample": sample}.items():
            if value is None:
                raise TypeError(f"'{name}' of the schedule must be given to every step of {type(self).__name__}.")
        # As in diffusers, timesteps are cut to integers before the nearest one is looked up.
        prev_sample = self.convert_flow_pred_to_x0(
            model_output, as_floats(sample), np.full(sample.shape[0], int(to_host(timestep))), **schedule
        )
        coming = np.ravel(to_host(all_timesteps))[cur_sampling_step + 1 :]
        if coming.size:
            at = np.full(sample.shape[0], int(coming[0]))
            prev_sample = self.add_noise(prev_sample, dmd_noisy_tensor, at, **schedule)
        return result_of(return_dict, prev_sample=prev_sample)


class Helios(HeliosTables):
    """HeliosScheduler: a trajectory goes through the rows of a stage from the first one, whatever the timesteps."""

    def _index_of(self, timestep, schedule_timesteps=None):
        del timestep, schedule_timesteps
        return 0

    def index_for_timestep(self, timestep, schedule_timesteps=None):
        """Returns the index of a timestep; of equal ones the second."""
        return super()._index_of(timestep, schedule_timesteps)

    def _check_method(self):
        if not self.config.predict_x0 or self.config.prediction_type != "flow_prediction" or self.config.thresholding:
            raise ValueError(
                "Steps need predict_x0=True, prediction_type='flow_prediction' and thresholding=False, but the "
                f"configuration has {self.config.predict_x0}, {self.config.prediction_type!r} and "
                f"{self.config.thresholding}."
            )

    def step(self, model_output, timestep=None, sample=None, generator=None, return_dict=True):
        """The next step of the stage."""
        del timestep, generator  # Without effect, as in diffusers.
        self._check_method()
        self.native.check_scheduled()
        moved = self.native.step(model_output, as_floats(sample), self._begin_step(0.0))
        return result_of(return_dict, prev_sample=in_dtype(moved, model_output))

    def step_euler(
        self, model_output, timestep=None, sample=None, generator=None, sigma=None, sigma_next=None, return_dict=True
    ):
        """Euler's step of the present row, or between two levels that are given."""
        del timestep, generator
        if (sigma is None) != (sigma_next is None):
            raise ValueError("'sigma' and 'sigma_next' must both be given, or neither.")
        row = self._index_at(None)
        given = [float(to_host(level)) for level in (sigma, sigma_next) if level is not None]
        start, end = given or self.native.sigmas[row : row + 2]
        self._step_index = row + 1
        prev_sample = weighted_sum((1.0, as_floats(sample)), (end - start, model_output))
        return result_of(return_dict, prev_sample=in_dtype(prev_sample, model_output))

    def step_unipc(self, model_output, timestep=None, sample=None, return_dict=True, **given):
        """The next step of the stage; a state of its own cannot be given, see docs_cn/deviations.md."""
        named = [name for name, value in given.items() if value is not None]
        if named:
            raise ValueError(f"'{named[0]}' cannot be given: the trajectory of the scheduler keeps it.")
        return self.step(model_output, timestep, sample, return_dict=return_dict)

    def convert_model_output(self, model_output, sample=None, sigma=None):
        """Returns the end of the stage that is predicted at the present row, or at the level `sigma`."""
        self._check_method()
        level = self.native.sigmas[self._present_row()] if sigma is None else float(to_host(sigma))
        return weighted_sum((1.0, sample), (-level, model_output))

    def multistep_uni_p_bh_update(self, model_output, sample=None, order=None, sigma=None, sigma_next=None):
        """One step of the predictor from the present row, with the remembered predictions alone."""
        self._refuse_levels(sigma, sigma_next)
        return super().multistep_uni_p_bh_update(model_output, sample, order)

    def multistep_uni_c_bh_update(
        self, this_model_output, last_sample=None, this_sample=None, order=None, sigma_before=None, sigma=None
    ):
        """The last step again with the prediction at its end, `this_model_output`, which is converted already."""
        self._refuse_levels(sigma_before, sigma)
        return super().multistep_uni_c_bh_update(this_model_output, last_sample, this_sample, order)

    @staticmethod
    def _refuse_levels(*levels):
        if any(level is not None for level in levels):
            raise ValueError("Levels cannot be given: the trajectory of the scheduler keeps them.")
