"""Classifier-free guidance as part of the model, so that it compiles into every graph that calls the model."""

from mindspore import dtype as mstype
from mindspore import mint, ops

from mindscience_diffuser.cells import PublicCell, checked_values, setting
from mindscience_diffuser.guidance.posterior import broadcasts
from mindscience_diffuser.guidance.steering import Guidance
from mindscience_diffuser.inputs import check_is_tensor, check_one_tensor
from mindscience_diffuser.step import broadcast_like
from mindscience_diffuser.validation import check_number


class ClassifierFreeGuidance(Guidance):
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
            model is called once, for the conditional prediction (Kynkaanniemi et al., 2024, arXiv:2404.07724). What the
            model is told counts: for EDM that is c_noise, which may be negative. Default: ``None``, always.
        sigma_interval (tuple, optional): The same in units of sigma / alpha, the ratio of noise to signal (EDM's
            sigma); known where a Sampler calls the model. Default: ``None``, always.

    `guidance_scale` and `interval` can be set later, and `sigma_interval` where the constructor was given one; compiled
    graphs follow. An `interval` that is set though the constructor was given no interval acts, but saves no model call.

    Inputs:
        - **x** (Tensor) - noisy samples, ``(B, ...)``.
        - **timestep** (Tensor) - ``(B,)``.
        - **conditions** (Tensor or tuple of Tensors) - each with the batch as its first axis.

    Outputs:
        Tensor of the shape of the model's output for B samples.

    Raises:
        TypeError: If `unconditional` is missing or holds anything but Tensors.
        ValueError: If a number is outside its range, or `unconditional` holds a value that is not finite.
    """

    def __init__(
        self, model, guidance_scale, unconditional=None, guidance_rescale=0.0, interval=None, sigma_interval=None
    ):
        super().__init__(model, guidance_scale, guidance_rescale, interval, sigma_interval)
        if unconditional is None:
            raise TypeError(
                "'unconditional' is missing: guidance needs what the model was trained to take for no condition, "
                "such as a Tensor of zeros with the shape of one condition."
            )
        entries = unconditional if isinstance(unconditional, (tuple, list)) else (unconditional,)
        self.unconditional = tuple(self._parameters(entry, f"unconditional_{i}") for i, entry in enumerate(entries))

    def checked_parameter(self, name, value):
        """Returns the value that a Parameter is set to."""
        if name.startswith("unconditional_"):
            return checked_values(name, value)
        return super().checked_parameter(name, value)

    def check_inputs(self, noise, inputs):
        """Raises ValueError unless there is one unconditional entry of the same structure for each condition."""
        _check_structure("unconditional", self.unconditional, tuple(inputs))
        super().check_inputs(noise, inputs)

    def predictions(self, level, x, timestep, conditions):
        """Returns the conditional and the unconditional prediction, of one model call."""
        if len(conditions) != len(self.unconditional):
            raise ValueError(
                f"'unconditional' has {len(self.unconditional)} entries, but there are {len(conditions)} conditions: "
                "give one for each."
            )
        pairs = ()
        for i in range(len(conditions)):
            pairs += (self.paired(conditions[i], self.unconditional[i]),)
        output = self.output_of_model(level, mint.cat((x, x)), mint.cat((timestep, timestep)), *pairs)
        check_one_tensor("The output of a guided model", output)
        return ops.unstack(ops.reshape(output, (2, -1) + output.shape[1:]))

    def paired(self, condition, unconditional):
        """Returns the conditions of the doubled batch: the given ones, then "no condition"."""
        if isinstance(condition, (tuple, list)):
            if not isinstance(unconditional, (tuple, list)) or len(unconditional) != len(condition):
                raise ValueError("'unconditional' must be a tuple like the condition that it stands for.")
            pairs = ()
            for i in range(len(condition)):
                pairs += (self.paired(condition[i], unconditional[i]),)
            return pairs
        if unconditional.ndim > condition.ndim:
            raise ValueError(
                f"'unconditional' has {unconditional.ndim} axes, which do not broadcast to the {condition.ndim} of the "
                "condition that it stands for."
            )
        return mint.cat((condition, broadcast_like(unconditional, condition)))

    def _parameters(self, entry, name):
        """Makes Parameters of Tensors, so that compiled graphs follow when they are given new values."""
        if isinstance(entry, (tuple, list)):
            return tuple(self._parameters(part, f"{name}_{i}") for i, part in enumerate(entry))
        check_is_tensor("unconditional", entry)
        checked_values("unconditional", entry)
        parameter = setting(entry, name, self.model, entry.dtype)
        self.insert_param_to_cell(name, parameter)
        return parameter


class DistilledGuidance(PublicCell):
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
        self.guidance_scale = setting(self.checked_parameter("guidance_scale", guidance_scale), "guidance_scale", model)

    def checked_parameter(self, name, value):
        """Returns the value that a Parameter is set to."""
        return check_number(name, value, "[0, inf)")

    def construct(self, x, timestep, *conditions):
        """Returns the prediction."""
        scale = mint.zeros((x.shape[0],), dtype=mstype.float32) + self.guidance_scale
        return self.model(x, timestep, *conditions, scale)


def _check_structure(place, unconditional, conditions):
    """Raises ValueError unless both are tuples of the same length whose Tensors broadcast, at every depth."""
    if isinstance(unconditional, tuple) != isinstance(conditions, (tuple, list)):
        kinds = ["a tuple" if isinstance(v, (tuple, list)) else "a Tensor" for v in (unconditional, conditions)]
        raise ValueError(f"'{place}' is {kinds[0]}, but the condition that it stands for is {kinds[1]}.")
    if not isinstance(unconditional, tuple):
        if not broadcasts(unconditional.shape, conditions.shape):
            raise ValueError(
                f"'{place}' has shape {unconditional.shape}, which does not broadcast to that of the condition, "
                f"{conditions.shape}."
            )
        return
    if len(unconditional) != len(conditions):
        raise ValueError(
            f"'{place}' has {len(unconditional)} entries, but there are {len(conditions)} conditions: give one for "
            "each, and a tuple for a condition that is a tuple."
        )
    for i, pair in enumerate(zip(unconditional, conditions)):
        _check_structure(f"{place}[{i}]", *pair)
