"""Weights of a model in safetensors files: written by training runs, shipped with the package, loaded to sample."""

import json
from contextlib import contextmanager
from pathlib import Path

import safetensors
from mindspore import Tensor
from safetensors.numpy import save

from mindscience_diffuser.files import write_atomically
from mindscience_diffuser.runs.config.registry import WEIGHTS
from mindscience_diffuser.runs.errors import ConfigError
from mindscience_diffuser.step import replace_value

FACTS = "mindscience_diffuser"


def shipped_weights():
    """Returns the names of the weights that come with the package and its plug-ins."""
    return sorted(path.stem for folder in WEIGHTS for path in folder.glob("*.safetensors"))


def shipped_file(name, suffix):
    """Returns the path of one of the files of shipped weights."""
    return next(folder / f"{name}{suffix}" for folder in WEIGHTS if (folder / f"{name}.safetensors").is_file())


def own_weights(config):
    """Returns the path where the training of a run leaves its weights."""
    return Path(config.output) / "train" / "weights.safetensors"


def find_weights(weights, default):
    """Returns the path of a run's weights.

    Args:
        weights (str or None): A path, the name of shipped weights, or None for the run's own.
        default (Path): Where the run's own training leaves them.

    Raises:
        ConfigError: If there is no such file.
    """
    names = ", ".join(f"'{name}'" for name in shipped_weights())
    if weights is None:
        if default.is_file():
            return default
        raise ConfigError(
            f"'weights' is not set and '{default}' does not exist: train first, or set weights to a file or to "
            f"shipped weights ({names})",
            "weights",
        )
    if weights in shipped_weights():
        return shipped_file(weights, ".safetensors")
    if Path(weights).is_file():
        return Path(weights)
    raise ConfigError(f"weights '{weights}' are neither a file nor shipped weights ({names})", "weights")


def save_weights(path, arrays, **facts):
    """Writes weights atomically, with facts about them (anything that JSON holds) in the header of the file.

    The facts are one entry of the header: several would stand in it in another order every time.
    """
    write_atomically(path, save(arrays, {FACTS: json.dumps(facts)}))


def facts_of(path):
    """Returns the facts that :func:`save_weights` put into the header of a file.

    Raises:
        ConfigError: If the file is no safetensors file.
    """
    with _opened(path) as file:
        return _facts(file)


def load_weights(model, path):
    """Loads weights into `model`.

    Raises:
        ConfigError: If the file is no safetensors file, or its tensors are not those of the model.
    """
    with _opened(path) as file:
        arrays, facts = {name: file.get_tensor(name) for name in file.keys()}, _facts(file)  # noqa: SIM118
    parameters = {parameter.name: parameter for parameter in model.get_parameters()}
    misfit = _misfit(parameters, arrays)
    if misfit:
        made = f"; they were made for the model {facts['model']}" if "model" in facts else ""
        if "blocks.0.ln_attention.gamma" in arrays and "cond_embed.weight" in parameters:
            made += ". Weights of 'blocks.0' are those of a PositionalConditionTransformer: name that at 'model'"
        raise ConfigError(f"weights '{path}' do not fit the model: {misfit}{made}", "weights")
    for name, parameter in parameters.items():
        replace_value(parameter, Tensor(arrays[name].astype("float32")))


@contextmanager
def _opened(path):
    """Opens a safetensors file; a file that cannot be read as one is a ConfigError."""
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            yield file
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        raise ConfigError(f"weights '{path}' are no readable safetensors file: {error}", "weights") from None


def _facts(file):
    """Returns the facts in the header of an open safetensors file."""
    return json.loads((file.metadata() or {}).get(FACTS, "{}"))


def _misfit(parameters, arrays):
    missing = sorted(set(parameters) - set(arrays))
    if missing:
        return f"they lack '{missing[0]}'" + (f" and {len(missing) - 1} more" if missing[1:] else "")
    surplus = sorted(set(arrays) - set(parameters))
    if surplus:
        return f"the model has no '{surplus[0]}'"
    for name, parameter in parameters.items():
        if tuple(parameter.shape) != arrays[name].shape:
            return f"'{name}' has shape {arrays[name].shape}, but the model needs {tuple(parameter.shape)}"
    return None
