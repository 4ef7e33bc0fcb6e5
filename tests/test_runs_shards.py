"""Samples in numbered files: the same as at once, gone on with after any interruption, never mixed with others."""

import errno
import json
from pathlib import Path

import numpy as np
import pytest

from mindscience_diffuser import files
from mindscience_diffuser.cli import main
from mindscience_diffuser.runs.storage.shards import Shards
from mindscience_diffuser.runs.storage.weights import shipped_file

# 30 samples: three shards of 8 and one of 6, in batches of 4.
RUN = ["sampling.per_class=3", "sampling.num_inference_steps=2", "sampling.batch_size=4", "metrics.reference_draws=1"]
SHARDED = [*RUN, "sampling.shard_size=8"]


def sample(output, *overrides):
    return main(["sample", "--config", str(shipped_file("digits_ddim", ".yaml")), f"output={output}", *overrides])


def contents(output):
    folder = output / "sample" / "shards"
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    output = tmp_path_factory.mktemp("shards")
    assert sample(output, *SHARDED) == 0
    return output


def test_shards_hold_the_samples_that_are_drawn_at_once(drawn, tmp_path):
    assert sample(tmp_path, *RUN) == 0
    at_once = np.load(tmp_path / "sample" / "samples.npz")
    parts = [np.load(path) for path in sorted((drawn / "sample" / "shards").glob("*.npz"))]
    assert [len(part["labels"]) for part in parts] == [8, 8, 8, 6]
    for name in ("images", "labels"):
        np.testing.assert_array_equal(np.concatenate([part[name] for part in parts]), at_once[name])
    figures, streamed = (
        json.loads((path / "sample" / "metrics.json").read_text(encoding="utf-8")) for path in (tmp_path, drawn)
    )
    for name in ("samples", "class_accuracy", "precision", "recall"):
        assert streamed[name] == figures[name]
    # Rounding of the covariance comes back as its root where an eigenvalue is zero: some pixels are always white.
    expected = figures["frechet_distance_of_pixels"]["samples"]
    assert streamed["frechet_distance_of_pixels"]["samples"] == pytest.approx(expected, abs=1e-5)


def test_missing_and_damaged_shards_are_made_again_and_no_others(drawn, capsys):
    before = contents(drawn)
    folder = drawn / "sample" / "shards"
    (folder / "00001.npz").unlink()
    damaged = bytearray(before["00002.npz"])
    damaged[700] ^= 1
    (folder / "00002.npz").write_bytes(bytes(damaged))
    (folder / "00003.npz.sha256").unlink()
    for path in (folder / ".partial-00003-abc.npz", folder.parent / ".partial-metrics-abc.json"):
        path.write_bytes(b"left by a kill")
    kept = (folder / "00000.npz").stat().st_mtime_ns
    assert sample(drawn, *SHARDED) == 0
    assert contents(drawn) == before
    assert not list(folder.parent.glob(".partial-*"))
    assert (folder / "00000.npz").stat().st_mtime_ns == kept
    figures = json.loads((drawn / "sample" / "metrics.json").read_text(encoding="utf-8"))
    assert figures["samples_drawn_now"] == 8 + 8 + 6


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("seed=1", "'seed' was 0 and is 1"),
        ("sampling.step.eta=0.5", "'sampling.step.eta' was 0.0 and is 0.5"),
        ("sampling.per_class=4", "'sampling.per_class' was 3 and is 4"),
        ("sampling.shard_size=9", "'sampling.shard_size' was 8 and is 9"),
        ("scheduler.beta_start=0.001", "'scheduler.beta_start' was not set and is 0.001"),
    ],
)
def test_a_changed_configuration_is_refused_by_the_key(drawn, capsys, override, message):
    before = contents(drawn)
    assert sample(drawn, *SHARDED, override) == 2
    said = capsys.readouterr().err
    assert message in said
    assert "choose another 'output'" in said
    assert contents(drawn) == before


def test_other_weights_under_the_same_name_are_refused(drawn, tmp_path, capsys):
    weights = tmp_path / "weights.safetensors"
    weights.write_bytes((shipped_file("digits_ddim", ".safetensors")).read_bytes())
    assert sample(drawn, *SHARDED, f"weights={weights}") == 0
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(bytes(content))
    assert sample(drawn, *SHARDED, f"weights={weights}") == 2
    assert "'weights' was 'sha256:" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"format": 2}', "has format 2, but this version of mindscience_diffuser knows 1"),
        ('{"format": 1, "decided_by": {', "is damaged"),
        ("[]", "is damaged"),
    ],
)
def test_a_manifest_that_cannot_be_understood_is_refused(tmp_path, capsys, text, message):
    (tmp_path / "sample").mkdir()
    (tmp_path / "sample" / "manifest.json").write_text(text, encoding="utf-8")
    assert sample(tmp_path, *SHARDED) == 2
    assert message in capsys.readouterr().err


def test_shards_without_a_manifest_are_not_taken_for_those_of_a_run(tmp_path):
    before = Shards(tmp_path, {"seed": 0}, count=4, size=2)
    assert before.start() == [0, 1]
    before.write(0, {"samples": np.zeros(2)})
    assert before.start() == [1]
    (tmp_path / "manifest.json").unlink()
    assert Shards(tmp_path, {"seed": 1}, count=4, size=2).start() == [0, 1]


def test_a_full_disk_ends_with_one_line_and_the_run_goes_on_later(drawn, tmp_path, capsys, monkeypatch):
    write, room = Path.write_bytes, [2]

    def write_bytes(path, content):
        if path.suffix == ".npz":
            room[0] -= 1
            if room[0] < 0:
                write(path, content[:100])
                raise OSError(errno.ENOSPC, "No space left on device")
        return write(path, content)

    monkeypatch.setattr(Path, "write_bytes", write_bytes)
    assert sample(tmp_path, *SHARDED) == 1
    said = capsys.readouterr().err.splitlines()[-1]
    assert "No space left on device" in said
    assert "shards/00002.npz'; what is there is whole" in said
    assert "make room and run the same command again" in said
    monkeypatch.undo()
    assert set(contents(tmp_path)) == {"00000.npz", "00000.npz.sha256", "00001.npz", "00001.npz.sha256"}
    assert sample(tmp_path, *SHARDED) == 0
    assert contents(tmp_path) == contents(drawn)


def test_a_checked_file_is_read_only_as_it_was_written(tmp_path):
    path = tmp_path / "file.bin"
    assert files.read_with_checksum(path) is None
    files.write_with_checksum(path, b"content")
    assert files.read_with_checksum(path) == b"content"
    path.write_bytes(b"contenT")
    assert files.read_with_checksum(path) is None
    files.remove_with_checksum(path)
    assert list(tmp_path.iterdir()) == []
