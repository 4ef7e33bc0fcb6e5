"""Churn as diffusers has it: what was predicted at a sample is used after noise was added to the sample.

The clean sample moves with the noise, so that a last step to sigma = 0 leaves noise. The classes override how a native
scheduler describes its steps.
"""

import numpy as np

from mindscience_diffuser.noise import churn
from mindscience_diffuser.plan import StepPlan, linear_combination, substituted


class ChurnedEuler:
    """Euler: the predicted noise, or what else the model predicts, holds after noise was added."""

    def trajectory_plan(self, s_churn=0.0, s_tmin=0.0, s_tmax=float("inf"), s_noise=1.0):
        """Returns the plan of the chosen levels."""
        sigma, sigma_next = self.sigmas[:-1], self.sigmas[1:]
        gamma = churn(sigma, len(sigma), s_churn, s_tmin, s_tmax, s_noise)
        sigma_hat = (1 + gamma) * sigma
        x_hat = {"sample": 1.0}
        if s_churn > 0:
            x_hat["noise"] = s_noise * sigma * np.sqrt((1 + gamma) ** 2 - 1)
        # A prediction of the noise holds at any level; the others belong to the level that the model was told.
        predicts_noise = self.prediction_type == "epsilon"
        slope = linear_combination((1.0 if predicts_noise else 1 / (1 + gamma), self.noise(sigma)))
        x_next = linear_combination((1.0, {"sample": 1.0}), (sigma_next - sigma_hat, slope))
        return StepPlan(
            self.timesteps,
            substituted(self.clean_sample(sigma_hat if predicts_noise else sigma), "sample", x_hat),
            {"sample": substituted(x_next, "sample", x_hat)},
            needs_fp16_gain=self.prediction_type == "sample",
            next_level=self.level(sigma_next),
            input_scale=self.input_scale(sigma),
        )


class ChurnedDenoiser:
    """EDM's Euler method: the denoiser is put together at the raised level."""

    def trajectory_plan(self, s_churn=0.0, s_tmin=0.0, s_tmax=float("inf"), s_noise=1.0):
        """Returns the plan of the chosen levels."""
        sigma, sigma_next = self.sigmas[:-1], self.sigmas[1:]
        sigma_hat = (1 + churn(sigma, len(sigma), s_churn, s_tmin, s_tmax, s_noise)) * sigma
        x_hat = {"sample": 1.0}
        if s_churn > 0:
            x_hat["noise"] = s_noise * np.sqrt(sigma_hat**2 - sigma**2)
        kept = sigma_next / sigma_hat
        return StepPlan(
            self.timesteps,
            substituted(self.clean_sample(sigma_hat), "sample", x_hat),
            {"sample": substituted({"sample": kept, "x0": 1 - kept}, "sample", x_hat)},
            limit=self.limit,
            next_level=(np.ones_like(sigma_next), sigma_next),
            input_scale=self.input_scale(sigma),
        )


class ChurnedFlow:
    """Heun's method along a flow: noise is added as if the sample had no signal to be scaled down."""

    def trajectory_plan(self, s_churn=0.0, s_tmin=0.0, s_tmax=float("inf"), s_noise=1.0):
        """Returns the plan: a row for each model call."""
        count = len(self.timesteps)
        corrects = np.arange(count) % 2 == 1
        # sigmas is s0, s1, s1, s2, s2, ..., 0: the level of each call; a step leads from `sigma` to `sigma_next`.
        sigma = np.where(corrects, self.sigmas[np.maximum(np.arange(count) - 1, 0)], self.sigmas[:-1])
        sigma_next = np.where(corrects, self.sigmas[:-1], self.sigmas[1:])
        gamma = churn(sigma, count, s_churn, s_tmin, s_tmax, s_noise)
        dt = sigma_next - (1 + gamma) * sigma
        sample = {
            "sample": np.where(corrects, 0.5, 1.0),
            "base": np.where(corrects, 0.5, 0.0),
            "output": dt * np.where(corrects, 0.5, 1 / (1 + gamma)),
        }
        base = {"sample": 1.0}
        if s_churn > 0:
            spread = np.where(corrects, 0.0, s_noise * sigma * np.sqrt((1 + gamma) ** 2 - 1))
            sample["noise"] = base["noise"] = spread
        return StepPlan(
            self.timesteps,
            self.clean_sample(self.sigmas[:-1]),
            {"sample": sample, "base": base},
            next_level=(1 - sigma_next, sigma_next),
            always_draws=gamma > 0,  # Also the second call of a step, whose noise has no effect.
        )
