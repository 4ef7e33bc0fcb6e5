"""Runs of the kind ``edm``: a network inside a preconditioned denoiser (Karras et al., 2022, arXiv:2206.00364)."""

import numpy as np

from mindscience_diffuser.noise import log_normal_sigmas, log_uniform_sigmas
from mindscience_diffuser.runs.errors import ConfigError
from mindscience_diffuser.runs.kinds.kind import Kind
from mindscience_diffuser.training import EDMTrainer


class EDM(Kind):
    """Any scheduler with the scalings of a denoiser around the model will do, such as EDMEulerScheduler."""

    def unsuited(self, scheduler):
        """Returns why the scheduler has no such scalings, or None."""
        if getattr(scheduler, "preconditioning", None) is None:
            return "it has no scalings of a denoiser, as EDMEulerScheduler and EDMHeunScheduler have them"
        if scheduler.prediction_type != "epsilon":
            return (
                f"its prediction_type is {scheduler.prediction_type!r}, and must be 'epsilon', which names the network "
                "inside the denoiser"
            )
        return "it leads from samples to noise" if scheduler.inverts else None

    def loss(self, config, model, scheduler):
        """Returns the loss of an EDMTrainer."""
        return EDMTrainer(model, scheduler.preconditioning).get_loss

    def levels(self, config, data, scheduler):
        """Returns the draw of levels, log-normal or log-uniform."""
        training, settings = config.training, scheduler.config
        low = settings["sigma_min"] if training.sigma_min is None else training.sigma_min
        high = settings["sigma_max"] if training.sigma_max is None else training.sigma_max
        if low >= high:
            raise ConfigError(
                f"'training.sigma_min' must be below 'training.sigma_max', but is {low} and sigma_max is {high}",
                "training.sigma_min",
            )

        def draw(seed, step, batch_size):
            generator = np.random.default_rng((seed, step))
            if training.sigma_density == "log_uniform":
                levels = log_uniform_sigmas(generator, batch_size, low, high)
            else:
                levels = log_normal_sigmas(generator, batch_size, training.sigma_loc, training.sigma_scale, low, high)
            return levels.astype(np.float32)

        return draw

    def training_noise(self, scheduler):
        """Returns the draw of noise of the standard deviation of each level."""
        return scheduler.preconditioning.training_noise
