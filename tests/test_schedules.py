"""Ready-made schedules by name: the published numbers, in every family, and one plan in step, Sampler and export."""

import json
from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn
from scipy.stats import laplace

from mindscience_diffuser import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EDMEulerScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    FlowMatchHeunDiscreteScheduler,
    LMSDiscreteScheduler,
    Sampler,
    UniPCMultistepScheduler,
    compat,
    schedule_sigmas,
    schedule_timesteps,
)
from mindscience_diffuser.export import export_mindir, load_mindir
from mindscience_diffuser.noise import AYS_SIGMAS, FLOW_SCHEDULES, RATIO_SCHEDULES, SIGMA_SCHEDULES
from mindscience_diffuser.noise.schedules import laplace_sigmas
from mindscience_diffuser.runs.config.components import build
from mindscience_diffuser.runs.config.load import load_config
from mindscience_diffuser.runs.errors import ConfigError
from mindscience_diffuser.schedulers.base.scheduler import schedulers_by_name

GOLDEN = np.load(Path(__file__).parent / "golden" / "schedules.npz")
TABLES = json.loads(str(GOLDEN["tables"]))
COUNTS = (2, 3, 7, 10, 50)
RANGES = ((14.6146, 0.0292), (80.0, 0.002))
PUBLISHED = {"ays_sd15": "StableDiffusion", "ays_sdxl": "StableDiffusionXL", "ays_svd": "StableDiffusionVideo"}
LATENT = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
FLOW = {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}
SPACED = {name: kind for name, kind in schedulers_by_name().items() if "sigma_schedule" in kind.arguments}
EDM = [name for name, kind in SPACED.items() if "rho" in kind.arguments]
FLOWS = [name for name in SPACED if name.startswith(("FlowMatch", "LTX"))]
OF_BETAS = [name for name in SPACED if name not in (*EDM, *FLOWS)]


def scheduled(kind, count, **arguments):
    scheduler = kind(**arguments)
    scheduler.set_timesteps(count)
    return scheduler


# --- the published numbers -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", AYS_SIGMAS)
def test_align_your_steps_has_the_published_levels(name):
    ends = (700.0, 0.002) if name == "ays_svd" else (14.6146412, 0.0291671582)
    published = np.array(TABLES[f"{PUBLISHED[name]}Sigmas"])
    np.testing.assert_allclose(schedule_sigmas(name, 10, *ends), published[:-1], atol=5.1e-4)
    for count in COUNTS:
        read = GOLDEN[f"{PUBLISHED[name]}_{count}"]
        np.testing.assert_allclose(schedule_sigmas(name, count, *ends), read[:-1], rtol=6e-3)


@pytest.mark.parametrize("name", ["ays_sd15", "ays_sdxl"])
@pytest.mark.parametrize("kind", [EulerDiscreteScheduler, DPMSolverMultistepScheduler])
def test_align_your_steps_visits_the_published_levels_and_timesteps_of_its_model(name, kind):
    # The grid of these models, which leaves out the highest levels, has no part in it.
    scheduler = scheduled(kind, 10, **LATENT, sigma_schedule=name, timestep_spacing="leading", steps_offset=1)
    np.testing.assert_allclose(scheduler.sigmas, TABLES[f"{PUBLISHED[name]}Sigmas"], atol=5.1e-4)
    timesteps = TABLES[f"{PUBLISHED[name]}Timesteps"]
    assert np.rint(scheduler.timesteps).tolist() == timesteps
    ddim = DDIMScheduler(**LATENT)
    ddim.set_timesteps(timesteps=schedule_timesteps(name, 10, ddim.alphas_cumprod))
    assert ddim.timesteps.tolist() == timesteps


def test_kl_optimal_levels_are_those_of_other_implementations():
    for count in COUNTS:
        for k, ends in enumerate(RANGES):
            found = schedule_sigmas("kl_optimal", count, *ends)
            np.testing.assert_allclose(found, GOLDEN[f"kl_optimal_{count}_{k}"], rtol=2e-4)


def test_kl_optimal_levels_lead_first_order_steps_to_the_least_divergence():
    # Data of unit variance: a step of the probability-flow ODE scales the sample by (1 + s * s_next) / (1 + s^2).
    def divergence(levels):
        scale = np.prod((1 + levels[:-1] * levels[1:]) / (1 + levels[:-1] ** 2))
        ratio = scale**2 * (1 + levels[0] ** 2) / (1 + levels[-1] ** 2)
        return (ratio - 1 - np.log(ratio)) / 2

    levels = schedule_sigmas("kl_optimal", 9, 80.0, 0.002)
    assert divergence(levels) < 0.9 * min(divergence(schedule_sigmas(n, 9, 80.0, 0.002)) for n in ("karras", "laplace"))
    for row in range(1, 8):
        for factor in (0.99, 1.01):
            moved = levels.copy()
            moved[row] *= factor
            assert divergence(moved) > divergence(levels)


def test_laplace_levels_are_those_of_other_implementations():
    for count in COUNTS:
        for k, ends in enumerate(RANGES):
            found, golden = schedule_sigmas("laplace", count, *ends), GOLDEN[f"laplace_{count}_{k}"]
            # Others add 1e-5 inside the logarithm, so that they do not come below 0.003 at its end.
            np.testing.assert_allclose(found[:-1], golden[:-1], rtol=2e-4)
            assert found[-1] == ends[1] and golden[-1] == pytest.approx(max(ends[1], 1e-5**0.5), rel=1e-5)


def test_laplace_levels_are_quantiles_of_the_logarithm():
    levels = laplace_sigmas(1e9, 1e-9, 41, mu=0.3, beta=0.25)
    quantiles = laplace.ppf(np.linspace(1, 0, 41)[1:-1], 0.3, 0.25)
    np.testing.assert_allclose(np.log(levels[1:-1]), quantiles, atol=1e-12)


def test_linear_quadratic_levels_are_those_of_mochi():
    for count in COUNTS:
        scheduler = scheduled(FlowMatchEulerDiscreteScheduler, count, sigma_schedule="linear_quadratic")
        np.testing.assert_allclose(scheduler.sigmas[:-1], GOLDEN[f"linear_quadratic_{count}"], atol=1e-12)
        assert scheduler.sigmas[-1] == 0
        inverted = scheduled(
            FlowMatchEulerDiscreteScheduler, count, sigma_schedule="linear_quadratic", invert_sigmas=True
        )
        np.testing.assert_allclose(inverted.sigmas, 1 - scheduler.sigmas, atol=1e-12)


# --- any number of calls, any family ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", dict.fromkeys(RATIO_SCHEDULES + FLOW_SCHEDULES))
def test_levels_descend_between_the_ends_for_any_number_of_calls(name):
    for count in (1, 2, 5, 33, 400):
        levels = schedule_sigmas(name, count, 14.6146, 0.0292)
        assert levels.shape == (count,) and levels[0] == pytest.approx(14.6146, rel=1e-12)
        assert np.all(levels[1:] < levels[:-1]) and levels[-1] >= 0.0292 * (1 - 1e-9)
        if count > 1 and name not in (*AYS_SIGMAS, "linear_quadratic"):
            assert levels[-1] == pytest.approx(0.0292, rel=1e-9)


@pytest.mark.parametrize("name", RATIO_SCHEDULES)
@pytest.mark.parametrize("count", [1, 10, 100, 1000])
def test_timesteps_of_a_schedule_are_strictly_descending(name, count):
    ddim = DDIMScheduler(**LATENT)
    timesteps = schedule_timesteps(name, count, ddim.alphas_cumprod)
    assert timesteps.shape == (count,) and timesteps[0] == 999 and timesteps[-1] >= 0
    ddim.set_timesteps(timesteps=timesteps)
    assert ddim.timesteps.tolist() == timesteps.tolist()
    if count == 10:
        alpha_bar = ddim.alphas_cumprod.asnumpy()[timesteps]
        training = np.sqrt(1 / ddim.alphas_cumprod.asnumpy() - 1)
        found = np.sqrt(1 / alpha_bar - 1)
        np.testing.assert_allclose(found, schedule_sigmas(name, 10, training[-1], training[0]), rtol=0.08)


@pytest.mark.parametrize("name", OF_BETAS)
def test_schedulers_of_betas_space_the_whole_range_of_their_levels(name):
    training = np.sqrt(1 / np.cumprod(1 - np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2) - 1)
    ratios = [choice for choice in SPACED[name].arguments["sigma_schedule"].choices if choice in RATIO_SCHEDULES]
    assert set(RATIO_SCHEDULES) - set(ratios) <= set(AYS_SIGMAS if SPACED[name].inverts else ())
    for schedule in ratios:
        scheduler = scheduled(SPACED[name], 6, **LATENT, sigma_schedule=schedule)
        steps = np.sort(scheduler.sigmas[:-1][:: scheduler.order])[::-1]
        np.testing.assert_allclose(steps, SIGMA_SCHEDULES[schedule](training[-1], training[0], 6), rtol=1e-9)


@pytest.mark.parametrize("name", EDM)
def test_schedulers_of_edm_space_their_range(name):
    for schedule in RATIO_SCHEDULES:
        scheduler = scheduled(SPACED[name], 6, sigma_schedule=schedule, sigma_min=0.01, sigma_max=50.0)
        np.testing.assert_allclose(scheduler.sigmas[:-1], SIGMA_SCHEDULES[schedule](50.0, 0.01, 6), rtol=1e-12)


@pytest.mark.parametrize("name", FLOWS)
def test_flows_space_their_range(name):
    for schedule in FLOW_SCHEDULES:
        scheduler = scheduled(SPACED[name], 6, sigma_schedule=schedule)
        steps = np.append(scheduler.sigmas[0], scheduler.sigmas[1 :: scheduler.order])[:6]
        np.testing.assert_allclose(steps, SIGMA_SCHEDULES[schedule](1.0, 0.001, 6), rtol=1e-9)


@pytest.mark.parametrize("final", ["zero", "sigma_min"])
def test_a_trajectory_ends_where_its_configuration_says(final):
    for kind in (EulerDiscreteScheduler, UniPCMultistepScheduler):
        scheduler = scheduled(kind, 5, **LATENT, sigma_schedule="ays_sdxl", final_sigmas_type=final)
        assert scheduler.sigmas[-1] == (0 if final == "zero" else pytest.approx(0.0291671582))
        assert scheduler.sigmas[-2] > 0.1
    edm = scheduled(EDMEulerScheduler, 5, sigma_schedule="ays_svd", final_sigmas_type=final)
    assert edm.sigmas[-1] == (0 if final == "zero" else 0.002)
    flow = scheduled(UniPCMultistepScheduler, 5, **FLOW, sigma_schedule="linear_quadratic", final_sigmas_type=final)
    assert flow.sigmas[-1] == (0 if final == "zero" else 0.001)
    np.testing.assert_allclose(flow.sigmas[:-1], schedule_sigmas("linear_quadratic", 5), rtol=2e-6)


def test_a_name_does_what_its_numbers_do_as_sigmas():
    named = scheduled(EulerDiscreteScheduler, 8, **LATENT, sigma_schedule="kl_optimal")
    given = EulerDiscreteScheduler(**LATENT)
    training = given.training_sigmas
    given.set_timesteps(sigmas=[*schedule_sigmas("kl_optimal", 8, training[-1], training[0]), 0.0])
    assert np.array_equal(named.sigmas, given.sigmas) and np.array_equal(named.timesteps, given.timesteps)
    flow = FlowMatchEulerDiscreteScheduler()
    flow.set_timesteps(sigmas=schedule_sigmas("linear_quadratic", 8))
    assert np.array_equal(
        flow.sigmas, scheduled(FlowMatchEulerDiscreteScheduler, 8, sigma_schedule="linear_quadratic").sigmas
    )


# --- one plan for all ------------------------------------------------------------------------------------------------


class Denoiser(nn.Cell):
    def construct(self, x, timestep):
        return 0.3 * x + 0.1 * timestep.astype(x.dtype).reshape((-1, 1, 1, 1)) / 1000


def test_step_sampler_and_export_follow_the_schedule(tmp_path):
    scheduler = scheduled(EulerDiscreteScheduler, 7, **LATENT, sigma_schedule="ays_sd15")
    x = Tensor(np.random.default_rng(0).standard_normal((2, 2, 4, 4)).astype(np.float32)) * scheduler.init_noise_sigma
    sampler = Sampler(Denoiser(), scheduler)
    whole = sampler(x).asnumpy()
    exported = load_mindir(export_mindir(sampler, tmp_path / "trajectory.mindir", x))
    np.testing.assert_allclose(exported(x).asnumpy(), whole, atol=1e-5)
    exact, model = x.asnumpy().astype(np.float64), Denoiser()
    for t, sigma, sigma_next in zip(scheduler.timesteps, scheduler.sigmas, scheduler.sigmas[1:]):
        told = Tensor(np.full(2, t, np.float32))
        x = scheduler.step(model(scheduler.scale_model_input(x, t), told), x, t)
        exact += (sigma_next - sigma) * (0.3 * exact / np.hypot(sigma, 1) + 0.1 * t / 1000)
    np.testing.assert_allclose(x.asnumpy(), exact, atol=1e-4)
    np.testing.assert_allclose(whole, exact, atol=1e-4)


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        *((EulerDiscreteScheduler, {**LATENT, "sigma_schedule": name}) for name in ("ays_sd15", "laplace")),
        (EDMEulerScheduler, {"sigma_schedule": "kl_optimal"}),
        (FlowMatchHeunDiscreteScheduler, {"sigma_schedule": "linear_quadratic"}),
    ],
)
def test_half_precision_stays_finite(kind, arguments):
    scheduler = scheduled(kind, 6, **arguments, compute_dtype=ms.float16)
    x = Tensor(np.random.default_rng(1).standard_normal((1, 2, 4, 4)).astype(np.float16)) * scheduler.init_noise_sigma
    x = x.astype(ms.float16)
    for t in scheduler.timesteps:
        x = scheduler.step(0.3 * scheduler.scale_model_input(x, t) if scheduler.init_noise_sigma > 1 else 0.3 * x, x, t)
        assert np.all(np.isfinite(x.asnumpy()))


def test_half_precision_of_the_whole_range():
    scheduler = scheduled(UniPCMultistepScheduler, 12, sigma_schedule="kl_optimal", compute_dtype=ms.float16)
    x = Tensor(np.random.default_rng(2).standard_normal((1, 2, 4, 4)).astype(np.float16))
    for t in scheduler.timesteps:
        x = scheduler.step(x, x, t)
    assert np.all(np.isfinite(x.asnumpy()))


# --- configurations --------------------------------------------------------------------------------------------------


def test_a_configuration_keeps_the_schedule_where_the_class_has_it(tmp_path):
    scheduler = EulerDiscreteScheduler(**LATENT, sigma_schedule="ays_sdxl")
    scheduler.save_pretrained(tmp_path)
    assert EulerDiscreteScheduler.from_pretrained(tmp_path).config.sigma_schedule == "ays_sdxl"
    with pytest.warns(UserWarning, match="does not use"):
        assert LMSDiscreteScheduler.from_config(scheduler.config).config.sigma_schedule == "ays_sdxl"
    with pytest.warns(UserWarning, match="does not use .*sigma_schedule.*; kept") as caught:
        DDIMScheduler.from_config(scheduler.config)
    assert not any("another noise process" in str(warning.message) for warning in caught)
    flow = UniPCMultistepScheduler(**FLOW, sigma_schedule="linear_quadratic")
    with pytest.warns(UserWarning, match="does not use"):
        assert FlowMatchEulerDiscreteScheduler.from_config(flow.config).config.sigma_schedule == "linear_quadratic"


@pytest.mark.parametrize(
    ("kind", "arguments", "words"),
    [
        (EulerDiscreteScheduler, {"sigma_schedule": "ays"}, "'ays_sd15', 'ays_sdxl', 'ays_svd', but is 'ays'"),
        (EulerDiscreteScheduler, {"sigma_schedule": "linear_quadratic"}, "must be one of 'karras', 'exponential'"),
        (EDMEulerScheduler, {"sigma_schedule": None}, "'kl_optimal', 'laplace'"),
        (FlowMatchEulerDiscreteScheduler, {"sigma_schedule": "ays_sd15"}, "'beta', 'linear_quadratic', but is"),
        (DPMSolverMultistepScheduler, {"sigma_schedule": "linear_quadratic"}, "set use_flow_sigmas=True"),
        (
            EulerDiscreteScheduler,
            {"sigma_schedule": "karras", "use_karras_sigmas": True},
            "'use_karras_sigmas' and 'sigma_schedule' are both set",
        ),
    ],
)
def test_a_schedule_that_a_class_has_not_is_named_with_those_that_it_has(kind, arguments, words):
    with pytest.raises(ValueError) as caught:
        kind(**arguments)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: schedule_sigmas("ays", 5), ValueError, "'linear_quadratic', but is 'ays'"),
        (lambda: schedule_sigmas("karras", 0, 80.0, 0.1), ValueError, "num_inference_steps"),
        (lambda: schedule_sigmas("karras", 5), ValueError, "'sigma_min' must be in (0, inf)"),
        (lambda: schedule_sigmas("karras", 5, 1.0, 2.0), ValueError, "'sigma_min' must be below 'sigma_max'"),
        (lambda: schedule_timesteps("linear_quadratic", 5, [0.9, 0.1]), ValueError, "'name' must be one of"),
        (lambda: schedule_timesteps("karras", 3, [0.9, 0.1]), ValueError, "num_inference_steps"),
        *(
            (lambda values=values: schedule_timesteps("karras", 2, values), error, words)
            for values, error, words in (
                ([0.9, 0.0], ValueError, "'alphas_cumprod' must be above 0, but ends in 0"),
                ([0.9, np.nan], ValueError, "'alphas_cumprod' must lie in [0, 1), but has nan"),
                ([0.1, 0.9], ValueError, "'alphas_cumprod' must be descending, but is [0.1, 0.9]"),
                ([], ValueError, "'alphas_cumprod' must be a sequence of at least 2 numbers, but has shape (0,)"),
                ("a", TypeError, "'alphas_cumprod' must hold numbers, but is 'a'"),
            )
        ),
    ],
)
def test_bad_arguments_of_the_functions_are_named(call, error, words):
    with pytest.raises(error) as caught:
        call()
    assert words in str(caught.value)


def test_a_run_names_its_schedule():
    configs = Path(__file__).parents[1] / "configs"
    chosen = ["scheduler.sigma_schedule=kl_optimal"]
    config = load_config(configs / "digits_ddim.yaml", ["scheduler.name=UniPCMultistepScheduler", *chosen])
    assert build("scheduler", config.scheduler).spacing == "kl_optimal"
    flow = load_config(configs / "digits_flow.yaml", chosen)
    with pytest.raises(ConfigError, match="'sigma_schedule' must be one of .* 'linear_quadratic', but is 'kl_optimal'"):
        build("scheduler", flow.scheduler)


# --- compat ----------------------------------------------------------------------------------------------------------


def test_compat_has_the_tables_of_diffusers():
    assert compat.AysSchedules == TABLES
    scheduler = compat.EulerDiscreteScheduler(**LATENT)
    scheduler.set_timesteps(sigmas=compat.AysSchedules["StableDiffusionXLSigmas"])
    np.testing.assert_allclose(scheduler.sigmas.asnumpy(), TABLES["StableDiffusionXLSigmas"], rtol=1e-6)
