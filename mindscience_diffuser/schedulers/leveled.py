"""Schedulers whose trajectory runs along noise levels: the forward process to each of them."""

import warnings

import numpy as np

from mindscience_diffuser.plan import StepPlan
from mindscience_diffuser.schedulers.indexed import IndexedScheduler
from mindscience_diffuser.step import PlanCell, compiles_as
from mindscience_diffuser.validation import check_descending, check_number


class LeveledScheduler(IndexedScheduler):
    """Base of schedulers with ``sigmas``: the process x = alpha * x0 + sigma * noise at the levels of a trajectory."""

    @property
    def levels(self):
        """Weights alpha, sigma of x = alpha * x0 + sigma * noise, at each row and at the end, each ``(n + 1,)``."""
        raise NotImplementedError

    def __len__(self):
        return self.num_train_timesteps

    def _chosen_spacing(self):
        switches = {"karras": "use_karras_sigmas", "exponential": "use_exponential_sigmas", "beta": "use_beta_sigmas"}
        switches["lu"] = "use_lu_lambdas"
        chosen = [name for name, switch in switches.items() if self.settings.get(switch)]
        if len(chosen) > 1:
            names = " and ".join(f"'{switches[name]}'" for name in chosen)
            raise ValueError(f"{names} are both set: at most one of them can space the sigmas.")
        return chosen[0] if chosen else None

    def spaced_range(self, highest, lowest):
        """Returns the highest and the lowest of the spaced sigmas: what the configuration says, else these two."""
        given = (self.settings.get(name) for name in ("sigma_max", "sigma_min"))
        return tuple(end if value is None else value for value, end in zip(given, (highest, lowest)))

    def add_noise_in_graph(self, original_samples, noise, timesteps):
        """What the graph compiler reads in place of :meth:`add_noise`."""
        self.check_like_in_graph("noise", noise, original_samples)
        self.check_count_in_graph(timesteps, original_samples)
        return self.forward_process(self.row_in_graph(timesteps), original_samples, noise)[0]

    @compiles_as(add_noise_in_graph)
    def add_noise(self, original_samples, noise, timesteps):
        """Returns alpha * original_samples + sigma * noise at the noise level of each timestep.

        Args:
            original_samples (Tensor): Clean samples, shape ``(B, ...)``, any rank >= 2.
            noise (Tensor): Standard normal noise of the same shape.
            timesteps (float or Tensor): One of ``timesteps``, or one for each sample, ``(B,)``.

        Returns:
            Tensor of the same shape, in `compute_dtype`.

        Raises:
            TypeError: If an argument is no Tensor of float32, float16 or bfloat16.
            ValueError: If the shapes differ, or a timestep is not one of the schedule.
        """
        self.check_tensor("original_samples", original_samples)
        self.check_tensor("noise", noise, like=original_samples)
        rows = self.rows_of(timesteps, original_samples.shape[0], "timesteps", begins=False)
        return self.forward_process.run(rows, (original_samples, noise))[0]

    def _schedule(self, timesteps, scheduled=True):
        super()._schedule(timesteps, scheduled)
        alpha, sigma = (level[:-1] for level in self.levels)
        plan = StepPlan(timesteps, {}, {"sample": {"sample": alpha, "output": sigma}})
        if scheduled:
            self.forward_process.load(plan)
        else:
            self.forward_process = PlanCell(plan, self.compute_dtype, capacity=len(self.schedule))


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
