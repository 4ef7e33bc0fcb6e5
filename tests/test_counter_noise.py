"""Noise that is a function of its place: a graph draws the same bits as NumPy, and they are as good as random."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn
from scipy import stats

from mindscience_diffuser import CounterNoise, GraphNoise
from mindscience_diffuser.noise import counter
from mindscience_diffuser.noise.counter import normal_pairs, rotated_left, threefry
from mindscience_diffuser.sampling import graph_noise

KNOWN_ANSWERS = [  # key, counter, words: the file kat_vectors of Random123, threefry2x32 with 20 rounds
    ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
    ((0xFFFFFFFF, 0xFFFFFFFF), (0xFFFFFFFF, 0xFFFFFFFF), (0x1CB996FC, 0xBB002BE7)),
    ((0x13198A2E, 0x03707344), (0x243F6A88, 0x85A308D3), (0xC4923A9C, 0x483DF7A0)),
]
LEVEL = 1e-3
MODES = [ms.GRAPH_MODE, ms.PYNATIVE_MODE]


class Words(nn.Cell):
    """The generator by itself, and the values that its words become."""

    def construct(self, k0, k1, c0, c1):
        words = threefry((k0, k1), (c0, c1), graph_noise.rotated_left)
        return words[0], words[1], graph_noise.normal_pairs(c0, c1)


class Draw(GraphNoise):
    """The noise of a draw, and its words."""

    def construct(self, seed, samples, number, like):
        keys = self.keys(seed, samples)
        return self.draw(keys, number, like), *self.words(keys, number, 8)


WORDS, DRAW = Words(), Draw()


@pytest.fixture(params=MODES, ids=["graph", "pynative"])
def mode(request):
    before = ms.get_context("mode")
    ms.set_context(mode=request.param)
    yield request.param
    ms.set_context(mode=before)


def words_of(*values):
    return [np.array([value], np.uint32).view(np.int32) for value in values]


@pytest.mark.parametrize("key, count, answer", KNOWN_ANSWERS)
def test_the_generator_gives_the_published_words(mode, key, count, answer):
    key, count = words_of(*key), words_of(*count)
    expected = np.array(answer, np.uint32)
    np.testing.assert_array_equal(np.concatenate(threefry(key, count, rotated_left)).view(np.uint32), expected)
    drawn = WORDS(*map(Tensor, (*key, *count)))[:2]
    np.testing.assert_array_equal(np.concatenate([word.asnumpy() for word in drawn]).view(np.uint32), expected)


def graph_draw(source, number, shape, dtype=np.float32):
    like = Tensor(np.zeros(shape, dtype))
    drawn = DRAW(Tensor(source.seed_words), Tensor(source.sample_numbers), Tensor(number, ms.int32), like)
    return [part.asnumpy() for part in drawn]


@pytest.mark.parametrize("seed", [0, 2**31, 2**63 + 5, 2**64 - 1])
def test_a_graph_draws_the_bits_of_the_numpy_form(mode, seed):
    for number in (0, 1, 2**31 - 1):
        source = CounterNoise(seed, [0, 5, 2**31 - 1])
        noise, x, y = graph_draw(source, number, (3, 3, 5))
        words = source.words(number, 0, 8)
        np.testing.assert_array_equal(x, words[0])
        np.testing.assert_array_equal(y, words[1])
        np.testing.assert_allclose(noise, source.draw(number, (3, 3, 5)), rtol=0, atol=1e-6)


def test_several_draws_at_once_are_those_drawn_one_by_one():
    source = CounterNoise(3, 2)
    inputs = Tensor(source.seed_words), Tensor(source.sample_numbers)
    like, numbers = Tensor(np.zeros((2, 3, 5), np.float32)), np.array([4, 2], np.int32)
    together = GraphNoise()(*inputs, Tensor(numbers[:, None, None]), like).asnumpy()
    for noise, number in zip(together, numbers):
        np.testing.assert_array_equal(noise, graph_draw(source, int(number), (2, 3, 5))[0])


def test_a_sample_has_its_noise_in_any_batch():
    together = CounterNoise(7, 5).draw(3, (5, 3, 5))
    for numbers in ([4], [1, 4], range(3, 6)):
        place = list(numbers).index(4)
        alone = CounterNoise(7, numbers)
        np.testing.assert_array_equal(alone.draw(3, (len(numbers), 3, 5))[place], together[4])
        in_graph = graph_draw(alone, 3, (len(numbers), 3, 5))[0]
        np.testing.assert_allclose(in_graph[place], together[4], rtol=0, atol=1e-6)


def test_parts_and_lengths_do_not_change_a_value(monkeypatch):
    whole = CounterNoise(1, 2).draw(0, (2, 41))
    monkeypatch.setattr(counter, "PAIRS_AT_ONCE", 8)
    np.testing.assert_array_equal(CounterNoise(1, 2).draw(0, (2, 41)), whole)
    np.testing.assert_array_equal(CounterNoise(1, 2).draw(0, (2, 7)), whole[:, :7])


def test_calls_of_a_source_are_its_draws_in_order():
    source = CounterNoise(1, 2)
    for number in range(3):
        np.testing.assert_array_equal(source.standard_normal((2, 4)), CounterNoise(1, 2).draw(number, (2, 4)))


def test_every_word_becomes_finite_values_in_float32_and_float16():
    ends = words_of(0, 1, 0x7FFFFFFF, 0x80000000, 0x800000FF, 0xFFFFFFFF)
    x, y = (np.concatenate(part) for part in zip(*[(a, b) for a in ends for b in ends]))
    expected = normal_pairs(x, y)
    drawn = WORDS(*map(Tensor, (x, y, x, y)))[2].asnumpy()
    np.testing.assert_allclose(drawn, expected, rtol=0, atol=1e-6)
    assert np.isfinite(expected).all() and 5.7 < np.abs(expected).max() < 5.78
    half = graph_draw(CounterNoise(0, 2), 1, (2, 3, 5), np.float16)[0]
    assert half.dtype == np.float16
    np.testing.assert_allclose(half, CounterNoise(0, 2).draw(1, (2, 3, 5)), rtol=1e-3, atol=1e-6)


class Loss(nn.Cell):
    """The sum of the squares of a sample after two steps of a loop that adds noise."""

    def __init__(self):
        super().__init__()
        self.noise = GraphNoise()

    def construct(self, sample, seed, samples, last):
        keys, number = self.noise.keys(seed, samples), Tensor(0, ms.int32)
        while number < last:
            sample = sample + self.noise.draw(keys, number, sample)
            number = number + 1
        return sample.square().sum()


def test_a_loop_around_the_noise_has_gradients(mode):
    source, sample = CounterNoise(5, 2), np.ones((2, 3), np.float32)
    inputs = Tensor(source.seed_words), Tensor(source.sample_numbers), Tensor(2, ms.int32)
    gradient = ms.grad(Loss())(Tensor(sample), *inputs).asnumpy()
    expected = 2 * (sample + source.draw(0, (2, 3)) + source.draw(1, (2, 3)))
    np.testing.assert_allclose(gradient, expected, rtol=0, atol=1e-5)


def test_ten_million_values_are_normal_and_independent():
    noise = CounterNoise(11, 10).draw(1, (10, 10**6)).reshape(-1)
    count = noise.size
    assert stats.kstest(noise, "norm").pvalue > LEVEL
    powers, expected = noise.astype(np.float64), (0, 1, 0, 3, 0, 15)
    power = np.ones_like(powers)
    for order, moment in enumerate(expected, 1):
        power *= powers
        spread = np.sqrt(((power**2).mean() - moment**2) / count)
        assert abs(power.mean() - moment) < stats.norm.isf(LEVEL / 2) * spread, order
    lags = (1, 2, 3, 4, 7, 64, 1000)
    correlations = [np.dot(powers[lag:], powers[:-lag]) / count for lag in lags]
    assert np.abs(correlations).max() < stats.norm.isf(LEVEL / 2 / len(lags)) / np.sqrt(count)


def test_neighbouring_seeds_samples_and_draws_are_uncorrelated():
    shape = (1, 500_000)
    base = CounterNoise(5, [2]).draw(3, shape)[0]
    others = {
        "seed + 1": CounterNoise(6, [2]).draw(3, shape)[0],
        "seed + 2^32": CounterNoise(5 + 2**32, [2]).draw(3, shape)[0],
        "sample + 1": CounterNoise(5, [3]).draw(3, shape)[0],
        "draw + 1": CounterNoise(5, [2]).draw(4, shape)[0],
        "sample and draw exchanged": CounterNoise(5, [3]).draw(2, shape)[0],
        "seed and sample exchanged": CounterNoise(2, [5]).draw(3, shape)[0],
    }
    least = stats.norm.isf(LEVEL / 4 / len(others)) / np.sqrt(shape[1])
    for name, other in others.items():
        assert abs(np.mean(base * other, dtype=np.float64)) < least, name
        squares = np.mean((base**2 - 1) * (other**2 - 1), dtype=np.float64) / 2
        assert abs(squares) < least, name


def test_streams_do_not_overlap():
    draws = []
    for seed in (0, 1, 2**32):
        for number in range(5):
            x, y = CounterNoise(seed, 40).words(number, 0, 1000)
            draws.append(x.astype(np.int64) << 32 | y.view(np.uint32))
    blocks = np.concatenate(draws, axis=None)
    assert len(np.unique(blocks)) == blocks.size


@pytest.mark.parametrize(
    "error, match, call",
    [
        (ValueError, r"'seed' must be in \[0, 18446744073709551615\], but is -1", lambda: CounterNoise(-1, 2)),
        (ValueError, r"'seed' must be in .*, but is 18446744073709551616", lambda: CounterNoise(2**64, 2)),
        (TypeError, r"'seed' must be an integer, but is 0\.5", lambda: CounterNoise(0.5, 2)),
        (ValueError, r"'samples' must be in \[0, 2147483647\], but is 2147483648", lambda: CounterNoise(0, [2**31])),
        (ValueError, r"'samples' must be in .*, but is -1", lambda: CounterNoise(0, [3, -1])),
        (TypeError, r"'samples' must be an integer, but is 'a'", lambda: CounterNoise(0, ["a"])),
        (ValueError, r"'number' must be in .*, but is 2147483648", lambda: CounterNoise(0, 1).draw(2**31, (1, 2))),
        (ValueError, r"'shape' is \(3, 2\), but this source has 2", lambda: CounterNoise(0, 2).draw(0, (3, 2))),
        (
            ValueError,
            r"8589934592 values each, .* at most 4294967296",
            lambda: CounterNoise(0, 1).draw(0, (1, 2**33)),
        ),
    ],
)
def test_what_a_counter_cannot_number_is_refused(error, match, call):
    with pytest.raises(error, match=match):
        call()
