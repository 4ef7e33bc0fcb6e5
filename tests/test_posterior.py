"""Posterior guidance gives the exact posterior where that is known: Gaussian priors and linear measurements."""

import importlib.util
import sys
from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn, ops

import mindscience_diffuser as md
from mindscience_diffuser.export import export_mindir, load_mindir
from mindscience_diffuser.guidance import METHODS
from mindscience_diffuser.readiness import ascend_problems

BENCH = Path(__file__).parents[1] / "scripts" / "bench" / "posterior.py"


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


bench = load(BENCH)
PRIORS, MEASURES = bench.priors(), bench.measures()
SHAPE = (bench.CHANNELS, *bench.GRID)
RNG = np.random.default_rng(0)


def scheduled(name="EDMDPMSolverMultistepScheduler", steps=5, **options):
    scheduler = getattr(md, name)(**options)
    scheduler.set_timesteps(steps)
    return scheduler


def random(*shape, dtype=np.float32):
    return Tensor(RNG.standard_normal(shape).astype(dtype))


# One case of each prior, measurement and kind of prediction; scripts/bench/posterior.py runs all of them.
@pytest.mark.parametrize(
    ("solver", "prior", "measure", "noise_std", "method"),
    [
        ("DPM++ 2M, epsilon", "white", "mask", 0.05, "jacobian_free"),
        ("UniPC 3, flow", "coloured", "mask", 1.0, "jacobian_free"),
        ("DPM++ 2M, EDM", "per channel", "mask", 0.05, "jacobian_free"),
        ("DPM++ 2S, x0", "per channel", "coarsen", 0.3, "moment_matching"),
        ("DPM++ 3M, v", "white", "blur", 1.0, "moment_matching"),
    ],
)
def test_gaussian_posterior_is_exact(solver, prior, measure, noise_std, method):
    iterations = 10 if prior == "coloured" else 4
    covariance, matrix = PRIORS[prior][1], bench.matrix_of(MEASURES[measure])
    mean, least, most = bench.errors(solver, PRIORS[prior], MEASURES[measure], noise_std, method, iterations)
    assert mean < 0.01
    assert least > 0.97
    assert most < 1.03
    # The guidance adds next to nothing to what the solver makes of the exact posterior.
    alone = bench.solver_errors(solver, covariance, bench.measured(covariance, matrix, noise_std)[1])
    np.testing.assert_allclose((mean, least, most), alone, atol=0.005)


class LinearDenoiser(nn.Cell):
    """out = W x: a model whose vector-Jacobian product is known."""

    def __init__(self, size):
        super().__init__()
        matrix = RNG.standard_normal((size, size))
        self.matrix = (0.5 * np.eye(size) + 0.1 * (matrix + matrix.T) / np.sqrt(size)).astype(np.float32)
        self.weight = Tensor(self.matrix)
        self.product = ops.MatMul()

    def construct(self, x, timestep, *conditions):
        return self.product(x.reshape((-1, self.weight.shape[0])), self.weight).reshape(x.shape)


SIZE, ROWS = 6, 3
MATRIX = RNG.standard_normal((ROWS, SIZE)).astype(np.float32)


class Linear(nn.Cell):
    def __init__(self):
        super().__init__()
        self.matrix = Tensor(MATRIX.T.copy())
        self.transposed = Tensor(MATRIX)

    def construct(self, x):
        return ops.matmul(x.reshape((x.shape[0], -1)), self.matrix)


class LinearWithAdjoint(Linear):
    def adjoint(self, y):
        return ops.matmul(y, self.transposed).reshape((-1, 2, 3))


def expected_change(method, level, model, x, y, noise_std, prior_std):
    """The correction of the clean prediction, by dense linear algebra in float64, for one sample."""
    a, b, alpha, sigma, scale = level
    matrix = MATRIX.astype(np.float64)[~np.isnan(y)]
    clean = a * x + b * (model.matrix.astype(np.float64) @ x)
    jacobian = sigma**2 / alpha * scale * (a * np.eye(SIZE) + b * model.matrix.astype(np.float64))
    prior = np.eye(SIZE) / (1 / prior_std**2 + (alpha / sigma) ** 2)
    noise = noise_std[~np.isnan(y)] ** 2 * np.eye(len(matrix))
    likelihood = {
        "jacobian_free": matrix @ prior @ matrix.T,
        "moment_matching": matrix @ jacobian @ matrix.T,
        "pigdm": matrix @ matrix.T / (1 + (alpha / sigma) ** 2),
        "sda": 1e-3 * (sigma / alpha) ** 2 * np.eye(len(matrix)),
        "dps": 0,
    }[method]
    gain = prior if method == "jacobian_free" else jacobian.T
    return gain @ matrix.T @ np.linalg.solve(likelihood + noise, y[~np.isnan(y)] - matrix @ clean)


@pytest.mark.parametrize("measure", [Linear(), LinearWithAdjoint()], ids=["derived adjoint", "given adjoint"])
@pytest.mark.parametrize("method", METHODS)
def test_each_method_corrects_the_prediction_by_its_formula(method, measure):
    scheduler, model = scheduled(), LinearDenoiser(SIZE)
    noise_std = np.array([0.4, 0.7, 1.1], np.float32)
    guided = md.PosteriorGuidance(model, scheduler, measure, Tensor(noise_std), method, prior_std=0.7, iterations=8)
    level = scheduler.plan_for().level_columns()[3, :5]
    x, y = random(2, 2, 3), RNG.standard_normal((2, ROWS)).astype(np.float32)
    y[1, 1] = np.nan
    timestep = Tensor(np.full(2, scheduler.timesteps[3], np.float32))
    change = (guided(x, timestep, Tensor(y)) - model(x, timestep)).asnumpy().reshape(2, -1) * level[1]
    for k in range(2):
        flat = x.asnumpy()[k].ravel().astype(np.float64)
        np.testing.assert_allclose(
            change[k], expected_change(method, level, model, flat, y[k], noise_std, 0.7), rtol=2e-3, atol=2e-4
        )


class Squared(nn.Cell):
    def construct(self, x):
        return 0.5 * x[:, 0] ** 2


def test_a_measurement_that_is_not_linear_is_linearised_at_the_clean_prediction():
    scheduler, model = scheduled(), LinearDenoiser(SIZE)
    guided = md.PosteriorGuidance(model, scheduler, Squared(), 0.5, prior_std=0.7, iterations=5)
    a, b, alpha, sigma = scheduler.plan_for().level_columns()[3, :4]
    x, y = random(1, 2, 3), random(1, 3)
    timestep = Tensor(np.full(1, scheduler.timesteps[3], np.float32))
    change = (guided(x, timestep, y) - model(x, timestep)).asnumpy().ravel() * b
    flat = x.asnumpy().ravel()
    clean = a * flat + b * model.matrix @ flat
    jacobian = np.concatenate([np.diag(clean[:3]), np.zeros((3, 3))], axis=1)
    spread = 1 / (1 / 0.7**2 + (alpha / sigma) ** 2)
    residual = y.asnumpy().ravel() - 0.5 * clean[:3] ** 2
    expected = spread * jacobian.T @ np.linalg.solve(spread * jacobian @ jacobian.T + 0.25 * np.eye(3), residual)
    np.testing.assert_allclose(change, expected, rtol=1e-3, atol=1e-4)


FIELDS = {1: (2, 12), 2: (2, 6, 8), 3: (2, 4, 6, 2)}


@pytest.mark.parametrize("axes", FIELDS)
@pytest.mark.parametrize("kind", ["mask", "coarsen", "blur", "cut blur", "fourier", "stack"])
def test_the_adjoint_is_the_transpose(kind, axes):
    shape = FIELDS[axes]
    grid = shape[1:]
    frequencies = RNG.random(grid) < 0.5
    measure = {
        "mask": lambda: md.Mask(RNG.random(shape) < 0.5),
        "coarsen": lambda: md.Coarsen(2),
        "blur": lambda: md.Blur(0.8, grid),
        "cut blur": lambda: md.Blur(0.8, grid, periodic=False),
        "fourier": lambda: md.Fourier(frequencies),
        "stack": lambda: md.Stack([md.Coarsen(2), md.Fourier(frequencies)], shape),
    }[kind]()
    x = random(3, *shape)
    measured = measure(x)
    y = random(*measured.shape)
    forward = (measured * y).asnumpy().reshape(3, -1).sum(axis=1)
    backward = (x * measure.adjoint(y)).asnumpy().reshape(3, -1).sum(axis=1)
    np.testing.assert_allclose(forward, backward, rtol=1e-4, atol=1e-4)


def test_measurements_are_what_they_say():
    x = random(2, 1, 4, 6)
    values = x.asnumpy()
    np.testing.assert_allclose(md.Coarsen((2, 3))(x).asnumpy()[0, 0, 0, 1], values[0, 0, :2, 3:].mean(), rtol=1e-5)
    transform = np.fft.fft2(values, norm="ortho")
    measured = md.Fourier(np.ones((4, 6)))(x).asnumpy()
    np.testing.assert_allclose(measured[:, :1], transform.real, atol=1e-5)
    np.testing.assert_allclose(measured[:, 1:], transform.imag, atol=1e-5)
    flat = md.Blur(1.5, (4, 6))(ops.ones((1, 1, 4, 6))).asnumpy()
    np.testing.assert_allclose(flat, 1, rtol=1e-5)
    stack = md.Stack([md.Coarsen(2), md.Mask(np.ones((1, 4, 6)))], (1, 4, 6))
    joined = stack.join(md.Coarsen(2)(x), x)
    np.testing.assert_allclose(stack(x).asnumpy(), joined.asnumpy(), rtol=1e-6)
    assert stack.join(0.1, 0.2).shape == (1, 6 + 24)


@pytest.fixture(scope="module")
def guided():
    """A guided model of samples (2, 8), its scheduler and the measurement."""
    scheduler = scheduled("DPMSolverMultistepScheduler", steps=6)
    measure = md.Mask(np.arange(8) % 2 == 0)
    return md.PosteriorGuidance(LinearDenoiser(16), scheduler, measure, 0.2, prior_std=[0.5, 1.0]), scheduler


def test_no_measurement_leaves_the_prior(guided):
    model, scheduler = guided
    x, y = random(3, 2, 8), Tensor(np.full((3, 2, 8), np.nan, np.float32))
    free = md.Sampler(model.model, scheduler)(x)
    np.testing.assert_allclose(md.Sampler(model, scheduler)(x, y).asnumpy(), free.asnumpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("mode", [ms.GRAPH_MODE, ms.PYNATIVE_MODE])
def test_all_ways_of_sampling_agree(guided, mode):
    model, scheduler = guided
    x, y = random(3, 2, 8), random(3, 2, 8)
    y[1, 0, 2] = np.nan
    before = ms.get_context("mode")
    ms.set_context(mode=mode)
    try:
        samples = [md.Sampler(model, scheduler, method)(x, y).asnumpy() for method in ("loop", "unrolled", "step")]
        state = x
        for t in scheduler.timesteps:
            state = scheduler.step(model(state, Tensor([t] * 3, ms.float32), y), state, t)
    finally:
        ms.set_context(mode=before)
    for other in (*samples[1:], state.asnumpy()):
        np.testing.assert_allclose(other, samples[0], rtol=1e-4, atol=1e-5)
    assert np.isfinite(samples[0]).all()


def test_values_may_be_missing_anew_in_each_call_of_one_compiled_graph(guided):
    model, scheduler = guided
    sampler, x = md.Sampler(model, scheduler), random(3, 2, 8)
    results = []
    for missing in (0, 2):
        y = np.ones((3, 2, 8), np.float32)
        y[:, :, missing] = np.nan
        results.append(sampler(x, Tensor(y)).asnumpy())
    together = np.ones((3, 2, 8), np.float32)
    together[:, :, 0] = np.nan
    np.testing.assert_array_equal(results[0], sampler(x, Tensor(together)).asnumpy())
    assert np.abs(results[0] - results[1]).max() > 0.1


@pytest.mark.parametrize("kind", ["mask", "fourier", "stack"])
def test_what_stands_in_y_where_nothing_is_measured_does_not_matter(kind):
    scheduler = scheduled("DPMSolverMultistepScheduler", steps=3)
    places, fields = np.arange(8) % 2 == 0, random(3, 2, 8)
    measure = {
        "mask": lambda: md.Mask(places),
        "fourier": lambda: md.Fourier(places),
        "stack": lambda: md.Stack([md.Mask(places), md.Coarsen(2)], (2, 8)),
    }[kind]()
    y = measure(fields)
    never = 1 - measure.restrict(ops.ones_like(y))
    assert never.sum() > 0
    np.testing.assert_array_equal((y * never).asnumpy(), 0)
    # Without noise such a value would be divided by 0, and one iteration would not be exact.
    model = md.PosteriorGuidance(LinearDenoiser(16), scheduler, measure, 0.0, prior_std=0.5, iterations=1)
    x, timestep = random(3, 2, 8), Tensor(np.full(3, scheduler.timesteps[1], np.float32))
    guided = model(x, timestep, y).asnumpy()
    assert np.isfinite(guided).all()
    np.testing.assert_array_equal(model(x, timestep, y + 1e3 * never).asnumpy(), guided)
    of_noise = [model.log_likelihood(fields + 1, y + junk * never, Tensor(0.1)).asnumpy() for junk in (0, 1e3)]
    np.testing.assert_array_equal(*of_noise)


def test_the_level_follows_the_scheduler(guided):
    model, scheduler = guided
    x, y = random(3, 2, 8), random(3, 2, 8)
    sampler = md.Sampler(model, scheduler)
    sampler(x, y)
    scheduler.set_timesteps(4)
    fresh = md.PosteriorGuidance(model.model, scheduler, model.measure, 0.2, prior_std=[0.5, 1.0])
    expected = md.Sampler(fresh, scheduler)(x, y).asnumpy()
    np.testing.assert_array_equal(sampler(x, y).asnumpy(), expected)
    scheduler.set_timesteps(6)


# A file holds sums without the fused add, whose other rounding the iterations of the coloured prior amplify.
@pytest.mark.parametrize(("kind", "tolerance"), [("mask", 1e-6), ("coarsen of a coloured prior", 1e-5)])
def test_a_guided_trajectory_is_exported_with_measurements_as_an_input(guided, tmp_path, kind, tolerance):
    model, scheduler = guided
    if kind != "mask":
        spectrum = 1 / (1 + np.fft.fftfreq(8) ** 2)[None]
        measure = md.Stack([md.Coarsen(4), md.Mask(np.eye(8)[3]), md.Blur(0.3, (8,))], (2, 8))
        model = md.PosteriorGuidance(model.model, scheduler, measure, 0.2, prior_std=spectrum, iterations=2)
    measured = model.measure(random(1, 2, 8)).shape[1:]
    sampler = md.Sampler(model, scheduler)
    path = export_mindir(sampler, tmp_path / "guided.mindir", random(2, 2, 8), random(2, *measured))
    assert ascend_problems(path) == []
    x, y = random(5, 2, 8), random(5, *measured)
    y[0, 0] = np.nan
    expected = sampler(x, y).asnumpy()
    scale = max(1.0, np.abs(expected).max())
    np.testing.assert_allclose(load_mindir(path)(x, y).asnumpy(), expected, rtol=1e-5, atol=tolerance * scale)


class HalfDenoiser(nn.Cell):
    def construct(self, x, timestep, *conditions):
        return x * 0.5


@pytest.mark.parametrize("method", ["jacobian_free", "moment_matching"])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("DDIMScheduler", {"timestep_spacing": "trailing"}),
        ("EulerDiscreteScheduler", {"prediction_type": "v_prediction"}),
        ("FlowMatchEulerDiscreteScheduler", {}),
    ],
)
def test_half_precision_stays_finite(name, options, method):
    scheduler = scheduled(name, compute_dtype=ms.float16, **options)
    guided = md.PosteriorGuidance(HalfDenoiser(), scheduler, md.Coarsen(2), 0.01, method)
    x, y = random(2, 1, 8, dtype=np.float16), random(2, 1, 4, dtype=np.float16)
    result = md.Sampler(guided, scheduler)(x * float(scheduler.init_noise_sigma), y)
    assert result.dtype == ms.float16
    assert np.isfinite(result.asnumpy()).all()


LEVELS = {
    "epsilon": lambda alpha, sigma, x0, eps: eps,
    "sample": lambda alpha, sigma, x0, eps: x0,
    "v_prediction": lambda alpha, sigma, x0, eps: (alpha * eps - sigma * x0) / np.hypot(alpha, sigma),
}


@pytest.mark.parametrize("prediction_type", LEVELS)
@pytest.mark.parametrize(
    "name", ["DDIMScheduler", "LCMScheduler", "PNDMScheduler", "HeunDiscreteScheduler", "DEISMultistepScheduler"]
)
def test_a_plan_tells_the_level_of_each_row(name, prediction_type):
    scheduler = scheduled(name, prediction_type=prediction_type)
    x0, eps = RNG.standard_normal(2)
    for a, b, alpha, sigma, scale in scheduler.plan_for().level_columns()[:, :5]:
        output = LEVELS[prediction_type](alpha, sigma, x0, eps)
        assert a * scale * (alpha * x0 + sigma * eps) + b * output == pytest.approx(x0, abs=1e-9)


@pytest.mark.parametrize(
    ("arguments", "error", "named"),
    [
        ({"measure": abs}, TypeError, "measure"),
        ({"noise_std": -1.0}, ValueError, "noise_std"),
        ({"noise_std": "low"}, TypeError, "noise_std"),
        ({"noise_std": float("nan")}, ValueError, "noise_std"),
        ({"noise_std": 0.0, "method": "dps"}, ValueError, "noise_std"),
        ({"method": "exact"}, ValueError, "method"),
        ({"iterations": 0}, ValueError, "iterations"),
        ({"prior_std": 0.0}, ValueError, "prior_std"),
        ({"prior_std": np.ones((1, 2, 2, 2, 2))}, ValueError, "prior_std"),
        ({"prior_std": np.arange(1.0, 9).reshape(1, 8)}, ValueError, "prior_std"),
        ({"scheduler": None}, TypeError, "scheduler"),
        ({"model": None}, TypeError, "model"),
    ],
)
def test_bad_arguments_are_named(guided, arguments, error, named):
    model, scheduler = guided
    given = {"model": model.model, "scheduler": scheduler, "measure": model.measure, "noise_std": 0.1, **arguments}
    with pytest.raises(error, match=f"'{named}'"):
        md.PosteriorGuidance(**given)


@pytest.mark.parametrize(
    ("changed", "inputs", "error", "named"),
    [
        ({}, (), TypeError, "y"),
        ({}, ((3, 2, 7),), ValueError, "y"),
        ({"noise_std": Tensor(np.ones(5, np.float32))}, ((3, 2, 8),), ValueError, "noise_std"),
        ({"prior_std": [1.0, 1.0, 1.0]}, ((3, 2, 8),), ValueError, "prior_std"),
        ({"prior_std": np.ones((1, 6))}, ((3, 2, 8),), ValueError, "prior_std"),
    ],
)
def test_inputs_that_do_not_fit_are_refused_before_anything_compiles(guided, changed, inputs, error, named):
    model, scheduler = guided
    given = {"noise_std": 0.1, **changed}
    other = md.PosteriorGuidance(model.model, scheduler, model.measure, **given)
    with pytest.raises(error, match=f"'{named}'"):
        md.Sampler(other, scheduler)(random(3, 2, 8), *(random(*shape) for shape in inputs))
