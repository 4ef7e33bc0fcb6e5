"""The schedulers of CogVideoX (Yang et al., 2024, arXiv:2408.06072): DDIM and DPM-Solver++ on a shifted SNR."""

import numpy as np

from mindscience_diffuser.noise import alphas_cumprod_from_betas, clean_sample_weights, shift_snr, zero_terminal_snr
from mindscience_diffuser.plan import StepPlan, linear_combination
from mindscience_diffuser.schedulers.base.arguments import takes_arguments
from mindscience_diffuser.schedulers.base.config import trained_betas
from mindscience_diffuser.schedulers.base.trajectory import TrajectoryScheduler
from mindscience_diffuser.schedulers.diffusion.ddim import DDIMBase
from mindscience_diffuser.schedulers.diffusion.diffusion import DiffusionScheduler

COGVIDEOX_ARGUMENTS = {
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.0120,
    "beta_schedule": "scaled_linear",
    "trained_betas": None,
    "clip_sample": True,
    "set_alpha_to_one": True,
    "steps_offset": 0,
    "prediction_type": "epsilon",
    "clip_sample_range": 1.0,
    "sample_max_value": 1.0,
    "timestep_spacing": "leading",
    "rescale_betas_zero_snr": False,
    "snr_shift_scale": 3.0,
}


class CogVideoXProcess(DiffusionScheduler):
    """The noise process: the SNR of the betas is shifted, then rescaled where its end shall be pure noise.

    The clean sample is never limited: `clip_sample` and the ranges are kept in the configuration only.
    """

    limits = False

    def _noise_process(self):
        betas = trained_betas(self.settings)
        alpha_bar = shift_snr(alphas_cumprod_from_betas(betas), self.settings.snr_shift_scale)
        return betas, zero_terminal_snr(alpha_bar) if self.settings.rescale_betas_zero_snr else alpha_bar


@takes_arguments(**COGVIDEOX_ARGUMENTS)
class CogVideoXDDIMScheduler(CogVideoXProcess, DDIMBase):
    """Deterministic DDIM: ``x_next = alpha_next * x0 + sigma_next * eps`` (arXiv:2010.02502, eq. (13)).

    The clean sample is never limited: `clip_sample` and the ranges are kept in the configuration only.

    Examples:
        >>> scheduler = CogVideoXDDIMScheduler(prediction_type="v_prediction", rescale_betas_zero_snr=True)
        >>> scheduler.set_timesteps(50)
        >>> for t in scheduler.timesteps:
        ...     x = scheduler.step(model(x, t), x, t)
    """


@takes_arguments(**COGVIDEOX_ARGUMENTS)
class CogVideoXDPMScheduler(TrajectoryScheduler, CogVideoXProcess):
    """SDE-DPM-Solver++(2M) (Lu et al., 2022, arXiv:2211.01095, section 5).

    With lambda = log(alpha / sigma), h = lambda_next - lambda, g = 1 - exp(-2h), r = h_before / h and x0_before from
    the last step, ``D = x0 + (x0 - x0_before) / (2 * r)`` and
    ``x_next = sigma_next / sigma * exp(-h) * x + alpha_next * g * D + sigma_next * sqrt(g) * z``. The first step, and
    the last one to the clean sample, take D = x0.

    The clean sample is never limited: `clip_sample` and the ranges are kept in the configuration only.

    Examples:
        >>> scheduler = CogVideoXDPMScheduler(prediction_type="v_prediction", rescale_betas_zero_snr=True)
        >>> scheduler.set_timesteps(50)
        >>> for t in scheduler.timesteps:
        ...     x = scheduler.step(model(x, t), x, t, generator=0)
    """

    has_warmup = True

    def _configure(self):
        super()._configure()
        self._schedule(self.timesteps, scheduled=False)

    def trajectory_plan(self, begin=0):
        """Returns the plan of the chosen timesteps; the trajectory starts at row `begin`."""
        return self.plan_of(self.timesteps, begin)

    def plan_of(self, timesteps, begin=0):
        """Returns the plan of steps from these timesteps; the trajectory starts at row `begin`."""
        following = self.following(timesteps)
        alpha, sigma = self._alphas[timesteps], self._sigmas[timesteps]
        alpha_next, sigma_next = self.level_at(following)
        decay = alpha * sigma_next / (alpha_next * sigma)  # exp(-h)
        second_order = (np.arange(len(timesteps)) > begin) & (following >= 0)
        with np.errstate(divide="ignore", invalid="ignore"):  # The log-SNR is infinite at both ends.
            before = np.append(np.nan, np.diff(np.log(alpha / sigma)))
            extrapolation = np.where(second_order, -np.log(decay) / (2 * before), 0.0)
        gain = 1 - decay**2
        denoised = {"x0": 1 + extrapolation, "denoised": -extrapolation}
        moved = {"sample": sigma_next / sigma * decay, "noise": sigma_next * np.sqrt(gain)}
        return StepPlan(
            timesteps,
            clean_sample_weights(self.prediction_type, alpha, sigma),
            {"sample": linear_combination((1.0, moved), (alpha_next * gain, denoised)), "denoised": {"x0": 1.0}},
            needs_fp16_gain=self.prediction_type == "epsilon",
            next_level=(alpha_next, sigma_next),
        )
