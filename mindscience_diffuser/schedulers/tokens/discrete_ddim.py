"""DDIM of tokens by uniform corruption, D3PM (Austin et al., 2021, arXiv:2107.03006), with a corrector."""

import numpy as np
from mindspore import dtype as mstype
from mindspore import ops

from mindscience_diffuser.schedulers.base.arguments import choice, integer, number, takes_arguments
from mindscience_diffuser.schedulers.base.scheduler import undone_on_error
from mindscience_diffuser.schedulers.tokens.kernel import LEAST_PROBABILITY, TokenKernel, token_kernel
from mindscience_diffuser.schedulers.tokens.tokens import STEPS, TokenScheduler, TokenSchedulerOutput
from mindscience_diffuser.step import shaped
from mindscience_diffuser.validation import check_integer, check_number

SELECTIONS = {
    "lowest_log_margin": (0.0, -1.0, 1.0),
    "lowest_maxprob": (-1.0, 0.0, 0.0),
    "lowest_current_prob": (0.0, -1.0, 0.0),
    "random": (0.0, 0.0, 0.0),
}
"""How the corrector chooses positions: weights of log p of the likeliest, the current, the likeliest other token."""


def route_rows(alpha, alpha_next):
    """Returns the weights of the routes of q(x_s | x_t, x_0), ``(n, 4)``, float64.

    With a = alpha_t / alpha_s and b = alpha_s: x_0 is taken with b (1 - a) + K a b [x_t = x_0], x_t with a (1 - b), any
    token with (1 - a) (1 - b), each divided by their sum.
    """
    kept = alpha / alpha_next
    return np.stack([alpha_next - alpha, kept - alpha, (1 - kept) * (1 - alpha_next), alpha], axis=-1)


class RouteKernel(TokenKernel):
    """Draws clean tokens, and for each position one of the three routes of the posterior of uniform corruption."""

    def moved(self, row, logits, tokens, noise, position_noise):
        """Returns the next tokens, the clean ones, and the probability of those."""
        clean, stay, renew, agreed, temperature = row[:5]
        drawn = self.drawn(logits, noise, temperature)
        probability = self.probability(ops.softmax(logits, -1), drawn)
        same = ops.cast(drawn == tokens, mstype.float32)
        to_clean = shaped(clean, same) + logits.shape[-1] * (shaped(agreed, same) * same)
        place = position_noise[:, :, 0] * (to_clean + shaped(stay, same) + shaped(renew, same))
        renewed = self.uniform_tokens(position_noise[:, :, 1], logits.shape[-1])
        others = ops.where(place <= to_clean + shaped(stay, same), tokens, renewed)
        return ops.where(place <= to_clean, drawn, others), drawn, probability


class CorrectorKernel(TokenKernel):
    """Draws the tokens of the least certain positions again, of their distribution given all others."""

    def moved(self, row, logits, tokens, noise, position_noise):
        """Returns the tokens, those that were drawn at all positions, their probability, and the order of positions."""
        alpha, odds, of_likeliest, of_current, of_another, count = row[5:]
        classes = logits.shape[-1]
        here = ops.cast(ops.arange(classes) == tokens.expand_dims(-1), mstype.float32)
        others = ops.softmax(logits - here * ops.log1p(classes * shaped(odds, logits)), -1)
        conditional = shaped(alpha, logits) * others + (1 - shaped(alpha, logits)) / classes
        log_p = ops.log(ops.clamp(conditional, LEAST_PROBABILITY, None))
        current = (log_p * here).sum(-1)
        another = (log_p * (1 - here) + 2 * float(np.log(LEAST_PROBABILITY)) * here).max(-1)
        doubt = shaped(of_likeliest, current) * log_p.max(-1) + shaped(of_current, current) * current
        doubt = doubt + shaped(of_another, current) * another
        order = self.ranks(ops.sort(doubt + self.gumbel(position_noise[:, :, 0]), 1, True)[1])
        drawn = self.drawn(log_p, noise)
        chosen = order < shaped(count, current)
        return ops.where(chosen, drawn, tokens), drawn, self.probability(conditional, drawn), order


@takes_arguments(
    choices={
        "num_inference_steps": STEPS,
        "corrector_steps": integer("Number of sweeps of `correct` after each step, for who runs the trajectory", low=0),
        "corrector_k": integer("Number of positions that a sweep draws again", low=1),
        "corrector_selection": choice("Which positions a sweep draws again", *SELECTIONS),
        "corrector_selection_tau": number("Temperature of the choice of the positions", "(0, inf)"),
    },
    num_inference_steps=32,
    corrector_steps=0,
    corrector_k=1,
    corrector_selection="lowest_log_margin",
    corrector_selection_tau=1.0,
)
class DiscreteDDIMScheduler(TokenScheduler):
    """Diffusion of tokens by uniform corruption, sampled by its exact posterior; there is no mask.

    At time t a token is clean with probability alpha = 1 - t, else any token of the vocabulary. A step draws clean
    tokens x_0 of softmax(logits / temperature), then x_s of q(x_s | x_t, x_0), see :func:`route_rows`. Timesteps count
    from 0, where all tokens are random, to n - 1, whose step ends at the clean ones. At temperature 1 a perfect
    denoiser gives the distribution of the data.

    :meth:`correct` draws some tokens again of their distribution given all others, by the leave-one-out denoiser
    (arXiv:2605.22765, eq. (13)). The distribution at a level stays what it is where the choice of a position does not
    depend on the token there, as by ``"random"`` and ``"lowest_maxprob"``, and those drawn at once are independent.

    Examples:
        >>> scheduler = DiscreteDDIMScheduler()
        >>> scheduler.set_timesteps(32, temperature=1.0)
        >>> for t in scheduler.timesteps:
        ...     x = scheduler.step(model(x, t), x, t, generator=0)
    """

    columns = (
        *("clean", "stay", "renew", "agreed", "temperature"),
        *("alpha", "odds", "of_likeliest", "of_current", "of_another", "count"),
    )
    position_draws = 2
    counts_up = True
    outputs = ("prev_sample", "pred_original_sample", "probability")

    def _configure(self):
        config = self.settings
        self.kernel = token_kernel(RouteKernel)
        self.corrector = token_kernel(CorrectorKernel)
        self.set_timesteps(config.num_inference_steps)

    @undone_on_error
    def set_timesteps(self, num_inference_steps, temperature=0.0):
        """Chooses the number of steps, and how clean tokens are drawn.

        Args:
            num_inference_steps (int): Number of steps, at least 1.
            temperature (float): Temperature of the logits, in [0, inf); at 0 the likeliest token is taken. Default:
                ``0.0``.

        Raises:
            TypeError: If an argument has the wrong type.
            ValueError: If one is out of range.
        """
        count = check_integer("num_inference_steps", num_inference_steps, low=1)
        temperature = check_number("temperature", temperature, "[0, inf)")
        alphas = np.arange(count + 1) / count
        alpha_next = alphas[1:]
        odds = np.append(alphas[1:-1] / (1 - alphas[1:-1]), 0.0)  # The clean tokens are what the model predicts.
        config = self.settings
        weights = np.array(SELECTIONS[config.corrector_selection]) / config.corrector_selection_tau
        columns = np.broadcast_arrays(temperature, alpha_next, odds, *weights, config.corrector_k)
        rows = np.concatenate([route_rows(alphas[:-1], alpha_next), np.stack(columns, axis=-1)], axis=-1)
        self._schedule(np.arange(count), rows)

    def correct(
        self, model_output, sample, timestep, noise=None, position_noise=None, generator=None, return_dict=False
    ):
        """Draws the tokens of `corrector_k` positions of each sample again; from Python.

        Args:
            model_output (Tensor): Logits at `sample`, ``(B, L, K)``, float32 or float16.
            sample (Tensor): The tokens after the step of `timestep`, ``(B, L)``, int32 or int64.
            timestep (int, numpy.ndarray or Tensor): The timestep whose step was taken last, or one for each sample.
            noise (Tensor, optional): Uniform numbers in (0, 1), ``(B, L, K)``: which tokens are drawn.
            position_noise (Tensor, optional): Uniform numbers in (0, 1), ``(B, L, 2)``, of which the first chooses the
                positions.
            generator (optional): Source of the noise that is not given.
            return_dict (bool): Whether to return the drawn tokens, their probability, and where they were accepted.
                Default: ``False``.

        Returns:
            Tensor, the tokens, int32; with `return_dict` a :class:`TokenSchedulerOutput`.

        Raises:
            TypeError: If an argument has the wrong type, or sample and timestep are swapped.
            ValueError: If the shapes do not belong together, or a value is out of range.
        """
        *results, order = self.corrected(model_output, sample, timestep, noise, position_noise, generator)
        outputs = TokenSchedulerOutput(*results, accepted=order < self.settings.corrector_k)
        return self._result(outputs, return_dict)

    def corrected(self, model_output, sample, timestep, noise=None, position_noise=None, generator=None):
        """Returns the tokens, those drawn at all positions, their probability, and the order of the positions."""
        given = model_output, sample, timestep, noise, position_noise, generator
        return self._run(self.corrector, *given, changed={"temperature": 1.0}, goes_on=True)
