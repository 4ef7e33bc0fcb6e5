# Made by scripts/make_stubs.py from signatures and docstrings: run it again, do not edit.
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import mindspore
from mindspore import Tensor, nn
from numpy.typing import ArrayLike, NDArray
from typing_extensions import Self

from mindscience_diffuser.guidance import PosteriorGuidance
from mindscience_diffuser.noise import EDMPreconditioning, NoiseLaw, _Generator
from mindscience_diffuser.plan import StepPlan
from mindscience_diffuser.schedulers import PyramidFlowMatchEulerDiscreteScheduler, Scheduler

__all__ = [
    "Assimilated",
    "DiffusionSampler",
    "DiffusionSamplerConfig",
    "FrameSchedule",
    "GraphNoise",
    "Inverted",
    "Localization",
    "LogLikelihood",
    "ModelStep",
    "PyramidSampler",
    "ResidualSampler",
    "RigidMotion",
    "Sampler",
    "TwistedSampler",
    "TwistedSamples",
    "assimilate",
    "bits_per_dimension",
    "invert",
    "log_likelihood",
]

class Assimilated(tuple[NDArray[Any], NDArray[Any]]):
    def __new__(cls, forecast: NDArray[Any], analysis: NDArray[Any]) -> Self: ...
    @property
    def forecast(self) -> NDArray[Any]: ...
    @property
    def analysis(self) -> NDArray[Any]: ...

class _CompiledSampler(nn.Cell):
    def __init__(self, model: nn.Cell) -> None: ...
    def whole(self, method: Any) -> Any: ...
    def compiled_calls(self) -> Any: ...
    def in_graph(self, values: Any) -> Any: ...

class DiffusionSampler(_CompiledSampler):
    config: Any
    compute_dtype: Any
    def __init__(
        self,
        denoiser: nn.Cell,
        config: DiffusionSamplerConfig,
        preconditioning: EDMPreconditioning | None = None,
        compute_dtype: Any = mindspore.float32,
    ) -> None: ...
    def check_plan(self) -> None: ...
    @property
    def plan(self) -> StepPlan: ...
    def build_sigmas(self) -> Any: ...
    def construct(self, prev_obs: Any, prev_act: Any, noise: Any, *step_noise: Any) -> Tensor: ...
    def compiled(self, prev_obs: Any, prev_act: Any, noise: Any, *step_noise: Any) -> Any: ...
    def trajectory(self, prev_obs: Any, prev_act: Any, noise: Any, *step_noise: Any) -> Any: ...
    def at_steps(self, samples: Any) -> Any: ...
    def at_calls(self, fresh: Any) -> Any: ...
    def added(self, fresh: Any) -> Any: ...
    def __call__(
        self,
        prev_obs: Tensor | float,
        prev_act: Tensor | float,
        noise: Tensor | float | None = None,
        step_noise: Tensor | float | None = None,
        generator: _Generator = None,
    ) -> tuple[Any, ...]: ...
    def sample(
        self,
        prev_obs: Tensor | float,
        prev_act: Tensor | float,
        noise: Tensor | float | None = None,
        step_noise: Tensor | float | None = None,
        generator: _Generator = None,
    ) -> tuple[Any, ...]: ...

@dataclass(frozen=True)
class DiffusionSamplerConfig:
    num_steps_denoising: int
    sigma_min: float = 0.002
    sigma_max: float = 5.0
    rho: float = 7.0
    order: int = 1
    s_churn: float = 0.0
    s_tmin: float = 0.0
    s_tmax: float = float("inf")
    s_noise: float = 1.0
    initial_noise: Literal["standard", "sigma_scaled", "observation"] = "standard"
    call_at_sigma_hat: bool = True
    def scheduler(
        self, preconditioning: EDMPreconditioning | None = None, compute_dtype: Any = mindspore.float32
    ) -> Any: ...

class FrameSchedule:
    frames: Any
    kind: Any
    uncertainty: Any
    context: Any
    def __init__(
        self,
        frames: int,
        kind: Literal["full_sequence", "autoregressive", "pyramid", "trapezoid"] = "full_sequence",
        uncertainty: float = 1.0,
        context: int = 0,
    ) -> None: ...
    def matrix(self, steps: int) -> NDArray[Any]: ...

class GraphNoise(nn.Cell):
    def __init__(self) -> None: ...
    def construct(
        self, seed: Tensor | float, samples: Tensor | float, number: Tensor | float, like: Tensor | float
    ) -> Tensor: ...
    def keys(self, seed: Any, samples: Any) -> Any: ...
    def draw(self, keys: Any, number: Any, like: Any) -> Any: ...
    def words(self, keys: Any, number: Any, pairs: Any) -> Any: ...
    def __call__(
        self, seed: Tensor | float, samples: Tensor | float, number: Tensor | float, like: Tensor | float
    ) -> Tensor: ...

class Inverted(tuple[Tensor, NDArray[Any]]):
    def __new__(cls, noise: Tensor, error: NDArray[Any]) -> Self: ...
    @property
    def noise(self) -> Tensor: ...
    @property
    def error(self) -> NDArray[Any]: ...

class Localization:
    radius: Any
    places: Any
    observed_places: Any
    period: Any
    def __init__(
        self,
        radius: float,
        places: ArrayLike,
        observed_places: ArrayLike | None = None,
        period: ArrayLike | None = None,
    ) -> None: ...
    @classmethod
    def on_grid(cls, grid: Sequence[int] | NDArray[Any], radius: float, periodic: bool = True) -> Any: ...
    def check(self, frame: Any, measured: Any) -> None: ...
    def tapers(
        self, frame: Sequence[int] | NDArray[Any], measured: Sequence[int] | NDArray[Any], observed: NDArray[Any]
    ) -> tuple[Any, ...]: ...

class LogLikelihood(tuple[NDArray[Any], NDArray[Any]]):
    def __new__(cls, log_likelihood: NDArray[Any], standard_error: NDArray[Any]) -> Self: ...
    @property
    def log_likelihood(self) -> NDArray[Any]: ...
    @property
    def standard_error(self) -> NDArray[Any]: ...

class ModelStep(nn.Cell):
    model: Any
    inpaint: Any
    def __init__(
        self, model: nn.Cell, layout: Any, compute_dtype: Any, inpaint: bool = False, motion: RigidMotion | None = None
    ) -> None: ...
    def construct(
        self,
        row: tuple[Any, ...],
        timestep: Tensor | float,
        states: tuple[Any, ...],
        inputs: tuple[Any, ...],
        weights: tuple[int, ...] = (),
    ) -> Any: ...
    def after_motion(self, row: Any, results: Any, inputs: Any, weights: Any) -> Any: ...
    def told(self, row: Any, timestep: Any, sample: Any) -> Any: ...
    def level_of(self, row: Any, sample: Any) -> Any: ...
    def check(self, prediction: Any, sample: Any) -> None: ...
    def __call__(
        self,
        row: tuple[Any, ...],
        timestep: Tensor | float,
        states: tuple[Any, ...],
        inputs: tuple[Any, ...],
        weights: tuple[int, ...] = (),
    ) -> Any: ...

class PyramidSampler(nn.Cell):
    scheduler: Any
    method: Any
    def __init__(
        self,
        model: nn.Cell,
        scheduler: PyramidFlowMatchEulerDiscreteScheduler,
        num_inference_steps: int | Sequence[int] | NDArray[Any],
        method: Literal["loop", "unrolled"] = "loop",
    ) -> None: ...
    @property
    def plan(self) -> StepPlan: ...
    @property
    def input_names(self) -> Any: ...
    def set_timesteps(self, num_inference_steps: Any) -> None: ...
    def construct(self, noise: Tensor | float, *inputs: Tensor | float) -> Tensor: ...
    def __call__(
        self,
        noise: Tensor | float,
        *conditions: Tensor | float | tuple[Any, ...],
        generator: _Generator = None,
        renoise: Sequence[Tensor] | None = None,
        callback: Callable[..., Any] | None = None,
        progress: bool = False,
    ) -> Tensor: ...

class ResidualSampler(_CompiledSampler):
    sampler: Any
    regression: Any
    def __init__(self, sampler: Sampler, regression: nn.Cell) -> None: ...
    own_settings: Any
    @property
    def plan(self) -> Any: ...
    @property
    def method(self) -> Any: ...
    @property
    def input_names(self) -> Any: ...
    def construct(self, noise: Tensor | float, *inputs: Tensor | float) -> Tensor: ...
    def compiled(self, noise: Any, *conditions: Any) -> Any: ...
    def expect(self, noise: Any, conditions: Any) -> Any: ...
    def initial_noise(self, shape: Any, generator: Any = None) -> Any: ...
    def __call__(
        self, noise: Tensor | float, *conditions: Tensor | float, known: Tensor | float | None = None, **options: Any
    ) -> Tensor: ...

class RigidMotion:
    translation_std: Any
    mask: Any
    def __init__(self, translation_std: float = 1.0, mask: ArrayLike | None = None) -> None: ...
    def draw(self, batch: int, generator: _Generator = None) -> NDArray[Any]: ...
    def draw_steps(self, count: Any, batch: Any, generator: Any = None) -> Any: ...
    def from_white(self, white: Any) -> Any: ...
    def apply(
        self,
        sample: Tensor | float,
        motion: NDArray[Any] | Tensor | float,
        noise: Tensor | float | None = None,
        noise_std: float = 0.0,
    ) -> Tensor: ...
    def check_sample(self, name: Any, sample: Any) -> None: ...
    def mask_of(self, batch: Any) -> Any: ...

class Sampler(_CompiledSampler):
    method: Any
    return_intermediates: Any
    inpaint: Any
    noise_law: Any
    noise_in_graph: Any
    scheduler: Any
    step_options: Any
    frames: Any
    motion: Any
    def __init__(
        self,
        model: nn.Cell,
        scheduler: Scheduler,
        method: Literal["step", "loop", "unrolled"] = "loop",
        return_intermediates: bool = False,
        inpaint: bool = False,
        noise_law: NoiseLaw | None = None,
        frames: FrameSchedule | ArrayLike | None = None,
        motion: RigidMotion | None = None,
        noise_in_graph: bool = False,
        **step_options: Any,
    ) -> None: ...
    def further_arguments(self) -> Any: ...
    @property
    def plan(self) -> StepPlan: ...
    def follow(self) -> None: ...
    def check_plan(self) -> None: ...
    def select_steps(self, strength: float | None = None, start: int = 0, stop: int | None = None) -> None: ...
    def starting_point(self, original_samples: Any, noise: Any) -> Any: ...
    def initial_noise(self, shape: Sequence[int] | NDArray[Any], generator: _Generator = None) -> Tensor: ...
    @property
    def input_names(self) -> Any: ...
    def construct(self, noise: Tensor | float, *inputs: Tensor | float) -> Tensor | Any: ...
    def initial(self, noise: Any) -> Any: ...
    def looped(self, rows: Any, timesteps: Any, first: Any, last: Any, *inputs: Any) -> Any: ...
    def unrolled(self, rows: Any, timesteps: Any, known: Any, *inputs: Any) -> Any: ...
    def compiled_step(self, row: Any, timestep: Any, *inputs: Any) -> Any: ...
    def noise_keys(self, inputs: Any) -> Any: ...
    def __call__(
        self,
        noise: Tensor | float,
        *conditions: Tensor | float | tuple[Any, ...],
        generator: _Generator = None,
        step_noise: Tensor | float | None = None,
        step_motions: Tensor | float | None = None,
        mask: Tensor | float | None = None,
        known: Tensor | float | None = None,
        known_noise: Tensor | float | None = None,
        callback: Callable[..., Any] | None = None,
        progress: bool = False,
    ) -> Tensor | Any: ...

class TwistedSampler(Sampler):
    particles: Any
    def __init__(
        self, guidance: PosteriorGuidance, particles: int = 16, threshold: float = 0.5, **step_options: Any
    ) -> None: ...
    def select_steps(self, strength: float | None = None, start: int = 0) -> None: ...
    def construct(
        self, noise: Tensor | float, step_noise: Any, uniform: Any, *inputs: Tensor | float
    ) -> TwistedSamples: ...
    def even(self, uniform: Any) -> Any: ...
    def twisted(
        self, rows: Any, timesteps: Any, first: Any, last: Any, log_weights: Any, *inputs: Any
    ) -> tuple[Any, ...]: ...
    def for_particles(self, values: Any) -> Any: ...
    def finished(self, log_weights: Any, sizes: Any, particles: Any, uniform: Any, y: Any) -> Any: ...
    def __call__(
        self,
        noise: Tensor | float,
        *inputs: Tensor | float | tuple[Any, ...],
        generator: _Generator = None,
        step_noise: Tensor | float | None = None,
        progress: bool = False,
    ) -> TwistedSamples: ...

class TwistedSamples(tuple[Tensor, Tensor, Tensor, Tensor]):
    def __new__(cls, samples: Tensor, particles: Tensor, weights: Tensor, effective_sample_size: Tensor) -> Self: ...
    @property
    def samples(self) -> Tensor: ...
    @property
    def particles(self) -> Tensor: ...
    @property
    def weights(self) -> Tensor: ...
    @property
    def effective_sample_size(self) -> Tensor: ...

def assimilate(
    forecast: Sampler,
    analysis: Sampler,
    history: NDArray[Any] | Tensor | float,
    observations: Any,
    conditions: Callable[..., Any] | None = None,
    localization: Localization | None = None,
    inflation: float | str = 1.0,
    initial_noise: Literal["sigma_scaled", "observation"] = "sigma_scaled",
    generator: _Generator = None,
    progress: bool = True,
) -> Assimilated: ...
def bits_per_dimension(
    log_likelihood: float | NDArray[Any], shape: Sequence[int] | NDArray[Any], bins: int = 256, width: float = 2.0
) -> float | Any: ...
def invert(
    model: nn.Cell,
    scheduler: Scheduler,
    x: Tensor | float,
    *conditions: Tensor | float | tuple[Any, ...],
    iterations: int = 2,
    corrections: int = 6,
) -> Inverted: ...
def log_likelihood(
    model: nn.Cell,
    scheduler: Scheduler,
    x: Tensor | float,
    *conditions: Tensor | float | tuple[Any, ...],
    divergence: Literal["exact", "rademacher", "gaussian"] = "rademacher",
    probes: int = 4,
    generator: _Generator = None,
) -> LogLikelihood: ...
