"""VQ-Diffusion: Vector Quantized Diffusion Model for Text-to-Image Synthesis (Gu et al., 2022, arXiv:2111.14822)."""

import numpy as np
from mindspore import dtype as mstype
from mindspore import ops

from mindscience_diffuser.schedulers.base.arguments import REQUIRED, integer, number, takes_arguments
from mindscience_diffuser.schedulers.base.scheduler import undone_on_error
from mindscience_diffuser.schedulers.tokens.kernel import LEAST_PROBABILITY, TokenKernel, token_kernel
from mindscience_diffuser.schedulers.tokens.tokens import TokenScheduler
from mindscience_diffuser.step import shaped
from mindscience_diffuser.validation import check_integer


def transition(start, end, classes):
    """Returns alpha, beta and gamma of the transition matrix, eq. (7), between two levels of the process, float64.

    A token stays with probability alpha + beta, becomes any other one with beta, and the mask with gamma. A level is
    the pair (alpha, gamma) of the transition from the clean token; (1, 0) is the clean one.
    """
    (alpha_0, gamma_0), (alpha, gamma) = start, end
    alpha_0, kept_0 = (np.where(np.asarray(value) > 0, value, 1.0) for value in (alpha_0, 1 - np.asarray(gamma_0)))
    alpha, kept = alpha / alpha_0, (1 - gamma) / kept_0
    return alpha, (kept - alpha) / classes, 1 - kept


def posterior_rows(now, following, classes):
    """Returns the table of q(x_s | x_t, x_0), eq. (5), by the levels of t and of s below it, ``(n, 8)``, float64.

    Where x_t is a token: the probability that x_s is x_t, and that it is one certain other token, if x_0 = x_t; if it
    is not, the probability that x_s is x_t, that it is one certain token other than both, and by how much more it is
    x_0. Where x_t is the mask: by how much more x_s is x_0 than another token, the probability of each token, and that
    of the mask. What x_t cannot be at all leaves a token as it is, and a mask to be drawn.
    """
    alpha, beta, gamma = transition(following, now, classes)
    alpha_t, beta_t, gamma_t = transition((1.0, 0.0), now, classes)
    alpha_s, beta_s, gamma_s = transition((1.0, 0.0), following, classes)
    agreed = _quotient((alpha + beta) * (alpha_s + beta_s), alpha_t + beta_t, 1.0)
    left = _quotient(beta * beta_s, alpha_t + beta_t, 0.0)
    stayed = _quotient((alpha + beta) * beta_s, beta_t, 1.0)
    other = _quotient(beta * beta_s, beta_t, 0.0)
    clean = _quotient(beta * alpha_s, beta_t, 0.0)
    revealed = _quotient(gamma * alpha_s, gamma_t, 1.0)
    anything = _quotient(gamma * beta_s, gamma_t, 0.0)
    masked = _quotient(gamma_s, gamma_t, 0.0)
    return np.stack(np.broadcast_arrays(agreed, left, stayed, other, clean, revealed, anything, masked), axis=-1)


def _quotient(a, b, otherwise):
    return np.where(b > 0, a / np.where(b > 0, b, 1.0), otherwise)


def check_transitions(rows, classes, advice):
    """Raises ValueError unless the transitions of a table are probabilities whose sum is one.

    Args:
        rows (numpy.ndarray): What :func:`posterior_rows` returns.
        classes (int): Number of tokens without the mask.
        advice (str): What the error asks the user to change.
    """
    agreed, left, stayed, other, clean, revealed, anything, masked = np.moveaxis(rows, -1, 0)
    sums = agreed + (classes - 1) * left, stayed + (classes - 1) * other + clean, revealed + classes * anything + masked
    worst = max(np.abs(total - 1).max() for total in sums)
    if rows.min() < -1e-12 or not worst < 1e-6:
        raise ValueError(
            f"The transitions of each token must be probabilities that sum to one, but the least is {rows.min():.3g} "
            f"and a sum is off by {worst:.3g}: {advice}"
        )


class PosteriorKernel(TokenKernel):
    """Draws x_s from the posterior of the process, averaged over the clean tokens that the model predicts.

    Args:
        mask (int): The mask token, the last of the vocabulary; the logits are of those before it.
    """

    def moved(self, row, logits, tokens, noise):
        """Returns the next tokens, and the likeliest clean ones."""
        probabilities = self.posterior(row, logits, tokens)
        logarithms = ops.log(ops.clamp(probabilities, LEAST_PROBABILITY, None))
        return self.drawn(logarithms, noise), self.drawn(logits, None)

    def posterior(self, row, logits, tokens):
        """Returns p(x_s | x_t), eq. (11), of all tokens with the mask as the last, ``(B, L, K + 1)``."""
        agreed, left, stayed, other, clean, revealed, anything, masked = row
        predicted = ops.softmax(logits, -1)
        mask = self.settings[0]
        here = ops.cast(ops.arange(mask) == tokens.expand_dims(-1), mstype.float32)
        elsewhere = predicted * (1 - here)
        same = (predicted * here).sum(-1, keepdims=True)
        differing = elsewhere.sum(-1, keepdims=True)
        staying = shaped(agreed, same) * same + shaped(stayed, same) * differing
        leaving = shaped(left, same) * same + shaped(other, same) * differing
        of_token = here * staying + (1 - here) * (leaving + shaped(clean, same) * elsewhere)
        of_mask = shaped(revealed, same) * predicted + shaped(anything, same)
        is_mask = tokens.expand_dims(-1) == mask
        stays_masked = ops.where(is_mask, shaped(masked, same) * ops.ones_like(same), ops.zeros_like(same))
        return ops.concat((ops.where(is_mask, of_mask, of_token), stays_masked), -1)


@takes_arguments(
    choices={
        "num_vec_classes": integer("Number of tokens with the mask, which is the last of them", low=2),
        "alpha_cum_start": number("Probability that a token is kept, by training timestep 0", "[0, 1]"),
        "alpha_cum_end": number("The same, by the last training timestep", "[0, 1]"),
        "gamma_cum_start": number("Probability that a token is masked, by training timestep 0", "[0, 1]"),
        "gamma_cum_end": number("The same, by the last training timestep", "[0, 1]"),
    },
    num_vec_classes=REQUIRED,
    num_train_timesteps=100,
    alpha_cum_start=0.99999,
    alpha_cum_end=0.000009,
    gamma_cum_start=0.000009,
    gamma_cum_end=0.99999,
)
class VQDiffusionScheduler(TokenScheduler):
    """Mask-and-replace diffusion of tokens, sampled by its posterior.

    By timestep t a token is kept with probability alpha_bar, masked with gamma_bar, and else any token with the same
    probability (section 4.1); alpha_bar and gamma_bar are linear in t. A step draws each token from
    ``p(x_s | x_t) = sum over x_0 of q(x_s | x_t, x_0) p(x_0 | x_t)``, eq. (11), by the logits of the model, of
    `num_vec_classes` - 1 tokens; s is the next timestep of the trajectory, so steps of any length are exact. The last
    step draws the clean tokens. A trajectory starts from masks, ``num_vec_classes - 1`` everywhere.

    Until `set_timesteps` chooses others, the trajectory visits every training timestep.

    Examples:
        >>> scheduler = VQDiffusionScheduler(num_vec_classes=257)
        >>> scheduler.set_timesteps(25)
        >>> x = mindspore.mint.full((4, 64), 256, dtype=mindspore.int32)
        >>> for t in scheduler.timesteps:
        ...     x = scheduler.step(model(x, t), x, t, generator=0)
    """

    columns = ("agreed", "left", "stayed", "other", "clean", "revealed", "anything", "masked")

    def _configure(self):
        config = self.settings
        self.num_train_timesteps = config.num_train_timesteps
        self.mask_token = config.num_vec_classes - 1
        self.levels = tuple(
            np.linspace(start, end, self.num_train_timesteps)
            for start, end in (
                (config.alpha_cum_start, config.alpha_cum_end),
                (config.gamma_cum_start, config.gamma_cum_end),
            )
        )
        self.kernel = token_kernel(PosteriorKernel, self.mask_token)
        self.set_timesteps(self.num_train_timesteps)

    def noise_classes(self, classes):
        """Returns how many numbers `noise` has for each position: the mask is a token too."""
        return classes + 1

    @undone_on_error
    def set_timesteps(self, num_inference_steps):
        """Chooses the timesteps of the following trajectory, evenly spaced from the last training timestep down.

        Args:
            num_inference_steps (int): Number of steps, in [1, `num_train_timesteps`].

        Raises:
            TypeError: If it is no integer.
            ValueError: If it is out of range, or the configuration describes no probabilities.
        """
        train = self.num_train_timesteps
        count = check_integer("num_inference_steps", num_inference_steps, low=1, high=train)
        self._take(np.round(np.arange(count, 0, -1) * (train / count)).astype(np.int64) - 1)

    def _take(self, timesteps):
        """Takes timesteps; of each training timestep the step leads to the highest of them below it, or to the end."""
        places = np.searchsorted(np.sort(timesteps), np.arange(self.num_train_timesteps))
        following = np.append(-1, np.sort(timesteps))[places]
        levels = [np.append(level, end) for level, end in zip(self.levels, (1.0, 0.0))]
        now, towards = (tuple(level[index] for level in levels) for index in (slice(0, -1), following))
        rows = posterior_rows(now, towards, self.mask_token)
        check_transitions(
            rows,
            self.mask_token,
            "alpha_cum must fall, gamma_cum rise, and alpha_cum + gamma_cum be at most 1 at every timestep.",
        )
        self._schedule(timesteps, rows)

    def _check_step(self, model_output, sample, timestep):
        index = super()._check_step(model_output, sample, timestep)
        if model_output.shape[-1] != self.mask_token:
            raise ValueError(
                f"'model_output' has logits of {model_output.shape[-1]} tokens, but must have num_vec_classes - 1 = "
                f"{self.mask_token}: no clean token is the mask."
            )
        return index
