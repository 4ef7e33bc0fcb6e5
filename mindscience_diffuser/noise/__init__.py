"""What a noisy sample is: beta and timestep schedules as pure float64 NumPy, without MindSpore."""

from mindscience_diffuser.noise.betas import (
    BETA_SCHEDULES,
    alphas_cumprod_from_betas,
    betas_from_schedule,
    rescale_zero_terminal_snr,
)
from mindscience_diffuser.noise.predictions import PREDICTION_TYPES, clean_sample_weights, noise_weights
from mindscience_diffuser.noise.presets import PRESETS, missing_schedule_arguments, preset_config
from mindscience_diffuser.noise.sigmas import (
    SIGMA_SCHEDULES,
    calculate_shift,
    churn,
    flow_shift,
    resolution_shift,
    sigma_to_timestep,
    stretch_to_terminal,
)
from mindscience_diffuser.noise.source import NoiseSource, draw_noise
from mindscience_diffuser.noise.timesteps import TIMESTEP_SPACINGS, custom_timesteps, spaced_timesteps

__all__ = [
    "BETA_SCHEDULES",
    "NoiseSource",
    "PREDICTION_TYPES",
    "PRESETS",
    "SIGMA_SCHEDULES",
    "TIMESTEP_SPACINGS",
    "alphas_cumprod_from_betas",
    "betas_from_schedule",
    "calculate_shift",
    "churn",
    "clean_sample_weights",
    "custom_timesteps",
    "draw_noise",
    "flow_shift",
    "missing_schedule_arguments",
    "noise_weights",
    "preset_config",
    "rescale_zero_terminal_snr",
    "resolution_shift",
    "sigma_to_timestep",
    "spaced_timesteps",
    "stretch_to_terminal",
]
