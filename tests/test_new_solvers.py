"""Solvers of ComfyUI and k-diffusion: their own trajectories, exact mean and variance on Gaussian data, limits."""

import json
import math
from pathlib import Path

import numpy as np
import peer_samplers as peers
import pytest

from mindscience_diffuser import (
    CosineDPMSolverMultistepScheduler,
    DEISMultistepScheduler,
    DPMSolverAncestralScheduler,
    DPMSolverMultistepScheduler,
    DPMSolverSinglestepScheduler,
    EDMDPMSolverMultistepScheduler,
    ERSDEScheduler,
    GradientEstimationScheduler,
    LMSDiscreteScheduler,
    SASolverScheduler,
    SEEDSScheduler,
    UniPCMultistepScheduler,
)
from mindscience_diffuser.schedulers.exponential.er_sde import default_noise_scale

GOLDEN = np.load(Path(__file__).parent / "golden" / "comfy.npz")
CASES = json.loads(str(GOLDEN["cases"]))
SHAPE = (2, 3)
X0 = {"prediction_type": "sample"}
FLOW = {**X0, "use_flow_sigmas": True}
MEAN, SPREAD = 0.7, 0.3
RATIOS = [14.6, 8.0, 4.2, 2.0, 1.1, 0.5, 0.21, 0.06]
FLOW_LEVELS = [0.97, 0.9, 0.81, 0.66, 0.47, 0.31, 0.14]


def sde(order, eta, solver_type="heun", **options):
    options = {"algorithm_type": "sde-dpmsolver++", "lower_order_final": False, **options}
    return DPMSolverMultistepScheduler(solver_order=order, solver_type=solver_type, eta=eta, **X0, **options)


def scheduler_of(case):
    """Returns the scheduler that stands for a sampler of the golden file, and its options of the plan."""
    name, options = case["sampler"], case["options"]
    process = FLOW if case["sigmas"][0] < 1 else X0
    eta = {"eta": options["eta"]} if "eta" in options else {}
    if name in ("dpmpp_2m_sde", "dpmpp_3m_sde"):
        return sde(int(name[6]), options["eta"], options.get("solver_type", "heun")), {}
    if name == "res_multistep":
        return DPMSolverMultistepScheduler(solver_type="heun", lower_order_final=False, **process), {}
    if "ancestral" in name:
        return DPMSolverAncestralScheduler(calls_per_step=1 if "euler" in name else 2, **eta, **process), {}
    if name.startswith("seeds"):
        return SEEDSScheduler(calls_per_step=int(name[-1]), **eta, **process), {}
    if name == "er_sde":
        return ERSDEScheduler(solver_order=options["max_stage"], **process), {}
    if name == "ipndm_v":
        return LMSDiscreteScheduler(**X0), {"order": options["max_order"]}
    return GradientEstimationScheduler(gamma=options.get("ge_gamma", 2.0), **X0), {}


def denoise(x, sigma):
    """The model of the golden file."""
    return x / (1 + sigma**2) + 0.3 * np.tanh(x + sigma)


def walk(scheduler, x, predict, noise, **options):
    """Yields the sample after each row of the plan on the host, in float64."""
    plan = scheduler.plan_for(**options)
    alpha, sigma = scheduler.levels
    states = {**{name: np.zeros_like(x) for name in plan.states}, "sample": x}
    needed = plan.needs_noise
    for row in range(len(plan)):
        fresh = next(noise) if needed[row] else np.zeros_like(x)
        output = predict(states["sample"], (alpha[row], sigma[row]))
        results = plan.run(row, **states, output=output, noise=fresh)
        states = {name: results[name] for name in states}
        yield states["sample"]


def take_levels(scheduler, sigmas):
    """Chooses the levels of a golden case: those of a flow are given without that of the end."""
    scheduler.set_timesteps(sigmas=sigmas[:-1] if getattr(scheduler, "flow", False) else sigmas)
    return scheduler


def golden_model(flow):
    """The toy prediction as a function of a sample and its level: a flow of ComfyUI is told the sample as it is."""
    if flow:
        return lambda x, level: denoise(x, level[1])
    return lambda x, level: denoise(x / level[0], level[1] / level[0])


def trajectory_of(seed, steps, **options):
    """Returns the samples of a plan or of a function of peer_samplers at the scale of the golden file, and its own."""
    case = CASES[seed]
    flow = case["sigmas"][0] < 1
    drawn = iter(np.random.default_rng(seed).standard_normal((101, *SHAPE)))
    start = next(drawn) * case["sigmas"][0]
    return steps(case, flow, start, golden_model(flow), drawn, **options), GOLDEN[f"case_{seed}"][1:]


def by_plan(case, flow, start, predict, drawn):
    scheduler, options = scheduler_of(case)
    take_levels(scheduler, case["sigmas"])
    alpha = scheduler.levels[0] if not flow else np.ones(len(scheduler.sigmas))
    rows = walk(scheduler, start * alpha[0], predict, drawn, **options)
    return np.stack([x / after for x, after in zip(rows, alpha[1:])])


def by_peer(case, flow, start, predict, drawn, **choices):
    """The functions of peer_samplers at alpha = 1, or of a flow."""
    name, options = case["sampler"], case["options"]
    levels = [(1 - s, s) if flow else (1.0, s) for s in case["sigmas"]]
    if name == "dpmpp_3m_sde":
        return np.stack([*peers.sde_multistep(start, levels, predict, drawn, options["eta"], 3, "heun", **choices)])
    if name == "er_sde":
        scale = default_noise_scale
        return np.stack([*peers.er_sde(start, levels, predict, drawn, options["max_stage"], scale, **choices)])
    return np.stack([*peers.adams_bashforth(start, levels, predict, options["max_order"], **choices)])


def differs(case):
    """Whether ComfyUI or k-diffusion have other weights than the method, see docs_cn/deviations.md."""
    name, options = case["sampler"], case["options"]
    even = len(set(np.diff(case["sigmas"]))) == 1
    return (
        name == "dpmpp_3m_sde"
        or (name == "er_sde" and options["max_stage"] > 1)
        or (name == "ipndm_v" and options["max_order"] > (3 if even else 2))
    )


def same(found, expected, tolerance=1e-9):
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("seed", [seed for seed, case in enumerate(CASES) if not differs(case)])
def test_trajectories_are_those_of_comfyui_and_k_diffusion(seed):
    found, expected = trajectory_of(seed, by_plan)
    if CASES[seed]["sampler"] in ("ipndm_v", "gradient_estimation"):
        found, expected = found[:-1], expected[:-1]  # There the last step, to sigma = 0, is Euler's.
    same(found, expected)


AS_PUBLISHED = {
    "dpmpp_3m_sde": {"curvature": 1.0},
    "er_sde": {"integrals": "sum", "differences": "taylor"},
    "ipndm_v": {"as_published": True},
}


@pytest.mark.parametrize("seed", [seed for seed, case in enumerate(CASES) if differs(case)])
def test_where_weights_differ_it_is_by_what_the_deviations_tell(seed):
    name = CASES[seed]["sampler"]
    last = slice(None, -1 if name == "ipndm_v" else None)
    published, expected = trajectory_of(seed, by_peer, **AS_PUBLISHED[name])
    same(published[last], expected[last], 1e-6 if name == "er_sde" else 1e-9)  # It adds its points in float32.
    found, _ = trajectory_of(seed, by_plan)
    right, _ = trajectory_of(seed, by_peer)
    same(found, right)
    assert np.abs(found[last] - expected[last]).max() > 1e-4


@pytest.mark.parametrize("as_published, least, most", [(False, 3.85, 4.15), (True, 0.0, 1.9)])
def test_variable_steps_of_fourth_order_need_the_right_coefficients(as_published, least, most):
    errors = []
    for count in (200, 400):
        sigmas = np.linspace(3.0, 0.5, count + 1) ** 3
        levels = [(1.0, sigma) for sigma in sigmas]
        x = np.hypot(SPREAD, sigmas[0]) * np.ones(1)

        def predict(x, level):
            return x * SPREAD**2 / (SPREAD**2 + level[1] ** 2)

        *_, last = peers.adams_bashforth(x, levels, predict, 4, as_published)
        errors.append(abs(last[0] - np.hypot(SPREAD, sigmas[-1])))
    assert least < np.log2(errors[0] / errors[1]) < most


@pytest.mark.parametrize("differences, order", [("polynomial", 3), ("taylor", 2)])
def test_third_order_of_er_sde_needs_the_slope_at_the_beginning_of_the_step(differences, order):
    errors = []
    for count in (100, 200):
        ratios = np.exp(np.linspace(np.log(20.0), np.log(0.05), count + 1))
        levels = [(1.0, ratio) for ratio in ratios]
        x = np.hypot(SPREAD, ratios[0]) * np.ones(1)
        zeros = iter(np.zeros((count, 1)))

        def predict(x, level):
            return x * SPREAD**2 / (SPREAD**2 + level[1] ** 2)

        *_, last = peers.er_sde(x, levels, predict, zeros, 3, lambda r: r, "exact", differences)
        errors.append(abs(last[0] - np.hypot(SPREAD, ratios[-1])))
    assert abs(np.log2(errors[0] / errors[1]) - order) <= 0.15


# --- mean and variance of Gaussian data ------------------------------------------------------------------------------


def best(x, level):
    """The best prediction of N(MEAN, SPREAD^2), of the coefficients of a sample."""
    alpha, sigma = level
    centre = np.zeros_like(x)
    centre[0] = MEAN
    return centre + SPREAD**2 * alpha / (alpha**2 * SPREAD**2 + sigma**2) * (x - alpha * centre)


def coefficients(level, count=40):
    """Returns a sample as coefficients: of 1, of the deviation of the data, of the noise of the start and of steps."""
    x = np.zeros(count + 3)
    x[:3] = level[0] * MEAN, level[0] * SPREAD, level[1]
    return x, iter(np.eye(count + 3)[3:])


def moments(samples):
    samples = np.array(samples)
    return np.stack([samples[:, 0], np.square(samples[:, 1:]).sum(axis=1)])


def steps_of(scheduler):
    """Returns the levels of the steps of a scheduler: of those with calls inside their steps where they begin."""
    alpha, sigma = scheduler.levels
    rows = [*range(0, len(alpha) - 1, scheduler.order), len(alpha) - 1]
    return list(zip(alpha[rows], sigma[rows]))


ETAS = (0.0, 0.35, 1.0)
GAUSSIAN = {
    **{
        f"DPM++ {order}M SDE, {kind}, eta={eta}": (
            lambda order=order, kind=kind, eta=eta: sde(order, eta, kind),
            lambda x, levels, noise, order=order, kind=kind, eta=eta: peers.sde_multistep(
                x, levels, best, noise, eta, order, kind
            ),
        )
        for order, kind in ((1, "heun"), (2, "midpoint"), (2, "heun"), (3, "heun"))
        for eta in ETAS
    },
    **{
        f"DEIS-2, eta={eta}": (
            lambda eta=eta: DEISMultistepScheduler(eta=eta, lower_order_final=False, **X0),
            lambda x, levels, noise, eta=eta: peers.noise_multistep(x, levels, best, noise, eta),
        )
        for eta in ETAS
    },
    **{
        f"DPM-Solver-2 SDE in terms of the noise, eta={eta}": (
            lambda eta=eta: sde(2, eta, algorithm_type="sde-dpmsolver", final_sigmas_type="sigma_min"),
            lambda x, levels, noise, eta=eta: peers.noise_multistep(x, levels, best, noise, eta),
        )
        for eta in ETAS
    },
    "DPM++ 2S SDE, eta=0.35": (
        lambda: DPMSolverSinglestepScheduler(algorithm_type="sde-dpmsolver++", eta=0.35, **X0),
        lambda x, levels, noise: peers.sde_singlestep(x, levels, best, noise, 0.35),
    ),
    **{
        f"DPM++ {order}S ancestral, flow={flow}, eta={eta}": (
            lambda order=order, flow=flow, eta=eta: DPMSolverAncestralScheduler(
                calls_per_step=order, eta=eta, **(FLOW if flow else X0)
            ),
            lambda x, levels, noise, order=order, flow=flow, eta=eta: peers.ancestral(
                x, levels, best, noise, eta, order, flow
            ),
        )
        for order in (1, 2)
        for flow in (False, True)
        for eta in ETAS
    },
    **{
        f"SEEDS-{order}, flow={flow}, eta={eta}": (
            lambda order=order, flow=flow, eta=eta: SEEDSScheduler(
                calls_per_step=order, eta=eta, **(FLOW if flow else X0)
            ),
            lambda x, levels, noise, order=order, flow=flow, eta=eta: peers.seeds(
                x, levels, best, noise, eta, order, flow
            ),
        )
        for order in (2, 3)
        for flow in (False, True)
        for eta in ETAS
    },
    **{
        f"ER-SDE-{order}, {name}": (
            lambda order=order, scale=scale: ERSDEScheduler(solver_order=order, noise_scaler=scale, **X0),
            lambda x, levels, noise, order=order, scale=scale: peers.er_sde(
                x, levels, best, noise, order, scale or default_noise_scale
            ),
        )
        for order in (1, 2, 3)
        for name, scale in (("default", None), ("SDE", np.square), ("2.5", lambda r: r**2.5))
    },
}


@pytest.mark.parametrize("name", GAUSSIAN)
def test_gaussian_data_have_mean_and_variance_of_the_formula_after_each_step(name):
    build, formula = GAUSSIAN[name]
    scheduler = build()
    levels = RATIOS if not scheduler.flow else FLOW_LEVELS
    take_levels(scheduler, [*levels, 0.0 if scheduler.predicts_x0 and "2S SDE" not in name else 0.02])
    levels = steps_of(scheduler)
    x, noise = coefficients(levels[0])
    found = moments(list(walk(scheduler, x, best, noise)))
    x, noise = coefficients(levels[0])
    expected = moments(list(formula(x, levels, noise)))
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


def test_integrals_of_er_sde_are_exact_over_long_steps():
    def steep(ratio):
        return ratio**2.5

    scheduler = take_levels(ERSDEScheduler(noise_scaler=steep, **X0), [157.0, 20.0, 3.0, 0.01, 0.0])
    levels = steps_of(scheduler)
    (x, noise), (y, fresh) = coefficients(levels[0]), coefficients(levels[0])
    found = moments(list(walk(scheduler, x, best, noise)))
    expected = moments(list(peers.er_sde(y, levels, best, fresh, 3, steep)))
    np.testing.assert_allclose(found, expected, rtol=1e-9)


@pytest.mark.parametrize("kind", [EDMDPMSolverMultistepScheduler, CosineDPMSolverMultistepScheduler])
@pytest.mark.parametrize("eta", ETAS)
def test_eta_means_the_same_around_a_denoiser(kind, eta):
    options = {"algorithm_type": "sde-dpmsolver++"} if kind is EDMDPMSolverMultistepScheduler else {}
    scheduler = kind(prediction_type="sample", eta=eta, lower_order_final=False, **options)
    scheduler.set_timesteps(sigmas=[*RATIOS, 0.0])
    levels = steps_of(scheduler)
    (x, noise), (y, fresh) = coefficients(levels[0]), coefficients(levels[0])
    formula = peers.sde_multistep(y, levels, best, fresh, eta, 2, "midpoint")
    np.testing.assert_allclose(moments(list(walk(scheduler, x, best, noise))), moments(list(formula)), rtol=1e-9)


# --- limits ----------------------------------------------------------------------------------------------------------

WITH_ETA = {
    "DPM++ 2M": lambda eta: sde(2, eta, "midpoint"),
    "DPM++ 3M": lambda eta: sde(3, eta),
    "DPM++ 2S": lambda eta: DPMSolverSinglestepScheduler(algorithm_type="sde-dpmsolver++", eta=eta, **X0),
    "DEIS": lambda eta: DEISMultistepScheduler(eta=eta, **X0),
    "UniPC": lambda eta: UniPCMultistepScheduler(eta=eta, **X0),
    "DPM++ 2S ancestral": lambda eta: DPMSolverAncestralScheduler(eta=eta, **X0),
    "flow ancestral": lambda eta: DPMSolverAncestralScheduler(eta=eta, **FLOW),
    "SEEDS-2": lambda eta: SEEDSScheduler(eta=eta, **X0),
    "SEEDS-3": lambda eta: SEEDSScheduler(eta=eta, calls_per_step=3, **X0),
    "ER-SDE": lambda eta: ERSDEScheduler(noise_scaler=lambda r: r ** (1 + eta), **X0),
}


def end_of(scheduler, count):
    """Returns mean and variance of Gaussian data at the end of a trajectory, and those that are right."""
    ratios = np.exp(np.linspace(np.log(20.0), np.log(0.05), count + 1))
    flow = scheduler.flow
    scheduler.set_timesteps(sigmas=ratios[:-1] / (1 + ratios[:-1]) if flow else ratios)
    last = -2 if flow else -1  # A flow ends with a step to the clean sample.
    alpha, sigma = (part[last] for part in scheduler.levels)
    x, noise = coefficients(steps_of(scheduler)[0], 3 * count)
    right = np.array([alpha * MEAN, alpha**2 * SPREAD**2 + sigma**2])
    return moments(list(walk(scheduler, x, best, noise)))[:, last], right


@pytest.mark.parametrize("name", WITH_ETA)
def test_eta_towards_zero_becomes_the_ode_solver(name):
    ode, _ = end_of(WITH_ETA[name](0.0), 12)
    assert np.abs(end_of(WITH_ETA[name](1e-9), 12)[0] - ode).max() < 1e-7
    assert np.abs(end_of(WITH_ETA[name](0.5), 12)[0] - ode).max() > 1e-5
    plan = WITH_ETA[name](0.0)
    plan.set_timesteps(5)
    assert not plan.plan.needs_noise.any()


def test_sde_algorithm_without_noise_is_that_of_the_ode():
    ode = DPMSolverMultistepScheduler(solver_order=3, lower_order_final=False, solver_type="heun", **X0)
    schedulers = [ode, sde(3, 0.0)]
    for scheduler in schedulers:
        scheduler.set_timesteps(20)
    assert schedulers[0].plan.fingerprint == schedulers[1].plan.fingerprint


@pytest.mark.parametrize("eta", [0.35, 1.0])
@pytest.mark.parametrize("order", [1, 2, 3])
def test_unipc_along_the_sde_is_sa_solver_of_a_constant_tau(order, eta):
    options = {"lower_order_final": False, **X0}
    unipc = UniPCMultistepScheduler(solver_order=order, solver_type="bh1", eta=eta, **options)
    adams = SASolverScheduler(predictor_order=order, corrector_order=order + 1, tau_func=lambda t: eta**0.5, **options)
    plans = []
    for scheduler in (unipc, adams):
        scheduler.set_timesteps(sigmas=[*RATIOS, 0.03])
        plans.append(scheduler.plan.folded())
    assert plans[0].states.keys() == plans[1].states.keys()
    for state, weights in plans[1].states.items():
        for value in weights:
            np.testing.assert_allclose(plans[0].states[state][value], weights[value], rtol=1e-9, atol=1e-12)


def test_ancestral_steps_without_noise_are_seeds_2_without_noise():
    schedulers = [DPMSolverAncestralScheduler(eta=0.0), SEEDSScheduler(eta=0.0)]
    for scheduler in schedulers:
        scheduler.set_timesteps(6)
    found, expected = (scheduler.plan.folded().states["sample"] for scheduler in schedulers)
    assert found.keys() == expected.keys()
    for value in found:
        np.testing.assert_allclose(found[value], expected[value], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("eta", [0.3, 1.0])
@pytest.mark.parametrize("name", WITH_ETA)
def test_any_eta_leads_to_the_distribution_of_the_data(name, eta):
    errors = []
    for count in (80, 160):
        found, right = end_of(WITH_ETA[name](eta), count)
        errors.append(np.abs(found - right).max())
    assert errors[1] < 0.62 * errors[0] and errors[1] < 7e-3


@pytest.mark.parametrize("eta", ETAS)
def test_a_scale_of_the_power_law_is_the_sde_of_eta(eta):
    extended = take_levels(ERSDEScheduler(solver_order=1, noise_scaler=lambda r: r ** (1 + eta), **X0), [*RATIOS, 0.0])
    plain = take_levels(sde(1, eta), [*RATIOS, 0.0])
    for name in ("sample", "noise"):
        found = extended.plan.folded().states["sample"][name]
        expected = plain.plan.folded().states["sample"].get(name, 0.0)
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    "source, target, arguments, eta",
    [
        (SEEDSScheduler(eta=0.3), DPMSolverMultistepScheduler, {}, None),
        (SEEDSScheduler(eta=0.3), DPMSolverMultistepScheduler, {"algorithm_type": "sde-dpmsolver++"}, 0.3),
        (SEEDSScheduler(eta=0.3), DEISMultistepScheduler, {}, 0.0),
        (SEEDSScheduler(eta=0.3), DPMSolverAncestralScheduler, {}, 0.3),
        (sde(2, 0.3), SEEDSScheduler, {}, 0.3),
        (sde(2, 0.3), UniPCMultistepScheduler, {}, 0.0),
        (sde(2, None), SEEDSScheduler, {}, 1.0),
        (DEISMultistepScheduler(eta=0.3), UniPCMultistepScheduler, {}, 0.3),
        (DPMSolverMultistepScheduler(), SEEDSScheduler, {}, 1.0),
    ],
)
@pytest.mark.filterwarnings("ignore:.*kept in its config")
def test_eta_of_a_configuration_goes_to_methods_of_its_kind(source, target, arguments, eta):
    assert target.from_config(source.config, **arguments).config.eta == eta


# --- errors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind, arguments, words",
    [
        (
            DPMSolverMultistepScheduler,
            {"eta": 0.5},
            r"'eta' is 0.5.*'dpmsolver\+\+' follows the ODE.*sde-dpmsolver\+\+",
        ),
        (
            UniPCMultistepScheduler,
            {"eta": 0.5, "solver_p": DPMSolverMultistepScheduler()},
            "'eta' is 0.5, but 'solver_p' predicts without noise",
        ),
        (DPMSolverSinglestepScheduler, {"eta": -1.0}, r"'eta' must be in \[0, inf\), but is -1.0"),
        (DPMSolverAncestralScheduler, {"eta": 1.5}, r"'eta' must be in \[0, 1\], but is 1.5"),
        (DPMSolverAncestralScheduler, {"calls_per_step": 3}, r"'calls_per_step' must be in \[1, 2\], but is 3"),
        (SEEDSScheduler, {"calls_per_step": 1}, r"'calls_per_step' must be in \[2, 3\], but is 1"),
        (SEEDSScheduler, {"prediction_type": "flow_prediction"}, "set use_flow_sigmas=True"),
        (ERSDEScheduler, {"noise_scaler": np.sqrt}, "'noise_scaler' must be a function.*rise at least as fast"),
        (ERSDEScheduler, {"noise_scaler": lambda r: -r}, "'noise_scaler' must be a function.*above 0"),
        (GradientEstimationScheduler, {"gamma": 0.5}, r"'gamma' must be in \[1, 5\], but is 0.5"),
    ],
)
def test_mistakes_are_named(kind, arguments, words):
    with pytest.raises(ValueError, match=words):
        kind(**arguments)


def test_scale_of_the_noise_must_be_a_function_of_arrays():
    with pytest.raises(TypeError, match="'noise_scaler' must be a function, but is 2.0"):
        ERSDEScheduler(noise_scaler=2.0)
    with pytest.raises(TypeError, match="'noise_scaler' must be a function of arrays of NumPy, but raised: only"):
        ERSDEScheduler(noise_scaler=math.exp)
    with pytest.raises(ValueError, match=r"'noise_scaler' must return an array .* shape \(\) for \(1000,\)"):
        ERSDEScheduler(noise_scaler=lambda ratio: 1.0)
    with pytest.raises(ValueError, match=r"'noise_scaler' must be a function .* but phi\(999999\) is inf"):
        ERSDEScheduler(noise_scaler=lambda ratio: np.where(ratio > 1e5, np.inf, ratio**2), **FLOW)
