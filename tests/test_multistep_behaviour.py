"""What the solvers in the log-SNR promise: exactness on polynomials, finite weights everywhere, clear errors."""

import json
import warnings

import numpy as np
import pytest
from mindspore import Tensor, nn
from mindspore import dtype as mstype
from scipy.integrate import quad_vec

import mindscience_diffuser
from mindscience_diffuser import (
    DPMSolverMultistepInverseScheduler,
    DPMSolverMultistepScheduler,
    DPMSolverSinglestepScheduler,
    Sampler,
    SASolverScheduler,
    UniPCMultistepScheduler,
)
from mindscience_diffuser.schedulers.exponential.exponential import ExponentialStep, log_snr

CLASSES = (
    "DPMSolverMultistepScheduler",
    "DPMSolverSinglestepScheduler",
    "DPMSolverMultistepInverseScheduler",
    "UniPCMultistepScheduler",
    "DEISMultistepScheduler",
    "SASolverScheduler",
    "EDMDPMSolverMultistepScheduler",
    "CosineDPMSolverMultistepScheduler",
)
ALONG_THE_ODE = {"algorithm_type": "dpmsolver", "final_sigmas_type": "sigma_min"}


def scheduled(name, steps, **arguments):
    scheduler = getattr(mindscience_diffuser, name)(**arguments)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scheduler.set_timesteps(steps)
    return scheduler


# --- exactness -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("predicts_x0", [True, False])
@pytest.mark.parametrize("tau", [0.0, 0.7, 1.0])
@pytest.mark.parametrize("order", [1, 2, 3])
def test_polynomials_of_lambda_are_integrated_exactly(predicts_x0, tau, order):
    nodes, end = np.array([-2.3, -2.5, -4.0]), 0.4
    alpha_s, alpha_t = (1 / np.sqrt(1 + np.exp(-2 * x)) for x in (nodes[:1], np.array([end])))
    step = ExponentialStep((alpha_s, np.sqrt(1 - alpha_s**2)), (alpha_t, np.sqrt(1 - alpha_t**2)), predicts_x0, tau)
    polynomial, rate = np.polynomial.Polynomial([0.3, -1.2, 0.8][:order]), 1 + tau**2

    def integrand(x):
        kernel = np.exp(rate * (x - end)) if predicts_x0 else -np.exp(-x)
        return alpha_t * rate * kernel * polynomial(x)

    weights = step.weights(nodes[:order, None], np.array([order]))[:, 0]
    expected = quad_vec(integrand, nodes[0], end, epsabs=1e-13)[0][0]
    assert np.isclose((weights * polynomial(nodes[:order])).sum(), expected, rtol=1e-11)


@pytest.mark.parametrize("h", [1e-5, 1e-3, 0.3, 5.0, 60.0])
def test_moments_lose_no_accuracy_at_short_and_long_steps(h):
    one = np.ones(1)
    for predicts_x0 in (True, False):
        # alpha = 1 and sigma = exp(-lambda): the weights of x0 are those of the kernel, the noise has the factor -1.
        step = ExponentialStep((one, one), (one, one * np.exp(-h)), predicts_x0)
        for k in range(4):
            kernel = (lambda y: np.exp(-h * (1 - y))) if predicts_x0 else (lambda y: -np.exp(-h * y))
            expected = quad_vec(lambda y, kernel=kernel, k=k: h * kernel(y) * y**k, 0, 1, epsrel=1e-13)[0]
            assert np.isclose(step.moment(k)[0], expected, rtol=1e-10, atol=0)


@pytest.mark.parametrize(
    "name, arguments",
    [
        ("DPMSolverMultistepScheduler", {}),
        ("DPMSolverMultistepScheduler", {"solver_type": "heun", **ALONG_THE_ODE}),
        ("DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++"}),
        ("DPMSolverSinglestepScheduler", {"solver_type": "heun"}),
        ("UniPCMultistepScheduler", {}),
        ("UniPCMultistepScheduler", {"predict_x0": False}),
        ("DEISMultistepScheduler", {}),
        ("SASolverScheduler", {"predictor_order": 3, "corrector_order": 4}),
    ],
)
def test_every_step_keeps_a_sample_whose_prediction_is_exact(name, arguments):
    # x = alpha * x0 + sigma * eps with fixed x0 and eps is a trajectory of the ODE; the SDE keeps x0 alone.
    arguments = {"solver_order": 3, **arguments} if name != "SASolverScheduler" else arguments
    scheduler = scheduled(name, 20, use_karras_sigmas=True, **arguments)
    plan, (alpha, sigma) = scheduler.plan, scheduler.levels
    x0, eps = 0.7, 0.0 if plan.stochastic else -1.3
    states = dict.fromkeys(plan.states, 0.0)
    states["sample"] = alpha[0] * x0 + sigma[0] * eps
    for i in range(len(plan)):
        results = plan.run(i, **states, output=(states["sample"] - alpha[i] * x0) / sigma[i], noise=0.0)
        states = {state: results[state] for state in states}
        if not plan.stochastic:
            assert np.isclose(states["sample"], alpha[i + 1] * x0 + sigma[i + 1] * eps, atol=1e-10)
    assert np.isclose(states["sample"], alpha[-1] * x0 + sigma[-1] * eps, atol=0.02 if plan.stochastic else 1e-10)


def test_inversion_undoes_the_solver():
    forward = scheduled("DPMSolverMultistepScheduler", 500, final_sigmas_type="sigma_min", lower_order_final=False)
    backward = scheduled("DPMSolverMultistepInverseScheduler", 500, lower_order_final=False)
    start = sample = np.array([0.8, -1.7, 0.1])
    for scheduler in (backward, forward):
        states = {state: np.zeros(3) for state in scheduler.plan.states}
        for i in range(len(scheduler.plan)):
            states["sample"] = sample
            alpha, sigma = (weight[i] for weight in scheduler.levels)
            # The noise that data of unit variance around 0.5 has in it.
            output = sigma * (sample - 0.5 * alpha) / (0.25 * alpha**2 + sigma**2)
            results = scheduler.plan.run(i, **states, output=output)
            states = {state: results[state] for state in states}
            sample = states["sample"]
    assert np.allclose(sample, start, atol=2e-3)


# --- any number of steps, any level ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("steps", [1, 2, 3, 999, 1000])
def test_weights_are_finite_for_few_and_for_all_steps(name, steps):
    plan = scheduled(name, steps).plan
    assert len(plan) == steps or name == "DPMSolverMultistepInverseScheduler"
    for weights in (plan.x0, *plan.states.values()):
        assert all(np.all(np.isfinite(weight)) for weight in weights.values())


@pytest.mark.parametrize("arguments", [{}, {"solver_type": "heun"}, {"algorithm_type": "sde-dpmsolver++"}])
def test_repeated_levels_change_nothing(arguments):
    scheduler = DPMSolverMultistepScheduler(solver_order=3, lower_order_final=False, **arguments)
    scheduler.set_timesteps(sigmas=[20.0, 5.0, 5.0, 5.0, 1.0, 0.2, 0.2])
    repeated = np.array([False, True, True, False, False, True])
    sample = scheduler.plan.folded().states["sample"]
    assert np.allclose(sample["output"][repeated], 0) and np.allclose(sample["sample"][repeated], 1)
    assert all(np.all(np.isfinite(weight)) for weight in sample.values())


def test_flows_start_next_to_pure_noise():
    scheduler = UniPCMultistepScheduler(use_flow_sigmas=True, prediction_type="flow_prediction", flow_shift=3.0)
    scheduler.set_timesteps(sigmas=[1.0, 0.5])
    assert np.allclose(scheduler.sigmas, [1 - 1e-6, 0.75, 0.0], atol=1e-12)
    assert scheduler.timesteps.tolist() == [999, 750]


@pytest.mark.parametrize("name", ["DPMSolverMultistepScheduler", "DEISMultistepScheduler", "SASolverScheduler"])
def test_spaced_levels_of_a_flow_have_the_ratios_of_the_schedule(name):
    flow = {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}
    ratios = scheduled(name, 5, use_karras_sigmas=True).sigmas[:5]
    assert np.allclose(scheduled(name, 5, use_karras_sigmas=True, **flow).sigmas[:5], ratios / (1 + ratios))


def test_clipped_log_snr_leaves_out_the_noisiest_timesteps():
    scheduler = scheduled("DPMSolverMultistepScheduler", 5, beta_schedule="squaredcos_cap_v2", lambda_min_clipped=-5.1)
    assert log_snr(*scheduler.levels)[0] >= -5.1 - 0.01
    assert scheduler.timesteps[0] < 999


def test_order_follows_the_predictions_since_the_trajectory_began():
    scheduler = scheduled("DPMSolverMultistepScheduler", 20, solver_order=3)
    sample = scheduler.trajectory_plan(begin=5).states["sample"]
    assert sample["prediction_1"][5] == sample["prediction_2"][5] == sample["prediction_2"][6] == 0
    assert sample["prediction_1"][6] != 0 and sample["prediction_2"][7] != 0


def test_groups_of_a_singlestep_trajectory_that_begins_inside_one_are_cut():
    scheduler = scheduled("DPMSolverSinglestepScheduler", 9, solver_order=3)
    assert scheduler.orders(0).tolist() == [1, 2, 3, 1, 2, 3, 1, 2, 1]
    assert scheduler.orders(1).tolist()[1:] == [1, 2, 1, 2, 3, 1, 2, 1]


def test_part_of_a_trajectory_in_the_sampler_starts_without_a_past():
    scheduler = scheduled("DPMSolverMultistepScheduler", 6)
    sampler = Sampler(Scaled(), scheduler, method="step")
    sampler.select_steps(start=3)
    x = np.random.default_rng(0).standard_normal((2, 3)).astype(np.float32)
    expected = Tensor(x)
    for t in scheduler.timesteps[3:]:
        expected = scheduler.step(0.2 * expected, expected, int(t))
    assert np.allclose(sampler(Tensor(x)).asnumpy(), expected.asnumpy(), atol=1e-6)


class Scaled(nn.Cell):
    """A model that returns a fifth of its input."""

    def construct(self, x, timestep):
        return 0.2 * x


def test_seed_gives_the_same_noise_in_the_sampler_and_step_by_step():
    scheduler = scheduled("SASolverScheduler", 4, tau_func=lambda t: float(t < 600))
    assert (scheduler.plan.states["sample"]["noise"] > 0).tolist() == [False, False, True, True]
    x = np.random.default_rng(0).standard_normal((2, 3)).astype(np.float32)
    stepped = Tensor(x)
    for t in scheduler.timesteps:
        stepped = scheduler.step(0.2 * stepped, stepped, int(t), generator=5)
    drawn = Sampler(Scaled(), scheduler)(Tensor(x), generator=5)
    assert np.allclose(stepped.asnumpy(), drawn.asnumpy(), atol=1e-5)


# --- choices ---------------------------------------------------------------------------------------------------------


def test_a_solver_that_takes_the_place_of_the_predictor_is_followed():
    own = scheduled("UniPCMultistepScheduler", 10)
    with_euler = scheduled("UniPCMultistepScheduler", 10, solver_p=DPMSolverMultistepScheduler(solver_order=1))
    with_second = scheduled("UniPCMultistepScheduler", 10, solver_p=DPMSolverMultistepScheduler(solver_order=2))
    results = []
    for scheduler in (own, with_euler, with_second):
        states = dict.fromkeys(scheduler.plan.states, 0.0)
        states["sample"] = 1.0
        for i in range(10):
            results_of_step = scheduler.plan.run(i, **states, output=0.2 * states["sample"])
            states = {state: results_of_step[state] for state in states}
        results.append(states["sample"])
    # The second order predictors of both are the same, but for the last steps, where only one lowers its order.
    assert np.isclose(results[0], results[2], rtol=0.01) and not np.isclose(results[0], results[1], rtol=0.01)


def test_tau_of_zero_makes_sa_solver_deterministic_and_one_the_sde():
    zero = scheduled("SASolverScheduler", 5, tau_func=lambda t: 0)
    one = scheduled("SASolverScheduler", 5, tau_func=lambda t: 1, predictor_order=1, corrector_order=1)
    sde = scheduled("DPMSolverMultistepScheduler", 5, algorithm_type="sde-dpmsolver++", final_sigmas_type="sigma_min")
    assert not zero.plan.states["sample"]["noise"].any()
    assert np.allclose(one.plan.states["sample"]["noise"], sde.plan.states["sample"]["noise"])


def test_names_of_other_solvers_are_taken_from_their_configurations():
    with pytest.warns(UserWarning, match="kept in its config"):
        unipc = UniPCMultistepScheduler.from_config(DPMSolverMultistepScheduler(solver_type="heun").config)
    assert unipc.config.solver_type == "bh2"
    assert DPMSolverMultistepScheduler(algorithm_type="deis", solver_type="logrho").config.solver_type == "midpoint"


def test_infinite_bound_survives_a_configuration_file(tmp_path):
    DPMSolverMultistepScheduler().save_pretrained(tmp_path)
    assert json.loads((tmp_path / "scheduler_config.json").read_text())["lambda_min_clipped"] == -np.inf
    assert DPMSolverMultistepScheduler.from_pretrained(tmp_path).config.lambda_min_clipped == -np.inf


# --- bad input -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind, arguments, words",
    [
        (DPMSolverMultistepScheduler, {"algorithm_type": "dpmsolver"}, "'final_sigmas_type' is 'zero'.*sigma_min"),
        (DPMSolverMultistepScheduler, {"solver_order": 4}, r"'solver_order' must be in \[1, 3\], but is 4"),
        (DPMSolverMultistepScheduler, {"prediction_type": "flow_prediction"}, "set use_flow_sigmas=True"),
        (DPMSolverMultistepScheduler, {"use_lu_lambdas": True, "use_beta_sigmas": True}, "both set"),
        (DPMSolverMultistepInverseScheduler, {"algorithm_type": "sde-dpmsolver++"}, "'algorithm_type' must be one of"),
        (DPMSolverSinglestepScheduler, {"algorithm_type": "sde-dpmsolver"}, "'algorithm_type' must be one of"),
        (UniPCMultistepScheduler, {"shift_terminal": 0.1}, "'shift_terminal'.*set use_flow_sigmas=True"),
        (UniPCMultistepScheduler, {"solver_p": SASolverScheduler()}, "'solver_p' must neither"),
        (UniPCMultistepScheduler, {"disable_corrector": [-1]}, "'disable_corrector' must be at least 0"),
    ],
)
def test_combination_without_a_meaning_is_refused(kind, arguments, words):
    with pytest.raises(ValueError, match=words):
        kind(**arguments)


@pytest.mark.parametrize(
    "kind, arguments, words",
    [
        (UniPCMultistepScheduler, {"solver_p": 3}, "'solver_p' must be a scheduler"),
        (UniPCMultistepScheduler, {"disable_corrector": 3}, "'disable_corrector' must be a list"),
        (SASolverScheduler, {"tau_func": 1.0}, "'tau_func' must be a function"),
    ],
)
def test_argument_of_the_wrong_type_is_named(kind, arguments, words):
    with pytest.raises(TypeError, match=words):
        kind(**arguments)


def test_tau_must_not_be_negative():
    with pytest.raises(ValueError, match=r"tau_func\(999\)"):
        SASolverScheduler(tau_func=lambda t: -1)


def test_function_cannot_be_saved(tmp_path):
    with pytest.raises(TypeError, match="'tau_func' is a function"):
        SASolverScheduler(tau_func=lambda t: 1).save_pretrained(tmp_path)


def test_solver_that_takes_the_place_of_the_predictor_must_have_the_same_levels():
    scheduler = UniPCMultistepScheduler(solver_p=DPMSolverMultistepScheduler(use_karras_sigmas=True))
    with pytest.raises(ValueError, match="'solver_p' must have the same levels"):
        scheduler.set_timesteps(10)


def test_too_few_steps_for_the_order_lower_it_with_a_warning():
    with pytest.warns(UserWarning, match="2 steps are too few for order 3"):
        DPMSolverMultistepScheduler(solver_order=3).set_timesteps(2)


def test_levels_of_a_flow_must_be_levels_of_a_flow():
    scheduler = UniPCMultistepScheduler(use_flow_sigmas=True, prediction_type="flow_prediction")
    for sigmas in ([14.0, 1.0], [0.9, 0.0]):
        with pytest.raises(ValueError, match="'sigmas'"):
            scheduler.set_timesteps(sigmas=sigmas)


@pytest.mark.parametrize("name", ["DPMSolverMultistepScheduler", "UniPCMultistepScheduler"])
def test_float16_stays_finite_where_alpha_nearly_vanishes(name):
    scheduler = getattr(mindscience_diffuser, name)(
        beta_schedule="squaredcos_cap_v2", solver_order=3, compute_dtype=mstype.float16
    )
    scheduler.set_timesteps(4)
    x = Tensor(np.random.default_rng(0).standard_normal((1, 3)), mstype.float16)
    for t in scheduler.timesteps:
        x = scheduler.step(0.2 * x, x, int(t))
    assert np.all(np.isfinite(x.asnumpy()))


@pytest.mark.parametrize("kind", [DPMSolverMultistepScheduler])
@pytest.mark.parametrize("steps", [15, 20])
def test_euler_at_final_makes_the_last_step_of_first_order_also_in_long_trajectories(kind, steps):
    """To sigma_min, where nothing else lowers the order: x' = sigma'/sigma x + alpha' (1 - e^-h) x0, eq. (4.1)."""
    arguments = {"final_sigmas_type": "sigma_min", "solver_order": 2}
    for euler_at_final in (True, False):
        scheduler = kind(**arguments, euler_at_final=euler_at_final)
        scheduler.set_timesteps(steps)
        remembered = [
            np.asarray(weights[-1], np.float64)
            for name, weights in scheduler.plan.states["sample"].items()
            if name not in ("sample", "x0", "output", "noise")
        ]
        assert np.allclose(remembered, 0) == euler_at_final
        alpha, sigma = (level[-2:] for level in scheduler.levels)
        if euler_at_final and not scheduler.plan.stochastic:
            step = scheduler.plan.states["sample"]
            ratio = sigma[1] / sigma[0]
            np.testing.assert_allclose(np.asarray(step["sample"])[-1], ratio, rtol=1e-6)
            np.testing.assert_allclose(np.asarray(step["x0"])[-1], alpha[1] - alpha[0] * ratio, rtol=1e-5)
