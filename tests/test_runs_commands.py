"""The train and sample commands from end to end on a tiny model, and the weights that come with the package."""

import json

import numpy as np
import pytest
import yaml
from PIL import Image
from safetensors import safe_open

from mindscience_diffuser.cli import main
from mindscience_diffuser.runs.storage.weights import FACTS, shipped_file, shipped_weights

TINY = {
    "data": {"name": "Digits", "patch_height": 4, "patch_width": 4},
    "model": {"name": "ConditionDiffusionTransformer", "hidden_channels": 16, "layers": 1, "heads": 2},
    "scheduler": {"name": "DDIMScheduler", "prediction_type": "v_prediction", "timestep_spacing": "trailing"},
    "training": {"steps": 25, "batch_size": 32, "warmup_steps": 5, "learning_rate": 0.01},
    "sampling": {"per_class": 2, "num_inference_steps": 3, "guidance_scale": 1.5, "step": {"eta": 0.5}},
    "metrics": {"reference_draws": 1},
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Trains the tiny model once; returns its configuration file and what the command wrote."""
    directory = tmp_path_factory.mktemp("runs")
    path = directory / "tiny.yaml"
    path.write_text(yaml.safe_dump({"output": str(directory / "tiny"), **TINY}), encoding="utf-8")
    assert main(["train", "--config", str(path)]) == 0
    return path, directory / "tiny" / "train"


def draw(config, output, *overrides):
    assert main(["sample", "--config", str(config), f"output={output}", *overrides]) == 0
    return np.load(output / "sample" / "samples.npz")


def test_train_writes_weights_configuration_metrics_and_pictures(trained):
    _, directory = trained
    names = {"weights.safetensors", "config.yaml", "metrics.json", "loss.png", "samples.png"}
    names |= {"loss_by_level.csv", "loss_by_level.png"}
    assert {path.name for path in directory.iterdir()} == names
    figures = json.loads((directory / "metrics.json").read_text(encoding="utf-8"))
    assert figures["training"]["steps"] == 25
    assert np.isfinite(figures["training"]["mean_loss_of_last_tenth"])
    assert figures["samples"]["samples"] == 20
    for name in ("loss.png", "loss_by_level.png", "samples.png"):
        assert Image.open(directory / name).size > (400, 200)


def test_training_again_gives_the_same_weights(trained, tmp_path):
    path, directory = trained
    assert main(["train", "--config", str(path), f"output={tmp_path}"]) == 0
    again = tmp_path / "train" / "weights.safetensors"
    assert again.read_bytes() == (directory / "weights.safetensors").read_bytes()


def test_training_lowers_the_loss(trained, tmp_path):
    path, directory = trained
    longer = json.loads((directory / "metrics.json").read_text(encoding="utf-8"))["training"]
    assert main(["train", "--config", str(path), f"output={tmp_path}", "training.steps=5"]) == 0
    shorter = json.loads((tmp_path / "train" / "metrics.json").read_text(encoding="utf-8"))["training"]
    assert longer["mean_loss_of_last_tenth"] < 0.95 * shorter["mean_loss_of_last_tenth"]


def test_sample_writes_picture_samples_configuration_and_metrics(trained, tmp_path):
    _, directory = trained
    samples = draw(directory / "config.yaml", tmp_path)
    written = tmp_path / "sample"
    assert {path.name for path in written.iterdir()} == {"samples.png", "samples.npz", "config.yaml", "metrics.json"}
    assert samples["images"].shape == (20, 8, 8)
    assert np.abs(samples["images"]).max() <= 1
    np.testing.assert_array_equal(samples["labels"], np.arange(20) % 10)
    figures = json.loads((written / "metrics.json").read_text(encoding="utf-8"))
    assert {"class_accuracy", "precision", "recall"} <= set(figures)
    resolved = yaml.safe_load((written / "config.yaml").read_text(encoding="utf-8"))
    assert resolved["weights"] == str(directory / "weights.safetensors")


def test_sampling_after_training_gives_what_training_measured(trained, tmp_path):
    path, directory = trained
    draw(directory / "config.yaml", tmp_path)
    sampled = json.loads((tmp_path / "sample" / "metrics.json").read_text(encoding="utf-8"))
    measured = json.loads((directory / "metrics.json").read_text(encoding="utf-8"))["samples"]
    assert measured.pop("model_flops_per_sample") > 0  # counted from the model, not measured on the samples
    assert {name: sampled[name] for name in measured} == measured


def test_same_seed_gives_the_same_samples_whatever_the_batch_size(trained, tmp_path):
    _, directory = trained
    samples = draw(directory / "config.yaml", tmp_path / "a")["images"]
    np.testing.assert_array_equal(draw(directory / "config.yaml", tmp_path / "b")["images"], samples)
    # 20 samples in batches of 7: the last one is not full.
    smaller = draw(directory / "config.yaml", tmp_path / "c", "sampling.batch_size=7")["images"]
    np.testing.assert_allclose(smaller, samples, atol=1e-5)
    more = draw(directory / "config.yaml", tmp_path / "d", "sampling.per_class=3")["images"]
    np.testing.assert_allclose(more[:20], samples, atol=1e-5)
    other = draw(directory / "config.yaml", tmp_path / "e", "seed=1")["images"]
    assert np.abs(other - samples).max() > 0.1


def test_float16_sampling_is_close_to_float32(trained, tmp_path):
    _, directory = trained
    full = draw(directory / "config.yaml", tmp_path / "full")["images"]
    half = draw(directory / "config.yaml", tmp_path / "half", "sampling.compute_dtype=float16")["images"]
    assert np.isfinite(half).all()
    assert np.linalg.norm(half - full) < 0.02 * np.linalg.norm(full)


@pytest.mark.parametrize("guidance", [0, 1])
def test_guidance_scale_of_zero_and_one_work(trained, tmp_path, guidance):
    _, directory = trained
    images = draw(directory / "config.yaml", tmp_path, f"sampling.guidance_scale={guidance}")["images"]
    assert np.isfinite(images).all()


def test_ddpm_samples_from_the_same_weights(trained, tmp_path):
    _, directory = trained
    overrides = ["scheduler.name=DDPMScheduler", "sampling.step={}"]
    assert np.isfinite(draw(directory / "config.yaml", tmp_path, *overrides)["images"]).all()


def test_failed_write_leaves_the_old_file_and_no_temporary_one(trained, tmp_path, capsys):
    _, directory = trained
    draw(directory / "config.yaml", tmp_path)
    target = tmp_path / "sample" / "metrics.json"
    target.unlink()
    target.mkdir()
    assert main(["sample", "--config", str(directory / "config.yaml"), f"output={tmp_path}"]) == 1
    assert "cannot write the results" in capsys.readouterr().err
    assert {path.name for path in target.parent.iterdir()} == {
        "samples.png",
        "samples.npz",
        "config.yaml",
        "metrics.json",
    }


@pytest.mark.parametrize("name", shipped_weights())
def test_shipped_weights_are_small_and_say_what_made_them(name):
    weights = shipped_file(name, ".safetensors")
    made_with = yaml.safe_load((shipped_file(name, ".yaml")).read_text(encoding="utf-8"))
    # The operator has a matrix for each wave number.
    assert weights.stat().st_size < (4 if made_with["model"]["name"] == "FrameOperator" else 2) * 1024**2
    with safe_open(weights, framework="numpy") as file:
        facts = json.loads(file.metadata()[FACTS])
    assert facts["model"] == made_with["model"]
    assert facts["seed"] == made_with["seed"]
    figures = json.loads((shipped_file(name, ".metrics.json")).read_text(encoding="utf-8"))
    assert figures["training"]["steps"] == made_with["training"]["steps"]


@pytest.mark.parametrize(
    ("name", "accuracy"),
    [
        *(("digits_ddim", 0.95), ("digits_flow", 0.95), ("digits_pyramid", 0.90), ("digits_lcm", 0.90)),
        *(("digits_meanflow", 0.95), ("digits_ect", 0.95)),
    ],
)
def test_shipped_weights_reach_the_bars(name, accuracy, tmp_path):
    draw(shipped_file(name, ".yaml"), tmp_path)
    figures = json.loads((tmp_path / "sample" / "metrics.json").read_text(encoding="utf-8"))
    assert figures["class_accuracy"]["samples"] >= accuracy
    assert figures["precision"]["ratio"] >= 0.8
    if name == "digits_ddim":
        assert figures["recall"]["ratio"] >= 0.8
