"""Multistep methods in the log-SNR: polynomials of lambda = ln(alpha / sigma) through the last predictions."""

import warnings
from types import MappingProxyType

import numpy as np

from mindscience_diffuser.plan import StepPlan, linear_combination
from mindscience_diffuser.schedulers.exponential.exponential import ExponentialStep, log_snr, past

FEW_STEPS = 15
"""Number of steps from which on `lower_order_final` of DPM-Solver and DEIS changes nothing."""

SAMPLE = MappingProxyType({"sample": 1.0})
NOISE = MappingProxyType({"noise": 1.0})


class MultistepMethod:
    """The plan of a multistep method, for a scheduler with ``levels``.

    What is predicted, and so remembered, is x0, or the noise where ``predicts_x0`` is False.
    """

    has_warmup = True

    predicts_x0 = True
    """Whether predictions are of x0, else of the noise."""

    step_class = ExponentialStep
    """What gives the weights of predictions."""

    @property
    def eta(self):
        """How stochastic steps are, tau^2 of :class:`ExponentialStep`: 0 for the ODE, 1 for the reverse SDE."""
        return self.settings.get("eta", 0.0)

    @property
    def adds_noise(self):
        """Whether steps add fresh noise."""
        return self.eta > 0

    @property
    def most_predictions(self):
        """Number of predictions that a step uses at most."""
        return self.settings.solver_order

    def exponential_step(self, tau=None):
        """Returns the :class:`ExponentialStep` of every row, of `eta` where no tau is given."""
        alpha, sigma = self.levels
        tau = np.sqrt(self.eta) if tau is None else tau
        return self.step_class((alpha[:-1], sigma[:-1]), (alpha[1:], sigma[1:]), self.predicts_x0, tau)

    def log_snrs(self):
        """Returns lambda at each row and at the end, shape ``(n + 1,)``."""
        return log_snr(*self.levels)

    def rising_orders(self, begin):
        """Returns the orders of a trajectory that began at row `begin`: as many as there are predictions."""
        return np.clip(np.arange(len(self.timesteps)) - begin + 1, 1, self.most_predictions)

    def orders(self, begin, last_is_first_order=False):
        """Returns the order of each step: rising at the start, falling at the end of a short trajectory."""
        orders, count = self.rising_orders(begin), len(self.timesteps)
        if self.settings.lower_order_final and count < FEW_STEPS:
            orders[-2:] = np.minimum(orders[-2:], [2, 1][-count:])
        if last_is_first_order:
            orders[-1] = 1
        return orders

    def prediction(self):
        """Returns what a step predicts, as weights of the sample and the output, or x0 where that is limited."""
        if self.predicts_x0:
            return {"x0": 1.0}
        if self.limit is None:
            return self.noise(self.sigmas[:-1])
        alpha, sigma = (weight[:-1] for weight in self.levels)
        return {"sample": 1 / sigma, "x0": -alpha / sigma}

    def predictions(self, count):
        """Returns the present prediction and the `count` remembered ones before it, each as weights."""
        return [self.prediction(), *({f"prediction_{k + 1}": 1.0} for k in range(count))]

    def multistep_plan(self, step, weights, remembers=None, start=SAMPLE, noise=NOISE, **states):
        """Returns the plan whose rows are ``x_t = linear * start + sum(weights * predictions) + noise * z``.

        Args:
            step (ExponentialStep): Gives the weights of what a step starts from and of the noise.
            weights (numpy.ndarray): Weight of the present prediction and of those before, shape ``(m, n)``.
            remembers (int, optional): How many earlier predictions are remembered. Default: ``None``, m - 1.
            start (Weights): What a step starts from. Default: the sample.
            noise (Weights): Noise of unit variance that a step adds, if it does. Default: that of the row.
            **states (Weights): What is remembered besides predictions.
        """
        predictions = self.predictions(len(weights) - 1 if remembers is None else remembers)
        terms = [(step.linear, start), *zip(weights, predictions)]
        if self.adds_noise:
            terms.append((step.noise, noise))
        history = {name: before for now, before in zip(predictions[1:], predictions) for name in now}
        return StepPlan(
            self.timesteps,
            self.clean_sample(self.sigmas[:-1]),
            {"sample": linear_combination(*terms), **states, **history},
            limit=self.limit,
            needs_fp16_gain=True,
            next_level=tuple(weight[1:] for weight in self.levels),
            input_scale=self.input_scale(self.sigmas[:-1]),
        )

    def past_log_snrs(self, count):
        """Returns lambda of each row and of the rows before it, shape ``(count, n)``."""
        return past(self.log_snrs()[:-1], count)

    def _schedule(self, timesteps, scheduled=True):
        super()._schedule(timesteps, scheduled)
        if scheduled and self.most_predictions > len(timesteps):
            warnings.warn(
                f"{len(timesteps)} steps are too few for order {self.most_predictions}: the order is lowered.",
                stacklevel=4,
            )
