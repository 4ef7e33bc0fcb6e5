"""The training step: pieces, clipping, loss scaling and ranks, each by what it does to the gradients."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn

from mindscience_diffuser.runs.commands import training_step
from mindscience_diffuser.runs.commands.training_step import TrainingStep
from mindscience_diffuser.runs.config.schema import Training
from mindscience_diffuser.runs.errors import ConfigError
from mindscience_diffuser.runs.kinds.objective import Objective

ROWS = np.random.default_rng(0).standard_normal((12, 3), dtype=np.float32)


class Batches:
    """Twelve examples; a batch is any array."""

    def __len__(self):
        return 12


def step(**options):
    """A training step of one dense layer whose loss is the mean of its squared output."""
    ms.set_seed(0)
    model = nn.Dense(3, 2)
    settings = {"batch_size": 12, "learning_rate": 0.1, "warmup_steps": 0, "steps": 5, "weight_decay": 0.0}

    def loss(rows):
        return (model(rows) ** 2).mean()

    return TrainingStep(Objective(model, loss, Batches(), None), Training(**{**settings, **options}))


def first_moments(trained):
    """The gradient that the optimizer was given in its first step: Adam keeps a tenth of it."""
    return np.concatenate([moment.asnumpy().ravel() for moment in trained.optimizer.moments1]) * 10


def test_pieces_give_the_gradient_of_the_whole_batch():
    whole, pieces = step(), step(accumulate=3)
    for _ in range(3):
        losses = [[float(piece.mean.asnumpy()) for piece in trained([ROWS])] for trained in (whole, pieces)]
        assert len(losses[1]) == 3
        np.testing.assert_allclose(np.mean(losses[0]), np.mean(losses[1]), rtol=1e-5)
    for name, value in whole.state().items():
        np.testing.assert_allclose(pieces.state()[name], value, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_clipping_limits_the_norm_of_all_gradients_and_keeps_their_direction(accumulate):
    free, clipped = step(), step(clip_norm=0.01, accumulate=accumulate)
    free([ROWS])
    clipped([ROWS])
    gradient, limited = first_moments(free), first_moments(clipped)
    assert np.linalg.norm(gradient) > 0.1
    np.testing.assert_allclose(np.linalg.norm(limited), 0.01, rtol=1e-3)
    np.testing.assert_allclose(limited / 0.01, gradient / np.linalg.norm(gradient), atol=1e-3)


@pytest.mark.parametrize("loss_scale", [1024.0, "dynamic"])
def test_a_scaled_loss_gives_the_same_step(loss_scale):
    plain, scaled = step(), step(loss_scale=loss_scale)
    np.testing.assert_allclose(scaled([ROWS])[0].mean.asnumpy(), plain([ROWS])[0].mean.asnumpy(), rtol=1e-6)
    np.testing.assert_allclose(first_moments(scaled), first_moments(plain), rtol=1e-4)


def test_an_overflow_is_not_applied_and_halves_the_scale():
    trained = step(loss_scale="dynamic")
    before = trained.state()
    trained([ROWS * np.float32(1e18)])
    after = trained.state()
    assert after.pop("loss_scale") == before.pop("loss_scale") / 2
    for name, value in before.items():
        np.testing.assert_array_equal(after[name], value)
    trained([ROWS])
    assert trained.state()["optimizer.global_step"] == 1


class OneByOne(nn.Cell):
    """A cell that no open batch size compiles."""

    def construct(self, rows):
        return ms.ops.stack([rows[i] for i in range(rows.shape[0])])


def test_it_compiles_after_another_compilation_has_failed(tmp_path):
    with pytest.raises(TypeError):
        ms.export(
            OneByOne(),
            ms.Tensor(shape=[None, 3], dtype=ms.float32),
            file_name=str(tmp_path / "a"),
            file_format="MINDIR",
        )
    trained = step(loss_scale="dynamic")
    trained([ROWS])
    assert trained.state()["optimizer.global_step"] == 1


def test_state_restores_a_step_bit_for_bit():
    options = {"accumulate": 2, "loss_scale": "dynamic", "clip_norm": 0.5}
    trained, other = step(**options), step(**options)
    trained([ROWS])
    other.load_state(trained.state())
    for each in (trained, other):
        each([ROWS[::-1].copy()])
    for name, value in trained.state().items():
        np.testing.assert_array_equal(other.state()[name], value)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_ranks_and_pieces_take_every_row_once(monkeypatch, accumulate):
    trained = step(accumulate=accumulate)
    monkeypatch.setattr(training_step, "rank_count", lambda: 3)
    taken = []
    for rank in range(3):
        monkeypatch.setattr(training_step, "rank", lambda rank=rank: rank)
        taken += [trained._part([ROWS], piece)[0] for piece in range(accumulate)]
    np.testing.assert_array_equal(np.concatenate(taken), ROWS)


@pytest.mark.parametrize(
    ("ranks", "options", "message"),
    [
        (5, {}, "'training.batch_size' is 12.*cannot be divided among 5 ranks with 1 pieces.*a multiple of 5"),
        (2, {"accumulate": 4}, "cannot be divided among 2 ranks with 4 pieces.*a multiple of 8"),
        (24, {"batch_size": 24}, "12 training examples, fewer than the 24 ranks"),
    ],
)
def test_ranks_that_do_not_fit_the_batch_or_the_data_are_refused(monkeypatch, ranks, options, message):
    monkeypatch.setattr(training_step, "rank_count", lambda: ranks)
    with pytest.raises(ConfigError, match=message):
        step(**options)


def test_an_array_that_cannot_be_divided_is_refused():
    with pytest.raises(ConfigError, match="an array of 11 rows"):
        step(accumulate=2)([ROWS[:11]])
