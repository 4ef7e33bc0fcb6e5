"""Make tests/golden/other.npz: last samples of trajectories of diffusers' schedulers that are no sigma solvers.

    python scripts/make_golden_other.py [--check]

needs diffusers 0.42.1 and torch. diffusers runs in float64; how far its own float32 is from that is printed. Noise is
not stored: it is drawn again from the seed. `--check` writes nothing.

Left out, because diffusers 0.42.1 does something else there than this package, which docs_cn/deviations.md tells: the
first step of IPNDM from alpha = 0 (given sigmas start below 1 here), fewer than four steps of PNDM with Runge-Kutta.
Where RePaint undoes a step of several training timesteps it takes the betas of later ones: its strides are 1 here.
"""

import argparse
import json
import sys
import warnings
from importlib import import_module

import diffusers
import numpy as np
import torch
from make_golden_sigma import DIFFUSERS_VERSION, ROOT, Double

sys.path.insert(0, str(ROOT / "tests"))

from solver_trajectories import draws, toy_output  # noqa: E402

PATH = ROOT / "tests" / "golden" / "other.npz"
MODULES = {
    "CogVideoXDDIMScheduler": "ddim_cogvideox",
    "CogVideoXDPMScheduler": "dpm_cogvideox",
    "DDIMInverseScheduler": "ddim_inverse",
    "DDIMScheduler": "ddim",
    "DDPMScheduler": "ddpm",
    "DDIMParallelScheduler": "ddim_parallel",
    "DDPMParallelScheduler": "ddpm_parallel",
    "DDPMWuerstchenScheduler": "ddpm_wuerstchen",
    "IPNDMScheduler": "ipndm",
    "PNDMScheduler": "pndm",
    "RePaintScheduler": "repaint",
    "SCMScheduler": "scm",
    "UnCLIPScheduler": "unclip",
}
ZERO_SNR = {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing", "prediction_type": "v_prediction"}
DENSE = [
    ({}, 10),
    ({"beta_schedule": "squaredcos_cap_v2", "prediction_type": "v_prediction"}, 7),
    ({"beta_schedule": "linear", "steps_offset": 1, "set_alpha_to_one": False, "prediction_type": "sample"}, 6),
    ({"timestep_spacing": "trailing", "clip_sample": False}, 8),
    (ZERO_SNR, 5),
    ({}, 1),
]
PLMS = {"skip_prk_steps": True, "beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
FALLING = [0.99, 0.95, 0.8, 0.62, 0.4, 0.2, 0.07, 0.0]
CASES = {
    "CogVideoXDDIMScheduler": [*DENSE, ({"timestep_spacing": "linspace", "snr_shift_scale": 1.0}, 4)],
    "CogVideoXDPMScheduler": [*DENSE, ({"timestep_spacing": "linspace", "snr_shift_scale": 1.0}, 4)],
    "DDIMInverseScheduler": DENSE,
    "DDIMParallelScheduler": [*DENSE, ({"thresholding": True, "sample_max_value": 1.5}, 5)],
    "DDPMParallelScheduler": [({}, 10), ({"variance_type": "fixed_large", "prediction_type": "v_prediction"}, 6)],
    "DDPMWuerstchenScheduler": [({}, 8), ({"scaler": 2.0}, 5), ({"scaler": 0.5, "s": 0.02}, 1)],
    "IPNDMScheduler": [({"trained_betas": FALLING}, 7), ({"trained_betas": [0.1, 0.3]}, 1)],
    "PNDMScheduler": [
        ({}, 10),
        ({"prediction_type": "v_prediction", "set_alpha_to_one": True}, 9),
        ({"timestep_spacing": "trailing", "beta_schedule": "squaredcos_cap_v2"}, 4),
        ({"timestep_spacing": "linspace"}, 27),
        ({**PLMS, "steps_offset": 1}, 10),
        ({**PLMS, "prediction_type": "v_prediction", "timestep_spacing": "linspace"}, 7),
        (PLMS, 1),
        (PLMS, 2),
        ({**PLMS, "set_alpha_to_one": True}, 3),
    ],
    "RePaintScheduler": [
        (
            {"num_train_timesteps": 12, "beta_end": 0.3},
            {"num_inference_steps": 12, "jump_length": 3, "jump_n_sample": 2},
        ),
        ({"num_train_timesteps": 6, "beta_end": 0.5, "eta": 0.7}, {"num_inference_steps": 6, "jump_length": 2}),
        ({"clip_sample": False, "eta": 1.0}, {"num_inference_steps": 10, "jump_length": 10}),
    ],
    "SCMScheduler": [
        ({}, {"num_inference_steps": 2}),
        ({}, {"num_inference_steps": 1, "intermediate_timesteps": None}),
        ({"sigma_data": 1.0}, {"num_inference_steps": 4, "intermediate_timesteps": None, "max_timesteps": 1.5}),
    ],
    "UnCLIPScheduler": [({}, 10), ({"prediction_type": "sample", "clip_sample_range": 2.0}, 6)],
}


def steps_of(config, scheduler, x, noise, mask):
    """Runs a trajectory of diffusers' scheduler as its pipelines do, and returns its last sample."""
    name, timesteps = config["scheduler"], scheduler.timesteps
    if name in ("DDPMWuerstchenScheduler", "SCMScheduler"):
        timesteps = timesteps[:-1]
    before, last = None, timesteps[0] + 1
    for i, t in enumerate(timesteps):
        noise.index = i + 1
        output, options = toy_output(x, t.to(x.dtype)), config["step"]
        if name == "CogVideoXDPMScheduler":
            back = timesteps[i - 1] if i > 0 else None
            x, before = scheduler.step(output, before, t, back, x, return_dict=False)[:2]
            continue
        if name == "RePaintScheduler":
            if t >= last:
                x, last = scheduler.undo_step(x, last), t
                continue
            options, last = {"original_image": noise.values[0].flip(0), "mask": mask}, t
        elif name == "UnCLIPScheduler":
            options = {"prev_timestep": timesteps[i + 1] if i + 1 < len(timesteps) else None}
        elif name == "DDPMWuerstchenScheduler":
            t = t.expand(len(x))
        x = scheduler.step(output, t, x, **options).prev_sample
    return x


class Noise:
    """In place of diffusers' randn_tensor: given noise, by the number of the call of the model."""

    def __init__(self, values):
        self.values = values
        self.index = 0

    def __call__(self, *_, **__):
        """Returns the noise of the present call."""
        return self.values[self.index]


def diffusers_trajectory(config, seed, dtype):
    """Returns the last sample of a trajectory of diffusers in a dtype."""
    name = config["scheduler"]
    module = import_module(f"diffusers.schedulers.scheduling_{MODULES[name]}")
    torch.set_default_dtype(dtype)
    module.torch, module.np = (torch, np) if dtype == torch.float32 else (Double(torch), Double(np))
    scheduler = getattr(module, name)(**config["init"])
    scheduler.set_timesteps(**config["set"])
    module.randn_tensor = noise = Noise(torch.from_numpy(draws(seed, len(scheduler.timesteps))).to(dtype))
    mask = (noise.values[0] > 0.3).to(dtype)
    x = steps_of(config, scheduler, noise.values[0] * scheduler.init_noise_sigma, noise, mask)
    torch.set_default_dtype(torch.float32)
    assert x.dtype == dtype
    return x.double().numpy()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing")
    arguments = parser.parse_args()
    if diffusers.__version__ != DIFFUSERS_VERSION:
        raise SystemExit(f"diffusers {diffusers.__version__} is installed; {DIFFUSERS_VERSION} is needed")
    diffusers.utils.logging.set_verbosity_error()
    warnings.simplefilter("ignore")
    index, stored = [], {}
    for name, cases in CASES.items():
        for init, steps in cases:
            steps = steps if isinstance(steps, dict) else {"num_inference_steps": steps}
            options = {"eta": 0.5} if name == "DDIMParallelScheduler" else {}
            config, k = {"scheduler": name, "init": init, "set": steps, "step": options}, len(index)
            stored[str(k)] = diffusers_trajectory(config, k, torch.float64)
            single = diffusers_trajectory(config, k, torch.float32)
            error = np.abs(single - stored[str(k)]).max() / np.abs(stored[str(k)]).max()
            index.append({"config": config, "seed": k})
            print(f"{k:3d} {error:.1e} {np.abs(stored[str(k)]).max():.1e} {config}")
    if arguments.check:
        return
    np.savez_compressed(PATH, index=np.array(json.dumps(index)), **stored)
    print(f"{PATH.relative_to(ROOT)}: {PATH.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
