"""The ``export`` command writes the trajectory of a trained model as a file; ``sample`` reads it back here."""

import json
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from mindspore import Tensor

from mindscience_diffuser.export import export_mindir, load_mindir, read_graph, read_note, write_note
from mindscience_diffuser.files import write_atomically
from mindscience_diffuser.runs.config.load import to_yaml, with_sampling, with_values
from mindscience_diffuser.runs.data.dataset import build_data
from mindscience_diffuser.runs.data.model_file import ModelFile
from mindscience_diffuser.runs.errors import ConfigError
from mindscience_diffuser.runs.kinds.kind import kind_of
from mindscience_diffuser.runs.kinds.models import build_scheduler, build_trained_model, model_arguments

RUN_KEY = "mindscience_diffuser.run"
GUIDANCE_AND_DTYPE = ("guidance_scale", "guidance_rescale", "guidance_interval", "compute_dtype")


def export(config):
    """Writes model, guidance and scheduler as one graph below ``<output>/export``.

    Written are ``sampler.mindir`` (takes any batch size) and ``config.yaml`` (the configuration with all defaults and
    this file as ``sampling.exported``, ready for ``sample``), each whole or not at all.

    Returns:
        Path of the directory.

    Raises:
        ConfigError: If the configuration cannot be carried out, or the file exists and ``export.overwrite`` is not
            set; nothing is compiled or written then.
    """
    directory = Path(config.output) / "export"
    file = directory / "sampler.mindir"
    if file.exists() and not config.export.overwrite:
        raise ConfigError(f"'{file}' exists: set export.overwrite to true to replace it, or change 'output'", "output")
    data, kind = build_data(config), kind_of(config)
    scheduler = build_scheduler(config, config.sampling.compute_dtype)
    kind.check_sampling(config, scheduler)
    model, weights = build_trained_model(config, data)
    sampler = kind.sampler(config, data, scheduler, model, "loop")
    inputs = [Tensor(np.zeros(*input)) for input in inputs_of(config, data, kind, scheduler, batch=2)]
    directory.mkdir(parents=True, exist_ok=True)

    def write(temporary):
        export_mindir(sampler, temporary, *inputs, overwrite=True)
        graph = read_graph(temporary)
        write_note(graph, RUN_KEY, json.dumps(frozen_values(config, data)))
        temporary.write_bytes(graph.SerializeToString())

    write_atomically(file, write)
    resolved = with_values(with_sampling(config, exported=str(file)), weights=config.weights or str(weights))
    write_atomically(directory / "config.yaml", to_yaml(resolved))
    return directory


def exported_file(path):
    """Returns the :class:`~mindscience_diffuser.runs.data.model_file.ModelFile` of a file of the ``export`` command.

    Raises:
        ConfigError: If there is no such file, or it is no MINDIR file.
    """
    with _used():
        noted = json.loads(read_note(read_graph(path), RUN_KEY) or "{}")
    return ModelFile("sampling.exported", path, noted.get("normalisation"))


def load_exported(config, data, kind, scheduler):
    """Reloads the file at ``sampling.exported``.

    Args:
        config (SampledRun): The configuration.
        data (DataSet): Gives the shapes of the inputs.
        kind (Kind): That of the run.
        scheduler (Scheduler): With the timesteps of the configuration.

    Returns:
        :class:`~mindscience_diffuser.export.ExportedGraph`.

    Raises:
        ConfigError: If there is no such file, it is none of ours, or it holds another plan, other shapes, another
            model or another guidance than the configuration asks for.
    """
    path = config.sampling.exported
    with _used():
        graph = load_mindir(path, plan=kind.plan(config, scheduler))
    proto = read_graph(path)
    found = [tuple(tensor.dims) for value in proto.graph.input for tensor in value.tensor]
    size = min(config.sampling.batch_size, data.sample_count(config.sampling))
    asked = [shape for shape, _ in inputs_of(config, data, kind, scheduler, size)]
    if len(found) != len(asked) or not all(_fits(shape, other) for shape, other in zip(asked, found)):
        raise ConfigError(
            f"'sampling.exported' cannot be used: '{path}' takes inputs of the shapes {_listed(found)}, but this "
            f"configuration gives {_listed(asked)}",
            "sampling.exported",
        )
    noted = json.loads(read_note(proto, RUN_KEY) or "{}")
    for key, value in frozen_values(config, data).items():
        if noted.get(key, value) != value:
            raise ConfigError(
                f"'sampling.exported' cannot be used: '{key}' is {value!r}, but '{path}' was exported with "
                f"{noted[key]!r}",
                key,
            )
    return graph


def inputs_of(config, data, kind, scheduler, batch):
    """Returns shape and dtype of each input of an exported trajectory: noise, further noise if any, conditions."""
    plan = kind.plan(config, scheduler)
    further = kind.further_noise(config, data, scheduler, plan, batch)
    conditions = zip(data.condition_shapes, data.condition_dtypes)
    return [
        ((batch, *data.sample_shape), "float32"),
        *((shape, dtype) for shape, dtype, _ in further),
        *(((batch, *shape), dtype) for shape, dtype in conditions),
    ]


def frozen_values(config, data):
    """Returns what an exported file holds and plan and shapes do not tell, by dotted key, as JSON gives it back."""
    values = {"model.name": config.model.name}
    values.update({f"model.{name}": value for name, value in model_arguments(config, data).items()})
    values.update({f"sampling.{name}": getattr(config.sampling, name) for name in GUIDANCE_AND_DTYPE})
    values.update(kind_of(config).exported_values(config))
    values["normalisation"] = data.facts.get("normalisation", {})
    return json.loads(json.dumps(values))


@contextmanager
def _used():
    """Turns what is refused about an exported file into a ConfigError."""
    try:
        yield
    except (FileNotFoundError, ValueError) as error:
        raise ConfigError(f"'sampling.exported' cannot be used: {error}", "sampling.exported") from None


def _fits(shape, found):
    return len(shape) == len(found) and all(other in (-1, size) for size, other in zip(shape, found))


def _listed(shapes):
    """Writes shapes, an open batch as B."""
    return ", ".join("(" + ", ".join("B" if size < 0 else str(size) for size in shape) + ")" for shape in shapes)
