"""What a model output says about the clean sample and the noise, as weights of ``sample`` and ``output``.

With x_t = alpha * x0 + sigma * eps and alpha^2 + sigma^2 = 1, a model predicts ``epsilon`` (eps), ``sample`` (x0) or
``v_prediction`` (v = alpha * eps - sigma * x0; Salimans and Ho, 2022, arXiv:2202.00512).
"""

import numpy as np

PREDICTION_TYPES = ("epsilon", "sample", "v_prediction")


def clean_sample_weights(prediction_type, alpha, sigma):
    """Returns x0 as weights of sample and output; `alpha`, `sigma` are arrays of shape ``(n,)``.

    A prediction of the noise says nothing about x0 where alpha is 0: the weights are NaN there.
    """
    if prediction_type == "epsilon":
        alpha = np.where(alpha == 0, np.nan, alpha)
        return {"sample": 1 / alpha, "output": -sigma / alpha}
    if prediction_type == "sample":
        return {"output": 1.0}
    return {"sample": alpha, "output": -sigma}


def noise_weights(prediction_type, alpha, sigma):
    """Returns eps as weights of sample and output; `alpha`, `sigma` are arrays of shape ``(n,)``."""
    if prediction_type == "epsilon":
        return {"output": 1.0}
    if prediction_type == "sample":
        return {"sample": 1 / sigma, "output": -alpha / sigma}
    return {"sample": sigma, "output": alpha}
