"""The methods of schedulers, called as diffusers' own code calls them, in a form that both packages run.

Used by scripts/make_golden_compat_calls.py, which runs diffusers, and by test_compat_methods.py.
"""

import numpy as np

from mindscience_diffuser.compat.description import described

SHAPE = (2, 2, 4, 4)
STEPS = 6
TAKEN = 3
"""Steps taken before a method is called."""

NOT_CALLED = (
    "set_timesteps",
    "set_begin_index",
    "step",
    "step_prk",
    "step_plms",
    "from_pretrained",
    "set_shift",
    "set_scale_factors",
)
"""What every trajectory calls, and what has no value."""

# They have no trajectory like the others.
OTHER_CALLS = (
    *("KarrasVeScheduler", "ScoreSdeVeScheduler", "ScoreSdeVpScheduler", "RePaintScheduler", "SCMScheduler"),
    *("RFD4ProteinaScheduler", "LTXEulerAncestralRFScheduler", "MiniMaxH3Scheduler", "ConsistencyDecoderScheduler"),
    *("PiflowScheduler", "HeliosDMDScheduler", "HeliosScheduler"),
)
BROWNIAN = ("DPMSolverSDEScheduler", "CosineDPMSolverMultistepScheduler")

CONFIGURATIONS = {
    "prediction_type": "v_prediction",
    "use_karras_sigmas": True,
    "timestep_spacing": "trailing",
    "sigma_data": 0.7,
    "shift": 2.0,
    "algorithm_type": "sde-dpmsolver++",
    "timestep_scaling": 5.0,
    "clip_sample": False,
    "solver_type": "heun",
    "shift_terminal": 0.1,
}

SHORT_ENDS = [{"shift_terminal": 0.02}, {"shift_terminal": 0.3}]
MORE = {
    "CMStochasticIterativeScheduler": [{"rho": 5.0}],
    "DDPMWuerstchenScheduler": [{"scaler": 2.0}, {"s": 0.01}],
    "FlowMapEulerDiscreteScheduler": [{"shift": 4.0}],
    "FlowMatchEulerDiscreteScheduler": SHORT_ENDS,
    "FlowMatchHeunDiscreteScheduler": [{"shift": 4.0}],
    "FlowMatchLCMScheduler": SHORT_ENDS,
    "IPNDMScheduler": [{"num_train_timesteps": 500}, {"num_train_timesteps": 2000}],
    "UnCLIPScheduler": [{"num_train_timesteps": 500}],
    "UniPCMultistepScheduler": SHORT_ENDS,
}
"""Further configurations of classes that have few of these arguments, so that each method is called under three."""


def arguments(name, method, scheduler, tensor):
    """Returns the positional and the named arguments of a call."""
    rng = np.random.default_rng(3)
    output, sample, noise, *more = (tensor(rng.standard_normal(SHAPE)) for _ in range(6))
    t = scheduler.timesteps[TAKEN]
    outputs = [more[0], more[1], output]
    by_name = {
        "add_noise": ((sample, noise, scheduler.timesteps[2:5:2]), {}),
        "scale_noise": ((sample, scheduler.timesteps[2:5:2], noise), {}),
        "apply_shift": ((tensor(np.array([0.9, 0.3])),), {}),
        "get_velocity": ((sample, noise, scheduler.timesteps[2:5:2]), {}),
        "scale_model_input": ((sample, t), {}),
        "index_for_timestep": ((t,), {}),
        "previous_timestep": ((t,), {}),
        "convert_model_output": ((output, sample) if name.startswith("EDM") else (output, t, sample), {}),
        "dpm_solver_first_order_update": ((output,), {"sample": sample, "noise": noise}),
        "multistep_dpm_solver_second_order_update": ((outputs,), {"sample": sample, "noise": noise}),
        "multistep_dpm_solver_third_order_update": ((outputs,), {"sample": sample, "noise": noise}),
        "singlestep_dpm_solver_update": ((outputs,), {"sample": sample, "order": 2, "noise": noise}),
        "singlestep_dpm_solver_second_order_update": ((outputs,), {"sample": sample, "noise": noise}),
        "singlestep_dpm_solver_third_order_update": ((outputs,), {"sample": sample, "noise": noise}),
        "deis_first_order_update": ((output,), {"sample": sample}),
        "multistep_deis_second_order_update": ((outputs,), {"sample": sample}),
        "multistep_deis_third_order_update": ((outputs,), {"sample": sample}),
        "multistep_uni_p_bh_update": ((output,), {"sample": sample, "order": 2}),
        "multistep_uni_c_bh_update": ((output,), {"last_sample": sample, "this_sample": more[2], "order": 1}),
        "stochastic_adams_bashforth_update": (
            (output,),
            {"sample": sample, "noise": noise, "order": 2, "tau": tensor(np.array(0.5))},
        ),
        "stochastic_adams_moulton_update": (
            (output,),
            {
                "last_sample": sample,
                "last_noise": noise,
                "this_sample": more[2],
                "order": 2,
                "tau": tensor(np.array(0.5)),
            },
        ),
        "get_lms_coefficient": ((3, TAKEN, 1), {}),
        "get_order_list": ((STEPS,), {}),
        "sigma_to_t": ((2.0,), {}),
        "time_shift": ((0.8, 1.0, tensor(np.array([0.9, 0.3]))), {}),
        "get_scalings_for_boundary_condition_discrete": ((t,), {}),
        "get_scalings_for_boundary_condition": ((tensor(np.array(3.0)),), {}),
        "get_scalings": ((tensor(np.array(3.0)),), {}),
        "precondition_inputs": ((sample, tensor(np.array(3.0))), {}),
        "precondition_noise": ((tensor(np.array(3.0)),), {}),
        "precondition_outputs": ((sample, output, tensor(np.array(3.0))), {}),
        "stretch_shift_to_terminal": ((tensor(np.array([0.9, 0.3])),), {}),
        "get_variables": (tuple(tensor(np.array(a)) for a in (0.3, 0.5, 0.2)), {}),
        "get_mult": (tuple(tensor(np.array(a)) for a in (0.4, 1.2, 0.3, 0.5, 0.2)), {}),
        "batch_step_no_noise": ((output, scheduler.timesteps[1:3], sample), {}),
        "lagrange_polynomial_coefficient": ((1, [tensor(np.array(a)) for a in (0.3, 0.5)]), {}),
        "get_coefficients_exponential_negative": ((1, tensor(np.array(0.3)), tensor(np.array(0.8))), {}),
        "get_coefficients_exponential_positive": (
            (1, tensor(np.array(0.3)), tensor(np.array(0.8)), tensor(np.array(0.5))),
            {},
        ),
        "get_coefficients_fn": (
            (
                2,
                tensor(np.array(0.3)),
                tensor(np.array(0.8)),
                [tensor(np.array(a)) for a in (0.3, 0.1)],
                tensor(np.array(0.5)),
            ),
            {},
        ),
    }
    return by_name.get(method)


def with_flow(name, init):
    """Returns a configuration with what goes with it."""
    flow = {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}
    return {**init, **flow} if name == "UniPCMultistepScheduler" and "shift_terminal" in init else init


def cases():
    """Returns the calls: dicts of a scheduler, its configuration and a method."""
    listed = []
    for name, facts in described().items():
        if name in OTHER_CALLS + BROWNIAN:
            continue
        known = {a[0] for a in facts["arguments"]}
        chosen = [{key: value} for key, value in CONFIGURATIONS.items() if key in known] + MORE.get(name, [])
        inits = [{}, *(with_flow(name, init) for init in chosen)]
        for method in facts["methods"]:
            if method in NOT_CALLED or method.startswith("_"):
                continue
            listed.extend({"scheduler": name, "init": init, "method": method} for init in inits)
    return [case for case in listed if not _unusable(case)]


def _unusable(case):
    """Whether diffusers raises, or docs_cn/deviations.md tells that the results differ."""
    name, init, method = case["scheduler"], case["init"], case["method"]
    return (
        any((name, key) in REFUSED for key in init)
        or (name.startswith("EDM") and "third_order" in method and "algorithm_type" in init)
        or (method == "stretch_shift_to_terminal" and "shift_terminal" not in init)
        or (name, method) == ("DDPMWuerstchenScheduler", "previous_timestep")
        or (method == "batch_step_no_noise" and init.get("timestep_spacing") == "trailing")
    )


REFUSED = {
    ("DEISMultistepScheduler", "algorithm_type"),
    ("DPMSolverMultistepInverseScheduler", "algorithm_type"),
    ("SASolverScheduler", "algorithm_type"),
    ("UnCLIPScheduler", "prediction_type"),
}


def call(scheduler, case, tensor):
    """Returns the results of a call after TAKEN steps, as a list of Tensors or numbers."""
    name, rng = case["scheduler"], np.random.default_rng(1)
    scheduler.set_timesteps(STEPS)
    x, old = tensor(rng.standard_normal(SHAPE)) * float(getattr(scheduler, "init_noise_sigma", 1.0)), None
    for i in range(TAKEN):
        output, t = tensor(rng.standard_normal(SHAPE)), scheduler.timesteps[i]
        if hasattr(scheduler, "scale_model_input"):
            scheduler.scale_model_input(x, t)
        if name == "CogVideoXDPMScheduler":
            back = scheduler.timesteps[i - 1] if i > 0 else None
            x, old = scheduler.step(output, old, t, back, x, return_dict=False)
        else:
            x = scheduler.step(output, scheduler.timesteps[i : i + 1] if "Wuerstchen" in name else t, x)[0]
    args, kwargs = arguments(name, case["method"], scheduler, tensor)
    parameters = {p[0] for p in described()[name]["methods"][case["method"]]}
    results = getattr(scheduler, case["method"])(*args, **{k: v for k, v in kwargs.items() if k in parameters})
    return (
        list(results.values())
        if hasattr(results, "values") and not hasattr(results, "shape")
        else (list(results) if isinstance(results, (list, tuple)) else [results])
    )


def flat(results):
    """Returns the values of results in a row, float32; None counts as nothing."""
    values = [np.float32(r.numpy() if hasattr(r, "numpy") else r).ravel() for r in _leaves(results)]
    return np.concatenate([np.float32([]), *values])


def _leaves(results):
    for result in results:
        if isinstance(result, (list, tuple)):
            yield from _leaves(result)
        elif result is not None:
            yield result.asnumpy() if hasattr(result, "asnumpy") else result
