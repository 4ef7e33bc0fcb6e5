"""Schedulers: each turns its configuration into a StepPlan."""

from mindscience_diffuser.schedulers.cogvideox import CogVideoXDDIMScheduler, CogVideoXDPMScheduler
from mindscience_diffuser.schedulers.consistency_models import CMStochasticIterativeScheduler
from mindscience_diffuser.schedulers.cosine_dpmsolver_multistep import CosineDPMSolverMultistepScheduler
from mindscience_diffuser.schedulers.ddim import DDIMScheduler
from mindscience_diffuser.schedulers.ddim_inverse import DDIMInverseScheduler
from mindscience_diffuser.schedulers.ddpm import DDPMScheduler
from mindscience_diffuser.schedulers.ddpm_wuerstchen import DDPMWuerstchenScheduler
from mindscience_diffuser.schedulers.deis_multistep import DEISMultistepScheduler
from mindscience_diffuser.schedulers.diffusion import DiffusionScheduler
from mindscience_diffuser.schedulers.dpmsolver_multistep import DPMSolverMultistepScheduler
from mindscience_diffuser.schedulers.dpmsolver_multistep_inverse import DPMSolverMultistepInverseScheduler
from mindscience_diffuser.schedulers.dpmsolver_sde import DPMSolverSDEScheduler
from mindscience_diffuser.schedulers.dpmsolver_singlestep import DPMSolverSinglestepScheduler
from mindscience_diffuser.schedulers.edm_dpmsolver_multistep import EDMDPMSolverMultistepScheduler
from mindscience_diffuser.schedulers.edm_euler import EDMEulerScheduler
from mindscience_diffuser.schedulers.edm_heun import EDMHeunScheduler
from mindscience_diffuser.schedulers.euler_ancestral_discrete import EulerAncestralDiscreteScheduler
from mindscience_diffuser.schedulers.euler_discrete import EulerDiscreteScheduler
from mindscience_diffuser.schedulers.flow_match_euler import FlowMatchEulerDiscreteScheduler
from mindscience_diffuser.schedulers.flow_match_heun import FlowMatchHeunDiscreteScheduler
from mindscience_diffuser.schedulers.flow_match_lcm import FlowMatchLCMScheduler
from mindscience_diffuser.schedulers.heun_discrete import HeunDiscreteScheduler
from mindscience_diffuser.schedulers.ipndm import IPNDMScheduler
from mindscience_diffuser.schedulers.karras_ve import KarrasVeScheduler
from mindscience_diffuser.schedulers.kdpm2_discrete import KDPM2AncestralDiscreteScheduler, KDPM2DiscreteScheduler
from mindscience_diffuser.schedulers.lcm import LCMScheduler, LCMSchedulerOutput
from mindscience_diffuser.schedulers.lms_discrete import LMSDiscreteScheduler
from mindscience_diffuser.schedulers.parallel import DDIMParallelScheduler, DDPMParallelScheduler
from mindscience_diffuser.schedulers.pndm import PNDMScheduler
from mindscience_diffuser.schedulers.pyramid_flow import PyramidFlowMatchEulerDiscreteScheduler
from mindscience_diffuser.schedulers.repaint import RePaintScheduler
from mindscience_diffuser.schedulers.sasolver import SASolverScheduler
from mindscience_diffuser.schedulers.scheduler import Scheduler, SchedulerOutput
from mindscience_diffuser.schedulers.scm import SCMScheduler
from mindscience_diffuser.schedulers.score_sde import ScoreSdeOutput, ScoreSdeVeScheduler, ScoreSdeVpScheduler
from mindscience_diffuser.schedulers.tcd import TCDScheduler, TCDSchedulerOutput
from mindscience_diffuser.schedulers.unclip import UnCLIPScheduler
from mindscience_diffuser.schedulers.unipc_multistep import UniPCMultistepScheduler

__all__ = [
    "CMStochasticIterativeScheduler",
    "CogVideoXDDIMScheduler",
    "CogVideoXDPMScheduler",
    "CosineDPMSolverMultistepScheduler",
    "DDIMInverseScheduler",
    "DDIMParallelScheduler",
    "DDIMScheduler",
    "DDPMParallelScheduler",
    "DDPMScheduler",
    "DDPMWuerstchenScheduler",
    "DEISMultistepScheduler",
    "DPMSolverMultistepInverseScheduler",
    "DPMSolverMultistepScheduler",
    "DPMSolverSDEScheduler",
    "DPMSolverSinglestepScheduler",
    "DiffusionScheduler",
    "EDMDPMSolverMultistepScheduler",
    "EDMEulerScheduler",
    "EDMHeunScheduler",
    "EulerAncestralDiscreteScheduler",
    "EulerDiscreteScheduler",
    "FlowMatchEulerDiscreteScheduler",
    "FlowMatchHeunDiscreteScheduler",
    "FlowMatchLCMScheduler",
    "HeunDiscreteScheduler",
    "IPNDMScheduler",
    "KDPM2AncestralDiscreteScheduler",
    "KDPM2DiscreteScheduler",
    "KarrasVeScheduler",
    "LCMScheduler",
    "LCMSchedulerOutput",
    "LMSDiscreteScheduler",
    "PNDMScheduler",
    "PyramidFlowMatchEulerDiscreteScheduler",
    "RePaintScheduler",
    "SASolverScheduler",
    "SCMScheduler",
    "Scheduler",
    "SchedulerOutput",
    "ScoreSdeOutput",
    "ScoreSdeVeScheduler",
    "ScoreSdeVpScheduler",
    "TCDScheduler",
    "TCDSchedulerOutput",
    "UnCLIPScheduler",
    "UniPCMultistepScheduler",
]
