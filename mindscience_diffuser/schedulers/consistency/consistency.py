"""What consistency-distilled schedulers share: timesteps out of those that the student was distilled on."""

import warnings

import numpy as np

from mindscience_diffuser.noise import custom_timesteps, share_of
from mindscience_diffuser.schedulers.base.arguments import THRESHOLDING, takes_arguments
from mindscience_diffuser.schedulers.base.config import configured_limit
from mindscience_diffuser.schedulers.base.trajectory import TrajectoryScheduler
from mindscience_diffuser.schedulers.diffusion.diffusion import DiffusionScheduler
from mindscience_diffuser.validation import check_integer, check_number

CONSISTENCY = {
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "trained_betas": None,
    "original_inference_steps": 50,
    "clip_sample": False,
    "clip_sample_range": 1.0,
    "set_alpha_to_one": True,
    "steps_offset": 0,
    "prediction_type": "epsilon",
    **THRESHOLDING,
    "timestep_spacing": "leading",
    "timestep_scaling": 10.0,
    "rescale_betas_zero_snr": False,
}
"""Arguments of the consistency schedulers."""


@takes_arguments(**CONSISTENCY)
class ConsistencyScheduler(TrajectoryScheduler, DiffusionScheduler):
    """Base of :class:`LCMScheduler` and :class:`TCDScheduler`.

    The schedule is that of the distillation, and a step never leads beyond timestep 0: `timestep_spacing`,
    `steps_offset` and `set_alpha_to_one` are kept in the configuration only.
    """

    def _configure(self):
        super()._configure()
        if configured_limit(self.settings) is not None and not self.limits:
            warnings.warn(
                f"{type(self).__name__} does not limit the clean sample: 'clip_sample' and 'thresholding' do nothing.",
                stacklevel=4,
            )
        self._schedule(self.timesteps, scheduled=False)

    def set_timesteps(self, num_inference_steps=None, original_inference_steps=None, timesteps=None, strength=1.0):
        """Chooses the timesteps of the following trajectory; takes effect in compiled graphs too.

        Args:
            num_inference_steps (int, optional): Number of steps, evenly spread over the timesteps of the distillation.
            original_inference_steps (int, optional): Number of timesteps of the distillation, in [1, T]. Default: that
                of the constructor.
            timesteps (Sequence[int], optional): The timesteps themselves, strictly descending, in [0, T - 1]. Exactly
                one of this and `num_inference_steps` must be given.
            strength (float): Share of the schedule that is run, at its end (image to image), in (0, 1].
                Default: ``1.0``.

        Raises:
            TypeError: If an argument has the wrong type.
            ValueError: If both or none of the two are given, a value is out of range, there are fewer timesteps of
                the distillation than steps, or the prediction type is undefined at a timestep.
        """
        if (num_inference_steps is None) == (timesteps is None):
            given = "both are" if timesteps is not None else "none is"
            raise ValueError(f"Exactly one of 'num_inference_steps' and 'timesteps' must be given, but {given}.")
        strength = check_number("strength", strength, "(0, 1]")
        train = self.num_train_timesteps
        original = self.settings.original_inference_steps
        if original_inference_steps is not None:
            original = check_integer("original_inference_steps", original_inference_steps, low=1)
        if original > train:
            raise ValueError(
                f"'original_inference_steps' is {original}, but the model was trained on num_train_timesteps={train} "
                "timesteps: it must not be larger."
            )
        distilled = self._distilled_timesteps(original, original_inference_steps is not None, strength)
        if timesteps is None:
            chosen = self._spread(distilled, num_inference_steps, original, strength)
        else:
            chosen = self._custom(timesteps, distilled, original, strength)
        self._check_prediction_defined(chosen)
        self.num_inference_steps = len(chosen)
        self._schedule(chosen)

    def _distilled_timesteps(self, original, explicit, strength):
        """Returns the ascending timesteps of the distillation; `explicit`: whether their number was asked for."""
        del explicit
        return np.arange(1, self.share_of(original, strength) + 1) * (self.num_train_timesteps // original) - 1

    def _spread(self, distilled, count, original, strength):
        """Returns `count` of the distillation's timesteps, evenly spread by index."""
        count = check_integer("num_inference_steps", count, low=1, high=self.num_train_timesteps)
        if count > min(len(distilled), original):
            raise ValueError(
                f"'num_inference_steps' is {count}, but original_inference_steps={original} and strength={strength} "
                f"leave {min(len(distilled), original)} timesteps: use fewer steps, more original_inference_steps, or "
                "a higher strength."
            )
        return distilled[::-1][self.evenly_spread(count, len(distilled))]

    share_of = staticmethod(share_of)
    """How many of some timesteps are a share of them."""

    @staticmethod
    def evenly_spread(count, total):
        """Returns `count` of the indices below `total`, from 0 in even steps, rounded down."""
        return np.arange(count) * total // count

    def _custom(self, timesteps, distilled, original, strength):
        """Returns the last part of given timesteps; warns where they are not those of the distillation."""
        chosen = custom_timesteps(timesteps, self.num_train_timesteps)
        foreign = np.setdiff1d(chosen, distilled)[::-1].tolist()
        unexpected = []
        if strength == 1 and chosen[0] != self.num_train_timesteps - 1:
            unexpected.append(f"begins at {chosen[0]}, not at num_train_timesteps - 1 = {self.num_train_timesteps - 1}")
        if foreign:
            unexpected.append(f"has timesteps that the model was not distilled on: {foreign}")
        if len(chosen) > original:
            unexpected.append(f"has {len(chosen)} timesteps, more than original_inference_steps = {original}")
        if unexpected:
            warnings.warn(f"'timesteps' {'; '.join(unexpected)}. Results may be poor.", stacklevel=4)
        kept = self.share_of(len(chosen), strength)
        if kept == 0:
            raise ValueError(
                f"'strength' is {strength}, which leaves none of {len(chosen)} timesteps; use at least "
                f"{1 / len(chosen):.3g} or more timesteps."
            )
        return chosen[len(chosen) - kept :]

    def _following(self, last):
        """Returns the timestep after each one; after the last one it is `last`."""
        return np.append(self.timesteps[1:], last)
