"""The consistency decoder of DALL-E 3, which draws images from their latents (Betker et al., 2023)."""

import numpy as np

from mindscience_diffuser.noise import betas_from_schedule, custom_timesteps
from mindscience_diffuser.plan import Limit, StepPlan
from mindscience_diffuser.schedulers.base.arguments import ONE_SIGMA_DATA, takes_arguments
from mindscience_diffuser.schedulers.base.sigmas import SigmaScheduler
from mindscience_diffuser.validation import check_integer, check_one_given

STRIDES = 64
"""The decoder was distilled for timesteps that are so many strides from 0 to T, but for both ends."""


@takes_arguments(choices={"sigma_data": ONE_SIGMA_DATA}, num_train_timesteps=1024, sigma_data=0.5)
class ConsistencyDecoderScheduler(SigmaScheduler):
    """Multistep consistency sampling along a diffusion process with cosine betas, ``x = alpha * x0 + sigma * z``.

    The consistency function is ``f(x) = c_skip * x + c_out * output``, clipped to [-1, 1] as in the release; the model
    is given ``c_in * x``. With s = `sigma_data` and ``d = sqrt(sigma^2 + s^2 * alpha^2)`` that is EDM's preconditioning
    (Karras et al., 2022, arXiv:2206.00364, Table 1) of the level sigma / alpha::

        c_in = 1 / d,    c_skip = s^2 * alpha / d^2,    c_out = s * sigma / d
        x_next = alpha_next * f(x) + sigma_next * z

    A trajectory begins with noise of the standard deviation ``init_noise_sigma``; its last step has no noise.

    Examples:
        >>> scheduler = ConsistencyDecoderScheduler()
        >>> scheduler.set_timesteps(2)
        >>> x = noise * scheduler.init_noise_sigma
        >>> for t in scheduler.timesteps:
        ...     x = scheduler.step(model(scheduler.scale_model_input(x, t), t), x, t, generator=0)
    """

    limit = Limit("clip", 1.0)
    """What keeps the clean sample in range."""

    def _configure(self):
        self.num_train_timesteps = self.settings.num_train_timesteps
        self.alphas_cumprod = np.cumprod(1 - betas_from_schedule("squaredcos_cap_v2", self.num_train_timesteps))
        self._visit(np.arange(self.num_train_timesteps)[::-1], scheduled=False)

    @property
    def init_noise_sigma(self):
        """Standard deviation of the noise that a trajectory starts from."""
        return float(self.levels[1][0])

    @property
    def levels(self):
        """Weights alpha, sigma of x = alpha * x0 + sigma * noise, at each step and at the end, each ``(n + 1,)``."""
        alpha_bar = np.append(self.alphas_cumprod[self.timesteps], 1.0)
        return np.sqrt(alpha_bar), np.sqrt(1 - alpha_bar)

    def set_timesteps(self, num_inference_steps=None, timesteps=None):
        """Chooses the timesteps of the following trajectory; takes effect in compiled graphs too.

        One of the two must be given.

        Args:
            num_inference_steps (int, optional): Number n of steps, at least 1 and at most as many as the timesteps that
                the decoder was distilled for, 63 of 1024: evenly among these, from the last one. The release takes 2.
            timesteps (Sequence[int], optional): The timesteps, strictly descending, in [0, T - 1].

        Raises:
            TypeError: If none of them is given, or one has the wrong type.
            ValueError: If both are given, or a value is out of range or not descending.
        """
        check_one_given("set_timesteps", num_inference_steps=num_inference_steps, timesteps=timesteps)
        if timesteps is None:
            stride = max(self.num_train_timesteps // STRIDES, 1)
            most = self.num_train_timesteps // stride - 1
            count = check_integer("num_inference_steps", num_inference_steps, 1, max(most, 1))
            timesteps = stride * -(-most * np.arange(count, 0, -1) // count)
        visited = custom_timesteps(timesteps, self.num_train_timesteps)
        self.num_inference_steps = len(visited)
        self._visit(visited)

    def _visit(self, visited, scheduled=True):
        self.timesteps = visited
        self._schedule(visited, scheduled)

    def scalings(self, alpha, sigma):
        """Returns c_in, c_skip and c_out of these levels."""
        s = self.settings.sigma_data
        d = np.hypot(sigma, s * alpha)
        return 1 / d, s**2 * alpha / d**2, s * sigma / d

    def trajectory_plan(self):
        """Returns the plan of the chosen timesteps."""
        alpha, sigma = self.levels
        c_in, c_skip, c_out = self.scalings(alpha[:-1], sigma[:-1])
        return StepPlan(
            self.timesteps,
            {"sample": c_skip, "output": c_out},
            {"sample": {"x0": alpha[1:], "noise": sigma[1:]}},
            limit=self.limit,
            next_level=(alpha[1:], sigma[1:]),
            input_scale=c_in,
        )
