"""The scripts for Ascend, exercised without one: the comparison on CPU, the sentence without a device, the list."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import mindspore as ms
import pytest

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "scripts" / "ascend_check.py"


def load(path, monkeypatch):
    """Imports a script as a module; what it adds to the search path goes away again."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, path.stem, module)
    spec.loader.exec_module(module)
    return module


@pytest.mark.skipif(ms.device_context.ascend.is_available(), reason="MindSpore finds an NPU here")
def test_without_an_npu_one_sentence_is_said():
    finished = subprocess.run([sys.executable, SCRIPT], capture_output=True, text=True, check=False)
    assert finished.returncode == 0
    assert finished.stderr == ""
    assert len(finished.stdout.splitlines()) == 1
    assert "no Ascend device" in finished.stdout


def test_the_same_code_runs_on_the_cpu(monkeypatch, capsys):
    script = load(SCRIPT, monkeypatch)
    monkeypatch.setattr(script, "STEPS", 7)
    small = ["--golden", "1", "--samplers", "DDPM loop", "--repeats", "1", "--sizes", "small"]
    assert script.main(["--device", "CPU", *small]) == 0
    printed = capsys.readouterr().out
    assert "EXCEEDS" not in printed and "FAILS" not in printed
    assert "All good." in printed
    assert len(re.findall(r"float32 \S+ ok   float16 \S+ ok", printed)) == 4
    assert len(re.findall(r"small .* step +\d+   loop +\d+   unrolled +\d+", printed)) == 4


def test_differences_and_failures_are_told_and_counted(monkeypatch, capsys):
    script = load(SCRIPT, monkeypatch)
    monkeypatch.setitem(script.TOLERANCES, "golden", {"float32": 0.0, "float16": 1.0})
    make, made = script.golden_scheduler, []

    def refusing(config, dtype):
        made.append(dtype)
        if dtype == "float16":
            raise RuntimeError("no such kernel")
        return make(config, dtype)

    monkeypatch.setattr(script, "golden_scheduler", refusing)
    assert script.main(["--device", "CPU", "--parts", "golden", "--golden", "1"]) == 1
    printed = capsys.readouterr().out
    assert made == ["float32", "float16"]
    assert "EXCEEDS 0e+00" in printed
    assert "float16 FAILS: RuntimeError: no such kernel" in printed
    assert "2 differences are too large" in printed


def test_nan_is_not_close_to_anything(monkeypatch):
    script = load(SCRIPT, monkeypatch)
    assert not script.difference([float("nan"), 1.0], [1.0, 1.0]) <= 1.0


def test_documentation_lists_the_primitives_of_exported_graphs(monkeypatch, capsys):
    script = load(ROOT / "scripts" / "list_primitives.py", monkeypatch)
    monkeypatch.setattr(script, "DTYPES", ["float16"])
    for name in ("ddim_loop", "ddpm_loop"):
        monkeypatch.delitem(script.GRAPHS, name)
    assert script.main([]) == 0
    rows = re.findall(r"^\| (\w+) \| (.+?) \| \d+ of \d+ \|$", capsys.readouterr().out, re.MULTILINE)
    page = (ROOT / "docs_cn" / "ascend.md").read_text(encoding="utf-8")
    listed = dict(re.findall(r"^\| `(\w+)` \| (.+?) \|", page, re.MULTILINE))
    assert len(rows) > 30
    for name, platforms in rows:
        assert listed[name] == ("控制流" if platforms == "control flow" else platforms)
