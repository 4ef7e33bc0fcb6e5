"""Schedulers: each turns its configuration into a StepPlan."""

from mindscience_diffuser.schedulers.ddim import DDIMScheduler
from mindscience_diffuser.schedulers.ddpm import DDPMScheduler
from mindscience_diffuser.schedulers.diffusion import DiffusionScheduler
from mindscience_diffuser.schedulers.euler_discrete import EulerDiscreteScheduler
from mindscience_diffuser.schedulers.flow_match_euler import FlowMatchEulerDiscreteScheduler
from mindscience_diffuser.schedulers.flow_match_heun import FlowMatchHeunDiscreteScheduler
from mindscience_diffuser.schedulers.flow_match_lcm import FlowMatchLCMScheduler
from mindscience_diffuser.schedulers.lcm import LCMScheduler, LCMSchedulerOutput
from mindscience_diffuser.schedulers.pyramid_flow import PyramidFlowMatchEulerDiscreteScheduler
from mindscience_diffuser.schedulers.scheduler import Scheduler, SchedulerOutput
from mindscience_diffuser.schedulers.tcd import TCDScheduler, TCDSchedulerOutput

__all__ = [
    "DDIMScheduler",
    "DDPMScheduler",
    "DiffusionScheduler",
    "EulerDiscreteScheduler",
    "FlowMatchEulerDiscreteScheduler",
    "FlowMatchHeunDiscreteScheduler",
    "FlowMatchLCMScheduler",
    "LCMScheduler",
    "LCMSchedulerOutput",
    "PyramidFlowMatchEulerDiscreteScheduler",
    "Scheduler",
    "SchedulerOutput",
    "TCDScheduler",
    "TCDSchedulerOutput",
]
