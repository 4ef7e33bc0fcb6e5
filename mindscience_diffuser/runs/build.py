"""Data, model, scheduler and sampler of a run, built from its configuration."""

import inspect
from pathlib import Path

import mindspore as ms
import numpy as np
from mindspore import Tensor

from mindscience_diffuser.models import GuidanceDiffusionTransformer
from mindscience_diffuser.runs.config import load_config
from mindscience_diffuser.runs.errors import ConfigError, nearest
from mindscience_diffuser.runs.pixel_pyramid import PixelPyramidSampler
from mindscience_diffuser.runs.registry import lookup
from mindscience_diffuser.runs.weights import SHIPPED, find_weights, load_weights, shipped_weights
from mindscience_diffuser.sampling import ClassifierFreeGuidance, DistilledGuidance, Sampler
from mindscience_diffuser.schedulers import DiffusionScheduler, PyramidFlowMatchEulerDiscreteScheduler
from mindscience_diffuser.schedulers.consistency import ConsistencyScheduler
from mindscience_diffuser.schedulers.flow_match import FlowMatchScheduler
from mindscience_diffuser.schedulers.indexed import IndexedScheduler
from mindscience_diffuser.schedulers.solver import SolverScheduler

KINDS = {
    "diffusion": ((DiffusionScheduler, SolverScheduler), "ConditionDiffusionTransformer"),
    "flow_matching": ((FlowMatchScheduler,), "ConditionDiffusionTransformer"),
    "consistency_distillation": ((ConsistencyScheduler,), "GuidanceDiffusionTransformer"),
    "pyramid_flow": ((PyramidFlowMatchEulerDiscreteScheduler,), "PatchDiffusionTransformer"),
}
"""What a kind of run needs: base classes of its scheduler, and the model."""

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


def trained_config(name):
    """Returns the configuration of a trained model.

    Args:
        name (str): Name of shipped weights, or the path of the ``config.yaml`` that a training run wrote.

    Raises:
        ConfigError: If there is no such file, or it is no configuration.
    """
    return load_config(SHIPPED / f"{name}.yaml" if name in shipped_weights() else name)


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
    _check_kind(config, scheduler)
    _check_step_options(config, scheduler)
    try:
        plan = plan_of(config, scheduler)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{config.scheduler.name} refuses what is set under 'sampling': {error}") from error
    if "variance" in plan.inputs:
        raise ConfigError(
            f"{config.scheduler.name} at 'scheduler' needs a model that predicts a variance, which {config.model.name} "
            "does not: use a fixed variance_type"
        )
    interval = config.sampling.guidance_interval
    if interval is not None and not interval[0] < interval[1]:
        raise ConfigError(f"'sampling.guidance_interval' must be [low, high] with low below high, but is {interval}")


def _check_kind(config, scheduler):
    process, model = KINDS[config.run]
    if not isinstance(scheduler, process):
        raise ConfigError(
            f"a run of the kind '{config.run}' needs a {' or '.join(p.__name__ for p in process)} at 'scheduler', but "
            f"{config.scheduler.name} is none"
        )
    if config.model.name != model:
        raise ConfigError(
            f"a run of the kind '{config.run}' needs a {model} at 'model', but {config.model.name} is another"
        )
    sampling = config.sampling
    if config.run == "consistency_distillation" and (
        sampling.guidance_rescale or sampling.guidance_interval is not None
    ):
        raise ConfigError(
            "'sampling.guidance_rescale' and 'sampling.guidance_interval' must not be set: the model was distilled "
            "with plain guidance"
        )


def _check_step_options(config, scheduler):
    indexed = isinstance(scheduler, IndexedScheduler)
    options = scheduler.step_options if indexed else list(inspect.signature(scheduler.plan_for).parameters)
    for name in config.sampling.step:
        if name not in options:
            hint = nearest(name, options) if options else f"a step of {config.scheduler.name} has no options"
            raise ConfigError(f"unknown key 'sampling.step.{name}'; {hint}")


def build(kind, component, **given):
    """Calls the registered class with the file's arguments and those that the run gives."""
    constructor, _ = _checked(kind, component, given)
    try:
        return constructor(**component.arguments, **given)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{component.name} at '{kind}': {error}") from error


def _checked(kind, component, given):
    """Returns the registered class and the parameters that the file may set; ConfigError unless it does so."""
    constructor = lookup(kind, component.name)
    parameters = inspect.signature(constructor.__init__).parameters
    allowed = {name: p for name, p in parameters.items() if name != "self" and name not in given}
    for name in component.arguments:
        if name not in allowed:
            raise ConfigError(f"unknown key '{kind}.{name}'; {nearest(name, allowed)}")
    for name, parameter in allowed.items():
        if parameter.default is inspect.Parameter.empty and name not in component.arguments:
            raise ConfigError(f"the key '{kind}.{name}' is missing; {component.name} needs it")
    return constructor, allowed
