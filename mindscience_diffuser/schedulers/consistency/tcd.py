"""TCD: Trajectory Consistency Distillation (Zheng et al., 2024, arXiv:2402.19159)."""

from typing import NamedTuple

import numpy as np
from mindspore import Tensor

from mindscience_diffuser.noise import clean_sample_weights, noise_weights
from mindscience_diffuser.plan import StepPlan, linear_combination
from mindscience_diffuser.schedulers.base.arguments import takes_arguments
from mindscience_diffuser.schedulers.consistency.consistency import CONSISTENCY, ConsistencyScheduler
from mindscience_diffuser.validation import check_number

DEFAULT_ETA = 0.3


class TCDSchedulerOutput(NamedTuple):
    """What a step returns with ``return_dict=True``, each of the shape of the sample.

    Attributes:
        prev_sample (Tensor): The sample at the next timestep.
        pred_noised_sample (Tensor): x_s, the sample before its fresh noise.
        pred_original_sample (Tensor): The predicted clean sample.
    """

    prev_sample: Tensor
    pred_noised_sample: Tensor
    pred_original_sample: Tensor


@takes_arguments(**CONSISTENCY)
class TCDScheduler(ConsistencyScheduler):
    """Strategic stochastic sampling, algorithm 4 of the paper, with gamma under the name `eta`.

    The model leads along its trajectory to s = floor((1 - eta) * t_next),
    ``x_s = alpha_s * x0 + sigma_s * eps``, from where noise leads back to t_next,
    ``x_next = r * x_s + sqrt(1 - r^2) * z``, ``r = alpha_next / alpha_s``; the last step ends at s = 0, without noise.
    With ``return_dict=True`` a step returns :class:`TCDSchedulerOutput`, with x_s as ``pred_noised_sample``.
    `step` has the option `eta` in [0, 1], ``0.3`` by default: 0 is deterministic, 1 goes through the clean sample at
    every step.

    `timestep_scaling` has no use here, and TCD has no place for `clip_sample` and `thresholding`: they are kept in the
    configuration, with a warning.

    Examples:
        >>> scheduler = TCDScheduler()
        >>> scheduler.set_timesteps(4)
        >>> for t in scheduler.timesteps:
        ...     x = scheduler.step(model(x, t), x, t, eta=0.3)
    """

    output = TCDSchedulerOutput
    limits = False

    def trajectory_plan(self, eta=DEFAULT_ETA):
        """Returns the plan of the chosen timesteps."""
        eta = check_number("eta", eta, "[0, 1]")
        t, t_next = self.timesteps, self._following(last=0)
        s = self.share_of(t_next, 1 - eta)
        alpha, sigma = self._alphas[t], self._sigmas[t]
        epsilon = noise_weights(self.prediction_type, alpha, sigma)
        noised = linear_combination((self._alphas[s], {"x0": 1.0}), (self._sigmas[s], epsilon))
        ratio = self._alphas[t_next] / self._alphas[s]
        following = linear_combination((ratio, noised))
        if eta > 0:
            following["noise"] = np.sqrt(1 - ratio**2)
        return StepPlan(
            t,
            clean_sample_weights(self.prediction_type, alpha, sigma),
            {"sample": following},
            results={"pred_noised_sample": noised},
            needs_fp16_gain=self.prediction_type == "epsilon",
            next_level=(self._alphas[t_next], self._sigmas[t_next]),
        )

    def _distilled_timesteps(self, original, explicit, strength):
        if explicit:  # Any timestep may then be visited.
            return np.arange(self.share_of(self.num_train_timesteps, strength))
        return super()._distilled_timesteps(original, explicit, strength)
