"""How near ensemble filters come to the Kalman filter in a linear Gaussian state space with an exact denoiser.

Three filters draw with the same guided sampler. ``assimilate`` updates the past of the members before they are drawn;
``guidance alone`` leaves it as it is; ``guided particles`` resamples the members with the weights p(y | past) before
they are drawn, the fully adapted auxiliary particle filter (Pitt and Shephard, 1999), which needs these weights in
closed form. Printed are, for each number of members, the root mean square over times and components of the error of
the mean in units of the exact standard deviation, and the mean ratio of the variance to the exact one.

    python scripts/bench/assimilation.py
"""

import argparse

import numpy as np
from mindspore import Tensor, nn, ops
from mindspore import dtype as mstype

from mindscience_diffuser import EDMDPMSolverMultistepScheduler, NoiseSource, PosteriorGuidance, Sampler, assimilate
from mindscience_diffuser.guidance import Mask

LAST = np.array([[0.9, 0.4, 0.0], [-0.5, 0.8, 0.2], [0.0, -0.2, 0.9]])
BEFORE = np.array([[-0.2, 0.0, 0.1], [0.0, -0.3, 0.0], [0.1, 0.0, -0.2]])
"""x_t = LAST x_{t-1} + BEFORE x_{t-2} + MODEL_STD z."""
MODEL_STD, NOISE_STD = 0.4, 0.3
SIZE = len(LAST)
MASK = (1.0, 0.0, 1.0)
NAN = np.nan
OBSERVATIONS = [
    None if y is None else np.array(y, np.float32)
    for y in (
        (1.5, NAN, -0.5),
        None,
        (0.2, NAN, NAN),
        (NAN, NAN, NAN),
        (-1.0, NAN, 1.0),
        (2.0, NAN, 0.0),
    )
]
"""The first and the last component, some values missing, at some times none."""
MEMBERS = (100, 1000, 10_000)


class Transition(nn.Cell):
    """The denoiser of p(x_t | x_{t-1}, x_{t-2}), called with the past ``(B, 2, SIZE)``."""

    def __init__(self):
        super().__init__()
        self.last, self.before = Tensor(LAST.T.copy(), mstype.float32), Tensor(BEFORE.T.copy(), mstype.float32)
        self.variance = MODEL_STD**2

    def construct(self, x, sigma, past):
        """Returns the denoised state."""
        mean = ops.matmul(past[:, 1], self.last) + ops.matmul(past[:, 0], self.before)
        sigma = sigma.reshape((-1, 1))
        return mean + self.variance / (self.variance + sigma * sigma) * (x - mean)


def samplers(steps=40):
    """Samplers of forecast and analysis."""
    model = Transition()
    scheduler = EDMDPMSolverMultistepScheduler(
        sigma_min=0.02, sigma_max=80.0, rho=14.0, prediction_type="sample", num_train_timesteps=steps
    )
    scheduler.set_timesteps(steps)
    guided = PosteriorGuidance(model, scheduler, Mask([MASK]), NOISE_STD, prior_std=MODEL_STD, iterations=1)
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


def drawn(sampler, past, source, *y):
    """Returns the next frames of all members."""
    start = source.standard_normal((len(past), SIZE)) * np.float32(sampler.scheduler.init_noise_sigma) + past[:, -1]
    given = [Tensor(np.repeat(value[None], len(past), axis=0)) for value in y]
    return sampler(Tensor(start), *given, Tensor(past), generator=source).asnumpy()


def without_update(forecast, analysis, history, observations, seed, resampled):
    """Returns the members ``(T, M, SIZE)``; their past learns of measurements by resampling, or not at all."""
    source, rng = NoiseSource(seed, len(history)), np.random.default_rng(seed)
    past, frames = history, []
    for y in observations:
        if y is None or np.isnan(y).all():
            frame = drawn(forecast, past, source)
        else:
            if resampled:
                seen = ~np.isnan(y)
                error = y - past[:, 1] @ LAST.T - past[:, 0] @ BEFORE.T
                log_weights = -0.5 * (error[:, seen] ** 2).sum(1) / (MODEL_STD**2 + NOISE_STD**2)
                weights = np.exp(log_weights - log_weights.max())
                # Systematic resampling.
                places = (np.arange(len(past)) + rng.random()) / len(past)
                chosen = np.searchsorted(np.cumsum(weights) / weights.sum(), places)
                past = past[np.minimum(chosen, len(past) - 1)]
            frame = drawn(analysis, past, source, y)
        frames.append(frame)
        past = np.concatenate([past[:, 1:], frame[:, None]], axis=1)
    return np.stack(frames)


def main():
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--members", type=int, nargs="+", default=MEMBERS)
    forecast, analysis = samplers()
    print("| members | filter | error of the mean | variance over exact |")
    print("| --- | --- | --- | --- |")
    for members in parser.parse_args().members:
        history, mean, covariance = beginning(members)
        means, covariances = kalman(mean, covariance, OBSERVATIONS)
        variances = np.stack([np.diag(c) for c in covariances])
        options = {"initial_noise": "observation", "generator": 1, "progress": False}
        filters = {
            "assimilate": assimilate(forecast, analysis, history, OBSERVATIONS, **options).analysis,
            "guidance alone": without_update(forecast, analysis, history, OBSERVATIONS, 1, False),
            "guided particles": without_update(forecast, analysis, history, OBSERVATIONS, 1, True),
        }
        for name, frames in filters.items():
            error = np.sqrt(((frames.mean(1) - means) ** 2 / variances).mean())
            ratio = (frames.var(1, ddof=1) / variances).mean()
            print(f"| {members} | {name} | {error:.3f} | {ratio:.2f} |", flush=True)


if __name__ == "__main__":
    main()
