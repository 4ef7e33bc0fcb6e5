"""A solver from outside the package, that of docs_cn/new_solver.md: steps, samplers, files, export and YAML take it."""

import importlib.util
import re
from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
import yaml
from mindspore import Tensor, nn

from mindscience_diffuser import Sampler, Scheduler, register_scheduler
from mindscience_diffuser.cli import main
from mindscience_diffuser.export import export_mindir, load_mindir
from mindscience_diffuser.schedulers.base.arguments import takes_arguments
from mindscience_diffuser.schedulers.base.scheduler import REGISTERED, schedulers_by_name
from mindscience_diffuser.schedulers.sigma.solver import SolverScheduler

PAGE = Path(__file__).parents[1] / "docs_cn" / "new_solver.md"
NOISE = np.random.default_rng(0).standard_normal((2, 3, 4)).astype(np.float32)
SPREAD = 0.5
"""Standard deviation of the data."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("outside")
    (code,) = re.findall(r"```python\n(# extrapolated_euler.py\n.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    (folder / "extrapolated_euler.py").write_text(code, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def kind(folder):
    REGISTERED.clear()  # Of the same class on the page, if it ran before.
    spec = importlib.util.spec_from_file_location("extrapolated_euler", folder / "extrapolated_euler.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module.ExtrapolatedEulerScheduler
    REGISTERED.clear()


class Half(nn.Cell):
    def construct(self, x, timestep):
        return x * 0.5


def scheduled(kind, steps=5, **options):
    scheduler = kind(**options)
    scheduler.set_timesteps(steps)
    return scheduler


def on_host(scheduler, noise=None):
    """The last sample of the plan, in float64: with the noise of normal data, or of `noise(x, sigma)` of the input."""
    plan = scheduler.plan_for()
    x = NOISE.astype(np.float64) * scheduler.init_noise_sigma
    states = {**dict.fromkeys(plan.states, 0.0), "sample": x}
    for i, sigma in enumerate(scheduler.sigmas[:-1]):
        given = states["sample"] * plan.input_scale[i]
        output = states["sample"] * sigma / (SPREAD**2 + sigma**2) if noise is None else noise(given)
        results = plan.run(i, **states, output=output)
        states = {name: results[name] for name in states}
    return states["sample"]


def error(scheduler):
    first, last = scheduler.sigmas[[0, -1]]
    exact = NOISE * scheduler.init_noise_sigma * np.sqrt((SPREAD**2 + last**2) / (SPREAD**2 + first**2))
    return np.abs(on_host(scheduler) - exact).max()


def test_it_converges_and_is_euler_without_extrapolation(kind):
    karras = {"use_karras_sigmas": True}
    errors = [error(scheduled(kind, n, **karras)) for n in (80, 160, 320)]
    assert np.log2(np.divide(errors[:-1], errors[1:])).min() > 0.8
    euler = schedulers_by_name()["EulerDiscreteScheduler"]
    plain = on_host(scheduled(euler, 20, **karras))
    np.testing.assert_allclose(on_host(scheduled(kind, 20, gamma=1.0, **karras)), plain, rtol=1e-12)
    assert error(scheduled(kind, 20, gamma=1.5, **karras)) < 0.5 * error(scheduled(euler, 20, **karras))


@pytest.mark.parametrize("method", ["loop", "unrolled", "step"])
def test_a_sampler_runs_it(kind, method):
    expected = on_host(scheduled(kind), lambda given: 0.5 * given)
    for dtype, tolerance in ((ms.float32, 1e-5), (ms.float16, 1e-2)):
        scheduler = scheduled(kind, compute_dtype=dtype)
        start = Tensor(NOISE * scheduler.init_noise_sigma, dtype)
        sample = Sampler(Half(), scheduler, method)(start).asnumpy()
        assert np.linalg.norm(sample - expected) <= tolerance * np.linalg.norm(expected)


def test_steps_are_the_plan(kind):
    scheduler = scheduled(kind)
    x = Tensor(NOISE * scheduler.init_noise_sigma)
    for t in scheduler.timesteps:
        x = scheduler.step(0.5 * scheduler.scale_model_input(x, t), x, t)
    expected = on_host(scheduled(kind), lambda given: 0.5 * given)
    np.testing.assert_allclose(x.asnumpy(), expected, rtol=1e-4, atol=1e-4)


def test_it_is_exported(kind, tmp_path):
    scheduler = scheduled(kind)
    sampler, start = Sampler(Half(), scheduler), Tensor(NOISE * scheduler.init_noise_sigma)
    path = export_mindir(sampler, tmp_path / "outside.mindir", start)
    np.testing.assert_allclose(load_mindir(path)(start).asnumpy(), sampler(start).asnumpy(), atol=1e-5)


def test_its_configuration_is_loaded_by_name(kind, tmp_path):
    kind(gamma=1.7).save_pretrained(tmp_path)
    loaded = Scheduler.from_pretrained(tmp_path)
    assert type(loaded) is kind and loaded.config["gamma"] == 1.7
    assert (
        kind.from_config(schedulers_by_name()["EulerDiscreteScheduler"](beta_end=0.015).config).config["beta_end"]
        == 0.015
    )


def test_yaml_takes_it(kind, folder):
    del kind
    config = {
        "run": "diffusion",
        "output": str(folder / "out"),
        "data": {"name": "Digits"},
        "model": {"name": "PositionalConditionTransformer", "hidden_channels": 16, "layers": 1, "heads": 2},
        "scheduler": {"name": "extrapolated_euler.py:ExtrapolatedEulerScheduler", "gamma": 1.5},
        "training": {"steps": 2, "batch_size": 8, "warmup_steps": 0},
        "sampling": {"num_inference_steps": 3},
    }
    (folder / "run.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    assert main(["train", "--config", str(folder / "run.yaml")]) == 0
    saved = yaml.safe_load((folder / "out" / "train" / "config.yaml").read_text(encoding="utf-8"))
    assert saved["scheduler"]["gamma"] == 1.5


def test_mistakes_are_named(kind):
    with pytest.raises(TypeError, match="'kind' must be a subclass of Scheduler"):
        register_scheduler(Half)
    with pytest.raises(ValueError, match="'kind' is named DDIMScheduler"):
        register_scheduler(type("DDIMScheduler", (kind,), {}))
    with pytest.raises(TypeError, match="'steepness' is no argument that schedulers share: describe it"):
        takes_arguments(steepness=3.0)(SolverScheduler)
    with pytest.raises(ValueError, match="'gamma' must be in"):
        kind(gamma=0.5)
