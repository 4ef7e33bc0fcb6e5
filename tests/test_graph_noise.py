"""A Sampler whose graph draws its noise: sample k of a seed is the same in any batch, by any method and in a file."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn, ops

from mindscience_diffuser import (
    CentredNoise,
    CounterNoise,
    DDIMScheduler,
    DDPMScheduler,
    EDMHeunScheduler,
    GraphNoise,
    NoiseSource,
    RigidMotion,
    Sampler,
)
from mindscience_diffuser.export import export_mindir, load_mindir
from mindscience_diffuser.readiness import ascend_problems

SHAPE = (4, 3)
STEPS = 5


class Denoiser(nn.Cell):
    def construct(self, x, timestep):
        return 0.3 * x


def built(method="loop", kind=DDPMScheduler, dtype=ms.float32, noise_in_graph=True, **options):
    scheduler = kind(compute_dtype=dtype)
    scheduler.set_timesteps(STEPS)
    return Sampler(Denoiser(), scheduler, method, noise_in_graph=noise_in_graph, **options)


@pytest.fixture(scope="module")
def samplers():
    return {method: built(method) for method in ("step", "loop", "unrolled")}


@pytest.fixture(scope="module")
def host():
    return built(noise_in_graph=False)


def host_noise(source, count=STEPS):
    """The fresh noise of a trajectory as NumPy draws it."""
    shape = (len(source.samples), *SHAPE)
    return Tensor(np.stack([source.draw(i + 1, shape) for i in range(count)]))


def inputs_of(source):
    """A source in the form that graphs and files take."""
    return Tensor(source.seed_words), Tensor(source.sample_numbers)


@pytest.mark.every_case
@pytest.mark.parametrize("method", ["step", "loop", "unrolled"])
def test_the_graph_draws_what_the_numpy_form_does_by_sample_number(samplers, host, method):
    seed, sampler = 2**40 + 3, samplers[method]
    results = []
    for numbers in ([5, 2**31 - 1], [2**31 - 1, 0]):
        source = CounterNoise(seed, numbers)
        start = sampler.initial_noise((2, *SHAPE), source)
        np.testing.assert_array_equal(start.asnumpy(), source.draw(0, (2, *SHAPE)))
        results.append(sampler(start, generator=source).asnumpy())
        given = host(start, step_noise=host_noise(source)).asnumpy()
        np.testing.assert_allclose(results[-1], given, rtol=0, atol=2e-6)
    np.testing.assert_allclose(results[0][1], results[1][0], rtol=0, atol=1e-6)


def test_a_seed_numbers_the_samples_from_0_and_begins_anew(samplers):
    sampler, start = samplers["loop"], ops.ones((2, *SHAPE))
    first = sampler(start, generator=7).asnumpy()
    np.testing.assert_array_equal(sampler(start, generator=7).asnumpy(), first)
    source = CounterNoise(7, 2)
    source.standard_normal((2, *SHAPE))  # What else a source has drawn changes nothing.
    np.testing.assert_array_equal(sampler(start, generator=source).asnumpy(), first)
    assert np.abs(sampler(start, generator=8).asnumpy() - first).min() > 0
    assert np.abs(first[0] - first[1]).min() > 0  # The same start, but noise of their own.


def test_without_a_generator_the_global_stream_gives_a_seed(samplers):
    results = []
    for seed in (0, 0, 1):
        np.random.seed(seed)
        results.append(samplers["loop"](ops.ones((2, *SHAPE))).asnumpy())
    np.testing.assert_array_equal(results[0], results[1])
    assert np.abs(results[0] - results[2]).min() > 0


def test_selected_steps_take_the_draws_from_1_on(samplers, host):
    start, source, results = ops.ones((2, *SHAPE)), CounterNoise(1, 2), []
    for sampler, options in (
        (samplers["loop"], {"generator": 1}),
        (host, {"step_noise": host_noise(source, STEPS - 2)}),
    ):
        sampler.select_steps(start=2)
        results.append(sampler(start, **options).asnumpy())
        sampler.select_steps()
    np.testing.assert_allclose(*results, rtol=0, atol=2e-6)


def test_float16_is_that_of_float32_within_its_rounding(samplers):
    start = samplers["loop"].initial_noise((2, *SHAPE), 3)
    result = built(dtype=ms.float16)(start, generator=3)
    assert result.dtype == ms.float16
    expected = samplers["loop"](start, generator=3).asnumpy()
    np.testing.assert_allclose(result.asnumpy(), expected, rtol=0, atol=0.01)


def test_motions_are_drawn_by_the_seed_and_sample_numbers_too():
    sampler, results = built("loop", motion=RigidMotion()), []
    assert sampler.input_names == ("noise", "seed", "samples", "step_motions")
    for numbers in ([4, 1], [2, 4]):
        source = CounterNoise(5, numbers)
        results.append(sampler(sampler.initial_noise((2, *SHAPE), source), generator=source).asnumpy())
    np.testing.assert_allclose(results[0][0], results[1][1], rtol=0, atol=1e-5)


def test_a_deterministic_plan_takes_no_seed():
    sampler = built(kind=DDIMScheduler)
    assert sampler.input_names == ("noise",)
    start = sampler.initial_noise((2, *SHAPE), 3)
    np.testing.assert_array_equal(start.asnumpy(), CounterNoise(3, 2).draw(0, (2, *SHAPE)))
    np.testing.assert_array_equal(sampler(start, generator=3).asnumpy(), sampler(start).asnumpy())


def test_rows_without_noise_keep_their_number():
    """A step of two model calls has two rows, each with a draw of its own number."""
    scheduler = EDMHeunScheduler(s_churn=2.0)
    scheduler.set_timesteps(3)
    sampler, given = Sampler(Denoiser(), scheduler, noise_in_graph=True), Sampler(Denoiser(), scheduler)
    assert not sampler.plan.needs_noise.all()
    source = CounterNoise(2, 2)
    start = sampler.initial_noise((2, *SHAPE), source)
    expected = given(start, step_noise=host_noise(source, len(sampler.plan))).asnumpy()
    np.testing.assert_allclose(sampler(start, generator=source).asnumpy(), expected, rtol=1e-5, atol=1e-5)


def test_a_file_takes_a_seed_and_sample_numbers_of_any_batch(samplers, tmp_path):
    original = samplers["loop"]
    assert original.input_names == ("noise", "seed", "samples")
    example = ops.zeros((2, *SHAPE)), *inputs_of(CounterNoise(0, 2))
    path = export_mindir(original, tmp_path / "a.mindir", *example)
    assert ascend_problems(path) == []
    reloaded = load_mindir(path, plan=original.plan)
    for batch, seed in ((1, 2**63 + 1), (7, 12)):
        source = CounterNoise(seed, range(100, 100 + batch))
        start = original.initial_noise((batch, *SHAPE), source)
        result = reloaded(start, *inputs_of(source)).asnumpy()
        np.testing.assert_allclose(result, original(start, generator=source).asnumpy(), rtol=0, atol=1e-6)


class FromSeed(nn.Cell):
    """A trajectory whose start is drawn in the graph too."""

    def __init__(self, sampler):
        super().__init__(auto_prefix=False)
        self.sampler = sampler
        self.noise = GraphNoise()

    def construct(self, seed, samples):
        like = ops.zeros((samples.shape[0], *SHAPE))
        start = self.noise(seed, samples, Tensor(0, ms.int32), like)
        return self.sampler(start * self.sampler.scheduler.init_noise_sigma, seed, samples)


def test_a_file_can_need_the_seed_and_the_sample_numbers_alone(samplers, tmp_path):
    sampler, source = samplers["unrolled"], CounterNoise(2**35, [3, 1])
    path = export_mindir(FromSeed(sampler), tmp_path / "a.mindir", *inputs_of(source), dynamic_batch=False)
    assert ascend_problems(path) == []
    expected = sampler(sampler.initial_noise((2, *SHAPE), source), generator=source).asnumpy()
    result = load_mindir(path)(*inputs_of(source)).asnumpy()
    np.testing.assert_allclose(result, expected, rtol=0, atol=2e-6)


def test_what_cannot_be_drawn_in_a_graph_is_refused(samplers):
    sampler, start = samplers["loop"], ops.ones((2, *SHAPE))
    with pytest.raises(ValueError, match="'noise_law' is CentredNoise: a graph draws white noise only"):
        built(noise_law=CentredNoise())
    with pytest.raises(TypeError, match="'noise_in_graph' must be True or False"):
        built(noise_in_graph=1)
    with pytest.raises(ValueError, match="'step_noise' is given, but .* noise_in_graph=True"):
        sampler(start, step_noise=ops.zeros((STEPS, 2, *SHAPE)))
    with pytest.raises(TypeError, match="'generator' must be None, a seed or a CounterNoise"):
        sampler(start, generator=NoiseSource(0, 2))
    with pytest.raises(ValueError, match="'generator' has 3 samples, but the batch has 2"):
        sampler(start, generator=CounterNoise(0, 3))
    with pytest.raises(ValueError, match=r"'seed' must be in \[0, 18446744073709551615\], but is -1"):
        sampler(start, generator=-1)
    with pytest.raises(ValueError, match="'generator' has 3 samples"):
        sampler.initial_noise((2, *SHAPE), CounterNoise(0, 3))
