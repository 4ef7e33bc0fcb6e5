"""The UNet: its layers against plain definitions, any grid, conditions, half precision, export."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn
from scipy.ndimage import correlate

from mindscience_diffuser import UNet
from mindscience_diffuser.export import export_mindir, load_mindir
from mindscience_diffuser.models.grid import GridConvolution, GroupNorm, coarser, finer
from mindscience_diffuser.readiness import ascend_problems

RNG = np.random.default_rng(0)
GRIDS = {1: (7,), 2: (5, 6), 3: (3, 4, 5)}
SMALL = {"hidden_channels": 8, "multipliers": (1, 2), "blocks": 1, "attention": (1,), "heads": 2}


def random(*shape, dtype=np.float32):
    return Tensor(RNG.standard_normal(shape).astype(dtype))


def convolved(x, weight, grid):
    """The convolution of one sample by SciPy: x (N, C), weight (K * C, C_out)."""
    kernel = weight.reshape(*(3,) * len(grid), x.shape[1], -1)
    fields = x.T.reshape(-1, *grid)
    channels = range(len(fields))
    out = [
        sum(correlate(fields[c], kernel[..., c, o], mode="constant") for c in channels) for o in range(kernel.shape[-1])
    ]
    return np.stack(out).reshape(len(out), -1).T


@pytest.mark.parametrize("axes", GRIDS)
def test_a_convolution_and_its_gradients_are_those_of_the_definition(axes):
    grid = GRIDS[axes]
    count = int(np.prod(grid))
    layer = GridConvolution(axes, 2, 3)
    x, along = random(2, count, 2), random(2, count, 3)
    expected = np.stack([convolved(sample, layer.weight.asnumpy(), grid) for sample in x.asnumpy()])
    np.testing.assert_allclose(layer(x, grid).asnumpy(), expected, atol=1e-5)

    def value(x):
        return (layer(x, grid) * along).sum()

    of_x, of_parameters = ms.jit(ms.grad(value, 0, layer.trainable_params()))(x)
    # The value is linear in both: its change along a direction is exact.
    dx = RNG.standard_normal(x.shape).astype(np.float32)
    change = (layer(Tensor(dx), grid) - layer(Tensor(0 * dx), grid)).asnumpy() * along.asnumpy()
    assert (of_x.asnumpy() * dx).sum() == pytest.approx(change.sum(), rel=1e-4, abs=1e-4)
    dw = RNG.standard_normal(layer.weight.shape)
    change = np.stack([convolved(sample, dw, grid) for sample in x.asnumpy()]) * along.asnumpy()
    assert (of_parameters[0].asnumpy() * dw).sum() == pytest.approx(change.sum(), rel=1e-4, abs=1e-4)


def test_halving_takes_means_and_the_way_back_takes_the_nearest_point():
    x = random(1, 15, 2)
    field = x.asnumpy().reshape(3, 5, 2)
    half = coarser(x, (3, 5)).asnumpy().reshape(2, 3, 2)
    np.testing.assert_allclose(half[0, 1], field[:2, 2:4].mean((0, 1)), rtol=1e-5)
    np.testing.assert_allclose(half[1, 2], field[2, 4], rtol=1e-5)
    back = finer(Tensor(half.reshape(1, 6, 2)), (3, 5)).asnumpy().reshape(3, 5, 2)
    np.testing.assert_array_equal(back[1, 3], half[0, 1])


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_groups_are_normalised(dtype):
    # The squares of these values leave float16.
    x = random(3, 50, 8) * 1000 + 300
    normal = GroupNorm(8, 4)(Tensor(x.asnumpy().astype(dtype))).asnumpy()
    groups = normal.astype(np.float64).reshape(3, 50, 4, 2)
    np.testing.assert_allclose(groups.mean((1, 3)), 0, atol=2e-3)
    np.testing.assert_allclose(groups.std((1, 3)), 1, atol=2e-3)


@pytest.mark.parametrize("axes", GRIDS)
def test_any_grid_and_dtype(axes):
    for dtype in (ms.float32, ms.float16):
        model = UNet(2, 3, axes=axes, compute_dtype=dtype, **SMALL)
        _wake(model)
        prediction = model(random(2, 2, *GRIDS[axes]), Tensor([3, 900], ms.int32))
        assert prediction.shape == (2, 3, *GRIDS[axes])
        assert prediction.dtype == dtype
        assert np.isfinite(prediction.asnumpy()).all()


def _wake(model):
    """Gives the layers that begin at 0 other weights, so that everything has an effect."""
    for parameter in model.trainable_params():
        if not parameter.asnumpy().any():
            parameter.set_data(Tensor(0.1 * RNG.standard_normal(parameter.shape).astype(np.float32)))


@pytest.fixture(scope="module")
def conditioned():
    model = UNet(1, 1, vector_channels=3, field_channels=2, adaptive_scale=False, skip_scale=0.7, **SMALL)
    _wake(model)
    return model


def test_every_input_has_an_effect_on_its_own_sample_only(conditioned):
    inputs = [random(2, 1, 5, 6), Tensor([0.3, -1.2]), random(2, 3), random(2, 2, 5, 6)]
    before = conditioned(*inputs).asnumpy()
    for i, value in enumerate(inputs):
        changed = value.asnumpy().copy()
        changed[1] += 1
        after = conditioned(*inputs[:i], Tensor(changed), *inputs[i + 1 :]).asnumpy()
        np.testing.assert_array_equal(after[0], before[0])
        assert np.abs(after[1] - before[1]).max() > 1e-3


def test_all_parameters_are_trained(conditioned):
    inputs = [random(2, 1, 5, 6), Tensor([0.3, -1.2]), random(2, 3), random(2, 2, 5, 6)]

    def loss(*inputs):
        return ((conditioned(*inputs) - 1) ** 2).mean()

    gradients = ms.jit(ms.grad(loss, None, conditioned.trainable_params()))(*inputs)
    assert all(np.abs(gradient.asnumpy()).max() > 0 for gradient in gradients)


def test_it_is_exported_for_any_batch(conditioned, tmp_path):
    inputs = [random(2, 1, 5, 6), Tensor([0.3, -1.2]), random(2, 3), random(2, 2, 5, 6)]
    path = export_mindir(conditioned, tmp_path / "unet.mindir", *inputs, input_names=["x", "t", "vector", "field"])
    assert ascend_problems(path) == []
    many = [Tensor(np.concatenate([value.asnumpy()] * 2)) for value in inputs]
    np.testing.assert_allclose(load_mindir(path)(*many).asnumpy(), conditioned(*many).asnumpy(), atol=1e-5)


def test_dropout_acts_in_training_only():
    model = UNet(1, 1, dropout=0.5, **SMALL)
    _wake(model)
    x, t = random(2, 1, 5, 6), Tensor([1.0, 2.0])
    model.set_train(False)
    np.testing.assert_array_equal(model(x, t).asnumpy(), model(x, t).asnumpy())
    model.set_train(True)
    assert np.abs((model(x, t) - model(x, t)).asnumpy()).max() > 0


def test_a_preset_holds_the_choices_of_its_paper_and_can_be_changed():
    model = UNet.from_preset("edm", 1, 1, hidden_channels=8, blocks=1)
    assert isinstance(model, nn.Cell)
    assert not model.down[0].adaptive_scale
    assert model.down[0].skip_scale == pytest.approx(0.5**0.5)
    assert [block.heads for block in model.down] == [0, 1, 0]
    assert model.middle_first.heads == 1
    # ADM has 64 channels to a head at each resolution.
    adm = UNet.from_preset("adm", 1, 1, hidden_channels=48, blocks=1)
    assert [block.heads for block in adm.down] == [0, 6, 9, 12]
    assert adm.middle_first.heads == 12


@pytest.mark.parametrize(
    ("arguments", "error", "named"),
    [
        ({"axes": 4}, ValueError, "axes"),
        ({"multipliers": ()}, ValueError, "multipliers"),
        ({"attention": (5,)}, ValueError, "attention"),
        ({"attention": (0,), "heads": 3}, ValueError, "heads"),
        ({"attention": (0,), "heads": (2, 2)}, ValueError, "heads"),
        ({"dropout": 1.0}, ValueError, "dropout"),
        ({"skip_scale": 0}, ValueError, "skip_scale"),
        ({"hidden_channels": 1.5}, TypeError, "hidden_channels"),
        ({"compute_dtype": ms.int32}, ValueError, "compute_dtype"),
    ],
)
def test_bad_arguments_are_named(arguments, error, named):
    with pytest.raises(error, match=f"'{named}'"):
        UNet(1, 1, **{"hidden_channels": 8, **arguments})


@pytest.mark.parametrize("shape", [(2, 3, 5, 6), (2, 1, 5)])
def test_samples_of_another_shape_are_told(conditioned, shape):
    with pytest.raises(ValueError, match="in_channels=1 and axes=2, but got the shape"):
        conditioned(random(*shape), Tensor([0.3, -1.2]), random(2, 3), random(2, 1, 5, 6))


def test_missing_conditions_are_counted(conditioned):
    with pytest.raises(ValueError, match="channels together .* but got 1 conditions with 0 channels of fields"):
        conditioned(random(2, 1, 5, 6), Tensor([0.3, -1.2]), random(2, 3))
    with pytest.raises(ValueError, match=r"fields on the grid of .* but got one of the shape \(2, 1, 5, 5\)"):
        conditioned(random(2, 1, 5, 6), Tensor([0.3, -1.2]), random(2, 3), random(2, 1, 5, 5))


def test_several_fields_are_joined_in_their_order():
    ms.set_seed(0)
    net = UNet(1, 1, hidden_channels=8, multipliers=(1,), blocks=1, field_channels=3)
    for parameter in net.get_parameters():
        parameter.set_data(parameter + 0.1)
    x, t, first, second = random(2, 1, 5, 6), Tensor([0.3, -1.2]), random(2, 1, 5, 6), random(2, 2, 5, 6)
    joined = Tensor(np.concatenate([first.asnumpy(), second.asnumpy()], 1))
    assert np.array_equal(net(x, t, first, second).asnumpy(), net(x, t, joined).asnumpy())
    assert np.abs(net(x, t, second, first).asnumpy() - net(x, t, joined).asnumpy()).max() > 1e-3
