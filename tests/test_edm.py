"""EDM: scalings, noise levels and loss of training, and the schedulers around a preconditioned network."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, Tensor, nn

from mindscience_diffuser import EDMEulerScheduler, EDMHeunScheduler, EDMPreconditioning, EDMTrainer, Sampler
from mindscience_diffuser.noise import log_normal_sigmas
from mindscience_diffuser.plan import StepPlan

SIGMAS = np.geomspace(0.002, 80, 9)
CHURN = {"s_churn": 8.0, "s_tmin": 0.05, "s_tmax": 50.0, "s_noise": 1.003}
SPREAD = 0.7
"""Standard deviation of the Gaussian data whose exact denoiser is known."""


def exact_denoiser(x, sigma):
    return x * SPREAD**2 / (SPREAD**2 + sigma**2)


@pytest.mark.parametrize("offset", [0.0, 0.3])
def test_network_sees_and_predicts_unit_variance(offset):
    c = EDMPreconditioning(0.5, offset).scalings(SIGMAS)
    noise = SIGMAS**2 + offset**2
    assert np.allclose(c.c_in**2 * (0.25 + noise), 1)
    # The target (x0 - c_skip * x) / c_out; and of all c_skip, this one needs the smallest c_out.
    assert np.allclose(((1 - c.c_skip) ** 2 * 0.25 + c.c_skip**2 * noise) / c.c_out**2, 1)
    for other in (c.c_skip * 0.9, c.c_skip * 1.1):
        assert np.all((1 - other) ** 2 * 0.25 + other**2 * noise > c.c_out**2)
    assert np.allclose(c.c_noise, np.log(noise) / 8)


def test_training_noise_has_the_level_of_each_sample_and_one_offset_a_channel():
    sigmas = np.repeat([0.1, 3.0], 200)
    noise = EDMPreconditioning(sigma_offset_noise=0.3).training_noise(
        sigmas, (400, 2, 32, 32), np.random.default_rng(0)
    )
    assert noise.dtype == np.float32
    within = noise - noise.mean((2, 3), keepdims=True)
    for level in (0.1, 3.0):
        assert within[sigmas == level].std() == pytest.approx(level, rel=0.01)
    means = noise[sigmas == 0.1].mean((2, 3))
    assert means.std() == pytest.approx(0.3, rel=0.1)
    assert abs(np.corrcoef(means.T)[0, 1]) < 0.2


def test_training_levels_are_log_normal_within_bounds():
    sigmas = log_normal_sigmas(np.random.default_rng(0), 20000, -0.4, 1.2, 0.05, 6.0)
    assert np.median(sigmas) == pytest.approx(np.exp(-0.4), rel=0.03)
    inside = np.log(sigmas[(sigmas > 0.05) & (sigmas < 6)])
    assert np.quantile(inside, 0.84) - np.median(inside) == pytest.approx(1.2, rel=0.1)
    assert sigmas.min() == 0.05 and sigmas.max() == 6.0


class Network(nn.Cell):
    def __init__(self):
        super().__init__()
        self.scale = Parameter(Tensor(0.4, ms.float32), name="scale")

    def construct(self, x, noise_level, shift=None):
        out = self.scale * x + 0.1 * noise_level.reshape((-1,) + (1,) * (x.ndim - 1)).astype(x.dtype)
        return out if shift is None else out + shift


def test_loss_is_the_error_of_the_denoiser_weighted_by_one_over_c_out_squared():
    rng = np.random.default_rng(0)
    preconditioning = EDMPreconditioning(0.6, 0.2)
    x0, shift = rng.standard_normal((2, 9, 3, 4)).astype(np.float32)
    noise = preconditioning.training_noise(SIGMAS, x0.shape, rng)
    c = [np.reshape(v, (-1, 1, 1)) for v in preconditioning.scalings(SIGMAS)]
    x = x0.astype(np.float64) + noise
    denoised = c[1] * x + c[2] * (0.4 * c[0] * x + 0.1 * c[3] + shift)
    expected = ((denoised - x0) ** 2 / c[2] ** 2).mean()
    trainer = EDMTrainer(Network(), preconditioning)
    batch = [Tensor(v.astype(np.float32)) for v in (x0, noise, SIGMAS, shift)]
    assert float(trainer.get_loss(*batch).asnumpy()) == pytest.approx(expected, rel=1e-5)
    gradient = ms.value_and_grad(trainer.get_loss, None, trainer.model.trainable_params())

    @ms.jit
    def compiled(*batch):
        return gradient(*batch)

    loss, (slope,) = compiled(*batch)
    assert float(loss.asnumpy()) == pytest.approx(expected, rel=1e-5)
    assert np.isfinite(slope.asnumpy())


def algorithm_2(x, sigmas, noise, order, told_hat, s_churn=0.0, s_tmin=0.0, s_tmax=np.inf, s_noise=1.0):
    """Algorithm 2 of Karras et al., 2022, written out; x is t_0 * z, noise[i] that of step i."""
    steps = len(sigmas) - 1
    for i in range(steps):
        sigma, sigma_next = sigmas[i : i + 2]
        gamma = min(s_churn / steps, np.sqrt(2) - 1) if s_tmin <= sigma <= s_tmax else 0
        hat = sigma * (1 + gamma)
        x_hat = x + np.sqrt(hat**2 - sigma**2) * s_noise * noise[i]
        d = (x_hat - np.tanh(x_hat) / (1 + (hat if told_hat else sigma))) / hat
        x = x_hat + (sigma_next - hat) * d
        if sigma_next > 0 and order == 2:
            d_prime = (x - np.tanh(x) / (1 + sigma_next)) / sigma_next
            x = x_hat + (sigma_next - hat) * (d + d_prime) / 2
    return x


def run_on_host(scheduler, x, model, noise=None):
    """Runs a plan in float64; noise[i] is added before step i."""
    plan = scheduler.plan
    values = {name: np.zeros_like(x) for name in plan.states}
    values["sample"] = x
    step = -1
    for row, told in enumerate(plan.timesteps):
        step += row % scheduler.order == 0
        drawn = {} if noise is None or not plan.stochastic else {"noise": np.append(noise, noise[:1], axis=0)[step + 1]}
        scale = 1.0 if plan.input_scale is None else plan.input_scale[row]
        results = plan.run(row, **values, output=model(scale * values["sample"], float(told)), **drawn)
        values = {name: results[name] for name in plan.states}
    return values["sample"]


@pytest.mark.parametrize("told_hat", [True, False])
@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("churn", [{}, CHURN], ids=["plain", "churned"])
def test_plan_is_algorithm_2(order, churn, told_hat):
    rng = np.random.default_rng(0)
    scheduler = EDMHeunScheduler(prediction_type="sample", solver_order=order, call_at_sigma_hat=told_hat, **churn)
    scheduler.set_timesteps(7)
    noise = rng.standard_normal((7, 2, 5))
    x = rng.standard_normal((2, 5)) * 80
    expected = algorithm_2(x, scheduler.sigmas, noise, order, told_hat, **churn)
    result = run_on_host(
        scheduler, x + scheduler.churn_std[0] * noise[0], lambda x, sigma: np.tanh(x) / (1 + sigma), noise
    )
    assert np.abs(result - expected).max() < 1e-5 * np.abs(expected).max()
    assert len(scheduler.timesteps) == (13 if order == 2 else 7)


@pytest.mark.parametrize(("order", "floor"), [(1, 0.9), (2, 1.8)])
def test_error_falls_with_the_order_of_the_method(order, floor):
    x = np.linspace(-2, 2, 9)[None] * 10
    errors = []
    for n in (20, 40, 80):
        scheduler = EDMHeunScheduler(prediction_type="sample", solver_order=order)
        scheduler.set_timesteps(sigmas=np.geomspace(10, 0.01, n + 1))
        exact = x * np.sqrt((SPREAD**2 + 0.01**2) / (SPREAD**2 + 10**2))
        errors.append(np.abs(run_on_host(scheduler, x, exact_denoiser) - exact).max())
    assert np.all(np.log2(np.divide(errors[:-1], errors[1:])) > floor)


def test_churn_keeps_the_distribution_of_the_data():
    scheduler = EDMHeunScheduler(prediction_type="sample", s_churn=40.0)
    scheduler.set_timesteps(60)
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((60, 1, 40000))
    assert scheduler.init_noise_sigma == pytest.approx(80 * np.sqrt(2))
    final = run_on_host(scheduler, rng.standard_normal((1, 40000)) * scheduler.init_noise_sigma, exact_denoiser, noise)
    assert final.std() == pytest.approx(SPREAD, rel=0.02)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
@pytest.mark.parametrize("kind", [EDMEulerScheduler, EDMHeunScheduler])
def test_network_and_denoiser_describe_the_same_trajectory(kind, prediction):
    network, denoiser = kind(prediction_type=prediction), kind(prediction_type="sample")
    for scheduler in (network, denoiser):
        scheduler.set_timesteps(6)

    def inner(scaled, c_noise):
        """F of the exact denoiser, from D = c_skip * x + c_out * F."""
        sigma = np.exp(4 * c_noise)
        c = network.preconditioning.scalings(sigma)
        x = scaled / c.c_in
        out = (exact_denoiser(x, sigma) - c.c_skip * x) / c.c_out
        return -out if prediction == "v_prediction" else out

    x = np.linspace(-80, 80, 7)[None]
    model = exact_denoiser if prediction == "sample" else inner
    assert np.allclose(run_on_host(network, x, model), run_on_host(denoiser, x, exact_denoiser), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("dtype", [ms.float32, ms.float16])
def test_sampler_and_steps_take_the_same_trajectory(dtype):
    scheduler = EDMHeunScheduler(sigma_max=20.0, compute_dtype=dtype, **CHURN)
    scheduler.set_timesteps(4)
    rng = np.random.default_rng(1)
    start = Tensor(rng.standard_normal((3, 2, 4, 4)) * scheduler.init_noise_sigma, dtype)
    fresh = Tensor(rng.standard_normal((7, 3, 2, 4, 4)), dtype)
    model = Network()
    x = start
    for i, t in enumerate(scheduler.timesteps):
        told = Tensor(np.full(3, t, np.float32))
        x = scheduler.step(model(scheduler.scale_model_input(x, t), told).astype(dtype), x, t, noise=fresh[i])
    final = Sampler(Cast(model, dtype), scheduler)(start, step_noise=fresh)
    assert final.dtype == dtype and np.all(np.isfinite(final.asnumpy()))
    tolerance = 1e-5 if dtype == ms.float32 else 0.05
    assert np.abs(final.asnumpy().astype(np.float64) - x.asnumpy()).max() < tolerance


class Cast(nn.Cell):
    def __init__(self, model, dtype):
        super().__init__()
        self.model = model
        self.dtype = dtype

    def construct(self, x, t):
        return self.model(x, t).astype(self.dtype)


def test_quantized_samples_have_the_levels_of_pixels():
    scheduler = EDMHeunScheduler(prediction_type="sample", quantize=True, solver_order=1)
    scheduler.set_timesteps(3)
    values = np.linspace(-1.3, 1.3, 501, dtype=np.float32).reshape(3, 167)
    t = scheduler.timesteps[-1]
    final = scheduler.step(Tensor(values), Tensor(np.zeros_like(values)), t).asnumpy()
    # Diamond: clamp, to [0, 255], cut to a byte, and back.
    pixels = ((np.clip(values, -1, 1) + 1) / 2 * 255).astype(np.uint8)
    expected = pixels.astype(np.float64) / 255 * 2 - 1
    assert np.mean(np.abs(final - expected) < 1e-6) > 0.99  # Single precision may fall to the other side of a level.
    assert np.allclose(final * 127.5 + 127.5, np.rint(final * 127.5 + 127.5), atol=1e-4)
    on_host = scheduler.plan.run(2, sample=np.zeros_like(values), output=values)["sample"]
    assert np.mean(np.abs(on_host - final) < 1e-6) > 0.99


def test_quantizing_leaves_float16_finite_and_on_the_levels():
    scheduler = EDMHeunScheduler(
        prediction_type="sample", quantize=True, solver_order=1, compute_dtype=ms.float16, sigma_max=5.0
    )
    scheduler.set_timesteps(3)
    values = np.linspace(-2, 2, 64, dtype=np.float16).reshape(2, 32)
    final = scheduler.step(Tensor(values), Tensor(values), scheduler.timesteps[-1]).asnumpy().astype(np.float64)
    assert np.all(np.abs(final) <= 1)
    assert np.allclose(final * 127.5 + 127.5, np.rint(final * 127.5 + 127.5), atol=0.1)


def test_schedule_may_be_set_again_without_a_new_graph():
    scheduler = EDMEulerScheduler(prediction_type="sample")
    scheduler.set_timesteps(4)
    x = Tensor(np.ones((1, 3), np.float32))
    scheduler.step(0.5 * x, x, scheduler.timesteps[0])
    scheduler.set_timesteps(2)
    kept = scheduler.sigmas[1] / scheduler.sigmas[0]
    assert np.allclose(scheduler.step(0.5 * x, x, scheduler.timesteps[0]).asnumpy(), kept + (1 - kept) * 0.5)


def test_plans_differ_where_the_model_is_told_another_level():
    plans = []
    for told_hat in (True, False):
        scheduler = EDMHeunScheduler(call_at_sigma_hat=told_hat, **CHURN)
        scheduler.set_timesteps(5)
        plans.append(scheduler.plan)
    assert isinstance(plans[0], StepPlan)
    churned = np.abs(plans[0].timesteps - plans[1].timesteps) > 1e-3
    assert churned.sum() == (scheduler.churned_sigmas > scheduler.sigmas).sum() > 0


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"sigma_min": 5.0, "sigma_max": 5.0}, ValueError, "'sigma_min' must be below 'sigma_max'"),
        ({"sigma_min": 0.0}, ValueError, "sigma_min"),
        ({"sigma_max": None}, TypeError, "sigma_max"),
        ({"sigma_data": 0.0}, ValueError, "sigma_data"),
        ({"rho": "7"}, TypeError, "rho"),
        ({"sigma_schedule": "cosine"}, ValueError, "'karras', 'exponential'"),
        ({"prediction_type": "flow"}, ValueError, "'epsilon', 'v_prediction', 'sample'"),
        ({"solver_order": 3}, ValueError, "'solver_order' must be in [1, 2]"),
        ({"s_tmin": 2.0, "s_tmax": 1.0}, ValueError, "'s_tmin' must be at most 's_tmax'"),
        ({"s_churn": -1.0}, ValueError, "s_churn"),
        ({"quantize": 1}, TypeError, "quantize"),
    ],
)
def test_bad_argument_is_named_with_what_is_allowed(arguments, error, words):
    with pytest.raises(error) as caught:
        EDMHeunScheduler(**arguments)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({}, TypeError, "got none"),
        ({"num_inference_steps": 0}, ValueError, "num_inference_steps"),
        ({"num_inference_steps": 2, "sigmas": [1.0, 0.0]}, ValueError, "both given"),
        ({"sigmas": [1.0]}, ValueError, "that of the end"),
        ({"sigmas": [1.0, 0.0, 0.0]}, ValueError, "all above 0"),
        ({"sigmas": [1.0, 2.0]}, ValueError, "descending"),
        ({"sigmas": [1.0, -1.0]}, ValueError, "lie in"),
    ],
)
def test_bad_schedule_is_refused(arguments, error, words):
    with pytest.raises(error, match=words):
        EDMEulerScheduler().set_timesteps(**arguments)


def test_trainer_and_preconditioning_refuse_what_they_cannot_use():
    with pytest.raises(TypeError, match="'model' must be an nn.Cell"):
        EDMTrainer(lambda x: x)
    with pytest.raises(TypeError, match="must be an EDMPreconditioning"):
        EDMTrainer(Network(), preconditioning=0.5)
    with pytest.raises(ValueError, match="sigma_offset_noise"):
        EDMPreconditioning(sigma_offset_noise=-0.1)
