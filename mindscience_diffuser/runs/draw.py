"""Drawing samples by class: from a model step by step, or from an exported file whole trajectories at a time."""

import numpy as np
from mindspore import Tensor
from tqdm import tqdm

from mindscience_diffuser.noise import NoiseSource, draw_noise
from mindscience_diffuser.runs.build import build_sampler


def draw(config, data, scheduler, model):
    """Draws `per_class` samples of every class.

    Sample k has class k modulo the number of classes and a noise stream of its own, so it does not depend on the
    batch size: the last batch is filled up with further samples, which are dropped.

    Returns:
        tuple of images (N, 8, 8), float32, and labels (N,).
    """
    scheduler.set_timesteps(config.sampling.num_inference_steps)
    sampler = build_sampler(config, data, scheduler, model, "step")

    def trajectory(noise, condition, source, advance):
        return sampler(noise, condition, generator=source, callback=lambda *_: advance(1))

    return _draw(config, data, len(sampler.plan), trajectory)


def draw_exported(config, data, scheduler, graph):
    """Draws the samples that :func:`draw` draws, from a file of the ``export`` command.

    A stochastic plan takes the noise of all its steps at once, so n times the memory of a batch is held for it.

    Args:
        config (DiffusionRun): Its sampling section says what is drawn.
        data (Digits): Gives shapes and conditions.
        scheduler (Scheduler): Its plan is that of the file.
        graph (ExportedGraph): The reloaded file.

    Returns:
        tuple of images (N, 8, 8), float32, and labels (N,).
    """
    plan = scheduler.plan_for(**config.sampling.step)

    def trajectory(noise, condition, source, advance):
        inputs = [noise]
        if plan.stochastic:
            fresh = np.empty((len(plan), *noise.shape), config.sampling.compute_dtype)
            for step_noise in fresh:
                step_noise[:] = draw_noise(noise.shape, source)
            inputs.append(Tensor(fresh))
        final = graph(*inputs, condition)
        advance(len(plan))
        return final

    return _draw(config, data, len(plan), trajectory)


def _draw(config, data, steps, trajectory):
    """Draws batch by batch with `trajectory`, a function of noise, condition, source of fresh noise and progress."""
    count = config.sampling.per_class * data.classes
    size = min(config.sampling.batch_size, count)
    tokens = []
    batches = range(0, count, size)
    with tqdm(total=len(batches) * steps, desc="sampling", unit="step") as bar:
        for first in batches:
            numbers = np.arange(first, first + size)
            source = NoiseSource(config.seed, numbers)
            noise = Tensor(source.standard_normal((size, data.length, data.channels)))
            condition = Tensor(data.condition(numbers % data.classes))
            final = trajectory(noise, condition, source, bar.update)
            tokens.append(final.asnumpy().astype(np.float32))
    images = data.to_images(np.concatenate(tokens)[:count])
    return np.clip(images, -1, 1), np.arange(count) % data.classes
