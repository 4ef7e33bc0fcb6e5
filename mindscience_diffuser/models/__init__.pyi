# Made by scripts/make_stubs.py from signatures and docstrings: run it again, do not edit.
from collections.abc import Sequence
from typing import Any, Literal

import mindspore
from mindspore import Tensor, nn
from numpy.typing import NDArray

from mindscience_diffuser.noise import EDMPreconditioning

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

class ConditionDiffusionTransformer(_Conditioned, DiffusionTransformer):
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        cond_channels: int,
        hidden_channels: int,
        layers: int,
        heads: int,
        time_token_cond: bool = True,
        cond_as_token: bool = True,
        compute_dtype: Any = mindspore.float32,
    ) -> None: ...
    def __call__(
        self, x: Tensor | float, timestep: Tensor | float, condition: Tensor | float | None = None
    ) -> Tensor: ...

class _Conditioned:
    cond_channels: Any
    cond_as_token: Any
    context_length: Any
    cond_embed: Any
    def __init__(
        self,
        in_channels: Any,
        out_channels: Any,
        cond_channels: Any,
        hidden_channels: Any,
        layers: Any,
        heads: Any,
        time_token_cond: Any = True,
        cond_as_token: Any = True,
        compute_dtype: Any = mindspore.float32,
    ) -> None: ...
    def construct(self, x: Any, timestep: Any, condition: Any = None) -> Any: ...
    def flops(self, length: Any) -> Any: ...
    def predict(self, x: Any, time: Any, condition: Any) -> Any: ...

class DiffusionTransformer(_TokenTransformer):
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        hidden_channels: int,
        layers: int,
        heads: int,
        time_token_cond: bool = True,
        compute_dtype: Any = mindspore.float32,
    ) -> None: ...

class FlowMapTransformer(PositionalConditionTransformer):
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        cond_channels: int,
        hidden_channels: int,
        layers: int,
        heads: int,
        time_token_cond: bool = True,
        cond_as_token: bool = True,
        compute_dtype: Any = mindspore.float32,
    ) -> None: ...
    def construct(
        self, x: Tensor | float, timestep: Tensor | float, condition: Tensor | float | None = None
    ) -> Tensor: ...
    def __call__(
        self, x: Tensor | float, timestep: Tensor | float, condition: Tensor | float | None = None
    ) -> Tensor: ...

class FrameOperator(nn.Cell):
    context: Any
    actions: Any
    side: Any
    frame_std: Any
    sigma_data: Any
    compute_dtype: Any
    def __init__(
        self,
        context: int,
        actions: int,
        side: int,
        hidden_channels: int = 24,
        layers: int = 3,
        modes: int = 10,
        frame_std: float = 0.5,
        sigma_data: float = 0.5,
        compute_dtype: Any = mindspore.float32,
    ) -> None: ...
    fields: int
    def construct(
        self, x: Tensor | float, noise_level: Tensor | float, obs: Tensor | float, act: Tensor | float
    ) -> Tensor: ...
    def at_points(self, dense: Any, x: Any) -> Any: ...
    def __call__(
        self, x: Tensor | float, noise_level: Tensor | float, obs: Tensor | float, act: Tensor | float
    ) -> Tensor: ...

class FrameTransformer(nn.Cell):
    context: Any
    actions: Any
    side: Any
    patch: Any
    sigma_data: Any
    compute_dtype: Any
    def __init__(
        self,
        context: int,
        actions: int,
        side: int,
        hidden_channels: int,
        layers: int,
        heads: int,
        patch: int = 4,
        sigma_data: float = 0.5,
        compute_dtype: Any = mindspore.float32,
    ) -> None: ...
    def checked_parameter(self, name: Any, value: Any) -> Any: ...
    def construct(
        self, x: Tensor | float, noise_level: Tensor | float, obs: Tensor | float, act: Tensor | float
    ) -> Tensor: ...
    def quarters(self, frames: Any) -> Any: ...
    def to_tokens(self, frames: Any, count: Any) -> Any: ...
    def to_frame(self, tokens: Any) -> Any: ...
    def __call__(
        self, x: Tensor | float, noise_level: Tensor | float, obs: Tensor | float, act: Tensor | float
    ) -> Tensor: ...

class GuidanceDiffusionTransformer(PositionalConditionTransformer):
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        cond_channels: int,
        hidden_channels: int,
        layers: int,
        heads: int,
        time_token_cond: bool = True,
        cond_as_token: bool = True,
        compute_dtype: Any = mindspore.float32,
    ) -> None: ...
    def construct(
        self, x: Tensor | float, timestep: Tensor | float, condition: Tensor | float, guidance_scale: Tensor | float
    ) -> Tensor: ...
    def __call__(
        self, x: Tensor | float, timestep: Tensor | float, condition: Tensor | float, guidance_scale: Tensor | float
    ) -> Tensor: ...

class PatchDiffusionTransformer(nn.Cell):
    in_channels: Any
    out_channels: Any
    patch_height: Any
    patch_width: Any
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        cond_channels: int,
        hidden_channels: int,
        layers: int,
        heads: int,
        patch_height: int = 2,
        patch_width: int = 2,
        time_token_cond: bool = True,
        cond_as_token: bool = True,
        compute_dtype: Any = mindspore.float32,
    ) -> None: ...
    def construct(
        self, x: Tensor | float, timestep: Tensor | float, condition: Tensor | float | None = None
    ) -> Tensor: ...
    def flops(self, height: Any, width: Any) -> Any: ...
    def __call__(
        self, x: Tensor | float, timestep: Tensor | float, condition: Tensor | float | None = None
    ) -> Tensor: ...

class PositionalConditionTransformer(_Conditioned, PositionalTransformer):
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        cond_channels: int,
        hidden_channels: int,
        layers: int,
        heads: int,
        time_token_cond: bool = True,
        cond_as_token: bool = True,
        compute_dtype: Any = mindspore.float32,
    ) -> None: ...
    def __call__(
        self, x: Tensor | float, timestep: Tensor | float, condition: Tensor | float | None = None
    ) -> Tensor: ...

class PositionalTransformer(_TokenTransformer):
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        hidden_channels: int,
        layers: int,
        heads: int,
        time_token_cond: bool = True,
        compute_dtype: Any = mindspore.float32,
    ) -> None: ...

class ResidualDenoiser(nn.Cell):
    model: Any
    def __init__(self, model: nn.Cell, preconditioning: EDMPreconditioning) -> None: ...
    def construct(
        self, x: Tensor | float, sigma: Tensor | float, obs: Tensor | float, *conditions: Tensor | float
    ) -> Tensor: ...
    def __call__(
        self, x: Tensor | float, sigma: Tensor | float, obs: Tensor | float, *conditions: Tensor | float
    ) -> Tensor: ...

class _TokenTransformer(nn.Cell):
    in_channels: Any
    out_channels: Any
    hidden_channels: Any
    layers: Any
    time_token_cond: Any
    compute_dtype: Any
    def __init__(
        self,
        in_channels: Any,
        out_channels: Any,
        hidden_channels: Any,
        layers: Any,
        heads: Any,
        time_token_cond: Any = True,
        compute_dtype: Any = mindspore.float32,
    ) -> None: ...
    def construct(self, x: Any, timestep: Any) -> Tensor: ...
    def flops(self, length: Any) -> Any: ...
    def __call__(self, x: Any, timestep: Any) -> Tensor: ...

class UNet(nn.Cell):
    in_channels: Any
    out_channels: Any
    axes: Any
    vector_channels: Any
    field_channels: Any
    compute_dtype: Any
    blocks: Any
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        axes: int = 2,
        hidden_channels: int = 64,
        multipliers: Sequence[int] | NDArray[Any] = (1, 2, 2),
        blocks: int = 2,
        attention: Sequence[int] | NDArray[Any] = (),
        heads: int | Sequence[int] | NDArray[Any] = 4,
        vector_channels: int = 0,
        field_channels: int = 0,
        adaptive_scale: bool = True,
        skip_scale: float = 1.0,
        dropout: float = 0.0,
        compute_dtype: Any = mindspore.float32,
    ) -> None: ...
    @classmethod
    def from_preset(cls, name: Literal["adm", "edm"], in_channels: int, out_channels: int, **overrides: Any) -> Any: ...
    def construct(self, x: Tensor | float, timestep: Tensor | float, *conditions: Tensor | float) -> Tensor: ...
    def __call__(self, x: Tensor | float, timestep: Tensor | float, *conditions: Tensor | float) -> Tensor: ...
