"""The simulated flow and its measures: exact solutions, orders and conserved quantities."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import fft

from mindscience_diffuser.examples.stirred_flow.data import StirredFlow
from mindscience_diffuser.examples.stirred_flow.measures import (
    energy_spectrum,
    spectrum_error,
)
from mindscience_diffuser.examples.stirred_flow.vorticity import ACTIONS, STIRRING, VorticityFlow
from mindscience_diffuser.runs.evaluation.intervals import mean_and_interval
from mindscience_diffuser.runs.evaluation.patterns import pattern_correlation

SCRIPTS = Path(__file__).parents[1] / "scripts"
SIDE = 32
PLACE = 2 * np.pi / SIDE * np.arange(SIDE)
X, Y = PLACE[None, :], PLACE[:, None]
REST = ACTIONS - 1


def random_spectrum(flow, seed=0, highest=5):
    spectrum = fft.rfft2(np.random.default_rng(seed).standard_normal((SIDE, SIDE)))
    spectrum *= (flow.k_x**2 + flow.k_y**2 < highest**2) & (flow.inverse_laplace > 0)
    return 2 * spectrum / flow.to_grid(spectrum).std()


def test_taylor_green_vortices_decay_as_the_exact_solution():
    flow = VorticityFlow(SIDE, viscosity=0.01, drag=0.03)
    vortices = 2 * np.cos(2 * X) * np.cos(2 * Y)
    final = flow.to_grid(flow.advance(fft.rfft2(vortices), REST, 40))
    assert np.allclose(final, vortices * np.exp(-(0.01 * 8 + 0.03) * 40 * flow.time_step), atol=1e-12)


def test_each_action_pushes_along_its_wave():
    flow = VorticityFlow(SIDE, force=1.5)
    for action, (k_x, k_y) in enumerate(STIRRING):
        push = flow.to_grid(flow.tendency(np.zeros_like(flow.forces[0]), flow.forces[action]))
        assert np.allclose(push, 1.5 * np.cos(k_x * X + k_y * Y), atol=1e-12)
    assert np.all(flow.forces[REST] == 0)


def test_energy_and_enstrophy_are_conserved_without_friction_and_force():
    flow = VorticityFlow(SIDE, viscosity=0.0, drag=0.0, time_step=0.01)
    start = random_spectrum(flow)
    final = flow.advance(start, REST, 100)
    assert not np.allclose(final, start, rtol=0.1)
    for power in (flow.inverse_laplace, 1.0):
        # A rectangle of half the spectrum: columns other than the first stand for two.
        twice = np.where(flow.k_x > 0, 2, 1) * power
        assert (twice * np.abs(final) ** 2).sum() == pytest.approx((twice * np.abs(start) ** 2).sum(), rel=1e-6)


def test_time_stepping_is_of_fourth_order():
    spectra = []
    for time_step in (0.1, 0.05, 0.025, 0.0125):
        flow = VorticityFlow(SIDE, time_step=time_step)
        spectra.append(flow.advance(random_spectrum(flow), 0, round(1 / time_step)))
    errors = [np.abs(spectrum - spectra[-1]).max() for spectrum in spectra[:-1]]
    assert np.log2(errors[0] / errors[1]) > 3.7
    assert np.log2(errors[1] / errors[2]) > 3.7


def test_films_depend_on_seed_and_number_alone_and_differ_between_training_and_testing():
    data = StirredFlow(train_films=3, train_frames=6, seed=4)
    frames, actions = data.train
    assert frames.shape == (3, 6, 32, 32) and frames.dtype == np.float32
    assert actions.shape == (3, 6) and actions.dtype == np.int32
    alone = data.films(1, 6, stream=0)
    assert np.allclose(alone.frames[0], frames[0], atol=1e-6) and np.array_equal(alone.actions[0], actions[0])
    assert not np.allclose(data.test(1, 6).frames[0], frames[0], atol=0.1)
    assert 0.2 < frames.std() < 0.8
    assert np.abs(frames.mean((2, 3))).max() < 1e-6


def test_action_of_a_frame_acts_until_the_next_one():
    data = StirredFlow(train_films=1, train_frames=3)
    frames, actions = data.train
    flow = data.flow
    spectrum = fft.rfft2(frames[0].astype(np.float64) * data.scale)
    for i in range(2):
        ours = flow.to_grid(flow.advance(spectrum[i], actions[0, i], data.steps)) / data.scale
        other = flow.to_grid(flow.advance(spectrum[i], (actions[0, i] + 1) % ACTIONS, data.steps)) / data.scale
        assert np.allclose(ours, frames[0, i + 1], atol=1e-5)
        assert not np.allclose(other, frames[0, i + 1], atol=1e-3)


def test_actions_hold_for_a_while():
    actions = StirredFlow(change=0.15)._actions(np.random.default_rng(0), 4000)
    assert set(actions) == set(range(ACTIONS))
    # A change draws the same action again one time in five.
    assert np.mean(actions[1:] != actions[:-1]) == pytest.approx(0.15 * 0.8, abs=0.02)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"frame_interval": 0.12}, ValueError, "multiple of the time step"),
        ({"change": 1.5}, ValueError, "'change' must be in"),
        ({"train_frames": 1}, ValueError, "train_frames"),
        ({"viscosity": 0}, ValueError, "viscosity"),
        ({"scale": "3"}, TypeError, "scale"),
    ],
)
def test_bad_argument_is_refused(arguments, error, words):
    with pytest.raises(error, match=words):
        StirredFlow(**arguments)


def test_energy_spectrum_holds_the_energy_of_the_velocity():
    vorticity = 3 * np.cos(4 * X) + 2 * np.sin(3 * Y + 4 * X)
    spectrum = energy_spectrum(vorticity)
    assert spectrum.shape == (10,)
    # The velocity of cos(k . x) has amplitude 1 / k; half the mean of its square.
    assert spectrum[3] == pytest.approx(0.5 * 0.5 * 9 / 16)
    assert spectrum[4] == pytest.approx(0.5 * 0.5 * 4 / 25)
    assert spectrum.sum() == pytest.approx(spectrum[3] + spectrum[4])


def test_measures_are_zero_error_for_the_same_and_one_for_a_factor_of_ten():
    frames = np.random.default_rng(0).standard_normal((2, 5, 32, 32))
    assert np.allclose(pattern_correlation(frames, frames), 1)
    assert np.allclose(pattern_correlation(frames, -2 * frames), -1)
    assert np.abs(pattern_correlation(frames, frames[:, ::-1])[:, :2]).max() < 0.2
    assert np.allclose(spectrum_error(frames, frames), 0)
    assert np.allclose(spectrum_error(np.sqrt(10) * frames, frames), 1)


def test_interval_covers_the_mean_as_often_as_it_says():
    values = np.random.default_rng(0).standard_normal((8, 4000)) + 3
    mean, width = mean_and_interval(values)
    assert np.mean(np.abs(mean - 3) < width) == pytest.approx(0.95, abs=0.015)


def test_script_writes_the_films_of_the_data_set(tmp_path):
    command = [sys.executable, SCRIPTS / "simulate_flow.py", "--films", "2", "--frames", "4", "--output", tmp_path]
    subprocess.run(command, check=True, capture_output=True)
    with np.load(tmp_path / "flow.npz") as stored:
        films = StirredFlow(2, 4).train
        assert np.array_equal(stored["frames"], films.frames) and np.array_equal(stored["actions"], films.actions)
    assert (tmp_path / "flow.gif").stat().st_size > 0
