"""Tables, renoising weights and trajectories against Pyramid-Flow's own scheduler."""

import json
from pathlib import Path

import mindspore as ms
import numpy as np
import pytest

from mindscience_diffuser import PyramidFlowMatchEulerDiscreteScheduler

GOLDEN = Path(__file__).parent / "golden"
TOLERANCE = 1e-6
TRAJECTORY_TOLERANCE = 1e-5

cases = pytest.mark.parametrize("name", ["pyramid_default", "pyramid_shift3_2stages"])


def load(name):
    golden = np.load(GOLDEN / f"{name}.npz")
    return golden, PyramidFlowMatchEulerDiscreteScheduler(**json.loads(str(golden["config"])))


@cases
def test_tables_of_the_stages_agree(name):
    golden, scheduler = load(name)
    for table in ("start_sigmas", "end_sigmas", "ori_start_sigmas", "timestep_ratios"):
        np.testing.assert_allclose(getattr(scheduler, table), golden[table], rtol=0, atol=TOLERANCE)
    positions = [0, 1, 499, -1]
    for stage in range(scheduler.config.stages):
        expected = golden[f"timesteps_per_stage_{stage}"]
        np.testing.assert_allclose(scheduler.timesteps_per_stage[stage][positions], expected, rtol=TOLERANCE)
    coefficients = [scheduler.renoise_coefficients(stage) for stage in range(scheduler.config.stages)]
    expected = np.stack([golden["renoise_alpha"], golden["renoise_beta"]], axis=1)
    np.testing.assert_allclose(coefficients, expected, rtol=0, atol=TOLERANCE)


@cases
@pytest.mark.parametrize("in_graph", [False, True])
def test_trajectories_of_the_stages_agree(name, in_graph):
    golden, scheduler = load(name)
    count = int(golden["num_inference_steps"])
    step = ms.jit(scheduler.step) if in_graph else scheduler.step
    for stage in range(scheduler.config.stages):
        scheduler.set_timesteps(count, stage)
        np.testing.assert_allclose(scheduler.timesteps, golden[f"timesteps_{stage}"], rtol=TOLERANCE)
        np.testing.assert_allclose(scheduler.sigmas, golden[f"sigmas_{stage}"], rtol=0, atol=TOLERANCE)
        sample = ms.Tensor(golden["sample"])
        for t in scheduler.timesteps:
            output = ms.Tensor((0.3 * sample.asnumpy() + 0.01 * t / 1000).astype(np.float32))
            sample = step(output, sample, ms.Tensor(t) if in_graph else t)
        np.testing.assert_allclose(sample.asnumpy(), golden[f"trajectory_end_{stage}"], atol=TRAJECTORY_TOLERANCE)
