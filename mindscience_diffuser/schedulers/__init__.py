"""Schedulers: each turns its configuration into a StepPlan."""

from mindscience_diffuser.schedulers.ddim import DDIMScheduler
from mindscience_diffuser.schedulers.ddpm import DDPMScheduler
from mindscience_diffuser.schedulers.diffusion import DiffusionScheduler
from mindscience_diffuser.schedulers.scheduler import Scheduler, SchedulerOutput

__all__ = ["DDIMScheduler", "DDPMScheduler", "DiffusionScheduler", "Scheduler", "SchedulerOutput"]
