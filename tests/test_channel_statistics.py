"""EDM schedulers whose data have a standard deviation for each channel."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn, ops

import mindscience_diffuser as md
from mindscience_diffuser import Mask, PosteriorGuidance, Sampler
from mindscience_diffuser.export import export_mindir, load_mindir

SIGMA_DATA = [0.2, 1.0, 7.0]
SHAPE = (2, 3, 4)
CLASSES = {
    "EDMEulerScheduler": {},
    "EDMHeunScheduler": {"s_churn": 4.0},
    "EDMDPMSolverMultistepScheduler": {"solver_order": 3},
    "EDMDPMSolverSinglestepScheduler": {},
    "CosineDPMSolverMultistepScheduler": {},
}


class Pointwise(nn.Cell):
    """A network of each value and the timestep alone."""

    def construct(self, x, timestep):
        told = ops.cast(timestep, x.dtype).reshape((-1,) + (1,) * (x.ndim - 1))
        return 0.5 * ops.sin(1.3 * x + told)


class Zero(nn.Cell):
    """The optimal network of independent Gaussian channels."""

    def construct(self, x, timestep):
        return ops.zeros_like(x)


MODEL = Pointwise()


def scheduled(name, sigma_data, steps=6, **arguments):
    scheduler = getattr(md, name)(sigma_data=sigma_data, **{**CLASSES[name], **arguments})
    scheduler.set_timesteps(steps)
    return scheduler


def drawn(shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("name", CLASSES)
def test_channels_come_out_as_if_each_were_sampled_alone(name):
    scheduler = scheduled(name, SIGMA_DATA)
    noise = Tensor(drawn(SHAPE) * np.float32(scheduler.init_noise_sigma))
    together = Sampler(MODEL, scheduler)
    fresh = drawn((len(together.plan), *SHAPE), seed=1)
    given = {"step_noise": Tensor(fresh)} if together.stochastic else {}
    samples = together(noise, **given).asnumpy()
    for c, sigma_data in enumerate(SIGMA_DATA):
        one = slice(c, c + 1)
        single = Sampler(MODEL, scheduled(name, sigma_data))
        given = {"step_noise": Tensor(fresh[:, :, one])} if single.stochastic else {}
        np.testing.assert_allclose(samples[:, one], single(noise[:, one], **given).asnumpy(), rtol=2e-5, atol=1e-5)


def test_methods_steps_and_graphs_agree(tmp_path):
    scheduler = scheduled("EDMDPMSolverMultistepScheduler", SIGMA_DATA)
    noise = Tensor(drawn(SHAPE) * np.float32(scheduler.init_noise_sigma))
    samplers = [Sampler(MODEL, scheduler, method=method) for method in ("loop", "unrolled", "step")]
    expected = samplers[0](noise).asnumpy()
    for sampler in samplers[1:]:
        np.testing.assert_allclose(sampler(noise).asnumpy(), expected, rtol=1e-5, atol=1e-5)
    x = noise
    for t in scheduler.timesteps:
        x = scheduler.step(MODEL(scheduler.scale_model_input(x, t), Tensor(np.full(2, t))), x, t)
    np.testing.assert_allclose(x.asnumpy(), expected, rtol=1e-5, atol=1e-5)
    reloaded = load_mindir(export_mindir(samplers[0], tmp_path / "channels.mindir", noise))
    np.testing.assert_allclose(reloaded(noise[:1]).asnumpy(), expected[:1], rtol=0, atol=1e-5)


def test_samples_of_gaussian_channels_have_their_standard_deviations():
    scheduler = scheduled("EDMDPMSolverMultistepScheduler", SIGMA_DATA, steps=60, sigma_max=400.0)
    unit = np.ones((1, 3, 1), np.float32)
    # Every step is linear in the noise, so that the image of 1 is the standard deviation.
    samples = Sampler(Zero(), scheduler)(Tensor(400 * unit)).asnumpy()
    np.testing.assert_allclose(samples[0, :, 0], SIGMA_DATA, rtol=0.01)


def test_float16_is_finite():
    scheduler = scheduled("EDMHeunScheduler", SIGMA_DATA, compute_dtype=ms.float16)
    noise = Tensor((drawn(SHAPE) * scheduler.init_noise_sigma).astype(np.float16))
    assert np.all(np.isfinite(Sampler(MODEL, scheduler)(noise, generator=0).asnumpy()))


def test_samples_at_timesteps_of_their_own():
    scheduler = scheduled("EDMEulerScheduler", SIGMA_DATA)
    x, output = Tensor(drawn(SHAPE)), Tensor(drawn(SHAPE, seed=1))
    together = scheduler.step(output, x, Tensor(scheduler.timesteps[[1, 3]])).asnumpy()
    for k, row in enumerate((1, 3)):
        alone = scheduler.step(output[k : k + 1], x[k : k + 1], scheduler.timesteps[row]).asnumpy()
        np.testing.assert_allclose(together[k : k + 1], alone, rtol=1e-6)


def test_posterior_guidance_knows_the_scales_of_channels():
    kept = np.array([[1.0, 0.0, 1.0, 1.0]], np.float32)
    noise = Tensor(drawn(SHAPE) * 80)
    y = drawn(SHAPE, seed=2)

    def guided(sigma_data, channels):
        scheduler = scheduled("EDMEulerScheduler", sigma_data)
        prior = sigma_data if isinstance(sigma_data, float) else np.array(sigma_data)
        model = PosteriorGuidance(MODEL, scheduler, Mask(kept), noise_std=0.1, prior_std=prior, iterations=9)
        return Sampler(model, scheduler)(noise[:, channels], Tensor(y[:, channels])).asnumpy()

    together = guided(SIGMA_DATA, slice(0, 3))
    for c, sigma_data in enumerate(SIGMA_DATA):
        one = slice(c, c + 1)
        np.testing.assert_allclose(together[:, one], guided(sigma_data, one), rtol=1e-4, atol=1e-4)


def test_known_values_hold_in_every_channel():
    noise, known = Tensor(drawn(SHAPE) * 80), Tensor(drawn(SHAPE, seed=3))
    mask = Tensor(np.array([1.0, 0.0, 1.0, 1.0], np.float32))
    together = Sampler(MODEL, scheduled("EDMEulerScheduler", SIGMA_DATA), inpaint=True)
    samples = together(noise, mask=mask, known=known).asnumpy()
    for c, sigma_data in enumerate(SIGMA_DATA):
        one = slice(c, c + 1)
        single = Sampler(MODEL, scheduled("EDMEulerScheduler", sigma_data), inpaint=True)
        expected = single(noise[:, one], mask=mask, known=known[:, one]).asnumpy()
        np.testing.assert_allclose(samples[:, one], expected, rtol=2e-5, atol=1e-5)


def test_the_configuration_keeps_them(tmp_path):
    scheduler = scheduled("EDMHeunScheduler", SIGMA_DATA)
    scheduler.save_pretrained(tmp_path)
    again = md.EDMHeunScheduler.from_pretrained(tmp_path)
    assert list(again.config.sigma_data) == SIGMA_DATA
    assert again.preconditioning.arguments == scheduler.preconditioning.arguments
    other = md.EDMDPMSolverMultistepScheduler.from_config(scheduler.config)
    assert list(other.config.sigma_data) == SIGMA_DATA


def test_the_denoiser_itself_takes_any_channels():
    scheduler = scheduled("EDMEulerScheduler", SIGMA_DATA, prediction_type="sample")
    noise = Tensor(drawn((2, 5)) * 80)
    plain = scheduled("EDMEulerScheduler", 0.5, prediction_type="sample")
    assert np.array_equal(Sampler(MODEL, scheduler)(noise).asnumpy(), Sampler(MODEL, plain)(noise).asnumpy())


def test_bad_input():
    for value, message in (
        ([0.5, 0.0], r"'sigma_data\[1\]' must be"),
        ([], "'sigma_data' must be"),
        (-1.0, "'sigma_data'"),
    ):
        with pytest.raises(ValueError, match=message):
            md.EDMHeunScheduler(sigma_data=value)
    with pytest.raises(TypeError, match="'sigma_data' must be a number"):
        md.SCMScheduler(sigma_data=[0.5, 1.0])
    scheduler = scheduled("EDMEulerScheduler", SIGMA_DATA)
    x = Tensor(drawn((2, 4, 5)))
    message = (
        r"'sigma_data' of EDMEulerScheduler has 3 numbers, one for each channel, but the sample has shape \(2, 4, 5\)"
    )
    with pytest.raises(ValueError, match=message):
        scheduler.step(x, x, scheduler.timesteps[0])
    with pytest.raises(ValueError, match=message):
        Sampler(MODEL, scheduler)(x)
    x = Tensor(drawn(SHAPE))
    with pytest.raises(ValueError, match="one for each frame, but axis 1 of the sample are channels"):
        scheduler.step(x, x, Tensor(np.tile(scheduler.timesteps[:3], (2, 1))))
    with pytest.raises(ValueError, match="sigma_data of the scheduler is one for each channel"):
        Sampler(MODEL, scheduler, frames=md.FrameSchedule(3))
    with pytest.raises(ValueError, match="'motion' takes axis 1 of the sample for particles"):
        Sampler(MODEL, scheduler, motion=md.RigidMotion())
    stochastic = scheduled(
        "EDMDPMSolverMultistepScheduler", SIGMA_DATA, algorithm_type="sde-dpmsolver++", solver_order=1
    )
    with pytest.raises(ValueError, match="'sigma_data' for each channel: twisted particles need one number"):
        md.TwistedSampler(PosteriorGuidance(MODEL, stochastic, Mask(1.0), noise_std=0.1))
