"""The kin of classifier-free guidance against the formulas of their papers, and the calls that an interval saves."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, Tensor, nn, ops

import mindscience_diffuser as md
from mindscience_diffuser.export import export_mindir, load_mindir

RNG = np.random.default_rng(0)
SHAPE = (2, 3, 4)
SCALE = 2.5


def array(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


class Model(nn.Cell):
    """A smooth function of the sample, the timestep and a condition (B, 4), which counts the samples that it sees."""

    def __init__(self, weight=None):
        super().__init__()
        self.weight = Parameter(Tensor(array(4, 4) if weight is None else weight), name="weight")
        self.seen = Parameter(Tensor(0, ms.int32), name="seen", requires_grad=False)

    def construct(self, x, timestep, condition):
        ops.assign_add(self.seen, ops.ones_like(self.seen) * x.shape[0])
        level = (0.5 + timestep.astype(ms.float32) / 2000).reshape((-1, 1, 1)).astype(x.dtype)
        mixed = ops.matmul(x, self.weight.astype(x.dtype)) + condition.expand_dims(1)
        return level * ops.tanh(mixed)

    def value(self, x, t, condition):
        return (0.5 + t / 2000) * np.tanh(x @ self.weight.asnumpy().astype(np.float64) + condition[:, None])


NOISE, CONDITION, NONE = array(*SHAPE), array(2, 4), array(4)


def scheduler_of(kind=md.DDIMScheduler, steps=5, **options):
    scheduler = kind(**options)
    scheduler.set_timesteps(steps)
    return scheduler


def ddim(**options):
    return scheduler_of(clip_sample=False, **options)


def flow():
    return scheduler_of(md.FlowMatchEulerDiscreteScheduler)


def lengths(x):
    return np.sqrt((x**2).sum((1, 2), keepdims=True))


def adaptive(strong, weak, plan, i, x):
    weights = {name: np.broadcast_to(w, len(plan))[i] for name, w in plan.x0.items()}
    clean = [weights["sample"] * x + weights["output"] * out for out in (strong, weak)]
    change = clean[0] - clean[1]
    change = change * np.minimum(1, 0.7 / lengths(change))
    unit = clean[0] / lengths(clean[0])
    parallel = (change * unit).sum((1, 2), keepdims=True) * unit
    guided = clean[0] + (SCALE - 1) * (change - parallel + 0.3 * parallel)
    return (guided - weights["sample"] * x) / weights["output"]


def tangential(strong, weak, plan, i, x):
    del plan, i, x
    projected = []
    for one, other in zip(strong, weak):
        _, _, directions = np.linalg.svd(np.stack([one.ravel(), other.ravel()]), full_matrices=False)
        projected.append(((other.ravel() @ directions[0]) * directions[0]).reshape(other.shape))
    return projected + SCALE * (strong - projected)


def zero_star(strong, weak, plan, i, x):
    del plan, x
    fitted = (strong * weak).sum((1, 2), keepdims=True) / (weak**2).sum((1, 2), keepdims=True) * weak
    return (i >= 2) * (fitted + SCALE * (strong - fitted))


def trajectory(model, scheduler, combine):
    """The trajectory of guided outputs, in float64 on the host."""
    plan, x = scheduler.plan_for(), NOISE.astype(np.float64)
    for i, t in enumerate(plan.timesteps.astype(np.float64)):
        strong, weak = (model.value(x, t, c) for c in (CONDITION, np.broadcast_to(NONE, CONDITION.shape)))
        x = plan.run(i, sample=x, output=combine(strong, weak, plan, i, x))["sample"]
    return x


def manifold(model, scheduler):
    """DDIM of CFG++, algorithm 2 of arXiv:2406.08070: the noise is that of the unconditional prediction."""
    plan, x = scheduler.plan_for(), NOISE.astype(np.float64)
    levels = zip(*plan.level, *plan.next_level, plan.timesteps.astype(np.float64))
    for alpha, sigma, alpha_next, sigma_next, t in levels:
        strong, weak = (model.value(x, t, c) for c in (CONDITION, np.broadcast_to(NONE, CONDITION.shape)))
        guided = weak + 0.6 * (strong - weak)
        x = alpha_next * (x - sigma * guided) / alpha + sigma_next * weak
    return x


CASES = {
    "AdaptiveProjectedGuidance": (adaptive, SCALE, {"eta": 0.3, "norm_threshold": 0.7}),
    "TangentialClassifierFreeGuidance": (tangential, SCALE, {}),
    "ClassifierFreeZeroStarGuidance": (zero_star, SCALE, {"zero_init_steps": 2}),
    "ManifoldConstrainedGuidance": (manifold, 0.6, {}),
}


@pytest.mark.parametrize("method", ["loop", "unrolled"])
@pytest.mark.parametrize("name", CASES)
def test_guidance_is_that_of_its_paper(name, method):
    combine, scale, options = CASES[name]
    model, scheduler = Model(), flow() if combine is zero_star else ddim()
    guided = getattr(md, name)(model, scale, Tensor(NONE), **options)
    sample = md.Sampler(guided, scheduler, method)(Tensor(NOISE), Tensor(CONDITION)).asnumpy()
    expected = manifold(model, scheduler) if combine is manifold else trajectory(model, scheduler, combine)
    np.testing.assert_allclose(sample, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


STAYING = {
    "DDIMScheduler": {"set_alpha_to_one": False},
    "DPMSolverMultistepScheduler": {"final_sigmas_type": "sigma_min", "use_karras_sigmas": True},
    "DPMSolverMultistepInverseScheduler": {"use_karras_sigmas": True},
    "DDIMInverseScheduler": {},
}
CORRECTING = ("HeunDiscreteScheduler", "FlowMatchHeunDiscreteScheduler", "EDMHeunScheduler", "PNDMScheduler")


@pytest.mark.parametrize("name", STAYING)
@pytest.mark.parametrize("kind", ["ManifoldConstrainedGuidance", "AdaptiveProjectedGuidance"])
def test_steps_that_stay_at_their_level_or_begin_without_noise_are_finite(name, kind):
    scheduler = scheduler_of(getattr(md, name), **STAYING[name])
    guided = getattr(md, kind)(Model(), 0.6, Tensor(NONE))
    assert np.all(np.isfinite(md.Sampler(guided, scheduler)(Tensor(NOISE), Tensor(CONDITION)).asnumpy()))


@pytest.mark.parametrize("name", CORRECTING)
def test_manifold_guidance_is_refused_where_a_model_is_called_at_the_end_of_a_step(name):
    guided = md.ManifoldConstrainedGuidance(Model(), 0.6, Tensor(NONE))
    with pytest.raises(ValueError, match=f"'scheduler' is {name}, whose row 1 calls the model at the level where"):
        md.Sampler(guided, scheduler_of(getattr(md, name)))


def test_a_schedule_that_manifold_guidance_cannot_follow_is_refused():
    scheduler = md.UniPCMultistepScheduler(use_karras_sigmas=True, final_sigmas_type="sigma_min")
    scheduler.set_timesteps(sigmas=[8.0, 2.0, 0.5, 0.1])
    sampler = md.Sampler(md.ManifoldConstrainedGuidance(Model(), 0.6, Tensor(NONE)), scheduler)
    with pytest.raises(ValueError, match="'scheduler' is UniPCMultistepScheduler, whose row 5"):
        scheduler.set_timesteps(6)
    assert len(sampler.plan) == len(scheduler.timesteps) == 3


@pytest.mark.parametrize("name", CASES)
def test_half_precision_is_finite_and_near(name):
    combine, scale, options = CASES[name]
    model = Model()
    half = {"compute_dtype": ms.float16}
    schedulers = [
        scheduler_of(md.FlowMatchEulerDiscreteScheduler, **dtype)
        if combine is zero_star
        else ddim(rescale_betas_zero_snr=True, prediction_type="v_prediction", timestep_spacing="trailing", **dtype)
        for dtype in ({}, half)
    ]
    samples = []
    for scheduler, dtype in zip(schedulers, (ms.float32, ms.float16)):
        guided = getattr(md, name)(model, scale, Tensor(NONE), **options)
        given = (Tensor(value).astype(dtype) for value in (NOISE, CONDITION))
        samples.append(md.Sampler(guided, scheduler)(*given).asnumpy().astype(np.float64))
    assert np.linalg.norm(samples[1] - samples[0]) <= 0.02 * np.linalg.norm(samples[0])


def test_projection_with_its_whole_parallel_part_is_classifier_free_guidance():
    model, scheduler = Model(), ddim()
    kinds = (md.AdaptiveProjectedGuidance, {"eta": 1.0}), (md.ClassifierFreeGuidance, {})
    samples = [
        md.Sampler(kind(model, SCALE, Tensor(NONE), **options), scheduler)(Tensor(NOISE), Tensor(CONDITION)).asnumpy()
        for kind, options in kinds
    ]
    np.testing.assert_allclose(*samples, rtol=1e-4, atol=1e-5)


def test_a_model_is_guided_by_a_worse_one():
    strong, weak, scheduler = Model(), Model(), ddim()
    with pytest.raises(
        ValueError, match="'guiding_model' and 'model' both have a parameter named 'weight'.*update_parameters_name"
    ):
        md.AutoGuidance(strong, weak, SCALE)
    weak.update_parameters_name("guiding.")
    guided = md.AutoGuidance(strong, weak, SCALE)
    sample = md.Sampler(guided, scheduler)(Tensor(NOISE), Tensor(CONDITION)).asnumpy()
    plan, x = scheduler.plan_for(), NOISE.astype(np.float64)
    for i, t in enumerate(plan.timesteps.astype(np.float64)):
        good, bad = (model.value(x, t, CONDITION) for model in (strong, weak))
        x = plan.run(i, sample=x, output=bad + SCALE * (good - bad))["sample"]
    np.testing.assert_allclose(sample, x, rtol=1e-4, atol=1e-4 * np.abs(x).max())
    with pytest.raises(TypeError, match="'guiding_model' must be an nn.Cell, but is float"):
        md.AutoGuidance(strong, 2.0, SCALE)


@pytest.mark.parametrize("bounds", [{"interval": (150, 650)}, {"sigma_interval": (0.5, 3.0)}], ids=str)
@pytest.mark.parametrize("method", ["loop", "unrolled", "step"])
def test_outside_the_interval_the_model_is_called_once(method, bounds):
    model, scheduler = Model(), ddim()
    plan = scheduler.plan_for()
    values = plan.timesteps if "interval" in bounds else plan.level[1] / plan.level[0]
    low, high = next(iter(bounds.values()))
    inside = int(((values >= low) & (values <= high)).sum())
    assert 0 < inside < len(plan)
    guided = md.ClassifierFreeGuidance(model, SCALE, Tensor(NONE), **bounds)
    sampler = md.Sampler(guided, scheduler, method)
    sampler(Tensor(NOISE), Tensor(CONDITION))
    before = int(model.seen.asnumpy())
    sampler(Tensor(NOISE), Tensor(CONDITION))
    assert int(model.seen.asnumpy()) - before == SHAPE[0] * (len(plan) + inside)


def test_the_exported_file_keeps_the_interval(tmp_path):
    class Still(Model):
        def construct(self, x, timestep, condition):
            return ops.tanh(ops.matmul(x, self.weight) + condition.expand_dims(1))

    scheduler = ddim()
    guided = md.ClassifierFreeGuidance(Still(), SCALE, Tensor(NONE), interval=(150, 650))
    sampler = md.Sampler(guided, scheduler)
    expected = sampler(Tensor(NOISE), Tensor(CONDITION)).asnumpy()
    path = export_mindir(sampler, tmp_path / "guided.mindir", Tensor(NOISE), Tensor(CONDITION))
    loaded = load_mindir(path)
    np.testing.assert_allclose(loaded(Tensor(NOISE), Tensor(CONDITION)).asnumpy(), expected, atol=1e-6)


@pytest.mark.parametrize(
    "kind, options, error, argument",
    [
        (md.AdaptiveProjectedGuidance, {"eta": -1.0}, ValueError, "eta"),
        (md.AdaptiveProjectedGuidance, {"norm_threshold": 0.0}, ValueError, "norm_threshold"),
        (md.ClassifierFreeZeroStarGuidance, {"zero_init_steps": 1.5}, TypeError, "zero_init_steps"),
        (md.ClassifierFreeZeroStarGuidance, {"zero_init_steps": -1}, ValueError, "zero_init_steps"),
    ],
)
def test_a_bad_argument_is_named(kind, options, error, argument):
    with pytest.raises(error, match=f"'{argument}'"):
        kind(Model(), SCALE, Tensor(NONE), **options)


def test_guidance_that_needs_the_level_says_so_without_a_sampler():
    guided = md.AdaptiveProjectedGuidance(Model(), SCALE, Tensor(NONE))
    with pytest.raises(ValueError, match="needs the noise level, which only a Sampler knows"):
        guided(Tensor(NOISE), Tensor([10, 20]), Tensor(CONDITION))


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (md.AdaptiveProjectedGuidance, {"norm_threshold": np.inf}),
        (md.TangentialClassifierFreeGuidance, {}),
        (md.ClassifierFreeZeroStarGuidance, {}),
    ],
)
@pytest.mark.parametrize("mode", [ms.PYNATIVE_MODE, ms.GRAPH_MODE])
def test_predictions_of_small_numbers_are_guided_like_those_of_large_ones(kind, options, mode):
    guidance = kind(Model(), SCALE, Tensor(NONE), **options)
    level = tuple(Tensor(value, ms.float32) for value in (1.0, -0.5, 0.8, 0.6, 0.9, 0.4, 1.0, 3.0))
    strong, weak = array(*SHAPE), array(*SHAPE)

    class Steered(nn.Cell):
        def __init__(self):
            super().__init__()
            self.guidance = guidance

        def construct(self, *inputs):
            return self.guidance.steered(inputs[:8], *inputs[8:])

    def steered(unit):
        inputs = (Tensor(np.float32(unit) * values) for values in (NOISE, strong, weak))
        return Steered()(*level, *inputs, Tensor(SCALE, ms.float32)).asnumpy()

    ms.set_context(mode=mode)
    try:
        np.testing.assert_allclose(steered(1e-6) * 1e6, steered(1.0), rtol=1e-4, atol=1e-5)
        assert np.isfinite(steered(0.0)).all()
    finally:
        ms.set_context(mode=ms.PYNATIVE_MODE)
