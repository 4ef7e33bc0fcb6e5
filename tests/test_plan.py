"""StepPlan: folding, choosing steps and packing keep the numbers of the weighted sums; pure NumPy."""

import dataclasses
from collections.abc import Mapping

import numpy as np
import pytest

from mindscience_diffuser.plan import Limit, StepPlan, linear_combination

STEPS = 6
RANDOM = np.random.default_rng(0)


def test_a_step_needs_noise_where_any_of_its_sums_takes_it():
    steps = {"sample": {"noise": np.array([0.0, 1.0, 0.0])}, "first": {"noise": np.array([2.0, 0.0, 0.0])}}
    np.testing.assert_array_equal(StepPlan(np.arange(3), {}, steps).needs_noise, [True, True, False])


def column():
    return RANDOM.standard_normal(STEPS)


def evaluate(weights, values, step):
    """The weighted sum of a step in float64."""
    return sum((w[step] if isinstance(w, np.ndarray) else w) * values[name] for name, w in weights.items())


def unfold(layout, row, values):
    """What a kernel computes from a packed row: x0 (or None) and the sums, without limit."""
    tensors = [values[name] for name in layout.inputs]

    def total(form):
        result = sum((1.0 if c < 0 else row[c]) * tensors[v] for v, c in form.terms)
        return result if form.gain < 0 else result * row[form.gain] ** 2

    x0 = None
    if layout.x0 is not None:
        x0 = total(layout.x0)
        tensors.append(x0)
    return x0, [total(form) for form in layout.sums]


@pytest.fixture
def plan():
    """Two states, a further result and noise; x0 takes part everywhere."""
    return StepPlan(
        timesteps=np.arange(STEPS)[::-1],
        x0={"sample": column(), "output": column(), "previous": 0.5},
        states={
            "sample": {"sample": column(), "x0": column(), "noise": column()},
            "previous": {"x0": 1.0},
        },
        results={"epsilon": {"output": 1.0, "x0": column()}},
    )


@pytest.fixture
def values():
    return {name: RANDOM.standard_normal() for name in ("sample", "previous", "output", "noise")}


def expected_sums(plan, values, step):
    x0 = evaluate(plan.x0, values, step)
    return x0, [evaluate(weights, {**values, "x0": x0}, step) for weights in plan.sums.values()]


@pytest.mark.parametrize("half, needs_fp16_gain", [(False, False), (True, False), (True, True)])
@pytest.mark.parametrize("returns_x0", [False, True])
def test_packing_keeps_the_numbers(plan, values, returns_x0, half, needs_fp16_gain):
    plan = StepPlan(plan.timesteps, plan.x0, plan.states, plan.results, needs_fp16_gain=needs_fp16_gain)
    layout, rows = plan.pack(returns_x0=returns_x0, half=half)
    assert rows.dtype == np.float32 and len(rows) == STEPS
    for step in range(STEPS):
        x0, sums = expected_sums(plan, values, step)
        packed_x0, packed = unfold(layout, rows[step].astype(np.float64), values)
        np.testing.assert_allclose(packed, sums, rtol=1e-5, atol=1e-6)
        assert (packed_x0 is not None) == returns_x0
        if returns_x0:
            np.testing.assert_allclose(packed_x0, x0, rtol=1e-5, atol=1e-6)


def test_folding_removes_x0_where_nothing_limits_it(plan, values):
    folded = plan.folded()
    for step in range(STEPS):
        assert not any("x0" in weights for weights in folded.sums.values())
        np.testing.assert_allclose(
            [evaluate(weights, values, step) for weights in folded.sums.values()],
            expected_sums(plan, values, step)[1],
            rtol=1e-12,
        )


def test_a_limited_x0_is_not_folded_away(plan):
    limited = StepPlan(plan.timesteps, plan.x0, plan.states, limit=Limit("clip", 1.0))
    assert limited.folded() is limited
    assert limited.pack()[0].x0 is not None


def test_packing_rounds_each_weight_once_from_float64():
    third = np.full(STEPS, 1 / 3)
    plan = StepPlan(np.arange(STEPS), {"sample": third, "output": third}, {"sample": {"x0": third, "sample": third}})
    layout, rows = plan.pack()
    exact = {"sample": 1 / 9 + 1 / 3, "output": 1 / 9}
    for value, place in layout.sums[0].terms:
        assert rows[0, place] == np.float32(exact[layout.inputs[value]])


def test_structure_does_not_depend_on_the_number_of_steps(plan):
    layouts = {plan.take(steps).pack()[0] for steps in ([0], [5, 3, 0], [4, 4, 4, 1])}
    assert layouts == {plan.pack()[0]}


def test_taking_steps_keeps_their_rows_in_the_asked_order(plan):
    steps = [4, 1, 1]
    taken = plan.take(steps)
    assert len(taken) == 3
    np.testing.assert_array_equal(taken.timesteps, plan.timesteps[steps])
    np.testing.assert_array_equal(taken.pack()[1], plan.pack()[1][steps])


def test_learned_deviation_is_taken_along_with_the_steps():
    intercept, slope = column(), column()
    plan = StepPlan(
        np.arange(STEPS), {"output": 1.0}, {"sample": {"x0": column(), "noise": 1.0}}, learned_std=(intercept, slope)
    )
    assert plan.inputs == ("sample", "output", "noise", "variance")
    layout, rows = plan.take([3, 2]).pack()
    np.testing.assert_array_equal(rows[:, layout.learned_std[0]], intercept[[3, 2]].astype(np.float32))
    np.testing.assert_array_equal(rows[:, layout.learned_std[1]], slope[[3, 2]].astype(np.float32))


def test_half_precision_packing_keeps_large_factors_out_of_the_sum():
    huge = np.array([1.0, 2e4, 1e7])
    plan = StepPlan(np.arange(3), {}, {"sample": {"sample": huge, "output": -huge}}, needs_fp16_gain=True)
    layout, rows = plan.pack(half=True)
    form = layout.sums[0]
    assert form.gain >= 0
    assert np.all(np.abs(rows[:, [place for _, place in form.terms]]) <= 1)
    # The factor is applied as two equal ones, which float16 holds, and which round nothing.
    gain = rows[:, form.gain].astype(np.float16)
    np.testing.assert_array_equal(np.log2(gain) % 1, 0)
    np.testing.assert_allclose(rows[:, form.terms[0][1]] * gain.astype(np.float32) ** 2, huge)


def test_inputs_name_noise_only_where_it_takes_part(plan):
    assert plan.stochastic and plan.inputs == ("sample", "previous", "output", "noise")
    quiet = StepPlan(np.arange(STEPS), {"output": 1.0}, {"sample": {"x0": 1.0}})
    assert not quiet.stochastic and quiet.inputs == ("sample", "output")


def test_weighted_adds_terms_of_the_same_name():
    total = linear_combination((2.0, {"sample": 1.0, "output": 3.0}), (-1.0, {"output": 4.0}))
    assert total == {"sample": 2.0, "output": 2.0}


def whole_plan():
    """A plan with a value in every field."""
    return StepPlan(
        timesteps=np.arange(STEPS)[::-1],
        x0={"sample": column(), "output": column()},
        states={"sample": {"sample": column(), "x0": column(), "noise": column()}, "previous": {"x0": 1.0}},
        results={"epsilon": {"output": 1.0, "x0": column()}},
        limit=Limit("threshold", 100.0, 0.9),
        needs_fp16_gain=True,
        next_level=(column(), column()),
        input_scale=column(),
        learned_std=(column(), column()),
        given=("mask",),
        langevin=column(),
        always_draws=True,
        level=(column(), column()),
        moves=column(),
    )


def variants(value):
    """Values of a field that differ from `value` in one number, one name or one entry."""
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, str):
        return [value + "_"]
    if isinstance(value, (int, float)):
        return [value / 2]
    if isinstance(value, np.ndarray):
        return [np.where(np.arange(STEPS) == k, value + 1, value) for k in (0, STEPS - 1)]
    if isinstance(value, Mapping):
        changed = [{**value, name: other} for name, part in value.items() for other in variants(part)]
        nested = any(isinstance(part, Mapping) for part in value.values())
        further = next(each for each in ("base", "noise", "output") if nested or each not in value and each != "base")
        return [*changed, {**value, further: {"output": 1.0} if nested else 1.0}]
    changed = [(*value[:i], other, *value[i + 1 :]) for i, part in enumerate(value) for other in variants(part)]
    return [type(value)(*each) for each in changed] if isinstance(value, Limit) else changed


def changed_plans(plan, name):
    """The plan with every variant of one field, and without it where it has a default."""
    (part,) = (each for each in dataclasses.fields(StepPlan) if each.name == name)
    without = [] if part.default is dataclasses.MISSING else [part.default]
    return [dataclasses.replace(plan, **{name: value}) for value in (*variants(getattr(plan, name)), *without)]


NAMES = [part.name for part in dataclasses.fields(StepPlan)]
ON_THE_HOST = ("timesteps", "next_level", "always_draws")
"""Fields that are not part of what a step computes."""


@pytest.mark.parametrize("name", NAMES)
def test_every_field_is_part_of_the_fingerprint(name):
    plan = whole_plan()
    others = {other.fingerprint for other in changed_plans(plan, name)}
    assert others and plan.fingerprint not in others
    assert dataclasses.replace(plan).fingerprint == plan.fingerprint


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ON_THE_HOST])
def test_every_field_that_a_step_depends_on_is_packed(name):
    plan = dataclasses.replace(whole_plan(), **({"learned_std": None} if name == "given" else {}))
    options = {"returns_x0": True, "half": True, "level": name == "level"}
    layout, rows = plan.pack(**options)
    for other in changed_plans(plan, name):
        if name == "level" and other.level is None:
            continue  # Refused where the levels are asked for.
        other_layout, other_rows = other.pack(**options)
        assert other_layout != layout or not np.array_equal(other_rows, rows)


def test_every_field_is_taken_along_with_the_steps():
    steps = [4, 1, 1]
    plan = whole_plan()
    taken = plan.take(steps)

    def check(whole, part):
        assert type(whole) is type(part)
        if isinstance(whole, np.ndarray):
            np.testing.assert_array_equal(part, whole[steps])
        elif isinstance(whole, Mapping):
            assert list(whole) == list(part)
            for name in whole:
                check(whole[name], part[name])
        elif type(whole) is tuple:
            assert len(whole) == len(part)
            for one, other in zip(whole, part):
                check(one, other)
        else:
            assert whole == part

    for name in NAMES:
        check(getattr(plan, name), getattr(taken, name))
    assert taken.take([0]).fingerprint == plan.take([4]).fingerprint != taken.fingerprint


@pytest.mark.parametrize("name", ["x0", "states", "results", "limit", "langevin"])
def test_the_step_on_the_host_follows_every_field(name):
    plan = dataclasses.replace(whole_plan(), learned_std=None)
    random = np.random.default_rng(1)
    values = {each: random.standard_normal((2, 9)) * np.logspace(0, 3, 9) for each in (*plan.inputs, "base")}
    for other in changed_plans(plan, name):
        step = next(k for k in range(STEPS) if other.take([k]).fingerprint != plan.take([k]).fingerprint)
        before, after = plan.run(step, **values), other.run(step, **values)
        assert before.keys() != after.keys() or any(np.any(before[each] != after[each]) for each in before)


def test_what_does_not_move_stays_with_all_that_is_remembered():
    weights = {"sample": {"sample": column(), "output": column()}, "previous": {"sample": 1.0}}
    plan = StepPlan(np.arange(STEPS), {}, weights, moves=np.tile([0.0, 1.0], (STEPS, 1)))
    assert plan.shape == (STEPS, 2)
    values = {name: np.random.default_rng(k).standard_normal((3, 2, 4)) for k, name in enumerate(plan.inputs)}
    after = plan.run(2, **values)
    moving = dataclasses.replace(plan, moves=None).run(2, **values)
    for name in weights:
        np.testing.assert_array_equal(after[name][:, 0], values[name][:, 0])
        np.testing.assert_array_equal(after[name][:, 1], moving[name][:, 1])


def test_weights_of_entries_multiply_the_first_axis_of_samples():
    per_entry = np.random.default_rng(0).standard_normal((STEPS, 3))
    plan = StepPlan(
        np.arange(STEPS),
        {"sample": per_entry, "output": column()},
        {"sample": {"x0": column(), "sample": 2.0}},
    )
    x, output = np.random.default_rng(1).standard_normal((2, 4, 3, 5))
    folded = plan.folded().run(1, sample=x, output=output)["sample"]
    np.testing.assert_allclose(plan.run(1, sample=x, output=output)["sample"], folded, rtol=1e-12)
    rows = plan.pack()[1]
    assert rows.shape[:2] == (STEPS, 3)
    for k in range(3):
        alone = dataclasses.replace(plan, x0={**plan.x0, "sample": per_entry[:, k]})
        np.testing.assert_allclose(alone.run(1, sample=x[:, k], output=output[:, k])["sample"], folded[:, k])
        assert np.array_equal(alone.pack()[1], rows[:, k])
