"""The levels of multistep methods in the log-SNR: what DPM-Solver, UniPC, DEIS and SA-Solver share."""

import numpy as np

from mindscience_diffuser.noise import FLOW_SCHEDULES, PREDICTION_TYPES, RATIO_SCHEDULES, flow_shift
from mindscience_diffuser.schedulers.base.arguments import ARGUMENTS, choice, integer, number, optional
from mindscience_diffuser.schedulers.exponential.multistep import MultistepMethod
from mindscience_diffuser.schedulers.sigma.solver import SolverScheduler
from mindscience_diffuser.validation import check_descending

HIGHEST_FLOW = 1 - 1e-6
"""Highest sigma of a flow: at pure noise, sigma = 1, lambda would be infinite."""

CHOICES = {
    "prediction_type": (*PREDICTION_TYPES, "flow_prediction"),
    "time_shift_type": ("exponential",),
    "variance_type": optional(
        choice("That the model predicts a variance too, of which no use is made", "learned", "learned_range")
    ),
    "sigma_schedule": optional(
        choice(ARGUMENTS["sigma_schedule"].text, *dict.fromkeys(RATIO_SCHEDULES + FLOW_SCHEDULES))
    ),
}
"""What arguments that other classes have too may be in these."""

UP_TO_THREE = {"solver_order": integer("Order of the method", low=1, high=3)}
ETA = {"eta": number("How stochastic a step is, 0 for the ODE, 1 for the reverse SDE", "[0, inf)")}


class LogSNRScheduler(MultistepMethod, SolverScheduler):
    """Base of the multistep methods whose levels come from betas or from a rectified flow."""

    inner_grid = True
    spaces_whole_range = True
    integral = True

    slope_rule = "exact"
    """How a slope is weighted where two predictions are used, see :meth:`ExponentialStep.slope`."""

    def _configure(self):
        config = self.settings
        if config.prediction_type == "flow_prediction" and not config.use_flow_sigmas:
            raise ValueError(
                "'prediction_type' is 'flow_prediction', which belongs to a rectified flow: set use_flow_sigmas=True."
            )
        super()._configure()

    def _flow_levels(self, count, shift):
        """Returns `count` levels of a flow; the grid leaves sigma = 0 to the end of the trajectory."""
        return self._shifted((1 - np.linspace(1, 1 / self.num_train_timesteps, count + 1))[:0:-1], shift)

    def _shifted(self, sigmas, shift):
        """Returns the levels of a flow, shifted towards noise."""
        return flow_shift(sigmas, shift)

    def _take_given(self, sigmas, shift):
        if not self.flow:
            return super()._take_given(sigmas, shift)
        if self.spacing is not None:
            raise ValueError(f"'sigmas' cannot be given because {self.spacing!r} spaces the sigmas.")
        given = check_descending("sigmas", sigmas, "[0, 1]")
        if given[-1] == 0:
            raise ValueError(f"'sigmas' of a flow must be above 0, without the level of the end, but is {sigmas}.")
        levels = self._shifted(given, shift)
        return self._take_levels(levels, self._timesteps_of(levels), self._final(levels[-1]))

    def _take_levels(self, sigmas, timesteps, final):
        if self.flow:
            sigmas, final = np.minimum(sigmas, HIGHEST_FLOW), min(final, HIGHEST_FLOW)
            timesteps = np.minimum(timesteps, HIGHEST_FLOW * self.num_train_timesteps)
        super()._take_levels(sigmas, timesteps, final)
