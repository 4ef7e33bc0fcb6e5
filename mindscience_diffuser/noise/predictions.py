"""What a model output says about the clean sample and the noise, as weights of ``sample`` and ``output``.

With x = alpha * x0 + sigma * eps, a model predicts ``epsilon`` (eps), ``sample`` (x0), ``v_prediction`` (Salimans and
Ho, 2022, arXiv:2202.00512) or ``flow_prediction`` (eps - x0, where alpha = 1 - sigma). The velocity v belongs to the
sample scaled to unit variance: v = (alpha * eps - sigma * x0) / c, c = sqrt(alpha^2 + sigma^2), with c = 1 where the
process preserves the variance.
"""

import numpy as np

PREDICTION_TYPES = ("epsilon", "sample", "v_prediction")


def clean_sample_weights(prediction_type, alpha, sigma):
    """Returns x0 as weights of sample and output.

    A prediction of the noise says nothing about x0 where alpha is 0: the weights are NaN there.

    Args:
        prediction_type (str): One of the four.
        alpha (numpy.ndarray or float): Weight of x0, shape ``(n,)``, or the number 1 where it always is.
        sigma (numpy.ndarray): Weight of the noise, shape ``(n,)``.
    """
    if prediction_type == "epsilon":
        if isinstance(alpha, np.ndarray):
            alpha = np.where(alpha == 0, np.nan, alpha)
        return {"sample": 1 / alpha, "output": -sigma / alpha}
    if prediction_type == "sample":
        return {"output": 1.0}
    if prediction_type == "flow_prediction":
        return {"sample": 1.0, "output": -sigma}
    scale = np.hypot(alpha, sigma)
    return {"sample": alpha / scale**2, "output": -sigma / scale}


def noise_weights(prediction_type, alpha, sigma):
    """Returns eps as weights of sample and output; the arguments are those of :func:`clean_sample_weights`."""
    if prediction_type == "epsilon":
        return {"output": 1.0}
    if prediction_type == "sample":
        return {"sample": 1 / sigma, "output": -alpha / sigma}
    if prediction_type == "flow_prediction":
        return {"sample": 1.0, "output": alpha}
    scale = np.hypot(alpha, sigma)
    return {"sample": sigma / scale**2, "output": alpha / scale}
