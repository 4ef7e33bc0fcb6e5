"""Refinement of temperatures over North America: what is coarse, held out, interpolated and expected."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mindscience_diffuser.data import Fields
from mindscience_diffuser.runs.storage.weights import shipped_file

pytest.importorskip("iris_sample_data")
from mindscience_diffuser.examples.north_america.coarse import Regression, block_means, interpolated
from mindscience_diffuser.examples.north_america.data import NorthAmerica
from mindscience_diffuser.examples.north_america.figures import RefinementFigures

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def data():
    return NorthAmerica(split="test")


def test_blocks_at_the_end_are_means_of_fewer_points():
    field = np.arange(15.0).reshape(1, 3, 5)
    np.testing.assert_allclose(block_means(field, 2), [[[3, 5, 6.5], [10.5, 12.5, 14]]])


@pytest.mark.parametrize("method", ["linear", "cubic"])
def test_interpolation_meets_the_coarse_values_and_a_plane(method):
    rows, columns = (np.arange(5.0), np.linspace(0, 4, 17)), (np.arange(4.0), np.linspace(0, 3, 13))
    plane = rows[0][:, None] + 2 * columns[0][None]
    fine = interpolated(plane[None], rows, columns, method)
    np.testing.assert_allclose(fine[0], rows[1][:, None] + 2 * columns[1][None], atol=1e-9)


def test_a_regression_finds_a_linear_rule():
    coarse = RNG.standard_normal((50, 2, 3))
    fine = 7 + np.einsum("nij,ijkl->nkl", coarse, RNG.standard_normal((2, 3, 4, 5)))
    regression = Regression(coarse[:40], fine[:40], penalty=1e-9)
    np.testing.assert_allclose(regression(coarse[40:]), fine[40:], atol=1e-6)


def test_the_last_years_are_held_out_and_the_common_years_count_once(data):
    assert len(data) == 120
    assert len(NorthAmerica()) == 220
    assert data.years["test"].min() == data.years["train"].max() + 1 == 2040
    trained = data.truth["train"].reshape(220, -1)
    assert len(np.unique(trained, axis=0)) == 220


def test_samples_are_of_unit_variance_and_turn_back_into_the_simulation(data):
    train = NorthAmerica()
    values = np.stack([train[k][0] for k in range(len(train))])
    np.testing.assert_allclose(values.std(0), 1, atol=0.05)
    held_out = np.stack([data[k][0] for k in range(len(data))])
    fields = train.arrays(held_out, (), np.arange(120))["samples"]
    np.testing.assert_allclose(fields[:, 0], data.truth["test"], atol=1e-3)
    np.testing.assert_array_equal(train.arrays(held_out[:1], (), [120])["samples"][0], fields[0])


def test_conditions_know_the_coarse_field_alone(data):
    coarse = block_means(data.truth["test"][:2], 8)
    centres = [block_means(np.stack([np.asarray(data.coordinates[name])] * 2), 8)[0] for name in data.grid]
    places = [np.asarray(data.coordinates[name]) for name in data.grid]
    again = interpolated(coarse, *zip(centres, places), "cubic")
    np.testing.assert_allclose(data.cubic["test"][:2], again, atol=1e-3)
    assert [part.shape for part in data[0]] == [(1, 37, 49), (2, 37, 49)]


def test_figures_stand_beside_interpolation_and_the_regression(data):
    noise = RNG.standard_normal((240, 1, 37, 49)).astype(np.float32)
    drawn = data.arrays(noise, (), np.arange(240))
    held_out = {"samples": data.truth["test"][:, None].astype(np.float32)}
    figures = RefinementFigures()
    figures.simulation = data
    figures.update(drawn)
    found = figures(drawn, held_out)
    assert found["members"] == 2
    assert found["bilinear"]["rmse"] > 3 * found["regression"]["rmse"]
    assert found["crps_below_the_better_interpolation"] == pytest.approx(1 - found["crps"] / found["bilinear"]["crps"])
    # White noise has by far too much power at small scales.
    assert found["departure_spectrum_error"] > found["regression"]["departure_spectrum_error"]


def test_temperatures_are_written_and_shown(data, tmp_path):
    drawn = data.truth["test"][:, None].astype(np.float32)
    (path,) = data.write(tmp_path, drawn)
    again = Fields(path, ["air_temperature"], samples="sample")
    np.testing.assert_array_equal(again[0], drawn[0])
    assert again.units == ("K",)
    data.picture(tmp_path / "x.png", {"samples": np.concatenate([drawn, drawn])}, None)
    assert Image.open(tmp_path / "x.png").size[0] > 600


@pytest.mark.parametrize("arguments", [{"split": "all"}, {"held_out_years": 100}, {"penalty": 0}])
def test_bad_arguments_are_named(arguments):
    with pytest.raises(ValueError, match=f"'{next(iter(arguments))}'"):
        NorthAmerica(**arguments)


def test_shipped_figures_are_those_of_the_page_and_pass_the_bar():
    page = (Path(__file__).parents[1] / "docs_cn" / "north_america.md").read_text(encoding="utf-8")
    measured = json.loads(shipped_file("north_america", ".metrics.json").read_text(encoding="utf-8"))
    figures = measured["samples"]
    names = ("crps", "rmse", "spectrum_error", "departure_spectrum_error")
    for rows in (figures, figures["bilinear"], figures["cubic"], figures["regression"]):
        assert f"| {' | '.join(f'{rows[name]:.3f}' for name in names)} |" in page
    assert figures["members"] == 16
    for name in ("crps", "rmse"):
        assert figures[f"{name}_below_the_better_interpolation"] >= 0.15
    assert f"{measured['training']['parameters']:,}" in page
    assert f"{measured['training']['cpu_seconds']:.0f} 秒" in page
