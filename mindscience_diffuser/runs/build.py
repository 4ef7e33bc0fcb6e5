"""Data, model and scheduler of a run, built from its configuration."""

import inspect

import mindspore as ms

from mindscience_diffuser.runs.errors import ConfigError, nearest
from mindscience_diffuser.runs.registry import lookup


def build_data(config):
    """Returns the data set that `config` names."""
    return _build("data", config.data)


def build_model(config, data, compute_dtype="float32"):
    """Returns the model that `config` names, sized for `data`; its first weights depend on the run's seed alone."""
    ms.set_seed(config.seed)
    return _build(
        "model",
        config.model,
        in_channels=data.channels,
        out_channels=data.channels,
        cond_channels=data.classes,
        compute_dtype=getattr(ms, compute_dtype),
    )


def build_scheduler(config, compute_dtype="float32"):
    """Returns the scheduler that `config` names."""
    return _build("scheduler", config.scheduler, compute_dtype=getattr(ms, compute_dtype))


def check_step_options(config, scheduler):
    """Raises ConfigError unless the scheduler's plan takes every option in `sampling.step`."""
    options = list(inspect.signature(scheduler.plan_for).parameters)
    for name in config.sampling.step:
        if name not in options:
            hint = nearest(name, options) if options else f"a step of {config.scheduler.name} has no options"
            raise ConfigError(f"unknown key 'sampling.step.{name}'; {hint}")


def _build(kind, component, **given):
    """Calls the registered class with the file's arguments and those that the run gives."""
    constructor = lookup(kind, component.name)
    parameters = inspect.signature(constructor.__init__).parameters
    allowed = [name for name in parameters if name != "self" and name not in given]
    for name in component.arguments:
        if name not in allowed:
            raise ConfigError(f"unknown key '{kind}.{name}'; {nearest(name, allowed)}")
    for name in allowed:
        if parameters[name].default is inspect.Parameter.empty and name not in component.arguments:
            raise ConfigError(f"the key '{kind}.{name}' is missing; {component.name} needs it")
    try:
        return constructor(**component.arguments, **given)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{component.name} at '{kind}': {error}") from error
