"""The diffusion transformers: shapes, conditioning, precision, both execution modes, export, bad arguments."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn
from mindspore import dtype as mstype

from mindscience_diffuser.models import (
    ConditionDiffusionTransformer,
    DiffusionTransformer,
    PositionalConditionTransformer,
    PositionalTransformer,
)

FREE = [DiffusionTransformer, PositionalTransformer]
CONDITIONED = [ConditionDiffusionTransformer, PositionalConditionTransformer]

TOKEN_FLAGS = [(True, True), (True, False), (False, True), (False, False)]


def build(cls, seed=0, **changes):
    """Returns a small model whose output projection is random instead of zero."""
    arguments = {"in_channels": 4, "out_channels": 3, "hidden_channels": 16, "layers": 2, "heads": 4}
    if cls in CONDITIONED:
        arguments["cond_channels"] = 5
    ms.set_seed(seed)
    model = cls(**{**arguments, **changes})
    weight = model.output_proj.weight
    weight.set_data(Tensor(np.random.default_rng(seed).normal(0, 0.3, weight.shape).astype(np.float32)))
    return model


def inputs(batch=2, length=6, seed=1):
    rng = np.random.default_rng(seed)
    x = Tensor(rng.normal(size=(batch, length, 4)).astype(np.float32))
    timestep = Tensor(rng.integers(0, 1000, batch).astype(np.int32))
    condition = Tensor(rng.normal(size=(batch, 5)).astype(np.float32))
    return x, timestep, condition


@pytest.mark.parametrize("kind", CONDITIONED)
@pytest.mark.parametrize("compute_dtype", [mstype.float32, mstype.float16])
@pytest.mark.parametrize(("time_token", "cond_token"), TOKEN_FLAGS)
def test_conditional_output_has_the_input_length_and_the_compute_dtype(kind, time_token, cond_token, compute_dtype):
    model = build(
        kind,
        time_token_cond=time_token,
        cond_as_token=cond_token,
        compute_dtype=compute_dtype,
    )
    x, timestep, condition = inputs()
    for output in (model(x, timestep, condition), model(x, timestep)):
        assert output.shape == (2, 6, 3)
        assert output.dtype == compute_dtype
    assert model.in_channels == 4


@pytest.mark.parametrize("kind", FREE)
@pytest.mark.parametrize("time_token", [True, False])
def test_unconditional_output_has_the_input_length(kind, time_token):
    model = build(kind, time_token_cond=time_token)
    x, timestep, _ = inputs(length=9)
    assert model(x, timestep).shape == (2, 9, 3)


@pytest.mark.parametrize("kind", FREE)
def test_untrained_model_predicts_zero(kind):
    x, timestep, _ = inputs()
    assert not kind(4, 3, 16, 2, 4)(x, timestep).asnumpy().any()


@pytest.mark.parametrize("kind", CONDITIONED)
@pytest.mark.parametrize(("time_token", "cond_token"), TOKEN_FLAGS)
def test_output_depends_on_timestep_and_condition_of_its_own_sample_only(kind, time_token, cond_token):
    model = build(kind, time_token_cond=time_token, cond_as_token=cond_token)
    x, timestep, condition = inputs()
    output = model(x, timestep, condition).asnumpy()
    later = model(x, Tensor(timestep.asnumpy() + np.array([0, 7], np.int32)), condition).asnumpy()
    shifted = model(x, timestep, Tensor(condition.asnumpy() + np.array([[0], [1]], np.float32))).asnumpy()
    for other in (later, shifted):
        np.testing.assert_allclose(other[0], output[0], atol=1e-6)
        assert np.abs(other[1] - output[1]).max() > 1e-3


@pytest.mark.parametrize("kind", CONDITIONED)
def test_zero_condition_differs_from_no_condition_token(kind):
    model = build(kind)
    x, timestep, condition = inputs()
    zero = model(x, timestep, Tensor(np.zeros(condition.shape, np.float32))).asnumpy()
    assert np.abs(zero - model(x, timestep).asnumpy()).max() > 1e-4


def test_tokens_know_their_position():
    model = build(PositionalTransformer)
    x, timestep, _ = inputs()
    output = model(x, timestep).asnumpy()
    reversed_output = model(Tensor(x.asnumpy()[:, ::-1].copy()), timestep).asnumpy()[:, ::-1]
    assert np.abs(reversed_output - output).max() > 1e-3


def test_tokens_without_positions_may_come_in_any_order():
    model = build(DiffusionTransformer)
    x, timestep, _ = inputs()
    output = model(x, timestep).asnumpy()
    reversed_output = model(Tensor(x.asnumpy()[:, ::-1].copy()), timestep).asnumpy()[:, ::-1]
    np.testing.assert_allclose(reversed_output, output, atol=1e-5)


@pytest.mark.parametrize("kind", CONDITIONED)
def test_a_condition_of_several_tokens_counts_each_of_them(kind):
    model = build(kind)
    x, timestep, condition = inputs()
    tokens = Tensor(np.stack([condition.asnumpy(), np.ones((2, 5), np.float32)], axis=1))
    output = model(x, timestep, tokens).asnumpy()
    assert output.shape == (2, 6, 3)
    one = model(x, timestep, tokens[:, :1].copy()).asnumpy()
    np.testing.assert_allclose(one, model(x, timestep, condition).asnumpy(), atol=1e-6)
    assert np.abs(output - one).max() > 1e-3


@pytest.mark.parametrize("kind", FREE)
def test_one_model_takes_any_sequence_length(kind):
    model = build(kind)
    for length in (1, 5, 33):
        x, timestep, _ = inputs(length=length)
        assert model(x, timestep).shape == (2, length, 3)


@pytest.mark.parametrize("kind", FREE)
def test_odd_width_works(kind):
    model = build(kind, hidden_channels=15, heads=3)
    x, timestep, _ = inputs()
    assert np.isfinite(model(x, timestep).asnumpy()).all()


@pytest.mark.parametrize("kind", CONDITIONED)
def test_float16_stays_finite_for_large_inputs(kind):
    model = build(kind, compute_dtype=mstype.float16)
    x, timestep, condition = inputs()
    output = model(Tensor(x.asnumpy() * 1000), timestep, condition).asnumpy()
    assert np.isfinite(output).all()
    assert output.any()


@pytest.mark.parametrize("kind", CONDITIONED)
def test_float16_is_close_to_float32(kind):
    x, timestep, condition = inputs(batch=4)
    full = build(kind)(x, timestep, condition).asnumpy()
    half = build(kind, compute_dtype=mstype.float16)(x, timestep, condition).asnumpy()
    assert np.linalg.norm(half - full) < 0.01 * np.linalg.norm(full)


@pytest.mark.parametrize("kind", FREE)
def test_float16_model_tells_neighbouring_late_timesteps_apart(kind):
    embedding = build(kind, compute_dtype=mstype.float16).wave_embed
    waves = embedding(Tensor(np.arange(980, 1000, dtype=np.float32))).asnumpy()
    steps = np.linalg.norm(np.diff(waves, axis=0), axis=1)
    np.testing.assert_allclose(steps, steps[0], rtol=1e-2)


@pytest.mark.parametrize("kind", CONDITIONED)
def test_graph_mode_and_pynative_mode_agree(kind):
    model = build(kind)
    arguments = inputs()
    eager = model(*arguments).asnumpy()
    compiled = ms.jit(model.construct)(*arguments).asnumpy()
    ms.set_context(mode=ms.GRAPH_MODE)
    try:
        graph = build(kind)(*arguments).asnumpy()
    finally:
        ms.set_context(mode=ms.PYNATIVE_MODE)
    np.testing.assert_allclose(compiled, eager, atol=1e-5)
    np.testing.assert_allclose(graph, eager, atol=1e-5)


@pytest.mark.parametrize("kind", CONDITIONED)
def test_every_weight_gets_a_gradient(kind):
    model = build(kind)
    x, timestep, condition = inputs()
    parameters = model.trainable_params()
    gradients = ms.grad(lambda *a: (model(*a) ** 2).sum(), None, parameters)(x, timestep, condition)
    silent = [p.name for p, g in zip(parameters, gradients) if not np.abs(g.asnumpy()).max() > 0]
    assert not silent


@pytest.mark.parametrize("kind", CONDITIONED)
def test_exported_model_takes_any_batch_and_gives_the_same(kind, tmp_path):
    model = build(kind)
    shapes = [((None, 6, 4), mstype.float32), ((None,), mstype.int32), ((None, 5), mstype.float32)]
    ms.export(
        model,
        *(Tensor(shape=shape, dtype=dtype) for shape, dtype in shapes),
        file_name=str(tmp_path / "model"),
        file_format="MINDIR",
    )
    loaded = nn.GraphCell(ms.load(str(tmp_path / "model.mindir")))
    for batch in (2, 3):
        arguments = inputs(batch=batch)
        np.testing.assert_allclose(loaded(*arguments).asnumpy(), model(*arguments).asnumpy(), atol=1e-5)


@pytest.mark.parametrize("kind", CONDITIONED)
@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"heads": 3}, ValueError, r"'heads' must divide 'hidden_channels'.* 3 .*heads=2"),
        ({"layers": 0}, ValueError, "'layers' must be in .1, 10000., but is 0"),
        ({"in_channels": -1}, ValueError, "'in_channels'"),
        ({"hidden_channels": 16.0}, TypeError, "'hidden_channels' must be an integer"),
        ({"heads": True}, TypeError, "'heads' must be an integer"),
        ({"cond_channels": 0}, ValueError, "'cond_channels'"),
        ({"time_token_cond": 1}, TypeError, "'time_token_cond' must be True or False"),
        ({"cond_as_token": "yes"}, TypeError, "'cond_as_token' must be True or False"),
        ({"compute_dtype": mstype.bfloat16}, ValueError, "'compute_dtype' must be mindspore.float32 or"),
        ({"compute_dtype": mstype.int32}, ValueError, "'compute_dtype'"),
        ({"compute_dtype": "float32"}, ValueError, "'compute_dtype'.*'float32'"),
    ],
)
def test_bad_constructor_argument_is_named(kind, changes, error, message):
    with pytest.raises(error, match=message):
        build(kind, **changes)
