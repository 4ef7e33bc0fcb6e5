"""What a run can be made of, under the names that a YAML file uses.

An entry is ``"module:attribute"`` and is imported when a run asks for it: reading and checking a configuration does not
need MindSpore. A new scheduler, model or data set is a line here, and its name in the lists of the kinds of runs that
take it.
"""

import importlib

from mindscience_diffuser.runs.errors import ConfigError, nearest

DIGITS_RUNS = ("diffusion", "flow_matching", "consistency_distillation", "pyramid_flow")
CONDITIONED_MODELS = ("PositionalConditionTransformer", "ConditionDiffusionTransformer")
FEW_STEP_SCHEDULERS = ("LCMScheduler", "TCDScheduler")
DIFFUSION_SCHEDULERS = (
    "DDPMScheduler",
    "DDIMScheduler",
    *FEW_STEP_SCHEDULERS,
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
)
FLOW_SCHEDULERS = ("FlowMatchEulerDiscreteScheduler", "FlowMatchHeunDiscreteScheduler", "FlowMatchLCMScheduler")
PYRAMID_SCHEDULERS = ("PyramidFlowMatchEulerDiscreteScheduler",)

COMPONENTS = {
    "diffusion": {
        "data": ("Digits",),
        "model": CONDITIONED_MODELS,
        "scheduler": DIFFUSION_SCHEDULERS,
    },
    "flow_matching": {
        "data": ("Digits",),
        "model": CONDITIONED_MODELS,
        "scheduler": FLOW_SCHEDULERS,
    },
    "consistency_distillation": {
        "data": ("Digits",),
        "model": ("GuidanceDiffusionTransformer",),
        "scheduler": FEW_STEP_SCHEDULERS,
    },
    "pyramid_flow": {
        "data": ("Digits",),
        "model": ("PatchDiffusionTransformer",),
        "scheduler": PYRAMID_SCHEDULERS,
    },
    "world_model": {"data": ("StirredFlow",), "model": ("FrameTransformer",)},
}
"""Names of the components that each kind of run takes."""

REGISTRY = {
    "schema": {
        "diffusion": "mindscience_diffuser.runs.config.schema:DiffusionRun",
        "flow_matching": "mindscience_diffuser.runs.config.schema:FlowMatchingRun",
        "consistency_distillation": "mindscience_diffuser.runs.config.schema:ConsistencyRun",
        "pyramid_flow": "mindscience_diffuser.runs.config.schema:PyramidFlowRun",
        "world_model": "mindscience_diffuser.runs.config.world_model_schema:WorldModelRun",
    },
    "objective": {
        "diffusion": "mindscience_diffuser.runs.kinds.diffusion:objective",
        "flow_matching": "mindscience_diffuser.runs.kinds.flow_matching:objective",
        "consistency_distillation": "mindscience_diffuser.runs.kinds.consistency_distillation:objective",
        "pyramid_flow": "mindscience_diffuser.runs.kinds.pyramid_flow:objective",
        "world_model": "mindscience_diffuser.runs.kinds.world_model:objective",
    },
    "train": dict.fromkeys((*DIGITS_RUNS, "world_model"), "mindscience_diffuser.runs.commands.train:train"),
    "sample": {
        **dict.fromkeys(DIGITS_RUNS, "mindscience_diffuser.runs.commands.sample:sample"),
        "world_model": "mindscience_diffuser.runs.kinds.world_model:sample",
    },
    "sweep": dict.fromkeys(DIGITS_RUNS, "mindscience_diffuser.runs.commands.sweep:sweep"),
    "compare": dict.fromkeys(DIGITS_RUNS, "mindscience_diffuser.runs.commands.compare:compare"),
    "export": dict.fromkeys(DIGITS_RUNS, "mindscience_diffuser.runs.commands.export:export"),
    "scheduler": {
        name: f"mindscience_diffuser.schedulers:{name}"
        for name in (*DIFFUSION_SCHEDULERS, *FLOW_SCHEDULERS, *PYRAMID_SCHEDULERS)
    },
    "model": {
        "ConditionDiffusionTransformer": "mindscience_diffuser.models:ConditionDiffusionTransformer",
        "PositionalConditionTransformer": "mindscience_diffuser.models:PositionalConditionTransformer",
        "PatchDiffusionTransformer": "mindscience_diffuser.models:PatchDiffusionTransformer",
        "FrameTransformer": "mindscience_diffuser.models:FrameTransformer",
        "GuidanceDiffusionTransformer": "mindscience_diffuser.models:GuidanceDiffusionTransformer",
    },
    "data": {
        "Digits": "mindscience_diffuser.examples.digits.data:Digits",
        "StirredFlow": "mindscience_diffuser.examples.stirred_flow.data:StirredFlow",
    },
}
# What the user calls an entry of these kinds.
WHAT = {"schema": "kind of run", "data": "data set"}


def check_name(kind, name, place, origin, run=None):
    """Raises ConfigError unless `name` is registered under `kind`, for runs of the kind `run` where that is given.

    Args:
        kind (str): Key of ``REGISTRY``.
        name (str): What the configuration gives.
        place (str): The key that holds it.
        origin (str): Where that key stands, for the message.
        run (str, optional): Kind of the run whose component it is.
    """
    allowed = REGISTRY[kind] if run is None else COMPONENTS[run][kind]
    if isinstance(name, str) and name in allowed:
        return
    what = WHAT.get(kind, kind)
    if isinstance(name, str) and name in REGISTRY[kind]:
        listed = ", ".join(f"'{choice}'" for choice in allowed)
        raise ConfigError(
            f"{origin}: a run of the kind '{run}' takes no {what} {name!r} at '{place}'; allowed: {listed}"
        )
    raise ConfigError(f"{origin}: unknown {what} {name!r} at '{place}'; {nearest(name, allowed)}")


def lookup(kind, name):
    """Imports and returns what is registered under `name`."""
    module, attribute = REGISTRY[kind][name].split(":")
    return getattr(importlib.import_module(module), attribute)
