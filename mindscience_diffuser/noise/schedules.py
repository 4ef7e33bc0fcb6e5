"""Ready-made schedules of the literature by name: the noise levels of a trajectory's model calls, float64 NumPy.

The function of a schedule takes the highest level, the lowest one and the number n of model calls, and returns the
level of each call, descending, shape ``(n,)``. The level at which the trajectory ends is not among them.
"""

import numpy as np
from scipy.special import betaincinv

from mindscience_diffuser.validation import check_choice, check_descending, check_integer, check_number


def karras_sigmas(sigma_max, sigma_min, count, rho=7.0):
    """Karras et al., 2022 (arXiv:2206.00364), eq. (5): linear in s^(1 / rho)."""
    return np.linspace(sigma_max ** (1 / rho), sigma_min ** (1 / rho), count) ** rho


def exponential_sigmas(sigma_max, sigma_min, count):
    """Linear in log(s)."""
    return np.exp(np.linspace(np.log(sigma_max), np.log(sigma_min), count))


def beta_sigmas(sigma_max, sigma_min, count, alpha=0.6, beta=0.6):
    """Quantiles of the beta distribution (Lee et al., 2024, arXiv:2407.12173, section 4), scaled to the range."""
    return sigma_min + betaincinv(alpha, beta, 1 - np.linspace(0, 1, count)) * (sigma_max - sigma_min)


def kl_optimal_sigmas(sigma_max, sigma_min, count):
    """Linear in atan(s): of least KL divergence for normal data of unit variance (Sabour et al., 2024).

    ``s_i = tan(i / (n - 1) * atan(sigma_min) + (1 - i / (n - 1)) * atan(sigma_max))``, arXiv:2404.14507. DDIM steps
    through these levels leave less divergence than through any others. For data of standard deviation c, the levels
    are c times those between sigma_max / c and sigma_min / c.
    """
    return np.tan(np.linspace(np.arctan(sigma_max), np.arctan(sigma_min), count))


def laplace_sigmas(sigma_max, sigma_min, count, mu=0.0, beta=0.5):
    """Quantiles of a Laplace distribution of log(s), cut to the range (Hang et al., 2024, arXiv:2407.03297).

    ``s = exp(mu - beta * sign(0.5 - t) * log(1 - 2 * |t - 0.5|))`` with t from 0 to 1 in even steps: most levels lie
    near exp(mu). The logarithm of the signal-to-noise ratio, -2 * log(s), has the scale 2 * beta.
    """
    t = np.linspace(0, 1, count)
    with np.errstate(divide="ignore"):
        quantile = -np.sign(0.5 - t) * np.log(1 - 2 * np.abs(t - 0.5))
    return np.clip(np.exp(mu + beta * quantile), sigma_min, sigma_max)


def linear_quadratic_sigmas(sigma_max, sigma_min, count, threshold_noise=0.025):
    """The schedule of Mochi 1 (Genmo, 2024): a flow from `sigma_max` to 0, first in short even steps, then faster.

    With L = n // 2 and j = max(i - L, 0)::

        s_i = sigma_max * (1 - threshold_noise * i / L - (1 - threshold_noise * n / L) * (j / (n - L))^2)

    so that the first half of the calls spans `threshold_noise` of the way and s_n, where the trajectory ends, is 0;
    both parts have the same slope where they meet. A single call is at `sigma_max`. `sigma_min` has no part in it.
    """
    del sigma_min
    i, linear = np.arange(count), max(count // 2, 1)
    curved = (np.maximum(i - linear, 0) / max(count - linear, 1)) ** 2
    slope = threshold_noise / linear
    return sigma_max * (1 - slope * i - (1 - slope * count) * curved)


AYS_SIGMAS = {
    "ays_sd15": (14.6146412, 6.475, 3.861, 2.697, 1.886, 1.396, 0.963, 0.652, 0.3987, 0.152, 0.0291671582),
    "ays_sdxl": (14.6146412, 6.315, 3.771, 2.181, 1.342, 0.862, 0.555, 0.380, 0.234, 0.113, 0.0291671582),
    "ays_svd": (700.0, 54.5, 15.886, 7.977, 4.248, 1.789, 0.981, 0.403, 0.173, 0.034, 0.002),
}
"""Optimised levels of ten calls, then that of the end: Align Your Steps (Sabour et al., 2024, arXiv:2404.14507).

As the authors publish them for Stable Diffusion 1.5, SDXL and Stable Video Diffusion. The ends of the first two are the
highest and the lowest training level of their betas, published as 14.615 and 0.029.
"""


def _align_your_steps(name):
    """Returns the function of a table, which is read linearly in log(s) at n + 1 even positions.

    Between other ends than those of the table, its logarithms are stretched to the range. The last of the n + 1 levels
    is that of the end, so that the n calls stop short of `sigma_min`.
    """
    logs = np.log(AYS_SIGMAS[name])
    share = (logs - logs[-1]) / (logs[0] - logs[-1])

    def sigmas(sigma_max, sigma_min, count):
        read = np.interp(np.linspace(0, 1, count + 1)[:-1], np.linspace(0, 1, len(share)), share)
        return sigma_min * (sigma_max / sigma_min) ** read

    return sigmas


SIGMA_SCHEDULES = {
    "karras": karras_sigmas,
    "exponential": exponential_sigmas,
    "beta": beta_sigmas,
    "lu": exponential_sigmas,  # Lu et al., 2022 (arXiv:2206.00927): even steps of the log-SNR, which is -log(sigma).
    "kl_optimal": kl_optimal_sigmas,
    "laplace": laplace_sigmas,
    "linear_quadratic": linear_quadratic_sigmas,
    **{name: _align_your_steps(name) for name in AYS_SIGMAS},
}
RATIO_SCHEDULES = ("karras", "exponential", "beta", "kl_optimal", "laplace", *AYS_SIGMAS)
"""Names of the schedules of levels that are ratios of noise to signal, from betas or of EDM."""
FLOW_SCHEDULES = ("karras", "exponential", "beta", "linear_quadratic")
"""Names of the schedules of the levels of a flow, in (0, 1]."""


def schedule_sigmas(name, num_inference_steps, sigma_max=1.0, sigma_min=0.0):
    """Returns the noise levels of a named schedule, to be given to ``set_timesteps(sigmas=...)``.

    Args:
        name (str): ``"karras"``, ``"exponential"``, ``"beta"``, ``"kl_optimal"``, ``"laplace"``, ``"ays_sd15"``,
            ``"ays_sdxl"``, ``"ays_svd"`` or, for flows, ``"linear_quadratic"``.
        num_inference_steps (int): Number n of model calls, at least 1.
        sigma_max (float): Highest level, above `sigma_min`. Default: ``1.0``, that of a flow.
        sigma_min (float): Lowest level, above 0, and at least 0 for ``"beta"`` and ``"linear_quadratic"``, the latter
            of which has no use for it. The schedules of Align Your Steps end there and call the model above.
            Default: ``0.0``.

    Returns:
        numpy.ndarray, float64, shape ``(n,)``, descending, without the level at which the trajectory ends: a scheduler
        with ``sigmas`` takes ``[*levels, 0.0]``, a flow the levels as they are.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If there is no such schedule, or a value is out of range.
    """
    check_choice("name", name, dict.fromkeys(RATIO_SCHEDULES + FLOW_SCHEDULES))
    count = check_integer("num_inference_steps", num_inference_steps, low=1)
    low = check_number("sigma_min", sigma_min, "[0, inf)" if name in ("beta", "linear_quadratic") else "(0, inf)")
    high = check_number("sigma_max", sigma_max, "(0, inf)")
    if low >= high:
        raise ValueError(f"'sigma_min' must be below 'sigma_max', but is {sigma_min} and sigma_max is {sigma_max}.")
    return SIGMA_SCHEDULES[name](high, low, count)


def schedule_timesteps(name, num_inference_steps, alphas_cumprod):
    """Returns the training timesteps of a named schedule, to be given to ``set_timesteps(timesteps=...)``.

    Args:
        name (str): ``"karras"``, ``"exponential"``, ``"beta"``, ``"kl_optimal"``, ``"laplace"``, ``"ays_sd15"``,
            ``"ays_sdxl"`` or ``"ays_svd"``.
        num_inference_steps (int): Number n of model calls, in [1, T].
        alphas_cumprod (array_like): alpha_bar of each training timestep, in (0, 1) and descending, shape ``(T,)``:
            ``scheduler.alphas_cumprod``.

    Returns:
        numpy.ndarray, int64, shape ``(n,)``: the timesteps nearest to the levels, between the levels of the first and
        the last training timestep. Where several levels are nearest to one timestep, the next free ones are taken, so
        that they are strictly descending.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If there is no such schedule, or a value is out of range.
    """
    check_choice("name", name, RATIO_SCHEDULES)
    alpha_bar = check_descending("alphas_cumprod", alphas_cumprod, "[0, 1)", least=2)
    if alpha_bar[-1] == 0:
        raise ValueError(
            "'alphas_cumprod' must be above 0, but ends in 0: betas that end in pure noise have no highest level. Give "
            "those of a scheduler without rescale_betas_zero_snr."
        )
    count = check_integer("num_inference_steps", num_inference_steps, 1, len(alpha_bar))
    training = np.sqrt((1 - alpha_bar) / alpha_bar)
    levels = SIGMA_SCHEDULES[name](training[-1], training[0], count)
    nearest = np.rint(sigma_to_timestep(levels, training)).astype(np.int64)
    row = np.arange(count)
    return np.maximum(np.minimum.accumulate(nearest + row) - row, count - 1 - row)


def sigma_to_timestep(sigmas, training_sigmas):
    """Returns the fractional training timesteps of levels, linear in log(sigma) between training levels.

    Args:
        sigmas (numpy.ndarray): Levels; what lies outside the training levels takes the nearest of them.
        training_sigmas (numpy.ndarray): Level of each training timestep, ascending, shape ``(T,)``.

    Returns:
        numpy.ndarray, float64, of the shape of `sigmas`, in [0, T - 1].
    """
    log_sigmas = np.log(np.maximum(sigmas, 1e-10))
    return np.interp(log_sigmas, np.log(training_sigmas), np.arange(len(training_sigmas)))
