"""The ``train`` command: one loop for all kinds of runs, which hand it their loss and batches."""

import json
import time
from pathlib import Path

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn
from tqdm import tqdm

from mindscience_diffuser.files import write_atomically
from mindscience_diffuser.runs.config import to_yaml, with_values
from mindscience_diffuser.runs.errors import ConfigError
from mindscience_diffuser.runs.pictures import save_loss_curve
from mindscience_diffuser.runs.registry import lookup
from mindscience_diffuser.runs.weights import save_weights
from mindscience_diffuser.training import ExponentialMovingAverage, warmup_cosine

# Reading the loss waits for the device; doing it rarely keeps the device busy.
STEPS_BETWEEN_READINGS = 20


def train(config):
    """Trains the model of `config` and writes the result below ``<output>/train``.

    Written are ``weights.safetensors`` (the averaged weights), ``config.yaml`` (the configuration with all defaults
    and these weights, ready for ``sample``), ``metrics.json``, ``loss.png`` and what the kind of run shows of its
    trained model, such as ``samples.png``, each whole or not at all.

    Returns:
        Path of the directory.

    Raises:
        ConfigError: If the configuration cannot be carried out; nothing is compiled or written then.
    """
    objective = lookup("objective", config.run)(config)
    training_step = TrainingStep(objective, config.training)
    directory = Path(config.output) / "train"
    directory.mkdir(parents=True, exist_ok=True)

    wall, cpu = time.perf_counter(), time.process_time()
    losses = run_steps(training_step, objective.batches, config.training.steps)
    figures = {
        "training": {
            "steps": config.training.steps,
            "parameters": sum(parameter.size for parameter in objective.model.trainable_params()),
            "mean_loss_of_last_tenth": float(np.mean(losses[-max(len(losses) // 10, 1) :])),
            "wall_seconds": time.perf_counter() - wall,
            "cpu_seconds": time.process_time() - cpu,
            "mindspore": ms.__version__,
            "seed": config.seed,
        }
    }
    weights = directory / "weights.safetensors"
    averaged = training_step.average.state()
    averaged = {name: value.astype(config.training.weights_dtype) for name, value in averaged.items()}
    save_weights(weights, averaged, model=config.model.model_dump(), seed=config.seed)
    config = with_values(config, weights=str(weights))
    write_atomically(directory / "config.yaml", to_yaml(config))
    save_loss_curve(directory / "loss.png", losses)
    figures["samples"] = objective.present(config, directory)
    write_atomically(directory / "metrics.json", json.dumps(figures, indent=2) + "\n")
    return directory


class TrainingStep:
    """Loss, gradients, optimizer and average of the weights as one compiled function of a batch.

    Args:
        objective (Objective): Gives the loss and the model.
        training (Training): Section of the configuration.

    Raises:
        ConfigError: If the learning rate cannot be planned.
    """

    def __init__(self, objective, training):
        parameters = objective.model.trainable_params()
        try:
            rates = warmup_cosine(training.learning_rate, training.warmup_steps, training.steps)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"the training cannot be set up: {error}") from error
        optimizer = nn.AdamWeightDecay(parameters, rates, weight_decay=training.weight_decay)
        average = ExponentialMovingAverage(parameters, training.ema_decay, objective.average)
        loss_and_gradients = ms.value_and_grad(objective.loss, None, parameters)

        @ms.jit
        def compiled(*batch):
            loss, gradients = loss_and_gradients(*batch)
            optimizer(gradients)
            average()
            return loss

        self.optimizer = optimizer
        self.average = average
        self._compiled = compiled

    def __call__(self, batch):
        """Trains on the arrays of one batch; returns the loss before, a Tensor that may still be on its way."""
        return self._compiled(*(Tensor(array) for array in batch))


def run_steps(training_step, batches, steps):
    """Runs the training steps under a progress bar and returns the loss of each."""
    losses, unread = [], []
    with tqdm(total=steps, desc="training", unit="step") as bar:
        for step in range(steps):
            unread.append(training_step(batches.batch(step)))
            if len(unread) == STEPS_BETWEEN_READINGS or step == steps - 1:
                losses += [float(loss.asnumpy()) for loss in unread]
                bar.set_postfix(loss=f"{np.mean(losses[-100:]):.4f}", refresh=False)
                bar.update(len(unread))
                unread = []
    return losses
