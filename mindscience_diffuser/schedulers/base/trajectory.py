"""Schedulers whose plan has one row for each model call of a trajectory, found by its index."""

import copy
from dataclasses import replace

import numpy as np
from mindspore import Parameter, Tensor, mint, ops
from mindspore import dtype as mstype

from mindscience_diffuser.plan import StepPlan
from mindscience_diffuser.schedulers.base.scheduler import Scheduler, SchedulerOutput, named_arguments, timestep_values
from mindscience_diffuser.step import PlanCell, compiles_as, replace_value


class Trajectory:
    """Where the eager calls of `step` stand: the next row of the plan, and what is remembered until then."""

    def __init__(self, begin=None):
        self.begin = begin
        self.position = begin
        self.history = ()
        self.size = None
        self.rows = None
        """Next row of each sample or frame, where they are at rows of their own."""


class TrajectoryScheduler(Scheduler):
    """Base of schedulers whose steps follow one another by position.

    A subclass describes its trajectory in :meth:`trajectory_plan`, whose rows belong to ``self.timesteps``, and calls
    :meth:`_schedule` when they change. Methods that call the model twice a step have two rows for it and remember the
    base point as a state of the plan.

    Eager calls of `step` are counted: the first one looks its timestep up, later ones continue with the next row as
    long as their timestep is that row's, so that schedules may visit a timestep twice. Any other timestep, or the end
    of the schedule, begins a new trajectory.
    """

    output = SchedulerOutput
    """What `step` returns with ``return_dict=True``: the sample, the results of the plan, the clean sample."""

    def trajectory_plan(self):
        """Returns the plan of ``self.timesteps``, with results; options of `step` that change it are arguments."""
        raise NotImplementedError

    def plan_for(self, **options):
        """Returns the :class:`~mindscience_diffuser.plan.StepPlan` of the trajectory for these options of `step`."""
        self.check_scheduled()
        self.check_options(options, named_arguments(self.trajectory_plan))
        return replace(self.trajectory_plan(**options), results={}, level=self.levels_of_calls())

    def scale_model_input_in_graph(self, sample, timestep=None):
        """What the graph compiler reads in place of :meth:`scale_model_input`."""
        if self.input_scaling is None:
            return sample
        return self.input_scaling(self.row_in_graph(timestep), sample, sample)[0]

    @compiles_as(scale_model_input_in_graph)
    def scale_model_input(self, sample, timestep=None):
        """Returns what the model is given for `sample`: the sample times the scale of its noise level.

        Args:
            sample (Tensor): x at `timestep`, shape ``(B, ...)``.
            timestep (int, float, numpy.ndarray or Tensor, optional): One of ``timesteps``; needed where the scheduler
                scales. Default: ``None``.

        Returns:
            Tensor of the same shape; the sample itself where the scheduler does not scale.

        Raises:
            TypeError: If `sample` is no Tensor, or `timestep` no number.
            ValueError: If `timestep` is not one of the schedule, or `set_timesteps` was not called.
        """
        if self.input_scaling is None:
            return sample
        self.check_scheduled()
        self.check_tensor("sample", sample)
        if timestep is None:
            raise TypeError(f"'timestep' is needed: {type(self).__name__} scales the sample by its noise level.")
        values, position = timestep_values(timestep, sample.shape), self._trajectory.position
        if position is None or position >= len(self.timesteps) or not self._all_near(position, values):
            position = self.rows_of(timestep, sample.shape)
        return self.input_scaling.run(position, (sample, sample))[0]

    def construct(self, model_output, sample, index, *values):
        """The pure form of `step`, for other graphs and for export.

        Args:
            model_output (Tensor): Output of the model at `sample`.
            sample (Tensor): x at the row's timestep, ``(B, ...)``.
            index (Tensor): int32 row of the plan, 0-D, ``(B,)``, or ``(B, T)`` for samples ``(B, T, ...)``.
            values (Tensor): What the plan remembers, zeros at first, then fresh noise where the plan is stochastic;
                their names are the last of ``input_names``.

        Returns:
            Tensor, the next sample; where the plan remembers something, a tuple of it and the remembered tensors.
        """
        self.check_in_graph(model_output, sample, index)
        if len(values) != len(self.input_names) - 3:
            raise TypeError(f"The inputs are {self.input_names}, but {len(values)} values follow 'index'.")
        remembered = self.remembered
        outputs = self.table(index, sample, *values[:remembered], model_output, *values[remembered:])
        return outputs[: remembered + 1] if remembered > 0 else outputs[0]

    def step_in_graph(self, model_output, sample, timestep, noise=None, generator=None, return_dict=False):
        """What the graph compiler reads in place of :meth:`step`."""
        return self.look_up_and_step(model_output, sample, timestep, noise, generator, return_dict)

    def look_up_and_step(self, model_output, sample, timestep, noise, generator, return_dict):
        """One step that is known by its timestep, inside a graph; the row is that of the nearest timestep."""
        self.check_in_graph(model_output, sample, timestep)
        if self.remembered > 0 or self.order > 1:
            raise ValueError(
                "Inside a graph a scheduler that remembers earlier steps, or calls the model more than once a step, is "
                "called as scheduler(model_output, sample, index, *history): step keeps track of it on the host."
            )
        values = (sample, model_output)
        if self.stochastic:
            values += (self.noise_in_graph(sample, noise, generator),)
        outputs = self.table(self.row_in_graph(timestep), *values)
        return outputs if return_dict else outputs[0]

    def row_in_graph(self, timestep):
        """Returns the row of the nearest timestep, the first of equal ones, in the shape of the timestep."""
        return nearest_row(self.schedule, timestep)

    @compiles_as(step_in_graph)
    def step(self, model_output, sample, timestep, noise=None, generator=None, return_dict=False, **options):
        """Moves one step towards the clean sample.

        Args:
            model_output (Tensor): Output of the model at `sample`, of the same shape.
            sample (Tensor): x at `timestep`, shape ``(B, ...)``, any rank >= 2, float32, float16 or bfloat16.
            timestep (int, float, numpy.ndarray or Tensor): One of ``timesteps``: a number or a 0-D Tensor, or one value
                for each sample, ``(B,)``, or for each frame of samples ``(B, T, ...)``, ``(B, T)``. Where it is NaN,
                sample or frame stay as they are. What a scheduler remembers it then remembers of each of them.
            noise (Tensor, optional): Fresh noise of the shape of `sample`, for stochastic schedulers.
            generator (optional): Source of the noise where `noise` is not given: a seed (sample k then has a stream
                of its own that continues over the trajectory), a `numpy.random.Generator`, a
                :class:`~mindscience_diffuser.NoiseSource`, or a list with one for each sample. Inside a graph the
                noise comes from `noise`, or from MindSpore's own stream.
            return_dict (bool): Whether to return the predicted clean sample too. Inside a graph that is a plain tuple
                in the same order: MindSpore passes no gradient through a NamedTuple there. Default: ``False``.
            **options: What the class describes, such as `s_churn`; outside graphs only.

        Returns:
            Tensor, x at the next timestep, in `compute_dtype`; with `return_dict` a NamedTuple that begins with it, the
            class's `output`.

        Raises:
            TypeError: If an argument has the wrong type, or sample and timestep are swapped.
            ValueError: If the shapes differ, the timestep is not one of the schedule, or `set_timesteps` was not
                called.
        """
        return self._advance(model_output, sample, timestep, noise, generator, return_dict, **options)

    def _advance(self, model_output, sample, timestep, noise=None, generator=None, return_dict=False, **options):
        """The eager step, for options that change the plan; where it raises, the trajectory stays where it was."""
        self.check_options(options)
        self._check_step(model_output, sample, timestep)
        before, seeded = self._trajectory, self._seeded
        try:
            return self._step_from_row(model_output, sample, timestep, noise, generator, return_dict, options)
        except Exception:
            self._trajectory, self._seeded = before, seeded
            raise

    def _step_from_row(self, model_output, sample, timestep, noise, generator, return_dict, options):
        index = self._row(timestep, sample.shape)
        single, remembered = isinstance(index, int), self.remembered
        if self.has_warmup:
            options["begin"] = self._trajectory.begin if single else 0

        def build():
            plan = self._step_plan(return_dict, options)
            return plan if single else with_stop(plan)

        plan = self._eager_plan((*options.items(), single, bool(return_dict)), build)
        values = (sample, *self._remembered(sample), model_output)
        if "noise" in plan.inputs:
            if noise is None and single and not plan.needs_noise[index]:
                noise, generator = sample, None  # Any tensor will do: its weight is 0.
            values += (self._step_noise(sample, noise, generator, index if single else None),)
        outputs = plan.run(index, values)
        self._trajectory.history = outputs[1 : remembered + 1]
        if single:
            self._trajectory.position = index + 1
        return self.output(outputs[0], *outputs[remembered + 1 :]) if return_dict else outputs[0]

    @property
    def step_options(self):
        """Names of the options of `step` that change the plan."""
        return tuple(name for name in named_arguments(self.trajectory_plan) if name != "begin")

    def _step_plan(self, with_results, options):
        plan = self.trajectory_plan(**options)
        return plan if with_results else replace(plan, results={})

    def restart(self):
        """Forgets the trajectory so far: the next step is looked up by its timestep."""
        self._trajectory = Trajectory()

    def go_to(self, row):
        """Continues at a row of the plan; if that is not the next one, a new trajectory begins there."""
        if self._trajectory.position != row:
            self._trajectory = Trajectory(row)

    def _remembered(self, sample):
        """Returns the remembered tensors of the trajectory, zeros at its start."""
        history = self._trajectory.history
        if self.remembered and not history:
            return (mint.zeros(sample.shape, dtype=self.compute_dtype),) * self.remembered
        if history and history[0].shape != sample.shape:
            raise ValueError(
                f"'sample' has shape {sample.shape}, but this trajectory began with {history[0].shape}; a new one "
                "begins with the first timestep, or with set_timesteps."
            )
        return history

    def _row(self, timestep, samples):
        """Returns the row of a step: an int, the next of the trajectory, or a Tensor for timesteps that differ."""
        values = timestep_values(timestep, samples)
        if values is not None and self.timesteps.dtype.kind == "f" and values.dtype.kind != "f":
            nearest = self.timesteps[np.abs(self.timesteps - float(values.flat[0])).argmin()]
            raise ValueError(
                f"'timestep' is the integer {values.flat[0]}, which could mean a position; scheduler.timesteps are "
                f"floats, the nearest of them {nearest}: pass one of them."
            )
        one = timestep.size == 1 if values is None else bool(np.all(values == values.flat[0]))
        if not one or (self._trajectory.rows is not None and np.ndim(timestep) > 0):
            return self._rows_of_each(timestep, values)
        position = self._trajectory.position
        ended = position is None or position >= len(self.timesteps)
        if values is None:  # Only the device knows it.
            if ended:
                self._trajectory = Trajectory(0)
        elif ended or not self._near(position, values.flat[0]):
            self._check_alone(values.flat[0])
            self._trajectory = Trajectory(int(self._look_up(values.reshape(-1)[:1])[0]))
        return self._trajectory.position

    def _rows_of_each(self, timestep, values):
        """Returns the rows of samples or frames at timesteps of their own, a Tensor; those that stay have the last row.

        What is remembered belongs to the rows that each of them has behind it, so these are counted for each.
        """
        if self.remembered and len(np.unique(self.timesteps)) < len(self.timesteps):
            raise ValueError(
                f"'timestep' must be the same for all samples and frames: {type(self).__name__} visits timesteps more "
                "than once in this schedule, so that they do not tell the row of a step. Use a Sampler with 'frames'."
            )
        if values is None:
            rows = self.row_in_graph(timestep)
            stays = ops.isnan(timestep.astype(mstype.float32))
            return ops.where(stays, ops.full_like(rows, len(self.timesteps)), rows)
        stays = np.isnan(values) if values.dtype.kind == "f" else np.zeros(values.shape, bool)
        rows = np.full(values.shape, len(self.timesteps))
        rows[~stays] = self._look_up(values[~stays])
        if self.remembered:
            self._count_rows(rows, stays)
        return Tensor(rows, mstype.int32)

    def _count_rows(self, rows, stays):
        """Checks that each sample or frame goes on where it stands, and counts its step."""
        expected, rows, stays = self._trajectory.rows, rows.reshape(len(rows), -1), stays.reshape(len(rows), -1)
        if expected is None:
            position = self._trajectory.position
            expected = np.full(rows.shape, 0 if position is None or position >= len(self.timesteps) else position)
        wrong = ~stays & (rows != expected)
        if np.all(rows[~stays] == 0) and np.any(wrong):
            self._trajectory, expected, wrong = Trajectory(), np.zeros_like(rows), np.zeros_like(wrong)
        if np.any(wrong):
            place = tuple(np.argwhere(wrong)[0])
            due = expected[place]
            ended = due >= len(self.timesteps)
            where = "NaN, since it is done" if ended else f"timesteps[{due}] = {self.timesteps[due]}"
            raise ValueError(
                f"'timestep' of sample {place[0]}, frame {place[1]} is {self.timesteps[rows[place]]}, but its next one "
                f"is {where}: {type(self).__name__} remembers earlier steps, so that each frame begins with the first "
                "timestep and takes all of them in turn, or stays as it is where the timestep is NaN."
            )
        # In a copy: where the step fails, the trajectory stays where it was.
        self._trajectory = copy.copy(self._trajectory)
        self._trajectory.rows, self._trajectory.position = expected + ~stays, None

    def _check_alone(self, timestep):
        """Raises ValueError where a step comes a second time in the middle of a trajectory that remembers its past.

        That is what two trajectories in turns look like, whose pasts would be mixed.
        """
        position, begin = self._trajectory.position, self._trajectory.begin
        if not self.remembered or position is None or position - 1 <= begin:
            return
        if self._near(position - 1, timestep) and not self._near(begin, timestep):
            raise ValueError(
                f"'timestep' is {timestep} for the second time in one trajectory. {type(self).__name__} remembers "
                "earlier steps, so that two trajectories cannot take turns on it: use copy.deepcopy(scheduler) for the "
                "other one, or call restart() to begin anew at this timestep."
            )

    def rows_of(self, timestep, samples):
        """Returns the first rows of these timesteps, at which a step begins: an int, or an int32 Tensor for several."""
        values = timestep_values(timestep, samples)
        if values is None:
            return self.row_in_graph(timestep)
        rows = self._look_up(values.reshape(-1))
        return int(rows[0]) if np.all(rows == rows[0]) else Tensor(rows.reshape(values.shape), mstype.int32)

    def _look_up(self, values):
        """Returns the first row of each of these timesteps, of those where a step begins."""
        rows = np.abs(self.timesteps[:: self.order] - values[:, None].astype(np.float64)).argmin(axis=1) * self.order
        for row, value in zip(rows, values):
            if not self._near(row, value):
                inside = np.any(np.abs(self.timesteps - float(value)) <= self._tolerance)
                what = f"timesteps[::{self.order}], where a step begins" if inside else "timesteps"
                raise ValueError(
                    f"'timestep' must be one of scheduler.{what}, but is {value}; the nearest is {self.timesteps[row]}."
                )
        return rows

    @property
    def _tolerance(self):
        """How far a timestep may be from its row, by rounding in single precision."""
        return 1e-6 * np.abs(self.timesteps).max()

    def _near(self, row, value):
        """Whether `value` is a row's timestep up to rounding in single precision."""
        return abs(float(value) - self.timesteps[row]) <= self._tolerance

    def _all_near(self, row, values):
        """Whether the host knows that all of `values` are a row's timestep."""
        return values is None or all(self._near(row, value) for value in np.ravel(values))

    def _schedule(self, timesteps, scheduled=True):
        """Takes over new timesteps and the plan that belongs to them; before `set_timesteps` the plan has no steps."""
        self.timesteps = timesteps
        self.scheduled = scheduled
        self._trajectory = Trajectory()
        plan = self.trajectory_plan()
        capacity = self.num_train_timesteps * self.order
        moments = np.pad(timesteps.astype(np.float32), (0, max(capacity - len(timesteps), 0)), constant_values=np.inf)
        if not scheduled:
            self.remembered = len(plan.states) - 1
            self.stochastic = plan.stochastic
            history = tuple(name for name in plan.states if name != "sample")
            self.input_names = ("model_output", "sample", "index", *history, *(("noise",) if plan.stochastic else ()))
            self.table = PlanCell(plan, self.compute_dtype, returns_x0=True, capacity=capacity)
            scaling = None if plan.input_scale is None else _scaling(plan)
            self.input_scaling = scaling and PlanCell(scaling, self.compute_dtype, capacity=capacity)
            self.schedule = Parameter(Tensor(moments), name="schedule", requires_grad=False)
            return
        self.plan = replace(plan, results={}, level=self.levels_of_calls())
        self._check_followers()
        self.table.load(plan)
        if self.input_scaling is not None:
            self.input_scaling.load(_scaling(plan))
        replace_value(self.schedule, Tensor(moments))
        self._plan_changed()


def nearest_row(timesteps, timestep):
    """Returns, in a graph too, the position of the nearest of `timesteps`, in the shape of `timestep`."""
    if isinstance(timestep, (int, float)):
        timestep = Tensor(timestep, mstype.float32)
    distance = ops.abs(timesteps - ops.expand_dims(timestep.astype(mstype.float32), -1))
    return ops.Argmin(axis=-1, output_type=mstype.int32)(distance)


def with_stop(plan):
    """Returns a plan for steps of samples or frames by themselves, with one more row in which they stay as they are."""
    moves = np.append(np.ones(len(plan)), 0.0)
    return replace(plan.take(np.append(np.arange(len(plan)), -1)), moves=moves)


def _scaling(plan):
    """Returns the plan of what the model is given: the sample times its scale."""
    return StepPlan(plan.timesteps, {}, {"sample": {"sample": plan.input_scale}})
