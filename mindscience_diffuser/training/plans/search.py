"""Levels that are searched: from the noise schedule alone, or by dynamic programming over a teacher's trajectories."""

from dataclasses import replace

import numpy as np
from scipy.optimize import minimize


def search_by_bound(levels, power=1.0):
    """Returns the numbers of the levels with the least bound of the final error, without a look at the model.

    The sample at the lowest level is a weighted sum of the clean predictions. The error of one of them is taken for
    proportional to ``(sigma / alpha) ** power``, and the sum of the errors times the magnitudes of their weights is
    what is minimised (Xue et al., 2024, arXiv:2402.17376, section 3).

    Args:
        levels (Levels): The solver and its number of calls.
        power (float): How fast the error of a prediction grows with the noise: 1 for pixels, 2 for latents, above 0.
            Default: ``1.0``.

    Returns:
        numpy.ndarray, shape ``(n,)``.
    """

    def bound(numbers):
        plan = levels.plan(numbers)
        alpha, sigma = plan.level
        # Where a flow begins alpha is 0, and the ratio without bound: there nothing can be chosen.
        ratio = sigma / np.maximum(alpha, 1e-3)
        return np.sum(np.abs(influences(plan, levels.lowest_level)) * ratio**power)

    return minimize(bound, levels.start, method="Powell", options={"maxiter": 50, "xtol": 1e-3, "ftol": 1e-6}).x


def influences(plan, end):
    """Returns the weight of each clean prediction in the sample at the level `end`, (alpha, sigma), ``(n,)``.

    The last step leads there by first order. At the clean sample itself only the last prediction would count.
    """
    plan, count = replace(plan, limit=None), len(plan)
    columns = plan.level_columns()
    state = {name: np.zeros((1, count)) for name in plan.states}
    for step in range(count - 1):
        of_sample, of_output, _, _, scale = columns[step, :5]
        clean = np.eye(count)[None, step]
        output = (clean - of_sample * scale * state["sample"]) / of_output
        state = {name: plan.run(step, output=output, **state)[name] for name in plan.states}
    alpha, sigma = (level[-1] for level in plan.level)
    ratio = end[1] / sigma
    weights = ratio * state["sample"][0]
    weights[-1] += end[0] - ratio * alpha
    return weights


def jump_errors(samples, clean, alphas, sigmas):
    """Returns how far one step of first order from each point of a teacher's trajectories is from a later point.

    Args:
        samples (numpy.ndarray): Samples on a fine grid of N + 1 levels, ``(N + 1, B, ...)``.
        clean (numpy.ndarray): Clean predictions at all levels but the last, ``(N, B, ...)``.
        alphas (numpy.ndarray): Weight of the clean sample at each level, ``(N + 1,)``.
        sigmas (numpy.ndarray): Weight of the noise, ``(N + 1,)``; it may end at 0.

    Returns:
        numpy.ndarray, ``(N, N + 1)``: the root mean square distance of a step from row to column, infinite where that
        is no later point (Chen et al., 2024, arXiv:2405.11326, section 4).
    """
    count = len(clean)
    samples, clean = (values.reshape(len(values), -1).astype(np.float64) for values in (samples, clean))
    errors = np.full((count, count + 1), np.inf)
    for i in range(count):
        ratio = sigmas[i + 1 :, None] / sigmas[i]
        reached = ratio * samples[i] + (alphas[i + 1 :, None] - ratio * alphas[i]) * clean[i]
        errors[i, i + 1 :] = np.sqrt(np.mean((reached - samples[i + 1 :]) ** 2, axis=1))
    return errors


def cheapest_path(costs, calls):
    """Returns the points of the path from the first to the last one in exactly `calls` jumps with the least total cost.

    Args:
        costs (numpy.ndarray): Cost of a jump from each point to each later one, ``(N, N + 1)``.
        calls (int): Number of jumps, in [1, N].

    Returns:
        list of int, the points that jumps begin at, ascending, `calls` of them; the first is 0.
    """
    count = len(costs)
    total, origin = np.full((calls + 1, count + 1), np.inf), np.zeros((calls + 1, count + 1), int)
    total[0, 0] = 0.0
    for jump in range(1, calls + 1):
        reached = total[jump - 1, :count, None] + costs
        origin[jump], total[jump] = reached.argmin(axis=0), reached.min(axis=0)
    path, point = [], count
    for jump in range(calls, 0, -1):
        point = int(origin[jump, point])
        path.append(point)
    return path[::-1]


def search_dynamically(levels, samples, clean, alphas, sigmas, visited):
    """Returns the numbers of the levels that :func:`cheapest_path` visits along the trajectories of a teacher.

    Args:
        levels (Levels): The solver and its number of calls.
        samples (numpy.ndarray): See :func:`jump_errors`.
        clean (numpy.ndarray): See there.
        alphas (numpy.ndarray): See there.
        sigmas (numpy.ndarray): See there.
        visited (numpy.ndarray): The teacher's levels as the solver counts them, its ``sigmas``, ``(N,)``.
    """
    path = cheapest_path(jump_errors(samples, clean, alphas, sigmas), levels.calls)
    return levels.numbers(visited[path])
