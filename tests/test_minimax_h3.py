"""Euler's method along the flow of MiniMax-H3: exact for data of one value, and as in diffusers."""

import mindspore as ms
import numpy as np
import pytest
import releases
from mindspore import Tensor, nn

from mindscience_diffuser import FlowMatchEulerDiscreteScheduler, MiniMaxH3Scheduler, Sampler, compat

NAME = "MiniMaxH3Scheduler"
STD = 0.4


def built(count=None, sigmas=None, **config):
    scheduler = MiniMaxH3Scheduler(**config)
    scheduler.set_timesteps(count, sigmas=sigmas)
    return scheduler


def slope(t):
    """The exact velocity E[x0 - noise | x] of data N(0, STD^2), divided by x."""
    return (t * STD**2 - (1 - t)) / ((t * STD) ** 2 + (1 - t) ** 2)


class Velocity(nn.Cell):
    def construct(self, x, t):
        return x * slope(t.reshape((-1, 1, 1)))


def test_the_levels_are_even_ones_that_were_shifted():
    for count, shift in ((1, 12.0), (7, 12.0), (7, 3.0), (40, 0.5)):
        scheduler = built(count, shift=shift)
        even = 1 - np.arange(count + 1) / count
        np.testing.assert_allclose(scheduler.sigmas, even / (even + (1 - even) / shift), atol=1e-15)
        np.testing.assert_allclose(scheduler.timesteps, 1 - scheduler.sigmas[:-1], atol=1e-7)
        assert scheduler.num_inference_steps == len(scheduler.timesteps) == count


@pytest.mark.parametrize("count", [1, 3, 10])
def test_every_step_is_exact_for_data_of_one_value(count):
    scheduler, noise, x = built(count), 0.8, 0.8
    for row, t in enumerate(scheduler.levels[0][:-1]):
        x = scheduler.plan.run(row, sample=x, output=2.0 - noise)["sample"]
        t = scheduler.levels[0][row + 1]
        assert x == pytest.approx(2.0 * t + (1 - t) * noise, abs=1e-12)


def test_converges_with_first_order_on_gaussian_data():
    errors = []
    for count in (50, 100, 200):
        scheduler, x = built(count, shift=3.0), 1.0
        for row, t in enumerate(scheduler.levels[0][:-1]):
            x = scheduler.plan.run(row, sample=x, output=slope(t) * x)["sample"]
        errors.append(abs(x - STD))
    orders = np.log2(errors[:-1]) - np.log2(errors[1:])
    assert errors[-1] < 1e-2 and np.all(np.abs(orders - 1) < 0.1), (errors, orders)


def test_steps_are_those_of_a_flow_whose_time_rises():
    ours = built(sigmas=[0.9, 0.6, 0.2])
    euler = FlowMatchEulerDiscreteScheduler(invert_sigmas=True)
    euler.set_timesteps(sigmas=[0.9, 0.6, 0.2])
    np.testing.assert_allclose(1000 * ours.timesteps, euler.timesteps, rtol=1e-6)
    for row in range(3):
        values = [s.plan.run(row, sample=0.3, output=-1.2)["sample"] for s in (ours, euler)]
        assert values[0] == pytest.approx(values[1], abs=1e-12)


def test_all_ways_to_run_agree():
    scheduler = built(6)
    x = Tensor(np.random.default_rng(0).standard_normal((2, 5, 3)), ms.float32)
    results = [Sampler(Velocity(), scheduler, method=m)(x) for m in ("step", "loop")]
    for t in scheduler.timesteps:
        x = scheduler.step(Velocity()(x, Tensor([t] * 2)), x, t)
    for result in results:
        np.testing.assert_allclose(result.asnumpy(), x.asnumpy(), atol=2e-6)


def test_the_shift_of_following_schedules_can_be_set():
    scheduler = built(5)
    scheduler.set_shift(3.0)
    assert scheduler.shift == 3.0
    scheduler.set_timesteps(5)
    np.testing.assert_array_equal(scheduler.sigmas, built(5, shift=3.0).sigmas)
    with pytest.raises(ValueError, match=r"'shift' must be in \(0, inf\)"):
        scheduler.set_shift(0.0)


def test_refuses_schedules_that_are_none():
    scheduler = MiniMaxH3Scheduler()
    with pytest.raises(TypeError, match="needs 'num_inference_steps' or 'sigmas'"):
        scheduler.set_timesteps()
    with pytest.raises(ValueError, match=r"'sigmas' must lie in \(0, 1\]"):
        scheduler.set_timesteps(sigmas=[1.0, 0.0])
    with pytest.raises(ValueError, match="'num_inference_steps' is 3, but 'sigmas' has 2"):
        scheduler.set_timesteps(3, sigmas=[1.0, 0.5])


def test_its_configuration_makes_no_scheduler_of_the_other_velocity_in_silence():
    with pytest.warns(UserWarning, match="follows another noise process"):
        FlowMatchEulerDiscreteScheduler.from_config(MiniMaxH3Scheduler().config)
    with pytest.warns(UserWarning, match="follows another noise process|does not use"):
        MiniMaxH3Scheduler.from_config(FlowMatchEulerDiscreteScheduler(shift=3.0).config)


@pytest.mark.every_case
@pytest.mark.parametrize("k", range(len(releases.CASES[NAME])))
def test_drop_in_trajectories_are_those_of_diffusers(k):
    releases.check_drop_in(NAME, k)


def test_drop_in_grids_have_as_many_points_as_diffusers():
    scheduler, x = compat.MiniMaxH3Scheduler(), Tensor(np.ones((2, 3), np.float32))
    assert scheduler.timesteps is None and scheduler.sigmas is None and scheduler.shift == 12.0
    scheduler.set_timesteps(5)
    assert len(scheduler.sigmas) == 5 and scheduler.num_inference_steps == 4
    with pytest.raises(ValueError, match="'timestep' is the integer 0"):
        scheduler.step(x, 0, x)
    noised = scheduler.scale_noise(x, Tensor([0.25, 1.0]), 3 * x).asnumpy()
    np.testing.assert_allclose(noised[:, 0], [2.5, 1.0])
    for wrong in ({}, {"num_inference_steps": 1}):
        with pytest.raises(ValueError, match="'num_inference_steps' must be at least 2"):
            scheduler.set_timesteps(**wrong)
    with pytest.raises(ValueError, match="'sigmas' must be two or more that strictly descend to 0"):
        scheduler.set_timesteps(sigmas=[1.0, 0.5])
