"""A transformer that is told the guidance scale, in place of being called twice for it."""

from mindspore import ops

from mindscience_diffuser.models.blocks import Dense
from mindscience_diffuser.models.positional_transformer import PositionalConditionTransformer

SCALE_STRIDE = 1000.0
"""A guidance scale is embedded as this many timesteps would be: neighbouring scales differ by fractions."""


class GuidanceDiffusionTransformer(PositionalConditionTransformer):
    """Transformer over a sequence of tokens, told the timestep, a condition vector and the guidance scale.

    Students of guidance distillation are such models: one call gives what guidance makes of two (Luo et al., 2023,
    arXiv:2310.04378, section 4.2). The scale is embedded like the timestep, projected by a layer that starts at zero,
    and added to the timestep's embedding. All other weights are those of a
    :class:`~mindscience_diffuser.PositionalConditionTransformer`, by name and shape.

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
        - **condition** (Tensor) - shape (B, cond_channels).
        - **guidance_scale** (Tensor) - shape (B,), any real dtype.

    Outputs:
        Tensor (B, L, out_channels) in `compute_dtype`.

    Raises:
        TypeError: If a size is no integer or a flag no bool.
        ValueError: If a size is below 1, `heads` does not divide `hidden_channels` or `compute_dtype` is another.
    """

    def _make_layers(self, heads):
        super()._make_layers(heads)
        self.guidance_proj = Dense(self.hidden_channels, self.hidden_channels, weight_init="zeros", has_bias=False)

    def construct(self, x, timestep, condition, guidance_scale):
        """Predicts from the noisy tokens `x` at `timestep` under `condition`, guided with `guidance_scale`."""
        waves = self.wave_embed(timestep) + self.guidance_proj(self.wave_embed(guidance_scale * SCALE_STRIDE))
        return self.predict(x, self.time_embed(ops.cast(waves, self.compute_dtype)), condition)
