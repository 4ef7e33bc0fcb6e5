"""Compare an Ascend device with the CPU, and time the steps there.

    python scripts/ascend_check.py [--parts golden samplers exported noise times] [--golden 24] [--repeats 7]

- golden: trajectories of 50 steps through `scheduler.step`, float32 and float16, against the samples that
  tests/golden/ddim_ddpm.npz stores of diffusers on CPU; `--golden` says how many of its configurations.
- samplers: trajectories of the shipped digits model, guided, in a Sampler: float32 and float16 on the device against
  float32 on CPU, computed in another process.
- exported: MINDIR files that this other process wrote on CPU, reloaded and run on the device.
- noise: what the integer operators of a graph draw, against the NumPy form; one wrong bit is a difference of about 1.
- times: microseconds a step, called one by one and as a trajectory in one graph, medians.

A difference is relative: the norm of the difference over the norm of the CPU's result, the worst over the stored steps.
Everything is run even if a case fails; the exit code is 1 if one fails or exceeds its tolerance. Without an Ascend
device the script says so and ends with 0; `--device CPU` runs the same code on the CPU.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# MindSpore explains at length why a device is missing; one sentence of ours is enough.
os.environ.setdefault("GLOG_v", "3")

import mindspore as ms
import numpy as np
from mindspore import Tensor

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "scripts" / "bench")]

import reference  # noqa: E402
from step import CASES, SIZES, STEPS, arrays  # noqa: E402
from trajectory import HalfModel  # noqa: E402

import mindscience_diffuser  # noqa: E402
from mindscience_diffuser import (  # noqa: E402
    CounterNoise,
    GraphNoise,
    NoiseSource,
    Sampler,
    compat,  # noqa: E402
)
from mindscience_diffuser.export import export_mindir, load_mindir  # noqa: E402
from mindscience_diffuser.runs.config.load import load_config  # noqa: E402
from mindscience_diffuser.runs.data.dataset import build_data  # noqa: E402
from mindscience_diffuser.runs.kinds.kind import kind_of  # noqa: E402
from mindscience_diffuser.runs.kinds.models import build_scheduler, build_trained_model  # noqa: E402
from mindscience_diffuser.runs.storage.weights import shipped_file  # noqa: E402

GOLDEN = ROOT / "tests" / "golden" / "ddim_ddpm.npz"
DTYPES = ("float32", "float16")
TOLERANCES = {
    "golden": {"float32": 1e-4, "float16": 2e-2},
    "samplers": {"float32": 1e-3, "float16": 5e-2},
    "exported": {"float32": 1e-3, "float16": 5e-2},
    "noise": {"float32": 1e-5, "float16": 1e-3},
}
PARTS = (*TOLERANCES, "times")
NOT_FOR_SCHEDULER = ("scheduler", "num_inference_steps", "eta", "use_clipped_model_output")

DIGITS = ["sampling.num_inference_steps=20", "sampling.guidance_scale=1.5"]
SAMPLERS = {
    "DDIM loop": ("loop", []),
    "DDIM unrolled": ("unrolled", ["sampling.num_inference_steps=4"]),
    "DDIM step": ("step", []),
    "DDIM eta=1 loop": ("loop", ["sampling.step.eta=1.0"]),
    "DDPM loop": ("loop", ["scheduler.name=DDPMScheduler", "sampling.step={}"]),
    "DDIM rescaled in an interval": (
        "loop",
        ["sampling.guidance_rescale=0.7", "sampling.guidance_interval=[200, 800]"],
    ),
}
EXPORTED = ("DDIM loop", "DDPM loop")


def ascend_available():
    """Whether MindSpore can use an Ascend device; asking does not fail where there is none."""
    ascend = ms.device_context.ascend
    try:
        return bool(ascend.is_available() and ascend.device_count() > 0)
    except (RuntimeError, ValueError):
        return False


def difference(value, expected):
    """Returns the norm of the difference over that of the expected value; NaN if anything is not finite."""
    value, expected = np.asarray(value, np.float64), np.asarray(expected, np.float64)
    return float(np.linalg.norm(value - expected) / np.linalg.norm(expected))


class Report:
    """Prints one line a case and counts those that fail."""

    def __init__(self):
        self.failures = 0

    def compare(self, part, name, cases):
        """Prints the differences of one case; `cases` maps a dtype to a function that returns the difference."""
        cells = []
        for dtype, case in cases.items():
            tolerance = TOLERANCES[part][dtype]
            try:
                found = case()
            except Exception as error:  # noqa: BLE001 - what a device refuses is told, the other cases go on
                self.failures += 1
                cells.append(f"{dtype} FAILS: {type(error).__name__}: {(str(error).splitlines() or [''])[0][:120]}")
                continue
            good = found <= tolerance
            self.failures += not good
            cells.append(f"{dtype} {found:.1e} {'ok' if good else f'EXCEEDS {tolerance:.0e}'}")
        print(f"  {name:72} " + "   ".join(cells), flush=True)


def golden(report, count):
    """Compares trajectories through `scheduler.step` with the stored ones of diffusers."""
    stored = np.load(GOLDEN)
    entries = json.loads(str(stored["index"]))
    usable = [
        k for k, e in enumerate(entries) if e["error"] is not None and e["config"]["num_inference_steps"] == STEPS
    ]
    chosen = [usable[i] for i in np.unique(np.linspace(0, len(usable) - 1, min(count, len(usable))).astype(int))]
    print(f"\ngolden: {len(chosen)} of {len(usable)} configurations of {STEPS} steps")
    for k in chosen:
        config = entries[k]["config"]
        limit = "threshold" if config["thresholding"] else "clip" if config["clip_sample"] else "free"
        variant = config["variance_type"] if config["scheduler"] == "DDPM" else f"eta={config['eta']}"
        words = [config[name] for name in ("scheduler", "beta_schedule", "timestep_spacing", "prediction_type")]
        cases = {
            dtype: lambda k=k, dtype=dtype: golden_difference(entries[k], stored[f"samples_{k}"], dtype)
            for dtype in DTYPES
        }
        report.compare("golden", f"{k:3} {' '.join(words)} {limit} {variant}", cases)


def golden_difference(entry, expected, dtype):
    """Runs the trajectory of one golden configuration; the toy model is evaluated in float32 on the host."""
    config, stream = entry["config"], reference.noise_stream(entry["seed"])
    scheduler = golden_scheduler(config, dtype)
    x = Tensor(next(stream).astype(dtype))
    samples = []
    for t in scheduler.timesteps.tolist():
        host = x.asnumpy().astype(np.float32)
        options = {"noise": Tensor(next(stream).astype(dtype))}
        if config["scheduler"] == "DDIM":
            options.update(eta=config["eta"], use_clipped_model_output=config["use_clipped_model_output"])
        elif reference.learns_variance(config):
            variance = reference.toy_variance(host, t, config["variance_type"])
            options["predicted_variance"] = Tensor(variance.astype(dtype))
        x = scheduler.step(Tensor(reference.toy_model(host, t, config).astype(dtype)), x, t, **options)
        samples.append(x.asnumpy())
    chosen = [samples[i] for i in reference.checkpoints(len(samples))]
    return max(difference(value, other) for value, other in zip(chosen, expected))


def golden_scheduler(config, dtype):
    """Returns our scheduler of a golden configuration, with the rules of diffusers that the samples follow."""
    arguments = {name: value for name, value in config.items() if name not in NOT_FOR_SCHEDULER}
    if config["beta_schedule"] == "trained":
        arguments["beta_schedule"] = "linear"
        arguments["trained_betas"] = reference.trained_betas(config["num_train_timesteps"])
    kind = getattr(compat, f"{config['scheduler']}Scheduler").native_class
    scheduler = kind(compute_dtype=getattr(ms, dtype), **arguments)
    scheduler.set_timesteps(config["num_inference_steps"])
    return scheduler


def digits_sampler(name, dtype):
    """Returns the sampler of one of SAMPLERS and its inputs in order: noise, fresh noise if any, condition."""
    method, overrides = SAMPLERS[name]
    config = load_config(shipped_file("digits_ddim", ".yaml"), [*DIGITS, *overrides, f"sampling.compute_dtype={dtype}"])
    data, scheduler = build_data(config), build_scheduler(config, dtype)
    kind_of(config).check_sampling(config, scheduler)
    model, _ = build_trained_model(config, data)
    sampler = kind_of(config).sampler(config, data, scheduler, model, method)
    shape = (data.classes, *data.sample_shape)
    source = NoiseSource(0, data.classes)
    inputs = [Tensor(source.standard_normal(shape))]
    if sampler.stochastic:
        inputs.append(Tensor(np.stack([source.standard_normal(shape) for _ in sampler.plan.timesteps]).astype(dtype)))
    return sampler, [*inputs, *map(Tensor, data.conditions(np.arange(data.classes)))]


def run_sampler(name, dtype):
    """Returns the samples of one of SAMPLERS."""
    sampler, (noise, *fresh, condition) = digits_sampler(name, dtype)
    options = {"step_noise": fresh[0]} if fresh else {}
    return sampler(noise, condition, **options).asnumpy()


def samplers(report, expected, names):
    """Compares trajectories of the digits model with those of the CPU."""
    print("\nsamplers: the shipped digits model, guided")
    for name in names:
        cases = {d: lambda name=name, d=d: difference(run_sampler(name, d), expected[name]) for d in DTYPES}
        report.compare("samplers", name, cases)


def exported(report, folder, expected, names):
    """Runs files that were exported on CPU."""
    print("\nexported: files written on CPU")
    for name in names:

        def case(dtype, name=name):
            sampler, inputs = digits_sampler(name, dtype)
            graph = load_mindir(exported_file(folder, name, dtype), plan=sampler.plan)
            return difference(graph(*inputs).asnumpy(), expected[name])

        report.compare("exported", name, {dtype: lambda dtype=dtype, case=case: case(dtype) for dtype in DTYPES})


def exported_file(folder, name, dtype):
    return folder / f"{name.replace(' ', '_')}_{dtype}.mindir"


def write_expected(folder, names, exported_names):
    """Writes what the device is compared with: samples in float32 and exported files."""
    np.savez(folder / "expected.npz", **{name: run_sampler(name, "float32") for name in {*names, *exported_names}})
    for name in exported_names:
        for dtype in DTYPES:
            sampler, inputs = digits_sampler(name, dtype)
            export_mindir(sampler, exported_file(folder, name, dtype), *inputs)


def noise(report):
    """Compares the noise that a device draws with integer operators with its NumPy form."""
    print("\nnoise: drawn by counters")
    shape, source, draw = (4, 3, 16, 17), CounterNoise(2**63 + 5, [0, 1, 7, 2**31 - 1]), GraphNoise()

    def case(dtype):
        seed, samples = Tensor(source.seed_words), Tensor(source.sample_numbers)
        drawn = draw(seed, samples, Tensor(3, ms.int32), ms.ops.zeros(shape, getattr(ms, dtype)))
        return difference(drawn.asnumpy(), source.draw(3, shape))

    report.compare("noise", f"draw 3 of {shape}", {dtype: lambda dtype=dtype: case(dtype) for dtype in DTYPES})


def times(sizes, repeats):
    """Prints the microseconds of a step, called one by one and inside a graph with a toy model."""
    print(f"\ntimes: us a step over {STEPS} steps, medians of {repeats}; in a graph with the model out = 0.5 * x")
    for size in sizes:
        shape = SIZES[size]
        for name in ("DDIM", "DDPM clip"):
            for dtype in DTYPES:
                found = {how: statistics.median(timed(run, repeats)) for how, run in runs(CASES[name], shape, dtype)}
                cells = "   ".join(f"{how} {seconds / STEPS * 1e6:8.0f}" for how, seconds in found.items())
                print(f"  {size:6}{shape!s:18} {name:10} {dtype}   {cells}", flush=True)


def runs(case, shape, dtype):
    """Yields the ways to run a trajectory: a name and a function that waits for the result."""
    start, output, noise = (Tensor(array.astype(dtype)) for array in arrays(shape))
    kind = getattr(mindscience_diffuser, case.scheduler)
    scheduler = kind(compute_dtype=getattr(ms, dtype), **case.options)
    scheduler.set_timesteps(STEPS)
    options = {**case.step, "noise": noise} if case.noise == "given" else case.step

    def eager():
        x = start
        for t in scheduler.timesteps.tolist():
            x = scheduler.step(output, x, t, **options)
        x.asnumpy()

    yield "step", eager
    fresh = {"step_noise": ms.ops.stack([noise] * STEPS)} if case.noise == "given" else {}
    for method in ("loop", "unrolled"):
        sampler = Sampler(HalfModel(), scheduler, method, **case.step)
        yield method, lambda sampler=sampler: sampler(start, **fresh).asnumpy()


def timed(run, repeats):
    """Returns the seconds of each of `repeats` runs, after two to warm up."""
    seconds = []
    for _ in range(repeats + 2):
        begin = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - begin)
    return seconds[2:]


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("Ascend", "CPU"), default="Ascend")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--golden", type=int, default=24, help="configurations of the golden part")
    parser.add_argument("--samplers", nargs="+", choices=SAMPLERS, default=list(SAMPLERS))
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES), help="of the times part")
    parser.add_argument("--write-expected", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.device == "Ascend" and not ascend_available():
        print(
            f"MindSpore {ms.__version__} finds no Ascend device here, so nothing was checked; --device CPU runs the "
            "same code on the CPU."
        )
        return 0
    if ms.get_context("device_target") != options.device:
        ms.set_device(options.device)
    exported_names = [name for name in EXPORTED if name in options.samplers and "exported" in options.parts]
    if options.write_expected:
        write_expected(options.write_expected, options.samplers, exported_names)
        return 0
    report = Report()
    print(f"MindSpore {ms.__version__}, device {options.device}. Largest relative differences allowed:")
    for part, tolerances in TOLERANCES.items():
        print(f"  {part:10}" + "   ".join(f"{dtype} {value:.0e}" for dtype, value in tolerances.items()))
    if "golden" in options.parts:
        golden(report, options.golden)
    if {"samplers", "exported"} & set(options.parts):
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, __file__, "--device", "CPU", "--write-expected", folder]
            names = options.samplers if "samplers" in options.parts else exported_names
            subprocess.run([*command, "--parts", *options.parts, "--samplers", *names], check=True)
            expected = np.load(Path(folder) / "expected.npz")
            if "samplers" in options.parts:
                samplers(report, expected, options.samplers)
            if exported_names:
                exported(report, Path(folder), expected, exported_names)
    if "noise" in options.parts:
        noise(report)
    if "times" in options.parts:
        times(options.sizes, options.repeats)
    print(f"\n{report.failures} differences are too large or could not be found." if report.failures else "\nAll good.")
    return min(report.failures, 1)


if __name__ == "__main__":
    sys.exit(main())
