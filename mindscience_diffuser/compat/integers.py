"""Samples of integers, such as images of 8 bits, as diffusers treats them: results are floats, levels are cut.

diffusers casts the levels to the dtype of the sample before it uses them, so that a level of 2.7 becomes 2. What is
computed with them is float32. The native schedulers refuse integers.
"""

import numpy as np
from mindspore import Tensor
from mindspore import dtype as mstype

from mindscience_diffuser.schedulers.diffusion.diffusion import DiffusionScheduler
from mindscience_diffuser.schedulers.flow.flow_match import FlowMatchScheduler

INTEGERS = (mstype.uint8, mstype.int8, mstype.int16, mstype.int32, mstype.int64)

CUTS_STEPS = ("UniPCMultistepScheduler",)
"""Schedulers whose steps return integers for a sample of integers."""


def holds_integers(value):
    """Whether a Tensor holds integers."""
    return isinstance(value, Tensor) and value.dtype in INTEGERS


def as_floats(value):
    """Returns a Tensor of integers in float32, anything else as it is."""
    return value.astype(mstype.float32) if holds_integers(value) else value


def noises_by_alpha_bar(native_class):
    """Whether diffusers noises by alpha_bar, which is 0 as an integer, and not by sigma."""
    return issubclass(native_class, DiffusionScheduler) or native_class.__name__ == "SASolverScheduler"


def with_cut_levels(native, rows, original_samples, noise):
    """Returns integers with noise of the cut levels of their rows, one for each sample: a Tensor, float32."""
    cut = native.sigmas[rows].astype(np.float32).astype(original_samples.asnumpy().dtype)
    if isinstance(native, FlowMatchScheduler) or getattr(native, "flow", False):
        alpha, sigma = 1.0 - cut, cut
    elif np.all(native.levels[0] == 1):
        alpha, sigma = np.ones(len(cut)), cut
    else:
        alpha = 1 / np.sqrt((cut * cut + np.ones_like(cut)).astype(np.float32))
        sigma = cut * alpha
    shape = (-1,) + (1,) * (original_samples.ndim - 1)
    alpha, sigma = (Tensor(np.asarray(weight, np.float32).reshape(shape)) for weight in (alpha, sigma))
    return alpha * as_floats(original_samples) + sigma * as_floats(noise)
