"""The ``sample`` command: draws samples by class from a trained model and measures them."""

import io
import json
import time
from pathlib import Path

import numpy as np

from mindscience_diffuser.files import write_atomically
from mindscience_diffuser.runs.build import build_data, build_scheduler, build_trained_model, check_sampling
from mindscience_diffuser.runs.config import to_yaml, with_values
from mindscience_diffuser.runs.draw import draw, draw_exported
from mindscience_diffuser.runs.export import load_exported
from mindscience_diffuser.runs.metrics import compare
from mindscience_diffuser.runs.pictures import save_sample_grid


def sample(config):
    """Draws the samples that `config` asks for and writes them below ``<output>/sample``.

    They come from the model or, where ``sampling.exported`` names a file of the ``export`` command, from that file,
    which holds model and weights.

    Written are ``samples.png`` (samples by class beside real digits), ``samples.npz`` (``images`` (N, 8, 8) in
    [-1, 1] and ``labels`` (N,)), ``config.yaml`` (the configuration with all defaults) and ``metrics.json``, each
    whole or not at all.

    Returns:
        Path of the directory.

    Raises:
        ConfigError: If the configuration cannot be carried out; nothing is compiled or written then.
    """
    data = build_data(config)
    scheduler = build_scheduler(config, config.sampling.compute_dtype)
    check_sampling(config, scheduler)
    if config.sampling.exported is None:
        model, weights = build_trained_model(config, data)
        config = with_values(config, weights=config.weights or str(weights))
        source, drawing = model, draw
    else:
        source, drawing = load_exported(config, data, scheduler), draw_exported
    directory = Path(config.output) / "sample"
    directory.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    images, labels = drawing(config, data, scheduler, source)
    seconds = time.perf_counter() - started
    figures = {"sampling_seconds": seconds, **measure(config, data, images, labels)}
    raw = io.BytesIO()
    np.savez(raw, images=images, labels=labels)
    write_atomically(directory / "samples.npz", raw.getvalue())
    write_atomically(directory / "config.yaml", to_yaml(config))
    save_sample_grid(directory / "samples.png", images, labels, data, config.sampling.picture_per_class)
    write_atomically(directory / "metrics.json", json.dumps(figures, indent=2) + "\n")
    return directory


def measure(config, data, images, labels):
    """Returns the figures of samples beside those of real data."""
    return compare(data, images, labels, config.metrics.neighbours, config.metrics.reference_draws)
