"""A scheduler's configuration: what its constructor was given, and its file form ``scheduler_config.json``."""

import inspect
import json
import re
import warnings
from collections.abc import Mapping

import numpy as np
from mindspore import dtype as mstype

from mindscience_diffuser.cells import unlocked
from mindscience_diffuser.files import write_atomically
from mindscience_diffuser.noise import betas_from_schedule, preset_config, rescale_zero_terminal_snr
from mindscience_diffuser.plan import Limit
from mindscience_diffuser.schedulers.base.conversion import converted
from mindscience_diffuser.validation import check_path

CONFIG_NAME = "scheduler_config.json"
INFINITY = re.compile(r"(?<![\w\"])Infinity(?=,?$)", re.MULTILINE)


def json_text(content):
    """Returns a configuration as JSON, which has no infinity: 1e999 is a number there, and read as infinity."""
    return INFINITY.sub("1e999", json.dumps(content, indent=2, sort_keys=True)) + "\n"


class SchedulerConfig(Mapping):
    """Constructor arguments by name, read-only, as a mapping and as attributes.

    Args:
        values (Mapping): The arguments.
        source (type): The class that they configure.
    """

    def __init__(self, values, source=None):
        plain = {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in dict(values).items()}
        object.__setattr__(self, "_values", plain)
        object.__setattr__(self, "_source", source)

    def __getitem__(self, name):
        return self._values[name]

    def __iter__(self):
        return iter(self._values)

    def __len__(self):
        return len(self._values)

    def __getattr__(self, name):
        if name.startswith("_"):  # Asked for while copying, before there are values.
            raise AttributeError(name)
        if name not in self._values:
            raise AttributeError(f"The configuration has no {name!r}; it has {', '.join(self._values)}.")
        return self._values[name]

    def __setattr__(self, name, value):
        raise AttributeError(
            f"The configuration is read-only; to change {name!r}, use from_config(config, {name}=...)."
        )

    def __repr__(self):
        return f"SchedulerConfig({self._values!r})"

    def to_json(self, class_name):
        """Returns the text of a ``scheduler_config.json``."""
        content = {"_class_name": class_name, **{name: _plain(value) for name, value in self._values.items()}}
        objects = [name for name, value in content.items() if callable(value)]
        if objects:
            raise TypeError(
                f"'{objects[0]}' is a {type(content[objects[0]]).__name__}, which a file cannot hold: save a "
                f"scheduler without it, and give it to from_pretrained(folder, {objects[0]}=...)."
            )
        return json_text(content)


METHOD_CHOICES = ("algorithm_type", "solver_order", "solver_type", "variance_type", "sigma_schedule")
"""Arguments that choose among the variants of a method, which other methods may call alike and have others of."""


class Configurable:
    """Saving, loading and converting by configuration.

    ``settings`` are the arguments of the constructor. ``config`` holds them too, and what was read for other classes.
    """

    arguments = {}
    """What the constructor checks each argument by, an ``Argument`` by its name."""

    shared_arguments = {}
    """Arguments of the hand-written constructor of the base, with their defaults: each class has them, at the end."""

    compatibles = []
    """Classes that take the configuration of this one."""

    peer_defaults = {}
    """Defaults of the class of this name in diffusers, where they are others."""

    own_process = None
    """Name of the noise process and of what the model predicts, where the arguments do not tell them."""

    @classmethod
    def class_of(cls, config):
        """Returns the class that a configuration is loaded as: this one."""
        del config
        return cls

    @staticmethod
    def source_of(config):
        """Returns the class that a configuration is one of, None where it does not tell."""
        return getattr(config, "_source", None)

    @classmethod
    def from_preset(cls, name, **overrides):
        """Builds the scheduler of a published model.

        Args:
            name (str): The model, one of ``mindscience_diffuser.noise.PRESETS``, for example ``"flux-dev"``.
            **overrides: Constructor arguments that replace those of the model.

        Returns:
            The scheduler: on :class:`~mindscience_diffuser.Scheduler` itself one of the class that the model was
            published with, on any other class one of that class, which follows the noise schedule of the model.

        Raises:
            TypeError: If an override is not an argument of the class.
            ValueError: If there is no such preset, the class that the model was published with does not exist, or
                this class cannot follow its noise schedule.
        """
        config = preset_config(name)
        chosen = cls.class_of(config)
        missing = chosen.conversion(config, overrides).lost
        if missing:
            raise ValueError(
                f"{chosen.__name__} cannot follow the noise schedule of {name!r}: it has no argument "
                f"{' and no '.join(map(repr, missing))}. The model was published with {config['_class_name']}."
            )
        return chosen._build(config, overrides)[0]

    @classmethod
    def from_config(cls, config, **overrides):
        """Builds the scheduler from another one's configuration.

        On :class:`~mindscience_diffuser.Scheduler` itself the class is the one that the configuration names.

        Args:
            config (Mapping): ``other.config``, or the content of a ``scheduler_config.json``.
            **overrides: Constructor arguments that replace those of `config`.

        Returns:
            The scheduler. What means the same under another name, such as ``shift`` and ``flow_shift``, is taken over.
            Keys that it does not use stay in its ``config``, with one warning, so that converting back loses nothing,
            and with another one where the noise process of the model needs them. A variant of the other method, such
            as ``algorithm_type``, that this class does not have gives way to its default, with a warning. Arguments
            that a file of diffusers leaves out have the defaults of diffusers.

        Raises:
            TypeError: If `config` is not a mapping, or an override is not an argument of this class.
            ValueError: If a value is out of range, or the class that `config` names is needed and does not exist.
        """
        if not isinstance(config, Mapping):
            raise TypeError(
                f"'config' must be a mapping such as scheduler.config, but is {type(config).__name__}; "
                "for a folder use from_pretrained."
            )
        scheduler, kept, lost = cls.class_of(config)._build(config, overrides)
        name, others = type(scheduler).__name__, sorted(set(kept) - set(lost))
        if lost:
            warnings.warn(
                f"{name} cannot keep {', '.join(sorted(lost))}: it follows another noise process than the "
                "configuration does.",
                stacklevel=2,
            )
        if others:
            warnings.warn(f"{name} does not use {', '.join(others)}; kept in its config.", stacklevel=2)
        return scheduler

    @classmethod
    def defaults(cls, of_diffusers=False):
        """Returns the arguments of the constructor with their defaults, here or in diffusers."""
        listed = list(inspect.signature(cls.__init__).parameters.values())[1:]
        return {**{p.name: p.default for p in listed}, **(cls.peer_defaults if of_diffusers else {})}

    @classmethod
    def conversion(cls, config, overrides=None):
        """Returns what becomes of a configuration in this class, a :class:`Conversion`."""
        overrides = overrides or {}
        found = converted(config, cls.source_of(config), cls, overrides)
        for name in set(METHOD_CHOICES) & set(found.arguments) - set(overrides):
            value = found.arguments[name]
            if cls.takes(name, value):
                continue
            others = [kind for kind in cls.compatibles if name in kind.arguments and kind.takes(name, value)]
            if others:
                del found.arguments[name]
                found.replaced[name] = f"{name}={value!r}, which is one of {others[0].__name__}"
        return found

    @classmethod
    def takes(cls, name, value):
        """Whether the constructor accepts `value` as the argument `name`; True where there is no such argument."""
        try:
            if name in cls.arguments:
                cls.arguments[name].check(name, value)
        except (TypeError, ValueError):
            return False
        return True

    @classmethod
    def _build(cls, config, overrides):
        """Returns the scheduler of a configuration, the values that it does not use, and those that it would need."""
        known = cls.defaults()
        unknown = sorted(set(overrides) - set(known))
        if unknown:
            raise TypeError(f"{cls.__name__} has no argument {unknown[0]!r}; it has {', '.join(sorted(known))}.")
        arguments, kept, lost, replaced = cls.conversion(config, overrides)
        for choice in replaced.values():
            warnings.warn(f"{cls.__name__} has no {choice}; it uses its default.", stacklevel=3)
        if isinstance(arguments.get("compute_dtype"), str):
            arguments["compute_dtype"] = _dtype(arguments["compute_dtype"])
        scheduler = cls(**arguments)
        with unlocked(scheduler):
            scheduler.config = SchedulerConfig({**kept, **scheduler.config}, cls)
        return scheduler, kept, lost

    @classmethod
    def from_pretrained(cls, path, subfolder=None, **overrides):
        """Loads the configuration from a folder.

        Args:
            path (str or Path): Folder that holds ``scheduler_config.json``, or that file.
            subfolder (str, optional): Folder below `path`, ``"scheduler"`` in a checkpoint of a pipeline.
            **overrides: Constructor arguments that replace those of the file.

        Returns:
            The scheduler, of the class that :meth:`from_config` tells.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If it is not a JSON object.
        """
        file = check_path("path", path)
        file = file if subfolder is None else file / check_path("subfolder", subfolder)
        file = file if file.suffix == ".json" else file / CONFIG_NAME
        if not file.is_file():
            raise FileNotFoundError(
                f"There is no scheduler configuration at '{file}'; give the folder that holds {CONFIG_NAME} "
                "(often with subfolder='scheduler')."
            )
        content = read_config(file)
        return cls.class_of(content)._of_file(file, content, overrides)

    @classmethod
    def _of_file(cls, file, content, overrides):
        """Returns the scheduler that a file describes; `content` is what stands in it."""
        del file
        return cls.from_config(content, **overrides)

    def save_pretrained(self, path):
        """Writes ``scheduler_config.json``.

        Args:
            path (str or Path): Folder that it is written into, which is made if it does not exist.
        """
        folder = check_path("path", path)
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / CONFIG_NAME, self.config.to_json(type(self).__name__))


def read_config(file):
    """Returns what stands in a file that exists; ValueError if it is not a JSON object."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"'{file}' is not valid JSON: {error}.") from error
    if not isinstance(content, dict):
        raise ValueError(f"'{file}' must hold a JSON object, but holds a {type(content).__name__}.")
    return content


def trained_betas(config):
    """Returns the betas of the schedule that a configuration names, float64, shape ``(T,)``."""
    ends = config.get("beta_start", 0.0001), config.get("beta_end", 0.02)
    return betas_from_schedule(config.beta_schedule, config.num_train_timesteps, *ends, config.get("trained_betas"))


def configured_betas(config):
    """Returns the betas that a configuration describes, rescaled where it asks for pure noise at the end."""
    betas = trained_betas(config)
    return rescale_zero_terminal_snr(betas) if config.get("rescale_betas_zero_snr") else betas


def configured_limit(config):
    """Returns what keeps the predicted clean sample in range; thresholding comes before clipping."""
    if config.get("thresholding"):
        return Limit("threshold", config.sample_max_value, config.dynamic_thresholding_ratio)
    if config.get("clip_sample"):
        return Limit("clip", config.get("clip_sample_range", 1.0))
    return None


def _plain(value):
    """Returns the JSON form of an argument."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, type(mstype.float32)):
        return str(value).lower()
    return value


def _dtype(name):
    dtype = {"float32": mstype.float32, "float16": mstype.float16}.get(name)
    if dtype is None:
        raise ValueError(f"'compute_dtype' must be 'float32' or 'float16', but is {name!r}.")
    return dtype
