"""Noise schedules, timestep spacings and the noise source: formulas and properties."""

import math
import threading

import numpy as np
import pytest
from mindspore import Tensor

from mindscience_diffuser.noise import (
    BETA_SCHEDULES,
    CentredNoise,
    CounterNoise,
    EDMPreconditioning,
    GaussianFieldNoise,
    NoiseSource,
    StudentTNoise,
    WhiteNoise,
    alphas_cumprod_from_betas,
    betas_from_schedule,
    block_noise,
    clean_sample_weights,
    custom_timesteps,
    draw_noise,
    draw_steps,
    draw_uniform,
    drawn_ahead,
    noise_weights,
    rescale_zero_terminal_snr,
    set_noise_function,
    spaced_timesteps,
)

SPACINGS = ("leading", "linspace", "trailing")


# --- betas -----------------------------------------------------------------------------------------------------------


def test_linear_betas_are_evenly_spaced_between_the_given_ends():
    betas = betas_from_schedule("linear", 5, 0.1, 0.5)
    np.testing.assert_allclose(betas, [0.1, 0.2, 0.3, 0.4, 0.5], rtol=1e-15)


def test_scaled_linear_betas_are_evenly_spaced_in_their_square_root():
    betas = betas_from_schedule("scaled_linear", 4, 0.01, 0.16)
    np.testing.assert_allclose(np.sqrt(betas), [0.1, 0.2, 0.3, 0.4], rtol=1e-14)


def test_cosine_alpha_bar_follows_nichol_until_beta_is_capped():
    count = 100
    betas = betas_from_schedule("squaredcos_cap_v2", count)
    curve = [math.cos((i / count + 0.008) / 1.008 * math.pi / 2) ** 2 for i in range(count + 1)]
    np.testing.assert_allclose(alphas_cumprod_from_betas(betas)[:-1], np.array(curve[1:-1]) / curve[0], rtol=1e-12)
    assert betas[-1] == 0.999


def test_sigmoid_betas_are_a_logistic_ramp_over_plus_minus_six():
    betas = betas_from_schedule("sigmoid", 3, 0.1, 0.3)
    ends = 1 / (1 + math.exp(6)), 1 / (1 + math.exp(-6))
    np.testing.assert_allclose(betas, [0.1 + 0.2 * ends[0], 0.2, 0.1 + 0.2 * ends[1]], rtol=1e-14)


@pytest.mark.parametrize("schedule", BETA_SCHEDULES)
@pytest.mark.parametrize("count", [1, 2, 1000])
def test_every_schedule_stays_inside_zero_and_one_and_adds_noise_monotonically(schedule, count):
    betas = betas_from_schedule(schedule, count)
    assert betas.dtype == np.float64 and betas.shape == (count,)
    assert np.all((betas > 0) & (betas < 1))
    assert np.all(np.diff(alphas_cumprod_from_betas(betas)) < 0)


def test_trained_betas_are_taken_as_they_are():
    given = [0.3, 0.1, 0.2]
    assert betas_from_schedule("ignored", 3, trained_betas=given).tolist() == given


@pytest.mark.parametrize("schedule", BETA_SCHEDULES)
def test_zero_snr_rescaling_ends_at_exactly_zero_and_keeps_the_first_value(schedule):
    betas = betas_from_schedule(schedule, 1000)
    before = alphas_cumprod_from_betas(betas)
    after = alphas_cumprod_from_betas(rescale_zero_terminal_snr(betas))
    assert after[-1] == 0.0
    np.testing.assert_allclose(after[0], before[0], rtol=1e-14)
    assert np.all(np.diff(after) < 0)
    # Algorithm 1 is affine in sqrt(alpha_bar).
    slope = np.diff(np.sqrt(after)) / np.diff(np.sqrt(before))
    np.testing.assert_allclose(slope, slope[0], rtol=1e-6)


# --- timesteps -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("train", [1, 10, 99, 1000])
def test_a_spacing_gives_exactly_the_asked_number_of_descending_timesteps(spacing, train):
    for count in {1, 2, 3, 7, 10, train // 2, train - 1, train, *range(4, train, max(train // 40, 1))}:
        if not 1 <= count <= train:
            continue
        timesteps = spaced_timesteps(spacing, train, count)
        assert timesteps.dtype == np.int64 and timesteps.shape == (count,)
        assert np.all(np.diff(timesteps) < 0)
        assert timesteps[0] < train and timesteps[-1] >= 0


@pytest.mark.parametrize(
    "spacing, expected",
    [("leading", [750, 500, 250, 0]), ("linspace", [999, 666, 333, 0]), ("trailing", [999, 749, 499, 249])],
)
def test_spacings_are_those_of_lin_table_2(spacing, expected):
    assert spaced_timesteps(spacing, 1000, 4).tolist() == expected


def test_trailing_starts_at_the_last_training_timestep_for_any_number_of_steps():
    assert all(spaced_timesteps("trailing", 1000, count)[0] == 999 for count in range(1, 1001))


def test_strides_of_trailing_are_even_where_the_number_of_steps_does_not_divide():
    # round(1000 - 1000 k / 7) - 1 and round(1000 - 1000 k / 6) - 1.
    assert spaced_timesteps("trailing", 1000, 7).tolist() == [999, 856, 713, 570, 428, 285, 142]
    assert spaced_timesteps("trailing", 1000, 6).tolist() == [999, 832, 666, 499, 332, 166]


def test_steps_offset_moves_leading_timesteps_only():
    assert spaced_timesteps("leading", 1000, 4, steps_offset=1).tolist() == [751, 501, 251, 1]
    for spacing in ("linspace", "trailing"):
        np.testing.assert_array_equal(spaced_timesteps(spacing, 1000, 4, 1), spaced_timesteps(spacing, 1000, 4))


@pytest.mark.parametrize("given", [[9, 5, 0], (9, 5, 0), np.array([9, 5, 0]), np.array([9, 5, 0], np.uint8)])
def test_custom_timesteps_of_any_integer_sequence_are_kept(given):
    timesteps = custom_timesteps(given, 10)
    assert timesteps.dtype == np.int64 and timesteps.tolist() == [9, 5, 0]


# --- predictions -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prediction_type", ["epsilon", "sample", "v_prediction"])
def test_every_prediction_type_recovers_clean_sample_and_noise(prediction_type):
    angle = np.linspace(0.1, 1.4, 7)
    alpha, sigma = np.cos(angle), np.sin(angle)
    clean, noise = 0.3, -1.7
    values = {"sample": alpha * clean + sigma * noise}
    values["output"] = {"epsilon": noise, "sample": clean, "v_prediction": alpha * noise - sigma * clean}[
        prediction_type
    ]
    for weights, expected in [(clean_sample_weights, clean), (noise_weights, noise)]:
        total = sum(weight * values[name] for name, weight in weights(prediction_type, alpha, sigma).items())
        np.testing.assert_allclose(np.broadcast_to(total, 7), expected, rtol=1e-12)


# --- the noise source ------------------------------------------------------------------------------------------------


def test_noise_of_a_sample_does_not_depend_on_its_batch():
    together = NoiseSource(7, 6)
    first, second = together.standard_normal((6, 3, 2)), together.standard_normal((6, 3, 2))
    for numbers in ([4], [5, 0], [3, 4, 1]):
        apart = NoiseSource(7, numbers)
        np.testing.assert_array_equal(apart.standard_normal((len(numbers), 3, 2)), first[numbers])
        np.testing.assert_array_equal(apart.standard_normal((len(numbers), 3, 2)), second[numbers])


@pytest.mark.parametrize("size", (5, 2**14))  # On one thread, on several.
def test_many_draws_at_once_are_those_one_by_one(size):
    one_by_one = NoiseSource(3, 2)
    expected = [draw_noise((2, size), one_by_one) for _ in range(3)]
    source = NoiseSource(3, 2)
    np.testing.assert_array_equal(draw_steps([True, True], (2, size), source), expected[:2])
    np.testing.assert_array_equal(draw_steps([True], (2, size), source), expected[2:])  # The streams go on.


@pytest.mark.parametrize("make", (lambda: NoiseSource(3, 2), lambda: np.random.default_rng(3)))
def test_only_steps_that_need_noise_draw_it(make):
    source = make()
    expected = [draw_noise((2, 4), source) for _ in range(2)]
    noise = draw_steps(np.array([True, False, True, False]), (2, 4), make())
    np.testing.assert_array_equal(noise[[0, 2]], expected)
    assert not noise[[1, 3]].any()
    assert not draw_steps(np.array([False]), (2, 4), make()).any()


def test_a_number_of_samples_counts_from_zero():
    np.testing.assert_array_equal(
        NoiseSource(7, 3).standard_normal((3, 4)), NoiseSource(7, [0, 1, 2]).standard_normal((3, 4))
    )


@pytest.mark.parametrize(
    "one, other",
    [
        (NoiseSource(0, [1]), NoiseSource(1, [0])),
        (NoiseSource(3, [0]), NoiseSource(3, [1])),
        (NoiseSource(3, [0], stream=0), NoiseSource(3, [0], stream=1)),
        (NoiseSource(2**63, [0]), NoiseSource(2**63 + 1, [0])),
        (NoiseSource(0, [2**63]), NoiseSource(0, [2**63 + 1])),
        (NoiseSource(2**64 - 1, [0]), NoiseSource(2**64 - 2, [0])),
    ],
    ids=["seed-and-sample-change-roles", "samples", "streams", "large-seeds", "large-sample-numbers", "largest-seeds"],
)
def test_streams_are_independent(one, other):
    a, b = one.standard_normal((1, 20000))[0], other.standard_normal((1, 20000))[0]
    assert abs(np.corrcoef(a, b)[0, 1]) < 0.03


def test_successive_draws_are_independent_and_standard_normal():
    source = NoiseSource(11, 2)
    draws = np.concatenate([source.standard_normal((2, 20000)) for _ in range(2)])
    assert draws.dtype == np.float32
    assert np.all(np.abs(draws.mean(axis=1)) < 0.03) and np.all(np.abs(draws.std(axis=1) - 1) < 0.03)
    assert np.all(np.abs(np.corrcoef(draws) - np.eye(4)) < 0.03)


def test_draw_noise_takes_numpy_generators_one_for_all_or_one_for_each():
    expected = np.random.default_rng(5).standard_normal((2, 3), dtype=np.float32)
    np.testing.assert_array_equal(draw_noise((2, 3), np.random.default_rng(5)), expected)
    listed = draw_noise((2, 3), [np.random.default_rng(5), np.random.default_rng(6)])
    np.testing.assert_array_equal(listed[0], np.random.default_rng(5).standard_normal(3, dtype=np.float32))
    np.testing.assert_array_equal(listed[1], np.random.default_rng(6).standard_normal(3, dtype=np.float32))
    assert draw_noise((2, 3), np.random.RandomState(0)).dtype == np.float32


def test_a_seed_draws_the_stream_of_each_sample_and_a_list_has_one_seed_for_each():
    np.testing.assert_array_equal(draw_noise((2, 3), 5), NoiseSource(5, 2).standard_normal((2, 3)))
    listed = draw_noise((2, 3), [5, 6])
    np.testing.assert_array_equal(listed[1:], draw_noise((1, 3), 6))


def test_noise_drawn_ahead_is_that_drawn_in_turn_one_part_at_a_time():
    source, begun, used, threads = NoiseSource(3, 2), [], [], set()

    def draw(first, last):
        begun.append(first)
        threads.add(threading.get_ident())
        assert len(begun) - len(used) <= 2  # The part in use and the next one.
        return draw_steps(np.ones(last - first, bool), (2, 5), source)

    parts = [(0, 2), (2, 3), (3, 7), (7, 8)]
    for (first, last), drawn in zip(parts, drawn_ahead(draw, parts, source)):
        used.append(drawn)
        assert drawn.shape == (last - first, 2, 5)
    np.testing.assert_array_equal(np.concatenate(used), draw_steps(np.ones(8, bool), (2, 5), NoiseSource(3, 2)))
    assert begun == [0, 2, 3, 7] and threading.get_ident() not in threads


def test_what_others_may_draw_from_is_not_drawn_ahead():
    begun = []
    for generator in (np.random.default_rng(0), None, [np.random.default_rng(0)]):
        drawing = drawn_ahead(lambda *part: begun.append(part), [(0, 1), (1, 2)], generator)
        next(drawing)
        assert begun == [(0, 1)]
        begun.clear()
    with set_noise_function(lambda shape, generator: np.zeros(shape)):
        next(drawn_ahead(lambda *part: begun.append(part), [(0, 1), (1, 2)], NoiseSource(0, 1)))
    assert begun == [(0, 1)]


def test_an_error_while_drawing_ahead_reaches_the_caller():
    drawing = drawn_ahead(lambda k: 1 // (1 - k), [(0,), (1,), (2,)], NoiseSource(0, 1))
    assert next(drawing) == 1
    with pytest.raises(ZeroDivisionError):
        next(drawing)


def test_a_noise_function_replaces_all_noise_until_it_is_set_back():
    previous = set_noise_function(lambda shape, generator: np.full(shape, generator or 0))
    try:
        assert np.all(draw_noise((2, 3), 7) == 7) and draw_noise((2, 3)).dtype == np.float32
        assert np.all(block_noise((1, 1, 2, 2)) == 0)
    finally:
        set_noise_function(previous)
    np.testing.assert_array_equal(draw_noise((2, 3), 5), NoiseSource(5, 2).standard_normal((2, 3)))


def test_a_noise_function_that_returns_another_shape_is_told():
    previous = set_noise_function(lambda shape, generator: np.zeros(3))
    try:
        with pytest.raises(ValueError, match=r"set_noise_function.*\(3,\).*\(2, 3\)"):
            draw_noise((2, 3))
    finally:
        set_noise_function(previous)


def test_draw_noise_without_generator_follows_numpys_global_seed():
    state = np.random.get_state()
    np.random.seed(3)
    first = draw_noise((4,))
    np.random.seed(3)
    np.testing.assert_array_equal(draw_noise((4,)), first)
    assert not np.array_equal(draw_noise((4,)), first)
    np.random.set_state(state)


# --- bad input -------------------------------------------------------------------------------------------------------


DRAWS = {
    "draw_noise": draw_noise,
    "draw_uniform": draw_uniform,
    "draw_steps": lambda shape: draw_steps(np.ones(2, bool), shape),
    "block_noise": block_noise,
    "NoiseSource": NoiseSource(0, 2).standard_normal,
    "CounterNoise": CounterNoise(0, 2).standard_normal,
    "WhiteNoise": WhiteNoise().draw,
    "GaussianFieldNoise": GaussianFieldNoise().draw,
    "CentredNoise": CentredNoise().draw,
    "StudentTNoise": StudentTNoise(3.0).draw,
    "LawSource": StudentTNoise(3.0).source(0).standard_normal,
    "EDMPreconditioning": lambda shape: EDMPreconditioning(sigma_offset_noise=0.1).training_noise(np.ones(2), shape),
}
SHAPES = [
    (3, TypeError, "'shape' must be a tuple of integers.* is 3 of type int"),
    (2.5, TypeError, "'shape' must be a tuple of integers.* is 2.5 of type float"),
    (None, TypeError, "'shape' must be a tuple of integers.* is None"),
    ("24", TypeError, "'shape' must be a tuple of integers.* is '24' of type str"),
    (Tensor([2, 3, 4, 4]), TypeError, "'shape' must be a tuple of integers.* of type Tensor"),
    (np.array([[2, 3]]), TypeError, "'shape' must be a tuple of integers.* of type ndarray"),
    (np.array([2.0, 3.0, 4.0, 4.0]), TypeError, r"'shape\[0\]' must be an integer, but is 2.0"),
    ((2, 3.0, 4, 4), TypeError, r"'shape\[1\]' must be an integer, but is 3.0"),
    ((2, True, 4, 4), TypeError, r"'shape\[1\]' must be an integer, but is True"),
    ((2, -3, 4, 4), ValueError, r"'shape\[1\]' must be at least 0, but is -3"),
    ([], ValueError, "'shape' must have a batch axis.* is empty"),
]


@pytest.mark.parametrize("shape, error, message", SHAPES, ids=[repr(case[0]) for case in SHAPES])
@pytest.mark.parametrize("name", DRAWS)
def test_a_draw_names_what_is_no_shape_of_a_batch(name, shape, error, message):
    with pytest.raises(error, match=message):
        DRAWS[name](shape)


@pytest.mark.parametrize("shape", [[2, 3, 4, 4], np.array([2, 3, 4, 4]), (np.int64(2), 3, 4, 4)], ids=str)
@pytest.mark.parametrize("name", DRAWS)
def test_a_draw_takes_any_sequence_of_integers(name, shape):
    assert DRAWS[name](shape).shape[-4:] == (2, 3, 4, 4)


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda: NoiseSource(-1, 2), ValueError, "'seed'.*-1"),
        (lambda: NoiseSource(2**64, 2), ValueError, "'seed'.*18446744073709551616"),
        (lambda: NoiseSource(1.5, 2), TypeError, "'seed'.*1.5"),
        (lambda: NoiseSource(0, -3), ValueError, "'samples'.*-3"),
        (lambda: NoiseSource(0, [0, -2]), ValueError, "'samples'.*-2"),
        (lambda: NoiseSource(0, [0.5]), TypeError, "'samples'.*0.5"),
        (lambda: NoiseSource(0, 2, stream=-1), ValueError, "'stream'.*-1"),
        (lambda: NoiseSource(0, 2, stream=0.5), TypeError, "'stream'.*0.5"),
        (lambda: NoiseSource(0, 3).standard_normal((2, 4)), ValueError, "3 streams.*2 samples"),
        (lambda: draw_noise((2, 4), [np.random.default_rng(0)]), ValueError, "'generator'.*1 streams.*2 samples"),
        (lambda: draw_noise((2, 4), "seed"), TypeError, "'generator'.*'seed'"),
        (lambda: draw_noise((2, 4), [1, "seed"]), TypeError, "'generator'.*'seed'"),
        (lambda: set_noise_function(3), TypeError, "'function'.*3"),
    ],
)
def test_bad_noise_sources_are_named(call, error, message):
    with pytest.raises(error, match=message):
        call()
