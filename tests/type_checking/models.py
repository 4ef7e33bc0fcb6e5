"""Models as a user has them: MindSpore has no types, so what they are called with is written down here."""

from mindspore import Tensor, nn


class Denoiser(nn.Cell):
    """A model that predicts the noise of (B, C) samples."""

    def construct(self, x: Tensor, timestep: Tensor, *conditions: Tensor) -> Tensor:
        """Returns the prediction."""
        return x


def sample_of(rows: int) -> Tensor:
    """Returns samples."""
    return Tensor([[0.0] * 4] * rows)
