"""Few-step sampling of distilled rectified flows, also over growing resolutions (Starodubcev et al., 2025)."""

import math

from mindscience_diffuser.schedulers.base.arguments import FLOW_CHOICES, UPSCALE_MODES, takes_arguments
from mindscience_diffuser.schedulers.flow.flow_match import FLOW_ARGUMENTS, FlowMatchScheduler
from mindscience_diffuser.schedulers.flow.upscaling import resize
from mindscience_diffuser.step import compiles_as
from mindscience_diffuser.validation import check_choice, check_number


@takes_arguments(
    choices=FLOW_CHOICES, **FLOW_ARGUMENTS, scale_factors=None, upscale_mode="bicubic", sigma_schedule=None
)
class FlowMatchLCMScheduler(FlowMatchScheduler):
    """Consistency sampling of a flow: ``x_next = (1 - sigma_next) * x0 + sigma_next * z``, ``x0 = x - sigma * v``.

    Scale-wise generation (SWD, arXiv:2503.16397) upscales x0 between the steps.

    Examples:
        >>> scheduler = FlowMatchLCMScheduler()
        >>> scheduler.set_timesteps(4)
        >>> for t in scheduler.timesteps:
        ...     x = scheduler.step(model(x, t), x, t)
    """

    def _configure(self):
        super()._configure()
        self.set_scale_factors(self.settings.scale_factors, self.settings.upscale_mode)

    def set_scale_factors(self, scale_factors, upscale_mode="bicubic"):
        """Sets the sizes of scale-wise generation, see the arguments of the class."""
        self.scale_factors = tuple(check_number("scale_factors", f, "(0, inf)") for f in scale_factors or ())
        self.upscale_mode = check_choice("upscale_mode", upscale_mode, UPSCALE_MODES)

    def plan_for(self):
        """Returns the :class:`StepPlan` of the trajectory.

        Raises:
            ValueError: If scale factors are set: the sample then changes its size from step to step.
        """
        self._check_one_size()
        return super().plan_for()

    def trajectory_plan(self):
        """Returns the plan of the chosen timesteps."""
        return self.renoising_plan()

    def step_in_graph(self, model_output, sample, timestep, noise=None, generator=None, return_dict=False):
        """What the graph compiler reads in place of :meth:`step`."""
        self._check_one_size()
        return self.look_up_and_step(model_output, sample, timestep, noise, generator, return_dict)

    @compiles_as(step_in_graph)
    def step(self, model_output, sample, timestep, noise=None, generator=None, return_dict=False):
        """Moves one step towards the clean sample, and with scale factors to the next size.

        Arguments, result and errors are those of :meth:`TrajectoryScheduler.step`; with scale factors `noise` and the
        result have the size after the step, and the schedule must have one step more than there are factors.
        """
        if self.scale_factors:
            self._check_step(model_output, sample, timestep)
            model_output, sample = self._upscaled(model_output, sample, timestep)
        return self._advance(model_output, sample, timestep, noise, generator, return_dict)

    def _upscaled(self, model_output, sample, timestep):
        """Upscales both at once: x0 is a weighted sum of them, and so is what is upscaled."""
        if len(self.timesteps) != len(self.scale_factors) + 1:
            raise ValueError(
                f"'scale_factors' has {len(self.scale_factors)} entries, but there are {len(self.timesteps)} steps: "
                "give one for each step but the last."
            )
        row = self._row(timestep, sample.shape)
        if not isinstance(row, int):
            raise ValueError("'timestep' must be the same for all samples with scale_factors.")
        if self._trajectory.size is None:
            self._trajectory.size = sample.shape[2:]
        if row == len(self.scale_factors):
            return model_output, sample
        size = tuple(round(self.scale_factors[row] * length) for length in self._trajectory.size)
        if math.prod(size) == 0:
            raise ValueError(f"'scale_factors' {self.scale_factors[row]} leaves a size of {size}.")
        values = (value.astype(self.compute_dtype) for value in (model_output, sample))
        return tuple(resize(value, size, self.upscale_mode) for value in values)

    def _check_one_size(self):
        if len(self.scale_factors) > 0:
            raise ValueError(
                "'scale_factors' change the size of the sample, which one graph cannot: call step eagerly."
            )
