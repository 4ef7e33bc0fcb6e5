"""Rectified flow: the noise process, its sigma schedule, and the base of the schedulers that follow it."""

import numpy as np

from mindscience_diffuser.cells import unlocked
from mindscience_diffuser.noise import SIGMA_SCHEDULES, flow_shift, stretch_to_terminal
from mindscience_diffuser.plan import StepPlan
from mindscience_diffuser.schedulers.base.sigmas import SigmaScheduler, flow_noised_in_graph, flow_sigmas, shift_by_mu
from mindscience_diffuser.step import compiles_as
from mindscience_diffuser.validation import check_any_given, check_descending, check_integer, check_number

FLOW_ARGUMENTS = {
    "num_train_timesteps": 1000,
    "shift": 1.0,
    "use_dynamic_shifting": False,
    "base_shift": 0.5,
    "max_shift": 1.15,
    "base_image_seq_len": 256,
    "max_image_seq_len": 4096,
    "invert_sigmas": False,
    "shift_terminal": None,
    "use_karras_sigmas": False,
    "use_exponential_sigmas": False,
    "use_beta_sigmas": False,
    "time_shift_type": "exponential",
}


class FlowMatchScheduler(SigmaScheduler):
    """The process x_sigma = (1 - sigma) * x0 + sigma * noise (Liu et al., 2022, arXiv:2209.03003).

    The model predicts the velocity noise - x0 at timestep num_train_timesteps * sigma.
    """

    check_steps = staticmethod(check_descending)
    """Checks what the user gives as sigmas or timesteps, and returns it as an array."""

    shifts_given_timesteps = False
    """Whether the levels of given timesteps are shifted and spaced like others."""

    def _configure(self):
        self.num_train_timesteps = self.settings.num_train_timesteps
        self.use_dynamic_shifting = self.settings.get("use_dynamic_shifting", False)
        self.invert_sigmas = self.settings.get("invert_sigmas", False)
        self.spacing = self._chosen_spacing()
        self._shift = self.settings.shift
        training = self._take_range()
        # Before the first call of set_timesteps the schedule is that of training.
        self._take_sigmas(training, training * self.num_train_timesteps)
        self._schedule(self.timesteps, scheduled=False)

    @property
    def shift(self):
        """The shift that the next :meth:`set_timesteps` uses."""
        return self._shift

    def set_shift(self, shift):
        """Sets the shift of the following schedules, above 0, as if it had been given to the constructor."""
        self._shift = check_number("shift", shift, "(0, inf)")
        with unlocked(self):
            self._take_range()

    def _take_range(self):
        """Returns the training levels, whose first and last one are the range of levels without `sigmas`."""
        training = np.arange(self.num_train_timesteps, 0, -1) / self.num_train_timesteps
        if not self.use_dynamic_shifting:
            training = flow_shift(training, self._shift)
        self.sigma_max, self.sigma_min = training[0], training[-1]
        return training

    def set_timesteps(self, num_inference_steps=None, sigmas=None, mu=None, timesteps=None):
        """Chooses the steps of the following trajectory; takes effect in compiled graphs too.

        At least one of `num_inference_steps`, `sigmas` and `timesteps` must be given, all of the same length.

        Args:
            num_inference_steps (int, optional): Number of steps, at least 1.
            sigmas (Sequence[float], optional): Levels before shifting, descending, in (0, 1]. Default: evenly from the
                first to the last training level, which are shifted already, so that the low levels are shifted twice,
                as published models are sampled; ``numpy.linspace(1, 1 / T, n)`` is shifted once, eq. (23).
            mu (float, optional): Resolution-dependent shift, see :func:`~mindscience_diffuser.calculate_shift`; needed
                with `use_dynamic_shifting`, and there only.
            timesteps (Sequence[float], optional): What the model is told. Without `sigmas` it also sets them: sigma =
                timestep / T, in (0, 1], descending, neither shifted nor spaced anew, so that both stay consistent.

        Raises:
            TypeError: If none of the three is given, or one has the wrong type.
            ValueError: If lengths differ, a value is out of range or not descending, or `mu` is missing.
        """
        check_any_given("set_timesteps", num_inference_steps=num_inference_steps, sigmas=sigmas, timesteps=timesteps)
        shift = shift_by_mu(mu, self._shift, self.use_dynamic_shifting, self.settings.get("time_shift_type"))
        lengths = {}
        if num_inference_steps is not None:
            lengths["num_inference_steps"] = check_integer("num_inference_steps", num_inference_steps, low=1)
        if sigmas is not None:
            sigmas = self.check_steps("sigmas", sigmas, "(0, 1]")
            lengths["sigmas"] = len(sigmas)
        if timesteps is not None:
            timesteps = self.check_steps("timesteps", timesteps, f"(0, {self.num_train_timesteps}]")
            lengths["timesteps"] = len(timesteps)
        if len(set(lengths.values())) > 1:
            text = ", ".join(f"'{name}' {length}" for name, length in lengths.items())
            raise ValueError(f"The number of steps must agree, but is: {text}.")
        count = next(iter(lengths.values()))
        given = sigmas is None and timesteps is not None
        if given:
            sigmas = timesteps / self.num_train_timesteps
        if not given or self.shifts_given_timesteps:
            if sigmas is None:
                sigmas = self.even_sigmas(count)
            sigmas = flow_shift(sigmas, shift)
            terminal = self.settings.get("shift_terminal")
            if terminal:
                sigmas = stretch_to_terminal(sigmas, terminal)
            if self.spacing is not None:
                sigmas = SIGMA_SCHEDULES[self.spacing](*self.spaced_range(sigmas[0], sigmas[-1]), count)
        self._take_sigmas(sigmas, sigmas * self.num_train_timesteps if timesteps is None else timesteps)
        self.num_inference_steps = count
        self._schedule(self.timesteps)

    def even_sigmas(self, count):
        """Returns the levels of `count` steps, before they are shifted, where none are given."""
        return np.linspace(self.sigma_max, self.sigma_min, count)

    def scale_noise_in_graph(self, sample, timestep, noise):
        """What the graph compiler reads in place of :meth:`scale_noise`."""
        return self.add_noise_in_graph(sample, noise, timestep)

    @compiles_as(scale_noise_in_graph)
    def scale_noise(self, sample, timestep, noise):
        """The forward process with the arguments of diffusers, see :meth:`add_noise`."""
        return self.add_noise(sample, noise, timestep)

    @property
    def levels(self):
        """Weights alpha, sigma of x = alpha * x0 + sigma * noise, at each step and at the end, ``(n + 1,)``."""
        return (self.sigmas, 1 - self.sigmas) if self.invert_sigmas else (1 - self.sigmas, self.sigmas)

    @property
    def clean_timestep(self):
        """What the model is told of a clean frame: timestep 0, or T where sigma counts from noise to data."""
        return float(self.num_train_timesteps) if self.invert_sigmas else 0.0

    def level_at(self, timesteps):
        """Returns alpha and sigma of any timesteps in [0, T], an array, whatever the schedule."""
        sigmas = flow_sigmas(timesteps, self.num_train_timesteps)
        return (sigmas, 1 - sigmas) if self.invert_sigmas else (1 - sigmas, sigmas)

    def noised_in_graph(self, noised, rows, original_samples, noise, timesteps):
        """Returns the noised samples at any timesteps, see :func:`flow_noised_in_graph`."""
        if self.invert_sigmas:
            return flow_noised_in_graph(self, noised, rows, noise, original_samples, timesteps)
        return flow_noised_in_graph(self, noised, rows, original_samples, noise, timesteps)

    def clean_sample(self, sigma):
        """Returns x0 as weights of sample and output: x0 = x - sigma * v; inverted, v = x0 - noise points to x0."""
        return {"sample": 1.0, "output": 1 - sigma if self.invert_sigmas else -sigma}

    def renoising_plan(self):
        """Returns the plan that renoises the clean sample: x_next = alpha_next * x0 + sigma_next * z."""
        alpha_next, sigma_next = (level[1:] for level in self.levels)
        return StepPlan(
            self.timesteps,
            self.clean_sample(self.sigmas[:-1]),
            {"sample": {"x0": alpha_next, "noise": sigma_next}},
            next_level=(alpha_next, sigma_next),
        )

    def _take_sigmas(self, sigmas, timesteps):
        """Sets ``sigmas``, with the level at which the trajectory ends, and ``timesteps`` in single precision."""
        if self.invert_sigmas:
            sigmas = 1 - sigmas
            timesteps = sigmas * self.num_train_timesteps
        self.sigmas = np.append(sigmas, 1.0 if self.invert_sigmas else 0.0)
        self.timesteps = np.asarray(timesteps, np.float32)
