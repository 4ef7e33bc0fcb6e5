"""DPM-Solver and DPM-Solver++, singlestep (Lu et al., 2022, arXiv:2206.00927 and arXiv:2211.01095)."""

import numpy as np

from mindscience_diffuser.schedulers.base.arguments import (
    DYNAMIC_SHIFT,
    FLOW,
    LINEAR_BETAS,
    SIGMA_SPACINGS,
    THRESHOLDING,
    takes_arguments,
)
from mindscience_diffuser.schedulers.exponential.dpmsolver_multistep import DPM_CHOICES, SYNONYMS, DPMSolverFromBetas
from mindscience_diffuser.schedulers.exponential.log_snr import LogSNRScheduler
from mindscience_diffuser.schedulers.exponential.singlestep import SinglestepMethod


@takes_arguments(
    choices={**DPM_CHOICES, "algorithm_type": ("dpmsolver", "dpmsolver++", "sde-dpmsolver++")},
    synonyms=SYNONYMS,
    **LINEAR_BETAS,
    solver_order=2,
    prediction_type="epsilon",
    **THRESHOLDING,
    algorithm_type="dpmsolver++",
    solver_type="midpoint",
    lower_order_final=False,
    **SIGMA_SPACINGS,
    **FLOW,
    final_sigmas_type="zero",
    lambda_min_clipped=-float("inf"),
    variance_type=None,
    **DYNAMIC_SHIFT,
    sigma_schedule=None,
    eta=None,
)
class DPMSolverSinglestepScheduler(SinglestepMethod, DPMSolverFromBetas, LogSNRScheduler):
    """Groups of steps that start from one base point: the k-th model call of a group is a step of order k from it.

    Order 2 (arXiv:2211.01095, algorithm 1) takes x_s to x_r by first order, and then x_s to x_t with the slope
    between the predictions at s and r. At order 3, ``solver_type="midpoint"`` uses the slope between the first and
    the last prediction of the group, ``"heun"`` the polynomial through all three. A trajectory that the groups do not
    fill, and one to sigma = 0, ends with first order, as with `lower_order_final`.

    Examples:
        >>> scheduler = DPMSolverSinglestepScheduler(solver_order=3)
        >>> scheduler.set_timesteps(15)
        >>> for t in scheduler.timesteps:
        ...     x = scheduler.step(model(x, t), x, t)
    """

    def ends_clean(self):
        """Whether the trajectory ends at the clean sample."""
        return self.sigmas[-1] == 0

    def orders(self, begin):
        """Returns the order of each step, which is its place in its group."""
        count, most = len(self.timesteps), self.settings.solver_order
        orders = np.arange(count) % most + 1
        if self.ends_clean() or (self.settings.lower_order_final and count % most == 0):
            orders[-1] = 1
        return np.minimum(orders, self.rising_orders(begin))

    @property
    def skips_second(self):
        """Whether the third order uses the slope between the first and the last prediction alone."""
        return self.settings.solver_type == "midpoint"

    def trajectory_plan(self, begin=0):
        """Returns the plan of a trajectory that begins at row `begin`."""
        orders = self.orders(begin)
        return self.group_plan(self.group_step(orders, np.sqrt(self.eta)), orders)
