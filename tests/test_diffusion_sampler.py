"""DiffusionSampler beyond the golden trajectories: initial noise, scalings, graphs, export, bad input."""

import copy

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn, ops

from mindscience_diffuser import DiffusionSampler, DiffusionSamplerConfig, EDMPreconditioning, NoiseSource
from mindscience_diffuser.export import export_mindir, load_mindir
from mindscience_diffuser.sampling.diffusion_sampler import INITIAL_NOISE

CHURNED = {"order": 2, "s_churn": 2.0, "s_tmin": 0.01}


class Denoiser(nn.Cell):
    """Pulls towards the last observation, the more noise the more, and is moved by the last action."""

    def construct(self, x, sigma, obs, act):
        weight = (1 / (1 + sigma * sigma)).reshape((-1, 1, 1, 1)).astype(x.dtype)
        moved = 0.01 * act[:, -1].astype(x.dtype).reshape((-1, 1, 1, 1))
        return weight * x + (1 - weight) * (0.5 * ops.tanh(obs[:, -2:].astype(x.dtype)) + moved)


def inputs(batch=2, frames=3, seed=0):
    rng = np.random.default_rng(seed)
    obs = rng.standard_normal((batch, frames, 2, 4, 4)).astype(np.float32)
    return Tensor(obs), Tensor(rng.integers(0, 5, (batch, frames)).astype(np.int32))


def sampler(dtype=ms.float32, preconditioning=None, model=None, steps=3, **options):
    config = DiffusionSamplerConfig(steps, **options)
    return DiffusionSampler(model or Denoiser(), config, preconditioning, dtype)


def test_trajectory_begins_with_the_chosen_noise():
    obs, act = inputs()
    z = np.random.default_rng(5).standard_normal((2, 2, 4, 4)).astype(np.float32)
    starts = {"standard": z, "sigma_scaled": 5 * z, "observation": 5 * z + obs.asnumpy()[:, -1]}
    for name in INITIAL_NOISE:
        result, trajectory = sampler(initial_noise=name).sample(obs, act, Tensor(z))
        assert np.allclose(trajectory.asnumpy()[0], starts[name], atol=1e-5)
        assert np.array_equal(trajectory.asnumpy()[-1], result.asnumpy())


def test_churn_calls_the_denoiser_at_the_raised_level_unless_told_otherwise():
    told = {flag: sampler(s_churn=1.0, call_at_sigma_hat=flag).plan.timesteps for flag in (True, False)}
    assert np.allclose(told[True] / told[False], 1 + 1 / 3)


def denoised(x, sigma, obs, act):
    """What `Denoiser` computes, in float64."""
    weight = 1 / (1 + sigma**2)
    return weight * x + (1 - weight) * (0.5 * np.tanh(obs[:, -1]) + 0.01 * act[:, -1].reshape(-1, 1, 1, 1))


@pytest.mark.parametrize("order", [1, 2])
def test_churned_trajectory_is_algorithm_2_of_edm_with_the_same_noise(order):
    """Karras et al., 2022 (arXiv:2206.00364), Algorithm 2, with its noise given; order 1 leaves out lines 7 to 9."""
    steps, s_churn, s_tmin, s_noise = 3, 1.0, 0.01, 1.1
    options = {"order": order, "s_churn": s_churn, "s_tmin": s_tmin, "s_noise": s_noise}
    drawing = sampler(steps=steps, initial_noise="sigma_scaled", **options)
    obs, act = inputs()
    rng = np.random.default_rng(7)
    z, fresh = rng.standard_normal((2, 2, 4, 4)), rng.standard_normal((steps, 2, 2, 4, 4))
    given = (Tensor(value.astype(np.float32)) for value in (z, fresh))
    result = drawing(obs, act, *given).asnumpy()

    levels = drawing.build_sigmas()
    seen = obs.asnumpy().astype(np.float64), act.asnumpy()
    x = levels[0] * z
    for i in range(steps):
        t, t_next = levels[i], levels[i + 1]
        gamma = min(s_churn / steps, np.sqrt(2) - 1) if t >= s_tmin else 0.0
        t_hat = t * (1 + gamma)
        x_hat = x + np.sqrt(t_hat**2 - t**2) * s_noise * fresh[i]
        slope = (x_hat - denoised(x_hat, t_hat, *seen)) / t_hat
        x = x_hat + (t_next - t_hat) * slope
        if order == 2 and t_next > 0:
            slope_next = (x - denoised(x, t_next, *seen)) / t_next
            x = x_hat + (t_next - t_hat) * (slope + slope_next) / 2
    np.testing.assert_allclose(result, x, rtol=5e-5, atol=1e-5)


class Network(nn.Cell):
    """F of a denoiser D: the toy network that an EDM denoiser scales."""

    def construct(self, x, noise_level, obs, act):
        return 0.5 * ops.tanh(x) + 0.1 * noise_level.reshape((-1, 1, 1, 1)).astype(x.dtype)


class Scaled(nn.Cell):
    """The denoiser D(x; sigma) = c_skip * x + c_out * F(c_in * x; c_noise), written out."""

    def __init__(self, sigma_data):
        super().__init__()
        self.sigma_data = sigma_data
        self.network = Network()

    def construct(self, x, sigma, obs, act):
        total = (sigma * sigma + self.sigma_data**2).reshape((-1, 1, 1, 1))
        out = self.network(x / ops.sqrt(total), ops.log(sigma) / 4, obs, act)
        return self.sigma_data**2 / total * x + sigma.reshape((-1, 1, 1, 1)) * self.sigma_data / ops.sqrt(total) * out


@pytest.mark.parametrize("options", [{}, CHURNED], ids=["plain", "churned"])
def test_preconditioned_network_is_the_denoiser_that_it_stands_for(options):
    obs, act = inputs()
    given = {"noise": Tensor(np.random.default_rng(1).standard_normal((2, 2, 4, 4)).astype(np.float32))}
    if options:
        given["step_noise"] = Tensor(np.random.default_rng(2).standard_normal((3, 2, 2, 4, 4)).astype(np.float32))
    network = sampler(model=Network(), preconditioning=EDMPreconditioning(0.6), **options)
    denoiser = sampler(model=Scaled(0.6), **options)
    assert np.allclose(network(obs, act, **given).asnumpy(), denoiser(obs, act, **given).asnumpy(), atol=2e-5)


def test_quantized_observations_have_256_levels():
    obs, act = inputs()
    drawn = sampler(model=Network(), preconditioning=EDMPreconditioning(quantize=True))(obs, act, generator=0)
    pixels = (drawn.asnumpy() + 1) * 127.5
    assert np.allclose(pixels, np.rint(pixels), atol=1e-3) and pixels.min() >= -1e-3 and pixels.max() <= 255.001


@pytest.mark.parametrize("options", [{}, CHURNED], ids=["plain", "churned"])
def test_noise_of_a_sample_does_not_depend_on_its_batch(options):
    obs, act = inputs(batch=3)
    drawing = sampler(**options)
    together = drawing(obs, act, generator=NoiseSource(0, 3)).asnumpy()
    alone = drawing(obs[2:], act[2:], generator=NoiseSource(0, [2])).asnumpy()
    assert np.allclose(together[2:], alone, atol=1e-6)
    assert not np.allclose(together[0], drawing(obs, act, generator=NoiseSource(1, 3)).asnumpy()[0])


class Twice(nn.Cell):
    """Two frames in one graph."""

    def __init__(self, drawing):
        super().__init__()
        self.drawing = drawing

    @ms.jit
    def construct(self, obs, act, noise):
        first = self.drawing(obs, act, noise)
        return self.drawing(ops.cat((obs[:, 1:], first.expand_dims(1)), 1), act, noise)


def test_sampler_is_part_of_other_graphs():
    obs, act = inputs()
    noise = Tensor(np.random.default_rng(3).standard_normal((2, 2, 4, 4)).astype(np.float32))
    drawing = sampler()
    first = drawing(obs, act, noise)
    second = drawing(ops.cat((obs[:, 1:], first.expand_dims(1)), 1), act, noise)
    assert np.allclose(Twice(drawing)(obs, act, noise).asnumpy(), second.asnumpy(), atol=1e-6)


@pytest.mark.parametrize("dtype", [ms.float32, ms.float16])
@pytest.mark.parametrize("options", [{"initial_noise": "observation"}, CHURNED], ids=["plain", "churned"])
def test_reloaded_file_equals_the_sampler_in_process_at_any_batch(options, dtype, tmp_path):
    drawing = sampler(dtype, **options)
    rng = np.random.default_rng(4)

    def arguments(batch):
        noise = Tensor(rng.standard_normal((batch, 2, 4, 4)).astype(np.float32))
        fresh = (Tensor(rng.standard_normal((3, batch, 2, 4, 4)).astype(np.float32)),) if drawing.churns else ()
        return (*inputs(batch), noise, *fresh)

    path = export_mindir(drawing, tmp_path / "next_frame.mindir", *arguments(2))
    reloaded = load_mindir(path, plan=drawing.plan)
    assert reloaded.input_names == drawing.input_names
    for batch in (1, 3):
        given = arguments(batch)
        expected = drawing(*given)
        assert expected.dtype == dtype and np.all(np.isfinite(expected.asnumpy()))
        tolerance = 1e-5 if dtype == ms.float32 else 5e-3
        assert np.allclose(reloaded(*given).asnumpy(), expected.asnumpy(), atol=tolerance)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"num_steps_denoising": 0}, ValueError, "'num_steps_denoising' must be at least 1"),
        ({"num_steps_denoising": 2.0}, TypeError, "num_steps_denoising"),
        ({"sigma_min": 5.0}, ValueError, "'sigma_min' must be below 'sigma_max'"),
        ({"sigma_min": 6.0}, ValueError, "'sigma_min' must be below 'sigma_max'"),
        ({"order": 3}, ValueError, "'order' must be in [1, 2]"),
        ({"order": 0}, ValueError, "'order' must be in [1, 2]"),
        ({"s_tmin": 2.0, "s_tmax": 1.0}, ValueError, "'s_tmin' must be at most 's_tmax'"),
        ({"s_churn": -1.0}, ValueError, "s_churn"),
        ({"rho": 0.0}, ValueError, "rho"),
        ({"initial_noise": "zeros"}, ValueError, "'standard', 'sigma_scaled', 'observation'"),
        ({"call_at_sigma_hat": "no"}, TypeError, "call_at_sigma_hat"),
    ],
)
def test_bad_configuration_is_named_with_what_is_allowed(arguments, error, words):
    with pytest.raises(error) as caught:
        DiffusionSamplerConfig(**{"num_steps_denoising": 3, **arguments})
    assert words in str(caught.value)


def test_bad_call_is_refused_before_anything_compiles():
    drawing, churning = sampler(), sampler(**CHURNED)
    obs, act = inputs()
    noise = Tensor(np.zeros((2, 2, 4, 4), np.float32))
    with pytest.raises(ValueError, match=r"'prev_act' has shape \(2, 2\).*\(2, 3\)"):
        drawing.sample(obs, act[:, :2])
    with pytest.raises(ValueError, match=r"'prev_act' has shape \(1, 3\)"):
        drawing.sample(obs, act[:1])
    with pytest.raises(ValueError, match=r"'prev_obs' must have shape \(B, T, C, H, W\)"):
        drawing.sample(obs[:, 0], act)
    with pytest.raises(ValueError, match="'noise' has shape"):
        drawing.sample(obs, act, noise[:1])
    with pytest.raises(ValueError, match="s_churn is 0"):
        drawing.sample(obs, act, noise, step_noise=noise)
    with pytest.raises(ValueError, match="'step_noise' has shape"):
        churning.sample(obs, act, noise, step_noise=noise)
    with pytest.raises(TypeError, match="'prev_obs' must be a Tensor"):
        drawing.sample(obs.asnumpy(), act)
    with pytest.raises(TypeError, match="'prev_obs' must be float32, float16 or bfloat16"):
        drawing.sample(obs.astype(ms.int32), act)
    with pytest.raises(TypeError, match="'config' must be a DiffusionSamplerConfig"):
        DiffusionSampler(Denoiser(), {"num_steps_denoising": 3})
    with pytest.raises(TypeError, match="'preconditioning' must be an EDMPreconditioning"):
        DiffusionSampler(Denoiser(), DiffusionSamplerConfig(3), 0.5)
    with pytest.raises(TypeError, match="'model' must be an nn.Cell"):
        DiffusionSampler(lambda x: x, DiffusionSamplerConfig(3))


@pytest.mark.parametrize("copied", [lambda drawing: drawing, copy.deepcopy])
def test_the_scheduler_inside_keeps_its_steps(copied):
    drawing = copied(sampler())
    before = drawing.plan.timesteps
    with pytest.raises(ValueError, match="build a new DiffusionSampler"):
        drawing.sampler.scheduler.set_timesteps(2)
    np.testing.assert_array_equal(drawing.plan.timesteps, before)
