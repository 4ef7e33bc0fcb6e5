"""The scheduler of flow maps: jumps that are exact on Gaussian data, both ends told to the model, diffusers' calls."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn

from mindscience_diffuser import (
    ClassifierFreeGuidance,
    FlowMapEulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    FrameSchedule,
    Sampler,
    compat,
)
from mindscience_diffuser.export import export_mindir, load_mindir

STD = 0.5
X = np.random.default_rng(0).standard_normal((3, 4, 2)).astype(np.float32)


def spread(t):
    """Standard deviation of x_t of data N(0, STD^2), of arrays and Tensors alike."""
    return ((STD * (1 - t)) ** 2 + t * t) ** 0.5


def mean_velocity(x, t, r):
    """The exact u of the flow map x_r = x_t * s_r / s_t; no jump may be empty."""
    return x * (1 - spread(r) / spread(t)) / (t - r)


class MeanVelocity(nn.Cell):
    def construct(self, x, timestep):
        levels = (timestep / 1000).astype(x.dtype)
        shape = (-1,) + (1,) * (x.ndim - 1)
        return mean_velocity(x, levels[:, 0].reshape(shape), levels[:, 1].reshape(shape))


class Conditional(nn.Cell):
    """The condition times what the model is told, in the shape of a mean velocity."""

    def construct(self, x, timestep, condition):
        return 0 * x + condition * timestep[:, 1].reshape((-1, 1, 1)) / 1000


def scheduled(count, **config):
    scheduler = FlowMapEulerDiscreteScheduler(**config)
    scheduler.set_timesteps(count)
    return scheduler


@pytest.fixture(scope="module")
def samplers():
    scheduler = scheduled(1, shift=3.0)
    return scheduler, [Sampler(MeanVelocity(), scheduler, method) for method in ("step", "loop", "unrolled")]


@pytest.mark.parametrize("count", [1, 2, 7])
def test_any_number_of_calls_is_exact_on_gaussian_data(samplers, count):
    scheduler, ways = samplers
    scheduler.set_timesteps(count)
    for sampler in ways:
        np.testing.assert_allclose(sampler(Tensor(X)).asnumpy(), STD * X, atol=1e-6)


def test_jumps_lead_where_they_are_told(samplers):
    scheduler, (sampler, *_) = samplers
    scheduler.set_timesteps(timesteps=[1000.0, 640.0, 320.5, 10.0])
    np.testing.assert_array_equal(scheduler.told, [[1000, 640], [640, 320.5], [320.5, 10], [10, 0]])
    np.testing.assert_array_equal(scheduler.plan.timesteps, scheduler.told)
    np.testing.assert_allclose(sampler(Tensor(X)).asnumpy(), STD * X, atol=1e-6)


def test_each_sample_may_jump_from_a_level_of_its_own():
    scheduler = scheduled(4)
    t = scheduler.sigmas[[0, 2, 3]].reshape(-1, 1, 1)
    r = scheduler.sigmas[[1, 3, 4]].reshape(-1, 1, 1)
    x = X * spread(t)
    result = scheduler.step(
        Tensor(mean_velocity(x, t, r), ms.float32), Tensor(x, ms.float32), Tensor(scheduler.timesteps[[0, 2, 3]])
    )
    np.testing.assert_allclose(result.asnumpy(), X * spread(r), atol=1e-6)


def test_levels_are_even_and_shifted_once():
    np.testing.assert_allclose(scheduled(4).sigmas, [1, 0.75, 0.5, 0.25, 0])
    even = np.array([1, 0.75, 0.5, 0.25])
    np.testing.assert_allclose(scheduled(4, shift=5.0).sigmas[:-1], 5 * even / (1 + 4 * even))


def test_float16_stays_near():
    sampler = Sampler(MeanVelocity(), scheduled(5, compute_dtype=ms.float16))
    result = sampler(Tensor(X, ms.float16))
    assert result.dtype == ms.float16
    np.testing.assert_allclose(result.asnumpy(), STD * X, atol=4e-3)


def test_exported_trajectory_tells_both_ends(tmp_path):
    sampler = Sampler(MeanVelocity(), scheduled(3))
    path = export_mindir(sampler, tmp_path / "sampler.mindir", Tensor(X))
    result = load_mindir(path, plan=sampler.plan)(noise=Tensor(X[:2]))
    np.testing.assert_allclose(result.asnumpy(), STD * X[:2], atol=1e-6)


@pytest.mark.parametrize(("interval", "factors"), [(None, (2, 2)), ((400.0, 1000.0), (2, 1)), ((0.0, 600.0), (1, 2))])
def test_a_jump_is_guided_where_both_its_ends_are_in_the_interval(interval, factors):
    guided = ClassifierFreeGuidance(Conditional(), 2.0, Tensor(np.zeros((1, 1), np.float32)), interval=interval)
    scheduler = FlowMapEulerDiscreteScheduler()
    scheduler.set_timesteps(timesteps=[1000.0, 500.0, 250.0])
    result = Sampler(guided, scheduler)(Tensor(X), Tensor(np.ones((3, 1, 1), np.float32)))
    expected = X - 0.5 * 0.5 * factors[0] - 0.25 * 0.25 * factors[1]
    np.testing.assert_allclose(result.asnumpy(), expected, atol=1e-6)


class PerFrame(nn.Cell):
    def construct(self, x, timestep, condition):
        return 0 * x + condition * timestep.expand_dims(-1) / 1000


def test_frames_at_levels_of_their_own_are_guided():
    scheduler = FlowMatchEulerDiscreteScheduler()
    scheduler.set_timesteps(sigmas=[1.0, 0.5])
    guided = ClassifierFreeGuidance(PerFrame(), 2.0, Tensor(np.zeros((1, 1), np.float32)))
    result = Sampler(guided, scheduler, frames=FrameSchedule(4, "autoregressive"))(
        Tensor(X), Tensor(np.ones((3, 1, 1), np.float32))
    )
    np.testing.assert_allclose(result.asnumpy(), X - 2 * (0.5 * 1 + 0.5 * 0.5), atol=1e-6)


def test_frames_are_refused_where_the_model_is_told_both_ends():
    with pytest.raises(ValueError, match="'frames' has levels for each frame, but the model is told both ends"):
        Sampler(MeanVelocity(), scheduled(4), frames=FrameSchedule(4, "pyramid"))


# --- as in diffusers -------------------------------------------------------------------------------------------------


def drop_in(count=4, **config):
    scheduler = compat.FlowMapEulerDiscreteScheduler(**config)
    scheduler.set_timesteps(count)
    return scheduler


def test_drop_in_steps_lead_between_any_two_timesteps():
    scheduler, u = drop_in(shift=3.0), Tensor(np.flip(X).copy())
    for t, r, sigma_t, sigma_r in [
        (scheduler.timesteps[1], scheduler.timesteps[3], *scheduler.sigmas.asnumpy()[[1, 3]]),
        (700.0, 123.4, 0.7, 0.1234),
        (scheduler.timesteps[0], 0.0, 1.0, 0.0),
        (scheduler.timesteps[3], None, scheduler.sigmas.asnumpy()[3], 0.0),
        (Tensor([800.0, 700.0, 600.0]), 50.0, np.reshape([0.8, 0.7, 0.6], (3, 1, 1)), 0.05),
    ]:
        for _ in range(2):  # Wherever the trajectory is.
            result = scheduler.step(u, t, Tensor(X), r_timestep=r).prev_sample.asnumpy()
            np.testing.assert_allclose(result, X - (sigma_t - sigma_r) * u.asnumpy(), atol=1e-6)
    assert scheduler.step_index == 11


def test_drop_in_steps_to_the_next_timestep_are_those_of_the_schedule():
    for config in ({}, {"shift": 5.0}):
        scheduler, native = drop_in(3, **config), scheduled(3, **config)
        x = y = Tensor(X)
        for t, s in zip(scheduler.timesteps, native.timesteps):
            x, y = scheduler.step(0.3 * x, t, x).prev_sample, native.step(0.3 * y, y, s)
        np.testing.assert_allclose(x.asnumpy(), y.asnumpy(), atol=1e-6)


def test_drop_in_timesteps_are_shifted_too():
    scheduler = compat.FlowMapEulerDiscreteScheduler(shift=3.0)
    scheduler.set_timesteps(timesteps=[1000.0, 500.0])
    np.testing.assert_allclose(scheduler.timesteps.asnumpy(), [1000, 750])
    assert scheduler.index_for_timestep(750.0) == 1 and scheduler.index_for_timestep(500.0) is None


def test_drop_in_step_off_the_schedule_needs_its_end():
    with pytest.raises(ValueError, match="'r_timestep' is needed"):
        drop_in().step(Tensor(X), 123.0, Tensor(X))
