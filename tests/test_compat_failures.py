"""A call of a drop-in scheduler that raises changes nothing: the corrected call gives what a clean run gives."""

import inspect

import numpy as np
import pytest
from compat_examples import steps_of
from mindspore import Tensor

from mindscience_diffuser import compat

RNG = np.random.default_rng(0)
SAMPLE, OUTPUT = (Tensor(RNG.standard_normal((2, 4, 4, 4)).astype(np.float32)) for _ in range(2))
OTHER_CALLS = (
    "ScoreSde",
    "KarrasVe",
    "RePaint",
    "CogVideoXDPM",
    "DPMSolverMultistepInverse",
    "RFD4",
    "Piflow",
    "Helios",
)


def names():
    """The drop-in classes whose `step` takes (model_output, timestep, sample)."""
    found = []
    for name in compat.CLASSES:
        if not name.startswith(OTHER_CALLS) and hasattr(getattr(compat, name), "step"):
            found.append(name)
    return found


def scheduled(name):
    kind = getattr(compat, name)
    scheduler = kind(**({"noise_sampler_seed": 5} if "noise_sampler_seed" in kind.arguments else {}))
    scheduler.set_timesteps(steps_of(name, 5))
    return scheduler


def run(scheduler, failing=()):
    sample, takes_generator = SAMPLE, "generator" in inspect.signature(scheduler.step).parameters
    options = {"generator": 3} if takes_generator else {}
    for t in scheduler.timesteps[:4]:
        if hasattr(scheduler, "scale_model_input"):
            scheduler.scale_model_input(sample, t)
        for bad in failing:
            with pytest.raises((TypeError, ValueError, AttributeError, RuntimeError, NotImplementedError)):
                bad(scheduler, t, sample, options)
        sample = scheduler.step(OUTPUT * 0.3, t, sample, return_dict=False, **options)[0]
    return sample.asnumpy(), scheduler.step_index if hasattr(scheduler, "step_index") else None


def wrong_shape(scheduler, t, sample, options):
    scheduler.step(OUTPUT[:, :3], t, sample, **options)


def wrong_type(scheduler, t, sample, options):
    scheduler.step("output", t, sample, **options)


def wrong_option(scheduler, t, sample, options):
    scheduler.step(OUTPUT, t, sample, nonsense=3, **options)


@pytest.mark.parametrize("name", names())
def test_a_step_that_raised_does_not_count(name):
    expected, index = run(scheduled(name))
    result, position = run(scheduled(name), (wrong_shape, wrong_type, wrong_option))
    assert position == index
    np.testing.assert_array_equal(result, expected)
