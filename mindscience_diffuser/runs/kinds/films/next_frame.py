"""A network of frames as a regression: the deterministic forecast that an ensemble is measured against."""

from mindspore import dtype as mstype
from mindspore import nn, ops

from mindscience_diffuser.preconditioning import SampleScalings


class NextFrame(nn.Cell):
    """The next frame as a network without noise predicts it: the mean over what may come, where it has learned that.

    The network is that of a denoiser and is called as at the level 1 with zeros for the noisy frame. Its output counts
    in units of `sigma_data`; with `residual` it is the change from the last frame.

    Args:
        model (nn.Cell): The network, called as ``model(x, c_noise, obs, *conditions)``.
        preconditioning (EDMPreconditioning): Gives `sigma_data`.
        residual (bool): Whether the change is predicted.
        channels (int): Channels C of a frame.

    Inputs:
        - **obs** (Tensor) - past frames as channels, the last one last, ``(B, T * C, ...)``.
        - **conditions** (Tensor) - of the network.

    Outputs:
        Tensor, the next frame ``(B, C, ...)``, float32.
    """

    def __init__(self, model, preconditioning, residual, channels):
        super().__init__(auto_prefix=False)
        self.model, self.residual, self.channels = model, residual, channels
        self.scalings = SampleScalings(preconditioning)

    def predicted(self, obs, *conditions):
        """Returns the last frame, the output of the network, and the factor of the output, all float32."""
        last = ops.cast(obs[:, obs.shape[1] - self.channels :], mstype.float32)
        nothing = ops.zeros_like(last)
        level = ops.ones((obs.shape[0],), mstype.float32)
        # At the level 1 c_noise is 0; c_out / c_in is sigma * sigma_data.
        c_in, _, c_out, c_noise = self.scalings(level, nothing)
        output = self.model(ops.cast(nothing, obs.dtype), c_noise, obs, *conditions)
        return last, ops.cast(output, mstype.float32), c_out / c_in

    def construct(self, obs, *conditions):
        """Returns the next frame."""
        last, output, factor = self.predicted(obs, *conditions)
        change = factor * output
        return last + change if self.residual else change

    def loss(self, clean, noise, sigmas, obs, *conditions):
        """Returns the mean squared error in units of `sigma_data`, of a batch of FrameBatches."""
        _, output, factor = self.predicted(obs, *conditions)
        error = output - clean / factor
        return (error * error).mean()
