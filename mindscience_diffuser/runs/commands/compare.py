"""The ``compare`` command: several schedulers and numbers of steps on one trained model, as one report."""

import json
from pathlib import Path

from matplotlib import colormaps
from matplotlib.figure import Figure
from tqdm import tqdm

from mindscience_diffuser.files import write_atomically
from mindscience_diffuser.runs.config.components import find_class
from mindscience_diffuser.runs.config.load import to_yaml, with_sampling, with_values
from mindscience_diffuser.runs.data.dataset import build_data
from mindscience_diffuser.runs.errors import ConfigError
from mindscience_diffuser.runs.evaluation.measuring import Measuring, number, reference
from mindscience_diffuser.runs.kinds.draw import draw
from mindscience_diffuser.runs.kinds.kind import check_process, kind_of
from mindscience_diffuser.runs.kinds.models import build_scheduler, build_trained_model, given_to_scheduler
from mindscience_diffuser.runs.pictures.report import picture, save_page, table
from mindscience_diffuser.runs.pictures.samples import strip
from mindscience_diffuser.schedulers.base.sigmas import SPACED_BY

COLOURS = colormaps["tab20"].colors
INTRODUCTION = (
    "Every scheduler drives the same model from the same noise. One model call is one evaluation of the model, "
    "guidance included. Dashed lines are what real data reach."
)


def compare(config):
    """Runs the schedulers at ``compare.schedulers`` with each number of steps and writes ``<output>/compare``.

    Arguments that a scheduler shares with the run's own one take its values. Written are ``report.html``, which holds
    its pictures, ``metrics.json`` and ``config.yaml``, each whole or not at all.

    Returns:
        Path of the directory.

    Raises:
        ConfigError: If the configuration cannot be carried out; nothing is compiled or written then.
    """
    if not config.compare.schedulers:
        raise ConfigError(
            "'compare.schedulers' is empty: list the schedulers to compare, each with a name", "compare.schedulers"
        )
    data, kind = build_data(config), kind_of(config)
    Measuring(config, data)
    base = build_scheduler(config)
    runs = [with_scheduler(config, component, base) for component in config.compare.schedulers]
    planned = [(run, count, _calls(run, kind, count)) for run in runs for count in config.compare.num_inference_steps]
    model, weights = build_trained_model(config, data)
    config = with_values(config, weights=config.weights or str(weights))
    directory = Path(config.output) / "compare"
    directory.mkdir(parents=True, exist_ok=True)
    measured, strips = [], []
    for run, count, calls in tqdm(planned, desc="comparing"):
        scheduler = build_scheduler(run, config.sampling.compute_dtype)
        arrays = draw(with_sampling(run, num_inference_steps=count), data, kind, scheduler, model)
        measuring = Measuring(run, data)
        row = {"scheduler": _label(run.scheduler, config.scheduler), "num_inference_steps": count, "calls": calls}
        measured.append({**row, **measuring.headline(measuring.of(arrays))})
        strips.append(strip(arrays, data))
    write_atomically(directory / "config.yaml", to_yaml(config))
    write_atomically(directory / "metrics.json", json.dumps(measured, indent=2) + "\n")
    figures = [name for name in measured[0] if name not in row]
    save_page(
        directory / "report.html",
        f"Schedulers on {Path(config.weights).stem}",
        INTRODUCTION,
        [
            ("Quality against model calls", picture(_quality(measured, figures), "quality")),
            ("Samples", picture(_grid(measured, strips), "samples")),
            ("Figures", _table(measured, figures)),
        ],
        to_yaml(config),
    )
    return directory


def with_scheduler(config, component, base):
    """Returns the configuration with another scheduler, which follows the noise process of the run's own one.

    It has the values of the run's own one for all arguments that it does not give itself and that mean the same to it,
    as `from_config` has them, except for those that space the sigmas if it gives one of them.

    Args:
        config (SampledRun): The configuration.
        component (Component): The other scheduler.
        base (Scheduler): The run's own one.

    Raises:
        ConfigError: If the other scheduler cannot follow that noise process.
    """
    kind = find_class("scheduler", component)
    own = {"compute_dtype", *given_to_scheduler(config)}
    if not SPACED_BY.keys().isdisjoint(component.arguments):
        own.update(SPACED_BY)
    known = kind.conversion(base.config, component.arguments).arguments
    shared = {name: value for name, value in known.items() if name not in own and value is not None}
    for name, value in shared.items():
        if name not in component.arguments and not kind.takes(name, value):
            raise ConfigError(
                f"{component.name} at '{component.place}' cannot follow the run's {type(base).__name__}: it does not "
                f"take {name}={value!r}",
                component.place,
            )
    changed = with_values(config, scheduler=component.with_defaults(shared))
    check_process(component, base, build_scheduler(changed))
    return changed


def _calls(config, kind, count):
    """Returns the number of model calls; ConfigError where the scheduler cannot take so many steps."""
    scheduler, config = build_scheduler(config), with_sampling(config, num_inference_steps=count)
    kind.check_sampling(config, scheduler)
    return len(kind.plan(config, scheduler))


def _label(component, own):
    """Returns the name of a scheduler with what it changes."""
    changed = {n: v for n, v in component.arguments.items() if own.arguments.get(n) != v and v not in (False, None)}
    shown = ("use_", "solver", "algorithm", "sigma_schedule")
    switches = [n if v is True else f"{n}={v}" for n, v in changed.items() if n.startswith(shown)]
    return " ".join([component.name.removesuffix("Scheduler"), *switches])


def _quality(rows, figures):
    """Returns the picture of each figure over model calls."""
    figure = Figure(figsize=(11, 3.75 * -(-len(figures) // 2)), layout="constrained")
    for axes, name in zip(figure.subplots(-(-len(figures) // 2), 2, squeeze=False).flat, figures):
        for k, label in enumerate(dict.fromkeys(row["scheduler"] for row in rows)):
            points = [(row["calls"], number(row[name])) for row in rows if row["scheduler"] == label]
            axes.plot(*zip(*points), marker="o", markersize=4, label=label, color=COLOURS[k % len(COLOURS)])
        if reference(rows[0][name]) is not None:
            axes.axhline(reference(rows[0][name]), color="gray", linestyle="--", label="real data")
        axes.set(xscale="log", xlabel="model calls", ylabel=name.replace("_", " "))
        steps = sorted({row["num_inference_steps"] for row in rows})
        axes.set_xticks(steps, steps)
        axes.minorticks_off()
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize="small")
    return figure


def _grid(rows, strips):
    """Returns the picture of a few samples: a line for each scheduler, a column for each number of steps."""
    labels = list(dict.fromkeys(row["scheduler"] for row in rows))
    steps = list(dict.fromkeys(row["num_inference_steps"] for row in rows))
    figure = Figure(figsize=(3.8 * len(steps) + 3, 0.48 * len(labels) + 0.6), layout="constrained")
    for axes, row, shown in zip(figure.subplots(len(labels), len(steps), squeeze=False).flat, rows, strips):
        if shown is not None:
            axes.imshow(shown, cmap="gray", interpolation="nearest")
        axes.set_xticks([])
        axes.set_yticks([])
        if row["scheduler"] == labels[0]:
            axes.set_title(f"{row['num_inference_steps']} steps", fontsize="medium")
        if row["num_inference_steps"] == steps[0]:
            axes.set_ylabel(row["scheduler"], rotation=0, ha="right", va="center", fontsize="medium")
    return figure


def _table(rows, figures):
    """Returns the figures as an HTML table."""
    heads = ["scheduler", "steps", "calls", *(name.replace("_", " ") for name in figures)]
    rows = [
        [row["scheduler"], str(row["num_inference_steps"]), str(row["calls"])]
        + [f"{number(row[name]):.3f}" for name in figures]
        for row in rows
    ]
    return table(heads, rows)
