"""Runs the example of docs_cn/own_data.md in a folder of its own, as a user would, and checks what comes out.

    python scripts/own_data.py

For each of the kinds of runs diffusion, edm and flow_matching: train for 200 steps, sample in float32 and float16,
compare four solvers, export, and sample from the file. Prints mean and variance of the samples beside those of the
held-out data; the exit code is 1 unless they are within 10 % (the mean in units of the standard deviation), and those
of the file are the model's. Takes some 10 minutes on 2 cores.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import yaml

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs_cn" / "own_data.md"
DPM = {"name": "DPMSolverMultistepScheduler"}
FLOW = {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}
RUNS = {
    "diffusion": {
        "scheduler": {
            "name": "DDIMScheduler",
            "beta_schedule": "squaredcos_cap_v2",
            "prediction_type": "v_prediction",
            "timestep_spacing": "trailing",
            "clip_sample": False,
        },
        "schedulers": [
            {"name": "DDIMScheduler"},
            {"name": "UniPCMultistepScheduler"},
            {"name": "EulerDiscreteScheduler"},
            DPM,
        ],
    },
    "edm": {
        "scheduler": {"name": "EDMHeunScheduler", "sigma_data": 1.0, "sigma_min": 0.02, "sigma_max": 20.0},
        "schedulers": [
            {"name": "EDMEulerScheduler"},
            {"name": "EDMHeunScheduler"},
            {"name": "EDMDPMSolverMultistepScheduler"},
            {"name": "EDMDPMSolverMultistepScheduler", "solver_order": 3},
        ],
    },
    "flow_matching": {
        "scheduler": {"name": "FlowMatchEulerDiscreteScheduler"},
        "training": {"density": "uniform"},
        "schedulers": [
            {"name": "FlowMatchEulerDiscreteScheduler"},
            {"name": "FlowMatchHeunDiscreteScheduler"},
            {"name": "FlowMatchLCMScheduler"},
            {**DPM, **FLOW},
        ],
    },
}


def main():
    """Runs the example; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", nargs="+", choices=RUNS, default=list(RUNS), help="kinds of runs (all)")
    options = parser.parse_args()
    good = True
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        base = write_example(folder)
        for kind in options.kinds:
            run = {**base, "run": kind, "output": str(folder / kind), "scheduler": RUNS[kind]["scheduler"]}
            if kind != "edm":
                common = {name: value for name, value in base["training"].items() if name != "sigma_loc"}
                run["training"] = {**common, **RUNS[kind].get("training", {})}
            run["compare"] = {"num_inference_steps": [20, 40], "schedulers": RUNS[kind]["schedulers"]}
            (folder / f"{kind}.yaml").write_text(yaml.safe_dump(run), encoding="utf-8")
            good = check(kind, folder) and good
    return int(not good)


def write_example(folder):
    """Writes the modules of the page; returns its configuration."""
    for language, text in re.findall(r"^```(\w+)\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.M | re.S):
        name = re.match(r"# ([\w/]+\.py)\n", text)
        if name:
            (folder / name[1]).write_text(text, encoding="utf-8")
        elif language == "yaml":
            configuration = yaml.safe_load(text)
    return configuration


def check(kind, folder):
    """Runs all commands of a kind; prints what came out and returns whether it is as it should be."""
    output = folder / kind

    def run(command, *overrides):
        words = [sys.executable, "-m", "mindscience_diffuser", command, "--config", f"{kind}.yaml", *overrides]
        ended = subprocess.run(words, cwd=folder, capture_output=True, text=True)
        if ended.returncode:
            raise SystemExit(f"{kind}, {command}: {ended.stderr[-2000:]}")

    def samples(name):
        with np.load(folder / name / "sample" / "samples.npz") as arrays:
            return arrays["samples"]

    run("train")
    run("compare")
    drawn = {}
    for dtype in ("float32", "float16"):
        common = [f"sampling.compute_dtype={dtype}", f"weights={output / 'train' / 'weights.safetensors'}"]
        run("sample", f"output={kind}-{dtype}", *common)
        run("export", f"output={kind}-{dtype}", *common)
        exported = f"sampling.exported={kind}-{dtype}/export/sampler.mindir"
        run("sample", f"output={kind}-{dtype}-file", exported, *common)
        drawn[dtype], drawn[f"{dtype}, file"] = samples(f"{kind}-{dtype}"), samples(f"{kind}-{dtype}-file")
    real = json.loads((output / "train" / "metrics.json").read_text(encoding="utf-8"))["samples"]
    mean, deviation = (real[name]["held_out"] for name in ("mean", "standard_deviation"))
    good = True
    for name, values in drawn.items():
        shift, ratio = (values.mean() - mean) / deviation, values.var() / deviation**2
        good = good and abs(shift) < 0.1 and abs(ratio - 1) < 0.1
        print(
            f"{kind}, {name}: mean {values.mean():.3f} of {mean:.3f}, variance {values.var():.3f} of {deviation**2:.3f}"
        )
    for dtype, atol in (("float32", 1e-4), ("float16", 5e-2)):
        good = good and np.allclose(drawn[dtype], drawn[f"{dtype}, file"], atol=atol)
    for row in json.loads((output / "compare" / "metrics.json").read_text(encoding="utf-8")):
        figures = " ".join(f"{row[name]['samples']:.3f}" for name in ("mean", "standard_deviation"))
        print(f"{kind}, {row['scheduler']}, {row['num_inference_steps']} steps: mean and deviation {figures}")
    return good


if __name__ == "__main__":
    sys.exit(main())
