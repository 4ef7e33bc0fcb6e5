"""What the module `mindscience.diffuser.diffusion_transformer` offers, for code that imports it from there."""

from mindscience_diffuser.models import ConditionDiffusionTransformer, DiffusionTransformer

__all__ = ["ConditionDiffusionTransformer", "DiffusionTransformer"]
