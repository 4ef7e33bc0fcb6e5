"""Flow matching over stages of growing resolution (Jin et al., 2024, arXiv:2410.05954)."""

import numbers
from collections.abc import Sequence

import numpy as np
from mindspore import Tensor
from mindspore import dtype as mstype

from mindscience_diffuser.noise import (
    block_mean,
    block_noise,
    check_halvable,
    continuing,
    flow_shift,
    renoising_by_end,
    share_of,
)
from mindscience_diffuser.plan import StepPlan, joined
from mindscience_diffuser.schedulers.base.arguments import takes_arguments
from mindscience_diffuser.schedulers.base.scheduler import timestep_index
from mindscience_diffuser.schedulers.base.trajectory import TrajectoryScheduler
from mindscience_diffuser.schedulers.flow.upscaling import double
from mindscience_diffuser.step import PlanCell, compiles_as
from mindscience_diffuser.validation import check_integer, check_number, check_only_one


@takes_arguments(num_train_timesteps=1000, shift=1.0, stages=3, stage_range=(0, 1 / 3, 2 / 3, 1), gamma=1 / 3)
class PyramidFlowMatchEulerDiscreteScheduler(TrajectoryScheduler):
    """Euler's method along a rectified flow that is cut into stages, each at twice the resolution of the one before.

    Stage k leads on a straight line from its start point to its end point (section 3.2.1 of the paper), where
    x_k is the clean sample at the resolution of the stage and n_k the noise:

    start = start_sigmas[k] * n_k + (1 - start_sigmas[k]) * up(down(x_k)),
    end   = end_sigmas[k] * n_k + (1 - end_sigmas[k]) * x_k.

    Inside a stage ``sigmas`` counts from 1 (start) to 0 (end), the model predicts the velocity start - end, and
    ``x_next = x + (sigma_next - sigma) * v``. Between two stages the sample is doubled in size and renoised, see
    :meth:`renoise`. :class:`~mindscience_diffuser.PyramidSampler` runs all stages.

    ``start_sigmas``, ``end_sigmas``, ``ori_start_sigmas`` (float64, shape ``(stages,)``) are the shares of noise at the
    ends of the stages, the last of them before renoising is taken into account; ``timestep_ratios`` ``(stages, 2)``
    says where a stage begins and ends as a share of all timesteps; ``timesteps_per_stage`` and ``sigmas_per_stage``
    ``(stages, T)`` are the tables of training.

    Examples:
        >>> scheduler = PyramidFlowMatchEulerDiscreteScheduler()
        >>> for stage in range(3):
        ...     scheduler.set_timesteps(10, stage)
        ...     if stage > 0:
        ...         x = scheduler.renoise(x, stage)
        ...     for t in scheduler.timesteps:
        ...         x = scheduler.step(model(x, t), x, t)
    """

    first_ratio = 1.0
    """The share of a stage's start in the sample with which its steps begin."""

    highest_timestep = np.inf
    """What the model is told at most."""

    def _configure(self):
        config = self.settings
        self.num_train_timesteps, self.num_stages, self.gamma = config.num_train_timesteps, config.stages, config.gamma
        self._cut_into_stages(_check_stage_range(config.stage_range, self.num_stages))
        # Before the first call of set_timesteps the schedule is that of training in the first stage.
        self.stage_index = 0
        self.sigmas = np.append(self.sigmas_per_stage[0], 0.0)
        self._schedule(self.timesteps_per_stage[0].astype(np.float32), scheduled=False)
        _, scale, noise = renoising_by_end(1 - self.ori_start_sigmas, self.gamma)
        self._renoising_weights = np.stack([scale, noise], axis=1)
        renoising = StepPlan(np.arange(self.num_stages), {}, {"sample": {"sample": scale, "output": noise}})
        self.renoising = PlanCell(renoising, self.compute_dtype)
        self.training_points = PlanCell(self._training_plan(), self.compute_dtype)

    def __len__(self):
        return self.num_train_timesteps

    @property
    def levels(self):
        """Weights alpha, sigma of clean sample and noise at each step of the stage and at its end, ``(n + 1,)``."""
        start, end = self.start_sigmas[self.stage_index], self.end_sigmas[self.stage_index]
        noise = self.sigmas * start + (1 - self.sigmas) * end
        return 1 - noise, noise

    def set_timesteps(self, num_inference_steps, stage_index):
        """Chooses the steps through one stage; takes effect in compiled graphs too.

        Args:
            num_inference_steps (int): Number of steps, at least 1.
            stage_index (int): The stage, in [0, stages - 1].

        Raises:
            TypeError: If an argument is no integer.
            ValueError: If an argument is out of its range.
        """
        timesteps, self.sigmas = self._stage_schedule(num_inference_steps, stage_index)
        self.stage_index, self.num_inference_steps = stage_index, len(timesteps)
        self._schedule(timesteps)

    def trajectory_plan(self):
        """Returns the plan of the chosen stage; its predicted clean sample is the end point of the stage."""
        return self.stage_plan(self.timesteps, self.sigmas)

    def stage_plan(self, timesteps, sigmas):
        """Returns the plan of a stage with these timesteps ``(n,)`` and shares of its start, ``(n + 1,)``."""
        sigma, sigma_next = sigmas[:-1], sigmas[1:]
        return StepPlan(
            timesteps,
            {"sample": 1.0, "output": -sigma},
            {"sample": {"sample": 1.0, "output": sigma_next - sigma}},
        )

    def steps_of_stages(self, num_inference_steps):
        """Returns the number of steps of each stage, from one number for all or one for each.

        Raises:
            TypeError: If they are no integers.
            ValueError: If they are below 1, or not one for each stage.
        """
        given = num_inference_steps
        if isinstance(given, numbers.Integral):
            given = (given,) * self.num_stages
        if isinstance(given, str) or not isinstance(given, Sequence):
            raise TypeError(f"'num_inference_steps' must be an integer or one for each stage, but is {given!r}.")
        if len(given) != self.num_stages:
            raise ValueError(
                f"'num_inference_steps' must have one number for each of {self.num_stages} stages, but is {given!r}."
            )
        return tuple(check_integer("num_inference_steps", count, low=1) for count in given)

    def plan_of_stages(self, num_inference_steps):
        """Returns the plan of all stages, one after another; for the argument see :meth:`steps_of_stages`."""
        steps = self.steps_of_stages(num_inference_steps)
        return joined([self.plan_for(count, stage) for stage, count in enumerate(steps)])

    def plan_for(self, num_inference_steps=None, stage_index=None, **options):
        """Returns the :class:`~mindscience_diffuser.plan.StepPlan` of the chosen stage, or of a given one.

        Args:
            num_inference_steps (int, optional): Number of steps, with `stage_index`.
            stage_index (int, optional): The stage, with `num_inference_steps`.
            **options: The row `begin` with which a trajectory begins, where the class remembers earlier steps.
        """
        if stage_index is None:
            return super().plan_for(**options)
        return self.stage_plan(*self._stage_schedule(num_inference_steps, stage_index), **options)

    def noised_to_row(self, original_samples, noise, row):
        """Raises ValueError: a stage starts between its clean sample and the coarser one, see `training_sample`."""
        raise ValueError("A stage does not start at a noised clean sample: use training_sample for a point within it.")

    def renoise_coefficients(self, stage_index):
        """Returns (alpha, beta), the weights of the upsampled sample and of the noise where a stage begins.

        Stage 0 begins with noise: it has what the formula gives for a sample without signal, and is never renoised.

        Raises:
            TypeError: If `stage_index` is no integer.
            ValueError: If it is outside [0, stages - 1].
        """
        alpha, beta = self._renoising_weights[self._check_stage(stage_index)]
        return float(alpha), float(beta)

    def renoise_in_graph(self, sample, stage_index, noise=None, generator=None):
        """What the graph compiler reads in place of :meth:`renoise`."""
        if noise is None:
            raise ValueError("Inside a graph 'noise' must be given to renoise, from block_noise.")
        if stage_index < 1 or stage_index >= self.num_stages:
            raise ValueError(f"'stage_index' must be in [1, {self.num_stages - 1}], but is {stage_index}.")
        doubled = double(sample)
        self.check_like_in_graph("noise", noise, doubled)
        return self.renoising(Tensor(stage_index, mstype.int32), doubled, noise)[0]

    @compiles_as(renoise_in_graph)
    def renoise(self, sample, stage_index, noise=None, generator=None):
        """Turns the end of one stage into the start of the next: alpha * upsampled + beta * block noise.

        Nearest upsampling makes the noise in the sample equal over blocks of 2x2; the block noise has the negative
        correlation that makes it white again (section 3.2.2 of the paper).

        Args:
            sample (Tensor): End of stage `stage_index` - 1, ``(B, C, H, W)`` or ``(B, C, T, H, W)``.
            stage_index (int): The stage that begins, in [1, stages - 1].
            noise (Tensor, optional): Block noise of the doubled height and width, from
                :func:`~mindscience_diffuser.block_noise`; needed inside a graph.
            generator (optional): Source of the noise where it is not given, as in
                :func:`~mindscience_diffuser.block_noise`.

        Returns:
            Tensor of twice the height and width, in `compute_dtype`.

        Raises:
            TypeError: If an argument has the wrong type.
            ValueError: If the stage is the first or out of range, or a shape does not fit.
        """
        if self._check_stage(stage_index) == 0:
            raise ValueError("'stage_index' is 0, but the first stage begins with noise: renoise from stage 1 on.")
        self.check_tensor("sample", sample)
        check_halvable("sample", sample.shape, halvings=0)
        shape = (*sample.shape[:-2], 2 * sample.shape[-2], 2 * sample.shape[-1])
        check_only_one(noise=noise, generator=generator)
        if noise is None:
            # A stream of its own for each stage: stream 0 is that of the noise which the first stage begins with.
            source = continuing(generator, shape[0], stream=int(stage_index))
            noise = Tensor(block_noise(shape, self.gamma, source), self.compute_dtype)
        self.check_tensor("noise", noise)
        if noise.shape != shape:
            raise ValueError(f"'noise' has shape {noise.shape}, but must have that of the next stage, {shape}.")
        return self.renoising.run(int(stage_index), (double(sample), noise))[0]

    def training_sample_in_graph(self, original_samples, noise, index, stage_index):
        """What the graph compiler reads in place of :meth:`training_sample`."""
        self.check_like_in_graph("noise", noise, original_samples)
        self.check_count_in_graph(index, original_samples)
        # Stage 0 starts from noise alone: what stands for the coarser sample has no weight there.
        coarse = double(block_mean(original_samples)) if stage_index > 0 else original_samples
        row = index.astype(mstype.int32) + stage_index * (self.num_train_timesteps + 1)
        return self.training_points(row, coarse, original_samples, noise)

    @compiles_as(training_sample_in_graph)
    def training_sample(self, original_samples, noise, index, stage_index):
        """Returns a sample between the start and end point of a stage, and the velocity that the model should predict.

        With s = 1 - index / T: sample = s * start + (1 - s) * end, velocity = start - end. Index 0 gives the start
        point, index T the end point; the model is told ``timesteps_per_stage[stage_index][index]``.

        Args:
            original_samples (Tensor): Clean samples at the resolution of the stage, ``(B, C, H, W)`` or
                ``(B, C, T, H, W)``, see :func:`~mindscience_diffuser.noise.multi_scale_samples`.
            noise (Tensor): Noise at this resolution, see :func:`~mindscience_diffuser.noise.multi_scale_noise`.
            index (int or Tensor): Position in the training table of the stage, in [0, T], or one for each sample.
            stage_index (int): The stage, in [0, stages - 1].

        Returns:
            tuple (sample, velocity) of Tensors in `compute_dtype`.

        Raises:
            TypeError: If an argument has the wrong type.
            ValueError: If an argument is out of range or a shape does not fit.
        """
        stage_index = self._check_stage(stage_index)
        self.check_tensor("original_samples", original_samples)
        check_halvable("original_samples", original_samples.shape, halvings=1 if stage_index else 0)
        self.check_tensor("noise", noise, like=original_samples)
        index = timestep_index(index, original_samples.shape, self.num_train_timesteps + 1, "index")
        index = Tensor(index, mstype.int32) if isinstance(index, int) else index
        coarse = double(block_mean(original_samples)) if stage_index > 0 else original_samples
        row = index + stage_index * (self.num_train_timesteps + 1)
        return self.training_points.run(row, (coarse, original_samples, noise))

    def even_levels(self):
        """Returns the levels of the training timesteps before they are shifted, descending, ``(T,)``."""
        return np.arange(self.num_train_timesteps, 0, -1) / self.num_train_timesteps

    def _cut_into_stages(self, stage_range):
        """Computes the ends of the stages and their training tables, as the code of Pyramid-Flow does."""
        count = self.num_train_timesteps
        levels = flow_shift(self.even_levels(), self.settings.shift)
        starts = [share_of(count, share) for share in stage_range[:-1]]
        if len(set(starts)) < len(starts):
            raise ValueError(
                f"'stage_range' {stage_range} leaves a stage without any of {count} training timesteps: use wider "
                "stages or more timesteps."
            )
        self.ori_start_sigmas = levels[starts]
        self.end_sigmas = np.append(levels[starts[1:]], 0.0)
        renoised = 1 - renoising_by_end(1 - self.ori_start_sigmas, self.gamma)[0]
        self.start_sigmas = np.append(self.ori_start_sigmas[:1], renoised[1:])
        # Each stage has the share of the timesteps that its way through the levels has of all ways.
        ways = np.append(0.0, np.cumsum(self.start_sigmas - self.end_sigmas))
        ratios = ways / ways[-1]
        self.timestep_ratios = np.stack([ratios[:-1], ratios[1:]], axis=1)
        edges = levels[np.minimum(share_of(count, ratios), count - 1)] * count
        highest = np.minimum(edges[:-1], self.highest_timestep)
        self.timesteps_per_stage = np.linspace(highest, edges[1:], count + 1, axis=1)[:, :-1]
        self.sigmas_per_stage = np.tile(np.linspace(self.first_ratio, 0, count + 1)[:-1], (self.num_stages, 1))

    def _stage_schedule(self, num_inference_steps, stage_index):
        """Returns timesteps (n,), in single precision, and sigmas (n + 1,) of a stage."""
        count = check_integer("num_inference_steps", num_inference_steps, low=1)
        stage = self._check_stage(stage_index)
        first, last = (self.timesteps_per_stage[stage][k] for k in (0, -1))
        highest, lowest = (self.sigmas_per_stage[stage][k] for k in (0, -1))
        timesteps = np.linspace(first, last, count).astype(np.float32)
        return timesteps, np.append(np.linspace(highest, lowest, count), 0.0)

    def _training_plan(self):
        """Returns the plan whose row stage * (T + 1) + index is a point of training.

        Its values are the upsampled coarser sample, the clean sample (in the place of a model output) and the noise.
        """
        ratio = np.linspace(self.first_ratio, 0, self.num_train_timesteps + 1)
        start, end = (s[:, None] for s in (self.start_sigmas, self.end_sigmas))

        def rows(weight):
            return np.broadcast_to(weight, (self.num_stages, len(ratio))).ravel()

        sample = {
            "sample": rows(ratio * (1 - start)),
            "output": rows((1 - ratio) * (1 - end)),
            "noise": rows(ratio * start + (1 - ratio) * end),
        }
        velocity = {"sample": rows(1 - start), "output": rows(end - 1), "noise": rows(start - end)}
        return StepPlan(np.arange(ratio.size * self.num_stages), {}, {"sample": sample}, {"velocity": velocity})

    def _check_stage(self, stage_index):
        return check_integer("stage_index", stage_index, low=0, high=self.num_stages - 1)


def _check_stage_range(stage_range, stages):
    """Returns the ends of the stages if they increase from 0 to 1 and are one more than there are stages."""
    ends = tuple(check_number("stage_range", share, "[0, 1]") for share in stage_range)
    if len(ends) != stages + 1:
        raise ValueError(f"'stage_range' must have stages + 1 = {stages + 1} numbers, but has {len(ends)}: {ends}.")
    if ends[0] != 0 or ends[-1] != 1 or any(low >= high for low, high in zip(ends, ends[1:])):
        raise ValueError(f"'stage_range' must increase from 0 to 1, but is {ends}.")
    return ends
