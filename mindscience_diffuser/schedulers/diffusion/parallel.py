"""DDIM and DDPM for parallel sampling: ParaDiGMS (Shih et al., 2023, arXiv:2305.16317)."""

from mindspore import ops

from mindscience_diffuser.schedulers.base.arguments import LINEAR_BETAS, takes_arguments
from mindscience_diffuser.schedulers.diffusion.ddim import DDIMScheduler
from mindscience_diffuser.schedulers.diffusion.ddpm import DDPMScheduler


@takes_arguments(
    **LINEAR_BETAS,
    clip_sample=True,
    set_alpha_to_one=True,
    steps_offset=0,
    prediction_type="epsilon",
    thresholding=False,
    dynamic_thresholding_ratio=0.995,
    clip_sample_range=1.0,
    sample_max_value=1.0,
    timestep_spacing="leading",
    rescale_betas_zero_snr=False,
)
class DDIMParallelScheduler(DDIMScheduler):
    """:class:`DDIMScheduler` with the drift of many timesteps at once, of which a Picard iteration is made."""

    def batch_step_no_noise(self, model_output, sample, timesteps, eta=0.0, use_clipped_model_output=False):
        """Returns what `step` returns for one timestep for each sample, ``(B,)``, without its fresh noise."""
        zeros = ops.zeros_like(sample)
        return self.step(model_output, sample, timesteps, eta, use_clipped_model_output, noise=zeros)


@takes_arguments(
    **LINEAR_BETAS,
    variance_type="fixed_small",
    clip_sample=True,
    prediction_type="epsilon",
    thresholding=False,
    dynamic_thresholding_ratio=0.995,
    clip_sample_range=1.0,
    sample_max_value=1.0,
    timestep_spacing="leading",
    steps_offset=0,
    rescale_betas_zero_snr=False,
)
class DDPMParallelScheduler(DDPMScheduler):
    """:class:`DDPMScheduler` with the drift of many timesteps at once, of which a Picard iteration is made."""

    def batch_step_no_noise(self, model_output, sample, timesteps):
        """Returns what `step` returns for one timestep for each sample, ``(B,)``, without its fresh noise."""
        zeros = ops.zeros_like(sample)
        return self.step(model_output, sample, timesteps, zeros if self.learned else None, noise=zeros)
