"""DDPM in continuous time, the sampler of Würstchen (Pernias et al., 2023, arXiv:2306.00637)."""

import numpy as np

from mindscience_diffuser.noise import clean_sample_weights
from mindscience_diffuser.plan import StepPlan
from mindscience_diffuser.schedulers.base.arguments import takes_arguments
from mindscience_diffuser.schedulers.base.sigmas import SigmaScheduler
from mindscience_diffuser.schedulers.diffusion.ddpm import posterior
from mindscience_diffuser.validation import check_descending, check_integer, check_within

LOWEST, HIGHEST = 0.0001, 0.9999
"""Range of alpha_bar."""


@takes_arguments(scaler=1.0, s=0.008)
class DDPMWuerstchenScheduler(SigmaScheduler):
    """Ancestral sampling, arXiv:2006.11239, eq. (7), of a model that predicts the noise at a time t in [0, 1].

    ``alpha_bar(t) = cos^2((u + s) / (1 + s) * pi / 2) / cos^2(s / (1 + s) * pi / 2)``, held in [0.0001, 0.9999], with
    u = 1 - (1 - t)^scaler for a scaler above 1, else u = t^scaler.

    Examples:
        >>> scheduler = DDPMWuerstchenScheduler()
        >>> scheduler.set_timesteps(30)
        >>> for t in scheduler.timesteps:
        ...     x = scheduler.step(model(x, t), x, t, generator=0)
    """

    num_train_timesteps = 1000
    """Steps that a compiled graph has room for; time is continuous."""

    def _configure(self):
        self._take(np.linspace(1, 0, self.num_train_timesteps + 1), scheduled=False)

    def set_timesteps(self, num_inference_steps=None, timesteps=None):
        """Chooses the times of the following trajectory; takes effect in compiled graphs too.

        Args:
            num_inference_steps (int, optional): Number n of steps, at least 1: from 1 to 0 in even steps.
            timesteps (Sequence[float], optional): The times themselves, descending, in [0, 1], with that of
                the end, ``(n + 1,)``. Exactly one of the two must be given.

        Raises:
            TypeError: If an argument has the wrong type.
            ValueError: If both or none are given, or a value is out of range.
        """
        if (num_inference_steps is None) == (timesteps is None):
            given = "both are" if timesteps is not None else "none is"
            raise ValueError(f"Exactly one of 'num_inference_steps' and 'timesteps' must be given, but {given}.")
        if timesteps is None:
            times = np.linspace(1, 0, check_integer("num_inference_steps", num_inference_steps, low=1) + 1)
        else:
            times = check_descending("timesteps", timesteps, "[0, 1]", least=2)
        self.num_inference_steps = len(times) - 1
        self._take(times)

    def _take(self, times, scheduled=True):
        self.times = times
        self._schedule(times[:-1].astype(np.float32), scheduled)

    @property
    def levels(self):
        """Weights alpha, sigma of x = alpha * x0 + sigma * noise, at each step and at the end, each ``(n + 1,)``."""
        return self._level(self.times)

    def level_at(self, timesteps):
        """Returns alpha and sigma of any times in [0, 1]."""
        return self._level(check_within("timesteps", timesteps, "[0, 1]"))

    def _level(self, times):
        scaler, offset = self.settings.scaler, self.settings.s
        times = 1 - (1 - times) ** scaler if scaler > 1 else times**scaler
        cosine = np.cos((times + offset) / (1 + offset) * np.pi / 2) / np.cos(offset / (1 + offset) * np.pi / 2)
        alpha_bar = np.clip(cosine**2, LOWEST, HIGHEST)
        return np.sqrt(alpha_bar), np.sqrt(1 - alpha_bar)

    def trajectory_plan(self):
        """Returns the plan of the chosen times."""
        alpha, sigma = (level[:-1] for level in self.levels)
        alpha_prev, sigma_prev = (level[1:] for level in self.levels)
        mean, _, variance = posterior(alpha, sigma, alpha_prev, sigma_prev)
        return StepPlan(
            self.timesteps,
            clean_sample_weights("epsilon", alpha, sigma),
            {"sample": {**mean, "noise": np.sqrt(variance) * (self.times[1:] != 0)}},
            needs_fp16_gain=True,
            next_level=(alpha_prev, sigma_prev),
        )
