"""ER-SDE-Solver: extended reverse-time SDEs (Cui et al., 2023, arXiv:2309.06169)."""

import numpy as np

from mindscience_diffuser.schedulers.base.arguments import (
    DYNAMIC_SHIFT,
    FLOW,
    LINEAR_BETAS,
    LINSPACE,
    SIGMA_SPACINGS,
    THRESHOLDING,
    Argument,
    optional,
    takes_arguments,
)
from mindscience_diffuser.schedulers.exponential.exponential import ExponentialStep, past
from mindscience_diffuser.schedulers.exponential.log_snr import CHOICES, UP_TO_THREE, LogSNRScheduler
from mindscience_diffuser.validation import check_function

ROUNDING = 1e-13
"""Share of fresh noise in the variance at the end of a step that is nothing but rounding."""

POINTS, POINT_WEIGHTS = np.polynomial.legendre.leggauss(64)


def default_noise_scale(ratio):
    """Returns phi(r) = r * (exp(r^0.3) + 10), the scale that the paper found best."""
    return ratio * (np.exp(ratio**0.3) + 10)


def scales_of(noise_scaler, ratio):
    """Returns phi of an array of ratios, float64, after a check that it is finite and above 0 at each of them."""
    try:
        scales = np.asarray(noise_scaler(ratio), np.float64)
    except TypeError as error:
        raise TypeError(f"'noise_scaler' must be a function of arrays of NumPy, but raised: {error}.") from error
    if scales.shape != ratio.shape:
        raise ValueError(
            "'noise_scaler' must return an array of the shape of its argument, but returned one of shape "
            f"{scales.shape} for {ratio.shape}."
        )
    wrong = ~(np.isfinite(scales) & (scales > 0))
    if np.any(wrong):
        raise ValueError(
            "'noise_scaler' must be a function phi of arrays r = sigma / alpha whose values are finite and above 0, "
            f"but phi({ratio[wrong][0]:g}) is {scales[wrong][0]:g}."
        )
    return scales


class ExtendedReverseStep(ExponentialStep):
    """Steps whose predictions of x0 are polynomials of r = sigma / alpha, integrated by Gauss's rule in ln(r).

    Args:
        start (tuple): alpha and sigma at which steps begin, two arrays of shape ``(n,)``.
        end (tuple): alpha and sigma at which they end, likewise; sigma may be 0.
        noise_scaler (Callable): phi of the paper.
    """

    def __init__(self, start, end, noise_scaler):
        (alpha_s, sigma_s), (alpha_t, sigma_t) = start, end
        self._lambda_s = ratio_s = sigma_s / alpha_s
        self._ends_clean = sigma_t == 0
        # A step to sigma = 0 uses one prediction, and of this no integral.
        ratio_t = np.where(self._ends_clean, ratio_s / 2, sigma_t / alpha_t)
        self._h, self._alpha = ratio_t - ratio_s, alpha_t
        half, middle = np.log(ratio_s / ratio_t) / 2, np.log(ratio_s * ratio_t) / 2
        self._nodes = np.exp(middle[:, None] + half[:, None] * POINTS)
        scales = [scales_of(noise_scaler, ratio) for ratio in (ratio_s, ratio_t, self._nodes)]
        self._kept = np.where(self._ends_clean, 0.0, scales[1] / scales[0])
        self._kernel = half[:, None] * POINT_WEIGHTS * self._nodes / scales[2] * scales[1][:, None]
        self.linear = alpha_t / alpha_s * self._kept
        share = np.where(self._ends_clean, 0.0, 1 - (ratio_s / ratio_t * self._kept) ** 2)
        if np.any(share < -ROUNDING):
            raise ValueError(
                "'noise_scaler' must be a function phi of arrays r = sigma / alpha whose values rise at least as fast "
                "as r: phi(r) / r must not fall as r rises."
            )
        self.noise = np.where(share > ROUNDING, sigma_t * np.sqrt(np.maximum(share, 0)), 0.0)

    def moment(self, k):
        """Returns the integral of ((r - r_s) / h)^k, by parts: k = 0 is the weight of a constant prediction."""
        if k == 0:
            return self._alpha * (1 - self._kept)
        length = np.where(self._h == 0, 1, self._h)[:, None]
        powers = ((self._nodes - self._lambda_s[:, None]) / length) ** (k - 1)
        return self._alpha * (1 + k * (self._kernel * powers / length).sum(axis=1))


@takes_arguments(
    choices={
        **CHOICES,
        **UP_TO_THREE,
        "noise_scaler": optional(
            Argument(
                check_function, "Callable", "phi, a function of arrays of sigma / alpha; r is the ODE, r^2 the SDE"
            )
        ),
    },
    **LINEAR_BETAS,
    solver_order=3,
    prediction_type="epsilon",
    noise_scaler=None,
    **THRESHOLDING,
    lower_order_final=False,
    **SIGMA_SPACINGS,
    use_lu_lambdas=False,
    **FLOW,
    final_sigmas_type="zero",
    lambda_min_clipped=-float("inf"),
    **LINSPACE,
    rescale_betas_zero_snr=False,
    **DYNAMIC_SHIFT,
    sigma_schedule=None,
)
class ERSDEScheduler(LogSNRScheduler):
    """Order 1 to 3, one model call a step, along a reverse SDE whose noise `noise_scaler` describes.

    With r = sigma / alpha and phi(r), for any prediction x0(r) the solution is (section 3 of the paper)::

        x_t / alpha_t = phi_t / phi_s * x_s / alpha_s + phi_t * integral over r in [r_t, r_s] of phi' / phi^2 * x0
                        + sqrt(r_t^2 - r_s^2 * (phi_t / phi_s)^2) * z

    x0 is the polynomial of r through the last `solver_order` predictions. By default phi(r) = r * (exp(r^0.3) + 10).
    phi(r) = r^(1 + eta) is the SDE of `eta` of :class:`SEEDSScheduler`. A function makes a configuration that no file
    can hold.

    Examples:
        >>> scheduler = ERSDEScheduler()
        >>> scheduler.set_timesteps(20)
        >>> for t in scheduler.timesteps:
        ...     x = scheduler.step(model(x, t), x, t, generator=0)
    """

    integral = False
    adds_noise = True

    def trajectory_plan(self, begin=0):
        """Returns the plan of a trajectory that begins at row `begin`."""
        alpha, sigma = self.levels
        noise_scaler = self.settings.noise_scaler or default_noise_scale
        step = ExtendedReverseStep((alpha[:-1], sigma[:-1]), (alpha[1:], sigma[1:]), noise_scaler)
        nodes = past(sigma[:-1] / alpha[:-1], self.most_predictions)
        return self.multistep_plan(step, step.weights(nodes, self.orders(begin)))
