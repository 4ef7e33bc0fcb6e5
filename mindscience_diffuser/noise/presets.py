"""Scheduler configurations of published models, by name: the facts of their ``scheduler_config.json``.

``presets.json`` holds for each of them the model, the page on which the values stand, and the values as they stand
there.
"""

import copy
import json
from pathlib import Path

from mindscience_diffuser.validation import check_choice

PRESETS = json.loads(Path(__file__).with_name("presets.json").read_text(encoding="utf-8"))


def preset_config(name):
    """Returns the configuration of a published model, one of ``PRESETS``.

    Raises:
        ValueError: If there is no preset of that name.
    """
    return copy.deepcopy(PRESETS[check_choice("name", name, sorted(PRESETS))]["config"])
