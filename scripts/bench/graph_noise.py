"""Noise of the steps drawn by the host and in the graph: DDPM with the toy model ``out = 0.5 * x``, in-graph loop.

    python scripts/bench/graph_noise.py [--steps 20] [--turns 9]

Printed are milliseconds a step, the fastest of the turns, which both kinds take one after the other, and the seconds of
the first call, which compiles.
"""

import argparse
import os
import time

os.environ.setdefault("GLOG_v", "3")

import mindspore as ms
from step import SIZES, arrays
from trajectory import HalfModel

from mindscience_diffuser import DDPMScheduler, Sampler


def seconds(call):
    """Returns how long a call takes until its result is there."""
    begin = time.perf_counter()
    call().asnumpy()
    return time.perf_counter() - begin


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--turns", type=int, default=9)
    options = parser.parse_args()
    print("| size | host, ms a step | graph, ms a step | host, first call, s | graph, first call, s |")
    print("| --- | --- | --- | --- | --- |")
    for shape in SIZES.values():
        start, calls = ms.Tensor(arrays(shape)[0]), []
        for noise_in_graph in (False, True):
            scheduler = DDPMScheduler()
            scheduler.set_timesteps(options.steps)
            sampler = Sampler(HalfModel(), scheduler, noise_in_graph=noise_in_graph)
            calls.append(lambda sampler=sampler, start=start: sampler(start, generator=0))
        first = [seconds(call) for call in calls]
        turns = [[seconds(call) for call in calls] for _ in range(options.turns)]
        each = [1e3 * min(times) / options.steps for times in zip(*turns)]
        print(f"| {shape} | {each[0]:.1f} | {each[1]:.1f} | {first[0]:.1f} | {first[1]:.1f} |", flush=True)


if __name__ == "__main__":
    main()
