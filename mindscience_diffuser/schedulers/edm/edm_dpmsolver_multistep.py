"""DPM-Solver++ around an EDM denoiser (Lu et al., 2022, arXiv:2211.01095; Karras et al., 2022, arXiv:2206.00364)."""

from mindscience_diffuser.schedulers.base.arguments import EDM_SCHEDULES, THRESHOLDING, takes_arguments
from mindscience_diffuser.schedulers.edm.edm import EDMScheduler
from mindscience_diffuser.schedulers.exponential.dpmsolver_multistep import DPM_ETA, SLOPES, SYNONYMS, DPMSolverMethod
from mindscience_diffuser.schedulers.exponential.log_snr import UP_TO_THREE


@takes_arguments(
    choices={
        **UP_TO_THREE,
        **DPM_ETA,
        **EDM_SCHEDULES,
        "prediction_type": ("epsilon", "v_prediction", "sample"),
        "algorithm_type": ("dpmsolver++", "sde-dpmsolver++"),
        "solver_type": tuple(SLOPES),
    },
    synonyms=SYNONYMS,
    sigma_min=0.002,
    sigma_max=80.0,
    sigma_data=0.5,
    sigma_schedule="karras",
    num_train_timesteps=1000,
    prediction_type="epsilon",
    rho=7.0,
    solver_order=2,
    **THRESHOLDING,
    algorithm_type="dpmsolver++",
    solver_type="midpoint",
    lower_order_final=True,
    euler_at_final=False,
    final_sigmas_type="zero",
    noise_variance=1.0,
    eta=None,
)
class EDMDPMSolverMultistepScheduler(DPMSolverMethod, EDMScheduler):
    """The steps of :class:`DPMSolverMultistepScheduler` with alpha = 1, so that lambda = -ln(sigma).

    x0 is the denoised sample of :class:`EDMEulerScheduler`.

    Examples:
        >>> scheduler = EDMDPMSolverMultistepScheduler()
        >>> scheduler.set_timesteps(20)
        >>> x = noise * scheduler.init_noise_sigma
        >>> for t in scheduler.timesteps:
        ...     x = scheduler.step(model(scheduler.scale_model_input(x, t), t), x, t)
    """
