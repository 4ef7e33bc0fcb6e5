"""Drop-in schedulers agree with diffusers 0.42.1 also where the native ones follow other rules.

The golden samples are made by ``scripts/make_golden_compat.py``, which runs diffusers in float64.
"""

import json
from pathlib import Path

import numpy as np
import pytest
from mindspore import Tensor
from solver_trajectories import constructor_arguments, draws, host_trajectory, toy_output

from mindscience_diffuser import compat, set_noise_function

GOLDEN = np.load(Path(__file__).parent / "golden" / "compat.npz")
CASES = {f"{e['config']['scheduler']}-{k}": (e, GOLDEN[str(k)]) for k, e in enumerate(json.loads(str(GOLDEN["index"])))}
# Their steps take other arguments; DPMSolverSDE has noise of other laws, which its own golden file shows.
OTHER_CALLS = ("CogVideoXDPMScheduler", "RePaintScheduler", "DPMSolverSDEScheduler")
SHORT = [
    name
    for name, (case, _) in CASES.items()
    if len(case["config"]["set"].get("timesteps", range(case["config"]["set"].get("num_inference_steps", 0)))) <= 10
]
FIRST = {name.split("-")[0]: name for name in SHORT if name.split("-")[0] not in OTHER_CALLS}


def difference(sample, golden):
    """The largest difference, in units of the largest value."""
    return np.abs(sample - golden).max() / np.abs(golden).max()


@pytest.mark.parametrize("name", [name for name in CASES if not name.startswith("RePaint")])
@pytest.mark.filterwarnings("ignore")
def test_plan_agrees_with_diffusers_in_float64(name):
    case, golden = CASES[name]
    # The betas of some classes pass through float32 in places that its float64 does not reach.
    assert difference(host_trajectory(case["config"], case["seed"], as_diffusers=True), golden) < 1e-5


@pytest.mark.parametrize("name", FIRST.values(), ids=FIRST)
def test_steps_agree_with_diffusers(name):
    case, golden = CASES[name]
    config = case["config"]
    scheduler = getattr(compat, config["scheduler"])(**constructor_arguments(config))
    scheduler.set_timesteps(**config["set"])
    noise = draws(case["seed"], len(scheduler.timesteps))
    x, drawn = Tensor(noise[0]) * scheduler.init_noise_sigma, iter(noise[1:])
    previous = set_noise_function(lambda shape, generator: next(drawn))
    try:
        for t in scheduler.timesteps:
            x = scheduler.step(toy_output(x, float(t)), t, x, **config["step"]).prev_sample
    finally:
        set_noise_function(previous)
    assert difference(x.asnumpy(), golden) < 1e-4


@pytest.mark.parametrize("name", [name for name in CASES if name.startswith("RePaint")])
def test_repaint_agrees_with_diffusers(name):
    case, golden = CASES[name]
    config = case["config"]
    scheduler = compat.RePaintScheduler(**config["init"])
    scheduler.set_timesteps(**config["set"])
    noise = draws(case["seed"], len(scheduler.timesteps))
    known, mask = Tensor(noise[0][::-1].copy()), Tensor((noise[0] > 0.3).astype(np.float32))
    x = Tensor(noise[0])
    for t, z in zip(scheduler.native.timesteps, noise[1:]):
        x = scheduler.native.step(toy_output(x, float(t)), x, int(t), known, mask, noise=Tensor(z))
    assert difference(x.asnumpy(), golden) < 1e-4
