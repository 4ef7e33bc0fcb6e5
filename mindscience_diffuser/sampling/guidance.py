"""Classifier-free guidance as part of the model, so that it compiles into every graph that calls the model."""

from mindspore import Parameter, mint, nn, ops
from mindspore import dtype as mstype

from mindscience_diffuser.inputs import check_is_tensor
from mindscience_diffuser.validation import check_number


class ClassifierFreeGuidance(nn.Cell):
    """A conditional model steered away from its unconditional prediction (Ho and Salimans, 2022, arXiv:2207.12598).

    ``output = unconditional + guidance_scale * (conditional - unconditional)``, from one model call on a batch of 2B.

    Args:
        model (nn.Cell): Called as ``model(x, timestep, *conditions)``, timestep of shape ``(B,)``.
        guidance_scale (float): 0 is unconditional, 1 conditional, above 1 guided; at least 0.
        unconditional (Tensor or tuple): What stands for "no condition", one entry for each condition (a Tensor, or a
            tuple of Tensors where the condition is one), in shape equal to it or broadcasting to it.
        guidance_rescale (float): How far the standard deviation of each sample's output is brought back to that of the
            conditional prediction, in [0, 1] (Lin et al., 2023, arXiv:2305.08891, eqs. (15), (16)). Default: ``0.0``.
        interval (tuple, optional): (low, high): guidance acts only at timesteps in [low, high], elsewhere the
            conditional prediction is used (Kynkaanniemi et al., 2024, arXiv:2404.07724). Default: ``None``, always.

    Inputs:
        - **x** (Tensor) - noisy samples, ``(B, ...)``.
        - **timestep** (Tensor) - ``(B,)``.
        - **conditions** (Tensor or tuple of Tensors) - each with the batch as its first axis.

    Outputs:
        Tensor of the shape of the model's output for B samples.

    Raises:
        TypeError: If `unconditional` is missing or holds anything but Tensors.
        ValueError: If a number is outside its range.
    """

    def __init__(self, model, guidance_scale, unconditional=None, guidance_rescale=0.0, interval=None):
        super().__init__()
        self.model = model
        self.guidance_scale = check_number("guidance_scale", guidance_scale, "[0, inf)")
        self.guidance_rescale = check_number("guidance_rescale", guidance_rescale, "[0, 1]")
        if unconditional is None:
            raise TypeError(
                "'unconditional' is missing: guidance needs what the model was trained to take for no condition, "
                "such as a Tensor of zeros with the shape of one condition."
            )
        entries = unconditional if isinstance(unconditional, (tuple, list)) else (unconditional,)
        self.unconditional = tuple(self._parameters(entry, f"unconditional_{i}") for i, entry in enumerate(entries))
        self.interval = None
        if interval is not None:
            low = check_number("interval", interval[0], "[0, inf)")
            self.interval = (low, check_number("interval", interval[1], f"({low}, inf]"))

    def construct(self, x, timestep, *conditions):
        """Returns the guided prediction."""
        pairs = ()
        for i in range(len(conditions)):
            pairs += (self.paired(conditions[i], self.unconditional[i]),)
        output = self.model(mint.cat((x, x)), mint.cat((timestep, timestep)), *pairs)
        conditional, unconditional = ops.unstack(ops.reshape(output, (2, -1) + output.shape[1:]))
        guided = unconditional + self.guidance_scale * (conditional - unconditional)
        if self.guidance_rescale > 0:
            axes = tuple(range(1, output.ndim))
            ratio = spread(conditional, axes) / spread(guided, axes)
            guided = guided * (self.guidance_rescale * ratio + (1 - self.guidance_rescale))
        if self.interval is not None:
            inside = ops.logical_and(timestep >= self.interval[0], timestep <= self.interval[1])
            guided = ops.where(inside.reshape((-1,) + (1,) * (output.ndim - 1)), guided, conditional)
        return guided

    def paired(self, condition, unconditional):
        """Returns the conditions of the doubled batch: the given ones, then "no condition"."""
        if isinstance(condition, (tuple, list)):
            pairs = ()
            for i in range(len(condition)):
                pairs += (self.paired(condition[i], unconditional[i]),)
            return pairs
        return mint.cat((condition, ops.zeros_like(condition) + ops.cast(unconditional, condition.dtype)))

    def _parameters(self, entry, name):
        """Makes Parameters of Tensors, so that compiled graphs follow when they are given new values."""
        if isinstance(entry, (tuple, list)):
            return tuple(self._parameters(part, f"{name}_{i}") for i, part in enumerate(entry))
        check_is_tensor("unconditional", entry)
        parameter = Parameter(entry, name=name, requires_grad=False)
        self.insert_param_to_cell(name, parameter)
        return parameter


class DistilledGuidance(nn.Cell):
    """A model that is told the guidance scale, with one scale for all: called as a guided one is, at half the cost.

    Args:
        model (nn.Cell): Called as ``model(x, timestep, *conditions, guidance_scale)``, guidance_scale of shape
            ``(B,)``, such as a :class:`~mindscience_diffuser.GuidanceDiffusionTransformer`.
        guidance_scale (float): As in :class:`ClassifierFreeGuidance`; the model should have been trained on it.

    Inputs and outputs are those of :class:`ClassifierFreeGuidance`.

    Raises:
        TypeError: If `guidance_scale` is no number.
        ValueError: If it is negative.
    """

    def __init__(self, model, guidance_scale):
        super().__init__()
        self.model = model
        self.guidance_scale = check_number("guidance_scale", guidance_scale, "[0, inf)")

    def construct(self, x, timestep, *conditions):
        """Returns the prediction."""
        scale = mint.zeros((x.shape[0],), dtype=mstype.float32) + self.guidance_scale
        return self.model(x, timestep, *conditions, scale)


def spread(x, axes):
    """Returns the standard deviation of each sample, kept broadcastable."""
    centred = x - x.mean(axes, keep_dims=True)
    return ops.sqrt((centred * centred).mean(axes, keep_dims=True))
