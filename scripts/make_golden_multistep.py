"""Make tests/golden/multistep.npz: last samples of trajectories of diffusers' solvers in the log-SNR.

    python scripts/make_golden_multistep.py [--check]

needs diffusers 0.42.1 and torch. diffusers runs in float64, so that what is stored is free of the cancellation that its
own float32 has. That one is stored as "single": the largest difference of a run in float32, relative to the largest
value, null where it is not finite. Noise is not stored: it is drawn again from the seed. `--check` writes nothing.

Left out, because diffusers 0.42.1 does something else there, which docs_cn/deviations.md tells: third order of the
multistep DPM-Solvers, third order along the SDE, flows in the inversion.
"""

import argparse
import json
import sys
import warnings
from importlib import import_module
from pathlib import Path

import diffusers
import numpy as np
import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from make_golden_sigma import DIFFUSERS_VERSION, Double  # noqa: E402
from solver_trajectories import constructor_arguments, draws, toy_output  # noqa: E402

PATH = ROOT / "tests" / "golden" / "multistep.npz"
FLOW = {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}
ZERO_SNR = {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing", "prediction_type": "v_prediction"}
TO_NOISE_LEVEL = {"final_sigmas_type": "sigma_min"}
COSINE = {"beta_schedule": "squaredcos_cap_v2"}
CASES = {
    "DPMSolverMultistepScheduler": [
        ({}, 10),
        ({"use_karras_sigmas": True, "solver_type": "heun"}, 7),
        ({"algorithm_type": "dpmsolver", **TO_NOISE_LEVEL}, 20),
        ({"algorithm_type": "dpmsolver", "solver_type": "heun", "thresholding": True, **TO_NOISE_LEVEL}, 6),
        ({"algorithm_type": "sde-dpmsolver++"}, 6),
        ({"algorithm_type": "sde-dpmsolver++", "solver_type": "heun", "use_lu_lambdas": True}, 16),
        ({"algorithm_type": "sde-dpmsolver", **TO_NOISE_LEVEL}, 5),
        ({"solver_order": 1, "use_exponential_sigmas": True, "prediction_type": "v_prediction"}, 5),
        ({"timestep_spacing": "leading", "steps_offset": 1, "euler_at_final": True, **TO_NOISE_LEVEL}, 6),
        ({"timestep_spacing": "trailing", "lower_order_final": False, **TO_NOISE_LEVEL}, 5),
        ({**COSINE, "lambda_min_clipped": -5.1, "prediction_type": "sample"}, 6),
        ({**COSINE, "use_beta_sigmas": True}, 8),
        ({**COSINE, "use_karras_sigmas": True}, 20),
        ({**FLOW, "flow_shift": 3.0}, 6),
        ({**FLOW, "use_dynamic_shifting": True}, 5, {"mu": 0.7}),
        (ZERO_SNR, 5),
        ({"thresholding": True, "sample_max_value": 2.0}, 1),
        ({}, None, {"timesteps": [950, 700, 333, 20, 3]}),
    ],
    "DPMSolverMultistepInverseScheduler": [
        ({}, 6),
        ({"algorithm_type": "dpmsolver", "solver_type": "heun", "timestep_spacing": "trailing"}, 5),
        ({"use_karras_sigmas": True, "prediction_type": "v_prediction"}, 5),
        ({"solver_order": 1, "timestep_spacing": "leading", "steps_offset": 1, "euler_at_final": True}, 4),
    ],
    "DPMSolverSinglestepScheduler": [
        ({}, 10),
        ({"solver_order": 3, "solver_type": "heun"}, 11),
        ({"solver_order": 3, "lower_order_final": True, **TO_NOISE_LEVEL}, 6),
        ({"solver_order": 3, "algorithm_type": "dpmsolver", "solver_type": "heun", **TO_NOISE_LEVEL}, 6),
        ({"solver_order": 3, "algorithm_type": "sde-dpmsolver++", "use_karras_sigmas": True}, 7),
        ({"solver_type": "heun", "algorithm_type": "sde-dpmsolver++", "prediction_type": "v_prediction"}, 4),
        ({"solver_order": 1, "prediction_type": "sample", "use_beta_sigmas": True}, 3),
        ({**FLOW, "flow_shift": 2.0}, 5),
        ({"solver_order": 3}, 1),
    ],
    "UniPCMultistepScheduler": [
        ({}, 10),
        ({"solver_order": 3, "solver_type": "bh1", **TO_NOISE_LEVEL}, 8),
        ({"solver_type": "bh1", "predict_x0": False, **TO_NOISE_LEVEL}, 6),
        ({"solver_order": 3, "predict_x0": False, "prediction_type": "sample", **TO_NOISE_LEVEL}, 6),
        ({"solver_order": 1, "disable_corrector": [0, 3], "prediction_type": "v_prediction"}, 6),
        ({"use_exponential_sigmas": True, "sigma_min": 0.05, "sigma_max": 20.0, **TO_NOISE_LEVEL}, 6),
        ({**FLOW, "flow_shift": 3.0, "solver_order": 3, "lower_order_final": True}, 8),
        ({**FLOW, "use_karras_sigmas": True}, 5),
        ({**FLOW, "shift_terminal": 0.02}, 5),
        ({**FLOW, "use_dynamic_shifting": True, "time_shift_type": "linear"}, 5, {"mu": 1.15}),
        ({**FLOW, "flow_shift": 2.0}, None, {"sigmas": [1.0, 0.75, 0.5, 0.25]}),
        ({**COSINE, "use_beta_sigmas": True, "thresholding": True}, 4),
        (ZERO_SNR, 2),
        ({"timestep_spacing": "leading", "steps_offset": 1}, 1),
    ],
    "DEISMultistepScheduler": [
        ({}, 10),
        ({"solver_order": 3}, 16),
        ({"solver_order": 3, "use_karras_sigmas": True, "prediction_type": "v_prediction"}, 6),
        ({"solver_order": 1, "timestep_spacing": "trailing", "prediction_type": "sample"}, 4),
        ({**FLOW, "flow_shift": 2.0}, 5),
        ({**COSINE, "thresholding": True}, 4),
    ],
    "SASolverScheduler": [
        ({}, 10),
        ({"predictor_order": 3, "corrector_order": 4, "tau_func": 0.6}, 8),
        ({"predictor_order": 1, "corrector_order": 1, "tau_func": 1.0, "timestep_spacing": "trailing"}, 5),
        ({"predictor_order": 2, "corrector_order": 3, "algorithm_type": "noise_prediction", "tau_func": 0.5}, 6),
        ({"predictor_order": 4, "corrector_order": 2, "lower_order_final": False, "tau_func": 0.0}, 7),
        ({"use_karras_sigmas": True, "prediction_type": "v_prediction"}, 5),
        ({**FLOW, "flow_shift": 2.0}, 5),
        ({**COSINE, "lambda_min_clipped": -5.1, "thresholding": True, "prediction_type": "sample"}, 4),
    ],
    "EDMDPMSolverMultistepScheduler": [
        ({}, 10),
        ({"algorithm_type": "sde-dpmsolver++", "sigma_schedule": "exponential", "thresholding": True}, 5),
        ({"prediction_type": "v_prediction", "solver_type": "heun", **TO_NOISE_LEVEL}, 16),
        ({"solver_order": 1, "sigma_data": 1.0, "sigma_max": 10.0, "rho": 5.0}, 1),
    ],
    "CosineDPMSolverMultistepScheduler": [
        ({}, 10),
        ({"sigma_schedule": "karras", "solver_type": "heun", "prediction_type": "epsilon", **TO_NOISE_LEVEL}, 5),
    ],
}


def diffusers_trajectory(config, seed, dtype):
    """Returns the last sample of a trajectory of diffusers in a dtype, and the number of model calls."""
    module = import_module(getattr(diffusers, config["scheduler"]).__module__)
    module.torch, module.np = (torch, np) if dtype == torch.float32 else (Double(torch), Double(np))
    scheduler = getattr(module, config["scheduler"])(**constructor_arguments(config))
    chosen = {name: np.array(v) if isinstance(v, list) else v for name, v in config["set"].items()}
    scheduler.set_timesteps(**chosen)
    calls = len(scheduler.timesteps)
    noise = torch.from_numpy(draws(seed, calls)).to(dtype)
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(0)
    x = noise[0] * scheduler.init_noise_sigma
    for i, t in enumerate(scheduler.timesteps):
        module.randn_tensor = lambda *_, i=i, **__: noise[i + 1]
        # Its increments over disjoint intervals are independent.
        scheduler.noise_sampler = module.randn_tensor
        output = toy_output(scheduler.scale_model_input(x, t), t.to(dtype))
        x = scheduler.step(output, t, x, return_dict=False)[0]
    assert x.dtype == dtype
    return x.double().numpy(), calls


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing")
    arguments = parser.parse_args()
    if diffusers.__version__ != DIFFUSERS_VERSION:
        raise SystemExit(f"diffusers {diffusers.__version__} is installed; {DIFFUSERS_VERSION} is needed")
    torch.set_num_threads(1)
    diffusers.utils.logging.set_verbosity_error()
    warnings.simplefilter("ignore")
    index, stored = [], {}
    for name, cases in CASES.items():
        for init, count, *more in cases:
            chosen = {**({} if count is None else {"num_inference_steps": count}), **(more[0] if more else {})}
            config, k = {"scheduler": name, "init": init, "set": chosen, "step": {}}, len(index)
            torch.set_default_dtype(torch.float64)
            exact, calls = diffusers_trajectory(config, k, torch.float64)
            torch.set_default_dtype(torch.float32)
            rounded, _ = diffusers_trajectory(config, k, torch.float32)
            if not np.isfinite(exact).all():
                raise SystemExit(f"not finite in diffusers: {config}")
            single = np.abs(rounded - exact).max() / np.abs(exact).max()
            index.append({"config": config, "seed": k, "calls": calls, "single": single if single < np.inf else None})
            stored[str(k)] = exact
            print(f"{k:3d} {single:.1e} {config}")
    if arguments.check:
        return
    np.savez_compressed(PATH, index=np.array(json.dumps(index)), **stored)
    print(f"{PATH.relative_to(ROOT)}: {PATH.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
