"""The picture of refined fields: a year of the simulation beside what is made of its coarse field."""

from types import SimpleNamespace

import numpy as np

from mindscience_diffuser.runs.pictures.by_kind import save_fields


def save_maps(path, data, samples):
    """Writes a PNG of the first held-out field: the simulation, interpolation and two samples.

    Below the temperatures stand the departures from interpolation, and the departures from the regression.

    Args:
        path (Path): The file.
        data (NorthAmerica): The simulated fields.
        samples (numpy.ndarray): Temperatures ``(N, 1, 37, 49)``, of which number k belongs to held-out field k modulo
            their number.
    """
    count = len(data.truth["test"])
    own = samples[::count][:2, 0]
    shown = np.stack([data.truth["test"][0], data.bilinear["test"][0], *own])
    rows = np.stack([shown, shown - data.bilinear["test"][0], shown - data.expected["test"][0]], axis=1)
    # The departure of the interpolation from the regression is a hundred times that of the others.
    rows[1, 2] = np.nan
    view = SimpleNamespace(
        variables=("air temperature", "departure from interpolation", "departure from regression"),
        units=("K", "K", "K"),
        grid=data.grid,
        coordinates=data.coordinates,
    )
    year = data.years["test"][0]
    save_fields(
        path, rows, view, (f"simulation, {year}", "bilinear interpolation", "sample", "another sample")[: len(shown)]
    )
