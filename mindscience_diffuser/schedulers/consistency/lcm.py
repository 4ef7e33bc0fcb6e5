"""LCM: Latent Consistency Models (Luo et al., 2023, arXiv:2310.04378)."""

from typing import NamedTuple

import numpy as np
from mindspore import Tensor

from mindscience_diffuser.noise import clean_sample_weights
from mindscience_diffuser.plan import StepPlan, linear_combination
from mindscience_diffuser.schedulers.base.arguments import takes_arguments
from mindscience_diffuser.schedulers.consistency.consistency import CONSISTENCY, ConsistencyScheduler

SIGMA_DATA = 0.5


class LCMSchedulerOutput(NamedTuple):
    """What a step returns with ``return_dict=True``, each of the shape of the sample.

    Attributes:
        prev_sample (Tensor): The sample at the next timestep.
        denoised (Tensor): The consistency function's prediction of the clean sample.
        pred_original_sample (Tensor): The model's prediction of it, x0.
    """

    prev_sample: Tensor
    denoised: Tensor
    pred_original_sample: Tensor


def boundary_scalings(timesteps, timestep_scaling):
    """Returns c_skip and c_out of eq. (9), section 4.1: c_skip(0) = 1 and c_out(0) = 0.

    c_skip = sigma_data^2 / (s^2 + sigma_data^2),  c_out = s / sqrt(s^2 + sigma_data^2),
    s = timestep_scaling * t,  sigma_data = 0.5.
    """
    scaled = timestep_scaling * np.asarray(timesteps, np.float64)
    total = scaled**2 + SIGMA_DATA**2
    return SIGMA_DATA**2 / total, scaled / np.sqrt(total)


@takes_arguments(**CONSISTENCY)
class LCMScheduler(ConsistencyScheduler):
    """Multistep consistency sampling, algorithm 3 of the paper.

    ``denoised = c_skip * x + c_out * x0``, ``x_next = alpha_next * denoised + sigma_next * z``; the last step returns
    ``denoised``. With ``return_dict=True`` a step returns :class:`LCMSchedulerOutput`. The predicted clean sample x0
    is clipped or thresholded before the boundary condition.

    Examples:
        >>> scheduler = LCMScheduler()
        >>> scheduler.set_timesteps(4)
        >>> for t in scheduler.timesteps:
        ...     x = scheduler.step(model(x, t), x, t)
    """

    output = LCMSchedulerOutput

    def ends(self):
        """Returns whether each step returns the denoised sample itself: the last one."""
        return np.arange(len(self.timesteps)) == len(self.timesteps) - 1

    def trajectory_plan(self):
        """Returns the plan of the chosen timesteps."""
        t = self.timesteps
        c_skip, c_out = boundary_scalings(t, self.settings.timestep_scaling)
        denoised = {"sample": c_skip, "x0": c_out}
        following = self._following(last=t[-1])
        ends = self.ends()
        alpha_next = np.where(ends, 1.0, self._alphas[following])
        sigma_next = np.where(ends, 0.0, self._sigmas[following])
        return StepPlan(
            t,
            clean_sample_weights(self.prediction_type, self._alphas[t], self._sigmas[t]),
            {"sample": linear_combination((alpha_next, denoised), (sigma_next, {"noise": 1.0}))},
            results={"denoised": denoised},
            limit=self.limit,
            needs_fp16_gain=self.prediction_type == "epsilon",
            next_level=(alpha_next, sigma_next),
        )
