"""Runs that train on random patches of their samples, and call the model with overlapping patches when they sample."""

import numpy as np

from mindscience_diffuser.guidance.patches import PatchedModel, check_domain, checked_overlap, checked_patch
from mindscience_diffuser.runs.config.load import with_values
from mindscience_diffuser.runs.distributed.ranks import rank_count
from mindscience_diffuser.runs.errors import ConfigError
from mindscience_diffuser.training.patches import random_patches

KEYS = {"'patch'": "patches.size", "'overlap'": "patches.overlap"}
"""The key of each argument that a message names."""


def patches_of(config):
    """Returns the section ``patches`` of a configuration, or None."""
    return getattr(config, "patches", None)


def on_patches(config, data, model, samples, conditions):
    """Returns samples and conditions as the model is given them: patches of them where the run has patches.

    Raises:
        ConfigError: If the patches do not suit the data, the model or the rest of the configuration.
    """
    patches = patches_of(config)
    if patches is None:
        return samples, conditions
    check_patches(config, data, model)
    generator = np.random.default_rng(config.seed)
    samples, *conditions = random_patches(
        tuple(patches.size), generator, samples, *conditions, with_positions=patches.positions
    )
    return samples, conditions


def check_patches(config, data, model):
    """Raises ConfigError if the patches do not suit the data, the model or the rest of the configuration."""
    patches = patches_of(config)
    try:
        size = checked_patch(tuple(patches.size), model)
        check_domain(data.sample_shape[1:], size)
        checked_overlap(patches.overlap, size)
    except ValueError as error:
        argument = str(error).split(" ")[0]
        key = KEYS[argument]
        raise ConfigError(str(error).replace(argument, f"'{key}'", 1), key) from None
    if getattr(config.training, "loss_weights", None) is not None:
        raise ConfigError(
            "'training.loss_weights' must not be set together with 'patches': they are those of whole samples, and the "
            "loss sees patches",
            "training.loss_weights",
        )


def over_ranks(config):
    """Returns whether the ranks of this launch share the patches of each sample."""
    patches = patches_of(config)
    return patches is not None and patches.over_ranks and rank_count() > 1


def alone(config):
    """Returns the configuration for one rank that draws by itself."""
    if not over_ranks(config):
        return config
    return with_values(config, patches=config.patches.model_copy(update={"over_ranks": False}))


def whole(config, model):
    """Returns a model of patches as one of whole samples; a run without patches has that already."""
    patches = patches_of(config)
    if patches is None:
        return model
    return PatchedModel(
        model,
        tuple(patches.size),
        patches.overlap,
        patches.chunk,
        patches.positions,
        over_ranks(config),
        patches.differentiable,
    )
