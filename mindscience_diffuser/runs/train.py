"""The ``train`` command: trains a model, keeps the average of its weights and shows what it can do."""

import json
import time
from pathlib import Path

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn
from tqdm import tqdm

from mindscience_diffuser.files import write_atomically
from mindscience_diffuser.runs.batches import TrainingBatches
from mindscience_diffuser.runs.build import build_data, build_model, build_scheduler, check_sampling
from mindscience_diffuser.runs.config import to_yaml, with_values
from mindscience_diffuser.runs.draw import draw
from mindscience_diffuser.runs.errors import ConfigError
from mindscience_diffuser.runs.pictures import save_loss_curve, save_sample_grid
from mindscience_diffuser.runs.sample import measure
from mindscience_diffuser.runs.weights import load_weights, save_weights
from mindscience_diffuser.training import DiffusionTrainer, ExponentialMovingAverage, warmup_cosine

OBJECTIVES = {"epsilon": "pred_noise", "sample": "pred_x0", "v_prediction": "pred_v"}
# Reading the loss waits for the device; doing it rarely keeps the device busy.
STEPS_BETWEEN_READINGS = 20


def train(config):
    """Trains the model of `config` and writes the result below ``<output>/train``.

    Written are ``weights.safetensors`` (the averaged weights), ``config.yaml`` (the configuration with all defaults
    and these weights, ready for ``sample``), ``metrics.json``, ``loss.png`` and ``samples.png``, each whole or not at
    all.

    Returns:
        Path of the directory.

    Raises:
        ConfigError: If the configuration cannot be carried out; nothing is compiled or written then.
    """
    data = build_data(config)
    scheduler = build_scheduler(config)
    model = build_model(config, data)
    training_step, average = build_training_step(config, model, scheduler)
    check_sampling(config, scheduler)
    directory = Path(config.output) / "train"
    directory.mkdir(parents=True, exist_ok=True)

    batches = TrainingBatches(
        data,
        config.training.batch_size,
        scheduler.num_train_timesteps,
        config.training.condition_dropout,
        config.seed,
    )
    wall, cpu = time.perf_counter(), time.process_time()
    losses = run_steps(training_step, batches, config.training.steps)
    figures = {
        "training": {
            "steps": config.training.steps,
            "parameters": sum(parameter.size for parameter in model.trainable_params()),
            "mean_loss_of_last_tenth": float(np.mean(losses[-max(len(losses) // 10, 1) :])),
            "wall_seconds": time.perf_counter() - wall,
            "cpu_seconds": time.process_time() - cpu,
            "mindspore": ms.__version__,
            "seed": config.seed,
        }
    }
    weights = directory / "weights.safetensors"
    averaged = {name: value.astype(config.training.weights_dtype) for name, value in average.state().items()}
    save_weights(weights, averaged, model=config.model.model_dump(), seed=config.seed)
    write_atomically(directory / "config.yaml", to_yaml(with_values(config, weights=str(weights))))
    save_loss_curve(directory / "loss.png", losses)

    load_weights(model, weights)
    sampler = build_scheduler(config, config.sampling.compute_dtype)
    images, labels = draw(config, data, sampler, build_sampling_model(config, data, model, weights))
    save_sample_grid(directory / "samples.png", images, labels, data, config.sampling.picture_per_class)
    figures["samples"] = measure(config, data, images, labels)
    write_atomically(directory / "metrics.json", json.dumps(figures, indent=2) + "\n")
    return directory


def build_sampling_model(config, data, model, weights):
    """Returns `model`, or one with the same weights that computes in the dtype that sampling asks for."""
    if config.sampling.compute_dtype == "float32":
        return model
    half = build_model(config, data, config.sampling.compute_dtype)
    load_weights(half, weights)
    return half


def build_training_step(config, model, scheduler):
    """Returns the compiled training step, a function of one batch that returns the loss, and the weights' average."""
    training = config.training
    parameters = model.trainable_params()
    try:
        trainer = DiffusionTrainer(
            model,
            scheduler,
            OBJECTIVES[scheduler.prediction_type],
            training.p2_loss_weight_gamma,
            training.p2_loss_weight_k,
            training.loss_type,
            training.min_snr_gamma,
        )
        rates = warmup_cosine(training.learning_rate, training.warmup_steps, training.steps)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"the training cannot be set up: {error}") from error
    optimizer = nn.AdamWeightDecay(parameters, rates, weight_decay=training.weight_decay)
    average = ExponentialMovingAverage(parameters, training.ema_decay)
    loss_and_gradients = ms.value_and_grad(trainer.get_loss, None, parameters)

    @ms.jit
    def training_step(tokens, noise, timesteps, condition):
        loss, gradients = loss_and_gradients(tokens, noise, timesteps, condition)
        optimizer(gradients)
        average()
        return loss

    return training_step, average


def run_steps(training_step, batches, steps):
    """Runs the training steps under a progress bar and returns the loss of each."""
    losses, unread = [], []
    with tqdm(total=steps, desc="training", unit="step") as bar:
        for step in range(steps):
            unread.append(training_step(*(Tensor(array) for array in batches.batch(step))))
            if len(unread) == STEPS_BETWEEN_READINGS or step == steps - 1:
                losses += [float(loss.asnumpy()) for loss in unread]
                bar.set_postfix(loss=f"{np.mean(losses[-100:]):.4f}", refresh=False)
                bar.update(len(unread))
                unread = []
    return losses
