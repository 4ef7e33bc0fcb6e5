"""EDM: scalings around a denoising network, and the noise levels that it is trained at.

Karras et al., 2022 (arXiv:2206.00364), table 1 and section 5; the offset noise is that of Diamond (Alonso et al., 2024,
arXiv:2405.12399).
"""

from typing import NamedTuple

import numpy as np

from mindscience_diffuser.noise.source import continuing, draw_noise
from mindscience_diffuser.settings import Settings
from mindscience_diffuser.validation import (
    as_numbers,
    check_bool,
    check_generator,
    check_integer,
    check_number,
    check_numbers,
    check_shape,
    check_within,
)


class Scalings(NamedTuple):
    """D(x; sigma) = c_skip * x + c_out * F(c_in * x; c_noise), eq. (7): four numbers for each noise level.

    Where the data have a standard deviation for each of C channels, the first three have an axis more, ``(..., C)``.
    """

    c_in: np.ndarray
    c_skip: np.ndarray
    c_out: np.ndarray
    c_noise: np.ndarray


def edm_scalings(sigma, sigma_data, sigma_offset_noise, noise_variance, log):
    """Returns c_in, c_skip, c_out and c_noise, see :class:`EDMPreconditioning`, of arrays and of Tensors alike.

    Args:
        sigma (numpy.ndarray or Tensor): Noise levels, above 0, any shape.
        sigma_data (float, numpy.ndarray or Tensor): Standard deviation of the data, or that of each channel, ``(C,)``.
        sigma_offset_noise (float): Standard deviation of the offset noise.
        noise_variance (float): Variance of the noise that a level multiplies.
        log (callable): The logarithm of what `sigma` is: `numpy.log`, `mindspore.mint.log`.
    """
    variance = noise_variance * sigma**2 + sigma_offset_noise**2
    c_noise = log(variance) / 8
    if not isinstance(sigma_data, float):
        variance = variance[..., None]
    total = variance + sigma_data**2
    return total**-0.5, sigma_data**2 / total, sigma_data * (variance / total) ** 0.5, c_noise


class EDMPreconditioning(Settings):
    """What turns a network F with inputs and targets of unit variance into a denoiser D.

    With s^2 = noise_variance * sigma^2 + sigma_offset_noise^2 and v = s^2 + sigma_data^2, table 1 of Karras et al.,
    2022::

        c_in = 1 / sqrt(v),  c_skip = sigma_data^2 / v,  c_out = s * sigma_data / sqrt(v),  c_noise = ln(s) / 4

    Args:
        sigma_data (float or Sequence[float]): Standard deviation of the data, above 0: one number, or one for each
            channel, axis 1 of the samples, as for fields in different units or for residuals (Mardani et al., 2023,
            arXiv:2309.15214). Default: ``0.5``.
        sigma_offset_noise (float): Standard deviation of the noise, one number for each channel, that training adds
            besides; at least 0. 0.3 in Diamond. Default: ``0.0``.
        quantize (bool): Whether what is denoised is limited to [-1, 1] and brought down to the nearest of the 256
            levels of 8-bit pixels, as in Diamond. Default: ``False``.
        noise_variance (float): Variance of each value of the noise that a level multiplies, above 0: that of a
            :class:`~mindscience_diffuser.noise.NoiseLaw`, such as nu / (nu - 2) of a Student t (Pandey et al., 2024,
            arXiv:2410.14171). Default: ``1.0``.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a number is outside its range.
    """

    def __init__(self, sigma_data=0.5, sigma_offset_noise=0.0, quantize=False, noise_variance=1.0):
        self.sigma_data = check_numbers("sigma_data", sigma_data, "(0, inf)")
        self.sigma_offset_noise = check_number("sigma_offset_noise", sigma_offset_noise, "[0, inf)")
        self.quantize = check_bool("quantize", quantize)
        self.noise_variance = check_number("noise_variance", noise_variance, "(0, inf)")

    @property
    def arguments(self):
        """The arguments of the constructor by name."""
        return {
            name: getattr(self, name) for name in ("sigma_data", "sigma_offset_noise", "quantize", "noise_variance")
        }

    def scalings(self, sigma):
        """Returns the :class:`Scalings` of noise levels, an array of any shape, above 0.

        Where `sigma_data` has C numbers, c_in, c_skip and c_out have the shape of the levels and an axis of C more.
        """
        sigma_data = self.sigma_data if isinstance(self.sigma_data, float) else np.array(self.sigma_data)
        return Scalings(
            *edm_scalings(np.asarray(sigma), sigma_data, self.sigma_offset_noise, self.noise_variance, np.log)
        )

    def training_noise(self, sigmas, shape, generator=None, noise_law=None):
        """Draws what is added to the samples of a training batch.

        Args:
            sigmas (numpy.ndarray): Noise level of each sample, shape ``(B,)``, or of each frame of samples
                ``(B, T, ...)``, ``(B, T)``.
            shape (Sequence[int]): Shape of the batch, ``(B, C, ...)``.
            generator (optional): Source of the noise, see :func:`~mindscience_diffuser.noise.draw_noise`.
            noise_law (NoiseLaw, optional): Law of z. Default: ``None``, white noise.

        Returns:
            numpy.ndarray, float32: sigma * z, and where there is an offset noise, one more number for each channel.

        Raises:
            TypeError: If an argument has the wrong type.
            ValueError: If a level is negative or not finite, or the shape of levels or batch does not fit.
        """
        shape = check_shape("shape", shape)
        sigmas = check_within("sigmas", as_numbers("sigmas", sigmas), "[0, inf)")
        if sigmas.shape not in (shape[:1], (shape[0], 1), shape[:2]):
            raise ValueError(f"'sigmas' must have the shape {shape[:1]} or {shape[:2]}, but has {sigmas.shape}.")
        generator = continuing(generator, shape[0], stream=0)
        drawn = draw_noise(shape, generator) if noise_law is None else noise_law.draw(shape, generator)
        noise = drawn * np.reshape(sigmas, np.shape(sigmas) + (1,) * (len(shape) - np.ndim(sigmas)))
        if self.sigma_offset_noise:
            offset = draw_noise(shape[:2], generator)
            noise += self.sigma_offset_noise * offset.reshape(offset.shape + (1,) * (len(shape) - 2))
        return noise.astype(np.float32)


def log_normal_sigmas(generator, count, loc=-1.2, scale=1.2, sigma_min=0.0, sigma_max=np.inf):
    """Draws the noise levels of one training batch: ln(sigma) is normal (Karras et al., 2022, table 1).

    Args:
        generator (numpy.random.Generator): Source of the draw.
        count (int): Number of levels.
        loc (float): Mean of ln(sigma); -0.4 in Diamond. Default: ``-1.2``.
        scale (float): Standard deviation of ln(sigma). Default: ``1.2``.
        sigma_min (float): Lower levels are raised to it; 0.002 in Diamond. Default: ``0.0``.
        sigma_max (float): Higher levels are lowered to it; 20 in Diamond. Default: ``inf``.

    Returns:
        numpy.ndarray, float64, shape ``(count,)``.

    Raises:
        TypeError: If a number has the wrong type.
        ValueError: If `count` is below 1, `scale` is not above 0, `sigma_min` is negative or not below `sigma_max`.
    """
    check_generator("generator", generator)
    check_integer("count", count, low=1)
    check_number("loc", loc, "(-inf, inf)")
    check_number("scale", scale, "(0, inf)")
    _check_range(check_number("sigma_min", sigma_min, "[0, inf)"), check_number("sigma_max", sigma_max, "(0, inf]"))
    return np.clip(np.exp(loc + scale * generator.standard_normal(count)), sigma_min, sigma_max)


def log_uniform_sigmas(generator, count, sigma_min=0.002, sigma_max=80.0):
    """Draws the noise levels of one training batch: ln(sigma) is uniform, so that each decade of levels counts alike.

    It suits fields with large scales, which are seen through noise levels that :func:`log_normal_sigmas` rarely draws.

    Args:
        generator (numpy.random.Generator): Source of the draw.
        count (int): Number of levels.
        sigma_min (float): Lowest level, above 0. Default: ``0.002``.
        sigma_max (float): Highest level, above `sigma_min`. Default: ``80.0``.

    Returns:
        numpy.ndarray, float64, shape ``(count,)``.

    Raises:
        TypeError: If a number has the wrong type.
        ValueError: If `count` is below 1, or `sigma_min` is not above 0 or not below `sigma_max`.
    """
    check_generator("generator", generator)
    check_integer("count", count, low=1)
    _check_range(check_number("sigma_min", sigma_min, "(0, inf)"), check_number("sigma_max", sigma_max, "(0, inf)"))
    return np.exp(generator.uniform(np.log(sigma_min), np.log(sigma_max), count))


def _check_range(sigma_min, sigma_max):
    if sigma_min >= sigma_max:
        raise ValueError(f"'sigma_min' must be below 'sigma_max', but is {sigma_min} and sigma_max is {sigma_max}.")
