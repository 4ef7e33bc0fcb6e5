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

CASES = {
    "ConsistencyDecoderScheduler": DECODER,
    "LTXEulerAncestralRFScheduler": LTX,
    "MiniMaxH3Scheduler": MINIMAX,
    "PiflowScheduler": PIFLOW,
}
"""The cases of each class: arguments of the constructor and of `set_timesteps`, and where a trajectory begins.

`flow` are arguments of a FlowMatchEulerDiscreteScheduler, from whose configuration the scheduler is made; `shape`
is that of the sample, `output` the model where it is not the toy.
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


def trajectory(scheduler, seed, case, tensor, array, *also):
    """Returns what the model is told, and the sample at first and after each step, of a scheduler of any package."""
    DRAWS.seed, DRAWS.step = seed, -1
    x = DRAWS(case.get("shape", SHAPE)) * float(getattr(scheduler, "init_noise_sigma", 1.0))
    times, samples = array(scheduler.timesteps), [x]
    for step in range(case.get("begin", 0), len(times)):
        DRAWS.step = step
        t = scheduler.timesteps[step]
        given = array(scheduler.scale_model_input(tensor(x), t)) if hasattr(scheduler, "scale_model_input") else x
        output = case.get("output", toy)(given, float(times[step]))
        x = array(scheduler.step(tensor(output), t, tensor(x), *also).prev_sample)
        samples.append(x)
    return times, np.stack(samples)


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
    golden = np.load(Path(__file__).parent / "golden" / "releases.npz")
    np.testing.assert_allclose(times, golden[f"{name}_{k}_times"], rtol=1e-5)
    expected = golden[f"{name}_{k}_samples"]
    np.testing.assert_allclose(samples[[1, len(samples) // 2, -1]], expected, atol=1e-5 * np.abs(samples).max())
