"""DDPM and DDIM in float64 NumPy, written from the papers' formulas, and the toy model that the golden tests sample.

Nothing here is shared with the package: the tests compare the two. Papers: Ho et al., 2020 (arXiv:2006.11239), Nichol
and Dhariwal, 2021 (arXiv:2102.09672), Song et al., 2021 (arXiv:2010.02502), Saharia et al., 2022 (arXiv:2205.11487),
Lin et al., 2023 (arXiv:2305.08891). A configuration is a dict; see `scripts/make_golden.py` for its keys.
"""

import math

import numpy as np

SHAPE = (2, 3, 4, 4)


# --- the toy model and the noise -----------------------------------------------------------------------------------


def toy_model(x, t, config):
    """A smooth model output of the dtype of `x`: a x + u (0.1 sin(3 x) + 0.01) at u = t / T.

    It resembles a denoiser of unit-variance data: at u = 1 most of x is noise, and at u = 0 the clean sample is x
    itself. (A model that contradicts x at u = 0 would mostly measure how float32 rounds 1 - alpha_bar there.)
    """
    u = t / config["num_train_timesteps"]
    slope = {"epsilon": 0.2 + 0.7 * u, "sample": 1.0 - 0.8 * u, "v_prediction": 0.3}[config["prediction_type"]]
    kind = x.dtype.type
    return kind(slope) * x + kind(u) * (kind(0.1) * np.sin(kind(3.0) * x) + kind(0.01))


def toy_variance(x, t, variance_type):
    """A predicted variance: positive for "learned", in [-1, 1] for "learned_range"."""
    kind = x.dtype.type
    if variance_type == "learned":
        return kind(0.02) + kind(0.01) * np.cos(x)
    return kind(0.8) * np.sin(x + kind(t / 1e3))


def noise_stream(seed, shape=SHAPE):
    """Yield standard normal float32 arrays: first the initial sample, then the noise of step 0, 1, ..."""
    generator = np.random.default_rng(seed)
    while True:
        yield generator.standard_normal(shape, dtype=np.float32)


def trained_betas(count):
    """A beta sequence that none of the named schedules gives."""
    return 1e-4 + 0.0249 * np.sin(0.5 * np.pi * np.arange(count) / (count - 1)) ** 2


# --- the noise process ---------------------------------------------------------------------------------------------


def make_betas(config):
    """The sequence beta_0 .. beta_(T-1) of a configuration."""
    count, start, end = config["num_train_timesteps"], config["beta_start"], config["beta_end"]
    schedule = config["beta_schedule"]
    if schedule == "trained":
        return trained_betas(count)
    if schedule == "linear":
        return np.linspace(start, end, count)
    if schedule == "scaled_linear":
        return np.linspace(start**0.5, end**0.5, count) ** 2
    if schedule == "sigmoid":
        return start + (end - start) / (1 + np.exp(-np.linspace(-6, 6, count)))
    if schedule == "squaredcos_cap_v2":  # Nichol and Dhariwal, eq. (17)
        f = [math.cos((i / count + 0.008) / 1.008 * math.pi / 2) ** 2 for i in range(count + 1)]
        return np.array([min(1 - f[i + 1] / f[i], 0.999) for i in range(count)])
    raise ValueError(schedule)


def make_alphas_cumprod(config):
    """alpha_bar_t = prod (1 - beta), optionally with zero terminal SNR (Lin et al., algorithm 1)."""
    alphas_cumprod = np.cumprod(1 - make_betas(config))
    if config["rescale_betas_zero_snr"]:
        root = np.sqrt(alphas_cumprod)
        root = (root - root[-1]) * root[0] / (root[0] - root[-1])
        alphas_cumprod = root**2
    return alphas_cumprod


def make_timesteps(config):
    """The descending timesteps of a configuration (Lin et al., table 2)."""
    count, steps = config["num_train_timesteps"], config["num_inference_steps"]
    spacing = config["timestep_spacing"]
    if spacing == "leading":
        timesteps = np.arange(steps) * (count // steps) + config["steps_offset"]
    elif spacing == "linspace":
        timesteps = np.round(np.linspace(0, count - 1, steps))
    elif spacing == "trailing":
        return np.round(count - np.arange(steps) * (count / steps)).astype(np.int64) - 1
    else:
        raise ValueError(spacing)
    return timesteps[::-1].astype(np.int64)


# --- one step ------------------------------------------------------------------------------------------------------


def predict_original(out, x, alpha_bar, prediction_type):
    """The clean sample that a model output implies: x_t = sqrt(alpha_bar) x_0 + sqrt(1 - alpha_bar) eps."""
    alpha, sigma = math.sqrt(alpha_bar), math.sqrt(1 - alpha_bar)
    if prediction_type == "epsilon":
        return (x - sigma * out) / alpha
    if prediction_type == "sample":
        return out
    if prediction_type == "v_prediction":
        return alpha * x - sigma * out
    raise ValueError(prediction_type)


def linear_quantile(values, ratio):
    """Quantile of a 1-D array with linear interpolation between the two neighbouring order statistics."""
    ordered = np.sort(values)
    position = ratio * (len(ordered) - 1)
    low = math.floor(position)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (position - low) * (ordered[high] - ordered[low])


def restrict_original(x0, config):
    """Dynamic thresholding (Saharia et al., section 2.3) or clipping of the predicted clean sample."""
    if config["thresholding"]:
        restricted = np.empty_like(x0)
        for k, one in enumerate(x0):
            s = linear_quantile(np.abs(one).ravel(), config["dynamic_thresholding_ratio"])
            s = min(max(s, 1.0), config["sample_max_value"])
            restricted[k] = np.clip(one, -s, s) / s
        return restricted
    if config["clip_sample"]:
        return np.clip(x0, -config["clip_sample_range"], config["clip_sample_range"])
    return x0


def ddim_step(out, x, alpha_bar, alpha_bar_prev, noise, config):
    """Eqs. (12) and (16) of Song et al.; alpha_t of that paper is alpha_bar here."""
    sigma = math.sqrt(1 - alpha_bar)
    x0 = predict_original(out, x, alpha_bar, config["prediction_type"])
    if config["prediction_type"] == "epsilon":
        eps = out
    elif config["prediction_type"] == "v_prediction":
        eps = math.sqrt(alpha_bar) * out + sigma * x
    else:
        eps = (x - math.sqrt(alpha_bar) * x0) / sigma
    x0 = restrict_original(x0, config)
    if config["use_clipped_model_output"]:
        eps = (x - math.sqrt(alpha_bar) * x0) / sigma
    s = config["eta"] * math.sqrt((1 - alpha_bar_prev) / (1 - alpha_bar) * (1 - alpha_bar / alpha_bar_prev))
    # 1 - alpha_bar_prev - s^2 can round to a hair below zero.
    direction = math.sqrt(max(1 - alpha_bar_prev - s**2, 0.0))
    return math.sqrt(alpha_bar_prev) * x0 + direction * eps + s * noise


def ddpm_variance(beta, beta_tilde, variance, variance_type):
    """Variance of the reverse step: beta_tilde ("small"), beta ("large"), or predicted (Nichol, eq. (15))."""
    if variance_type == "learned":
        return variance
    if variance_type in ("fixed_large", "fixed_large_log"):
        return beta
    beta_tilde = max(beta_tilde, 1e-20)
    if variance_type == "learned_range":
        fraction = (variance + 1) / 2
        return np.exp(fraction * np.log(beta) + (1 - fraction) * np.log(beta_tilde))
    return beta_tilde


def ddpm_step(out, x, alpha_bar, alpha_bar_prev, noise, config, variance=None):
    """Eqs. (6) and (7) of Ho et al., with alpha_t = alpha_bar / alpha_bar_prev; `noise` is None at t = 0."""
    alpha = alpha_bar / alpha_bar_prev
    beta = 1 - alpha
    x0 = restrict_original(predict_original(out, x, alpha_bar, config["prediction_type"]), config)
    mean = math.sqrt(alpha_bar_prev) * beta / (1 - alpha_bar) * x0
    mean = mean + math.sqrt(alpha) * (1 - alpha_bar_prev) / (1 - alpha_bar) * x
    if noise is None:
        return mean
    beta_tilde = (1 - alpha_bar_prev) / (1 - alpha_bar) * beta
    return mean + np.sqrt(ddpm_variance(beta, beta_tilde, variance, config["variance_type"])) * noise


# --- a trajectory --------------------------------------------------------------------------------------------------


def learns_variance(config):
    """Whether the model predicts a variance as well."""
    return config["scheduler"] == "DDPM" and config["variance_type"].startswith("learned")


def reference_trajectory(config, seed, as_diffusers=False):
    """All samples of a trajectory, one after each step, in float64.

    A step leads to the next timestep, the last one to the end, and adds noise unless that is the clean sample. In
    diffusers a step of DDIM leads T // n timesteps on, and one of DDPM adds noise wherever it starts above timestep 0.
    """
    alphas_cumprod, timesteps = make_alphas_cumprod(config), make_timesteps(config)
    stream = noise_stream(seed)
    x = next(stream).astype(np.float64)
    samples = []
    for i, t in enumerate(timesteps):
        noise = next(stream).astype(np.float64)
        out = toy_model(x, t, config)
        previous = timesteps[i + 1] if i + 1 < len(timesteps) else -1
        if as_diffusers and config["scheduler"] == "DDIM":
            previous = t - config["num_train_timesteps"] // config["num_inference_steps"]
        final = 1.0 if config.get("set_alpha_to_one", True) else alphas_cumprod[0]
        alpha_bar_prev = alphas_cumprod[previous] if previous >= 0 else final
        if config["scheduler"] == "DDIM":
            x = ddim_step(out, x, alphas_cumprod[t], alpha_bar_prev, noise, config)
        else:
            variance = toy_variance(x, t, config["variance_type"]) if learns_variance(config) else None
            noisy = t > 0 if as_diffusers else alpha_bar_prev < 1
            x = ddpm_step(out, x, alphas_cumprod[t], alpha_bar_prev, noise if noisy else None, config, variance)
        samples.append(x)
    return samples


def checkpoints(steps):
    """Indices of the steps whose samples are stored: the first, two in between and the last."""
    return sorted({0, steps // 3, 2 * steps // 3, steps - 1})


def relative_error(value, reference):
    """Largest difference over the largest absolute value of the reference."""
    return float(np.max(np.abs(np.asarray(value, np.float64) - reference)) / np.max(np.abs(reference)))
