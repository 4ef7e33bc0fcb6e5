"""The ``train`` command: one loop for all kinds of runs, which hand it their loss and batches."""

import json
import signal
import time
from pathlib import Path

import mindspore as ms
import numpy as np
from tqdm import tqdm

from mindscience_diffuser.files import remove_partial_files, write_atomically
from mindscience_diffuser.runs.commands.training_step import TrainingStep
from mindscience_diffuser.runs.config.identity import changed_key, file_checksum, result_determining_values
from mindscience_diffuser.runs.config.load import to_yaml, with_values
from mindscience_diffuser.runs.data.model_file import initial_weights_file
from mindscience_diffuser.runs.distributed.ranks import gather, rank, rank_count, wait_for_all
from mindscience_diffuser.runs.errors import ConfigError, DivergedError, InterruptedRunError, StoppedError
from mindscience_diffuser.runs.evaluation.level_losses import LevelLosses
from mindscience_diffuser.runs.kinds.kind import kind_of
from mindscience_diffuser.runs.pictures.curves import save_loss_by_level, save_loss_curve
from mindscience_diffuser.runs.storage.checkpoints import Checkpoints, Progress
from mindscience_diffuser.runs.storage.weights import facts_of, load_weights, save_weights

WEIGHTS = "weights.safetensors"
# Reading the loss waits for the device; doing it rarely keeps the device busy.
STEPS_BETWEEN_READINGS = 20
# These do not change the weights either.
NOT_DECIDING = (
    *("sampling", "guidance", "rollout", "forecast", "training.checkpoint_every", "training.checkpoints_kept"),
    *(f"patches.{name}" for name in ("overlap", "chunk", "over_ranks", "differentiable")),
)
# This changes how they are written, but not the training.
WRITTEN_AS = "training.weights_dtype"


def train(config):
    """Trains the model of `config` and writes the result below ``<output>/train``.

    Written are ``weights.safetensors`` (the averaged weights), ``config.yaml`` (the configuration with all defaults
    and these weights, ready for ``sample``), ``metrics.json``, ``loss.png``, ``loss_by_level.csv`` and its picture for
    kinds that follow the loss by the noise level, and what the kind of run shows of its trained model, such as
    ``samples.png``, each whole or not at all. While it trains, ``checkpoints`` holds the last
    few; a training that was interrupted goes on from there, and a complete one removes them.

    All ranks of the launch train together; rank 0 writes.

    Returns:
        Path of the directory.

    Raises:
        ConfigError: If the configuration cannot be carried out, or the directory holds the weights of another one;
            nothing is compiled or written then.
        DivergedError: If a loss or a weight is not finite.
        StoppedError: If SIGTERM ended the training early; a checkpoint is written before.
        InterruptedRunError: After Ctrl-C.
    """
    directory = Path(config.output) / "train"
    objective = kind_of(config).objective(config)
    check_finished(config, directory)
    noted = dict(objective.facts)
    if config.training.initial_weights is not None:
        noted["initial_weights"] = file_checksum(load_initial_weights(objective.model, config))
    # It averages the weights that the model has now.
    training_step = TrainingStep(objective, config.training)
    identity = result_determining_values(config, *NOT_DECIDING, WRITTEN_AS)
    # What is noted beside the weights follows from files that may have changed since.
    identity.update(json.loads(json.dumps({f"noted.{name}": value for name, value in noted.items()})))
    checkpoints = Checkpoints(directory / "checkpoints", identity, objective.batches, config.training.checkpoints_kept)
    progress = checkpoints.restore(training_step)
    wait_for_all()
    if rank() == 0:
        directory.mkdir(parents=True, exist_ok=True)
        remove_partial_files(directory)
        checkpoints.clear_partial()

    try:
        progress = run_steps(training_step, objective, config.training, checkpoints, progress)
        if rank() == 0:
            write_results(config, objective, training_step, progress, directory)
            checkpoints.remove()
    except DivergedError as error:
        raise DivergedError(
            f"the training diverged: {error}. Lower 'training.learning_rate' or set 'training.clip_norm', with another "
            f"'output'. {kept(checkpoints, directory)}"
        ) from None
    except KeyboardInterrupt:
        raise InterruptedRunError(
            f"interrupted. {kept(checkpoints, directory)}; run the same command again to go on"
        ) from None
    return directory


def load_initial_weights(model, config):
    """Loads the weights that a training begins with and returns their path; ConfigError if they do not fit."""
    key, path, _ = initial_weights_file(config)
    try:
        load_weights(model, path)
    except ConfigError as error:
        raise ConfigError(f"'{key}': {error}", key) from None
    return path


def kept(checkpoints, directory):
    """Returns a sentence about what an unfinished training leaves."""
    newest, weights = checkpoints.newest(), directory / WEIGHTS
    things = [f"the checkpoint of step {newest[1]}, '{newest[0]}'"] if newest else []
    things += [f"the finished weights '{weights}'"] if weights.is_file() else []
    return f"Kept is {' and '.join(things)}" if things else "Nothing is kept: no checkpoint was written yet"


def check_finished(config, directory):
    """Raises ConfigError if `directory` holds the weights of a finished training of another configuration."""
    weights = directory / WEIGHTS
    if not weights.is_file():
        return
    advice = f"choose another 'output', or remove '{directory}' to train again"
    before = facts_of(weights).get("decided_by")
    if before is None:
        raise ConfigError(f"'{weights}' exists and does not say how it was trained: {advice}", "output")
    changed = changed_key(before, result_determining_values(config, *NOT_DECIDING))
    if changed:
        raise ConfigError(
            f"'{weights}' are the finished weights of another configuration, in which {changed}: {advice}", "output"
        )


def write_results(config, objective, training_step, progress, directory):
    """Writes what the training gives.

    Raises:
        DivergedError: If an averaged weight is not finite in the dtype of the file; nothing is written then.
    """
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
    weights, dtype = directory / WEIGHTS, config.training.weights_dtype
    with np.errstate(over="ignore"):
        averaged = {name: value.astype(dtype) for name, value in training_step.average.state().items()}
    for name, value in averaged.items():
        if not np.isfinite(value).all():
            raise DivergedError(f"the average of '{name}' after step {progress.step} is not finite in {dtype}")
    facts = {"model": config.model.model_dump(), "seed": config.seed, **objective.facts}
    save_weights(weights, averaged, **facts, decided_by=result_determining_values(config, *NOT_DECIDING))
    config = with_values(config, weights=str(weights))
    write_atomically(directory / "config.yaml", to_yaml(config))
    save_loss_curve(directory / "loss.png", losses)
    if progress.level_sums is not None:
        by_level = LevelLosses(objective.level_bins, config.training.steps, progress.level_sums)
        write_atomically(directory / "loss_by_level.csv", by_level.to_csv())
        save_loss_by_level(directory / "loss_by_level.png", by_level)
    figures["samples"] = objective.present(config, directory)
    write_atomically(directory / "metrics.json", json.dumps(figures, indent=2) + "\n")


def run_steps(training_step, objective, training, checkpoints, progress):
    """Runs the training steps that are left under a progress bar.

    Args:
        training_step (TrainingStep): The step.
        objective (Objective): Gives the batches, and the bins of the level.
        training (Training): Section of the configuration.
        checkpoints (Checkpoints): Where to leave checkpoints.
        progress (Progress): Where to begin.

    Returns:
        Progress at the end.

    Raises:
        DivergedError: At the first loss that is not finite; the step of that number is not in the checkpoints.
        StoppedError: After SIGTERM.
    """
    wall, cpu = time.perf_counter() - progress.wall_seconds, time.process_time() - progress.cpu_seconds
    losses, unread = list(progress.losses), []
    by_level = None
    if objective.level_bins is not None:
        by_level = LevelLosses(objective.level_bins, training.steps, progress.level_sums)
    with (
        Termination() as termination,
        tqdm(total=training.steps, initial=progress.step, desc="training", unit="step", disable=rank() > 0) as bar,
    ):
        for step in range(progress.step, training.steps):
            unread.append(training_step(objective.batches.batch(step)))
            done = step + 1
            due = done % training.checkpoint_every == 0
            # One process may stop at any step; several must agree, which they do where they read the losses.
            alone = termination.asked and rank_count() == 1
            if len(unread) == STEPS_BETWEEN_READINGS or done == training.steps or due or alone:
                mean, stop = read_losses(unread, termination.asked)
                bad = [number for number, loss in enumerate(mean) if not np.isfinite(loss)]
                if bad:
                    raise DivergedError(f"the loss of step {done - len(unread) + bad[0] + 1} is {mean[bad[0]]}")
                losses += mean
                if by_level is not None:
                    for number, pieces in enumerate(unread, done - len(unread)):
                        for piece in pieces:
                            by_level.add(number, piece.levels, piece.of_samples.asnumpy())
                bar.set_postfix(loss=f"{np.mean(losses[-100:]):.4f}", refresh=False)
                bar.update(len(unread))
                unread = []
                seconds = time.perf_counter() - wall, time.process_time() - cpu
                progress = Progress(done, losses, *seconds, None if by_level is None else by_level.sums)
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
    own = [np.mean([float(piece.mean.asnumpy()) for piece in pieces]) for pieces in unread]
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
