"""The ``sweep`` command: how samples change with the number of steps, for one or several trained models."""

import json
from pathlib import Path

from mindscience_diffuser.files import write_atomically
from mindscience_diffuser.runs.config.load import to_yaml, with_sampling, with_values
from mindscience_diffuser.runs.config.origins import located
from mindscience_diffuser.runs.config.registry import REGISTRY
from mindscience_diffuser.runs.config.schema import SampledRun
from mindscience_diffuser.runs.data.dataset import build_data
from mindscience_diffuser.runs.errors import ConfigError
from mindscience_diffuser.runs.evaluation.measuring import Measuring
from mindscience_diffuser.runs.kinds.draw import draw
from mindscience_diffuser.runs.kinds.kind import kind_of
from mindscience_diffuser.runs.kinds.models import build_scheduler, build_trained_model, trained_config
from mindscience_diffuser.runs.pictures.curves import save_step_curves
from mindscience_diffuser.runs.storage.weights import shipped_weights


def sweep(config):
    """Draws samples with each number of steps in ``sweep.num_inference_steps`` and measures them.

    The models at ``sweep.beside`` have their own schedulers; seed, number of samples, guidance scale and measurement
    are those of this run. Written below ``<output>/sweep`` are ``curves.png``, ``metrics.json`` and ``config.yaml``,
    each whole or not at all.

    Returns:
        Path of the directory.

    Raises:
        ConfigError: If the configuration cannot be carried out; nothing is compiled or written then.
    """
    if config.sampling.exported is not None:
        raise ConfigError(
            "'sampling.exported' must not be set: an exported file has one number of steps", "sampling.exported"
        )
    runs = [config, *(_beside(config, i) for i in range(len(config.sweep.beside)))]
    drawings = [_Drawing(run, config.sweep.num_inference_steps) for run in runs]
    directory = Path(config.output) / "sweep"
    directory.mkdir(parents=True, exist_ok=True)
    curves = {drawing.name: drawing.figures() for drawing in drawings}
    write_atomically(directory / "config.yaml", to_yaml(drawings[0].config))
    shown = {name: [drawings[0].headline(point) for point in points] for name, points in curves.items()}
    save_step_curves(directory / "curves.png", shown)
    write_atomically(directory / "metrics.json", json.dumps(curves, indent=2) + "\n")
    return directory


class _Drawing:
    """A trained model that is sampled with several numbers of steps; all of it is checked when it is built."""

    def __init__(self, config, steps):
        self.at_steps = [with_sampling(config, num_inference_steps=count) for count in steps]
        with located(config):
            self.data, self.kind = build_data(config), kind_of(config)
            self.scheduler = build_scheduler(config, config.sampling.compute_dtype)
            for stepped in self.at_steps:
                self.kind.check_sampling(stepped, self.scheduler)
            Measuring(config, self.data)
            self.model, weights = build_trained_model(config, self.data)
        self.config = with_values(config, weights=config.weights or str(weights))
        trained = config.weights if config.weights in shipped_weights() else Path(config.output).name
        self.name = f"{trained}, {config.scheduler.name}"

    def figures(self):
        """Returns the figures of the samples, one dict for each number of steps."""
        measured = []
        for config in self.at_steps:
            arrays = draw(config, self.data, self.kind, self.scheduler, self.model)
            figures = {"num_inference_steps": config.sampling.num_inference_steps}
            flops = self.kind.flops(config, self.data, self.scheduler, self.model)
            if flops is not None:
                figures["model_flops_per_sample"] = flops
            measured.append({**figures, **Measuring(config, self.data).of(arrays)})
        return measured

    def headline(self, figures):
        """Returns the number of steps and those of the figures that are drawn."""
        steps = {"num_inference_steps": figures["num_inference_steps"]}
        return {**steps, **Measuring(self.config, self.data).headline(figures)}


def _beside(config, number):
    """Returns the configuration of another trained model, sampled as this run is, with its own scheduler."""
    name, place = config.sweep.beside[number], f"sweep.beside[{number}]"
    other = trained_config(name, place)
    if not isinstance(other, SampledRun):
        raise ConfigError(
            f"'{place}' must be a model of the kind {' or '.join(map(repr, REGISTRY['sweep']))}, but '{name}' is "
            f"'{other.run}'",
            place,
        )
    shared = {name: getattr(config.sampling, name) for name in ("samples", "per_class", "guidance_scale", "batch_size")}
    return with_values(with_sampling(other, **shared), seed=config.seed, metrics=config.metrics)
