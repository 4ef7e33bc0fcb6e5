"""Every mistake of a user is named on the host, with the argument and its value, before anything is compiled."""

import re

import mindspore as ms
import numpy as np
import pytest
from compiler import api
from mindspore import Tensor
from mindspore import dtype as mstype

from mindscience_diffuser import DDIMScheduler, DDPMScheduler, DiffusionScheduler, NoiseSource

SHAPE = (2, 5, 3)
ZERO_SNR = {"num_train_timesteps": 1000, "rescale_betas_zero_snr": True}


def zeros(*shape, dtype=np.float32):
    return Tensor(np.zeros(shape or SHAPE, dtype))


def ddim(**arguments):
    scheduler = DDIMScheduler(100, **arguments)
    scheduler.set_timesteps(20)
    return scheduler


def ddpm(**arguments):
    scheduler = DDPMScheduler(100, **arguments)
    scheduler.set_timesteps(20)
    return scheduler


@pytest.fixture(autouse=True)
def nothing_compiles(request, monkeypatch):
    """Makes the compiler an error, so that a check that came too late would not look like one."""

    def refuse(*_):
        raise AssertionError("A graph is compiled before the mistake is named.")

    if not request.node.name.startswith("test_compiling"):
        monkeypatch.setattr(api, "_check_recompile", refuse)


def names(error, argument, value=""):
    """Expects an error that names the argument and its value."""
    shown = value if isinstance(value, str) else repr(value)
    return pytest.raises(error, match=f"'{argument}'.*{re.escape(shown)}")


# --- the constructor -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "argument, value, error",
    [
        ("num_train_timesteps", 0, ValueError),
        ("num_train_timesteps", 10.5, TypeError),
        ("beta_start", 0, ValueError),
        ("beta_start", -0.1, ValueError),
        ("beta_start", float("nan"), ValueError),
        ("beta_start", "small", TypeError),
        ("beta_end", 1, ValueError),
        ("beta_end", 1.5, ValueError),
        ("beta_schedule", "quadratic", ValueError),
        ("beta_schedule", None, ValueError),
        ("prediction_type", "eps", ValueError),
        ("timestep_spacing", "even", ValueError),
        ("clip_sample", None, TypeError),
        ("clip_sample_range", 0, ValueError),
        ("clip_sample_range", -1.0, ValueError),
        ("thresholding", "yes", TypeError),
        ("rescale_betas_zero_snr", 1, TypeError),
        ("steps_offset", -1, ValueError),
        ("steps_offset", 0.5, TypeError),
        ("compute_dtype", mstype.float64, ValueError),
        ("compute_dtype", mstype.bfloat16, ValueError),
        ("compute_dtype", "float32", ValueError),
        ("compute_dtype", np.float16, ValueError),
    ],
)
@pytest.mark.parametrize("kind", [DiffusionScheduler, DDIMScheduler, DDPMScheduler])
def test_constructor_names_a_bad_argument_and_its_value(kind, argument, value, error):
    with names(error, argument, value):
        kind(**{argument: value})


def test_choices_are_listed_in_the_error():
    with pytest.raises(ValueError, match="'linear', 'scaled_linear', 'squaredcos_cap_v2', 'sigmoid'"):
        DDIMScheduler(beta_schedule="cosine")
    with pytest.raises(ValueError, match="'variance_type'.*'learned_range'.*'tiny'"):
        DDPMScheduler(variance_type="tiny")


def test_set_alpha_to_one_must_be_a_bool():
    with names(TypeError, "set_alpha_to_one", None):
        DDIMScheduler(set_alpha_to_one=None)


@pytest.mark.parametrize(
    "betas, value, error",
    [
        ([0.1, 0.0], 0.0, ValueError),
        ([0.1, 1.0], 1.0, ValueError),
        ([0.1, -0.2], -0.2, ValueError),
        ([0.1, float("nan")], "nan", ValueError),
        ([0.1], "(1,)", ValueError),
        ([[0.1, 0.2]], "(1, 2)", ValueError),
        ("betas", "betas", TypeError),
    ],
)
def test_trained_betas_outside_zero_and_one_or_of_another_length_are_named(betas, value, error):
    with names(error, "trained_betas", value):
        DDIMScheduler(2, trained_betas=betas)


@pytest.mark.parametrize("value, error", [(None, TypeError), (-0.5, ValueError), (1.5, ValueError)])
def test_thresholding_ratio_matters_only_with_thresholding(value, error):
    DDIMScheduler(dynamic_thresholding_ratio=value)
    with names(error, "dynamic_thresholding_ratio", value):
        DDIMScheduler(thresholding=True, dynamic_thresholding_ratio=value)


def test_zero_snr_of_one_timestep_is_named():
    with names(ValueError, "rescale_betas_zero_snr"):
        DDIMScheduler(1, rescale_betas_zero_snr=True)


# --- set_timesteps ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value, error",
    [
        (0, ValueError),
        (-1, ValueError),
        (101, ValueError),
        (1.5, TypeError),
        (20.0, TypeError),
        ("20", TypeError),
        (True, TypeError),
        (float("nan"), TypeError),
    ],
)
@pytest.mark.parametrize("kind", [DiffusionScheduler, DDIMScheduler, DDPMScheduler])
def test_a_bad_number_of_steps_is_named(kind, value, error):
    with names(error, "num_inference_steps", value):
        kind(100).set_timesteps(value)


@pytest.mark.parametrize(
    "value, shown, error",
    [
        ([], "(0,)", ValueError),
        ([1, 2], "[1, 2]", ValueError),
        ([5, 5, 1], "[5, 5, 1]", ValueError),
        (np.array([3, 5], np.uint8), "[3, 5]", ValueError),
        ([100, 5], "100", ValueError),
        ([5, -1], "-1", ValueError),
        ([5.0, 1.0], "float64", TypeError),
        ([5.5, 1.0], "float64", TypeError),
        ([[5, 1]], "(1, 2)", ValueError),
        ([True, False], "bool", TypeError),
        (5, "()", ValueError),
        ("5", "()", ValueError),
    ],
)
def test_bad_custom_timesteps_are_named(value, shown, error):
    with names(error, "timesteps", shown):
        DDIMScheduler(100).set_timesteps(timesteps=value)


def test_exactly_one_of_steps_and_timesteps_is_needed():
    scheduler = DDIMScheduler(100)
    with pytest.raises(TypeError, match="'num_inference_steps' or 'timesteps', but got none of them"):
        scheduler.set_timesteps()
    with pytest.raises(ValueError, match="'num_inference_steps' and 'timesteps' are both given"):
        scheduler.set_timesteps(2, timesteps=[5, 1])


def test_an_offset_that_leaves_the_training_range_is_named():
    with names(ValueError, "steps_offset", 1):
        DDIMScheduler(100, steps_offset=1).set_timesteps(100)


def test_a_rejected_schedule_leaves_the_last_one_in_place():
    scheduler = ddim()
    before = scheduler.timesteps
    for bad in ({"num_inference_steps": 0}, {"timesteps": [1, 2]}):
        with pytest.raises(ValueError):
            scheduler.set_timesteps(**bad)
    assert scheduler.timesteps is before and scheduler.num_inference_steps == 20 and len(scheduler.plan) == 20


# --- the zero-SNR step of an epsilon prediction ----------------------------------------------------------------------


@pytest.mark.parametrize("kind", [DDIMScheduler, DDPMScheduler])
@pytest.mark.parametrize(
    "spacing, arguments",
    [
        ("trailing", {"num_inference_steps": 10}),
        ("linspace", {"num_inference_steps": 10}),
        ("leading", {"num_inference_steps": 1000}),
        ("leading", {"timesteps": [999, 500]}),
    ],
)
def test_epsilon_is_undefined_at_the_zero_snr_step_of_a_schedule(kind, spacing, arguments):
    scheduler = kind(timestep_spacing=spacing, **ZERO_SNR)
    with pytest.raises(ValueError, match="'epsilon'.*timestep 999.*'v_prediction'"):
        scheduler.set_timesteps(**arguments)


@pytest.mark.parametrize("kind", [DDIMScheduler, DDPMScheduler])
@pytest.mark.parametrize("timestep", [999, Tensor(999, mstype.int32), Tensor([999, 999], mstype.int32), [999, 3]])
def test_epsilon_is_undefined_at_an_explicit_zero_snr_timestep(kind, timestep):
    scheduler = kind(**ZERO_SNR)
    scheduler.set_timesteps(10)
    with pytest.raises(ValueError, match="'epsilon'.*timestep 999.*'v_prediction'"):
        scheduler.step(zeros(), zeros(), timestep)


@pytest.mark.parametrize("prediction_type", ["v_prediction", "sample"])
def test_other_predictions_are_defined_at_the_zero_snr_step(prediction_type):
    scheduler = DDIMScheduler(timestep_spacing="trailing", prediction_type=prediction_type, **ZERO_SNR)
    scheduler.set_timesteps(10)
    assert np.all(np.isfinite(scheduler.plan.pack()[1]))


# --- step ------------------------------------------------------------------------------------------------------------


def test_step_before_set_timesteps_says_what_to_call():
    scheduler = DDIMScheduler(100)
    for call in (lambda: scheduler.step(zeros(), zeros(), 5), scheduler.plan_for):
        with names(ValueError, "set_timesteps"):
            call()


TIMESTEP_FORMS = {
    "int": 60,
    "float": 60.0,
    "numpy-scalar": np.int64(60),
    "numpy-0-D": np.array(60),
    "numpy": np.array([60, 40]),
    "list": [60, 40],
    "0-D": Tensor(60, mstype.int32),
    "float-0-D": Tensor(60.0, mstype.float32),
    "(B,)": Tensor([60, 40], mstype.int32),
    "float-(B,)": Tensor([60.0, 40.0], mstype.float32),
    "(B,1)": Tensor([[60], [40]], mstype.int32),
    "float-(B,1)": Tensor([[60.0], [40.0]], mstype.float32),
}


@pytest.mark.parametrize("timestep", TIMESTEP_FORMS.values(), ids=TIMESTEP_FORMS)
@pytest.mark.parametrize("make", [ddim, ddpm])
@pytest.mark.parametrize("shape", [SHAPE, (2, 3), (2, 3, 4, 4)])
def test_swapped_sample_and_timestep_are_recognised(make, timestep, shape):
    scheduler, sample = make(), zeros(*shape)
    for call in (
        lambda: scheduler.step(sample, timestep, sample),
        lambda: scheduler.step(model_output=sample, sample=timestep, timestep=sample),
    ):
        with pytest.raises(TypeError, match=r"'sample' and 'timestep' are swapped.*\(model_output, sample, timestep\)"):
            call()


def test_swapped_numpy_arrays_are_recognised():
    with pytest.raises(TypeError, match="swapped"):
        ddim().step(np.zeros(SHAPE), 60, np.zeros(SHAPE))


@pytest.mark.parametrize(
    "timestep, error, shown",
    [
        (100, ValueError, 100),
        (-1, ValueError, -1),
        (float("inf"), ValueError, "inf"),
        (float("nan"), TypeError, "nan"),
        (60.5, TypeError, 60.5),
        (True, TypeError, True),
        (None, TypeError, None),
        ("60", TypeError, "60"),
        ([], ValueError, "(0,)"),
        ([60, 40, 20], ValueError, "(3,)"),
        ([60, 100], ValueError, "[60, 100]"),
        ([[60, 40]], ValueError, "(1, 2)"),
        (Tensor(100, mstype.int32), ValueError, 100),
        (Tensor(-1, mstype.int32), ValueError, -1),
        (Tensor([60, 100], mstype.int32), ValueError, "[60, 100]"),
        (Tensor([60.5, 40.0], mstype.float32), TypeError, "6.05"),
        (Tensor([True, False]), TypeError, "True"),
        (Tensor([60, 40, 20], mstype.int32), ValueError, "(3,)"),
        (Tensor([[60, 40]], mstype.int32), ValueError, "(1, 2)"),
    ],
)
@pytest.mark.parametrize("make", [ddim, ddpm])
def test_a_bad_timestep_is_named(make, timestep, error, shown):
    with names(error, "timestep", shown):
        make().step(zeros(), zeros(), timestep)


@pytest.mark.parametrize("make", [ddim, ddpm])
@pytest.mark.parametrize("shape", [(2, 5, 4), (2, 1, 3), (1, 5, 3), (2, 5), (2, 5, 3, 1)])
def test_a_model_output_of_another_shape_is_named(make, shape):
    with names(ValueError, "model_output", f"{shape}, but must have that of the sample, {SHAPE}"):
        make().step(zeros(*shape), zeros(), 60)


@pytest.mark.parametrize("dtype", [np.float64, np.int32, np.bool_])
@pytest.mark.parametrize("make", [ddim, ddpm])
def test_tensors_must_be_float32_or_float16(make, dtype):
    scheduler, bad = make(), zeros(dtype=dtype)
    for argument, call in {
        "sample": lambda: scheduler.step(zeros(), bad, 60),
        "model_output": lambda: scheduler.step(bad, zeros(), 60),
        "original_samples": lambda: scheduler.add_noise(bad, zeros(), 60),
        "noise": lambda: scheduler.add_noise(zeros(), bad, 60),
    }.items():
        with names(TypeError, argument, str(bad.dtype)):
            call()


def test_arrays_in_place_of_tensors_are_named():
    with names(TypeError, "sample", "ndarray"):
        ddim().step(zeros(), np.zeros(SHAPE, np.float32), 60)
    with names(TypeError, "model_output", "NoneType"):
        ddim().step(None, zeros(), 60)


def test_a_sample_without_batch_axis_is_named():
    with names(ValueError, "sample", "(5,)"):
        ddim().step(zeros(5), zeros(5), 60)


@pytest.mark.parametrize(
    "eta, error",
    [
        (-0.1, ValueError),
        (1.1, ValueError),
        (2, ValueError),
        (float("nan"), ValueError),
        ("half", TypeError),
        (None, TypeError),
        (True, TypeError),
        ([0.5], TypeError),
    ],
)
def test_a_bad_eta_is_named(eta, error):
    scheduler = ddim()
    for call in (lambda: scheduler.step(zeros(), zeros(), 60, eta=eta), lambda: scheduler.plan_for(eta=eta)):
        with names(error, "eta", eta):
            call()


def test_use_clipped_model_output_must_be_a_bool():
    with names(TypeError, "use_clipped_model_output", 0.5):
        ddim().step(zeros(), zeros(), 60, 0.0, 0.5)


# --- noise -----------------------------------------------------------------------------------------------------------


def ddim_step(**options):
    return ddim().step(zeros(), zeros(), 60, eta=0.5, **options)


def ddpm_step(**options):
    return ddpm().step(zeros(), zeros(), 60, **options)


@pytest.mark.parametrize("step", [ddim_step, ddpm_step])
@pytest.mark.parametrize(
    "options, argument, shown, error",
    [
        ({"noise": zeros(), "generator": 3}, "generator", "both given", ValueError),
        ({"noise": zeros(2, 5, 4)}, "noise", "(2, 5, 4)", ValueError),
        ({"noise": zeros(1, 5, 3)}, "noise", "(1, 5, 3)", ValueError),
        ({"noise": zeros(dtype=np.float64)}, "noise", "Float64", TypeError),
        ({"noise": np.zeros(SHAPE, np.float32)}, "noise", "ndarray", TypeError),
        ({"generator": [np.random.default_rng(0)]}, "generator", "1 streams", ValueError),
        ({"generator": [np.random.default_rng(0)] * 3}, "generator", "3 streams", ValueError),
        ({"generator": NoiseSource(0, 3)}, "generator", "3 streams", ValueError),
        ({"generator": "seed"}, "generator", "seed", TypeError),
        ({"generator": 1.5}, "generator", 1.5, TypeError),
        ({"generator": ms.Generator()}, "generator", "Generator", TypeError),
        ({"generator": -1}, "seed", -1, ValueError),
    ],
)
def test_bad_noise_is_named(step, options, argument, shown, error):
    with names(error, argument, shown):
        step(**options)


@pytest.mark.parametrize("variance_type", ["learned", "learned_range"])
def test_a_learned_variance_that_is_missing_or_does_not_fit_is_named(variance_type):
    scheduler = ddpm(variance_type=variance_type)
    with pytest.raises(TypeError, match=f"'{variance_type}' needs 'predicted_variance'.*None"):
        scheduler.step(zeros(), zeros(), 60)
    with names(ValueError, "predicted_variance", "(2, 5, 6)"):
        scheduler.step(zeros(), zeros(), 60, zeros(2, 5, 6))


# --- the forward process ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["add_noise", "get_velocity"])
@pytest.mark.parametrize(
    "arguments, argument, shown, error",
    [
        ((zeros(), zeros(2, 5, 4), 60), "noise", "(2, 5, 4)", ValueError),
        ((zeros(), zeros(), 100), "timesteps", 100, ValueError),
        ((zeros(), zeros(), Tensor([3, -1], mstype.int32)), "timesteps", "[3, -1]", ValueError),
        ((zeros(), zeros(), Tensor([1, 2, 3], mstype.int32)), "timesteps", "(3,)", ValueError),
        ((zeros(), zeros(), zeros()), "timesteps", "(2, 5, 3)", ValueError),
        ((zeros(), zeros(), Tensor([0.5, 1.0], mstype.float32)), "timesteps", "0.5|5.0+e-01", TypeError),
        ((zeros(), Tensor([1, 2], mstype.int32), zeros()), "noise", "Int32", TypeError),
    ],
)
def test_bad_arguments_of_the_forward_process_are_named(method, arguments, argument, shown, error):
    shown = shown if "|" in str(shown) else re.escape(str(shown))
    with pytest.raises(error, match=f"'{argument}'.*({shown})"):
        getattr(DiffusionScheduler(100), method)(*arguments)


def test_the_base_class_has_no_steps():
    with pytest.raises(NotImplementedError, match="DiffusionScheduler"):
        DiffusionScheduler(100).plan_for()


# --- inside a graph, what its compilation can know -------------------------------------------------------------------


@pytest.mark.parametrize(
    "timestep, output, options, error, message",
    [
        (100, zeros(), {}, ValueError, "'timestep'.*100"),
        (5.5, zeros(), {}, ValueError, "'timestep'.*5.5"),
        (60, zeros(2, 1, 3), {}, ValueError, r"'model_output' has shape \(2, 1, 3\)"),
        (60, zeros(), {"eta": 1.5}, ValueError, "'eta'.*1.5"),
    ],
)
def test_compiling_a_bad_step_names_it(timestep, output, options, error, message, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)  # A failed compilation leaves a file.
    scheduler = ddim()

    @ms.jit
    def inside(output, sample):
        return scheduler.step(output, sample, timestep, **options)

    with pytest.raises(error, match=message):
        inside(output, zeros())


def test_compiling_swapped_arguments_names_them(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    scheduler = ddim()

    @ms.jit
    def inside(output, sample, timestep):
        return scheduler.step(output, timestep, sample)

    with pytest.raises(TypeError, match="'sample' and 'timestep' are swapped"):
        inside(zeros(), zeros(), Tensor(60, mstype.int32))


def test_compiling_a_step_without_schedule_or_variance_names_it(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    unscheduled, learned = DDIMScheduler(100), ddpm(variance_type="learned")

    @ms.jit
    def without_schedule(x, t):
        return unscheduled.step(x, x, t)

    @ms.jit
    def without_variance(x, t):
        return learned.step(x, x, t)

    with pytest.raises(ValueError, match="'set_timesteps' must be called first"):
        without_schedule(zeros(), Tensor(60, mstype.int32))
    with pytest.raises(TypeError, match="'predicted_variance', but got None"):
        without_variance(zeros(), Tensor(60, mstype.int32))
