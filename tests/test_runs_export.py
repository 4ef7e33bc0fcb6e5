"""The export command, samples from the exported file, and guidance in the configuration, on a tiny model."""

import numpy as np
import pytest
import yaml
from safetensors.numpy import save_file

from mindscience_diffuser.cli import main
from mindscience_diffuser.export import export_mindir, load_mindir
from mindscience_diffuser.runs.commands.export import inputs_of
from mindscience_diffuser.runs.config.load import load_config
from mindscience_diffuser.runs.data.dataset import build_data
from mindscience_diffuser.runs.kinds.kind import kind_of
from mindscience_diffuser.runs.kinds.models import build_model, build_scheduler

TINY = {
    "seed": 3,
    "data": {"name": "Digits", "patch_height": 4, "patch_width": 4},
    "model": {"name": "ConditionDiffusionTransformer", "hidden_channels": 16, "layers": 1, "heads": 2},
    "scheduler": {"name": "DDIMScheduler", "prediction_type": "v_prediction", "timestep_spacing": "trailing"},
    "sampling": {"per_class": 2, "num_inference_steps": 3, "guidance_scale": 1.5, "batch_size": 8},
    "metrics": {"reference_draws": 1},
}


@pytest.fixture(scope="module")
def config_file(tmp_path_factory):
    """A configuration with weights that are random: what is drawn depends on them as on trained ones."""
    directory = tmp_path_factory.mktemp("export")
    path, weights = directory / "tiny.yaml", directory / "weights.safetensors"
    path.write_text(yaml.safe_dump({"output": str(directory), "weights": str(weights), **TINY}), encoding="utf-8")
    config = load_config(path)
    model = build_model(config, build_data(config))
    rng = np.random.default_rng(0)
    values = {p.name: 0.3 * rng.standard_normal(p.shape, dtype=np.float32) for p in model.get_parameters()}
    save_file(values, weights)
    return path


@pytest.fixture(scope="module")
def exported(config_file):
    """The file that the configuration exports to."""
    assert main(["export", "--config", str(config_file)]) == 0
    return config_file.parent / "export" / "sampler.mindir"


def drawn(config, output, *overrides):
    assert main(["sample", "--config", str(config), f"output={output}", *overrides]) == 0
    return np.load(output / "sample" / "samples.npz")["images"]


def refusal(command, config, capsys, *overrides):
    """Returns the only line that a refused command writes."""
    assert main([command, "--config", str(config), *overrides]) == 2
    captured = capsys.readouterr()
    lines = captured.err.strip().splitlines()
    assert len(lines) == 1 and captured.out == ""
    return lines[0]


def test_export_writes_the_file_and_a_configuration_that_samples_from_it(exported, config_file, tmp_path):
    assert {path.name for path in exported.parent.iterdir()} == {"sampler.mindir", "config.yaml"}
    config = yaml.safe_load((exported.parent / "config.yaml").read_text(encoding="utf-8"))
    assert config["sampling"]["exported"] == str(exported)
    images = drawn(exported.parent / "config.yaml", tmp_path / "file")
    np.testing.assert_allclose(images, drawn(config_file, tmp_path / "model"), atol=1e-6)
    names = {"samples.png", "samples.npz", "config.yaml", "metrics.json"}
    assert {path.name for path in (tmp_path / "file" / "sample").iterdir()} == names


@pytest.mark.parametrize(
    "overrides",
    [
        ["sampling.step={eta: 0.7}", "sampling.guidance_interval=[100, 800]", "sampling.guidance_rescale=0.7"],
        ["scheduler.name=DDPMScheduler", "sampling.compute_dtype=float16", "sampling.guidance_scale=1"],
        ["scheduler.name=DDPMScheduler", "sampling.noise_in_graph=true", "sampling.guidance_scale=1"],
    ],
    ids=["ddim_eta_guided", "ddpm_float16", "ddpm_noise_in_graph"],
)
def test_stochastic_samples_from_the_file_equal_those_of_the_model(config_file, tmp_path, overrides):
    assert main(["export", "--config", str(config_file), f"output={tmp_path}", *overrides]) == 0
    file = tmp_path / "export" / "sampler.mindir"
    images = drawn(config_file, tmp_path / "model", *overrides)
    np.testing.assert_allclose(drawn(file.parent / "config.yaml", tmp_path / "file"), images, atol=1e-6)


def test_a_graph_does_not_draw_noise_of_another_law(config_file, tmp_path, capsys):
    overrides = [f"output={tmp_path}", "sampling.noise_in_graph=true", "noise={name: StudentTNoise, nu: 5}"]
    line = refusal("export", config_file, capsys, *overrides)
    assert "'sampling.noise_in_graph' is true, but 'noise' is StudentTNoise" in line


def test_existing_file_is_replaced_only_when_asked(exported, config_file, capsys, tmp_path):
    before = exported.read_bytes()
    assert "exists: set export.overwrite to true" in refusal("export", config_file, capsys)
    assert exported.read_bytes() == before
    other = tmp_path / "export" / "sampler.mindir"
    other.parent.mkdir()
    other.write_text("an older file", encoding="utf-8")
    assert main(["export", "--config", str(config_file), f"output={tmp_path}", "export.overwrite=true"]) == 0
    assert load_mindir(other).input_names == ("noise", "condition_0")
    assert {path.name for path in other.parent.iterdir()} == {"sampler.mindir", "config.yaml"}


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["sampling.num_inference_steps=4"], "was exported with another plan"),
        (["scheduler.beta_schedule=linear"], "was exported with another plan"),
        (["scheduler.name=DDPMScheduler"], "was exported with another plan"),
        (["data.patch_height=2"], "shapes (B, 4, 16), (B, 10), but this configuration gives (8, 8, 8), (8, 10)"),
        (["model.layers=2"], "'model.layers' is 2, but"),
        (["model.layer=2"], "unknown key 'model.layer'; did you mean 'layers'?"),
        (["sampling.guidance_scale=2"], "'sampling.guidance_scale' is 2.0, but"),
        (["sampling.guidance_interval=[1, 5]"], "'sampling.guidance_interval' is [1.0, 5.0], but"),
        (["sampling.compute_dtype=float16"], "'sampling.compute_dtype' is 'float16', but"),
    ],
)
def test_a_file_that_does_not_fit_the_configuration_is_refused(
    exported, config_file, tmp_path, capsys, overrides, message
):
    choice = [f"sampling.exported={exported}", f"output={tmp_path / 'out'}"]
    assert message in refusal("sample", config_file, capsys, *choice, *overrides)
    assert not (tmp_path / "out").exists()


def test_a_missing_or_foreign_file_is_refused(config_file, tmp_path, capsys):
    missing = tmp_path / "none.mindir"
    assert f"There is no file '{missing}'" in refusal("sample", config_file, capsys, f"sampling.exported={missing}")
    missing.write_text("no protobuf", encoding="utf-8")
    line = refusal("sample", config_file, capsys, f"sampling.exported={missing}")
    assert "'sampling.exported' cannot be used" in line


def test_a_file_that_python_code_exported_serves_as_well(config_file, tmp_path):
    from mindspore import ops

    config = load_config(config_file)
    data, scheduler = build_data(config), build_scheduler(config)
    kind = kind_of(config)
    sampler = kind.sampler(config, data, scheduler, build_model(config, data), "loop")
    inputs = [ops.zeros(shape) for shape, _ in inputs_of(config, data, kind, scheduler, 8)]
    path = export_mindir(sampler, tmp_path / "own.mindir", *inputs, dynamic_batch=False)
    assert np.isfinite(drawn(config_file, tmp_path, f"sampling.exported={path}")).all()


def test_guidance_interval_and_rescale_change_the_samples(config_file, tmp_path):
    plain = drawn(config_file, tmp_path / "plain")
    # No timestep of this trajectory lies in the interval: the conditional prediction alone is left.
    outside = drawn(config_file, tmp_path / "outside", "sampling.guidance_interval=[1, 2]")
    unguided = drawn(config_file, tmp_path / "unguided", "sampling.guidance_scale=1")
    np.testing.assert_allclose(outside, unguided, atol=1e-5)
    rescaled = drawn(config_file, tmp_path / "rescaled", "sampling.guidance_rescale=1")
    assert np.abs(plain - outside).max() > 1e-3
    assert np.abs(plain - rescaled).max() > 1e-3


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("sampling.guidance_interval=[800, 100]", "must be [low, high] with low below high, but is [800.0, 100.0]"),
        ("sampling.guidance_interval=[800]", "'sampling.guidance_interval' must be a list of 2 entries"),
        ("sampling.guidance_rescale=1.5", "'sampling.guidance_rescale' must be a number in [0, 1]"),
        ("scheduler={name: DDPMScheduler, variance_type: learned}", "use a fixed variance_type"),
        ("export.overwrite=perhaps", "'export.overwrite' must be true or false"),
    ],
)
def test_bad_values_are_refused(config_file, tmp_path, capsys, override, message):
    assert message in refusal("export", config_file, capsys, f"output={tmp_path / 'out'}", override)
    assert not (tmp_path / "out").exists()
