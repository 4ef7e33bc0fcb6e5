"""A problem with a known solution: data from a Gaussian mixture, for which every prediction of a model is closed-form.

Under x = alpha * x0 + sigma * eps the density of x is a mixture again, so that E[x0 | x], the noise, the velocity and
the score are exact, and the probability-flow ODE can be solved to rounding. Float64 NumPy and SciPy.
"""

import numpy as np
from scipy.integrate import solve_ivp
from scipy.special import logsumexp

TOLERANCE = 1e-13
SIGNAL_FROM = 0.9
LINEAR_BELOW = 1.0
"""Noise level below which the ODE is integrated in sigma, where it is regular, and above which in log(sigma)."""


EDM_SIGMA_DATA = 0.5


class Mixture:
    """A mixture of isotropic Gaussians.

    Args:
        weights (array_like): Weight of each component, shape ``(K,)``, summing to 1.
        means (array_like): Their means, ``(K, D)``.
        deviations (array_like): Their standard deviations, ``(K,)``.
    """

    def __init__(self, weights, means, deviations):
        self.weights = np.asarray(weights, np.float64)
        self.means = np.asarray(means, np.float64)
        self.variances = np.asarray(deviations, np.float64) ** 2

    def clean_sample(self, x, alpha, sigma):
        """Returns E[x0 | x], shape ``(B, D)``."""
        variances = alpha**2 * self.variances + sigma**2
        centred = x[:, None] - alpha * self.means
        logits = np.log(self.weights) - (centred**2).sum(-1) / (2 * variances) - x.shape[1] / 2 * np.log(variances)
        shares = np.exp(logits - logsumexp(logits, axis=1, keepdims=True))
        return (shares[..., None] * (self.means + (alpha * self.variances / variances)[:, None] * centred)).sum(1)

    def predict(self, prediction_type, x, alpha, sigma):
        """Returns what a perfect model of this prediction type says about x, ``(B, D)``."""
        x0 = self.clean_sample(x, alpha, sigma)
        if prediction_type == "sample":
            return x0
        epsilon = (x - alpha * x0) / sigma
        if prediction_type == "epsilon":
            return epsilon
        if prediction_type == "flow_prediction":
            return epsilon - x0
        if prediction_type == "edm":  # Karras et al., 2022, table 1.
            scale = np.hypot(sigma, EDM_SIGMA_DATA)
            return (x0 - (EDM_SIGMA_DATA / scale) ** 2 * x) / (sigma * EDM_SIGMA_DATA / scale)
        return (alpha * epsilon - sigma * x0) / np.hypot(alpha, sigma)

    def draw(self, generator, count):
        """Returns clean samples, ``(count, D)``."""
        component = generator.choice(len(self.weights), size=count, p=self.weights)
        noise = generator.standard_normal((count, self.means.shape[1]))
        return self.means[component] + np.sqrt(self.variances[component])[:, None] * noise

    def flow(self, x, start, end):
        """Solves the probability-flow ODE exactly.

        dy / d sigma = (y - E[x0 | y]) / sigma for y = x / alpha (Karras et al., 2022, arXiv:2206.00364, eq. (3)).

        Args:
            x (numpy.ndarray): Samples at `start`, ``(B, D)``.
            start (tuple): alpha and sigma at the start.
            end (tuple): alpha and sigma at the end.

        Returns:
            numpy.ndarray, the samples at `end`.
        """

        def slope(sigma, y):
            y = y.reshape(x.shape)
            return ((y - self.clean_sample(y, 1.0, sigma)) / sigma).ravel() if sigma > 0 else np.zeros(y.size)

        options = {"method": "DOP853", "rtol": TOLERANCE, "atol": TOLERANCE}
        if start[0] == 0:  # Pure noise has no finite ratio: leave it along the rectified flow, which is regular there.

            def velocity(sigma, y):
                y = y.reshape(x.shape)
                return ((y - self.clean_sample(y, 1 - sigma, sigma)) / sigma).ravel()

            left = solve_ivp(velocity, (1.0, SIGNAL_FROM), x.ravel(), **options).y[:, -1]
            return self.flow(left.reshape(x.shape), (1 - SIGNAL_FROM, SIGNAL_FROM), end)
        y, first, last = (x / start[0]).ravel(), start[1] / start[0], end[1] / end[0]
        turn = np.clip(LINEAR_BELOW, last, first)
        if turn < first:
            y = solve_ivp(lambda s, y: np.exp(s) * slope(np.exp(s), y), (np.log(first), np.log(turn)), y, **options).y[
                :, -1
            ]
        if last < turn:
            y = solve_ivp(slope, (turn, last), y, **options).y[:, -1]
        return y.reshape(x.shape) * end[0]


def follow(plan, first_level, mixture, prediction_type, x, generator=None):
    """Runs a plan on the host in float64 with the perfect model.

    Args:
        plan (StepPlan): With ``next_level``.
        first_level (tuple): alpha and sigma of `x`.
        mixture (Mixture): The data.
        prediction_type (str): What the model predicts.
        x (numpy.ndarray): Samples at the first level, ``(B, D)``.
        generator (numpy.random.Generator, optional): Source of fresh noise for a stochastic plan.

    Returns:
        numpy.ndarray, the final samples.
    """
    alpha = np.append(first_level[0], np.broadcast_to(plan.next_level[0], len(plan)))
    sigma = np.append(first_level[1], np.broadcast_to(plan.next_level[1], len(plan)))
    values = {name: np.zeros_like(x) for name in plan.states}
    values["sample"] = x
    for i in range(len(plan)):
        values["output"] = mixture.predict(prediction_type, values["sample"], alpha[i], sigma[i])
        if plan.stochastic:
            values["noise"] = generator.standard_normal(x.shape)
        results = plan.run(i, **values)
        values = {name: results[name] for name in plan.states}
    return values["sample"]
