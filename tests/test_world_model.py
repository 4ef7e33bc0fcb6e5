"""The transformer of frames, and runs of the kind ``world_model``."""

import json

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor
from PIL import Image

from mindscience_diffuser import DiffusionSampler, DiffusionSamplerConfig, EDMPreconditioning
from mindscience_diffuser.cli import main
from mindscience_diffuser.examples.stirred_flow.data import StirredFlow
from mindscience_diffuser.export import export_mindir, load_mindir
from mindscience_diffuser.models import FrameTransformer
from mindscience_diffuser.runs.config.load import load_config
from mindscience_diffuser.runs.errors import ConfigError
from mindscience_diffuser.runs.kinds.films.rollout import denoiser_of, roll_out
from mindscience_diffuser.runs.kinds.films.world_model import WorldModel, build_world_model
from mindscience_diffuser.runs.kinds.kind import kind_of

CONFIG = """
run: world_model
output: {output}
data: {{name: StirredFlow, train_films: 2, train_frames: 9}}
model: {{name: FrameTransformer, context: 3, hidden_channels: 16, layers: 1, heads: 2, patch: 8}}
training: {{steps: 3, batch_size: 4, warmup_steps: 1}}
rollout: {{films: 2, frames: 4, num_steps_denoising: 2, initial_noise: [standard, observation]}}
"""
FORECAST = """
run: forecast
output: {output}
data: {{name: StirredFlow, train_films: 2, train_frames: 9}}
model: {{name: FrameTransformer}}
forecast: {{films: 2, frames: 4, members: 2, num_steps_denoising: 1}}
"""


def network(dtype=ms.float32, side=8):
    ms.set_seed(0)
    model = FrameTransformer(2, 5, side, 16, 1, 2, patch=4, compute_dtype=dtype)
    rng = np.random.default_rng(0)
    for parameter in model.trainable_params():
        parameter.set_data(Tensor(rng.standard_normal(parameter.shape).astype(np.float32) * 0.2))
    return model.set_train(False)


def frames(batch, count, side=8, seed=1):
    return np.random.default_rng(seed).standard_normal((batch, count, side, side)).astype(np.float32)


def test_tokens_are_patches_with_half_a_patch_around_them():
    model = FrameTransformer(2, 5, 8, 16, 1, 2, patch=4)
    film = frames(1, 3)
    tokens = model.to_tokens(model.quarters(Tensor(film)), 12).asnumpy()
    assert tokens.shape == (1, 4, 12 * 16)
    around = np.pad(film[0], ((0, 0), (2, 2), (2, 2)), mode="wrap")
    for place in range(4):
        top, left = 4 * (place // 2), 4 * (place % 2)
        window = around[:, top : top + 8, left : left + 8]
        assert np.allclose(np.sort(tokens[0, place]), np.sort(window.ravel()))
    parts = model.to_tokens(Tensor(film[:, :1]), 1)
    assert np.array_equal(model.to_frame(parts).asnumpy(), film[:, :1])


def test_prediction_depends_on_noise_level_observations_and_actions():
    model = network()
    inputs = [frames(2, 1), np.zeros(2, np.float32), frames(2, 2, seed=2), np.zeros((2, 2), np.int32)]
    base = model(*(Tensor(v) for v in inputs)).asnumpy()
    for place in range(4):
        changed = [v + 1 if i == place else v for i, v in enumerate(inputs)]
        assert not np.allclose(model(*(Tensor(v) for v in changed)).asnumpy(), base, atol=1e-4)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"patch": 3}, "'patch' must divide"),
        ({"patch": 1}, "'patch' must be even"),
        ({"heads": 3}, "'heads' must divide"),
        ({"context": 0}, "context"),
        ({"compute_dtype": ms.int32}, "compute_dtype"),
    ],
)
def test_bad_argument_of_the_network_is_refused(arguments, words):
    given = {"context": 2, "actions": 5, "side": 8, "hidden_channels": 16, "layers": 1, "heads": 2, **arguments}
    with pytest.raises(ValueError, match=words):
        FrameTransformer(**given)


@pytest.mark.parametrize("dtype", [ms.float32, ms.float16])
def test_next_frame_is_exported_and_reloaded_in_half_precision_too(dtype, tmp_path):
    drawing = DiffusionSampler(network(dtype), DiffusionSamplerConfig(3), EDMPreconditioning(), dtype)
    observed, acted = Tensor(frames(2, 2)[:, :, None]), Tensor(np.zeros((2, 2), np.int32))
    noise = Tensor(frames(2, 1, seed=3))
    result = drawing(observed, acted, noise).asnumpy()
    path = export_mindir(drawing, tmp_path / "world.mindir", observed, acted, noise)
    again = load_mindir(path, plan=drawing.plan)(observed, acted, noise).asnumpy()
    assert result.dtype == again.dtype == (np.float32 if dtype == ms.float32 else np.float16)
    assert np.all(np.isfinite(result))
    assert np.allclose(again.astype(float), result.astype(float), atol=1e-5 if dtype == ms.float32 else 1e-2)
    if dtype == ms.float16:
        single = DiffusionSampler(network(), DiffusionSamplerConfig(3), EDMPreconditioning())(observed, acted, noise)
        assert np.allclose(result.astype(float), single.asnumpy(), atol=5e-2)


def test_film_of_a_rollout_does_not_depend_on_the_others():
    drawing = DiffusionSampler(network(), DiffusionSamplerConfig(2), EDMPreconditioning())
    beginning, actions = 0.3 * frames(2, 2), np.zeros((2, 5), np.int32)
    together, _ = roll_out(drawing, beginning, actions, 0, "both")
    assert together.shape == (2, 3, 8, 8)
    alone, _ = roll_out(drawing, beginning[:1], actions[:1], 0, "one")
    assert np.allclose(together[:1], alone, atol=1e-5)


@pytest.fixture
def config_file(tmp_path):
    file = tmp_path / "world.yaml"
    file.write_text(CONFIG.format(output=tmp_path / "out"))
    return file


def test_batch_is_a_frame_with_what_came_before_it(config_file):
    made = WorldModel().objective(load_config(config_file))
    frames, actions = made.batches.films
    batch = made.batches.batch(7)
    clean, noise, sigmas, observed, acted = batch
    assert [v.shape for v in batch] == [(4, 1, 32, 32), (4, 1, 32, 32), (4,), (4, 3, 32, 32), (4, 3)]
    for k in range(4):
        film, time = np.argwhere((frames == clean[k]).all((2, 3, 4)))[0]
        assert np.array_equal(observed[k], frames[film, time - 3 : time, 0])
        assert np.array_equal(acted[k], actions[film, time - 3 : time])
        assert noise[k].std() == pytest.approx(sigmas[k], rel=0.1)
    assert all(np.array_equal(ours, again) for ours, again in zip(batch, made.batches.batch(7)))
    assert not np.array_equal(made.batches.batch(8)[1], noise)


def test_observations_are_noisy_where_the_configuration_says_so(config_file):
    plain, noisy = (
        WorldModel().objective(load_config(config_file, [f"training.observation_noise={level}"])).batches.batch(7)
        for level in (0.0, 0.1)
    )
    assert (noisy[3] - plain[3]).std() == pytest.approx(0.1, rel=0.05)
    assert all(np.array_equal(plain[i], noisy[i]) for i in (0, 1, 2, 4))


def test_run_trains_rolls_out_and_leaves_its_figures(config_file, tmp_path):
    assert main(["train", "--config", str(config_file), "rollout.initial_noise=[standard]"]) == 0
    assert main(["sample", "--config", str(config_file)]) == 0
    train, sample = tmp_path / "out" / "train", tmp_path / "out" / "sample"
    assert {"weights.safetensors", "config.yaml", "metrics.json", "loss.png"} <= {p.name for p in train.iterdir()}
    shown = {"rollout.gif", "drift.png", "frames.npz"}
    assert {p.name for p in sample.iterdir()} == {*shown, "config.yaml", "metrics.json"}
    assert shown <= {p.name for p in train.iterdir()}
    figures = json.loads((sample / "metrics.json").read_text())
    names = {"standard", "observation", "persistence"}
    for by_name in figures["measures"].values():
        assert set(by_name) == names
        assert all(len(pair) == 2 and np.isfinite(pair).all() for told in by_name.values() for pair in told.values())
    with np.load(sample / "frames.npz") as stored:
        assert {"simulation", "actions", *names} == set(stored)
        assert stored["standard"].shape == stored["simulation"].shape == (2, 4, 32, 32)
        held = stored["persistence"]
        assert np.array_equal(held[:, 0], held[:, 3])
    with Image.open(sample / "rollout.gif") as film:
        assert film.n_frames == 2


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("rollout.sigma_min=5.0", "'sigma_min' must be below 'sigma_max'"),
        ("rollout.order=3", "rollout.order"),
        ("rollout.num_steps_denoising=0", "rollout.num_steps_denoising"),
        ("rollout.s_tmax=-1.0", "rollout.s_tmax"),
        ("rollout.initial_noise=[zeros]", "rollout.initial_noise"),
        ("rollout.films=1", "rollout.films"),
        ("training.sigma_min=30.0", "'training.sigma_min' must be below"),
        ("model.patch=5", "'patch' must divide"),
        ("data.change=2.0", "'change' must be in"),
        ("data.train_frames=3", "no frame left to predict"),
        ("data.frames=7", "unknown key 'data.frames'"),
    ],
)
def test_mistake_in_a_configuration_is_told_before_anything_runs(config_file, override, words):
    with pytest.raises(ConfigError) as caught:
        config = load_config(config_file, [override])
        WorldModel().objective(config)
    assert words in str(caught.value)


NETS = """
import mindspore as ms
from mindspore import nn, ops

class Net(nn.Cell):
    def __init__(self, context=3, form="tensor"):
        super().__init__()
        self.context, self.form, self.dense = context, form, nn.Dense(32, 32)

    def construct(self, x, noise_level, obs, actions):
        if self.form == "fails":
            raise RuntimeError("the tank is empty")
        out = self.dense(x) + obs[:, -1:]
        if self.form == "short":
            return out[:, :, 1:]
        return (out, noise_level) if self.form == "tuple" else out

class WithoutActions(Net):
    def construct(self, x, noise_level, obs):
        return x
"""
MISFITS = [
    ("{name: net.py:Net, form: short}", "returns the shape (2, 1, 31, 32) for samples of (2, 1, 32, 32)"),
    ("{name: net.py:Net, form: fails}", "the tank is empty"),
    ("{name: net.py:WithoutActions}", "takes (x, noise_level, obs) and the data give 2 conditions"),
]


@pytest.mark.parametrize(("model", "words"), MISFITS)
@pytest.mark.parametrize("run", ["world_model", "forecast"])
def test_network_that_does_not_fit_is_told_before_the_training(config_file, tmp_path, run, model, words):
    (tmp_path / "net.py").write_text(NETS)
    if run == "forecast":
        config_file.write_text(FORECAST.format(output=tmp_path / "out"))
    with pytest.raises(ConfigError) as caught:
        kind_of(config := load_config(config_file, [f"model={model}"])).objective(config)
    assert words in str(caught.value) and caught.value.key == "model"


@pytest.mark.parametrize("form", ["tensor", "tuple"])
def test_network_of_single_precision_is_called_in_half_and_its_prediction_taken(config_file, tmp_path, form):
    (tmp_path / "net.py").write_text(NETS)
    config = load_config(config_file, [f"model={{name: net.py:Net, form: {form}}}"])
    data = StirredFlow(train_films=1, train_frames=4)
    network, _ = denoiser_of(config, data, build_world_model(config, data, "float16"), "float16")
    x, obs, actions = (Tensor(np.zeros((2, *shape), np.float32)) for shape in ((1, 32, 32), (3, 32, 32), (3,)))
    drawn = network(x.astype(ms.float16), Tensor(np.zeros(2, np.float32)), obs, actions)
    assert (drawn.shape, drawn.dtype) == ((2, 1, 32, 32), ms.float16)


def test_command_that_the_kind_of_run_lacks_is_told(config_file, capsys):
    assert main(["sweep", "--config", str(config_file)]) == 2
    assert "'world_model'" in capsys.readouterr().err
