"""Two predictions of one sample, a stronger and a weaker one, and what is steered from the one beyond the other."""

import numpy as np
from mindspore import dtype as mstype
from mindspore import ops

from mindscience_diffuser.cells import setting
from mindscience_diffuser.guidance.stage import Stage
from mindscience_diffuser.validation import check_number, check_pair

LEAST_SPREAD = 1e-6
"""Standard deviation, in units of the mean magnitude, up to which a prediction counts as constant."""


class Guidance(Stage):
    """Base of the stages that steer a model away from a weaker prediction.

    A subclass says in :meth:`predictions` which two predictions there are, and may say in :meth:`steered` what is made
    of them. Outside the interval the model is called once, and its own prediction is used.

    Args:
        model (nn.Cell): Called as ``model(x, timestep, *conditions)``, timestep of shape ``(B,)``.
        guidance_scale (float): 0 is the weaker prediction, 1 that of the model, above 1 is guided; at least 0.
        guidance_rescale (float): How far the standard deviation of each sample's output is brought back to that of the
            model's prediction, in [0, 1].
        interval (tuple, optional): (low, high): guidance acts only at timesteps in [low, high].
        sigma_interval (tuple, optional): The same in units of sigma / alpha, the ratio of noise to signal.
    """

    uses_level = False
    """Whether :meth:`steered` needs the noise level, which only a Sampler knows."""

    def __init__(self, model, guidance_scale, guidance_rescale=0.0, interval=None, sigma_interval=None):
        super().__init__(model)
        self.guidance_scale = setting(self.checked_parameter("guidance_scale", guidance_scale), "guidance_scale", model)
        self.guidance_rescale = check_number("guidance_rescale", guidance_rescale, "[0, 1]")
        self.interval = setting(self.checked_parameter("interval", interval), "guidance_interval", model)
        self.by_sigma = sigma_interval is not None
        if self.by_sigma:
            bounds = self.checked_parameter("sigma_interval", sigma_interval)
            self.sigma_interval = setting(bounds, "guidance_sigma_interval", model)
        # Without an interval the graph has no branch; one that is set later then costs both predictions everywhere.
        self.branches = interval is not None or self.by_sigma

    @property
    def needs_level(self):
        """Whether the guidance, or a stage that it holds, must be told the noise level."""
        return self.by_sigma or self.uses_level or self.chained

    def checked_parameter(self, name, value):
        """Returns the value that a Parameter is set to."""
        if name == "guidance_scale":
            return check_number(name, value, "[0, inf)")
        if name not in ("interval", "sigma_interval"):
            return super().checked_parameter(name, value)
        if value is None:
            return (-np.inf, np.inf)
        return check_pair(name, value, "[-inf, inf]")

    def __call__(self, x, timestep, *conditions):
        """Checks the conditions on the host, before anything is compiled, and returns the guided prediction."""
        self.check_inputs(x, conditions)
        return super().__call__(x, timestep, *conditions)

    def construct(self, x, timestep, *conditions):
        """Returns the guided prediction."""
        if self.by_sigma:
            raise ValueError("'sigma_interval' is given, but only a Sampler knows sigma: use 'interval'.")
        if self.uses_level:
            raise ValueError("This guidance needs the noise level, which only a Sampler knows: call it through one.")
        return self.at_level((), x, timestep, *conditions)

    def at_level(self, level, x, timestep, *conditions):
        """Returns the guided prediction at a level, see :class:`~mindscience_diffuser.Stage`."""
        inside = within(ops.cast(timestep, mstype.float32), self.interval)
        if inside.ndim > 1:
            # Told several, of its frames or the ends of a jump, a sample is guided where all of them are inside.
            inside = inside.all(axis=1)
        if self.by_sigma:
            inside = ops.logical_and(inside, within(level[3] / level[2], self.sigma_interval))
        if not self.branches:
            return self.guided(level, x, timestep, inside, conditions)
        if inside.any():
            output = self.guided(level, x, timestep, inside, conditions)
        else:
            output = self.output_of_model(level, x, timestep, *conditions)
        return output

    def guided(self, level, x, timestep, inside, conditions):
        """Returns the guided prediction of the samples inside the interval, that of the model for the others."""
        strong, weak = self.predictions(level, x, timestep, conditions)
        output = self.steered(level, x, strong, weak, ops.cast(self.guidance_scale, strong.dtype))
        if self.guidance_rescale > 0:
            rescaled = self.guidance_rescale * spread_ratio(strong, output) + (1 - self.guidance_rescale)
            output = output * ops.cast(rescaled, output.dtype)
        return ops.where(inside.reshape((-1,) + (1,) * (strong.ndim - 1)), output, strong)

    def predictions(self, level, x, timestep, conditions):
        """Returns the prediction of the model and the weaker one."""
        raise NotImplementedError("A guidance says in 'predictions' what it steers away from.")

    def steered(self, level, x, strong, weak, scale):
        """Returns what is made of the two predictions."""
        return weak + scale * (strong - weak)


def within(values, bounds):
    """Returns whether values lie in the closed interval of two bounds."""
    low, high = ops.unstack(bounds)
    return ops.logical_and(values >= low, values <= high)


def spread_ratio(x, y):
    """Returns, in float32, the standard deviation of each sample of x over that of y; 1 where y is constant."""
    axes = tuple(range(1, x.ndim))
    mean = ops.ReduceMean(keep_dims=True)
    x, y = ops.cast(x, mstype.float32), ops.cast(y, mstype.float32)
    # A constant leaves what rounding leaves: a millionth of the values.
    least = (LEAST_SPREAD * mean(ops.abs(y), axes)) ** 2
    x, y = x - mean(x, axes), y - mean(y, axes)
    of_x, of_y = mean(x * x, axes), mean(y * y, axes)
    varies = of_y > least
    # The small number keeps the gradient of the root finite where x is constant.
    ratio = ops.sqrt(of_x / ops.where(varies, of_y, ops.ones_like(of_y)) + 1e-20)
    return ops.where(varies, ratio, ops.ones_like(ratio))


def inner_product(x, y):
    """Returns the inner product of each pair of samples in float32, kept broadcastable."""
    x, y = ops.cast(x, mstype.float32), ops.cast(y, mstype.float32)
    return ops.ReduceSum(keep_dims=True)(x * y, tuple(range(1, x.ndim)))
