"""Runs of the kind ``pyramid_flow``: a class-conditional flow of digits over growing resolutions."""

import functools

from mindscience_diffuser.runs.data.batches import TrainingBatches
from mindscience_diffuser.runs.errors import ConfigError
from mindscience_diffuser.runs.kinds.build import (
    build_data,
    build_model,
    build_scheduler,
    check_measuring,
    check_sampling,
    setting_up,
)
from mindscience_diffuser.runs.kinds.objective import Objective
from mindscience_diffuser.runs.kinds.present import present_digits
from mindscience_diffuser.training import PyramidFlowTrainer, training_timesteps


def objective(config):
    """Returns the :class:`~mindscience_diffuser.runs.kinds.objective.Objective` of a ``pyramid_flow`` run."""
    data = build_data(config)
    if data.patch != (1, 1):
        raise ConfigError(
            "'data.patch_height' and 'data.patch_width' must be 1 in a run of the kind 'pyramid_flow': the model cuts "
            f"the images into patches itself, but they are {data.patch[0]} and {data.patch[1]}",
            "data.patch_height" if data.patch[0] != 1 else "data.patch_width",
        )
    scheduler = build_scheduler(config)
    check_sampling(config, scheduler)
    check_measuring(config, data)
    model = build_model(config, data)
    training = config.training
    with setting_up(config):
        trainer = PyramidFlowTrainer(model, scheduler, training.sample_ratios, training.loss_type)
    if training.batch_size % trainer.bounds[-1]:
        raise ConfigError(
            f"'training.batch_size' must be a multiple of {trainer.bounds[-1]}, the sum of 'training.sample_ratios', "
            f"but is {training.batch_size}",
            "training.batch_size",
        )
    draw_index = functools.partial(training_timesteps, num_train_timesteps=scheduler.num_train_timesteps)
    batches = TrainingBatches(data, training.batch_size, draw_index, training.condition_dropout, config.seed)
    return Objective(model, trainer.get_loss, ImageBatches(batches, data), present_digits)


class ImageBatches:
    """Batches whose samples and noise are images (B, 1, H, W) in place of tokens.

    Args:
        batches (TrainingBatches): Give the tokens.
        data (Digits): Puts tokens together to images.
    """

    def __init__(self, batches, data):
        self.batches = batches
        self.data = data

    def batch(self, step):
        """Returns the batch of the training step with this number: images, noise, positions in a stage, conditions."""
        batch = self.batches.batch(step)
        tokens, noise = (self.data.to_images(values)[:, None] for values in (batch.tokens, batch.noise))
        return batch._replace(tokens=tokens, noise=noise)
