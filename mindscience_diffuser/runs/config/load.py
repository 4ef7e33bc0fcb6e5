"""The configuration of a run: a YAML file, single values from the command line over it, all of it checked."""

import copy
import functools
from pathlib import Path
from typing import get_args

import yaml
from pydantic import ValidationError

from mindscience_diffuser.runs.config.components import located_beside
from mindscience_diffuser.runs.config.keys import field_at, section_of
from mindscience_diffuser.runs.config.origins import Origins
from mindscience_diffuser.runs.config.registry import REGISTRY, lookup
from mindscience_diffuser.runs.config.yaml_file import dotted, parse_value, read_yaml
from mindscience_diffuser.runs.errors import ConfigError, nearest

COMMAND_LINE = "the command line"
# Which of several problems is told: those not named here stand between.
ORDER = {"extra_forbidden": 0, "missing": 2}
LONGEST_VALUE = 200


def load_config(path, overrides=()):
    """Reads and checks the configuration of a run; neither MindSpore nor the components are imported for it.

    Args:
        path (str or Path): YAML file.
        overrides (Sequence[str]): ``key.sub=value`` each, the value written as in YAML.

    Returns:
        The run's section model, see :mod:`mindscience_diffuser.runs.config.schema`.

    Raises:
        ConfigError: If the file or a value in it is not as it should be; it says what, where and what is allowed.
    """
    content, lines = read_yaml(path)
    origins = {place: f"{path}, line {line}" for place, line in lines.items()}
    for override in overrides:
        _override(content, override, origins)
    return check_config(content, origins, str(path))


def check_config(content, origins, source):
    """Checks the content of a configuration; `origins` tells where each dotted key comes from, `source` the rest."""
    origins = Origins(origins, source)
    kind = content.get("run", "diffusion")
    if not isinstance(kind, str) or kind not in REGISTRY["schema"]:
        raise ConfigError(
            f"{origins.of('run')}: unknown kind of run {kind!r} at 'run'; {nearest(kind, REGISTRY['schema'])}"
        )
    schema = lookup("schema", kind)
    try:
        config = schema.model_validate(content)
    except ValidationError as error:
        # A misspelt key is also a missing one: the spelling is what to tell.
        problems = sorted(error.errors(), key=lambda problem: ORDER.get(problem["type"], 1))
        raise ConfigError(_explain(problems[0], schema, content, origins)) from None
    config.take_origins(origins)
    for _, component in config.components():
        component.name = located_beside(component.name, Path(source).parent)
    return config


def to_yaml(config):
    """Returns the configuration, defaults included, as YAML text."""
    return yaml.safe_dump(config.model_dump(), sort_keys=False, allow_unicode=True)


def with_values(config, **values):
    """Returns a copy of `config` with some of its values replaced."""
    return config.model_copy(update=copy.deepcopy(values))


def with_sampling(config, **values):
    """Returns a copy of `config` with some values of its section ``sampling`` replaced."""
    return with_values(config, sampling=config.sampling.model_copy(update=values))


def _override(content, override, origins):
    key, equals, text = override.partition("=")
    places = key.split(".")
    if not equals or not all(places):
        raise ConfigError(f"'{override}' on {COMMAND_LINE} must have the form key.sub=value")
    try:
        value = parse_value(text)
    except yaml.YAMLError:
        raise ConfigError(f"the value of '{override}' on {COMMAND_LINE} is no YAML value") from None
    section = content
    for depth, place in enumerate(places[:-1]):
        above = ".".join(places[: depth + 1])
        if place not in section:
            section[place] = {}
            origins[above] = COMMAND_LINE
        section = section[place]
        if not isinstance(section, dict):
            raise ConfigError(f"'{key}' on {COMMAND_LINE}: '{above}' is the value {section!r} and has no keys below it")
    section[places[-1]] = value
    for replaced in [place for place in origins if place.startswith((f"{key}.", f"{key}["))]:
        del origins[replaced]
    origins[key] = COMMAND_LINE


def _explain(problem, schema, content, origins):
    """Turns one entry of a pydantic ValidationError into a sentence."""
    location = list(problem["loc"])
    place = dotted(location)
    if problem["type"] == "extra_forbidden":
        section, _ = field_at(schema, location[:-1])
        keys = _model_at(schema, section).model_fields
        return f"{origins.of(place)}: unknown key '{place}'; {nearest(location[-1], keys)}"
    if problem["type"] == "missing":
        return f"{origins.of(place)}: the key '{place}' is missing"
    if problem["type"] == "invalid_key":
        place = dotted([*location[:-1], str(location[-1])])
        return f"{origins.of(place)}: the key '{place}' must be a text: put it in quotes"
    followed, what = field_at(schema, location)
    value = functools.reduce(lambda section, part: section[part], followed, content)
    place = dotted(followed)
    return f"{origins.of(place)}: '{place}' must be {what}, but is {_short(value)} of type {type(value).__name__}"


def _model_at(schema, place):
    """Returns the model of the section, or of the list entry, at `place`."""
    for part in place:
        schema = get_args(schema)[0] if isinstance(part, int) else schema.model_fields[part].annotation
        schema = section_of(schema) or schema
    return schema


def _short(value):
    text = repr(value)
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}..."
