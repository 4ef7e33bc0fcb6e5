"""Films of a stirred flow: what a world model is trained on and measured against."""

import functools
from typing import NamedTuple

import numpy as np
from scipy import fft
from tqdm import tqdm

from mindscience_diffuser.examples.stirred_flow.measures import energy_spectrum, spectrum_error
from mindscience_diffuser.examples.stirred_flow.vorticity import ACTIONS, VorticityFlow
from mindscience_diffuser.runs.evaluation.patterns import pattern_correlation
from mindscience_diffuser.validation import check_integer, check_number

SPIN_UP_FRAMES = 120
"""Frames after which a flow has forgotten how it began."""

MAX_INITIAL_WAVENUMBER = 5.0
"""Highest wave number of the random vorticity that a flow begins with."""


class Films(NamedTuple):
    """Frames (N, T, side, side), float32, and the action (N, T) taken at each, which acts until the next frame."""

    frames: np.ndarray
    actions: np.ndarray


class StirredFlow:
    """Two-dimensional turbulence whose stirring follows random actions, simulated when it is asked for.

    See :class:`~mindscience_diffuser.examples.stirred_flow.vorticity.VorticityFlow` for the equation. A frame is the
    vorticity divided by `scale`. An action holds for a geometrically distributed number of frames. The films of
    training and of testing have different seeds.

    Args:
        train_films (int): Number of training films. Default: ``128``.
        train_frames (int): Frames of each. Default: ``200``.
        seed (int): Seed of all films. Default: ``0``.
        frame_interval (float): Time between frames, a multiple of the solver's time step. Default: ``0.25``.
        change (float): Probability that the action changes from frame to frame, in [0, 1]. Default: ``0.15``.
        scale (float): Vorticity that becomes 1. Default: ``3.2``, which gives frames a standard deviation of 0.5.
        viscosity (float): Default: ``0.005``.
        drag (float): Default: ``0.05``.
        force (float): Default: ``1.0``.

    Raises:
        TypeError: If an argument is no number.
        ValueError: If an argument is out of its range.
    """

    side = 32
    actions = ACTIONS
    measures = {"correlation with the simulation": pattern_correlation, "error of the energy spectrum": spectrum_error}
    model_arguments = {"side": side, "actions": actions}
    variables, units = ("vorticity",), ("",)
    periodic = True

    def __init__(
        self,
        train_films=128,
        train_frames=200,
        seed=0,
        frame_interval=0.25,
        change=0.15,
        scale=3.2,
        viscosity=5e-3,
        drag=0.05,
        force=1.0,
    ):
        self.train_films = check_integer("train_films", train_films, low=1)
        self.train_frames = check_integer("train_frames", train_frames, low=2)
        self.seed = check_integer("seed", seed, low=0)
        self.change = check_number("change", change, "[0, 1]")
        self.scale = check_number("scale", scale, "(0, inf)")
        self.flow = VorticityFlow(
            self.side,
            viscosity=check_number("viscosity", viscosity, "(0, inf)"),
            drag=check_number("drag", drag, "[0, inf)"),
            force=check_number("force", force, "[0, inf)"),
        )
        steps = check_number("frame_interval", frame_interval, "(0, inf)") / self.flow.time_step
        self.steps = round(steps)
        if self.steps < 1 or abs(steps - self.steps) > 1e-6:
            raise ValueError(
                f"'frame_interval' must be a multiple of the time step {self.flow.time_step}, but is {frame_interval}."
            )

    @functools.cached_property
    def train(self):
        """The training films."""
        return self.films(self.train_films, self.train_frames, stream=0)

    def test(self, films, frames):
        """Returns films that no training has seen."""
        return self.films(films, frames, stream=1)

    def films(self, count, frames, stream):
        """Simulates films; number k depends on the seed, `stream` and k alone."""
        generators = [np.random.default_rng((self.seed, stream, k)) for k in range(count)]
        actions = np.stack([self._actions(g, SPIN_UP_FRAMES + frames) for g in generators], axis=1)
        spectrum = np.stack([self._beginning(g) for g in generators])
        kept = np.empty((frames, count, self.side, self.side), np.float32)
        for i in tqdm(range(SPIN_UP_FRAMES + frames), desc="simulating", unit="frame"):
            if i >= SPIN_UP_FRAMES:
                kept[i - SPIN_UP_FRAMES] = self.flow.to_grid(spectrum) / self.scale
            spectrum = self.flow.advance(spectrum, actions[i], self.steps)
        return Films(kept.swapaxes(0, 1), actions[SPIN_UP_FRAMES:].T.astype(np.int32))

    def _actions(self, generator, frames):
        changes = generator.random(frames) < self.change
        changes[0] = True
        drawn = generator.integers(0, self.actions, frames)
        return drawn[np.maximum.accumulate(np.where(changes, np.arange(frames), 0))]

    def _beginning(self, generator):
        """Returns the spectrum of a random vorticity of unit variance with large scales only."""
        spectrum = fft.rfft2(generator.standard_normal((self.side, self.side)))
        spectrum *= (self.flow.k_x**2 + self.flow.k_y**2 < MAX_INITIAL_WAVENUMBER**2) & (self.flow.inverse_laplace > 0)
        return spectrum / self.flow.to_grid(spectrum).std()

    def physical(self, frames):
        """Returns the vorticity of frames."""
        return self.scale * frames

    @staticmethod
    def spectrum(frames):
        """Returns the wave numbers that the solver resolves and the kinetic energy of vorticity at them."""
        energy = energy_spectrum(frames)
        return np.arange(1, energy.shape[-1] + 1), energy
