"""Fresh noise of the steps of a trajectory, which the host draws while the device works."""

import functools
import math

import numpy as np
from mindspore import Tensor, mint
from mindspore import dtype as mstype

from mindscience_diffuser.noise import draw_into, drawn_ahead, may_draw_ahead
from mindscience_diffuser.sampling.compiled import executor, with_own_memory

FEWEST_AT_ONCE, MOST_AT_ONCE = 2, 32
"""Steps whose fresh noise is held in memory at once: more than the fewest as far as they fit in `BYTES_AT_ONCE`."""
BYTES_AT_ONCE = 2**26


def steps_at_once(bytes_of_step):
    """Returns the number of steps whose fresh noise is held in memory at once."""
    # By the size alone: another number of steps finds the same graph.
    return min(max(FEWEST_AT_ONCE, BYTES_AT_ONCE // max(bytes_of_step, 1)), MOST_AT_ONCE)


def spans_of(count, length):
    """Returns `count` steps in parts of `length`: the first step, the one before which to end, and `length`."""
    return [(first, min(first + length, count), length) for first in range(0, count, length)]


class HostNoise:
    """The fresh noise of each part of a trajectory, as Tensors.

    Args:
        needed (numpy.ndarray): Whether each step gives its noise any weight, bool, ``(n,)``; elsewhere it is 0.
        shape (Sequence[int]): Shape of the noise of a step, ``(B, ...)``.
        source: What :func:`~mindscience_diffuser.noise.draw_noise` takes.
        streams: Where the source has its white noise from: it decides whether noise may be drawn ahead.
        dtype (mindspore.dtype): Dtype of the Tensors.
    """

    def __init__(self, needed, shape, source, streams, dtype):
        self.needed, self.shape, self.source, self.streams, self.dtype = needed, tuple(shape), source, streams, dtype

    def parts(self, spans):
        """Yields the noise of each of some :func:`spans_of`, ``(length, B, ...)``, after its last step 0."""
        for tensor, array in self._arrays(spans):
            tensor = Tensor.from_numpy(array) if tensor is None else tensor
            yield tensor.astype(self.dtype)

    def steps(self):
        """Yields the noise of each step, ``(B, ...)``."""
        count = len(self.needed)
        # One after the other only where others draw from the same stream in the meantime. An array that a Tensor has
        # lives as long as its parts.
        length = steps_at_once(4 * math.prod(self.shape)) if may_draw_ahead(self.streams) else 1
        for _, array in self._arrays([(first, last, 0) for first, last, _ in spans_of(count, length)]):
            for step in array:
                yield Tensor.from_numpy(step).astype(self.dtype)

    def _arrays(self, spans):
        parts = (
            (self.needed[first:last], *array_in_tensor((max(length, last - first), *self.shape)))
            for first, last, length in spans
        )
        return drawn_ahead(self._drawn, parts, self.streams)

    def _drawn(self, needed, tensor, array):
        draw_into([step for step, drawn in zip(array, needed) if drawn], self.source)
        array[len(needed) :] = 0
        array[: len(needed)][~needed] = 0
        return tensor, array


class GivenNoise:
    """Fresh noise that the user has given, ``(n, B, ...)``, as :class:`HostNoise` hands it on."""

    def __init__(self, noise):
        self.noise = noise

    def parts(self, spans):
        """Yields the noise of each of some :func:`spans_of`."""
        return (with_own_memory(self.noise[first:last]) for first, last, _ in spans)

    def steps(self):
        """Yields the noise of each step, ``(B, ...)``."""
        if executor.requires_grad() or self.noise.dtype == mstype.bfloat16 or not tensors_share_memory():
            return (with_own_memory(noise) for noise in self.noise)
        # An index in brackets takes longer than the step of a small sample. Arrays pass no gradients on.
        return map(Tensor.from_numpy, self.noise.asnumpy())


class GivenMotions:
    """Motions after all steps, ``(n, B, 4, 3)``, as :class:`HostNoise` hands noise on."""

    def __init__(self, motions):
        self.motions = motions.astype(np.float32)

    def parts(self, spans):
        """Yields the motions of each of some :func:`spans_of`."""
        for first, last, length in spans:
            missing = max(length - (last - first), 0)
            yield Tensor(np.pad(self.motions[first:last], [(0, missing), (0, 0), (0, 0), (0, 0)]))

    def steps(self):
        """Yields the motions after each step, ``(B, 4, 3)``."""
        return map(Tensor, self.motions)


def array_in_tensor(shape):
    """Returns a float32 Tensor and an array in its memory; where Tensors keep theirs for themselves, None and an array.

    MindSpore uses the memory of its Tensors again. Fresh memory of the system can take as long to get as noise to draw.
    """
    if not tensors_share_memory():
        return None, np.empty(shape, np.float32)
    tensor = mint.empty(shape, dtype=mstype.float32)
    return tensor, tensor.asnumpy()


@functools.cache
def tensors_share_memory():
    """Returns whether the array of a Tensor is its memory: so on CPU, but not in old versions of MindSpore."""
    tensor = mint.zeros(1, dtype=mstype.float32)
    tensor.asnumpy()[0] = 1
    return bool((tensor + 1).asnumpy()[0] == 2)
