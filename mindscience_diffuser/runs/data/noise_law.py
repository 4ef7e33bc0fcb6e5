"""The law of noise of a run: one for the start of trajectories, their steps and the training."""

from contextlib import contextmanager

from mindscience_diffuser.noise import draw_noise, set_noise_function
from mindscience_diffuser.runs.config.components import build


class WhiteNoise:
    """White noise from what :func:`~mindscience_diffuser.noise.draw_noise` takes as a generator."""

    def __init__(self, generator):
        self.generator = generator

    def standard_normal(self, shape):
        """Returns noise of a shape, float32."""
        return draw_noise(shape, self.generator)


@contextmanager
def noise_law(component):
    """Lets all noise be drawn by the law that a component names, an object with ``draw(shape, generator)``.

    Args:
        component (Component or None): The component; None for white noise. Its `draw` returns an array of that shape,
            whose first axis counts samples, from what ``generator.standard_normal(shape)`` gives, white noise in which
            each sample keeps a stream of its own.
    """
    if component is None:
        yield
        return
    law = build("noise", component)

    def draw(shape, generator):
        # Inside the law, noise is white again.
        with set_noise_function(white):
            return law.draw(shape, WhiteNoise(generator))

    white = set_noise_function(draw)
    try:
        yield
    finally:
        set_noise_function(white)
