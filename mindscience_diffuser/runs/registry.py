"""What a run can be made of, under the names that a YAML file uses.

An entry is ``"module:attribute"`` and is imported when a run asks for it: reading and checking a configuration does not
need MindSpore. A new scheduler, model, data set or kind of run is one line here.
"""

import importlib

from mindscience_diffuser.runs.errors import ConfigError, nearest

DIGITS_RUNS = ("diffusion", "flow_matching", "consistency_distillation", "pyramid_flow")
SCHEDULERS = (
    "DDPMScheduler",
    "DDIMScheduler",
    "LCMScheduler",
    "TCDScheduler",
    "PNDMScheduler",
    "EulerDiscreteScheduler",
    "EulerAncestralDiscreteScheduler",
    "HeunDiscreteScheduler",
    "KDPM2DiscreteScheduler",
    "KDPM2AncestralDiscreteScheduler",
    "LMSDiscreteScheduler",
    "DPMSolverSDEScheduler",
    "DPMSolverMultistepScheduler",
    "DPMSolverSinglestepScheduler",
    "DEISMultistepScheduler",
    "UniPCMultistepScheduler",
    "SASolverScheduler",
    "FlowMatchEulerDiscreteScheduler",
    "FlowMatchHeunDiscreteScheduler",
    "FlowMatchLCMScheduler",
    "PyramidFlowMatchEulerDiscreteScheduler",
)

REGISTRY = {
    "schema": {
        "diffusion": "mindscience_diffuser.runs.schema:DiffusionRun",
        "flow_matching": "mindscience_diffuser.runs.schema:FlowMatchingRun",
        "consistency_distillation": "mindscience_diffuser.runs.schema:ConsistencyRun",
        "pyramid_flow": "mindscience_diffuser.runs.schema:PyramidFlowRun",
        "world_model": "mindscience_diffuser.runs.world_model_schema:WorldModelRun",
    },
    "objective": {
        "diffusion": "mindscience_diffuser.runs.diffusion:objective",
        "flow_matching": "mindscience_diffuser.runs.flow_matching:objective",
        "consistency_distillation": "mindscience_diffuser.runs.consistency_distillation:objective",
        "pyramid_flow": "mindscience_diffuser.runs.pyramid_flow:objective",
        "world_model": "mindscience_diffuser.runs.world_model:objective",
    },
    "train": dict.fromkeys((*DIGITS_RUNS, "world_model"), "mindscience_diffuser.runs.train:train"),
    "sample": {
        **dict.fromkeys(DIGITS_RUNS, "mindscience_diffuser.runs.sample:sample"),
        "world_model": "mindscience_diffuser.runs.world_model:sample",
    },
    "sweep": dict.fromkeys(DIGITS_RUNS, "mindscience_diffuser.runs.sweep:sweep"),
    "compare": dict.fromkeys(DIGITS_RUNS, "mindscience_diffuser.runs.compare:compare"),
    "export": dict.fromkeys(DIGITS_RUNS, "mindscience_diffuser.runs.export:export"),
    "scheduler": {name: f"mindscience_diffuser.schedulers:{name}" for name in SCHEDULERS},
    "model": {
        "ConditionDiffusionTransformer": "mindscience_diffuser.models:ConditionDiffusionTransformer",
        "PatchDiffusionTransformer": "mindscience_diffuser.models:PatchDiffusionTransformer",
        "FrameTransformer": "mindscience_diffuser.models:FrameTransformer",
        "GuidanceDiffusionTransformer": "mindscience_diffuser.models:GuidanceDiffusionTransformer",
    },
    "data": {
        "Digits": "mindscience_diffuser.runs.digits:Digits",
        "StirredFlow": "mindscience_diffuser.runs.stirred_flow:StirredFlow",
    },
}
# What the user calls an entry of these kinds.
WHAT = {"schema": "kind of run", "data": "data set"}


def check_name(kind, name, place, origin):
    """Raises ConfigError unless `name` is registered under `kind`.

    Args:
        kind (str): Key of ``REGISTRY``.
        name (str): What the configuration gives.
        place (str): The key that holds it.
        origin (str): Where that key stands, for the message.
    """
    if not isinstance(name, str) or name not in REGISTRY[kind]:
        raise ConfigError(
            f"{origin}: unknown {WHAT.get(kind, kind)} {name!r} at '{place}'; {nearest(name, REGISTRY[kind])}"
        )


def lookup(kind, name):
    """Imports and returns what is registered under `name`."""
    module, attribute = REGISTRY[kind][name].split(":")
    return getattr(importlib.import_module(module), attribute)
