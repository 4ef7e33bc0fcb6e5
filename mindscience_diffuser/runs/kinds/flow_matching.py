"""Runs of the kind ``flow_matching``: a class-conditional rectified flow of digits."""

import functools

from mindscience_diffuser.noise import resolution_shift
from mindscience_diffuser.runs.data.batches import TrainingBatches
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
from mindscience_diffuser.training import FlowMatchingTrainer, training_sigmas


def objective(config):
    """Returns the :class:`~mindscience_diffuser.runs.kinds.objective.Objective` of a ``flow_matching`` run."""
    data = build_data(config)
    scheduler = build_scheduler(config)
    check_sampling(config, scheduler)
    check_measuring(config, data)
    model = build_model(config, data)
    training = config.training
    trainer = FlowMatchingTrainer(model, scheduler.num_train_timesteps, training.weighting, training.loss_type)
    shift = training.shift
    if training.base_length is not None:
        shift *= resolution_shift(data.length, training.base_length)
    draw_sigmas = functools.partial(
        training_sigmas,
        density=training.density,
        logit_mean=training.logit_mean,
        logit_std=training.logit_std,
        mode_scale=training.mode_scale,
        shift=shift,
    )
    batches = TrainingBatches(data, training.batch_size, draw_sigmas, training.condition_dropout, config.seed)
    with setting_up(config):
        batches.batch(0)
    return Objective(model, trainer.get_loss, batches, present_digits)
