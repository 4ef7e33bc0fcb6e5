"""Consistency sampling of TrigFlow models: sCM (Lu and Song, 2024, arXiv:2410.11081), as in SANA-Sprint."""

import numpy as np

from mindscience_diffuser.plan import StepPlan
from mindscience_diffuser.schedulers.base.arguments import ONE_SIGMA_DATA, takes_arguments
from mindscience_diffuser.schedulers.base.sigmas import SigmaScheduler
from mindscience_diffuser.validation import check_descending, check_integer, check_number


@takes_arguments(
    choices={"prediction_type": ("trigflow",), "sigma_data": ONE_SIGMA_DATA},
    num_train_timesteps=1000,
    prediction_type="trigflow",
    sigma_data=0.5,
)
class SCMScheduler(SigmaScheduler):
    """Multistep consistency sampling along x_t = cos(t) * x0 + sin(t) * sigma_data * z, with t in [0, pi / 2].

    ``x0 = cos(t) * x - sin(t) * F``, section 3 of the paper with F the output of the model times sigma_data, and
    ``x_next = cos(t_next) * x0 + sin(t_next) * sigma_data * z``. A trajectory starts from noise of standard deviation
    sigma_data.

    Examples:
        >>> scheduler = SCMScheduler()
        >>> scheduler.set_timesteps(2)
        >>> for t in scheduler.timesteps:
        ...     x = scheduler.step(model(x, t), x, t, generator=0)
    """

    def _configure(self):
        self.num_train_timesteps = self.settings.num_train_timesteps
        self._take(np.linspace(np.pi / 2, 0, self.num_train_timesteps + 1), scheduled=False)

    def set_timesteps(
        self, num_inference_steps=None, timesteps=None, max_timesteps=1.57080, intermediate_timesteps=1.3
    ):
        """Chooses the times of the following trajectory; takes effect in compiled graphs too.

        Args:
            num_inference_steps (int, optional): Number n of steps, in [1, T]. Default: as many as `timesteps` give.
            timesteps (Sequence[float], optional): The times themselves, descending, in [0, 1.5708], with that
                of the end, ``(n + 1,)``. Default: evenly from `max_timesteps` to 0.
            max_timesteps (float): First time, in (0, 1.5708]. Default: ``1.57080``.
            intermediate_timesteps (float, optional): Second of two steps, below `max_timesteps`; without effect for
                another number. None: half way. Default: ``1.3``.

        Raises:
            TypeError: If neither a number of steps nor times are given, or one has the wrong type.
            ValueError: If the lengths differ, or a value is out of range.
        """
        if timesteps is not None:
            times = check_descending("timesteps", timesteps, "[0, 1.5708]", least=2)
            if num_inference_steps not in (None, len(times) - 1):
                raise ValueError(
                    f"'timesteps' has {len(times)} entries, those of {len(times) - 1} steps and the end, but "
                    f"'num_inference_steps' is {num_inference_steps}."
                )
        else:
            count = check_integer("num_inference_steps", num_inference_steps, low=1, high=self.num_train_timesteps)
            first = check_number("max_timesteps", max_timesteps, "(0, 1.5708]")
            times = np.linspace(first, 0, count + 1)
            if count == 2 and intermediate_timesteps is not None:
                times[1] = check_number("intermediate_timesteps", intermediate_timesteps, f"(0, {first})")
        self.num_inference_steps = len(times) - 1
        self._take(times)

    def _take(self, times, scheduled=True):
        self.times = times
        self._schedule(times[:-1].astype(np.float32), scheduled)

    @property
    def levels(self):
        """Weights alpha, sigma of x = alpha * x0 + sigma * noise, at each step and at the end, each ``(n + 1,)``."""
        return np.cos(self.times), np.sin(self.times) * self.settings.sigma_data

    def trajectory_plan(self):
        """Returns the plan of the chosen times."""
        alpha_next, sigma_next = (level[1:] for level in self.levels)
        times = self.times[:-1]
        return StepPlan(
            self.timesteps,
            {"sample": np.cos(times), "output": -np.sin(times)},
            {"sample": {"x0": alpha_next, "noise": sigma_next}},
            next_level=(alpha_next, sigma_next),
        )
