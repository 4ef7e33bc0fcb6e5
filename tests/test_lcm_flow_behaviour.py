"""What the few-step and flow-matching schedulers do beyond their formulas: errors, modes, shapes and repeated use."""

import warnings

import mindspore as ms
import numpy as np
import pytest
from few_step import ALL, FLOWS, SINGLE, Scaled, every, fresh, run, scheduled, tensor
from mindspore import Tensor

from mindscience_diffuser import (
    FlowMatchEulerDiscreteScheduler,
    FlowMatchHeunDiscreteScheduler,
    FlowMatchLCMScheduler,
    Sampler,
    TCDScheduler,
    calculate_shift,
    compat,
)

# --- bad input -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["lcm", "tcd"])
@pytest.mark.parametrize(
    "arguments, message",
    [
        ({}, "Exactly one of"),
        ({"num_inference_steps": 4, "timesteps": [999]}, "Exactly one of"),
        ({"timesteps": [259, 499]}, "descending"),
        ({"timesteps": [1000, 4]}, "must lie in"),
        ({"num_inference_steps": 4, "original_inference_steps": 1001}, "num_train_timesteps=1000"),
        ({"num_inference_steps": 51}, "leave 50 timesteps"),
        ({"num_inference_steps": 10, "strength": 0.1}, "leave 5 timesteps"),
        ({"num_inference_steps": 4, "strength": 0.0}, "strength"),
        ({"num_inference_steps": 0}, "num_inference_steps"),
        ({"num_inference_steps": 1001}, "num_inference_steps"),
        ({"timesteps": [999, 499], "strength": 0.4}, "none of 2"),
    ],
)
@pytest.mark.filterwarnings("ignore:'timesteps' has")
def test_distilled_schedules_refuse(name, arguments, message):
    with pytest.raises(ValueError, match=message):
        ALL[name]().set_timesteps(**arguments)


@pytest.mark.parametrize("name", ["lcm", "tcd"])
def test_timesteps_off_the_distillation_are_warned_about(name):
    scheduler = ALL[name]()
    with pytest.warns(UserWarning, match=r"begins at 950.*\[950, 500\]"):
        scheduler.set_timesteps(timesteps=[950, 500, 259])
    with pytest.warns(UserWarning, match="more than original_inference_steps"):
        scheduler.set_timesteps(timesteps=[999, 499], original_inference_steps=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scheduler.set_timesteps(timesteps=[999, 759, 499, 259])
    assert len(scheduler) == 1000 and scheduler.num_inference_steps == 4


@pytest.mark.parametrize("name", ["lcm", "tcd"])
@pytest.mark.parametrize("prediction", ["v_prediction", "sample"])
def test_zero_snr_is_finite_but_for_epsilon(name, prediction):
    scheduler = scheduled(name, 2, prediction_type=prediction, rescale_betas_zero_snr=True)
    assert np.all(np.isfinite(run(scheduler, tensor(0, 2, 3, 4, 4))))
    with pytest.raises(ValueError, match="'epsilon' is undefined at timestep 999"):
        ALL[name](rescale_betas_zero_snr=True).set_timesteps(2)


def test_tcd_says_that_it_does_not_clip_and_checks_eta():
    with pytest.warns(UserWarning, match="do nothing"):
        TCDScheduler(clip_sample=True)
    scheduler, x = scheduled("tcd"), tensor(0, 2, 3, 4, 4)
    with pytest.raises(ValueError, match=r"'eta' must be in \[0, 1\]"):
        scheduler.step(x, x, 999, eta=1.5)


@pytest.mark.parametrize("kind", [FlowMatchEulerDiscreteScheduler, FlowMatchLCMScheduler])
@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"shift": 0.0}, "shift"),
        ({"shift": -1.0}, "shift"),
        ({"shift_terminal": 0.0}, "shift_terminal"),
        ({"shift_terminal": 1.0}, "shift_terminal"),
        ({"use_karras_sigmas": True, "use_beta_sigmas": True}, "'use_karras_sigmas' and 'use_beta_sigmas'"),
        ({"time_shift_type": "cubic"}, "time_shift_type"),
        ({"num_train_timesteps": 0}, "num_train_timesteps"),
    ],
)
def test_flow_constructors_refuse(kind, arguments, message):
    with pytest.raises(ValueError, match=message):
        kind(**arguments)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"num_inference_steps": 3, "sigmas": [1.0, 0.5]}, "must agree"),
        ({"num_inference_steps": 3, "timesteps": [1000.0, 500.0]}, "must agree"),
        ({"sigmas": [1.0, 0.5, 0.1], "timesteps": [1000.0, 500.0]}, "must agree"),
        ({"sigmas": [0.5, 1.0]}, "descending"),
        ({"timesteps": [500.0, 1000.0]}, "descending"),
        ({"sigmas": [1.0, 0.0]}, r"'sigmas' must lie in \(0, 1\]"),
        ({"sigmas": [1.5, 0.5]}, "'sigmas' must lie"),
        ({"sigmas": [1.0, float("nan")]}, "'sigmas' must lie"),
        ({"sigmas": []}, "non-empty"),
        ({"num_inference_steps": 0}, "num_inference_steps"),
    ],
)
def test_flow_schedules_refuse(arguments, message):
    with pytest.raises(ValueError, match=message):
        FlowMatchEulerDiscreteScheduler().set_timesteps(**arguments)


def test_flow_schedules_need_steps_and_mu():
    with pytest.raises(TypeError, match="'num_inference_steps', 'sigmas' or 'timesteps'"):
        FlowMatchEulerDiscreteScheduler().set_timesteps()
    dynamic = FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True)
    with pytest.raises(ValueError, match="'mu' must be given"):
        dynamic.set_timesteps(4)
    with pytest.raises(TypeError, match="mu"):
        dynamic.set_timesteps(4, mu="high")
    with pytest.warns(UserWarning, match="'mu' has no effect"):
        FlowMatchEulerDiscreteScheduler().set_timesteps(4, mu=1.0)


@every
def test_steps_refuse_what_is_not_a_step(name):
    scheduler, x = ALL[name](), tensor(0, 2, 3, 4, 4)
    with pytest.raises(ValueError, match="set_timesteps"):
        scheduler.step(x, x, 999)
    scheduler.set_timesteps(3)
    t = scheduler.timesteps[0]
    with pytest.raises(TypeError, match="swapped"):
        scheduler.step(x, Tensor(t), x)
    with pytest.raises(ValueError, match="one of scheduler.timesteps"):
        scheduler.step(x, x, t - 1.5)
    with pytest.raises(ValueError, match="shape"):
        scheduler.step(x[:, :2], x, t)
    with pytest.raises(ValueError, match="one value for each of 2 samples"):
        scheduler.step(x, x, Tensor([t, t, t]))
    if name in FLOWS:
        with pytest.raises(ValueError, match="is the integer 1"):
            scheduler.step(x, x, 1)


def test_per_token_timesteps_must_fit():
    scheduler, x = scheduled("euler"), tensor(0, 2, 5, 4)
    with pytest.raises(ValueError, match="one value for each token"):
        scheduler.step(x, x, 1000.0, per_token_timesteps=tensor(0, 2, 4))
    with pytest.raises(TypeError, match="must be a Tensor"):
        scheduler.step(x, x, 1000.0, per_token_timesteps=1000.0)
    inverted = scheduled("euler", invert_sigmas=True)
    with pytest.raises(ValueError, match="invert_sigmas"):
        inverted.step(x, x, 0.0, per_token_timesteps=tensor(0, 2, 5))


# --- schedules -----------------------------------------------------------------------------------------------------


def test_calculate_shift_is_linear_in_the_tokens():
    assert calculate_shift(256) == 0.5 and calculate_shift(4096) == 1.15
    assert calculate_shift(2176) == pytest.approx(0.825)
    with pytest.raises(ValueError, match="must differ"):
        calculate_shift(100, 256, 256)


def test_custom_timesteps_belong_to_the_sigmas_under_a_shift():
    scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0)
    scheduler.set_timesteps(timesteps=[1000.0, 640.0, 20.0])
    np.testing.assert_allclose(scheduler.timesteps, [1000.0, 640.0, 20.0])
    np.testing.assert_allclose(scheduler.sigmas, [1.0, 0.64, 0.02, 0.0])
    assert scheduler.sigmas.dtype == np.float64


def test_shift_terminal_holds_and_a_single_step_stays_finite():
    scheduler = scheduled("euler", 5, shift_terminal=0.1, shift=2.0)
    assert scheduler.sigmas[-2] == pytest.approx(0.1)
    scheduler.set_timesteps(1)
    assert scheduler.sigmas.tolist() == [1.0, 0.0]


@pytest.mark.parametrize(
    "kind", [FlowMatchEulerDiscreteScheduler, FlowMatchHeunDiscreteScheduler, FlowMatchLCMScheduler]
)
def test_a_shift_set_later_is_the_shift_of_the_constructor(kind):
    given, later = kind(shift=3.0), kind()
    later.set_shift(3.0)
    for count in (1, 7, 1000):
        for scheduler in (given, later):
            scheduler.set_timesteps(count)
        np.testing.assert_array_equal(given.sigmas, later.sigmas)
        np.testing.assert_array_equal(given.timesteps, later.timesteps)
    # As published models are sampled: the lowest training level, shifted, is shifted again.
    once = 3 / 1000 / (1 + 2 / 1000)
    np.testing.assert_allclose(later.sigmas[-2], 3 * once / (1 + 2 * once))


def test_given_levels_are_shifted_once():
    scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0)
    even = np.linspace(1, 1 / 1000, 1000)
    scheduler.set_timesteps(sigmas=even)
    np.testing.assert_allclose(scheduler.sigmas[:-1], 3 * even / (1 + 2 * even))
    assert round(scheduler.sigmas[-2], 5) == 0.00299


def test_the_drop_in_schedulers_keep_the_range_of_the_constructor():
    scheduler = compat.FlowMatchEulerDiscreteScheduler()
    scheduler.set_shift(3.0)
    scheduler.set_timesteps(1000)
    np.testing.assert_allclose(scheduler.sigmas.asnumpy()[-2], 3 / 1000 / (1 + 2 / 1000), rtol=1e-5)


@pytest.mark.parametrize("name", FLOWS)
def test_forward_process_at_a_number_and_at_one_timestep_per_sample(name):
    scheduler, x, noise = scheduled(name, shift=2.0), tensor(0, 2, 3, 4), tensor(1, 2, 3, 4)
    first, later = scheduler.timesteps[0], scheduler.timesteps[1]
    mixed = scheduler.scale_noise(x, Tensor([first, later]), noise).asnumpy()
    np.testing.assert_allclose(mixed[0], noise.asnumpy()[0], rtol=1e-6)
    expected = scheduler.scale_noise(x, later, noise).asnumpy()
    np.testing.assert_allclose(mixed[1], expected[1], rtol=1e-6)
    s = scheduler.sigmas[1]
    np.testing.assert_allclose(expected, s * noise.asnumpy() + (1 - s) * x.asnumpy(), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(scheduler.add_noise(x, noise, later).asnumpy(), expected)


# --- trajectories --------------------------------------------------------------------------------------------------


@every
@pytest.mark.parametrize("shape", [(2, 5), (2, 3, 4, 4), (2, 2, 3, 4, 4)])
def test_samples_of_any_rank(name, shape):
    x = tensor(0, *shape)
    whole = run(scheduled(name), x)
    assert whole.shape == shape and np.all(np.isfinite(whole))


@pytest.mark.parametrize("name", SINGLE)
def test_each_sample_may_be_at_its_own_timestep(name):
    scheduler, x = scheduled(name), tensor(0, 2, 3, 4)
    first, second = scheduler.timesteps[:2]
    noise = fresh(scheduler, 1, 2, 3, 4)
    mixed = scheduler.step(0.3 * x, x, Tensor([first, second]), **noise).asnumpy()
    np.testing.assert_allclose(mixed[0], scheduler.step(0.3 * x, x, first, **noise).asnumpy()[0], atol=1e-6)
    np.testing.assert_allclose(mixed[1], scheduler.step(0.3 * x, x, Tensor(second), **noise).asnumpy()[1], atol=1e-6)


def test_heun_takes_one_timestep_for_all_samples():
    scheduler, x = scheduled("heun"), tensor(0, 2, 3, 4)
    with pytest.raises(ValueError, match="same for all samples"):
        scheduler.step(x, x, Tensor(scheduler.timesteps[:2]))


def test_equal_tokens_move_like_the_sample_with_the_velocity_negated():
    scheduler, x = scheduled("euler", 4, shift=2.0), tensor(0, 2, 5, 4)
    t = scheduler.timesteps[1]
    tokens = Tensor(np.full((2, 5), t, np.float32))
    together = scheduler.step(0.3 * x, x, t, return_dict=True)
    apart = scheduler.step(-0.3 * x, x, t, per_token_timesteps=tokens, return_dict=True)
    for one, other in zip(together, apart):
        np.testing.assert_allclose(one.asnumpy(), other.asnumpy(), atol=1e-6)


def test_repeated_timesteps_are_told_apart_by_position():
    scheduler, x = FlowMatchEulerDiscreteScheduler(), tensor(0, 2, 3, 4)
    scheduler.set_timesteps(sigmas=[1.0, 0.5, 0.2], timesteps=[1000.0, 1000.0, 1000.0])
    expected = x.asnumpy().astype(np.float64)
    for step in np.diff([1.0, 0.5, 0.2, 0.0]):
        expected = expected + step * 0.3 * expected
    for timesteps in (scheduler.timesteps, [Tensor(t) for t in scheduler.timesteps]):
        np.testing.assert_allclose(run(scheduler, x, timesteps), expected, rtol=1e-5)


@every
def test_a_trajectory_may_begin_again_or_in_the_middle(name):
    scheduler, x = scheduled(name, 4), tensor(0, 2, 3, 4)
    once = run(scheduler, x)
    scheduler.step(0.3 * x, x, scheduler.timesteps[0], **fresh(scheduler, 9, 2, 3, 4))  # Left behind.
    np.testing.assert_array_equal(run(scheduler, x), once)
    late = run(scheduler, x, scheduler.timesteps[2 * scheduler.order :])
    selected = Sampler(Scaled(), scheduler, "step")
    selected.select_steps(start=2 * scheduler.order)
    given = {"step_noise": ms.ops.stack([tensor(100 + i, 2, 3, 4) for i in range(len(selected.plan))])}
    np.testing.assert_allclose(selected(x, **(given if scheduler.stochastic else {})).asnumpy(), late, atol=2e-6)


def test_sampler_begins_only_where_a_step_begins():
    sampler = Sampler(Scaled(), scheduled("heun", 4), "step")
    sampler.select_steps(strength=0.5)
    assert len(sampler.plan) % 2 == 1 and sampler.plan.timesteps[0] == pytest.approx(334.0)
    with pytest.raises(ValueError, match="middle of a step"):
        sampler.select_steps(start=1)


def test_the_base_of_a_heun_step_keeps_its_shape():
    scheduler = scheduled("heun")
    scheduler.step(tensor(0, 2, 4), tensor(1, 2, 4), scheduler.timesteps[0])
    with pytest.raises(ValueError, match="began with"):
        scheduler.step(tensor(0, 3, 4), tensor(1, 3, 4), scheduler.timesteps[1])


def test_the_last_step_draws_no_noise():
    class Counting:
        drawn = 0

        def standard_normal(self, shape):
            self.drawn += 1
            return np.ones(shape)

    for name in ("lcm", "tcd", "flow_lcm"):
        scheduler, x, source = scheduled(name, 3), tensor(0, 2, 3, 4), Counting()
        for t in scheduler.timesteps:
            x = scheduler.step(0.3 * x, x, t, generator=source)
        assert source.drawn == 2


def test_results_on_request():
    x = tensor(0, 2, 3, 4)
    lcm, tcd = scheduled("lcm", clip_sample=True), scheduled("tcd")
    first = lcm.step(0.3 * x, x, 999, noise=tensor(1, 2, 3, 4), return_dict=True)
    np.testing.assert_allclose(first.denoised.asnumpy(), first.pred_original_sample.asnumpy(), rtol=1e-4)
    assert np.abs(first.pred_original_sample.asnumpy()).max() <= 1
    assert tcd.step(0.3 * x, x, 999, eta=0.0, return_dict=True).pred_noised_sample.shape == x.shape
    flow = scheduled("euler").step(0.3 * x, x, 1000.0, return_dict=True)
    np.testing.assert_allclose(flow.pred_original_sample.asnumpy(), 0.7 * x.asnumpy(), rtol=1e-5)


@every
def test_float16_is_finite_and_close(name):
    x = tensor(0, 2, 3, 4)
    half = scheduled(name, compute_dtype=ms.float16)
    result, full = run(half, x.astype(ms.float16)), run(scheduled(name), x)
    assert result.dtype == np.float16 and np.all(np.isfinite(result))
    assert np.abs(result - full).max() <= 0.02 * np.abs(full).max()


# --- scale-wise generation -----------------------------------------------------------------------------------------


def test_scale_factors_grow_the_sample():
    scheduler = scheduled("flow_lcm", 3, scale_factors=[1.5, 2.0])
    x = tensor(0, 2, 3, 4, 4)
    shapes = []
    for t in scheduler.timesteps:
        x = scheduler.step(0.3 * x, x, t, generator=0)
        shapes.append(x.shape[2:])
    assert shapes == [(6, 6), (8, 8), (8, 8)]
    with pytest.raises(ValueError, match="changes? the size"):
        Sampler(Scaled(), scheduler)
    scheduler.set_timesteps(4)
    with pytest.raises(ValueError, match="one for each step but the last"):
        scheduler.step(x, x, 1000.0)
    with pytest.raises(ValueError, match="upscale_mode"):
        FlowMatchLCMScheduler(upscale_mode="lanczos")


@every
def test_configuration_survives_saving(name, tmp_path):
    options = {"shift": 2.0} if name in FLOWS else {"beta_schedule": "linear"}
    original = ALL[name](num_train_timesteps=500, **options)
    original.save_pretrained(tmp_path)
    loaded = ALL[name].from_pretrained(tmp_path)
    assert dict(loaded.config) == dict(original.config)
    loaded.set_timesteps(4)
    original.set_timesteps(4)
    assert loaded.plan.fingerprint == original.plan.fingerprint


def test_an_inverted_flow_leads_a_perfect_model_to_the_data():
    """x = s * x0 + (1 - s) * noise, the model predicts d x / d s = x0 - noise, and the trajectory ends at s = 1."""
    scheduler = FlowMatchEulerDiscreteScheduler(invert_sigmas=True)
    scheduler.set_timesteps(3)
    assert scheduler.sigmas[-1] == 1
    clean, noise = (np.random.default_rng(seed).standard_normal((2, 3)).astype(np.float32) for seed in (1, 2))
    first = scheduler.sigmas[0]
    x = Tensor((first * clean + (1 - first) * noise).astype(np.float32))
    for timestep in scheduler.timesteps:
        x, x0 = scheduler.step(Tensor(clean - noise), x, timestep, return_dict=True)
        np.testing.assert_allclose(x0.asnumpy(), clean, atol=1e-5)
    np.testing.assert_allclose(x.asnumpy(), clean, atol=1e-5)
