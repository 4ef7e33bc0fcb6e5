"""Diffusion schedulers and samplers for MindSpore that compile into the graph."""

from mindscience_diffuser.models import ConditionDiffusionTransformer, DiffusionTransformer
from mindscience_diffuser.noise import NoiseSource
from mindscience_diffuser.pipelines import DDIMPipeline, DDPMPipeline
from mindscience_diffuser.sampling import ClassifierFreeGuidance, Sampler
from mindscience_diffuser.schedulers import DDIMScheduler, DDPMScheduler, DiffusionScheduler, SchedulerOutput
from mindscience_diffuser.training import DiffusionTrainer

__version__ = "0.1.0"

__all__ = [
    "ClassifierFreeGuidance",
    "ConditionDiffusionTransformer",
    "DDIMPipeline",
    "DDIMScheduler",
    "DDPMPipeline",
    "DDPMScheduler",
    "DiffusionScheduler",
    "DiffusionTrainer",
    "DiffusionTransformer",
    "NoiseSource",
    "Sampler",
    "SchedulerOutput",
]
