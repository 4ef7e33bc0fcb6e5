"""Models and schedulers of a run, built from its configuration; any Cell ``model(x, t, *conditions)`` will do."""

import inspect
from contextlib import contextmanager
from pathlib import Path

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops
from mindspore import dtype as mstype

from mindscience_diffuser.runs.config.components import build, checked, find_class, key_of, parameters_of
from mindscience_diffuser.runs.config.load import load_config
from mindscience_diffuser.runs.errors import ConfigError
from mindscience_diffuser.runs.storage.weights import (
    find_weights,
    load_weights,
    own_weights,
    shipped_file,
    shipped_weights,
)

TRIED = 2
"""Samples that a model is tried on before a run begins."""


def build_model(config, data, compute_dtype="float32"):
    """Returns the model that `config` names, sized for `data`; its first weights depend on the run's seed alone."""
    ms.set_seed(config.seed)
    return build("model", config.model, **given_arguments(config, data), compute_dtype=getattr(ms, compute_dtype))


def given_arguments(config, data):
    """Returns the arguments that the run gives: those of the data, and channels that the model needs and none names."""
    parameters = parameters_of(find_class("model", config.model))
    needed = [
        name
        for name in ("in_channels", "out_channels")
        if name in parameters
        and parameters[name].default is inspect.Parameter.empty
        and name not in config.model.arguments
    ]
    # A model of grids has its channels first, also where the grid has a single axis.
    channels = data.sample_shape[0] if "axes" in parameters else data.channels
    return {**dict.fromkeys(needed, channels), **data.model_arguments}


def model_arguments(config, data):
    """Returns the model's arguments, its defaults included, without those that the run gives."""
    by_run = {*given_arguments(config, data), "compute_dtype"}
    _, parameters = checked("model", config.model, by_run)
    given = config.model.arguments
    return {**given, **{n: given.get(n, p.default) for n, p in parameters.items() if n not in by_run}}


def build_scheduler(config, compute_dtype="float32"):
    """Returns the scheduler that `config` names."""
    given = given_to_scheduler(config)
    return build("scheduler", config.scheduler, **given, compute_dtype=getattr(ms, compute_dtype))


def given_to_scheduler(config):
    """Returns the arguments of a scheduler that the run gives beside the dtype: what its law of noise says."""
    # Laws of noise of one's own need say nothing of their variance.
    return {} if config.noise is None else {"noise_variance": getattr(build("noise", config.noise), "variance", 1.0)}


def check_batch_size(config, data):
    """Raises ConfigError unless there are as many training samples as a batch has, and as are tried."""
    size = config.training.batch_size
    if max(size, TRIED) > len(data):
        raise ConfigError(
            f"'training.batch_size' is {size}, but there are {len(data)} training samples: make it smaller, and give "
            f"at least {TRIED} samples",
            "training.batch_size",
        )


def first_sentence(error):
    """Returns the first line of an error that has a word in it: those of MindSpore may begin with a rule of dashes."""
    return next((line.strip() for line in str(error).splitlines() if any(map(str.isalpha, line))), str(error))


def build_trained_model(config, data):
    """Returns the model for sampling with its trained weights, and the path of these."""
    path = find_weights(config.weights, own_weights(config))
    model = build_model(config, data, config.sampling.compute_dtype)
    load_weights(model, path)
    return model.set_train(False), path


def trained_config(name, key="weights"):
    """Returns the configuration of a trained model.

    Args:
        name (str): Name of shipped weights, or the path of the ``config.yaml`` that a training run wrote.
        key (str): The key that gives the name. Default: ``"weights"``.

    Raises:
        ConfigError: If there is no such file, or it is no configuration.
    """
    if name in shipped_weights():
        return load_config(shipped_file(name, ".yaml"))
    try:
        return load_config(name)
    except ConfigError as error:
        names = ", ".join(f"'{shipped}'" for shipped in shipped_weights())
        raise ConfigError(
            f"'{key}' must name shipped weights ({names}) or the config.yaml of a training, but with '{name}' {error}",
            key,
        ) from error


def training_of(config):
    """Returns the configuration that the weights of a run were trained with, None where it does not lie beside them."""
    if config.weights in shipped_weights():
        return trained_config(config.weights)
    weights = own_weights(config) if config.weights is None else Path(config.weights)
    beside = weights.with_name("config.yaml")
    return trained_config(str(beside)) if beside.is_file() else None


def predicting(config, model, samples, levels, conditions):
    """Tries a model on the beginning of a batch and returns the Cell that the run calls.

    That is the model itself, or a :class:`Prediction` where it returns a tuple, takes ``return_dict``, as those of
    mindone and diffusers do, or computes in float32 alone.

    Args:
        config (SampledRun): Names the model.
        model (nn.Cell): The model.
        samples (numpy.ndarray): Samples ``(B, ...)``.
        levels (numpy.ndarray): What it is told, ``(B,)``.
        conditions (Sequence[numpy.ndarray]): Its conditions, ``(B, ...)`` each.

    Raises:
        ConfigError: If the model does not take the conditions, fails, or its output does not fit the samples.
    """
    name, place = config.model.name, config.model.place
    _check_call(model, conditions, name, place)
    single = "compute_dtype" not in parameters_of(find_class("model", config.model))
    keywords = {"return_dict": False} if "return_dict" in inspect.signature(model.construct).parameters else {}
    if single:
        samples = samples.astype(np.float32)
    inputs = [Tensor(np.ascontiguousarray(values[:TRIED])) for values in (samples, levels, *conditions)]
    given = ", ".join(f"{tuple(value.shape)} {str(value.dtype).lower()}" for value in inputs)
    random_state = ms.get_rng_state()
    names = [(parameter, parameter.name) for parameter in model.get_parameters()]
    try:
        output = model(*inputs, **keywords)
    except Exception as error:
        raise ConfigError(
            f"{name} at '{place}' fails on samples, timesteps and conditions {given}: "
            f"{type(error).__name__}: {first_sentence(error)}",
            place,
        ) from error
    finally:
        ms.set_rng_state(random_state)
        # A model that takes a part of a CellList in its call gives the weights in it other names.
        for parameter, known in names:
            parameter.name = known
    # Objects of other classes do not compile, and a NamedTuple lets no gradient through in a graph.
    joined = type(output) in (tuple, list) and len(output) > 0
    found = output[0] if joined else output
    if not isinstance(found, Tensor):
        raise ConfigError(
            f"{name} at '{place}' must return a Tensor or a plain tuple that begins with one, but returns "
            f"{type(output).__name__}: give its 'construct' a parameter 'return_dict' with which it does",
            place,
        )
    if found.shape != inputs[0].shape:
        raise ConfigError(
            f"{name} at '{place}' returns the shape {tuple(found.shape)} for samples of {tuple(inputs[0].shape)}: its "
            "prediction must have the shape of the samples",
            place,
        )
    plain = not (joined or keywords or single)
    return model if plain else Prediction(model, joined, keywords, single)


class Prediction(nn.Cell):
    """A model of any kind as one that returns its prediction alone, in the dtype of the sample.

    Args:
        model (nn.Cell): The model.
        joined (bool): Whether it returns a tuple, whose first entry is the prediction.
        keywords (dict): Keyword arguments of each call.
        single (bool): Whether it computes in float32 alone.
    """

    def __init__(self, model, joined, keywords, single):
        super().__init__(auto_prefix=False)
        self.model, self.joined, self.keywords, self.single = model, joined, keywords, single

    def construct(self, x, timestep, *conditions):
        """Returns the prediction, of the shape and dtype of x."""
        dtype = x.dtype
        if self.single:
            x = ops.cast(x, mstype.float32)
        output = self.model(x, timestep, *conditions, **self.keywords)
        if self.joined:
            output = output[0]
        return ops.cast(output, dtype)


@contextmanager
def setting_up(config):
    """Turns what a trainer refuses into a ConfigError about the section ``training``."""
    try:
        yield
    except (TypeError, ValueError) as error:
        key = key_of(error, "training", type(config.training).model_fields)
        raise ConfigError(f"the training cannot be set up with '{key}': {error}", key) from error


def _check_call(model, conditions, name, place):
    """Raises ConfigError unless the model can be called with so many conditions."""
    parameters = list(inspect.signature(model.construct).parameters.values())
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    needed = [p.name for p in positional if p.default is p.empty]
    if len(needed) - 2 <= len(conditions) <= len(positional) - 2:
        return
    takes = ", ".join(p.name for p in positional)
    raise ConfigError(
        f"{name} at '{place}' is called as model(x, timestep, *conditions), but takes ({takes}) and the data give "
        f"{len(conditions)} condition{'' if len(conditions) == 1 else 's'}: make the model or 'data' fit the other",
        place,
    )
