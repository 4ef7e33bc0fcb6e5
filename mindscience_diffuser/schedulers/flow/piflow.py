"""Few steps along a flow whose model predicts a segment at once: pi-Flow (Chen et al., 2025, arXiv:2510.14974)."""

import numpy as np

from mindscience_diffuser.noise import flow_shift
from mindscience_diffuser.plan import StepPlan
from mindscience_diffuser.schedulers.base.arguments import integer, number, takes_arguments
from mindscience_diffuser.schedulers.flow.flow_match import FlowMatchScheduler
from mindscience_diffuser.validation import check_integer


def grid_weights(start, end, shift, size, substeps):
    """Returns the weights of the predictions of a grid in the mean velocity of a segment of time, ``(size,)``.

    Euler's method along ``dx / d sigma = (x - x0) / sigma`` lets x / sigma grow by ``x0 * d(1 / sigma)``; x0 lies
    linearly between the points of the grid, the first of which is at `end` and the last one at `start`.
    """
    count = max(round((start - end) * substeps), 1)
    times = np.linspace(start, end, count + 1)
    growth = np.diff(1 / flow_shift(times, shift))
    places = (times[:-1] - end) / (start - end) * (size - 1)
    below = np.clip(np.floor(places), 0, size - 2).astype(int)
    weights = np.zeros(size)
    np.add.at(weights, below, (below + 1 - places) * growth)
    np.add.at(weights, below + 1, (places - below) * growth)
    return weights / growth.sum()


@takes_arguments(
    choices={
        "n_grid": integer("Number of predictions of the model in a segment, see :class:`GridPolicy`", low=2),
        "eps": number("Time at which the last segment ends", "(0, 0.01]"),
        "final_step_size_scale": number("Length of the last segment, in units of that of the others", "(0, 1]"),
        "num_policy_substeps": integer("Number of the substeps of Euler's method in a unit of time", low=1),
    },
    num_train_timesteps=1000,
    shift=5.0,
    n_grid=10,
    eps=1e-6,
    final_step_size_scale=0.5,
    num_policy_substeps=128,
)
class PiflowScheduler(FlowMatchScheduler):
    """One model call for each segment of time, through which a policy without a network leads in many substeps.

    The model predicts the velocities of `n_grid` clean samples, ``x0_k = x - sigma * v_k``, at even times from the end
    of the segment to its start (the DX policy of the paper). Between them x0 is linear in time, and the substeps of
    Euler's method through the segment add up to one step along a weighted mean of the velocities::

        x_next = x + (sigma_next - sigma) * sum_k w_k * v_k

    The weights belong to the segment alone. ``told`` holds them beside the timestep, for a :class:`GridPolicy`, which
    stands around the model in a :class:`~mindscience_diffuser.Sampler`.

    Examples:
        >>> scheduler, policy = PiflowScheduler(), GridPolicy(model)
        >>> scheduler.set_timesteps(4)
        >>> for t, told in zip(scheduler.timesteps, scheduler.told):
        ...     x = scheduler.step(policy(x, Tensor(told[None])), x, t)
    """

    own_process = "pi-flow"

    def set_timesteps(self, num_inference_steps):
        """Chooses the segments of the following trajectory, even in time but for the last one.

        Args:
            num_inference_steps (int): Number of them, each of which calls the model once, at least 1.

        Raises:
            TypeError: If it is no integer.
            ValueError: If it is out of range.
        """
        count = check_integer("num_inference_steps", num_inference_steps, low=1)
        times = 1 - np.arange(count) / (count - 1 + self.settings.final_step_size_scale)
        self._take_sigmas(*[flow_shift(times, self._shift) * scale for scale in (1, self.num_train_timesteps)])
        self.num_inference_steps = count
        self._schedule(self.timesteps)

    def _take_sigmas(self, sigmas, timesteps):
        super()._take_sigmas(sigmas, timesteps)
        self.sigmas = np.append(self.sigmas[:-1], flow_shift(self.settings.eps, self._shift))

    @property
    def told(self):
        """What the model is told at each step, float32, ``(n, 1 + n_grid)``: its timestep and the weights w."""
        config = self.settings
        times = flow_shift(self.sigmas, 1 / self._shift)
        weights = [
            grid_weights(start, end, self._shift, config.n_grid, config.num_policy_substeps)
            for start, end in zip(times[:-1], times[1:])
        ]
        return np.column_stack([self.timesteps, weights]).astype(np.float32)

    def trajectory_plan(self):
        """Returns the plan of the chosen segments."""
        sigma, sigma_next = self.sigmas[:-1], self.sigmas[1:]
        return StepPlan(
            self.told,
            self.clean_sample(sigma),
            {"sample": {"sample": 1.0, "output": sigma_next - sigma}},
            next_level=(1 - sigma_next, sigma_next),
        )
