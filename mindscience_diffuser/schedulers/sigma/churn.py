"""Steps that add noise and remove it again, where the model was called before (Karras et al., 2022, arXiv:2206.00364).

The noise raises the sample from sigma to sigma_hat; the clean sample is predicted at sigma and stays the prediction.
What leaves the step then has exactly the level that the step leads to, and the last step to sigma = 0 leaves no noise.
"""

import numpy as np

from mindscience_diffuser.noise import churn
from mindscience_diffuser.plan import StepPlan


def churned_euler_plan(scheduler, s_churn, s_tmin, s_tmax, s_noise):
    """Returns the plan of Euler's steps ``x_next = x0 + sigma_next / sigma_hat * (x_hat - x0)`` along ``sigmas``."""
    sigma, sigma_next = scheduler.sigmas[:-1], scheduler.sigmas[1:]
    sigma_hat = (1 + churn(sigma, len(sigma), s_churn, s_tmin, s_tmax, s_noise)) * sigma
    kept = sigma_next / sigma_hat
    sample = {"sample": kept, "x0": 1 - kept}
    if s_churn > 0:
        sample["noise"] = kept * s_noise * np.sqrt(sigma_hat**2 - sigma**2)
    return StepPlan(
        scheduler.timesteps,
        scheduler.clean_sample(sigma),
        {"sample": sample},
        limit=scheduler.limit,
        next_level=tuple(level[1:] for level in scheduler.levels),
        input_scale=scheduler.input_scale(sigma),
    )
