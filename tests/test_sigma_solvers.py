"""What the solvers in sigma form do beyond agreeing with diffusers."""

import numpy as np
import pytest
from mindspore import Tensor
from mindspore import dtype as mstype
from solver_trajectories import SHAPE, draws, host_trajectory

from mindscience_diffuser import (
    CMStochasticIterativeScheduler,
    DPMSolverSDEScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    HeunDiscreteScheduler,
    KarrasVeScheduler,
    KDPM2AncestralDiscreteScheduler,
    KDPM2DiscreteScheduler,
    LMSDiscreteScheduler,
    ScoreSdeVeScheduler,
    ScoreSdeVpScheduler,
)
from mindscience_diffuser.noise import ancestral

SIGMA_SOLVERS = [
    EulerDiscreteScheduler,
    EulerAncestralDiscreteScheduler,
    HeunDiscreteScheduler,
    KDPM2DiscreteScheduler,
    KDPM2AncestralDiscreteScheduler,
    LMSDiscreteScheduler,
    DPMSolverSDEScheduler,
]


def scheduled(scheduler, **chosen):
    scheduler.set_timesteps(**chosen)
    return scheduler


def config(kind, steps, **init):
    return {"scheduler": kind.__name__, "init": init, "set": steps, "step": {}}


def test_ancestral_steps_keep_the_variance():
    sigma, sigma_next = np.array([4096.0, 10.0, 1.0, 1.0]), np.array([0.03, 9.999999, 1.0, 0.0])
    down, up = ancestral(sigma, sigma_next)
    np.testing.assert_allclose(down**2 + up**2, sigma_next**2, rtol=1e-12)
    np.testing.assert_allclose(down * sigma, sigma_next**2, rtol=1e-12)


def test_both_calls_of_the_sde_solver_see_one_brownian_path():
    scheduler = scheduled(DPMSolverSDEScheduler(), num_inference_steps=6)
    weights = scheduler.plan.states["sample"]
    sigma, sigma_mid, sigma_next = scheduler.sigmas[:-2:2], scheduler.sigmas[1:-1:2], scheduler.sigmas[2:-1:2]
    first, second = weights["first_noise"][1::2], weights["noise"][1::2]
    _, up = ancestral(sigma[: len(sigma_mid)], sigma_next)
    np.testing.assert_allclose(first**2 + second**2, up**2, rtol=1e-12)
    np.testing.assert_allclose(
        (first / up) ** 2, (sigma[: len(sigma_mid)] - sigma_mid) / (sigma[: len(sigma_mid)] - sigma_next)
    )
    assert np.all(weights["first_noise"][::2] == 0)


@pytest.mark.parametrize("kind", SIGMA_SOLVERS)
@pytest.mark.parametrize("prediction_type", ["epsilon", "sample", "v_prediction"])
def test_repeated_levels_and_single_steps_are_finite(kind, prediction_type):
    for steps in ({"sigmas": [9.0, 3.0, 3.0, 3.0, 0.5, 0.0]}, {"sigmas": [9.0, 0.0]}, {"num_inference_steps": 1}):
        sample = host_trajectory(config(kind, steps, prediction_type=prediction_type), seed=1)
        assert np.all(np.isfinite(sample))


def test_half_precision_stays_finite_where_large_weights_of_slopes_cancel():
    scheduler = scheduled(
        LMSDiscreteScheduler(beta_schedule="squaredcos_cap_v2", use_beta_sigmas=True, compute_dtype=mstype.float16),
        num_inference_steps=10,
    )
    x = Tensor(np.linspace(-3, 3, 12).reshape(2, 6) * scheduler.init_noise_sigma, mstype.float16)
    for t in scheduler.timesteps:
        x = scheduler.step(0.2 * scheduler.scale_model_input(x, t), x, t)
        assert np.isfinite(x.asnumpy()).all(), t


@pytest.mark.parametrize(
    "kind", [HeunDiscreteScheduler, KDPM2DiscreteScheduler, KDPM2AncestralDiscreteScheduler, DPMSolverSDEScheduler]
)
def test_half_precision_stays_finite_where_a_second_call_overshoots(kind):
    # sigma is 20000 at first: an output that does not fit its level is multiplied by that in the second call.
    scheduler = scheduled(kind(beta_schedule="squaredcos_cap_v2", compute_dtype=mstype.float16), num_inference_steps=3)
    z, *fresh = (Tensor(noise.astype(np.float16)) for noise in draws(2, 5))
    x = z * scheduler.init_noise_sigma
    for t, noise in zip(scheduler.timesteps, fresh):
        output = 0.2 * scheduler.scale_model_input(x, t)
        x = scheduler.step(output, x, t, **({"noise": noise} if scheduler.stochastic else {}))
        assert np.all(np.isfinite(x.asnumpy()))


@pytest.mark.parametrize("kind", [EulerDiscreteScheduler, EulerAncestralDiscreteScheduler])
def test_every_level_of_zero_snr_is_finite_and_descending(kind):
    scheduler = scheduled(kind(rescale_betas_zero_snr=True), num_inference_steps=1000)
    assert np.all(np.diff(scheduler.sigmas) < 0)
    assert all(np.all(np.isfinite(weight)) for weight in scheduler.plan.states["sample"].values())


@pytest.mark.parametrize("begin", [0, 3])
def test_weights_of_the_multistep_method_add_up_to_the_step(begin):
    scheduler = scheduled(LMSDiscreteScheduler(use_karras_sigmas=True), num_inference_steps=9)
    weights = scheduler.plan_for(begin=begin).states["sample"]
    total = weights["output"] + sum(weights[f"slope_{j}"] for j in (1, 2, 3))
    np.testing.assert_allclose(total, np.diff(scheduler.sigmas), rtol=1e-10)
    assert [np.count_nonzero(weights[f"slope_{j}"]) for j in (1, 2, 3)] == [8 - begin, 7 - begin, 6 - begin]


def test_multistep_weights_integrate_cubics_exactly():
    scheduler = scheduled(LMSDiscreteScheduler(), num_inference_steps=8)
    weights, nodes = scheduler.plan.states["sample"], scheduler.sigmas
    for i in range(3, 8):
        exact = (nodes[i + 1] ** 4 - nodes[i] ** 4) / 4
        past = sum(weights[f"slope_{j}"][i] * nodes[i - j] ** 3 for j in (1, 2, 3))
        assert weights["output"][i] * nodes[i] ** 3 + past == pytest.approx(exact, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("dtype", [mstype.float32, mstype.float16])
def test_langevin_corrector_follows_its_norms(dtype):
    scheduler = scheduled(ScoreSdeVeScheduler(snr=0.2, compute_dtype=dtype), num_inference_steps=3)
    x, z, score = (draws(5, 2)[i] for i in range(3))
    x = x * scheduler.init_noise_sigma
    lengths = [np.linalg.norm(values.reshape(2, -1), axis=1).mean() for values in (z, score)]
    epsilon = 2 * (0.2 * lengths[0] / lengths[1]) ** 2
    stepped = scheduler.step(Tensor(score), Tensor(x), scheduler.timesteps[0], noise=Tensor(z)).asnumpy()
    tolerance = 1e-5 if dtype == mstype.float32 else 1e-3
    np.testing.assert_allclose(stepped, x + epsilon * score + np.sqrt(2 * epsilon) * z, rtol=tolerance)
    # The predictor of the same level comes next; its noise is told apart from the mean.
    result = scheduler.step(
        Tensor(-x * np.float32(1348**-2)), Tensor(x), scheduler.timesteps[1], noise=Tensor(z), return_dict=True
    )
    spread = np.sqrt(scheduler.sigmas[1] ** 2 - scheduler.sigmas[2] ** 2)
    np.testing.assert_allclose(
        (result.prev_sample - result.prev_sample_mean).asnumpy(), spread * z, rtol=tolerance, atol=1348 * tolerance
    )


def test_a_score_of_zero_moves_nothing():
    scheduler = scheduled(ScoreSdeVeScheduler(), num_inference_steps=3)
    x, z = draws(5, 1)
    stepped = scheduler.step(Tensor(0 * x), Tensor(x), scheduler.timesteps[0], noise=Tensor(z)).asnumpy()
    np.testing.assert_array_equal(stepped, x)


@pytest.mark.parametrize("kind", [ScoreSdeVeScheduler, ScoreSdeVpScheduler])
def test_only_a_trajectory_that_is_not_denoised_ends_with_noise(kind):
    scheduler = scheduled(kind(), num_inference_steps=4)
    assert not scheduler.plan.needs_noise[-1]
    assert scheduler.plan_for(denoise=False).needs_noise[-1]


def test_churn_begins_with_the_noise_that_it_would_add_to_the_first_level():
    scheduler = scheduled(KarrasVeScheduler(s_max=200.0, s_noise=1.1), num_inference_steps=10)
    raised = scheduler.timesteps[0]
    assert raised > 100
    assert scheduler.init_noise_sigma == pytest.approx(np.hypot(100, 1.1 * np.sqrt(raised**2 - 100**2)), rel=1e-5)


def test_consistency_sampling_ends_without_noise():
    scheduler = scheduled(CMStochasticIterativeScheduler(), timesteps=[30, 12, 0])
    np.testing.assert_array_equal(scheduler.plan.needs_noise, [True, True, False])
    assert scheduler.sigmas[0] == pytest.approx(80) and scheduler.sigmas[-1] == 0.002
    assert host_trajectory(config(CMStochasticIterativeScheduler, {"num_inference_steps": 1}), 0).shape == SHAPE


@pytest.mark.parametrize(
    "kind, init, chosen, step, error, message",
    [
        (
            LMSDiscreteScheduler,
            {},
            {"num_inference_steps": 4},
            {"order": 5},
            ValueError,
            r"'order' must be in \[1, 4\]",
        ),
        (LMSDiscreteScheduler, {}, {"sigmas": [3.0, 0.0, 0.0]}, {}, ValueError, "'sigmas' must hold the levels"),
        (HeunDiscreteScheduler, {"use_karras_sigmas": True, "use_beta_sigmas": True}, {}, {}, ValueError, "both set"),
        (
            HeunDiscreteScheduler,
            {"use_karras_sigmas": True},
            {"timesteps": [9, 3]},
            {},
            ValueError,
            "'timesteps' cannot",
        ),
        (DPMSolverSDEScheduler, {}, {"num_inference_steps": 4}, {"s_noise": -1.0}, ValueError, "'s_noise'"),
        (DPMSolverSDEScheduler, {"noise_sampler_seed": 0.5}, {}, {}, TypeError, "'noise_sampler_seed'"),
        (KarrasVeScheduler, {"sigma_min": 200.0}, {}, {}, ValueError, "'sigma_min' must be below 'sigma_max'"),
        (KarrasVeScheduler, {"s_min": 60.0}, {}, {}, ValueError, "'s_min' must be at most 's_max'"),
        (CMStochasticIterativeScheduler, {"sigma_min": None}, {}, {}, TypeError, "'sigma_min'"),
        (CMStochasticIterativeScheduler, {}, {"num_inference_steps": 41}, {}, ValueError, r"in \[1, 40\]"),
        (CMStochasticIterativeScheduler, {}, {"timesteps": [0, 5]}, {}, ValueError, "strictly descending"),
        (ScoreSdeVeScheduler, {"correct_steps": -1}, {}, {}, ValueError, "'correct_steps'"),
        (ScoreSdeVeScheduler, {}, {"num_inference_steps": 0}, {}, ValueError, "'num_inference_steps'"),
        (ScoreSdeVpScheduler, {"sampling_eps": 0.0}, {}, {}, ValueError, "'sampling_eps'"),
        (ScoreSdeVpScheduler, {}, {"num_inference_steps": 3}, {"denoise": 1}, TypeError, "'denoise'"),
    ],
)
def test_bad_input_is_named(kind, init, chosen, step, error, message):
    with pytest.raises(error, match=message):
        scheduled(kind(**init), **chosen).plan_for(**step)
