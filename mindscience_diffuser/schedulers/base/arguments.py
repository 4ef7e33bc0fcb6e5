"""Constructor arguments of schedulers: one description of each, from which a class takes those that it has.

A scheduler names its arguments and their defaults in :func:`takes_arguments`; their checks and their documentation
come from ``ARGUMENTS``. The constructor checks them, keeps them as ``self.settings`` and calls ``self._configure()``,
which derives from them what the class needs. ``self.config`` may hold values for other classes too.
"""

import inspect
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from mindspore import Tensor
from mindspore import dtype as mstype

from mindscience_diffuser.cells import locking
from mindscience_diffuser.noise import (
    BETA_SCHEDULES,
    FLOW_SCHEDULES,
    PREDICTION_TYPES,
    RATIO_SCHEDULES,
    TIMESTEP_SPACINGS,
    check_gamma,
)
from mindscience_diffuser.schedulers.base.config import SchedulerConfig
from mindscience_diffuser.validation import (
    check_bool,
    check_choice,
    check_function,
    check_integer,
    check_number,
    check_numbers,
)

REQUIRED = inspect.Parameter.empty
"""Stands for the default of an argument that must be given."""

UPSCALE_MODES = ("nearest", "linear", "bilinear", "bicubic", "trilinear", "area", "nearest-exact")


class Argument(NamedTuple):
    """How an argument is checked, and what its documentation says."""

    check: Callable
    kind: str
    text: str
    choices: tuple = ()
    switch: str = ""
    """Name of the argument without which this one has no effect, and is not checked."""

    @property
    def documentation(self):
        """The text, with the choices where there are any."""
        return f"{self.text}: {', '.join(f'``{c!r}``' for c in self.choices)}" if self.choices else self.text

    def checked(self, name, given):
        """Returns the value of the argument `name` among all those `given`, checked where it has an effect."""
        return self.check(name, given[name]) if given.get(self.switch, True) else given[name]


def integer(text, low=None, high=None):
    """An argument that is an integer in [low, high]."""
    return Argument(lambda name, value: check_integer(name, value, low, high), "int", text)


def number(text, interval):
    """An argument that is a number in `interval`."""
    return Argument(lambda name, value: check_number(name, value, interval), "float", f"{text}, in {interval}")


def numbers(text, interval):
    """An argument that is a number in `interval`, or one for each channel."""
    text = f"{text}, in {interval}: one number, or one for each channel, axis 1 of the samples"
    return Argument(lambda name, value: check_numbers(name, value, interval), "float or Sequence[float]", text)


def flag(text):
    """An argument that is True or False."""
    return Argument(check_bool, "bool", text)


def choice(text, *choices):
    """An argument that is one of `choices`, unless its class has others."""
    return Argument(lambda name, value: check_choice(name, value, choices), "str", text, choices)


def optional(argument):
    """The same argument, which may also be None."""

    def check(name, value):
        return None if value is None else argument.check(name, value)

    return argument._replace(check=check, kind=f"{argument.kind}, optional")


def known_as(argument, synonyms):
    """The same argument, whose choices have further names."""
    if not synonyms:
        return argument
    return argument._replace(check=lambda name, value: argument.check(name, synonyms.get(value, value)))


def _rows(name, value):
    if not isinstance(value, (list, tuple)):
        raise TypeError(f"'{name}' must be a list of integers, but is {value!r}.")
    return [check_integer(name, row, low=0) for row in value]


def _numbers(name, value):
    del name
    value = value.asnumpy() if isinstance(value, Tensor) else value
    return value.tolist() if isinstance(value, np.ndarray) else value


def _sequence(name, value):
    if isinstance(value, str) or not isinstance(value, (Sequence, np.ndarray)):
        raise TypeError(f"'{name}' must be a sequence of numbers, but is {value!r} of type {type(value).__name__}.")
    return _numbers(name, value)


VARIANCE_TYPES = ("fixed_small", "fixed_small_log", "fixed_large", "fixed_large_log", "learned", "learned_range")

ARGUMENTS = {
    "num_train_timesteps": integer("Number T of training timesteps", low=1),
    "beta_start": number("First beta", "(0, 1)"),
    "beta_end": number("Last beta", "(0, 1)"),
    "beta_schedule": choice("Betas of the training timesteps", *BETA_SCHEDULES),
    "trained_betas": Argument(_numbers, "array_like, optional", "Betas of shape ``(T,)`` in place of a named schedule"),
    "prediction_type": choice("What the model predicts", *PREDICTION_TYPES),
    "timestep_spacing": choice(
        "Which training timesteps are visited (Lin et al., 2023, arXiv:2305.08891, Table 2)", *TIMESTEP_SPACINGS
    ),
    "steps_offset": integer('Added to ``"leading"`` timesteps', low=0),
    "rescale_betas_zero_snr": flag(
        "Whether to rescale the betas so that the last timestep is pure noise (Lin et al., 2023, arXiv:2305.08891)"
    ),
    "clip_sample": flag("Whether to clip the predicted clean sample"),
    "clip_sample_range": number("It is clipped to [-range, range]", "(0, inf)")._replace(switch="clip_sample"),
    "thresholding": flag("Whether to threshold the predicted clean sample dynamically (arXiv:2205.11487)"),
    "dynamic_thresholding_ratio": number("Quantile of the dynamic threshold", "[0, 1]")._replace(switch="thresholding"),
    "sample_max_value": number("Upper bound of the dynamic threshold", "(0, inf)")._replace(switch="thresholding"),
    "use_karras_sigmas": optional(
        flag("Whether to space the sigmas as Karras et al., 2022 (arXiv:2206.00364), eq. (5)")
    ),
    "use_exponential_sigmas": optional(flag("Whether to space the sigmas evenly in their logarithm")),
    "use_beta_sigmas": optional(flag("Whether to space the sigmas by a beta distribution (arXiv:2407.12173)")),
    "use_lu_lambdas": optional(flag("Whether to space the log-SNR evenly (Lu et al., 2022, arXiv:2206.00927)")),
    "use_flow_sigmas": flag("Whether the process is a rectified flow, x = (1 - sigma) * x0 + sigma * noise"),
    "flow_shift": number("Shift of flow sigmas towards noise (arXiv:2403.03206, eq. (23))", "(0, inf)"),
    "use_dynamic_shifting": flag("Whether the shift comes from `mu` of `set_timesteps`"),
    "time_shift_type": choice("How `mu` shifts: by exp(mu), or by mu", "exponential", "linear"),
    "final_sigmas_type": choice("Where the trajectory ends: 0, or the lowest training sigma", "zero", "sigma_min"),
    "sigma_min": optional(number("Lowest sigma of spaced sigmas, in place of that of the schedule", "(0, inf)")),
    "sigma_max": optional(number("Highest sigma of spaced sigmas, in place of that of the schedule", "(0, inf)")),
    "interpolation_type": choice("How sigmas lie between training timesteps", "linear", "log_linear"),
    "noise_sampler_seed": optional(integer("Seed of the noise of a step that is given none", low=0)),
    "timestep_type": choice(
        "Whether a v-predicting model is told the timestep or log(sigma) / 4", "discrete", "continuous"
    ),
    "stages": integer("Number of stages", low=1),
    "stage_range": Argument(
        _sequence,
        "Sequence[float]",
        "Ends of the stages as shares of the whole flow: one more than there are stages, increasing from 0 to 1",
    ),
    "gamma": Argument(
        lambda name, value: check_gamma(value),
        "float",
        "How strongly renoising noise is correlated in blocks, in (0, 1/3], see `block_noise`",
    ),
    "skip_prk_steps": flag("Whether to start with the multistep method in place of Runge-Kutta steps"),
    "snr_shift_scale": number("The signal-to-noise ratio of the betas is divided by it", "(0, inf)"),
    "eta": number("Weight of the fresh noise", "[0, 1]"),
    "scaler": number("Exponent that bends time before the noise schedule", "(0, inf)"),
    "s": number("Offset of the cosine noise schedule", "[0, inf)"),
    "set_alpha_to_one": flag("Whether the trajectory ends at the clean sample, or at the noise level of timestep 0"),
    "variance_type": choice("Variance of the fresh noise", *VARIANCE_TYPES),
    "original_inference_steps": integer("Number of timesteps of the distillation", low=1),
    "timestep_scaling": number("Factor of the timestep in the boundary condition of LCM", "(0, inf)"),
    "shift": number("Moves the schedule towards noise (Esser et al., 2024, arXiv:2403.03206, eq. (23))", "(0, inf)"),
    "base_shift": optional(
        number("mu at `base_image_seq_len` tokens, for :func:`~mindscience_diffuser.calculate_shift`", "(-inf, inf)")
    ),
    "max_shift": optional(number("mu at `max_image_seq_len` tokens", "(-inf, inf)")),
    "base_image_seq_len": integer("Number of tokens at which mu is `base_shift`", low=1),
    "max_image_seq_len": integer("Number of tokens at which mu is `max_shift`", low=1),
    "invert_sigmas": flag("Whether sigma counts from noise (0) to data (1), as in Mochi"),
    "shift_terminal": Argument(
        lambda name, value: value if value is None or value is False else check_number(name, value, "(0, 1)"),
        "float, optional",  # Some checkpoints write false.
        "Last sigma before 0, to which the schedule is stretched, in (0, 1)",
    ),
    "stochastic_sampling": flag("Whether to add fresh noise at every step"),
    "scale_factors": Argument(
        lambda name, value: value and [check_number(name, factor, "(0, inf)") for factor in value],
        "Sequence[float], optional",
        "Size after each step but the last, in units of that at the first step, each above 0",
    ),
    "upscale_mode": choice("How the clean sample is resized", *UPSCALE_MODES),
    "snr": number("Signal-to-noise ratio of a corrector step", "[0, inf)"),
    "correct_steps": integer("Number of corrector steps before each predictor step", low=0),
    "sampling_eps": number("Time at which a trajectory ends, where training begins", "(0, 1)"),
    "beta_min": number("beta at time 0", "(0, inf)"),
    "beta_max": number("beta at time 1", "(0, inf)"),
    "clip_denoised": flag("Whether to clip the predicted clean sample to [-1, 1]"),
    "sigma_data": numbers("Standard deviation of the data", "(0, inf)"),
    "sigma_offset_noise": number(
        "Standard deviation of the noise, one number for each channel, that training adds besides (arXiv:2405.12399)",
        "[0, inf)",
    ),
    "noise_variance": number(
        "Variance of each value of the noise that a level multiplies, that of a law of noise (arXiv:2410.14171)",
        "(0, inf)",
    ),
    "sigma_schedule": optional(
        choice(
            "Ready-made schedule that spaces the sigmas between the highest and the lowest level, whatever "
            "`timestep_spacing`, see :func:`~mindscience_diffuser.schedule_sigmas`",
            *RATIO_SCHEDULES,
        )
    ),
    "rho": number('Bends ``"karras"`` levels towards `sigma_min` (arXiv:2206.00364, eq. (5))', "(0, inf)"),
    "quantize": flag(
        "Whether the predicted clean sample is limited to [-1, 1] and brought down to the 256 levels of 8-bit pixels"
    ),
    "s_churn": number("How much noise is added and removed again over the trajectory", "[0, inf)"),
    "s_min": number("Lowest level at which noise is added", "[0, inf)"),
    "s_max": number("Highest level at which noise is added", "[0, inf]"),
    "s_tmin": number("Lowest level at which noise is added", "[0, inf)"),
    "s_tmax": number("Highest level at which noise is added", "[0, inf]"),
    "s_noise": number("Factor of the added noise", "[0, inf)"),
    "gamma_0": number("How far noise raises a level, as a share of it", "[0, inf)"),
    "gamma_min": number("Level above which a step must end for noise to be added before it", "[0, inf]"),
    "noise_scale": number("Factor of the added noise", "[0, inf)"),
    "step_scale": number("Factor of the length of each step", "(0, inf)"),
    "call_at_sigma_hat": flag(
        "Whether the model is told the level that churn has raised, as in the paper, or the level before it"
    ),
    "solver_order": integer("Order of the method", low=1),
    "algorithm_type": choice("What the solver integrates"),
    "solver_type": choice("How the slope of the prediction is weighted at second order"),
    "lower_order_final": flag("Whether the last steps use fewer predictions"),
    "euler_at_final": flag("Whether the last step is of first order"),
    "lambda_min_clipped": number(
        "Training timesteps whose log-SNR, ln(alpha / sigma), is lower are left out", "[-inf, inf)"
    ),
    "predict_x0": flag("Whether the solver integrates the prediction of the clean sample, else that of the noise"),
    "disable_corrector": Argument(_rows, "list", "Steps, from 0, whose result is not corrected"),
    "solver_p": Argument(
        lambda name, value: value,  # Checked by its class.
        "Scheduler, optional",
        "Scheduler whose steps take the place of the predictor; its levels must be the same",
    ),
    "predictor_order": integer("Number of predictions that the predictor uses at most", low=1),
    "corrector_order": integer("Number of predictions that the corrector uses at most", low=1),
    "tau_func": optional(
        Argument(check_function, "Callable", "How stochastic the step from a timestep is, 0 for the ODE, 1 for the SDE")
    ),
    "compute_dtype": Argument(
        lambda name, value: value,  # Checked by the base of all schedulers.
        "mindspore.dtype",
        "Dtype of the device arithmetic and of all results, float32 or float16",
    ),
}

# Defaults that many schedulers share; their order is part of their constructors.
LINEAR_BETAS = {
    "num_train_timesteps": 1000,
    "beta_start": 0.0001,
    "beta_end": 0.02,
    "beta_schedule": "linear",
    "trained_betas": None,
}
LATENT_BETAS = {**LINEAR_BETAS, "beta_start": 0.00085, "beta_end": 0.012}
LINSPACE = {"timestep_spacing": "linspace", "steps_offset": 0}
ONE_SIGMA_DATA = number("Standard deviation of the data", "(0, inf)")
EDM_SCHEDULES = {"sigma_schedule": choice("How the levels lie between `sigma_max` and `sigma_min`", *RATIO_SCHEDULES)}
FLOW_CHOICES = {
    "sigma_schedule": optional(
        choice(
            "Ready-made schedule that spaces the sigmas, after their shift, from the first one on, see "
            ":func:`~mindscience_diffuser.schedule_sigmas`",
            *FLOW_SCHEDULES,
        )
    )
}
THRESHOLDING = {"thresholding": False, "dynamic_thresholding_ratio": 0.995, "sample_max_value": 1.0}
SIGMA_SPACINGS = {"use_karras_sigmas": False, "use_exponential_sigmas": False, "use_beta_sigmas": False}
FLOW = {"use_flow_sigmas": False, "flow_shift": 1.0}
DYNAMIC_SHIFT = {"use_dynamic_shifting": False, "time_shift_type": "exponential"}


def takes_arguments(choices=None, synonyms=None, peer_defaults=None, **defaults) -> Callable[[type], Any]:
    """Gives a scheduler class the constructor with these arguments, in this order, and those of its base at the end.

    Args:
        choices (Mapping, optional): Choices of this class for arguments that are one of several, or an
            :class:`Argument` of its own.
        synonyms (Mapping, optional): For such arguments, values of other classes that are taken over from their
            configurations, and the choice of this class that each stands for.
        peer_defaults (Mapping, optional): Defaults of the class of this name in diffusers, where they are others:
            those of arguments that a file of diffusers leaves out.
        **defaults: The arguments of the class, keys of ``ARGUMENTS`` or of `choices`, with their defaults, or with
            ``REQUIRED``.

    Returns:
        The class decorator.

    Raises:
        TypeError: If an argument is described nowhere.
    """
    specific = {
        name: values if isinstance(values, Argument) else choice(ARGUMENTS[name].text, *values)
        for name, values in (choices or {}).items()
    }
    unknown = [name for name in defaults if name not in specific and name not in ARGUMENTS]
    if unknown:
        raise TypeError(
            f"{unknown[0]!r} is no argument that schedulers share: describe it, as in choices={{{unknown[0]!r}: "
            "number('What it is', '[0, 1]')}."
        )

    def decorate(cls):
        values = {**defaults, **{n: value for n, value in cls.shared_arguments.items() if n not in defaults}}
        arguments = {
            name: known_as(specific[name] if name in specific else ARGUMENTS[name], (synonyms or {}).get(name, {}))
            for name in values
        }
        keyword = inspect.Parameter.POSITIONAL_OR_KEYWORD
        parameters = [inspect.Parameter(name, keyword, default=value) for name, value in values.items()]
        signature = inspect.Signature([inspect.Parameter("self", keyword), *parameters])
        base = next(kind for kind in cls.__mro__ if "shared_arguments" in vars(kind))

        def constructor(self, *args, **kwargs):
            given = _bind(signature, self, args, kwargs)
            base.__init__(self, **{name: given[name] for name in base.shared_arguments})
            checked = {name: arguments[name].checked(name, given) for name in given}
            self.settings = SchedulerConfig(checked, type(self))
            self.config = self.settings
            self._configure()

        constructor.__signature__ = signature
        constructor.__name__ = "__init__"
        constructor.__qualname__ = f"{cls.__qualname__}.__init__"
        cls.__init__ = locking(constructor)
        cls.arguments = arguments
        cls.peer_defaults = dict(peer_defaults or {})
        lines = [
            f"    {name} ({a.kind}): {a.documentation}.{_default_text(values[name])}" for name, a in arguments.items()
        ]
        cls.__doc__ = f"{inspect.cleandoc(cls.__doc__)}\n\nArgs:\n" + "\n".join(lines) + RAISES
        return cls

    return decorate


RAISES = """

Raises:
    TypeError: If an argument is unknown or has the wrong type.
    ValueError: If an argument is outside its range, not one of the choices, or does not go with another one.

Note:
    Where results differ from those of a scheduler of this name in diffusers, docs_cn/deviations.md tells how and why.

Supported Platforms:
    ``Ascend`` ``CPU``
"""


def _bind(signature, self, args, kwargs):
    """Returns the arguments of a constructor by name, defaults included."""
    try:
        bound = signature.bind(self, *args, **kwargs)
    except TypeError as error:
        names = ", ".join(list(signature.parameters)[1:])
        raise TypeError(f"{type(self).__name__}: {error}; the arguments are {names}.") from None
    bound.apply_defaults()
    return dict(list(bound.arguments.items())[1:])


def _default_text(value):
    if value is REQUIRED:
        return ""
    return f" Default: ``{'mindspore.float32' if value is mstype.float32 else repr(value)}``."
