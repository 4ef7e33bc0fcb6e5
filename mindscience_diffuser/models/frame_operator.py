"""A Fourier neural operator that predicts the next frame of a periodic world from the last ones and the actions."""

import numpy as np
from mindspore import Parameter, Tensor, mint, nn, ops
from mindspore import dtype as mstype
from mindspore.common.initializer import Normal, initializer

from mindscience_diffuser.cells import PublicCell
from mindscience_diffuser.models.arguments import MOST_LAYERS, check_compute_dtype
from mindscience_diffuser.models.blocks import Dense, FeedForward
from mindscience_diffuser.models.embedding import SinusoidalEmbedding
from mindscience_diffuser.models.frame_transformer import NOISE_LEVEL_SCALE
from mindscience_diffuser.validation import check_integer, check_number


def wave_matrices(side, modes):
    """Returns the real transform of a square field to its waves with |k_x|, |k_y| <= modes, and the way back.

    Args:
        side (int): Points along each axis.
        modes (int): Highest wave number, below side / 2.

    Returns:
        tuple of two numpy.ndarray, ``(side^2, 2 * K)`` and ``(2 * K, side^2)`` for K waves with k_x >= 0: real parts,
        then imaginary parts. The second matrix times the first projects a field on these waves.
    """
    place = np.arange(side)
    k_y, k_x = np.meshgrid(np.arange(-modes, modes + 1), np.arange(modes + 1), indexing="ij")
    angle = 2 * np.pi / side * (k_y.reshape(-1, 1) * np.repeat(place, side) + k_x.reshape(-1, 1) * np.tile(place, side))
    there = np.concatenate([np.cos(angle), -np.sin(angle)]).T / side
    both = np.where(k_x.reshape(-1, 1) > 0, 2, 1)  # Waves with k_x < 0 are the conjugates of those kept.
    back = np.concatenate([both * np.cos(angle), -both * np.sin(angle)]) / side
    return there, back


LARGEST_INPUT = 12.0
"""Standard deviations to which inputs are limited, a little above the largest that training knows."""


class WaveProduct(nn.Cell):
    """A periodic convolution over the whole field: each wave number has a complex matrix of its own.

    Args:
        side (int): Points along each axis.
        modes (int): Highest wave number that is kept.
        channels (int): Channels C of the input.
        out_channels (int): Channels of the output.
        compute_dtype (mindspore.dtype): Dtype of the products.
    """

    def __init__(self, side, modes, channels, out_channels, compute_dtype):
        super().__init__()
        there, back = wave_matrices(side, modes)
        self.waves, self.channels, self.out_channels = there.shape[1] // 2, channels, out_channels
        self.there, self.back = Tensor(there, compute_dtype), Tensor(back, compute_dtype)
        self.compute_dtype = compute_dtype
        shape = (self.waves, channels, out_channels)
        std = Normal((2 * channels) ** -0.5)
        self.real = Parameter(initializer(std, shape, mstype.float32).init_data(), name="real")
        self.imaginary = Parameter(initializer(std, shape, mstype.float32).init_data(), name="imaginary")
        self.transform = ops.MatMul()
        self.by_wave = ops.BatchMatMul()
        self.rows, self.columns = ops.Concat(1), ops.Concat(2)

    def construct(self, x):
        """Convolves x, ``(B, C, side^2)``."""
        waves = self.transform(x.reshape((-1, x.shape[2])), self.there)
        by_part = waves.reshape((-1, self.channels, 2, self.waves)).transpose((3, 0, 2, 1))
        flat = by_part.reshape((self.waves, -1, 2 * self.channels))
        matrix = self.rows((self.columns((self.real, self.imaginary)), self.columns((-self.imaginary, self.real))))
        mixed = self.by_wave(flat, ops.cast(matrix, self.compute_dtype))
        parts = mixed.reshape((self.waves, -1, 2, self.out_channels)).transpose((1, 3, 2, 0))
        fields = self.transform(parts.reshape((-1, 2 * self.waves)), self.back)
        return fields.reshape((-1, self.out_channels, x.shape[2]))


class FrameOperator(PublicCell):
    """The network F of an EDM denoiser of frames: a Fourier neural operator (Li et al., 2021, arXiv:2010.08895).

    The frames are periodic. Each layer multiplies two convolutions over the whole field with one another, as an
    advection multiplies a velocity with a slope, both of them linear in the vorticity; one of them goes through tanh
    (the gate of van den Oord et al., 2016, arXiv:1606.05328, eq. (2)), so that a frame stronger than those of the
    training is not answered with a change that grows like a power of it. Each action has learned fields of its own, as
    a force has; noise level and actions also shift and scale every channel. The frames enter as the last one and the
    changes up to it, limited to twelve standard deviations, and go straight to the output too, each with a gain.

    Args:
        context (int): Number T of past frames.
        actions (int): Number of actions.
        side (int): Height and width of a frame.
        hidden_channels (int): Channels of the layers. Default: ``24``.
        layers (int): Number of layers. Default: ``3``.
        modes (int): Highest wave number along each axis, below side / 2. Default: ``10``.
        frame_std (float): Standard deviation of the frames. Default: ``0.5``.
        sigma_data (float): Standard deviation of what is denoised; changes between frames are divided by it, too.
            Default: ``0.5``.
        compute_dtype (mindspore.dtype): float32 or float16. Default: ``mindspore.float32``.

    Inputs:
        - **x** (Tensor) - noisy frame, or noisy change, times c_in, shape ``(B, 1, side, side)``.
        - **noise_level** (Tensor) - c_noise, shape ``(B,)``.
        - **obs** (Tensor) - past frames, the last one last, shape ``(B, T, side, side)``.
        - **act** (Tensor) - the action taken at each of them, integers in [0, actions), shape ``(B, T)``.

    Outputs:
        Tensor of the shape of `x`, in `compute_dtype`.

    Raises:
        TypeError: If a size is no integer.
        ValueError: If a size is below 1 or `modes` is not below half of the side.
    """

    fields = 2
    """Learned fields of each action."""

    def __init__(
        self,
        context,
        actions,
        side,
        hidden_channels=24,
        layers=3,
        modes=10,
        frame_std=0.5,
        sigma_data=0.5,
        compute_dtype=mstype.float32,
    ):
        super().__init__(auto_prefix=True)
        self.context = check_integer("context", context, low=1)
        self.actions = check_integer("actions", actions, low=1)
        self.side = check_integer("side", side, low=3)
        channels = check_integer("hidden_channels", hidden_channels, low=1)
        layers = check_integer("layers", layers, low=1, high=MOST_LAYERS)
        modes = check_integer("modes", modes, low=1, high=(self.side - 1) // 2)
        check_compute_dtype(compute_dtype)
        self.frame_std = check_number("frame_std", frame_std, "(0, inf)")
        self.sigma_data = check_number("sigma_data", sigma_data, "(0, inf)")
        self.compute_dtype = compute_dtype
        self.points, self.channels = self.side * self.side, channels
        self.chosen = self.context * self.actions

        self.every_action = Tensor(np.arange(self.actions), mstype.int32)
        width = 4 * channels
        self.wave_embed = SinusoidalEmbedding(width)
        self.level_embed = FeedForward(width, compute_dtype)
        self.action_embed = Dense(self.chosen, width, compute_dtype)
        self.action_fields = Dense(self.chosen, self.fields * self.points, compute_dtype, has_bias=False)
        self.lift = Dense(self.context + 1 + self.fields, channels, compute_dtype)
        self.local = nn.CellList([Dense(channels, 2 * channels, compute_dtype) for _ in range(layers)])
        self.far = nn.CellList(
            [WaveProduct(self.side, modes, channels, 2 * channels, compute_dtype) for _ in range(layers)]
        )
        self.conditioned = nn.CellList([Dense(width, 2 * channels, compute_dtype) for _ in range(layers)])
        self.mix = nn.CellList([Dense(channels, channels, compute_dtype) for _ in range(layers)])
        self.output_proj = Dense(channels, 1, compute_dtype, weight_init="zeros")
        self.gains = Dense(width, self.context + 1, compute_dtype, weight_init="zeros")
        self.halves = ops.Split(axis=1, output_num=2)

    def construct(self, x, noise_level, obs, act):
        """Predicts from the noisy frame `x`."""
        dtype = self.compute_dtype
        flat = obs.reshape((-1, self.context, self.points))
        last = flat[:, self.context - 1 :]
        frames = (ops.cast(x, dtype).reshape((-1, 1, self.points)), ops.cast(last / self.frame_std, dtype))
        if self.context > 1:
            frames += (ops.cast((flat[:, 1:] - flat[:, :-1]) / self.sigma_data, dtype),)
        frames = mint.clamp(mint.cat(frames, 1), -LARGEST_INPUT, LARGEST_INPUT)
        waves = self.wave_embed(noise_level * NOISE_LEVEL_SCALE)
        chosen = ops.cast(ops.expand_dims(act, -1) == self.every_action, dtype).reshape((-1, self.chosen))
        condition = ops.silu(self.level_embed(ops.cast(waves, dtype)) + self.action_embed(chosen))
        fields = self.action_fields(chosen).reshape((-1, self.fields, self.points))
        hidden = self.at_points(self.lift, mint.cat((frames, fields), 1))
        for i in range(len(self.far)):
            both = self.far[i](hidden) + self.at_points(self.local[i], hidden)
            shift, gain = self.halves(self.conditioned[i](condition).reshape((-1, 2 * self.channels, 1)))
            left, right = self.halves(both)
            hidden = hidden + self.at_points(self.mix[i], ops.tanh(left + shift) * right * (1 + gain))
        gains = self.gains(condition).reshape((-1, self.context + 1, 1))
        change = self.at_points(self.output_proj, hidden) + (gains * frames).sum(1, keepdims=True)
        return change.reshape((-1, 1, self.side, self.side))

    def at_points(self, dense, x):
        """Applies a dense layer to the channels of x, ``(B, C, N)``, at each point."""
        return dense(x.transpose((0, 2, 1))).transpose((0, 2, 1))
