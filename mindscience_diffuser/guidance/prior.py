"""The covariance of the clean sample given the noisy one, where the prior is Gaussian."""

import numpy as np
from mindspore import Tensor, nn, ops
from mindspore import dtype as mstype

from mindscience_diffuser.cells import PublicCell

MOST_AXES = 3
"""Axes of a grid that a spectrum may have."""


def fourier_matrices(size):
    """Returns cos and sin of 2 pi k n / size over sqrt(size): the orthonormal Fourier transform is cos - i sin."""
    angle = 2 * np.pi * np.outer(np.arange(size), np.arange(size)) / size
    return np.cos(angle) / np.sqrt(size), np.sin(angle) / np.sqrt(size)


PRODUCT = ops.MatMul(transpose_b=True)
"""General products are not documented for every device. Not in a cell: primitives do not pickle."""


def along_axis(matrix, x, axis):
    """Returns the product of `matrix`, ``(m, n)``, with an axis of length n of x; other axes stay."""
    order = tuple(i for i in range(x.ndim) if i != axis) + (axis,)
    back = tuple(i if i < axis else x.ndim - 1 if i == axis else i - 1 for i in range(x.ndim))
    moved = ops.transpose(x, order)
    applied = PRODUCT(moved.reshape((-1, x.shape[axis])), matrix).reshape(moved.shape[:-1] + (matrix.shape[0],))
    return ops.transpose(applied, back)


class FourierTransform(nn.Cell):
    """The orthonormal discrete Fourier transform of real fields as matrix products, which every device has.

    Args:
        grid (tuple): Lengths of the last axes, which are transformed.
    """

    def __init__(self, grid):
        super().__init__()
        pairs = [fourier_matrices(size) for size in grid]
        self.cosines = tuple(Tensor(cos, mstype.float32) for cos, _ in pairs)
        self.sines = tuple(Tensor(sin, mstype.float32) for _, sin in pairs)

    def construct(self, x):
        """Returns real and imaginary part of the transform of real x, ``(B, C, *grid)``."""
        first = x.ndim - len(self.cosines)
        real, imaginary = (
            along_axis(self.cosines[0], x, first),
            -along_axis(self.sines[0], x, first),
        )
        for i in range(1, len(self.cosines)):
            cos, sin = self.cosines[i], self.sines[i]
            real, imaginary = (
                along_axis(cos, real, first + i) + along_axis(sin, imaginary, first + i),
                along_axis(cos, imaginary, first + i) - along_axis(sin, real, first + i),
            )
        return real, imaginary

    def inverse(self, real, imaginary):
        """Returns the real part of the inverse transform, which is also the adjoint of :meth:`construct`."""
        first = real.ndim - len(self.cosines)
        for i in range(len(self.cosines)):
            cos, sin = self.cosines[i], self.sines[i]
            real, imaginary = (
                along_axis(cos, real, first + i) - along_axis(sin, imaginary, first + i),
                along_axis(cos, imaginary, first + i) + along_axis(sin, real, first + i),
            )
        return real


class PriorCovariance(PublicCell):
    """Products with S = (Sx^-1 + (alpha / sigma)^2 I)^-1, the covariance of x0 given x = alpha * x0 + sigma * noise.

    Exact for a Gaussian prior with covariance Sx.

    Args:
        prior_std (float or array_like): Standard deviation of the clean samples, above 0: a number; one for each
            channel, ``(C,)``; or a spectrum, ``(C or 1, *grid)``: the standard deviation of each coefficient of the
            orthonormal discrete Fourier transform over the grid, in the order of `numpy.fft.fftfreq`, the same at k
            and -k. White noise of standard deviation s has the spectrum s.

    Inputs:
        - **v** (Tensor) - float32, ``(B, C, *grid)``.
        - **alpha** (Tensor) - 0-D.
        - **sigma** (Tensor) - 0-D.

    Outputs:
        Tensor, S v.

    Raises:
        TypeError: If `prior_std` is not numeric.
        ValueError: If a value is not finite and above 0 (a spectrum may hold 0), the spectrum has more than three axes
            or differs between k and -k.
    """

    def __init__(self, prior_std):
        super().__init__()
        std = _checked_std(prior_std)
        self.spectral = std.ndim > 1
        self.prior_shape = std.shape
        if self.spectral:
            self.transform = FourierTransform(std.shape[1:])
        elif std.ndim == 1:
            self.transform = None
        self.variance = Tensor(std**2, mstype.float32)

    def construct(self, v, alpha, sigma):
        """Returns S v."""
        variance = self.variance
        if not self.spectral and variance.ndim == 1:
            variance = variance.reshape((1, -1) + (1,) * (v.ndim - 2))
        share = variance * (sigma * sigma) / (sigma * sigma + alpha * alpha * variance)
        if not self.spectral:
            return share * v
        real, imaginary = self.transform(v)
        return self.transform.inverse(share * real, share * imaginary)

    def check_sample(self, shape):
        """Raises ValueError if samples of this shape do not fit the prior."""
        expected = self.prior_shape
        if len(expected) == 1 and shape[1] != expected[0]:
            raise ValueError(f"'prior_std' has {expected[0]} channels, but the samples, {shape}, have {shape[1]}.")
        if len(expected) > 1 and (tuple(shape[2:]) != expected[1:] or expected[0] not in (1, shape[1])):
            raise ValueError(
                f"'prior_std' is a spectrum of shape {expected}, but samples of shape {shape} need (1 or {shape[1]}, "
                f"{', '.join(map(str, shape[2:]))})."
            )


def _checked_std(prior_std):
    try:
        std = np.asarray(prior_std.asnumpy() if isinstance(prior_std, Tensor) else prior_std, np.float64)
    except (TypeError, ValueError):
        raise TypeError(f"'prior_std' must be a number or an array of numbers, but is {prior_std!r}.") from None
    if not np.all(np.isfinite(std)) or np.any(std < 0) or (std.ndim < 2 and np.any(std == 0)):
        raise ValueError(f"'prior_std' must be finite and above 0, but is {prior_std!r}.")
    if std.ndim - 1 > MOST_AXES:
        raise ValueError(
            f"'prior_std' is a spectrum over {std.ndim - 1} axes, shape {std.shape}; a grid has up to {MOST_AXES}."
        )
    if std.ndim > 1:
        mirrored = std
        for axis in range(1, std.ndim):
            mirrored = np.roll(np.flip(mirrored, axis), 1, axis)
        if not np.allclose(mirrored, std, rtol=1e-4, atol=0):
            raise ValueError("'prior_std' is a spectrum that differs between k and -k, which no real field has.")
    return std
