"""Measures what a data-parallel training step costs on two processes with a core each, and extrapolates to more.

    msrun --worker_num 2 --local_worker_num 2 --join True python scripts/bench/scale.py

The model of a step with global batch B on N devices and V bytes of gradients, which one AllReduce averages:

    t(N) = fixed + per_sample * B / N + 2 (N - 1) * latency + 2 (N - 1) / N * V / bandwidth

The first two constants are fitted to steps of one process, the last two to AllReduces of several sizes between two, as
rings make them. Every time is the shortest of several, because other work on the machine only ever adds to it. The step
on two processes is measured too and printed beside what the model says; everything beyond two is extrapolated.
"""

import argparse
import os
import time

CORE = int(os.environ.get("RANK_ID", 0)) % os.cpu_count()
if os.environ.get("MS_ROLE") == "MS_WORKER":
    # Before MindSpore starts its threads: a device is a core here.
    os.sched_setaffinity(0, {CORE})

import mindspore as ms  # noqa: E402
import numpy as np  # noqa: E402
from mindspore import Tensor, ops  # noqa: E402

from mindscience_diffuser.runs.commands import training_step  # noqa: E402
from mindscience_diffuser.runs.config.load import load_config  # noqa: E402
from mindscience_diffuser.runs.distributed.ranks import join_ranks, rank, rank_count, wait_for_all  # noqa: E402
from mindscience_diffuser.runs.kinds.kind import kind_of  # noqa: E402

DEVICES = (1, 2, 4, 8, 16, 32, 64)


def main():
    """Measures and prints; rank 0 alone prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="configs/digits_ddim.yaml", help="training to measure (%(default)s)")
    parser.add_argument("--repeats", type=int, default=20, help="times of which the shortest counts (%(default)s)")
    options = parser.parse_args()
    join_ranks()
    if rank_count() != 2:
        parser.error("start two processes, as the first lines of this file show")
    config = load_config(options.config, ["training.warmup_steps=0"])
    batch = config.training.batch_size

    sizes = [batch // 4, batch // 2, batch]
    alone = [step_seconds(config, size, options.repeats, ranks=1) for size in sizes]
    per_sample, fixed = np.polyfit(sizes, alone, 1)
    together = step_seconds(config, batch, options.repeats, ranks=2)
    lengths = [2**12, 2**16, 2**20, 2**22]
    reductions = [reduction_seconds(length, options.repeats) for length in lengths]
    slope, intercept = np.polyfit(lengths, reductions, 1)
    latency, bandwidth = max(intercept, min(reductions)) / 2, 1 / slope
    shapes = [p.shape for p in kind_of(config).objective(config).model.trainable_params()]
    volume = 4 * sum(int(np.prod(shape)) for shape in shapes)

    def predicted(devices, samples):
        ring = 2 * (devices - 1)
        communication = ring * latency + ring / devices * volume / bandwidth
        return fixed + per_sample * samples / devices + communication

    if rank() > 0:
        return
    milliseconds = ", ".join(f"{1000 * seconds:.1f}" for seconds in alone)
    print(f"steps of one process at batches {sizes}: {milliseconds} ms")
    milliseconds = ", ".join(f"{1000 * seconds:.2f}" for seconds in reductions)
    print(f"AllReduce of {lengths} bytes between two: {milliseconds} ms")
    print(f"gradients: {volume} bytes, and as many are sent by each of two devices in a step")
    print(f"fixed {1000 * fixed:.1f} ms, per sample {1000 * per_sample:.3f} ms")
    print(f"latency {1000 * latency:.2f} ms, bandwidth {bandwidth / 2**20:.0f} MiB/s")
    print(f"global batch {batch} on two: measured {1000 * together:.0f} ms, model {1000 * predicted(2, batch):.0f} ms")
    print("| devices | same global batch: ms a step, speed-up | same batch a device: ms a step, efficiency |")
    for devices in DEVICES:
        strong, weak = predicted(devices, batch), predicted(devices, batch * devices)
        speed, efficiency = predicted(1, batch) / strong, predicted(1, batch) / weak
        print(f"| {devices} | {1000 * strong:.0f}, {speed:.2f} | {1000 * weak:.0f}, {efficiency:.2f} |")


def step_seconds(config, size, repeats, ranks):
    """Returns the time of a training step with this global batch on one rank or on both."""
    config = config.model_copy(update={"training": config.training.model_copy(update={"batch_size": size})})
    objective = kind_of(config).objective(config)
    training_step.rank_count = rank_count if ranks == 2 else lambda: 1
    training_step.rank = rank if ranks == 2 else lambda: 0
    trained = training_step.TrainingStep(objective, config.training)
    batch = objective.batches.batch(0)

    def once():
        for piece in trained(batch):
            piece.mean.asnumpy()

    return shortest(once, repeats)


def reduction_seconds(length, repeats):
    """Returns the time of one AllReduce of so many bytes."""
    reduce = ops.AllReduce()
    values = Tensor(np.ones(length // 4, np.float32))

    @ms.jit
    def compiled(values):
        return reduce(values)

    return shortest(lambda: compiled(values).asnumpy(), repeats)


def shortest(action, repeats):
    """Returns the shortest time of an action, after a first call that compiles; both ranks begin together."""
    action()
    seconds = []
    for _ in range(repeats):
        wait_for_all()
        started = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - started)
    return min(seconds)


if __name__ == "__main__":
    main()
