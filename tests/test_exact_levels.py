"""Every plan against exact mathematics, on the host: levels of the steps, where they end, noise and inpainting."""

import inspect

import numpy as np
import pytest
from all_schedulers import (
    CHURN,
    CLASSES,
    INVERSIONS,
    PYRAMID,
    ROUNDED,
    alpha_bar,
    built,
    choose,
    configurations,
    each,
    levels_told,
    scheduled,
)
from mindspore import Tensor, nn

from mindscience_diffuser import GridPolicy, Sampler
from mindscience_diffuser.schedulers.base.scheduler import schedulers_by_name

every_class = pytest.mark.parametrize("name", CLASSES)


# --- the levels of the steps -----------------------------------------------------------------------------------------


def comparable_rows(scheduler, plan):
    """Returns the rows whose level what the model is told tells exactly."""
    rows = np.arange(1, len(plan))
    name = type(scheduler).__name__
    # It is told the level of another time, or a rounded one.
    if name == "ScoreSdeVeScheduler" or any(scheduler.config.get(option) for option in (*ROUNDED, "use_flow_sigmas")):
        return rows[:0]
    # The timesteps of second calls in the middle of a step are interpolated in log(sigma).
    return rows[rows % 2 == 0] if name.startswith(("KDPM2", "DPMSolverSDE")) else rows


@every_class
def test_a_step_ends_at_the_level_of_the_next_timestep(name):
    for scheduler, message in each(name, (1, 3, 7, 10), **CHURN.get(name, {})):
        plan = scheduler.plan
        level, reached = np.array(plan.level), np.array(plan.next_level)
        np.testing.assert_array_equal(reached[:, :-1], level[:, 1:], err_msg=message)
        np.testing.assert_array_equal(np.array(scheduler.levels), np.append(level, reached[:, -1:], 1), err_msg=message)
        rows = comparable_rows(scheduler, plan)
        # Each step of DDIM's inversion leads to the level of what the model is told.
        told = level[:, rows] if name != "DDIMInverseScheduler" else reached[:, rows]
        expected = levels_told(scheduler, plan.timesteps.reshape(len(plan), -1)[rows, 0]) if len(rows) else told
        np.testing.assert_allclose(told, expected, rtol=2e-5, atol=1e-6, err_msg=message)


ENDS_CLEAN = {"set_alpha_to_one": {True: True, False: False}, "final_sigmas_type": {"zero": True, "sigma_min": False}}
# An inversion begins there, and the student of a distillation says where it ends.
CHOOSING = [(name, option) for name in CLASSES for option in ENDS_CLEAN if option in CLASSES[name].arguments]
CHOOSING = [(name, option) for name, option in CHOOSING if name not in (*INVERSIONS, "LCMScheduler", "TCDScheduler")]


@pytest.mark.parametrize("name, option", CHOOSING)
def test_trajectories_end_where_their_configuration_says(name, option):
    for value, clean in ENDS_CLEAN[option].items():
        scheduler = scheduled(name, {option: value}, 7)
        alpha, sigma = (float(level[-1]) for level in scheduler.plan.next_level)
        if clean:
            assert (alpha, sigma) == (1, 0)
        elif hasattr(scheduler, "preconditioning"):
            assert sigma == pytest.approx(scheduler.config.sigma_min)
        else:
            lowest = alpha_bar(scheduler.config)[0]
            assert sigma / alpha == pytest.approx(np.sqrt((1 - lowest) / lowest), rel=1e-6)


# --- the same timesteps, given or counted ----------------------------------------------------------------------------


def as_given(scheduler):
    """Returns what `timesteps` of `set_timesteps` must be for the present trajectory."""
    if type(scheduler).__name__ == "CMStochasticIterativeScheduler":
        return np.arange(0, scheduler.num_train_timesteps, scheduler.num_train_timesteps // 7)[:7][::-1]
    return getattr(scheduler, "times", scheduler.timesteps[:: scheduler.order])


TAKING = [n for n, kind in CLASSES.items() if "timesteps" in inspect.signature(kind.set_timesteps).parameters]


@pytest.mark.parametrize("name", TAKING)
def test_the_same_list_given_as_timesteps_gives_the_same_steps(name):
    for config in configurations(name):
        if any(config.get(option) for option in (*ROUNDED, "use_flow_sigmas")):
            continue  # Their sigmas are spaced, which timesteps cannot say.
        counted = scheduled(name, config, 7)
        given = scheduled(name, config, timesteps=as_given(counted))
        np.testing.assert_array_equal(counted.timesteps, given.timesteps)
        for ours, theirs in zip(counted.plan.pack(), given.plan.pack()):
            if isinstance(ours, np.ndarray):  # Timesteps of flows are rounded to float32.
                np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5, err_msg=str(config))
            else:
                assert ours == theirs
        np.testing.assert_allclose(counted.plan.next_level, given.plan.next_level, atol=1e-6, err_msg=str(config))


# --- leading timesteps -----------------------------------------------------------------------------------------------

LEADING = [name for name, kind in CLASSES.items() if "timestep_spacing" in kind.arguments]
LEADING = [name for name in LEADING if not hasattr(CLASSES[name], "_distilled_timesteps")]


def visited(scheduler):
    """Returns the timesteps of whole steps, ascending."""
    calls = getattr(scheduler, "plms_timesteps", scheduler.timesteps[:: scheduler.order])
    return np.unique([*calls, *getattr(scheduler, "prk_timesteps", ())[::4]])


@pytest.mark.parametrize("name", LEADING)
def test_leading_timesteps_begin_near_noise_however_many_they_are(name):
    scheduler = built(name, {"timestep_spacing": "leading"})
    for count in (1, 7, 20, 50, 70, 150, 333, 501, 600, 999, 1000):
        timesteps = visited(choose(scheduler, count))
        # A trajectory of inversion ends at T - 1, to which no step leads from there.
        assert len(timesteps) == count - (name == "DPMSolverMultistepInverseScheduler" and count == 1000)
        points = count + (hasattr(CLASSES[name], "inner_grid") and CLASSES[name].inner_grid)
        if name != "DPMSolverMultistepInverseScheduler":
            assert timesteps[-1] > 1000 - 2 * 1000 / points - 1
        if count == 1000 and name != "DPMSolverMultistepInverseScheduler":
            np.testing.assert_array_equal(timesteps, np.arange(1000))


# --- noise -----------------------------------------------------------------------------------------------------------


VARIANCES = ("fixed_small", "fixed_small_log", "fixed_large", "fixed_large_log", "learned", "learned_range")


@every_class
def test_a_step_to_the_clean_sample_adds_no_noise(name):
    ancestral = issubclass(CLASSES[name], CLASSES["DDPMScheduler"])
    for kind in [kind for kind in VARIANCES if CLASSES[name].takes("variance_type", kind)] if ancestral else [None]:
        for scheduler, message in each(name, (1, 7, 10), **({} if kind is None else {"variance_type": kind})):
            plan = scheduler.plan
            noise = np.broadcast_to(plan.states["sample"].get("noise", 0.0), len(plan))
            clean = plan.next_level[1] == 0
            np.testing.assert_array_equal(noise[clean], 0.0, err_msg=f"{kind}, {message}")
            assert not ancestral or np.all(noise[~clean] > 0)


@pytest.mark.parametrize("name", ["DDPMScheduler", "DDPMParallelScheduler"])
@pytest.mark.parametrize("kind", VARIANCES)
def test_given_timesteps_end_without_noise_wherever_they_end(name, kind):
    plan = scheduled(name, {"variance_type": kind}, timesteps=[900, 512, 20]).plan
    assert (plan.states["sample"]["noise"] > 0).tolist() == [True, True, False]


# --- inpainting ------------------------------------------------------------------------------------------------------


class Half(GridPolicy):
    """A model, and a policy, without parameters; with a variance where one is learned."""

    def __init__(self):
        super().__init__(nn.Identity())

    def construct(self, x, timestep):
        return 0.5 * x


ENDS = [("set_alpha_to_one", (True, False)), ("final_sigmas_type", ("zero", "sigma_min")), ("skip_prk_steps", (True,))]


@every_class
def test_inpainting_blends_with_exactly_the_known_values_at_the_end(name):
    variants = [{option: value} for option, values in ENDS for value in values if option in CLASSES[name].arguments]
    for config in variants or [{}]:
        scheduler = scheduled(name, config, 7)
        sampler = Sampler(Half(), scheduler, method="step", inpaint=True)
        blended = sampler.rows.asnumpy()[:, -2:]
        levels = np.stack(scheduler.plan.next_level, axis=1).astype(np.float32)
        np.testing.assert_array_equal(blended[:-1], levels[:-1])
        # An inversion ends at noise, and so do the known values.
        assert tuple(blended[-1]) == (tuple(levels[-1]) if name in INVERSIONS else (1, 0))


@pytest.mark.parametrize("name", ["PNDMScheduler", "DEISMultistepScheduler", "SASolverScheduler", "TCDScheduler"])
def test_inpainting_ends_with_exactly_the_known_values(name):
    shape = (2, 3, 4)
    noise, known = (Tensor(np.random.default_rng(k).standard_normal(shape).astype(np.float32)) for k in range(2))
    mask = Tensor((np.arange(4) % 2).astype(np.float32))
    sampler = Sampler(Half(), scheduled(name, {}, 4), inpaint=True)
    generator = {"generator": 0} if sampler.stochastic else {}
    drawn = sampler(noise, mask=mask, known=known, **generator).asnumpy()
    np.testing.assert_array_equal(drawn[..., ::2], known.asnumpy()[..., ::2])
    assert np.all(drawn[..., 1::2] != known.asnumpy()[..., 1::2])


def test_a_part_of_a_trajectory_blends_at_the_level_at_which_it_stops():
    scheduler = scheduled("DDIMScheduler", {}, 7)
    sampler = Sampler(Half(), scheduler, method="step", inpaint=True)
    sampler.select_steps(stop=3)
    levels = np.stack(scheduler.plan.next_level, axis=1).astype(np.float32)
    np.testing.assert_array_equal(sampler.rows.asnumpy()[:, -2:], levels[:3])
    sampler.select_steps(start=3)
    np.testing.assert_array_equal(sampler.rows.asnumpy()[-1, -2:], (1, 0))


def test_inpainting_needs_levels():
    scheduler = schedulers_by_name()[PYRAMID]()
    scheduler.set_timesteps(4, 0)
    with pytest.raises(ValueError, match=f"'inpaint' is True, but {PYRAMID} has no levels"):
        Sampler(Half(), scheduler, inpaint=True)
