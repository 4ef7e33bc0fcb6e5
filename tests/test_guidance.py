"""Classifier-free guidance: rescaling without a spread, intervals, and what stands for no condition."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn, ops
from mindspore import dtype as mstype

from mindscience_diffuser import (
    AutoGuidance,
    ClassifierFreeGuidance,
    DDIMScheduler,
    EDMEulerScheduler,
    EulerDiscreteScheduler,
    PatchedModel,
    Sampler,
    log_likelihood,
)
from mindscience_diffuser.examples.stirred_flow.measures import spectrum_error
from mindscience_diffuser.runs.evaluation.patterns import pattern_correlation

SHAPE = (2, 3, 4)
RNG = np.random.default_rng(0)


class Scaled(nn.Cell):
    """x times the condition, a number for each sample; with `constant` a constant in place of x."""

    def __init__(self, constant=None):
        super().__init__()
        self.constant = constant

    def construct(self, x, timestep, condition):
        if self.constant is not None:
            x = ops.ones_like(x) * self.constant
        return x * condition.astype(x.dtype).reshape((-1, 1, 1))


class Styled(nn.Cell):
    """Takes one condition (text, style), or both apart."""

    def construct(self, x, timestep, condition, style=None):
        text = condition[0] if style is None else condition
        return x * text.mean() if style is None else x * (text.mean() + style.mean())


def tensor(*shape):
    return Tensor(RNG.standard_normal(shape).astype(np.float32))


X, T, C = tensor(*SHAPE), Tensor([10, 20], mstype.int32), Tensor([[2.0], [3.0]])


@pytest.mark.parametrize("mode", [ms.GRAPH_MODE, ms.PYNATIVE_MODE])
@pytest.mark.parametrize("constant", [0.0, 0.1, -7.3])
@pytest.mark.parametrize("dtype", [mstype.float32, mstype.float16])
def test_rescaling_leaves_a_constant_output_as_it_is(mode, constant, dtype):
    ms.set_context(mode=mode)
    try:
        plain, rescaled = (
            ClassifierFreeGuidance(Scaled(constant), 5.0, Tensor([0.5]), r)(X.astype(dtype), T, C) for r in (0, 0.7)
        )
    finally:
        ms.set_context(mode=ms.PYNATIVE_MODE)
    np.testing.assert_allclose(rescaled.asnumpy(), plain.asnumpy(), rtol=1e-6 if dtype == mstype.float32 else 1e-3)


def test_gradient_through_a_rescaled_constant_output_is_finite():
    guidance = ClassifierFreeGuidance(Scaled(), 5.0, Tensor([0.5]), 0.7)
    gradient = ms.grad(lambda x: guidance(x, T, C).sum())(ops.ones_like(X))
    assert np.isfinite(gradient.asnumpy()).all()


def test_rescaling_of_large_half_precision_outputs_is_that_of_single_precision():
    x = (300 * X).astype(mstype.float16)
    guidance = ClassifierFreeGuidance(Scaled(), 5.0, Tensor([0.5]), 1.0)
    full, half = (guidance(given, T, C).asnumpy() for given in (x.astype(mstype.float32), x))
    np.testing.assert_allclose(half, full, rtol=3e-3, atol=0.5)
    spread = (full - full.mean((1, 2), keepdims=True)).std((1, 2))
    conditional = x.asnumpy().astype(np.float64) * C.asnumpy().reshape((2, 1, 1))
    np.testing.assert_allclose(spread, conditional.std((1, 2)), rtol=1e-4)


def test_figures_of_frames_without_a_pattern_are_finite():
    frame = RNG.standard_normal((1, 8, 8))
    for flat in (np.zeros((1, 8, 8)), np.full((1, 8, 8), 0.1)):
        assert (
            pattern_correlation(flat, frame) == pattern_correlation(frame, flat) == pattern_correlation(flat, flat) == 0
        )
        assert spectrum_error(flat * 0, flat * 0) == 0
        assert np.isfinite(spectrum_error(flat, frame))
    np.testing.assert_allclose(pattern_correlation(2 * frame + 5, frame), 1)


def test_interval_of_timesteps_may_be_negative():
    guidance = ClassifierFreeGuidance(Scaled(), 3.0, Tensor([1.0]), interval=(-0.5, 0.2))
    output = guidance(X, Tensor([-0.4, 0.3]), C).asnumpy()
    np.testing.assert_allclose(output[0], (1 + 3 * (2 - 1)) * X.asnumpy()[0], rtol=1e-6)
    np.testing.assert_allclose(output[1], 3 * X.asnumpy()[1], rtol=1e-6)


@pytest.mark.parametrize("method", ["loop", "step"])
@pytest.mark.parametrize(
    "scheduler",
    [
        DDIMScheduler(100, clip_sample=False),
        EulerDiscreteScheduler(100),
        EulerDiscreteScheduler(100, timestep_type="continuous", prediction_type="v_prediction", use_karras_sigmas=True),
        EDMEulerScheduler(),
    ],
    ids=["DDIM", "Euler", "continuous", "EDM"],
)
def test_interval_of_levels_is_one_of_the_timesteps_told_there(scheduler, method):
    """The same samples as with the interval of the timesteps that the steps at these levels tell the model."""
    scheduler.set_timesteps(6)
    plan = scheduler.plan_for()
    alpha, sigma = plan.level
    ratio = np.asarray(sigma / alpha)
    low, high = sorted([float(np.sqrt(ratio[1] * ratio[2])), float(np.sqrt(ratio[3] * ratio[4]))])
    told = sorted(float(t) for t, r in zip(plan.timesteps, ratio) if low <= r <= high)
    assert len(told) == 2
    noise = X * scheduler.init_noise_sigma
    by_time = ClassifierFreeGuidance(Scaled(), 2.0, Tensor([0.1]), interval=(told[0] - 1e-3, told[-1] + 1e-3))
    by_level = ClassifierFreeGuidance(Scaled(), 2.0, Tensor([0.1]), sigma_interval=(low, high))
    everywhere = ClassifierFreeGuidance(Scaled(), 2.0, Tensor([0.1]))
    condition = Tensor([[0.3], [0.2]])
    samples = [Sampler(g, scheduler, method)(noise, condition).asnumpy() for g in (by_level, by_time, everywhere)]
    np.testing.assert_allclose(samples[0], samples[1], rtol=1e-5, atol=1e-5)
    assert np.abs(samples[0] - samples[2]).max() > 1e-3


@pytest.mark.parametrize("name", ["interval", "sigma_interval"])
@pytest.mark.parametrize("interval", [(1,), 3.0, (2.0, 1.0), (1.0, 1.0), ("a", 1.0)])
def test_bad_interval_is_named(name, interval):
    with pytest.raises((TypeError, ValueError), match=f"'{name}'"):
        ClassifierFreeGuidance(Scaled(), 2.0, Tensor([1.0]), **{name: interval})


TEXT, STYLE = tensor(2, 5), tensor(2, 7)
ZERO_TEXT, ZERO_STYLE = (Tensor(np.zeros(width, np.float32)) for width in (5, 7))
MISFITS = {
    "pair for a tuple": ((ZERO_TEXT, ZERO_STYLE), ((TEXT, STYLE),), "2 entries.* 1 conditions"),
    "tensor for a tuple": (ZERO_TEXT, ((TEXT, STYLE),), "must be a tuple|is a Tensor, but .* a tuple"),
    "tuple for a tensor": (((ZERO_TEXT,),), (TEXT,), "is a tuple, but .* a Tensor"),
    "one for two": (ZERO_TEXT, (TEXT, STYLE), "1 entries.* 2 conditions"),
    "short tuple": (((ZERO_TEXT,),), ((TEXT, STYLE),), "1 entries.* 2 conditions"),
    "other width": (ZERO_STYLE, (TEXT,), r"\(7,\), which does not broadcast.*\(2, 5\)"),
    "more axes": (Tensor(np.zeros((3, 1, 5))), (TEXT,), "not broadcast"),
    "other batch": (Tensor(np.zeros((3, 5))), (TEXT,), r"\(3, 5\), which does not broadcast"),
}


@pytest.mark.parametrize("case", MISFITS)
def test_unconditional_that_does_not_stand_for_the_conditions_is_refused_before_compiling(case, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    unconditional, conditions, message = MISFITS[case]
    guidance = ClassifierFreeGuidance(Styled(), 2.0, unconditional)
    scheduler = DDIMScheduler(10)
    scheduler.set_timesteps(2)
    samplers = [Sampler(guidance, scheduler, method) for method in ("loop", "step")]
    calls = [lambda: guidance(X, T, *conditions), *(lambda s=s: s(X, *conditions) for s in samplers)]
    ms.set_context(mode=ms.GRAPH_MODE)
    try:
        for call in calls:
            with pytest.raises(ValueError, match=message):
                call()
    finally:
        ms.set_context(mode=ms.PYNATIVE_MODE)
    assert not list(tmp_path.iterdir())  # Nothing was compiled: the compiler leaves a file where it fails.


@pytest.mark.parametrize("case", ["pair for a tuple", "tensor for a tuple", "one for two", "more axes"])
def test_unconditional_that_does_not_fit_is_a_sentence_inside_graphs(case, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    unconditional, conditions, message = MISFITS[case]
    guidance = ClassifierFreeGuidance(Styled(), 2.0, unconditional)

    @ms.jit
    def inside(x, timestep, given):
        return guidance(x, timestep, *given)

    with pytest.raises(ValueError, match=message):
        inside(X, T, ms.mutable(conditions))


def test_tuple_conditions_are_guided_part_by_part():
    """The mean over a batch of texts and zeros is half the mean of the texts, for both halves of the doubled batch."""
    output = ClassifierFreeGuidance(Styled(), 3.0, ((ZERO_TEXT, ZERO_STYLE),))(X, T, (TEXT, STYLE))
    np.testing.assert_allclose(output.asnumpy(), X.asnumpy() * TEXT.asnumpy().mean() / 2, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("mode", [ms.GRAPH_MODE, ms.PYNATIVE_MODE])
@pytest.mark.parametrize("dtype", [ms.bool_, ms.int32, ms.float16, ms.bfloat16])
def test_conditions_of_every_dtype_are_guided(mode, dtype):
    """Samples with the condition 1 and 0, where 0 stands for none: 0 + 3 * (x - 0) and 0."""
    condition = Tensor(np.array([[1], [0]], np.float32)).astype(dtype)
    guidance = ClassifierFreeGuidance(Scaled(), 3.0, Tensor(np.zeros(1, np.float32)).astype(dtype))
    ms.set_context(mode=mode)
    try:
        output = guidance(X, T, condition).asnumpy()
    finally:
        ms.set_context(mode=ms.PYNATIVE_MODE)
    np.testing.assert_allclose(output, X.asnumpy() * np.reshape([3, 0], (2, 1, 1)), rtol=1e-5)


class Returning(nn.Cell):
    """Returns something else than one Tensor."""

    def __init__(self, kind):
        super().__init__()
        self.kind = kind

    def construct(self, x, timestep, *conditions):
        if self.kind == "None":
            return None
        return (x, x) if self.kind == "tuple" else [x]


@pytest.mark.parametrize("kind", ["tuple", "list", "None"])
@pytest.mark.parametrize("caller", ["sampler", "classifier-free", "autoguidance", "patches", "likelihood"])
def test_model_that_returns_no_single_tensor_is_told_what_to_return(caller, kind):
    """By whatever calls the model, before its graph runs."""
    model, x = Returning(kind), Tensor(np.zeros((2, 1, 4), np.float32))
    scheduler = DDIMScheduler(clip_sample=False)
    scheduler.set_timesteps(2)
    condition = Tensor(np.zeros((2, 1), np.float32))
    calls = {
        "sampler": lambda: Sampler(model, scheduler)(x),
        "classifier-free": lambda: ClassifierFreeGuidance(model, 2.0, condition)(x, Tensor([1, 1]), condition),
        "autoguidance": lambda: AutoGuidance(model, Returning(kind), 2.0)(x, Tensor([1, 1])),
        "patches": lambda: PatchedModel(model, (2,), 1, chunk=1, positions=False)(x, Tensor([1, 1])),
        "likelihood": lambda: log_likelihood(model, scheduler, x),
    }
    with pytest.raises(TypeError, match="must be one Tensor, but the model returns (None|[12] values)"):
        calls[caller]()
