"""What the schedulers that are no sigma solvers promise beyond agreeing with diffusers, on the plan where it suffices.

Most properties are shown on data that are a single point c: then every prediction is known in closed form, the noise of
a deterministic trajectory never changes, and each method must be exact.
"""

import json

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor
from mindspore import dtype as mstype
from solver_trajectories import SHAPE, ToyModel, draws

import mindscience_diffuser
from mindscience_diffuser import (
    CogVideoXDPMScheduler,
    DDIMInverseScheduler,
    DDIMParallelScheduler,
    DDIMScheduler,
    DDPMParallelScheduler,
    DDPMWuerstchenScheduler,
    IPNDMScheduler,
    PNDMScheduler,
    RePaintScheduler,
    Sampler,
    SCMScheduler,
    UnCLIPScheduler,
)
from mindscience_diffuser.schedulers.diffusion.pndm import adams_bashforth

POINT = 0.7
NOISE, FRESH = draws(0, 1).astype(np.float64)


def level(scheduler, timestep):
    return (float(part[timestep]) for part in (scheduler._alphas, scheduler._sigmas))


def predicted(kind, x, alpha, sigma):
    """The prediction of a perfect model of the point, for a sample at this level."""
    noise = (x - alpha * POINT) / sigma
    return {"epsilon": noise, "sample": np.full_like(x, POINT), "v_prediction": alpha * noise - sigma * POINT}[kind]


def run(plan, x, model, begin=0):
    """Runs rows of a plan from `begin` on, on the host without fresh noise."""
    states = {name: np.zeros_like(x) for name in plan.states}
    states["sample"] = x
    for row in range(begin, len(plan)):
        output = model(states["sample"], plan.timesteps[row])
        results = plan.run(row, **states, output=output, noise=np.zeros_like(x))
        states = {name: results[name] for name in states}
    return states["sample"]


# --- PNDM and IPNDM --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prediction", ["epsilon", "sample"])
@pytest.mark.parametrize("count", [1, 2, 3, 5, 10])
@pytest.mark.parametrize("skip", [True, False])
def test_pndm_is_exact_on_a_point_wherever_it_begins(skip, count, prediction):
    scheduler = PNDMScheduler(960, skip_prk_steps=skip, prediction_type=prediction)
    scheduler.set_timesteps(count)

    def model(x, timestep):
        return predicted(prediction, x, *level(scheduler, timestep))

    end = [float(part[-1]) for part in scheduler.plan.next_level]
    for begin in range(len(scheduler.timesteps)):
        alpha, sigma = level(scheduler, scheduler.timesteps[begin])
        last = run(scheduler.trajectory_plan(begin=begin), alpha * POINT + sigma * NOISE, model, begin)
        np.testing.assert_allclose(last, end[0] * POINT + end[1] * NOISE, atol=1e-9, err_msg=str(begin))


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_adams_bashforth_takes_the_mean_of_a_polynomial_over_the_step(order):
    positions = np.array([[0.0, -0.7, -1.9, -2.8, -4.1]])
    weights = adams_bashforth(np.arange(5)[None] < order, positions)
    for degree in range(order):
        assert weights @ positions[0] ** degree == pytest.approx(1 / (degree + 1))
    even = [[1], [3 / 2, -1 / 2], [23 / 12, -16 / 12, 5 / 12], [55 / 24, -59 / 24, 37 / 24, -9 / 24]][order - 1]
    np.testing.assert_allclose(adams_bashforth(np.arange(5)[None] < order)[0, :order], even)


def test_pndm_calls_the_model_as_often_as_its_methods_say():
    for skip, calls in ((False, [1, 5, 9, 13, 14, 19]), (True, [1, 3, 4, 5, 6, 11])):
        scheduler = PNDMScheduler(skip_prk_steps=skip)
        for count, expected in zip((1, 2, 3, 4, 5, 10), calls):
            scheduler.set_timesteps(count)
            assert len(scheduler.timesteps) == len(scheduler.plan) == expected


@pytest.mark.parametrize("count", [1, 2, 4, 20])
def test_ipndm_is_exact_on_a_point_from_pure_noise_on(count):
    scheduler = IPNDMScheduler()
    scheduler.set_timesteps(count)
    alphas, sigmas = scheduler.levels
    rows = {float(t): row for row, t in enumerate(scheduler.timesteps)}

    def model(x, timestep):
        alpha, sigma = alphas[rows[float(timestep)]], sigmas[rows[float(timestep)]]
        return predicted("v_prediction", x, alpha, sigma)

    for begin in range(count):
        x = alphas[begin] * POINT + sigmas[begin] * NOISE
        np.testing.assert_allclose(run(scheduler.trajectory_plan(begin=begin), x, model, begin), POINT, atol=1e-9)


def test_ipndm_says_that_given_sigmas_settle_the_number_of_steps():
    scheduler = IPNDMScheduler(trained_betas=[0.9, 0.5, 0.1])
    with pytest.warns(UserWarning, match="'num_inference_steps' is 3.*2 steps"):
        scheduler.set_timesteps(3)
    assert scheduler.num_inference_steps == len(scheduler.plan) == 2
    np.testing.assert_allclose(scheduler.levels[1], [0.9, 0.5, 0.1])


def test_ipndm_uses_the_first_output_where_the_sample_is_pure_noise():
    scheduler = IPNDMScheduler()
    scheduler.set_timesteps(1)
    step = scheduler.plan.run(0, sample=NOISE, output=FRESH, noise_1=0, noise_2=0, noise_3=0)
    np.testing.assert_allclose(step["sample"], -FRESH)


# --- DDIM inversion, CogVideoX, unCLIP, Wuerstchen, sCM --------------------------------------------------------------


@pytest.mark.parametrize("alpha_to_one", [True, False])
@pytest.mark.parametrize("spacing", ["leading", "trailing", "linspace"])
def test_ddim_returns_from_where_inversion_has_led(spacing, alpha_to_one):
    config = {"timestep_spacing": spacing, "clip_sample": False, "set_alpha_to_one": alpha_to_one}
    config["beta_schedule"] = "linear"
    inverse, forward = DDIMInverseScheduler(**config), DDIMScheduler(**config)
    inverse.set_timesteps(20)
    forward.set_timesteps(20)
    constant = 0.3 * NOISE  # Inversion and DDIM use the output at different samples; this one is the same for both.
    there = run(inverse.plan, NOISE, lambda x, timestep: constant)
    np.testing.assert_allclose(run(forward.plan, there, lambda x, timestep: constant), NOISE, atol=1e-9)
    assert list(inverse.timesteps) == list(forward.timesteps[::-1])


@pytest.mark.parametrize("spacing", ["leading", "trailing", "linspace"])
@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_cogvideox_dpm_keeps_the_variance_of_every_level(prediction, spacing):
    zero_snr = prediction == "v_prediction"
    scheduler = CogVideoXDPMScheduler(
        prediction_type=prediction, rescale_betas_zero_snr=zero_snr, timestep_spacing=spacing
    )
    scheduler.set_timesteps(9)
    for begin in (0, 4):
        plan = scheduler.trajectory_plan(begin=begin)
        for row in range(begin, len(plan)):
            alpha, sigma = level(scheduler, plan.timesteps[row])
            # With the point at 0 every x0 is 0, and noise of the present level becomes noise of the next one.
            results = plan.run(
                row, sample=np.array(sigma), denoised=0, output=predicted_at_zero(prediction, alpha), noise=0
            )
            variance = results["sample"] ** 2 + np.square(plan.states["sample"]["noise"][row])
            np.testing.assert_allclose(variance, plan.next_level[1][row] ** 2, atol=1e-12)


def predicted_at_zero(kind, alpha):
    return 1.0 if kind == "epsilon" else alpha


def test_cogvideox_does_not_clip():
    scheduler = CogVideoXDPMScheduler(clip_sample=True)
    scheduler.set_timesteps(3)
    assert scheduler.plan.limit is None


def test_unclip_steps_to_the_timestep_that_is_named():
    scheduler = UnCLIPScheduler(clip_sample=False)
    scheduler.set_timesteps(10)
    x, output, noise = (Tensor(part, mstype.float32) for part in (NOISE, FRESH, np.zeros(SHAPE)))
    t, following = (int(timestep) for timestep in scheduler.timesteps[3:5])
    default = scheduler.step(output, x, t, noise=noise).asnumpy()
    np.testing.assert_array_equal(default, scheduler.step(output, x, t, prev_timestep=following, noise=noise).asnumpy())
    jump = scheduler.step(output, x, t, prev_timestep=-1, noise=noise).asnumpy()
    alpha, sigma = level(scheduler, t)
    np.testing.assert_allclose(jump, (NOISE - sigma * FRESH) / alpha, rtol=1e-5, atol=1e-5)
    with pytest.raises(ValueError, match=f"'prev_timestep'.*timestep {t}.*{t}"):
        scheduler.step(output, x, t, prev_timestep=t, noise=noise)


def test_unclip_visits_the_first_and_the_last_timestep():
    scheduler = UnCLIPScheduler()
    for count, expected in ((1, [999]), (2, [999, 0]), (4, [999, 666, 333, 0])):
        scheduler.set_timesteps(count)
        assert scheduler.timesteps.tolist() == expected


def test_wuerstchen_adds_noise_at_any_time_of_each_sample():
    scheduler = DDPMWuerstchenScheduler(scaler=2.0)
    times = np.array([0.123, 0.9])
    mixed = scheduler.add_noise(Tensor(NOISE, mstype.float32), Tensor(FRESH, mstype.float32), Tensor(times)).asnumpy()
    alpha_bar = np.cos((1 - (1 - times) ** 2 + 0.008) / 1.008 * np.pi / 2) ** 2 / np.cos(0.008 / 1.008 * np.pi / 2) ** 2
    alpha_bar = alpha_bar.reshape(-1, 1, 1)
    np.testing.assert_allclose(mixed, np.sqrt(alpha_bar) * NOISE + np.sqrt(1 - alpha_bar) * FRESH, rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match="'timesteps' must be in .0, 1.*1.5"):
        scheduler.add_noise(Tensor(NOISE, mstype.float32), Tensor(FRESH, mstype.float32), 1.5)


def test_wuerstchen_takes_times_with_their_end():
    scheduler = DDPMWuerstchenScheduler()
    scheduler.set_timesteps(timesteps=[1.0, 0.6, 0.25])
    np.testing.assert_allclose(scheduler.timesteps, [1.0, 0.6])
    assert scheduler.plan.needs_noise.tolist() == [True, True]
    scheduler.set_timesteps(2)
    assert scheduler.plan.needs_noise.tolist() == [True, False]


def test_scm_uses_the_time_between_only_where_there_are_two_steps():
    scheduler = SCMScheduler()
    for given, expected in (
        ({"num_inference_steps": 1}, [1.5708]),
        ({"num_inference_steps": 2}, [1.5708, 1.3]),
        ({"num_inference_steps": 2, "intermediate_timesteps": None}, [1.5708, 0.7854]),
        ({"num_inference_steps": 3}, [1.5708, 1.0472, 0.5236]),
        ({"timesteps": [1.5, 1.0, 0.0]}, [1.5, 1.0]),
    ):
        scheduler.set_timesteps(**given)
        np.testing.assert_allclose(scheduler.timesteps, expected, rtol=1e-5)


# --- RePaint ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("eta", [0.0, 0.6])
def test_a_row_of_repaint_has_the_distribution_of_a_step_and_of_what_is_undone_after_it(eta):
    scheduler = RePaintScheduler(num_train_timesteps=60, eta=eta, beta_end=0.1)
    scheduler.set_timesteps(12, jump_length=3, jump_n_sample=2)
    single, undo = scheduler.dense_plan(), scheduler._undoing_plan()
    row, last, weights = -1, scheduler.timesteps[0] + 1, []
    for t in scheduler.timesteps:
        if t < last:
            weights.append({name: w[t] for name, w in single.folded().states["sample"].items()})
        else:
            back, spread = (undo.states["sample"][name][last] for name in ("sample", "output"))
            weights[-1] = {name: back * w for name, w in weights[-1].items()}
            weights[-1]["noise"] = np.hypot(weights[-1]["noise"], spread)
        last = t
    plan = scheduler.plan.folded().states["sample"]
    assert len(scheduler.plan) == len(weights) > 12
    for row, expected in enumerate(weights):
        for name, value in expected.items():
            np.testing.assert_allclose(plan[name][row], value, atol=1e-12)


def test_repaint_keeps_what_is_known_in_steps_graphs_and_samplers():
    scheduler = RePaintScheduler(num_train_timesteps=20)
    scheduler.set_timesteps(5, jump_length=2, jump_n_sample=2)
    x, known, noise = (Tensor(part, mstype.float32) for part in (NOISE, FRESH, draws(3, 0)[0]))
    mask = Tensor(np.tile(np.float32([0, 1, 0, 1]), (3, 1)))
    t = int(scheduler.timesteps[-1])

    @ms.jit
    def inside(output, sample, timestep):
        stepped = scheduler.step(output, sample, timestep, known, mask, noise=noise)
        return stepped, scheduler.undo_step(stepped, timestep, noise=noise)

    last = scheduler.step(x, x, t, known, mask, noise=noise)
    np.testing.assert_array_equal(last.asnumpy()[..., 1::2], known.asnumpy()[..., 1::2])
    stepped, undone = inside(x, x, Tensor(t, mstype.int32))
    np.testing.assert_allclose(stepped.asnumpy(), last.asnumpy(), atol=1e-6)
    np.testing.assert_allclose(undone.asnumpy(), scheduler.undo_step(last, t, noise=noise).asnumpy(), atol=1e-6)
    final = Sampler(ToyModel(), scheduler, inpaint=True)(x, generator=0, mask=1 - mask, known=known).asnumpy()
    np.testing.assert_allclose(final[..., 1::2], known.asnumpy()[..., 1::2], atol=1e-6)
    with pytest.raises(ValueError, match=r"'mask' has shape \(4, 3\).*\(2, 3, 4\)"):
        scheduler.step(x, x, t, known, Tensor(np.zeros((4, 3), np.float32)))


# --- parallel sampling -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind, options", [(DDIMParallelScheduler, {"eta": 0.5}), (DDPMParallelScheduler, {})])
def test_steps_of_a_batch_are_those_of_each_timestep_without_noise(kind, options):
    scheduler = kind(clip_sample=False)
    scheduler.set_timesteps(10)
    x, output, zeros = (Tensor(part, mstype.float32) for part in (NOISE, FRESH, np.zeros(SHAPE)))
    t = scheduler.timesteps[[2, 7]]
    batch = scheduler.batch_step_no_noise(output, x, Tensor(t, mstype.int32), **options).asnumpy()
    for k, timestep in enumerate(t):
        single = scheduler.step(output, x, int(timestep), noise=zeros, **options).asnumpy()
        np.testing.assert_allclose(batch[k], single[k], atol=1e-6)


# --- all of them -----------------------------------------------------------------------------------------------------

NAMES = [
    "CogVideoXDDIMScheduler",
    "CogVideoXDPMScheduler",
    "DDIMInverseScheduler",
    "DDPMWuerstchenScheduler",
    "IPNDMScheduler",
    "PNDMScheduler",
    "SCMScheduler",
    "UnCLIPScheduler",
]


@pytest.mark.parametrize("name", NAMES)
def test_float16_trajectories_are_finite(name):
    kind = getattr(mindscience_diffuser, name)
    config = {"beta_schedule": "squaredcos_cap_v2"} if "beta_schedule" in kind().config else {}
    scheduler = kind(**config, compute_dtype=mstype.float16)
    scheduler.set_timesteps(10)
    sampler = Sampler(ToyModel(), scheduler)
    for count in (10, 1):
        scheduler.set_timesteps(count)
        x = sampler(Tensor(NOISE, mstype.float16), generator=0)
        assert x.dtype == mstype.float16 and np.all(np.isfinite(x.asnumpy()))


@pytest.mark.parametrize("name", [*NAMES, "RePaintScheduler", "DDIMParallelScheduler", "DDPMParallelScheduler"])
def test_configuration_survives_a_file(name, tmp_path):
    scheduler = getattr(mindscience_diffuser, name)()
    scheduler.save_pretrained(tmp_path)
    assert dict(type(scheduler).from_pretrained(tmp_path).config) == dict(scheduler.config)
    assert json.loads((tmp_path / "scheduler_config.json").read_text())["_class_name"] == name


@pytest.mark.parametrize(
    "kind, config, steps, error, message",
    [
        (DDIMInverseScheduler, {"prediction_type": "sample"}, 5, ValueError, "'sample'.*set_alpha_to_one=False"),
        (DDIMInverseScheduler, {}, 1001, ValueError, "'num_inference_steps'.*1001"),
        (IPNDMScheduler, {"trained_betas": [0.9, 1.5]}, 1, ValueError, "'trained_betas'.*1.5"),
        (IPNDMScheduler, {}, 0, ValueError, "'num_inference_steps'.*0"),
        (PNDMScheduler, {"prediction_type": "flow_prediction"}, 5, ValueError, "'prediction_type'.*flow_prediction"),
        (PNDMScheduler, {}, 2.5, TypeError, "'num_inference_steps'.*2.5"),
        (RePaintScheduler, {"eta": 1.5}, 5, ValueError, "'eta'.*1.5"),
        (SCMScheduler, {"prediction_type": "epsilon"}, 2, ValueError, "'prediction_type'.*'trigflow'.*'epsilon'"),
        (SCMScheduler, {}, 1001, ValueError, "'num_inference_steps'.*1001"),
        (UnCLIPScheduler, {"beta_schedule": "linear"}, 5, ValueError, "'beta_schedule'.*'squaredcos_cap_v2'.*'linear'"),
        (UnCLIPScheduler, {"variance_type": "fixed_large"}, 5, ValueError, "'variance_type'.*'fixed_large'"),
        (DDPMWuerstchenScheduler, {"scaler": 0}, 5, ValueError, "'scaler'.*0"),
        (CogVideoXDPMScheduler, {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}, 5, ValueError, "999"),
    ],
)
def test_bad_input_is_named(kind, config, steps, error, message):
    with pytest.raises(error, match=message):
        kind(**config).set_timesteps(steps)
