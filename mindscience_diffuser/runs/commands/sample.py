"""The ``sample`` command: draws samples from a trained model and measures them."""

import io
import json
import resource
import time
from contextlib import closing
from pathlib import Path

import numpy as np

from mindscience_diffuser.files import remove_partial_files, write_atomically
from mindscience_diffuser.runs.commands.export import exported_file, load_exported
from mindscience_diffuser.runs.config.identity import file_checksum, result_determining_values
from mindscience_diffuser.runs.config.load import to_yaml, with_values
from mindscience_diffuser.runs.data.dataset import build_data
from mindscience_diffuser.runs.data.reading import method
from mindscience_diffuser.runs.distributed.ranks import gather, rank
from mindscience_diffuser.runs.errors import ConfigError, InterruptedRunError
from mindscience_diffuser.runs.evaluation.measuring import Measuring
from mindscience_diffuser.runs.kinds.draw import draw_ranges, exported_trajectories, model_trajectories
from mindscience_diffuser.runs.kinds.kind import kind_of
from mindscience_diffuser.runs.kinds.models import build_scheduler, build_trained_model
from mindscience_diffuser.runs.kinds.patches import over_ranks
from mindscience_diffuser.runs.pictures.samples import save_samples
from mindscience_diffuser.runs.storage.shards import MANIFEST, Shards, remove_shards

# These do not change a sample either; an exported file counts by its content.
NOT_DECIDING = ("training", "sampling.picture_per_class", "sampling.exported")


def sample(config):
    """Draws the samples that `config` asks for and writes them below ``<output>/sample``.

    They come from the model or, where ``sampling.exported`` names a file of the ``export`` command, from that file,
    which holds model and weights.

    Written are ``samples.npz`` (arrays ``(N, ...)`` by name, see :mod:`mindscience_diffuser.runs.data.dataset`),
    ``samples.png`` where there is a picture of such samples, what the data write themselves, ``config.yaml`` (the
    configuration with all defaults) and ``metrics.json``, each whole or not at all. More than ``sampling.shard_size``
    samples go into numbered files instead, see :class:`~mindscience_diffuser.runs.storage.shards.Shards`: they are
    drawn by all ranks of the launch, never held in memory together, and a run that was interrupted goes on where it
    was. With ``patches.over_ranks`` all ranks draw the same samples together, patch by patch.

    Returns:
        Path of the directory.

    Raises:
        ConfigError: If the configuration cannot be carried out; nothing is compiled or written then.
    """
    exported, kind = config.sampling.exported, kind_of(config)
    data = build_data(config, None if exported is None else exported_file(exported))
    scheduler = build_scheduler(config, config.sampling.compute_dtype)
    kind.check_sampling(config, scheduler)
    measuring = Measuring(config, data)
    if exported is None:
        model, weights = build_trained_model(config, data)
        config = with_values(config, weights=config.weights or str(weights))
        trajectories = model_trajectories(config, data, kind, scheduler, model)
    else:
        weights = exported
        graph = load_exported(config, data, kind, scheduler)
        trajectories = exported_trajectories(config, data, kind, scheduler, graph)
    directory = Path(config.output) / "sample"
    count = data.sample_count(config.sampling)
    sharded, together = count > config.sampling.shard_size or (directory / MANIFEST).exists(), over_ranks(config)
    if sharded and together:
        raise ConfigError(
            f"'patches.over_ranks' is true, with which all ranks draw one sample together, but there are {count} "
            f"samples, more than 'sampling.shard_size', {config.sampling.shard_size}, or '{directory}' has shards: set "
            "one of them so that it fits, or patches.over_ranks to false, and each rank draws samples of its own",
            "patches.over_ranks",
        )
    if sharded:
        arrays, figures = sample_shards(config, data, trajectories, directory, weights, measuring)
    elif rank() == 0 or together:
        arrays, figures = sample_at_once(config, data, trajectories, directory, measuring)
    if rank() == 0:
        # What an earlier run has left would be read as the samples of this one.
        if sharded:
            (directory / "samples.npz").unlink(missing_ok=True)
        else:
            remove_shards(directory)
        write_atomically(directory / "config.yaml", to_yaml(config))
        save_samples(directory / "samples.png", arrays, data, config)
        write_atomically(directory / "metrics.json", json.dumps(figures, indent=2) + "\n")
    return directory


def sample_at_once(config, data, trajectories, directory, measuring):
    """Draws all samples; rank 0 writes ``samples.npz`` and returns what is written of them and their figures."""
    if rank() == 0:
        directory.mkdir(parents=True, exist_ok=True)
        remove_partial_files(directory)
    started = time.perf_counter()
    everything = [(0, data.sample_count(config.sampling))]
    arrays = list(draw_ranges(config, data, trajectories, everything, progress=rank() == 0))[0]
    seconds = time.perf_counter() - started
    if rank() > 0:
        return None, None
    raw = io.BytesIO()
    np.savez(raw, **arrays)
    write_atomically(directory / "samples.npz", raw.getvalue())
    if method(data.train, "write"):
        data.train.write(directory, arrays["samples"])
    return arrays, {"sampling_seconds": seconds, **measuring.of(arrays)}


def sample_shards(config, data, trajectories, directory, weights, measuring):
    """Draws the shards that are missing or damaged; returns what is written of the first samples, and figures."""
    identity = {**result_determining_values(config, *NOT_DECIDING), "weights": f"sha256:{file_checksum(weights)}"}
    shards = Shards(directory, identity, data.sample_count(config.sampling), config.sampling.shard_size)
    missing = shards.start()
    started = time.perf_counter()
    ranges = [shards.bounds(number) for number in missing]
    try:
        with closing(draw_ranges(config, data, trajectories, ranges, progress=rank() == 0)) as drawn:
            for number, arrays in zip(missing, drawn):
                shards.write(number, arrays)
    except KeyboardInterrupt:
        raise InterruptedRunError(
            f"interrupted. Kept are {shards.written()} of {len(shards)} files in '{shards.folder}': run the same "
            "command again to go on from there"
        ) from None
    shards.wait_for_all()
    seconds = time.perf_counter() - started

    for number in shards.of_this_rank():
        measuring.update(shards.load(number))
    measuring.merge_ranks()
    kilobytes = max(gather(np.int64(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)))
    drawn_now = sum(gather(np.int64(sum(last - first for first, last in ranges))))
    first = shards.first_samples(measuring.most)
    figures = {
        "sampling_seconds": seconds,
        "samples_drawn_now": int(drawn_now),
        "samples_per_second": float(drawn_now / seconds),
        "peak_memory_mebibytes_of_a_rank": round(int(kilobytes) / 1024),
    }
    return first, {**figures, **measuring.figures(first)}
