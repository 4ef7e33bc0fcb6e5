"""Importing the package is quick, and MindSpore is loaded only when something that computes is asked for."""

import importlib
import subprocess
import sys

import pytest

import mindscience_diffuser


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_import_does_not_load_mindspore_and_every_public_name_resolves():
    code = """
import sys
import mindscience_diffuser
assert "mindspore" not in sys.modules
assert mindscience_diffuser.NoiseSource(0, 2).standard_normal((2, 3)).shape == (2, 3)
assert set(mindscience_diffuser.__all__) <= set(dir(mindscience_diffuser))
assert "mindspore" not in sys.modules
from mindscience_diffuser import *
assert {name for name in mindscience_diffuser.__all__ if name not in globals()} == set()
assert "mindspore" in sys.modules
"""
    finished = run(code)
    assert finished.returncode == 0, finished.stderr


def test_a_mistake_in_a_configuration_is_told_without_mindspore(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text("output: out\nsede: 3\n", encoding="utf-8")
    code = f"""
import sys
from mindscience_diffuser.cli import main
assert main(["sample", "--config", {str(path)!r}]) == 2
assert "mindspore" not in sys.modules
"""
    finished = run(code)
    assert finished.returncode == 0, finished.stderr
    assert "did you mean 'seed'?" in finished.stderr


@pytest.mark.parametrize("name", mindscience_diffuser.__all__)
def test_public_name_is_that_of_its_module(name):
    value = getattr(mindscience_diffuser, name)
    assert value is getattr(importlib.import_module(value.__module__), name)


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'DDIMSheduler'"):
        mindscience_diffuser.DDIMSheduler  # noqa: B018
    with pytest.raises(ImportError):
        from mindscience_diffuser import DDIMSheduler  # noqa: F401


def test_submodules_are_imported_by_their_names():
    from mindscience_diffuser import export, noise

    assert export is sys.modules["mindscience_diffuser.export"]
    assert noise is sys.modules["mindscience_diffuser.noise"]
