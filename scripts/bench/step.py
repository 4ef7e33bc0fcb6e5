"""Microseconds of one eager `scheduler.step`, ours and, where installed, diffusers' (torch) and mindone's.

    python scripts/bench/step.py [--cases DDIM DDPM] [--sizes small large] [--turns 7] [--statistic min]

A loop over 50 steps is timed, with a fixed model output so that no model is measured, and divided by 50. Noise is
given to the step, unless the name of the case says that it is drawn. Each implementation runs in a
process of its own and they take turns (turns.py), so that drift of the machine hits all alike; medians over all
measured calls (`--statistic min` for a busy machine).
The limit is one compiled a*x + b*e pass, the least that any step must do: 50 in one graph ("pass"), and a call of a
graph with one pass, which adds what it costs to enter a compiled graph ("call").

mindone 0.5.0 pins an old huggingface_hub that diffusers 0.42.1 refuses. To have all three in one environment install
mindone first, then `pip install --no-deps diffusers==0.42.1` and a huggingface_hub of at least 1.32 with its needs.
"""

import argparse
import itertools
import json
import os
import statistics
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field

import mindspore as ms
import numpy as np
from mindspore import mint, nn
from turns import Job, Processes

import mindscience_diffuser

SIZES = {"small": (4, 4, 64, 64), "large": (4, 16, 128, 128)}
STEPS = 50
BUSY = 0.5
STATISTICS = {"median": statistics.median, "min": min}


@dataclass(frozen=True)
class Case:
    """A scheduler under the name that all implementations give it, its options and those of its step."""

    scheduler: str
    options: dict = field(default_factory=dict)
    step: dict = field(default_factory=dict)
    noise: str = "none"
    """ "none", "given" to the step, or "drawn" by it."""


FREE = {"beta_schedule": "linear", "clip_sample": False}
CLIPPED = {"beta_schedule": "linear", "clip_sample": True}

CASES = {
    "DDIM": Case("DDIMScheduler", FREE),
    "DDIM clip": Case("DDIMScheduler", CLIPPED),
    "DDIM eta=1": Case("DDIMScheduler", FREE, {"eta": 1.0}, noise="given"),
    "DDPM": Case("DDPMScheduler", {**FREE, "variance_type": "fixed_small"}, noise="given"),
    "DDPM clip": Case("DDPMScheduler", {**CLIPPED, "variance_type": "fixed_small"}, noise="given"),
    "DDPM drawn": Case("DDPMScheduler", {**FREE, "variance_type": "fixed_small"}, noise="drawn"),
    "LCM": Case("LCMScheduler", noise="given"),
    "TCD": Case("TCDScheduler", noise="given"),
    "FlowMatchEuler": Case("FlowMatchEulerDiscreteScheduler"),
    "FlowMatchHeun": Case("FlowMatchHeunDiscreteScheduler"),
    "FlowMatchLCM": Case("FlowMatchLCMScheduler", noise="given"),
    "Euler": Case("EulerDiscreteScheduler"),
    "Euler ancestral": Case("EulerAncestralDiscreteScheduler", noise="given"),
    "Heun": Case("HeunDiscreteScheduler"),
    "KDPM2": Case("KDPM2DiscreteScheduler"),
    "KDPM2 ancestral": Case("KDPM2AncestralDiscreteScheduler", noise="given"),
    "LMS": Case("LMSDiscreteScheduler"),
    "PNDM": Case("PNDMScheduler", {"skip_prk_steps": True}),
    "IPNDM": Case("IPNDMScheduler"),
    "DPM++ 2M": Case("DPMSolverMultistepScheduler"),
    "DPM++ 3M": Case("DPMSolverMultistepScheduler", {"solver_order": 3}),
    "DPM++ 2M SDE": Case("DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++"}, noise="given"),
    "DPM++ 2S": Case("DPMSolverSinglestepScheduler"),
    "UniPC": Case("UniPCMultistepScheduler"),
    "DEIS": Case("DEISMultistepScheduler"),
    "SA-Solver": Case("SASolverScheduler", noise="given"),
    "EDM Euler": Case("EDMEulerScheduler"),
    "EDM DPM++": Case("EDMDPMSolverMultistepScheduler"),
}


def arrays(shape):
    generator = np.random.default_rng(0)
    return [generator.standard_normal(shape, dtype=np.float32) for _ in range(3)]


@contextmanager
def given(noises, scheduler):
    """Makes a peer's scheduler, whose step has no argument for it, take `noises` in turn; None leaves it as it is."""
    module = sys.modules[type(scheduler).__module__]
    draw = getattr(module, "randn_tensor", None)
    if noises is not None:
        turns = itertools.cycle(noises)
        module.randn_tensor = lambda *_, **__: next(turns)
    try:
        yield
    finally:
        module.randn_tensor = draw


def ours(case, shape):
    """Returns a function that runs our 50 steps, or None where the scheduler is missing."""
    kind = getattr(mindscience_diffuser, case.scheduler, None)
    if kind is None:
        return None
    scheduler = kind(**case.options)
    start, output, noise = map(ms.Tensor, arrays(shape))
    options = {**case.step, "noise": noise} if case.noise == "given" else case.step

    def run():
        scheduler.set_timesteps(STEPS)
        timesteps = scheduler.timesteps.tolist()
        begin = time.perf_counter()
        x = start
        for t in timesteps:
            x = scheduler.step(output, x, t, **options)
        x.asnumpy()
        return time.perf_counter() - begin

    return run


def peer_run(kind, case, start, output, noise, to_numpy):
    """Returns a function that runs 50 steps of a scheduler with diffusers' calling convention."""
    scheduler = kind(**case.options)

    def run():
        scheduler.set_timesteps(STEPS)
        timesteps = scheduler.timesteps
        with given([noise] if case.noise == "given" else None, scheduler):
            begin = time.perf_counter()
            x = start
            for t in timesteps:
                x = scheduler.step(output, t, x, **case.step, return_dict=False)[0]
            to_numpy(x)
            return time.perf_counter() - begin

    return run


def diffusers_peer(case, shape):
    """Returns a function that runs 50 steps of diffusers, or None where it is missing."""
    # A step without scale_model_input would print a warning, every time.
    os.environ["DIFFUSERS_VERBOSITY"] = "error"
    try:
        import diffusers
        import torch
    except ImportError:
        return None
    kind = getattr(diffusers, case.scheduler)
    return torch.no_grad()(peer_run(kind, case, *map(torch.from_numpy, arrays(shape)), torch.Tensor.numpy))


def mindone_peer(case, shape):
    """Returns a function that runs 50 steps of mindone, or None where it or the scheduler is missing."""
    try:
        import mindone.diffusers
    except ImportError:
        return None
    kind = getattr(mindone.diffusers, case.scheduler, None)
    return kind and peer_run(kind, case, *map(ms.Tensor, arrays(shape)), ms.Tensor.asnumpy)


class LinearPasses(nn.Cell):
    """`count` times x <- a*x + b*e, the weights read from a table."""

    def __init__(self, count):
        super().__init__()
        self.count = count

    @ms.jit
    def construct(self, x, e, table):
        """Returns x after all passes."""
        for i in range(self.count):
            x = mint.add(x * table[i, 0], e, alpha=table[i, 1].item())
        return x


def limit(count, shape):
    """Returns the function that times STEPS passes, `count` of them in a graph."""
    cell = LinearPasses(count)
    start, output, _ = map(ms.Tensor, arrays(shape))
    table = ms.Tensor(np.tile(np.float32([0.9, 0.1]), (count, 1)))

    def run():
        begin = time.perf_counter()
        x = start
        for _ in range(STEPS // count):
            x = cell(x, output, table)
        x.asnumpy()
        return time.perf_counter() - begin

    return run


def attempt(make, case, shape):
    """Returns the function of a peer, or None where its first call fails, which is reported: the others go on."""
    run = make(case, shape)
    if run is None:
        return None
    try:
        run()
    except Exception as error:  # noqa: BLE001
        print(
            f"# {make.__name__} fails on {case.scheduler}: {type(error).__name__}: {str(error).splitlines()[0][:100]}"
        )
        return None
    return run


def jobs_of(case, shape):
    """Returns what is measured side by side."""
    return {
        "ours": Job("ours", ours, (case, shape)),
        "diffusers": Job("diffusers", attempt, (diffusers_peer, case, shape)),
        "mindone": Job("mindone", attempt, (mindone_peer, case, shape)),
        "pass": Job("ours", limit, (STEPS, shape)),
        "call": Job("ours", limit, (1, shape)),
    }


def cell(figures, column):
    """Returns one cell of the table: a ratio with three decimals, a time with none, a dash for what is missing."""
    if column not in figures:
        return f"{'-':>15}"
    return f"{figures[column]:15.3f}" if "/" in column else f"{figures[column]:15.0f}"


def versions():
    """Returns the versions of everything measured."""
    found = {"mindspore": ms.__version__}
    for name in ("torch", "diffusers", "mindone"):
        try:
            found[name] = __import__(name).__version__
        except (ImportError, AttributeError):
            continue
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=list(CASES))
    parser.add_argument("--sizes", nargs="+", default=list(SIZES), choices=list(SIZES))
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--statistic", choices=list(STATISTICS), default="median")
    parser.add_argument("--json", help="also write the figures to this file")
    arguments = parser.parse_args()
    print("#", ", ".join(f"{name} {version}" for name, version in versions().items()))
    load = os.getloadavg()[0]
    if load > BUSY:
        print(f"# The load of this machine is {load:.1f}: threads that are kept waiting distort the medians.")
    columns = ["ours", "diffusers", "mindone", "pass", "call", "ours/diffusers", "ours/mindone", "ours/call"]
    results = {}
    with Processes() as processes:
        for size in arguments.sizes:
            print(f"\n{str(SIZES[size]) + ', us a step':28}" + "".join(f"{name:>15}" for name in columns))
            for name in arguments.cases:
                jobs = jobs_of(CASES[name], SIZES[size])
                seconds = processes.take_turns(jobs, arguments.turns, STATISTICS[arguments.statistic])
                figures = {implementation: value / STEPS * 1e6 for implementation, value in seconds.items()}
                for peer in figures.keys() & {"diffusers", "mindone", "call"}:
                    figures[f"ours/{peer}"] = figures["ours"] / figures[peer]
                results.setdefault(size, {})[name] = figures
                print(f"{name:28}" + "".join(cell(figures, c) for c in columns), flush=True)
            for column in ("ours/diffusers", "ours/mindone"):
                ratios = [figures[column] for figures in results[size].values() if column in figures]
                if ratios:
                    print(f"geometric mean of {column}: {statistics.geometric_mean(ratios):.3f}")
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as file:
            json.dump(results, file, indent=1)


if __name__ == "__main__":
    main()
