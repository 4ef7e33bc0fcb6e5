"""Schedulers of diffusers with methods in place of `step`: those of score-based models and of Karras et al."""

import logging
from dataclasses import replace
from numbers import Integral

import numpy as np
from mindspore import Tensor
from mindspore import dtype as mstype

from mindscience_diffuser.compat.integers import as_floats
from mindscience_diffuser.compat.internals import weighted_sum
from mindscience_diffuser.compat.native import build_native
from mindscience_diffuser.compat.outputs import in_dtype, noise_source, result_of, to_host
from mindscience_diffuser.compat.releases import ConsistencyDecoder, LTXEulerAncestralRF, MiniMaxH3, Piflow
from mindscience_diffuser.compat.scheduler import SchedulerMixin
from mindscience_diffuser.compat.stages import Helios, HeliosDMD
from mindscience_diffuser.noise import churn, draw_noise, flow_shift
from mindscience_diffuser.step import EagerPlan

logger = logging.getLogger(__name__)


class ScoreSde(SchedulerMixin):
    """Base of the SDEs in continuous time: ``timesteps`` are times from 1 to `sampling_eps`, a row of the plan each."""

    has_tables = False

    @property
    def times(self):
        """The times, float64, ``(n,)``."""
        native = self.native
        return np.linspace(1, native.settings.sampling_eps, len(native.timesteps) // native.order)

    @property
    def timesteps(self):
        """The times of the trajectory: a Tensor, float32; None before `set_timesteps`."""
        return Tensor(self.times, mstype.float32) if self.native.scheduled else None

    def _rebuilt(self, num_inference_steps, **changed):
        """Schedules so many steps, with arguments in place of those of the constructor where they are given."""
        changed = {name: value for name, value in changed.items() if value is not None}
        if changed:
            self.native = build_native(self.native_class, {**self.native.settings, **changed})
        self.native.set_timesteps(num_inference_steps)
        self._seeded = None, None
        self._written.pop("sigmas", None)

    def _move(self, row, model_output, sample, generator):
        """Returns what the step of a row gives: the sample with its noise, and its mean."""
        self.native.check_scheduled()
        self.native.go_to(row)
        outputs = self.native.step(
            model_output,
            as_floats(sample),
            self.native.timesteps[row],
            generator=self._source(generator, sample.shape[0]),
            return_dict=True,
            denoise=False,
        )
        return outputs.prev_sample, outputs.prev_sample_mean


class ScoreSdeVe(ScoreSde):
    """ScoreSdeVeScheduler: predictor and corrector by themselves."""

    def _construct(self, given):
        super()._construct(given)
        self.native.set_timesteps(self.native.num_train_timesteps)

    def set_timesteps(self, num_inference_steps, sampling_eps=None, device=None):
        """Chooses the times of the following trajectory, and its levels, of which there are as many."""
        self._rebuilt(num_inference_steps, sampling_eps=sampling_eps)

    def set_sigmas(self, num_inference_steps, sigma_min=None, sigma_max=None, sampling_eps=None):
        """Chooses the levels of the following trajectory, and its times, of which there are as many."""
        self._rebuilt(num_inference_steps, sigma_min=sigma_min, sigma_max=sigma_max, sampling_eps=sampling_eps)

    @property
    def sigmas(self):
        """What the model is told at each time: a Tensor, float32."""
        return self._hand_out("sigmas", self.native.timesteps[:: self.native.order])

    @property
    def discrete_sigmas(self):
        """The levels of the steps, ascending: a Tensor, float32."""
        return Tensor(self.native.sigmas[:-1][:: self.native.order][::-1].astype(np.float32))

    def get_adjacent_sigma(self, timesteps, t):
        """Returns the level below that of each index, 0 below the lowest; `t` has no effect."""
        levels = np.append(0.0, self.discrete_sigmas.asnumpy())
        return Tensor(levels[np.asarray(to_host(timesteps))], mstype.float32)

    def _level_index(self, timestep):
        """Returns the index of the level of a time; it is the same for all samples, and cut in single precision."""
        return int(np.float32(np.ravel(to_host(timestep))[0]) * np.float32(len(self.times) - 1))

    def step_pred(self, model_output, timestep, sample, generator=None, return_dict=True):
        """The predictor: from the level of the time `timestep` to the one below it, with fresh noise."""
        row = (len(self.times) - self._level_index(timestep)) * self.native.order - 1
        prev_sample, mean = self._move(row, model_output, sample, generator)
        return result_of(return_dict, prev_sample=prev_sample, prev_sample_mean=mean)

    def step_correct(self, model_output, sample, generator=None, return_dict=True):
        """The corrector, a step of Langevin dynamics, which is the same at every level."""
        return result_of(return_dict, prev_sample=self._move(0, model_output, sample, generator)[0])

    def add_noise(self, original_samples, noise=None, timesteps=None):
        """Returns `original_samples` with noise of the level of each index in `timesteps`, ``(B,)``."""
        noise = Tensor(draw_noise(original_samples.shape)) if noise is None else noise
        sigmas = self.discrete_sigmas.asnumpy()[np.asarray(to_host(timesteps))]
        return original_samples + Tensor(sigmas.reshape((-1,) + (1,) * (original_samples.ndim - 1))) * noise


class ScoreSdeVp(ScoreSde):
    """ScoreSdeVpScheduler: the predictor by itself."""

    discrete_sigmas = sigmas = None

    def set_timesteps(self, num_inference_steps, device=None):
        """Chooses the times of the following trajectory."""
        self._rebuilt(num_inference_steps)

    def step_pred(self, score, x, t, generator=None):
        """A step from the time `t`, one of ``timesteps``; returns the next sample and its mean."""
        row = int(np.abs(self.times - float(np.ravel(to_host(t))[0])).argmin())
        return self._move(row, score, x, generator)


class KarrasVe(SchedulerMixin):
    """KarrasVeScheduler: churn, Euler's step and Heun's correction by themselves, between levels that are given."""

    has_tables = False

    @property
    def timesteps(self):
        """Indices of ``schedule``, descending: a Tensor, int64; None before `set_timesteps`."""
        return Tensor(np.arange(self.num_inference_steps)[::-1].copy()) if self.native.scheduled else None

    @property
    def schedule(self):
        """Squares of the levels, ascending: a Tensor, float32; None before `set_timesteps`."""
        return Tensor(self.native.sigmas[-2::-1] ** 2, mstype.float32) if self.native.scheduled else None

    @property
    def init_noise_sigma(self):
        """Standard deviation of the noise that a trajectory starts from."""
        return self.config.sigma_max

    def add_noise_to_input(self, sample, sigma, generator=None):
        """Returns the sample with noise up to a higher level, and that level."""
        config, sigma = self.config, float(to_host(sigma))
        gamma = churn(sigma, self.num_inference_steps, config.s_churn, config.s_min, config.s_max, config.s_noise)
        sigma_hat = float((1 + gamma) * sigma)
        noise = Tensor(draw_noise(sample.shape, self._source(generator, sample.shape[0])))
        return weighted_sum((1.0, sample), (config.s_noise * np.sqrt(sigma_hat**2 - sigma**2), noise)), sigma_hat

    def _slope(self, sample, model_output, sigma):
        """Returns the clean sample and the slope (x - x0) / sigma at a level."""
        weights = self.native.clean_sample(float(to_host(sigma)))
        x0 = weighted_sum((weights["sample"], sample), (weights["output"], model_output))
        return x0, (sample - x0) / float(to_host(sigma))

    def step(self, model_output, sigma_hat, sigma_prev, sample_hat, return_dict=True):
        """Euler's step from the level `sigma_hat` to `sigma_prev`."""
        x0, derivative = self._slope(sample_hat, model_output, sigma_hat)
        prev_sample = sample_hat + float(to_host(sigma_prev) - to_host(sigma_hat)) * derivative
        return self._karras_result(return_dict, prev_sample, derivative, x0)

    def step_correct(self, model_output, sigma_hat, sigma_prev, sample_hat, sample_prev, derivative, return_dict=True):
        """The same step with the mean of the slopes at both ends; `derivative` is that of `step`."""
        x0, slope = self._slope(sample_prev, model_output, sigma_prev)
        length = float(to_host(sigma_prev) - to_host(sigma_hat))
        return self._karras_result(return_dict, sample_hat + length / 2 * (derivative + slope), derivative, x0)

    @staticmethod
    def _karras_result(return_dict, prev_sample, derivative, x0):
        values = {"prev_sample": prev_sample, "derivative": derivative}
        return result_of(return_dict, **values, **({"pred_original_sample": x0} if return_dict else {}))

    def add_noise(self, original_samples, noise, timesteps):
        """Not implemented, as in diffusers: the noise of a level is `original_samples` + sigma * noise."""
        raise NotImplementedError("'add_noise' has no timesteps here: add sigma * noise.")


class CogVideoXDPM(SchedulerMixin):
    """CogVideoXDPMScheduler: a step is told the past, so that nothing is remembered."""

    def step(
        self,
        model_output,
        old_pred_original_sample,
        timestep,
        timestep_back,
        sample,
        generator=None,
        return_dict=True,
        **others,
    ):
        """A step from `timestep`, with the clean sample that the one at `timestep_back` predicted, if there was one."""
        del others  # Without effect, as in diffusers.
        native, t = self.native, int(to_host(timestep))
        native.check_scheduled()
        native._check_step(model_output, sample, t)
        past = [] if old_pred_original_sample is None else [int(to_host(timestep_back))]
        timesteps = np.array([*past, t])
        seeded = isinstance(noise_source(generator), Integral)
        source = self._source(generator, sample.shape[0])
        plan = EagerPlan(native.plan_of(timesteps).take([len(past)]), native.compute_dtype, returns_x0=True)
        second_order = past and native.following(timesteps)[-1] >= 0
        if second_order and not seeded:
            draw_noise(sample.shape, source)  # As in diffusers, whose first draw is not used.
        noise = native._step_noise(sample, None, source)
        old = sample if old_pred_original_sample is None else old_pred_original_sample
        outputs = plan.run(0, (sample, old, model_output, noise))
        prev_sample, x0 = (in_dtype(outputs[i], model_output) for i in (0, -1))
        # As in diffusers, a step of first order always returns a tuple.
        return result_of(return_dict and second_order, prev_sample=prev_sample, pred_original_sample=x0)


class EDMEuler(SchedulerMixin):
    """EDMEulerScheduler: a step also takes the clean sample itself."""

    steps_in_graph = True

    def step(self, model_output, timestep, sample, pred_original_sample=None, return_dict=True, **options):
        """A step from the output of the model, or with `pred_original_sample` from that clean sample."""
        if pred_original_sample is None:
            return super().step(model_output, timestep, sample, return_dict, **options)
        source = self._source(options.pop("generator", None), sample.shape[0])
        plan = self.native.trajectory_plan(**{name: value for name, value in options.items() if name in self._options})
        given = EagerPlan(replace(plan, x0={"output": 1.0}, limit=None), self.native.compute_dtype)
        self._begin_step(timestep)
        row = self._step_index - 1
        values = (sample, pred_original_sample)
        if "noise" in given.inputs:
            values += (self.native._step_noise(sample, None, source) if given.needs_noise[row] else sample,)
        prev_sample = in_dtype(given.run(row, values)[0], model_output)
        self.native._trajectory.position = row + 1
        return result_of(return_dict, prev_sample=prev_sample, pred_original_sample=pred_original_sample)


class FlowMapEuler(SchedulerMixin):
    """FlowMapEulerDiscreteScheduler: a step leads from any timestep to any other one, wherever the trajectory is."""

    steps_in_graph = True

    def apply_shift(self, sigmas):
        """Returns levels shifted as the schedule is."""
        return flow_shift(sigmas, self.config.shift)

    def index_for_timestep(self, timestep):
        """Returns the index of a timestep of the schedule, None for another one."""
        distance = np.abs(self.timesteps.asnumpy() - np.ravel(to_host(timestep))[0])
        return int(distance.argmin()) if distance.min() <= 1e-3 else None

    def _index_of(self, timestep, schedule_timesteps=None):
        return self.index_for_timestep(timestep) or 0

    def _sigma_of(self, timestep):
        """Returns the level of a timestep of the schedule, t / T of another one."""
        index = self.index_for_timestep(timestep)
        return (
            np.asarray(to_host(timestep)) / self.config.num_train_timesteps if index is None else self._sigma_at(index)
        )

    def _sigma_at(self, index):
        return self.sigmas.asnumpy()[index]

    def step(self, model_output, timestep, sample, r_timestep=None, return_dict=True):
        """A step from the level of `timestep` to that of `r_timestep`, by default to the next one of the schedule."""
        if r_timestep is None and self.index_for_timestep(timestep) is None:
            raise ValueError(
                f"'r_timestep' is needed, since 'timestep', {timestep}, is none of scheduler.timesteps and has no next."
            )
        end = (
            self._sigma_at(self.index_for_timestep(timestep) + 1) if r_timestep is None else self._sigma_of(r_timestep)
        )
        length = np.asarray(end - self._sigma_of(timestep))
        length = length.reshape(length.shape + (1,) * (model_output.ndim - length.ndim))
        self._step_index = self._index_at(timestep) + 1
        prev_sample = as_floats(sample) + weighted_sum((length, model_output))
        return result_of(return_dict, prev_sample=in_dtype(prev_sample, model_output))


class FlowMatchHeun(SchedulerMixin):
    """FlowMatchHeunDiscreteScheduler: noise has the level of the present step, whatever the timestep."""

    def _rows_to_noise(self, timesteps):
        return [self._index_at(timesteps)] * np.size(to_host(timesteps))


class RePaint(SchedulerMixin):
    """RePaintScheduler: steps are undone by one draw of noise for each training timestep."""

    def undo_step(self, sample, timestep, generator=None):
        """Returns the sample with the noise of as many training timesteps, from `timestep` up, as a step is long."""
        self.native.check_scheduled()
        self.native.check_tensor("sample", sample)
        t, count = int(to_host(timestep)), self.native.num_train_timesteps // self.num_inference_steps
        kept, noise = 1.0, np.zeros(sample.shape)
        for beta in self.native.betas[t : t + count]:
            kept *= np.sqrt(1 - beta)
            drawn = self.native._step_noise(sample, None, self._source(generator, sample.shape[0])).asnumpy()
            noise = np.sqrt(1 - beta) * noise + np.sqrt(beta) * drawn
        return in_dtype(weighted_sum((kept, sample), (1.0, Tensor(noise, mstype.float32))), sample)


class PNDM(SchedulerMixin):
    """PNDMScheduler: the timestep alone tells the row of a call, wherever the trajectory began."""

    def _index_at(self, timestep):
        """Returns the row of a timestep, of equal ones the next one, or the first one.

        A trajectory stays in its part, that of Runge and Kutta or the other one.
        """
        expected, calls = self._step_index or 0, len(self.native.prk_timesteps)
        rows = np.flatnonzero(self.native.timesteps == np.ravel(to_host(timestep))[0])
        if self._step_index is not None:
            rows = rows[(rows < calls) == (expected < calls)]
        if rows.size:
            self._step_index = int(next((row for row in rows if row >= expected), rows[0]))
        return super()._index_at(timestep)


class DPMSolverSinglestep(SchedulerMixin):
    """DPMSolverSinglestepScheduler: it changes its own configuration where the last group cannot be filled."""

    def set_timesteps(self, num_inference_steps=None, device=None, mu=None, timesteps=None):
        """Chooses the timesteps of the following trajectory."""
        config = self.config
        count = num_inference_steps if timesteps is None else len(timesteps)
        unfilled = count is not None and count % config.solver_order != 0
        if not config.lower_order_final and (unfilled or config.final_sigmas_type == "zero"):
            logger.warning(
                "'lower_order_final' is set to True, since the steps do not fill groups or end at sigma = 0."
            )
            self.register_to_config(lower_order_final=True)
            self._follow()
        super().set_timesteps(num_inference_steps, device, mu=mu, timesteps=timesteps)


class RFD4Proteina(SchedulerMixin):
    """RFD4ProteinaScheduler: a step is told which tokens move, is the next one in any case, and draws row by row."""

    has_tables = False

    def _restart(self):
        super()._restart()
        self._step_index = 0 if self.native.scheduled else None

    @property
    def timesteps(self):
        """The times of the trajectory: a Tensor, float32; None before `set_timesteps`."""
        return self._hand_out("timesteps", self.native.timesteps) if self.native.scheduled else None

    def step(self, model_output, timestep, sample, emit_mask, generator=None, return_dict=True):
        """The next step of the trajectory; tokens where `emit_mask`, ``(B, N)``, is False become 0."""
        native, row = self.native, self._step_index
        native.check_scheduled()
        if row >= len(native.timesteps):
            raise ValueError(f"The trajectory has {len(native.timesteps)} steps, all taken: call set_timesteps.")
        if np.float32(np.ravel(to_host(timestep))[0]) != native.timesteps[row]:
            raise ValueError(f"'timestep' must be the next of scheduler.timesteps, {native.timesteps[row]}.")
        source = self._source(_one_for_each_row(generator, sample.shape[0]), sample.shape[0])
        native.go_to(row)
        moved = native.step(model_output, as_floats(sample), native.timesteps[row], generator=source)
        self._step_index = row + 1
        prev_sample = in_dtype(moved * emit_mask.expand_dims(-1).astype(moved.dtype), as_floats(sample))
        return result_of(return_dict, prev_sample=prev_sample)

    def add_noise(self, original_samples, noise, timesteps):
        """Returns ``(1 - t) * noise + t * original_samples``; `timesteps` is a time in [0, 1), or one for each row."""
        times = np.asarray(to_host(timesteps))
        if times.shape not in ((), original_samples.shape[:1]) or np.any((times < 0) | (times >= 1)):
            raise ValueError(
                f"'timesteps' must be a time in [0, 1), or {original_samples.shape[0]} of them, but is {timesteps}."
            )
        return super().add_noise(original_samples, noise, timesteps)


def _one_for_each_row(generator, batch):
    """Returns the sources of noise of the rows, of which each has its own, or None."""
    if generator is None:
        return None
    given = list(generator) if isinstance(generator, (list, tuple)) else [generator]
    if len(given) != batch or len({id(one) for one in given}) != batch:
        raise ValueError(f"'generator' must be one for each of {batch} rows, all different, but is {generator!r}.")
    return given


CONVENTIONS = {
    "CogVideoXDPMScheduler": CogVideoXDPM,
    "EDMEulerScheduler": EDMEuler,
    "FlowMapEulerDiscreteScheduler": FlowMapEuler,
    "FlowMatchHeunDiscreteScheduler": FlowMatchHeun,
    "ConsistencyDecoderScheduler": ConsistencyDecoder,
    "HeliosDMDScheduler": HeliosDMD,
    "HeliosScheduler": Helios,
    "LTXEulerAncestralRFScheduler": LTXEulerAncestralRF,
    "MiniMaxH3Scheduler": MiniMaxH3,
    "PiflowScheduler": Piflow,
    "DPMSolverSinglestepScheduler": DPMSolverSinglestep,
    "PNDMScheduler": PNDM,
    "RFD4ProteinaScheduler": RFD4Proteina,
    "RePaintScheduler": RePaint,
    "KarrasVeScheduler": KarrasVe,
    "ScoreSdeVeScheduler": ScoreSdeVe,
    "ScoreSdeVpScheduler": ScoreSdeVp,
}
"""Bases of the drop-in classes that do not step like the others."""
