"""What the module `mindscience.diffuser.diffusion` offers, for code that imports it from there."""

from mindscience_diffuser.pipelines import DDIMPipeline, DDPMPipeline, DiffusionPipeline
from mindscience_diffuser.schedulers import DDIMScheduler, DDPMScheduler, DiffusionScheduler
from mindscience_diffuser.training import DiffusionTrainer

__all__ = [
    "DDIMPipeline",
    "DDIMScheduler",
    "DDPMPipeline",
    "DDPMScheduler",
    "DiffusionPipeline",
    "DiffusionScheduler",
    "DiffusionTrainer",
]
