"""Drawing samples: from a model step by step, or from an exported file whole trajectories at a time."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from mindspore import Tensor
from tqdm import tqdm

from mindscience_diffuser.noise import CounterNoise, NoiseSource, draw_noise


class Trajectories(NamedTuple):
    """How a batch is drawn.

    Attributes:
        steps (int): Steps of a trajectory.
        run (Callable): Takes noise, conditions, the source of fresh noise and a function to call with the number of
            steps done; returns the final Tensor.
    """

    steps: int
    run: Callable


def model_trajectories(config, data, kind, scheduler, model):
    """Returns the Trajectories of a model, compiled step by step."""
    sampler = kind.sampler(config, data, scheduler, model, "step")

    def run(noise, conditions, source, advance):
        noise = noise * scheduler.init_noise_sigma
        return sampler(noise, *conditions, generator=source, callback=lambda *_: advance(1))

    return Trajectories(len(sampler.plan), run)


def exported_trajectories(config, data, kind, scheduler, graph):
    """Returns the Trajectories of a file of the ``export`` command, with the results of its model.

    A stochastic plan takes the noise of all its steps at once, so n times the memory of a batch is held for it, unless
    its graph draws the noise itself.

    Args:
        config (SampledRun): Its sampling section says what is drawn.
        data (DataSet): Gives the shape of a sample.
        kind (Kind): That of the run.
        scheduler (Scheduler): Its plan is that of the file.
        graph (ExportedGraph): The reloaded file.
    """
    plan = kind.plan(config, scheduler)

    def run(noise, conditions, source, advance):
        further = kind.further_noise(config, data, scheduler, plan, noise.shape[0])
        inputs = [Tensor(draw(source)) for *_, draw in further]
        final = graph(noise * scheduler.init_noise_sigma, *inputs, *conditions)
        advance(len(plan))
        return final

    return Trajectories(len(plan), run)


def draw(config, data, kind, scheduler, model):
    """Draws the samples that a configuration asks for; returns what is written of them, arrays ``(N, ...)`` by name."""
    everything = [(0, data.sample_count(config.sampling))]
    return list(draw_ranges(config, data, model_trajectories(config, data, kind, scheduler, model), everything))[0]


def draw_ranges(config, data, trajectories, ranges, progress=True):
    """Draws the samples [first, last) of each range, one range after the other under one progress bar.

    Sample k has conditions and a noise stream of its own, so it does not depend on the batch size or on the range: the
    last batch of a range is filled up with further samples, which are dropped and have the conditions of the last one
    that is kept: the data are asked for no others. All batches have one size, so one graph
    serves them.

    Yields:
        dict of what is written of a range, arrays ``(N, ...)`` by name.
    """
    size = min(config.sampling.batch_size, data.sample_count(config.sampling))
    noise_of = CounterNoise if config.sampling.noise_in_graph else NoiseSource
    batches = sum(len(range(first, last, size)) for first, last in ranges)
    with tqdm(total=batches * trajectories.steps, desc="sampling", unit="step", disable=not progress) as bar:
        for first, last in ranges:
            samples = []
            for start in range(first, last, size):
                numbers = np.arange(start, start + size)
                source = noise_of(config.seed, numbers)
                noise = Tensor(draw_noise((size, *data.sample_shape), source))
                conditions = [Tensor(values) for values in data.conditions(np.minimum(numbers, last - 1))]
                final = trajectories.run(noise, conditions, source, bar.update)
                samples.append(final.asnumpy().astype(np.float32))
            numbers = np.arange(first, last)
            yield data.arrays(np.concatenate(samples)[: last - first], data.conditions(numbers), numbers)
