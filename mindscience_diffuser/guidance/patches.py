"""A model of patches as a model of a whole domain: overlapping patches are evaluated in chunks and averaged.

Patches count less towards their borders, where they see least around a point. With the plain mean the jump between
neighbours was 1.34 times as large across the borders of patches as elsewhere, so it is 1.03 times (docs_cn/patches.md).
"""

import itertools
import math

import numpy as np
from mindspore import Tensor, mint, ops
from mindspore import dtype as mstype
from mindspore.communication import GlobalComm, get_group_size, get_rank

from mindscience_diffuser.guidance.stage import Stage
from mindscience_diffuser.inputs import check_one_tensor
from mindscience_diffuser.validation import check_bool, check_integer

MOST_AXES = 3
"""Axes that a grid may have."""


class PatchedModel(Stage):
    """A model of patches, called on a domain that it could not hold: the mean of what it says of overlapping patches.

    The output at a point is the weighted mean over the patches that hold it, as in MultiDiffusion (Bar-Tal et al.,
    2023, arXiv:2302.08113, eq. (5)). The weight of a patch is the product over the axes of (d + 1)^2, d the points
    between this one and the nearer border of the patch. Patches lie `patch` minus `overlap` points apart; the last one
    along an axis is shifted inwards to end with the domain. They are evaluated `chunk` at a time by one loop inside the
    graph, so that the memory of the model is that of `chunk` patches for each sample of the batch, whatever the domain.

    Samplers, guidance and measurements see the whole domain, with one noise for all of it. Guidance goes around this
    stage: ``Sampler(PosteriorGuidance(PatchedModel(model, ...), ...), scheduler)``.

    Args:
        model (nn.Cell): Called as ``model(x, timestep, *conditions)`` with patches, and with their position as the last
            condition.
        patch (Sequence[int]): Points of a patch along each axis of the grid, one to three numbers.
        overlap (int): Points that neighbouring patches share at least, along each axis; at least 0 and below the
            points of the patch.
        chunk (int): Patches that are evaluated at a time, for each sample of the batch; at least 1.
        positions (bool): Whether the model is given the positions, see :func:`positions`. Default: ``True``.
        over_ranks (bool): Whether the ranks of a launch by ``msrun`` share the patches of each call. All of them must
            make the same calls; each gets the whole output, in the same bytes as one rank alone. Default: ``False``.
        differentiable (bool): Whether gradients go through, as ``"moment_matching"`` of PosteriorGuidance needs them.
            The chunks are then written out one by one in the graph: compilation takes longer with each of them, and the
            gradient remembers what the model does in all of them. Default: ``False``, a loop.

    Inputs:
        - **x** (Tensor) - ``(B, C, *grid)``.
        - **timestep** (Tensor) - first axis B.
        - **conditions** (Tensor or tuple of Tensors) - first axis B. Those with the axes and the grid of x are cropped
          as x is, all others are given whole with each patch.

    Outputs:
        Tensor ``(B, C, *grid)`` in the dtype of x.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a number is out of range, `overlap` is not below `patch`, the model does not take grids of the
            size of the patch (its attribute `grid_multiple`), it is a stage itself, no launch was joined though
            `over_ranks` is set, or a domain is smaller than the patch.
    """

    def __init__(self, model, patch, overlap, chunk, positions=True, over_ranks=False, differentiable=False):
        super().__init__(model)
        if isinstance(model, Stage):
            raise ValueError(
                f"'model' is {type(model).__name__}, which corrects whole samples: put it around the PatchedModel."
            )
        self.patch = checked_patch(patch, model)
        self.axes = len(self.patch)
        self.overlap = checked_overlap(overlap, self.patch)
        self.chunk = check_integer("chunk", chunk, low=1)
        self.positions = check_bool("positions", positions)
        self.differentiable = check_bool("differentiable", differentiable)
        self.ranks, self.rank = 1, 0
        if check_bool("over_ranks", over_ranks):
            if not GlobalComm.INITED:
                raise ValueError(
                    "'over_ranks' is True, but this process has joined no launch: call mindspore.communication.init() "
                    "first in a process that msrun started, or use over_ranks=False."
                )
            self.ranks, self.rank = get_group_size(), get_rank()
            self.gather_ranks = ops.AllGather()

    # Read by Samplers, which then call the stage as a model.
    @property
    def needs_level(self):
        """Whether the stage must be told the noise level: no."""
        return False

    def check_inputs(self, noise, inputs):
        """Raises ValueError if samples like `noise` have another number of axes, or are smaller than a patch."""
        check_domain(noise.shape[2:], self.patch)

    def __call__(self, x, timestep, *conditions):
        """Checks the domain on the host, before anything is compiled, and returns the output for the whole domain."""
        self.check_inputs(x, conditions)
        return super().__call__(x, timestep, *conditions)

    def construct(self, x, timestep, *conditions):
        """Returns the output for the whole domain."""
        grid, batch = x.shape[2:], x.shape[0]
        corners, places = corners_of(grid, self.patch, self.overlap, self.chunk, self.ranks, self.rank)
        count, chunk = corners.shape
        parts = mint.zeros((count, chunk, batch, x.shape[1]) + self.patch, dtype=x.dtype)
        told = (timestep,) + conditions
        if self.differentiable:
            # Written out: MindSpore has no gradient of a loop around a model with Parameters.
            for i in range(count):
                parts = self.evaluated(parts, Tensor(i, mstype.int32), corners, places, x, told)
        else:
            k = Tensor(0, mstype.int32)
            while k < count:
                parts = self.evaluated(parts, k, corners, places, x, told)
                k = k + 1
        if self.ranks > 1:
            parts = self.gather_ranks(parts)
        return self.averaged(parts, grid)

    def evaluated(self, parts, k, corners, places, x, told):
        """Returns the outputs of all patches, ``(chunks, size, B, C, *patch)``, with those of chunk k filled in."""
        grid, chunk, batch = x.shape[2:], corners.shape[1], x.shape[0]
        inside, distances = points_of(grid, self.patch)
        index = (ops.gather(corners, k, 0).reshape((-1, 1)) + inside).reshape(-1)
        given = (self.of_patches(x, grid, index, chunk),)
        for condition in told:
            given += (self.of_patches(condition, grid, index, chunk),)
        if self.positions:
            place = ops.gather(places, k, 0).reshape((chunk, 1, self.axes, 1)) + distances
            place = place + mint.zeros((1, batch, 1, 1), dtype=mstype.float32)
            given += (ops.cast(place, x.dtype).reshape((-1, self.axes) + self.patch),)
        output = self.model(*given)
        check_one_tensor("The output of the model of patches", output)
        # The number of patches is open in a graph of any batch size.
        if output.shape[1:] != given[0].shape[1:]:
            raise ValueError(
                f"The output of the model of patches has shape {output.shape}, but must have that of the patches, "
                f"{given[0].shape}."
            )
        output = ops.cast(output, x.dtype).reshape((1,) + parts.shape[1:])
        return ops.tensor_scatter_update(parts, k.reshape((1, 1)), output)

    def of_patches(self, condition, grid, index, chunk):
        """Returns what the patches of a chunk are given of a condition, ``(chunk * B, ...)``, a patch after the other.

        Args:
            condition (Tensor or tuple): The condition.
            grid (tuple): That of the domain.
            index (Tensor): The point of the domain at each point of the patches, int32 ``(chunk * points,)``.
            chunk (int): Number of patches.
        """
        if isinstance(condition, (tuple, list)):
            parts = ()
            for part in condition:
                parts += (self.of_patches(part, grid, index, chunk),)
            return parts
        if condition.shape[2:] != grid:
            return self.repeated(condition, chunk)
        channels = condition.shape[1]
        values = ops.gather(condition.reshape((-1, channels, product(grid))), index, 2)
        values = values.reshape((-1, channels, chunk, product(self.patch))).transpose((2, 0, 1, 3))
        return values.reshape((-1, channels) + self.patch)

    def repeated(self, condition, chunk):
        """Returns a condition once for each patch of a chunk, ``(chunk * B, ...)``."""
        return ops.tile(condition, (chunk,) + (1,) * (condition.ndim - 1))

    def averaged(self, parts, grid):
        """Returns the weighted mean at each point of the outputs of patches, ``(chunks, size, B, C, *patch)``."""
        channels, points = parts.shape[3], product(self.patch)
        values = parts.reshape((parts.shape[0] * parts.shape[1], -1, channels, points)).transpose((1, 2, 0, 3))
        values = values.reshape((-1, channels, parts.shape[0] * parts.shape[1] * points))
        total = 0.0
        for index, weights in covering(grid, self.patch, self.overlap):
            place, weight = index[0], weights[0]
            for axis in range(1, self.axes):
                place = (place.reshape((-1, 1)) + index[axis]).reshape(-1)
                weight = (weight.reshape((-1, 1)) * weights[axis]).reshape(-1)
            total = total + ops.cast(ops.gather(values, place, 2), mstype.float32) * weight
        return ops.cast(total, parts.dtype).reshape((-1, channels) + grid)


def check_differentiable(model, what, alternative=""):
    """Raises ValueError if `what`, which takes gradients of a model, meets a PatchedModel that lets none through."""
    if any(isinstance(cell, PatchedModel) and not cell.differentiable for _, cell in model.cells_and_names()):
        raise ValueError(
            f"{what} takes gradients of the model, but its PatchedModel lets none through: build it with "
            f"differentiable=True{alternative}."
        )


def positions(grid, corner=None, patch=None):
    """Returns where the points of a domain, or of a patch of it, lie: for each axis a channel.

    The channel of an axis runs from -1 at one border of the domain to 1 at the other: ``2 (i + 1/2) / length - 1`` at
    the middle of point i. It is linear: each place has values of its own, there is no frequency to choose, and what
    changes within the domain faster than the place, such as heights and coasts, is a condition on the grid, which is
    cropped as the samples are.

    Args:
        grid (Sequence[int]): Points of the domain along each axis.
        corner (Sequence[int], optional): First point of the patch. Default: ``None``, that of the domain.
        patch (Sequence[int], optional): Points of the patch along each axis. Default: ``None``, those of the domain.

    Returns:
        numpy.ndarray, float32, ``(axes, *patch)``.
    """
    corner, patch = corner if corner is not None else (0,) * len(grid), grid if patch is None else patch
    axes = [(2 * (first + np.arange(size)) + 1) / length - 1 for first, size, length in zip(corner, patch, grid)]
    return np.stack(np.meshgrid(*axes, indexing="ij")).astype(np.float32)


def starts(length, patch, overlap):
    """Returns the first points of the patches along an axis, the last one shifted inwards."""
    return [*range(0, length - patch, patch - overlap), length - patch]


def patch_count(grid, patch, overlap):
    """Returns the number of patches of a domain."""
    return math.prod(len(starts(length, size, overlap)) for length, size in zip(grid, patch))


@ops.constexpr
def product(sizes):
    """Returns the product of sizes."""
    return math.prod(sizes)


@ops.constexpr
def corners_of(grid, patch, overlap, chunk, ranks, rank):
    """Returns where the patches of a rank begin, in chunks of one size of at most `chunk`.

    All ranks have as many chunks; patches that are too many repeat the last one.

    Returns:
        tuple of the point of each first corner, int32 ``(chunks, size)``, and of its position less that of the first
        point of the domain, float32 ``(chunks, size, axes)``.
    """
    check_domain(grid, patch)
    corners = np.array(list(itertools.product(*map(starts, grid, patch, (overlap,) * len(grid)))))
    chunks = -(-len(corners) // chunk)
    size, of_a_rank = -(-len(corners) // chunks), -(-chunks // ranks)
    corners = np.pad(corners, [(0, ranks * of_a_rank * size - len(corners)), (0, 0)], mode="edge")
    corners = corners.reshape(ranks, of_a_rank, size, len(grid))[rank]
    first = np.ravel_multi_index(np.moveaxis(corners, -1, 0), grid)
    return Tensor(first, mstype.int32), Tensor(2 * corners / np.array(grid), mstype.float32)


@ops.constexpr
def points_of(grid, patch):
    """Returns how far the points of a patch are from its first one, int32 ``(points,)``, and their positions there.

    The latter are those of the patch that begins with the domain, float32 ``(axes, points)``.
    """
    places = np.indices(patch).reshape(len(patch), -1)
    centres = (2 * places + 1) / np.array(grid)[:, None] - 1
    return Tensor(np.ravel_multi_index(places, grid), mstype.int32), Tensor(centres, mstype.float32)


@ops.constexpr
def covering(grid, patch, overlap):
    """Returns, for each way to pick one of the patches over a point along every axis, where its output is.

    Returns:
        tuple of pairs of tuples with a Tensor ``(length,)`` for each axis: the sum over the axes of int32 ones is the
        place among the outputs of all patches in their order; the product of float32 ones is its weight, 0 where fewer
        patches are over the point. The weights of a point have the sum 1.
    """
    along = []
    counts = [len(starts(length, size, overlap)) for length, size in zip(grid, patch)]
    for axis, (length, size) in enumerate(zip(grid, patch)):
        offsets = np.arange(length) - np.array(starts(length, size, overlap))[:, None]
        held = (offsets >= 0) & (offsets < size)
        chosen = np.argsort(~held, axis=0, kind="stable")[: held.sum(0).max()]
        weights = held * np.minimum(offsets + 1.0, size - offsets) ** 2
        weights = np.take_along_axis(weights / weights.sum(0), chosen, 0)
        offsets = np.take_along_axis(offsets, chosen, 0).clip(0, size - 1)
        of_patches, of_points = math.prod(counts[axis + 1 :]) * math.prod(patch), math.prod(patch[axis + 1 :])
        index = chosen * of_patches + offsets * of_points
        along.append([(Tensor(i, mstype.int32), Tensor(w, mstype.float32)) for i, w in zip(index, weights)])
    return tuple(tuple(zip(*ways)) for ways in itertools.product(*along))


def checked_patch(patch, model=None):
    """Returns the points of a patch along each axis, a tuple.

    Args:
        patch (Sequence[int]): What was given.
        model (optional): A model whose attribute `grid_multiple`, if it has one, says of what the axes of a grid must
            be multiples. Default: ``None``.

    Raises:
        TypeError: If it is no sequence of integers.
        ValueError: If a number is below 1, there are none or more than three, or the model takes no such grid.
    """
    if not isinstance(patch, (tuple, list)):
        raise TypeError(
            f"'patch' must be a sequence of the points along each axis, such as (64, 64), but is {patch!r} of type "
            f"{type(patch).__name__}."
        )
    patch = tuple(check_integer("patch", size, low=1) for size in patch)
    if not 1 <= len(patch) <= MOST_AXES:
        raise ValueError(f"'patch' must have 1 to {MOST_AXES} numbers, one for each axis of the grid, but is {patch}.")
    multiple = getattr(model, "grid_multiple", (1,) * len(patch))
    if len(multiple) != len(patch):
        raise ValueError(
            f"'patch' is {patch}, but {type(model).__name__} takes grids with {len(multiple)} axes: give a number for "
            "each."
        )
    if any(size % of for size, of in zip(patch, multiple)):
        below, above = (tuple(max(n, 1) * of for n, of in zip(ns, multiple)) for ns in _multiples(patch, multiple))
        raise ValueError(
            f"'patch' is {patch}, but {type(model).__name__} takes grids whose axes are multiples of {multiple}: use "
            f"{below} or {above}."
        )
    return patch


def checked_overlap(overlap, patch):
    """Returns the overlap; raises an error unless it is an integer from 0 to less than each number of the patch."""
    if check_integer("overlap", overlap, low=0) >= min(patch):
        raise ValueError(
            f"'overlap' is {overlap}, but must be below the points of the patch along each axis, {patch}: use at most "
            f"{min(patch) - 1}, such as a quarter of the patch."
        )
    return overlap


def check_domain(grid, patch):
    """Raises ValueError unless a domain has the axes of the patch, and at least its points along each."""
    if len(grid) != len(patch):
        raise ValueError(
            f"'patch' is {tuple(patch)}, but the samples have {len(grid)} axes after their channels, {tuple(grid)}: "
            "give a number for each."
        )
    if any(size > length for size, length in zip(patch, grid)):
        raise ValueError(
            f"'patch' is {tuple(patch)}, which is larger than the domain, {tuple(grid)}: use at most "
            f"{tuple(map(min, patch, grid))}."
        )


def _multiples(patch, multiple):
    """Returns how many of the multiples the patch has, rounded down and up."""
    return [size // of for size, of in zip(patch, multiple)], [-(-size // of) for size, of in zip(patch, multiple)]
