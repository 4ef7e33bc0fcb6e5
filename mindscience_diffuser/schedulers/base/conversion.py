"""From the configuration of one scheduler to that of another: what means the same, and what cannot be kept.

When a model's scheduler is switched its noise process must survive: the levels of the training timesteps, and what the
model predicts there. Classes name its arguments differently, or lack those that have only one value for them.
"""

from typing import NamedTuple

import numpy as np

SYNONYMS = (("shift", "flow_shift"), ("s_tmin", "s_min"), ("s_tmax", "s_max"))
"""Pairs of names of one argument, each in some of the classes."""

PROCESSES = ("stages", "beta_schedule", "shift", "sigma_schedule")
"""Arguments by which noise processes are told apart, the first that a class has: Pyramid Flow, betas, flow, EDM."""

NAMES = {"beta_schedule": "one with betas", "shift": "a flow", "sigma_schedule": "that of EDM"}

OF_BETAS = {
    "beta_start": None,
    "beta_end": None,
    "beta_schedule": None,
    "trained_betas": None,
    "rescale_betas_zero_snr": False,
    "snr_shift_scale": 1.0,
}
OF_FLOWS = {
    "shift": 1.0,
    "flow_shift": 1.0,
    "use_dynamic_shifting": False,
    "shift_terminal": None,
    "invert_sigmas": False,
}
OF_OTHERS = dict.fromkeys(("stages", "stage_range", "gamma", "beta_min", "beta_max", "scaler", "s"))
OF_ALL = {"num_train_timesteps": None, "use_flow_sigmas": False, "prediction_type": "epsilon", "sigma_data": None}
DESCRIBING = {**OF_BETAS, **OF_FLOWS, **OF_OTHERS, **OF_ALL}
"""Arguments that describe a noise process, and the value that they have in a class without them, if there is one."""

FLOW = {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}
"""The same for classes that follow nothing but a flow."""

UNNEEDED = ("num_train_timesteps", "beta_start", "beta_end")
"""Arguments of a noise process that a class of the same process has no use for if it has not got them."""


class Conversion(NamedTuple):
    """What becomes of a configuration in another class."""

    arguments: dict
    """What its constructor is given."""
    kept: dict
    """Values that it does not use."""
    lost: dict
    """Those of them without which it follows another noise process."""
    replaced: dict
    """Variants of another method in place of which it uses its default, in words."""


def process_of(kind, names, values):
    """Returns the noise process of a class with arguments `names` and these values, None where they do not tell."""
    if kind is not None and kind.own_process:
        return kind.own_process
    return "shift" if values.get("use_flow_sigmas") else next((name for name in PROCESSES if name in names), None)


def process_difference(one, other):
    """Returns what tells the noise processes of two schedulers apart: its name and both values, None for nothing.

    Compared is what a trained model depends on, not how the levels of a trajectory are chosen.
    """
    mine, others = _described(one), _described(other)
    for name in [name for name in mine if name in others]:
        pair = mine[name], others[name]
        if not (np.allclose(*pair, atol=1e-3) if isinstance(pair[0], float) else np.array_equal(*pair)):
            return name, *pair
    return None


def _described(scheduler):
    """Returns what a trained model depends on in a scheduler, by name; nothing where its arguments do not tell."""
    settings = scheduler.settings
    process = process_of(type(scheduler), settings, settings)
    if process not in NAMES:
        return {} if process is None else {"noise process": process}
    found = {"noise process": NAMES[process], "prediction_type": settings.get("prediction_type")}
    if found["prediction_type"] is None:
        found["prediction_type"] = FLOW["prediction_type"] if process == "shift" else OF_ALL["prediction_type"]
    if process == "sigma_schedule":
        return {**found, "sigma_data": settings.sigma_data}
    found["num_train_timesteps"] = last = scheduler.num_train_timesteps
    for timestep in (last // 4, last // 2, 3 * last // 4):
        alpha, sigma = scheduler.level_at(np.array([timestep]))
        found[f"share of the clean sample at timestep {timestep}"] = round(
            float(alpha[0] / np.hypot(alpha[0], sigma[0])), 4
        )
    return found


def converted(config, source, target, overrides):
    """Returns the :class:`Conversion` of a configuration.

    Args:
        config (Mapping): The values, as ``scheduler.config`` or a file has them. Arguments that a file of diffusers
            leaves out have the defaults of diffusers.
        source (type, optional): The class that it configures, None where that is unknown.
        target (type): The class that it becomes one of.
        overrides (Mapping): Values that replace those of the configuration.
    """
    known = target.defaults()
    given = {name: value for name, value in config.items() if not name.startswith("_")}
    of_diffusers = "_diffusers_version" in config
    own = given if source is None else {**source.defaults(of_diffusers), **_only(given, source.defaults())}
    process = process_of(source, own, own) or (source and source.__name__)
    flows = process == "shift" and overrides.get("use_flow_sigmas", True)
    told = {name: value for name, value in own.items() if name in DESCRIBING}
    chosen = {**(target.peer_defaults if of_diffusers else {}), **given}
    chosen.update({name: value for name, value in told.items() if name in known or _tells(name, value, known)})
    if flows and "use_flow_sigmas" not in own:
        chosen.update(_only(FLOW, known))
    for pair in SYNONYMS:
        for name, other in (pair, pair[::-1]):
            if name in own and name not in known and other in known and (flows or name not in OF_FLOWS):
                chosen[other] = own[name]
                chosen.pop(name, None)
    if source is not None and process == process_of(target, known, chosen):
        missing = {name: value for name, value in DESCRIBING.items() if value is not None and name not in own}
        chosen = {**_only(missing, known), **chosen}
    if "eta" in known:
        usual = 0.0 if source is None else source.defaults().get("eta", 0.0)
        if not _stochastic(chosen, overrides, known):
            if known["eta"] is None or usual != 0.0:
                chosen.pop("eta", None)  # A method that follows the ODE by itself does so after a stochastic one too.
        elif known["eta"] is None and "algorithm_type" in overrides and chosen.get("eta") == usual:
            chosen.pop("eta", None)  # And one of which noise is asked adds it after one that does not by itself.
    chosen.update(overrides)
    arguments = _only(chosen, known)
    for name in [name for name, value in arguments.items() if value is None and known[name] is not None]:
        if source is not None and source.defaults().get(name, known[name]) is None:
            del arguments[name]  # None stands for what the other class derives, and this one does not.
    kept = {name: value for name, value in chosen.items() if name not in known}
    followed = process_of(target, known, arguments) or target.__name__
    unused = OF_BETAS if process == "shift" else OF_FLOWS if "beta_schedule" in own else ()
    flow_like = () if target.own_process else known
    lost = {name: value for name, value in told.items() if name not in unused and _tells(name, value, flow_like)}
    if process in (None, followed):
        lost = {name: value for name, value in lost.items() if name in kept and name not in UNNEEDED}
    else:
        lost = {name: value for name, value in lost.items() if name in kept} or lost or own
    return Conversion(arguments, kept, lost, {})


def _stochastic(chosen, overrides, known):
    """Whether a class with `eta` adds noise unless it is told otherwise: where it is None, by its algorithm."""
    algorithm = {**known, **chosen, **overrides}.get("algorithm_type", "sde-")
    return algorithm.startswith("sde-") if known["eta"] is None else known["eta"] > 0


def _only(values, names):
    return {name: value for name, value in values.items() if name in names}


def _tells(name, value, known):
    """Whether a class with the arguments `known`, without this one, does not have its value by itself."""
    without = FLOW[name] if "shift" in known and name in FLOW else DESCRIBING.get(name)
    return value is not without and not (isinstance(value, (str, float, int)) and value == without)
