"""Pyramid Flow's scheduler and sampler: stages, renoising, training points, graphs, export and bad input."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn

from mindscience_diffuser import NoiseSource, PyramidFlowMatchEulerDiscreteScheduler, PyramidSampler, block_noise
from mindscience_diffuser.export import export_mindir, load_mindir
from mindscience_diffuser.noise import multi_scale_noise, multi_scale_samples
from mindscience_diffuser.readiness import ascend_problems
from mindscience_diffuser.schedulers.flow.upscaling import double

IMAGE, VIDEO = (2, 3, 4, 6), (2, 3, 2, 4, 6)
GAMMAS = (1 / 3, 0.25, 0.1)


class Velocity(nn.Cell):
    """A toy model that depends on sample, timestep and condition, at any resolution."""

    def construct(self, x, timestep, condition):
        shape = (-1,) + (1,) * (x.ndim - 1)
        return 0.3 * x + 1e-4 * timestep.astype(x.dtype).reshape(shape) + condition.astype(x.dtype).reshape(shape)


def tensor(*shape, seed=0, dtype=np.float32):
    return Tensor(np.random.default_rng(seed).standard_normal(shape).astype(dtype))


def doubled(x):
    return x.repeat(2, axis=-1).repeat(2, axis=-2)


@pytest.fixture(scope="module")
def scheduler():
    return PyramidFlowMatchEulerDiscreteScheduler()


# --- stages ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gamma", GAMMAS)
@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_renoising_leads_from_the_end_of_a_stage_to_the_start_of_the_next(gamma, shift):
    scheduler = PyramidFlowMatchEulerDiscreteScheduler(gamma=gamma, shift=shift)
    covariance = (1 + gamma) * np.eye(4) - gamma * np.ones((4, 4))
    for stage in (1, 2):
        alpha, beta = scheduler.renoise_coefficients(stage)
        end, start = scheduler.end_sigmas[stage - 1], scheduler.start_sigmas[stage]
        assert alpha * (1 - end) == pytest.approx(1 - start, rel=1e-12)
        noise = (alpha * end) ** 2 * np.ones((4, 4)) + beta**2 * covariance
        np.testing.assert_allclose(noise, start**2 * np.eye(4), atol=1e-15)


def test_renoised_gaussian_samples_are_distributed_like_the_next_start_point(scheduler):
    count, mean = 200_000, 0.8
    generator = np.random.default_rng(3)
    for stage in (1, 2):
        # One clean block, the same in all samples; the noise of both stages is drawn anew.
        clean = np.full((count, 1, 2, 2), mean, np.float32)
        noise = generator.standard_normal(clean.shape, dtype=np.float32)
        coarse = [multi_scale_samples(clean, 2)[0], multi_scale_noise(noise, 2)[0]]
        end, _ = scheduler.training_sample(*map(Tensor, map(padded, coarse)), 1000, stage - 1)
        source = block_noise(clean.shape, scheduler.gamma, generator)
        renoised = scheduler.renoise(Tensor(end.asnumpy()[..., :1, :1]), stage, Tensor(source)).asnumpy()
        start = scheduler.training_sample(Tensor(clean), Tensor(noise), 0, stage)[0].asnumpy()
        for values in (renoised, start):
            flat = values.reshape(count, 4).astype(np.float64)
            level = scheduler.start_sigmas[stage]
            np.testing.assert_allclose(flat.mean(axis=0), (1 - level) * mean, atol=0.01)
            np.testing.assert_allclose(np.cov(flat.T), level**2 * np.eye(4), atol=0.01)


def padded(x):
    """Repeats single values to blocks: a stage above the first halves its samples for its start point."""
    return doubled(x) if x.shape[-1] == 1 else x


def test_stages_cover_the_whole_flow_and_share_the_timesteps():
    scheduler = PyramidFlowMatchEulerDiscreteScheduler(stages=4, stage_range=(0, 0.1, 0.2, 0.7, 1), shift=2.0)
    assert scheduler.start_sigmas[0] == 1 and scheduler.end_sigmas[-1] == 0
    np.testing.assert_array_equal(scheduler.end_sigmas[:-1], scheduler.ori_start_sigmas[1:])
    np.testing.assert_array_equal(scheduler.timestep_ratios[1:, 0], scheduler.timestep_ratios[:-1, 1])
    assert np.all(np.diff(scheduler.timesteps_per_stage.ravel()) < 0)
    single = PyramidFlowMatchEulerDiscreteScheduler(stages=1, stage_range=(0, 1))
    single.set_timesteps(5, 0)
    x = tensor(*IMAGE)
    assert np.abs(single.step(x, x, single.timesteps[0], return_dict=True).pred_original_sample.asnumpy()).max() == 0


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("shape", [IMAGE, VIDEO])
def test_renoise_is_the_weighted_sum_of_the_repeated_sample_and_the_noise(shape, dtype):
    compute_dtype = ms.float32 if dtype == np.float32 else ms.float16
    scheduler = PyramidFlowMatchEulerDiscreteScheduler(compute_dtype=compute_dtype)
    x = tensor(*shape, dtype=dtype)
    noise = block_noise((*shape[:-2], 2 * shape[-2], 2 * shape[-1]), generator=NoiseSource(1, 2))
    alpha, beta = scheduler.renoise_coefficients(2)
    expected = alpha * doubled(x.asnumpy().astype(np.float64)) + beta * noise
    given = scheduler.renoise(x, 2, Tensor(noise))
    drawn = scheduler.renoise(x, 2, generator=NoiseSource(1, 2))
    compiled = ms.jit(lambda_free_renoise(scheduler))(x, Tensor(noise))
    for result in (given, drawn, compiled):
        assert result.dtype == compute_dtype
        np.testing.assert_allclose(result.asnumpy(), expected, atol=1e-6 if dtype == np.float32 else 4e-3)


def lambda_free_renoise(scheduler):
    def renoise(x, noise):
        return scheduler.renoise(x, 2, noise)

    return renoise


def test_doubling_repeats_every_value_over_a_block():
    x = tensor(*VIDEO)
    np.testing.assert_array_equal(double(x).asnumpy(), doubled(x.asnumpy()))


def test_levels_lead_from_the_start_to_the_end_of_a_stage(scheduler):
    scheduler.set_timesteps(4, 1)
    alpha, sigma = scheduler.levels
    np.testing.assert_allclose(sigma[[0, -1]], [scheduler.start_sigmas[1], scheduler.end_sigmas[1]])
    np.testing.assert_allclose(alpha + sigma, 1)
    assert len(sigma) == 5 and np.all(np.diff(sigma) < 0)


# --- training --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [IMAGE, VIDEO])
@pytest.mark.parametrize("stage", [0, 1, 2])
def test_training_samples_lie_on_the_line_from_start_to_end_point(scheduler, shape, stage):
    clean, noise = (tensor(*shape, seed=k).asnumpy().astype(np.float64) for k in (1, 2))
    coarse = doubled(multi_scale_samples(clean, 2)[0])
    low, high = scheduler.start_sigmas[stage], scheduler.end_sigmas[stage]
    start = low * noise + (1 - low) * coarse
    end = high * noise + (1 - high) * clean
    index = np.array([0, 730])
    ratio = scheduler.sigmas_per_stage[stage][index].reshape(2, *[1] * (len(shape) - 1))
    arguments = [Tensor(value.astype(np.float32)) for value in (clean, noise)]
    for given in (index, Tensor(index, ms.int32)):
        sample, velocity = scheduler.training_sample(*arguments, given, stage)
        np.testing.assert_allclose(sample.asnumpy(), ratio * start + (1 - ratio) * end, atol=1e-6)
        np.testing.assert_allclose(velocity.asnumpy(), start - end, atol=1e-6)
    np.testing.assert_allclose(scheduler.training_sample(*arguments, 1000, stage)[0].asnumpy(), end, atol=1e-6)


def test_true_velocity_leads_in_any_number_of_steps_from_start_to_end_point(scheduler):
    clean, noise = tensor(*IMAGE, seed=1), tensor(*IMAGE, seed=2)
    for steps in (1, 3):
        scheduler.set_timesteps(steps, 1)
        x, velocity = scheduler.training_sample(clean, noise, 0, 1)
        for t in scheduler.timesteps:
            x, end = scheduler.step(velocity, x, t, return_dict=True)
        for reached in (x, end):
            expected = scheduler.training_sample(clean, noise, 1000, 1)[0].asnumpy()
            np.testing.assert_allclose(reached.asnumpy(), expected, atol=1e-6)


# --- sampler ---------------------------------------------------------------------------------------------------------


def by_hand(scheduler, steps, noise, condition, source):
    """All stages as a user writes them."""
    model, x = Velocity(), noise
    for stage, count in enumerate(steps):
        scheduler.set_timesteps(count, stage)
        if stage > 0:
            x = scheduler.renoise(x, stage, generator=source)
        for t in scheduler.timesteps:
            x = scheduler.step(model(x, Tensor(np.full(x.shape[0], t)), condition), x, t)
    return x.asnumpy()


@pytest.mark.parametrize("method", ["step", "loop", "unrolled"])
def test_sampler_equals_the_stages_written_out_also_with_other_steps(method):
    scheduler = PyramidFlowMatchEulerDiscreteScheduler()
    noise, condition = tensor(2, 1, 2, 3), tensor(2, 1, seed=1)
    sampler = PyramidSampler(Velocity(), scheduler, (3, 1, 2), method)
    for steps in ((3, 1, 2), (1, 2, 4)):
        sampler.set_timesteps(steps)
        result = sampler(noise, condition, generator=4)
        assert result.shape == (2, 1, 8, 12)
        expected = by_hand(scheduler, steps, noise, condition, NoiseSource(4, 2, stream=1))
        np.testing.assert_allclose(result.asnumpy(), expected, atol=2e-6)
    assert len(sampler.plan) == 7
    alone = sampler(noise[1:], condition[1:], generator=NoiseSource(4, [1], stream=1))
    np.testing.assert_allclose(alone.asnumpy(), result.asnumpy()[1:], atol=2e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize(("shape", "method"), [((2, 1, 2, 2), "loop"), ((2, 1, 3, 2, 2), "unrolled")])
def test_all_stages_in_one_graph_and_exported_equal_the_eager_call(shape, method, dtype, tmp_path):
    scheduler = PyramidFlowMatchEulerDiscreteScheduler(
        stages=2, stage_range=(0, 0.5, 1), compute_dtype=ms.float32 if dtype == np.float32 else ms.float16
    )
    sampler = PyramidSampler(Velocity(), scheduler, (2, 3), method)
    noise, condition = tensor(*shape, dtype=dtype), tensor(2, 1, seed=1)
    fine = (*shape[:-2], 4, 4)
    drawn = Tensor(block_noise(fine, generator=NoiseSource(0, 2)).astype(dtype))
    eager = sampler(noise, condition, renoise=[drawn]).asnumpy()
    assert eager.dtype == dtype and np.all(np.isfinite(eager))

    @ms.jit
    def whole(*inputs):
        return sampler.construct(*inputs)

    tolerance = 1e-6 if dtype == np.float32 else 2e-3
    np.testing.assert_allclose(whole(noise, drawn, condition).asnumpy(), eager, atol=tolerance)
    path = export_mindir(sampler, tmp_path / "pyramid.mindir", noise, drawn, condition)
    reloaded = load_mindir(path, plan=sampler.plan)
    assert reloaded.input_names == ("noise", "block_noise_1", "condition_0")
    assert ascend_problems(path) == []
    np.testing.assert_allclose(reloaded(noise, drawn, condition).asnumpy(), eager, atol=tolerance)
    if method == "loop":
        sampler.set_timesteps((3, 1))
        changed = sampler(noise, condition, renoise=[drawn]).asnumpy()
        assert np.abs(changed - eager).max() > 10 * tolerance
        np.testing.assert_allclose(whole(noise, drawn, condition).asnumpy(), changed, atol=tolerance)
    one = reloaded(*(Tensor(value.asnumpy()[:1]) for value in (noise, drawn, condition))).asnumpy()
    np.testing.assert_allclose(one, eager[:1], atol=tolerance)


def test_graph_mode_gives_what_the_other_mode_gives():
    noise, condition = tensor(2, 1, 2, 3), tensor(2, 1, seed=1)
    expected = by_hand(PyramidFlowMatchEulerDiscreteScheduler(), (2, 1, 2), noise, condition, NoiseSource(4, 2))
    ms.set_context(mode=ms.GRAPH_MODE)
    try:
        sampler = PyramidSampler(Velocity(), PyramidFlowMatchEulerDiscreteScheduler(), (2, 1, 2))
        result = sampler(noise, condition, generator=NoiseSource(4, 2)).asnumpy()
        written_out = by_hand(sampler.scheduler, (2, 1, 2), noise, condition, NoiseSource(4, 2))
    finally:
        ms.set_context(mode=ms.PYNATIVE_MODE)
    np.testing.assert_allclose(result, expected, atol=2e-6)
    np.testing.assert_allclose(written_out, expected, atol=2e-6)


def test_callback_is_told_stage_and_step():
    sampler = PyramidSampler(Velocity(), PyramidFlowMatchEulerDiscreteScheduler(), (2, 1, 1), "step")
    seen = []
    sampler(tensor(2, 1, 2, 3), tensor(2, 1), generator=0, callback=lambda k, i, t, x: seen.append((k, i, x.shape[-1])))
    assert seen == [(0, 0, 3), (0, 1, 3), (1, 0, 6), (2, 0, 12)]


# --- bad input -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"gamma": 0.0}, ValueError, r"'gamma' must be in \(0, 1/3\]"),
        ({"gamma": 0.5}, ValueError, r"'gamma' must be in \(0, 1/3\]"),
        ({"gamma": -1 / 3}, ValueError, r"'gamma' must be in \(0, 1/3\]"),
        ({"stage_range": (0, 0.5, 1)}, ValueError, "stages \\+ 1 = 4"),
        ({"stage_range": (0, 0.5, 0.5, 1)}, ValueError, "increase from 0 to 1"),
        ({"stage_range": (0.1, 0.5, 0.7, 1)}, ValueError, "increase from 0 to 1"),
        ({"stage_range": (0, 0.5, 0.7, 0.9)}, ValueError, "increase from 0 to 1"),
        ({"stage_range": (0, 0.5, 0.7, 1.2)}, ValueError, r"'stage_range' must be in \[0, 1\]"),
        ({"stage_range": "0123"}, TypeError, "sequence of numbers"),
        ({"stage_range": (0, 1e-4, 0.5, 1)}, ValueError, "without any of 1000"),
        ({"stages": 0}, ValueError, "'stages' must be at least 1"),
        ({"shift": 0}, ValueError, "'shift'"),
        ({"num_train_timesteps": 2.0}, TypeError, "'num_train_timesteps'"),
    ],
)
def test_scheduler_refuses(arguments, error, message):
    with pytest.raises(error, match=message):
        PyramidFlowMatchEulerDiscreteScheduler(**arguments)


def test_stage_and_steps_out_of_range_are_refused(scheduler):
    x = tensor(*IMAGE)
    for stage in (-1, 3):
        with pytest.raises(ValueError, match=r"'stage_index' must be in \[0, 2\]"):
            scheduler.set_timesteps(4, stage)
        with pytest.raises(ValueError, match=r"'stage_index' must be in \[0, 2\]"):
            scheduler.renoise(x, stage)
        with pytest.raises(ValueError, match=r"'stage_index' must be in \[0, 2\]"):
            scheduler.renoise_coefficients(stage)
    with pytest.raises(TypeError, match="'stage_index' must be an integer"):
        scheduler.set_timesteps(4, 1.0)
    with pytest.raises(ValueError, match="'num_inference_steps' must be at least 1"):
        scheduler.set_timesteps(0, 1)
    with pytest.raises(ValueError, match="'set_timesteps' must be called first"):
        PyramidFlowMatchEulerDiscreteScheduler().step(x, x, 1000.0)


def test_renoise_refuses(scheduler):
    x = tensor(*IMAGE)
    with pytest.raises(ValueError, match="the first stage begins with noise"):
        scheduler.renoise(x, 0)
    with pytest.raises(ValueError, match="'noise' has shape .* must have that of the next stage"):
        scheduler.renoise(x, 1, tensor(*IMAGE))
    with pytest.raises(ValueError, match="both given"):
        scheduler.renoise(x, 1, tensor(2, 3, 8, 12), generator=0)
    with pytest.raises(ValueError, match="3 axes"):
        scheduler.renoise(tensor(2, 4, 4), 1)
    with pytest.raises(TypeError, match="'sample' must be a Tensor"):
        scheduler.renoise(x.asnumpy(), 1)


def test_training_sample_refuses(scheduler):
    x = tensor(*IMAGE)
    odd = tensor(2, 3, 4, 5)
    with pytest.raises(ValueError, match="multiples of 2"):
        scheduler.training_sample(odd, odd, 0, 1)
    with pytest.raises(ValueError, match=r"'index' must be in \[0, 1000\]"):
        scheduler.training_sample(x, x, 1001, 1)
    with pytest.raises(ValueError, match="'noise' has shape"):
        scheduler.training_sample(x, odd, 0, 1)


def test_sampler_refuses(scheduler):
    with pytest.raises(TypeError, match="PyramidFlowMatchEulerDiscreteScheduler"):
        PyramidSampler(Velocity(), object(), 3)
    for steps, error in (((1, 2), ValueError), ((1, 0, 2), ValueError), (2.5, TypeError), ((1, 2, 2.5), TypeError)):
        with pytest.raises(error, match="'num_inference_steps'"):
            PyramidSampler(Velocity(), scheduler, steps)
    sampler = PyramidSampler(Velocity(), scheduler, 2)
    with pytest.raises(ValueError, match="3 axes"):
        sampler(tensor(2, 2, 2), tensor(2, 1))
    with pytest.raises(ValueError, match="'renoise' must hold 2 Tensors"):
        sampler(tensor(2, 1, 2, 2), tensor(2, 1), renoise=[])
    for options, error, message in (
        ({"renoise": [None, None], "generator": 0}, ValueError, "'renoise' and 'generator' are both given"),
        ({"renoise": 3}, TypeError, "'renoise' must hold 2 Tensors.*but is int"),
        ({"renoise": [np.zeros((2, 1, 4, 4))] * 2}, TypeError, r"'renoise\[0\]' must be a Tensor.*ndarray"),
        ({"renoise": [tensor(2, 1, 4, 4)] * 2}, ValueError, r"'renoise\[1\]' has shape .* stage 2 needs \(2, 1, 8, 8"),
        ({"callback": 3}, TypeError, r"'callback' must be a function, called as callback\(stage, i,.* 3 of type int"),
    ):
        with pytest.raises(error, match=message):
            sampler(tensor(2, 1, 2, 2), tensor(2, 1), **options)
    step = PyramidSampler(Velocity(), scheduler, 2, "step")
    with pytest.raises(ValueError, match="no single graph"):
        export_mindir(step, "x.mindir", tensor(2, 1, 2, 2))
