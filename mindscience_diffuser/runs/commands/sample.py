"""The ``sample`` command: draws samples by class from a trained model and measures them."""

import io
import json
import resource
import time
from contextlib import closing
from pathlib import Path

import numpy as np

from mindscience_diffuser.files import remove_partial_files, write_atomically
from mindscience_diffuser.runs.commands.export import load_exported
from mindscience_diffuser.runs.config.identity import deciding_values, file_checksum
from mindscience_diffuser.runs.config.load import to_yaml, with_values
from mindscience_diffuser.runs.distributed.ranks import gather, rank
from mindscience_diffuser.runs.errors import InterruptedRunError
from mindscience_diffuser.runs.evaluation.metrics import StreamedFigures, all_figures, compare
from mindscience_diffuser.runs.kinds.build import (
    build_data,
    build_scheduler,
    build_trained_model,
    check_measuring,
    check_sampling,
)
from mindscience_diffuser.runs.kinds.draw import draw_ranges, exported_trajectories, model_trajectories, sample_count
from mindscience_diffuser.runs.pictures.curves import save_sample_grid
from mindscience_diffuser.runs.storage.shards import MANIFEST, Shards

# These do not change a sample either; an exported file counts by its content.
NOT_DECIDING = ("training", "sampling.picture_per_class", "sampling.exported")


def sample(config):
    """Draws the samples that `config` asks for and writes them below ``<output>/sample``.

    They come from the model or, where ``sampling.exported`` names a file of the ``export`` command, from that file,
    which holds model and weights.

    Written are ``samples.png`` (samples by class beside real digits), ``samples.npz`` (``images`` (N, 8, 8) in
    [-1, 1] and ``labels`` (N,)), ``config.yaml`` (the configuration with all defaults) and ``metrics.json``, each
    whole or not at all. More than ``sampling.shard_size`` samples go into numbered files instead, see
    :class:`~mindscience_diffuser.runs.storage.shards.Shards`: they are drawn by all ranks of the launch, never held in
    memory together, and a run that was interrupted goes on where it was.

    Returns:
        Path of the directory.

    Raises:
        ConfigError: If the configuration cannot be carried out; nothing is compiled or written then.
    """
    data = build_data(config)
    scheduler = build_scheduler(config, config.sampling.compute_dtype)
    check_sampling(config, scheduler)
    check_measuring(config, data)
    if config.sampling.exported is None:
        model, weights = build_trained_model(config, data)
        config = with_values(config, weights=config.weights or str(weights))
        trajectories = model_trajectories(config, data, scheduler, model)
    else:
        weights = config.sampling.exported
        trajectories = exported_trajectories(config, scheduler, load_exported(config, data, scheduler))
    directory = Path(config.output) / "sample"
    if sample_count(config, data) > config.sampling.shard_size or (directory / MANIFEST).exists():
        images, labels, figures = sample_shards(config, data, trajectories, directory, weights)
    elif rank() == 0:
        images, labels, figures = sample_at_once(config, data, trajectories, directory)
    if rank() == 0:
        write_atomically(directory / "config.yaml", to_yaml(config))
        save_sample_grid(directory / "samples.png", images, labels, data, config.sampling.picture_per_class)
        write_atomically(directory / "metrics.json", json.dumps(figures, indent=2) + "\n")
    return directory


def sample_at_once(config, data, trajectories, directory):
    """Draws all samples into ``samples.npz``; returns images, labels and figures."""
    directory.mkdir(parents=True, exist_ok=True)
    remove_partial_files(directory)
    started = time.perf_counter()
    images, labels = list(draw_ranges(config, data, trajectories, [(0, sample_count(config, data))]))[0]
    seconds = time.perf_counter() - started
    raw = io.BytesIO()
    np.savez(raw, images=images, labels=labels)
    write_atomically(directory / "samples.npz", raw.getvalue())
    return images, labels, {"sampling_seconds": seconds, **measure(config, data, images, labels)}


def sample_shards(config, data, trajectories, directory, weights):
    """Draws the shards that are missing or damaged; returns images and labels of the first samples, and figures."""
    count = sample_count(config, data)
    identity = {**deciding_values(config, *NOT_DECIDING), "weights": f"sha256:{file_checksum(weights)}"}
    shards = Shards(directory, identity, count, config.sampling.shard_size)
    missing = shards.start()
    started = time.perf_counter()
    ranges = [shards.bounds(number) for number in missing]
    try:
        with closing(draw_ranges(config, data, trajectories, ranges, progress=rank() == 0)) as drawn:
            for number, (images, labels) in zip(missing, drawn):
                shards.write(number, images, labels)
    except KeyboardInterrupt:
        raise InterruptedRunError(
            f"interrupted. Kept are {shards.written()} of {len(shards)} files in '{shards.folder}': run the same "
            "command again to go on from there"
        ) from None
    shards.wait_for_all()
    seconds = time.perf_counter() - started

    streamed = StreamedFigures(data)
    for number in shards.of_this_rank():
        streamed.update(*shards.load(number))
    streamed.merge_ranks(data.length * data.channels)
    kilobytes = max(gather(np.int64(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)))
    drawn_now = sum(gather(np.int64(sum(last - first for first, last in ranges))))
    images, labels = shards.first_samples(len(data.train.images))
    figures = {
        "sampling_seconds": seconds,
        "samples_drawn_now": int(drawn_now),
        "samples_per_second": float(drawn_now / seconds),
        "peak_memory_mebibytes_of_a_rank": round(int(kilobytes) / 1024),
    }
    return images, labels, {**figures, **all_figures(data, streamed, images, *measuring(config))}


def measure(config, data, images, labels):
    """Returns the figures of samples beside those of real data."""
    return compare(data, images, labels, *measuring(config))


def measuring(config):
    """Returns what the configuration says about measuring."""
    return config.metrics.neighbours, config.metrics.reference_draws
