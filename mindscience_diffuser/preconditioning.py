"""The scalings around a denoising network as a part of graphs: one place for the loss and for what is sampled."""

from mindspore import Tensor, mint, nn
from mindspore import dtype as mstype

from mindscience_diffuser.inputs import type_name
from mindscience_diffuser.noise.edm import EDMPreconditioning, edm_scalings
from mindscience_diffuser.step import shaped


class SampleScalings(nn.Cell):
    """The scalings of an EDMPreconditioning, shaped to multiply samples.

    Args:
        preconditioning (EDMPreconditioning): What they are.

    Inputs:
        - **sigmas** (Tensor) - noise levels, above 0, float32, ``(B,)``, or ``(B, T)`` for the frames of samples
          ``(B, T, ...)``.
        - **samples** (Tensor) - what they multiply, ``(B, C, ...)``.

    Outputs:
        tuple of four float32 Tensors: c_in, c_skip and c_out, ``(B, 1, ...)``, ``(B, C, 1, ...)`` or
        ``(B, T, 1, ...)``, and c_noise in the shape of the levels.

    Raises:
        TypeError: If `preconditioning` is something else.
        ValueError: If the samples have another number of channels than `sigma_data` has numbers, or both channels and
            frames have numbers of their own.
    """

    def __init__(self, preconditioning):
        super().__init__()
        if not isinstance(preconditioning, EDMPreconditioning):
            shown = f"{preconditioning!r} of type " if isinstance(preconditioning, (str, int, float)) else ""
            raise TypeError(
                f"'preconditioning' must be an EDMPreconditioning, but is {shown}{type_name(preconditioning)}."
            )
        sigma_data = preconditioning.sigma_data
        self.sigma_offset_noise = preconditioning.sigma_offset_noise
        self.noise_variance = preconditioning.noise_variance
        self.channels = () if isinstance(sigma_data, float) else (len(sigma_data),)
        self.sigma_data = Tensor(sigma_data, mstype.float32) if self.channels else sigma_data

    def construct(self, sigmas, samples):
        """Returns c_in, c_skip, c_out and c_noise."""
        if self.channels and samples.shape[1:2] != self.channels:
            raise ValueError(
                f"'sigma_data' of the preconditioning has {self.channels[0]} numbers, one for each channel, but the "
                f"samples have shape {samples.shape}: axis 1 must have as many."
            )
        if self.channels and sigmas.ndim > 1:
            raise ValueError(
                f"'sigmas' has shape {sigmas.shape}, one for each frame, but axis 1 of the samples are channels with a "
                "'sigma_data' each: give one for each sample."
            )
        c_in, c_skip, c_out, c_noise = edm_scalings(
            sigmas, self.sigma_data, self.sigma_offset_noise, self.noise_variance, mint.log
        )
        return shaped(c_in, samples), shaped(c_skip, samples), shaped(c_out, samples), c_noise
