# Made by scripts/make_stubs.py from signatures and docstrings: run it again, do not edit.
from collections.abc import Sequence
from typing import Any, Literal

from mindspore import Tensor, nn
from numpy.typing import ArrayLike, NDArray

from mindscience_diffuser.schedulers import Scheduler

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

class AdaptiveProjectedGuidance(ClassifierFreeGuidance):
    eta: Any
    norm_threshold: Any
    def __init__(
        self,
        model: nn.Cell,
        guidance_scale: float,
        unconditional: Tensor | float | tuple[Any, ...],
        eta: float = 0.0,
        norm_threshold: float = float("inf"),
        **options: Any,
    ) -> None: ...

class AutoGuidance(_Guidance):
    guiding_model: Any
    def __init__(
        self,
        model: nn.Cell,
        guiding_model: nn.Cell,
        guidance_scale: float,
        guidance_rescale: float = 0.0,
        interval: tuple[Any, ...] | None = None,
        sigma_interval: tuple[Any, ...] | None = None,
    ) -> None: ...

class Blur(nn.Cell):
    grid: Any
    def __init__(self, std: float, grid: Sequence[int] | NDArray[Any], periodic: bool = True) -> None: ...
    def construct(self, x: Tensor | float) -> Tensor: ...
    def adjoint(self, y: Any) -> Any: ...
    def __call__(self, x: Tensor | float) -> Tensor: ...

class ClassifierFreeGuidance(_Guidance):
    unconditional: Any
    def __init__(
        self,
        model: nn.Cell,
        guidance_scale: float,
        unconditional: Tensor | float | tuple[Any, ...],
        guidance_rescale: float = 0.0,
        interval: tuple[Any, ...] | None = None,
        sigma_interval: tuple[Any, ...] | None = None,
    ) -> None: ...
    def paired(self, condition: Any, unconditional: Any) -> Any: ...

class ClassifierFreeZeroStarGuidance(ClassifierFreeGuidance):
    zero_init_steps: Any
    def __init__(
        self,
        model: nn.Cell,
        guidance_scale: float,
        unconditional: Tensor | float | tuple[Any, ...],
        zero_init_steps: int = 1,
        **options: Any,
    ) -> None: ...

class Coarsen(nn.Cell):
    factor: Any
    def __init__(self, factor: int | Sequence[int] | NDArray[Any]) -> None: ...
    def factors(self, axes: Any) -> Any: ...
    def construct(self, x: Tensor | float) -> Tensor: ...
    def adjoint(self, y: Any) -> Any: ...
    def __call__(self, x: Tensor | float) -> Tensor: ...

class DistilledGuidance(nn.Cell):
    model: Any
    guidance_scale: Any
    def __init__(self, model: nn.Cell, guidance_scale: float) -> None: ...
    def checked_parameter(self, name: Any, value: Any) -> Any: ...
    def construct(self, x: Any, timestep: Any, *conditions: Any) -> Tensor: ...
    def __call__(self, x: Any, timestep: Any, *conditions: Any) -> Tensor: ...

class Fourier(nn.Cell):
    mask: Any
    def __init__(self, mask: ArrayLike) -> None: ...
    def checked_parameter(self, name: Any, value: Any) -> Any: ...
    def construct(self, x: Tensor | float) -> Tensor: ...
    def adjoint(self, y: Any) -> Any: ...
    def restrict(self, y: Any) -> Any: ...
    def __call__(self, x: Tensor | float) -> Tensor: ...

class GridPolicy(nn.Cell):
    model: Any
    def __init__(self, model: nn.Cell) -> None: ...
    def construct(self, x: Tensor | float, told: Tensor | float, *conditions: Tensor | float) -> Tensor: ...
    def __call__(self, x: Tensor | float, told: Tensor | float, *conditions: Tensor | float) -> Tensor: ...

class _Guidance(Stage):
    guidance_scale: Any
    guidance_rescale: Any
    interval: Any
    sigma_interval: Any
    def __init__(
        self,
        model: nn.Cell,
        guidance_scale: float,
        guidance_rescale: float = 0.0,
        interval: tuple[Any, ...] | None = None,
        sigma_interval: tuple[Any, ...] | None = None,
    ) -> None: ...
    uses_level: bool
    def checked_parameter(self, name: Any, value: Any) -> Any: ...
    def __call__(self, x: Any, timestep: Any, *conditions: Any) -> Any: ...
    def construct(self, x: Any, timestep: Any, *conditions: Any) -> Tensor: ...
    def at_level(
        self, level: tuple[Any, ...], x: Tensor | float, timestep: Tensor | float, *conditions: Any
    ) -> Any: ...
    def guided(self, level: Any, x: Any, timestep: Any, inside: Any, conditions: Any) -> Any: ...
    def predictions(self, level: Any, x: Any, timestep: Any, conditions: Any) -> Any: ...
    def steered(self, level: Any, x: Any, strong: Any, weak: Any, scale: Any) -> Any: ...

class ManifoldConstrainedGuidance(ClassifierFreeGuidance):
    def __init__(
        self,
        model: nn.Cell,
        guidance_scale: float,
        unconditional: Tensor | float | tuple[Any, ...],
        guidance_rescale: float = 0.0,
        interval: tuple[Any, ...] | None = None,
        sigma_interval: tuple[Any, ...] | None = None,
    ) -> None: ...

class Mask(nn.Cell):
    mask: Any
    def __init__(self, mask: Tensor | float | ArrayLike) -> None: ...
    def checked_parameter(self, name: Any, value: Any) -> Any: ...
    def construct(self, x: Tensor | float) -> Tensor: ...
    def adjoint(self, y: Any) -> Any: ...
    def restrict(self, y: Any) -> Any: ...
    def __call__(self, x: Tensor | float) -> Tensor: ...

class PosteriorGuidance(Stage):
    scheduler: Any
    measure: Any
    method: Any
    iterations: Any
    noise_std: Any
    def __init__(
        self,
        model: nn.Cell,
        scheduler: Scheduler,
        measure: nn.Cell,
        noise_std: float | Tensor,
        method: Literal["jacobian_free", "moment_matching", "pigdm", "sda", "dps"] = "jacobian_free",
        prior_std: float | ArrayLike = 1.0,
        iterations: int = 3,
    ) -> None: ...
    def checked_parameter(self, name: Any, value: Any) -> Any: ...
    def check_plan(self) -> None: ...
    def follow(self) -> None: ...
    def construct(self, x: Tensor | float, timestep: Tensor | float, *inputs: Any) -> Any: ...
    def at_level(
        self, level: tuple[Any, ...], x: Tensor | float, timestep: Tensor | float, y: Any, *conditions: Any
    ) -> Any: ...
    def twisted(
        self,
        level: tuple[Any, ...],
        x: Tensor | float,
        timestep: Tensor | float,
        y: Tensor | float,
        noise_std: Tensor | float,
        conditions: tuple[Any, ...],
    ) -> tuple[Any, ...]: ...
    def log_likelihood(self, x: Any, y: Any, noise_std: Any) -> Any: ...
    def observed(self, y: Any) -> Any: ...
    def clean(self, level: Any, x: Any, prediction: Any) -> Any: ...
    def solve(self, operator: Any, b: Any) -> Any: ...
    def __call__(self, x: Tensor | float, timestep: Tensor | float, *inputs: Any) -> Any: ...

class PriorCovariance(nn.Cell):
    def __init__(self, prior_std: float | ArrayLike) -> None: ...
    def construct(self, v: Tensor | float, alpha: Tensor | float, sigma: Tensor | float) -> Tensor: ...
    def check_sample(self, shape: Any) -> None: ...
    def __call__(self, v: Tensor | float, alpha: Tensor | float, sigma: Tensor | float) -> Tensor: ...

class Stack(nn.Cell):
    measures: Any
    def __init__(self, measures: Sequence[nn.Cell], sample_shape: Sequence[int] | NDArray[Any]) -> None: ...
    def construct(self, x: Tensor | float) -> Tensor: ...
    def adjoint(self, y: Any) -> Any: ...
    def restrict(self, y: Any) -> Any: ...
    def split(self, y: Any) -> Any: ...
    def join(self, *values: Any) -> Any: ...
    def __call__(self, x: Tensor | float) -> Tensor: ...

class Stage(nn.Cell):
    model: Any
    def __init__(self, model: nn.Cell) -> None: ...
    @property
    def needs_level(self) -> Any: ...
    def at_level(
        self,
        level: tuple[Any, ...],
        x: Tensor | float,
        timestep: Tensor | float,
        *inputs: Tensor | float | tuple[Any, ...],
    ) -> Any: ...
    def output_of_model(self, level: Any, x: Any, timestep: Any, *conditions: Any) -> Any: ...
    def check_inputs(self, noise: Any, inputs: Any) -> None: ...
    def check_steps(self, plan: Any, scheduler: Any) -> None: ...

class TangentialClassifierFreeGuidance(ClassifierFreeGuidance):
    def __init__(
        self,
        model: nn.Cell,
        guidance_scale: float,
        unconditional: Tensor | float | tuple[Any, ...],
        guidance_rescale: float = 0.0,
        interval: tuple[Any, ...] | None = None,
        sigma_interval: tuple[Any, ...] | None = None,
    ) -> None: ...

METHODS: dict[str, Any]
