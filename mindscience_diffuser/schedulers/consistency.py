"""What consistency-distilled schedulers share: timesteps out of those that the student was distilled on."""

import warnings

import numpy as np
from mindspore import dtype as mstype

from mindscience_diffuser.noise import custom_timesteps
from mindscience_diffuser.schedulers.config import configured
from mindscience_diffuser.schedulers.diffusion import DiffusionScheduler
from mindscience_diffuser.schedulers.indexed import IndexedScheduler
from mindscience_diffuser.validation import check_bool, check_integer, check_number


class ConsistencyScheduler(IndexedScheduler, DiffusionScheduler):
    """Base of :class:`LCMScheduler` and :class:`TCDScheduler`.

    Args:
        num_train_timesteps (int): Number T of training timesteps. Default: ``1000``.
        beta_start (float): First beta, in (0, 1). Default: ``0.00085``.
        beta_end (float): Last beta, in (0, 1). Default: ``0.012``.
        beta_schedule (str): ``"linear"``, ``"scaled_linear"``, ``"squaredcos_cap_v2"`` or ``"sigmoid"``.
            Default: ``"scaled_linear"``.
        trained_betas (array_like, optional): Betas of shape ``(T,)`` in place of a named schedule. Default: ``None``.
        original_inference_steps (int): Number of timesteps of the distillation, at least 1. Default: ``50``.
        clip_sample (bool): Whether to clip the predicted clean sample. Default: ``False``.
        clip_sample_range (float): It is clipped to [-range, range]. Default: ``1.0``.
        set_alpha_to_one (bool): Kept in the configuration; a step never leads beyond timestep 0. Default: ``True``.
        steps_offset (int): Kept in the configuration; the schedule is that of the distillation. Default: ``0``.
        prediction_type (str): What the model predicts: ``"epsilon"``, ``"sample"`` or ``"v_prediction"``.
            Default: ``"epsilon"``.
        thresholding (bool): Whether to use dynamic thresholding instead of clipping. Default: ``False``.
        dynamic_thresholding_ratio (float): Quantile of the dynamic threshold, in (0, 1]. Default: ``0.995``.
        sample_max_value (float): Upper bound of the dynamic threshold. Default: ``1.0``.
        timestep_spacing (str): Kept in the configuration; the schedule is that of the distillation.
            Default: ``"leading"``.
        timestep_scaling (float): Factor of the timestep in the boundary condition of LCM, above 0. Default: ``10.0``.
        rescale_betas_zero_snr (bool): Whether to rescale the betas so that the last timestep is pure noise
            (Lin et al., 2023, arXiv:2305.08891); not with ``"epsilon"``. Default: ``False``.
        compute_dtype (mindspore.dtype): Dtype of the device arithmetic and of all results, float32 or float16.
            Default: ``mindspore.float32``.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument is outside its range or not one of the choices.

    Supported Platforms:
        ``Ascend`` ``CPU``
    """

    limits = True
    """Whether a step limits the predicted clean sample."""

    @configured
    def __init__(
        self,
        num_train_timesteps=1000,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        trained_betas=None,
        original_inference_steps=50,
        clip_sample=False,
        clip_sample_range=1.0,
        set_alpha_to_one=True,
        steps_offset=0,
        prediction_type="epsilon",
        thresholding=False,
        dynamic_thresholding_ratio=0.995,
        sample_max_value=1.0,
        timestep_spacing="leading",
        timestep_scaling=10.0,
        rescale_betas_zero_snr=False,
        compute_dtype=mstype.float32,
    ):
        super().__init__(
            num_train_timesteps=num_train_timesteps,
            beta_start=beta_start,
            beta_end=beta_end,
            beta_schedule=beta_schedule,
            prediction_type=prediction_type,
            clip_sample=clip_sample,
            clip_sample_range=clip_sample_range,
            thresholding=thresholding,
            sample_max_value=sample_max_value,
            dynamic_thresholding_ratio=dynamic_thresholding_ratio,
            rescale_betas_zero_snr=rescale_betas_zero_snr,
            timestep_spacing=timestep_spacing,
            compute_dtype=compute_dtype,
            trained_betas=trained_betas,
            steps_offset=steps_offset,
        )
        check_bool("set_alpha_to_one", set_alpha_to_one)
        self.original_inference_steps = check_integer("original_inference_steps", original_inference_steps, low=1)
        self.timestep_scaling = check_number("timestep_scaling", timestep_scaling, "(0, inf)")
        if self.limit is not None and not self.limits:
            warnings.warn(
                f"{type(self).__name__} does not limit the clean sample: 'clip_sample' and 'thresholding' do nothing.",
                stacklevel=3,
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
        original = self.original_inference_steps
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
        return np.arange(1, int(original * strength) + 1) * (self.num_train_timesteps // original) - 1

    def _spread(self, distilled, count, original, strength):
        """Returns `count` of the distillation's timesteps, evenly spread by index."""
        count = check_integer("num_inference_steps", count, low=1, high=self.num_train_timesteps)
        if count > min(len(distilled), original):
            raise ValueError(
                f"'num_inference_steps' is {count}, but original_inference_steps={original} and strength={strength} "
                f"leave {min(len(distilled), original)} timesteps: use fewer steps, more original_inference_steps, or "
                "a higher strength."
            )
        chosen = np.floor(np.linspace(0, len(distilled), num=count, endpoint=False)).astype(np.int64)
        return distilled[::-1][chosen]

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
            warnings.warn(f"'timesteps' {'; '.join(unexpected)}. Results may be poor.", stacklevel=3)
        kept = int(len(chosen) * strength)
        if kept == 0:
            raise ValueError(
                f"'strength' is {strength}, which leaves none of {len(chosen)} timesteps; use at least "
                f"{1 / len(chosen):.3g} or more timesteps."
            )
        return chosen[len(chosen) - kept :]

    def _following(self, last):
        """Returns the timestep after each one; after the last one it is `last`."""
        return np.append(self.timesteps[1:], last)
