"""The Kalman update of an ensemble, and the taper of its covariances with distance; NumPy float64 on the host."""

import numpy as np

from mindscience_diffuser.validation import check_bool, check_integer, check_number


def gaspari_cohn(distance, radius):
    """Returns a correlation that falls from 1 at distance 0 to 0 at `radius` (Gaspari and Cohn, 1999, eq. (4.10)).

    Args:
        distance (numpy.ndarray): At least 0, any shape.
        radius (float): Distance from which on the correlation is 0, above 0.

    Returns:
        numpy.ndarray of the same shape, in [0, 1].
    """
    r = 2 * np.asarray(distance, np.float64) / radius
    near = ((-0.25 * r + 0.5) * r + 0.625) * r**3 - 5 / 3 * r**2 + 1
    beyond = np.maximum(r, 1)
    far = ((((beyond / 12 - 0.5) * beyond + 0.625) * beyond + 5 / 3) * beyond - 5) * beyond + 4 - 2 / (3 * beyond)
    return np.where(r <= 1, near, np.where(r < 2, np.maximum(far, 0), 0))


ADAPTATION, LEAST_INFLATION, MOST_INFLATION = 0.2, 0.8, 2.0
"""How much of what a time asks for joins the factor, and its bounds: the innovations of one time are few."""


def adapted_inflation(factor, predicted, y, noise_std):
    """Returns the factor of the members' deviations that the innovations ask for, from the one used so far.

    The squared innovations of a filter that knows its error have the mean ``P + R``, P being the ensemble's variance
    of the prediction of y and R that of the measurement noise. The variance is multiplied by
    ``(mean of d^2 - R) / mean of P`` (Li, Kalnay and Miyoshi, 2009, Quarterly Journal 135, eq. (9)), here to the power
    of `ADAPTATION`, so that the factor follows some times.

    Args:
        factor (float): The factor under which `predicted` was made.
        predicted (numpy.ndarray): Measurements that the members predict, ``(M, n)``.
        y (numpy.ndarray): The measurements, ``(n,)``.
        noise_std (numpy.ndarray): Standard deviation of the noise of each, ``(n,)``.

    Returns:
        float, in [`LEAST_INFLATION`, `MOST_INFLATION`].
    """
    members = len(predicted)
    # The mean of M members has an error of its own.
    spread = predicted.var(0, ddof=1, dtype=np.float64).mean() * (1 + 1 / members)
    asked = ((y - predicted.mean(0, dtype=np.float64)) ** 2 - noise_std.astype(np.float64) ** 2).mean()
    ratio = max(asked, 0) / max(spread, np.finfo(np.float64).tiny)
    # At most twice or half of the variance at once.
    return float(np.clip(factor * np.clip(ratio, 0.25, 4) ** (ADAPTATION / 2), LEAST_INFLATION, MOST_INFLATION))


class Localization:
    """Tapers the covariances of a small ensemble with distance, beyond which they are sampling noise.

    Args:
        radius (float): Distance from which on covariances are 0, above 0, in the units of `places`.
        places (array_like): Coordinates of each value of a frame, ``(*frame, D)``; an axis of length 1 holds for all
            values along it, such as the channels.
        observed_places (array_like, optional): Coordinates of each measurement, ``(*measured, D)``. Default: ``None``:
            those of the frame, as for a :class:`~mindscience_diffuser.guidance.Mask`.
        period (array_like, optional): Lengths after which the coordinates repeat, ``(D,)``; infinite where they do
            not. Default: ``None``: no coordinate is periodic.

    Raises:
        TypeError: If `radius` is no number.
        ValueError: If `radius` is not above 0, or the coordinates are not finite or not of one dimension D.
    """

    def __init__(self, radius, places, observed_places=None, period=None):
        self.radius = check_number("radius", radius, "(0, inf)")
        self.places = _checked_places("places", places)
        self.observed_places = (
            self.places if observed_places is None else _checked_places("observed_places", observed_places)
        )
        axes = self.places.shape[-1]
        if self.observed_places.shape[-1] != axes:
            raise ValueError(
                f"'observed_places' has coordinates of {self.observed_places.shape[-1]} dimensions, but 'places' of "
                f"{axes}: give both the same."
            )
        self.period = np.full(axes, np.inf) if period is None else np.asarray(period, np.float64)
        if self.period.shape != (axes,) or not np.all(self.period > 0):
            raise ValueError(f"'period' must hold {axes} lengths above 0, but is {period!r}.")

    @classmethod
    def on_grid(cls, grid, radius, periodic=True):
        """Returns that of frames ``(C, *grid)`` that are measured at their grid points.

        Args:
            grid (Sequence[int]): Lengths of the axes after the channels.
            radius (float): Distance from which on covariances are 0, in grid points.
            periodic (bool): Whether the grid closes on itself. Default: ``True``.
        """
        grid = tuple(check_integer("grid", size, low=1) for size in grid)
        points = np.stack(np.meshgrid(*map(np.arange, grid), indexing="ij"), axis=-1)[None]
        return cls(radius, points, period=grid if check_bool("periodic", periodic) else None)

    def check(self, frame, measured):
        """Raises ValueError unless frames and measurements of these shapes have the coordinates."""
        for name, places, shape in (
            ("places", self.places, frame),
            ("observed_places", self.observed_places, measured),
        ):
            if places.ndim - 1 != len(shape) or any(a not in (1, b) for a, b in zip(places.shape, shape)):
                raise ValueError(
                    f"'{name}' of the localization has shape {places.shape}, but values of shape {shape} need "
                    f"({', '.join(map(str, shape))}, D), each axis that or 1."
                )

    def tapers(self, frame, measured, observed):
        """Returns the weights between the measurements that are there and frames and measurements.

        Args:
            frame (Sequence[int]): Shape of a frame.
            measured (Sequence[int]): Shape of the measurements.
            observed (numpy.ndarray): Which measurements are there, bool, ``(*measured,)``.

        Returns:
            tuple of two numpy.ndarray, ``(p, *frame)`` and ``(p, p)``, p being the number of measurements that are
            there; an axis of the frame for which one place holds has length 1.
        """
        axes = self.places.shape[-1]
        chosen = np.broadcast_to(self.observed_places, (*measured, axes))[observed]
        places = self.places[None]
        return (
            self._taper(places - chosen.reshape((-1,) + (1,) * len(frame) + (axes,))),
            self._taper(chosen[None] - chosen[:, None]),
        )

    def _taper(self, difference):
        apart = np.abs(difference)
        around = np.isfinite(self.period)
        apart[..., around] = np.minimum(
            apart[..., around] % self.period[around], -apart[..., around] % self.period[around]
        )
        return gaspari_cohn(np.sqrt((apart**2).sum(-1)), self.radius)


def square_root_update(states, predicted, measured, noise_std, tapers=None):
    """Updates an ensemble with measurements of independent noise, one after the other and without random numbers.

    The serial ensemble square-root filter of Whitaker and Hamill, 2002 (Monthly Weather Review 130, eqs. (2) and
    (10)-(13)): mean and covariance of the members become those of the Kalman filter with their sample covariances.

    Args:
        states (numpy.ndarray): Members, ``(M, ...)``: what is updated.
        predicted (numpy.ndarray): What each member predicts for the measurements, without noise, ``(M, p)``.
        measured (numpy.ndarray): The measurements, ``(p,)``.
        noise_std (numpy.ndarray): Standard deviation of their noise, ``(p,)``, at least 0.
        tapers (tuple, optional): Weights of the covariances, what broadcasts to ``(p, ...)`` of states and to ``(p,
            p)`` of measurements. Default: ``None``: 1.

    Returns:
        numpy.ndarray, float64: the updated members, ``(M, ...)``.
    """
    states, predicted = np.asarray(states, np.float64), np.asarray(predicted, np.float64)
    members = len(states)
    mean, mean_predicted = states.mean(0), predicted.mean(0)
    apart, apart_predicted = states - mean, predicted - mean_predicted
    for j in range(predicted.shape[1]):
        own = apart_predicted[:, j].copy()
        variance, noise = own @ own / (members - 1), noise_std[j] ** 2
        if variance == 0:
            continue
        share = own / ((members - 1) * (variance + noise))
        gain, gain_predicted = np.tensordot(share, apart, 1), share @ apart_predicted
        if tapers is not None:
            gain, gain_predicted = tapers[0][j] * gain, tapers[1][j] * gain_predicted
        innovation = measured[j] - mean_predicted[j]
        mean = mean + gain * innovation
        mean_predicted = mean_predicted + gain_predicted * innovation
        reduced = own / (1 + np.sqrt(noise / (variance + noise)))
        apart = apart - np.multiply.outer(reduced, gain)
        apart_predicted = apart_predicted - np.multiply.outer(reduced, gain_predicted)
    return mean + apart


def _checked_places(name, places):
    values = np.asarray(places, np.float64)
    if values.ndim < 2 or not np.all(np.isfinite(values)):
        raise ValueError(f"'{name}' must hold finite coordinates, (..., D), but has shape {values.shape}.")
    return values
