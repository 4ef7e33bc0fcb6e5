"""Drop-in schedulers from configurations: of other classes, of files, and of the checkpoints of published models."""

import copy
import json
import logging
import pickle
from pathlib import Path

import numpy as np
import pytest
from mindspore import Tensor

from mindscience_diffuser import compat
from mindscience_diffuser.compat.description import peer_version
from mindscience_diffuser.noise import PRESETS

ROOT = Path(__file__).parents[1]
PUBLISHED = {name: preset for name, preset in PRESETS.items() if hasattr(compat, preset["config"]["_class_name"])}
CHECKPOINTS = {**PUBLISHED, **json.loads((ROOT / "tests" / "checkpoints.json").read_text(encoding="utf-8"))}
FILE = "scheduler_config.json"


def checkpoint(folder, config):
    """Writes the scheduler's part of a checkpoint; returns the checkpoint's folder."""
    (folder / "scheduler").mkdir()
    (folder / "scheduler" / FILE).write_text(json.dumps(config), encoding="utf-8")
    return folder


def comparable(config):
    """Returns a configuration without what diffusers' singlestep solver writes into its own."""
    values = {**config, "_use_default_values": sorted(config.get("_use_default_values", []))}
    return {name: value for name, value in values.items() if name != "lower_order_final"}


def schedule_options(config):
    # With a number that divides the training timesteps native schedulers follow the rules of diffusers.
    return {"num_inference_steps": 10, **({"mu": 0.8} if config.get("use_dynamic_shifting") else {})}


# --- checkpoints -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CHECKPOINTS)
@pytest.mark.filterwarnings("ignore")
def test_a_checkpoint_loads_as_its_class_with_its_table(name, tmp_path):
    config = CHECKPOINTS[name]["config"]
    folder = checkpoint(tmp_path, config)
    scheduler = compat.SchedulerMixin.from_pretrained(folder, subfolder="scheduler")
    kind = getattr(compat, config["_class_name"])
    assert type(scheduler) is kind
    assert type(kind.from_pretrained(folder, subfolder="scheduler")) is kind
    scheduler.set_timesteps(**schedule_options(config))
    # The native class of the same configuration, with diffusers' defaults, makes the same table.
    native = kind.native_class.from_config({**kind.arguments, **config})
    native.set_timesteps(**schedule_options(config))
    for ours, expected in zip(scheduler.native.plan.pack(), native.plan.pack()):
        np.testing.assert_equal(ours, expected)


@pytest.mark.parametrize("name", CHECKPOINTS)
@pytest.mark.filterwarnings("ignore")
def test_a_checkpoint_has_the_timesteps_and_sigmas_of_diffusers(name):
    diffusers = pytest.importorskip("diffusers")
    config = CHECKPOINTS[name]["config"]
    kind = config["_class_name"]
    ours, theirs = getattr(compat, kind).from_config(config), getattr(diffusers, kind).from_config(config)
    for scheduler in (ours, theirs):
        scheduler.set_timesteps(**schedule_options(config))
    np.testing.assert_allclose(ours.timesteps.asnumpy(), theirs.timesteps.numpy(), rtol=1e-4)
    assert comparable(ours.config) == comparable(theirs.config)
    if hasattr(theirs, "sigmas") and not kind.startswith("KDPM2"):
        np.testing.assert_allclose(ours.sigmas.asnumpy(), theirs.sigmas.numpy(), rtol=1e-4, atol=1e-6)


# --- configurations --------------------------------------------------------------------------------------------------


def test_a_configuration_is_read_by_key_and_by_attribute_and_cannot_be_written():
    config = compat.DDIMScheduler(beta_end=0.012).config
    assert config["beta_end"] == config.beta_end == config.get("beta_end") == 0.012
    assert config.get("no such key", 3) == 3 and "beta_end" in config
    for change in (lambda: config.update(beta_end=1), lambda: setattr(config, "beta_end", 1), config.clear):
        with pytest.raises(TypeError, match="read-only"):
            change()
    with pytest.raises(AttributeError, match="no_such_key"):
        config.no_such_key  # noqa: B018
    assert copy.deepcopy(config) == config and pickle.loads(pickle.dumps(config)) == config


def test_another_class_takes_over_what_was_given_and_keeps_its_own_defaults_for_the_rest():
    pndm = compat.PNDMScheduler(beta_start=0.00085, steps_offset=1)
    euler = compat.EulerDiscreteScheduler.from_config(pndm.config)
    assert (euler.config.beta_start, euler.config.steps_offset) == (0.00085, 1)
    assert euler.config.timestep_spacing == "linspace" and pndm.config.timestep_spacing == "leading"
    trailing = compat.EulerDiscreteScheduler.from_config(pndm.config, timestep_spacing="trailing")
    again = compat.LMSDiscreteScheduler.from_config(trailing.config)
    assert again.config.timestep_spacing == "trailing"
    assert compat.PNDMScheduler.from_config(again.config).config.skip_prk_steps is False


def test_a_saved_scheduler_loads_as_it_was_and_names_class_and_version(tmp_path):
    scheduler = compat.DPMSolverMultistepScheduler(solver_order=3, use_karras_sigmas=True)
    scheduler.save_pretrained(tmp_path / "new")
    content = json.loads((tmp_path / "new" / FILE).read_text(encoding="utf-8"))
    assert content["_class_name"] == "DPMSolverMultistepScheduler"
    assert content["_diffusers_version"] == peer_version()
    assert "_use_default_values" not in content
    loaded = compat.DPMSolverMultistepScheduler.from_pretrained(tmp_path / "new")
    assert loaded.config.solver_order == 3 and loaded.config.use_karras_sigmas


def test_diffusers_reads_what_was_saved(tmp_path):
    diffusers = pytest.importorskip("diffusers")
    compat.UniPCMultistepScheduler(solver_order=3, flow_shift=3.0, use_flow_sigmas=True).save_pretrained(tmp_path)
    theirs = diffusers.UniPCMultistepScheduler.from_pretrained(tmp_path)
    assert theirs.config.solver_order == 3 and theirs.config.flow_shift == 3.0


def test_unused_arguments_are_returned_and_unknown_keys_are_noted(tmp_path, caplog):
    folder = checkpoint(tmp_path, {"_class_name": "DDIMScheduler", "beta_end": 0.01, "surprise": 4})
    with caplog.at_level(logging.WARNING):
        scheduler, unused = compat.DDIMScheduler.from_pretrained(
            folder, subfolder="scheduler", return_unused_kwargs=True, device_map="auto"
        )
    assert unused["device_map"] == "auto" and unused["surprise"] == 4
    assert "surprise" in caplog.text and "DDIMScheduler" in caplog.text
    assert scheduler.config.beta_end == 0.01 and scheduler.config.surprise == 4


def test_attributes_that_belong_to_the_configuration_are_deprecated():
    scheduler = compat.DDIMScheduler(beta_end=0.012)
    with pytest.warns(FutureWarning, match="scheduler.config.beta_end"):
        assert scheduler.beta_end == 0.012
    with pytest.raises(AttributeError, match="no_such_thing"):
        scheduler.no_such_thing  # noqa: B018


def test_the_deprecated_name_of_an_argument_stands_for_the_present_one():
    with pytest.warns(FutureWarning, match="set_alpha_to_one"):
        scheduler = compat.DDIMInverseScheduler(set_alpha_to_zero=False)
    assert scheduler.config.set_alpha_to_one is False


def test_compatible_classes_can_be_built_from_the_configuration():
    scheduler = compat.HeunDiscreteScheduler()
    assert compat.HeunDiscreteScheduler in scheduler.compatibles and len(scheduler.compatibles) > 10
    for kind in scheduler.compatibles:
        assert type(kind.from_config(scheduler.config)) is kind


# --- bad input -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda: compat.DDIMScheduler.from_config(None), ValueError, "'config'"),
        (lambda: compat.DDIMScheduler.from_config("folder"), TypeError, "'config'.*str"),
        (lambda: compat.DDIMScheduler.from_pretrained("/no/such/folder"), OSError, "/no/such/folder"),
        (lambda: compat.SchedulerMixin.from_config({"beta_end": 0.02}), ValueError, "'_class_name'.*None"),
        (lambda: compat.DDIMScheduler(beta_schedule="none"), NotImplementedError, "'beta_schedule'.*'none'"),
        (lambda: compat.DPMSolverMultistepScheduler(algorithm_type="x"), NotImplementedError, "'algorithm_type'.*'x'"),
        (lambda: compat.DDIMScheduler(prediction_type="none"), ValueError, "'prediction_type'.*'none'"),
        (lambda: compat.DDIMScheduler().save_pretrained("x", push_to_hub=True), ValueError, "'push_to_hub'"),
        (lambda: compat.DDIMScheduler(bet_end=0.02), TypeError, "bet_end"),
    ],
)
def test_mistakes_are_told(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_a_broken_file_is_named(tmp_path):
    (tmp_path / FILE).write_text("{", encoding="utf-8")
    with pytest.raises(OSError, match=FILE):
        compat.DDIMScheduler.from_pretrained(tmp_path)


def test_a_configuration_that_a_pipeline_replaces_as_a_whole_is_followed():
    scheduler = compat.PNDMScheduler(skip_prk_steps=True)
    assert scheduler._internal_dict is scheduler.config
    # What the pipelines of Stable Diffusion do with configurations of its first versions.
    scheduler._internal_dict = {**scheduler.config, "steps_offset": 1}
    scheduler.set_timesteps(10)
    assert scheduler.config.steps_offset == 1
    assert scheduler.timesteps.asnumpy()[0] == 901


def test_the_old_names_and_the_hub_answer_as_far_as_they_can(tmp_path):
    class Own(compat.DDIMScheduler):
        """A class of a user."""

    scheduler = Own(beta_end=0.03)
    with pytest.raises(ValueError, match="AutoModel"):
        Own.register_for_auto_class("AutoTokenizer")
    Own.register_for_auto_class()
    scheduler.save_pretrained(tmp_path)
    with pytest.warns(FutureWarning, match="load_config"):
        config = compat.DDIMScheduler.get_config_dict(tmp_path)
    assert config["beta_end"] == 0.03 and config["auto_map"]["AutoModel"].endswith(".Own")
    with pytest.raises(ValueError, match="save_pretrained"):
        scheduler.push_to_hub("someone/scheduler")


def test_options_of_calls_that_only_some_schedulers_have_take_effect():
    x, x0 = (Tensor(np.full((1, 2), value, np.float32)) for value in (3.0, 1.0))
    euler = compat.EDMEulerScheduler()
    euler.set_timesteps(4)
    euler.scale_model_input(x, euler.timesteps[0])
    sigma, sigma_next = euler.sigmas.asnumpy()[:2].astype(float)
    following = euler.step(x * 0, euler.timesteps[0], x, pred_original_sample=x0).prev_sample.asnumpy()
    np.testing.assert_allclose(following, 3 + (sigma_next - sigma) * (3 - 1) / sigma, rtol=1e-5)
    for name in ("Heun", "KDPM2", "KDPM2Ancestral"):
        scheduler = getattr(compat, f"{name}DiscreteScheduler")()
        scheduler.set_timesteps(4, num_train_timesteps=500)
        assert float(scheduler.timesteps[0]) == 499 and len(scheduler) == 1000
