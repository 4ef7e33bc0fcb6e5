"""Whole trajectories of DDIM and DDPM: compat against diffusers (golden files), native against the papers (float64)."""

import functools
import json
from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
import reference
from mindspore import dtype as mstype

import mindscience_diffuser
from mindscience_diffuser import compat

GOLDEN = np.load(Path(__file__).parent / "golden" / "ddim_ddpm.npz")
ENTRIES = json.loads(str(GOLDEN["index"]))
# Where diffusers is right but for rounding: neither NaN nor the root of a logarithm.
COMPARABLE = [k for k, entry in enumerate(ENTRIES) if entry["error"] is not None]
NOT_FOR_SCHEDULER = ("scheduler", "num_inference_steps", "eta", "use_clipped_model_output")
TOLERANCE = 1e-4
HALF_TOLERANCE = 0.02


def name_of(k):
    """A short name of configuration k, for pytest's output."""
    config = ENTRIES[k]["config"]
    limit = "threshold" if config["thresholding"] else "clip" if config["clip_sample"] else "free"
    options = [config["variance_type"]] if config["scheduler"] == "DDPM" else [f"eta{config['eta']}"]
    options += ["clipped_output"] * config.get("use_clipped_model_output", False)
    options += ["zero_snr"] * config["rescale_betas_zero_snr"]
    spacing = config["timestep_spacing"] + str(config["steps_offset"] or "")
    start = [str(k), config["scheduler"], config["beta_schedule"], spacing, config["prediction_type"], limit]
    return "-".join([*start, *options, str(config["num_inference_steps"])])


def which(condition):
    """Parametrizes a test over the configurations that satisfy `condition(entry)`."""
    chosen = [k for k, entry in enumerate(ENTRIES) if condition(entry)]
    return pytest.mark.parametrize("k", chosen, ids=[name_of(k) for k in chosen])


def make_scheduler(config, compute_dtype=mstype.float32, as_diffusers=False):
    """Our scheduler of a configuration, that of compat where it shall do as diffusers does; its steps are chosen."""
    arguments = {name: value for name, value in config.items() if name not in NOT_FOR_SCHEDULER}
    if config["beta_schedule"] == "trained":
        arguments["beta_schedule"] = "linear"
        arguments["trained_betas"] = reference.trained_betas(config["num_train_timesteps"])
    name = f"{config['scheduler']}Scheduler"
    if as_diffusers:
        scheduler = getattr(compat, name)(**arguments).native
    else:
        scheduler = getattr(mindscience_diffuser, name)(compute_dtype=compute_dtype, **arguments)
    scheduler.set_timesteps(config["num_inference_steps"])
    assert scheduler.timesteps.tolist() == reference.make_timesteps(config).tolist()
    return scheduler


def on_host(config):
    """Whether a trajectory is so long that its table is run on the host; the device runs some of the long ones too."""
    long = config["num_inference_steps"] >= 999
    return long and "cos" not in config["beta_schedule"] and not reference.learns_variance(config)


def host_trajectory(scheduler, config, stream):
    """All samples of the plan of a configuration, run on the host in float64."""
    options = {name: config[name] for name in ("eta", "use_clipped_model_output") if config["scheduler"] == "DDIM"}
    plan, x, samples = scheduler.plan_for(**options), next(stream).astype(np.float64), []
    for i, t in enumerate(scheduler.timesteps.tolist()):
        noise = next(stream)
        x = plan.run(i, sample=x, output=reference.toy_model(x, t, config), noise=noise)["sample"]
        samples.append(x)
    return samples


@functools.cache
def trajectory(k, dtype=np.float32, as_diffusers=False):
    """All samples of our trajectory of configuration k; on the device the toy model is evaluated in float32 NumPy."""
    config, stream = ENTRIES[k]["config"], reference.noise_stream(ENTRIES[k]["seed"])
    scheduler = make_scheduler(config, mstype.float32 if dtype == np.float32 else mstype.float16)
    if as_diffusers:
        native, scheduler = scheduler, make_scheduler(config, as_diffusers=True)
        if scheduler.plan.fingerprint == native.plan.fingerprint:
            return trajectory(k)
    if dtype == np.float32 and on_host(config):
        return host_trajectory(scheduler, config, stream)
    x, samples = next(stream).astype(dtype), []
    for t in scheduler.timesteps.tolist():
        full = x.astype(np.float32)
        options = {"noise": ms.Tensor(next(stream).astype(dtype))}
        if config["scheduler"] == "DDIM":
            options.update(eta=config["eta"], use_clipped_model_output=config["use_clipped_model_output"])
        elif reference.learns_variance(config):
            variance = reference.toy_variance(full, t, config["variance_type"])
            options["predicted_variance"] = ms.Tensor(variance.astype(dtype))
        out = reference.toy_model(full, t, config).astype(dtype)
        x = scheduler.step(ms.Tensor(out), ms.Tensor(x), t, **options).asnumpy()
        assert x.dtype == dtype
        samples.append(x)
    return samples


@functools.cache
def exact(k):
    """The float64 trajectory of configuration k."""
    return reference.reference_trajectory(ENTRIES[k]["config"], ENTRIES[k]["seed"])


def error(samples, references):
    """Largest difference over the stored steps, each relative to the largest value of that step."""
    chosen = reference.checkpoints(len(references))
    return max(reference.relative_error(samples[i], references[i]) for i in chosen)


def diffusers_samples(k):
    """The stored samples of diffusers by step; in float64 for the few whose float32 is off by more than TOLERANCE."""
    return dict(zip(reference.checkpoints(ENTRIES[k]["config"]["num_inference_steps"]), GOLDEN[f"samples_{k}"]))


@which(lambda entry: entry["error"] is not None)
def test_trajectory_of_compat_agrees_with_diffusers(k):
    ours = trajectory(k, as_diffusers=True)
    for step, sample in diffusers_samples(k).items():
        assert reference.relative_error(ours[step], sample) <= TOLERANCE


@which(lambda entry: True)
def test_trajectory_agrees_with_the_papers_in_float64(k):
    assert error(trajectory(k), exact(k)) <= TOLERANCE


def test_float32_is_at_least_as_accurate_as_diffusers():
    ours = [error(trajectory(k), exact(k)) for k in COMPARABLE]
    theirs = [ENTRIES[k]["error"] for k in COMPARABLE]
    for name, errors in {"mindscience_diffuser": ours, "diffusers": theirs}.items():
        print(f"\n{name}: median error {np.median(errors):.2e}, largest {max(errors):.2e} of {len(errors)}")
    assert np.median(ours) <= np.median(theirs)
    assert max(ours) <= max(theirs)


# Of the longest trajectories, which take long, those of cosine betas: their weights are the largest.
@which(lambda entry: entry["config"]["num_inference_steps"] < 999 or "cos" in entry["config"]["beta_schedule"])
def test_float16_stays_finite(k):
    assert np.all(np.isfinite(trajectory(k, np.float16)))


@which(lambda entry: entry["config"]["num_inference_steps"] == 50)
def test_float16_ends_near_float32(k):
    half, full = trajectory(k, np.float16)[-1].astype(np.float64), trajectory(k)[-1]
    assert np.linalg.norm(half - full) <= HALF_TOLERANCE * np.linalg.norm(full)


def test_golden_configurations_show_every_option():
    configs = [entry["config"] for entry in ENTRIES]
    assert len(configs) >= 120
    assert sum(entry["error"] is not None and entry["precision"] == "float32" for entry in ENTRIES) >= 110
    counts = {"beta_schedule": 5, "timestep_spacing": 3, "prediction_type": 3, "num_inference_steps": 4}
    for name, count in counts.items():
        assert len({config[name] for config in configs}) == count
    assert {config["variance_type"] for config in configs if config["scheduler"] == "DDPM"} == {
        "fixed_small",
        "fixed_small_log",
        "fixed_large",
        "fixed_large_log",
        "learned",
        "learned_range",
    }
    assert {config["eta"] for config in configs if config["scheduler"] == "DDIM"} == {0.0, 0.5, 1.0}
