"""The sampler of unCLIP: DDPM with a cosine schedule (Ramesh et al., 2022, arXiv:2204.06125)."""

import numpy as np

from mindscience_diffuser.schedulers.base.arguments import takes_arguments
from mindscience_diffuser.schedulers.base.scheduler import timestep_values
from mindscience_diffuser.schedulers.diffusion.ddpm import DDPMScheduler
from mindscience_diffuser.step import compiles_as
from mindscience_diffuser.validation import check_integer


@takes_arguments(
    choices={
        "variance_type": ("fixed_small_log", "learned_range"),
        "prediction_type": ("epsilon", "sample"),
        "beta_schedule": ("squaredcos_cap_v2",),
    },
    num_train_timesteps=1000,
    variance_type="fixed_small_log",
    clip_sample=True,
    clip_sample_range=1.0,
    prediction_type="epsilon",
    beta_schedule="squaredcos_cap_v2",
)
class UnCLIPScheduler(DDPMScheduler):
    """The steps of :class:`DDPMScheduler` over evenly spaced timesteps that include the first and the last one.

    Examples:
        >>> scheduler = UnCLIPScheduler()
        >>> scheduler.set_timesteps(25)
        >>> for t in scheduler.timesteps:
        ...     x = scheduler.step(model(x, t), x, t, generator=0)
    """

    def set_timesteps(self, num_inference_steps):
        """Chooses the timesteps of the following trajectory; takes effect in compiled graphs too.

        Args:
            num_inference_steps (int): Number of steps, in [1, num_train_timesteps].

        Raises:
            TypeError: If it is no integer.
            ValueError: If it is out of range.
        """
        count = check_integer("num_inference_steps", num_inference_steps, low=1, high=self.num_train_timesteps)
        chosen = np.linspace(self.num_train_timesteps - 1, 0, count).round().astype(np.int64)
        super().set_timesteps(timesteps=chosen)

    def dense_plan(self, prev_timestep=None):
        """Returns the plan of a step from every training timestep to the next of the trajectory, or a given one."""
        if prev_timestep is None:
            return super().dense_plan()
        return self.plan_towards(np.minimum(prev_timestep, self.training_timesteps - 1))

    def step_in_graph(
        self,
        model_output,
        sample,
        timestep,
        predicted_variance=None,
        prev_timestep=None,
        noise=None,
        generator=None,
        return_dict=False,
    ):
        """What the graph compiler reads in place of :meth:`step`."""
        if prev_timestep is not None:
            raise ValueError("Inside a graph 'prev_timestep' is the next of the trajectory: leave it out.")
        return self.ancestral_in_graph(
            model_output, sample, timestep, predicted_variance, noise, generator, return_dict
        )

    @compiles_as(step_in_graph)
    def step(
        self,
        model_output,
        sample,
        timestep,
        predicted_variance=None,
        prev_timestep=None,
        noise=None,
        generator=None,
        return_dict=False,
    ):
        """Moves one step towards the clean sample.

        Arguments, result and errors are those of :meth:`DDPMScheduler.step`, and one more: the step leads to
        `prev_timestep`, an integer below `timestep`, by default the next of the trajectory; outside graphs only.
        """
        if prev_timestep is None:
            return self._advance(model_output, sample, timestep, predicted_variance, noise, generator, return_dict)
        target = int(timestep_values(prev_timestep, (1, 1), "prev_timestep").reshape(()))
        if not -1 <= target < np.min(timestep_values(timestep, sample.shape)):
            raise ValueError(f"'prev_timestep' must be in [-1, timestep - 1] for timestep {timestep}, but is {target}.")
        return self._advance(
            model_output, sample, timestep, predicted_variance, noise, generator, return_dict, prev_timestep=target
        )
