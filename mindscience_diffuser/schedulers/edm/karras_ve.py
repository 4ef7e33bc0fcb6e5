"""Algorithm 2 of EDM for variance-exploding models (Karras et al., 2022, arXiv:2206.00364)."""

import numpy as np

from mindscience_diffuser.noise import SIGMA_SCHEDULES
from mindscience_diffuser.schedulers.base.arguments import takes_arguments
from mindscience_diffuser.schedulers.base.sigmas import check_sigma_range
from mindscience_diffuser.schedulers.edm.edm_heun import EDMHeunScheduler


@takes_arguments(sigma_min=0.02, sigma_max=100.0, s_noise=1.007, s_churn=80.0, s_min=0.05, s_max=50.0)
class KarrasVeScheduler(EDMHeunScheduler):
    """The sampler of :class:`EDMHeunScheduler` around a model of its own convention: 2n - 1 model calls for n steps.

    The output is sigma times the score, so that ``x0 = x + sigma * output``; the model is told sigma, and given the
    sample as it is. The levels are those of the column VE of table 1: the times t_i = sigma_i^2 lie evenly in their
    logarithm, ``sigma_i = sigma_max * (sigma_min / sigma_max)^(i / (n - 1))``, and the last step leads to 0.

    Churn raises the levels between `s_min` and `s_max`. As there, its noise is added at the end of the step before, and
    a trajectory begins with noise of standard deviation `init_noise_sigma`.

    Examples:
        >>> scheduler = KarrasVeScheduler()
        >>> scheduler.set_timesteps(50)
        >>> x = noise * scheduler.init_noise_sigma
        >>> for sigma in scheduler.timesteps:
        ...     x = scheduler.step(model(x, sigma), x, sigma, generator=0)
    """

    order = 2
    limit = None
    num_train_timesteps = 1000

    def _configure(self):
        check_sigma_range(self.settings)
        self._churn_between("s_min", "s_max")
        self._take_levels(self._spaced(self.num_train_timesteps), scheduled=False)

    def model_timestep(self, sigma):
        """Returns what the model is told at levels: sigma itself."""
        return np.asarray(sigma, np.float32)

    def input_scale(self, sigma):
        """Returns None: the sample is not scaled for the model."""

    def clean_sample(self, sigma):
        """Returns x0 as weights of sample and output at levels."""
        return {"sample": 1.0, "output": sigma}

    def _spaced(self, count):
        config = self.settings
        return np.append(SIGMA_SCHEDULES["exponential"](config.sigma_max, config.sigma_min, count), 0.0)
