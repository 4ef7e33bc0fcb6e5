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
    try:
        return yaml.load(text, Loader=_Loader)
    except (ValueError, KeyError, AttributeError, RecursionError) as error:
        # What the constructors raise for a date such as 2026-13-01, a tag that its text does not fit, or deep nesting.
        raise yaml.YAMLError(f"a value that cannot be read ({error})") from None


def read_yaml(path):
    """Reads a YAML mapping.

    Returns:
        The mapping, and a dict from the dotted path of every key and list entry to its line.

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
        content = parse_value(text)
        node = yaml.compose(text, Loader=_Loader)
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}{_where(error)}: broken YAML, {_what(error)}") from None
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: the file must hold 'key: value' lines, but holds {type(content).__name__}")
    lines = {}
    _collect_lines(path, node, (), lines, (node,))
    return content, lines


def dotted(place):
    """Writes keys and numbers of list entries in one text, such as ``compare.schedulers[1].name``."""
    text = ""
    for part in place:
        text += f"[{part}]" if isinstance(part, int) else f"{'.' if text else ''}{part}"
    return text


def _collect_lines(path, node, place, lines, above):
    if isinstance(node, yaml.MappingNode):
        entries = [(key.value, key.start_mark.line + 1, value) for key, value in node.value]
    elif isinstance(node, yaml.SequenceNode):
        entries = [(number, value.start_mark.line + 1, value) for number, value in enumerate(node.value)]
    else:
        return
    for key, line, value in entries:
        here = (*place, key if isinstance(key, int) else str(key))
        name = dotted(here)
        if name in lines:
            raise ConfigError(f"{path}, line {line}: '{name}' stands already in line {lines[name]}")
        lines[name] = line
        if value in above:
            raise ConfigError(f"{path}, line {line}: '{name}' holds itself")
        _collect_lines(path, value, here, lines, (*above, value))


def _where(error):
    mark = getattr(error, "problem_mark", None)
    return "" if mark is None else f", line {mark.line + 1}, column {mark.column + 1}"


def _what(error):
    return " ".join(str(getattr(error, "problem", None) or error).split())
