"""Euler's method along a rectified flow (Esser et al., 2024, arXiv:2403.03206)."""

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn, ops
from mindspore import dtype as mstype

from mindscience_diffuser.inputs import check_is_tensor
from mindscience_diffuser.plan import StepPlan
from mindscience_diffuser.schedulers.base.arguments import FLOW_CHOICES, takes_arguments
from mindscience_diffuser.schedulers.flow.flow_match import FLOW_ARGUMENTS, FlowMatchScheduler
from mindscience_diffuser.step import compiles_as, no_view, replace_value


@takes_arguments(choices=FLOW_CHOICES, **FLOW_ARGUMENTS, stochastic_sampling=False, sigma_schedule=None)
class FlowMatchEulerDiscreteScheduler(FlowMatchScheduler):
    """First order: ``x_next = x + (sigma_next - sigma) * v``.

    With `stochastic_sampling` every step goes through the clean sample instead: ``x0 = x - sigma * v``,
    ``x_next = (1 - sigma_next) * x0 + sigma_next * z``.

    Examples:
        >>> scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0)
        >>> scheduler.set_timesteps(20)
        >>> for t in scheduler.timesteps:
        ...     x = scheduler.step(model(x, t), x, t)
    """

    def _configure(self):
        super()._configure()
        self.per_token = PerTokenStep(self.num_train_timesteps, self.settings.stochastic_sampling, self.compute_dtype)
        self.ascending = Parameter(self._ascending_sigmas(), name="ascending", requires_grad=False)

    def step_in_graph(
        self, model_output, sample, timestep, per_token_timesteps=None, noise=None, generator=None, return_dict=False
    ):
        """What the graph compiler reads in place of :meth:`step`."""
        if per_token_timesteps is None:
            return self.look_up_and_step(model_output, sample, timestep, noise, generator, return_dict)
        self.check_in_graph(model_output, sample, timestep)
        values = (per_token_timesteps, sample, model_output)
        if self.stochastic:
            values += (self.noise_in_graph(sample, noise, generator),)
        outputs = self.per_token.apply(self.ascending, *values)
        return outputs if return_dict else outputs[0]

    @compiles_as(step_in_graph)
    def step(
        self, model_output, sample, timestep, per_token_timesteps=None, noise=None, generator=None, return_dict=False
    ):
        """Moves one step towards the clean sample.

        Args:
            model_output (Tensor): Output of the model at `sample`, of the same shape.
            sample (Tensor): x at `timestep`, shape ``(B, ...)``, any rank >= 2, float32, float16 or bfloat16.
            timestep (float, numpy.ndarray or Tensor): One of ``timesteps``: a number, a 0-D Tensor or one for each
                sample, ``(B,)``.
            per_token_timesteps (Tensor, optional): Timestep of each token, ``(B, L)``, for a sample ``(B, L, ...)``.
                Each token then moves to the next lower sigma of the schedule. As in diffusers, whose users pass the
                negated velocity here, a deterministic step moves along +model_output.
            noise (Tensor, optional): Fresh noise of the shape of `sample`, with `stochastic_sampling`.
            generator (optional): Source of the noise where `noise` is not given, see :meth:`TrajectoryScheduler.step`.
            return_dict (bool): Whether to return the predicted clean sample too. Default: ``False``.

        Returns:
            Tensor, x at the next timestep, in `compute_dtype`; with `return_dict` a :class:`SchedulerOutput`
            (prev_sample, pred_original_sample).

        Raises:
            TypeError: If an argument has the wrong type, or sample and timestep are swapped.
            ValueError: If the shapes differ, the timestep is not one of the schedule, or `set_timesteps` was not
                called.
        """
        if per_token_timesteps is None:
            return self._advance(model_output, sample, timestep, noise, generator, return_dict)
        self._check_step(model_output, sample, timestep)
        self._check_per_token(per_token_timesteps, sample)
        values = (per_token_timesteps, sample, model_output)
        if self.stochastic:
            values += (self._step_noise(sample, noise, generator),)
        self._trajectory.position = self._row(timestep, sample.shape) + 1
        outputs = self.per_token(self.ascending, *map(no_view, values))
        return self.output(*outputs) if return_dict else outputs[0]

    def trajectory_plan(self):
        """Returns the plan of the chosen timesteps."""
        if self.settings.stochastic_sampling:
            return self.renoising_plan()
        sigma, sigma_next = self.sigmas[:-1], self.sigmas[1:]
        return StepPlan(
            self.timesteps,
            self.clean_sample(sigma),
            {"sample": {"sample": 1.0, "output": sigma_next - sigma}},
            next_level=tuple(level[1:] for level in self.levels),
        )

    def _schedule(self, timesteps, scheduled=True):
        super()._schedule(timesteps, scheduled)
        if scheduled:
            replace_value(self.ascending, self._ascending_sigmas())

    def _ascending_sigmas(self):
        sigmas = np.sort(self.sigmas)
        room = max(self.num_train_timesteps + 1 - len(sigmas), 0)
        return Tensor(np.pad(sigmas, (0, room), constant_values=np.inf), mstype.float32)

    def _check_per_token(self, timesteps, sample):
        check_is_tensor("per_token_timesteps", timesteps)
        if self.invert_sigmas:
            raise ValueError("'per_token_timesteps' need sigmas that fall, but invert_sigmas is True.")
        if sample.ndim < 3 or timesteps.shape != sample.shape[:2]:
            raise ValueError(
                f"'per_token_timesteps' has shape {timesteps.shape}, but must have one value for each token of the "
                f"sample (B, L, ...): its shape is {sample.shape}."
            )


class PerTokenStep(nn.Cell):
    """A step in which every token has a timestep of its own, given by the user and not by the schedule.

    Its weights are not rows of a plan: each token's sigma is its timestep / T, the next one the highest level of the
    schedule below it, found on the device.
    """

    MARGIN = 1e-6

    def __init__(self, num_train_timesteps, stochastic, compute_dtype):
        super().__init__()
        self.num_train_timesteps = num_train_timesteps
        self.stochastic = stochastic
        self.compute_dtype = compute_dtype

    @ms.jit
    def construct(self, ascending, timesteps, sample, output, *noise):
        """Returns the next sample and the predicted clean one."""
        return self.apply(ascending, timesteps, sample, output, *noise)

    def apply(self, ascending, timesteps, sample, output, *noise):
        """The step as a plain function, for use inside another compiled cell."""
        sigma = timesteps.astype(mstype.float32) / self.num_train_timesteps
        below = ops.clamp(ops.searchsorted(ascending, sigma - self.MARGIN) - 1, 0, None)
        shape = sigma.shape + (1,) * (sample.ndim - 2)
        sigma_next = ascending[below].reshape(shape).astype(self.compute_dtype)
        sigma = sigma.reshape(shape).astype(self.compute_dtype)
        sample, output = sample.astype(self.compute_dtype), output.astype(self.compute_dtype)
        if self.stochastic:
            x0 = sample - sigma * output
            return (1 - sigma_next) * x0 + sigma_next * noise[0].astype(self.compute_dtype), x0
        return sample + (sigma - sigma_next) * output, sample + sigma * output
