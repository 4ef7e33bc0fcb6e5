"""DPM-Solver and DPM-Solver++, multistep (Lu et al., 2022, arXiv:2206.00927 and arXiv:2211.01095)."""

from mindscience_diffuser.schedulers.base.arguments import (
    DYNAMIC_SHIFT,
    FLOW,
    LINEAR_BETAS,
    LINSPACE,
    SIGMA_SPACINGS,
    THRESHOLDING,
    optional,
    takes_arguments,
)
from mindscience_diffuser.schedulers.exponential.log_snr import CHOICES, ETA, UP_TO_THREE, LogSNRScheduler
from mindscience_diffuser.schedulers.exponential.multistep import MultistepMethod

SLOPES = {"midpoint": "half", "heun": "exact"}
DPM_ETA = {"eta": optional(ETA["eta"])._replace(text=f"{ETA['eta'].text}. ``None`` is 1 for the names with ``sde-``")}
DPM_CHOICES = {
    **CHOICES,
    **UP_TO_THREE,
    **DPM_ETA,
    "algorithm_type": ("dpmsolver", "dpmsolver++", "sde-dpmsolver", "sde-dpmsolver++"),
    "solver_type": tuple(SLOPES),
}
SYNONYMS = {
    "algorithm_type": {"deis": "dpmsolver++"},
    "solver_type": {"logrho": "midpoint", "bh1": "midpoint", "bh2": "midpoint"},
}


class DPMSolverMethod(MultistepMethod):
    """The multistep DPM-Solvers: what `algorithm_type` and `solver_type` mean."""

    @property
    def predicts_x0(self):
        """Whether predictions are of x0, else of the noise."""
        return self.settings.algorithm_type.endswith("++")

    @property
    def follows_sde(self):
        """Whether the algorithm is one of the reverse SDE."""
        return self.settings.algorithm_type.startswith("sde-")

    @property
    def eta(self):
        """How stochastic steps are: as the user says, else 1 for the algorithms of the reverse SDE and 0 for others."""
        eta = self.settings.get("eta")
        if eta and not self.follows_sde:
            algorithm = self.settings.algorithm_type
            raise ValueError(
                f"'eta' is {eta}, but algorithm_type={algorithm!r} follows the ODE, which adds no noise: set "
                f"algorithm_type='sde-{algorithm}', or leave 'eta' out."
            )
        return float(self.follows_sde) if eta is None else eta

    @property
    def slope_rule(self):
        """How a slope is weighted where two predictions are used."""
        return SLOPES[self.settings.solver_type]

    def trajectory_plan(self, begin=0):
        """Returns the plan of a trajectory that begins at row `begin`."""
        config = self.settings
        step = self.exponential_step()
        last_is_first_order = config.euler_at_final or config.get("final_sigmas_type") == "zero"
        orders = self.orders(begin, last_is_first_order)
        nodes = self.past_log_snrs(config.solver_order)
        return self.multistep_plan(step, step.weights(nodes, orders, self.slope_rule))


class DPMSolverFromBetas(DPMSolverMethod):
    """The DPM-Solvers of a :class:`LogSNRScheduler`: which of its levels they can reach."""

    rounded = ("karras",)

    def _configure(self):
        config = self.settings
        if not self.predicts_x0 and config.get("final_sigmas_type") == "zero":
            raise ValueError(
                f"'final_sigmas_type' is 'zero', but {config.algorithm_type!r} cannot reach sigma = 0: use "
                f"'sigma_min', or algorithm_type='{config.algorithm_type}++'."
            )
        super()._configure()

    def _final(self, lowest):
        # The lowest training level, unless a flow has come below it.
        return super()._final(min(lowest, self.training_sigmas[0]))


@takes_arguments(
    choices=DPM_CHOICES,
    synonyms=SYNONYMS,
    **LINEAR_BETAS,
    solver_order=2,
    prediction_type="epsilon",
    **THRESHOLDING,
    algorithm_type="dpmsolver++",
    solver_type="midpoint",
    lower_order_final=True,
    euler_at_final=False,
    **SIGMA_SPACINGS,
    use_lu_lambdas=False,
    **FLOW,
    final_sigmas_type="zero",
    lambda_min_clipped=-float("inf"),
    variance_type=None,
    **LINSPACE,
    rescale_betas_zero_snr=False,
    **DYNAMIC_SHIFT,
    sigma_schedule=None,
    eta=None,
)
class DPMSolverMultistepScheduler(DPMSolverFromBetas, LogSNRScheduler):
    """One model call a step, of order 1 to 3: DPM-Solver++(2M), RES, DPM-Solver++(3M) and their SDE forms.

    With h = lambda_t - lambda_s, r = (lambda_s - lambda_r) / h and D = (1 + 1 / 2r) x0_s - x0_r / 2r, the second order
    is ``x_t = sigma_t / sigma_s * x_s - alpha_t * (exp(-h) - 1) * D`` (arXiv:2211.01095, algorithm 2). With
    ``solver_type="heun"``, and at third order, the polynomial through the predictions is integrated exactly; the second
    order is then the multistep method of the refined exponential solver (Zhang et al., 2023, arXiv:2308.02157). The
    algorithms with ``sde-`` follow the reverse SDE whose fresh noise is `eta`, 1 unless it is given.

    Examples:
        >>> scheduler = DPMSolverMultistepScheduler(use_karras_sigmas=True)
        >>> scheduler.set_timesteps(20)
        >>> for t in scheduler.timesteps:
        ...     x = scheduler.step(model(x, t), x, t)
    """

    @property
    def rounded(self):
        """Spacings whose timesteps are rounded to integers; near the end of a cosine schedule they would be equal."""
        return () if self.settings.beta_schedule == "squaredcos_cap_v2" else ("karras", "lu")
