"""Sampling pipelines with the interface of `mindscience.diffuser`."""

from mindspore import Tensor
from mindspore import dtype as mstype

from mindscience_diffuser.inputs import check_is_tensor, check_noise_law, check_scheduler
from mindscience_diffuser.noise import NoiseSource
from mindscience_diffuser.recent import RecentlyUsed
from mindscience_diffuser.sampling import Sampler
from mindscience_diffuser.schedulers import DDIMScheduler, DDPMScheduler, DiffusionScheduler
from mindscience_diffuser.step import COMPUTE_DTYPES
from mindscience_diffuser.validation import check_integer


class DiffusionPipeline:
    """Generation with any scheduler of a diffusion process, with the defaults of its `step`.

    Args:
        model (nn.Cell): Called as ``model(x, timestep)`` or ``model(x, timestep, condition)``; has `in_channels`.
        scheduler (DiffusionScheduler): Such as a DDPMScheduler; its timesteps are set by the pipeline.
        batch_size (int): Number B of samples.
        seq_len (int): Length L of a sample.
        num_inference_steps (int): Number of steps, at most ``scheduler.num_train_timesteps``. Default: ``1000``.
        compute_dtype (mindspore.dtype): Dtype of the noise and the result, float32 or float16.
            Default: ``mindspore.float32``.
        noise_law (NoiseLaw, optional): Law of the noise. Default: ``None``, white noise.

    Raises:
        TypeError: If `scheduler` is no DiffusionScheduler that can step.
        ValueError: If `num_inference_steps` is greater than ``scheduler.num_train_timesteps``.
    """

    scheduler_type = DiffusionScheduler

    def __init__(
        self,
        model,
        scheduler,
        batch_size,
        seq_len,
        num_inference_steps=1000,
        compute_dtype=mstype.float32,
        noise_law=None,
    ):
        check_scheduler(scheduler, self.scheduler_type)
        if not hasattr(scheduler, "step"):
            raise TypeError(
                f"'scheduler' is a {type(scheduler).__name__}, which describes a noise process and has no steps; give "
                "a DDPMScheduler or a DDIMScheduler."
            )
        self.batch_size = check_integer("batch_size", batch_size, low=1)
        self.seq_len = check_integer("seq_len", seq_len, low=1)
        if compute_dtype not in COMPUTE_DTYPES:
            raise ValueError(
                f"'compute_dtype' must be mindspore.float32 or mindspore.float16, but is {compute_dtype!r}."
            )
        scheduler.set_timesteps(num_inference_steps)
        self.model = model
        self.scheduler = scheduler
        self.compute_dtype = compute_dtype
        self.noise_law = check_noise_law(noise_law)
        self._samplers = RecentlyUsed()

    def __call__(self, condition=None, seed=None, progress=True):
        """Generates samples.

        Args:
            condition (Tensor, optional): Condition of the model, first axis B; flattened to ``(B, C_cond)``.
            seed (int, optional): Makes the samples repeatable: sample k depends on (seed, k) alone.
            progress (bool): Whether to show a progress bar. Default: ``True``.

        Returns:
            Tensor, shape ``(B, L, C)``, in `compute_dtype`.
        """
        return self._generate(condition, seed, progress)

    def _generate(self, condition, seed, progress, **step_options):
        key = (self.model, self.scheduler, self.noise_law, *step_options.values())
        options = {"method": "step", "noise_law": self.noise_law, **step_options}
        sampler = self._samplers.made(key, lambda: Sampler(self.model, self.scheduler, **options))
        conditions = ()
        if condition is not None:
            conditions = (self._checked_condition(condition),)
        source = None if seed is None else NoiseSource(seed, self.batch_size)
        shape = (self.batch_size, self.seq_len, self.model.in_channels)
        noise = Tensor(self.noise_law.draw(shape, source), self.compute_dtype)
        sample = sampler(noise, *conditions, generator=source, progress=progress)
        return sample.astype(self.compute_dtype)

    def _checked_condition(self, condition):
        check_is_tensor("condition", condition)
        if condition.ndim == 0 or condition.shape[0] != self.batch_size:
            raise ValueError(
                f"'condition' has shape {condition.shape}, but its first axis must be batch_size={self.batch_size}."
            )
        return condition.reshape(self.batch_size, -1)


class DDPMPipeline(DiffusionPipeline):
    """Generation with DDPM.

    Args:
        model (nn.Cell): Called as ``model(x, timestep)`` or ``model(x, timestep, condition)``; has `in_channels`.
        scheduler (DDPMScheduler): Its timesteps are set by the pipeline.
        batch_size (int): Number B of samples.
        seq_len (int): Length L of a sample.
        num_inference_steps (int): Number of steps, at most ``scheduler.num_train_timesteps``. Default: ``1000``.
        compute_dtype (mindspore.dtype): Dtype of the noise and the result, float32 or float16.
            Default: ``mindspore.float32``.
        noise_law (NoiseLaw, optional): Law of the noise. Default: ``None``, white noise.

    Raises:
        TypeError: If `scheduler` is not a DDPMScheduler.
        ValueError: If `num_inference_steps` is greater than ``scheduler.num_train_timesteps``.
    """

    scheduler_type = DDPMScheduler


class DDIMPipeline(DiffusionPipeline):
    """Generation with DDIM.

    Args:
        model (nn.Cell): Called as ``model(x, timestep)`` or ``model(x, timestep, condition)``; has `in_channels`.
        scheduler (DDIMScheduler): Its timesteps are set by the pipeline.
        batch_size (int): Number B of samples.
        seq_len (int): Length L of a sample.
        num_inference_steps (int): Number of steps, at most ``scheduler.num_train_timesteps``. Default: ``1000``.
        compute_dtype (mindspore.dtype): Dtype of the noise and the result, float32 or float16.
            Default: ``mindspore.float32``.
        noise_law (NoiseLaw, optional): Law of the noise. Default: ``None``, white noise.

    Raises:
        TypeError: If `scheduler` is not a DDIMScheduler.
        ValueError: If `num_inference_steps` is greater than ``scheduler.num_train_timesteps``.
    """

    scheduler_type = DDIMScheduler

    def __call__(self, condition=None, eta=0.0, use_clipped_model_output=False, seed=None, progress=True):
        """Generates samples.

        Args:
            condition (Tensor, optional): Condition of the model, first axis B; flattened to ``(B, C_cond)``.
            eta (float): Weight of the fresh noise, in [0, 1]. Default: ``0.0``.
            use_clipped_model_output (bool): Whether eps is derived again from the clipped clean sample.
                Default: ``False``.
            seed (int, optional): Makes the samples repeatable: sample k depends on (seed, k) alone.
            progress (bool): Whether to show a progress bar. Default: ``True``.

        Returns:
            Tensor, shape ``(B, L, C)``, in `compute_dtype`.

        Raises:
            ValueError: If `eta` is outside [0, 1].
        """
        return self._generate(condition, seed, progress, eta=eta, use_clipped_model_output=use_clipped_model_output)
