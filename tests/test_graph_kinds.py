"""What a compiled graph must never get silently wrong: views, gradients, attributes, weights, names, seeds."""

import copy
import functools

import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, Tensor, nn, ops

import mindscience_diffuser as md
from mindscience_diffuser.cells import PublicCell
from mindscience_diffuser.sampling import DiffusionSampler, DiffusionSamplerConfig, rigid_motion
from mindscience_diffuser.schedulers.base.scheduler import schedulers_by_name
from mindscience_diffuser.schedulers.diffusion.repaint import MaskedStep
from mindscience_diffuser.schedulers.flow.flow_match_euler import PerTokenStep
from mindscience_diffuser.step import CompiledStep

RNG = np.random.default_rng(0)
METHODS = ("loop", "unrolled", "step")
SHAPE = (2, 3, 4, 4)


def random(*shape):
    return Tensor(RNG.standard_normal(shape).astype(np.float32))


def view_of(value):
    """A view with strides and an offset whose values are those of `value`."""
    big = RNG.standard_normal((value.shape[0] + 1, *value.shape[1:-1], 2 * value.shape[-1])).astype(np.float32)
    big[1:, ..., value.shape[-1] :] = value.asnumpy()
    return Tensor(big)[1:, ..., value.shape[-1] :]


class Model(nn.Cell):
    def __init__(self):
        super().__init__()
        self.dense = nn.Dense(4, 4)

    def construct(self, x, timestep, *conditions):
        output = 0.3 * self.dense(x)
        for condition in conditions:
            output = output + condition
        return output


class Wider(nn.Cell):
    """A model that answers otherwise in training."""

    def construct(self, x, timestep):
        return 0.6 * x if self.training else 0.3 * x


@functools.cache
def scheduled(name, steps=4):
    """A scheduler that limits no clean sample: a limit has kinks, where differences are no gradients."""
    kind = schedulers_by_name()[name]
    scheduler = kind(**{limit: False for limit in ("clip_sample", "clip_denoised") if limit in kind.arguments})
    scheduler.set_timesteps(steps)
    return scheduler


# --- views ---


@pytest.mark.parametrize("outer", [False, True], ids=["eager", "inside a graph"])
@pytest.mark.parametrize("method", METHODS)
def test_views_are_read_as_their_values(method, outer):
    if outer and method == "step":
        pytest.skip("no single graph")
    sampler = md.Sampler(Model(), scheduled("DDPMScheduler"), method)
    noise, fresh, condition = random(*SHAPE), random(4, *SHAPE), random(*SHAPE)
    expected = sampler(noise, condition, step_noise=fresh).asnumpy()
    noise, fresh, condition = view_of(noise), view_of(fresh), view_of(condition)
    if not outer:
        result = sampler(noise, condition, step_noise=fresh)
    else:
        result = Outer(sampler)(noise, fresh, condition)
    np.testing.assert_allclose(result.asnumpy(), expected, atol=1e-5)


def steps_from_python():
    """By the name of a step: where its graph is entered, and a call of the step for samples and other values."""

    def per_token(x, other):
        levels = view_of(Tensor(np.full((2, 3), 500.0, np.float32)))
        return scheduled("FlowMatchEulerDiscreteScheduler").step(other, x, 1000.0, per_token_timesteps=levels)

    def repaint(x, other):
        scheduler = md.RePaintScheduler()
        scheduler.set_timesteps(4)
        mask = view_of(Tensor(np.ones(x.shape, np.float32)))
        return scheduler.step(other, x, scheduler.timesteps[0], x, mask, noise=other)

    def tokens(x, other):
        scheduler = md.DiscreteDDIMScheduler(4)
        return scheduler.step(other.reshape((2, 12, 4)), ops.zeros((3, 12), ms.int32)[1:], 0, generator=0)

    def rigid(x, other):
        x, other = x.reshape((2, -1, 3)), other.reshape((2, -1, 3))
        return md.RigidMotion().apply(view_of(x), np.zeros((2, 4, 3)), noise=view_of(other), noise_std=1.0)

    return {
        "plan": (CompiledStep, "compiled", lambda x, other: scheduled("DDIMScheduler").step(other, x, 750)),
        "per token": (PerTokenStep, "__call__", per_token),
        "repaint": (MaskedStep, "__call__", repaint),
        "tokens": (CompiledStep, "compiled", tokens),
        "rigid motion": (rigid_motion, "_apply", rigid),
    }


@pytest.mark.parametrize("name", steps_from_python())
def test_no_graph_of_a_step_from_python_is_given_a_view(name, monkeypatch):
    """MindSpore 2.7 would read all later values of that input as it has read the view."""
    owner, entry, step = steps_from_python()[name]
    given = []

    def entered(*values):
        given.extend(values)
        raise InterruptedError

    monkeypatch.setattr(owner, entry, entered)
    with pytest.raises(InterruptedError):
        step(view_of(random(*SHAPE)), view_of(random(*SHAPE)))
    tensors = [value for value in given if isinstance(value, Tensor)]
    assert len(tensors) >= 3
    assert all(value.is_contiguous() and value.storage_offset() == 0 for value in tensors)


class Outer(nn.Cell):
    """A cell of a user around one of ours."""

    def __init__(self, cell):
        super().__init__(auto_prefix=False)
        self.cell = cell

    @ms.jit
    def construct(self, *inputs):
        return self.cell(*inputs)


class Denoiser(nn.Cell):
    def construct(self, x, sigma, obs, act):
        return 0.5 * x + 0.1 * obs[:, :3]


def test_views_of_frames_are_read_as_their_values():
    config = DiffusionSamplerConfig(num_steps_denoising=3, s_churn=1.0)
    sampler = DiffusionSampler(Denoiser(), config)
    obs, act, noise, fresh = random(2, 2, 3, 4, 4), ops.zeros((2, 2)), random(*SHAPE), random(3, *SHAPE)
    expected = sampler(obs, act, noise, fresh).asnumpy()
    np.testing.assert_allclose(
        sampler(view_of(obs), act, view_of(noise), view_of(fresh)).asnumpy(), expected, atol=1e-6
    )
    inside = Outer(sampler)(view_of(obs), act, view_of(noise), view_of(fresh))
    np.testing.assert_allclose(inside.asnumpy(), expected, atol=1e-6)


# --- gradients ---


def steps_in_graphs():
    """Names of the schedulers whose `step` can be called inside a graph with these arguments alone."""
    names = []
    for name, kind in schedulers_by_name().items():
        if name.startswith(("RePaint", "Pyramid")):
            continue
        scheduler = kind()
        if getattr(scheduler, "remembered", 0) == 0 and scheduler.order == 1:
            names.append(name)
    return names


@pytest.mark.parametrize("name", steps_in_graphs())
def test_gradients_pass_through_both_results_of_a_step_inside_a_graph(name):
    scheduler = scheduled(name)
    t = Tensor(scheduler.timesteps[1])
    x, output, noise = random(2, 3), random(2, 3), random(2, 3)
    stochastic = scheduler.plan.stochastic

    def loss(x, output):
        if stochastic:
            results = scheduler.step(output, x, t, noise=noise, return_dict=True)
        else:
            results = scheduler.step(output, x, t, return_dict=True)
        return (results[0] + 2 * results[-1]).sum()

    of_x, of_output = ms.jit(ms.grad(loss, (0, 1)))(x, output)
    # Eager steps are linear in what they take unless the clean sample is limited: differences are then exact.
    scale = 1e-2
    arguments = {"noise": noise} if stochastic else {}

    def value(x, output):
        results = scheduler.step(output, x, scheduler.timesteps[1].item(), return_dict=True, **arguments)
        return float((results[0].asnumpy() + 2.0 * results[-1].asnumpy()).sum(dtype=np.float64))

    for gradient, dx, dout in ((of_x, 1, 0), (of_output, 0, 1)):
        along = random(2, 3)
        after = value(x + scale * dx * along, output + scale * dout * along)
        before = value(x - scale * dx * along, output - scale * dout * along)
        expected = float((gradient * along).asnumpy().sum())
        assert (after - before) / (2 * scale) == pytest.approx(expected, rel=2e-2, abs=2e-2)


@pytest.mark.parametrize("method", ["loop", "unrolled"])
def test_gradients_of_a_trajectory_are_those_of_its_steps(method):
    scheduler, model = scheduled("DDIMScheduler"), Model()
    sampler = md.Sampler(model, scheduler, method)
    noise, along = random(*SHAPE), random(*SHAPE)

    def loss(noise):
        return (sampler(noise) * along).sum()

    def by_hand(noise):
        x = noise
        for t in scheduler.timesteps:
            x = scheduler.step(model(x, Tensor([t] * 2)), x, Tensor(t))
        return (x * along).sum()

    expected = ms.jit(ms.grad(by_hand))(noise).asnumpy()
    np.testing.assert_allclose(ms.jit(ms.grad(loss))(noise).asnumpy(), expected, rtol=1e-3, atol=1e-4)


@pytest.fixture(params=[ms.PYNATIVE_MODE, ms.GRAPH_MODE], ids=["pynative", "graph"])
def mode(request):
    before = ms.get_context("mode")
    ms.set_context(mode=request.param)
    yield request.param
    ms.set_context(mode=before)


EACH_ONCE = [("loop", ms.PYNATIVE_MODE), ("loop", ms.GRAPH_MODE), ("unrolled", ms.GRAPH_MODE)]
"""Methods of the Sampler and modes, without what takes long and shows nothing more."""


def assert_gradients_are_differences(function, arguments, step=1e-2):
    """Compares the compiled gradient of a sum of products, by every argument, with central differences."""
    along = random(*function(*arguments).shape)

    class Loss(nn.Cell):
        def construct(self, *arguments):
            return (function(*arguments) * along).sum()

    loss, positions = Loss(), tuple(range(len(arguments)))
    gradients = ms.jit(ms.grad(loss, positions))(*arguments)
    for position, gradient in enumerate(gradients if isinstance(gradients, tuple) else (gradients,)):
        direction = random(*arguments[position].shape)

        def value(sign, position=position, direction=direction):
            moved = list(arguments)
            moved[position] = moved[position] + sign * step * direction
            return (function(*moved).asnumpy().astype(np.float64) * along.asnumpy()).sum()

        expected = (gradient * direction).asnumpy().sum(dtype=np.float64)
        assert (value(1) - value(-1)) / (2 * step) == pytest.approx(expected, rel=2e-2, abs=2e-2)
        assert abs(expected) > 1e-3


@pytest.mark.parametrize("name", ["DDIMScheduler", "EulerDiscreteScheduler", "FlowMatchEulerDiscreteScheduler"])
def test_gradients_of_added_noise(name, mode):
    scheduler = scheduled(name)
    t = Tensor(scheduler.timesteps[[1, 2]])

    def noised(x0, noise):
        return scheduler.add_noise(x0, noise, t)

    assert_gradients_are_differences(noised, (random(*SHAPE), random(*SHAPE)))


@pytest.mark.parametrize("method, mode", EACH_ONCE, indirect=["mode"])
def test_gradients_of_guidance(method, mode):
    model = Model()
    guided = md.ClassifierFreeGuidance(model, 3.0, ops.zeros(SHAPE[1:]), guidance_rescale=0.5)
    sampler = md.Sampler(guided, scheduled("DDIMScheduler"), method)
    assert_gradients_are_differences(sampler, (random(*SHAPE), random(*SHAPE)))


@pytest.mark.parametrize("method, mode", EACH_ONCE, indirect=["mode"])
def test_gradients_by_the_weights(method, mode):
    model, noise, along = Model(), random(*SHAPE), random(*SHAPE)
    sampler, weight = md.Sampler(model, scheduled("DDIMScheduler"), method), model.dense.weight

    def loss(noise):
        return (sampler(noise) * along).sum()

    gradient = ms.jit(ms.grad(loss, None, [weight]))(noise)[0]
    direction, step, before = random(4, 4), 1e-2, weight.value().copy()
    ends = []
    for sign in (1, -1):
        weight.set_data(before + sign * step * direction)
        ends.append((sampler(noise).asnumpy().astype(np.float64) * along.asnumpy()).sum())
    expected = (gradient * direction).asnumpy().sum(dtype=np.float64)
    assert (ends[0] - ends[1]) / (2 * step) == pytest.approx(expected, rel=2e-2, abs=2e-2)


# --- attributes ---


def public_cells():
    """One of each public cell."""
    model, scheduler = Model(), scheduled("DDIMScheduler")
    transformer = md.DiffusionTransformer(4, 4, 8, 1, 2)
    trained = md.ConditionDiffusionTransformer(4, 4, 3, 8, 1, 2)
    return [
        *(kind() for kind in schedulers_by_name().values()),
        md.Sampler(model, scheduler),
        DiffusionSampler(Denoiser(), DiffusionSamplerConfig(num_steps_denoising=2)),
        md.ClassifierFreeGuidance(model, 2.0, ops.zeros(SHAPE[1:])),
        md.DistilledGuidance(model, 2.0),
        md.AdaptiveProjectedGuidance(model, 2.0, ops.zeros(SHAPE[1:])),
        md.TangentialClassifierFreeGuidance(model, 2.0, ops.zeros(SHAPE[1:])),
        md.ClassifierFreeZeroStarGuidance(model, 2.0, ops.zeros(SHAPE[1:])),
        md.ManifoldConstrainedGuidance(model, 0.5, ops.zeros(SHAPE[1:])),
        md.AutoGuidance(model, md.UNet(1, 1, hidden_channels=4, multipliers=(1,), blocks=1), 2.0),
        md.PosteriorGuidance(model, scheduler, md.Coarsen(2), 0.1),
        md.Mask([1, 0]),
        md.Blur(1.0, (4, 4)),
        md.Fourier(np.ones((4, 4))),
        md.Stack([md.Coarsen(2)], SHAPE[1:]),
        md.DiffusionTrainer(trained, scheduler),
        md.FlowMatchingTrainer(trained),
        md.EDMTrainer(model),
        transformer,
        trained,
        md.UNet(1, 1, hidden_channels=4, multipliers=(1,), blocks=1),
    ]


def held(cell):
    """Returns the attributes that a cell has of its own, by their names."""
    return {**vars(cell), **cell._params, **cell._cells}


@pytest.mark.parametrize("cell", public_cells(), ids=lambda cell: type(cell).__name__)
def test_a_public_attribute_takes_effect_or_is_refused(cell):
    assert isinstance(cell, PublicCell)
    assert cell._locked
    for name in cell._locked:
        if isinstance(getattr(cell, name, None), Parameter):
            continue
        before = held(cell).get(name)
        with pytest.raises(AttributeError, match=f"'{name}' of {type(cell).__name__}"):
            setattr(cell, name, object())
        assert held(cell).get(name) is before
    cell.anything_else = 3  # What the constructor does not know is the user's.


@pytest.mark.parametrize("method", METHODS)
def test_guidance_that_is_changed_takes_effect_in_compiled_graphs(method):
    model, scheduler = Model(), scheduled("DDIMScheduler")
    noise, condition = random(*SHAPE), random(*SHAPE)

    def fresh(scale, interval):
        guided = md.ClassifierFreeGuidance(model, scale, ops.zeros(SHAPE[1:]), interval=interval)
        return guided, md.Sampler(guided, scheduler, method)

    guided, sampler = fresh(1.5, None)
    sampler(noise, condition)
    guided.guidance_scale = 4.0
    expected = fresh(4.0, None)[1](noise, condition).asnumpy()
    np.testing.assert_allclose(sampler(noise, condition).asnumpy(), expected, rtol=1e-5, atol=1e-6)
    guided.interval = (300, 600)
    inside = fresh(4.0, (300, 600))[1](noise, condition).asnumpy()
    np.testing.assert_allclose(sampler(noise, condition).asnumpy(), inside, rtol=1e-5, atol=1e-6)
    assert np.abs(inside - expected).max() > 1e-3
    for name, value in (("guidance_scale", -1), ("interval", (3, 2)), ("interval", 5)):
        with pytest.raises(ValueError, match=f"'{name}'"):
            setattr(guided, name, value)


# --- weights and names ---


@pytest.mark.parametrize("method", METHODS)
def test_weights_that_are_loaded_later_are_used(method):
    model, scheduler = Model(), scheduled("DDIMScheduler")
    sampler, noise = md.Sampler(model, scheduler, method), random(*SHAPE)
    sampler(noise)
    for replace in ("set_data", "load_param_into_net", "copy_"):
        value = random(4, 4)
        if replace == "set_data":
            model.dense.weight.set_data(value)
        elif replace == "copy_":
            model.dense.weight.copy_(value)
        else:
            ms.load_param_into_net(model, {"dense.weight": Parameter(value, name="dense.weight")})
        expected = md.Sampler(model, scheduler, "step")(noise).asnumpy()
        np.testing.assert_allclose(sampler(noise).asnumpy(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_a_model_that_goes_to_training_and_back_is_followed(method):
    model = Wider().set_train(False)
    sampler, noise = md.Sampler(model, scheduled("DDIMScheduler"), method), random(*SHAPE)
    still = sampler(noise).asnumpy()
    model.set_train(True)
    assert np.abs(sampler(noise).asnumpy() - still).max() > 1e-2
    model.set_train(False)
    np.testing.assert_array_equal(sampler(noise).asnumpy(), still)


@pytest.mark.parametrize("method", METHODS)
def test_gradients_of_a_call_from_python(method):
    model, noise = Model(), random(*SHAPE)
    sampler = md.Sampler(model, scheduled("DDIMScheduler"), method)

    def loss(noise):
        return sampler(noise).sum()

    sampler(noise)
    value, gradient = ms.value_and_grad(loss)(noise)
    np.testing.assert_allclose(value.asnumpy(), sampler(noise).asnumpy().sum(), rtol=1e-5)
    expected = ms.jit(ms.grad(loss))(noise)
    np.testing.assert_allclose(gradient.asnumpy(), expected.asnumpy(), rtol=1e-4, atol=1e-6)
    assert np.abs(gradient.asnumpy()).max() > 1e-2


@pytest.mark.parametrize("method", ["loop", "step"])  # Unrolled, MindSpore has no kernel for it on CPU.
def test_gradients_by_the_noise_of_the_steps(method):
    sampler = md.Sampler(Model(), scheduled("DDPMScheduler"), method)
    noise, fresh = random(*SHAPE), random(len(sampler.plan), *SHAPE)

    def loss(fresh):
        return (sampler(noise, step_noise=fresh) ** 2).sum()

    gradient = ms.grad(loss)(fresh).asnumpy()
    for k in range(len(sampler.plan) - 1):
        direction = np.zeros(fresh.shape, np.float32)
        direction[k] = np.sign(gradient[k])
        ends = [float(loss(fresh + Tensor(step * direction)).asnumpy()) for step in (1e-2, -1e-2)]
        expected = (ends[0] - ends[1]) / 2e-2
        assert expected > 1e-3
        assert np.abs(gradient[k]).sum() == pytest.approx(expected, rel=2e-2)


def test_a_copy_of_a_sampler_that_was_called_is_a_sampler_of_its_own():
    sampler, noise = md.Sampler(Model(), scheduled("DDIMScheduler")), random(*SHAPE)
    before = sampler(noise).asnumpy()
    other = copy.deepcopy(sampler)
    other.scheduler.set_timesteps(3)
    assert np.abs(other(noise).asnumpy() - before).max() > 1e-3
    np.testing.assert_array_equal(sampler(noise).asnumpy(), before)


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda model, scheduler: md.Sampler(model, scheduler),
        lambda model, scheduler: md.Sampler(md.ClassifierFreeGuidance(model, 2.0, ops.zeros(4)), scheduler),
        lambda model, scheduler: md.Sampler(md.PosteriorGuidance(model, scheduler, md.Mask([1]), 0.1), scheduler),
        lambda model, scheduler: md.DistilledGuidance(model, 2.0),
        lambda model, scheduler: md.EDMTrainer(model),
        lambda model, scheduler: DiffusionSampler(model, DiffusionSamplerConfig(num_steps_denoising=2)),
    ],
)
def test_parameters_of_the_user_keep_their_names(wrapped):
    model = Model()
    names = [parameter.name for parameter in model.get_parameters()]
    cell = wrapped(model, scheduled("DDIMScheduler"))
    assert [parameter.name for parameter in model.get_parameters()] == names
    every = [parameter.name for parameter in cell.get_parameters()]
    assert len(set(every)) == len(every)


# --- seeds, scaling, dtypes ---


@pytest.mark.parametrize("name", ["DDPMScheduler", "DDIMScheduler", "EulerAncestralDiscreteScheduler", "LCMScheduler"])
def test_a_generator_inside_a_graph_is_refused_with_what_to_do(name):
    scheduler = scheduled(name)
    t = Tensor(scheduler.timesteps[0])
    options = {"eta": 1.0} if name == "DDIMScheduler" else {}

    def step(x):
        return scheduler.step(x, x, t, generator=7, **options)

    with pytest.raises(ValueError, match="'generator' is given inside a graph"):
        ms.jit(step)(random(2, 3))


@pytest.mark.parametrize("name", schedulers_by_name())
def test_scaling_for_the_model_compiles(name):
    if name.startswith("Pyramid"):
        pytest.skip("its timesteps belong to a stage")
    scheduler, x = scheduled(name), random(2, 3)
    t = scheduler.timesteps[0]

    def scaled(x, t):
        return scheduler.scale_model_input(x, t)

    expected = scheduler.scale_model_input(x, t.item()).asnumpy()
    np.testing.assert_allclose(ms.jit(scaled)(x, Tensor(t)).asnumpy(), expected, rtol=1e-6)


class HalfModel(nn.Cell):
    def construct(self, x, timestep):
        return (0.3 * x).astype(ms.float16)


@pytest.mark.parametrize("method", METHODS)
def test_a_half_precision_model_goes_with_a_single_precision_scheduler(method):
    scheduler, noise = scheduled("DDIMScheduler"), random(*SHAPE)
    x = noise
    for t in scheduler.timesteps:
        x = scheduler.step(HalfModel()(x, t), x, t)
    result = md.Sampler(HalfModel(), scheduler, method)(noise)
    assert result.dtype == ms.float32
    np.testing.assert_allclose(result.asnumpy(), x.asnumpy(), rtol=1e-5, atol=1e-5)


# --- guidance ---


def test_rescaling_leaves_a_constant_prediction_as_it_is_and_is_finite_in_half_precision():
    class Constant(nn.Cell):
        def construct(self, x, timestep, condition):
            return ops.zeros_like(x) + condition

    condition = Tensor(np.full((2, 1), 0.1, np.float32))
    guided = md.ClassifierFreeGuidance(Constant(), 2.0, ops.zeros((1,)), guidance_rescale=1.0)
    np.testing.assert_allclose(guided(random(2, 5), Tensor([1.0, 2.0]), condition).asnumpy(), 0.2, rtol=1e-5)

    class Large(nn.Cell):
        def construct(self, x, timestep, condition):
            return x * 300 + condition

    half = Tensor(RNG.standard_normal((2, 50)).astype(np.float16))
    guided = md.ClassifierFreeGuidance(Large(), 2.0, ops.zeros((1,), ms.float16), guidance_rescale=0.7)
    assert np.isfinite(guided(half, Tensor([1.0, 2.0]), condition.astype(ms.float16)).asnumpy()).all()


@pytest.mark.parametrize(
    ("unconditional", "conditions"),
    [
        ((4,), ((2, 4), (2, 4))),
        (((4,), (4,)), ((2, 4),)),
        (((4,), (4,)), (((2, 4), (2, 4)),)),
        ((((4,), (4,)),), ((2, 4),)),
        ((5,), ((2, 4),)),
    ],
)
def test_unconditional_entries_are_compared_with_the_conditions(unconditional, conditions):
    def tensors(shape):
        return tuple(map(tensors, shape)) if isinstance(shape[0], tuple) else ops.zeros(shape)

    guided = md.ClassifierFreeGuidance(Model(), 2.0, tensors(unconditional))
    with pytest.raises(ValueError, match="'unconditional"):
        md.Sampler(guided, scheduled("DDIMScheduler"))(random(2, 4), *map(tensors, conditions))


def test_an_interval_in_sigma_is_one_in_timesteps():
    model, scheduler = Model(), scheduled("EulerDiscreteScheduler")
    noise, condition = random(*SHAPE) * float(scheduler.init_noise_sigma), random(*SHAPE)
    between = (scheduler.sigmas[1] + scheduler.sigmas[2]) / 2
    time = (scheduler.timesteps[1] + scheduler.timesteps[2]) / 2
    results = [
        md.Sampler(md.ClassifierFreeGuidance(model, 5.0, ops.zeros(4), **options), scheduler)(
            noise, condition
        ).asnumpy()
        for options in ({"interval": (-5, float(time))}, {"sigma_interval": (0, float(between))}, {})
    ]
    np.testing.assert_allclose(results[0], results[1], rtol=1e-5, atol=1e-5)
    assert np.abs(results[0] - results[2]).max() > 1e-3
