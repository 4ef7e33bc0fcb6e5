"""RePaint: inpainting with a model that knows nothing of masks (Lugmayr et al., 2022, arXiv:2201.09865)."""

from dataclasses import replace

import mindspore as ms
import numpy as np
from mindspore import nn

from mindscience_diffuser.plan import StepPlan
from mindscience_diffuser.schedulers.base.arguments import takes_arguments
from mindscience_diffuser.schedulers.base.scheduler import timestep_index, timestep_index_in_graph
from mindscience_diffuser.schedulers.diffusion.ddim import DDIMBase
from mindscience_diffuser.step import PlanCell, compiles_as, looked_up, no_view, row_index
from mindscience_diffuser.validation import check_integer


def renoised(alpha, alpha_next):
    """Returns the weights of sample and noise that lead back to a noisier level: r and sqrt(1 - r^2), eq. (1)."""
    ratio = alpha_next / alpha
    return ratio, np.sqrt(1 - ratio**2)


@takes_arguments(
    num_train_timesteps=1000,
    beta_start=0.0001,
    beta_end=0.02,
    beta_schedule="linear",
    eta=0.0,
    trained_betas=None,
    clip_sample=True,
)
class RePaintScheduler(DDIMBase):
    """Algorithm 1 with the steps of DDIM in line 7: outside the hole the known values take over at every level.

    ``x_next = m * (alpha_next * known + sigma_next * z) + (1 - m) * (the DDIM step of x with eta and the same z)``.
    The trajectory goes back and forth: after every `jump_length` steps :meth:`undo_step` leads as many steps back to
    more noise, `jump_n_sample` - 1 times at each place, so that hole and surroundings can agree.

    ``timesteps`` holds the steps and, where it rises, the steps that are undone. The plan has one row for each model
    call; where steps are undone after it, the row leads to the level to which they lead, with one noise for all, which
    has the same distribution.

    Examples:
        >>> scheduler = RePaintScheduler()
        >>> scheduler.set_timesteps(100, jump_length=5, jump_n_sample=3)
        >>> last = scheduler.timesteps[0] + 1
        >>> for t in scheduler.timesteps:
        ...     if t < last:
        ...         x = scheduler.step(model(x, t), x, t, known, mask, generator=0)
        ...     else:
        ...         x = scheduler.undo_step(x, last, generator=0)
        ...     last = t
    """

    def _configure(self):
        super()._configure()
        self.masked = MaskedStep(self.table.kernel)
        self.undoing = PlanCell(self._undoing_plan(), self.compute_dtype)

    def set_timesteps(self, num_inference_steps, jump_length=10, jump_n_sample=10):
        """Chooses the timesteps of the following trajectory; takes effect in compiled graphs too.

        Args:
            num_inference_steps (int): Number of noise levels, in [1, num_train_timesteps].
            jump_length (int): Number of steps after which as many are undone, at least 1. Default: ``10``.
            jump_n_sample (int): How often such a part is run, at least 1. Default: ``10``.

        Raises:
            TypeError: If an argument is no integer.
            ValueError: If an argument is out of range.
        """
        count = check_integer("num_inference_steps", num_inference_steps, low=1, high=self.num_train_timesteps)
        length = check_integer("jump_length", jump_length, low=1)
        samples = check_integer("jump_n_sample", jump_n_sample, low=1)
        jumps = dict.fromkeys(range(0, count - length, length), samples - 1)
        place, places = count, []
        while place > 0:
            place -= 1
            places.append(place)
            if jumps.get(place, 0) > 0:
                jumps[place] -= 1
                places.extend(range(place + 1, place + length + 1))
                place += length
        self.num_inference_steps = count
        self._schedule(self.leading_timesteps(self.num_train_timesteps, count)[places])

    def dense_plan(self):
        """Returns the plan of a step from every training timestep, with the known values at the next level."""
        plan = super().dense_plan(self.settings.eta)
        following = {"noise": 0.0 * self._alphas, **plan.states["sample"]}
        alpha_next, sigma_next = plan.next_level
        return replace(
            plan,
            states={"sample": following},
            results={"known": {"known": alpha_next, "noise": sigma_next}},
            given=("known",),
        )

    def plan_for(self):
        """Returns the :class:`StepPlan` of all model calls, for a Sampler with ``inpaint=True``."""
        self.check_scheduled()
        calls = self.timesteps[np.append(True, np.diff(self.timesteps) < 0)]
        plan = replace(self.dense_plan(), results={}, given=()).take(calls)
        # Where steps are undone after a call, the next one comes at a noisier level than its step leads to.
        reached = self.level_at(np.append(calls[1:], -1))
        back, spread = renoised(plan.next_level[0], reached[0])
        sample = {name: back * weight for name, weight in plan.states["sample"].items()}
        sample["noise"] = np.hypot(sample["noise"], spread)
        return replace(plan, states={"sample": sample}, next_level=reached, level=self.level_at(calls))

    def _noise_of_call(self, sample, noise, generator, undoes, begins=False):
        """Returns the noise of a step, or of one undone; along a trajectory both are counted, and a seed goes on."""
        calls = 0 if begins else self._calls + 1
        noise = self._step_noise(sample, noise, generator, calls)
        self._calls, self._undone = calls, undoes
        return noise

    def _schedule(self, timesteps):
        super()._schedule(timesteps)
        self._calls, self._undone = 0, False
        self.undoing.load(self._undoing_plan())

    def _undoing_plan(self):
        """Returns the plan of the forward process to every training timestep from the level of the one after it."""
        back, spread = renoised(self.level_at(self.following(self.training_timesteps))[0], self._alphas)
        return StepPlan(self.training_timesteps, {}, {"sample": {"sample": back, "output": spread}})

    def construct(self, model_output, sample, timestep, original_image, mask, noise):
        """The pure form of `step` for other graphs and for export; timestep is an int32 Tensor, 0-D or ``(B,)``."""
        return self.step_in_graph(model_output, sample, timestep, original_image, mask, noise)

    def step_in_graph(
        self, model_output, sample, timestep, original_image, mask, noise=None, generator=None, return_dict=False
    ):
        """What the graph compiler reads in place of :meth:`step`."""
        index = self.index_in_graph(model_output, sample, timestep)
        noise = self.noise_in_graph(sample, noise, generator)
        self.check_like_in_graph("original_image", original_image, sample)
        row = looked_up(self.table.rows, index)
        outputs = self.masked.apply(row, mask, (sample, model_output, noise, original_image))
        return outputs if return_dict else outputs[0]

    @compiles_as(step_in_graph)
    def step(self, model_output, sample, timestep, original_image, mask, noise=None, generator=None, return_dict=False):
        """Moves one step towards the clean sample.

        Args:
            model_output (Tensor): Output of the model at `sample`, of the same shape.
            sample (Tensor): x_t, shape ``(B, ...)``, any rank >= 2, float32, float16 or bfloat16.
            timestep (int, numpy.ndarray or Tensor): Training timestep: a number, a 0-D Tensor, or one value for each
                sample, ``(B,)``, or for each frame of samples ``(B, T, ...)``, ``(B, T)``.
            original_image (Tensor): The known clean values, of the same shape.
            mask (Tensor): 1 where they hold, 0 in the hole; broadcasts to the sample.
            noise (Tensor, optional): Fresh noise of the shape of `sample`.
            generator (optional): Source of the noise where `noise` is not given, see :meth:`DDIMScheduler.step`.
            return_dict (bool): Whether to return the predicted clean sample too. Default: ``False``.

        Returns:
            Tensor, x at the next timestep, in `compute_dtype`; with `return_dict` a :class:`SchedulerOutput`
            (prev_sample, pred_original_sample).

        Raises:
            TypeError: If an argument has the wrong type, or sample and timestep are swapped.
            ValueError: If the shapes differ, the timestep is out of range, or `set_timesteps` was not called.
        """
        index = self._check_step_at(model_output, sample, timestep)
        self.check_tensor("original_image", original_image, like=sample)
        self.check_mask(mask, sample)
        # A jump back comes to the first timestep by undone steps; after a step, a new trajectory begins there.
        begins = isinstance(index, int) and index == self.timesteps[0] and not self._undone
        noise = self._noise_of_call(sample, noise, generator, undoes=False, begins=begins)
        values = map(no_view, (mask, sample, model_output, noise, original_image))
        return self._result(self.masked(self.table.rows, row_index(index), *values), return_dict)

    def undo_step_in_graph(self, sample, timestep, noise=None, generator=None):
        """What the graph compiler reads in place of :meth:`undo_step`."""
        noise = self.noise_in_graph(sample, noise, generator)
        self.check_count_in_graph(timestep, sample)
        return self.undoing(timestep_index_in_graph(timestep, self.num_train_timesteps), sample, noise)[0]

    @compiles_as(undo_step_in_graph)
    def undo_step(self, sample, timestep, noise=None, generator=None):
        """Returns the sample that the step from `timestep` gave, with noise up to the level of `timestep` again.

        Args:
            sample (Tensor): Shape ``(B, ...)``.
            timestep (int, numpy.ndarray or Tensor): Training timestep: a number, a 0-D Tensor, or one value for each
                sample, ``(B,)``, or for each frame of samples ``(B, T, ...)``, ``(B, T)``.
            noise (Tensor, optional): Fresh noise of the shape of `sample`.
            generator (optional): Source of the noise where `noise` is not given, see :meth:`DDIMScheduler.step`.

        Returns:
            Tensor of the same shape, in `compute_dtype`.

        Raises:
            TypeError: If an argument has the wrong type.
            ValueError: If the shapes differ, the timestep is out of range, or `set_timesteps` was not called.
        """
        self.check_scheduled()
        self.check_tensor("sample", sample)
        index = timestep_index(timestep, sample.shape, self.num_train_timesteps)
        noise = self._noise_of_call(sample, noise, generator, undoes=True)
        return self.undoing.run(index, (sample, noise))[0]


class MaskedStep(nn.Cell):
    """A step of which a mask takes the known part: the product of mask and sample is no weighted sum.

    Inputs: the table, the index of its row, the mask, then the values of the kernel. Outputs: the next sample and the
    clean one.
    """

    def __init__(self, kernel):
        super().__init__()
        self.kernel = kernel

    @ms.jit
    def construct(self, table, index, mask, *values):
        """Returns the next sample and the predicted clean one."""
        return self.apply(looked_up(table, index), mask, values)

    def apply(self, row, mask, values):
        """The step as a plain function, for use inside another compiled cell."""
        drawn, known, x0 = self.kernel.apply(row, values)
        return known + (1 - mask.astype(drawn.dtype)) * (drawn - known), x0
