"""Schedulers whose trajectory runs along noise levels: the forward process to each of them."""

import warnings

import numpy as np
from mindspore import Parameter, Tensor, ops
from mindspore import dtype as mstype

from mindscience_diffuser.plan import StepPlan
from mindscience_diffuser.schedulers.base.scheduler import timestep_values
from mindscience_diffuser.schedulers.base.trajectory import TrajectoryScheduler, nearest_row
from mindscience_diffuser.step import EagerPlan, PlanCell, compiles_as, replace_value, shaped
from mindscience_diffuser.validation import check_descending, check_number, check_within

SPACED_BY = {
    "use_karras_sigmas": "karras",
    "use_exponential_sigmas": "exponential",
    "use_beta_sigmas": "beta",
    "use_lu_lambdas": "lu",
    "sigma_schedule": None,
}
"""Arguments that space the sigmas, of which one can be set, and the spacing of each; None where its value names it."""


class SigmaScheduler(TrajectoryScheduler):
    """Base of schedulers with ``sigmas``: the process x = alpha * x0 + sigma * noise at the levels of a trajectory.

    Attributes:
        sigmas (numpy.ndarray): The levels, float64, shape ``(n + 1,)``: of each step, then that of the end.
    """

    @property
    def levels(self):
        """Weights alpha, sigma of x = alpha * x0 + sigma * noise, at each row and at the end, each ``(n + 1,)``."""
        raise NotImplementedError

    def __len__(self):
        return self.num_train_timesteps

    @property
    def clean_timestep(self):
        """What the model is told of a clean frame: the lowest level of training, of a flow 0."""
        return 0.0 if self.settings.get("use_flow_sigmas") else float(self._training_level[0][-1])

    def _chosen_spacing(self):
        chosen = [argument for argument in SPACED_BY if self.settings.get(argument)]
        if len(chosen) > 1:
            names = " and ".join(map(repr, chosen))
            raise ValueError(f"{names} are both set: at most one of them can space the sigmas.")
        return (SPACED_BY[chosen[0]] or self.settings[chosen[0]]) if chosen else None

    def spaced_range(self, highest, lowest):
        """Returns the highest and the lowest of the spaced sigmas: what the configuration says, else these two."""
        given = (self.settings.get(name) for name in ("sigma_max", "sigma_min"))
        return tuple(end if value is None else value for value, end in zip(given, (highest, lowest)))

    def level_at(self, timesteps):
        """Returns alpha and sigma of training timesteps, an array, whatever the schedule.

        Raises:
            ValueError: If one of them is no training timestep.
        """
        known, *level = self._training_level
        rows = np.abs(known - timesteps[:, None]).argmin(axis=1)
        wrong = np.abs(known[rows] - timesteps) > self._tolerance
        if np.any(wrong):
            raise ValueError(
                f"'timesteps' must be of scheduler.timesteps or of the {len(known)} training timesteps, but is "
                f"{timesteps[wrong][0]}; the nearest of them is {known[rows[wrong][0]]}."
            )
        return tuple(part[rows] for part in level)

    def add_noise_in_graph(self, original_samples, noise, timesteps):
        """What the graph compiler reads in place of :meth:`add_noise`."""
        self.check_like_in_graph("noise", noise, original_samples)
        self.check_count_in_graph(timesteps, original_samples)
        rows = nearest_row(self.noised_timesteps, timesteps)
        noised = self.forward_process(rows, original_samples, noise)[0]
        return self.noised_in_graph(noised, rows, original_samples, noise, timesteps)

    def noised_in_graph(self, noised, rows, original_samples, noise, timesteps):
        """Returns the noised samples where `noised` holds at the nearest known timesteps, those of `rows`."""
        return noised

    @compiles_as(add_noise_in_graph)
    def add_noise(self, original_samples, noise, timesteps):
        """Returns alpha * original_samples + sigma * noise at the noise level of each timestep.

        A timestep of the schedule has the level of its row, the first of equal ones; any other one has its level in
        training, which inside graphs of other processes than flows is that of the nearest training timestep.

        Args:
            original_samples (Tensor): Clean samples, shape ``(B, ...)``, any rank >= 2.
            noise (Tensor): Standard normal noise of the same shape.
            timesteps (float, numpy.ndarray or Tensor): One of ``timesteps`` or a training timestep, or one for each
                sample, ``(B,)``, or each frame of samples ``(B, T, ...)``, ``(B, T)``.

        Returns:
            Tensor of the same shape, in `compute_dtype`.

        Raises:
            TypeError: If an argument is no Tensor of float32, float16 or bfloat16.
            ValueError: If the shapes differ, or a timestep is neither one of the schedule nor one of training.
        """
        self.check_tensor("original_samples", original_samples)
        self.check_tensor("noise", noise, like=original_samples)
        values = timestep_values(timesteps, original_samples.shape, "timesteps")
        if values is None:
            rows = nearest_row(self.noised_timesteps, timesteps)
            return self.forward_process.run(rows, (original_samples, noise))[0]
        shape, values = np.shape(values), np.ravel(values).astype(np.float64)
        rows = np.abs(self.timesteps - values[:, None]).argmin(axis=1)
        trained = np.abs(self.timesteps[rows] - values) > self._tolerance
        if not np.any(trained):
            index = int(rows[0]) if len(rows) == 1 else Tensor(rows.reshape(shape), mstype.int32)
            return self.forward_process.run(index, (original_samples, noise))[0]
        level = [part[rows] for part in self.levels]
        for part, known in zip(level, self.level_at(values[trained])):
            part[trained] = known
        index = 0 if len(rows) == 1 else Tensor(np.arange(len(rows)).reshape(shape), mstype.int32)
        return EagerPlan(_forward_plan(values, *level), self.compute_dtype).run(index, (original_samples, noise))[0]

    def _schedule(self, timesteps, scheduled=True):
        super()._schedule(timesteps, scheduled)
        alpha, sigma = (level[:-1] for level in self.levels)
        if not scheduled:
            self._training_level = (timesteps.astype(np.float64), alpha, sigma)
        # First the rows of the schedule, as many as there can be, then those of training.
        free = [(0, max(self.num_train_timesteps * self.order - len(timesteps), 0))]
        known = zip((timesteps.astype(np.float64), alpha, sigma), (np.inf, 0, 0), self._training_level)
        rows = [np.append(np.pad(part, free, constant_values=fill), trained) for part, fill, trained in known]
        if scheduled:
            self.forward_process.load(_forward_plan(*rows))
            replace_value(self.noised_timesteps, Tensor(rows[0].astype(np.float32)))
        else:
            self.forward_process = PlanCell(_forward_plan(*rows), self.compute_dtype)
            self.noised_timesteps = Parameter(
                Tensor(rows[0].astype(np.float32)), name="noised_timesteps", requires_grad=False
            )


def _forward_plan(timesteps, alpha, sigma):
    """Returns the plan of alpha * sample + sigma * output."""
    return StepPlan(timesteps, {}, {"sample": {"sample": alpha, "output": sigma}})


def flow_noised_in_graph(scheduler, noised, rows, original_samples, noise, timesteps):
    """Returns `noised` where a timestep is one of the known ones, else x = (1 - t / T) * x0 + t / T * noise."""
    if isinstance(timesteps, (int, float)):
        timesteps = Tensor(timesteps, mstype.float32)
    last = scheduler.num_train_timesteps
    t = shaped(ops.cast(timesteps, mstype.float32), noised)
    known = shaped(ops.gather(scheduler.noised_timesteps, rows, 0), noised)
    direct = (1 - t / last) * original_samples + t / last * noise
    return ops.where(ops.abs(known - t) <= 1e-6 * last, noised, ops.cast(direct, noised.dtype))


def flow_sigmas(timesteps, num_train_timesteps):
    """Returns the level sigma = timestep / T of timesteps of a flow, after a check of their range."""
    check_within("timesteps", timesteps, f"[0, {num_train_timesteps}]")
    return timesteps / num_train_timesteps


def shift_by_mu(mu, shift, use_dynamic_shifting, time_shift_type):
    """Returns the shift that is meant, by `mu` of `set_timesteps` or by the constructor's `shift`."""
    if not use_dynamic_shifting:
        if mu is not None:
            warnings.warn("'mu' has no effect because use_dynamic_shifting is False.", stacklevel=4)
        return shift
    if mu is None:
        raise ValueError("'mu' must be given because use_dynamic_shifting is True; see calculate_shift.")
    if time_shift_type == "linear":
        return check_number("mu", mu, "(0, inf)")
    return np.exp(check_number("mu", mu, "(-100, 100)"))


def step_levels(sigmas):
    """Checks the `sigmas` of `set_timesteps`: the level of each step, above 0, then that of the end."""
    levels = check_descending("sigmas", sigmas, "[0, inf)")
    if len(levels) < 2 or levels[-2] == 0:
        raise ValueError(
            "'sigmas' must hold the levels of the steps, one or more and all above 0, and that of the end, but "
            f"is {levels.tolist()}."
        )
    return levels


def check_sigma_range(config):
    """Checks `sigma_min` and `sigma_max` of a scheduler that needs both."""
    for name in ("sigma_min", "sigma_max"):
        check_number(name, config[name], "(0, inf)")
    if config.sigma_min >= config.sigma_max:
        raise ValueError(
            f"'sigma_min' must be below 'sigma_max', but is {config.sigma_min} and sigma_max is {config.sigma_max}."
        )
