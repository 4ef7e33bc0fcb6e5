"""Examples that runs can be made of: data sets with what is shown and measured of them, in the way of a user's own.

Importing this package registers their names for YAML files; nothing else of them is imported until a run asks for it.
"""

from pathlib import Path

from mindscience_diffuser.runs.config.registry import register, register_weights

register(
    "data",
    Digits=f"{__name__}.digits.data:Digits",
    NorthAmerica=f"{__name__}.north_america.data:NorthAmerica",
    NorthAmericaStations=f"{__name__}.north_america.stations:NorthAmericaStations",
)
register("films", StirredFlow=f"{__name__}.stirred_flow.data:StirredFlow")
register(
    "metrics",
    DigitFigures=f"{__name__}.digits.figures:DigitFigures",
    RefinementFigures=f"{__name__}.north_america.figures:RefinementFigures",
    StationFigures=f"{__name__}.north_america.stations:StationFigures",
)
for example in ("digits", "stirred_flow", "north_america"):
    register_weights(Path(__file__).parent / example / "weights")
register("guidance", StationGuidance=f"{__name__}.north_america.stations:StationGuidance")
