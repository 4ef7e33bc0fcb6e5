"""Transformer models that predict what a diffusion scheduler asks for."""

from mindscience_diffuser.models.diffusion_transformer import ConditionDiffusionTransformer, DiffusionTransformer

__all__ = ["ConditionDiffusionTransformer", "DiffusionTransformer"]
