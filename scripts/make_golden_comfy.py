"""Make tests/golden/comfy.npz: trajectories of the samplers of ComfyUI and k-diffusion in float64.

    python scripts/make_golden_comfy.py --comfyui CHECKOUT --k-diffusion CHECKOUT

needs torch and scipy, and checkouts of ComfyUI (https://github.com/Comfy-Org/ComfyUI, whose file
comfy/k_diffusion/sampling.py is run as it is in silveroxides/ComfyUI, commit 4f874c5e) and of
https://github.com/crowsonkb/k-diffusion (commit 4601bf0). The sampling functions are run as they are; of what they
import there remain the kind of the noise process and a loop without a progress bar. The model is a toy, and the noise
is drawn from a seed, as the test draws it again. What is kept are the samples that the model is called with, and the
last one.
"""

import argparse
import ast
import json
import types
from functools import partial
from pathlib import Path

import numpy as np
import torch
from scipy import integrate

PATH = Path(__file__).resolve().parent.parent / "tests" / "golden" / "comfy.npz"
SHAPE = (2, 3)
SIGMAS = [14.6, 8.0, 4.2, 2.0, 1.1, 0.5, 0.21, 0.06, 0.0]
EVEN = [8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0, 0.0]
FLOW = [0.97, 0.9, 0.81, 0.66, 0.47, 0.31, 0.14, 0.0]
K_DIFFUSION = [
    ("dpmpp_2m_sde", SIGMAS, {"eta": 1.0, "solver_type": "midpoint"}),
    ("dpmpp_2m_sde", SIGMAS, {"eta": 0.6, "solver_type": "midpoint"}),
    ("dpmpp_2m_sde", SIGMAS, {"eta": 0.0, "solver_type": "midpoint"}),
    ("dpmpp_3m_sde", SIGMAS, {"eta": 1.0}),
    ("dpmpp_3m_sde", SIGMAS, {"eta": 0.4}),
    ("dpmpp_2s_ancestral", SIGMAS, {"eta": 1.0}),
    ("dpmpp_2s_ancestral", SIGMAS, {"eta": 0.6}),
    ("dpmpp_2s_ancestral", SIGMAS, {"eta": 0.0}),
    ("euler_ancestral", SIGMAS, {"eta": 0.7}),
]
COMFYUI = [
    ("res_multistep", SIGMAS, {}),
    *(("er_sde", sigmas, {"max_stage": stage}) for sigmas in (SIGMAS, FLOW) for stage in (1, 2, 3)),
    *((f"seeds_{n}", sigmas, {"eta": eta}) for n in (2, 3) for sigmas in (SIGMAS, FLOW) for eta in (1.0, 0.5, 0.0)),
    *(("ipndm_v", sigmas, {"max_order": order}) for sigmas in (SIGMAS, EVEN) for order in (2, 3, 4)),
    ("gradient_estimation", SIGMAS, {}),
    ("gradient_estimation", SIGMAS, {"ge_gamma": 1.5}),
    *(
        (name, FLOW, {"eta": eta})
        for name in ("euler_ancestral_RF", "dpmpp_2s_ancestral_RF")
        for eta in (1.0, 0.6, 0.0)
    ),
]


class Flow:
    """Takes the place of the class of rectified flows."""


def draw(seed, count):
    """The start of trajectory `seed`, of unit variance, and the noise of its steps in turn."""
    return np.random.default_rng(seed).standard_normal((count + 1, *SHAPE))


def denoise(x, sigma):
    """The toy prediction of the clean sample."""
    return x / (1 + sigma**2) + 0.3 * torch.tanh(x + sigma)


def functions(path):
    """Returns the functions of a file, without decorators, in a namespace of what they need."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    for node in found:
        node.decorator_list = []
    space = {
        "torch": torch,
        "integrate": integrate,
        "partial": partial,
        "trange": lambda count, **_: range(count),
        "comfy": types.SimpleNamespace(model_sampling=types.SimpleNamespace(CONST=Flow)),
        "utils": types.SimpleNamespace(append_dims=lambda x, dims: x.reshape(x.shape + (1,) * (dims - x.ndim))),
        "BrownianTreeNoiseSampler": None,
    }
    exec(compile(ast.Module(found, []), str(path), "exec"), space)
    return space


def trajectory(space, seed, name, sigmas, options):
    """Returns the samples that the model is called with, and the last one."""
    drawn = iter(draw(seed, 100))
    called = []

    class Model:
        """The toy model, with what a sampler asks of the noise process."""

        def __init__(self):
            process = Flow() if sigmas[0] < 1 else types.SimpleNamespace()
            patcher = types.SimpleNamespace(get_model_object=lambda _: process)
            self.inner_model = types.SimpleNamespace(model_patcher=patcher)

        def __call__(self, x, sigma):
            called.append(x.numpy().copy())
            return denoise(x, sigma.reshape(-1, 1))

    start = torch.from_numpy(next(drawn)) * sigmas[0]
    sample = space[f"sample_{name}"]
    noise = {"noise_sampler": lambda *_: torch.from_numpy(next(drawn))}
    if "noise_sampler" not in sample.__code__.co_varnames:
        noise = {}
    last = sample(Model(), start, torch.tensor(sigmas, dtype=torch.float64), **noise, **options)
    return np.stack([*called, last.numpy()])


def main():
    """Writes the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--comfyui", type=Path, required=True, help="checkout of ComfyUI")
    parser.add_argument("--k-diffusion", type=Path, required=True, help="checkout of k-diffusion")
    options = parser.parse_args()
    files = (options.k_diffusion / "k_diffusion", options.comfyui / "comfy" / "k_diffusion")
    arrays, cases = {}, []
    for folder, configured in zip(files, (K_DIFFUSION, COMFYUI)):
        space = functions(folder / "sampling.py")
        for name, sigmas, arguments in configured:
            seed = len(cases)
            arrays[f"case_{seed}"] = trajectory(space, seed, name, sigmas, arguments)
            cases.append({"sampler": name, "sigmas": sigmas, "options": arguments})
    np.savez_compressed(PATH, cases=json.dumps(cases), **arrays)
    print(f"{PATH}: {len(cases)} trajectories")


if __name__ == "__main__":
    main()
