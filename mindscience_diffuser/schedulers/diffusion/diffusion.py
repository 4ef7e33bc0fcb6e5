"""Variance-preserving diffusion over discrete training timesteps: the base of DDPM and DDIM."""

import numpy as np
from mindspore import Tensor
from mindspore import dtype as mstype

from mindscience_diffuser.noise import alphas_cumprod_from_betas, custom_timesteps, spaced_timesteps
from mindscience_diffuser.plan import StepPlan
from mindscience_diffuser.schedulers.base.arguments import takes_arguments
from mindscience_diffuser.schedulers.base.config import configured_betas, configured_limit
from mindscience_diffuser.schedulers.base.process_tables import ProcessTables
from mindscience_diffuser.schedulers.base.scheduler import Scheduler, timestep_index, timestep_index_in_graph
from mindscience_diffuser.step import PlanCell, compiles_as
from mindscience_diffuser.validation import check_one_given

DIFFUSION_ARGUMENTS = {
    "num_train_timesteps": 1000,
    "beta_start": 0.0001,
    "beta_end": 0.02,
    "beta_schedule": "squaredcos_cap_v2",
    "prediction_type": "epsilon",
    "clip_sample": True,
    "clip_sample_range": 1.0,
    "thresholding": False,
    "sample_max_value": 1.0,
    "dynamic_thresholding_ratio": 0.995,
    "rescale_betas_zero_snr": False,
    "timestep_spacing": "leading",
    "compute_dtype": mstype.float32,
    "trained_betas": None,
    "steps_offset": 0,
}


@takes_arguments(**DIFFUSION_ARGUMENTS)
class DiffusionScheduler(ProcessTables, Scheduler):
    """The noise process x_t = sqrt(alpha_bar_t) * x0 + sqrt(1 - alpha_bar_t) * noise (Ho et al., 2020, eq. (4)).

    Attributes:
        betas (numpy.ndarray): beta of each training timestep, float64, shape ``(T,)``.
        alphas_cumprod (Tensor): alpha_bar of each training timestep, float32, shape ``(T,)``.
    """

    limits = True
    """Whether a step limits the predicted clean sample as the configuration says."""

    def _configure(self):
        config = self.settings
        self.num_train_timesteps = config.num_train_timesteps
        self.prediction_type = config.get("prediction_type", "epsilon")
        self.timestep_spacing = config.get("timestep_spacing", "leading")
        self.steps_offset = config.get("steps_offset", 0)
        self.limit = configured_limit(config) if self.limits else None
        self.betas, alpha_bar = self._noise_process()
        self._take_alphas_cumprod(alpha_bar)
        self.end_level = (1.0, 0.0) if config.get("set_alpha_to_one", True) else (self._alphas[0], self._sigmas[0])
        self.timesteps = np.arange(self.num_train_timesteps)[::-1]
        self.num_timesteps = self.num_train_timesteps
        self.forward_process = PlanCell(self._forward_plan(self._alphas, self._sigmas), self.compute_dtype)
        self.velocity = PlanCell(self._forward_plan(-self._sigmas, self._alphas), self.compute_dtype)

    def _noise_process(self):
        """Returns betas and alpha_bar of the training timesteps."""
        betas = configured_betas(self.settings)
        return betas, alphas_cumprod_from_betas(betas)

    def _take_alphas_cumprod(self, alpha_bar):
        self.alphas_cumprod = Tensor(alpha_bar, mstype.float32)
        self._alphas = np.sqrt(alpha_bar)
        self._sigmas = np.sqrt(1 - alpha_bar)

    def replace_alphas_cumprod(self, alpha_bar):
        """Takes over another alpha_bar of the training timesteps; steps follow when their plan is built anew."""
        self._take_alphas_cumprod(alpha_bar)
        self.forward_process.load(self._forward_plan(self._alphas, self._sigmas))
        self.velocity.load(self._forward_plan(-self._sigmas, self._alphas))

    def __len__(self):
        return self.num_train_timesteps

    @property
    def levels(self):
        """Weights alpha, sigma of x = alpha * x0 + sigma * noise, at each step and at the end, each ``(n + 1,)``."""
        plan = self.plan_for()
        return tuple(np.append(level, reached[-1]) for level, reached in zip(plan.level, plan.next_level))

    def levels_of_calls(self):
        """Returns alpha and sigma of the sample at each row of the plan."""
        return self._alphas[self.timesteps], self._sigmas[self.timesteps]

    def set_timesteps(self, num_inference_steps=None, timesteps=None):
        """Chooses the timesteps of the following trajectory; takes effect in compiled graphs too.

        Args:
            num_inference_steps (int, optional): Number of steps, in [1, num_train_timesteps].
            timesteps (Sequence[int], optional): The timesteps themselves, strictly descending, in
                [0, num_train_timesteps - 1]. Exactly one of the two must be given.

        Raises:
            TypeError: If neither is given, or one has the wrong type.
            ValueError: If both are given, a value is out of range, or the schedule visits a timestep at which the
                prediction type is undefined.
        """
        check_one_given("set_timesteps", num_inference_steps=num_inference_steps, timesteps=timesteps)
        if timesteps is None:
            chosen = spaced_timesteps(
                self.timestep_spacing,
                self.num_train_timesteps,
                num_inference_steps,
                self.steps_offset,
                self.leading_timesteps,
            )
        else:
            chosen = custom_timesteps(timesteps, self.num_train_timesteps)
        self._check_prediction_defined(chosen)
        self.num_inference_steps = len(chosen)
        self._schedule(chosen)

    def _schedule(self, timesteps):
        """Takes over new timesteps; schedulers that can step build the plan that belongs to them."""
        self.timesteps = self.num_timesteps = timesteps
        self.scheduled = True
        self._plan_changed()

    def add_noise_in_graph(self, original_samples, noise, timesteps):
        """What the graph compiler reads in place of :meth:`add_noise`."""
        self.check_like_in_graph("noise", noise, original_samples)
        self.check_count_in_graph(timesteps, original_samples)
        index = timestep_index_in_graph(timesteps, self.num_train_timesteps)
        return self.forward_process(index, original_samples, noise)[0]

    @compiles_as(add_noise_in_graph)
    def add_noise(self, original_samples, noise, timesteps):
        """Returns x_t = sqrt(alpha_bar_t) * original_samples + sqrt(1 - alpha_bar_t) * noise.

        Args:
            original_samples (Tensor): Clean samples, shape ``(B, ...)``, any rank >= 2.
            noise (Tensor): Standard normal noise of the same shape.
            timesteps (int, numpy.ndarray or Tensor): A timestep in [0, num_train_timesteps - 1], or one for each
                sample, ``(B,)``, or for each frame of samples ``(B, T, ...)``, ``(B, T)``.

        Returns:
            Tensor of the same shape, in `compute_dtype`.

        Raises:
            TypeError: If an argument is no Tensor of float32, float16 or bfloat16.
            ValueError: If the shapes differ, or a timestep is out of range.
        """
        return self._forward(self.forward_process, "original_samples", original_samples, noise, timesteps)

    def get_velocity_in_graph(self, sample, noise, timesteps):
        """What the graph compiler reads in place of :meth:`get_velocity`."""
        self.check_like_in_graph("noise", noise, sample)
        self.check_count_in_graph(timesteps, sample)
        index = timestep_index_in_graph(timesteps, self.num_train_timesteps)
        return self.velocity(index, sample, noise)[0]

    @compiles_as(get_velocity_in_graph)
    def get_velocity(self, sample, noise, timesteps):
        """Returns v = sqrt(alpha_bar_t) * noise - sqrt(1 - alpha_bar_t) * sample (Salimans and Ho, 2022, section 4).

        Arguments, result and errors are those of :meth:`add_noise`; `sample` is the clean sample.
        """
        return self._forward(self.velocity, "sample", sample, noise, timesteps)

    def _forward(self, cell, name, sample, noise, timesteps):
        self.check_tensor(name, sample)
        self.check_tensor("noise", noise, like=sample)
        index = timestep_index(timesteps, sample.shape, self.num_train_timesteps, name="timesteps")
        return cell.run(index, (sample, noise))[0]

    def _forward_plan(self, sample_weight, noise_weight):
        states = {"sample": {"sample": sample_weight, "output": noise_weight}}
        return StepPlan(np.arange(self.num_train_timesteps), {}, states)

    def following(self, timesteps):
        """Returns the next lower timestep of the trajectory for each of `timesteps`, -1 below the lowest one."""
        visited = np.unique(self.timesteps)
        position = np.searchsorted(visited, timesteps) - 1
        return np.where(position >= 0, visited[position], -1)

    def level_at(self, timesteps):
        """Returns alpha and sigma of training timesteps; negative ones stand for the end of the trajectory."""
        return tuple(
            np.where(timesteps >= 0, level[timesteps], end)
            for level, end in zip((self._alphas, self._sigmas), self.end_level)
        )

    def _check_step_at(self, model_output, sample, timestep):
        """Checks the arguments of a step and returns the timestep as an index of the training timesteps."""
        self._check_step(model_output, sample, timestep)
        index = timestep_index(timestep, sample.shape, self.num_train_timesteps)
        if self._alphas[-1] == 0:
            self._check_prediction_defined(np.atleast_1d(index if isinstance(index, int) else index.asnumpy()))
        return index

    @staticmethod
    def place_of(index):
        """Returns a number that rises along a trajectory, None where the samples are at timesteps of their own."""
        return -index if isinstance(index, int) else None

    def _check_prediction_defined(self, timesteps):
        if self.prediction_type == "epsilon" and np.any(self._alphas[timesteps] == 0):
            raise ValueError(
                f"prediction_type='epsilon' is undefined at timestep {timesteps[self._alphas[timesteps] == 0][0]}: "
                "with rescale_betas_zero_snr the sample is pure noise there and the clean sample cannot be derived. "
                "Use prediction_type='v_prediction' or 'sample', or timesteps below it."
            )

    def index_in_graph(self, model_output, sample, timestep):
        """The form of :meth:`_check_step_at` that the graph compiler reads."""
        self.check_in_graph(model_output, sample, timestep)
        return timestep_index_in_graph(timestep, self.num_train_timesteps)
