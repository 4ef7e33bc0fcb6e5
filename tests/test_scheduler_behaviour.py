"""DDIM and DDPM wherever they are called: eagerly in both modes, inside a user's Cell, inside a jit function."""

import functools

import mindspore as ms
import numpy as np
import pytest
import reference
from compiler import api
from exact_steps import CONFIG, SHAPES, THRESHOLD, TIMESTEPS, TRAIN, arrays, exact_ddim, exact_ddpm, make, near, tensors
from mindspore import Tensor, nn
from mindspore import dtype as mstype

from mindscience_diffuser import DDIMScheduler, DDPMScheduler, NoiseSource, Sampler, SchedulerOutput


@pytest.fixture
def compilations(monkeypatch):
    """Counts compilations: MindSpore calls this hook once for each graph that it is about to compile."""
    counted = []
    hook = api._check_recompile

    def counting(*arguments):
        counted.append(arguments)
        return hook(*arguments)

    monkeypatch.setattr(api, "_check_recompile", counting)
    return counted


# --- one step, everywhere --------------------------------------------------------------------------------------------


class EverySampler(nn.Cell):
    """What a user's Cell may hold: several schedulers, called with all their options."""

    def __init__(self):
        super().__init__()
        self.ddim = make(DDIMScheduler)
        self.threshold = make(DDIMScheduler, **THRESHOLD)
        self.ddpm = make(DDPMScheduler)
        self.learned = make(DDPMScheduler, variance_type="learned_range")

    def construct(self, output, sample, noise, variance, timestep):
        return (
            self.ddim.step(output, sample, timestep),
            self.ddim.step(output, sample, timestep, eta=0.5, noise=noise),
            self.ddim.step(output, sample, timestep, 0.5, True, noise),
            self.threshold.step(output, sample, timestep, return_dict=True),
            self.ddpm.step(output, sample, timestep, noise=noise),
            self.learned.step(output, sample, timestep, variance, noise),
            self.ddpm.add_noise(sample, noise, timestep),
        )


@functools.cache
def every_sampler():
    return EverySampler()


@functools.cache
def expected_of_every_sampler(shape, timesteps):
    _, sample, noise, _ = (array.astype(np.float64) for array in arrays(shape))
    alpha_bar = reference.make_alphas_cumprod(CONFIG)[list(timesteps)].reshape(-1, *[1] * (len(shape) - 1))
    return (
        exact_ddim(shape, timesteps),
        exact_ddim(shape, timesteps, eta=0.5),
        exact_ddim(shape, timesteps, eta=0.5, use_clipped_model_output=True),
        exact_ddim(shape, timesteps, **THRESHOLD),
        exact_ddpm(shape, timesteps),
        exact_ddpm(shape, timesteps, variance_type="learned_range"),
        np.sqrt(alpha_bar) * sample + np.sqrt(1 - alpha_bar) * noise,
    )


def check_every_sampler(shape, timestep, timesteps):
    output, sample, noise, variance = tensors(shape)
    results = every_sampler()(output, sample, noise, Tensor(np.tanh(variance.asnumpy())), timestep)
    # Inside a graph the results are a plain tuple: MindSpore passes no gradient through a NamedTuple there.
    assert len(results[3]) == 2
    for k, (result, expected) in enumerate(zip(results, expected_of_every_sampler(shape, timesteps))):
        near(result[0] if k == 3 else result, expected)


@pytest.mark.parametrize("form", TIMESTEPS)
def test_eager_steps_take_every_form_of_timestep(form):
    check_every_sampler(SHAPES[3], *TIMESTEPS[form])


@pytest.mark.parametrize("form", ["number", "0-D"])
def test_steps_inside_a_compiled_cell_are_those_of_eager_ones(graph_mode, form):
    check_every_sampler(SHAPES[3], *TIMESTEPS[form])


@pytest.mark.parametrize("rank", [2, 4, 5])
def test_samples_of_any_rank_with_a_timestep_each(rank):
    check_every_sampler(SHAPES[rank], *TIMESTEPS["(B,)"])


@pytest.mark.parametrize("rank", [3, 5])
def test_samples_of_any_rank_inside_a_compiled_cell(graph_mode, rank):
    check_every_sampler(SHAPES[rank], *TIMESTEPS["(B,)"])


def test_steps_inside_a_jit_function_are_those_of_eager_ones():
    ddim, ddpm = make(DDIMScheduler), make(DDPMScheduler, variance_type="learned_range")

    @ms.jit
    def ddim_steps(output, sample, noise, timestep):
        plain = ddim.step(output, sample, timestep)
        clipped = ddim.step(output, sample, timestep, eta=0.5, use_clipped_model_output=True, noise=noise)
        return plain, clipped, ddim.step(output, sample, timestep, return_dict=True)[1]

    @ms.jit
    def ddpm_step(output, sample, noise, variance, timestep):
        return ddpm.step(output, sample, timestep, variance, noise)

    output, sample, noise, variance = tensors(SHAPES[3])
    timestep, timesteps = TIMESTEPS["(B,)"]
    plain, clipped, x0 = ddim_steps(output, sample, noise, timestep)
    near(plain, exact_ddim(SHAPES[3], timesteps))
    near(clipped, exact_ddim(SHAPES[3], timesteps, eta=0.5, use_clipped_model_output=True))
    near(x0, ddim.step(output, sample, timestep, return_dict=True).pred_original_sample.asnumpy())
    result = ddpm_step(output, sample, noise, Tensor(np.tanh(variance.asnumpy())), timestep)
    near(result, exact_ddpm(SHAPES[3], timesteps, variance_type="learned_range"))


def test_eager_steps_in_graph_mode_are_those_of_pynative_mode(graph_mode):
    output, sample, noise, _ = tensors(SHAPES[3])
    scheduler = make(DDIMScheduler)
    near(scheduler.step(output, sample, 60, eta=0.5, noise=noise), exact_ddim(SHAPES[3], (60, 60), eta=0.5))
    near(make(DDPMScheduler).step(output, sample, 60, noise=noise), exact_ddpm(SHAPES[3], (60, 60)))


def test_gradients_flow_through_a_step():
    output, sample, _, _ = tensors(SHAPES[3])
    scheduler = make(DDIMScheduler, clip_sample=False, prediction_type="sample")

    def total(output):
        return scheduler.step(output, sample, Tensor(60, mstype.int32)).sum()

    slope = ms.grad(total)(output).asnumpy()
    alpha_bar = reference.make_alphas_cumprod(CONFIG)
    alpha, sigma = np.sqrt(alpha_bar), np.sqrt(1 - alpha_bar)
    np.testing.assert_allclose(slope, alpha[50] - sigma[50] * alpha[60] / sigma[60], rtol=1e-5)


@pytest.mark.parametrize("kind", [DDIMScheduler, DDPMScheduler])
def test_return_dict_adds_the_predicted_clean_sample(kind):
    output, sample, noise, _ = tensors(SHAPES[3])
    scheduler = make(kind, clip_sample_range=0.7)
    full = scheduler.step(output, sample, 60, noise=noise, return_dict=True)
    assert isinstance(full, SchedulerOutput)
    near(full.prev_sample, scheduler.step(output, sample, 60, noise=noise).asnumpy())
    alpha_bar = reference.make_alphas_cumprod(CONFIG)[60]
    x0 = reference.predict_original(*(a.astype(np.float64) for a in arrays(SHAPES[3])[:2]), alpha_bar, "epsilon")
    near(full.pred_original_sample, np.clip(x0, -0.7, 0.7))


def test_only_the_sample_at_timestep_zero_gets_no_noise():
    output, sample, noise, _ = tensors(SHAPES[3])
    scheduler = make(DDPMScheduler, variance_type="fixed_large")
    loud = scheduler.step(output, sample, [0, 50], noise=noise * 3).asnumpy()
    quiet = scheduler.step(output, sample, [0, 50], noise=noise).asnumpy()
    np.testing.assert_array_equal(loud[0], quiet[0])
    assert not np.allclose(loud[1], quiet[1])


# --- a new schedule, and no recompilation ----------------------------------------------------------------------------


class Wrapper(nn.Cell):
    def __init__(self, scheduler):
        super().__init__()
        self.scheduler = scheduler

    def construct(self, output, sample, timestep, noise):
        return self.scheduler.step(output, sample, timestep, noise=noise)


@pytest.mark.parametrize("kind", [DDIMScheduler, DDPMScheduler])
@pytest.mark.parametrize("place", ["eager", "cell", "jit"])
def test_a_second_schedule_on_a_used_scheduler_is_that_of_a_fresh_one(kind, place, request):
    used, fresh = make(kind, steps=50), make(kind, steps=20)
    output, sample, noise, _ = tensors(SHAPES[3])

    @ms.jit
    def inside(output, sample, timestep, noise):
        return used.step(output, sample, timestep, noise=noise)

    if place == "cell":
        request.getfixturevalue("graph_mode")
    step = {"eager": Wrapper(used), "cell": Wrapper(used), "jit": inside}[place]
    timestep = Tensor(60, mstype.int32)
    before = step(output, sample, timestep, noise).asnumpy()
    used.set_timesteps(20)
    assert used.timesteps.tolist() == fresh.timesteps.tolist()
    after = step(output, sample, timestep, noise)
    near(after, fresh.step(output, sample, timestep, noise=noise).asnumpy(), 1e-6)
    assert np.abs(after.asnumpy() - before).max() > 1e-3
    used.set_timesteps(timesteps=[60, 10])
    fresh.set_timesteps(timesteps=[60, 10])
    near(step(output, sample, timestep, noise), fresh.step(output, sample, timestep, noise=noise).asnumpy(), 1e-6)


def test_plans_of_other_lengths_run_in_the_graphs_that_are_there(compilations):
    """Tables are padded to one length: neither the loop nor an eager step is compiled again."""

    class Half(nn.Cell):
        def construct(self, x, timestep):
            return 0.5 * x

    scheduler = DDIMScheduler(100)
    scheduler.set_timesteps(5)
    sampler, x = Sampler(Half(), scheduler), Tensor(np.ones((2, 3), np.float32))
    results = []
    for steps in (5, 9, 2, 100):
        scheduler.set_timesteps(steps)
        results.append((sampler(x), scheduler.step(x, x, int(scheduler.timesteps[0]))))
        if steps == 5:
            compiled = len(compilations)
    assert compiled > 0
    assert len(compilations) == compiled


def test_the_compilation_counter_sees_every_compilation(compilations):
    @ms.jit
    def scaled(x, factor):
        return x * factor

    for factor in (0.25, 0.5, 0.75):
        scaled(Tensor(np.ones(3, np.float32)), factor)
    assert len(compilations) == 3
    scaled(Tensor(np.ones(3, np.float32)), 0.5)
    assert len(compilations) == 3


@pytest.mark.parametrize(
    "options", [{}, {"eta": 0.5}, {"eta": 0.5, "use_clipped_model_output": True, "return_dict": True}]
)
def test_a_ddim_trajectory_compiles_at_most_once_whatever_its_steps(compilations, options):
    scheduler = make(DDIMScheduler)
    output, sample, noise, _ = tensors((3, 7, 2))  # A shape of its own, so that the first step has to compile.

    def trajectory(as_timestep):
        for t in scheduler.timesteps:
            scheduler.step(output, sample, as_timestep(t), noise=noise, **options)

    trajectory(int)
    assert len(compilations) == 1
    scheduler.set_timesteps(25)
    trajectory(lambda t: Tensor(int(t), mstype.int32))
    make(DDIMScheduler, steps=4).step(output, sample, 75, noise=noise, **options)
    assert len(compilations) == 1


def test_a_ddpm_trajectory_compiles_at_most_once_whatever_its_steps(compilations):
    scheduler = make(DDPMScheduler)
    output, sample, noise, _ = tensors((3, 7, 2))
    for steps in (10, 25):
        scheduler.set_timesteps(steps)
        for t in scheduler.timesteps:
            scheduler.step(output, sample, t, noise=noise)
    assert len(compilations) == 1


@pytest.mark.parametrize("place", ["cell", "jit"])
def test_a_trajectory_through_an_outer_graph_compiles_it_once(compilations, place, request):
    scheduler = make(DDIMScheduler)

    @ms.jit
    def inside(output, sample, timestep, noise):
        return scheduler.step(output, sample, timestep, noise=noise)

    if place == "cell":
        request.getfixturevalue("graph_mode")
    step = {"cell": Wrapper(scheduler), "jit": inside}[place]
    output, sample, noise, _ = tensors(SHAPES[3])
    for steps in (5, 10):
        scheduler.set_timesteps(steps)
        for t in scheduler.timesteps:
            step(output, sample, Tensor(int(t), mstype.int32), noise)
    assert len(compilations) == 1


# --- noise -----------------------------------------------------------------------------------------------------------


STOCHASTIC = {"ddim": (DDIMScheduler, {"eta": 0.5}), "ddpm": (DDPMScheduler, {})}


@pytest.mark.parametrize("name", STOCHASTIC)
def test_a_seeded_step_is_the_step_with_that_noise_given(name):
    kind, options = STOCHASTIC[name]
    output, sample, _, _ = tensors(SHAPES[3])
    seeded, explicit, source = make(kind), make(kind), NoiseSource(5, 2, stream=1)
    for t in (90, 80):  # The streams go on from step to step.
        noise = Tensor(source.standard_normal(SHAPES[3]))
        expected = explicit.step(output, sample, t, noise=noise, **options).asnumpy()
        np.testing.assert_array_equal(seeded.step(output, sample, t, generator=5, **options).asnumpy(), expected)
    seeded.set_timesteps(10)  # A new trajectory starts them again.
    again = seeded.step(output, sample, 90, generator=5, **options).asnumpy()
    np.testing.assert_array_equal(again, make(kind).step(output, sample, 90, generator=5, **options).asnumpy())


@pytest.mark.parametrize("name", STOCHASTIC)
def test_generators_of_each_sample_are_the_noise_source_taken_apart(name):
    kind, options = STOCHASTIC[name]
    output, sample, _, _ = tensors(SHAPES[3])
    whole = make(kind).step(output, sample, 90, generator=NoiseSource(5, 2), **options).asnumpy()
    parts = NoiseSource(5, 2).streams
    np.testing.assert_array_equal(make(kind).step(output, sample, 90, generator=parts, **options).asnumpy(), whole)
    alone = make(kind).step(output[1:], sample[1:], 90, generator=NoiseSource(5, [1]), **options).asnumpy()
    np.testing.assert_allclose(alone[0], whole[1], rtol=1e-6, atol=1e-6)


def test_a_seed_serves_batches_of_any_size():
    output, sample, _, _ = tensors(SHAPES[3])
    scheduler = make(DDPMScheduler)
    both = scheduler.step(output, sample, 90, generator=5).asnumpy()
    first = scheduler.step(output[:1], sample[:1], 90, generator=5).asnumpy()
    np.testing.assert_allclose(first[0], both[0], rtol=1e-6, atol=1e-6)


def test_seeds_of_each_sample_go_on_from_step_to_step():
    output, sample, _, _ = tensors(SHAPES[3])
    together, alone = make(DDPMScheduler), make(DDPMScheduler)
    for t in (90, 80):
        both = together.step(output, sample, t, generator=[4, 5]).asnumpy()
        second = alone.step(output[1:], sample[1:], t, generator=5).asnumpy()
        np.testing.assert_allclose(second[0], both[1], rtol=1e-6, atol=1e-6)


def test_without_noise_or_generator_every_step_draws_anew():
    output, sample, _, _ = tensors(SHAPES[3])
    scheduler = make(DDPMScheduler)
    first, second = (scheduler.step(output, sample, 90).asnumpy() for _ in range(2))
    assert not np.allclose(first, second)


def test_a_deterministic_step_ignores_the_noise():
    output, sample, noise, _ = tensors(SHAPES[3])
    scheduler = make(DDIMScheduler)
    np.testing.assert_array_equal(
        scheduler.step(output, sample, 90, noise=noise).asnumpy(), scheduler.step(output, sample, 90).asnumpy()
    )


# --- float16 ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", STOCHASTIC)
@pytest.mark.parametrize("prediction_type", ["epsilon", "sample", "v_prediction"])
@pytest.mark.parametrize("beta_schedule", ["squaredcos_cap_v2", "linear"])
def test_half_precision_is_finite_and_near_float32_at_every_timestep(name, prediction_type, beta_schedule):
    kind, options = STOCHASTIC[name]
    arguments = {"prediction_type": prediction_type, "beta_schedule": beta_schedule}
    timesteps = np.arange(TRAIN)
    noise, output, sample = np.random.default_rng(1).standard_normal((3, TRAIN, 8))
    half = make(kind, compute_dtype=mstype.float16, **arguments)
    full = make(kind, **arguments)

    def step(scheduler, dtype):
        tensors = [Tensor(array, dtype) for array in (output, sample)]
        return scheduler.step(*tensors, timesteps, noise=Tensor(noise, dtype), **options)

    low, high = step(half, mstype.float16), step(full, mstype.float32)
    assert low.dtype == mstype.float16 and high.dtype == mstype.float32
    assert np.all(np.isfinite(low.asnumpy()))
    near(low.astype(mstype.float32), high.asnumpy(), 0.02)


def test_half_precision_schedulers_take_float32_tensors_and_the_reverse():
    output, sample, _, _ = tensors(SHAPES[3])
    half = make(DDIMScheduler, compute_dtype=mstype.float16)
    assert half.step(output, sample, 60).dtype == mstype.float16
    mixed = make(DDIMScheduler).step(output.astype(mstype.float16), sample, 60)
    assert mixed.dtype == mstype.float32
