"""Pictures of samples by what they are: what is drawn, and with which axes."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from mindscience_diffuser.runs.pictures.by_kind import save_picture
from mindscience_diffuser.runs.pictures.maps import save_maps

RNG = np.random.default_rng(0)


@pytest.fixture
def figures(monkeypatch):
    """The figures that are written."""
    written = []
    save = Figure.savefig

    def kept(self, *arguments, **options):
        written.append(self)
        return save(self, *arguments, **options)

    monkeypatch.setattr(Figure, "savefig", kept)
    return written


class Temperature:
    variables, units, grid = ("t2m", "u10"), ("K", ""), ("latitude", "longitude")

    class Coordinate(np.ndarray):
        attrs = {"units": "degrees_north"}

    coordinates = {"latitude": np.linspace(-30, 30, 5).view(Coordinate)}


def test_fields_are_maps_with_coordinates_and_a_colour_bar_for_each_channel(figures, tmp_path):
    assert save_picture(tmp_path / "x.png", RNG.standard_normal((2, 2, 5, 6)), Temperature())
    *maps, first_bar, second_bar = figures[0].axes
    assert len(maps) == 4
    assert maps[0].get_ylabel() == "latitude (degrees_north)"
    assert maps[2].get_xlabel() == "longitude"
    assert maps[0].get_ylim() == pytest.approx((-37.5, 37.5))
    assert [first_bar.get_ylabel(), second_bar.get_ylabel()] == ["t2m (K)", "u10"]


@pytest.mark.parametrize("channels", [1, 3])
def test_images_of_nothing_known_are_a_grid_from_black_to_white(figures, tmp_path, channels):
    assert save_picture(tmp_path / "x.png", RNG.standard_normal((10, channels, 8, 8)), titles=list("abcdefghij"))
    assert len(figures[0].axes) == 16
    assert [axes.get_title() for axes in figures[0].axes[8:11]] == ["i", "j", ""]
    shown = np.stack([axes.images[0].get_array() for axes in figures[0].axes[:10]])
    assert (shown.min(), shown.max()) == (0, 1)


def test_fields_of_many_channels_are_maps_without_being_told(figures, tmp_path):
    assert save_picture(tmp_path / "x.png", RNG.standard_normal((1, 2, 8, 8)))
    assert figures[0].axes[-1].get_ylabel() == "channel 1"


def test_maps_side_by_side_have_titles_above_and_names_at_the_left(figures, tmp_path):
    rows = {name: {"truth": RNG.standard_normal((4, 5)), "spread": RNG.random((4, 5))} for name in ("early", "late")}
    save_maps(tmp_path / "x.png", rows, {"spread"}, {"truth": np.array([[1, 2]])})
    maps = figures[0].axes[:4]
    assert [axes.get_title() for axes in maps] == ["truth", "spread", "", ""]
    assert [axes.get_ylabel() for axes in maps] == ["early", "", "late", ""]


def test_series_are_lines(figures, tmp_path):
    series = RNG.standard_normal((3, 2, 9))
    assert save_picture(tmp_path / "x.png", series)
    assert [len(axes.lines) for axes in figures[0].axes] == [3, 3]
    np.testing.assert_array_equal(figures[0].axes[1].lines[2].get_ydata(), series[2, 1])


def test_volumes_are_slices_inside_them(figures, tmp_path):
    assert save_picture(tmp_path / "x.png", RNG.standard_normal((2, 1, 9, 4, 5)))
    assert [axes.get_title() for axes in figures[0].axes[:3]] == [f"sample 0, axis 0 {k}" for k in (2, 4, 6)]


def test_constant_samples_and_a_single_slice_have_a_picture(tmp_path):
    for shape in ((1, 1, 4, 4), (1, 2, 4, 4), (1, 1, 1, 4, 4), (1, 1, 4)):
        assert save_picture(tmp_path / "x.png", np.zeros(shape))
    assert Image.open(tmp_path / "x.png").size[0] > 100


def test_samples_without_a_picture_are_left_alone(tmp_path):
    assert not save_picture(tmp_path / "x.png", np.zeros((3, 4)))
    assert not (tmp_path / "x.png").exists()
