"""What users write into schedulers after they were built: scenarios that diffusers and the drop-in classes both run.

Used by scripts/make_golden_compat_calls.py, which runs diffusers, and by test_compat_writes.py. A write is: how,
the name of an attribute (or of the configuration) and arguments.
"""

import numpy as np
from compat_examples import steps_of

from mindscience_diffuser.compat.description import described

SHAPE = (2, 2, 4, 4)
STEPS = 6
NOISE_SEED = 5

# They do not step like the others, or write past every table (see CASES of test_compat_methods.py).
OTHER_CALLS = (
    *("KarrasVeScheduler", "ScoreSdeVeScheduler", "ScoreSdeVpScheduler", "RePaintScheduler"),
    *("RFD4ProteinaScheduler", "LTXEulerAncestralRFScheduler", "MiniMaxH3Scheduler", "ConsistencyDecoderScheduler"),
    *("PiflowScheduler", "HeliosDMDScheduler", "HeliosScheduler"),
)
# diffusers' noise of a Brownian tree cannot be given to others.
BROWNIAN = ("DPMSolverSDEScheduler", "CosineDPMSolverMultistepScheduler")
NAMES = [name for name in described() if name not in OTHER_CALLS + BROWNIAN]

REGISTERED = {
    "prediction_type": "v_prediction",
    "thresholding": True,
    "clip_sample_range": 0.5,
    "clip_denoised": False,
    "solver_type": "heun",
    "algorithm_type": "sde-dpmsolver++",
    "lower_order_final": False,
    "euler_at_final": True,
    "sigma_data": 0.8,
    "s_noise": 0.7,
    "timestep_scaling": 3.0,
    "variance_type": "fixed_large",
    "predictor_order": 1,
    "corrector_order": 1,
}
"""Changes of the configuration in the middle of a trajectory."""

SCHEDULED = {
    "steps_offset": 1,
    "timestep_spacing": "trailing",
    "use_karras_sigmas": True,
    "use_exponential_sigmas": True,
    "use_beta_sigmas": True,
    "use_lu_lambdas": True,
    "final_sigmas_type": "sigma_min",
    "rho": 5.0,
    "shift": 2.0,
    "flow_shift": 2.0,
    "shift_terminal": 0.1,
    "sigma_schedule": "exponential",
    "interpolation_type": "log_linear",
    "original_inference_steps": 40,
    "invert_sigmas": True,
    "lambda_min_clipped": -3.0,
}
"""Changes of the configuration before the second of two schedules."""

ASSIGNED = {
    "sigmas": ("item", -1, 0.005),
    "timesteps": ("slice", 0, STEPS - 1),
    "alphas_cumprod": ("scale", 0.999),
    "final_alpha_cumprod": ("scale", 1 + 1e-5),
    "initial_alpha_cumprod": ("scale", 1 + 1e-5),
    "num_inference_steps": ("value", 2 * STEPS),
    "model_outputs": ("memory",),
    "ets": ("memory",),
    "derivatives": ("memory",),
    "lower_order_nums": ("value", 0),
    "last_sample": ("scale", 0.9),
    "disable_corrector": ("value", [2, 3]),
}
"""Attributes that diffusers' methods read, and how they are written in the middle of a trajectory."""

THIRD_ORDER = (
    {},
    {"algorithm_type": "dpmsolver", "final_sigmas_type": "sigma_min"},
    {"algorithm_type": "sde-dpmsolver++"},
)
OF_THIRD_ORDER = ("DPMSolverMultistepScheduler", "DPMSolverSinglestepScheduler")
"""Configurations of third order, whose weights are diffusers' own."""

RANGE = {"sigma_min": 0.05, "sigma_max": 9.0}


def scenarios():
    """Returns the scenarios: dicts of a scheduler, its configuration, writes, and the step before which they happen."""
    listed = []

    def add(name, write, at=None, **init):
        # In the first call of a step, and past the steps of Runge and Kutta.
        at = {"PNDMScheduler": 13}.get(name, 4 if described()[name]["order"] == 2 else 3) if at is None else at
        listed.append({"scheduler": name, "init": init, "at": at, "write": write})

    for name in NAMES:
        facts = described()[name]
        arguments = {a[0] for a in facts["arguments"]}
        for key, value in REGISTERED.items():
            if key in facts["config_reads"] and _sensible(name, key):
                add(name, ["register", {key: value}])
        for key, value in SCHEDULED.items():
            if key in facts["config_reads"] and key in arguments and _sensible(name, key):
                add(name, ["register", {key: value}], at=-1)
        if "sigma_min" in facts["config_reads"]:
            for spacing in ("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas"):
                if spacing in arguments:
                    add(
                        name,
                        ["register", RANGE if "Flow" not in name else {"sigma_min": 0.1}],
                        at=-1,
                        **{spacing: True},
                    )
        for init in THIRD_ORDER if name in OF_THIRD_ORDER else ():
            # "heun" is what the singlestep solver needs to use the last three predictions.
            add(name, ["register", {"solver_type": "heun"}], at=1, solver_order=3, solver_type="heun", **init)
        for attribute, write in ASSIGNED.items():
            if attribute in facts["reads"] and attribute not in facts["read_only"] and _sensible(name, attribute):
                init = {"set_alpha_to_one": False} if attribute.endswith("al_alpha_cumprod") else {}
                add(name, [write[0], attribute, *write[1:]], **{k: v for k, v in init.items() if k in arguments})
                if attribute == "sigmas":
                    add(name, ["scale", attribute, 0.95])
    return listed


def _sensible(name, key):
    """Whether diffusers itself goes on after such a write."""
    return (name, key) not in UNUSABLE and not (key == "sigmas" and name in OTHER_LEVELS)


OTHER_LEVELS = ("KDPM2DiscreteScheduler", "KDPM2AncestralDiscreteScheduler")
UNUSABLE = {
    # diffusers raises, or returns NaN.
    ("DEISMultistepScheduler", "algorithm_type"),
    ("DPMSolverMultistepInverseScheduler", "algorithm_type"),
    ("SASolverScheduler", "algorithm_type"),
    ("UnCLIPScheduler", "prediction_type"),
    # Two attributes of one meaning, of which one only is written.
    ("UnCLIPScheduler", "variance_type"),
    ("UnCLIPScheduler", "alphas_cumprod"),
    ("UniPCMultistepScheduler", "shift_terminal"),
    ("UniPCMultistepScheduler", "solver_type"),
    ("UniPCMultistepScheduler", "lower_order_final"),
    # docs_cn/deviations.md: the order of the corrector that follows such a write; an inverted flow renoised.
    ("UniPCMultistepScheduler", "lower_order_nums"),
    ("SASolverScheduler", "lower_order_nums"),
    ("SASolverScheduler", "corrector_order"),
    ("FlowMatchLCMScheduler", "invert_sigmas"),
}


def write(scheduler, how, name, *arguments, tensor):
    """Does one write."""
    if how == "register":
        scheduler.register_to_config(**name)
    elif how == "item":
        index, value = arguments
        getattr(scheduler, name)[index] = value
    elif how == "slice":
        setattr(scheduler, name, getattr(scheduler, name)[slice(*arguments)])
    elif how == "scale":
        setattr(scheduler, name, getattr(scheduler, name) * arguments[0])
    elif how == "value":
        setattr(scheduler, name, arguments[0])
    elif how == "memory":
        remembered = getattr(scheduler, name)
        remembered[-1] = tensor(np.random.default_rng(7).standard_normal(SHAPE))
    else:
        raise ValueError(how)


def run(scheduler, scenario, tensor):
    """Returns the last sample of a scenario; `tensor` makes a Tensor of an array."""
    rng = np.random.default_rng(1)
    start, outputs = rng.standard_normal(SHAPE), rng.standard_normal((STEPS * 3, *SHAPE))
    at, name = scenario["at"], scenario["scheduler"]
    count = {"num_inference_steps": steps_of(name, STEPS)}
    scheduler.set_timesteps(**count)
    if at < 0:
        write(scheduler, *scenario["write"], tensor=tensor)
        scheduler.set_timesteps(**count)
    x = tensor(start) * float(getattr(scheduler, "init_noise_sigma", 1.0))
    timesteps, old = scheduler.timesteps, None
    for i in range(len(timesteps) - (name in ("SCMScheduler", "DDPMWuerstchenScheduler"))):
        if i == min(at, len(timesteps) - 1):
            write(scheduler, *scenario["write"], tensor=tensor)
        if i >= len(scheduler.timesteps):
            break
        t = timesteps[i]
        if hasattr(scheduler, "scale_model_input"):
            scheduler.scale_model_input(x, t)
        if name == "CogVideoXDPMScheduler":
            back = timesteps[i - 1] if i > 0 else None
            x, old = scheduler.step(tensor(outputs[i]), old, t, back, x, return_dict=False)
        else:
            t = timesteps[i : i + 1] if name == "DDPMWuerstchenScheduler" else t
            x = scheduler.step(tensor(outputs[i]), t, x)[0]
    return x
