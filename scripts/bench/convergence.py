"""The exactness laboratory: every solver on data whose probability-flow ODE is solved to rounding.

    python scripts/bench/convergence.py    # writes docs_cn/images/convergence.png and prints the tables of docs_cn

Observed orders come from doubling the number of steps on levels that are even in log(sigma), errors at a number of
model calls from each scheduler's own schedule, Wasserstein distances of stochastic ones from 20,000 samples of a
mixture on a line. All in float64 on the host plan: what a table of weights can do, without rounding.
"""

import inspect
import sys
import warnings
from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np
from matplotlib import pyplot as plt
from scipy.stats import wasserstein_distance
from tqdm import tqdm

import mindscience_diffuser

sys.path.insert(0, str(Path(__file__).parent))
from mixture import Mixture, follow

matplotlib.use("Agg")

PLANE = Mixture([0.3, 0.7], [[-1.0, 0.5], [0.6, -0.4]], [0.25, 0.4])
LINE = Mixture([0.3, 0.7], [[-1.0], [0.6]], [0.25, 0.4])
HIGHEST, LOWEST = 80.0, 0.05
STEPS = (20, 40, 80, 160)
CALLS = (5, 10, 20, 50)
SAMPLES = 20_000
PICTURE = Path(__file__).parents[2] / "docs_cn" / "images" / "convergence.png"


class Solver(NamedTuple):
    """A deterministic scheduler in one configuration, and the order that its paper promises."""

    label: str
    scheduler: str
    options: dict
    order: float
    spaced: bool = True
    """Whether its levels can be given as sigmas; else the order is measured on its own timesteps."""
    prediction: str = "epsilon"
    """What the model predicts; the classes of rectified flows have no choice."""


def ratio_itself(ratio):
    """Returns phi of ER-SDE whose reverse process is the probability-flow ODE."""
    return ratio


FLOW = {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}
ENDS_AT_LOWEST = {"final_sigmas_type": "sigma_min"}
ENDS_EARLY = {"final_sigmas_type": "sigma_min", "lower_order_final": False}
SOLVERS = (
    Solver("DDIM", "DDIMScheduler", {"clip_sample": False, "beta_schedule": "linear"}, 1, spaced=False),
    Solver("Euler", "EulerDiscreteScheduler", {}, 1),
    Solver("Heun", "HeunDiscreteScheduler", {}, 2),
    Solver("KDPM2", "KDPM2DiscreteScheduler", {}, 2),
    Solver("LMS-4", "LMSDiscreteScheduler", {}, 4),
    # It extrapolates in the timestep, with whose square root the noise changes near 0: order 1 in the end.
    Solver("PNDM", "PNDMScheduler", {"skip_prk_steps": True}, 1, spaced=False),
    Solver("DPM-Solver-2", "DPMSolverMultistepScheduler", {"algorithm_type": "dpmsolver", **ENDS_EARLY}, 2),
    Solver("DPM-Solver++(1)", "DPMSolverMultistepScheduler", {"solver_order": 1, **ENDS_EARLY}, 1),
    Solver("DPM-Solver++(2M)", "DPMSolverMultistepScheduler", ENDS_EARLY, 2),
    Solver("DPM-Solver++(2M, heun)", "DPMSolverMultistepScheduler", {"solver_type": "heun", **ENDS_EARLY}, 2),
    Solver("DPM-Solver++(3M)", "DPMSolverMultistepScheduler", {"solver_order": 3, **ENDS_EARLY}, 3),
    Solver("DPM-Solver++(2S)", "DPMSolverSinglestepScheduler", {"final_sigmas_type": "sigma_min"}, 2),
    Solver(
        "DPM-Solver++(3S)", "DPMSolverSinglestepScheduler", {"solver_order": 3, "final_sigmas_type": "sigma_min"}, 3
    ),
    Solver("SEEDS-2 (eta=0)", "SEEDSScheduler", {"eta": 0.0, **ENDS_AT_LOWEST}, 2),
    Solver("SEEDS-3 (eta=0)", "SEEDSScheduler", {"eta": 0.0, "calls_per_step": 3, **ENDS_AT_LOWEST}, 3),
    *(
        Solver(
            f"ER-SDE-{order} (ODE)",
            "ERSDEScheduler",
            {"solver_order": order, "noise_scaler": ratio_itself, **ENDS_AT_LOWEST},
            order,
        )
        for order in (1, 2, 3)
    ),
    Solver("Gradient estimation", "GradientEstimationScheduler", {}, 1),
    Solver("UniPC-2", "UniPCMultistepScheduler", ENDS_EARLY, 2),
    Solver("UniPC-2 (bh1)", "UniPCMultistepScheduler", {"solver_type": "bh1", **ENDS_EARLY}, 2),
    Solver("UniPC-3", "UniPCMultistepScheduler", {"solver_order": 3, **ENDS_EARLY}, 3),
    Solver("DEIS-2", "DEISMultistepScheduler", {"lower_order_final": False}, 2),
    Solver("DEIS-3", "DEISMultistepScheduler", {"solver_order": 3, "lower_order_final": False}, 3),
    Solver("Flow Euler", "FlowMatchEulerDiscreteScheduler", {}, 1),
    Solver("Flow Heun", "FlowMatchHeunDiscreteScheduler", {}, 2, spaced=False),
    Solver("EDM Euler", "EDMEulerScheduler", {}, 1, spaced=False, prediction="edm"),
    Solver("EDM Heun", "EDMHeunScheduler", {}, 2, spaced=False, prediction="edm"),
    Solver("EDM DPM-Solver++(2M)", "EDMDPMSolverMultistepScheduler", {}, 2, spaced=False, prediction="edm"),
)
STOCHASTIC = (
    Solver("DDPM", "DDPMScheduler", {"clip_sample": False, "beta_schedule": "linear"}, 1),
    Solver("DDIM (eta=1)", "DDIMScheduler", {"clip_sample": False, "beta_schedule": "linear"}, 1),
    Solver("Euler (s_churn)", "EulerDiscreteScheduler", {"use_karras_sigmas": True}, 1),
    Solver("Euler ancestral", "EulerAncestralDiscreteScheduler", {}, 1),
    Solver("KDPM2 ancestral", "KDPM2AncestralDiscreteScheduler", {"use_karras_sigmas": True}, 1),
    Solver("DPM-Solver++ SDE", "DPMSolverSDEScheduler", {"use_karras_sigmas": True}, 1),
    Solver("SDE-DPM-Solver++(2M)", "DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++"}, 1),
    Solver(
        "SDE-DPM-Solver++(2M), eta=0.5",
        "DPMSolverMultistepScheduler",
        {"algorithm_type": "sde-dpmsolver++", "eta": 0.5},
        1,
    ),
    Solver("DPM++ 3M SDE", "DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++", "solver_order": 3}, 1),
    Solver("DPM++ 2S ancestral", "DPMSolverAncestralScheduler", {}, 1),
    Solver(
        "Euler ancestral, flow",
        "DPMSolverAncestralScheduler",
        {"calls_per_step": 1, **FLOW},
        1,
        prediction="flow_prediction",
    ),
    Solver("DPM++ 2S ancestral, flow", "DPMSolverAncestralScheduler", FLOW, 1, prediction="flow_prediction"),
    Solver("SEEDS-2", "SEEDSScheduler", {}, 1),
    Solver("SEEDS-3", "SEEDSScheduler", {"calls_per_step": 3}, 1),
    Solver("ER-SDE-3", "ERSDEScheduler", {}, 1),
    Solver("SA-Solver", "SASolverScheduler", {}, 1),
    Solver("Cosine DPM-Solver++ SDE", "CosineDPMSolverMultistepScheduler", {}, 1, prediction="v_prediction"),
)
STEP_OPTIONS = {"DDIM (eta=1)": {"eta": 1.0}, "Euler (s_churn)": {"s_churn": 10.0}}


def built(solver):
    """Returns the scheduler, with the prediction that its class takes, and that prediction's type."""
    cls = getattr(mindscience_diffuser, solver.scheduler)
    flow = "prediction_type" not in inspect.signature(cls.__init__).parameters
    return cls(**solver.options), "flow_prediction" if flow else solver.prediction


def even_levels(count, flow):
    """Returns levels even in the logarithm of the ratio of noise to signal, with that of the end: ``(count + 1,)``."""
    ratios = np.exp(np.linspace(np.log(HIGHEST), np.log(LOWEST), count + 1))
    return ratios / (1 + ratios) if flow else ratios


def error(scheduler, prediction, mixture=PLANE, draws=64):
    """Returns the root mean square distance of a trajectory's end from the exact solution."""
    alpha, sigma = (np.asarray(level, np.float64) for level in scheduler.levels)
    start = np.random.default_rng(0).standard_normal((draws, mixture.means.shape[1])) * np.hypot(alpha[0], sigma[0])
    plan = scheduler.plan
    end = plan.next_level[0][-1] * np.ones(()), plan.next_level[1][-1] * np.ones(())
    reached = follow(plan, (alpha[0], sigma[0]), mixture, prediction, start, np.random.default_rng(1))
    exact = mixture.flow(start, (alpha[0], sigma[0]), end)
    return np.sqrt(np.mean((reached - exact) ** 2))


def observed_order(solver, steps=STEPS):
    """Returns the order of convergence between the last two numbers of steps."""
    scheduler, prediction = built(solver)
    errors = []
    for count in steps[-2:]:
        if solver.spaced:
            levels = even_levels(count, prediction == "flow_prediction")
            ends_at_zero = isinstance(scheduler, mindscience_diffuser.FlowMatchEulerDiscreteScheduler)
            scheduler.set_timesteps(sigmas=levels[:-1] if ends_at_zero else levels)
        else:
            scheduler.set_timesteps(count)
        errors.append(error(scheduler, prediction))
    return np.log2(errors[0] / errors[1])


def errors_at(solver, calls=CALLS):
    """Returns the error of the scheduler's own schedule at each number of model calls, NaN where it has none such."""
    errors = []
    for count in calls:
        scheduler, prediction = built(solver)
        steps = -(-count // scheduler.order)
        scheduler.set_timesteps(steps)
        fits = len(scheduler.plan) <= count + 1
        errors.append(error(scheduler, prediction) if fits else np.nan)
    return errors


def distance_at(solver, steps, samples=SAMPLES):
    """Returns the Wasserstein distance of samples from the true mixture on a line."""
    generator = np.random.default_rng(1)
    scheduler, prediction = built(solver)
    scheduler.set_timesteps(steps)
    plan = scheduler.plan_for(**STEP_OPTIONS.get(solver.label, {}))
    alpha, sigma = (np.asarray(level, np.float64) for level in scheduler.levels)
    start = generator.standard_normal((samples, 1)) * np.hypot(alpha[0], sigma[0])
    drawn = follow(plan, (alpha[0], sigma[0]), LINE, prediction, start, generator)
    return wasserstein_distance(drawn[:, 0], LINE.draw(generator, 50 * samples)[:, 0])


STYLES = ("o-", "s--", "^:")


def draw_picture(rows):
    """Draws error against model calls."""
    figure, axes = plt.subplots(figsize=(9, 6), layout="constrained")
    colours = plt.get_cmap("tab10").colors
    for k, (label, errors) in enumerate(rows.items()):
        # Each pair of a colour and a line style is used once.
        style = STYLES[k // len(colours)]
        axes.loglog(CALLS, errors, style, color=colours[k % len(colours)], markersize=5, label=label)
    axes.set_xticks(CALLS, [str(count) for count in CALLS])
    axes.minorticks_off()
    axes.set(xlabel="model calls", ylabel="RMS distance from the exact solution", title="Gaussian mixture, float64")
    axes.grid(alpha=0.3)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside right center", fontsize=8)
    figure.savefig(PICTURE, dpi=110)


def main():
    """Measures all solvers, draws the picture and prints the tables."""
    warnings.simplefilter("ignore")
    rows = {}
    print("| | order | " + " | ".join(f"{count}" for count in CALLS) + " |\n| --- | --- |" + " --- |" * len(CALLS))
    for solver in tqdm(SOLVERS, desc="solvers"):
        rows[solver.label] = errors_at(solver)
        errors = " | ".join(f"{value:.1e}" for value in rows[solver.label])
        tqdm.write(f"| {solver.label} | {observed_order(solver):.2f} | {errors} |")
    print("\n| | " + " | ".join(f"{count}" for count in CALLS) + " |\n| --- |" + " --- |" * len(CALLS))
    for solver in tqdm(STOCHASTIC, desc="stochastic"):
        values = [distance_at(solver, -(-count // built(solver)[0].order)) for count in CALLS]
        tqdm.write(f"| {solver.label} | " + " | ".join(f"{value:.4f}" for value in values) + " |")
    draw_picture(rows)
    print(f"\n{PICTURE}")


if __name__ == "__main__":
    main()
