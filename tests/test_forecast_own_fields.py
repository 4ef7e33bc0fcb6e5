"""Forecasts of fields of one's own: grids and times of many kinds, weights that do not fit, and what is shown."""

import types

import numpy as np
import pytest
from mindspore.common import api

from mindscience_diffuser.cli import main
from mindscience_diffuser.data.field_sequence import FieldSequence
from mindscience_diffuser.runs.config.load import load_config
from mindscience_diffuser.runs.data.frame_batches import FrameBatches
from mindscience_diffuser.runs.evaluation import forecast_scores
from mindscience_diffuser.runs.evaluation.forecast_scores import area_weights
from mindscience_diffuser.runs.evaluation.forecasting import Scoring, cell_weights, of_films
from mindscience_diffuser.runs.evaluation.patterns import pattern_correlation
from mindscience_diffuser.runs.evaluation.spectra import radial_spectrum
from mindscience_diffuser.runs.kinds.films import forecast as forecast_run
from mindscience_diffuser.runs.kinds.films.forecast import Forecast, Models, models_of, with_sigma_data
from mindscience_diffuser.runs.kinds.films.rollout import preconditioning_of
from mindscience_diffuser.runs.kinds.films.unrolling import deterministic
from mindscience_diffuser.runs.pictures import film, forecast
from mindscience_diffuser.runs.storage.weights import save_weights

xarray = pytest.importorskip("xarray")

CONFIG = """
run: forecast
output: {folder}/out
weights: {folder}/weights.safetensors
data: {{name: FieldSequence, path: {folder}/fields.nc, variables: [t, p], context: 2, held_out: 0.3}}
model: {{name: UNet, hidden_channels: 4, multipliers: [1], blocks: 1}}
preconditioning: {{residual: true}}
training: {{steps: 1, batch_size: 4}}
forecast: {{films: 2, frames: 3, members: 2, num_steps_denoising: 1, area_weights: true}}
"""
ROWS, COLUMNS, TIMES = 6, 7, 30
RNG = np.random.default_rng(0)
SINGLE = ["ensemble", "persistence"]


def data_set(**coordinates):
    """Noise in two units, on latitudes that descend, stored every six hours."""
    grid = ("time", "lat", "lon")
    noise = RNG.standard_normal((2, TIMES, ROWS, COLUMNS))
    fields = {"t": (grid, 15 + 4 * noise[0], {"units": "degC"}), "p": (grid, 1e5 + 700 * noise[1], {"units": "Pa"})}
    places = {"lat": ("lat", np.linspace(75, -50, ROWS), {"units": "degrees_north"}), "lon": np.arange(COLUMNS)}
    time = np.datetime64("2001-01-01", "ns") + np.arange(TIMES) * np.timedelta64(6, "h")
    return xarray.Dataset(fields, coords={"time": time, **places, **coordinates})


@pytest.fixture
def written(tmp_path):
    """Writes a data set and a configuration of it, and returns the file of the latter."""

    def write(fields):
        fields.to_netcdf(tmp_path / "fields.nc")
        file = tmp_path / "forecast.yaml"
        file.write_text(CONFIG.format(folder=tmp_path))
        return file

    return write


def sequence(file, **arguments):
    return FieldSequence(file.with_name("fields.nc"), ["t", "p"], held_out=0.3, **arguments)


def save_model(file, **facts):
    """Writes the weights that a training begins with, and what it notes beside them."""
    objective = Forecast().objective(load_config(file, ["training.objective=mean"]))
    arrays = {p.name: p.asnumpy() for p in objective.model.get_parameters()}
    save_weights(file.with_name("weights.safetensors"), arrays, **{**objective.facts, **facts})


def test_correlations_count_areas_as_all_scores_of_a_forecast_do(written):
    file = written(data_set())
    data = sequence(file)
    scoring = Scoring(load_config(file), data, SINGLE, ["ensemble"], (2, ROWS, COLUMNS))
    members, truth = RNG.standard_normal((2, 2, ROWS, COLUMNS)), RNG.standard_normal((2, ROWS, COLUMNS))
    for number in range(2):
        for lead in range(3):
            scoring.update(number, lead, {"ensemble": members, "persistence": members[0]}, truth)
    weights = np.cos(np.deg2rad(np.linspace(75, -50, ROWS)))
    for name, drawn in (("ensemble", members.mean(0)), ("persistence", members[0])):
        for channel in range(2):
            covariance = np.cov(drawn[channel].ravel(), truth[channel].ravel(), aweights=np.repeat(weights, COLUMNS))
            expected = covariance[0, 1] / np.sqrt(covariance[0, 0] * covariance[1, 1])
            found = np.array(scoring.figures()["correlation"][name]["mean"])[:, channel]
            np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_a_correlation_with_equal_weights_is_the_one_without():
    fields = RNG.standard_normal((2, 3, ROWS, COLUMNS))
    np.testing.assert_array_equal(pattern_correlation(*fields), pattern_correlation(*fields, weights=np.ones(COLUMNS)))


@pytest.mark.every_case
@pytest.mark.parametrize(
    ("changed", "grid"),
    [
        (lambda fields: fields.mean("lon"), (ROWS,)),
        (lambda fields: fields.mean("lat"), (COLUMNS,)),
        (lambda fields: fields.expand_dims(level=[850.0], axis=1), (ROWS, COLUMNS)),
        (lambda fields: fields.expand_dims(level=[850.0, 500.0], axis=3), (ROWS, COLUMNS, 2)),
    ],
)
def test_fields_of_any_grid_keep_their_channels_and_lose_axes_of_one_point(written, changed, grid):
    fields = changed(data_set())
    file = written(fields)
    data = sequence(file)
    config = with_sigma_data(load_config(file), data)
    batches = FrameBatches(data, 2, preconditioning_of(config)[0], config.training, True, 0)
    clean, noise, _, observed = batches.batch(0)
    assert clean.shape == noise.shape == (4, 2, *grid) and observed.shape == (4, 4, *grid)
    assert data.model_arguments["axes"] == len(grid)
    np.testing.assert_allclose(data.physical(data.train[0])[0, :, 1], fields["p"].values[:21].reshape(21, *grid))
    if grid[0] == ROWS:
        weights = cell_weights(data, grid)
        expected = area_weights(np.linspace(75, -50, ROWS), 1)[:, 0]
        np.testing.assert_array_equal(weights.reshape(ROWS, -1), np.tile(expected[:, None], (1, weights[0].size)))
        config.forecast.area_weights = True
        Scoring(config, data, SINGLE, ["ensemble"], (2, *grid))


def test_latitudes_in_radians_are_taken_as_such(written):
    degrees = np.linspace(75, -50, ROWS)
    file = written(data_set(lat=("lat", np.deg2rad(degrees), {"units": "radians"})))
    np.testing.assert_allclose(sequence(file).latitudes, degrees)


@pytest.mark.every_case
@pytest.mark.parametrize("residual", [True, False])
@pytest.mark.parametrize("noise", [0.0, 0.7])
def test_sigma_data_is_the_standard_deviation_of_what_is_denoised(written, residual, noise):
    file = written(data_set())
    overrides = [f"preconditioning.residual={residual}", f"training.observation_noise={noise}"]
    config = load_config(file, [*overrides, "training.batch_size=3000"])
    data = sequence(file)
    config = with_sigma_data(config, data)
    clean = FrameBatches(data, 2, preconditioning_of(config)[0], config.training, residual, 0).batch(0)[0]
    np.testing.assert_allclose(config.preconditioning.sigma_data, clean.std((0, 2, 3)), rtol=0.05)


@pytest.mark.every_case
@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (data_set().drop_isel(time=4), "number 4 is 30 after 18, where the usual step is 6: sort the times"),
        (data_set().isel(time=slice(None, None, -1)), "where the usual step is -6"),
        (data_set().isel(lat=[0], lon=[0]), "'variables' have a single point at each time"),
        (data_set().assign(p=0 * data_set().p), "the change from frame to frame of channel 1, 'p', is 0"),
        (data_set().assign_coords(lat=100.0 + np.arange(ROWS)), "has no latitudes that give them: 'latitudes'"),
    ],
)
def test_fields_that_are_no_sequence_are_refused(written, tmp_path, capsys, fields, words):
    assert main(["train", "--config", str(written(fields))]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_months_are_equal_steps(written):
    days = np.cumsum([0, *([31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] * 3)])[:TIMES]
    assert sequence(written(data_set().assign_coords(time=days))).train_frames == 21


@pytest.mark.every_case
@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["forecast.deterministic=nothing"], "'forecast.deterministic': weights 'nothing' are neither"),
        (["forecast.deterministic={folder}/weights.safetensors"], "are those of a training with 'training.objective' "),
        (["preconditioning.sigma_data=[1.0, 2.0, 3.0]"], "'preconditioning.sigma_data' has 3 numbers, but the frames"),
    ],
)
def test_what_would_fail_after_the_training_is_refused_before(written, tmp_path, capsys, overrides, words):
    file = written(data_set())
    save_model(file)
    assert main(["train", "--config", str(file), *(text.format(folder=tmp_path) for text in overrides)]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.every_case
@pytest.mark.parametrize(
    ("overrides", "facts", "words"),
    [
        (
            [],
            {"decided_by": {"training.objective": "mean"}},
            "'training.objective' mean: give the weights of one with",
        ),
        (
            ["preconditioning.residual=false"],
            {"decided_by": {"preconditioning.residual": True}},
            "for their training 'preconditioning.residual' was True and is False",
        ),
        (["preconditioning.sigma_data=[0.5, 0.5]"], {}, "for their training 'preconditioning.sigma_data' was ["),
        (["data.held_out=0.5"], {"preconditioning.sigma_data": None}, "for their training 'normalisation' was {'mean'"),
        (["data.variables=[p, t]"], {"preconditioning.sigma_data": None}, "for their training 'normalisation' was"),
    ],
)
def test_weights_of_another_task_are_refused(written, tmp_path, capsys, overrides, facts, words):
    file = written(data_set())
    save_model(file, **facts)
    assert main(["sample", "--config", str(file), *overrides]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_films_share_one_graph_of_the_deterministic_model(written, tmp_path, monkeypatch):
    file = written(data_set())
    save_model(file, decided_by={"training.objective": "mean"})
    data = sequence(file)
    config = load_config(file, [f"forecast.deterministic={tmp_path}/weights.safetensors"])
    predict = models_of(with_sigma_data(config, data), data, trained=False).predict
    compiled, hook = [], api._check_recompile
    monkeypatch.setattr(api, "_check_recompile", lambda *given: compiled.append(1) or hook(*given))
    drawn = [list(deterministic(predict, (frames[:2], None), 2)) for frames in data.test(2, 4)[0]]
    assert np.shape(drawn) == (2, 2, 2, ROWS, COLUMNS) and np.abs(np.subtract(*drawn)).max() > 0.1
    assert len(compiled) == 1


class LastFrame:
    """A sampler that draws the frame it begins with, without noise: the last one."""

    scheduler = types.SimpleNamespace(init_noise_sigma=0.0)

    def __call__(self, start, *conditions, generator):
        """Returns the frame."""
        return start


def test_the_report_of_a_training_on_two_ranks_has_all_films_of_rank_0_alone(written, tmp_path, monkeypatch):
    file = written(data_set())
    monkeypatch.setattr(forecast_run, "models_of", lambda *given, **options: Models(LastFrame(), 2, None))
    objective = Forecast().objective(load_config(file))
    monkeypatch.setattr(forecast_run, "rank_count", lambda: 2)
    # The other rank is not there: who asks for its part waits until MindSpore gives up.
    monkeypatch.setattr(forecast_scores, "gather", None)
    figures = objective.present(load_config(file), tmp_path)
    assert figures["scores"]["ensemble"]["films"] == [2, 2, 2]
    np.testing.assert_allclose(figures["scores"]["ensemble"]["rmse"], figures["scores"]["persistence"]["rmse"])
    assert np.all(np.array(figures["correlation"]["persistence"]["mean"]) != 0)


def test_a_film_that_is_left_out_is_not_counted_in_means_over_films():
    values = np.arange(12.0).reshape(3, 2, 2)
    values[1, 1] = values[0, 1] = np.nan
    mean, width = of_films(values)
    np.testing.assert_allclose(mean, [[4, 5], [10, 11]])
    np.testing.assert_array_equal(np.isnan(width), [[False, False], [True, True]])


def test_powers_are_there_in_one_order_whatever_is_left_out(written):
    file = written(data_set())
    scoring = Scoring(load_config(file), sequence(file), SINGLE, ["ensemble"], (2, ROWS, COLUMNS))
    truth = RNG.standard_normal((2, ROWS, COLUMNS))
    before = list(scoring.powers)
    lost = np.full((2, 2, ROWS, COLUMNS), np.nan)
    scoring.update(0, 0, {"ensemble": lost, "persistence": truth}, truth)
    assert list(scoring.powers) == before == list(scoring.counted)
    assert scoring.mean_power("persistence")[0].min() > 0 and not np.any(scoring.mean_power("one member"))


@pytest.mark.parametrize("periodic", [True, False])
def test_a_spectrum_does_not_see_an_axis_of_one_point(periodic):
    fields = RNG.standard_normal((2, 8, 11))
    for found, expected in zip(
        radial_spectrum(fields[:, None], 3, periodic), radial_spectrum(fields, 2, periodic), strict=True
    ):
        np.testing.assert_allclose(found, expected)


def test_pictures_have_the_north_on_top_and_animations_tell_the_lead_time(written, tmp_path, monkeypatch):
    file = written(data_set())
    scoring = Scoring(load_config(file, ["forecast.frames=150"]), sequence(file), SINGLE, ["ensemble"], (2, 6, 7))
    north = np.broadcast_to(np.linspace(1, -1, ROWS)[:, None], (2, ROWS, COLUMNS))
    titles = ("truth", "member 1", "ensemble mean", "ensemble spread")
    scoring.fields = {lead: dict.fromkeys(titles, north) for lead in scoring.animated.tolist()}
    # Maps are drawn from below, images from above.
    np.testing.assert_array_equal(forecast.plane(scoring, north[0]), north[0][::-1])
    kept, told = {}, []
    monkeypatch.setattr(forecast, "save_film", lambda path, films, **given: kept.update(films=films, **given))
    forecast.save_animation(tmp_path / "animation.gif", scoring)
    np.testing.assert_array_equal(kept["films"]["truth"][0], north[0])
    pen = types.SimpleNamespace(text=lambda place, text, fill: told.append(text))
    monkeypatch.setattr(film.ImageDraw, "Draw", lambda picture: pen)
    film.save_film(tmp_path / "film.gif", kept["films"], numbers=kept["numbers"])
    assert [text for text in told if text.startswith("truth")] == [f"truth {n}" for n in scoring.animated[::2]]
    assert told[-len(titles)] == f"truth {scoring.animated[98]}" and scoring.animated[98] == 148
