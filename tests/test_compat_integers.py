"""Samples of integers in drop-in schedulers: results are floats, of levels that diffusers cuts to integers."""

import mindspore as ms
import numpy as np
import pytest
from compat_examples import steps_of
from mindspore import Tensor

from mindscience_diffuser import compat
from mindscience_diffuser.compat.description import described
from mindscience_diffuser.schedulers.base.scheduler import schedulers_by_name

OTHER_CALLS = {
    *("KarrasVeScheduler", "ScoreSdeVeScheduler", "ScoreSdeVpScheduler"),
    *("RePaintScheduler", "RFD4ProteinaScheduler", "PiflowScheduler"),
    *("HeliosDMDScheduler", "HeliosScheduler"),
}
CLASSES = [name for name in compat.CLASSES if name not in OTHER_CALLS]
IMAGES = np.random.default_rng(0).integers(0, 255, (2, 3, 4, 4))
NOISE = np.random.default_rng(1).standard_normal(IMAGES.shape).astype(np.float32)


def scheduled(name):
    scheduler = getattr(compat, name)()
    scheduler.set_timesteps(5 if name == "CMStochasticIterativeScheduler" else steps_of(name, 10))
    return scheduler


def expected_noising(name, scheduler, images, row):
    """The formulas of diffusers with its levels cast to the dtype of the images."""
    attributes = described()[name]["attributes"]
    if "sigmas" not in attributes or name in ("SASolverScheduler", "TCDScheduler", "LCMScheduler"):
        return NOISE  # alpha_bar is 0.
    sigma = scheduler.sigmas.asnumpy()[row].astype(images.dtype)
    if name.startswith("FlowMatch"):
        return sigma * NOISE + (1.0 - sigma) * images
    if scheduler.native.levels[0][0] == 1:
        return images + NOISE * sigma
    alpha = 1 / np.sqrt(np.float32(np.square(sigma) + sigma.dtype.type(1)))
    return alpha * images + sigma * alpha * NOISE


@pytest.mark.parametrize("dtype", ["uint8", "int64"])
@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.filterwarnings("ignore")
def test_noise_on_integers_is_that_of_diffusers(name, dtype):
    scheduler, images = scheduled(name), IMAGES.astype(dtype)
    methods = described()[name]["methods"]
    row = 2 * described()[name]["order"]
    timesteps = scheduler.timesteps[[row, row]] if len(scheduler.timesteps) > row else scheduler.timesteps[[0, 0]]
    if "add_noise" in methods or "scale_noise" in methods:
        given = Tensor(images), Tensor(NOISE), timesteps
        noised = scheduler.add_noise(*given) if "add_noise" in methods else scheduler.scale_noise(*given[::2], given[1])
        if name == "DDPMWuerstchenScheduler":
            assert noised.asnumpy().dtype == dtype  # diffusers casts the result.
        else:
            row = scheduler.index_for_timestep(timesteps[0]) if "index_for_timestep" in methods else row
            assert noised.dtype == ms.float32
            expected = expected_noising(name, scheduler, images, row)
            np.testing.assert_allclose(noised.asnumpy(), expected, rtol=1e-5, atol=1e-5)
    if "get_velocity" in methods:
        velocity = scheduler.get_velocity(Tensor(images), Tensor(NOISE), timesteps)
        np.testing.assert_array_equal(velocity.asnumpy(), -images.astype(np.float32))


@pytest.mark.parametrize(
    "name", [name for name in CLASSES if name not in ("CogVideoXDPMScheduler", "DPMSolverSDEScheduler")]
)
@pytest.mark.filterwarnings("ignore")
def test_a_step_from_integers_is_that_from_the_same_floats(name):
    results = []
    for sample in (Tensor(IMAGES), Tensor(IMAGES.astype(np.float32))):
        scheduler = scheduled(name)
        timestep = scheduler.timesteps[0]
        scaled = scheduler.scale_model_input(sample, timestep) if hasattr(scheduler, "scale_model_input") else sample
        options = {"generator": np.random.default_rng(0)} if "generator" in _parameters(name) else {}
        results.append((scaled, *scheduler.step(Tensor(NOISE), timestep, sample, return_dict=False, **options)))
    for integers, floats in zip(*results):
        if integers.dtype == ms.float32:
            np.testing.assert_array_equal(integers.asnumpy(), floats.asnumpy())
        else:
            # A scheduler that does not scale hands its sample on; diffusers' UniPC returns integers for integers.
            assert integers is results[0][0] or name == "UniPCMultistepScheduler"
            np.testing.assert_array_equal(integers.asnumpy(), floats.asnumpy().astype(np.int64))


def _parameters(name):
    return [parameter[0] for parameter in described()[name]["methods"]["step"]]


def test_a_fractional_timestep_is_no_integer_one():
    scheduler = compat.DPMSolverMultistepScheduler()
    scheduler.set_timesteps(10)
    assert scheduler.index_for_timestep(scheduler.timesteps[3]) == 3
    assert scheduler.index_for_timestep(float(scheduler.timesteps[3]) + 0.7) == 9  # The last one stands for any other.


@pytest.mark.parametrize("name", schedulers_by_name())
@pytest.mark.filterwarnings("ignore")
def test_native_schedulers_refuse_integers(name):
    scheduler = schedulers_by_name()[name]()
    scheduler.set_timesteps(5, *([1] if "Pyramid" in name else []))
    integers, floats, t = Tensor(IMAGES), Tensor(NOISE), scheduler.timesteps[0]
    calls = {
        "add_noise": [(integers, floats, t), (floats, integers, t)],
        "get_velocity": [(integers, floats, t)],
        "scale_noise": [(integers, t, floats)],
        "step": [(floats, integers, t), (integers, floats, t)],
    }
    for method, given in calls.items():
        for arguments in given if hasattr(scheduler, method) else ():
            if name == "RePaintScheduler" and method == "step":
                arguments = (*arguments, floats, floats)
            with pytest.raises(TypeError, match="must be float32, float16 or bfloat16, but is Int64.*astype"):
                getattr(scheduler, method)(*arguments)
