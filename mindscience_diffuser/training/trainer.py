"""DiffusionTrainer: the training loss of a diffusion model."""

import warnings

import numpy as np
from mindspore import Parameter, Tensor, nn, ops
from mindspore import dtype as mstype

from mindscience_diffuser.cells import PublicCell, checked_values
from mindscience_diffuser.inputs import check_scheduler
from mindscience_diffuser.schedulers import DiffusionScheduler
from mindscience_diffuser.training.loss_weights import checked_samples, reduced
from mindscience_diffuser.training.noise import TrainedUnderNoise
from mindscience_diffuser.training.shapes import check_batch, check_like, check_whole, levels_for
from mindscience_diffuser.training.weighting import OBJECTIVES, min_snr_weights, p2_weights, signal_to_noise
from mindscience_diffuser.validation import check_choice

LOSS_TYPES = ("l1", "l2")
PREDICTION_TYPES = {"pred_noise": "epsilon", "pred_x0": "sample", "pred_v": "v_prediction"}


class DiffusionTrainer(TrainedUnderNoise, PublicCell):
    """Training loss of a diffusion model under a scheduler's noise.

    ``get_loss`` is a pure function of its arguments and the model's weights: it can be called eagerly, inside
    ``mindspore.value_and_grad`` and inside ``mindspore.jit``.

    Args:
        model (nn.Cell): Called with (noisy samples, timesteps), and with the condition if there is one.
        scheduler (DiffusionScheduler): Noise schedule.
        objective (str): What the model predicts: ``"pred_noise"``, ``"pred_x0"`` or ``"pred_v"``.
            Default: ``"pred_noise"``.
        p2_loss_weight_gamma (float): Exponent of the P2 weights (Choi et al., 2022, arXiv:2204.00227); 0 weighs all
            timesteps alike. Default: ``0.``.
        p2_loss_weight_k (float): Offset of the P2 weights. Default: ``1``.
        loss_type (str): ``"l1"`` or ``"l2"``. Default: ``"l1"``.
        min_snr_gamma (float, optional): Where given, the loss has the min-SNR weights of Hang et al., 2023
            (arXiv:2303.09556) with this gamma (5 in the paper), in the form that belongs to the objective; they are
            derived for ``"l2"``. Default: ``None``.
        noise_law (NoiseLaw, optional): Law of the noise, by which :meth:`draw_noise` draws; its variance counts in
            the signal-to-noise ratio of the weights. Default: ``None``, white noise.

    Raises:
        TypeError: If `model` is no Cell, `scheduler` no DiffusionScheduler or a weight parameter no number.
        ValueError: If `objective` or `loss_type` is unknown, a weight parameter is out of range, or both kinds of
            weights are asked for.

    Warns:
        UserWarning: If the scheduler's `prediction_type` is another than the objective: it would misread the model
            when sampling.
    """

    def __init__(
        self,
        model,
        scheduler,
        objective="pred_noise",
        p2_loss_weight_gamma=0.0,
        p2_loss_weight_k=1,
        loss_type="l1",
        min_snr_gamma=None,
        noise_law=None,
    ):
        super().__init__(auto_prefix=False)
        if not isinstance(model, nn.Cell):
            raise TypeError(f"'model' must be an nn.Cell, but is {model!r} of type {type(model).__name__}.")
        check_scheduler(scheduler, DiffusionScheduler, " such as DDPMScheduler")
        self.objective = check_choice("objective", objective, OBJECTIVES)
        self.loss_type = check_choice("loss_type", loss_type, LOSS_TYPES)
        self.loss_fn = ElementwiseError(self.loss_type)
        expected = PREDICTION_TYPES[objective]
        if scheduler.prediction_type != expected:
            warnings.warn(
                f"objective={objective!r} trains a model for a scheduler with prediction_type={expected!r}, but this "
                f"scheduler has {scheduler.prediction_type!r} and would misread it when sampling.",
                stacklevel=2,
            )
        self.model = model
        self.scheduler = scheduler
        self._take_noise_law(noise_law)
        snr = signal_to_noise(np.cumprod(1 - np.asarray(scheduler.betas, dtype=np.float64)))
        snr = snr / getattr(self.noise_law, "variance", 1.0)
        weights = p2_weights(snr, p2_loss_weight_gamma, p2_loss_weight_k)
        if min_snr_gamma is not None:
            if p2_loss_weight_gamma:
                raise ValueError(
                    f"Give either 'min_snr_gamma' or 'p2_loss_weight_gamma', not both: they are {min_snr_gamma!r} "
                    f"and {p2_loss_weight_gamma!r}, two weightings of one loss."
                )
            weights = min_snr_weights(snr, min_snr_gamma, objective)
        self.loss_weights = Parameter(Tensor(weights, mstype.float32), name="loss_weights", requires_grad=False)

    def checked_parameter(self, name, value):
        """Returns the value that a Parameter is set to."""
        return checked_values(name, value, self.loss_weights.shape, low=0)

    @property
    def p2_loss_weight(self):
        """Weights of the losses by training timestep, float32, shape (num_train_timesteps,)."""
        return self.loss_weights

    def get_loss(self, original_samples, noise, timesteps, condition=None, *further, weights=None):
        """Returns the weighted loss of one batch, averaged over all elements.

        Args:
            original_samples (Tensor): Clean samples, shape (B, ...) of rank 2 or more.
            noise (Tensor): Noise of the same shape, standard normal or as :meth:`draw_noise` draws it.
            timesteps (Tensor): Integer timesteps, shape (B,) or (B, 1), each in [0, num_train_timesteps), or
                (B, T), one for each frame of samples (B, T, ...), as Diffusion Forcing is trained (Chen et al., 2024,
                arXiv:2407.01392); the model is told them in the same shape.
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
        return self.get_losses(original_samples, noise, timesteps, condition, *further, weights=weights)[0]

    def get_losses(self, original_samples, noise, timesteps, condition=None, *further, weights=None):
        """Returns the loss of :meth:`get_loss`, and beside it the error of each sample or frame.

        The errors, in the shape of `timesteps`, are those before the weights of the levels, see
        :meth:`EDMTrainer.get_losses`.
        """
        original_samples, weights = checked_samples(original_samples, noise, weights)
        check_whole("timesteps", timesteps, self.scheduler.num_train_timesteps)
        timesteps = levels_for("timesteps", timesteps, original_samples)
        noisy = self.scheduler.add_noise(original_samples, noise, timesteps)
        if condition is None:
            prediction = self.model(noisy, timesteps)
        else:
            check_batch("condition", condition, original_samples)
            for other in further:
                check_batch("further", other, original_samples)
            prediction = self.model(noisy, timesteps, condition, *further)
        error = self.loss_fn(prediction, self._target(original_samples, noise, timesteps))
        return reduced(error, timesteps, weights, ops.gather(self.loss_weights, timesteps, 0))

    def construct(self, original_samples, noise, timesteps, condition=None, *further, weights=None):
        """The same as ``get_loss``."""
        return self.get_loss(original_samples, noise, timesteps, condition, *further, weights=weights)

    def _target(self, original_samples, noise, timesteps):
        """Returns what the model should have predicted."""
        if self.objective == "pred_noise":
            return noise
        if self.objective == "pred_x0":
            return original_samples
        return self.scheduler.get_velocity(original_samples, noise, timesteps)


class ElementwiseError(nn.Cell):
    """The absolute (``"l1"``) or squared (``"l2"``) error of every element, in float32."""

    def __init__(self, loss_type):
        super().__init__()
        self.absolute = loss_type == "l1"

    def construct(self, prediction, target):
        """Returns the errors, of the shape that both arguments must have."""
        check_like("The model's output", prediction, "what it should predict", target)
        error = ops.cast(prediction, mstype.float32) - ops.cast(target, mstype.float32)
        return ops.abs(error) if self.absolute else error * error
