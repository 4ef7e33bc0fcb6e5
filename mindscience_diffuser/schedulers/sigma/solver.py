"""Solvers of the probability-flow ODE or the reverse SDE: what they share, from betas to the noise levels of a step."""

import numpy as np

from mindscience_diffuser.noise import (
    AYS_SIGMAS,
    RATIO_SCHEDULES,
    SIGMA_SCHEDULES,
    alphas_cumprod_from_betas,
    clean_sample_weights,
    noise_weights,
    sigma_to_timestep,
)
from mindscience_diffuser.schedulers.base.config import configured_betas, configured_limit
from mindscience_diffuser.schedulers.base.sigmas import SigmaScheduler, flow_sigmas, shift_by_mu, step_levels
from mindscience_diffuser.validation import check_descending, check_integer, check_one_given, check_within

LOWEST_ALPHA_BAR = 2.0**-24
"""alpha_bar of the last timestep under zero terminal SNR, so that its sigma exists."""


class SolverScheduler(SigmaScheduler):
    """Base of the schedulers with ``sigmas``, the ratio of noise to signal at each level of the trajectory.

    A subclass declares its arguments with :func:`takes_arguments` and describes its steps in :meth:`trajectory_plan`,
    from ``self.sigmas`` of shape ``(n + 1,)`` for n steps. How its levels are chosen is said by class attributes.
    """

    scaled = False
    """Whether the sample has the scale of the clean one, x = x0 + sigma * noise, and is scaled for the model."""

    inner_grid = False
    """Whether the grid of timesteps leaves its last point, timestep 0, to the end of the trajectory."""

    spaces_whole_range = False
    """Whether sigmas are spaced over all training levels, not between the first and last of the grid."""

    integral = False
    """Whether timesteps are cut to integers."""

    rounded = ()
    """Spacings whose timesteps are rounded to integers."""

    def _configure(self):
        config = self.settings
        self.num_train_timesteps = config.num_train_timesteps
        self.prediction_type = config.get("prediction_type", "epsilon")
        self.betas = configured_betas(config)
        self.alphas_cumprod = alphas_cumprod_from_betas(self.betas)
        if config.get("rescale_betas_zero_snr"):
            # Strictly falling, so that every level belongs to one timestep.
            lowest = LOWEST_ALPHA_BAR * (1 + 1e-9 * np.arange(self.num_train_timesteps)[::-1])
            self.alphas_cumprod = np.maximum(self.alphas_cumprod, lowest)
        self.replace_alphas_cumprod(self.alphas_cumprod)
        self.flow = config.get("use_flow_sigmas", False)
        self.spacing = self._chosen_spacing()
        if self.spacing == "linear_quadratic" and not self.flow:
            raise ValueError(
                "'sigma_schedule' is 'linear_quadratic', which spaces the levels of a rectified flow: set "
                f"use_flow_sigmas=True, or choose one of {', '.join(map(repr, RATIO_SCHEDULES))}."
            )
        self.limit = configured_limit(config)
        # Before the first call of set_timesteps the schedule is that of training.
        self._take_levels(*self._training_grid(), 0.0)
        self._schedule(self.timesteps, scheduled=False)

    def _training_grid(self):
        """Returns the levels of training, descending, and their timesteps."""
        if not self.flow:
            return self.training_sigmas[::-1], np.arange(self.num_train_timesteps)[::-1]
        sigmas = np.arange(self.num_train_timesteps, 0, -1) / self.num_train_timesteps
        return sigmas, self._timesteps_of(sigmas)

    def replace_alphas_cumprod(self, alpha_bar):
        """Takes over another alpha_bar of the training timesteps; the next schedule follows it."""
        self.alphas_cumprod = alpha_bar
        self.training_sigmas = np.sqrt((1 - alpha_bar) / alpha_bar)

    @property
    def init_noise_sigma(self):
        """Standard deviation of the noise that a trajectory starts from."""
        if not self.scaled:
            return 1.0
        highest = float(self.sigmas.max())
        return float(np.hypot(highest, 1)) if self.settings.timestep_spacing == "leading" else highest

    @property
    def levels(self):
        """Weights alpha, sigma of x = alpha * x0 + sigma * noise, at each row and at the end, each ``(n + 1,)``."""
        return self.level(self.sigmas)

    def level(self, sigmas):
        """Returns the weights alpha, sigma of a sample whose ratio of noise to signal is `sigmas`."""
        if self.flow:
            return 1 - sigmas, sigmas
        if self.scaled:
            return np.ones_like(sigmas), sigmas
        alpha = 1 / np.hypot(sigmas, 1)
        return alpha, sigmas * alpha

    def level_at(self, timesteps):
        """Returns alpha and sigma of training timesteps, an array that may be fractional, whatever the schedule."""
        if self.flow:
            return self.level(flow_sigmas(timesteps, self.num_train_timesteps))
        check_within("timesteps", timesteps, f"[0, {self.num_train_timesteps - 1}]")
        return self.level(self._interpolated(timesteps))

    def input_scale(self, sigmas):
        """Returns what scales the sample for the model, or None where nothing does."""
        return 1 / np.hypot(sigmas, 1) if self.scaled else None

    def clean_sample(self, sigmas):
        """Returns x0 as weights of sample and output at these levels."""
        return clean_sample_weights(self.prediction_type, *self._named_level(sigmas))

    def noise(self, sigmas):
        """Returns the noise as weights of sample and output at these levels."""
        return noise_weights(self.prediction_type, *self._named_level(sigmas))

    def _named_level(self, sigmas):
        return (1.0, sigmas) if self.scaled and not self.flow else self.level(sigmas)

    def set_timesteps(self, num_inference_steps=None, timesteps=None, sigmas=None, mu=None):
        """Chooses the levels of the following trajectory; takes effect in compiled graphs too.

        Exactly one of the first three must be given.

        Args:
            num_inference_steps (int, optional): Number n of steps, in [1, T].
            timesteps (Sequence[float], optional): Training timesteps to visit, descending, in [0, T - 1].
            sigmas (Sequence[float], optional): Levels to visit, descending, with that at which the trajectory ends,
                ``(n + 1,)``; those of a flow in [0, 1], before their shift and without that of the end, ``(n,)``.
            mu (float, optional): Resolution-dependent shift, needed with `use_dynamic_shifting` and there only.

        Raises:
            TypeError: If none of the three is given, or one has the wrong type.
            ValueError: If more than one is given, a value is out of range or not descending, timesteps are given
                where the sigmas are spaced, or `mu` is missing.
        """
        given = {"num_inference_steps": num_inference_steps, "timesteps": timesteps, "sigmas": sigmas}
        check_one_given("set_timesteps", **given)
        shift = shift_by_mu(
            mu,
            self.settings.get("flow_shift", 1.0),
            self.settings.get("use_dynamic_shifting", False),
            self.settings.get("time_shift_type", "exponential"),
        )
        if sigmas is not None:
            self._take_given(sigmas, shift)
        elif timesteps is not None:
            if self.spacing is not None or self.flow:
                raise ValueError(
                    f"'timesteps' cannot be given because {'use_flow_sigmas' if self.flow else self.spacing!r} spaces "
                    "the sigmas: give 'num_inference_steps' or 'sigmas'."
                )
            visited = check_descending("timesteps", timesteps, f"[0, {self.num_train_timesteps - 1}]")
            self._take_levels(self._interpolated(visited), visited, self._final(self.training_sigmas[0]))
        else:
            self._space(check_integer("num_inference_steps", num_inference_steps, 1, self.num_train_timesteps), shift)
        self.num_inference_steps = len(self.timesteps[:: self.order])
        self._schedule(self.timesteps)

    def _take_given(self, sigmas, shift):
        """Takes over the levels that the user gave, with that of the end; only those of a flow are shifted."""
        del shift
        levels = step_levels(sigmas)
        self._take_levels(levels[:-1], self._timesteps_of(levels[:-1]), levels[-1])

    def _space(self, count, shift):
        """Takes over `count` levels as the configuration spaces them."""
        if self.flow and self.spacing is None:
            sigmas = self._flow_levels(count, shift)
            return self._take_levels(sigmas, self._timesteps_of(sigmas), self._final(sigmas[-1]))
        if self.spacing == "linear_quadratic":
            sigmas = SIGMA_SCHEDULES[self.spacing](1.0, 0.0, count)
            return self._take_levels(sigmas, self._timesteps_of(sigmas), self._final(1 / self.num_train_timesteps))
        grid = self._grid(count)
        if grid.max() >= self.num_train_timesteps:
            raise ValueError(
                f"'steps_offset' is {self.settings.steps_offset}, which moves one of {count} leading timesteps to "
                f"{grid.max():g}; it must stay below num_train_timesteps={self.num_train_timesteps}. Use fewer steps "
                "or a smaller offset."
            )
        sigmas = self._interpolated(grid)
        if self.spacing is None:
            return self._take_levels(sigmas, grid, self._final(self.training_sigmas[0]))
        whole = self.spaces_whole_range or self.settings.get("sigma_schedule")
        highest, lowest = self.spaced_range(*(self.training_sigmas[[-1, 0]] if whole else sigmas[[0, -1]]))
        sigmas = SIGMA_SCHEDULES[self.spacing](highest, lowest, count)
        # A table has a level for the end; the other schedules call the model at the lowest level.
        final = lowest if self.spacing in AYS_SIGMAS else sigmas[-1]
        if self.flow:  # The flow's level of the same ratio of noise to signal.
            sigmas, final = sigmas / (1 + sigmas), final / (1 + final)
        return self._take_levels(sigmas, self._timesteps_of(sigmas), self._final(final))

    def _flow_levels(self, count, shift):
        """Returns `count` levels of a flow, shifted towards noise."""
        raise NotImplementedError

    def _grid(self, count):
        """Returns the training timesteps of `count` steps, fractional where they need not be integers."""
        return self._points(count)[:count]

    def grid_size(self, count):
        """Returns the number of timesteps of a grid for `count` steps: an inner grid has one more, if there is one."""
        return count + (self.inner_grid and count < self.num_train_timesteps - self._clipped())

    def _points(self, count):
        """Returns the training timesteps of `count` steps, descending, and that of the end in an inner grid."""
        train, spacing = self.num_train_timesteps, self.settings.get("timestep_spacing", "linspace")
        last, points = train - self._clipped(), self.grid_size(count)
        if spacing == "linspace":
            grid = np.linspace(0, last - 1, points)[::-1]
            grid = grid.round() if self.inner_grid else grid
        elif spacing == "leading":
            grid = self.leading_timesteps(last, points)[::-1] + self.settings.steps_offset
        else:
            grid = np.round(last - np.arange(count) * (train / count)) - 1
            grid = grid[grid >= 0]
        return grid

    def _clipped(self):
        """Returns how many of the noisiest timesteps are left out because their log-SNR is too low."""
        lowest = self.settings.get("lambda_min_clipped", -np.inf)
        return int(np.searchsorted(-np.log(self.training_sigmas[::-1]), lowest))

    def _interpolated(self, timesteps):
        """Returns the levels of training timesteps, which may be fractional."""
        return np.interp(timesteps, np.arange(len(self.training_sigmas)), self.training_sigmas)

    def _timesteps_of(self, sigmas):
        if self.flow:
            return sigmas * self.num_train_timesteps
        timesteps = sigma_to_timestep(sigmas, self.training_sigmas)
        named = self.integral and self.settings.get("sigma_schedule")
        return timesteps.round() if named or self.spacing in self.rounded else timesteps

    def _final(self, lowest):
        """Returns the level at which the trajectory ends; `lowest` is what ``"sigma_min"`` stands for."""
        return lowest if self.settings.get("final_sigmas_type", "zero") == "sigma_min" else 0.0

    def _take_levels(self, sigmas, timesteps, final):
        """Sets ``sigmas``, with the level of the end, and ``timesteps``."""
        self.sigmas = np.append(sigmas, final)
        self.timesteps = np.asarray(timesteps, np.int64 if self.integral else np.float32)
