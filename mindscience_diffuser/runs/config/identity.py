"""What decides the results of a run, by dotted key: earlier results are gone on with only where it is the same."""

import hashlib
from pathlib import Path

# Sections and keys that decide neither a training nor samples; weights count by the content of their file.
WITHOUT_EFFECT = ("output", "weights", "export", "sweep", "compare", "optimize", "metrics")


def result_determining_values(config, *without):
    """Returns the values of a configuration by dotted key, except those in the further sections or keys `without`."""
    without += WITHOUT_EFFECT
    values = {}
    _flatten(config.model_dump(mode="json"), (), values)
    return {key: value for key, value in values.items() if not any(_within(key, place) for place in without)}


def file_checksum(path):
    """Returns the SHA-256 of a file."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def changed_key(before, now):
    """Returns a half-sentence about the first key whose value differs, or None if all are the same."""
    for key in sorted({*before, *now}):
        if key not in before or key not in now or before[key] != now[key]:
            return f"'{key}' was {_shown(before, key)} and is {_shown(now, key)}"
    return None


def _flatten(section, place, values):
    for key, value in section.items():
        if isinstance(value, dict) and value:
            _flatten(value, (*place, key), values)
        else:
            values[".".join((*place, key))] = value


def _within(key, place):
    return key == place or key.startswith(place + ".")


def _shown(values, key):
    return repr(values[key]) if key in values else "not set"
