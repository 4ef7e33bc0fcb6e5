"""Random rigid motions: uniform rotations, exact centres, and trajectories that are the same up to a motion."""

import copy
import json
import pickle
from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn
from scipy.spatial.transform import Rotation

from mindscience_diffuser import (
    AlphaFold3Scheduler,
    CentredNoise,
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EDMHeunScheduler,
    NoiseSource,
    RigidMotion,
    Sampler,
)
from mindscience_diffuser.export import export_mindir, load_mindir
from mindscience_diffuser.readiness import ascend_problems

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


# --- trajectories ----------------------------------------------------------------------------------------------------


class Equivariant(nn.Cell):
    """D(R x + t) = R D(x) + t: atoms near the centre stay, those far from it are drawn to it."""

    def construct(self, x, sigma):
        centre = x.mean(1, keep_dims=True)
        distance = (x - centre).square().sum(-1, keepdims=True)
        return centre + (x - centre) / (1 + distance / 100)


class Fixed(nn.Cell):
    """A denoiser that knows where the origin is."""

    def construct(self, x, sigma):
        return 3 * (x * 0.3).tanh()


def scheduled(kind=AlphaFold3Scheduler, steps=3, **config):
    scheduler = kind(**config)
    scheduler.set_timesteps(steps)
    return scheduler


CHURNED = {"sigma_max": 80.0}
KINDS = {
    "alphafold3": (AlphaFold3Scheduler, CHURNED),
    "heun": (EDMHeunScheduler, {"prediction_type": "sample", "s_churn": 10.0}),
    "without noise": (AlphaFold3Scheduler, {"gamma_0": 0.0, **CHURNED}),
}


@pytest.mark.parametrize("name, mask", [("alphafold3", MASK), ("heun", None), ("without noise", None)], ids=list(KINDS))
def test_all_ways_to_run_are_the_loop_over_steps(name, mask):
    kind, config = KINDS[name]
    scheduler = scheduled(kind, **config)
    motion, law = RigidMotion(2.0, mask), CentredNoise(mask)
    rows, order = len(scheduler.timesteps), scheduler.order
    motions = motion.draw_steps(rows, 2, 5)
    fresh = np.stack([law.draw((2, 5, 3), 10 + k) for k in range(rows)])
    start = Tensor(law.draw((2, 5, 3), 9) * 80)
    x, step = start, 0
    for row, sigma in enumerate(scheduler.timesteps):
        noise = Tensor(fresh[row])
        x = scheduler.step(Fixed()(x, sigma), x, sigma, noise=noise)
        if (row + 1) % order == 0 and row + 1 < rows:
            step += 1
            x = motion.apply(x, motions[row], noise, scheduler.churn_std[step])
    for method in ("step", "loop", "unrolled"):
        sampler = Sampler(Fixed(), scheduler, method, noise_law=law, motion=motion)
        given = {"step_noise": Tensor(fresh)} if sampler.stochastic else {}
        drawn = sampler(start, step_motions=Tensor(motions), **given)
        np.testing.assert_allclose(drawn.asnumpy(), x.asnumpy(), atol=2e-4)


def test_a_sampler_takes_the_trajectory_of_alphafold3s_own_file():
    scheduler = scheduled(steps=json.loads(str(GOLDEN["moved"]))["steps"])
    motion, motions, atoms = RigidMotion(mask=GOLDEN["mask"]), GOLDEN["motions"], GOLDEN["mask"] == 1
    start = motion.apply(Tensor(scheduler.sigmas[0] * draw(-1), ms.float32), motions[0]).asnumpy()
    start = Tensor(start + scheduler.churn_std[0] * draw(0), ms.float32)
    after = np.concatenate([motions[1:], motions[-1:]])
    noise = np.stack([draw(i + 1) @ after[i, :, :3].transpose(0, 2, 1) for i in range(len(after))])

    class Toy(nn.Cell):
        def construct(self, x, sigma):
            return x / (1 + sigma.square().reshape((-1, 1, 1))) + 0.1 * x.tanh()

    sampler = Sampler(Toy(), scheduler, motion=motion)
    end = sampler(start, step_noise=Tensor(noise, ms.float32), step_motions=after).asnumpy()
    # The noise of the last step has no weight, and its sample is not moved.
    golden = GOLDEN["moved_samples"][-1]
    np.testing.assert_allclose(end[:, atoms], golden[:, atoms], atol=1e-5 + 3e-7 * scheduler.sigmas[0])


@pytest.mark.parametrize("name", ["alphafold3", "without noise"])
def test_with_an_equivariant_denoiser_only_the_pose_differs(name):
    kind, config = KINDS[name]
    scheduler = scheduled(kind, **config)
    rows = len(scheduler.timesteps)
    motion, start = RigidMotion(2.0), Tensor(RNG.standard_normal((2, 5, 3)) * 80, ms.float32)
    motions = motion.draw_steps(rows, 2, 5)
    noise = RNG.standard_normal((rows, 2, 5, 3))
    turned, pose = noise.copy(), np.broadcast_to(np.eye(3), (2, 3, 3))
    for row in range(rows):
        turned[row] = noise[row] @ pose
        if row + 1 < rows:
            pose = pose @ motions[row, :, :3]
    ends = []
    for options, fresh in (({}, noise), ({"motion": motion}, turned)):
        sampler = Sampler(Equivariant(), scheduler, **options)
        given = {"step_noise": Tensor(fresh, ms.float32)} if sampler.stochastic else {}
        given.update({"step_motions": motions} if options else {})
        ends.append(sampler(start, **given).asnumpy().astype(np.float64))
    assert np.abs(ends[0] - ends[1]).max() > 1
    for plain, moving, turn in zip(*ends, pose):
        found, distance = Rotation.align_vectors(moving - moving.mean(0), plain - plain.mean(0))
        assert distance < 1e-3
        np.testing.assert_allclose(found.as_matrix().T, turn, atol=1e-3)


@pytest.mark.parametrize("method", ["loop", "unrolled"])
def test_a_sample_does_not_depend_on_its_batch(method):
    scheduler, motion = scheduled(**CHURNED), RigidMotion()
    sampler = Sampler(Fixed(), scheduler, method, noise_law=CentredNoise(), motion=motion)
    start = sampler.initial_noise((3, 5, 3), 0)
    together = sampler(start, generator=4).asnumpy()
    alone = sampler(start[2:], generator=NoiseSource(4, [2], stream=1))
    shared = sampler(start, generator=NoiseSource(4, 3, stream=1)).asnumpy()
    np.testing.assert_allclose(alone.asnumpy()[0], shared[2], atol=1e-4)
    np.testing.assert_allclose(sampler(start[:1], generator=4).asnumpy(), together[:1], atol=1e-4)


def test_another_schedule_is_followed_and_intermediates_are_those_moved():
    scheduler, motion = scheduled(**CHURNED), RigidMotion(0.0)
    sampler = Sampler(Fixed(), scheduler, "unrolled", True, noise_law=CentredNoise(), motion=motion)
    start = Tensor(X * 2)
    scheduler.set_timesteps(4)
    end, samples, _ = (value.asnumpy() for value in sampler(start, generator=0))
    assert samples.shape == (5, 2, 5, 3)
    # Between the steps samples are centred; the start and the end are as they are.
    assert np.abs(samples[1:4].mean(2)).max() < 1e-4 < np.abs(samples[0].mean(1)).min()
    np.testing.assert_array_equal(samples[-1], end)


def test_float16_stays_finite():
    scheduler = scheduled(steps=8, compute_dtype=ms.float16)
    sampler = Sampler(Equivariant(), scheduler, noise_law=CentredNoise(), motion=RigidMotion())
    end = sampler(sampler.initial_noise((2, 64, 3), 0), generator=0)
    assert end.dtype == ms.float16 and np.isfinite(end.asnumpy()).all()


@pytest.mark.parametrize("mask", [None, MASK], ids=["whole", "ragged"])
def test_an_exported_trajectory_takes_the_motions(mask, tmp_path):
    motion = RigidMotion(mask=mask)
    sampler = Sampler(Fixed(), scheduled(steps=4, **CHURNED), motion=motion)
    start, noise = Tensor(X), Tensor(NoiseSource(0, 4).standard_normal((4, 2, 5, 3)))
    motions = Tensor(motion.draw_steps(4, 2, 1))
    given = (start, noise, motions) if mask is None else (start, noise, motions, motion.mask_of(2))
    path = export_mindir(sampler, tmp_path / "moved.mindir", *given)
    graph = load_mindir(path, sampler.plan)
    names = ("noise", "step_noise", "step_motions") + (() if mask is None else ("motion_mask",))
    assert graph.input_names == names and ascend_problems(path) == []
    expected = sampler(start, step_noise=noise, step_motions=motions).asnumpy()
    np.testing.assert_allclose(graph(*given).asnumpy(), expected, atol=2e-5)


@pytest.mark.filterwarnings("ignore:1 steps are too few")
def test_a_schedule_that_would_remember_is_refused_and_changes_nothing():
    scheduler = scheduled(DPMSolverMultistepScheduler, 1)
    sampler = Sampler(Fixed(), scheduler, motion=RigidMotion())
    with pytest.raises(ValueError, match="DPMSolverMultistepScheduler remembers earlier"):
        scheduler.set_timesteps(5)
    assert scheduler.num_inference_steps == 1 and len(sampler.plan) == 1
    Sampler(Fixed(), scheduled(DDIMScheduler, 5, clip_sample=False), motion=RigidMotion())


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
