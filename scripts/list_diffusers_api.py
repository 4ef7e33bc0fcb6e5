"""Lists what diffusers' schedulers offer: arguments, defaults, methods, attributes and outputs of each class, as facts.

    python scripts/list_diffusers_api.py    # writes mindscience_diffuser/compat/api.json; needs diffusers and torchsde

:mod:`mindscience_diffuser.compat` builds its classes from this list, and a test compares them with it.
"""

import ast
import copy
import dataclasses
import importlib
import inspect
import json
import sys
import textwrap
from pathlib import Path

import diffusers
import torch
from diffusers.configuration_utils import ConfigMixin
from diffusers.schedulers.scheduling_utils import AysSchedules, SchedulerMixin
from diffusers.utils import BaseOutput

import mindscience_diffuser
from mindscience_diffuser.compat import TOKEN_CLASSES

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from compat_examples import example, steps_of  # noqa: E402, F401

FILE = ROOT / "mindscience_diffuser" / "compat" / "api.json"
PRIVATE = (
    "_get_conditioning_c_in",
    "_get_variance",
    "_init_step_index",
    "_is_ode_scheduler",
    "_sigma_to_alpha_sigma_t",
)
"""What pipelines use of schedulers although its name says not to."""
INHERITED = {*dir(SchedulerMixin), *dir(ConfigMixin), *dir(object)}


def find(name):
    """Returns the class of this name, wherever diffusers keeps it, or None."""
    public = getattr(diffusers, name, None)
    if inspect.isclass(public) and issubclass(public, SchedulerMixin):
        return public
    folder = Path(diffusers.schedulers.__path__[0])
    for file in sorted(folder.rglob("scheduling_*.py")):
        if f"class {name}(" in file.read_text(encoding="utf-8"):
            relative = file.relative_to(folder.parent).with_suffix("")
            return getattr(importlib.import_module(".".join(("diffusers", *relative.parts))), name)
    return None


STARS = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}


def parameters(function):
    """Returns the parameters of a method: pairs of name and default, the name alone where there is none."""
    listed = list(inspect.signature(function).parameters.values())[1:]
    return [[STARS.get(p.kind, "") + p.name] + ([] if p.default is p.empty else [p.default]) for p in listed]


def output_fields(cls):
    """Returns the names in what a step returns, of the output class of the scheduler's module."""
    module = inspect.getmodule(cls)
    classes = [
        c for c in vars(module).values() if inspect.isclass(c) and issubclass(c, BaseOutput) and c is not BaseOutput
    ]
    own = [c for c in classes if c.__module__ == module.__name__] or classes
    return [field.name for field in dataclasses.fields(own[0])] if own else ["prev_sample"]


def finds_unknown_timesteps(scheduler):
    """Whether a timestep that is not in the schedule stands for the last one."""
    if hasattr(scheduler, "index_for_timestep"):
        try:
            return scheduler.index_for_timestep(-123.0) == len(scheduler.timesteps) - 1
        except (AttributeError, IndexError, ValueError):
            return False
    sample, noise, scheduler = torch.ones(1, 2), torch.full((1, 2), 3.0), copy.deepcopy(scheduler)
    try:
        scheduler.set_timesteps(10)
        times = torch.tensor([-123]), scheduler.timesteps[-1:]
        return torch.equal(*(scheduler.add_noise(sample, noise, t) for t in times))
    except Exception:
        return False


def refuses_integers(scheduler):
    """Whether a timestep must not be an integer, which could be meant as a position."""
    sample = torch.ones(1, 3, 8, 8)
    try:
        scheduler.set_timesteps(10)
        scheduler.step(sample, 1, sample)
    except Exception as error:
        return "integer" in str(error)
    return False


def steps_unscheduled(scheduler):
    """Whether a step can be taken before `set_timesteps`, along the training timesteps."""
    sample = torch.ones(1, 3, 8, 8)
    try:
        scheduler.step(sample, scheduler.timesteps[0], sample)
    except Exception:
        return False
    return True


def reads(cls):
    """Returns what methods, but for the constructor, read: attributes of the scheduler, keys of its configuration."""
    own, configured = set(), set()
    body = ast.parse(textwrap.dedent(inspect.getsource(cls))).body[0].body
    methods = [node for node in body if isinstance(node, ast.FunctionDef) and node.name != "__init__"]
    for node in (node for method in methods for node in ast.walk(method)):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
            source = ast.unparse(node.value)
            own.update([node.attr] if source == "self" else [])
            configured.update([node.attr] if source == "self.config" else [])
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("getattr", "hasattr"):
            source, name, *_ = node.args
            configured.update([name.value] if ast.unparse(source) == "self.config" else [])
    return own, configured


def assigned(cls):
    """Returns the public attributes that methods, but for the constructor, assign."""
    body = ast.parse(textwrap.dedent(inspect.getsource(cls))).body[0].body
    methods = [node for node in body if isinstance(node, ast.FunctionDef) and node.name != "__init__"]
    stored = [n for m in methods for n in ast.walk(m) if isinstance(n, ast.Attribute) and isinstance(n.ctx, ast.Store)]
    return {n.attr for n in stored if ast.unparse(n.value) == "self" and not n.attr.startswith("_")}


def swallowed(function):
    """Returns what the arguments under ``*args`` of a method are, by their position: pairs of position and name."""
    found = []
    for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(function)))):
        if isinstance(node, ast.If) and ast.unparse(node.test).startswith("len(args) > "):
            assignment = node.body[0]
            found.append([node.test.comparators[0].value, assignment.targets[0].id])
    return sorted(found)


def describe(cls):
    """Returns the facts about one class."""
    public = [name for name in dir(cls) if not name.startswith("_") and name not in INHERITED - {"from_pretrained"}]
    methods = {n: parameters(getattr(cls, n)) for n in public if inspect.isfunction(inspect.getattr_static(cls, n))}
    attributes = [n for n in public if n not in methods and not callable(getattr(cls, n))]
    own, configured = reads(cls)
    scheduler = cls(**example(cls.__name__))
    attributes += [n for n in vars(scheduler) if not n.startswith("_") and n not in attributes]
    return {
        "arguments": parameters(cls.__init__),
        "methods": methods,
        "swallowed": {n: swallowed(getattr(cls, n)) for n, p in methods.items() if ["*args"] in p},
        "attributes": sorted(attributes),
        "private": {n: None if callable(getattr(cls, n)) else getattr(cls, n) for n in PRIVATE if hasattr(cls, n)},
        "later": sorted(assigned(cls).difference(attributes, methods)),
        "reads": sorted(own.intersection(attributes)),
        "config_reads": sorted(configured),
        "read_only": sorted(n for n in attributes if isinstance(getattr(cls, n, None), property)),
        "output": output_fields(cls),
        "order": getattr(cls, "order", 1),
        "finds_unknown_timesteps": finds_unknown_timesteps(scheduler),
        "scheduled_at_first": getattr(scheduler, "num_inference_steps", None) is not None,
        "steps_unscheduled": steps_unscheduled(scheduler),
        "deprecated": cls._deprecated_kwargs,
        "refuses_integers": refuses_integers(cls(**example(cls.__name__))),
        "compatibles": sorted(getattr(cls, "_compatibles", [])),
    }


def main():
    """Writes the list of all schedulers that both packages have."""
    names = sorted(n for n in mindscience_diffuser.__all__ if n.endswith("Scheduler") and n not in TOKEN_CLASSES)
    found = {name: find(name) for name in names}
    listed = {name: describe(cls) for name, cls in found.items() if cls is not None}
    lines = [f"{json.dumps(name)}: {json.dumps(facts, default=str)}" for name, facts in listed.items()]
    header = f'"diffusers": {json.dumps(diffusers.__version__)}'
    header += f',\n"AysSchedules": {json.dumps(AysSchedules)}'
    FILE.write_text("{" + header + ',\n"schedulers": {\n' + ",\n".join(lines) + "\n}}\n", encoding="utf-8")
    print(f"{len(listed)} schedulers of diffusers {diffusers.__version__} in {FILE}")
    print("not in diffusers:", ", ".join(name for name, cls in found.items() if cls is None) or "none")


if __name__ == "__main__":
    main()
