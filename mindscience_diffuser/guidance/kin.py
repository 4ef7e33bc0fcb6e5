"""The kin of classifier-free guidance: other ways to steer, and another prediction to steer away from."""

import numpy as np
from mindspore import dtype as mstype
from mindspore import nn, ops

from mindscience_diffuser.guidance.classifier_free import ClassifierFreeGuidance
from mindscience_diffuser.guidance.steering import Guidance, inner_product
from mindscience_diffuser.inputs import check_one_tensor
from mindscience_diffuser.step import quotient
from mindscience_diffuser.validation import check_integer, check_number

LEAST_SIGMA = 1e-12
"""What keeps a ratio of levels finite where there is no noise."""

LEAST_FALL = 1e-5
"""Share of the ratio of noise to signal below which a step counts as one that stays at its level."""


class AdaptiveProjectedGuidance(ClassifierFreeGuidance):
    """Guidance without the part that over-saturates (APG, Sadat et al., 2024, arXiv:2410.02416, algorithm 1).

    Of the clean predictions D of the two model calls the difference ``D_cond - D_uncond`` is cut to the length
    `norm_threshold`; its part along D_cond is weighted by `eta`, and ``guidance_scale - 1`` times the result is added
    to D_cond. ``eta=1`` without a threshold is classifier-free guidance. The paper's momentum is left out.

    Args:
        model (nn.Cell): Called as ``model(x, timestep, *conditions)``, timestep of shape ``(B,)``.
        guidance_scale (float): 0 is unconditional, 1 conditional, above 1 guided; at least 0.
        unconditional (Tensor or tuple): What stands for "no condition", see :class:`ClassifierFreeGuidance`.
        eta (float): Weight of the parallel part, at least 0. Default: ``0.0``.
        norm_threshold (float): Largest Euclidean norm of the difference, above 0; the paper has 2.5 to 15 for latents
            of images. Default: ``inf``, none.
        **options: `guidance_rescale`, `interval` and `sigma_interval` of :class:`ClassifierFreeGuidance`.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a number is outside its range.
    """

    uses_level = True

    def __init__(self, model, guidance_scale, unconditional=None, eta=0.0, norm_threshold=np.inf, **options):
        super().__init__(model, guidance_scale, unconditional, **options)
        self.eta = check_number("eta", eta, "[0, inf)")
        self.norm_threshold = check_number("norm_threshold", norm_threshold, "(0, inf]")

    def steered(self, level, x, strong, weak, scale):
        """Returns the output whose clean prediction is D_cond and the weighted difference."""
        of_sample, of_output = level[:2]
        strong = ops.cast(strong, mstype.float32)
        clean = of_sample * ops.cast(x, mstype.float32) + of_output * strong
        change = of_output * (strong - ops.cast(weak, mstype.float32))
        if self.norm_threshold < np.inf:
            length = ops.sqrt(inner_product(change, change))
            change = change * ops.minimum(quotient(ops.ones_like(length) * self.norm_threshold, length), 1.0)
        parallel = quotient(inner_product(change, clean), inner_product(clean, clean)) * clean
        change = change + (self.eta - 1) * parallel
        # Where there is no noise the clean sample is known, and there is nothing to guide.
        return ops.cast(strong + (ops.cast(scale, mstype.float32) - 1) * quotient(change, of_output), weak.dtype)


class TangentialClassifierFreeGuidance(ClassifierFreeGuidance):
    """Guidance away from what of the unconditional prediction agrees with the conditional one (TCFG, arXiv:2503.18137).

    The two predictions of a sample span a plane; the unconditional one is projected on the first singular vector of the
    two, and guidance goes on with it. The vector of two rows is known in closed form.

    Args:
        model (nn.Cell): Called as ``model(x, timestep, *conditions)``, timestep of shape ``(B,)``.
        guidance_scale (float): 0 is unconditional, 1 conditional, above 1 guided; at least 0.
        unconditional (Tensor or tuple): What stands for "no condition", see :class:`ClassifierFreeGuidance`.
        guidance_rescale (float): How far each sample's output is brought back to the spread of the conditional one, in
            [0, 1]. Default: ``0.0``.
        interval (tuple, optional): (low, high), the timesteps at which guidance acts. Default: ``None``, all.
        sigma_interval (tuple, optional): The same in units of sigma / alpha. Default: ``None``, all.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a number is outside its range.
    """

    def steered(self, level, x, strong, weak, scale):
        """Returns the guided prediction."""
        of_strong, of_weak, of_both = (
            inner_product(strong, strong),
            inner_product(weak, weak),
            inner_product(strong, weak),
        )
        difference = of_strong - of_weak
        radius = ops.sqrt(difference * difference + 4 * of_both * of_both)
        # Twice the angle of the first eigenvector of the 2 x 2 matrix of inner products.
        cosine, sine = quotient(difference, radius), quotient(2 * of_both, radius)
        projected = ops.cast(0.5 * sine, weak.dtype) * strong + ops.cast(0.5 * (1 - cosine), weak.dtype) * weak
        return super().steered(level, x, strong, projected, scale)


class ClassifierFreeZeroStarGuidance(ClassifierFreeGuidance):
    """Guidance of flow matching with a fitted scale and a first step of zero (CFG-Zero*, Fan et al., 2025, 2503.18886).

    The unconditional velocity of each sample is multiplied by ``s = <v_cond, v_uncond> / |v_uncond|^2``, which brings
    it nearest to the conditional one; in the first `zero_init_steps` model calls of a trajectory the velocity is 0.

    Args:
        model (nn.Cell): Called as ``model(x, timestep, *conditions)``, timestep of shape ``(B,)``.
        guidance_scale (float): 0 is unconditional, 1 conditional, above 1 guided; at least 0.
        unconditional (Tensor or tuple): What stands for "no condition", see :class:`ClassifierFreeGuidance`.
        zero_init_steps (int): Number of model calls whose output is taken as 0, at least 0. Default: ``1``.
        **options: `guidance_rescale`, `interval` and `sigma_interval` of :class:`ClassifierFreeGuidance`.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a number is outside its range.
    """

    uses_level = True

    def __init__(self, model, guidance_scale, unconditional=None, zero_init_steps=1, **options):
        super().__init__(model, guidance_scale, unconditional, **options)
        self.zero_init_steps = check_integer("zero_init_steps", zero_init_steps, low=0)

    def steered(self, level, x, strong, weak, scale):
        """Returns the guided velocity."""
        fitted = quotient(inner_product(strong, weak), inner_product(weak, weak))
        output = super().steered(level, x, strong, ops.cast(fitted, weak.dtype) * weak, scale)
        return ops.cast(level[7] >= self.zero_init_steps, output.dtype) * output


class ManifoldConstrainedGuidance(ClassifierFreeGuidance):
    """Guidance of the clean prediction alone: the noise stays the unconditional one (CFG++, 2024, arXiv:2406.08070).

    ``x_next = alpha_next * x0(guided) + sigma_next * noise(unconditional)``. A step of DDIM or Euler that is given the
    output ``uncond + guidance_scale / (1 - r) * (cond - uncond)``, r the ratio of noise to signal after the step over
    that before it, is this very step; so the table of the scheduler stays as it is. With solvers of higher order or
    with noise it is the same correction of the output, not the paper's algorithm. Solvers that call the model at the
    end of a step, such as Heun's, have no such correction: a Sampler refuses them.

    Args:
        model (nn.Cell): Called as ``model(x, timestep, *conditions)``, timestep of shape ``(B,)``.
        guidance_scale (float): The paper's lambda, which is 0 to 1; at least 0.
        unconditional (Tensor or tuple): What stands for "no condition", see :class:`ClassifierFreeGuidance`.
        guidance_rescale (float): How far each sample's output is brought back to the spread of the conditional one, in
            [0, 1]. Default: ``0.0``.
        interval (tuple, optional): (low, high), the timesteps at which guidance acts. Default: ``None``, all.
        sigma_interval (tuple, optional): The same in units of sigma / alpha. Default: ``None``, all.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a number is outside its range.
    """

    uses_level = True

    def steered(self, level, x, strong, weak, scale):
        """Returns the output that stands for the guided clean prediction and the unconditional noise."""
        alpha, sigma, alpha_next, sigma_next = level[2], level[3], level[5], level[6]
        fall = 1 - sigma_next * alpha / ops.maximum(alpha_next * sigma, LEAST_SIGMA)
        # A step that stays at its level moves no sample, whatever the output is.
        fall = ops.where(ops.abs(fall) < LEAST_FALL, ops.ones_like(fall), fall)
        return super().steered(level, x, strong, weak, scale / ops.cast(fall, scale.dtype))

    def check_steps(self, plan, scheduler):
        """Raises ValueError if a step stays at its level and yet moves the sample."""
        super().check_steps(plan, scheduler)
        _, of_output, alpha, sigma, _, alpha_next, sigma_next, _ = np.moveaxis(plan.level_columns(), -1, 0)
        stays = np.abs(1 - sigma_next * alpha / np.maximum(alpha_next * sigma, LEAST_SIGMA)) < LEAST_FALL
        weights = plan.states["sample"]
        moves = np.abs(weights.get("output", 0.0) + weights.get("x0", 0.0) * of_output) > LEAST_FALL
        rows = np.flatnonzero(np.reshape(stays & moves, (len(plan), -1)).any(axis=1))
        if len(rows):
            raise ValueError(
                f"'scheduler' is {type(scheduler).__name__}, whose row {rows[0]} calls the model at the level where "
                "its step ends: CFG++ has no correction there. Use a solver of one call a step, such as DDIMScheduler, "
                "EulerDiscreteScheduler or DPMSolverMultistepScheduler, or another guidance."
            )


class AutoGuidance(Guidance):
    """Guidance of a model by a worse version of itself (Karras et al., 2024, arXiv:2406.02507, eq. (3)).

    ``output = weak + guidance_scale * (strong - weak)``, from one call of each model with the same conditions.

    Args:
        model (nn.Cell): Called as ``model(x, timestep, *conditions)``, timestep of shape ``(B,)``.
        guiding_model (nn.Cell): The worse one, smaller or trained for less long; called in the same way.
        guidance_scale (float): 1 is the model, above 1 guided; at least 0.
        guidance_rescale (float): How far each sample's output is brought back to the spread of the model's own, in
            [0, 1]. Default: ``0.0``.
        interval (tuple, optional): (low, high), the timesteps at which guidance acts. Default: ``None``, all.
        sigma_interval (tuple, optional): The same in units of sigma / alpha. Default: ``None``, all.

    Raises:
        TypeError: If `guiding_model` is no Cell.
        ValueError: If a number is outside its range, or the two models have parameters of the same name.
    """

    def __init__(self, model, guiding_model, guidance_scale, guidance_rescale=0.0, interval=None, sigma_interval=None):
        super().__init__(model, guidance_scale, guidance_rescale, interval, sigma_interval)
        if not isinstance(guiding_model, nn.Cell):
            raise TypeError(f"'guiding_model' must be an nn.Cell, but is {type(guiding_model).__name__}.")
        names = {parameter.name for parameter in model.get_parameters()}
        shared = [parameter.name for parameter in guiding_model.get_parameters() if parameter.name in names]
        if shared:
            raise ValueError(
                f"'guiding_model' and 'model' both have a parameter named {shared[0]!r}; a graph takes each name once: "
                "load its weights, and then call guiding_model.update_parameters_name('guiding.')."
            )
        self.guiding_model = guiding_model

    def predictions(self, level, x, timestep, conditions):
        """Returns the predictions of the two models."""
        strong = self.output_of_model(level, x, timestep, *conditions)
        weak = self.guiding_model(x, timestep, *conditions)
        check_one_tensor("The output of a guided model", strong)
        check_one_tensor("The output of 'guiding_model'", weak)
        return strong, ops.cast(weak, strong.dtype)
