"""Make tests/golden/mindscience.npz: what the published code of `mindscience.diffuser` computes, in float32.

    python scripts/make_golden_mindscience.py CHECKOUT [--check]

CHECKOUT is a working tree of https://github.com/mindspore-ai/mindscience that holds MindFlow/mindflow/cell, where the
code was published first; mindscience/diffuser holds the same code under its later name. `--check` writes nothing.

Stand-in: Tensor.repeat, which the last step of the published DDIMScheduler calls and MindSpore lacks on CPU. Left out
is what the published code cannot run or gets wrong: docs_cn/migration.md lists it.
"""

import argparse
import importlib
import itertools
import json
import sys
import types
from pathlib import Path
from unittest import mock

import numpy as np
from mindspore import Tensor, ops

PATH = Path(__file__).resolve().parent.parent / "tests" / "golden" / "mindscience.npz"
SIZES = {"hidden_channels": 16, "layers": 2, "heads": 2}
IN_CHANNELS, OUT_CHANNELS, COND_CHANNELS = 4, 3, 5
BATCH, LENGTH = 3, 6
PROCESS = {"num_train_timesteps": 12}
SCHEDULES = [{}, {"beta_schedule": "linear", "beta_end": 0.3}, {"beta_schedule": "scaled_linear", "beta_end": 0.3}]
TABLES = (
    "alphas_cumprod",
    "alphas_cumprod_prev",
    "sqrt_alphas_cumprod",
    "sqrt_one_minus_alphas_cumprod",
    "sqrt_recip_alphas_cumprod",
    "sqrt_recipm1_alphas_cumprod",
    "posterior_variance",
    "posterior_log_variance_clipped",
    "posterior_mean_coef1",
    "posterior_mean_coef2",
)
PIPELINES = [
    {"name": "DDPM", "init": {}, "steps": 12},
    {"name": "DDPM", "init": {"variance_type": "fixed_small", "prediction_type": "sample"}, "steps": 12},
    {"name": "DDPM", "init": {"variance_type": "fixed_large", "clip_sample": False, **SCHEDULES[1]}, "steps": 12},
    {"name": "DDPM", "init": {"prediction_type": "v_prediction", "clip_sample_range": 2.0}, "steps": 12},
    {"name": "DDIM", "init": {}, "steps": 4},
    {"name": "DDIM", "init": {"prediction_type": "sample", **SCHEDULES[2]}, "steps": 6, "call": {"eta": 0.7}},
    {"name": "DDIM", "init": {"clip_sample_range": 0.5, "timestep_spacing": "linspace"}, "steps": 12},
    {"name": "DDIM", "init": {"timestep_spacing": "trailing"}, "steps": 4, "call": {"eta": 1.0}},
]
LOSSES = [
    {"objective": "pred_noise", "loss_type": "l1"},
    {"objective": "pred_x0", "loss_type": "l2", "p2_loss_weight_gamma": 1.0},
    {"objective": "pred_v", "loss_type": "l2", "p2_loss_weight_gamma": 0.5, "p2_loss_weight_k": 2.0},
]


def published(checkout):
    """Returns the modules diffusion and diffusion_transformer of a checkout, without the packages around them."""
    root = Path(checkout) / "MindFlow" / "mindflow"
    for name in ("mindflow", "mindflow.cell", "mindflow.utils"):
        package = types.ModuleType(name)
        package.__path__ = [str(root.joinpath(*name.split(".")[1:]))]
        sys.modules[name] = package
    block = importlib.import_module("mindflow.cell.attention").TransformerBlock
    sys.modules["mindflow.cell"].TransformerBlock = block
    return [importlib.import_module(f"mindflow.cell.{name}") for name in ("diffusion", "diffusion_transformer")]


def normal(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def noise_of(seed, shape):
    """Returns a function without arguments that draws the next noise: the start, then that of each step."""
    generator = np.random.default_rng(seed)
    return lambda: generator.standard_normal(shape).astype(np.float32)


def model_values(module, arrays):
    """Adds a checkpoint and what both models make of it, with every combination of their flags."""
    x, t = Tensor(normal(1, BATCH, LENGTH, IN_CHANNELS)), Tensor([3, 400, 999][:BATCH])
    condition, tokens = Tensor(normal(2, BATCH, COND_CHANNELS)), Tensor(normal(3, BATCH, 2, COND_CHANNELS))
    arrays.update(x=x.asnumpy(), timestep=t.asnumpy().astype(np.int32))
    arrays.update(condition=condition.asnumpy(), condition_tokens=tokens.asnumpy())
    weights = None
    for time, cond in itertools.product((True, False), repeat=2):
        given = {**SIZES, "time_token_cond": time}
        free = module.DiffusionTransformer(IN_CHANNELS, OUT_CHANNELS, **given)
        guided = module.ConditionDiffusionTransformer(
            IN_CHANNELS, OUT_CHANNELS, COND_CHANNELS, cond_as_token=cond, **given
        )
        if weights is None:
            weights = checkpoint(guided)
            arrays.update({f"weights/{name}": value for name, value in weights.items()})
        for model in (free, guided):
            for name, parameter in model.parameters_and_names():
                parameter.set_data(Tensor(weights[name]))
        arrays[f"free_{time}"] = free(x, t).asnumpy()
        arrays[f"guided_{time}_{cond}"] = guided(x, t, condition).asnumpy()
        arrays[f"unguided_{time}_{cond}"] = guided(x, t).asnumpy()
        if cond:
            arrays[f"tokens_{time}"] = guided(x, t, tokens).asnumpy()


def checkpoint(model):
    """Returns random weights by the names of the model's parameters; no layer starts at zero."""
    weights = {}
    for k, (name, parameter) in enumerate(sorted(model.parameters_and_names())):
        offset = 1 if name.endswith("gamma") else 0
        weights[name] = (offset + normal(100 + k, *parameter.shape) * 0.3).astype(np.float32)
    return weights


def pipeline_values(modules, arrays):
    """Adds the samples of both pipelines, with the noise of :func:`noise_of`."""
    diffusion, transformers = modules
    model = transformers.ConditionDiffusionTransformer(IN_CHANNELS, IN_CHANNELS, COND_CHANNELS, **SIZES)
    for k, (_, parameter) in enumerate(sorted(model.parameters_and_names())):
        parameter.set_data(Tensor(normal(200 + k, *parameter.shape) * 0.2))
    arrays.update({f"square/{name}": p.asnumpy() for name, p in model.parameters_and_names()})
    condition = Tensor(arrays["condition"])
    shape = (BATCH, LENGTH, IN_CHANNELS)
    for k, case in enumerate(PIPELINES):
        scheduler = getattr(diffusion, f"{case['name']}Scheduler")(**PROCESS, **case["init"])
        pipeline = getattr(diffusion, f"{case['name']}Pipeline")(model, scheduler, BATCH, LENGTH, case["steps"])
        draw = noise_of(300 + k, shape)
        with (
            mock.patch.object(np.random, "randn", lambda *_, d=draw: d()),
            mock.patch.object(ops, "randn_like", lambda *_, d=draw, **__: Tensor(d())),
            mock.patch.object(Tensor, "repeat", lambda self, count: self + Tensor(np.zeros(count, np.float32))),
        ):
            arrays[f"pipeline_{k}"] = pipeline(condition, **case.get("call", {})).asnumpy()
        arrays[f"timesteps_{k}"] = np.asarray(scheduler.num_timesteps)


def loss_values(modules, arrays):
    """Adds losses and their weights."""
    diffusion, transformers = modules
    model = transformers.ConditionDiffusionTransformer(IN_CHANNELS, IN_CHANNELS, COND_CHANNELS, **SIZES)
    for name, parameter in model.parameters_and_names():
        parameter.set_data(Tensor(arrays[f"square/{name}"]))
    timesteps = Tensor(np.array([0, 5, 11], np.int32))
    x, noise = Tensor(arrays["x"]), Tensor(normal(4, *arrays["x"].shape))
    for k, case in enumerate(LOSSES):
        trainer = diffusion.DiffusionTrainer(model, diffusion.DDPMScheduler(**PROCESS, **SCHEDULES[1]), **case)
        arrays[f"loss_{k}"] = trainer.get_loss(x, noise, timesteps, Tensor(arrays["condition"])).asnumpy()
        arrays[f"p2_loss_weight_{k}"] = trainer.p2_loss_weight.asnumpy()


def table_values(diffusion, arrays):
    """Adds the tables of the schedulers."""
    for k, schedule in enumerate(SCHEDULES):
        scheduler = diffusion.DDIMScheduler(**PROCESS, **schedule)
        for name in TABLES:
            arrays[f"{name}_{k}"] = getattr(scheduler, name).asnumpy()
        arrays[f"final_alpha_cumprod_{k}"] = scheduler.final_alpha_cumprod.asnumpy()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("checkout", help="working tree of mindspore-ai/mindscience")
    parser.add_argument("--check", action="store_true", help="compare with the file instead of writing it")
    arguments = parser.parse_args()
    modules = published(arguments.checkout)
    cases = {"sizes": SIZES, "process": PROCESS, "schedules": SCHEDULES, "pipelines": PIPELINES, "losses": LOSSES}
    arrays = {"cases": np.array(json.dumps(cases))}
    model_values(modules[1], arrays)
    pipeline_values(modules, arrays)
    loss_values(modules, arrays)
    table_values(modules[0], arrays)
    if arguments.check:
        with np.load(PATH) as stored:
            assert set(stored) == set(arrays)
            for name, values in arrays.items():
                assert name == "cases" or np.allclose(values, stored[name], rtol=1e-5, atol=1e-5), name
        return
    np.savez_compressed(PATH, **arrays)


if __name__ == "__main__":
    main()
