"""How far posterior samples are from the exact posterior where the prior is a Gaussian mixture.

Given x = alpha * x0 + sigma * noise and y = A x0 + noise the posterior is a mixture again, so that the model and the
truth are exact. Printed is the sliced Wasserstein distance (order 1, mean over random directions) between samples and
the exact posterior, the mean over several measurements, for each method of posterior guidance along a deterministic
solver and for twisted particles along a stochastic one; and the distance that exact samples of the same number have.

    python scripts/bench/posterior_mixture.py
    python scripts/bench/posterior_mixture.py --dimensions 2 --calls 50 --particles 1 4 16
"""

import argparse
import itertools
import warnings

import numpy as np
from mindspore import Tensor, nn, ops
from mindspore import dtype as mstype
from tqdm import tqdm

from mindscience_diffuser import DPMSolverMultistepScheduler, PosteriorGuidance, Sampler, TwistedSampler
from mindscience_diffuser.guidance import METHODS, Stage

COMPONENTS, SPREAD = 8, 0.15
MEASURED = {2: 1, 10: 3}
"""Dimension of the sample: number of measurements."""
NOISE_STD = 0.3
CALLS = (20, 50, 200)
PARTICLES = (1, 4, 16, 64)
TWISTED = ("jacobian_free", "dps")
DIRECTIONS, EXACT = 64, 20000


class MixtureDenoiser(Stage):
    """The exact model of a mixture of isotropic Gaussians, whatever is predicted; samples are ``(B, 1, D)``."""

    def __init__(self, weights, means, variance):
        super().__init__(nn.Identity())
        self.log_weights, self.means = Tensor(np.log(weights), mstype.float32), Tensor(means, mstype.float32)
        self.variance = variance

    def at_level(self, level, x, timestep, *conditions):
        """Returns the output at a level."""
        of_sample, of_output, alpha, sigma, scale = level[:5]
        sample = x.reshape((-1, 1, self.means.shape[1])) / scale
        variance = alpha * alpha * self.variance + sigma * sigma
        centred = sample - alpha * self.means
        logits = self.log_weights - ops.ReduceSum()(centred * centred, 2) / (2 * variance)
        shares = ops.expand_dims(ops.softmax(logits, 1), 2)
        clean = ops.ReduceSum(True)(shares * (self.means + alpha * self.variance / variance * centred), 1)
        return (clean - of_sample * ops.cast(x, mstype.float32)) / of_output


class LinearMeasure(nn.Cell):
    """y = A x of samples ``(B, 1, D)``."""

    def __init__(self, matrix):
        super().__init__()
        self.columns, self.rows = Tensor(matrix.T.copy(), mstype.float32), Tensor(matrix, mstype.float32)

    def construct(self, x):
        """Returns the measurements, ``(B, M)``."""
        return ops.matmul(x.reshape((-1, self.rows.shape[1])), self.columns)

    def adjoint(self, y):
        """Returns the product with the transpose."""
        return ops.matmul(y, self.rows).reshape((-1, 1, self.rows.shape[1]))


class Problem:
    """A mixture of variance about 1 in `dimensions` dimensions, and a random linear measurement."""

    def __init__(self, dimensions, seed=0):
        generator = np.random.default_rng(seed)
        self.weights = generator.dirichlet(np.full(COMPONENTS, 3.0))
        means = generator.standard_normal((COMPONENTS, dimensions))
        means -= self.weights @ means
        self.means = means / np.sqrt((self.weights @ means**2).mean()) * np.sqrt(1 - SPREAD**2)
        rows = MEASURED[dimensions]
        self.matrix = np.linalg.qr(generator.standard_normal((dimensions, rows)))[0].T
        self.model = MixtureDenoiser(self.weights, self.means, SPREAD**2)
        self.measure = LinearMeasure(self.matrix)

    def measurements(self, count, seed=1):
        """Returns measurements of samples of the prior, ``(count, M)``."""
        generator = np.random.default_rng(seed)
        clean = self.means[generator.choice(COMPONENTS, count, p=self.weights)]
        clean = clean + SPREAD * generator.standard_normal(clean.shape)
        return clean @ self.matrix.T + NOISE_STD * generator.standard_normal((count, len(self.matrix)))

    def posterior(self, y, count, seed):
        """Returns exact samples of the posterior, ``(count, D)``."""
        generator = np.random.default_rng(seed)
        dimensions = self.means.shape[1]
        of_y = SPREAD**2 * self.matrix @ self.matrix.T + NOISE_STD**2 * np.eye(len(y))
        residual = y - self.means @ self.matrix.T
        logits = np.log(self.weights) - 0.5 * (residual @ np.linalg.inv(of_y) * residual).sum(1)
        shares = np.exp(logits - logits.max())
        gain = SPREAD**2 * self.matrix.T @ np.linalg.inv(of_y)
        covariance = SPREAD**2 * np.eye(dimensions) - SPREAD**2 * gain @ self.matrix
        means = (self.means + residual @ gain.T)[generator.choice(COMPONENTS, count, p=shares / shares.sum())]
        return means + generator.standard_normal((count, dimensions)) @ np.linalg.cholesky(covariance).T


def sliced_wasserstein(a, b, seed=0):
    """Returns the mean over directions of the Wasserstein-1 distance between projections of two sets of samples."""
    directions = np.random.default_rng(seed).standard_normal((a.shape[1], DIRECTIONS))
    directions /= np.linalg.norm(directions, axis=0)
    levels = (np.arange(max(len(a), len(b))) + 0.5) / max(len(a), len(b))
    sorted_values = [np.sort(values @ directions, axis=0) for values in (a, b)]
    quantiles = [values[(levels * len(values)).astype(int)] for values in sorted_values]
    return np.abs(quantiles[0] - quantiles[1]).mean()


def scheduled(calls, stochastic):
    """Returns a solver of second order of the probability-flow ODE, or of the reverse SDE."""
    kind = "sde-dpmsolver++" if stochastic else "dpmsolver++"
    scheduler = DPMSolverMultistepScheduler(algorithm_type=kind, use_karras_sigmas=True)
    scheduler.set_timesteps(calls)
    return scheduler


def drawn(problem, method, calls, y, count, particles=None, seed=2):
    """Returns `count` samples for each measurement in y, ``(len(y), count, D)``; of particles where these are given."""
    scheduler = scheduled(calls, stochastic=particles is not None)
    guided = PosteriorGuidance(
        problem.model, scheduler, problem.measure, NOISE_STD, method, iterations=problem.matrix.shape[0]
    )
    repeated = Tensor(np.repeat(y, count, axis=0).astype(np.float32))
    batch = len(repeated) * (particles or 1)
    generator = np.random.default_rng(seed)
    noise = generator.standard_normal((batch, 1, problem.means.shape[1]), np.float32)
    noise = Tensor(noise * np.float32(scheduler.init_noise_sigma))
    if particles is None:
        samples = Sampler(guided, scheduler)(noise, repeated)
    else:
        samples = TwistedSampler(guided, particles)(noise, repeated, generator=generator).samples
    return samples.asnumpy().reshape(len(y), count, -1)


def distance(problem, samples, y):
    """Returns the mean over measurements of the distance between samples and the exact posterior."""
    exact = (problem.posterior(values, EXACT, seed=3) for values in y)
    return np.mean([sliced_wasserstein(some, truth) for some, truth in zip(samples, exact)])


def main():
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dimensions", nargs="+", type=int, default=list(MEASURED), choices=MEASURED)
    parser.add_argument("--calls", nargs="+", type=int, default=CALLS)
    parser.add_argument("--particles", nargs="+", type=int, default=PARTICLES)
    parser.add_argument("--measurements", type=int, default=4)
    parser.add_argument("--samples", type=int, default=1000, help="for each measurement")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    rows = [(method, None) for method in METHODS]
    rows += list(itertools.product(TWISTED, arguments.particles))
    for dimensions in arguments.dimensions:
        problem = Problem(dimensions)
        y = problem.measurements(arguments.measurements)
        exact = [problem.posterior(values, arguments.samples, seed=4) for values in y]
        print(f"\n{dimensions} dimensions; exact samples: {distance(problem, exact, y):.3f}\n")
        print(f"| method | {' | '.join(map(str, arguments.calls))} |\n| --- |{' --- |' * len(arguments.calls)}")
        for method, particles in tqdm(rows, desc=f"{dimensions} dimensions"):
            name = method if particles is None else f"TDS, {method}, K = {particles}"
            given = (problem, method), (y, arguments.samples, particles)
            distances = [distance(problem, drawn(*given[0], calls, *given[1]), y) for calls in arguments.calls]
            print(f"| {name} | {' | '.join(f'{value:.3f}' for value in distances)} |", flush=True)


if __name__ == "__main__":
    main()
