"""IPNDM: the improved pseudo numerical method of v-diffusion (Zhang and Chen, 2022, arXiv:2204.13902, section 3.3)."""

import warnings

import numpy as np

from mindscience_diffuser.noise import clean_sample_weights, noise_weights
from mindscience_diffuser.plan import StepPlan, linear_combination
from mindscience_diffuser.schedulers.base.arguments import takes_arguments
from mindscience_diffuser.schedulers.base.sigmas import SigmaScheduler
from mindscience_diffuser.schedulers.diffusion.pndm import ORDER, adams_bashforth
from mindscience_diffuser.validation import check_integer


@takes_arguments(num_train_timesteps=1000, trained_betas=None)
class IPNDMScheduler(SigmaScheduler):
    """Fourth-order linear multistep method for models that predict v at a time t in [0, 1].

    The noises eps of the last four steps are combined by the coefficients of Adams and Bashforth, the first steps by
    those of lower orders, and ``x_next = alpha_next * (x - sigma * eps) / alpha + sigma_next * eps``, with
    sigma = sin^2(pi * u / 2) for u from 1 to 0 in even steps, alpha = sqrt(1 - sigma^2) and
    t = 2 / pi * atan(sigma / alpha).

    With `trained_betas` their values are the sigmas of the trajectory instead, with that of the end.

    Examples:
        >>> scheduler = IPNDMScheduler()
        >>> scheduler.set_timesteps(50)
        >>> for t in scheduler.timesteps:
        ...     x = scheduler.step(model(x, t), x, t)
    """

    has_warmup = True

    def _configure(self):
        given = np.asarray(self.settings.trained_betas or [1, 0], np.float64)
        if given.ndim != 1 or given.size < 2 or not np.all((given >= 0) & (given <= 1)):
            raise ValueError(f"'trained_betas' must hold two or more sigmas in [0, 1], but is {given.tolist()}.")
        self.num_train_timesteps = self.settings.num_train_timesteps
        self._take(np.linspace(1, 0, self.num_train_timesteps + 1), scheduled=False)

    def set_timesteps(self, num_inference_steps):
        """Chooses the times of the following trajectory; takes effect in compiled graphs too.

        Args:
            num_inference_steps (int): Number n of steps, at least 1. With `trained_betas` another number than theirs
                gives a warning.

        Raises:
            TypeError: If it is no integer.
            ValueError: If it is below 1.
        """
        count = check_integer("num_inference_steps", num_inference_steps, low=1)
        given = self.settings.trained_betas
        if given is not None and len(given) != count + 1:
            warnings.warn(
                f"'num_inference_steps' is {count}, but the {len(given)} 'trained_betas' are those of "
                f"{len(given) - 1} steps and the end: these are taken.",
                stacklevel=2,
            )
            count = len(given) - 1
        self.num_inference_steps = count
        self._take(np.linspace(1, 0, count + 1))

    def _take(self, times, scheduled=True):
        given = self.settings.trained_betas
        sigma = np.sin(times * np.pi / 2) ** 2 if given is None else np.asarray(given, np.float64)
        self._levels = np.sqrt(1 - sigma**2), sigma
        angles = np.arctan2(sigma, self._levels[0])[:-1]
        self._schedule((angles * 2 / np.pi).astype(np.float32), scheduled)

    @property
    def levels(self):
        """Weights alpha, sigma of x = alpha * x0 + sigma * noise, at each step and at the end, each ``(n + 1,)``."""
        return self._levels

    @property
    def alphas(self):
        """Weight alpha of the clean sample at each step and at the end, ``(n + 1,)``."""
        return self._levels[0]

    @property
    def betas(self):
        """Weight sigma of the noise at each step and at the end, ``(n + 1,)``."""
        return self._levels[1]

    def adams_bashforth(self, begin):
        """Returns the weights of the present noise and of those before it, ``(n, 4)``, for a start at row `begin`."""
        calls = np.arange(len(self.timesteps))[:, None] - np.arange(ORDER)
        return adams_bashforth(calls >= begin)

    def trajectory_plan(self, begin=0):
        """Returns the plan of the chosen times; the trajectory starts at row `begin`."""
        alpha, sigma = (level[:-1] for level in self.levels)
        alpha_next, sigma_next = (level[1:] for level in self.levels)
        x0, epsilon = (part("v_prediction", alpha, sigma) for part in (clean_sample_weights, noise_weights))
        weights = self.adams_bashforth(begin)
        past = {f"noise_{k}": weights[:, k] for k in range(1, ORDER)}
        # eps of the method less that of this step changes x0 by -sigma / alpha; from pure noise there is no past.
        ratio = np.divide(sigma, alpha, out=np.zeros_like(sigma), where=alpha > 0)
        change = linear_combination((weights[:, 0] - 1, epsilon), (1.0, past))
        x_next = linear_combination((alpha_next, x0), (sigma_next, epsilon), (sigma_next - alpha_next * ratio, change))
        history = {f"noise_{k}": {f"noise_{k - 1}": 1.0} for k in range(2, ORDER)}
        return StepPlan(
            self.timesteps,
            x0,
            {"sample": x_next, "noise_1": epsilon, **history},
            needs_fp16_gain=True,
            next_level=(alpha_next, sigma_next),
        )
