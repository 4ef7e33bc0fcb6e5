"""The form of :class:`~mindscience_diffuser.noise.counter.CounterNoise` that is part of a graph."""

from mindspore import Tensor, nn, ops
from mindspore import dtype as mstype

from mindscience_diffuser.noise.counter import FROM_BELOW, TURN, threefry

# By themselves they compile sooner than Python's operators. Not in a cell: primitives do not pickle.
MUL, OR, AND, SHIFTED_RIGHT = ops.Mul(), ops.BitwiseOr(), ops.BitwiseAnd(), ops.RightShift()


class GraphNoise(nn.Cell):
    """Draws the noise of :class:`~mindscience_diffuser.CounterNoise` inside a graph, with integer operators alone.

    The integers are the same bit for bit; the normal values agree within float32 rounding. In float16 they are rounded
    at the end, and finite.

    Inputs:
        - **seed** (Tensor) - lower and upper 32 bits of the seed, int32, ``(2,)``.
        - **samples** (Tensor) - numbers of the samples, int32, ``(B,)``.
        - **number** (Tensor) - number of the draw, int32, 0-D; or ``(n, 1, 1)`` for n draws at once.
        - **like** (Tensor) - has the shape of the samples, ``(B, ...)``, and the dtype of the noise.

    Outputs:
        Tensor, ``(B, ...)``; ``(n, B, ...)`` of n draws.
    """

    def __init__(self):
        super().__init__(auto_prefix=False)

    def construct(self, seed, samples, number, like):
        """Returns one or several draws."""
        return self.draw(self.keys(seed, samples), number, like)

    def keys(self, seed, samples):
        """Returns what all draws of the samples share: two words for each, int32, ``(B, 1)``."""
        numbered = samples.reshape((-1, 1))
        return threefry((seed[0], seed[1]), (numbered, ops.zeros_like(numbered)), rotated_left)

    def draw(self, keys, number, like):
        """Returns the draw of a number in the shape and dtype of `like`."""
        size = 1
        for length in like.shape[1:]:
            size = size * length
        noise = normal_pairs(*self.words(keys, number, (size + 1) // 2))
        draws = noise.shape[:-3]
        noise = noise.reshape(draws + (-1, size + size % 2))
        if size % 2 == 1:
            noise = noise[..., :size]
        # Shifts have no gradient: without this, no graph around them would have one either.
        return ops.stop_gradient(ops.cast(noise.reshape(draws + (-1,) + like.shape[1:]), like.dtype))

    def words(self, keys, number, pairs):
        """Returns the two words of each of the first pairs of a draw, int32."""
        # A sum over ones: the operator for ranges is none that Ascend documents.
        index = ops.cumsum(ops.ones((1, pairs), mstype.int32), 1) - 1
        return threefry(keys, (index, number), rotated_left)


def rotated_left(word, n):
    """The form of :func:`mindscience_diffuser.noise.counter.rotated_left` for Tensors."""
    # A product is a shift to the left, modulo 2^32. The shift to the right fills up with the sign: the mask undoes it.
    return OR(MUL(word, 2**n), AND(SHIFTED_RIGHT(word, Tensor(32 - n, mstype.int32)), 2**n - 1))


def normal_pairs(x, y):
    """The form of :func:`mindscience_diffuser.noise.counter.normal_pairs` for Tensors."""
    log = ops.log1p(ops.cast(ops.bitwise_right_shift(x, 8) + FROM_BELOW, mstype.float32) * 2.0**-24)
    v = ops.cast(ops.bitwise_right_shift(y, 8), mstype.float32) * TURN
    radius = ops.sqrt(-2.0 * log)
    return ops.stack((radius * ops.cos(v), radius * ops.sin(v)), axis=-1)
