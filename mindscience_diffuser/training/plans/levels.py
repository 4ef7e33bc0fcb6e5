"""The noise levels of a solver as numbers without bounds, which a search or a gradient may change freely."""

import copy
from dataclasses import replace

import numpy as np

from mindscience_diffuser.cells import unlocked
from mindscience_diffuser.noise import sigma_to_timestep
from mindscience_diffuser.recent import RecentlyUsed
from mindscience_diffuser.schedulers import FlowMatchEulerDiscreteScheduler
from mindscience_diffuser.schedulers.edm.edm import EDMScheduler
from mindscience_diffuser.schedulers.flow.flow_match import FlowMatchScheduler
from mindscience_diffuser.schedulers.sigma.solver import SolverScheduler
from mindscience_diffuser.validation import check_integer

LEAST_SHARE = 1e-6
"""Least share of the way from the first to the lowest level that lies between two neighbours."""


class Levels:
    """The schedule of a deterministic solver, as its first level and the shares of the way to the lowest one.

    The way is measured by log(sigma), of a flow by sigma, which begins at 1. The first level is that of the noise that
    a trajectory starts from, and the level of the end is that of the solver; those between are free, but in order.

    Args:
        scheduler (Scheduler): The solver; one model call a step, without fresh noise.
        calls (int): Number n of model calls.

    Raises:
        TypeError: If the solver is not one of those whose levels can be given.
        ValueError: If it adds noise, calls the model more than once a step, shifts its levels by the resolution, or its
            levels do not fall from noise to data.
    """

    def __init__(self, scheduler, calls):
        name = type(scheduler).__name__
        if not isinstance(scheduler, (EDMScheduler, SolverScheduler, FlowMatchScheduler)):
            raise TypeError(
                f"'solver' is {name}, whose noise levels are not free: give one of those that are, such as "
                "DPMSolverMultistepScheduler, which with solver_order=1 is DDIM, or "
                f"{FlowMatchEulerDiscreteScheduler.__name__}."
            )
        self.calls = check_integer("num_inference_steps", calls, low=2)
        settings = scheduler.settings
        if settings.get("use_dynamic_shifting"):
            raise ValueError("'solver' has use_dynamic_shifting=True: its levels depend on mu. Set it to False.")
        self.flow = isinstance(scheduler, FlowMatchScheduler) or bool(getattr(scheduler, "flow", False))
        self._plans = RecentlyUsed()
        # The schedule of the scheduler that was given stays as it is: it may be that of the teacher too.
        self.scheduler = scheduler = copy.deepcopy(scheduler)
        scheduler.set_timesteps(calls)
        plan = scheduler.plan_for()
        if scheduler.order != 1 or plan.stochastic or len(plan) != calls:
            raise ValueError(
                f"'solver' is {name}, which adds noise or calls the model more than once a step: give a deterministic "
                "solver of one call a step, such as DPMSolverMultistepScheduler."
            )
        if np.any(np.diff(scheduler.sigmas) > 0):
            raise ValueError(
                f"'solver' is {name}, whose sigmas rise: give one that leads from noise to data, with falling ones."
            )
        # Plans are made by a copy whose table on the device stays as it is: there are thousands of them in a fit.
        self._draft = copy.deepcopy(scheduler)
        self.first, self.end = scheduler.sigmas[0], scheduler.sigmas[-1]
        self.lowest = self._lowest()
        self.start = self.numbers(scheduler.sigmas[:-1])

    def _lowest(self):
        """Returns the lowest level at which the model may be called: that of training, and of what is visited."""
        scheduler = self.scheduler
        if isinstance(scheduler, EDMScheduler):
            known = scheduler.settings.sigma_min
        elif self.flow:
            known = 1 / scheduler.num_train_timesteps
        else:
            known = scheduler.training_sigmas[0]
        return max(min(known, scheduler.sigmas[-2]), self.end)

    @property
    def lowest_level(self):
        """Weights alpha and sigma of the sample at the lowest level."""
        scheduler = self.scheduler
        if isinstance(scheduler, SolverScheduler):
            return scheduler.level(np.float64(self.lowest))
        return (1 - self.lowest, self.lowest) if self.flow else (1.0, self.lowest)

    def position(self, sigmas):
        """Returns how far on the way levels are, rising from noise to data."""
        return -np.asarray(sigmas) if self.flow else -np.log(sigmas)

    def numbers(self, sigmas):
        """Returns the numbers, ``(n,)``, of the levels of n calls, descending."""
        positions = np.append(self.position(sigmas), self.position(self.lowest))
        shares = np.maximum(np.diff(positions) / (positions[-1] - positions[0]), LEAST_SHARE)
        return np.log(shares / shares.sum())

    def sigmas(self, numbers):
        """Returns the levels, ``(n,)``, descending, of these numbers."""
        shares = np.exp(numbers - np.max(numbers))
        way = np.append(0.0, np.cumsum(shares / shares.sum())[:-1])
        first, last = self.position(self.first), self.position(self.lowest)
        positions = first + (last - first) * way
        return -positions if self.flow else np.exp(-positions)

    def plan(self, numbers):
        """Returns the StepPlan of the solver at the levels of these numbers; what the model is told is not rounded."""

        def build():
            with unlocked(self._draft) as draft:
                draft.sigmas, draft.timesteps = self._visited(numbers)
                return replace(draft.trajectory_plan(), results={}, level=draft.levels_of_calls())

        return self._plans.made(np.asarray(numbers, np.float64).tobytes(), build)

    def told(self, sigmas):
        """Returns what the model is told at levels, float64."""
        scheduler = self.scheduler
        if self.flow:
            return sigmas * scheduler.num_train_timesteps
        if isinstance(scheduler, EDMScheduler):
            own = scheduler.prediction_type == "sample"
            return sigmas if own else scheduler.preconditioning.scalings(sigmas).c_noise
        return sigma_to_timestep(sigmas, scheduler.training_sigmas)

    def schedule(self, numbers):
        """Gives the solver the levels of these numbers, and returns it."""
        with unlocked(self.scheduler) as scheduler:
            scheduler.sigmas, timesteps = self._visited(numbers)
            scheduler._schedule(timesteps.astype(np.float32))
        return scheduler

    def _visited(self, numbers):
        """Returns the levels of these numbers, ``(n + 1,)`` with that of the end, and what the model is told there."""
        sigmas = self.sigmas(numbers)
        sigmas[0] = self.first
        return np.append(sigmas, self.end), self.told(sigmas)
