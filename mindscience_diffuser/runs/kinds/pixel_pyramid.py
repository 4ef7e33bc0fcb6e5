"""Pyramid Flow draws images, runs draw tokens: a PyramidSampler of digits whose tokens are single pixels."""

from mindspore import nn

from mindscience_diffuser.examples.digits.data import SIDE
from mindscience_diffuser.noise import multi_scale_noise
from mindscience_diffuser.sampling import PyramidSampler


class PixelPyramidSampler(nn.Cell):
    """A :class:`PyramidSampler` that takes noise and gives samples as tokens (B, 64, 1), one for each pixel.

    The trajectory starts from the noise at the coarsest resolution, which is that of Pyramid-Flow's own inference.

    Args:
        model (nn.Cell): See :class:`PyramidSampler`.
        scheduler (PyramidFlowMatchEulerDiscreteScheduler): Its stages are run.
        num_inference_steps (int or Sequence[int]): Steps of every stage, or of each.
        method (str): See :class:`PyramidSampler`.
    """

    stochastic = False
    """Whether every step takes fresh noise."""

    def __init__(self, model, scheduler, num_inference_steps, method):
        super().__init__()
        self.pyramid = PyramidSampler(model, scheduler, num_inference_steps, method)
        self.stages = scheduler.num_stages

    @property
    def plan(self):
        """The plan of all stages."""
        return self.pyramid.plan

    @property
    def input_names(self):
        """Names of the inputs of the graph form, without the conditions."""
        return self.pyramid.input_names

    def construct(self, noise, *inputs):
        """Runs all stages as part of a graph; `inputs` are block noise for each later stage, then the conditions."""
        return self.to_tokens(self.pyramid(self.start(noise), *inputs))

    def __call__(self, noise, *conditions, **options):
        """Draws samples, see :class:`PyramidSampler`."""
        return self.to_tokens(self.pyramid(self.start(noise), *conditions, **options))

    def start(self, noise):
        """Returns the noise (B, 64, 1) at the coarsest resolution."""
        return multi_scale_noise(noise.reshape((-1, 1, SIDE, SIDE)), self.stages)[0]

    def to_tokens(self, images):
        """Returns images (B, 1, 8, 8) as tokens (B, 64, 1)."""
        return images.reshape((-1, SIDE * SIDE, 1))


def sides_of_stages(scheduler):
    """Returns the height and width of digits at the resolution of every stage, the coarsest first."""
    return [SIDE // 2**k for k in reversed(range(scheduler.num_stages))]


def block_noise_shapes(scheduler, batch):
    """Returns the shapes of the block noise of digits for each stage but the first."""
    return [(batch, 1, side, side) for side in sides_of_stages(scheduler)[1:]]
