"""Learned plans against ready-made solvers at the same number of model calls: distance to the samples of a teacher.

    python scripts/bench/learned.py mixture
    python scripts/bench/learned.py configs/digits_ddim.yaml weights=digits_ddim scheduler.clip_sample=false
    python scripts/bench/learned.py configs/digits_flow.yaml weights=digits_flow --calls 4 6 8

- mixture: a Gaussian mixture in two dimensions, whose perfect model is closed-form. Distances are those to the exact
  solution of the probability-flow ODE. Runs the function ``optimize``.
- a configuration: its trained model with its guidance; the teacher is its scheduler with --teacher-steps. Runs the
  command ``optimize``, and besides prints the figures of merit of the plan, and of the solvers with twice the calls.

Samples are drawn from noise that no fit has seen. Solvers that call the model twice a step take the steps that fit into
the calls. The folder of --output gets the plans, a table as JSON, and a picture.
"""

import argparse
import json
from pathlib import Path

import mindspore as ms
import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from mindspore import Tensor, nn, ops
from mixture import Mixture
from tqdm import tqdm

import mindscience_diffuser as md
from mindscience_diffuser.files import write_atomically
from mindscience_diffuser.noise import NoiseSource, draw_noise
from mindscience_diffuser.runs.commands.compare import with_scheduler
from mindscience_diffuser.runs.commands.optimize import optimize as run_optimize
from mindscience_diffuser.runs.config.load import load_config, with_sampling, with_values
from mindscience_diffuser.runs.config.schema import Component
from mindscience_diffuser.runs.data.dataset import build_data
from mindscience_diffuser.runs.evaluation.measuring import Measuring, number
from mindscience_diffuser.runs.kinds.draw import draw
from mindscience_diffuser.runs.kinds.kind import kind_of
from mindscience_diffuser.runs.kinds.models import build_scheduler, build_trained_model
from mindscience_diffuser.schedulers.edm.edm import EDMScheduler
from mindscience_diffuser.schedulers.flow.flow_match import FlowMatchScheduler

UNSEEN = 1
"""Added to the seed of the fits."""
DIFFUSION = (
    ("DDIMScheduler", {"timestep_spacing": "trailing"}),
    ("DDPMScheduler", {}),
    ("EulerDiscreteScheduler", {}),
    ("EulerDiscreteScheduler", {"use_karras_sigmas": True}),
    ("HeunDiscreteScheduler", {"use_karras_sigmas": True}),
    ("DPMSolverMultistepScheduler", {}),
    ("DPMSolverMultistepScheduler", {"use_karras_sigmas": True}),
    ("DPMSolverMultistepScheduler", {"solver_order": 3}),
    ("UniPCMultistepScheduler", {}),
    ("DEISMultistepScheduler", {}),
    ("SASolverScheduler", {}),
)
FLOW_OPTIONS = {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}
FLOW = (
    ("FlowMatchEulerDiscreteScheduler", {}),
    ("FlowMatchEulerDiscreteScheduler", {"shift": 3.0}),
    ("FlowMatchHeunDiscreteScheduler", {}),
    ("DPMSolverMultistepScheduler", FLOW_OPTIONS),
    ("DPMSolverMultistepScheduler", {**FLOW_OPTIONS, "flow_shift": 3.0}),
    ("DPMSolverMultistepScheduler", {**FLOW_OPTIONS, "solver_order": 3}),
    ("DPMSolverMultistepScheduler", {**FLOW_OPTIONS, "final_sigmas_type": "sigma_min"}),
    ("UniPCMultistepScheduler", FLOW_OPTIONS),
    ("UniPCMultistepScheduler", {**FLOW_OPTIONS, "flow_shift": 3.0}),
    ("DEISMultistepScheduler", FLOW_OPTIONS),
    ("SASolverScheduler", FLOW_OPTIONS),
)
EDM = (
    ("EDMEulerScheduler", {}),
    ("EDMEulerScheduler", {"sigma_schedule": "exponential"}),
    ("EDMHeunScheduler", {}),
    ("EDMHeunScheduler", {"sigma_schedule": "exponential"}),
    ("EDMDPMSolverSinglestepScheduler", {}),
    ("EDMDPMSolverMultistepScheduler", {"solver_order": 2}),
    ("EDMDPMSolverMultistepScheduler", {"solver_order": 3}),
    ("EDMDPMSolverMultistepScheduler", {"solver_type": "heun"}),
    ("EDMDPMSolverMultistepScheduler", {"sigma_schedule": "exponential"}),
    ("EDMDPMSolverMultistepScheduler", {"solver_order": 3, "sigma_schedule": "exponential"}),
    ("EDMDPMSolverMultistepScheduler", {"final_sigmas_type": "sigma_min"}),
)
TABLES = ((EDMScheduler, EDM), (FlowMatchScheduler, FLOW), (md.Scheduler, DIFFUSION))


class Perfect(nn.Cell):
    """The model of a mixture that predicts the noise exactly, for timesteps between those of training too."""

    def __init__(self, mixture, training_sigmas):
        super().__init__()
        self.log_sigmas = Tensor(np.log(training_sigmas), ms.float32)
        self.means, self.variances = Tensor(mixture.means, ms.float32), Tensor(mixture.variances, ms.float32)
        self.log_weights = Tensor(np.log(mixture.weights), ms.float32)

    def construct(self, x, timestep):
        """Returns the noise, ``(B, D)``."""
        timestep = ops.cast(timestep, ms.float32).reshape(-1)
        lower = ops.clamp(ops.floor(timestep), 0, self.log_sigmas.shape[0] - 2)
        share, index = timestep - lower, ops.cast(lower, ms.int32)
        start, end = ops.gather(self.log_sigmas, index, 0), ops.gather(self.log_sigmas, index + 1, 0)
        sigma = ops.exp(start + share * (end - start)).reshape((-1, 1))
        alpha = 1 / ops.sqrt(1 + sigma * sigma)
        std2 = self.variances + sigma * sigma
        apart = (x / alpha).expand_dims(1) - self.means
        logits = self.log_weights - (apart * apart).sum(-1) / (2 * std2) - x.shape[1] / 2 * ops.log(std2)
        shares = ops.Softmax(-1)(logits)
        return (shares.expand_dims(-1) * apart * (sigma / std2).expand_dims(-1)).sum(1)


def steps_for(scheduler, calls):
    """Returns the steps whose model calls are `calls` at the most."""
    return calls if scheduler.order == 1 else max((calls + 1) // 2, 1)


def label(name, arguments):
    shown = [n if v is True else f"{n}={v}" for n, v in arguments.items() if n not in FLOW_OPTIONS]
    return " ".join([name.removesuffix("Scheduler"), *shown])


def rms(difference):
    return float(np.sqrt(np.mean(np.square(difference, dtype=np.float64))))


def of_mixture(calls, folder, given, teacher_steps):
    """Yields the rows of the table for the mixture."""
    mixture = Mixture([0.5, 0.3, 0.2], [[1.0, 0.5], [-1.0, 0.8], [0.2, -1.2]], [0.2, 0.35, 0.1])
    solvers = [getattr(md, name)(**arguments) for name, arguments in DIFFUSION]
    teacher = md.DPMSolverMultistepScheduler(use_karras_sigmas=True)
    teacher.set_timesteps(teacher_steps)
    model = Perfect(mixture, teacher.training_sigmas)
    noise = draw_noise((1000, 2), NoiseSource(UNSEEN, 1000))
    alpha, sigma = (float(level[0]) for level in teacher.levels)
    exact = mixture.flow(noise.astype(np.float64) * teacher.init_noise_sigma, (alpha, sigma), (1.0, 0.0))

    def distance(scheduler):
        start = Tensor((noise * scheduler.init_noise_sigma).astype(np.float32))
        return rms(md.Sampler(model, scheduler)(start, generator=2).asnumpy() - exact)

    yield {"calls": teacher_steps, "scheduler": "teacher", "distance": distance(teacher)}
    for count in calls:
        for (name, arguments), solver in zip(DIFFUSION, solvers):
            solver.set_timesteps(steps_for(solver, count))
            yield {"calls": count, "scheduler": label(name, arguments), "distance": distance(solver)}
        fitted = [md.DPMSolverMultistepScheduler(use_karras_sigmas=True, solver_order=order) for order in (2, 3)]
        fitted += [md.DPMSolverMultistepScheduler(), md.UniPCMultistepScheduler(use_karras_sigmas=True)]
        learned = md.optimize(model, fitted, teacher, (2,), folder / str(count), count, **given).scheduler
        yield {"calls": count, "scheduler": "learned", "distance": distance(learned)}


def of_config(config, calls, folder, given, teacher_steps):
    """Yields the rows of the table for the trained model of a configuration."""
    given = {**given, "teacher_steps": teacher_steps}
    config = with_values(config, output=str(folder), optimize=config.optimize.model_copy(update=given))
    data, kind = build_data(config), kind_of(config)
    base = build_scheduler(config)
    model, _ = build_trained_model(config, data)
    unseen = with_values(config, seed=config.seed + UNSEEN)

    def drawn(run, steps):
        scheduler = build_scheduler(run, config.sampling.compute_dtype)
        run = with_sampling(run, num_inference_steps=steps, step={})
        arrays = draw(run, data, kind, scheduler, model)
        measuring = Measuring(run, data)
        figures = measuring.headline(measuring.of(arrays))
        return next(iter(arrays.values())), {name: number(figure) for name, figure in figures.items()}

    target, figures = drawn(unseen, teacher_steps)
    yield {"calls": teacher_steps, "scheduler": "teacher", "distance": 0.0, **figures}
    flow = base.settings.get("use_flow_sigmas")
    kinds = FLOW if flow else next(table for kind, table in TABLES if isinstance(base, kind))
    for count in sorted({times * count for count in calls for times in (1, 2)}):
        for name, arguments in kinds:
            run = with_scheduler(unseen, component(name, arguments), base)
            arrays, figures = drawn(run, steps_for(build_scheduler(run), count))
            yield {"calls": count, "scheduler": label(name, arguments), "distance": rms(arrays - target), **figures}
    for count in calls:
        plan = with_values(config, optimize=config.optimize.model_copy(update={"num_inference_steps": count}))
        learned = component("LearnedScheduler", {"folder": str(run_optimize(plan))})
        arrays, figures = drawn(with_values(unseen, scheduler=learned), count)
        yield {"calls": count, "scheduler": "learned", "distance": rms(arrays - target), **figures}


def component(name, arguments):
    made = Component(name=name, **arguments)
    made.place_at("scheduler")
    return made


def summary(rows, calls):
    """Returns the lines of the summary: the learned plan and the best solver of the same number of calls."""
    lines = []
    for count in calls:
        learned = next(row for row in rows if row["calls"] == count and row["scheduler"] == "learned")
        others = [row for row in rows if row["calls"] == count and row["scheduler"] != "learned"]
        best = min(others, key=lambda row: row["distance"])
        ratio = learned["distance"] / best["distance"]
        lines.append(
            f"{count:3} calls: learned {learned['distance']:.4g}, {ratio:.2f} of {best['distance']:.4g} "
            f"({best['scheduler']})"
        )
    return lines


def save_picture(rows, path):
    """Writes a PNG of the distance over the number of calls."""
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    names = list(dict.fromkeys(row["scheduler"] for row in rows if row["scheduler"] != "teacher"))
    for k, name in enumerate(names):
        points = sorted({(row["calls"], row["distance"]) for row in rows if row["scheduler"] == name})
        # Eleven solvers: the usual ten colours are too few.
        other = {"linewidth": 1, "color": colormaps["tab20"].colors[k]}
        style = {"color": "black", "linewidth": 2.5, "zorder": 3} if name == "learned" else other
        axes.plot(*zip(*points), marker="o", markersize=4, label=name, **style)
    counts = sorted({row["calls"] for row in rows if row["scheduler"] != "teacher"})
    axes.set(xscale="log", yscale="log", xlabel="model calls", ylabel="distance to the samples of the teacher")
    axes.set_xticks(counts, counts)
    axes.minorticks_off()
    figure.legend(loc="outside right upper", fontsize="small")
    write_atomically(path, lambda temporary: figure.savefig(temporary, dpi=120))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("problem", help="mixture, or the path of a configuration")
    parser.add_argument("overrides", nargs="*", help="of the configuration, key=value")
    parser.add_argument("--calls", type=int, nargs="+", default=[4, 6, 8, 10])
    parser.add_argument("--teacher-steps", type=int, default=200)
    parser.add_argument("--fit", default="{}", help="further arguments of optimize, as JSON")
    parser.add_argument("--output", type=Path, default=Path("runs_output"))
    arguments = parser.parse_intermixed_args()
    folder, given, rows = arguments.output / f"learned_{Path(arguments.problem).stem}", json.loads(arguments.fit), []
    if arguments.problem == "mixture":
        found = of_mixture(arguments.calls, folder, given, arguments.teacher_steps)
    else:
        config = load_config(arguments.problem, arguments.overrides)
        found = of_config(config, arguments.calls, folder, given, arguments.teacher_steps)
    for row in tqdm(found, unit="row"):
        rows.append(row)
        tqdm.write("  ".join(f"{n} {v:.4g}" if isinstance(v, float) else f"{v}" for n, v in row.items()))
    print("\n".join(summary(rows, arguments.calls)))
    write_atomically(folder / "distances.json", json.dumps(rows, indent=2) + "\n")
    save_picture(rows, folder / "distances.png")


if __name__ == "__main__":
    main()
