"""The native schedulers with the rules of diffusers 0.42.1, where those differ from the papers: what compat runs on.

A native scheduler states each rule as a method or class attribute of its own. A class here overrides it, and
:func:`peer_class` puts the overrides in front of the native class. docs_cn/deviations.md tells both rules.
"""

from dataclasses import replace

import numpy as np

import mindscience_diffuser
from mindscience_diffuser.compat.churn import ChurnedDenoiser, ChurnedEuler, ChurnedFlow
from mindscience_diffuser.noise import flow_shift
from mindscience_diffuser.plan import linear_combination
from mindscience_diffuser.schedulers.exponential.exponential import ExponentialStep
from mindscience_diffuser.schedulers.flow.rfd4_proteina import FIRST_TIME, LOG_DECADES
from mindscience_diffuser.validation import check_number


class FlooredLeading:
    """Leading timesteps are multiples of T // n, however many of them there are."""

    @staticmethod
    def leading_timesteps(train, count):
        """Returns `count` timesteps from 0 up, in strides of T // n."""
        return np.arange(count) * (train // count)


class InnerGrid(FlooredLeading):
    """Also a grid of all timesteps has one more, that of the end of the trajectory.

    Before `set_timesteps` the sigmas are those of the betas and ascend, while the timesteps descend.
    """

    def _training_grid(self):
        return self.training_sigmas, np.arange(self.num_train_timesteps)[::-1]

    def grid_size(self, count):
        """Returns the number of timesteps of a grid for `count` steps."""
        return count + self.inner_grid


class RepeatedStep(InnerGrid):
    """A corrector takes the last step again, from what the sample was then, whatever the user has made of it since."""

    def corrected(self, step, weights, change, corrects, predictions):
        """Returns the corrected sample, and the sample and noise of the present step for the next one."""
        del weights
        linear, noise = (np.append(0.0, weight[:-1]) for weight in (step.linear, step.noise))
        again = [(linear, {"last_sample": 1.0}), *zip(change, predictions)]
        states = {}
        if self.adds_noise:
            again.append((noise, {"last_noise": 1.0}))
            states["last_noise"] = {"noise": 1.0}
        start = linear_combination((1.0 - corrects, {"sample": 1.0}), (1.0 * corrects, linear_combination(*again)))
        return start, {"last_sample": start, **states}


class AlwaysDraws(FlooredLeading):
    """Every step draws noise, also one that gives it no weight, so that the generator stands as in diffusers."""

    def _step_plan(self, with_results, options):
        return replace(super()._step_plan(with_results, options), always_draws=True)


class DrawsForSeveral(AlwaysDraws):
    """Consistency models: the same, where there is more than one step."""

    def _step_plan(self, with_results, options):
        plan = super()._step_plan(with_results, options)
        return replace(plan, always_draws=len(self.timesteps) > 1)


class FlippedConstant(ExponentialStep):
    """DPM-Solver of third order: along the SDE, the weight of v^2 / h^2 has a constant of the wrong sign."""

    share = 1.0
    """What of the weight is used."""

    def moment(self, k):
        """Returns the integral of ((lambda - lambda_s) / h)^k."""
        exact = super().moment(k)
        if k != 2 or (self._rate == 2 and not self._predicts_x0):  # diffusers has no such step.
            return exact
        alpha = self._factor / self._rate
        return self.share * (exact - 2 * alpha if self._rate == 2 else exact)


class HalvedCurvature(FlippedConstant):
    """In its multistep form, also half of that weight is used."""

    share = 0.5


class InnerGridDraws(AlwaysDraws, InnerGrid):
    """DPM-Solver: also along the SDE."""

    step_class = HalvedCurvature


class DrawsHalved(AlwaysDraws):
    """EDM's DPM-Solver: the same."""

    step_class = HalvedCurvature


class KeptRange:
    """Flows: a shift that is set later leaves the range of levels as the constructor found it."""

    def set_shift(self, shift):
        """Sets the shift of the following schedules, above 0."""
        self._shift = check_number("shift", shift, "(0, inf)")


class UncheckedSteps(KeptRange):
    """Flow matching: any sigmas and timesteps are taken; the sigmas of given timesteps are shifted as well."""

    shifts_given_timesteps = True

    @staticmethod
    def check_steps(name, values, interval):
        """Returns the steps as they are."""
        del name, interval
        return np.asarray(values, np.float64)


class ShiftedTimesteps(UncheckedSteps):
    """Flow maps: also what the model is told is shifted, and follows from the sigmas where both are given."""

    def _take_sigmas(self, sigmas, timesteps):
        del timesteps
        super()._take_sigmas(sigmas, sigmas * self.num_train_timesteps)


class GivenEnds(KeptRange):
    """LTX: given levels are taken as they are, with that of the end, whose timestep is one of the schedule as well.

    Without noise, where `s_noise` is 0, a sample stays at the level below the next one.
    """

    times = None
    """The timesteps of the steps and of the end."""

    def set_timesteps(self, num_inference_steps=None, sigmas=None, mu=None, timesteps=None):
        """Chooses the levels of the following trajectory."""
        given = timesteps if sigmas is None else sigmas
        if given is None:
            super().set_timesteps(num_inference_steps, mu=mu)
            self.times = self.timesteps
            return
        self.sigmas = np.asarray(given, np.float32).astype(np.float64)
        self.times = (self.sigmas * self.num_train_timesteps).astype(np.float32)
        self.num_inference_steps = len(self.times) - 1
        self._schedule(self.times[:-1])

    def kept(self, sigma_down, sigma_next):
        """Returns how much of the sample at `sigma_down` is left."""
        return super().kept(sigma_down, sigma_next) if self.settings.s_noise > 0 else np.ones_like(sigma_down)


class GridPoints:
    """MiniMax-H3: `num_inference_steps` counts the end too; levels are in single precision, equal ones left out."""

    def set_timesteps(self, num_inference_steps=None, sigmas=None):
        """Chooses the levels of the following trajectory; given ones have that of the end, 0."""
        if sigmas is not None:
            sigmas = np.ravel(np.asarray(sigmas, np.float32))
            if len(sigmas) < 2 or np.any(sigmas[1:] >= sigmas[:-1]) or sigmas[-1] != 0:
                raise ValueError(f"'sigmas' must be two or more that strictly descend to 0, but is {sigmas.tolist()}.")
        elif num_inference_steps is None or num_inference_steps < 2:
            raise ValueError(
                f"'num_inference_steps' must be at least 2, or 'sigmas' be given, but is {num_inference_steps}."
            )
        else:
            # From both ends in strides of single precision, as torch.linspace.
            count = int(num_inference_steps)
            places, stride = np.arange(count), float(np.float32(1 / (count - 1)))
            even = np.where(places < count // 2, 1 - stride * places, stride * (count - 1 - places))
            sigmas = flow_shift(even.astype(np.float32), self.shift)
            sigmas = sigmas[np.append(True, sigmas[1:] != sigmas[:-1])]
        self.num_inference_steps = len(sigmas) - 1
        self._take(1 - sigmas.astype(np.float64))


class TwoUnlimited:
    """The consistency decoder: the two timesteps of the release, without a limit of the clean sample."""

    limit = None

    def set_timesteps(self, num_inference_steps=None):
        """Chooses the two timesteps."""
        if num_inference_steps != 2:
            raise ValueError(f"'num_inference_steps' must be 2, but is {num_inference_steps}.")
        super().set_timesteps(timesteps=[1008, 512])


class GivenShares:
    """Helios: levels may be given where there is a single stage, whose `shift` is one of `time_shift_type`."""

    given = None

    def set_timesteps(self, num_inference_steps, stage_index=None, sigmas=None, mu=None, is_amplify_first_chunk=False):
        """Chooses the steps through a stage, twice as many for an amplified first chunk of the distilled model."""
        self.given = None if sigmas is None or self.num_stages > 1 else np.asarray(sigmas, np.float64)
        count = num_inference_steps * (1 + (bool(is_amplify_first_chunk) and self.left_out > 0))
        if self.given is not None:
            count = len(self.given) - self.left_out
        super().set_timesteps(count, 0 if self.num_stages == 1 else stage_index, mu)

    def levels_of_flow(self, count):
        """Returns the levels of `count` steps with a single stage."""
        config = self.settings
        if self.given is not None:
            return self.given
        if config.time_shift_type == "linear" or config.shift == 1:
            return super().levels_of_flow(count)
        return flow_shift(np.linspace(1, 1 / self.num_train_timesteps, count + 1)[:-1], np.exp(config.shift))


class UncheckedChurn(ChurnedFlow, UncheckedSteps):
    """Heun's method along a flow."""


class FlooredChurn(ChurnedEuler, FlooredLeading):
    """Euler's method."""


class UncheckedDraws(UncheckedSteps, AlwaysDraws):
    """Flow matching that renoises: also every step draws."""


class RampPositions(ChurnedDenoiser, FlooredLeading):
    """EDM's Euler method: `sigmas` are positions on the ramp of the schedule, 0 at sigma_max and 1 at sigma_min."""

    def set_timesteps(self, num_inference_steps=None, sigmas=None):
        """Chooses the levels of the following trajectory, at `sigmas`, or evenly."""
        if sigmas is None:
            return super().set_timesteps(num_inference_steps)
        config, ramp = self.settings, np.asarray(sigmas, np.float64)
        if config.sigma_schedule == "karras":
            high, low = (sigma ** (1 / config.rho) for sigma in (config.sigma_max, config.sigma_min))
            levels = (high + ramp * (low - high)) ** config.rho
        elif config.sigma_schedule != "exponential":
            raise ValueError(
                f"'sigmas' are positions on the ramp of 'karras' or 'exponential', but sigma_schedule is "
                f"{config.sigma_schedule!r}: give 'num_inference_steps'."
            )
        else:
            levels = np.geomspace(config.sigma_max, config.sigma_min, len(ramp))
        self.num_inference_steps = num_inference_steps
        self._take_levels(np.append(levels, levels[-1] if config.final_sigmas_type == "sigma_min" else 0.0))
        return None


class SpacedBetweenEnds(FlooredLeading):
    """Karras sigmas lie between the levels of the grid, whatever the configuration says; the other spacings obey it."""

    def spaced_range(self, highest, lowest):
        """Returns the highest and the lowest of the spaced sigmas."""
        return (highest, lowest) if self.spacing == "karras" else super().spaced_range(highest, lowest)


class CopiedLevels(FlooredLeading):
    """Heun: both calls of a step read the levels of that step at places of their own, which a user may make differ."""

    def steps(self):
        """Returns sigma and sigma_next of the step that each row belongs to, and whether the row is its second call."""
        rows = np.arange(len(self.timesteps))
        second = rows % 2 == 1
        return self.sigmas[rows - second], self.sigmas[rows + 1 - second], second


class UnsortedInverse(FlooredLeading):
    """DPM-Solver inverted: spaced levels lead from `sigma_max` to `sigma_min`, and a flow's from noise.

    Timesteps that repeat before they are cut to integers are left out, and the levels are not.
    """

    step_class = HalvedCurvature

    def spaced_range(self, highest, lowest):
        """Returns the first and the last of the spaced sigmas."""
        return super().spaced_range(lowest, highest)

    def _grid(self, count):
        return self._points(count)[::-1][:count]

    def _take_levels(self, sigmas, timesteps, final):
        if self.flow or self.spacing is not None:
            final = sigmas[-1]
        else:
            final = self.training_sigmas[self.num_train_timesteps - 1 - self._clipped()]
        kept = timesteps[np.sort(np.unique(timesteps, return_index=True)[1])]
        self.sigmas = np.append(sigmas, final)[: len(kept) + 1]
        self.timesteps = kept.astype(np.int64)


class ListedOrders(InnerGridDraws):
    """Singlestep: whether the last step is of first order is what the configuration says of its end."""

    step_class = FlippedConstant

    def ends_clean(self):
        """Whether the trajectory ends at the clean sample."""
        return self.settings.final_sigmas_type == "zero"


class FlooredAlpha(FlooredLeading):
    """IPNDM: the clean sample is (x - sigma * eps) / max(alpha, 1e-8), with the eps of the multistep method."""

    def trajectory_plan(self, begin=0):
        """Returns the plan of the chosen times; the trajectory starts at row `begin`."""
        plan = super().trajectory_plan(begin)
        alpha, sigma = (level[:-1] for level in self.levels)
        alpha_next, sigma_next = (level[1:] for level in self.levels)
        epsilon = plan.states["noise_1"]
        past = ({f"noise_{k}": 1.0} for k in (1, 2, 3))
        combined = linear_combination(*zip(self.adams_bashforth(begin).T, (epsilon, *past)))
        ratio = alpha_next / np.maximum(alpha, 1e-8)
        x_next = linear_combination((ratio, {"sample": 1.0}), (sigma_next - ratio * sigma, combined))
        return replace(plan, states={**plan.states, "sample": x_next})


class WholeSchedules:
    """RFD4: a partial trajectory is the end of a whole one of more steps, whose first time is near the one asked for.

    The tail is never shorter than the configuration says, and the logarithms of ``"log"`` begin a thousandth of a
    decade above 1.
    """

    def positions(self, count):
        """Returns where `count` steps lie in [0, 1], with the end."""
        tail, finer = self.settings.tail_steps, self.settings.tail_step_multiplier
        if tail and count < tail * finer:
            raise ValueError(
                f"'num_inference_steps' must be at least tail_steps * tail_step_multiplier, {tail * finer}, but is "
                f"{count}."
            )
        return super().positions(count)

    def spaced_times(self, count, start):
        """Returns the times of `count` steps that begin near the time `start`, and that of the end, 1."""
        if start == FIRST_TIME:
            return self.whole_times(count)
        dense = self.whole_times(max(100 * count, 1000))
        above = np.append(np.flatnonzero(dense >= start - 1e-6), len(dense) - 1)[0]
        points = max(len(dense) - 1 - above, 1)
        return self.whole_times(round(count * (len(dense) - 1) / points))[-count - 1 :]

    def whole_times(self, count):
        """Returns the times of `count` steps from the first time on."""
        if self.settings.schedule_mode == "power":
            return super().spaced_times(count, FIRST_TIME)
        times = 1 - 10 ** (FIRST_TIME - (LOG_DECADES + FIRST_TIME) * self.positions(count))
        times -= times[0] - FIRST_TIME
        return times / times[-1]


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

    The weights of the multistep method are those of even steps. A trajectory from the middle counts its calls from
    there: it begins with the special first steps, and those of Runge and Kutta lead from their first timesteps.
    """

    goes_on = False
    """Whether the user has set what a trajectory remembers, so that its first call is no first one."""

    def first_call(self, begin):
        """Returns the row that calls are counted from."""
        return 0 if self.goes_on else begin

    def positions(self, nodes, start):
        """Returns that values of the past lie in even steps."""
        del nodes, start

    def middles(self, steps):
        """Returns the timesteps in the middle of Runge and Kutta's steps between these timesteps."""
        return steps[1:] + self.stride // 2

    def reached(self, first):
        """Returns the timestep to which each model call leads, negative beyond the last one."""
        calls, timesteps = np.arange(len(self.timesteps)) - first, self.timesteps
        # The second stage of Runge and Kutta leads to where the first one did, the fourth one where the third one did.
        staged = calls < len(self.prk_timesteps)
        lengths = np.where(staged, np.where(calls % 2 == 1, 0, self.stride // 2), self.stride)
        return timesteps - (np.where(calls == 1, 0, lengths) if self.settings.skip_prk_steps else lengths)

    def repeated_start(self, first):
        """Returns the timestep from which the second call of Heun's step leads."""
        return np.minimum(self.timesteps[first + 1 : first + 2] + self.stride, self.num_train_timesteps - 1)


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


class KeptLastTimestep(CutProducts):
    """LCM: the last of as many steps as were asked for adds no noise, however many timesteps there are."""

    def ends(self):
        """Returns whether each step returns the denoised sample itself."""
        asked = len(self.timesteps) if self.num_inference_steps is None else self.num_inference_steps
        return np.arange(len(self.timesteps)) == asked - 1


class CutTimesteps(CutProducts):
    """TCD: also the timestep s = floor((1 - eta) * t), whose product is one of single precision."""

    @staticmethod
    def share_of(count, share):
        """Returns how many of `count` steps, or for each timestep of an array which timestep, are a share of them."""
        if np.ndim(count) == 0:
            return int(count * share)
        return np.floor(np.float32(share) * count.astype(np.float32)).astype(np.int64)


RULES = {
    "CMStochasticIterativeScheduler": DrawsForSeveral,
    "DDPMWuerstchenScheduler": AlwaysDraws,
    "EDMDPMSolverMultistepScheduler": DrawsHalved,
    "EDMEulerScheduler": RampPositions,
    "FlowMapEulerDiscreteScheduler": ShiftedTimesteps,
    "FlowMatchEulerDiscreteScheduler": UncheckedDraws,
    "FlowMatchHeunDiscreteScheduler": UncheckedChurn,
    "FlowMatchLCMScheduler": UncheckedDraws,
    "ConsistencyDecoderScheduler": TwoUnlimited,
    "HeliosDMDScheduler": GivenShares,
    "HeliosScheduler": GivenShares,
    "LTXEulerAncestralRFScheduler": GivenEnds,
    "MiniMaxH3Scheduler": GridPoints,
    "SCMScheduler": AlwaysDraws,
    "CogVideoXDDIMScheduler": EvenStrides,
    "CogVideoXDPMScheduler": EvenStrides,
    "DDIMInverseScheduler": EvenStrides,
    "DDIMParallelScheduler": EvenStrides,
    "DDIMScheduler": EvenStrides,
    "DDPMParallelScheduler": NoiseAboveZero,
    "DDPMScheduler": NoiseAboveZero,
    "DEISMultistepScheduler": InnerGrid,
    "DPMSolverMultistepInverseScheduler": UnsortedInverse,
    "DPMSolverMultistepScheduler": InnerGridDraws,
    "DPMSolverSDEScheduler": SpacedBetweenEnds,
    "DPMSolverSinglestepScheduler": ListedOrders,
    "EulerAncestralDiscreteScheduler": AlwaysDraws,
    "EulerDiscreteScheduler": FlooredChurn,
    "HeunDiscreteScheduler": CopiedLevels,
    "KDPM2AncestralDiscreteScheduler": FlooredLeading,
    "KDPM2DiscreteScheduler": FlooredLeading,
    "IPNDMScheduler": FlooredAlpha,
    "LCMScheduler": KeptLastTimestep,
    "LMSDiscreteScheduler": SpacedBetweenEnds,
    "PNDMScheduler": EvenCalls,
    "RFD4ProteinaScheduler": WholeSchedules,
    "RePaintScheduler": EvenStrides,
    "SASolverScheduler": RepeatedStep,
    "TCDScheduler": CutTimesteps,
    "UniPCMultistepScheduler": RepeatedStep,
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
