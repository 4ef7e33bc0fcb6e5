# Made by scripts/make_stubs.py from signatures and docstrings: run it again, do not edit.
from typing import Any

import mindspore
from mindspore import Tensor, nn

from mindscience_diffuser.noise import NoiseLaw
from mindscience_diffuser.schedulers import DDIMScheduler, DDPMScheduler, DiffusionScheduler

class DDIMPipeline(DiffusionPipeline):
    def __call__(
        self,
        condition: Tensor | float | None = None,
        eta: float = 0.0,
        use_clipped_model_output: bool = False,
        seed: int | None = None,
        progress: bool = True,
    ) -> Tensor: ...
    def __init__(
        self,
        model: nn.Cell,
        scheduler: DDIMScheduler,
        batch_size: int,
        seq_len: int,
        num_inference_steps: int = 1000,
        compute_dtype: Any = mindspore.float32,
        noise_law: NoiseLaw | None = None,
    ) -> None: ...

class DDPMPipeline(DiffusionPipeline):
    def __init__(
        self,
        model: nn.Cell,
        scheduler: DDPMScheduler,
        batch_size: int,
        seq_len: int,
        num_inference_steps: int = 1000,
        compute_dtype: Any = mindspore.float32,
        noise_law: NoiseLaw | None = None,
    ) -> None: ...

class DiffusionPipeline:
    batch_size: Any
    seq_len: Any
    model: Any
    scheduler: Any
    compute_dtype: Any
    noise_law: Any
    def __init__(
        self,
        model: nn.Cell,
        scheduler: DiffusionScheduler,
        batch_size: int,
        seq_len: int,
        num_inference_steps: int = 1000,
        compute_dtype: Any = mindspore.float32,
        noise_law: NoiseLaw | None = None,
    ) -> None: ...
    scheduler_type: Any
    def __call__(
        self, condition: Tensor | float | None = None, seed: int | None = None, progress: bool = True
    ) -> Tensor: ...
