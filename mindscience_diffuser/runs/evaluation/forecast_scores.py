"""Scores of forecasts over lead times, in physical units: summed film by film, merged over ranks, weighted by area."""

import numpy as np
from scipy.spatial.distance import pdist

from mindscience_diffuser.runs.distributed.ranks import gather
from mindscience_diffuser.validation import check_integer, check_within


def area_weights(latitudes, columns):
    """Returns the weights of the cells of a latitude-longitude grid: proportional to cos(latitude), with mean 1.

    A row at a pole has the weight 0.

    Args:
        latitudes (numpy.ndarray): Those of the rows, shape ``(rows,)``, in degrees in [-90, 90], not all at the poles.
        columns (int): Number of columns, at least 1.

    Returns:
        numpy.ndarray of shape ``(rows, columns)``.

    Raises:
        TypeError: If `columns` is no integer.
        ValueError: If `latitudes` is not of this form, or `columns` is below 1.
    """
    latitudes = np.asarray(latitudes, np.float64)
    if latitudes.ndim != 1 or latitudes.size == 0:
        raise ValueError(f"'latitudes' must have the shape (rows,) with at least one row, but has {latitudes.shape}.")
    check_within("latitudes", latitudes, "[-90, 90]")
    # The sine of the distance from the pole is exactly 0 there; the cosine of 90 degrees is not.
    areas = np.sin(np.deg2rad(90 - np.abs(latitudes)))
    if not np.any(areas):
        raise ValueError(f"'latitudes' must not all be at the poles, but is {latitudes.tolist()}.")
    return np.tile((areas / areas.mean())[:, None], (1, check_integer("columns", columns, low=1)))


def fair_crps(members, truth):
    """Continuous ranked probability score, in its form that favours no size of the ensemble (Ferro, 2014, eq. (8)).

    The mean of |x_i - y| minus half the mean of |x_i - x_j| over the pairs of different members. A single member
    scores its absolute error.

    Args:
        members (numpy.ndarray): Shape ``(M, ...)``.
        truth (numpy.ndarray): Shape ``(...)``.

    Returns:
        numpy.ndarray, shape ``(...)``.
    """
    members = np.sort(np.asarray(members, np.float64), axis=0)
    count = len(members)
    error = np.abs(members - truth).mean(0)
    if count == 1:
        return error
    # In ascending order member i is the larger one of i pairs and the smaller one of the others.
    weights = 2 * np.arange(count) - (count - 1)
    return error - np.tensordot(weights, members, 1) / (count * (count - 1))


class _FilmSums:
    """Sums over films, what the members left out of them were, and the averages.

    Attributes:
        members (int): Members of each film, 0 before the first one.
        films (int): Films that were taken in here, which is the number of the next one unless it is given.
        sums (dict): Arrays whose first axis is the lead time; ``films`` counts the films that contributed.
        left_out (numpy.ndarray): Shape ``(n, 3)``: film, member and the first lead, from 1, at which it is left out.
    """

    def __init__(self, leads, channels, weights=None):
        self.leads = check_integer("leads", leads, low=1)
        self.channels = check_integer("channels", channels, low=1)
        self.grid, self.weights = None, np.ones(())
        if weights is not None:
            weights = np.asarray(weights, np.float64)
            bad = weights[~(np.isfinite(weights) & (weights >= 0))]
            if bad.size or not np.any(weights):
                shown = f"has {bad[0]}" if bad.size else "has nothing else"
                raise ValueError(f"'weights' must be finite, at least 0 and not all 0, but {shown}.")
            self.grid, self.weights = weights.shape, weights.ravel() / weights.mean()
        self.members = self.films = 0
        self.sums, self.left_out, self.whole = {}, np.zeros((0, 3), np.int64), {}

    def merge_ranks(self):
        """Takes in what all ranks have summed; every rank must call it once, and all then hold the same.

        Raises:
            ValueError: If the ranks have seen ensembles of different sizes.
        """
        members, lengths = np.stack(gather(np.array([self.members, len(self.left_out)]))).T.tolist()
        for count in members:
            if count:
                self._expect(count)
        if self.members == 0:
            return
        self.sums = {name: np.sum(gather(values), axis=0) for name, values in self.sums.items()}
        if max(lengths):
            rows = np.zeros((max(lengths), 3), np.int64)
            rows[: len(self.left_out)] = self.left_out
            rows = np.concatenate([part[:length] for part, length in zip(gather(rows), lengths)])
            self.left_out = rows[np.lexsort(rows.T[::-1])]

    def _expect(self, members):
        """Makes the sums for so many members; ValueError if there are others already."""
        if self.members == 0:
            self.members = members
            self.sums = {name: np.zeros((self.leads, *shape)) for name, shape in self._shapes().items()}
        elif members != self.members:
            raise ValueError(f"'members' must be as many in each film, but there were {self.members}, now {members}.")

    def _film(self, name, members, truth, number, first):
        """Checks a piece of a film, notes what is left out of it, and returns its number and its lead times.

        They are an iterator that gives the lead from 0, the members that are left ``(m, C, P)`` and the truth
        ``(C, P)``, float64, where P counts the points of the grid.
        """
        number = check_integer("number", self.films if number is None else number, low=0)
        first = check_integer("first", first, low=0, high=self.leads - 1)
        count = min(len(truth) if truth.ndim and len(truth) else 1, self.leads - first)
        known = (count, self.channels, *(truth.shape[2:] if self.grid is None else self.grid))
        for what, shape in (("truth", truth.shape), (name, members.shape[1:])):
            if shape != known:
                raise ValueError(f"'{what}' must be of films of the shape {known}, but is of {shape}.")
        if not np.all(np.isfinite(truth)):
            raise ValueError(f"'truth' of film {number} must be finite, but is not.")
        self._expect(len(members))
        if number not in self.whole:
            self.films += 1
            self.whole[number] = np.ones(len(members), bool)
        members, truth = members.reshape(*members.shape[:3], -1), truth.reshape(*truth.shape[:2], -1)
        whole = self.whole[number]
        left = np.logical_and.accumulate(np.isfinite(members).all((2, 3)), axis=1) & whole[:, None]
        lost = np.flatnonzero(whole & ~left[:, -1])
        rows = np.stack([np.full_like(lost, number), lost, first + left[lost].sum(1) + 1], axis=1)
        self.left_out, self.whole[number] = np.concatenate([self.left_out, rows]), left[:, -1]
        return number, (
            (first + place, members[left[:, place], place].astype(np.float64), truth[place].astype(np.float64))
            for place in range(count)
        )

    def _area_mean(self, values):
        return (values * self.weights).mean(-1)

    def _mean(self, name):
        """The mean over films, NaN where none contributed."""
        if self.members == 0:
            raise ValueError("There are no figures yet: take in at least one film with update() first.")
        return _ratio(self.sums[name].T, self.sums["films"]).T


class ForecastScores(_FilmSums):
    """Scores of ensemble forecasts over lead times, in the units of the fields.

    A member with a value that is not finite is left out from the first such lead time on, and noted. The scores at a
    lead time are those of the members that are left; a film with fewer than two of them contributes nothing there. Rank
    histogram and reliability, which need every member, take in films of which no member is left out at this lead time.

    Args:
        leads (int): T, the number of lead times.
        channels (int): C.
        weights (numpy.ndarray, optional): Areas of the cells, shape ``(*grid)``, at least 0, of any scale; see
            :func:`area_weights`. Default: ``None``, all alike.
        thresholds (sequence, optional): For each channel the value whose exceedance is forecast with a probability.
            Default: ``None``, no reliability.

    Raises:
        TypeError: If `leads` or `channels` is no integer.
        ValueError: If one of them is below 1, or `weights` or `thresholds` are not of this form.
    """

    def __init__(self, leads, channels, weights=None, thresholds=None):
        super().__init__(leads, channels, weights)
        self.thresholds = None
        if thresholds is not None:
            self.thresholds = np.asarray(thresholds, np.float64)
            if self.thresholds.shape != (self.channels,) or not np.all(np.isfinite(self.thresholds)):
                raise ValueError(
                    f"'thresholds' must have one finite number for each of the {self.channels} channels, but is "
                    f"{self.thresholds.tolist()}."
                )

    def update(self, members, truth, number=None, first=0):
        """Takes in one film, or the lead times of it that come next.

        Args:
            members (numpy.ndarray): Shape ``(M, T, C, *grid)``, M >= 2, the same in each film.
            truth (numpy.ndarray): Shape ``(T, C, *grid)``, finite.
            number (int, optional): Number of the film, at least 0: it stands in the notes, and ties of the rank
                histogram are broken by a generator with this seed and `first`. Ranks that share films must give it.
                Default: ``None``, how many films were taken in before.
            first (int): Lead time, from 0, of the first frame. A film may come in pieces, in their order and with its
                number; a member that was left out of one is left out of those that follow. Default: ``0``.

        Raises:
            TypeError: If `number` or `first` is no integer.
            ValueError: If one of them is not of this form.
        """
        members, truth = np.asarray(members), np.asarray(truth)
        if members.ndim == 0 or len(members) < 2:
            raise ValueError(
                f"'members' must have the shape (M, T, C, *grid) with M at least 2, but has {members.shape}; single "
                "forecasts are scored by DeterministicScores."
            )
        number, film = self._film("members", members, truth, number, first)
        generator = np.random.default_rng((number, first))
        sums = self.sums
        for lead, left, true in film:
            count = len(left)
            if count < 2:
                break
            sums["films"][lead] += 1
            sums["crps"][lead] += self._area_mean(fair_crps(left, true))
            sums["squared_error"][lead] += self._area_mean((left.mean(0) - true) ** 2)
            # The error of a mean of M members is larger by 1 / M than their variance tells.
            sums["variance"][lead] += self._area_mean(left.var(0, ddof=1)) * (1 + 1 / count)
            sums["energy_score"][lead] += self._energy_score(left, true)
            if count < self.members:
                continue
            sums["complete_films"][lead] += 1
            ties = (left == true).sum(0)
            sums["rank_histogram"][lead] += self._histogram((left < true).sum(0) + generator.integers(ties + 1))
            if self.thresholds is not None:
                exceeding = (left > self.thresholds[:, None]).sum(0)
                sums["cases"][lead] += self._histogram(exceeding)
                sums["occurrences"][lead] += self._histogram(exceeding, true > self.thresholds[:, None])

    def figures(self):
        """Returns the figures of the films that were taken in, ready for JSON; None where no film contributed.

        ``members``, ``films``, ``complete_films``
            M; for each lead time the films that contributed, and those of which no member was left out.
        ``crps``, ``rmse``, ``spread``, ``spread_over_error``
            For each lead time and channel, in the units of the channel: the fair CRPS, see :func:`fair_crps`; the root
            mean square error of the mean of the ensemble; the root of its mean unbiased variance times 1 + 1 / M, which
            is the expected square of that error where truth and members are exchangeable; and their ratio (Fortin et
            al., 2014, doi:10.1175/JHM-D-14-0008.1).
        ``energy_score``
            For each lead time: the mean of |x_i - y| minus half the mean of |x_i - x_j| over the pairs of different
            members (Gneiting and Raftery, 2007, doi:10.1198/016214506000001437, eq. (22), in the fair form). The norm
            is the root of the weighted mean square over grid and channels, as in ``rmse``, in the units of the fields:
            no channel is scaled, so that those with large values count most.
        ``rank_histogram``
            For each lead time and channel the M + 1 sums of weights of the points where so many members are below the
            truth; a point counts 1 on average. Ties are broken at random.
        ``reliability``
            If there are thresholds: ``thresholds``; ``probability``, k / M for k = 0 ... M; and for each lead time,
            channel and k the ``weight`` of the points where k members exceed the threshold, which count 1 on average,
            and ``observed_frequency``, the share of them where the truth does. Where truth and members are exchangeable
            and every k is as frequent, that is (k + 1) / (M + 2), not k / M.
        ``members_left_out``
            A dict for each: ``film`` and ``member`` from 0, and ``lead`` from 1, the first one without it.

        Raises:
            ValueError: If no film was taken in.
        """
        error, spread = np.sqrt(self._mean("squared_error")), np.sqrt(self._mean("variance"))
        figures = {
            "members": self.members,
            "films": self.sums["films"].astype(int).tolist(),
            "complete_films": self.sums["complete_films"].astype(int).tolist(),
            "crps": listed(self._mean("crps")),
            "rmse": listed(error),
            "spread": listed(spread),
            "spread_over_error": listed(_ratio(spread, error)),
            "energy_score": listed(self._mean("energy_score")),
            "rank_histogram": self.sums["rank_histogram"].tolist(),
        }
        if self.thresholds is not None:
            figures["reliability"] = {
                "thresholds": self.thresholds.tolist(),
                "probability": (np.arange(self.members + 1) / self.members).tolist(),
                "weight": self.sums["cases"].tolist(),
                "observed_frequency": listed(_ratio(self.sums["occurrences"], self.sums["cases"])),
            }
        rows = self.left_out.tolist()
        figures["members_left_out"] = [{"film": film, "member": m, "lead": lead} for film, m, lead in rows]
        return figures

    def _shapes(self):
        each, counts = (self.channels,), (self.channels, self.members + 1)
        shapes = {"films": (), "complete_films": (), "energy_score": (), "rank_histogram": counts}
        shapes.update({"crps": each, "squared_error": each, "variance": each})
        return shapes if self.thresholds is None else {**shapes, "cases": counts, "occurrences": counts}

    def _energy_score(self, members, truth):
        root = np.sqrt(self.weights / truth.size)
        points = (members * root).reshape(len(members), -1)
        return np.linalg.norm(points - (truth * root).ravel(), axis=1).mean() - pdist(points).mean() / 2

    def _histogram(self, numbers, counted=True):
        """Sums of weights ``(C, M + 1)`` of the points of each channel that have a number and are counted."""
        weights = np.broadcast_to(self.weights * counted, numbers.shape)
        return [np.bincount(*rows, minlength=self.members + 1) for rows in zip(numbers, weights)]


class DeterministicScores(_FilmSums):
    """Scores of single forecasts over lead times, beside those of ensembles: the CRPS of one is its absolute error.

    A forecast with a value that is not finite is left out from the first such lead time on, and noted.

    Args:
        leads (int): T, the number of lead times.
        channels (int): C.
        weights (numpy.ndarray, optional): See :class:`ForecastScores`. Default: ``None``.

    Raises:
        TypeError: If `leads` or `channels` is no integer.
        ValueError: If one of them is below 1, or `weights` are not of this form.
    """

    def update(self, forecast, truth, number=None, first=0):
        """Takes in one film, or the lead times of it that come next, see :meth:`ForecastScores.update`.

        Args:
            forecast (numpy.ndarray): Shape ``(T, C, *grid)``.
            truth (numpy.ndarray): Shape ``(T, C, *grid)``, finite.
            number (int, optional): Number of the film in the notes, at least 0. Default: ``None``, how many films were
                taken in before.
            first (int): Lead time, from 0, of the first frame. Default: ``0``.

        Raises:
            TypeError: If `number` or `first` is no integer.
            ValueError: If one of them is not of this form.
        """
        _, film = self._film("forecast", np.asarray(forecast)[None], np.asarray(truth), number, first)
        for lead, left, true in film:
            if len(left) == 0:
                break
            self.sums["films"][lead] += 1
            self.sums["absolute_error"][lead] += self._area_mean(np.abs(left[0] - true))
            self.sums["squared_error"][lead] += self._area_mean((left[0] - true) ** 2)

    def figures(self):
        """Returns the figures of the films that were taken in, ready for JSON; None where no film contributed.

        ``films`` counts for each lead time those that contributed; ``mae`` and ``rmse`` are the mean absolute and the
        root mean square error for each lead time and channel, in its units; ``films_left_out`` has a dict for each:
        ``film`` from 0, and ``lead`` from 1, the first one without it.

        Raises:
            ValueError: If no film was taken in.
        """
        return {
            "mae": listed(self._mean("absolute_error")),
            "rmse": listed(np.sqrt(self._mean("squared_error"))),
            "films": self.sums["films"].astype(int).tolist(),
            "films_left_out": [{"film": film, "lead": lead} for film, _, lead in self.left_out.tolist()],
        }

    def _shapes(self):
        return {"films": (), "absolute_error": (self.channels,), "squared_error": (self.channels,)}


def _ratio(values, by):
    """Quotients, NaN where the divisor is 0."""
    by = np.broadcast_to(by, values.shape)
    return np.divide(values, by, out=np.full(values.shape, np.nan), where=by != 0)


def listed(values):
    """Nested lists of numbers, None in place of NaN."""
    return np.where(np.isnan(values), None, values).tolist()
