"""A denoiser of frames made of a network that knows their change."""

from mindspore import dtype as mstype
from mindspore import nn, ops

from mindscience_diffuser.cells import PublicCell
from mindscience_diffuser.preconditioning import SampleScalings


class ResidualDenoiser(PublicCell):
    """The denoiser of a frame whose network F was trained on the change x_t - x_{t-1} from the last frame.

    With the change r = x - x_{t-1} of the noisy frame x, and the scalings of the change (table 1 of Karras et al.,
    2022, arXiv:2206.00364)::

        D(x; sigma) = x_{t-1} + c_skip * r + c_out * F(c_in * r; c_noise)

    The change is some times smaller than the frame, so that the network spends its digits on what is not known yet.

    Args:
        model (nn.Cell): F, called as ``model(c_in * r, c_noise, obs, *conditions)``.
        preconditioning (EDMPreconditioning): The scalings; its `sigma_data` is the standard deviation of the change.

    Inputs:
        - **x** (Tensor) - noisy frame, ``(B, C, ...)``.
        - **sigma** (Tensor) - noise levels, above 0, ``(B,)``.
        - **obs** (Tensor) - past frames as channels, the last one last, ``(B, T * C, ...)``.
        - **conditions** (Tensor) - of the network.

    Outputs:
        Tensor, the denoised frame in the shape and dtype of `x`.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If the preconditioning brings what is denoised to the levels of pixels, or its `sigma_data` has
            another number of channels than the frame.
    """

    def __init__(self, model, preconditioning):
        super().__init__()
        if not isinstance(model, nn.Cell):
            raise TypeError(f"'model' must be an nn.Cell, but is {type(model).__name__}.")
        self.scalings = SampleScalings(preconditioning)
        if preconditioning.quantize:
            raise ValueError("'preconditioning' has quantize=True, but a change has no pixels: use quantize=False.")
        self.model = model

    def construct(self, x, sigma, obs, *conditions):
        """Returns the denoised frame."""
        c_in, c_skip, c_out, c_noise = self.scalings(ops.cast(sigma, mstype.float32), x)
        last = ops.cast(obs[:, obs.shape[1] - x.shape[1] :], mstype.float32)
        change = ops.cast(x, mstype.float32) - last
        predicted = self.model(ops.cast(c_in * change, x.dtype), c_noise, obs, *conditions)
        return ops.cast(last + c_skip * change + c_out * ops.cast(predicted, mstype.float32), x.dtype)
