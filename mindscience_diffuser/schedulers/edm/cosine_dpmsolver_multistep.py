"""DPM-Solver++ along the SDE for models that are told the angle of the noise level, as in Stable Audio."""

import numpy as np

from mindscience_diffuser.schedulers.base.arguments import EDM_SCHEDULES, takes_arguments
from mindscience_diffuser.schedulers.edm.edm import EDMScheduler
from mindscience_diffuser.schedulers.exponential.dpmsolver_multistep import DPM_ETA, SLOPES, SYNONYMS, DPMSolverMethod
from mindscience_diffuser.schedulers.exponential.log_snr import UP_TO_THREE


@takes_arguments(
    choices={
        **UP_TO_THREE,
        **DPM_ETA,
        **EDM_SCHEDULES,
        "prediction_type": ("epsilon", "v_prediction", "sample"),
        "solver_type": tuple(SLOPES),
    },
    synonyms=SYNONYMS,
    sigma_min=0.3,
    sigma_max=500,
    sigma_data=1.0,
    sigma_schedule="exponential",
    num_train_timesteps=1000,
    solver_order=2,
    prediction_type="v_prediction",
    rho=7.0,
    solver_type="midpoint",
    lower_order_final=True,
    euler_at_final=False,
    final_sigmas_type="zero",
    eta=None,
)
class CosineDPMSolverMultistepScheduler(DPMSolverMethod, EDMScheduler):
    """DPM-Solver++ along the reverse SDE (Lu et al., 2022, arXiv:2211.01095) with alpha = 1.

    The model is told ``t = atan(sigma) * 2 / pi``: with ``sigma_data=1`` and ``"v_prediction"`` it predicts the
    velocity of cos(t pi / 2) * x0 + sin(t pi / 2) * noise (Salimans and Ho, 2022, arXiv:2202.00512, appendix D). The
    noise of different steps is independent, where diffusers takes increments of one Brownian path: their distribution
    is the same.

    Examples:
        >>> scheduler = CosineDPMSolverMultistepScheduler()
        >>> scheduler.set_timesteps(50)
        >>> x = noise * scheduler.init_noise_sigma
        >>> for t in scheduler.timesteps:
        ...     x = scheduler.step(model(scheduler.scale_model_input(x, t), t), x, t, generator=0)
    """

    predicts_x0 = True
    follows_sde = True

    def model_timestep(self, sigma):
        """Returns what the model is told at levels: the angle, 1 for pure noise."""
        return np.asarray(np.arctan(sigma) * 2 / np.pi, np.float32)
