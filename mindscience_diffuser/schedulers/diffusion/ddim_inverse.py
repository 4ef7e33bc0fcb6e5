"""DDIM inversion: from a clean sample to the noise that DDIM draws it from (Song et al., 2021, section 4.3)."""

from mindscience_diffuser.schedulers.base.arguments import LINEAR_BETAS, takes_arguments
from mindscience_diffuser.schedulers.diffusion.ddim import DDIMBase


@takes_arguments(
    **LINEAR_BETAS,
    clip_sample=True,
    set_alpha_to_one=True,
    steps_offset=0,
    prediction_type="epsilon",
    clip_sample_range=1.0,
    timestep_spacing="leading",
    rescale_betas_zero_snr=False,
)
class DDIMInverseScheduler(DDIMBase):
    """The deterministic steps of DDIM backwards in time: ``timesteps`` ascend.

    A step leads from the level of the timestep before t in the trajectory, the first one from the clean sample (or
    without `set_alpha_to_one` from the level of timestep 0), to that of t, the timestep that the model is told:
    ``x_next = alpha_t * x0 + sigma_t * eps``, arXiv:2010.02502, eq. (13) reversed.

    Examples:
        >>> scheduler = DDIMInverseScheduler(clip_sample=False)
        >>> scheduler.set_timesteps(50)
        >>> for t in scheduler.timesteps:
        ...     x = scheduler.step(model(x, t), x, t)
    """

    inverts = True

    def _configure(self):
        if self.settings.prediction_type == "sample" and self.settings.set_alpha_to_one:
            raise ValueError(
                "prediction_type='sample' says nothing about the noise of a clean sample, from which the first step "
                "starts with set_alpha_to_one=True: use set_alpha_to_one=False."
            )
        super()._configure()

    def set_timesteps(self, num_inference_steps):
        """Chooses the timesteps of the following trajectory; takes effect in compiled graphs too.

        Args:
            num_inference_steps (int): Number n of steps, in [1, num_train_timesteps].

        Raises:
            TypeError: If it is no integer.
            ValueError: If it is out of range.
        """
        super().set_timesteps(num_inference_steps)

    def step_levels(self):
        """Returns alpha, sigma before and after a step to each training timestep."""
        return (*self.level_at(self.following(self.training_timesteps)), self._alphas, self._sigmas)

    def levels_of_calls(self):
        """Returns alpha and sigma of the sample at each row of the plan, those of the timestep before."""
        return self.level_at(self.following(self.timesteps))

    def _schedule(self, timesteps):
        super()._schedule(timesteps[::-1])

    def replan(self):
        """Builds the plan of the present timesteps anew."""
        super()._schedule(self.timesteps)

    def _check_prediction_defined(self, timesteps):
        """Every prediction is defined: no step starts from pure noise."""
