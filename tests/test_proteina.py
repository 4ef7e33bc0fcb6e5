"""The sampler of protein backbones: exact steps on Gaussian data, whose temperature it lowers, and its schedule."""

import functools
import json
from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn

from mindscience_diffuser import (
    FlowMatchEulerDiscreteScheduler,
    RFD4ProteinaScheduler,
    Sampler,
    compat,
    set_noise_function,
)

GOLDEN = np.load(Path(__file__).parent / "golden" / "proteina.npz")
CONFIGS = json.loads(str(GOLDEN["configs"]))
MASK = GOLDEN["mask"]
MEAN, STD = 0.7, 0.4
QUIET = {"t_lim_ode": 0.0, "tail_steps": 0}


def built(count, start_time=None, **config):
    scheduler = RFD4ProteinaScheduler(**config)
    scheduler.set_timesteps(count, start_time=start_time)
    return scheduler


def velocity(x, t):
    """The exact velocity E[x0 - noise | x] of data N(MEAN, STD^2), of arrays and Tensors alike."""
    variance = (t * STD) ** 2 + (1 - t) ** 2
    return MEAN + (t * STD**2 - (1 - t)) / variance * (x - t * MEAN)


class Velocity(nn.Cell):
    def construct(self, x, t):
        return velocity(x, t.reshape((-1,) + (1,) * (x.ndim - 1)).astype(x.dtype))


class FrameVelocity(nn.Cell):
    def construct(self, x, t):
        return velocity(x, t.reshape(t.shape + (1,) * (x.ndim - t.ndim)).astype(x.dtype))


def moments_of(scheduler):
    """Returns mean and variance after each step of the plan, in float64, for exact velocities.

    Every value is a vector over (1, the noise of the start, the noise of each step).
    """
    plan = scheduler.plan
    one, *noises = np.eye(2 + len(plan))
    times = scheduler.levels[0]
    x = times[0] * MEAN * one + np.hypot(times[0] * STD, 1 - times[0]) * noises[0]
    found = []
    for row, t in enumerate(times[:-1]):
        variance = (t * STD) ** 2 + (1 - t) ** 2
        output = MEAN * one + (t * STD**2 - (1 - t)) / variance * (x - t * MEAN * one)
        values = {"sample": x, "output": output, **({"noise": noises[1 + row]} if plan.stochastic else {})}
        x = plan.run(row, **values)["sample"]
        found.append((x[0], np.square(x[1:]).sum()))
    return np.array(found)


def recursion(scheduler, mode, k, s, window):
    """The same by the formulas of the papers, written with the score of the rescaled marginal."""
    times = scheduler.levels[0]
    mean, variance = times[0] * MEAN, (times[0] * STD) ** 2 + (1 - times[0]) ** 2
    found = []
    for t, t_next in zip(times[:-1], times[1:]):
        snr = (t / (1 - t)) ** 2
        r = (snr * s**2 + 1) / (snr * s**2 / k + 1)
        tan = np.pi / 2 * np.sin((1 - t) * np.pi / 2) / (np.cos((1 - t) * np.pi / 2) + 0.01)
        g = {"1/t": 1 / (t + 0.01), "tan": tan}[mode] / r**2 if window[0] <= t <= window[1] else 0.0
        # The score of N(t m, V) is -(x - t m) / V; the velocity of a score s is (x + (1 - t) s) / t.
        slope = -r / ((t * STD) ** 2 + (1 - t) ** 2)
        factor = 1 + (t_next - t) * ((1 + (1 - t) * slope) / t + g * slope)
        shift = (t_next - t) * (-((1 - t) / t + g) * slope * t * MEAN)
        mean, variance = factor * mean + shift, factor**2 * variance + 2 * g * (t_next - t)
        found.append((mean, variance))
    return np.array(found)


@pytest.mark.parametrize("schedule_mode", ["log", "power"])
@pytest.mark.parametrize("noise_mode", ["1/t", "tan"])
@pytest.mark.parametrize(("k", "s"), [(1.0, 1.0), (3.0, STD), (0.5, 0.1), (10.0, 2.0)])
def test_follows_the_exact_recursion_on_gaussian_data(schedule_mode, noise_mode, k, s):
    for window in ((0.02, 0.95), (0.3, 0.6), (0.0, 1.0), (1.0, 0.0)):
        options = dict(zip(("t_lim_ode_below", "t_lim_ode"), window))
        modes = {"schedule_mode": schedule_mode, "noise_mode": noise_mode}
        scheduler = built(40, tsr_k=k, tsr_sigma=s, **modes, **options)
        expected = recursion(scheduler, noise_mode, k, s, window)
        np.testing.assert_allclose(moments_of(scheduler), expected, rtol=1e-9, err_msg=str(window))


@pytest.mark.parametrize("k", [0.5, 1.0, 4.0])
@pytest.mark.parametrize("config", [{}, {"t_lim_ode": 0.0}, {"schedule_mode": "power", "noise_mode": "tan"}])
def test_samples_vary_k_times_less_than_the_data_with_first_order(k, config):
    ends = np.array([moments_of(built(count, tsr_k=k, tsr_sigma=STD, **config))[-1] for count in (400, 800, 1600)])
    errors = np.abs(ends - (MEAN, STD**2 / k))
    assert np.all(errors[-1] < 0.02)
    assert np.all(errors[-1] < np.maximum(0.6 * errors[-2], 1e-6))


def test_without_rescaling_and_noise_it_is_euler():
    ours = built(12, **QUIET)
    euler = FlowMatchEulerDiscreteScheduler(invert_sigmas=True)
    euler.set_timesteps(sigmas=1 - ours.levels[0][:-1])
    weights, others = (s.plan.folded().states["sample"] for s in (ours, euler))
    assert weights.keys() == others.keys()
    for name, weight in weights.items():
        np.testing.assert_allclose(np.broadcast_to(weight, 12), np.broadcast_to(others[name], 12), atol=1e-15)


def test_proteinas_own_times():
    u = np.logspace(-2, 0, 31)[::-1]
    proteina = (1 - u - (1 - u).min()) / (1 - u - (1 - u).min()).max()
    np.testing.assert_allclose(built(30, tail_steps=0).levels[0], 1e-3 + 0.999 * proteina, atol=1e-12)
    power = built(30, schedule_mode="power", tail_steps=0).levels[0]
    np.testing.assert_allclose(power, np.linspace(1e-3**0.5, 1, 31) ** 2, atol=1e-12)


@pytest.mark.parametrize("mode", ["log", "power"])
def test_the_tail_divides_the_last_intervals(mode):
    whole = built(25, schedule_mode=mode, tail_steps=0).levels[0]
    finer = built(31, schedule_mode=mode, tail_steps=3, tail_step_multiplier=3).levels[0]
    np.testing.assert_allclose(finer[:23], whole[:23], atol=1e-12)
    np.testing.assert_allclose(finer[22::3], whole[22:], atol=1e-12)
    assert np.all(np.diff(finer) > 0)


@pytest.mark.parametrize("count", [1, 2, 3, 19, 20, 21])
def test_short_trajectories_have_a_shorter_tail(count):
    times = built(count).levels[0]
    assert len(times) == count + 1 and np.all(np.diff(times) > 0) and times[-1] == 1


@pytest.mark.parametrize("mode", ["log", "power"])
@pytest.mark.parametrize("start", [0.0, 1e-3, 0.05, 0.5, 0.93])
def test_partial_trajectories_begin_where_they_are_told(mode, start):
    times = built(24, start, schedule_mode=mode).levels[0]
    assert times[0] == pytest.approx(max(start, 1e-3), abs=1e-12) and times[-1] == 1 and len(times) == 25
    if start < 2e-3:
        np.testing.assert_allclose(times, built(24, schedule_mode=mode).levels[0], atol=1e-12)
    # As dense as in a whole trajectory: all of it lies on the curve of the mode.
    u = np.sqrt(times) if mode == "power" else np.log(1.01 - times)
    lengths = np.diff(u)[:4]
    np.testing.assert_allclose(lengths, lengths[0], rtol=1e-2)


def test_all_ways_to_run_agree():
    scheduler = built(22, tsr_k=2.0, tsr_sigma=STD)
    random = np.random.default_rng(0)
    x = Tensor(random.standard_normal((2, 5, 3)), ms.float32)
    fresh = Tensor(random.standard_normal((22, 2, 5, 3)), ms.float32)
    results = [Sampler(Velocity(), scheduler, method=m)(x, step_noise=fresh) for m in ("step", "loop", "unrolled")]
    eager = x
    for k, t in enumerate(scheduler.timesteps):
        eager = scheduler.step(Velocity()(eager, Tensor([t] * 2)), eager, t, noise=fresh[k])
    for result in results:
        np.testing.assert_allclose(result.asnumpy(), eager.asnumpy(), atol=2e-5)


def test_frames_of_one_level_are_an_ordinary_trajectory():
    scheduler = built(5, **QUIET)
    x = Tensor(np.random.default_rng(0).standard_normal((2, 4, 3)), ms.float32)
    matrix = np.tile(np.arange(5, -1, -1)[:, None], (1, 4))
    plain, framed = (Sampler(FrameVelocity(), scheduler, **given)(x).asnumpy() for given in ({}, {"frames": matrix}))
    np.testing.assert_allclose(framed, plain, atol=1e-5)
    assert scheduler.clean_timestep == 1


@pytest.mark.parametrize("config", [{}, {"tsr_k": 50.0, "tsr_sigma": 3.0}, {"tsr_k": 0.1, "noise_mode": "tan"}])
def test_float16_stays_finite_and_near(config):
    ends = []
    for dtype in (ms.float32, ms.float16):
        scheduler = built(30, compute_dtype=dtype, **config)
        x = Tensor(np.random.default_rng(0).standard_normal((2, 6, 3)), dtype)
        for t in scheduler.timesteps:
            output = Tensor(velocity(x.asnumpy().astype(np.float64), float(t)), dtype)
            x = scheduler.step(output, x, t, generator=1)
        ends.append(x.asnumpy().astype(np.float64))
    assert np.isfinite(ends).all()
    assert np.linalg.norm(ends[1] - ends[0]) < 0.02 * np.linalg.norm(ends[0])


def test_noise_of_any_time_can_be_added():
    scheduler = built(10)
    clean, noise = (Tensor(np.full((3, 4), value), ms.float32) for value in (1.0, 10.0))
    times = np.array([0.0, 0.25, 0.9], np.float32)
    expected = (times + (1 - times) * 10)[:, None] * np.ones((3, 4))
    add = functools.partial(scheduler.add_noise, clean, noise)
    np.testing.assert_allclose(add(Tensor(times)).asnumpy(), expected, rtol=1e-6)

    @ms.jit
    def in_graph(clean, noise, times):
        return scheduler.add_noise(clean, noise, times)

    np.testing.assert_allclose(in_graph(clean, noise, Tensor(times)).asnumpy(), expected, rtol=1e-6)
    each = Tensor(np.linspace(0, 0.9, 12).reshape(3, 4), ms.float32)
    expected = each.asnumpy() + (1 - each.asnumpy()) * 10
    for added in (add(each), in_graph(clean, noise, each)):
        np.testing.assert_allclose(added.asnumpy(), expected, rtol=1e-6)
    with pytest.raises(ValueError, match=r"'timesteps' must be in \[0, 1\]"):
        add(Tensor(times + 0.5))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("schedule_mode", "cosine"),
        ("noise_mode", "t"),
        ("tsr_k", 0.0),
        ("tsr_sigma", -1.0),
        ("tail_steps", -1),
        ("tail_step_multiplier", 1),
        ("t_lim_ode", 1.1),
        ("t_lim_ode_below", -0.1),
    ],
)
def test_refuses_arguments_out_of_range(name, value):
    with pytest.raises(ValueError, match=f"'{name}' must be"):
        RFD4ProteinaScheduler(**{name: value})


@pytest.mark.parametrize("start", [-0.1, 1.0])
def test_refuses_to_begin_outside_of_the_way(start):
    with pytest.raises(ValueError, match=r"'start_time' must be in \[0, 1\)"):
        built(10, start)


# --- as in diffusers -------------------------------------------------------------------------------------------------


def draw(seed, step):
    """The noise of scripts/make_golden_proteina.py."""
    return np.random.default_rng((seed, step + 1)).standard_normal((2, 5, 3))


def toy_velocity(x, t):
    """Its toy model."""
    return np.tanh(x) - t * x


def drop_in(config):
    scheduler = compat.RFD4ProteinaScheduler(**config["init"])
    scheduler.set_timesteps(**config["set"])
    return scheduler


@pytest.mark.parametrize("k", range(len(CONFIGS)), ids=[json.dumps(config) for config in CONFIGS])
def test_drop_in_trajectories_are_those_of_diffusers(k):
    scheduler, samples = drop_in(CONFIGS[k]), []
    np.testing.assert_allclose(scheduler.timesteps.asnumpy(), GOLDEN[f"times_{k}"], rtol=1e-6)
    x = (draw(k, -1) * MASK[..., None]).astype(np.float32)
    for step, t in enumerate(GOLDEN[f"times_{k}"]):
        with set_noise_function(lambda shape, generator, step=step: draw(k, step)):
            output = Tensor(toy_velocity(x.astype(np.float64), t), ms.float32)
            x = scheduler.step(output, scheduler.timesteps[step], Tensor(x), Tensor(MASK)).prev_sample.asnumpy()
        samples.append(x)
    chosen = np.stack([samples[0], samples[len(samples) // 2], samples[-1]])
    np.testing.assert_allclose(chosen, GOLDEN[f"samples_{k}"], atol=3e-6 * np.abs(samples).max())
    assert np.all(chosen[:, ~MASK] == 0)


def test_native_steps_are_those_of_diffusers_up_to_the_times():
    for config in CONFIGS:
        if config["set"].get("start_time") is None and config["init"]["schedule_mode"] == "power":
            native = RFD4ProteinaScheduler(**config["init"])
            native.set_timesteps(**config["set"])
            ours, theirs = native.plan.pack()[1], drop_in(config).native.plan.pack()[1]
            np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-7)


def test_drop_in_steps_are_taken_in_order():
    scheduler = drop_in(CONFIGS[1])
    x = Tensor(draw(0, 0), ms.float32)
    mask = Tensor(MASK)
    unscheduled = compat.RFD4ProteinaScheduler("log", "1/t", 1.0, 1.0)
    assert unscheduled.timesteps is None and unscheduled.step_index is None and scheduler.step_index == 0
    with pytest.raises(ValueError, match="'set_timesteps' must be called"):
        unscheduled.step(x, Tensor(0.001), x, mask)
    with pytest.raises(ValueError, match="'timestep' must be the next of"):
        scheduler.step(x, scheduler.timesteps[1], x, mask)
    for wrong in (5, [1, 2, 3], [np.random.default_rng(0)] * 2):
        with pytest.raises(ValueError, match="'generator' must be one for each of 2 rows"):
            scheduler.step(x, scheduler.timesteps[0], x, mask, generator=wrong)
    for t in scheduler.timesteps:
        (x,) = scheduler.step(x, t, x, mask, generator=[3, 4], return_dict=False)
    assert scheduler.step_index == len(scheduler.timesteps)
    with pytest.raises(ValueError, match="9 steps, all taken"):
        scheduler.step(x, t, x, mask)
    with pytest.raises(ValueError, match=r"'num_inference_steps' must be at least .*, 20, but is 19"):
        compat.RFD4ProteinaScheduler("log", "1/t", 1.0, 1.0).set_timesteps(19)
    with pytest.raises(ValueError, match=r"'timesteps' must be a time in \[0, 1\)"):
        scheduler.add_noise(x, x, 1.0)


def test_the_noise_of_a_row_does_not_depend_on_the_batch():
    start = Tensor(draw(0, 0), ms.float32)
    ends = []
    for rows in ([0, 1], [1]):
        scheduler, x = drop_in(CONFIGS[1]), start[rows[0] :]
        for t in scheduler.timesteps:
            x = scheduler.step(0.3 * x, t, x, Tensor(np.ones((len(rows), 5), bool)), [10 + row for row in rows])[0]
        ends.append(x.asnumpy()[-1])
    np.testing.assert_allclose(*ends, atol=1e-6)
