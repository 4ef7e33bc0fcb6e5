"""Before `set_timesteps`, and for timesteps that are not of the schedule, drop-in schedulers do as diffusers does."""

import numpy as np
import pytest
from mindspore import Tensor

from mindscience_diffuser import compat

X, NOISE = (Tensor(np.random.default_rng(k).standard_normal((2, 3)).astype(np.float32)) for k in range(2))
ASCENDING = ("DEISMultistep", "DPMSolverMultistep", "DPMSolverSinglestep", "UniPCMultistep")


@pytest.mark.parametrize("name", ASCENDING)
def test_multistep_schedulers_take_the_level_of_the_opposite_timestep(name):
    """diffusers finds the row in timesteps that descend, and the level there in sigmas that ascend."""
    scheduler = getattr(compat, f"{name}Scheduler")()
    alpha_bar = np.cumprod(1 - np.linspace(0.0001, 0.02, 1000))[[0, 499]].reshape(2, 1)
    expected = np.sqrt(alpha_bar) * X.asnumpy() + np.sqrt(1 - alpha_bar) * NOISE.asnumpy()
    added = scheduler.add_noise(X, NOISE, Tensor([999, 500])).asnumpy()
    np.testing.assert_allclose(added, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["FlowMatchEulerDiscrete", "FlowMatchLCM"])
def test_an_unknown_timestep_is_an_index_error(name):
    scheduler = getattr(compat, f"{name}Scheduler")()
    scheduler.set_timesteps(10)
    with pytest.raises(IndexError, match="'timestep' must be one of scheduler.timesteps, but is"):
        scheduler.scale_noise(X, Tensor([3.3, 5.5]), NOISE)


def test_the_inverse_scheduler_takes_the_last_level_for_an_unknown_timestep():
    scheduler = compat.DPMSolverMultistepInverseScheduler()
    scheduler.set_timesteps(10)
    added = scheduler.add_noise(X, NOISE, Tensor([3, 5])).asnumpy()
    last = scheduler.add_noise(X, NOISE, scheduler.timesteps[-1:]).asnumpy()
    np.testing.assert_array_equal(added, last)
