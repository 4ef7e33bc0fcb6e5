"""EDM: a denoiser of data with additive noise, preconditioned (Karras et al., 2022, arXiv:2206.00364)."""

import numpy as np

from mindscience_diffuser.noise import SIGMA_SCHEDULES, EDMPreconditioning
from mindscience_diffuser.plan import Limit
from mindscience_diffuser.schedulers.base.config import configured_limit
from mindscience_diffuser.schedulers.base.sigmas import SigmaScheduler, check_sigma_range, step_levels
from mindscience_diffuser.validation import check_integer, check_one_given


class EDMScheduler(SigmaScheduler):
    """Base of the schedulers of the process x = x0 + sigma * noise, whose levels need no training timesteps.

    The model is a network F inside the denoiser ``D(x; sigma) = c_skip * x + c_out * F(c_in * x; c_noise)``, eq. (7),
    or with ``prediction_type="sample"`` the denoiser D(x; sigma) itself. ``timesteps`` are what it is told: c_noise or
    sigma.
    """

    def _configure(self):
        config = self.settings
        self.num_train_timesteps = config.num_train_timesteps
        self.prediction_type = config.prediction_type
        check_sigma_range(config)
        self.quantize = config.get("quantize", False)
        self.preconditioning = EDMPreconditioning(
            config.sigma_data,
            config.get("sigma_offset_noise", 0.0),
            self.quantize,
            config.get("noise_variance", 1.0),
        )
        if self.prediction_type != "sample" and not isinstance(config.sigma_data, float):
            self.channels = len(config.sigma_data)
        self.limit = Limit("pixels", 1.0) if self.quantize else configured_limit(config)
        # Before the first call of set_timesteps the schedule is that of training.
        self._take_levels(self._spaced(self.num_train_timesteps), scheduled=False)

    @property
    def levels(self):
        """Weights alpha, sigma of x = alpha * x0 + sigma * noise, at each row and at the end, each ``(n + 1,)``."""
        return np.ones_like(self.sigmas), self.sigmas

    @property
    def init_noise_sigma(self):
        """Standard deviation of the noise that a trajectory starts from: sqrt(sigma_max^2 + 1), as in diffusers."""
        return float(np.hypot(self.settings.sigma_max, 1))

    def set_timesteps(self, num_inference_steps=None, sigmas=None):
        """Chooses the levels of the following trajectory; takes effect in compiled graphs too.

        One of the two must be given.

        Args:
            num_inference_steps (int, optional): Number n of steps, in [1, T].
            sigmas (Sequence[float], optional): Levels to visit, descending, with that at which the trajectory ends,
                ``(n + 1,)``.

        Raises:
            TypeError: If none of them is given, or one has the wrong type.
            ValueError: If both are given, or a value is out of range or not descending.
        """
        check_one_given("set_timesteps", num_inference_steps=num_inference_steps, sigmas=sigmas)
        if sigmas is None:
            levels = self._spaced(check_integer("num_inference_steps", num_inference_steps, 1, len(self)))
        else:
            levels = step_levels(sigmas)
        self.num_inference_steps = len(levels) - 1
        self._take_levels(levels)

    def model_timestep(self, sigma):
        """Returns what the model is told at levels: c_noise, or sigma where it is the denoiser itself."""
        told = sigma if self.prediction_type == "sample" else self.preconditioning.scalings(sigma).c_noise
        return np.asarray(told, np.float32)

    def input_scale(self, sigma):
        """Returns what scales the sample for the model, or None for the denoiser itself, which scales by itself."""
        return None if self.prediction_type == "sample" else self.preconditioning.scalings(sigma).c_in

    def clean_sample(self, sigma):
        """Returns the denoised sample as weights of sample and output at levels."""
        if self.prediction_type == "sample":
            return {"output": 1.0}
        scalings = self.preconditioning.scalings(sigma)
        sign = -1 if self.prediction_type == "v_prediction" else 1
        return {"sample": scalings.c_skip, "output": sign * scalings.c_out}

    def _spaced(self, count):
        """Returns `count` levels as the configuration spaces them, and the level of the end."""
        config = self.settings
        bend = {"rho": config.rho} if config.sigma_schedule == "karras" else {}
        sigmas = SIGMA_SCHEDULES[config.sigma_schedule](config.sigma_max, config.sigma_min, count, **bend)
        return np.append(sigmas, config.sigma_min if config.get("final_sigmas_type") == "sigma_min" else 0.0)

    def _take_levels(self, sigmas, scheduled=True):
        """Sets ``sigmas``, the levels of the steps and of the end, and the schedule that follows from them."""
        self.sigmas = sigmas
        self._schedule(self.model_timestep(self.call_levels()), scheduled)

    def call_levels(self):
        """Returns the level that the model is called at in each row of the plan."""
        return self.sigmas[:-1]
