"""The keys of a configuration, as its schema has them: what each may hold, for messages and for ``--help``."""

import math
import textwrap
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from mindscience_diffuser.runs.config.registry import REGISTRY, lookup
from mindscience_diffuser.runs.config.schema import Component

SIMPLE = {bool: "true or false", str: "a text", type(None): "null", Any: "any value"}
INTRODUCTION = "keys of FILE, with their values, defaults in brackets"
WIDTH = 110


def allowed(annotation, limits=()):
    """Returns in words what a type of the schema allows.

    Args:
        annotation: The type; ``Annotated`` with limits, unions, literals and lists of others too.
        limits (Sequence): The limits that pydantic keeps beside the type.

    Returns:
        str, such as ``an integer of at least 1``.
    """
    if get_origin(annotation) is Annotated:
        annotation, *further = get_args(annotation)
        return allowed(annotation, [*limits, *further])
    facts = _facts(limits)
    if get_origin(annotation) is Union:
        # Null, which is the default where it is allowed, comes last.
        kinds = sorted(get_args(annotation), key=lambda kind: kind is type(None))
        return ", or ".join(allowed(kind, limits) for kind in kinds)
    if get_origin(annotation) is Literal:
        *first, last = (repr(choice) for choice in get_args(annotation))
        return f"{', '.join(first)} or {last}" if first else last
    if get_origin(annotation) is list:
        low, high = facts.get("min_length", 0), facts.get("max_length")
        amount = f"{low} entries" if low == high else "at least one entry" if low else "entries"
        return f"a list of {amount}, each {allowed(*get_args(annotation))}"
    if get_origin(annotation) is dict:
        return "a mapping of names to values"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "a mapping with keys of its own"
    if annotation in (int, float):
        return _number(annotation, facts)
    return ("a non-empty text" if facts.get("min_length") else None) or SIMPLE[annotation]


def field_at(schema, place):
    """Follows keys and numbers of list entries through the schema, as far as it has fields for them.

    Args:
        schema (type): The model of the whole configuration.
        place (Sequence): As in an error of pydantic, which adds the branches of unions.

    Returns:
        tuple of the part of `place` that was followed, and what is allowed there.
    """
    annotation, limits, followed = schema, (), []
    for part in place:
        if get_origin(annotation) is Annotated:
            annotation = get_args(annotation)[0]
        annotation = section_of(annotation) or annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel) and part in annotation.model_fields:
            field = annotation.model_fields[part]
            annotation, limits = field.annotation, field.metadata
        elif get_origin(annotation) is list and isinstance(part, int):
            annotation, limits = get_args(annotation)[0], ()
        else:
            break
        followed.append(part)
    return followed, allowed(annotation, limits)


def section_of(annotation):
    """Returns the model of a section, also of one that may be null, or None where the type is something else."""
    if get_origin(annotation) is Union:
        annotation, *others = [kind for kind in get_args(annotation) if kind is not type(None)]
        annotation = None if others else annotation
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def key_list(command):
    """Returns the text about all keys of the runs that have `command`, for its ``--help``."""
    kinds = tuple(REGISTRY[command])
    having = {}
    for kind in kinds:
        for row in _rows(lookup("schema", kind)):
            having.setdefault(row, []).append(kind)
    groups = {kinds: [("run", f"{' or '.join(repr(kind) for kind in kinds)} [{kinds[0]}]. Kind of the run.")]}
    for row, those in having.items():
        groups.setdefault(tuple(those), []).append(row)
    lines = [f"{INTRODUCTION}:"]
    for those, rows in groups.items():
        lines += ["", "every run:" if those == kinds else f"runs of the kind {', '.join(those)}:"]
        for key, text in rows:
            lines += [f"  {key}", *textwrap.wrap(text, WIDTH, initial_indent=" " * 6, subsequent_indent=" " * 6)]
    return "\n".join(lines) + "\n"


def _rows(schema, prefix=""):
    """Returns pairs of a dotted key, and what it allows with its default and its meaning."""
    rows = []
    for name, field in schema.model_fields.items():
        key, annotation = f"{prefix}{name}", field.annotation
        if key == "run":
            continue
        if annotation is Component:
            what = "a name and constructor arguments"
        elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
            rows += _rows(annotation, f"{key}.")
            continue
        else:
            what = allowed(annotation, field.metadata)
        default = "required" if field.is_required() else _shown(field.get_default(call_default_factory=True))
        rows.append((key, f"{what} [{default}]{'. ' + field.description if field.description else ''}."))
        section = section_of(annotation)
        if section not in (None, Component):
            rows += _rows(section, f"{key}.")
    return rows


def _shown(value):
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, float) and math.isinf(value):
        return ".inf"
    return str(value)


def _facts(limits):
    """Returns the limits by name."""
    facts = {}
    for limit in limits:
        if isinstance(limit, FieldInfo):
            facts.update(_facts(limit.metadata))
        for name in ("ge", "gt", "le", "lt", "min_length", "max_length", "allow_inf_nan"):
            if getattr(limit, name, None) is not None:
                facts[name] = getattr(limit, name)
    return facts


def _number(kind, facts):
    low, high = facts.get("ge", facts.get("gt")), facts.get("le", facts.get("lt"))
    opening, closing = "(" if "gt" in facts else "[", ")" if "lt" in facts else "]"
    name = "an integer" if kind is int else "a number"
    if low is not None and high is not None:
        return f"{name} in {opening}{low}, {high}{closing}"
    if kind is float and not facts.get("allow_inf_nan"):
        name = "a finite number"
    if low is not None:
        return f"{name} {'above' if 'gt' in facts else 'of at least'} {low}"
    return f"{name} {'below' if 'lt' in facts else 'of at most'} {high}" if high is not None else name
