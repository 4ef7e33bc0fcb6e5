"""DDPM: Denoising Diffusion Probabilistic Models (Ho et al., 2020, arXiv:2006.11239)."""

import numpy as np
from mindspore import dtype as mstype

from mindscience_diffuser.noise import clean_sample_weights
from mindscience_diffuser.plan import StepPlan
from mindscience_diffuser.schedulers.base.arguments import takes_arguments
from mindscience_diffuser.schedulers.diffusion.per_timestep import PerTimestepScheduler
from mindscience_diffuser.step import compiles_as

LEARNED_VARIANCE_TYPES = ("learned", "learned_range")


def posterior(alpha, sigma, alpha_prev, sigma_prev):
    """Returns the mean of q(x_prev | x, x0), eqs. (6) and (7), as weights, and beta and the variance of that step.

    ``mean = alpha_prev * beta / sigma^2 * x0 + alpha / alpha_prev * sigma_prev^2 / sigma^2 * x``,
    ``beta = 1 - (alpha / alpha_prev)^2``, ``variance = sigma_prev^2 / sigma^2 * beta``.
    """
    beta = 1 - (alpha / alpha_prev) ** 2
    shrink = (sigma_prev / sigma) ** 2
    return {"x0": alpha_prev * beta / sigma**2, "sample": alpha / alpha_prev * shrink}, beta, shrink * beta


def log_std_range(beta, variance):
    """Returns intercept and slope of the log standard deviation by the model's output v in [-1, 1].

    ``log(s^2) = (1 + v) / 2 * log(beta) + (1 - v) / 2 * log(variance)``, Nichol and Dhariwal, 2021, eq. (15).
    """
    return np.log(beta * variance) / 4, np.log(beta / variance) / 4


@takes_arguments(
    peer_defaults={"beta_schedule": "linear", "variance_type": "fixed_small"},
    num_train_timesteps=1000,
    beta_start=0.0001,
    beta_end=0.02,
    beta_schedule="squaredcos_cap_v2",
    prediction_type="epsilon",
    variance_type="fixed_small_log",
    clip_sample=True,
    clip_sample_range=1.0,
    thresholding=False,
    sample_max_value=1.0,
    dynamic_thresholding_ratio=0.995,
    rescale_betas_zero_snr=False,
    timestep_spacing="leading",
    compute_dtype=mstype.float32,
    trained_betas=None,
    steps_offset=0,
)
class DDPMScheduler(PerTimestepScheduler):
    """Ancestral sampling of DDPM, also over fewer steps than were trained.

    ``x_prev = sqrt(ab_prev) * beta / (1 - ab) * x0 + sqrt(1 - beta) * (1 - ab_prev) / (1 - ab) * x_t + s * z``,
    eq. (7), with ab = alpha_bar at this timestep, ab_prev at the next of the trajectory, beta = 1 - ab / ab_prev. The
    last step leads to the clean sample, whatever its timestep, and adds no noise.

    The variance s^2 is, by `variance_type`: ``"fixed_small"`` and ``"fixed_small_log"``, that of the posterior,
    (1 - ab_prev) / (1 - ab) * beta; ``"fixed_large"`` and ``"fixed_large_log"``, beta; ``"learned"``, the model's own
    variance output; ``"learned_range"``, where the model's output in [-1, 1] interpolates between the logarithms of
    both (Nichol and Dhariwal, 2021, arXiv:2102.09672, eq. (15)).

    Until `set_timesteps` chooses others, the trajectory visits every training timestep.

    Examples:
        >>> scheduler = DDPMScheduler(num_train_timesteps=1000)
        >>> scheduler.set_timesteps(1000)
        >>> for t in scheduler.timesteps:
        ...     x = scheduler.step(model(x, t), x, t)
    """

    def _configure(self):
        self.variance_type = self.settings.variance_type
        self.learned = self.variance_type in LEARNED_VARIANCE_TYPES
        super()._configure()

    def check_scheduled(self):
        """Accepts that `set_timesteps` was not called: then the trajectory visits every training timestep."""
        return  # The graph compiler cannot read a function that is a docstring alone.

    def construct(self, model_output, sample, timestep, noise, predicted_variance=None):
        """The pure form of `step` for other graphs and for export; timestep is an int32 Tensor, 0-D or ``(B,)``."""
        return self.step_in_graph(model_output, sample, timestep, predicted_variance, noise)

    def step_in_graph(
        self, model_output, sample, timestep, predicted_variance=None, noise=None, generator=None, return_dict=False
    ):
        """What the graph compiler reads in place of :meth:`step`."""
        return self.ancestral_in_graph(
            model_output, sample, timestep, predicted_variance, noise, generator, return_dict
        )

    def ancestral_in_graph(self, model_output, sample, timestep, predicted_variance, noise, generator, return_dict):
        """The step inside a graph."""
        timestep = self.index_in_graph(model_output, sample, timestep)
        if self.learned and predicted_variance is None:
            raise TypeError(f"variance_type={self.variance_type!r} needs 'predicted_variance', but got None.")
        noise = self.noise_in_graph(sample, noise, generator)
        if self.learned:
            self.check_like_in_graph("predicted_variance", predicted_variance, sample)
            prev_sample, x0 = self.table(timestep, sample, model_output, noise, predicted_variance)
        else:
            prev_sample, x0 = self.table(timestep, sample, model_output, noise)
        return (prev_sample, x0) if return_dict else prev_sample

    @compiles_as(step_in_graph)
    def step(
        self, model_output, sample, timestep, predicted_variance=None, noise=None, generator=None, return_dict=False
    ):
        """Moves one step towards the clean sample.

        Args:
            model_output (Tensor): Output of the model at `sample`, of the same shape.
            sample (Tensor): x_t, shape ``(B, ...)``, any rank >= 2, float32, float16 or bfloat16.
            timestep (int, numpy.ndarray or Tensor): Training timestep: a number, a 0-D Tensor, or one value for each
                sample, ``(B,)``, or for each frame of samples ``(B, T, ...)``, ``(B, T)``.
            predicted_variance (Tensor, optional): The model's variance output, of the same shape, for the learned
                variance types: a variance (``"learned"``) or an interpolation in [-1, 1] (``"learned_range"``).
            noise (Tensor, optional): Fresh noise of the shape of `sample`.
            generator (optional): Source of the noise where `noise` is not given, see :meth:`DDIMScheduler.step`.
            return_dict (bool): Whether to return the predicted clean sample too. Default: ``False``.

        Returns:
            Tensor, x at the next timestep, in `compute_dtype`; with `return_dict` a :class:`SchedulerOutput`
            (prev_sample, pred_original_sample).

        Raises:
            TypeError: If an argument has the wrong type, sample and timestep are swapped, or `predicted_variance` is
                missing.
            ValueError: If the shapes differ, or the timestep is out of range.
        """
        return self._advance(model_output, sample, timestep, predicted_variance, noise, generator, return_dict)

    def _advance(self, model_output, sample, timestep, predicted_variance, noise, generator, return_dict, **options):
        """The eager step, for options that change the plan."""
        index = self._check_step_at(model_output, sample, timestep)
        values = (sample, model_output, self._step_noise(sample, noise, generator, self.place_of(index)))
        if self.learned:
            if predicted_variance is None:
                raise TypeError(
                    f"variance_type={self.variance_type!r} needs 'predicted_variance', the model's variance output, "
                    "but got None. Split it off the model output, or use a fixed variance_type."
                )
            self.check_tensor("predicted_variance", predicted_variance, like=sample)
            values += (predicted_variance,)
        eager = self._eager_plan((*options.items(), return_dict), lambda: self.dense_plan(**options))
        return self._result(eager.run(index, values), return_dict)

    def adds_noise(self, sigma_prev):
        """Returns which steps add noise: those that do not lead to the clean sample, where sigma is 0."""
        return sigma_prev > 0

    def dense_plan(self):
        """Returns the plan of a step from every training timestep to the one that follows it in the trajectory."""
        return self.plan_towards(self.following(self.training_timesteps))

    def plan_towards(self, following):
        """Returns the plan of a step from every training timestep to the one of `following`, below it."""
        timesteps = self.training_timesteps
        alpha, sigma = self._alphas, self._sigmas
        alpha_prev, sigma_prev = self.level_at(following)
        mean, beta, variance = posterior(alpha, sigma, alpha_prev, sigma_prev)
        small = np.maximum(variance, 1e-20)
        noisy = self.adds_noise(sigma_prev).astype(np.float64)
        learned_std = None
        if self.variance_type == "learned":
            learned_std = "variance"
        elif self.variance_type == "learned_range":
            learned_std = log_std_range(beta, small)
        else:
            noisy *= np.sqrt(small if self.variance_type in ("fixed_small", "fixed_small_log") else beta)
        return StepPlan(
            timesteps,
            clean_sample_weights(self.prediction_type, alpha, sigma),
            {"sample": {**mean, "noise": noisy}},
            limit=self.limit,
            needs_fp16_gain=self.prediction_type == "epsilon",
            next_level=(alpha_prev, sigma_prev),
            learned_std=learned_std,
        )
