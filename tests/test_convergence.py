"""Solvers converge with the order of their papers, on data whose probability-flow ODE is solved to rounding."""

import importlib.util
import re
import sys
from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor

BENCH = Path(__file__).parents[1] / "scripts" / "bench"


def load(name):
    spec = importlib.util.spec_from_file_location(name, BENCH / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


mixture = load("mixture")
convergence = load("convergence")
SOLVERS = {solver.label: solver for solver in convergence.SOLVERS}
LEAST = {1: 0.95, 2: 1.9, 3: 2.7, 4: 3.6}


@pytest.mark.parametrize("label", SOLVERS)
def test_observed_order_is_that_of_the_paper(label):
    solver = SOLVERS[label]
    assert convergence.observed_order(solver, (80, 160)) >= LEAST[solver.order]


@pytest.mark.parametrize("label", [label for label in SOLVERS if re.match("DPM.*heun|SEEDS|ER-SDE|Grad", label)])
def test_observed_order_is_the_stated_one(label):
    solver = SOLVERS[label]
    assert abs(convergence.observed_order(solver, (160, 320)) - solver.order) <= 0.15


@pytest.mark.parametrize("label", ["Euler", "DPM-Solver++(2M)", "UniPC-3", "DEIS-3"])
def test_device_converges_as_the_host_plan_until_rounding(label):
    scheduler, prediction = convergence.built(SOLVERS[label])
    start = np.random.default_rng(0).standard_normal((64, 2))
    errors = []
    for count in (20, 40):
        scheduler.set_timesteps(sigmas=convergence.even_levels(count, flow=False))
        alpha, sigma = scheduler.levels
        x = start * np.hypot(alpha[0], sigma[0])
        exact = convergence.PLANE.flow(x, (alpha[0], sigma[0]), (alpha[-1], sigma[-1]))
        x = Tensor(x, ms.float32)
        for k, timestep in enumerate(scheduler.timesteps):
            output = convergence.PLANE.predict(prediction, x.asnumpy().astype(np.float64), alpha[k], sigma[k])
            scheduler.go_to(k)
            x = scheduler.step(Tensor(output, ms.float32), x, timestep)
        errors.append((np.sqrt(np.mean((x.asnumpy() - exact) ** 2)), convergence.error(scheduler, prediction)))
    for on_device, on_host in errors:
        assert on_device == pytest.approx(on_host, rel=1e-2, abs=2e-5)


def test_stochastic_samples_approach_the_mixture():
    solver = next(s for s in convergence.STOCHASTIC if s.label == "DPM-Solver++ SDE")
    coarse, fine = (convergence.distance_at(solver, steps, samples=4000) for steps in (5, 40))
    assert fine < 0.25 * coarse
    assert fine < 0.05


def test_exact_solution_does_not_depend_on_where_it_is_interrupted():
    x = np.random.default_rng(0).standard_normal((8, 2)) * 10
    plane = convergence.PLANE
    at_once = plane.flow(x, (1.0, 10.0), (1.0, 0.1))
    halfway = plane.flow(x, (1.0, 10.0), (1.0, 2.0))
    assert np.abs(plane.flow(halfway, (1.0, 2.0), (1.0, 0.1)) - at_once).max() < 1e-11


def test_predictions_agree_on_the_clean_sample():
    x = np.random.default_rng(0).standard_normal((8, 2))
    alpha, sigma = 0.6, 0.8
    x0 = convergence.PLANE.predict("sample", x, alpha, sigma)
    noise = convergence.PLANE.predict("epsilon", x, alpha, sigma)
    velocity = convergence.PLANE.predict("v_prediction", x, alpha, sigma)
    assert np.allclose(alpha * x0 + sigma * noise, x)
    assert np.allclose(velocity, alpha * noise - sigma * x0)
