"""Make tests/golden/forecast_scores.npz: what other packages say of small ensembles.

    python scripts/make_scores_golden.py

needs scores 2.7.0, xskillscore 0.0.29, properscoring 0.1 and xarray. Stored are the ensembles and their truth; the fair
CRPS of scores; the CRPS of properscoring, which is not the fair one; and the rank histogram of xskillscore, which has
no ties to break here. Values are float32, the packages are given them in float64.
"""

import importlib.metadata
from pathlib import Path

import numpy as np
import properscoring
import xarray
import xskillscore
from scores.probability import crps_for_ensemble

PATH = Path(__file__).resolve().parent.parent / "tests" / "golden" / "forecast_scores.npz"
VERSIONS = {"scores": "2.7.0", "xskillscore": "0.0.29", "properscoring": "0.1"}
AXES = ("film", "member", "lead", "channel", "point")
FILMS, MEMBERS, LEADS, CHANNELS, POINTS = 2, 5, 2, 2, 20


def draw():
    """Members (film, member, lead, channel, point) and truth without the axis of members, both float32."""
    generator = np.random.default_rng(20261129)
    drawn = generator.standard_normal((FILMS, MEMBERS + 1, LEADS, CHANNELS, POINTS))
    scale = np.array([1.0, 250.0])[:, None]
    members, truth = 0.7 * drawn[:, 1:] * scale, drawn[:, 0] * scale
    return members.astype(np.float32), truth.astype(np.float32)


def main():
    """Writes the file."""
    for name, version in VERSIONS.items():
        found = importlib.metadata.version(name)
        if found != version:
            raise SystemExit(f"Needs {name} {version}, but this is {found}.")
    members, truth = draw()
    forecast = xarray.DataArray(members.astype(np.float64), dims=AXES)
    observed = xarray.DataArray(truth.astype(np.float64), dims=[axis for axis in AXES if axis != "member"])
    fair = crps_for_ensemble(forecast, observed, "member", method="fair", preserve_dims="all")
    crps = properscoring.crps_ensemble(observed.values, forecast.values, axis=1)
    histogram = xskillscore.rank_histogram(observed, forecast, dim=["film", "point"])
    arrays = {
        "members": members,
        "truth": truth,
        "scores_fair_crps": fair.transpose(*observed.dims).values,
        "properscoring_crps": crps,
        "xskillscore_rank_histogram": histogram.transpose("lead", "channel", "rank").values,
    }
    temporary = PATH.with_suffix(".part.npz")
    np.savez_compressed(temporary, **arrays)
    temporary.replace(PATH)
    print(f"{FILMS} films of {MEMBERS} members, {PATH.stat().st_size / 1024:.0f} KiB, in {PATH}")


if __name__ == "__main__":
    main()
