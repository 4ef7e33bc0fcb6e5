"""What a run can be made of, under the names that a YAML file uses.

An entry is ``"module:attribute"`` and is imported when a run asks for it: reading and checking a configuration does not
need MindSpore. A new scheduler, model, data set or kind of run is one line here.
"""

import importlib

from mindscience_diffuser.runs.errors import ConfigError, nearest

REGISTRY = {
    "schema": {"diffusion": "mindscience_diffuser.runs.schema:DiffusionRun"},
    "train": {"diffusion": "mindscience_diffuser.runs.train:train"},
    "sample": {"diffusion": "mindscience_diffuser.runs.sample:sample"},
    "scheduler": {
        "DDPMScheduler": "mindscience_diffuser.schedulers:DDPMScheduler",
        "DDIMScheduler": "mindscience_diffuser.schedulers:DDIMScheduler",
    },
    "model": {
        "ConditionDiffusionTransformer": "mindscience_diffuser.models:ConditionDiffusionTransformer",
    },
    "data": {"Digits": "mindscience_diffuser.runs.digits:Digits"},
}


def check_name(kind, name, place):
    """Raises ConfigError unless `name` is registered under `kind`; `place` is the key that holds the name."""
    if name not in REGISTRY[kind]:
        raise ConfigError(f"unknown {kind} {name!r} at '{place}'; {nearest(name, REGISTRY[kind])}")


def lookup(kind, name):
    """Imports and returns what is registered under `name`."""
    module, attribute = REGISTRY[kind][name].split(":")
    return getattr(importlib.import_module(module), attribute)
