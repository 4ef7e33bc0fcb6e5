"""What docstrings and sources tell about types, for ``make_stubs.py``."""

import ast
import dataclasses
import inspect
import re
import textwrap
import types
import typing

ATOMS = {
    "bool": "bool",
    "float": "float",
    "int": "int",
    "str": "str",
    "type": "type[Any]",
    "None": "None",
    "Path": "Path",
    "Mapping": "Mapping[str, Any]",
    "dict": "dict[str, Any]",
    "list": "list[Any]",
    "list[int]": "list[int]",
    "tuple": "tuple[Any, ...]",
    "Callable": "Callable[..., Any]",
    "callable": "Callable[..., Any]",
    "array_like": "ArrayLike",
    "numpy.ndarray": "NDArray[Any]",
    "Sequence": "Any",
    "Sequence[float]": "Sequence[float] | NDArray[Any]",
    "Sequence[int]": "Sequence[int] | NDArray[Any]",
    "Sequence[str]": "Sequence[str]",
    "Sequence[nn.Cell]": "Sequence[nn.Cell]",
    "Sequence[Parameter]": "Sequence[Parameter]",
    "Sequence[Tensor]": "Sequence[Tensor]",
    "Tensor": "Tensor",
    "tuple of int": "tuple[int, ...]",
    "tuple of str": "tuple[str, ...]",
    "tuple of Tensors": "tuple[Any, ...]",
    "tuple[Tensor]": "tuple[Any, ...]",
    "Parameter": "Parameter",
    "numpy.random.Generator": "numpy.random.Generator",
    "nn.Cell": "nn.Cell",
    # What has no type that a checker could read, or one that says more than an argument has to be.
    "mindspore.dtype": "Any",
    "object": "Any",
    "Weights": "Mapping[str, Any]",
    "list of Weights": "list[Any]",
    "Layout": "Any",
    "ExponentialStep": "Any",
    "mindspore.dataset.Dataset": "Any",
    "SchedulerConfig": "Any",
    "StepPlan": "StepPlan",
}
"""Types of docstrings, as stubs write them; the classes of the stubs come besides."""


def annotated(annotation):
    """An annotation as the text of a stub."""
    if isinstance(annotation, str):
        return annotation
    if annotation is type(None):
        return "None"
    if typing.get_origin(annotation) in (typing.Union, getattr(types, "UnionType", typing.Union)):
        return " | ".join(map(annotated, typing.get_args(annotation)))
    text = inspect.formatannotation(annotation).replace("numpy.ndarray", "NDArray[Any]")
    return re.sub(
        r"\b(?:typing|collections\.abc|mindspore\.common\.tensor|mindscience_diffuser[\w.]*)\.(?=\w)", "", text
    )


def sections(documentation):
    """The sections of a docstring, ``Args`` and the like, each as its lines without their indent."""
    found, lines = {}, None
    for line in (documentation or "").splitlines():
        if re.fullmatch(r"[A-Z]\w+:", line):
            lines = found.setdefault(line[:-1], [])
        elif line and not line.startswith(" "):
            lines = None
        elif lines is not None:
            lines.append(line[4:])
    return found


def entries(lines):
    """The ``name (type): text``, or ``- **name** (type) - text``, of a section by name: (type or None, text)."""
    found = {}
    for line in lines:
        entry = re.match(r"(\*{0,2}\w+(?:, \w+)*)(?: \((.*?)\))?: (.*)", line)
        entry = entry or re.match(r"- \*\*(\w+(?:, \w+)*)\*\* \((.*?)\) - (.*)", line)
        if entry:
            for name in entry[1].split(", "):
                last = found[name.lstrip("*")] = [entry[2], entry[3]]
        elif found:
            last[1] += " " + line.strip()
    return found


def meant(function, owner):
    """The method that describes another one, whose docstring says that it is the same, else that itself."""
    same = re.match(r"The same as (?:``|:meth:`)(\w+)", inspect.getdoc(function) or "")
    return getattr(owner, same[1]) if same else function


def told_by(described, section="Args"):
    """The :func:`entries` of a section of the docstring of a callable, or of a class itself, without its bases."""
    own = vars(described).get("__doc__") if inspect.isclass(described) else inspect.getdoc(described)
    return entries(sections(inspect.cleandoc(own or "")).get(section, []))


def attributes_set(cls):
    """The names of the public attributes that a constructor sets, in their order."""
    names = {}
    for name in ("__init__", "_configure"):
        function = inspect.unwrap(vars(cls)[name]) if name in vars(cls) else None
        if getattr(function, "__module__", "") != cls.__module__ or dataclasses.is_dataclass(cls):
            continue  # Inherited, or made by a decorator.
        for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(function)))):
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                names[node.attr] = ast.unparse(node.value)
    return [name for name, of in names.items() if of == "self" and not name.startswith("_")]


def returns_nothing(function):
    """Whether no statement of a function returns or yields a value."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(function)))).body[0]
    except (OSError, TypeError, SyntaxError):
        return False
    inner = {n for f in ast.walk(tree) if isinstance(f, ast.FunctionDef) and f is not tree for n in ast.walk(f)}
    nodes = [n for n in ast.walk(tree) if n not in inner]
    abstract = any(isinstance(n, ast.Raise) and "NotImplementedError" in ast.unparse(n) for n in nodes)
    return not abstract and not any(
        isinstance(n, (ast.Yield, ast.YieldFrom)) or (isinstance(n, ast.Return) and n.value is not None) for n in nodes
    )
