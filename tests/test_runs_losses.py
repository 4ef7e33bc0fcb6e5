"""Runs whose loss has weights, and is followed by the noise level."""

import csv
import json

import numpy as np
import pytest
from linear_runs import SPREADS, run, write, write_files

from mindscience_diffuser.runs.config.load import load_config
from mindscience_diffuser.runs.data.dataset import build_data
from mindscience_diffuser.runs.data.loss_weights import loss_weights, loss_weights_facts
from mindscience_diffuser.runs.errors import ConfigError
from mindscience_diffuser.runs.evaluation.level_losses import BINS, STRETCHES, LevelBins, LevelLosses


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_files(tmp_path_factory.mktemp("losses"))


@pytest.mark.parametrize(
    ("kind", "scheduler", "name", "limits"),
    [
        ("edm", {"name": "EDMHeunScheduler", "sigma_min": 0.01, "sigma_max": 40.0}, "sigma", (0.01, 40.0)),
        ("diffusion", {"name": "DDIMScheduler"}, "timestep", (0, 1000)),
        ("flow_matching", {"name": "FlowMatchEulerDiscreteScheduler"}, "sigma", (0, 1)),
    ],
)
def test_levels_are_followed_and_add_up_to_the_loss(folder, kind, scheduler, name, limits):
    path, output = write(
        folder,
        kind,
        run=kind,
        data={"name": "fields.py:Line", "nothing": True},
        model={"name": "net.py:Unconditional"},
        scheduler=scheduler,
        training={"steps": 20, "batch_size": 12, "accumulate": 3, "loss_weights": "latitude"},
        sampling={"samples": 4, "num_inference_steps": 2},
    )
    run("train", path)
    with open(output / "train" / "loss_by_level.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert (output / "train" / "loss_by_level.png").is_file()
    assert len(rows) == STRETCHES * BINS
    counts = np.array([int(row["samples"]) for row in rows]).reshape(STRETCHES, BINS)
    assert (counts.sum(1) == 20 * 12 // STRETCHES).all()
    assert [float(rows[0][f"{name}_from"]), float(rows[-1][f"{name}_to"])] == pytest.approx(limits)
    # The loss of these runs is the mean over the samples, so that the last stretch is the last tenth of it.
    last = [row for row in rows[-BINS:] if row["mean_loss"]]
    mean = np.average([float(r["mean_loss"]) for r in last], weights=[int(r["samples"]) for r in last])
    figures = json.loads((output / "train" / "metrics.json").read_text())["training"]
    assert mean == pytest.approx(figures["mean_loss_of_last_tenth"], rel=1e-4)


def test_levels_beyond_the_bins_and_samples_of_which_nothing_counts():
    losses = LevelLosses(LevelBins.between("sigma", 0.1, 10, logarithmic=True), steps=5)
    losses.add(0, np.array([0.01, 0.1, 1.0, 99.0]), np.array([1.0, 3.0, np.nan, 7.0]))
    losses.add(4, np.array([1.0]), np.array([5.0]))
    means = losses.means()
    assert means[0, 0] == 2 and means[0, -1] == 7 and means[8, BINS // 2] == 5
    assert losses.sums[1].sum() == 4
    assert losses.stretches() == {0: (1, 1), 8: (5, 5)}
    again = LevelLosses(losses.bins, 5, losses.sums)
    assert again.to_csv() == losses.to_csv()


def weighed_config(folder, weights):
    path, _ = write(folder, "weighed", run="regression", training={"loss_weights": str(weights)})
    return load_config(path)


def test_weights_are_cosines_of_latitudes_or_those_of_a_file(folder, tmp_path):
    config = weighed_config(folder, "latitude")
    data = build_data(config)
    found = loss_weights(config, data)
    np.testing.assert_allclose(found, np.cos(np.radians([[-80.0], [-10.0], [30.0], [60.0]])), rtol=1e-6)
    given = np.random.default_rng(0).random((2, 1, 6)) < 0.5
    np.save(tmp_path / "mask.npy", given)
    found = loss_weights(weighed_config(folder, tmp_path / "mask.npy"), data)
    assert found.dtype == np.float32 and np.array_equal(found, given)
    # Other weights under the same name are another training.
    config = weighed_config(folder, tmp_path / "mask.npy")
    before = loss_weights_facts(config)
    np.save(tmp_path / "mask.npy", ~given)
    assert loss_weights_facts(config) != before
    assert loss_weights_facts(weighed_config(folder, "latitude")) == {}


def test_bad_weights_of_a_run_are_refused(folder, tmp_path):
    data = build_data(weighed_config(folder, "latitude"))
    for name, values, words in (
        ("shape.npy", np.ones((5, 6)), "cannot be used: shape mismatch"),
        ("larger.npy", np.ones((3, 2, 4, 6)), "does not broadcast to a sample"),
        ("negative.npy", np.full((2, 4, 6), -1.0), "must be at least 0, but has -1.0"),
        ("zero.npy", np.zeros((2, 4, 6)), "leaves nothing"),
        ("text.npy", np.array(["a"]), "holds no numbers"),
    ):
        np.save(tmp_path / name, values)
        with pytest.raises(ConfigError, match=words):
            loss_weights(weighed_config(folder, tmp_path / name), data)
    with pytest.raises(ConfigError, match="must be latitude, or the path of an npy file"):
        loss_weights(weighed_config(folder, "latitudes"), data)
    data.train.data.coordinates = {"y": np.arange(4)}
    with pytest.raises(ConfigError, match="has no coordinate of the name lat .* it has 'y': give an npy file"):
        loss_weights(weighed_config(folder, "latitude"), data)


def test_training_under_a_mask_learns_what_it_shows(folder, tmp_path):
    """The first channel is masked out, so that its weights stay where they were: at 0."""
    np.save(tmp_path / "mask.npy", np.array([False, True]).reshape(2, 1, 1))
    training = {"steps": 40, "batch_size": 32, "learning_rate": 0.1, "weight_decay": 0.0, "ema_decay": 0.0}
    training["loss_weights"] = str(tmp_path / "mask.npy")
    path, output = write(folder, "masked", run="regression", training=training)
    run("train", path)
    left = json.loads((output / "train" / "metrics.json").read_text())["samples"]["residual_of_held_out_samples"]
    assert left["all"] == pytest.approx(SPREADS[1], rel=0.1) and left["channels"][0] is None
