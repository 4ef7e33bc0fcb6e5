"""Make tests/golden/edm_euler.npz: trajectories of diffusers' EDMEulerScheduler in float32.

    python scripts/make_golden_edm.py [--check]

needs diffusers 0.42.1 and torch. The toy model is F(x, t) = 0.5 * tanh(x) + 0.1 * t. Noise is drawn from a seed, as the
test draws it again. `--check` writes nothing. Left out: custom `sigmas`, which diffusers takes for positions in [0, 1]
on its schedule and this package for the levels themselves.

tests/golden/diamond_*.npz were made by running the sampler of https://github.com/eloialonso/diamond in PyTorch on the
toy denoiser that their test describes.
"""

import argparse
import json
import sys
from pathlib import Path
from unittest import mock

import diffusers
import numpy as np
import torch
from diffusers.schedulers import scheduling_edm_euler

PATH = Path(__file__).resolve().parent.parent / "tests" / "golden" / "edm_euler.npz"
DIFFUSERS_VERSION = "0.42.1"
SHAPE = (2, 3, 4, 4)
CHURN = {"s_churn": 4.0, "s_tmin": 0.05, "s_tmax": 50.0, "s_noise": 1.003}
CONFIGS = [
    {"init": {}, "steps": 10},
    {"init": {}, "steps": 1},
    {"init": {"prediction_type": "v_prediction"}, "steps": 7},
    {"init": {"sigma_schedule": "exponential", "sigma_max": 120.0, "prediction_type": "v_prediction"}, "steps": 12},
    {"init": {"final_sigmas_type": "sigma_min", "sigma_data": 1.0}, "steps": 5},
    {"init": {"rho": 3.0, "sigma_min": 0.03, "sigma_max": 14.6}, "steps": 20},
    {"init": {}, "steps": 9, "step": CHURN},
    {"init": {"prediction_type": "v_prediction", "sigma_data": 0.7}, "steps": 6, "step": CHURN},
]


def draw(seed, step):
    """Noise before step `step` of trajectory `seed`; -1 is where it begins."""
    return np.random.default_rng((seed, step + 1)).standard_normal(SHAPE).astype(np.float32)


def trajectory(seed, config):
    scheduler = diffusers.EDMEulerScheduler(**config["init"])
    scheduler.set_timesteps(config["steps"])
    x = torch.tensor(draw(seed, -1) * np.float32(scheduler.init_noise_sigma))
    samples = []
    for i, t in enumerate(scheduler.timesteps):
        output = 0.5 * torch.tanh(scheduler.scale_model_input(x, t)) + 0.1 * t
        with mock.patch.object(scheduling_edm_euler, "randn_tensor", lambda *_, i=i, **__: torch.tensor(draw(seed, i))):
            x = scheduler.step(output, t, x, **config.get("step", {})).prev_sample
        samples.append(x.numpy())
    return {
        "samples": np.stack(samples),
        "sigmas": scheduler.sigmas.numpy(),
        "timesteps": scheduler.timesteps.numpy(),
        "init_noise_sigma": np.array(scheduler.init_noise_sigma),
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--check", action="store_true", help="compare with the file instead of writing it")
    check = parser.parse_args().check
    if diffusers.__version__ != DIFFUSERS_VERSION:
        sys.exit(f"needs diffusers {DIFFUSERS_VERSION}, but {diffusers.__version__} is installed")
    arrays = {"configs": np.array(json.dumps(CONFIGS))}
    for k, config in enumerate(CONFIGS):
        arrays.update({f"{name}_{k}": values for name, values in trajectory(k, config).items()})
    if check:
        with np.load(PATH) as stored:
            assert set(stored) == set(arrays)
            for name, values in arrays.items():
                assert name == "configs" or np.allclose(values, stored[name], rtol=1e-5, atol=1e-5), name
        return
    np.savez_compressed(PATH, **arrays)


if __name__ == "__main__":
    main()
