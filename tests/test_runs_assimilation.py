"""Runs of the kind ``assimilation``, and optimal interpolation."""

import json

import numpy as np
import pytest

from mindscience_diffuser.cli import main
from mindscience_diffuser.examples.stirred_flow.data import StirredFlow
from mindscience_diffuser.runs.config.load import load_config
from mindscience_diffuser.runs.evaluation.forecast_scores import fair_crps
from mindscience_diffuser.runs.evaluation.optimal_interpolation import (
    OptimalInterpolation,
    gaussian_crps,
    gaussian_update,
)
from mindscience_diffuser.runs.kinds.films.assimilation import beginning, observe
from mindscience_diffuser.runs.kinds.films.world_model import build_world_model
from mindscience_diffuser.runs.storage.weights import save_weights

CONFIG = """
run: assimilation
output: {folder}/out
weights: {folder}/weights.safetensors
data: {{name: StirredFlow, train_films: 4, train_frames: 9}}
model: {{name: FrameOperator, context: 2, hidden_channels: 4, layers: 1, modes: 3}}
preconditioning: {{sigma_data: 0.1, residual: true}}
observations: {{every: 2, fraction: 0.1}}
filter: {{members: 3}}
rollout: {{films: 2, frames: 5, num_steps_denoising: 2}}
"""
RNG = np.random.default_rng(0)


@pytest.fixture
def config_file(tmp_path):
    file = tmp_path / "assimilation.yaml"
    file.write_text(CONFIG.format(folder=tmp_path))
    config = load_config(file)
    model = build_world_model(config, StirredFlow(train_films=1, train_frames=9))
    save_weights(tmp_path / "weights.safetensors", {p.name: p.asnumpy() for p in model.get_parameters()})
    return file


def test_run_filters_films_and_leaves_figures_fields_and_pictures(config_file, tmp_path):
    assert main(["sample", "--config", str(config_file)]) == 0
    folder = tmp_path / "out" / "sample"
    assert {p.name for p in folder.iterdir()} == {
        "config.yaml",
        "fields.npz",
        "maps.png",
        "metrics.json",
        "scores.png",
    }
    figures = json.loads((folder / "metrics.json").read_text())
    filters = {"analysis", "free forecast", "optimal interpolation", "optimal interpolation, cycled"}
    for by_name in figures["over_frames"].values():
        assert set(by_name) == filters
        assert all(len(course) == 5 and np.isfinite(course).all() for course in by_name.values())
    fields = np.load(folder / "fields.npz")
    truth, mean = fields["truth"], fields["analysis_mean"]
    assert truth.shape == mean.shape == (2, 5, 32, 32)
    rmse = np.sqrt(((mean - truth) ** 2).mean((0, 2, 3)))
    assert np.allclose(rmse, figures["over_frames"]["root mean square error"]["analysis"], atol=1e-4)
    members = fields["members_of_first_film"]
    assert members.shape == (5, 3, 32, 32)
    assert np.allclose(members.mean(1), mean[0], atol=1e-6)
    assert np.isnan(fields["observations"][:, ::2]).all()
    measured = ~np.isnan(fields["observations"][:, 1::2])
    assert np.array_equal(measured.sum((2, 3)), np.full((2, 2), 102))
    # A filter and a free forecast of the same members agree up to the first measurements.
    free = fields["free_forecast_mean"]
    assert np.allclose(free[:, 0], mean[:, 0], atol=1e-6)
    assert not np.allclose(free[:, 1], mean[:, 1], atol=1e-3)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["observations.every=6"], "'observations.every' is 6, but there are 5 frames"),
        (["filter.members=4"], "'filter.members' is 4, but there are 4 training films"),
        (["filter.inflation=0.5"], "'filter.inflation' must be a finite number of at least 1"),
        (["observations.fraction=0"], "'observations.fraction' must be a number in (0, 1]"),
        (["rollout.sigma_max=0.001"], "the sampler refuses what is set under 'rollout'"),
        (["preconditioning.quantize=true"], "'preconditioning.quantize' rounds frames to pixels"),
        (["weights=nothing"], "weights 'nothing' are neither a file nor shipped weights"),
        (["weights=stirred_flow_mean"], "give the weights of one with 'training.objective' denoiser"),
    ],
)
def test_configuration_that_cannot_be_carried_out_is_refused(config_file, tmp_path, capsys, overrides, words):
    assert main(["sample", "--config", str(config_file), *overrides]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_run_is_not_there_to_be_trained(config_file, capsys):
    assert main(["train", "--config", str(config_file)]) == 2
    assert "'train' is not there for runs of the kind 'assimilation'" in capsys.readouterr().err


def test_measurements_and_first_frames_are_those_of_the_film_whatever_the_others(config_file):
    config = load_config(config_file, ["filter.initial_std=0.2"])
    film = RNG.standard_normal((5, 32, 32))
    found = observe(config, film, 3)
    assert [y is None for y in found] == [True, False, True, False, True]
    seen = ~np.isnan(found[1])
    assert np.array_equal(seen, ~np.isnan(found[3]))
    assert 0.01 < np.abs(found[1] - film[1])[seen].std() < 0.1
    training = RNG.standard_normal((4, 9, 32, 32)) + 3
    known, members = beginning(config, training, film[:2], 3)
    assert members.shape == (3, 2, 32, 32)
    assert (known - film[:2]).std() == pytest.approx(0.2, rel=0.1)
    assert (members - known).std() == pytest.approx(0.2, rel=0.1)
    assert abs((members - known).mean()) < 0.02


def test_gaussian_update_is_kriging():
    root = RNG.standard_normal((4, 4))
    covariance, mean = root @ root.T, RNG.standard_normal(4)
    mean_of, covariance_of = gaussian_update(mean, covariance, np.array([1.0, np.nan, 0.5, np.nan]), 0.3)
    precision = np.linalg.inv(covariance) + np.diag([1, 0, 1, 0]) / 0.3**2
    assert np.allclose(covariance_of, np.linalg.inv(precision))
    drawn = np.linalg.solve(precision, np.linalg.solve(covariance, mean) + np.array([1, 0, 0.5, 0]) / 0.3**2)
    assert np.allclose(mean_of, drawn)


def test_cycled_interpolation_is_the_kalman_filter_of_damped_persistence():
    # Films of an AR(1) process at each of four points, r = 0.8 from frame to frame.
    films = np.zeros((400, 30, 2, 2))
    films[:, 0] = RNG.standard_normal((400, 2, 2))
    for t in range(1, 30):
        films[:, t] = 0.8 * films[:, t - 1] + 0.6 * RNG.standard_normal((400, 2, 2))
    films += 1
    interpolation = OptimalInterpolation(films)
    assert np.allclose(interpolation.correlations(2), [1, 0.8, 0.64], atol=0.03)
    y = np.array([[2.0, np.nan], [np.nan, np.nan]])
    analyses = interpolation.analyses([None, y, None], 0.5, np.full((2, 2), 2.0), 0.1)
    mean, std = analyses["persistence"]
    variance = 0.64**2 * 0.1 + 1 - 0.64**2
    background = 1 + 0.64
    gain = variance / (variance + 0.25)
    assert mean[1, 0, 0] == pytest.approx(background + gain * (2 - background), abs=0.05)
    assert std[1, 0, 0] ** 2 == pytest.approx((1 - gain) * variance, rel=0.1)
    assert mean[2, 0, 0] == pytest.approx(1 + 0.8 * (mean[1, 0, 0] - 1), abs=0.05)
    climatology, spread = analyses["climatology"]
    assert np.allclose(climatology[0], 1, atol=0.1)
    assert climatology[1, 0, 0] == pytest.approx(1.8, abs=0.05)
    assert np.array_equal(climatology[1], climatology[2])
    assert spread[1, 1, 1] == pytest.approx(1, rel=0.05)


def test_crps_of_a_normal_distribution_is_that_of_a_large_ensemble():
    members = 0.5 + 2 * RNG.standard_normal((20_000, 1))
    truth = np.array([1.7])
    assert gaussian_crps(0.5, 2.0, truth) == pytest.approx(fair_crps(members, truth), rel=0.03)
