"""Exponential integrators: a step between two noise levels, exact where the prediction is a polynomial of lambda.

With x = alpha * x0 + sigma * eps, lambda = ln(alpha / sigma) and h = lambda_t - lambda_s, the probability-flow ODE
(tau = 0) and the reverse SDEs with the same marginals (tau > 0) lead from level s to level t by::

    x_t = sigma_t / sigma_s * exp(-tau^2 h) * x_s + sigma_t * sqrt(1 - exp(-2 tau^2 h)) * z
          + (1 + tau^2) * alpha_t * integral over v in [0, h] of exp(-(1 + tau^2) (h - v)) * x0(lambda_s + v)

or, in terms of the predicted noise, by::

    x_t = alpha_t / alpha_s * x_s + tau * r * sqrt(1 - exp(-2 h)) * z,  r = alpha_t * sigma_s / alpha_s,
          - (1 + tau^2) * r * integral over v in [0, h] of exp(-v) * eps(lambda_s + v)

(Lu et al., 2022, arXiv:2206.00927, prop. 3.1, and arXiv:2211.01095, prop. 4.1 and section 5; Xue et al., 2023,
arXiv:2309.05019, prop. 4.2). DPM-Solver, UniPC, DEIS and SA-Solver all put a polynomial through known predictions.
"""

import numpy as np
from scipy.special import hyp1f1

LEAST = 1e-300
"""Takes the place of alpha or sigma = 0, so that lambda is finite."""


def log_snr(alpha, sigma):
    """Returns lambda = ln(alpha / sigma), half the log of the signal-to-noise ratio."""
    return np.log(np.maximum(alpha, LEAST)) - np.log(np.maximum(sigma, LEAST))


class ExponentialStep:
    """Steps from levels s to levels t, one a row: ``x_t = linear * x_s + sum(weights * predictions) + noise * z``.

    Args:
        start (tuple): alpha and sigma of level s, two arrays of shape ``(n,)``.
        end (tuple): alpha and sigma of level t, likewise; sigma may be 0.
        predicts_x0 (bool): Whether the predictions are of x0, else of the noise.
        tau (numpy.ndarray or float): How stochastic a step is: 0 for the ODE, 1 for the reverse SDE. Default: ``0.0``.
    """

    def __init__(self, start, end, predicts_x0, tau=0.0):
        (alpha_s, sigma_s), (alpha_t, sigma_t) = start, end
        self._lambda_s = log_snr(alpha_s, sigma_s)
        self._h = h = log_snr(alpha_t, sigma_t) - self._lambda_s
        self._predicts_x0 = predicts_x0
        self._ends_clean = sigma_t == 0
        self._rate = 1 + tau**2
        if predicts_x0:
            self.linear = sigma_t / sigma_s * np.exp(-(tau**2) * h)
            self.noise = sigma_t * sde_noise_scale(tau**2 * h)
            self._factor, self._last = alpha_t * self._rate, alpha_t * self._rate
        else:
            carried = alpha_t * sigma_s / alpha_s
            self.linear = alpha_t / alpha_s
            self.noise = tau * carried * sde_noise_scale(h)
            self._factor, self._last = -carried * self._rate, -sigma_t * self._rate

    def moment(self, k):
        """Returns the integral of ((lambda - lambda_s) / h)^k: k = 0 is the weight of a constant prediction.

        The integral of exp(-z (1 - y)) * y^k over [0, 1] is M(1, k + 2, -z) / (k + 1), that of exp(-z y) * y^k is
        M(k + 1, k + 2, -z) / (k + 1), with Kummer's function M.
        """
        h = self._h
        kummer = hyp1f1(1, k + 2, -self._rate * h) if self._predicts_x0 else hyp1f1(k + 1, k + 2, -h)
        return self._factor * h / (k + 1) * kummer

    def slope(self, rule):
        """Returns the weight of a slope, of which there are three that agree to second order.

        ``"exact"``: the first moment. ``"half"``: half of the weight of a constant, as if the slope acted at the
        middle of the step. ``"last"``: the integral with the kernel that holds at the end of the step.
        """
        if rule == "exact":
            return self.moment(1)
        return self.moment(0) / 2 if rule == "half" else self._last * self._h / 2

    def weights(self, nodes, orders, rule="exact"):
        """Returns the weights of predictions: the integral of the polynomial through them.

        Args:
            nodes (numpy.ndarray): lambda at which each prediction was made, shape ``(m, n)``. Those that a step of
                order k uses are the first k of its column.
            orders (numpy.ndarray): Number of predictions that each step uses, shape ``(n,)``, in [1, m]. Fewer are
                used where nodes coincide, where h = 0, and in a step to sigma = 0, at an infinite lambda.
            rule (str): Weight of the slope where two predictions are used, see :meth:`slope`.

        Returns:
            numpy.ndarray, shape ``(m, n)``, 0 for predictions that are not used.
        """
        apart = 1 + np.cumprod(np.diff(nodes, axis=0) != 0, axis=0).sum(axis=0)
        orders = np.where(self._ends_clean | (self._h == 0), 1, np.minimum(orders, apart))
        positions = (nodes - self._lambda_s) / np.where(self._h == 0, 1, self._h)
        weights = np.zeros_like(positions)
        for order in range(1, len(nodes) + 1):
            rows = orders == order
            powers = positions[:order, rows].T[:, None, :] ** np.arange(order)[:, None]
            moments = [self.moment(k) for k in range(order)]
            if order == 2:
                moments[1] = self.slope(rule)
            moments = np.stack(moments, axis=1)[rows]
            weights[:order, rows] = np.linalg.solve(powers, moments[..., None])[..., 0].T
        return weights


def sde_noise_scale(length):
    """Returns sqrt(1 - exp(-2 * length)); towards noise, where length is negative, there is no such step: 0."""
    return np.sqrt(-np.expm1(-2 * np.maximum(length, 0)))


def past(values, count):
    """Returns the values of each row and of the rows before it, shape ``(count, n)``; the first row has no past."""
    rows = np.arange(len(values))
    return np.stack([values[np.maximum(rows - k, 0)] for k in range(count)])
