"""No shape broadcasts by mistake: timesteps as a column, outputs, noise and conditions of other shapes."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn
from mindspore import dtype as mstype

from mindscience_diffuser import (
    CMStochasticIterativeScheduler,
    ConsistencyDistillation,
    ConsistencyTuningTrainer,
    DDPMScheduler,
    DiffusionTrainer,
    EDMTrainer,
    FlowMatchingTrainer,
    LCMScheduler,
    MeanFlowTrainer,
    PyramidFlowMatchEulerDiscreteScheduler,
    PyramidFlowTrainer,
    training,
)
from mindscience_diffuser.schedulers.base.scheduler import schedulers_by_name

BATCH, SHAPE = 4, (4, 2, 4, 4)
RNG = np.random.default_rng(0)


class Predictor(nn.Cell):
    """Depends on the level and the conditions of each sample; with `narrow` returns its last axis summed, kept as 1."""

    def __init__(self, narrow=False):
        super().__init__()
        self.narrow = narrow

    def construct(self, x, level, *conditions):
        level = level[:, 0] if level.ndim > 1 and level.shape[1] == 2 else level
        factor = 0.3 + level.reshape((-1, 1, 1, 1)).astype(mstype.float32) / 1000
        for condition in conditions:
            factor = factor + condition.reshape((condition.shape[0], -1)).mean(axis=1).reshape((-1, 1, 1, 1))
        output = x * factor
        return output.sum(-1, keepdims=True) if self.narrow else output


def tensor(*shape):
    return Tensor(RNG.standard_normal(shape).astype(np.float32))


def distillation(model):
    scheduler = LCMScheduler(beta_schedule="squaredcos_cap_v2", original_inference_steps=10)
    others = Predictor(), Predictor()
    return ConsistencyDistillation(model, *others, scheduler, Tensor(np.zeros(3, np.float32)))


TIMESTEPS, LEVELS, SCALES = (
    Tensor([3, 400, 999, 50], mstype.int32),
    Tensor([0.1, 0.4, 0.9, 0.5]),
    Tensor([1.0, 2, 3, 4]),
)
PAIRS = Tensor([[0.1, 0.05], [0.4, 0.2], [0.9, 0.7], [0.5, 0.1]])
TRAINERS = {
    DiffusionTrainer: (
        lambda model: DiffusionTrainer(model, DDPMScheduler(), p2_loss_weight_gamma=1.0),
        (TIMESTEPS,),
        True,
    ),
    FlowMatchingTrainer: (lambda model: FlowMatchingTrainer(model, weighting="cosmap"), (LEVELS,), True),
    EDMTrainer: (EDMTrainer, (LEVELS,), False),
    PyramidFlowTrainer: (
        lambda model: PyramidFlowTrainer(
            model, PyramidFlowMatchEulerDiscreteScheduler(stages=2, stage_range=(0, 0.5, 1))
        ),
        (TIMESTEPS,),
        True,
    ),
    MeanFlowTrainer: (MeanFlowTrainer, (PAIRS,), True),
    ConsistencyTuningTrainer: (
        lambda model: ConsistencyTuningTrainer(model, CMStochasticIterativeScheduler()),
        (PAIRS,),
        True,
    ),
    ConsistencyDistillation: (distillation, (Tensor([99, 399, 999, 499], mstype.int32), SCALES), True),
}
"""How each trainer is built, what it takes for each sample, and whether it has a condition."""


def arguments(kind, condition=None):
    """Returns samples, noise and what follows them in a call of the trainer."""
    _, each, _ = TRAINERS[kind]
    condition = tensor(BATCH, 3) if condition is None else condition
    if kind is ConsistencyDistillation:
        return [tensor(*SHAPE), tensor(*SHAPE), each[0], condition, each[1]]
    return [tensor(*SHAPE), tensor(*SHAPE), each[0], condition]


def column(values):
    return values.reshape((-1, 1)) if isinstance(values, Tensor) and values.ndim == 1 else values


def test_every_trainer_is_tried():
    known = {value for value in vars(training).values() if isinstance(value, type) and hasattr(value, "get_loss")}
    assert known == set(TRAINERS)


@pytest.mark.parametrize("kind", TRAINERS, ids=lambda kind: kind.__name__)
def test_a_column_for_each_sample_gives_the_loss_of_a_row(kind):
    trainer = TRAINERS[kind][0](Predictor())
    given = arguments(kind)
    expected = trainer.get_loss(*given).asnumpy()
    columns = [column(value) for value in given]
    np.testing.assert_allclose(trainer.get_loss(*columns).asnumpy(), expected, rtol=1e-5)
    np.testing.assert_allclose(ms.jit(trainer.get_loss)(*columns).asnumpy(), expected, rtol=1e-5)


@pytest.mark.parametrize("kind", TRAINERS, ids=lambda kind: kind.__name__)
def test_shapes_that_would_broadcast_are_refused_by_trainers(kind, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    build, _, conditioned = TRAINERS[kind]
    narrow, trainer = build(Predictor(narrow=True)), build(Predictor())
    given = arguments(kind)
    with pytest.raises(ValueError, match=r"output has shape \(\d, 2, \d, 1\), but must have that of"):
        narrow.get_loss(*given)
    with pytest.raises(ValueError, match="output has shape"):
        ms.jit(narrow.get_loss)(*given)
    for place, wrong, message in (
        (1, tensor(4, 2, 4, 1), "'noise' has shape"),
        (2, given[2].reshape((1, -1)), r"must (be one number or have one for|hold t and r of) each of 4 samples"),
        (2, given[2][:3].copy(), r"must (be one number or have one for|hold t and r of) each of 4 samples"),
        (3, tensor(1, 3), "'condition' has shape"),
        (3, tensor(8, 3), "'condition' has shape"),
    ):
        if place < 3 or conditioned:
            with pytest.raises(ValueError, match=message):
                trainer.get_loss(*(wrong if i == place else value for i, value in enumerate(given)))


def scheduled(name):
    scheduler = schedulers_by_name()[name]()
    for given in ({"num_inference_steps": 5}, {"num_inference_steps": 5, "mu": 1.0}):
        try:
            scheduler.set_timesteps(**given)
        except (TypeError, ValueError):
            continue
        return scheduler
    return scheduler


@pytest.mark.parametrize("name", [name for name, kind in schedulers_by_name().items() if hasattr(kind, "add_noise")])
def test_shapes_that_would_broadcast_are_refused_by_add_noise(name, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    scheduler = scheduled(name)
    samples, noise = tensor(*SHAPE), tensor(*SHAPE)
    dtype = mstype.int32 if np.asarray(scheduler.timesteps).dtype.kind == "i" else mstype.float32
    chosen = np.asarray(scheduler.timesteps)[[1, 2, 0, 1]]
    timesteps = Tensor(chosen, dtype)

    @ms.jit
    def inside(samples, noise, timesteps):
        return scheduler.add_noise(samples, noise, timesteps)

    for call in (scheduler.add_noise, inside):
        with pytest.raises(ValueError, match="'noise' has shape"):
            call(samples, tensor(4, 2, 4, 1), timesteps)
        with pytest.raises(ValueError, match="one value for each of 4 samples"):
            call(samples, noise, timesteps[:3].copy())
    expected = scheduler.add_noise(samples, noise, timesteps).asnumpy()
    np.testing.assert_allclose(scheduler.add_noise(samples, noise, column(timesteps)).asnumpy(), expected, atol=1e-6)
