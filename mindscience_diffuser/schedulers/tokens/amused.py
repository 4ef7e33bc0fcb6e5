"""aMUSEd: iterative unmasking by confidence (Patil et al., 2024, arXiv:2401.01808), as MaskGIT (arXiv:2202.04200)."""

import numpy as np
from mindspore import Tensor, ops
from mindspore import dtype as mstype

from mindscience_diffuser.schedulers.base.arguments import REQUIRED, choice, integer, takes_arguments
from mindscience_diffuser.schedulers.base.scheduler import timestep_index, timestep_index_in_graph, undone_on_error
from mindscience_diffuser.schedulers.tokens.kernel import LEAST_ARGUMENT, TokenKernel, token_kernel
from mindscience_diffuser.schedulers.tokens.tokens import TokenScheduler, check_uniform
from mindscience_diffuser.step import compiles_as, looked_up, shaped
from mindscience_diffuser.validation import check_integer, check_number

LOG_OF_CERTAIN = float(np.log(np.finfo(np.float32).max))
"""Logarithm of the confidence in a token that was known before the step."""

ROUNDED_UP = 1 + 2.0**-21
"""Factor by which a share of positions cannot fall below the integer that it is in exact arithmetic."""


class UnmaskingKernel(TokenKernel):
    """Draws all masked tokens, and masks again those that it is least confident of.

    Args:
        mask (int): The mask token.
    """

    def moved(self, row, logits, tokens, noise, position_noise, starting_mask_ratio):
        """Returns the next tokens, and those that were drawn."""
        ratio, temperature, least = row
        mask, length = self.settings[0], tokens.shape[1]
        unknown = tokens == mask
        clean = ops.where(unknown, self.drawn(logits, noise), tokens)
        log_p = ops.log(ops.clamp(self.probability(ops.softmax(logits, -1), clean), LEAST_ARGUMENT, None))
        confidence = ops.where(unknown, log_p, LOG_OF_CERTAIN * ops.ones_like(log_p))
        confidence = confidence + shaped(temperature, log_p) * self.gumbel(position_noise[:, :, 0])
        masked_before = ops.cast(unknown, mstype.float32).sum(-1, keepdims=True)
        started = shaped(starting_mask_ratio, masked_before)
        count = ops.floor(length * (started * shaped(ratio, masked_before)))
        count = ops.maximum(shaped(least, masked_before), ops.minimum(masked_before - 1, count))
        count = ops.minimum(count, masked_before)  # What is known stays, also where no token is masked.
        place = ops.cast(ops.minimum(count, ops.ones_like(count) * (length - 1)), mstype.int32)
        masked = confidence < ops.gather_d(ops.sort(confidence, 1)[0], 1, place)
        return ops.where(masked, mask * ops.ones_like(clean), clean), clean


@takes_arguments(
    choices={
        "mask_token_id": integer("The mask token, a token of the vocabulary or beyond it", low=0),
        "masking_schedule": choice(
            "Share of the tokens that is masked after the share r of the steps: cos(pi r / 2), or 1 - r",
            "cosine",
            "linear",
        ),
    },
    mask_token_id=REQUIRED,
    masking_schedule="cosine",
)
class AmusedScheduler(TokenScheduler):
    """Unmasking by confidence: every step draws all masked tokens and keeps those of which the model is sure.

    A token is drawn of softmax(logits) where it is masked; its confidence is ``log p + temperature * g`` with Gumbel
    noise g. Of L tokens the ``floor(L * starting_mask_ratio * m(r))`` with the least confidence are masked again, at
    least one and, of two or more, fewer than before; m is the masking schedule, r the share of the steps that are
    taken. Other tokens stay as they are. The last step keeps all of them.

    Examples:
        >>> scheduler = AmusedScheduler(mask_token_id=256)
        >>> scheduler.set_timesteps(12)
        >>> x = mindspore.mint.full((4, 64), 256, dtype=mindspore.int32)
        >>> for t in scheduler.timesteps:
        ...     x = scheduler.step(model(x, t), x, t, generator=0)
    """

    columns = ("ratio", "position_temperature", "least")
    position_draws = 1

    def _configure(self):
        self.mask_token = self.settings.mask_token_id
        self.temperatures = None
        self.kernel = token_kernel(UnmaskingKernel, self.mask_token)

    def mask_ratios(self, count):
        """Returns the share of masked tokens after each of `count` steps, float64."""
        share = np.arange(1, count + 1) / count
        ratios = np.cos(share * np.pi / 2) if self.settings.masking_schedule == "cosine" else 1 - share
        return ratios * ROUNDED_UP

    @undone_on_error
    def set_timesteps(self, num_inference_steps, temperature=(2, 0)):
        """Chooses the number of steps, and how random the choice of the tokens to keep is.

        Args:
            num_inference_steps (int): Number of steps, at least 1.
            temperature (float or Sequence[float]): Temperature of the first and of the last step, in [0, inf), linear
                in between; one number leads to 0.01. Default: ``(2, 0)``.

        Raises:
            TypeError: If an argument has the wrong type.
            ValueError: If one is out of range.
        """
        count = check_integer("num_inference_steps", num_inference_steps, low=1)
        ends = tuple(temperature) if isinstance(temperature, (tuple, list)) else (temperature, 0.01)
        if len(ends) != 2:
            raise ValueError(f"'temperature' must be a number or a pair, first and last, but is {temperature!r}.")
        first, last = (check_number("temperature", end, "[0, inf)") for end in ends)
        self.temperatures = np.linspace(first, last, count)
        least = (np.arange(count) < count - 1).astype(np.float64)
        rows = np.stack([self.mask_ratios(count) * least, self.temperatures, least], axis=-1)
        self._schedule(np.arange(count)[::-1].copy(), rows[::-1])

    def construct(self, model_output, sample, timestep, noise, position_noise, starting_mask_ratio=1.0):
        """The pure form of `step` for other graphs and for export; timestep is an int32 Tensor, 0-D or ``(B,)``."""
        return self.step_in_graph(
            model_output, sample, timestep, noise, position_noise, None, False, starting_mask_ratio
        )

    def step_in_graph(
        self,
        model_output,
        sample,
        timestep,
        noise=None,
        position_noise=None,
        generator=None,
        return_dict=False,
        starting_mask_ratio=1.0,
    ):
        """What the graph compiler reads in place of :meth:`step`."""
        if isinstance(starting_mask_ratio, (int, float)):
            starting_mask_ratio = Tensor(starting_mask_ratio, mstype.float32)
        others = (starting_mask_ratio,)
        outputs = self.moved_in_graph(model_output, sample, timestep, noise, position_noise, generator, others)
        return outputs if return_dict else outputs[0]

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
        starting_mask_ratio=1.0,
    ):
        """Draws the masked tokens, and masks the least certain ones again; the other arguments are as in the base.

        Args:
            model_output (Tensor): Logits, ``(B, ..., K)``, float32 or float16.
            sample (Tensor): The tokens, ``(B, ...)``, int32 or int64.
            timestep (int, numpy.ndarray or Tensor): One of `timesteps`, or one for each sample, ``(B,)``.
            noise (Tensor, optional): Uniform numbers in (0, 1), ``(B, ..., K)``: which tokens are drawn.
            position_noise (Tensor, optional): Uniform numbers in (0, 1), ``(B, ..., 1)``: which of them are kept.
            generator (optional): Source of the noise that is not given.
            return_dict (bool): Whether to return the drawn tokens too. Default: ``False``.
            starting_mask_ratio (float or Tensor): Share of the tokens that was masked at the start, in (0, 1], where
                others were given; a Tensor has one value, 0-D, or one for each sample, ``(B,)``. Default: ``1.0``.

        Returns:
            Tensor, the next tokens, int32; with `return_dict` a :class:`TokenSchedulerOutput`.

        Raises:
            TypeError: If an argument has the wrong type, or sample and timestep are swapped.
            ValueError: If the shapes do not belong together, or a value is out of range.
        """
        if not isinstance(starting_mask_ratio, Tensor):
            starting_mask_ratio = check_number("starting_mask_ratio", starting_mask_ratio, "(0, 1]")
            starting_mask_ratio = Tensor(starting_mask_ratio, mstype.float32)
        elif isinstance(sample, Tensor) and starting_mask_ratio.shape not in ((), sample.shape[:1]):
            raise ValueError(
                f"'starting_mask_ratio' has shape {starting_mask_ratio.shape}, but must be one number or have one for "
                f"each sample, {sample.shape[:1]}."
            )
        given = model_output, sample, timestep, noise, position_noise, generator
        return self._result(self.moved(*given, (starting_mask_ratio,)), return_dict)

    def add_noise_in_graph(self, original_samples, noise, timesteps):
        """What the graph compiler reads in place of :meth:`add_noise`."""
        ratio = looked_up(self.rows, timestep_index_in_graph(timesteps, self._count))[0]
        tokens = ops.cast(original_samples, mstype.int32)
        return ops.where(noise < shaped(ratio, noise), self.mask_token * ops.ones_like(tokens), tokens)

    @compiles_as(add_noise_in_graph)
    def add_noise(self, original_samples, noise, timesteps):
        """Masks tokens: each with the share of masked tokens after the step of its timestep.

        Args:
            original_samples (Tensor): Clean tokens, ``(B, ...)``, int32 or int64.
            noise (Tensor): Uniform numbers in (0, 1), ``(B, ...)``.
            timesteps (int, numpy.ndarray or Tensor): A timestep of the trajectory, or one for each sample, ``(B,)``.

        Returns:
            Tensor, int32.

        Raises:
            TypeError: If an argument has the wrong type.
            ValueError: If the shapes differ, or a timestep is out of range.
        """
        self.check_scheduled()
        self.check_tokens("original_samples", original_samples, np.inf)
        check_uniform("noise", noise, original_samples.shape)
        index = timestep_index(timesteps, original_samples.shape, self._count, "timesteps")
        return self.add_noise_in_graph(original_samples, noise, Tensor(index, mstype.int32))
