"""Predictors and correctors of the reverse SDE (Song et al., 2021, arXiv:2011.13456)."""

from typing import NamedTuple

import numpy as np
from mindspore import Tensor

from mindscience_diffuser.noise import SIGMA_SCHEDULES, clean_sample_weights
from mindscience_diffuser.plan import StepPlan
from mindscience_diffuser.schedulers.base.arguments import takes_arguments
from mindscience_diffuser.schedulers.base.sigmas import SigmaScheduler, check_sigma_range
from mindscience_diffuser.validation import check_bool, check_integer


class ScoreSdeOutput(NamedTuple):
    """What a step returns with ``return_dict=True``, each of the shape of the sample.

    Attributes:
        prev_sample (Tensor): The sample at the next timestep.
        prev_sample_mean (Tensor): The same before its fresh noise.
        pred_original_sample (Tensor): The predicted clean sample.
    """

    prev_sample: Tensor
    prev_sample_mean: Tensor
    pred_original_sample: Tensor


class ScoreSdeScheduler(SigmaScheduler):
    """Base of the schedulers of an SDE in continuous time, which runs from 1 down to `sampling_eps`.

    A subclass says in :meth:`_take_times` which levels belong to the times of n steps.
    """

    output = ScoreSdeOutput

    def _configure(self):
        self.num_train_timesteps = self.settings.num_train_timesteps
        self._begin(self.num_train_timesteps, scheduled=False)

    def set_timesteps(self, num_inference_steps):
        """Chooses the steps of the following trajectory; takes effect in compiled graphs too.

        Args:
            num_inference_steps (int): Number n of steps, at least 1.

        Raises:
            TypeError: If it is not an integer.
            ValueError: If it is below 1.
        """
        self.num_inference_steps = check_integer("num_inference_steps", num_inference_steps, low=1)
        self._begin(num_inference_steps)

    def _begin(self, count, scheduled=True):
        self._take_times(np.linspace(1, self.settings.sampling_eps, count))
        self._schedule(self.timesteps, scheduled)

    @property
    def levels(self):
        """Weights alpha, sigma of x = alpha * x0 + sigma * noise, at each row and at the end, each ``(n + 1,)``."""
        return self.alphas, self.sigmas


@takes_arguments(
    num_train_timesteps=2000,
    snr=0.15,
    sigma_min=0.01,
    sigma_max=1348.0,
    sampling_eps=1e-5,
    correct_steps=1,
)
class ScoreSdeVeScheduler(ScoreSdeScheduler):
    """The variance-exploding SDE: reverse diffusion predictor and Langevin corrector, algorithms 2 and 4 of the paper.

    The model predicts the score g and is told sigma. Each step calls it `correct_steps` times for a corrector, and then
    once for the predictor, which leads from sigma to sigma_next; both draw fresh noise z::

        x <- x + epsilon * g + sqrt(2 * epsilon) * z,   epsilon = 2 * (snr * |z| / |g|)^2
        x <- x + (sigma^2 - sigma_next^2) * g + sqrt(sigma^2 - sigma_next^2) * z

    The norms are means over the batch, so the corrected samples of a batch depend on one another. n levels lie evenly
    in log(sigma) between `sigma_max` and `sigma_min`; the last predictor leads to 0. With float16 the arithmetic of a
    step is float32, since sigma^2 leaves the range.

    `step` has the option `denoise`: whether the last predictor adds no noise, as in the code of the paper.

    Examples:
        >>> scheduler = ScoreSdeVeScheduler()
        >>> scheduler.set_timesteps(1000)
        >>> x = noise * scheduler.init_noise_sigma
        >>> for sigma in scheduler.timesteps:
        ...     x = scheduler.step(score(x, sigma), x, sigma, generator=0)
    """

    def _configure(self):
        check_sigma_range(self.settings)
        self.order = self.settings.correct_steps + 1
        super()._configure()

    @property
    def init_noise_sigma(self):
        """Standard deviation of the noise that a trajectory starts from."""
        return self.settings.sigma_max

    def _take_times(self, times):
        lowest, highest = self.settings.sigma_min, self.settings.sigma_max
        # The model is told the level of the time, which ends at sampling_eps; the steps end at sigma_min.
        told = lowest * (highest / lowest) ** times
        self.timesteps = np.repeat(told, self.order).astype(np.float32)
        sigmas = SIGMA_SCHEDULES["exponential"](highest, lowest, len(times))
        self.sigmas = np.append(np.repeat(sigmas, self.order), 0.0)
        self.alphas = np.ones_like(self.sigmas)

    def trajectory_plan(self, denoise=True):
        """Returns the plan: for each step the rows of its correctors, then that of its predictor."""
        count = len(self.timesteps)
        predicts = np.arange(count) % self.order == self.order - 1
        # Neither corrector nor its successor changes the level, so that their difference is 0.
        variance = self.sigmas[:-1] ** 2 - self.sigmas[1:] ** 2
        noisy = (np.arange(count) < count - 1) | (not check_bool("denoise", denoise))
        mean = {"sample": 1.0, "output": variance}
        return StepPlan(
            self.timesteps,
            {"sample": 1.0, "output": self.sigmas[:-1] ** 2},
            {"sample": {**mean, "noise": np.sqrt(variance) * noisy}},
            results={"prev_sample_mean": mean},
            next_level=(self.alphas[1:], self.sigmas[1:]),
            langevin=np.where(predicts, 0.0, self.settings.snr),
        )


@takes_arguments(num_train_timesteps=2000, beta_min=0.1, beta_max=20.0, sampling_eps=1e-3)
class ScoreSdeVpScheduler(ScoreSdeScheduler):
    """The variance-preserving SDE by the Euler-Maruyama method, appendix E of the paper.

    The model predicts the noise, output = -sigma * score, and is told ``t * (T - 1)``. With beta = beta_min + t *
    (beta_max - beta_min), alpha = exp(-t^2 * (beta_max - beta_min) / 4 - t * beta_min / 2), sigma^2 = 1 - alpha^2 and
    h = 1 / n, eqs. (32) and (33)::

        x <- x + h * beta * (x / 2 - output / sigma) + sqrt(h * beta) * z

    `step` has the option `denoise`: whether the last step adds no noise, as in the code of the paper.

    Examples:
        >>> scheduler = ScoreSdeVpScheduler()
        >>> scheduler.set_timesteps(1000)
        >>> x = noise
        >>> for t in scheduler.timesteps:
        ...     x = scheduler.step(model(x, t), x, t, generator=0)
    """

    def _take_times(self, times):
        low, high = self.settings.beta_min, self.settings.beta_max
        self.betas = low + times * (high - low)
        log_alpha = -(times**2) * (high - low) / 4 - times * low / 2
        self.timesteps = (times * (self.num_train_timesteps - 1)).astype(np.float32)
        self.alphas = np.append(np.exp(log_alpha), 1.0)
        self.sigmas = np.append(np.sqrt(-np.expm1(2 * log_alpha)), 0.0)

    def trajectory_plan(self, denoise=True):
        """Returns the plan of the chosen times."""
        count = len(self.timesteps)
        alpha, sigma = self.alphas[:-1], self.sigmas[:-1]
        share = self.betas / count
        noisy = (np.arange(count) < count - 1) | (not check_bool("denoise", denoise))
        mean = {"sample": 1 + share / 2, "output": -share / sigma}
        return StepPlan(
            self.timesteps,
            clean_sample_weights("epsilon", alpha, sigma),
            {"sample": {**mean, "noise": np.sqrt(share) * noisy}},
            results={"prev_sample_mean": mean},
            needs_fp16_gain=True,
            next_level=(self.alphas[1:], self.sigmas[1:]),
        )
