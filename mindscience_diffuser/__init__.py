"""Diffusion schedulers and samplers for MindSpore that compile into the graph."""

import importlib

__version__ = "0.1.0"

# Where each public name is defined. It is imported when it is first asked for (PEP 562), so that what does not compute,
# such as the check of a configuration, does not wait for MindSpore.
_MODULES = {
    "AdaptiveProjectedGuidance": "mindscience_diffuser.guidance",
    "AlphaFold3Scheduler": "mindscience_diffuser.schedulers",
    "AutoGuidance": "mindscience_diffuser.guidance",
    "Blur": "mindscience_diffuser.guidance",
    "CMStochasticIterativeScheduler": "mindscience_diffuser.schedulers",
    "CentredNoise": "mindscience_diffuser.noise",
    "ClassifierFreeGuidance": "mindscience_diffuser.guidance",
    "ClassifierFreeZeroStarGuidance": "mindscience_diffuser.guidance",
    "Coarsen": "mindscience_diffuser.guidance",
    "CogVideoXDDIMScheduler": "mindscience_diffuser.schedulers",
    "CogVideoXDPMScheduler": "mindscience_diffuser.schedulers",
    "ConditionDiffusionTransformer": "mindscience_diffuser.models",
    "ConsistencyDistillation": "mindscience_diffuser.training",
    "ConsistencyTuningTrainer": "mindscience_diffuser.training",
    "CosineDPMSolverMultistepScheduler": "mindscience_diffuser.schedulers",
    "CounterNoise": "mindscience_diffuser.noise",
    "DDIMInverseScheduler": "mindscience_diffuser.schedulers",
    "DDIMParallelScheduler": "mindscience_diffuser.schedulers",
    "DDIMPipeline": "mindscience_diffuser.pipelines",
    "DDIMScheduler": "mindscience_diffuser.schedulers",
    "DDPMParallelScheduler": "mindscience_diffuser.schedulers",
    "DDPMPipeline": "mindscience_diffuser.pipelines",
    "DDPMScheduler": "mindscience_diffuser.schedulers",
    "DDPMWuerstchenScheduler": "mindscience_diffuser.schedulers",
    "DEISMultistepScheduler": "mindscience_diffuser.schedulers",
    "DPMSolverMultistepInverseScheduler": "mindscience_diffuser.schedulers",
    "DPMSolverMultistepScheduler": "mindscience_diffuser.schedulers",
    "DPMSolverSDEScheduler": "mindscience_diffuser.schedulers",
    "DPMSolverSinglestepScheduler": "mindscience_diffuser.schedulers",
    "DiffusionPipeline": "mindscience_diffuser.pipelines",
    "DiffusionSampler": "mindscience_diffuser.sampling",
    "DiffusionSamplerConfig": "mindscience_diffuser.sampling",
    "DiffusionScheduler": "mindscience_diffuser.schedulers",
    "DiffusionTrainer": "mindscience_diffuser.training",
    "DiffusionTransformer": "mindscience_diffuser.models",
    "DistilledGuidance": "mindscience_diffuser.guidance",
    "EDMDPMSolverMultistepScheduler": "mindscience_diffuser.schedulers",
    "EDMDPMSolverSinglestepScheduler": "mindscience_diffuser.schedulers",
    "EDMEulerScheduler": "mindscience_diffuser.schedulers",
    "EDMHeunScheduler": "mindscience_diffuser.schedulers",
    "EDMPreconditioning": "mindscience_diffuser.noise",
    "EDMTrainer": "mindscience_diffuser.training",
    "EulerAncestralDiscreteScheduler": "mindscience_diffuser.schedulers",
    "EulerDiscreteScheduler": "mindscience_diffuser.schedulers",
    "FlowMapEulerDiscreteScheduler": "mindscience_diffuser.schedulers",
    "FlowMapTransformer": "mindscience_diffuser.models",
    "FlowMatchEulerDiscreteScheduler": "mindscience_diffuser.schedulers",
    "FlowMatchHeunDiscreteScheduler": "mindscience_diffuser.schedulers",
    "FlowMatchLCMScheduler": "mindscience_diffuser.schedulers",
    "FlowMatchingTrainer": "mindscience_diffuser.training",
    "Fourier": "mindscience_diffuser.guidance",
    "FrameSchedule": "mindscience_diffuser.sampling",
    "GaussianFieldNoise": "mindscience_diffuser.noise",
    "GraphNoise": "mindscience_diffuser.sampling",
    "GuidanceDiffusionTransformer": "mindscience_diffuser.models",
    "HeunDiscreteScheduler": "mindscience_diffuser.schedulers",
    "IPNDMScheduler": "mindscience_diffuser.schedulers",
    "KDPM2AncestralDiscreteScheduler": "mindscience_diffuser.schedulers",
    "KDPM2DiscreteScheduler": "mindscience_diffuser.schedulers",
    "KarrasVeScheduler": "mindscience_diffuser.schedulers",
    "LCMScheduler": "mindscience_diffuser.schedulers",
    "LCMSchedulerOutput": "mindscience_diffuser.schedulers",
    "LMSDiscreteScheduler": "mindscience_diffuser.schedulers",
    "Localization": "mindscience_diffuser.sampling",
    "ManifoldConstrainedGuidance": "mindscience_diffuser.guidance",
    "Mask": "mindscience_diffuser.guidance",
    "MeanFlowTrainer": "mindscience_diffuser.training",
    "NoiseLaw": "mindscience_diffuser.noise",
    "NoiseSource": "mindscience_diffuser.noise",
    "PNDMScheduler": "mindscience_diffuser.schedulers",
    "PatchDiffusionTransformer": "mindscience_diffuser.models",
    "PatchedModel": "mindscience_diffuser.guidance.patches",
    "PositionalConditionTransformer": "mindscience_diffuser.models",
    "PositionalTransformer": "mindscience_diffuser.models",
    "PosteriorGuidance": "mindscience_diffuser.guidance",
    "PyramidFlowMatchEulerDiscreteScheduler": "mindscience_diffuser.schedulers",
    "PyramidFlowTrainer": "mindscience_diffuser.training",
    "PyramidSampler": "mindscience_diffuser.sampling",
    "RFD4ProteinaScheduler": "mindscience_diffuser.schedulers",
    "RePaintScheduler": "mindscience_diffuser.schedulers",
    "ResidualSampler": "mindscience_diffuser.sampling",
    "RigidMotion": "mindscience_diffuser.sampling",
    "SASolverScheduler": "mindscience_diffuser.schedulers",
    "SCMScheduler": "mindscience_diffuser.schedulers",
    "Sampler": "mindscience_diffuser.sampling",
    "Scheduler": "mindscience_diffuser.schedulers",
    "SchedulerOutput": "mindscience_diffuser.schedulers",
    "ScoreSdeOutput": "mindscience_diffuser.schedulers",
    "ScoreSdeVeScheduler": "mindscience_diffuser.schedulers",
    "ScoreSdeVpScheduler": "mindscience_diffuser.schedulers",
    "SphericalNoise": "mindscience_diffuser.noise",
    "Stack": "mindscience_diffuser.guidance",
    "Stage": "mindscience_diffuser.guidance",
    "StudentTNoise": "mindscience_diffuser.noise",
    "TCDScheduler": "mindscience_diffuser.schedulers",
    "TCDSchedulerOutput": "mindscience_diffuser.schedulers",
    "TangentialClassifierFreeGuidance": "mindscience_diffuser.guidance",
    "TwistedSampler": "mindscience_diffuser.sampling",
    "TwistedSamples": "mindscience_diffuser.sampling",
    "UNet": "mindscience_diffuser.models",
    "UnCLIPScheduler": "mindscience_diffuser.schedulers",
    "UniPCMultistepScheduler": "mindscience_diffuser.schedulers",
    "WhiteNoise": "mindscience_diffuser.noise",
    "assimilate": "mindscience_diffuser.sampling",
    "block_noise": "mindscience_diffuser.noise",
    "calculate_shift": "mindscience_diffuser.noise",
    "random_patches": "mindscience_diffuser.training",
    "register_scheduler": "mindscience_diffuser.schedulers",
    "schedule_sigmas": "mindscience_diffuser.noise",
    "schedule_timesteps": "mindscience_diffuser.noise",
    "set_noise_function": "mindscience_diffuser.noise",
}

__all__ = list(_MODULES)


def __getattr__(name):
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_MODULES[name]), name)
    globals()[name] = value
    return value


# At the end: the examples register their names with the runs, which stand below them.
importlib.import_module("mindscience_diffuser.examples")


def __dir__():
    return sorted({*globals(), *__all__})
