"""Where Gaussian data and points end, on the host in float64, against exact recursions over the visited timesteps.

Data are N(m, s^2), whose best prediction is linear in the sample, or a single point (s = 0). A sample is followed as
its coefficients: of 1, of the initial noise, of the data's deviation, and of the fresh noise of each step. So one run
gives its mean and variance.
"""

import numpy as np
import pytest
from all_schedulers import CHURN, CLASSES, ROUNDED, each, levels_told, scheduled

POINT = 0.7


def followed(scheduler, output, options, m=POINT, s=0.0):
    """Returns the coefficients of the sample before each row and after the last one, and the plan.

    Args:
        scheduler (Scheduler): Its steps are chosen.
        output (Callable): Gives the prediction, as coefficients, of the plan, its row, a sample, its level, m and s.
        options (dict): Options of `step`.
        m (float): Mean of the data.
        s (float): Standard deviation of the data.
    """
    plan = scheduler.plan_for(**options)
    count, (alpha, sigma) = len(plan), plan.level
    states = {state: np.zeros(count + 3) for state in plan.states}
    states["sample"][:3] = alpha[0] * m, sigma[0], alpha[0] * s
    samples = [states["sample"]]
    for row in range(count):
        z = np.zeros(count + 3)
        z[row + 3] = 1.0
        prediction = output(plan, row, states["sample"], alpha[row], sigma[row], m, s)
        results = plan.run(row, **states, output=prediction, noise=z)
        states = {state: results[state] for state in states}
        samples.append(states["sample"])
    return samples, plan


def by_the_plan(plan, row, x, alpha, sigma, m, s):
    """Returns the output that makes the predicted clean sample m, whatever the prediction is."""
    del alpha, sigma, s
    a, b = (np.broadcast_to(plan.x0.get(part, 0.0), len(plan))[row] for part in ("sample", "output"))
    return (constant(m, x) - a * x) / b


def constant(value, like):
    ones = np.zeros_like(like)
    ones[0] = value
    return ones


INEXACT = {
    "CMStochasticIterativeScheduler": "the clean sample stands for one with noise of sigma_min",
    "DDIMInverseScheduler": "the noise of the clean sample, at which the first step begins, is arbitrary",
    "LCMScheduler": "the sample takes part in the clean one",
    "ScoreSdeVeScheduler": "a discretisation of the SDE, of first order",
    "ScoreSdeVpScheduler": "a discretisation of the SDE, of first order",
}
"""Schedulers that are exact for a point in the limit of small steps only, and why."""


@pytest.mark.parametrize("name", [name for name in CLASSES if name not in INEXACT])
def test_of_a_point_every_sample_has_the_mean_and_variance_of_its_level(name):
    for scheduler, message in each(name, (1, 2, 7, 16), **CHURN.get(name, {})):
        if name == "PNDMScheduler" and scheduler.prediction_type == "v_prediction":
            continue  # Predictions of v at different levels are combined, as in the implementations in use.
        samples, plan = followed(scheduler, by_the_plan, {})
        samples = np.array(samples[1:])
        if name == "DDPMWuerstchenScheduler":
            samples, plan = samples[:-1], plan.take(np.arange(len(plan) - 1))  # It ends with the mean.
        alpha, sigma = plan.next_level
        np.testing.assert_allclose(samples[:, 0], alpha * POINT, atol=1e-7, err_msg=message)
        spreads = np.sqrt(np.square(samples[:, 1:]).sum(axis=1))
        # The few large steps of PNDM multiply what rounds.
        np.testing.assert_allclose(spreads, sigma, rtol=1e-7, atol=1e-6, err_msg=message)


def gaussian(prediction):
    """Returns the best prediction of N(m, s^2) of a kind, as a function for :func:`followed`."""

    def output(plan, row, x, alpha, sigma, m, s):
        del plan, row
        x0 = constant(m, x) + s**2 * alpha / (alpha**2 * s**2 + sigma**2) * (x - constant(alpha * m, x))
        noise = (x - alpha * x0) / sigma
        return {
            "epsilon": noise,
            "sample": x0,
            "v_prediction": alpha * noise - sigma * x0,
            "flow_prediction": noise - x0,
        }[prediction]

    return output


def exact_gaussian(levels, spreads, m, s, mean=None):
    """Returns mean and variance after eq. (12) of DDIM over levels, of which N(m, s^2) has the best prediction.

    ``x_next = alpha_next * x0 + sqrt(sigma_next^2 - spread^2) * eps + spread * z``; with `mean`, weights of x0 and x,
    the mean of DDPM's eq. (7) instead.
    """
    (alpha, sigma), variance = levels[0], levels[0][0] ** 2 * s**2 + levels[0][1] ** 2
    centre = alpha * m
    for alpha_next, sigma_next in levels[1:]:
        gain = s**2 * alpha / (alpha**2 * s**2 + sigma**2)
        spread = spreads(alpha, sigma, alpha_next, sigma_next)
        if mean is None:
            direction = np.sqrt(max(sigma_next**2 - spread**2, 0.0)) / sigma
            of_x0, of_x = alpha_next - direction * alpha, direction
        else:
            of_x0, of_x = mean(alpha, sigma, alpha_next, sigma_next)
        # x0 = m + gain * (x - alpha * m)
        centre = of_x0 * (m + gain * (centre - alpha * m)) + of_x * centre
        variance = (of_x0 * gain + of_x) ** 2 * variance + (spread**2 if sigma_next > 0 else 0.0)
        alpha, sigma = alpha_next, sigma_next
    return centre, variance


def eta_spread(eta):
    def spread(alpha, sigma, alpha_next, sigma_next):
        # Of any scale of x: eq. (16) in the ratio of noise to signal.
        ratio = (sigma_next / alpha_next) / (sigma / alpha)
        return eta * sigma_next * np.sqrt(1 - ratio**2)

    return spread


def tilde(alpha, sigma, alpha_next, sigma_next):
    return sigma_next / sigma * np.sqrt(1 - (alpha / alpha_next) ** 2)


def large(alpha, sigma, alpha_next, sigma_next):
    return np.sqrt(1 - (alpha / alpha_next) ** 2)


def posterior_mean(alpha, sigma, alpha_next, sigma_next):
    beta = 1 - (alpha / alpha_next) ** 2
    return alpha_next * beta / sigma**2, alpha / alpha_next * (sigma_next / sigma) ** 2


def ddim(eta):
    return {"step": {"eta": eta}, "spreads": lambda *level: eta * tilde(*level)}


LARGE = {"variance_type": "fixed_large"}
METHODS = {
    "CogVideoXDDIMScheduler": [({}, {"spreads": lambda *level: 0.0})],
    "DDIMParallelScheduler": [({}, ddim(eta)) for eta in (0.0, 0.5, 1.0)],
    "DDIMScheduler": [({}, ddim(eta)) for eta in (0.0, 0.5, 1.0)],
    "DDPMParallelScheduler": [({}, {"spreads": tilde, "mean": posterior_mean})],
    "DDPMScheduler": [
        ({}, {"spreads": tilde, "mean": posterior_mean}),
        (LARGE, {"spreads": large, "mean": posterior_mean}),
        ({"variance_type": "fixed_large_log"}, {"spreads": large, "mean": posterior_mean}),
    ],
    "DPMSolverMultistepScheduler": [
        ({"solver_order": 1}, {"spreads": lambda *level: 0.0}),
        ({"solver_order": 1, "algorithm_type": "sde-dpmsolver++"}, {"spreads": eta_spread(1.0)}),
    ],
    "EulerAncestralDiscreteScheduler": [({}, {"spreads": eta_spread(1.0)})],
    "EulerDiscreteScheduler": [({}, {"spreads": lambda *level: 0.0})],
    "FlowMatchEulerDiscreteScheduler": [({}, {"spreads": lambda *level: 0.0})],
    "FlowMatchLCMScheduler": [({}, {"spreads": lambda a, s, a_next, s_next: s_next})],
    "UniPCMultistepScheduler": [
        ({"solver_order": 1, "disable_corrector": list(range(1000))}, {"spreads": lambda *level: 0.0})
    ],
    "UnCLIPScheduler": [({}, {"spreads": tilde, "mean": posterior_mean})],
}
"""Methods of first order: their configurations, the fresh noise of a step, and the mean where it is not DDIM's."""


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("m, s", [(0.0, 0.5), (0.7, 0.3), (-1.0, 2.0)])
def test_gaussian_data_end_where_the_formula_over_the_visited_timesteps_does(name, m, s):
    for method, expected in METHODS[name]:
        for scheduler, message in each(name, (1, 7), **method):
            if any(scheduler.config.get(option) for option in (*ROUNDED, "use_flow_sigmas")):
                continue  # The model is told a rounded timestep.
            kind = "flow_prediction" if "Flow" in name else scheduler.config.prediction_type
            samples, plan = followed(scheduler, output_of(scheduler, kind), expected.get("step", {}), m, s)
            told = levels_told(scheduler, plan.timesteps)
            levels = [*zip(*told), tuple(float(level[-1]) for level in plan.next_level)]
            centre, variance = exact_gaussian(levels, expected["spreads"], m, s, expected.get("mean"))
            assert samples[-1][0] == pytest.approx(centre, rel=1e-5, abs=1e-5), message
            assert np.square(samples[-1][1:]).sum() == pytest.approx(variance, rel=1e-4, abs=1e-7), message


def output_of(scheduler, kind):
    """Returns the best prediction; of a scheduler whose samples have the scale of the clean one as the model has it."""
    if not getattr(scheduler, "scaled", False):
        return gaussian(kind)

    def scaled(plan, row, x, alpha, sigma, m, s):
        # The model is given x / sqrt(1 + sigma^2), of level 1 / sqrt(1 + sigma^2).
        root = np.hypot(sigma, 1)
        return gaussian(kind)(plan, row, x / root, 1 / root, sigma / root, m, s)

    return scaled


def test_linspace_ddim_ends_where_the_paper_says():
    scheduler = scheduled("DDIMScheduler", {"beta_schedule": "linear", "timestep_spacing": "linspace"}, 10)
    samples, _ = followed(scheduler, gaussian("epsilon"), {}, 0.0, 0.5)
    assert np.linalg.norm(samples[-1]) == pytest.approx(0.3616, abs=5e-5)
