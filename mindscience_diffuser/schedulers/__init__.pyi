# Made by scripts/make_stubs.py from signatures and docstrings: run it again, do not edit.
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, overload

import mindspore
from mindspore import Parameter, Tensor, nn
from numpy.typing import ArrayLike, NDArray
from typing_extensions import Self

from mindscience_diffuser.noise import _Generator
from mindscience_diffuser.plan import StepPlan

__all__ = [
    "AlphaFold3Scheduler",
    "AmusedScheduler",
    "BlockRefinementScheduler",
    "CMStochasticIterativeScheduler",
    "CogVideoXDDIMScheduler",
    "CogVideoXDPMScheduler",
    "ConsistencyDecoderScheduler",
    "CosineDPMSolverMultistepScheduler",
    "DDIMInverseScheduler",
    "DDIMParallelScheduler",
    "DDIMScheduler",
    "DDPMParallelScheduler",
    "DDPMScheduler",
    "DDPMWuerstchenScheduler",
    "DEISMultistepScheduler",
    "DPMSolverAncestralScheduler",
    "DPMSolverMultistepInverseScheduler",
    "DPMSolverMultistepScheduler",
    "DPMSolverSDEScheduler",
    "DPMSolverSinglestepScheduler",
    "DiffusionScheduler",
    "DiscreteDDIMScheduler",
    "EDMDPMSolverMultistepScheduler",
    "EDMDPMSolverSinglestepScheduler",
    "EDMEulerScheduler",
    "EDMHeunScheduler",
    "ERSDEScheduler",
    "EntropyBoundScheduler",
    "EulerAncestralDiscreteScheduler",
    "EulerDiscreteScheduler",
    "FlowMapEulerDiscreteScheduler",
    "FlowMatchEulerDiscreteScheduler",
    "FlowMatchHeunDiscreteScheduler",
    "FlowMatchLCMScheduler",
    "GradientEstimationScheduler",
    "HeliosDMDScheduler",
    "HeliosScheduler",
    "HeunDiscreteScheduler",
    "IPNDMScheduler",
    "KDPM2AncestralDiscreteScheduler",
    "KDPM2DiscreteScheduler",
    "KarrasVeScheduler",
    "LCMScheduler",
    "LCMSchedulerOutput",
    "LMSDiscreteScheduler",
    "LTXEulerAncestralRFScheduler",
    "LearnedScheduler",
    "MiniMaxH3Scheduler",
    "PNDMScheduler",
    "PiflowScheduler",
    "PyramidFlowMatchEulerDiscreteScheduler",
    "RFD4ProteinaScheduler",
    "RePaintScheduler",
    "SASolverScheduler",
    "SCMScheduler",
    "SEEDSScheduler",
    "Scheduler",
    "SchedulerOutput",
    "ScoreSdeOutput",
    "ScoreSdeVeScheduler",
    "ScoreSdeVpScheduler",
    "TCDScheduler",
    "TCDSchedulerOutput",
    "TokenScheduler",
    "TokenSchedulerOutput",
    "UnCLIPScheduler",
    "UniPCMultistepScheduler",
    "VQDiffusionScheduler",
    "register_scheduler",
]

class AlphaFold3Scheduler(_ChurnedSteps, _EDMScheduler):
    def __init__(
        self,
        sigma_min: float | None = 0.0064,
        sigma_max: float | None = 2560.0,
        sigma_data: float | Sequence[float] | NDArray[Any] = 16.0,
        num_train_timesteps: int = 1000,
        prediction_type: Literal["epsilon", "sample"] = "sample",
        rho: float = 7.0,
        gamma_0: float = 0.8,
        gamma_min: float = 1.0,
        noise_scale: float = 1.003,
        step_scale: float = 1.5,
        compute_dtype: Any = mindspore.float32,
    ) -> None: ...
    def updates(
        self, sigma_hat: NDArray[Any], sigma_next: NDArray[Any], step: NDArray[Any], corrects: NDArray[Any]
    ) -> Any: ...

class AmusedScheduler(TokenScheduler):
    def __init__(self, mask_token_id: int, masking_schedule: Literal["cosine", "linear"] = "cosine") -> None: ...
    def mask_ratios(self, count: Any) -> Any: ...
    def set_timesteps(
        self, num_inference_steps: int, temperature: float | Sequence[float] | NDArray[Any] = (2, 0)
    ) -> None: ...
    def construct(
        self,
        model_output: Any,
        sample: Any,
        timestep: Any,
        noise: Any,
        position_noise: Any,
        starting_mask_ratio: Any = 1.0,
    ) -> Tensor: ...
    @overload
    def step(
        self,
        model_output: Tensor | float,
        sample: Tensor | float,
        timestep: int | NDArray[Any] | Tensor,
        noise: Tensor | float | None = None,
        position_noise: Tensor | float | None = None,
        generator: _Generator = None,
        return_dict: Literal[False] = False,
        starting_mask_ratio: float | Tensor = 1.0,
    ) -> Tensor: ...
    @overload
    def step(
        self,
        model_output: Tensor | float,
        sample: Tensor | float,
        timestep: int | NDArray[Any] | Tensor,
        noise: Tensor | float | None = None,
        position_noise: Tensor | float | None = None,
        generator: _Generator = None,
        *,
        return_dict: Literal[True],
        starting_mask_ratio: float | Tensor = 1.0,
    ) -> TokenSchedulerOutput: ...
    def add_noise(
        self, original_samples: Tensor | float, noise: Tensor | float, timesteps: int | NDArray[Any] | Tensor
    ) -> Tensor: ...
    def __call__(
        self,
        model_output: Any,
        sample: Any,
        timestep: Any,
        noise: Any,
        position_noise: Any,
        starting_mask_ratio: Any = 1.0,
    ) -> Tensor: ...

class BlockRefinementScheduler(TokenScheduler):
    def __init__(
        self,
        block_length: int = 32,
        num_inference_steps: int = 32,
        threshold: float = 0.95,
        editing_threshold: float | None = None,
        mask_token_id: int | None = None,
        top_k: int | None = None,
        top_p: float | None = None,
    ) -> None: ...
    def set_timesteps(
        self, num_inference_steps: int, block_length: int | None = None, temperature: float = 0.0
    ) -> None: ...
    @staticmethod
    def limits(temperature: Any, top_k: Any, top_p: Any) -> Any: ...
    def draw_by(self, mask_token: Any, top_k: Any, top_p: Any, block_length: Any) -> None: ...
    def construct(
        self,
        model_output: Any,
        sample: Any,
        timestep: Any,
        noise: Any,
        position_noise: Any,
        committed: Any = None,
        prompt_mask: Any = None,
    ) -> Tensor: ...
    @staticmethod
    def flags(chosen: Any, sample: Any) -> Any: ...
    @overload
    def step(
        self,
        model_output: Tensor | float,
        sample: Tensor | float,
        timestep: int | NDArray[Any] | Tensor,
        noise: Tensor | float | None = None,
        position_noise: Tensor | float | None = None,
        generator: _Generator = None,
        return_dict: Literal[False] = False,
        committed: Tensor | float | None = None,
        prompt_mask: Tensor | float | None = None,
    ) -> Tensor: ...
    @overload
    def step(
        self,
        model_output: Tensor | float,
        sample: Tensor | float,
        timestep: int | NDArray[Any] | Tensor,
        noise: Tensor | float | None = None,
        position_noise: Tensor | float | None = None,
        generator: _Generator = None,
        *,
        return_dict: Literal[True],
        committed: Tensor | float | None = None,
        prompt_mask: Tensor | float | None = None,
    ) -> TokenSchedulerOutput: ...
    def others(self, sample: Any, committed: Any, prompt_mask: Any) -> Any: ...
    def __call__(
        self,
        model_output: Any,
        sample: Any,
        timestep: Any,
        noise: Any,
        position_noise: Any,
        committed: Any = None,
        prompt_mask: Any = None,
    ) -> Tensor: ...

class CMStochasticIterativeScheduler(_SigmaScheduler):
    num_train_timesteps: Any
    def __init__(
        self,
        num_train_timesteps: int = 40,
        sigma_min: float | None = 0.002,
        sigma_max: float | None = 80.0,
        sigma_data: float = 0.5,
        s_noise: float = 1.0,
        rho: float = 7.0,
        clip_denoised: bool = True,
        compute_dtype: Any = mindspore.float32,
    ) -> None: ...
    @property
    def init_noise_sigma(self) -> Any: ...
    def set_timesteps(
        self, num_inference_steps: int | None = None, timesteps: Sequence[int] | NDArray[Any] | None = None
    ) -> None: ...
    def model_timestep(self, sigma: Any) -> Any: ...
    def clean_sample(self, sigma: Any) -> Any: ...

class _ChurnedSteps:
    @property
    def churns(self) -> Any: ...
    @property
    def churn_rates(self) -> Any: ...
    @property
    def churn_factor(self) -> Any: ...
    @property
    def churned_sigmas(self) -> Any: ...
    @property
    def churn_std(self) -> Any: ...
    @property
    def second_sigmas(self) -> Any: ...
    @property
    def levels(self) -> Any: ...
    @property
    def init_noise_sigma(self) -> Any: ...
    def call_levels(self) -> Any: ...
    def updates(
        self, sigma_hat: NDArray[Any], sigma_next: NDArray[Any], step: NDArray[Any], corrects: NDArray[Any]
    ) -> None: ...
    def trajectory_plan(self) -> Any: ...

class CogVideoXDDIMScheduler(_CogVideoXProcess, _DDIMBase):
    def __init__(
        self,
        num_train_timesteps: int = 1000,
        beta_start: float = 0.00085,
        beta_end: float = 0.012,
        beta_schedule: Literal["linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid", "exp"] = "scaled_linear",
        trained_betas: ArrayLike | None = None,
        clip_sample: bool = True,
        set_alpha_to_one: bool = True,
        steps_offset: int = 0,
        prediction_type: Literal["epsilon", "sample", "v_prediction"] = "epsilon",
        clip_sample_range: float = 1.0,
        sample_max_value: float = 1.0,
        timestep_spacing: Literal["leading", "linspace", "trailing"] = "leading",
        rescale_betas_zero_snr: bool = False,
        snr_shift_scale: float = 3.0,
        compute_dtype: Any = mindspore.float32,
    ) -> None: ...

class CogVideoXDPMScheduler(_TrajectoryScheduler, _CogVideoXProcess):
    def __init__(
        self,
        num_train_timesteps: int = 1000,
        beta_start: float = 0.00085,
        beta_end: float = 0.012,
        beta_schedule: Literal["linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid", "exp"] = "scaled_linear",
        trained_betas: ArrayLike | None = None,
        clip_sample: bool = True,
        set_alpha_to_one: bool = True,
        steps_offset: int = 0,
        prediction_type: Literal["epsilon", "sample", "v_prediction"] = "epsilon",
        clip_sample_range: float = 1.0,
        sample_max_value: float = 1.0,
        timestep_spacing: Literal["leading", "linspace", "trailing"] = "leading",
        rescale_betas_zero_snr: bool = False,
        snr_shift_scale: float = 3.0,
        compute_dtype: Any = mindspore.float32,
    ) -> None: ...
    def trajectory_plan(self, begin: Any = 0) -> Any: ...
    def plan_of(self, timesteps: Any, begin: Any = 0) -> Any: ...

class _CogVideoXProcess(DiffusionScheduler): ...

class _Configurable:
    arguments: Any
    shared_arguments: Any
    compatibles: Any
    peer_defaults: Any
    own_process: Any
    @classmethod
    def class_of(cls, config: Any) -> Any: ...
    @staticmethod
    def source_of(config: Any) -> Any: ...
    @classmethod
    def from_preset(cls, name: str, **overrides: Any) -> Self: ...
    @classmethod
    def from_config(cls, config: Mapping[str, Any], **overrides: Any) -> Self: ...
    @classmethod
    def defaults(cls, of_diffusers: Any = False) -> Any: ...
    @classmethod
    def conversion(cls, config: Any, overrides: Any = None) -> Any: ...
    @classmethod
    def takes(cls, name: Any, value: Any) -> Any: ...
    @classmethod
    def from_pretrained(cls, path: str | Path, subfolder: str | None = None, **overrides: Any) -> Self: ...
    def save_pretrained(self, path: str | Path) -> None: ...

class ConsistencyDecoderScheduler(_SigmaScheduler):
    num_train_timesteps: Any
    def __init__(
        self, num_train_timesteps: int = 1024, sigma_data: float = 0.5, compute_dtype: Any = mindspore.float32
    ) -> None: ...
    limit: Any
    @property
    def init_noise_sigma(self) -> Any: ...
    def set_timesteps(
        self, num_inference_steps: int | None = None, timesteps: Sequence[int] | NDArray[Any] | None = None
    ) -> None: ...
    def scalings(self, alpha: Any, sigma: Any) -> Any: ...

class _ConsistencyScheduler(_TrajectoryScheduler, DiffusionScheduler):
    def __init__(
        self,
        num_train_timesteps: int = 1000,
        beta_start: float = 0.00085,
        beta_end: float = 0.012,
        beta_schedule: Literal["linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid", "exp"] = "scaled_linear",
        trained_betas: ArrayLike | None = None,
        original_inference_steps: int = 50,
        clip_sample: bool = False,
        clip_sample_range: float = 1.0,
        set_alpha_to_one: bool = True,
        steps_offset: int = 0,
        prediction_type: Literal["epsilon", "sample", "v_prediction"] = "epsilon",
        thresholding: bool = False,
        dynamic_thresholding_ratio: float = 0.995,
        sample_max_value: float = 1.0,
        timestep_spacing: Literal["leading", "linspace", "trailing"] = "leading",
        timestep_scaling: float = 10.0,
        rescale_betas_zero_snr: bool = False,
        compute_dtype: Any = mindspore.float32,
    ) -> None: ...
    def set_timesteps(
        self,
        num_inference_steps: int | None = None,
        original_inference_steps: int | None = None,
        timesteps: Sequence[int] | NDArray[Any] | None = None,
        strength: float = 1.0,
    ) -> None: ...
    @staticmethod
    def share_of(count: int | NDArray[Any], share: float | NDArray[Any]) -> int | Any: ...
    @staticmethod
    def evenly_spread(count: Any, total: Any) -> Any: ...

class CosineDPMSolverMultistepScheduler(_DPMSolverMethod, _EDMScheduler):
    def __init__(
        self,
        sigma_min: float | None = 0.3,
        sigma_max: float | None = 500,
        sigma_data: float | Sequence[float] | NDArray[Any] = 1.0,
        sigma_schedule: Literal[
            "karras", "exponential", "beta", "kl_optimal", "laplace", "ays_sd15", "ays_sdxl", "ays_svd"
        ] = "exponential",
        num_train_timesteps: int = 1000,
        solver_order: int = 2,
        prediction_type: Literal["epsilon", "v_prediction", "sample"] = "v_prediction",
        rho: float = 7.0,
        solver_type: Literal["midpoint", "heun"] = "midpoint",
        lower_order_final: bool = True,
        euler_at_final: bool = False,
        final_sigmas_type: Literal["zero", "sigma_min"] = "zero",
        eta: float | None = None,
        compute_dtype: Any = mindspore.float32,
    ) -> None: ...
    predicts_x0: bool
    follows_sde: bool

class _DDIMBase(_PerTimestepScheduler):
    def step_levels(self) -> Any: ...
    def spreads(self) -> Any: ...
    def dense_plan(self, eta: Any = 0.0, use_clipped_model_output: Any = False, with_epsilon: Any = False) -> Any: ...

class DDIMInverseScheduler(_DDIMBase):
    def __init__(
        self,
        num_train_timesteps: int = 1000,
        beta_start: float = 0.0001,
        beta_end: float = 0.02,
        beta_schedule: Literal["linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid", "exp"] = "linear",
        trained_betas: ArrayLike | None = None,
        clip_sample: bool = True,
        set_alpha_to_one: bool = True,
        steps_offset: int = 0,
        prediction_type: Literal["epsilon", "sample", "v_prediction"] = "epsilon",
        clip_sample_range: float = 1.0,
        timestep_spacing: Literal["leading", "linspace", "trailing"] = "leading",
        rescale_betas_zero_snr: bool = False,
        compute_dtype: Any = mindspore.float32,
    ) -> None: ...
    def set_timesteps(self, num_inference_steps: int) -> None: ...

class DDIMParallelScheduler(DDIMScheduler):
    def __init__(
        self,
        num_train_timesteps: int = 1000,
        beta_start: float = 0.0001,
        beta_end: float = 0.02,
        beta_schedule: Literal["linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid", "exp"] = "linear",
        trained_betas: ArrayLike | None = None,
        clip_sample: bool = True,
        set_alpha_to_one: bool = True,
        steps_offset: int = 0,
        prediction_type: Literal["epsilon", "sample", "v_prediction"] = "epsilon",
        thresholding: bool = False,
        dynamic_thresholding_ratio: float = 0.995,
        clip_sample_range: float = 1.0,
        sample_max_value: float = 1.0,
        timestep_spacing: Literal["leading", "linspace", "trailing"] = "leading",
        rescale_betas_zero_snr: bool = False,
        compute_dtype: Any = mindspore.float32,
    ) -> None: ...
    def batch_step_no_noise(
        self, model_output: Any, sample: Any, timesteps: Any, eta: Any = 0.0, use_clipped_model_output: Any = False
    ) -> Any: ...

class DDIMScheduler(_DDIMBase):
    def __init__(
        self,
        num_train_timesteps: int = 1000,
        beta_start: float = 0.0001,
        beta_end: float = 0.02,
        beta_schedule: Literal["linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid", "exp"] = "squaredcos_cap_v2",
        prediction_type: Literal["epsilon", "sample", "v_prediction"] = "epsilon",
        clip_sample: bool = True,
        clip_sample_range: float = 1.0,
        thresholding: bool = False,
        sample_max_value: float = 1.0,
        dynamic_thresholding_ratio: float = 0.995,
        rescale_betas_zero_snr: bool = False,
        timestep_spacing: Literal["leading", "linspace", "trailing"] = "leading",
        compute_dtype: Any = mindspore.float32,
        trained_betas: ArrayLike | None = None,
        steps_offset: int = 0,
        set_alpha_to_one: bool = True,
    ) -> None: ...
    @property
    def final_alpha_cumprod(self) -> Any: ...
    def construct(self, model_output: Any, sample: Any, timestep: Any, noise: Any = None, eta: Any = 0.0) -> Tensor: ...
    @overload
    def step(
        self,
        model_output: Tensor | float,
        sample: Tensor | float,
        timestep: int | NDArray[Any] | Tensor,
        eta: float = 0.0,
        use_clipped_model_output: bool = False,
        noise: Tensor | float | None = None,
        generator: _Generator = None,
        return_dict: Literal[False] = False,
    ) -> Tensor: ...
    @overload
    def step(
        self,
        model_output: Tensor | float,
        sample: Tensor | float,
        timestep: int | NDArray[Any] | Tensor,
        eta: float = 0.0,
        use_clipped_model_output: bool = False,
        noise: Tensor | float | None = None,
        generator: _Generator = None,
        *,
        return_dict: Literal[True],
    ) -> SchedulerOutput: ...
    def plan_for(self, eta: Any = 0.0, use_clipped_model_output: Any = False) -> StepPlan: ...
    def __call__(self, model_output: Any, sample: Any, timestep: Any, noise: Any = None, eta: Any = 0.0) -> Tensor: ...

class DDPMParallelScheduler(DDPMScheduler):
    def __init__(
        self,
        num_train_timesteps: int = 1000,
        beta_start: float = 0.0001,
        beta_end: float = 0.02,
        beta_schedule: Literal["linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid", "exp"] = "linear",
        trained_betas: ArrayLike | None = None,
        variance_type: Literal[
            "fixed_small", "fixed_small_log", "fixed_large", "fixed_large_log", "learned", "learned_range"
        ] = "fixed_small",
        clip_sample: bool = True,
        prediction_type: Literal["epsilon", "sample", "v_prediction"] = "epsilon",
        thresholding: bool = False,
        dynamic_thresholding_ratio: float = 0.995,
        clip_sample_range: float = 1.0,
        sample_max_value: float = 1.0,
        timestep_spacing: Literal["leading", "linspace", "trailing"] = "leading",
        steps_offset: int = 0,
        rescale_betas_zero_snr: bool = False,
        compute_dtype: Any = mindspore.float32,
    ) -> None: ...
    def batch_step_no_noise(self, model_output: Any, sample: Any, timesteps: Any) -> Any: ...

class DDPMScheduler(_PerTimestepScheduler):
    variance_type: Any
    def __init__(
        self,
        num_train_timesteps: int = 1000,
        beta_start: float = 0.0001,
        beta_end: float = 0.02,
        beta_schedule: Literal["linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid", "exp"] = "squaredcos_cap_v2",
        prediction_type: Literal["epsilon", "sample", "v_prediction"] = "epsilon",
        variance_type: Literal[
            "fixed_small", "fixed_small_log", "fixed_large", "fixed_large_log", "learned", "learned_range"
        ] = "fixed_small_log",
        clip_sample: bool = True,
        clip_sample_range: float = 1.0,
        thresholding: bool = False,
        sample_max_value: float = 1.0,
        dynamic_thresholding_ratio: float = 0.995,
        rescale_betas_zero_snr: bool = False,
        timestep_spacing: Literal["leading", "linspace", "trailing"] = "leading",
        compute_dtype: Any = mindspore.float32,
        trained_betas: ArrayLike | None = None,
        steps_offset: int = 0,
    ) -> None: ...
    def construct(
        self, model_output: Any, sample: Any, timestep: Any, noise: Any, predicted_variance: Any = None
    ) -> Tensor: ...
    @overload
    def step(
        self,
        model_output: Tensor | float,
        sample: Tensor | float,
        timestep: int | NDArray[Any] | Tensor,
        predicted_variance: Tensor | float | None = None,
        noise: Tensor | float | None = None,
        generator: _Generator = None,
        return_dict: Literal[False] = False,
    ) -> Tensor: ...
    @overload
    def step(
        self,
        model_output: Tensor | float,
        sample: Tensor | float,
        timestep: int | NDArray[Any] | Tensor,
        predicted_variance: Tensor | float | None = None,
        noise: Tensor | float | None = None,
        generator: _Generator = None,
        *,
        return_dict: Literal[True],
    ) -> SchedulerOutput: ...
    def adds_noise(self, sigma_prev: Any) -> Any: ...
    def plan_towards(self, following: Any) -> Any: ...
    def __call__(
        self, model_output: Any, sample: Any, timestep: Any, noise: Any, predicted_variance: Any = None
    ) -> Tensor: ...

class DDPMWuerstchenScheduler(_SigmaScheduler):
    def __init__(self, scaler: float = 1.0, s: float = 0.008, compute_dtype: Any = mindspore.float32) -> None: ...
    num_train_timesteps: int
    def set_timesteps(
        self, num_inference_steps: int | None = None, timesteps: Sequence[float] | NDArray[Any] | None = None
    ) -> None: ...

class DEISMultistepScheduler(_LogSNRScheduler):
    def __init__(
        self,
        num_train_timesteps: int = 1000,
        beta_start: float = 0.0001,
        beta_end: float = 0.02,
        beta_schedule: Literal["linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid", "exp"] = "linear",
        trained_betas: ArrayLike | None = None,
        solver_order: int = 2,
        prediction_type: Literal["epsilon", "sample", "v_prediction", "flow_prediction"] = "epsilon",
        thresholding: bool = False,
        dynamic_thresholding_ratio: float = 0.995,
        sample_max_value: float = 1.0,
        algorithm_type: Literal["deis"] = "deis",
        solver_type: Literal["logrho"] = "logrho",
        lower_order_final: bool = True,
        use_karras_sigmas: bool | None = False,
        use_exponential_sigmas: bool | None = False,
        use_beta_sigmas: bool | None = False,
        use_flow_sigmas: bool = False,
        flow_shift: float = 1.0,
        timestep_spacing: Literal["leading", "linspace", "trailing"] = "linspace",
        steps_offset: int = 0,
        use_dynamic_shifting: bool = False,
        time_shift_type: Literal["exponential"] = "exponential",
        sigma_schedule: Literal[
            "karras",
            "exponential",
            "beta",
            "kl_optimal",
            "laplace",
            "ays_sd15",
            "ays_sdxl",
            "ays_svd",
            "linear_quadratic",
        ]
        | None = None,
        eta: float = 0.0,
        compute_dtype: Any = mindspore.float32,
    ) -> None: ...
    def trajectory_plan(self, begin: Any = 0) -> Any: ...

class DPMSolverAncestralScheduler(_InnerCallMethod, _LogSNRScheduler):
    def __init__(
        self,
        num_train_timesteps: int = 1000,
        beta_start: float = 0.0001,
        beta_end: float = 0.02,
        beta_schedule: Literal["linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid", "exp"] = "linear",
        trained_betas: ArrayLike | None = None,
        calls_per_step: int = 2,
        prediction_type: Literal["epsilon", "sample", "v_prediction", "flow_prediction"] = "epsilon",
        eta: float = 1.0,
        thresholding: bool = False,
        dynamic_thresholding_ratio: float = 0.995,
        sample_max_value: float = 1.0,
        use_karras_sigmas: bool | None = False,
        use_exponential_sigmas: bool | None = False,
        use_beta_sigmas: bool | None = False,
        use_lu_lambdas: bool | None = False,
        use_flow_sigmas: bool = False,
        flow_shift: float = 1.0,
        final_sigmas_type: Literal["zero", "sigma_min"] = "zero",
        lambda_min_clipped: float = float("-inf"),
        timestep_spacing: Literal["leading", "linspace", "trailing"] = "linspace",
        steps_offset: int = 0,
        rescale_betas_zero_snr: bool = False,
        use_dynamic_shifting: bool = False,
        time_shift_type: Literal["exponential"] = "exponential",
        sigma_schedule: Literal[
            "karras",
            "exponential",
            "beta",
            "kl_optimal",
            "laplace",
            "ays_sd15",
            "ays_sdxl",
            "ays_svd",
            "linear_quadratic",
        ]
        | None = None,
        compute_dtype: Any = mindspore.float32,
    ) -> None: ...

class _DPMSolverFromBetas(_DPMSolverMethod):
    rounded: Any

class _DPMSolverMethod(_MultistepMethod):
    @property
    def predicts_x0(self) -> Any: ...
    @property
    def follows_sde(self) -> Any: ...
    @property
    def slope_rule(self) -> Any: ...
    def trajectory_plan(self, begin: Any = 0) -> Any: ...

class DPMSolverMultistepInverseScheduler(_DPMSolverFromBetas, _LogSNRScheduler):
    def __init__(
        self,
        num_train_timesteps: int = 1000,
        beta_start: float = 0.0001,
        beta_end: float = 0.02,
        beta_schedule: Literal["linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid", "exp"] = "linear",
        trained_betas: ArrayLike | None = None,
        solver_order: int = 2,
        prediction_type: Literal["epsilon", "sample", "v_prediction", "flow_prediction"] = "epsilon",
        thresholding: bool = False,
        dynamic_thresholding_ratio: float = 0.995,
        sample_max_value: float = 1.0,
        algorithm_type: Literal["dpmsolver", "dpmsolver++"] = "dpmsolver++",
        solver_type: Literal["midpoint", "heun"] = "midpoint",
        lower_order_final: bool = True,
        euler_at_final: bool = False,
        use_karras_sigmas: bool | None = False,
        use_exponential_sigmas: bool | None = False,
        use_beta_sigmas: bool | None = False,
        use_flow_sigmas: bool = False,
        flow_shift: float = 1.0,
        lambda_min_clipped: float = float("-inf"),
        variance_type: Literal["learned", "learned_range"] | None = None,
        timestep_spacing: Literal["leading", "linspace", "trailing"] = "linspace",
        steps_offset: int = 0,
        sigma_schedule: Literal["karras", "exponential", "beta", "kl_optimal", "laplace"] | None = None,
        compute_dtype: Any = mindspore.float32,
    ) -> None: ...
    def set_timesteps(self, num_inference_steps: int) -> None: ...

class DPMSolverMultistepScheduler(_DPMSolverFromBetas, _LogSNRScheduler):
    def __init__(
        self,
        num_train_timesteps: int = 1000,
        beta_start: float = 0.0001,
        beta_end: float = 0.02,
        beta_schedule: Literal["linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid", "exp"] = "linear",
        trained_betas: ArrayLike | None = None,
        solver_order: int = 2,
        prediction_type: Literal["epsilon", "sample", "v_prediction", "flow_prediction"] = "epsilon",
        thresholding: bool = False,
        dynamic_thresholding_ratio: float = 0.995,
        sample_max_value: float = 1.0,
        algorithm_type: Literal["dpmsolver", "dpmsolver++", "sde-dpmsolver", "sde-dpmsolver++"] = "dpmsolver++",
        solver_type: Literal["midpoint", "heun"] = "midpoint",
        lower_order_final: bool = True,
        euler_at_final: bool = False,
        use_karras_sigmas: bool | None = False,
        use_exponential_sigmas: bool | None = False,
        use_beta_sigmas: bool | None = False,
        use_lu_lambdas: bool | None = False,
        use_flow_sigmas: bool = False,
        flow_shift: float = 1.0,
        final_sigmas_type: Literal["zero", "sigma_min"] = "zero",
        lambda_min_clipped: float = float("-inf"),
        variance_type: Literal["learned", "learned_range"] | None = None,
        timestep_spacing: Literal["leading", "linspace", "trailing"] = "linspace",
        steps_offset: int = 0,
        rescale_betas_zero_snr: bool = False,
        use_dynamic_shifting: bool = False,
        time_shift_type: Literal["exponential"] = "exponential",
        sigma_schedule: Literal[
            "karras",
            "exponential",
            "beta",
            "kl_optimal",
            "laplace",
            "ays_sd15",
            "ays_sdxl",
            "ays_svd",
            "linear_quadratic",
        ]
        | None = None,
        eta: float | None = None,
        compute_dtype: Any = mindspore.float32,
    ) -> None: ...
    @property
    def rounded(self) -> Any: ...

class DPMSolverSDEScheduler(_TwoCallScheduler):
    def __init__(
        self,
        num_train_timesteps: int = 1000,
        beta_start: float = 0.00085,
        beta_end: float = 0.012,
        beta_schedule: Literal["linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid", "exp"] = "linear",
        trained_betas: ArrayLike | None = None,
        prediction_type: Literal["epsilon", "sample", "v_prediction"] = "epsilon",
        use_karras_sigmas: bool | None = False,
        use_exponential_sigmas: bool | None = False,
        use_beta_sigmas: bool | None = False,
        noise_sampler_seed: int | None = None,
        timestep_spacing: Literal["leading", "linspace", "trailing"] = "linspace",
        steps_offset: int = 0,
        sigma_schedule: Literal[
            "karras", "exponential", "beta", "kl_optimal", "laplace", "ays_sd15", "ays_sdxl", "ays_svd"
        ]
        | None = None,
        compute_dtype: Any = mindspore.float32,
    ) -> None: ...
    def trajectory_plan(self, s_noise: Any = 1.0) -> Any: ...
    @overload
    def step(
        self,
        model_output: Tensor | float,
        sample: Tensor | float,
        timestep: int | float | NDArray[Any] | Tensor,
        noise: Tensor | float | None = None,
        generator: _Generator = None,
        return_dict: Literal[False] = False,
        *,
        s_noise: float = 1.0,
    ) -> Tensor: ...
    @overload
    def step(
        self,
        model_output: Tensor | float,
        sample: Tensor | float,
        timestep: int | float | NDArray[Any] | Tensor,
        noise: Tensor | float | None = None,
        generator: _Generator = None,
        *,
        return_dict: Literal[True],
        s_noise: float = 1.0,
    ) -> SchedulerOutput: ...

class DPMSolverSinglestepScheduler(_SinglestepMethod, _DPMSolverFromBetas, _LogSNRScheduler):
    def __init__(
        self,
        num_train_timesteps: int = 1000,
        beta_start: float = 0.0001,
        beta_end: float = 0.02,
        beta_schedule: Literal["linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid", "exp"] = "linear",
        trained_betas: ArrayLike | None = None,
        solver_order: int = 2,
        prediction_type: Literal["epsilon", "sample", "v_prediction", "flow_prediction"] = "epsilon",
        thresholding: bool = False,
        dynamic_thresholding_ratio: float = 0.995,
        sample_max_value: float = 1.0,
        algorithm_type: Literal["dpmsolver", "dpmsolver++", "sde-dpmsolver++"] = "dpmsolver++",
        solver_type: Literal["midpoint", "heun"] = "midpoint",
        lower_order_final: bool = False,
        use_karras_sigmas: bool | None = False,
        use_exponential_sigmas: bool | None = False,
        use_beta_sigmas: bool | None = False,
        use_flow_sigmas: bool = False,
        flow_shift: float = 1.0,
        final_sigmas_type: Literal["zero", "sigma_min"] = "zero",
        lambda_min_clipped: float = float("-inf"),
        variance_type: Literal["learned", "learned_range"] | None = None,
        use_dynamic_shifting: bool = False,
        time_shift_type: Literal["exponential"] = "exponential",
        sigma_schedule: Literal[
            "karras",
            "exponential",
            "beta",
            "kl_optimal",
            "laplace",
            "ays_sd15",
            "ays_sdxl",
            "ays_svd",
            "linear_quadratic",
        ]
        | None = None,
        eta: float | None = None,
        compute_dtype: Any = mindspore.float32,
    ) -> None: ...
    def ends_clean(self) -> Any: ...
    def orders(self, begin: Any) -> Any: ...
    @property
    def skips_second(self) -> Any: ...

class DiffusionScheduler(_ProcessTables, Scheduler):
    @property
    def betas(self) -> NDArray[Any]: ...
    @property
    def alphas_cumprod(self) -> Tensor: ...
    num_train_timesteps: Any
    prediction_type: Any
    timestep_spacing: Any
    steps_offset: Any
    def __init__(
        self,
        num_train_timesteps: int = 1000,
        beta_start: float = 0.0001,
        beta_end: float = 0.02,
        beta_schedule: Literal["linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid", "exp"] = "squaredcos_cap_v2",
        prediction_type: Literal["epsilon", "sample", "v_prediction"] = "epsilon",
        clip_sample: bool = True,
        clip_sample_range: float = 1.0,
        thresholding: bool = False,
        sample_max_value: float = 1.0,
        dynamic_thresholding_ratio: float = 0.995,
        rescale_betas_zero_snr: bool = False,
        timestep_spacing: Literal["leading", "linspace", "trailing"] = "leading",
        compute_dtype: Any = mindspore.float32,
        trained_betas: ArrayLike | None = None,
        steps_offset: int = 0,
    ) -> None: ...
    limits: bool
    def replace_alphas_cumprod(self, alpha_bar: Any) -> None: ...
    def __len__(self) -> Any: ...
    @property
    def levels(self) -> Any: ...
    def set_timesteps(
        self, num_inference_steps: int | None = None, timesteps: Sequence[int] | NDArray[Any] | None = None
    ) -> None: ...
    def add_noise(
        self, original_samples: Tensor | float, noise: Tensor | float, timesteps: int | NDArray[Any] | Tensor
    ) -> Tensor: ...
    def get_velocity(self, sample: Any, noise: Any, timesteps: Any) -> Any: ...
    def following(self, timesteps: Any) -> Any: ...
    def level_at(self, timesteps: Any) -> Any: ...
    @staticmethod
    def place_of(index: Any) -> Any: ...

class DiscreteDDIMScheduler(TokenScheduler):
    def __init__(
        self,
        num_inference_steps: int = 32,
        corrector_steps: int = 0,
        corrector_k: int = 1,
        corrector_selection: Literal[
            "lowest_log_margin", "lowest_maxprob", "lowest_current_prob", "random"
        ] = "lowest_log_margin",
        corrector_selection_tau: float = 1.0,
    ) -> None: ...
    def set_timesteps(self, num_inference_steps: int, temperature: float = 0.0) -> None: ...
    @overload
    def correct(
        self,
        model_output: Tensor | float,
        sample: Tensor | float,
        timestep: int | NDArray[Any] | Tensor,
        noise: Tensor | float | None = None,
        position_noise: Tensor | float | None = None,
        generator: _Generator = None,
        return_dict: Literal[False] = False,
    ) -> Tensor: ...
    @overload
    def correct(
        self,
        model_output: Tensor | float,
        sample: Tensor | float,
        timestep: int | NDArray[Any] | Tensor,
        noise: Tensor | float | None = None,
        position_noise: Tensor | float | None = None,
        generator: _Generator = None,
        *,
        return_dict: Literal[True],
    ) -> TokenSchedulerOutput: ...
    def corrected(
        self,
        model_output: Any,
        sample: Any,
        timestep: Any,
        noise: Any = None,
        position_noise: Any = None,
        generator: Any = None,
    ) -> Any: ...

class EDMDPMSolverMultistepScheduler(_DPMSolverMethod, _EDMScheduler):
    def __init__(
        self,
        sigma_min: float | None = 0.002,
        sigma_max: float | None = 80.0,
        sigma_data: float | Sequence[float] | NDArray[Any] = 0.5,
        sigma_schedule: Literal[
            "karras", "exponential", "beta", "kl_optimal", "laplace", "ays_sd15", "ays_sdxl", "ays_svd"
        ] = "karras",
        num_train_timesteps: int = 1000,
        prediction_type: Literal["epsilon", "v_prediction", "sample"] = "epsilon",
        rho: float = 7.0,
        solver_order: int = 2,
        thresholding: bool = False,
        dynamic_thresholding_ratio: float = 0.995,
        sample_max_value: float = 1.0,
        algorithm_type: Literal["dpmsolver++", "sde-dpmsolver++"] = "dpmsolver++",
        solver_type: Literal["midpoint", "heun"] = "midpoint",
        lower_order_final: bool = True,
        euler_at_final: bool = False,
        final_sigmas_type: Literal["zero", "sigma_min"] = "zero",
        noise_variance: float = 1.0,
        eta: float | None = None,
        compute_dtype: Any = mindspore.float32,
    ) -> None: ...

class EDMDPMSolverSinglestepScheduler(_ChurnedSteps, _EDMScheduler):
    def __init__(
        self,
        sigma_min: float | None = 0.002,
        sigma_max: float | None = 80.0,
        sigma_data: float | Sequence[float] | NDArray[Any] = 0.5,
        sigma_schedule: Literal[
            "karras", "exponential", "beta", "kl_optimal", "laplace", "ays_sd15", "ays_sdxl", "ays_svd"
        ] = "karras",
        num_train_timesteps: int = 1000,
        prediction_type: Literal["epsilon", "v_prediction", "sample"] = "epsilon",
        rho: float = 7.0,
        s_churn: float = 0.0,
        s_tmin: float = 0.0,
        s_tmax: float = float("inf"),
        s_noise: float = 1.0,
        noise_variance: float = 1.0,
        compute_dtype: Any = mindspore.float32,
    ) -> None: ...
    def updates(
        self, sigma_hat: NDArray[Any], sigma_next: NDArray[Any], step: NDArray[Any], corrects: NDArray[Any]
    ) -> Any: ...

class EDMEulerScheduler(_EDMScheduler):
    def __init__(
        self,
        sigma_min: float | None = 0.002,
        sigma_max: float | None = 80.0,
        sigma_data: float | Sequence[float] | NDArray[Any] = 0.5,
        sigma_schedule: Literal[
            "karras", "exponential", "beta", "kl_optimal", "laplace", "ays_sd15", "ays_sdxl", "ays_svd"
        ] = "karras",
        num_train_timesteps: int = 1000,
        prediction_type: Literal["epsilon", "v_prediction", "sample"] = "epsilon",
        rho: float = 7.0,
        final_sigmas_type: Literal["zero", "sigma_min"] = "zero",
        noise_variance: float = 1.0,
        compute_dtype: Any = mindspore.float32,
    ) -> None: ...
    def trajectory_plan(
        self, s_churn: Any = 0.0, s_tmin: Any = 0.0, s_tmax: Any = float("inf"), s_noise: Any = 1.0
    ) -> Any: ...
    @overload
    def step(
        self,
        model_output: Tensor | float,
        sample: Tensor | float,
        timestep: int | float | NDArray[Any] | Tensor,
        noise: Tensor | float | None = None,
        generator: _Generator = None,
        return_dict: Literal[False] = False,
        *,
        s_churn: float = 0.0,
        s_tmin: float = 0.0,
        s_tmax: float = float("inf"),
        s_noise: float = 1.0,
    ) -> Tensor: ...
    @overload
    def step(
        self,
        model_output: Tensor | float,
        sample: Tensor | float,
        timestep: int | float | NDArray[Any] | Tensor,
        noise: Tensor | float | None = None,
        generator: _Generator = None,
        *,
        return_dict: Literal[True],
        s_churn: float = 0.0,
        s_tmin: float = 0.0,
        s_tmax: float = float("inf"),
        s_noise: float = 1.0,
    ) -> SchedulerOutput: ...

class EDMHeunScheduler(_ChurnedSteps, _EDMScheduler):
    def __init__(
        self,
        sigma_min: float | None = 0.002,
        sigma_max: float | None = 80.0,
        sigma_data: float | Sequence[float] | NDArray[Any] = 0.5,
        sigma_offset_noise: float = 0.0,
        sigma_schedule: Literal[
            "karras", "exponential", "beta", "kl_optimal", "laplace", "ays_sd15", "ays_sdxl", "ays_svd"
        ] = "karras",
        num_train_timesteps: int = 1000,
        prediction_type: Literal["epsilon", "v_prediction", "sample"] = "epsilon",
        rho: float = 7.0,
        solver_order: int = 2,
        s_churn: float = 0.0,
        s_tmin: float = 0.0,
        s_tmax: float = float("inf"),
        s_noise: float = 1.0,
        call_at_sigma_hat: bool = True,
        quantize: bool = False,
        noise_variance: float = 1.0,
        compute_dtype: Any = mindspore.float32,
    ) -> None: ...
    def updates(
        self, sigma_hat: NDArray[Any], sigma_next: NDArray[Any], step: NDArray[Any], corrects: NDArray[Any]
    ) -> Any: ...

class _EDMScheduler(_SigmaScheduler):
    @property
    def init_noise_sigma(self) -> Any: ...
    def set_timesteps(
        self, num_inference_steps: int | None = None, sigmas: Sequence[float] | NDArray[Any] | None = None
    ) -> None: ...
    def model_timestep(self, sigma: Any) -> Any: ...
    def input_scale(self, sigma: Any) -> Any: ...
    def clean_sample(self, sigma: Any) -> Any: ...
    def call_levels(self) -> Any: ...

class ERSDEScheduler(_LogSNRScheduler):
    def __init__(
        self,
        num_train_timesteps: int = 1000,
        beta_start: float = 0.0001,
        beta_end: float = 0.02,
        beta_schedule: Literal["linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid", "exp"] = "linear",
        trained_betas: ArrayLike | None = None,
        solver_order: int = 3,
        prediction_type: Literal["epsilon", "sample", "v_prediction", "flow_prediction"] = "epsilon",
        noise_scaler: Callable[..., Any] | None = None,
        thresholding: bool = False,
        dynamic_thresholding_ratio: float = 0.995,
        sample_max_value: float = 1.0,
        lower_order_final: bool = False,
        use_karras_sigmas: bool | None = False,
        use_exponential_sigmas: bool | None = False,
        use_beta_sigmas: bool | None = False,
        use_lu_lambdas: bool | None = False,
        use_flow_sigmas: bool = False,
        flow_shift: float = 1.0,
        final_sigmas_type: Literal["zero", "sigma_min"] = "zero",
        lambda_min_clipped: float = float("-inf"),
        timestep_spacing: Literal["leading", "linspace", "trailing"] = "linspace",
        steps_offset: int = 0,
        rescale_betas_zero_snr: bool = False,
        use_dynamic_shifting: bool = False,
        time_shift_type: Literal["exponential"] = "exponential",
        sigma_schedule: Literal[
            "karras",
            "exponential",
            "beta",
            "kl_optimal",
            "laplace",
            "ays_sd15",
            "ays_sdxl",
            "ays_svd",
            "linear_quadratic",
        ]
        | None = None,
        compute_dtype: Any = mindspore.float32,
    ) -> None: ...
    adds_noise: bool
    def trajectory_plan(self, begin: Any = 0) -> Any: ...

class EntropyBoundScheduler(TokenScheduler):
    def __init__(
        self, entropy_bound: float = 0.1, t_max: float = 0.8, t_min: float = 0.4, num_inference_steps: int = 32
    ) -> None: ...
    def set_timesteps(self, num_inference_steps: int) -> None: ...

class EulerAncestralDiscreteScheduler(_SolverScheduler):
    def __init__(
        self,
        num_train_timesteps: int = 1000,
        beta_start: float = 0.0001,
        beta_end: float = 0.02,
        beta_schedule: Literal["linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid", "exp"] = "linear",
        trained_betas: ArrayLike | None = None,
        prediction_type: Literal["epsilon", "sample", "v_prediction"] = "epsilon",
        timestep_spacing: Literal["leading", "linspace", "trailing"] = "linspace",
        steps_offset: int = 0,
        rescale_betas_zero_snr: bool = False,
        sigma_schedule: Literal[
            "karras", "exponential", "beta", "kl_optimal", "laplace", "ays_sd15", "ays_sdxl", "ays_svd"
        ]
        | None = None,
        compute_dtype: Any = mindspore.float32,
    ) -> None: ...

class EulerDiscreteScheduler(_SolverScheduler):
    def __init__(
        self,
        num_train_timesteps: int = 1000,
        beta_start: float = 0.0001,
        beta_end: float = 0.02,
        beta_schedule: Literal["linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid", "exp"] = "linear",
        trained_betas: ArrayLike | None = None,
        prediction_type: Literal["epsilon", "sample", "v_prediction"] = "epsilon",
        interpolation_type: Literal["linear", "log_linear"] = "linear",
        use_karras_sigmas: bool | None = False,
        use_exponential_sigmas: bool | None = False,
        use_beta_sigmas: bool | None = False,
        sigma_min: float | None = None,
        sigma_max: float | None = None,
        timestep_spacing: Literal["leading", "linspace", "trailing"] = "linspace",
        timestep_type: Literal["discrete", "continuous"] = "discrete",
        steps_offset: int = 0,
        rescale_betas_zero_snr: bool = False,
        final_sigmas_type: Literal["zero", "sigma_min"] = "zero",
        sigma_schedule: Literal[
            "karras", "exponential", "beta", "kl_optimal", "laplace", "ays_sd15", "ays_sdxl", "ays_svd"
        ]
        | None = None,
        compute_dtype: Any = mindspore.float32,
    ) -> None: ...
    def trajectory_plan(
        self, s_churn: Any = 0.0, s_tmin: Any = 0.0, s_tmax: Any = float("inf"), s_noise: Any = 1.0
    ) -> Any: ...
    @overload
    def step(
        self,
        model_output: Tensor | float,
        sample: Tensor | float,
        timestep: int | float | NDArray[Any] | Tensor,
        noise: Tensor | float | None = None,
        generator: _Generator = None,
        return_dict: Literal[False] = False,
        *,
        s_churn: float = 0.0,
        s_tmin: float = 0.0,
        s_tmax: float = float("inf"),
        s_noise: float = 1.0,
    ) -> Tensor: ...
    @overload
    def step(
        self,
        model_output: Tensor | float,
        sample: Tensor | float,
        timestep: int | float | NDArray[Any] | Tensor,
        noise: Tensor | float | None = None,
        generator: _Generator = None,
        *,
        return_dict: Literal[True],
        s_churn: float = 0.0,
        s_tmin: float = 0.0,
        s_tmax: float = float("inf"),
        s_noise: float = 1.0,
    ) -> SchedulerOutput: ...

class FlowMapEulerDiscreteScheduler(_FlowMatchScheduler):
    def __init__(
        self, num_train_timesteps: int = 1000, shift: float = 1.0, compute_dtype: Any = mindspore.float32
    ) -> None: ...
    @property
    def told(self) -> Any: ...

class FlowMatchEulerDiscreteScheduler(_FlowMatchScheduler):
    def __init__(
        self,
        num_train_timesteps: int = 1000,
        shift: float = 1.0,
        use_dynamic_shifting: bool = False,
        base_shift: float | None = 0.5,
        max_shift: float | None = 1.15,
        base_image_seq_len: int = 256,
        max_image_seq_len: int = 4096,
        invert_sigmas: bool = False,
        shift_terminal: float | None = None,
        use_karras_sigmas: bool | None = False,
        use_exponential_sigmas: bool | None = False,
        use_beta_sigmas: bool | None = False,
        time_shift_type: Literal["exponential", "linear"] = "exponential",
        stochastic_sampling: bool = False,
        sigma_schedule: Literal["karras", "exponential", "beta", "linear_quadratic"] | None = None,
        compute_dtype: Any = mindspore.float32,
    ) -> None: ...
    @overload
    def step(
        self,
        model_output: Tensor | float,
        sample: Tensor | float,
        timestep: float | NDArray[Any] | Tensor,
        per_token_timesteps: Tensor | float | None = None,
        noise: Tensor | float | None = None,
        generator: _Generator = None,
        return_dict: Literal[False] = False,
    ) -> Tensor: ...
    @overload
    def step(
        self,
        model_output: Tensor | float,
        sample: Tensor | float,
        timestep: float | NDArray[Any] | Tensor,
        per_token_timesteps: Tensor | float | None = None,
        noise: Tensor | float | None = None,
        generator: _Generator = None,
        *,
        return_dict: Literal[True],
    ) -> SchedulerOutput: ...

class FlowMatchHeunDiscreteScheduler(_FlowMatchScheduler):
    def __init__(
        self,
        num_train_timesteps: int = 1000,
        shift: float = 1.0,
        sigma_schedule: Literal["karras", "exponential", "beta", "linear_quadratic"] | None = None,
        compute_dtype: Any = mindspore.float32,
    ) -> None: ...
    def trajectory_plan(
        self, s_churn: Any = 0.0, s_tmin: Any = 0.0, s_tmax: Any = float("inf"), s_noise: Any = 1.0
    ) -> Any: ...
    @overload
    def step(
        self,
        model_output: Tensor | float,
        sample: Tensor | float,
        timestep: int | float | NDArray[Any] | Tensor,
        noise: Tensor | float | None = None,
        generator: _Generator = None,
        return_dict: Literal[False] = False,
        *,
        s_churn: float = 0.0,
        s_tmin: float = 0.0,
        s_tmax: float = float("inf"),
        s_noise: float = 1.0,
    ) -> Tensor: ...
    @overload
    def step(
        self,
        model_output: Tensor | float,
        sample: Tensor | float,
        timestep: int | float | NDArray[Any] | Tensor,
        noise: Tensor | float | None = None,
        generator: _Generator = None,
        *,
        return_dict: Literal[True],
        s_churn: float = 0.0,
        s_tmin: float = 0.0,
        s_tmax: float = float("inf"),
        s_noise: float = 1.0,
    ) -> SchedulerOutput: ...

class FlowMatchLCMScheduler(_FlowMatchScheduler):
    def __init__(
        self,
        num_train_timesteps: int = 1000,
        shift: float = 1.0,
        use_dynamic_shifting: bool = False,
        base_shift: float | None = 0.5,
        max_shift: float | None = 1.15,
        base_image_seq_len: int = 256,
        max_image_seq_len: int = 4096,
        invert_sigmas: bool = False,
        shift_terminal: float | None = None,
        use_karras_sigmas: bool | None = False,
        use_exponential_sigmas: bool | None = False,
        use_beta_sigmas: bool | None = False,
        time_shift_type: Literal["exponential", "linear"] = "exponential",
        scale_factors: Sequence[float] | NDArray[Any] | None = None,
        upscale_mode: Literal[
            "nearest", "linear", "bilinear", "bicubic", "trilinear", "area", "nearest-exact"
        ] = "bicubic",
        sigma_schedule: Literal["karras", "exponential", "beta", "linear_quadratic"] | None = None,
        compute_dtype: Any = mindspore.float32,
    ) -> None: ...
    def set_scale_factors(self, scale_factors: Any, upscale_mode: Any = "bicubic") -> None: ...
    def plan_for(self) -> StepPlan: ...

class _FlowMatchScheduler(_SigmaScheduler):
    @staticmethod
    def check_steps(name: Any, values: Any, interval: Any, least: Any = 1) -> Any: ...
    shifts_given_timesteps: bool
    @property
    def shift(self) -> Any: ...
    def set_shift(self, shift: Any) -> None: ...
    def set_timesteps(
        self,
        num_inference_steps: int | None = None,
        sigmas: Sequence[float] | NDArray[Any] | None = None,
        mu: float | None = None,
        timesteps: Sequence[float] | NDArray[Any] | None = None,
    ) -> None: ...
    def even_sigmas(self, count: Any) -> Any: ...
    def scale_noise(self, sample: Any, timestep: Any, noise: Any) -> Any: ...
    def clean_sample(self, sigma: Any) -> Any: ...
    def renoising_plan(self) -> Any: ...

class GradientEstimationScheduler(_SolverScheduler):
    def __init__(
        self,
        num_train_timesteps: int = 1000,
        beta_start: float = 0.0001,
        beta_end: float = 0.02,
        beta_schedule: Literal["linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid", "exp"] = "linear",
        trained_betas: ArrayLike | None = None,
        use_karras_sigmas: bool | None = False,
        use_exponential_sigmas: bool | None = False,
        use_beta_sigmas: bool | None = False,
        prediction_type: Literal["epsilon", "sample", "v_prediction"] = "epsilon",
        gamma: float = 2.0,
        timestep_spacing: Literal["leading", "linspace", "trailing"] = "linspace",
        steps_offset: int = 0,
        rescale_betas_zero_snr: bool = False,
        sigma_schedule: Literal[
            "karras", "exponential", "beta", "kl_optimal", "laplace", "ays_sd15", "ays_sdxl", "ays_svd"
        ]
        | None = None,
        compute_dtype: Any = mindspore.float32,
    ) -> None: ...
    def trajectory_plan(self, begin: Any = 0) -> Any: ...

class HeliosDMDScheduler(_HeliosStages):
    def __init__(
        self,
        num_train_timesteps: int = 1000,
        shift: float = 1.0,
        stages: int = 3,
        stage_range: Sequence[float] | NDArray[Any] = (0, 0.3333333333333333, 0.6666666666666666, 1),
        gamma: float = 0.3333333333333333,
        use_dynamic_shifting: bool = False,
        time_shift_type: Literal["exponential", "linear"] = "linear",
        compute_dtype: Any = mindspore.float32,
    ) -> None: ...
    def trajectory_plan(self, begin: Any = 0) -> Any: ...
    def stage_plan(self, timesteps: Any, sigmas: Any, begin: Any = 0) -> Any: ...

class HeliosScheduler(_HeliosStages):
    def __init__(
        self,
        num_train_timesteps: int = 1000,
        shift: float = 1.0,
        stages: int = 3,
        stage_range: Sequence[float] | NDArray[Any] = (0, 0.3333333333333333, 0.6666666666666666, 1),
        gamma: float = 0.3333333333333333,
        solver_order: int = 2,
        solver_type: Literal["bh1", "bh2"] = "bh2",
        lower_order_final: bool = True,
        disable_corrector: list[Any] = [],
        scheduler_type: Literal["unipc", "euler"] = "unipc",
        use_dynamic_shifting: bool = False,
        time_shift_type: Literal["exponential", "linear"] = "exponential",
        compute_dtype: Any = mindspore.float32,
    ) -> None: ...
    predicts_x0: bool
    @property
    def most_predictions(self) -> Any: ...
    def trajectory_plan(self, begin: Any = 0) -> Any: ...
    def stage_plan(self, timesteps: Any, sigmas: Any, begin: Any = 0) -> Any: ...

class _HeliosStages(PyramidFlowMatchEulerDiscreteScheduler):
    left_out: int
    mu: Any
    own_process: str
    def levels_of_flow(self, count: Any) -> Any: ...
    def set_timesteps(self, num_inference_steps: int, stage_index: int = 0, mu: float | None = None) -> None: ...

class HeunDiscreteScheduler(_TwoCallScheduler):
    def __init__(
        self,
        num_train_timesteps: int = 1000,
        beta_start: float = 0.00085,
        beta_end: float = 0.012,
        beta_schedule: Literal["linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid", "exp"] = "linear",
        trained_betas: ArrayLike | None = None,
        prediction_type: Literal["epsilon", "sample", "v_prediction"] = "epsilon",
        use_karras_sigmas: bool | None = False,
        use_exponential_sigmas: bool | None = False,
        use_beta_sigmas: bool | None = False,
        clip_sample: bool = False,
        clip_sample_range: float = 1.0,
        timestep_spacing: Literal["leading", "linspace", "trailing"] = "linspace",
        steps_offset: int = 0,
        sigma_schedule: Literal[
            "karras", "exponential", "beta", "kl_optimal", "laplace", "ays_sd15", "ays_sdxl", "ays_svd"
        ]
        | None = None,
        compute_dtype: Any = mindspore.float32,
    ) -> None: ...

class IPNDMScheduler(_SigmaScheduler):
    num_train_timesteps: Any
    def __init__(
        self,
        num_train_timesteps: int = 1000,
        trained_betas: ArrayLike | None = None,
        compute_dtype: Any = mindspore.float32,
    ) -> None: ...
    def set_timesteps(self, num_inference_steps: int) -> None: ...
    @property
    def alphas(self) -> Any: ...
    @property
    def betas(self) -> Any: ...
    def adams_bashforth(self, begin: Any) -> Any: ...
    def trajectory_plan(self, begin: Any = 0) -> Any: ...

class _InnerCallMethod(_SinglestepMethod):
    order: Any
    integral: bool
    def reached_ratios(self, ratio: Any, ratio_next: Any) -> Any: ...
    def places(self) -> Any: ...

class KDPM2AncestralDiscreteScheduler(_TwoCallScheduler):
    def __init__(
        self,
        num_train_timesteps: int = 1000,
        beta_start: float = 0.00085,
        beta_end: float = 0.012,
        beta_schedule: Literal["linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid", "exp"] = "linear",
        trained_betas: ArrayLike | None = None,
        use_karras_sigmas: bool | None = False,
        use_exponential_sigmas: bool | None = False,
        use_beta_sigmas: bool | None = False,
        prediction_type: Literal["epsilon", "sample", "v_prediction"] = "epsilon",
        timestep_spacing: Literal["leading", "linspace", "trailing"] = "linspace",
        steps_offset: int = 0,
        sigma_schedule: Literal[
            "karras", "exponential", "beta", "kl_optimal", "laplace", "ays_sd15", "ays_sdxl", "ays_svd"
        ]
        | None = None,
        compute_dtype: Any = mindspore.float32,
    ) -> None: ...

class KDPM2DiscreteScheduler(_TwoCallScheduler):
    def __init__(
        self,
        num_train_timesteps: int = 1000,
        beta_start: float = 0.00085,
        beta_end: float = 0.012,
        beta_schedule: Literal["linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid", "exp"] = "linear",
        trained_betas: ArrayLike | None = None,
        use_karras_sigmas: bool | None = False,
        use_exponential_sigmas: bool | None = False,
        use_beta_sigmas: bool | None = False,
        prediction_type: Literal["epsilon", "sample", "v_prediction"] = "epsilon",
        timestep_spacing: Literal["leading", "linspace", "trailing"] = "linspace",
        steps_offset: int = 0,
        sigma_schedule: Literal[
            "karras", "exponential", "beta", "kl_optimal", "laplace", "ays_sd15", "ays_sdxl", "ays_svd"
        ]
        | None = None,
        compute_dtype: Any = mindspore.float32,
    ) -> None: ...

class KarrasVeScheduler(EDMHeunScheduler):
    def __init__(
        self,
        sigma_min: float | None = 0.02,
        sigma_max: float | None = 100.0,
        s_noise: float = 1.007,
        s_churn: float = 80.0,
        s_min: float = 0.05,
        s_max: float = 50.0,
        compute_dtype: Any = mindspore.float32,
    ) -> None: ...
    limit: Any
    num_train_timesteps: int
    def input_scale(self, sigma: Any) -> None: ...

class LCMScheduler(_ConsistencyScheduler):
    def __init__(
        self,
        num_train_timesteps: int = 1000,
        beta_start: float = 0.00085,
        beta_end: float = 0.012,
        beta_schedule: Literal["linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid", "exp"] = "scaled_linear",
        trained_betas: ArrayLike | None = None,
        original_inference_steps: int = 50,
        clip_sample: bool = False,
        clip_sample_range: float = 1.0,
        set_alpha_to_one: bool = True,
        steps_offset: int = 0,
        prediction_type: Literal["epsilon", "sample", "v_prediction"] = "epsilon",
        thresholding: bool = False,
        dynamic_thresholding_ratio: float = 0.995,
        sample_max_value: float = 1.0,
        timestep_spacing: Literal["leading", "linspace", "trailing"] = "leading",
        timestep_scaling: float = 10.0,
        rescale_betas_zero_snr: bool = False,
        compute_dtype: Any = mindspore.float32,
    ) -> None: ...
    def ends(self) -> Any: ...
    @overload
    def step(
        self,
        model_output: Tensor | float,
        sample: Tensor | float,
        timestep: int | float | NDArray[Any] | Tensor,
        noise: Tensor | float | None = None,
        generator: _Generator = None,
        return_dict: Literal[False] = False,
    ) -> Tensor: ...
    @overload
    def step(
        self,
        model_output: Tensor | float,
        sample: Tensor | float,
        timestep: int | float | NDArray[Any] | Tensor,
        noise: Tensor | float | None = None,
        generator: _Generator = None,
        *,
        return_dict: Literal[True],
    ) -> LCMSchedulerOutput: ...

class LCMSchedulerOutput(tuple[Tensor, Tensor, Tensor]):
    def __new__(cls, prev_sample: Tensor, denoised: Tensor, pred_original_sample: Tensor) -> Self: ...
    @property
    def prev_sample(self) -> Tensor: ...
    @property
    def denoised(self) -> Tensor: ...
    @property
    def pred_original_sample(self) -> Tensor: ...

class LMSDiscreteScheduler(_SolverScheduler):
    def __init__(
        self,
        num_train_timesteps: int = 1000,
        beta_start: float = 0.0001,
        beta_end: float = 0.02,
        beta_schedule: Literal["linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid", "exp"] = "linear",
        trained_betas: ArrayLike | None = None,
        use_karras_sigmas: bool | None = False,
        use_exponential_sigmas: bool | None = False,
        use_beta_sigmas: bool | None = False,
        prediction_type: Literal["epsilon", "sample", "v_prediction"] = "epsilon",
        timestep_spacing: Literal["leading", "linspace", "trailing"] = "linspace",
        steps_offset: int = 0,
        sigma_schedule: Literal[
            "karras", "exponential", "beta", "kl_optimal", "laplace", "ays_sd15", "ays_sdxl", "ays_svd"
        ]
        | None = None,
        compute_dtype: Any = mindspore.float32,
    ) -> None: ...
    def trajectory_plan(self, order: Any = 4, begin: Any = 0) -> Any: ...
    @overload
    def step(
        self,
        model_output: Tensor | float,
        sample: Tensor | float,
        timestep: int | float | NDArray[Any] | Tensor,
        noise: Tensor | float | None = None,
        generator: _Generator = None,
        return_dict: Literal[False] = False,
        *,
        order: int = 4,
    ) -> Tensor: ...
    @overload
    def step(
        self,
        model_output: Tensor | float,
        sample: Tensor | float,
        timestep: int | float | NDArray[Any] | Tensor,
        noise: Tensor | float | None = None,
        generator: _Generator = None,
        *,
        return_dict: Literal[True],
        order: int = 4,
    ) -> SchedulerOutput: ...

class LTXEulerAncestralRFScheduler(_FlowMatchScheduler):
    def __init__(
        self,
        num_train_timesteps: int = 1000,
        eta: float = 1.0,
        s_noise: float = 1.0,
        shift: float = 1.0,
        use_dynamic_shifting: bool = False,
        base_shift: float | None = 0.5,
        max_shift: float | None = 1.15,
        base_image_seq_len: int = 256,
        max_image_seq_len: int = 4096,
        shift_terminal: float | None = None,
        use_karras_sigmas: bool | None = False,
        use_exponential_sigmas: bool | None = False,
        use_beta_sigmas: bool | None = False,
        time_shift_type: Literal["exponential", "linear"] = "exponential",
        sigma_schedule: Literal["karras", "exponential", "beta", "linear_quadratic"] | None = None,
        compute_dtype: Any = mindspore.float32,
    ) -> None: ...
    def kept(self, sigma_down: Any, sigma_next: Any) -> Any: ...

class LearnedScheduler(_SigmaScheduler):
    @property
    def sigmas(self) -> NDArray[Any]: ...
    @property
    def solver(self) -> Scheduler: ...
    def __init__(self, folder: str | Path, compute_dtype: Any = mindspore.float32) -> None: ...
    def set_timesteps(self, num_inference_steps: int) -> None: ...
    def trajectory_plan(self, begin: Any = 0) -> Any: ...
    def check_process(self, expected: Mapping[str, Any]) -> None: ...

class _LogSNRScheduler(_MultistepMethod, _SolverScheduler):
    slope_rule: str

class MiniMaxH3Scheduler(_RisingTimeScheduler):
    def __init__(self, shift: float = 12.0, compute_dtype: Any = mindspore.float32) -> None: ...
    own_process: str
    @property
    def shift(self) -> Any: ...
    def set_shift(self, shift: Any) -> None: ...
    @property
    def sigmas(self) -> Any: ...
    def set_timesteps(
        self, num_inference_steps: int | None = None, sigmas: Sequence[float] | NDArray[Any] | None = None
    ) -> None: ...
    def even_sigmas(self, count: Any) -> Any: ...

class _MultistepMethod:
    has_warmup: bool
    predicts_x0: bool
    step_class: Any
    @property
    def eta(self) -> Any: ...
    @property
    def adds_noise(self) -> Any: ...
    @property
    def most_predictions(self) -> Any: ...
    def exponential_step(self, tau: Any = None) -> Any: ...
    def log_snrs(self) -> Any: ...
    def rising_orders(self, begin: Any) -> Any: ...
    def orders(self, begin: Any, last_is_first_order: Any = False) -> Any: ...
    def prediction(self) -> Any: ...
    def predictions(self, count: Any) -> Any: ...
    def multistep_plan(
        self,
        step: Any,
        weights: NDArray[Any],
        remembers: int | None = None,
        start: Mapping[str, Any] = ...,
        noise: Mapping[str, Any] = ...,
        **states: Mapping[str, Any],
    ) -> Any: ...
    def past_log_snrs(self, count: Any) -> Any: ...

class PNDMScheduler(_TrajectoryScheduler, DiffusionScheduler):
    def __init__(
        self,
        num_train_timesteps: int = 1000,
        beta_start: float = 0.0001,
        beta_end: float = 0.02,
        beta_schedule: Literal["linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid", "exp"] = "linear",
        trained_betas: ArrayLike | None = None,
        skip_prk_steps: bool = False,
        set_alpha_to_one: bool = False,
        prediction_type: Literal["epsilon", "sample", "v_prediction"] = "epsilon",
        timestep_spacing: Literal["leading", "linspace", "trailing"] = "leading",
        steps_offset: int = 0,
        compute_dtype: Any = mindspore.float32,
    ) -> None: ...
    def set_timesteps(self, num_inference_steps: int) -> None: ...
    def middles(self, steps: Any) -> Any: ...
    @staticmethod
    def first_call(begin: Any) -> Any: ...
    def reached(self, first: Any) -> Any: ...
    def repeated_start(self, first: Any) -> Any: ...
    def positions(self, nodes: Any, start: Any) -> Any: ...
    def trajectory_plan(self, begin: Any = 0) -> Any: ...

class _PerTimestepScheduler(DiffusionScheduler):
    def dense_plan(self) -> Any: ...
    def table_plan(self) -> Any: ...
    def plan_for(self, **options: Any) -> StepPlan: ...
    @property
    def training_timesteps(self) -> Any: ...
    def construct(self, model_output: Any, sample: Any, timestep: Any) -> Tensor: ...
    @overload
    def step(
        self,
        model_output: Tensor | float,
        sample: Tensor | float,
        timestep: int | NDArray[Any] | Tensor,
        return_dict: Literal[False] = False,
    ) -> Tensor: ...
    @overload
    def step(
        self,
        model_output: Tensor | float,
        sample: Tensor | float,
        timestep: int | NDArray[Any] | Tensor,
        *,
        return_dict: Literal[True],
    ) -> SchedulerOutput: ...
    def __call__(self, model_output: Any, sample: Any, timestep: Any) -> Tensor: ...

class PiflowScheduler(_FlowMatchScheduler):
    def __init__(
        self,
        num_train_timesteps: int = 1000,
        shift: float = 5.0,
        n_grid: int = 10,
        eps: float = 1e-06,
        final_step_size_scale: float = 0.5,
        num_policy_substeps: int = 128,
        compute_dtype: Any = mindspore.float32,
    ) -> None: ...
    own_process: str
    def set_timesteps(self, num_inference_steps: int) -> None: ...
    @property
    def told(self) -> Any: ...

class _PredictorCorrectorMethod(_MultistepMethod):
    def predictor_corrector_plan(
        self,
        step: Any,
        orders: NDArray[Any],
        corrector_orders: NDArray[Any],
        corrects: NDArray[Any],
        predictor: StepPlan | None = None,
    ) -> Any: ...
    def corrected(
        self, step: Any, weights: NDArray[Any], change: NDArray[Any], corrects: NDArray[Any], predictions: list[Any]
    ) -> Any: ...

class _ProcessTables:
    @property
    def beta_start(self) -> Any: ...
    @property
    def beta_end(self) -> Any: ...
    @property
    def clip_sample(self) -> Any: ...
    @property
    def clip_sample_range(self) -> Any: ...
    @property
    def thresholding(self) -> Any: ...
    @property
    def sample_max_value(self) -> Any: ...
    @property
    def dynamic_thresholding_ratio(self) -> Any: ...
    @property
    def alphas_cumprod_prev(self) -> Any: ...
    @property
    def sqrt_alphas_cumprod(self) -> Any: ...
    @property
    def sqrt_one_minus_alphas_cumprod(self) -> Any: ...
    @property
    def sqrt_recip_alphas_cumprod(self) -> Any: ...
    @property
    def sqrt_recipm1_alphas_cumprod(self) -> Any: ...
    @property
    def posterior_variance(self) -> Any: ...
    @property
    def posterior_log_variance_clipped(self) -> Any: ...
    @property
    def posterior_mean_coef1(self) -> Any: ...
    @property
    def posterior_mean_coef2(self) -> Any: ...

class PyramidFlowMatchEulerDiscreteScheduler(_TrajectoryScheduler):
    num_train_timesteps: Any
    gamma: Any
    def __init__(
        self,
        num_train_timesteps: int = 1000,
        shift: float = 1.0,
        stages: int = 3,
        stage_range: Sequence[float] | NDArray[Any] = (0, 0.3333333333333333, 0.6666666666666666, 1),
        gamma: float = 0.3333333333333333,
        compute_dtype: Any = mindspore.float32,
    ) -> None: ...
    first_ratio: float
    highest_timestep: float
    def __len__(self) -> Any: ...
    @property
    def levels(self) -> Any: ...
    def set_timesteps(self, num_inference_steps: int, stage_index: int) -> None: ...
    def stage_plan(self, timesteps: Any, sigmas: Any) -> Any: ...
    def steps_of_stages(self, num_inference_steps: Any) -> Any: ...
    def plan_of_stages(self, num_inference_steps: Any) -> Any: ...
    def plan_for(
        self, num_inference_steps: int | None = None, stage_index: int | None = None, **options: Any
    ) -> StepPlan: ...
    def noised_to_row(self, original_samples: Any, noise: Any, row: Any) -> None: ...
    def renoise_coefficients(self, stage_index: Any) -> Any: ...
    def renoise(
        self,
        sample: Tensor | float,
        stage_index: int,
        noise: Tensor | float | None = None,
        generator: _Generator = None,
    ) -> Tensor: ...
    def training_sample(
        self, original_samples: Tensor | float, noise: Tensor | float, index: int | Tensor, stage_index: int
    ) -> tuple[Any, ...]: ...
    def even_levels(self) -> Any: ...

class RFD4ProteinaScheduler(_RisingTimeScheduler):
    def __init__(
        self,
        schedule_mode: Literal["log", "power"] = "log",
        noise_mode: Literal["1/t", "tan"] = "1/t",
        tsr_k: float = 1.0,
        tsr_sigma: float = 1.0,
        tail_steps: int = 10,
        tail_step_multiplier: int = 2,
        t_lim_ode: float = 0.95,
        t_lim_ode_below: float = 0.02,
        compute_dtype: Any = mindspore.float32,
    ) -> None: ...
    def set_timesteps(self, num_inference_steps: int, start_time: float | None = None) -> None: ...
    def spaced_times(self, count: Any, start: Any) -> Any: ...
    def positions(self, count: Any) -> Any: ...

class RePaintScheduler(_DDIMBase):
    def __init__(
        self,
        num_train_timesteps: int = 1000,
        beta_start: float = 0.0001,
        beta_end: float = 0.02,
        beta_schedule: Literal["linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid", "exp"] = "linear",
        eta: float = 0.0,
        trained_betas: ArrayLike | None = None,
        clip_sample: bool = True,
        compute_dtype: Any = mindspore.float32,
    ) -> None: ...
    def set_timesteps(self, num_inference_steps: int, jump_length: int = 10, jump_n_sample: int = 10) -> None: ...
    def dense_plan(self) -> Any: ...
    def plan_for(self) -> StepPlan: ...
    def construct(
        self, model_output: Any, sample: Any, timestep: Any, original_image: Any, mask: Any, noise: Any
    ) -> Tensor: ...
    @overload
    def step(
        self,
        model_output: Tensor | float,
        sample: Tensor | float,
        timestep: int | NDArray[Any] | Tensor,
        original_image: Tensor | float,
        mask: Tensor | float,
        noise: Tensor | float | None = None,
        generator: _Generator = None,
        return_dict: Literal[False] = False,
    ) -> Tensor: ...
    @overload
    def step(
        self,
        model_output: Tensor | float,
        sample: Tensor | float,
        timestep: int | NDArray[Any] | Tensor,
        original_image: Tensor | float,
        mask: Tensor | float,
        noise: Tensor | float | None = None,
        generator: _Generator = None,
        *,
        return_dict: Literal[True],
    ) -> SchedulerOutput: ...
    def undo_step(
        self,
        sample: Tensor | float,
        timestep: int | NDArray[Any] | Tensor,
        noise: Tensor | float | None = None,
        generator: _Generator = None,
    ) -> Tensor: ...
    def __call__(
        self, model_output: Any, sample: Any, timestep: Any, original_image: Any, mask: Any, noise: Any
    ) -> Tensor: ...

class _RisingTimeScheduler(_SigmaScheduler):
    num_train_timesteps: int
    clean_timestep: float

class SASolverScheduler(_PredictorCorrectorMethod, _LogSNRScheduler):
    def __init__(
        self,
        num_train_timesteps: int = 1000,
        beta_start: float = 0.0001,
        beta_end: float = 0.02,
        beta_schedule: Literal["linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid", "exp"] = "linear",
        trained_betas: ArrayLike | None = None,
        predictor_order: int = 2,
        corrector_order: int = 2,
        prediction_type: Literal["epsilon", "sample", "v_prediction", "flow_prediction"] = "epsilon",
        tau_func: Callable[..., Any] | None = None,
        thresholding: bool = False,
        dynamic_thresholding_ratio: float = 0.995,
        sample_max_value: float = 1.0,
        algorithm_type: Literal["data_prediction", "noise_prediction"] = "data_prediction",
        lower_order_final: bool = True,
        use_karras_sigmas: bool | None = False,
        use_exponential_sigmas: bool | None = False,
        use_beta_sigmas: bool | None = False,
        use_flow_sigmas: bool = False,
        flow_shift: float = 1.0,
        lambda_min_clipped: float = float("-inf"),
        variance_type: Literal["learned", "learned_range"] | None = None,
        timestep_spacing: Literal["leading", "linspace", "trailing"] = "linspace",
        steps_offset: int = 0,
        sigma_schedule: Literal[
            "karras",
            "exponential",
            "beta",
            "kl_optimal",
            "laplace",
            "ays_sd15",
            "ays_sdxl",
            "ays_svd",
            "linear_quadratic",
        ]
        | None = None,
        compute_dtype: Any = mindspore.float32,
    ) -> None: ...
    adds_noise: bool
    @property
    def predicts_x0(self) -> Any: ...
    @property
    def most_corrector_predictions(self) -> Any: ...
    @property
    def tau_func(self) -> Any: ...
    def tau(self) -> Any: ...
    @property
    def slope_rule(self) -> Any: ...
    def trajectory_plan(self, begin: Any = 0) -> Any: ...

class SCMScheduler(_SigmaScheduler):
    num_train_timesteps: Any
    def __init__(
        self,
        num_train_timesteps: int = 1000,
        prediction_type: Literal["trigflow"] = "trigflow",
        sigma_data: float = 0.5,
        compute_dtype: Any = mindspore.float32,
    ) -> None: ...
    def set_timesteps(
        self,
        num_inference_steps: int | None = None,
        timesteps: Sequence[float] | NDArray[Any] | None = None,
        max_timesteps: float = 1.5708,
        intermediate_timesteps: float | None = 1.3,
    ) -> None: ...

class SEEDSScheduler(_InnerCallMethod, _LogSNRScheduler):
    def __init__(
        self,
        num_train_timesteps: int = 1000,
        beta_start: float = 0.0001,
        beta_end: float = 0.02,
        beta_schedule: Literal["linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid", "exp"] = "linear",
        trained_betas: ArrayLike | None = None,
        calls_per_step: int = 2,
        prediction_type: Literal["epsilon", "sample", "v_prediction", "flow_prediction"] = "epsilon",
        eta: float = 1.0,
        thresholding: bool = False,
        dynamic_thresholding_ratio: float = 0.995,
        sample_max_value: float = 1.0,
        use_karras_sigmas: bool | None = False,
        use_exponential_sigmas: bool | None = False,
        use_beta_sigmas: bool | None = False,
        use_lu_lambdas: bool | None = False,
        use_flow_sigmas: bool = False,
        flow_shift: float = 1.0,
        final_sigmas_type: Literal["zero", "sigma_min"] = "zero",
        lambda_min_clipped: float = float("-inf"),
        timestep_spacing: Literal["leading", "linspace", "trailing"] = "linspace",
        steps_offset: int = 0,
        rescale_betas_zero_snr: bool = False,
        use_dynamic_shifting: bool = False,
        time_shift_type: Literal["exponential"] = "exponential",
        sigma_schedule: Literal[
            "karras",
            "exponential",
            "beta",
            "kl_optimal",
            "laplace",
            "ays_sd15",
            "ays_sdxl",
            "ays_svd",
            "linear_quadratic",
        ]
        | None = None,
        compute_dtype: Any = mindspore.float32,
    ) -> None: ...
    @property
    def slope_rule(self) -> Any: ...

class Scheduler(_Configurable, nn.Cell):
    @property
    def config(self) -> Any: ...
    @property
    def timesteps(self) -> NDArray[Any]: ...
    @property
    def num_inference_steps(self) -> int: ...
    @property
    def plan(self) -> StepPlan: ...
    compute_dtype: Any
    def __init__(self, compute_dtype: Any) -> None: ...
    own_settings: Any
    order: int
    init_noise_sigma: float
    channels: Any
    clean_timestep: int
    inverts: bool
    @staticmethod
    def leading_timesteps(train: int, count: int) -> NDArray[Any]: ...
    has_warmup: bool
    def scale_model_input(self, sample: Any, timestep: Any = None) -> Any: ...
    def plan_for(self) -> StepPlan: ...
    @property
    def step_options(self) -> Any: ...
    def check_options(self, options: Any, known: Any = None) -> None: ...
    def levels_of_calls(self) -> Any: ...
    def replan(self) -> None: ...
    def check_scheduled(self) -> None: ...
    def noised_to_row(self, original_samples: Any, noise: Any, row: Any) -> Any: ...
    def check_channels(self, shape: Any, timestep: Any = 0) -> None: ...
    def check_tensor(self, name: Any, value: Any, like: Any = None) -> None: ...
    @staticmethod
    def check_mask(mask: Any, sample: Any) -> None: ...

class SchedulerOutput(tuple[Tensor, Tensor]):
    def __new__(cls, prev_sample: Tensor, pred_original_sample: Tensor) -> Self: ...
    @property
    def prev_sample(self) -> Tensor: ...
    @property
    def pred_original_sample(self) -> Tensor: ...

class ScoreSdeOutput(tuple[Tensor, Tensor, Tensor]):
    def __new__(cls, prev_sample: Tensor, prev_sample_mean: Tensor, pred_original_sample: Tensor) -> Self: ...
    @property
    def prev_sample(self) -> Tensor: ...
    @property
    def prev_sample_mean(self) -> Tensor: ...
    @property
    def pred_original_sample(self) -> Tensor: ...

class _ScoreSdeScheduler(_SigmaScheduler):
    def set_timesteps(self, num_inference_steps: int) -> None: ...
    @overload
    def step(
        self,
        model_output: Tensor | float,
        sample: Tensor | float,
        timestep: int | float | NDArray[Any] | Tensor,
        noise: Tensor | float | None = None,
        generator: _Generator = None,
        return_dict: Literal[False] = False,
    ) -> Tensor: ...
    @overload
    def step(
        self,
        model_output: Tensor | float,
        sample: Tensor | float,
        timestep: int | float | NDArray[Any] | Tensor,
        noise: Tensor | float | None = None,
        generator: _Generator = None,
        *,
        return_dict: Literal[True],
    ) -> ScoreSdeOutput: ...

class ScoreSdeVeScheduler(_ScoreSdeScheduler):
    def __init__(
        self,
        num_train_timesteps: int = 2000,
        snr: float = 0.15,
        sigma_min: float | None = 0.01,
        sigma_max: float | None = 1348.0,
        sampling_eps: float = 1e-05,
        correct_steps: int = 1,
        compute_dtype: Any = mindspore.float32,
    ) -> None: ...
    @property
    def init_noise_sigma(self) -> Any: ...
    def trajectory_plan(self, denoise: Any = True) -> Any: ...
    @overload
    def step(
        self,
        model_output: Tensor | float,
        sample: Tensor | float,
        timestep: int | float | NDArray[Any] | Tensor,
        noise: Tensor | float | None = None,
        generator: _Generator = None,
        return_dict: Literal[False] = False,
        *,
        denoise: bool = True,
    ) -> Tensor: ...
    @overload
    def step(
        self,
        model_output: Tensor | float,
        sample: Tensor | float,
        timestep: int | float | NDArray[Any] | Tensor,
        noise: Tensor | float | None = None,
        generator: _Generator = None,
        *,
        return_dict: Literal[True],
        denoise: bool = True,
    ) -> ScoreSdeOutput: ...

class ScoreSdeVpScheduler(_ScoreSdeScheduler):
    def __init__(
        self,
        num_train_timesteps: int = 2000,
        beta_min: float = 0.1,
        beta_max: float = 20.0,
        sampling_eps: float = 0.001,
        compute_dtype: Any = mindspore.float32,
    ) -> None: ...
    def trajectory_plan(self, denoise: Any = True) -> Any: ...
    @overload
    def step(
        self,
        model_output: Tensor | float,
        sample: Tensor | float,
        timestep: int | float | NDArray[Any] | Tensor,
        noise: Tensor | float | None = None,
        generator: _Generator = None,
        return_dict: Literal[False] = False,
        *,
        denoise: bool = True,
    ) -> Tensor: ...
    @overload
    def step(
        self,
        model_output: Tensor | float,
        sample: Tensor | float,
        timestep: int | float | NDArray[Any] | Tensor,
        noise: Tensor | float | None = None,
        generator: _Generator = None,
        *,
        return_dict: Literal[True],
        denoise: bool = True,
    ) -> ScoreSdeOutput: ...

class _SigmaScheduler(_TrajectoryScheduler):
    @property
    def sigmas(self) -> NDArray[Any]: ...
    @property
    def levels(self) -> Any: ...
    def __len__(self) -> Any: ...
    @property
    def clean_timestep(self) -> Any: ...
    def spaced_range(self, highest: Any, lowest: Any) -> Any: ...
    def level_at(self, timesteps: Any) -> Any: ...
    def add_noise(
        self, original_samples: Tensor | float, noise: Tensor | float, timesteps: float | NDArray[Any] | Tensor
    ) -> Tensor: ...

class _SinglestepMethod(_MultistepMethod):
    skips_second: bool
    def group_step(self, orders: NDArray[Any], tau: float, end: tuple[Any, ...] | None = None) -> Any: ...
    def group_plan(self, step: Any, orders: Any, **options: Any) -> Any: ...

class _SolverScheduler(_SigmaScheduler):
    scaled: bool
    inner_grid: bool
    spaces_whole_range: bool
    integral: bool
    rounded: Any
    def replace_alphas_cumprod(self, alpha_bar: Any) -> None: ...
    @property
    def init_noise_sigma(self) -> Any: ...
    def level(self, sigmas: Any) -> Any: ...
    def input_scale(self, sigmas: Any) -> Any: ...
    def clean_sample(self, sigmas: Any) -> Any: ...
    def noise(self, sigmas: Any) -> Any: ...
    def set_timesteps(
        self,
        num_inference_steps: int | None = None,
        timesteps: Sequence[float] | NDArray[Any] | None = None,
        sigmas: Sequence[float] | NDArray[Any] | None = None,
        mu: float | None = None,
    ) -> None: ...
    def grid_size(self, count: Any) -> Any: ...

class TCDScheduler(_ConsistencyScheduler):
    def __init__(
        self,
        num_train_timesteps: int = 1000,
        beta_start: float = 0.00085,
        beta_end: float = 0.012,
        beta_schedule: Literal["linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid", "exp"] = "scaled_linear",
        trained_betas: ArrayLike | None = None,
        original_inference_steps: int = 50,
        clip_sample: bool = False,
        clip_sample_range: float = 1.0,
        set_alpha_to_one: bool = True,
        steps_offset: int = 0,
        prediction_type: Literal["epsilon", "sample", "v_prediction"] = "epsilon",
        thresholding: bool = False,
        dynamic_thresholding_ratio: float = 0.995,
        sample_max_value: float = 1.0,
        timestep_spacing: Literal["leading", "linspace", "trailing"] = "leading",
        timestep_scaling: float = 10.0,
        rescale_betas_zero_snr: bool = False,
        compute_dtype: Any = mindspore.float32,
    ) -> None: ...
    def trajectory_plan(self, eta: Any = 0.3) -> Any: ...
    @overload
    def step(
        self,
        model_output: Tensor | float,
        sample: Tensor | float,
        timestep: int | float | NDArray[Any] | Tensor,
        noise: Tensor | float | None = None,
        generator: _Generator = None,
        return_dict: Literal[False] = False,
        *,
        eta: float = 0.3,
    ) -> Tensor: ...
    @overload
    def step(
        self,
        model_output: Tensor | float,
        sample: Tensor | float,
        timestep: int | float | NDArray[Any] | Tensor,
        noise: Tensor | float | None = None,
        generator: _Generator = None,
        *,
        return_dict: Literal[True],
        eta: float = 0.3,
    ) -> TCDSchedulerOutput: ...

class TCDSchedulerOutput(tuple[Tensor, Tensor, Tensor]):
    def __new__(cls, prev_sample: Tensor, pred_noised_sample: Tensor, pred_original_sample: Tensor) -> Self: ...
    @property
    def prev_sample(self) -> Tensor: ...
    @property
    def pred_noised_sample(self) -> Tensor: ...
    @property
    def pred_original_sample(self) -> Tensor: ...

class TokenScheduler(_Configurable, nn.Cell):
    @property
    def config(self) -> Any: ...
    @property
    def timesteps(self) -> NDArray[Any]: ...
    @property
    def num_inference_steps(self) -> int: ...
    @property
    def table(self) -> NDArray[Any]: ...
    @property
    def rows(self) -> Parameter: ...
    def __init__(self) -> None: ...
    order: int
    init_noise_sigma: float
    columns: Any
    position_draws: int
    counts_up: bool
    mask_token: Any
    outputs: Any
    def __len__(self) -> Any: ...
    def scale_model_input(self, sample: Any, timestep: Any = None) -> Any: ...
    def check_scheduled(self) -> None: ...
    def noise_classes(self, classes: Any) -> Any: ...
    def construct(
        self, model_output: Any, sample: Any, timestep: Any, noise: Any, position_noise: Any = None
    ) -> Tensor: ...
    @overload
    def step(
        self,
        model_output: Tensor | float,
        sample: Tensor | float,
        timestep: int | NDArray[Any] | Tensor,
        noise: Tensor | float | None = None,
        position_noise: Tensor | float | None = None,
        generator: _Generator = None,
        return_dict: Literal[False] = False,
    ) -> Tensor: ...
    @overload
    def step(
        self,
        model_output: Tensor | float,
        sample: Tensor | float,
        timestep: int | NDArray[Any] | Tensor,
        noise: Tensor | float | None = None,
        position_noise: Tensor | float | None = None,
        generator: _Generator = None,
        *,
        return_dict: Literal[True],
    ) -> TokenSchedulerOutput: ...
    def moved(
        self,
        model_output: Any,
        sample: Any,
        timestep: Any,
        noise: Any,
        position_noise: Any,
        generator: Any,
        others: Any = (),
        **changed: Any,
    ) -> Any: ...
    def check_tokens(self, name: Any, tokens: Any, classes: Any) -> None: ...
    def place_of(self, index: Any) -> Any: ...
    def __call__(
        self, model_output: Any, sample: Any, timestep: Any, noise: Any, position_noise: Any = None
    ) -> Tensor: ...

class TokenSchedulerOutput(tuple[Tensor, Tensor, Tensor | None, Tensor | None, Tensor | None, Tensor | None]):
    def __new__(
        cls,
        prev_sample: Tensor,
        pred_original_sample: Tensor,
        probability: Tensor | None,
        accepted: Tensor | None,
        edited: Tensor | None,
        committed: Tensor | None,
    ) -> Self: ...
    @property
    def prev_sample(self) -> Tensor: ...
    @property
    def pred_original_sample(self) -> Tensor: ...
    @property
    def probability(self) -> Tensor | None: ...
    @property
    def accepted(self) -> Tensor | None: ...
    @property
    def edited(self) -> Tensor | None: ...
    @property
    def committed(self) -> Tensor | None: ...

class _TrajectoryScheduler(Scheduler):
    output: Any
    def trajectory_plan(self) -> Any: ...
    def plan_for(self, **options: Any) -> StepPlan: ...
    def scale_model_input(
        self, sample: Tensor | float, timestep: int | float | NDArray[Any] | Tensor | None = None
    ) -> Tensor: ...
    def construct(
        self, model_output: Tensor | float, sample: Tensor | float, index: Tensor | float, *values: Tensor | float
    ) -> Tensor | Any: ...
    def look_up_and_step(
        self, model_output: Any, sample: Any, timestep: Any, noise: Any, generator: Any, return_dict: Any
    ) -> Any: ...
    @overload
    def step(
        self,
        model_output: Tensor | float,
        sample: Tensor | float,
        timestep: int | float | NDArray[Any] | Tensor,
        noise: Tensor | float | None = None,
        generator: _Generator = None,
        return_dict: Literal[False] = False,
    ) -> Tensor: ...
    @overload
    def step(
        self,
        model_output: Tensor | float,
        sample: Tensor | float,
        timestep: int | float | NDArray[Any] | Tensor,
        noise: Tensor | float | None = None,
        generator: _Generator = None,
        *,
        return_dict: Literal[True],
    ) -> SchedulerOutput: ...
    def restart(self) -> None: ...
    def go_to(self, row: Any) -> None: ...
    def rows_of(self, timestep: Any, samples: Any) -> Any: ...
    def __call__(
        self, model_output: Tensor | float, sample: Tensor | float, index: Tensor | float, *values: Tensor | float
    ) -> Tensor | Any: ...

class _TwoCallScheduler(_SolverScheduler):
    def second_level(self, sigma: Any, sigma_next: Any) -> Any: ...
    def steps(self) -> Any: ...
    def two_call_plan(self, step: Mapping[str, Any], **remembered: Mapping[str, Any]) -> Any: ...
    def midpoint_step(self, target: NDArray[Any]) -> Any: ...

class UnCLIPScheduler(DDPMScheduler):
    def __init__(
        self,
        num_train_timesteps: int = 1000,
        variance_type: Literal["fixed_small_log", "learned_range"] = "fixed_small_log",
        clip_sample: bool = True,
        clip_sample_range: float = 1.0,
        prediction_type: Literal["epsilon", "sample"] = "epsilon",
        beta_schedule: Literal["squaredcos_cap_v2"] = "squaredcos_cap_v2",
        compute_dtype: Any = mindspore.float32,
    ) -> None: ...
    def set_timesteps(self, num_inference_steps: int) -> None: ...
    def dense_plan(self, prev_timestep: Any = None) -> Any: ...
    @overload
    def step(
        self,
        model_output: Tensor | float,
        sample: Tensor | float,
        timestep: int | NDArray[Any] | Tensor,
        predicted_variance: Tensor | float | None = None,
        prev_timestep: Any = None,
        noise: Tensor | float | None = None,
        generator: _Generator = None,
        return_dict: Literal[False] = False,
    ) -> Tensor: ...
    @overload
    def step(
        self,
        model_output: Tensor | float,
        sample: Tensor | float,
        timestep: int | NDArray[Any] | Tensor,
        predicted_variance: Tensor | float | None = None,
        prev_timestep: Any = None,
        noise: Tensor | float | None = None,
        generator: _Generator = None,
        *,
        return_dict: Literal[True],
    ) -> SchedulerOutput: ...

class _UniPCMethod(_PredictorCorrectorMethod):
    @property
    def most_corrector_predictions(self) -> Any: ...
    @property
    def slope_rule(self) -> Any: ...
    def unipc_plan(self, begin: Any, predictor: Any = None) -> Any: ...

class UniPCMultistepScheduler(_UniPCMethod, _LogSNRScheduler):
    def __init__(
        self,
        num_train_timesteps: int = 1000,
        beta_start: float = 0.0001,
        beta_end: float = 0.02,
        beta_schedule: Literal["linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid", "exp"] = "linear",
        trained_betas: ArrayLike | None = None,
        solver_order: int = 2,
        prediction_type: Literal["epsilon", "sample", "v_prediction", "flow_prediction"] = "epsilon",
        thresholding: bool = False,
        dynamic_thresholding_ratio: float = 0.995,
        sample_max_value: float = 1.0,
        predict_x0: bool = True,
        solver_type: Literal["bh1", "bh2"] = "bh2",
        lower_order_final: bool = True,
        disable_corrector: list[Any] = [],
        solver_p: Scheduler | None = None,
        use_karras_sigmas: bool | None = False,
        use_exponential_sigmas: bool | None = False,
        use_beta_sigmas: bool | None = False,
        use_flow_sigmas: bool = False,
        flow_shift: float = 1.0,
        timestep_spacing: Literal["leading", "linspace", "trailing"] = "linspace",
        steps_offset: int = 0,
        final_sigmas_type: Literal["zero", "sigma_min"] = "zero",
        rescale_betas_zero_snr: bool = False,
        use_dynamic_shifting: bool = False,
        time_shift_type: Literal["exponential", "linear"] = "exponential",
        sigma_min: float | None = None,
        sigma_max: float | None = None,
        shift_terminal: float | None = None,
        sigma_schedule: Literal[
            "karras",
            "exponential",
            "beta",
            "kl_optimal",
            "laplace",
            "ays_sd15",
            "ays_sdxl",
            "ays_svd",
            "linear_quadratic",
        ]
        | None = None,
        eta: float = 0.0,
        compute_dtype: Any = mindspore.float32,
    ) -> None: ...
    @property
    def predicts_x0(self) -> Any: ...
    def trajectory_plan(self, begin: Any = 0) -> Any: ...

class VQDiffusionScheduler(TokenScheduler):
    num_train_timesteps: Any
    def __init__(
        self,
        num_vec_classes: int,
        num_train_timesteps: int = 100,
        alpha_cum_start: float = 0.99999,
        alpha_cum_end: float = 9e-06,
        gamma_cum_start: float = 9e-06,
        gamma_cum_end: float = 0.99999,
    ) -> None: ...
    def set_timesteps(self, num_inference_steps: int) -> None: ...

def register_scheduler(kind: type[Any]) -> Any: ...
