"""What the published `mindscience.diffuser` computes, from one checkpoint: scripts/make_golden_mindscience.py."""

import itertools
import json
from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, Tensor

import mindscience_diffuser as md
from mindscience_diffuser import set_noise_function

GOLDEN = np.load(Path(__file__).parent / "golden" / "mindscience.npz")
CASES = json.loads(str(GOLDEN["cases"]))
SCALARS = ("beta_start", "beta_end", "clip_sample", "clip_sample_range", "thresholding", "sample_max_value")
NOT_TABLES = ("pipeline", "timesteps", "loss", "p2_loss_weight", "final_alpha_cumprod")
TABLES = sorted({name.rsplit("_", 1)[0] for name in GOLDEN.files if name.endswith("_0")} - {*NOT_TABLES})


def weights_under(prefix):
    return {name.removeprefix(prefix): GOLDEN[name] for name in GOLDEN.files if name.startswith(prefix)}


def loaded(model, weights):
    """Returns `model` with the weights of a checkpoint, all of which it must know by their names."""
    arrays = {name: Parameter(Tensor(value), name=name) for name, value in weights.items()}
    missing, _ = ms.load_param_into_net(model, arrays, strict_load=True)
    assert not missing
    return model


def conditional(out_channels, weights, **flags):
    model = md.ConditionDiffusionTransformer(4, out_channels, 5, **CASES["sizes"], **flags)
    assert {parameter.name for parameter in model.get_parameters()} == set(weights)
    return loaded(model, weights)


def close(output, name):
    np.testing.assert_allclose(output.asnumpy(), GOLDEN[name], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("time", "cond"), list(itertools.product([True, False], repeat=2)))
def test_models_give_the_published_output_from_the_published_checkpoint(time, cond):
    weights = weights_under("weights/")
    x, timestep = Tensor(GOLDEN["x"]), Tensor(GOLDEN["timestep"])
    guided = conditional(3, weights, time_token_cond=time, cond_as_token=cond)
    free = md.DiffusionTransformer(4, 3, **CASES["sizes"], time_token_cond=time)
    loaded(free, {name: value for name, value in weights.items() if not name.startswith("cond_embed")})
    close(free(x, timestep), f"free_{time}")
    close(guided(x, timestep, Tensor(GOLDEN["condition"])), f"guided_{time}_{cond}")
    close(guided(x, timestep.reshape((-1, 1)), Tensor(GOLDEN["condition"])), f"guided_{time}_{cond}")
    close(guided(x, timestep), f"unguided_{time}_{cond}")
    if cond:
        close(guided(x, timestep, Tensor(GOLDEN["condition_tokens"])), f"tokens_{time}")
    else:
        with pytest.raises(
            ValueError, match=r"'condition' .*\(B, cond_channels\) with cond_as_token=False.*\(3, 2, 5\)"
        ):
            guided(x, timestep, Tensor(GOLDEN["condition_tokens"]))


@pytest.mark.parametrize("k", range(len(CASES["pipelines"])))
def test_pipelines_give_the_published_samples_of_the_published_checkpoint(k):
    case = CASES["pipelines"][k]
    scheduler = getattr(md, f"{case['name']}Scheduler")(**CASES["process"], **case["init"])
    model = conditional(4, weights_under("square/"))
    pipeline = getattr(md, f"{case['name']}Pipeline")(model, scheduler, 3, 6, case["steps"])
    generator = np.random.default_rng(300 + k)
    previous = set_noise_function(lambda shape, _: generator.standard_normal(shape).astype(np.float32))
    try:
        sample = pipeline(Tensor(GOLDEN["condition"]), progress=False, **case.get("call", {}))
    finally:
        set_noise_function(previous)
    np.testing.assert_array_equal(scheduler.timesteps, GOLDEN[f"timesteps_{k}"])
    scale = np.abs(GOLDEN[f"pipeline_{k}"]).max()
    np.testing.assert_allclose(sample.asnumpy() / scale, GOLDEN[f"pipeline_{k}"] / scale, rtol=0, atol=1e-5)


@pytest.mark.parametrize("k", range(len(CASES["losses"])))
@pytest.mark.filterwarnings("ignore:objective")
def test_trainer_gives_the_published_loss(k):
    scheduler = md.DDPMScheduler(**CASES["process"], **CASES["schedules"][1])
    trainer = md.DiffusionTrainer(conditional(4, weights_under("square/")), scheduler, **CASES["losses"][k])
    noise = np.random.default_rng(4).standard_normal(GOLDEN["x"].shape).astype(np.float32)
    timesteps = Tensor(np.array([0, 5, 11], np.int32))
    for given in (timesteps, timesteps.reshape((-1, 1))):
        loss = trainer.get_loss(Tensor(GOLDEN["x"]), Tensor(noise), given, Tensor(GOLDEN["condition"]))
        close(loss, f"loss_{k}")
    np.testing.assert_allclose(trainer.p2_loss_weight.asnumpy(), GOLDEN[f"p2_loss_weight_{k}"], rtol=2e-4)
    error = trainer.loss_fn(Tensor([[1.0, 2.0]]), Tensor([[-1.0, 5.0]])).asnumpy()
    np.testing.assert_array_equal(error, [[2, 3]] if trainer.loss_type == "l1" else [[4, 9]])


@pytest.mark.parametrize("k", range(len(CASES["schedules"])))
def test_schedulers_have_the_published_attributes(k):
    schedule = CASES["schedules"][k]
    scheduler = md.DDIMScheduler(**CASES["process"], **schedule, clip_sample_range=3.0)
    assert len(TABLES) == 10
    for name in TABLES:
        table = getattr(scheduler, name)
        assert table.dtype == ms.float32
        np.testing.assert_allclose(table.asnumpy(), GOLDEN[f"{name}_{k}"], rtol=2e-6, atol=1e-7, err_msg=name)
    assert scheduler.final_alpha_cumprod.asnumpy() == GOLDEN[f"final_alpha_cumprod_{k}"]
    given = {"beta_start": 0.0001, "beta_end": 0.02, **schedule, "clip_sample": True, "clip_sample_range": 3.0}
    assert {name: getattr(scheduler, name) for name in SCALARS} == {
        **{name: given[name] for name in SCALARS[:4]},
        "thresholding": False,
        "sample_max_value": 1.0,
    }
    assert scheduler.dynamic_thresholding_ratio == 0.995
    with pytest.raises(AttributeError, match="clip_sample"):
        scheduler.clip_sample = False


def test_ddpm_steps_before_its_timesteps_are_set_as_after_setting_all():
    x = Tensor(np.random.default_rng(0).standard_normal((2, 6, 4)).astype(np.float32))
    timestep, noise = Tensor([60, 60], ms.int32), Tensor(np.zeros((2, 6, 4), np.float32))
    fresh, scheduled = md.DDPMScheduler(100), md.DDPMScheduler(100)
    scheduled.set_timesteps(100)
    expected = scheduled.step(0.3 * x, x, timestep, noise=noise).asnumpy()
    np.testing.assert_array_equal(fresh.step(0.3 * x, x, timestep, noise=noise).asnumpy(), expected)

    @ms.jit
    def inside(output, sample, timestep, noise):
        return fresh.step(output, sample, timestep, noise=noise)

    np.testing.assert_allclose(inside(0.3 * x, x, timestep, noise).asnumpy(), expected, atol=1e-6)


def test_constructor_arguments_stand_in_the_published_order():
    from_scratch = md.DDPMScheduler(
        100, 0.001, 0.03, "linear", "v_prediction", "fixed_small", False, 2.0, True, 3.0, 0.9, True, "trailing"
    )
    assert from_scratch.config.rescale_betas_zero_snr is True
    assert from_scratch.config.timestep_spacing == "trailing"
    implicit = md.DDIMScheduler(
        100, 0.001, 0.03, "linear", "v_prediction", False, 2.0, True, 3.0, 0.9, True, "trailing"
    )
    assert implicit.config.rescale_betas_zero_snr is True
    assert implicit.config.timestep_spacing == "trailing"


def test_submodules_offer_what_the_published_ones_do():
    from mindscience_diffuser import diffusion, diffusion_transformer

    for module in (diffusion, diffusion_transformer):
        for name in module.__all__:
            assert getattr(module, name) is getattr(md, name)
    assert {*diffusion.__all__, *diffusion_transformer.__all__} == {
        *("DiffusionScheduler", "DDPMScheduler", "DDIMScheduler", "DiffusionTrainer"),
        *("DiffusionPipeline", "DDPMPipeline", "DDIMPipeline"),
        *("DiffusionTransformer", "ConditionDiffusionTransformer"),
    }


def test_the_pipeline_of_any_scheduler_gives_what_that_of_its_kind_gives():
    model = conditional(4, weights_under("square/"))
    condition = Tensor(GOLDEN["condition"])
    for name in ("DDPM", "DDIM"):
        schedulers = [getattr(md, f"{name}Scheduler")(**CASES["process"]) for _ in range(2)]
        own, general = getattr(md, f"{name}Pipeline"), md.DiffusionPipeline
        samples = [
            kind(model, s, 3, 6, 2)(condition, seed=0, progress=False).asnumpy()
            for kind, s in zip((own, general), schedulers)
        ]
        np.testing.assert_array_equal(*samples)
    with pytest.raises(TypeError, match="has no steps"):
        md.DiffusionPipeline(model, md.DiffusionScheduler(12), 3, 6, 2)
    with pytest.raises(TypeError, match="'scheduler' must be a DiffusionScheduler"):
        md.DiffusionPipeline(model, md.EulerDiscreteScheduler(), 3, 6, 2)
