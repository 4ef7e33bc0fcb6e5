"""Runs mindone's own scheduler tests with mindone's schedulers and with ours in their place, and compares.

    python scripts/run_mindone_tests.py FOLDER [pytest arguments]

FOLDER holds the tests of schedulers of mindone's repository (version 0.5.0: one file in PYNATIVE_MODE, one in
GRAPH_MODE). Needs mindone 0.5.0, PyTorch, and the diffusers that the tests compare with, 0.35.2. The tests run
unchanged; kernels that MindSpore lacks on CPU are stood in for. Prints the tests that pass with mindone and not with
ours, and returns 1 if there are any.
"""

import contextlib
import io
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from mindone.diffusers import schedulers as mindone
from mindone_on_cpu import stand_in

from mindscience_diffuser import compat, set_noise_function


class Outcomes:
    """Collects the outcome of each test, under the name of the scheduler's class."""

    def __init__(self):
        self.passed, self.failed, self.dtype = [], {}, "float32"

    @staticmethod
    def pytest_make_parametrize_id(val):
        """Names a test after its scheduler."""
        return val[0] if isinstance(val, tuple) else None

    def pytest_runtest_setup(self, item):
        """Notes the dtype of the test, that of the noise which it draws."""
        self.dtype = item.callspec.params["dtype"]

    def pytest_runtest_logreport(self, report):
        """Notes whether the test passed, or why not."""
        if report.failed:
            self.failed[report.nodeid] = report.longrepr.reprcrash.message.splitlines()[0]
        elif report.when == "call":
            self.passed.append(report.nodeid)

    def noise(self, shape, generator):
        """Returns the noise that the tests put in place of mindone's: torch's global stream, in the sample's dtype."""
        return torch.randn(tuple(shape), generator=generator, dtype=getattr(torch, self.dtype)).numpy()


def replace_classes(outcomes):
    """Puts our classes into the place of mindone's."""
    for name in compat.CLASSES:
        if hasattr(mindone, name):
            setattr(mindone, name, getattr(compat, name))
    set_noise_function(lambda shape, source: outcomes.noise(shape, source).astype(np.float32))


def run_tests(whose, arguments, file):
    """Runs the tests in this process and writes what came of them."""
    stand_in()
    outcomes = Outcomes()
    if whose == "ours":
        replace_classes(outcomes)
    with contextlib.redirect_stdout(io.StringIO()):
        pytest.main(["-q", "-p", "no:cacheprovider", *arguments], plugins=[outcomes])
    Path(file).write_text(json.dumps([outcomes.passed, outcomes.failed]), encoding="utf-8")


def main():
    """Runs the tests twice, each time in a process of its own; returns 1 if ours fail where mindone's pass."""
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        for whose in ("mindone", "ours"):
            file = Path(folder) / whose
            subprocess.run([sys.executable, __file__, "--as", whose, str(file), *sys.argv[1:]], check=True)
            results[whose] = json.loads(file.read_text(encoding="utf-8"))
            passed, failed = results[whose]
            print(f"{whose}: {len(passed)} of {len(passed) + len(failed)} pass")
    passed, failed = set(results["mindone"][0]), results["ours"][1]
    worse = sorted(passed & failed.keys())
    for test in sorted(failed):
        print(f"{'ONLY OURS' if test in worse else 'both'}: {test}: {failed[test]}")
    return int(bool(worse))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--as"]:
        sys.exit(run_tests(sys.argv[2], sys.argv[4:], sys.argv[3]))
    sys.exit(main())
