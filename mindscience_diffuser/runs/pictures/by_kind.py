"""Pictures of samples by what they are: images, fields on a plane, series, volumes."""

import numpy as np
from matplotlib.figure import Figure

from mindscience_diffuser.files import write_atomically

MOST_IMAGES, IMAGES_IN_A_ROW = 64, 8
MOST_FIELDS, MOST_CHANNELS, MOST_SERIES = 4, 4, 8
SLICES = 3
LARGEST_IMAGE = 256
"""Longest side, in points, of what is shown as an image where nothing else is known of the data."""


def save_picture(path, samples, data=None, titles=None):
    """Writes a PNG of samples ``(N, C, *grid)``, of the first ones where there are many.

    Series are lines, volumes are shown as slices, fields as maps with a colour bar and the coordinates of the grid as
    axes. Samples with two axes are fields where `data` has ``coordinates``, such as
    :class:`~mindscience_diffuser.data.Fields`, and images otherwise where they have one or three channels.

    Args:
        path (Path): The file.
        samples (numpy.ndarray): Shape ``(N, C, *grid)`` with one to three axes of the grid.
        data (object, optional): What they are samples of: its ``variables``, ``units``, ``grid`` and ``coordinates``
            are shown where it has them. Default: ``None``.
        titles (Sequence[str], optional): A title for each sample. Default: ``None``, their numbers.

    Returns:
        bool, whether there is a picture of such samples.
    """
    shown = {3: save_series, 4: _save_plane, 5: save_volumes}.get(np.ndim(samples))
    if shown is None:
        return False
    shown(path, np.asarray(samples), data, titles)
    return True


def save_images(path, samples, data=None, titles=None):
    """Writes a grid of images ``(N, C, H, W)``, C 1 or 3, from the smallest value, black, to the largest."""
    shown = samples[:MOST_IMAGES]
    low, high = float(shown.min()), float(shown.max())
    columns = min(IMAGES_IN_A_ROW, len(shown))
    rows = -(-len(shown) // columns)
    height = 1.2 * shown.shape[2] / shown.shape[3] + (0.2 if titles else 0)
    figure = Figure(figsize=(1.2 * columns, max(rows * height, 0.6)), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in panels:
        axes.set_axis_off()
    for place, (axes, image) in enumerate(zip(panels, shown)):
        scaled = (image - low) / ((high - low) or 1)
        axes.imshow(scaled[0] if len(image) == 1 else scaled.transpose(1, 2, 0), cmap="gray", vmin=0, vmax=1)
        if titles:
            axes.set_title(titles[place], fontsize="small")
    _write(path, figure)


def save_fields(path, samples, data=None, titles=None):
    """Writes maps of fields ``(N, C, rows, columns)``: a row of each channel, with one colour bar for all of them."""
    shown = samples[:MOST_FIELDS, :MOST_CHANNELS]
    count, channels = shown.shape[:2]
    aspect = shown.shape[2] / shown.shape[3]
    figure = Figure(figsize=(3 * count + 1, 3 * min(max(aspect, 0.4), 2) * channels + 0.6), layout="constrained")
    panels = figure.subplots(channels, count, squeeze=False)
    (vertical, rows), (horizontal, columns) = (_axis(data, place, shown.shape[2 + place]) for place in (0, 1))
    for channel, line in enumerate(panels):
        low, high = float(np.nanmin(shown[:, channel])), float(np.nanmax(shown[:, channel]))
        for place, axes in enumerate(line):
            drawn = axes.pcolormesh(columns, rows, shown[place, channel], vmin=low, vmax=high, shading="nearest")
            drawn.set_rasterized(True)
            if channel == 0:
                axes.set_title(_title(titles, place))
            if channel == channels - 1:
                axes.set_xlabel(horizontal)
            if place == 0:
                axes.set_ylabel(vertical)
        figure.colorbar(drawn, ax=line.tolist(), label=_label(data, channel), shrink=0.9)
    _write(path, figure)


def save_series(path, samples, data=None, titles=None):
    """Writes series ``(N, C, T)`` as lines, a panel for each channel."""
    shown = samples[:MOST_SERIES, :MOST_CHANNELS]
    channels = shown.shape[1]
    figure = Figure(figsize=(7, 2 * channels + 0.8), layout="constrained")
    panels = figure.subplots(channels, 1, squeeze=False, sharex=True)[:, 0]
    name, along = _axis(data, 0, shown.shape[2])
    for channel, axes in enumerate(panels):
        for place, series in enumerate(shown):
            axes.plot(along, series[channel], linewidth=0.9, label=_title(titles, place))
        axes.set_ylabel(_label(data, channel))
    panels[-1].set_xlabel(name)
    panels[0].legend(fontsize="small", ncols=4)
    _write(path, figure)


def save_volumes(path, samples, data=None, titles=None):
    """Writes slices of the first channel of volumes ``(N, C, depth, rows, columns)``: three of each sample."""
    shown = samples[:MOST_FIELDS, 0]
    count, depth = shown.shape[:2]
    levels = np.unique(np.linspace(0, depth - 1, min(SLICES + 2, depth)).round().astype(int))
    levels = levels[1:-1] if len(levels) > SLICES else levels
    (across, heights), (vertical, rows), (horizontal, columns) = (
        _axis(data, place, shown.shape[1 + place]) for place in range(3)
    )
    figure = Figure(figsize=(2.6 * len(levels) + 1.2, 2.4 * count + 0.6), layout="constrained")
    panels = figure.subplots(count, len(levels), squeeze=False)
    low, high = float(shown.min()), float(shown.max())
    for place, line in enumerate(panels):
        for level, axes in zip(levels, line):
            drawn = axes.pcolormesh(columns, rows, shown[place, level], vmin=low, vmax=high, shading="nearest")
            axes.set_title(f"{_title(titles, place)}, {across} {heights[level]:g}", fontsize="small")
        line[0].set_ylabel(vertical)
    for axes in panels[-1]:
        axes.set_xlabel(horizontal)
    figure.colorbar(drawn, ax=panels.ravel().tolist(), label=_label(data, 0), shrink=0.9)
    _write(path, figure)


def _save_plane(path, samples, data, titles):
    image = samples.shape[1] in (1, 3) and max(samples.shape[2:]) <= LARGEST_IMAGE
    save = save_images if image and not hasattr(data, "coordinates") else save_fields
    save(path, samples, data, titles)


def _axis(data, place, size):
    """Returns the label of an axis of the grid and its places."""
    grid = getattr(data, "grid", None)
    name = grid[place] if isinstance(grid, tuple) and isinstance(grid[place], str) else f"axis {place}"
    coordinate = getattr(data, "coordinates", {}).get(name)
    if coordinate is None:
        return name, np.arange(size)
    unit = getattr(coordinate, "attrs", {}).get("units", "")
    return f"{name} ({unit})" if unit else name, np.asarray(coordinate)


def _label(data, channel):
    """Returns name and unit of a channel."""
    names, units = getattr(data, "variables", ()), getattr(data, "units", ())
    name = names[channel] if channel < len(names) else f"channel {channel}"
    unit = units[channel] if channel < len(units) else ""
    return f"{name} ({unit})" if unit else name


def _title(titles, place):
    return titles[place] if titles else f"sample {place}"


def _write(path, figure):
    write_atomically(path, lambda temporary: figure.savefig(temporary, dpi=110))
