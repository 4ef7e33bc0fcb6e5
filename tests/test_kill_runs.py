"""Runs that are killed and started again, as scripts/kill_runs.py does it forty times."""

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[1] / "scripts" / "kill_runs.py"


def test_killed_runs_give_what_uninterrupted_ones_give():
    ended = subprocess.run([sys.executable, SCRIPT, "--runs", "1"], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "train: 1 of 1 as if uninterrupted" in ended.stdout
    assert "sample: 1 of 1 as if uninterrupted" in ended.stdout
