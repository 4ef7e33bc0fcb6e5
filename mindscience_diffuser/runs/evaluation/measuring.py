"""The figures of merit of a run: components, each called with what was drawn and with held-out data.

A figure of merit is a class whose object is called as ``metric(drawn, held_out)``. Both are what is written of samples,
arrays ``(N, ...)`` by name: ``samples`` and, where there are conditions, ``condition_0`` and so on. It returns a dict
of named figures: numbers, or dicts whose ``"samples"`` is the number of the samples beside those of real data. They are
written as JSON: arrays and Tensors become lists and numbers. The class may offer more:

``prepare(data, count)``
    Called before anything is drawn, with the data set and the number of samples; ValueError if it asks too much.
``update(arrays)`` and ``merge_ranks()``
    For figures over all samples of a run, which come piece by piece and on any number of ranks. Otherwise the first
    samples are measured.
``headline``
    Names of the figures that ``compare`` and ``sweep`` show; otherwise those that are numbers.
"""

import numpy as np

from mindscience_diffuser.runs.config.components import build, key_of
from mindscience_diffuser.runs.config.schema import Component
from mindscience_diffuser.runs.errors import ConfigError

MOST_MEASURED = 10_000
"""Samples that are held in memory to be measured."""
DEFAULT = "Moments"


class Measuring:
    """The figures of merit of one set of samples.

    Args:
        config (SampledRun): Names the figures of merit, or the arguments of those that belong to the data.
        data (DataSet): The real data.

    Raises:
        ConfigError: If a figure of merit cannot be built, or cannot be had of so many samples.
    """

    def __init__(self, config, data):
        self.data = data
        self.components = config.metrics
        if isinstance(config.metrics, dict):
            named = getattr(data.train, "metrics", None)
            own = Component(name=named if isinstance(named, str) else DEFAULT, **config.metrics)
            own.place_at("metrics")
            self.components = [own]
        self.metrics = [build("metrics", component) for component in self.components]
        for metric, component in zip(self.metrics, self.components):
            if not hasattr(metric, "prepare"):
                continue
            try:
                metric.prepare(data, data.sample_count(config.sampling))
            except ValueError as error:
                key = key_of(error, component.place, component.arguments)
                raise ConfigError(f"{component.name} at '{component.place}': {error}", key) from error

    @property
    def most(self):
        """Samples to measure of those that are not measured piece by piece: sets of one size can be compared."""
        return min(len(self.data), MOST_MEASURED)

    def update(self, arrays):
        """Takes in the next samples of a run, see the module."""
        for metric in self._streaming():
            metric.update(arrays)

    def merge_ranks(self):
        """Takes in what all ranks have measured; every rank must call it."""
        for metric in self._streaming():
            metric.merge_ranks()

    def figures(self, first):
        """Returns the figures, by name, of all samples taken in; `first` are the first of them."""
        drawn = {name: values[: self.most] for name, values in first.items()}
        held_out = self.data.held_out_arrays(self.most)
        figures = {}
        for metric, component in zip(self.metrics, self.components):
            figures.update(plain_figures(metric(drawn, held_out), component))
        return figures

    def of(self, arrays):
        """Returns the figures of samples that are all there is."""
        self.update(arrays)
        return self.figures(arrays)

    def headline(self, figures):
        """Returns those of the figures that are shown beside others."""
        names = [name for metric in self.metrics for name in getattr(metric, "headline", ())]
        if not names:
            names = [name for name, figure in figures.items() if number(figure) is not None]
        return {name: figures[name] for name in names if name in figures}

    def _streaming(self):
        return [metric for metric in self.metrics if hasattr(metric, "update")]


def plain_figures(figures, component):
    """Returns what a figure of merit returns as JSON has it; ConfigError where it cannot be written."""
    if not isinstance(figures, dict):
        raise ConfigError(
            f"{component.name} at '{component.place}' must return a dict of figures by name, but returns "
            f"{type(figures).__name__}",
            component.place,
        )
    return {str(name): _plain(figure, name, component) for name, figure in figures.items()}


def _plain(value, name, component):
    if hasattr(value, "asnumpy"):
        value = value.asnumpy()
    if isinstance(value, (np.generic, np.ndarray)):
        value = value.tolist()
    if isinstance(value, dict):
        return {str(key): _plain(part, f"{name}.{key}", component) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part, name, component) for part in value]
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    raise ConfigError(
        f"{component.name} at '{component.place}' returns {type(value).__name__} as its figure '{name}', which is not "
        "written as JSON: return numbers, texts, and lists, dicts, arrays or Tensors of them",
        component.place,
    )


def number(figure):
    """Returns the number of the samples in a figure, or None where it is no number."""
    value = figure.get("samples") if isinstance(figure, dict) else figure
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def reference(figure):
    """Returns the number of real data beside a figure, or None."""
    others = [v for name, v in figure.items() if name not in ("samples", "ratio")] if isinstance(figure, dict) else []
    return others[0] if others else None
