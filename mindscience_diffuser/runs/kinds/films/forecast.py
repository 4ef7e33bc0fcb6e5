"""Runs of the kind ``forecast``: ensembles of films that a denoiser of the next frame draws, scored on unseen films.

The data are films, see :mod:`mindscience_diffuser.runs.kinds.films.world_model`, which may offer more:

``axes``
    Axes of the grid, otherwise 2: frames ``(N, T, C, *grid)`` of one axis and of two without channels look alike.
``context``
    Number of past frames, where the network has no such attribute.
``facts``
    What is noted beside weights, ready for JSON: they hold for data of the same facts alone.
``test_frames``
    Number of frames that are held out, in one sequence; otherwise ``test`` gives films of any length.
``physical(frames)``
    Frames ``(..., C, *grid)`` in physical units; otherwise as they are.
``variables`` and ``units``
    Name and unit of each channel.
``latitudes``
    Latitude of each row in degrees, for ``forecast.area_weights``.
``periodic``
    Whether the grid closes on itself, for spectra; otherwise it does not.
``spectrum(frames)``
    Wave numbers ``(K,)`` and the power of frames ``(..., *grid)`` at them, ``(..., K)``; otherwise that of
    :func:`~mindscience_diffuser.runs.evaluation.spectra.radial_spectrum`.
"""

import functools
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Optional

import mindspore as ms
import numpy as np
from tqdm import tqdm

from mindscience_diffuser.cells import WholeGraph
from mindscience_diffuser.files import write_atomically
from mindscience_diffuser.noise import NoiseSource
from mindscience_diffuser.runs.config.components import build
from mindscience_diffuser.runs.config.load import to_yaml, with_values
from mindscience_diffuser.runs.data.frame_batches import context_of, with_channels
from mindscience_diffuser.runs.distributed.ranks import rank, rank_count
from mindscience_diffuser.runs.errors import ConfigError
from mindscience_diffuser.runs.evaluation.forecasting import Scoring, cell_weights, channel_names
from mindscience_diffuser.runs.kinds.films.next_frame import NextFrame
from mindscience_diffuser.runs.kinds.films.rollout import called, denoiser_of, preconditioning_of
from mindscience_diffuser.runs.kinds.films.unrolling import deterministic, ensemble
from mindscience_diffuser.runs.kinds.films.world_model import build_world_model, load_trained, set_up
from mindscience_diffuser.runs.kinds.objective import Objective
from mindscience_diffuser.runs.pictures.forecast import save_animation, save_report
from mindscience_diffuser.runs.storage.weights import find_weights, own_weights
from mindscience_diffuser.sampling import DiffusionSamplerConfig, Sampler
from mindscience_diffuser.training import EDMTrainer

SIGMA_DATA = "preconditioning.sigma_data"
ENSEMBLE, MEAN, PERSISTENCE, CLIMATOLOGY = "ensemble", "deterministic model", "persistence", "climatology"


class Forecast:
    """The kind of run: the denoiser is that of a world model, and so is its training."""

    def objective(self, config):
        """Returns the :class:`~mindscience_diffuser.runs.kinds.objective.Objective`; raises ConfigError."""
        sampler_config(config.forecast)
        data = build("films", config.data)
        measured = config.preconditioning.sigma_data is None
        config = with_sigma_data(config, data)
        model, network, batches = set_up(config, data)
        preconditioning, residual = preconditioning_of(config)
        # Noted beside the weights is what the configuration itself does not say.
        facts = dict(getattr(data, "facts", {}))
        if measured:
            facts[SIGMA_DATA] = config.preconditioning.sigma_data
        if config.training.objective == "mean":
            regression = NextFrame(network, preconditioning, residual, channels_of(data))
            return Objective(model, regression.loss, batches, lambda config, directory: {}, facts=facts)
        check(config, data, batches.context)
        # What the trained model is shown beside must not fail after the training.
        models_of(config, data, trained=False)

        def present(config, directory):
            config = with_sigma_data(config, data)
            return show_forecast(config, directory, data, models_of(config, data), spread=False)

        return Objective(model, EDMTrainer(network, preconditioning).get_loss, batches, present, facts=facts)


def sample(config):
    """Forecasts the films that `config` asks for and writes the result below ``<output>/sample``.

    Written are the files of :func:`show_forecast`, ``config.yaml`` (the configuration with all defaults) and
    ``metrics.json``, each whole or not at all. All ranks of the launch forecast films of their own; rank 0 writes.

    Returns:
        Path of the directory.

    Raises:
        ConfigError: If the configuration cannot be carried out; nothing is compiled or written then.
    """
    if config.training.objective == "mean":
        raise ConfigError(
            "'training.objective' is 'mean': a deterministic model draws no members. Set it to 'denoiser', and name "
            "the weights of this model at 'forecast.deterministic'",
            "training.objective",
        )
    sampler_config(config.forecast)
    data = build("films", config.data)
    config = with_sigma_data(config, data)
    config = with_values(config, weights=str(find_weights(config.weights, own_weights(config))))
    models = models_of(config, data)
    check(config, data, models.context)
    if config.forecast.films < rank_count():
        raise ConfigError(
            f"'forecast.films' is {config.forecast.films}, but the launch has {rank_count()} processes, each of which "
            "has films of its own: start fewer processes, or forecast more films",
            "forecast.films",
        )
    directory = Path(config.output) / "sample"
    directory.mkdir(parents=True, exist_ok=True)
    figures = show_forecast(config, directory, data, models)
    if rank() == 0:
        write_atomically(directory / "config.yaml", to_yaml(config))
        write_atomically(directory / "metrics.json", json.dumps(figures, indent=2) + "\n")
    return directory


def sampler_config(section):
    """Returns the DiffusionSamplerConfig of the section; ConfigError if it contradicts itself."""
    names = DiffusionSamplerConfig.__dataclass_fields__
    try:
        return DiffusionSamplerConfig(**{n: v for n, v in section.model_dump().items() if n in names})
    except (TypeError, ValueError) as error:
        raise ConfigError(f"the sampler refuses what is set under 'forecast': {error}", "forecast") from error


def with_sigma_data(config, data):
    """Returns the configuration with the standard deviation of what is denoised; ConfigError if it contradicts itself.

    Where it is not given it is that of the training films: one number, or one for each of several channels. The change
    from the last frame is that from the frame as it is observed, with the noise of the observations.
    """
    section, key = config.preconditioning, SIGMA_DATA
    if section.sigma_data is None:
        frames = with_channels(data, data.train)[0]
        values = np.diff(frames, axis=1) if section.residual else frames
        variance = values.var(axis=(0, 1, *range(3, values.ndim)), dtype=np.float64) if values.size else np.zeros(1)
        if section.residual:
            variance = variance + config.training.observation_noise**2
        if not np.all(variance > 0):
            place = int(np.argmin(variance))
            raise ConfigError(
                f"'{key}' is not set, and the training films of {config.data.name} at 'data' do not give it: "
                f"{'the change from frame to frame' if section.residual else 'the standard deviation'} of channel "
                f"{place}, '{channel_names(data, frames.shape[2])[place]}', is 0. Leave out what never changes, give "
                "longer films, or set it",
                key,
            )
        measured = [float(f"{std:.4g}") for std in np.sqrt(variance)]
        section = section.model_copy(update={"sigma_data": measured[0] if len(measured) == 1 else measured})
        config = with_values(config, preconditioning=section)
    elif isinstance(section.sigma_data, list) and len(section.sigma_data) != channels_of(data):
        raise ConfigError(
            f"'{key}' has {len(section.sigma_data)} numbers, but the frames of {config.data.name} at 'data' have "
            f"{channels_of(data)} channels: give one number, or one for each channel",
            key,
        )
    preconditioning_of(config)
    return config


def check(config, data, context):
    """Raises ConfigError if the data lack what the section ``forecast`` asks for."""
    section = config.forecast
    known = getattr(data, "test_frames", None)
    if known is not None and known - context - section.frames + 1 < section.films:
        most = max(known - context - section.frames + 1, 0)
        raise ConfigError(
            f"'forecast.films' is {section.films} and 'forecast.frames' {section.frames}, but the {known} frames that "
            f"{config.data.name} at 'data' holds out give {most} films of {context} past frames and {section.frames} "
            "to forecast: ask for fewer of either, or hold out more",
            "forecast.frames" if most == 0 else "forecast.films",
        )
    if section.area_weights and not hasattr(data, "latitudes"):
        raise ConfigError(
            f"'forecast.area_weights' is true, but {config.data.name} at 'data' has no 'latitudes': set it to false, "
            "or give data whose rows have a coordinate of latitudes",
            "forecast.area_weights",
        )
    if section.area_weights:
        try:
            cell_weights(data, with_channels(data, data.train)[0].shape[3:])
        except ValueError as error:
            raise ConfigError(
                f"'forecast.area_weights' is true, but {config.data.name} at 'data' has no latitudes that give them: "
                f"{error} Set it to false, or mend the latitudes",
                "forecast.area_weights",
            ) from None


def channels_of(data):
    """Returns the number of channels of a frame."""
    return with_channels(data, data.train)[0].shape[2]


class Models(NamedTuple):
    """What forecasts: the sampler of the next frame, how many past frames it is given, and a deterministic model."""

    sampler: Sampler
    context: int
    predict: Optional[Callable]


def models_of(config, data, trained=True):
    """Returns the :class:`Models` of a configuration; ConfigError where weights do not fit.

    Args:
        config (ForecastRun): The configuration.
        data: The films.
        trained (bool): Whether the weights of the ensemble are there. Default: ``True``.
    """
    section = config.forecast
    model = build_world_model(config, data, section.compute_dtype)
    if trained:
        load_trained(model, config, data, config.weights)
    denoiser, preconditioning = denoiser_of(config, data, model.set_train(False), section.compute_dtype)
    scheduler = sampler_config(section).scheduler(preconditioning, getattr(ms, section.compute_dtype))
    predict = None
    if section.deterministic is not None:
        network = build_world_model(config, data)
        try:
            load_trained(network, config, data, section.deterministic, "mean")
        except ConfigError as error:
            key = "forecast.deterministic"
            raise ConfigError(f"'{key}': {error}", key) from None
        network = called(config, data, network.set_train(False))
        network = NextFrame(network, *preconditioning_of(config), channels_of(data)).set_train(False)
        # One graph for all films.
        predict = functools.partial(WholeGraph().run, network)
    return Models(Sampler(denoiser, scheduler), context_of(model, data), predict)


def show_forecast(config, directory, data, models, spread=True):
    """Forecasts films with a trained model; writes a report, an animation and, if asked, members; returns figures.

    Every film begins with true frames and follows the actions of the simulation, if there are any; from then on each
    member sees its own frames. Beside the ensemble stand the last true frame, held; as many frames of the training as
    there are members, drawn at random; and, where its weights are given, a deterministic model of the same network.

    Written are ``report.html`` (scores over lead time, rank histograms, reliability, spectra and maps),
    ``animation.gif`` and, with ``forecast.save_members``, ``members/film_<number>.npy``, ``(T, M, C, *grid)``.

    Args:
        config (ForecastRun): The configuration.
        directory (Path): Where the files go.
        data: The films, see the module.
        models (Models): The trained models.
        spread (bool): Whether each rank of the launch forecasts films of its own; otherwise this one forecasts all.
            Default: ``True``.

    Returns:
        dict of figures, ready for JSON.
    """
    section = config.forecast
    sampler, context, predict = models
    films, actions = with_channels(data, data.test(section.films, context + section.frames))
    names = [ENSEMBLE, CLIMATOLOGY, PERSISTENCE, *([MEAN] if predict else [])]
    scoring = Scoring(config, data, names, [ENSEMBLE, CLIMATOLOGY], films.shape[2:])
    climate = with_channels(data, data.train)[0]
    seconds = []
    own = range(rank(), section.films, rank_count()) if spread else range(section.films)
    with tqdm(total=len(own) * section.frames, desc="forecasting", unit="frame", disable=rank() > 0) as bar:
        for k in own:
            film = films[k, :context], None if actions is None else actions[k]
            source = NoiseSource(config.seed, range(k * section.members, (k + 1) * section.members))
            drawn = ensemble(
                sampler, film, section.frames, section.members, section.initial_noise, section.perturbation, source
            )
            predicted = deterministic(predict, film, section.frames) if predict else None
            generator = np.random.default_rng((config.seed, k, 1))
            chosen = [generator.integers(0, size, section.members) for size in climate.shape[:2]]
            constant = {CLIMATOLOGY: climate[tuple(chosen)], PERSISTENCE: films[k, context - 1]}
            with Members(config, directory, k, films.shape[2:]) as kept:
                for lead in range(section.frames):
                    started = time.perf_counter()
                    members = next(drawn)
                    seconds.append(time.perf_counter() - started)
                    kept.write(lead, data, members)
                    forecasts = {ENSEMBLE: members, **constant, **({MEAN: next(predicted)} if predict else {})}
                    scoring.update(k, lead, forecasts, films[k, context + lead])
                    bar.update(1)
    if spread:
        scoring.merge_ranks()
    figures = {**scoring.figures(), "seconds_a_frame": float(np.median(seconds))}
    if rank() == 0:
        save_animation(directory / "animation.gif", scoring)
        save_report(directory / "report.html", scoring, figures, config, directory / "animation.gif")
    return figures


class Members:
    """The file of all members of a film, where the section asks for it: written frame by frame, whole or not at all.

    Args:
        config (ForecastRun): Whether there is one, and how many members and frames.
        directory (Path): Its folder ``members`` gets the file.
        number (int): Number of the film.
        frame (tuple): Shape of a frame, ``(C, *grid)``.
    """

    def __init__(self, config, directory, number, frame):
        section = config.forecast
        self.wanted = section.save_members
        self.path = directory / "members" / f"film_{number:04d}.npy"
        self.temporary = self.path.with_suffix(".npy.part")
        self.shape = (section.frames, section.members, *frame)

    def __enter__(self):
        if self.wanted:
            self.path.parent.mkdir(exist_ok=True)
            self.file = np.lib.format.open_memmap(self.temporary, "w+", np.float32, self.shape)
        return self

    def write(self, lead, data, members):
        """Writes the frame of all members, in physical units."""
        if self.wanted:
            self.file[lead] = data.physical(members) if hasattr(data, "physical") else members

    def __exit__(self, failed, *_):
        if self.wanted:
            del self.file
            if failed:
                self.temporary.unlink()
            else:
                self.temporary.replace(self.path)
