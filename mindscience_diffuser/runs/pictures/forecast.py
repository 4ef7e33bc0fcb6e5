"""The report of a forecast: scores over lead time, rank histograms, reliability, spectra, maps, an animation."""

import numpy as np
from matplotlib.figure import Figure

from mindscience_diffuser.runs.config.load import to_yaml
from mindscience_diffuser.runs.evaluation.forecasting import MEAN_OF_MEMBERS, SPREAD, TRUTH, channel_names
from mindscience_diffuser.runs.pictures.film import save_film
from mindscience_diffuser.runs.pictures.report import image, picture, save_page, table

SLOPES = (-5 / 3, -3)
"""Slopes of power laws that are drawn beside spectra."""

SCORES = (
    "CRPS",
    "root mean square error",
    "spread over error",
    "correlation",
    "error of the spectrum",
    "energy score",
)

INTRODUCTION = (
    "Lead times are counted in frames from the last frame that is known. Scores are in the units of the fields; the "
    "CRPS of a single forecast is its mean absolute error. An ensemble that knows its error has a spread over error of "
    "1 and flat rank histograms."
)


def save_report(path, scoring, figures, config, animation):
    """Writes the report.

    Args:
        path (Path): The HTML file.
        scoring (Scoring): What was measured.
        figures (dict): Its figures.
        config (ForecastRun): The configuration.
        animation (Path): The animation, which the report holds too.
    """
    labels = channel_labels(scoring)
    parts = [("Members that are not finite", _left_out(scoring, figures))]
    for channel, label in enumerate(labels):
        titles = [f"{title}: {label}" for title in ("Scores", "Rank histograms and reliability", "Spectra", "Maps")]
        drawn = (
            scores_figure(scoring, figures, channel),
            calibration_figure(scoring, figures, channel),
            spectra_figure(scoring, channel),
            maps_figure(scoring, channel, label),
        )
        parts += [(title, picture(figure, title)) for title, figure in zip(titles, drawn)]
        parts.append((f"Figures: {label}", _table(scoring, figures, channel)))
    shown = image(animation.read_bytes(), "gif", "animation of the first film")
    parts.append((f"First film: {labels[0]}", shown))
    save_page(path, f"Forecast of {config.data.name}", INTRODUCTION, parts, to_yaml(config))


def channel_labels(scoring):
    """Returns name and unit of each channel."""
    names = channel_names(scoring.data, next(iter(scoring.correlations.values())).shape[2])
    units = getattr(scoring.data, "units", ()) or [""] * len(names)
    return [f"{name} ({unit})" if unit else name for name, unit in zip(names, units)]


def scores_figure(scoring, figures, channel):
    """Returns a diagram of each score over lead time."""
    figure = Figure(figsize=(13, 7), layout="constrained")
    leads = np.arange(1, scoring.leads + 1)
    panels = dict(zip(SCORES, figure.subplots(2, 3).flat))
    for name, scores in figures["scores"].items():
        ensemble = name in scoring.ensembles
        (line,) = panels["CRPS"].plot(leads, _of(scores["crps" if ensemble else "mae"], channel), label=name)
        colour = line.get_color()
        panels["root mean square error"].plot(leads, _of(scores["rmse"], channel), color=colour)
        if ensemble:
            panels["root mean square error"].plot(leads, _of(scores["spread"], channel), color=colour, linestyle=":")
            panels["spread over error"].plot(leads, _of(scores["spread_over_error"], channel), color=colour)
            panels["energy score"].plot(leads, np.array(scores["energy_score"], float), color=colour)
        for title, key in (("correlation", "correlation"), ("error of the spectrum", "spectrum_error")):
            mean, width = (np.array(figures[key][name][part], float)[:, channel] for part in ("mean", "half_width"))
            panels[title].plot(leads, mean, color=colour)
            panels[title].fill_between(leads, mean - width, mean + width, color=colour, alpha=0.2, linewidth=0)
    panels["spread over error"].axhline(1, color="gray", linewidth=0.8)
    panels["root mean square error"].set_title("root mean square error (dotted: spread)")
    for title, axes in panels.items():
        axes.set_title(axes.get_title() or title)
        axes.set_xlabel("lead time (frames)")
    for title in ("CRPS", "root mean square error", "energy score", "error of the spectrum"):
        panels[title].set_ylim(bottom=0)
    figure.legend(*panels["CRPS"].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure


def calibration_figure(scoring, figures, channel):
    """Returns rank histograms, and below them reliability, at the lead times that are shown."""
    scores, leads = figures["scores"][scoring.names[0]], scoring.shown_leads
    figure = Figure(figsize=(2.3 * len(leads) + 0.8, 5), layout="constrained")
    grid = figure.subplots(2, len(leads), squeeze=False, sharey="row")
    reliability = scores["reliability"]
    for above, below, lead in zip(*grid, leads):
        counts = np.array(scores["rank_histogram"][lead - 1][channel], float)
        above.bar(np.arange(len(counts)), counts * len(counts) / max(counts.sum(), 1e-30), width=1)
        above.axhline(1, color="gray", linewidth=0.8)
        above.set(title=f"frame {lead}", xlabel="members below the truth")
        observed = np.array(reliability["observed_frequency"][lead - 1][channel], float)
        weight = np.array(reliability["weight"][lead - 1][channel], float)
        below.plot([0, 1], [0, 1], color="gray", linewidth=0.8)
        below.scatter(reliability["probability"], observed, s=4 + 60 * weight / max(weight.sum(), 1e-30))
        below.set(xlabel="forecast probability", xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))
    grid[0][0].set_ylabel("density over that of a flat one")
    threshold = reliability["thresholds"][channel]
    grid[1][0].set_ylabel(f"frequency of values above {threshold:.3g}")
    return figure


def spectra_figure(scoring, channel):
    """Returns spectra at the lead times that are shown, with power laws to compare their slopes with."""
    leads, numbers = scoring.shown_leads, scoring.wave_numbers
    figure = Figure(figsize=(2.6 * len(leads) + 0.8, 3.4), layout="constrained")
    panels = figure.subplots(1, len(leads), squeeze=False, sharey=True)[0]
    for axes, lead in zip(panels, leads):
        for name in scoring.powers:
            power = scoring.mean_power(name)[lead - 1, channel]
            style = {"color": "black", "linewidth": 2} if name == TRUTH else {"linewidth": 1.2}
            axes.plot(numbers, np.where(power > 0, power, np.nan), label=name, **style)
        true = scoring.mean_power(TRUTH)[lead - 1, channel]
        # Through the strongest wave number, a little above it.
        top = int(np.argmax(true))
        for slope in SLOPES:
            law = 2 * true[top] * (numbers[top:] / numbers[top]) ** slope
            axes.plot(numbers[top:], law, color="gray", linewidth=0.7, linestyle="--")
            axes.annotate(f"{'-5/3' if slope > -2 else '-3'}", (numbers[-1], law[-1]), fontsize="x-small", color="gray")
        axes.set(xscale="log", yscale="log", title=f"frame {lead}", xlabel="wave number")
        axes.set_ylim(bottom=true[true > 0].min() / 100 if np.any(true > 0) else None)
    panels[0].set_ylabel("power")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize="small")
    return figure


def maps_figure(scoring, channel, label):
    """Returns maps of the first film at the lead times that are shown: signed fields, and the spread."""
    leads = [lead for lead in scoring.shown_leads if lead in scoring.fields]
    titles = list(scoring.fields[leads[0]])
    figure = Figure(figsize=(2.1 * len(titles) + 1.2, 2.1 * len(leads) + 0.5), layout="constrained")
    grid = figure.subplots(len(leads), len(titles), squeeze=False)
    fields = {
        lead: {title: plane(scoring, field[channel]) for title, field in scoring.fields[lead].items()} for lead in leads
    }
    signed = [field for lead in leads for title, field in fields[lead].items() if title != SPREAD]
    low, high, colours = field_limits(signed)
    for line, lead in zip(grid, leads):
        for axes, (title, field) in zip(line, fields[lead].items()):
            if title == SPREAD:
                _, largest = finite_range([field])
                axes.imshow(field, cmap="viridis", vmin=0, vmax=largest, origin="lower")
                title = f"{title}, up to {largest:.2g}"
            else:
                drawn = axes.imshow(field, cmap=colours, vmin=low, vmax=high, origin="lower")
            axes.set_title(title, fontsize="x-small")
            axes.set(xticks=[], yticks=[])
        line[0].set_ylabel(f"frame {lead}")
    figure.colorbar(drawn, ax=grid, shrink=0.6, pad=0.01, label=label)
    return figure


def field_limits(fields):
    """Returns the limits and the colour map of fields: symmetric ones where the values have both signs."""
    low, high = finite_range(fields)
    if low < 0 < high:
        high = max(-low, high)
        return -high, high, "RdBu_r"
    return low, high, "viridis"


def finite_range(fields):
    """Returns the least and the largest finite value of fields, 0 and 1 where there is none."""
    values = np.concatenate([field[np.isfinite(field)] for field in fields])
    return (float(values.min()), float(values.max())) if values.size else (0.0, 1.0)


def plane(scoring, field):
    """Returns a field of one to three axes as a picture: a series as one row, of a volume the middle slice.

    Its first row is the lowest one, so that latitudes ascend.
    """
    if field.ndim != 2:
        return field[None] if field.ndim == 1 else field[len(field) // 2]
    latitudes = getattr(scoring.data, "latitudes", (0, 1))
    return field[::-1] if latitudes[0] > latitudes[-1] else field


def save_animation(path, scoring):
    """Writes the animation of the first channel of the first film: truth, a member, the mean and the spread."""
    leads = [int(lead) for lead in scoring.animated]
    wanted = (TRUTH, "member 1", MEAN_OF_MEMBERS, SPREAD)
    fields = {title: [plane(scoring, scoring.fields[lead][title][0]) for lead in leads] for title in wanted}
    # An image has its first row on top.
    films = {title: np.stack(film)[:, ::-1] for title, film in fields.items()}
    low, high, _ = field_limits([films[title] for title in wanted[:-1]])
    middle, half = (high + low) / 2, max((high - low) / 2, 1e-30)
    films = {title: ((film if title == SPREAD else film - middle) / half) for title, film in films.items()}
    save_film(path, films, numbers=leads)


def _of(values, channel):
    """Returns the values of one channel over lead time, NaN for None."""
    return np.array(values, float)[:, channel]


def _left_out(scoring, figures):
    """Returns what is to be said of members and forecasts that were left out."""
    lines = []
    for name, scores in figures["scores"].items():
        for entry in scores.get("members_left_out", []):
            lines.append(f"{name}, film {entry['film']}: member {entry['member']} from frame {entry['lead']} on")
        for entry in scores.get("films_left_out", []):
            lines.append(f"{name}, film {entry['film']} from frame {entry['lead']} on")
    if not lines:
        return "<p>There are none.</p>"
    listed = "".join(f"<li>{line}</li>" for line in lines)
    return f'<p class="warning">These are left out of the scores:</p><ul class="warning">{listed}</ul>'


def _table(scoring, figures, channel):
    """Returns the figures at the lead times that are shown, as HTML."""
    rows = []
    for name, scores in figures["scores"].items():
        ensemble = name in scoring.ensembles
        given = {
            "CRPS": scores["crps" if ensemble else "mae"],
            "root mean square error": scores["rmse"],
            **({"spread over error": scores["spread_over_error"]} if ensemble else {}),
            "correlation": figures["correlation"][name]["mean"],
            "error of the spectrum": figures["spectrum_error"][name]["mean"],
        }
        for title, values in given.items():
            values = _of(values, channel)
            rows.append([f"{name}: {title}", *(f"{values[lead - 1]:.4g}" for lead in scoring.shown_leads)])
    return table(["", *(f"frame {lead}" for lead in scoring.shown_leads)], rows)
