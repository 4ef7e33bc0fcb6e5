"""Steps that begin with churn: noise raises the level before the model is called (Karras et al., 2022, algorithm 2)."""

from abc import abstractmethod

import numpy as np

from mindscience_diffuser.noise import churn
from mindscience_diffuser.plan import StepPlan


class ChurnedSteps:
    """What an EDMScheduler needs for steps of one or two model calls that begin at ``sigma_hat``, above the last level.

    ``x_hat = x + s_noise * sqrt(sigma_hat^2 - sigma^2) * z``. This noise is added at the end of the step before: the
    sample that `step` returns is already x_hat of the next step, and a trajectory begins with noise of standard
    deviation `init_noise_sigma`, x_hat of the first. So the model is always called at the sample as it is. `sigmas` are
    the levels before churn, ``(n + 1,)``; `timesteps` has an entry for each model call. A last step to sigma = 0 has
    one call.
    """

    def _churn_between(self, lowest, highest):
        """Takes over two arguments, given by name: the levels between which churn adds noise."""
        self.churn_range = self.settings[lowest], self.settings[highest]
        if self.churn_range[0] > self.churn_range[1]:
            raise ValueError(
                f"'{lowest}' must be at most '{highest}', but is {self.churn_range[0]} and {highest} is "
                f"{self.churn_range[1]}."
            )

    @property
    def churns(self):
        """Whether noise is added at all, at any levels."""
        return self.settings.s_churn > 0

    @property
    def churn_rates(self):
        """How far churn raises the level of each step: gamma in sigma_hat = (1 + gamma) * sigma, ``(n,)``."""
        config = self.settings
        steps = self.sigmas[:-1]
        return churn(steps, len(steps), config.s_churn, *self.churn_range, config.s_noise)

    @property
    def churn_factor(self):
        """Factor of the noise of churn."""
        return self.settings.s_noise

    @property
    def churned_sigmas(self):
        """The levels that churn raises ``sigmas`` to, sigma_hat of each step and the level of the end, ``(n + 1,)``."""
        return np.append((1 + self.churn_rates) * self.sigmas[:-1], self.sigmas[-1])

    @property
    def churn_std(self):
        """Standard deviation of the noise that churn adds before each step, none at the end, ``(n + 1,)``."""
        return self.churn_factor * np.sqrt(self.churned_sigmas**2 - self.sigmas**2)

    @property
    def second_sigmas(self):
        """The level of each step's second call, ``(n,)``: the end of the step."""
        return self.sigmas[1:]

    @property
    def levels(self):
        """Weights alpha, sigma of x = alpha * x0 + sigma * noise, at each row and at the end."""
        churned = np.hypot(self.sigmas, self.churn_std)
        sigmas = np.append(self._by_call(churned, self.second_sigmas), churned[-1])
        return np.ones_like(sigmas), sigmas

    @property
    def init_noise_sigma(self):
        """Standard deviation of the noise that a trajectory starts from: x_hat of the first step."""
        return float(self.levels[1][0])

    def call_levels(self):
        """Returns the level that the model is told in each row of the plan."""
        return self._by_call(self.churned_sigmas, self.second_sigmas)

    @abstractmethod
    def updates(self, sigma_hat, sigma_next, step, corrects):
        """Returns the weights of the next sample, without its noise, and those of each state that is remembered.

        Args:
            sigma_hat (numpy.ndarray): Level at which the step of each row begins, ``(rows,)``.
            sigma_next (numpy.ndarray): Level at which it ends, ``(rows,)``.
            step (numpy.ndarray): Number of the step, ``(rows,)``.
            corrects (numpy.ndarray): Whether the row is the step's second call, ``(rows,)``.
        """

    def trajectory_plan(self):
        """Returns the plan: a row for each model call."""
        step, corrects = self._calls()
        ends = np.append(step[1:] > step[:-1], True)
        called = self.call_levels()
        sample, states = self.updates(self.churned_sigmas[step], self.sigmas[step + 1], step, corrects)
        if self.churns:
            sample["noise"] = np.where(ends, self.churn_std[step + 1], 0.0)
        return StepPlan(
            self.timesteps,
            self.clean_sample(called),
            {"sample": sample, **states},
            limit=self.limit,
            needs_fp16_gain=self.order == 2,
            next_level=tuple(level[1:] for level in self.levels),
            input_scale=self.input_scale(called),
        )

    def _calls(self):
        """Returns which step each row belongs to, and whether it is the step's second call; sigma = 0 has none."""
        step = np.repeat(np.arange(len(self.sigmas) - 1), self.order)
        corrects = np.arange(len(step)) % self.order == 1
        kept = ~corrects | (self.sigmas[step + 1] > 0)
        return step[kept], corrects[kept]

    def _by_call(self, at_first, at_second):
        """Returns the value of each row: that of its step in one array or in the other."""
        step, corrects = self._calls()
        return np.where(corrects, at_second[step], at_first[step])
