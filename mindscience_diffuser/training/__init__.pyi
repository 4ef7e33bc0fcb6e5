# Made by scripts/make_stubs.py from signatures and docstrings: run it again, do not edit.
from collections.abc import Sequence
from typing import Any, Literal

import numpy
from mindspore import Parameter, Tensor, nn
from numpy.typing import NDArray

from mindscience_diffuser.noise import EDMPreconditioning, NoiseLaw, _Generator
from mindscience_diffuser.schedulers import (
    CMStochasticIterativeScheduler,
    DiffusionScheduler,
    LCMScheduler,
    PyramidFlowMatchEulerDiscreteScheduler,
)

__all__ = [
    "ConsistencyDistillation",
    "ConsistencyTuningTrainer",
    "DiffusionTrainer",
    "EDMTrainer",
    "ExponentialMovingAverage",
    "FlowMatchingTrainer",
    "MeanFlowTrainer",
    "PyramidFlowTrainer",
    "flow_weights",
    "min_snr_weights",
    "p2_weights",
    "signal_to_noise",
    "random_patches",
    "training_intervals",
    "training_sigmas",
    "training_timesteps",
    "tuning_levels",
    "warmup_cosine",
]

class ConsistencyDistillation(nn.Cell):
    distance: Any
    huber_c: Any
    student: Any
    target: Any
    teacher: Any
    unconditional: Any
    scheduler: Any
    def __init__(
        self,
        student: nn.Cell,
        target: nn.Cell,
        teacher: nn.Cell,
        scheduler: LCMScheduler,
        unconditional: Tensor | float,
        distance: Literal["l2", "huber"] = "huber",
        huber_c: float = 0.001,
    ) -> None: ...
    def checked_parameter(self, name: Any, value: Any) -> Any: ...
    def get_loss(
        self,
        original_samples: Tensor | float,
        noise: Tensor | float,
        timesteps: Tensor | float,
        condition: Tensor | float,
        guidance_scale: Tensor | float,
    ) -> Tensor: ...
    def construct(
        self,
        original_samples: Tensor | float,
        noise: Tensor | float,
        timesteps: Tensor | float,
        condition: Tensor | float,
        guidance_scale: Tensor | float,
    ) -> Tensor: ...
    def solve(self, noisy: Any, timesteps: Any, condition: Any, guidance_scale: Any) -> Any: ...
    def __call__(
        self,
        original_samples: Tensor | float,
        noise: Tensor | float,
        timesteps: Tensor | float,
        condition: Tensor | float,
        guidance_scale: Tensor | float,
    ) -> Tensor: ...

class ConsistencyTuningTrainer(nn.Cell):
    model: Any
    huber_c: Any
    def __init__(self, model: nn.Cell, scheduler: CMStochasticIterativeScheduler, huber_c: float = 0.03) -> None: ...
    def get_loss(
        self,
        original_samples: Tensor | float,
        noise: Tensor | float,
        levels: Tensor | float,
        *conditions: Tensor | float,
        weights: Tensor | float | None = None,
    ) -> Tensor: ...
    def denoised(self, x: Any, sigma: Any, *conditions: Any) -> Any: ...
    def construct(
        self,
        original_samples: Tensor | float,
        noise: Tensor | float,
        levels: Tensor | float,
        *conditions: Tensor | float,
        weights: Tensor | float | None = None,
    ) -> Tensor: ...
    def __call__(
        self,
        original_samples: Tensor | float,
        noise: Tensor | float,
        levels: Tensor | float,
        *conditions: Tensor | float,
        weights: Tensor | float | None = None,
    ) -> Tensor: ...

class DiffusionTrainer(_TrainedUnderNoise, nn.Cell):
    objective: Any
    loss_type: Any
    model: Any
    scheduler: Any
    def __init__(
        self,
        model: nn.Cell,
        scheduler: DiffusionScheduler,
        objective: Literal["pred_noise", "pred_x0", "pred_v"] = "pred_noise",
        p2_loss_weight_gamma: float = 0.0,
        p2_loss_weight_k: float = 1,
        loss_type: Literal["l1", "l2"] = "l1",
        min_snr_gamma: float | None = None,
        noise_law: NoiseLaw | None = None,
    ) -> None: ...
    def checked_parameter(self, name: Any, value: Any) -> Any: ...
    @property
    def p2_loss_weight(self) -> Any: ...
    def get_loss(
        self,
        original_samples: Tensor | float,
        noise: Tensor | float,
        timesteps: Tensor | float,
        condition: Tensor | float | None = None,
        *further: Tensor | float,
        weights: Tensor | float | None = None,
    ) -> Tensor: ...
    def get_losses(
        self,
        original_samples: Any,
        noise: Any,
        timesteps: Any,
        condition: Any = None,
        *further: Any,
        weights: Any = None,
    ) -> Any: ...
    def construct(
        self,
        original_samples: Tensor | float,
        noise: Tensor | float,
        timesteps: Tensor | float,
        condition: Tensor | float | None = None,
        *further: Tensor | float,
        weights: Tensor | float | None = None,
    ) -> Tensor: ...
    def __call__(
        self,
        original_samples: Tensor | float,
        noise: Tensor | float,
        timesteps: Tensor | float,
        condition: Tensor | float | None = None,
        *further: Tensor | float,
        weights: Tensor | float | None = None,
    ) -> Tensor: ...

class EDMTrainer(_TrainedUnderNoise, nn.Cell):
    model: Any
    preconditioning: Any
    regression: Any
    def __init__(
        self,
        model: nn.Cell,
        preconditioning: EDMPreconditioning | None = None,
        noise_law: NoiseLaw | None = None,
        regression: nn.Cell | None = None,
    ) -> None: ...
    def set_train(self, mode: bool = True) -> Any: ...
    def draw_noise(
        self, sigmas: Any, shape: Sequence[int] | NDArray[Any], generator: _Generator = None
    ) -> NDArray[Any]: ...
    def get_loss(
        self,
        original_samples: Tensor | float,
        noise: Tensor | float,
        sigmas: Tensor | float,
        *conditions: Tensor | float,
        weights: Tensor | float | None = None,
    ) -> Tensor: ...
    def get_losses(
        self, original_samples: Any, noise: Any, sigmas: Any, *conditions: Any, weights: Any = None
    ) -> Any: ...
    def construct(
        self,
        original_samples: Tensor | float,
        noise: Tensor | float,
        sigmas: Tensor | float,
        *conditions: Tensor | float,
        weights: Tensor | float | None = None,
    ) -> Tensor: ...
    def __call__(
        self,
        original_samples: Tensor | float,
        noise: Tensor | float,
        sigmas: Tensor | float,
        *conditions: Tensor | float,
        weights: Tensor | float | None = None,
    ) -> Tensor: ...

class ExponentialMovingAverage(nn.Cell):
    decay: Any
    average: Any
    def __init__(
        self, parameters: Sequence[Parameter], decay: float = 0.999, average: Sequence[Parameter] | None = None
    ) -> None: ...
    def checked_parameter(self, name: Any, value: Any) -> Any: ...
    def construct(self) -> Tensor: ...
    def state(self) -> Any: ...
    def __call__(self) -> Tensor: ...

class FlowMatchingTrainer(_TrainedUnderNoise, nn.Cell):
    model: Any
    num_train_timesteps: Any
    weighting: Any
    loss_type: Any
    def __init__(
        self,
        model: nn.Cell,
        num_train_timesteps: int = 1000,
        weighting: Literal["none", "sigma_sqrt", "cosmap"] = "none",
        loss_type: Literal["l1", "l2"] = "l2",
        noise_law: NoiseLaw | None = None,
    ) -> None: ...
    def get_loss(
        self,
        original_samples: Tensor | float,
        noise: Tensor | float,
        sigmas: Tensor | float,
        condition: Tensor | float | None = None,
        *further: Tensor | float,
        weights: Tensor | float | None = None,
    ) -> Tensor: ...
    def get_losses(
        self, original_samples: Any, noise: Any, sigmas: Any, condition: Any = None, *further: Any, weights: Any = None
    ) -> Any: ...
    def construct(
        self,
        original_samples: Tensor | float,
        noise: Tensor | float,
        sigmas: Tensor | float,
        condition: Tensor | float | None = None,
        *further: Tensor | float,
        weights: Tensor | float | None = None,
    ) -> Tensor: ...
    def __call__(
        self,
        original_samples: Tensor | float,
        noise: Tensor | float,
        sigmas: Tensor | float,
        condition: Tensor | float | None = None,
        *further: Tensor | float,
        weights: Tensor | float | None = None,
    ) -> Tensor: ...

class MeanFlowTrainer(_TrainedUnderNoise, nn.Cell):
    model: Any
    num_train_timesteps: Any
    adaptive_power: Any
    adaptive_c: Any
    guidance_scale: Any
    guidance_mix: Any
    guidance_interval: Any
    unconditional: Any
    velocity: Any
    def __init__(
        self,
        model: nn.Cell,
        num_train_timesteps: int = 1000,
        adaptive_power: float = 1.0,
        adaptive_c: float = 0.001,
        velocity: nn.Cell | None = None,
        noise_law: NoiseLaw | None = None,
        guidance_scale: float = 1.0,
        guidance_mix: float = 0.0,
        guidance_interval: tuple[Any, ...] | None = None,
        unconditional: Tensor | float | tuple[Any, ...] | None = None,
    ) -> None: ...
    def checked_parameter(self, name: Any, value: Any) -> Any: ...
    def set_train(self, mode: bool = True) -> Any: ...
    def get_loss(
        self,
        original_samples: Tensor | float,
        noise: Tensor | float,
        intervals: Tensor | float,
        *conditions: Tensor | float,
        weights: Tensor | float | None = None,
    ) -> Tensor: ...
    def guided(self, x: Any, told: Any, v: Any, conditions: Any) -> Any: ...
    def prediction(self, x: Any, told: Any, *conditions: Any) -> Any: ...
    def slope(self, x: Tensor | float, told: Tensor | float, v: Tensor | float, *conditions: Tensor | float) -> Any: ...
    def pulled_along(self, weight: Any, x: Any, told: Any, v: Any, along: Any, conditions: Any) -> Any: ...
    def weighed(self, x: Any, told: Any, weight: Any, conditions: Any) -> Any: ...
    def construct(
        self,
        original_samples: Tensor | float,
        noise: Tensor | float,
        intervals: Tensor | float,
        *conditions: Tensor | float,
        weights: Tensor | float | None = None,
    ) -> Tensor: ...
    def __call__(
        self,
        original_samples: Tensor | float,
        noise: Tensor | float,
        intervals: Tensor | float,
        *conditions: Tensor | float,
        weights: Tensor | float | None = None,
    ) -> Tensor: ...

class PyramidFlowTrainer(nn.Cell):
    model: Any
    scheduler: Any
    loss_type: Any
    def __init__(
        self,
        model: nn.Cell,
        scheduler: PyramidFlowMatchEulerDiscreteScheduler,
        sample_ratios: Sequence[int] | NDArray[Any] | None = None,
        loss_type: Literal["l1", "l2"] = "l2",
    ) -> None: ...
    def get_loss(
        self,
        original_samples: Tensor | float,
        noise: Tensor | float,
        index: Tensor | float,
        condition: Tensor | float | None = None,
    ) -> Tensor: ...
    def construct(
        self,
        original_samples: Tensor | float,
        noise: Tensor | float,
        index: Tensor | float,
        condition: Tensor | float | None = None,
    ) -> Tensor: ...
    def __call__(
        self,
        original_samples: Tensor | float,
        noise: Tensor | float,
        index: Tensor | float,
        condition: Tensor | float | None = None,
    ) -> Tensor: ...

class _TrainedUnderNoise:
    def draw_noise(self, shape: Sequence[int] | NDArray[Any], generator: _Generator = None) -> NDArray[Any]: ...

def flow_weights(weighting: Any, sigmas: Any) -> Any: ...
def min_snr_weights(snr: Any, gamma: Any, objective: Any) -> Any: ...
def p2_weights(snr: Any, gamma: Any, k: Any) -> Any: ...
def signal_to_noise(alphas_cumprod: Any) -> Any: ...
def random_patches(
    patch: Sequence[int] | NDArray[Any],
    generator: numpy.random.Generator,
    samples: NDArray[Any],
    *fields: NDArray[Any],
    with_positions: bool = True,
) -> list[Any]: ...
def training_intervals(
    seed: int, step: int, batch_size: int, interval_share: float = 0.25, **density: Any
) -> NDArray[Any]: ...
def training_sigmas(
    seed: int,
    step: int,
    batch_size: int,
    density: Literal["uniform", "logit_normal", "mode", "cosmap"] = "logit_normal",
    logit_mean: float = 0.0,
    logit_std: float = 1.0,
    mode_scale: float = 1.29,
    shift: float = 1.0,
) -> NDArray[Any]: ...
def training_timesteps(seed: int, step: int, batch_size: int, num_train_timesteps: int) -> NDArray[Any]: ...
def tuning_levels(
    seed: int,
    step: int,
    batch_size: int,
    q: float = 2.0,
    stage_steps: int = 250,
    sigma_min: float = 0.002,
    loc: float = -1.1,
    scale: float = 2.0,
    sigma_max: float = 80.0,
) -> NDArray[Any]: ...
def warmup_cosine(peak: float, warmup_steps: int, steps: int, final: float = 0.0) -> Any: ...
