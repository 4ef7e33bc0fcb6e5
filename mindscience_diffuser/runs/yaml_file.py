"""Reading a YAML file together with the line of every key in it."""

import re
from pathlib import Path

import yaml

from mindscience_diffuser.runs.errors import ConfigError


class _Loader(yaml.SafeLoader):
    """The safe loader, reading ``1e-3`` as the number that it is in YAML 1.2."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)[eE][-+]?[0-9]+$"),
    list("-+0123456789."),
)


def parse_value(text):
    """Returns the value that `text` stands for in YAML."""
    return yaml.load(text, Loader=_Loader)


def read_yaml(path):
    """Reads a YAML mapping.

    Returns:
        The mapping, and a dict from the dotted path of every key to its line.

    Raises:
        ConfigError: If the file is missing, unreadable, no YAML, no mapping, or holds a key twice.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"the configuration file '{path}' does not exist") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the configuration file '{path}' cannot be read: {error}") from None
    try:
        node = yaml.compose(text, Loader=_Loader)
        content = yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}{_where(error)}: broken YAML, {_what(error)}") from None
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: the file must hold 'key: value' lines, but holds {type(content).__name__}")
    lines = {}
    _collect_lines(path, node, (), lines, (node,))
    return content, lines


def _collect_lines(path, node, place, lines, above):
    if not isinstance(node, yaml.MappingNode):
        return
    for key, value in node.value:
        here = (*place, str(key.value))
        dotted, line = ".".join(here), key.start_mark.line + 1
        if dotted in lines:
            raise ConfigError(f"{path}, line {line}: '{dotted}' stands already in line {lines[dotted]}")
        lines[dotted] = line
        if value in above:
            raise ConfigError(f"{path}, line {line}: '{dotted}' holds itself")
        _collect_lines(path, value, here, lines, (*above, value))


def _where(error):
    mark = getattr(error, "problem_mark", None)
    return "" if mark is None else f", line {mark.line + 1}, column {mark.column + 1}"


def _what(error):
    return " ".join(str(getattr(error, "problem", None) or error).split())
