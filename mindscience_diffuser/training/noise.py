"""The noise of training by a law of noise."""

from mindscience_diffuser.inputs import check_noise_law


class TrainedUnderNoise:
    """What trainers share: the law of the noise that they are given, and how to draw by it."""

    def _take_noise_law(self, noise_law, preconditioning=None):
        self.noise_law = check_noise_law(noise_law, preconditioning)

    def draw_noise(self, shape, generator=None):
        """Draws the noise of a training batch.

        Args:
            shape (Sequence[int]): Shape of the batch, ``(B, ...)``.
            generator (optional): Source of the noise, see :func:`~mindscience_diffuser.noise.draw_noise`.

        Returns:
            numpy.ndarray, float32, for `get_loss`.
        """
        return self.noise_law.draw(shape, generator)
