"""The plot command: sigmas, timesteps and log-SNR of several schedules in one picture."""

import inspect
from pathlib import Path
from typing import NamedTuple

import numpy as np
import yaml
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mindscience_diffuser.files import write_atomically
from mindscience_diffuser.noise import PRESETS, calculate_shift
from mindscience_diffuser.runs.config.yaml_file import parse_value
from mindscience_diffuser.runs.errors import ConfigError, nearest
from mindscience_diffuser.schedulers.base.scheduler import scheduler_class, schedulers_by_name
from mindscience_diffuser.validation import check_integer


class Schedule(NamedTuple):
    """What is drawn of a schedule: n model calls and the end of the trajectory."""

    label: str
    timesteps: np.ndarray
    """What the model is told, shape ``(n,)``."""
    alpha: np.ndarray
    """Weight of the clean sample in x = alpha * x0 + sigma * noise, shape ``(n + 1,)``."""
    sigma: np.ndarray
    """Weight of the noise, shape ``(n + 1,)``."""

    @property
    def log_snr(self):
        """log(alpha^2 / sigma^2), NaN where it is infinite, shape ``(n + 1,)``."""
        finite = (self.alpha > 0) & (self.sigma > 0)
        return 2 * np.log(np.where(finite, self.alpha, np.nan) / np.where(finite, self.sigma, np.nan))


def plot(words, output, steps, image_seq_len):
    """Draws schedules and writes the picture.

    Args:
        words (Sequence[str]): Names of presets and of scheduler classes; ``key=value`` after a name changes an argument
            of that schedule's constructor or of its `set_timesteps`.
        output (str or Path): The picture; its suffix is the format.
        steps (int): Number of steps of every schedule that does not say otherwise, at least 1.
        image_seq_len (int): Number of image tokens, for schedules that depend on it, at least 1.

    Returns:
        Path, the picture.

    Raises:
        ConfigError: If a name, a key or a value is not as it should be.
        OSError: If the picture cannot be written.
    """
    figure = Figure(figsize=(12, 4.2), layout="constrained")
    path = Path(output)
    formats = figure.canvas.get_supported_filetypes()
    if path.suffix[1:].lower() not in formats:
        raise ConfigError(f"'{path}' must end with the name of a picture format: {', '.join(sorted(formats))}")
    if not path.parent.is_dir():
        raise ConfigError(f"the folder '{path.parent}' of the picture does not exist")
    try:
        check_integer("steps", steps, low=1)
        check_integer("image-seq-len", image_seq_len, low=1)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    draw([read_schedule(*entry, steps, image_seq_len) for entry in entries_of(words)], figure)
    write_atomically(path, lambda temporary: figure.savefig(temporary, dpi=110))
    return path


def entries_of(words):
    """Returns the pairs of a name and its changed values, by key, that the words of the command line stand for."""
    entries = []
    for word in words:
        key, equals, text = word.partition("=")
        if not equals:
            entries.append((word, {}))
            continue
        if not entries:
            raise ConfigError(f"'{word}' must follow the name of the schedule that it changes")
        try:
            entries[-1][1][key] = parse_value(text)
        except yaml.YAMLError:
            raise ConfigError(f"the value of '{word}' is no YAML value") from None
    return entries


def read_schedule(name, values, steps, image_seq_len):
    """Builds a scheduler, chooses its timesteps, and returns what is drawn of it."""
    if name not in PRESETS and name not in schedulers_by_name():
        raise ConfigError(f"unknown schedule '{name}'; {nearest(name, [*PRESETS, *schedulers_by_name()])}")
    label = " ".join([name, *(f"{key}={value}" for key, value in values.items())])
    try:
        kind = scheduler_class(PRESETS[name]["config"]["_class_name"] if name in PRESETS else name)
        arguments = inspect.signature(kind).parameters
        choices = set(inspect.signature(kind.set_timesteps).parameters) - {"self"}
        unknown = [key for key in values if key not in arguments and key not in choices]
        if unknown:
            raise ConfigError(
                f"{label}: unknown argument '{unknown[0]}'; {nearest(unknown[0], choices.union(arguments))}"
            )
        overrides = {key: value for key, value in values.items() if key in arguments}
        chosen = {key: value for key, value in values.items() if key in choices}
        scheduler = kind.from_preset(name, **overrides) if name in PRESETS else kind.from_config({}, **overrides)
        if not {"timesteps", "sigmas"} & set(chosen):
            chosen.setdefault("num_inference_steps", steps)
        if "mu" in choices and scheduler.config.get("use_dynamic_shifting"):
            chosen.setdefault("mu", resolution_shift(scheduler.config, image_seq_len))
        scheduler.set_timesteps(**chosen)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{label}: {error}") from None
    return Schedule(label, scheduler.timesteps, *scheduler.levels)


def resolution_shift(config, image_seq_len):
    """Returns the `mu` of a resolution, by the bounds of the configuration where it has them."""
    names = {
        "base_seq_len": "base_image_seq_len",
        "max_seq_len": "max_image_seq_len",
        "base_shift": "base_shift",
        "max_shift": "max_shift",
    }
    given = {argument: config[name] for argument, name in names.items() if name in config}
    return calculate_shift(image_seq_len, **given)


def draw(schedules, figure):
    """Draws the schedules into three panels of `figure`."""
    sigma_axes, timestep_axes, snr_axes = figure.subplots(1, 3)
    for schedule in schedules:
        calls = np.arange(len(schedule.sigma))
        style = {"marker": ".", "linewidth": 1.2, "label": schedule.label}
        sigma_axes.plot(calls, schedule.sigma, **style)
        timestep_axes.plot(calls[:-1], schedule.timesteps, **style)
        snr_axes.plot(calls, schedule.log_snr, **style)
    if max(schedule.sigma.max() for schedule in schedules) > 1.5:
        sigma_axes.set_yscale("log", nonpositive="mask")
    titles = ("sigma in x = alpha x0 + sigma noise", "timestep that the model is told", "log(alpha² / sigma²)")
    for axes, title in zip(figure.axes, titles):
        axes.set_title(title)
        axes.set_xlabel("model call")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
    figure.legend(*sigma_axes.get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize="small")
