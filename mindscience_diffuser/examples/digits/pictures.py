"""The picture of drawn digits."""

import numpy as np
from matplotlib.figure import Figure

from mindscience_diffuser.files import write_atomically


def save_sample_grid(path, images, labels, digits, columns=10):
    """Writes a PNG with one row for every class: samples on the left, held-out real digits on the right.

    Args:
        path (str or Path): The PNG file.
        images (numpy.ndarray): Samples, shape (N, 8, 8), values in [-1, 1].
        labels (numpy.ndarray): Their classes, shape (N,).
        digits (Digits): Source of the real digits.
        columns (int): Digits in a row of each side. Default: ``10``.
    """
    height = 0.5 * digits.classes + 0.5
    figure = Figure(figsize=(columns + 1.0, height), layout="constrained")
    sides = figure.subplots(1, 2)
    contents = (("samples", images, labels), ("held-out real digits", *digits.held_out))
    for axes, (title, pictures, classes) in zip(sides, contents):
        axes.imshow(tile(pictures, classes, digits.classes, columns), cmap="gray_r", vmin=-1, vmax=1)
        side = pictures.shape[1] + 1
        axes.set_yticks(np.arange(digits.classes) * side + side / 2 - 1, range(digits.classes))
        axes.set_xticks([])
        axes.set_title(title)
    write_atomically(path, lambda temporary: figure.savefig(temporary, dpi=120))


def tile(images, labels, classes, columns):
    """Puts images of every class into a row, one pixel apart; places without an image stay white.

    Args:
        images (numpy.ndarray): Shape (N, 8, 8), values in [-1, 1].
        labels (numpy.ndarray): Their classes, shape (N,).
        classes (int): Number of classes, one line for each.
        columns (int): Images in a line.

    Returns:
        numpy.ndarray, one picture.
    """
    height, width = images.shape[1:]
    canvas = np.full((classes * (height + 1), columns * (width + 1)), -1.0)
    for label in range(classes):
        for column, image in enumerate(images[labels == label][:columns]):
            top, left = label * (height + 1), column * (width + 1)
            canvas[top : top + height, left : left + width] = image
    return canvas
