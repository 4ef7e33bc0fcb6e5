"""PNDM: Pseudo Numerical Methods for Diffusion Models on Manifolds (Liu et al., 2022, arXiv:2202.09778)."""

import numpy as np

from mindscience_diffuser.noise import clean_sample_weights, noise_weights
from mindscience_diffuser.plan import StepPlan, linear_combination, substituted
from mindscience_diffuser.schedulers.base.arguments import LINEAR_BETAS, takes_arguments
from mindscience_diffuser.schedulers.base.trajectory import TrajectoryScheduler
from mindscience_diffuser.schedulers.diffusion.diffusion import DiffusionScheduler

ORDER = 4


def adams_bashforth(usable, positions=None):
    """Returns the weight of each value of the past in the method of the highest order, 4 at most, that they allow.

    The mean over a step of the polynomial through the usable values.

    Args:
        usable (numpy.ndarray): bool, ``(n, k)``: which values, from the latest to the earliest, a step may use.
        positions (numpy.ndarray, optional): Where each value belongs, ``(n, k)``, in units of the step: 0 is its start,
            1 its end. Default: ``None``, in even steps.

    Returns:
        numpy.ndarray, float64, ``(n, k)``; in even steps, where all four are usable, eq. (12) of the paper.
    """
    ages = np.cumsum(usable, axis=1) - 1
    positions = -ages if positions is None else positions
    used = usable & (ages < ORDER)
    weights = np.zeros(usable.shape)
    for order in range(1, ORDER + 1):
        rows = used & (used.sum(axis=1) == order)[:, None]
        powers = positions[rows].reshape(-1, 1, order) ** np.arange(order)[:, None]
        moments = np.broadcast_to(1 / np.arange(1.0, order + 1)[:, None], (len(powers), order, 1))
        weights[rows] = np.linalg.solve(powers.astype(np.float64), moments).ravel()
    return weights


@takes_arguments(
    **LINEAR_BETAS,
    skip_prk_steps=False,
    set_alpha_to_one=False,
    prediction_type="epsilon",
    timestep_spacing="leading",
    steps_offset=0,
)
class PNDMScheduler(TrajectoryScheduler, DiffusionScheduler):
    """Fourth order in the noise eps, with the transfer of DDIM, eq. (11), in place of the straight line.

    ``transfer(x, eps; s, t) = alpha_t / alpha_s * x + (sigma_t - sigma_s * alpha_t / alpha_s) * eps``. The first three
    steps are those of Runge and Kutta, eq. (13), with four model calls each; from then on one call a step and the eps
    of Adams and Bashforth, eq. (12), with the weights of the timesteps as they lie. With `skip_prk_steps` the first
    step is one of Heun, with two calls, and the next ones have lower orders. Where there are fewer steps than that, the
    first ones only are taken.

    ``timesteps`` has one entry for each model call: ``prk_timesteps``, then ``plms_timesteps``. Each call leads to the
    level of the next one, the last one to the clean sample or the level of timestep 0. A trajectory that begins in the
    middle starts with Euler's method there. As in the implementations in use, the past of a model that predicts v is
    combined as v, and becomes eps with the present sample.

    Examples:
        >>> scheduler = PNDMScheduler(skip_prk_steps=True)
        >>> scheduler.set_timesteps(50)
        >>> for t in scheduler.timesteps:
        ...     x = scheduler.step(model(x, t), x, t)
    """

    has_warmup = True

    def _configure(self):
        super()._configure()
        self._schedule(self.timesteps, scheduled=False)

    def set_timesteps(self, num_inference_steps):
        """Chooses the timesteps of the following trajectory; takes effect in compiled graphs too.

        Args:
            num_inference_steps (int): Number of steps, in [1, num_train_timesteps]; there are more model calls.

        Raises:
            TypeError: If it is no integer.
            ValueError: If it is out of range.
        """
        super().set_timesteps(num_inference_steps)

    def _schedule(self, timesteps, scheduled=True):
        self._steps = timesteps
        if self.settings.skip_prk_steps:
            self.prk_timesteps = timesteps[:0]
            self.plms_timesteps = np.concatenate([timesteps[:2], timesteps[1:2], timesteps[2:]])
        else:
            steps = timesteps[:ORDER]
            ends, middles = steps[1:], self.middles(steps)
            self.prk_timesteps = np.stack([steps[:-1], middles, middles, ends], axis=1).reshape(-1)
            self.plms_timesteps = timesteps[len(ends) :]
        super()._schedule(np.concatenate([self.prk_timesteps, self.plms_timesteps]), scheduled)

    def middles(self, steps):
        """Returns the timesteps in the middle of Runge and Kutta's steps between these timesteps."""
        return (steps[:-1] + steps[1:]) // 2

    @staticmethod
    def first_call(begin):
        """Returns the row of the call that the special first steps are counted from, in a trajectory from `begin`."""
        del begin
        return 0

    def reached(self, first):
        """Returns the timestep to which each model call leads, that of the next one; -1 stands for the end."""
        del first
        return np.append(self.timesteps[1:], -1)

    def repeated_start(self, first):
        """Returns the timestep from which the second call of Heun's step leads."""
        return self.timesteps[first]

    def positions(self, nodes, start):
        """Returns where values at the timesteps `nodes` lie in steps from `start`, for :func:`adams_bashforth`.

        The last step, whose end has no timestep, counts as long as the one before.
        """
        length = np.append(self.timesteps[1:] - start[:-1], -1 if len(self._steps) < 2 else np.diff(self._steps)[-1])
        return (nodes - start[:, None]) / np.where(length == 0, -1, length)[:, None]

    def replan(self):
        """Builds the plan of the present model calls anew."""
        super()._schedule(self.timesteps)

    def trajectory_plan(self, begin=0):
        """Returns the plan of all model calls; the trajectory starts at row `begin`."""
        timesteps, end = self.timesteps, self.reached(self.first_call(begin))
        alpha, sigma = self._alphas[timesteps], self._sigmas[timesteps]
        start, from_base, eps, states = (
            self._heun_start(begin) if self.settings.skip_prk_steps else self._runge_kutta_start(begin)
        )
        # What is remembered: the output itself, but for predictions of x0, which mean different eps at each level.
        value = noise_weights("sample", alpha, sigma) if self.prediction_type == "sample" else {"output": 1.0}
        states = {name: substituted(weights, "value", value) for name, weights in states.items()}
        eps = substituted(eps, "value", value)
        base = {"sample": np.where(from_base, 0.0, 1.0), "base": np.where(from_base, 1.0, 0.0)}
        (alpha, sigma), (alpha_end, sigma_end) = self.level_at(start), self.level_at(end)
        if self.prediction_type == "v_prediction":
            eps = linear_combination((alpha, eps), (sigma, base))
        ratio = alpha_end / alpha
        return StepPlan(
            timesteps,
            clean_sample_weights(self.prediction_type, *self.level_at(timesteps)),
            {"sample": linear_combination((ratio, base), (sigma_end - sigma * ratio, eps)), **states},
            needs_fp16_gain=True,
            next_level=(alpha_end, sigma_end),
        )

    def _heun_start(self, begin):
        """Returns for each call where its transfer starts, whether it starts from the base, eps and states.

        The second call repeats the first step with the mean of both eps; its own is not used again.
        """
        timesteps, first = self.timesteps, self.first_call(begin)
        calls = np.arange(len(timesteps)) - first
        repeats = calls == 1
        start = timesteps.copy()
        past = calls[:, None] - np.arange(ORDER + 1)
        nodes = timesteps[np.maximum(past + first, 0)]
        weights = adams_bashforth((past >= begin - first) & (past != 1), self.positions(nodes, timesteps))
        if begin == first:  # Else there is no first step to repeat.
            start[repeats] = self.repeated_start(first)
            weights[repeats, :2] = 0.5
        names = ("value", "value_1", "value_2", "value_3", "value_4")
        shifted = {name: {before: 1.0} for before, name in zip(names, names[1:])}
        states = {"base": {"sample": 1.0}, **shifted}
        return start, repeats & (begin == first), dict(zip(names, weights.T)), states

    def _runge_kutta_start(self, begin):
        """The same as :meth:`_heun_start` where the first steps are those of Runge and Kutta, of four stages each."""
        timesteps, staged = self.timesteps, len(self.prk_timesteps)
        rows = np.arange(len(timesteps))
        calls = rows - self.first_call(begin)
        stage = np.where(calls < staged, calls % 4, 0)
        step = np.where(calls < staged, calls // 4, calls - staged + staged // 4)
        first = stage == 0
        start = timesteps[np.where(calls < staged, calls - stage, rows)]
        # The multistep method uses the first stage of every step that the trajectory has taken.
        past = step[:, None] - np.arange(ORDER)
        known = past >= step[begin] + (stage[begin] > 0)
        positions = self.positions(self._steps[np.maximum(past, 0)], start)
        weights = np.pad(adams_bashforth(known, positions), ((0, 0), (0, 2)))
        weights[calls < staged] = (1, 0, 0, 0, 0, 0)
        weights[stage == 3] = np.array((1, 1, 0, 0, 2, 2)) / 6
        if stage[begin] > 0:  # In the middle of a step: Euler's method from each call to the next one.
            rest = step == step[begin]
            start = np.where(rest, timesteps, start)
            weights[rest] = (1, 0, 0, 0, 0, 0)
        else:
            rest = np.zeros_like(first)
        names = ("value", "step_1", "step_2", "step_3")
        states = {"base": {"sample": np.where(first, 1.0, 0.0), "base": np.where(first, 0.0, 1.0)}}
        for before, name in zip(names, names[1:]):
            states[name] = {before: np.where(first, 1.0, 0.0), name: np.where(first, 0.0, 1.0)}
        states.update(call_1={"value": 1.0}, call_2={"call_1": 1.0})
        return start, ~(first | rest), dict(zip((*names, "call_1", "call_2"), weights.T)), states
