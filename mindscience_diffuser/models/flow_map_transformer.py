"""A transformer that is told both ends of a step."""

from mindspore import ops

from mindscience_diffuser.models.blocks import Dense
from mindscience_diffuser.models.positional_transformer import PositionalConditionTransformer

STRIDE = 0.02
"""Times are embedded as those of so many times their length: a training that differentiates by the time sees nothing
but noise in faster waves."""


class FlowMapTransformer(PositionalConditionTransformer):
    """Transformer over a sequence of tokens, told both ends of a step of a flow map, and a condition.

    It is told the timestep t and the one that the step leads to, r, and embeds t and t - r, the pair that MeanFlow
    found best (Geng et al., 2025, arXiv:2505.13447, table 1c), by slower waves than other models: its training
    differentiates by t. The duration is projected by a layer that starts at zero; all other weights are those of a
    :class:`~mindscience_diffuser.PositionalConditionTransformer`, by name and shape, so that a training may begin with
    the weights of a flow and has to learn its times anew.

    Args:
        in_channels (int): channels of an input token.
        out_channels (int): channels of an output token.
        cond_channels (int): channels of the condition vector.
        hidden_channels (int): width of the transformer; a multiple of `heads`.
        layers (int): number of transformer blocks.
        heads (int): number of attention heads.
        time_token_cond (bool): the embedding of the times is a token of its own (``True``) or is added to every token.
            Default: ``True``.
        cond_as_token (bool): the embedded condition is a token of its own (``True``) or is added to every token.
            Default: ``True``.
        compute_dtype (mindspore.dtype): ``mstype.float32`` or ``mstype.float16``. Default: ``mstype.float32``.

    Inputs:
        - **x** (Tensor) - shape (B, L, in_channels).
        - **timestep** (Tensor) - t and r, shape (B, 2), any real dtype, r not above t.
        - **condition** (Tensor, optional) - shape (B, cond_channels), or with `cond_as_token` (B, N, cond_channels).
          Default: ``None``.

    Outputs:
        Tensor (B, L, out_channels) in `compute_dtype`.

    Raises:
        TypeError: If a size is no integer or a flag no bool.
        ValueError: If a size is below 1, `heads` does not divide `hidden_channels`, `compute_dtype` is another, or the
            timestep has another shape.
    """

    def _make_layers(self, heads):
        super()._make_layers(heads)
        self.duration_proj = Dense(self.hidden_channels, self.hidden_channels, weight_init="zeros", has_bias=False)

    def construct(self, x, timestep, condition=None):
        """Predicts the mean velocity of the tokens `x` between both ends in `timestep`, under `condition`."""
        if timestep.ndim != 2 or timestep.shape[1] != 2:
            raise ValueError(
                f"'timestep' must hold both ends of the step, t and r, for each sample, (B, 2), but has the shape "
                f"{timestep.shape}: sample with a FlowMapEulerDiscreteScheduler."
            )
        t, r = timestep[:, 0], timestep[:, 1]
        waves = self.wave_embed(t * STRIDE) + self.duration_proj(self.wave_embed((t - r) * STRIDE))
        return self.predict(x, self.time_embed(ops.cast(waves, self.compute_dtype)), condition)
