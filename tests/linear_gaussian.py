"""A linear Gaussian state space: its exact denoiser, its measurements, and the Kalman filter."""

import numpy as np
from mindspore import Tensor, nn, ops
from mindspore import dtype as mstype

from mindscience_diffuser import EDMDPMSolverMultistepScheduler, PosteriorGuidance, Sampler
from mindscience_diffuser.guidance import Mask

LAST = np.array([[0.9, 0.4, 0.0], [-0.5, 0.8, 0.2], [0.0, -0.2, 0.9]])
BEFORE = np.array([[-0.2, 0.0, 0.1], [0.0, -0.3, 0.0], [0.1, 0.0, -0.2]])
"""x_t = LAST x_{t-1} + BEFORE x_{t-2} + MODEL_STD z."""
MODEL_STD, NOISE_STD = 0.4, 0.3
SIZE = len(LAST)


class Transition(nn.Cell):
    """The denoiser of p(x_t | x_{t-1}, x_{t-2}), called with the past ``(B, 2, SIZE)``."""

    def __init__(self):
        super().__init__()
        self.last, self.before = Tensor(LAST.T.copy(), mstype.float32), Tensor(BEFORE.T.copy(), mstype.float32)
        self.variance = MODEL_STD**2

    def construct(self, x, sigma, past):
        mean = ops.matmul(past[:, 1], self.last) + ops.matmul(past[:, 0], self.before)
        sigma = sigma.reshape((-1, 1))
        return mean + self.variance / (self.variance + sigma * sigma) * (x - mean)


def samplers(mask=(1.0, 0.0, 1.0), steps=40, measure=None):
    """Samplers of forecast and analysis."""
    model = Transition()
    scheduler = EDMDPMSolverMultistepScheduler(
        sigma_min=0.02, sigma_max=80.0, rho=14.0, prediction_type="sample", num_train_timesteps=steps
    )
    scheduler.set_timesteps(steps)
    measure = Mask(np.array([mask])) if measure is None else measure
    guided = PosteriorGuidance(model, scheduler, measure, NOISE_STD, prior_std=MODEL_STD, iterations=1)
    return Sampler(model, scheduler), Sampler(guided, scheduler)


def beginning(members, seed=0):
    """Members of the first two states, float32 ``(M, 2, SIZE)``, whose mean and covariance are exactly those told."""
    rng = np.random.default_rng(seed)
    matrix = np.tril(rng.standard_normal((2 * SIZE, 2 * SIZE))) * 0.3 + 0.4 * np.eye(2 * SIZE)
    mean = rng.standard_normal(2 * SIZE)
    white = rng.standard_normal((members, 2 * SIZE))
    white = white - white.mean(0)
    white = np.linalg.solve(np.linalg.cholesky(np.cov(white.T)), white.T).T
    drawn = mean + white @ matrix.T
    return drawn.reshape(members, 2, SIZE).astype(np.float32), mean, matrix @ matrix.T


def kalman(mean, covariance, observations):
    """Returns mean and covariance of x_t given the measurements so far, for each time."""
    step = np.block([[np.zeros((SIZE, SIZE)), np.eye(SIZE)], [BEFORE, LAST]])
    means, covariances = [], []
    for y in observations:
        mean, covariance = step @ mean, step @ covariance @ step.T
        covariance[SIZE:, SIZE:] += MODEL_STD**2 * np.eye(SIZE)
        if y is not None and not np.isnan(y).all():
            seen = SIZE + np.flatnonzero(~np.isnan(y))
            of_measured = covariance[np.ix_(seen, seen)] + NOISE_STD**2 * np.eye(len(seen))
            gain = np.linalg.solve(of_measured, covariance[seen]).T
            mean = mean + gain @ (y[seen - SIZE] - mean[seen])
            covariance = covariance - gain @ covariance[seen]
        means.append(mean[SIZE:])
        covariances.append(covariance[SIZE:, SIZE:])
    return np.array(means), np.array(covariances)
