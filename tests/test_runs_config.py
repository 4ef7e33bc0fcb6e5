"""Configurations of runs: what is accepted, and what is said about each mistake before anything is compiled."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from safetensors.numpy import save_file

from mindscience_diffuser.cli import main
from mindscience_diffuser.runs.config.load import load_config, to_yaml

CONFIGS = Path(__file__).parents[1] / "configs"
SMALL = """\
output: {output}
data: {{name: Digits, patch_height: 4, patch_width: 4}}
model: {{name: PositionalConditionTransformer, hidden_channels: 16, layers: 1, heads: 2}}
scheduler:
  name: DDIMScheduler
  prediction_type: v_prediction
training:
  steps: 5
  warmup_steps: 1
"""


@pytest.fixture
def config_file(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text(SMALL.format(output=tmp_path / "out"), encoding="utf-8")
    return path


def refusal(command, path, capsys, *overrides):
    """Runs a command that must be refused, and returns the one line that it says."""
    assert main([command, "--config", str(path), *overrides]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("mindscience_diffuser: error: ")
    return lines[0]


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_configuration_is_valid(path):
    assert load_config(path).output


def test_values_from_the_command_line_replace_those_of_the_file(config_file):
    config = load_config(
        config_file, ["seed=7", "training.learning_rate=3e-4", "sampling.step.eta=0.5", "scheduler.beta_start=1e-5"]
    )
    assert config.seed == 7
    assert config.training.learning_rate == 3e-4
    assert config.training.steps == 5
    assert config.sampling.step == {"eta": 0.5}
    assert config.scheduler.arguments == {"prediction_type": "v_prediction", "beta_start": 1e-5}


def test_resolved_configuration_reads_back_the_same(config_file, tmp_path):
    config = load_config(config_file, ["seed=3"])
    path = tmp_path / "resolved.yaml"
    path.write_text(to_yaml(config), encoding="utf-8")
    assert load_config(path) == config
    assert yaml.safe_load(path.read_text(encoding="utf-8"))["sampling"]["num_inference_steps"] == 50


def test_missing_file_is_named(tmp_path, capsys):
    assert "'" + str(tmp_path / "no.yaml") + "' does not exist" in refusal("sample", tmp_path / "no.yaml", capsys)


def test_directory_in_place_of_a_file_is_refused(tmp_path, capsys):
    assert "cannot be read" in refusal("sample", tmp_path, capsys)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("output: [1\nseed: 3\n", "line 2, column 5: broken YAML"),
        ("output: a\n\tseed: 3\n", "line 2, column 1: broken YAML"),
        ("- a\n- b\n", "must hold 'key: value' lines, but holds list"),
        ("", "must hold 'key: value' lines"),
        ("seed: 1\nseed: 2\n", "line 2: 'seed' stands already in line 1"),
        ("model: &m {name: a, inner: *m}\n", "line 1: 'model.inner' holds itself"),
        ("run: [diffusion]\n", "unknown kind of run ['diffusion'] at 'run'"),
        ("1: 2\noutput: a\n", "line 1: the key '1' must be a text"),
    ],
)
def test_broken_yaml_is_located(tmp_path, capsys, text, message):
    path = tmp_path / "broken.yaml"
    path.write_text(text, encoding="utf-8")
    line = refusal("train", path, capsys)
    assert str(path) in line
    assert message in line


@pytest.mark.parametrize(
    ("addition", "parts"),
    [
        ("sede: 3\n", ["line 10: unknown key 'sede'; did you mean 'seed'?"]),
        ("sampling: {per_clas: 3}\n", ["line 10: unknown key 'sampling.per_clas'; did you mean 'per_class'?"]),
        ("  stepz: 3\n", ["line 10: unknown key 'training.stepz'; did you mean 'steps'?"]),
        ("metrics: {zzz: 3}\n", ["'metrics.zzz'; allowed: 'neighbours', 'reference_draws'"]),
        ("seed: a\n", ["line 10: 'seed' must be an integer in [0, 4294967295], but is 'a' of type str"]),
        ("seed: -1\n", ["'seed' must be an integer in [0, 4294967295], but is -1"]),
        ("seed: true\n", ["'seed' must be an integer in [0, 4294967295], but is True of type bool"]),
        ("  batch_size: 2.5\n", ["'training.batch_size' must be an integer of at least 1, but is 2.5"]),
        ("  loss_type: huber\n", ["'training.loss_type' must be 'l1' or 'l2', but is 'huber'"]),
        ("  condition_dropout: 1.5\n", ["'training.condition_dropout' must be a number in [0, 1], but is 1.5"]),
        ("sampling: 7\n", ["'sampling' must be a mapping with keys of its own, but is 7"]),
        ("sampling: {compute_dtype: bfloat16}\n", ["'sampling.compute_dtype' must be 'float32' or 'float16'"]),
        ("run: difusion\n", ["unknown kind of run 'difusion' at 'run'; did you mean 'diffusion'?"]),
    ],
)
def test_bad_entry_is_named_with_its_place_and_what_is_allowed(config_file, capsys, addition, parts):
    with config_file.open("a", encoding="utf-8") as file:
        file.write(addition)
    line = refusal("train", config_file, capsys)
    for part in parts:
        assert part in line


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("seed", "'seed' on the command line must have the form key.sub=value"),
        ("=3", "must have the form key.sub=value"),
        ("seed=[1", "is no YAML value"),
        ("training.steps.more=3", "'training.steps' is the value 5 and has no keys below it"),
        ("training.stepps=3", "the command line: unknown key 'training.stepps'; did you mean 'steps'?"),
        ("training.steps=few", "the command line: 'training.steps' must be an integer in [1, 10000000], but is 'few'"),
        ("scheduler.name=DDIMSheduler", "unknown scheduler 'DDIMSheduler' at 'scheduler.name'; did you mean 'DDIM"),
        ("model.name=Unet", "unknown model 'Unet' at 'model.name'; did you mean 'UNet'?"),
        ("data.name=Mnist", "unknown data set 'Mnist' at 'data.name'; allowed: 'Arrays', 'Digits'"),
        ("scheduler.beta_schedul=linear", "unknown key 'scheduler.beta_schedul'; did you mean 'beta_schedule'?"),
        ("scheduler.beta_schedule=cosine", "'beta_schedule' must be one of"),
        ("scheduler.num_train_timesteps=many", "DDIMScheduler at 'scheduler': 'num_train_timesteps' must be an int"),
        ("model.head=3", "unknown key 'model.head'; did you mean 'heads'?"),
        ("model.heads=3", "'heads' must divide 'hidden_channels'"),
        ("data.patch_height=3", "'patch_height' must be 1, 2, 4 or 8, but is 3"),
        ("data.held_out=5", "'held_out' must be in [100, 1600], but is 5"),
        ("training.warmup_steps=9", "'training.warmup_steps' must be in [0, 5]"),
        ("sampling.num_inference_steps=1001", "DDIMScheduler at 'scheduler' refuses what is set under 'sampling'"),
        ("sampling.step.eta=2", "'eta' must be in [0, 1], but is 2"),
        ("sampling.step.etta=0.5", "'sampling.step.etta' for DDIMScheduler at 'scheduler'; did you mean 'eta'?"),
    ],
)
def test_bad_override_is_named_with_what_is_allowed(config_file, capsys, override, message):
    assert message in refusal("train", config_file, capsys, override)
    assert not (config_file.parent / "out").exists()


@pytest.mark.parametrize(
    ("removed", "message"),
    [("output: ", "the key 'output' is missing"), ("model: ", "the key 'model' is missing")],
)
def test_missing_key_is_named(config_file, capsys, removed, message):
    lines = [line for line in config_file.read_text(encoding="utf-8").splitlines() if not line.startswith(removed)]
    config_file.write_text("\n".join(lines), encoding="utf-8")
    assert message in refusal("train", config_file, capsys)


def test_misspelt_section_is_named_rather_than_missed(config_file, capsys):
    config_file.write_text(config_file.read_text(encoding="utf-8").replace("model:", "modle:"), encoding="utf-8")
    assert "line 3: unknown key 'modle'; did you mean 'model'?" in refusal("train", config_file, capsys)


def test_missing_model_argument_is_named(config_file, capsys):
    config_file.write_text(config_file.read_text(encoding="utf-8").replace(", layers: 1", ""), encoding="utf-8")
    assert "the key 'model.layers' is missing" in refusal("train", config_file, capsys)


def test_missing_weights_are_named_with_what_to_do(config_file, capsys):
    line = refusal("sample", config_file, capsys)
    assert "train first, or set weights" in line
    assert "'digits_ddim'" in line
    line = refusal("sample", config_file, capsys, "weights=digits_dim")
    assert "weights 'digits_dim' are neither a file nor shipped weights ('digits_ddim'" in line


def test_weights_of_another_model_are_refused(config_file, capsys):
    line = refusal("sample", config_file, capsys, "weights=digits_ddim")
    assert "do not fit the model: the model has no 'blocks.1." in line
    assert "they were made for the model" in line
    line = refusal("sample", config_file, capsys, "weights=digits_ddim", "model.layers=4")
    assert "has shape" in line


def test_file_that_holds_no_weights_is_refused(config_file, tmp_path, capsys):
    path = tmp_path / "text.safetensors"
    path.write_text("no weights", encoding="utf-8")
    assert "no readable safetensors file" in refusal("sample", config_file, capsys, f"weights={path}")
    save_file({"other": np.zeros(3, np.float32)}, path)
    assert "do not fit the model: they lack" in refusal("sample", config_file, capsys, f"weights={path}")


def test_command_line_shows_no_traceback(tmp_path):
    command = [sys.executable, "-m", "mindscience_diffuser", "sample", "--config", str(tmp_path / "no.yaml")]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert finished.returncode == 2
    assert finished.stderr.strip().splitlines()[-1].startswith("mindscience_diffuser: error: ")
    assert "Traceback" not in finished.stderr


def test_missing_extra_is_named_with_what_to_install(config_file, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    monkeypatch.delitem(sys.modules, "mindscience_diffuser.examples.digits.data", raising=False)
    assert "pip install '.[runs]'" in refusal("train", config_file, capsys)


def test_interrupt_ends_without_a_traceback(config_file, capsys, monkeypatch):
    def interrupted(config):
        raise KeyboardInterrupt

    monkeypatch.setattr("mindscience_diffuser.runs.commands.train.train", interrupted)
    assert main(["train", "--config", str(config_file)]) == 130
    assert capsys.readouterr().err == "mindscience_diffuser: error: interrupted. Each file that is there is whole\n"
