"""Twisted particles: algorithm 1 of Wu et al., 2023 (arXiv:2306.17775), and the exact posterior that they tend to."""

import importlib.util
import sys
from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn, ops

import mindscience_diffuser as md
from mindscience_diffuser.export import export_mindir, load_mindir
from mindscience_diffuser.readiness import ascend_problems
from mindscience_diffuser.sampling.twisted import twisting_weights

BENCH = Path(__file__).parents[1] / "scripts" / "bench" / "posterior_mixture.py"
spec = importlib.util.spec_from_file_location(BENCH.stem, BENCH)
bench = importlib.util.module_from_spec(spec)
sys.modules[BENCH.stem] = bench
spec.loader.exec_module(bench)

RNG = np.random.default_rng(0)
SHAPE, ROWS, PARTICLES = (1, 4), 3, 5
PRIOR_STD, THRESHOLD = 0.8, 0.6
NOISE_STDS = np.float32([0.2, 0.4, 0.9])


def scheduled(name="DPMSolverMultistepScheduler", steps=6, **options):
    if name == "DPMSolverMultistepScheduler":
        options = {"algorithm_type": "sde-dpmsolver++", "use_karras_sigmas": True, **options}
    scheduler = getattr(md, name)(**options)
    scheduler.set_timesteps(steps)
    return scheduler


class Shrinking(nn.Cell):
    """A model that no prior belongs to: what particles tend to is nothing that the guidance knows."""

    def construct(self, x, timestep, *conditions):
        return shrunk(x)


def shrunk(x):
    return 0.9 * x - 0.1 * x * x * x / (1 + x * x)


def random(*shape, dtype=np.float32):
    return Tensor(RNG.standard_normal(shape).astype(dtype))


def twisted(noise_std):
    """Particles of a guidance that is exact after two iterations, which keeps its graph small."""
    measure = md.Mask([1, 0, 1, 1])
    guidance = md.PosteriorGuidance(Shrinking(), scheduled(), measure, noise_std, prior_std=PRIOR_STD, iterations=2)
    return md.TwistedSampler(guidance, PARTICLES, threshold=THRESHOLD)


@pytest.fixture(scope="module")
def sampler():
    """A sampler with another noise in each row of measurements."""
    return twisted(Tensor(NOISE_STDS.reshape(-1, 1, 1)))


@pytest.fixture(scope="module")
def given(sampler):
    """Noise, measurements with a missing value, fresh noise."""
    y = RNG.standard_normal((ROWS, *SHAPE)).astype(np.float32)
    y[1, 0, 2] = np.nan
    noise = random(ROWS * PARTICLES, *SHAPE)
    return noise, Tensor(y), random(len(sampler.plan), ROWS * PARTICLES, *SHAPE)


def particles_in_numpy(plan, noise, y, noise_std, step_noise, uniform):
    """Algorithm 1 in float64 for one row: twisting by a Gaussian prior and a mask, steps of any plan."""
    seen = np.array([1, 0, 1, 1]) * ~np.isnan(y)
    y, count = np.nan_to_num(y), len(noise)
    states = {name: np.zeros_like(noise) for name in plan.states}
    states["sample"], log_weights, sizes = noise, np.zeros(count), []
    levels = plan.level_columns()
    chosen = np.arange(count)
    for i, (a, b, alpha, sigma, scale, alpha_next, sigma_next, _) in enumerate(levels):
        x = states["sample"] * scale
        output = shrunk(x)
        spread = 1 / (PRIOR_STD**-2 + (alpha / sigma) ** 2)
        residual = seen * (y - (a * x + b * output))
        psi = -0.5 * (residual**2).sum((1, 2)) / (spread + noise_std**2)
        log_weights = log_weights + psi
        weights = np.exp(log_weights - log_weights.max())
        log_weights = log_weights - log_weights.max() - np.log(weights.sum())
        weights /= weights.sum()
        sizes.append(1 / (weights**2).sum())
        if sizes[-1] < THRESHOLD * count:
            chosen = np.searchsorted(np.cumsum(weights), (uniform[i] + np.arange(count)) / count, side="right")
            log_weights = np.full(count, -np.log(count))
        else:
            chosen = np.arange(count)
        states = {name: value[chosen] for name, value in states.items()}
        s = np.broadcast_to(plan.folded().states["sample"]["noise"], len(plan))[i]
        results = plan.run(i, **states, output=output[chosen], noise=step_noise[i])
        mean = results["sample"] - s * step_noise[i]
        shift = 0.0
        if s > 0:
            shift = s**2 * alpha_next / sigma_next**2 * (spread / (spread + noise_std**2) * residual)[chosen]
            sample = mean + shift + s * step_noise[i]
            squares = (sample - mean - shift) ** 2 - (sample - mean) ** 2
            log_weights = log_weights + 0.5 * squares.sum((1, 2)) / s**2
        states = {name: results[name] for name in plan.states}
        states["sample"] = mean + shift + s * step_noise[i]
        log_weights = log_weights - psi[chosen]
    log_weights += -0.5 * ((seen * (y - states["sample"])) ** 2).sum((1, 2)) / noise_std**2
    weights = np.exp(log_weights - log_weights.max())
    weights /= weights.sum()
    return states["sample"], weights, [*sizes, 1 / (weights**2).sum()]


@pytest.mark.parametrize("mode", [ms.GRAPH_MODE, ms.PYNATIVE_MODE])
def test_particles_follow_the_algorithm(sampler, given, mode):
    noise, y, fresh = given
    uniform = RNG.random((len(sampler.plan) + 1, ROWS)).astype(np.float32)
    before = ms.get_context("mode")
    ms.set_context(mode=mode)
    try:
        drawn = sampler.construct(noise, fresh, Tensor(uniform), y)
    finally:
        ms.set_context(mode=before)
    samples, particles, weights, sizes = (value.asnumpy() for value in drawn)
    uneven = sizes[:-1] < THRESHOLD * PARTICLES
    assert uneven.any()
    assert not uneven.all()
    for k in range(ROWS):
        own = slice(k * PARTICLES, (k + 1) * PARTICLES)
        expected = particles_in_numpy(
            sampler.plan, noise.asnumpy()[own], y.asnumpy()[k], NOISE_STDS[k], fresh.asnumpy()[:, own], uniform[:, k]
        )
        np.testing.assert_allclose(particles[k], expected[0], rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(weights[k], expected[1], rtol=2e-3, atol=1e-5)
        np.testing.assert_allclose(sizes[:, k], expected[2], rtol=2e-3)
        one = np.searchsorted(np.cumsum(expected[1]), uniform[-1, k], side="right")
        np.testing.assert_allclose(samples[k], expected[0][one], rtol=1e-3, atol=1e-4)


def test_the_error_of_a_wrong_guidance_falls_with_the_number_of_particles_to_that_of_exact_samples():
    """The prior is a mixture of eight Gaussians, the guidance believes in one."""
    problem, count, scheduler = bench.Problem(2), 500, bench.scheduled(50, stochastic=True)
    y = problem.measurements(1)
    exact = problem.posterior(y[0], count, seed=4)
    guidance = md.PosteriorGuidance(problem.model, scheduler, problem.measure, bench.NOISE_STD, iterations=1)
    repeated, errors = Tensor(np.repeat(y, count, axis=0).astype(np.float32)), []
    for particles in (1, 16):
        noise = RNG.standard_normal((count * particles, 1, 2)).astype(np.float32) * scheduler.init_noise_sigma
        drawn = md.TwistedSampler(guidance, particles)(
            Tensor(noise.astype(np.float32)), repeated, generator=np.random.default_rng(0)
        )
        errors.append(bench.distance(problem, [drawn.samples.asnumpy()[:, 0]], y))
    assert errors[0] > 5 * bench.distance(problem, [exact], y)
    assert errors[1] < 1.5 * bench.distance(problem, [exact], y)
    # All weighted particles say the same.
    weighted = (drawn.weights.asnumpy()[..., None] * drawn.particles.asnumpy()[:, :, 0]).sum(axis=1)
    truth = problem.posterior(y[0], bench.EXACT, seed=3).mean(axis=0)
    np.testing.assert_allclose(weighted.mean(axis=0), truth, atol=0.05)


def test_without_any_measurement_the_particles_are_samples_of_the_prior(sampler, given):
    noise, y, fresh = given
    missing, uniform = (np.full(shape, fill, np.float32) for shape, fill in ((y.shape, np.nan), ((7, ROWS), 0.5)))
    _, particles, _, sizes = sampler.construct(noise, fresh, Tensor(uniform), Tensor(missing))
    plan = sampler.plan
    states = {name: np.zeros(noise.shape) for name in plan.states}
    states["sample"] = noise.asnumpy().astype(np.float64)
    for i, (*_, scale, _, _, _) in enumerate(plan.level_columns()):
        results = plan.run(i, **states, output=shrunk(states["sample"] * scale), noise=fresh.asnumpy()[i])
        states = {name: results[name] for name in plan.states}
    np.testing.assert_allclose(particles.asnumpy().reshape(noise.shape), states["sample"], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(sizes.asnumpy(), PARTICLES, rtol=1e-5)


def test_particles_are_exported(sampler, given, tmp_path):
    noise, y, fresh = given
    uniform = Tensor(RNG.random((len(sampler.plan) + 1, ROWS)).astype(np.float32))
    path = export_mindir(sampler, tmp_path / "twisted.mindir", noise, fresh, uniform, y, dynamic_batch=False)
    assert ascend_problems(path) == []
    for value, loaded in zip(sampler.construct(noise, fresh, uniform, y), load_mindir(path)(noise, fresh, uniform, y)):
        np.testing.assert_allclose(loaded.asnumpy(), value.asnumpy(), rtol=1e-4, atol=1e-5)


def in_half_precision(name, **options):
    """Particles in float16, their start and two rows of measurements."""
    scheduler = scheduled(name, compute_dtype=ms.float16, **options)
    guidance = md.PosteriorGuidance(Shrinking(), scheduler, md.Coarsen(2), 0.01, iterations=1)
    noise, y = random(8, 1, 4, dtype=np.float16) * float(scheduler.init_noise_sigma), random(2, 1, 2, dtype=np.float16)
    return md.TwistedSampler(guidance, 4), noise, y


@pytest.fixture(scope="module")
def half():
    flow = {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}
    return in_half_precision("DPMSolverMultistepScheduler", **flow)


@pytest.mark.parametrize("name", ["DPMSolverMultistepScheduler", "DDPMScheduler"])
def test_half_precision_stays_finite(half, name):
    sampler, noise, y = half if name == "DPMSolverMultistepScheduler" else in_half_precision(name)
    drawn = sampler(noise, y, generator=0)
    assert drawn.samples.dtype == ms.float16
    assert all(np.isfinite(value.asnumpy()).all() for value in drawn)


def test_a_row_does_not_depend_on_the_others(half):
    sampler, noise, y = half
    drawn = sampler(noise, y, generator=3)
    others = noise.asnumpy().copy()
    others[4:] *= 2
    beside = sampler(Tensor(others), y, generator=3)
    for own, again in zip(drawn[:2], beside[:2]):
        np.testing.assert_array_equal(own.asnumpy()[0], again.asnumpy()[0])
        assert np.abs(own.asnumpy()[1] - again.asnumpy()[1]).max() > 1e-3


def test_the_random_numbers_of_a_row_do_not_depend_on_the_batch(half, monkeypatch):
    sampler, noise, y = half
    taken = []

    def recorded(self, rows, timesteps, first, last, log_weights, *inputs):
        states, (fresh, uniform) = inputs[: self.history + 1], inputs[self.history + 1 : self.history + 3]
        taken.append([fresh.asnumpy()[:, :4], uniform.asnumpy()[:, 0]])
        return (log_weights, ops.zeros_like(uniform), *states)

    def ended(self, log_weights, sizes, particles, uniform, y):
        taken[-1].append(uniform.asnumpy()[0])
        return particles, particles, log_weights, sizes

    monkeypatch.setattr(md.TwistedSampler, "whole", lambda self, method: method)
    monkeypatch.setattr(md.TwistedSampler, "twisted", recorded)
    monkeypatch.setattr(md.TwistedSampler, "finished", ended)
    sampler(noise, y, generator=3)
    sampler(noise[:4], y[:1], generator=3)
    for together, alone in zip(*taken):
        np.testing.assert_array_equal(together, alone)
        assert np.ptp(together) > 0 or together.ndim == 0


def test_particles_follow_the_scheduler(half):
    sampler, noise, y = half
    before = sampler(noise, y, generator=0)
    sampler.scheduler.set_timesteps(4)
    fewer = sampler(noise, y, generator=0)
    sampler.scheduler.set_timesteps(6)
    assert fewer.effective_sample_size.shape == (5, 2)
    assert np.abs(fewer.particles.asnumpy() - before.particles.asnumpy()).max() > 1e-2
    for own, again in zip(before, sampler(noise, y, generator=0)):
        np.testing.assert_array_equal(own.asnumpy(), again.asnumpy())


def test_the_shift_of_an_ancestral_step_is_that_of_the_guided_step():
    scheduler = scheduled("DDPMScheduler", steps=10, clip_sample=False)
    plan = scheduler.plan_for()
    weights = plan.folded().states["sample"]["output"] / plan.x0["output"]
    noisy = plan.next_level[1] > 0
    np.testing.assert_allclose(twisting_weights(plan, scheduler)[0][noisy], weights[noisy], rtol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "error", "named"),
    [
        ({"guidance": None}, TypeError, "guidance"),
        ({"particles": 0}, ValueError, "particles"),
        ({"particles": 2.5}, TypeError, "particles"),
        ({"threshold": 1.5}, ValueError, "threshold"),
        ({"threshold": "half"}, TypeError, "threshold"),
        ({"noise_std": 0.0}, ValueError, "noise_std"),
        ({"inpaint": True}, ValueError, "inpaint"),
        ({"noise_law": md.WhiteNoise()}, ValueError, "noise_law"),
        ({"scheduler": ("DDIMScheduler", {})}, ValueError, "scheduler"),
        ({"scheduler": ("EulerDiscreteScheduler", {})}, ValueError, "scheduler"),
        ({"scheduler": ("DPMSolverSDEScheduler", {})}, ValueError, "scheduler"),
        ({"scheduler": ("DDPMScheduler", {"variance_type": "learned_range"})}, ValueError, "scheduler"),
    ],
)
def test_bad_arguments_are_named(sampler, arguments, error, named):
    given = {"particles": 4, "threshold": 0.5, "noise_std": 0.1, **arguments}
    name, options = given.pop("scheduler", ("DDPMScheduler", {}))
    guidance = md.PosteriorGuidance(Shrinking(), scheduled(name, **options), md.Mask([1]), given.pop("noise_std"))
    with pytest.raises(error, match=f"'{named}'"):
        md.TwistedSampler(**{"guidance": guidance, **given})


@pytest.mark.parametrize(
    ("shapes", "error", "named"),
    [
        (((15, 1, 4),), TypeError, "y"),
        (((15, 1, 4), (15, 1, 4)), ValueError, "noise"),
        (((14, 1, 4), (3, 1, 4)), ValueError, "noise"),
        (((15, 1, 4), (3, 1, 5)), ValueError, "y"),
        (((15, 1, 4), (3, 1, 4), (2, 1)), ValueError, "condition 1"),
    ],
)
def test_inputs_that_do_not_fit_are_refused_before_anything_compiles(sampler, shapes, error, named):
    with pytest.raises(error, match=f"'?{named}'?"):
        sampler(*(random(*shape) for shape in shapes))
