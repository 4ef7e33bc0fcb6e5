"""Block noise, noise over several resolutions, and the two directions of renoising: formulas and properties."""

import math

import numpy as np
import pytest

from mindscience_diffuser import NoiseSource, block_noise
from mindscience_diffuser.noise import (
    block_mean,
    multi_scale_noise,
    multi_scale_samples,
    renoising_by_end,
    renoising_by_start,
)

GAMMAS = (1 / 3, 0.25, 0.1)
POINTS = np.linspace(0, 1, 21)


def blocks(noise):
    """The 2x2 blocks of the last two axes as rows of four values."""
    height, width = noise.shape[-2:]
    return noise.reshape(-1, height // 2, 2, width // 2, 2).swapaxes(2, 3).reshape(-1, 4).astype(np.float64)


def covariance(gamma):
    return (1 + gamma) * np.eye(4) - gamma * np.ones((4, 4))


@pytest.mark.parametrize("gamma", GAMMAS)
def test_block_noise_has_the_covariance_of_the_formula(gamma):
    values = blocks(block_noise((4, 1, 1000, 1000), gamma, generator=NoiseSource(0, 4)))
    assert len(values) == 10**6
    empirical = values.T @ values / len(values)
    assert np.abs(empirical - covariance(gamma)).max() <= 0.01
    assert np.abs(values.mean(axis=0)).max() <= 0.005


def test_blocks_are_independent_of_each_other():
    noise = block_noise((1, 1, 1000, 1000), 0.25, generator=np.random.default_rng(1)).astype(np.float64)
    for shifted in (noise[..., 2:, :] * noise[..., :-2, :], noise[..., 2:] * noise[..., :-2]):
        assert abs(shifted.mean()) <= 0.005
    across = noise[..., 1:-1:2] * noise[..., 2::2]
    assert abs(across.mean()) <= 0.005


def test_largest_gamma_makes_every_block_sum_to_zero():
    noise = block_noise((2, 3, 2, 8, 6), 1 / 3, generator=NoiseSource(0, 2))
    assert noise.dtype == np.float32 and noise.shape == (2, 3, 2, 8, 6)
    assert np.abs(blocks(noise).sum(axis=1)).max() <= 1e-6
    np.testing.assert_allclose(noise.std(), 1, atol=0.1)


def test_block_noise_of_a_sample_does_not_depend_on_the_batch():
    whole = block_noise((3, 2, 4, 4), 0.2, NoiseSource(5, 3))
    np.testing.assert_array_equal(block_noise((1, 2, 4, 4), 0.2, NoiseSource(5, [2])), whole[2:])


@pytest.mark.parametrize("gamma", [0, -1 / 3, 0.34, math.nan, math.inf])
def test_gamma_outside_its_range_is_refused(gamma):
    with pytest.raises(ValueError, match="'gamma' must be in"):
        block_noise((1, 1, 2, 2), gamma)
    with pytest.raises(ValueError, match="'gamma' must be in"):
        renoising_by_end(0.5, gamma)
    with pytest.raises(ValueError, match=r"'gamma' must be in (\[-1/3, 0\)|\(-inf, inf\))"):
        renoising_by_start(0.5, abs(gamma))
    with pytest.raises(TypeError, match="'gamma' must be a number"):
        block_noise((1, 1, 2, 2), "0.3")


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 1, 3, 4), "multiples of 2"),
        ((1, 1, 4, 5), "multiples of 2"),
        ((1, 1, 0, 4), "multiples of 2"),
        ((2, 4, 4), "3 axes"),
        ((4,), "1 axes"),
        ((1, 1, 1, 1, 2, 2), "6 axes"),
    ],
)
def test_shapes_without_blocks_are_refused(shape, message):
    with pytest.raises(ValueError, match=message):
        block_noise(shape)


def test_block_mean_is_the_mean_of_every_block():
    x = np.arange(2 * 3 * 4 * 6, dtype=np.float64).reshape(2, 3, 4, 6)
    np.testing.assert_allclose(block_mean(x).ravel(), blocks(x).mean(axis=1))
    assert block_mean(x).shape == (2, 3, 2, 3)


def test_noise_keeps_unit_variance_over_the_resolutions_and_samples_keep_their_mean():
    noise = np.random.default_rng(0).standard_normal((4, 1, 512, 512)) + 0
    for level, size in zip(multi_scale_noise(noise, 3), (128, 256, 512)):
        assert level.shape == (4, 1, size, size)
        assert abs(level.std() - 1) <= 0.01
        assert abs((level[..., 1:] * level[..., :-1]).mean()) <= 0.02
    samples = multi_scale_samples(noise + 3, 3)
    assert samples[-1] is not None and len(samples) == 3
    np.testing.assert_allclose([level.mean() for level in samples], samples[-1].mean(), rtol=1e-12)
    np.testing.assert_allclose(multi_scale_noise(noise, 3)[0], 4 * block_mean(block_mean(noise)))


@pytest.mark.parametrize("gamma", GAMMAS)
def test_the_two_directions_of_renoising_invert_each_other(gamma):
    end, scale, noise = renoising_by_start(POINTS, -gamma)
    start, alpha, beta = renoising_by_end(end, gamma)
    np.testing.assert_allclose(start, POINTS, atol=1e-15)
    np.testing.assert_allclose((alpha, beta), (scale, noise), rtol=1e-14, atol=1e-15)
    np.testing.assert_allclose(renoising_by_start(renoising_by_end(POINTS, gamma)[0], -gamma)[0], POINTS, atol=1e-15)


def test_the_paper_s_gamma_gives_its_closed_form():
    end, scale, noise = renoising_by_start(POINTS, -1 / 3)
    np.testing.assert_allclose(end, 2 * POINTS / (1 + POINTS), rtol=1e-14)
    np.testing.assert_allclose(scale, (1 + POINTS) / 2, rtol=1e-14)
    np.testing.assert_allclose(noise, math.sqrt(3) * (1 - POINTS) / 2, rtol=1e-14)


@pytest.mark.parametrize("gamma", GAMMAS)
def test_renoising_keeps_the_mean_and_makes_the_noise_white(gamma):
    for end in POINTS[1:]:
        start, alpha, beta = renoising_by_end(end, gamma)
        np.testing.assert_allclose(alpha * end, start, rtol=1e-14)
        repeated = (alpha * (1 - end)) ** 2 * np.ones((4, 4))
        np.testing.assert_allclose(repeated + beta**2 * covariance(gamma), (1 - start) ** 2 * np.eye(4), atol=1e-15)
