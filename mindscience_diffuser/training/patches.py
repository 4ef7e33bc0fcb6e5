"""Random patches of samples, for the training of a model whose whole domain is larger than what it is given."""

import numpy as np

from mindscience_diffuser.guidance.patches import check_domain, checked_patch, positions
from mindscience_diffuser.inputs import type_name
from mindscience_diffuser.validation import check_bool, check_generator


def random_patches(patch, generator, samples, *fields, with_positions=True):
    """Cuts a patch at a random place out of each sample, and the same one out of what belongs to it.

    All places are equally likely that hold the whole patch. A model that was trained so is called on the whole domain
    by a :class:`~mindscience_diffuser.PatchedModel`.

    Args:
        patch (Sequence[int]): Points of a patch along each axis of the grid.
        generator (numpy.random.Generator): Draws the places.
        samples (numpy.ndarray): ``(B, C, *grid)``.
        *fields (numpy.ndarray): Noise and conditions, first axis B. Those with the axes and the grid of the samples are
            cropped as they are, all others are returned as they are.
        with_positions (bool): Whether the positions of the patches are returned too, see
            :func:`~mindscience_diffuser.guidance.patches.positions`. Default: ``True``.

    Returns:
        list of numpy.ndarray: the samples ``(B, C, *patch)``, the fields, then the positions ``(B, axes, *patch)``,
        float32.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If the patch has another number of axes than the grid, or is larger, or batches differ.
    """
    patch = checked_patch(patch)
    check_bool("with_positions", with_positions)
    check_generator("generator", generator)
    for name, values in (("samples", samples), *((f"fields[{i}]", field) for i, field in enumerate(fields))):
        if not isinstance(values, np.ndarray):
            raise TypeError(f"'{name}' must be an array of NumPy, but is {type_name(values)}.")
        if values.ndim == 0 or len(values) != len(samples) or len(values) == 0:
            raise ValueError(
                f"'{name}' has shape {values.shape}, but its first axis must be the batch of the samples, one or more."
            )
    grid = samples.shape[2:]
    check_domain(grid, patch)
    drawn = [generator.integers(0, length - size + 1, len(samples)) for length, size in zip(grid, patch)]
    corners = np.stack(drawn, axis=-1)

    def cropped(values):
        if values.shape[2:] != grid:
            return values
        chosen = zip(values, corners)
        return np.stack([v[(slice(None), *(slice(i, i + s) for i, s in zip(c, patch)))] for v, c in chosen])

    cut = [cropped(values) for values in (samples, *fields)]
    return [*cut, np.stack([positions(grid, corner, patch) for corner in corners])] if with_positions else cut
