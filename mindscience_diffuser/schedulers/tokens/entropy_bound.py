"""Sampling of tokens under a bound of their joint entropy (Ben-Hamu et al., 2025, arXiv:2505.24857)."""

import numpy as np
from mindspore import dtype as mstype
from mindspore import ops

from mindscience_diffuser.schedulers.base.arguments import number, takes_arguments
from mindscience_diffuser.schedulers.base.scheduler import undone_on_error
from mindscience_diffuser.schedulers.tokens.kernel import TokenKernel, token_kernel
from mindscience_diffuser.schedulers.tokens.tokens import STEPS, TokenScheduler
from mindscience_diffuser.step import shaped
from mindscience_diffuser.validation import check_integer

LOWEST_LOGARITHM = -1e4
"""Bound of log p in p log p, which is 0 far above it."""


class EntropyKernel(TokenKernel):
    """Draws all tokens, keeps those whose joint entropy is within the bound, and renews the others."""

    def moved(self, row, logits, tokens, noise, position_noise):
        """Returns the next tokens, those that were drawn, their probability, and which were kept."""
        temperature, bound = row
        logits = logits / shaped(temperature, logits)
        drawn = self.drawn(logits, noise)
        log_p = ops.log_softmax(logits, -1)
        probabilities = ops.exp(log_p)
        entropy = -(probabilities * ops.clamp(log_p, LOWEST_LOGARITHM, None)).sum(-1)
        ascending, order = ops.sort(entropy, 1)
        # Of the positions in this order: the entropy of all up to each, less the largest of them.
        kept = ops.cumsum(ascending, 1) - ascending <= shaped(bound, ascending)
        accepted = ops.gather_d(ops.cast(kept, mstype.int32), 1, self.ranks(order)) > 0
        renewed = self.uniform_tokens(position_noise[:, :, 0], logits.shape[-1])
        return ops.where(accepted, drawn, renewed), drawn, self.probability(probabilities, drawn), accepted


@takes_arguments(
    choices={
        "entropy_bound": number("Largest joint entropy of the tokens that a step keeps, in nats", "[0, inf]"),
        "t_max": number("Temperature of the first step", "(0, inf)"),
        "t_min": number("Temperature that a step after the last one would have", "(0, inf)"),
        "num_inference_steps": STEPS,
    },
    entropy_bound=0.1,
    t_max=0.8,
    t_min=0.4,
    num_inference_steps=32,
)
class EntropyBoundScheduler(TokenScheduler):
    """Sampling under an entropy bound: as many tokens at once as are nearly independent; there is no mask.

    A step draws a token for each position of softmax(logits / T), T = t_min + (t_max - t_min) (n - t) / n. It keeps the
    k positions of least entropy H such that ``sum of H - max of H <= entropy_bound`` (arXiv:2505.24857, section 3),
    which bounds how much these tokens tell about each other, at least one, and puts random tokens elsewhere. Timesteps
    t count from 0.

    Examples:
        >>> scheduler = EntropyBoundScheduler(entropy_bound=0.5)
        >>> for t in scheduler.timesteps:
        ...     x = scheduler.step(model(x, t), x, t, generator=0)
    """

    columns = ("temperature", "bound")
    position_draws = 1
    counts_up = True
    outputs = ("prev_sample", "pred_original_sample", "probability", "accepted")

    def _configure(self):
        self.kernel = token_kernel(EntropyKernel)
        self.set_timesteps(self.settings.num_inference_steps)

    @undone_on_error
    def set_timesteps(self, num_inference_steps):
        """Chooses the number of steps.

        Args:
            num_inference_steps (int): Number of steps, at least 1.

        Raises:
            TypeError: If it is no integer.
            ValueError: If it is out of range.
        """
        count = check_integer("num_inference_steps", num_inference_steps, low=1)
        config = self.settings
        temperatures = config.t_min + (config.t_max - config.t_min) * (1 - np.arange(count) / count)
        rows = np.stack(np.broadcast_arrays(temperatures, config.entropy_bound), axis=-1)
        self._schedule(np.arange(count), rows)
