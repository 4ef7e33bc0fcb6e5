"""The ensemble filter: agreement with the Kalman filter, its update, its localization, and what it refuses."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
from compiler import api
from mindspore import Tensor, nn

from mindscience_diffuser import Localization, NoiseSource, Sampler, assimilate
from mindscience_diffuser.sampling.ensemble_update import adapted_inflation, gaspari_cohn, square_root_update

BENCH = Path(__file__).parents[1] / "scripts" / "bench" / "assimilation.py"


def load(path):
    spec = importlib.util.spec_from_file_location(f"bench_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


bench = load(BENCH)
SIZE, OBSERVATIONS, NAN = bench.SIZE, bench.OBSERVATIONS, np.nan
RNG = np.random.default_rng(0)
FORECAST, ANALYSIS = bench.samplers()
FEW = bench.beginning(8)[0][:4]


def given(*values):
    return np.array(values, np.float32)


def filtered(history, observations, generator=1, **options):
    options = {"initial_noise": "observation", "progress": False, **options}
    return assimilate(FORECAST, ANALYSIS, history, observations, generator=generator, **options)


def test_ensemble_agrees_with_the_kalman_filter_within_sampling_error():
    members = 10_000
    history, mean, covariance = bench.beginning(members)
    result = filtered(history, OBSERVATIONS).analysis.astype(np.float64)
    means, covariances = bench.kalman(mean, covariance, OBSERVATIONS)
    for drawn, m, c in zip(result, means, covariances):
        std = np.sqrt(np.diag(c))
        # Four standard errors of a mean and of a variance, and what 40 steps of the solver leave.
        assert np.all(np.abs(drawn.mean(0) - m) < 4 * std / np.sqrt(members) + 0.01 * std)
        error = (np.cov(drawn.T) - c) / np.outer(std, std)
        assert np.all(np.abs(error) < 4 * np.sqrt(2 / members) + 0.01)


def test_without_measurements_it_is_the_sampler_run_frame_by_frame():
    result = filtered(FEW, [None, given(NAN, NAN, NAN)])
    source, past = NoiseSource(1, 4), FEW
    for t in range(2):
        start = source.standard_normal((4, SIZE)) * np.float32(FORECAST.scheduler.init_noise_sigma) + past[:, -1]
        frame = FORECAST(Tensor(start), Tensor(past)).asnumpy()
        assert np.array_equal(result.forecast[t], frame)
        assert np.array_equal(result.analysis[t], frame)
        past = np.concatenate([past[:, 1:], frame[:, None]], axis=1)


@pytest.mark.parametrize("inflation", [1.0, "adaptive"])
def test_what_stands_where_nothing_is_measured_does_not_matter(inflation):
    y, never = given(0.5, NAN, -0.5), np.array(bench.MASK) == 0
    assert never.any()
    expected = filtered(FEW, [y, y, y], inflation=inflation)
    y = np.where(never, 1e3, y).astype(np.float32)
    assert np.array_equal(filtered(FEW, [y, y, y], inflation=inflation).analysis, expected.analysis)
    nowhere = np.where(never, 1e3, NAN).astype(np.float32)
    without = filtered(FEW, [None, None], inflation=inflation).analysis
    assert np.array_equal(filtered(FEW, [nowhere, nowhere], inflation=inflation).analysis, without)


def test_noise_of_a_member_does_not_depend_on_the_others():
    together = filtered(FEW, [None, None]).analysis
    assert np.allclose(filtered(FEW[:2], [None, None]).analysis, together[:, :2], atol=1e-6)


def test_conditions_follow_the_members_and_the_time():
    calls = []

    def conditions(history, t):
        calls.append((history.shape, t))
        return (history,)

    result = filtered(FEW, [None, given(1.0, NAN, NAN)], conditions=conditions)
    assert np.array_equal(result.analysis, filtered(FEW, [None, given(1.0, NAN, NAN)]).analysis)
    assert calls == [((4, 2, SIZE), 0), ((4, 2, SIZE), 1), ((4, 2, SIZE), 1)]


def test_inflation_widens_the_forecast_before_measurements_alone():
    y = given(0.5, NAN, NAN)
    plain, inflated = (filtered(FEW, [None, y], inflation=factor) for factor in (1.0, 1.5))
    assert np.array_equal(plain.analysis[0], inflated.analysis[0])
    assert np.all(inflated.forecast[1].var(0) > plain.forecast[1].var(0))


@pytest.mark.parametrize(("true_std", "expected"), [(0.3, 1.5), (0.18, 0.9), (0.1, 0.8), (5.0, 2.0)])
def test_adaptive_inflation_finds_the_factor_that_the_innovations_ask_for(true_std, expected):
    generator, factor = np.random.default_rng(0), 1.0
    found = []
    for _ in range(300):
        predicted = 0.2 * factor * generator.standard_normal((40, 50))
        y = predicted.mean(0) + generator.standard_normal(50) * np.hypot(true_std * np.sqrt(1 + 1 / 40), 0.1)
        factor = adapted_inflation(factor, predicted, y, np.full(50, 0.1))
        found.append(factor)
    assert np.isclose(np.mean(found[50:]), expected, rtol=0.05)


def test_adaptive_inflation_leaves_the_first_measurements_as_they_are():
    measured = [None, given(3.0, NAN, NAN), given(3.0, NAN, NAN)]
    plain, adaptive = (filtered(FEW, measured, inflation=kind) for kind in (1.0, "adaptive"))
    assert np.array_equal(plain.analysis[1], adaptive.analysis[1])
    assert np.all(adaptive.forecast[2].var(0) > plain.forecast[2].var(0))


def test_update_gives_mean_and_covariance_of_the_kalman_filter_with_those_of_the_sample():
    members, operator = 30, RNG.standard_normal((3, 5))
    states = RNG.standard_normal((members, 5)) @ RNG.standard_normal((5, 5))
    measured, noise_std = RNG.standard_normal(3), np.array([0.3, 1.0, 0.0])
    updated = square_root_update(states, states @ operator.T, measured, noise_std)
    covariance = np.cov(states.T)
    gain = covariance @ operator.T @ np.linalg.inv(operator @ covariance @ operator.T + np.diag(noise_std**2))
    mean = states.mean(0)
    assert np.allclose(updated.mean(0), mean + gain @ (measured - operator @ mean))
    assert np.allclose(np.cov(updated.T), covariance - gain @ operator @ covariance)


def test_update_leaves_members_that_all_predict_the_same():
    states = RNG.standard_normal((5, 4))
    assert np.allclose(square_root_update(states, np.ones((5, 1)), np.zeros(1), np.zeros(1)), states)


def test_taper_falls_from_one_to_zero_and_is_a_covariance():
    distance = np.linspace(0, 3, 601)
    taper = gaspari_cohn(distance, 2.0)
    assert taper[0] == 1
    assert np.all(taper[distance >= 2] == 0)
    assert np.all(np.diff(taper) <= 0)
    assert np.abs(np.diff(taper)).max() < 0.01
    places = np.linspace(0, 5, 40)
    assert np.linalg.eigvalsh(gaspari_cohn(np.abs(places[:, None] - places), 2.0)).min() > -1e-12


@pytest.mark.parametrize(("periodic", "near"), [(True, [0, 1, 2, 7]), (False, [0, 1, 2])])
def test_localized_measurement_changes_what_is_near(periodic, near):
    localization = Localization.on_grid((8,), 2.5, periodic)
    localization.check((2, 8), (2, 8))
    observed = np.zeros((2, 8), bool)
    observed[1, 0] = observed[0, 1] = True
    of_frame, of_measured = localization.tapers((2, 8), (2, 8), observed)
    assert of_frame.shape == (2, 1, 8)
    assert np.array_equal(np.flatnonzero(of_frame[1, 0]), [0, 1, 2, 6, 7] if periodic else near)
    assert of_measured[0, 0] == 1
    assert 0 < of_measured[0, 1] < 1
    states = RNG.standard_normal((6, 8))
    tapers = gaspari_cohn(np.array([[0, 1, 2, 3, 4, 3, 2, 1.0]]), 2.5), np.ones((1, 1))
    updated = square_root_update(states, states[:, :1], np.ones(1), np.ones(1), tapers)
    assert np.allclose(updated[:, 3:6], states[:, 3:6])
    assert not np.allclose(updated[:, 1], states[:, 1])


def test_other_places_of_measurements_are_taken():
    localization = Localization(1.5, [[0.0], [1.0], [2.0]], observed_places=[[0.5], [9.0]])
    localization.check((3,), (2,))
    of_frame, of_measured = localization.tapers((3,), (2,), np.array([True, True]))
    assert of_frame[0, 0] == of_frame[0, 1] > 0
    assert np.all(of_frame[1] == 0)
    assert np.array_equal(of_measured, np.eye(2))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"radius": 0.0, "places": [[0.0]]}, "'radius' must be in"),
        ({"radius": 1.0, "places": [0.0]}, "'places' must hold finite coordinates"),
        ({"radius": 1.0, "places": [[NAN]]}, "'places' must hold finite coordinates"),
        ({"radius": 1.0, "places": [[0.0]], "observed_places": [[0.0, 1.0]]}, "'observed_places' has coordinates of 2"),
        ({"radius": 1.0, "places": [[0.0]], "period": [0.0]}, "'period' must hold 1 lengths above 0"),
    ],
)
def test_bad_localization_is_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        Localization(**arguments)


def rebuilt(sampler, **options):
    return Sampler(sampler.advance.model, sampler.scheduler, "unrolled", **options)


class Doubled(nn.Cell):
    def construct(self, x, sigma, past):
        return x * 1e30


@pytest.mark.parametrize(
    ("changed", "error", "words"),
    [
        ({"forecast": Doubled()}, TypeError, "'forecast' must be a Sampler"),
        ({"analysis": FORECAST}, TypeError, "'analysis' must be a Sampler of a PosteriorGuidance"),
        ({"forecast": ANALYSIS}, TypeError, "'forecast' is a Sampler of a PosteriorGuidance"),
        *(
            ({name: rebuilt(of, **{option: True})}, ValueError, f"'{name}' is a Sampler with {option}=True")
            for name, of in (("forecast", FORECAST), ("analysis", ANALYSIS))
            for option in ("return_intermediates", "inpaint", "noise_in_graph")
        ),
        ({"observations": 3}, TypeError, "'observations' must be a list with an entry for each time, but is int"),
        ({"conditions": lambda past, t: past}, TypeError, "'conditions' must return a tuple of Tensors.* at time 0"),
        ({"history": [[1.0]]}, TypeError, "'history' must be an array"),
        ({"history": FEW[:1]}, ValueError, r"'history' has shape \(1, 2, 3\)"),
        ({"history": FEW * NAN}, ValueError, "'history' has values that are not finite"),
        ({"observations": [None, given(1.0, 2.0)]}, ValueError, r"'observations\[1\]' has shape \(2,\)"),
        ({"observations": [[1.0, 2.0, 3.0]]}, TypeError, r"'observations\[0\]' must be None or an array"),
        ({"observations": [given(1.0, np.inf, 3.0)]}, ValueError, r"'observations\[0\]' has infinite values"),
        ({"observations": []}, ValueError, "'observations' is empty"),
        ({"inflation": 0.9}, ValueError, r"'inflation' must be in \[1, inf\)"),
        ({"conditions": 3}, TypeError, "'conditions' must be a function"),
        ({"localization": 3.0}, TypeError, "'localization' must be a Localization"),
        ({"localization": Localization(1.0, np.zeros((2, 1)))}, ValueError, "'places' of the localization has shape"),
        ({"initial_noise": "standard"}, ValueError, "'initial_noise' must be one of"),
        ({"progress": 1}, TypeError, "'progress' must be True or False"),
        ({"generator": [1, 2]}, ValueError, "'generator' has 2 streams, but the batch has 4"),
    ],
)
def test_bad_input_is_named_before_anything_is_compiled(changed, error, words):
    arguments = {
        "forecast": FORECAST,
        "analysis": ANALYSIS,
        "history": FEW,
        "observations": [None],
        "progress": False,
        **changed,
    }
    with pytest.raises(error, match=words):
        assimilate(**arguments)


def test_member_that_is_lost_is_told():
    diverging = Sampler(Doubled(), FORECAST.scheduler)
    with pytest.raises(FloatingPointError, match="Member 0 is not finite at time 0"):
        assimilate(diverging, ANALYSIS, FEW, [None], progress=False)


def test_values_of_the_measurements_and_their_mask_compile_nothing_anew(monkeypatch):
    filtered(FEW, [None, given(1.0, NAN, 0.0)])

    def refuse(*arguments):
        raise AssertionError("a graph is compiled")

    monkeypatch.setattr(api, "_check_recompile", refuse)
    filtered(FEW, [None, given(NAN, NAN, 2.0), given(0.5, NAN, NAN)])
