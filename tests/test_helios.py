"""Helios: UniPC and Euler's method within stages, exact on straight lines, of their order, and as in diffusers."""

import mindspore as ms
import numpy as np
import pytest
import releases
from mindspore import Tensor, nn

from mindscience_diffuser import HeliosScheduler, PyramidSampler, block_noise, compat
from mindscience_diffuser.noise import renoising_by_end

NAME = "HeliosScheduler"
CASES = releases.CASES[NAME]


def built(count, stage=0, mu=None, **config):
    scheduler = HeliosScheduler(**config)
    scheduler.set_timesteps(count, stage, mu)
    return scheduler


def run(plan, x, velocity, sigmas):
    """Runs a plan on the host, in float64, for velocities that are a function of the sample and the level."""
    states = dict.fromkeys(plan.states, 0.0)
    states["sample"] = x
    for row in range(len(plan)):
        values = plan.run(row, **states, output=velocity(states["sample"], sigmas[row]))
        states = {name: values[name] for name in states}
    return float(np.squeeze(states["sample"]))


@pytest.mark.parametrize("config", [{}, {"solver_order": 3}, {"solver_type": "bh1"}, {"scheduler_type": "euler"}])
def test_a_straight_line_is_followed_exactly(config):
    for count, stage in ((1, 0), (4, 1), (9, 2)):
        scheduler = built(count, stage, **config)
        end = run(scheduler.plan, -0.7 + 1.9 * scheduler.sigmas[0], lambda x, s: 1.9, scheduler.sigmas)
        assert end == pytest.approx(-0.7, abs=1e-7)


@pytest.mark.parametrize(("scheduler_type", "order"), [("euler", 1), ("unipc", 2)])
def test_converges_with_its_order(scheduler_type, order):
    # The start is N(0, 1), the end N(1, 0.5^2), and the velocity the exact one between them.
    def velocity(x, s):
        variance = s**2 + (0.5 * (1 - s)) ** 2
        return -1 + (s - 0.25 * (1 - s)) / variance * (x - (1 - s))

    def exact(x, s):
        return 1 + 0.5 * (x - (1 - s)) / np.hypot(s, 0.5 * (1 - s))

    errors = []
    for count in (40, 80, 160):
        scheduler = built(count, scheduler_type=scheduler_type)
        end = run(scheduler.plan, 0.8, velocity, scheduler.sigmas)
        errors.append(abs(end - exact(0.8, scheduler.sigmas[0])))
    orders = np.log2(errors[:-1]) - np.log2(errors[1:])
    assert errors[-1] < {1: 0.01, 2: 3e-4}[order]
    assert np.all(orders > order - 0.2), (errors, orders)


class Velocity(nn.Cell):
    def construct(self, x, timestep):
        return 0.5 * x + 0.001 * timestep.reshape((-1,) + (1,) * (x.ndim - 1))


def test_all_stages_run_in_a_pyramid_sampler():
    scheduler = HeliosScheduler(stages=2, stage_range=(0, 0.5, 1))
    noise = np.random.default_rng(0).standard_normal((2, 1, 2, 4)).astype(np.float32)
    fresh = block_noise((2, 1, 4, 8), generator=np.random.default_rng(1))
    sampler = PyramidSampler(Velocity(), scheduler, (2, 3))
    found = sampler(Tensor(noise), renoise=[Tensor(fresh)]).asnumpy()
    assert len(sampler.plan) == 5
    x = Tensor(noise)
    for stage, count in enumerate((2, 3)):
        scheduler.set_timesteps(count, stage)
        if stage > 0:
            _, scale, weight = renoising_by_end(1 - scheduler.ori_start_sigmas[stage], scheduler.gamma)
            x = Tensor(np.float32(scale) * x.asnumpy().repeat(2, -1).repeat(2, -2) + np.float32(weight) * fresh)
        for t in scheduler.timesteps:
            x = scheduler.step(Velocity()(x, Tensor([t] * 2)), x, t)
    np.testing.assert_allclose(found, x.asnumpy(), atol=2e-5)


def test_refuses_arguments_out_of_range():
    for name, value in {"solver_type": "bh3", "scheduler_type": "dmd", "solver_order": 0}.items():
        with pytest.raises(ValueError, match=f"'{name}' must be"):
            HeliosScheduler(**{name: value})
    with pytest.raises(ValueError, match="'num_train_timesteps' must be"):
        HeliosScheduler(num_train_timesteps=1, stages=1, stage_range=(0, 1))


@pytest.mark.every_case
@pytest.mark.parametrize("k", range(len(CASES)))
def test_drop_in_trajectories_are_those_of_diffusers(k):
    releases.check_drop_in(NAME, k)


def test_drop_in_parts_of_a_step_add_up_to_it():
    scheduler = compat.HeliosScheduler()
    scheduler.set_timesteps(5, stage_index=0)
    random = np.random.default_rng(0)
    outputs = [Tensor(random.standard_normal((1, 2, 1, 2, 2)), ms.float32) for _ in range(3)]
    x, last = Tensor(random.standard_normal((1, 2, 1, 2, 2)), ms.float32), None
    for output in outputs[:2]:
        last, x = x, scheduler.step(output, None, x).prev_sample
    assert scheduler.step_index == 2 and scheduler.lower_order_nums == 2
    converted = scheduler.convert_model_output(outputs[2], sample=x)
    np.testing.assert_allclose(converted, x - float(scheduler.sigmas[2]) * outputs[2], atol=1e-6)
    predicted = scheduler.step(outputs[2], None, x).prev_sample
    assert scheduler.model_outputs[-1].shape == x.shape and np.isfinite(predicted.asnumpy()).all() and last is not None
    euler = scheduler.step_euler(outputs[0], None, x, sigma=0.5, sigma_next=0.25).prev_sample
    np.testing.assert_allclose(euler, x - 0.25 * outputs[0], atol=1e-6)
    with pytest.raises(ValueError, match="must both be given"):
        scheduler.step_euler(outputs[0], None, x, sigma=0.5)
    with pytest.raises(ValueError, match="'cus_step_index' cannot be given"):
        scheduler.step_unipc(outputs[0], None, x, cus_step_index=3)
    with pytest.raises(ValueError, match="Steps need predict_x0=True"):
        compat.HeliosScheduler(predict_x0=False).step(outputs[0], None, x)
