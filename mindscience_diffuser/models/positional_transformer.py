"""Transformers whose tokens know their position in the sequence."""

from mindspore import nn, ops

from mindscience_diffuser.models.blocks import Dense, FeedForward, LayerNorm, TransformerBlock
from mindscience_diffuser.models.embedding import SinusoidalEmbedding
from mindscience_diffuser.models.token_transformer import Conditioned, TokenTransformer


class PositionalTransformer(TokenTransformer):
    """Transformer over a sequence of tokens with positions, told the timestep.

    Fixed sinusoidal positions are added to the tokens, so any sequence length works. The output projection starts at
    zero: an untrained model predicts zero everywhere. Its weights are no weights of a
    :class:`~mindscience_diffuser.DiffusionTransformer`.

    Args:
        in_channels (int): channels of an input token.
        out_channels (int): channels of an output token.
        hidden_channels (int): width of the transformer; a multiple of `heads`.
        layers (int): number of transformer blocks.
        heads (int): number of attention heads.
        time_token_cond (bool): the timestep embedding is a token of its own (``True``) or is added to every token.
            Default: ``True``.
        compute_dtype (mindspore.dtype): ``mstype.float32`` or ``mstype.float16``. The weights stay float32; layer
            norms, softmax and the timestep embedding are computed in float32. Default: ``mstype.float32``.

    Inputs:
        - **x** (Tensor) - shape (B, L, in_channels).
        - **timestep** (Tensor) - shape (B,) or (B, 1), any real or integer dtype.

    Outputs:
        Tensor (B, L, out_channels) in `compute_dtype`.

    Raises:
        TypeError: If a size is no integer or a flag no bool.
        ValueError: If a size is below 1, `heads` does not divide `hidden_channels` or `compute_dtype` is another.

    The backbone is that of Peebles and Xie, 2023 (arXiv:2212.09748) with in-context conditioning.
    """

    def _make_layers(self, heads):
        width, compute_dtype = self.hidden_channels, self.compute_dtype
        self.wave_embed = SinusoidalEmbedding(width)
        self.time_embed = FeedForward(width, compute_dtype)
        self.input_proj = Dense(self.in_channels, width, compute_dtype)
        self.ln_pre = LayerNorm(width)
        self.blocks = nn.CellList([TransformerBlock(width, heads, compute_dtype) for _ in range(self.layers)])
        self.ln_post = LayerNorm(width)
        self.output_proj = Dense(width, self.out_channels, compute_dtype, weight_init="zeros", bias_init="zeros")

    def _time(self, timestep):
        return self.time_embed(ops.cast(self.wave_embed(timestep), self.compute_dtype))

    def _tokens(self, x):
        # ops.arange would take longer to compile than the rest of a small model.
        positions = self.wave_embed(ops.range(0, x.shape[1], 1))
        return self.input_proj(x) + ops.expand_dims(ops.cast(positions, self.compute_dtype), 0)

    def _run_blocks(self, hidden, context_length):
        hidden = self.ln_pre(hidden)
        for block in self.blocks:
            hidden = block(hidden)
        if context_length:
            hidden = hidden[:, context_length:]
        return self.output_proj(self.ln_post(hidden))


class PositionalConditionTransformer(Conditioned, PositionalTransformer):
    """Transformer over a sequence of tokens with positions, told the timestep and a condition.

    Args:
        in_channels (int): channels of an input token.
        out_channels (int): channels of an output token.
        cond_channels (int): channels of the condition vector.
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
