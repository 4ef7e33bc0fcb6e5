"""What is said about a mistake in a configuration: the key, its line, its value and what is allowed, for every key."""

import re
from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel

from mindscience_diffuser.cli import main
from mindscience_diffuser.runs.config.load import load_config
from mindscience_diffuser.runs.config.registry import REGISTRY, lookup
from mindscience_diffuser.runs.config.schema import Component, Training
from mindscience_diffuser.runs.errors import ConfigError
from mindscience_diffuser.training import warmup_cosine

CONFIGS = Path(__file__).parents[1] / "configs"
NUMBERS = ["a", "-1", "0", "2.5", ".nan", ".inf", "-.inf", "1e300", str(10**30), "true", "null", "2026-01-01"]
VALUES = [*NUMBERS, "[]", "{}", "[0]", "[1, .nan]", "[[1]]", "{a: 1}", "{1: 2}", "''", "'\\0'"]
# Words of the checking library and of Python's types.
FOREIGN = re.compile(
    r"constrained|Input|valid|pydantic|literal\[|(int|float|str|string|list|dict|bool)_type|Keys should|Traceback"
)


def keys_of(schema, prefix=""):
    for name, field in schema.model_fields.items():
        yield prefix + name
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel) and kind is not Component:
            yield from keys_of(kind, f"{prefix}{name}.")


@pytest.fixture(params=sorted(REGISTRY["schema"]))
def kind(request):
    return request.param


@pytest.fixture
def smallest(kind, tmp_path):
    """A file with the keys that a kind of run must have."""
    components = {"data": {"name": "Digits"}, "model": {"name": "UNet"}}
    if kind not in ("world_model", "forecast", "assimilation", "regression"):
        components["scheduler"] = {"name": "DDIMScheduler"}
    teacher = {"teacher": "digits_ddim"} if kind == "consistency_distillation" else {}
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump({"run": kind, "output": "out", **components, **teacher}), encoding="utf-8")
    return path


def test_every_bad_value_of_every_key_is_named_in_our_words(kind, smallest):
    load_config(smallest)
    refused = set()
    for key in keys_of(lookup("schema", kind)):
        for value in VALUES:
            try:
                load_config(smallest, [f"{key}={value}"])
            except ConfigError as error:
                refused.add(key)
                assert str(error).startswith("the command line: ")
                assert f"'{key}" in str(error)
                assert not FOREIGN.search(str(error)), error
    assert refused == set(keys_of(lookup("schema", kind)))


def test_every_section_says_what_a_misspelt_key_may_have_meant(kind, smallest):
    for key in keys_of(lookup("schema", kind)):
        section, _, name = key.rpartition(".")
        with pytest.raises(ConfigError, match=f"the command line: unknown key '{key}z'; did you mean '{name}'?"):
            load_config(smallest, [f"{key}z=1"])
        with pytest.raises(ConfigError, match="the command line: unknown key 'sede"):
            load_config(smallest, [f"sede.{key}=1"])


@pytest.mark.parametrize(
    ("kind", "override", "message"),
    [
        ("edm", "sampling.frames={frames: 4, knd: pyramid}", "unknown key 'sampling.frames.knd'; did you mean 'kind'?"),
        ("edm", "sampling.frames={frames: 4, kind: 1}", "'sampling.frames.kind' must be 'full_sequence', "),
        ("edm", "sampling.frames={kind: pyramid}", "the key 'sampling.frames.frames' is missing"),
        ("edm", "regression={weihts: out}", "unknown key 'regression.weihts'; did you mean 'weights'?"),
    ],
)
def test_a_section_that_may_be_null_is_told_by_its_keys(kind, override, message, smallest):
    with pytest.raises(ConfigError, match=re.escape(message)):
        load_config(smallest, [override])


def test_every_value_that_yaml_cannot_read_is_named():
    for value in ("2026-13-45", "!!int a", "!!bool a", "!!timestamp a", "[1", "[" * 1000):
        with pytest.raises(ConfigError, match="on the command line is no YAML value"):
            load_config(CONFIGS / "digits_ddim.yaml", [f"seed={value}"])


def test_overrides_stand_anywhere_on_the_command_line(tmp_path, capsys):
    config = CONFIGS / "digits_ddim.yaml"
    assert main(["train", f"output={tmp_path}", "--config", str(config), "training.steps=none"]) == 2
    assert "'training.steps'" in capsys.readouterr().err
    assert main(["train", "sede=1", "--config", str(config), "training.steps=1"]) == 2
    assert "'sede'" in capsys.readouterr().err
    with pytest.raises(SystemExit) as stop:
        main(["train", "--config", str(config), "seed=1", "--steps", "2"])
    assert stop.value.code == 2
    assert "unknown option --steps: see --help for those of 'train'" in capsys.readouterr().err


def test_help_lists_every_key_with_type_and_default(capsys):
    helps = {}
    for command in ("train", "sample"):
        with pytest.raises(SystemExit) as stop:
            main([command, "--help"])
        assert stop.value.code == 0
        helps[command] = capsys.readouterr().out
    assert set(REGISTRY["schema"]) == {*REGISTRY["train"], *REGISTRY["sample"]}
    for name in REGISTRY["schema"]:
        shown = helps["train" if name in REGISTRY["train"] else "sample"]
        for key in keys_of(lookup("schema", name)):
            section = lookup("schema", name)
            for part in key.split("."):
                section, model = section.model_fields[part], section
                section = section.annotation if hasattr(section.annotation, "model_fields") else section
            if not hasattr(section, "model_fields"):
                assert model.model_fields[part].description, f"{key} is not described"
                assert f"\n  {key}\n" in shown
    assert "a finite number above 0 [0.001]" in helps["train"]
    assert "an integer in [0, 4294967295] [0]" in helps["train"]


FILE = """\
output: {output}
weights: digits_ddim
data:
  name: Digits
  patch_height: 2
  patch_width: 4
model: {{name: ConditionDiffusionTransformer, hidden_channels: 96, layers: 4,
        heads: 4}}
scheduler:
  name: DDIMScheduler
  prediction_type: v_prediction
compare:
  schedulers:
    - {{name: DDIMScheduler}}
    - name: EulerDiscreteScheduler
      use_karras_sigmas: true
training: {{steps: 5}}
sampling:
  per_class: 1
  step: {{}}
metrics: {{neighbours: 3}}
"""


@pytest.mark.parametrize(
    ("command", "old", "new", "parts"),
    [
        ("train", "patch_height: 2", "patch_height: 3", ["line 5", "'patch_height' must be 1, 2, 4 or 8, but is 3"]),
        (
            "train",
            "heads: 4",
            "heads: 5",
            ["line 8", "ConditionDiffusionTransformer at 'model'", "'heads' must divide"],
        ),
        ("train", "heads: 4", "head: 4", ["line 8", "unknown key 'model.head'; did you mean 'heads'?"]),
        ("train", "heads: 4", "heads: 4, in_channels: 3", ["line 8", "'model.in_channels' must not be set"]),
        ("train", ": v_prediction", ": v", ["line 11", "'prediction_type' must be one of"]),
        ("train", "steps: 5", "steps: 5, warmup_steps: 6", ["line 17", "'training.warmup_steps' must be in [0, 5]"]),
        ("train", "steps: 5", "steps: 5, batch_size: 3, accumulate: 2", ["line 17", "'training.batch_size' is 3"]),
        ("sample", "digits_ddim", "none.safetensors", ["line 2", "weights 'none.safetensors' are neither"]),
        ("sample", "step: {{}}", "step: {{eta: 2}}", ["line 20", "'eta' must be in [0, 1], but is 2"]),
        ("sample", "per_class: 1", "num_inference_steps: 1001", ["line 19", "DDIMScheduler at 'scheduler' refuses"]),
        (
            "sample",
            "neighbours: 3",
            "neighbours: 10",
            ["line 21", "DigitFigures at 'metrics': 'neighbours' must be in [1, 9], but is 10"],
        ),
        (
            "compare",
            "name: EulerDiscreteScheduler",
            "name: FlowMatchEulerDiscreteScheduler",
            ["line 15", "FlowMatchEulerDiscreteScheduler at 'compare.schedulers[1]' does not suit a run of the kind"],
        ),
        (
            "compare",
            "use_karras_sigmas",
            "use_karas_sigmas",
            ["line 16", "'compare.schedulers[1].use_karas_sigmas'; did you mean 'use_karras_sigmas'?"],
        ),
        (
            "compare",
            "use_karras_sigmas: true",
            "use_karras_sigmas: 1",
            ["line 16", "EulerDiscreteScheduler at 'compare.schedulers[1]': 'use_karras_sigmas' must be True or False"],
        ),
        (
            "compare",
            "step: {{}}",
            "step: {{eta: 0.5}}",
            ["line 20", "unknown key 'sampling.step.eta' for EulerDiscreteScheduler at 'compare.schedulers[1]'"],
        ),
    ],
)
def test_the_line_of_an_argument_is_named(command, old, new, parts, tmp_path, capsys):
    path = tmp_path / "run.yaml"
    assert old in FILE
    path.write_text(FILE.replace(old, new).format(output=tmp_path / "out"), encoding="utf-8")
    assert main([command, "--config", str(path)]) == 2
    (said,) = capsys.readouterr().err.splitlines()
    for part in [str(path), *parts]:
        assert part in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("command", "file", "overrides", "message"),
    [
        ("train", "digits_ddim", ["model.name=DiffusionTransforme"], "did you mean 'DiffusionTransformer'?"),
        ("train", "digits_flow", ["scheduler.name=DDIMScheduler"], "DDIMScheduler at 'scheduler' does not suit a run"),
        ("train", "digits_flow", ["scheduler.name=EulerDiscreteSchedule"], "did you mean 'EulerDiscreteScheduler'?"),
        (
            "train",
            "digits_ddim",
            ["data={name: StirredFlow}"],
            "unknown data set 'StirredFlow' at 'data.name'; allowed: 'Arrays', 'Digits'",
        ),
        ("train", "stirred_flow", ["model.name=PatchDiffusionTransformer"], "unknown key 'model.context'"),
        ("train", "digits_ddim", ["data.split_seed=4294967296"], "'split_seed' must be in [0, 4294967295]"),
        ("train", "digits_lcm", ["teacher=stirred_flow"], "'teacher' must be a model of the kind 'diffusion'"),
        ("train", "digits_lcm", ["teacher=none"], "'teacher' must name shipped weights ('digits_ddim'"),
        ("sweep", "digits_ddim", ["sweep.beside=[stirred_flow]"], "'sweep.beside[0]' must be a model of the kind"),
        ("sweep", "digits_ddim", ["sweep.beside=[none]"], "'sweep.beside[0]' must name shipped weights"),
        ("export", "stirred_flow", [], "line 4: 'export' is not there for runs of the kind 'world_model'"),
    ],
)
def test_what_is_advised_is_taken(command, file, overrides, message, tmp_path, capsys):
    weights = [] if command == "train" else [f"weights={file}"]
    words = [command, "--config", str(CONFIGS / f"{file}.yaml"), f"output={tmp_path / 'out'}", *weights, *overrides]
    assert main(words) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_warm_up_fits_any_number_of_steps():
    for steps in [*range(1, 150), 2000, 100_000]:
        training = Training(steps=steps)
        rates = warmup_cosine(training.learning_rate, training.warmup, steps)
        assert max(rates) == pytest.approx(training.learning_rate)
        assert rates[-1] <= rates[training.warmup]
    assert Training().warmup == 100


def test_a_huge_number_is_answered_at_once(tmp_path, capsys):
    words = ["train", "--config", str(CONFIGS / "digits_ddim.yaml"), f"output={tmp_path}"]
    assert main([*words, "model.hidden_channels=99999999999999999999999"]) == 2
    assert "the nearest number that fits is heads=3" in capsys.readouterr().err
    assert main([*words, "model.layers=99999999999999999999999"]) == 2
    assert "'layers' must be in [1, 10000]" in capsys.readouterr().err
