"""The one place that draws noise."""

import functools
import numbers
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from mindscience_diffuser.validation import check_integer

LARGEST = 2**64 - 1

MISFIT = "'generator' has {streams} streams, but the batch has {batch} samples: give one for each."

LARGE = 2**15
"""Values in a sample from which on threads are worth their start."""


class NoiseSource:
    """Standard normal noise in which every sample of a run has a stream of its own.

    Sample number k draws from a generator of its own (SFC64, the fastest that NumPy has) seeded with a hash of
    (seed, k, stream), so its noise does not depend on the batch that it is drawn in, on the number of devices, or on
    where a run was resumed. Large samples are drawn side by side on all processors.

    Args:
        seed (int): Seed of the run, in [0, 2^64 - 1].
        samples (int or Sequence[int]): Numbers of the samples of this batch, or how many, counted from 0.
        stream (int): Which of the independent streams of (seed, k) to draw from. Default: ``0``.

    Raises:
        TypeError: If `seed`, a sample number or `stream` is not an integer.
        ValueError: If one of them is out of range.
    """

    def __init__(self, seed, samples, stream=0):
        seed = check_integer("seed", seed, low=0, high=LARGEST)
        stream = check_integer("stream", stream, low=0)
        if isinstance(samples, numbers.Integral):
            samples = range(check_integer("samples", samples, low=0))
        sample_numbers = [check_integer("samples", k, low=0, high=LARGEST) for k in samples]
        self.streams = [
            np.random.Generator(np.random.SFC64(np.random.SeedSequence((seed, k, stream)))) for k in sample_numbers
        ]

    def standard_normal(self, shape):
        """Draws the next noise of every sample.

        Args:
            shape (Sequence[int]): ``(B, ...)`` where B is the number of samples of this source.

        Returns:
            numpy.ndarray, float32.

        Raises:
            ValueError: If the first axis is not the number of samples.
        """
        shape = tuple(shape)
        if len(self.streams) != shape[0]:
            raise ValueError(MISFIT.format(streams=len(self.streams), batch=shape[0]))
        noise = np.empty(shape, np.float32)
        rows = noise.reshape(shape[0], -1)

        def fill(k):
            self.streams[k].standard_normal(dtype=np.float32, out=rows[k])

        if rows.shape[1] < LARGE:
            for k in range(shape[0]):
                fill(k)
        else:
            list(_threads().map(fill, range(shape[0])))
        return noise


@functools.cache
def _threads():
    """Threads that draw side by side: NumPy's generators do not hold the interpreter while they fill an array."""
    return ThreadPoolExecutor(os.cpu_count())


def draw_noise(shape, generator=None):
    """Draws standard normal noise; every draw of this package goes through here.

    Args:
        shape (Sequence[int]): Shape of the noise, ``(B, ...)``.
        generator (optional): None for a :class:`NoiseSource` seeded from NumPy's global stream (which
            `mindspore.set_seed` seeds too), an object with ``standard_normal(shape)`` such as a
            `numpy.random.Generator` or a :class:`NoiseSource`, or a list of them, one for each sample.

    Returns:
        numpy.ndarray, float32.

    Raises:
        TypeError: If `generator` is none of these.
        ValueError: If a list has another length than the batch.
    """
    shape = tuple(shape)
    if generator is None:
        return NoiseSource(int(np.random.randint(2**31)), shape[0]).standard_normal(shape)
    if isinstance(generator, (list, tuple)):
        if len(generator) != shape[0]:
            raise ValueError(MISFIT.format(streams=len(generator), batch=shape[0]))
        return np.stack([draw_noise(shape[1:], stream) for stream in generator])
    if isinstance(generator, np.random.Generator):
        return generator.standard_normal(shape, dtype=np.float32)
    if not hasattr(generator, "standard_normal"):
        raise TypeError(
            "'generator' must be None, an object with standard_normal(shape), or a list of them, one for each "
            f"sample, but is {generator!r} of type {type(generator).__name__}."
        )
    return np.asarray(generator.standard_normal(shape), dtype=np.float32)
