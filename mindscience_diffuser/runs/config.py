"""The configuration of a run: a YAML file, single values from the command line over it, all of it checked."""

import copy

import yaml
from pydantic import BaseModel, ValidationError

from mindscience_diffuser.runs.errors import ConfigError, nearest
from mindscience_diffuser.runs.registry import check_name, lookup
from mindscience_diffuser.runs.yaml_file import parse_value, read_yaml

COMMAND_LINE = "the command line"
# Which of several problems is told: those not named here stand between.
ORDER = {"extra_forbidden": 0, "missing": 2}


def load_config(path, overrides=()):
    """Reads and checks the configuration of a run; MindSpore is not needed for it.

    Args:
        path (str or Path): YAML file.
        overrides (Sequence[str]): ``key.sub=value`` each, the value written as in YAML.

    Returns:
        The run's section model, see :mod:`mindscience_diffuser.runs.schema`.

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
    kind = content.get("run", "diffusion")
    check_name("schema", kind, "run", origins.get("run", source))
    schema = lookup("schema", kind)
    try:
        config = schema.model_validate(content)
    except ValidationError as error:
        # A misspelt key is also a missing one: the spelling is what to tell.
        problems = sorted(error.errors(), key=lambda problem: ORDER.get(problem["type"], 1))
        raise ConfigError(_explain(problems[0], schema, origins, source)) from None
    for kind in ("data", "model", "scheduler"):
        if hasattr(config, kind):
            place = f"{kind}.name"
            check_name(kind, getattr(config, kind).name, place, origins.get(place, source))
    return config


def to_yaml(config):
    """Returns the configuration, defaults included, as YAML text."""
    return yaml.safe_dump(config.model_dump(), sort_keys=False, allow_unicode=True)


def with_values(config, **values):
    """Returns a copy of `config` with some of its values replaced."""
    return config.model_copy(update=copy.deepcopy(values))


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
        section = section.setdefault(place, {})
        if not isinstance(section, dict):
            above = ".".join(places[: depth + 1])
            raise ConfigError(f"'{key}' on {COMMAND_LINE}: '{above}' is the value {section!r} and has no keys below it")
    section[places[-1]] = value
    origins[key] = COMMAND_LINE


def _explain(problem, schema, origins, source):
    """Turns one entry of a pydantic ValidationError into a sentence."""
    location = [str(part) for part in problem["loc"]]
    place = ".".join(location)
    origin = next((origins[p] for p in _prefixes(location) if p in origins), source)
    if problem["type"] == "extra_forbidden":
        keys = _section_at(schema, location[:-1]).model_fields
        return f"{origin}: unknown key '{place}'; {nearest(location[-1], keys)}"
    if problem["type"] == "missing":
        return f"{source}: the key '{place}' is missing"
    message = problem["msg"].replace("Input should be", "must be")
    if problem["type"] == "model_type":
        message = "must be a mapping with keys of its own"
    value = problem["input"]
    return f"{origin}: '{place}' {message}, but is {value!r} of type {type(value).__name__}"


def _prefixes(location):
    return (".".join(location[:end]) for end in range(len(location), 0, -1))


def _section_at(schema, location):
    for part in location:
        annotation = schema.model_fields[part].annotation
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            break
        schema = annotation
    return schema
