"""Whole trajectories of 50 steps: ours in one graph, and the same loop in diffusers on PyTorch CPU.

    python scripts/bench/trajectory.py [--parts ratios pass model memory drawing compile] [--turns 7]
    python scripts/bench/trajectory.py --parts ratios --sizes large --cases DDPM LCM

- ratios: the toy model ``out = 0.5 * x``; time of our trajectory (unrolled, loop, one call a step) over diffusers',
  its noise given on both sides and, where there is any, drawn on both sides.
- pass: one DDIM step in the graph over one bare fused a*x + b*e pass in a graph of as many.
- model: with the shipped digits model, the share of a trajectory that is not the model.
- memory: how much the peak memory of a process grows from 1 to 50 steps in a graph, in samples.
- drawing: the time that drawing the noise takes on the host, over that of a DDPM trajectory with an untrained UNet of
  the default size, which is what drawing would add if the model did not run at the same time; some minutes.
- compile: seconds of the first call of an in-graph loop with the digits model, 200 steps over 20.

What is compared takes turns, each implementation in a process of its own (turns.py), medians over the measured calls.
"""

import argparse
import functools
import json
import os
import resource
import statistics
import subprocess
import sys

import mindspore as ms
import numpy as np
from mindspore import nn
from step import CASES, SIZES, STEPS, LinearPasses, arrays, given
from turns import Job, Processes, timed

import mindscience_diffuser
from mindscience_diffuser import NoiseSource, Sampler
from mindscience_diffuser.noise import draw_steps

METHODS = ("unrolled", "loop", "step")
MEMORY_SHAPE = (4, 16, 256, 256)
MEMORY_CASES = ("DDIM", "DDIM eta=1", "Heun", "DPM++ 2M", "UniPC", "PNDM")
RATIO_CASES = tuple(name for name, case in CASES.items() if case.noise != "drawn")


class HalfModel(nn.Cell):
    """The toy model: half its input."""

    def construct(self, x, timestep):
        """Returns 0.5 * x."""
        return 0.5 * x


@functools.cache
def fresh_noise(shape, steps):
    """Returns standard normal noise for every step."""
    return np.random.default_rng(1).standard_normal((steps, *shape), dtype=np.float32)


def our_scheduler(case, steps=STEPS):
    scheduler = getattr(mindscience_diffuser, case.scheduler)(**case.options)
    scheduler.set_timesteps(steps)
    return scheduler


def our_trajectory(name, shape, method, drawn=False):
    """Returns a function that times our trajectory; its noise is given, or drawn from a seed."""
    case = CASES[name]
    sampler = Sampler(HalfModel(), our_scheduler(case), method, **case.step)
    start = ms.Tensor(arrays(shape)[0])
    options = {}
    if sampler.stochastic:
        # Given noise is that of every step, which no cache holds.
        noise = None if drawn else ms.Tensor(fresh_noise(shape, len(sampler.plan)))
        options = {"generator": 0} if drawn else {"step_noise": noise}
    return timed(lambda: sampler(start, **options).asnumpy())


def their_trajectory(name, shape, drawn=False):
    """Returns a function that times diffusers' trajectory."""
    import diffusers
    import torch

    case = CASES[name]
    scheduler = getattr(diffusers, case.scheduler)(**case.options)
    scheduler.set_timesteps(STEPS)
    start = torch.from_numpy(arrays(shape)[0])
    scaled = hasattr(scheduler, "scale_model_input")
    given_noise = case.noise != "none" and not drawn
    noises = list(torch.from_numpy(fresh_noise(shape, len(scheduler.timesteps)))) if given_noise else None

    @torch.no_grad()
    def run():
        with given(noises, scheduler):
            x = start
            scheduler._step_index = None  # Where there is one, it stands at the end of the last trajectory.
            for t in scheduler.timesteps:
                given_to_model = scheduler.scale_model_input(x, t) if scaled else x
                x = scheduler.step(0.5 * given_to_model, t, x, **case.step, return_dict=False)[0]
            x.numpy()

    return timed(run)


def ratios(processes, turns, sizes=tuple(SIZES), cases=RATIO_CASES):
    for size in sizes:
        shape = SIZES[size]
        collected = {method: [] for method in METHODS}
        print(f"\n{size} {shape}: us a step, and ratio to diffusers")
        for name in cases:
            for drawn in (False, True) if CASES[name].noise == "given" else (False,):
                jobs = {method: Job("ours", our_trajectory, (name, shape, method, drawn)) for method in METHODS}
                jobs["diffusers"] = Job("diffusers", their_trajectory, (name, shape, drawn))
                found = processes.take_turns(jobs, turns)
                cells = [f"diffusers {found['diffusers'] / STEPS * 1e6:7.0f}"]
                for method in METHODS:
                    ratio = found[method] / found["diffusers"]
                    if not drawn:
                        collected[method].append(ratio)
                    cells.append(f"{method} {found[method] / STEPS * 1e6:7.0f} ({ratio:.3f})")
                print(f"  {name + ', drawn' * drawn:24}", "   ".join(cells), flush=True)
        means = {method: statistics.geometric_mean(values) for method, values in collected.items()}
        print("  geometric mean, noise given:", "   ".join(f"{method} {value:.3f}" for method, value in means.items()))


def bare_passes(shape):
    """Returns a function that times STEPS bare fused passes in a graph."""
    start, output, _ = map(ms.Tensor, arrays(shape))
    table = ms.Tensor(np.tile(np.float32([0.9, 0.1]), (STEPS, 1)))
    cell = LinearPasses(STEPS)
    return timed(lambda: cell(start, output, table).asnumpy())


def bare_pass(processes, turns):
    print("\none DDIM step in the graph over one bare fused a*x + b*e pass")
    for size, shape in SIZES.items():
        jobs = {
            "ours": Job("ours", our_trajectory, ("DDIM", shape, "unrolled")),
            "pass": Job("ours", bare_passes, (shape,)),
        }
        found = processes.take_turns(jobs, turns)
        print(
            f"  {size:6} ours (with the toy model) {found['ours'] / STEPS * 1e6:6.0f} us, "
            f"pass {found['pass'] / STEPS * 1e6:6.0f} us, ratio {found['ours'] / found['pass']:.2f}"
        )


class ModelAlone(nn.Cell):
    """The calls of the model that a trajectory makes, in the same kind of loop."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    @ms.jit
    def construct(self, x, timesteps, count, condition):
        """Feeds the model its own output `count` times."""
        i = ms.Tensor(0, ms.int32)
        while i < count:
            x = self.model(x, timesteps[i] + ms.mint.zeros((x.shape[0],), dtype=ms.int32), condition)
            i = i + 1
        return x


def digits_model():
    """Returns the shipped model with its weights."""
    from mindscience_diffuser.runs.config.load import load_config
    from mindscience_diffuser.runs.data.dataset import build_data
    from mindscience_diffuser.runs.kinds.models import build_model
    from mindscience_diffuser.runs.storage.weights import load_weights, shipped_file

    config = load_config(shipped_file("digits_ddim", ".yaml"))
    data = build_data(config)
    model = build_model(config, data)
    load_weights(model, shipped_file("digits_ddim", ".safetensors"))
    model.set_train(False)
    return model, data.sample_shape


def digits_run(batch, whole):
    """Returns a function that times a trajectory of the digits model in a loop, or its calls of the model alone."""
    model, shape = digits_model()
    x = ms.Tensor(np.random.default_rng(0).standard_normal((batch, *shape), dtype=np.float32))
    condition = ms.Tensor(np.eye(10, dtype=np.float32)[np.arange(batch) % 10])
    scheduler = our_scheduler(CASES["DDIM clip"])
    if whole:
        sampler = Sampler(model, scheduler, "loop")
        return timed(lambda: sampler(x, condition).asnumpy())
    alone = ModelAlone(model)
    timesteps, count = ms.Tensor(scheduler.timesteps, ms.int32), ms.Tensor(STEPS, ms.int32)
    return timed(lambda: alone(x, timesteps, count, condition).asnumpy())


def model_share(processes, turns):
    print("\nshare of a 50-step trajectory of the digits model that is not the model")
    for batch in (16, 128):
        jobs = {name: Job("ours", digits_run, (batch, name == "trajectory")) for name in ("trajectory", "model")}
        found = processes.take_turns(jobs, turns)
        share = 1 - found["model"] / found["trajectory"]
        print(f"  batch {batch:4}: trajectory {found['trajectory'] * 1e3:.1f} ms, not the model {share:.1%}")


def memory_of(name):
    """Prints by how many samples the peak memory of this process grows from trajectories of 1 step to those of all."""
    sampler = Sampler(HalfModel(), our_scheduler(CASES[name]), "loop", **CASES[name].step)
    x = ms.Tensor(np.random.default_rng(0).standard_normal(MEMORY_SHAPE, dtype=np.float32))
    peaks = []
    for steps in (1, None):
        sampler.select_steps(stop=steps)
        for _ in range(2):
            sampler(x, generator=0 if sampler.stochastic else None).asnumpy()
        peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
    print((peaks[1] - peaks[0]) / x.nbytes)


def memory(*_):
    print(f"\npeak memory of {STEPS} steps in a graph over that of 1, in samples")
    for name in MEMORY_CASES:
        command = [sys.executable, __file__, "--memory-of", name]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        print(f"  {name:16} {float(output.split()[-1]):.2f}")


def drawing(*_):
    print(f"\ndrawing the noise of {STEPS} steps over a trajectory with the UNet")
    shape = SIZES["large"]
    sampler = Sampler(mindscience_diffuser.UNet(shape[1], shape[1]).set_train(False), our_scheduler(CASES["DDPM"]))
    start = ms.Tensor(arrays(shape)[0])
    run = timed(lambda: sampler(start, generator=0).asnumpy())
    run()
    needed = sampler.plan.needs_noise
    draw = timed(lambda: draw_steps(needed, shape, NoiseSource(0, shape[0])))
    trajectory, drawn = run(), statistics.median(draw() for _ in range(5))
    print(f"  {shape}: {drawn * 1e3:.0f} ms of {trajectory * 1e3:.0f} ms, {drawn / trajectory:.2%}")


def first_call(model, shape, steps):
    """Returns the seconds by which the first call of an in-graph loop takes longer than the second."""
    sampler = Sampler(model, our_scheduler(CASES["DDIM"], steps), "loop")
    x, condition = ms.ops.zeros((steps, *shape)), ms.ops.zeros((steps, 10))
    run = timed(lambda: sampler(x, condition).asnumpy())
    return run() - run()


def compile_time(*_):
    print("\nfirst call of an in-graph loop with the digits model")
    model, shape = digits_model()
    first_call(model, shape, 50)  # The very first compilation in a process pays for more than itself.
    seconds = {steps: first_call(model, shape, steps) for steps in (20, 200)}
    print(f"  20 steps {seconds[20]:.2f} s, 200 steps {seconds[200]:.2f} s, ratio {seconds[200] / seconds[20]:.2f}")


def main():
    parts = {
        "ratios": lambda *of_all: ratios(*of_all, arguments.sizes, arguments.cases),
        "pass": bare_pass,
        "model": model_share,
        "memory": memory,
        "drawing": drawing,
        "compile": compile_time,
    }
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", default=list(parts), choices=list(parts))
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--sizes", nargs="+", default=list(SIZES), choices=list(SIZES), help="of the ratios")
    parser.add_argument("--cases", nargs="+", default=list(RATIO_CASES), choices=RATIO_CASES, help="of the ratios")
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.memory_of:
        memory_of(arguments.memory_of)
        return
    print("#", json.dumps({"mindspore": ms.__version__, "load": round(os.getloadavg()[0], 1)}))
    with Processes() as processes:
        for name in arguments.parts:
            parts[name](processes, arguments.turns)


if __name__ == "__main__":
    main()
