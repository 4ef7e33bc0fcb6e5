"""Few-step sampling of the distilled Helios, stage by stage (the Helios Team, 2026)."""

import numpy as np

from mindscience_diffuser.plan import StepPlan, linear_combination
from mindscience_diffuser.schedulers.base.arguments import integer, takes_arguments
from mindscience_diffuser.schedulers.flow.helios_stages import HeliosStages


@takes_arguments(
    choices={
        "num_train_timesteps": integer("Number T of training timesteps", low=2),
        "time_shift_type": ("exponential", "linear"),
    },
    num_train_timesteps=1000,
    shift=1.0,
    stages=3,
    stage_range=(0, 1 / 3, 2 / 3, 1),
    gamma=1 / 3,
    use_dynamic_shifting=False,
    time_shift_type="linear",
)
class HeliosDMDScheduler(HeliosStages):
    """Every step predicts the end of the stage and goes back towards the start with which the stage began.

    A stage of growing resolution leads on a straight line from its start to its end, as in
    :class:`PyramidFlowMatchEulerDiscreteScheduler`, and so does the renoising between stages. With s the share of the
    start, which falls from 0.999 to 0::

        end = x - s * v
        x_next = (1 - s_next) * end + s_next * start

    The start is remembered: it takes the place of the fresh noise of other distilled models.

    Examples:
        >>> scheduler = HeliosDMDScheduler()
        >>> for stage in range(3):
        ...     scheduler.set_timesteps(2, stage)
        ...     if stage > 0:
        ...         x = scheduler.renoise(x, stage)
        ...     for t in scheduler.timesteps:
        ...         x = scheduler.step(model(x, t), x, t)
    """

    has_warmup = True
    left_out = 1

    def trajectory_plan(self, begin=0):
        """Returns the plan of the chosen stage, for trajectories that begin with row `begin`."""
        return self.stage_plan(self.timesteps, self.sigmas, begin)

    def stage_plan(self, timesteps, sigmas, begin=0):
        """Returns the plan of a stage with these timesteps ``(n,)`` and shares of its start, ``(n + 1,)``."""
        s, s_next = sigmas[:-1], sigmas[1:]
        first = 1.0 * (np.arange(len(s)) == begin)
        # Where a trajectory begins later, the start lies on the line through its first sample.
        start = {"sample": first, "output": first * (s[0] - s), "start": 1 - first}
        x_next = linear_combination((1 - s_next, {"x0": 1.0}), (s_next, start))
        return StepPlan(timesteps, {"sample": 1.0, "output": -s}, {"sample": x_next, "start": start})
