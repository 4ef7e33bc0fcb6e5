"""Linear multistep method along the probability-flow ODE (Adams and Bashforth, 1883, with the steps of the levels)."""

import numpy as np

from mindscience_diffuser.plan import StepPlan, linear_combination
from mindscience_diffuser.schedulers.base.arguments import LINEAR_BETAS, LINSPACE, SIGMA_SPACINGS, takes_arguments
from mindscience_diffuser.schedulers.sigma.solver import SolverScheduler
from mindscience_diffuser.validation import check_integer

HIGHEST_ORDER = 4


@takes_arguments(
    **LINEAR_BETAS,
    **SIGMA_SPACINGS,
    prediction_type="epsilon",
    **LINSPACE,
    sigma_schedule=None,
)
class LMSDiscreteScheduler(SolverScheduler):
    """Order up to 4, one model call a step.

    With the slopes ``d_i = (x_i - x0_i) / sigma_i``, the polynomial through the last `order` of them is integrated::

        x_(i+1) = x_i + sum_j w_ij * d_(i-j),
        w_ij    = integral from sigma_i to sigma_(i+1) of prod_(k != j) (s - sigma_(i-k)) / (sigma_(i-j) - sigma_(i-k))

    The first steps of a trajectory have the order that the slopes known by then allow.

    `step` has the option `order`, 1 to 4.

    Examples:
        >>> scheduler = LMSDiscreteScheduler()
        >>> scheduler.set_timesteps(20)
        >>> x = noise * scheduler.init_noise_sigma
        >>> for t in scheduler.timesteps:
        ...     x = scheduler.step(model(scheduler.scale_model_input(x, t), t), x, t)
    """

    scaled = True
    has_warmup = True

    def trajectory_plan(self, order=HIGHEST_ORDER, begin=0):
        """Returns the plan of the chosen levels, for trajectories that begin with row `begin`."""
        check_integer("order", order, low=1, high=HIGHEST_ORDER)
        sigma, sigma_next = self.sigmas[:-1], self.sigmas[1:]
        row = np.arange(len(sigma))
        # A level that is visited again tells nothing new: no polynomial goes through both slopes.
        again = np.append(False, sigma[1:] == sigma[:-1])
        known = np.maximum(row - np.maximum.accumulate(np.where(again, row, begin)), 0) + 1
        w = adams_bashforth(self.sigmas, np.minimum(known, order))
        slope = self.noise(sigma)
        past = {f"slope_{j}": w[:, j] for j in range(1, HIGHEST_ORDER)}
        states = {"sample": linear_combination((1.0, {"sample": 1.0, **past}), (w[:, 0], slope)), "slope_1": slope}
        states.update({f"slope_{j}": {f"slope_{j - 1}": 1.0} for j in range(2, HIGHEST_ORDER)})
        return StepPlan(
            self.timesteps,
            self.clean_sample(sigma),
            states,
            needs_fp16_gain=True,
            next_level=self.level(sigma_next),
            input_scale=self.input_scale(sigma),
        )


def adams_bashforth(nodes, orders):
    """Returns the weights of the last slopes in each step between `nodes`, exact for polynomials.

    Args:
        nodes (numpy.ndarray): Where the slopes are known, and the end, ``(n + 1,)``; no two equal.
        orders (numpy.ndarray): Number of slopes of each step, the present one first, ``(n,)``, at most
            ``HIGHEST_ORDER`` and at most the number of nodes so far.

    Returns:
        numpy.ndarray, ``(n, HIGHEST_ORDER)``.
    """
    count = len(nodes) - 1
    past = np.arange(count)[:, None] - np.arange(HIGHEST_ORDER)
    used = np.arange(HIGHEST_ORDER) < orders[:, None]
    known = nodes[np.maximum(past, 0)]
    # Two points of Gauss are exact to degree 3.
    half, middle = np.diff(nodes) / 2, (nodes[1:] + nodes[:-1]) / 2
    points = middle[:, None] + half[:, None] * np.array([-1, 1]) / np.sqrt(3)
    weights = np.zeros((count, HIGHEST_ORDER))
    for j in range(HIGHEST_ORDER):
        pairs = used & used[:, j, None] & (np.arange(HIGHEST_ORDER) != j)
        distance = np.where(pairs, known[:, j, None] - known, 1.0)
        factors = np.where(pairs[:, None], (points[:, :, None] - known[:, None]) / distance[:, None], 1.0)
        weights[:, j] = used[:, j] * half * factors.prod(axis=2).sum(axis=1)
    return weights
