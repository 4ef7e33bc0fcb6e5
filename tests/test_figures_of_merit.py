"""Figures of merit as components of a run: each sees what it is for, and gives the value of a case that is known."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from mindscience_diffuser.runs.config.schema import Component
from mindscience_diffuser.runs.errors import ConfigError
from mindscience_diffuser.runs.evaluation.distributions import ClassAccuracy, FrechetDistance, PrecisionRecall
from mindscience_diffuser.runs.evaluation.ensembles import EnsembleScore
from mindscience_diffuser.runs.evaluation.forecast_scores import fair_crps
from mindscience_diffuser.runs.evaluation.histograms import HistogramDistance
from mindscience_diffuser.runs.evaluation.measuring import plain_figures
from mindscience_diffuser.runs.evaluation.moments import Moments
from mindscience_diffuser.runs.evaluation.spectra import SpectrumDistance, radial_spectrum

RNG = np.random.default_rng(0)


def samples(values):
    return {"samples": np.asarray(values, np.float32)}


@pytest.mark.parametrize("grid", [(32,), (32, 48), (16, 16, 20)])
def test_a_wave_is_in_its_shell(grid):
    axes = len(grid)
    along = np.arange(grid[-1]) / grid[-1] * 2 * np.pi
    # Four waves over the shortest axis are 4 * longest / shortest over the longest one.
    waves = 4 * grid[-1] // min(grid)
    field = np.broadcast_to(np.cos(waves * along), grid)
    numbers, power = radial_spectrum(field, axes, periodic=True)
    assert numbers.tolist() == list(range(1, min(grid) // 2 + 1))
    assert power.argmax() == 3
    assert power[3] > 1e10 * np.delete(power, 3).max()


def test_white_noise_has_the_same_power_everywhere_also_behind_a_window():
    noise = RNG.standard_normal((400, 24, 30))
    for periodic in (True, False):
        _, power = radial_spectrum(noise, 2, periodic)
        # The mean that a window is freed of is part of the first shell.
        np.testing.assert_allclose(power.mean(0)[1:] * 24 * 30, 1, rtol=0.1)


def test_a_jump_at_the_border_makes_no_waves_behind_a_window():
    slope = np.broadcast_to(np.linspace(0, 1, 64), (64, 64))
    last = [radial_spectrum(slope, 2, periodic)[1][-1] for periodic in (True, False)]
    assert last[1] < 1e-3 * last[0]


def test_spectrum_error_is_that_of_the_ratio():
    fields = RNG.standard_normal((20, 2, 16, 16))
    figures = SpectrumDistance()(samples(fields * 10), samples(fields))
    assert figures["spectrum_error"] == pytest.approx(2, abs=1e-5)
    assert np.shape(figures["log10_of_power_ratio"]) == (2, 8)
    assert SpectrumDistance(periodic=True)(samples(fields), samples(fields))["spectrum_error"] == 0


def test_histogram_distance_is_the_shift_of_each_channel():
    fields = RNG.standard_normal((50, 2, 7))
    figures = HistogramDistance()(samples(fields + [[[3], [5]]]), samples(fields))
    assert figures["wasserstein_distance"] == pytest.approx(4, abs=1e-5)
    assert figures["wasserstein_distance_of_channels"] == pytest.approx([3, 5], abs=1e-5)
    assert HistogramDistance(most=20)._values(fields).size == 20


def test_moments_count_channels_of_different_units_alike():
    fields = RNG.standard_normal((60, 2, 3, 5))
    scale = np.array([100.0, 1e-3]).reshape(2, 1, 1)
    for wrong in (0, 1):
        other = fields.copy()
        other[:, wrong] = 1.5 * other[:, wrong] + 1
        figures = Moments()(samples(scale * other), samples(scale * fields))
        assert figures["mean_error"] == pytest.approx(Moments()(samples(other), samples(fields))["mean_error"])
        assert 0.6 < figures["mean_error"] < 0.9 and 0.3 < figures["deviation_error"] < 0.5
        ratio = np.divide(*figures["standard_deviation_of_channels"].values())
        assert ratio[wrong] == pytest.approx(1.5) and ratio[1 - wrong] == pytest.approx(1)


def test_crps_of_an_ensemble_is_that_of_the_definition():
    members, truth = RNG.standard_normal((5, 3)), RNG.standard_normal(3)
    pairs = np.abs(members[:, None] - members[None]).sum((0, 1)) / (5 * 4)
    expected = np.abs(members - truth).mean(0) - pairs / 2
    np.testing.assert_allclose(fair_crps(members, truth), expected)
    np.testing.assert_allclose(fair_crps(members[:1], truth), np.abs(members[0] - truth))


def test_crps_does_not_depend_on_the_number_of_members_and_is_best_for_the_true_spread():
    truth = RNG.standard_normal(200_000)
    # Of a standard normal distribution with itself: 1 / sqrt(pi).
    few, many = (fair_crps(RNG.standard_normal((count, truth.size)), truth).mean() for count in (2, 8))
    assert few == pytest.approx(np.pi**-0.5, rel=0.02)
    assert many == pytest.approx(np.pi**-0.5, rel=0.02)
    for spread in (0.5, 1.7):
        assert fair_crps(spread * RNG.standard_normal((8, truth.size)), truth).mean() > many


def test_ensembles_are_the_samples_of_one_condition_whatever_the_pieces():
    truth = RNG.standard_normal((3, 1, 400))
    members = truth + 0.5 * RNG.standard_normal((4, 3, 1, 400)) + [[[[0.0]], [[1.0]], [[-1.0]]]]
    drawn = members.reshape(12, 1, 400)
    score = EnsembleScore()
    for piece in (drawn[:5], drawn[5:]):
        score.update(samples(piece))
    figures = score(samples(drawn[:2]), samples(truth))
    assert figures["members"] == 4
    assert figures["rmse"] == pytest.approx(np.sqrt(((members.mean(0) - truth) ** 2).mean()), rel=1e-5)
    assert figures["crps"] == pytest.approx(fair_crps(members, truth).mean(), rel=1e-5)
    assert figures["spread"] == pytest.approx(0.5 * np.sqrt(1.25), rel=0.05)
    assert np.sum(figures["channels"]["rank_histogram"]) == 3 * 400
    one = EnsembleScore()(samples(members[0]), samples(truth))
    assert one["crps"] == pytest.approx(np.abs(members[0] - truth).mean(), rel=1e-5)
    assert "spread" not in one


def test_samples_that_are_no_ensembles_are_told():
    data = SimpleNamespace(test=range(5))
    EnsembleScore().prepare(data, 15)
    with pytest.raises(ValueError, match="multiple of 5"):
        EnsembleScore().prepare(data, 16)


def test_frechet_distance_of_all_pieces_is_that_of_the_closed_form():
    # Corners of a square have a mean and a covariance that are known; the second one is twice as wide, and moved by 3.
    square = np.array([[1, 1], [1, -1], [-1, 1], [-1, -1]]) * np.sqrt(3 / 4)
    distance = FrechetDistance()
    distance.update(samples(square[:2]))
    distance.update(samples(square[2:]))
    found = distance(samples(square[:2]), samples(2 * square + [3, 0]))
    assert found["frechet_distance"] == pytest.approx(9 + 2 * (2 - 1) ** 2, rel=1e-5)


def test_any_cell_or_function_extracts_features():
    mindspore = pytest.importorskip("mindspore")

    class First(mindspore.nn.Cell):
        def construct(self, x):
            return x[:, 0, :2]

    values = RNG.standard_normal((300, 1, 4))
    other = values * [1, 2, 100, 100]
    by_function = FrechetDistance(lambda x: x[:, 0, :2])(samples(other), samples(values))
    by_cell = FrechetDistance(First())(samples(other), samples(values))
    assert by_cell["frechet_distance"] == pytest.approx(by_function["frechet_distance"], rel=1e-5)
    assert by_cell["frechet_distance"] == pytest.approx(1, rel=0.3)
    with pytest.raises(TypeError, match="'features' must be an nn.Cell or a function"):
        FrechetDistance("pixels")
    with pytest.raises(ValueError, match="up to 4096 features, but a sample has 5000"):
        FrechetDistance()(samples(np.zeros((3, 5000))), samples(np.zeros((3, 5000))))


def test_precision_misses_wrong_samples_and_recall_missing_ones():
    left, right = RNG.normal(0, 1, (200, 2)), RNG.normal(20, 1, (200, 2))
    figures = PrecisionRecall()(samples(left), samples(np.concatenate([left[:100] + 0.01, right[:100]])))
    assert figures["precision"] > 0.9
    assert figures["recall"] < 0.6


def test_neighbours_beyond_the_number_of_samples_are_told_before_any_is_drawn():
    class Data:
        test = range(5)

        def __len__(self):
            return 9

    PrecisionRecall(neighbours=4).prepare(Data(), 20)
    with pytest.raises(ValueError, match=r"'neighbours' must be in \[1, 4\], but is 5"):
        PrecisionRecall(neighbours=5).prepare(Data(), 20)


class Held:
    """Data whose held-out part is that of these arrays."""

    def __init__(self, **arrays):
        self.arrays = {name: np.zeros((5, *shape), np.float32) for name, shape in arrays.items()}
        self.test = range(5)

    def __len__(self):
        return 9

    def held_out_arrays(self, most):
        return {name: values[:most] for name, values in self.arrays.items()}


@pytest.mark.parametrize(
    ("metric", "data", "count", "message"),
    [
        (SpectrumDistance(), Held(samples=(3,)), 5, r"samples \(C, \*grid\), but they have the shape \(3,\)"),
        (SpectrumDistance(), Held(samples=(3, 1, 1)), 5, "no axis of two points"),
        (ClassAccuracy(), Held(samples=(3,)), 5, "'condition' is 0, but the data give no such condition"),
        (ClassAccuracy(), Held(samples=(3,), condition_0=(1, 4, 4)), 5, r"that condition has the shape \(1, 4, 4\)"),
        (FrechetDistance(), Held(samples=(3,)), 1, "at least 2 samples.* there are 1, 9 and 5"),
        (FrechetDistance(), Held(samples=(5000,)), 5, "up to 4096 features, but a sample has 5000"),
        (FrechetDistance(lambda x: x), Held(samples=(3, 4)), 5, "'features' must return one row"),
    ],
)
def test_what_a_figure_cannot_be_had_of_is_told_before_any_sample_is_drawn(metric, data, count, message):
    with pytest.raises(ValueError, match=message):
        metric.prepare(data, count)


@pytest.mark.parametrize(
    "metric, shape",
    [(SpectrumDistance(), (3, 2)), (ClassAccuracy(), (3,)), (FrechetDistance(), (3,))],
)
def test_what_a_figure_can_be_had_of_is_let_through(metric, shape):
    metric.prepare(Held(samples=shape, condition_0=()), 2)


def test_figures_of_ones_own_may_be_arrays_and_tensors():
    mindspore = pytest.importorskip("mindspore")
    component = Component(name="fields.py:Own")
    component.place_at("metrics[0]")
    given = {
        "single": np.float32(0.5),
        "point": np.array(2.0),
        "tensor": mindspore.Tensor(3.0),
        "beside": {"samples": np.float64(1), "held_out": [np.int64(4), (np.bool_(True), None)]},
        "course": np.arange(3, dtype=np.float32),
    }
    figures = json.loads(json.dumps(plain_figures(given, component)))
    assert figures == {
        "single": 0.5,
        "point": 2.0,
        "tensor": 3.0,
        "beside": {"samples": 1.0, "held_out": [4, [True, None]]},
        "course": [0.0, 1.0, 2.0],
    }
    with pytest.raises(ConfigError, match=r"fields.py:Own at 'metrics\[0\]' returns complex as its figure 'a.b'"):
        plain_figures({"a": {"b": 1j}}, component)
    with pytest.raises(ConfigError, match="must return a dict of figures by name, but returns float"):
        plain_figures(0.5, component)


@pytest.mark.parametrize("one_hot", [False, True])
def test_class_accuracy_is_the_share_of_samples_that_look_like_what_was_asked(one_hot):
    classes = np.arange(60) % 3
    values = classes[:, None] * 5 + RNG.standard_normal((60, 2))
    given = np.eye(3)[classes] if one_hot else classes
    asked = classes.copy()
    asked[:15] = (asked[:15] + 1) % 3
    held_out = {**samples(values), "condition_0": given}
    drawn = {**samples(values + 0.1), "condition_0": np.eye(3)[asked] if one_hot else asked}
    figures = ClassAccuracy()(drawn, held_out)["class_accuracy"]
    assert figures["samples"] == pytest.approx(0.75, abs=0.05)
    assert figures["held_out"] > 0.9
    with pytest.raises(ValueError, match="'condition' is 1"):
        ClassAccuracy(condition=1)(drawn, held_out)
