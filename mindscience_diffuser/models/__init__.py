"""Transformers and a UNet: models that predict what a diffusion scheduler asks for."""

from mindscience_diffuser.models.diffusion_transformer import ConditionDiffusionTransformer, DiffusionTransformer
from mindscience_diffuser.models.flow_map_transformer import FlowMapTransformer
from mindscience_diffuser.models.frame_operator import FrameOperator
from mindscience_diffuser.models.frame_transformer import FrameTransformer
from mindscience_diffuser.models.guidance_transformer import GuidanceDiffusionTransformer
from mindscience_diffuser.models.patch_transformer import PatchDiffusionTransformer
from mindscience_diffuser.models.positional_transformer import (
    PositionalConditionTransformer,
    PositionalTransformer,
)
from mindscience_diffuser.models.residual_denoiser import ResidualDenoiser
from mindscience_diffuser.models.unet import UNet

__all__ = [
    "ConditionDiffusionTransformer",
    "DiffusionTransformer",
    "FlowMapTransformer",
    "FrameOperator",
    "FrameTransformer",
    "GuidanceDiffusionTransformer",
    "PatchDiffusionTransformer",
    "PositionalConditionTransformer",
    "PositionalTransformer",
    "ResidualDenoiser",
    "UNet",
]
