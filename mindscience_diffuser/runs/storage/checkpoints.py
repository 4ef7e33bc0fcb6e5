"""Checkpoints of a training: all that is needed to go on as if nothing had happened."""

import json
import sys
import zlib
from pathlib import Path
from typing import NamedTuple, Optional

import mindspore as ms
import numpy as np
from mindspore import Tensor
from safetensors.numpy import load, save

from mindscience_diffuser.files import (
    read_with_checksum,
    remove_partial_files,
    remove_with_checksum,
    write_with_checksum,
)
from mindscience_diffuser.runs.config.identity import changed_key
from mindscience_diffuser.runs.distributed.ranks import gather, rank
from mindscience_diffuser.runs.errors import ConfigError, DivergedError
from mindscience_diffuser.runs.storage.weights import FACTS

FORMAT = 1
STATE, LOSSES, LEVEL_SUMS, RANDOM = "state.", "losses", "level_sums", "random."
# What of the state must be finite; the counters and moments of a loss scale may hold anything.
WEIGHTS = ("model.", "average.")


class Progress(NamedTuple):
    """Where a training stands: steps done, the loss of each, and the seconds that they took.

    Where the loss is followed by the level, `level_sums` are those of
    :class:`~mindscience_diffuser.runs.evaluation.level_losses.LevelLosses`.
    """

    step: int
    losses: list
    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0
    level_sums: Optional[np.ndarray] = None


class Checkpoints:
    """The checkpoints of one training.

    Args:
        directory (Path): Where they are; need not exist.
        identity (dict): What decides the training, JSON values by dotted key.
        batches: The batches of the objective: the file holds a checksum of the next one, so that other data, or
            another order of them, are noticed.
        kept (int): How many are kept.
    """

    def __init__(self, directory, identity, batches, kept):
        self.directory = Path(directory)
        self.identity = identity
        self.batches = batches
        self.kept = kept

    def save(self, training_step, progress):
        """Writes a checkpoint; every rank must call it at the same step, and rank 0 writes.

        Raises:
            DivergedError: If a weight is not finite; the checkpoints stay as they are.
        """
        state = training_step.state()
        for name, value in state.items():
            if name.startswith(WEIGHTS) and not np.isfinite(value).all():
                raise DivergedError(f"'{name}' is not finite after step {progress.step}")
        arrays = {STATE + name: value for name, value in state.items()}
        arrays[LOSSES] = np.asarray(progress.losses, np.float64)
        if progress.level_sums is not None:
            arrays[LEVEL_SUMS] = progress.level_sums
        for name, value in _random_state().items():
            arrays[RANDOM + name] = np.stack(gather(value))
        if rank() != 0:
            return
        facts = {
            "format": FORMAT,
            "step": progress.step,
            "wall_seconds": progress.wall_seconds,
            "cpu_seconds": progress.cpu_seconds,
            "next_batch": self._checksum_of_batch(progress.step),
            "decided_by": self.identity,
        }
        self.directory.mkdir(parents=True, exist_ok=True)
        write_with_checksum(self._path(progress.step), save(arrays, {FACTS: json.dumps(facts)}))
        for path in self._paths()[self.kept :]:
            remove_with_checksum(path)

    def restore(self, training_step):
        """Puts the newest whole checkpoint back into `training_step`; returns its :class:`Progress`.

        Raises:
            ConfigError: If it is of a newer version, another configuration, another model or other data.
        """
        for path in self._paths():
            content = read_with_checksum(path)
            if content is None:
                print(f"'{path}' is damaged and not used", file=sys.stderr)
                continue
            try:
                return self._restore(content, training_step)
            except ConfigError as error:
                raise ConfigError(
                    f"the training cannot go on from '{path}': {error}. Choose another 'output', or remove "
                    f"'{self.directory}' to start again"
                ) from None
        return Progress(0, [])

    def newest(self):
        """Returns the newest checkpoint and the number of its steps, or None if there is none."""
        paths = self._paths()
        return (paths[0], int(paths[0].stem.partition("-")[2])) if paths else None

    def clear_partial(self):
        """Removes what a kill during a write has left."""
        remove_partial_files(self.directory)

    def remove(self):
        """Removes all checkpoints: the training is complete."""
        for path in self._paths():
            remove_with_checksum(path)
        if self.directory.is_dir() and not any(self.directory.iterdir()):
            self.directory.rmdir()

    def _restore(self, content, training_step):
        arrays, facts = load(content), _facts(content)
        if facts.get("format") != FORMAT:
            raise ConfigError(f"it has format {facts.get('format')!r}, but this version knows {FORMAT}")
        changed = changed_key(facts["decided_by"], self.identity)
        if changed:
            raise ConfigError(changed)
        if facts["next_batch"] != self._checksum_of_batch(facts["step"]):
            raise ConfigError("the training data, or their order, are other than they were")
        training_step.load_state({n.removeprefix(STATE): a for n, a in arrays.items() if n.startswith(STATE)})
        _set_random_state({n.removeprefix(RANDOM): a for n, a in arrays.items() if n.startswith(RANDOM)})
        seconds = facts["wall_seconds"], facts["cpu_seconds"]
        return Progress(facts["step"], arrays[LOSSES].tolist(), *seconds, arrays.get(LEVEL_SUMS))

    def _checksum_of_batch(self, step):
        checksum = 0
        for array in self.batches.batch(step):
            checksum = zlib.crc32(np.ascontiguousarray(array).tobytes(), checksum)
        return checksum

    def _path(self, step):
        return self.directory / f"step-{step:09d}.safetensors"

    def _paths(self):
        """Returns the checkpoints, the newest first."""
        return sorted(self.directory.glob("step-*.safetensors"), reverse=True)


def _facts(content):
    """Returns the facts in the header of a safetensors file: its length in 8 bytes, then JSON."""
    length = int.from_bytes(content[:8], "little")
    return json.loads(json.loads(content[8 : 8 + length])["__metadata__"][FACTS])


def _random_state():
    """Returns the states of the generators that a step may draw from: MindSpore's and NumPy's global ones."""
    _, keys, position, has_gauss, gauss = np.random.get_state()
    numbers = np.array([position, has_gauss, gauss], np.float64)
    return {"mindspore": ms.get_rng_state().asnumpy(), "numpy_keys": keys, "numpy_numbers": numbers}


def _set_random_state(states):
    """Takes this rank's states over; a rank that was not there before takes that of another."""
    own = {name: value[rank() % len(value)] for name, value in states.items()}
    ms.set_rng_state(Tensor(own["mindspore"]))
    position, has_gauss, gauss = own["numpy_numbers"]
    np.random.set_state(("MT19937", own["numpy_keys"], int(position), int(has_gauss), float(gauss)))
