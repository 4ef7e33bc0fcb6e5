"""Pyramid Flow as runs draw it: from noise at the finest resolution, which is brought down to the coarsest."""

from mindspore import nn

from mindscience_diffuser.noise import multi_scale_noise
from mindscience_diffuser.sampling import PyramidSampler


class ImagePyramidSampler(nn.Cell):
    """A :class:`PyramidSampler` that takes noise in the shape of its samples, ``(B, C, H, W)``.

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
        return self.pyramid(multi_scale_noise(noise, self.stages)[0], *inputs)

    def __call__(self, noise, *conditions, **options):
        """Draws samples, see :class:`PyramidSampler`."""
        return self.pyramid(multi_scale_noise(noise, self.stages)[0], *conditions, **options)


def shapes_of_stages(shape, scheduler):
    """Returns the shapes of samples (C, H, W) at the resolution of every stage, the coarsest first."""
    channels, *sides = shape
    return [(channels, *(side // 2**k for side in sides)) for k in reversed(range(scheduler.num_stages))]
