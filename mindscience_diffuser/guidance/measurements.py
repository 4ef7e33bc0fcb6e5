"""Linear measurements y = A x of clean samples, each with its adjoint.

A measurement is an `nn.Cell` x -> y. Where it is linear it has a method ``adjoint(y)``, the product with the transpose
of A, so that posterior guidance needs no gradient. Where y has places that are never measured it has a method
``restrict(y)``, which sets them to 0, so that what stands there in the data is not taken for a measurement.
"""

import numpy as np
from mindspore import Parameter, Tensor, mint, nn, ops
from mindspore import dtype as mstype

from mindscience_diffuser.cells import PublicCell
from mindscience_diffuser.guidance.prior import FourierTransform, along_axis
from mindscience_diffuser.validation import check_bool, check_integer, check_number


class Mask(PublicCell):
    """The values of a sample at chosen places: y = mask * x, 0 elsewhere.

    Missing values of single calls need no mask of their own: they are NaN in y.

    Args:
        mask (Tensor or array_like): 1 where there is a measurement, 0 elsewhere; broadcasts to a sample ``(B, ...)``.

    Inputs:
        - **x** (Tensor) - ``(B, ...)``.

    Outputs:
        Tensor of the same shape.

    Raises:
        ValueError: If `mask` holds other values than 0 and 1.
    """

    def __init__(self, mask):
        super().__init__()
        values = _checked_mask(mask, "where there is a measurement")
        self.mask = Parameter(Tensor(values, mstype.float32), name="measurement_mask", requires_grad=False)

    def checked_parameter(self, name, value):
        """Returns the value that the mask is set to."""
        return _checked_mask(value, "where there is a measurement", self.mask.shape)

    def construct(self, x):
        """Returns the values at the places of the mask."""
        return x * self.mask

    def adjoint(self, y):
        """Returns y with 0 outside the mask."""
        return y * self.mask

    def restrict(self, y):
        """Returns y with 0 where there is no measurement."""
        return y * self.mask


class Coarsen(PublicCell):
    """Means over blocks of a grid, such as a coarse forecast: the average of `factor` points along each axis.

    Args:
        factor (int or Sequence[int]): Length of a block along each axis of the grid, the axes after the channels; a
            number holds for all of them.

    Inputs:
        - **x** (Tensor) - ``(B, C, *grid)``; the factor divides each length.

    Outputs:
        Tensor, ``(B, C, *coarse_grid)``.

    Raises:
        TypeError: If a factor is no integer.
        ValueError: If it is below 1, or in a call does not divide the grid.
    """

    def __init__(self, factor):
        super().__init__()
        single = np.ndim(factor) == 0
        self.factor = tuple(check_integer("factor", f, low=1) for f in ((factor,) if single else factor))
        self.single = single

    def factors(self, axes):
        """Returns the length of a block along each of `axes` axes."""
        if self.single:
            return self.factor * axes
        if len(self.factor) != axes:
            raise ValueError(f"'factor' is {self.factor}, but the grid has {axes} axes: give one for each.")
        return self.factor

    def construct(self, x):
        """Returns the means of the blocks."""
        factors = self.factors(x.ndim - 2)
        shape, means = x.shape[:2], ()
        for i in range(len(factors)):
            if x.shape[i + 2] % factors[i] != 0:
                raise ValueError(f"'factor' is {factors}, which does not divide the grid {x.shape[2:]}.")
            shape += (x.shape[i + 2] // factors[i], factors[i])
            means += (2 * i + 3,)
        return ops.ReduceMean()(x.reshape(shape), means)

    def adjoint(self, y):
        """Returns each value of y, divided by the points of its block, at all of them."""
        factors = self.factors(y.ndim - 2)
        apart, whole, fine, points = y.shape[:2], y.shape[:2], y.shape[:2], 1
        for i in range(len(factors)):
            apart += (y.shape[i + 2], 1)
            whole += (y.shape[i + 2], factors[i])
            fine += (y.shape[i + 2] * factors[i],)
            points = points * factors[i]
        return ops.broadcast_to(y.reshape(apart) * (1 / points), whole).reshape(fine)


class Blur(PublicCell):
    """A Gaussian blur along each axis of a grid.

    Args:
        std (float): Standard deviation of the kernel in grid points, above 0.
        grid (Sequence[int]): Lengths of the axes after the channels.
        periodic (bool): Whether the grid is periodic; else the kernel is cut at the border and its weights are scaled
            to sum to 1. Default: ``True``.

    Inputs:
        - **x** (Tensor) - ``(B, C, *grid)``.

    Outputs:
        Tensor of the same shape.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If `std` or a length is out of range.
    """

    def __init__(self, std, grid, periodic=True):
        super().__init__()
        std = check_number("std", std, "(0, inf)")
        periodic = check_bool("periodic", periodic)
        self.grid = tuple(check_integer("grid", size, low=1) for size in grid)
        matrices = [_blur_matrix(std, size, periodic) for size in self.grid]
        self.matrices = tuple(Tensor(matrix, mstype.float32) for matrix in matrices)
        self.transposed = tuple(Tensor(matrix.T.copy(), mstype.float32) for matrix in matrices)

    def construct(self, x):
        """Returns the blurred sample."""
        if x.shape[2:] != self.grid:
            raise ValueError(f"The samples have the grid {x.shape[2:]}, but 'grid' is {self.grid}.")
        for i in range(len(self.matrices)):
            x = along_axis(self.matrices[i], x, i + 2)
        return x

    def adjoint(self, y):
        """Returns the product with the transposed kernel."""
        for i in range(len(self.transposed)):
            y = along_axis(self.transposed[i], y, i + 2)
        return y


def restricted_to(measure, y):
    """Returns y with 0 at the places that a measurement never measures."""
    return measure.restrict(y) if hasattr(measure, "restrict") else y


def _checked_mask(mask, place, shape=None):
    """Returns the values of a mask, which has ones at a `place`, and where a shape is given this one."""
    values = np.asarray(mask.asnumpy() if isinstance(mask, Tensor) else mask)
    if not np.all((values == 0) | (values == 1)):
        raise ValueError(f"'mask' must hold 0 and 1 only: 1 {place}.")
    if shape is not None and values.shape != tuple(shape):
        raise ValueError(f"'mask' must keep its shape {tuple(shape)}, but has {values.shape}: for another, build anew.")
    return values


def _blur_matrix(std, size, periodic):
    distance = np.arange(size)[:, None] - np.arange(size)
    if periodic:
        turns = np.arange(-int(np.ceil(8 * std / size)) - 1, int(np.ceil(8 * std / size)) + 2)
        kernel = np.exp(-0.5 * ((distance[..., None] + size * turns) / std) ** 2).sum(axis=-1)
    else:
        kernel = np.exp(-0.5 * (distance / std) ** 2)
    return kernel / kernel.sum(axis=1, keepdims=True)


class Fourier(PublicCell):
    """Coefficients of the orthonormal discrete Fourier transform over a grid, as in magnetic resonance imaging.

    Args:
        mask (array_like): 1 at measured frequencies, 0 elsewhere; the shape of the grid, in the order of
            `numpy.fft.fftfreq`.

    Inputs:
        - **x** (Tensor) - ``(B, C, *grid)``.

    Outputs:
        Tensor, ``(B, 2 * C, *grid)``: real parts, then imaginary parts, 0 where the mask is.

    Raises:
        ValueError: If `mask` holds other values than 0 and 1, or has more than three axes.
    """

    def __init__(self, mask):
        super().__init__()
        values = _checked_mask(mask, "at a measured frequency")
        if not 1 <= values.ndim <= 3:
            raise ValueError(f"'mask' must have one to three axes, those of the grid, but has shape {values.shape}.")
        self.mask = Parameter(Tensor(values, mstype.float32), name="frequency_mask", requires_grad=False)
        self.grid = values.shape
        self.transform = FourierTransform(values.shape)

    def checked_parameter(self, name, value):
        """Returns the value that the mask is set to."""
        return _checked_mask(value, "at a measured frequency", self.grid)

    def construct(self, x):
        """Returns the measured coefficients."""
        if x.shape[2:] != self.grid:
            raise ValueError(f"The samples have the grid {x.shape[2:]}, but the mask has {self.grid}.")
        real, imaginary = self.transform(x)
        return mint.cat((real * self.mask, imaginary * self.mask), 1)

    def adjoint(self, y):
        """Returns the real part of the inverse transform of the measured coefficients."""
        real, imaginary = ops.split(y, y.shape[1] // 2, 1)
        return self.transform.inverse(real * self.mask, imaginary * self.mask)

    def restrict(self, y):
        """Returns y with 0 at the frequencies that are not measured."""
        return y * self.mask


class Stack(PublicCell):
    """Several measurements of the same sample, each flattened, one after the other.

    Args:
        measures (Sequence[nn.Cell]): The measurements, each with an adjoint.
        sample_shape (Sequence[int]): Shape of one sample, without the batch.

    Inputs:
        - **x** (Tensor) - ``(B, *sample_shape)``.

    Outputs:
        Tensor, ``(B, M)``; :meth:`join` makes one of the single measurements, and of their standard deviations.

    Raises:
        TypeError: If a measurement is no Cell.
        ValueError: If there is none, or one has no adjoint.
    """

    def __init__(self, measures, sample_shape):
        super().__init__()
        measures = tuple(measures)
        if not measures:
            raise ValueError("'measures' is empty: give one measurement or more.")
        for measure in measures:
            if not isinstance(measure, nn.Cell):
                raise TypeError(f"'measures' must hold Cells, but has {type(measure).__name__}.")
            if not hasattr(measure, "adjoint"):
                raise ValueError(
                    f"'measures' must have an adjoint, but {type(measure).__name__} has none: give it a method "
                    "adjoint(y)."
                )
        self.measures = nn.CellList(list(measures))
        sample = ops.zeros((1, *sample_shape), mstype.float32)
        self.shapes = tuple(tuple(measure(sample).shape[1:]) for measure in measures)
        self.lengths = tuple(int(np.prod(shape)) for shape in self.shapes)

    def construct(self, x):
        """Returns all measurements."""
        parts = ()
        for i in range(len(self.lengths)):
            parts += (self.measures[i](x).reshape((-1, self.lengths[i])),)
        return mint.cat(parts, 1)

    def adjoint(self, y):
        """Returns the sum of the adjoints of all parts of y."""
        parts = self.split(y)
        total = self.measures[0].adjoint(parts[0])
        for i in range(1, len(parts)):
            total = total + self.measures[i].adjoint(parts[i])
        return total

    def restrict(self, y):
        """Returns y with 0 where the single measurements have none."""
        parts, restricted = self.split(y), ()
        for i in range(len(parts)):
            restricted += (restricted_to(self.measures[i], parts[i]).reshape((-1, self.lengths[i])),)
        return mint.cat(restricted, 1)

    def split(self, y):
        """Returns the single measurements, ``(B, ...)`` each, that a Tensor ``(B, M)`` is made of."""
        parts, flat = (), ops.split(y, self.lengths, 1)
        for i in range(len(self.lengths)):
            parts += (flat[i].reshape((-1,) + self.shapes[i]),)
        return parts

    def join(self, *values):
        """Returns single measurements, ``(B, ...)`` each, or what broadcasts to one of them, as one Tensor ``(B, M)``.

        Raises:
            ValueError: If there are not as many as measurements, or one does not broadcast.
        """
        if len(values) != len(self.shapes):
            raise ValueError(f"There are {len(self.shapes)} measurements, but {len(values)} values.")
        values = [np.asarray(v.asnumpy() if isinstance(v, Tensor) else v, np.float32) for v in values]
        batch = max(1 if v.ndim <= len(shape) else v.shape[0] for v, shape in zip(values, self.shapes))
        flat = [np.broadcast_to(v, (batch, *shape)).reshape(batch, -1) for v, shape in zip(values, self.shapes)]
        return Tensor(np.concatenate(flat, axis=1))
