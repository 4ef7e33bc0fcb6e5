"""MeanFlowTrainer: the training loss of a flow map (Geng et al., 2025, arXiv:2505.13447)."""

import mindspore as ms
import numpy as np
from mindspore import dtype as mstype
from mindspore import nn, ops

from mindscience_diffuser.cells import PublicCell, checked_values, frozen, setting
from mindscience_diffuser.inputs import check_is_tensor
from mindscience_diffuser.step import broadcast_like, shaped
from mindscience_diffuser.training.flow_levels import training_sigmas
from mindscience_diffuser.training.loss_weights import checked_samples, reduced
from mindscience_diffuser.training.noise import TrainedUnderNoise
from mindscience_diffuser.training.shapes import check_batch, check_like, check_pairs
from mindscience_diffuser.validation import check_integer, check_number, check_pair


def training_intervals(seed, step, batch_size, interval_share=0.25, **density):
    """Draws the two ends, t and r, of the interval of each sample of a training batch.

    Both are levels as :func:`training_sigmas` draws them, t the higher one. Where a sample has no interval, r is t, and
    the velocity itself is learned.

    Args:
        seed (int): Seed of the run, at least 0.
        step (int): Number of the training step, counted from 0.
        batch_size (int): Number of intervals to draw.
        interval_share (float): Share of the samples whose r is below t, in [0, 1]. Default: ``0.25``.
        **density: Density of the levels, see :func:`training_sigmas`.

    Returns:
        numpy.ndarray, float32, shape (batch_size, 2), in [0, 1].

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument is out of its range.
    """
    share = check_number("interval_share", interval_share, "[0, 1]")
    drawn = training_sigmas(seed, step, 2 * check_integer("batch_size", batch_size, low=1), **density)
    t, r = drawn.reshape(2, -1).max(axis=0), drawn.reshape(2, -1).min(axis=0)
    jumps = np.random.default_rng((seed, step, 5)).random(batch_size) < share
    return np.stack([t, np.where(jumps, r, t)], axis=1)


class MeanFlowTrainer(TrainedUnderNoise, PublicCell):
    """Training loss of the mean velocity u between two levels, algorithm 1 of the paper.

    At the level t the model sees x = (1 - t) * x0 + t * noise and learns, for a level r <= t, ::

        u(x, t, r) = v - (t - r) * du/dt,    du/dt = v * du/dx + du/dt of the second argument,    v = noise - x0

    eq. (6), the derivative along (v, 1, 0), a Jacobian-vector product of the model, without a gradient of its own. For
    r = t that is flow matching. The squared error e of a sample is weighted by 1 / (e + c)^p, without a gradient of the
    weight (section 4.3). With a trained flow its velocity stands for v, which is then the same whenever the training
    comes to a sample: that of the paper is noisy, and right on average. A
    :class:`~mindscience_diffuser.FlowMapEulerDiscreteScheduler` samples.

    With a guidance scale w the flow that is learned is the guided one, so that a guided step is one call of the model
    (section 4.2). In place of v stands, without a gradient, ::

        omega * v + kappa * u(x, t, t | condition) + (1 - omega - kappa) * u(x, t, t | nothing),
        omega = (1 - kappa) * w

    eq. (21): in expectation that is v(nothing) + w * (v(condition) - v(nothing)). A sample whose conditions are left
    out, all equal to `unconditional`, keeps v: the model learns u(x, t, t | nothing) from a share of those.

    Args:
        model (nn.Cell): Called as ``model(x, timesteps, *conditions)`` with timesteps ``(B, 2)``, t and r times
            `num_train_timesteps`, such as a :class:`~mindscience_diffuser.FlowMapTransformer`. It must be twice
            differentiable.
        num_train_timesteps (int): That of the scheduler. Default: ``1000``.
        adaptive_power (float): p of the weight, at least 0; 0 is the plain squared error. Default: ``1.0``.
        adaptive_c (float): c of the weight, above 0. Default: ``0.001``.
        velocity (nn.Cell, optional): A trained flow, called as ``velocity(x, timestep, *conditions)`` with a timestep
            ``(B,)``. It is frozen: set to evaluation, its Parameters get no gradients, and those whose names the model
            has too are renamed. Default: ``None``: v = noise - x0.
        noise_law (NoiseLaw, optional): Law of the noise, by which :meth:`draw_noise` draws. Default: ``None``, white
            noise.
        guidance_scale (float): w, at least 0; 1 is without guidance. The samples then need no guidance of their own.
            Default: ``1.0``.
        guidance_mix (float): kappa, in [0, 1): the share of the model's own guided velocity, which is less noisy than
            v. Default: ``0.0``.
        guidance_interval (tuple, optional): (low, high): the levels t in [0, 1] with guidance. Default: ``None``, all.
        unconditional (Tensor or tuple, optional): What the model, or `velocity` where there is one, takes for no
            condition: a Tensor for each condition, which broadcasts to it. Needed for a guidance scale other than 1.

    Raises:
        TypeError: If `model` or `velocity` is no Cell, an argument has the wrong type, or `unconditional` is missing.
        ValueError: If an argument is out of its range.
    """

    def __init__(
        self,
        model,
        num_train_timesteps=1000,
        adaptive_power=1.0,
        adaptive_c=0.001,
        velocity=None,
        noise_law=None,
        guidance_scale=1.0,
        guidance_mix=0.0,
        guidance_interval=None,
        unconditional=None,
    ):
        super().__init__(auto_prefix=False)
        if not isinstance(model, nn.Cell):
            raise TypeError(f"'model' must be an nn.Cell, but is {model!r} of type {type(model).__name__}.")
        self.model = model
        self.num_train_timesteps = check_integer("num_train_timesteps", num_train_timesteps, low=1)
        self.adaptive_power = check_number("adaptive_power", adaptive_power, "[0, inf)")
        self.adaptive_c = check_number("adaptive_c", adaptive_c, "(0, inf)")
        self._take_noise_law(noise_law)
        self.follows = velocity is not None
        if self.follows:
            if not isinstance(velocity, nn.Cell):
                raise TypeError(
                    f"'velocity' must be an nn.Cell, but is {velocity!r} of type {type(velocity).__name__}."
                )
            self.velocity = frozen(velocity, model, "velocity")
        self.guidance_scale = check_number("guidance_scale", guidance_scale, "[0, inf)")
        self.guidance_mix = check_number("guidance_mix", guidance_mix, "[0, 1)")
        self.guidance_interval = (0.0, 1.0)
        if guidance_interval is not None:
            self.guidance_interval = check_pair("guidance_interval", guidance_interval, "[0, 1]")
        self.guides = self.guidance_scale != 1
        if self.guides and unconditional is None:
            raise TypeError(
                f"'unconditional' is missing: with 'guidance_scale' {guidance_scale} the trainer needs what stands for "
                "no condition, such as a Tensor of zeros with the shape of one condition."
            )
        entries = unconditional if isinstance(unconditional, (tuple, list)) else (unconditional,)
        self.unconditional = tuple(self._constant(entry, k) for k, entry in enumerate(entries)) if self.guides else ()

    def _constant(self, value, k):
        """Returns what stands for no condition, as a Parameter of this cell."""
        check_is_tensor("unconditional", value)
        parameter = setting(self.checked_parameter("unconditional", value), f"unconditional_{k}", self.model)
        self.insert_param_to_cell(parameter.name, parameter)
        return parameter

    def checked_parameter(self, name, value):
        """Returns the value that a Parameter is set to."""
        return checked_values(name, value)

    def set_train(self, mode=True):
        """Sets the model to training or evaluation; the trained flow stays as it is."""
        super().set_train(mode)
        if self.follows:
            self.velocity.set_train(False)
        return self

    def get_loss(self, original_samples, noise, intervals, *conditions, weights=None):
        """Returns the weighted loss of one batch, averaged over its samples.

        Args:
            original_samples (Tensor): Clean samples, shape (B, ...) of rank 2 or more.
            noise (Tensor): Noise of the same shape, standard normal or as :meth:`draw_noise` draws it.
            intervals (Tensor): Levels t and r of each sample, shape (B, 2), float32, 0 <= r <= t <= 1, such as those of
                :func:`training_intervals`.
            *conditions (Tensor): Conditions for the model, shape (B, ...) each.
            weights (Tensor, optional): Weights of the elements, see :meth:`EDMTrainer.get_loss`. Default: ``None``.

        Returns:
            Tensor, a float32 scalar.

        Raises:
            TypeError: If `weights` is no Tensor.
            ValueError: If the shapes do not belong together, the model's output has another than the samples, or there
                are not as many conditions as `unconditional` has entries.
        """
        original_samples, weights = checked_samples(original_samples, noise, weights)
        check_pairs("intervals", intervals, original_samples, "[0, 1]")
        for condition in conditions:
            check_batch("condition", condition, original_samples)
        t, r = intervals[:, 0], intervals[:, 1]
        v = noise - original_samples
        noisy = original_samples + shaped(t, v) * v
        told = self.num_train_timesteps * intervals
        if self.follows:
            v = ops.stop_gradient(ops.cast(self.velocity(noisy, told[:, 0], *conditions), mstype.float32))
            check_like("The output of 'velocity'", v, "the samples", noisy)
        if self.guides:
            v = ops.stop_gradient(self.guided(noisy, told, v, conditions))
        u = self.prediction(noisy, told, *conditions)
        check_like("The model's output", u, "the samples", v)
        target = ops.stop_gradient(v - shaped(t - r, v) * self.slope(noisy, told, v, *conditions))
        error = ops.square(u - target)
        _, errors = reduced(error, t, weights)
        # A sample of which nothing counts has no mean error, 0 / 0, and any weight will do for it.
        errors = ops.where(ops.isnan(errors), ops.zeros_like(errors), errors)
        level_weights = ops.stop_gradient((errors + self.adaptive_c) ** -self.adaptive_power)
        return reduced(error, t, weights, level_weights)[0]

    def guided(self, x, told, v, conditions):
        """Returns the guided velocity of noisy samples x, v where there is no guidance, float32."""
        if len(conditions) != len(self.unconditional):
            raise ValueError(
                f"'unconditional' has {len(self.unconditional)} entries, but there are {len(conditions)} conditions: "
                "give one for each."
            )
        nothing, differ = (), ops.zeros((x.shape[0],), mstype.float32)
        for k in range(len(conditions)):
            condition = conditions[k]
            nothing += (broadcast_like(self.unconditional[k], condition),)
            unlike = ops.cast(ops.not_equal(condition, nothing[k]), mstype.float32)
            differ = differ + unlike.reshape((x.shape[0], -1)).sum(axis=1)
        t = told[:, 0]
        instant = ops.stack((t, t), axis=1)
        if self.follows:
            without = ops.cast(self.velocity(x, t, *nothing), mstype.float32)
        else:
            without = self.prediction(x, instant, *nothing)
        omega = (1 - self.guidance_mix) * self.guidance_scale
        guided = omega * v + (1 - omega - self.guidance_mix) * without
        if self.guidance_mix > 0:
            guided = guided + self.guidance_mix * self.prediction(x, instant, *conditions)
        low, high = (self.num_train_timesteps * bound for bound in self.guidance_interval)
        acts = ops.logical_and(ops.logical_and(t >= low, t <= high), differ > 0)
        return ops.where(shaped(acts, v), guided, v)

    def prediction(self, x, told, *conditions):
        """Returns u, float32."""
        return ops.cast(self.model(x, told, *conditions), mstype.float32)

    @ms.jit
    def slope(self, x, told, v, *conditions):
        """Returns du/dt along the path of x, float32: the derivative of u by t where x moves with the velocity v.

        It is compiled outside of graphs too: there MindSpore's gradients of gradients are wrong, or fail.

        Args:
            x (Tensor): Noisy samples, ``(B, ...)``.
            told (Tensor): What the model is told, float32, ``(B, 2)``.
            v (Tensor): Velocity of x by the level t, in the shape of x.
            *conditions (Tensor): Those of the model.
        """
        # By the timestep, not by the level: half precision has room for both tangents then.
        along = ops.concat((ops.ones_like(told[:, :1]), ops.zeros_like(told[:, :1])), axis=1)
        tangents = (v / self.num_train_timesteps, along)
        forward = ms.grad(self.pulled_along, 0)(ops.zeros_like(v), x, told, *tangents, conditions)
        return self.num_train_timesteps * forward

    def pulled_along(self, weight, x, told, v, along, conditions):
        """Returns <weight^T J, tangents>, linear in the weight: its gradient is the Jacobian-vector product J tangents.

        In place of ``mindspore.jvp``, whose function may take nothing from around it in a graph that has gradients.
        """
        by_x, by_told = ms.grad(self.weighed, (0, 1))(x, told, weight, conditions)
        return (by_x * v).sum() + (by_told * along).sum()

    def weighed(self, x, told, weight, conditions):
        """Returns <weight, u>."""
        return (weight * self.prediction(x, told, *conditions)).sum()

    def construct(self, original_samples, noise, intervals, *conditions, weights=None):
        """The same as ``get_loss``."""
        return self.get_loss(original_samples, noise, intervals, *conditions, weights=weights)
