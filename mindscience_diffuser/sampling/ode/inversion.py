"""The noise of given samples: deterministic steps run backwards, each of them by a fixed-point iteration."""

from typing import NamedTuple

import mindspore as ms
import numpy as np
from mindspore import Tensor, ops
from mindspore import dtype as mstype

from mindscience_diffuser.recent import RecentlyUsed
from mindscience_diffuser.sampling.compiled import CompiledSampler, with_own_memory
from mindscience_diffuser.sampling.model_step import ModelStep
from mindscience_diffuser.sampling.ode.probability_flow import checked_plan, in_memory, probability_flow
from mindscience_diffuser.sampling.sampler import Sampler
from mindscience_diffuser.step import looked_up
from mindscience_diffuser.validation import check_integer

# Not in a cell: primitives do not pickle.
MOST = ops.ReduceMax()

_compiled = RecentlyUsed()


class Inverted(NamedTuple):
    """What samples are drawn from.

    Args:
        noise (Tensor): The sample at the scheduler's first level, ``(B, ...)``, float32: what a Sampler begins with.
        error (numpy.ndarray): Largest difference between each sample and what the steps make of its noise, in the scale
            of x, float64, ``(B,)``.
    """

    noise: Tensor
    error: np.ndarray


def invert(model, scheduler, x, *conditions, iterations=2, corrections=6):
    """Returns the noise at the scheduler's first level from which its deterministic steps lead to given samples.

    The levels of the present plan are run upwards. A step of first order between two of them is inverted by a
    fixed-point iteration, as in AIDI (Pan et al., 2023, arXiv:2309.04907) and ReNoise (Garibi et al., 2024,
    arXiv:2403.14602): with z = x / sqrt(alpha^2 + sigma^2) and the angle phi = atan2(sigma, alpha) it is
    ``z_next = cos(d) * z - sin(d) * v(z)``, d = phi - phi_next, and so ``z <- (z_next + sin(d) * v(z)) / cos(d)``.

    Let G be that inversion of the whole trajectory, and S the scheduler's steps themselves, which may remember earlier
    ones or call the model twice. Corrections ``n <- n + G(x) - G(S(n))`` end where S(n) = x, and for every sample the
    noise whose S(n) is nearest to x is returned.

    A last step to sigma = 0 forgets the noise of the level at which it begins, and is left out: x is taken for alpha
    times a sample of that level, the lowest above 0. What a Sampler draws from the noise then differs from x by what
    that step removes. A trajectory that ends at some noise is inverted as a whole. Not inside graphs; the eight graphs
    that were used last are kept, with their models.

    Args:
        model (nn.Cell): Called as ``model(x, timestep, *conditions)``, as by a Sampler.
        scheduler (Scheduler): Its `set_timesteps` must have been called. Deterministic, without a limit of the clean
            sample, in float32.
        x (Tensor): Clean samples, ``(B, ...)``, in the scale of the training data.
        *conditions (Tensor or tuple of Tensors): Passed on to the model; first axis B.
        iterations (int): Fixed-point iterations of each step, a model call each, at least 1; one alone is the usual
            inversion of DDIM (Song et al., 2021, arXiv:2010.02502, section 4.3). Default: ``2``.
        corrections (int): Corrections of the whole trajectory, at least 0, each of as many model calls as G and S have.
            Few large steps need more of them, as the error tells. Default: ``6``.

    Returns:
        :class:`Inverted`: the noise, ``(B, ...)``, and the error of each sample, ``(B,)``.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If the steps of the plan are stochastic or limited, none of them has an inverse, or a value or a
            shape does not fit.
    """
    plan = checked_plan(model, scheduler, x, conditions, "inversion")
    check_integer("iterations", iterations, low=1)
    check_integer("corrections", corrections, low=0)
    alpha, sigma, stop = _beginning(plan, scheduler.order)
    flow = probability_flow(plan)
    begin = np.arctan2(sigma, alpha)
    upwards = _upwards(flow.at(flow.angles > begin), begin, iterations)
    layout, rows = upwards.pack()
    walk = _compiled.made((model, scheduler, layout), lambda: _InversionWalk(model, scheduler, layout))
    noise, error = walk.run(
        in_memory(rows),
        in_memory(upwards.timesteps),
        Tensor(len(upwards), mstype.int32),
        Tensor(stop, mstype.int32),
        Tensor(corrections, mstype.int32),
        Tensor([np.hypot(alpha, sigma), flow.lengths[-1]], mstype.float32),
        ops.cast(with_own_memory(x), mstype.float32) * float(np.cos(begin)),
        *map(with_own_memory, conditions),
    )
    return Inverted(noise, error.asnumpy().astype(np.float64) / np.cos(begin))


class _InversionWalk(CompiledSampler):
    """Inverts trajectories, as one graph; `layout` is that of :func:`_upwards`."""

    def __init__(self, model, scheduler, layout):
        super().__init__(model)
        self.lift = ModelStep(model, layout, mstype.float32)
        self.sampler = Sampler(model, scheduler)

    @ms.jit
    def looped(self, rows, timesteps, count, stop, corrections, lengths, z, *conditions):
        """Returns the noise, as a sample of the first level, and the largest difference in what follows from it."""
        begin, end = ops.unstack(lengths)
        reached, noise, target, best = z, z, z, z
        error = ops.full((z.shape[0],), np.inf, dtype=mstype.float32)
        j = ops.zeros_like(count)
        while j <= corrections:
            lifted = self.lifted(rows, timesteps, count, reached, conditions)
            target = ops.where(j == 0, lifted, target)
            noise = ops.where(j == 0, lifted, noise + target - lifted)
            states = self.sampler.initial(noise * end)
            first = ops.zeros_like(count)
            sampler = self.sampler
            reached = sampler.looped(sampler.rows, sampler.timesteps, first, stop, *states, *conditions)[0] / begin
            missed = MOST(ops.abs(reached - z).reshape((z.shape[0], -1)), 1)
            nearer = (missed < error).reshape((-1,) + (1,) * (z.ndim - 1))
            best = ops.where(ops.logical_or(nearer, j == 0), noise, best)
            error = ops.where(missed < error, missed, error)
            j = j + 1
        return best * end, error

    def lifted(self, rows, timesteps, count, z, conditions):
        """Returns samples of the lowest level, carried upwards by the inverted steps of first order."""
        sample, base = z, z
        k = ops.zeros_like(count)
        while k < count:
            row, timestep = looked_up(rows, k), ops.gather(timesteps, k, 0)
            sample, base = self.lift(row, timestep, (sample, base), conditions)
            k = k + 1
        return sample

    def run(self, *inputs):
        """Runs the graph."""
        with self.compiled_calls():
            return self.whole(self.looped)(*inputs)


def _beginning(plan, order):
    """Returns alpha and sigma of the lowest level that can be inverted from, and the number of rows that lead to it."""
    alpha, sigma = (np.broadcast_to(level, len(plan)) for level in plan.next_level)
    if sigma[-1] > 0:
        return alpha[-1], sigma[-1], len(plan)
    stop = (len(plan) - 1) // order * order
    if stop == 0:
        raise ValueError(
            "The plan has one step, to sigma = 0, which forgets the noise: there is nothing to invert. Call "
            "set_timesteps with more steps."
        )
    return alpha[stop - 1], sigma[stop - 1], stop


def _upwards(flow, begin, iterations):
    """Returns the plan of the inverted steps of first order from the angle `begin` to the levels of an ODE in turn.

    Each of them has as many rows as there are iterations, and remembers where it began as ``base``.
    """
    repeated = np.repeat(np.arange(len(flow.angles)), iterations)
    first = (np.arange(len(repeated)) % iterations == 0) * 1.0
    turn = np.diff(flow.angles, prepend=begin)[repeated]
    states = {
        "sample": {
            "sample": first / np.cos(turn),
            "base": (1 - first) / np.cos(turn),
            "velocity": np.tan(turn),
        },
        "base": {"sample": first, "base": 1 - first},
    }
    return flow.at(repeated).plan(states)
