"""Samplers of the papers and of k-diffusion and ComfyUI, written down step by step without tables.

Each takes the sample, the levels of its steps as pairs (alpha, sigma) with that of the end, a function that predicts
the clean sample at a level, and an iterator of noise. They work on any arrays: on samples, or on the
coefficients of what is linear in independent normals, so that one run gives mean and variance. They yield the sample
before each call of the model but the first, and the last one.
"""

import numpy as np
from scipy.integrate import quad


def log_snr(level):
    return np.log(level[0] / level[1])


def at_ratio(ratio, flow):
    """Returns the level of a ratio of noise to signal, of unit variance or of a rectified flow."""
    if flow:
        return 1 / (1 + ratio), ratio / (1 + ratio)
    return 1 / np.hypot(1, ratio), ratio / np.hypot(1, ratio)


def sde_multistep(x, levels, predict, noise, eta, order, solver_type, curvature=2.0):
    """DPM-Solver++ (2M, 3M) SDE; k-diffusion gives the second difference half of its weight, curvature=1."""
    known, lengths = [], []
    for (alpha, sigma), (alpha_t, sigma_t) in zip(levels, levels[1:]):
        known.insert(0, predict(x, (alpha, sigma)))
        if sigma_t == 0:
            yield alpha_t * known[0]
            return
        h = log_snr((alpha_t, sigma_t)) - log_snr((alpha, sigma))
        long = (1 + eta) * h
        x = sigma_t / sigma * np.exp(-eta * h) * x - alpha_t * np.expm1(-long) * known[0]
        phi_2 = np.expm1(-long) / long + 1
        if order == 3 and len(lengths) >= 2:
            r0, r1 = lengths[0] / h, lengths[1] / h
            first, second = (known[0] - known[1]) / r0, (known[1] - known[2]) / r1
            slope = first + (first - second) * r0 / (r0 + r1)
            bend = (first - second) / (r0 + r1)
            x = x + alpha_t * (phi_2 * slope - curvature * (phi_2 / long - 0.5) * bend)
        elif order >= 2 and lengths:
            weight = phi_2 if solver_type == "heun" else -np.expm1(-long) / 2
            x = x + alpha_t * weight * (known[0] - known[1]) * h / lengths[0]
        if eta > 0:
            x = x + sigma_t * np.sqrt(-np.expm1(-2 * eta * h)) * next(noise)
        lengths.insert(0, h)
        yield x


def noise_multistep(x, levels, predict, noise, eta):
    """The second order in terms of the predicted noise: DEIS of log(sigma / alpha), and its SDE."""
    before = None
    for (alpha, sigma), (alpha_t, sigma_t) in zip(levels, levels[1:]):
        epsilon = (x - alpha * predict(x, (alpha, sigma))) / sigma
        h = log_snr((alpha_t, sigma_t)) - log_snr((alpha, sigma))
        carried = alpha_t * sigma / alpha
        integral = -np.expm1(-h) * epsilon
        if before is not None:
            integral = integral + (1 - (1 + h) * np.exp(-h)) * (epsilon - before[0]) / before[1]
        x = alpha_t / alpha * x - (1 + eta) * carried * integral
        if eta > 0:
            x = x + np.sqrt(eta) * carried * np.sqrt(-np.expm1(-2 * h)) * next(noise)
        before = epsilon, h
        yield x


def sde_singlestep(x, levels, predict, noise, eta):
    """DPM-Solver++ (2S) along the SDE, pairs of levels: both steps of a pair start from its first level."""
    for start, middle, end in zip(levels[:-2:2], levels[1::2], levels[2::2]):
        first = predict(x, start)
        reached = []
        for level in (middle, end):
            h = log_snr(level) - log_snr(start)
            moved = level[1] / start[1] * np.exp(-eta * h) * x
            constant = -level[0] * np.expm1(-(1 + eta) * h)
            if reached:
                share = (log_snr(middle) - log_snr(start)) / h
                moved = moved + constant * (first + (predict(reached[0], middle) - first) / (2 * share))
            else:
                moved = moved + constant * first
            reached.append(moved + level[1] * np.sqrt(-np.expm1(-2 * eta * h)) * next(noise))
            yield reached[-1]
        x = reached[-1]


def ancestral(x, levels, predict, noise, eta, order, flow):
    """DPM++ 2S ancestral and Euler ancestral of k-diffusion; ComfyUI's forms for rectified flows."""
    for (alpha, sigma), (alpha_t, sigma_t) in zip(levels, levels[1:]):
        first = predict(x, (alpha, sigma))
        if sigma_t == 0:
            yield alpha_t * first
            return
        ratio, ratio_t = sigma / alpha, sigma_t / alpha_t
        if flow:
            sigma_down = sigma_t * (1 + (sigma_t / sigma - 1) * eta)
            down = sigma_down / (1 - sigma_down)
        else:
            down = np.sqrt(ratio_t**2 - eta**2 * ratio_t**2 * (ratio**2 - ratio_t**2) / ratio**2)
        last = first
        if order == 2:
            middle = at_ratio(np.sqrt(ratio * down), flow)
            x_middle = middle[1] / sigma * x + (middle[0] - middle[1] * alpha / sigma) * first
            yield x_middle
            last = predict(x_middle, middle)
        x = alpha_t * (down / ratio * (x / alpha) + (1 - down / ratio) * last)
        if eta > 0:
            x = x + alpha_t * np.sqrt(ratio_t**2 - down**2) * next(noise)
        yield x


def seeds(x, levels, predict, noise, eta, order, flow):
    """SEEDS-2 and SEEDS-3 in terms of x0: the noise of a step is that of one path."""
    for start, end in zip(levels, levels[1:]):
        known = [predict(x, start)]
        if end[1] == 0:
            yield end[0] * known[0]
            return
        h, path, last = log_snr(end) - log_snr(start), 0.0, 0.0
        for place in range(1, order + 1):
            share = place / order
            level = end if place == order else at_ratio(np.exp(-log_snr(start) - share * h), flow)
            long = (1 + eta) * share * h
            phi_1 = -np.expm1(-long)
            phi_2 = 1 + np.expm1(-long) / long
            if place == 1:
                integral = phi_1 * known[0]
            elif order == 2:
                integral = phi_1 * known[1]
            else:
                # Through the first prediction and the last one, made at (place - 1) / order.
                integral = phi_1 * known[0] + phi_2 * place / (place - 1) * (known[-1] - known[0])
            moved = level[1] / start[1] * np.exp(-eta * share * h) * x + level[0] * integral
            if eta > 0:
                step = (share - last) * h * eta
                path = np.exp(-step) * path + np.sqrt(-np.expm1(-2 * step)) * next(noise)
                moved = moved + level[1] * path
            yield moved
            last = share
            if place < order:
                known.append(predict(moved, level))
        x = moved


def er_sde(x, levels, predict, noise, order, scale, integrals="exact", differences="polynomial"):
    """ER-SDE-Solver-1 to -3: ComfyUI sums 200 points, and extrapolates by a Taylor series of backward differences."""
    known, ratios = [], []
    for (alpha, sigma), (alpha_t, sigma_t) in zip(levels, levels[1:]):
        known.insert(0, predict(x, (alpha, sigma)))
        ratios.insert(0, sigma / alpha)
        if sigma_t == 0:
            yield alpha_t * known[0]
            return
        r, r_t = sigma / alpha, sigma_t / alpha_t
        kept = scale(r_t) / scale(r)
        x = alpha_t / alpha * kept * x + alpha_t * (1 - kept) * known[0]
        points = r_t + np.arange(200) * (r - r_t) / 200

        def integral(k, r=r, r_t=r_t, points=points):
            if integrals == "sum":
                return np.sum((points - r) ** k / scale(points)) * (r - r_t) / 200
            return quad(lambda u: (u - r) ** k / scale(u), r_t, r, epsabs=0, epsrel=1e-13)[0]

        dt = r_t - r
        first = dt + scale(r_t) * integral(0)
        second = dt**2 / 2 + scale(r_t) * integral(1)
        used = min(order, len(known))
        if used >= 2:
            slope = (known[0] - known[1]) / (r - ratios[1])
            x = x + alpha_t * first * slope
        if used >= 3:
            bend = (slope - (known[1] - known[2]) / (ratios[1] - ratios[2])) / ((r - ratios[2]) / 2)
            x = x + alpha_t * second * bend
            if differences == "polynomial":
                # The slope at r, not that at the middle between the last two levels.
                x = x + alpha_t * first * bend * (r - ratios[1]) / 2
        x = x + alpha_t * np.sqrt(max(r_t**2 - (r * kept) ** 2, 0)) * next(noise)
        yield x


def adams_bashforth(x, levels, predict, order, as_published=False):
    """iPNDM with variable steps, alpha = 1.

    `as_published` are the coefficients of diff-sampler and ComfyUI: a bracket of the third is misplaced, and in the
    fourth a sign and a ratio of steps are others.
    """
    slopes, steps = [], []
    for (_, sigma), (_, sigma_next) in zip(levels, levels[1:]):
        slopes.insert(0, (x - predict(x, (1.0, sigma))) / sigma)
        steps.insert(0, sigma_next - sigma)
        h, used = steps[0], min(order, len(slopes))
        weights = np.zeros(4)
        weights[0] = 1.0
        if used >= 2:
            weights[:2] += np.array([1, -1]) * h / steps[1] / 2
        if used >= 3:
            ratio = h * (h + steps[1]) / (steps[1] * (steps[1] + steps[2]))
            share = h / (3 * (h + steps[1]))
            third = (1 - share * ratio) / 2 if as_published else (1 - share) / 2 * ratio
            back = steps[1] / steps[2]
            weights[:3] += third * np.array([1, -(1 + back), back])
        if used >= 4:
            share = (1 - h / (3 * (h + steps[1]))) / 2
            part = (1 - h / (2 * (h + steps[1]))) * h / (6 * (h + steps[1] + steps[2]))
            share += part if as_published else -part
            ratio = h * (h + steps[1]) * (h + steps[1] + steps[2])
            ratio /= steps[1] * (steps[1] + steps[2]) * (steps[1] + steps[2] + steps[3])
            far = steps[1] * (steps[1] + steps[2]) / (steps[2] * (steps[2] + steps[3]))
            last = steps[2] / steps[3]
            oldest = -far * (back if as_published else last)
            weights += share * ratio * np.array([1, -(1 + back + far), back + far * (1 + last), oldest])
        x = x + h * sum(weight * slope for weight, slope in zip(weights, slopes))
        yield x
