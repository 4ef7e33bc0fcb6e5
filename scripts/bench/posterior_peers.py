"""Posterior guidance of other packages on a problem whose exact posterior is known, beside that of this package.

A Gaussian field of 8 x 8 points, 30 % of which are measured; the denoiser is exact; 20,000 samples along the
probability-flow ODE, Heun's method of EDM with 25 steps (49 calls), the same for all: what differs is the guidance.
Printed are, over the measured points, the mean error of the posterior mean in units of the prior's standard deviation,
and the mean ratio of the variance to the exact one.

Each package in an environment of its own, one after the other:

    python scripts/bench/posterior_peers.py --package mindscience_diffuser
    python scripts/bench/posterior_peers.py --package deepinv
    python scripts/bench/posterior_peers.py --package physicsnemo
"""

import argparse
import warnings

import numpy as np
from tqdm import tqdm

GRID, SAMPLES, CHUNK, STEPS = (8, 8), 20000, 10000, 25
SIGMA_MIN, SIGMA_MAX, RHO = 0.002, 80.0, 7
NOISE_STDS = (0.05, 0.3, 1.0)
SDA_GAMMA = 1e-3


def spectra():
    """Returns the standard deviation of each Fourier coefficient of the priors, by name."""
    frequency = np.fft.fftfreq(GRID[0]) * GRID[0]
    return {
        "white": np.full(GRID, 0.5),
        "coloured": 1.6 / (1 + (frequency[:, None] ** 2 + frequency**2) / 4),
    }


class Problem:
    """A Gaussian field with mean 0 of which some points are measured."""

    def __init__(self, spectrum, noise_std):
        fourier = np.kron(*(np.fft.fft(np.eye(n), norm="ortho") for n in GRID))
        self.covariance = (fourier.conj().T @ np.diag(spectrum.ravel() ** 2) @ fourier).real
        self.variance, self.vectors = np.linalg.eigh(self.covariance)
        self.variance = np.maximum(self.variance, 0)
        self.noise_std, self.spectrum = noise_std, spectrum
        generator = np.random.default_rng(1)
        self.mask = generator.random(GRID) < 0.3
        matrix = np.diag(self.mask.ravel().astype(float))[self.mask.ravel()]
        truth = self.vectors @ (np.sqrt(self.variance) * generator.standard_normal(self.variance.size))
        y = matrix @ truth + noise_std * generator.standard_normal(len(matrix))
        self.y = np.zeros(GRID, np.float32)
        self.y[self.mask] = y
        of_y = matrix @ self.covariance @ matrix.T + noise_std**2 * np.eye(len(matrix))
        gain = self.covariance @ matrix.T @ np.linalg.inv(of_y)
        self.mean, self.posterior = gain @ y, self.covariance - gain @ matrix @ self.covariance

    def compared(self, samples):
        """Returns the error of the mean and the ratio of variances of samples ``(N, 64)``, over measured points."""
        seen = self.mask.ravel()
        error = np.abs(samples.mean(axis=0) - self.mean) / np.sqrt(np.diag(self.covariance))
        return error[seen].mean(), (samples.var(axis=0) / np.diag(self.posterior))[seen].mean()


def levels():
    """Returns the noise levels of EDM, from the highest to 0."""
    ramp = np.linspace(SIGMA_MAX ** (1 / RHO), SIGMA_MIN ** (1 / RHO), STEPS) ** RHO
    return np.append(ramp, 0.0)


def with_torch(problem, guidance):
    """Returns samples along Heun's method; ``guidance(denoiser, x, sigma)`` gives x0 and grad log p(y | x)."""
    import torch

    variance = torch.tensor(problem.variance, dtype=torch.float32)
    vectors = torch.tensor(problem.vectors, dtype=torch.float32)

    def denoiser(x, sigma, *_, **__):
        sigma = torch.as_tensor(sigma, dtype=torch.float32).reshape(-1, 1)
        shrunk = (x.reshape(len(x), -1) @ vectors) * (variance / (variance + sigma**2))
        return (shrunk @ vectors.T).reshape(x.shape)

    def slope(x, sigma):
        clean, gradient = guidance(denoiser, x, sigma)
        return (x - clean) / sigma - sigma * gradient

    sigmas, results = levels(), []
    for start in range(0, SAMPLES, CHUNK):
        generator = torch.Generator().manual_seed(start)
        x = SIGMA_MAX * torch.randn((CHUNK, 1, *GRID), generator=generator)
        for sigma, following in zip(sigmas[:-1], sigmas[1:]):
            first = slope(x, float(sigma))
            moved = x + (following - sigma) * first
            if following > 0:
                moved = x + (following - sigma) * 0.5 * (first + slope(moved, float(following)))
            x = moved.detach()
        results.append(x.numpy().reshape(CHUNK, -1))
    return np.concatenate(results)


def of_deepinv(problem):
    """Returns, by name, samples under each noisy data fidelity of deepinv."""
    import deepinv
    import torch

    physics = deepinv.physics.Inpainting(
        (1, *GRID),
        mask=torch.tensor(problem.mask[None], dtype=torch.float32),
        noise_model=deepinv.physics.GaussianNoise(problem.noise_std),
    )
    y = torch.tensor(problem.y[None, None])
    kinds = {
        "DPS, norm": lambda model: deepinv.sampling.DPSDataFidelity(denoiser=model),
        "DPS, annealed": lambda model: deepinv.sampling.DPSDataFidelity(denoiser=model, guidance="annealed"),
        "PiGDM": lambda model: deepinv.sampling.PiGDMDataFidelity(denoiser=model),
        "moment matching": lambda model: deepinv.sampling.MomentMatchingDataFidelity(denoiser=model),
        "moment matching, 20 iterations": lambda model: deepinv.sampling.MomentMatchingDataFidelity(
            denoiser=model, cg_max_iter=20, cg_tol=1e-7
        ),
    }
    for name, kind in kinds.items():

        def guidance(denoiser, x, sigma, kind=kind):
            # A level for each sample, which every one of them takes.
            level = torch.full((len(x), 1, 1, 1), sigma)
            many = y.expand(len(x), -1, -1, -1)
            gradient = kind(denoiser).grad(x.detach().clone(), many, physics, level)
            return denoiser(x, sigma).detach(), -gradient.detach()

        yield name, with_torch(problem, guidance)


def of_physicsnemo(problem):
    """Returns, by name, samples under the guidances of physicsnemo."""
    import torch
    from physicsnemo.diffusion.guidance import DataConsistencyDPSGuidance

    mask, y = torch.tensor(problem.mask[None, None]), torch.tensor(problem.y[None, None])
    for name, gamma in (("DPS", 0.0), ("SDA, gamma = 1e-3", SDA_GAMMA), ("SDA, gamma = 1", 1.0)):

        def guidance(denoiser, x, sigma, gamma=gamma):
            shape = x.shape
            term = DataConsistencyDPSGuidance(
                mask=mask.expand(shape),
                y=y.expand(shape),
                std_y=problem.noise_std,
                gamma=gamma,
                sigma_fn=lambda t: t,
            )
            with torch.enable_grad():
                x = x.detach().clone().requires_grad_(True)
                clean = denoiser(x, sigma)
                gradient = term(x, torch.full((len(x),), sigma), clean)
            return clean.detach(), gradient.detach()

        yield name, with_torch(problem, guidance)


def of_mindscience_diffuser(problem):
    """Returns, by name, samples under each method of this package."""
    from mindspore import Tensor, nn, ops
    from mindspore import dtype as mstype

    from mindscience_diffuser import EDMHeunScheduler, Mask, PosteriorGuidance, Sampler

    class GaussianDenoiser(nn.Cell):
        """E[x0 | x] at the level sigma."""

        def __init__(self):
            super().__init__()
            self.variance = Tensor(problem.variance, mstype.float32)
            self.vectors = Tensor(problem.vectors, mstype.float32)
            self.transposed = Tensor(problem.vectors.T.copy(), mstype.float32)

        def construct(self, x, sigma):
            sigma = sigma.reshape((-1, 1))
            gain = self.variance / (self.variance + sigma * sigma)
            flat = x.reshape((-1, self.variance.shape[0]))
            return ops.matmul(ops.matmul(flat, self.vectors) * gain, self.transposed).reshape(x.shape)

    scheduler = EDMHeunScheduler(prediction_type="sample", sigma_min=SIGMA_MIN, sigma_max=SIGMA_MAX, rho=RHO)
    scheduler.set_timesteps(STEPS)
    y = Tensor(np.tile(problem.y, (CHUNK, 1, 1, 1)))
    # A white prior needs one iteration where single points are measured.
    white = np.ptp(problem.spectrum) == 0
    prior_std, iterations = (problem.spectrum[0, 0], 1) if white else (problem.spectrum[None], 10)
    for method in ("jacobian_free", "moment_matching", "pigdm", "sda", "dps"):
        guided = PosteriorGuidance(
            GaussianDenoiser(),
            scheduler,
            Mask(problem.mask),
            problem.noise_std,
            method,
            prior_std=prior_std,
            iterations=iterations,
        )
        sampler, results = Sampler(guided, scheduler), []
        for start in range(0, SAMPLES, CHUNK):
            noise = SIGMA_MAX * np.random.default_rng(start).standard_normal((CHUNK, 1, *GRID), np.float32)
            results.append(sampler(Tensor(noise, mstype.float32), y).asnumpy().reshape(CHUNK, -1))
        yield method, np.concatenate(results)


PACKAGES = {
    "mindscience_diffuser": of_mindscience_diffuser,
    "deepinv": of_deepinv,
    "physicsnemo": of_physicsnemo,
}


def main():
    """Prints the table of one package."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--package", required=True, choices=PACKAGES)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    print("| guidance | prior | noise | error of the mean | variance over the exact one |")
    print("| --- | --- | --- | --- | --- |")
    cases = [(name, spectrum, std) for name, spectrum in spectra().items() for std in NOISE_STDS]
    for prior, spectrum, noise_std in tqdm(cases):
        problem = Problem(spectrum, noise_std)
        for name, samples in PACKAGES[arguments.package](problem):
            error, ratio = problem.compared(samples.astype(np.float64))
            print(f"| {name} | {prior} | {noise_std:g} | {error:.4f} | {ratio:.3f} |", flush=True)


if __name__ == "__main__":
    main()
