"""DDIM of tokens: the routes of its posterior, the distribution that it samples, its corrector, diffusers' steps."""

import mindspore as ms
import numpy as np
import pytest
from golden_tokens import CLASSES, CORRECTOR, START, Replayed, cases, drawn, result, tensors
from mindspore import Tensor, nn
from scipy.stats import chi2

from mindscience_diffuser import DiscreteDDIMScheduler, NoiseSource, compat
from mindscience_diffuser.schedulers.tokens.discrete_ddim import route_rows

DATA = np.array([0.35, 0.25, 0.15, 0.1, 0.08, 0.05, 0.02])
MANY = (2, 8000)


def posterior(alpha, alpha_next, classes):
    """q(x_s | x_t, x_0) by the products of the matrices of uniform corruption, axes x_t, x_0, x_s."""
    one = np.ones((classes, classes)) / classes
    before, after = (a * np.eye(classes) + (1 - a) * one for a in (alpha_next, alpha / alpha_next))
    joint = before[None, :, :] * after[:, None, :]  # q(x_s | x_0) q(x_t | x_s)
    return joint / joint.sum(-1, keepdims=True)


@pytest.mark.parametrize("classes", [2, 5])
def test_routes_are_the_posterior_of_the_products_of_matrices(classes):
    for alpha, alpha_next in ((0.0, 0.25), (0.25, 0.5), (0.6, 0.7), (0.75, 1.0)):
        clean, stay, renew, agreed = route_rows(alpha, alpha_next)
        expected = posterior(alpha, alpha_next, classes)
        for x_t in range(classes):
            for x_0 in range(classes):
                to_clean = clean + classes * agreed * (x_t == x_0)
                p = to_clean * np.eye(classes)[x_0] + stay * np.eye(classes)[x_t] + renew / classes
                np.testing.assert_allclose(p / p.sum(), expected[x_t, x_0], rtol=1e-12, atol=1e-15)


def chi_square(x, p):
    counts = np.bincount(x.ravel(), minlength=len(p))
    assert len(counts) == len(p)
    return ((counts - p * x.size) ** 2 / (p * x.size)).sum()


@pytest.fixture(scope="module")
def scheduler():
    return DiscreteDDIMScheduler(4)


def test_one_step_draws_of_the_posterior(scheduler):
    scheduler.set_timesteps(4)
    expected = posterior(0.25, 0.5, CLASSES)
    logits = Tensor(np.broadcast_to(50 * np.eye(CLASSES, dtype=np.float32)[2], (*MANY, CLASSES)))
    for x_t in (2, 4):
        x = scheduler.step(logits, Tensor(np.full(MANY, x_t, np.int32)), 1, generator=x_t).asnumpy()
        assert chi_square(x, expected[x_t, 2]) < chi2.ppf(0.999, CLASSES - 1)


def test_a_perfect_denoiser_gives_the_distribution_of_the_data_and_the_corrector_keeps_it(scheduler):
    scheduler.set_timesteps(4, temperature=1.0)
    corrected = DiscreteDDIMScheduler(4, corrector_k=4000, corrector_selection="random")
    rng = np.random.default_rng(1)
    x = Tensor(rng.integers(CLASSES, size=MANY).astype(np.int32))

    def logits_at(x, alpha):
        joint = DATA * (alpha * np.eye(CLASSES) + (1 - alpha) / CLASSES)  # Axes x_t, x_0.
        return Tensor(np.log(joint / joint.sum(1, keepdims=True) + 1e-30).astype(np.float32)[x.asnumpy()])

    for t in range(4):
        x = scheduler.step(logits_at(x, t / 4), x, t, generator=5)
        level = (t + 1) / 4 * DATA + (1 - (t + 1) / 4) / CLASSES
        assert chi_square(x.asnumpy(), level) < chi2.ppf(0.999, CLASSES - 1)
        if t < 3:
            output = corrected.correct(logits_at(x, (t + 1) / 4), x, t, generator=6, return_dict=True)
            assert (output.accepted.asnumpy().sum(1) == 4000).all()
            # The distribution of one token given all others is that of the level.
            expected = level[output.pred_original_sample.asnumpy()]
            np.testing.assert_allclose(output.probability.asnumpy(), expected, rtol=1e-4)
            x = output.prev_sample


@pytest.mark.parametrize("case, config", cases("discrete_ddim"))
def test_trajectories_are_those_of_diffusers(case, config):
    native, peer = (kind(**config["init"]) for kind in (DiscreteDDIMScheduler, compat.DiscreteDDIMScheduler))
    native.set_timesteps(config["steps"], config["temperature"])
    peer.set_timesteps(config["steps"])
    x = Tensor(np.minimum(drawn(case, START)["tokens"], CLASSES - 1))
    draws = config["temperature"] > 0

    def compare(output, of_peer, step, prefix):
        names = {"prev_sample": "prev_sample", "sampled_tokens": "pred_original_sample"}
        for name, of_native in names.items():
            expected = result(prefix + name, case)[step]
            np.testing.assert_array_equal(of_peer[name].asnumpy(), expected)
            if prefix == "" or name == "prev_sample":
                np.testing.assert_array_equal(getattr(output, of_native).asnumpy(), expected)
        expected = result(f"{prefix}sampled_probs", case)[step]
        np.testing.assert_allclose(of_peer.sampled_probs.asnumpy(), expected, rtol=2e-5, atol=1e-7)

    for step in range(config["steps"]):
        for first, prefix in ((0, ""), (CORRECTOR, "corrected_")):
            given = tensors(case, first + step)
            noise = given["noise"][..., :CLASSES] if draws or prefix else None
            position_noise = given["position_noise"]
            source = Replayed(*(value.asnumpy() for value in (noise, position_noise) if value is not None))
            if not prefix:
                of_peer = peer.step(given["logits"], step, x, temperature=config["temperature"], generator=source)
                output = native.step(given["logits"], x, step, noise, position_noise, return_dict=True)
            elif step < config["steps"] - 1:
                of_peer = peer.step_correct(given["logits"], step, x, generator=source)
                output = native.correct(given["logits"], x, step, noise, position_noise, return_dict=True)
            else:
                break
            compare(output, of_peer, step, prefix)
            x = output.prev_sample


def test_a_seed_goes_on_from_step_to_corrector_and_begins_again_with_the_next_trajectory(scheduler):
    scheduler.set_timesteps(4, temperature=1.0)
    given = tensors(15, 0)
    logits, x = given["logits"], Tensor(np.minimum(given["tokens"].asnumpy(), CLASSES - 1))

    def moved(generator):
        tokens, results = x, []
        for t in range(2):
            tokens = scheduler.step(logits, tokens, t, generator=generator)
            results.append(tokens.asnumpy())
            for _ in range(2):
                tokens = scheduler.correct(logits, tokens, t, generator=generator)
                results.append(tokens.asnumpy())
        return results

    first, again, expected = moved(7), moved(7), moved(NoiseSource(7, 2, stream=1))
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(first, expected)


class InGraph(nn.Cell):
    """A step inside the graph of somebody else."""

    def __init__(self, scheduler):
        super().__init__()
        self.scheduler = scheduler

    def construct(self, logits, tokens, timestep, noise, position_noise):
        """Returns all that the step knows."""
        return self.scheduler.step(logits, tokens, timestep, noise, position_noise, return_dict=True)


def test_a_step_exported_inside_a_graph_is_the_same(scheduler, tmp_path):
    scheduler.set_timesteps(4, temperature=0.7)
    given = tensors(15, 0)
    tokens = Tensor(np.minimum(given["tokens"].asnumpy(), CLASSES - 1))
    inputs = given["logits"], tokens, Tensor([3, 1], ms.int32), given["noise"][..., :CLASSES], given["position_noise"]
    expected = [value.asnumpy() for value in scheduler.step(*inputs, return_dict=True) if value is not None]
    ms.export(InGraph(scheduler), *inputs, file_name=str(tmp_path / "step"), file_format="MINDIR")
    found = [value.asnumpy() for value in nn.GraphCell(ms.load(str(tmp_path / "step.mindir")))(*inputs)]
    np.testing.assert_array_equal(found[:2], expected[:2])
    np.testing.assert_allclose(found[2], expected[2], rtol=1e-6)


def test_mistakes_are_told(scheduler):
    scheduler.set_timesteps(4)
    given = tensors(0, 0)
    with pytest.raises(ValueError, match=r"'temperature' must be in \[0, inf\), but is -0.5"):
        scheduler.set_timesteps(4, temperature=-0.5)
    with pytest.raises(ValueError, match=r"'sample' must hold tokens in \[0, 6\], but has 7"):
        scheduler.step(given["logits"], Tensor(np.full((2, 12), 7, np.int32)), 0)
    with pytest.raises(ValueError, match="'corrector_selection' must be one of 'lowest_log_margin'"):
        DiscreteDDIMScheduler(corrector_selection="highest")
    with pytest.raises(ValueError, match=r"'corrector_selection_tau' must be in \(0, inf\)"):
        DiscreteDDIMScheduler(corrector_selection_tau=0)
    with pytest.raises(ValueError, match=r"'temperature' must be in \[0, inf\)"):
        compat.DiscreteDDIMScheduler().step(given["logits"], 0, given["tokens"], temperature=-1)
    with pytest.raises(ValueError, match="'num_inference_steps' must be at least 1"):
        compat.DiscreteDDIMScheduler().set_timesteps(0)
