"""Make tests/golden/sigma.npz: last samples of trajectories of diffusers' solvers in sigma form.

    python scripts/make_golden_sigma.py [--check]

needs diffusers 0.42.1 and torch. diffusers runs in float64, so that what is stored is free of the cancellation that its
own float32 has at high noise levels. That one is stored as "single": the largest difference of a run in float32,
relative to the largest value, null where it is not finite. Noise is not stored: it is drawn again from the seed.
`--check` writes nothing.

DPMSolverSDEScheduler draws its noise from a Brownian path here that is made of the given independent normals.
"""

import argparse
import json
import sys
import types
import warnings
from importlib import import_module
from pathlib import Path

import diffusers
import numpy as np
import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from solver_trajectories import draws, toy_output  # noqa: E402

PATH = ROOT / "tests" / "golden" / "sigma.npz"
DIFFUSERS_VERSION = "0.42.1"
MODULES = {
    "EulerDiscreteScheduler": "scheduling_euler_discrete",
    "EulerAncestralDiscreteScheduler": "scheduling_euler_ancestral_discrete",
    "HeunDiscreteScheduler": "scheduling_heun_discrete",
    "KDPM2DiscreteScheduler": "scheduling_k_dpm_2_discrete",
    "KDPM2AncestralDiscreteScheduler": "scheduling_k_dpm_2_ancestral_discrete",
    "LMSDiscreteScheduler": "scheduling_lms_discrete",
    "DPMSolverSDEScheduler": "scheduling_dpmsolver_sde",
    "CMStochasticIterativeScheduler": "scheduling_consistency_models",
    "ScoreSdeVeScheduler": "scheduling_sde_ve",
    "ScoreSdeVpScheduler": "deprecated.scheduling_sde_vp",
    "KarrasVeScheduler": "deprecated.scheduling_karras_ve",
}
SPACED = [
    ({}, 10),
    ({"use_karras_sigmas": True}, 7),
    ({"use_exponential_sigmas": True, "timestep_spacing": "leading", "steps_offset": 1}, 5),
    ({"use_beta_sigmas": True, "prediction_type": "v_prediction", "beta_schedule": "scaled_linear"}, 6),
    ({"timestep_spacing": "trailing", "beta_schedule": "squaredcos_cap_v2", "prediction_type": "v_prediction"}, 4),
    ({"timestep_spacing": "trailing"}, 1),
]
ZERO_SNR = {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing", "prediction_type": "v_prediction"}
CASES = {
    "EulerDiscreteScheduler": [
        *SPACED,
        (ZERO_SNR, 5),
        ({"prediction_type": "sample", "interpolation_type": "log_linear"}, 8),
        ({"final_sigmas_type": "sigma_min", "use_karras_sigmas": True, "sigma_min": 0.05, "sigma_max": 10.0}, 5),
        ({"timestep_type": "continuous", "prediction_type": "v_prediction"}, 5),
        ({}, 6, {"s_churn": 1.5, "s_tmin": 0.1, "s_tmax": 50.0, "s_noise": 1.01}),
    ],
    "EulerAncestralDiscreteScheduler": [
        *[(init, n) for init, n in SPACED if not any(name.endswith("_sigmas") for name in init)],
        (ZERO_SNR, 5),
    ],
    "HeunDiscreteScheduler": [
        *SPACED,
        ({"use_karras_sigmas": True, "beta_schedule": "squaredcos_cap_v2"}, 7),
        ({"prediction_type": "sample", "beta_schedule": "exp"}, 5),
        ({"clip_sample": True, "clip_sample_range": 0.8}, 5),
    ],
    "KDPM2DiscreteScheduler": SPACED,
    "KDPM2AncestralDiscreteScheduler": SPACED,
    "LMSDiscreteScheduler": [*SPACED, ({"prediction_type": "sample"}, 5), ({}, 6, {"order": 2})],
    "DPMSolverSDEScheduler": [*SPACED, ({}, 4, {"s_noise": 0.7})],
    "CMStochasticIterativeScheduler": [
        ({}, 2),
        ({}, 1),
        ({"sigma_max": 20.0, "rho": 5.0, "sigma_data": 0.8, "clip_denoised": False, "s_noise": 1.01}, 7),
    ],
    "ScoreSdeVeScheduler": [
        ({}, 6),
        ({"correct_steps": 2, "snr": 0.3, "sigma_max": 50.0}, 3),
        ({"correct_steps": 0}, 4),
    ],
    "ScoreSdeVpScheduler": [({}, 6), ({"num_train_timesteps": 1000, "beta_max": 12.0, "sampling_eps": 0.01}, 4)],
    "KarrasVeScheduler": [({}, 6), ({"sigma_max": 40.0, "s_churn": 2.0, "s_max": 30.0, "s_noise": 1.1}, 4)],
}


class Double:
    """A module in which float32 is float64."""

    def __init__(self, module):
        self.module = module

    def __getattr__(self, name):
        return getattr(self.module, "float64" if name == "float32" else name)


class BrownianPath:
    """Normalised increments of a Brownian motion, from one independent normal for each call of a two-call step."""

    def __init__(self, normals):
        self.normals = iter(normals)
        self.middle = None

    def __call__(self, sigma, sigma_next):
        """Returns W(sigma) - W(sigma_next) of unit variance."""
        normal = next(self.normals)
        if self.middle is None:
            self.middle = (sigma_next, normal * (sigma - sigma_next).sqrt())
            return normal
        (sigma_mid, so_far), self.middle = self.middle, None
        return (so_far + normal * (sigma_mid - sigma_next).sqrt()) / (sigma - sigma_next).sqrt()


def trajectory(scheduler, noise, step):
    """Returns the last sample of a scheduler that has a `step`."""
    scheduler.noise_sampler = BrownianPath(noise[1:])
    x = noise[0] * scheduler.init_noise_sigma
    for i, t in enumerate(scheduler.timesteps):
        draw_from(scheduler, noise[i + 1])
        output = toy_output(scheduler.scale_model_input(x, t), t.to(x.dtype))
        x = scheduler.step(output, t, x, **step).prev_sample
    return x


def trajectory_sde_ve(scheduler, noise, step):
    """Returns the last mean of the predictor-corrector sampler, as the pipeline does."""
    del step
    scheduler.set_sigmas(len(scheduler.timesteps))
    normals = iter(noise)
    x = next(normals) * scheduler.init_noise_sigma
    for t, sigma in zip(scheduler.timesteps, scheduler.sigmas.to(x.dtype)):
        for _ in range(scheduler.config.correct_steps):
            draw_from(scheduler, next(normals))
            x = scheduler.step_correct(toy_output(x, sigma, "ScoreSdeVeScheduler"), x).prev_sample
        draw_from(scheduler, next(normals))
        predicted = scheduler.step_pred(toy_output(x, sigma, "ScoreSdeVeScheduler"), t, x)
        x = predicted.prev_sample
    return predicted.prev_sample_mean


def trajectory_sde_vp(scheduler, noise, step):
    """Returns the last mean, as the pipeline does."""
    del step
    x = noise[0]
    for t, normal in zip(scheduler.timesteps.to(x.dtype), noise[1:]):
        draw_from(scheduler, normal)
        output = toy_output(x, t * (scheduler.config.num_train_timesteps - 1))
        x, mean = scheduler.step_pred(output, x, t * torch.ones(len(x), dtype=x.dtype))
    return mean


def trajectory_karras_ve(scheduler, noise, step):
    """Returns the last sample along the levels of the paper: those of diffusers are squared."""
    del step
    config, count = scheduler.config, scheduler.num_inference_steps
    levels = [*np.geomspace(config.sigma_max, config.sigma_min, count), 0.0]
    x = noise[0] * scheduler.init_noise_sigma
    for i, (sigma, sigma_next) in enumerate(zip(levels, levels[1:])):
        # The noise of the row before, which ends a step; the first level is above s_max.
        draw_from(scheduler, noise[2 * i])
        base, raised = scheduler.add_noise_to_input(x, sigma)
        predicted = scheduler.step(toy_output(base, raised, "KarrasVeScheduler"), raised, sigma_next, base)
        x = predicted.prev_sample
        if sigma_next > 0:
            output = toy_output(x, sigma_next, "KarrasVeScheduler")
            x = scheduler.step_correct(output, raised, sigma_next, base, x, predicted.derivative).prev_sample
    return x


TRAJECTORIES = {
    "ScoreSdeVeScheduler": trajectory_sde_ve,
    "ScoreSdeVpScheduler": trajectory_sde_vp,
    "KarrasVeScheduler": trajectory_karras_ve,
}


def draw_from(scheduler, normal):
    """Lets a scheduler of diffusers draw this noise."""
    sys.modules[type(scheduler).__module__].randn_tensor = lambda *_, **__: normal


def model_calls(scheduler, name):
    """Returns the number of model calls of a trajectory."""
    count = len(scheduler.timesteps)
    return 2 * count - 1 if name == "KarrasVeScheduler" else count * (1 + scheduler.config.get("correct_steps", 0))


def diffusers_trajectory(config, seed, dtype):
    """Returns the last sample of a trajectory of diffusers in a dtype, and the number of model calls."""
    name = config["scheduler"]
    module = import_module(f"diffusers.schedulers.{MODULES[name]}")
    module.torch, module.np = (torch, np) if dtype == torch.float32 else (Double(torch), Double(np))
    torch.set_default_dtype(dtype)
    scheduler = getattr(module, name)(**config["init"])
    scheduler.set_timesteps(**config["set"])
    calls = model_calls(scheduler, name)
    noise = torch.from_numpy(draws(seed, calls)).to(dtype)
    x = TRAJECTORIES.get(name, trajectory)(scheduler, noise, config["step"])
    assert x.dtype == dtype
    return x.double().numpy(), calls


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing")
    arguments = parser.parse_args()
    if diffusers.__version__ != DIFFUSERS_VERSION:
        raise SystemExit(f"diffusers {diffusers.__version__} is installed; {DIFFUSERS_VERSION} is needed")
    # Only its Brownian tree needs torchsde.
    sys.modules.setdefault("torchsde", types.ModuleType("torchsde"))
    diffusers.utils.logging.set_verbosity_error()
    warnings.simplefilter("ignore")
    configs = [
        {"scheduler": name, "init": init, "set": {"num_inference_steps": count}, "step": dict(*step)}
        for name, cases in CASES.items()
        for init, count, *step in cases
    ]
    index, stored = [], {}
    for k, config in enumerate(configs):
        stored[str(k)], calls = diffusers_trajectory(config, k, torch.float64)
        single, _ = diffusers_trajectory(config, k, torch.float32)
        error = float(np.abs(single - stored[str(k)]).max() / np.abs(stored[str(k)]).max())
        index.append({"config": config, "seed": k, "calls": calls, "single": error if np.isfinite(error) else None})
        print(f"{k:3d} {error:.1e} {config}")
    if arguments.check:
        return
    np.savez_compressed(PATH, index=np.array(json.dumps(index)), **stored)
    print(f"{PATH.relative_to(ROOT)}: {PATH.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
