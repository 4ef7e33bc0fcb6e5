"""A model driven along a plan."""

from mindscience_diffuser.sampling.diffusion_sampler import DiffusionSampler, DiffusionSamplerConfig
from mindscience_diffuser.sampling.model_step import ModelStep
from mindscience_diffuser.sampling.pyramid import PyramidSampler
from mindscience_diffuser.sampling.sampler import Sampler
from mindscience_diffuser.sampling.twisted import TwistedSampler, TwistedSamples

__all__ = [
    "DiffusionSampler",
    "DiffusionSamplerConfig",
    "ModelStep",
    "PyramidSampler",
    "Sampler",
    "TwistedSampler",
    "TwistedSamples",
]
