"""Runs of the kind ``diffusion``: a class-conditional model of digits under a scheduler's noise."""

import functools

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
from mindscience_diffuser.training import DiffusionTrainer, training_timesteps

OBJECTIVES = {"epsilon": "pred_noise", "sample": "pred_x0", "v_prediction": "pred_v"}


def objective(config):
    """Returns the :class:`~mindscience_diffuser.runs.kinds.objective.Objective` of a ``diffusion`` run."""
    data = build_data(config)
    scheduler = build_scheduler(config)
    check_sampling(config, scheduler)
    check_measuring(config, data)
    model = build_model(config, data)
    training = config.training
    with setting_up(config):
        trainer = DiffusionTrainer(
            model,
            scheduler,
            OBJECTIVES[scheduler.prediction_type],
            training.p2_loss_weight_gamma,
            training.p2_loss_weight_k,
            training.loss_type,
            training.min_snr_gamma,
        )
    draw_timesteps = functools.partial(training_timesteps, num_train_timesteps=scheduler.num_train_timesteps)
    batches = TrainingBatches(data, training.batch_size, draw_timesteps, training.condition_dropout, config.seed)
    return Objective(model, trainer.get_loss, batches, present_digits)
