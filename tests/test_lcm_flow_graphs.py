"""The few-step and flow-matching schedulers inside graphs, in the Sampler and as files."""

import mindspore as ms
import numpy as np
import pytest
from few_step import Scaled, every, run, scheduled, tensor
from mindspore import Tensor, nn

from mindscience_diffuser import Sampler
from mindscience_diffuser.export import export_mindir, load_mindir


@pytest.fixture
def pynative():
    yield
    ms.set_context(mode=ms.PYNATIVE_MODE)


class Stepping(nn.Cell):
    """A scheduler's step as a part of another graph."""

    def __init__(self, scheduler):
        super().__init__()
        self.scheduler = scheduler

    def construct(self, output, sample, timestep, noise):
        return self.scheduler.step(output, sample, timestep, noise=noise)


@pytest.mark.parametrize("name", ["lcm", "euler"])
@pytest.mark.parametrize("mode", [ms.GRAPH_MODE, ms.PYNATIVE_MODE])
def test_step_inside_a_graph_follows_set_timesteps(name, mode, pynative):
    ms.set_context(mode=mode)
    scheduler, x, noise = scheduled(name, 3), tensor(0, 2, 3, 4), tensor(1, 2, 3, 4)
    cell = Stepping(scheduler)
    graph = cell if mode == ms.GRAPH_MODE else ms.jit(cell.construct)
    given = {"noise": noise} if scheduler.stochastic else {}
    for steps in (3, 5):
        scheduler.set_timesteps(steps)
        t = Tensor(scheduler.timesteps[[0, steps - 2]])
        for timestep in (t[1], t):
            inside = graph(0.3 * x, x, timestep, noise).asnumpy()
            np.testing.assert_allclose(inside, scheduler.step(0.3 * x, x, timestep, **given).asnumpy(), atol=2e-6)


def test_per_token_step_inside_a_graph():
    scheduler, x = scheduled("euler"), tensor(0, 2, 5, 4)
    tokens = Tensor(np.tile(np.array([1000.0, 700.0, 334.0, 1.0, 0.0], np.float32), (2, 1)))

    @ms.jit
    def graph(output, sample, timestep, tokens):
        return scheduler.step(output, sample, timestep, tokens)

    eager = scheduler.step(0.3 * x, x, 1000.0, per_token_timesteps=tokens).asnumpy()
    np.testing.assert_allclose(graph(0.3 * x, x, Tensor(1000.0), tokens).asnumpy(), eager, atol=1e-6)


def test_methods_that_remember_are_called_in_pure_form_inside_graphs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # A failed compilation leaves files behind.
    scheduler, x = scheduled("heun"), tensor(0, 2, 3, 4)
    with pytest.raises(ValueError, match="remembers earlier steps"):
        ms.jit(Stepping(scheduler).construct)(x, x, Tensor(1000.0), x)
    sample, base = x, ms.ops.zeros_like(x)
    for i in range(len(scheduler.plan)):
        sample, base = scheduler(0.3 * sample, sample, Tensor(i, ms.int32), base)
    np.testing.assert_allclose(sample.asnumpy(), run(scheduler, x), atol=1e-6)


@every
def test_sampler_agrees_with_eager_steps_also_after_set_timesteps(name):
    scheduler, x = scheduled(name, 2), tensor(0, 2, 3, 4)
    samplers = [Sampler(Scaled(), scheduler, method) for method in ("step", "loop", "unrolled")]
    for steps in (3, 2):
        scheduler.set_timesteps(steps)
        expected = run(scheduler, x)
        given = {"step_noise": ms.ops.stack([tensor(100 + i, 2, 3, 4) for i in range(len(scheduler.plan))])}
        for sampler in samplers if steps == 3 else samplers[:2]:
            result = sampler(x, **(given if scheduler.stochastic else {})).asnumpy()
            np.testing.assert_allclose(result, expected, atol=2e-6 * max(1, np.abs(expected).max()))


def test_sampler_passes_options_of_step_on():
    scheduler, x = scheduled("tcd"), tensor(0, 2, 3, 4)
    deterministic = Sampler(Scaled(), scheduler, "step", eta=0.0)
    assert not deterministic.stochastic
    np.testing.assert_allclose(deterministic(x).asnumpy(), run(scheduler, x, eta=0.0), atol=1e-5)
    churned = Sampler(Scaled(), scheduled("heun"), "step", s_churn=1.0)
    assert churned.stochastic and np.all(np.isfinite(churned(x, generator=0).asnumpy()))


@pytest.mark.parametrize("name", ["lcm", "euler", "heun"])
def test_inpainting_keeps_what_is_known(name):
    sampler = Sampler(Scaled(), scheduled(name), "step", inpaint=True)
    mask = Tensor(np.array([1.0, 0.0, 0.0, 1.0], np.float32))
    known = tensor(1, 2, 3, 4)
    result = sampler(tensor(0, 2, 3, 4), mask=mask, known=known, generator=0).asnumpy()
    np.testing.assert_allclose(result[..., 1:3], known.asnumpy()[..., 1:3], atol=1e-6)
    assert np.abs(result - known.asnumpy())[..., [0, 3]].max() > 0.1


@pytest.mark.parametrize("name", ["lcm", "heun"])
def test_reloaded_trajectory_equals_the_one_in_process(name, tmp_path):
    scheduler, x = scheduled(name), tensor(0, 2, 3, 4)
    sampler = Sampler(Scaled(), scheduler)
    drawn = (tensor(1, len(scheduler.plan), 2, 3, 4),) if scheduler.stochastic else ()
    expected = sampler(x, **dict(zip(("step_noise",), drawn))).asnumpy()
    path = export_mindir(sampler, tmp_path / "sampler.mindir", x, *drawn)
    result = load_mindir(path, plan=sampler.plan)(x, *drawn).asnumpy()
    np.testing.assert_allclose(result, expected, atol=1e-6 * max(1, np.abs(expected).max()))


@pytest.mark.parametrize("name", ["euler", "heun"])
def test_reloaded_step_equals_the_one_in_process(name, tmp_path):
    scheduler, x = scheduled(name), tensor(0, 2, 3, 4)
    inputs = {"model_output": 0.3 * x, "sample": x, "index": Tensor(1, ms.int32)}
    inputs.update({name: tensor(2, 2, 3, 4) for name in scheduler.input_names[3:]})
    path = export_mindir(scheduler, tmp_path / "step.mindir", *inputs.values())
    result, expected = load_mindir(path)(**inputs), scheduler(*inputs.values())
    for one, other in zip(*((item if isinstance(item, (tuple, list)) else [item]) for item in (result, expected))):
        np.testing.assert_allclose(one.asnumpy(), other.asnumpy(), atol=1e-6)


# --- configuration -------------------------------------------------------------------------------------------------
