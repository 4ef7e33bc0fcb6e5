"""VQ-Diffusion: the algebra of its transitions, the distribution that it samples, and diffusers' steps."""

import mindspore as ms
import numpy as np
import pytest
from golden_tokens import Replayed, cases, drawn, result, tensors
from mindspore import Tensor, nn
from scipy.special import log_softmax
from scipy.stats import chi2

from mindscience_diffuser import NoiseSource, VQDiffusionScheduler, compat
from mindscience_diffuser.schedulers.tokens.vq_diffusion import check_transitions, posterior_rows

CLASSES = 4
LEVELS = {"alpha_cum_start": 0.9, "alpha_cum_end": 0.0, "gamma_cum_start": 0.02, "gamma_cum_end": 1.0}


def scheduler_of(train, **config):
    return VQDiffusionScheduler(CLASSES + 1, num_train_timesteps=train, **{**LEVELS, **config})


def matrices(train, alpha_cum_start, alpha_cum_end, gamma_cum_start, gamma_cum_end):
    """Q_t, eq. (7), column by column q(x_t | x_{t-1}), the mask last; from products to levels as in section 4.1."""
    alpha_bar = np.append(1, np.linspace(alpha_cum_start, alpha_cum_end, train))
    gamma_bar = np.append(0, np.linspace(gamma_cum_start, gamma_cum_end, train))
    found = []
    for t in range(1, train + 1):
        alpha = alpha_bar[t] / alpha_bar[t - 1]
        gamma = 1 - (1 - gamma_bar[t]) / (1 - gamma_bar[t - 1])
        beta = (1 - alpha - gamma) / CLASSES
        q = np.full((CLASSES + 1, CLASSES + 1), beta)
        q[:CLASSES, :CLASSES] += alpha * np.eye(CLASSES)
        q[CLASSES], q[:, CLASSES] = gamma, 0
        q[CLASSES, CLASSES] = 1
        found.append(q)
    return found


def product(found, start, end):
    """The transition from level `start` to level `end`, levels counted from 0, the clean one."""
    total = np.eye(CLASSES + 1)
    for q in found[start:end]:
        total = q @ total
    return total


@pytest.mark.parametrize("count", [6, 4, 1])
def test_posterior_is_that_of_the_products_of_matrices(count):
    train = 6
    scheduler = scheduler_of(train)
    scheduler.set_timesteps(count)
    found = matrices(train, **LEVELS)
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(CLASSES), size=CLASSES + 1)
    visited = [*scheduler.timesteps.tolist(), -1]
    for t, s in zip(visited, visited[1:]):
        forward, to_s, to_t = product(found, s + 1, t + 1), product(found, 0, s + 1), product(found, 0, t + 1)
        expected = np.zeros((CLASSES + 1, CLASSES + 1))
        for x_t in range(CLASSES + 1):
            if to_t[x_t, :CLASSES].max() == 0:
                continue  # No token is left at the last timestep.
            for x_0 in range(CLASSES):
                expected[x_t] += p[x_t, x_0] * forward[x_t] * to_s[:, x_0] / to_t[x_t, x_0]
        row = [Tensor(value) for value in scheduler.rows.asnumpy()[t]]
        tokens = Tensor(np.arange(CLASSES + 1, dtype=np.int32)[None])
        found_now = scheduler.kernel.posterior(row, Tensor(np.log(p)[None].astype(np.float32)), tokens).asnumpy()[0]
        possible = expected.sum(1) > 0
        assert possible.sum() >= 1
        np.testing.assert_allclose(found_now[possible], expected[possible], rtol=2e-5, atol=1e-7)
        np.testing.assert_allclose(found_now.sum(1), 1, rtol=1e-5)


def test_rows_of_the_table_are_exact():
    alpha, gamma = np.linspace(0.9, 0.1, 5), np.linspace(0.05, 0.8, 5)
    rows = posterior_rows((alpha[1:], gamma[1:]), (alpha[:-1], gamma[:-1]), CLASSES)
    found = matrices(5, 0.9, 0.1, 0.05, 0.8)
    for t in range(2, 6):
        forward, to_s, to_t = found[t - 1], product(found, 0, t - 1), product(found, 0, t)
        agreed, left, stayed, other, clean, revealed, anything, masked = rows[t - 2]

        def posterior(x_s, x_t, x_0, forward=forward, to_s=to_s, to_t=to_t):
            return forward[x_t, x_s] * to_s[x_s, x_0] / to_t[x_t, x_0]

        mask = CLASSES
        expected = [
            (agreed, posterior(0, 0, 0)),
            (left, posterior(1, 0, 0)),
            (stayed, posterior(0, 0, 1)),
            (other, posterior(2, 0, 1)),
            (clean + other, posterior(1, 0, 1)),
            (revealed + anything, posterior(1, mask, 1)),
            (anything, posterior(0, mask, 1)),
            (masked, posterior(mask, mask, 1)),
        ]
        np.testing.assert_allclose(*zip(*expected), rtol=1e-12)


def test_a_perfect_denoiser_gives_the_distribution_of_the_data():
    data = np.array([0.5, 0.3, 0.15, 0.05])
    train = 8
    scheduler = scheduler_of(train)
    found = matrices(train, **LEVELS)
    shape = (16, 2000)
    rng = np.random.default_rng(5)
    for count in (8, 3):
        scheduler.set_timesteps(count)
        x = Tensor(np.full(shape, CLASSES, np.int32))
        for t in scheduler.timesteps:
            given = product(found, 0, t + 1)[:, :CLASSES] * data
            log_p = np.log(given / np.maximum(given.sum(1, keepdims=True), 1e-300) + 1e-30).astype(np.float32)
            noise = Tensor(rng.random((*shape, CLASSES + 1), dtype=np.float32))
            x = scheduler.step(Tensor(log_p[x.asnumpy()]), x, int(t), noise=noise)
        counts = np.bincount(x.asnumpy().ravel(), minlength=CLASSES)
        expected = data * counts.sum()
        assert len(counts) == CLASSES
        assert ((counts - expected) ** 2 / expected).sum() < chi2.ppf(0.999, CLASSES - 1)


class InGraph(nn.Cell):
    """A step inside the graph of somebody else."""

    def __init__(self, scheduler):
        super().__init__()
        self.scheduler = scheduler

    def construct(self, logits, tokens, timestep, noise):
        """Returns the next tokens."""
        return self.scheduler.step(logits, tokens, timestep, noise)


@pytest.fixture(scope="module")
def published():
    return VQDiffusionScheduler(8)


@pytest.mark.parametrize("case, config", cases("vq_diffusion"))
def test_steps_are_those_of_diffusers(case, config):
    scheduler = VQDiffusionScheduler(8, **config["init"])
    peer = compat.VQDiffusionScheduler(8, **config["init"])
    posterior = iter(result("posterior", case))
    for step, (t, expected) in enumerate(zip(config["timesteps"], result("prev_sample", case))):
        given = tensors(case, step)
        logits, tokens = given["logits"], given["tokens"]
        np.testing.assert_array_equal(scheduler.step(logits, tokens, t, noise=given["noise"]).asnumpy(), expected)
        log_p = Tensor(np.ascontiguousarray(log_softmax(drawn(case, step)["logits"], -1).swapaxes(1, 2)))
        source = Replayed(drawn(case, step)["noise"])
        found = peer.step(log_p, t, tokens, generator=source).prev_sample
        np.testing.assert_array_equal(found.asnumpy(), expected)
        if t > 0:
            logarithms, of_peer = peer.q_posterior(log_p, tokens, t).asnumpy(), next(posterior)
            likely = of_peer > -20  # What is impossible, diffusers takes for e^-69.
            np.testing.assert_allclose(logarithms[likely], of_peer[likely], rtol=1e-4, atol=2e-4)
            assert np.all(logarithms[~likely] < -19)


def test_it_is_the_same_in_graphs_and_for_float16_logits_and_each_timestep(published):
    given = tensors(0, 2)
    tokens, noise = given["tokens"], given["noise"]
    logits = given["logits"].astype(ms.float16)
    times = np.array([50, 3], np.int32)
    of_each = [published.step(logits, tokens, int(t), noise).asnumpy() for t in times]
    expected = np.stack([values[k] for k, values in enumerate(of_each)])
    cell = InGraph(published)
    for mode in (ms.GRAPH_MODE, ms.PYNATIVE_MODE):
        ms.set_context(mode=mode)
        np.testing.assert_array_equal(cell(logits, tokens, Tensor(times), noise).asnumpy(), expected)


def test_a_step_exported_for_any_batch_is_the_same(published, tmp_path):
    given = tensors(0, 1)
    inputs = given["logits"], given["tokens"], Tensor(40, ms.int32), given["noise"]
    any_batch = [Tensor(shape=(None, *value.shape[1:]), dtype=value.dtype) if value.ndim else value for value in inputs]
    ms.export(InGraph(published), *any_batch, file_name=str(tmp_path / "step"), file_format="MINDIR")
    loaded = nn.GraphCell(ms.load(str(tmp_path / "step.mindir")))
    expected = published.step(inputs[0], inputs[1], 40, noise=inputs[3]).asnumpy()
    np.testing.assert_array_equal(loaded(*inputs).asnumpy(), expected)


def test_a_sample_does_not_depend_on_its_batch(published):
    logits, tokens = tensors(0, 0)["logits"], Tensor(np.full((2, 12), 7, np.int32))
    together, alone = tokens, tokens[1:]
    sources = NoiseSource(3, 2), NoiseSource(3, [1])
    for t in (99, 60, 20, 0):
        together = published.step(logits, together, t, generator=sources[0])
        alone = published.step(logits[1:], alone, t, generator=sources[1])
        np.testing.assert_array_equal(together.asnumpy()[1:], alone.asnumpy())


def test_a_seed_goes_on_along_a_trajectory_and_begins_again_with_the_next(published):
    logits, tokens = tensors(0, 0)["logits"], Tensor(np.full((2, 12), 7, np.int32))
    first, second, again = (published.step(logits, tokens, t, generator=3).asnumpy() for t in (99, 98, 99))
    np.testing.assert_array_equal(first, again)
    published_once = published.step(logits * 0, tokens, 0, generator=4).asnumpy()
    published.step(logits * 0, tokens, 99, generator=4)
    assert not np.array_equal(published_once, published.step(logits * 0, tokens, 0, generator=4).asnumpy())
    assert second.shape == first.shape


def test_mistakes_are_told(published):
    given = tensors(0, 0)
    logits, tokens = given["logits"], given["tokens"]
    with pytest.raises(ValueError, match=r"'sample' must hold tokens in \[0, 6\] or the mask token 7, but has 8"):
        published.step(logits, tokens * 0 + 8, 5)
    with pytest.raises(TypeError, match="'sample' must hold tokens, int32 or int64, but is Float32"):
        published.step(logits, tokens.astype(ms.float32), 5)
    with pytest.raises(ValueError, match="num_vec_classes - 1 = 7"):
        published.step(logits[..., :4], tokens * 0, 5)
    with pytest.raises(ValueError, match="'sample' has shape"):
        published.step(logits, tokens[:, :4], 5)
    with pytest.raises(ValueError, match="'noise' has shape"):
        published.step(logits, tokens, 5, noise=given["noise"][..., :7])
    with pytest.raises(ValueError, match=r"'noise' has shape \(2, 12, 7\), but must have \(2, 12, 8\)"):
        published.step_in_graph(logits, tokens, Tensor(5, ms.int32), given["noise"][..., :7])
    with pytest.raises(ValueError, match=r"'timestep' must be in \[0, 99\]"):
        published.step(logits, tokens, 100)
    with pytest.raises(TypeError, match="swapped"):
        published.step(logits, Tensor(5, ms.int32), tokens)
    with pytest.raises(ValueError, match=r"'num_inference_steps' must be in \[1, 100\]"):
        published.set_timesteps(101)
    with pytest.raises(ValueError, match="sum to one, but the least is -.*alpha_cum must fall"):
        VQDiffusionScheduler(8, alpha_cum_start=0.9, gamma_cum_start=0.3)
    rows = posterior_rows((0.5, 0.2), (0.7, 0.1), CLASSES)[None]
    with pytest.raises(ValueError, match="a sum is off by 0.1: mend it"):
        check_transitions(rows + np.array([0.1, 0, 0, 0, 0, 0, 0, 0]), CLASSES, "mend it")
    with pytest.raises(TypeError, match="num_vec_classes"):
        VQDiffusionScheduler()


def test_configurations_are_saved_and_loaded(published, tmp_path):
    scheduler_of(9).save_pretrained(tmp_path)
    assert dict(VQDiffusionScheduler.from_pretrained(tmp_path).config) == dict(scheduler_of(9).config)
    peer = compat.VQDiffusionScheduler(8, num_train_timesteps=30)
    peer.save_pretrained(tmp_path)
    loaded = compat.VQDiffusionScheduler.from_pretrained(tmp_path)
    assert loaded.config.num_train_timesteps == 30 and loaded.timesteps.asnumpy().tolist() == list(range(30))[::-1]
    assert VQDiffusionScheduler.from_pretrained(tmp_path).num_train_timesteps == 30
