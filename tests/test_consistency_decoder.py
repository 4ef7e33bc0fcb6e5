"""The consistency decoder: exact on Gaussian data, its schedule that of the release, its trajectories of diffusers."""

import math
from dataclasses import replace

import mindspore as ms
import numpy as np
import pytest
import releases
from mindspore import Tensor, nn

from mindscience_diffuser import ConsistencyDecoderScheduler, Sampler, compat

NAME = "ConsistencyDecoderScheduler"


def built(count=None, timesteps=None, **config):
    scheduler = ConsistencyDecoderScheduler(**config)
    scheduler.set_timesteps(count, timesteps=timesteps)
    return scheduler


def alpha_bar(timestep, train=1024):
    """The product of 1 - beta up to a timestep, one factor after the other."""

    def cosine(share):
        return math.cos((share + 0.008) / 1.008 * math.pi / 2) ** 2

    betas = [min(1 - cosine((k + 1) / train) / cosine(k / train), 0.999) for k in range(timestep + 1)]
    return math.prod(1 - beta for beta in betas)


def test_levels_and_timesteps_are_those_of_the_release():
    scheduler = built(2)
    assert scheduler.timesteps.tolist() == [1008, 512]
    for row, t in enumerate((1008, 512)):
        alpha, sigma = (level[row] for level in scheduler.levels)
        assert alpha == pytest.approx(math.sqrt(alpha_bar(t)), rel=1e-9)
        assert sigma == pytest.approx(math.sqrt(1 - alpha_bar(t)), rel=1e-9)
    assert scheduler.init_noise_sigma == scheduler.levels[1][0]
    assert built(1).timesteps.tolist() == [1008]
    assert built(4).timesteps.tolist() == [1008, 768, 512, 256]
    assert built(63).timesteps.tolist() == list(range(1008, 0, -16))
    assert built(3, num_train_timesteps=10).timesteps.tolist() == [9, 6, 3]
    assert built(1, num_train_timesteps=1).timesteps.tolist() == [0]


@pytest.mark.parametrize("std", [0.5, 0.2])
@pytest.mark.parametrize("count", [1, 2, 5, 63])
def test_follows_the_exact_recursion_on_gaussian_data(std, count):
    scheduler = built(count, sigma_data=0.5)
    plan = replace(scheduler.plan, limit=None)
    ab = np.array([alpha_bar(t) for t in scheduler.timesteps] + [1.0])
    alpha, sigma = np.sqrt(ab), np.sqrt(1 - ab)
    noises = np.eye(1 + count)
    x, variance = sigma[0] * noises[0], sigma[0] ** 2
    for row in range(count):
        # The flow of data N(0, std^2) is linear; around it the network has what EDM leaves to it, at alpha = 1.
        ratio, given = sigma[row] / alpha[row], x / alpha[row]
        d = math.hypot(ratio, 0.5)
        wanted = std / math.hypot(ratio, std) * given
        output = (wanted - 0.25 / d**2 * given) / (ratio * 0.5 / d)
        # The scaled input is that of the network at the level sigma / alpha.
        np.testing.assert_allclose(plan.input_scale[row] * x, given / d, rtol=1e-9)
        x = plan.run(row, sample=x, output=output, noise=noises[1 + row] if row + 1 < count else 0 * x)["sample"]
        clean = variance * std**2 / ((alpha[row] * std) ** 2 + sigma[row] ** 2)
        variance = alpha[row + 1] ** 2 * clean + sigma[row + 1] ** 2
        assert np.square(x).sum() == pytest.approx(variance, rel=1e-9)
    assert math.sqrt(variance) == pytest.approx(std, rel=1e-3)


class Decoder(nn.Cell):
    def construct(self, x, t):
        return 3 * x


def test_clean_samples_are_clipped_and_all_ways_to_run_agree():
    scheduler, random = built(2), np.random.default_rng(0)
    x, fresh = (Tensor(random.standard_normal(shape), ms.float32) for shape in ((2, 5, 3), (2, 2, 5, 3)))
    results = [Sampler(Decoder(), scheduler, method=m)(x, step_noise=fresh) for m in ("step", "loop")]
    for k, t in enumerate(scheduler.timesteps):
        x = scheduler.step(Decoder()(scheduler.scale_model_input(x, t), t), x, t, noise=fresh[k])
    assert np.abs(x.asnumpy()).max() == 1.0
    for result in results:
        np.testing.assert_allclose(result.asnumpy(), x.asnumpy(), atol=1e-5)


def test_refuses_schedules_that_are_none():
    scheduler = ConsistencyDecoderScheduler()
    with pytest.raises(TypeError, match="needs 'num_inference_steps' or 'timesteps'"):
        scheduler.set_timesteps()
    with pytest.raises(ValueError, match="give one of them"):
        scheduler.set_timesteps(2, timesteps=[5])
    with pytest.raises(ValueError, match=r"'num_inference_steps' must be .*63"):
        scheduler.set_timesteps(64)
    with pytest.raises(ValueError, match="'sigma_data' must be"):
        ConsistencyDecoderScheduler(sigma_data=0.0)


@pytest.mark.every_case
@pytest.mark.parametrize("k", range(len(releases.CASES[NAME])))
def test_drop_in_trajectories_are_those_of_diffusers(k):
    releases.check_drop_in(NAME, k)


def test_drop_in_tables_and_steps_by_their_timestep():
    scheduler, x = compat.ConsistencyDecoderScheduler(), Tensor(np.full((2, 3), 0.5, np.float32))
    assert not hasattr(scheduler, "timesteps")
    assert scheduler.c_in.shape == scheduler.c_out.shape == scheduler.c_skip.shape == (1024,)
    t = Tensor([3, 700])
    scaled = scheduler.scale_model_input(x, 700).asnumpy()
    np.testing.assert_allclose(scaled, 0.5 * scheduler.c_in.asnumpy()[700], rtol=1e-6)
    with pytest.raises(ValueError, match="'num_inference_steps' must be 2, but is 3"):
        scheduler.set_timesteps(3)
    scheduler.set_timesteps(2)
    last = [scheduler.step(x, scheduler.timesteps[1], x).prev_sample.asnumpy() for _ in range(3)]
    np.testing.assert_array_equal(last[0], last[2])
    np.testing.assert_allclose(last[0], 0.5 * (scheduler.c_out + scheduler.c_skip).asnumpy()[512], rtol=1e-6)
    with pytest.raises(ValueError, match="'timestep' must be one of scheduler.timesteps"):
        scheduler.step(x, t[0], x)
