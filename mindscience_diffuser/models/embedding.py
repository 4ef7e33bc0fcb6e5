"""Fixed sinusoidal embeddings of timesteps and of token positions."""

import math

import numpy as np
from mindspore import Tensor, mint, nn, ops
from mindspore import dtype as mstype


class SinusoidalEmbedding(nn.Cell):
    """Cosines and sines of a number at geometrically spaced frequencies, section 3.5 of Vaswani et al., 2017.

    The angles are computed in float32 whatever the model computes in: in half precision neighbouring timesteps near
    1000 would share one angle.

    Args:
        channels (int): width of the embedding; an odd width ends in a zero.
        max_period (float): period of the slowest wave. Default: ``10000``.

    Inputs:
        - **values** (Tensor) - shape (N,) or (N, 1), any real or integer dtype.

    Outputs:
        Tensor (N, channels), float32.
    """

    def __init__(self, channels, max_period=10000.0):
        super().__init__()
        half = channels // 2
        frequencies = np.exp(-math.log(max_period) * np.arange(half) / max(half, 1))
        self.frequencies = Tensor(frequencies[None, :], mstype.float32)
        self.padding = channels - 2 * half

    def construct(self, values):
        """Embeds `values`."""
        angles = ops.cast(values, mstype.float32).reshape((-1, 1)) * self.frequencies
        waves = ops.concat((mint.cos(angles), mint.sin(angles)), axis=-1)
        if self.padding:
            waves = ops.concat((waves, ops.zeros_like(waves[:, :1])), axis=-1)
        return waves
