"""Make tests/golden/compat.npz: last samples of diffusers' trajectories where the native schedulers follow other rules.

    python scripts/make_golden_compat.py [--check]

needs diffusers 0.42.1 and torch. diffusers runs in float64. Noise is not stored: it is drawn again from the seed.
`--check` writes nothing. These are configurations whose timesteps are uneven, do not end at timestep 0, or are so many
that their "leading" stride is far below T / n. Learned variances, and many more steps of DDIM and DDPM, are in
ddim_ddpm.npz.
"""

import argparse
import json
import sys
import types
import warnings

import diffusers
import make_golden_multistep
import make_golden_other
import make_golden_sigma
import numpy as np
import torch
from make_golden_sigma import DIFFUSERS_VERSION, ROOT

PATH = ROOT / "tests" / "golden" / "compat.npz"

LINSPACE, TRAILING = {"timestep_spacing": "linspace"}, {"timestep_spacing": "trailing"}
LEADING = {"timestep_spacing": "leading"}
LATENT = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012, "clip_sample": False}
KEEPS_NOISE = {"set_alpha_to_one": False, "steps_offset": 1}
MANY = [(LEADING, 600), ({**LEADING, "steps_offset": 1}, 70)]
DDIM = [
    (LINSPACE, 10),
    ({**LINSPACE, "clip_sample": False, "prediction_type": "v_prediction"}, 7),
    ({**TRAILING, "set_alpha_to_one": False}, 7),
    ({**KEEPS_NOISE, "prediction_type": "sample"}, 7),
    ({}, 600),
    (KEEPS_NOISE, 501),
]
DDPM = [
    *[({**TRAILING, "variance_type": kind}, 10) for kind in ("fixed_small", "fixed_small_log", "fixed_large")],
    ({"steps_offset": 1, "variance_type": "fixed_large"}, 6),
    ({"steps_offset": 1, "prediction_type": "v_prediction"}, 9),
    ({**LINSPACE, "variance_type": "fixed_large"}, 8),
    ({"variance_type": "fixed_large"}, 600),
    ({"variance_type": "fixed_large"}, {"timesteps": [900, 500, 321, 20]}),
]
PNDM = [
    (LINSPACE, 10),
    ({**TRAILING, "set_alpha_to_one": True}, 7),
    ({"prediction_type": "v_prediction", "steps_offset": 1}, 70),
    ({}, 600),
    ({"skip_prk_steps": True, **LINSPACE}, 10),
    ({"skip_prk_steps": True, **TRAILING, "prediction_type": "v_prediction"}, 7),
    ({"skip_prk_steps": True, **LATENT, **KEEPS_NOISE}, 70),
    ({"skip_prk_steps": True}, 600),
]
for init, _ in PNDM:
    init.pop("clip_sample", None)
MULTISTEP = [(LEADING, 150), *MANY]
TO_LEVEL = {"final_sigmas_type": "sigma_min"}
CASES = {
    make_golden_other: {
        "CogVideoXDDIMScheduler": DDIM,
        "CogVideoXDPMScheduler": DDIM,
        "DDIMInverseScheduler": [case for case in DDIM if case[0].get("timestep_spacing") != "linspace"],
        "DDIMParallelScheduler": DDIM,
        "DDIMScheduler": DDIM,
        "DDPMParallelScheduler": DDPM,
        "DDPMScheduler": DDPM,
        "PNDMScheduler": PNDM,
        "RePaintScheduler": [
            ({"eta": 0.4}, {"num_inference_steps": 7, "jump_length": 7}),
            ({"clip_sample": False}, {"num_inference_steps": 600, "jump_length": 600}),
        ],
    },
    make_golden_multistep: {
        "DEISMultistepScheduler": MULTISTEP,
        "DPMSolverMultistepInverseScheduler": MULTISTEP,
        "DPMSolverMultistepScheduler": [
            *MULTISTEP,
            ({**LEADING, "algorithm_type": "sde-dpmsolver++"}, 600),
            ({**LEADING, "algorithm_type": "dpmsolver", **TO_LEVEL}, 600),
            ({**LEADING, "beta_schedule": "squaredcos_cap_v2", "lambda_min_clipped": -5.1}, 150),
        ],
        "SASolverScheduler": [*MULTISTEP, ({**LEADING, "tau_func": 1.0}, 150)],
        "UniPCMultistepScheduler": [*MULTISTEP, ({**LEADING, **TO_LEVEL}, 600)],
    },
    make_golden_sigma: {
        "DPMSolverSDEScheduler": MANY,
        "EulerAncestralDiscreteScheduler": MANY,
        "EulerDiscreteScheduler": MANY,
        "HeunDiscreteScheduler": MANY,
        "KDPM2AncestralDiscreteScheduler": MANY,
        "KDPM2DiscreteScheduler": MANY,
        "LMSDiscreteScheduler": MANY,
    },
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing")
    arguments = parser.parse_args()
    if diffusers.__version__ != DIFFUSERS_VERSION:
        raise SystemExit(f"diffusers {diffusers.__version__} is installed; {DIFFUSERS_VERSION} is needed")
    torch.set_num_threads(1)
    # Only its Brownian tree needs torchsde.
    sys.modules.setdefault("torchsde", types.ModuleType("torchsde"))
    diffusers.utils.logging.set_verbosity_error()
    warnings.simplefilter("ignore")
    index, stored = [], {}
    for script, schedulers in CASES.items():
        for name, cases in schedulers.items():
            for init, chosen in cases:
                chosen = chosen if isinstance(chosen, dict) else {"num_inference_steps": chosen}
                step = {"eta": 0.5} if name in ("DDIMScheduler", "DDIMParallelScheduler") else {}
                config, k = {"scheduler": name, "init": init, "set": chosen, "step": step}, len(index)
                torch.set_default_dtype(torch.float64)
                sample = script.diffusers_trajectory(config, k, torch.float64)
                sample = sample[0] if isinstance(sample, tuple) else sample
                if not np.isfinite(sample).all():
                    raise SystemExit(f"not finite in diffusers: {config}")
                index.append({"config": config, "seed": k})
                stored[str(k)] = sample
                print(f"{k:3d} {np.abs(sample).max():.1e} {config}")
    if arguments.check:
        return
    np.savez_compressed(PATH, index=np.array(json.dumps(index)), **stored)
    print(f"{PATH.relative_to(ROOT)}: {PATH.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
