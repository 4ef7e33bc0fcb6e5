"""Real handwritten digits: the 1797 scans of 8x8 pixels that scikit-learn brings along.

Source: E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", UCI repository, 1998 (the test part).
"""

from typing import NamedTuple

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from mindscience_diffuser.validation import check_integer

SIDE = 8
BRIGHTEST = 16
# Of scikit-learn.
LARGEST_SEED = 2**32 - 1


class Labelled(NamedTuple):
    """Images (N, 8, 8), float32 in [-1, 1], and their classes (N,)."""

    images: np.ndarray
    labels: np.ndarray


class Digits:
    """The digits, split into a training and a held-out part with the same share of every class.

    An image becomes a sequence of patches, row by row; a token is one patch.

    Args:
        held_out (int): Number of held-out digits, in [100, 1600]. Default: ``500``.
        split_seed (int): Seed of the split, in [0, 4294967295]. Default: ``0``.
        patch_height (int): Height of a patch: 1, 2, 4 or 8. Default: ``2``.
        patch_width (int): Width of a patch: 1, 2, 4 or 8. Default: ``2``.

    Raises:
        TypeError: If an argument is no integer.
        ValueError: If an argument is out of its range.
    """

    classes = 10

    def __init__(self, held_out=500, split_seed=0, patch_height=2, patch_width=2):
        held_out = check_integer("held_out", held_out, low=100, high=1600)
        split_seed = check_integer("split_seed", split_seed, low=0, high=LARGEST_SEED)
        self.patch = (
            check_integer("patch_height", patch_height, low=1, high=SIDE),
            check_integer("patch_width", patch_width, low=1, high=SIDE),
        )
        for name, size in zip(("patch_height", "patch_width"), self.patch):
            if SIDE % size:
                raise ValueError(f"'{name}' must be 1, 2, 4 or 8, but is {size}.")
        self.grid = (SIDE // self.patch[0], SIDE // self.patch[1])
        self.length = self.grid[0] * self.grid[1]
        self.channels = self.patch[0] * self.patch[1]
        scans = load_digits()
        images = (scans.images / (BRIGHTEST / 2) - 1).astype(np.float32)
        train, rest, train_labels, rest_labels = train_test_split(
            images, scans.target, test_size=held_out, stratify=scans.target, random_state=split_seed
        )
        self.train = Labelled(train, train_labels)
        self.held_out = Labelled(rest, rest_labels)

    def to_tokens(self, images):
        """Cuts images (N, 8, 8) into tokens (N, length, channels)."""
        (rows, columns), (height, width) = self.grid, self.patch
        patches = np.reshape(images, (-1, rows, height, columns, width)).transpose(0, 1, 3, 2, 4)
        return np.ascontiguousarray(patches.reshape(-1, self.length, self.channels))

    def to_images(self, tokens):
        """Puts tokens (N, length, channels) back together to images (N, 8, 8)."""
        (rows, columns), (height, width) = self.grid, self.patch
        patches = np.reshape(tokens, (-1, rows, columns, height, width)).transpose(0, 1, 3, 2, 4)
        return np.ascontiguousarray(patches.reshape(-1, SIDE, SIDE))

    def condition(self, labels):
        """Returns the one-hot conditions (N, classes), float32, of class labels (N,)."""
        return np.eye(self.classes, dtype=np.float32)[labels]
