"""The training of consistency models without a teacher: exact consistency functions are its fixed points."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, Tensor, amp, nn

from mindscience_diffuser import (
    CMStochasticIterativeScheduler,
    ConsistencyTuningTrainer,
    DDIMScheduler,
    PositionalConditionTransformer,
)
from mindscience_diffuser.training import tuning_levels

SIGMA_MIN, SIGMA_DATA, STD, POINT = 0.002, 0.5, 0.5, 0.7


def tensor(seed, *shape):
    return Tensor(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))


class Network(nn.Cell):
    """The network inside a given consistency function f(x, sigma) = mean + scale(sigma) * (x - mean)."""

    def __init__(self, kind, strength=1.0):
        super().__init__()
        self.kind = kind
        self.strength = Parameter(Tensor(strength, ms.float32), name="strength")

    def construct(self, scaled, told):
        sigma = (told / 250).exp().reshape((-1,) + (1,) * (scaled.ndim - 1))
        total = (sigma * sigma + SIGMA_DATA**2) ** 0.5
        x, above = scaled * total, sigma - SIGMA_MIN
        if self.kind == "point":
            f = POINT + (x - POINT) * SIGMA_MIN / sigma
        elif self.kind == "gaussian":
            f = x * ((STD**2 + SIGMA_MIN**2) / (STD**2 + sigma * sigma)) ** 0.5
        else:
            f = x * STD**2 / (STD**2 + sigma * sigma)
        c_skip = SIGMA_DATA**2 / (above * above + SIGMA_DATA**2)
        return self.strength * (f - c_skip * x) * total / (SIGMA_DATA * above + 1e-12)


def scheduler(**options):
    return CMStochasticIterativeScheduler(clip_denoised=False, sigma_data=SIGMA_DATA, **options)


def levels_of(ratio, count, seed=0):
    """Levels t between 0.05 and 5, and r = ratio * t."""
    t = np.exp(np.random.default_rng(seed).uniform(np.log(0.05), np.log(5), count))
    return Tensor(np.stack([t, ratio * t], axis=1).astype(np.float32))


@pytest.mark.parametrize(("strength", "least", "most"), [(1.0, 0.0, 1e-5), (0.9, 1e-2, np.inf)])
def test_loss_of_the_exact_function_is_zero_where_data_are_one_point(strength, least, most):
    samples = Tensor(np.full((64, 3), POINT, np.float32))
    trainer = ConsistencyTuningTrainer(Network("point", strength), scheduler())
    assert least <= float(trainer(samples, tensor(0, 64, 3), levels_of(0.8, 64))) <= most


def test_the_exact_function_of_gaussian_data_is_a_fixed_point_and_the_denoiser_is_none():
    """The mean of the difference times x vanishes as steps shorten: what is left of it has a mean of 0."""
    count = 2**16
    samples, noise = STD * tensor(1, count, 1), tensor(2, count, 1)
    pulls = {}
    for kind in ("gaussian", "denoiser"):
        trainer = ConsistencyTuningTrainer(Network(kind), scheduler())
        levels = levels_of(0.95, count)
        t, r = levels[:, :1], levels[:, 1:]
        x = samples + t * noise
        apart = trainer.denoised(x, t[:, 0]) - trainer.denoised(samples + r * noise, r[:, 0])
        shape = x / (t * t + STD**2) ** 0.5
        pulls[kind] = float((shape * apart / (t - r)).mean())
    assert pulls["denoiser"] < -0.05
    assert abs(pulls["gaussian"]) < 0.1 * abs(pulls["denoiser"])


def test_it_trains_the_function_that_the_scheduler_samples_with():
    schedule = scheduler()
    schedule.set_timesteps(3)
    sigma, t = schedule.sigmas[1], schedule.timesteps[1]
    network, x = Network("denoiser", 0.7), float(sigma) * tensor(3, 4, 3)
    output = network(schedule.scale_model_input(x, t), Tensor([t] * 4))
    expected = schedule.step(output, x, t, noise=0 * x, return_dict=True).pred_original_sample
    trainer = ConsistencyTuningTrainer(network, schedule)
    found = trainer.denoised(x, Tensor(np.full(4, sigma, np.float32)))
    np.testing.assert_allclose(found.asnumpy(), expected.asnumpy(), rtol=1e-4, atol=1e-5)
    lowest = trainer.denoised(x, Tensor(np.full(4, SIGMA_MIN, np.float32)))
    np.testing.assert_allclose(lowest.asnumpy(), x.asnumpy(), atol=1e-5)


def test_the_first_stage_trains_a_denoiser_and_later_ones_shorten_the_steps():
    options = {"q": 2.0, "stage_steps": 10, "sigma_max": 20.0, "loc": 0.0}
    levels = [tuning_levels(0, step, 500, **options) for step in (0, 9, 10, 20, 60)]
    for early in levels[:2]:
        np.testing.assert_allclose(early[:, 1], SIGMA_MIN)
    shares = []
    for step, found in zip((10, 20, 60), levels[2:]):
        t, r = found.T.astype(np.float64)
        decay = (1 + 8 / (1 + np.exp(t))) / 2.0 ** (step // 10)
        np.testing.assert_allclose(r, np.maximum(t * (1 - decay), SIGMA_MIN), rtol=1e-5)
        assert np.all(r < t) and np.all(r >= np.float32(SIGMA_MIN))
        shares.append(np.mean(r / t))
    assert shares[0] < shares[1] < shares[2] < 1
    late = tuning_levels(0, 10**6, 500, **options)
    assert np.all(late[:, 1] < late[:, 0])
    np.testing.assert_array_equal(levels[0], tuning_levels(0, 0, 500, **options))
    assert np.any(levels[0] != levels[1])


def gradients_of(dtype, scale):
    ms.set_seed(0)
    model = PositionalConditionTransformer(4, 4, 3, 16, 1, 2, cond_as_token=False, compute_dtype=dtype)
    model.output_proj.weight.set_data(0.2 * tensor(4, *model.output_proj.weight.shape))
    trainer, scaler = ConsistencyTuningTrainer(model, scheduler()), amp.StaticLossScaler(scale)
    mask = np.ones((6, 4), np.float32)
    mask[2:4] = 0
    samples = tensor(5, 8, 6, 4).asnumpy().copy()
    samples[:, 2:4] = np.nan

    def scaled(*batch):
        return scaler.scale(trainer.get_loss(*batch, weights=Tensor(mask)))

    batch = Tensor(samples), tensor(6, 8, 6, 4), levels_of(0.7, 8), tensor(7, 8, 3)
    gradients = ms.jit(ms.grad(scaled, None, model.trainable_params()))(*batch)
    return [value.asnumpy() for value in scaler.unscale(gradients)]


def test_compiled_gradients_are_finite_and_near_in_half_precision():
    found, exact = gradients_of(ms.float16, 1024.0), gradients_of(ms.float32, 1.0)
    assert all(np.isfinite(value).all() for value in found + exact)
    length = np.sqrt(sum(np.square(value).sum() for value in exact))
    assert length > 0
    assert np.sqrt(sum(np.square(a - b).sum() for a, b in zip(found, exact))) < 0.05 * length


def test_mistakes_are_named():
    with pytest.raises(TypeError, match="'model' must be an nn.Cell"):
        ConsistencyTuningTrainer(None, scheduler())
    with pytest.raises(TypeError, match="'scheduler' must be"):
        ConsistencyTuningTrainer(Network("point"), DDIMScheduler())
    with pytest.raises(ValueError, match="'huber_c' must be"):
        ConsistencyTuningTrainer(Network("point"), scheduler(), huber_c=0.0)
    with pytest.raises(ValueError, match=r"'levels' must hold t and r of each of 4 samples, shape \(4, 2\)"):
        ConsistencyTuningTrainer(Network("point"), scheduler())(tensor(0, 4, 3), tensor(1, 4, 3), tensor(2, 4))
    with pytest.raises(ValueError, match="'q' must be"):
        tuning_levels(0, 0, 4, q=1.0)
