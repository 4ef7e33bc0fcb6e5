"""Runs of the kind ``edm``: a network inside a preconditioned denoiser (Karras et al., 2022, arXiv:2206.00364)."""

import numpy as np

from mindscience_diffuser.noise import log_normal_sigmas, log_uniform_sigmas
from mindscience_diffuser.runs.errors import ConfigError
from mindscience_diffuser.runs.evaluation.level_losses import LevelBins
from mindscience_diffuser.runs.kinds.frames import per_frame
from mindscience_diffuser.runs.kinds.kind import Kind
from mindscience_diffuser.runs.kinds.regression import has_regression, regression_checksum, trained_regression
from mindscience_diffuser.runs.storage.weights import facts_of, find_weights, own_weights
from mindscience_diffuser.sampling import ResidualSampler
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

    def objective(self, config):
        """Returns the Objective, see :meth:`Kind.objective`; beside the weights the regression is noted."""
        if has_regression(config) and config.training.condition_dropout:
            raise ConfigError(
                f"'training.condition_dropout' is {config.training.condition_dropout}, but a regression needs the "
                "conditions of each sample: set it to 0",
                "training.condition_dropout",
            )
        if has_regression(config) and config.patches is not None:
            raise ConfigError(
                "'patches' must not be set together with 'regression.weights': a regression predicts whole samples",
                "patches",
            )
        objective = super().objective(config)
        noted = {"regression": regression_checksum(config)} if has_regression(config) else {}
        return objective._replace(facts={**objective.facts, **noted})

    def loss(self, config, data, model, scheduler):
        """Returns the losses of an EDMTrainer."""
        check_channels(config, data, scheduler)
        regression = trained_regression(config, data) if has_regression(config) else None
        return EDMTrainer(model, scheduler.preconditioning, regression=regression).get_losses

    def model_conditions(self, config, samples, conditions):
        """Returns the conditions, and what stands for the prediction of the regression."""
        return (*conditions, np.zeros(samples.shape, np.float32)) if has_regression(config) else conditions

    def sampler(self, config, data, scheduler, model, method):
        """Returns a Sampler of the model, on top of the regression where there is one."""
        check_channels(config, data, scheduler)
        sampler = super().sampler(config, data, scheduler, model, method)
        if not has_regression(config):
            return sampler
        trained_beside = facts_of(find_weights(config.weights, own_weights(config))).get("regression")
        if trained_beside != regression_checksum(config):
            raise ConfigError(
                f"'regression.weights' is '{config.regression.weights}', which is not the regression whose residual "
                "the model has learned: name that one, or train again with another 'output'",
                "regression.weights",
            )
        return ResidualSampler(sampler, trained_regression(config, data, config.sampling.compute_dtype))

    def exported_values(self, config):
        """Returns those of every kind, and the checksum of the regression."""
        regression = {"regression.weights": regression_checksum(config)} if has_regression(config) else {}
        return {**super().exported_values(config), **regression}

    def check_guidance(self, config):
        """Raises ConfigError if the guidance contradicts itself, or there is one beside a regression."""
        super().check_guidance(config)
        if has_regression(config) and (config.guidance is not None or config.sampling.guidance_scale != 1):
            key = "sampling.guidance_scale" if config.guidance is None else "guidance"
            raise ConfigError(
                f"'{key}' must not be set together with 'regression.weights': what the sampler draws is what the "
                "regression leaves, which no guidance knows",
                key,
            )

    def levels(self, config, data, scheduler):
        """Returns the draw of levels, log-normal or log-uniform."""
        training, (low, high) = config.training, level_range(config, scheduler)

        def draw(seed, step, batch_size):
            generator = np.random.default_rng((seed, step))
            if training.sigma_density == "log_uniform":
                levels = log_uniform_sigmas(generator, batch_size, low, high)
            else:
                levels = log_normal_sigmas(generator, batch_size, training.sigma_loc, training.sigma_scale, low, high)
            return levels.astype(np.float32)

        return per_frame(config, data, draw)

    def training_noise(self, scheduler):
        """Returns the draw of noise of the standard deviation of each level."""
        return scheduler.preconditioning.training_noise

    def level_bins(self, config, scheduler):
        """Returns bins of ln(sigma) between the lowest and the highest level of the training."""
        return LevelBins.between("sigma", *level_range(config, scheduler), logarithmic=True)


def check_channels(config, data, scheduler):
    """Raises ConfigError if the scheduler has standard deviations for another number of channels than the data have."""
    sigma_data, channels = scheduler.preconditioning.sigma_data, data.sample_shape[0]
    if not isinstance(sigma_data, float) and len(sigma_data) != channels:
        place = config.scheduler.place
        raise ConfigError(
            f"'{place}.sigma_data' has {len(sigma_data)} numbers, but the samples have {channels} channels on their "
            "first axis: give one number for each channel, or one for all",
            f"{place}.sigma_data",
        )


def level_range(config, scheduler):
    """Returns the lowest and the highest noise level of the training, those of the scheduler where none is set."""
    training, settings = config.training, scheduler.config
    low = settings["sigma_min"] if training.sigma_min is None else training.sigma_min
    high = settings["sigma_max"] if training.sigma_max is None else training.sigma_max
    if low >= high:
        raise ConfigError(
            f"'training.sigma_min' must be below 'training.sigma_max', but is {low} and sigma_max is {high}",
            "training.sigma_min",
        )
    return low, high
