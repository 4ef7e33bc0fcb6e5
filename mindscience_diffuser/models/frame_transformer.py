"""A transformer that predicts the next frame of a world from the last ones and the actions."""

import numpy as np
from mindspore import Parameter, Tensor, mint, nn, ops
from mindspore import dtype as mstype
from mindspore.common.initializer import Normal, initializer

from mindscience_diffuser.cells import PublicCell, checked_values
from mindscience_diffuser.models.arguments import MOST_LAYERS, check_compute_dtype, check_heads
from mindscience_diffuser.models.blocks import Dense, FeedForward, LayerNorm, TransformerBlock
from mindscience_diffuser.models.embedding import SinusoidalEmbedding
from mindscience_diffuser.validation import check_integer, check_number

NOISE_LEVEL_SCALE = 20.0
"""Spreads c_noise = ln(sigma) / 4, a few units wide, over the periods of the embedding."""


class FrameTransformer(PublicCell):
    """The network F of an EDM denoiser of frames: Diamond's inner model with a transformer in place of the U-Net.

    The frames are periodic. A token is a square patch of the noisy frame and of the frames before it, with half a patch
    around it on all sides. Noise level and actions are embedded and added to every token. The frames also go straight
    to the output, each with a gain that depends on noise level and actions, so that a barely trained model predicts
    that every point goes on as it did.

    Args:
        context (int): Number T of past frames.
        actions (int): Number of actions.
        side (int): Height and width of a frame.
        hidden_channels (int): Width of the transformer; a multiple of `heads`.
        layers (int): Number of transformer blocks.
        heads (int): Number of attention heads.
        patch (int): Height and width of a patch, even; divides `side`. Default: ``4``.
        sigma_data (float): Standard deviation of the frames; observations are divided by it. Default: ``0.5``.
        compute_dtype (mindspore.dtype): float32 or float16. Default: ``mindspore.float32``.

    Inputs:
        - **x** (Tensor) - noisy frame times c_in, shape ``(B, 1, side, side)``.
        - **noise_level** (Tensor) - c_noise, shape ``(B,)``.
        - **obs** (Tensor) - past frames, the last one last, shape ``(B, T, side, side)``.
        - **act** (Tensor) - the action taken at each of them, integers in [0, actions), shape ``(B, T)``.

    Outputs:
        Tensor of the shape of `x`, in `compute_dtype`.

    Raises:
        TypeError: If a size is no integer.
        ValueError: If a size is below 1, or `heads` or `patch` does not divide what it must.
    """

    def __init__(
        self,
        context,
        actions,
        side,
        hidden_channels,
        layers,
        heads,
        patch=4,
        sigma_data=0.5,
        compute_dtype=mstype.float32,
    ):
        super().__init__(auto_prefix=True)
        self.context = check_integer("context", context, low=1)
        self.actions = check_integer("actions", actions, low=1)
        self.side = check_integer("side", side, low=1)
        hidden_channels = check_integer("hidden_channels", hidden_channels, low=1)
        layers = check_integer("layers", layers, low=1, high=MOST_LAYERS)
        heads = check_integer("heads", heads, low=1)
        self.patch = check_integer("patch", patch, low=1, high=self.side)
        check_heads(heads, hidden_channels)
        check_compute_dtype(compute_dtype)
        if self.side % self.patch:
            raise ValueError(f"'patch' must divide the side of a frame, {self.side}, but is {patch}.")
        if self.patch % 2:
            raise ValueError(f"'patch' must be even, but is {patch}: a token sees half a patch around its own.")
        self.sigma_data = check_number("sigma_data", sigma_data, "(0, inf)")
        self.compute_dtype = compute_dtype
        self.rows = self.side // self.patch
        area = self.patch * self.patch

        self.every_action = Tensor(np.arange(self.actions), mstype.int32)
        self.wave_embed = SinusoidalEmbedding(hidden_channels)
        self.level_embed = FeedForward(hidden_channels, compute_dtype)
        self.action_embed = Dense(self.context * self.actions, hidden_channels, compute_dtype)
        self.positions = Parameter(
            initializer(Normal(0.02), (self.rows * self.rows, hidden_channels), mstype.float32), name="positions"
        )
        self.input_proj = Dense(4 * (self.context + 1) * area, hidden_channels, compute_dtype)
        self.blocks = nn.CellList([TransformerBlock(hidden_channels, heads, compute_dtype) for _ in range(layers)])
        self.ln_post = LayerNorm(hidden_channels)
        self.output_proj = Dense(hidden_channels, area, compute_dtype, weight_init="zeros")
        self.gains = Dense(hidden_channels, self.context + 1, compute_dtype, weight_init="zeros")

    def checked_parameter(self, name, value):
        """Returns the value that a Parameter is set to."""
        return checked_values(name, value, self.positions.shape)

    def construct(self, x, noise_level, obs, act):
        """Predicts from the noisy frame `x`."""
        x = ops.cast(x, self.compute_dtype)
        obs = ops.cast(obs / self.sigma_data, self.compute_dtype)
        waves = self.wave_embed(noise_level * NOISE_LEVEL_SCALE)
        chosen = ops.cast(ops.expand_dims(act, -1) == self.every_action, self.compute_dtype)
        condition = self.level_embed(ops.cast(waves, self.compute_dtype)) + self.action_embed(
            chosen.reshape((-1, self.context * self.actions))
        )
        frames = mint.cat((x, obs), 1)
        tokens = self.input_proj(self.to_tokens(self.quarters(frames), 4 * (self.context + 1)))
        tokens = tokens + ops.cast(self.positions, self.compute_dtype) + ops.expand_dims(condition, 1)
        for block in self.blocks:
            tokens = block(tokens)
        gains = self.gains(condition).reshape((-1, self.context + 1, 1, 1))
        return self.to_frame(self.output_proj(self.ln_post(tokens))) + (gains * frames).sum(1, keepdims=True)

    def quarters(self, frames):
        """Returns the frames moved half a patch towards each corner, (B, 4 * count, side, side).

        The patches of all four at one place together are the patch there with half a patch around it.
        """
        half = self.patch // 2
        up = mint.cat((frames[:, :, half:], frames[:, :, :half]), 2)
        down = mint.cat((frames[:, :, -half:], frames[:, :, :-half]), 2)
        moved = ()
        for rows in (up, down):
            moved += (mint.cat((rows[:, :, :, half:], rows[:, :, :, :half]), 3),)
            moved += (mint.cat((rows[:, :, :, -half:], rows[:, :, :, :-half]), 3),)
        return mint.cat(moved, 1)

    def to_tokens(self, frames, count):
        """Cuts `count` frames (B, count, side, side) into tokens (B, rows^2, count * patch^2)."""
        # In two transpositions of four axes: on CPU one of more axes takes many times as long.
        strips = frames.reshape((-1, self.patch, self.rows, self.patch)).transpose((0, 2, 1, 3))
        area = self.patch * self.patch
        patches = strips.reshape((-1, count, self.rows * self.rows, area)).transpose((0, 2, 1, 3))
        return patches.reshape((-1, self.rows * self.rows, count * area))

    def to_frame(self, tokens):
        """Puts tokens (B, rows^2, patch^2) together to frames (B, 1, side, side)."""
        strips = tokens.reshape((-1, self.rows, self.patch, self.patch)).transpose((0, 2, 1, 3))
        return strips.reshape((-1, 1, self.side, self.side))
