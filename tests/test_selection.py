"""A part of the steps: what select_steps means holds for every later schedule, from the level of its first row on."""

import copy

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn

from mindscience_diffuser import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    FlowMatchEulerDiscreteScheduler,
    GridPolicy,
    LCMScheduler,
    PyramidSampler,
    Sampler,
    TCDScheduler,
    compat,
)
from mindscience_diffuser.noise import share_of
from mindscience_diffuser.schedulers.base.scheduler import schedulers_by_name

PYRAMID = "PyramidFlowMatchEulerDiscreteScheduler"  # Its schedules are those of stages.
CLASSES = {name: kind for name, kind in schedulers_by_name().items() if not hasattr(kind, "plan_of_stages")}
KARRAS = {name: kind for name, kind in CLASSES.items() if "use_karras_sigmas" in kind.arguments}
LATENT = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}


class Half(GridPolicy):
    """A model, and a policy, without parameters."""

    def __init__(self):
        super().__init__(nn.Identity())

    def construct(self, x, timestep):
        return 0.5 * x


def expected_rows(scheduler, share):
    """The first row and the number of rows of the last `share` percent of the steps, in integers."""
    steps = -(-len(scheduler.plan) // scheduler.order)
    start = (steps - steps * share // 100) * scheduler.order
    return start, len(scheduler.plan) - start


@pytest.mark.parametrize("count", range(1, 201))
def test_a_share_of_steps_is_the_exact_product_rounded_down(count):
    for percent in range(101):
        for share in (percent / 100, np.float32(percent / 100), 1 - (100 - percent) / 100):
            assert share_of(count, share) == count * percent // 100
    for parts in (3, 7, 9, 11, 13):
        for part in range(parts + 1):
            assert share_of(count, part / parts) == count * part // parts


@pytest.mark.parametrize("count, strength, kept", [(100, 0.29, 29), (100, 0.57, 57), (50, 0.58, 29), (100, 1.0, 100)])
def test_strength_keeps_the_exact_number_of_steps(count, strength, kept):
    scheduler = DDIMScheduler()
    scheduler.set_timesteps(count)
    sampler = Sampler(Half(), scheduler)
    sampler.select_steps(strength=strength)
    assert len(sampler.plan) == kept


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.filterwarnings("ignore")
def test_a_strength_is_applied_anew_to_each_schedule(name):
    scheduler = CLASSES[name]()
    scheduler.set_timesteps(30)
    sampler = Sampler(Half(), scheduler, method="step")
    sampler.select_steps(strength=0.58)
    for count in (30, 20, 40, 3):
        scheduler.set_timesteps(count)
        start, rows = expected_rows(scheduler, 58)
        assert len(sampler.plan) == rows > 0
        np.testing.assert_array_equal(sampler.plan.timesteps, scheduler.plan.timesteps[start:])
        np.testing.assert_array_equal(sampler.timesteps.asnumpy()[:rows], scheduler.plan.timesteps[start:])


def test_half_of_the_steps_stays_half_on_the_device():
    scheduler = DDIMScheduler(clip_sample=False)
    scheduler.set_timesteps(50)
    sampler = Sampler(Half(), scheduler)
    sampler.select_steps(strength=0.5)
    x = Tensor(np.random.default_rng(0).standard_normal((2, 5)), ms.float32)
    for count, kept in ((50, 25), (20, 10), (100, 50)):
        scheduler.set_timesteps(count)
        assert len(sampler.plan) == kept
        expected = x.asnumpy()
        for row in range(count - kept, count):
            expected = scheduler.plan.run(row, sample=expected, output=0.5 * expected)["sample"]
        np.testing.assert_allclose(sampler(x).asnumpy(), expected, rtol=1e-5)


def state(scheduler):
    """What a schedule is, on the host and on the device."""
    table = scheduler.table.rows.asnumpy().tobytes()
    levels = [part.tobytes() for part in scheduler.levels]
    return scheduler.num_inference_steps, scheduler.timesteps.tobytes(), scheduler.plan.fingerprint, table, levels


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.filterwarnings("ignore")
def test_a_schedule_without_the_selected_rows_is_refused_and_changes_nothing(name):
    scheduler = CLASSES[name]()
    scheduler.set_timesteps(30)
    order, rows = scheduler.order, len(scheduler.plan)
    whole, part = Sampler(Half(), scheduler, method="step"), Sampler(Half(), scheduler, method="step")
    start = 20 * order
    for selection, message in (({"start": start}, "'start' is"), ({"start": order, "stop": rows}, "'stop' is")):
        part.select_steps(**selection)
        before = state(scheduler), whole.plan.fingerprint, part.plan.fingerprint
        with pytest.raises(ValueError, match=f"{message}.*select_steps"):
            scheduler.set_timesteps(3)
        assert (state(scheduler), whole.plan.fingerprint, part.plan.fingerprint) == before
    part.select_steps(start=order)
    scheduler.set_timesteps(29)
    assert len(part.plan) == len(scheduler.plan) - order
    with pytest.raises(ValueError, match="'stop' is"):
        part.select_steps(stop=1000)
    assert len(part.plan) == len(scheduler.plan) - order


@pytest.mark.parametrize("name", KARRAS)
@pytest.mark.filterwarnings("ignore")
def test_the_starting_point_has_the_level_of_its_row_among_equal_timesteps(name):
    arguments = {"use_karras_sigmas": True, **LATENT}
    scheduler = KARRAS[name](**{key: value for key, value in arguments.items() if key in KARRAS[name].arguments})
    scheduler.set_timesteps(100)
    timesteps, order = scheduler.plan.timesteps, scheduler.order
    last = len(timesteps) - 1 - (len(timesteps) - 1) % order
    sampler = Sampler(Half(), scheduler, method="step")
    for row in (order, last - 2 * order, last):
        sampler.select_steps(start=row)
        # The weights of the clean sample and of the noise.
        point = sampler.starting_point(Tensor([[1.0, 0.0]], ms.float32), Tensor([[0.0, 1.0]], ms.float32))
        level = [end[row - 1] for end in scheduler.plan.next_level]
        np.testing.assert_allclose(point.asnumpy()[0], level, rtol=1e-6)


def test_rows_of_equal_timesteps_have_the_levels_of_karras_formula():
    scheduler = DPMSolverMultistepScheduler(**LATENT, use_karras_sigmas=True)
    scheduler.set_timesteps(100)
    assert scheduler.timesteps[95] == scheduler.timesteps[96] == scheduler.timesteps[97]
    sampler = Sampler(Half(), scheduler, method="step")
    ends = np.array([scheduler.training_sigmas[-1], scheduler.training_sigmas[0]]) ** (1 / 7)
    for row in (95, 96, 97):
        sampler.select_steps(start=row)
        zero, one = Tensor([[0.0, 0.0]], ms.float32), Tensor([[1.0, 1.0]], ms.float32)
        sigma = (ends[0] + row / 99 * (ends[1] - ends[0])) ** 7
        np.testing.assert_allclose(sampler.starting_point(zero, one).asnumpy(), sigma / np.hypot(sigma, 1), rtol=1e-5)


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.filterwarnings("ignore")
def test_every_trajectory_starts_at_the_level_of_its_first_row(name):
    scheduler = CLASSES[name]()
    scheduler.set_timesteps(10)
    one, zero = Tensor([[1.0, 0.0]], ms.float32), Tensor([[0.0, 1.0]], ms.float32)
    for row in (0, 4 * scheduler.order):
        expected = [level[row] for level in scheduler.levels]
        np.testing.assert_allclose(scheduler.noised_to_row(one, zero, row).asnumpy()[0], expected, rtol=1e-6, atol=1e-7)
    for row, error in ((-1, ValueError), (len(scheduler.plan), ValueError), (1.0, TypeError), (True, TypeError)):
        with pytest.raises(error, match=f"'row' must be .* but is {row}"):
            scheduler.noised_to_row(one, zero, row)


def test_the_stages_of_a_pyramid_keep_their_selection():
    scheduler = schedulers_by_name()[PYRAMID]()
    sampler = PyramidSampler(Half(), scheduler, 10)
    sampler.stages[2].select_steps(strength=0.5)
    sampler.set_timesteps(20)
    assert [len(stage.plan) for stage in sampler.stages] == [20, 20, 10]
    sampler.stages[2].select_steps(start=15)
    with pytest.raises(ValueError, match="'start' is 15"):
        sampler.set_timesteps(12)
    assert [len(stage.plan) for stage in sampler.stages] == [20, 20, 5]
    sampler.stages[0].follow()
    assert len(sampler.stages[0].plan) == 20


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy])
def test_a_copied_sampler_follows_its_own_scheduler(duplicate):
    scheduler = DDIMScheduler()
    scheduler.set_timesteps(10)
    sampler = Sampler(Half(), scheduler)
    sampler.select_steps(strength=0.5)
    copied = duplicate(sampler)
    copied.scheduler.set_timesteps(20)
    assert len(copied.plan) == 10
    shared = copied.scheduler is scheduler
    assert shared == (duplicate is copy.copy) and len(sampler.plan) == (10 if shared else 5)
    scheduler.set_timesteps(30)
    assert len(sampler.plan) == 15 and len(copied.plan) == (15 if shared else 10)
    assert len(copy.deepcopy(scheduler).followers) == 0


@pytest.mark.filterwarnings("ignore:.*not distilled on")
def test_the_distillation_of_lcm_and_tcd_keeps_exact_shares():
    schedulers = LCMScheduler(), TCDScheduler()
    for original in range(1, 201):
        for percent in range(1, 101):
            for scheduler in schedulers:
                distilled = scheduler._distilled_timesteps(original, False, percent / 100)
                assert len(distilled) == original * percent // 100
    for scheduler in schedulers:
        scheduler.set_timesteps(29, original_inference_steps=100, strength=0.29)
        assert len(scheduler.timesteps) == 29
        scheduler.set_timesteps(timesteps=list(range(999, -1, -10)), strength=0.57)
        assert len(scheduler.timesteps) == 57
    scheduler.set_timesteps(2, original_inference_steps=1000, strength=0.29)
    np.testing.assert_array_equal(scheduler.timesteps, [289, 144])


@pytest.mark.parametrize("kind", [LCMScheduler, TCDScheduler])
def test_distilled_timesteps_are_spread_by_exact_integers(kind):
    for total in range(1, 121):
        for count in range(1, total + 1):
            expected = [i * total // count for i in range(count)]
            assert kind.evenly_spread(count, total).tolist() == expected


@pytest.mark.filterwarnings("ignore:.*not distilled on")
def test_tcd_leads_to_the_exact_share_of_the_next_timestep():
    scheduler = TCDScheduler()
    scheduler.set_timesteps(timesteps=list(range(999, -1, -1)))
    alphas = np.sqrt(np.cumprod(1 - scheduler.betas))
    for percent in range(1, 101):
        noised = scheduler.trajectory_plan(eta=percent / 100).results["pred_noised_sample"]
        s = [(100 - percent) * t // 100 for t in [*range(998, -1, -1), 0]]
        np.testing.assert_allclose(noised["x0"], alphas[s])


@pytest.mark.filterwarnings("ignore")
def test_the_drop_in_schedulers_cut_products_as_diffusers_does():
    lcm, tcd = compat.LCMScheduler(), compat.TCDScheduler()
    for original in (50, 100, 200):
        for percent in range(1, 101):
            kept = int(original * (percent / 100))
            for scheduler in (lcm, tcd) if kept else ():
                scheduler.set_timesteps(1, original_inference_steps=original, strength=percent / 100)
                origin = (
                    np.arange(1, kept + 1) * (1000 // original) - 1
                    if scheduler is lcm
                    else np.arange(int(1000 * (percent / 100)))
                )
                assert scheduler.timesteps.asnumpy().tolist() == [origin[-1]]
    with pytest.raises(ValueError, match="leave 28 timesteps"):
        lcm.set_timesteps(29, original_inference_steps=100, strength=0.29)
    for count, total in ((22, 30), (26, 30), (33, 45), (46, 52)):
        spread = np.floor(np.linspace(0, total, num=count, endpoint=False)).astype(int)
        assert spread.tolist() != [i * total // count for i in range(count)]
        lcm.set_timesteps(count, original_inference_steps=total)
        origin = np.arange(1, total + 1)[::-1] * (1000 // total) - 1
        np.testing.assert_array_equal(lcm.timesteps.asnumpy(), origin[spread])
    # floor(float32(0.84) * 75) is 62.
    tcd.set_timesteps(timesteps=[999, 75, 10])
    plan = tcd.native.plan_for(eta=0.16)
    x0 = tcd.native.trajectory_plan(eta=0.16).results["pred_noised_sample"]["x0"]
    np.testing.assert_allclose(x0, np.sqrt(tcd.native.alphas_cumprod.asnumpy()[[62, 8, 0]]), rtol=1e-6)
    assert len(plan) == 3


def test_a_time_of_score_sde_finds_the_level_that_diffusers_finds():
    scheduler = compat.ScoreSdeVeScheduler(num_train_timesteps=50)
    for count in (11, 29, 83, 199):
        scheduler.set_timesteps(count)
        times = scheduler.timesteps.asnumpy()
        found = [scheduler._level_index(Tensor(t)) for t in times]
        assert found == (times * np.float32(count - 1)).astype(int).tolist()


def test_stages_of_a_pyramid_begin_at_exact_shares():
    for count in (100, 1000):
        for percent in (29, 57, 58):
            stages = schedulers_by_name()[PYRAMID](
                num_train_timesteps=count, stages=2, stage_range=[0, percent / 100, 1]
            )
            levels = np.arange(count, 0, -1) / count
            assert stages.ori_start_sigmas[1] == levels[count * percent // 100]


def test_warnings_of_set_timesteps_point_to_the_call():
    for call in (
        lambda: LCMScheduler().set_timesteps(timesteps=[5, 3]),
        lambda: DPMSolverMultistepScheduler(solver_order=3).set_timesteps(2),
        lambda: FlowMatchEulerDiscreteScheduler().set_timesteps(3, mu=1.0),
    ):
        with pytest.warns(UserWarning) as caught:
            call()
        assert [warning.filename for warning in caught] == [__file__]
