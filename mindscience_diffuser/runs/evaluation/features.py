"""Means and covariances of features of any number of images, without holding the images, and the distance of two."""

import numpy as np

from mindscience_diffuser.runs.distributed.ranks import gather


class FeatureStatistics:
    """Count, mean and scatter matrix of features, gathered batch by batch.

    Batches are merged with the pairwise update of Chan, Golub and LeVeque, 1979, in float64, which does not lose
    digits where the mean is large beside the spread.

    Args:
        features (Callable): Takes a batch of images and returns an array (B, D): any feature extractor.
    """

    def __init__(self, features):
        self.features = features
        self.count = 0
        self.mean = self.scatter = None

    def update(self, images):
        """Takes a batch of images in.

        Raises:
            ValueError: If the features are no (B, D) array, or D is another than before.
        """
        values = np.asarray(self.features(images), dtype=np.float64)
        if values.ndim != 2 or len(values) != len(images):
            raise ValueError(
                f"'features' must return one row for each of the {len(images)} images, but returned the shape "
                f"{values.shape}."
            )
        if self.mean is not None and values.shape[1] != len(self.mean):
            raise ValueError(f"'features' returned {values.shape[1]} values an image, but {len(self.mean)} before.")
        if len(values):
            mean = values.mean(axis=0)
            centred = values - mean
            self._merge(len(values), mean, centred.T @ centred)

    def merge_ranks(self, dimension):
        """Takes in what all ranks have gathered; every rank must call it, and all then hold the same.

        Args:
            dimension (int): D, for a rank that has seen no image.
        """
        mine = np.zeros((dimension + 1, dimension + 1))
        mine[0, 0] = self.count
        if self.count:
            mine[0, 1:], mine[1:, 1:] = self.mean, self.scatter
        self.count, self.mean, self.scatter = 0, None, None
        for state in gather(mine):
            if state[0, 0]:
                self._merge(int(state[0, 0]), state[0, 1:], state[1:, 1:])

    @property
    def covariance(self):
        """The unbiased covariance (D, D).

        Raises:
            ValueError: If there are fewer than two images.
        """
        if self.count < 2:
            raise ValueError(f"A covariance needs at least 2 images, but there are {self.count}.")
        return self.scatter / (self.count - 1)

    def _merge(self, count, mean, scatter):
        if self.count == 0:
            self.count, self.mean, self.scatter = count, mean, scatter
            return
        total = self.count + count
        shift = mean - self.mean
        self.scatter = self.scatter + scatter + np.outer(shift, shift) * (self.count * count / total)
        self.mean = self.mean + shift * (count / total)
        self.count = total


def frechet_distance(first, second):
    """Frechet distance of two Gaussians (Heusel et al., 2017, arXiv:1706.08500, eq. (6)); FID with Inception features.

    |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)), where the trace of the root is that of the symmetric
    (C1^(1/2) C2 C1^(1/2))^(1/2), which exists for singular covariances too.

    Args:
        first (FeatureStatistics): Of one set of images.
        second (FeatureStatistics): Of the other.

    Returns:
        float.

    Raises:
        ValueError: If one of them has seen fewer than two images, or images that are not finite.
    """
    for name, statistics in (("first", first), ("second", second)):
        if not np.all(np.isfinite(statistics.covariance)):
            raise ValueError(f"'{name}' has seen features that are not finite: look for NaN among its images.")
    shift = first.mean - second.mean
    values, vectors = np.linalg.eigh(first.covariance)
    root = (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
    crossed = np.linalg.eigvalsh(root @ second.covariance @ root)
    trace = np.trace(first.covariance) + np.trace(second.covariance) - 2 * np.sqrt(np.clip(crossed, 0, None)).sum()
    return float(shift @ shift + trace)
