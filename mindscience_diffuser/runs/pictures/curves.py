"""The pictures that a run leaves: samples beside real digits, the loss over training, figures over sampling steps."""

import numpy as np
from matplotlib.figure import Figure

from mindscience_diffuser.files import write_atomically


def save_sample_grid(path, images, labels, data, columns=10):
    """Writes a PNG with one row for every class: samples on the left, held-out real digits on the right.

    Args:
        path (str or Path): The PNG file.
        images (numpy.ndarray): Samples, shape (N, 8, 8), values in [-1, 1].
        labels (numpy.ndarray): Their classes, shape (N,).
        data (Digits): Source of the real digits.
        columns (int): Digits in a row of each side. Default: ``10``.
    """
    height = 0.5 * data.classes + 0.5
    figure = Figure(figsize=(columns + 1.0, height), layout="constrained")
    sides = figure.subplots(1, 2)
    contents = (("samples", images, labels), ("held-out real digits", *data.held_out))
    for axes, (title, pictures, classes) in zip(sides, contents):
        axes.imshow(tile(pictures, classes, data.classes, columns), cmap="gray_r", vmin=-1, vmax=1)
        side = pictures.shape[1] + 1
        axes.set_yticks(np.arange(data.classes) * side + side / 2 - 1, range(data.classes))
        axes.set_xticks([])
        axes.set_title(title)
    write_atomically(path, lambda temporary: figure.savefig(temporary, dpi=120))


def save_loss_curve(path, losses):
    """Writes a PNG of the loss of every step and its running mean."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    steps = np.arange(1, len(losses) + 1)
    axes.plot(steps, losses, linewidth=0.4, alpha=0.5, label="loss of a step")
    window = max(len(losses) // 50, 1)
    smooth = np.convolve(losses, np.ones(window) / window, mode="valid")
    axes.plot(steps[window - 1 :], smooth, label=f"mean over {window} steps")
    axes.set_xlabel("training step")
    axes.set_ylabel("loss")
    axes.set_yscale("log")
    axes.legend()
    write_atomically(path, lambda temporary: figure.savefig(temporary, dpi=120))


def save_step_curves(path, curves):
    """Writes a PNG of class accuracy, precision and recall over the number of steps, one curve for each model.

    Args:
        path (str or Path): The PNG file.
        curves (dict): For each label a list of figures as :func:`~mindscience_diffuser.runs.evaluation.metrics.compare`
            returns them, each with its ``num_inference_steps``.
    """
    figure = Figure(figsize=(12, 3.8), layout="constrained")
    panels = (("class_accuracy", "held_out_digits"), ("precision", "training_digits"), ("recall", "training_digits"))
    for axes, (quantity, real) in zip(figure.subplots(1, 3), panels):
        for label, points in curves.items():
            steps = [point["num_inference_steps"] for point in points]
            axes.plot(steps, [point[quantity]["samples"] for point in points], marker="o", label=label)
        axes.axhline(points[0][quantity][real], color="gray", linestyle="--", label="real digits")
        axes.set_xscale("log", base=2)
        axes.set_xticks(steps, steps)
        axes.set_xlabel("steps")
        axes.set_ylabel(quantity.replace("_", " "))
        axes.set_ylim(0, 1.03)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=len(curves) + 1)
    write_atomically(path, lambda temporary: figure.savefig(temporary, dpi=100))


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
