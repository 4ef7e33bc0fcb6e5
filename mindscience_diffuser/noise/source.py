"""The one place that draws noise."""

import functools
import itertools
import math
import numbers
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from scipy.special import ndtr

from mindscience_diffuser.validation import check_function, check_integer, check_shape

LARGEST = 2**64 - 1

MISFIT = "'generator' has {streams} streams, but the batch has {batch} samples: give one for each."

LEAST_UNIFORM, MOST_UNIFORM = np.float32(2**-32), np.float32(1 - 2**-24)
"""Bounds of uniform noise: its logarithm, and that of its complement, are finite in single precision."""

LARGE = 2**15
"""Values to draw for a sample from which on threads are worth their start."""


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
            TypeError: If `shape` is no sequence of integers.
            ValueError: If the first axis is not the number of samples.
        """
        noise = np.empty(check_shape("shape", shape), np.float32)
        self.draw_into([noise])
        return noise

    def draw_into(self, arrays):
        """Fills arrays with what a call of :meth:`standard_normal` for each of them would draw, sooner.

        Args:
            arrays (list): NumPy arrays, contiguous, float32, each ``(B, ...)``.
        """
        for array in arrays:
            if len(self.streams) != len(array):
                raise ValueError(MISFIT.format(streams=len(self.streams), batch=len(array)))
        rows = [array.reshape(len(array), math.prod(array.shape[1:])) for array in arrays]

        def fill(k):
            for row in rows:
                self.streams[k].standard_normal(dtype=np.float32, out=row[k])

        if sum(row.shape[1] for row in rows) < LARGE:
            for k in range(len(self.streams)):
                fill(k)
        else:
            list(_threads().map(fill, range(len(self.streams))))


@functools.cache
def _threads():
    """Threads that draw side by side: NumPy's generators do not hold the interpreter while they fill an array."""
    return ThreadPoolExecutor(os.cpu_count())


@functools.cache
def _one_thread():
    """The thread that draws ahead, which waits for those that draw side by side."""
    return ThreadPoolExecutor(1)


# A forked child has the pools of its parent, but none of their threads.
os.register_at_fork(after_in_child=_threads.cache_clear)
os.register_at_fork(after_in_child=_one_thread.cache_clear)


def draw_noise(shape, generator=None):
    """Draws standard normal noise; every draw on the host goes through here.

    Args:
        shape (Sequence[int]): Shape of the noise, ``(B, ...)``.
        generator (optional): None for a :class:`NoiseSource` seeded from NumPy's global stream (which
            `mindspore.set_seed` seeds too), a seed, an object with ``standard_normal(shape)`` such as a
            `numpy.random.Generator` or a :class:`NoiseSource`, or a list of seeds or objects, one for each sample.

    Returns:
        numpy.ndarray, float32.

    Raises:
        TypeError: If `generator` is none of these, or `shape` no sequence of integers.
        ValueError: If `shape` is empty or has a negative length, a list has another length than the batch, or a
            function that was given to :func:`set_noise_function` returns another shape.
    """
    shape = check_shape("shape", shape)
    noise = np.asarray(_function(shape, generator), np.float32)
    if noise.shape != shape:
        raise ValueError(f"The function of set_noise_function returned the shape {noise.shape} in place of {shape}.")
    return noise


def draw_uniform(shape, generator=None):
    """Draws noise that is uniform in (0, 1): the normal distribution function of what :func:`draw_noise` draws.

    Args:
        shape (Sequence[int]): Shape of the noise, ``(B, ...)``.
        generator (optional): What :func:`draw_noise` takes.

    Returns:
        numpy.ndarray, float32.
    """
    return np.clip(ndtr(draw_noise(shape, generator)), LEAST_UNIFORM, MOST_UNIFORM)


def draw_steps(needed, shape, generator=None):
    """Draws the noise of several steps: what a call of :func:`draw_noise` for each step that needs it would draw.

    Args:
        needed (numpy.ndarray): Whether each step gives its noise any weight, bool, ``(n,)``.
        shape (Sequence[int]): Shape of the noise of a step, ``(B, ...)``.
        generator (optional): What :func:`draw_noise` takes.

    Returns:
        numpy.ndarray, float32, ``(n, *shape)``, 0 where no noise is needed.
    """
    noise = np.zeros((len(needed), *check_shape("shape", shape)), np.float32)
    draw_into([step for step, drawn in zip(noise, needed) if drawn], generator)
    return noise


def draw_into(arrays, generator=None):
    """Fills arrays, float32, with what a call of :func:`draw_noise` for each of them would draw."""
    if may_draw_ahead(generator):
        generator.draw_into(arrays)
    else:
        for array in arrays:
            array[...] = draw_noise(array.shape, generator)


def may_draw_ahead(generator):
    """Returns whether draws may come early: from a :class:`NoiseSource`, from which nobody else draws meanwhile."""
    return _function is _drawn and isinstance(generator, NoiseSource)


def drawn_ahead(draw, parts, generator):
    """Yields ``draw(*part)`` for each part; where it may, it draws the next one while the caller uses this one.

    The results are those of drawing one after the other.
    """
    if not may_draw_ahead(generator):
        yield from itertools.starmap(draw, parts)
        return
    following = None
    for part in parts:
        drawn, following = following, _one_thread().submit(draw, *part)
        if drawn is not None:
            yield drawn.result()
    if following is not None:
        yield following.result()


def _drawn(shape, generator):
    if generator is None:
        generator = int(np.random.randint(2**31))
    if isinstance(generator, numbers.Integral):
        return NoiseSource(generator, shape[0]).standard_normal(shape)
    if isinstance(generator, (list, tuple)):
        if len(generator) != shape[0]:
            raise ValueError(MISFIT.format(streams=len(generator), batch=shape[0]))
        for stream in generator:
            _check_source(stream)
        return np.concatenate([_drawn((1, *shape[1:]), stream) for stream in generator])
    if isinstance(generator, np.random.Generator):
        return generator.standard_normal(shape, dtype=np.float32)
    _check_source(generator)
    return generator.standard_normal(shape)


def _check_source(generator):
    """Raises TypeError for what no noise can be drawn from, before anything is drawn."""
    known = generator is None or isinstance(generator, numbers.Integral)
    if not known and not hasattr(generator, "standard_normal"):
        raise TypeError(
            "'generator' must be None, a seed, an object with standard_normal(shape), or a list of them, one for each "
            f"sample, but is {generator!r} of type {type(generator).__name__}."
        )


_function = _drawn


def set_noise_function(function=None):
    """Replaces the function that all noise on the host comes from, until it is set again.

    Schedulers, samplers, pipelines and training draw through it. Only what a compiled graph draws itself does not: that
    of a :class:`~mindscience_diffuser.Sampler` with `noise_in_graph`, and one of the user in which a step is given no
    noise.

    Args:
        function (callable, optional): Called as ``function(shape, generator)`` with a tuple and what the caller was
            given as `generator`; returns an array of that shape. Default: ``None``, the function of this package.

    Returns:
        The function that was used before, to be set again. It is a context manager too: leaving ``with
        set_noise_function(function):`` sets it again.

    Raises:
        TypeError: If `function` is not callable.
    """
    global _function
    if function is not None:
        check_function("function", function, "function(shape, generator)")
    if isinstance(function, Previous):
        function = function.function
    previous, _function = _function, _drawn if function is None else function
    return Previous(previous)


class Previous:
    """A function of noise that was replaced: callable as it was, and a context that sets it again at its end."""

    def __init__(self, function):
        self.function = function

    def __call__(self, shape, generator=None):
        """Draws as the function did."""
        return self.function(shape, generator)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        set_noise_function(self)


def continuing(generator, batch, stream=1):
    """Returns what several draws of one call share: each seed in `generator` becomes a stream that goes on.

    Args:
        generator (optional): What :func:`draw_noise` takes. A seed gives every sample a stream of its own.
        batch (int): Number of samples.
        stream (int): Which of the independent streams of a seed. Default: ``1``, that of the fresh noise of a
            trajectory; ``0`` is that of the noise which a trajectory starts from.
    """
    if isinstance(generator, numbers.Integral):
        return NoiseSource(generator, batch, stream)
    if isinstance(generator, (list, tuple)):
        return [NoiseSource(g, 1, stream).streams[0] if isinstance(g, numbers.Integral) else g for g in generator]
    return generator
