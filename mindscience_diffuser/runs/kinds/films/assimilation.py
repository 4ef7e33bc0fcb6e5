"""Runs of the kind ``assimilation``: films filtered from measurements at some points, forecast by a world model.

The data are films, see :mod:`mindscience_diffuser.runs.kinds.films.world_model`; the weights are those of a trained
world model. Beside the filter stand the free forecast of the same members, and optimal interpolation.
"""

import json
from pathlib import Path

import mindspore as ms
import numpy as np
from mindspore import Tensor
from tqdm import tqdm

from mindscience_diffuser.files import write_atomically
from mindscience_diffuser.guidance import Mask, PosteriorGuidance
from mindscience_diffuser.noise import NoiseSource, draw_noise
from mindscience_diffuser.runs.config.components import build
from mindscience_diffuser.runs.config.load import to_yaml, with_values
from mindscience_diffuser.runs.distributed.ranks import launched
from mindscience_diffuser.runs.errors import ConfigError
from mindscience_diffuser.runs.evaluation.forecast_scores import fair_crps
from mindscience_diffuser.runs.evaluation.intervals import mean_and_interval
from mindscience_diffuser.runs.evaluation.optimal_interpolation import OptimalInterpolation, gaussian_crps
from mindscience_diffuser.runs.kinds.films.rollout import denoiser_of, preconditioning_of, told
from mindscience_diffuser.runs.kinds.films.world_model import build_trained_world_model
from mindscience_diffuser.runs.pictures.film import save_courses
from mindscience_diffuser.runs.pictures.maps import save_maps
from mindscience_diffuser.sampling import DiffusionSamplerConfig, Sampler
from mindscience_diffuser.sampling.assimilation import assimilate
from mindscience_diffuser.sampling.ensemble_update import Localization

TRIED_FILMS, TRIED_FRAMES = 16, 8
"""Training films, and frames of each, on which the error of a forecast over one frame is measured."""

SOLVES = 8
"""Conjugate-gradient iterations of posterior guidance: its covariance has a spectrum, so that one is not exact."""

ANALYSIS, FORECAST = "analysis", "free forecast"
INTERPOLATION = {"climatology": "optimal interpolation", "persistence": "optimal interpolation, cycled"}
SHOWN = 3
"""Times of measurements that are shown as maps."""


def sample(config):
    """Assimilates the films that `config` asks for and writes the result below ``<output>/sample``.

    Written are the files of :func:`show_assimilation`, ``config.yaml`` (the configuration with all defaults) and
    ``metrics.json``, each whole or not at all.

    Returns:
        Path of the directory.

    Raises:
        ConfigError: If the configuration cannot be carried out; nothing is compiled or written then.
    """
    if launched():
        raise ConfigError("'sample' of an assimilation run runs in one process: start it without msrun")
    sampler_config(config.rollout)
    preconditioning_of(config)
    if config.observations.every > config.rollout.frames:
        raise ConfigError(
            f"'observations.every' is {config.observations.every}, but there are {config.rollout.frames} frames "
            "('rollout.frames'): nothing would be measured",
            "observations.every",
        )
    data = build("films", config.data)
    model, weights = build_trained_world_model(config, data)
    films = data.train.frames
    if len(films) <= config.filter.members:
        raise ConfigError(
            f"'filter.members' is {config.filter.members}, but there are {len(films)} training films: the deviations "
            "of the members come from one film each, and one more is needed; give more films or fewer members",
            "filter.members",
        )
    directory = Path(config.output) / "sample"
    directory.mkdir(parents=True, exist_ok=True)
    figures = show_assimilation(config, directory, data, model)
    write_atomically(directory / "config.yaml", to_yaml(with_values(config, weights=str(weights))))
    write_atomically(directory / "metrics.json", json.dumps(figures, indent=2) + "\n")
    return directory


def sampler_config(section):
    """Returns the DiffusionSamplerConfig of the section; ConfigError if it contradicts itself."""
    try:
        return DiffusionSamplerConfig(**section.model_dump(exclude={"films", "frames", "compute_dtype"}))
    except (TypeError, ValueError) as error:
        raise ConfigError(f"the sampler refuses what is set under 'rollout': {error}", "rollout") from error


def show_assimilation(config, directory, data, model):
    """Filters films with a trained world model; writes pictures and fields, and returns the figures.

    The first frames of each film are known up to ``filter.initial_std`` times the deviation of a training film; the
    members deviate from that by training films of their own. Members and films have noise of their own.

    Written are ``scores.png`` (root mean square error, spread over error and CRPS over the frames), ``maps.png`` (the
    first film at some times of measurements) and ``fields.npz``.

    Args:
        config (AssimilationRun): The configuration.
        directory (Path): Where the files go.
        data: The films.
        model (nn.Cell): The trained network, in the dtype of the section.

    Returns:
        dict of figures, ready for JSON.
    """
    section, filtering, context = config.rollout, config.filter, model.context
    members = filtering.members
    films, actions = data.test(section.films, context + section.frames)
    truth = films[:, context:]
    observations = [observe(config, film, k) for k, film in enumerate(truth)]
    denoiser, preconditioning = denoiser_of(config, data, model, section.compute_dtype)
    dtype = getattr(ms, section.compute_dtype)
    scheduler = sampler_config(section).scheduler(preconditioning, dtype)
    forecast = Sampler(denoiser, scheduler)
    error_std = error_spectrum(data.train, context, forecast, config)
    guided = PosteriorGuidance(
        denoiser,
        scheduler,
        Mask(np.ones((1, 1, *truth.shape[2:]))),
        config.observations.noise_std,
        prior_std=error_std,
        iterations=SOLVES,
    )
    analysis = Sampler(guided, scheduler)
    localization = None
    if filtering.localization_radius is not None:
        localization = Localization.on_grid(truth.shape[2:], filtering.localization_radius, filtering.periodic)
    interpolation = OptimalInterpolation(data.train.frames)
    results = {name: [] for name in (ANALYSIS, FORECAST, *INTERPOLATION.values())}
    for k in tqdm(range(section.films), desc="assimilating", unit="film"):
        first, history = beginning(config, data.train.frames, films[k, :context], k)

        def conditions(past, t, acted=actions[k]):
            given = np.broadcast_to(acted[t : t + context], (members, context))
            return past.reshape((members, context, *truth.shape[2:])), Tensor(np.ascontiguousarray(given))

        for name, measured in ((ANALYSIS, observations[k]), (FORECAST, [None] * section.frames)):
            filtered = assimilate(
                forecast,
                analysis,
                history[:, :, None],
                [y if y is None else y[None] for y in measured],
                conditions,
                localization,
                filtering.inflation,
                section.initial_noise,
                NoiseSource(config.seed, range(k * members, (k + 1) * members)),
                progress=False,
            )
            results[name].append(filtered.analysis[:, :, 0])
        found = interpolation.analyses(
            observations[k], config.observations.noise_std, first[-1], filtering.initial_std**2
        )
        for form, name in INTERPOLATION.items():
            results[name].append(found[form])
    return written(config, directory, truth, observations, results)


def observe(config, film, number):
    """Returns the measurements of a film ``(T, side, side)``: for each frame None or a field with NaN elsewhere."""
    section = config.observations
    generator = np.random.default_rng((config.seed, number, 2))
    count = max(round(section.fraction * film[0].size), 1)
    points = generator.choice(film[0].size, count, replace=False)
    found = []
    for t, frame in enumerate(film):
        if (t + 1) % section.every:
            found.append(None)
            continue
        y = np.full(frame.size, np.nan, np.float32)
        y[points] = frame.ravel()[points] + section.noise_std * generator.standard_normal(count)
        found.append(y.reshape(frame.shape))
    return found


def beginning(config, training, frames, number):
    """Returns what is known of the first frames ``(context, side, side)``, and the members ``(M, context, ...)``."""
    generator = np.random.default_rng((config.seed, number, 3))
    context = len(frames)
    chosen = generator.choice(len(training), config.filter.members + 1, replace=False)
    starts = generator.integers(0, training.shape[1] - context + 1, len(chosen))
    mean = training.mean((0, 1))
    deviations = np.stack([training[film, start : start + context] - mean for film, start in zip(chosen, starts)])
    known = frames + config.filter.initial_std * deviations[0]
    return known, (known + config.filter.initial_std * deviations[1:]).astype(np.float32)


def error_spectrum(films, context, forecast, config):
    """Returns the spectrum of the error of forecasts over one frame from true frames: what the model leaves open.

    Returns:
        numpy.ndarray ``(1, side, side)``, see :class:`~mindscience_diffuser.guidance.PriorCovariance`.
    """
    generator = np.random.default_rng((config.seed, 4))
    count = min(TRIED_FILMS, len(films.frames))
    places = generator.integers(context, films.frames.shape[1], (TRIED_FRAMES, count))
    errors, source = [], NoiseSource(config.seed, count, stream=1)
    for row in places:
        window = np.arange(count)[:, None], row[:, None] + np.arange(-context, 0)
        past, frame = films.frames[window], films.frames[np.arange(count), row]
        start = draw_noise((count, 1, *frame.shape[1:]), source) * np.float32(forecast.scheduler.init_noise_sigma)
        if config.rollout.initial_noise == "observation":
            start = start + past[:, -1:]
        drawn = forecast(Tensor(start), Tensor(past), Tensor(films.actions[window]), generator=source).asnumpy()
        errors.append(frame - drawn[:, 0])
    power = np.abs(np.fft.fft2(np.concatenate(errors).astype(np.float64), norm="ortho")) ** 2
    return np.sqrt(power.mean(0))[None]


def written(config, directory, truth, observations, results):
    """Writes pictures and fields; returns the figures."""
    means, spreads, crps = {}, {}, {}
    for name, found in results.items():
        if name in INTERPOLATION.values():
            means[name], spreads[name] = (np.stack(part) for part in zip(*found))
            crps[name] = gaussian_crps(means[name], spreads[name], truth).mean((2, 3))
        else:
            ensembles = np.stack(found)
            members = ensembles.shape[2]
            means[name] = ensembles.mean(2, dtype=np.float64)
            # The error of a mean of M members is larger by 1 / M than their variance tells.
            spreads[name] = ensembles.std(2, dtype=np.float64, ddof=1) * np.sqrt(1 + 1 / members)
            crps[name] = np.stack([fair_crps(film.swapaxes(0, 1), t).mean((1, 2)) for film, t in zip(ensembles, truth)])
    squares = {name: ((mean - truth) ** 2).mean((2, 3)) for name, mean in means.items()}
    variances = {name: (spread**2).mean((2, 3)) for name, spread in spreads.items()}
    ratios = {name: np.sqrt(variances[name].mean(0) / squares[name].mean(0)) for name in results}
    rmse = {name: np.sqrt(values) for name, values in squares.items()}
    save_courses(
        directory / "scores.png",
        {
            "root mean square error": {name: mean_and_interval(values) for name, values in rmse.items()},
            "spread over error": {name: (ratios[name], np.zeros_like(ratios[name])) for name in (ANALYSIS, FORECAST)},
            "CRPS": {name: mean_and_interval(values) for name, values in crps.items()},
        },
    )
    every = config.observations.every
    times = np.unique(np.linspace(every, config.rollout.frames // every * every, SHOWN).astype(int) // every * every)
    save_maps(
        directory / "maps.png",
        {
            f"frame {n}": {
                "truth, measured points": truth[0, n - 1],
                "analysis, mean": means[ANALYSIS][0, n - 1],
                "analysis, one member": results[ANALYSIS][0][n - 1, 0],
                "analysis, spread": spreads[ANALYSIS][0, n - 1],
                "free forecast, mean": means[FORECAST][0, n - 1],
                INTERPOLATION["persistence"]: means[INTERPOLATION["persistence"]][0, n - 1],
            }
            for n in times
        },
        {"analysis, spread"},
        {"truth, measured points": np.argwhere(~np.isnan(observations[0][times[0] - 1]))},
    )
    nothing = np.full(truth.shape[2:], np.nan, np.float32)
    fields = {
        "truth": truth,
        "observations": np.stack([[nothing if y is None else y for y in film] for film in observations]),
        "members_of_first_film": results[ANALYSIS][0],
        **{f"{name}, mean": mean.astype(np.float32) for name, mean in means.items()},
        **{f"{name}, spread": spread.astype(np.float32) for name, spread in spreads.items()},
    }
    fields = {name.replace(", ", "_").replace(" ", "_"): values for name, values in fields.items()}
    write_atomically(directory / "fields.npz", lambda temporary: np.savez_compressed(temporary, **fields))
    measures = {"root mean square error": rmse, "CRPS": crps}
    return {
        "films": config.rollout.films,
        "frames": config.rollout.frames,
        "members": config.filter.members,
        "measures": {
            title: {name: told(values) for name, values in by_name.items()} for title, by_name in measures.items()
        },
        "difference_from_the_analysis": {
            title: {name: told(values - by_name[ANALYSIS]) for name, values in by_name.items() if name != ANALYSIS}
            for title, by_name in measures.items()
        },
        "over_frames": {
            "root mean square error": {name: listed(np.sqrt(values.mean(0))) for name, values in squares.items()},
            "spread over error": {name: listed(values) for name, values in ratios.items()},
            "CRPS": {name: listed(values.mean(0)) for name, values in crps.items()},
        },
    }


def listed(values):
    """Returns numbers over the frames, ready for JSON."""
    return [round(float(value), 4) for value in values]
