"""Runs of the kind ``diffusion``: a model trained under the noise schedule of a scheduler."""

import functools
import warnings

from mindscience_diffuser.runs.evaluation.level_losses import LevelBins
from mindscience_diffuser.runs.kinds.frames import per_frame
from mindscience_diffuser.runs.kinds.kind import Kind
from mindscience_diffuser.schedulers import DiffusionScheduler
from mindscience_diffuser.training import DiffusionTrainer, training_timesteps

OBJECTIVES = {"epsilon": "pred_noise", "sample": "pred_x0", "v_prediction": "pred_v"}


class Diffusion(Kind):
    """Any scheduler of a process with betas will do, with a model that predicts noise, clean sample or velocity."""

    def unsuited(self, scheduler):
        """Returns why the scheduler has no such process, or None."""
        if getattr(scheduler, "betas", None) is None:
            return "it has no betas, as DDIMScheduler has them"
        predicted = getattr(scheduler, "prediction_type", None)
        if predicted not in OBJECTIVES:
            return f"its prediction_type is {predicted!r}, and must be one of {', '.join(OBJECTIVES)}"
        return "it leads from samples to noise" if scheduler.inverts else None

    def loss(self, config, data, model, scheduler):
        """Returns the losses of a DiffusionTrainer."""
        training = config.training
        return DiffusionTrainer(
            model,
            process_of(scheduler),
            OBJECTIVES[scheduler.prediction_type],
            training.p2_loss_weight_gamma,
            training.p2_loss_weight_k,
            training.loss_type,
            training.min_snr_gamma,
        ).get_losses

    def levels(self, config, data, scheduler):
        """Returns the draw of uniform timesteps."""
        draw = functools.partial(training_timesteps, num_train_timesteps=scheduler.num_train_timesteps)
        return per_frame(config, data, draw)

    def level_bins(self, config, scheduler):
        """Returns bins of the timestep."""
        return LevelBins.between("timestep", 0, scheduler.num_train_timesteps)


def process_of(scheduler):
    """Returns a scheduler of the same noise process that adds noise at whole timesteps."""
    if isinstance(scheduler, DiffusionScheduler):
        return scheduler
    with warnings.catch_warnings():
        # Of arguments that are those of the solver, and not of the process.
        warnings.simplefilter("ignore")
        return DiffusionScheduler.from_config(scheduler.config)
