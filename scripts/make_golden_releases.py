"""Make tests/golden/releases.npz: trajectories of diffusers' schedulers that follow the sampler of one release.

    python scripts/make_golden_releases.py

needs diffusers 0.42.1 and torch. The classes run as they are; their noise is replaced by draws from a seed, which the
tests draw again. The cases, and the toy model, are those of tests/releases.py.
"""

import importlib
from types import SimpleNamespace

import diffusers
import numpy as np
import torch
from list_diffusers_api import ROOT, find
from releases import CASES, DRAWS, build, trajectory

PATH = ROOT / "tests" / "golden" / "releases.npz"
DIFFUSERS_VERSION = "0.42.1"


def main():
    """Writes the file."""
    if diffusers.__version__ != DIFFUSERS_VERSION:
        raise SystemExit(f"Needs diffusers {DIFFUSERS_VERSION}, but this is {diffusers.__version__}.")
    theirs = SimpleNamespace(**{name: find(name) for name in [*CASES, "FlowMatchEulerDiscreteScheduler"]})
    arrays = {}
    for name, cases in CASES.items():
        module = importlib.import_module(getattr(theirs, name).__module__)
        module.randn_tensor = lambda shape, **_: torch.tensor(DRAWS(shape), dtype=torch.float32)
        for k, case in enumerate(cases):
            scheduler = build(theirs, name, case)
            times, samples = trajectory(
                scheduler, k, case, lambda value: torch.tensor(value, dtype=torch.float32), lambda value: value.numpy()
            )
            arrays[f"{name}_{k}_times"] = times.astype(np.float32)
            arrays[f"{name}_{k}_samples"] = samples[[1, len(samples) // 2, -1]].astype(np.float32)
    tables = theirs.HeliosDMDScheduler()
    for name in ("start_sigmas", "end_sigmas", "ori_start_sigmas", "timestep_ratios"):
        arrays[f"HeliosDMDScheduler_{name}"] = np.array(list(getattr(tables, name).values()))
    for name in ("timesteps_per_stage", "sigmas_per_stage"):
        values = getattr(tables, name).values()
        arrays[f"HeliosDMDScheduler_{name}"] = np.array([value.numpy()[[0, 1, -1]] for value in values])
    temporary = PATH.with_suffix(".part.npz")
    np.savez_compressed(temporary, **arrays)
    temporary.replace(PATH)
    print(f"{sum(map(len, CASES.values()))} trajectories, {PATH.stat().st_size / 1024:.0f} KiB, in {PATH}")


if __name__ == "__main__":
    main()
