"""What moves and splits noise levels, float64: shifts of a flow's levels, churn and ancestral steps."""

import numpy as np

from mindscience_diffuser.validation import check_number


def flow_shift(sigmas, shift):
    """Moves the levels of a rectified flow towards noise: shift * s / (1 + (shift - 1) * s).

    Esser et al., 2024 (arXiv:2403.03206), eq. (23). The resolution-dependent shifts are the same map: ``"exponential"``
    with shift = exp(mu), ``"linear"`` with shift = mu.

    Args:
        sigmas (numpy.ndarray): Levels in (0, 1].
        shift (float): Above 0; 1 changes nothing.
    """
    return shift * sigmas / (1 + (shift - 1) * sigmas)


def resolution_shift(tokens, base_tokens):
    """Returns the shift that makes `tokens` as uncertain at every level as `base_tokens` are, sqrt(m / n).

    Esser et al., 2024, section 5.3.2: a sample of m values is noised as one of n values is at the level that
    :func:`flow_shift` moves. Shifts multiply: a shift of the smaller sample times this one is that of the larger.

    Args:
        tokens (int): Number m of tokens (or pixels) of the samples at hand, above 0.
        base_tokens (int): Number n at which there is nothing to shift, above 0.

    Raises:
        TypeError: If an argument is no number.
        ValueError: If an argument is not positive.
    """
    return (check_number("tokens", tokens, "(0, inf)") / check_number("base_tokens", base_tokens, "(0, inf)")) ** 0.5


def stretch_to_terminal(sigmas, terminal):
    """Stretches 1 - s linearly so that the last level becomes `terminal`, in (0, 1) (LTX-Video, arXiv:2501.00103).

    A trajectory that never leaves pure noise, such as a single step from 1, has nothing to stretch and stays.
    """
    distance = 1 - sigmas
    return sigmas if distance[-1] == 0 else 1 - distance * ((1 - terminal) / distance[-1])


def churn(sigmas, calls, s_churn, s_tmin, s_tmax, s_noise):
    """Returns gamma of algorithm 2 of Karras et al., 2022 (arXiv:2206.00364): noise raises each sigma by 1 + gamma.

    Args:
        sigmas (numpy.ndarray): Level of each step.
        calls (int): Number over which `s_churn` is spread.
        s_churn (float): How much noise is added and removed again over the trajectory, at least 0.
        s_tmin (float): Lowest level at which noise is added, at least 0.
        s_tmax (float): Highest level at which noise is added, at least 0.
        s_noise (float): Factor of the noise, at least 0; checked only.
    """
    for name, value in (("s_churn", s_churn), ("s_tmin", s_tmin), ("s_noise", s_noise)):
        check_number(name, value, "[0, inf)")
    check_number("s_tmax", s_tmax, "[0, inf]")
    return min(s_churn / calls, 2**0.5 - 1) * ((s_tmin <= sigmas) & (sigmas <= s_tmax))


def ancestral(sigmas, sigmas_next):
    """Splits steps into one without noise, down to sigma_down, and fresh noise of sigma_up that leads to sigma_next.

    As in ancestral sampling (Song et al., 2021, arXiv:2010.02502, eq. (16) with eta = 1)::

        sigma_up^2 = sigma_next^2 * (sigma^2 - sigma_next^2) / sigma^2
        sigma_down = sqrt(sigma_next^2 - sigma_up^2) = sigma_next^2 / sigma

    Args:
        sigmas (numpy.ndarray): Ratio of noise to signal before each step, above 0.
        sigmas_next (numpy.ndarray): The ratio after it, in [0, sigma].

    Returns:
        Tuple (sigma_down, sigma_up).
    """
    ratio = sigmas_next / sigmas
    return sigmas_next * ratio, sigmas_next * np.sqrt((1 - ratio) * (1 + ratio))


def calculate_shift(image_seq_len, base_seq_len=256, max_seq_len=4096, base_shift=0.5, max_shift=1.15):
    """Returns mu for a resolution: linear in the number of image tokens (Flux; Esser et al., 2024, section 5.3.2).

    Args:
        image_seq_len (int): Number of tokens of the image, above 0.
        base_seq_len (int): Number of tokens at which mu is `base_shift`. Default: ``256``.
        max_seq_len (int): Number of tokens at which mu is `max_shift`. Default: ``4096``.
        base_shift (float): Default: ``0.5``.
        max_shift (float): Default: ``1.15``.

    Returns:
        float, the `mu` of ``set_timesteps``.

    Raises:
        TypeError: If an argument is no number.
        ValueError: If a number of tokens is not positive, or the two given ones are equal.
    """
    tokens = check_number("image_seq_len", image_seq_len, "(0, inf)")
    base = check_number("base_seq_len", base_seq_len, "(0, inf)")
    most = check_number("max_seq_len", max_seq_len, "(0, inf)")
    low, high = (
        check_number(name, v, "(-inf, inf)") for name, v in (("base_shift", base_shift), ("max_shift", max_shift))
    )
    if base == most:
        raise ValueError(f"'base_seq_len' and 'max_seq_len' must differ, but both are {base_seq_len}.")
    return low + (tokens - base) * (high - low) / (most - base)
