"""Multistep sampling of Helios, stage by stage (the Helios Team, 2026), by UniPC (Zhao et al., 2023)."""

from dataclasses import replace

import numpy as np

from mindscience_diffuser.schedulers.base.arguments import choice, integer, takes_arguments
from mindscience_diffuser.schedulers.exponential.unipc_multistep import SLOPES, UniPCMethod
from mindscience_diffuser.schedulers.flow.helios_stages import HeliosStages

LOWEST = 1e-8
"""Takes the place of the end of a stage, where lambda would be infinite."""


class StageSolver(UniPCMethod):
    """UniPC along the straight line of a stage, on which the share s of the start is what noise is to a flow."""

    limit = None

    def __init__(self, settings, timesteps, sigmas):
        self.settings, self.timesteps, self.sigmas = settings, timesteps, sigmas
        self.levels = 1 - sigmas, np.maximum(sigmas, LOWEST)

    def clean_sample(self, sigmas):
        """Returns the end of the stage as weights of sample and output."""
        return {"sample": 1.0, "output": -sigmas}

    def input_scale(self, sigmas):
        """Returns None: the model is given the sample as it is."""
        del sigmas


@takes_arguments(
    choices={
        "num_train_timesteps": integer("Number T of training timesteps", low=2),
        "solver_type": tuple(SLOPES),
        "scheduler_type": choice("The method within a stage: UniPC, or Euler's", "unipc", "euler"),
        "time_shift_type": ("exponential", "linear"),
    },
    synonyms={"solver_type": {"midpoint": "bh2", "heun": "bh2", "logrho": "bh2"}},
    num_train_timesteps=1000,
    shift=1.0,
    stages=3,
    stage_range=(0, 1 / 3, 2 / 3, 1),
    gamma=1 / 3,
    solver_order=2,
    solver_type="bh2",
    lower_order_final=True,
    disable_corrector=[],
    scheduler_type="unipc",
    use_dynamic_shifting=False,
    time_shift_type="exponential",
)
class HeliosScheduler(HeliosStages):
    """UniPC within each of the stages of growing resolution; it begins anew in every stage.

    On the straight line from the start of a stage to its end the share s of the start falls from 0.999 to 0, and the
    velocity v is start - end: an end of ``x - s * v`` is predicted, and UniPC integrates it as it does the clean sample
    of a flow, in ``lambda = ln((1 - s) / s)``. Renoising between stages is that of
    :class:`PyramidFlowMatchEulerDiscreteScheduler`.

    Examples:
        >>> scheduler = HeliosScheduler()
        >>> for stage in range(3):
        ...     scheduler.set_timesteps(10, stage)
        ...     if stage > 0:
        ...         x = scheduler.renoise(x, stage)
        ...     for t in scheduler.timesteps:
        ...         x = scheduler.step(model(x, t), x, t)
    """

    has_warmup = True
    predicts_x0 = True

    @property
    def most_predictions(self):
        """Number of predictions that a step uses at most."""
        return self.settings.solver_order

    def trajectory_plan(self, begin=0):
        """Returns the plan of the chosen stage, for trajectories that begin with row `begin`."""
        return self.stage_plan(self.timesteps, self.sigmas, begin)

    def stage_plan(self, timesteps, sigmas, begin=0):
        """Returns the plan of a stage with these timesteps ``(n,)`` and shares of its start, ``(n + 1,)``."""
        if self.settings.scheduler_type == "euler":
            return super().stage_plan(timesteps, sigmas)
        # The levels along the line are none of the data.
        return replace(StageSolver(self.settings, timesteps, sigmas).unipc_plan(begin), next_level=None)
