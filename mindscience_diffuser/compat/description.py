"""What diffusers' schedulers offer, from the list that ``scripts/list_diffusers_api.py`` makes."""

import inspect
import json
from functools import cache
from pathlib import Path

REQUIRED = inspect.Parameter.empty


@cache
def _listed():
    return json.loads(Path(__file__).with_name("api.json").read_text(encoding="utf-8"))


def described():
    """Returns the facts about each scheduler by its name."""
    return _listed()["schedulers"]


def peer_version():
    """Returns the version of diffusers that the list was made of."""
    return _listed()["diffusers"]


def arguments_of(name):
    """Returns the constructor arguments of a scheduler with their defaults, none for a name that is not listed."""
    return {a[0]: a[1] if len(a) > 1 else REQUIRED for a in described().get(name, {}).get("arguments", [])}


def signature_of(parameters):
    """Returns the signature of a method from its listed parameters."""
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    listed = [inspect.Parameter(p[0], kind, default=p[1] if len(p) > 1 else REQUIRED) for p in parameters]
    return inspect.Signature([inspect.Parameter("self", kind), *listed])
