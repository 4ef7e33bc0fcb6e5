"""LCM, TCD and rectified flow in float64 NumPy, written from the papers' formulas, and a toy model for flows.

Nothing here is shared with the package. Papers: Luo et al., 2023 (arXiv:2310.04378), Zheng et al., 2024
(arXiv:2402.19159), Esser et al., 2024 (arXiv:2403.03206), Karras et al., 2022 (arXiv:2206.00364), Lee et al., 2024
(arXiv:2407.12173). A configuration is a dict of "scheduler" (its class), the arguments of its constructor ("init"), of
set_timesteps ("set") and of step ("step"), and "per_token" where every token has its timestep.
"""

import math

import numpy as np
import reference
from scipy import stats

SHAPE, TOKENS = (2, 3, 4, 4), (2, 5, 4)
BETAS = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012, "rescale_betas_zero_snr": False}
LIMITS = {
    "clip_sample": False,
    "clip_sample_range": 1.0,
    "thresholding": False,
    "dynamic_thresholding_ratio": 0.995,
    "sample_max_value": 1.0,
}


def arguments(config):
    """The arguments of the constructor, with the betas in place of "trained"."""
    given = dict(config["init"])
    if given.get("beta_schedule") == "trained":
        del given["beta_schedule"]
        given["trained_betas"] = reference.trained_betas(1000)
    return given


def draws(seed, index, shape):
    """Standard normal float32: the initial sample (index -1) or the noise of a step."""
    return np.random.default_rng([seed, index + 1]).standard_normal(shape, dtype=np.float32)


def toy_model(x, t, config):
    """A smooth model output of the dtype of `x`; `t` is a number, or an array that broadcasts to `x`.

    Where a model is told both ends of a step, `t` is their mean.
    """
    if not config["scheduler"].startswith("FlowMa"):
        return reference.toy_model(x, t, {"prediction_type": "epsilon", "num_train_timesteps": 1000, **config["init"]})
    u = np.asarray(t, np.float64).astype(x.dtype) / x.dtype.type(1000)
    return x.dtype.type(0.6) * x + u * (x.dtype.type(0.1) * np.sin(x.dtype.type(3) * x) - x.dtype.type(0.2))


def token_timesteps(timesteps, index):
    """Timesteps of two samples of five tokens: at the step's, below it, and a clean one."""
    now, later = timesteps[index], timesteps[min(index + 1, len(timesteps) - 1)]
    row = [now, now, later, 0.5 * (now + later), 0.0]
    return np.array([row, row[::-1]], np.float32)


# --- schedules -----------------------------------------------------------------------------------------------------


def spread_sigmas(kind, sigmas):
    """Karras (rho = 7), exponential or beta (0.6, 0.6) spacing between the first and the last of `sigmas`."""
    high, low, u = sigmas[0], sigmas[-1], np.linspace(0, 1, len(sigmas))
    if kind == "karras":
        return ((1 - u) * high ** (1 / 7) + u * low ** (1 / 7)) ** 7
    if kind == "exponential":
        return high ** (1 - u) * low**u
    return low + stats.beta.ppf(1 - u, 0.6, 0.6) * (high - low)


def flow_schedule(config):
    """Sigmas with the one at which the trajectory ends, and timesteps, of a flow configuration."""
    init, chosen = config["init"], config["set"]
    shift = init.get("shift", 1.0)
    least = 1 / 1000
    if init.get("use_dynamic_shifting"):
        shift = chosen["mu"] if init.get("time_shift_type") == "linear" else math.exp(chosen["mu"])
    else:
        least = shift / (shift + 1000 - 1)
    timesteps = chosen.get("timesteps")
    if "sigmas" in chosen:
        sigmas = np.array(chosen["sigmas"], np.float64)
    elif timesteps is not None:
        sigmas = np.array(timesteps, np.float64) / 1000
    elif config["scheduler"] == "FlowMapEulerDiscreteScheduler":
        sigmas = np.linspace(1, 0, chosen["num_inference_steps"] + 1)[:-1]
    else:
        sigmas = np.linspace(1, least, chosen["num_inference_steps"])
    sigmas = shift / (shift + 1 / sigmas - 1)
    if init.get("shift_terminal"):
        sigmas = 1 - (1 - sigmas) * (1 - init["shift_terminal"]) / (1 - sigmas[-1])
    for kind in ("karras", "exponential", "beta"):
        if init.get(f"use_{kind}_sigmas"):
            sigmas = spread_sigmas(kind, sigmas)
    end = 0.0
    if init.get("invert_sigmas"):
        sigmas, end, timesteps = 1 - sigmas, 1.0, None
    timesteps = 1000 * sigmas if timesteps is None else np.array(timesteps, np.float64)
    return np.append(sigmas, end), timesteps


def distilled_timesteps(config):
    """Descending timesteps of an LCM or TCD configuration: algorithm 3's skipping steps, evenly spread."""
    chosen, train = config["set"], config["init"].get("num_train_timesteps", 1000)
    if "timesteps" in chosen:
        return np.array(chosen["timesteps"])
    original = chosen.get("original_inference_steps", config["init"].get("original_inference_steps", 50))
    strength, count = chosen.get("strength", 1.0), chosen["num_inference_steps"]
    if config["scheduler"] == "TCDScheduler" and "original_inference_steps" in chosen:
        pool = np.arange(int(train * strength))
    else:
        pool = (np.arange(int(original * strength)) + 1) * (train // original) - 1
    return np.array([pool[len(pool) - 1 - i * len(pool) // count] for i in range(count)])


# --- trajectories --------------------------------------------------------------------------------------------------


def reference_trajectory(config, seed):
    """All samples of a trajectory, one after each step, in float64."""
    kind = config["scheduler"]
    if kind in ("LCMScheduler", "TCDScheduler"):
        return consistency_trajectory(config, seed)
    if kind == "FlowMatchHeunDiscreteScheduler":
        return heun_trajectory(config, seed)
    sigmas, timesteps = flow_schedule(config)
    init, samples = config["init"], []
    x = draws(seed, -1, TOKENS if config.get("per_token") else SHAPE).astype(np.float64)
    size = x.shape[2:]
    for i, t in enumerate(timesteps):
        now, later = sigmas[i], sigmas[i + 1]
        if config.get("per_token"):
            told = token_timesteps(timesteps, i).astype(np.float64)
            now = told[..., None] / 1000
            later = np.max(np.where(sigmas < now - 1e-6, sigmas, 0), axis=-1, keepdims=True)
            v = toy_model(x, told[..., None], config)
            samples.append(x + (now - later) * v)
        elif kind == "FlowMatchLCMScheduler" or init.get("stochastic_sampling"):
            x0 = x - now * toy_model(x, t, config)
            if i < len(init.get("scale_factors") or ()):
                factor = round(init["scale_factors"][i] * size[0]) // x0.shape[-1]  # Of mode "nearest", whole factors.
                x0 = x0.repeat(factor, axis=-1).repeat(factor, axis=-2)
            samples.append((1 - later) * x0 + later * draws(seed, i, x0.shape))
        else:
            told = 500 * (now + later) if kind == "FlowMapEulerDiscreteScheduler" else t
            samples.append(x + (later - now) * toy_model(x, told, config))
        x = samples[-1]
    return samples


def heun_trajectory(config, seed):
    """Algorithm 2 of Karras et al. along the flow; the noise is added after the model was called."""
    sigmas, _ = flow_schedule(config)
    step, samples = {"s_churn": 0.0, "s_tmin": 0.0, "s_tmax": math.inf, "s_noise": 1.0, **config["step"]}, []
    x = draws(seed, -1, SHAPE).astype(np.float64)
    calls = 2 * len(sigmas) - 3
    for now, later in zip(sigmas[:-1], sigmas[1:]):
        churn = step["s_tmin"] <= now <= step["s_tmax"]
        raised = now * (1 + min(step["s_churn"] / calls, math.sqrt(2) - 1) * churn)
        slope = now / raised * toy_model(x, 1000 * now, config)
        x = x + step["s_noise"] * math.sqrt(raised**2 - now**2) * draws(seed, len(samples), SHAPE)
        predicted = x + (later - raised) * slope
        samples.append(predicted)
        if later > 0:
            x = x + (later - raised) * 0.5 * (slope + toy_model(predicted, 1000 * later, config))
            samples.append(x)
    return samples


def consistency_trajectory(config, seed):
    """Multistep consistency sampling (LCM, algorithm 3) or strategic stochastic sampling (TCD, algorithm 4)."""
    full = {"num_train_timesteps": 1000, "prediction_type": "epsilon", **BETAS, **LIMITS, **config["init"]}
    alpha_bar, timesteps = reference.make_alphas_cumprod(full), distilled_timesteps(config)
    x, samples = draws(seed, -1, SHAPE).astype(np.float64), []
    for i, t in enumerate(timesteps):
        last, noise = i == len(timesteps) - 1, draws(seed, i, SHAPE).astype(np.float64)
        out = toy_model(x, t, config)
        x0 = reference.predict_original(out, x, alpha_bar[t], full["prediction_type"])
        if config["scheduler"] == "LCMScheduler":
            scaled = t * full.get("timestep_scaling", 10.0)
            x0 = reference.restrict_original(x0, full)
            x = (0.25 * x + scaled * math.sqrt(scaled**2 + 0.25) * x0) / (scaled**2 + 0.25)
            if not last:
                x = math.sqrt(alpha_bar[timesteps[i + 1]]) * x + math.sqrt(1 - alpha_bar[timesteps[i + 1]]) * noise
        else:
            following = 0 if last else timesteps[i + 1]
            eta = config["step"].get("eta", 0.3)
            s = math.floor(round((1 - eta) * following, 6))  # Of 0.7 * 700, say, which is 489.99999999999994.
            if full["prediction_type"] == "epsilon":
                eps = out
            else:
                eps = (x - math.sqrt(alpha_bar[t]) * x0) / math.sqrt(1 - alpha_bar[t])
            x = math.sqrt(alpha_bar[s]) * x0 + math.sqrt(1 - alpha_bar[s]) * eps
            if eta > 0 and not last:
                ratio = alpha_bar[following] / alpha_bar[s]
                x = math.sqrt(ratio) * x + math.sqrt(1 - ratio) * noise
        samples.append(x)
    return samples
