"""All stages of Pyramid Flow as one sampler (Jin et al., 2024, arXiv:2410.05954)."""

import functools

from mindspore import nn

from mindscience_diffuser.cells import PublicCell, unlocked
from mindscience_diffuser.inputs import check_scheduler, type_name
from mindscience_diffuser.noise import check_halvable, continuing
from mindscience_diffuser.sampling.sampler import Sampler
from mindscience_diffuser.schedulers import PyramidFlowMatchEulerDiscreteScheduler
from mindscience_diffuser.settings import ReadOnly
from mindscience_diffuser.validation import check_function, check_only_one


class PyramidSampler(PublicCell):
    """Draws samples through all stages: each stage doubles height and width, renoises, and runs its own steps.

    Args:
        model (nn.Cell): Called as ``model(x, timestep, *conditions)`` with x ``(B, C, H, W)`` or ``(B, C, T, H, W)`` at
            the resolution of the stage and timestep ``(B,)``; returns the velocity in the shape and dtype of x.
        scheduler (PyramidFlowMatchEulerDiscreteScheduler): Its stages are run.
        num_inference_steps (int or Sequence[int]): Steps of every stage, or of each.
        method (str): How the steps of a stage are run, see :class:`Sampler`. Inside a graph, and in an exported file,
            all stages are one graph, with ``"loop"`` or ``"unrolled"``. Default: ``"loop"``.

    Inputs:
        - **noise** (Tensor) - start of the first stage, at the coarsest resolution, float32, float16 or bfloat16.
        - **inputs** (Tensor) - inside a graph: block noise for each later stage, of the shape of its samples, see
          :func:`~mindscience_diffuser.block_noise`; then the conditions. In an eager call the conditions alone.

    Outputs:
        Tensor, the end of the last stage, 2^(stages - 1) times as high and wide as `noise`, in the scheduler's
        `compute_dtype`.

    Raises:
        TypeError: If `scheduler` is another, `model` no Cell, or a number of steps no integer.
        ValueError: If `method` is unknown, or the numbers of steps are not one for each stage and at least 1.
    """

    def __init__(self, model, scheduler, num_inference_steps, method="loop"):
        super().__init__()
        check_scheduler(scheduler, PyramidFlowMatchEulerDiscreteScheduler, " (for others use Sampler)")
        self.scheduler = scheduler
        self.method = method
        self.count = scheduler.num_stages
        steps = scheduler.steps_of_stages(num_inference_steps)
        samplers = [
            Sampler(model, scheduler, method, num_inference_steps=count, stage_index=stage)
            for stage, count in enumerate(steps)
        ]
        for stage, sampler in enumerate(samplers):
            for parameter in (sampler.rows, sampler.timesteps, sampler.count):
                parameter.name = f"stage_{stage}_{parameter.name}"
        self.stages = nn.CellList(samplers, auto_prefix=False)

    @property
    def plan(self):
        """The :class:`~mindscience_diffuser.plan.StepPlan` of the steps of all stages, one after another."""
        return self.scheduler.plan_of_stages([len(stage.plan) for stage in self.stages])

    @property
    def input_names(self):
        """Names of the inputs of the graph form, without the conditions."""
        return ("noise", *(f"block_noise_{stage}" for stage in range(1, self.count)))

    def set_timesteps(self, num_inference_steps):
        """Changes the steps, of every stage or of each; with ``"loop"`` it takes effect in compiled graphs too."""
        before = [stage.step_options for stage in self.stages]
        for stage, count in zip(self.stages, self.scheduler.steps_of_stages(num_inference_steps)):
            with unlocked(stage):
                stage.step_options = ReadOnly({**stage.step_options, "num_inference_steps": count})
        try:
            for stage in self.stages:
                stage.check_plan()
        except ValueError:
            for stage, options in zip(self.stages, before):
                with unlocked(stage):
                    stage.step_options = options
            raise
        for stage in self.stages:
            stage.follow()

    def construct(self, noise, *inputs):
        """Runs all stages as part of a graph."""
        # Each stage copies its noise and conditions; the block noise enters no loop.
        conditions = inputs[self.count - 1 :]
        x = self.stages[0](noise, *conditions)
        for stage in range(1, self.count):
            x = self.scheduler.renoise(x, stage, inputs[stage - 1])
            x = self.stages[stage](x, *conditions)
        return x

    def __call__(self, noise, *conditions, generator=None, renoise=None, callback=None, progress=False):
        """Draws samples, one compiled call a stage (a step with ``"step"``) and one for renoising.

        Args:
            noise (Tensor): Start of the first stage, standard normal, ``(B, C, H, W)`` or ``(B, C, T, H, W)``.
            *conditions (Tensor or tuple of Tensors): Passed on to the model; first axis B.
            generator (optional): Source of the block noise: a seed, a :class:`~mindscience_diffuser.NoiseSource`, or
                what :func:`~mindscience_diffuser.block_noise` takes. With a seed or a source, sample k gets the same
                noise whatever the batch.
            renoise (Sequence[Tensor], optional): The block noise itself, one Tensor for each stage but the first.
            callback (callable, optional): Called as ``callback(stage, i, timestep, sample)`` after step i of a stage;
                ``"step"`` only.
            progress (bool): Whether to show a progress bar for each stage; ``"step"`` only. Default: ``False``.

        Returns:
            See Outputs of the class.

        Raises:
            TypeError: If `noise` or a condition is no Tensor.
            ValueError: If a shape does not fit, or an option does not go with the method.
        """
        self.scheduler.check_tensor("noise", noise)
        check_halvable("noise", noise.shape, halvings=0)
        if renoise is None:
            generator = continuing(generator, noise.shape[0])
            renoise = (None,) * (self.count - 1)
        else:
            check_only_one(renoise=renoise, generator=generator)
            self._check_renoise(renoise, noise.shape)
        if callback is not None:
            check_function("callback", callback, "callback(stage, i, timestep, sample)")
        x = noise
        for stage, sampler in enumerate(self.stages):
            if stage > 0:
                x = self.scheduler.renoise(x, stage, renoise[stage - 1], generator)
            of_stage = None if callback is None else functools.partial(callback, stage)
            x = sampler(x, *conditions, callback=of_stage, progress=progress)
        return x

    def _check_renoise(self, renoise, shape):
        wanted = f"'renoise' must hold {self.count - 1} Tensors, one for each stage but the first"
        if not isinstance(renoise, (tuple, list)):
            raise TypeError(f"{wanted}, in a list, but is {type_name(renoise)}.")
        if len(renoise) != self.count - 1:
            raise ValueError(f"{wanted}, but holds {len(renoise)}.")
        for stage, value in enumerate(renoise, start=1):
            name, expected = f"renoise[{stage - 1}]", (*shape[:-2], *(2**stage * size for size in shape[-2:]))
            self.scheduler.check_tensor(name, value)
            if tuple(value.shape) != expected:
                raise ValueError(f"'{name}' has shape {value.shape}, but stage {stage} needs {expected}.")
