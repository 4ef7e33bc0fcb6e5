"""Sequential data assimilation: an ensemble that a diffusion model forecasts and that measurements correct."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from mindspore import Tensor
from tqdm import tqdm

from mindscience_diffuser.guidance import PosteriorGuidance
from mindscience_diffuser.inputs import type_name
from mindscience_diffuser.noise import continuing
from mindscience_diffuser.sampling.ensemble_update import Localization, adapted_inflation, square_root_update
from mindscience_diffuser.sampling.sampler import Sampler
from mindscience_diffuser.sampling.twisted import TwistedSampler
from mindscience_diffuser.validation import check_bool, check_choice, check_function, check_number

INITIAL_NOISE = ("sigma_scaled", "observation")


class Assimilated(NamedTuple):
    """An ensemble over time, float32, ``(T, M, ...)``."""

    forecast: np.ndarray
    """Before the measurements of each time are known."""
    analysis: np.ndarray
    """Given all measurements up to each time; the forecast where a time has none."""


def assimilate(
    forecast,
    analysis,
    history,
    observations,
    conditions=None,
    localization=None,
    inflation=1.0,
    initial_noise="sigma_scaled",
    generator=None,
    progress=True,
):
    """Filters measurements over time with M members, each of which a diffusion model carries on.

    The model draws from p(x_t | h), h being the frames before time t. At a time without measurements each member is
    forecast from its own past. At a time with measurements y = A(x_t) + noise the filter draws from

        p(h, x_t | y) = p(h | y) p(x_t | h, y)

    in two steps: the past of each member is updated by what its forecast predicts for y, and the frame is then drawn
    by posterior guidance under the updated past. That is the ensemble Kalman filter with one-step-ahead smoothing
    (Raboudi, Ait-El-Fquih and Hoteit, 2018, Monthly Weather Review 146); the first step is the serial square-root
    filter of Whitaker and Hamill, 2002. For linear Gaussian models the members have mean and
    covariance of the Kalman filter as their number grows. Posterior guidance alone does not: it draws from
    p(x_t | h, y) under a past that knows nothing of y, which needs the weights p(y | h) to be made good for.

    Args:
        forecast (Sampler): Draws x_t under the conditions.
        analysis (Sampler): The same with a :class:`~mindscience_diffuser.guidance.PosteriorGuidance` in front, whose
            `measure` and `noise_std` are those of the measurements.
        history (numpy.ndarray or Tensor): The members' frames before the first time, the last one last,
            ``(M, H, ...)``, M >= 2; as many frames H as the model is conditioned on.
        observations (Sequence): For each time t = 0, 1, ... the measurements, in the shape of one value of `measure`
            without the batch, NaN where one is missing, or None where there is none.
        conditions (callable, optional): ``conditions(history, t)`` returns the tuple of Tensors, ``(M, ...)`` each,
            that the model is conditioned on, from the members' frames, a float32 Tensor ``(M, H, ...)``.
            Default: ``None``: that Tensor alone.
        localization (Localization, optional): Tapers the covariances with distance, which ensembles of less than some
            hundred members need. Default: ``None``: they are used as they are.
        inflation (float or str): Factor of the members' deviations from their mean before a time with measurements, at
            least 1; makes up for the errors of the model and of a small ensemble, which lack in its spread.
            ``"adaptive"`` begins with 1 and follows the innovations, see
            :func:`~mindscience_diffuser.sampling.ensemble_update.adapted_inflation`. Default: ``1``.
        initial_noise (str): What a trajectory begins with, z being standard normal and s the scheduler's
            init_noise_sigma: ``"sigma_scaled"``, s * z; ``"observation"``, s * z + the last frame of the past, for
            schedulers whose samples keep their scale under noise, as those of EDM. Default: ``"sigma_scaled"``.
        generator (optional): Source of all noise: a seed, a :class:`~mindscience_diffuser.NoiseSource` or what
            :func:`~mindscience_diffuser.noise.draw_noise` takes. With a seed the noise of member k does not depend on
            the number of members. Default: ``None``: from NumPy's global stream.
        progress (bool): Whether to show a progress bar. Default: ``True``.

    Returns:
        :class:`Assimilated`.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a shape or a value does not fit.
        FloatingPointError: If a member is no longer finite.
    """
    guidance = _checked_samplers(forecast, analysis)
    history = _checked_history(history)
    members, frame = len(history), history.shape[2:]
    measured = tuple(guidance.measure(Tensor(np.zeros((1, *frame), np.float32))).shape[1:])
    if isinstance(observations, str) or not isinstance(observations, (Sequence, np.ndarray)):
        raise TypeError(f"'observations' must be a list with an entry for each time, but is {type_name(observations)}.")
    observations = [_checked_observation(t, y, measured, guidance) for t, y in enumerate(observations)]
    if not observations:
        raise ValueError("'observations' is empty: give one entry for each time, None where there is no measurement.")
    noise_std = _checked_noise(guidance.noise_std.asnumpy(), measured)
    if localization is not None:
        if not isinstance(localization, Localization):
            raise TypeError(f"'localization' must be a Localization or None, but is {type_name(localization)}.")
        localization.check(frame, measured)
    adaptive = inflation == "adaptive"
    factor = 1.0 if adaptive else check_number("inflation", inflation, "[1, inf)")
    check_choice("initial_noise", initial_noise, INITIAL_NOISE)
    if conditions is not None:
        check_function("conditions", conditions, "conditions(history, t)")
    check_bool("progress", progress)
    generator = continuing(generator, members, stream=0)

    def drawn(sampler, history, t, *y):
        past = Tensor(history)
        given = (past,) if conditions is None else conditions(past, t)
        if not isinstance(given, (tuple, list)):
            raise TypeError(
                f"'conditions' must return a tuple of Tensors, but returned {type_name(given)} at time {t}."
            )
        start = sampler.initial_noise((members, *frame), generator)
        if initial_noise == "observation":
            start = start + past[:, -1]
        frames = sampler(start, *y, *given, generator=generator).asnumpy().astype(np.float32)
        lost = np.flatnonzero(~np.isfinite(frames).reshape(members, -1).all(1))
        if lost.size:
            raise FloatingPointError(
                f"Member {lost[0]} is not finite at time {t}: the model or its steps diverged. Use more steps, or a "
                "model that stays bounded on its own frames."
            )
        return frames

    forecasts, analyses = [], []
    for t, y in enumerate(tqdm(observations, desc="assimilating", unit="frame", disable=not progress)):
        if y is None:
            forecasts.append(drawn(forecast, history, t))
            analyses.append(forecasts[-1])
        else:
            mean, observed = history.mean(0), ~np.isnan(y)
            history = mean + np.float32(factor) * (history - mean)
            forecasts.append(drawn(forecast, history, t))
            predicted = guidance.measure(Tensor(forecasts[-1])).asnumpy()[:, observed]
            if adaptive:
                factor = adapted_inflation(factor, predicted, y[observed], noise_std[observed])
            tapers = None
            if localization is not None:
                of_frame, of_measured = localization.tapers(frame, measured, observed)
                tapers = of_frame[:, None], of_measured  # The same for each frame of the past.
            updated = square_root_update(history, predicted, y[observed], noise_std[observed], tapers)
            history = updated.astype(np.float32)
            analyses.append(drawn(analysis, history, t, Tensor(np.repeat(y[None], members, axis=0))))
        history = np.concatenate([history[:, 1:], analyses[-1][:, None]], axis=1)
    return Assimilated(np.stack(forecasts), np.stack(analyses))


def _checked_samplers(forecast, analysis):
    """Returns the posterior guidance of the analysis."""
    for name, sampler in (("forecast", forecast), ("analysis", analysis)):
        if not isinstance(sampler, Sampler) or isinstance(sampler, TwistedSampler):
            raise TypeError(f"'{name}' must be a Sampler, but is {type_name(sampler)}.")
        for option in ("return_intermediates", "inpaint", "noise_in_graph"):
            if getattr(sampler, option):
                raise ValueError(
                    f"'{name}' is a Sampler with {option}=True, but members are carried on by final samples alone, "
                    "under noise from the host: build it without."
                )
        if sampler.scheduler.inverts:
            raise ValueError(
                f"'{name}' is a Sampler of {type(sampler.scheduler).__name__}, whose steps lead from data to noise: "
                "give the scheduler that samples are drawn with."
            )
    if isinstance(forecast.advance.model, PosteriorGuidance):
        raise TypeError(
            "'forecast' is a Sampler of a PosteriorGuidance, but nothing is measured before a forecast: give a Sampler "
            "of the model that it holds."
        )
    guidance = analysis.advance.model
    if not isinstance(guidance, PosteriorGuidance):
        raise TypeError(
            f"'analysis' must be a Sampler of a PosteriorGuidance, but its model is {type_name(guidance)}: build "
            "Sampler(PosteriorGuidance(model, scheduler, measure, noise_std), scheduler)."
        )
    return guidance


def _checked_history(history):
    values = history.asnumpy() if isinstance(history, Tensor) else history
    if not isinstance(values, np.ndarray) or values.dtype.kind != "f":
        raise TypeError(f"'history' must be an array or Tensor of floating-point numbers, but is {type_name(history)}.")
    if values.ndim < 3 or len(values) < 2 or values.shape[1] < 1:
        raise ValueError(
            f"'history' has shape {values.shape}, but must be (M, H, ...): M >= 2 members with H >= 1 frames of one or "
            "more values."
        )
    if not np.isfinite(values).all():
        raise ValueError("'history' has values that are not finite: the members must begin with whole frames.")
    return values.astype(np.float32)


def _checked_observation(t, y, measured, guidance):
    """Returns the measurements of a time, NaN where there is none, or None where all of them are missing."""
    if y is None:
        return None
    values = y.asnumpy() if isinstance(y, Tensor) else y
    if not isinstance(values, np.ndarray) or values.dtype.kind != "f":
        raise TypeError(
            f"'observations[{t}]' must be None or an array or Tensor of floating-point numbers, but is {type_name(y)}."
        )
    if values.shape != measured:
        raise ValueError(f"'observations[{t}]' has shape {values.shape}, but 'measure' gives {measured} for one frame.")
    if np.isinf(values).any():
        raise ValueError(f"'observations[{t}]' has infinite values: a missing value is NaN.")
    observed = guidance.observed(Tensor(values[None].astype(np.float32))).asnumpy()[0]
    return np.where(observed, values, np.nan).astype(np.float32) if observed.any() else None


def _checked_noise(noise_std, measured):
    """Returns the standard deviation of each measurement."""
    if noise_std.ndim == len(measured) + 1:
        if len(noise_std) > 1:
            raise ValueError(
                f"'noise_std' of the analysis has shape {noise_std.shape}, one value for each sample, but all members "
                "see the same measurements: give what broadcasts to one of them."
            )
        noise_std = noise_std[0]
    return np.broadcast_to(noise_std, measured)
