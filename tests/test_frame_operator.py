"""The Fourier neural operator of frames, and the denoiser of their change."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn

from mindscience_diffuser import DiffusionSampler, DiffusionSamplerConfig, EDMPreconditioning, Sampler
from mindscience_diffuser.export import export_mindir, load_mindir
from mindscience_diffuser.models import FrameOperator, ResidualDenoiser
from mindscience_diffuser.models.frame_operator import WaveProduct, wave_matrices
from mindscience_diffuser.runs.config.load import load_config
from mindscience_diffuser.runs.kinds.films.world_model import WorldModel

RNG = np.random.default_rng(0)
SIDE = 8


def network(dtype=ms.float32):
    ms.set_seed(0)
    model = FrameOperator(2, 5, SIDE, 4, 1, 3, sigma_data=0.1, compute_dtype=dtype)
    rng = np.random.default_rng(0)
    for parameter in model.trainable_params():
        parameter.set_data(Tensor(rng.standard_normal(parameter.shape).astype(np.float32) * 0.2))
    return model.set_train(False)


def frames(batch, count, seed=1):
    return 0.3 * np.random.default_rng(seed).standard_normal((batch, count, SIDE, SIDE)).astype(np.float32)


def test_waves_there_and_back_keep_what_the_modes_hold():
    there, back = wave_matrices(SIDE, 3)
    field = RNG.standard_normal((SIDE, SIDE))
    waves = np.fft.fft2(field)
    k = np.abs(np.fft.fftfreq(SIDE, 1 / SIDE))
    kept = np.fft.ifft2(waves * ((k[:, None] <= 3) & (k <= 3))).real
    assert np.allclose(field.ravel() @ there @ back, kept.ravel())


def test_product_of_waves_commutes_with_translations():
    product = WaveProduct(SIDE, 3, 2, 3, ms.float32)
    field = RNG.standard_normal((1, 2, SIDE, SIDE)).astype(np.float32)
    plain, moved = (
        product(Tensor(np.ascontiguousarray(f.reshape(1, 2, -1)))).asnumpy().reshape(1, 3, SIDE, SIDE)
        for f in (field, np.roll(field, (2, 3), (2, 3)))
    )
    assert np.allclose(np.roll(plain, (2, 3), (2, 3)), moved, atol=1e-5)
    assert np.abs(plain).max() > 0.1


def test_stronger_frames_do_not_give_changes_that_grow_like_a_power_of_them():
    ms.set_seed(0)
    model = FrameOperator(2, 5, SIDE, 4, 3, 3, sigma_data=1.0, frame_std=1.0)
    rng = np.random.default_rng(0)
    for parameter in model.trainable_params():
        parameter.set_data(Tensor(rng.standard_normal(parameter.shape).astype(np.float32)))
    sizes = []
    for strength in (4, 8):
        given = [strength * frames(2, count, seed=count) for count in (1, 2)]
        inputs = [given[0], np.zeros(2, np.float32), given[1], np.zeros((2, 2), np.int32)]
        sizes.append(np.abs(model(*(Tensor(v) for v in inputs)).asnumpy()).max())
    assert sizes[1] < 4 * sizes[0]


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
        ({"modes": 4}, r"'modes' must be in \[1, 3\], but is 4"),
        ({"context": 0}, "'context' must be at least 1"),
        ({"frame_std": 0.0}, "'frame_std' must be in"),
        ({"compute_dtype": ms.int32}, "'compute_dtype' must be"),
    ],
)
def test_bad_argument_is_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        FrameOperator(**{"context": 2, "actions": 5, "side": SIDE, "modes": 3, **arguments})


class Known(nn.Cell):
    """A network that returns its first input times two, and keeps nothing."""

    def construct(self, x, noise_level, obs, act):
        return 2 * x + noise_level.reshape((-1, 1, 1, 1))


def test_residual_denoiser_is_its_formula():
    x, obs, sigma = frames(2, 1), frames(2, 3, seed=2), np.array([0.2, 3.0], np.float32)
    denoiser = ResidualDenoiser(Known(), EDMPreconditioning(0.1))
    found = denoiser(Tensor(x), Tensor(sigma), Tensor(obs), Tensor(np.zeros((2, 3), np.int32))).asnumpy()
    s = sigma.reshape(-1, 1, 1, 1).astype(np.float64)
    change, total = x - obs[:, 2:], s**2 + 0.01
    output = 2 * change / np.sqrt(total) + np.log(s) / 4
    expected = obs[:, 2:] + 0.01 / total * change + s * 0.1 / np.sqrt(total) * output
    assert np.allclose(found, expected, atol=1e-5)


def test_residual_denoiser_refuses_pixels_and_what_is_no_model():
    with pytest.raises(ValueError, match="'preconditioning' has quantize=True"):
        ResidualDenoiser(Known(), EDMPreconditioning(quantize=True))
    with pytest.raises(TypeError, match="'model' must be an nn.Cell"):
        ResidualDenoiser(3, EDMPreconditioning())
    with pytest.raises(TypeError, match="'preconditioning' must be an EDMPreconditioning"):
        ResidualDenoiser(Known(), 0.1)


@pytest.mark.parametrize("dtype", [ms.float32, ms.float16])
def test_next_frame_is_the_same_in_a_loop_and_exported(dtype, tmp_path):
    config = DiffusionSamplerConfig(2, initial_noise="observation")
    denoiser = ResidualDenoiser(network(dtype), EDMPreconditioning(0.1))
    drawing = DiffusionSampler(denoiser, config, compute_dtype=dtype)
    observed, acted, noise = Tensor(frames(2, 2)[:, :, None]), Tensor(np.zeros((2, 2), np.int32)), frames(2, 1, seed=3)
    result = drawing(observed, acted, Tensor(noise)).asnumpy().astype(float)
    assert np.isfinite(result).all()
    near = {"atol": 1e-5 if dtype == ms.float32 else 2e-2}
    scheduler = config.scheduler(compute_dtype=dtype)
    start = Tensor(noise * scheduler.init_noise_sigma + frames(2, 2)[:, 1:])
    looped = Sampler(denoiser, scheduler)(start, observed.reshape((2, 2, SIDE, SIDE)), acted)
    assert np.allclose(looped.asnumpy().astype(float), result, **near)
    path = export_mindir(drawing, tmp_path / "world.mindir", observed, acted, Tensor(noise))
    again = load_mindir(path, plan=drawing.plan)(observed, acted, Tensor(noise)).asnumpy()
    assert np.allclose(again.astype(float), result, **near)


def test_residual_batches_hold_the_change_from_the_last_frame_as_it_is_observed(tmp_path):
    file = tmp_path / "world.yaml"
    file.write_text(
        "run: world_model\noutput: out\ndata: {name: StirredFlow, train_films: 2, train_frames: 9}\n"
        "model: {name: FrameOperator, context: 3, hidden_channels: 4, layers: 1}\n"
        "training: {batch_size: 4, observation_noise: 0.1}\n"
    )
    plain, residual = (
        WorldModel().objective(load_config(file, [f"preconditioning.residual={value}"])).batches.batch(7)
        for value in ("false", "true")
    )
    assert np.allclose(residual[0], plain[0] - plain[3][:, -1:], atol=1e-6)
    assert all(np.array_equal(plain[i], residual[i]) for i in range(1, 5))
