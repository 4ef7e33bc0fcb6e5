"""Laws of noise: what takes the place of white noise at the start of trajectories, in their steps and in training."""

import functools
import math

import numpy as np
from scipy import fft, special

from mindscience_diffuser.noise.source import draw_noise
from mindscience_diffuser.settings import Settings
from mindscience_diffuser.validation import as_numbers, check_bool, check_number, check_shape


class NoiseLaw(Settings):
    """A law of noise, made from white noise, so that sample k of seed s depends on s and k alone.

    A law of one's own overrides :meth:`from_white`, and :meth:`white_shape` where it needs other numbers than one for
    each value.
    """

    variance = 1.0
    """Variance of each value: a level sigma adds noise of variance ``sigma^2 * variance``."""

    def draw(self, shape, generator=None):
        """Draws noise.

        Args:
            shape (Sequence[int]): Shape of the noise, ``(B, ...)``.
            generator (optional): What :func:`~mindscience_diffuser.noise.draw_noise` takes: a seed, a
                :class:`~mindscience_diffuser.NoiseSource` and others.

        Returns:
            numpy.ndarray, float32.

        Raises:
            TypeError: If `shape` is no sequence of integers.
            ValueError: If the law has no noise of this shape.
        """
        shape = check_shape("shape", shape)
        white = draw_noise(self.white_shape(shape), generator)
        return np.asarray(self.from_white(white, shape), np.float32)

    def white_shape(self, shape):
        """Returns the shape ``(B, ...)`` of the white noise that noise of a shape is made of; raises ValueError."""
        return shape

    def from_white(self, white, shape):
        """Returns noise of a shape from white noise; sample k depends on ``white[k]`` alone."""
        raise NotImplementedError(f"{type(self).__name__} must say in 'from_white' what its noise is.")

    def source(self, generator=None):
        """Returns what any `generator` argument of this package takes, so that it draws by this law.

        Args:
            generator (optional): Where the white noise comes from, see :meth:`draw`. A seed would begin anew with each
                draw; give a :class:`~mindscience_diffuser.NoiseSource` for several.
        """
        return source_by(self, generator)


class LawSource:
    """A source of noise by a law, for all arguments called `generator`."""

    def __init__(self, law, generator):
        self.law = law
        self.generator = generator

    def standard_normal(self, shape):
        """Draws the next noise of a shape."""
        return self.law.draw(shape, self.generator)


def source_by(law, generator):
    """Returns what draws noise by a law wherever a `generator` is taken; any object with `draw` is a law."""
    return generator if isinstance(law, WhiteNoise) else LawSource(law, generator)


class WhiteNoise(NoiseLaw):
    """Independent standard normal values: the law of Ho et al., 2020 (arXiv:2006.11239)."""

    def from_white(self, white, shape):
        """Returns the white noise itself."""
        return white


class GaussianFieldNoise(NoiseLaw):
    """A Gaussian field with a spectrum, of variance 1 at each point, for samples ``(B, C, *grid)`` of 1 to 3 axes.

    The power of the wave k is proportional to ``(|k|^2 + tau^2)^-alpha`` (a Matern field; Lim et al., 2023,
    arXiv:2302.07400), or as `spectrum` gives it. Points are equally far from each other along all axes, and k counts
    waves over the longest axis. Channels are independent.

    Args:
        alpha (float): Exponent, at least 0; 0 is white noise. Default: ``2.0``.
        tau (float): Wave number below which the power no longer grows, at least 0; with 0 the mean of a field is 0.
            Default: ``1.0``.
        spectrum (Sequence[float], optional): Power of the waves |k| = 0, 1, 2, ... up to the highest of the grid,
            rounded up, at least 0; between them it is interpolated. Only its form matters. Takes the place of `alpha`
            and `tau`. Default: ``None``.
        periodic (bool): Whether the field goes on at the other side. If not, it is cut out of a periodic one twice as
            long along each axis, in which the power of waves is the same function of k. Default: ``True``.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a number is out of range, `spectrum` has none above 0; in `draw` if it has another length than
            the grid needs, or the shape another number of axes.
    """

    def __init__(self, alpha=2.0, tau=1.0, spectrum=None, periodic=True):
        self.alpha = check_number("alpha", alpha, "[0, inf)")
        self.tau = check_number("tau", tau, "[0, inf)")
        self.spectrum = None if spectrum is None else tuple(check_spectrum(spectrum).tolist())
        self.periodic = check_bool("periodic", periodic)

    def white_shape(self, shape):
        """Returns the shape, with axes of the grid twice as long where the field is not periodic."""
        if not 3 <= len(shape) <= 5:
            raise ValueError(
                f"'shape' must be (B, C, *grid) with a grid of 1 to 3 axes for GaussianFieldNoise, but is {shape}."
            )
        return shape if self.periodic else (*shape[:2], *(2 * size for size in shape[2:]))

    def from_white(self, white, shape):
        """Gives each wave of the white noise its power."""
        grid = white.shape[2:]
        axes = tuple(range(2, white.ndim))
        # In waves over the longest axis of the sample, which may be half of the grid.
        longest = max(grid) // (1 if self.periodic else 2)
        waves = fft.rfftn(white, axes=axes) * wave_amplitudes(grid, longest, self.alpha, self.tau, self.spectrum)
        field = fft.irfftn(waves, s=grid, axes=axes)
        return field[(..., *(slice(size) for size in shape[2:]))]


class SphericalNoise(NoiseLaw):
    """Isotropic Gaussian noise on the sphere, of variance 1 at each point, for ``(B, ..., latitudes, longitudes)``.

    The coefficient of each spherical harmonic of degree l is normal with the variance ``4 pi C_l / (2 l + 1)``, so that
    two points at the angle g have the covariance ``sum_l C_l P_l(cos g)`` (GenCast: Price et al., 2023,
    arXiv:2312.15796, supplement). The degrees are those below L, the number of longitudes halved or that of
    latitudes if it is less. Needs ``pip install mindscience_diffuser[sphere]``.

    Args:
        latitudes (Sequence[float]): Degrees from -90 to 90, ascending or descending.
        longitudes (Sequence[float]): Degrees, ascending, equally far from each other all around.
        spectrum (Sequence[float], optional): C_l of the degrees 0 to L - 1, at least 0; only its form matters.
            Default: ``None``, the same for all: the noise is white up to the degree L.

    Raises:
        ModuleNotFoundError: If ducc0 is not installed.
        TypeError: If an argument holds no numbers.
        ValueError: If the grid is no latitude-longitude grid around the sphere, or `spectrum` has another length; in
            `draw` if the shape does not end with the grid.
    """

    def __init__(self, latitudes, longitudes, spectrum=None):
        latitudes, longitudes = numbers_of("latitudes", latitudes), numbers_of("longitudes", longitudes)
        steps = np.diff(latitudes)
        if len(latitudes) < 2 or not (np.all(steps > 0) or np.all(steps < 0)) or np.abs(latitudes).max() > 90 + 1e-6:
            raise ValueError(
                "'latitudes' must be at least two degrees from -90 to 90, ascending or descending, but are "
                f"{summary(latitudes)}."
            )
        count = len(longitudes)
        if count < 2 or not np.allclose(np.diff(longitudes), 360 / count, rtol=0, atol=1e-3):
            raise ValueError(
                "'longitudes' must ascend in equal steps all around the sphere, each of 360 degrees divided by their "
                f"number, but are {summary(longitudes)}."
            )
        try:
            from ducc0 import sht
        except ImportError:
            raise ModuleNotFoundError("SphericalNoise needs the package ducc0: pip install ducc0") from None
        self.grid = (len(latitudes), count)
        self.degrees = min(len(latitudes), count // 2)
        self.spectrum = np.ones(self.degrees) if spectrum is None else check_spectrum(spectrum)
        if len(self.spectrum) != self.degrees:
            raise ValueError(
                f"'spectrum' must have {self.degrees} numbers for this grid, those of the degrees 0 to "
                f"{self.degrees - 1}, but has {len(self.spectrum)}."
            )
        self._synthesis = functools.partial(
            sht.synthesis,
            theta=np.deg2rad(90 - np.clip(latitudes, -90, 90)),
            phi0=np.full(self.grid[0], np.deg2rad(longitudes[0])),
            nphi=np.full(self.grid[0], count, np.uint64),
            ringstart=np.arange(self.grid[0], dtype=np.uint64) * count,
            lmax=self.degrees - 1,
            spin=0,
        )
        # Coefficients with m >= 0, those of a lower m first: l and m of each.
        m = np.repeat(np.arange(self.degrees), np.arange(self.degrees, 0, -1))
        degree = np.concatenate([np.arange(first, self.degrees) for first in range(self.degrees)])
        share = self.spectrum / self.spectrum.max()
        share /= share.sum()
        self._std = np.sqrt(4 * np.pi * share[degree] / (2 * degree + 1)) * np.where(m > 0, np.sqrt(0.5), 1)
        self._zonal = m == 0

    def white_shape(self, shape):
        """Returns the shape ``(B, ..., L^2)``: one number for each spherical harmonic."""
        if len(shape) < 3 or shape[-2:] != self.grid:
            raise ValueError(f"'shape' must end with the grid {self.grid} of SphericalNoise, but is {shape}.")
        return (*shape[:-2], self.degrees**2)

    def from_white(self, white, shape):
        """Adds the spherical harmonics up, with their coefficients."""
        white = white.reshape(-1, self.degrees**2).astype(np.float64)
        count = len(self._std)
        coefficients = white[:, :count].astype(np.complex128)
        coefficients[:, ~self._zonal] += 1j * white[:, count:]
        coefficients *= self._std
        fields = np.stack([self._synthesis(alm=each[None])[0] for each in coefficients])
        return fields.reshape(shape)


class CentredNoise(NoiseLaw):
    """Standard normal noise without its mean over the particles of each sample ``(B, N, ...)``.

    Molecules are the same wherever they are, and their diffusion stays where the centre of mass is 0 (Hoogeboom et
    al., 2022, arXiv:2203.17003, section 3): the covariance over particles is ``I - 1 1^T / N``.

    Args:
        mask (array_like, optional): ``(N,)``, or ``(B, N)`` for batches of samples of different size: True or 1 for
            particles, False or 0 for places without one, where the noise is 0. Default: ``None``, all are particles.

    Raises:
        TypeError: If the mask holds no numbers.
        ValueError: If it holds others than 0 and 1, has another rank, or a sample has no particle; in `draw` if it
            does not fit the shape.
    """

    def __init__(self, mask=None):
        self.mask = None if mask is None else check_particle_mask(mask)

    def white_shape(self, shape):
        """Returns the shape; raises ValueError if the mask does not fit it."""
        if len(shape) < 3:
            raise ValueError(f"'shape' must be (B, N, ...) for CentredNoise, but is {shape}.")
        if self.mask is not None:
            check_mask_fits(self.mask, "the noise", shape)
        return shape

    def from_white(self, white, shape):
        """Takes the mean over the particles away."""
        white = white.astype(np.float64)
        if self.mask is None:
            return white - white.mean(1, keepdims=True)
        mask = self.mask.reshape(*self.mask.shape, *(1,) * (white.ndim - 2))
        return mask * (white - (mask * white).sum(1, keepdims=True) / mask.sum(1, keepdims=True))


class StudentTNoise(NoiseLaw):
    """Noise with heavy tails: a multivariate Student t, ``z / sqrt(chi2 / nu)`` with one chi2 for each sample.

    Its variance is nu / (nu - 2), so that a level sigma means more noise than in a Gaussian process: preconditioning
    and loss weights must be told (Pandey et al., 2024, arXiv:2410.14171, table 1), which
    ``EDMPreconditioning(noise_variance=law.variance)`` does.

    Args:
        nu (float): Degrees of freedom, above 2; the fewer, the heavier the tails.

    Raises:
        TypeError: If `nu` is no number.
        ValueError: If it is not above 2: the noise would have no variance.
    """

    def __init__(self, nu):
        self.nu = check_number("nu", nu, "(2, inf)")

    @property
    def variance(self):
        """Variance of each value, nu / (nu - 2)."""
        return self.nu / (self.nu - 2)

    def white_shape(self, shape):
        """Returns ``(B, values + 1)``: the last number of each sample becomes its chi2."""
        return shape[0], math.prod(shape[1:]) + 1

    def from_white(self, white, shape):
        """Divides by a root of chi2 / nu, the quantile to which the last number belongs."""
        last = white[:, -1:].astype(np.float64)
        # By the smaller tail: the quantile near 1 has no digits left.
        upper = 2 * special.gammainccinv(self.nu / 2, special.ndtr(-last))
        lower = 2 * special.gammaincinv(self.nu / 2, special.ndtr(last))
        chi2 = np.where(last > 0, upper, lower)
        return (white[:, :-1] / np.sqrt(chi2 / self.nu)).reshape(shape)


@functools.lru_cache(maxsize=32)
def wave_amplitudes(grid, longest, alpha, tau, spectrum):
    """Returns the root of the power of each wave that `rfftn` gives, whose mean over all waves is 1.

    Args:
        grid (tuple of int): Points along each axis.
        longest (int): Points over which a wave of number 1 goes once.
        alpha (float): See :class:`GaussianFieldNoise`.
        tau (float): The same.
        spectrum (tuple of float, optional): The same.

    Returns:
        numpy.ndarray, float32.

    Raises:
        ValueError: If the spectrum has another length than the grid needs, or no power at any of its waves.
    """
    numbers = [fft.fftfreq(size) * longest for size in grid]
    k = np.sqrt(sum(axis**2 for axis in np.meshgrid(*numbers, indexing="ij")))
    if spectrum is None:
        length = np.hypot(k, tau)
        # Relative to that of the longest wave, so that no exponent takes it out of range. A wave without length has no
        # finite power where tau is 0; it is left out.
        longest_wave = length[length > 0].min(initial=np.inf)
        power = np.divide(longest_wave, length, out=np.zeros_like(length), where=length > 0) ** (2 * alpha)
    else:
        needed = math.ceil(round(k.max(), 6)) + 1
        if len(spectrum) != needed:
            raise ValueError(
                f"'spectrum' must have {needed} numbers for this grid, the power of the waves 0 to {needed - 1}, but "
                f"has {len(spectrum)}."
            )
        power = np.interp(k, np.arange(needed), spectrum)
    if not power.any():
        raise ValueError(
            f"No wave of the grid {grid} has any power: give a 'spectrum' that has some there, or a 'tau' above 0."
        )
    power = power / power.max()
    return np.sqrt(power / power.mean())[..., : grid[-1] // 2 + 1].astype(np.float32)


def check_particle_mask(mask):
    """Returns a mask of particles, ``(N,)`` or ``(B, N)``, as float64 ``(1, N)`` or ``(B, N)``.

    Raises:
        TypeError: If it holds no numbers.
        ValueError: If it holds others than 0 and 1, has another rank, or leaves a sample without any.
    """
    given = np.asarray(mask)
    if given.dtype.kind not in "biuf":
        raise TypeError(f"'mask' must hold True and False or 0 and 1, but has dtype {given.dtype}.")
    if given.ndim not in (1, 2) or not np.isin(given, (0, 1)).all():
        raise ValueError(f"'mask' must be (N,) or (B, N) of 0 and 1, but has shape {given.shape}: {given.tolist()}.")
    empty = np.flatnonzero(np.atleast_2d(given).sum(1) == 0)
    if empty.size:
        raise ValueError(f"'mask' leaves sample {empty[0]} without any particle: each needs at least one.")
    return np.atleast_2d(given).astype(np.float64)


def check_mask_fits(mask, what, shape):
    """Raises ValueError unless a mask of :func:`check_particle_mask` is one for values of a shape ``(B, N, ...)``."""
    if mask.shape[1] != shape[1] or mask.shape[0] not in (1, shape[0]):
        raise ValueError(
            f"'mask' is for {mask.shape[0]} samples of {mask.shape[1]} particles, but {what} has the shape {shape}."
        )


def check_spectrum(spectrum):
    """Returns a spectrum as float64 ``(n,)``; raises TypeError or ValueError."""
    values = numbers_of("spectrum", spectrum)
    if len(values) == 0 or np.any(values < 0) or not values.any():
        raise ValueError(f"'spectrum' must hold numbers of at least 0, some of them above, but is {summary(values)}.")
    return values


def numbers_of(name, values):
    """Returns finite numbers as float64 ``(n,)``; raises TypeError or ValueError."""
    given = as_numbers(name, values)
    if given.ndim != 1 or not np.isfinite(given).all():
        raise ValueError(f"'{name}' must be a sequence of finite numbers, but has shape {given.shape}: {values!r}.")
    return given


def summary(values):
    """Returns a few numbers as text."""
    if len(values) <= 6:
        return str(values.tolist())
    return f"{len(values)} numbers from {values[0]:g}, {values[1]:g} to {values[-1]:g}"
