"""The fresh noise of a trajectory: the same numbers in parts and step by step, wherever the memory is."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn

from mindscience_diffuser import DDPMScheduler, Sampler
from mindscience_diffuser.noise import NoiseSource, draw_steps
from mindscience_diffuser.sampling import host_noise
from mindscience_diffuser.sampling.host_noise import GivenNoise, HostNoise, spans_of, steps_at_once

NEEDED = np.array([True, False, True, True, False, True, True])
SHAPE = (2, 3, 4)


@pytest.fixture(params=["in Tensors", "in arrays"])
def memory(request, monkeypatch):
    """Where the noise is drawn into: the memory of Tensors where this MindSpore has it, or arrays."""
    if request.param == "in arrays":
        monkeypatch.setattr(host_noise, "tensors_share_memory", lambda: False)


def noise_of(generator, dtype=ms.float32):
    return HostNoise(NEEDED, SHAPE, generator, generator, dtype)


@pytest.mark.parametrize("make", [lambda: NoiseSource(3, 2), lambda: np.random.default_rng(3)])
@pytest.mark.parametrize("spans", [[(0, 7, 0)], spans_of(7, 1), spans_of(7, 3)], ids=["whole", "single", "threes"])
def test_parts_hold_what_is_drawn_in_turn_and_zeros_at_the_end(memory, spans, make):
    drawn = np.concatenate([part.asnumpy() for part in noise_of(make()).parts(spans)])
    np.testing.assert_array_equal(drawn[:7], draw_steps(NEEDED, SHAPE, make()))
    assert not drawn[7:].any()


@pytest.mark.parametrize("make", [lambda: NoiseSource(3, 2), lambda: np.random.default_rng(3)])
@pytest.mark.parametrize("at_once", [2, 32])
def test_steps_are_those_drawn_in_turn(memory, monkeypatch, at_once, make):
    monkeypatch.setattr(host_noise, "BYTES_AT_ONCE", at_once * 4 * int(np.prod(SHAPE)))
    assert steps_at_once(4 * int(np.prod(SHAPE))) == at_once
    steps = list(noise_of(make(), ms.float16).steps())  # All are held: none lies where a later one is drawn.
    assert len(steps) == len(NEEDED) and {step.dtype for step in steps} == {ms.float16}
    np.testing.assert_array_equal([s.asnumpy() for s in steps], draw_steps(NEEDED, SHAPE, make()).astype(np.float16))


def test_what_others_may_draw_from_is_drawn_step_by_step(memory):
    generator, other = np.random.default_rng(0), np.random.default_rng(0)
    for needed, step in zip(NEEDED, noise_of(generator).steps()):
        expected = other.standard_normal(SHAPE, dtype=np.float32) if needed else np.zeros(SHAPE)
        np.testing.assert_array_equal(step.asnumpy(), expected)
        assert generator.standard_normal() == other.standard_normal()


@pytest.mark.parametrize("dtype", [ms.float32, ms.float16, ms.bfloat16])
def test_given_noise_is_handed_on_also_of_a_view(memory, dtype):
    values = np.arange(5 * 24, dtype=np.float32).reshape(5, *SHAPE)
    given = GivenNoise(Tensor(values, dtype)[1:4])
    for k, step in enumerate(given.steps()):
        np.testing.assert_array_equal((step + 0).astype(ms.float32).asnumpy(), values[k + 1])
    assert k == 2
    parts = [part.astype(ms.float32).asnumpy() for part in given.parts(spans_of(3, 2))]
    np.testing.assert_array_equal(np.concatenate(parts), values[1:4])


class Half(nn.Cell):
    """Half of its input."""

    def construct(self, x, timestep):
        """Returns 0.5 * x."""
        return 0.5 * x


@pytest.mark.parametrize("method", ["step", "loop"])
def test_noise_whose_memory_is_used_again_is_read_before_it_is_overwritten(memory, monkeypatch, method):
    shape, count = (2, 4, 64, 64), 24
    monkeypatch.setattr(host_noise, "BYTES_AT_ONCE", 0)  # As few steps at once as there may be.
    scheduler = DDPMScheduler(clip_sample=False)
    scheduler.set_timesteps(count)
    sampler, start = Sampler(Half(), scheduler, method), Tensor(np.zeros(shape), ms.float32)
    drawn = Tensor(draw_steps(scheduler.plan.needs_noise, shape, NoiseSource(5, 2)))
    expected = sampler(start, step_noise=drawn).asnumpy()
    for _ in range(5):
        np.testing.assert_array_equal(sampler(start, generator=NoiseSource(5, 2)).asnumpy(), expected)
