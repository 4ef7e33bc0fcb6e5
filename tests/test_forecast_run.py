"""Runs of the kind ``forecast``: ensembles of films, deterministic models, sequences of fields of one's own."""

import json

import numpy as np
import pytest
from mindspore import Tensor, nn

from mindscience_diffuser.cli import main
from mindscience_diffuser.data.field_sequence import FieldSequence
from mindscience_diffuser.examples.stirred_flow.data import StirredFlow
from mindscience_diffuser.noise import EDMPreconditioning, NoiseSource
from mindscience_diffuser.runs.config.forecast_schema import Perturbation
from mindscience_diffuser.runs.config.load import load_config
from mindscience_diffuser.runs.evaluation.forecasting import Scoring
from mindscience_diffuser.runs.kinds.films.next_frame import NextFrame
from mindscience_diffuser.runs.kinds.films.unrolling import Lasting
from mindscience_diffuser.runs.kinds.films.world_model import build_world_model
from mindscience_diffuser.runs.pictures.forecast import field_limits, save_report
from mindscience_diffuser.runs.storage.weights import save_weights

xarray = pytest.importorskip("xarray")

CONFIG = """
run: forecast
output: {folder}/out
weights: {folder}/weights.safetensors
data: {{name: StirredFlow, train_films: 4, train_frames: 9}}
model: {{name: FrameOperator, context: 2, hidden_channels: 4, layers: 1, modes: 3}}
preconditioning: {{sigma_data: 0.1, residual: true}}
forecast: {{films: 2, frames: 6, members: 3, num_steps_denoising: 2, sigma_max: 1.0}}
"""
OWN = """
run: forecast
output: {folder}/out
data: {{name: FieldSequence, path: {folder}/fields.nc, variables: [u, v], context: 2, held_out: 0.3}}
model: {{name: UNet, hidden_channels: 4, multipliers: [1], blocks: 1}}
preconditioning: {{residual: true}}
training: {{steps: 3, batch_size: 4, warmup_steps: 1}}
forecast: {{films: 2, frames: 4, members: 2, num_steps_denoising: 1, area_weights: true}}
"""
ROWS, COLUMNS, TIMES = 5, 6, 40
RNG = np.random.default_rng(0)


def config_file(tmp_path, text=CONFIG):
    file = tmp_path / "forecast.yaml"
    file.write_text(text.format(folder=tmp_path))
    return file


def save_model(config, path, **facts):
    model = build_world_model(config, StirredFlow(train_films=1, train_frames=9))
    save_weights(path, {p.name: p.asnumpy() for p in model.get_parameters()}, **facts)


@pytest.fixture
def file(tmp_path):
    found = config_file(tmp_path)
    save_model(load_config(found), tmp_path / "weights.safetensors")
    return found


@pytest.fixture
def own(tmp_path):
    """Two waves that travel around a belt of latitudes, in a NetCDF file."""
    t, row, column = np.meshgrid(*(np.arange(n) for n in (TIMES, ROWS, COLUMNS)), indexing="ij")
    phase = 2 * np.pi * column / COLUMNS - 0.3 * t
    grid = ("time", "lat", "lon")
    fields = {
        "u": (grid, (280 + 5 * np.sin(phase) + row).astype(np.float32), {"units": "K"}),
        "v": (grid, (0.01 * np.cos(phase)).astype(np.float32), {"units": "kg/kg"}),
    }
    places = {"lat": ("lat", np.linspace(-60, 60, ROWS), {"units": "degrees_north"}), "lon": np.arange(COLUMNS)}
    xarray.Dataset(fields, coords=places).to_netcdf(tmp_path / "fields.nc")
    return config_file(tmp_path, OWN)


def scoring_of(file, *overrides):
    config = load_config(file, overrides)
    data = StirredFlow(train_films=2, train_frames=9)
    return config, data, Scoring(config, data, ["ensemble", "persistence"], ["ensemble"], (1, 32, 32))


@pytest.mark.every_case
def test_run_scores_an_ensemble_beside_persistence_climatology_and_a_deterministic_model(file, tmp_path):
    weights = tmp_path / "mean.safetensors"
    save_model(load_config(file), weights, decided_by={"training.objective": "mean"})
    overrides = [f"forecast.deterministic={weights}", "forecast.save_members=true"]
    assert main(["sample", "--config", str(file), *overrides]) == 0
    folder = tmp_path / "out" / "sample"
    assert {p.name for p in folder.iterdir()} == {
        "animation.gif",
        "config.yaml",
        "members",
        "metrics.json",
        "report.html",
    }
    figures = json.loads((folder / "metrics.json").read_text())
    assert list(figures["scores"]) == ["ensemble", "climatology", "persistence", "deterministic model"]
    data = StirredFlow(train_films=4, train_frames=9)
    films = data.physical(data.test(2, 8).frames)
    truth, last = films[:, 2:], films[:, 1:2]
    scores = figures["scores"]
    np.testing.assert_allclose(
        np.squeeze(scores["persistence"]["mae"]), np.abs(truth - last).mean((0, 2, 3)), rtol=1e-5
    )
    members = np.stack([np.load(folder / "members" / f"film_000{k}.npy") for k in range(2)])
    assert members.shape == (2, 6, 3, 1, 32, 32)
    error = members.mean(2)[:, :, 0] - truth
    np.testing.assert_allclose(np.squeeze(scores["ensemble"]["rmse"]), np.sqrt((error**2).mean((0, 2, 3))), rtol=1e-4)
    # Different members, of different films too, although both begin with the same number.
    assert len(np.unique(members[:, -1, :, 0, 0, 0])) == 6
    assert all(len(course) == 6 for name in scores for course in [figures["correlation"][name]["mean"]])


class Half(nn.Cell):
    """A network that answers 0.5 plus a tenth of the last frame, whatever the noisy frame is multiplied with."""

    def construct(self, x, noise_level, obs):
        """Returns the output."""
        return x + 0.5 + 0.1 * obs[:, -1:]


@pytest.mark.parametrize("residual", [True, False])
def test_deterministic_model_adds_its_output_in_units_of_sigma_data_and_learns_that(residual):
    model = NextFrame(Half(), EDMPreconditioning(sigma_data=0.2), residual, channels=1)
    obs = RNG.standard_normal((2, 3, 4, 4)).astype(np.float32)
    change = 0.2 * (0.5 + 0.1 * obs[:, -1:])
    found = model(Tensor(obs)).asnumpy()
    np.testing.assert_allclose(found, obs[:, -1:] + change if residual else change, rtol=1e-5, atol=1e-6)
    levels = Tensor(np.ones(2, np.float32))
    for wrong, loss in ((0.0, 0.0), (0.4, 4.0)):
        clean = Tensor((change + wrong).astype(np.float32))
        assert model.loss(clean, clean, levels, Tensor(obs)).asnumpy() == pytest.approx(loss, abs=1e-5)


def test_a_film_does_not_depend_on_the_others(file, tmp_path):
    drawn = []
    for films in (2, 3):
        overrides = [f"output={tmp_path}/{films}", "forecast.save_members=true", f"forecast.films={films}"]
        assert main(["sample", "--config", str(file), "forecast.frames=2", *overrides]) == 0
        drawn.append(np.load(tmp_path / str(films) / "sample" / "members" / "film_0001.npy"))
    np.testing.assert_array_equal(*drawn)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["forecast.members=1"], "'forecast.members' must be an integer of at least 2"),
        (["forecast.area_weights=true"], "StirredFlow at 'data' has no 'latitudes'"),
        (["forecast.sigma_max=0.001"], "the sampler refuses what is set under 'forecast'"),
        (["training.objective=mean"], "a deterministic model draws no members"),
        (["forecast.deterministic=stirred_flow_operator"], "give the weights of one with 'training.objective' mean"),
        (["forecast.deterministic=nothing"], "'forecast.deterministic': weights 'nothing' are neither"),
        (["forecast.perturbation.memory=1"], "'forecast.perturbation.memory' must be a number in [0, 1)"),
        (["weights=nothing"], "weights 'nothing' are neither a file nor shipped weights"),
    ],
)
def test_configuration_that_cannot_be_carried_out_is_refused(file, tmp_path, capsys, overrides, words):
    assert main(["sample", "--config", str(file), *overrides]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_perturbation_has_its_standard_deviation_at_each_time_and_its_memory():
    shape = (4000, 5)
    errors = Lasting(Perturbation(std=0.3, memory=0.8), shape, NoiseSource(0, shape[0]))
    drawn = np.stack([errors.following() for _ in range(6)]).reshape(6, -1)
    np.testing.assert_allclose(drawn.std(1), 0.3, rtol=0.03)
    np.testing.assert_allclose([np.corrcoef(drawn[0], drawn[n])[0, 1] for n in (1, 3)], [0.8, 0.8**3], atol=0.03)


def test_perturbations_of_few_members_add_up_to_zero_and_keep_their_standard_deviation():
    shape = (2, 20000)
    errors = Lasting(Perturbation(std=0.3, memory=0.8), shape, NoiseSource(0, shape[0]))
    for _ in range(3):
        drawn = errors.following()
        np.testing.assert_allclose(drawn.sum(axis=0), 0, atol=1e-6)
        assert drawn.std() == pytest.approx(0.3, rel=0.03)


def test_members_that_blew_up_are_told_and_not_averaged_in(file, tmp_path):
    config, data, scoring = scoring_of(file)
    truth = RNG.standard_normal((6, 1, 32, 32))
    members = truth[:, None] + RNG.standard_normal((6, 3, 1, 32, 32))
    members[4:, 1] = np.nan
    for film in range(2):
        for lead in range(6):
            scoring.update(film, lead, {"ensemble": members[lead], "persistence": truth[0]}, truth[lead])
    scoring.merge_ranks()
    figures = scoring.figures()
    told = [{"film": film, "member": 1, "lead": 5} for film in range(2)]
    assert figures["scores"]["ensemble"]["members_left_out"] == told
    expected = data.scale * np.sqrt(((members[5, [0, 2]].mean(0) - truth[5]) ** 2).mean())
    assert figures["scores"]["ensemble"]["rmse"][5][0] == pytest.approx(expected)
    (tmp_path / "animation.gif").write_bytes(b"")
    save_report(tmp_path / "report.html", scoring, figures, config, tmp_path / "animation.gif")
    assert "ensemble, film 1: member 1 from frame 5 on" in (tmp_path / "report.html").read_text()


def test_spectra_are_those_of_the_data_and_a_true_member_has_no_error(file):
    _, data, scoring = scoring_of(file)
    truth = RNG.standard_normal((1, 32, 32))
    for lead in range(6):
        for film in range(2):
            scoring.update(film, lead, {"ensemble": np.stack([truth] * 3), "persistence": 10 * truth}, truth)
    figures = scoring.figures()
    np.testing.assert_allclose(figures["power"]["truth"][3][0], data.spectrum(data.scale * truth)[1][0])
    assert figures["spectrum_error"]["ensemble"]["mean"][3] == pytest.approx([0], abs=1e-9)
    # Ten times the amplitude is a hundred times the power.
    assert figures["spectrum_error"]["persistence"]["mean"][3] == pytest.approx([2])
    assert figures["correlation"]["persistence"]["mean"][3] == pytest.approx([1])


def test_a_single_film_has_no_interval(file):
    _, _, scoring = scoring_of(file, "forecast.films=1")
    truth = RNG.standard_normal((1, 32, 32))
    for lead in range(6):
        scoring.update(0, lead, {"ensemble": np.stack([truth, -truth]), "persistence": truth}, truth)
    figures = scoring.figures()
    assert figures["correlation"]["persistence"]["mean"] == [[pytest.approx(1)]] * 6
    assert figures["correlation"]["persistence"]["half_width"] == [[None]] * 6
    json.dumps(figures, allow_nan=False)


def test_colours_are_symmetric_where_a_field_has_both_signs():
    assert field_limits([np.array([-1.0, 3.0])]) == (-3, 3, "RdBu_r")
    assert field_limits([np.array([280.0, 300.0])]) == (280, 300, "viridis")


@pytest.mark.every_case
def test_a_sequence_of_ones_own_is_trained_and_forecast_by_its_file_alone(own, tmp_path):
    mean = tmp_path / "mean"
    assert main(["train", "--config", str(own), "training.objective=mean", f"output={mean}"]) == 0
    overrides = [f"forecast.deterministic={mean}/train/weights.safetensors"]
    assert main(["train", "--config", str(own), *overrides]) == 0
    trained = tmp_path / "out" / "train"
    assert {"report.html", "animation.gif", "weights.safetensors"} <= {p.name for p in trained.iterdir()}
    assert main(["sample", "--config", str(own), *overrides]) == 0
    figures = json.loads((tmp_path / "out" / "sample" / "metrics.json").read_text())
    # In the units of the file: the first variable is five kelvin, the second a hundredth.
    error = np.array(figures["scores"]["climatology"]["rmse"])
    assert error.shape == (4, 2)
    assert np.all((error[:, 0] > 1) & (error[:, 0] < 20) & (error[:, 1] < 0.1))
    written = load_config(tmp_path / "out" / "sample" / "config.yaml").preconditioning.sigma_data
    change = np.diff(FieldSequence(tmp_path / "fields.nc", ["u", "v"], held_out=0.3).train[0], axis=1)
    np.testing.assert_allclose(written, change.std((0, 1, 3, 4)), rtol=1e-3)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (
            ["forecast.frames=11"],
            "the 12 frames that FieldSequence at 'data' holds out give 0 films of 2 past frames and 11",
        ),
        (["forecast.films=8"], "give 7 films of 2 past frames and 4 to forecast"),
        (["data.context=30"], "28 training frames, and the context is 30"),
        (["data.held_out=0"], "'held_out' must be in (0, 1)"),
        (["data.variables=[w]"], "has no variable 'w'"),
    ],
)
def test_a_sequence_that_is_too_short_or_wrong_is_refused(own, tmp_path, capsys, overrides, words):
    assert main(["train", "--config", str(own), *overrides]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_films_of_a_sequence_are_held_out_and_spread_over_it(own, tmp_path):
    data = FieldSequence(tmp_path / "fields.nc", ["u", "v"], context=2, held_out=0.3)
    assert data.train[0].shape == (1, 28, 2, ROWS, COLUMNS) and data.train[1] is None
    np.testing.assert_allclose(data.train[0].mean((0, 1, 3, 4)), 0, atol=1e-5)
    np.testing.assert_allclose(data.train[0].std((0, 1, 3, 4)), 1, atol=1e-5)
    films, actions = data.test(3, 6)
    assert films.shape == (3, 6, 2, ROWS, COLUMNS) and actions is None
    with xarray.open_dataset(tmp_path / "fields.nc") as fields:
        for film, start in zip(data.physical(films), (28, 31, 34)):
            np.testing.assert_allclose(film[:, 0], fields["u"][start : start + 6], rtol=1e-5)
    np.testing.assert_allclose(data.latitudes, np.linspace(-60, 60, ROWS))
    assert data.units == ("K", "kg/kg")
