"""Runs of the kind ``world_model``: a denoiser of the next frame, trained on films and rolled out.

The data are films: an object with ``train``, a pair of frames (N, T, side, side), float32, and of the action (N, T) at
each frame, int32; ``test(films, frames)``, which gives such a pair that no training has seen; ``measures``, functions
of drawn and true frames (N, T, side, side) that return one number for each frame, (N, T), by what they are called; and
``model_arguments``.
"""

import json
from pathlib import Path

import mindspore as ms

from mindscience_diffuser.files import write_atomically
from mindscience_diffuser.runs.config.components import build
from mindscience_diffuser.runs.config.identity import changed_key
from mindscience_diffuser.runs.config.load import to_yaml, with_values
from mindscience_diffuser.runs.data.frame_batches import FrameBatches, context_of
from mindscience_diffuser.runs.distributed.ranks import launched
from mindscience_diffuser.runs.errors import ConfigError
from mindscience_diffuser.runs.kinds.films.rollout import called, preconditioning_of, sampler_configs, show_rollouts
from mindscience_diffuser.runs.kinds.objective import Objective
from mindscience_diffuser.runs.storage.weights import facts_of, find_weights, load_weights, own_weights
from mindscience_diffuser.training import EDMTrainer


class WorldModel:
    """The kind of run: it is trained like the others, and its samples are rolled out frame by frame."""

    def objective(self, config):
        """Returns the :class:`~mindscience_diffuser.runs.kinds.objective.Objective`; raises ConfigError."""
        sampler_configs(config.rollout)
        data = build("films", config.data)
        model, network, batches = set_up(config, data)
        trainer = EDMTrainer(network, preconditioning_of(config)[0])

        def present(config, directory):
            trained, _ = build_trained_world_model(config, data)
            return show_rollouts(config, directory, data, trained)

        return Objective(model, trainer.get_loss, batches, present)


def set_up(config, data):
    """Returns the network, as it is and as it is called, and the training batches; raises ConfigError."""
    training = config.training
    if training.sigma_min >= training.sigma_max:
        raise ConfigError(
            f"'training.sigma_min' must be below 'training.sigma_max', but is {training.sigma_min} and "
            f"sigma_max is {training.sigma_max}",
            "training.sigma_min",
        )
    model = build_world_model(config, data)
    context = context_of(model, data)
    if context >= data.train_frames:
        raise ConfigError(
            f"the films of {config.data.name} at 'data' have {data.train_frames} training frames, and the context is "
            f"{context}: there is no frame left to predict. Give longer films or a smaller context",
            "data",
        )
    preconditioning, residual = preconditioning_of(config)
    batches = FrameBatches(data, context, preconditioning, training, residual, config.seed)
    return model, called(config, data, model), batches


def sample(config):
    """Rolls the trained model out and writes the result below ``<output>/sample``.

    Written are the files of :func:`~mindscience_diffuser.runs.kinds.films.rollout.show_rollouts`, ``config.yaml`` (the
    configuration with all defaults) and ``metrics.json``, each whole or not at all.

    Returns:
        Path of the directory.

    Raises:
        ConfigError: If the configuration cannot be carried out; nothing is compiled or written then.
    """
    if launched():
        raise ConfigError("'sample' of a world_model run runs in one process: start it without msrun")
    sampler_configs(config.rollout)
    preconditioning_of(config)
    data = build("films", config.data)
    model, weights = build_trained_world_model(config, data)
    directory = Path(config.output) / "sample"
    directory.mkdir(parents=True, exist_ok=True)
    figures = show_rollouts(config, directory, data, model)
    write_atomically(directory / "config.yaml", to_yaml(with_values(config, weights=str(weights))))
    write_atomically(directory / "metrics.json", json.dumps(figures, indent=2) + "\n")
    return directory


def build_world_model(config, data, compute_dtype="float32"):
    """Returns the network that `config` names, sized for `data`; its first weights depend on the run's seed alone."""
    ms.set_seed(config.seed)
    return build(
        "model",
        config.model,
        **data.model_arguments,
        sigma_data=config.preconditioning.sigma_data,
        compute_dtype=getattr(ms, compute_dtype),
    )


def build_trained_world_model(config, data, compute_dtype=None):
    """Returns the network for rollouts with its trained weights, and the path of these.

    Its dtype is that of the section ``rollout`` where none is given.
    """
    compute_dtype = compute_dtype or config.rollout.compute_dtype
    path = find_weights(config.weights, own_weights(config))
    model = build_world_model(config, data, compute_dtype)
    load_trained(model, config, data, str(path))
    return model.set_train(False), path


def facts_now(config, data):
    """Returns by key what weights depend on beside the network: they hold for the same values alone."""
    section = config.preconditioning.model_dump()
    facts = {**{f"preconditioning.{key}": value for key, value in section.items()}, **getattr(data, "facts", {})}
    return json.loads(json.dumps(facts))


def load_trained(model, config, data, name, objective="denoiser"):
    """Loads weights into a network; ConfigError where they are of another network, objective, data or preconditioning.

    Args:
        model (nn.Cell): The network.
        config (Run): The configuration.
        data: The films.
        name (str): File of the weights, or shipped ones.
        objective (str): The ``training.objective`` that they must be of. Default: ``"denoiser"``.
    """
    path = find_weights(name, Path(name))
    facts = facts_of(path)
    noted = {**facts.get("decided_by", {}), **facts}
    found = noted.get("training.objective", "denoiser")
    if found != objective:
        raise ConfigError(
            f"weights '{name}' are those of a training with 'training.objective' {found}: give the weights of one with "
            f"'training.objective' {objective}",
            "weights",
        )
    load_weights(model, path)
    # Weights of a training that noted less say nothing of the rest.
    now = {key: value for key, value in facts_now(config, data).items() if noted.get(key) is not None}
    changed = changed_key({key: noted[key] for key in now}, now)
    if changed:
        raise ConfigError(
            f"weights '{name}' do not fit the configuration: for their training {changed}. Give the same 'data' and "
            "'preconditioning' as there",
            "weights",
        )
