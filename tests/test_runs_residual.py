"""Runs that learn a regression, and what it leaves."""

import json

import numpy as np
import pytest
from linear_runs import SLOPES, SPREADS, run, write, write_files

from mindscience_diffuser.cli import main


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_files(tmp_path_factory.mktemp("residual"))


def edm(folder, name, regression, training=(), **values):
    training = {"steps": 60, "batch_size": 32, "learning_rate": 0.02, "condition_dropout": 0.0, **dict(training)}
    scheduler = {"name": "EDMHeunScheduler", "sigma_data": SPREADS.tolist(), "sigma_min": 0.01, "sigma_max": 40.0}
    sampling = {"samples": 200, "num_inference_steps": 20, "batch_size": 100}
    settings = {"run": "edm", "scheduler": scheduler, "training": training, "sampling": sampling}
    return write(folder, name, **{**settings, "regression": {"weights": str(regression)}, **values})


def refused(capsys, command, path, *overrides):
    """Returns what the command says of its mistake."""
    assert main([command, "--config", str(path), *overrides]) == 2
    return capsys.readouterr().err


@pytest.fixture(scope="module")
def regression(folder):
    """The output of a trained regression."""
    training = {"steps": 150, "batch_size": 64, "learning_rate": 0.1, "weight_decay": 0.0, "ema_decay": 0.9}
    path, output = write(folder, "regression", run="regression", training=training)
    run("train", path)
    return output


@pytest.fixture(scope="module")
def trained(folder, regression):
    """The configuration and the output of a run that has learned the residual."""
    path, output = edm(folder, "edm", regression)
    run("train", path)
    return path, output


def test_regression_is_the_least_squares_fit_and_tells_what_it_leaves(regression):
    figures = json.loads((regression / "train" / "metrics.json").read_text())["samples"]
    for part in ("training", "held_out"):
        left = figures[f"residual_of_{part}_samples"]
        assert left["channels"] == pytest.approx(SPREADS.tolist(), rel=0.06)
        assert left["all"] == pytest.approx(np.sqrt(np.mean(SPREADS**2)), rel=0.06)


def test_samples_are_the_regression_and_its_residual(trained):
    path, output = trained
    run("sample", path)
    with np.load(output / "sample" / "samples.npz") as arrays:
        left = arrays["samples"] - SLOPES.reshape(2, 1, 1) * arrays["condition_0"]
    # 4800 values a channel: 0.014 of the mean and 0.01 of the deviation; 60 samples of c beside; a short training.
    for k, spread in enumerate(SPREADS):
        assert abs(left[:, k].mean()) < 0.1 * spread + 0.02
        assert left[:, k].std() == pytest.approx(spread, rel=0.15)


def test_comparison_and_exported_file_draw_the_samples_too(trained):
    path, output = trained
    schedulers = "compare.schedulers=[{name: EDMEulerScheduler}]"
    run("sample", path)
    with np.load(output / "sample" / "samples.npz") as arrays:
        drawn = arrays["samples"]
    run("compare", path, schedulers, "compare.num_inference_steps=[40]", "metrics=[{name: Moments}]")
    (row,) = json.loads((output / "compare" / "metrics.json").read_text())
    deviation = row["standard_deviation"]
    assert row["calls"] == 40 and deviation["samples"] == pytest.approx(deviation["held_out"], rel=0.1)
    run("export", path)
    run("sample", path, f"sampling.exported={output / 'export' / 'sampler.mindir'}")
    with np.load(output / "sample" / "samples.npz") as arrays:
        np.testing.assert_allclose(arrays["samples"], drawn, atol=1e-4)


def test_what_does_not_go_with_a_regression_is_refused(folder, regression, trained, tmp_path, capsys):
    path, output = trained
    said = refused(capsys, "train", path, f"output={tmp_path}", "training.condition_dropout=0.1")
    assert "'training.condition_dropout' is 0.1, but a regression needs the conditions" in said
    assert "'sampling.guidance_scale' must not be set together" in refused(
        capsys, "sample", path, "sampling.guidance_scale=2.0"
    )
    assert "is of the kind 'edm'" in refused(
        capsys, "train", path, f"regression.weights={output}", f"output={tmp_path}"
    )
    said = refused(capsys, "train", path, "regression.weights=nowhere", f"output={tmp_path}")
    assert "'regression.weights' must be the output of a regression run, or its weights: weights 'nowhere'" in said
    assert "had another normalisation" in refused(capsys, "train", path, "normalise=true", f"output={tmp_path}")
    training = {"steps": 2, "batch_size": 8}
    other, elsewhere = write(folder, "other", run="regression", training=training)
    run("train", other)
    said = refused(capsys, "sample", path, f"regression.weights={elsewhere}")
    assert "is not the regression whose residual the model has learned" in said
    run("export", path, "export.overwrite=true")
    exported = f"sampling.exported={output / 'export' / 'sampler.mindir'}"
    said = refused(capsys, "sample", path, exported, f"regression.weights={elsewhere}")
    assert "'sampling.exported' cannot be used: 'regression.weights' is" in said
    assert "'sample' is not there for runs of the kind 'regression'" in refused(capsys, "sample", other)
    said = refused(capsys, "train", path, "scheduler.sigma_data=[1.0, 1.0, 1.0]", f"output={tmp_path}")
    assert "'scheduler.sigma_data' has 3 numbers, but the samples have 2 channels" in said
    nothing = {"name": "fields.py:Line", "nothing": True}
    bare, _ = write(folder, "bare", run="regression", data=nothing, model={"name": "net.py:Unconditional"})
    assert "'data' gives no condition" in refused(capsys, "train", bare)
