"""What a noisy sample is: beta and timestep schedules as pure float64 NumPy, without MindSpore."""

from mindscience_diffuser.noise.betas import (
    BETA_SCHEDULES,
    alphas_cumprod_from_betas,
    betas_from_schedule,
    rescale_zero_terminal_snr,
    shift_snr,
    zero_terminal_snr,
)
from mindscience_diffuser.noise.edm import EDMPreconditioning, edm_scalings, log_normal_sigmas
from mindscience_diffuser.noise.predictions import PREDICTION_TYPES, clean_sample_weights, noise_weights
from mindscience_diffuser.noise.presets import PRESETS, preset_config
from mindscience_diffuser.noise.pyramid import (
    block_mean,
    block_noise,
    check_gamma,
    check_halvable,
    multi_scale_noise,
    multi_scale_samples,
    renoising_by_end,
    renoising_by_start,
)
from mindscience_diffuser.noise.sigmas import (
    SIGMA_SCHEDULES,
    ancestral,
    calculate_shift,
    churn,
    flow_shift,
    resolution_shift,
    sigma_to_timestep,
    stretch_to_terminal,
)
from mindscience_diffuser.noise.source import NoiseSource, continuing, draw_noise, draw_steps, set_noise_function
from mindscience_diffuser.noise.timesteps import (
    TIMESTEP_SPACINGS,
    custom_timesteps,
    leading_timesteps,
    share_of,
    spaced_timesteps,
)

__all__ = [
    "BETA_SCHEDULES",
    "EDMPreconditioning",
    "NoiseSource",
    "PREDICTION_TYPES",
    "PRESETS",
    "SIGMA_SCHEDULES",
    "TIMESTEP_SPACINGS",
    "alphas_cumprod_from_betas",
    "ancestral",
    "betas_from_schedule",
    "block_mean",
    "block_noise",
    "calculate_shift",
    "check_gamma",
    "check_halvable",
    "churn",
    "clean_sample_weights",
    "continuing",
    "custom_timesteps",
    "draw_noise",
    "draw_steps",
    "edm_scalings",
    "flow_shift",
    "log_normal_sigmas",
    "leading_timesteps",
    "multi_scale_noise",
    "multi_scale_samples",
    "noise_weights",
    "preset_config",
    "renoising_by_end",
    "renoising_by_start",
    "rescale_zero_terminal_snr",
    "resolution_shift",
    "set_noise_function",
    "share_of",
    "shift_snr",
    "sigma_to_timestep",
    "spaced_timesteps",
    "stretch_to_terminal",
    "zero_terminal_snr",
]
