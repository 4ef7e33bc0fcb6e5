"""Noise is added at the level of any training timestep, whatever schedule was chosen since."""

import mindspore as ms
import numpy as np
import pytest
from all_schedulers import CHURN
from mindspore import Tensor

from mindscience_diffuser import (
    DDPMWuerstchenScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    FlowMatchHeunDiscreteScheduler,
    UniPCMultistepScheduler,
)
from mindscience_diffuser.schedulers.base.scheduler import schedulers_by_name
from mindscience_diffuser.schedulers.base.sigmas import SigmaScheduler

NAMES = [name for name, kind in schedulers_by_name().items() if issubclass(kind, SigmaScheduler)]
RNG = np.random.default_rng(0)
X, NOISE = (Tensor(RNG.standard_normal((2, 3, 4)).astype(np.float32)) for _ in range(2))


def mixed(alpha, sigma):
    alpha, sigma = (np.reshape(part, (-1, 1, 1)) for part in (alpha, sigma))
    return alpha * X.asnumpy() + sigma * NOISE.asnumpy()


@pytest.mark.parametrize("name", NAMES)
def test_training_timesteps_stay_legal_after_a_schedule(name):
    scheduler = schedulers_by_name()[name](**CHURN.get(name, {}))
    rows = np.linspace(0, len(scheduler.timesteps) - 1, 6).astype(int)
    timesteps = scheduler.timesteps[rows]
    alpha, sigma = (part[np.searchsorted(-scheduler.timesteps, -timesteps)] for part in scheduler.levels)
    if scheduler.timesteps[0] < scheduler.timesteps[-1]:
        alpha, sigma = (part[rows] for part in scheduler.levels)
    scheduler.set_timesteps(7)
    for pair in ([0, 1], [2, 3], [4, 5]):
        added = scheduler.add_noise(X, NOISE, timesteps[pair]).asnumpy()
        tolerance = 1e-5 * (1 + sigma[pair].max())
        np.testing.assert_allclose(added, mixed(alpha[pair], sigma[pair]), rtol=1e-4, atol=tolerance)


@pytest.mark.parametrize(
    "name", ["EulerDiscreteScheduler", "UniPCMultistepScheduler", "FlowMatchEulerDiscreteScheduler"]
)
def test_inside_a_graph_it_is_the_same(name):
    scheduler = schedulers_by_name()[name]()
    timesteps = Tensor(scheduler.timesteps[[37, 901]])
    scheduler.set_timesteps(7)

    @ms.jit
    def inside(x, noise, t):
        return scheduler.add_noise(x, noise, t)

    for t in (timesteps, Tensor(scheduler.timesteps[[1, 5]])):
        expected = scheduler.add_noise(X, NOISE, t).asnumpy()
        np.testing.assert_allclose(inside(X, NOISE, t).asnumpy(), expected, rtol=1e-5, atol=1e-5)


def test_a_timestep_of_the_schedule_has_the_level_of_its_row():
    scheduler = DPMSolverMultistepScheduler(use_karras_sigmas=True)  # Rounded timesteps: the levels lie between.
    scheduler.set_timesteps(6)
    alpha, sigma = (part[[2, 3]] for part in scheduler.levels)
    added = scheduler.add_noise(X, NOISE, scheduler.timesteps[[2, 3]]).asnumpy()
    np.testing.assert_allclose(added, mixed(alpha, sigma), rtol=1e-5, atol=1e-5)


def test_levels_of_a_flow_are_its_timesteps():
    for flow in (
        FlowMatchEulerDiscreteScheduler(shift=3.0),
        FlowMatchHeunDiscreteScheduler(shift=3.0),
        UniPCMultistepScheduler(use_flow_sigmas=True, flow_shift=3.0, prediction_type="flow_prediction"),
    ):
        for _ in range(2):
            sigma = np.array([0.7303, 0.002])
            added = flow.add_noise(X, NOISE, 1000 * sigma).asnumpy()
            np.testing.assert_allclose(added, mixed(1 - sigma, sigma), rtol=1e-5, atol=1e-5)
            flow.set_timesteps(1000)


@pytest.mark.parametrize("inverted", [False, True])
def test_a_graph_takes_any_timestep_of_a_flow(inverted):
    flow = FlowMatchEulerDiscreteScheduler(shift=3.0, invert_sigmas=inverted)
    flow.set_timesteps(7)

    @ms.jit
    def inside(x, noise, t):
        return flow.add_noise(x, noise, t)

    sigma = np.array([0.73033, 0.00222])
    told = Tensor(1000 * sigma, ms.float32)
    expected = mixed(sigma, 1 - sigma) if inverted else mixed(1 - sigma, sigma)  # Inverted, sigma counts the signal.
    np.testing.assert_allclose(inside(X, NOISE, told).asnumpy(), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(flow.add_noise(X, NOISE, told).asnumpy(), expected, rtol=1e-5, atol=1e-6)


def test_levels_between_training_timesteps_are_interpolated():
    scheduler = EulerDiscreteScheduler()
    expected = np.interp([10.25, 500.5], np.arange(1000), scheduler.training_sigmas)
    scheduler.set_timesteps(7)
    added = scheduler.add_noise(X, NOISE, np.array([10.25, 500.5])).asnumpy()
    np.testing.assert_allclose(added, mixed(np.ones(2), expected), rtol=1e-5, atol=1e-4)


def test_two_shifts_are_one_where_the_levels_are_given():
    for make in (FlowMatchEulerDiscreteScheduler, FlowMatchHeunDiscreteScheduler):
        scheduler = make(shift=3.0)
        scheduler.set_timesteps(sigmas=np.linspace(1, 1 / 1000, 1000))
        assert scheduler.sigmas[-2] == pytest.approx(3 / 1000 / (1 + 2 / 1000))  # Eq. (23) of arXiv:2403.03206.
        added = scheduler.add_noise(X, NOISE, scheduler.timesteps[-1]).asnumpy()
        np.testing.assert_allclose(added, mixed(1 - scheduler.sigmas[-2], scheduler.sigmas[-2]), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "make, timestep",
    [
        (EulerDiscreteScheduler, 999.5),
        (FlowMatchEulerDiscreteScheduler, 1000.5),
        (FlowMatchEulerDiscreteScheduler, -1.0),
        (DDPMWuerstchenScheduler, 1.5),
    ],
)
def test_timesteps_beyond_training_are_refused(make, timestep):
    scheduler = make()
    scheduler.set_timesteps(7)
    with pytest.raises(ValueError, match=f"'timesteps' must be in .*{timestep}"):
        scheduler.add_noise(X, NOISE, timestep)
