"""Editors and type checkers see the public interface: its stubs are up to date, shipped, and find mistakes."""

import json
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPTS = ROOT / "tests" / "type_checking"
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}


def run(*arguments):
    return subprocess.run(
        [sys.executable, *map(str, arguments)], capture_output=True, text=True, check=False, cwd=ROOT, env=ENVIRONMENT
    )


@pytest.mark.every_case
def test_stubs_have_the_signatures_and_docstrings_of_the_package():
    finished = run("scripts/make_stubs.py", "--check")
    assert finished.returncode == 0, finished.stderr


def test_stubs_are_installed_with_the_package(tmp_path):
    finished = run("setup.py", "--quiet", "build_py", "--build-lib", tmp_path)
    assert finished.returncode == 0, finished.stderr
    stubs = {str(path.relative_to(ROOT)) for path in (ROOT / "mindscience_diffuser").rglob("*.pyi")}
    installed = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.suffix in (".pyi", ".typed")}
    assert installed == {*stubs, os.path.join("mindscience_diffuser", "py.typed")}


@pytest.fixture(scope="module")
def found():
    """What pyright finds in the two scripts: the rules of the errors by file and line."""
    if find_spec("pyright") is None:
        pytest.skip("pyright is not installed: pip install -e '.[tests]'")
    names = ("user_script.py", "wrong_script.py")
    finished = run("-m", "pyright", "--outputjson", "--pythonpath", sys.executable, *(SCRIPTS / n for n in names))
    assert finished.stdout, finished.stderr
    errors = {name: {} for name in names}
    for error in json.loads(finished.stdout)["generalDiagnostics"]:
        line = error["range"]["start"]["line"] + 1
        errors[Path(error["file"]).name].setdefault(line, []).append(error.get("rule") or error["message"])
    return errors


def test_a_strict_type_checker_finds_no_error_in_a_users_script(found):
    assert found["user_script.py"] == {}


def test_a_type_checker_finds_every_mistake_and_no_other(found):
    lines = enumerate((SCRIPTS / "wrong_script.py").read_text(encoding="utf-8").splitlines(), 1)
    marked = {number: mark[1] for number, line in lines if (mark := re.search(r"# wrong: (\w+)$", line))}
    assert len(marked) > 20
    assert found["wrong_script.py"].keys() == marked.keys()
    assert not [number for number, rule in marked.items() if rule not in found["wrong_script.py"][number]]
