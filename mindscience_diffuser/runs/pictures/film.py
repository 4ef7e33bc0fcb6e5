"""Pictures of films: frames side by side as an animation, and how measures go over time."""

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from PIL import Image, ImageDraw

from mindscience_diffuser.files import write_atomically

SHADES = 32
"""Colours of an animation: few, so that its file is small."""

CAPTION = 14
"""Height of the line of captions, in pixels."""


def save_film(path, films, enlarge=3, every=2, milliseconds=120, numbers=None):
    """Writes films side by side as an animated GIF.

    Args:
        path (str or Path): The file.
        films (Mapping[str, numpy.ndarray]): Frames by caption, each of shape (T, side, side), values about [-1, 1].
        enlarge (int): Pixels of the picture for each pixel of a frame. Default: ``3``.
        every (int): Only every so many frames are shown. Default: ``2``.
        milliseconds (int): Time that a frame is shown. Default: ``120``.
        numbers (Sequence[int], optional): Numbers of the frames, for the caption. Default: ``None``, from 1 on.
    """
    colours = (colormaps["RdBu_r"](np.linspace(0, 1, SHADES))[:, :3] * 255).astype(np.uint8)
    palette = np.zeros((256, 3), np.uint8)
    palette[:SHADES], palette[SHADES] = colours, 255
    frames = np.stack([np.pad(film, ((0, 0), (0, 0), (0, 1)), constant_values=np.nan) for film in films.values()])
    pictures = []
    for time in range(0, frames.shape[1], every):
        panels = frames[:, time]
        row = np.repeat(np.repeat(np.concatenate(list(panels), axis=1), enlarge, axis=0), enlarge, axis=1)
        shade = np.clip((np.nan_to_num(row) + 1) / 2 * SHADES, 0, SHADES - 1).astype(np.uint8)
        shade = np.pad(np.where(np.isnan(row), SHADES, shade), ((CAPTION, 0), (0, 0)), constant_values=SHADES)
        picture = Image.fromarray(shade.astype(np.uint8))
        picture.putpalette(palette.tobytes())
        pen = ImageDraw.Draw(picture)
        for place, name in enumerate(films):
            text = f"{name} {time + 1 if numbers is None else numbers[time]}" if place == 0 else name
            pen.text((place * panels.shape[-1] * enlarge + 2, 1), text, fill=0)
        pictures.append(picture)
    first, rest = pictures[0], pictures[1:]
    write_atomically(
        path,
        lambda temporary: first.save(
            temporary, save_all=True, append_images=rest, duration=milliseconds, loop=0, optimize=False
        ),
    )


def save_courses(path, courses):
    """Writes a PNG with one diagram for each measure: its mean over time, and the confidence interval as a band.

    Args:
        path (str or Path): The file.
        courses (Mapping[str, Mapping[str, tuple]]): By title of the measure, by name of the film: mean and half width
            over time, each of shape (T,).
    """
    figure = Figure(figsize=(5.5 * len(courses), 3.6), layout="constrained")
    for axes, (title, curves) in zip(np.atleast_1d(figure.subplots(1, len(courses))), courses.items()):
        for name, (mean, width) in curves.items():
            time = np.arange(1, len(mean) + 1)
            (line,) = axes.plot(time, mean, label=name)
            axes.fill_between(time, mean - width, mean + width, alpha=0.2, color=line.get_color(), linewidth=0)
        axes.set_xlabel("frame")
        axes.set_title(title)
        axes.legend()
    write_atomically(path, lambda temporary: figure.savefig(temporary, dpi=100))
