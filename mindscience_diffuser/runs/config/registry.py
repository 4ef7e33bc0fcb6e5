"""What a run can be made of, under the names that a YAML file uses.

An entry is ``"module:attribute"`` and is imported when a run asks for it. Plug-ins such as those in
:mod:`mindscience_diffuser.examples` add theirs with :func:`register` and :func:`register_weights`; models and
schedulers of the package are there by themselves.
"""

import importlib

from mindscience_diffuser.validation import check_path

KINDS = "mindscience_diffuser.runs.kinds"
SCHEMAS = "mindscience_diffuser.runs.config"
COMMANDS = "mindscience_diffuser.runs.commands"
EVALUATION = "mindscience_diffuser.runs.evaluation"
SAMPLED = (
    *("diffusion", "flow_matching", "edm", "consistency_distillation", "mean_flow", "consistency_tuning"),
    "pyramid_flow",
)
"""Kinds of runs whose samples a scheduler draws."""

REGISTRY = {
    "schema": {
        "diffusion": f"{SCHEMAS}.schema:DiffusionRun",
        "flow_matching": f"{SCHEMAS}.schema:FlowMatchingRun",
        "edm": f"{SCHEMAS}.schema:EDMRun",
        "consistency_distillation": f"{SCHEMAS}.few_step_schema:ConsistencyRun",
        "mean_flow": f"{SCHEMAS}.few_step_schema:MeanFlowRun",
        "consistency_tuning": f"{SCHEMAS}.few_step_schema:ConsistencyTuningRun",
        "pyramid_flow": f"{SCHEMAS}.schema:PyramidFlowRun",
        "regression": f"{SCHEMAS}.schema:RegressionRun",
        "world_model": f"{SCHEMAS}.world_model_schema:WorldModelRun",
        "forecast": f"{SCHEMAS}.forecast_schema:ForecastRun",
        "assimilation": f"{SCHEMAS}.assimilation_schema:AssimilationRun",
    },
    "kind": {
        "diffusion": f"{KINDS}.diffusion:Diffusion",
        "flow_matching": f"{KINDS}.flow_matching:FlowMatching",
        "edm": f"{KINDS}.edm:EDM",
        "consistency_distillation": f"{KINDS}.few_step.consistency_distillation:Distillation",
        "mean_flow": f"{KINDS}.few_step.mean_flow:MeanFlow",
        "consistency_tuning": f"{KINDS}.few_step.consistency_tuning:ConsistencyTuning",
        "pyramid_flow": f"{KINDS}.pyramid_flow:PyramidFlow",
        "regression": f"{KINDS}.regression:Regression",
        "world_model": f"{KINDS}.films.world_model:WorldModel",
        "forecast": f"{KINDS}.films.forecast:Forecast",
    },
    "train": dict.fromkeys((*SAMPLED, "regression", "world_model", "forecast"), f"{COMMANDS}.train:train"),
    "sample": {
        **dict.fromkeys(SAMPLED, f"{COMMANDS}.sample:sample"),
        "world_model": f"{KINDS}.films.world_model:sample",
        "forecast": f"{KINDS}.films.forecast:sample",
        "assimilation": f"{KINDS}.films.assimilation:sample",
    },
    "sweep": dict.fromkeys(SAMPLED, f"{COMMANDS}.sweep:sweep"),
    "compare": dict.fromkeys(SAMPLED, f"{COMMANDS}.compare:compare"),
    "optimize": dict.fromkeys(("diffusion", "flow_matching", "edm"), f"{COMMANDS}.optimize:optimize"),
    "export": dict.fromkeys(SAMPLED, f"{COMMANDS}.export:export"),
}
"""Schemas, kinds of runs and commands."""

COMPONENTS = {
    "data": {name: f"mindscience_diffuser.data:{name}" for name in ("Arrays", "Fields", "Images")},
    "films": {"FieldSequence": "mindscience_diffuser.data.field_sequence:FieldSequence"},
    "metrics": {
        "Moments": f"{EVALUATION}.moments:Moments",
        "SpectrumDistance": f"{EVALUATION}.spectra:SpectrumDistance",
        "HistogramDistance": f"{EVALUATION}.histograms:HistogramDistance",
        "EnsembleScore": f"{EVALUATION}.ensembles:EnsembleScore",
        "FrechetDistance": f"{EVALUATION}.distributions:FrechetDistance",
        "PrecisionRecall": f"{EVALUATION}.distributions:PrecisionRecall",
        "ClassAccuracy": f"{EVALUATION}.distributions:ClassAccuracy",
    },
    "guidance": {},
    "noise": {
        name: f"mindscience_diffuser.noise:{name}"
        for name in ("CentredNoise", "GaussianFieldNoise", "SphericalNoise", "StudentTNoise", "WhiteNoise")
    },
}
"""What was registered, by what it is and by its name; of models and schedulers see :func:`registered`."""

WEIGHTS = []
"""Folders of weights that come with the package and its plug-ins."""


def register(what, **paths):
    """Adds components by name: `what` is a key of ``COMPONENTS``, a path is ``"module:Class"``."""
    COMPONENTS[what].update(paths)


def register_weights(folder):
    """Adds the folder of weights ``<name>.safetensors`` that come with a ``<name>.yaml`` each."""
    WEIGHTS.append(check_path("folder", folder))


def registered(what):
    """Returns the paths of what is registered as `what`, by name."""
    if what == "scheduler":
        schedulers = importlib.import_module("mindscience_diffuser.schedulers.base.scheduler").stepping_schedulers()
        return {name: f"{kind.__module__}:{name}" for name, kind in schedulers.items()}
    if what == "model":
        return {name: f"mindscience_diffuser.models:{name}" for name in _models()}
    if what == "guidance":
        module = importlib.import_module("mindscience_diffuser.guidance")
        stages = [name for name in module.__all__ if _is_stage(getattr(module, name), module.Stage)]
        return {**{name: f"{module.__name__}:{name}" for name in stages}, **COMPONENTS[what]}
    return COMPONENTS[what]


def lookup(kind, name):
    """Imports and returns what ``REGISTRY`` has under `name`."""
    return load(REGISTRY[kind][name])


def load(path):
    """Imports and returns ``"module:attribute"``."""
    module, attribute = path.split(":")
    return getattr(importlib.import_module(module), attribute)


def _is_stage(found, base):
    return isinstance(found, type) and issubclass(found, base) and found is not base


def _models():
    return importlib.import_module("mindscience_diffuser.models").__all__
