"""Ancestral steps along a flow: exact for data of one value, of first order for others, and as in diffusers."""

import mindspore as ms
import numpy as np
import pytest
import releases
from mindspore import Tensor, nn

from mindscience_diffuser import FlowMatchEulerDiscreteScheduler, LTXEulerAncestralRFScheduler, Sampler, compat

NAME = "LTXEulerAncestralRFScheduler"
MEAN, STD = 0.7, 0.4


def built(count=None, sigmas=None, **config):
    scheduler = LTXEulerAncestralRFScheduler(**config)
    scheduler.set_timesteps(count, sigmas=sigmas)
    return scheduler


def velocity(x, sigma, std=STD):
    """The exact velocity E[noise - x0 | x] of data N(MEAN, std^2)."""
    variance = ((1 - sigma) * std) ** 2 + sigma**2
    return -MEAN + (sigma - (1 - sigma) * std**2) / variance * (x - (1 - sigma) * MEAN)


class Velocity(nn.Cell):
    def construct(self, x, t):
        return velocity(x, t.reshape((-1, 1, 1)) / 1000)


def moments(scheduler, std=STD):
    """Returns mean and standard deviation after each step of the plan, in float64, for exact velocities.

    Every value is a vector over (1, the noise of the start, the noise of each step).
    """
    one, *noises = np.eye(2 + len(scheduler.plan))
    sigmas = scheduler.sigmas
    x = (1 - sigmas[0]) * MEAN * one + np.hypot((1 - sigmas[0]) * std, sigmas[0]) * noises[0]
    found = []
    for row, sigma in enumerate(sigmas[:-1]):
        slope = velocity(1.0, sigma, std) - velocity(0.0, sigma, std)
        fresh = {"noise": noises[1 + row]} if scheduler.plan.stochastic else {}
        output = velocity(0.0, sigma, std) * one + slope * x
        x = scheduler.plan.run(row, sample=x, output=output, **fresh)["sample"]
        found.append((x[0], np.linalg.norm(x[1:])))
    return np.array(found)


@pytest.mark.parametrize("eta", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("config", [{}, {"shift": 5.0}, {"use_karras_sigmas": True}, {"shift_terminal": 0.2}])
def test_every_step_keeps_the_law_of_data_of_one_value(eta, config):
    for scheduler in (built(8, eta=eta, **config), built(sigmas=[0.8, 0.5, 0.1], eta=eta, **config)):
        expected = np.stack([(1 - scheduler.sigmas[1:]) * MEAN, scheduler.sigmas[1:]], axis=1)
        np.testing.assert_allclose(moments(scheduler, std=0.0), expected, atol=1e-12)


@pytest.mark.parametrize("eta", [0.5, 1.0])
def test_converges_to_the_law_of_the_data_with_first_order(eta):
    errors = [np.abs(moments(built(count, eta=eta))[-1] - (MEAN, STD)).max() for count in (50, 100, 200)]
    orders = np.log2(errors[:-1]) - np.log2(errors[1:])
    assert errors[-1] < 1e-2
    assert np.all(np.abs(orders - 1) < 0.15), orders


def test_without_new_noise_the_sample_is_scaled_all_the_same():
    quiet, noisy = built(6, s_noise=0.0), built(6, s_noise=0.5)
    assert not quiet.plan.stochastic and noisy.plan.stochastic
    np.testing.assert_allclose(*(moments(scheduler)[:, 0] for scheduler in (quiet, noisy)), atol=1e-12)
    full, half = (built(6, s_noise=s).plan.folded().states["sample"]["noise"] for s in (1.0, 0.5))
    np.testing.assert_allclose(half, full / 2, atol=1e-12)


def test_with_eta_0_it_is_euler():
    config = {"shift": 3.0, "use_beta_sigmas": True}
    euler = FlowMatchEulerDiscreteScheduler(**config)
    euler.set_timesteps(9)
    np.testing.assert_allclose(moments(built(9, eta=0.0, **config)), moments(euler), atol=1e-12)


def test_all_ways_to_run_agree():
    scheduler, random = built(5), np.random.default_rng(0)
    x, fresh = (Tensor(random.standard_normal(shape), ms.float32) for shape in ((2, 5, 3), (5, 2, 5, 3)))
    results = [Sampler(Velocity(), scheduler, method=m)(x, step_noise=fresh) for m in ("step", "loop")]
    eager = x
    for k, t in enumerate(scheduler.timesteps):
        eager = scheduler.step(Velocity()(eager, Tensor([t] * 2)), eager, t, noise=fresh[k])
    for result in results:
        np.testing.assert_allclose(result.asnumpy(), eager.asnumpy(), atol=2e-5)


@pytest.mark.parametrize(("name", "value"), [("eta", -0.1), ("eta", 1.1), ("s_noise", -1.0), ("shift", 0.0)])
def test_refuses_arguments_out_of_range(name, value):
    with pytest.raises(ValueError, match=f"'{name}' must be"):
        LTXEulerAncestralRFScheduler(**{name: value})


@pytest.mark.every_case
@pytest.mark.parametrize("k", range(len(releases.CASES[NAME])))
def test_drop_in_trajectories_are_those_of_diffusers(k):
    releases.check_drop_in(NAME, k)


def test_drop_in_steps_stop_at_the_end_of_given_levels():
    scheduler, x = compat.LTXEulerAncestralRFScheduler(), Tensor(np.ones((1, 2, 3), np.float32))
    assert scheduler.timesteps is None and scheduler.sigmas is None
    with pytest.raises(ValueError, match="'set_timesteps' must be called"):
        scheduler.step(x, Tensor(1000.0), x)
    scheduler.set_timesteps(sigmas=[1.0, 0.5, 0.0])
    assert len(scheduler.timesteps) == 3 and scheduler.num_inference_steps == 2
    with pytest.raises(ValueError, match="'timestep' is the integer 1"):
        scheduler.step(x, 1, x)
    for t in scheduler.timesteps:
        before, x = x, scheduler.step(0.5 * x, t, x, generator=3).prev_sample
    assert x is before and scheduler.step_index == 2
    with pytest.raises(AttributeError, match="'sigmas' of LTXEulerAncestralRFScheduler cannot be set"):
        scheduler.sigmas = scheduler.sigmas
