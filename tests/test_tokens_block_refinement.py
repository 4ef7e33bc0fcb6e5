"""Refinement of blocks: how many tokens each step commits, what it edits and renews, diffusers' steps."""

import mindspore as ms
import numpy as np
import pytest
from golden_tokens import CLASSES, LENGTH, START, Replayed, cases, drawn, result, tensors
from mindspore import Tensor, nn
from scipy.special import softmax

from mindscience_diffuser import BlockRefinementScheduler, NoiseSource, compat

MASK = CLASSES


def start_of(case, masks=False, prompt=0):
    tokens = np.minimum(drawn(case, START)["tokens"], CLASSES - 1)
    return Tensor(np.where(np.arange(LENGTH) < prompt, tokens, MASK).astype(np.int32) if masks else tokens)


@pytest.mark.parametrize("case, config", cases("block_refinement"))
def test_blocks_are_those_of_diffusers(case, config):
    options, masks = dict(config["options"]), config["masks"]
    temperature = options.pop("temperature", 0.0) * (options.pop("sampling_method", "auto") != "greedy")
    native = BlockRefinementScheduler(LENGTH, mask_token_id=MASK if masks else None, **{**config["init"], **options})
    native.set_timesteps(config["steps"], temperature=temperature)
    peer = compat.BlockRefinementScheduler(LENGTH, **config["init"])
    peer.set_timesteps(config["steps"])
    x, committed = start_of(case, masks, config["prompt"]), None
    prompt_mask = Tensor(np.arange(LENGTH) < config["prompt"])
    names = {
        "prev_sample": "prev_sample",
        "transfer_index": "accepted",
        "editing_transfer_index": "edited",
        "sampled_tokens": "pred_original_sample",
        "sampled_probs": "probability",
    }
    for step, expected in enumerate(result("prev_sample", case)):
        given = tensors(case, step)
        noise = given["noise"][..., :CLASSES] if temperature > 0 else None  # None is needed for the likeliest tokens.
        position_noise = given["position_noise"][..., :1]
        source = Replayed(*(value.asnumpy() for value in (noise, position_noise) if value is not None))
        told = {"mask_token_id": MASK if masks else None, "prompt_mask": prompt_mask, **config["options"]}
        of_peer = peer.step(given["logits"], step, x, generator=source, **told)
        found = {name: [of_peer[name]] for name in names}
        if step < config["steps"]:
            output = native.step(
                *(given["logits"], x, step, noise, position_noise),
                return_dict=True,
                committed=committed,
                prompt_mask=prompt_mask if masks else None,
            )
            committed = output.committed
            for name, of_native in names.items():
                found[name].append(getattr(output, of_native))
        for name, values in found.items():
            for value in values:
                np.testing.assert_allclose(value.asnumpy(), result(name, case)[step], rtol=2e-5, atol=1e-7)
        x = Tensor(expected.astype(np.int32))


@pytest.fixture(scope="module")
def masked():
    return BlockRefinementScheduler(LENGTH, 5, threshold=1.0, mask_token_id=MASK)


def test_each_step_commits_an_even_share_of_the_masks(masked):
    masked.set_timesteps(5, temperature=1.0)
    x = start_of(0, masks=True)
    left = []
    for t in masked.timesteps:
        before, x = x.asnumpy(), masked.step(tensors(0, int(t))["logits"], x, int(t), generator=1)
        left.append((x.asnumpy() == MASK).sum(1).tolist())
        assert (x.asnumpy() == before)[before != MASK].all()
    assert left == [[9, 9], [6, 6], [4, 4], [2, 2], [0, 0]]


@pytest.mark.parametrize("threshold", [None, 0.0, -1.0])
def test_no_token_is_edited_without_a_threshold_above_0(threshold):
    config = {"block_length": 12, "num_inference_steps": 3, "editing_threshold": threshold}
    native, peer = BlockRefinementScheduler(mask_token_id=MASK, **config), compat.BlockRefinementScheduler(**config)
    given = tensors(0, 0)
    known = Tensor(drawn(0, 0)["tokens"] % CLASSES)
    outputs = (
        native.step(given["logits"], known, 0, return_dict=True),
        peer.step(given["logits"], 0, known, mask_token_id=MASK),
    )
    assert (outputs[0].pred_original_sample.asnumpy() != known.asnumpy()).any()
    for output in outputs:
        np.testing.assert_array_equal(output.prev_sample.asnumpy(), known.asnumpy())


def test_committed_tokens_are_the_most_certain_ones(masked):
    masked.set_timesteps(5)
    logits = tensors(3, 0)["logits"]
    output = masked.step(logits, start_of(3, masks=True), 0, return_dict=True)
    p = softmax(logits.asnumpy().astype(np.float64), -1).max(-1)
    for certain, accepted in zip(p, output.accepted.asnumpy()):
        np.testing.assert_array_equal(accepted, certain >= np.sort(certain)[-3])


def test_without_a_mask_what_is_not_committed_is_renewed_uniformly():
    length = 16000
    scheduler = BlockRefinementScheduler(length, 4, threshold=1.0)
    logits = Tensor(np.broadcast_to(np.eye(CLASSES, dtype=np.float32)[3], (1, length, CLASSES)))
    output = scheduler.step(logits, Tensor(np.zeros((1, length), np.int32)), 0, generator=2, return_dict=True)
    committed, x = output.committed.asnumpy(), output.prev_sample.asnumpy()
    assert committed.sum() == length // 4 and (x[committed] == 3).all()
    counts = np.bincount(x[~committed], minlength=CLASSES)
    expected = counts.sum() / CLASSES
    assert ((counts - expected) ** 2 / expected).sum() < 22.5  # 0.999 of chi square with 6 degrees of freedom.


class InGraph(nn.Cell):
    """A step inside the graph of somebody else."""

    def __init__(self, scheduler):
        super().__init__()
        self.scheduler = scheduler

    def construct(self, logits, tokens, timestep, noise, position_noise, prompt_mask):
        """Returns the next tokens."""
        return self.scheduler(logits, tokens, timestep, noise, position_noise, None, prompt_mask)


def test_a_step_exported_inside_a_graph_is_the_same(masked, tmp_path):
    masked.set_timesteps(5, temperature=0.8)
    given = tensors(1, 0)
    inputs = given["logits"], start_of(1, True, 4), Tensor([3, 1], ms.int32), given["noise"][..., :CLASSES]
    inputs = (*inputs, given["position_noise"][..., :1])
    prompt_mask = Tensor(np.arange(LENGTH) < 4)
    expected = masked.step(*inputs, prompt_mask=prompt_mask).asnumpy()
    ms.export(InGraph(masked), *inputs, prompt_mask, file_name=str(tmp_path / "step"), file_format="MINDIR")
    exported = nn.GraphCell(ms.load(str(tmp_path / "step.mindir")))
    np.testing.assert_array_equal(exported(*inputs, prompt_mask).asnumpy(), expected)


FILTERS = compat.BlockRefinementScheduler
LEAST = np.finfo(np.float32).min


def test_static_filters_keep_the_likeliest_tokens_by_number_and_by_share():
    logits = np.log(np.array([[0.1, 0.5, 0.15, 0.25], [0.7, 0.1, 0.05, 0.15]], np.float32))
    for filtering, limit, kept in (
        (FILTERS._top_k_filtering, 2, [[0, 1, 0, 1], [1, 0, 0, 1]]),
        (FILTERS._top_k_filtering, 9, np.ones((2, 4))),
        (FILTERS._top_k_filtering, -1, np.ones((2, 4))),
        (FILTERS._top_p_filtering, 0.6, [[0, 1, 0, 1], [1, 0, 0, 0]]),
        (FILTERS._top_p_filtering, 0.8, [[0, 1, 1, 1], [1, 0, 0, 1]]),
        (FILTERS._top_p_filtering, 0.01, [[0, 1, 0, 0], [1, 0, 0, 0]]),
        (FILTERS._top_p_filtering, 1.5, np.ones((2, 4))),
    ):
        np.testing.assert_array_equal(filtering(Tensor(logits), limit).asnumpy(), np.where(kept, logits, LEAST))
    half = FILTERS._top_k_filtering(Tensor(logits.astype(np.float16)), 1)
    assert half.dtype == ms.float16 and half.asnumpy().min() == np.finfo(np.float16).min
    with pytest.raises(ValueError, match=r"'top_p' must be in \(0, 1\], but is 0"):
        FILTERS._top_p_filtering(Tensor(logits), 0)


def test_the_number_of_tokens_is_exact_where_the_shares_round_to_more_than_1():
    logits = (12 * np.random.default_rng(0).standard_normal((2000, 50))).astype(np.float32)
    kept = FILTERS._top_k_filtering(Tensor(logits), 25).asnumpy() > LEAST
    assert (kept.sum(-1) == 25).all()


def test_static_draws_are_of_the_softmax_of_what_is_kept():
    count = 20000
    shares = np.array([0.1, 0.5, 0.15, 0.25])
    logits = Tensor(np.broadcast_to(np.log(shares), (2, count // 2, 4)).astype(np.float32))
    given = {"top_k": 3, "top_p": 0.85, "generator": 5}
    tokens, probability = FILTERS._sample_from_logits(logits, temperature=0.5, use_multinomial=True, **given)
    expected = shares**2 * [0, 1, 0, 1]  # The two likeliest are a share of 0.93 of the three at half the temperature.
    expected /= expected.sum()
    assert tokens.shape == probability.shape == (2, count // 2) and tokens.dtype == ms.int64
    np.testing.assert_allclose(probability.asnumpy(), expected[tokens.asnumpy()], rtol=1e-5)
    drawn_ones = (tokens.asnumpy() == 1).mean()
    assert abs(drawn_ones - expected[1]) < 4 * np.sqrt(expected[1] * expected[3] / count)
    for options in ({"temperature": 0.0, "use_multinomial": True}, {"temperature": 0.5, "use_multinomial": False}):
        tokens, probability = FILTERS._sample_from_logits(logits[:, :2], **options, **{**given, "generator": None})
        assert (tokens.asnumpy() == 1).all()
        np.testing.assert_allclose(probability.asnumpy(), 0.5, rtol=1e-6)  # Neither temperature nor limits count.
    with pytest.raises(ValueError, match="'temperature' must be in"):
        FILTERS._sample_from_logits(logits, temperature=-1.0, use_multinomial=False, **given)


def test_noise_of_blocks_masks_one_part_in_each_of_two_views():
    peer = compat.BlockRefinementScheduler(4, 3)
    tokens, valid = Tensor(np.arange(24, dtype=np.int32).reshape(2, 12)), np.ones((2, 12), np.int32)
    valid[1, 10:] = 0
    noisy, other, masked, rest = peer.add_noise(
        tokens, Tensor(valid), prompt_length=2, block_length=4, mask_token_id=99, generator=NoiseSource(1, 2)
    )
    assert not (masked.asnumpy() & rest.asnumpy()).any()
    np.testing.assert_array_equal(masked.asnumpy() | rest.asnumpy(), (np.arange(12) >= 2) & (valid > 0))
    for values, which in ((noisy, masked), (other, rest)):
        np.testing.assert_array_equal(values.asnumpy(), np.where(which.asnumpy(), 99, tokens.asnumpy()))


def test_mistakes_are_told(masked):
    masked.set_timesteps(5)
    logits, x = tensors(0, 0)["logits"], start_of(0, masks=True)
    with pytest.raises(ValueError, match=r"'sample' has shape \(2, 6\), but the steps are for blocks of 12 tokens"):
        masked.step(logits[:, :6], x[:, :6], 0)
    with pytest.raises(ValueError, match="'prompt_mask' has shape"):
        masked.step(logits, x, 0, prompt_mask=Tensor(np.ones(5, bool)))
    with pytest.raises(TypeError, match="'committed' must be bool, but is Int32"):
        masked.step(logits, x, 0, committed=x)
    with pytest.raises(ValueError, match="'mask_token_id' must be at least 0"):
        BlockRefinementScheduler(mask_token_id=-1)
    with pytest.raises(ValueError, match=r"'top_p' must be in \(0, 1\], but is 1.5"):
        BlockRefinementScheduler(top_p=1.5)
    with pytest.raises(ValueError, match="'top_k' must be at least 1"):
        BlockRefinementScheduler(top_k=0)
    with pytest.raises(ValueError, match=r"'temperature' must be in \[0, inf\)"):
        masked.set_timesteps(5, temperature=-1)
    with pytest.raises(ValueError, match="'block_length' must be at least 1"):
        compat.BlockRefinementScheduler().set_timesteps(5, block_length=0)
