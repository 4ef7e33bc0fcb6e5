"""The base of flows whose time rises from noise to data."""

from mindspore import Tensor, ops
from mindspore import dtype as mstype

from mindscience_diffuser.schedulers.base.sigmas import SigmaScheduler
from mindscience_diffuser.step import shaped
from mindscience_diffuser.validation import check_within


class RisingTimeScheduler(SigmaScheduler):
    """The process ``x = t * x0 + (1 - t) * noise``; the model is told t and predicts the velocity ``x0 - noise``."""

    num_train_timesteps = 1000
    """Number of the times that are known before `set_timesteps`."""

    clean_timestep = 1.0
    """What the model is told of a clean frame."""

    def _take(self, times, scheduled=True):
        """Takes over the times of the steps and of the end, which is 1."""
        times[-1] = 1.0
        self._levels = times, 1 - times
        self._schedule(times[:-1].astype("float32"), scheduled)

    @property
    def levels(self):
        """Weights alpha, sigma of x = alpha * x0 + sigma * noise, at each step and at the end, each ``(n + 1,)``."""
        return self._levels

    def level_at(self, timesteps):
        """Returns alpha and sigma of any times in [0, 1], an array, whatever the schedule."""
        check_within("timesteps", timesteps, "[0, 1]")
        return timesteps, 1 - timesteps

    def noised_in_graph(self, noised, rows, original_samples, noise, timesteps):
        """Returns the noised samples at any times."""
        if isinstance(timesteps, (int, float)):
            timesteps = Tensor(timesteps, mstype.float32)
        t = shaped(ops.cast(timesteps, mstype.float32), noised)
        return ops.cast(t * original_samples + (1 - t) * noise, noised.dtype)
