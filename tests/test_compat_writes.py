"""What users write into drop-in schedulers after they were built is obeyed as diffusers obeys it, or refused.

The golden samples are made by ``scripts/make_golden_compat_calls.py``, which runs diffusers.
"""

import copy
import json
from pathlib import Path

import numpy as np
import pytest
from compat_examples import example, steps_of
from compat_writes import NAMES, NOISE_SEED, SHAPE, run
from mindspore import Tensor

from mindscience_diffuser import compat, set_noise_function
from mindscience_diffuser.compat.description import described

GOLDEN = np.load(Path(__file__).parent / "golden" / "compat_calls.npz")
SCENARIOS = json.loads(str(GOLDEN["index"]))


def tensor(array):
    return Tensor(array.astype(np.float32))


def noise_of(rng):
    return lambda shape, generator: rng.standard_normal(shape)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.filterwarnings("ignore")
def test_what_is_written_is_obeyed_as_in_diffusers(name):
    for scenario, golden in zip(SCENARIOS, GOLDEN["samples"]):
        if scenario["scheduler"] != name:
            continue
        previous = set_noise_function(noise_of(np.random.default_rng(NOISE_SEED)))
        try:
            sample = run(getattr(compat, name)(**scenario["init"]), scenario, tensor).asnumpy()
        finally:
            set_noise_function(previous)
        # The float32 of diffusers loses 1 - alpha_bar at the first timesteps of a cosine schedule.
        tolerance = 1e-3 if name == "UnCLIPScheduler" else 1e-4
        assert np.abs(sample - golden).max() < tolerance * np.abs(golden).max(), scenario


@pytest.mark.parametrize("name", compat.CLASSES)
@pytest.mark.filterwarnings("ignore")
def test_every_attribute_that_methods_read_is_obeyed_or_refused_in_a_sentence(name):
    scheduler = getattr(compat, name)(**example(name))
    scheduler.set_timesteps(steps_of(name, 4))
    for attribute in described()[name]["reads"]:
        value = copy.copy(getattr(scheduler, attribute, None))
        try:
            setattr(scheduler, attribute, value)
        except AttributeError as error:
            assert attribute in str(error) or "setter" in str(error)
        else:
            now = getattr(scheduler, attribute)
            now, value = (v.asnumpy() if isinstance(v, Tensor) else v for v in (now, value))
            np.testing.assert_equal(now, value)


def test_writing_into_what_was_handed_out_lasts():
    scheduler = compat.EulerDiscreteScheduler()
    scheduler.set_timesteps(4)
    scheduler.sigmas[-1] = 0.5
    assert scheduler.sigmas[-1].asnumpy() == 0.5
    sample = tensor(np.ones(SHAPE))
    scheduler.set_begin_index(3)
    lower = scheduler.sigmas[3].asnumpy()
    moved = scheduler.step(sample, scheduler.timesteps[3], sample)[0].asnumpy()
    np.testing.assert_allclose(moved, 1 + 0.5 - lower, rtol=1e-6)
    scheduler.set_timesteps(4)
    assert scheduler.sigmas[-1].asnumpy() == 0


def test_what_cannot_be_obeyed_is_refused_with_what_to_do_instead():
    scheduler = compat.KDPM2DiscreteScheduler()
    scheduler.set_timesteps(4)
    with pytest.raises(AttributeError, match="'sigmas' of KDPM2DiscreteScheduler cannot be set.*register_to_config"):
        scheduler.sigmas = scheduler.sigmas * 2
    with pytest.raises(AttributeError, match="'log_sigmas' of KDPM2DiscreteScheduler cannot be set"):
        scheduler.log_sigmas = None
