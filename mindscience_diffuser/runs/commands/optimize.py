"""The ``optimize`` command: fits a plan of few model calls to a trained model, with the guidance of its run."""

import json
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from mindscience_diffuser.files import write_atomically
from mindscience_diffuser.runs.commands.compare import with_scheduler
from mindscience_diffuser.runs.config.components import key_of
from mindscience_diffuser.runs.config.load import to_yaml, with_sampling, with_values
from mindscience_diffuser.runs.config.schema import Component
from mindscience_diffuser.runs.data.dataset import build_data
from mindscience_diffuser.runs.errors import ConfigError
from mindscience_diffuser.runs.evaluation.measuring import Measuring
from mindscience_diffuser.runs.kinds.draw import draw
from mindscience_diffuser.runs.kinds.kind import kind_of
from mindscience_diffuser.runs.kinds.models import build_scheduler, build_trained_model
from mindscience_diffuser.schedulers.edm.edm import EDMScheduler
from mindscience_diffuser.schedulers.flow.flow_match import FlowMatchScheduler
from mindscience_diffuser.training.plans import optimize as fit_plan

EDM_SPACINGS = ("karras", "exponential")
SPACINGS = ({"use_karras_sigmas": False}, {"use_karras_sigmas": True}, {"use_lu_lambdas": True})


def optimize(config):
    """Fits a plan of ``optimize.num_inference_steps`` steps and writes it below ``<output>/optimize/<steps>``.

    The teacher is the run's own scheduler with ``optimize.teacher_steps`` steps; model, guidance and data are those of
    the run. The folder is read by :class:`~mindscience_diffuser.LearnedScheduler`: in YAML as ``scheduler: {name:
    LearnedScheduler, folder: ...}``. Beside the plan are ``metrics.json`` (distances to the teacher's samples, and the
    figures of merit of the best solver and of the plan), ``times.png`` and ``config.yaml``, each whole or not at all. A
    command that was interrupted goes on where it was.

    Returns:
        Path of the directory.

    Raises:
        ConfigError: If the configuration cannot be carried out.
    """
    asked, data, kind = config.optimize, build_data(config), kind_of(config)
    teacher = build_scheduler(config)
    kind.check_sampling(config, teacher)
    Measuring(config, data)
    components = asked.solvers or _default_solvers(teacher)
    runs = [with_scheduler(config, component, teacher) for component in components]
    # The options of a step are those of the teacher alone.
    runs = [with_sampling(run, num_inference_steps=asked.num_inference_steps, step={}) for run in runs]
    solvers = [build_scheduler(run) for run in runs]
    for run, solver in zip(runs, solvers):
        kind.check_sampling(run, solver)
    model, weights = build_trained_model(config, data)
    config = with_values(config, weights=config.weights or str(weights))
    guided = kind.guided(config, data, teacher, kind.called(config, data, teacher, model)).set_train(False)
    try:
        teacher.set_timesteps(asked.teacher_steps)
    except (TypeError, ValueError) as error:
        place, name = config.scheduler.place, config.scheduler.name
        raise ConfigError(
            f"{name} at '{place}', the teacher, refuses 'optimize.teacher_steps': {error}", "optimize.teacher_steps"
        ) from error
    _check_plain(config, teacher)
    folder = Path(config.output) / "optimize" / str(asked.num_inference_steps)
    options = asked.model_dump(exclude={"solvers", "teacher_steps"})
    try:
        result = fit_plan(
            guided,
            solvers,
            teacher,
            data.sample_shape,
            folder,
            **options,
            conditions=data.conditions,
            seed=config.seed,
        )
    except (TypeError, ValueError) as error:
        key = key_of(error, "optimize", type(asked).model_fields)
        raise ConfigError(f"the plan cannot be fitted: {error}", key) from error
    learned = _component("scheduler", "LearnedScheduler", folder=str(folder))
    best = int(np.argmin(list(result.report["distance_of_solvers"].values())))
    figures = dict(result.report)
    for name, run in (("best_solver", runs[best]), ("learned", with_values(runs[best], scheduler=learned))):
        scheduler = build_scheduler(run, config.sampling.compute_dtype)
        figures[name] = Measuring(run, data).of(draw(run, data, kind, scheduler, model))
    _save_times(folder / "times.png", solvers, result)
    write_atomically(folder / "config.yaml", to_yaml(config))
    write_atomically(folder / "metrics.json", json.dumps(figures, indent=2) + "\n")
    return folder


def _check_plain(config, teacher):
    """Raises ConfigError if the run samples its teacher in a way that a plan cannot be fitted to."""
    if config.sampling.frames is not None:
        raise ConfigError(
            "'sampling.frames' gives frames levels of their own, but a plan is fitted to samples that have one level: "
            "remove it",
            "sampling.frames",
        )
    if teacher.plan_for(**config.sampling.step).fingerprint != teacher.plan_for().fingerprint:
        raise ConfigError(
            f"'sampling.step' is {config.sampling.step}, which changes the steps of {config.scheduler.name} at "
            f"'{config.scheduler.place}', but a plan is fitted to a teacher without options: set it to {{}}",
            "sampling.step",
        )


def _default_solvers(scheduler):
    """Returns the solvers that a fit may begin with, for the noise process of a scheduler."""
    if isinstance(scheduler, EDMScheduler):
        ways = [{"solver_order": order, "sigma_schedule": name} for order in (2, 3) for name in EDM_SPACINGS]
        kinds = [("EDMDPMSolverMultistepScheduler", way) for way in ways]
    elif isinstance(scheduler, FlowMatchScheduler) or scheduler.settings.get("use_flow_sigmas"):
        flow = {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}
        kinds = [("DPMSolverMultistepScheduler", {**flow, "solver_order": order}) for order in (2, 3)]
        kinds += [("UniPCMultistepScheduler", flow)]
    else:
        kinds = [("DPMSolverMultistepScheduler", spacing) for spacing in SPACINGS]
        kinds += [("UniPCMultistepScheduler", {})]
    return [_component(f"optimize.solvers[{i}]", name, **arguments) for i, (name, arguments) in enumerate(kinds)]


def _component(place, name, **arguments):
    component = Component(name=name, **arguments)
    component.place_at(place)
    return component


def _save_times(path, solvers, result):
    """Writes a PNG of the noise levels at which the model is called, of each solver and of the learned plan."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    names = list(result.report["distance_of_solvers"])
    lines = [(name, solver) for name, solver in zip(names, solvers)] + [("learned", result.scheduler)]
    for name, scheduler in lines:
        alpha, sigma = (level[:-1] for level in scheduler.levels)
        ratio = np.log(np.maximum(alpha, 1e-6) / sigma)
        style = {"linewidth": 2.5, "color": "black"} if name == "learned" else {"linewidth": 1}
        axes.plot(np.arange(1, len(ratio) + 1), ratio, marker="o", label=name, **style)
    axes.set(xlabel="model call", ylabel="half the log of the signal-to-noise ratio")
    axes.legend(fontsize="small")
    write_atomically(path, lambda temporary: figure.savefig(temporary, dpi=120))
