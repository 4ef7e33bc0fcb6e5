"""Trajectories of drop-in schedulers: the order of arguments, what a step returns, where it begins, and its noise."""

import logging

import numpy as np
import pytest
from mindspore import Tensor
from mindspore import dtype as mstype

from mindscience_diffuser import compat, set_noise_function
from mindscience_diffuser.compat.outputs import StepOutput

SHAPE = (2, 3, 4, 4)
STEPS = 6

# Classes whose calls differ from those of all others; they have tests of their own.
OTHER_CALLS = {
    *("KarrasVeScheduler", "ScoreSdeVeScheduler", "ScoreSdeVpScheduler", "RePaintScheduler", "SCMScheduler"),
    *("RFD4ProteinaScheduler", "ConsistencyDecoderScheduler", "PiflowScheduler"),
    *("HeliosDMDScheduler", "HeliosScheduler"),
}
# The noise of torchsde's Brownian tree cannot be given. CogVideoX's solver takes the past as an argument. In IPNDM
# diffusers divides by an alpha of 1e-8 at pure noise.
INCOMPARABLE = {"DPMSolverSDEScheduler", "CosineDPMSolverMultistepScheduler", "CogVideoXDPMScheduler", "IPNDMScheduler"}
COMPARED = [name for name in compat.CLASSES if name not in OTHER_CALLS | INCOMPARABLE]


def arrays(count=1, seed=0):
    """Returns random arrays of the shape of a sample: steps take them as outputs of a model, whatever it is."""
    return np.random.default_rng(seed).standard_normal((count, *SHAPE)).astype(np.float32)


def scheduled(name, steps=STEPS, **arguments):
    scheduler = getattr(compat, name)(**arguments)
    scheduler.set_timesteps(steps)
    return scheduler


@pytest.fixture
def given_noise():
    """Makes all noise, that of diffusers too, one array."""
    noise = arrays(seed=9)[0]
    previous = set_noise_function(lambda shape, generator: noise)
    yield noise
    set_noise_function(previous)


def diffusers_like(ours, noise, monkeypatch):
    """Returns diffusers' scheduler of the same class, whose noise is `noise`."""
    torch, diffusers = pytest.importorskip("torch"), pytest.importorskip("diffusers")
    import importlib
    import sys

    kind = getattr(diffusers, type(ours).__name__)
    if not kind.__module__.startswith("diffusers.schedulers.scheduling_"):
        kind = importlib.import_module("diffusers.schedulers.deprecated").__dict__[type(ours).__name__]
    monkeypatch.setattr(
        sys.modules[kind.__module__], "randn_tensor", lambda *args, **kwargs: torch.tensor(noise), False
    )
    return kind.from_config(dict(ours.config))


@pytest.mark.parametrize("name", COMPARED)
@pytest.mark.filterwarnings("ignore")
def test_a_trajectory_is_that_of_diffusers(name, given_noise, monkeypatch):
    torch = pytest.importorskip("torch")
    ours = getattr(compat, name)()
    theirs = diffusers_like(ours, given_noise, monkeypatch)
    for scheduler in (ours, theirs):
        scheduler.set_timesteps(STEPS)
    start = arrays(seed=1)[0] * float(getattr(theirs, "init_noise_sigma", 1.0))
    outputs = arrays(len(ours.native.timesteps), seed=2)
    mine, other = Tensor(start), torch.tensor(start)
    for i, output in enumerate(outputs):
        if hasattr(theirs, "scale_model_input"):
            mine_scaled = ours.scale_model_input(mine, ours.timesteps[i]).asnumpy()
            scaled = theirs.scale_model_input(other, theirs.timesteps[i]).numpy()
            np.testing.assert_allclose(mine_scaled, scaled, rtol=1e-3, atol=2e-4 * np.abs(scaled).max())
        t = theirs.timesteps[i : i + 1] if name == "DDPMWuerstchenScheduler" else theirs.timesteps[i]
        mine = ours.step(Tensor(output), ours.timesteps[i], mine)[0]
        other = theirs.step(torch.tensor(output), t, other)[0]
    # The float32 of diffusers loses 1 - alpha_bar at the first timesteps of a cosine schedule.
    tolerance = 1e-3 if name == "UnCLIPScheduler" else 2e-4
    np.testing.assert_allclose(mine.asnumpy(), other.numpy(), atol=tolerance * np.abs(other.numpy()).max())


def test_steps_return_outputs_by_name_key_and_position_or_tuples():
    scheduler, (output, sample) = scheduled("DDIMScheduler"), map(Tensor, arrays(2))
    result = scheduler.step(output, scheduler.timesteps[0], sample)
    assert isinstance(result, StepOutput) and list(result) == ["prev_sample", "pred_original_sample"]
    assert result.prev_sample is result["prev_sample"] and result.prev_sample is result[0]
    as_tuple = scheduler.step(output, scheduler.timesteps[0], sample, return_dict=False)
    assert isinstance(as_tuple, tuple) and len(as_tuple) == 2
    np.testing.assert_array_equal(as_tuple[0].asnumpy(), result[0].asnumpy())
    with pytest.raises(AttributeError, match="no_such"):
        result.no_such  # noqa: B018
    lcm = scheduled("LCMScheduler", 2)
    assert list(lcm.step(output, lcm.timesteps[0], sample)) == ["prev_sample", "denoised"]


def test_half_precision_comes_and_goes_in_half_precision():
    scheduler, (output, sample) = scheduled("EulerDiscreteScheduler"), (Tensor(a, mstype.float16) for a in arrays(2))
    t = scheduler.timesteps[0]
    assert scheduler.scale_model_input(sample, t).dtype == mstype.float16
    assert scheduler.step(output, t, sample).prev_sample.dtype == mstype.float16
    assert scheduler.add_noise(sample, output, scheduler.timesteps[2:3]).dtype == mstype.float16


def test_a_pipeline_that_begins_in_the_middle_says_where():
    scheduler, (output, sample) = scheduled("UniPCMultistepScheduler", 10), map(Tensor, arrays(2))
    assert scheduler.begin_index is None and scheduler.step_index is None
    scheduler.set_begin_index(4)
    noisy = scheduler.add_noise(sample, output, scheduler.timesteps[4:5])
    np.testing.assert_allclose(
        noisy.asnumpy(),
        scheduled("UniPCMultistepScheduler", 10).add_noise(sample, output, scheduler.timesteps[4:5]).asnumpy(),
        rtol=1e-6,
    )
    scheduler.step(output, scheduler.timesteps[4], sample)
    assert (scheduler.begin_index, scheduler.step_index) == (4, 5)
    # Inpainting adds the noise of the present step, whatever the timestep.
    inpainted = scheduler.add_noise(sample, output, scheduler.timesteps[:1])
    expected = scheduled("UniPCMultistepScheduler", 10).add_noise(sample, output, scheduler.timesteps[5:6])
    np.testing.assert_allclose(inpainted.asnumpy(), expected.asnumpy(), rtol=1e-6)
    scheduler.set_timesteps(10)
    assert scheduler.begin_index is None and scheduler.step_index is None


def test_lms_from_the_middle_has_the_order_of_the_row_as_in_diffusers():
    # The loop with noise of diffusers' own test of LMS: 27663.48 in float64, 27663.69 in its float32.
    values = np.arange(768, dtype=np.float32).reshape(3, 8, 8, 4) / 768
    sample, noise = (Tensor(v.transpose(3, 0, 1, 2).copy()) for v in (values, values[::-1, ::-1, ::-1, ::-1]))
    scheduler = scheduled("LMSDiscreteScheduler", 10, num_train_timesteps=1100, beta_start=1e-4, beta_end=0.02)
    timesteps = scheduler.timesteps[8:]
    sample = scheduler.add_noise(sample * scheduler.init_noise_sigma, noise, timesteps[:1])
    for count, t in enumerate(timesteps, 1):
        sample = scheduler.scale_model_input(sample, t)
        sample = scheduler.step(sample * (t / (t + 1)), t, sample).prev_sample
        assert len(scheduler.derivatives) == count
    assert abs(np.abs(sample.asnumpy()).sum() - 27663.48) < 0.05


def test_a_multistep_solver_shows_what_it_remembers_and_takes_what_is_set():
    scheduler, (output, sample) = scheduled("DPMSolverMultistepScheduler"), map(Tensor, arrays(2))
    assert scheduler.model_outputs == [None, None] and scheduler.lower_order_nums == 0
    converted = [scheduler.step(output, scheduler.timesteps[0], sample), scheduler.model_outputs[-1]][1]
    assert scheduler.lower_order_nums == 1 and converted.shape == SHAPE
    scheduler.model_outputs = [None, sample]
    np.testing.assert_array_equal(scheduler.model_outputs[-1].asnumpy(), sample.asnumpy())
    lms = scheduled("LMSDiscreteScheduler")
    assert lms.derivatives == []
    lms.scale_model_input(sample, lms.timesteps[0])
    lms.step(output, lms.timesteps[0], sample)
    assert len(lms.derivatives) == 1


def test_a_learned_variance_is_split_off_the_model_output(given_noise):
    output, sample, variance = arrays(3)
    fixed = scheduled("DDPMScheduler", variance_type="learned_range")
    both = Tensor(np.concatenate([output, np.tanh(variance)], axis=1))
    split = fixed.step(both, fixed.timesteps[0], Tensor(sample)).prev_sample.asnumpy()
    t = fixed.timesteps[0]
    expected = fixed.native.step(
        Tensor(output), Tensor(sample), t, predicted_variance=Tensor(np.tanh(variance)), noise=Tensor(given_noise)
    )
    np.testing.assert_allclose(split, expected.asnumpy(), rtol=1e-6)
    solver = scheduled("DPMSolverMultistepScheduler", variance_type="learned_range")
    assert solver.step(both, solver.timesteps[0], Tensor(sample)).prev_sample.shape == SHAPE


# --- noise -----------------------------------------------------------------------------------------------------------


class Constant:
    def standard_normal(self, shape):
        return np.full(shape, 0.5)


@pytest.mark.parametrize(
    "generator, noise",
    [
        (lambda: np.random.default_rng(3), lambda: np.random.default_rng(3).standard_normal(SHAPE)),
        (lambda: [np.random.default_rng(3)], lambda: np.random.default_rng(3).standard_normal(SHAPE)),
        (
            lambda: [np.random.default_rng(3), np.random.default_rng(4)],
            lambda: [np.random.default_rng(seed).standard_normal(SHAPE[1:]) for seed in (3, 4)],
        ),
        (lambda: Constant(), lambda: np.full(SHAPE, 0.5)),
    ],
)
def test_generators_give_the_noise_that_mindone_draws(generator, noise):
    scheduler, (output, sample) = scheduled("DDIMScheduler"), map(Tensor, arrays(2))
    t = scheduler.timesteps[0]
    drawn = scheduler.step(output, t, sample, eta=1.0, generator=generator()).prev_sample
    given = scheduler.step(output, t, sample, eta=1.0, variance_noise=Tensor(np.float32(noise()))).prev_sample
    np.testing.assert_allclose(drawn.asnumpy(), given.asnumpy(), atol=1e-6)


def test_a_seed_draws_other_noise_at_each_step_and_the_same_in_the_next_trajectory():
    scheduler, (output, sample) = scheduled("DDPMScheduler"), map(Tensor, arrays(2))

    def moves(generator):
        scheduler.set_timesteps(STEPS)
        first, second = (scheduler.step(output, scheduler.timesteps[1], sample, generator=generator)[0] for _ in "ab")
        return first.asnumpy(), second.asnumpy()

    once, again = moves(5), moves(5)
    assert not np.allclose(once[0], once[1])
    np.testing.assert_array_equal(once, again)
    both = moves([5, 6])
    np.testing.assert_allclose(both[0][:1], moves([5, 7])[0][:1], rtol=1e-6)
    assert not np.allclose(both[0][1:], moves([5, 7])[0][1:])


# --- mistakes --------------------------------------------------------------------------------------------------------


def test_a_step_before_a_schedule_is_an_error_where_diffusers_needs_one():
    output, sample = map(Tensor, arrays(2))
    with pytest.raises(ValueError, match="set_timesteps"):
        compat.DDIMScheduler().step(output, 10, sample)
    assert compat.DDPMScheduler().step(output, 10, sample).prev_sample.shape == SHAPE


def test_positions_in_place_of_timesteps_and_steps_beyond_the_end_are_errors():
    scheduler, (output, sample) = scheduled("EulerDiscreteScheduler", 2), map(Tensor, arrays(2))
    with pytest.raises(ValueError, match="timesteps, no position"):
        scheduler.step(output, 1, sample)
    for t in scheduler.timesteps:
        scheduler.step(output, t, sample)
    with pytest.raises(IndexError, match="2 steps, all taken"):
        scheduler.step(output, scheduler.timesteps[1], sample)


def test_an_unscaled_input_is_warned_of(caplog):
    scheduler, (output, sample) = scheduled("EulerDiscreteScheduler", 2), map(Tensor, arrays(2))
    with caplog.at_level(logging.WARNING):
        scheduler.step(output, scheduler.timesteps[0], sample)
    assert "scale_model_input" in caplog.text


def test_runge_kutta_steps_come_before_those_of_adams_and_bashforth():
    scheduler, (output, sample) = scheduled("PNDMScheduler", 10), map(Tensor, arrays(2))
    with pytest.raises(ValueError, match="12 calls of 'step_prk' come first"):
        scheduler.step_plms(output, scheduler.plms_timesteps[0], sample)
    for t in scheduler.prk_timesteps:
        sample = scheduler.step_prk(output, t, sample).prev_sample
    with pytest.raises(ValueError, match="go on with 'step_plms'"):
        scheduler.step_prk(output, scheduler.prk_timesteps[0], sample)
    assert scheduler.step_plms(output, scheduler.plms_timesteps[0], sample).prev_sample.shape == SHAPE


@pytest.mark.parametrize(
    ("steps", "options", "expected"),
    [(10, {"s_churn": 0.5}, 19), (6, {"s_churn": 5.0, "s_tmin": 0.2, "s_tmax": 0.7}, 6), (6, {}, 0)],
)
def test_churned_flow_draws_noise_in_both_calls_of_a_step(steps, options, expected):
    """As diffusers does, so that its generator stands where ours does; the counts are those of diffusers 0.42.1."""
    drawn = []
    previous = set_noise_function(lambda shape, generator: drawn.append(shape) or np.zeros(shape, np.float32))
    scheduler, x = scheduled("FlowMatchHeunDiscreteScheduler", steps), Tensor(arrays()[0])
    for t in scheduler.timesteps:
        x = scheduler.step(0.3 * x, t, x, **options).prev_sample
    set_noise_function(previous)
    assert len(drawn) == expected


COSINE = {"beta_schedule": "squaredcos_cap_v2", "use_karras_sigmas": True}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("DPMSolverMultistepInverseScheduler", [0, 259, 895, 983, 995, 998, 999]),
        ("DPMSolverSinglestepScheduler", [999, 999, 999, 998, 998, 995, 983, 895, 259, 0]),
    ],
)
def test_karras_timesteps_of_cosine_schedules_are_rounded(name, expected):
    """Of diffusers' classes only DPMSolverMultistep cuts them; the expected timesteps are those of diffusers 0.42.1."""
    assert scheduled(name, 10, **COSINE).timesteps.asnumpy().tolist() == expected


@pytest.mark.parametrize("spacing", ["use_exponential_sigmas", "use_beta_sigmas"])
def test_the_inverse_scheduler_keeps_timesteps_that_differ_by_fractions(spacing):
    scheduler = scheduled("DPMSolverMultistepInverseScheduler", 100, **{spacing: True})
    assert len(scheduler.timesteps) == scheduler.num_inference_steps == 100
