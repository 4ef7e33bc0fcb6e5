"""Runs whose samples are sequences: a noise level for each frame in training and in sampling."""

import textwrap

import numpy as np
import pytest
import yaml

from mindscience_diffuser.cli import main
from mindscience_diffuser.runs.config.load import load_config
from mindscience_diffuser.runs.kinds.kind import kind_of

FRAMES = 4
FILES = {
    "sequences.py": """
        import numpy as np

        class Sequences:
            def __len__(self):
                return 40

            def __getitem__(self, k):
                steps = np.random.default_rng(k).standard_normal((4, 3))
                return steps.cumsum(axis=0).astype(np.float32)
    """,
    "net.py": """
        from mindspore import nn, ops

        class Net(nn.Cell):
            def __init__(self):
                super().__init__()
                self.dense, self.told = nn.Dense(3, 3), nn.Dense(1, 3)

            def construct(self, x, t):
                told = ops.log(ops.abs(ops.cast(t, x.dtype)) + 1)
                return self.dense(x) + self.told(told.reshape(t.shape + (1,)))
    """,
}
SCHEDULERS = {
    "diffusion": "DDIMScheduler",
    "flow_matching": "FlowMatchEulerDiscreteScheduler",
    "edm": "EDMHeunScheduler",
}


def write(folder, run="diffusion", **sampling):
    for name, text in FILES.items():
        (folder / name).write_text(textwrap.dedent(text), encoding="utf-8")
    content = {
        "run": run,
        "output": str(folder / "out"),
        "data": {"name": "sequences.py:Sequences"},
        "model": {"name": "net.py:Net"},
        "scheduler": {"name": SCHEDULERS[run]},
        "training": {"steps": 3, "batch_size": 8, "warmup_steps": 1, "independent_levels": True},
        "sampling": {"samples": 5, "num_inference_steps": 3, "batch_size": 4, **sampling},
    }
    (folder / "run.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    return folder / "run.yaml"


def run(command, path, *overrides):
    return main([command, "--config", str(path), *overrides])


def samples(folder):
    with np.load(folder / "out" / "sample" / "samples.npz") as arrays:
        return arrays["samples"]


@pytest.mark.parametrize("kind", SCHEDULERS)
def test_sequences_are_trained_sampled_and_exported(tmp_path, kind):
    path = write(tmp_path, kind, frames={"frames": FRAMES, "kind": "pyramid", "uncertainty": 2})
    assert run("train", path) == 0 and run("sample", path) == 0
    drawn = samples(tmp_path)
    assert drawn.shape == (5, FRAMES, 3) and np.isfinite(drawn).all()
    # This model treats frames alike and by themselves, so that their order changes nothing.
    assert run("sample", path, "sampling.frames.kind=autoregressive") == 0
    np.testing.assert_allclose(samples(tmp_path), drawn, atol=1e-4)
    assert run("export", path) == 0
    assert run("sample", path, f"sampling.exported={tmp_path / 'out' / 'export' / 'sampler.mindir'}") == 0
    np.testing.assert_allclose(samples(tmp_path), drawn, atol=1e-4)


def test_every_frame_of_a_batch_has_a_level_of_its_own(tmp_path):
    config = load_config(write(tmp_path))
    objective = kind_of(config).objective(config)
    batch = objective.batches.batch(0)
    assert batch.levels.shape == (8, FRAMES) and len(np.unique(batch.levels)) > 8


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("sampling.frames={frames: 5}", "'sampling.frames.frames' is 5, but the samples of "),
        ("sampling.frames={frames: 0}", "'sampling.frames.frames'"),
        ("sampling.frames={frames: 4, kind: random}", "'sampling.frames.kind'"),
        ("sampling.frames={kind: pyramid}", "'sampling.frames.frames'"),
    ],
)
def test_bad_frames_are_refused(tmp_path, capsys, override, message):
    assert run("train", write(tmp_path), override) != 0
    assert message in capsys.readouterr().err
