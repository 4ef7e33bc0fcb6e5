"""The sampler of a world model: the next observation, denoised under the last ones (Diamond, arXiv:2405.12399)."""

from dataclasses import dataclass

import mindspore as ms
import numpy as np
from mindspore import Tensor, mint, ops
from mindspore import dtype as mstype

from mindscience_diffuser.inputs import check_floating, check_is_tensor
from mindscience_diffuser.noise import EDMPreconditioning, continuing, draw_noise, draw_steps
from mindscience_diffuser.sampling.compiled import CompiledSampler, with_own_memory
from mindscience_diffuser.sampling.sampler import Sampler
from mindscience_diffuser.schedulers import EDMHeunScheduler
from mindscience_diffuser.validation import check_choice, check_integer, check_only_one

INITIAL_NOISE = ("standard", "sigma_scaled", "observation")


@dataclass(frozen=True)
class DiffusionSamplerConfig:
    """How a :class:`DiffusionSampler` denoises.

    Args:
        num_steps_denoising (int): Number n of steps, at least 1.
        sigma_min (float): Lowest noise level before 0, above 0. Default: ``2e-3``.
        sigma_max (float): Highest noise level, above `sigma_min`. Default: ``5``.
        rho (float): Bends the levels towards `sigma_min`, above 0. Default: ``7``.
        order (int): 1 for Euler's method, 2 for Heun's. Default: ``1``.
        s_churn (float): How much noise is added and removed again over the trajectory, at least 0. Default: ``0``.
        s_tmin (float): Lowest level at which noise is added, at most `s_tmax`. Default: ``0``.
        s_tmax (float): Highest level at which noise is added. Default: ``inf``.
        s_noise (float): Factor of that noise, at least 0. Default: ``1``.
        initial_noise (str): What a trajectory begins with, z being standard normal: ``"standard"``, z, as Diamond;
            ``"sigma_scaled"``, sigma_max * z, as EDM; ``"observation"``, sigma_max * z + the last observation.
            Default: ``"standard"``.
        call_at_sigma_hat (bool): Whether the denoiser is told the level that churn has raised, as algorithm 2 of EDM,
            or the level before it, as Diamond. Default: ``True``.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a value is out of its range, or two of them contradict each other.
    """

    num_steps_denoising: int
    sigma_min: float = 2e-3
    sigma_max: float = 5.0
    rho: float = 7.0
    order: int = 1
    s_churn: float = 0.0
    s_tmin: float = 0.0
    s_tmax: float = float("inf")
    s_noise: float = 1.0
    initial_noise: str = "standard"
    call_at_sigma_hat: bool = True

    def __post_init__(self):
        check_integer("num_steps_denoising", self.num_steps_denoising, low=1)
        check_integer("order", self.order, low=1, high=2)
        check_choice("initial_noise", self.initial_noise, INITIAL_NOISE)
        self.scheduler()

    def scheduler(self, preconditioning=None, compute_dtype=mstype.float32):
        """Returns the scheduler that takes these steps.

        Args:
            preconditioning (EDMPreconditioning, optional): Scalings around the network. Default: ``None``: the model is
                the denoiser itself.
            compute_dtype (mindspore.dtype): Dtype of the device arithmetic.
        """
        scalings = {} if preconditioning is None else preconditioning.arguments
        scheduler = EDMHeunScheduler(
            **{name: getattr(self, name) for name in SHARED},
            **scalings,
            prediction_type="sample" if preconditioning is None else "epsilon",
            num_train_timesteps=self.num_steps_denoising,
            solver_order=self.order,
            compute_dtype=compute_dtype,
        )
        scheduler.set_timesteps(self.num_steps_denoising)
        return scheduler


SHARED = ("sigma_min", "sigma_max", "rho", "s_churn", "s_tmin", "s_tmax", "s_noise", "call_at_sigma_hat")
"""Arguments that :class:`DiffusionSamplerConfig` and the scheduler share."""


class DiffusionSampler(CompiledSampler):
    """Draws the next observation under the last observations and actions.

    Eager calls run one compiled graph. Inside other graphs and for export the inputs are prev_obs, prev_act, noise, and
    with churn step_noise.

    Args:
        denoiser (nn.Cell): Called as ``denoiser(x, sigma, obs, act)`` with x ``(B, C, H, W)``, sigma ``(B,)``, the
            observations as channels, ``(B, T * C, H, W)``, and the actions ``(B, T)``. Without `preconditioning` it
            returns the denoised x; with it, it is the network F(c_in * x; c_noise).
        config (DiffusionSamplerConfig): How it denoises.
        preconditioning (EDMPreconditioning, optional): Scalings around the network, and whether what is denoised is
            brought to the levels of pixels. Default: ``None``.
        compute_dtype (mindspore.dtype): Dtype of the device arithmetic and of the result, float32, float16 or bfloat16.
            Default: ``mindspore.float32``.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If `compute_dtype` is another.
    """

    def __init__(self, denoiser, config, preconditioning=None, compute_dtype=mstype.float32):
        super().__init__(denoiser)
        if not isinstance(config, DiffusionSamplerConfig):
            raise TypeError(f"'config' must be a DiffusionSamplerConfig, but is {type(config).__name__}.")
        if preconditioning is not None and not isinstance(preconditioning, EDMPreconditioning):
            raise TypeError(
                f"'preconditioning' must be an EDMPreconditioning, but is {type(preconditioning).__name__}."
            )
        scheduler = config.scheduler(preconditioning, compute_dtype)
        self.config = config
        self.compute_dtype = compute_dtype
        self.sampler = Sampler(denoiser, scheduler, method="unrolled", return_intermediates=True)
        self.churns = config.s_churn > 0
        self.scale = 1.0 if config.initial_noise == "standard" else float(scheduler.sigmas[0])
        self.from_observation = config.initial_noise == "observation"
        self.sigmas = scheduler.sigmas
        self.churn_std = tuple(float(std) for std in scheduler.churn_std)
        self.calls = len(scheduler.timesteps)
        self.order = config.order
        self.input_names = ("prev_obs", "prev_act", "noise", *(("step_noise",) if self.churns else ()))
        scheduler.followers.add(self)

    def __setstate__(self, state):
        super().__setstate__(state)
        self.sampler.scheduler.followers.add(self)

    def check_plan(self):
        """Refuses another schedule: the steps are those of the configuration."""
        raise ValueError(
            "'set_timesteps' of the scheduler inside a DiffusionSampler would leave its levels behind: build a new "
            "DiffusionSampler with another DiffusionSamplerConfig."
        )

    @property
    def plan(self):
        """The :class:`~mindscience_diffuser.StepPlan` of the trajectory."""
        return self.sampler.plan

    def build_sigmas(self):
        """Returns the noise levels from `sigma_max` to `sigma_min`, then 0: float64, shape ``(n + 1,)``."""
        return self.sigmas

    def construct(self, prev_obs, prev_act, noise, *step_noise):
        """Returns the next observation as part of a graph."""
        return self.trajectory(*self.in_graph((prev_obs, prev_act, noise) + step_noise))[0]

    @ms.jit
    def compiled(self, prev_obs, prev_act, noise, *step_noise):
        """Returns the next observation and the way there."""
        return self.trajectory(prev_obs, prev_act, noise, *step_noise)

    def trajectory(self, prev_obs, prev_act, noise, *step_noise):
        """Returns the next observation, and the samples from the initial noise to it."""
        _, frames, channels, height, width = prev_obs.shape
        start = ops.cast(noise, self.compute_dtype) * self.scale
        if self.from_observation:
            start = start + ops.cast(prev_obs[:, frames - 1], self.compute_dtype)
        conditions = (prev_obs.reshape((-1, frames * channels, height, width)), prev_act)
        if not self.churns:
            final, samples, _ = self.sampler(start, *conditions)
            return final, self.at_steps(samples)
        fresh = mint.unbind(ops.cast(step_noise[0], self.compute_dtype))
        # The scheduler adds the noise of a step at the end of the step before: that of step 0 is added here.
        final, samples, _ = self.sampler(start + self.churn_std[0] * fresh[0], self.at_calls(fresh), *conditions)
        return final, self.at_steps(samples) - self.added(fresh)

    def at_steps(self, samples):
        """Returns the samples at the beginnings of the steps and at the end, ``(n + 1, B, ...)``."""
        if self.order == 1:
            return samples
        parts = mint.unbind(samples)
        return ops.stack(parts[: self.calls : 2] + parts[self.calls :])

    def at_calls(self, fresh):
        """Returns the noise that each model call takes: that of the next step where one ends, else zeros."""
        nothing = ops.zeros_like(fresh[0])
        drawn = ()
        for k in range(self.calls):
            step, ends = k // self.order, k % self.order == self.order - 1
            drawn += (fresh[step + 1] if ends and step + 1 < len(fresh) else nothing,)
        return ops.stack(drawn)

    def added(self, fresh):
        """Returns the noise that churn has added to each sample of the trajectory."""
        added = ()
        for k in range(len(fresh)):
            added += (self.churn_std[k] * fresh[k],)
        return ops.stack(added + (ops.zeros_like(fresh[0]),))

    def __call__(self, prev_obs, prev_act, noise=None, step_noise=None, generator=None):
        """The same as :meth:`sample`, without the trajectory."""
        return self.sample(prev_obs, prev_act, noise, step_noise, generator)[0]

    def sample(self, prev_obs, prev_act, noise=None, step_noise=None, generator=None):
        """Draws the next observation.

        Args:
            prev_obs (Tensor): The last observations, the latest one last, ``(B, T, C, H, W)``, float32, float16 or
                bfloat16.
            prev_act (Tensor): The action taken at each of them, ``(B, T)``.
            noise (Tensor, optional): Standard normal noise z to begin with, ``(B, C, H, W)``.
            step_noise (Tensor, optional): With churn, the noise that is added before each step, ``(n, B, C, H, W)``.
            generator (optional): Source of the noise that is not given: a seed, or what
                :func:`~mindscience_diffuser.noise.draw_noise` takes. With a seed or a
                :class:`~mindscience_diffuser.NoiseSource`, the noise of a sample does not depend on its batch.

        Returns:
            tuple (sample, trajectory): the next observation, ``(B, C, H, W)``, and the samples from the initial noise
            to it, ``(n + 1, B, C, H, W)``, in `compute_dtype`.

        Raises:
            TypeError: If an argument is no Tensor, or one of another dtype than floating observations.
            ValueError: If observations and actions differ in batch or time, or noise has another shape.
        """
        shape = self._check(prev_obs, prev_act)
        if step_noise is not None and not self.churns:
            raise ValueError("'step_noise' is given, but s_churn is 0: nothing is added.")
        if noise is not None:
            check_only_one(step_noise=step_noise, generator=generator)
        # Where the start is given, it may have been drawn from stream 0 of the same seed.
        generator = continuing(generator, shape[0], stream=0 if noise is None else 1)
        noise = self._noise("noise", noise, shape, generator)
        if not self.churns:
            return self._run(prev_obs, prev_act, noise)
        return self._run(prev_obs, prev_act, noise, self._step_noise(step_noise, shape, generator))

    def _run(self, *inputs):
        with self.compiled_calls():
            return self.whole(self.compiled)(*map(with_own_memory, inputs))

    def _noise(self, name, noise, shape, generator):
        if noise is None:
            return Tensor(draw_noise(shape, generator), self.compute_dtype)
        check_floating(name, noise)
        if tuple(noise.shape) != shape:
            raise ValueError(f"'{name}' has shape {noise.shape}, but must have {shape}, that of what is drawn.")
        return noise

    def _step_noise(self, noise, shape, generator):
        needed = np.array(self.churn_std[:-1]) > 0  # The last level is 0, the end.
        if noise is not None:
            return self._noise("step_noise", noise, (len(needed), *shape), None)
        return Tensor(draw_steps(needed, shape, generator), self.compute_dtype)

    @staticmethod
    def _check(prev_obs, prev_act):
        """Checks observations and actions; returns the shape of the next observation."""
        check_floating("prev_obs", prev_obs)
        if prev_obs.ndim != 5:
            raise ValueError(f"'prev_obs' must have shape (B, T, C, H, W), but has {prev_obs.shape}.")
        check_is_tensor("prev_act", prev_act)
        if tuple(prev_act.shape) != tuple(prev_obs.shape[:2]):
            raise ValueError(
                f"'prev_act' has shape {prev_act.shape}, but must have one action for each observation, (B, T) = "
                f"{prev_obs.shape[:2]}."
            )
        return (prev_obs.shape[0], *prev_obs.shape[2:])
