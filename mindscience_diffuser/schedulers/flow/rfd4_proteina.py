"""Euler's method along the SDE of a rectified flow of proteins, with a rescaled score (Geffner et al., 2025; RFD4)."""

import numpy as np

from mindscience_diffuser.plan import StepPlan
from mindscience_diffuser.schedulers.base.arguments import choice, integer, number, takes_arguments
from mindscience_diffuser.schedulers.flow.rising_time import RisingTimeScheduler
from mindscience_diffuser.validation import check_integer, check_number

FIRST_TIME = 1e-3
"""The time at which trajectories begin: at 0 there is no score."""

LOG_DECADES = 2
FLOOR = 1e-2
"""Keeps the rate of the noise finite."""


def log_times(u):
    """Returns times from 0 to 1 at u in [0, 1] whose distance to 1.01 falls evenly in its logarithm, by two decades."""
    return (1 - 10.0 ** (-LOG_DECADES * u)) / (1 - 10.0**-LOG_DECADES)


def log_positions(times):
    """Returns the u of :func:`log_times`."""
    return -np.log10(1 - times * (1 - 10.0**-LOG_DECADES)) / LOG_DECADES


def noise_rate(times, mode):
    """Returns g(t): ``"1/t"``, 1 / (t + 0.01), or ``"tan"``, pi / 2 * tan((1 - t) * pi / 2), kept finite at t = 0."""
    if mode == "1/t":
        return 1 / (times + FLOOR)
    angle = (1 - times) * np.pi / 2
    return np.pi / 2 * np.sin(angle) / (np.cos(angle) + FLOOR)


@takes_arguments(
    choices={
        "schedule_mode": choice(
            "How the times lie between noise and data: evenly in the logarithm of what is left, or in their root",
            "log",
            "power",
        ),
        "noise_mode": choice("How the rate g of the noise falls with time", "1/t", "tan"),
        "tsr_k": number("Factor k by which samples vary less than the data; 1 changes nothing", "(0, inf)"),
        "tsr_sigma": number("Standard deviation s of the data around the places where they gather", "(0, inf)"),
        "tail_steps": integer("Number of the last intervals that are divided further, fewer in short trajectories", 0),
        "tail_step_multiplier": integer("Number of steps in each of them", low=2),
        "t_lim_ode": number("Time above which a step adds no noise", "[0, 1]"),
        "t_lim_ode_below": number("Time below which a step adds no noise; above `t_lim_ode` none does", "[0, 1]"),
    },
    schedule_mode="log",
    noise_mode="1/t",
    tsr_k=1.0,
    tsr_sigma=1.0,
    tail_steps=10,
    tail_step_multiplier=2,
    t_lim_ode=0.95,
    t_lim_ode_below=0.02,
)
class RFD4ProteinaScheduler(RisingTimeScheduler):
    """Sampling of protein backbones at a lower temperature: first order, with fresh noise in the middle of the way.

    The process is ``x = t * x0 + (1 - t) * noise``; the model is told the time t in [0, 1), which rises, and predicts
    the velocity ``v = x0 - noise`` (Proteina, Geffner et al., 2025, arXiv:2503.00710). Its score, ``(t * v -
    x) / (1 - t)``, is multiplied by r (temporal score rescaling, Xu et al., 2025, arXiv:2510.01184)::

        r(t) = (snr * s^2 + 1) / (snr * s^2 / k + 1),    snr = t^2 / (1 - t)^2
        x_next = x + dt * (v' + g * score') + sqrt(2 * g * dt) * z

    with ``score' = r * score``, v' the velocity that belongs to it, ``(x + (1 - t) * score') / t``, and g the rate of
    `noise_mode` divided by r^2, or 0 outside `t_lim_ode_below` and `t_lim_ode`. Data N(m, s^2) are sampled as N(m, s^2
    / k). With k = 1 the score is the model's, and without noise that is Euler's method.

    Examples:
        >>> scheduler = RFD4ProteinaScheduler(tsr_k=2.0, tsr_sigma=0.1)
        >>> scheduler.set_timesteps(60)
        >>> for t in scheduler.timesteps:
        ...     x = scheduler.step(model(x, t), x, t, generator=0)
    """

    def _configure(self):
        self._take(self.spaced_times(self.num_train_timesteps, FIRST_TIME), scheduled=False)

    def set_timesteps(self, num_inference_steps, start_time=None):
        """Chooses the times of the following trajectory; takes effect in compiled graphs too.

        Args:
            num_inference_steps (int): Number n of steps, at least 1.
            start_time (float, optional): Time at which a trajectory begins, in [0, 1), from clean samples with noise
                (see `add_noise`); below 0.001 it is 0.001. Default: ``None``, there, from noise.

        Raises:
            TypeError: If an argument is no number.
            ValueError: If one is out of range.
        """
        count = check_integer("num_inference_steps", num_inference_steps, low=1)
        start = 0.0 if start_time is None else check_number("start_time", start_time, "[0, 1)")
        self._take(self.spaced_times(count, max(start, FIRST_TIME)))
        self.num_inference_steps = count

    def spaced_times(self, count, start):
        """Returns the times of `count` steps from the time `start`, and that of the end, 1."""
        if self.settings.schedule_mode == "power":
            return (np.sqrt(start) + (1 - np.sqrt(start)) * self.positions(count)) ** 2
        first = log_positions((start - FIRST_TIME) / (1 - FIRST_TIME))
        return FIRST_TIME + (1 - FIRST_TIME) * log_times(first + (1 - first) * self.positions(count))

    def positions(self, count):
        """Returns where `count` steps lie in [0, 1], with the end: even intervals, the last ones of several steps."""
        finer = self.settings.tail_step_multiplier
        tail = min(self.settings.tail_steps, count // finer)
        intervals = count - (finer - 1) * tail
        steps = np.repeat([1.0, 1.0 / finer], [intervals - tail, tail * finer])
        return np.append(0.0, np.cumsum(steps) / intervals)

    def trajectory_plan(self):
        """Returns the plan of the chosen times."""
        config = self.settings
        t, t_next = self.levels[0][:-1], self.levels[0][1:]
        dt = t_next - t
        # All of them are finite at t = 0 and near 1.
        signal, noise = (config.tsr_sigma * t) ** 2, (1 - t) ** 2
        rescaled = signal / config.tsr_k + noise
        r = (signal + noise) / rescaled
        # v' = r * v + (1 - r) / t * x; score' = r * (t * v - x) / (1 - t).
        shrinking = config.tsr_sigma**2 * t * (1 / config.tsr_k - 1) / rescaled
        noisy = (t <= config.t_lim_ode) & (t >= config.t_lim_ode_below)
        g = np.where(noisy, noise_rate(t, config.noise_mode) / r**2, 0.0)
        pull = g * r / (1 - t)
        x_next = {"sample": 1 + dt * (shrinking - pull), "output": dt * (r + pull * t)}
        if config.t_lim_ode_below <= config.t_lim_ode:
            x_next["noise"] = np.sqrt(2 * g * dt)
        return StepPlan(
            self.timesteps,
            {"sample": 1.0, "output": 1 - t},
            {"sample": x_next},
            needs_fp16_gain=True,
            next_level=(t_next, 1 - t_next),
        )
