"""Where the values of a configuration come from, so that what is said about one of them names its line."""

import re
from contextlib import contextmanager
from dataclasses import dataclass, field

from mindscience_diffuser.runs.errors import ConfigError


@dataclass(frozen=True)
class Origins:
    """Where each key of a configuration stands; equal to any other, because it changes nothing in a run.

    Args:
        places (dict): For each dotted key that was given, a text such as ``run.yaml, line 3``.
        source (str): For all others, the file.
    """

    places: dict = field(compare=False)
    source: str = field(compare=False)

    def of(self, key):
        """Returns where `key` stands, or the section or list that it would stand in."""
        while key:
            if key in self.places:
                return self.places[key]
            key = re.sub(r"(\.|^)[^.\[\]]+$|\[\d+\]$", "", key)
        return self.source


@contextmanager
def located(config):
    """Puts before a ConfigError that names a key where `config` has that key."""
    try:
        yield
    except ConfigError as error:
        if error.key is None:
            raise
        raise ConfigError(f"{config.origins.of(error.key)}: {error}") from error
