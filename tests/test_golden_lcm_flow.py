"""Whole trajectories of the few-step and flow-matching schedulers against diffusers and the float64 reference."""

import functools
import json
from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
import reference
import reference_flow

import mindscience_diffuser
from mindscience_diffuser.compat.peer import peer_class

GOLDEN = np.load(Path(__file__).parent / "golden" / "lcm_flow.npz")
ENTRIES = json.loads(str(GOLDEN["index"]))
EXACT = [k for k, entry in enumerate(ENTRIES) if entry["error"] is not None]
TOLERANCE = 1e-4
HALF_TOLERANCE = 0.02


def name_of(k):
    """A short name of configuration k, for pytest's output."""
    config = ENTRIES[k]["config"]
    values = {**config["init"], **config["set"], **config["step"]}
    return f"{k}-{config['scheduler']}-" + "-".join(f"{name}={value}" for name, value in values.items())


def native_class(name):
    return getattr(mindscience_diffuser, name)


every = pytest.mark.parametrize("k", range(len(ENTRIES)), ids=name_of)
exact_ones = pytest.mark.parametrize("k", EXACT, ids=name_of)


@functools.cache
def trajectory(k, dtype=np.float32):
    """All samples of our trajectory of configuration k; the toy model is evaluated in float32 NumPy."""
    config, seed = ENTRIES[k]["config"], ENTRIES[k]["seed"]
    # Churn of diffusers has other mathematics, see docs_cn/deviations.md.
    kind = (peer_class if config["step"].get("s_churn") else native_class)(config["scheduler"])
    scheduler = kind(
        **reference_flow.arguments(config), compute_dtype=ms.float32 if dtype == np.float32 else ms.float16
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("warnings.warn", lambda *_, **__: None)
        scheduler.set_timesteps(**config["set"])
    tokens = config.get("per_token")
    x = reference_flow.draws(seed, -1, reference_flow.TOKENS if tokens else reference_flow.SHAPE).astype(dtype)
    samples, scales = [], config["init"].get("scale_factors") or ()
    for i, t in enumerate(scheduler.timesteps.tolist()):
        options, told, shape = dict(config["step"]), t, x.shape
        if tokens:
            told = reference_flow.token_timesteps(scheduler.timesteps, i)
            options["per_token_timesteps"] = ms.Tensor(told)
            told = told[..., None]
        elif config["scheduler"] == "FlowMapEulerDiscreteScheduler":
            told = float(scheduler.told[i].mean())
        if i < len(scales):
            shape = (*shape[:2], *(round(scales[i] * size) for size in reference_flow.SHAPE[2:]))
        options["noise"] = ms.Tensor(reference_flow.draws(seed, i, shape).astype(dtype))
        out = reference_flow.toy_model(x.astype(np.float32), told, config).astype(dtype)
        x = scheduler.step(ms.Tensor(out), ms.Tensor(x), t, **options).asnumpy()
        assert x.dtype == dtype
        samples.append(x)
    return samples


@functools.cache
def exact(k):
    """The float64 trajectory of configuration k."""
    return reference_flow.reference_trajectory(ENTRIES[k]["config"], ENTRIES[k]["seed"])


def error(samples, references):
    """Largest difference over the stored steps, each relative to the largest value of that step."""
    return max(reference.relative_error(samples[i], references[i]) for i in reference.checkpoints(len(references)))


@every
def test_trajectory_agrees_with_diffusers(k):
    ours = trajectory(k)
    for i in reference.checkpoints(len(ours)):
        assert reference.relative_error(ours[i], GOLDEN[f"{k}_{i}"]) <= TOLERANCE


@exact_ones
def test_trajectory_agrees_with_the_papers_in_float64(k):
    assert error(trajectory(k), exact(k)) <= TOLERANCE


# Flow maps are left out: diffusers computes their steps in float64, whatever the samples are.
@pytest.mark.parametrize("family", ["LCM", "TCD", "FlowMatchEuler", "FlowMatchHeun", "FlowMatchLCM"])
def test_float32_is_at_least_as_accurate_as_diffusers(family):
    chosen = [k for k in EXACT if ENTRIES[k]["config"]["scheduler"].startswith(family)]
    ours, theirs = [error(trajectory(k), exact(k)) for k in chosen], [ENTRIES[k]["error"] for k in chosen]
    for name, errors in {"mindscience_diffuser": ours, "diffusers": theirs}.items():
        print(f"\n{family}, {name}: median error {np.median(errors):.2e}, largest {max(errors):.2e} of {len(errors)}")
    assert np.median(ours) <= 1.05 * np.median(theirs)
    assert max(ours) <= 1.05 * max(theirs)


@every
def test_float16_stays_finite_and_close(k):
    half, full = trajectory(k, np.float16)[-1].astype(np.float64), trajectory(k)[-1]
    assert np.all(np.isfinite(trajectory(k, np.float16)[0])) and np.all(np.isfinite(half))
    assert np.linalg.norm(half - full) <= HALF_TOLERANCE * np.linalg.norm(full)


def test_golden_configurations_show_every_option():
    configs = [entry["config"] for entry in ENTRIES]
    assert len(configs) >= 80
    shown = {name for config in configs for part in ("init", "set", "step") for name in config[part]}
    assert shown >= {"timestep_scaling", "original_inference_steps", "strength", "timesteps", "sigmas", "mu", "eta"}
    assert shown >= {"shift", "shift_terminal", "time_shift_type", "invert_sigmas", "stochastic_sampling", "s_churn"}
    assert shown >= {"use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas", "scale_factors"}
    assert shown >= {"thresholding", "clip_sample_range", "rescale_betas_zero_snr"}
    assert any(config.get("per_token") for config in configs)
