"""The layout of the package: imports point downwards, folders can be read at one sight, the engine knows no example."""

import ast
from pathlib import Path

import pytest

from mindscience_diffuser import Scheduler
from mindscience_diffuser.schedulers.base.scheduler import schedulers_by_name

PACKAGE = Path(__file__).parents[1] / "mindscience_diffuser"
FLOORS = ("errors", "config", "distributed", "storage", "data", "evaluation", "pictures", "kinds", "commands")
FAMILIES = ("base", "diffusion", "sigma", "exponential", "edm", "flow", "consistency", "tokens")
MOST_SIBLINGS, MOST_DEEP = 15, 6
MODULES = sorted((PACKAGE / "runs").rglob("*.py"))


def imported(path):
    """The dotted names of what a module imports, at its top and inside functions."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_runs_import_nothing_above_them(path):
    floor = path.relative_to(PACKAGE / "runs").parts[0].removesuffix(".py")
    for name in imported(path):
        parts = name.split(".")
        if parts[:2] == ["mindscience_diffuser", "runs"]:
            assert FLOORS.index(parts[2]) <= FLOORS.index(floor), name
        assert parts[:2] not in (["mindscience_diffuser", "examples"], ["mindscience_diffuser", "cli"])


@pytest.mark.parametrize("family", FAMILIES)
def test_families_import_nothing_above_them(family):
    for path in (PACKAGE / "schedulers" / family).glob("*.py"):
        for name in imported(path):
            parts = name.split(".")
            if parts[:2] == ["mindscience_diffuser", "schedulers"]:
                assert FAMILIES.index(parts[2]) <= FAMILIES.index(family), f"{path}: {name}"


def depth(kind):
    return 1 + max((depth(base) for base in kind.__bases__ if issubclass(base, Scheduler)), default=0)


def test_no_scheduler_is_more_than_six_classes_deep():
    assert max(map(depth, schedulers_by_name().values())) <= MOST_DEEP


def test_what_runs_stand_on_imports_no_run():
    for path in PACKAGE.rglob("*.py"):
        if path.relative_to(PACKAGE).parts[0] not in ("runs", "examples", "cli.py", "__init__.py", "__main__.py"):
            assert not [name for name in imported(path) if name.startswith("mindscience_diffuser.runs")], path


def test_no_folder_is_too_long_to_read():
    tops = [PACKAGE / top for top in ("runs", "examples", "schedulers", "training")]
    for folder in [*tops, *(path for top in tops for path in top.rglob("*") if path.is_dir())]:
        assert len(list(folder.glob("*.py"))) - 1 <= MOST_SIBLINGS, folder


def test_runs_name_no_example():
    for path in MODULES:
        text = path.read_text(encoding="utf-8").lower().replace("digits where the mean is large", "")
        assert not [word for word in ("digit", "vorticity", "stirred") if word in text], path
