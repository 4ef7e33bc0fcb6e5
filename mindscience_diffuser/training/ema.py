"""Exponential moving average of a model's weights."""

from collections.abc import Iterable

from mindspore import Parameter, ParameterTuple, Tensor, ops
from mindspore import dtype as mstype

from mindscience_diffuser.cells import PublicCell, checked_values
from mindscience_diffuser.inputs import type_name
from mindscience_diffuser.step import replace_value
from mindscience_diffuser.validation import check_number


class ExponentialMovingAverage(PublicCell):
    """Average of weights over the training steps; sampling from it is steadier than from the last step.

    average <- d * average + (1 - d) * weight,  d = min(decay, (1 + n) / (10 + n)) after n updates.

    The ramp keeps the random weights of the first steps from staying in the average. It is kept in float32 whatever the
    weights are: in half precision a change of 1 - d of a weight is lost in rounding.

    Args:
        parameters (Sequence[Parameter]): Weights to follow, usually ``model.trainable_params()``.
        decay (float): Decay once the ramp is over, in [0, 1). Default: ``0.999``.
        average (Sequence[Parameter], optional): Where the average is kept, such as the parameters of a second model
            of the same kind; they are set to the present weights. Where they are not float32, the average beside them
            is, and they get its rounded value after each update. Default: ``None``, Parameters of its own.

    Inputs:
        None. A call, eager or inside a compiled training step, takes in the present weights.

    Raises:
        TypeError: If `parameters` or `average` are no Parameters or `decay` is no number.
        ValueError: If there are no parameters, `decay` is outside [0, 1), or `average` is not of the same shapes.
    """

    def __init__(self, parameters, decay=0.999, average=None):
        super().__init__(auto_prefix=False)
        parameters = _checked_parameters("parameters", parameters)
        if not parameters:
            raise ValueError("'parameters' must not be empty: there is nothing to average.")
        self.decay = check_number("decay", decay, "[0, 1)")
        self.source = ParameterTuple(parameters)
        self.names = [parameter.name for parameter in parameters]
        given = [None] * len(parameters)
        if average is not None:
            given = _checked_parameters("average", average)
            _take_over(given, parameters)
        kept = [_kept(*pair) for pair in zip(parameters, given)]
        self.average = ParameterTuple(kept)
        apart = [pair for pair in zip(kept, given) if pair[1] is not None and pair[0] is not pair[1]]
        self.rounds = bool(apart)
        if self.rounds:
            self.exact, self.rounded = map(ParameterTuple, zip(*apart))
        self.updates = Parameter(Tensor(0, mstype.float32), name="ema_updates", requires_grad=False)

    def checked_parameter(self, name, value):
        """Returns the value that a Parameter is set to."""
        return checked_values(name, value, (), low=0)

    def construct(self):
        """Takes the present weights into the average; returns how many updates there were before."""
        count = self.updates + 0
        pull = 1 - ops.minimum((1 + count) / (10 + count), self.decay)
        for average, weight in zip(self.average, self.source):
            ops.assign_add(average, (ops.cast(weight, mstype.float32) - average) * pull)
        if self.rounds:
            for rounded, exact in zip(self.rounded, self.exact):
                ops.assign(rounded, ops.cast(exact, rounded.dtype))
        ops.assign_add(self.updates, 1)
        return count

    def state(self):
        """Returns the averaged weights, float32 ndarrays, by the names of the weights that they follow."""
        return {name: average.asnumpy() for name, average in zip(self.names, self.average)}


def _kept(parameter, given):
    """Returns the float32 Parameter in which an average is kept: the given one where there is one of that dtype."""
    if given is not None and given.dtype == mstype.float32:
        return given
    return Parameter(
        Tensor(parameter.astype(mstype.float32).asnumpy()), name="ema." + parameter.name, requires_grad=False
    )


def _checked_parameters(name, parameters):
    """Returns Parameters as a list."""
    given = list(parameters) if isinstance(parameters, Iterable) else [parameters]
    others = [value for value in given if not isinstance(value, Parameter)]
    if others:
        raise TypeError(
            f"'{name}' must be Parameters, for example model.trainable_params(), but holds {type_name(others[0])}."
        )
    return given


def _take_over(average, parameters):
    shapes, others = ([tuple(parameter.shape) for parameter in group] for group in (parameters, average))
    if shapes != others:
        raise ValueError(f"'average' must have the shapes of 'parameters', {shapes}, but has {others}.")
    for kept, parameter in zip(average, parameters):
        replace_value(kept, parameter.astype(kept.dtype))
