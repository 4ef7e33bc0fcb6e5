"""Weights of the loss over the elements: masks, maps and weights of channels, in every trainer that takes them."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, Tensor, nn

from mindscience_diffuser import DDPMScheduler, DiffusionTrainer, EDMPreconditioning, EDMTrainer, FlowMatchingTrainer

SHAPE = (4, 2, 3, 2)
TRAINERS = {
    "edm": lambda model: EDMTrainer(model, EDMPreconditioning([0.5, 2.0])),
    "diffusion": lambda model: DiffusionTrainer(model, DDPMScheduler(), loss_type="l2", min_snr_gamma=5),
    "flow": lambda model: FlowMatchingTrainer(model, weighting="cosmap"),
}


class Mixed(nn.Cell):
    """A network whose prediction at a place depends on that place alone."""

    def __init__(self):
        super().__init__()
        self.scale = Parameter(Tensor(0.4, ms.float32), name="scale")

    def construct(self, x, level):
        return self.scale * x + 0.1 * ms.ops.tanh(x)


def given(name, seed=0):
    """Samples, noise and levels for one of the trainers."""
    rng = np.random.default_rng(seed)
    samples, noise = rng.standard_normal((2, *SHAPE)).astype(np.float32)
    levels = {
        "edm": np.geomspace(0.1, 5, 4).astype(np.float32),
        "diffusion": np.array([0, 20, 500, 999], np.int32),
        "flow": np.linspace(0.1, 1, 4, dtype=np.float32),
    }[name]
    return samples, noise, levels


def element_losses(name, samples, noise, levels):
    """The losses of the elements, with the weights of their levels, from losses of samples of a single element."""
    trainer = TRAINERS[name](Mixed())
    losses = np.empty(SHAPE)
    for c in range(2):
        single = DEPENDS[name](c) if name in DEPENDS else trainer
        for b in range(4):
            for place in np.ndindex(SHAPE[2:]):
                element = (slice(b, b + 1), slice(c, c + 1), *(slice(k, k + 1) for k in place))
                inputs = samples[element], noise[element], levels[b : b + 1]
                losses[(b, c, *place)] = float(single.get_loss(*map(Tensor, inputs)).asnumpy())
    return losses


DEPENDS = {"edm": lambda c: EDMTrainer(Mixed(), EDMPreconditioning([0.5, 2.0][c]))}


def weight_maps():
    rng = np.random.default_rng(1)
    mask = rng.random((3, 2)) < 0.6
    return {
        "mask": mask,
        "latitudes": np.cos(np.radians(np.linspace(-60, 80, 3)))[:, None].astype(np.float32),
        "channels": np.array([0.2, 3.0], np.float32).reshape(2, 1, 1),
        "of each sample": (rng.random((4, 1, 3, 2)) < 0.5).astype(np.int32),
    }


@pytest.mark.parametrize("name", TRAINERS)
def test_loss_is_the_weighted_mean_of_the_losses_of_the_elements(name):
    inputs = given(name)
    each = element_losses(name, *inputs)
    trainer = TRAINERS[name](Mixed())
    for weights in weight_maps().values():
        expected = np.average(each, weights=np.broadcast_to(weights, SHAPE))
        loss, of_samples = trainer.get_losses(*map(Tensor, inputs), weights=Tensor(weights))
        assert float(loss.asnumpy()) == pytest.approx(expected, rel=1e-5)
        assert of_samples.shape == (4,)
    loss, of_samples = trainer.get_losses(*map(Tensor, inputs))
    assert float(loss.asnumpy()) == pytest.approx(each.mean(), rel=1e-5)
    if name == "edm":
        assert np.allclose(of_samples.asnumpy(), each.reshape(4, -1).mean(1), rtol=1e-4)


@pytest.mark.parametrize("name", TRAINERS)
def test_what_a_mask_leaves_out_may_be_missing_and_changes_nothing(name):
    samples, noise, levels = given(name)
    mask = weight_maps()["mask"]
    holed = np.where(mask, samples, np.nan).astype(np.float32)
    trainer = TRAINERS[name](Mixed())
    gradient = ms.value_and_grad(trainer.get_loss, None, trainer.model.trainable_params())

    @ms.jit
    def compiled(samples, noise, levels, mask):
        return gradient(samples, noise, levels, weights=mask)

    results = [
        [float(value.asnumpy()) for value in (loss, *slopes)]
        for loss, slopes in (compiled(*map(Tensor, (x, noise, levels, mask))) for x in (samples, holed))
    ]
    assert np.isfinite(results).all()
    assert np.allclose(*results, rtol=1e-6)
    # A value that counts stays what it is, so that the training notices it.
    everywhere = Tensor(np.ones_like(mask))
    assert np.isnan(float(trainer.get_loss(*map(Tensor, (holed, noise, levels)), weights=everywhere).asnumpy()))


@pytest.mark.parametrize(
    ("weights", "error", "words"),
    [
        (np.ones(4, np.float32), ValueError, r"does not broadcast to the samples, \(4, 2, 3, 2\)"),
        (np.ones((1, 4, 2, 3, 2), np.float32), ValueError, "does not broadcast"),
        (np.array([1.0, -0.5], np.float32).reshape(2, 1, 1), ValueError, "must be at least 0, but has -0.5"),
        (np.array([1.0, np.nan], np.float32).reshape(2, 1, 1), ValueError, "must hold finite numbers"),
        (np.zeros((3, 2), bool), ValueError, "leaves nothing of the batch"),
    ],
)
def test_bad_weights_are_refused(weights, error, words):
    for name, build in TRAINERS.items():
        with pytest.raises(error, match=words):
            build(Mixed()).get_loss(*map(Tensor, given(name)), weights=Tensor(weights))


def test_weights_must_be_a_tensor():
    with pytest.raises(TypeError, match="'weights' must be a Tensor"):
        TRAINERS["edm"](Mixed()).get_loss(*map(Tensor, given("edm")), weights=np.ones((3, 2)))


def test_weights_that_a_graph_holds_are_checked_while_it_is_compiled():
    trainer = TRAINERS["edm"](Mixed())
    inputs = [Tensor(values) for values in given("edm")]
    good, bad = Tensor(weight_maps()["latitudes"]), Tensor(np.full((3, 2), -1.0, np.float32))

    def weighted(*inputs):
        return trainer.get_loss(*inputs, weights=good)

    gradient = ms.value_and_grad(weighted, None, trainer.model.trainable_params())

    @ms.jit
    def compiled(*inputs):
        return gradient(*inputs)[0]

    @ms.jit
    def wrong(*inputs):
        return trainer(*inputs, weights=bad)

    expected = trainer.get_loss(*inputs, weights=good)
    assert float(compiled(*inputs).asnumpy()) == pytest.approx(float(expected.asnumpy()), rel=1e-6)
    with pytest.raises(ValueError, match="must be at least 0, but has -1.0"):
        wrong(*inputs)
