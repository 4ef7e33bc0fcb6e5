"""Ancestral steps along a rectified flow, as LTX-Video is sampled (ComfyUI's ``sample_euler_ancestral_RF``)."""

import numpy as np

from mindscience_diffuser.plan import StepPlan
from mindscience_diffuser.schedulers.base.arguments import FLOW_CHOICES, takes_arguments
from mindscience_diffuser.schedulers.flow.flow_match import FLOW_ARGUMENTS, FlowMatchScheduler

OTHERS = {name: value for name, value in FLOW_ARGUMENTS.items() if name not in ("num_train_timesteps", "invert_sigmas")}


@takes_arguments(choices=FLOW_CHOICES, num_train_timesteps=1000, eta=1.0, s_noise=1.0, **OTHERS, sigma_schedule=None)
class LTXEulerAncestralRFScheduler(FlowMatchScheduler):
    """First order: Euler's step to a level below the next one, and fresh noise up to that.

    With ``x_s = (1 - s) * x0 + s * noise`` a sample of the level s becomes one of a higher level by a smaller signal
    and noise of the variance that is then missing::

        sigma_down = sigma_next * (1 + eta * (sigma_next / sigma - 1))
        x_down = x + (sigma_down - sigma) * v
        x_next = r * x_down + s_noise * sqrt(sigma_next^2 - (r * sigma_down)^2) * z
        r = (1 - sigma_next) / (1 - sigma_down)

    With `eta` 0 that is Euler's method. The levels are those of :class:`FlowMatchEulerDiscreteScheduler`.

    Examples:
        >>> scheduler = LTXEulerAncestralRFScheduler(shift=2.0)
        >>> scheduler.set_timesteps(20)
        >>> for t in scheduler.timesteps:
        ...     x = scheduler.step(model(x, t), x, t, generator=0)
    """

    def kept(self, sigma_down, sigma_next):
        """Returns r, how much of the sample at `sigma_down` is left at `sigma_next`; of pure noise nothing is."""
        signal = 1 - sigma_down
        return np.divide(1 - sigma_next, signal, out=np.zeros_like(signal), where=signal > 0)

    def trajectory_plan(self):
        """Returns the plan of the chosen timesteps."""
        sigma, sigma_next, config = self.sigmas[:-1], self.sigmas[1:], self.settings
        sigma_down = sigma_next * (1 + config.eta * (sigma_next / sigma - 1))
        r = self.kept(sigma_down, sigma_next)
        x_next = {"sample": r, "output": r * (sigma_down - sigma)}
        if config.eta > 0 and config.s_noise > 0:
            x_next["noise"] = config.s_noise * np.sqrt(np.maximum(sigma_next**2 - (r * sigma_down) ** 2, 0))
        return StepPlan(
            self.timesteps, self.clean_sample(sigma), {"sample": x_next}, next_level=(1 - sigma_next, sigma_next)
        )
