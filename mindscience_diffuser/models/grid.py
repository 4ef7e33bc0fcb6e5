"""Layers for samples on grids of one to three axes, held as points with channels last, ``(B, N, C)``.

A convolution gathers the neighbours of every point and multiplies them by one matrix. It is the same for any number of
axes, and on CPU faster than MindSpore's convolution by far (``scripts/bench/convolution.py``).
"""

import itertools
import math

import numpy as np
from mindspore import Parameter, Tensor, nn, ops
from mindspore import dtype as mstype
from mindspore.common.initializer import HeUniform, initializer


@ops.constexpr
def neighbours(grid, kernel):
    """Returns the point at each place of the kernel around each point, int32 ``(N * kernel^axes,)``; N is outside."""
    places = np.stack(np.meshgrid(*map(np.arange, grid), indexing="ij"), axis=-1).reshape(-1, 1, len(grid))
    steps = np.array(list(itertools.product(range(-(kernel // 2), kernel // 2 + 1), repeat=len(grid))))
    around = places + steps
    inside = np.all((around >= 0) & (around < np.array(grid)), axis=-1)
    points = np.ravel_multi_index(np.moveaxis(np.where(inside[..., None], around, 0), -1, 0), grid)
    return Tensor(np.where(inside, points, math.prod(grid)).reshape(-1), mstype.int32)


@ops.constexpr
def halved(grid):
    """Returns the grid of half the points along each axis, rounded up."""
    return tuple((size + 1) // 2 for size in grid)


@ops.constexpr
def corners(grid):
    """Returns the points that each point of the halved grid is the mean of, int32 ``(2^axes, M)``."""
    pairs = [np.minimum(np.stack([np.arange(0, size, 2), np.arange(0, size, 2) + 1]), size - 1) for size in grid]
    chosen = itertools.product((0, 1), repeat=len(grid))
    meshes = [np.meshgrid(*(pair[k] for pair, k in zip(pairs, corner)), indexing="ij") for corner in chosen]
    return Tensor(np.stack([np.ravel_multi_index(mesh, grid).reshape(-1) for mesh in meshes]), mstype.int32)


@ops.constexpr
def nearest(grid):
    """Returns the point of the halved grid that is nearest to each point, int32 ``(N,)``."""
    mesh = np.meshgrid(*(np.arange(size) // 2 for size in grid), indexing="ij")
    return Tensor(np.ravel_multi_index(mesh, [(size + 1) // 2 for size in grid]).reshape(-1), mstype.int32)


class NeighbourProduct(nn.Cell):
    """Products of all neighbours of each point with a matrix, with a gradient that gathers instead of scattering.

    The neighbours lie symmetrically, so that the gradient of the points is the product of the output's neighbours with
    the matrix turned around.

    Args:
        places (int): Places K of the kernel.
        channels (int): Channels C of a point.
        out_channels (int): Channels of the result.
    """

    def __init__(self, places, channels, out_channels):
        super().__init__()
        self.places, self.channels, self.out_channels = places, channels, out_channels
        self.product = ops.MatMul()
        self.outer = ops.MatMul(transpose_a=True)
        # Operators: a function such as ops.zeros_like does not compile inside a gradient of one's own.
        self.zeros, self.joined = ops.ZerosLike(), ops.Concat(1)
        self.first = Tensor([0], mstype.int32)
        self.turned = Tensor(np.arange(places)[::-1].copy(), mstype.int32)

    def gathered(self, x, index):
        """Returns the neighbours of every point as rows, ``(B * N, K * C)``; those outside the grid are 0."""
        bordered = self.joined((x, self.zeros(ops.gather(x, self.first, 1))))
        return ops.reshape(ops.gather(bordered, index, 1), (-1, self.places * x.shape[2]))

    def construct(self, x, weight, index):
        """Returns ``(B, N, out_channels)`` from x ``(B, N, C)`` and the weight ``(K * C, out_channels)``."""
        return ops.reshape(self.product(self.gathered(x, index), weight), (-1, x.shape[1], self.out_channels))

    def bprop(self, x, weight, index, out, dout):
        """Returns the gradients of x and of the weight."""
        around = self.gathered(dout, index)
        by_place = weight.reshape((self.places, self.channels, self.out_channels))
        turned = ops.gather(by_place, self.turned, 0).transpose((0, 2, 1)).reshape((-1, self.channels))
        of_x = self.product(around, turned).reshape(x.shape)
        # The neighbours of x need not be gathered again: x beside the neighbours of the output has all pairs.
        pairs = self.outer(x.reshape((-1, self.channels)), around)
        by_place = pairs.reshape((self.channels, self.places, self.out_channels)).transpose((1, 0, 2))
        of_weight = ops.gather(by_place, self.turned, 0).reshape(weight.shape)
        return of_x, of_weight, self.zeros(index)


class GridConvolution(nn.Cell):
    """A convolution with zeros beyond the border.

    Args:
        axes (int): Axes of the grid.
        channels (int): Channels of the input.
        out_channels (int): Channels of the output.
        kernel (int): Length of the kernel along each axis, odd. Default: ``3``.
        zero (bool): Whether the weights begin at 0. Default: ``False``.

    Inputs:
        - **x** (Tensor) - ``(B, N, channels)``.
        - **grid** (tuple) - lengths of the axes, N their product.

    Outputs:
        Tensor, ``(B, N, out_channels)``, in the dtype of x.
    """

    def __init__(self, axes, channels, out_channels, kernel=3, zero=False):
        super().__init__()
        self.kernel = kernel
        places = kernel**axes
        first = "zeros" if zero else HeUniform(math.sqrt(5))
        # The rows of the matrix are what an output channel sums over, its fan-in.
        weight = initializer(first, (out_channels, places * channels), mstype.float32).init_data().asnumpy().T.copy()
        self.weight = Parameter(Tensor(weight), name="weight")
        self.bias = Parameter(initializer("zeros", (out_channels,), mstype.float32), name="bias")
        self.product = NeighbourProduct(places, channels, out_channels)

    def construct(self, x, grid):
        """Returns the convolution of x."""
        weight = ops.cast(self.weight, x.dtype)
        return self.product(x, weight, neighbours(grid, self.kernel)) + ops.cast(self.bias, x.dtype)


class GroupNorm(nn.Cell):
    """Group normalisation in float32, over all points and the channels of a group.

    Args:
        channels (int): Number C of channels.
        groups (int): Number of groups; divides `channels`.
    """

    def __init__(self, channels, groups, epsilon=1e-5):
        super().__init__()
        self.groups, self.width = groups, channels // groups
        self.epsilon = epsilon
        self.mean = ops.ReduceMean(keep_dims=True)
        self.grouped, self.joined = (-1, groups, self.width), (-1, 1, channels)
        self.ones = Tensor(np.ones((1, groups, self.width)), mstype.float32)
        self.gamma = Parameter(initializer("ones", (channels,), mstype.float32), name="gamma")
        self.beta = Parameter(initializer("zeros", (channels,), mstype.float32), name="beta")

    def construct(self, x):
        """Normalises x, ``(B, N, C)``."""
        values = ops.cast(x, mstype.float32)
        centred = values - self.by_group(values)
        scale = ops.rsqrt(self.by_group(centred * centred) + self.epsilon) * self.gamma
        return ops.cast(centred * scale + self.beta, x.dtype)

    def by_group(self, values):
        """Returns the mean of each group at its channels, ``(B, 1, C)``.

        Points are summed first: an array of groups as large as the values takes three times as long on CPU.
        """
        by_channel = ops.reshape(self.mean(values, 1), self.grouped)
        return ops.reshape(self.mean(by_channel, 2) * self.ones, self.joined)


def coarser(x, grid):
    """Returns the mean of each point and its neighbours along the axes: half the points along each, rounded up."""
    index = corners(grid)
    total = ops.gather(x, index[0], 1)
    for k in range(1, 2 ** len(grid)):
        total = total + ops.gather(x, index[k], 1)
    return total * (0.5 ** len(grid))


def finer(x, grid):
    """Returns x, on the halved grid, at the nearest points of `grid`."""
    return ops.gather(x, nearest(grid), 1)
