"""What stands between a model and its step: classifier-free guidance and its kin, posterior guidance, measurements."""

from mindscience_diffuser.guidance.classifier_free import ClassifierFreeGuidance, DistilledGuidance
from mindscience_diffuser.guidance.grid_policy import GridPolicy
from mindscience_diffuser.guidance.kin import (
    AdaptiveProjectedGuidance,
    AutoGuidance,
    ClassifierFreeZeroStarGuidance,
    ManifoldConstrainedGuidance,
    TangentialClassifierFreeGuidance,
)
from mindscience_diffuser.guidance.measurements import Blur, Coarsen, Fourier, Mask, Stack
from mindscience_diffuser.guidance.posterior import METHODS, PosteriorGuidance
from mindscience_diffuser.guidance.prior import PriorCovariance
from mindscience_diffuser.guidance.stage import Stage

__all__ = [
    "METHODS",
    "AdaptiveProjectedGuidance",
    "AutoGuidance",
    "Blur",
    "ClassifierFreeGuidance",
    "ClassifierFreeZeroStarGuidance",
    "Coarsen",
    "DistilledGuidance",
    "Fourier",
    "GridPolicy",
    "ManifoldConstrainedGuidance",
    "Mask",
    "PosteriorGuidance",
    "PriorCovariance",
    "Stack",
    "Stage",
    "TangentialClassifierFreeGuidance",
]
