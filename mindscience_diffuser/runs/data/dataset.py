"""The data of a run: any class with ``__len__`` and ``__getitem__``, checked, in a training and a held-out part.

``data[k]`` is one sample, a floating-point array of one shape for all k, or a tuple of the sample and its conditions,
each a number or an array of one shape; integers fit int32. The class may offer more, all of it optional:

``batch(numbers)``
    The samples of these numbers and their conditions at once, a tuple of arrays ``(N, ...)``.
``classes``
    Number of classes: ``sampling.per_class`` samples of each are drawn.
``drawn_conditions(numbers)``
    Conditions that the samples of these numbers are drawn with, a tuple of arrays ``(N, ...)``, like those of the
    samples; a run with a ``guidance`` of its own takes what that needs. Otherwise they are those of the held-out data,
    in their order.
``unconditional``
    What stands for no condition, one array of the shape of each; otherwise zeros.
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

from numbers import Integral

import numpy as np

from mindscience_diffuser.data import Normalisation, as_data
from mindscience_diffuser.data.split import chosen
from mindscience_diffuser.guidance.posterior import broadcasts
from mindscience_diffuser.runs.config.components import build, checked
from mindscience_diffuser.runs.data.model_file import initial_weights_file, weights_file
from mindscience_diffuser.runs.data.reading import Part, Reading, component_error, method, single
from mindscience_diffuser.runs.errors import ConfigError

MOST_CHECKED = 1000
"""Samples that are looked at before a run begins, evenly spread; every batch is checked besides."""


def build_data(config, file=None):
    """Returns the :class:`DataSet` of a configuration, as a trained model sees it.

    With ``normalise`` the normalisation is the one that is noted in the file of the model; where there is no file, or
    it notes nothing, that of the training samples.

    Args:
        config (TrainedRun): The configuration.
        file (ModelFile, optional): The file of the model. Default: ``None``, the weights of the run.

    Raises:
        ConfigError: If the class refuses its arguments, a sample is not as it should be, or the model was trained with
            another ``normalise``.
    """
    return _built(config, file or weights_file(config))


def training_data(config, file=None):
    """Returns the :class:`DataSet` of a configuration, to train a model on.

    With ``normalise`` the normalisation is that of the training samples, whatever weights the run has left before; a
    model that begins with trained weights sees data as they were normalised for these.

    Args:
        config (TrainedRun): The configuration.
        file (ModelFile, optional): What the model begins with. Default: ``None``, ``training.initial_weights``.

    Raises:
        ConfigError: See :func:`build_data`.
    """
    return _built(config, file or initial_weights_file(config))


def _built(config, file):
    """Returns the data of a configuration for the model in a file, which may be None."""
    if file is not None:
        file.check(config.normalise)
    component = config.data
    _, parameters = checked("data", component, ("split", "grid"))
    given = {"grid": True} if config.run == "pyramid_flow" else {}
    if "split" in parameters:
        parts = [build("data", component, split=split, **given) for split in ("train", "test")]
    else:
        whole = build("data", component, **given)
        parts = [part_of(whole, split, config.held_out, component) for split in ("train", "test")]
    data = DataSet(*parts, component, getattr(config, "guidance", None) is not None)
    if config.normalise:
        data.normalise(None if file is None else file.normalisation)
    if hasattr(config, "sampling") and method(data.train, "drawn_conditions"):
        data.conditions(np.arange(min(config.sampling.batch_size, data.sample_count(config.sampling))))
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


class DataSet:
    """Training and held-out data, and what their class offers, see the module.

    Args:
        train: Training part.
        test: Held-out part.
        component (Component): The component that they were built from, for messages.
        own_guidance (bool): Whether samples are drawn with a guidance of the run's own, which may take other conditions
            than the model. Default: ``False``.

    Raises:
        ConfigError: If a part is empty, or its samples are not floating-point, finite and of one shape.
    """

    def __init__(self, train, test, component, own_guidance=False):
        self.train, self.test, self.component, self.own_guidance = train, test, component, own_guidance
        self.normalisations = {}
        self.readings = {
            id(part): Reading(part, split, component) for part, split in ((train, "train"), (test, "test"))
        }
        for part, name in ((train, "training"), (test, "held-out")):
            if len(part) == 0:
                raise self._error(f"has no {name} samples")
        first, *conditions = self.readings[id(train)].read([0])
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
            stored (dict, optional): What is noted of it in the file of a model. Default: ``None``: it is fitted to the
                training samples.

        Raises:
            ConfigError: If `stored` is that of other channels, or a training sample is not like the first one.
        """
        shapes = zip(self.condition_shapes, self.condition_dtypes)
        shapes = {1 + i: shape for i, (shape, dtype) in enumerate(shapes) if shape and dtype.kind == "f"}
        shapes = {0: self.sample_shape, **shapes}
        if stored is None:
            self.normalisations = {place: Normalisation.fit(_Column(self, place)) for place in shapes}
            return
        try:
            found = {int(place): Normalisation(*values) for place, values in stored.items()}
        except (TypeError, ValueError):
            found = {}
        channels = {place: (len(values.mean), values.axes) for place, values in found.items()}
        if channels != {place: (shape[0], len(shape) - 1) for place, shape in shapes.items()}:
            raise self._error(
                f"gives a sample and conditions of the shapes {_listed([self.sample_shape, *self.condition_shapes])}, "
                "but the model knows data of other channels, by the normalisation that is noted in its file: name the "
                "data that it was trained on, or another model"
            )
        self.normalisations = found

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
        reading = self.readings[id(part)]
        arrays = reading.read(numbers)
        shapes, expected = [a.shape[1:] for a in arrays], [self.sample_shape, *self.condition_shapes]
        if shapes != expected:
            raise self._error(
                f"gives a sample and conditions of the shapes {_listed(expected)} first, but with sample "
                f"{reading.number(numbers[0])} others: {_listed(shapes)}"
            )
        for place, array in enumerate(arrays):
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                which = reading.first(place, numbers, ~np.isfinite(array))
                raise self._error(f"gives {which} with a value that is not finite")
        return self._applied(arrays)

    def conditions(self, numbers):
        """Returns the conditions that the samples of these numbers are drawn with, a tuple of arrays ``(N, ...)``.

        Raises:
            ConfigError: If those that the data give are not so many, or not like the conditions of the samples.
        """
        if method(self.train, "drawn_conditions"):
            return self._applied(self._drawn(np.asarray(numbers)), first=1)
        if not self.condition_shapes:
            return ()
        return tuple(self.batch(np.asarray(numbers) % len(self.test), self.test)[1:])

    def unconditional(self, model):
        """Returns what stands for no condition, one array for each; what the model or the data have, else zeros.

        Raises:
            ConfigError: If a condition is an integer, whose zero stands for something, and nothing else is known; or if
                what is known is not one array of the shape of each condition.
        """
        if not self.condition_shapes:
            return ()
        for owner, name in ((model, type(model).__name__), (self.train, self.component.name)):
            known = getattr(owner, "unconditional", None)
            if known is not None:
                known = known if isinstance(known, (tuple, list)) else (known,)
                what, shapes = f"'unconditional' of {name}", self.condition_shapes
                spread = [
                    np.broadcast_to(value, shape) if broadcasts(np.shape(value), shape) else value
                    for value, shape in zip(known, shapes)
                ]
                return self._like(what, [*spread, *known[len(spread) :]], shapes, self.condition_dtypes)
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

    def _drawn(self, numbers):
        """Returns the conditions that the data give for drawn samples, in single precision."""
        try:
            given = self.train.drawn_conditions(numbers)
            given = [np.asarray(value) for value in (given if isinstance(given, (tuple, list)) else (given,))]
        except Exception as error:
            raise self._error(
                f"fails to give 'drawn_conditions' of {len(numbers)} samples: {type(error).__name__}: {error}"
            ) from error
        shapes, dtypes = self.condition_shapes, self.condition_dtypes
        if self.own_guidance:
            shapes, dtypes = [value.shape[1:] for value in given], [single(value.dtype) for value in given]
        return self._like("'drawn_conditions'", given, [(len(numbers), *shape) for shape in shapes], dtypes)

    def _like(self, what, given, shapes, dtypes):
        """Returns arrays in these dtypes, which change no value of them but by rounding.

        Raises:
            ConfigError: If there is not one of each shape, or a value does not fit its dtype.
        """
        if len(given) != len(shapes):
            raise self._error(
                f"gives {len(shapes)} conditions, but {what} has {len(given)}: give a tuple of one array for each"
            )
        arrays = []
        for i, (value, shape, dtype) in enumerate(zip(given, shapes, dtypes)):
            value = np.asarray(value)
            if value.shape != tuple(shape):
                raise self._error(
                    f"gives conditions with which entry {i} of {what} must have the shape {tuple(shape)}, but it has "
                    f"{value.shape}"
                )
            if value.dtype.kind not in "fiub":
                raise self._error(f"gives entry {i} of {what} of {value.dtype}: it must be of numbers")
            with np.errstate(over="ignore", invalid="ignore"):
                array = value.astype(dtype)
            changed = ~np.isfinite(array) if array.dtype.kind == "f" else array != value
            if changed.any():
                raise self._error(
                    f"gives entry {i} of {what} with the value {value[changed][0]}, which does not fit {array.dtype}, "
                    "the dtype of the condition"
                )
            arrays.append(array)
        return tuple(arrays)

    def _applied(self, arrays, first=0):
        """Returns sample and conditions, or the conditions alone with `first` 1, as the model sees them."""
        return tuple(
            self.normalisations[place].apply(values) if place in self.normalisations else values
            for place, values in enumerate(arrays, first)
        )

    def _error(self, what):
        return component_error(self.component, what)


class _Column:
    """The samples of the training part, or one of their conditions, one by one.

    Args:
        data (DataSet): The data, not normalised.
        place (int): 0 for the samples, 1 for their first condition, and so on.
    """

    def __init__(self, data, place):
        self.data, self.place = data, place

    def __len__(self):
        return len(self.data)

    def __getitem__(self, k):
        return self.data.batch([k])[self.place][0]


def _listed(shapes):
    return ", ".join(str(shape) for shape in shapes)
