"""FlowMatchingTrainer: the training loss of a rectified flow."""

import math

import numpy as np
from mindspore import Tensor, nn

from mindscience_diffuser.cells import PublicCell
from mindscience_diffuser.inputs import type_name
from mindscience_diffuser.step import shaped
from mindscience_diffuser.training.loss_weights import checked_samples, reduced
from mindscience_diffuser.training.noise import TrainedUnderNoise
from mindscience_diffuser.training.shapes import check_batch, check_levels, levels_for
from mindscience_diffuser.training.trainer import LOSS_TYPES, ElementwiseError
from mindscience_diffuser.validation import check_choice, check_integer

WEIGHTINGS = ("none", "sigma_sqrt", "cosmap")


def flow_weights(weighting, sigmas):
    """Returns the loss weights of the levels `sigmas`, an array or a Tensor of levels in (0, 1].

    ``"none"``: 1. ``"sigma_sqrt"``: sigma^-2. ``"cosmap"``: 2 / (pi (1 - 2 sigma + 2 sigma^2)), under which uniform
    levels count as those of the ``"cosmap"`` density do. The names are those of diffusers' SD3 training.

    Raises:
        TypeError: If `sigmas` is neither.
        ValueError: If `weighting` is unknown.
    """
    check_choice("weighting", weighting, WEIGHTINGS)
    if not isinstance(sigmas, (np.ndarray, Tensor)):
        raise TypeError(f"'sigmas' must be an array of NumPy or a Tensor, but is {type_name(sigmas)}.")
    return weights_of_levels(weighting, sigmas)


def weights_of_levels(weighting, sigmas):
    """The form of :func:`flow_weights` that graphs read."""
    if weighting == "sigma_sqrt":
        return sigmas**-2.0
    if weighting == "cosmap":
        return 2 / (math.pi * (1 - 2 * sigmas + 2 * sigmas * sigmas))
    return sigmas * 0 + 1


class FlowMatchingTrainer(TrainedUnderNoise, PublicCell):
    """Training loss of a rectified flow, eq. (5) of Liu et al., 2022 (arXiv:2209.03003).

    At the level sigma the model sees x = (1 - sigma) * x0 + sigma * noise and the timestep num_train_timesteps * sigma,
    and learns the velocity noise - x0, as the FlowMatch schedulers expect. ``get_loss`` is a pure function of its
    arguments and the model's weights: it can be called eagerly, inside ``mindspore.value_and_grad`` and inside
    ``mindspore.jit``.

    Args:
        model (nn.Cell): Called with (noisy samples, timesteps), and with the condition if there is one.
        num_train_timesteps (int): That of the scheduler. Default: ``1000``.
        weighting (str): ``"none"``, ``"sigma_sqrt"`` or ``"cosmap"``, see :func:`flow_weights`. Default: ``"none"``.
        loss_type (str): ``"l1"`` or ``"l2"``. Default: ``"l2"``.
        noise_law (NoiseLaw, optional): Law of the noise, by which :meth:`draw_noise` draws. Default: ``None``, white
            noise.

    Raises:
        TypeError: If `model` is no Cell or `num_train_timesteps` no integer.
        ValueError: If `weighting` or `loss_type` is unknown, or `num_train_timesteps` is below 1.
    """

    def __init__(self, model, num_train_timesteps=1000, weighting="none", loss_type="l2", noise_law=None):
        super().__init__(auto_prefix=False)
        if not isinstance(model, nn.Cell):
            raise TypeError(f"'model' must be an nn.Cell, but is {model!r} of type {type(model).__name__}.")
        self.model = model
        self.num_train_timesteps = check_integer("num_train_timesteps", num_train_timesteps, low=1)
        self.weighting = check_choice("weighting", weighting, WEIGHTINGS)
        self.loss_type = check_choice("loss_type", loss_type, LOSS_TYPES)
        self.loss_fn = ElementwiseError(self.loss_type)
        self._take_noise_law(noise_law)

    def get_loss(self, original_samples, noise, sigmas, condition=None, *further, weights=None):
        """Returns the weighted loss of one batch, averaged over all elements.

        Args:
            original_samples (Tensor): Clean samples, shape (B, ...) of rank 2 or more.
            noise (Tensor): Noise of the same shape, standard normal or as :meth:`draw_noise` draws it.
            sigmas (Tensor): Noise levels in (0, 1], shape (B,) or (B, 1), float32, such as those of
                :func:`~mindscience_diffuser.training.training_sigmas`, or (B, T), one for each frame, see
                :meth:`DiffusionTrainer.get_loss`.
            condition (Tensor, optional): Condition for the model, shape (B, ...). Default: ``None``.
            *further (Tensor): Further conditions, shape (B, ...) each.
            weights (Tensor, optional): Weights w of the elements, at least 0, of a shape that broadcasts to the
                samples, see :meth:`EDMTrainer.get_loss`: the loss is the mean with these weights, sum(w e) / sum(w).
                What has the weight 0 may be NaN in `original_samples`. Default: ``None``, all alike.

        Returns:
            Tensor, a float32 scalar.

        Raises:
            TypeError: If `weights` is no Tensor.
            ValueError: If the shapes do not belong together, or the model's output has another than the samples; or if
                a weight is negative or not finite, or all are 0, which a graph that takes them as an input cannot see.
        """
        return self.get_losses(original_samples, noise, sigmas, condition, *further, weights=weights)[0]

    def get_losses(self, original_samples, noise, sigmas, condition=None, *further, weights=None):
        """Returns the loss of :meth:`get_loss`, and beside it the error of each sample or frame.

        The errors, in the shape of `sigmas`, are those before the weights of the levels, see
        :meth:`EDMTrainer.get_losses`.
        """
        original_samples, weights = checked_samples(original_samples, noise, weights)
        check_levels("sigmas", sigmas, "(0, 1]" if self.weighting == "sigma_sqrt" else "[0, 1]")
        sigmas = levels_for("sigmas", sigmas, original_samples)
        velocity = noise - original_samples
        level = shaped(sigmas, original_samples).astype(original_samples.dtype)
        noisy = original_samples + level * velocity
        timesteps = sigmas * self.num_train_timesteps
        if condition is None:
            prediction = self.model(noisy, timesteps)
        else:
            check_batch("condition", condition, original_samples)
            for other in further:
                check_batch("further", other, original_samples)
            prediction = self.model(noisy, timesteps, condition, *further)
        error = self.loss_fn(prediction, velocity)
        return reduced(error, sigmas, weights, weights_of_levels(self.weighting, sigmas))

    def construct(self, original_samples, noise, sigmas, condition=None, *further, weights=None):
        """The same as ``get_loss``."""
        return self.get_loss(original_samples, noise, sigmas, condition, *further, weights=weights)
