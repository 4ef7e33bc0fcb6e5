"""The stages of Helios, a model of long videos (the Helios Team, 2026), which are those of Pyramid-Flow a bit lower."""

import numpy as np

from mindscience_diffuser.noise import flow_shift
from mindscience_diffuser.schedulers.base.sigmas import shift_by_mu
from mindscience_diffuser.schedulers.flow.pyramid_flow import PyramidFlowMatchEulerDiscreteScheduler


class HeliosStages(PyramidFlowMatchEulerDiscreteScheduler):
    """Stages whose steps begin just below their start, at 0.999, and may be shifted within the stage by `mu`.

    With a single stage the levels are those of a flow, from 1 on.
    """

    first_ratio = 0.999
    highest_timestep = 999.0

    left_out = 0
    """Number of the last points of the even grid of a stage that are left out before its end."""

    mu = None
    own_process = "helios"

    def even_levels(self):
        """Returns the levels of the training timesteps before they are shifted, from (T - 1) / T down, ``(T,)``."""
        return super().even_levels() * (1 - 1 / self.num_train_timesteps)

    def levels_of_flow(self, count):
        """Returns the levels of `count` steps with a single stage."""
        return flow_shift(np.linspace(1, 1 / self.num_train_timesteps, count + 1)[:-1], self.settings.shift)

    def set_timesteps(self, num_inference_steps, stage_index=0, mu=None):
        """Chooses the steps through one stage; takes effect in compiled graphs too.

        Args:
            num_inference_steps (int): Number of steps, at least 1.
            stage_index (int): The stage, in [0, stages - 1]. Default: ``0``.
            mu (float, optional): Shift of the steps within the stage, needed with `use_dynamic_shifting` and there
                only; plans of other stages are shifted by it too. Default: ``None``.

        Raises:
            TypeError: If an argument is no number.
            ValueError: If an argument is out of its range, or `mu` is missing.
        """
        self.mu = mu
        super().set_timesteps(num_inference_steps, stage_index)

    def _stage_schedule(self, num_inference_steps, stage_index):
        config, train = self.settings, self.num_train_timesteps
        timesteps, sigmas = super()._stage_schedule(num_inference_steps, stage_index)
        if config.use_dynamic_shifting and config.shift != 1:
            raise ValueError(f"'shift' is {config.shift}, but must be 1 with use_dynamic_shifting: 'mu' shifts there.")
        count, points = len(timesteps), len(timesteps) + self.left_out
        shift = shift_by_mu(self.mu, 1.0, config.use_dynamic_shifting, config.time_shift_type)
        table = self.timesteps_per_stage[stage_index]
        if self.num_stages == 1:
            even = self.levels_of_flow(points)
        else:
            even = np.linspace(*self.sigmas_per_stage[stage_index][[0, -1]], points)
            timesteps = np.linspace(*table[[0, -1]], points)[:count]
        sigmas = flow_shift(even[:count], shift)
        if self.num_stages == 1:
            timesteps = sigmas * train
        elif config.use_dynamic_shifting:
            timesteps = table.min() + sigmas * (table.max() - table.min())
        return timesteps.astype(np.float32), np.append(sigmas, 0.0)
