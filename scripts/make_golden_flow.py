"""Make tests/golden/lcm_flow.npz: trajectories of diffusers' LCM, TCD, flow-matching and flow-map schedulers, float32.

    python scripts/make_golden_flow.py [--check]

needs diffusers 0.42.1 and torch. Configurations are drawn with a fixed seed so that the values of every argument
alternate. Noise is not stored: it is drawn again from the seed. `--check` writes nothing. Stored for each
configuration: the samples after some of the steps, and the "error", how far they are from the float64 reference (null
where there is none: upscaling other than "nearest").

Left out, because diffusers 0.42.1 does something else there than this package, which its documentation tells:
epsilon at zero SNR and `shift_terminal` with a single step (NaN); custom LCM and TCD timesteps with `strength` (noise
after the last step); `invert_sigmas` with fresh noise (ends at noise); timesteps without sigmas under a shift (the two
do not belong together); repeated timesteps (starts at the second). A flow map takes no timesteps beside sigmas.
"""

import argparse
import json
import sys
import warnings
from pathlib import Path

import diffusers
import numpy as np
import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

import reference  # noqa: E402
import reference_flow  # noqa: E402

PATH = ROOT / "tests" / "golden" / "lcm_flow.npz"
DIFFUSERS_VERSION = "0.42.1"
BETAS = [
    {},
    {"beta_schedule": "linear", "beta_start": 0.0001, "beta_end": 0.02},
    {"beta_schedule": "squaredcos_cap_v2"},
    {"beta_schedule": "trained"},
]
LIMITS = [
    {},
    {"clip_sample": True},
    {"clip_sample": True, "clip_sample_range": 1.75},
    {"thresholding": True, "clip_sample": True},
    {"thresholding": True, "sample_max_value": 2.0, "dynamic_thresholding_ratio": 0.9},
]
DISTILLED = [
    {"num_inference_steps": 4},
    {"num_inference_steps": 1},
    {"num_inference_steps": 8, "original_inference_steps": 25},
    {"num_inference_steps": 2, "strength": 0.5},
    {"timesteps": [999, 759, 499, 259]},
    {"num_inference_steps": 7, "original_inference_steps": 100, "strength": 0.8},
    {"timesteps": [950, 700, 333, 20, 3]},
]
SHIFTS = [
    {},
    {"shift": 3.0},
    {"shift": 0.5},
    {"use_dynamic_shifting": True},
    {"use_dynamic_shifting": True, "time_shift_type": "linear"},
]
SPACINGS = [{}, {"use_karras_sigmas": True}, {"use_exponential_sigmas": True}, {"use_beta_sigmas": True}]
FLOW_STEPS = [
    {"num_inference_steps": 4},
    {"num_inference_steps": 10},
    {"num_inference_steps": 1},
    {"sigmas": [1.0, 0.75, 0.5, 0.25]},
    {"sigmas": [0.9, 0.6, 0.1], "timesteps": [950.0, 500.0, 50.0]},
    {"timesteps": [1000.0, 640.0, 320.5, 10.0]},
]
FLOW = {"shift": SHIFTS, "spacing": SPACINGS, "terminal": [{}, {"shift_terminal": 0.02}], "set": FLOW_STEPS}
SCALES = [
    {"scale_factors": [1.0, 2.0, 2.0], "upscale_mode": "nearest"},
    {"scale_factors": [1.0, 2.0, 2.0], "upscale_mode": "bilinear"},
    {"scale_factors": [1.5, 2.0, 2.5], "upscale_mode": "bicubic"},
]
PREDICTIONS = [{"prediction_type": kind} for kind in ("epsilon", "sample", "v_prediction")]
ZERO_SNR = [{}, {"rescale_betas_zero_snr": True}]
SCALINGS = [{}, {"timestep_scaling": 0.003}, {"original_inference_steps": 60}]
CHURN = [{}, {"s_churn": 0.5}, {"s_churn": 8.0, "s_noise": 1.01, "s_tmin": 0.1, "s_tmax": 0.9}]
OPTIONS = {
    "LCMScheduler": (
        24,
        {
            "betas": BETAS,
            "limit": LIMITS,
            "prediction": PREDICTIONS,
            "zero": ZERO_SNR,
            "scaling": SCALINGS,
            "set": DISTILLED,
        },
    ),
    "TCDScheduler": (
        20,
        {
            "betas": BETAS,
            "prediction": PREDICTIONS,
            "zero": ZERO_SNR,
            "set": DISTILLED,
            "step": [{}, {"eta": 0.0}, {"eta": 1.0}, {"eta": 0.6}],
        },
    ),
    "FlowMatchEulerDiscreteScheduler": (
        40,
        {**FLOW, "invert": [{}, {}, {"invert_sigmas": True}], "stochastic": [{}, {"stochastic_sampling": True}]},
    ),
    "FlowMatchHeunDiscreteScheduler": (10, {"shift": SHIFTS[:3], "set": FLOW_STEPS[:3], "step": CHURN}),
    "FlowMatchLCMScheduler": (14, {**FLOW, "scale": [{}, {}, *SCALES]}),
    "FlowMapEulerDiscreteScheduler": (10, {"shift": SHIFTS[:3], "set": FLOW_STEPS[:4] + FLOW_STEPS[5:]}),
}

LATER = ("FlowMapEulerDiscreteScheduler",)


def is_comparable(config):
    """Whether diffusers and this package mean the same, see above."""
    init, chosen = config["init"], config["set"]
    moving = init.get("shift", 1.0) != 1 or init.get("use_dynamic_shifting") or init.get("shift_terminal")
    spaced = any(name.endswith("_sigmas") and name != "invert_sigmas" for name in init)
    if init.get("rescale_betas_zero_snr") and init["prediction_type"] == "epsilon":
        return False
    if chosen.get("num_inference_steps") == 1 and init.get("shift_terminal"):
        return False
    if init.get("invert_sigmas") and init.get("stochastic_sampling"):
        return False
    if init.get("scale_factors") and len(chosen.get("sigmas", range(chosen.get("num_inference_steps", 0)))) != 4:
        return False
    return not ("timesteps" in chosen and "sigmas" not in chosen and (moving or spaced))


def draw(name, generator):
    """Draws configurations of one class: each option goes through its values in a new order again and again."""
    count, options = OPTIONS[name]
    decks, configs = {option: [] for option in options}, []
    while len(configs) < count:
        config = {"scheduler": name, "init": {}, "set": {}, "step": {}}
        for option, values in options.items():
            if not decks[option]:
                decks[option] = [values[i] for i in generator.permutation(len(values))]
            config[option if option in ("set", "step") else "init"].update(decks[option].pop())
        if config["init"].get("use_dynamic_shifting"):
            config["set"]["mu"] = [0.7, 1.15][len(configs) % 2]
        if is_comparable(config) and config not in configs:
            configs.append(config)
    return configs


def per_token():
    """Configurations with a timestep for every token."""
    name = "FlowMatchEulerDiscreteScheduler"
    for init in ({}, {"shift": 3.0}, {"use_karras_sigmas": True}):
        for steps in (3, 6):
            chosen = {"num_inference_steps": steps}
            yield {"scheduler": name, "init": init, "set": chosen, "step": {}, "per_token": True}


def diffusers_trajectory(config, seed):
    """All samples of a trajectory of diffusers, one after each step."""
    name, tokens = config["scheduler"], config.get("per_token")
    scheduler = getattr(diffusers, name)(**reference_flow.arguments(config))
    scheduler.set_timesteps(**config["set"])
    module = sys.modules[type(scheduler).__module__]
    x, samples = reference_flow.draws(seed, -1, reference_flow.TOKENS if tokens else reference_flow.SHAPE), []
    timesteps = scheduler.timesteps.numpy()
    for i, t in enumerate(scheduler.timesteps):
        module.randn_tensor = lambda shape, i=i, **_: torch.from_numpy(reference_flow.draws(seed, i, tuple(shape)))
        options, told = dict(config["step"]), t.item()
        if tokens:
            told = reference_flow.token_timesteps(timesteps, i)
            options["per_token_timesteps"] = torch.from_numpy(told)
            told = told[..., None]
        elif name == "FlowMapEulerDiscreteScheduler":
            told = 0.5 * (told + np.append(timesteps, 0.0)[i + 1])
        out = reference_flow.toy_model(x, told, config)
        t = t if name.startswith("FlowMatch") else t.item()
        x = scheduler.step(torch.from_numpy(out), t, torch.from_numpy(x), **options).prev_sample.numpy()
        samples.append(x)
    return samples


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing")
    arguments = parser.parse_args()
    if diffusers.__version__ != DIFFUSERS_VERSION:
        raise SystemExit(f"diffusers {diffusers.__version__} is installed; {DIFFUSERS_VERSION} is needed")
    torch.set_num_threads(1)
    diffusers.utils.logging.set_verbosity_error()
    warnings.simplefilter("ignore")
    generator = np.random.default_rng(20250501)
    configs = [config for name in OPTIONS for config in draw(name, generator)]
    # The noise of a trajectory is drawn by its number: what came later comes last.
    configs = (
        [c for c in configs if c["scheduler"] not in LATER]
        + list(per_token())
        + [c for c in configs if c["scheduler"] in LATER]
    )
    index, stored, errors = [], {}, []
    for k, config in enumerate(configs):
        samples = diffusers_trajectory(config, seed=k)
        if not np.all([np.all(np.isfinite(sample)) for sample in samples]):
            raise SystemExit(f"not finite in diffusers: {config}")
        chosen, error = reference.checkpoints(len(samples)), None
        if config["init"].get("upscale_mode", "nearest") == "nearest":
            exact = reference_flow.reference_trajectory(config, seed=k)
            error = max(reference.relative_error(samples[i], exact[i]) for i in chosen)
            errors.append(error)
            print(f"{k:3d} {error:.1e} largest {np.max(np.abs(exact[-1])):.1e} {config}")
        index.append({"config": config, "seed": k, "error": error})
        for i in chosen:
            stored[f"{k}_{i}"] = samples[i]
    print(
        f"{len(configs)} configurations; diffusers against float64: median {np.median(errors):.2e}, "
        f"largest {np.max(errors):.2e}"
    )
    if arguments.check:
        return
    PATH.parent.mkdir(exist_ok=True)
    np.savez_compressed(PATH, index=np.array(json.dumps(index)), **stored)
    print(f"{PATH.relative_to(ROOT)}: {PATH.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
