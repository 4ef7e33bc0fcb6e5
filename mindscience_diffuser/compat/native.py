"""From diffusers' constructor arguments to the native scheduler that does the work."""

import inspect
import logging

import numpy as np

from mindscience_diffuser.cells import unlock
from mindscience_diffuser.compat.description import REQUIRED
from mindscience_diffuser.compat.outputs import to_host
from mindscience_diffuser.noise import BETA_SCHEDULES, rescale_zero_terminal_snr
from mindscience_diffuser.schedulers.base.arguments import VARIANCE_TYPES
from mindscience_diffuser.schedulers.sigma.solver import LOWEST_ALPHA_BAR

logger = logging.getLogger(__name__)

NOT_IMPLEMENTED = ("beta_schedule", "algorithm_type", "solver_type")
"""Arguments for whose unknown values diffusers raises NotImplementedError."""


def build_native(native_class, values):
    """Returns the native scheduler of diffusers' arguments.

    Raises:
        NotImplementedError: If there is no such beta schedule or solver.
        ValueError: If another value is out of range.
    """
    try:
        return unlock(native_class(**_native_arguments(native_class, values)))
    except ValueError as error:
        if any(f"'{name}' must be one of" in str(error) for name in NOT_IMPLEMENTED):
            raise NotImplementedError(str(error)) from error
        raise


def _native_arguments(native_class, values):
    """Returns what the native constructor takes of diffusers' arguments."""
    known = inspect.signature(native_class.__init__).parameters
    values = {name: value for name, value in values.items() if name in known and value is not REQUIRED}
    values = {name: getattr(value, "native", value) for name, value in values.items()}
    if "variance_type" in values:
        values["variance_type"] = _variance_type(values["variance_type"], known["variance_type"].default)
    return {**values, **_betas_with_signal(values)} if "trained_betas" in values else values


def _variance_type(given, default):
    """Returns what the native class calls a variance; solvers whose default is None know of learned ones only."""
    if default is None:
        return given if str(given).startswith("learned") else None
    if given not in VARIANCE_TYPES:
        logger.warning(f"variance_type={given!r} is unknown: that of 'fixed_small' is used.")
        return "fixed_small"
    return given


def _betas_with_signal(values):
    """Returns the arguments of betas that leave a signal everywhere.

    diffusers accepts betas of 1 and more, and a noise prediction where the last timestep is pure noise; it returns NaN
    there. Here alpha_bar stays above ``LOWEST_ALPHA_BAR``.
    """
    betas = values["trained_betas"]
    highest = max(values.get("beta_start") or 0, values.get("beta_end") or 0)
    noise_at_zero_snr = values.get("rescale_betas_zero_snr") and values.get("prediction_type") == "epsilon"
    changed = {}
    if betas is None and (highest >= 1 or noise_at_zero_snr):
        schedule = BETA_SCHEDULES[values["beta_schedule"]]
        betas = schedule(values["num_train_timesteps"], values["beta_start"], values["beta_end"])
        changed.update(beta_start=0.5, beta_end=0.5)  # Not used beside given betas.
    if betas is not None:
        betas = np.minimum(np.asarray(to_host(betas), np.float64), 1.0)
        if noise_at_zero_snr:
            betas = rescale_zero_terminal_snr(betas)
            changed["rescale_betas_zero_snr"] = False
        lowest = LOWEST_ALPHA_BAR * (1 - 1e-9 * np.arange(len(betas)))  # Strictly falling where it holds alpha_bar.
        alpha_bar = np.cumprod(1 - betas)
        if np.any(alpha_bar < lowest):
            alpha_bar = np.maximum(alpha_bar, lowest)
            betas = 1 - alpha_bar / np.append(1.0, alpha_bar[:-1])
        changed.update(trained_betas=betas, num_train_timesteps=len(betas))
    return changed
