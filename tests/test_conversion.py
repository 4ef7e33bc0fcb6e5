"""Configurations of one class in another: the noise process stays, or a warning or an error names what is lost."""

import inspect
import json
import warnings

import numpy as np
import pytest

from mindscience_diffuser import (
    CogVideoXDDIMScheduler,
    DDIMScheduler,
    DiffusionScheduler,
    EDMHeunScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    FlowMatchHeunDiscreteScheduler,
    KarrasVeScheduler,
    RePaintScheduler,
    Scheduler,
    UniPCMultistepScheduler,
)
from mindscience_diffuser.compat.description import arguments_of, described
from mindscience_diffuser.schedulers.base.scheduler import schedulers_by_name

CLASSES = schedulers_by_name()
FLOWS = ("FlowMap", "FlowMatch", "LTX")
OF_DIFFUSERS = [name for name in CLASSES if name in described()]

BETAS = {"num_train_timesteps": 500, "beta_start": 0.0003, "beta_end": 0.015, "beta_schedule": "sigmoid"}
V_PREDICTION = {"prediction_type": "v_prediction"}
FLOW = {"use_flow_sigmas": True, "prediction_type": "flow_prediction", "flow_shift": 5.0, "shift": 3.0}
CHANGES = {
    "betas": BETAS,
    "trained": {"num_train_timesteps": 500, "trained_betas": list(np.linspace(0.001, 0.03, 500))},
    "zero_snr": {"rescale_betas_zero_snr": True, **V_PREDICTION},
    "snr_shift": {"snr_shift_scale": 2.0},
    "prediction": V_PREDICTION,
    "flow": FLOW,
    "dynamic": {**FLOW, "use_dynamic_shifting": True},
    "terminal": {**FLOW, "shift_terminal": 0.02},
    "inverted": {**FLOW, "invert_sigmas": True},
    "edm": {"sigma_data": 0.7},
    "others": {"beta_min": 0.2, "scaler": 2.0, "s": 0.01, "gamma": 0.25},
}
"""Other values of the arguments that describe noise processes."""


def variants():
    """Every scheduler with its defaults, and with the changes that it has arguments for."""
    for name, kind in CLASSES.items():
        yield pytest.param(kind, {}, id=name)
        seen = []
        for change, values in CHANGES.items():
            arguments = {a: v for a, v in values.items() if a in kind.arguments and kind.takes(a, v)}
            if arguments and arguments not in seen and ("flow_shift" in arguments) == ("use_flow_sigmas" in arguments):
                seen.append(arguments)
                yield pytest.param(kind, arguments, id=f"{name}-{change}")


def process(scheduler):
    """What the training timesteps mean, from the constructed scheduler: levels, and the kind of prediction."""
    settings, kind = scheduler.settings, type(scheduler).__name__
    count, prediction = settings.get("num_train_timesteps"), settings.get("prediction_type", "epsilon")
    if kind.startswith("Helios"):
        named = ("num_train_timesteps", "stages", "stage_range", "gamma", "shift")
        named += ("use_dynamic_shifting", "time_shift_type")
        return "helios", {name: settings[name] for name in named}, "flow_prediction"
    if settings.get("use_flow_sigmas") or kind.startswith(FLOWS):
        # The level of a timestep t is t / T; the shift says which are visited.
        shift = settings.get("shift", settings.get("flow_shift"))
        prediction = "flow_prediction" if kind.startswith(FLOWS) else prediction
        further = [settings.get(name) or False for name in ("use_dynamic_shifting", "shift_terminal", "invert_sigmas")]
        return "flow", [count, shift, *further], prediction
    if isinstance(scheduler, DiffusionScheduler):
        alpha_bar = scheduler._alphas**2
    elif hasattr(scheduler, "training_sigmas") and "beta_schedule" in scheduler.settings:
        alpha_bar = 1 / (1 + scheduler.training_sigmas**2)
    else:
        return kind, dict(settings), prediction
    # Solvers keep alpha_bar above 2^-24 at pure noise.
    return "betas", np.maximum(alpha_bar, 2.0**-24).tolist(), prediction


def same(one, other):
    if one[0] != other[0] or one[2] != other[2]:
        return False
    if one[0] in ("flow", "betas"):
        return len(one[1]) == len(other[1]) and np.allclose(one[1], other[1], rtol=1e-6, atol=0)
    return one[1] == other[1]


@pytest.mark.parametrize("kind, arguments", list(variants()))
def test_a_switch_keeps_the_noise_process_or_names_what_is_lost(kind, arguments):
    scheduler = kind(**arguments)
    for target in CLASSES.values():
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                other = target.from_config(scheduler.config)
            except ValueError as error:
                assert str(error).startswith("'") or "prediction_type" in str(error), error
                continue
        said = [str(warning.message) for warning in caught if "another noise process" in str(warning.message)]
        if not same(process(scheduler), process(other)) and not (target is not kind and _edm(kind, target)):
            assert said, (target, caught)
            lost = [name for name in arguments if name not in target.arguments]
            assert not lost or any(name in said[0] for name in lost), (target, said)
        else:
            assert not said, (target, said)


def _edm(*kinds):
    """Whether all are classes of EDM, whose levels and preconditioning have the same arguments."""
    return all({"sigma_schedule", "sigma_data", "rho"} <= kind.arguments.keys() for kind in kinds)


def test_the_shift_of_a_flow_has_two_names():
    with pytest.warns(UserWarning, match="does not use"):
        unipc = UniPCMultistepScheduler.from_config(FlowMatchEulerDiscreteScheduler(shift=3.0).config)
    assert unipc.config.flow_shift == 3.0 and unipc.config.use_flow_sigmas
    assert unipc.config.prediction_type == "flow_prediction" and "shift" not in unipc.config
    with pytest.warns(UserWarning, match="does not use"):
        back = FlowMatchEulerDiscreteScheduler.from_config(unipc.config)
    assert back.shift == 3.0 and "flow_shift" not in back.config
    solver = UniPCMultistepScheduler(use_flow_sigmas=True, prediction_type="flow_prediction", flow_shift=5.0)
    with pytest.warns(UserWarning, match="does not use"):
        heun = FlowMatchHeunDiscreteScheduler.from_config(solver.config)
    assert heun.shift == 5.0
    with pytest.warns(UserWarning):
        given = UniPCMultistepScheduler.from_config(back.config, use_flow_sigmas=True, flow_shift=7.0)
    assert given.config.flow_shift == 7.0
    assert (
        FlowMatchEulerDiscreteScheduler.from_preset("wan-2.1").shift
        == Scheduler.from_preset("wan-2.1").config.flow_shift
    )


@pytest.mark.filterwarnings("ignore:.*does not use")
def test_betas_that_a_class_cannot_rescale_are_named():
    ddim = DDIMScheduler(rescale_betas_zero_snr=True, prediction_type="v_prediction")
    for name in ("PNDMScheduler", "LMSDiscreteScheduler", "HeunDiscreteScheduler"):
        with pytest.warns(UserWarning, match="cannot keep rescale_betas_zero_snr: .*another noise process"):
            CLASSES[name].from_config(ddim.config)


@pytest.mark.filterwarnings("ignore:.*does not use")
def test_a_class_with_a_default_of_its_own_does_not_change_the_process():
    with pytest.warns(UserWarning):
        cogvideo = CogVideoXDDIMScheduler.from_config(EulerDiscreteScheduler().config)
    assert cogvideo.config.snr_shift_scale == 1.0
    # Its own configuration comes back as it was.
    with pytest.warns(UserWarning, match="cannot keep snr_shift_scale: .*another noise process"):
        ddim = DDIMScheduler.from_config(CogVideoXDDIMScheduler().config)
    assert CogVideoXDDIMScheduler.from_config(ddim.config).config.snr_shift_scale == 3.0


def test_the_range_of_churn_has_two_names():
    with pytest.warns(UserWarning):
        heun = EDMHeunScheduler.from_config(KarrasVeScheduler(s_min=0.1, s_max=30.0).config)
    assert (heun.config.s_tmin, heun.config.s_tmax) == (0.1, 30.0)
    with pytest.warns(UserWarning):
        back = KarrasVeScheduler.from_config(heun.config)
    assert (back.config.s_min, back.config.s_max) == (0.1, 30.0)


def plain(value):
    return list(value) if isinstance(value, tuple) else value


@pytest.mark.parametrize("name", OF_DIFFUSERS)
@pytest.mark.filterwarnings("ignore")
def test_a_file_of_diffusers_is_read_with_the_defaults_of_diffusers(name, tmp_path):
    content = {"_class_name": name, "_diffusers_version": "0.30.0"}
    (tmp_path / "scheduler_config.json").write_text(json.dumps(content))
    # An argument that diffusers gives no default is left to ours.
    kind = CLASSES[name]
    theirs = {key: value for key, value in arguments_of(name).items() if value is not inspect.Parameter.empty}
    for scheduler in (kind.from_pretrained(tmp_path), Scheduler.from_pretrained(tmp_path), kind.from_config(content)):
        assert type(scheduler) is kind
        own = kind.defaults()
        for argument, value in scheduler.config.items():
            # What diffusers does not have keeps its default.
            assert plain(value) == plain(theirs.get(argument, own.get(argument))), argument
    # Nothing but the defaults that differ is listed, and all of them are.
    ours = {argument: parameter for argument, parameter in kind.defaults().items() if argument in theirs}
    assert kind.peer_defaults == {
        argument: theirs[argument] for argument, value in ours.items() if plain(value) != plain(theirs[argument])
    }


def test_files_of_ours_keep_our_defaults(tmp_path):
    DDIMScheduler().save_pretrained(tmp_path)
    assert DDIMScheduler.from_pretrained(tmp_path).config.beta_schedule == "squaredcos_cap_v2"
    assert DDIMScheduler.from_config({}).config.beta_schedule == "squaredcos_cap_v2"
    assert DDIMScheduler.from_config({"_diffusers_version": "0.42.1"}).config.beta_schedule == "linear"


@pytest.mark.filterwarnings("ignore")
def test_a_file_of_another_class_keeps_the_noise_process_of_that_class():
    content = {"_class_name": "KDPM2DiscreteScheduler", "_diffusers_version": "0.30.0"}
    euler, ddim = EulerDiscreteScheduler.from_config(content), DDIMScheduler.from_config(content)
    assert euler.config.beta_start == ddim.config.beta_start == 0.00085
    assert ddim.config.beta_schedule == "linear"
    content["_class_name"] = "RePaintScheduler"
    assert CogVideoXDDIMScheduler.from_config(content).config.snr_shift_scale == 1.0
    with pytest.warns(UserWarning, match="cannot keep prediction_type: .*another noise process"):
        RePaintScheduler.from_config(DDIMScheduler(prediction_type="sample").config)
