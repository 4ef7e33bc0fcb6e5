"""DDIM: Denoising Diffusion Implicit Models (Song et al., 2021, arXiv:2010.02502)."""

import numpy as np
from mindspore import Parameter, Tensor
from mindspore import dtype as mstype

from mindscience_diffuser.noise import clean_sample_weights, noise_weights
from mindscience_diffuser.plan import StepPlan, linear_combination
from mindscience_diffuser.schedulers.base.arguments import takes_arguments
from mindscience_diffuser.schedulers.diffusion.diffusion import DIFFUSION_ARGUMENTS
from mindscience_diffuser.schedulers.diffusion.per_timestep import PerTimestepScheduler
from mindscience_diffuser.step import PlanCell, compiles_as, looked_up, replace_value, shaped
from mindscience_diffuser.validation import check_bool, check_number


def direction_scale(direction, spread, eta):
    """Returns the weight of eps in eq. (12), sqrt(sigma_next^2 - (eta * spread)^2), without cancellation.

    `spread` is the standard deviation of the fresh noise at eta = 1, eq. (16), and `direction` the weight of eps
    there: direction^2 + spread^2 = sigma_next^2. Takes arrays as well as Tensors.
    """
    return (direction**2 + (1 - eta**2) * spread**2) ** 0.5


class DDIMBase(PerTimestepScheduler):
    """Base of schedulers with the steps of eqs. (12) and (16), from every training timestep."""

    def step_levels(self):
        """Returns alpha, sigma before and after a step from each training timestep."""
        return (self._alphas, self._sigmas, *self.level_at(self.following(self.training_timesteps)))

    def spreads(self):
        """Returns, at eta = 1, the weight of eps and the standard deviation of the fresh noise, and sigma_next."""
        alpha, sigma, alpha_next, sigma_next = self.step_levels()
        spread = sigma_next / sigma * np.sqrt(np.maximum(1 - (alpha / alpha_next) ** 2, 0))
        return np.sqrt(np.maximum(sigma_next**2 - spread**2, 0)), spread, sigma_next

    def dense_plan(self, eta=0.0, use_clipped_model_output=False, with_epsilon=False):
        """Returns the plan of a step from every training timestep."""
        alpha, sigma, alpha_next, sigma_next = self.step_levels()
        x0 = clean_sample_weights(self.prediction_type, alpha, sigma)
        epsilon = noise_weights(self.prediction_type, alpha, sigma)
        if use_clipped_model_output and self.limit is not None:
            epsilon = {"sample": 1 / sigma, "x0": -alpha / sigma}
        direction, noise = sigma_next, {}
        if eta > 0:
            at_one, spread, _ = self.spreads()
            direction, noise = direction_scale(at_one, spread, eta), {"noise": eta * spread}
        return StepPlan(
            self.training_timesteps,
            x0,
            {"sample": linear_combination((alpha_next, {"x0": 1.0}), (direction, epsilon), (1.0, noise))},
            results={"epsilon": epsilon} if with_epsilon else {},
            limit=self.limit,
            needs_fp16_gain=self.prediction_type == "epsilon",
            next_level=(alpha_next, sigma_next),
        )


@takes_arguments(peer_defaults={"beta_schedule": "linear"}, **DIFFUSION_ARGUMENTS, set_alpha_to_one=True)
class DDIMScheduler(DDIMBase):
    """DDIM, from deterministic (eta = 0) to DDPM's ancestral sampling (eta = 1).

    With x0 and eps derived from the model output,
    ``x_next = alpha_next * x0 + sqrt(sigma_next^2 - s^2) * eps + s * z``,
    ``s = eta * sigma_next / sigma * sqrt(1 - (alpha / alpha_next)^2)``: eqs. (12) and (16), alpha = sqrt(alpha_bar),
    sigma = sqrt(1 - alpha_bar).

    Examples:
        >>> scheduler = DDIMScheduler(num_train_timesteps=1000)
        >>> scheduler.set_timesteps(50)
        >>> for t in scheduler.timesteps:
        ...     x = scheduler.step(model(x, t), x, t)
    """

    def _configure(self):
        super()._configure()
        clipped = self.dense_plan(use_clipped_model_output=True, with_epsilon=True)
        self.clipped_table = PlanCell(clipped, self.compute_dtype, returns_x0=True)
        self.spread_table = Parameter(self._spread_rows(), name="spread_table", requires_grad=False)

    @property
    def final_alpha_cumprod(self):
        """alpha_bar where the trajectory ends, a 0-D Tensor in `compute_dtype`."""
        return Tensor(self.level_at(np.array(-1))[0] ** 2, self.compute_dtype)

    def construct(self, model_output, sample, timestep, noise=None, eta=0.0):
        """The pure form of `step` for other graphs and for export; timestep is an int32 Tensor, 0-D or ``(B,)``."""
        return self.step_in_graph(model_output, sample, timestep, eta, noise=noise)

    def step_in_graph(
        self,
        model_output,
        sample,
        timestep,
        eta=0.0,
        use_clipped_model_output=False,
        noise=None,
        generator=None,
        return_dict=False,
    ):
        """What the graph compiler reads in place of :meth:`step`; eta adds its difference to the eta = 0 step."""
        timestep = self.index_in_graph(model_output, sample, timestep)
        if isinstance(eta, (int, float)) and (eta < 0 or eta > 1):
            raise ValueError(f"'eta' must be in [0, 1], but is {eta}.")
        if use_clipped_model_output:
            prev_sample, epsilon, x0 = self.clipped_table(timestep, sample, model_output)
        else:
            prev_sample, epsilon, x0 = self.table(timestep, sample, model_output)
        if eta != 0:
            noise = self.noise_in_graph(sample, noise, generator)
            at_one, spread, sigma_next = looked_up(self.spread_table, timestep)
            change = shaped(direction_scale(at_one, spread, eta) - sigma_next, sample)
            fresh = eta * shaped(spread, sample) * noise
            prev_sample = prev_sample + (change * epsilon + fresh).astype(self.compute_dtype)
        return (prev_sample, x0) if return_dict else prev_sample

    @compiles_as(step_in_graph)
    def step(
        self,
        model_output,
        sample,
        timestep,
        eta=0.0,
        use_clipped_model_output=False,
        noise=None,
        generator=None,
        return_dict=False,
    ):
        """Moves one step towards the clean sample.

        Args:
            model_output (Tensor): Output of the model at `sample`, of the same shape.
            sample (Tensor): x_t, shape ``(B, ...)``, any rank >= 2, float32, float16 or bfloat16.
            timestep (int, numpy.ndarray or Tensor): Training timestep: a number, a 0-D Tensor, or one value for each
                sample, ``(B,)``, or for each frame of samples ``(B, T, ...)``, ``(B, T)``.
            eta (float): Weight of the fresh noise, in [0, 1]. Default: ``0.0``.
            use_clipped_model_output (bool): Whether eps is derived again from the clipped clean sample (as in GLIDE).
                Default: ``False``.
            noise (Tensor, optional): Fresh noise of the shape of `sample`, used where eta > 0.
            generator (optional): Source of the noise where `noise` is not given: a seed (sample k then has a stream
                of its own that continues over the trajectory), a `numpy.random.Generator`, a
                :class:`~mindscience_diffuser.NoiseSource`, or a list with one for each sample. Inside a graph the
                noise comes from `noise`, or from MindSpore's own stream.
            return_dict (bool): Whether to return the predicted clean sample too. Default: ``False``.

        Returns:
            Tensor, x at the next timestep, in `compute_dtype`; with `return_dict` a :class:`SchedulerOutput`
            (prev_sample, pred_original_sample).

        Raises:
            TypeError: If an argument has the wrong type, or sample and timestep are swapped.
            ValueError: If `eta` is outside [0, 1], the shapes differ, the timestep is out of range, or
                `set_timesteps` was not called.
        """
        index = self._check_step_at(model_output, sample, timestep)
        eta = check_number("eta", eta, "[0, 1]")
        clipped = check_bool("use_clipped_model_output", use_clipped_model_output)
        eager = self._eager_plan((eta, clipped, return_dict), lambda: self.dense_plan(eta, clipped))
        values = (sample, model_output)
        if eta > 0:
            values += (self._step_noise(sample, noise, generator, self.place_of(index)),)
        return self._result(eager.run(index, values), return_dict)

    def plan_for(self, eta=0.0, use_clipped_model_output=False):
        """Returns the :class:`StepPlan` of the chosen timesteps for these options of `step`."""
        eta = check_number("eta", eta, "[0, 1]")
        clipped = check_bool("use_clipped_model_output", use_clipped_model_output)
        return super().plan_for(eta=eta, use_clipped_model_output=clipped)

    def table_plan(self):
        """Returns the dense plan that graphs use, at eta = 0; they need eps to add what eta changes."""
        return self.dense_plan(with_epsilon=True)

    def _schedule(self, timesteps):
        super()._schedule(timesteps)
        self.clipped_table.load(self.dense_plan(use_clipped_model_output=True, with_epsilon=True))
        replace_value(self.spread_table, self._spread_rows())

    def _spread_rows(self):
        return Tensor(np.stack(self.spreads(), axis=1), mstype.float32)
