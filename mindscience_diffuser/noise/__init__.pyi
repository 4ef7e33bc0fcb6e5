# Made by scripts/make_stubs.py from signatures and docstrings: run it again, do not edit.
from collections.abc import Callable, Sequence
from typing import Any, Literal, Protocol

import numpy
from mindspore import Tensor
from numpy.typing import ArrayLike, NDArray
from typing_extensions import TypeAlias

__all__ = [
    "AYS_SIGMAS",
    "BETA_SCHEDULES",
    "CentredNoise",
    "CounterNoise",
    "EDMPreconditioning",
    "FLOW_SCHEDULES",
    "GaussianFieldNoise",
    "NoiseLaw",
    "NoiseSource",
    "PREDICTION_TYPES",
    "PRESETS",
    "RATIO_SCHEDULES",
    "SIGMA_SCHEDULES",
    "SphericalNoise",
    "StudentTNoise",
    "TIMESTEP_SPACINGS",
    "WhiteNoise",
    "alphas_cumprod_from_betas",
    "ancestral",
    "betas_from_schedule",
    "block_mean",
    "block_noise",
    "calculate_shift",
    "check_gamma",
    "check_halvable",
    "check_mask_fits",
    "check_particle_mask",
    "churn",
    "clean_sample_weights",
    "continuing",
    "counter_noise",
    "custom_timesteps",
    "draw_into",
    "draw_noise",
    "draw_steps",
    "draw_uniform",
    "drawn_ahead",
    "edm_scalings",
    "flow_shift",
    "log_normal_sigmas",
    "log_uniform_sigmas",
    "may_draw_ahead",
    "leading_timesteps",
    "multi_scale_noise",
    "multi_scale_samples",
    "noise_weights",
    "preset_config",
    "renoising_by_end",
    "renoising_by_start",
    "rescale_zero_terminal_snr",
    "resolution_shift",
    "schedule_sigmas",
    "schedule_timesteps",
    "set_noise_function",
    "share_of",
    "shift_snr",
    "sigma_to_timestep",
    "source_by",
    "spaced_timesteps",
    "stretch_to_terminal",
    "zero_terminal_snr",
]

class _StandardNormal(Protocol):
    def standard_normal(self, shape: Any, /) -> Any: ...

_Generator: TypeAlias = int | _StandardNormal | Sequence[int | _StandardNormal] | None

class CentredNoise(NoiseLaw):
    mask: Any
    def __init__(self, mask: ArrayLike | None = None) -> None: ...

class CounterNoise:
    seed: Any
    samples: Any
    next: Any
    def __init__(self, seed: int, samples: int | Sequence[int] | NDArray[Any]) -> None: ...
    @property
    def seed_words(self) -> Any: ...
    @property
    def sample_numbers(self) -> Any: ...
    def standard_normal(self, shape: Sequence[int] | NDArray[Any]) -> NDArray[Any]: ...
    def draw(self, number: int, shape: Sequence[int] | NDArray[Any]) -> NDArray[Any]: ...
    def words(self, number: Any, first: Any, last: Any, rows: Any = ...) -> Any: ...

class EDMPreconditioning:
    sigma_data: Any
    sigma_offset_noise: Any
    quantize: Any
    noise_variance: Any
    def __init__(
        self,
        sigma_data: float | Sequence[float] | NDArray[Any] = 0.5,
        sigma_offset_noise: float = 0.0,
        quantize: bool = False,
        noise_variance: float = 1.0,
    ) -> None: ...
    @property
    def arguments(self) -> Any: ...
    def scalings(self, sigma: Any) -> Any: ...
    def training_noise(
        self,
        sigmas: NDArray[Any],
        shape: Sequence[int] | NDArray[Any],
        generator: _Generator = None,
        noise_law: NoiseLaw | None = None,
    ) -> NDArray[Any]: ...

class GaussianFieldNoise(NoiseLaw):
    alpha: Any
    tau: Any
    spectrum: Any
    periodic: Any
    def __init__(
        self,
        alpha: float = 2.0,
        tau: float = 1.0,
        spectrum: Sequence[float] | NDArray[Any] | None = None,
        periodic: bool = True,
    ) -> None: ...

class NoiseLaw:
    variance: float
    def draw(self, shape: Sequence[int] | NDArray[Any], generator: _Generator = None) -> NDArray[Any]: ...
    def white_shape(self, shape: Any) -> Any: ...
    def from_white(self, white: Any, shape: Any) -> Any: ...
    def source(self, generator: _Generator = None) -> Any: ...

class NoiseSource:
    streams: Any
    def __init__(self, seed: int, samples: int | Sequence[int] | NDArray[Any], stream: int = 0) -> None: ...
    def standard_normal(self, shape: Sequence[int] | NDArray[Any]) -> NDArray[Any]: ...
    def draw_into(self, arrays: list[Any]) -> None: ...

class SphericalNoise(NoiseLaw):
    grid: Any
    degrees: Any
    spectrum: Any
    def __init__(
        self,
        latitudes: Sequence[float] | NDArray[Any],
        longitudes: Sequence[float] | NDArray[Any],
        spectrum: Sequence[float] | NDArray[Any] | None = None,
    ) -> None: ...

class StudentTNoise(NoiseLaw):
    nu: Any
    def __init__(self, nu: float) -> None: ...
    @property
    def variance(self) -> Any: ...

class WhiteNoise(NoiseLaw): ...

AYS_SIGMAS: dict[str, Any]
BETA_SCHEDULES: dict[str, Any]
FLOW_SCHEDULES: tuple[str, ...]
PREDICTION_TYPES: tuple[str, ...]
PRESETS: dict[str, Any]
RATIO_SCHEDULES: tuple[str, ...]
SIGMA_SCHEDULES: dict[str, Any]
TIMESTEP_SPACINGS: tuple[str, ...]

def alphas_cumprod_from_betas(betas: Any) -> Any: ...
def ancestral(sigmas: NDArray[Any], sigmas_next: NDArray[Any]) -> Any: ...
def betas_from_schedule(
    name: str,
    num_train_timesteps: int,
    beta_start: float = 0.0001,
    beta_end: float = 0.02,
    trained_betas: ArrayLike | None = None,
) -> NDArray[Any]: ...
def block_mean(x: Any) -> Any: ...
def block_noise(
    shape: Sequence[int] | NDArray[Any], gamma: float = 0.3333333333333333, generator: _Generator = None
) -> NDArray[Any]: ...
def calculate_shift(
    image_seq_len: int,
    base_seq_len: int = 256,
    max_seq_len: int = 4096,
    base_shift: float = 0.5,
    max_shift: float = 1.15,
) -> float: ...
def check_gamma(gamma: Any) -> Any: ...
def check_halvable(name: Any, shape: Any, halvings: Any = 1) -> Any: ...
def check_mask_fits(mask: Any, what: Any, shape: Any) -> None: ...
def check_particle_mask(mask: Any) -> Any: ...
def churn(sigmas: NDArray[Any], calls: int, s_churn: float, s_tmin: float, s_tmax: float, s_noise: float) -> Any: ...
def clean_sample_weights(prediction_type: str, alpha: NDArray[Any] | float, sigma: NDArray[Any]) -> Any: ...
def continuing(generator: _Generator, batch: int, stream: int = 1) -> Any: ...
def counter_noise(generator: _Generator, batch: int) -> Any: ...
def custom_timesteps(timesteps: Sequence[int] | NDArray[Any], num_train_timesteps: int) -> NDArray[Any]: ...
def draw_into(arrays: Any, generator: Any = None) -> None: ...
def draw_noise(shape: Sequence[int] | NDArray[Any], generator: _Generator = None) -> NDArray[Any]: ...
def draw_steps(
    needed: NDArray[Any], shape: Sequence[int] | NDArray[Any], generator: _Generator = None
) -> NDArray[Any]: ...
def draw_uniform(shape: Sequence[int] | NDArray[Any], generator: _Generator = None) -> NDArray[Any]: ...
def drawn_ahead(draw: Any, parts: Any, generator: Any) -> Any: ...
def edm_scalings(
    sigma: NDArray[Any] | Tensor | float,
    sigma_data: float | NDArray[Any] | Tensor,
    sigma_offset_noise: float,
    noise_variance: float,
    log: Callable[..., Any],
) -> Any: ...
def flow_shift(sigmas: NDArray[Any], shift: float) -> Any: ...
def log_normal_sigmas(
    generator: numpy.random.Generator,
    count: int,
    loc: float = -1.2,
    scale: float = 1.2,
    sigma_min: float = 0.0,
    sigma_max: float = float("inf"),
) -> NDArray[Any]: ...
def log_uniform_sigmas(
    generator: numpy.random.Generator, count: int, sigma_min: float = 0.002, sigma_max: float = 80.0
) -> NDArray[Any]: ...
def may_draw_ahead(generator: Any) -> Any: ...
def leading_timesteps(train: int, count: int) -> NDArray[Any]: ...
def multi_scale_noise(noise: Any, stages: Any) -> Any: ...
def multi_scale_samples(samples: NDArray[Any] | Tensor | float, stages: int) -> tuple[Any, ...] | Any: ...
def noise_weights(prediction_type: Any, alpha: Any, sigma: Any) -> Any: ...
def preset_config(name: Any) -> Any: ...
def renoising_by_end(end: float | NDArray[Any], gamma: float = 0.3333333333333333) -> tuple[Any, ...]: ...
def renoising_by_start(start: float | NDArray[Any], gamma: float = -0.3333333333333333) -> tuple[Any, ...]: ...
def rescale_zero_terminal_snr(betas: NDArray[Any]) -> NDArray[Any]: ...
def resolution_shift(tokens: int, base_tokens: int) -> Any: ...
def schedule_sigmas(
    name: Literal[
        "karras", "exponential", "beta", "kl_optimal", "laplace", "ays_sd15", "ays_sdxl", "ays_svd", "linear_quadratic"
    ],
    num_inference_steps: int,
    sigma_max: float = 1.0,
    sigma_min: float = 0.0,
) -> NDArray[Any]: ...
def schedule_timesteps(
    name: Literal["karras", "exponential", "beta", "kl_optimal", "laplace", "ays_sd15", "ays_sdxl", "ays_svd"],
    num_inference_steps: int,
    alphas_cumprod: ArrayLike,
) -> NDArray[Any]: ...
def set_noise_function(function: Callable[..., Any] | None = None) -> Any: ...
def share_of(count: int | NDArray[Any], share: float | NDArray[Any]) -> int | Any: ...
def shift_snr(alphas_cumprod: Any, scale: Any) -> Any: ...
def sigma_to_timestep(sigmas: NDArray[Any], training_sigmas: NDArray[Any]) -> NDArray[Any]: ...
def source_by(law: Any, generator: Any) -> Any: ...
def spaced_timesteps(
    spacing: Literal["leading", "linspace", "trailing"],
    num_train_timesteps: int,
    num_inference_steps: int,
    steps_offset: int = 0,
    leading: Callable[..., Any] = ...,
) -> NDArray[Any]: ...
def stretch_to_terminal(sigmas: Any, terminal: Any) -> Any: ...
def zero_terminal_snr(alphas_cumprod: Any) -> Any: ...
