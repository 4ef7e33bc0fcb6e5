"""Whole trajectories of schedulers that are no sigma solvers agree with diffusers 0.42.1.

The golden samples are made by ``scripts/make_golden_other.py``, which runs diffusers in float64.
"""

import json
from pathlib import Path

import numpy as np
import pytest
from mindspore import Tensor
from solver_trajectories import device_trajectory, draws, host_trajectory, scheduled, toy_output

GOLDEN = np.load(Path(__file__).parent / "golden" / "other.npz")
INDEX = json.loads(str(GOLDEN["index"]))
CASES = {f"{case['config']['scheduler']}-{k}": (case, GOLDEN[str(k)]) for k, case in enumerate(INDEX)}
REPAINT = [name for name in CASES if name.startswith("RePaint")]
PLAIN = [name for name in CASES if name not in REPAINT]
# Here diffusers strides T // n whatever the next timestep is.
UNEVEN = [name for name in PLAIN if CASES[name][0]["config"]["init"].get("timestep_spacing") == "linspace"]
FIRST = {name.split("-")[0]: name for name in reversed(PLAIN)}


def difference(sample, golden):
    """The largest difference, in units of the largest value."""
    return np.abs(sample - golden).max() / np.abs(golden).max()


@pytest.mark.parametrize("name", PLAIN)
def test_plan_of_compat_on_the_host_agrees_with_diffusers(name):
    case, golden = CASES[name]
    # Their betas pass through float32 in places that its float64 does not reach.
    assert difference(host_trajectory(case["config"], case["seed"], as_diffusers=True), golden) < 1e-5


@pytest.mark.parametrize("name", [name for name in PLAIN if name not in UNEVEN])
def test_plan_on_the_host_agrees_with_diffusers(name):
    case, golden = CASES[name]
    assert difference(host_trajectory(case["config"], case["seed"]), golden) < 1e-5


@pytest.mark.parametrize("name", FIRST.values(), ids=FIRST)
def test_sampler_agrees_with_diffusers(name):
    case, golden = CASES[name]
    sample = device_trajectory(case["config"], case["seed"])
    assert difference(sample, golden) < 1e-4


@pytest.mark.parametrize("name", REPAINT)
def test_steps_and_undone_steps_of_repaint_agree_with_diffusers(name):
    case, golden = CASES[name]
    scheduler = scheduled(case["config"])
    noise = draws(case["seed"], len(scheduler.timesteps))
    known, mask = Tensor(noise[0][::-1].copy()), Tensor((noise[0] > 0.3).astype(np.float32))
    x, last = Tensor(noise[0]), scheduler.timesteps[0] + 1
    for t, z in zip(scheduler.timesteps, noise[1:]):
        if t < last:
            x = scheduler.step(toy_output(x, float(t)), x, int(t), known, mask, noise=Tensor(z))
        else:
            x = scheduler.undo_step(x, int(last), noise=Tensor(z))
        last = t
    assert difference(x.asnumpy(), golden) < 1e-4
