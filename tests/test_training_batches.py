"""What is no batch of a training loss, in type, shape or levels, is named before the model is called."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn

from mindscience_diffuser import (
    CMStochasticIterativeScheduler,
    ConsistencyDistillation,
    ConsistencyTuningTrainer,
    DDIMScheduler,
    DiffusionTrainer,
    EDMPreconditioning,
    EDMTrainer,
    FlowMatchingTrainer,
    LCMScheduler,
    MeanFlowTrainer,
    PyramidFlowMatchEulerDiscreteScheduler,
    PyramidFlowTrainer,
    random_patches,
    training,
)
from mindscience_diffuser.noise import log_normal_sigmas, log_uniform_sigmas


class NeverCalled(nn.Cell):
    def construct(self, x, timestep, *conditions):
        raise AssertionError("The model is called.")


def tensor(values, dtype=np.float32):
    return Tensor(np.asarray(values, dtype))


def distillation(unconditional=0.0):
    models = [NeverCalled() for _ in range(3)]
    return ConsistencyDistillation(*models, LCMScheduler(), tensor(np.full(3, unconditional)))


X, FIELDS, CONDITION = tensor(np.ones((2, 4))), tensor(np.ones((3, 2, 8, 8))), tensor(np.ones((2, 3)))
WHOLE, LEVELS, PAIRS = tensor([3, 5], np.int32), tensor([0.5, 0.25]), tensor([[0.5, 0.25]] * 2)
TRAINERS = {
    "diffusion": (lambda: DiffusionTrainer(NeverCalled(), DDIMScheduler()), X, "timesteps", WHOLE, ()),
    "flow": (lambda: FlowMatchingTrainer(NeverCalled()), X, "sigmas", LEVELS, ()),
    "edm": (lambda: EDMTrainer(NeverCalled()), X, "sigmas", LEVELS, ()),
    "mean flow": (lambda: MeanFlowTrainer(NeverCalled()), X, "intervals", PAIRS, ()),
    "tuning": (
        lambda: ConsistencyTuningTrainer(NeverCalled(), CMStochasticIterativeScheduler()),
        X,
        "levels",
        PAIRS,
        (),
    ),
    "distillation": (distillation, X, "timesteps", tensor([19, 39], np.int32), (CONDITION, LEVELS)),
    "pyramid": (
        lambda: PyramidFlowTrainer(NeverCalled(), PyramidFlowMatchEulerDiscreteScheduler()),
        FIELDS,
        "index",
        tensor([3, 4, 5], np.int32),
        (),
    ),
}
each_trainer = pytest.mark.parametrize("name", TRAINERS)


def refused(name, error, message, samples=None, noise=None, levels=None, following=()):
    build, right, _, known, needed = TRAINERS[name]
    samples = right if samples is None else samples
    noise = samples if noise is None else noise
    levels = known if levels is None else levels
    with pytest.raises(error, match=message):
        build().get_loss(samples, noise, levels, *(following or needed))


@each_trainer
def test_samples_and_noise_that_are_no_floating_tensors_of_a_batch_are_named(name):
    right = TRAINERS[name][1]
    for value in (3, [[1.0, 2.0]], right.asnumpy()):
        refused(name, TypeError, f"'original_samples' must be a Tensor.* is .*{type(value).__name__}", samples=value)
        refused(name, TypeError, f"'noise' must be a Tensor.* is .*{type(value).__name__}", noise=value)
    for dtype in (ms.int32, ms.float64):
        refused(name, TypeError, "'original_samples' must be float32, float16 or bf", samples=right.astype(dtype))
    refused(name, ValueError, r"'original_samples' must have a batch axis .* shape \(\)", samples=tensor(1.0))
    refused(name, ValueError, r"'original_samples' must have a batch axis .* shape \(2,\)", samples=LEVELS)
    refused(name, ValueError, r"'original_samples' has shape \(0, .* needs one sample", samples=right[:0])
    refused(name, ValueError, "'noise' has shape", noise=right[:1])


@each_trainer
def test_levels_of_another_type_are_named(name):
    argument, known = TRAINERS[name][2:4]
    for value in (3, 0.5, known.asnumpy().tolist(), known.asnumpy()):
        refused(name, TypeError, f"'{argument}' must be a Tensor.* is .*{type(value).__name__}", levels=value)
    if known.dtype == ms.int32:
        refused(name, TypeError, f"'{argument}' must hold integers, but is Float32", levels=known.astype(ms.float32))
    else:
        for dtype in (ms.int32, ms.float64):
            refused(name, TypeError, f"'{argument}' must be float32", levels=known.astype(dtype))
    refused(name, ValueError, f"'{argument}' must ", levels=known.reshape((-1,))[:1].broadcast_to((7,)))


OUT_OF_RANGE = {
    "diffusion": ([-1, 1000], r"\[0, 999\]"),
    "flow": ([-0.1, 1.1, np.nan], r"\[0, 1\]"),
    "edm": ([-0.1, 0.0, np.inf, np.nan], r"\(0, inf\)"),
    "mean flow": ([-0.1, 1.1, np.nan], r"\[0, 1\]"),
    "tuning": ([0.001, np.inf, np.nan], r"\[0.002.*, inf\)"),
    "distillation": ([-1, 1000], r"\[0, 999\]"),
    "pyramid": ([-1, 1000], r"\[0, 999\]"),
}


@each_trainer
def test_levels_out_of_range_are_named(name):
    argument, known = TRAINERS[name][2:4]
    outside, interval = OUT_OF_RANGE[name]
    for value in outside:
        values = known.asnumpy().copy()
        values.flat[-1] = value
        refused(name, ValueError, f"'{argument}' must be in {interval}, but is {value}", levels=Tensor(values))


def test_levels_that_do_not_belong_together_are_named():
    for name, order in (("mean flow", "at most"), ("tuning", "below")):
        refused(name, ValueError, f"r {order} t, but sample 1 has t = 0.25", levels=tensor([[0.5, 0.25], [0.25, 0.5]]))
    refused("tuning", ValueError, "r below t, but sample 0 has", levels=tensor([[0.5, 0.5]] * 2))
    refused("distillation", ValueError, "'timesteps' must be some of the 50.* but has 20", levels=WHOLE * 0 + 20)
    steep = FlowMatchingTrainer(NeverCalled(), weighting="sigma_sqrt")
    with pytest.raises(ValueError, match=r"'sigmas' must be in \(0, 1\], but is 0.0"):
        steep.get_loss(X, X, LEVELS * 0)


@pytest.mark.parametrize("name", [name for name in TRAINERS if name not in ("distillation", "edm")])
def test_conditions_of_another_type_or_batch_are_named(name):
    right = TRAINERS[name][1]
    refused(name, TypeError, "'condition' must be a Tensor.*ndarray", following=(right.asnumpy(),))
    refused(name, ValueError, "'condition' has shape .* must be the batch of the samples", following=(right[:1],))
    if name in ("diffusion", "flow"):
        refused(name, TypeError, "'further' must be a Tensor.* is int", following=(right, 3))


class Shared(nn.Cell):
    """A model of which a condition is the same for all samples, and another one may be missing."""

    def construct(self, x, noise_level, field, labels):
        return x * field if labels is None else x


def test_a_preconditioned_model_takes_conditions_of_any_kind():
    for labels in (None, 3):
        assert np.isfinite(float(EDMTrainer(Shared()).get_loss(X, X, LEVELS, tensor(np.ones((1, 4))), labels)))


def test_conditions_and_scales_of_a_distillation_are_named():
    for condition, scale, error, message in (
        (CONDITION.asnumpy(), LEVELS, TypeError, "'condition' must be a Tensor"),
        (CONDITION, 1.0, TypeError, "'guidance_scale' must be a Tensor.* is float"),
        (CONDITION, LEVELS * np.nan, ValueError, r"'guidance_scale' must be in \[0, inf\), but is nan"),
    ):
        refused("distillation", error, message, following=(condition, scale))
    with pytest.raises(ValueError, match="'unconditional' must be finite"):
        distillation(np.nan)


def test_a_pyramid_names_samples_that_cannot_be_halved():
    refused("pyramid", ValueError, "'original_samples' must end in .* multiples of 8", samples=FIELDS[..., :6])


def test_a_graph_names_levels_of_another_type_too(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)  # A failed compilation leaves a file.
    trainer = TRAINERS["diffusion"][0]()

    @ms.jit
    def inside(samples, timesteps):
        return trainer.get_loss(samples, samples, timesteps)

    with pytest.raises(TypeError, match="'timesteps' must hold integers, but is Float32"):
        inside(X, LEVELS)


RNG = np.random.default_rng(0)
GRID = np.zeros((2, 1, 4, 4), np.float32)
FUNCTIONS = {
    "weighting": (lambda: training.flow_weights("cosine", LEVELS), ValueError, "'weighting' must be one of"),
    "levels": (lambda: training.flow_weights("none", [0.5]), TypeError, "'sigmas' must be an array.* is list"),
    "text": (lambda: training.signal_to_noise("a"), TypeError, "'alphas_cumprod' must hold numbers, but is 'a'"),
    "noiseless": (
        lambda: training.signal_to_noise([1.0]),
        ValueError,
        r"'alphas_cumprod' must be in .* is 1",
    ),
    "no alpha": (lambda: training.signal_to_noise([np.nan]), ValueError, r"'alphas_cumprod' must be in \[0, 1\).* nan"),
    "p2": (lambda: training.p2_weights([-3.0], 1, 1), ValueError, r"'snr' must be in \[0, inf\), but is -3.0"),
    "min snr": (lambda: training.min_snr_weights(np.nan, 5, "pred_x0"), ValueError, r"'snr' must be in .* is nan"),
    "average": (
        lambda: training.ExponentialMovingAverage(3),
        TypeError,
        "'parameters' must be Par.* holds int",
    ),
    "normal": (lambda: log_normal_sigmas(0, 3), TypeError, "'generator' must be a numpy.random.Generator.* is 0"),
    "uniform": (lambda: log_uniform_sigmas(None, 3), TypeError, "'generator' must be a numpy.random.Generator.* None"),
    "patch generator": (lambda: random_patches((2, 2), 0, GRID), TypeError, "'generator' must be a numpy.random.Gen"),
    "patch samples": (lambda: random_patches((2, 2), RNG, Tensor(GRID)), TypeError, "'samples' must be an array"),
    "patch field": (
        lambda: random_patches((2, 2), RNG, GRID, [1]),
        TypeError,
        r"'fields\[0\]' must be an .* list",
    ),
    "patch batch": (lambda: random_patches((2, 2), RNG, GRID, GRID[:1]), ValueError, r"'fields\[0\]' has shape \(1, 1"),
    "no patch": (lambda: random_patches((2, 2), RNG, GRID[:0]), ValueError, r"'samples' has shape \(0, 1, 4, 4\)"),
    "noise level": (
        lambda: EDMPreconditioning().training_noise([0.1, np.nan], (2, 3)),
        ValueError,
        r"'sigmas' must be in \[0, inf\), but is nan",
    ),
    "noise levels": (
        lambda: EDMPreconditioning().training_noise([0.1] * 3, (2, 4)),
        ValueError,
        r"'sigmas' must have the shape \(2,\) or \(2, 4\), but has \(3,\)",
    ),
    "ratios": (
        lambda: PyramidFlowTrainer(NeverCalled(), PyramidFlowMatchEulerDiscreteScheduler(), 3),
        TypeError,
        "'sample_ratios' must have one part for each stage, in a list, but is 3",
    ),
}


@pytest.mark.parametrize("call, error, message", FUNCTIONS.values(), ids=FUNCTIONS)
def test_bad_arguments_of_the_functions_of_training_are_named(call, error, message):
    with pytest.raises(error, match=message):
        call()
