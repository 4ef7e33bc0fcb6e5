"""EDM as the sciences train it: a standard deviation for each channel, under which every level has the loss 1."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, Tensor, nn

from mindscience_diffuser import EDMPreconditioning, EDMTrainer
from mindscience_diffuser.models import ResidualDenoiser
from mindscience_diffuser.noise import log_normal_sigmas, log_uniform_sigmas

SPREADS = (3.0, 0.5, 0.05)
"""Standard deviations of the channels of Gaussian data, as of fields in different units."""

LEVELS = np.geomspace(0.01, 80, 13)


class Scaled(nn.Cell):
    """F(x) = scale * x; with the scale 0 it is the best network for white Gaussian data of unit variance."""

    def __init__(self):
        super().__init__()
        self.scale = Parameter(Tensor(0.0, ms.float32), name="scale")

    def construct(self, x, noise_level):
        return self.scale * x


def fields(rng, count, side=24):
    return rng.standard_normal((count, 3, side, side)) * np.reshape(SPREADS, (3, 1, 1))


def batch(rng, preconditioning, sigmas):
    clean = fields(rng, len(sigmas))
    noise = preconditioning.training_noise(sigmas, clean.shape, rng)
    return [Tensor(values.astype(np.float32)) for values in (clean, noise, sigmas)]


def test_each_channel_has_the_scalings_of_its_own_standard_deviation():
    for offset in (0.0, 0.2):
        together = EDMPreconditioning(list(SPREADS), offset, noise_variance=1.5).scalings(LEVELS)
        assert together.c_in.shape == together.c_skip.shape == together.c_out.shape == (13, 3)
        for k, spread in enumerate(SPREADS):
            alone = EDMPreconditioning(spread, offset, noise_variance=1.5).scalings(LEVELS)
            assert np.array_equal(together.c_noise, alone.c_noise)
            for name in ("c_in", "c_skip", "c_out"):
                assert np.allclose(getattr(together, name)[:, k], getattr(alone, name), rtol=1e-14)


def test_loss_of_every_level_is_one_under_the_right_standard_deviations_alone():
    rng = np.random.default_rng(0)
    right, pooled = EDMPreconditioning(np.array(SPREADS)), EDMPreconditioning(float(np.mean(SPREADS)))
    trainers = {"right": EDMTrainer(Scaled(), right), "pooled": EDMTrainer(Scaled(), pooled)}
    # Far above the data the target is x0 / sigma_data; far below, where it is the noise, every sigma_data will do.
    variances = np.mean(np.square(SPREADS)) / pooled.sigma_data**2
    for sigma in LEVELS:
        given = batch(rng, right, np.full(32, sigma))
        losses = {name: float(trainer.get_loss(*given).asnumpy()) for name, trainer in trainers.items()}
        # 32 * 3 * 24 * 24 squares of standard normal numbers: their mean has the standard deviation 0.006.
        assert losses["right"] == pytest.approx(1, abs=0.024)
        if sigma > 10 * max(SPREADS):
            assert losses["pooled"] == pytest.approx(variances, rel=0.05) and variances > 2


def test_training_leaves_the_best_network_where_it_is():
    rng = np.random.default_rng(1)
    preconditioning = EDMPreconditioning(SPREADS)
    trainer = EDMTrainer(Scaled(), preconditioning)
    gradient = ms.value_and_grad(trainer.get_loss, None, trainer.model.trainable_params())
    optimizer = nn.SGD(trainer.model.trainable_params(), 0.05)

    @ms.jit
    def compiled(*given):
        return gradient(*given)

    for _ in range(40):
        optimizer(compiled(*batch(rng, preconditioning, np.exp(rng.standard_normal(16) - 0.5)))[1])
    assert abs(float(trainer.model.scale.asnumpy())) < 0.01


def test_denoiser_of_a_change_follows_the_channels():
    rng = np.random.default_rng(2)
    x, last = rng.standard_normal((2, 4, 3, 5, 5)).astype(np.float32)
    sigma = np.array([0.02, 0.3, 2.0, 40.0], np.float32)
    denoised = ResidualDenoiser(WithObservation(), EDMPreconditioning(SPREADS))(*map(Tensor, (x, sigma, last)))
    c = [np.reshape(v, (4, -1, 1, 1)) for v in EDMPreconditioning(SPREADS).scalings(sigma.astype(np.float64))]
    expected = last + c[1] * (x - last) + c[2] * (0.5 * c[0] * (x - last) + c[3])
    assert np.allclose(denoised.asnumpy(), expected, rtol=1e-4, atol=1e-5)


class WithObservation(nn.Cell):
    def construct(self, x, noise_level, obs):
        return 0.5 * x + noise_level.reshape((-1, 1, 1, 1))


@pytest.mark.parametrize(
    ("sigma_data", "error", "words"),
    [
        ([], ValueError, "is empty"),
        ([0.5, 0.0], ValueError, r"'sigma_data\[1\]' must be in \(0, inf\), but is 0"),
        ([0.5, "1"], TypeError, r"'sigma_data\[1\]' must be a number"),
        (np.ones((2, 2)), TypeError, r"'sigma_data\[0\]' must be a number"),
        ("0.5", TypeError, "'sigma_data' must be a number"),
    ],
)
def test_bad_standard_deviations_are_refused(sigma_data, error, words):
    with pytest.raises(error, match=words):
        EDMPreconditioning(sigma_data)


def test_samples_of_other_channels_are_refused():
    rng = np.random.default_rng(3)
    given = batch(rng, EDMPreconditioning(), LEVELS)
    with pytest.raises(ValueError, match="has 2 numbers, one for each channel, but the samples have shape"):
        EDMTrainer(Scaled(), EDMPreconditioning(SPREADS[:2])).get_loss(*given)
    frames = Tensor(np.zeros((1, 1, 4, 4), np.float32))
    with pytest.raises(ValueError, match="has 2 numbers, one for each channel"):
        ResidualDenoiser(WithObservation(), EDMPreconditioning([1, 2]))(frames, Tensor([1.0]), frames)


def test_log_uniform_levels_fill_each_decade_alike():
    sigmas = log_uniform_sigmas(np.random.default_rng(0), 20000, 0.01, 100.0)
    counts, _ = np.histogram(np.log10(sigmas), bins=4, range=(-2, 2))
    # Of a binomial law with 20000 trials, the deviation is 61.
    assert np.abs(counts - 5000).max() < 4 * 61


@pytest.mark.parametrize(
    ("draw", "arguments", "error", "words"),
    [
        (log_uniform_sigmas, {"count": 0}, ValueError, "'count' must be at least 1"),
        (log_uniform_sigmas, {"count": 4, "sigma_min": 0}, ValueError, r"'sigma_min' must be in \(0, inf\)"),
        (log_uniform_sigmas, {"count": 4, "sigma_min": 2.0, "sigma_max": 1.0}, ValueError, "must be below 'sigma_max'"),
        (log_uniform_sigmas, {"count": 4, "sigma_max": np.inf}, ValueError, "'sigma_max' must be in"),
        (log_normal_sigmas, {"count": 4.0}, TypeError, "'count' must be an integer"),
        (log_normal_sigmas, {"count": 4, "scale": 0.0}, ValueError, "'scale' must be in"),
        (log_normal_sigmas, {"count": 4, "sigma_min": 3.0, "sigma_max": 3.0}, ValueError, "must be below 'sigma_max'"),
    ],
)
def test_bad_densities_of_levels_are_refused(draw, arguments, error, words):
    with pytest.raises(error, match=words):
        draw(np.random.default_rng(0), **arguments)
