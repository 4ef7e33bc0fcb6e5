"""Writes the golden files tests/golden/pyramid_*.npz: what Pyramid-Flow's own scheduler computes, in PyTorch float32.

    python scripts/make_golden_pyramid.py CLONE

CLONE is a clone of https://github.com/jy0205/Pyramid-Flow; needs torch and diffusers.
"""

import argparse
import importlib.util
import json
import math
from pathlib import Path

import numpy as np
import torch

GOLDEN = Path(__file__).parents[1] / "tests" / "golden"
CASES = {
    "pyramid_default": (10, {}),
    "pyramid_shift3_2stages": (7, {"shift": 3.0, "stages": 2, "stage_range": [0, 0.5, 1], "gamma": 0.25}),
}
SHAPE = (2, 4, 1, 4, 4)
POSITIONS = (0, 1, 499, -1)


def scheduler_class(clone):
    file = Path(clone) / "diffusion_schedulers" / "scheduling_flow_matching.py"
    spec = importlib.util.spec_from_file_location("scheduling_flow_matching", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.PyramidFlowMatchEulerDiscreteScheduler


def golden(scheduler, count):
    stages, gamma = scheduler.config.stages, scheduler.config.gamma
    sample = np.random.default_rng(7).standard_normal(SHAPE).astype(np.float32)
    values = {"sample": sample}
    for table in ("start_sigmas", "end_sigmas", "ori_start_sigmas", "timestep_ratios"):
        values[table] = np.array([getattr(scheduler, table)[stage] for stage in range(stages)])
    signal = 1 - values["ori_start_sigmas"]
    alpha = 1 / (math.sqrt(1 + 1 / gamma) * (1 - signal) + signal)
    values |= {"renoise_alpha": alpha, "renoise_beta": alpha * (1 - signal) / math.sqrt(gamma)}
    for stage in range(stages):
        values[f"timesteps_per_stage_{stage}"] = scheduler.timesteps_per_stage[stage].numpy()[list(POSITIONS)]
        scheduler.set_timesteps(count, stage)
        values[f"timesteps_{stage}"] = scheduler.timesteps.numpy()
        values[f"sigmas_{stage}"] = scheduler.sigmas.numpy()
        x = torch.from_numpy(sample)
        for t in scheduler.timesteps:
            out = (0.3 * x + 0.01 * t / 1000).float()
            x = scheduler.step(out, t, x, return_dict=False)[0]
        values[f"trajectory_end_{stage}"] = x.numpy()
    return values


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clone", help="clone of Pyramid-Flow")
    kind = scheduler_class(parser.parse_args().clone)
    for name, (count, config) in CASES.items():
        values = golden(kind(**config), count)
        np.savez(GOLDEN / f"{name}.npz", config=json.dumps(config), num_inference_steps=count, **values)


if __name__ == "__main__":
    main()
