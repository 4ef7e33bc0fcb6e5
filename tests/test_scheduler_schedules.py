"""Which steps DDIM and DDPM take, where they end, and the forward process."""

import numpy as np
import pytest
import reference
from exact_steps import CONFIG, SHAPES, TIMESTEPS, TRAIN, arrays, exact_ddpm, make, near, tensors
from mindspore import Tensor
from mindspore import dtype as mstype

from mindscience_diffuser import DDIMScheduler, DDPMScheduler, DiffusionScheduler

# --- trajectories ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [DiffusionScheduler, DDIMScheduler, DDPMScheduler])
@pytest.mark.parametrize("spacing", ["leading", "linspace", "trailing"])
def test_a_schedule_has_exactly_the_asked_number_of_steps(kind, spacing):
    scheduler = kind(TRAIN, timestep_spacing=spacing)
    for steps in (1, 2, 3, 7, 33, 51, 99, 100):
        scheduler.set_timesteps(steps)
        assert scheduler.num_inference_steps == len(scheduler.timesteps) == steps
        assert isinstance(scheduler.num_timesteps, np.ndarray)
        np.testing.assert_array_equal(scheduler.num_timesteps, scheduler.timesteps)
        if kind is not DiffusionScheduler:
            assert len(scheduler.plan) == steps
    assert len(scheduler) == TRAIN


def test_with_the_exact_noise_as_model_output_ddim_lands_on_the_clean_sample():
    clean, noise = (array.astype(np.float64) / 5 for array in arrays(SHAPES[3])[:2])
    for timesteps in ({"num_inference_steps": 7}, {"timesteps": [93, 40, 39, 2]}):
        scheduler = DDIMScheduler(TRAIN, beta_schedule="linear")
        scheduler.set_timesteps(**timesteps)
        x = scheduler.add_noise(
            Tensor(clean, mstype.float32), Tensor(noise, mstype.float32), int(scheduler.timesteps[0])
        )
        for t in scheduler.timesteps:
            x = scheduler.step(Tensor(noise, mstype.float32), x, t)
        near(x, clean, 1e-5)


def test_custom_timesteps_step_from_each_to_the_next():
    output, sample, noise, _ = tensors(SHAPES[3])
    alpha_bar = reference.make_alphas_cumprod(CONFIG)
    for kind, exact in ((DDIMScheduler, reference.ddim_step), (DDPMScheduler, reference.ddpm_step)):
        scheduler = kind(TRAIN)
        scheduler.set_timesteps(timesteps=[97, 60, 13])
        assert scheduler.timesteps.tolist() == [97, 60, 13] and len(scheduler.plan) == 3
        for t, after in ((97, alpha_bar[60]), (60, alpha_bar[13]), (13, 1.0)):
            values = [array.astype(np.float64) for array in arrays(SHAPES[3])[:3]]
            expected = exact(values[0], values[1], alpha_bar[t], after, values[2], CONFIG)
            near(scheduler.step(output, sample, t, noise=noise), expected)


@pytest.mark.parametrize("variance_type", ["fixed_small", "fixed_small_log", "fixed_large", "fixed_large_log"])
def test_respaced_ddpm_uses_the_variance_of_its_own_stride(variance_type):
    output, sample, noise, _ = tensors(SHAPES[3])
    scheduler = make(DDPMScheduler, steps=10, variance_type=variance_type)
    expected = exact_ddpm(SHAPES[3], (60, 60), steps=10, variance_type=variance_type)
    near(scheduler.step(output, sample, 60, noise=noise), expected)
    assert np.abs(expected - exact_ddpm(SHAPES[3], (60, 60), steps=TRAIN, variance_type=variance_type)).max() > 1e-2


def test_set_alpha_to_one_decides_where_the_trajectory_ends():
    output, sample, _, _ = tensors(SHAPES[3])
    full = make(DDIMScheduler).step(output, sample, 0, return_dict=True)
    near(full.prev_sample, full.pred_original_sample.asnumpy(), 1e-6)
    alpha_bar = reference.make_alphas_cumprod(CONFIG)
    values = [array.astype(np.float64) for array in arrays(SHAPES[3])[:3]]
    expected = reference.ddim_step(values[0], values[1], alpha_bar[0], alpha_bar[0], values[2], CONFIG)
    near(make(DDIMScheduler, set_alpha_to_one=False).step(output, sample, 0), expected)


# --- the forward process ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rank", SHAPES)
@pytest.mark.parametrize("form", ["number", "0-D", "(B,)", "(B,1)"])
def test_add_noise_and_get_velocity_are_their_formulas_in_float64(rank, form):
    clean, noise = (array.astype(np.float64) for array in arrays(SHAPES[rank])[:2])
    timestep, timesteps = TIMESTEPS[form]
    scheduler = DiffusionScheduler(TRAIN, beta_schedule="scaled_linear")
    alpha_bar = np.cumprod(1 - np.linspace(1e-2, 0.02**0.5, TRAIN) ** 2)[list(timesteps)].reshape(-1, *[1] * (rank - 1))
    arguments = (Tensor(clean, mstype.float32), Tensor(noise, mstype.float32), timestep)
    near(scheduler.add_noise(*arguments), np.sqrt(alpha_bar) * clean + np.sqrt(1 - alpha_bar) * noise, 3e-7)
    near(scheduler.get_velocity(*arguments), np.sqrt(alpha_bar) * noise - np.sqrt(1 - alpha_bar) * clean, 3e-7)


def test_zero_snr_makes_the_last_timestep_pure_noise():
    clean, noise, _, _ = tensors(SHAPES[3])
    scheduler = DiffusionScheduler(TRAIN, beta_schedule="linear", rescale_betas_zero_snr=True)
    assert scheduler.alphas_cumprod.asnumpy()[-1] == 0.0
    np.testing.assert_array_equal(scheduler.add_noise(clean, noise, TRAIN - 1).asnumpy(), noise.asnumpy())


def test_scale_model_input_leaves_the_sample_alone():
    sample = tensors(SHAPES[3])[0]
    assert make(DDIMScheduler).scale_model_input(sample, 60) is sample
    assert DDIMScheduler.init_noise_sigma == 1.0 and DDIMScheduler.order == 1
