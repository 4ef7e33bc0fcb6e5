"""Whole trajectories of the solvers in sigma form against diffusers in float64."""

import json
from pathlib import Path

import numpy as np
import pytest
from mindspore import dtype as mstype
from solver_trajectories import device_trajectory, host_trajectory, scheduled

GOLDEN = np.load(Path(__file__).parent / "golden" / "sigma.npz")
ENTRIES = json.loads(str(GOLDEN["index"]))
FIRST = {entry["config"]["scheduler"]: k for k, entry in reversed(list(enumerate(ENTRIES)))}


def name_of(k):
    config = ENTRIES[k]["config"]
    values = {**config["init"], **config["set"], **config["step"]}
    return f"{k}-{config['scheduler']}-" + "-".join(f"{name}={value}" for name, value in values.items())


def relative_error(sample, k):
    expected = GOLDEN[str(k)]
    return np.abs(sample - expected).max() / np.abs(expected).max()


@pytest.mark.parametrize("k", range(len(ENTRIES)), ids=name_of)
def test_plan_agrees_with_diffusers_in_float64(k):
    config, seed = ENTRIES[k]["config"], ENTRIES[k]["seed"]
    assert len(scheduled(config).plan) == ENTRIES[k]["calls"]
    # Churn of diffusers has other mathematics, see docs_cn/deviations.md.
    sample = host_trajectory(config, seed, as_diffusers="s_churn" in config["step"])
    assert relative_error(sample, k) < 1e-6


@pytest.mark.parametrize("k", FIRST.values(), ids=FIRST)
def test_compiled_trajectory_agrees_with_diffusers(k):
    config, seed = ENTRIES[k]["config"], ENTRIES[k]["seed"]
    assert relative_error(device_trajectory(config, seed), k) < 1e-4
    assert relative_error(device_trajectory(config, seed, mstype.float16), k) < 0.02
