"""Two-dimensional incompressible flow, stirred by actions: a pseudo-spectral solver of the vorticity equation."""

import numpy as np
from scipy import fft

STIRRING = ((4, 0), (0, 4), (3, 3), (3, -3))
"""Wave vector (k_x, k_y) of the force of each action; the last action, one more, is rest."""

ACTIONS = len(STIRRING) + 1


class VorticityFlow:
    """The vorticity w of a periodic square of side 2 pi, with a force that the action a chooses.

    ``dw/dt + u . grad(w) = viscosity * laplace(w) - drag * w + force * cos(k_a . (x, y))``,
    ``u = (d psi/dy, -d psi/dx)``, ``laplace(psi) = -w``.

    Derivatives are exact in Fourier space, the product is computed on the grid and freed of aliasing by leaving out
    the upper third of the wave numbers (Orszag, 1971); in time, the linear terms are solved exactly and the rest by
    the classical Runge-Kutta method of fourth order (integrating factor; Canuto et al., 2006, section D.3).

    Args:
        side (int): Grid points along each axis.
        viscosity (float): Kinematic viscosity.
        drag (float): Linear drag, which holds back the largest scales.
        force (float): Amplitude of the stirring.
        time_step (float): Time step of the solver.
    """

    def __init__(self, side=32, viscosity=5e-3, drag=0.05, force=1.0, time_step=0.05):
        self.side = side
        self.time_step = time_step
        self.k_y = fft.fftfreq(side, 1 / side)[:, None]
        self.k_x = fft.rfftfreq(side, 1 / side)[None, :]
        squared = self.k_x**2 + self.k_y**2
        self.inverse_laplace = np.divide(1, squared, out=np.zeros_like(squared), where=squared > 0)
        self.kept = (np.abs(self.k_x) < side / 3) & (np.abs(self.k_y) < side / 3)
        self.half_step = np.exp(-(viscosity * squared + drag) * time_step / 2)
        place = 2 * np.pi / side * np.arange(side)
        x, y = place[None, :], place[:, None]
        waves = [force * np.cos(k_x * x + k_y * y) for k_x, k_y in STIRRING]
        self.forces = fft.rfft2(np.stack([*waves, np.zeros((side, side))]))

    def tendency(self, spectrum, force):
        """Returns the part of dw/dt that is not linear in w, in Fourier space."""
        stream = spectrum * self.inverse_laplace
        slopes = (1j * self.k_y * stream, -1j * self.k_x * stream, 1j * self.k_x * spectrum, 1j * self.k_y * spectrum)
        u, v, w_x, w_y = self.to_grid(np.stack(slopes))
        return (force - fft.rfft2(u * w_x + v * w_y)) * self.kept

    def step(self, spectrum, force):
        """Returns the spectrum one time step later."""
        dt, half = self.time_step, self.half_step
        first = self.tendency(spectrum, force)
        second = self.tendency(half * (spectrum + dt / 2 * first), force)
        third = self.tendency(half * spectrum + dt / 2 * second, force)
        fourth = self.tendency(half * (half * spectrum + dt * third), force)
        return half * (half * (spectrum + dt / 6 * first) + dt / 3 * (second + third)) + dt / 6 * fourth

    def advance(self, spectrum, actions, steps):
        """Returns the spectrum `steps` time steps later, each flow stirred by its action."""
        force = self.forces[actions]
        for _ in range(steps):
            spectrum = self.step(spectrum, force)
        return spectrum

    def to_grid(self, spectrum):
        """Returns the field ``(..., side, side)``, y first, of a spectrum."""
        return fft.irfft2(spectrum, s=(self.side, self.side))
