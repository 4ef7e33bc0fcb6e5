"""Schedulers: each turns its configuration into a StepPlan."""

from mindscience_diffuser.schedulers.base.scheduler import Scheduler, SchedulerOutput, register_scheduler
from mindscience_diffuser.schedulers.consistency.consistency_decoder import ConsistencyDecoderScheduler
from mindscience_diffuser.schedulers.consistency.consistency_models import CMStochasticIterativeScheduler
from mindscience_diffuser.schedulers.consistency.lcm import LCMScheduler, LCMSchedulerOutput
from mindscience_diffuser.schedulers.consistency.scm import SCMScheduler
from mindscience_diffuser.schedulers.consistency.tcd import TCDScheduler, TCDSchedulerOutput
from mindscience_diffuser.schedulers.diffusion.cogvideox import CogVideoXDDIMScheduler, CogVideoXDPMScheduler
from mindscience_diffuser.schedulers.diffusion.ddim import DDIMScheduler
from mindscience_diffuser.schedulers.diffusion.ddim_inverse import DDIMInverseScheduler
from mindscience_diffuser.schedulers.diffusion.ddpm import DDPMScheduler
from mindscience_diffuser.schedulers.diffusion.ddpm_wuerstchen import DDPMWuerstchenScheduler
from mindscience_diffuser.schedulers.diffusion.diffusion import DiffusionScheduler
from mindscience_diffuser.schedulers.diffusion.ipndm import IPNDMScheduler
from mindscience_diffuser.schedulers.diffusion.parallel import DDIMParallelScheduler, DDPMParallelScheduler
from mindscience_diffuser.schedulers.diffusion.pndm import PNDMScheduler
from mindscience_diffuser.schedulers.diffusion.repaint import RePaintScheduler
from mindscience_diffuser.schedulers.diffusion.unclip import UnCLIPScheduler
from mindscience_diffuser.schedulers.edm.alphafold3 import AlphaFold3Scheduler
from mindscience_diffuser.schedulers.edm.cosine_dpmsolver_multistep import CosineDPMSolverMultistepScheduler
from mindscience_diffuser.schedulers.edm.edm_dpmsolver_multistep import EDMDPMSolverMultistepScheduler
from mindscience_diffuser.schedulers.edm.edm_dpmsolver_singlestep import EDMDPMSolverSinglestepScheduler
from mindscience_diffuser.schedulers.edm.edm_euler import EDMEulerScheduler
from mindscience_diffuser.schedulers.edm.edm_heun import EDMHeunScheduler
from mindscience_diffuser.schedulers.edm.karras_ve import KarrasVeScheduler
from mindscience_diffuser.schedulers.exponential.deis_multistep import DEISMultistepScheduler
from mindscience_diffuser.schedulers.exponential.dpmsolver_ancestral import DPMSolverAncestralScheduler
from mindscience_diffuser.schedulers.exponential.dpmsolver_multistep import DPMSolverMultistepScheduler
from mindscience_diffuser.schedulers.exponential.dpmsolver_multistep_inverse import DPMSolverMultistepInverseScheduler
from mindscience_diffuser.schedulers.exponential.dpmsolver_singlestep import DPMSolverSinglestepScheduler
from mindscience_diffuser.schedulers.exponential.er_sde import ERSDEScheduler
from mindscience_diffuser.schedulers.exponential.sasolver import SASolverScheduler
from mindscience_diffuser.schedulers.exponential.seeds import SEEDSScheduler
from mindscience_diffuser.schedulers.exponential.unipc_multistep import UniPCMultistepScheduler
from mindscience_diffuser.schedulers.flow.flow_map_euler import FlowMapEulerDiscreteScheduler
from mindscience_diffuser.schedulers.flow.flow_match_euler import FlowMatchEulerDiscreteScheduler
from mindscience_diffuser.schedulers.flow.flow_match_heun import FlowMatchHeunDiscreteScheduler
from mindscience_diffuser.schedulers.flow.flow_match_lcm import FlowMatchLCMScheduler
from mindscience_diffuser.schedulers.flow.helios import HeliosScheduler
from mindscience_diffuser.schedulers.flow.helios_dmd import HeliosDMDScheduler
from mindscience_diffuser.schedulers.flow.ltx_euler_ancestral import LTXEulerAncestralRFScheduler
from mindscience_diffuser.schedulers.flow.minimax_h3 import MiniMaxH3Scheduler
from mindscience_diffuser.schedulers.flow.piflow import PiflowScheduler
from mindscience_diffuser.schedulers.flow.pyramid_flow import PyramidFlowMatchEulerDiscreteScheduler
from mindscience_diffuser.schedulers.flow.rfd4_proteina import RFD4ProteinaScheduler
from mindscience_diffuser.schedulers.learned.learned import LearnedScheduler
from mindscience_diffuser.schedulers.sigma.dpmsolver_sde import DPMSolverSDEScheduler
from mindscience_diffuser.schedulers.sigma.euler_ancestral_discrete import EulerAncestralDiscreteScheduler
from mindscience_diffuser.schedulers.sigma.euler_discrete import EulerDiscreteScheduler
from mindscience_diffuser.schedulers.sigma.gradient_estimation import GradientEstimationScheduler
from mindscience_diffuser.schedulers.sigma.heun_discrete import HeunDiscreteScheduler
from mindscience_diffuser.schedulers.sigma.kdpm2_discrete import KDPM2AncestralDiscreteScheduler, KDPM2DiscreteScheduler
from mindscience_diffuser.schedulers.sigma.lms_discrete import LMSDiscreteScheduler
from mindscience_diffuser.schedulers.sigma.score_sde import ScoreSdeOutput, ScoreSdeVeScheduler, ScoreSdeVpScheduler
from mindscience_diffuser.schedulers.tokens.amused import AmusedScheduler
from mindscience_diffuser.schedulers.tokens.block_refinement import BlockRefinementScheduler
from mindscience_diffuser.schedulers.tokens.discrete_ddim import DiscreteDDIMScheduler
from mindscience_diffuser.schedulers.tokens.entropy_bound import EntropyBoundScheduler
from mindscience_diffuser.schedulers.tokens.tokens import TokenScheduler, TokenSchedulerOutput
from mindscience_diffuser.schedulers.tokens.vq_diffusion import VQDiffusionScheduler

__all__ = [
    "AlphaFold3Scheduler",
    "AmusedScheduler",
    "BlockRefinementScheduler",
    "CMStochasticIterativeScheduler",
    "CogVideoXDDIMScheduler",
    "CogVideoXDPMScheduler",
    "ConsistencyDecoderScheduler",
    "CosineDPMSolverMultistepScheduler",
    "DDIMInverseScheduler",
    "DDIMParallelScheduler",
    "DDIMScheduler",
    "DDPMParallelScheduler",
    "DDPMScheduler",
    "DDPMWuerstchenScheduler",
    "DEISMultistepScheduler",
    "DPMSolverAncestralScheduler",
    "DPMSolverMultistepInverseScheduler",
    "DPMSolverMultistepScheduler",
    "DPMSolverSDEScheduler",
    "DPMSolverSinglestepScheduler",
    "DiffusionScheduler",
    "DiscreteDDIMScheduler",
    "EDMDPMSolverMultistepScheduler",
    "EDMDPMSolverSinglestepScheduler",
    "EDMEulerScheduler",
    "EDMHeunScheduler",
    "ERSDEScheduler",
    "EntropyBoundScheduler",
    "EulerAncestralDiscreteScheduler",
    "EulerDiscreteScheduler",
    "FlowMapEulerDiscreteScheduler",
    "FlowMatchEulerDiscreteScheduler",
    "FlowMatchHeunDiscreteScheduler",
    "FlowMatchLCMScheduler",
    "GradientEstimationScheduler",
    "HeliosDMDScheduler",
    "HeliosScheduler",
    "HeunDiscreteScheduler",
    "IPNDMScheduler",
    "KDPM2AncestralDiscreteScheduler",
    "KDPM2DiscreteScheduler",
    "KarrasVeScheduler",
    "LCMScheduler",
    "LCMSchedulerOutput",
    "LMSDiscreteScheduler",
    "LTXEulerAncestralRFScheduler",
    "LearnedScheduler",
    "MiniMaxH3Scheduler",
    "PNDMScheduler",
    "PiflowScheduler",
    "PyramidFlowMatchEulerDiscreteScheduler",
    "RFD4ProteinaScheduler",
    "RePaintScheduler",
    "SASolverScheduler",
    "SCMScheduler",
    "SEEDSScheduler",
    "Scheduler",
    "SchedulerOutput",
    "ScoreSdeOutput",
    "ScoreSdeVeScheduler",
    "ScoreSdeVpScheduler",
    "TCDScheduler",
    "TCDSchedulerOutput",
    "TokenScheduler",
    "TokenSchedulerOutput",
    "UnCLIPScheduler",
    "UniPCMultistepScheduler",
    "VQDiffusionScheduler",
    "register_scheduler",
]
