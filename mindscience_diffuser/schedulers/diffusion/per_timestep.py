"""Schedulers that step from any training timestep, whether their trajectory visits it or not."""

from dataclasses import replace

import numpy as np

from mindscience_diffuser.schedulers.diffusion.diffusion import DiffusionScheduler
from mindscience_diffuser.step import PlanCell, compiles_as


class PerTimestepScheduler(DiffusionScheduler):
    """Base of schedulers whose step depends on the training timestep alone: their table has a row for each.

    A subclass describes the steps in :meth:`dense_plan`; those that take more than the model output extend `step`.
    """

    def _configure(self):
        super()._configure()
        self.table = PlanCell(self.table_plan(), self.compute_dtype, returns_x0=True)

    def dense_plan(self):
        """Returns the plan of a step from every training timestep; options of `step` that change it are arguments."""
        raise NotImplementedError

    def table_plan(self):
        """Returns the dense plan that graphs use."""
        return self.dense_plan()

    def plan_for(self, **options):
        """Returns the :class:`StepPlan` of the chosen timesteps for these options of `step`."""
        self.check_scheduled()
        self.check_options(options)
        return replace(self.dense_plan(**options).take(self.timesteps), level=self.levels_of_calls())

    def _schedule(self, timesteps):
        self.timesteps, self.scheduled = timesteps, True
        self.plan = self.plan_for()
        self._check_followers()
        self.table.load(self.table_plan())
        super()._schedule(timesteps)

    @property
    def training_timesteps(self):
        """The timesteps of the rows, ``(T,)``."""
        return np.arange(self.num_train_timesteps)

    def construct(self, model_output, sample, timestep):
        """The pure form of `step` for other graphs and for export; timestep is an int32 Tensor, 0-D or ``(B,)``."""
        return self.step_in_graph(model_output, sample, timestep)

    def step_in_graph(self, model_output, sample, timestep, return_dict=False):
        """What the graph compiler reads in place of :meth:`step`."""
        outputs = self.table(self.index_in_graph(model_output, sample, timestep), sample, model_output)
        return outputs if return_dict else outputs[0]

    @compiles_as(step_in_graph)
    def step(self, model_output, sample, timestep, return_dict=False):
        """Moves one step along the trajectory.

        Args:
            model_output (Tensor): Output of the model at `sample`, of the same shape.
            sample (Tensor): Shape ``(B, ...)``, any rank >= 2, float32, float16 or bfloat16.
            timestep (int, numpy.ndarray or Tensor): Training timestep: a number, a 0-D Tensor, or one value for each
                sample, ``(B,)``, or for each frame of samples ``(B, T, ...)``, ``(B, T)``.
            return_dict (bool): Whether to return the predicted clean sample too. Default: ``False``.

        Returns:
            Tensor, the next sample, in `compute_dtype`; with `return_dict` a :class:`SchedulerOutput`
            (prev_sample, pred_original_sample).

        Raises:
            TypeError: If an argument has the wrong type, or sample and timestep are swapped.
            ValueError: If the shapes differ, the timestep is out of range, or `set_timesteps` was not called.
        """
        index = self._check_step_at(model_output, sample, timestep)
        eager = self._eager_plan((return_dict,), self.dense_plan)
        return self._result(eager.run(index, (sample, model_output)), return_dict)
