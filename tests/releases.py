"""Trajectories of diffusers' schedulers that follow the sampler of one release, in a form that both packages run.

Used by scripts/make_golden_releases.py, which runs diffusers, and by the tests of these schedulers.
"""

from pathlib import Path

import numpy as np

SHAPE = (2, 3, 8)

FLOWS = [{}, {"shift": 3.0}, {"shift": 2.0, "shift_terminal": 0.1}, {"shift": 1.5, "use_karras_sigmas": True}]
LTX = [
    *({"flow": flow, "init": {"eta": eta}, "set": {"num_inference_steps": 7}} for flow in FLOWS for eta in (1.0, 0.4)),
    {"flow": {"use_dynamic_shifting": True}, "set": {"num_inference_steps": 6, "mu": 0.9}},
    {"flow": {"num_train_timesteps": 500, "use_beta_sigmas": True}, "set": {"num_inference_steps": 5}},
    {"init": {"eta": 0.0}, "set": {"num_inference_steps": 9}},
    {"init": {"s_noise": 0.0}, "set": {"num_inference_steps": 9}},
    {"init": {"s_noise": 0.6, "num_train_timesteps": 100}, "set": {"num_inference_steps": 9}},
    {"set": {"sigmas": [1.0, 0.99375, 0.9875, 0.98125, 0.975, 0.909375, 0.725, 0.421875, 0.0]}},
    {"init": {"eta": 0.7}, "set": {"timesteps": [0.85, 0.725, 0.421875, 0.0]}},
    {"flow": {"shift": 4.0}, "set": {"sigmas": [1.0, 0.7, 0.4, 0.2], "num_inference_steps": 3}},
    {"init": {"eta": 1.0}, "set": {"num_inference_steps": 10}, "begin": 4},
]

MINIMAX = [
    *({"init": {"shift": shift}, "set": {"num_inference_steps": n}} for shift in (12.0, 3.0, 1.0) for n in (2, 5, 20)),
    {"set": {"num_inference_steps": 50}},
    {"init": {"shift": 0.5}, "set": {"num_inference_steps": 8}},
    {"init": {"shift": 3e5}, "set": {"num_inference_steps": 400}},
    {"set": {"sigmas": [1.0, 0.9, 0.3, 0.0]}},
    {"set": {"sigmas": [0.6, 0.25, 0.125, 0.0]}},
    {"set": {"num_inference_steps": 9}, "begin": 3},
]
DECODER = [
    {"init": init, "set": {"num_inference_steps": 2}, "shape": shape}
    for init in ({}, {"sigma_data": 1.0}, {"sigma_data": 0.2}, {"num_train_timesteps": 2048})
    for shape in ((2, 3, 8), (1, 3, 4, 4), (3, 6))
]


def toy(x, t):
    """The output of the model, of arrays."""
    return 0.7 * np.tanh(x) - x * t / (1 + t)


def grid(size):
    """Returns a model of so many predictions for each channel."""

    def predictions(x, t):
        return np.concatenate([toy(x, t) + np.cos(k * x) / (1 + k) for k in range(size)], axis=-1)

    return predictions


PIFLOW = [
    *({"set": {"num_inference_steps": n}, "output": grid(10)} for n in (1, 2, 3, 4, 8)),
    {"init": {"shift": 1.0}, "set": {"num_inference_steps": 4}, "output": grid(10)},
    {"init": {"shift": 12.0, "n_grid": 2}, "set": {"num_inference_steps": 3}, "output": grid(2)},
    {"init": {"n_grid": 5, "eps": 1e-4}, "set": {"num_inference_steps": 4}, "output": grid(5)},
    {"init": {"final_step_size_scale": 1.0}, "set": {"num_inference_steps": 4}, "output": grid(10)},
    {"init": {"final_step_size_scale": 0.1}, "set": {"num_inference_steps": 4}, "output": grid(10)},
    {"init": {"num_policy_substeps": 7, "n_grid": 3}, "set": {"num_inference_steps": 5}, "output": grid(3)},
    {"init": {"num_policy_substeps": 1, "n_grid": 4}, "set": {"num_inference_steps": 5}, "output": grid(4)},
    {
        "init": {"num_train_timesteps": 500},
        "set": {"num_inference_steps": 4},
        "output": grid(10),
        "shape": (2, 2, 3, 4),
    },
    {"set": {"num_inference_steps": 6}, "output": grid(10), "begin": 2},
]

VIDEO = (2, 3, 1, 2, 2)
DMD = [
    *({"set": {"num_inference_steps": 2, "stage_index": stage}} for stage in range(3)),
    *({"init": {"shift": 3.0, "gamma": 0.2}, "set": {"num_inference_steps": 4, "stage_index": s}} for s in range(3)),
    {"set": {"num_inference_steps": 2, "stage_index": 0, "is_amplify_first_chunk": True}},
    *(
        {
            "init": {"use_dynamic_shifting": True, "time_shift_type": kind},
            "set": {"num_inference_steps": 3, "stage_index": stage, "mu": 1.4},
        }
        for kind, stage in (("linear", 0), ("linear", 2), ("exponential", 1))
    ),
    {
        "init": {"stages": 2, "stage_range": [0, 0.4, 1], "num_train_timesteps": 500},
        "set": {"num_inference_steps": 5, "stage_index": 1},
    },
    {"init": {"stages": 1, "stage_range": [0, 1]}, "set": {"num_inference_steps": 4}},
    {"init": {"stages": 1, "stage_range": [0, 1], "shift": 2.0}, "set": {"num_inference_steps": 4}},
    {
        "init": {"stages": 1, "stage_range": [0, 1], "time_shift_type": "exponential", "shift": 1.5},
        "set": {"num_inference_steps": 4, "sigmas": np.linspace(0.999, 0.0, 6)[:-1]},
    },
    {
        "init": {"stages": 1, "stage_range": [0, 1], "time_shift_type": "exponential", "shift": 1.5},
        "set": {"num_inference_steps": 4},
    },
]
HELIOS = [case for case in DMD if "is_amplify_first_chunk" not in case["set"]]
HELIOS = [{**case, "set": {**case["set"], "num_inference_steps": 7}, "shape": VIDEO} for case in HELIOS]
HELIOS += [
    {"init": init, "set": {"num_inference_steps": 9, "stage_index": 1}, "shape": VIDEO}
    for init in (
        *({"solver_order": order, "solver_type": kind} for order in (1, 2, 3) for kind in ("bh1", "bh2")),
        {"scheduler_type": "euler"},
        {"lower_order_final": False},
        {"disable_corrector": [0, 3]},
    )
]
DMD = [{**case, "shape": VIDEO, "dmd": True} for case in DMD]

CASES = {
    "ConsistencyDecoderScheduler": DECODER,
    "HeliosDMDScheduler": DMD,
    "HeliosScheduler": HELIOS,
    "LTXEulerAncestralRFScheduler": LTX,
    "MiniMaxH3Scheduler": MINIMAX,
    "PiflowScheduler": PIFLOW,
}
"""The cases of each class: arguments of the constructor and of `set_timesteps`, and where a trajectory begins.

`flow` are arguments of a FlowMatchEulerDiscreteScheduler, from whose configuration the scheduler is made; `shape`
is that of the sample, `output` the model where it is not the toy. Cases of
the distilled Helios have the mark `dmd`.
"""


class Draws:
    """Noise of a trajectory: that of a step whatever was drawn before, -1 is where it begins."""

    seed, step = 0, -1

    def __call__(self, shape):
        """Returns standard normal noise of the present step."""
        return np.random.default_rng((self.seed, self.step + 1)).standard_normal(tuple(shape))


DRAWS = Draws()


def build(package, name, case):
    """Returns the scheduler of a case from the classes of `package`, with its steps chosen."""
    kind, given = getattr(package, name), case.get("init", {})
    flow = case.get("flow")
    scheduler = kind(**given)
    if flow is not None:
        scheduler = kind.from_config(package.FlowMatchEulerDiscreteScheduler(**flow).config, **given)
    scheduler.set_timesteps(**case["set"])
    if "begin" in case:
        scheduler.set_begin_index(case["begin"])
    return scheduler


def told_of_schedule(scheduler, step, start):
    """Returns what a step of the distilled Helios is told besides."""
    schedule = {"dmd_sigmas": scheduler.sigmas, "dmd_timesteps": scheduler.timesteps}
    place = {"all_timesteps": scheduler.timesteps, "cur_sampling_step": step}
    return {**schedule, **place, "dmd_noisy_tensor": start}


def trajectory(scheduler, seed, case, tensor, array):
    """Returns what the model is told, and the sample at first and after each step, of a scheduler of any package."""
    DRAWS.seed, DRAWS.step = seed, -1
    x = DRAWS(case.get("shape", SHAPE)) * float(getattr(scheduler, "init_noise_sigma", 1.0))
    times, samples = array(scheduler.timesteps), [x]
    for step in range(case.get("begin", 0), len(times)):
        DRAWS.step = step
        t = scheduler.timesteps[step]
        given = array(scheduler.scale_model_input(tensor(x), t)) if hasattr(scheduler, "scale_model_input") else x
        output = case.get("output", toy)(given, float(times[step]))
        given = told_of_schedule(scheduler, step, tensor(samples[0])) if case.get("dmd") else {}
        x = array(scheduler.step(tensor(output), t, tensor(x), **given).prev_sample)
        samples.append(x)
    return times, np.stack(samples)


def golden():
    """Returns what diffusers gave."""
    return np.load(Path(__file__).parent / "golden" / "releases.npz")


def check_drop_in(name, k):
    """Compares case `k` of a drop-in class with what diffusers gave."""
    import mindspore as ms
    from mindspore import Tensor

    from mindscience_diffuser import compat, set_noise_function

    case = CASES[name][k]
    with set_noise_function(lambda shape, source: DRAWS(shape)):
        times, samples = trajectory(
            build(compat, name, case), k, case, lambda value: Tensor(value, ms.float32), lambda value: value.asnumpy()
        )
    np.testing.assert_allclose(times, golden()[f"{name}_{k}_times"], rtol=1e-5)
    expected = golden()[f"{name}_{k}_samples"]
    np.testing.assert_allclose(samples[[1, len(samples) // 2, -1]], expected, atol=1e-5 * np.abs(samples).max())
