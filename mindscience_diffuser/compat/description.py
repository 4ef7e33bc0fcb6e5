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


def names_of_any():
    """Returns the names of all methods and attributes that some scheduler has."""
    return {
        name
        for facts in described().values()
        for kind in ("methods", "attributes", "private", "later")
        for name in facts[kind]
    }


def peer_version():
    """Returns the version of diffusers that the list was made of."""
    return _listed()["diffusers"]


def ays_schedules():
    """Returns the published timesteps and sigmas of Align Your Steps by diffusers' names, a dict of lists."""
    return _listed()["AysSchedules"]


def arguments_of(name):
    """Returns the constructor arguments of a scheduler with their defaults, none for a name that is not listed."""
    return defaults_of(described().get(name, {}).get("arguments", []))


def defaults_of(parameters):
    """Returns the defaults of listed parameters by their names."""
    return {name: default[0] if default else REQUIRED for name, *default in parameters if not name.startswith("*")}


def signature_of(parameters):
    """Returns the signature of a method from its listed parameters."""
    kinds = inspect.Parameter
    kind, listed = kinds.POSITIONAL_OR_KEYWORD, []
    for name, *default in parameters:
        stars = len(name) - len(name.lstrip("*"))
        chosen = (kind, kinds.VAR_POSITIONAL, kinds.VAR_KEYWORD)[stars]
        listed.append(kinds(name[stars:], chosen, default=default[0] if default else REQUIRED))
        if stars:
            kind = kinds.KEYWORD_ONLY
    return inspect.Signature([kinds("self", kinds.POSITIONAL_OR_KEYWORD), *listed])
