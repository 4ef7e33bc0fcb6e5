"""Refinement of a block of tokens by confidence, as LLaDA2 and DiffusionGemma do: commit, renew, edit."""

import numpy as np
from mindspore import Tensor, ops
from mindspore import dtype as mstype

from mindscience_diffuser.inputs import check_is_tensor
from mindscience_diffuser.schedulers.base.arguments import integer, number, optional, takes_arguments
from mindscience_diffuser.schedulers.base.scheduler import undone_on_error
from mindscience_diffuser.schedulers.tokens.kernel import TokenKernel, token_kernel
from mindscience_diffuser.schedulers.tokens.tokens import STEPS, TokenScheduler
from mindscience_diffuser.step import compiles_as, shaped
from mindscience_diffuser.validation import check_integer, check_number

ALL = 2**24
"""Number of the likeliest tokens that leaves none out."""

EXCLUDED = -1e30
"""Logit of a token that is not drawn."""


def even_shares(total, count):
    """Returns `total` parted into `count` shares as even as integers can be, the larger ones first."""
    return total // count + (np.arange(count) < total % count)


class RefinementKernel(TokenKernel):
    """Draws all tokens, commits those that are certain or owed, and edits or renews the others.

    Args:
        mask (int, optional): The mask token; None where what is not committed is random.
        filters (bool): Whether the tokens are drawn of the `top_k` likeliest, and of the share `top_p`.
    """

    def moved(self, row, logits, tokens, noise, position_noise, committed, fixed):
        """Returns the next tokens, those drawn, their probability, what was accepted, edited, and is committed now."""
        quota, threshold, editing, temperature, top_k, top_p = row
        mask, filters = self.settings
        scale = ops.where(temperature > 0, temperature, ops.ones_like(temperature))
        logits = logits / shaped(scale, logits)
        if filters:
            logits = self.filtered(logits, top_k, top_p)
        drawn = self.drawn(logits, noise, ops.cast(temperature > 0, mstype.float32))
        probability = self.probability(ops.softmax(logits, -1), drawn)
        before = committed[:, :, 0] > 0 if mask is None else tokens != mask
        certain = ops.where(before, -ops.ones_like(probability), probability)
        owed = shaped(quota, probability)
        if mask is None:
            owed = owed - ops.cast(before, mstype.float32).sum(-1, keepdims=True)
        ranks = self.ranks(ops.sort(certain, 1, True)[1])
        chosen = ops.logical_or(ranks < owed, certain > shaped(threshold, certain))
        accepted = ops.logical_and(ops.logical_not(before), chosen)
        edited = ops.logical_and(before, ops.logical_and(drawn != tokens, fixed[:, :, 0] <= 0))
        edited = ops.logical_and(edited, probability > shaped(editing, probability))
        refined = ops.where(ops.logical_or(accepted, edited), drawn, tokens)
        after = ops.logical_or(before, accepted)
        if mask is None:
            refined = ops.where(after, refined, self.uniform_tokens(position_noise[:, :, 0], logits.shape[-1]))
        return refined, drawn, probability, accepted, edited, after

    def filtered(self, logits, top_k, top_p):
        """Returns logits without the tokens beyond the `top_k` likeliest, and beyond the likeliest of share `top_p`."""
        descending = ops.sort(logits, -1, True)[0]
        count = ops.clamp(shaped(top_k, descending), None, descending.shape[-1])
        count = count * ops.ones_like(descending[:, :, :1])
        least = ops.gather_d(descending, 2, ops.cast(count - 1, mstype.int32))
        descending = ops.where(descending >= least, descending, EXCLUDED * ops.ones_like(descending))
        share = ops.softmax(descending, -1)
        within = ops.cast(ops.cumsum(share, -1) - share <= shaped(top_p, share), mstype.float32)
        last = ops.cast(within.sum(-1, keepdims=True) - 1, mstype.int32)
        least = ops.maximum(least, ops.gather_d(descending, 2, last))
        return ops.where(logits >= least, logits, EXCLUDED * ops.ones_like(logits))


@takes_arguments(
    choices={
        "block_length": integer("Number of tokens of a block, until `set_timesteps` chooses another", low=1),
        "num_inference_steps": STEPS,
        "threshold": number("Probability above which a token is committed whatever the quota", "[0, inf]"),
        "editing_threshold": optional(
            number(
                "Probability above which another token replaces a committed one; None, 0 and less for none",
                "[-inf, inf]",
            )
        ),
        "mask_token_id": optional(
            integer("The mask token, of the vocabulary or beyond it; None where random tokens stand for it", low=0)
        ),
        "top_k": optional(integer("Of how many likeliest tokens one is drawn; None for all", low=1)),
        "top_p": optional(
            number("Of which share of the probability, by the likeliest tokens, one is drawn; None for all", "(0, 1]")
        ),
    },
    block_length=32,
    num_inference_steps=32,
    threshold=0.95,
    editing_threshold=None,
    mask_token_id=None,
    top_k=None,
    top_p=None,
)
class BlockRefinementScheduler(TokenScheduler):
    """Refinement of a block: each step commits the tokens that the model is most certain of.

    A step draws all tokens of softmax(logits / temperature) and commits those above `threshold`, and as many as it
    owes: with a mask an even share of the block, without one what is lacking of the share of the steps that are taken.
    With `editing_threshold` a committed token is replaced where another one is more probable than that. Without a mask
    the others become random tokens, and which ones are committed goes from step to step by `committed`. Timesteps
    count from 0.

    Examples:
        >>> scheduler = BlockRefinementScheduler(mask_token_id=256)
        >>> for t in scheduler.timesteps:
        ...     x = scheduler.step(model(x, t), x, t)
    """

    columns = ("quota", "threshold", "editing_threshold", "temperature", "top_k", "top_p")
    position_draws = 1
    counts_up = True
    outputs = ("prev_sample", "pred_original_sample", "probability", "accepted", "edited", "committed")

    def _configure(self):
        config = self.settings
        self.draw_by(config.mask_token_id, config.top_k, config.top_p, config.block_length)
        self.set_timesteps(config.num_inference_steps)

    @undone_on_error
    def set_timesteps(self, num_inference_steps, block_length=None, temperature=0.0):
        """Chooses the number of steps of a block, and how its tokens are drawn.

        Args:
            num_inference_steps (int): Number of steps, at least 1.
            block_length (int, optional): Number of tokens of a block, at least 1. Default: ``None``, that of the
                configuration.
            temperature (float): Temperature of the logits, in [0, inf); at 0 the likeliest token is taken. Default:
                ``0.0``.

        Raises:
            TypeError: If an argument has the wrong type.
            ValueError: If one is out of range.
        """
        config = self.settings
        count = check_integer("num_inference_steps", num_inference_steps, low=1)
        length = config.block_length if block_length is None else check_integer("block_length", block_length, low=1)
        temperature = check_number("temperature", temperature, "[0, inf)")
        limits = self.limits(temperature, config.top_k, config.top_p)
        self.block_length = length
        shares = even_shares(length, count)
        quota = shares if self.mask_token is not None else -(-np.arange(1, count + 1) * length // count)
        editing = config.editing_threshold if (config.editing_threshold or 0) > 0 else np.inf
        columns = np.broadcast_arrays(quota, config.threshold, editing, temperature, *limits.values())
        self._schedule(np.arange(count), np.stack(columns, axis=-1).astype(np.float64))

    @staticmethod
    def limits(temperature, top_k, top_p):
        """Returns the columns `top_k` and `top_p`; nothing is left out where the likeliest token is taken."""
        everything = temperature == 0
        top_k = ALL if top_k is None or everything else check_integer("top_k", top_k, low=1)
        # The sum of all shares may be above 1 in single precision.
        top_p = np.inf if top_p in (None, 1) or everything else check_number("top_p", top_p, "(0, 1]")
        return {"top_k": top_k, "top_p": top_p}

    def draw_by(self, mask_token, top_k, top_p, block_length):
        """Takes the kernel of a mask token, None for none, of whether there are limits, and the length of a block."""
        self.mask_token = mask_token
        self.block_length = block_length
        self.kernel = token_kernel(RefinementKernel, mask_token, top_k is not None or top_p is not None)

    def construct(self, model_output, sample, timestep, noise, position_noise, committed=None, prompt_mask=None):
        """The pure form of `step` for other graphs and for export; timestep is an int32 Tensor, 0-D or ``(B,)``."""
        given = model_output, sample, timestep, noise, position_noise
        return self.step_in_graph(*given, None, False, committed, prompt_mask)

    def step_in_graph(
        self,
        model_output,
        sample,
        timestep,
        noise=None,
        position_noise=None,
        generator=None,
        return_dict=False,
        committed=None,
        prompt_mask=None,
    ):
        """What the graph compiler reads in place of :meth:`step`."""
        others = (self.flags(committed, sample), self.flags(prompt_mask, sample))
        outputs = self.moved_in_graph(model_output, sample, timestep, noise, position_noise, generator, others)
        return outputs if return_dict else outputs[0]

    @staticmethod
    def flags(chosen, sample):
        """Returns flags of each token as float32, 0 where none are given."""
        none = ops.cast(ops.zeros_like(sample), mstype.float32)
        return none if chosen is None else ops.cast(chosen, mstype.float32) + none

    @compiles_as(step_in_graph)
    def step(
        self,
        model_output,
        sample,
        timestep,
        noise=None,
        position_noise=None,
        generator=None,
        return_dict=False,
        committed=None,
        prompt_mask=None,
    ):
        """Commits the most certain tokens of a block; the other arguments are as in the base.

        Args:
            model_output (Tensor): Logits, ``(B, block_length, K)``, float32 or float16.
            sample (Tensor): The tokens of the block, ``(B, block_length)``, int32 or int64.
            timestep (int, numpy.ndarray or Tensor): One of `timesteps`, or one for each sample, ``(B,)``.
            noise (Tensor, optional): Uniform numbers in (0, 1), ``(B, block_length, K)``: which tokens are drawn.
            position_noise (Tensor, optional): Uniform numbers in (0, 1), ``(B, block_length, 1)``: the random tokens.
            generator (optional): Source of the noise that is not given.
            return_dict (bool): Whether to return all that the step knows. Default: ``False``.
            committed (Tensor, optional): Which tokens are committed, bool, ``(B, block_length)``: those of the last
                step. Of use without a mask token. Default: ``None``, none.
            prompt_mask (Tensor, optional): Which tokens are never edited, bool, ``(block_length,)`` or
                ``(B, block_length)``. Default: ``None``, none.

        Returns:
            Tensor, the next tokens, int32; with `return_dict` a :class:`TokenSchedulerOutput`.

        Raises:
            TypeError: If an argument has the wrong type, or sample and timestep are swapped.
            ValueError: If the shapes do not belong together, or a value is out of range.
        """
        given = model_output, sample, timestep, noise, position_noise, generator
        return self._result(self.moved(*given, self.others(sample, committed, prompt_mask)), return_dict)

    def others(self, sample, committed, prompt_mask):
        """Returns what the kernel takes besides noise, checked; a sample that is none is told of later."""
        if not isinstance(sample, Tensor):
            return ()
        for name, value, shapes in (
            ("committed", committed, (sample.shape,)),
            ("prompt_mask", prompt_mask, (sample.shape, sample.shape[1:])),
        ):
            if value is None:
                continue
            check_is_tensor(name, value)
            if value.dtype != mstype.bool_:
                raise TypeError(f"'{name}' must be bool, but is {value.dtype}; convert it with astype.")
            if value.shape not in shapes:
                raise ValueError(f"'{name}' has shape {value.shape}, but must have {shapes[-1]}.")
        return tuple(self.flags(value, sample) for value in (committed, prompt_mask))

    def _check_step(self, model_output, sample, timestep):
        index = super()._check_step(model_output, sample, timestep)
        if sample.shape[1:] != (self.block_length,):
            raise ValueError(
                f"'sample' has shape {sample.shape}, but the steps are for blocks of {self.block_length} tokens: call "
                f"set_timesteps({self.num_inference_steps}, block_length=...)."
            )
        return index
