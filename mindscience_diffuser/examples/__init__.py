"""Examples that runs can be made of: data sets with what is shown and measured of them, in the way of a user's own.

Importing this package registers their names for YAML files; nothing else of them is imported until a run asks for it.
"""

from pathlib import Path

from mindscience_diffuser.runs.config.registry import register, register_weights

register("data", Digits=f"{__name__}.digits.data:Digits")
register("films", StirredFlow=f"{__name__}.stirred_flow.data:StirredFlow")
register("metrics", DigitFigures=f"{__name__}.digits.figures:DigitFigures")
for example in ("digits", "stirred_flow"):
    register_weights(Path(__file__).parent / example / "weights")
