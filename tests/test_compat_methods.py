"""Every method of the list, called as diffusers' own code calls it, returns what it returns in diffusers.

The golden results are made by ``scripts/make_golden_compat_calls.py``, which runs diffusers.
"""

import inspect
import json
from pathlib import Path

import numpy as np
import pytest
from compat_methods import call, cases, flat
from compat_writes import NOISE_SEED
from mindspore import Tensor

from mindscience_diffuser import compat, set_noise_function

GOLDEN = np.load(Path(__file__).parent / "golden" / "compat_calls.npz")
CALLS = json.loads(str(GOLDEN["methods"]))
ENDS = np.cumsum(GOLDEN["lengths"])
NAMES = sorted({case["scheduler"] for case in CALLS})


def tensor(array):
    return Tensor(array.astype(np.float32))


def noise_of(rng):
    return lambda shape, generator: rng.standard_normal(shape)


def test_the_golden_file_has_every_method_of_the_list():
    assert cases() == CALLS
    pairs = [(case["scheduler"], case["method"]) for case in CALLS]
    assert min(map(pairs.count, pairs)) >= 3


class Counting:
    """A generator that counts its draws."""

    count = 0

    def standard_normal(self, shape):
        self.count += 1
        return np.ones(shape)


DRAWS = {
    "CMStochasticIterativeScheduler": ({}, [1, 1, 1, 1]),
    "CogVideoXDPMScheduler": ({}, [1, 2, 2, 1]),
    "DDIMScheduler": ({}, [0, 0, 0, 0]),
    "DDPMScheduler": ({}, [1, 1, 1, 0]),
    "DDPMParallelScheduler": ({}, [1, 1, 1, 0]),
    "DDPMWuerstchenScheduler": ({}, [1, 1, 1, 1]),
    "DPMSolverMultistepScheduler": ({"algorithm_type": "sde-dpmsolver++"}, [1, 1, 1, 1]),
    "EDMDPMSolverMultistepScheduler": ({"algorithm_type": "sde-dpmsolver++"}, [1, 1, 1, 1]),
    "EulerAncestralDiscreteScheduler": ({}, [1, 1, 1, 1]),
    "FlowMatchEulerDiscreteScheduler": ({"stochastic_sampling": True}, [1, 1, 1, 1]),
    "FlowMatchLCMScheduler": ({}, [1, 1, 1, 1]),
    "KDPM2AncestralDiscreteScheduler": ({}, [0, 1, 0, 1, 0, 1, 0]),
    "LCMScheduler": ({}, [1, 1, 1, 0]),
    "SASolverScheduler": ({}, [1, 1, 1, 1]),
    "TCDScheduler": ({}, [1, 1, 1, 0]),
    "UnCLIPScheduler": ({}, [1, 1, 1, 0]),
}
"""Draws of each of four steps, as the sources of diffusers have them."""


@pytest.mark.parametrize("name", DRAWS)
@pytest.mark.filterwarnings("ignore")
def test_every_step_draws_as_often_from_a_generator_as_in_diffusers(name):
    (init, expected), generator, drawn = DRAWS[name], Counting(), []
    scheduler = getattr(compat, name)(**init)
    scheduler.set_timesteps(4)
    x, old = tensor(np.ones((1, 1, 2, 2))), None
    for i, t in enumerate(scheduler.timesteps[: len(expected)]):
        before = generator.count
        if name == "CogVideoXDPMScheduler":
            back = scheduler.timesteps[i - 1] if i > 0 else None
            x, old = scheduler.step(x, old, t, back, x, generator=generator)
        elif "generator" in inspect.signature(scheduler.step).parameters:
            x = scheduler.step(x, t, x, generator=generator)[0]
        drawn.append(generator.count - before)
    assert drawn == expected


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.filterwarnings("ignore")
def test_methods_return_what_they_return_in_diffusers(name):
    results = GOLDEN["results"]
    for case, end, length in zip(CALLS, ENDS, GOLDEN["lengths"]):
        if case["scheduler"] != name:
            continue
        previous = set_noise_function(noise_of(np.random.default_rng(NOISE_SEED)))
        try:
            result = flat(call(getattr(compat, name)(**case["init"]), case, tensor))
        finally:
            set_noise_function(previous)
        golden = results[end - length : end]
        assert result.shape == golden.shape, case
        assert length == 0 or np.abs(result - golden).max() <= 1e-4 * np.abs(golden).max() + 1e-9, case
