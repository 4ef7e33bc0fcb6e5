"""Runs on patches: trained on random ones, sampled and exported as whole domains; what does not fit is told first."""

import json

import numpy as np
import pytest
import yaml

from mindscience_diffuser.cli import main
from mindscience_diffuser.noise import draw_noise
from mindscience_diffuser.runs.data.batches import Cropping, TrainingBatches

CODE = '''
import numpy as np
from mindspore import Parameter, Tensor, nn, ops
import mindspore as ms


class Places:
    """The first condition is the sample, the second one the number of the sample."""

    def __init__(self, split="train"):
        self.values = np.random.default_rng(split == "test").standard_normal((24, 1, 20, 27)).astype(np.float32)

    def __len__(self):
        return len(self.values)

    def __getitem__(self, k):
        return self.values[k], self.values[k], np.float32([k])


class Net(nn.Cell):
    def __init__(self, compute_dtype=ms.float32):
        super().__init__()
        self.scale = Parameter(Tensor([0.1, 0.2, 0.3], ms.float32), name="scale")

    def construct(self, x, t, field, number, position):
        a, b, c = ops.unstack(ops.cast(self.scale, x.dtype))
        number = ops.cast(number, x.dtype).reshape((-1, 1, 1, 1))
        return a * x + b * ops.cast(field, x.dtype) + c * position[:, :1] * position[:, 1:] + 0.01 * number
'''


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("patches")
    (folder / "places.py").write_text(CODE, encoding="utf-8")
    content = {
        "run": "edm",
        "output": str(folder / "out"),
        "data": {"name": "places.py:Places"},
        "patches": {"size": [8, 10], "overlap": 3, "chunk": 5},
        "model": {"name": "places.py:Net"},
        "scheduler": {"name": "EDMEulerScheduler"},
        "training": {"steps": 3, "batch_size": 4, "condition_dropout": 0},
        "sampling": {"samples": 3, "num_inference_steps": 2, "batch_size": 2},
        "metrics": [{"name": "Moments"}],
    }
    (folder / "run.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    assert main(["train", "--config", str(folder / "run.yaml")]) == 0
    return folder


def test_samples_are_whole_domains_and_those_of_the_exported_file(folder):
    config = ["--config", str(folder / "run.yaml")]
    assert main(["sample", *config]) == 0
    samples = np.load(folder / "out" / "sample" / "samples.npz")["samples"]
    assert samples.shape == (3, 1, 20, 27)
    assert np.isfinite(samples).all()
    assert "samples" in json.loads((folder / "out" / "train" / "metrics.json").read_text(encoding="utf-8"))
    assert main(["export", *config]) == 0
    exported = ["--config", str(folder / "out" / "export" / "config.yaml"), f"output={folder / 'again'}"]
    assert main(["sample", *exported]) == 0
    np.testing.assert_allclose(np.load(folder / "again" / "sample" / "samples.npz")["samples"], samples, atol=1e-5)


def test_exported_file_of_other_patches_is_refused(folder, capsys):
    main(["export", "--config", str(folder / "run.yaml")])
    exported = ["--config", str(folder / "out" / "export" / "config.yaml"), f"output={folder / 'other'}"]
    assert main(["sample", *exported, "patches.overlap=4"]) == 2
    assert "'sampling.exported' cannot be used: 'patches' is" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["patches.size=[8, 28]"], "'patches.size' is (8, 28), which is larger than the domain, (20, 27)"),
        (["patches.size=[8]"], "'patches.size' is (8,), but the samples have 2 axes after their channels"),
        (["patches.overlap=8"], "'patches.overlap' is 8, but must be below the points of the patch"),
        (["patches.chunk=0"], "'patches.chunk' must be an integer of at least 1, but is 0"),
        (["patches={size: [8, 8]}"], "the key 'patches.overlap' is missing"),
        (["patches.positions=false"], "takes (x, t, field, number, position) and the data give 2 conditions"),
        (["training.loss_weights=latitude"], "'training.loss_weights' "),
        (["regression.weights=nowhere"], "'patches' must not be set together with 'regression.weights'"),
        (["run=pyramid_flow"], "unknown key 'patches'"),
    ],
)
def test_mistake_is_told_before_anything_is_compiled(folder, capsys, values, message):
    assert main(["train", "--config", str(folder / "run.yaml"), f"output={folder / 'refused'}", *values]) == 2
    assert message in capsys.readouterr().err
    assert not (folder / "refused").exists()


class Whole:
    """Data whose condition is the sample."""

    def __len__(self):
        return 8

    def batch(self, numbers):
        values = np.random.default_rng(0).standard_normal((8, 1, 9, 11))[np.array(numbers)]
        return values, values + 1


@pytest.mark.parametrize("law", [False, True])
def test_batches_have_patches_of_samples_conditions_and_noise(law):
    shapes = []

    def noise(levels, shape, generator):
        shapes.append(shape)
        return draw_noise(shape, generator)

    cropping = Cropping((4, 5), True, law)
    batches = TrainingBatches(
        Whole(), 6, lambda seed, step, size: np.zeros(size), 0.0, 3, draw_noise=noise, cropping=cropping
    )
    batch = batches.batch(2)
    assert shapes == [(6, 1, 9, 11) if law else (6, 1, 4, 5)]
    assert batch.samples.shape == batch.noise.shape == (6, 1, 4, 5)
    np.testing.assert_array_equal(batch.condition_0, batch.samples + 1)
    assert batch.condition_1.shape == (6, 2, 4, 5)
    for again, first in zip(batches.batch(2), batch):
        np.testing.assert_array_equal(again, first)


def test_ranks_draw_one_sample_together_or_each_its_own(folder, capsys, monkeypatch):
    monkeypatch.setattr("mindscience_diffuser.runs.commands.sample.over_ranks", lambda config: True)
    config = ["--config", str(folder / "run.yaml"), f"output={folder / 'together'}", "sampling.shard_size=2"]
    weights = f"weights={folder / 'out' / 'train' / 'weights.safetensors'}"
    assert main(["sample", *config, weights]) == 2
    assert "'patches.over_ranks' is true, with which all ranks draw one sample together" in capsys.readouterr().err
