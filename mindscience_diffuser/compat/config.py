"""The configuration of a drop-in scheduler: diffusers' rules for what is kept, passed on and defaulted."""

import json
import logging
import warnings
from collections import OrderedDict
from pathlib import Path

import numpy as np
from mindspore import Tensor

from mindscience_diffuser.compat.description import arguments_of, peer_version
from mindscience_diffuser.files import write_atomically
from mindscience_diffuser.schedulers.base.config import CONFIG_NAME, json_text

logger = logging.getLogger(__name__)

DEFAULTED = "_use_default_values"
"""Key of a configuration that names the arguments which its constructor was not given."""


class FrozenConfig(OrderedDict):
    """Constructor arguments, as a mapping and as attributes; read-only."""

    def __getattr__(self, name):
        if name in self:
            return self[name]
        raise AttributeError(f"The configuration has no {name!r}; it has {', '.join(self)}.")

    def _refuse(self, *args, **kwargs):
        raise TypeError("The configuration is read-only; use scheduler.register_to_config(name=value).")

    __setitem__ = __delitem__ = __setattr__ = pop = popitem = setdefault = update = clear = _refuse

    def __init__(self, values):
        for name, value in values.items():
            OrderedDict.__setitem__(self, name, value)

    def __reduce__(self):
        return type(self), (dict(self),)

    def copy(self):
        """Returns an ordinary dict of the values."""
        return dict(self)


class ConfigMixin:
    """Construction, saving and loading by configuration; `arguments` holds the constructor's defaults by name."""

    config_name = CONFIG_NAME
    arguments = {}
    _compatibles = []
    _deprecated_kwargs = []
    ignore_for_config = []
    has_compatibles = True
    _auto_class = None

    @classmethod
    def class_of(cls, config):
        """Returns the class that a configuration is loaded as."""
        raise NotImplementedError

    @property
    def config(self):
        """The configuration, with what was loaded for other classes."""
        return self.__dict__["_config"]

    @property
    def _internal_dict(self):
        """Where diffusers keeps the configuration: pipelines replace it as a whole."""
        return self.config

    @_internal_dict.setter
    def _internal_dict(self, values):
        self.__dict__["_config"] = FrozenConfig(values)

    def register_to_config(self, **values):
        """Adds values to the configuration."""
        self.__dict__["_config"] = FrozenConfig({**self.__dict__.get("_config", {}), **values})

    def __getattr__(self, name):
        if name in self.__dict__.get("_config", {}):
            warnings.warn(
                f"Reading {name!r} from the {type(self).__name__} itself is deprecated: use scheduler.config.{name}.",
                FutureWarning,
                stacklevel=2,
            )
            return self.config[name]
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    @property
    def compatibles(self):
        """Classes that take this scheduler's configuration, its own among them."""
        from mindscience_diffuser import compat

        names = {type(self).__name__, *self._compatibles}
        return [getattr(compat, name) for name in sorted(names) if name in compat.CLASSES]

    @classmethod
    def extract_init_dict(cls, config, **kwargs):
        """Returns what of a configuration the constructor takes, what nobody uses, and what is kept for others."""
        left_out = config.get(DEFAULTED, [])
        original = {name: value for name, value in config.items() if name not in left_out and name != DEFAULTED}
        given = dict(original)
        source = given.pop("_class_name", cls.__name__)
        known_to_others = set(arguments_of(source)).union(*map(arguments_of, cls._compatibles)) - set(cls.arguments)
        given = {name: v for name, v in given.items() if name not in known_to_others and not name.startswith("_")}
        overridden = {name: kwargs.pop(name) for name in list(kwargs) if name in cls.arguments}
        given.update(overridden)
        accepted = {name: given.pop(name) for name in cls.arguments if name in given}
        if given:
            logger.warning(
                f"The config attributes {given} were passed to {cls.__name__}, but are not expected and will be "
                f"ignored. Please verify your {cls.config_name} configuration file."
            )
        defaulted = set(cls.arguments) - set(accepted)
        if defaulted:
            logger.info(f"{defaulted} was not found in config. Values will be initialized to default values.")
        hidden = {name: value for name, value in original.items() if name not in accepted}
        return accepted, {**given, **kwargs}, hidden

    @classmethod
    def from_config(cls, config=None, return_unused_kwargs=False, **kwargs):
        """Builds the scheduler from a configuration.

        Args:
            config (Mapping, optional): ``other.config``, of any class, or the content of a ``scheduler_config.json``.
                Arguments that the other class was not given take the defaults of this one.
            return_unused_kwargs (bool): Whether to return what was not used too. Default: ``False``.
            **kwargs: Arguments that replace those of `config`.

        Raises:
            ValueError: If there is no configuration.
            TypeError: If it is no mapping.
        """
        if config is None:
            raise ValueError("'config' must be given: a mapping such as scheduler.config.")
        if not hasattr(config, "items"):
            raise TypeError(
                f"'config' must be a mapping such as scheduler.config, but is {type(config).__name__}; for a folder "
                "use from_pretrained."
            )
        cls = cls.class_of(config)
        accepted, unused, hidden = cls.extract_init_dict(config, **kwargs)
        scheduler = cls(**accepted)
        if "_class_name" in hidden:
            hidden["_class_name"] = cls.__name__
        scheduler.register_to_config(**hidden)
        return (scheduler, {**unused, **hidden}) if return_unused_kwargs else scheduler

    @classmethod
    def config_file(cls, pretrained_model_name_or_path, subfolder=None):
        """Returns the path of the ``scheduler_config.json`` of a folder, or of that file itself.

        Raises:
            OSError: If there is no such file.
        """
        path = Path(pretrained_model_name_or_path)
        places = [path] if path.is_file() else [path / (subfolder or "") / cls.config_name, path / cls.config_name]
        file = next((place for place in places if place.is_file()), None)
        if file is None:
            raise OSError(
                f"There is no {cls.config_name} at '{places[0]}'; give the folder that holds it (often with "
                "subfolder='scheduler'). Nothing is downloaded."
            )
        return file

    @classmethod
    def load_config(cls, pretrained_model_name_or_path, subfolder=None, return_unused_kwargs=False, **kwargs):
        """Returns the content of ``scheduler_config.json`` in a folder, or of that file.

        Raises:
            OSError: If there is no such file, or it is not valid JSON.
        """
        file = cls.config_file(pretrained_model_name_or_path, subfolder)
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise OSError(f"'{file}' is not valid JSON: {error}.") from error
        return (content, kwargs) if return_unused_kwargs else content

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path=None, subfolder=None, return_unused_kwargs=False, **kwargs):
        """Builds the scheduler of a checkpoint from its folder, see :meth:`load_config` and :meth:`from_config`."""
        kind = cls.class_of(cls.load_config(pretrained_model_name_or_path, subfolder))
        config, kwargs = kind.load_config(pretrained_model_name_or_path, subfolder, True, **kwargs)
        return kind.from_config(config, return_unused_kwargs=return_unused_kwargs, **kwargs)

    @classmethod
    def get_config_dict(cls, *args, **kwargs):
        """The old name of :meth:`load_config`."""
        warnings.warn("'get_config_dict' is deprecated: use 'load_config'.", FutureWarning, stacklevel=2)
        return cls.load_config(*args, **kwargs)

    @classmethod
    def register_for_auto_class(cls, auto_class="AutoModel"):
        """Lets a saved configuration tell that a class of the user is loaded through `auto_class`.

        Raises:
            ValueError: If `auto_class` is not ``"AutoModel"``, the only one that diffusers supports.
        """
        auto_class = auto_class if isinstance(auto_class, str) else auto_class.__name__
        if auto_class != "AutoModel":
            raise ValueError(f"'auto_class' must be 'AutoModel', but is {auto_class!r}.")
        cls._auto_class = auto_class

    def push_to_hub(self, repo_id, *args, **kwargs):
        """Refused: nothing here reaches a network; save the folder, and upload it with the tools of the hub.

        Raises:
            ValueError: Always.
        """
        raise ValueError(
            f"'push_to_hub' cannot upload to {repo_id!r}: save_pretrained(folder), then upload that folder with the "
            "tools of the hub."
        )

    def to_json_string(self):
        """Returns the text of a ``scheduler_config.json``."""
        # As in diffusers, what was saved is part of the configuration afterwards: it then equals the loaded one.
        self.register_to_config(_class_name=type(self).__name__, _diffusers_version=peer_version())
        content = {name: _plain(value) for name, value in self.config.items() if name != DEFAULTED}
        if self._auto_class is not None:
            module = type(self).__module__.rpartition(".")[2]
            content["auto_map"] = {self._auto_class: f"{module}.{type(self).__name__}"}
        return json_text(content)

    def to_json_file(self, json_file_path):
        """Writes :meth:`to_json_string` to a file."""
        write_atomically(Path(json_file_path), self.to_json_string())

    def save_config(self, save_directory, push_to_hub=False, **kwargs):
        """Writes ``scheduler_config.json`` into a folder, which is made if it does not exist."""
        if push_to_hub:
            raise ValueError("'push_to_hub' is not supported: upload the folder with the tools of the hub.")
        folder = Path(save_directory)
        folder.mkdir(parents=True, exist_ok=True)
        self.to_json_file(folder / self.config_name)

    def save_pretrained(self, save_directory, push_to_hub=False, **kwargs):
        """The same as :meth:`save_config`."""
        self.save_config(save_directory, push_to_hub, **kwargs)


def _plain(value):
    """Returns the JSON form of an argument."""
    if isinstance(value, Tensor):
        value = value.asnumpy()
    if isinstance(value, np.ndarray):
        return value.tolist()
    return value.item() if isinstance(value, np.generic) else value
