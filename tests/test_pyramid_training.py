"""Training Pyramid Flow: the loss over all stages, and the model of images."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, Tensor, nn

from mindscience_diffuser import (
    ConditionDiffusionTransformer,
    PatchDiffusionTransformer,
    PyramidFlowMatchEulerDiscreteScheduler,
    PyramidFlowTrainer,
)
from mindscience_diffuser.noise import multi_scale_noise, multi_scale_samples


class TimeModel(nn.Cell):
    """out = scale * x + timestep / 1000 + condition."""

    def __init__(self):
        super().__init__()
        self.scale = Parameter(Tensor(0.5, ms.float32), name="scale")

    def construct(self, x, timestep, condition):
        shape = (-1,) + (1,) * (x.ndim - 1)
        return self.scale * x + timestep.reshape(shape) / 1000 + condition.reshape(shape)


def batch(shape, seed=0):
    rng = np.random.default_rng(seed)
    clean, noise = rng.standard_normal((2, *shape)).astype(np.float32)
    index = rng.integers(0, 1000, shape[0]).astype(np.int32)
    return clean, noise, index, rng.standard_normal((shape[0], 1)).astype(np.float32)


def expected_loss(scheduler, arrays, bounds, power):
    """The loss in float64: every stage on its part of the batch."""
    total, stages = 0.0, scheduler.num_stages
    for stage in range(stages):
        clean, noise, index, condition = (a[bounds[stage] : bounds[stage + 1]].astype(np.float64) for a in arrays)
        index = index.astype(int)
        fine = multi_scale_samples(clean, stages)[stage]
        white = multi_scale_noise(noise, stages)[stage]
        coarse = multi_scale_samples(fine, 2)[0].repeat(2, axis=-1).repeat(2, axis=-2) if stage else fine
        start = scheduler.start_sigmas[stage] * white + (1 - scheduler.start_sigmas[stage]) * coarse
        end = scheduler.end_sigmas[stage] * white + (1 - scheduler.end_sigmas[stage]) * fine
        shape = (-1,) + (1,) * (clean.ndim - 1)
        ratio = scheduler.sigmas_per_stage[stage][index].reshape(shape)
        told = scheduler.timesteps_per_stage[stage][index].reshape(shape)
        prediction = 0.5 * (ratio * start + (1 - ratio) * end) + told / 1000 + condition.reshape(shape)
        error = np.abs(prediction - (start - end)) ** power
        total += error.reshape(len(clean), -1).mean(axis=1).sum()
    return total / len(arrays[0])


@pytest.mark.parametrize(
    ("shape", "ratios", "bounds", "loss_type"),
    [((6, 2, 8, 16), None, (0, 2, 4, 6), "l2"), ((8, 1, 2, 8, 8), (1, 2, 1), (0, 2, 6, 8), "l1")],
)
def test_loss_is_the_error_of_the_velocity_at_the_resolution_of_every_stage(shape, ratios, bounds, loss_type):
    scheduler = PyramidFlowMatchEulerDiscreteScheduler(shift=2.0)
    trainer = PyramidFlowTrainer(TimeModel(), scheduler, ratios, loss_type)
    arrays = batch(shape)
    expected = expected_loss(scheduler, arrays, bounds, 2 if loss_type == "l2" else 1)

    @ms.jit
    def compiled(*tensors):
        return trainer.get_loss(*tensors)

    tensors = [Tensor(array) for array in arrays]
    for loss in (trainer.get_loss(*tensors), compiled(*tensors)):
        assert loss.shape == ()
        np.testing.assert_allclose(loss.asnumpy(), expected, rtol=1e-5)


def test_gradient_inside_a_compiled_step_is_that_of_the_loss():
    model = TimeModel()
    scheduler = PyramidFlowMatchEulerDiscreteScheduler(stages=2, stage_range=(0, 0.5, 1))
    trainer = PyramidFlowTrainer(model, scheduler)
    tensors = [Tensor(array) for array in batch((4, 1, 4, 4))]
    both = ms.value_and_grad(trainer.get_loss, None, model.trainable_params())

    @ms.jit
    def compiled(*tensors):
        return both(*tensors)

    _, (gradient,) = compiled(*tensors)
    model.scale.set_data(model.scale + 0.01)
    above = trainer.get_loss(*tensors).asnumpy()
    model.scale.set_data(model.scale - 0.02)
    below = trainer.get_loss(*tensors).asnumpy()
    np.testing.assert_allclose(gradient.asnumpy(), (above - below) / 0.02, rtol=1e-3)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"model": len}, TypeError, "'model' must be an nn.Cell"),
        ({"scheduler": 3}, TypeError, "'scheduler' must be a PyramidFlowMatchEulerDiscreteScheduler"),
        ({"sample_ratios": (1, 1)}, ValueError, "one part for each of 3 stages"),
        ({"sample_ratios": (1, 0, 1)}, ValueError, "'sample_ratios' must be at least 1"),
        ({"loss_type": "huber"}, ValueError, "'loss_type' must be one of 'l1', 'l2'"),
    ],
)
def test_bad_trainer_argument_is_named(changes, error, message):
    with pytest.raises(error, match=message):
        PyramidFlowTrainer(**{"model": TimeModel(), "scheduler": PyramidFlowMatchEulerDiscreteScheduler(), **changes})


def test_batch_that_cannot_be_shared_out_is_refused():
    trainer = PyramidFlowTrainer(TimeModel(), PyramidFlowMatchEulerDiscreteScheduler())
    with pytest.raises(ValueError, match="must be a multiple of 3"):
        trainer.get_loss(*(Tensor(array) for array in batch((4, 1, 8, 8))))


def test_image_model_is_the_token_model_on_its_patches():
    ms.set_seed(0)
    model = PatchDiffusionTransformer(2, 2, 3, 16, 1, 2, patch_height=2, patch_width=4)
    model.transformer.output_proj.weight.set_data(ms.ops.randn(16, 16))
    rng = np.random.default_rng(0)
    condition, timestep = Tensor(rng.standard_normal((3, 3)).astype(np.float32)), Tensor([1.0, 500.0, 999.0])
    for height, width in ((4, 4), (8, 8)):
        x = rng.standard_normal((3, 2, height, width)).astype(np.float32)
        rows, columns = height // 2, width // 4
        tokens = np.stack(
            [x[:, :, 2 * i : 2 * i + 2, 4 * j : 4 * j + 4].reshape(3, -1) for i in range(rows) for j in range(columns)],
            axis=1,
        )
        expected = model.transformer(Tensor(tokens), timestep, condition).asnumpy()
        result = model(Tensor(x), timestep, condition).asnumpy()
        assert result.shape == x.shape
        np.testing.assert_allclose(result[:, :, -2:, -4:].reshape(3, -1), expected[:, -1], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(result[:, :, :2, :4].reshape(3, -1), expected[:, 0], rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match="do not tile"):
        model(Tensor(np.zeros((1, 2, 4, 6), np.float32)), timestep[:1], condition[:1])


@pytest.mark.parametrize(
    ("tokens_of_context", "options"), [(2, {}), (0, {"time_token_cond": False, "cond_as_token": False})]
)
def test_operations_are_those_of_all_matrix_products(tokens_of_context, options):
    width, layers, length = 16, 3, 8
    model = ConditionDiffusionTransformer(4, 6, 5, width, layers, 2, **options)
    hidden = length + tokens_of_context
    per_sample = {"time_embed": 1, "cond_embed": 1, "input_proj": length, "output_proj": length}
    dense = 0
    for name, cell in model.cells_and_names():
        if isinstance(cell, nn.Dense):
            calls = next((n for prefix, n in per_sample.items() if name.startswith(prefix)), hidden)
            dense += 2 * calls * cell.in_channels * cell.out_channels
    attention = layers * 2 * 2 * hidden * hidden * width
    assert model.flops(length) == dense + attention
    image = PatchDiffusionTransformer(1, 1, 5, width, layers, 2, patch_height=2, patch_width=2, **options)
    assert image.flops(4, 8) == image.transformer.flops(8)
