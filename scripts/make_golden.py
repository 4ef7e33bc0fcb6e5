"""Make tests/golden/ddim_ddpm.npz: trajectories of diffusers' DDIM and DDPM in float32 for the golden tests.

    python scripts/make_golden.py [--check]

needs diffusers 0.42.1 and torch. Configurations are drawn with a fixed seed, each time taking from some candidates the
one that shows the most pairs of option values not yet seen. Noise is not stored: it is drawn again from the seed.
`--check` writes nothing. Stored for each configuration: the samples after some of the steps, and the "error", how far
they are from the float64 reference (null for NaN and for `fixed_large_log`). In float32 1 - alpha_bar / alpha_bar_prev
and alpha_bar itself lose digits, so with cosine betas diffusers can be off by more than 10^-4; there the samples of
diffusers' formulas in float64 are stored in place of those in float32 ("precision"; "error" remains that of float32).

Four habits of diffusers 0.42.1 are handled here: "trailing" may append a step at timestep -1, which is left out;
`fixed_large_log` takes the root of a logarithm, and DDIM with eta = 1 that of 1 - alpha_bar - s^2 where it can round
to below zero, so such trajectories are NaN ("finite" is false in the index) or, where beta = 1, finite and wrong; at
a step of zero SNR an epsilon prediction is divided by zero, so such configurations are not drawn.
"""

import argparse
import itertools
import json
import sys
from pathlib import Path

import diffusers
import numpy as np
import torch
from diffusers.schedulers import scheduling_ddpm

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

import reference  # noqa: E402

PATH = ROOT / "tests" / "golden" / "ddim_ddpm.npz"
DIFFUSERS_VERSION = "0.42.1"

COUNTS = {"DDIM": 72, "DDPM": 64}
LONGEST, MOST_LONGEST = 999, 8
TOLERANCE = 1e-4
X0_FORMS = {
    "free": {"clip_sample": False, "thresholding": False},
    "clip": {"clip_sample": True, "thresholding": False},
    "clip_wide": {"clip_sample": True, "thresholding": False, "clip_sample_range": 1.75},
    "threshold": {"clip_sample": True, "thresholding": True, "sample_max_value": 1.0},
    "threshold_wide": {
        "clip_sample": False,
        "thresholding": True,
        "sample_max_value": 2.0,
        "dynamic_thresholding_ratio": 0.9,
    },
}
X0_DEFAULTS = {"clip_sample_range": 1.0, "sample_max_value": 1.0, "dynamic_thresholding_ratio": 0.995}
SHARED = {
    "timestep_spacing": [("leading", 0), ("leading", 1), ("linspace", 0), ("trailing", 0)],
    "prediction_type": ["epsilon", "sample", "v_prediction"],
    "x0": list(X0_FORMS),
    "rescale_betas_zero_snr": [False, True],
    "num_inference_steps": [1, 7, 7, 7, 50, 50, 50, 50, 50, 50, LONGEST],
}
OPTIONS = {
    "DDIM": {
        **SHARED,
        "beta_schedule": ["linear", "scaled_linear", "squaredcos_cap_v2", "trained"],
        "eta": [0.0, 0.5, 1.0],
        "use_clipped_model_output": [False, True],
        "set_alpha_to_one": [True, False],
    },
    "DDPM": {
        **SHARED,
        "beta_schedule": ["linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid", "trained"],
        "variance_type": [
            "fixed_small",
            "fixed_small_log",
            "fixed_large",
            "fixed_large_log",
            "learned",
            "learned_range",
        ],
    },
}


def pairs(choice):
    """All pairs of (option, value) that a choice shows."""
    return set(itertools.combinations(sorted((name, str(value)) for name, value in choice.items()), 2))


def to_config(scheduler, choice):
    """The full configuration of a choice, in the form that tests/reference.py reads."""
    config = {"scheduler": scheduler, **X0_DEFAULTS, **choice}
    config.update(X0_FORMS[config.pop("x0")])
    config["timestep_spacing"], config["steps_offset"] = choice["timestep_spacing"]
    config["beta_start"], config["beta_end"] = (
        (0.00085, 0.012) if choice["beta_schedule"] == "scaled_linear" else (0.0001, 0.02)
    )
    short = choice["beta_schedule"] == "trained" and choice["num_inference_steps"] < 300
    config["num_train_timesteps"] = 300 if short else 1000
    return config


def is_defined(config):
    """Whether every step is defined: at zero SNR an epsilon prediction says nothing about the clean sample."""
    if config["prediction_type"] != "epsilon":
        return True
    return bool(np.all(reference.make_alphas_cumprod(config)[reference.make_timesteps(config)] > 0))


def draw(scheduler, generator, candidates=40):
    """Draw the configurations of one scheduler; the pairs of option values are covered greedily."""
    options, seen, configs, longest = OPTIONS[scheduler], set(), [], 0
    while len(configs) < COUNTS[scheduler]:
        best = None
        for _ in range(candidates):
            choice = {name: values[generator.integers(len(values))] for name, values in options.items()}
            config = to_config(scheduler, choice)
            if not is_defined(config) or config in configs:
                continue
            if choice["num_inference_steps"] == LONGEST and longest == MOST_LONGEST:
                continue
            gain = len(pairs(choice) - seen)
            if best is None or gain > best[0]:
                best = gain, choice, config
        seen |= pairs(best[1])
        configs.append(best[2])
        longest += best[2]["num_inference_steps"] == LONGEST
    every = set()
    for (name, values), (other, others) in itertools.combinations(sorted(options.items()), 2):
        every |= {((name, str(value)), (other, str(second))) for value in values for second in others}
    print(f"{scheduler}: {len(configs)} configurations show {len(seen & every)} of {len(every)} pairs of values")
    return configs


def diffusers_trajectory(config, seed, dtype=np.float32):
    """All samples of a trajectory of diffusers, one after each step; in float64 it is given alpha_bar in float64."""
    arguments = dict(config)
    for name in ("scheduler", "num_inference_steps", "eta", "use_clipped_model_output"):
        arguments.pop(name, None)
    if arguments["beta_schedule"] == "trained":
        arguments["beta_schedule"] = "linear"
        arguments["trained_betas"] = reference.trained_betas(config["num_train_timesteps"])
    ddim = config["scheduler"] == "DDIM"
    scheduler = (diffusers.DDIMScheduler if ddim else diffusers.DDPMScheduler)(**arguments)
    scheduler.set_timesteps(config["num_inference_steps"])
    scheduler.timesteps = scheduler.timesteps[scheduler.timesteps >= 0]
    assert scheduler.timesteps.tolist() == reference.make_timesteps(config).tolist(), config

    if dtype == np.float64:
        scheduler.alphas_cumprod = torch.from_numpy(reference.make_alphas_cumprod(config))
        if not config.get("set_alpha_to_one", True):
            scheduler.final_alpha_cumprod = scheduler.alphas_cumprod[0]
    stream = reference.noise_stream(seed)
    x, samples = next(stream).astype(dtype), []
    for t in scheduler.timesteps.tolist():
        noise, out = next(stream).astype(dtype), reference.toy_model(x, t, config)
        if ddim:
            stepped = scheduler.step(
                torch.from_numpy(out),
                t,
                torch.from_numpy(x),
                eta=config["eta"],
                use_clipped_model_output=config["use_clipped_model_output"],
                variance_noise=torch.from_numpy(noise),
            )
        else:
            if reference.learns_variance(config):
                out = np.concatenate([out, reference.toy_variance(x, t, config["variance_type"])], axis=1)
            # The noise has the shape of the sample, whatever is asked for.
            scheduling_ddpm.randn_tensor = lambda *_, noise=noise, **__: torch.from_numpy(noise)
            stepped = scheduler.step(torch.from_numpy(out), t, torch.from_numpy(x))
        x = stepped.prev_sample.numpy()
        samples.append(x)
    return samples


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing")
    arguments = parser.parse_args()
    if diffusers.__version__ != DIFFUSERS_VERSION:
        raise SystemExit(f"diffusers {diffusers.__version__} is installed; {DIFFUSERS_VERSION} is needed")
    torch.set_num_threads(1)
    generator = np.random.default_rng(20250411)
    configs = draw("DDIM", generator) + draw("DDPM", generator)
    index, stored, errors = [], {}, []
    for k, config in enumerate(configs):
        with np.errstate(invalid="ignore"):
            samples = diffusers_trajectory(config, seed=k)
        finite, error = bool(np.all(np.isfinite(samples))), None
        chosen = reference.checkpoints(len(samples))
        if finite and config.get("variance_type") != "fixed_large_log":
            exact = reference.reference_trajectory(config, seed=k, as_diffusers=True)
            error = max(reference.relative_error(samples[i], exact[i]) for i in chosen)
            errors.append(error)
            print(f"{k:3d} {error:.1e} largest {np.max(np.abs(exact)):.1e} {config}")
        double = error is not None and error > TOLERANCE
        if double:
            samples = diffusers_trajectory(config, seed=k, dtype=np.float64)
            remainder = max(reference.relative_error(samples[i], exact[i]) for i in chosen)
            print(f"    in float64 {remainder:.1e}")
        precision = "float64" if double else "float32"
        index.append({"config": config, "seed": k, "finite": finite, "error": error, "precision": precision})
        stored[f"samples_{k}"] = np.stack([samples[i] for i in chosen]).astype(np.float32)
    print(f"{len(configs)} configurations, {sum(entry['finite'] for entry in index)} of them finite in diffusers")
    print(f"diffusers against float64: median {np.median(errors):.2e}, largest {np.max(errors):.2e}")
    if arguments.check:
        return
    PATH.parent.mkdir(exist_ok=True)
    np.savez_compressed(PATH, index=np.array(json.dumps(index)), **stored)
    print(f"{PATH.relative_to(ROOT)}: {PATH.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
