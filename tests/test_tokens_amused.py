"""aMUSEd: how many tokens stay masked, which ones, and diffusers' trajectories."""

import mindspore as ms
import numpy as np
import pytest
from golden_tokens import CLASSES, START, Replayed, cases, drawn, result, tensors
from mindspore import Tensor, nn

from mindscience_diffuser import AmusedScheduler, compat

MASK = CLASSES


def noises(case, step):
    given = tensors(case, step)
    return given["noise"][..., :CLASSES], given["position_noise"][..., :1]


@pytest.mark.parametrize("case, config", cases("amused"))
def test_trajectories_are_those_of_diffusers(case, config):
    native = compat.AmusedScheduler(MASK, config["schedule"]).native  # With the ratios of single precision.
    peer = compat.AmusedScheduler(MASK, config["schedule"])
    for scheduler in (native, peer):
        temperature = config["temperature"]
        scheduler.set_timesteps(config["steps"], tuple(temperature) if isinstance(temperature, list) else temperature)
    known = drawn(case, START)["tokens"]
    x = Tensor(np.where(known < config["known"], known, MASK).astype(np.int32))
    clean = Tensor(known)
    for step, t in enumerate(native.timesteps):
        logits = tensors(case, step)["logits"]
        noise, position_noise = noises(case, step)
        output = native.step(
            logits, x, int(t), noise, position_noise, return_dict=True, starting_mask_ratio=config["start"]
        )
        sources = Replayed(noise.asnumpy(), position_noise.asnumpy()), Replayed(position_noise.asnumpy())
        of_peer = peer.step(logits, peer.timesteps[step], x, config["start"], generator=sources[0])
        masked = peer.add_noise(clean, peer.timesteps[step], generator=sources[1])
        for found in (output, of_peer):
            for name in ("prev_sample", "pred_original_sample"):
                np.testing.assert_array_equal(getattr(found, name).asnumpy(), result(name, case)[step])
        np.testing.assert_array_equal(masked.asnumpy(), result("masked", case)[step])
        x = output.prev_sample
    assert not (x.asnumpy() == MASK).any()


@pytest.fixture(scope="module")
def scheduler():
    scheduler = AmusedScheduler(MASK, "linear")
    scheduler.set_timesteps(6)
    return scheduler


@pytest.mark.parametrize("steps", [2, 3, 6, 12])
def test_each_step_masks_the_share_of_the_schedule(scheduler, steps):
    scheduler.set_timesteps(steps)
    x = Tensor(np.full((2, 12), MASK, np.int32))
    for k, t in enumerate(scheduler.timesteps):
        x = scheduler.step(tensors(0, k)["logits"], x, int(t), generator=0)
        # In single precision 12 * (1 - 1 / 3) would be less than 8.
        assert ((x.asnumpy() == MASK).sum(1) == 12 * (steps - 1 - k) // steps).all()


def test_without_temperature_the_least_certain_tokens_are_masked(scheduler):
    scheduler.set_timesteps(6, temperature=(0, 0))
    logits, x = tensors(0, 0)["logits"], Tensor(np.full((2, 12), MASK, np.int32))
    output = scheduler.step(logits, x, 3, generator=1, return_dict=True)
    p = np.exp(logits.asnumpy())
    p /= p.sum(-1, keepdims=True)
    chosen = np.take_along_axis(p, output.pred_original_sample.asnumpy()[..., None], -1)[..., 0]
    masked = output.prev_sample.asnumpy() == MASK
    assert (masked.sum(1) == 6).all()
    for row, which in zip(chosen, masked):
        assert row[which].max() < row[~which].min()


def test_known_tokens_stay_also_where_few_or_none_are_masked(scheduler):
    scheduler.set_timesteps(6)
    tokens = np.arange(24, dtype=np.int32).reshape(2, 12) % CLASSES
    tokens[1, 4] = MASK
    x = Tensor(tokens)
    for k, t in enumerate(scheduler.timesteps):
        x = scheduler.step(tensors(0, k)["logits"], x, int(t), generator=0)
        assert (x.asnumpy()[tokens != MASK] == tokens[tokens != MASK]).all()
    assert x.asnumpy()[1, 4] != MASK


def test_each_sample_may_begin_with_a_share_of_its_own(scheduler):
    scheduler.set_timesteps(6)
    x = Tensor(np.full((2, 12), MASK, np.int32))
    started = Tensor([0.5, 1.0], ms.float32)
    x = scheduler.step(tensors(0, 0)["logits"], x, 5, generator=0, starting_mask_ratio=started)
    assert (x.asnumpy() == MASK).sum(1).tolist() == [5, 10]
    with pytest.raises(
        ValueError, match=r"'starting_mask_ratio' has shape \(1, 2\), but must be one number or .*\(2,\)"
    ):
        scheduler.step(tensors(0, 0)["logits"], x, 5, generator=0, starting_mask_ratio=started.reshape((1, 2)))


def test_uniform_numbers_next_to_1_make_no_token_likely(scheduler):
    scheduler.set_timesteps(1)
    logits = np.where(np.arange(CLASSES) == 2, 0.0, -40.0) * np.ones((2, 12, 1))
    noise = np.where(np.arange(CLASSES) == 5, 1.0, 0.5) * np.ones((2, 12, 1))
    noise[..., 5] -= np.arange(12) / 2**24
    given = Tensor(logits, ms.float32), Tensor(np.full((2, 12), MASK, np.int32)), 0, Tensor(noise, ms.float32)
    assert (scheduler.step(*given, generator=0).asnumpy() == 2).all()


def test_gumbel_noise_is_exact_up_to_the_largest_number_below_1(scheduler):
    uniform = np.append(np.geomspace(1e-9, 0.5, 40), 1 - np.geomspace(2**-24, 0.5, 40)).astype(np.float32)
    found = scheduler.kernel.gumbel(Tensor(uniform)).asnumpy()
    np.testing.assert_allclose(found, -np.log(-np.log(uniform.astype(np.float64))), atol=1e-3)


def test_tokens_are_drawn_of_the_softmax(scheduler):
    scheduler.set_timesteps(1)
    p = np.array([0.4, 0.3, 0.1, 0.1, 0.05, 0.03, 0.02])
    shape = (2, 4000)
    logits = Tensor(np.broadcast_to(np.log(p), (*shape, CLASSES)).astype(np.float32))
    x = scheduler.step(logits, Tensor(np.full(shape, MASK, np.int32)), 0, generator=3).asnumpy()
    counts = np.bincount(x.ravel(), minlength=CLASSES)
    assert ((counts - p * x.size) ** 2 / (p * x.size)).sum() < 22.5  # 0.999 of chi square with 6 degrees of freedom.


class InGraph(nn.Cell):
    """A step inside the graph of somebody else, of an image."""

    def __init__(self, scheduler):
        super().__init__()
        self.scheduler = scheduler

    def construct(self, logits, tokens, timestep, noise, position_noise):
        """Returns the next tokens and noised ones."""
        stepped = self.scheduler.step(logits, tokens, timestep, noise, position_noise, starting_mask_ratio=0.8)
        return stepped, self.scheduler.add_noise(tokens, position_noise[..., 0], timestep)


def test_graphs_and_exported_steps_are_the_same_for_images(scheduler, tmp_path):
    scheduler.set_timesteps(6)
    given = tensors(1, 0)
    noise, position_noise = noises(1, 0)
    tokens, times = Tensor(np.full((2, 3, 4), MASK, np.int32)), Tensor([4, 1], ms.int32)
    inputs = [
        given["logits"].reshape((2, 3, 4, CLASSES)),
        tokens,
        times,
        noise.reshape((2, 3, 4, CLASSES)),
        position_noise.reshape((2, 3, 4, 1)),
    ]
    expected = scheduler.step(*inputs, starting_mask_ratio=0.8).asnumpy()
    flat = scheduler.step(given["logits"], tokens.reshape((2, 12)), times, noise, position_noise, None, False, 0.8)
    np.testing.assert_array_equal(expected.reshape(2, 12), flat.asnumpy())
    noised = scheduler.add_noise(tokens, inputs[-1][..., 0], times).asnumpy()
    cell = InGraph(scheduler)
    ms.export(cell, *inputs, file_name=str(tmp_path / "step"), file_format="MINDIR")
    ms.set_context(mode=ms.PYNATIVE_MODE)
    for run in (cell, nn.GraphCell(ms.load(str(tmp_path / "step.mindir")))):
        for found, of_host in zip(run(*inputs), (expected, noised)):
            np.testing.assert_array_equal(found.asnumpy(), of_host)


def test_mistakes_are_told(scheduler):
    scheduler.set_timesteps(6)
    logits, x = tensors(0, 0)["logits"], Tensor(np.full((2, 12), MASK, np.int32))
    with pytest.raises(ValueError, match="'mask_token_id' must be at least 0, but is -1"):
        AmusedScheduler(-1)
    with pytest.raises(ValueError, match="'masking_schedule' must be one of 'cosine', 'linear'"):
        AmusedScheduler(MASK, "sine")
    with pytest.raises(ValueError, match=r"'temperature' must be in \[0, inf\), but is -1"):
        scheduler.set_timesteps(6, temperature=(2, -1))
    with pytest.raises(ValueError, match="'temperature' must be a number or a pair"):
        scheduler.set_timesteps(6, temperature=(2, 1, 0))
    with pytest.raises(ValueError, match=r"'starting_mask_ratio' must be in \(0, 1\], but is 1.5"):
        scheduler.step(logits, x, 0, starting_mask_ratio=1.5)
    with pytest.raises(ValueError, match="'original_samples' must hold tokens of at least 0, but has -2"):
        scheduler.add_noise(x * 0 - 2, noises(0, 0)[1][..., 0], 0)
    with pytest.raises(ValueError, match="or the mask token 7, but has 9"):
        scheduler.step(logits, x + 2, 0)
    with pytest.raises(ValueError, match=r"'position_noise' has shape \(2, 12\), but must have \(2, 12, 1\)"):
        scheduler.step(logits, x, 0, position_noise=noises(0, 0)[1][..., 0])
    normal = np.random.default_rng(0).standard_normal((2, 12, CLASSES))
    with pytest.raises(ValueError, match="'noise' must hold uniform numbers in .* but has numbers from -[0-9.]* to 2"):
        scheduler.step(logits, x, 0, noise=Tensor(normal, ms.float32))
    with pytest.raises(ValueError, match="'noise' must hold uniform numbers"):
        scheduler.add_noise(x, Tensor(normal[..., 0], ms.float32), 0)
    with pytest.raises(TypeError, match="'noise' must be float32, but is Float16"):
        scheduler.step(logits, x, 0, noise=Tensor(normal, ms.float16))
    with pytest.raises(TypeError, match="'noise' must be float32, but is Float16"):
        scheduler.step_in_graph(logits, x, Tensor(0, ms.int32), Tensor(normal, ms.float16))
    with pytest.raises(ValueError, match="'set_timesteps' must be called first"):
        AmusedScheduler(MASK).step(logits, x, 0)
    assert len(scheduler.timesteps) == 6  # What was refused has changed nothing.
