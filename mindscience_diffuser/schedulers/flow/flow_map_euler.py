"""Euler's method along the mean velocities of a flow map (AnyFlow, Gu et al., 2026, arXiv:2605.13724)."""

import numpy as np

from mindscience_diffuser.plan import StepPlan
from mindscience_diffuser.schedulers.base.arguments import takes_arguments
from mindscience_diffuser.schedulers.flow.flow_match import FlowMatchScheduler


@takes_arguments(num_train_timesteps=1000, shift=1.0)
class FlowMapEulerDiscreteScheduler(FlowMatchScheduler):
    """Jumps of any length: ``x_r = x_t + (r - t) * u``, with the levels t and r of a step.

    The model is told both ends of the step and predicts the mean velocity u(x_t, t, r) between them (MeanFlow, Geng et
    al., 2025, arXiv:2505.13447, eq. (3)), so that steps of an exact model are exact whatever their number. What it is
    told is ``told``; a :class:`~mindscience_diffuser.Sampler` calls it with timesteps ``(B, 2)``. The predicted clean
    sample, t's alone, goes on with u to the level 0: it is that of the model where r = 0.

    Examples:
        >>> scheduler = FlowMapEulerDiscreteScheduler()
        >>> scheduler.set_timesteps(2)
        >>> for t, both in zip(scheduler.timesteps, scheduler.told):
        ...     x = scheduler.step(model(x, both), x, t)
    """

    @property
    def told(self):
        """What the model is told at each step, float32, ``(n, 2)``: its timestep and the one that it leads to."""
        end = np.float32(self.num_train_timesteps * self.sigmas[-1])
        return np.stack([self.timesteps, np.append(self.timesteps[1:], end)], axis=1)

    def even_sigmas(self, count):
        """Returns the levels of `count` steps before they are shifted, the last of which ends at 0."""
        return np.arange(count, 0, -1) / count

    def trajectory_plan(self):
        """Returns the plan of the chosen timesteps."""
        t, r = self.sigmas[:-1], self.sigmas[1:]
        return StepPlan(
            self.told,
            self.clean_sample(t),
            {"sample": {"sample": 1.0, "output": r - t}},
            next_level=(1 - r, r),
        )
