"""Random rigid motions: uniform rotations, exact centres, and trajectories that are the same up to a motion."""

import copy
import json
import pickle
from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor
from scipy.spatial.transform import Rotation

from mindscience_diffuser import AlphaFold3Scheduler, CentredNoise, NoiseSource, RigidMotion

GOLDEN = np.load(Path(__file__).parent / "golden" / "science.npz")
RNG = np.random.default_rng(0)
MASK = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
STILL = np.broadcast_to(np.eye(4, 3), (2, 4, 3))
X = (RNG.standard_normal((2, 5, 3)) * 10 + 40).astype(np.float32)


def test_rotations_are_uniform():
    motions = RigidMotion(2.0).draw(40000, 0).astype(np.float64)
    turns, shifts = motions[:, :3], motions[:, 3]
    np.testing.assert_allclose(turns @ turns.transpose(0, 2, 1), np.broadcast_to(np.eye(3), turns.shape), atol=1e-6)
    np.testing.assert_allclose(np.linalg.det(turns), 1, atol=1e-6)
    flat = turns.reshape(-1, 9)
    # E[R] = 0, E[R_ij R_kl] = delta / 3, within five standard errors; a third moment tells it from a Gaussian.
    assert np.abs(flat.mean(0)).max() < 5 * np.sqrt(1 / 3 / 40000)
    assert np.abs(flat.T @ flat / 40000 - np.eye(9) / 3).max() < 5 * np.sqrt(0.2 / 40000)
    # The angle of a uniform rotation has the density (1 - cos a) / pi, so that E[cos a] = -1 / 2.
    cosine = (np.trace(turns, axis1=1, axis2=2) - 1) / 2
    assert abs(cosine.mean() + 0.5) < 5 * 0.5 / np.sqrt(40000)
    assert np.abs(shifts.mean(0)).max() < 5 * 2 / np.sqrt(40000)
    np.testing.assert_allclose(np.cov(shifts.T), 4 * np.eye(3), atol=5 * 4 * np.sqrt(2 / 40000))
    assert np.abs(np.corrcoef(flat.T, shifts.T)[:9, 9:]).max() < 5 / np.sqrt(40000)


def test_each_sample_has_motions_of_its_own_whatever_the_batch():
    motion = RigidMotion()
    several = motion.draw_steps(4, 3, NoiseSource(7, 3))
    source = NoiseSource(7, [2])
    alone = np.stack([motion.draw(1, source) for _ in range(4)])
    assert several.shape == (4, 3, 4, 3) and several.dtype == np.float32
    np.testing.assert_array_equal(several[:, 2:], alone)
    assert len(np.unique(several[..., 0, 0])) == 12
    for copied in (copy.deepcopy(motion), pickle.loads(pickle.dumps(RigidMotion(mask=MASK)))):
        np.testing.assert_array_equal(copied.draw(3, 7), motion.draw(3, 7))


@pytest.mark.parametrize("mask", [None, MASK, MASK[1]], ids=["whole", "ragged", "one mask"])
@pytest.mark.parametrize("dtype", [ms.float32, ms.float16])
def test_the_centre_of_the_atoms_goes_to_the_translation(mask, dtype):
    motion = RigidMotion(3.0, mask)
    drawn = motion.draw(2, 1)
    result = motion.apply(Tensor(X, dtype), drawn)
    assert result.dtype == dtype
    result = result.asnumpy().astype(np.float64)
    present = np.broadcast_to(np.ones(5) if mask is None else mask, (2, 5))
    given = Tensor(X, dtype).asnumpy().astype(np.float64)
    for k in range(2):
        atoms = present[k] == 1
        centred = given[k, atoms] - given[k, atoms].mean(0)
        tolerance = 2e-5 if dtype == ms.float32 else 0.03
        np.testing.assert_allclose(result[k, atoms], centred @ drawn[k, :3] + drawn[k, 3], atol=tolerance)
        np.testing.assert_allclose(result[k, atoms].mean(0), drawn[k, 3], atol=tolerance)
        assert np.all(result[k, ~atoms] == 0)
        # A rotation and no reflection: superposition leaves nothing.
        turn, distance = Rotation.align_vectors(result[k, atoms] - result[k, atoms].mean(0), centred)
        assert distance < 5 * tolerance and np.linalg.det(turn.as_matrix()) > 0


def test_far_and_large_molecules_stay_finite_in_half_precision():
    x = Tensor((RNG.standard_normal((1, 4000, 3)) * 2560 + 5000).astype(np.float16))
    motion = RigidMotion()
    result = motion.apply(x, motion.draw(1, 0)).asnumpy().astype(np.float64)
    assert np.isfinite(result).all() and np.abs(result.mean(1)).max() < 10


@pytest.mark.parametrize("mask", [None, MASK])
def test_fresh_noise_is_turned_but_keeps_its_centre(mask):
    motion, noise = RigidMotion(0.0, mask), CentredNoise(mask).draw((2, 5, 3), 0) + 5
    noise = noise if mask is None else noise * mask[..., None]
    drawn = motion.draw(2, 3)
    apart = motion.apply(Tensor(X), drawn).asnumpy() + 1.7 * noise @ drawn[:, :3]
    together = motion.apply(Tensor(X + 1.7 * noise, ms.float32), drawn, Tensor(noise, ms.float32), 1.7).asnumpy()
    np.testing.assert_allclose(together, apart, atol=2e-5)


# --- as in AlphaFold 3 -----------------------------------------------------------------------------------------------


def draw(step):
    """The noise of scripts/make_golden_science.py."""
    return np.random.default_rng((3, step + 1)).standard_normal((2, 5, 3))


def denoise(x, sigma):
    """Its toy denoiser, which is not equivariant."""
    return x / (1 + sigma**2) + 0.1 * np.tanh(x)


def test_a_loop_takes_the_trajectory_of_alphafold3s_own_file():
    scheduler = AlphaFold3Scheduler()
    scheduler.set_timesteps(json.loads(str(GOLDEN["moved"]))["steps"])
    motion, motions, atoms = RigidMotion(mask=GOLDEN["mask"]), GOLDEN["motions"], GOLDEN["mask"] == 1
    steps, stds = len(scheduler.timesteps), scheduler.churn_std
    x = motion.apply(Tensor(scheduler.sigmas[0] * draw(-1), ms.float32), motions[0]).asnumpy() + stds[0] * draw(0)
    for i, sigma in enumerate(scheduler.timesteps):
        size = np.abs(x).max()
        # The file adds its noise after the motion; so turned, that of the loop is the same after it.
        noise = draw(i + 1) @ motions[min(i + 1, steps - 1)][:, :3].transpose(0, 2, 1)
        output = Tensor(denoise(x, float(sigma)), ms.float32)
        moving = scheduler.step(output, Tensor(x, ms.float32), sigma, noise=Tensor(noise, ms.float32))
        ended = moving.asnumpy() - stds[i + 1] * noise
        # float32 rounds to 1e-7 of the sample before the step, which may be much larger than that after it.
        np.testing.assert_allclose(ended[:, atoms], GOLDEN["moved_samples"][i][:, atoms], atol=1e-5 + 3e-7 * size)
        if i + 1 < steps:
            moving = motion.apply(moving, motions[i + 1], Tensor(noise, ms.float32), stds[i + 1])
        x = moving.asnumpy().astype(np.float64)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: RigidMotion(-1.0), r"'translation_std' must be in \[0, inf\), but is -1.0"),
        (lambda: RigidMotion("far"), "'translation_std' must be"),
        (lambda: RigidMotion(mask=[[1, 0], [0, 0]]), "'mask' leaves sample 1 without any particle"),
        (lambda: RigidMotion(mask=[0.5, 1]), r"'mask' must be \(N,\) or \(B, N\) of 0 and 1"),
        (lambda: RigidMotion(mask=[1, 1]).apply(Tensor(X), np.zeros((2, 4, 3))), "'mask' is for 1 samples of 2"),
        (
            lambda: RigidMotion().apply(Tensor(X[..., :2]), np.zeros((2, 4, 3))),
            r"'sample' must be positions \(B, N, 3\)",
        ),
        (lambda: RigidMotion().apply(Tensor(X[0]), np.zeros((2, 4, 3))), r"'sample' must be positions \(B, N, 3\)"),
        (lambda: RigidMotion().apply(X, np.zeros((2, 4, 3))), "'sample' must be a Tensor"),
        (lambda: RigidMotion().apply(Tensor(X), np.zeros((1, 4, 3))), r"'motion' must have the shape \(2, 4, 3\)"),
        (lambda: RigidMotion().apply(Tensor(X), np.zeros((2, 4, 3)), Tensor(X[:, :4])), "'noise' has shape"),
    ],
)
def test_mistakes_are_named(build, message):
    with pytest.raises((TypeError, ValueError), match=message):
        build()
