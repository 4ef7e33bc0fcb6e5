"""Transformer blocks: attention and feed-forward layers with the normalisation before them."""

import math

from mindspore import Parameter, nn, ops
from mindspore import dtype as mstype
from mindspore.common.initializer import initializer


class Dense(nn.Dense):
    """A dense layer in `compute_dtype` of samples of any rank >= 2; its graph compiles three times as fast as nn.Dense.

    Args:
        in_channels (int): Length of the last axis of the input.
        out_channels (int): Length of the last axis of the result.
        compute_dtype (mindspore.dtype): Dtype of the arithmetic and of the result. Default: ``mindspore.float32``.
        **options: `weight_init`, `bias_init` and `has_bias` of nn.Dense.
    """

    def __init__(self, in_channels, out_channels, compute_dtype=mstype.float32, **options):
        super().__init__(in_channels, out_channels, **options)
        self.compute_dtype = compute_dtype
        self.rows = (-1, in_channels)
        self.product, self.plus = ops.MatMul(transpose_b=True), ops.BiasAdd()

    def construct(self, x):
        """Applies the layer to the last axis of `x`."""
        rows = ops.cast(x if x.ndim == 2 else ops.reshape(x, self.rows), self.compute_dtype)
        result = self.product(rows, ops.cast(self.weight, self.compute_dtype))
        if self.has_bias:
            result = self.plus(result, ops.cast(self.bias, self.compute_dtype))
        if x.ndim == 2:
            return result
        # A slice of the shape takes longer to compile than all the rest.
        shape = (-1, x.shape[1]) if x.ndim == 3 else x.shape[:-1]
        return ops.reshape(result, shape + (self.out_channels,))


class LayerNorm(nn.Cell):
    """Layer normalisation over the last axis, computed in float32 and returned in the dtype of the input.

    In half precision the sum of squares overflows where the values themselves are still far from the limit.
    """

    def __init__(self, channels, epsilon=1e-5):
        super().__init__()
        self.norm = ops.LayerNorm(begin_norm_axis=-1, begin_params_axis=-1, epsilon=epsilon)
        self.gamma = Parameter(initializer("ones", (channels,), mstype.float32), name="gamma")
        self.beta = Parameter(initializer("zeros", (channels,), mstype.float32), name="beta")

    def construct(self, x):
        """Normalises `x` of shape (..., channels)."""
        y, _, _ = self.norm(ops.cast(x, mstype.float32), self.gamma, self.beta)
        return ops.cast(y, x.dtype)


class FeedForward(nn.Cell):
    """Two dense layers with a SiLU between them; the inner one is four times as wide.

    SiLU rather than GELU: on CPU the kernel of the latter takes longer than the dense layers around it.
    """

    def __init__(self, channels, compute_dtype=mstype.float32):
        super().__init__()
        self.fc1 = Dense(channels, 4 * channels, compute_dtype)
        self.fc2 = Dense(4 * channels, channels, compute_dtype)

    def construct(self, x):
        """Applies the layers to the last axis of `x`."""
        return self.fc2(ops.silu(self.fc1(x)))


class SelfAttention(nn.Cell):
    """Multi-head self-attention over the tokens of (B, L, C), the softmax in float32."""

    def __init__(self, channels, heads, compute_dtype=mstype.float32, qkv_init=None):
        super().__init__()
        self.channels = channels
        self.heads = heads
        self.scale = 1.0 / math.sqrt(channels // heads)
        self.compute_dtype = compute_dtype
        self.qkv = Dense(channels, 3 * channels, compute_dtype, weight_init=qkv_init)
        self.proj = Dense(channels, channels, compute_dtype)
        # Operators rather than functions: the graph compiler takes longer over ops.split and ops.softmax than over the
        # rest of the attention.
        self.kinds = ops.Split(axis=1, output_num=3)
        self.softmax = ops.Softmax(axis=-1)
        self.scores = ops.BatchMatMul(transpose_b=True)
        self.mix = ops.BatchMatMul()

    def construct(self, x):
        """Lets every token attend to all tokens of its sample."""
        length = x.shape[1]
        width = self.channels // self.heads
        # Heads of all three kinds side by side in one axis: a 5-D transpose is 15 times slower on CPU than this one.
        by_head = self.qkv(x).reshape((-1, length, 3 * self.heads, width)).transpose((0, 2, 1, 3))
        query, key, value = self.kinds(by_head)
        # The queries are scaled before the product so that half precision never holds an unscaled score.
        scores = self.scores(query * self.scale, key)
        weights = ops.cast(self.softmax(ops.cast(scores, mstype.float32)), self.compute_dtype)
        mixed = self.mix(weights, value)
        return self.proj(mixed.transpose((0, 2, 1, 3)).reshape((-1, length, self.channels)))


class TransformerBlock(nn.Cell):
    """One pre-norm transformer block: x + attention(norm(x)), then x + feed_forward(norm(x))."""

    def __init__(self, channels, heads, compute_dtype=mstype.float32):
        super().__init__()
        self.ln_attention = LayerNorm(channels)
        self.attention = SelfAttention(channels, heads, compute_dtype)
        self.ln_feed_forward = LayerNorm(channels)
        self.feed_forward = FeedForward(channels, compute_dtype)

    def construct(self, x):
        """Applies the block to tokens of shape (B, L, C)."""
        x = x + self.attention(self.ln_attention(x))
        return x + self.feed_forward(self.ln_feed_forward(x))
