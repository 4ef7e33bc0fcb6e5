"""Likelihoods are those of data whose density is known, and mistakes are told before anything compiles."""

import mindspore as ms
import numpy as np
import pytest
from compiler import api
from exact_models import MixtureModel, exact_log_likelihood, log_density, lowest_sigma, mixture_of, scheduled
from mindspore import Tensor, nn, ops

import mindscience_diffuser as md
from mindscience_diffuser import NoiseSource, bits_per_dimension, compat, log_likelihood
from mindscience_diffuser.schedulers.learned.learned import save_learned

SCHEDULERS = {
    "epsilon": ("DDIMScheduler", {"clip_sample": False, "beta_schedule": "linear", "timestep_spacing": "linspace"}),
    "sample": ("DPMSolverMultistepScheduler", {"prediction_type": "sample"}),
    "v": (
        "DDIMScheduler",
        {"clip_sample": False, "prediction_type": "v_prediction", "timestep_spacing": "trailing"},
    ),
    "zero signal": (
        "DDIMScheduler",
        {
            "clip_sample": False,
            "prediction_type": "v_prediction",
            "timestep_spacing": "linspace",
            "rescale_betas_zero_snr": True,
        },
    ),
    "sigmas": ("EulerDiscreteScheduler", {"use_karras_sigmas": True}),
    "flow": ("FlowMatchEulerDiscreteScheduler", {}),
    "edm": ("EDMEulerScheduler", {}),
}
CALLS = 100
"""Model calls of each likelihood below: two from a level to the next."""


@pytest.fixture(scope="module")
def models():
    """For each dimension the one model, and so the one graph, of these tests."""
    scheduler = scheduled("FlowMatchEulerDiscreteScheduler", 10)
    return {size: MixtureModel(mixture_of(size), scheduler) for size in (2, 8, 64)}


def refuse(*arguments):
    raise AssertionError("A graph was compiled.")


def samples(data, count=8):
    return data.draw(np.random.default_rng(1), count).astype(np.float32)


def test_it_is_the_density_of_the_exact_flow(models):
    data = mixture_of(2)
    x = samples(data)
    for label, (name, options) in SCHEDULERS.items():
        scheduler = scheduled(name, CALLS // 2 + 1, **options)
        found = log_likelihood(models[2].of(data, scheduler), scheduler, Tensor(x), divergence="exact")
        exact = exact_log_likelihood(data, scheduler, x.astype(np.float64))
        np.testing.assert_allclose(found.log_likelihood, exact, atol=2e-3, err_msg=label)
        assert np.all(found.standard_error == 0)


def test_it_is_the_density_of_a_gaussian_in_many_dimensions(models):
    data, scheduler = mixture_of(64, 0.0, (0.7, 0.7)), scheduled("FlowMatchEulerDiscreteScheduler", 9)
    x = samples(data, 4)
    found = log_likelihood(models[64].of(data, scheduler), scheduler, Tensor(x), divergence="exact")
    exact = log_density(data, x.astype(np.float64), lowest_sigma(scheduler))
    np.testing.assert_allclose(found.log_likelihood, exact, atol=0.064)


def test_from_pure_noise_it_is_the_density_of_the_data(models):
    data = mixture_of(2)
    x = samples(data)
    for label in ("flow", "zero signal"):
        name, options = SCHEDULERS[label]
        scheduler = scheduled(name, CALLS // 2 + 1, **options)
        found = log_likelihood(models[2].of(data, scheduler), scheduler, Tensor(x), divergence="exact")
        exact = log_density(data, x.astype(np.float64), lowest_sigma(scheduler))
        np.testing.assert_allclose(found.log_likelihood, exact, atol=2e-3, err_msg=label)


def test_it_converges_with_order_three_and_follows_the_schedule_in_one_graph(models, monkeypatch):
    data, scheduler, errors = mixture_of(2), scheduled("FlowMatchEulerDiscreteScheduler", 11), []
    x = samples(data)
    for steps in (11, 21):
        scheduler.set_timesteps(steps)
        model = models[2].of(data, scheduler)
        found = log_likelihood(model, scheduler, Tensor(x), divergence="exact").log_likelihood
        errors.append(np.abs(found - log_density(data, x.astype(np.float64), lowest_sigma(scheduler))).max())
        monkeypatch.setattr(api, "_check_recompile", refuse)
    assert np.log2(errors[0] / errors[1]) > 2.7, errors


@pytest.mark.every_case
@pytest.mark.parametrize("divergence", ["rademacher", "gaussian"])
def test_probes_are_unbiased_and_their_standard_error_is_right(models, divergence):
    data, scheduler = mixture_of(8, 1.5, (0.3, 0.9)), scheduled("FlowMatchEulerDiscreteScheduler", 6)
    model, x = models[8].of(data, scheduler), Tensor(samples(data, 32))
    exact = log_likelihood(model, scheduler, x, divergence="exact").log_likelihood
    found = log_likelihood(model, scheduler, x, divergence=divergence, probes=64, generator=3)
    deviations = (found.log_likelihood - exact) / found.standard_error
    assert np.all(np.abs(deviations) < 4)
    assert np.all(found.standard_error > 0)
    assert 0.75 < np.sqrt(np.mean(deviations**2)) < 1.25


def test_probes_of_a_sample_do_not_depend_on_its_batch(models):
    data, scheduler = mixture_of(8), scheduled("FlowMatchEulerDiscreteScheduler", 3)
    model, x = models[8].of(data, scheduler), samples(data, 32)

    def found(x, generator):
        return log_likelihood(model, scheduler, Tensor(x), divergence="gaussian", probes=64, generator=generator)

    whole, others = found(x, NoiseSource(7, 32)), found(x[::-1].copy(), NoiseSource(7, range(31, -1, -1)))
    np.testing.assert_allclose(others.log_likelihood[::-1], whole.log_likelihood, rtol=1e-5)
    np.testing.assert_allclose(others.standard_error[::-1], whole.standard_error, rtol=1e-3)
    drawn = [found(x, seed).log_likelihood for seed in (8, 8, 9)]
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert np.abs(drawn[0] - drawn[2]).max() > 1e-4


class Scaled(nn.Cell):
    """A network without output, around which EDM's scalings alone are the exact denoiser of N(0, sigma_data^2)."""

    def __init__(self):
        super().__init__()
        self.weight = ms.Parameter(Tensor([0.0], ms.float32), name="weight")

    def construct(self, u, timestep):
        return self.weight * u


def test_channels_with_a_sigma_data_each_have_the_likelihood_of_their_gaussian():
    deviations, model = np.array([0.3, 1.7]), Scaled()
    scheduler = scheduled("EDMEulerScheduler", 41, sigma_data=tuple(deviations))
    x = deviations[:, None] * np.random.default_rng(0).standard_normal((3, 2, 4))
    found = log_likelihood(model, scheduler, Tensor(x, ms.float32), divergence="exact").log_likelihood
    variances = (deviations**2 + lowest_sigma(scheduler) ** 2)[:, None]
    exact = (-(x**2) / (2 * variances) - np.log(2 * np.pi * variances) / 2).sum(axis=(1, 2))
    np.testing.assert_allclose(found, exact, atol=8e-3)
    model.weight.set_data(Tensor([0.1], ms.float32))  # In other memory than the graph was compiled for.
    other = log_likelihood(model, scheduler, Tensor(x, ms.float32), divergence="exact").log_likelihood
    assert np.abs(other - found).min() > 0.05


class Shifted(nn.Cell):
    """The velocity of a flow to N(mean, 1), the mean being the condition."""

    def construct(self, x, timestep, mean):
        sigma = (timestep / 1000).reshape((-1, 1))
        clean = mean + (1 - sigma) / ((1 - sigma) ** 2 + sigma**2) * (x - (1 - sigma) * mean)
        # The velocity is (x - x0) / sigma.
        return (x - clean) / sigma


def test_conditions_are_passed_on_in_graph_mode_too():
    before = ms.get_context("mode")
    ms.set_context(mode=ms.GRAPH_MODE)
    try:
        scheduler = scheduled("FlowMatchEulerDiscreteScheduler", 31)
        x, mean = np.random.default_rng(0).standard_normal((2, 5, 3))
        found = log_likelihood(Shifted(), scheduler, Tensor(x, ms.float32), Tensor(mean, ms.float32), probes=1)
        exact = -((x - mean) ** 2).sum(axis=1) / 2 - 1.5 * np.log(2 * np.pi)
        # The Jacobian is diagonal, of which probes of -1 and 1 know the trace.
        np.testing.assert_allclose(found.log_likelihood, exact, atol=3e-3)
        assert np.all(np.isnan(found.standard_error))
    finally:
        ms.set_context(mode=before)


def test_images_that_any_value_is_equally_likely_of_take_all_bits():
    even = -12 * np.log(2.0)  # On [-1, 1] the density is 1 / 2.
    np.testing.assert_allclose(bits_per_dimension(even, (3, 2, 2)), 8, rtol=1e-12)
    np.testing.assert_allclose(bits_per_dimension(even, (12,), bins=32), 5, rtol=1e-12)
    np.testing.assert_allclose(bits_per_dimension(np.zeros(2), (12,), bins=32, width=1.0), [5, 5], rtol=1e-12)


@pytest.mark.parametrize(
    "likelihood, shape, message",
    [
        (md.LogLikelihood(np.zeros(2), np.zeros(2)), (3, 2), "but is LogLikelihood: give its attribute log_likelihood"),
        ([-1.0, -2.0], (3, 2), "'log_likelihood' must be a number or an array of NumPy, but is list"),
        (-1.0, 6, "'shape' must be a sequence of integers, such as .* but is 6"),
        (-1.0, (3, 2.0), "'shape' must be an integer, but is 2.0"),
    ],
)
def test_bits_are_told_of_what_is_no_likelihood_or_no_shape(likelihood, shape, message):
    with pytest.raises(TypeError, match=message):
        bits_per_dimension(likelihood, shape)


class Same(nn.Cell):
    def construct(self, x, timestep):
        return x


def guided():
    scheduler = scheduled("FlowMatchEulerDiscreteScheduler", 4)
    return md.PosteriorGuidance(Same(), scheduler, md.Mask(np.ones((2, 3))), 0.1)


X = Tensor(np.zeros((4, 3)), ms.float32)
FREE = {"clip_sample": False}
REFUSED = {
    "no cell": (
        lambda x, t: x,
        ("DDIMScheduler", FREE),
        X,
        {},
        TypeError,
        "'model' must be an nn.Cell, but is f",
    ),
    "guided": (guided(), ("DDIMScheduler", FREE), X, {}, ValueError, "PosteriorGuidance, which corrects each step"),
    "noise": (Same(), ("DDPMScheduler", {}), X, {}, ValueError, "DDPMScheduler, whose steps draw noise"),
    "consistency": (Same(), ("LCMScheduler", {}), X, {}, ValueError, "LCMScheduler, whose steps draw noise"),
    "clipped": (Same(), ("DDIMScheduler", {}), X, {}, ValueError, "without clip_sample"),
    "thresholded": (Same(), ("DPMSolverMultistepScheduler", {"thresholding": True}), X, {}, ValueError, "'threshold'"),
    "inverse": (Same(), ("DDIMInverseScheduler", FREE), X, {}, ValueError, "lead from data to noise"),
    "flow map": (Same(), ("FlowMapEulerDiscreteScheduler", {}), X, {}, ValueError, "does not tell the slope"),
    "heavy tails": (Same(), ("EDMEulerScheduler", {"noise_variance": 2.0}), X, {}, ValueError, "noise_variance=2"),
    "half": (Same(), ("DDIMScheduler", {**FREE, "compute_dtype": ms.float16}), X, {}, ValueError, "float32"),
    "array": (Same(), ("DDIMScheduler", FREE), np.zeros((4, 3)), {}, TypeError, "'x' must be a Tensor"),
    "flat": (Same(), ("DDIMScheduler", FREE), X[0], {}, ValueError, "a batch axis and at least one more"),
    "no probes": (Same(), ("DDIMScheduler", FREE), X, {"probes": 0}, ValueError, "'probes' must be at least 1"),
    "unknown": (Same(), ("DDIMScheduler", FREE), X, {"divergence": "hutch"}, ValueError, "'exact', 'rademacher', 'gau"),
    "too large": (
        Same(),
        ("DDIMScheduler", FREE),
        Tensor(np.zeros((2, 257)), ms.float32),
        {"divergence": "exact"},
        ValueError,
        "257 of them, .* at most 256",
    ),
    "channels": (Same(), ("EDMEulerScheduler", {"sigma_data": (1.0, 2.0)}), X, {}, ValueError, "has 2 numbers"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_mistakes_are_told_before_anything_compiles(case, monkeypatch):
    model, (name, options), x, chosen, error, message = REFUSED[case]
    scheduler = scheduled(name, 4, **options)
    monkeypatch.setattr(api, "_check_recompile", refuse)
    with pytest.raises(error, match=message):
        log_likelihood(model, scheduler, x, **chosen)


def test_a_likelihood_needs_levels_and_conditions_of_the_batch():
    scheduler = md.FlowMatchEulerDiscreteScheduler()
    with pytest.raises(ValueError, match="'set_timesteps' must be called first"):
        log_likelihood(Same(), scheduler, X)
    scheduler.set_timesteps(1)
    with pytest.raises(ValueError, match="The plan has one level, but a likelihood needs two"):
        log_likelihood(Same(), scheduler, X)
    scheduler.set_timesteps(3)
    with pytest.raises(ValueError, match="its first axis must be the batch of x, 4"):
        log_likelihood(Same(), scheduler, X, Tensor(np.zeros((3, 2)), ms.float32))
    with pytest.raises(TypeError, match=r"'conditions\[0\]' must be a Tensor"):
        log_likelihood(Same(), scheduler, X, 3)
    for empty in (X[:0], Tensor(np.zeros((2, 0)), ms.float32)):
        for asked in (log_likelihood, md.invert):
            with pytest.raises(ValueError, match="'x' must hold one sample or more.* but has shape"):
                asked(Same(), scheduler, empty)


def test_a_learned_plan_has_no_likelihood(tmp_path):
    solver = scheduled("FlowMatchEulerDiscreteScheduler", 3)
    save_learned(tmp_path, solver, solver.plan_for(), solver.init_noise_sigma)
    with pytest.raises(
        ValueError, match="'scheduler' is LearnedScheduler, .* Use the scheduler of the diffusion or fl"
    ):
        log_likelihood(Same(), md.LearnedScheduler.from_pretrained(tmp_path), X)


def test_schedulers_of_tokens_are_told_from_those_of_continuous_samples():
    for scheduler in (md.VQDiffusionScheduler(5), compat.VQDiffusionScheduler(5)):
        for asked in (lambda s: log_likelihood(Same(), s, X), lambda s: md.Sampler(Same(), s)):
            with pytest.raises(
                TypeError, match="must be a scheduler of continuous .* draws tokens, whose trajectory is a"
            ):
                asked(scheduler)


class Short(nn.Cell):
    def construct(self, x, timestep):
        return ops.ReduceSum(keep_dims=True)(x, 1)


def test_an_output_of_another_shape_is_told_in_one_line():
    scheduler = scheduled("FlowMatchEulerDiscreteScheduler", 3)
    with pytest.raises(ValueError, match=r"^The model's output does not fit: its shape is \(4, 1\)"):
        log_likelihood(Short(), scheduler, X)
