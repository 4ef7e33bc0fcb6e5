"""Noise that is added and removed again: with a perfect model of one point each step ends at its level."""

import numpy as np
import pytest

from mindscience_diffuser import (
    EDMEulerScheduler,
    EDMHeunScheduler,
    EulerDiscreteScheduler,
    FlowMatchHeunDiscreteScheduler,
)

STEPS = 6
CHURN = {"s_churn": 4.0}
SCHEDULERS = {
    "Euler": (lambda: EulerDiscreteScheduler(), CHURN),
    "Euler, v": (lambda: EulerDiscreteScheduler(prediction_type="v_prediction"), CHURN),
    "Euler, sample": (lambda: EulerDiscreteScheduler(prediction_type="sample", use_karras_sigmas=True), CHURN),
    "Euler to sigma_min": (lambda: EulerDiscreteScheduler(final_sigmas_type="sigma_min"), CHURN),
    "EDM Euler": (lambda: EDMEulerScheduler(), CHURN),
    "EDM Euler, v": (lambda: EDMEulerScheduler(prediction_type="v_prediction", sigma_data=0.7), CHURN),
    "EDM Heun": (lambda: EDMHeunScheduler(**CHURN), {}),
    "flow Heun": (lambda: FlowMatchHeunDiscreteScheduler(shift=3.0), CHURN),
    "flow Heun between levels": (lambda: FlowMatchHeunDiscreteScheduler(), {**CHURN, "s_tmin": 0.2, "s_tmax": 0.8}),
}


def weights_along(plan, point, first, fresh):
    """Returns the sample after each row, with a model that knows the clean sample `point`.

    The sample begins as the point with `first` times its noise; `fresh` is the noise of each row.
    """
    alpha, sigma = (float(part[0]) for part in plan.level)
    values = dict.fromkeys(plan.states, 0.0)
    values["sample"], samples = alpha * point + sigma * first, []
    for row in range(len(plan)):
        weights = {name: float(np.broadcast_to(w, len(plan))[row]) for name, w in plan.x0.items()}
        rest = sum(weight * values[name] for name, weight in weights.items() if name != "output")
        output = (point - rest) / weights["output"]
        results = plan.run(row, **values, output=output, noise=fresh[row])
        values = {name: float(results[name]) for name in plan.states}
        samples.append(values["sample"])
    return np.array(samples)


@pytest.mark.parametrize("make, options", SCHEDULERS.values(), ids=SCHEDULERS)
def test_each_step_ends_at_its_level(make, options):
    scheduler = make()
    scheduler.set_timesteps(STEPS)
    plan = scheduler.plan_for(**options)
    rows, nothing = len(plan), np.zeros(len(plan))
    signal = weights_along(plan, 1.0, 0.0, nothing)
    noises = [weights_along(plan, 0.0, 1.0, nothing)]
    noises += [weights_along(plan, 0.0, 0.0, np.eye(rows)[row]) for row in range(rows)]
    alpha, sigma = plan.next_level
    ends = np.arange(scheduler.order - 1, rows, scheduler.order)
    ends = np.union1d(ends, [rows - 1])
    np.testing.assert_allclose(signal[ends], alpha[ends], atol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(noises, axis=0)[ends], sigma[ends], rtol=1e-9, atol=1e-9)
    assert np.abs(noises[1:]).max() > 0.1, "Churn must add noise."
