"""UniPC (Zhao et al., 2023, arXiv:2302.04867)."""

import numpy as np

from mindscience_diffuser.noise import stretch_to_terminal
from mindscience_diffuser.schedulers.base.arguments import (
    DYNAMIC_SHIFT,
    FLOW,
    LINEAR_BETAS,
    LINSPACE,
    SIGMA_SPACINGS,
    THRESHOLDING,
    takes_arguments,
)
from mindscience_diffuser.schedulers.base.trajectory import TrajectoryScheduler
from mindscience_diffuser.schedulers.exponential.log_snr import CHOICES, ETA, LogSNRScheduler
from mindscience_diffuser.schedulers.exponential.predictor_corrector import PredictorCorrectorMethod

SLOPES = {"bh1": "last", "bh2": "half"}


class UniPCMethod(PredictorCorrectorMethod):
    """The plan of UniPC, see :class:`UniPCMultistepScheduler`, for the arguments of which it has settings."""

    @property
    def most_corrector_predictions(self):
        """Number of predictions that the corrector uses at most."""
        return self.settings.solver_order + 1

    @property
    def slope_rule(self):
        """How a slope is weighted where two predictions are used."""
        return SLOPES[self.settings.solver_type]

    def unipc_plan(self, begin, predictor=None):
        """Returns the plan of a trajectory that begins at row `begin`, with the predictor of another plan if given."""
        orders = self.rising_orders(begin)
        if self.settings.lower_order_final:
            orders = np.minimum(orders, np.arange(len(orders), 0, -1))
        corrects = np.arange(len(orders)) > begin
        corrects[[row + 1 for row in self.settings.disable_corrector if row + 1 < len(orders)]] = False
        return self.predictor_corrector_plan(self.exponential_step(), orders, orders + 1, corrects, predictor)


@takes_arguments(
    choices={**CHOICES, **ETA, "solver_type": tuple(SLOPES), "time_shift_type": ("exponential", "linear")},
    synonyms={"solver_type": {"midpoint": "bh2", "heun": "bh2", "logrho": "bh2"}},
    **LINEAR_BETAS,
    solver_order=2,
    prediction_type="epsilon",
    **THRESHOLDING,
    predict_x0=True,
    solver_type="bh2",
    lower_order_final=True,
    disable_corrector=[],
    solver_p=None,
    **SIGMA_SPACINGS,
    **FLOW,
    **LINSPACE,
    final_sigmas_type="zero",
    rescale_betas_zero_snr=False,
    **DYNAMIC_SHIFT,
    sigma_min=None,
    sigma_max=None,
    shift_terminal=None,
    sigma_schedule=None,
    eta=0.0,
)
class UniPCMultistepScheduler(UniPCMethod, LogSNRScheduler):
    """A predictor of order p (UniP) and a corrector of order p + 1 (UniC) with one model call a step.

    Both are ``x_t = sigma_t / sigma_s * x_s - alpha_t * (exp(-h) - 1) * x0_s - alpha_t * B(h) * sum(a_k * D_k / r_k)``
    (eqs. (3) and (9) of the paper, in terms of x0), with the differences D_k of the predictions at p earlier levels,
    for the corrector also at level t. From 3 predictions on, the weights a_k integrate the polynomial through them
    exactly, whatever B(h); with two of them a = 1/2, and B(h) is h (``"bh1"``) or exp(h) - 1 (``"bh2"``). The corrector
    needs no model call of its own: the prediction at its result takes the place of that at the predicted sample. With
    `eta` above 0 both follow a reverse SDE, as in :class:`SASolverScheduler` with a constant tau^2 = eta.

    Examples:
        >>> scheduler = UniPCMultistepScheduler(use_flow_sigmas=True, prediction_type="flow_prediction", flow_shift=3.0)
        >>> scheduler.set_timesteps(20)
        >>> for t in scheduler.timesteps:
        ...     x = scheduler.step(model(x, t), x, t)
    """

    rounded = ("karras",)

    def _configure(self):
        config = self.settings
        if config.shift_terminal and not config.use_flow_sigmas:
            raise ValueError("'shift_terminal' is given, but it stretches flow sigmas: set use_flow_sigmas=True.")
        if config.solver_p is not None:
            if not isinstance(config.solver_p, TrajectoryScheduler):
                raise TypeError(f"'solver_p' must be a scheduler with sigmas, but is {type(config.solver_p).__name__}.")
            if config.solver_p.limit is not None or config.solver_p.stochastic:
                raise ValueError("'solver_p' must neither limit the clean sample nor add noise.")
            if self.adds_noise:
                raise ValueError(f"'eta' is {self.eta}, but 'solver_p' predicts without noise: leave one of them out.")
        super()._configure()

    @property
    def predicts_x0(self):
        """Whether predictions are of x0, else of the noise."""
        return self.settings.predict_x0

    def trajectory_plan(self, begin=0):
        """Returns the plan of a trajectory that begins at row `begin`."""
        return self.unipc_plan(begin, None if self.settings.solver_p is None else self._plan_of_solver_p(begin))

    def _plan_of_solver_p(self, begin):
        solver = self.settings.solver_p
        solver.set_timesteps(len(self.timesteps))
        if self.scheduled and not np.array_equal(solver.sigmas, self.sigmas):
            raise ValueError("'solver_p' must have the same levels: build it from the same configuration.")
        return solver.trajectory_plan(begin=begin) if solver.has_warmup else solver.trajectory_plan()

    def _flow_levels(self, count, shift):
        return self._shifted(np.linspace(1, 1 / self.num_train_timesteps, count + 1)[:-1], shift)

    def _shifted(self, sigmas, shift):
        sigmas, terminal = super()._shifted(sigmas, shift), self.settings.shift_terminal
        return stretch_to_terminal(sigmas, terminal) if terminal else sigmas
