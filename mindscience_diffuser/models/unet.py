"""UNet: residual blocks over several resolutions, for samples on grids of one, two or three axes."""

import math

from mindspore import dtype as mstype
from mindspore import mint, nn, ops

from mindscience_diffuser.cells import PublicCell
from mindscience_diffuser.models.arguments import check_compute_dtype, check_heads
from mindscience_diffuser.models.blocks import Dense, LayerNorm, SelfAttention
from mindscience_diffuser.models.embedding import SinusoidalEmbedding
from mindscience_diffuser.models.grid import GridConvolution, GroupNorm, coarser, finer, halved
from mindscience_diffuser.validation import check_bool, check_choice, check_integer, check_number

MOST_GROUPS, LEAST_CHANNELS_OF_A_GROUP = 32, 4

PRESETS = {
    "adm": {
        "hidden_channels": 192,
        "multipliers": (1, 2, 3, 4),
        "blocks": 3,
        "attention": (1, 2, 3),
        "heads": (6, 9, 12),
        "adaptive_scale": True,
        "skip_scale": 1.0,
        "dropout": 0.1,
    },
    "edm": {
        "hidden_channels": 128,
        "multipliers": (2, 2, 2),
        "blocks": 4,
        "attention": (1,),
        "heads": 1,
        "adaptive_scale": False,
        "skip_scale": math.sqrt(0.5),
        "dropout": 0.13,
    },
}
"""The choices of ADM for 64 x 64 images (Dhariwal and Nichol, 2021, arXiv:2105.05233) and of DDPM++ as EDM trains it
for 32 x 32 images (Karras et al., 2022, arXiv:2206.00364, table 7 and appendix F.2): widths, depths, attention, how
time enters, dropout. Both networks halve and double inside a residual block of its own, where this one convolves."""


class UNet(PublicCell):
    """A UNet of residual blocks with group normalisation, conditioned on time, a vector and a field.

    Any grid length works: an odd one is halved upwards, and the way back returns to it.

    Args:
        in_channels (int): Channels of a sample.
        out_channels (int): Channels of the prediction.
        axes (int): Axes of the grid, 1, 2 or 3. Default: ``2``.
        hidden_channels (int): Channels at the finest resolution, times its multiplier. Default: ``64``.
        multipliers (Sequence[int]): Channels of each resolution in units of `hidden_channels`; each resolution after
            the first is half the one before. Default: ``(1, 2, 2)``.
        blocks (int): Residual blocks of each resolution on the way down; one more on the way up. Default: ``2``.
        attention (Sequence[int]): Resolutions, counted from 0, whose blocks are followed by self-attention. Where there
            is one, there is attention in the middle of the network too. Default: ``()``.
        heads (int or Sequence[int]): Attention heads, a number for all of those resolutions or one for each in the
            order of `attention`, the last one for the middle too; divides their channels. Default: ``4``.
        vector_channels (int): Length of the condition vector of each sample; 0 if there is none. Default: ``0``.
        field_channels (int): Channels of the conditions on the grid of the samples together, joined with them; 0 if
            there is none. Default: ``0``.
        adaptive_scale (bool): Whether time and vector scale and shift the normalised channels, as in ADM, or are added
            to them, as in DDPM++. Default: ``True``.
        skip_scale (float): Factor of the sum of a block's input and output, in (0, 1]. Default: ``1.0``.
        dropout (float): Share of the activations that training sets to zero inside each block, in [0, 1).
            Default: ``0.0``.
        compute_dtype (mindspore.dtype): float32 or float16. Default: ``mindspore.float32``.

    Inputs:
        - **x** (Tensor) - ``(B, in_channels, *grid)``.
        - **timestep** (Tensor) - ``(B,)``, any real or integer dtype: a timestep, or c_noise of EDM.
        - **conditions** (Tensor) - the vector ``(B, vector_channels)``, then one or several fields ``(B, F, *grid)``
          with `field_channels` together; each only where it was asked for.

    Outputs:
        Tensor ``(B, out_channels, *grid)`` in `compute_dtype`.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a value is out of range, `heads` does not divide the channels, or the conditions of a call are
            not those that the constructor was told.
    """

    def __init__(
        self,
        in_channels,
        out_channels,
        axes=2,
        hidden_channels=64,
        multipliers=(1, 2, 2),
        blocks=2,
        attention=(),
        heads=4,
        vector_channels=0,
        field_channels=0,
        adaptive_scale=True,
        skip_scale=1.0,
        dropout=0.0,
        compute_dtype=mstype.float32,
    ):
        super().__init__(auto_prefix=True)
        self.in_channels = check_integer("in_channels", in_channels, low=1)
        self.out_channels = check_integer("out_channels", out_channels, low=1)
        self.axes = check_integer("axes", axes, low=1, high=3)
        hidden = check_integer("hidden_channels", hidden_channels, low=1)
        widths = [hidden * check_integer("multipliers", m, low=1) for m in multipliers]
        if not widths:
            raise ValueError("'multipliers' is empty: give one number for each resolution.")
        blocks = check_integer("blocks", blocks, low=1)
        attended = [check_integer("attention", level, low=0, high=len(widths) - 1) for level in attention]
        heads_at = dict(zip(attended, heads_of_each(heads, len(attended))))
        middle = heads_at.get(len(widths) - 1, list(heads_at.values())[-1] if heads_at else 0)
        for level, count in (*heads_at.items(), (-1, middle)):
            if count:
                check_heads(count, widths[level])
        self.vector_channels = check_integer("vector_channels", vector_channels, low=0)
        self.field_channels = check_integer("field_channels", field_channels, low=0)
        check_number("dropout", dropout, "[0, 1)")
        check_compute_dtype(compute_dtype)
        self.compute_dtype = compute_dtype
        self.vectors = int(self.vector_channels > 0)

        embedding = 4 * hidden
        self.waves = SinusoidalEmbedding(hidden)
        self.time_embed = nn.SequentialCell(
            Dense(hidden, embedding, compute_dtype),
            nn.SiLU(),
            Dense(embedding, embedding, compute_dtype),
        )
        if self.vector_channels:
            self.vector_embed = Dense(self.vector_channels, embedding, compute_dtype)

        def block(of, to, heads):
            return ResidualBlock(
                self.axes,
                of,
                to,
                embedding,
                heads,
                check_bool("adaptive_scale", adaptive_scale),
                check_number("skip_scale", skip_scale, "(0, 1]"),
                dropout,
                compute_dtype,
            )

        self.input_convolution = GridConvolution(self.axes, self.in_channels + self.field_channels, widths[0])
        kept, width = [widths[0]], widths[0]
        down, halvings = [], []
        for level, to in enumerate(widths):
            if level > 0:
                halvings.append(GridConvolution(self.axes, width, width))
                kept.append(width)
            for _ in range(blocks):
                down.append(block(width, to, heads_at.get(level, 0)))
                width = to
                kept.append(width)
        self.middle_first = block(width, width, middle)
        self.middle_second = block(width, width, heads_at.get(len(widths) - 1, 0))
        up, doublings = [], []
        for level in reversed(range(len(widths))):
            for _ in range(blocks + 1):
                up.append(block(width + kept.pop(), widths[level], heads_at.get(level, 0)))
                width = widths[level]
            if level > 0:
                doublings.append(GridConvolution(self.axes, width, width))
        self.blocks, self.levels = blocks, len(widths)
        self.down, self.halvings = nn.CellList(down), nn.CellList(halvings)
        self.up, self.doublings = nn.CellList(up), nn.CellList(doublings)
        self.output_norm = group_norm(width)
        self.output_convolution = GridConvolution(self.axes, width, self.out_channels, zero=True)

    @classmethod
    def from_preset(cls, name, in_channels, out_channels, **overrides):
        """Builds the network with the choices of a paper.

        Args:
            name (str): ``"adm"`` or ``"edm"``, keys of ``PRESETS``.
            in_channels (int): Channels of a sample.
            out_channels (int): Channels of the prediction.
            **overrides: Arguments of the constructor that replace those of the preset.
        """
        return cls(in_channels, out_channels, **{**PRESETS[check_choice("name", name, PRESETS)], **overrides})

    def construct(self, x, timestep, *conditions):
        """Returns the prediction."""
        if x.ndim != self.axes + 2 or x.shape[1] != self.in_channels:
            raise ValueError(
                f"The model takes samples (B, C, *grid) with in_channels={self.in_channels} and axes={self.axes}, but "
                f"got the shape {x.shape}."
            )
        fields, channels = conditions[self.vectors :], 0
        for field in fields:
            if field.ndim != x.ndim or field.shape[2:] != x.shape[2:]:
                raise ValueError(
                    f"The model has vector_channels={self.vector_channels} and takes fields on the grid of the "
                    f"samples, {x.shape}, as its further conditions, but got one of the shape {field.shape}."
                )
            channels += field.shape[1]
        if len(conditions) < self.vectors or channels != self.field_channels:
            raise ValueError(
                f"The model takes {self.vectors} vector (vector_channels={self.vector_channels}) and fields of "
                f"{self.field_channels} channels together (field_channels), but got {len(conditions)} conditions with "
                f"{channels} channels of fields."
            )
        embedded = self.time_embed(ops.cast(self.waves(timestep), self.compute_dtype))
        if self.vector_channels > 0:
            embedded = embedded + self.vector_embed(ops.cast(conditions[0], self.compute_dtype))
        embedded = ops.silu(embedded)
        shape = x.shape
        x = ops.cast(x, self.compute_dtype)
        for field in fields:
            x = mint.cat((x, ops.cast(field, self.compute_dtype)), 1)
        grids = (shape[2:],)
        for level in range(1, self.levels):
            grids += (halved(grids[level - 1]),)
        x = x.reshape((-1, self.in_channels + self.field_channels, points(shape[2:]))).transpose((0, 2, 1))
        x = self.input_convolution(x, grids[0])
        kept = (x,)
        for level in range(self.levels):
            if level > 0:
                x = self.halvings[level - 1](coarser(x, grids[level - 1]), grids[level])
                kept += (x,)
            for i in range(self.blocks):
                x = self.down[level * self.blocks + i](x, embedded, grids[level])
                kept += (x,)
        x = self.middle_first(x, embedded, grids[-1])
        x = self.middle_second(x, embedded, grids[-1])
        place = len(kept)
        for step in range(self.levels):
            level = self.levels - 1 - step
            for i in range(self.blocks + 1):
                place -= 1
                x = self.up[step * (self.blocks + 1) + i](mint.cat((x, kept[place]), 2), embedded, grids[level])
            if level > 0:
                x = self.doublings[step](finer(x, grids[level - 1]), grids[level - 1])
        x = self.output_convolution(ops.silu(self.output_norm(x)), grids[0])
        return x.transpose((0, 2, 1)).reshape((-1, self.out_channels) + shape[2:])


class ResidualBlock(nn.Cell):
    """Two convolutions with normalisation and SiLU before each, the embedding between them, and the input added.

    Args:
        axes (int): Axes of the grid.
        channels (int): Channels of the input.
        out_channels (int): Channels of the output.
        embedding (int): Length of the embedding.
        heads (int): Heads of the self-attention that follows, 0 for none.
        adaptive_scale (bool): Whether the embedding scales and shifts, or is added.
        skip_scale (float): Factor of the sums.
        dropout (float): Share of the activations that training sets to zero.
        compute_dtype (mindspore.dtype): float32 or float16.
    """

    def __init__(
        self, axes, channels, out_channels, embedding, heads, adaptive_scale, skip_scale, dropout, compute_dtype
    ):
        super().__init__()
        self.adaptive_scale = adaptive_scale
        self.skip_scale = skip_scale
        self.heads = heads
        self.first_norm, self.second_norm = group_norm(channels), group_norm(out_channels)
        self.first = GridConvolution(axes, channels, out_channels)
        self.second = GridConvolution(axes, out_channels, out_channels, zero=True)
        self.affine = Dense(embedding, (1 + adaptive_scale) * out_channels, compute_dtype)
        self.halves = ops.Split(axis=2, output_num=2)
        self.projects = channels != out_channels
        if self.projects:
            self.projection = Dense(channels, out_channels, compute_dtype)
        self.drops = dropout > 0
        if self.drops:
            self.dropout = nn.Dropout(p=dropout)
        if heads:
            self.attention_norm = LayerNorm(out_channels)
            self.attention = SelfAttention(out_channels, heads, compute_dtype)

    def construct(self, x, embedded, grid):
        """Returns the output of the block for x, ``(B, N, channels)``."""
        residual = self.first(ops.silu(self.first_norm(x)), grid)
        affine = ops.expand_dims(self.affine(embedded), 1)
        if self.adaptive_scale:
            scale, shift = self.halves(affine)
            residual = ops.silu(self.second_norm(residual) * (scale + 1) + shift)
        else:
            residual = ops.silu(self.second_norm(residual + affine))
        if self.drops:
            residual = self.dropout(residual)
        if self.projects:
            x = self.projection(x)
        x = (x + self.second(residual, grid)) * self.skip_scale
        if self.heads > 0:
            x = (x + self.attention(self.attention_norm(x))) * self.skip_scale
        return x


def heads_of_each(heads, count):
    """Returns the attention heads of each of `count` resolutions.

    Raises:
        TypeError: If a number is no integer.
        ValueError: If one is below 1, or there is not one for each.
    """
    if not isinstance(heads, (list, tuple)):
        return [check_integer("heads", heads, low=1)] * count
    if len(heads) != count:
        raise ValueError(f"'heads' must have one number for each of the {count} of 'attention', but is {heads!r}.")
    return [check_integer("heads", number, low=1) for number in heads]


def group_norm(channels):
    """Returns the normalisation of so many channels: up to 32 groups of four channels or more."""
    most = min(MOST_GROUPS, max(channels // LEAST_CHANNELS_OF_A_GROUP, 1))
    return GroupNorm(channels, next(count for count in range(most, 0, -1) if channels % count == 0))


def points(grid):
    """Returns the number of points of a grid."""
    count = 1
    for size in grid:
        count = count * size
    return count
