"""Solvers that call the model twice a step."""

import numpy as np

from mindscience_diffuser.noise import sigma_to_timestep
from mindscience_diffuser.plan import StepPlan, linear_combination
from mindscience_diffuser.schedulers.sigma.solver import SolverScheduler


class TwoCallScheduler(SolverScheduler):
    """Base of second-order methods from sigma to sigma_next, whose second call is at a level in between or at the end.

    n steps have 2n - 1 rows: a step's first call, which leads to the second one, and the second call, which leads from
    the base point, remembered as ``base``, to sigma_next. The last step has one call, as Euler's method. ``sigmas`` are
    the levels of the calls, then that of the end, ``(2n,)``.
    """

    scaled = True
    order = 2

    def second_level(self, sigma, sigma_next):
        """Returns the level of the second call of the step from `sigma` to `sigma_next`, above 0."""
        raise NotImplementedError

    def steps(self):
        """Returns sigma and sigma_next of the step that each row belongs to, and whether the row is its second call."""
        sigma = self.sigmas[:-1:2]
        sigma_next = np.append(sigma[1:], self.sigmas[-1])
        second = np.arange(len(self.timesteps)) % 2 == 1
        return np.repeat(sigma, 2)[:-1], np.repeat(sigma_next, 2)[:-1], second

    def two_call_plan(self, step, **remembered):
        """Returns the plan of the chosen levels, whose rows remember the base point and what else is given.

        Args:
            step (Weights): The next sample.
            **remembered (Weights): What is remembered besides ``base``.
        """
        level = self.sigmas[:-1]
        return StepPlan(
            self.timesteps,
            self.clean_sample(level),
            {"sample": step, "base": {"sample": 1.0}, **remembered},
            limit=self.limit,
            needs_fp16_gain=True,
            next_level=self.level(self.sigmas[1:]),
            input_scale=self.input_scale(level),
        )

    def midpoint_step(self, target):
        """Returns the next sample of a midpoint method: x + (target - sigma) * d, d the slope at the second call.

        The first call's own slope leads to the second level, which is where it is needed, or to the end of the last
        step.

        Args:
            target (numpy.ndarray): Level that the slope of the second call leads to, one for each row.
        """
        sigma, _, second = self.steps()
        reached = np.where(second, target, self.sigmas[1:])
        base = np.where(second, 1.0, 0.0)
        slope = self.noise(self.sigmas[:-1])
        return linear_combination((1.0, {"sample": 1 - base, "base": base}), (reached - sigma, slope))

    def _take_levels(self, sigmas, timesteps, final):
        second = self.second_level(sigmas[:-1], sigmas[1:])
        told = self._second_timesteps(second, timesteps)
        super()._take_levels(_alternating(sigmas, second), _alternating(timesteps, told), final)

    def _second_timesteps(self, levels, timesteps):
        """Returns the timesteps of second calls at `levels`; `timesteps` are those of the first calls."""
        del timesteps
        return sigma_to_timestep(levels, self.training_sigmas)


def _alternating(first, second):
    """Returns first[0], second[0], first[1], ..., first[n - 1] of n and n - 1 values."""
    return np.insert(np.asarray(first, np.float64), np.arange(1, len(first)), second)
