"""The noise of samples leads back to them: where the inverse is known, and by what the host makes of the noise."""

import functools

import mindspore as ms
import numpy as np
import pytest
from all_schedulers import CHURN, CLASSES, each
from compiler import api
from exact_models import MixtureModel, mixture, mixture_of, scheduled
from mindspore import Tensor, nn

import mindscience_diffuser as md
from mindscience_diffuser import Sampler, invert
from mindscience_diffuser.sampling.ode.probability_flow import probability_flow

SIZE = 6
FREE = {"clip_sample": False}
SCHEDULERS = {
    "ddim": ("DDIMScheduler", "epsilon", {**FREE, "beta_schedule": "linear", "timestep_spacing": "linspace"}),
    "UniPC": ("UniPCMultistepScheduler", "epsilon", {}),
    "flow": ("FlowMatchEulerDiscreteScheduler", "flow_prediction", {}),
}
"""Schedulers, what their model predicts in the words of the mixture, and options."""


@pytest.fixture(scope="module")
def model():
    return MixtureModel(mixture_of(SIZE, 0.4), scheduled("FlowMatchEulerDiscreteScheduler", 4))


@functools.cache
def made(label):
    return scheduled(SCHEDULERS[label][0], 4, **SCHEDULERS[label][2])


def chosen(label, steps):
    """Returns the one scheduler of a label, and so one graph, with its steps chosen; and what its model predicts."""
    made(label).set_timesteps(steps)
    return made(label), SCHEDULERS[label][1]


def samples(data, count=4):
    return data.draw(np.random.default_rng(1), count).astype(np.float32)


def steps_before_the_last(scheduler):
    """Returns the plan without its last step, which leads to sigma = 0, and alpha where it ends."""
    plan = scheduler.plan_for()
    rows = (len(plan) - 1) // scheduler.order * scheduler.order
    return plan.take(np.arange(rows)), plan.level[0][rows]


def reached_on_the_host(scheduler, data, prediction, noise):
    """Returns what the steps make of noise in float64, as samples of the data."""
    plan, alpha = steps_before_the_last(scheduler)
    first = tuple(level[0] for level in plan.level)
    return mixture.follow(plan, first, data, prediction, noise.astype(np.float64)) / alpha


@pytest.mark.every_case
@pytest.mark.parametrize("label", SCHEDULERS)
def test_the_steps_lead_from_the_noise_back_to_the_sample(label, model):
    data, (scheduler, prediction) = mixture_of(SIZE, 0.4), chosen(label, 25)
    x = samples(data)
    inverted = invert(model.of(data, scheduler), scheduler, Tensor(x))
    reached = reached_on_the_host(scheduler, data, prediction, inverted.noise.asnumpy())
    assert inverted.error.max() < 1e-4
    np.testing.assert_allclose(reached, x, atol=1.5e-4)
    assert inverted.noise.dtype == ms.float32


@pytest.mark.parametrize("name", CLASSES)
def test_steps_of_first_order_are_those_that_the_fixed_point_inverts(name):
    rng = np.random.default_rng(0)
    for scheduler, message in each(name, (5,), **CHURN.get(name, {})):
        plan = scheduler.plan_for()
        if plan.stochastic or len(plan.states) > 1 or scheduler.inverts or plan.limit is not None:
            continue
        flow = probability_flow(plan)
        for row in range(len(plan) - 1):
            level = len(plan) - 1 - row
            x, output = rng.standard_normal((2, 3, 4))
            z = x / flow.lengths[level]
            velocity = flow.of_sample[level] * z + flow.of_output[level] * output
            turn = flow.angles[level] - flow.angles[level - 1]
            expected = (np.cos(turn) * z - np.sin(turn) * velocity) * flow.lengths[level - 1]
            found = plan.run(row, sample=x, output=output)["sample"]
            np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-7, err_msg=message)


def test_the_inverse_of_linear_steps_is_exact(model):
    data = mixture_of(SIZE, 0.0, (0.7, 0.7))
    scheduler, prediction = chosen("ddim", 20)
    x = samples(data)
    # Of one Gaussian the steps are affine: their inverse follows from two trajectories.
    ends = np.stack([np.zeros(SIZE), np.ones(SIZE)])
    zero, one = reached_on_the_host(scheduler, data, prediction, ends)
    exact = (x - zero) / (one - zero)
    found = invert(model.of(data, scheduler), scheduler, Tensor(x)).noise.asnumpy()
    np.testing.assert_allclose(found, exact, atol=2e-4)


def test_the_error_tells_how_far_the_trajectory_ends_from_the_sample(model):
    data, (scheduler, prediction) = mixture_of(SIZE, 0.4), chosen("ddim", 8)
    x, errors = samples(data), []
    for iterations, corrections in ((1, 0), (4, 0), (4, 2)):
        of_data = model.of(data, scheduler)
        inverted = invert(of_data, scheduler, Tensor(x), iterations=iterations, corrections=corrections)
        reached = reached_on_the_host(scheduler, data, prediction, inverted.noise.asnumpy())
        np.testing.assert_allclose(inverted.error, np.abs(reached - x).max(axis=1), rtol=1e-2, atol=2e-6)
        errors.append(inverted.error.max())
    assert errors[0] > 4 * errors[1] > 16 * errors[2]


def test_another_schedule_is_seen_in_the_same_graph(model, monkeypatch):
    data, (scheduler, prediction) = mixture_of(SIZE, 0.4), chosen("flow", 10)
    x = samples(data)
    invert(model.of(data, scheduler), scheduler, Tensor(x))
    scheduler.set_timesteps(16)
    monkeypatch.setattr(api, "_check_recompile", refuse)
    inverted = invert(model.of(data, scheduler), scheduler, Tensor(x))
    reached = reached_on_the_host(scheduler, data, prediction, inverted.noise.asnumpy())
    np.testing.assert_allclose(reached, x, atol=1e-4)


class Smooth(nn.Cell):
    """A velocity that is not linear in the sample, with a condition."""

    def __init__(self):
        super().__init__()
        self.mix = Tensor(np.random.default_rng(0).standard_normal((3, 3)) / 2, ms.float32)

    def construct(self, x, timestep, condition):
        return ms.ops.tanh(ms.ops.matmul(x, self.mix) + condition) + 0.5 * ms.ops.sin(x)


def test_a_sampler_draws_the_sample_from_its_noise_in_graph_mode_too():
    before = ms.get_context("mode")
    ms.set_context(mode=ms.GRAPH_MODE)
    try:
        scheduler = scheduled("FlowMatchEulerDiscreteScheduler", 12)
        x, condition = (Tensor(part, ms.float32) for part in np.random.default_rng(2).standard_normal((2, 5, 3)))
        inverted = invert(Smooth(), scheduler, x, condition)
        sampler = Sampler(Smooth(), scheduler)
        sampler.select_steps(stop=11)
        drawn = sampler(inverted.noise, condition).asnumpy() / scheduler.plan_for().level[0][-1]
        np.testing.assert_allclose(drawn, x.asnumpy(), atol=1e-4)
        assert inverted.error.max() < 1e-4
    finally:
        ms.set_context(mode=before)


class Same(nn.Cell):
    def construct(self, x, timestep):
        return x


def refuse(*arguments):
    raise AssertionError("A graph was compiled.")


X = Tensor(np.zeros((4, 3)), ms.float32)
REFUSED = {
    "noise": (("EulerAncestralDiscreteScheduler", {}), 4, {}, ValueError, "steps draw noise: there is no inversion"),
    "clipped": (("DDIMScheduler", {}), 4, {}, ValueError, "limits the predicted clean sample .*without clip_sample"),
    "inverse": (("DDIMInverseScheduler", FREE), 4, {}, ValueError, "lead from data to noise"),
    "one step": (("DDIMScheduler", FREE), 1, {}, ValueError, "one step, to sigma = 0, which forgets the noise"),
    "iterations": (("DDIMScheduler", FREE), 4, {"iterations": 0}, ValueError, "'iterations' must be at least 1"),
    "corrections": (("DDIMScheduler", FREE), 4, {"corrections": -1}, ValueError, "'corrections' must be at least 0"),
    "number": (("DDIMScheduler", FREE), 4, {"corrections": 1.5}, TypeError, "'corrections' must be an integer"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_mistakes_are_told_before_anything_compiles(case, monkeypatch):
    (name, options), steps, chosen, error, message = REFUSED[case]
    scheduler = scheduled(name, steps, **options)
    monkeypatch.setattr(api, "_check_recompile", refuse)
    with pytest.raises(error, match=message):
        invert(Same(), scheduler, X, **chosen)


def test_steps_without_levels_of_their_own_are_refused():
    scheduler = md.PyramidFlowMatchEulerDiscreteScheduler()
    scheduler.set_timesteps(4, 0)
    for asked in (invert, md.log_likelihood):
        with pytest.raises(ValueError, match="whose steps have no noise levels of their own"):
            asked(Same(), scheduler, X)


class AverageVelocity(nn.Cell):
    """The flow map of N(0, 0.25): x_r = x_t * scale(r) / scale(t), told both ends of the step."""

    def construct(self, x, timesteps):
        t, r = ms.ops.split(timesteps / 1000, 1, axis=1)
        return (x - x * self.deviation(r) / self.deviation(t)) / (t - r)

    def deviation(self, t):
        return ms.ops.sqrt(0.25 * (1 - t) * (1 - t) + t * t)


def test_the_noise_of_a_flow_map_is_exact_in_few_steps():
    scheduler = scheduled("FlowMapEulerDiscreteScheduler", 4)
    x = np.random.default_rng(0).standard_normal((3, 5)).astype(np.float32) / 2
    found = invert(AverageVelocity(), scheduler, Tensor(x), corrections=10)
    alpha, sigma = (level[-2] for level in scheduler.levels)
    exact = alpha * x / np.sqrt(0.25 * alpha**2 + sigma**2)
    np.testing.assert_allclose(found.noise.asnumpy(), exact, atol=1e-4)
    assert found.error.max() < 1e-4


def test_a_trajectory_that_ends_at_some_noise_is_inverted_as_a_whole(model):
    data, scheduler = mixture_of(SIZE, 0.4), scheduled("EDMEulerScheduler", 12, final_sigmas_type="sigma_min")
    x = samples(data)
    inverted = invert(model.of(data, scheduler), scheduler, Tensor(x), corrections=8)
    plan = scheduler.plan_for()
    first = tuple(level[0] for level in plan.level)
    reached = mixture.follow(plan, first, data, "edm", inverted.noise.asnumpy().astype(np.float64))
    np.testing.assert_allclose(reached, x, atol=1e-4)
