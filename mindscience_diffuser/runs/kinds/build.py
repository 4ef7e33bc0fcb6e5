"""Data, model, scheduler and sampler of a run, built from its configuration."""

import inspect
import re
from contextlib import contextmanager
from pathlib import Path

import mindspore as ms
import numpy as np
from mindspore import Tensor

from mindscience_diffuser.guidance import ClassifierFreeGuidance, DistilledGuidance
from mindscience_diffuser.models import GuidanceDiffusionTransformer
from mindscience_diffuser.runs.config.load import load_config
from mindscience_diffuser.runs.config.registry import lookup
from mindscience_diffuser.runs.errors import ConfigError, nearest
from mindscience_diffuser.runs.kinds.pixel_pyramid import PixelPyramidSampler
from mindscience_diffuser.runs.storage.weights import SHIPPED, find_weights, load_weights, shipped_weights
from mindscience_diffuser.sampling import Sampler
from mindscience_diffuser.schedulers.indexed import IndexedScheduler

GIVEN_TO_MODELS = ("in_channels", "out_channels", "cond_channels", "compute_dtype")


def build_data(config):
    """Returns the data set that `config` names."""
    return build("data", config.data)


def build_model(config, data, compute_dtype="float32"):
    """Returns the model that `config` names, sized for `data`; its first weights depend on the run's seed alone."""
    ms.set_seed(config.seed)
    return build(
        "model",
        config.model,
        in_channels=data.channels,
        out_channels=data.channels,
        cond_channels=data.classes,
        compute_dtype=getattr(ms, compute_dtype),
    )


def model_arguments(config):
    """Returns the model's arguments, its defaults included, without those that the run gives."""
    _, allowed = _checked("model", config.model, GIVEN_TO_MODELS)
    return {name: config.model.arguments.get(name, parameter.default) for name, parameter in allowed.items()}


def build_trained_model(config, data):
    """Returns the model for sampling with its trained weights, and the path of these."""
    path = find_weights(config.weights, Path(config.output) / "train" / "weights.safetensors")
    model = build_model(config, data, config.sampling.compute_dtype)
    load_weights(model, path)
    return model, path


def trained_config(name, key="weights"):
    """Returns the configuration of a trained model.

    Args:
        name (str): Name of shipped weights, or the path of the ``config.yaml`` that a training run wrote.
        key (str): The key that gives the name. Default: ``"weights"``.

    Raises:
        ConfigError: If there is no such file, or it is no configuration.
    """
    if name in shipped_weights():
        return load_config(SHIPPED / f"{name}.yaml")
    try:
        return load_config(name)
    except ConfigError as error:
        names = ", ".join(f"'{shipped}'" for shipped in shipped_weights())
        raise ConfigError(
            f"'{key}' must name shipped weights ({names}) or the config.yaml of a training, but with '{name}' {error}",
            key,
        ) from error


def build_sampler(config, data, scheduler, model, method):
    """Returns a Sampler of `model`, guided as the configuration says."""
    sampling = config.sampling
    guided = model
    if isinstance(model, GuidanceDiffusionTransformer):
        guided = DistilledGuidance(model, sampling.guidance_scale)
    elif sampling.guidance_scale != 1:
        guided = ClassifierFreeGuidance(
            model,
            sampling.guidance_scale,
            Tensor(np.zeros(data.classes, np.float32)),
            sampling.guidance_rescale,
            sampling.guidance_interval,
        )
    guided.set_train(False)
    if config.run == "pyramid_flow":
        return PixelPyramidSampler(guided, scheduler, sampling.num_inference_steps, method)
    scheduler.set_timesteps(sampling.num_inference_steps)
    return Sampler(guided, scheduler, method, **sampling.step)


def plan_of(config, scheduler):
    """Returns the plan of a whole trajectory, to which the scheduler's timesteps are set."""
    sampling = config.sampling
    if config.run == "pyramid_flow":
        return scheduler.plan_of_stages(sampling.num_inference_steps)
    scheduler.set_timesteps(sampling.num_inference_steps)
    return scheduler.plan_for(**sampling.step)


def build_scheduler(config, compute_dtype="float32"):
    """Returns the scheduler that `config` names."""
    return build("scheduler", config.scheduler, compute_dtype=getattr(ms, compute_dtype))


def check_sampling(config, scheduler):
    """Sets the scheduler's timesteps; raises ConfigError unless model, scheduler and sampling suit one another."""
    place = config.scheduler.place or "scheduler"
    _check_guidance(config)
    _check_step_options(config, scheduler)
    try:
        plan = plan_of(config, scheduler)
    except (TypeError, ValueError) as error:
        key = _key_of(error, "sampling.step", config.sampling.step)
        if key == "sampling.step":
            key = _key_of(error, "sampling", type(config.sampling).model_fields)
        raise ConfigError(
            f"{config.scheduler.name} at '{place}' refuses what is set under 'sampling': {error}", key
        ) from error
    if "variance" in plan.inputs:
        raise ConfigError(
            f"{config.scheduler.name} at '{place}' needs a model that predicts a variance, which {config.model.name} "
            "does not: use a fixed variance_type",
            f"{place}.variance_type",
        )


def check_measuring(config, data):
    """Raises ConfigError unless the samples that `config` asks for are enough for what is measured on them."""
    samples = min(config.sampling.per_class * data.classes, len(data.train.images))
    most = min(samples, len(data.held_out.images)) - 1
    if config.metrics.neighbours > most:
        raise ConfigError(
            f"'metrics.neighbours' must be in [1, {most}], but is {config.metrics.neighbours}: it must be below the "
            f"number of samples, {samples}, and of held-out images, {len(data.held_out.images)}; make it smaller, or "
            "'sampling.per_class' larger",
            "metrics.neighbours",
        )


def _check_guidance(config):
    sampling, interval = config.sampling, config.sampling.guidance_interval
    if config.run == "consistency_distillation":
        for name, unused in (("guidance_rescale", 0), ("guidance_interval", None)):
            if getattr(sampling, name) != unused:
                raise ConfigError(
                    f"'sampling.{name}' must not be set: the model was distilled with plain guidance",
                    f"sampling.{name}",
                )
    if interval is not None and not interval[0] < interval[1]:
        raise ConfigError(
            f"'sampling.guidance_interval' must be [low, high] with low below high, but is {interval}",
            "sampling.guidance_interval",
        )


def _check_step_options(config, scheduler):
    if isinstance(scheduler, IndexedScheduler):
        options = scheduler.step_options
    else:
        parameters = inspect.signature(scheduler.plan_for).parameters.values()
        options = [parameter.name for parameter in parameters if parameter.kind is not parameter.VAR_KEYWORD]
    for name in config.sampling.step:
        if name not in options:
            hint = nearest(name, options) if options else "its step has no options: remove the key"
            raise ConfigError(
                f"unknown key 'sampling.step.{name}' for {config.scheduler.name} at "
                f"'{config.scheduler.place or 'scheduler'}'; {hint}",
                f"sampling.step.{name}",
            )


def build(kind, component, **given):
    """Calls the registered class with the file's arguments and those that the run gives."""
    constructor, _ = _checked(kind, component, given)
    place = component.place or kind
    try:
        return constructor(**component.arguments, **given)
    except (TypeError, ValueError, OverflowError) as error:
        key = _key_of(error, place, component.arguments)
        raise ConfigError(f"{component.name} at '{place}': {error}", key) from error


def _key_of(error, place, names):
    """Returns the key below `place` of the first of `names` that a message has in quotes, else `place` itself."""
    named = [quoted for quoted in re.findall(r"'(\w+)'", str(error)) if quoted in names]
    return f"{place}.{named[0]}" if named else place


@contextmanager
def setting_up(config):
    """Turns what a trainer refuses into a ConfigError about the section ``training``."""
    try:
        yield
    except (TypeError, ValueError) as error:
        key = _key_of(error, "training", type(config.training).model_fields)
        raise ConfigError(f"the training cannot be set up with '{key}': {error}", key) from error


def _checked(kind, component, given):
    """Returns the registered class and the parameters that the file may set; ConfigError unless it does so."""
    constructor, place = lookup(kind, component.name), component.place or kind
    parameters = inspect.signature(constructor.__init__).parameters
    allowed = {name: p for name, p in parameters.items() if name != "self" and name not in given}
    for name in component.arguments:
        if name in given:
            raise ConfigError(f"'{place}.{name}' must not be set: the run gives it", f"{place}.{name}")
        if name not in allowed:
            raise ConfigError(f"unknown key '{place}.{name}'; {nearest(name, allowed)}", f"{place}.{name}")
    for name, parameter in allowed.items():
        if parameter.default is inspect.Parameter.empty and name not in component.arguments:
            raise ConfigError(f"the key '{place}.{name}' is missing; {component.name} needs it", place)
    return constructor, allowed
