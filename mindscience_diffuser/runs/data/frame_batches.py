"""Training batches of a world model as a function of the seed and the number of the step."""

import numpy as np

from mindscience_diffuser.noise import draw_noise, log_normal_sigmas


class FrameBatches:
    """Training batches: a frame to denoise, and the frames and, where there are some, the actions before it.

    Args:
        data: The films, see :mod:`mindscience_diffuser.runs.kinds.films.world_model`.
        context (int): Number of frames before the one to denoise.
        preconditioning (EDMPreconditioning): Says how noise is drawn.
        training (WorldModelTraining): Batch size, distribution of the noise levels, and noise of the observations: a
            model that only knew true frames would trust its own ones too much when it is rolled out (Sanchez-Gonzalez
            et al., 2020, arXiv:2002.09405).
        residual (bool): Whether the change from the last frame, as it is observed, takes the place of the frame.
        seed (int): Seed of the run.
    """

    def __init__(self, data, context, preconditioning, training, residual, seed):
        self.films = with_channels(data, data.train)
        self.context = context
        self.preconditioning = preconditioning
        self.training = training
        self.residual = residual
        self.seed = seed

    def __len__(self):
        """The number of training frames with enough frames before them."""
        films, frames = self.films[0].shape[:2]
        return films * (frames - self.context)

    def batch(self, step):
        """Returns (frames, noise, sigmas, observations, *conditions) of the training step with this number.

        Frames and noise are ``(B, C, ...)``, observations have the frames as channels, ``(B, T * C, ...)``.
        """
        frames, actions = self.films
        size, training = self.training.batch_size, self.training
        generator = np.random.default_rng((self.seed, step, 1))
        film = generator.integers(0, len(frames), size)
        first = generator.integers(0, frames.shape[1] - self.context, size)
        window = film[:, None], first[:, None] + np.arange(self.context)
        clean = frames[film, first + self.context]
        sigmas = log_normal_sigmas(
            generator, size, training.sigma_loc, training.sigma_scale, training.sigma_min, training.sigma_max
        )
        noise = self.preconditioning.training_noise(sigmas, clean.shape, generator)
        observed = frames[window]
        if training.observation_noise:
            observed = observed + training.observation_noise * draw_noise(observed.shape, generator)
        if self.residual:
            clean = (clean - observed[:, -1]).astype(np.float32)
        observed = observed.reshape((size, -1, *frames.shape[3:])).astype(np.float32)
        conditions = () if actions is None else (actions[window],)
        return clean, noise, sigmas.astype(np.float32), observed, *conditions


def with_channels(data, films):
    """Returns frames ``(N, T, C, *grid)``, those without an axis of channels too, and actions ``(N, T)`` or None."""
    frames, actions = films
    return (frames[:, :, None] if frames.ndim == 2 + getattr(data, "axes", 2) else frames), actions


def context_of(model, data):
    """Returns how many past frames a network sees: it, or its data, have the number."""
    return data.context if hasattr(data, "context") else model.context
