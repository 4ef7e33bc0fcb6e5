"""Scheduler configurations of published models, by name: the facts of their ``scheduler_config.json``.

``presets.json`` holds for each of them the model, the page on which the values stand, and the values as they stand
there.
"""

import copy
import json
from pathlib import Path

from mindscience_diffuser.validation import check_choice

PRESETS = json.loads(Path(__file__).with_name("presets.json").read_text(encoding="utf-8"))

# What a method must know in order to follow the noise schedule of a model.
SCHEDULE_ARGUMENTS = (
    "beta_schedule",
    "flow_shift",
    "prediction_type",
    "rescale_betas_zero_snr",
    "shift",
    "shift_terminal",
    "snr_shift_scale",
    "use_dynamic_shifting",
    "use_flow_sigmas",
)


def preset_config(name):
    """Returns the configuration of a published model, one of ``PRESETS``.

    Raises:
        ValueError: If there is no preset of that name.
    """
    return copy.deepcopy(PRESETS[check_choice("name", name, sorted(PRESETS))]["config"])


def missing_schedule_arguments(config, known):
    """Returns the arguments that the noise schedule of `config` depends on and that are not among `known`."""
    flow = config.get("use_flow_sigmas")
    return [n for n in SCHEDULE_ARGUMENTS if config.get(n) and n not in known and (flow or n != "flow_shift")]
