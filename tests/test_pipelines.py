"""DDPMPipeline and DDIMPipeline: shapes, seeds and independence of the batch; code written for MindScience runs."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, mint, nn, ops
from mindspore import dtype as mstype

from mindscience_diffuser import (
    ConditionDiffusionTransformer,
    DDIMPipeline,
    DDIMScheduler,
    DDPMPipeline,
    DDPMScheduler,
    DiffusionScheduler,
    DiffusionTransformer,
    NoiseSource,
)

TRAIN = 40
STEPS = 4
LENGTH = 3
CHANNELS = 2
PIPELINES = {"ddim": (DDIMPipeline, DDIMScheduler), "ddpm": (DDPMPipeline, DDPMScheduler)}


class ToyModel(nn.Cell):
    """A smooth stand-in for a denoiser; a condition shifts its output."""

    in_channels = CHANNELS

    def construct(self, x, timestep, condition=None):
        level = (timestep / TRAIN).reshape((-1, 1, 1)).astype(x.dtype)
        output = x * (0.2 + 0.7 * level) + 0.1 * mint.sin(3 * x)
        if condition is not None:
            output = output + condition.mean(1).reshape((-1, 1, 1)).astype(x.dtype)
        return output


def pipeline(name, batch=2, steps=STEPS, compute_dtype=mstype.float32, model=None, **arguments):
    kind, scheduler = PIPELINES[name]
    scheduler = scheduler(TRAIN, compute_dtype=compute_dtype, **arguments)
    return kind(model or ToyModel(), scheduler, batch, LENGTH, steps, compute_dtype)


def generate(pipe, *arguments, **options):
    return pipe(*arguments, progress=False, **options).asnumpy()


@pytest.mark.parametrize("name, options", [("ddim", {}), ("ddim", {"eta": 0.7}), ("ddpm", {})])
def test_the_same_seed_gives_the_same_samples_and_another_seed_others(name, options):
    pipe = pipeline(name)
    first = generate(pipe, seed=3, **options)
    assert first.shape == (2, LENGTH, CHANNELS) and first.dtype == np.float32
    np.testing.assert_array_equal(generate(pipe, seed=3, **options), first)
    np.testing.assert_array_equal(generate(pipeline(name), seed=3, **options), first)
    assert not np.allclose(generate(pipe, seed=4, **options), first)
    assert not np.allclose(generate(pipe, **options), generate(pipe, **options))


@pytest.mark.parametrize("name, options", [("ddim", {"eta": 0.7}), ("ddpm", {})])
def test_a_sample_does_not_depend_on_the_batch_that_it_is_drawn_in(name, options):
    large = generate(pipeline(name, batch=5), seed=3, **options)
    np.testing.assert_allclose(large[:2], generate(pipeline(name, batch=2), seed=3, **options), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name, options", [("ddim", {"eta": 0.7, "use_clipped_model_output": True}), ("ddpm", {})])
def test_a_pipeline_is_the_loop_over_model_and_step(name, options):
    pipe, source, model = pipeline(name), NoiseSource(3, 2), ToyModel()
    scheduler = PIPELINES[name][1](TRAIN)
    scheduler.set_timesteps(STEPS)
    x = Tensor(source.standard_normal((2, LENGTH, CHANNELS)))
    condition = Tensor([[0.1], [-0.2]], mstype.float32)
    for t in scheduler.timesteps:
        output = model(x, Tensor([t, t], mstype.int32), condition)
        x = scheduler.step(output, x, int(t), generator=source, **options)
    np.testing.assert_allclose(generate(pipe, condition, seed=3, **options), x.asnumpy(), rtol=1e-5, atol=1e-5)


def test_options_of_one_call_do_not_leak_into_the_next():
    pipe = pipeline("ddim")
    plain = generate(pipe, seed=3)
    assert not np.allclose(generate(pipe, None, 1.0, True, seed=3), plain)
    assert not np.allclose(generate(pipe, Tensor([[0.5], [0.5]], mstype.float32), seed=3), plain)
    np.testing.assert_array_equal(generate(pipe, seed=3), plain)


def test_new_timesteps_of_the_scheduler_take_effect():
    pipe = pipeline("ddim")
    generate(pipe, seed=3)
    pipe.scheduler.set_timesteps(8)
    np.testing.assert_array_equal(generate(pipe, seed=3), generate(pipeline("ddim", steps=8), seed=3))


def test_another_scheduler_and_another_model_take_effect():
    pipe, other = pipeline("ddim"), pipeline("ddim", beta_schedule="linear")
    first = generate(pipe, seed=3)
    pipe.scheduler = other.scheduler
    second = generate(pipe, seed=3)
    np.testing.assert_array_equal(second, generate(other, seed=3))
    pipe.model = Halved()
    third = generate(pipe, seed=3)
    assert not np.allclose(first, second) and not np.allclose(second, third)


class Halved(ToyModel):
    def construct(self, x, timestep, condition=None):
        return 0.5 * x


def test_conditions_are_flattened_to_one_row_for_each_sample():
    pipe, condition = pipeline("ddim"), Tensor(np.arange(6).reshape(2, 3) / 10, mstype.float32)
    flat = generate(pipe, condition, seed=3)
    np.testing.assert_array_equal(generate(pipe, condition.reshape((2, 1, 3)), seed=3), flat)
    assert not np.allclose(flat, generate(pipe, seed=3))


@pytest.mark.parametrize("name", PIPELINES)
def test_half_precision_is_finite_and_near_float32(name):
    half = generate(pipeline(name, compute_dtype=mstype.float16), seed=3)
    full = generate(pipeline(name), seed=3)
    assert half.dtype == np.float16 and np.all(np.isfinite(half))
    assert np.linalg.norm(half - full) <= 0.02 * np.linalg.norm(full)


def test_ddpm_may_take_fewer_steps_than_were_trained():
    assert pipeline("ddpm", steps=TRAIN).scheduler.num_inference_steps == TRAIN
    assert pipeline("ddpm", steps=7).scheduler.num_inference_steps == 7


def test_a_progress_bar_is_shown_unless_switched_off(capsys):
    pipe = pipeline("ddim")
    pipe(seed=3)
    assert f"{STEPS}/{STEPS}" in capsys.readouterr().err
    pipe(seed=3, progress=False)
    assert capsys.readouterr().err == ""


# --- bad input -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind, scheduler",
    [
        (DDIMPipeline, DDPMScheduler(TRAIN)),
        (DDPMPipeline, DDIMScheduler(TRAIN)),
        (DDIMPipeline, DiffusionScheduler(TRAIN)),
        (DDPMPipeline, None),
        (DDIMPipeline, DDIMScheduler),
    ],
)
def test_a_scheduler_of_another_type_is_named(kind, scheduler):
    with pytest.raises(
        TypeError, match=f"'scheduler' must be a {kind.scheduler_type.__name__}.*{type(scheduler).__name__}"
    ):
        kind(ToyModel(), scheduler, 2, LENGTH, STEPS)


@pytest.mark.parametrize("name", PIPELINES)
@pytest.mark.parametrize(
    "argument, value, error",
    [
        ("num_inference_steps", TRAIN + 1, ValueError),
        ("num_inference_steps", 0, ValueError),
        ("num_inference_steps", 2.5, TypeError),
        ("batch_size", 0, ValueError),
        ("batch_size", 2.0, TypeError),
        ("seq_len", -1, ValueError),
        ("seq_len", None, TypeError),
        ("compute_dtype", mstype.float64, ValueError),
        ("compute_dtype", "float16", ValueError),
    ],
)
def test_a_bad_argument_of_a_pipeline_is_named(name, argument, value, error):
    kind, scheduler = PIPELINES[name]
    arguments = {"batch_size": 2, "seq_len": LENGTH, "num_inference_steps": STEPS, argument: value}
    with pytest.raises(error, match=f"'{argument}'.*{value!r}"):
        kind(ToyModel(), scheduler(TRAIN), **arguments)


def test_the_default_number_of_steps_is_refused_for_a_shorter_training():
    with pytest.raises(ValueError, match="'num_inference_steps'.*1000"):
        DDIMPipeline(ToyModel(), DDIMScheduler(TRAIN), 2, LENGTH)


@pytest.mark.parametrize(
    "options, message, error",
    [
        ({"eta": 2}, "'eta'.*2", ValueError),
        ({"eta": -0.5}, "'eta'.*-0.5", ValueError),
        ({"eta": "half"}, "'eta'.*'half'", TypeError),
        ({"use_clipped_model_output": 1}, "'use_clipped_model_output'.*1", TypeError),
        ({"seed": -1}, "'seed'.*-1", ValueError),
        ({"seed": 1.5}, "'seed'.*1.5", TypeError),
        ({"condition": np.zeros((2, 1))}, "'condition'.*ndarray", TypeError),
        (
            {"condition": Tensor(np.zeros((3, 1), np.float32))},
            r"'condition' has shape \(3, 1\).*batch_size=2",
            ValueError,
        ),
    ],
)
def test_a_bad_argument_of_a_call_is_named(options, message, error):
    with pytest.raises(error, match=message):
        pipeline("ddim")(progress=False, **options)


def test_a_model_that_is_no_cell_is_named():
    with pytest.raises(TypeError, match="'model'.*function"):
        pipeline("ddim", model=lambda x, t: x)(progress=False)


def test_epsilon_at_a_zero_snr_step_is_refused():
    with pytest.raises(ValueError, match="'epsilon'.*timestep 39"):
        pipeline("ddim", rescale_betas_zero_snr=True, timestep_spacing="trailing")


# --- code written for mindscience.diffuser ---------------------------------------------------------------------------


MINDSCIENCE = {
    "num_train_timesteps": TRAIN,
    "beta_start": 0.0001,
    "beta_end": 0.02,
    "beta_schedule": "squaredcos_cap_v2",
    "clip_sample": True,
    "clip_sample_range": 1.0,
    "thresholding": False,
    "dynamic_thresholding_ratio": None,
    "rescale_betas_zero_snr": False,
    "timestep_spacing": "leading",
    "compute_dtype": mstype.float32,
}


@pytest.mark.parametrize("mode", [ms.GRAPH_MODE, ms.PYNATIVE_MODE])
def test_the_example_of_mindscience_runs(mode):
    before = ms.get_context("mode")
    ms.set_context(mode=mode)
    try:
        ddim, ddpm = DDIMScheduler(**MINDSCIENCE), DDPMScheduler(**MINDSCIENCE)
        original, noise = ops.randn((4, 8, 6)), ops.randn((4, 8, 6))
        timesteps = ops.randint(0, TRAIN, (4, 1))
        ddim.set_timesteps(20)
        ddpm.set_timesteps(TRAIN)
        for scheduler in (ddim, ddpm):
            assert scheduler.num_timesteps[0] == (38 if scheduler is ddim else 39)
            noised = scheduler.add_noise(original, noise, timesteps)
            assert noised.shape == (4, 8, 6) and noised.dtype == mstype.float32
            step = scheduler.step(
                model_output=noise,
                sample=noised,
                timestep=ops.ones((4,), mstype.int32) * int(scheduler.num_timesteps[0]),
            )
            assert step.shape == (4, 8, 6) and np.all(np.isfinite(step.asnumpy()))
    finally:
        ms.set_context(mode=before)


def test_positional_arguments_have_the_order_of_mindscience():
    base = (TRAIN, 0.001, 0.01, "linear", "sample")
    rest = (False, 2.0, True, 3.0, 0.9)
    ddim = DDIMScheduler(*base, *rest, True, "trailing", mstype.float16).config
    ddpm = DDPMScheduler(*base, "learned", *rest).config
    for config in (ddim, ddpm):
        names = ("num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "prediction_type")
        assert tuple(config[name] for name in names) == base
        names = ("clip_sample", "clip_sample_range", "thresholding", "sample_max_value", "dynamic_thresholding_ratio")
        assert tuple(config[name] for name in names) == rest
    assert ddim.rescale_betas_zero_snr and ddim.timestep_spacing == "trailing"
    assert ddim.compute_dtype == mstype.float16 and ddpm.variance_type == "learned"


@pytest.mark.parametrize("name", PIPELINES)
def test_the_transformers_run_in_the_pipelines(name):
    free = DiffusionTransformer(CHANNELS, CHANNELS, 8, 1, 2)
    assert generate(pipeline(name, model=free, steps=2), seed=0).shape == (2, LENGTH, CHANNELS)
    guided = ConditionDiffusionTransformer(CHANNELS, CHANNELS, 3, 8, 1, 2)
    condition = Tensor(np.ones((2, 3), np.float32))
    assert generate(pipeline(name, model=guided, steps=2), condition, seed=0).shape == (2, LENGTH, CHANNELS)
