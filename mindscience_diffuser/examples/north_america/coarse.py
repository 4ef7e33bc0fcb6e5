"""Coarse fields, and what interpolation and regression make of them."""

import numpy as np
from scipy.interpolate import RegularGridInterpolator


def block_means(fields, factor):
    """Returns the means over blocks of points; those at the end may be smaller.

    Args:
        fields (numpy.ndarray): Shape ``(..., rows, columns)``.
        factor (int): Points along the side of a block.
    """
    for axis in (-2, -1):
        starts = np.arange(0, fields.shape[axis], factor)
        counts = np.diff(np.append(starts, fields.shape[axis]))
        sums = np.add.reduceat(fields, starts, axis)
        fields = sums / (counts[:, None] if axis == -2 else counts)
    return fields


def interpolated(coarse, rows, columns, method):
    """Interpolates coarse fields at the points of the fine grid.

    Beyond the outermost centres of blocks the bilinear method goes on as it is, and the cubic one takes the values at
    the centres: both are the better way for the method.

    Args:
        coarse (numpy.ndarray): Shape ``(N, rows, columns)``.
        rows (tuple of numpy.ndarray): Places of the coarse and of the fine rows.
        columns (tuple of numpy.ndarray): The same of the columns.
        method (str): ``"linear"`` or ``"cubic"``.
    """
    (y, fine_y), (x, fine_x) = rows, columns
    if method == "cubic":
        fine_y, fine_x = np.clip(fine_y, y[0], y[-1]), np.clip(fine_x, x[0], x[-1])
    points = np.stack(np.meshgrid(fine_y, fine_x, indexing="ij"), axis=-1)
    values = np.moveaxis(coarse, 0, -1)
    found = RegularGridInterpolator((y, x), values, method=method, bounds_error=False, fill_value=None)(points)
    return np.moveaxis(found, -1, 0)


class Regression:
    """Ridge regression of fine on coarse fields.

    Args:
        coarse (numpy.ndarray): Shape ``(N, ...)``.
        fine (numpy.ndarray): Shape ``(N, ...)``.
        penalty (float): Penalty of the squared weights.
    """

    def __init__(self, coarse, fine, penalty):
        inputs = coarse.reshape(len(coarse), -1)
        self.inputs, self.fine = inputs.mean(0), fine.mean(0)
        centred = inputs - self.inputs
        covariance = centred.T @ centred + penalty * np.eye(centred.shape[1])
        self.weights = np.linalg.solve(covariance, centred.T @ (fine - self.fine).reshape(len(fine), -1))

    def __call__(self, coarse):
        """Returns what is expected of the fine fields."""
        found = (coarse.reshape(len(coarse), -1) - self.inputs) @ self.weights
        return self.fine + found.reshape(-1, *self.fine.shape)
