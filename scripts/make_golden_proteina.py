"""Make tests/golden/proteina.npz: trajectories of diffusers' RFD4ProteinaScheduler in float64.

    python scripts/make_golden_proteina.py

needs diffusers 0.42.1 and torch. The class runs as it is, with float64 as torch's default; its noise is replaced by
draws from a seed, which the test draws again. The velocity of the model is a toy.
"""

import json
from pathlib import Path

import diffusers
import numpy as np
import torch
from diffusers.schedulers import scheduling_rfd4_proteina

PATH = Path(__file__).resolve().parent.parent / "tests" / "golden" / "proteina.npz"
DIFFUSERS_VERSION = "0.42.1"
SHAPE = (2, 5, 3)
MASK = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]], bool)
MODES = [("log", "1/t"), ("log", "tan"), ("power", "1/t"), ("power", "tan")]
OPTIONS = [
    {"init": {"tsr_k": 2.0, "tsr_sigma": 0.3}, "set": {"num_inference_steps": 24}},
    {"init": {"tsr_k": 1.0, "tsr_sigma": 1.0, "tail_steps": 0}, "set": {"num_inference_steps": 9}},
    {
        "init": {"tsr_k": 0.5, "tsr_sigma": 2.0, "t_lim_ode": 0.7, "t_lim_ode_below": 0.1, "tail_steps": 3},
        "set": {"num_inference_steps": 14, "start_time": 0.35},
    },
    {
        "init": {"tsr_k": 6.0, "tsr_sigma": 0.1, "tail_steps": 4, "tail_step_multiplier": 3},
        "set": {"num_inference_steps": 20, "start_time": 0.0},
    },
    {"init": {"tsr_k": 3.0, "tsr_sigma": 1.0, "t_lim_ode": 0.0}, "set": {"num_inference_steps": 20, "start_time": 0.9}},
]


def draw(seed, step):
    """Noise of step `step` of trajectory `seed`; -1 is where it begins."""
    return np.random.default_rng((seed, step + 1)).standard_normal(SHAPE)


def toy_velocity(x, t):
    """The toy model."""
    return np.tanh(x) - t * x


def trajectory(seed, config):
    """Returns the times and the sample after each step."""
    scheduler = diffusers.RFD4ProteinaScheduler(**config["init"])
    scheduler.set_timesteps(**config["set"])
    x, samples = torch.tensor(draw(seed, -1) * MASK[..., None]), []
    for k, t in enumerate(scheduler.timesteps):
        scheduling_rfd4_proteina.randn_tensor = lambda *_, step=k, **__: torch.tensor(draw(seed, step))
        x = scheduler.step(torch.tensor(toy_velocity(x.numpy(), t.item())), t, x, torch.tensor(MASK)).prev_sample
        samples.append(x.numpy())
    return scheduler.timesteps.numpy(), np.stack(samples)


def main():
    """Writes the file."""
    if diffusers.__version__ != DIFFUSERS_VERSION:
        raise SystemExit(f"Needs diffusers {DIFFUSERS_VERSION}, but this is {diffusers.__version__}.")
    torch.set_default_dtype(torch.float64)
    configs = [
        {**options, "init": {"schedule_mode": schedule, "noise_mode": noise, **options["init"]}}
        for schedule, noise in MODES
        for options in OPTIONS
    ]
    arrays = {"configs": json.dumps(configs), "mask": MASK}
    for k, config in enumerate(configs):
        arrays[f"times_{k}"], samples = trajectory(k, config)
        arrays[f"samples_{k}"] = samples[[0, len(samples) // 2, -1]].astype(np.float32)
    temporary = PATH.with_suffix(".part.npz")
    np.savez_compressed(temporary, **arrays)
    temporary.replace(PATH)
    print(f"{len(configs)} trajectories, {PATH.stat().st_size / 1024:.0f} KiB, in {PATH}")


if __name__ == "__main__":
    main()
