"""The training of flow maps: exact mean velocities are its fixed points, and its Jacobian-vector product compiles."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, Tensor, amp, nn, ops

from mindscience_diffuser import FlowMapTransformer
from mindscience_diffuser.training import FlowMatchingTrainer, MeanFlowTrainer, training_intervals

STD, POINT = 0.5, 0.7


def tensor(seed, *shape):
    return Tensor(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))


def ends(told, x):
    """Both levels, shaped to multiply the samples."""
    levels = (told / 1000).reshape((-1, 2) + (1,) * (x.ndim - 1))
    return levels[:, 0], levels[:, 1]


class Gaussian(nn.Cell):
    """The exact u of data N(0, STD^2), x_r = x_t * s_r / s_t, times a scale."""

    def __init__(self, scale=1.0):
        super().__init__()
        self.scale = Parameter(Tensor(scale, ms.float32), name="scale")

    def construct(self, x, told):
        t, r = ends(told, x)
        s_t, s_r = ((STD * (1 - t)) ** 2 + t * t) ** 0.5, ((STD * (1 - r)) ** 2 + r * r) ** 0.5
        # (s_t^2 - s_r^2) / (t - r), which is defined at r = t too.
        rise = (1 + STD**2) * (t + r) - 2 * STD**2
        return self.scale * x * rise / (s_t * (s_t + s_r))


class Point(nn.Cell):
    """The exact u of data at one point, to which straight lines lead, times a scale."""

    def __init__(self, scale=1.0):
        super().__init__()
        self.scale = scale

    def construct(self, x, told):
        return self.scale * (x - POINT) / ends(told, x)[0]


def velocity(x, t):
    """The exact velocity E[noise - x0 | x_t] of the Gaussian data."""
    return x * (t - STD**2 * (1 - t)) / ((STD * (1 - t)) ** 2 + t * t)


@pytest.mark.parametrize(("scale", "least", "most"), [(1.0, 0.0, 1e-5), (1.1, 0.05, 1.0)])
def test_the_exact_mean_velocity_alone_satisfies_the_identity(scale, least, most):
    """u = v - (t - r) du/dt, with the derivative along the exact velocity v, eq. (6)."""
    model = Gaussian(scale)
    trainer = MeanFlowTrainer(model)
    levels = training_intervals(0, 0, 64, interval_share=1.0)
    x, told = tensor(0, 64, 3), Tensor(1000 * levels)
    t, r = ends(told, x)
    v = velocity(x, t)
    gap = model(x, told) - (v - (t - r) * trainer.slope(x, told, v))
    error = np.abs(gap.asnumpy()).max()
    assert least <= error <= most


class Velocity(nn.Cell):
    def construct(self, x, timestep):
        return velocity(x, (timestep / 1000).reshape((-1, 1)))


@pytest.mark.parametrize(("scale", "least", "most"), [(1.0, 0.0, 1e-9), (1.1, 1e-3, np.inf)])
def test_loss_of_the_exact_mean_velocity_of_a_flow_is_zero(scale, least, most):
    trainer = MeanFlowTrainer(Gaussian(scale), adaptive_power=0.0, velocity=Velocity())
    levels = Tensor(training_intervals(0, 4, 64, interval_share=0.5))
    assert least <= float(trainer(STD * tensor(8, 64, 3), tensor(9, 64, 3), levels)) <= most


@pytest.mark.parametrize(("scale", "least", "most"), [(1.0, 0.0, 1e-9), (1.1, 1e-2, np.inf)])
def test_loss_of_the_exact_mean_velocity_is_zero_where_data_are_one_point(scale, least, most):
    levels = np.maximum(training_intervals(0, 1, 64, interval_share=0.5), 0.05)
    samples = Tensor(np.full((64, 3), POINT, np.float32))
    for power in (0.0, 1.0):
        loss = MeanFlowTrainer(Point(scale), adaptive_power=power).get_loss(samples, tensor(1, 64, 3), Tensor(levels))
        assert least <= float(loss) <= most * (1 if power == 0 else 1000)


def test_loss_of_gaussian_data_is_least_at_the_exact_mean_velocity():
    """The gradient by the scale vanishes there, and points to it elsewhere."""
    count = 2**15
    samples, noise = STD * tensor(2, count, 2), tensor(3, count, 2)
    levels = Tensor(training_intervals(0, 2, count, interval_share=1.0))
    slopes = []
    for scale in (0.9, 1.0, 1.1):
        model = Gaussian(scale)
        trainer = MeanFlowTrainer(model, adaptive_power=0.0)
        slopes.append(float(ms.grad(trainer.get_loss, None, model.trainable_params())(samples, noise, levels)[0]))
    assert slopes[0] < 0 < slopes[2]
    assert abs(slopes[1]) < 0.1 * min(-slopes[0], slopes[2])


def transformer(dtype=ms.float32):
    ms.set_seed(0)
    model = FlowMapTransformer(4, 4, 3, 16, 1, 2, time_token_cond=False, cond_as_token=False, compute_dtype=dtype)
    for name in ("output_proj", "duration_proj"):
        layer = getattr(model, name)
        layer.weight.set_data(0.2 * tensor(4, *layer.weight.shape))
    return model


@pytest.fixture(scope="module")
def batch():
    levels = training_intervals(0, 3, 8, interval_share=0.5)
    return tensor(5, 8, 6, 4), tensor(6, 8, 6, 4), Tensor(levels), tensor(7, 8, 3)


def test_slope_is_the_derivative_along_the_path(batch):
    model = transformer()
    x, v, levels, condition = batch
    told = 1000 * levels
    slope = MeanFlowTrainer(model).slope(x, told, v, condition).asnumpy()
    step = 2e-4
    along = Tensor(np.float32([[1000 * step, 0]]))
    apart = model(x + step * v, told + along, condition) - model(x - step * v, told - along, condition)
    assert np.abs(apart.asnumpy() / (2 * step) - slope).max() < 0.02 * np.abs(slope).max()


def test_without_intervals_it_is_flow_matching(batch):
    model = transformer()
    samples, noise, levels, condition = batch
    same = ops.stack((levels[:, 0], levels[:, 0]), axis=1)

    class Velocity(nn.Cell):
        def construct(self, x, timestep, condition):
            return model(x, ops.stack((timestep, timestep), axis=1), condition)

    loss = MeanFlowTrainer(model, adaptive_power=0.0)(samples, noise, same, condition)
    expected = FlowMatchingTrainer(Velocity())(samples, noise, levels[:, 0], condition)
    np.testing.assert_allclose(float(loss), float(expected), rtol=1e-5)


@pytest.mark.parametrize(("dtype", "scale"), [(ms.float32, 1.0), (ms.float16, 1024.0)])
def test_compiled_gradients_are_finite_and_near_in_half_precision(batch, dtype, scale):
    def gradients_of(dtype, scale):
        model = transformer(dtype)
        scaler, trainer = amp.StaticLossScaler(scale), MeanFlowTrainer(model, adaptive_power=0.0)

        def scaled(*batch):
            return scaler.scale(trainer.get_loss(*batch))

        gradients = ms.jit(ms.grad(scaled, None, model.trainable_params()))(*batch)
        return [value.asnumpy() for value in scaler.unscale(gradients)]

    found, exact = gradients_of(dtype, scale), gradients_of(ms.float32, 1.0)
    assert all(np.isfinite(value).all() for value in found)
    length = np.sqrt(sum(np.square(value).sum() for value in exact))
    assert length > 0
    assert np.sqrt(sum(np.square(a - b).sum() for a, b in zip(found, exact))) < 0.05 * length


class Lines(nn.Cell):
    """The exact u of data at one point for each condition, where a guidance scale moves the point from 0 further."""

    def __init__(self, scale=1.0):
        super().__init__()
        self.scale = scale

    def construct(self, x, told, condition):
        return (x - self.scale * condition) / ends(told, x)[0]


class Attraction(nn.Cell):
    """The velocity scale * condition - x by t, and its mean between two levels where it is told both."""

    def __init__(self, scale=1.0):
        super().__init__()
        self.scale = scale

    def construct(self, x, told, condition):
        apart = x - self.scale * condition
        if told.ndim == 1:
            return -apart
        t, r = ends(told, x)
        length = ops.maximum(t - r, Tensor(1e-4, ms.float32))
        # x - x_r = (x - c) * (1 - exp(t - r)), of which the mean velocity is the quotient by t - r.
        return apart * (1 - ops.exp(length)) / length


SCALE = 2.5
GUIDANCE = {"guidance_scale": SCALE, "unconditional": Tensor(np.zeros(3, np.float32)), "adaptive_power": 0.0}


def points(dropped=0):
    """Levels, noise and one point for each condition, of which the first are left out."""
    levels = np.maximum(training_intervals(0, 1, 64, interval_share=0.5), 0.1)
    condition = np.random.default_rng(3).standard_normal((64, 3)).astype(np.float32)
    condition[:dropped] = 0
    return Tensor(condition), tensor(1, 64, 3), Tensor(levels), Tensor(condition)


@pytest.mark.parametrize("mix", [0.0, 0.6])
@pytest.mark.parametrize(("scale", "least", "most"), [(SCALE, 0.0, 1e-8), (1.0, 0.1, np.inf)])
def test_loss_of_the_exact_guided_mean_velocity_is_zero(mix, scale, least, most):
    """Data at one point have a velocity without noise, so that the guided one leads to the moved point exactly."""
    trainer = MeanFlowTrainer(Lines(scale), guidance_mix=mix, **GUIDANCE)
    assert least <= float(trainer(*points(dropped=16))) <= most


@pytest.mark.parametrize(("scale", "least", "most"), [(SCALE, 0.0, 1e-6), (1.0, 0.1, np.inf)])
def test_guidance_of_a_trained_flow_is_learned_too(scale, least, most):
    trainer = MeanFlowTrainer(Attraction(scale), velocity=Attraction(), **GUIDANCE)
    assert least <= float(trainer(*points())) <= most


def test_guidance_acts_in_its_interval_alone():
    samples, noise, levels, condition = points()
    trainer = MeanFlowTrainer(Lines(), guidance_interval=(0.5, 1.0), **GUIDANCE)
    below = ops.minimum(levels, Tensor(0.49, ms.float32))
    assert float(trainer(samples, noise, below, condition)) < 1e-8
    assert float(trainer(samples, noise, levels, condition)) > 0.1


def test_samples_without_a_condition_keep_their_velocity():
    batch = points(dropped=64)
    plain = float(MeanFlowTrainer(Attraction(), adaptive_power=0.0)(*batch))
    assert float(MeanFlowTrainer(Attraction(), **GUIDANCE)(*batch)) == pytest.approx(plain, rel=1e-6)


def test_weights_leave_out_what_is_masked(batch):
    model = transformer()
    samples, noise, levels, condition = batch
    mask = np.ones((6, 4), np.float32)
    mask[2:4] = 0
    changed = samples.asnumpy().copy()
    changed[:, 2:4] = np.nan
    loss = MeanFlowTrainer(model)(Tensor(changed), noise, levels, condition, weights=Tensor(mask))
    assert np.isfinite(float(loss))


def test_a_sample_that_is_masked_as_a_whole_leaves_the_loss_of_the_others():
    trainer, levels = MeanFlowTrainer(Gaussian(1.1)), Tensor(training_intervals(0, 0, 4, interval_share=1.0))
    samples, noise = STD * tensor(0, 4, 3), tensor(1, 4, 3)
    loss = trainer(samples, noise, levels, weights=Tensor([[1.0], [1.0], [0.0], [1.0]], ms.float32))
    counts = [0, 1, 3]
    others = [Tensor(values.asnumpy()[counts]) for values in (samples, noise, levels)]
    assert float(loss) == pytest.approx(float(trainer(*others)), rel=1e-5)


def test_intervals_have_their_share_and_follow_from_seed_and_step():
    levels = training_intervals(1, 2, 4000, interval_share=0.25, density="uniform")
    assert levels.shape == (4000, 2) and levels.dtype == np.float32
    assert np.all(levels[:, 1] <= levels[:, 0]) and levels.min() >= 0 and levels.max() <= 1
    assert abs(np.mean(levels[:, 1] < levels[:, 0]) - 0.25) < 0.03
    np.testing.assert_array_equal(levels, training_intervals(1, 2, 4000, interval_share=0.25, density="uniform"))
    assert np.any(levels != training_intervals(1, 3, 4000, interval_share=0.25, density="uniform"))


def test_mistakes_are_named():
    with pytest.raises(TypeError, match="'model' must be an nn.Cell"):
        MeanFlowTrainer(None)
    with pytest.raises(TypeError, match="'velocity' must be an nn.Cell"):
        MeanFlowTrainer(Gaussian(), velocity=velocity)
    with pytest.raises(ValueError, match="'adaptive_c' must be"):
        MeanFlowTrainer(Gaussian(), adaptive_c=0.0)
    with pytest.raises(ValueError, match="'interval_share' must be"):
        training_intervals(0, 0, 4, interval_share=1.5)
    with pytest.raises(TypeError, match="'unconditional' is missing"):
        MeanFlowTrainer(Gaussian(), guidance_scale=2.0)
    with pytest.raises(ValueError, match="'unconditional' must be finite"):
        MeanFlowTrainer(Gaussian(), guidance_scale=2.0, unconditional=Tensor([np.nan], ms.float32))
    with pytest.raises(ValueError, match=r"'guidance_mix' must be in \[0, 1\)"):
        MeanFlowTrainer(Lines(), **{**GUIDANCE, "guidance_mix": 1.0})
    with pytest.raises(ValueError, match="'guidance_interval' must be a pair"):
        MeanFlowTrainer(Lines(), guidance_interval=(0.8, 0.2), **GUIDANCE)
    with pytest.raises(ValueError, match="'unconditional' has 1 entries, but there are 0 conditions"):
        MeanFlowTrainer(Lines(), **GUIDANCE)(tensor(0, 4, 3), tensor(1, 4, 3), Tensor(np.full((4, 2), 0.5, np.float32)))
    with pytest.raises(ValueError, match=r"'intervals' must hold t and r of each of 4 samples, shape \(4, 2\)"):
        MeanFlowTrainer(Gaussian())(tensor(0, 4, 3), tensor(1, 4, 3), tensor(2, 4))
    with pytest.raises(ValueError, match="'timestep' must hold both ends of the step"):
        transformer()(tensor(0, 2, 6, 4), tensor(1, 2), tensor(2, 2, 3))
