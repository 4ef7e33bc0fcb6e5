"""Optimal interpolation: the exact Gaussian update of a background with known covariance, what a filter must beat."""

import numpy as np
from scipy import linalg, stats


def gaussian_update(mean, covariance, y, noise_std):
    """Returns mean and covariance of a Gaussian vector given measurements of its values.

    Args:
        mean (numpy.ndarray): ``(n,)``.
        covariance (numpy.ndarray): ``(n, n)``.
        y (numpy.ndarray): The measurement of each value, ``(..., n)``, NaN where there is none, the same everywhere.
        noise_std (float): Standard deviation of the noise of each.
    """
    seen = np.flatnonzero(~np.isnan(y.reshape(-1, y.shape[-1])[0]))
    of_measured = covariance[np.ix_(seen, seen)] + noise_std**2 * np.eye(len(seen))
    gain = linalg.solve(of_measured, covariance[seen], assume_a="pos").T
    return mean + (y[..., seen] - mean[seen]) @ gain.T, covariance - gain @ covariance[seen]


class OptimalInterpolation:
    """Analyses of films from a Gaussian background, with the statistics of training films.

    ``climatology``: the background of each analysis is the climatological mean with the climatological covariance; the
    analysis is held until the next. ``persistence``, the cycled form: the background is the last analysis, damped to
    the mean with the correlation r of frames so far apart, with the covariance r^2 A + (1 - r^2) C, where A is that of
    the analysis and C the climatological one. So it forgets in time, and begins with what is known of the first frame.

    Args:
        films (numpy.ndarray): Training films, ``(N, T, side, side)``.
    """

    def __init__(self, films):
        self.films = np.asarray(films, np.float64).reshape(*films.shape[:2], -1)
        flat = self.films.reshape(-1, self.films.shape[-1])
        self.mean, self.covariance = flat.mean(0), np.cov(flat.T)

    def correlations(self, most):
        """Returns the correlation of frames 0, 1, ... `most` apart; 0 beyond the length of the films."""
        apart = self.films - self.mean
        found = np.zeros(most + 1)
        for k in range(min(most + 1, apart.shape[1])):
            early, late = apart[:, : apart.shape[1] - k], apart[:, k:]
            found[k] = np.vdot(early, late) / np.sqrt(np.vdot(early, early) * np.vdot(late, late))
        return np.clip(found, 0, 1)

    def analyses(self, observations, noise_std, first, first_covariance):
        """Returns mean and standard deviation of both forms over time.

        Args:
            observations (Sequence): For each frame None, or measurements ``(side, side)``, NaN where there is none.
            noise_std (float): Standard deviation of their noise.
            first (numpy.ndarray): What is known of the frame before the first, ``(side, side)``.
            first_covariance (float): Covariance of its error, in units of the climatological one.

        Returns:
            dict of tuples of two numpy.ndarray ``(T, side, side)``, by name of the form.
        """
        correlations = self.correlations(len(observations))
        held = self.mean, self.covariance
        analysis, age = (first.ravel().astype(np.float64), first_covariance * self.covariance), 0
        courses = {"climatology": [], "persistence": []}
        for y in observations:
            age += 1
            r = correlations[age]
            background = (
                self.mean + r * (analysis[0] - self.mean),
                r**2 * analysis[1] + (1 - r**2) * self.covariance,
            )
            if y is not None:
                held = gaussian_update(self.mean, self.covariance, y.ravel(), noise_std)
                background = analysis = gaussian_update(*background, y.ravel(), noise_std)
                age = 0
            for name, (mean, covariance) in (("climatology", held), ("persistence", background)):
                courses[name].append((mean, np.sqrt(np.diag(covariance))))
        return {
            name: tuple(np.stack(part).reshape(-1, *first.shape) for part in zip(*course))
            for name, course in courses.items()
        }


def gaussian_crps(mean, std, truth):
    """Continuous ranked probability score of normal distributions (Gneiting et al., 2005, eq. (5)), any shape."""
    z = (truth - mean) / std
    return std * (z * (2 * stats.norm.cdf(z) - 1) + 2 * stats.norm.pdf(z) - 1 / np.sqrt(np.pi))
