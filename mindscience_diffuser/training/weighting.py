"""Loss weights over the training timesteps, as float64 arrays of shape ``(num_train_timesteps,)``."""

import numpy as np

from mindscience_diffuser.validation import as_numbers, check_choice, check_number, check_within

OBJECTIVES = ("pred_noise", "pred_x0", "pred_v")


def signal_to_noise(alphas_cumprod):
    """Signal-to-noise ratio alpha_bar / (1 - alpha_bar); zero at a zero terminal SNR.

    Raises:
        TypeError: If `alphas_cumprod` holds no numbers.
        ValueError: If a value is outside [0, 1).
    """
    alphas_cumprod = check_within("alphas_cumprod", as_numbers("alphas_cumprod", alphas_cumprod), "[0, 1)")
    return alphas_cumprod / (1 - alphas_cumprod)


def p2_weights(snr, gamma, k):
    """Perception prioritised weights, eq. (8) of Choi et al., 2022 (arXiv:2204.00227).

    weight = (k + snr)^-gamma; a gamma of 0 weighs all timesteps alike.

    Raises:
        TypeError: If `gamma` or `k` is no number, or `snr` holds none.
        ValueError: If `gamma`, `k` or a ratio is negative, or the weight is infinite at an SNR of zero.
    """
    snr = check_within("snr", as_numbers("snr", snr), "[0, inf)")
    gamma = check_number("p2_loss_weight_gamma", gamma, "[0, inf)")
    k = check_number("p2_loss_weight_k", k, "[0, inf)")
    if gamma > 0 and k + snr.min() == 0:
        raise ValueError(
            "'p2_loss_weight_k' must be above 0 with a scheduler that ends in zero SNR: (k + snr)^-gamma is infinite "
            "there. The usual value is 1."
        )
    return (k + snr) ** -gamma


def min_snr_weights(snr, gamma, objective):
    """Min-SNR weights, section 3.4 of Hang et al., 2023 (arXiv:2303.09556).

    In terms of the loss on x0 the weight is min(snr, gamma) whatever the model predicts. A squared error of the noise
    is snr times that of x0, one of v is snr + 1 times, hence

    pred_x0: min(snr, gamma);  pred_noise: min(snr, gamma) / snr;  pred_v: min(snr, gamma) / (snr + 1).

    The quotient for the noise is written as min(1, gamma / snr), which is 1 at zero SNR.

    Raises:
        TypeError: If `gamma` is no number, or `snr` holds none.
        ValueError: If `gamma` is not above 0, a ratio is negative or `objective` is unknown.
    """
    snr = check_within("snr", as_numbers("snr", snr), "[0, inf)")
    gamma = check_number("min_snr_gamma", gamma, "(0, inf)")
    check_choice("objective", objective, OBJECTIVES)
    if objective == "pred_x0":
        return np.minimum(snr, gamma)
    if objective == "pred_v":
        return np.minimum(snr, gamma) / (snr + 1)
    return gamma / np.maximum(snr, gamma)
