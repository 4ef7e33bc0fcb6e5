"""Diffusion schedulers and samplers for MindSpore that compile into the graph."""

from mindscience_diffuser.noise import NoiseSource
from mindscience_diffuser.schedulers import DDIMScheduler, DDPMScheduler, DiffusionScheduler, SchedulerOutput

__version__ = "0.1.0"

__all__ = ["DDIMScheduler", "DDPMScheduler", "DiffusionScheduler", "NoiseSource", "SchedulerOutput"]
