"""Writes the type stubs of the public interface, ``*.pyi``, from the signatures and docstrings of the package.

    python scripts/make_stubs.py [--check]

Constructors that ``takes_arguments`` makes and names that are imported when they are asked for are known when the
package runs, and to no editor or type checker. Each package of ``STUBS`` gets one stub: its public names, and, under a
name with an underscore, the classes that they are built on. The types come from annotations where there are any, else
from ``name (type, optional): ...`` in docstrings. A type that this table does not know is an error: mend the docstring.
"""

import argparse
import ast
import dataclasses
import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path

from docstring_types import (
    ATOMS,
    annotated,
    attributes_set,
    meant,
    returns_nothing,
    sections,
    told_by,
)
from mindspore import dtype as mstype
from mindspore import nn

from mindscience_diffuser.compat.scheduler import SchedulerMixin
from mindscience_diffuser.compat.tokens import TokenMixin
from mindscience_diffuser.schedulers import Scheduler
from mindscience_diffuser.schedulers.base.trajectory import TrajectoryScheduler

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "mindscience_diffuser"
STUBS = (
    *(f"{PACKAGE}.{name}" for name in ("data", "guidance", "models", "noise", "sampling", "schedulers", "training")),
    *(f"{PACKAGE}.{name}" for name in ("export", "pipelines", "readiness")),
)
COMPAT = f"{PACKAGE}.compat"
NATIVE = {SchedulerMixin: "Scheduler", TokenMixin: "TokenScheduler"}
"""The bases of the drop-in classes, and the name of the class that does their work."""
HEADER = "# Made by scripts/make_stubs.py from signatures and docstrings: run it again, do not edit.\n"
COMMON = """
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, overload

import mindspore
import numpy
from mindspore import Parameter, Tensor, nn
from numpy.typing import ArrayLike, NDArray
from typing_extensions import Self, TypeAlias
"""
"""Imports of the stubs, of which each has those that it uses."""

NOISE = f"{PACKAGE}.noise"
GENERATOR = """
class _StandardNormal(Protocol):
    def standard_normal(self, shape: Any, /) -> Any: ...

_Generator: TypeAlias = int | _StandardNormal | Sequence[int | _StandardNormal] | None
"""
"""What noise is drawn from, which docstrings tell in words: the type of an argument `generator`."""

METHODS = ("__init__", "__call__", "__len__", "__getitem__", "__enter__", "__exit__")
"""Special methods that users call."""


class Stub:
    """The stub of one package or module."""

    def __init__(self, module, owners):
        self.module, self.owners = module, owners
        self.imports, self.lines, self.problems = set(), [], []

    def known(self, name):
        """The name of a class in this stub, None for one that no stub has."""
        if name not in self.owners:
            return None
        owner, shown, _ = self.owners[name]
        if owner != self.module:
            self.imports.add(f"from {owner} import {shown}")
        return shown

    def kind(self, text, place):
        """The type that a docstring gives, as the stub writes it."""
        parts, optional = text.removesuffix(", optional"), text.endswith(", optional")
        found = []
        for atom in re.split(r", (?:or )?| or ", parts):
            if atom == "StepPlan":
                self.imports.add(f"from {PACKAGE}.plan import StepPlan")
            shown = ATOMS.get(atom) or self.known(atom.removeprefix(":class:").strip("`"))
            if shown is None:
                self.problems.append(f"{place}: the type {atom!r} of {text!r} is not in the table")
                shown = "Any"
            found.append(shown)
        if "Any" in found:
            return "Any"
        return " | ".join(dict.fromkeys([*found, "None"] if optional else found))

    def argument(self, name, told, place):
        """The type of an argument from what its docstring says."""
        kind, text = told
        if name == "generator" and kind in ("optional", None):
            if self.module != NOISE:
                self.imports.add(f"from {NOISE} import _Generator")
            return "_Generator"
        if kind is None:
            return "Any"
        shown = self.kind(kind, place).split(" | ")
        choices = list(dict.fromkeys(re.findall(r"``[\"']([\w./+-]+)[\"']``", text)))
        if shown[0] == "str" and len(choices) > 1:
            shown[0] = literal(choices)
        if "Tensor" in shown and not {"int", "float"}.intersection(shown):
            # To a checker 0.5 * x is a float, as it knows no base of MindSpore's Tensor.
            shown.insert(shown.index("Tensor") + 1, "float")
        return " | ".join(shown)

    def signature(self, function, owner, name, place):
        """The parameters of a callable, as the text of a stub for each."""
        shown, told, described = [], told_of(owner, name), told_by(meant(function, owner))
        told.update(described)
        for parameter in inspect.signature(function).parameters.values():
            stars = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
            if parameter.kind is parameter.KEYWORD_ONLY and not any(text.startswith("*") for text in shown):
                shown.append("*")
            if parameter.name in ("self", "cls") and not shown:
                shown.append(parameter.name)
            elif (name, stars) == ("step", "**") and issubclass(owner, TrajectoryScheduler):
                options = step_of(owner)[0]
                shown += ["*"] * bool(options)
                shown += [f"{p.name}: {type(p.default).__name__} = {value(p.default)}" for p in options]
            else:
                where = f"{place}({parameter.name})"
                kind = self.parameter(parameter, arguments_of(owner) if name == "__init__" else {}, told, where)
                if owner and issubclass(owner, SchedulerMixin) and parameter.default is None and kind != "Any":
                    kind = f"{kind.removesuffix(' | None')} | None"  # Its class in diffusers takes it so.
                if kind == "Any" and described and not stars and told.get(parameter.name, (None,))[0] is None:
                    self.problems.append(f"{where}: the docstring does not describe it with a type")
                default = value(parameter.default)
                if default == "None" and not re.search(r"\b(None|Any|_Generator)$", kind):
                    if name != "__init__" or "Default:" in told.get(parameter.name, ("", ""))[1]:
                        self.problems.append(f"{where}: may be None, but its docstring has no 'optional': {kind}")
                    # The constructor refuses that it is missing.
                    default = "..." if any(" = " in text for text in shown) else None
                shown.append(f"{stars}{parameter.name}: {kind}" + (f" = {default}" if default else ""))
        return shown

    def parameter(self, parameter, arguments, told, place):
        """The type of a parameter; `arguments` are those of ``takes_arguments``, `told` is what docstrings say."""
        if parameter.annotation is not parameter.empty:
            return annotated(parameter.annotation)
        if parameter.name in arguments:
            return self.constructor_argument(arguments[parameter.name], place)
        return self.argument(parameter.name, told[parameter.name], place) if parameter.name in told else "Any"

    def constructor_argument(self, argument, place):
        """The type of an argument of ``takes_arguments``."""
        kind = self.kind(argument.kind, place)
        return kind.replace("str", literal(argument.choices)) if argument.choices else kind

    def returned(self, function, owner, name, place):
        """The type of what a callable returns, and of what it returns with ``return_dict``."""
        function = meant(function, owner)
        signature = inspect.signature(function)
        if signature.return_annotation is not signature.empty:
            return annotated(signature.return_annotation), None
        candidates = [inspect.getdoc(function)]
        if name in ("construct", "__call__") and owner is not None:
            candidates.append(inspect.cleandoc(owner.__doc__ or ""))
        if owner is not None:
            candidates += [inspect.getdoc(vars(kind).get(name)) for kind in owner.__mro__]
        for documentation in candidates:
            found = sections(documentation)
            text = " ".join(" ".join(found.get("Returns") or found.get("Outputs") or ()).split())
            if text and not text.startswith("See Outputs"):
                return self.result(text, owner)
        named = re.match(r"(?:Returns )?[Tt]he :class:`~?[\w.]*?(\w+)`", candidates[0] or "")
        if named and (named[1] in ATOMS or self.known(named[1])):
            return self.kind(named[1], place), None
        return ("None" if returns_nothing(function) else "Any"), None

    def result(self, text, owner):
        """The types that the text of a section ``Returns`` or ``Outputs`` gives."""
        dictionary = None
        if "with `return_dict`" in text:
            text, _, after = text.partition("with `return_dict`")
            name = re.search(r":class:`(\w+)`", after)
            dictionary = self.known(name[1] if name else owner.output.__name__)
        if text.startswith("The scheduler"):
            return "Self", None
        first = re.match(r"(?::class:`~?[\w.]*?(\w+)`|([\w.]+))(?=[,:;. ]|$)", text)
        name = first[1] or first[2].rstrip(".") if first else ""
        shown = ATOMS.get(name) or self.known(name) or "Any"
        others = re.search(r"\ba tuple\b|\bor\b|\bthe sample itself\b", text.split(". ")[0])
        if others and shown not in ("Any", "Tensor") or (others and "tuple" in others[0]):
            shown = "Any" if shown == "Any" else f"{shown} | Any"
        return shown, dictionary

    def function(self, function, owner=None, name=None, kind=None, indent=""):
        """The lines of a function or method."""
        name = name or function.__name__
        place = f"{owner.__name__}.{name}" if owner else name
        parameters = self.signature(function, owner, name, place)
        result, dictionary = ("None", None) if name == "__init__" else self.returned(function, owner, name, place)
        if dictionary is None:
            return [*([f"{indent}@{kind}"] if kind else []), line(indent, name, parameters, result)]
        at = next(i for i, p in enumerate(parameters) if p.startswith("return_dict:"))
        plain = [*parameters[:at], "return_dict: Literal[False] = False", *parameters[at + 1 :]]
        star = [] if any(p.startswith("*") for p in parameters[:at]) else ["*"]
        rest = [p for p in parameters[at + 1 :] if p != "*"]
        full = [*parameters[:at], *star, "return_dict: Literal[True]", *rest]
        lines = []
        for form, shown in ((plain, result), (full, dictionary)):
            lines += [f"{indent}@overload", *([f"{indent}@{kind}"] if kind else []), line(indent, name, form, shown)]
        return lines

    def a_class(self, cls, shown):
        """The lines of a class."""
        if issubclass(cls, tuple) and hasattr(cls, "_fields"):
            return self.named_tuple(cls, shown)
        if dataclasses.is_dataclass(cls):
            head = f"@dataclass(frozen={cls.__dataclass_params__.frozen})\nclass {shown}:"
            body = self.fields(cls, head, [f.name for f in dataclasses.fields(cls)])
            return body + self.members(cls, {"__init__", *(f.name for f in dataclasses.fields(cls))})
        if issubclass(cls, SchedulerMixin) or cls in NATIVE:
            return self.drop_in(cls)
        bases = ", ".join(self.bases(cls))
        lines = self.members(cls, set())
        return [f"class {shown}({bases}):" if bases else f"class {shown}:", *(lines or ["    ..."])]

    def drop_in(self, cls):
        """The lines of a class of `compat`: what a script calls by itself; what else diffusers' classes have is Any."""
        if cls in NATIVE:
            lines = [f"class {cls.__name__}:", *read_only("native", NATIVE[cls])]
            self.known(NATIVE[cls])
            for name in ("from_config", "from_pretrained"):
                method = inspect.getattr_static(cls, name)
                lines += self.function(method.__func__, cls, name, "classmethod", indent="    ")
            return [*lines, "    def __getattr__(self, name: str) -> Any: ..."]
        lines = [f"class {cls.__name__}(SchedulerMixin):", *self.member(cls, "__init__", vars(cls)["__init__"])]
        for name in ("set_timesteps", "step"):
            if inspect.isfunction(vars(cls).get(name)):
                parameters = self.signature(vars(cls)[name], cls, name, f"{cls.__name__}.{name}")
                lines.append(line("    ", name, parameters, "None" if name == "set_timesteps" else "Any"))
        return lines

    def bases(self, cls):
        """The bases of a class in a stub: one that no stub has is replaced by its own bases."""
        found = []
        for base in cls.__bases__:
            if base is nn.Cell:
                found.append("nn.Cell")
            elif self.owners.get(base.__name__, (None, None, None))[2] is base:
                found.append(self.known(base.__name__))
            elif base.__module__.startswith(PACKAGE):
                found += self.bases(base)
        return list(dict.fromkeys(found))

    def named_tuple(self, cls, shown):
        """The lines of a NamedTuple; its fields as properties, see :func:`read_only`."""
        kinds = {name: annotated(cls.__annotations__[name]) for name in cls._fields}
        lines = [f"class {shown}(tuple[{', '.join(kinds.values())}]):"]
        lines.append(line("    ", "__new__", ["cls", *(f"{name}: {kind}" for name, kind in kinds.items())], "Self"))
        return lines + [text for name, kind in kinds.items() for text in read_only(name, kind)]

    def fields(self, cls, head, names):
        """The lines of a dataclass, each field with its default."""
        defaults = {f.name: f.default for f in dataclasses.fields(cls) if f.default is not dataclasses.MISSING}
        lines, told = [head], told_by(cls)
        for name in names:
            kind = annotated(cls.__annotations__[name])
            if kind == "str" and name in told:
                kind = self.argument(name, told[name], f"{cls.__name__}.{name}")
            lines.append(f"    {name}: {kind}" + (f" = {value(defaults[name])}" if name in defaults else ""))
        return lines

    def members(self, cls, left_out):
        """The lines of what a class has of its own."""
        lines = []
        attributes = told_by(cls, "Attributes")
        for name, (kind, _) in attributes.items():
            if name not in left_out and not isinstance(vars(cls).get(name), property):
                lines += read_only(name, self.kind(kind, f"{cls.__name__}.{name}"))
        known = {*left_out, *attributes, *(name for kind in cls.__mro__ for name in vars(kind))}
        known.update(*(told_by(base, "Attributes") for base in cls.__mro__[1:]))
        if issubclass(cls, nn.Cell):  # It may have any other one, to a checker; these are those of its arguments.
            known.update(set(attributes_set(cls)).difference(inspect.signature(cls.__init__).parameters))
        lines += [f"    {name}: Any" for name in attributes_set(cls) if name not in known]
        for name, member in sorted(vars(cls).items(), key=lambda pair: pair[0] != "__init__"):
            if name in left_out or name in attributes or (name.startswith("_") and name not in METHODS):
                continue
            if name.endswith("_in_graph") or (name == "__init__" and inherits_constructor(cls)):
                continue
            if not self.inherited(cls, name, member):
                lines += self.member(cls, name, member)
        if issubclass(cls, nn.Cell) and "__call__" not in vars(cls) and constructs(cls):
            construct = self.member(cls, "construct", cls.construct)
            lines += [text.replace("def construct(", "def __call__(") for text in construct]
        if "__init__" not in vars(cls) and told_by(cls):
            lines += self.function(cls.__init__, cls, "__init__", indent="    ")
        if issubclass(cls, TrajectoryScheduler) and "step" not in vars(cls) and step_of(cls) != step_of(cls.__base__):
            lines += self.function(cls.step, cls, "step", indent="    ")
        return lines

    def inherited(self, cls, name, member):
        """Whether a class has a member as its base has it."""
        for base in cls.__mro__[1:]:
            if name in vars(base) and base.__name__ in self.owners:
                there = self.member(base, name, vars(base)[name])
                return name != "__init__" and there == self.member(cls, name, member)
        return False

    def member(self, cls, name, member):
        """The lines of one member of a class."""
        if isinstance(member, (classmethod, staticmethod)):
            kind = type(member).__name__
            return self.function(member.__func__, cls, name, kind, indent="    ")
        if isinstance(member, property):
            shown, _ = self.returned(member.fget, cls, name, f"{cls.__name__}.{name}")
            lines = read_only(name, shown)
            if member.fset:
                lines += [f"    @{name}.setter", f"    def {name}(self, value: {shown}) -> None: ..."]
            return lines
        if inspect.isfunction(member):
            return self.function(member, cls, name, indent="    ")
        shown = type(member).__name__ if isinstance(member, (bool, int, float, str)) else "Any"
        return [f"    {name}: {shown}"]

    def text(self):
        """The whole stub."""
        module = importlib.import_module(self.module)
        for owner, shown, cls in sorted(self.owners.values(), key=lambda entry: entry[1].lstrip("_")):
            if owner == self.module:
                self.lines += ["", *self.a_class(cls, shown)]
        for name in [*public(module), *["CLASSES", "TOKEN_CLASSES"] * (self.module == COMPAT)]:
            if not inspect.isclass(member := getattr(module, name)):
                self.lines += self.function(member) if inspect.isfunction(member) else [f"{name}: {described(member)}"]
            elif self.owners.get(member.__name__, ("",))[0] != self.module:
                self.imports.add(f"from {self.owners[name][0]} import {name}")
        exported = "\n".join(["", f"__all__ = {list(public(module))!r}"]) if hasattr(module, "__all__") else ""
        body = GENERATOR * (self.module == NOISE) + "\n".join(self.lines)
        imports = "\n".join(sorted(self.imports))
        return f"{HEADER}{used(COMMON, body)}{imports}\n{exported}\n{body}\n"


def read_only(name, kind):
    """The lines of a property.

    What a class declares without one is asked for its ``__get__``; MindSpore's Tensor and Cell have bases of which a
    checker knows nothing, and would become unknown by it.
    """
    return ["    @property", line("    ", name, ["self"], kind)]


def line(indent, name, parameters, result):
    """The line that declares a function."""
    return f"{indent}def {name}({', '.join(parameters)}) -> {result}: ..."


def literal(choices):
    """The type of what is one of some texts."""
    return f"Literal[{', '.join(map(repr, choices))}]"


def value(default):
    """A default as the text of a stub, None where there is none."""
    if default is inspect.Parameter.empty:
        return None
    if default is mstype.float32:
        return "mindspore.float32"
    plain = default is None or isinstance(default, (bool, int, float, str))
    if isinstance(default, float) and default in (float("inf"), float("-inf")):
        return f'float("{default}")'
    if isinstance(default, (tuple, list)) and all(isinstance(v, (bool, int, float, str)) for v in default):
        plain = True
    return repr(default) if plain else "..."


def arguments_of(cls):
    """The descriptions of the arguments of a constructor that is made of them, by name."""
    if issubclass(cls, SchedulerMixin) and cls.native_class is not None:
        # As its diffusers namesake, such a class takes further names of choices.
        return {name: argument._replace(choices=()) for name, argument in cls.native_class.arguments.items()}
    return vars(cls).get("arguments", {}) if issubclass(cls, Scheduler) else {}


def described(member):
    """The type of a public constant."""
    if isinstance(member, list):
        return "list[str]"
    if isinstance(member, tuple) and all(isinstance(v, str) for v in member):
        return "tuple[str, ...]"
    return f"{type(member).__name__}[str, Any]" if isinstance(member, dict) else "Any"


def told_of(owner, name):
    """What docstrings say of the arguments of a method, by name: its own last, after those of the bases."""
    told = {}
    if owner and issubclass(owner, SchedulerMixin) and owner.native_class:
        told = told_of(owner.native_class, name)
        told.pop("generator", None)
    for kind in reversed(owner.__mro__ if owner else ()):
        if name == "__init__":
            told.update(told_by(kind))
        elif name in vars(kind):
            told.update(told_by(getattr(vars(kind)[name], "__func__", vars(kind)[name])))
        if name in ("construct", "__call__"):
            told.update(told_by(kind, "Inputs"))
    return told


def inherits_constructor(cls):
    """Whether a class has the constructor of its base, under another wrapper or none."""
    return not told_by(cls) and inspect.unwrap(cls.__init__) in [inspect.unwrap(k.__init__) for k in cls.__mro__[1:]]


def constructs(cls):
    """Whether a Cell is called otherwise than its base: its `construct` is its own, or of a base that is no Cell."""
    owner = next(kind for kind in cls.__mro__ if "construct" in vars(kind))
    return owner is cls or not issubclass(owner, nn.Cell)


def step_of(cls):
    """What the `step` of a class of trajectories takes and returns beside that of others: its options, its result."""
    if not hasattr(cls, "trajectory_plan"):
        return None
    options = inspect.signature(cls.trajectory_plan).parameters.values()
    return [option for option in options if option.name not in ("self", "begin")], cls.output


def public(module):
    """The public names of a module."""
    names = getattr(module, "__all__", None)
    if names is None:
        names = [
            name
            for name, member in vars(module).items()
            if not name.startswith("_")
            and getattr(member, "__module__", None) == module.__name__
            and (inspect.isclass(member) or inspect.isfunction(member))
        ]
    return names


def used(imports, body):
    """Those of the imports that a stub makes use of."""
    found = []
    for text in imports.strip().splitlines():
        head, names = re.fullmatch(r"(from [\w.]+ import |import )(.*)", text).groups() if text else ("", "")
        kept = [name for name in names.split(", ") if name and re.search(rf"(?<![\w\"'.]){name}\b", body)]
        if kept:
            found.append(head + ", ".join(kept))
    return "\n".join(found) + "\n"


def owners_of_classes(modules):
    """Where each class is declared in the stubs of these modules: by its name (module, name there, class)."""
    owners = {}
    for module in map(importlib.import_module, modules):
        for name in public(module):
            kind = getattr(module, name)
            if not inspect.isclass(kind):
                continue
            for cls in reversed(kind.__mro__):
                home = home_of(cls, modules)
                if home and (cls is kind or cls.__name__ not in owners):
                    hidden = "" if cls.__name__ in public(importlib.import_module(home)) else "_"
                    owners[cls.__name__] = (home, hidden + cls.__name__, cls)
    return owners


def drop_ins():
    """Where the classes of `compat` are declared, as :func:`owners_of_classes` tells of others."""
    module = importlib.import_module(COMPAT)
    members = {name: getattr(module, name) for name in module.__all__}
    return {name: (COMPAT, name, member) for name, member in members.items() if inspect.isclass(member)}


def home_of(cls, modules):
    """The module whose stub declares a class, None for a class of no stub."""
    return next((m for m in modules if f"{cls.__module__}.".startswith(f"{m}.")), None)


def path_of(module):
    """The file of the stub of a module."""
    source = Path(importlib.import_module(module).__file__)
    return source.with_suffix(".pyi")


def stubs():
    """Returns the text of each stub by its path; a mistake in a docstring is an error that names it."""
    owners, made, problems = owners_of_classes(STUBS), {}, []
    for module in (*STUBS, COMPAT):
        stub = Stub(module, {**owners, **drop_ins()} if module == COMPAT else owners)
        made[path_of(module)] = stub.text()
        problems += stub.problems
    package = importlib.import_module(PACKAGE)
    lines = [f"from {module} import {name}" for name, module in package._MODULES.items()]
    made[path_of(PACKAGE)] = "\n".join(
        [HEADER, *sorted(lines), "", f"__all__ = {list(package.__all__)!r}", "", "__version__: str", ""]
    )
    if problems:
        sys.exit("\n".join(problems))
    return made


def formatted(text):
    """A stub in the style of this repository."""
    for arguments in (["check", "--fix", "--quiet", "--select", "I"], ["format", "--quiet"]):
        command = [sys.executable, "-m", "ruff", *arguments, "--stdin-filename", "stub.pyi", "-"]
        text = subprocess.run(command, input=text, capture_output=True, text=True, check=True, cwd=ROOT).stdout
    return text


def main():
    """Writes the stubs, or tells which are not those of the package."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing; end with 1 if a stub is not up to date")
    made = stubs()
    if not parser.parse_args().check:
        for path, text in made.items():
            path.write_text(formatted(text), encoding="utf-8")
        return
    present = {path: path.read_text(encoding="utf-8") for path in (ROOT / PACKAGE).rglob("*.pyi")}
    # Without the order of imports and the line breaks, which depend on the version of ruff.
    stale = [path for path in {*made, *present} if content(made.get(path, "")) != content(present.get(path, ""))]
    if stale:
        names = ", ".join(sorted(str(path.relative_to(ROOT)) for path in stale))
        sys.exit(f"Not the signatures of the package any more: {names}. Run: python scripts/make_stubs.py")


def content(text):
    """The statements of a stub, without their layout; imports in any order."""
    statements = []
    for node in ast.parse(text).body:
        one_by_one = isinstance(node, ast.ImportFrom)
        parts = [ast.ImportFrom(node.module, [name], 0) for name in node.names] if one_by_one else [node]
        statements += map(ast.dump, parts)
    return sorted(statements)


if __name__ == "__main__":
    main()
