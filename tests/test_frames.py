"""Levels of noise that differ between the frames of a sample: in steps, in `add_noise` and in a Sampler."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn, ops

import mindscience_diffuser as md
from mindscience_diffuser import FrameSchedule, Sampler
from mindscience_diffuser.export import export_mindir, load_mindir

BATCH, FRAMES, VALUES, STEPS = 2, 4, 3, 5
KINDS = ("full_sequence", "autoregressive", "pyramid", "trapezoid")
SCHEDULERS = {
    "DDIM": ("DDIMScheduler", {"clip_sample": False}),
    "DDIM clipped": ("DDIMScheduler", {}),
    "DPM++ 2M": ("DPMSolverMultistepScheduler", {}),
    "UniPC": ("UniPCMultistepScheduler", {"solver_order": 3}),
    "PNDM": ("PNDMScheduler", {}),
    "LCM": ("LCMScheduler", {}),
    "Heun": ("HeunDiscreteScheduler", {}),
    "flow": ("FlowMatchEulerDiscreteScheduler", {"shift": 3.0}),
    "EDM Heun": ("EDMHeunScheduler", {"s_churn": 2.0}),
}


class Pointwise(nn.Cell):
    """A model whose prediction for a value depends on this value and the timestep of its frame alone."""

    def construct(self, x, timestep):
        told = ops.cast(timestep, ms.float32).reshape(timestep.shape + (1,) * (x.ndim - timestep.ndim))
        return ops.cast(0.3 * ops.sin(0.7 * ops.cast(x, ms.float32) + 0.01 * told), x.dtype)


class WithinFrames(Pointwise):
    """A model whose prediction for a value depends on all values of its frame."""

    def construct(self, x, timestep):
        return super().construct(x + ops.cast(x.mean(axis=-1, keep_dims=True), x.dtype), timestep)


MODEL = Pointwise()


def scheduled(name, steps=STEPS):
    kind, arguments = SCHEDULERS[name]
    scheduler = getattr(md, kind)(**arguments)
    scheduler.set_timesteps(steps)
    return scheduler


def start(scheduler, seed=0):
    noise = np.random.default_rng(seed).standard_normal((BATCH, FRAMES, VALUES)).astype(np.float32)
    return Tensor(noise * np.float32(scheduler.init_noise_sigma))


def no_noise(sampler, shape):
    """Fresh noise of 0, so that a stochastic plan can be compared step by step."""
    return {"step_noise": Tensor(np.zeros((len(sampler.plan), *shape), np.float32))} if sampler.stochastic else {}


def alone(scheduler, noise, **options):
    """Every frame sampled by itself."""
    sampler = Sampler(MODEL, scheduler, **options)
    frames = [sampler(noise[:, f], **no_noise(sampler, noise[:, f].shape)).asnumpy() for f in range(noise.shape[1])]
    return np.stack(frames, axis=1)


def test_matrices():
    assert FrameSchedule(3).matrix(2).tolist() == [[2, 2, 2], [1, 1, 1], [0, 0, 0]]
    assert FrameSchedule(2, "autoregressive").matrix(2).tolist() == [[2, 2], [1, 2], [0, 2], [0, 1], [0, 0]]
    pyramid = FrameSchedule(3, "pyramid", uncertainty=0.5)
    assert pyramid.matrix(2).tolist() == [[2, 2, 2], [1, 1, 2], [0, 0, 1], [0, 0, 0]]
    assert FrameSchedule(4, "trapezoid").matrix(2).tolist() == [[2, 2, 2, 2], [1, 2, 2, 1], [0, 1, 1, 0], [0, 0, 0, 0]]
    assert FrameSchedule(3, "pyramid", context=1).matrix(1).tolist() == [[0, 1, 1], [0, 0, 1], [0, 0, 0]]


@pytest.mark.parametrize("frames,steps", [(1, 1), (5, 3), (6, 7)])
@pytest.mark.parametrize("kind", KINDS)
def test_every_frame_takes_every_step_once(kind, frames, steps):
    matrix = FrameSchedule(frames, kind, uncertainty=1.3).matrix(steps)
    falls = -np.diff(matrix, axis=0)
    assert set(np.unique(falls)) <= {0, 1} and np.all(falls.sum(axis=0) == steps) and np.all(falls.any(axis=1))


@pytest.mark.every_case
@pytest.mark.parametrize("name", SCHEDULERS)
def test_frames_come_out_as_if_sampled_alone(name):
    scheduler = scheduled(name)
    noise = start(scheduler)
    expected = alone(scheduler, noise)
    sampler = Sampler(MODEL, scheduler, frames=FrameSchedule(FRAMES, "pyramid", uncertainty=1.5))
    drawn = sampler(noise, **no_noise(sampler, noise.shape)).asnumpy()
    np.testing.assert_allclose(drawn, expected, rtol=0, atol=2e-6 * np.abs(expected).max())


@pytest.mark.parametrize("kind", KINDS)
def test_every_matrix_gives_the_same_independent_frames(kind):
    scheduler = scheduled("EDM Heun")
    noise = start(scheduler)
    sampler = Sampler(MODEL, scheduler, method="step", frames=FrameSchedule(FRAMES, kind, uncertainty=1.5))
    drawn, expected = sampler(noise, **no_noise(sampler, noise.shape)).asnumpy(), alone(scheduler, noise, method="step")
    np.testing.assert_allclose(drawn, expected, rtol=0, atol=2e-6 * np.abs(expected).max())


def test_methods_agree_and_follow_the_schedule():
    scheduler = scheduled("DPM++ 2M")
    noise = start(scheduler)
    frames = FrameSchedule(FRAMES, "pyramid")
    samplers = [Sampler(MODEL, scheduler, method=method, frames=frames) for method in ("loop", "unrolled", "step")]
    for steps in (STEPS, 3):
        scheduler.set_timesteps(steps)
        expected = alone(scheduler, noise)
        for sampler in samplers:
            assert len(sampler.plan) == steps + FRAMES - 1
            drawn = sampler(noise).asnumpy()
            np.testing.assert_allclose(drawn, expected, rtol=0, atol=2e-6 * np.abs(expected).max())


def test_an_own_matrix_is_refused_where_it_no_longer_fits():
    scheduler = scheduled("DDIM", 4)
    sampler = Sampler(MODEL, scheduler, frames=FrameSchedule(FRAMES, "pyramid").matrix(4))
    noise = start(scheduler)
    np.testing.assert_allclose(sampler(noise).asnumpy(), alone(scheduler, noise), rtol=0, atol=2e-6)
    before = scheduler.timesteps
    with pytest.raises(ValueError, match=r"'frames' must hold numbers of steps that are left, in \[0, 3\]"):
        scheduler.set_timesteps(3)
    assert scheduler.timesteps is before


def test_frames_of_the_context_stay_and_are_told_to_be_clean():
    scheduler = scheduled("flow")
    told = Sampler(MODEL, scheduler, frames=FrameSchedule(FRAMES, "autoregressive", context=2)).plan.timesteps
    assert np.all(told[:, :2] == 0) and np.all(told[-1, :3] == 0) and told[0, 3] == scheduler.timesteps[0]
    noise = start(scheduler)
    sampler = Sampler(MODEL, scheduler, frames=FrameSchedule(FRAMES, "autoregressive", context=2))
    drawn = sampler(noise).asnumpy()
    assert np.array_equal(drawn[:, :2], noise.asnumpy()[:, :2])
    np.testing.assert_allclose(drawn[:, 2:], alone(scheduler, noise)[:, 2:], rtol=0, atol=2e-6)


def test_known_values_hold_in_every_frame():
    scheduler = scheduled("DDIM")
    noise = start(scheduler)
    known = Tensor(np.random.default_rng(3).standard_normal(noise.shape).astype(np.float32))
    mask = Tensor(np.array([1.0, 0.0, 1.0], np.float32))
    model = WithinFrames()
    sampler = Sampler(model, scheduler, inpaint=True, frames=FrameSchedule(FRAMES, "pyramid"))
    single = Sampler(model, scheduler, inpaint=True)
    drawn = sampler(noise, mask=mask, known=known).asnumpy()
    for f in range(FRAMES):
        expected = single(noise[:, f], mask=mask, known=known[:, f]).asnumpy()
        np.testing.assert_allclose(drawn[:, f], expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize("name", ["DDIM", "DPM++ 2M", "UniPC", "LCM", "flow"])
def test_steps_with_a_timestep_for_each_frame(name):
    scheduler = scheduled(name)
    noise = start(scheduler)
    matrix = FrameSchedule(FRAMES, "pyramid").matrix(STEPS)
    rows, moves = STEPS - matrix, matrix[:-1] > matrix[1:]
    x, zeros = noise, Tensor(np.zeros(noise.shape, np.float32))
    history = not isinstance(scheduler, md.DDIMScheduler)
    for row, moving in zip(rows, moves):
        timesteps = scheduler.timesteps[np.minimum(row, STEPS - 1)]
        told = Tensor(np.tile(timesteps.astype(np.float32), (BATCH, 1)))
        output = MODEL(x, told)
        given = (
            Tensor(np.where(moving, told.asnumpy(), np.nan).astype(np.float32)) if history else told.astype(ms.int32)
        )
        options = {"noise": zeros} if name == "LCM" else {}
        after = scheduler.step(output, x, given, **options)
        x = after if history else ops.where(Tensor(moving)[None, :, None], after, x)
    expected = alone(scheduler, noise)
    np.testing.assert_allclose(x.asnumpy(), expected, rtol=0, atol=2e-6 * np.abs(expected).max())


@pytest.mark.parametrize("name", ["DDIM", "DPM++ 2M", "LCM", "EDM Heun", "flow"])
def test_equal_levels_are_an_ordinary_step(name):
    scheduler = scheduled(name)
    x, zeros = start(scheduler), Tensor(np.zeros((BATCH, FRAMES, VALUES), np.float32))
    kept = x
    dtype = ms.int32 if scheduler.timesteps.dtype.kind == "i" else ms.float32
    options = {"noise": zeros} if scheduler.plan_for().stochastic else {}
    for t in scheduler.timesteps:
        each = Tensor(np.full((BATCH, FRAMES), t), dtype)
        scheduler_input = scheduler.scale_model_input(x, each)
        output = MODEL(scheduler_input, each)
        x = scheduler.step(output, x, each, **options)
    scheduler.set_timesteps(STEPS)
    for t in scheduler.timesteps:
        output = MODEL(scheduler.scale_model_input(kept, Tensor(t, dtype)), Tensor(np.full(BATCH, t), dtype))
        kept = scheduler.step(output, kept, Tensor(t, dtype), **options)
    assert np.array_equal(x.asnumpy(), kept.asnumpy())


@pytest.mark.parametrize("name", ["DDIM", "DPM++ 2M", "EDM Heun", "flow"])
def test_noise_is_added_at_the_level_of_each_frame(name):
    scheduler = scheduled(name)
    rng = np.random.default_rng(1)
    x, z = (Tensor(rng.standard_normal((BATCH, FRAMES, VALUES)).astype(np.float32)) for _ in range(2))
    timesteps = rng.permutation(np.resize(scheduler.timesteps, BATCH * FRAMES)).reshape(BATCH, FRAMES)
    given = Tensor(timesteps)
    noised = scheduler.add_noise(x, z, given).asnumpy()

    @ms.jit
    def in_graph(a, b, t):
        return scheduler.add_noise(a, b, t)

    for f in range(FRAMES):
        expected = scheduler.add_noise(x[:, f], z[:, f], given[:, f]).asnumpy()
        np.testing.assert_allclose(noised[:, f], expected, rtol=1e-6)
    np.testing.assert_allclose(in_graph(x, z, given).asnumpy(), noised, rtol=1e-6)


def test_a_graph_takes_a_row_for_each_frame():
    scheduler = scheduled("DPM++ 2M")
    x = start(scheduler)
    rows = np.array([[0, 1, 2, 3], [4, 2, 1, 0]])
    rng = np.random.default_rng(2)
    output, remembered = (Tensor(rng.standard_normal(x.shape).astype(np.float32)) for _ in range(2))

    @ms.jit
    def step(output, x, index, history):
        return scheduler(output, x, index, history)

    together = [value.asnumpy() for value in step(output, x, Tensor(rows, ms.int32), remembered)]
    for b in range(BATCH):
        for f in range(FRAMES):
            one, row = (slice(b, b + 1), slice(f, f + 1)), Tensor(rows[b, f], ms.int32)
            for part, expected in zip(together, step(output[one], x[one], row, remembered[one])):
                np.testing.assert_allclose(part[b, f], expected.asnumpy()[0, 0], rtol=1e-5)


class SequenceDenoiser(nn.Cell):
    """E[x | noisy frames] of a Gaussian sequence with covariance C, each frame at its own sigma."""

    def __init__(self, covariance):
        super().__init__()
        self.precision = Tensor(np.linalg.inv(covariance).astype(np.float32))
        self.identity = Tensor(np.eye(len(covariance), dtype=np.float32))

    def construct(self, x, sigma):
        weight = 1 / (sigma * sigma)
        posterior = ops.inverse(self.precision + ops.expand_dims(weight, -1) * self.identity)
        return ops.matmul(posterior, ops.expand_dims(weight * x, -1)).squeeze(-1)


@pytest.mark.parametrize("kind", ["autoregressive", "pyramid"])
def test_an_autoregressive_sequence_has_its_exact_covariance(kind):
    place = np.arange(FRAMES)
    covariance = 0.9 ** np.abs(place[:, None] - place)
    scheduler = md.EDMDPMSolverMultistepScheduler(prediction_type="sample", sigma_schedule="exponential")
    scheduler.set_timesteps(100)
    sampler = Sampler(SequenceDenoiser(covariance), scheduler, frames=FrameSchedule(FRAMES, kind, uncertainty=20))
    # Every step is linear, so that the images of the unit vectors are the whole map.
    noise = Tensor((np.eye(FRAMES) * 80.0).astype(np.float32))
    errors = []
    for steps in (100, 200):
        scheduler.set_timesteps(steps)
        images = sampler(noise).asnumpy().astype(np.float64)
        errors.append(np.abs(images.T @ images - covariance).max())
    assert errors[0] < 2e-3 and errors[1] < 0.4 * errors[0]  # The solver is of second order.


def trainers():
    diffusion = md.DDPMScheduler(clip_sample=False, prediction_type="v_prediction")
    return {
        "diffusion": md.DiffusionTrainer(Pointwise(), diffusion, "pred_v", loss_type="l2", min_snr_gamma=5.0),
        "flow": md.FlowMatchingTrainer(Pointwise(), weighting="sigma_sqrt"),
        "edm": md.EDMTrainer(Pointwise()),
    }


@pytest.mark.parametrize("kind", ["diffusion", "flow", "edm"])
def test_training_with_independent_levels_is_that_of_single_frames(kind):
    trainer, rng = trainers()[kind], np.random.default_rng(5)
    x = rng.standard_normal((BATCH, FRAMES, VALUES)).astype(np.float32)
    levels = rng.integers(0, 1000, (BATCH, FRAMES)).astype(np.int32)
    if kind != "diffusion":
        levels = ((levels + 1) / 1000).astype(np.float32)
    noise = trainer.draw_noise(levels, x.shape, 0) if kind == "edm" else trainer.draw_noise(x.shape, 0)
    mask = (rng.random((BATCH, FRAMES, 1)) > 0.3).astype(np.float32)

    @ms.jit
    def losses(*batch, weights):
        return trainer.get_losses(*batch, weights=weights)

    batch = [Tensor(part) for part in (x, noise, levels)]
    for weights in (None, Tensor(mask)):
        loss, each = losses(*batch, weights=weights)
        # As B * T samples of one frame.
        single = [Tensor(part.reshape(BATCH * FRAMES, *part.shape[2:])) for part in (x, noise, levels)]
        alone = None if weights is None else Tensor(mask.reshape(-1, 1))
        expected, of_each = losses(*single, weights=alone)
        np.testing.assert_allclose(loss.asnumpy(), expected.asnumpy(), rtol=1e-5)
        np.testing.assert_allclose(each.asnumpy().ravel(), of_each.asnumpy(), rtol=1e-5, equal_nan=True)
    with pytest.raises(ValueError, match=r"samples or for each frame of them, shape \(2, 4\), but has shape \(2, 3\)"):
        trainer.get_loss(*batch[:2], batch[2][:, :3])


def test_float16_is_finite_and_close():
    exact, scheduler = scheduled("DPM++ 2M"), md.DPMSolverMultistepScheduler(compute_dtype=ms.float16)
    scheduler.set_timesteps(STEPS)
    noise = start(exact)
    frames = FrameSchedule(FRAMES, "pyramid")
    drawn = Sampler(MODEL, scheduler, frames=frames)(noise.astype(ms.float16))
    assert drawn.dtype == ms.float16
    expected = Sampler(MODEL, exact, frames=frames)(noise).asnumpy()
    np.testing.assert_allclose(drawn.asnumpy(), expected, rtol=0, atol=5e-3 * np.abs(expected).max())


def test_export(tmp_path):
    scheduler = scheduled("DPM++ 2M")
    noise = start(scheduler)
    sampler = Sampler(MODEL, scheduler, frames=FrameSchedule(FRAMES, "trapezoid"))
    path = export_mindir(sampler, tmp_path / "frames.mindir", noise)
    reloaded = load_mindir(path, plan=sampler.plan)
    more = ops.cat((noise, noise[:1]))
    np.testing.assert_allclose(reloaded(more).asnumpy(), sampler(more).asnumpy(), rtol=0, atol=1e-6)
    other = Sampler(MODEL, scheduler, frames=FrameSchedule(FRAMES, "pyramid"))
    with pytest.raises(ValueError, match="was exported with another plan"):
        load_mindir(path, plan=other.plan)


@pytest.mark.parametrize(
    "frames,error,message",
    [
        ("pyramid", TypeError, "'frames' must be a FrameSchedule or a matrix of integers"),
        (np.ones((3, 2)), TypeError, "'frames' must be a FrameSchedule or a matrix of integers"),
        (np.zeros((3, 2, 1), int), ValueError, "'frames' must be a matrix with a row before each step"),
        (
            [[1, 1], [0, 2]],
            ValueError,
            "'frames' must fall by 0 or 1 in every step, but frame 1 goes from 1 to 2 in step 0",
        ),
        (
            [[4, 4], [4, 2]],
            ValueError,
            "'frames' must fall by 0 or 1 in every step, but frame 1 goes from 4 to 2 in step 0",
        ),
        ([[6, 5], [5, 5]], ValueError, r"'frames' must hold numbers of steps that are left, in \[0, 5\]"),
        ([[0, 5], [0, 5]], ValueError, "'frames' must fall somewhere"),
        ([[3, 3], [2]], ValueError, "'frames' must be a matrix with as many numbers in each row as there are frames"),
    ],
)
def test_matrices_that_are_none(frames, error, message):
    with pytest.raises(error, match=message):
        Sampler(MODEL, scheduled("DDIM"), frames=frames)


class Calls(nn.Cell):
    """A cell that calls a Sampler."""

    def __init__(self, sampler):
        super().__init__()
        self.sampler = sampler

    def construct(self, noise):
        return self.sampler(noise)


@pytest.mark.parametrize("shape", [(2, 1, 8), (2, 4, 8)])
def test_samples_of_another_number_of_frames_are_refused_before_the_steps(shape):
    """One frame would broadcast to all; in a graph too, where nothing has compiled the model yet."""
    sampler = Sampler(MODEL, scheduled("DDIM"), frames=FrameSchedule(3))
    noise = Tensor(np.zeros(shape, np.float32))
    for call in (sampler, Calls(sampler)):
        with pytest.raises(ValueError, match="'frames' has levels for 3 frames, but the noise has shape"):
            call(noise)


def test_what_mixes_frames_is_refused():
    thresholding = md.DDIMScheduler(clip_sample=False, thresholding=True)
    thresholding.set_timesteps(STEPS)
    with pytest.raises(ValueError, match="this scheduler has thresholding, which would mix frames"):
        Sampler(MODEL, thresholding, frames=FrameSchedule(FRAMES))
    corrector = md.ScoreSdeVeScheduler()
    corrector.set_timesteps(STEPS)
    with pytest.raises(ValueError, match="'frames' has levels for each frame"):
        Sampler(MODEL, corrector, frames=FrameSchedule(FRAMES))
    sampler = Sampler(MODEL, scheduled("DDIM"), frames=FrameSchedule(FRAMES))
    with pytest.raises(ValueError, match="A trajectory with 'frames' is run as a whole"):
        sampler.select_steps(strength=0.5)


@pytest.mark.parametrize("shape", [(BATCH, FRAMES + 1), (BATCH + 1, FRAMES), (BATCH, FRAMES, 1)])
def test_timesteps_of_another_shape(shape):
    x = Tensor(np.zeros((BATCH, FRAMES, VALUES), np.float32))
    for name in ("DDIM", "DPM++ 2M"):
        scheduler = scheduled(name)
        timesteps = Tensor(np.full(shape, scheduler.timesteps[0]))
        message = r"must be a number, have one value for each of 2 samples, or one for each frame of them, \(2, 4\)"
        with pytest.raises(ValueError, match=message):
            scheduler.step(x, x, timesteps)
        with pytest.raises(ValueError, match=message):
            scheduler.add_noise(x, x, timesteps)


def test_a_frame_goes_on_where_it_stands():
    scheduler = scheduled("DPM++ 2M")
    x, (first, second, third) = start(scheduler), scheduler.timesteps[:3]
    with pytest.raises(ValueError, match=r"frame 1 is .*, but its next one is timesteps\[0\]"):
        scheduler.step(x, x, Tensor(np.tile([first, second, first, first], (BATCH, 1))))
    scheduler.step(x, x, Tensor(np.tile([first, np.nan, np.nan, np.nan], (BATCH, 1))))
    scheduler.step(x, x, Tensor(np.tile([second, first, np.nan, np.nan], (BATCH, 1))))
    with pytest.raises(ValueError, match=r"frame 0 is .*, but its next one is timesteps\[2\]"):
        scheduler.step(x, x, Tensor(np.tile([second, second, first, np.nan], (BATCH, 1))))
    scheduler.step(x, x, Tensor(np.tile([third, second, first, np.nan], (BATCH, 1))))
    heun = scheduled("Heun")
    with pytest.raises(ValueError, match="visits timesteps more than once"):
        heun.step(x, x, Tensor(np.tile(heun.timesteps[[0, 1, 1, 3]], (BATCH, 1))))
