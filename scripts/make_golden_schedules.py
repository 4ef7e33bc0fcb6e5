"""Make tests/golden/schedules.npz: noise levels of named schedules, as other implementations compute them.

    python scripts/make_golden_schedules.py --comfyui CHECKOUT [--check]

needs diffusers 0.42.1 and torch, and a checkout of https://github.com/comfyanonymous/ComfyUI, of which three functions
are read and nothing is imported: its kl_optimal and Laplace schedules, and how it reads the tables of Align Your Steps
for other numbers of steps. The schedule of Mochi and the tables come from diffusers. `--check` writes nothing.
"""

import argparse
import ast
import json
import math
from pathlib import Path

import diffusers
import numpy as np
import torch
from diffusers.pipelines.mochi.pipeline_mochi import linear_quadratic_schedule
from diffusers.schedulers.scheduling_utils import AysSchedules

PATH = Path(__file__).resolve().parent.parent / "tests" / "golden" / "schedules.npz"
DIFFUSERS_VERSION = "0.42.1"
COUNTS = (2, 3, 7, 10, 50)
RANGES = ((14.6146, 0.0292), (80.0, 0.002))
ENDS = {"StableDiffusion": 0.029, "StableDiffusionXL": 0.029, "StableDiffusionVideo": 0.002}
"""Level of the end in the publication, in place of which diffusers has 0."""


def function(checkout, file, name):
    """Returns one function of a file, which is not imported."""
    tree = ast.parse((checkout / file).read_text(encoding="utf-8"))
    tree.body = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name]
    namespace = {"math": math, "np": np, "torch": torch}
    exec(compile(tree, file, "exec"), namespace)
    return namespace[name]


def schedules(checkout):
    """Returns the arrays of the file by name."""
    kl_optimal = function(checkout, "comfy/samplers.py", "kl_optimal_scheduler")
    laplace = function(checkout, "comfy/k_diffusion/sampling.py", "get_sigmas_laplace")
    interpolated = function(checkout, "comfy_extras/nodes_align_your_steps.py", "loglinear_interp")
    found = {"tables": json.dumps(AysSchedules)}
    for count in COUNTS:
        found[f"linear_quadratic_{count}"] = np.array(linear_quadratic_schedule(count, 0.025))
        for k, (high, low) in enumerate(RANGES):
            found[f"kl_optimal_{count}_{k}"] = kl_optimal(count, low, high).numpy()[:-1]
            found[f"laplace_{count}_{k}"] = laplace(count, low, high).numpy()
        for name, end in ENDS.items():
            found[f"{name}_{count}"] = interpolated([*AysSchedules[f"{name}Sigmas"][:-1], end], count + 1)
    return found


def main():
    """Writes the file."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--comfyui", type=Path, required=True, help="a checkout of ComfyUI")
    parser.add_argument("--check", action="store_true", help="write nothing")
    options = parser.parse_args()
    if diffusers.__version__ != DIFFUSERS_VERSION:
        raise SystemExit(f"diffusers {DIFFUSERS_VERSION} is needed, but this is {diffusers.__version__}.")
    found = schedules(options.comfyui)
    if not options.check:
        np.savez_compressed(PATH, **found)
    print(f"{len(found)} arrays, {PATH.stat().st_size / 1024:.0f} KiB in {PATH}")


if __name__ == "__main__":
    main()
