"""Drop-in schedulers inside graphs of the user: a Cell in GRAPH_MODE, or a function under `mindspore.jit`."""

import mindspore as ms
import numpy as np
import pytest
from compat_examples import steps_of
from mindspore import Tensor, nn

from mindscience_diffuser import compat

RNG = np.random.default_rng(0)
SAMPLE, OUTPUT = (RNG.standard_normal((2, 3, 4, 4)).astype(np.float16) for _ in range(2))
OTHER_STEPS = (
    "KarrasVeScheduler",
    "ScoreSdeVeScheduler",
    "ScoreSdeVpScheduler",
    "UnCLIPScheduler",
    "RFD4ProteinaScheduler",
    "PiflowScheduler",
    "HeliosDMDScheduler",
    "HeliosScheduler",
)
STEPPING = [name for name in compat.CLASSES if name not in OTHER_STEPS]
SINGLE = [
    name
    for name in STEPPING
    if (native := getattr(compat, name)().native).order == 1 and not getattr(native, "remembered", 0)
]
REMEMBERING = [name for name in STEPPING if name not in SINGLE]
EXTRA = {"RePaintScheduler": {"original_image": Tensor(SAMPLE), "mask": Tensor(np.ones_like(SAMPLE))}}


@pytest.fixture(autouse=True)
def traces(tmp_path, monkeypatch):
    """Keeps what failed compilations write out of the working directory."""
    monkeypatch.chdir(tmp_path)


def scheduled(name, steps=5, **arguments):
    scheduler = getattr(compat, name)(**arguments)
    scheduler.set_timesteps(steps_of(name, steps))
    return scheduler


class Calls(nn.Cell):
    """Calls the methods of a scheduler as the tests of mindone do: what is called comes in as an argument."""

    def __init__(self, scheduler):
        super().__init__()
        self.scheduler = scheduler

    def construct(self, method, *args, **kwargs):
        if method == "add_noise":
            return self.scheduler.add_noise(*args, **kwargs)
        if method == "get_velocity":
            return self.scheduler.get_velocity(*args, **kwargs)
        if method == "scale_model_input":
            return self.scheduler.scale_model_input(*args, **kwargs)
        return self.scheduler.step(*args, **kwargs)


def close(result, expected, dtype=ms.float16):
    assert result.dtype == dtype
    tolerance = 2e-3 if dtype == ms.float16 else 1e-5
    assert np.allclose(result.asnumpy(), expected.asnumpy(), rtol=tolerance, atol=tolerance)


def last_timestep(scheduler):
    """Returns the timestep of the last step, which needs no fresh noise."""
    return scheduler.timesteps[len(scheduler.native.timesteps) - 1 if scheduler.indexed else -1]


@pytest.mark.parametrize("name", SINGLE)
def test_methods_inside_a_graph_give_what_they_give_outside(name):
    x, output = Tensor(SAMPLE), Tensor(OUTPUT)
    scheduler, eager, extra = scheduled(name), scheduled(name), EXTRA.get(name, {})
    adds, scales = (name in scheduler.facts["methods"] for name in ("add_noise", "scale_model_input"))
    t = last_timestep(scheduler)

    def calls(x, output, t):
        noisy = scheduler.add_noise(x, output, t.reshape(1)) if adds else x
        scaled = scheduler.scale_model_input(noisy, t) if scales else noisy
        result = scheduler.step(model_output=output, timestep=t, sample=scaled, **extra)
        return noisy, scaled, result[0], result[-1]

    noisy, scaled, prev_sample, last = ms.jit(calls)(x, output, t)
    expected_noisy = eager.add_noise(x, output, t.reshape(1)) if adds else x
    close(noisy, expected_noisy)
    close(scaled, eager.scale_model_input(expected_noisy, t) if scales else expected_noisy)
    expected = eager.step(output, t, scaled, return_dict=False, **extra)
    close(prev_sample, expected[0])
    close(last, expected[-1])


@pytest.mark.parametrize("name", REMEMBERING)
def test_a_step_that_remembers_is_refused_inside_a_graph_with_what_to_do(name):
    scheduler = scheduled(name)
    arguments = [Tensor(OUTPUT), scheduler.timesteps[0], Tensor(SAMPLE)]
    if name == "CogVideoXDPMScheduler":
        arguments = [arguments[0], None, arguments[1], None, arguments[2]]

    def step(output):
        return scheduler.step(output, *arguments[1:])

    with pytest.raises(ValueError, match="scheduler.native"):
        ms.jit(step)(arguments[0])


@pytest.mark.parametrize("dtype", [ms.float16, ms.float32])
@pytest.mark.parametrize("mode", [ms.GRAPH_MODE, ms.PYNATIVE_MODE])
def test_a_cell_with_a_scheduler_works_in_both_modes_and_dtypes(mode, dtype):
    x, output = Tensor(SAMPLE).astype(dtype), Tensor(OUTPUT).astype(dtype)
    scheduler, eager = scheduled("DDIMScheduler"), scheduled("DDIMScheduler")
    t, several = scheduler.timesteps[1], scheduler.timesteps[2:4]
    ms.set_context(mode=mode)
    try:
        cell = Calls(scheduler)
        noisy = cell("add_noise", x, output, several)
        velocity = cell("get_velocity", sample=x, noise=output, timesteps=several)
        by_number = cell("step", output, 400, x, eta=0.5, variance_noise=output)[0]
        by_tensor = cell("step", output, timestep=t, sample=x, return_dict=False)
    finally:
        ms.set_context(mode=ms.PYNATIVE_MODE)
    close(noisy, eager.add_noise(x, output, several), dtype)
    close(velocity, eager.get_velocity(x, output, several), dtype)
    close(by_number, eager.step(output, 400, x, eta=0.5, variance_noise=output)[0], dtype)
    for result, value in zip(by_tensor, eager.step(output, t, x, return_dict=False)):
        close(result, value, dtype)


def test_a_compiled_function_follows_a_later_schedule():
    scheduler, eager = scheduled("EulerDiscreteScheduler"), scheduled("EulerDiscreteScheduler", steps=8)

    @ms.jit
    def step(output, t, x):
        return scheduler.step(output, t, x)[0]

    step(Tensor(OUTPUT), scheduler.timesteps[2], Tensor(SAMPLE))
    scheduler.set_timesteps(8)
    t = scheduler.timesteps[5]
    eager.set_begin_index(5)
    close(step(Tensor(OUTPUT), t, Tensor(SAMPLE)), eager.step(Tensor(OUTPUT), t, Tensor(SAMPLE))[0])


def test_of_equal_timesteps_noise_has_the_level_of_the_second():
    arguments = {"use_karras_sigmas": True, "beta_schedule": "scaled_linear"}
    scheduler = scheduled("DPMSolverMultistepScheduler", 100, **arguments)
    timesteps = scheduler.timesteps
    assert (timesteps.asnumpy()[1:] == timesteps.asnumpy()[:-1]).any()
    x, noise = (Tensor(np.ones((100, 2), np.float32)) for _ in range(2))

    @ms.jit
    def add_noise(x, noise, t):
        return scheduler.add_noise(x, noise, t)

    close(add_noise(x, noise, timesteps), scheduler.add_noise(x, noise, timesteps), ms.float32)


def test_a_learned_variance_comes_with_the_output_of_the_model():
    scheduler, eager = (scheduled("DDPMScheduler", variance_type="learned_range") for _ in range(2))
    output = Tensor(np.concatenate([OUTPUT, OUTPUT], axis=1))

    @ms.jit
    def step(output, x):
        return scheduler.step(output, 0, x)[0]

    close(step(output, Tensor(SAMPLE)), eager.step(output, 0, Tensor(SAMPLE))[0])


def test_velocity_of_a_trajectory_has_the_alpha_bar_of_the_row_as_in_diffusers():
    scheduler = scheduled("EulerDiscreteScheduler")

    @ms.jit
    def velocity(x, noise, t):
        return scheduler.get_velocity(x, noise, t)

    inside = velocity(Tensor(SAMPLE), Tensor(OUTPUT), scheduler.timesteps[3:4])
    alpha_bar = np.cumprod(1 - np.linspace(0.0001, 0.02, 1000))[3]
    expected = np.sqrt(alpha_bar) * OUTPUT.astype(float) - np.sqrt(1 - alpha_bar) * SAMPLE.astype(float)
    close(inside, Tensor(expected, ms.float16))


@pytest.mark.parametrize(
    "name, options", [("TCDScheduler", {"eta": 0.5}), ("EulerDiscreteScheduler", {"s_churn": 1.0})]
)
def test_options_that_a_graph_does_not_have_are_refused(name, options):
    scheduler = scheduled(name)
    t = scheduler.timesteps[0]

    def step(output, x):
        return scheduler.step(output, t, x, **options)

    with pytest.raises(ValueError, match=f"leave '{[*options][0]}' out"):
        ms.jit(step)(Tensor(OUTPUT), Tensor(SAMPLE))


def test_other_methods_are_refused_inside_a_graph():
    scheduler = scheduled("EulerDiscreteScheduler")

    def position(x):
        return x * scheduler.index_for_timestep(1)

    with pytest.raises(ValueError, match="Inside a graph a drop-in scheduler has"):
        ms.jit(position)(Tensor(SAMPLE))
