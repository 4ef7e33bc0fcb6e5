"""scheduler_config.json: written, read back, converted between classes; and what is said about broken files."""

import copy
import json
import pickle
import re
import warnings

import numpy as np
import pytest
from mindspore import dtype as mstype

from mindscience_diffuser import (
    DDIMScheduler,
    DDPMScheduler,
    DiffusionScheduler,
    DPMSolverMultistepScheduler,
    DPMSolverSinglestepScheduler,
    EDMEulerScheduler,
    EDMHeunScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    HeunDiscreteScheduler,
    KarrasVeScheduler,
    SASolverScheduler,
)
from mindscience_diffuser.schedulers.base.scheduler import schedulers_by_name

FILE = "scheduler_config.json"


def same_schedule(one, other):
    np.testing.assert_array_equal(one.betas, other.betas)
    one.set_timesteps(4)
    other.set_timesteps(4)
    np.testing.assert_array_equal(one.timesteps, other.timesteps)
    for mine, theirs in zip(one.plan.pack(), other.plan.pack()):
        np.testing.assert_equal(mine, theirs)


@pytest.mark.parametrize(
    "kind, arguments",
    [
        (DDIMScheduler, {}),
        (DDIMScheduler, {"set_alpha_to_one": False, "steps_offset": 1, "thresholding": True, "sample_max_value": 3}),
        (DDIMScheduler, {"beta_schedule": "linear", "rescale_betas_zero_snr": True, "prediction_type": "v_prediction"}),
        (DDIMScheduler, {"num_train_timesteps": 8, "trained_betas": np.linspace(0.05, 0.5, 8)}),
        (DDPMScheduler, {"num_train_timesteps": 8, "trained_betas": [0.1] * 8, "variance_type": "fixed_large"}),
        (DDPMScheduler, {"compute_dtype": mstype.float16, "beta_start": np.float32(0.01)}),
    ],
)
def test_a_saved_scheduler_loads_as_it_was(kind, arguments, tmp_path):
    scheduler = kind(**arguments)
    scheduler.save_pretrained(tmp_path / "new" / "folder")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loaded = kind.from_pretrained(tmp_path / "new" / "folder")
    assert type(loaded) is kind
    assert loaded.config == scheduler.config
    assert loaded.compute_dtype == scheduler.compute_dtype
    same_schedule(scheduler, loaded)


def test_the_file_has_the_form_of_diffusers(tmp_path):
    DDIMScheduler(8, trained_betas=np.full(8, 0.1), compute_dtype=mstype.float16).save_pretrained(tmp_path)
    content = json.loads((tmp_path / FILE).read_text(encoding="utf-8"))
    assert content["_class_name"] == "DDIMScheduler"
    assert content["num_train_timesteps"] == 8
    assert content["trained_betas"] == [0.1] * 8
    assert content["compute_dtype"] == "float16"
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


def test_saving_again_replaces_the_file(tmp_path):
    DDIMScheduler(10).save_pretrained(tmp_path)
    DDIMScheduler(20).save_pretrained(tmp_path)
    assert DDIMScheduler.from_pretrained(tmp_path).num_train_timesteps == 20


def test_a_scheduler_loads_from_file_folder_and_subfolder(tmp_path):
    DDIMScheduler(30).save_pretrained(tmp_path / "scheduler")
    for loaded in (
        DDIMScheduler.from_pretrained(tmp_path, subfolder="scheduler"),
        DDIMScheduler.from_pretrained(str(tmp_path / "scheduler")),
        DDIMScheduler.from_pretrained(tmp_path / "scheduler" / FILE),
    ):
        assert loaded.num_train_timesteps == 30


def test_overrides_replace_what_the_file_says(tmp_path):
    DDIMScheduler(30, prediction_type="sample").save_pretrained(tmp_path)
    loaded = DDIMScheduler.from_pretrained(tmp_path, num_train_timesteps=40)
    assert loaded.num_train_timesteps == 40 and loaded.config.prediction_type == "sample"


def test_a_config_written_by_diffusers_is_read_whole():
    diffusers = pytest.importorskip("diffusers")
    theirs = diffusers.DDIMScheduler(beta_schedule="scaled_linear", clip_sample=False, steps_offset=1)
    ours = DDIMScheduler.from_config(json.loads(theirs.to_json_string()))
    np.testing.assert_allclose(ours.betas, theirs.betas.numpy(), rtol=1e-5)
    ours.set_timesteps(50)
    theirs.set_timesteps(50)
    np.testing.assert_array_equal(ours.timesteps, theirs.timesteps.numpy())


def test_unknown_keys_are_kept_with_one_warning(tmp_path):
    content = {"_class_name": "DDIMScheduler", "_diffusers_version": "0.42.1", "skip_prk_steps": True, "extra": [1, 2]}
    with pytest.warns(UserWarning, match="extra, skip_prk_steps") as caught:
        scheduler = DDIMScheduler.from_config(content)
    assert len(caught) == 1
    assert scheduler.config["skip_prk_steps"] is True and scheduler.config["extra"] == [1, 2]
    assert "_diffusers_version" not in scheduler.config
    scheduler.save_pretrained(tmp_path)
    assert json.loads((tmp_path / FILE).read_text())["extra"] == [1, 2]


def test_converting_to_another_class_and_back_loses_nothing():
    ddpm = DDPMScheduler(50, variance_type="fixed_large", beta_schedule="sigmoid", compute_dtype=mstype.float16)
    with pytest.warns(UserWarning, match="variance_type"):
        ddim = DDIMScheduler.from_config(ddpm.config)
    np.testing.assert_array_equal(ddim.betas, ddpm.betas)
    assert ddim.compute_dtype == mstype.float16
    with pytest.warns(UserWarning, match="set_alpha_to_one"):
        back = DDPMScheduler.from_config(ddim.config)
    assert {name: back.config[name] for name in ddpm.config} == dict(ddpm.config)
    same_schedule(ddpm, back)


def test_the_config_holds_defaults_and_given_arguments_read_only():
    config = DDIMScheduler(50, clip_sample=False).config
    assert config.num_train_timesteps == 50 and config["clip_sample"] is False and config.beta_end == 0.02
    with pytest.raises(AttributeError, match="read-only.*from_config"):
        config.beta_end = 0.5
    with pytest.raises(TypeError):
        config["beta_end"] = 0.5
    with pytest.raises(AttributeError, match="'betas'.*beta_start"):
        _ = config.betas


def test_configs_can_be_copied_and_pickled():
    config = DDIMScheduler(8, trained_betas=np.full(8, 0.1)).config
    assert copy.deepcopy(config) == config
    assert pickle.loads(pickle.dumps(config)) == config


def test_a_scheduler_can_be_copied():
    scheduler = DDIMScheduler(50)
    scheduler.set_timesteps(5)
    other = copy.deepcopy(scheduler)
    other.set_timesteps(10)
    assert len(scheduler.plan) == 5 and len(other.plan) == 10


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=f"{re.escape(str(tmp_path))}.*{FILE}.*subfolder"):
        DDIMScheduler.from_pretrained(tmp_path)


@pytest.mark.parametrize("text", [b"", b"{", b"{'a': 1}", b"\xff"])
def test_a_broken_file_is_named(text, tmp_path):
    (tmp_path / FILE).write_bytes(text)
    with pytest.raises(ValueError, match=f"{re.escape(str(tmp_path))}.*not valid JSON"):
        DDIMScheduler.from_pretrained(tmp_path)


def test_a_file_without_an_object_is_named(tmp_path):
    (tmp_path / FILE).write_text("[1, 2]")
    with pytest.raises(ValueError, match=f"{re.escape(str(tmp_path))}.*JSON object.*list"):
        DDIMScheduler.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    "content, argument, error",
    [
        ({"beta_schedule": "quadratic"}, "beta_schedule", ValueError),
        ({"num_train_timesteps": "1000"}, "num_train_timesteps", TypeError),
        ({"num_train_timesteps": 1000.0}, "num_train_timesteps", TypeError),
        ({"compute_dtype": "float64"}, "compute_dtype", ValueError),
        ({"compute_dtype": None}, "compute_dtype", ValueError),
        ({"trained_betas": "none"}, "trained_betas", TypeError),
        ({"trained_betas": [0.1]}, "trained_betas", ValueError),
        ({"clip_sample": "false"}, "clip_sample", TypeError),
    ],
)
def test_a_bad_value_in_a_file_is_named(content, argument, error, tmp_path):
    (tmp_path / FILE).write_text(json.dumps(content))
    with pytest.raises(error, match=f"'{argument}'"):
        DDIMScheduler.from_pretrained(tmp_path)


def test_a_path_in_place_of_a_config_is_named(tmp_path):
    with pytest.raises(TypeError, match="'config'.*str.*from_pretrained"):
        DDIMScheduler.from_config(str(tmp_path))


def test_an_override_that_is_no_argument_is_named():
    with pytest.raises(TypeError, match="DiffusionScheduler has no argument 'betas'.*beta_start"):
        DiffusionScheduler.from_config({}, betas=[0.1])


def names(kinds):
    return {kind.__name__ for kind in kinds}


def test_compatible_classes_have_the_same_kind_of_noise_process():
    assert names(EulerDiscreteScheduler.compatibles) >= {"DDIMScheduler", "LMSDiscreteScheduler", "LCMScheduler"}
    assert EulerDiscreteScheduler.compatibles == DDIMScheduler.compatibles
    assert not names(EulerDiscreteScheduler.compatibles) & names(FlowMatchEulerDiscreteScheduler.compatibles)
    assert EDMEulerScheduler in EDMHeunScheduler.compatibles
    assert KarrasVeScheduler.compatibles == [KarrasVeScheduler]


def test_compatibles_of_a_scheduler_can_follow_its_schedule():
    rescaled = DDIMScheduler(rescale_betas_zero_snr=True, prediction_type="v_prediction")
    assert EulerDiscreteScheduler in rescaled.compatibles
    assert HeunDiscreteScheduler not in rescaled.compatibles
    flow = DPMSolverMultistepScheduler(use_flow_sigmas=True, prediction_type="flow_prediction")
    assert names(flow.compatibles) >= {"UniPCMultistepScheduler", "DEISMultistepScheduler"}
    assert DDIMScheduler not in flow.compatibles


@pytest.mark.filterwarnings("ignore")
def test_every_compatible_class_takes_the_configuration():
    chosen = [kind() for kind in schedulers_by_name().values()]
    for scheduler in chosen:
        for kind in scheduler.compatibles:
            converted = kind.from_config(scheduler.config)
            assert set(scheduler.config) <= set(converted.config)
            for name in ("beta_start", "beta_end", "prediction_type", "num_train_timesteps"):
                assert converted.config.get(name) == scheduler.config.get(name, converted.config.get(name))


@pytest.mark.filterwarnings("ignore:.*does not use")
def test_the_variant_of_another_method_gives_way_to_the_default():
    config = SASolverScheduler(algorithm_type="noise_prediction").config
    with pytest.warns(UserWarning, match="has no algorithm_type='noise_prediction', which is one of SASolver"):
        assert DPMSolverSinglestepScheduler.from_config(config).config.algorithm_type == "dpmsolver++"
    with pytest.raises(ValueError, match="'algorithm_type' must be one of"):
        DPMSolverSinglestepScheduler.from_config({**config, "algorithm_type": "euler"})
    with pytest.raises(ValueError, match="'algorithm_type' must be one of"):
        DPMSolverSinglestepScheduler.from_config(config, algorithm_type="noise_prediction")


@pytest.mark.filterwarnings("ignore:.*does not use")
def test_values_kept_for_other_classes_have_no_effect():
    other = EulerDiscreteScheduler(timestep_spacing="trailing", final_sigmas_type="sigma_min", use_karras_sigmas=True)
    converted = EulerAncestralDiscreteScheduler.from_config(other.config)
    same_steps = EulerAncestralDiscreteScheduler(timestep_spacing="trailing")
    for scheduler in (converted, same_steps):
        scheduler.set_timesteps(5)
    assert converted.config["final_sigmas_type"] == "sigma_min"
    np.testing.assert_array_equal(converted.sigmas, same_steps.sigmas)
