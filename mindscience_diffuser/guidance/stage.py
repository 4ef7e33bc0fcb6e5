"""What stands between a model and its step: a stage sees the prediction, knows its noise level, and may correct it."""

from mindspore import dtype as mstype
from mindspore import nn, ops

from mindscience_diffuser.cells import PublicCell
from mindscience_diffuser.step import shaped

SCALES = (0, 1, 4)
"""Which values of a level are scales: of what the model is given, of its output, and of the sample."""


def level_for(values, x):
    """Returns the values of a level, float32, 0-D or shaped to multiply `x` where channels have scales of their own."""
    level = ()
    for i in range(len(values)):
        value = ops.cast(values[i], mstype.float32)
        # Channels may differ in their scales, not in their noise.
        level += (shaped(value, x) if i in SCALES else value.reshape(-1)[0],)
    return level


class Stage(PublicCell):
    """Base of the cells between a model and a step that need the noise level of the step.

    A stage is called as the model is, ``stage(x, timestep, *inputs)``. A :class:`~mindscience_diffuser.Sampler` calls
    :meth:`at_level` in its place and says at which level the sample is. Stages can hold one another.

    Args:
        model (nn.Cell): The model or another stage, called as ``model(x, timestep, *conditions)``.

    Raises:
        TypeError: If `model` is no Cell.
    """

    def __init__(self, model):
        super().__init__()
        if not isinstance(model, nn.Cell):
            raise TypeError(f"'model' must be an nn.Cell, but is {type(model).__name__}.")
        self.model = model
        self.chained = isinstance(model, Stage) and model.needs_level

    @property
    def needs_level(self):
        """Whether the stage, or one that it holds, must be told the noise level."""
        return True

    def at_level(self, level, x, timestep, *inputs):
        """Returns the output that the step uses.

        Args:
            level (tuple): The columns of :meth:`~mindscience_diffuser.StepPlan.level_columns`, eight 0-D Tensors; where
                channels have scales of their own, the scales are ``(1, C, 1, ...)``.
            x (Tensor): What the model is given, ``(B, ...)``.
            timestep (Tensor): What the model is told, ``(B,)``.
            inputs (Tensor or tuple): Inputs of the stage, then conditions of the model.
        """
        raise NotImplementedError("A stage says in 'at_level' what it does.")

    def output_of_model(self, level, x, timestep, *conditions):
        """Returns the output of the model, or of the stage that stands before this one."""
        if self.chained:
            return self.model.at_level(level, x, timestep, *conditions)
        return self.model(x, timestep, *conditions)

    def check_inputs(self, noise, inputs):
        """Raises an error, on the host, if the inputs of a call do not fit samples like `noise`."""
        if isinstance(self.model, Stage):
            self.model.check_inputs(noise, inputs)

    def check_steps(self, plan, scheduler):
        """Raises ValueError, on the host, if the stage has no place in the steps of a plan of a scheduler."""
        if isinstance(self.model, Stage):
            self.model.check_steps(plan, scheduler)
