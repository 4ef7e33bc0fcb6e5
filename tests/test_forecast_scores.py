"""Scores of forecasts: closed forms of Gaussian ensembles, brute force, other packages, and merging over ranks."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from mindscience_diffuser.runs.evaluation import forecast_scores
from mindscience_diffuser.runs.evaluation.forecast_scores import (
    DeterministicScores,
    ForecastScores,
    area_weights,
    fair_crps,
)
from mindscience_diffuser.runs.evaluation.spectra import radial_spectrum, shell_powers

GOLDEN = Path(__file__).parent / "golden" / "forecast_scores.npz"
CASES = 100_000
WEIGHTS = 7 * area_weights([-60, 10, 80], 4)


def generator(*seed):
    return np.random.default_rng(seed)


def scored(*films, weights=None, thresholds=None):
    leads, channels = films[0][1].shape[:2]
    scores = ForecastScores(leads, channels, weights, thresholds)
    for members, truth in films:
        scores.update(members, truth)
    return scores


def gaussian_figures(spread, members, seed=0, rounded=False):
    """Figures of members N(0, spread^2) of a truth N(0, 1), at one lead time of one channel."""
    drawn = generator(seed, members).standard_normal((members + 1, 1, 1, CASES))
    drawn[1:] *= spread
    if rounded:
        drawn = np.round(drawn)
    figures = scored((drawn[1:], drawn[0])).figures()
    return {name: np.squeeze(values) for name, values in figures.items()}


def films(count, members, seed=1):
    """Films of two lead times, of two channels of different size, on the grid of WEIGHTS."""
    drawn = generator(seed).standard_normal((count, members + 1, 2, 2, 3, 4))
    drawn *= np.array([1.0, 30.0]).reshape(2, 1, 1)
    return [(film[1:], film[0]) for film in drawn]


def assert_same(found, expected):
    """Figures are equal up to rounding, and ready for JSON."""
    found, expected = (json.loads(json.dumps(figures, allow_nan=False)) for figures in (found, expected))
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        if isinstance(values, dict):
            assert_same(found[name], values)
        elif name in ("members_left_out", "films_left_out"):
            assert found[name] == values
        else:
            np.testing.assert_allclose(np.array(found[name], float), np.array(values, float), rtol=1e-10, err_msg=name)


@pytest.mark.parametrize("spread", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("members", [2, 9])
def test_crps_of_gaussian_ensembles_is_that_of_the_closed_form_whatever_their_size(spread, members):
    # E|x - y| - E|x - x'| / 2 of independent Gaussians.
    expected = np.sqrt(2 * (1 + spread**2) / np.pi) - spread / np.sqrt(np.pi)
    # Five standard errors: the score of a case deviates by less than 1 + spread from its mean.
    assert gaussian_figures(spread, members)["crps"] == pytest.approx(expected, abs=5 * (1 + spread) / CASES**0.5)


@pytest.mark.parametrize("members", [2, 9])
def test_spread_over_error_is_one_for_exchangeable_members_and_tells_a_wrong_spread(members):
    for spread in (0.5, 1.0, 2.0):
        figures = gaussian_figures(spread, members)
        error = np.sqrt(1 + spread**2 / members)
        assert figures["rmse"] == pytest.approx(error, rel=0.01)
        assert figures["spread"] == pytest.approx(spread * np.sqrt(1 + 1 / members), rel=0.01)
        assert figures["spread_over_error"] == pytest.approx(spread * np.sqrt(1 + 1 / members) / error, rel=0.015)
        if spread == 1:
            assert figures["spread_over_error"] == pytest.approx(1, rel=0.015)


@pytest.mark.parametrize("rounded", [False, True])
def test_rank_histogram_is_flat_for_exchangeable_members_also_with_ties(rounded):
    counts = gaussian_figures(1.0, 9, rounded=rounded)["rank_histogram"]
    assert counts.shape == (10,) and counts.sum() == CASES
    assert stats.chisquare(counts).pvalue > 1e-3


@pytest.mark.parametrize("rounded", [False, True])
def test_rank_histogram_is_like_a_u_for_too_narrow_and_like_a_hill_for_too_wide_ensembles(rounded):
    narrow, wide = (gaussian_figures(spread, 8, rounded=rounded)["rank_histogram"] for spread in (0.5, 2.0))
    for counts, sign in ((narrow, 1), (wide, -1)):
        assert np.all(np.diff(counts)[:4] * sign < 0) and np.all(np.diff(counts)[4:] * sign > 0)


def test_a_truth_above_all_members_has_the_last_rank():
    members, truth = np.zeros((3, 1, 1, 5)), np.ones((1, 1, 5))
    assert scored((members, truth)).figures()["rank_histogram"] == [[[0, 0, 0, 5]]]
    assert scored((members, -truth)).figures()["rank_histogram"] == [[[5, 0, 0, 0]]]


def test_ties_are_broken_by_the_number_of_the_film_alone():
    members, truth = np.zeros((3, 1, 1, 50)), np.zeros((1, 1, 50))
    counts = []
    for before, number in ((0, 4), (2, 4), (4, None), (0, 5)):
        scores = ForecastScores(1, 1)
        for _ in range(before):
            scores.update(members, truth + 1)
        scores.update(members, truth, number)
        counts.append(np.array(scores.figures()["rank_histogram"][0][0]) - [0, 0, 0, 50 * before])
    np.testing.assert_array_equal(counts[0], counts[1])
    np.testing.assert_array_equal(counts[0], counts[2])
    assert np.any(counts[0] != counts[3])


def test_reliability_of_exchangeable_members_is_near_the_diagonal_and_tells_overconfidence():
    # A threshold is exceeded with a probability that is the same for truth and members, and uniform over the cases.
    count, thresholds = 20, [3.0, -1.0]
    random = generator(2)
    probability = random.uniform(size=(1, 2, CASES))
    drawn = probability - random.uniform(size=(count + 1, 1, 2, CASES)) + np.reshape(thresholds, (2, 1))
    fair = scored((drawn[1:], drawn[0]), thresholds=thresholds).figures()["reliability"]
    k = np.arange(count + 1)
    assert fair["thresholds"] == thresholds
    np.testing.assert_allclose(fair["probability"], k / count)
    np.testing.assert_allclose(np.sum(fair["weight"], axis=-1), CASES)
    observed = np.array(fair["observed_frequency"])
    assert observed.shape == (1, 2, count + 1)
    # The rule of succession: k of count exceed; its standard error with CASES / (count + 1) cases for each k.
    np.testing.assert_allclose(observed, np.broadcast_to((k + 1) / (count + 2), observed.shape), atol=5 * 0.5 / 69)
    np.testing.assert_allclose(observed, np.broadcast_to(k / count, observed.shape), atol=0.05 + 5 * 0.5 / 69)
    # All members alike: what is forecast as certain happens in two of three cases.
    sure = scored((np.repeat(drawn[1:2], count, 0), drawn[0]), thresholds=thresholds).figures()["reliability"]
    ends = np.array(sure["observed_frequency"], float)[..., [0, -1]]
    np.testing.assert_allclose(ends, np.broadcast_to([1 / 3, 2 / 3], ends.shape), atol=0.02)
    assert sure["observed_frequency"][0][0][1:-1] == [None] * (count - 1)


def brute_force(members, truth, thresholds):
    """The same figures of one film, point by point, in plain loops, for the weights WEIGHTS."""
    weights = WEIGHTS / WEIGHTS.sum()
    count, leads, channels = members.shape[:3]
    names = ("crps", "squared_error", "variance")
    found = {name: np.zeros((leads, channels)) for name in names}
    histogram, cases, hits = (np.zeros((leads, channels, count + 1)) for _ in range(3))
    for t, c, i, j in np.ndindex(truth.shape):
        x, y, w = members[:, t, c, i, j], truth[t, c, i, j], weights[i, j]
        pairs = [abs(a - b) for a in x for b in x]
        found["crps"][t, c] += w * (np.mean(np.abs(x - y)) - sum(pairs) / (2 * count * (count - 1)))
        found["squared_error"][t, c] += w * (np.mean(x) - y) ** 2
        found["variance"][t, c] += w * np.sum((x - np.mean(x)) ** 2) / (count - 1) * (1 + 1 / count)
        w = w * WEIGHTS.size
        histogram[t, c, np.sum(x < y)] += w
        cases[t, c, np.sum(x > thresholds[c])] += w
        hits[t, c, np.sum(x > thresholds[c])] += w * (y > thresholds[c])

    def norm(values):
        return np.sqrt(sum(weights[i, j] * v**2 for (c, i, j), v in np.ndenumerate(values)) / channels)

    energy = []
    for t in range(leads):
        total = np.mean([norm(x[t] - truth[t]) for x in members])
        for first in range(count):
            for second in range(count):
                if first != second:
                    total -= norm(members[first, t] - members[second, t]) / (2 * count * (count - 1))
        energy.append(total)
    return {**found, "energy_score": np.array(energy), "histogram": histogram, "cases": cases, "hits": hits}


def test_figures_are_those_of_weighted_loops_over_films_and_points():
    thresholds = [0.3, -10.0]
    drawn = films(3, members=4)
    figures = scored(*drawn, weights=WEIGHTS, thresholds=thresholds).figures()
    parts = [brute_force(members, truth, thresholds) for members, truth in drawn]
    expected = {name: sum(part[name] for part in parts) for name in parts[0]}
    np.testing.assert_allclose(figures["crps"], expected["crps"] / 3)
    np.testing.assert_allclose(figures["rmse"], np.sqrt(expected["squared_error"] / 3))
    np.testing.assert_allclose(figures["spread"], np.sqrt(expected["variance"] / 3))
    np.testing.assert_allclose(
        figures["spread_over_error"], np.sqrt(expected["variance"] / expected["squared_error"]), rtol=1e-10
    )
    np.testing.assert_allclose(figures["energy_score"], expected["energy_score"] / 3)
    np.testing.assert_allclose(figures["rank_histogram"], expected["histogram"])
    np.testing.assert_allclose(figures["reliability"]["weight"], expected["cases"])
    seen = np.array(figures["reliability"]["observed_frequency"], float)
    np.testing.assert_allclose(np.nan_to_num(seen) * expected["cases"], expected["hits"])
    np.testing.assert_array_equal(np.isnan(seen), expected["cases"] == 0)
    assert (figures["members"], figures["films"], figures["complete_films"]) == (4, [3, 3], [3, 3])


def test_the_scale_of_weights_and_equal_weights_change_nothing():
    drawn = films(2, members=3)
    assert_same(scored(*drawn, weights=WEIGHTS).figures(), scored(*drawn, weights=WEIGHTS * 1e6).figures())
    assert_same(scored(*drawn, weights=np.full((3, 4), 5.0)).figures(), scored(*drawn).figures())


def test_energy_score_in_one_dimension_is_the_crps():
    drawn = generator(3).standard_normal((20, 6, 3, 1))
    figures = scored(*((film[1:], film[0]) for film in drawn)).figures()
    np.testing.assert_allclose(figures["energy_score"], np.squeeze(figures["crps"]))
    assert np.shape(figures["energy_score"]) == (3,)


def test_energy_score_of_equal_members_is_the_error_in_units_of_the_fields():
    truth = np.zeros((1, 3, 5, 7))
    assert scored((np.full((4, 1, 3, 5, 7), 2.5), truth)).figures()["energy_score"] == pytest.approx([2.5])


def test_a_single_forecast_has_the_weighted_absolute_and_root_mean_square_error():
    scores, errors = DeterministicScores(2, 2, WEIGHTS), []
    for members, truth in films(3, members=1):
        scores.update(members[0], truth)
        errors.append(members[0] - truth)
    figures, weights = scores.figures(), WEIGHTS / WEIGHTS.sum()
    np.testing.assert_allclose(figures["mae"], (np.abs(errors) * weights).sum((-1, -2)).mean(0))
    np.testing.assert_allclose(figures["rmse"], np.sqrt((np.square(errors) * weights).sum((-1, -2)).mean(0)))
    assert figures["films"] == [3, 3] and figures["films_left_out"] == []


def test_a_single_forecast_that_is_not_finite_is_left_out_from_there_on_and_noted():
    drawn = films(2, members=1)
    scores, alone = DeterministicScores(2, 2), DeterministicScores(2, 2)
    broken = drawn[1][0][0].copy()
    broken[1, 0, 2, 3] = np.inf
    for score, forecast in ((scores, broken), (alone, drawn[1][0][0])):
        score.update(drawn[0][0][0], drawn[0][1])
        score.update(forecast, drawn[1][1], number=8)
    first = DeterministicScores(2, 2)
    first.update(drawn[0][0][0], drawn[0][1])
    for name in ("mae", "rmse"):
        assert scores.figures()[name] == [alone.figures()[name][0], first.figures()[name][1]]
    assert scores.figures()["films"] == [2, 1]
    assert scores.figures()["films_left_out"] == [{"film": 8, "lead": 2}]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_member_that_is_not_finite_is_noted_and_the_scores_are_those_without_it(value):
    drawn = generator(4).standard_normal((5, 4, 2, 3, 4))
    members, truth = drawn[1:], drawn[0]
    broken = members.copy()
    broken[2, 1, 1, 0, 0] = value  # Finite again at the lead times after it.
    found, whole, without = (
        scored((each, truth), weights=WEIGHTS, thresholds=[0, 0]).figures()
        for each in (broken, members, np.delete(members, 2, 0))
    )
    assert found["members_left_out"] == [{"film": 0, "member": 2, "lead": 2}]
    assert whole["members_left_out"] == []
    for name in ("crps", "rmse", "spread", "spread_over_error", "energy_score"):
        assert found[name][0] == whole[name][0], name
        np.testing.assert_allclose(found[name][1:], without[name][1:], rtol=1e-12, err_msg=name)
    assert found["rank_histogram"][0] == whole["rank_histogram"][0]
    assert not np.any(found["rank_histogram"][1:]) and not np.any(found["reliability"]["weight"][1:])
    assert found["films"] == [1, 1, 1, 1] and found["complete_films"] == [1, 0, 0, 0]


def test_a_film_with_fewer_than_two_members_left_contributes_nothing():
    (members, truth), other = films(2, members=3)
    broken = members.copy()
    broken[:2, 1] = np.nan
    figures = scored((broken, truth), other).figures()
    both, second = scored((members, truth), other).figures(), scored(other).figures()
    for name in ("crps", "rmse", "spread", "energy_score"):
        np.testing.assert_allclose(figures[name][0], both[name][0])
        assert figures[name][1] == second[name][1]
    assert figures["films"] == [2, 1]
    alone = scored((broken, truth)).figures()
    assert alone["crps"][1] == [None, None] and alone["energy_score"][1] is None
    json.dumps(alone, allow_nan=False)


def merge(monkeypatch, scores):
    """Lets each of some scores be that of a rank, and merges them."""
    own, barrier, parts = threading.local(), threading.Barrier(len(scores)), [None] * len(scores)

    def gather(array):
        parts[own.rank] = np.array(array)
        barrier.wait(timeout=10)
        everything = list(parts)
        barrier.wait(timeout=10)
        assert len({(part.shape, part.dtype) for part in everything}) == 1
        return everything

    def run(rank):
        own.rank = rank
        scores[rank].merge_ranks()

    monkeypatch.setattr(forecast_scores, "gather", gather)
    with ThreadPoolExecutor(len(scores)) as pool:
        list(pool.map(run, range(len(scores))))


def test_ranks_that_share_films_have_the_figures_of_all_of_them(monkeypatch):
    drawn = films(5, members=4)
    for film, member, lead in ((1, 3, 1), (4, 0, 0), (4, 2, 1)):
        drawn[film][0][member, lead, 0, 1, 1] = np.nan
    thresholds = [0.0, 5.0]
    expected = scored(*drawn, weights=WEIGHTS, thresholds=thresholds).figures()
    # The third rank has no film.
    ranks = [ForecastScores(2, 2, WEIGHTS, thresholds) for _ in range(3)]
    for number, film in enumerate(drawn):
        ranks[number % 2].update(*film, number)
    merge(monkeypatch, ranks)
    for scores in ranks:
        assert_same(scores.figures(), expected)
    assert len(expected["members_left_out"]) == 3


def test_films_may_come_in_pieces_of_their_lead_times():
    drawn = films(3, members=4)
    drawn[1][0][2, 0, 0, 1, 1] = drawn[2][0][1, 1, 1, 2, 0] = np.nan
    pieces, single = ForecastScores(2, 2, WEIGHTS, [0.0, 5.0]), DeterministicScores(2, 2, WEIGHTS)
    for lead in range(2):
        for number, (members, truth) in enumerate(drawn):
            if lead == 1 and number == 1:
                members = np.nan_to_num(members)
            pieces.update(members[:, lead : lead + 1], truth[lead : lead + 1], number, first=lead)
            single.update(members[0, lead : lead + 1], truth[lead : lead + 1], number, first=lead)
    drawn[1][0][2, 1] = np.nan
    expected = scored(*drawn, weights=WEIGHTS, thresholds=[0.0, 5.0]).figures()
    assert_same(pieces.figures(), expected)
    assert expected["complete_films"] == [2, 1] and single.figures()["films"] == [3, 3]


def test_ranks_merge_single_forecasts(monkeypatch):
    drawn = films(3, members=1)
    every, ranks = DeterministicScores(2, 2), [DeterministicScores(2, 2) for _ in range(2)]
    for number, (members, truth) in enumerate(drawn):
        every.update(members[0], truth)
        ranks[number % 2].update(members[0], truth, number)
    merge(monkeypatch, ranks)
    for scores in ranks:
        assert_same(scores.figures(), every.figures())


def test_one_rank_merges_with_itself():
    drawn = films(2, members=3)
    scores = scored(*drawn)
    scores.merge_ranks()
    assert_same(scores.figures(), scored(*drawn).figures())


def test_ranks_with_ensembles_of_different_sizes_are_refused(monkeypatch):
    with pytest.raises(ValueError, match="'members' must be as many in each film, but there were"):
        merge(monkeypatch, [scored(*films(1, members=count)) for count in (2, 3)])


def test_ranks_without_any_film_have_no_figures(monkeypatch):
    ranks = [ForecastScores(2, 2) for _ in range(2)]
    merge(monkeypatch, ranks)
    with pytest.raises(ValueError, match="no figures yet: take in at least one film"):
        ranks[0].figures()


def test_figures_before_any_film_are_refused():
    for scores in (ForecastScores(1, 1), DeterministicScores(1, 1)):
        with pytest.raises(ValueError, match="no figures yet: take in at least one film"):
            scores.figures()


@pytest.mark.parametrize(
    ("members", "truth", "message"),
    [
        (np.zeros((1, 2, 2, 3, 4)), np.zeros((2, 2, 3, 4)), "'members'.* M at least 2, .*DeterministicScores"),
        (np.zeros((3, 2, 2, 3, 5)), np.zeros((2, 2, 3, 4)), r"'members'.*\(2, 2, 3, 4\), but is of \(2, 2, 3, 5\)"),
        (np.zeros((3, 2, 2, 3, 4)), np.zeros((2, 1, 3, 4)), r"'truth'.*\(2, 2, 3, 4\), but is of \(2, 1, 3, 4\)"),
        (np.zeros((4, 2, 2, 3, 4)), np.zeros((2, 2, 3, 4)), "'members' must be as many in each film, .* 3, now 4"),
        (np.zeros((3, 2, 2, 3, 4)), np.full((2, 2, 3, 4), np.nan), "'truth' of film 1 must be finite"),
    ],
)
def test_films_of_another_form_are_refused_and_change_nothing(members, truth, message):
    scores = scored(*films(1, members=3), weights=WEIGHTS)
    before = scores.figures()
    with pytest.raises(ValueError, match=message):
        scores.update(members, truth)
    assert scores.figures() == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"leads": 0}, "'leads' must be at least 1"),
        ({"channels": 0}, "'channels' must be at least 1"),
        ({"weights": [1, -1]}, "'weights' must be finite, at least 0 and not all 0, but has -1.0"),
        ({"weights": [1, np.nan]}, "'weights' .* but has nan"),
        ({"weights": [0, 0]}, "'weights' .* but has nothing else"),
        ({"thresholds": [1.0]}, "'thresholds' must have one finite number for each of the 2 channels"),
        ({"thresholds": [1.0, np.inf]}, "'thresholds' must have one finite number for each of the 2 channels"),
    ],
)
def test_arguments_of_scores_are_checked(arguments, message):
    with pytest.raises(ValueError, match=message):
        ForecastScores(**{"leads": 1, "channels": 2, **arguments})


def test_area_weights_are_the_cosine_with_mean_one_and_zero_at_the_poles():
    latitudes = np.linspace(-90, 90, 7, dtype=np.float32)
    weights = area_weights(latitudes, 5)
    cosine = np.sqrt(np.array([0, 1 / 4, 3 / 4, 1, 3 / 4, 1 / 4, 0]))
    np.testing.assert_allclose(weights, np.repeat(cosine[:, None], 5, 1) / cosine.mean(), rtol=1e-12)
    assert np.all(weights[[0, -1]] == 0) and np.all(weights >= 0)
    assert weights.mean() == pytest.approx(1)


@pytest.mark.parametrize(
    ("latitudes", "columns", "message"),
    [
        ([0, 91], 3, r"'latitudes' must be in \[-90, 90\], but is 91"),
        ([0, np.nan], 3, r"'latitudes' must be in \[-90, 90\], but is nan"),
        ([90, -90], 3, "'latitudes' must not all be at the poles"),
        ([], 3, r"'latitudes' must have the shape \(rows,\)"),
        ([[0]], 3, r"'latitudes' must have the shape \(rows,\)"),
        ([0], 0, "'columns' must be at least 1"),
    ],
)
def test_other_grids_are_refused(latitudes, columns, message):
    with pytest.raises(ValueError, match=message):
        area_weights(latitudes, columns)


@pytest.mark.parametrize("grid", [(16,), (15,), (16, 16), (15, 15), (16, 15), (8, 21), (6, 12, 5)])
def test_shells_of_all_waves_have_the_mean_square_of_the_field(grid):
    fields = generator(5).standard_normal((2, 3, *grid)) + 2
    numbers, count, power = shell_powers(fields, len(grid))
    assert numbers.tolist() == list(range(len(count))) and count.sum() == np.prod(grid)
    mean_square = (fields**2).reshape(2, 3, -1).mean(-1)
    np.testing.assert_allclose((count * power).sum(-1), mean_square, rtol=1e-6)
    half = min(grid) // 2
    shown, radial = radial_spectrum(fields, len(grid), periodic=True)
    assert shown.tolist() == list(range(1, half + 1))
    np.testing.assert_array_equal(radial, power[..., 1 : half + 1])


@pytest.mark.parametrize(("waves", "shell"), [(0, 0), (1, 0), (2, 1), (3, 1), (4, 2), (10, 4)])
def test_a_wave_along_the_longer_axis_is_in_the_nearest_shell(waves, shell):
    # Over the shorter axis, of 8 points, there are 0.4 times as many waves as over the longer one.
    field = np.broadcast_to(np.cos(2 * np.pi * waves * np.arange(20) / 20), (8, 20))
    numbers, _, power = shell_powers(field, 2)
    assert numbers[power > 1e-20].tolist() == [shell]


@pytest.mark.parametrize("grid", [(24, 30), (21, 21)])
def test_white_noise_has_the_same_power_in_all_shells_up_to_the_corners(grid):
    noise = generator(6).standard_normal((400, *grid))
    _, count, power = shell_powers(noise, 2)
    # Five standard errors; a wave and the opposite one are one value.
    error = 5 * np.sqrt(2 / (count * len(noise)))
    assert np.all(np.abs(power.mean(0) * np.prod(grid) - 1) < error)


def test_scores_are_those_of_other_packages():
    golden = np.load(GOLDEN)
    members, truth = golden["members"], golden["truth"]  # (film, member, lead, channel, points)
    count = members.shape[1]
    found = np.stack([fair_crps(*film) for film in zip(members, truth)])
    np.testing.assert_allclose(found, golden["scores_fair_crps"], rtol=1e-9, atol=1e-12)
    # properscoring divides the sum over all pairs by 2 M^2, the fair form by 2 M (M - 1).
    pairs = np.abs(members[:, :, None].astype(float) - members[:, None]).sum((1, 2))
    other = golden["properscoring_crps"] - pairs / (2 * count**2 * (count - 1))
    np.testing.assert_allclose(found, other, rtol=1e-9, atol=1e-12)
    figures = scored(*zip(members, truth)).figures()
    np.testing.assert_allclose(figures["crps"], golden["scores_fair_crps"].mean((0, -1)))
    np.testing.assert_array_equal(figures["rank_histogram"], golden["xskillscore_rank_histogram"])
