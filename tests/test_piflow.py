"""Segments of a flow predicted at once: their weights are the exact integral, and steps are those of diffusers."""

import mindspore as ms
import numpy as np
import pytest
import releases
from mindspore import Tensor, nn
from scipy.integrate import quad

from mindscience_diffuser import ClassifierFreeGuidance, GridPolicy, PiflowScheduler, Sampler, compat, invert

NAME = "PiflowScheduler"


def built(count, **config):
    scheduler = PiflowScheduler(**config)
    scheduler.set_timesteps(count)
    return scheduler


def sigma_at(time, shift):
    return shift * time / (1 + (shift - 1) * time)


def rolled_out(times, shift, substeps, x, clean):
    """Euler's method through a segment: `clean` are the samples x0 at the points of a grid, from the end on."""
    start, end = times
    count = max(round((start - end) * substeps), 1)
    grid = np.linspace(end, start, len(clean))
    for k in range(count):
        t, t_next = (start + (end - start) * place / count for place in (k, k + 1))
        sigma, sigma_next = sigma_at(t, shift), sigma_at(t_next, shift)
        x = x + (sigma_next - sigma) * (x - np.interp(t, grid, clean)) / sigma
    return x


@pytest.mark.parametrize("shift", [1.0, 5.0])
@pytest.mark.parametrize(("size", "substeps"), [(10, 128), (2, 128), (5, 3)])
def test_a_step_is_the_rollout_of_the_policy(shift, size, substeps):
    scheduler = built(3, shift=shift, n_grid=size, num_policy_substeps=substeps)
    times = np.append(1 - np.arange(3) / 2.5, 1e-6)
    np.testing.assert_allclose(scheduler.sigmas, sigma_at(times, shift), rtol=1e-9)
    random = np.random.default_rng(0)
    for row in range(3):
        x, velocities = random.standard_normal(), random.standard_normal(size)
        expected = rolled_out(times[row : row + 2], shift, substeps, x, x - scheduler.sigmas[row] * velocities)
        found = scheduler.plan.run(row, sample=x, output=scheduler.told[row, 1:] @ velocities)["sample"]
        assert found == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_weights_converge_to_the_integral_with_first_order():
    errors = []
    # x / sigma grows by x0 * d(1 / sigma), and 1 / sigma = 1 / (shift * t) + a constant.
    (start, end), size = (1.0, 0.6), 4
    grid = np.linspace(end, start, size)
    integrals = [quad(lambda t, k=k: np.interp(t, grid, np.eye(size)[k]) / t**2, end, start)[0] for k in range(size)]
    for substeps in (100, 200, 400):
        scheduler = built(3, n_grid=size, num_policy_substeps=substeps)
        errors.append(np.abs(scheduler.told[0, 1:] - np.array(integrals) / np.sum(integrals)).max())
    assert errors[-1] < 5e-3 and np.all(np.abs(np.log2(errors[:-1]) - np.log2(errors[1:]) - 1) < 0.05), errors


@pytest.mark.parametrize("count", [1, 2, 4])
def test_samples_of_one_value_are_reached_in_any_number_of_steps(count):
    scheduler, x = built(count), 3.0
    for row, sigma in enumerate(scheduler.sigmas[:-1]):
        x = scheduler.plan.run(row, sample=x, output=(x - 0.5) / sigma)["sample"]
    assert x == pytest.approx(0.5, abs=2e-5)
    assert np.allclose(scheduler.told[:, 1:].sum(axis=1), 1, atol=1e-6)


class Grid(nn.Cell):
    """Velocities of data of one value at 10 points of a grid, around which the points differ."""

    def construct(self, x, timestep):
        velocity = (x - 0.5) * 1000 / timestep.reshape((-1,) + (1,) * (x.ndim - 1))
        return ms.ops.cat([velocity + 0.1 * (k - 4.5) for k in range(10)], axis=-1)


def test_all_ways_to_run_agree():
    scheduler, policy = built(2), GridPolicy(Grid())
    x = Tensor(np.random.default_rng(0).standard_normal((2, 5, 3)), ms.float32)
    results = [Sampler(policy, scheduler, method=m)(x) for m in ("step", "loop")]
    for t, told in zip(scheduler.timesteps, scheduler.told):
        x = scheduler.step(policy(x, Tensor(np.tile(told, (2, 1)))), x, t)
    for result in results:
        np.testing.assert_allclose(result.asnumpy(), x.asnumpy(), atol=2e-5)


@pytest.mark.parametrize("shape", [(3, 4), (2, 2, 3, 4)])
def test_the_mean_velocity_is_that_of_each_channel(shape):
    told = np.random.default_rng(0).uniform(1, 2, (shape[0], 11)).astype(np.float32)
    x = Tensor(np.random.default_rng(1).standard_normal(shape), ms.float32)
    output = Grid()(x, Tensor(told[:, 0])).asnumpy().reshape(*shape[:-1], 10, shape[-1])
    expected = np.einsum("b...kc,bk->b...c", output, told[:, 1:])
    np.testing.assert_allclose(GridPolicy(Grid())(x, Tensor(told)).asnumpy(), expected, rtol=1e-4)


def test_refuses_models_that_predict_no_grid_and_arguments_out_of_range():
    policy, x = GridPolicy(nn.Identity()), Tensor(np.zeros((2, 3, 4), np.float32))
    with pytest.raises(TypeError, match="'model' must be an nn.Cell, but is function"):
        GridPolicy(lambda x, t: x)

    class Same(nn.Cell):
        def construct(self, x, timestep):
            return x

    for kind in (Sampler, invert):
        with pytest.raises(ValueError, match=r"'model' is Same, but each step .* give GridPolicy\(model\)"):
            kind(Same(), built(2), *([x] if kind is invert else []))
    policy = GridPolicy(Same())
    assert Sampler(ClassifierFreeGuidance(policy, 2.0, x[:1]), built(2)).scheduler.num_inference_steps == 2
    with pytest.raises(ValueError, match="must return 2 velocities"):
        policy(x, Tensor(np.ones((2, 3), np.float32)))
    for name, value in {"n_grid": 1, "eps": 0.0, "final_step_size_scale": 1.5, "num_policy_substeps": 0}.items():
        with pytest.raises(ValueError, match=f"'{name}' must be"):
            PiflowScheduler(**{name: value})
    with pytest.raises(ValueError, match="'num_inference_steps' must be"):
        PiflowScheduler().set_timesteps(0)


@pytest.mark.every_case
@pytest.mark.parametrize("k", range(len(releases.CASES[NAME])))
def test_drop_in_trajectories_are_those_of_diffusers(k):
    releases.check_drop_in(NAME, k)


def test_drop_in_steps_refuse_what_diffusers_refuses():
    scheduler, x = compat.PiflowScheduler(n_grid=2), Tensor(np.ones((1, 3, 2), np.float32))
    assert scheduler.timesteps.shape == scheduler.sigmas.shape == (0,)
    for name in ("sigmas", "mu", "timesteps"):
        with pytest.raises(ValueError, match=f"'{name}' is given"):
            scheduler.set_timesteps(2, **{name: [1.0]})
    scheduler.set_timesteps(2)
    with pytest.raises(ValueError, match="'timestep' is the integer 0"):
        scheduler.step(x, 0, x)
    with pytest.raises(ValueError, match="must return 2 velocities"):
        scheduler.step(x, scheduler.timesteps[0], x)
    wide = Tensor(np.ones((1, 3, 4), np.float32))
    half = scheduler.step(wide, scheduler.timesteps[0], x.astype(ms.float16)).prev_sample
    assert half.dtype == ms.float16 and scheduler.step_index == 1
    scheduler.step(wide, scheduler.timesteps[1], x)
    with pytest.raises(RuntimeError, match="2 steps, all taken"):
        scheduler.step(wide, scheduler.timesteps[1], x)
