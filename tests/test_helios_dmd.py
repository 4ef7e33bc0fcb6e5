"""The distilled Helios: exact on straight lines, through all stages, and as in diffusers."""

import mindspore as ms
import numpy as np
import pytest
import releases
from mindspore import Tensor, nn

from mindscience_diffuser import HeliosDMDScheduler, PyramidSampler, block_noise, compat
from mindscience_diffuser.noise import renoising_by_end

NAME = "HeliosDMDScheduler"
CASES = releases.CASES[NAME]
OF_DIFFUSERS = {"sigmas", "is_amplify_first_chunk"}
# In the last case diffusers shifts by exp(shift).
OF_BOTH = [k for k, case in enumerate(CASES[:-1]) if not OF_DIFFUSERS & case["set"].keys()]


def built(count, stage=0, mu=None, **config):
    scheduler = HeliosDMDScheduler(**config)
    scheduler.set_timesteps(count, stage, mu)
    return scheduler


@pytest.mark.parametrize("stage", [0, 1, 2])
@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_straight_line_is_followed_back_to_its_end(stage, count):
    scheduler, end, velocity = built(count, stage), -0.7, 1.9
    first = x = end + scheduler.sigmas[0] * velocity
    values = {"start": 0.0}
    for row, s_next in enumerate(scheduler.sigmas[1:]):
        predicted = x - scheduler.sigmas[row] * velocity
        values = scheduler.plan.run(row, sample=x, output=velocity, start=values["start"])
        x = values["sample"]
        assert x == pytest.approx((1 - s_next) * predicted + s_next * first, abs=1e-12)
        assert values["start"] == pytest.approx(first)
    # The first sample, at 0.999, stands for the start: of one step the end is exact, of more up to that thousandth.
    assert x == pytest.approx(end, abs=1e-12 if count == 1 else 0.001 * velocity)


def test_a_trajectory_that_begins_later_finds_its_start_on_the_line():
    scheduler = built(4, 1)
    plan = scheduler.plan_for(begin=2)
    x, v = 0.4, -1.1
    start = x + (scheduler.sigmas[0] - scheduler.sigmas[2]) * v
    found = plan.run(2, sample=x, output=v, start=0.0)
    assert found["start"] == pytest.approx(start)
    end, s_next = x - scheduler.sigmas[2] * v, scheduler.sigmas[3]
    assert found["sample"] == pytest.approx((1 - s_next) * end + s_next * start)


class Velocity(nn.Cell):
    def construct(self, x, timestep):
        return 0.5 * x + 0.001 * timestep.reshape((-1,) + (1,) * (x.ndim - 1))


def by_hand(scheduler, x, steps, renoise):
    """All stages by the formula, in float64."""
    for stage, count in enumerate(steps):
        scheduler.set_timesteps(count, stage)
        if stage > 0:
            _, scale, weight = renoising_by_end(1 - scheduler.ori_start_sigmas[stage], scheduler.gamma)
            x = scale * x.repeat(2, axis=-1).repeat(2, axis=-2) + weight * renoise[stage - 1]
        start = x
        for t, s, s_next in zip(scheduler.timesteps, scheduler.sigmas[:-1], scheduler.sigmas[1:]):
            x = (1 - s_next) * (x - s * (0.5 * x + 0.001 * float(t))) + s_next * start
    return x


def test_all_stages_run_in_a_pyramid_sampler():
    scheduler, steps = HeliosDMDScheduler(stages=2, stage_range=(0, 0.5, 1)), (2, 3)
    noise = np.random.default_rng(0).standard_normal((2, 1, 2, 4)).astype(np.float32)
    renoise = [block_noise((2, 1, 4, 8), generator=np.random.default_rng(1))]
    sampler = PyramidSampler(Velocity(), scheduler, steps)
    found = sampler(Tensor(noise), renoise=[Tensor(renoise[0])]).asnumpy()
    assert len(sampler.plan) == 5
    np.testing.assert_allclose(found, by_hand(scheduler, noise.astype(np.float64), steps, renoise), atol=2e-5)


@pytest.mark.every_case
@pytest.mark.parametrize("k", OF_BOTH)
def test_native_trajectories_are_those_of_diffusers(k):
    case = CASES[k]
    chosen = case["set"]
    scheduler = built(
        chosen["num_inference_steps"], chosen.get("stage_index", 0), chosen.get("mu"), **case.get("init", {})
    )
    releases.DRAWS.seed, releases.DRAWS.step = k, -1
    x = Tensor(releases.DRAWS(releases.VIDEO), ms.float32)
    for t in scheduler.timesteps:
        x = scheduler.step(Tensor(releases.toy(x.asnumpy(), float(t)), ms.float32), x, t)
    np.testing.assert_allclose(x.asnumpy(), releases.golden()[f"{NAME}_{k}_samples"][-1], atol=1e-5)


def test_refuses_shifts_that_do_not_go_together():
    with pytest.raises(ValueError, match="'shift' is 2.0, but must be 1 with use_dynamic_shifting"):
        built(2, mu=1.0, shift=2.0, use_dynamic_shifting=True)
    with pytest.raises(ValueError, match="'mu' must be given"):
        built(2, use_dynamic_shifting=True)
    with pytest.raises(ValueError, match="'stage_index' must be"):
        built(2, 3)


@pytest.mark.every_case
@pytest.mark.parametrize("k", range(len(CASES)))
def test_drop_in_trajectories_are_those_of_diffusers(k):
    releases.check_drop_in(NAME, k)


def test_drop_in_steps_and_tables():
    scheduler, x = compat.HeliosDMDScheduler(), Tensor(np.ones((2, 3, 1, 2, 2), np.float32))
    assert len(scheduler.timesteps) == len(scheduler.sigmas) == 1000 and not hasattr(scheduler, "num_inference_steps")
    assert scheduler.start_sigmas.keys() == scheduler.timesteps_per_stage.keys() == {0, 1, 2}
    assert scheduler.start_sigmas[0] == pytest.approx(0.999) and scheduler.end_sigmas[2] == 0.0
    tables = releases.golden()
    for name in ("start_sigmas", "end_sigmas", "ori_start_sigmas", "timestep_ratios"):
        np.testing.assert_allclose(list(getattr(scheduler, name).values()), tables[f"{NAME}_{name}"], rtol=1e-6)
    for name in ("timesteps_per_stage", "sigmas_per_stage"):
        found = [value.asnumpy()[[0, 1, -1]] for value in getattr(scheduler, name).values()]
        np.testing.assert_allclose(found, tables[f"{NAME}_{name}"], rtol=1e-6)
    scheduler.set_timesteps(2, stage_index=1)
    assert scheduler.num_inference_steps == 3 and len(scheduler.timesteps) == 2
    with pytest.raises(TypeError, match="'sigmas' of the schedule must be given"):
        scheduler.step(x, scheduler.timesteps[0], x)
    scheduler.init_sigmas()
    assert len(scheduler.timesteps) == 1000
