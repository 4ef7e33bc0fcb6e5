"""A regression and what it leaves: y = a c + noise, whose regression, residual and samples are known exactly."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, Tensor, nn, ops

from mindscience_diffuser import EDMHeunScheduler, EDMPreconditioning, EDMTrainer, ResidualSampler, Sampler
from mindscience_diffuser.export import export_mindir, load_mindir

SLOPES, SPREADS = np.array([2.0, -0.7]), np.array([1.5, 0.2])
"""a and the standard deviation of the residual, of each channel."""

CHANNELS = (1, 2, 1, 1)


class Fit(nn.Cell):
    """The least-squares fit y = slope * c of each channel."""

    def __init__(self, c, y):
        super().__init__()
        slope = (c * y).sum((0, 2, 3)) / (c * c).sum((0, 2, 3))
        self.slope = Parameter(Tensor(slope.reshape(CHANNELS), ms.float32), name="scale")
        self.dropout = nn.Dropout(p=0.9)

    def construct(self, c):
        return self.dropout(self.slope * c)


class Network(nn.Cell):
    """F = scale * x + shift * c + more * f(c): 0 is the best, for a residual that is white noise."""

    def __init__(self, best=False):
        super().__init__()
        start = 0.0 if best else 0.5
        self.scale, self.shift, self.more = (
            Parameter(Tensor(start, ms.float32), name=name) for name in ("scale", "shift", "more")
        )

    def construct(self, x, noise_level, c, expected):
        return self.scale * x + self.shift * ops.cast(c, x.dtype) + self.more * ops.cast(expected, x.dtype)


def data(count, seed=0, side=8):
    rng = np.random.default_rng(seed)
    c, noise = rng.standard_normal((2, count, 2, side, side))
    y = SLOPES.reshape(CHANNELS) * c + SPREADS.reshape(CHANNELS) * noise
    return c.astype(np.float32), y.astype(np.float32)


def scheduler(steps=40, **arguments):
    arguments = {"sigma_data": SPREADS.tolist(), **arguments}
    made = EDMHeunScheduler(sigma_min=0.002, sigma_max=60.0, **arguments)
    made.set_timesteps(steps)
    return made


def test_loss_of_every_level_is_one_where_nothing_but_noise_is_left():
    c, y = data(400)
    trainer = EDMTrainer(Network(best=True), EDMPreconditioning(SPREADS), regression=Fit(c, y))
    c, y = data(64, seed=1)
    for sigma in np.geomspace(0.01, 80, 7):
        sigmas = np.full(64, sigma)
        noise = trainer.draw_noise(sigmas, y.shape, np.random.default_rng(2))
        loss = trainer.get_loss(*map(Tensor, (y, noise, sigmas.astype(np.float32), c)))
        # The mean of 8192 squares of standard normal numbers has the standard deviation 0.016.
        assert float(loss.asnumpy()) == pytest.approx(1, abs=0.065)


def test_training_changes_the_network_alone_and_finds_that_nothing_is_left_to_learn():
    c, y = data(400)
    regression, network = Fit(c, y), Network()
    trainer = EDMTrainer(network, EDMPreconditioning(SPREADS), regression=regression)
    before = regression.slope.asnumpy().copy()
    assert trainer.set_train() is trainer and network.training and not regression.training
    assert [p.name for p in trainer.trainable_params()] == ["scale", "shift", "more"]
    gradient = ms.value_and_grad(trainer.get_loss, None, network.trainable_params())
    optimizer = nn.Adam(network.trainable_params(), 0.02)

    @ms.jit
    def step(*batch):
        loss, gradients = gradient(*batch)
        optimizer(gradients)
        return loss

    rng = np.random.default_rng(3)
    for _ in range(150):
        sigmas, chosen = np.exp(rng.standard_normal(32) - 0.5), rng.integers(0, 400, 32)
        noise = trainer.draw_noise(sigmas, (32, *y.shape[1:]), rng)
        step(*map(Tensor, (y[chosen], noise, sigmas.astype(np.float32), c[chosen])))
    assert np.array_equal(regression.slope.asnumpy(), before)
    # Both conditions are known up to a factor from one another, so that their weights are so together.
    assert abs(float(network.scale.asnumpy())) < 0.05
    left = float(network.shift.asnumpy()) + float(network.more.asnumpy()) * SLOPES
    assert np.abs(left).max() < 0.1


@pytest.fixture(scope="module")
def sampling():
    """A sampler whose network is the best one, and the regression."""
    c, y = data(4000)
    return ResidualSampler(Sampler(Network(best=True), scheduler()), Fit(c, y))


def test_samples_have_the_mean_and_the_variance_of_the_law(sampling):
    c = np.broadcast_to(data(1, seed=4)[0], (400, 2, 8, 8)).copy()
    noise = sampling.initial_noise(c.shape, generator=5)
    drawn = sampling(noise, Tensor(c)).asnumpy().astype(np.float64)
    left = drawn - SLOPES.reshape(CHANNELS) * c
    for k, spread in enumerate(SPREADS):
        # 25600 values: 0.0063 of the mean, 0.0045 of the deviation; the rest is the solver at 40 steps, and the slope.
        assert abs(left[:, k].mean()) < 0.025 * spread
        assert left[:, k].std() == pytest.approx(spread, rel=0.025)


def test_graphs_and_exported_files_give_what_a_call_gives(sampling, tmp_path):
    c, _ = data(3, seed=6)
    noise = sampling.initial_noise(c.shape, generator=7)
    expected = sampling(noise, Tensor(c)).asnumpy()

    class Outer(nn.Cell):
        def __init__(self):
            super().__init__(auto_prefix=False)
            self.sampling = sampling

        def construct(self, noise, c):
            return self.sampling(noise, c)

    @ms.jit
    def inside(noise, c):
        return outer(noise, c)

    outer = Outer()
    assert np.allclose(inside(noise, Tensor(c)).asnumpy(), expected, atol=1e-5)
    path = export_mindir(sampling, tmp_path / "residual.mindir", noise, Tensor(c))
    graph = load_mindir(path, plan=sampling.plan)
    assert graph.input_names == ("noise", "condition_0")
    assert np.allclose(graph(noise[:2], Tensor(c[:2])).asnumpy(), expected[:2], atol=1e-5)


def test_known_values_are_those_of_the_sample():
    c, y = data(4, seed=8)
    churned = scheduler(6, s_churn=2.0, sigma_data=1.0)
    sampling = ResidualSampler(Sampler(Network(best=True), churned, inpaint=True), Fit(c, y))
    mask = np.zeros((1, 1, 8, 8), np.float32)
    mask[..., :3] = 1
    noise = sampling.initial_noise(c.shape, generator=9)
    drawn = sampling(noise, Tensor(c), mask=Tensor(mask), known=Tensor(y), generator=10).asnumpy()
    assert np.allclose(drawn[..., 3:], y[..., 3:], atol=1e-4)
    assert np.abs(drawn[..., :3] - y[..., :3]).max() > 0.1
    step_noise = np.random.default_rng(11).standard_normal((len(sampling.plan), *c.shape)).astype(np.float32)
    eager = sampling(noise, Tensor(c), mask=Tensor(mask), known=Tensor(y), step_noise=Tensor(step_noise)).asnumpy()
    whole = Tensor(np.broadcast_to(mask, c.shape).copy())

    @ms.jit
    def inside(*inputs):
        return sampling.construct(*inputs)

    graph = inside(noise, Tensor(step_noise), whole, Tensor(y), noise, Tensor(c)).asnumpy()
    assert np.allclose(graph, eager, atol=1e-4)


def test_what_does_not_fit_is_refused():
    c, y = data(4)
    with pytest.raises(TypeError, match="'regression' must be an nn.Cell"):
        EDMTrainer(Network(), regression=lambda c: c)
    trainer = EDMTrainer(Network(), regression=nn.Flatten())
    sigmas = Tensor(np.ones(4, np.float32))
    with pytest.raises(ValueError, match=r"The regression's output has shape \(4, 128\), but must have that of"):
        trainer.get_loss(Tensor(y), Tensor(y), sigmas, Tensor(c))
    with pytest.raises(TypeError, match="'sampler' must be a Sampler"):
        ResidualSampler(Network(), Fit(c, y))
    sampler = Sampler(Network(best=True), scheduler())
    with pytest.raises(TypeError, match="'regression' must be an nn.Cell"):
        ResidualSampler(sampler, None)
    with pytest.raises(ValueError, match="return_intermediates"):
        ResidualSampler(Sampler(Network(best=True), scheduler(), "unrolled", return_intermediates=True), Fit(c, y))
    with pytest.raises(ValueError, match="condition 0 has shape"):
        ResidualSampler(sampler, Fit(c, y))(Tensor(y), Tensor(c[:2]))
    with pytest.raises(ValueError, match=r"The regression returns the shape \(4, 128\), but the noise has"):
        ResidualSampler(sampler, nn.Flatten())(Tensor(y), Tensor(c))
