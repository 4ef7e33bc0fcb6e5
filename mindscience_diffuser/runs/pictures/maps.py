"""Pictures of fields side by side: signed ones with a symmetric colour map, spreads with one from 0."""

import numpy as np
from matplotlib.figure import Figure

from mindscience_diffuser.files import write_atomically


def save_maps(path, rows, spreads, points):
    """Writes a PNG with a row of maps for each time.

    Args:
        path (str or Path): The file.
        rows (Mapping[str, Mapping[str, numpy.ndarray]]): By title of the row, by title of the map: fields
            ``(height, width)``, the same titles in each row.
        spreads (Collection[str]): Titles of the maps that hold standard deviations; the others are signed.
        points (Mapping[str, numpy.ndarray]): By title of the maps that show them, the points that are marked,
            ``(P, 2)``, row and column.
    """
    titles = list(next(iter(rows.values())))
    figure = Figure(figsize=(2.1 * len(titles) + 0.8, 2.1 * len(rows) + 0.3), layout="constrained")
    grid = figure.subplots(len(rows), len(titles), squeeze=False)
    limits = {
        True: max(field.max() for fields in rows.values() for t, field in fields.items() if t in spreads),
        False: max(np.abs(field).max() for fields in rows.values() for t, field in fields.items() if t not in spreads),
    }
    drawn = {}
    for row, (axes, (name, fields)) in enumerate(zip(grid, rows.items())):
        axes[0].set_ylabel(name)
        for place, (title, field) in zip(axes, fields.items()):
            spread = title in spreads
            low, colours = (0, "viridis") if spread else (-limits[False], "RdBu_r")
            drawn[spread] = place.imshow(field, cmap=colours, vmin=low, vmax=limits[spread])
            if title in points:
                place.scatter(points[title][:, 1], points[title][:, 0], s=3, c="black", linewidths=0)
            place.set_xticks([])
            place.set_yticks([])
            if row == 0:
                place.set_title(title, fontsize="small")
    for spread, image in drawn.items():
        label = "standard deviation" if spread else "field"
        figure.colorbar(image, ax=grid, shrink=0.8, pad=0.01, label=label)
    write_atomically(path, lambda temporary: figure.savefig(temporary, dpi=80))
