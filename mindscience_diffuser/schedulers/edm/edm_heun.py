"""Algorithm 2 of EDM: Heun's method with churn (Karras et al., 2022, arXiv:2206.00364)."""

import numpy as np

from mindscience_diffuser.noise import churn
from mindscience_diffuser.plan import StepPlan
from mindscience_diffuser.schedulers.base.arguments import takes_arguments
from mindscience_diffuser.schedulers.edm.edm import EDMScheduler
from mindscience_diffuser.validation import check_integer


@takes_arguments(
    choices={"prediction_type": ("epsilon", "v_prediction", "sample")},
    sigma_min=0.002,
    sigma_max=80.0,
    sigma_data=0.5,
    sigma_offset_noise=0.0,
    sigma_schedule="karras",
    num_train_timesteps=1000,
    prediction_type="epsilon",
    rho=7.0,
    solver_order=2,
    s_churn=0.0,
    s_tmin=0.0,
    s_tmax=float("inf"),
    s_noise=1.0,
    call_at_sigma_hat=True,
    quantize=False,
)
class EDMHeunScheduler(EDMScheduler):
    """Second order, two model calls a step, but for a last step to sigma = 0, which has one.

    With ``x_hat = x + s_noise * sqrt(sigma_hat^2 - sigma^2) * z`` at ``sigma_hat = (1 + gamma) * sigma``::

        d      = (x_hat - D(x_hat; sigma_hat)) / sigma_hat
        x'     = x_hat + (sigma_next - sigma_hat) * d
        d'     = (x' - D(x'; sigma_next)) / sigma_next
        x_next = x_hat + (sigma_next - sigma_hat) * (d + d') / 2

    `solver_order` 1 ends with x'. The noise of churn is added at the end of the step before: the sample that `step`
    returns is already x_hat of the next step, and a trajectory begins with noise of standard deviation
    `init_noise_sigma`, x_hat of the first. So the model is always called at the sample as it is. `sigmas` are the
    levels before churn, ``(n + 1,)``; `timesteps` has an entry for each model call.

    Examples:
        >>> scheduler = EDMHeunScheduler(s_churn=40.0, s_tmin=0.05, s_tmax=50.0, s_noise=1.003)
        >>> scheduler.set_timesteps(18)
        >>> x = noise * scheduler.init_noise_sigma
        >>> for t in scheduler.timesteps:
        ...     x = scheduler.step(model(scheduler.scale_model_input(x, t), t), x, t, generator=0)
    """

    def _configure(self):
        self.order = check_integer("solver_order", self.settings.solver_order, low=1, high=2)
        self._churn_between("s_tmin", "s_tmax")
        super()._configure()

    def _churn_between(self, lowest, highest):
        """Takes over two arguments, given by name: the levels between which churn adds noise."""
        self.churn_range = self.settings[lowest], self.settings[highest]
        if self.churn_range[0] > self.churn_range[1]:
            raise ValueError(
                f"'{lowest}' must be at most '{highest}', but is {self.churn_range[0]} and {highest} is "
                f"{self.churn_range[1]}."
            )

    @property
    def churned_sigmas(self):
        """The levels that churn raises ``sigmas`` to, sigma_hat of each step and the level of the end, ``(n + 1,)``."""
        config = self.settings
        steps = self.sigmas[:-1]
        gamma = churn(steps, len(steps), config.s_churn, *self.churn_range, config.s_noise)
        return np.append((1 + gamma) * steps, self.sigmas[-1])

    @property
    def churn_std(self):
        """Standard deviation of the noise that churn adds before each step, none at the end, ``(n + 1,)``."""
        return self.settings.s_noise * np.sqrt(self.churned_sigmas**2 - self.sigmas**2)

    @property
    def levels(self):
        """Weights alpha, sigma of x = alpha * x0 + sigma * noise, at each row and at the end."""
        churned = np.hypot(self.sigmas, self.churn_std)
        sigmas = np.append(self._by_call(churned, self.sigmas), churned[-1])
        return np.ones_like(sigmas), sigmas

    @property
    def init_noise_sigma(self):
        """Standard deviation of the noise that a trajectory starts from: x_hat of the first step."""
        return float(self.levels[1][0])

    def call_levels(self):
        """Returns the level that the model is told in each row of the plan."""
        return self._by_call(
            self.churned_sigmas if self.settings.get("call_at_sigma_hat", True) else self.sigmas, self.sigmas
        )

    def trajectory_plan(self):
        """Returns the plan: a row for each model call, that of a corrector after that of its predictor."""
        step, corrects = self._calls()
        ends = np.append(step[1:] > step[:-1], True)
        sigma_hat, sigma_next = self.churned_sigmas[step], self.sigmas[step + 1]
        called = self.call_levels()
        kept = sigma_next / sigma_hat
        sample, states = {"sample": kept, "x0": 1 - kept}, {}
        if self.order == 2:
            # Half the step by the slope at x', which is (x' - x0) / sigma_next; x' itself holds that at x_hat.
            half = 0.5 * (1 - np.divide(sigma_hat, sigma_next, out=np.ones_like(kept), where=corrects))
            sample = {
                "sample": np.where(corrects, 0.5 + half, kept),
                "base": np.where(corrects, 0.5, 0.0),
                "x0": np.where(corrects, -half, 1 - kept),
            }
            states["base"] = {"sample": 1.0}
        if self.settings.s_churn > 0:
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
        """Returns which step each row belongs to, and whether it is the step's second call; sigma = 0 has no slope."""
        step = np.repeat(np.arange(len(self.sigmas) - 1), self.order)
        corrects = np.arange(len(step)) % self.order == 1
        kept = ~corrects | (self.sigmas[step + 1] > 0)
        return step[kept], corrects[kept]

    def _by_call(self, at_first, at_second):
        """Returns the value of each row: `at_first` of a step's beginning, or `at_second` of its end."""
        step, corrects = self._calls()
        return np.where(corrects, at_second[step + 1], at_first[step])
