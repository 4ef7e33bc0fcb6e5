"""A model driven along a plan."""

from mindscience_diffuser.sampling.assimilation import Assimilated, assimilate
from mindscience_diffuser.sampling.diffusion_sampler import DiffusionSampler, DiffusionSamplerConfig
from mindscience_diffuser.sampling.ensemble_update import Localization
from mindscience_diffuser.sampling.frames import FrameSchedule
from mindscience_diffuser.sampling.graph_noise import GraphNoise
from mindscience_diffuser.sampling.model_step import ModelStep
from mindscience_diffuser.sampling.ode.inversion import Inverted, invert
from mindscience_diffuser.sampling.ode.likelihood import LogLikelihood, bits_per_dimension, log_likelihood
from mindscience_diffuser.sampling.pyramid import PyramidSampler
from mindscience_diffuser.sampling.residual import ResidualSampler
from mindscience_diffuser.sampling.rigid_motion import RigidMotion
from mindscience_diffuser.sampling.sampler import Sampler
from mindscience_diffuser.sampling.twisted import TwistedSampler, TwistedSamples

__all__ = [
    "Assimilated",
    "DiffusionSampler",
    "DiffusionSamplerConfig",
    "FrameSchedule",
    "GraphNoise",
    "Inverted",
    "Localization",
    "LogLikelihood",
    "ModelStep",
    "PyramidSampler",
    "ResidualSampler",
    "RigidMotion",
    "Sampler",
    "TwistedSampler",
    "TwistedSamples",
    "assimilate",
    "bits_per_dimension",
    "invert",
    "log_likelihood",
]
