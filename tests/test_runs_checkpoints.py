"""A training that is interrupted goes on as if nothing had happened, and never from what does not belong to it."""

import json
import os
import signal

import numpy as np
import pytest
import yaml
from safetensors.numpy import load, save

from mindscience_diffuser import files
from mindscience_diffuser.cli import main
from mindscience_diffuser.runs.commands import train as training
from mindscience_diffuser.runs.data.batches import TrainingBatches
from mindscience_diffuser.runs.errors import DivergedError
from mindscience_diffuser.runs.storage.checkpoints import Checkpoints, Progress
from mindscience_diffuser.runs.storage.weights import FACTS

CONFIG = {
    "data": {"name": "Digits", "patch_height": 4, "patch_width": 4},
    "model": {"name": "ConditionDiffusionTransformer", "hidden_channels": 8, "layers": 1, "heads": 1},
    "scheduler": {"name": "DDIMScheduler", "prediction_type": "v_prediction"},
    "training": {
        "steps": 12,
        "batch_size": 8,
        "warmup_steps": 2,
        "accumulate": 2,
        "loss_scale": "dynamic",
        "checkpoint_every": 3,
    },
    "sampling": {"per_class": 1, "num_inference_steps": 1},
    "metrics": {"reference_draws": 1},
}


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    path = tmp_path_factory.mktemp("training") / "run.yaml"
    path.write_text(yaml.safe_dump({"output": str(path.parent / "whole"), **CONFIG}), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def readings():
    """How many losses were read at a time while `whole` trained."""
    return []


@pytest.fixture(scope="module")
def whole(config, readings):
    """The weights of a training that nothing interrupts."""
    read = training.read_losses
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(training, "STEPS_BETWEEN_READINGS", 2)
        monkeypatch.setattr(
            training, "read_losses", lambda unread, stop: readings.append(len(unread)) or read(unread, stop)
        )
        assert main(["train", "--config", str(config)]) == 0
    return (config.parent / "whole" / "train" / "weights.safetensors").read_bytes()


def train(config, output, *overrides):
    return main(["train", "--config", str(config), f"output={output}", *overrides])


def checkpoints(output):
    return sorted(path.name for path in (output / "train" / "checkpoints").glob("*.safetensors"))


def stop_at(monkeypatch, step, how):
    """Lets `how` happen when the batch of this step is asked for, once."""
    batch = TrainingBatches.batch
    left = [1]

    def batch_or_stop(self, number):
        if number == step and left:
            left.clear()
            how()
        return batch(self, number)

    monkeypatch.setattr(TrainingBatches, "batch", batch_or_stop)


def terminate():
    os.kill(os.getpid(), signal.SIGTERM)


def crash():
    raise KeyboardInterrupt


@pytest.fixture(scope="module")
def stopped(config, tmp_path_factory):
    """What a training leaves that SIGTERM has stopped in step 8, counted from 1."""
    output = tmp_path_factory.mktemp("stopped")
    with pytest.MonkeyPatch.context() as monkeypatch:
        stop_at(monkeypatch, 7, terminate)
        assert train(config, output) == 143
    return output


def copy(stopped, tmp_path):
    folder = tmp_path / "train" / "checkpoints"
    folder.mkdir(parents=True)
    for path in (stopped / "train" / "checkpoints").iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


def test_sigterm_leaves_a_checkpoint_of_the_step_it_came_in(stopped):
    assert checkpoints(stopped) == ["step-000000006.safetensors", "step-000000008.safetensors"]
    assert not (stopped / "train" / "weights.safetensors").exists()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_stopped_training_goes_on_to_the_same_weights(config, whole, stopped, tmp_path, capsys):
    folder = copy(stopped, tmp_path)
    (folder / ".partial-step-000000009.safetensors").write_bytes(b"left by a kill")
    (folder / "step-000000009.safetensors.sha256").write_text("left by a kill before the file itself")
    assert train(config, tmp_path) == 0
    assert (tmp_path / "train" / "weights.safetensors").read_bytes() == whole
    # All of the 12 steps are in the figures, though only four were made here.
    figures, expected = (
        json.loads((path / "train" / "metrics.json").read_text(encoding="utf-8"))["training"]
        for path in (tmp_path, config.parent / "whole")
    )
    assert figures["mean_loss_of_last_tenth"] == expected["mean_loss_of_last_tenth"]
    by_level, expected = (path / "train" / "loss_by_level.csv" for path in (tmp_path, config.parent / "whole"))
    assert by_level.read_bytes() == expected.read_bytes()
    assert not folder.exists()


def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(config, whole, stopped, tmp_path, capsys):
    newest = copy(stopped, tmp_path) / "step-000000008.safetensors"
    content = bytearray(newest.read_bytes())
    content[-10] ^= 1
    newest.write_bytes(bytes(content))
    assert train(config, tmp_path) == 0
    assert "step-000000008.safetensors' is damaged and not used" in capsys.readouterr().err
    assert (tmp_path / "train" / "weights.safetensors").read_bytes() == whole


def test_a_crash_loses_only_the_steps_since_the_last_checkpoint(config, whole, tmp_path, monkeypatch, capsys):
    stop_at(monkeypatch, 10, crash)
    assert train(config, tmp_path) == 130
    newest = tmp_path / "train" / "checkpoints" / "step-000000009.safetensors"
    said = capsys.readouterr().err
    assert f"interrupted. Kept is the checkpoint of step 9, '{newest}'; run the same command again" in said
    assert checkpoints(tmp_path) == ["step-000000006.safetensors", "step-000000009.safetensors"]
    asked = []
    batch = TrainingBatches.batch
    monkeypatch.setattr(TrainingBatches, "batch", lambda self, step: asked.append(step) or batch(self, step))
    assert train(config, tmp_path) == 0
    assert min(asked) == 9
    assert (tmp_path / "train" / "weights.safetensors").read_bytes() == whole


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("seed=1", "'seed' was 0 and is 1"),
        ("model.layers=2", "'model.layers' was 1 and is 2"),
        ("training.learning_rate=0.5", "'training.learning_rate' was 0.001 and is 0.5"),
        ("training.steps=13", "'training.steps' was 12 and is 13"),
    ],
)
def test_a_checkpoint_of_another_configuration_is_refused_by_the_key(config, stopped, capsys, override, message):
    assert train(config, stopped, override) == 2
    said = capsys.readouterr().err
    assert message in said
    assert "remove" in said
    assert len(checkpoints(stopped)) == 2


def rewritten(path, arrays=None, **facts):
    """Changes a checkpoint and its checksum."""
    content = path.read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    found = {**json.loads(header["__metadata__"][FACTS]), **facts}
    files.write_with_checksum(path, save({**load(content), **(arrays or {})}, {FACTS: json.dumps(found)}))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, "it has format 2, but this version knows 1"),
        ({"next_batch": 1}, "the training data, or their order, are other than they were"),
        (
            {"arrays": {"state.model.output_proj.bias": np.zeros(3, np.float32)}},
            "it is of another model: 'model.output_proj.bias' has the shape (3,) there, but (16,) here",
        ),
        (
            {"arrays": {"state.model.extra": np.zeros(3, np.float32)}},
            "it is of another model: 'model.extra' is only there",
        ),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_refused(config, stopped, tmp_path, capsys, change, message):
    rewritten(copy(stopped, tmp_path) / "step-000000008.safetensors", **change)
    assert train(config, tmp_path) == 2
    assert message in capsys.readouterr().err


@pytest.mark.every_case
def test_a_training_stops_at_the_first_loss_that_is_not_finite(config, tmp_path, monkeypatch, capsys):
    batch = TrainingBatches.batch

    def broken(self, step):
        made = batch(self, step)
        return made._replace(noise=made.noise * np.nan) if step >= 7 else made

    monkeypatch.setattr(TrainingBatches, "batch", broken)
    assert train(config, tmp_path) == 3
    said = capsys.readouterr().err
    assert "the loss of step 8 is nan" in said
    assert "'training.learning_rate'" in said
    newest = tmp_path / "train" / "checkpoints" / "step-000000006.safetensors"
    assert f"Kept is the checkpoint of step 6, '{newest}'" in said
    assert checkpoints(tmp_path) == ["step-000000003.safetensors", "step-000000006.safetensors"]
    assert {path.name for path in (tmp_path / "train").iterdir()} == {"checkpoints"}


def test_weights_that_are_not_finite_leave_the_checkpoints_as_they_are(tmp_path):
    class Step:
        def state(self):
            return {"model.weight": np.array([1, np.inf], np.float32)}

    kept = Checkpoints(tmp_path, {}, None, 1)
    (tmp_path / "step-000000003.safetensors").write_bytes(b"good")
    with pytest.raises(DivergedError, match="'model.weight' is not finite after step 6"):
        kept.save(Step(), Progress(6, [0.1]))
    assert kept.newest() == (tmp_path / "step-000000003.safetensors", 3)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("seed=1", "'seed' was 0 and is 1"),
        ("training.steps=13", "'training.steps' was 12 and is 13"),
        ("training.weights_dtype=float16", "'training.weights_dtype' was 'float32' and is 'float16'"),
    ],
)
def test_finished_weights_of_another_configuration_are_not_overwritten(config, whole, capsys, override, message):
    assert main(["train", "--config", str(config), override]) == 2
    said = capsys.readouterr().err
    assert "are the finished weights of another configuration" in said
    assert message in said
    assert "choose another 'output', or remove" in said
    assert (config.parent / "whole" / "train" / "weights.safetensors").read_bytes() == whole


def test_weights_of_unknown_origin_are_not_overwritten(config, tmp_path, capsys):
    (tmp_path / "train").mkdir()
    file = tmp_path / "train" / "weights.safetensors"
    file.write_bytes(save({"weight": np.zeros(1, np.float32)}))
    assert train(config, tmp_path) == 2
    assert "does not say how it was trained" in capsys.readouterr().err


def test_a_checkpoint_holds_optimizer_average_losses_and_random_state(stopped):
    arrays = load((stopped / "train" / "checkpoints" / "step-000000008.safetensors").read_bytes())
    assert arrays["losses"].shape == (8,)
    assert arrays["state.optimizer.global_step"] == 8
    assert arrays["state.average_updates"] == 8
    for prefix in ("state.model.", "state.optimizer.adam_m.", "state.optimizer.adam_v.", "state.average."):
        assert f"{prefix}output_proj.weight" in arrays
    assert {"state.loss_scale", "state.loss_scale_counter", "random.mindspore", "random.numpy_keys"} <= set(arrays)


def test_losses_are_read_rarely_and_none_is_lost(whole, readings):
    # After every second step, and before each checkpoint, which comes after every third.
    assert readings == [2, 1] * 4


def test_a_training_begins_with_given_weights(config, whole, tmp_path, capsys):
    given = tmp_path / "given.safetensors"
    given.write_bytes(whole)
    still = ("training.steps=1", "training.warmup_steps=0", "training.learning_rate=1e-9")
    assert train(config, tmp_path / "tuned", f"training.initial_weights={given}", *still) == 0
    tuned, begun = load((tmp_path / "tuned" / "train" / "weights.safetensors").read_bytes()), load(whole)
    for name, values in begun.items():
        np.testing.assert_allclose(tuned[name], values, rtol=0, atol=1e-7)
    wide = train(config, tmp_path / "wide", f"training.initial_weights={given}", "model.hidden_channels=16")
    assert wide == 2 and "'training.initial_weights': weights" in capsys.readouterr().err
    assert train(config, tmp_path / "none", "training.initial_weights=nowhere") == 2
    assert "'nowhere' are neither a file nor shipped weights" in capsys.readouterr().err


def test_an_interrupted_training_does_not_go_on_from_other_initial_weights(
    config, whole, tmp_path, monkeypatch, capsys
):
    given = tmp_path / "given.safetensors"
    given.write_bytes(whole)
    stop_at(monkeypatch, 5, lambda: os.kill(os.getpid(), signal.SIGTERM))
    assert train(config, tmp_path / "tuned", f"training.initial_weights={given}") != 0
    given.write_bytes(save({name: 2 * value for name, value in load(whole).items()}))
    capsys.readouterr()
    assert train(config, tmp_path / "tuned", f"training.initial_weights={given}") == 2
    assert "noted.initial_weights" in capsys.readouterr().err
