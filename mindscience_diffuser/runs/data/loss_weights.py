"""The weights of the loss that a configuration asks for."""

from pathlib import Path

import numpy as np

from mindscience_diffuser.runs.config.identity import file_checksum
from mindscience_diffuser.runs.errors import ConfigError
from mindscience_diffuser.training.loss_weights import check_loss_weights

KEY = "training.loss_weights"
LATITUDE = "latitude"
NAMES, UNITS = ("lat", "latitude"), ("degrees_north", "degree_north", "degree_N", "degrees_N", "degreeN", "degreesN")
"""What marks a coordinate as a latitude: its name, or its unit by the CF conventions, section 4.1."""


def loss_weights(config, data):
    """Returns the weights that ``training.loss_weights`` names, or None.

    Args:
        config (Run): The configuration.
        data (DataSet): Its data, whose coordinates give the latitudes.

    Returns:
        numpy.ndarray of a shape that broadcasts to a sample, float32.

    Raises:
        ConfigError: If the file cannot be read or does not fit the samples, a weight is negative, all are 0, or the
            data have no latitudes.
    """
    given = getattr(config.training, "loss_weights", None)
    if given is None:
        return None
    weights = latitude_weights(data) if given == LATITUDE else _read(given)
    try:
        check_loss_weights(f"'{KEY}'", weights)
        fits = np.broadcast_shapes(weights.shape, data.sample_shape) == tuple(data.sample_shape)
    except ValueError as error:
        raise ConfigError(f"'{KEY}' cannot be used: {error}", KEY) from None
    if not fits:
        raise ConfigError(
            f"'{KEY}' has the shape {weights.shape}, which does not broadcast to a sample, {data.sample_shape}", KEY
        )
    return weights.astype(np.float32)


def loss_weights_facts(config):
    """Returns what tells the weights of a file from others, to be noted beside the weights of the model."""
    given = getattr(config.training, "loss_weights", None)
    return {} if given in (None, LATITUDE) else {"loss_weights": file_checksum(given)}


def latitude_weights(data):
    """Returns the cosine of the latitude along the axis of the grid that it belongs to.

    Raises:
        ConfigError: If the data have no coordinate that is a latitude in degrees.
    """
    coordinates, grid = getattr(data.train, "coordinates", {}), getattr(data.train, "grid", ())
    for axis, name in enumerate(grid):
        coordinate = coordinates.get(name)
        if coordinate is None:
            continue
        unit = getattr(coordinate, "attrs", {}).get("units", "")
        if name.lower() in NAMES or unit in UNITS:
            degrees = np.asarray(coordinate, np.float64)
            if np.abs(degrees).max() > 90:
                raise ConfigError(f"'{KEY}' is latitude, but '{name}' has values beyond 90 degrees", KEY)
            return np.cos(np.radians(degrees)).reshape((-1,) + (1,) * (len(grid) - axis - 1))
    known = ", ".join(f"'{name}'" for name in coordinates) or "none"
    raise ConfigError(
        f"'{KEY}' is latitude, but {data.component.name} at '{data.component.place}' has no coordinate of the name lat "
        f"or latitude, or in degrees_north, along an axis of the grid; it has {known}: give an npy file",
        KEY,
    )


def _read(path):
    if Path(path).suffix != ".npy" or not Path(path).is_file():
        raise ConfigError(f"'{KEY}' must be {LATITUDE}, or the path of an npy file, but is '{path}'", KEY)
    try:
        values = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise ConfigError(f"'{KEY}' names '{path}', which is no readable npy file: {error}", KEY) from None
    if values.dtype.kind not in "bfiu" or values.size == 0:
        raise ConfigError(f"'{KEY}' names '{path}', which holds no numbers: {values.dtype}, {values.shape}", KEY)
    return values
