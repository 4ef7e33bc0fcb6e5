"""Samples in numbered files, with a manifest that says what they are: written piece by piece, resumed, checked."""

import io
import json
import time
from pathlib import Path

import numpy as np

from mindscience_diffuser.files import (
    read_with_checksum,
    remove_partial_files,
    remove_with_checksum,
    write_atomically,
    write_with_checksum,
)
from mindscience_diffuser.runs.config.identity import changed_key
from mindscience_diffuser.runs.distributed.ranks import rank, rank_count, wait_for_all
from mindscience_diffuser.runs.errors import ConfigError

FORMAT = 1
MANIFEST, FOLDER = "manifest.json", "shards"
SECONDS_BETWEEN_LOOKS = 0.5


def remove_shards(directory):
    """Removes the shards in a directory without a manifest: nobody knows what they are."""
    folder = Path(directory) / FOLDER
    for path in sorted(folder.glob("*.npz")):
        remove_with_checksum(path)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


class Shards:
    """The samples [0, count) of a run, `size` of them in a file.

    ``manifest.json`` holds what decides the samples; ``shards/00000.npz`` and so on hold arrays by name, each
    with its ``.sha256`` beside it. Every file appears whole or not at all, so a run that was killed goes on where
    it was.

    Args:
        directory (Path): Where the manifest is.
        identity (dict): What decides the samples, JSON values by dotted key.
        count (int): Number of samples.
        size (int): Samples in a file.

    Raises:
        ConfigError: If the manifest in `directory` is of another run, of a newer version, or unreadable.
    """

    def __init__(self, directory, identity, count, size):
        self.directory = Path(directory)
        self.folder = self.directory / FOLDER
        self.count = count
        self.size = size
        self._content = {"format": FORMAT, "samples": count, "shards": len(self), "decided_by": identity}
        self._check(identity)

    def __len__(self):
        return -(-self.count // self.size)

    def bounds(self, number):
        """Returns the samples [first, last) of a shard."""
        return number * self.size, min((number + 1) * self.size, self.count)

    def path(self, number):
        """Returns the file of a shard."""
        return self.folder / f"{number:05d}.npz"

    def start(self):
        """Writes the manifest, clears away what a kill has left; returns the shards that this rank has to draw."""
        if rank() == 0:
            begins = not (self.directory / MANIFEST).exists()
            if begins:
                remove_shards(self.directory)
            self.folder.mkdir(parents=True, exist_ok=True)
            for folder in (self.directory, self.folder):
                remove_partial_files(folder)
            if begins:
                write_atomically(self.directory / MANIFEST, json.dumps(self._content, indent=2) + "\n")
        wait_for_all()
        missing = [number for number in self.of_this_rank() if self.read(number) is None]
        for number in missing:
            remove_with_checksum(self.path(number))
        wait_for_all()
        return missing

    def of_this_rank(self):
        """Returns the numbers of the shards that this rank draws and measures."""
        return range(rank(), len(self), rank_count())

    def write(self, number, arrays):
        """Writes a shard, arrays ``(N, ...)`` by name."""
        raw = io.BytesIO()
        np.savez(raw, **arrays)
        write_with_checksum(self.path(number), raw.getvalue())

    def read(self, number):
        """Returns the arrays of a shard, or None if its file is missing or damaged."""
        content = read_with_checksum(self.path(number))
        if content is None:
            return None
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            return dict(arrays)

    def written(self):
        """Returns how many shards there are."""
        return sum(self.path(number).is_file() for number in range(len(self)))

    def wait_for_all(self):
        """Returns once the ranks have written all shards, however long the slowest one takes."""
        while self.written() < len(self):
            time.sleep(SECONDS_BETWEEN_LOOKS)
        wait_for_all()

    def load(self, number):
        """Returns the arrays of a shard that has been written.

        Raises:
            OSError: If its file is no longer as it was written.
        """
        arrays = self.read(number)
        if arrays is None:
            raise OSError(f"'{self.path(number)}' was changed while the run went on: run the same command again")
        return arrays

    def first_samples(self, count):
        """Returns the arrays of the first `count` samples."""
        parts = [self.load(number) for number in range(-(-min(count, self.count) // self.size))]
        return {name: np.concatenate([part[name] for part in parts])[:count] for name in parts[0]}

    def _check(self, identity):
        path = self.directory / MANIFEST
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            version, decided_by = found["format"], found.get("decided_by")
        except FileNotFoundError:
            return
        except (ValueError, KeyError, TypeError):
            raise ConfigError(f"'{path}' is damaged: remove '{self.directory}', or choose another 'output'") from None
        if version != FORMAT:
            raise ConfigError(
                f"'{path}' has format {version!r}, but this version of mindscience_diffuser knows {FORMAT}: go on with "
                "the version that wrote it, or choose another 'output'"
            )
        changed = changed_key(decided_by, identity)
        if changed:
            raise ConfigError(
                f"the samples in '{self.folder}' belong to another configuration, in which {changed}: set it back to "
                f"go on there, choose another 'output', or remove '{self.directory}'"
            )
