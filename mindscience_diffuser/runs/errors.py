"""What ends a run early."""

from mindscience_diffuser.validation import nearest

__all__ = ["ConfigError", "DivergedError", "InterruptedRunError", "StoppedError", "nearest"]


class ConfigError(Exception):
    """A mistake of the user's in a configuration, a path or a set of weights; its message is all there is to show.

    Args:
        message (str): What is wrong, what is allowed and what to do.
        key (str, optional): Dotted key of the configuration that is to be changed; `Origins` adds its line.
    """

    def __init__(self, message, key=None):
        super().__init__(message)
        self.key = key


class StoppedError(Exception):
    """A run was asked to stop and has left what is needed to go on; its message says how."""


class DivergedError(Exception):
    """A training met a loss or a weight that is not finite; its message says where and what was kept."""


class InterruptedRunError(KeyboardInterrupt):
    """Ctrl-C during a run that has kept something; its message says what."""
