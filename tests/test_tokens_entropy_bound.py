"""Sampling under an entropy bound: which tokens are kept, what becomes of the others, diffusers' steps."""

import mindspore as ms
import numpy as np
import pytest
from golden_tokens import CLASSES, START, Replayed, cases, drawn, result, tensors
from mindspore import Tensor, nn
from scipy.special import softmax

from mindscience_diffuser import EntropyBoundScheduler, compat


@pytest.fixture(scope="module")
def scheduler():
    return EntropyBoundScheduler(1.5, num_inference_steps=4)


def tokens_of(case):
    return Tensor(np.minimum(drawn(case, START)["tokens"], CLASSES - 1))


@pytest.mark.parametrize("case, config", cases("entropy_bound"))
def test_trajectories_are_those_of_diffusers(case, config):
    bound = config["bound"]
    native = EntropyBoundScheduler(**{**config["init"], **({} if bound is None else {"entropy_bound": bound})})
    peer = compat.EntropyBoundScheduler(**config["init"])
    for scheduler in (native, peer):
        scheduler.set_timesteps(config["steps"])
    x = tokens_of(case)
    names = {
        "prev_sample": "prev_sample",
        "accepted_index": "accepted",
        "sampled_tokens": "pred_original_sample",
        "sampled_probs": "probability",
    }
    for step in range(config["steps"]):
        given = tensors(case, step)
        noise, position_noise = given["noise"][..., :CLASSES], given["position_noise"][..., :1]
        output = native.step(given["logits"], x, step, noise, position_noise, return_dict=True)
        source = Replayed(noise.asnumpy(), position_noise.asnumpy())
        of_peer = peer.step(given["logits"], peer.timesteps[step], x, entropy_bound=bound, generator=source)
        for name, of_native in names.items():
            for found in (getattr(output, of_native), of_peer[name]):
                np.testing.assert_allclose(found.asnumpy(), result(name, case)[step], rtol=2e-5, atol=1e-7)
        np.testing.assert_allclose(of_peer.pred_logits.asnumpy(), result("pred_logits", case)[step], rtol=1e-6)
        x = output.prev_sample


def test_the_kept_tokens_are_the_most_that_the_bound_allows(scheduler):
    logits, x = tensors(0, 0)["logits"], tokens_of(0)
    for t in range(4):
        temperature = 0.4 + 0.4 * (1 - t / 4)
        accepted = scheduler.step(logits, x, t, generator=0, return_dict=True).accepted.asnumpy()
        p = softmax(logits.asnumpy().astype(np.float64) / temperature, -1)
        for entropy, kept in zip(-(p * np.log(p)).sum(-1), accepted):
            ascending = np.sort(entropy)
            most = max(k for k in range(1, 13) if ascending[:k].sum() - ascending[k - 1] <= 1.5)
            assert 1 < most < 12
            np.testing.assert_array_equal(kept, entropy <= ascending[most - 1])


def test_other_tokens_are_renewed_uniformly():
    shape = (2, 8000)
    scheduler = EntropyBoundScheduler(0.0, num_inference_steps=4)
    x = scheduler.step(
        Tensor(np.zeros((*shape, CLASSES), np.float32)), Tensor(np.zeros(shape, np.int32)), 0, generator=1
    )
    counts = np.bincount(x.asnumpy().ravel(), minlength=CLASSES)
    expected = 16000 / CLASSES
    assert ((counts - expected) ** 2 / expected).sum() < 22.5  # 0.999 of chi square with 6 degrees of freedom.


class InGraph(nn.Cell):
    """A step inside the graph of somebody else."""

    def __init__(self, scheduler):
        super().__init__()
        self.scheduler = scheduler

    def construct(self, logits, tokens, timestep, noise, position_noise):
        """Returns the next tokens."""
        return self.scheduler(logits, tokens, timestep, noise, position_noise)


def test_a_step_exported_inside_a_graph_is_the_same(scheduler, tmp_path):
    given = tensors(1, 0)
    inputs = given["logits"], tokens_of(1), Tensor([3, 1], ms.int32), given["noise"][..., :CLASSES]
    inputs = (*inputs, given["position_noise"][..., :1])
    expected = scheduler.step(*inputs).asnumpy()
    ms.export(InGraph(scheduler), *inputs, file_name=str(tmp_path / "step"), file_format="MINDIR")
    exported = nn.GraphCell(ms.load(str(tmp_path / "step.mindir")))
    np.testing.assert_array_equal(exported(*inputs).asnumpy(), expected)


def test_mistakes_are_told(scheduler):
    with pytest.raises(ValueError, match=r"'entropy_bound' must be in \[0, inf\], but is -1"):
        EntropyBoundScheduler(-1)
    with pytest.raises(ValueError, match=r"'t_min' must be in \(0, inf\), but is 0"):
        EntropyBoundScheduler(t_min=0)
    with pytest.raises(ValueError, match=r"'timestep' must be in \[0, 3\]"):
        scheduler.step(tensors(0, 0)["logits"], tokens_of(0), 4)
    with pytest.raises(ValueError, match=r"'sample' must hold tokens in \[0, 6\], but has -1"):
        scheduler.step(tensors(0, 0)["logits"], tokens_of(0) * 0 - 1, 0)
