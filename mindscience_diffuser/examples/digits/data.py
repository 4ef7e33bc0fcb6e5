"""Real handwritten digits: the 1797 scans of 8x8 pixels that scikit-learn brings along.

Source: E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", UCI repository, 1998 (the test part).
"""

from typing import NamedTuple

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from mindscience_diffuser.examples.digits.pictures import save_sample_grid
from mindscience_diffuser.validation import check_bool, check_choice, check_integer

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

    ``digits[k]`` is a sample and its class, one-hot ``(10,)``, float32. An image becomes a sequence of patches, row by
    row; a token is one patch. With `grid` a sample is the image ``(1, 8, 8)`` itself, of patches of one pixel.

    Args:
        split (str): Part that counts and gives samples, ``"train"`` or ``"test"``. Default: ``"train"``.
        grid (bool): Whether samples are images. Default: ``False``.
        held_out (int): Number of held-out digits, in [100, 1600]. Default: ``500``.
        split_seed (int): Seed of the split, in [0, 4294967295]. Default: ``0``.
        patch_height (int): Height of a patch: 1, 2, 4 or 8. Default: ``2``.
        patch_width (int): Width of a patch: 1, 2, 4 or 8. Default: ``2``.

    Raises:
        TypeError: If an argument is no integer.
        ValueError: If an argument is out of its range, or patches are larger than a pixel with `grid`.
    """

    classes = 10
    metrics = "DigitFigures"

    def __init__(self, held_out=500, split_seed=0, patch_height=2, patch_width=2, split="train", grid=False):
        held_out = check_integer("held_out", held_out, low=100, high=1600)
        split_seed = check_integer("split_seed", split_seed, low=0, high=LARGEST_SEED)
        self.patch = (
            check_integer("patch_height", patch_height, low=1, high=SIDE),
            check_integer("patch_width", patch_width, low=1, high=SIDE),
        )
        for name, size in zip(("patch_height", "patch_width"), self.patch):
            if SIDE % size:
                raise ValueError(f"'{name}' must be 1, 2, 4 or 8, but is {size}.")
            if check_bool("grid", grid) and size != 1:
                raise ValueError(
                    f"'{name}' must be 1 where samples are images, whose patches the model cuts itself, but is {size}."
                )
        self.as_images = grid
        self.patches = (SIDE // self.patch[0], SIDE // self.patch[1])
        self.length = self.patches[0] * self.patches[1]
        self.channels = self.patch[0] * self.patch[1]
        scans = load_digits()
        images = (scans.images / (BRIGHTEST / 2) - 1).astype(np.float32)
        train, rest, train_labels, rest_labels = train_test_split(
            images, scans.target, test_size=held_out, stratify=scans.target, random_state=split_seed
        )
        self.train = Labelled(train, train_labels)
        self.held_out = Labelled(rest, rest_labels)
        self.part = self.train if check_choice("split", split, ("train", "test")) == "train" else self.held_out
        self._samples = self.part.images[:, None] if grid else self.to_tokens(self.part.images)

    def __len__(self):
        return len(self.part.images)

    def __getitem__(self, k):
        return self._samples[k], self.condition(self.part.labels[k])

    def batch(self, numbers):
        """Returns samples (N, ...) and one-hot classes (N, classes) of these numbers."""
        return self._samples[numbers], self.condition(self.part.labels[numbers])

    def drawn_conditions(self, numbers):
        """Returns the conditions of drawn samples: number k has class k modulo the number of classes."""
        return (self.condition(numbers % self.classes),)

    @property
    def model_arguments(self):
        """Sizes of a model that follow from the data."""
        return {"in_channels": self.channels, "out_channels": self.channels, "cond_channels": self.classes}

    def arrays(self, samples, conditions, numbers):
        """Returns ``images`` (N, 8, 8) in [-1, 1] and ``labels`` (N,) of samples."""
        images = np.ascontiguousarray(samples[:, 0]) if self.as_images else self.to_images(samples)
        return {"images": np.clip(images, -1, 1), "labels": np.argmax(conditions[0], axis=1)}

    def planes(self, arrays):
        """Returns the images, ink dark on white."""
        return -arrays["images"]

    def picture(self, path, arrays, config):
        """Writes the picture of drawn digits beside real ones."""
        columns = config.sampling.picture_per_class
        save_sample_grid(path, arrays["images"], arrays["labels"], self, columns)

    def to_tokens(self, images):
        """Cuts images (N, 8, 8) into tokens (N, length, channels)."""
        (rows, columns), (height, width) = self.patches, self.patch
        patches = np.reshape(images, (-1, rows, height, columns, width)).transpose(0, 1, 3, 2, 4)
        return np.ascontiguousarray(patches.reshape(-1, self.length, self.channels))

    def to_images(self, tokens):
        """Puts tokens (N, length, channels) back together to images (N, 8, 8)."""
        (rows, columns), (height, width) = self.patches, self.patch
        patches = np.reshape(tokens, (-1, rows, columns, height, width)).transpose(0, 1, 3, 2, 4)
        return np.ascontiguousarray(patches.reshape(-1, SIDE, SIDE))

    def condition(self, labels):
        """Returns the one-hot conditions (N, classes), float32, of class labels (N,)."""
        return np.eye(self.classes, dtype=np.float32)[labels]
