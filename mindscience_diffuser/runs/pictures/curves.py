"""Curves: the loss over training, figures over sampling steps."""

import numpy as np
from matplotlib.figure import Figure

from mindscience_diffuser.files import write_atomically
from mindscience_diffuser.runs.evaluation.measuring import number, reference

PANELS = 3
"""Figures that are drawn over the number of steps."""


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


def save_loss_by_level(path, by_level):
    """Writes a PNG of the mean loss over the noise level in the first, the middle and the last part of a training.

    Args:
        path (str or Path): The PNG file.
        by_level (LevelLosses): The means.
    """
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    edges, stretches, means = by_level.bins.edges, list(by_level.stretches().items()), by_level.means()
    for place in sorted({0, len(stretches) // 2, len(stretches) - 1}):
        number, (first, last) = stretches[place]
        axes.stairs(means[number], edges, baseline=None, label=f"steps {first} to {last}")
    axes.set_xlabel(f"noise level, {by_level.bins.name}")
    axes.set_ylabel("mean loss of a level")
    axes.set_xscale("log" if by_level.bins.logarithmic else "linear")
    axes.set_yscale("log")
    axes.legend()
    write_atomically(path, lambda temporary: figure.savefig(temporary, dpi=120))


def save_step_curves(path, curves):
    """Writes a PNG of the first figures over the number of steps, one curve for each model.

    Args:
        path (str or Path): The PNG file.
        curves (dict): For each label a list of figures by name, each with its ``num_inference_steps``.
    """
    points = next(iter(curves.values()))
    names = [name for name in points[0] if name != "num_inference_steps"][:PANELS]
    figure = Figure(figsize=(4 * max(len(names), 1), 3.8), layout="constrained")
    for axes, name in zip(figure.subplots(1, max(len(names), 1), squeeze=False).flat, names):
        for label, points in curves.items():
            steps = [point["num_inference_steps"] for point in points]
            axes.plot(steps, [number(point[name]) for point in points], marker="o", label=label)
        if reference(points[0][name]) is not None:
            axes.axhline(reference(points[0][name]), color="gray", linestyle="--", label="real data")
        axes.set_xscale("log", base=2)
        axes.set_xticks(steps, steps)
        axes.set_xlabel("steps")
        axes.set_ylabel(name.replace("_", " "))
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=len(curves) + 1)
    write_atomically(path, lambda temporary: figure.savefig(temporary, dpi=100))
