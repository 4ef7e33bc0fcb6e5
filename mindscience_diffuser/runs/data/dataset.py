"""The data of a run: any class with ``__len__`` and ``__getitem__``, checked, in a training and a held-out part.

``data[k]`` is one sample, a floating-point array of one shape for all k, or a tuple of the sample and its conditions,
each a number or an array of one shape. The class may offer more, all of it optional:

``batch(numbers)``
    The samples of these numbers and their conditions at once, a tuple of arrays ``(N, ...)``.
``classes``
    Number of classes: ``sampling.per_class`` samples of each are drawn.
``drawn_conditions(numbers)``
    Conditions that the samples of these numbers are drawn with, a tuple of arrays ``(N, ...)``. Otherwise they are
    those of the held-out data, in their order.
``unconditional``
    What stands for no condition, one array for each; otherwise zeros.
``model_arguments``
    Arguments of the model that follow from the data; a model gets those that its constructor takes.
``arrays(samples, conditions, numbers)``
    What is written of samples, arrays ``(N, ...)`` by name; otherwise ``samples`` and ``condition_0`` and so on.
``write(directory, samples)``
    Writes samples ``(N, ...)`` in a form of its own, besides ``samples.npz``.
``picture(path, arrays, config)``
    Writes the picture of these arrays, ``samples.png``.
``planes(arrays)``
    These arrays as pictures ``(N, H, W)`` or ``(N, H, W, 3)``, for reports.
``metrics``
    Figures of merit that belong to the data: the name of a component.
"""

import functools
from numbers import Integral

import numpy as np

from mindscience_diffuser.data import Normalisation, as_data
from mindscience_diffuser.data.split import chosen
from mindscience_diffuser.runs.config.components import build, checked
from mindscience_diffuser.runs.errors import ConfigError
from mindscience_diffuser.runs.storage.weights import facts_of, find_weights, own_weights

MOST_CHECKED = 1000
"""Samples that are looked at before a run begins, evenly spread; every batch is checked besides."""


def build_data(config):
    """Returns the :class:`DataSet` of a configuration.

    With ``normalise`` the normalisation is that of the weights where they exist, else that of the training samples.

    Raises:
        ConfigError: If the class refuses its arguments, or a sample is not as it should be.
    """
    component = config.data
    _, parameters = checked("data", component, ("split", "grid"))
    given = {"grid": True} if config.run == "pyramid_flow" else {}
    if "split" in parameters:
        parts = [build("data", component, split=split, **given) for split in ("train", "test")]
    else:
        whole = build("data", component, **given)
        parts = [part_of(whole, split, config.held_out, component) for split in ("train", "test")]
    data = DataSet(*parts, component)
    if config.normalise:
        data.normalise(stored_normalisation(config))
    return data


def part_of(data, split, held_out, component):
    """Returns the training or the held-out part of data that take no split themselves.

    Raises:
        ConfigError: If they have no length, or too few samples.
    """
    try:
        if hasattr(data, "create_dict_iterator"):
            return as_data(data, split, held_out)
        return Part(data, chosen(len(data), split, held_out, shuffled=True))
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"{component.name} at '{component.place}' cannot be split: {error}", component.place
        ) from error


def stored_normalisation(config):
    """Returns the normalisation that is noted beside the weights of a run, or None without them."""
    try:
        weights = find_weights(config.weights, own_weights(config))
    except ConfigError:
        return None
    return facts_of(weights).get("normalisation")


class Part:
    """Some samples of data, which offers what the data offer.

    Args:
        data: The whole.
        numbers (numpy.ndarray): Numbers of the samples of this part.
    """

    def __init__(self, data, numbers):
        self.data = data
        self.numbers = numbers
        if method(data, "batch"):
            self.batch = lambda chosen: data.batch(numbers[np.asarray(chosen)])

    def __len__(self):
        return len(self.numbers)

    def __getitem__(self, k):
        return self.data[int(self.numbers[k])]

    def __getattr__(self, name):
        return getattr(self.data, name)


class DataSet:
    """Training and held-out data, and what their class offers, see the module.

    Args:
        train: Training part.
        test: Held-out part.
        component (Component): The component that they were built from, for messages.

    Raises:
        ConfigError: If a part is empty, or its samples are not floating-point, finite and of one shape.
    """

    def __init__(self, train, test, component):
        self.train, self.test, self.component = train, test, component
        self.normalisations = {}
        self.reads = {id(part): method(part, "batch") or functools.partial(_stacked, part) for part in (train, test)}
        for part, name in ((train, "training"), (test, "held-out")):
            if len(part) == 0:
                raise self._error(f"has no {name} samples")
        first, *conditions = self._read(train, [0])
        self.sample_shape = first.shape[1:]
        if not self.sample_shape:
            raise self._error("gives numbers as samples: they must be arrays")
        self.condition_shapes = [condition.shape[1:] for condition in conditions]
        self.condition_dtypes = [condition.dtype for condition in conditions]
        for part in (train, test):
            numbers = np.unique(np.linspace(0, len(part) - 1, min(len(part), MOST_CHECKED)).astype(int))
            for start in range(0, len(numbers), 100):
                self.batch(numbers[start : start + 100], part)

    def __len__(self):
        """The number of training samples."""
        return len(self.train)

    def normalise(self, stored=None):
        """Lets samples and floating-point conditions have mean 0 and standard deviation 1 in each channel from now on.

        Args:
            stored (dict, optional): What is noted of it beside weights. Default: ``None``: it is fitted to the training
                samples.
        """
        if stored is None:
            shapes = zip(self.condition_shapes, self.condition_dtypes)
            places = [0] + [1 + i for i, (shape, dtype) in enumerate(shapes) if shape and dtype.kind == "f"]
            try:
                self.normalisations = {place: Normalisation.fit(self.train, place) for place in places}
            except (TypeError, ValueError) as error:
                raise self._error(f"cannot be normalised: {error}") from None
        else:
            self.normalisations = {int(place): Normalisation(*values) for place, values in stored.items()}

    @property
    def facts(self):
        """What is noted beside the weights: mean, standard deviation and axes of what is normalised, by its place."""
        found = {
            str(place): (values.mean.tolist(), values.deviation.tolist(), values.axes)
            for place, values in self.normalisations.items()
        }
        return {"normalisation": found} if found else {}

    @property
    def grid(self):
        """Positions of a sample without its channels: (L,) of tokens (L, C), else those of a grid (C, ...)."""
        return self.sample_shape[:-1] if len(self.sample_shape) == 2 else self.sample_shape[1:]

    @property
    def channels(self):
        """Channels of a sample: the last axis of tokens (L, C), else the first one."""
        return self.sample_shape[-1] if len(self.sample_shape) == 2 else self.sample_shape[0]

    @property
    def model_arguments(self):
        """Arguments of a model that follow from the data."""
        return getattr(self.train, "model_arguments", {})

    @property
    def classes(self):
        """Number of classes; 1 where the data have none."""
        count = getattr(self.train, "classes", 1)
        return int(count) if isinstance(count, Integral) and not isinstance(count, bool) else 1

    def sample_count(self, sampling):
        """Returns how many samples the section ``sampling`` asks for."""
        return sampling.per_class * self.classes if sampling.samples is None else sampling.samples

    def batch(self, numbers, part=None):
        """Returns samples and their conditions, a tuple of arrays ``(N, ...)``.

        Args:
            numbers (Sequence[int]): Numbers of the samples.
            part (optional): ``train`` or ``test``. Default: ``train``.

        Raises:
            ConfigError: If a sample is not like the first one.
        """
        part = self.train if part is None else part
        arrays = self._read(part, numbers)
        shapes, expected = [a.shape[1:] for a in arrays], [self.sample_shape, *self.condition_shapes]
        if shapes != expected:
            raise self._error(
                f"gives a sample and conditions of the shapes {_listed(expected)} first, but others later: "
                f"{_listed(shapes)}"
            )
        for place, array in enumerate(arrays):
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                k = next(k for k, values in zip(numbers, array) if not np.isfinite(values).all())
                raise self._error(f"gives {_which(place)} number {k} with a value that is not finite")
        return self._applied(arrays)

    def conditions(self, numbers):
        """Returns the conditions that the samples of these numbers are drawn with, a tuple of arrays ``(N, ...)``."""
        if method(self.train, "drawn_conditions"):
            given = self.train.drawn_conditions(np.asarray(numbers))
            given = tuple(map(_single, given if isinstance(given, (tuple, list)) else (given,)))
            return self._applied(given, first=1)
        if not self.condition_shapes:
            return ()
        return tuple(self.batch(np.asarray(numbers) % len(self.test), self.test)[1:])

    def unconditional(self, model):
        """Returns what stands for no condition, one array for each; what the model or the data have, else zeros.

        Raises:
            ConfigError: If a condition is an integer, whose zero stands for something, and nothing else is known.
        """
        for owner in (model, self.train):
            known = getattr(owner, "unconditional", None)
            if known is not None:
                known = known if isinstance(known, (tuple, list)) else (known,)
                return tuple(np.asarray(value, dtype) for value, dtype in zip(known, self.condition_dtypes))
        for place, dtype in enumerate(self.condition_dtypes):
            if dtype.kind == "i":
                raise ConfigError(
                    f"condition {place} of '{self.component.place}' is an integer, which cannot be left out as zero: "
                    "give the model or the data an attribute 'unconditional' with what stands for no condition, or set "
                    "'training.condition_dropout' to 0 and 'sampling.guidance_scale' to 1",
                    self.component.place,
                )
        return tuple(np.zeros(s, d) for s, d in zip(self.condition_shapes, self.condition_dtypes))

    def arrays(self, samples, conditions, numbers):
        """Returns what is written of samples ``(N, ...)``: arrays by name, in units of the data."""
        undone = [
            self.normalisations[place].undo(values) if place in self.normalisations else values
            for place, values in enumerate((samples, *conditions))
        ]
        samples, *conditions = undone
        if method(self.train, "arrays"):
            return self.train.arrays(samples, conditions, numbers)
        return {"samples": samples, **{f"condition_{i}": value for i, value in enumerate(conditions)}}

    def held_out_arrays(self, most):
        """Returns up to `most` of the held-out data as :meth:`arrays` has them."""
        numbers = np.arange(min(len(self.test), most))
        samples, *conditions = self.batch(numbers, self.test)
        return self.arrays(samples, conditions, numbers)

    def _read(self, part, numbers):
        """Returns samples and conditions of a part as they are, floating-point ones in single precision."""
        try:
            arrays = self.reads[id(part)](numbers)
        except ConfigError as error:
            raise self._error(str(error)) from None
        except Exception as error:
            raise self._error(f"fails to give a sample: {type(error).__name__}: {error}") from error
        if arrays[0].dtype.kind != "f":
            raise self._error(
                f"gives samples of {arrays[0].dtype}: they must be floating-point numbers, of about unit variance"
            )
        for place, array in enumerate(arrays[1:]):
            if array.dtype.kind not in "fiub":
                raise self._error(f"gives {_which(place + 1)} of {array.dtype}: it must be of numbers")
        return tuple(_single(array) for array in arrays)

    def _applied(self, arrays, first=0):
        """Returns sample and conditions, or the conditions alone with `first` 1, as the model sees them."""
        return tuple(
            self.normalisations[place].apply(values) if place in self.normalisations else values
            for place, values in enumerate(arrays, first)
        )

    def _error(self, what):
        return ConfigError(f"{self.component.name} at '{self.component.place}' {what}", self.component.place)


def method(data, name):
    """Returns the method of that name that the class of data offers, or None; a value of that name is not meant."""
    found = getattr(data, name, None)
    return found if callable(found) else None


def split_conditions(entry):
    """Returns sample and conditions of what ``data[k]`` gives, a tuple of arrays."""
    return tuple(np.asarray(part) for part in (entry if isinstance(entry, (tuple, list)) else (entry,)))


def _stacked(part, numbers):
    """Returns the samples of these numbers and their conditions, stacked one by one."""
    entries = [split_conditions(part[int(k)]) for k in numbers]
    first = entries[0]
    for k, entry in zip(numbers, entries):
        if len(entry) != len(first):
            raise ConfigError(
                f"gives {len(first) - 1} conditions with sample {numbers[0]}, but {len(entry) - 1} with sample {k}"
            )
        for place, (array, other) in enumerate(zip(entry, first)):
            if array.shape != other.shape:
                raise ConfigError(
                    f"gives {_which(place)} number {numbers[0]} of shape {other.shape}, but number {k} of {array.shape}"
                )
    return tuple(np.stack(arrays) for arrays in zip(*entries))


def _single(array):
    """Returns an array as the device takes it: float32, int32 or bool."""
    array = np.asarray(array)
    kinds = {"f": np.float32, "i": np.int32, "u": np.int32}
    return array.astype(kinds.get(array.dtype.kind, array.dtype), copy=False)


def _which(place):
    return "sample" if place == 0 else f"condition {place - 1} of sample"


def _listed(shapes):
    return ", ".join(str(shape) for shape in shapes)
