"""How exact posterior guidance is where the exact posterior is known: Gaussian priors and linear measurements.

With the exact denoiser of a Gaussian prior every deterministic solver maps its noise affinely, x = M z + m. The map is
measured with one sample for each unit vector, so that mean and variance of the result have no sampling error. Printed
are, for each case, the largest error of the mean in units of the prior's standard deviation, and the smallest and the
largest ratio of the variance to that of the exact posterior.

    python scripts/bench/posterior.py --methods jacobian_free moment_matching
    python scripts/bench/posterior.py --scalar
"""

import argparse
import itertools
import warnings

import numpy as np
from mindspore import Tensor, nn, ops
from mindspore import dtype as mstype

import mindscience_diffuser
from mindscience_diffuser import Sampler
from mindscience_diffuser.guidance import METHODS, Blur, Coarsen, Mask, PosteriorGuidance, Stage

GRID, CHANNELS = (8, 8), 2
SIZE = CHANNELS * GRID[0] * GRID[1]
CALLS = 50
SCALAR_CALLS = 200
PRIOR_MEAN = 0.3

SOLVERS = {
    "DPM++ 2M, epsilon": ("DPMSolverMultistepScheduler", {"use_karras_sigmas": True}),
    "DPM++ 2M, v": ("DPMSolverMultistepScheduler", {"use_karras_sigmas": True, "prediction_type": "v_prediction"}),
    "DPM++ 2S, x0": ("DPMSolverSinglestepScheduler", {"use_karras_sigmas": True, "prediction_type": "sample"}),
    "UniPC, epsilon": ("UniPCMultistepScheduler", {"use_karras_sigmas": True}),
    "DEIS, epsilon": ("DEISMultistepScheduler", {"use_karras_sigmas": True}),
    "Heun, epsilon": ("HeunDiscreteScheduler", {"use_karras_sigmas": True}),
    "UniPC, flow": ("UniPCMultistepScheduler", {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}),
    "Heun, flow": ("FlowMatchHeunDiscreteScheduler", {}),
    "DPM++ 2M, EDM": ("EDMDPMSolverMultistepScheduler", {}),
    "Heun, EDM": ("EDMHeunScheduler", {}),
}
NOISE_STDS = (0.05, 0.3, 1.0)


class RandomMatrix(nn.Cell):
    """y = A x with a fixed matrix."""

    def __init__(self, rows, seed=0):
        super().__init__()
        self.matrix = np.random.default_rng(seed).standard_normal((rows, SIZE)) / np.sqrt(SIZE)
        self.rows = Tensor(self.matrix, mstype.float32)
        self.columns = Tensor(self.matrix.T.copy(), mstype.float32)

    def construct(self, x):
        """Returns the measurements, ``(B, rows)``."""
        return ops.matmul(x.reshape((-1, SIZE)), self.columns)

    def adjoint(self, y):
        """Returns the product with the transpose."""
        return ops.matmul(y, self.rows).reshape((-1, CHANNELS) + GRID)


def priors():
    """Returns, by name, `prior_std` of the guidance and the covariance of the flattened prior."""
    frequency = [np.fft.fftfreq(n) * n for n in GRID]
    spectrum = 1.6 / (1 + (frequency[0][:, None] ** 2 + frequency[1] ** 2) / 4)
    fourier = np.kron(*(np.fft.fft(np.eye(n), norm="ortho") for n in GRID))
    coloured = (fourier.conj().T @ np.diag(spectrum.ravel() ** 2) @ fourier).real
    by_channel = np.array([0.5, 1.2])
    return {
        "white": (0.5, 0.25 * np.eye(SIZE)),
        "per channel": (by_channel, np.diag(np.repeat(by_channel**2, SIZE // CHANNELS))),
        "coloured": (spectrum[None], np.kron(np.eye(CHANNELS), coloured)),
    }


def measures():
    """Returns the measurements by name."""
    mask = np.random.default_rng(1).random((CHANNELS, *GRID)) < 0.3
    return {"mask": Mask(mask), "coarsen": Coarsen(2), "blur": Blur(0.7, GRID), "matrix": RandomMatrix(32)}


class GaussianDenoiser(Stage):
    """The exact model of a Gaussian prior: E[x0 | x] as the output that belongs to it, whatever is predicted."""

    def __init__(self, covariance):
        super().__init__(nn.Identity())
        variance, vectors = np.linalg.eigh(covariance)
        self.variance = Tensor(np.maximum(variance, 0), mstype.float32)
        self.vectors, self.transposed = Tensor(vectors, mstype.float32), Tensor(vectors.T.copy(), mstype.float32)

    def at_level(self, level, x, timestep, *conditions):
        """Returns the output at a level."""
        of_sample, of_output, alpha, sigma, scale = level
        x = ops.cast(x, mstype.float32)
        centred = (x / scale - alpha * PRIOR_MEAN).reshape((-1, SIZE))
        gain = alpha * self.variance / (alpha * alpha * self.variance + sigma * sigma)
        clean = PRIOR_MEAN + ops.matmul(ops.matmul(centred, self.vectors) * gain, self.transposed).reshape(x.shape)
        return (clean - of_sample * x) / of_output


def exact_posterior(covariance, matrix, noise_std, y):
    """Returns mean and covariance of N(PRIOR_MEAN, covariance) given y = matrix x + noise_std * z."""
    gain = covariance @ matrix.T @ np.linalg.inv(matrix @ covariance @ matrix.T + noise_std**2 * np.eye(len(matrix)))
    mean = PRIOR_MEAN + gain @ (y - matrix @ np.full(SIZE, PRIOR_MEAN))
    return mean, covariance - gain @ matrix @ covariance


def matrix_of(measure):
    """Returns the matrix of a linear measurement, without the rows that measure nothing."""
    unit = Tensor(np.eye(SIZE, dtype=np.float32).reshape(SIZE, CHANNELS, *GRID))
    return measure(unit).asnumpy().reshape(SIZE, -1).T.astype(np.float64)


def affine_map(sampler, scheduler, covariance, y):
    """Returns m and M of the sampler's result M z + m for standard normal z."""
    alpha, sigma = (level[0] for level in scheduler.levels)
    z = np.concatenate([np.zeros((1, SIZE)), np.eye(SIZE)]) * 0.5
    # From the marginal of the first level, so that no error of the start is counted as one of the guidance.
    z = alpha * PRIOR_MEAN + z @ np.linalg.cholesky(alpha**2 * covariance + sigma**2 * np.eye(SIZE)).T
    start = Tensor(z.reshape(-1, CHANNELS, *GRID).astype(np.float32))
    many = Tensor(np.repeat(y.asnumpy(), len(z), axis=0))
    result = sampler(start, many).asnumpy().reshape(-1, SIZE).astype(np.float64)
    return result[0], (result[1:] - result[0]).T / 0.5


def errors(solver, prior, measure, noise_std, method, iterations=3):
    """Returns the error of the mean, and the smallest and largest ratio of variances."""
    name, options = SOLVERS[solver]
    scheduler = getattr(mindscience_diffuser, name)(**options)
    scheduler.set_timesteps(CALLS // scheduler.order)
    prior_std, covariance = prior
    truth = PRIOR_MEAN + np.linalg.cholesky(covariance + 1e-9 * np.eye(SIZE)) @ np.random.default_rng(2).normal(
        size=SIZE
    )
    clean = Tensor(truth.reshape(1, CHANNELS, *GRID), mstype.float32)
    y = measure(clean)
    y = y + noise_std * Tensor(np.random.default_rng(3).normal(size=y.shape), mstype.float32)
    if isinstance(measure, Mask):
        y = y * measure.mask
    guided = PosteriorGuidance(
        GaussianDenoiser(covariance), scheduler, measure, noise_std, method, prior_std, iterations
    )
    mean, spread = affine_map(Sampler(guided, scheduler), scheduler, covariance, y)
    exact_mean, exact_covariance = exact_posterior(covariance, matrix_of(measure), noise_std, y.asnumpy().ravel())
    ratio = np.diag(spread @ spread.T) / np.diag(exact_covariance)
    return np.abs((mean - exact_mean) / np.sqrt(np.diag(covariance))).max(), ratio.min(), ratio.max()


def scalar_table():
    """Prints mean and variance of every method for one number: prior N(0, 0.5^2), y = 1 with noise 0.1."""
    exact = 0.25 / 0.26
    print(f"| method | posterior mean (exact {exact:.3f}) | variance over the exact one |\n| --- | --- | --- |")
    for method in METHODS:
        scheduler = mindscience_diffuser.EDMDPMSolverMultistepScheduler(prediction_type="sample")
        scheduler.set_timesteps(SCALAR_CALLS)
        guided = PosteriorGuidance(ScalarDenoiser(), scheduler, Mask([1]), 0.1, method, prior_std=0.5)
        z = Tensor(np.array([[[0.0]], [[1.0]]], np.float32) * scheduler.init_noise_sigma, mstype.float32)
        start, moved = Sampler(guided, scheduler)(z, ops.ones((2, 1, 1))).asnumpy().ravel().astype(np.float64)
        print(f"| {method} | {start:.3f} | {(moved - start) ** 2 / (0.01 * exact):.2f} |")


class ScalarDenoiser(nn.Cell):
    """The denoiser of N(0, 0.5^2)."""

    def construct(self, x, sigma):
        """Returns E[x0 | x] at the level sigma."""
        sigma = sigma.reshape((-1, 1, 1))
        return 0.25 / (0.25 + sigma * sigma) * x


def main():
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", nargs="+", default=["jacobian_free", "moment_matching"], choices=METHODS)
    parser.add_argument("--solvers", nargs="+", default=list(SOLVERS), choices=SOLVERS)
    parser.add_argument("--noise-stds", nargs="+", type=float, default=NOISE_STDS)
    parser.add_argument("--iterations", type=int, default=3)
    parser.add_argument("--scalar", action="store_true", help="one number, every method, in place of fields")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    if arguments.scalar:
        scalar_table()
        return
    print("| solver | prior | measurement | noise | method | mean | least variance | most variance |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    cases = itertools.product(arguments.solvers, priors().items(), measures().items(), arguments.noise_stds)
    for solver, (prior_name, prior), (measure_name, measure), noise_std in cases:
        for method in arguments.methods:
            mean, least, most = errors(solver, prior, measure, noise_std, method, arguments.iterations)
            print(
                f"| {solver} | {prior_name} | {measure_name} | {noise_std:g} | {method} | {mean:.4f} | {least:.3f} | "
                f"{most:.3f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
