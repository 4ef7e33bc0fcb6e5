"""The transformers of `mindscience.diffuser`, weight for weight."""

from mindspore import dtype as mstype
from mindspore import nn, ops

from mindscience_diffuser.models.blocks import Dense, FeedForward, LayerNorm, SelfAttention
from mindscience_diffuser.models.embedding import SinusoidalEmbedding
from mindscience_diffuser.models.token_transformer import Conditioned, TokenTransformer


class DiffusionTransformer(TokenTransformer):
    """Transformer over a set of tokens, told the timestep: that of `mindscience.diffuser`, whose checkpoints it loads.

    No positions are added: whatever order the tokens come in, each gets the same prediction. Where the order counts,
    it must be part of the input, or take a :class:`~mindscience_diffuser.PositionalTransformer`. The output
    projection starts at zero: an untrained model predicts zero everywhere.

    Args:
        in_channels (int): channels of an input token.
        out_channels (int): channels of an output token.
        hidden_channels (int): width of the transformer; a multiple of `heads`.
        layers (int): number of transformer blocks.
        heads (int): number of attention heads.
        time_token_cond (bool): the timestep embedding is a token of its own (``True``) or is added to every token.
            Default: ``True``.
        compute_dtype (mindspore.dtype): ``mstype.float32`` or ``mstype.float16``. The weights stay float32; layer
            norms, softmax, the timestep embedding and the sums between the layers are computed in float32.
            Default: ``mstype.float32``.

    Inputs:
        - **x** (Tensor) - shape (B, L, in_channels).
        - **timestep** (Tensor) - shape (B,) or (B, 1), any real or integer dtype.

    Outputs:
        Tensor (B, L, out_channels) in `compute_dtype`.

    Raises:
        TypeError: If a size is no integer or a flag no bool.
        ValueError: If a size is below 1, `heads` does not divide `hidden_channels` or `compute_dtype` is another.
    """

    def _make_layers(self, heads):
        width, compute_dtype = self.hidden_channels, self.compute_dtype
        self.wave_embed = SinusoidalEmbedding(width)
        self.time_embed = GeluFeedForward(width, compute_dtype)
        self.input_proj = Dense(self.in_channels, width, compute_dtype)
        self.ln_pre = LayerNorm(width)
        self.backbone = Backbone(width, self.layers, heads, compute_dtype)
        self.ln_post = LayerNorm(width)
        self.output_proj = Dense(width, self.out_channels, compute_dtype, weight_init="zeros", bias_init="zeros")

    def _time(self, timestep):
        return self.time_embed(ops.cast(self.wave_embed(timestep), self.compute_dtype))

    def _tokens(self, x):
        return self.input_proj(x)

    def _run_blocks(self, hidden, context_length):
        hidden = self.ln_post(self.backbone(self.ln_pre(ops.cast(hidden, mstype.float32))))
        if context_length:
            hidden = hidden[:, context_length:]
        return self.output_proj(hidden)


class ConditionDiffusionTransformer(Conditioned, DiffusionTransformer):
    """Transformer over a set of tokens, told the timestep and a condition: that of `mindscience.diffuser`.

    Args:
        in_channels (int): channels of an input token.
        out_channels (int): channels of an output token.
        cond_channels (int): channels of the condition.
        hidden_channels (int): width of the transformer; a multiple of `heads`.
        layers (int): number of transformer blocks.
        heads (int): number of attention heads.
        time_token_cond (bool): the timestep embedding is a token of its own (``True``) or is added to every token.
            Default: ``True``.
        cond_as_token (bool): the embedded condition is a token of its own (``True``) or is added to every token.
            Default: ``True``.
        compute_dtype (mindspore.dtype): ``mstype.float32`` or ``mstype.float16``. Default: ``mstype.float32``.

    Inputs:
        - **x** (Tensor) - shape (B, L, in_channels).
        - **timestep** (Tensor) - shape (B,) or (B, 1), any real or integer dtype.
        - **condition** (Tensor, optional) - shape (B, cond_channels), or with `cond_as_token` (B, N, cond_channels):
          N tokens. ``None`` leaves the condition out. A condition of zeros is what classifier-free guidance takes for
          "no condition". Default: ``None``.

    Outputs:
        Tensor (B, L, out_channels) in `compute_dtype`.

    Raises:
        TypeError: If a size is no integer or a flag no bool.
        ValueError: If a size is below 1, `heads` does not divide `hidden_channels`, `compute_dtype` is another, or the
            condition has another rank.
    """


class Backbone(nn.Cell):
    """The blocks of a :class:`DiffusionTransformer`, one after another."""

    def __init__(self, channels, layers, heads, compute_dtype):
        super().__init__()
        self.blocks = nn.CellList([Block(channels, heads, compute_dtype) for _ in range(layers)])

    def construct(self, x):
        """Applies the blocks to tokens of shape (B, L, C), float32."""
        for block in self.blocks:
            x = block(x)
        return x


class Block(nn.Cell):
    """One block as published: y = x + attention(norm(x)), then x + feed_forward(norm(y)).

    The second sum begins at x and not, as is usual, at y: the result of the attention reaches the next block through
    the feed-forward layers alone. Trained weights depend on it.
    """

    def __init__(self, channels, heads, compute_dtype):
        super().__init__()
        self.attention_norm = LayerNorm(channels, epsilon=1e-6)
        self.attention = SelfAttention(channels, heads, compute_dtype, qkv_init="XavierUniform")
        self.ffn_norm = LayerNorm(channels, epsilon=1e-6)
        self.ffn = GeluFeedForward(channels, compute_dtype)

    def construct(self, x):
        """Applies the block to tokens of shape (B, L, C), float32."""
        attended = x + ops.cast(self.attention(self.attention_norm(x)), mstype.float32)
        return x + ops.cast(self.ffn(self.ffn_norm(attended)), mstype.float32)


class GeluFeedForward(FeedForward):
    """A :class:`FeedForward` with a GELU, in its approximation by tanh, between the layers."""

    def construct(self, x):
        """Applies the layers to the last axis of `x`."""
        return self.fc2(ops.gelu(self.fc1(x), approximate="tanh"))
