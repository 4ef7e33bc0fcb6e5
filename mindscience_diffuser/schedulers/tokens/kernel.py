"""The categorical kernel: what the steps of all schedulers of tokens have in common on the device.

A step draws a candidate for each token from the logits of the model, decides by a row of the scheduler's table which
tokens take theirs, and fills the others. All random choices are functions of uniform noise that the step is given. The
arithmetic is in float32, whatever the logits: probabilities of a large vocabulary leave float16.
"""

from functools import cache

from mindspore import dtype as mstype
from mindspore import nn, ops

from mindscience_diffuser.step import shaped

LEAST_ARGUMENT = 1e-20
MOST_ARGUMENT = 1 - 2.0**-24
LEAST_PROBABILITY = 1e-30
"""Bounds of what a logarithm is taken of: an impossible token is never the largest beside a possible one."""


class TokenKernel(nn.Cell):
    """One step of a scheduler of tokens; a part of larger graphs. Subclasses have `moved`.

    Args:
        *settings: What the graph depends on besides the table, shapes and dtypes.
    """

    def __init__(self, *settings):
        super().__init__()
        self.settings = settings

    def __reduce__(self):
        return token_kernel, (type(self), *self.settings)

    def apply(self, row, values):
        """Returns what `moved` returns, in the shape of the tokens.

        `row` is a tuple from :func:`~mindscience_diffuser.step.weights_of`. `values` are the logits, ``(B, ..., K)``,
        the tokens, ``(B, ...)``, and what else the step takes: noise, which gets one axis of positions too, and others.
        """
        axes, length = values[1].shape[1:], 1
        # From the axes after the batch, which are known even where the batch is not.
        for size in axes:
            length = length * size
        inputs = ()
        for value in values[2:]:
            inputs += (value if value is None or value.ndim < 2 else self.by_position(value, axes, length),)
        tokens = ops.cast(values[1].reshape((-1, length)), mstype.int32)
        results = ()
        for result in self.moved(row, self.by_position(values[0], axes, length), tokens, *inputs):
            results += (result.reshape((-1,) + axes),)
        return results

    def by_position(self, value, axes, length):
        """Returns values ``(B, ..., n)`` as float32 ``(B, L, n)``, and those for each token as ``(B, L, 1)``."""
        count = value.shape[-1] if value.ndim > len(axes) + 1 else 1
        return ops.cast(value.reshape((-1, length, count)), mstype.float32)

    def gumbel(self, uniform):
        """Returns standard Gumbel noise of uniform noise: the largest of logits + noise is a draw of their softmax."""
        uniform = ops.clamp(uniform, LEAST_ARGUMENT, MOST_ARGUMENT)
        # -log(u) >= 1 - u, but on CPU log(u) is 0 for the last numbers below 1, whose noise would exceed all logits.
        return -ops.log(ops.maximum(-ops.log(uniform), 1 - uniform))

    def drawn(self, logits, noise, temperature=None):
        """Returns a token for each position, of the distribution softmax(logits / temperature); at 0 the likeliest."""
        if noise is not None:
            noise = self.gumbel(noise)
            logits = logits + (noise if temperature is None else shaped(temperature, noise) * noise)
        return ops.cast(ops.argmax(logits, -1), mstype.int32)

    def uniform_tokens(self, uniform, classes):
        """Returns a token of each uniform number, all tokens with the same probability."""
        tokens = ops.floor(uniform * classes)
        return ops.cast(ops.minimum(tokens, (classes - 1) * ops.ones_like(tokens)), mstype.int32)

    def ranks(self, order):
        """Returns the place of each position in an order of the positions, int32, from 0."""
        return ops.cast(ops.sort(ops.cast(order, mstype.float32), 1)[1], mstype.int32)

    def probability(self, probabilities, tokens):
        """Returns the probability of each token, of ``(B, L, K)`` and ``(B, L)``."""
        return ops.gather_d(probabilities, 2, tokens.expand_dims(-1)).squeeze(-1)


@cache
def token_kernel(kind, *settings):
    """Returns the kernel of a class; schedulers of the same settings share one, and so its compiled graphs."""
    return kind(*settings)
