"""Lists what the pipelines of mindone and diffusers read and write of their schedulers, and what diffusers answers.

    python scripts/list_pipeline_attributes.py FOLDER...    # writes tests/pipeline_attributes.json

Each FOLDER is the package of a peer, whose files are parsed and not imported. Needs diffusers, of which every scheduler
is asked for each attribute. test_compat_attributes.py goes through the list.
"""

import ast
import json
import sys
import warnings
from pathlib import Path

import diffusers
import torch
from list_diffusers_api import example, find, steps_of

from mindscience_diffuser.compat.description import described

FILE = Path(__file__).parents[1] / "tests" / "pipeline_attributes.json"
STEPS = 4
PLAIN = (int, float, str, list, type(None))
ASKING = ("getattr", "hasattr", "setattr")


def is_scheduler(node):
    """Whether an expression is a scheduler by its name."""
    return ast.unparse(node).lower().split(".")[-1].endswith("scheduler")


def uses(folder):
    """Returns what the pipelines in a folder read of schedulers, write into them, and read of configurations."""
    found = {"read": set(), "written": set(), "configuration": set()}
    for file in sorted((Path(folder) / "pipelines").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and is_scheduler(node.value) and not node.attr.startswith("__"):
                found["read" if isinstance(node.ctx, ast.Load) else "written"].add(node.attr)
            elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Attribute):
                if node.value.attr == "config" and is_scheduler(node.value.value):
                    found["configuration"].add(node.attr)
            elif isinstance(node, (ast.Assign, ast.AugAssign)):
                for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                    item = target.value if isinstance(target, ast.Subscript) else None
                    if isinstance(item, ast.Attribute) and is_scheduler(item.value):
                        found["written"].add(item.attr)
            elif isinstance(node, ast.Call) and ast.unparse(node.func) in ASKING and len(node.args) > 1:
                source, name = node.args[:2]
                if isinstance(name, ast.Constant) and is_scheduler(source):
                    found["written" if ast.unparse(node.func) == "setattr" else "read"].add(name.value)
    return found


def answer(scheduler, name):
    """Returns the value of an attribute; of an array its shape, its first and last value and their sum."""
    value = getattr(scheduler, name)
    if not isinstance(value, torch.Tensor):
        return value
    value = value.double().ravel()
    shown = [value[0].item(), value[-1].item(), value.sum().item()] if value.numel() else []
    return [list(getattr(scheduler, name).shape), *(float(f"{number:.7g}") for number in shown)]


def main():
    """Writes the list."""
    warnings.simplefilter("ignore")
    diffusers.utils.logging.set_verbosity_error()
    found = [uses(folder) for folder in sys.argv[1:]]
    names = {kind: sorted(set().union(*(one[kind] for one in found))) for kind in found[0]}
    answers = {}
    for name in described():
        scheduler = find(name)(**example(name))
        early = [attribute for attribute in names["read"] if hasattr(scheduler, attribute)]
        scheduler.set_timesteps(steps_of(name, STEPS))
        has = [attribute for attribute in names["read"] if hasattr(scheduler, attribute)]
        values = {attribute: answer(scheduler, attribute) for attribute in has}
        answers[name] = {
            "absent": sorted(set(names["read"]).difference(has)),
            "later": sorted(set(has).difference(early)),
            "values": {key: value for key, value in values.items() if isinstance(value, PLAIN)},
        }
    lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in {**names, **answers}.items()]
    FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    print({kind: len(listed) for kind, listed in names.items()}, f"{FILE.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
