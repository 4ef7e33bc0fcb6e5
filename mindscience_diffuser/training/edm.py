"""EDMTrainer: the training loss of a preconditioned denoiser."""

from mindspore import dtype as mstype
from mindspore import nn, ops

from mindscience_diffuser.cells import PublicCell, frozen
from mindscience_diffuser.noise.edm import EDMPreconditioning
from mindscience_diffuser.preconditioning import SampleScalings
from mindscience_diffuser.training.loss_weights import checked_samples, reduced
from mindscience_diffuser.training.noise import TrainedUnderNoise
from mindscience_diffuser.training.shapes import check_levels, check_like, levels_for


class EDMTrainer(TrainedUnderNoise, PublicCell):
    """Training loss of the network F inside an EDM denoiser D (Karras et al., 2022, arXiv:2206.00364, eq. (8)).

    The loss is lambda(sigma) * |D(x; sigma) - x0|^2 with lambda = 1 / c_out^2, so that every noise level weighs the
    same at the start. It is computed as |F - (x0 - c_skip * x) / c_out|^2, which is the same number.

    With a `regression` f the network learns what f leaves, x0 = y - f(c), section 3 of CorrDiff (Mardani et al., 2023,
    arXiv:2309.15214), and is given f(c) as its last condition. A :class:`~mindscience_diffuser.ResidualSampler` draws
    f(c) + x0.

    Args:
        model (nn.Cell): F, called as ``model(c_in * x, c_noise, *conditions)`` with c_noise of shape ``(B,)``.
        preconditioning (EDMPreconditioning, optional): The scalings, for the network and for the loss alike: those of
            the scheduler that is to sample, ``scheduler.preconditioning``. Default: ``None``, those of
            ``EDMPreconditioning()``.
        noise_law (NoiseLaw, optional): Law of the noise, by which :meth:`draw_noise` draws; its variance must be the
            `noise_variance` of the preconditioning. Default: ``None``, white noise.
        regression (nn.Cell, optional): f, trained before and called as ``regression(*conditions)``; returns a
            prediction in the shape of the samples. It is frozen: set to evaluation, its Parameters get no gradients,
            and those whose names the model has too are renamed. Default: ``None``: the samples themselves are learned.

    Raises:
        TypeError: If `model` or `regression` is no Cell, or `preconditioning` or `noise_law` is something else.
        ValueError: If the law has another variance than the preconditioning counts on.
    """

    def __init__(self, model, preconditioning=None, noise_law=None, regression=None):
        super().__init__(auto_prefix=False)
        preconditioning = EDMPreconditioning() if preconditioning is None else preconditioning
        if not isinstance(model, nn.Cell):
            raise TypeError(f"'model' must be an nn.Cell, but is {model!r} of type {type(model).__name__}.")
        self.model = model
        self.scalings = SampleScalings(preconditioning)
        self._take_noise_law(noise_law, preconditioning)
        self.preconditioning = preconditioning
        self.learns_residual = regression is not None
        if self.learns_residual:
            if not isinstance(regression, nn.Cell):
                raise TypeError(
                    f"'regression' must be an nn.Cell, but is {regression!r} of type {type(regression).__name__}."
                )
            self.regression = frozen(regression, model, "regression")

    def set_train(self, mode=True):
        """Sets the network to training or evaluation; the regression stays as it is."""
        super().set_train(mode)
        if self.learns_residual:
            self.regression.set_train(False)
        return self

    def draw_noise(self, sigmas, shape, generator=None):
        """Draws what is added to the samples of a training batch, see :meth:`EDMPreconditioning.training_noise`."""
        return self.preconditioning.training_noise(sigmas, shape, generator, self.noise_law)

    def get_loss(self, original_samples, noise, sigmas, *conditions, weights=None):
        """Returns the weighted loss of one batch, averaged over all elements.

        Args:
            original_samples (Tensor): Clean samples x0, with a regression y, shape ``(B, ...)`` of rank 2 or more.
            noise (Tensor): What is added to them, of the same shape: sigma times standard normal noise, and the offset
                noise, as :meth:`EDMPreconditioning.training_noise` draws them.
            sigmas (Tensor): Noise levels, float32, shape ``(B,)`` or ``(B, 1)``, or ``(B, T)``, one for each frame, see
                :meth:`DiffusionTrainer.get_loss`; those where `sigma_data` is one number.
            *conditions (Tensor): Passed on to the model, and to the regression, shape ``(B, ...)`` each.
            weights (Tensor, optional): Weights w of the elements, at least 0, of a shape that broadcasts to the
                samples, such as ``(H, W)``, ``(C, 1, 1)`` or ``(B, 1, H, W)``: the loss is sum(w e) / sum(w). A mask
                of zeros and ones, or a bool one, counts the valid values alone; what it leaves out may be NaN in
                `original_samples` and is taken as 0. Default: ``None``, all alike.

        Returns:
            Tensor, a float32 scalar.

        Raises:
            TypeError: If `weights` is no Tensor.
            ValueError: If the shapes do not belong together, the model's output has another than the samples, or
                these have another number of channels than the `sigma_data` of the preconditioning; or if a weight is
                negative or not finite, or all are 0. The weights that a graph takes as an input are checked for their
                shape alone: there, weights that are all 0 give NaN.
        """
        return self.get_losses(original_samples, noise, sigmas, *conditions, weights=weights)[0]

    def get_losses(self, original_samples, noise, sigmas, *conditions, weights=None):
        """Returns the loss of :meth:`get_loss`, and beside it that of each sample or frame, in the shape of `sigmas`.

        With ``mindspore.value_and_grad(trainer.get_losses, None, parameters, has_aux=True)`` a training can follow how
        the loss depends on the level without a further call of the model.
        """
        original_samples, weights = checked_samples(original_samples, noise, weights)
        check_levels("sigmas", sigmas, "(0, inf)")
        sigmas = levels_for("sigmas", sigmas, original_samples)
        c_in, c_skip, c_out, c_noise = self.scalings(sigmas, original_samples)
        if self.learns_residual:
            expected = ops.stop_gradient(ops.cast(self.regression(*conditions), mstype.float32))
            check_like("The regression's output", expected, "'original_samples'", original_samples)
            original_samples = original_samples - expected
            conditions = conditions + (expected,)
        noisy = original_samples + noise
        prediction = ops.cast(self.model(c_in * noisy, c_noise, *conditions), mstype.float32)
        # (x0 - c_skip * x) / c_out without the difference of two nearly equal numbers at low noise.
        target = ((1 - c_skip) * original_samples - c_skip * noise) / c_out
        check_like("The model's output", prediction, "the samples", target)
        error = prediction - target
        return reduced(error * error, sigmas, weights)

    def construct(self, original_samples, noise, sigmas, *conditions, weights=None):
        """The same as ``get_loss``."""
        return self.get_loss(original_samples, noise, sigmas, *conditions, weights=weights)
