"""ConsistencyDistillation: the training loss of a latent consistency model (Luo et al., 2023, arXiv:2310.04378)."""

import inspect

import numpy as np
from mindspore import Parameter, nn, ops
from mindspore import dtype as mstype

from mindscience_diffuser.cells import PublicCell, checked_values
from mindscience_diffuser.inputs import check_is_tensor, check_scheduler
from mindscience_diffuser.noise import alphas_cumprod_from_betas, clean_sample_weights
from mindscience_diffuser.plan import StepPlan
from mindscience_diffuser.schedulers import DDIMScheduler, LCMScheduler
from mindscience_diffuser.schedulers.consistency.lcm import boundary_scalings
from mindscience_diffuser.step import PlanCell, broadcast_like
from mindscience_diffuser.training.shapes import (
    check_among,
    check_batch,
    check_levels,
    check_like,
    check_noised,
    one_for_each,
)
from mindscience_diffuser.validation import check_choice, check_number

DISTANCES = ("l2", "huber")


class ConsistencyDistillation(PublicCell):
    """Loss of algorithm 1: the student says the same about both ends of a step that its teacher's solver takes.

    A sample is noised to one of the scheduler's ``original_inference_steps`` timesteps t. One DDIM step with the
    teacher, guided with a scale drawn for the sample, leads to the timestep s that follows (the last one to s = 0).
    With the consistency function f(x, t) = c_skip(t) * x + c_out(t) * x0(x, t) of :class:`LCMScheduler`, the loss is
    the distance between f of the student at t and f of the target, an average of the student, at s.

    Args:
        student (nn.Cell): Model that is trained, called as ``student(x, timestep, condition, guidance_scale)`` with a
            scale for each sample, ``(B,)``, such as a :class:`~mindscience_diffuser.GuidanceDiffusionTransformer`.
        target (nn.Cell): Such a model whose weights follow the student's, see the `average` of
            :class:`~mindscience_diffuser.training.ExponentialMovingAverage`. Its parameters are renamed.
        teacher (nn.Cell): Trained model, called as ``teacher(x, timestep, condition)``. Its parameters are renamed.
        scheduler (LCMScheduler): Noise schedule and prediction type, which are those of the teacher, the timesteps of
            the distillation and the boundary scalings. Where it limits the clean sample, the solver does so too.
        unconditional (Tensor): What the teacher takes for no condition, in shape that of one condition.
        distance (str): ``"l2"`` or ``"huber"``, sqrt(d^2 + c^2) - c for every element. Default: ``"huber"``.
        huber_c (float): c of the pseudo-Huber distance, above 0. Default: ``0.001``.

    Raises:
        TypeError: If a model is no Cell, `scheduler` no LCMScheduler or `unconditional` no Tensor.
        ValueError: If `distance` is unknown, `huber_c` is not above 0, or `unconditional` is not finite.
    """

    def __init__(self, student, target, teacher, scheduler, unconditional, distance="huber", huber_c=0.001):
        super().__init__(auto_prefix=False)
        for name, model in (("student", student), ("target", target), ("teacher", teacher)):
            if not isinstance(model, nn.Cell):
                raise TypeError(f"'{name}' must be an nn.Cell, but is {model!r} of type {type(model).__name__}.")
        check_scheduler(scheduler, LCMScheduler)
        check_is_tensor("unconditional", unconditional)
        checked_values("unconditional", unconditional)
        self.distance = check_choice("distance", distance, DISTANCES)
        self.huber_c = check_number("huber_c", huber_c, "(0, inf)")
        self.student = student
        self.target = target
        self.teacher = teacher
        self.unconditional = Parameter(unconditional, name="unconditional", requires_grad=False)
        self.scheduler = scheduler
        scheduler.set_timesteps(scheduler.config.original_inference_steps)
        self.timesteps = scheduler.timesteps[::-1]
        """Timesteps of the distillation, ascending, shape ``(original_inference_steps,)``."""
        self.visited = tuple(self.timesteps.tolist())
        self.stride = int(scheduler.num_train_timesteps // scheduler.config.original_inference_steps)
        self.solver = _solver(scheduler, self.timesteps)
        self.consistency = PlanCell(_consistency_plan(scheduler), mstype.float32)
        # One compiled training step holds them all: no two parameters of it may share a name.
        for name in ("target", "teacher", "solver", "consistency"):
            getattr(self, name).update_parameters_name(f"{name}.")

    def checked_parameter(self, name, value):
        """Returns the value that a Parameter is set to."""
        return checked_values(name, value)

    def get_loss(self, original_samples, noise, timesteps, condition, guidance_scale):
        """Returns the loss of one batch, averaged over all elements.

        Args:
            original_samples (Tensor): Clean samples, shape (B, ...) of rank 2 or more, float32.
            noise (Tensor): Standard normal noise of the same shape.
            timesteps (Tensor): Some of ``timesteps``, shape (B,) or (B, 1), int32.
            condition (Tensor): Condition for the models, shape (B, ...).
            guidance_scale (Tensor): Guidance of the teacher, 1 for none, shape (B,) or (B, 1), float32.

        Returns:
            Tensor, a float32 scalar.

        Raises:
            ValueError: If the shapes do not belong together, or a model's output has another than the samples.
        """
        check_noised(original_samples, noise)
        check_batch("condition", condition, original_samples)
        check_among("timesteps", timesteps, self.visited)
        check_levels("guidance_scale", guidance_scale, "[0, inf)")
        timesteps = one_for_each("timesteps", timesteps, original_samples)
        guidance_scale = one_for_each("guidance_scale", guidance_scale, original_samples)
        noisy = self.scheduler.add_noise(original_samples, noise, timesteps)
        solved = self.solve(noisy, timesteps, condition, guidance_scale)
        following = ops.relu(timesteps - self.stride)
        averaged = self.target(solved, following, condition, guidance_scale)
        check_like("The target's output", averaged, "the samples", noisy)
        target = self.consistency(following, solved, averaged)[0]
        output = self.student(noisy, timesteps, condition, guidance_scale)
        check_like("The student's output", output, "the samples", noisy)
        error = self.consistency(timesteps, noisy, output)[0] - target
        if self.distance == "l2":
            return (error * error).mean()
        return (ops.sqrt(error * error + self.huber_c**2) - self.huber_c).mean()

    def construct(self, original_samples, noise, timesteps, condition, guidance_scale):
        """The same as ``get_loss``."""
        return self.get_loss(original_samples, noise, timesteps, condition, guidance_scale)

    def solve(self, noisy, timesteps, condition, guidance_scale):
        """Returns where one DDIM step with the guided teacher leads from `noisy`; the arguments of ``get_loss``."""
        conditional = self.teacher(noisy, timesteps, condition)
        check_like("The teacher's output", conditional, "the samples", noisy)
        nothing = broadcast_like(self.unconditional, condition)
        without = self.teacher(noisy, timesteps, nothing)
        scale = guidance_scale.reshape((-1,) + (1,) * (noisy.ndim - 1))
        return self.solver.step(without + scale * (conditional - without), noisy, timesteps)


def _solver(scheduler, timesteps):
    """Returns DDIM over the timesteps of the distillation, which ends at the level of timestep 0."""
    known = inspect.signature(DDIMScheduler.__init__).parameters
    arguments = {name: value for name, value in scheduler.config.items() if name in known}
    solver = DDIMScheduler.from_config(arguments, set_alpha_to_one=False)
    solver.set_timesteps(timesteps=timesteps[::-1])
    return solver


def _consistency_plan(scheduler):
    """Returns the plan of f(x, t) for every training timestep; it does not limit x0, which would end its gradient."""
    timesteps = np.arange(scheduler.num_train_timesteps)
    alpha_bar = alphas_cumprod_from_betas(scheduler.betas)
    c_skip, c_out = boundary_scalings(timesteps, scheduler.config.timestep_scaling)
    x0 = clean_sample_weights(scheduler.prediction_type, np.sqrt(alpha_bar), np.sqrt(1 - alpha_bar))
    return StepPlan(timesteps, x0, {"sample": {"sample": c_skip, "x0": c_out}})
