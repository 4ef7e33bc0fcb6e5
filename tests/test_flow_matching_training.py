"""Training of rectified flows: noise levels against their published densities, loss weights, shifts and the loss."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, Tensor, nn
from mindspore import dtype as mstype
from scipy.stats import kstest

from mindscience_diffuser import FlowMatchEulerDiscreteScheduler, FlowMatchingTrainer
from mindscience_diffuser.noise import flow_shift, resolution_shift
from mindscience_diffuser.training import flow_weights, training_sigmas

GRID = np.linspace(0, 1, 20001)[1:-1]


class TimeModel(nn.Cell):
    """Multiplies the sample by a weight and adds the timestep and, where there is one, the condition."""

    def __init__(self, scale=0.5):
        super().__init__()
        self.scale = Parameter(Tensor(scale, mstype.float32), name="scale")

    def construct(self, x, timestep, condition=None):
        output = x * self.scale + timestep.reshape((-1,) + (1,) * (x.ndim - 1)) * 1e-3
        if condition is not None:
            output = output + condition[:, 0].reshape((-1,) + (1,) * (x.ndim - 1))
        return output


def uniform_density(sigma):
    return np.ones_like(sigma)


def logit_normal_density(sigma, mean, std):
    """Section 3.1 of arXiv:2403.03206, as the next two."""
    logit = np.log(sigma / (1 - sigma))
    return np.exp(-((logit - mean) ** 2) / (2 * std**2)) / (std * np.sqrt(2 * np.pi) * sigma * (1 - sigma))


def cosmap_density(sigma):
    """The density of the map that gives a cosine schedule its log-SNR."""
    return 2 / (np.pi - 2 * np.pi * sigma + 2 * np.pi * sigma**2)


def mode_density(sigma, scale):
    """|d u / d sigma|, from the map tabulated at many u."""
    u = np.linspace(0, 1, 200001)
    level = 1 - u - scale * (np.cos(np.pi / 2 * u) ** 2 - 1 + u)
    return np.interp(sigma, level[::-1], np.abs(np.gradient(u, level))[::-1])


@pytest.mark.parametrize(
    ("options", "density"),
    [
        ({"density": "uniform"}, uniform_density),
        ({}, lambda s: logit_normal_density(s, 0, 1)),
        (
            {"logit_mean": -0.5, "logit_std": 0.6},
            lambda s: logit_normal_density(s, -0.5, 0.6),
        ),
        ({"density": "cosmap"}, cosmap_density),
        ({"density": "mode"}, lambda s: mode_density(s, 1.29)),
        ({"density": "mode", "mode_scale": -0.5}, lambda s: mode_density(s, -0.5)),
        ({"density": "mode", "mode_scale": 0.0}, uniform_density),
    ],
)
def test_levels_have_the_published_density(options, density):
    sigmas = training_sigmas(3, 0, 20000, **options)
    assert sigmas.min() >= 0
    assert sigmas.max() <= 1
    cumulative = np.cumsum(density(GRID)) * (GRID[1] - GRID[0])
    assert abs(cumulative[-1] - 1) < 5e-3
    assert kstest(sigmas, lambda s: np.interp(s, GRID, cumulative)).statistic < 0.015


def test_levels_depend_on_seed_and_step_only():
    first = training_sigmas(3, 7, 64)
    assert first.dtype == np.float32
    np.testing.assert_array_equal(first, training_sigmas(3, 7, 64))
    assert (first != training_sigmas(3, 8, 64)).any()
    assert (first != training_sigmas(4, 7, 64)).any()


def test_uniform_levels_with_cosmap_weights_count_as_cosmap_levels():
    spacing = GRID[1] - GRID[0]
    weights = flow_weights("cosmap", GRID)
    np.testing.assert_allclose(weights, cosmap_density(GRID))
    np.testing.assert_allclose(weights.sum() * spacing, 1, atol=1e-3)
    np.testing.assert_allclose(flow_weights("sigma_sqrt", np.array([0.1, 0.5, 1.0])), [100, 4, 1])
    np.testing.assert_array_equal(flow_weights("none", GRID), 1)


def test_shift_moves_the_levels_as_the_scheduler_moves_its_own():
    plain, shifted = (training_sigmas(0, 1, 500, "uniform", shift=shift) for shift in (1.0, 3.0))
    np.testing.assert_allclose(shifted, flow_shift(plain.astype(np.float64), 3.0), rtol=1e-6)
    scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0)
    np.testing.assert_allclose(scheduler.sigmas[:-1], flow_shift(np.arange(1000, 0, -1) / 1000, 3.0))


def test_resolution_shift_keeps_the_uncertainty_of_the_mean():
    # Of m equal values c, (1 - s) * c + s * noise tells c up to s / (1 - s) / sqrt(m).
    sigma = np.linspace(0.05, 0.95, 7)
    small, large = 256, 1024
    moved = flow_shift(sigma, resolution_shift(large, small))
    np.testing.assert_allclose(moved / (1 - moved) / np.sqrt(large), sigma / (1 - sigma) / np.sqrt(small))
    np.testing.assert_allclose(flow_shift(flow_shift(sigma, 2), 3), flow_shift(sigma, 6))
    with pytest.raises(ValueError, match="'base_tokens' must be in"):
        resolution_shift(256, 0)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"density": "normal"}, ValueError, "'density' must be one of 'uniform', 'logit_normal', 'mode', 'cosmap'"),
        ({"logit_std": 0}, ValueError, "'logit_std' must be in"),
        ({"logit_mean": "0"}, TypeError, "'logit_mean' must be a number"),
        ({"mode_scale": 1.76}, ValueError, "'mode_scale' must be in"),
        ({"shift": 0}, ValueError, "'shift' must be in"),
        ({"batch_size": 0}, ValueError, "'batch_size' must be at least 1"),
        ({"seed": -1}, ValueError, "'seed' must be at least 0"),
    ],
)
def test_bad_option_of_the_levels_is_named(options, error, message):
    with pytest.raises(error, match=message):
        training_sigmas(**{"seed": 0, "step": 0, "batch_size": 4, **options})


@pytest.mark.parametrize("weighting", ["none", "sigma_sqrt", "cosmap"])
@pytest.mark.parametrize(("shape", "loss_type"), [((3, 5), "l1"), ((3, 5, 2), "l2"), ((3, 2, 4, 4), "l2")])
def test_loss_is_the_weighted_error_of_the_velocity(weighting, shape, loss_type):
    rng = np.random.default_rng(0)
    x0, noise = rng.normal(size=(2, *shape)).astype(np.float32)
    sigmas = np.array([0.02, 0.4, 1.0], np.float32)
    trainer = FlowMatchingTrainer(TimeModel(), 500, weighting, loss_type)
    loss = trainer.get_loss(*(Tensor(a) for a in (x0, noise, sigmas)), Tensor(np.full((3, 1), 0.25, np.float32)))
    level = sigmas.reshape((-1,) + (1,) * (len(shape) - 1))
    prediction = 0.5 * ((1 - level) * x0 + level * noise) + 0.5 * level + 0.25
    error = np.abs(prediction - (noise - x0)) ** (1 if loss_type == "l1" else 2)
    expected = (error.reshape(3, -1).mean(axis=1) * flow_weights(weighting, sigmas.astype(np.float64))).mean()
    assert loss.shape == ()
    np.testing.assert_allclose(loss.asnumpy(), expected, rtol=1e-5)


def test_perfect_velocity_leads_a_scheduler_from_noise_to_the_sample():
    rng = np.random.default_rng(1)
    x0, noise = rng.normal(size=(2, 2, 3, 4)).astype(np.float32)

    class Perfect(nn.Cell):
        def construct(self, x, timestep):
            return Tensor(noise - x0)

    sigmas = Tensor(np.array([0.3, 0.9], np.float32))
    assert FlowMatchingTrainer(Perfect()).get_loss(Tensor(x0), Tensor(noise), sigmas).asnumpy() == 0
    scheduler = FlowMatchEulerDiscreteScheduler()
    scheduler.set_timesteps(3)
    x = Tensor(noise)
    for t in scheduler.timesteps:
        x = scheduler.step(Tensor(noise - x0), x, t)
    np.testing.assert_allclose(x.asnumpy(), x0, atol=1e-5)


def test_gradient_inside_a_compiled_step_is_that_of_the_loss():
    model = TimeModel()
    trainer = FlowMatchingTrainer(model, weighting="cosmap")
    rng = np.random.default_rng(2)
    arrays = [Tensor(rng.normal(size=(4, 6)).astype(np.float32)) for _ in range(2)]
    sigmas = Tensor(training_sigmas(0, 0, 4))
    both = ms.value_and_grad(trainer.get_loss, None, model.trainable_params())

    @ms.jit
    def compiled(x0, noise, sigmas):
        return both(x0, noise, sigmas)

    loss, (gradient,) = compiled(*arrays, sigmas)
    np.testing.assert_allclose(loss.asnumpy(), trainer.get_loss(*arrays, sigmas).asnumpy(), rtol=1e-6)
    model.scale.set_data(model.scale + 0.01)
    above = trainer.get_loss(*arrays, sigmas).asnumpy()
    model.scale.set_data(model.scale - 0.02)
    below = trainer.get_loss(*arrays, sigmas).asnumpy()
    np.testing.assert_allclose(gradient.asnumpy(), (above - below) / 0.02, rtol=1e-3)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"model": len}, TypeError, "'model' must be an nn.Cell"),
        ({"num_train_timesteps": 0}, ValueError, "'num_train_timesteps' must be at least 1"),
        ({"weighting": "snr"}, ValueError, "'weighting' must be one of 'none', 'sigma_sqrt', 'cosmap'"),
        ({"loss_type": "huber"}, ValueError, "'loss_type' must be one of 'l1', 'l2'"),
    ],
)
def test_bad_trainer_argument_is_named(changes, error, message):
    with pytest.raises(error, match=message):
        FlowMatchingTrainer(**{"model": TimeModel(), **changes})
