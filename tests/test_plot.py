"""The plot command: what it reads from schedulers, the picture, and what is said about mistakes."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from mindscience_diffuser import DDIMScheduler, FlowMatchHeunDiscreteScheduler, Scheduler, calculate_shift
from mindscience_diffuser.cli import main
from mindscience_diffuser.runs.commands.plot import draw, entries_of, read_schedule


def test_levels_of_a_flow_are_its_sigmas():
    schedule = read_schedule("sd3", {}, 6, 4096)
    scheduler = Scheduler.from_preset("sd3")
    scheduler.set_timesteps(6)
    np.testing.assert_array_equal(schedule.timesteps, scheduler.timesteps)
    np.testing.assert_allclose(schedule.sigma, scheduler.sigmas, atol=1e-7)
    np.testing.assert_allclose(schedule.alpha, 1 - scheduler.sigmas, atol=1e-7)


def test_levels_of_a_diffusion_are_those_of_its_timesteps_and_of_the_end():
    schedule = read_schedule("DDIMScheduler", {"beta_schedule": "linear", "set_alpha_to_one": False}, 5, 4096)
    alpha_bar = DDIMScheduler(beta_schedule="linear").alphas_cumprod.asnumpy()[[800, 600, 400, 200, 0, 0]]
    np.testing.assert_array_equal(schedule.timesteps, [800, 600, 400, 200, 0])
    np.testing.assert_allclose(schedule.alpha, np.sqrt(alpha_bar), rtol=1e-5)
    np.testing.assert_allclose(schedule.log_snr, np.log(alpha_bar / (1 - alpha_bar)), rtol=1e-3)


def test_log_snr_is_left_out_where_it_is_infinite():
    schedule = read_schedule("flux-schnell", {"sigmas": [1.0, 0.75, 0.5, 0.25]}, 20, 4096)
    expected = 2 * np.log([1 / 3, 1.0, 3.0])
    np.testing.assert_allclose(schedule.log_snr, [np.nan, *expected, np.nan], atol=1e-6)


def test_sigmas_above_one_are_drawn_on_a_logarithmic_axis():
    figure = Figure()
    schedule = read_schedule("sdxl", {"use_karras_sigmas": True}, 8, 4096)
    draw([schedule, read_schedule("sd3", {}, 8, 4096)], figure)
    np.testing.assert_array_equal(schedule.alpha, 1)
    assert schedule.sigma.max() > 5 and [axes.get_yscale() for axes in figure.axes] == ["log", "linear", "linear"]


def test_both_calls_of_a_heun_step_are_drawn():
    schedule = read_schedule("FlowMatchHeunDiscreteScheduler", {}, 3, 4096)
    scheduler = FlowMatchHeunDiscreteScheduler()
    scheduler.set_timesteps(3)
    assert len(schedule.timesteps) == 5
    np.testing.assert_allclose(schedule.sigma, scheduler.sigmas, atol=1e-7)


def test_the_shift_of_a_resolution_is_that_of_the_model():
    for tokens in (256, 6400):
        schedule = read_schedule("qwen-image", {}, 4, tokens)
        scheduler = Scheduler.from_preset("qwen-image")
        scheduler.set_timesteps(4, mu=calculate_shift(tokens, 256, 8192, 0.5, 0.9))
        np.testing.assert_allclose(schedule.sigma, scheduler.sigmas, atol=1e-7)
    given = read_schedule("qwen-image", {"mu": calculate_shift(6400, 256, 8192, 0.5, 0.9)}, 4, 256)
    np.testing.assert_array_equal(given.sigma, schedule.sigma)


def test_values_belong_to_the_name_before_them():
    words = ["sd3", "shift=6", "sd3", "flux-schnell", "sigmas=[1, 0.5]", "use_karras_sigmas=true"]
    assert entries_of(words) == [
        ("sd3", {"shift": 6}),
        ("sd3", {}),
        ("flux-schnell", {"sigmas": [1, 0.5], "use_karras_sigmas": True}),
    ]
    shifted, plain = (read_schedule(name, values, 4, 4096) for name, values in entries_of(words)[:2])
    assert shifted.label == "sd3 shift=6" and plain.label == "sd3"
    assert np.all(shifted.sigma[1:-1] > plain.sigma[1:-1])


def test_each_panel_has_a_line_for_each_schedule():
    figure = Figure()
    schedules = [read_schedule(name, {}, 4, 4096) for name in ("sd3", "LCMScheduler")]
    draw(schedules, figure)
    for axes, count in zip(figure.axes, (5, 4, 5)):
        assert [len(line.get_xdata()) for line in axes.get_lines()] == [count, count]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["sd3", "LCMScheduler"]


@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_the_command_writes_the_picture_and_nothing_else(suffix, tmp_path, capsys):
    path = tmp_path / f"schedules.{suffix}"
    assert main(["plot", "sd3", "flux-dev", "--steps", "4", "--output", str(path)]) == 0
    assert list(tmp_path.iterdir()) == [path] and str(path) in capsys.readouterr().out
    if suffix == "png":
        width, height = Image.open(path).size
        assert width > 1000 and height > 300


@pytest.mark.parametrize(
    "words, message",
    [
        (["flux-dv"], "unknown schedule 'flux-dv'; did you mean 'flux-dev'?"),
        (["DDIMSheduler"], "did you mean 'DDIMScheduler'?"),
        (["shift=3"], "'shift=3' must follow the name"),
        (["sd3", "shfit=3"], "sd3 shfit=3: unknown argument 'shfit'; did you mean 'shift'?"),
        (["sd3", "--steps", "9", "shfit=3"], "sd3 shfit=3: unknown argument 'shfit'; did you mean 'shift'?"),
        (["sd3", "shift=-1"], "sd3 shift=-1: 'shift' must be in (0, inf), but is -1."),
        (["sd3", "shift=[1"], "the value of 'shift=[1' is no YAML value"),
        (["sd3", "sigmas=[0.5, 1]"], "'sigmas' must be descending"),
        (["DDIMScheduler", "num_inference_steps=2000"], "'num_inference_steps' must be in [1, 1000], but is 2000."),
        (["sd3", "--steps", "0"], "'steps' must be at least 1, but is 0."),
        (["flux-dev", "--image-seq-len", "-1"], "'image-seq-len' must be at least 1, but is -1."),
        (["sd3", "--output", "schedules.doc"], "'schedules.doc' must end with the name of a picture format: "),
        (["sd3", "--output", "schedules"], "'schedules' must end with the name of a picture format: "),
        (["sd3", "--output", "nowhere/schedules.png"], "the folder 'nowhere' of the picture does not exist"),
    ],
)
def test_a_mistake_is_told_before_anything_is_written(words, message, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["plot", *words]) == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
