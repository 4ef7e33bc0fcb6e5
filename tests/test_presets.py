"""Schedulers of published models: presets by name, and checkpoints as they are downloaded.

``checkpoints.json`` holds the content of further checkpoints' ``scheduler_config.json`` and where it was read.
"""

import json
import re
import warnings
from pathlib import Path

import numpy as np
import pytest

from mindscience_diffuser import (
    DDIMScheduler,
    FlowMatchEulerDiscreteScheduler,
    FlowMatchHeunDiscreteScheduler,
    LCMScheduler,
    Scheduler,
    compat,
)
from mindscience_diffuser.noise import PRESETS, preset_config
from mindscience_diffuser.schedulers.base.scheduler import schedulers_by_name

ROOT = Path(__file__).parents[1]
CHECKPOINTS = {**PRESETS, **json.loads((ROOT / "tests" / "checkpoints.json").read_text(encoding="utf-8"))}


def exists(name):
    return CHECKPOINTS[name]["config"]["_class_name"] in schedulers_by_name()


LOADABLE = [name for name in CHECKPOINTS if exists(name)]
SHARED = [name for name in LOADABLE if hasattr(compat, CHECKPOINTS[name]["config"]["_class_name"])]
MISSING = [name for name in CHECKPOINTS if not exists(name)]


def checkpoint(folder, name):
    """Writes the scheduler's part of a checkpoint; returns the checkpoint's folder."""
    (folder / "scheduler").mkdir()
    text = json.dumps(CHECKPOINTS[name]["config"])
    (folder / "scheduler" / "scheduler_config.json").write_text(text, encoding="utf-8")
    return folder


def schedule_options(config):
    return {"num_inference_steps": 12, **({"mu": 0.8} if config.get("use_dynamic_shifting") else {})}


@pytest.mark.parametrize("name", SHARED)
@pytest.mark.filterwarnings("ignore:.*does not use")
def test_a_checkpoint_loads_as_the_class_and_the_schedule_of_diffusers(name, tmp_path):
    diffusers = pytest.importorskip("diffusers")
    config = CHECKPOINTS[name]["config"]
    ours = Scheduler.from_pretrained(checkpoint(tmp_path, name), subfolder="scheduler")
    theirs = getattr(diffusers, config["_class_name"]).from_config(config)
    assert type(ours).__name__ == config["_class_name"]
    ours.set_timesteps(**schedule_options(config))
    theirs.set_timesteps(**schedule_options(config))
    np.testing.assert_allclose(ours.timesteps, theirs.timesteps.numpy(), rtol=1e-5)
    if hasattr(theirs, "sigmas"):
        # KDPM2AncestralDiscreteScheduler of diffusers holds a zero more for each of two calls that are never made.
        levels = theirs.sigmas.numpy()[: len(ours.sigmas)]
        np.testing.assert_allclose(ours.sigmas, levels, rtol=1e-5, atol=1e-6)
    else:
        np.testing.assert_allclose(np.asarray(ours.alphas_cumprod), theirs.alphas_cumprod.numpy(), rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("name", LOADABLE)
@pytest.mark.filterwarnings("ignore:.*does not use")
def test_the_config_of_a_loaded_checkpoint_holds_every_value_of_the_file(name):
    loaded = Scheduler.from_config(CHECKPOINTS[name]["config"]).config
    for key, value in CHECKPOINTS[name]["config"].items():
        assert key.startswith("_") or loaded[key] == value, key


@pytest.mark.parametrize("name", MISSING)
def test_a_checkpoint_of_a_class_that_does_not_exist_says_so(name, tmp_path):
    message = f"names the class '{CHECKPOINTS[name]['config']['_class_name']}'.*DDIMScheduler"
    with pytest.raises(ValueError, match=message):
        Scheduler.from_pretrained(checkpoint(tmp_path, name), subfolder="scheduler")
    if name in PRESETS:
        with pytest.raises(ValueError, match=message):
            Scheduler.from_preset(name)


@pytest.mark.parametrize("name", [name for name in PRESETS if exists(name)])
def test_a_preset_loads_without_warnings_as_the_published_class(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scheduler = Scheduler.from_preset(name)
    assert type(scheduler).__name__ == PRESETS[name]["config"]["_class_name"]


def test_a_class_follows_the_noise_schedule_of_another_class():
    ddim = DDIMScheduler.from_preset("sd15")
    np.testing.assert_allclose(ddim.betas, np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2)
    assert ddim.steps_offset == 1 and ddim.limit is None and ddim.config["skip_prk_steps"] is True
    assert type(LCMScheduler.from_preset("sdxl")) is LCMScheduler
    assert FlowMatchHeunDiscreteScheduler.from_preset("sd3").shift == 3.0


@pytest.mark.parametrize(
    "kind, name, argument",
    [
        (DDIMScheduler, "flux-dev", "shift"),
        (DDIMScheduler, "cogvideox", "snr_shift_scale"),
        (FlowMatchEulerDiscreteScheduler, "sdxl", "beta_schedule"),
        (DDIMScheduler, "wan-2.1", "flow_shift"),
        (FlowMatchHeunDiscreteScheduler, "flux-dev", "use_dynamic_shifting"),
    ],
)
def test_a_class_that_cannot_follow_a_noise_schedule_says_what_it_lacks(kind, name, argument):
    published = PRESETS[name]["config"]["_class_name"]
    with pytest.raises(ValueError, match=f"{kind.__name__} cannot.*'{name}'.*'{argument}'.*{published}"):
        kind.from_preset(name)


def test_overrides_replace_values_of_a_preset():
    scheduler = Scheduler.from_preset("hunyuan-video", shift=5.0)
    assert scheduler.shift == 5.0 and scheduler.config.shift == 5.0
    with pytest.raises(TypeError, match="FlowMatchEulerDiscreteScheduler has no argument 'flow_shift'"):
        Scheduler.from_preset("sd3", flow_shift=5.0)
    with pytest.raises(ValueError, match="'shift' must be in"):
        Scheduler.from_preset("sd3", shift=-1)


@pytest.mark.parametrize("name", ["flux", None, 3])
def test_an_unknown_preset_is_answered_with_the_known_ones(name):
    with pytest.raises(ValueError, match=f"'flux-dev'.*'sd15'.*but is {name!r}"):
        Scheduler.from_preset(name)


def test_a_config_without_a_class_needs_one():
    with pytest.raises(ValueError, match="names the class None"):
        Scheduler.from_config({"num_train_timesteps": 10})


def test_presets_are_not_changed_through_a_copy():
    preset_config("wan-2.1")["disable_corrector"].append(0)
    assert preset_config("wan-2.1")["disable_corrector"] == []


@pytest.mark.parametrize("name", PRESETS)
def test_the_table_of_the_documentation_gives_model_class_values_and_source(name):
    page = (ROOT / "docs_cn" / "presets.md").read_text(encoding="utf-8")
    row = re.search(rf"^\| `{re.escape(name)}` \|.*$", page, re.MULTILINE)[0]
    preset = PRESETS[name]
    assert f"| {preset['model']} | `{preset['config']['_class_name']}` |" in row
    assert f"({preset['source']})" in row
    for key, value in re.findall(r"`(\w+)=([^`]+)`", row):
        assert preset["config"][key] == json.loads(value)
