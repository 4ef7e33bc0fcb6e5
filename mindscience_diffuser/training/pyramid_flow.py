"""PyramidFlowTrainer: the training loss of Pyramid Flow (Jin et al., 2024, arXiv:2410.05954)."""

import numpy as np
from mindspore import Parameter, Tensor, nn, ops
from mindspore import dtype as mstype

from mindscience_diffuser.cells import PublicCell
from mindscience_diffuser.inputs import check_scheduler
from mindscience_diffuser.noise import check_halvable, multi_scale_noise, multi_scale_samples
from mindscience_diffuser.schedulers import PyramidFlowMatchEulerDiscreteScheduler
from mindscience_diffuser.training.shapes import check_batch, check_noised, check_whole, one_for_each
from mindscience_diffuser.training.trainer import LOSS_TYPES, ElementwiseError
from mindscience_diffuser.validation import check_choice, check_integer


class PyramidFlowTrainer(PublicCell):
    """Training loss of one model for all stages, section 3.2.1 of the paper.

    A batch is shared out among the stages: its first samples train the first stage at the coarsest resolution, and so
    on. In each stage the model sees a point between the stage's start and end point, and learns the velocity
    start - end, see :meth:`PyramidFlowMatchEulerDiscreteScheduler.training_sample`. ``get_loss`` is a pure function of
    its arguments and the model's weights: it can be called eagerly, inside ``mindspore.value_and_grad`` and inside
    ``mindspore.jit``.

    Args:
        model (nn.Cell): Called with (noisy samples, timesteps), and with the condition if there is one, at the
            resolution of every stage.
        scheduler (PyramidFlowMatchEulerDiscreteScheduler): Gives the stages.
        sample_ratios (Sequence[int], optional): Parts of a batch that each stage gets, each at least 1.
            Default: ``None``, all the same.
        loss_type (str): ``"l1"`` or ``"l2"``. Default: ``"l2"``.

    Raises:
        TypeError: If `model` is no Cell, `scheduler` another, or a part no integer.
        ValueError: If there is not one part for each stage, a part is below 1, or `loss_type` is unknown.
    """

    def __init__(self, model, scheduler, sample_ratios=None, loss_type="l2"):
        super().__init__(auto_prefix=False)
        if not isinstance(model, nn.Cell):
            raise TypeError(f"'model' must be an nn.Cell, but is {model!r} of type {type(model).__name__}.")
        check_scheduler(scheduler, PyramidFlowMatchEulerDiscreteScheduler)
        self.model = model
        self.scheduler = scheduler
        self.stages = scheduler.num_stages
        parts = (1,) * self.stages if sample_ratios is None else sample_ratios
        if not isinstance(parts, (tuple, list)):
            raise TypeError(f"'sample_ratios' must have one part for each stage, in a list, but is {parts!r}.")
        if len(parts) != self.stages:
            raise ValueError(f"'sample_ratios' must have one part for each of {self.stages} stages, but is {parts}.")
        parts = [check_integer("sample_ratios", part, low=1) for part in parts]
        self.bounds = tuple(int(bound) for bound in np.cumsum([0, *parts]))
        self.loss_type = check_choice("loss_type", loss_type, LOSS_TYPES)
        self.loss_fn = ElementwiseError(self.loss_type)
        table = Tensor(scheduler.timesteps_per_stage, mstype.float32)
        self.timesteps = Parameter(table, name="timesteps_per_stage", requires_grad=False)

    def get_loss(self, original_samples, noise, index, condition=None):
        """Returns the loss of one batch, averaged over its samples.

        Args:
            original_samples (Tensor): Clean samples at the finest resolution, ``(B, C, H, W)`` or ``(B, C, T, H, W)``;
                B is a multiple of the sum of `sample_ratios`, H and W of 2^stages where there is more than one stage.
            noise (Tensor): Standard normal noise of the same shape.
            index (Tensor): Positions in the training table of a stage, integers in [0, num_train_timesteps), shape
                ``(B,)`` or ``(B, 1)``, such as those of :func:`~mindscience_diffuser.training.training_timesteps`.
            condition (Tensor, optional): Condition for the model, ``(B, ...)``. Default: ``None``.

        Returns:
            Tensor, a float32 scalar.

        Raises:
            ValueError: If the batch cannot be shared out, the shapes do not belong together, or the model's output has
                another than its samples.
        """
        check_noised(original_samples, noise)
        batch, parts = original_samples.shape[0], self.bounds[-1]
        if batch % parts:
            raise ValueError(f"The batch must be a multiple of {parts}, the sum of 'sample_ratios', but is {batch}.")
        if ops.isconstant(original_samples):
            _check_resolution(original_samples.shape, self.stages)
        check_whole("index", index, self.scheduler.num_train_timesteps)
        index = one_for_each("index", index, original_samples)
        if condition is not None:
            check_batch("condition", condition, original_samples)
        loss = Tensor(0.0, mstype.float32)
        for stage in range(self.stages):
            first, last = self.bounds[stage] * batch // parts, self.bounds[stage + 1] * batch // parts
            clean = multi_scale_samples(original_samples[first:last], self.stages - stage)[0]
            white = multi_scale_noise(noise[first:last], self.stages - stage)[0]
            sample, velocity = self.scheduler.training_sample(clean, white, index[first:last], stage)
            timesteps = ops.gather(self.timesteps[stage], index[first:last], 0)
            if condition is None:
                prediction = self.model(sample, timesteps)
            else:
                prediction = self.model(sample, timesteps, condition[first:last])
            share = (last - first) / batch
            loss = loss + share * self.loss_fn(prediction, velocity).mean()
        return loss

    def construct(self, original_samples, noise, index, condition=None):
        """The same as ``get_loss``."""
        return self.get_loss(original_samples, noise, index, condition)


@ops.constexpr
def _check_resolution(shape, stages):
    check_halvable("original_samples", shape, halvings=stages if stages > 1 else 0)
    return True
