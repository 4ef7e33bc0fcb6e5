"""EDMEulerScheduler against trajectories of diffusers, and DiffusionSampler against those of Diamond."""

import json
from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn, ops

from mindscience_diffuser import DiffusionSampler, DiffusionSamplerConfig, EDMEulerScheduler
from mindscience_diffuser.compat.peer import peer_class

GOLDEN = Path(__file__).parent / "golden"
EDM_EULER = np.load(GOLDEN / "edm_euler.npz")
CONFIGS = json.loads(str(EDM_EULER["configs"]))


def draw(seed, step):
    """The noise of scripts/make_golden_edm.py."""
    return np.random.default_rng((seed, step + 1)).standard_normal((2, 3, 4, 4)).astype(np.float32)


@pytest.mark.parametrize("k", range(len(CONFIGS)), ids=[json.dumps(config) for config in CONFIGS])
def test_edm_euler_takes_the_trajectory_of_diffusers(k):
    config = CONFIGS[k]
    # Churn of diffusers has other mathematics, see docs_cn/deviations.md.
    scheduler = (peer_class("EDMEulerScheduler") if config.get("step") else EDMEulerScheduler)(**config["init"])
    scheduler.set_timesteps(config["steps"])
    assert np.allclose(scheduler.sigmas, EDM_EULER[f"sigmas_{k}"], rtol=1e-6, atol=1e-9)
    assert np.allclose(scheduler.timesteps, EDM_EULER[f"timesteps_{k}"], atol=1e-6)
    assert scheduler.init_noise_sigma == pytest.approx(float(EDM_EULER[f"init_noise_sigma_{k}"]), rel=1e-6)
    x = draw(k, -1) * np.float32(scheduler.init_noise_sigma)
    for i, t in enumerate(scheduler.timesteps):
        output = 0.5 * np.tanh(scheduler.scale_model_input(Tensor(x), t).asnumpy()) + np.float32(0.1 * t)
        # diffusers subtracts numbers of the size of the sample before the step.
        tolerance = 1e-5 + 2e-7 * np.abs(x).max()
        x = scheduler.step(Tensor(output), Tensor(x), t, noise=Tensor(draw(k, i)), **config.get("step", {})).asnumpy()
        assert np.abs(x - EDM_EULER[f"samples_{k}"][i]).max() <= tolerance


class ToyDenoiser(nn.Cell):
    """D(x, sigma) = x / (1 + sigma^2) + 0.1 * tanh(x) + 0.05 * mean of the observations over their channels."""

    def construct(self, x, sigma, obs, act):
        sigma = sigma.reshape((-1, 1, 1, 1)).astype(x.dtype)
        return x / (1 + sigma * sigma) + 0.1 * ops.tanh(x) + 0.05 * obs.mean(1, keep_dims=True).astype(x.dtype)


def diamond(name, dtype):
    """Returns the stored trajectory, our sampler, and what it is called with."""
    golden = np.load(GOLDEN / f"diamond_{name}.npz")
    given = json.loads(str(golden["config"]))
    # The original is told sigma where algorithm 2 of EDM says sigma_hat.
    config = DiffusionSamplerConfig(**given, call_at_sigma_hat=False)
    sampler = DiffusionSampler(ToyDenoiser(), config, compute_dtype=dtype)
    observations = Tensor(golden["prev_obs"])
    inputs = [observations, Tensor(np.zeros(observations.shape[:2], np.int32)), Tensor(golden["noise_draws"][0])]
    if config.s_churn:
        fresh = np.zeros((config.num_steps_denoising, *golden["result"].shape), np.float32)
        # The original draws only where it adds noise.
        fresh[np.flatnonzero(sampler.churn_std)] = golden["noise_draws"][1:]
        inputs.append(Tensor(fresh))
    return golden, sampler, inputs


@pytest.mark.parametrize("name", ["default", "heun_churn"])
def test_tables_are_those_of_diamond(name):
    golden, sampler, _ = diamond(name, ms.float32)
    assert np.allclose(sampler.build_sigmas(), golden["sigmas"], rtol=1e-6, atol=1e-8)
    assert np.allclose(sampler.plan.timesteps, golden["denoiser_sigmas"], rtol=1e-6, atol=1e-8)


@pytest.mark.every_case
@pytest.mark.parametrize(("dtype", "tolerance"), [(ms.float32, 1e-5), (ms.float16, 2e-2)])
@pytest.mark.parametrize("name", ["default", "heun_churn"])
def test_trajectory_is_that_of_diamond(name, dtype, tolerance):
    golden, sampler, inputs = diamond(name, dtype)
    result, trajectory = sampler.sample(*inputs)
    assert result.dtype == dtype
    assert trajectory.shape == golden["trajectory"].shape
    if dtype == ms.float16:
        tolerance *= np.abs(golden["trajectory"]).max()
    for ours, theirs in ((result, golden["result"]), (trajectory, golden["trajectory"])):
        assert np.abs(ours.asnumpy().astype(np.float64) - theirs).max() <= tolerance
