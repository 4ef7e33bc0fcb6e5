"""What diffusers' schedulers keep as attributes, read from the tables and the memory of the native ones."""

import numpy as np
from mindspore import ops

from mindscience_diffuser.compat.outputs import to_host
from mindscience_diffuser.noise import ancestral


def _alpha_bar(scheduler):
    return np.asarray(to_host(scheduler.native.alphas_cumprod), np.float64)


def _alpha_bar_at_the_end(scheduler):
    return np.asarray(scheduler.native.end_level[0] ** 2)


def _steps_taken(scheduler):
    position = scheduler.native._trajectory.position
    return 0 if position is None else position - scheduler._known_from


def _predictions_used(scheduler):
    """Returns how many of the remembered predictions the next step may use."""
    trajectory = scheduler.native._trajectory
    if trajectory.position is None:
        return scheduler._past_count
    return min(trajectory.position - trajectory.begin, scheduler.native.most_predictions)


def _in_first_call(scheduler):
    return (scheduler._step_index or 0) % scheduler.native.order == 0


def _length_of_step(scheduler):
    """Returns sigma_next - sigma of the step whose second call is next."""
    sigma, sigma_next, _ = scheduler.native.steps()
    return np.asarray(sigma_next - sigma)[scheduler._step_index, ...]


def _level_of_call(scheduler):
    return np.asarray(scheduler.native.sigmas)[scheduler._step_index, ...]


def _ancestral_parts(scheduler):
    sigma, sigma_next, _ = scheduler.native.steps()
    return ancestral(sigma, sigma_next)


def _base(scheduler):
    history = scheduler.native._trajectory.history
    if not history or (scheduler.native.order == 2 and _in_first_call(scheduler)):
        return None
    states = list(scheduler.native.plan.states)
    return history[states.index("base") - 1] if "base" in states else None


def _last_timesteps(scheduler):
    """Returns the timesteps of the last steps, the latest last, None before there are so many."""
    count = scheduler.native.most_predictions
    position, taken = scheduler.native._trajectory.position, _steps_taken(scheduler)
    return [scheduler.timesteps[position - k] if k <= taken else None for k in range(count, 0, -1)]


ATTRIBUTES = {
    "alphas": lambda scheduler: 1 - np.asarray(scheduler.native.betas),
    "final_alpha_cumprod": _alpha_bar_at_the_end,
    "initial_alpha_cumprod": _alpha_bar_at_the_end,
    "one": lambda scheduler: np.ones(()),
    "alpha_t": lambda scheduler: np.sqrt(_alpha_bar(scheduler)),
    "sigma_t": lambda scheduler: np.sqrt(1 - _alpha_bar(scheduler)),
    "lambda_t": lambda scheduler: np.log(_alpha_bar(scheduler) / (1 - _alpha_bar(scheduler))) / 2,
    "log_sigmas": lambda scheduler: np.log(scheduler.native.training_sigmas),
    "state_in_first_order": _in_first_call,
    "sample": _base,
    "dt": lambda scheduler: None if _in_first_call(scheduler) else _length_of_step(scheduler),
    "prev_derivative": lambda scheduler: None if _in_first_call(scheduler) else scheduler.native._trajectory.history[1],
    "mid_point_sigma": lambda scheduler: None if _in_first_call(scheduler) else _level_of_call(scheduler),
    "sigmas_interpol": lambda scheduler: scheduler.native.sigmas[1:-1:2],
    "sigmas_down": lambda scheduler: _ancestral_parts(scheduler)[0],
    "sigmas_up": lambda scheduler: _ancestral_parts(scheduler)[1],
    "lower_order_nums": _predictions_used,
    "timestep_list": _last_timesteps,
    "predict_x0": lambda scheduler: scheduler.native.predicts_x0,
    "counter": _steps_taken,
    "pndm_order": lambda scheduler: 4,
    "cur_sample": _base,
    "order_list": lambda scheduler: scheduler.native.orders(0).tolist(),
    "last_sample": lambda scheduler: scheduler._memory().get("last_sample"),
}
"""Attributes that the native scheduler does not have under this name; the others come from it or the configuration."""

MEMORIES = {"model_outputs": "prediction", "derivatives": "slope", "ets": ("noise", "value", "step")}
"""Lists of what a multistep solver remembers, and what the plan calls it: ``prediction_1`` is the latest one."""

GROWING = ("derivatives", "ets")
"""Lists that are empty at first; the others hold None where nothing is known yet."""


def memory(name):
    """Returns the property of such a list, the latest last, which can be set too."""

    def states(scheduler):
        history = [state for state in scheduler.native.plan.states if state != "sample"]
        return [history.index(state) for state in history if state.startswith(MEMORIES[name])]

    def get(scheduler):
        remembered = scheduler.native._trajectory.history
        known = [remembered[i] for i in states(scheduler)[: _steps_taken(scheduler)]] if remembered else []
        missing = 0 if name in GROWING else scheduler.native.most_predictions - len(known)
        return scheduler._hand_out(name, [None] * missing + known[::-1])

    def set_(scheduler, values):
        scheduler._handed_out.pop(name, None)
        trajectory = scheduler.native._trajectory
        values = [value for value in values if value is not None]
        if trajectory.history:
            scheduler._set_trajectory(history=replaced(scheduler, trajectory.history, values))
        elif values:
            blank = (ops.zeros_like(values[-1]),) * scheduler.native.remembered
            scheduler._past = (len(values) if name in GROWING else None, replaced(scheduler, blank, values))

    def replaced(scheduler, history, values):
        latest_first = dict(zip(states(scheduler), values[::-1]))
        return tuple(latest_first.get(i, value) for i, value in enumerate(history))

    return property(get, set_)


ORDERED_BY_ROW = ("LMSDiscreteScheduler",)
"""Schedulers whose order goes by the row also where a trajectory begins in the middle: what is missing counts as 0."""


def recall(scheduler, row):
    """Lets a trajectory that begins at `row` go on from what the user has set as its past, if anything."""
    trajectory = scheduler.native._trajectory
    if trajectory.history or not scheduler.native.remembered:
        return
    count, history = scheduler._past or (0, ())
    count = scheduler._past_count if count is None else count
    scheduler._known_from = row - count
    if hasattr(scheduler.native, "goes_on"):
        scheduler.native.goes_on = count > 0
    # No method uses more than three values of the past.
    ordered_by_row = scheduler.native_class.__name__ in ORDERED_BY_ROW
    scheduler._set_trajectory(history=history, begin=0 if count >= 3 or ordered_by_row else max(row - count, 0))
