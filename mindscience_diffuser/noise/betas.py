"""Beta schedules of variance-preserving diffusion, as float64 arrays of shape ``(num_train_timesteps,)``."""

import numpy as np

from mindscience_diffuser.validation import as_numbers, check_choice, check_integer, check_number


def _linear(count, start, end):
    """Ho et al., 2020 (arXiv:2006.11239), section 4."""
    return np.linspace(start, end, count)


def _scaled_linear(count, start, end):
    """Linear in sqrt(beta), as in Latent Diffusion (Rombach et al., 2022, arXiv:2112.10752)."""
    return np.linspace(start**0.5, end**0.5, count) ** 2


def _squared_cosine(count, start, end, max_beta=0.999):
    """Nichol and Dhariwal, 2021 (arXiv:2102.09672), eq. (17); the beta range does not enter."""
    del start, end
    alpha_bar = np.cos((np.arange(count + 1) / count + 0.008) / 1.008 * np.pi / 2) ** 2
    return np.minimum(1 - alpha_bar[1:] / alpha_bar[:-1], max_beta)


def _exponential(count, start, end, max_beta=0.999):
    """alpha_bar(t) = exp(-12 t), t from 0 to 1; the beta range does not enter."""
    del start, end
    return np.full(count, min(-np.expm1(-12 / count), max_beta))


def _sigmoid(count, start, end):
    """Xu et al., 2022 (GeoDiff, arXiv:2203.02923): a logistic ramp over [-6, 6]."""
    return (end - start) / (1 + np.exp(-np.linspace(-6, 6, count))) + start


BETA_SCHEDULES = {
    "linear": _linear,
    "scaled_linear": _scaled_linear,
    "squaredcos_cap_v2": _squared_cosine,
    "sigmoid": _sigmoid,
    "exp": _exponential,
}


def betas_from_schedule(name, num_train_timesteps, beta_start=0.0001, beta_end=0.02, trained_betas=None):
    """Returns the betas of a named schedule, or the given ones.

    Args:
        name (str): One of ``BETA_SCHEDULES``; ignored when `trained_betas` is given.
        num_train_timesteps (int): Number of training timesteps, at least 1.
        beta_start (float): First beta, in (0, 1).
        beta_end (float): Last beta, in (0, 1).
        trained_betas (array_like, optional): Betas of shape ``(num_train_timesteps,)``, each in (0, 1).

    Returns:
        numpy.ndarray, float64, shape ``(num_train_timesteps,)``.

    Raises:
        TypeError: If an argument is no number.
        ValueError: If a value is outside its range, or `trained_betas` has another length.
    """
    count = check_integer("num_train_timesteps", num_train_timesteps, low=1)
    if trained_betas is None:
        check_choice("beta_schedule", name, BETA_SCHEDULES)
        start = check_number("beta_start", beta_start, "(0, 1)")
        end = check_number("beta_end", beta_end, "(0, 1)")
        return BETA_SCHEDULES[name](count, start, end)
    betas = as_numbers("trained_betas", trained_betas)
    if betas.shape != (count,):
        raise ValueError(
            f"'trained_betas' has shape {betas.shape}, but num_train_timesteps is {count}: "
            f"give one beta for each training timestep, or set num_train_timesteps={betas.size}."
        )
    outside = betas[~((betas > 0) & (betas < 1))]
    if outside.size:
        raise ValueError(f"'trained_betas' must lie in (0, 1), but has {outside[0]}.")
    return betas


def rescale_zero_terminal_snr(betas):
    """Rescales betas so that the last step is pure noise.

    Algorithm 1 of Lin et al., 2023 (arXiv:2305.08891), see :func:`zero_terminal_snr`.

    Args:
        betas (numpy.ndarray): float64, shape ``(T,)``.

    Returns:
        numpy.ndarray, float64, shape ``(T,)``; the last beta is exactly 1.
    """
    alpha_bar = zero_terminal_snr(alphas_cumprod_from_betas(betas))
    return 1 - np.concatenate([alpha_bar[:1], alpha_bar[1:] / alpha_bar[:-1]])


def zero_terminal_snr(alphas_cumprod):
    """Returns alpha_bar with sqrt(alpha_bar) shifted to end at 0 and stretched so that its first value stays."""
    root = np.sqrt(alphas_cumprod)
    if root[0] == root[-1]:
        raise ValueError("'rescale_betas_zero_snr' needs at least 2 training timesteps; num_train_timesteps is 1.")
    return ((root - root[-1]) * root[0] / (root[0] - root[-1])) ** 2


def shift_snr(alphas_cumprod, scale):
    """Returns alpha_bar with its SNR, alpha_bar / (1 - alpha_bar), divided by `scale` (Yang et al., 2024).

    CogVideoX, arXiv:2408.06072; the resolution-dependent shift of Esser et al., 2024, section 5.3.2, for diffusion.
    """
    return alphas_cumprod / (scale + (1 - scale) * alphas_cumprod)


def alphas_cumprod_from_betas(betas):
    """Returns alpha_bar_t, the product of (1 - beta_s) over s <= t: float64, shape ``(T,)``."""
    return np.cumprod(1 - betas)
