"""The native schedulers with the rules of diffusers 0.42.1, where those differ from the papers: what compat runs on.

A native scheduler states each rule as a method or class attribute of its own. A class here overrides it, and
:func:`peer_class` puts the overrides in front of the native class. docs_cn/deviations.md tells both rules.
"""

import numpy as np

import mindscience_diffuser


class FlooredLeading:
    """Leading timesteps are multiples of T // n, however many of them there are."""

    @staticmethod
    def leading_timesteps(train, count):
        """Returns `count` timesteps from 0 up, in strides of T // n."""
        return np.arange(count) * (train // count)


class InnerGrid(FlooredLeading):
    """Also a grid of all timesteps has one more, that of the end of the trajectory."""

    def grid_size(self, count):
        """Returns the number of timesteps of a grid for `count` steps."""
        return count + self.inner_grid


class EvenStrides(FlooredLeading):
    """A step leads T // n timesteps on, whatever the next timestep is."""

    @property
    def stride(self):
        """The even stride T // n; one timestep before there is a schedule."""
        return self.num_train_timesteps // (self.num_inference_steps or self.num_train_timesteps)

    def following(self, timesteps):
        """Returns the timestep that a step from each of `timesteps` leads to, negative beyond the last one."""
        return timesteps - self.stride


class NoiseAboveZero(FlooredLeading):
    """A step adds noise where it comes from a timestep above 0, wherever it leads."""

    def adds_noise(self, sigma_prev):
        """Returns which steps add noise."""
        del sigma_prev
        return self.training_timesteps > 0


class EvenCalls(EvenStrides):
    """PNDM: calls lead a stride or half of one on; the repeated first step comes from one stride above its end.

    The weights of the multistep method are those of even steps.
    """

    def positions(self, nodes, start):
        """Returns that values of the past lie in even steps."""
        del nodes, start

    def middles(self, steps):
        """Returns the timesteps in the middle of Runge and Kutta's steps between these timesteps."""
        return steps[1:] + self.stride // 2

    def reached(self):
        """Returns the timestep to which each model call leads, negative beyond the last one."""
        calls, timesteps = np.arange(len(self.timesteps)), self.timesteps
        # The second stage of Runge and Kutta leads to where the first one did, the fourth one where the third one did.
        staged = calls < len(self.prk_timesteps)
        lengths = np.where(staged, np.where(calls % 2 == 1, 0, self.stride // 2), self.stride)
        return timesteps - (np.where(calls == 1, 0, lengths) if self.settings.skip_prk_steps else lengths)

    def repeated_start(self):
        """Returns the timestep from which the second call of Heun's step leads."""
        return np.minimum(self.timesteps[1:2] + self.stride, self.num_train_timesteps - 1)


class CutProducts:
    """LCM: shares of steps, and even steps through them, are products of floats, cut to integers."""

    @staticmethod
    def share_of(count, share):
        """Returns how many of `count` steps are a share of them; 28 of 100 for 0.29."""
        return int(count * share)

    @staticmethod
    def evenly_spread(count, total):
        """Returns `count` of the indices below `total`, from 0 in even steps."""
        return np.floor(np.linspace(0, total, num=count, endpoint=False)).astype(np.int64)


class CutTimesteps(CutProducts):
    """TCD: also the timestep s = floor((1 - eta) * t), whose product is one of single precision."""

    @staticmethod
    def share_of(count, share):
        """Returns how many of `count` steps, or for each timestep of an array which timestep, are a share of them."""
        if np.ndim(count) == 0:
            return int(count * share)
        return np.floor(np.float32(share) * count.astype(np.float32)).astype(np.int64)


RULES = {
    "CogVideoXDDIMScheduler": EvenStrides,
    "CogVideoXDPMScheduler": EvenStrides,
    "DDIMInverseScheduler": EvenStrides,
    "DDIMParallelScheduler": EvenStrides,
    "DDIMScheduler": EvenStrides,
    "DDPMParallelScheduler": NoiseAboveZero,
    "DDPMScheduler": NoiseAboveZero,
    "DEISMultistepScheduler": InnerGrid,
    "DPMSolverMultistepInverseScheduler": FlooredLeading,
    "DPMSolverMultistepScheduler": InnerGrid,
    "DPMSolverSDEScheduler": FlooredLeading,
    "DPMSolverSinglestepScheduler": InnerGrid,
    "EulerAncestralDiscreteScheduler": FlooredLeading,
    "EulerDiscreteScheduler": FlooredLeading,
    "HeunDiscreteScheduler": FlooredLeading,
    "KDPM2AncestralDiscreteScheduler": FlooredLeading,
    "KDPM2DiscreteScheduler": FlooredLeading,
    "LCMScheduler": CutProducts,
    "LMSDiscreteScheduler": FlooredLeading,
    "PNDMScheduler": EvenCalls,
    "RePaintScheduler": EvenStrides,
    "SASolverScheduler": InnerGrid,
    "TCDScheduler": CutTimesteps,
    "UniPCMultistepScheduler": InnerGrid,
}
"""Rules of diffusers by the name of the scheduler; the others follow the same rules in both places."""


def peer_class(name):
    """Returns the native scheduler class of this name with diffusers' rules."""
    native = getattr(mindscience_diffuser, name)
    if name not in RULES:
        return native
    if name not in globals():  # By its name in this module it can be pickled.
        globals()[name] = type(name, (RULES[name], native), {"__module__": __name__, "__doc__": native.__doc__})
    return globals()[name]


def __getattr__(name):
    if name in RULES:
        return peer_class(name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
