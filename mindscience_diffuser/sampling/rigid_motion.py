"""Random rigid motions of molecules between the steps of a trajectory (Abramson et al., 2024, algorithms 18 and 19)."""

import mindspore as ms
import numpy as np
from mindspore import Tensor, ops
from mindspore import dtype as mstype
from scipy.spatial.transform import Rotation

from mindscience_diffuser.inputs import check_floating, type_name
from mindscience_diffuser.noise import check_mask_fits, check_particle_mask, draw_noise, draw_steps
from mindscience_diffuser.settings import Settings
from mindscience_diffuser.step import no_view
from mindscience_diffuser.validation import check_number

NUMBERS = 7
"""White noise that a motion is made of: a quaternion and a translation."""


class RigidMotion(Settings):
    """Centres molecules, turns them by a random rotation, and shifts them by a random translation.

    Algorithm 19 of AlphaFold 3 (CentreRandomAugmentation; Abramson et al., 2024, supplement): ``x <- R (x - centre) +
    t`` with R uniform over all rotations and t ~ N(0, translation_std^2 I), the centre that of the atoms of the mask.
    A denoiser that is not equivariant is so asked from all sides. Given to a :class:`Sampler`, a motion stands between
    each step and the next one, as in algorithm 18.

    Args:
        translation_std (float): Standard deviation of each coordinate of the translation, at least 0, in the unit of
            the samples (1 angstrom in AlphaFold 3). Default: ``1.0``.
        mask (array_like, optional): ``(N,)``, or ``(B, N)`` for batches of samples of different size: True or 1 for
            atoms, False or 0 for places without one, which become 0. Default: ``None``, all are atoms.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If `translation_std` is negative, or the mask holds others than 0 and 1, has another rank, or leaves
            a sample without any atom.
    """

    def __init__(self, translation_std=1.0, mask=None):
        self.translation_std = check_number("translation_std", translation_std, "[0, inf)")
        self.mask = None if mask is None else check_particle_mask(mask)

    def draw(self, batch, generator=None):
        """Draws a motion for each sample.

        Args:
            batch (int): Number B of samples.
            generator (optional): What :func:`~mindscience_diffuser.noise.draw_noise` takes: a seed, a
                :class:`~mindscience_diffuser.NoiseSource` and others. Sample k of a seed has motions of its own,
                whatever the batch.

        Returns:
            numpy.ndarray, float32, ``(B, 4, 3)``: the rotation, which rows of coordinates are multiplied by from the
            right, and below it the translation.
        """
        return self.from_white(draw_noise((batch, NUMBERS), generator))

    def draw_steps(self, count, batch, generator=None):
        """Returns what `count` calls of :meth:`draw` would, stacked, ``(n, B, 4, 3)``."""
        return self.from_white(draw_steps(np.ones(count, bool), (batch, NUMBERS), generator))

    def from_white(self, white):
        """Returns motions ``(..., 4, 3)`` from white noise ``(..., 7)``: a normal quaternion has no direction."""
        white = white.astype(np.float64)
        rotations = Rotation.from_quat(white[..., :4].reshape(-1, 4)).as_matrix().reshape(*white.shape[:-1], 3, 3)
        translations = self.translation_std * white[..., None, 4:]
        return np.concatenate([rotations, translations], axis=-2).astype(np.float32)

    def apply(self, sample, motion, noise=None, noise_std=0.0):
        """Moves samples, in one call of a compiled graph.

        Args:
            sample (Tensor): Positions, ``(B, N, 3)``, float32, float16 or bfloat16.
            motion (numpy.ndarray or Tensor): One for each sample, ``(B, 4, 3)``, from :meth:`draw`.
            noise (Tensor, optional): Fresh noise that the samples hold already, ``(B, N, 3)``, which algorithm 18 adds
                after the motion: its centre stays. It is turned along, which for noise that is the same in all
                directions changes nothing of its law. Default: ``None``, none.
            noise_std (float): Factor with which they hold it. Default: ``0.0``.

        Returns:
            Tensor of the shape and dtype of `sample`; the arithmetic is float32.

        Raises:
            TypeError: If `sample` or `noise` is no Tensor of these dtypes.
            ValueError: If a shape is another.
        """
        self.check_sample("sample", sample)
        motion = motion if isinstance(motion, Tensor) else Tensor(np.asarray(motion, np.float32))
        if motion.shape != (sample.shape[0], 4, 3):
            raise ValueError(
                f"'motion' must have the shape {(sample.shape[0], 4, 3)}, one for each sample, but has {motion.shape}."
            )
        if noise is None:
            noise, noise_std = sample, 0.0
        self.check_sample("noise", noise)
        if noise.shape != sample.shape:
            raise ValueError(f"'noise' has shape {noise.shape}, but must have that of the sample, {sample.shape}.")
        weight = Tensor(check_number("noise_std", noise_std, "(-inf, inf)"), mstype.float32)
        sample, motion, noise = map(no_view, (sample, motion, noise))
        return _apply(sample, motion, self.mask_of(sample.shape[0]), noise, weight)

    def check_sample(self, name, sample):
        """Raises TypeError or ValueError unless samples are Tensors ``(B, N, 3)`` that the mask fits."""
        check_floating(name, sample)
        if sample.ndim != 3 or sample.shape[-1] != 3:
            raise ValueError(f"'{name}' must be positions (B, N, 3) to be moved, but has the shape {sample.shape}.")
        if self.mask is not None:
            check_mask_fits(self.mask, f"'{name}'", sample.shape)

    def mask_of(self, batch):
        """Returns the mask of a batch as a Tensor ``(B, N)``, float32, or None."""
        if self.mask is None:
            return None
        return Tensor(np.broadcast_to(self.mask, (batch, self.mask.shape[1])).astype(np.float32))


def check_motion(motion, **exclusive):
    """Returns the motion of a Sampler, or None; raises unless it is one, and none of the other arguments is given."""
    if motion is None:
        return None
    if not isinstance(motion, RigidMotion):
        raise TypeError(f"'motion' must be a RigidMotion, but is {type_name(motion)}.")
    for name, given in exclusive.items():
        if given is not None and given is not False:
            raise ValueError(f"'motion' moves samples between the steps, which does not go with {name}: leave one out.")
    return motion


def motion_columns(plan, order, name):
    """Returns what a step needs to know of the motion after it: whether there is one, and the factor of its noise.

    Args:
        plan (StepPlan): The whole trajectory.
        order (int): Number of rows of a step.
        name (str): What an error calls the scheduler.

    Returns:
        numpy.ndarray, float32, ``(n, 2)``.

    Raises:
        ValueError: If a step remembers tensors of earlier steps, which do not move along, its noise has no factor, or
            its weights differ between channels.
    """
    if len(plan.shape) > 1:
        raise ValueError(
            "'motion' takes axis 1 of the sample for particles, but for 'sigma_data' of the scheduler it has channels: "
            "give it one number."
        )
    ends = np.arange(1, len(plan) + 1) % order == 0
    ends[-1] = False
    begins = np.flatnonzero(ends) + 1
    sums = [plan.x0, *plan.sums.values()]
    for state in list(plan.states)[1:]:
        used = [np.broadcast_to(weights.get(state, 0.0), len(plan))[begins] for weights in sums]
        if np.any(used):
            raise ValueError(
                f"'motion' moves samples between the steps, but {name} remembers earlier ones, which do not move "
                "along: use one of single steps, such as AlphaFold3Scheduler, EDMHeunScheduler or DDIMScheduler."
            )
    if plan.learned_std is not None or plan.langevin is not None:
        raise ValueError(
            f"'motion' needs noise of a known factor, but that of {name} depends on the output of the model: use "
            "another variance or another scheduler."
        )
    noise = plan.folded().states["sample"].get("noise", 0.0)
    return np.stack([ends, np.broadcast_to(noise, len(plan))], axis=1).astype(np.float32)


def moved(sample, motion, mask, noise, weight):
    """Returns samples after their motions, in a graph: positions ``(B, N, 3)``, in the dtype of the sample.

    The centre is that of ``sample - weight * noise``. In float32 whatever the dtype: sums over many atoms far from 0
    leave float16.
    """
    x = ops.cast(sample, mstype.float32)
    quiet = x - weight * ops.cast(noise, mstype.float32)
    if mask is None:
        centre = ops.ReduceMean(keep_dims=True)(quiet, 1)
    else:
        present = mask.expand_dims(-1)
        total = ops.ReduceSum(keep_dims=True)
        centre = total(present * quiet, 1) / total(present, 1)
    turned = ops.BatchMatMul()(x - centre, motion[:, :3]) + motion[:, 3:]
    if mask is not None:
        turned = turned * mask.expand_dims(-1)
    return ops.cast(turned, sample.dtype)


@ms.jit
def _apply(sample, motion, mask, noise, weight):
    return moved(sample, motion, mask, noise, weight)
