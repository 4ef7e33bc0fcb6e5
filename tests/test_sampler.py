import subprocess
import sys
import time
from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
from all_schedulers import CLASSES, choose
from mindspore import Tensor, nn, ops

from mindscience_diffuser import (
    ClassifierFreeGuidance,
    ConditionDiffusionTransformer,
    DDIMScheduler,
    DDPMScheduler,
    EDMHeunScheduler,
    LMSDiscreteScheduler,
    NoiseSource,
    ResidualSampler,
    Sampler,
    UniPCMultistepScheduler,
)
from mindscience_diffuser.sampling.compiled import with_own_memory

METHODS = ("step", "loop", "unrolled")
SHAPE = (3, 2, 4, 5)


class Denoiser(nn.Cell):
    """Depends on its input, the timestep and any conditions, which are added."""

    def construct(self, x, timestep, *conditions):
        output = 0.3 * x + 0.1 * timestep.astype(x.dtype).reshape((-1, 1, 1, 1)) / 1000
        for condition in conditions:
            output = output + condition.reshape((-1, 1, 1, 1)).astype(x.dtype)
        return output


class PairDenoiser(nn.Cell):
    def construct(self, x, timestep, pair):
        return 0.3 * x + (pair[0] * pair[1]).reshape((-1, 1, 1, 1))


class Misfit(nn.Cell):
    def __init__(self, change):
        super().__init__()
        self.change = change

    def construct(self, x, timestep):
        return x[:, :1] if self.change == "shape" else x.astype(ms.int32)


def tensor(*shape, seed=0):
    return Tensor(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))


def scheduled(scheduler_class=DDIMScheduler, steps=6, **arguments):
    scheduler = scheduler_class(**arguments)
    scheduler.set_timesteps(steps)
    return scheduler


def by_hand(scheduler, noise, conditions, source, **options):
    """The trajectory as a user writes it: the model, then `step`."""
    model = Denoiser()
    x = noise
    for t in scheduler.timesteps:
        output = model(x, ops.full((noise.shape[0],), int(t), dtype=ms.int32), *conditions)
        x = scheduler.step(output, x, t, generator=source, **options)
    return x.asnumpy()


CASES = {
    "ddim": (DDIMScheduler, {}, {}),
    "ddim_eta": (DDIMScheduler, {}, {"eta": 0.7, "use_clipped_model_output": True}),
    "ddpm": (DDPMScheduler, {}, {}),
    "ddim_threshold": (DDIMScheduler, {"thresholding": True, "sample_max_value": 1.5}, {}),
}


@pytest.mark.parametrize("name", CASES)
def test_all_methods_equal_the_loop_over_step_also_after_set_timesteps(name):
    scheduler_class, arguments, options = CASES[name]
    scheduler = scheduled(scheduler_class, **arguments)
    samplers = [Sampler(Denoiser(), scheduler, method, **options) for method in METHODS]
    noise, condition = tensor(*SHAPE), tensor(3, seed=1)
    for steps in (6, 4, 4):
        scheduler.set_timesteps(steps)
        expected = by_hand(scheduler, noise, [condition], NoiseSource(5, 3, stream=1), **options)
        for sampler in samplers:
            np.testing.assert_allclose(sampler(noise, condition, generator=5).asnumpy(), expected, atol=2e-6)


def test_unrolled_leaves_out_only_what_the_present_weights_make_superfluous():
    scheduler = scheduled(DDPMScheduler)
    unrolled, loop = (Sampler(Denoiser(), scheduler, method) for method in ("unrolled", "loop"))
    noise = tensor(*SHAPE)
    for steps, stop in ((6, 4), (4, None), (6, 4)):  # Four steps, of which the last adds noise or does not.
        scheduler.set_timesteps(steps)
        results = []
        for sampler in (unrolled, loop):
            sampler.select_steps(stop=stop)
            assert len(sampler.plan) == 4 and sampler.plan.needs_noise[-1] == (stop is not None)
            results.append(sampler(noise, generator=5).asnumpy())
            sampler.select_steps()
        np.testing.assert_allclose(*results, atol=2e-6)


def test_all_methods_agree_in_graph_mode(graph_mode):
    scheduler = scheduled()
    noise = tensor(*SHAPE)
    expected = by_hand(scheduler, noise, [], None)
    for method in METHODS:
        np.testing.assert_allclose(Sampler(Denoiser(), scheduler, method)(noise).asnumpy(), expected, atol=2e-6)


class Outer(nn.Cell):
    def __init__(self, sampler):
        super().__init__()
        self.sampler = sampler

    def construct(self, noise):
        return 2 * self.sampler(noise)


def test_a_sampler_inside_somebody_elses_graph_follows_set_timesteps(graph_mode):
    scheduler = scheduled()
    sampler = Sampler(Denoiser(), scheduler)
    outer = Outer(sampler)
    noise = tensor(*SHAPE)
    for steps in (6, 3):
        scheduler.set_timesteps(steps)
        np.testing.assert_allclose(outer(noise).asnumpy(), 2 * sampler(noise).asnumpy(), atol=2e-6)


@pytest.mark.parametrize("method", METHODS)
def test_a_sampler_that_was_called_can_be_compiled_into_a_graph(method):
    sampler = Sampler(Denoiser(), scheduled(), method)
    noise = tensor(*SHAPE)
    expected = 2 * sampler(noise).asnumpy()
    outer = Outer(sampler)

    @ms.jit
    def compiled(noise):
        return outer(noise)

    np.testing.assert_allclose(compiled(noise).asnumpy(), expected, atol=2e-6)


@pytest.mark.parametrize("method", ["step", "unrolled"])
def test_intermediates_run_from_the_noise_to_the_result(method):
    scheduler = scheduled()
    noise = tensor(*SHAPE)
    final, samples, predictions = Sampler(Denoiser(), scheduler, method, return_intermediates=True)(noise)
    assert samples.shape == (7, *SHAPE) and predictions.shape == (6, *SHAPE)
    np.testing.assert_array_equal(samples[0].asnumpy(), noise.asnumpy())
    np.testing.assert_array_equal(samples[-1].asnumpy(), final.asnumpy())
    np.testing.assert_allclose(final.asnumpy(), by_hand(scheduler, noise, [], None), atol=2e-6)
    assert np.abs(predictions.asnumpy()).max() <= 1 + 1e-6
    np.testing.assert_allclose(predictions[-1].asnumpy(), final.asnumpy(), atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_noise_of_a_sample_does_not_depend_on_the_batch(method):
    sampler = Sampler(Denoiser(), scheduled(DDPMScheduler), method)
    noise = tensor(*SHAPE)
    whole = sampler(noise, generator=NoiseSource(3, [7, 8, 9])).asnumpy()
    part = sampler(noise[1:], generator=NoiseSource(3, [8, 9])).asnumpy()
    np.testing.assert_array_equal(whole[1:], part)


def test_given_tensors_are_copied_in_about_one_pass():
    # Whole trajectories copy their noise, all of which may be hundreds of megabytes.
    value = tensor(2, 2048, 2048)

    def seconds(function):
        def once():
            start = time.process_time()
            function().asnumpy()
            return time.process_time() - start

        return min(once() for _ in range(5))

    assert seconds(lambda: with_own_memory(value)) < 4 * seconds(lambda: 2 * value)
    half = with_own_memory(value[:1])
    assert half.data_ptr() != value.data_ptr() and np.array_equal(half.asnumpy(), value[:1].asnumpy())
    short = value[:1, :2, :4].astype(ms.bfloat16)
    assert np.array_equal(with_own_memory(short).astype(ms.float32).asnumpy(), short.astype(ms.float32).asnumpy())


@pytest.mark.parametrize("kind", [DDIMScheduler, DDPMScheduler])
@pytest.mark.parametrize("method", METHODS)
def test_slices_of_tensors_are_read_where_they_begin_and_end(method, kind):
    sampler = Sampler(Denoiser(), scheduled(kind), method)
    noise, condition = tensor(6, *SHAPE[1:]), tensor(6, seed=1)
    for part in (slice(0, 3), slice(2, 5)):
        copied = sampler(Tensor(noise.asnumpy()[part]), Tensor(condition.asnumpy()[part]), generator=0)
        sliced = sampler(noise[part], condition[part], generator=0)
        np.testing.assert_array_equal(sliced.asnumpy(), copied.asnumpy())


@pytest.mark.parametrize("method", METHODS)
def test_conditions_may_be_tuples(method):
    scheduler = scheduled()
    noise, first, second = tensor(*SHAPE), tensor(3, seed=1), tensor(3, seed=2)
    paired = Sampler(PairDenoiser(), scheduler, method)
    once = paired(noise, (first, second)).asnumpy()
    again = paired(noise, (second, second)).asnumpy()
    single = Sampler(PairDenoiser(), scheduler, method)(noise, (first * second, ops.ones_like(first))).asnumpy()
    np.testing.assert_allclose(once, single, atol=2e-6)
    assert np.abs(once - again).max() > 1e-3


@pytest.mark.parametrize("method", METHODS)
def test_a_part_of_the_trajectory_continues_the_other(method):
    sampler = Sampler(Denoiser(), scheduled(), method)
    noise = tensor(*SHAPE)
    whole = sampler(noise).asnumpy()
    sampler.select_steps(stop=4)
    middle = sampler(noise)
    sampler.select_steps(start=4)
    np.testing.assert_allclose(sampler(middle).asnumpy(), whole, atol=2e-6)


def test_strength_runs_the_end_of_the_trajectory_from_the_noised_image():
    scheduler = scheduled(steps=10)
    sampler = Sampler(Denoiser(), scheduler)
    sampler.select_steps(strength=0.35)
    np.testing.assert_array_equal(sampler.plan.timesteps, scheduler.timesteps[7:])
    image, noise = tensor(*SHAPE), tensor(*SHAPE, seed=1)
    expected = scheduler.add_noise(image, noise, int(scheduler.timesteps[7]))
    np.testing.assert_array_equal(sampler.starting_point(image, noise).asnumpy(), expected.asnumpy())


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("options", [{}, {"eta": 1.0}])
def test_inpainting_keeps_the_known_values_and_draws_the_rest(method, options):
    scheduler = scheduled()
    mask = np.zeros((1, 1, 4, 5), np.float32)
    mask[..., :2] = 1
    noise, known = tensor(*SHAPE), Tensor(np.full(SHAPE, 0.25, np.float32))
    sampler = Sampler(Denoiser(), scheduler, method, inpaint=True, **options)
    result = sampler(noise, mask=Tensor(mask), known=known, generator=1).asnumpy()
    np.testing.assert_allclose(result[..., 2:], 0.25, atol=1e-6)
    free = Sampler(Denoiser(), scheduler, method, **options)(noise, generator=1).asnumpy()
    np.testing.assert_allclose(result[..., :2], free[..., :2], atol=2e-6)


def test_inpainting_holds_the_known_values_at_the_level_of_every_step():
    scheduler = scheduled()
    noise, known = tensor(*SHAPE), tensor(*SHAPE, seed=1)
    sampler = Sampler(Denoiser(), scheduler, "step", return_intermediates=True, inpaint=True)
    _, samples, _ = sampler(noise, mask=ops.zeros(SHAPE), known=known)
    for i, timestep in enumerate(scheduler.timesteps[1:]):
        expected = scheduler.add_noise(known, noise, int(timestep)).asnumpy()
        np.testing.assert_allclose(samples[i + 1].asnumpy(), expected, atol=1e-6)


@pytest.mark.parametrize("order", [1, 2])
def test_inpainting_with_edm_holds_the_known_values_at_the_level_of_every_step(order):
    scheduler = EDMHeunScheduler(solver_order=order)
    scheduler.set_timesteps(3)
    noise, known = tensor(*SHAPE), tensor(*SHAPE, seed=1)
    sampler = Sampler(Denoiser(), scheduler, "step", return_intermediates=True, inpaint=True)
    final, samples, _ = sampler(noise, mask=ops.zeros(SHAPE), known=known)
    sigmas = scheduler.sigmas
    # The first call of a Heun step leads to the level of its end, and so does the second one.
    reached = sigmas[1:] if order == 1 else sigmas[[1, 1, 2, 2, 3]]
    for sample, sigma in zip(samples[1:].asnumpy(), reached):
        np.testing.assert_allclose(sample, known.asnumpy() + sigma * noise.asnumpy(), rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(final.asnumpy(), known.asnumpy())
    assert scheduler.plan.next_level[1][-1] == 0


def test_callback_sees_every_step():
    seen = []
    scheduler = scheduled()
    sampler = Sampler(Denoiser(), scheduler, "step")
    final = sampler(tensor(*SHAPE), callback=lambda i, timestep, sample: seen.append((i, timestep, sample)))
    assert [entry[:2] for entry in seen] == list(enumerate(scheduler.timesteps))
    np.testing.assert_array_equal(seen[-1][2].asnumpy(), final.asnumpy())


class Tanh(nn.Cell):
    def construct(self, x, timestep, condition):
        return ops.tanh(x + condition[:, :, None])


@pytest.mark.parametrize("options", [{}, {"guidance_rescale": 0.7}, {"interval": (50, 500)}])
def test_guidance_follows_its_formula(options):
    model = Tanh()
    x, condition = tensor(3, 4, 5), tensor(3, 4, seed=1)
    timestep = Tensor([10, 100, 900], ms.int32)
    empty = np.full((1, 4), 0.5, np.float32)
    guided = ClassifierFreeGuidance(model, 3.0, Tensor(empty), **options)(x, timestep, condition).asnumpy()
    conditional = np.tanh(x.asnumpy() + condition.asnumpy()[:, :, None])
    unconditional = np.tanh(x.asnumpy() + empty[:, :, None])
    expected = unconditional + 3 * (conditional - unconditional)
    if "guidance_rescale" in options:
        ratio = conditional.std((1, 2), keepdims=True) / expected.std((1, 2), keepdims=True)
        expected = expected * (0.7 * ratio + 0.3)
    if "interval" in options:
        expected = np.where(np.array([False, True, False])[:, None, None], expected, conditional)
    np.testing.assert_allclose(guided, expected, atol=2e-6)


def test_guidance_of_scale_one_is_the_conditional_model():
    model = ConditionDiffusionTransformer(4, 4, 3, 16, 1, 2)
    for parameter in model.get_parameters():
        parameter.set_data(tensor(*parameter.shape) * 0.1)
    scheduler = scheduled()
    noise, condition = tensor(3, 5, 4), tensor(3, 3, seed=1)
    guided = Sampler(ClassifierFreeGuidance(model, 1.0, ops.zeros(3)), scheduler)(noise, condition)
    np.testing.assert_allclose(guided.asnumpy(), Sampler(model, scheduler)(noise, condition).asnumpy(), atol=2e-6)


def test_guidance_with_tuple_conditions_pairs_each_part():
    scheduler = scheduled()
    noise, first, second = tensor(*SHAPE), tensor(3, seed=1), tensor(3, seed=2)
    guided = ClassifierFreeGuidance(PairDenoiser(), 2.0, ((ops.zeros(1), ops.zeros(1)),))
    expected = Sampler(PairDenoiser(), scheduler)(noise, (2 * first, second)).asnumpy()
    np.testing.assert_allclose(Sampler(guided, scheduler)(noise, (first, second)).asnumpy(), expected, atol=2e-6)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("change, error", [("shape", ValueError), ("dtype", TypeError)])
def test_a_model_output_that_does_not_fit_is_one_clear_sentence(method, change, error):
    with pytest.raises(error, match="The model's output does not fit: its " + change) as caught:
        Sampler(Misfit(change), scheduled(), method)(tensor(*SHAPE))
    assert "\n" not in str(caught.value)


def test_learned_variance_needs_a_pair_from_the_model():
    sampler = Sampler(Denoiser(), scheduled(DDPMScheduler, variance_type="learned_range"))
    with pytest.raises(TypeError, match="tuple \\(prediction, variance\\)"):
        sampler(tensor(*SHAPE))


BAD_CONSTRUCTIONS = {
    "model": (lambda: Sampler(lambda x, t: x, scheduled()), TypeError, "'model' must be an nn.Cell"),
    "scheduler": (lambda: Sampler(Denoiser(), "ddim"), TypeError, "'scheduler' must be a scheduler"),
    "method": (lambda: Sampler(Denoiser(), scheduled(), "fast"), ValueError, "'method'.*'step', 'loop', 'unrolled'"),
    "intermediates": (
        lambda: Sampler(Denoiser(), scheduled(), "loop", return_intermediates=True),
        ValueError,
        "'return_intermediates' needs",
    ),
    "unscheduled": (lambda: Sampler(Denoiser(), DDIMScheduler()), ValueError, "set_timesteps"),
    "eta": (lambda: Sampler(Denoiser(), scheduled(), eta=1.5), ValueError, "'eta'.*1.5"),
    "unconditional": (lambda: ClassifierFreeGuidance(Denoiser(), 2.0), TypeError, "'unconditional' is missing"),
    "not_tensors": (
        lambda: ClassifierFreeGuidance(Denoiser(), 2.0, 0.0),
        TypeError,
        "must be a Tensor of",
    ),
    "scale": (lambda: ClassifierFreeGuidance(Denoiser(), -1.0, ops.zeros(1)), ValueError, "'guidance_scale'.*-1.0"),
    "rescale": (
        lambda: ClassifierFreeGuidance(Denoiser(), 2.0, ops.zeros(1), guidance_rescale=2.0),
        ValueError,
        "'guidance_rescale'.*2.0",
    ),
    "interval": (
        lambda: ClassifierFreeGuidance(Denoiser(), 2.0, ops.zeros(1), interval=(500, 100)),
        ValueError,
        "'interval'.*100",
    ),
}


@pytest.mark.parametrize("name", BAD_CONSTRUCTIONS)
def test_bad_construction_is_named(name):
    build, error, message = BAD_CONSTRUCTIONS[name]
    with pytest.raises(error, match=message):
        build()


BAD_CALLS = {
    "noise": ((np.zeros(SHAPE),), {}, TypeError, "'noise' must be a Tensor"),
    "dtype": ((ops.zeros(SHAPE, ms.int32),), {}, TypeError, "'noise' must be float32, float16 or bfloat16"),
    "condition": ((tensor(*SHAPE), 3), {}, TypeError, r"'conditions\[0\]' must be a Tensor"),
    "batch": ((tensor(*SHAPE), tensor(2)), {}, ValueError, "condition 0 has shape \\(2,\\)"),
    "tuple_batch": ((tensor(*SHAPE), (tensor(3), tensor(2))), {}, ValueError, "condition 0 has shape \\(2,\\)"),
    "progress": ((tensor(*SHAPE),), {"progress": True}, ValueError, "need method='step'"),
    "mask": ((tensor(*SHAPE),), {"mask": tensor(*SHAPE)}, ValueError, "inpaint=True"),
    "step_noise": ((tensor(*SHAPE),), {"step_noise": tensor(2, *SHAPE)}, ValueError, "'step_noise' has shape"),
    "step_noise_list": (
        (tensor(*SHAPE),),
        {"step_noise": [tensor(*SHAPE)]},
        TypeError,
        "'step_noise' must be a Tensor",
    ),
    "step_noise_array": ((tensor(*SHAPE),), {"step_noise": np.zeros((6, *SHAPE))}, TypeError, "'step_noise'.*ndarray"),
    "step_noise_dtype": (
        (tensor(*SHAPE),),
        {"step_noise": ops.zeros((6, *SHAPE), ms.int32)},
        TypeError,
        "'step_noise' must be float32",
    ),
    "two_sources": (
        (tensor(*SHAPE),),
        {"step_noise": tensor(6, *SHAPE), "generator": 0},
        ValueError,
        "'step_noise' and 'generator' are both given",
    ),
    "callback": ((tensor(*SHAPE),), {"callback": 3}, TypeError, "'callback' must be a function.*but is 3 of type int"),
    "callback_false": (
        (tensor(*SHAPE),),
        {"callback": False},
        TypeError,
        "'callback' must be a function.*but is False",
    ),
    "progress_text": ((tensor(*SHAPE),), {"progress": "no"}, TypeError, "'progress' must be True or False.*'no'"),
}


@pytest.mark.parametrize("name", BAD_CALLS)
def test_bad_call_is_named(name):
    inputs, options, error, message = BAD_CALLS[name]
    for method in ("loop", "step") if name != "progress" else ("loop",):
        with pytest.raises(error, match=message):
            Sampler(Denoiser(), scheduled(), method)(*inputs, **options)


def test_a_residual_sampler_refuses_a_bad_call_before_its_regression_runs():
    sampler = ResidualSampler(Sampler(Denoiser(), scheduled()), Denoiser())
    with pytest.raises(TypeError, match="'callback' must be a function"):
        sampler(tensor(*SHAPE), tensor(3), callback=3)


@pytest.mark.parametrize("name", CLASSES)
def test_an_option_that_no_step_of_the_scheduler_has_is_named(name):
    scheduler = choose(CLASSES[name](), 2)
    with pytest.raises(TypeError, match=f"'strengh' is 0.5, but a step of {name} has no such option; it has"):
        Sampler(Denoiser(), scheduler, "step", strengh=0.5)


def test_a_class_that_takes_options_by_name_knows_them_itself():
    class Eager(DDIMScheduler):
        def plan_for(self, **options):
            return super().plan_for(**{"eta": 0.5, **options})

    assert Sampler(Denoiser(), choose(Eager(), 2)).plan.needs_noise.any()


def test_bad_masks_are_named():
    sampler = Sampler(Denoiser(), scheduled(), inpaint=True)
    with pytest.raises(ValueError, match="'mask' has shape \\(7,\\).*does not broadcast"):
        sampler(tensor(*SHAPE), mask=ops.ones(7), known=ops.zeros(SHAPE))
    with pytest.raises(TypeError, match="'known' must be a Tensor"):
        sampler(tensor(*SHAPE), mask=ops.ones(5))
    with pytest.raises(ValueError, match="'known' has shape"):
        sampler(tensor(*SHAPE), mask=ops.ones(5), known=ops.zeros((1, 2, 4, 5)))
    for value in (np.nan, -0.5, 2.0):
        with pytest.raises(ValueError, match=rf"'mask' must be in \[0, 1\], but is {value}"):
            sampler(tensor(*SHAPE), mask=Tensor([1.0, 0.0, value, 0.0, 1.0], ms.float32), known=ops.zeros(SHAPE))


@pytest.mark.parametrize(
    "options, error, message",
    [
        ({"strength": 0.0}, ValueError, "'strength'.*0.0"),
        ({"strength": 1.5}, ValueError, "'strength'.*1.5"),
        ({"strength": 0.1}, ValueError, "'strength' is 0.1, which leaves none"),
        ({"start": 6}, ValueError, "'start'.*6"),
        ({"start": 2, "stop": 2}, ValueError, "'stop'.*2"),
        ({"start": 1.5}, TypeError, "'start'.*1.5"),
    ],
)
def test_bad_selections_of_steps_are_named(options, error, message):
    with pytest.raises(error, match=message):
        Sampler(Denoiser(), scheduled()).select_steps(**options)


def test_multistep_method_warms_up_where_the_trajectory_begins():
    scheduler, noise = scheduled(LMSDiscreteScheduler, steps=8), tensor(*SHAPE)
    sampler = Sampler(Denoiser(), scheduler)
    sampler.select_steps(start=3)
    x = noise
    for t in scheduler.timesteps[3:]:
        x = scheduler.step(Denoiser()(scheduler.scale_model_input(x, t), Tensor([t] * 3, ms.float32)), x, t)
    np.testing.assert_allclose(sampler(noise).asnumpy(), x.asnumpy(), rtol=1e-5, atol=1e-5)
    assert not np.array_equal(sampler.plan.states["sample"]["slope_1"], scheduler.plan.states["sample"]["slope_1"][3:])


def test_a_loop_in_a_graph_keeps_no_step_in_memory():
    # UniPC carries three tensors through the loop; with all their old values this would be more than a hundred.
    script = Path(__file__).parents[1] / "scripts" / "bench" / "trajectory.py"
    command = [sys.executable, script, "--memory-of", "UniPC"]
    finished = subprocess.run(command, capture_output=True, text=True, check=True)
    assert float(finished.stdout.split()[-1]) <= 4


def test_a_loop_says_how_many_tensors_it_can_carry():
    scheduler = scheduled(UniPCMultistepScheduler, steps=12, solver_order=8)
    with pytest.raises(ValueError, match="'method' is 'loop', which carries up to 8 tensors.*has 9"):
        Sampler(Denoiser(), scheduler, "loop")
    sampler = Sampler(Denoiser(), scheduled(UniPCMultistepScheduler, steps=12, solver_order=7), "loop")
    stepwise = Sampler(Denoiser(), sampler.scheduler, "step")
    noise = tensor(*SHAPE)
    np.testing.assert_allclose(sampler(noise).asnumpy(), stepwise(noise).asnumpy(), atol=1e-4)
