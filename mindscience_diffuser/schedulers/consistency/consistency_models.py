"""Consistency models (Song et al., 2023, arXiv:2303.01469)."""

import numpy as np

from mindscience_diffuser.noise import SIGMA_SCHEDULES, custom_timesteps
from mindscience_diffuser.plan import Limit, StepPlan
from mindscience_diffuser.schedulers.base.arguments import ONE_SIGMA_DATA, takes_arguments
from mindscience_diffuser.schedulers.base.sigmas import SigmaScheduler, check_sigma_range
from mindscience_diffuser.validation import check_integer, check_one_given


@takes_arguments(
    choices={"sigma_data": ONE_SIGMA_DATA},
    num_train_timesteps=40,
    sigma_min=0.002,
    sigma_max=80.0,
    sigma_data=0.5,
    s_noise=1.0,
    rho=7.0,
    clip_denoised=True,
)
class CMStochasticIterativeScheduler(SigmaScheduler):
    """One-step and multistep sampling, algorithm 1 of the paper.

    The consistency function is ``f(x, sigma) = c_skip * x + c_out * output``, appendix C with epsilon = sigma_min::

        c_skip = sigma_data^2 / ((sigma - sigma_min)^2 + sigma_data^2)
        c_out  = sigma_data * (sigma - sigma_min) / sqrt(sigma^2 + sigma_data^2)
        x_next = f(x, sigma) + s_noise * sqrt(sigma_next^2 - sigma_min^2) * z

    The model is given ``x / sqrt(sigma^2 + sigma_data^2)`` and told ``250 * ln(sigma)``. The levels are some of the T
    training levels; the last step ends at sigma_min, without noise.

    Examples:
        >>> scheduler = CMStochasticIterativeScheduler()
        >>> scheduler.set_timesteps(2)
        >>> x = noise * scheduler.init_noise_sigma
        >>> for t in scheduler.timesteps:
        ...     x = scheduler.step(model(scheduler.scale_model_input(x, t), t), x, t, generator=0)
    """

    def _configure(self):
        config = self.settings
        check_sigma_range(config)
        self.num_train_timesteps = config.num_train_timesteps
        self.limit = Limit("clip", 1.0) if config.clip_denoised else None
        self.training_sigmas = SIGMA_SCHEDULES["karras"](
            config.sigma_max, config.sigma_min, config.num_train_timesteps, config.rho
        )
        self._visit(np.arange(config.num_train_timesteps), scheduled=False)

    @property
    def init_noise_sigma(self):
        """Standard deviation of the noise that a trajectory starts from."""
        return self.settings.sigma_max

    @property
    def levels(self):
        """Weights alpha, sigma of x = alpha * x0 + sigma * noise, at each row and at the end, each ``(n + 1,)``."""
        return np.ones_like(self.sigmas), self.sigmas

    def set_timesteps(self, num_inference_steps=None, timesteps=None):
        """Chooses the levels of the following trajectory; takes effect in compiled graphs too.

        One of the two must be given.

        Args:
            num_inference_steps (int, optional): Number n of steps, in [1, T]: every (T // n)-th training level from
                `sigma_max` on.
            timesteps (Sequence[int], optional): Training levels to visit, counted from `sigma_max`: strictly
                descending, in [0, T - 1]. They are visited from the last one, the highest level, on.

        Raises:
            TypeError: If none of them is given, or one has the wrong type.
            ValueError: If both are given, or a value is out of range or not descending.
        """
        check_one_given("set_timesteps", num_inference_steps=num_inference_steps, timesteps=timesteps)
        if timesteps is None:
            count = check_integer("num_inference_steps", num_inference_steps, 1, self.num_train_timesteps)
            visited = np.arange(count) * (self.num_train_timesteps // count)
        else:
            visited = custom_timesteps(timesteps, self.num_train_timesteps)[::-1]
        self.num_inference_steps = len(visited)
        self._visit(visited)

    def _visit(self, visited, scheduled=True):
        sigmas = self.training_sigmas[visited]
        self.sigmas = np.append(sigmas, self.settings.sigma_min)
        self._schedule(self.model_timestep(sigmas).astype(np.float32), scheduled)

    def model_timestep(self, sigma):
        """Returns what the model is told at levels."""
        return 250 * np.log(sigma)

    def clean_sample(self, sigma):
        """Returns the consistency function at levels, as weights of sample and output."""
        above, sigma_data = sigma - self.settings.sigma_min, self.settings.sigma_data
        c_out = sigma_data * above / np.hypot(sigma, sigma_data)
        return {"sample": sigma_data**2 / (above**2 + sigma_data**2), "output": c_out}

    def trajectory_plan(self):
        """Returns the plan of the chosen levels."""
        sigma = self.sigmas[:-1]
        spread = np.sqrt(np.maximum(self.sigmas[1:] ** 2 - self.settings.sigma_min**2, 0))
        return StepPlan(
            self.timesteps,
            self.clean_sample(sigma),
            {"sample": {"x0": 1.0, "noise": self.settings.s_noise * spread}},
            limit=self.limit,
            next_level=tuple(level[1:] for level in self.levels),
            input_scale=1 / np.hypot(sigma, self.settings.sigma_data),
        )
