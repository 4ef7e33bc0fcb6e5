"""All schedulers in many configurations, and the levels that belong to what they tell the model, computed anew."""

import warnings

import numpy as np
import reference

from mindscience_diffuser.schedulers.base.scheduler import schedulers_by_name

PYRAMID = "PyramidFlowMatchEulerDiscreteScheduler"  # Its schedules are those of stages.
CLASSES = {name: kind for name, kind in schedulers_by_name().items() if not hasattr(kind, "plan_of_stages")}
INVERSIONS = ("DDIMInverseScheduler", "DPMSolverMultistepInverseScheduler")
ROUNDED = ("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas", "use_lu_lambdas")

FLOW = {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}
OPTIONS = [
    *({"timestep_spacing": spacing} for spacing in ("leading", "linspace", "trailing")),
    *({"timestep_spacing": spacing, "set_alpha_to_one": False} for spacing in ("linspace", "trailing")),
    {"timestep_spacing": "leading", "steps_offset": 1},
    {"timestep_spacing": "leading", "steps_offset": 1, "set_alpha_to_one": False},
    {"timestep_spacing": "trailing", "prediction_type": "v_prediction"},
    {"timestep_spacing": "linspace", "final_sigmas_type": "sigma_min"},
    {"timestep_spacing": "linspace", "skip_prk_steps": True},
    {"timestep_spacing": "trailing", "skip_prk_steps": True, "set_alpha_to_one": True},
    {"final_sigmas_type": "sigma_min"},
    {"prediction_type": "v_prediction"},
    {"prediction_type": "sample", "set_alpha_to_one": False},
    *({name: True} for name in ROUNDED),
    FLOW,
]
"""Arguments that are tried where a scheduler has all of them."""


def configurations(name):
    """Returns the configurations of a scheduler: its defaults and all options that it has."""
    chosen = [options for options in OPTIONS if options.keys() <= CLASSES[name].arguments.keys()]
    takes = CLASSES[name].takes
    return [{}, *(options for options in chosen if all(takes(*option) for option in options.items()))]


def built(name, config):
    """Returns a scheduler that limits no clean sample."""
    kind = CLASSES[name]
    free = {n: False for n in ("clip_sample", "clip_denoised", "thresholding") if n in kind.arguments}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return kind(**{**free, **config})


def choose(scheduler, *count, **options):
    """Chooses the steps of a scheduler, which may warn of a lower order."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scheduler.set_timesteps(*count, **options)
    return scheduler


def scheduled(name, config, *count, **options):
    """Returns a scheduler with its steps chosen."""
    return choose(built(name, config), *count, **options)


def each(name, counts, **changed):
    """Yields schedulers of all configurations with their steps chosen, and what to call them in a message."""
    for config in configurations(name):
        scheduler = built(name, {**config, **changed})
        for count in counts:
            yield choose(scheduler, count), f"{config}, {count} steps"


CHURN = {
    "AlphaFold3Scheduler": {"gamma_0": 0.0, "step_scale": 1.0},
    "KarrasVeScheduler": {"s_churn": 0.0},
    "LTXEulerAncestralRFScheduler": {"eta": 0.0},
    "RFD4ProteinaScheduler": {"t_lim_ode": 0.0},
}  # By default noise is added between its steps.


def alpha_bar(config):
    """Returns alpha_bar of the training timesteps, from the formulas of the papers."""
    defaults = {"rescale_betas_zero_snr": False, "beta_start": 0.0001, "beta_end": 0.02}
    product = reference.make_alphas_cumprod({**defaults, **config})
    scale = config.get("snr_shift_scale", 1.0)
    return product / (scale + (1 - scale) * product)


def wuerstchen(times):
    cosine = np.cos((times + 0.008) / 1.008 * np.pi / 2) / np.cos(0.008 / 1.008 * np.pi / 2)
    product = np.clip(cosine**2, 0.0001, 0.9999)
    return np.sqrt(product), np.sqrt(1 - product)


def sde_vp(times):
    times = times / 1999
    alpha = np.exp(-(times**2) * 19.9 / 4 - times * 0.05)
    return alpha, np.sqrt(1 - alpha**2)


def exploding(level):
    """Returns the level of x = x0 + sigma * noise whose sigma is a function of what the model is told."""
    return lambda times: (np.ones_like(times), level(times))


def decoder(times):
    product = alpha_bar({"num_train_timesteps": 1024, "beta_schedule": "squaredcos_cap_v2"})[times.astype(int)]
    return np.sqrt(product), np.sqrt(1 - product)


TOLD = {
    "AlphaFold3Scheduler": exploding(lambda t: t),
    "CMStochasticIterativeScheduler": exploding(lambda t: np.exp(t / 250)),
    "ConsistencyDecoderScheduler": decoder,
    "CosineDPMSolverMultistepScheduler": exploding(lambda t: np.tan(t * np.pi / 2)),
    "DDPMWuerstchenScheduler": wuerstchen,
    "EDMDPMSolverMultistepScheduler": exploding(lambda t: np.exp(4 * t)),
    "EDMDPMSolverSinglestepScheduler": exploding(lambda t: np.exp(4 * t)),
    "EDMEulerScheduler": exploding(lambda t: np.exp(4 * t)),
    "EDMHeunScheduler": exploding(lambda t: np.exp(4 * t)),
    "FlowMapEulerDiscreteScheduler": lambda t: (1 - t / 1000, t / 1000),
    "FlowMatchEulerDiscreteScheduler": lambda t: (1 - t / 1000, t / 1000),
    "FlowMatchHeunDiscreteScheduler": lambda t: (1 - t / 1000, t / 1000),
    "FlowMatchLCMScheduler": lambda t: (1 - t / 1000, t / 1000),
    "IPNDMScheduler": lambda t: (np.cos(t * np.pi / 2), np.sin(t * np.pi / 2)),
    "KarrasVeScheduler": exploding(lambda t: t),
    "LTXEulerAncestralRFScheduler": lambda t: (1 - t / 1000, t / 1000),
    "MiniMaxH3Scheduler": lambda t: (t, 1 - t),
    "PiflowScheduler": lambda t: (1 - t / 1000, t / 1000),
    "RFD4ProteinaScheduler": lambda t: (t, 1 - t),
    "SCMScheduler": lambda t: (np.cos(t), 0.5 * np.sin(t)),
    "ScoreSdeVpScheduler": sde_vp,
}
"""What alpha and sigma are at what the model is told, for schedulers without betas."""


def levels_told(scheduler, timesteps):
    """Returns alpha and sigma at what the model is told, computed here."""
    name = type(scheduler).__name__
    if name in TOLD:
        return TOLD[name](timesteps.astype(np.float64))
    if scheduler.config.get("use_flow_sigmas"):
        return 1 - timesteps / 1000, timesteps / 1000
    product = alpha_bar(scheduler.config)
    if not hasattr(scheduler, "sigmas"):
        return np.sqrt(product)[timesteps], np.sqrt(1 - product)[timesteps]
    ratio = np.interp(timesteps, np.arange(len(product)), np.sqrt((1 - product) / product))
    alpha = np.ones_like(ratio) if scheduler.scaled else 1 / np.hypot(ratio, 1)
    return alpha, ratio * alpha
