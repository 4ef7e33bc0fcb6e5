"""Noise that is a function of its place: seed, sample number, draw and index give the value, without any state.

A graph can therefore draw it with integer operators alone, see :mod:`mindscience_diffuser.sampling.graph_noise`; here
is the NumPy form, whose integers are the same bit for bit.
"""

import math
import numbers

import numpy as np

from mindscience_diffuser.validation import check_integer, check_shape

LARGEST_SEED = 2**64 - 1
LARGEST_NUMBER = 2**31 - 1
"""Largest sample number and largest number of a draw: both are words of a counter, and int32 inputs of graphs."""
MOST_VALUES = 2**32
"""Values of one sample in one draw: two for each number that the other word of the counter can hold, from 0 on."""

ROTATIONS = (13, 15, 26, 6, 17, 29, 16, 24)
PARITY = 0x1BD11BDA
ROUNDS = 20

FROM_BELOW = 1 - 2**23
"""Takes the upper 24 bits of a word, [-2^23, 2^23), to (-2^24, 0]."""
TURN = 2 * math.pi * 2**-24

PAIRS_AT_ONCE = 2**14
"""Pairs of values that NumPy makes at once: few enough for the cache of a processor."""


def threefry(key, counter, rotated):
    """Threefry-2x32 with 20 rounds: a bijection of counters for each key (Salmon et al., 2011, section 4.2).

    All sums are modulo 2^32, on int32 whose bits are read as unsigned: every device has these operators.

    Args:
        key (tuple): Two words, int32 arrays or Tensors that broadcast with the counter.
        counter (tuple): Two words, int32.
        rotated (callable): Called as ``rotated(word, n)``; returns the bits of a word rotated to the left by n.

    Returns:
        Tuple of two words, int32.
    """
    keys = (key[0], key[1], key[0] ^ key[1] ^ PARITY)
    x, y = counter[0] + keys[0], counter[1] + keys[1]
    for i in range(ROUNDS // 4):
        for j in range(4):
            x = x + y
            y = rotated(y, ROTATIONS[(4 * i + j) % 8]) ^ x
        x = x + keys[(i + 1) % 3]
        y = y + (keys[(i + 2) % 3] + (i + 1))
    return x, y


class CounterNoise:
    """Standard normal noise that is a function of seed, sample number, number of the draw and index of the value.

    A draw does not depend on those before it, on the batch or on the device. A :class:`~mindscience_diffuser.Sampler`
    with ``noise_in_graph=True`` draws the same inside its graph: the integers are equal bit for bit, the normal values
    within float32 rounding.

    The generator is Threefry-2x32 with 20 rounds (Salmon et al., 2011, "Parallel random numbers: as easy as 1, 2, 3").
    Under the seed as key, the counter (sample number, 0) gives the key of a sample; under that key the counter (index
    of the pair, number of the draw) gives two words, and these two values (Box and Muller, 1958), none farther from 0
    than 5.77. The generator is a bijection of counters: no two samples of a seed have the same key, and no two pairs of
    a sample, in whichever draws, the same words.

    Args:
        seed (int): Seed of the run, in [0, 2^64 - 1].
        samples (int or Sequence[int]): Numbers of the samples of this batch, each in [0, 2^31 - 1], or how many,
            counted from 0.

    Raises:
        TypeError: If `seed` or a sample number is not an integer.
        ValueError: If one of them is out of range.
    """

    def __init__(self, seed, samples):
        self.seed = check_integer("seed", seed, low=0, high=LARGEST_SEED)
        if isinstance(samples, numbers.Integral):
            samples = range(check_integer("samples", samples, low=0, high=LARGEST_NUMBER + 1))
        self.samples = tuple(check_integer("samples", k, low=0, high=LARGEST_NUMBER) for k in samples)
        self.next = 0

    @property
    def seed_words(self):
        """The seed as a graph takes it: its lower and upper 32 bits, int32, ``(2,)``."""
        return np.array([self.seed & 0xFFFFFFFF, self.seed >> 32], np.uint32).view(np.int32)

    @property
    def sample_numbers(self):
        """The sample numbers as a graph takes them, int32, ``(B,)``."""
        return np.array(self.samples, np.int32)

    def standard_normal(self, shape):
        """Returns the next draw: the first call gives draw 0, the second draw 1.

        Args:
            shape (Sequence[int]): ``(B, ...)`` where B is the number of samples of this source.

        Returns:
            numpy.ndarray, float32.

        Raises:
            TypeError: If `shape` is no sequence of integers.
            ValueError: If the first axis is not the number of samples, or a sample has more than 2^32 values.
        """
        drawn = self.draw(self.next, shape)
        self.next += 1
        return drawn

    def draw(self, number, shape):
        """Returns draw `number`, whatever was drawn before.

        Args:
            number (int): Number of the draw, in [0, 2^31 - 1]: 0 is where a trajectory starts, i + 1 the fresh noise of
                step i.
            shape (Sequence[int]): As for :meth:`standard_normal`.

        Returns:
            numpy.ndarray, float32.
        """
        number = check_integer("number", number, low=0, high=LARGEST_NUMBER)
        shape = check_shape("shape", shape)
        if len(self.samples) != shape[0]:
            raise ValueError(
                f"'shape' is {shape}, but this source has {len(self.samples)} samples: the first axis must be their "
                "number."
            )
        size = check_size(shape)
        pairs = -(-size // 2)
        noise = np.empty((shape[0], pairs, 2), np.float32)
        for first in range(0, pairs, PAIRS_AT_ONCE):
            last = min(first + PAIRS_AT_ONCE, pairs)
            for row in range(shape[0]):
                noise[row, first:last] = normal_pairs(*self.words(number, first, last, slice(row, row + 1)))[0]
        return noise.reshape(shape[0], 2 * pairs)[:, :size].reshape(shape)

    def words(self, number, first, last, rows=slice(None)):
        """Returns the two words of each pair in [first, last) of a draw, each int32, ``(B, last - first)``."""
        numbered = self.sample_numbers[rows, None]
        seed = self.seed_words[:, None, None]
        key = threefry((seed[0], seed[1]), (numbered, np.zeros_like(numbered)), rotated_left)
        index = np.arange(first, last, dtype=np.int64).astype(np.int32)[None]
        return threefry(key, (index, np.full((1, 1), number, np.int32)), rotated_left)


def counter_noise(generator, batch):
    """Returns the noise of counters, at its first draw, for what a caller gave as `generator`.

    Args:
        generator (optional): A seed, for the samples from 0 on; a :class:`CounterNoise`; or None for a seed from
            NumPy's global stream.
        batch (int): Number of samples.

    Raises:
        TypeError: If `generator` is none of these.
        ValueError: If a seed is out of range, or a :class:`CounterNoise` has another number of samples.
    """
    if generator is None:
        generator = int(np.random.randint(2**31))
    if isinstance(generator, numbers.Integral):
        return CounterNoise(generator, batch)
    if not isinstance(generator, CounterNoise):
        raise TypeError(
            "'generator' must be None, a seed or a CounterNoise where noise is drawn in the graph, but is "
            f"{generator!r} of type {type(generator).__name__}: no other stream can go on there."
        )
    if len(generator.samples) != batch:
        raise ValueError(
            f"'generator' has {len(generator.samples)} samples, but the batch has {batch}: give a number for each."
        )
    return CounterNoise(generator.seed, generator.samples)


def check_size(shape):
    """Returns the number of values of a sample of a shape ``(B, ...)``; ValueError if a counter cannot number them."""
    size = math.prod(shape[1:])
    if size > MOST_VALUES:
        raise ValueError(
            f"'shape' is {tuple(shape)}, whose samples have {size} values each, but one draw numbers at most "
            f"{MOST_VALUES}: draw parts of a sample under sample numbers of their own."
        )
    return size


def rotated_left(word, n):
    """Returns the bits of int32 words rotated to the left by n."""
    bits = word.view(np.uint32)
    return ((bits << np.uint32(n)) | (bits >> np.uint32(32 - n))).view(np.int32)


def normal_pairs(x, y):
    """Returns two standard normal values for each two words (Box and Muller, 1958), float32, on a last axis of its own.

    log(u) with u = ((x >> 8) + 2^23 + 1) / 2^24 in (0, 1], which is never 0: as log1p(u - 1), u - 1 without rounding.
    v = 2 pi (y >> 8) / 2^24 in [-pi, pi).
    """
    log = np.log1p(((x >> 8) + FROM_BELOW).astype(np.float32) * np.float32(2**-24))
    v = (y >> 8).astype(np.float32) * np.float32(TURN)
    radius = np.sqrt(np.float32(-2) * log)
    return np.stack([radius * np.cos(v), radius * np.sin(v)], axis=-1)
