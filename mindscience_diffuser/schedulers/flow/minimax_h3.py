"""Euler's method along the flow of MiniMax-H3, a model of video and sound."""

import numpy as np

from mindscience_diffuser.noise import flow_shift
from mindscience_diffuser.plan import StepPlan
from mindscience_diffuser.schedulers.base.arguments import takes_arguments
from mindscience_diffuser.schedulers.flow.rising_time import RisingTimeScheduler
from mindscience_diffuser.validation import check_any_given, check_descending, check_integer, check_number


@takes_arguments(shift=12.0)
class MiniMaxH3Scheduler(RisingTimeScheduler):
    """First order, ``x_next = x + (t_next - t) * v``, along ``x = t * x0 + (1 - t) * noise``.

    The model is told the time t in [0, 1), which rises, and predicts the velocity ``v = x0 - noise``. The levels
    ``1 - t`` lie evenly from 1 to 0 and are then shifted towards noise, by 12 for video and by 3 for sound: a model of
    both takes a scheduler for each. After the release, as diffusers samples it.

    Examples:
        >>> scheduler = MiniMaxH3Scheduler(shift=3.0)
        >>> scheduler.set_timesteps(20)
        >>> for t in scheduler.timesteps:
        ...     x = scheduler.step(model(x, t), x, t)
    """

    own_process = "minimax-h3"

    def _configure(self):
        self._shift = self.settings.shift
        self._take(1 - self.even_sigmas(self.num_train_timesteps), scheduled=False)

    @property
    def shift(self):
        """The shift that the next :meth:`set_timesteps` uses."""
        return self._shift

    def set_shift(self, shift):
        """Sets the shift of the following schedules, above 0."""
        self._shift = check_number("shift", shift, "(0, inf)")

    @property
    def sigmas(self):
        """The levels 1 - t of each step and of the end, float64, ``(n + 1,)``."""
        return self.levels[1]

    def set_timesteps(self, num_inference_steps=None, sigmas=None):
        """Chooses the steps of the following trajectory; takes effect in compiled graphs too.

        Args:
            num_inference_steps (int, optional): Number n of steps, each of which calls the model once, at least 1.
            sigmas (Sequence[float], optional): The level 1 - t of each step, descending, in (0, 1], used as it is; the
                last step leads to 0. Default: evenly from 1, and shifted.

        Raises:
            TypeError: If neither is given, or one has the wrong type.
            ValueError: If both are given and do not agree, or a value is out of range.
        """
        check_any_given("set_timesteps", num_inference_steps=num_inference_steps, sigmas=sigmas)
        if num_inference_steps is not None:
            check_integer("num_inference_steps", num_inference_steps, low=1)
        if sigmas is None:
            levels = self.even_sigmas(num_inference_steps)
        else:
            levels = np.append(check_descending("sigmas", sigmas, "(0, 1]"), 0.0)
        if num_inference_steps not in (None, len(levels) - 1):
            raise ValueError(f"'num_inference_steps' is {num_inference_steps}, but 'sigmas' has {len(levels) - 1}.")
        self.num_inference_steps = len(levels) - 1
        self._take(1 - levels)

    def even_sigmas(self, count):
        """Returns the levels of `count` steps and of the end."""
        return flow_shift(np.linspace(1, 0, count + 1), self._shift)

    def trajectory_plan(self):
        """Returns the plan of the chosen times."""
        t, t_next = self.levels[0][:-1], self.levels[0][1:]
        return StepPlan(
            self.timesteps,
            {"sample": 1.0, "output": 1 - t},
            {"sample": {"sample": 1.0, "output": t_next - t}},
            next_level=(t_next, 1 - t_next),
        )
