"""What stands between a model and its step: posterior guidance and the measurements that it conditions on."""

from mindscience_diffuser.guidance.measurements import Blur, Coarsen, Fourier, Mask, Stack
from mindscience_diffuser.guidance.posterior import METHODS, PosteriorGuidance
from mindscience_diffuser.guidance.prior import PriorCovariance
from mindscience_diffuser.guidance.stage import Stage

__all__ = ["METHODS", "Blur", "Coarsen", "Fourier", "Mask", "PosteriorGuidance", "PriorCovariance", "Stack", "Stage"]
