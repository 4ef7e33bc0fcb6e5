"""The ``sample`` command: draws samples by class from a trained model and measures them."""

import io
import json
import time
from pathlib import Path

import numpy as np
from mindspore import Tensor
from tqdm import tqdm

from mindscience_diffuser.files import write_atomically
from mindscience_diffuser.noise import NoiseSource
from mindscience_diffuser.runs.build import build_data, build_model, build_scheduler, check_step_options
from mindscience_diffuser.runs.config import to_yaml, with_values
from mindscience_diffuser.runs.errors import ConfigError
from mindscience_diffuser.runs.metrics import compare
from mindscience_diffuser.runs.pictures import save_sample_grid
from mindscience_diffuser.runs.weights import find_weights, load_weights
from mindscience_diffuser.sampling import ClassifierFreeGuidance, Sampler


def sample(config):
    """Draws the samples that `config` asks for and writes them below ``<output>/sample``.

    Written are ``samples.png`` (samples by class beside real digits), ``samples.npz`` (``images`` (N, 8, 8) in
    [-1, 1] and ``labels`` (N,)), ``config.yaml`` (the configuration with all defaults) and ``metrics.json``, each
    whole or not at all.

    Returns:
        Path of the directory.

    Raises:
        ConfigError: If the configuration cannot be carried out; nothing is compiled or written then.
    """
    path = find_weights(config.weights, Path(config.output) / "train" / "weights.safetensors")
    data = build_data(config)
    scheduler = build_scheduler(config, config.sampling.compute_dtype)
    model = build_model(config, data, config.sampling.compute_dtype)
    load_weights(model, path)
    check_sampling(config, scheduler)
    directory = Path(config.output) / "sample"
    directory.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    images, labels = draw(config, data, scheduler, model)
    seconds = time.perf_counter() - started
    figures = {"sampling_seconds": seconds, **measure(config, data, images, labels)}
    raw = io.BytesIO()
    np.savez(raw, images=images, labels=labels)
    write_atomically(directory / "samples.npz", raw.getvalue())
    write_atomically(directory / "config.yaml", to_yaml(with_values(config, weights=config.weights or str(path))))
    save_sample_grid(directory / "samples.png", images, labels, data, config.sampling.picture_per_class)
    write_atomically(directory / "metrics.json", json.dumps(figures, indent=2) + "\n")
    return directory


def check_sampling(config, scheduler):
    """Sets the scheduler's timesteps; raises ConfigError if the sampling section does not suit the scheduler."""
    check_step_options(config, scheduler)
    try:
        scheduler.set_timesteps(config.sampling.num_inference_steps)
        scheduler.plan_for(**config.sampling.step)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{config.scheduler.name} refuses what is set under 'sampling': {error}") from error


def draw(config, data, scheduler, model):
    """Draws `per_class` samples of every class.

    Sample k has class k modulo the number of classes and a noise stream of its own, so it does not depend on the
    batch size: the last batch is filled up with further samples, which are dropped.

    Returns:
        tuple of images (N, 8, 8), float32, and labels (N,).
    """
    sampling = config.sampling
    guided = model
    if sampling.guidance_scale != 1:
        guided = ClassifierFreeGuidance(model, sampling.guidance_scale, Tensor(np.zeros(data.classes, np.float32)))
    guided.set_train(False)
    scheduler.set_timesteps(sampling.num_inference_steps)
    sampler = Sampler(guided, scheduler, method="step", **sampling.step)
    count = sampling.per_class * data.classes
    size = min(sampling.batch_size, count)
    tokens = []
    batches = range(0, count, size)
    with tqdm(total=len(batches) * len(scheduler.timesteps), desc="sampling", unit="step") as bar:
        for first in batches:
            numbers = np.arange(first, first + size)
            source = NoiseSource(config.seed, numbers)
            noise = Tensor(source.standard_normal((size, data.length, data.channels)))
            condition = Tensor(data.condition(numbers % data.classes))
            final = sampler(noise, condition, generator=source, callback=lambda *_: bar.update())
            tokens.append(final.asnumpy().astype(np.float32))
    images = data.to_images(np.concatenate(tokens)[:count])
    return np.clip(images, -1, 1), np.arange(count) % data.classes


def measure(config, data, images, labels):
    """Returns the figures of samples beside those of real data."""
    return compare(data, images, labels, config.metrics.neighbours, config.metrics.reference_draws)
