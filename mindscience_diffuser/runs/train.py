"""The ``train`` command: one loop for all kinds of runs, which hand it their loss and batches."""

import json
import signal
import time
from pathlib import Path

import mindspore as ms
import numpy as np
from tqdm import tqdm

from mindscience_diffuser.files import remove_partial_files, write_atomically
from mindscience_diffuser.runs.checkpoints import Checkpoints, Progress
from mindscience_diffuser.runs.config import to_yaml, with_values
from mindscience_diffuser.runs.errors import StoppedError
from mindscience_diffuser.runs.identity import deciding_values
from mindscience_diffuser.runs.pictures import save_loss_curve
from mindscience_diffuser.runs.ranks import gather, rank, rank_count, wait_for_all
from mindscience_diffuser.runs.registry import lookup
from mindscience_diffuser.runs.training_step import TrainingStep
from mindscience_diffuser.runs.weights import save_weights

# Reading the loss waits for the device; doing it rarely keeps the device busy.
STEPS_BETWEEN_READINGS = 20
# These do not change the training either.
NOT_DECIDING = (
    "sampling",
    "rollout",
    "training.checkpoint_every",
    "training.checkpoints_kept",
    "training.weights_dtype",
)


def train(config):
    """Trains the model of `config` and writes the result below ``<output>/train``.

    Written are ``weights.safetensors`` (the averaged weights), ``config.yaml`` (the configuration with all defaults
    and these weights, ready for ``sample``), ``metrics.json``, ``loss.png`` and what the kind of run shows of its
    trained model, such as ``samples.png``, each whole or not at all. While it trains, ``checkpoints`` holds the last
    few; a training that was interrupted goes on from there, and a complete one removes them.

    All ranks of the launch train together; rank 0 writes.

    Returns:
        Path of the directory.

    Raises:
        ConfigError: If the configuration cannot be carried out; nothing is compiled or written then.
        StoppedError: If SIGTERM ended the training early; a checkpoint is written before.
    """
    objective = lookup("objective", config.run)(config)
    training_step = TrainingStep(objective, config.training)
    directory = Path(config.output) / "train"
    identity = deciding_values(config, *NOT_DECIDING)
    checkpoints = Checkpoints(directory / "checkpoints", identity, objective.batches, config.training.checkpoints_kept)
    progress = checkpoints.restore(training_step)
    wait_for_all()
    if rank() == 0:
        directory.mkdir(parents=True, exist_ok=True)
        remove_partial_files(directory)
        checkpoints.clear_partial()

    progress = run_steps(training_step, objective.batches, config.training, checkpoints, progress)
    if rank() == 0:
        write_results(config, objective, training_step, progress, directory)
        checkpoints.remove()
    return directory


def write_results(config, objective, training_step, progress, directory):
    """Writes what the training gives."""
    losses = progress.losses
    figures = {
        "training": {
            "steps": config.training.steps,
            "parameters": sum(parameter.size for parameter in objective.model.trainable_params()),
            "mean_loss_of_last_tenth": float(np.mean(losses[-max(len(losses) // 10, 1) :])),
            "wall_seconds": progress.wall_seconds,
            "cpu_seconds": progress.cpu_seconds,
            "ranks": rank_count(),
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


def run_steps(training_step, batches, training, checkpoints, progress):
    """Runs the training steps that are left under a progress bar.

    Args:
        training_step (TrainingStep): The step.
        batches: Its ``batch(step)`` is the global batch.
        training (Training): Section of the configuration.
        checkpoints (Checkpoints): Where to leave checkpoints.
        progress (Progress): Where to begin.

    Returns:
        Progress at the end.

    Raises:
        StoppedError: After SIGTERM.
    """
    wall, cpu = time.perf_counter() - progress.wall_seconds, time.process_time() - progress.cpu_seconds
    losses, unread = list(progress.losses), []
    with (
        Termination() as termination,
        tqdm(total=training.steps, initial=progress.step, desc="training", unit="step", disable=rank() > 0) as bar,
    ):
        for step in range(progress.step, training.steps):
            unread.append(training_step(batches.batch(step)))
            done = step + 1
            due = done % training.checkpoint_every == 0
            # One process may stop at any step; several must agree, which they do where they read the losses.
            alone = termination.asked and rank_count() == 1
            if len(unread) == STEPS_BETWEEN_READINGS or done == training.steps or due or alone:
                mean, stop = read_losses(unread, termination.asked)
                losses += mean
                bar.set_postfix(loss=f"{np.mean(losses[-100:]):.4f}", refresh=False)
                bar.update(len(unread))
                unread = []
                progress = Progress(done, losses, time.perf_counter() - wall, time.process_time() - cpu)
                stop = stop and done < training.steps
                if due or stop:
                    checkpoints.save(training_step, progress)
                if stop:
                    # Until rank 0 has written: msrun kills the others when one process has ended.
                    wait_for_all()
                    raise StoppedError(
                        f"stopped by SIGTERM after step {done}; run the same command again to go on from there"
                    )
    return progress


def read_losses(unread, stop):
    """Returns the losses of some steps, averaged over pieces and ranks, and whether any rank is to stop."""
    own = [np.mean([float(loss.asnumpy()) for loss in pieces]) for pieces in unread]
    everybody = np.stack(gather(np.array([*own, float(stop)])))
    return everybody[:, :-1].mean(axis=0).tolist(), bool(everybody[:, -1].any())


class Termination:
    """Notes SIGTERM while it is entered, in place of ending the process at once."""

    def __init__(self):
        self.asked = False

    def __enter__(self):
        self._before = signal.signal(signal.SIGTERM, self._note)
        return self

    def __exit__(self, *exception):
        signal.signal(signal.SIGTERM, self._before)

    def _note(self, *_):
        self.asked = True
