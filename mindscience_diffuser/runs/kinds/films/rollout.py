"""A world model rolled out on its own frames, and how it drifts from the simulation."""

import time

import mindspore as ms
import numpy as np
from mindspore import Tensor
from tqdm import tqdm

from mindscience_diffuser.files import write_atomically
from mindscience_diffuser.models import ResidualDenoiser
from mindscience_diffuser.noise import EDMPreconditioning, NoiseSource
from mindscience_diffuser.runs.data.frame_batches import context_of, with_channels
from mindscience_diffuser.runs.errors import ConfigError
from mindscience_diffuser.runs.evaluation.intervals import mean_and_interval
from mindscience_diffuser.runs.kinds.models import TRIED, predicting
from mindscience_diffuser.runs.pictures.film import save_courses, save_film
from mindscience_diffuser.sampling import DiffusionSampler, DiffusionSamplerConfig

TOLD_AT = (1, 5, 10, 20, 50, 100)
"""Frames whose figures are told."""

FIRST = 20
"""Frames over which the mean is told too."""

PERSISTENCE = "persistence"


def sampler_configs(section):
    """Returns the DiffusionSamplerConfig of each initial noise; ConfigError if the section contradicts itself."""
    shared = section.model_dump(exclude={"films", "frames", "initial_noise", "compute_dtype"})
    try:
        return {name: DiffusionSamplerConfig(**shared, initial_noise=name) for name in section.initial_noise}
    except (TypeError, ValueError) as error:
        raise ConfigError(f"the sampler refuses what is set under 'rollout': {error}", "rollout") from error


def preconditioning_of(config):
    """Returns the EDMPreconditioning, and whether it is that of the change from the last frame; raises ConfigError."""
    section = config.preconditioning
    if section.residual and section.quantize:
        raise ConfigError(
            "'preconditioning.quantize' rounds frames to pixels, but with 'preconditioning.residual' their change is "
            "denoised: set one of them to false",
            "preconditioning.quantize",
        )
    return EDMPreconditioning(**section.model_dump(exclude={"residual"})), section.residual


def called(config, data, model, compute_dtype="float32"):
    """Returns the network as trainer and sampler call it, tried on training films; ConfigError if it does not fit."""
    frames, actions = with_channels(data, data.train)
    context = context_of(model, data)
    seen = np.repeat(frames[:1, :context], TRIED, axis=0)
    conditions = [seen.reshape((TRIED, -1, *frames.shape[3:])).astype(np.float32)]
    if actions is not None:
        conditions.append(np.repeat(actions[:1, :context], TRIED, axis=0))
    return predicting(config, model, seen[:, -1].astype(compute_dtype), np.zeros(TRIED, np.float32), conditions)


def denoiser_of(config, data, model, compute_dtype):
    """Returns what a sampler of frames calls, and the scalings that it puts around it, None where there are none."""
    network = called(config, data, model, compute_dtype)
    preconditioning, residual = preconditioning_of(config)
    return (ResidualDenoiser(network, preconditioning), None) if residual else (network, preconditioning)


def show_rollouts(config, directory, data, model):
    """Rolls a trained model out for each initial noise; writes pictures and frames, and returns the figures.

    Every film begins with true frames and follows the actions of the simulation; from then on the model sees its own
    frames. Beside it stands persistence: the last true frame, held.

    Written are ``rollout.gif`` (one film beside the simulation), ``drift.png`` (the measures of the data over time,
    with 95 % confidence intervals over the films) and ``frames.npz``.

    Args:
        config (WorldModelRun): Its rollout section says what is drawn.
        directory (Path): Where the files go.
        data: The films, see :mod:`mindscience_diffuser.runs.kinds.films.world_model`.
        model (nn.Cell): The trained network, in the dtype of the section.

    Returns:
        dict of figures, ready for JSON: mean over the films and half width of its confidence interval.
    """
    section, context = config.rollout, model.context
    films, actions = data.test(section.films, context + section.frames)
    truth = films[:, context:]
    denoiser, preconditioning = denoiser_of(config, data, model, section.compute_dtype)
    drawn, seconds = {}, {}
    for name, sampler_config in sampler_configs(section).items():
        sampler = DiffusionSampler(denoiser, sampler_config, preconditioning, getattr(ms, section.compute_dtype))
        drawn[name], seconds[name] = roll_out(sampler, films[:, :context], actions, config.seed, name)
    drawn[PERSISTENCE] = np.broadcast_to(films[:, context - 1 : context], truth.shape)
    write_atomically(
        directory / "frames.npz",
        lambda temporary: np.savez_compressed(temporary, simulation=truth, actions=actions, **drawn),
    )
    save_film(
        directory / "rollout.gif", {"simulation": truth[0], **{name: drawn[name][0] for name in section.initial_noise}}
    )
    measured = {
        title: {name: measure(frames, truth) for name, frames in drawn.items()}
        for title, measure in data.measures.items()
    }
    save_courses(
        directory / "drift.png",
        {
            title: {name: mean_and_interval(values) for name, values in by_name.items()}
            for title, by_name in measured.items()
        },
    )
    return {
        "films": section.films,
        "frames": section.frames,
        "seconds_a_frame": seconds,
        "measures": {
            title: {name: told(values) for name, values in by_name.items()} for title, by_name in measured.items()
        },
        "difference_from_the_first_noise": {
            title: {
                name: told(values - by_name[section.initial_noise[0]])
                for name, values in by_name.items()
                if name != section.initial_noise[0]
            }
            for title, by_name in measured.items()
        },
    }


def roll_out(sampler, beginning, actions, seed, name):
    """Lets the model see its own frames.

    Args:
        sampler (DiffusionSampler): Draws the next frames of all films at once.
        beginning (numpy.ndarray): True frames ``(N, context, side, side)``.
        actions (numpy.ndarray): The action at each frame, ``(N, context + T)``.
        seed (int): Seed of the noise; film k has a stream of its own.
        name (str): What the progress bar says.

    Returns:
        tuple of the frames ``(N, T, side, side)``, float32, and the median of the seconds that a frame took.
    """
    source = NoiseSource(seed, len(beginning))
    context = beginning.shape[1]
    frames, seconds = list(beginning.swapaxes(0, 1)), []
    for i in tqdm(range(actions.shape[1] - context), desc=f"rolling out, {name}", unit="frame"):
        observed = np.stack(frames[-context:], axis=1)[:, :, None]
        acted = np.ascontiguousarray(actions[:, i : i + context])
        started = time.perf_counter()
        frame = sampler(Tensor(observed), Tensor(acted), generator=source).asnumpy()
        seconds.append(time.perf_counter() - started)
        frames.append(frame[:, 0].astype(np.float32))
    return np.stack(frames[context:], axis=1), float(np.median(seconds))


def told(values):
    """Returns mean and half width of the confidence interval of a measure (N, T) at some frames, ready for JSON."""
    frames = values.shape[1]
    chosen = {f"frame {n}": values[:, n - 1] for n in TOLD_AT if n <= frames}
    chosen[f"mean of frames 1 to {min(FIRST, frames)}"] = values[:, :FIRST].mean(axis=1)
    chosen["mean of all frames"] = values.mean(axis=1)
    return {name: [round(float(figure), 4) for figure in mean_and_interval(part)] for name, part in chosen.items()}
