"""Consistency distillation: timesteps, teacher's solver, boundary condition, what is trained, and guidance as input."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, Tensor, nn, ops
from mindspore import dtype as mstype

from mindscience_diffuser import (
    ClassifierFreeGuidance,
    ConsistencyDistillation,
    DDIMScheduler,
    DistilledGuidance,
    GuidanceDiffusionTransformer,
    LCMScheduler,
    PositionalConditionTransformer,
)

SHAPE = (4, 3, 2)
CONDITION = np.array([[0.2, 0.1], [0.0, 0.4], [-0.3, 0.0], [1.0, -1.0]], np.float32)
SCALES = np.array([1.0, 1.5, 2.0, 3.0], np.float32)


class Teacher(nn.Cell):
    """Not linear in its sample, so that guidance changes the output of each sample in its own way."""

    def __init__(self, scale=0.5):
        super().__init__()
        self.scale = Parameter(Tensor(scale, mstype.float32), name="scale")

    def construct(self, x, timestep, condition):
        shift = condition.astype(x.dtype).sum(axis=1)
        return ops.tanh(x * self.scale + shift.reshape((-1, 1, 1))) + timestep.reshape((-1, 1, 1)) * 1e-4


class Student(Teacher):
    """The same, told the guidance scale."""

    def construct(self, x, timestep, condition, guidance_scale):
        shift = condition.sum(axis=1) * guidance_scale
        return ops.tanh(x * self.scale + shift.reshape((-1, 1, 1))) + timestep.reshape((-1, 1, 1)) * 1e-4


def build(
    student=0.5, target=0.5, prediction_type="v_prediction", clip_sample=False, unconditional=(0.0, 0.0), **options
):
    scheduler = LCMScheduler(prediction_type=prediction_type, clip_sample=clip_sample, original_inference_steps=50)
    nothing = Tensor(np.array(unconditional))
    return ConsistencyDistillation(Student(student), Student(target), Teacher(), scheduler, nothing, **options)


def batch(timesteps=(19, 39, 519, 999), seed=0):
    rng = np.random.default_rng(seed)
    x0, noise = rng.normal(size=(2, *SHAPE)).astype(np.float32)
    return [Tensor(a) for a in (x0, noise, np.array(timesteps, np.int32), CONDITION, SCALES)]


def levels(scheduler, timesteps):
    alpha_bar = np.cumprod(1 - scheduler.betas)[timesteps].reshape(-1, 1, 1)
    return np.sqrt(alpha_bar), np.sqrt(1 - alpha_bar)


def test_timesteps_are_those_that_the_scheduler_samples_from():
    distillation = build()
    np.testing.assert_array_equal(distillation.timesteps, np.arange(1, 51) * 20 - 1)
    scheduler = LCMScheduler(prediction_type="v_prediction")
    scheduler.set_timesteps(4)
    assert set(scheduler.timesteps) <= set(distillation.timesteps)


@pytest.mark.parametrize("prediction_type", ["epsilon", "sample", "v_prediction"])
@pytest.mark.parametrize("clip_sample", [False, True])
def test_solver_takes_the_ddim_step_of_the_guided_teacher(prediction_type, clip_sample):
    distillation = build(prediction_type=prediction_type, clip_sample=clip_sample)
    x0, noise, timesteps, condition, scales = batch()
    noisy = distillation.scheduler.add_noise(x0, noise, timesteps)
    solved = distillation.solve(noisy, timesteps, condition, scales).asnumpy()
    ddim = DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type=prediction_type,
        clip_sample=clip_sample,
        timestep_spacing="trailing",
        set_alpha_to_one=False,
    )
    ddim.set_timesteps(50)
    for k, t in enumerate(timesteps.asnumpy()):
        guided = ClassifierFreeGuidance(Teacher(), float(SCALES[k]), Tensor(np.zeros(2, np.float32)))
        sample = noisy[k : k + 1]
        expected = ddim.step(guided(sample, timesteps[k : k + 1], condition[k : k + 1]), sample, int(t))
        np.testing.assert_allclose(solved[k : k + 1], expected.asnumpy(), atol=1e-5)


def test_teacher_without_a_condition_of_bools():
    distillation = build(unconditional=np.array([True, False]))
    x0, _, timesteps, _, scales = batch()
    condition = Tensor(np.array([[0, 0], [0, 1], [1, 0], [1, 1]], bool))
    solved = ms.jit(distillation.solve)(x0, timesteps, condition, scales).asnumpy()
    as_numbers = build(unconditional=np.array([1, 0], np.float32))
    expected = as_numbers.solve(x0, timesteps, condition.astype(mstype.float32), scales).asnumpy()
    np.testing.assert_allclose(solved, expected, atol=1e-6)


def test_perfect_teacher_leads_along_the_noising_of_the_sample():
    distillation = build(prediction_type="sample")
    x0, noise, timesteps, condition, scales = batch()
    distillation.teacher.construct = lambda x, t, c: x0
    noisy = distillation.scheduler.add_noise(x0, noise, timesteps)
    solved = distillation.solve(noisy, timesteps, condition, scales).asnumpy()
    alpha, sigma = levels(distillation.scheduler, np.maximum(timesteps.asnumpy() - 20, 0))
    np.testing.assert_allclose(solved, alpha * x0.asnumpy() + sigma * noise.asnumpy(), atol=1e-5)


def test_consistency_function_is_the_identity_at_timestep_zero_and_what_the_scheduler_denoises_elsewhere():
    distillation = build()
    rng = np.random.default_rng(3)
    x, output = (Tensor(a) for a in rng.normal(size=(2, *SHAPE)).astype(np.float32))
    start = distillation.consistency(Tensor(np.zeros(4, np.int32)), x, output)[0]
    np.testing.assert_array_equal(start.asnumpy(), x.asnumpy())
    scheduler = LCMScheduler(prediction_type="v_prediction")
    scheduler.set_timesteps(4)
    for t in scheduler.timesteps:
        denoised = scheduler.step(output, x, t, noise=x, return_dict=True).denoised
        ours = distillation.consistency(Tensor(np.full(4, t, np.int32)), x, output)[0]
        np.testing.assert_allclose(ours.asnumpy(), denoised.asnumpy(), atol=1e-6)


@pytest.mark.parametrize("distance", ["l2", "huber"])
def test_loss_is_the_distance_between_both_ends_of_the_solvers_step(distance):
    distillation = build(student=0.7, target=0.4, distance=distance, huber_c=0.1)
    x0, noise, timesteps, condition, scales = batch()
    noisy = distillation.scheduler.add_noise(x0, noise, timesteps)
    solved = distillation.solve(noisy, timesteps, condition, scales)
    following = Tensor(np.array([0, 19, 499, 979], np.int32))

    def end(scale, x, t):
        output = Student(scale)(x, t, condition, scales).asnumpy()
        alpha, sigma = levels(distillation.scheduler, t.asnumpy())
        s = 10.0 * t.asnumpy().reshape(-1, 1, 1)
        c_skip, c_out = 0.25 / (s**2 + 0.25), s / np.sqrt(s**2 + 0.25)
        return c_skip * x.asnumpy() + c_out * (alpha * x.asnumpy() - sigma * output)

    target = end(0.4, solved, following)
    np.testing.assert_allclose(target[0], solved.asnumpy()[0], atol=1e-6)
    error = end(0.7, noisy, timesteps) - target
    expected = (error**2).mean() if distance == "l2" else (np.sqrt(error**2 + 0.01) - 0.1).mean()
    loss = distillation.get_loss(x0, noise, timesteps, condition, scales)
    np.testing.assert_allclose(loss.asnumpy(), expected, rtol=1e-5)


def test_only_the_student_is_trained_in_a_compiled_step():
    distillation = build(student=0.7, target=0.4)
    parameters = distillation.student.trainable_params()
    both = ms.value_and_grad(distillation.get_loss, None, parameters)

    @ms.jit
    def compiled(*arrays):
        return both(*arrays)

    arrays = batch()
    loss, (gradient,) = compiled(*arrays)
    np.testing.assert_allclose(loss.asnumpy(), distillation.get_loss(*arrays).asnumpy(), rtol=1e-5)
    values = []
    for shift in (0.01, -0.01):
        distillation.student.scale.set_data(Tensor(0.7 + shift, mstype.float32))
        values.append(distillation.get_loss(*arrays).asnumpy())
    np.testing.assert_allclose(gradient.asnumpy(), (values[0] - values[1]) / 0.02, rtol=1e-2)
    names = [parameter.name for parameter in distillation.get_parameters()]
    assert len(names) == len(set(names))
    assert parameters[0].name == "scale"


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"student": len}, TypeError, "'student' must be an nn.Cell"),
        ({"scheduler": DDIMScheduler()}, TypeError, "'scheduler' must be an LCMScheduler, but is .*DDIMScheduler"),
        ({"unconditional": 0}, TypeError, "'unconditional' must be a Tensor of MindSpore, but is int"),
        ({"distance": "l1"}, ValueError, "'distance' must be one of 'l2', 'huber'"),
        ({"huber_c": 0}, ValueError, "'huber_c' must be in"),
    ],
)
def test_bad_distillation_argument_is_named(changes, error, message):
    arguments = {
        "student": Student(),
        "target": Student(),
        "teacher": Teacher(),
        "scheduler": LCMScheduler(),
        "unconditional": Tensor(np.zeros(2, np.float32)),
    }
    with pytest.raises(error, match=message):
        ConsistencyDistillation(**{**arguments, **changes})


def test_untrained_guidance_changes_nothing_and_weights_are_those_of_the_teacher():
    sizes = {
        "in_channels": 2,
        "out_channels": 2,
        "cond_channels": 2,
        "hidden_channels": 8,
        "layers": 1,
        "heads": 2,
        "time_token_cond": False,
        "cond_as_token": False,
    }
    teacher, student = PositionalConditionTransformer(**sizes), GuidanceDiffusionTransformer(**sizes)
    rng = np.random.default_rng(0)
    weights = {p.name: p for p in student.get_parameters()}
    assert set(weights) - {p.name for p in teacher.get_parameters()} == {"guidance_proj.weight"}
    for parameter in teacher.get_parameters():
        value = Tensor(rng.normal(size=parameter.shape).astype(np.float32))
        parameter.set_data(value)
        weights[parameter.name].set_data(value)
    x = Tensor(rng.normal(size=SHAPE).astype(np.float32))
    t, condition = Tensor([1, 5, 500, 999], ms.int32), Tensor(CONDITION)
    expected = teacher(x, t, condition).asnumpy()
    np.testing.assert_allclose(student(x, t, condition, Tensor(SCALES)).asnumpy(), expected, rtol=1e-5, atol=1e-6)
    weights["guidance_proj.weight"].set_data(Tensor(rng.normal(size=(8, 8)).astype(np.float32)))
    told = student(x, t, condition, Tensor(np.full(4, 1.5, np.float32))).asnumpy()
    assert np.abs(told - expected).max() > 0.01
    np.testing.assert_allclose(DistilledGuidance(student, 1.5)(x, t, condition).asnumpy(), told, rtol=1e-6)
    with pytest.raises(ValueError, match="'guidance_scale' must be in"):
        DistilledGuidance(student, -1)
