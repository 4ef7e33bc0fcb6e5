"""The drop-in classes that no test of diffusers' suite builds, in tests of the form that the others have there."""

import inspect

import numpy as np
import pytest
from compat_examples import steps_of
from mindspore import Tensor

from mindscience_diffuser import compat

SHAPE = (2, 3, 4, 4)
SAMPLE, OUTPUT = (Tensor(np.random.default_rng(k).uniform(-1, 1, SHAPE).astype(np.float32)) for k in range(2))
OTHER_VALUES = {
    "CogVideoXDDIMScheduler": {"snr_shift_scale": 1.0},
    "CogVideoXDPMScheduler": {"beta_end": 0.02},
    "CosineDPMSolverMultistepScheduler": {"sigma_max": 300.0},
    "DDPMWuerstchenScheduler": {"s": 0.02},
    "FlowMatchEulerDiscreteScheduler": {"shift": 2.0},
    "FlowMatchHeunDiscreteScheduler": {"shift": 2.0},
    "FlowMatchLCMScheduler": {"shift": 2.0},
    "KarrasVeScheduler": {"sigma_max": 50.0},
    "RePaintScheduler": {"eta": 0.5},
    "SCMScheduler": {"sigma_data": 0.7},
    "ScoreSdeVpScheduler": {"beta_max": 15},
}
"""The classes, with a value of their configuration that is no default and changes the third timestep or its step."""


def scheduled(name, **config):
    scheduler = getattr(compat, name)(**config)
    scheduler.set_timesteps(steps_of(name, 8))
    return scheduler


def step(scheduler, at=0, **options):
    """Returns what a step from a row of the trajectory returns."""
    name, timesteps = type(scheduler).__name__, scheduler.timesteps
    if name == "ScoreSdeVpScheduler":
        return scheduler.step_pred(OUTPUT, SAMPLE, timesteps[at], generator=0)
    if name == "KarrasVeScheduler":
        return scheduler.step(OUTPUT, 0.1 * scheduler.schedule[7 - at], scheduler.schedule[6 - at], SAMPLE, **options)
    if name == "CogVideoXDPMScheduler":
        return scheduler.step(OUTPUT, OUTPUT, timesteps[at + 1], timesteps[at], SAMPLE, generator=0, **options)
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(at)
    parameters = inspect.signature(scheduler.step).parameters
    options = {"generator": 0, **options} if "generator" in parameters else options
    if name == "RePaintScheduler":
        options = {**options, "original_image": OUTPUT, "mask": Tensor(np.zeros(SHAPE, np.float32))}
    t = timesteps[at : at + 1] if name == "DDPMWuerstchenScheduler" else timesteps[at]
    if hasattr(scheduler, "scale_model_input"):
        scheduler.scale_model_input(SAMPLE, t)
    return scheduler.step(OUTPUT, t, SAMPLE, **options)


def test_they_are_those_that_no_test_of_the_suite_is_named_after():
    assert len(OTHER_VALUES) == 11 and set(OTHER_VALUES) <= set(compat.CLASSES)


@pytest.mark.parametrize("name", OTHER_VALUES)
@pytest.mark.filterwarnings("ignore")
def test_saving_and_loading_keeps_what_a_step_gives(name, tmp_path):
    scheduler, default = scheduled(name, **OTHER_VALUES[name]), scheduled(name)
    scheduler.save_config(tmp_path)
    loaded = getattr(compat, name).from_pretrained(tmp_path)
    loaded.set_timesteps(steps_of(name, 8))
    row = 0 if steps_of(name, 8) == 2 else 2
    expected, other = (step(one, row)[0].asnumpy() for one in (scheduler, default))
    assert np.array_equal(step(loaded, row)[0].asnumpy(), expected)
    assert expected.shape == SHAPE and np.isfinite(expected).all()
    changed = not np.array_equal(scheduler.timesteps.asnumpy(), default.timesteps.asnumpy())
    assert changed or not np.array_equal(other, expected)


@pytest.mark.parametrize("name", sorted(set(OTHER_VALUES) - {"ScoreSdeVpScheduler"}))
@pytest.mark.filterwarnings("ignore")
def test_tuples_and_outputs_hold_the_same(name):
    outputs, values = (step(scheduled(name), return_dict=kind) for kind in (True, False))
    first = outputs[0] if isinstance(outputs, tuple) else outputs.prev_sample
    assert isinstance(values, tuple) and np.array_equal(first.asnumpy(), values[0].asnumpy())
    assert first.shape == SHAPE and first.dtype == SAMPLE.dtype
