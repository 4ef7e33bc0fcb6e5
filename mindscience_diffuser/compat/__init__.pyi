# Made by scripts/make_stubs.py from signatures and docstrings: run it again, do not edit.
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mindspore import Tensor
from numpy.typing import ArrayLike, NDArray

from mindscience_diffuser.schedulers import Scheduler, TokenScheduler

__all__ = [
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
    "DPMSolverMultistepInverseScheduler",
    "DPMSolverMultistepScheduler",
    "DPMSolverSDEScheduler",
    "DPMSolverSinglestepScheduler",
    "EDMDPMSolverMultistepScheduler",
    "EDMEulerScheduler",
    "EulerAncestralDiscreteScheduler",
    "EulerDiscreteScheduler",
    "FlowMapEulerDiscreteScheduler",
    "FlowMatchEulerDiscreteScheduler",
    "FlowMatchHeunDiscreteScheduler",
    "FlowMatchLCMScheduler",
    "HeliosDMDScheduler",
    "HeliosScheduler",
    "HeunDiscreteScheduler",
    "IPNDMScheduler",
    "KDPM2AncestralDiscreteScheduler",
    "KDPM2DiscreteScheduler",
    "KarrasVeScheduler",
    "LCMScheduler",
    "LMSDiscreteScheduler",
    "LTXEulerAncestralRFScheduler",
    "MiniMaxH3Scheduler",
    "PNDMScheduler",
    "PiflowScheduler",
    "RFD4ProteinaScheduler",
    "RePaintScheduler",
    "SASolverScheduler",
    "SCMScheduler",
    "ScoreSdeVeScheduler",
    "ScoreSdeVpScheduler",
    "TCDScheduler",
    "UnCLIPScheduler",
    "UniPCMultistepScheduler",
    "AysSchedules",
    "LearnedScheduler",
    "SchedulerMixin",
    "AmusedScheduler",
    "BlockRefinementScheduler",
    "DiscreteDDIMScheduler",
    "EntropyBoundScheduler",
    "VQDiffusionScheduler",
    "TokenMixin",
]

class AmusedScheduler(TokenMixin):
    def __init__(self, mask_token_id: Any, masking_schedule: Any = "cosine") -> None: ...
    temperatures: Any
    timesteps: Any
    def set_timesteps(self, num_inference_steps: Any, temperature: Any = (2, 0), device: Any = None) -> None: ...
    def step(
        self,
        model_output: Any,
        timestep: Any,
        sample: Any,
        starting_mask_ratio: Any = 1.0,
        generator: Any = None,
        return_dict: Any = True,
    ) -> Any: ...
    def add_noise(self, sample: Any, timesteps: Any, generator: Any = None) -> Any: ...
    arguments: Any

class BlockRefinementScheduler(TokenMixin):
    timesteps: Any
    def __init__(
        self,
        block_length: Any = 32,
        num_inference_steps: Any = 32,
        threshold: Any = 0.95,
        editing_threshold: Any = None,
        minimal_topk: Any = 1,
    ) -> None: ...
    def set_timesteps(self, num_inference_steps: Any, device: Any = None, block_length: Any = None) -> None: ...
    def get_num_transfer_tokens(self, block_length: Any, num_inference_steps: Any) -> Any: ...
    def step(
        self,
        model_output: Any,
        timestep: Any,
        sample: Any,
        *,
        mask_token_id: Any = None,
        temperature: Any = 0.0,
        top_p: Any = None,
        top_k: Any = None,
        sampling_method: Any = "auto",
        threshold: Any = None,
        editing_threshold: Any = None,
        minimal_topk: Any = None,
        prompt_mask: Any = None,
        generator: Any = None,
        return_dict: Any = True,
    ) -> Any: ...
    @staticmethod
    def check_eos_finished(
        cur_x: Any,
        sampled_tokens: Any,
        final_transfer: Any,
        finished: Any,
        eos_token_id: Any,
        mask_token_id: Any,
        prompt_length: Any,
    ) -> Any: ...
    def check_block_should_continue(
        self,
        step_idx: Any,
        masks_remaining: Any,
        editing_enabled: Any,
        editing_transfer_index: Any,
        post_steps: Any,
        max_post_steps: Any,
        finished: Any,
    ) -> Any: ...
    def add_noise(
        self,
        original_samples: Any,
        attention_mask: Any,
        *,
        prompt_length: Any,
        block_length: Any,
        mask_token_id: Any,
        generator: Any = None,
    ) -> Any: ...
    arguments: Any

class CMStochasticIterativeScheduler(SchedulerMixin):
    def __init__(
        self,
        num_train_timesteps: int = 40,
        sigma_min: float | None = 0.002,
        sigma_max: float | None = 80.0,
        sigma_data: float = 0.5,
        s_noise: float = 1.0,
        rho: float = 7.0,
        clip_denoised: bool = True,
    ) -> None: ...
    def set_timesteps(
        self,
        num_inference_steps: int | None = None,
        device: Any = None,
        timesteps: Sequence[int] | NDArray[Any] | None = None,
    ) -> None: ...
    def step(
        self,
        model_output: Tensor | float,
        timestep: int | float | NDArray[Any] | Tensor,
        sample: Tensor | float,
        generator: Any = None,
        return_dict: bool = True,
    ) -> Any: ...

class CogVideoXDDIMScheduler(SchedulerMixin):
    def __init__(
        self,
        num_train_timesteps: int = 1000,
        beta_start: float = 0.00085,
        beta_end: float = 0.012,
        beta_schedule: str = "scaled_linear",
        trained_betas: ArrayLike | None = None,
        clip_sample: bool = True,
        set_alpha_to_one: bool = True,
        steps_offset: int = 0,
        prediction_type: str = "epsilon",
        clip_sample_range: float = 1.0,
        sample_max_value: float = 1.0,
        timestep_spacing: str = "leading",
        rescale_betas_zero_snr: bool = False,
        snr_shift_scale: float = 3.0,
    ) -> None: ...
    def set_timesteps(self, num_inference_steps: int | None, device: Any = None) -> None: ...
    def step(
        self,
        model_output: Tensor | float,
        timestep: int | NDArray[Any] | Tensor,
        sample: Tensor | float,
        eta: Any = 0.0,
        use_clipped_model_output: Any = False,
        generator: Any = None,
        variance_noise: Any = None,
        return_dict: bool = True,
    ) -> Any: ...

class CogVideoXDPMScheduler(SchedulerMixin):
    def __init__(
        self,
        num_train_timesteps: int = 1000,
        beta_start: float = 0.00085,
        beta_end: float = 0.012,
        beta_schedule: str = "scaled_linear",
        trained_betas: ArrayLike | None = None,
        clip_sample: bool = True,
        set_alpha_to_one: bool = True,
        steps_offset: int = 0,
        prediction_type: str = "epsilon",
        clip_sample_range: float = 1.0,
        sample_max_value: float = 1.0,
        timestep_spacing: str = "leading",
        rescale_betas_zero_snr: bool = False,
        snr_shift_scale: float = 3.0,
    ) -> None: ...
    def set_timesteps(self, num_inference_steps: int | None, device: Any = None) -> None: ...
    def step(
        self,
        model_output: Tensor | float,
        old_pred_original_sample: Any,
        timestep: int | float | NDArray[Any] | Tensor,
        timestep_back: Any,
        sample: Tensor | float,
        eta: Any = 0.0,
        use_clipped_model_output: Any = False,
        generator: Any = None,
        variance_noise: Any = None,
        return_dict: bool = False,
    ) -> Any: ...

class ConsistencyDecoderScheduler(SchedulerMixin):
    def __init__(self, num_train_timesteps: int = 1024, sigma_data: float = 0.5) -> None: ...
    def set_timesteps(self, num_inference_steps: int | None = None, device: Any = None) -> None: ...
    def step(
        self,
        model_output: Tensor | float,
        timestep: int | float | NDArray[Any] | Tensor,
        sample: Tensor | float,
        generator: Any = None,
        return_dict: bool = True,
    ) -> Any: ...

class CosineDPMSolverMultistepScheduler(SchedulerMixin):
    def __init__(
        self,
        sigma_min: float | None = 0.3,
        sigma_max: float | None = 500,
        sigma_data: float | Sequence[float] | NDArray[Any] = 1.0,
        sigma_schedule: str = "exponential",
        num_train_timesteps: int = 1000,
        solver_order: int = 2,
        prediction_type: str = "v_prediction",
        rho: float = 7.0,
        solver_type: str = "midpoint",
        lower_order_final: bool = True,
        euler_at_final: bool = False,
        final_sigmas_type: str = "zero",
    ) -> None: ...
    def set_timesteps(self, num_inference_steps: int | None = None, device: Any = None) -> None: ...
    def step(
        self,
        model_output: Tensor | float,
        timestep: int | float | NDArray[Any] | Tensor,
        sample: Tensor | float,
        generator: Any = None,
        return_dict: bool = True,
    ) -> Any: ...

class DDIMInverseScheduler(SchedulerMixin):
    def __init__(
        self,
        num_train_timesteps: int = 1000,
        beta_start: float = 0.0001,
        beta_end: float = 0.02,
        beta_schedule: str = "linear",
        trained_betas: ArrayLike | None = None,
        clip_sample: bool = True,
        set_alpha_to_one: bool = True,
        steps_offset: int = 0,
        prediction_type: str = "epsilon",
        clip_sample_range: float = 1.0,
        timestep_spacing: str = "leading",
        rescale_betas_zero_snr: bool = False,
        **kwargs: Any,
    ) -> None: ...
    def set_timesteps(self, num_inference_steps: int, device: Any = None) -> None: ...
    def step(
        self,
        model_output: Tensor | float,
        timestep: int | NDArray[Any] | Tensor,
        sample: Tensor | float,
        return_dict: bool = True,
    ) -> Any: ...

class DDIMParallelScheduler(SchedulerMixin):
    def __init__(
        self,
        num_train_timesteps: int = 1000,
        beta_start: float = 0.0001,
        beta_end: float = 0.02,
        beta_schedule: str = "linear",
        trained_betas: ArrayLike | None = None,
        clip_sample: bool = True,
        set_alpha_to_one: bool = True,
        steps_offset: int = 0,
        prediction_type: str = "epsilon",
        thresholding: bool = False,
        dynamic_thresholding_ratio: float = 0.995,
        clip_sample_range: float = 1.0,
        sample_max_value: float = 1.0,
        timestep_spacing: str = "leading",
        rescale_betas_zero_snr: bool = False,
    ) -> None: ...
    def set_timesteps(self, num_inference_steps: int | None, device: Any = None) -> None: ...
    def step(
        self,
        model_output: Tensor | float,
        timestep: int | NDArray[Any] | Tensor,
        sample: Tensor | float,
        eta: float = 0.0,
        use_clipped_model_output: bool = False,
        generator: Any = None,
        variance_noise: Any = None,
        return_dict: bool = True,
    ) -> Any: ...

class DDIMScheduler(SchedulerMixin):
    def __init__(
        self,
        num_train_timesteps: int = 1000,
        beta_start: float = 0.0001,
        beta_end: float = 0.02,
        beta_schedule: str = "linear",
        trained_betas: ArrayLike | None = None,
        clip_sample: bool = True,
        set_alpha_to_one: bool = True,
        steps_offset: int = 0,
        prediction_type: str = "epsilon",
        thresholding: bool = False,
        dynamic_thresholding_ratio: float = 0.995,
        clip_sample_range: float = 1.0,
        sample_max_value: float = 1.0,
        timestep_spacing: str = "leading",
        rescale_betas_zero_snr: bool = False,
    ) -> None: ...
    def set_timesteps(self, num_inference_steps: int | None, device: Any = None) -> None: ...
    def step(
        self,
        model_output: Tensor | float,
        timestep: int | NDArray[Any] | Tensor,
        sample: Tensor | float,
        eta: float = 0.0,
        use_clipped_model_output: bool = False,
        generator: Any = None,
        variance_noise: Any = None,
        return_dict: bool = True,
    ) -> Any: ...

class DDPMParallelScheduler(SchedulerMixin):
    def __init__(
        self,
        num_train_timesteps: int = 1000,
        beta_start: float = 0.0001,
        beta_end: float = 0.02,
        beta_schedule: str = "linear",
        trained_betas: ArrayLike | None = None,
        variance_type: str = "fixed_small",
        clip_sample: bool = True,
        prediction_type: str = "epsilon",
        thresholding: bool = False,
        dynamic_thresholding_ratio: float = 0.995,
        clip_sample_range: float = 1.0,
        sample_max_value: float = 1.0,
        timestep_spacing: str = "leading",
        steps_offset: int = 0,
        rescale_betas_zero_snr: bool = False,
    ) -> None: ...
    def set_timesteps(
        self,
        num_inference_steps: int | None = None,
        device: Any = None,
        timesteps: Sequence[int] | NDArray[Any] | None = None,
    ) -> None: ...
    def step(
        self,
        model_output: Tensor | float,
        timestep: int | NDArray[Any] | Tensor,
        sample: Tensor | float,
        generator: Any = None,
        return_dict: bool = True,
    ) -> Any: ...

class DDPMScheduler(SchedulerMixin):
    def __init__(
        self,
        num_train_timesteps: int = 1000,
        beta_start: float = 0.0001,
        beta_end: float = 0.02,
        beta_schedule: str = "linear",
        trained_betas: ArrayLike | None = None,
        variance_type: str = "fixed_small",
        clip_sample: bool = True,
        prediction_type: str = "epsilon",
        thresholding: bool = False,
        dynamic_thresholding_ratio: float = 0.995,
        clip_sample_range: float = 1.0,
        sample_max_value: float = 1.0,
        timestep_spacing: str = "leading",
        steps_offset: int = 0,
        rescale_betas_zero_snr: bool = False,
    ) -> None: ...
    def set_timesteps(
        self,
        num_inference_steps: int | None = None,
        device: Any = None,
        timesteps: Sequence[int] | NDArray[Any] | None = None,
    ) -> None: ...
    def step(
        self,
        model_output: Tensor | float,
        timestep: int | NDArray[Any] | Tensor,
        sample: Tensor | float,
        generator: Any = None,
        return_dict: bool = True,
    ) -> Any: ...

class DDPMWuerstchenScheduler(SchedulerMixin):
    def __init__(self, scaler: float = 1.0, s: float = 0.008) -> None: ...
    def set_timesteps(
        self,
        num_inference_steps: int | None = None,
        timesteps: Sequence[float] | NDArray[Any] | None = None,
        device: Any = None,
    ) -> None: ...
    def step(
        self,
        model_output: Tensor | float,
        timestep: int | float | NDArray[Any] | Tensor,
        sample: Tensor | float,
        generator: Any = None,
        return_dict: bool = True,
    ) -> Any: ...

class DEISMultistepScheduler(SchedulerMixin):
    def __init__(
        self,
        num_train_timesteps: int = 1000,
        beta_start: float = 0.0001,
        beta_end: float = 0.02,
        beta_schedule: str = "linear",
        trained_betas: ArrayLike | None = None,
        solver_order: int = 2,
        prediction_type: str = "epsilon",
        thresholding: bool = False,
        dynamic_thresholding_ratio: float = 0.995,
        sample_max_value: float = 1.0,
        algorithm_type: str = "deis",
        solver_type: str = "logrho",
        lower_order_final: bool = True,
        use_karras_sigmas: bool | None = False,
        use_exponential_sigmas: bool | None = False,
        use_beta_sigmas: bool | None = False,
        use_flow_sigmas: bool = False,
        flow_shift: float = 1.0,
        timestep_spacing: str = "linspace",
        steps_offset: int = 0,
        use_dynamic_shifting: bool = False,
        time_shift_type: str = "exponential",
    ) -> None: ...
    def set_timesteps(self, num_inference_steps: int | None, device: Any = None, mu: float | None = None) -> None: ...
    def step(
        self,
        model_output: Tensor | float,
        timestep: int | float | NDArray[Any] | Tensor,
        sample: Tensor | float,
        return_dict: bool = True,
    ) -> Any: ...

class DPMSolverMultistepInverseScheduler(SchedulerMixin):
    def __init__(
        self,
        num_train_timesteps: int = 1000,
        beta_start: float = 0.0001,
        beta_end: float = 0.02,
        beta_schedule: str = "linear",
        trained_betas: ArrayLike | None = None,
        solver_order: int = 2,
        prediction_type: str = "epsilon",
        thresholding: bool = False,
        dynamic_thresholding_ratio: float = 0.995,
        sample_max_value: float = 1.0,
        algorithm_type: str = "dpmsolver++",
        solver_type: str = "midpoint",
        lower_order_final: bool = True,
        euler_at_final: bool = False,
        use_karras_sigmas: bool | None = False,
        use_exponential_sigmas: bool | None = False,
        use_beta_sigmas: bool | None = False,
        use_flow_sigmas: bool = False,
        flow_shift: float = 1.0,
        lambda_min_clipped: float = float("-inf"),
        variance_type: str | None = None,
        timestep_spacing: str = "linspace",
        steps_offset: int = 0,
    ) -> None: ...
    def set_timesteps(self, num_inference_steps: int | None = None, device: Any = None) -> None: ...
    def step(
        self,
        model_output: Tensor | float,
        timestep: int | float | NDArray[Any] | Tensor,
        sample: Tensor | float,
        generator: Any = None,
        variance_noise: Any = None,
        return_dict: bool = True,
    ) -> Any: ...

class DPMSolverMultistepScheduler(SchedulerMixin):
    def __init__(
        self,
        num_train_timesteps: int = 1000,
        beta_start: float = 0.0001,
        beta_end: float = 0.02,
        beta_schedule: str = "linear",
        trained_betas: ArrayLike | None = None,
        solver_order: int = 2,
        prediction_type: str = "epsilon",
        thresholding: bool = False,
        dynamic_thresholding_ratio: float = 0.995,
        sample_max_value: float = 1.0,
        algorithm_type: str = "dpmsolver++",
        solver_type: str = "midpoint",
        lower_order_final: bool = True,
        euler_at_final: bool = False,
        use_karras_sigmas: bool | None = False,
        use_exponential_sigmas: bool | None = False,
        use_beta_sigmas: bool | None = False,
        use_lu_lambdas: bool | None = False,
        use_flow_sigmas: bool = False,
        flow_shift: float = 1.0,
        final_sigmas_type: str = "zero",
        lambda_min_clipped: float = float("-inf"),
        variance_type: str | None = None,
        timestep_spacing: str = "linspace",
        steps_offset: int = 0,
        rescale_betas_zero_snr: bool = False,
        use_dynamic_shifting: bool = False,
        time_shift_type: str = "exponential",
    ) -> None: ...
    def set_timesteps(
        self,
        num_inference_steps: int | None = None,
        device: Any = None,
        mu: float | None = None,
        timesteps: Sequence[float] | NDArray[Any] | None = None,
    ) -> None: ...
    def step(
        self,
        model_output: Tensor | float,
        timestep: int | float | NDArray[Any] | Tensor,
        sample: Tensor | float,
        generator: Any = None,
        variance_noise: Any = None,
        return_dict: bool = True,
    ) -> Any: ...

class DPMSolverSDEScheduler(SchedulerMixin):
    def __init__(
        self,
        num_train_timesteps: int = 1000,
        beta_start: float = 0.00085,
        beta_end: float = 0.012,
        beta_schedule: str = "linear",
        trained_betas: ArrayLike | None = None,
        prediction_type: str = "epsilon",
        use_karras_sigmas: bool | None = False,
        use_exponential_sigmas: bool | None = False,
        use_beta_sigmas: bool | None = False,
        noise_sampler_seed: int | None = None,
        timestep_spacing: str = "linspace",
        steps_offset: int = 0,
    ) -> None: ...
    def set_timesteps(
        self, num_inference_steps: int | None, device: Any = None, num_train_timesteps: Any = None
    ) -> None: ...
    def step(
        self,
        model_output: Tensor | float,
        timestep: int | float | NDArray[Any] | Tensor,
        sample: Tensor | float,
        return_dict: bool = True,
        s_noise: Any = 1.0,
    ) -> Any: ...

class DPMSolverSinglestepScheduler(SchedulerMixin):
    def __init__(
        self,
        num_train_timesteps: int = 1000,
        beta_start: float = 0.0001,
        beta_end: float = 0.02,
        beta_schedule: str = "linear",
        trained_betas: ArrayLike | None = None,
        solver_order: int = 2,
        prediction_type: str = "epsilon",
        thresholding: bool = False,
        dynamic_thresholding_ratio: float = 0.995,
        sample_max_value: float = 1.0,
        algorithm_type: str = "dpmsolver++",
        solver_type: str = "midpoint",
        lower_order_final: bool = False,
        use_karras_sigmas: bool | None = False,
        use_exponential_sigmas: bool | None = False,
        use_beta_sigmas: bool | None = False,
        use_flow_sigmas: bool = False,
        flow_shift: float = 1.0,
        final_sigmas_type: str = "zero",
        lambda_min_clipped: float = float("-inf"),
        variance_type: str | None = None,
        use_dynamic_shifting: bool = False,
        time_shift_type: str = "exponential",
    ) -> None: ...
    def set_timesteps(
        self,
        num_inference_steps: int | None = None,
        device: Any = None,
        mu: float | None = None,
        timesteps: Sequence[float] | NDArray[Any] | None = None,
    ) -> None: ...
    def step(
        self,
        model_output: Tensor | float,
        timestep: int | float | NDArray[Any] | Tensor,
        sample: Tensor | float,
        generator: Any = None,
        return_dict: bool = True,
    ) -> Any: ...

class DiscreteDDIMScheduler(TokenMixin):
    def __init__(
        self,
        num_inference_steps: Any = 32,
        corrector_steps: Any = 0,
        corrector_k: Any = 1,
        corrector_selection: Any = "lowest_log_margin",
        corrector_selection_tau: Any = 1.0,
    ) -> None: ...
    def step(
        self,
        model_output: Any,
        timestep: Any,
        sample: Any,
        *,
        temperature: Any = 0.0,
        generator: Any = None,
        return_dict: Any = True,
    ) -> Any: ...
    def step_correct(
        self, model_output: Any, timestep: Any, sample: Any, *, generator: Any = None, return_dict: Any = True
    ) -> Any: ...
    arguments: Any

class EDMDPMSolverMultistepScheduler(SchedulerMixin):
    def __init__(
        self,
        sigma_min: float | None = 0.002,
        sigma_max: float | None = 80.0,
        sigma_data: float | Sequence[float] | NDArray[Any] = 0.5,
        sigma_schedule: str = "karras",
        num_train_timesteps: int = 1000,
        prediction_type: str = "epsilon",
        rho: float = 7.0,
        solver_order: int = 2,
        thresholding: bool = False,
        dynamic_thresholding_ratio: float = 0.995,
        sample_max_value: float = 1.0,
        algorithm_type: str = "dpmsolver++",
        solver_type: str = "midpoint",
        lower_order_final: bool = True,
        euler_at_final: bool = False,
        final_sigmas_type: str = "zero",
    ) -> None: ...
    def set_timesteps(self, num_inference_steps: int | None = None, device: Any = None) -> None: ...
    def step(
        self,
        model_output: Tensor | float,
        timestep: int | float | NDArray[Any] | Tensor,
        sample: Tensor | float,
        generator: Any = None,
        return_dict: bool = True,
    ) -> Any: ...

class EDMEulerScheduler(SchedulerMixin):
    def __init__(
        self,
        sigma_min: float | None = 0.002,
        sigma_max: float | None = 80.0,
        sigma_data: float | Sequence[float] | NDArray[Any] = 0.5,
        sigma_schedule: str = "karras",
        num_train_timesteps: int = 1000,
        prediction_type: str = "epsilon",
        rho: float = 7.0,
        final_sigmas_type: str = "zero",
    ) -> None: ...
    def set_timesteps(
        self,
        num_inference_steps: int | None = None,
        device: Any = None,
        sigmas: Sequence[float] | NDArray[Any] | None = None,
    ) -> None: ...
    def step(
        self,
        model_output: Tensor | float,
        timestep: int | float | NDArray[Any] | Tensor,
        sample: Tensor | float,
        s_churn: Any = 0.0,
        s_tmin: Any = 0.0,
        s_tmax: Any = float("inf"),
        s_noise: Any = 1.0,
        generator: Any = None,
        return_dict: bool = True,
        pred_original_sample: Any = None,
    ) -> Any: ...

class EntropyBoundScheduler(TokenMixin):
    def __init__(
        self, entropy_bound: Any = 0.1, t_max: Any = 0.8, t_min: Any = 0.4, num_inference_steps: Any = 32
    ) -> None: ...
    def step(
        self,
        model_output: Any,
        timestep: Any,
        sample: Any,
        *,
        entropy_bound: Any = None,
        generator: Any = None,
        return_dict: Any = True,
    ) -> Any: ...
    arguments: Any

class EulerAncestralDiscreteScheduler(SchedulerMixin):
    def __init__(
        self,
        num_train_timesteps: int = 1000,
        beta_start: float = 0.0001,
        beta_end: float = 0.02,
        beta_schedule: str = "linear",
        trained_betas: ArrayLike | None = None,
        prediction_type: str = "epsilon",
        timestep_spacing: str = "linspace",
        steps_offset: int = 0,
        rescale_betas_zero_snr: bool = False,
    ) -> None: ...
    def set_timesteps(self, num_inference_steps: int | None, device: Any = None) -> None: ...
    def step(
        self,
        model_output: Tensor | float,
        timestep: int | float | NDArray[Any] | Tensor,
        sample: Tensor | float,
        generator: Any = None,
        return_dict: bool = True,
    ) -> Any: ...

class EulerDiscreteScheduler(SchedulerMixin):
    def __init__(
        self,
        num_train_timesteps: int = 1000,
        beta_start: float = 0.0001,
        beta_end: float = 0.02,
        beta_schedule: str = "linear",
        trained_betas: ArrayLike | None = None,
        prediction_type: str = "epsilon",
        interpolation_type: str = "linear",
        use_karras_sigmas: bool | None = False,
        use_exponential_sigmas: bool | None = False,
        use_beta_sigmas: bool | None = False,
        sigma_min: float | None = None,
        sigma_max: float | None = None,
        timestep_spacing: str = "linspace",
        timestep_type: str = "discrete",
        steps_offset: int = 0,
        rescale_betas_zero_snr: bool = False,
        final_sigmas_type: str = "zero",
    ) -> None: ...
    def set_timesteps(
        self,
        num_inference_steps: int | None = None,
        device: Any = None,
        timesteps: Sequence[float] | NDArray[Any] | None = None,
        sigmas: Sequence[float] | NDArray[Any] | None = None,
    ) -> None: ...
    def step(
        self,
        model_output: Tensor | float,
        timestep: int | float | NDArray[Any] | Tensor,
        sample: Tensor | float,
        s_churn: Any = 0.0,
        s_tmin: Any = 0.0,
        s_tmax: Any = float("inf"),
        s_noise: Any = 1.0,
        generator: Any = None,
        return_dict: bool = True,
    ) -> Any: ...

class FlowMapEulerDiscreteScheduler(SchedulerMixin):
    def __init__(self, num_train_timesteps: int = 1000, shift: float = 1.0) -> None: ...
    def set_timesteps(
        self,
        num_inference_steps: int | None = None,
        device: Any = None,
        sigmas: Sequence[float] | NDArray[Any] | None = None,
        timesteps: Sequence[float] | NDArray[Any] | None = None,
    ) -> None: ...
    def step(
        self,
        model_output: Tensor | float,
        timestep: int | float | NDArray[Any] | Tensor,
        sample: Tensor | float,
        r_timestep: Any = None,
        return_dict: bool = True,
    ) -> Any: ...

class FlowMatchEulerDiscreteScheduler(SchedulerMixin):
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
        time_shift_type: str = "exponential",
        stochastic_sampling: bool = False,
    ) -> None: ...
    def set_timesteps(
        self,
        num_inference_steps: int | None = None,
        device: Any = None,
        sigmas: Sequence[float] | NDArray[Any] | None = None,
        mu: float | None = None,
        timesteps: Sequence[float] | NDArray[Any] | None = None,
    ) -> None: ...
    def step(
        self,
        model_output: Tensor | float,
        timestep: float | NDArray[Any] | Tensor,
        sample: Tensor | float,
        s_churn: Any = 0.0,
        s_tmin: Any = 0.0,
        s_tmax: Any = float("inf"),
        s_noise: Any = 1.0,
        generator: Any = None,
        per_token_timesteps: Tensor | float | None = None,
        return_dict: bool = True,
    ) -> Any: ...

class FlowMatchHeunDiscreteScheduler(SchedulerMixin):
    def __init__(self, num_train_timesteps: int = 1000, shift: float = 1.0) -> None: ...
    def set_timesteps(self, num_inference_steps: int | None, device: Any = None) -> None: ...
    def step(
        self,
        model_output: Tensor | float,
        timestep: int | float | NDArray[Any] | Tensor,
        sample: Tensor | float,
        s_churn: Any = 0.0,
        s_tmin: Any = 0.0,
        s_tmax: Any = float("inf"),
        s_noise: Any = 1.0,
        generator: Any = None,
        return_dict: bool = True,
    ) -> Any: ...

class FlowMatchLCMScheduler(SchedulerMixin):
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
        time_shift_type: str = "exponential",
        scale_factors: Sequence[float] | NDArray[Any] | None = None,
        upscale_mode: str = "bicubic",
    ) -> None: ...
    def set_timesteps(
        self,
        num_inference_steps: int | None = None,
        device: Any = None,
        sigmas: Sequence[float] | NDArray[Any] | None = None,
        mu: float | None = None,
        timesteps: Sequence[float] | NDArray[Any] | None = None,
    ) -> None: ...
    def step(
        self,
        model_output: Tensor | float,
        timestep: int | float | NDArray[Any] | Tensor,
        sample: Tensor | float,
        generator: Any = None,
        return_dict: bool = True,
    ) -> Any: ...

class HeliosDMDScheduler(SchedulerMixin):
    def __init__(
        self,
        num_train_timesteps: int = 1000,
        shift: float = 1.0,
        stages: int = 3,
        stage_range: Sequence[float] | NDArray[Any] = [0, 0.3333333333333333, 0.6666666666666666, 1],
        gamma: float = 0.3333333333333333,
        prediction_type: Any = "flow_prediction",
        use_flow_sigmas: Any = True,
        use_dynamic_shifting: bool = False,
        time_shift_type: str = "linear",
    ) -> None: ...
    def set_timesteps(
        self,
        num_inference_steps: int,
        stage_index: int | None = None,
        device: Any = None,
        sigmas: Any = None,
        mu: float | None = None,
        is_amplify_first_chunk: Any = False,
    ) -> None: ...
    def step(
        self,
        model_output: Tensor | float,
        timestep: int | float | NDArray[Any] | Tensor | None = None,
        sample: Tensor | float | None = None,
        generator: Any = None,
        return_dict: bool = True,
        cur_sampling_step: Any = 0,
        dmd_noisy_tensor: Any = None,
        dmd_sigmas: Any = None,
        dmd_timesteps: Any = None,
        all_timesteps: Any = None,
    ) -> Any: ...

class HeliosScheduler(SchedulerMixin):
    def __init__(
        self,
        num_train_timesteps: int = 1000,
        shift: float = 1.0,
        stages: int = 3,
        stage_range: Sequence[float] | NDArray[Any] = [0, 0.3333333333333333, 0.6666666666666666, 1],
        gamma: float = 0.3333333333333333,
        thresholding: Any = False,
        prediction_type: Any = "flow_prediction",
        solver_order: int = 2,
        predict_x0: Any = True,
        solver_type: str = "bh2",
        lower_order_final: bool = True,
        disable_corrector: list[Any] = [],
        solver_p: Any = None,
        use_flow_sigmas: Any = True,
        scheduler_type: str = "unipc",
        use_dynamic_shifting: bool = False,
        time_shift_type: str = "exponential",
    ) -> None: ...
    def set_timesteps(
        self,
        num_inference_steps: int,
        stage_index: int | None = None,
        device: Any = None,
        sigmas: Any = None,
        mu: float | None = None,
        is_amplify_first_chunk: Any = False,
    ) -> None: ...
    def step(
        self,
        model_output: Tensor | float,
        timestep: int | float | NDArray[Any] | Tensor | None = None,
        sample: Tensor | float | None = None,
        generator: Any = None,
        return_dict: bool = True,
    ) -> Any: ...

class HeunDiscreteScheduler(SchedulerMixin):
    def __init__(
        self,
        num_train_timesteps: int = 1000,
        beta_start: float = 0.00085,
        beta_end: float = 0.012,
        beta_schedule: str = "linear",
        trained_betas: ArrayLike | None = None,
        prediction_type: str = "epsilon",
        use_karras_sigmas: bool | None = False,
        use_exponential_sigmas: bool | None = False,
        use_beta_sigmas: bool | None = False,
        clip_sample: bool = False,
        clip_sample_range: float = 1.0,
        timestep_spacing: str = "linspace",
        steps_offset: int = 0,
    ) -> None: ...
    def set_timesteps(
        self,
        num_inference_steps: int | None = None,
        device: Any = None,
        num_train_timesteps: Any = None,
        timesteps: Sequence[float] | NDArray[Any] | None = None,
    ) -> None: ...
    def step(
        self,
        model_output: Tensor | float,
        timestep: int | float | NDArray[Any] | Tensor,
        sample: Tensor | float,
        return_dict: bool = True,
    ) -> Any: ...

class IPNDMScheduler(SchedulerMixin):
    def __init__(self, num_train_timesteps: int = 1000, trained_betas: ArrayLike | None = None) -> None: ...
    def set_timesteps(self, num_inference_steps: int, device: Any = None) -> None: ...
    def step(
        self,
        model_output: Tensor | float,
        timestep: int | float | NDArray[Any] | Tensor,
        sample: Tensor | float,
        return_dict: bool = True,
    ) -> Any: ...

class KDPM2AncestralDiscreteScheduler(SchedulerMixin):
    def __init__(
        self,
        num_train_timesteps: int = 1000,
        beta_start: float = 0.00085,
        beta_end: float = 0.012,
        beta_schedule: str = "linear",
        trained_betas: ArrayLike | None = None,
        use_karras_sigmas: bool | None = False,
        use_exponential_sigmas: bool | None = False,
        use_beta_sigmas: bool | None = False,
        prediction_type: str = "epsilon",
        timestep_spacing: str = "linspace",
        steps_offset: int = 0,
    ) -> None: ...
    def set_timesteps(
        self, num_inference_steps: int | None, device: Any = None, num_train_timesteps: Any = None
    ) -> None: ...
    def step(
        self,
        model_output: Tensor | float,
        timestep: int | float | NDArray[Any] | Tensor,
        sample: Tensor | float,
        generator: Any = None,
        return_dict: bool = True,
    ) -> Any: ...

class KDPM2DiscreteScheduler(SchedulerMixin):
    def __init__(
        self,
        num_train_timesteps: int = 1000,
        beta_start: float = 0.00085,
        beta_end: float = 0.012,
        beta_schedule: str = "linear",
        trained_betas: ArrayLike | None = None,
        use_karras_sigmas: bool | None = False,
        use_exponential_sigmas: bool | None = False,
        use_beta_sigmas: bool | None = False,
        prediction_type: str = "epsilon",
        timestep_spacing: str = "linspace",
        steps_offset: int = 0,
    ) -> None: ...
    def set_timesteps(
        self, num_inference_steps: int | None, device: Any = None, num_train_timesteps: Any = None
    ) -> None: ...
    def step(
        self,
        model_output: Tensor | float,
        timestep: int | float | NDArray[Any] | Tensor,
        sample: Tensor | float,
        return_dict: bool = True,
    ) -> Any: ...

class KarrasVeScheduler(SchedulerMixin):
    def __init__(
        self,
        sigma_min: float | None = 0.02,
        sigma_max: float | None = 100,
        s_noise: float = 1.007,
        s_churn: float = 80,
        s_min: float = 0.05,
        s_max: float = 50,
    ) -> None: ...
    def set_timesteps(self, num_inference_steps: int | None, device: Any = None) -> None: ...
    def step(
        self, model_output: Tensor | float, sigma_hat: Any, sigma_prev: Any, sample_hat: Any, return_dict: bool = True
    ) -> Any: ...

class LCMScheduler(SchedulerMixin):
    def __init__(
        self,
        num_train_timesteps: int = 1000,
        beta_start: float = 0.00085,
        beta_end: float = 0.012,
        beta_schedule: str = "scaled_linear",
        trained_betas: ArrayLike | None = None,
        original_inference_steps: int = 50,
        clip_sample: bool = False,
        clip_sample_range: float = 1.0,
        set_alpha_to_one: bool = True,
        steps_offset: int = 0,
        prediction_type: str = "epsilon",
        thresholding: bool = False,
        dynamic_thresholding_ratio: float = 0.995,
        sample_max_value: float = 1.0,
        timestep_spacing: str = "leading",
        timestep_scaling: float = 10.0,
        rescale_betas_zero_snr: bool = False,
    ) -> None: ...
    def set_timesteps(
        self,
        num_inference_steps: int | None = None,
        device: Any = None,
        original_inference_steps: int | None = None,
        timesteps: Sequence[int] | NDArray[Any] | None = None,
        strength: float = 1.0,
    ) -> None: ...
    def step(
        self,
        model_output: Tensor | float,
        timestep: int | float | NDArray[Any] | Tensor,
        sample: Tensor | float,
        generator: Any = None,
        return_dict: bool = True,
    ) -> Any: ...

class LMSDiscreteScheduler(SchedulerMixin):
    def __init__(
        self,
        num_train_timesteps: int = 1000,
        beta_start: float = 0.0001,
        beta_end: float = 0.02,
        beta_schedule: str = "linear",
        trained_betas: ArrayLike | None = None,
        use_karras_sigmas: bool | None = False,
        use_exponential_sigmas: bool | None = False,
        use_beta_sigmas: bool | None = False,
        prediction_type: str = "epsilon",
        timestep_spacing: str = "linspace",
        steps_offset: int = 0,
    ) -> None: ...
    def set_timesteps(self, num_inference_steps: int | None, device: Any = None) -> None: ...
    def step(
        self,
        model_output: Tensor | float,
        timestep: int | float | NDArray[Any] | Tensor,
        sample: Tensor | float,
        order: Any = 4,
        return_dict: bool = True,
    ) -> Any: ...

class LTXEulerAncestralRFScheduler(SchedulerMixin):
    def __init__(self, num_train_timesteps: int = 1000, eta: float = 1.0, s_noise: float = 1.0) -> None: ...
    def set_timesteps(
        self,
        num_inference_steps: int | None = None,
        device: Any = None,
        sigmas: Sequence[float] | NDArray[Any] | None = None,
        timesteps: Sequence[float] | NDArray[Any] | None = None,
        mu: float | None = None,
        **kwargs: Any,
    ) -> None: ...
    def step(
        self,
        model_output: Tensor | float,
        timestep: int | float | NDArray[Any] | Tensor,
        sample: Tensor | float,
        generator: Any = None,
        return_dict: bool = True,
    ) -> Any: ...

class LearnedScheduler(SchedulerMixin):
    def __init__(self, folder: str | Path) -> None: ...
    def set_timesteps(self, num_inference_steps: int, device: Any = None, mu: Any = None) -> None: ...
    def step(
        self,
        model_output: Tensor | float,
        timestep: int | float | NDArray[Any] | Tensor,
        sample: Tensor | float,
        return_dict: bool = True,
    ) -> Any: ...

class MiniMaxH3Scheduler(SchedulerMixin):
    def __init__(self, shift: float = 12.0) -> None: ...
    def set_timesteps(
        self,
        num_inference_steps: int | None = None,
        device: Any = None,
        sigmas: Sequence[float] | NDArray[Any] | None = None,
    ) -> None: ...
    def step(
        self,
        model_output: Tensor | float,
        timestep: int | float | NDArray[Any] | Tensor,
        sample: Tensor | float,
        return_dict: bool = True,
    ) -> Any: ...

class PNDMScheduler(SchedulerMixin):
    def __init__(
        self,
        num_train_timesteps: int = 1000,
        beta_start: float = 0.0001,
        beta_end: float = 0.02,
        beta_schedule: str = "linear",
        trained_betas: ArrayLike | None = None,
        skip_prk_steps: bool = False,
        set_alpha_to_one: bool = False,
        prediction_type: str = "epsilon",
        timestep_spacing: str = "leading",
        steps_offset: int = 0,
    ) -> None: ...
    def set_timesteps(self, num_inference_steps: int, device: Any = None) -> None: ...
    def step(
        self,
        model_output: Tensor | float,
        timestep: int | float | NDArray[Any] | Tensor,
        sample: Tensor | float,
        return_dict: bool = True,
    ) -> Any: ...

class PiflowScheduler(SchedulerMixin):
    def __init__(
        self,
        num_train_timesteps: int = 1000,
        shift: float = 5.0,
        n_grid: int = 10,
        eps: float = 1e-06,
        final_step_size_scale: float = 0.5,
        num_policy_substeps: int = 128,
    ) -> None: ...
    def set_timesteps(
        self,
        num_inference_steps: int | None = None,
        device: Any = None,
        sigmas: Sequence[float] | NDArray[Any] | None = None,
        mu: float | None = None,
        timesteps: Sequence[float] | NDArray[Any] | None = None,
    ) -> None: ...
    def step(
        self,
        model_output: Tensor | float,
        timestep: int | float | NDArray[Any] | Tensor,
        sample: Tensor | float,
        return_dict: bool = True,
    ) -> Any: ...

class RFD4ProteinaScheduler(SchedulerMixin):
    def __init__(
        self,
        schedule_mode: str,
        noise_mode: str,
        tsr_k: float,
        tsr_sigma: float,
        tail_steps: int = 10,
        tail_step_multiplier: int = 2,
        t_lim_ode: float = 0.95,
        t_lim_ode_below: float = 0.02,
    ) -> None: ...
    def set_timesteps(self, num_inference_steps: int, device: Any = None, start_time: float | None = None) -> None: ...
    def step(
        self,
        model_output: Tensor | float,
        timestep: int | float | NDArray[Any] | Tensor,
        sample: Tensor | float,
        emit_mask: Any,
        generator: Any = None,
        return_dict: bool = True,
    ) -> Any: ...

class RePaintScheduler(SchedulerMixin):
    def __init__(
        self,
        num_train_timesteps: int = 1000,
        beta_start: float = 0.0001,
        beta_end: float = 0.02,
        beta_schedule: str = "linear",
        eta: float = 0.0,
        trained_betas: ArrayLike | None = None,
        clip_sample: bool = True,
    ) -> None: ...
    def set_timesteps(
        self, num_inference_steps: int, jump_length: int = 10, jump_n_sample: int = 10, device: Any = None
    ) -> None: ...
    def step(
        self,
        model_output: Tensor | float,
        timestep: int | NDArray[Any] | Tensor,
        sample: Tensor | float,
        original_image: Tensor | float,
        mask: Tensor | float,
        generator: Any = None,
        return_dict: bool = True,
    ) -> Any: ...

class SASolverScheduler(SchedulerMixin):
    def __init__(
        self,
        num_train_timesteps: int = 1000,
        beta_start: float = 0.0001,
        beta_end: float = 0.02,
        beta_schedule: str = "linear",
        trained_betas: ArrayLike | None = None,
        predictor_order: int = 2,
        corrector_order: int = 2,
        prediction_type: str = "epsilon",
        tau_func: Callable[..., Any] | None = None,
        thresholding: bool = False,
        dynamic_thresholding_ratio: float = 0.995,
        sample_max_value: float = 1.0,
        algorithm_type: str = "data_prediction",
        lower_order_final: bool = True,
        use_karras_sigmas: bool | None = False,
        use_exponential_sigmas: bool | None = False,
        use_beta_sigmas: bool | None = False,
        use_flow_sigmas: bool = False,
        flow_shift: float = 1.0,
        lambda_min_clipped: float = float("-inf"),
        variance_type: str | None = None,
        timestep_spacing: str = "linspace",
        steps_offset: int = 0,
    ) -> None: ...
    def set_timesteps(self, num_inference_steps: int | None = None, device: Any = None) -> None: ...
    def step(
        self,
        model_output: Tensor | float,
        timestep: int | float | NDArray[Any] | Tensor,
        sample: Tensor | float,
        generator: Any = None,
        return_dict: bool = True,
    ) -> Any: ...

class SCMScheduler(SchedulerMixin):
    def __init__(
        self, num_train_timesteps: int = 1000, prediction_type: str = "trigflow", sigma_data: float = 0.5
    ) -> None: ...
    def set_timesteps(
        self,
        num_inference_steps: int | None,
        timesteps: Sequence[float] | NDArray[Any] | None = None,
        device: Any = None,
        max_timesteps: float = 1.5708,
        intermediate_timesteps: float | None = 1.3,
    ) -> None: ...
    def step(
        self,
        model_output: Tensor | float,
        timestep: int | float | NDArray[Any] | Tensor,
        sample: Tensor | float,
        generator: Any = None,
        return_dict: bool = True,
    ) -> Any: ...

class SchedulerMixin:
    @property
    def native(self) -> Scheduler: ...
    @classmethod
    def from_config(
        cls, config: Mapping[str, Any] | None = None, return_unused_kwargs: bool = False, **kwargs: Any
    ) -> Any: ...
    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: Any = None,
        subfolder: Any = None,
        return_unused_kwargs: Any = False,
        **kwargs: Any,
    ) -> Any: ...
    def __getattr__(self, name: str) -> Any: ...

class ScoreSdeVeScheduler(SchedulerMixin):
    def __init__(
        self,
        num_train_timesteps: int = 2000,
        snr: float = 0.15,
        sigma_min: float | None = 0.01,
        sigma_max: float | None = 1348.0,
        sampling_eps: float = 1e-05,
        correct_steps: int = 1,
    ) -> None: ...
    def set_timesteps(self, num_inference_steps: int, sampling_eps: Any = None, device: Any = None) -> None: ...

class ScoreSdeVpScheduler(SchedulerMixin):
    def __init__(
        self, num_train_timesteps: int = 2000, beta_min: float = 0.1, beta_max: float = 20, sampling_eps: float = 0.001
    ) -> None: ...
    def set_timesteps(self, num_inference_steps: int, device: Any = None) -> None: ...

class TCDScheduler(SchedulerMixin):
    def __init__(
        self,
        num_train_timesteps: int = 1000,
        beta_start: float = 0.00085,
        beta_end: float = 0.012,
        beta_schedule: str = "scaled_linear",
        trained_betas: ArrayLike | None = None,
        original_inference_steps: int = 50,
        clip_sample: bool = False,
        clip_sample_range: float = 1.0,
        set_alpha_to_one: bool = True,
        steps_offset: int = 0,
        prediction_type: str = "epsilon",
        thresholding: bool = False,
        dynamic_thresholding_ratio: float = 0.995,
        sample_max_value: float = 1.0,
        timestep_spacing: str = "leading",
        timestep_scaling: float = 10.0,
        rescale_betas_zero_snr: bool = False,
    ) -> None: ...
    def set_timesteps(
        self,
        num_inference_steps: int | None = None,
        device: Any = None,
        original_inference_steps: int | None = None,
        timesteps: Sequence[int] | NDArray[Any] | None = None,
        strength: float = 1.0,
    ) -> None: ...
    def step(
        self,
        model_output: Tensor | float,
        timestep: int | float | NDArray[Any] | Tensor,
        sample: Tensor | float,
        eta: Any = 0.3,
        generator: Any = None,
        return_dict: bool = True,
    ) -> Any: ...

class TokenMixin:
    @property
    def native(self) -> TokenScheduler: ...
    @classmethod
    def from_config(
        cls, config: Mapping[str, Any] | None = None, return_unused_kwargs: bool = False, **kwargs: Any
    ) -> Any: ...
    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: Any = None,
        subfolder: Any = None,
        return_unused_kwargs: Any = False,
        **kwargs: Any,
    ) -> Any: ...
    def __getattr__(self, name: str) -> Any: ...

class UnCLIPScheduler(SchedulerMixin):
    def __init__(
        self,
        num_train_timesteps: int = 1000,
        variance_type: str = "fixed_small_log",
        clip_sample: bool = True,
        clip_sample_range: float = 1.0,
        prediction_type: str = "epsilon",
        beta_schedule: str = "squaredcos_cap_v2",
    ) -> None: ...
    def set_timesteps(self, num_inference_steps: int, device: Any = None) -> None: ...
    def step(
        self,
        model_output: Tensor | float,
        timestep: int | NDArray[Any] | Tensor,
        sample: Tensor | float,
        prev_timestep: Any = None,
        generator: Any = None,
        return_dict: bool = True,
    ) -> Any: ...

class UniPCMultistepScheduler(SchedulerMixin):
    def __init__(
        self,
        num_train_timesteps: int = 1000,
        beta_start: float = 0.0001,
        beta_end: float = 0.02,
        beta_schedule: str = "linear",
        trained_betas: ArrayLike | None = None,
        solver_order: int = 2,
        prediction_type: str = "epsilon",
        thresholding: bool = False,
        dynamic_thresholding_ratio: float = 0.995,
        sample_max_value: float = 1.0,
        predict_x0: bool = True,
        solver_type: str = "bh2",
        lower_order_final: bool = True,
        disable_corrector: list[Any] = [],
        solver_p: Scheduler | None = None,
        use_karras_sigmas: bool | None = False,
        use_exponential_sigmas: bool | None = False,
        use_beta_sigmas: bool | None = False,
        use_flow_sigmas: bool = False,
        flow_shift: float = 1.0,
        timestep_spacing: str = "linspace",
        steps_offset: int = 0,
        final_sigmas_type: str = "zero",
        rescale_betas_zero_snr: bool = False,
        use_dynamic_shifting: bool = False,
        time_shift_type: str = "exponential",
        sigma_min: float | None = None,
        sigma_max: float | None = None,
        shift_terminal: float | None = None,
    ) -> None: ...
    def set_timesteps(
        self,
        num_inference_steps: int | None = None,
        device: Any = None,
        sigmas: Sequence[float] | NDArray[Any] | None = None,
        mu: float | None = None,
    ) -> None: ...
    def step(
        self,
        model_output: Tensor | float,
        timestep: int | float | NDArray[Any] | Tensor,
        sample: Tensor | float,
        return_dict: bool = True,
    ) -> Any: ...

class VQDiffusionScheduler(TokenMixin):
    num_embed: Any
    mask_class: Any
    timesteps: Any
    log_at: Any
    log_bt: Any
    log_ct: Any
    log_cumprod_at: Any
    log_cumprod_bt: Any
    log_cumprod_ct: Any
    def __init__(
        self,
        num_vec_classes: Any,
        num_train_timesteps: Any = 100,
        alpha_cum_start: Any = 0.99999,
        alpha_cum_end: Any = 9e-06,
        gamma_cum_start: Any = 9e-06,
        gamma_cum_end: Any = 0.99999,
    ) -> None: ...
    def set_timesteps(self, num_inference_steps: Any, device: Any = None) -> None: ...
    def step(
        self, model_output: Any, timestep: Any, sample: Any, generator: Any = None, return_dict: Any = True
    ) -> Any: ...
    def q_posterior(self, log_p_x_0: Any, x_t: Any, t: Any) -> Any: ...
    def log_Q_t_transitioning_to_known_class(
        self, *, t: Any, x_t: Any, log_onehot_x_t: Any, cumulative: Any
    ) -> Any: ...
    def apply_cumulative_transitions(self, q: Any, t: Any) -> Any: ...
    arguments: Any

AysSchedules: dict[str, Any]
CLASSES: list[str]
TOKEN_CLASSES: tuple[str, ...]
