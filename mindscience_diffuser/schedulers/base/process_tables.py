"""The arguments and the derived tables of a diffusion process, under the names of `mindscience.diffuser`."""

import numpy as np
from mindspore import Tensor


def table(text, values):
    """Returns a property: a Tensor ``(T,)`` in `compute_dtype`, by training timestep, of `values(alpha_bar, previous)`.

    alpha_bar and previous are float64 arrays of this timestep's and the one before it, which is 1 at timestep 0.
    """

    def get(scheduler):
        alpha_bar = scheduler._alphas**2
        with np.errstate(divide="ignore"):
            result = values(alpha_bar, np.append(1.0, alpha_bar[:-1]))
        return Tensor(result, scheduler.compute_dtype)

    return property(get, doc=f"{text}, ``(T,)``, in `compute_dtype`.")


def argument(name):
    """Returns a property: the constructor argument `name`, None where the class has no such argument."""
    return property(lambda scheduler: scheduler.settings.get(name), doc=f"The constructor argument `{name}`.")


def variance_of_posterior(alpha_bar, previous):
    """Variance of q(x_{t-1} | x_t, x0), eq. (7) of Ho et al., 2020, at least 1e-20 so that it has a logarithm."""
    return np.maximum((1 - alpha_bar / previous) * (1 - previous) / (1 - alpha_bar), 1e-20)


class ProcessTables:
    """What code written for `mindscience.diffuser` reads from its schedulers; nothing here can be assigned to."""

    beta_start = argument("beta_start")
    beta_end = argument("beta_end")
    clip_sample = argument("clip_sample")
    clip_sample_range = argument("clip_sample_range")
    thresholding = argument("thresholding")
    sample_max_value = argument("sample_max_value")
    dynamic_thresholding_ratio = argument("dynamic_thresholding_ratio")

    alphas_cumprod_prev = table("alpha_bar of the timestep before", lambda ab, previous: previous)
    sqrt_alphas_cumprod = table("Weight of the clean sample in x_t", lambda ab, previous: np.sqrt(ab))
    sqrt_one_minus_alphas_cumprod = table("Weight of the noise in x_t", lambda ab, previous: np.sqrt(1 - ab))
    sqrt_recip_alphas_cumprod = table("sqrt(1 / alpha_bar)", lambda ab, previous: np.sqrt(1 / ab))
    sqrt_recipm1_alphas_cumprod = table("sqrt(1 / alpha_bar - 1)", lambda ab, previous: np.sqrt(1 / ab - 1))
    posterior_variance = table("Variance of the posterior q(x_{t-1} | x_t, x0)", variance_of_posterior)
    posterior_log_variance_clipped = table(
        "Logarithm of the posterior variance", lambda ab, previous: np.log(variance_of_posterior(ab, previous))
    )
    posterior_mean_coef1 = table(
        "Weight of x0 in the posterior mean", lambda ab, previous: (1 - ab / previous) * np.sqrt(previous) / (1 - ab)
    )
    posterior_mean_coef2 = table(
        "Weight of x_t in the posterior mean", lambda ab, previous: (1 - previous) * np.sqrt(ab / previous) / (1 - ab)
    )
