"""A seed is one stream: it goes on within a call and a trajectory, and begins again where the trajectory does."""

import copy
import os
import pickle

import numpy as np
import pytest
from mindspore import Tensor, nn, ops

from mindscience_diffuser import NoiseSource, RePaintScheduler, set_noise_function
from mindscience_diffuser.compat import KarrasVeScheduler, ScoreSdeVeScheduler
from mindscience_diffuser.noise import EDMPreconditioning, draw_noise
from mindscience_diffuser.noise.source import LARGE
from mindscience_diffuser.runs.data.batches import TrainingBatches
from mindscience_diffuser.sampling import DiffusionSampler, DiffusionSamplerConfig
from mindscience_diffuser.schedulers.base.scheduler import schedulers_by_name

RNG = np.random.default_rng(0)
SAMPLE = Tensor(RNG.standard_normal((2, 3, 4, 4)).astype(np.float32))


def scheduled(name):
    scheduler = schedulers_by_name()[name]()
    scheduler.set_timesteps(4)
    return scheduler


NAMES = [name for name in schedulers_by_name() if not name.startswith(("Pyramid", "RePaint"))]
STOCHASTIC = [name for name in NAMES if scheduled(name).plan.stochastic]


def trajectory(scheduler, steps=None, **options):
    sample, results = SAMPLE, []
    for t in scheduler.timesteps[:steps]:
        sample = scheduler.step(sample * 0.3, sample, t.item(), **options)
        results.append(sample.asnumpy())
    return results


@pytest.mark.parametrize("name", STOCHASTIC)
def test_a_trajectory_that_begins_again_begins_its_noise_again(name):
    scheduler = scheduled(name)
    first = trajectory(scheduler, generator=3)
    trajectory(scheduler, 2, generator=3)  # Given up in the middle.
    for before, after in zip(first, trajectory(scheduler, generator=3)):
        np.testing.assert_array_equal(before, after)
    assert np.abs(first[-1] - trajectory(scheduler, generator=4)[-1]).max() > 0


def skipping(name):
    """A seed over every second step of a trajectory."""
    scheduler = schedulers_by_name()[name]()
    scheduler.set_timesteps(8)
    sample = SAMPLE
    for t in scheduler.timesteps[:: 2 * scheduler.order]:
        sample = scheduler.step(sample * 0.3, sample, t.item(), generator=0)


@pytest.mark.parametrize("name", [name for name in STOCHASTIC if scheduled(name).order == 1])
def test_a_seed_goes_on_over_steps_that_are_left_out(name):
    drawn = drawn_by(lambda: skipping(name))
    assert len(drawn) >= 2
    assert_all_differ(drawn)


def repainted(scheduler):
    """The samples of a trajectory of RePaint with a seed: after each step and each step undone."""
    sample, samples = SAMPLE, []
    for before, t in zip([None, *scheduler.timesteps.tolist()], scheduler.timesteps.tolist()):
        if before is not None and t > before:
            sample = scheduler.undo_step(sample, before, generator=3)
        else:
            sample = scheduler.step(sample * 0.3, sample, t, SAMPLE, ops.ones_like(SAMPLE), generator=3)
        samples.append(sample.asnumpy())
    return samples


def test_a_second_trajectory_of_repaint_begins_its_seed_again():
    scheduler = RePaintScheduler()
    scheduler.set_timesteps(4, jump_length=2, jump_n_sample=2)
    first = []
    assert_all_differ(drawn_by(lambda: first.extend(repainted(scheduler))))
    np.testing.assert_array_equal(repainted(scheduler), first)


@pytest.mark.parametrize("name", STOCHASTIC)
@pytest.mark.parametrize("generator", [np.array([1, 2]), "seed", [1, 2, 3], -1], ids=str)
def test_a_step_that_fails_changes_nothing(name, generator):
    clean, scheduler = scheduled(name), scheduled(name)
    expected = trajectory(clean, generator=3)
    sample = SAMPLE
    for t, value, needed in zip(scheduler.timesteps, expected, scheduler.plan.needs_noise):
        if needed:
            with pytest.raises((TypeError, ValueError)):
                scheduler.step(sample * 0.3, sample, t.item(), generator=generator)
        sample = scheduler.step(sample * 0.3, sample, t.item(), generator=3)
        np.testing.assert_array_equal(sample.asnumpy(), value)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))])
@pytest.mark.parametrize("name", NAMES)
def test_a_copy_in_the_middle_of_a_trajectory_goes_on_as_the_original(name, copied):
    scheduler = scheduled(name)
    options = {"generator": 3} if name in STOCHASTIC else {}
    trajectory(scheduler, 1, **options)
    twin, t = copied(scheduler), scheduler.timesteps[1].item()
    expected = scheduler.step(SAMPLE * 0.2, SAMPLE, t, **options).asnumpy()
    np.testing.assert_array_equal(twin.step(SAMPLE * 0.2, SAMPLE, t, **options).asnumpy(), expected)


def assert_all_differ(drawn):
    """No noise begins as another one does."""
    for i, first in enumerate(drawn):
        for second in drawn[:i]:
            for one, other in zip(first, second):
                size = min(one.size, other.size)
                assert not np.any(np.ravel(one)[:size] == np.ravel(other)[:size])


def drawn_by(call):
    """The noise that a call draws."""
    drawn = []

    def recorded(shape, generator):
        drawn.append(previous(shape, generator))
        return drawn[-1]

    previous = set_noise_function(recorded)
    with previous:
        call()
    return drawn


class Denoiser(nn.Cell):
    def construct(self, x, sigma, obs, act):
        return 0.5 * x


def frames(generator, noise=None):
    sampler = DiffusionSampler(Denoiser(), DiffusionSamplerConfig(num_steps_denoising=2, s_churn=1.0))
    return sampler(ops.zeros((2, 1, 3, 4, 4)), ops.zeros((2, 1)), noise, generator=generator)


def karras_ve(generator):
    scheduler = KarrasVeScheduler()
    scheduler.set_timesteps(4)
    for _ in range(2):
        scheduler.add_noise_to_input(SAMPLE, scheduler.schedule[-1], generator=generator)


def stages(generator):
    scheduler = schedulers_by_name()["PyramidFlowMatchEulerDiscreteScheduler"]()
    sample = Tensor(draw_noise((2, 1, 4, 4), generator))
    for stage in (1, 2):
        sample = scheduler.renoise(sample, stage, generator=generator)


def given_start(generator):
    draw_noise(SAMPLE.shape, generator)
    frames(generator, noise=SAMPLE)


def correctors(generator):
    scheduler = ScoreSdeVeScheduler()
    scheduler.set_timesteps(4)
    scheduler.set_sigmas(4)
    for _ in range(2):
        scheduler.step_correct(SAMPLE, SAMPLE, generator=generator)
        scheduler.step_pred(SAMPLE, 1.0, SAMPLE, generator=generator)


DRAWING = {
    "stages and their start": lambda: stages(0),
    "frames after a start of the same seed": lambda: given_start(7),
    "correctors and predictors": lambda: correctors(0),
    "frames, a seed": lambda: frames(7),
    "frames, a seed for each": lambda: frames([7, 8]),
    "training noise": lambda: EDMPreconditioning(0.5, 0.3).training_noise(np.ones(2), (2, 3, 4, 4), generator=0),
    "churn by itself": lambda: karras_ve(0),
}


@pytest.mark.parametrize("name", DRAWING)
def test_the_draws_of_one_call_are_different_streams(name):
    drawn = drawn_by(DRAWING[name])
    assert len(drawn) >= 2
    assert_all_differ(drawn)
    for first, again in zip(drawn, drawn_by(DRAWING[name])):
        np.testing.assert_array_equal(first, again)


def test_a_function_of_noise_holds_inside_its_context():
    with set_noise_function(lambda shape, generator: np.ones(shape)):
        assert draw_noise((2, 2), 0).min() == 1
    assert draw_noise((2, 2), 0).min() < 1


def test_a_forked_child_draws_what_its_parent_draws():
    shape = (2, LARGE)
    expected = NoiseSource(0, 2).standard_normal(shape)
    child = os.fork()
    if child == 0:
        os._exit(0 if np.array_equal(NoiseSource(0, 2).standard_normal(shape), expected) else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_batches_can_be_asked_for_in_any_order():
    class Data:
        def __len__(self):
            return 16

        def batch(self, chosen):
            return (np.array(chosen, np.float32).reshape(-1, 1, 1),)

    def batches():
        return TrainingBatches(Data(), 5, lambda seed, step, size: np.zeros(size), 0.0, 0)

    one = batches()
    for step in (11, 0, 7, 3, 4):
        np.testing.assert_array_equal(one.batch(step).samples, batches().batch(step).samples)
