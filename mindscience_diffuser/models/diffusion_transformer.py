"""Diffusion transformers: tokens in, the prediction that the scheduler works with out."""

from mindspore import dtype as mstype
from mindspore import nn, ops

from mindscience_diffuser.models.arguments import check_compute_dtype, check_heads
from mindscience_diffuser.models.blocks import FeedForward, LayerNorm, TransformerBlock
from mindscience_diffuser.models.embedding import SinusoidalEmbedding
from mindscience_diffuser.validation import check_bool, check_integer


class DiffusionTransformer(nn.Cell):
    """Transformer over a sequence of tokens, told the timestep.

    Fixed sinusoidal positions are added to the tokens, so any sequence length works. The output projection starts at
    zero: an untrained model predicts zero everywhere.

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
        - **timestep** (Tensor) - shape (B,), any real or integer dtype.

    Outputs:
        Tensor (B, L, out_channels) in `compute_dtype`.

    Raises:
        TypeError: If a size is no integer or a flag no bool.
        ValueError: If a size is below 1, `heads` does not divide `hidden_channels` or `compute_dtype` is another.

    The backbone is that of Peebles and Xie, 2023 (arXiv:2212.09748) with in-context conditioning.
    """

    def __init__(
        self,
        in_channels,
        out_channels,
        hidden_channels,
        layers,
        heads,
        time_token_cond=True,
        compute_dtype=mstype.float32,
    ):
        super().__init__()
        self.in_channels = check_integer("in_channels", in_channels, low=1)
        self.out_channels = check_integer("out_channels", out_channels, low=1)
        self.hidden_channels = check_integer("hidden_channels", hidden_channels, low=1)
        layers = check_integer("layers", layers, low=1)
        heads = check_integer("heads", heads, low=1)
        check_heads(heads, self.hidden_channels)
        check_bool("time_token_cond", time_token_cond)
        check_compute_dtype(compute_dtype)
        self.time_token_cond = time_token_cond
        self.context_length = int(time_token_cond)
        self.compute_dtype = compute_dtype

        self.wave_embed = SinusoidalEmbedding(self.hidden_channels)
        self.time_embed = FeedForward(self.hidden_channels, compute_dtype)
        self.input_proj = nn.Dense(self.in_channels, self.hidden_channels).to_float(compute_dtype)
        self.ln_pre = LayerNorm(self.hidden_channels)
        self.blocks = nn.CellList([TransformerBlock(self.hidden_channels, heads, compute_dtype) for _ in range(layers)])
        self.ln_post = LayerNorm(self.hidden_channels)
        self.output_proj = nn.Dense(
            self.hidden_channels, self.out_channels, weight_init="zeros", bias_init="zeros"
        ).to_float(compute_dtype)

    def construct(self, x, timestep):
        """Predicts from the noisy tokens `x` at `timestep`."""
        tokens = self._tokens(x)
        if self.time_token_cond:
            return self._transform(tokens, ops.expand_dims(self._time(timestep), 1), 1)
        return self._transform(tokens + ops.expand_dims(self._time(timestep), 1), None, 0)

    def flops(self, length):
        """Returns the floating-point operations of the matrix products of one call on one sample of `length` tokens.

        A multiplication and its addition count as two; what is computed for each element alone is left out.
        """
        width, hidden = self.hidden_channels, length + self.context_length
        ends = 2 * length * width * (self.in_channels + self.out_channels)
        time = 2 * 8 * width**2
        block = 2 * hidden * 12 * width**2 + 4 * hidden**2 * width
        return ends + time + len(self.blocks) * block

    def _time(self, timestep):
        """Embeds the timestep: (B,) to (B, hidden_channels)."""
        return self.time_embed(ops.cast(self.wave_embed(timestep), self.compute_dtype))

    def _tokens(self, x):
        """Projects the input and adds the positions of its tokens."""
        # ops.arange would take longer to compile than the rest of a small model.
        positions = self.wave_embed(ops.range(0, x.shape[1], 1))
        return self.input_proj(x) + ops.expand_dims(ops.cast(positions, self.compute_dtype), 0)

    def _transform(self, tokens, context, context_length):
        """Runs the blocks over `context_length` context tokens (B, N, C) and `tokens`; returns the latter projected."""
        hidden = tokens
        if context_length:
            hidden = ops.concat((context, tokens), axis=1)
        hidden = self.ln_pre(hidden)
        for block in self.blocks:
            hidden = block(hidden)
        if context_length:
            hidden = hidden[:, context_length:]
        return self.output_proj(self.ln_post(hidden))


class ConditionDiffusionTransformer(DiffusionTransformer):
    """Transformer over a sequence of tokens, told the timestep and a condition vector.

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
        - **timestep** (Tensor) - shape (B,), any real or integer dtype.
        - **condition** (Tensor, optional) - shape (B, cond_channels). ``None`` leaves the condition out.
          A condition of zeros is what classifier-free guidance takes for "no condition". Default: ``None``.

    Outputs:
        Tensor (B, L, out_channels) in `compute_dtype`.

    Raises:
        TypeError: If a size is no integer or a flag no bool.
        ValueError: If a size is below 1, `heads` does not divide `hidden_channels` or `compute_dtype` is another.
    """

    def __init__(
        self,
        in_channels,
        out_channels,
        cond_channels,
        hidden_channels,
        layers,
        heads,
        time_token_cond=True,
        cond_as_token=True,
        compute_dtype=mstype.float32,
    ):
        super().__init__(in_channels, out_channels, hidden_channels, layers, heads, time_token_cond, compute_dtype)
        self.cond_channels = check_integer("cond_channels", cond_channels, low=1)
        check_bool("cond_as_token", cond_as_token)
        self.cond_as_token = cond_as_token
        self.context_length += int(cond_as_token)
        self.cond_embed = nn.Dense(self.cond_channels, self.hidden_channels).to_float(compute_dtype)

    def construct(self, x, timestep, condition=None):
        """Predicts from the noisy tokens `x` at `timestep` under `condition`."""
        return self.predict(x, self._time(timestep), condition)

    def flops(self, length):
        """Returns the floating-point operations of :meth:`DiffusionTransformer.flops` and of embedding a condition."""
        return super().flops(length) + 2 * self.cond_channels * self.hidden_channels

    def predict(self, x, time, condition):
        """Predicts from the noisy tokens `x`, the embedded timestep (B, hidden_channels) and `condition`."""
        tokens = self._tokens(x)
        context = ()
        time = ops.expand_dims(time, 1)
        if self.time_token_cond:
            context = context + (time,)
        else:
            tokens = tokens + time
        if condition is not None:
            embedded = ops.expand_dims(self.cond_embed(condition), 1)
            if self.cond_as_token:
                context = context + (embedded,)
            else:
                tokens = tokens + embedded
        if len(context) == 0:
            return self._transform(tokens, None, 0)
        if len(context) == 1:
            return self._transform(tokens, context[0], 1)
        return self._transform(tokens, ops.concat(context, axis=1), 2)
