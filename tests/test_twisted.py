"""Twisted particles: algorithm 1 of Wu et al., 2023 (arXiv:2306.17775), and the exact posterior that they tend to."""

import importlib.util
import sys
from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn

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
PRIOR_STD, NOISE_STD, THRESHOLD = 0.8, 0.4, 0.6


def scheduled(name="DPMSolverMultistepScheduler", steps=6, **options):
    if name == "DPMSolverMultistepScheduler":
        options = {"algorithm_type": "sde-dpmsolver++", "use_karras_sigmas": True, **options}
    scheduler = getattr(md, name)(**options)
    scheduler.set_timesteps(steps)
    return scheduler


class Shrinking(nn.Cell):
    """A model that no prior belongs to: what particles tend to is nothing that the guidance knows."""

    def construct(self, x, timestep, *conditions):
        return 0.9 * x - 0.1 * x * x * x / (1 + x * x)


def random(*shape, dtype=np.float32):
    return Tensor(RNG.standard_normal(shape).astype(dtype))


@pytest.fixture(scope="module")
def sampler():
    scheduler = scheduled()
    guidance = md.PosteriorGuidance(Shrinking(), scheduler, md.Mask([1, 0, 1, 1]), NOISE_STD, prior_std=PRIOR_STD)
    return md.TwistedSampler(guidance, PARTICLES, threshold=THRESHOLD)


@pytest.fixture(scope="module")
def given(sampler):
    """Noise, measurements with a missing value, fresh noise."""
    y = RNG.standard_normal((ROWS, *SHAPE)).astype(np.float32)
    y[1, 0, 2] = np.nan
    noise = random(ROWS * PARTICLES, *SHAPE)
    return noise, Tensor(y), random(len(sampler.plan), ROWS * PARTICLES, *SHAPE)


def particles_in_numpy(plan, noise, y, step_noise, uniform, threshold):
    """Algorithm 1 in float64 for one row: twisting by a Gaussian prior and a mask, steps of any plan."""
    seen = np.array([1, 0, 1, 1]) * ~np.isnan(y)
    y, count = np.nan_to_num(y), len(noise)
    states = {name: np.zeros_like(noise) for name in plan.states}
    states["sample"], log_weights, sizes = noise, np.zeros(count), []
    levels = plan.level_columns()
    chosen = np.arange(count)
    for i, (a, b, alpha, sigma, scale, alpha_next, sigma_next, _) in enumerate(levels):
        x = states["sample"] * scale
        output = 0.9 * x - 0.1 * x**3 / (1 + x * x)
        spread = 1 / (PRIOR_STD**-2 + (alpha / sigma) ** 2)
        residual = seen * (y - (a * x + b * output))
        psi = -0.5 * (residual**2).sum((1, 2)) / (spread + NOISE_STD**2)
        log_weights = log_weights + psi
        weights = np.exp(log_weights - log_weights.max())
        log_weights = log_weights - log_weights.max() - np.log(weights.sum())
        weights /= weights.sum()
        sizes.append(1 / (weights**2).sum())
        if sizes[-1] < threshold * count:
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
            shift = s**2 * alpha_next / sigma_next**2 * (spread / (spread + NOISE_STD**2) * residual)[chosen]
            sample = mean + shift + s * step_noise[i]
            squares = (sample - mean - shift) ** 2 - (sample - mean) ** 2
            log_weights = log_weights + 0.5 * squares.sum((1, 2)) / s**2
        states = {name: results[name] for name in plan.states}
        states["sample"] = mean + shift + s * step_noise[i]
        log_weights = log_weights - psi[chosen]
    log_weights += -0.5 * ((seen * (y - states["sample"])) ** 2).sum((1, 2)) / NOISE_STD**2
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
            sampler.plan, noise.asnumpy()[own], y.asnumpy()[k], fresh.asnumpy()[:, own], uniform[:, k], THRESHOLD
        )
        np.testing.assert_allclose(particles[k], expected[0], rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(weights[k], expected[1], rtol=2e-3, atol=1e-5)
        np.testing.assert_allclose(sizes[:, k], expected[2], rtol=2e-3)
        one = np.searchsorted(np.cumsum(expected[1]), uniform[-1, k], side="right")
        np.testing.assert_allclose(samples[k], expected[0][one], rtol=1e-3, atol=1e-4)


def test_the_error_falls_with_the_number_of_particles_to_that_of_exact_samples():
    problem, count, calls = bench.Problem(2), 1000, 50
    y = problem.measurements(1)
    exact = bench.distance(problem, [problem.posterior(y[0], count, seed=4)], y)
    one, many = (bench.distance(problem, bench.drawn(problem, "jacobian_free", calls, y, count, k), y) for k in (1, 32))
    assert one > 5 * exact
    assert many < 1.5 * exact


def test_a_gaussian_posterior_comes_out_of_a_wrong_guidance():
    """Prior N(0, 1) of two numbers, the first is measured; the guidance believes in a standard deviation of 0.4."""
    scheduler, count, particles = scheduled(steps=50), 2000, 16
    model = bench.MixtureDenoiser(np.ones(1), np.zeros((1, 2)), 1.0)
    guidance = md.PosteriorGuidance(model, scheduler, md.Mask([1, 0]), 0.5, prior_std=0.4)
    noise = RNG.standard_normal((count * particles, 1, 2)).astype(np.float32) * np.float32(scheduler.init_noise_sigma)
    y = Tensor(np.tile(np.float32([1, 0]), (count, 1, 1)))
    drawn = md.TwistedSampler(guidance, particles)(Tensor(noise), y, generator=np.random.default_rng(0))
    samples = drawn.samples.asnumpy()[:, 0]
    np.testing.assert_allclose(samples.mean(axis=0), [0.8, 0], atol=0.05)
    np.testing.assert_allclose(samples.var(axis=0), [0.2, 1], rtol=0.1)
    # All weighted particles say the same.
    weighted = (drawn.weights.asnumpy()[..., None] * drawn.particles.asnumpy()[:, :, 0]).sum(axis=1)
    np.testing.assert_allclose(weighted.mean(axis=0), [0.8, 0], atol=0.05)


def test_without_any_measurement_the_particles_are_samples_of_the_prior(sampler, given):
    noise, y, fresh = given
    missing = Tensor(np.full(y.shape, np.nan, np.float32))
    drawn = sampler(noise, missing, step_noise=fresh, generator=0)
    guidance = sampler.advance.model
    free = md.Sampler(guidance.model, guidance.scheduler)(noise, step_noise=fresh).asnumpy()
    np.testing.assert_allclose(drawn.particles.asnumpy().reshape(free.shape), free, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(drawn.effective_sample_size.asnumpy(), PARTICLES, rtol=1e-5)


def test_a_row_does_not_depend_on_the_others(sampler, given):
    noise, y, fresh = given
    drawn = sampler(noise, y, step_noise=fresh, generator=3)
    others = noise.asnumpy().copy()
    others[PARTICLES:] *= 2
    beside = sampler(Tensor(others), y, step_noise=fresh, generator=3)
    for own, again in zip(drawn[:2], beside[:2]):
        np.testing.assert_array_equal(own.asnumpy()[0], again.asnumpy()[0])
        assert np.abs(own.asnumpy()[1] - again.asnumpy()[1]).max() > 1e-3


def test_the_random_numbers_of_a_row_do_not_depend_on_the_batch(sampler, given):
    noise, y, _ = given
    together, alone = sampler(noise, y, generator=3), sampler(noise[:PARTICLES], y[:1], generator=3)
    for own, again in zip(alone[:3], together[:3]):
        np.testing.assert_allclose(own.asnumpy()[0], again.asnumpy()[0], rtol=1e-4, atol=1e-5)


def test_each_row_may_have_its_own_noise(sampler, given):
    noise, y, fresh = given
    guidance = sampler.advance.model
    stds = np.float32([0.2, 0.4, 0.9]).reshape(-1, 1, 1)
    many = md.PosteriorGuidance(guidance.model, guidance.scheduler, guidance.measure, Tensor(stds), prior_std=PRIOR_STD)
    drawn = md.TwistedSampler(many, PARTICLES, threshold=THRESHOLD)(noise, y, step_noise=fresh, generator=0)
    same = sampler(noise, y, step_noise=fresh, generator=0)
    sizes, expected = drawn.effective_sample_size.asnumpy(), same.effective_sample_size.asnumpy()
    np.testing.assert_allclose(sizes[:, 1], expected[:, 1], rtol=1e-4)
    assert np.abs(sizes[:, 0] - expected[:, 0]).max() > 1e-2


def test_particles_follow_the_scheduler(sampler, given):
    noise, y, _ = given
    before = sampler(noise, y, generator=0)
    sampler.scheduler.set_timesteps(4)
    fewer = sampler(noise, y, generator=0)
    sampler.scheduler.set_timesteps(6)
    assert fewer.effective_sample_size.shape == (5, ROWS)
    assert np.abs(fewer.particles.asnumpy() - before.particles.asnumpy()).max() > 1e-2
    for own, again in zip(before, sampler(noise, y, generator=0)):
        np.testing.assert_array_equal(own.asnumpy(), again.asnumpy())


def test_particles_are_exported(sampler, given, tmp_path):
    noise, y, fresh = given
    uniform = Tensor(RNG.random((len(sampler.plan) + 1, ROWS)).astype(np.float32))
    path = export_mindir(sampler, tmp_path / "twisted.mindir", noise, fresh, uniform, y, dynamic_batch=False)
    assert ascend_problems(path) == []
    for value, loaded in zip(sampler.construct(noise, fresh, uniform, y), load_mindir(path)(noise, fresh, uniform, y)):
        np.testing.assert_allclose(loaded.asnumpy(), value.asnumpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("DDPMScheduler", {}),
        ("DPMSolverMultistepScheduler", {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}),
    ],
)
def test_half_precision_stays_finite(name, options):
    scheduler = scheduled(name, compute_dtype=ms.float16, **options)
    guidance = md.PosteriorGuidance(Shrinking(), scheduler, md.Coarsen(2), 0.01)
    noise, y = random(8, 1, 4, dtype=np.float16) * float(scheduler.init_noise_sigma), random(2, 1, 2, dtype=np.float16)
    drawn = md.TwistedSampler(guidance, 4)(noise, y, generator=0)
    assert drawn.samples.dtype == ms.float16
    assert all(np.isfinite(value.asnumpy()).all() for value in drawn)


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
