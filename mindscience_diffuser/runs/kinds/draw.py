"""Drawing samples by class: from a model step by step, or from an exported file whole trajectories at a time."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from mindspore import Tensor
from tqdm import tqdm

from mindscience_diffuser.noise import NoiseSource, block_noise, draw_noise, draw_steps
from mindscience_diffuser.runs.kinds.build import build_sampler, plan_of
from mindscience_diffuser.runs.kinds.pixel_pyramid import block_noise_shapes


class Trajectories(NamedTuple):
    """How a batch is drawn.

    Attributes:
        steps (int): Steps of a trajectory.
        run (Callable): Takes noise, condition, the source of fresh noise and a function to call with the number of
            steps done; returns the final Tensor.
    """

    steps: int
    run: Callable


def model_trajectories(config, data, scheduler, model):
    """Returns the Trajectories of a model, compiled step by step."""
    sampler = build_sampler(config, data, scheduler, model, "step")

    def run(noise, condition, source, advance):
        noise = noise * scheduler.init_noise_sigma
        return sampler(noise, condition, generator=source, callback=lambda *_: advance(1))

    return Trajectories(len(sampler.plan), run)


def exported_trajectories(config, scheduler, graph):
    """Returns the Trajectories of a file of the ``export`` command, with the results of its model.

    A stochastic plan takes the noise of all its steps at once, so n times the memory of a batch is held for it.

    Args:
        config (DiffusionRun): Its sampling section says what is drawn.
        scheduler (Scheduler): Its plan is that of the file.
        graph (ExportedGraph): The reloaded file.
    """
    plan = plan_of(config, scheduler)

    def run(noise, condition, source, advance):
        inputs = [Tensor(draw(source)) for _, draw in further_noise(config, scheduler, plan, noise.shape)]
        final = graph(noise * scheduler.init_noise_sigma, *inputs, condition)
        advance(len(plan))
        return final

    return Trajectories(len(plan), run)


def further_noise(config, scheduler, plan, shape):
    """Returns what noise a whole trajectory takes besides its start.

    Args:
        config (DigitsRun): The configuration.
        scheduler (Scheduler): That of the trajectory.
        plan (StepPlan): Its steps.
        shape (tuple[int]): Shape of the start, ``(B, L, C)``.

    Returns:
        list of pairs: shape, and a function that draws it from a source.
    """
    if config.run == "pyramid_flow":
        shapes = block_noise_shapes(scheduler, shape[0])
        return [(block, functools.partial(block_noise, block, scheduler.gamma)) for block in shapes]
    if not plan.stochastic:
        return []
    dtype = config.sampling.compute_dtype
    return [((len(plan), *shape), lambda source: draw_steps(plan.needs_noise, shape, source).astype(dtype))]


def sample_count(config, data):
    """Returns how many samples a configuration asks for."""
    return config.sampling.per_class * data.classes


def draw(config, data, scheduler, model):
    """Draws `per_class` samples of every class from a model.

    Returns:
        tuple of images (N, 8, 8), float32, and labels (N,).
    """
    everything = [(0, sample_count(config, data))]
    return list(draw_ranges(config, data, model_trajectories(config, data, scheduler, model), everything))[0]


def draw_ranges(config, data, trajectories, ranges, progress=True):
    """Draws the samples [first, last) of each range, one range after the other under one progress bar.

    Sample k has class k modulo the number of classes and a noise stream of its own, so it does not depend on the
    batch size or on the range: the last batch of a range is filled up with further samples, which are dropped. All
    batches have one size, so one graph serves them.

    Yields:
        tuple of images (N, 8, 8), float32, and labels (N,) of a range.
    """
    size = min(config.sampling.batch_size, sample_count(config, data))
    batches = sum(len(range(first, last, size)) for first, last in ranges)
    with tqdm(total=batches * trajectories.steps, desc="sampling", unit="step", disable=not progress) as bar:
        for first, last in ranges:
            tokens = []
            for start in range(first, last, size):
                numbers = np.arange(start, start + size)
                source = NoiseSource(config.seed, numbers)
                noise = Tensor(draw_noise((size, data.length, data.channels), source))
                condition = Tensor(data.condition(numbers % data.classes))
                final = trajectories.run(noise, condition, source, bar.update)
                tokens.append(final.asnumpy().astype(np.float32))
            images = data.to_images(np.concatenate(tokens)[: last - first])
            yield np.clip(images, -1, 1), np.arange(first, last) % data.classes
