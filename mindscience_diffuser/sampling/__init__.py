"""A model driven along a plan."""

from mindscience_diffuser.sampling.guidance import ClassifierFreeGuidance
from mindscience_diffuser.sampling.model_step import ModelStep
from mindscience_diffuser.sampling.sampler import Sampler

__all__ = ["ClassifierFreeGuidance", "ModelStep", "Sampler"]
