"""The samplers of GenCast and of AlphaFold 3: their own files as reference, and exact steps on Gaussian data."""

import json
from pathlib import Path

import numpy as np
import pytest
from mindspore import Tensor

from mindscience_diffuser import AlphaFold3Scheduler, EDMDPMSolverSinglestepScheduler, EDMEulerScheduler, Scheduler

GOLDEN = np.load(Path(__file__).parent / "golden" / "science.npz")
GENCAST, ALPHAFOLD = (json.loads(str(GOLDEN[name])) for name in ("gencast", "alphafold3"))
DATA_STD = 1.3


def draw(seed, step):
    """The noise of scripts/make_golden_science.py."""
    return np.random.default_rng((seed, step + 1)).standard_normal((2, 5, 3))


def denoise(x, sigma):
    """Its toy denoiser, in float64."""
    return x / (1 + sigma**2) + 0.1 * np.tanh(x)


def golden_trajectory(scheduler, seed):
    """Returns the samples at the end of each step, before the noise that churn adds there for the next one."""
    start = np.stack([draw(seed, -1), draw(seed, 0)])
    x = (scheduler.sigmas[0] * start[0] + scheduler.churn_std[0] * start[1]).astype(np.float32)
    samples, sizes, step = [], [np.abs(x).max()], 0
    for row, sigma in enumerate(scheduler.timesteps):
        ends = row + 1 == len(scheduler.timesteps) or (row + 1) % scheduler.order == 0
        noise = draw(seed, step + 1).astype(np.float32)
        output = denoise(x.astype(np.float64), float(sigma)).astype(np.float32)
        x = scheduler.step(Tensor(output), Tensor(x), sigma, noise=Tensor(noise)).asnumpy()
        if ends:
            step += 1
            samples.append(x - scheduler.churn_std[step] * noise)
            sizes.append(np.abs(x).max())
    return np.stack(samples), np.array(sizes)


def check_golden(scheduler, seed, golden):
    samples, sizes = golden_trajectory(scheduler, seed)
    assert samples.shape == golden.shape
    # float32 rounds to 1e-7 of the sample before the step, which may be much larger than that after it.
    tolerance = 1e-5 + 3e-7 * sizes[:-1]
    assert np.all(np.abs(samples - golden).max((1, 2, 3)) < tolerance)


def build_gencast(config):
    options = {name: value for name, value in config.items() if name != "steps"}
    scheduler = EDMDPMSolverSinglestepScheduler(prediction_type="sample", **options)
    scheduler.set_timesteps(config["steps"])
    return scheduler


def build_alphafold(config):
    scheduler = AlphaFold3Scheduler(**{name: value for name, value in config.items() if name != "steps"})
    scheduler.set_timesteps(config["steps"])
    return scheduler


@pytest.mark.parametrize("k", range(len(GENCAST)), ids=[json.dumps(config) for config in GENCAST])
def test_gencast_takes_the_trajectory_of_its_own_file(k):
    check_golden(build_gencast(GENCAST[k]), k, GOLDEN[f"gencast_{k}"])


@pytest.mark.parametrize("k", range(len(ALPHAFOLD)), ids=[json.dumps(config) for config in ALPHAFOLD])
def test_alphafold3_takes_the_trajectory_of_its_own_file(k):
    check_golden(build_alphafold(ALPHAFOLD[k]), k, GOLDEN[f"alphafold3_{k}"])


def affine(plan, sigma, data_std):
    """Returns mean weights and variances of the sample after each row, for data N(m, s^2) and their exact denoiser.

    The plan is applied to the pair (weight of m, standard deviations of x and of what is remembered) in float64: the
    denoiser is D(x) = m + s^2 / (s^2 + sigma^2) * (x - m).
    """
    names = list(plan.states)
    # Each value is a vector over (m, the start, the noise of each row), all of unit variance but m.
    size = 2 + len(plan)
    values = {name: np.zeros(size) for name in names}
    values["sample"][0], values["sample"][1] = 1.0, sigma[0]
    values["sample"][1] = np.hypot(sigma[0], data_std)
    mean = np.eye(size)[0]
    found = []
    for row in range(len(plan)):
        x = values["sample"]
        told = sigma[row]
        x0 = mean + data_std**2 / (data_std**2 + told**2) * (x - mean)
        given = {**values, "x0": x0, "noise": np.eye(size)[2 + row]}
        values = {
            name: sum(np.broadcast_to(weight, len(plan))[row] * given[part] for part, weight in weights.items())
            for name, weights in plan.states.items()
        }
        found.append(values["sample"])
    return np.stack(found)


@pytest.mark.parametrize("s_churn", [0.0, 2.5, 40.0])
@pytest.mark.parametrize("s_noise", [1.0, 1.05])
def test_gencast_follows_the_exact_recursion_on_gaussian_data(s_churn, s_noise):
    scheduler = build_gencast({"steps": 12, "s_churn": s_churn, "s_noise": s_noise, "s_tmin": 0.1, "sigma_min": 0.03})
    variance = scheduler.init_noise_sigma**2 + DATA_STD**2
    ended = affine(scheduler.plan_for(), scheduler.call_levels(), DATA_STD)[1::2]
    gamma = np.minimum(s_churn / 12, np.sqrt(2) - 1) * (scheduler.sigmas[:-1] >= 0.1)
    hat = (1 + gamma) * scheduler.sigmas[:-1]
    added = s_noise**2 * (hat**2 - scheduler.sigmas[:-1] ** 2)
    variance = hat[0] ** 2 + DATA_STD**2
    for i in range(11):
        end, mid = scheduler.sigmas[i + 1], np.sqrt(hat[i] * scheduler.sigmas[i + 1])

        def shrink(sigma):
            return DATA_STD**2 / (DATA_STD**2 + sigma**2)

        to_mid = mid / hat[i] + (1 - mid / hat[i]) * shrink(hat[i])
        factor = end / hat[i] + (1 - end / hat[i]) * shrink(mid) * to_mid
        variance = factor**2 * variance + added[i + 1]
        assert np.isclose((ended[i][1:] ** 2).sum(), variance, rtol=1e-6)
        assert np.isclose(ended[i][0], 1, atol=1e-6)


@pytest.mark.parametrize("step_scale", [0.7, 1.0, 1.5])
@pytest.mark.parametrize(("gamma_0", "noise_scale"), [(0.0, 1.003), (0.8, 1.003), (0.3, 0.5)])
def test_alphafold3_follows_the_exact_recursion_on_gaussian_data(step_scale, gamma_0, noise_scale):
    scheduler = build_alphafold(
        {"steps": 15, "step_scale": step_scale, "gamma_0": gamma_0, "noise_scale": noise_scale, "sigma_max": 80.0}
    )
    sigmas = scheduler.sigmas
    assert sigmas[0] == pytest.approx(80.0) and sigmas[-1] == pytest.approx(0.0064)
    ended = affine(scheduler.plan_for(), scheduler.call_levels(), DATA_STD)
    hat = sigmas[:-1] * (1 + gamma_0 * (sigmas[1:] > 1.0))
    added = noise_scale**2 * (hat**2 - sigmas[:-1] ** 2)
    variance = hat[0] ** 2 + DATA_STD**2
    for i in range(14):
        slope = hat[i] / (DATA_STD**2 + hat[i] ** 2)
        variance = (1 + step_scale * (sigmas[i + 1] - hat[i]) * slope) ** 2 * variance + added[i + 1]
        assert np.isclose((ended[i][1:] ** 2).sum(), variance, rtol=1e-6)
        assert np.isclose(ended[i][0], 1, atol=1e-6)


def test_alphafold3_without_churn_and_scale_is_euler():
    ours = build_alphafold({"steps": 9, "gamma_0": 0.0, "step_scale": 1.0, "sigma_max": 80.0, "sigma_min": 0.1})
    euler = EDMEulerScheduler(prediction_type="sample")
    euler.set_timesteps(sigmas=ours.sigmas)
    ends = [affine(s.plan_for(), ours.sigmas[:-1], DATA_STD)[-1] for s in (ours, euler)]
    assert np.allclose(*ends, rtol=1e-12)


def test_gencast_has_second_order():
    errors = []
    for count in (20, 40, 80):
        scheduler = build_gencast({"steps": count, "sigma_min": 0.5})
        scheduler.set_timesteps(sigmas=np.geomspace(80.0, 0.4, count + 1))
        end = affine(scheduler.plan_for(), scheduler.call_levels(), DATA_STD)[-1][1]
        errors.append(abs(end / np.hypot(DATA_STD, 0.4) - 1))
    assert np.all(np.abs(np.log2(np.divide(errors[:-1], errors[1:])) - 2) < 0.2)


def test_presets_have_the_levels_of_the_models():
    gencast, alphafold = Scheduler.from_preset("gencast"), Scheduler.from_preset("alphafold3")
    gencast.set_timesteps(20)
    alphafold.set_timesteps(200)
    assert isinstance(gencast, EDMDPMSolverSinglestepScheduler) and isinstance(alphafold, AlphaFold3Scheduler)
    assert np.allclose(gencast.sigmas[[0, 19, 20]], (80, 0.03, 0)) and len(gencast.timesteps) == 39
    assert np.allclose(alphafold.sigmas[[0, 200]], (16 * 160, 16 * 4e-4)) and len(alphafold.timesteps) == 200


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        (EDMDPMSolverSinglestepScheduler, "s_churn", -0.1),
        (AlphaFold3Scheduler, "gamma_0", -0.1),
        (AlphaFold3Scheduler, "noise_scale", -1.0),
        (AlphaFold3Scheduler, "step_scale", 0.0),
    ],
)
def test_refuses_numbers_out_of_range(kind, name, value):
    with pytest.raises(ValueError, match=rf"'{name}' must be in .*, but is {value}"):
        kind(**{name: value})
