"""Forecasts frame by frame: each model sees its own last frames, of one film at a time."""

import numpy as np
from mindspore import Tensor

from mindscience_diffuser.noise import draw_noise


def ensemble(sampler, film, frames, members, initial_noise, perturbation, source):
    """Draws the frames of all members, one time after the other.

    Each member sees its past frames with a perturbation e that lasts: for the frame at the time t

        e_t = memory * e_{t-1} + sqrt(1 - memory^2) * std * z,    z standard normal,

    of standard deviation `std` at every time, as stochastic perturbations of weather models have a memory (Palmer et
    al., 2009, ECMWF technical memorandum 598). The perturbations of all members add up to zero, as those of ensembles
    around an analysis do, so that the mean of the ensemble sees the past frames as they are.

    Args:
        sampler (Sampler): Draws the next frame from its initial noise, under past frames and actions.
        film (tuple): Past frames ``(T, C, *grid)``, and the action at each frame of the film, past ones included, or
            None.
        frames (int): Number of frames to draw.
        members (int): Number of members M.
        initial_noise (str): ``"sigma_scaled"`` or ``"observation"``, see
            :class:`~mindscience_diffuser.DiffusionSamplerConfig`.
        perturbation (Perturbation): Its `std` and `memory`.
        source (NoiseSource): Noise of the members.

    Yields:
        numpy.ndarray, the frame of all members, ``(M, C, *grid)``, float32.
    """
    past, actions = film
    context, shape = len(past), (members, *past.shape[1:])
    seen = [np.broadcast_to(frame, shape).astype(np.float32) for frame in past]
    errors = Lasting(perturbation, shape, source)
    disturbed = [frame + errors.following() for frame in seen]
    for lead in range(frames):
        observed = np.concatenate(disturbed[-context:], axis=1)
        start = draw_noise(shape, source) * np.float32(sampler.scheduler.init_noise_sigma)
        if initial_noise == "observation":
            start = start + disturbed[-1]
        frame = sampler(Tensor(start), Tensor(observed), *given(actions, lead, context, members), generator=source)
        frame = frame.asnumpy().astype(np.float32)
        yield frame
        disturbed = [*disturbed[1:], frame + errors.following()]


class Lasting:
    """Perturbations of the frames of the members of an ensemble, correlated in time, whose mean over members is zero.

    Args:
        perturbation (Perturbation): Its `std` and `memory`.
        shape (tuple): Shape ``(M, ...)``, at least two members.
        source (NoiseSource): Where its noise comes from.
    """

    def __init__(self, perturbation, shape, source):
        self.std, self.memory = np.float32(perturbation.std), np.float32(perturbation.memory)
        self.shape, self.source, self.error = shape, source, None

    def following(self):
        """Returns the perturbation of the next frame, ``(M, ...)``."""
        if not self.std:
            return np.float32(0)
        drawn = draw_noise(self.shape, self.source)
        # Without their mean, M independent members have a variance of (M - 1) / M.
        fresh = self.std * np.float32(np.sqrt(len(drawn) / (len(drawn) - 1))) * (drawn - drawn.mean(axis=0))
        if self.error is None:
            self.error = fresh
        else:
            self.error = self.memory * self.error + np.sqrt(1 - self.memory**2) * fresh
        return self.error


def deterministic(predict, film, frames):
    """Predicts the frames of a film, one time after the other.

    Args:
        predict (Callable): Returns the next frame from past frames and actions, as a
            :class:`~mindscience_diffuser.runs.kinds.films.next_frame.NextFrame` does.
        film (tuple): See :func:`ensemble`.
        frames (int): Number of frames.

    Yields:
        numpy.ndarray, the frame, ``(C, *grid)``, float32.
    """
    past, actions = film
    seen = list(past)
    for lead in range(frames):
        observed = np.concatenate(seen[-len(past) :])[None]
        frame = predict(Tensor(observed), *given(actions, lead, len(past), 1)).asnumpy()[0]
        yield frame
        seen = [*seen[1:], frame]


def given(actions, lead, context, members):
    """Returns the actions at the past frames of all members, a list without any where the film has none."""
    if actions is None:
        return []
    return [Tensor(np.tile(actions[lead : lead + context], (members, 1)))]
