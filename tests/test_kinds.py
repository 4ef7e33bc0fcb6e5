"""Kinds of faults that may stand anywhere: memory without a bound, mixed pasts, JSON that is none, doubled names."""

import ast
import copy
import json
from pathlib import Path

import numpy as np
import pytest
from compat_examples import example
from mindspore import Tensor, nn

import mindscience_diffuser as md
from mindscience_diffuser import compat
from mindscience_diffuser.export import export_mindir, load_mindir
from mindscience_diffuser.recent import MOST
from mindscience_diffuser.runs.evaluation.features import FeatureStatistics, frechet_distance
from mindscience_diffuser.schedulers.base.scheduler import schedulers_by_name

RNG = np.random.default_rng(0)
SAMPLE = Tensor(RNG.standard_normal((2, 3, 4, 4)).astype(np.float32))
PACKAGE = Path(md.__file__).parent


def scheduled(name):
    scheduler = schedulers_by_name()[name]()
    scheduler.set_timesteps(5)
    return scheduler


def remembering():
    names = [name for name in schedulers_by_name() if not name.startswith(("Pyramid", "RePaint"))]
    return [name for name in names if getattr(schedulers_by_name()[name](), "remembered", 0)]


def step(scheduler, sample, t):
    options = {"noise": SAMPLE * 0.1} if scheduler.plan.stochastic else {}
    return scheduler.step(sample * 0.3, sample, t.item(), **options)


@pytest.mark.parametrize("name", remembering())
def test_two_trajectories_in_turns_are_refused_and_go_well_on_copies(name):
    scheduler, first, second = scheduled(name), SAMPLE, SAMPLE * 0.5
    with pytest.raises(ValueError, match=r"copy.deepcopy\(scheduler\).*restart\(\)"):  # noqa: PT012
        for t in scheduler.timesteps:
            first, second = step(scheduler, first, t), step(scheduler, second, t)
    one, alone, first, second, expected = scheduled(name), scheduled(name), SAMPLE, SAMPLE * 0.5, SAMPLE
    other = copy.deepcopy(one)
    for t in one.timesteps:
        first, second, expected = step(one, first, t), step(other, second, t), step(alone, expected, t)
    np.testing.assert_array_equal(first.asnumpy(), expected.asnumpy())


def test_what_was_made_for_many_options_is_not_kept():
    scheduler = scheduled("DDIMScheduler")
    for eta in np.linspace(0.1, 0.9, 2 * MOST):
        scheduler.step(SAMPLE, SAMPLE, 800, eta=float(eta), noise=SAMPLE)
    assert len(scheduler._eager_plans) == MOST


class Half(nn.Cell):
    in_channels = 4

    def construct(self, x, timestep=None):
        return x * 0.5


def test_a_reloaded_graph_and_a_pipeline_keep_what_was_used_last(tmp_path):
    graph = load_mindir(export_mindir(Half(), tmp_path / "half.mindir", SAMPLE, input_names=["x"]))
    for batch in range(1, MOST + 3):
        x = Tensor(np.ones((batch, 3, 4, 4), np.float32))
        np.testing.assert_array_equal(graph(x).asnumpy(), 0.5)
    assert len(graph._graphs) == MOST
    pipeline = md.DDIMPipeline(Half(), md.DDIMScheduler(), batch_size=1, seq_len=2, num_inference_steps=1)
    for eta in np.linspace(0.1, 0.9, MOST + 2):
        pipeline(eta=float(eta), seed=0, progress=False)
    assert len(pipeline._samplers) == MOST


def not_json(constant):
    raise ValueError(f"{constant} is no JSON")


@pytest.mark.parametrize("kind", [*schedulers_by_name().values(), *(getattr(compat, name) for name in compat.CLASSES)])
def test_a_saved_configuration_is_json_and_loads_again(kind, tmp_path):
    arguments = set(kind.arguments)
    given = {name: float("-inf") for name in ("lambda_min_clipped",) if name in arguments}
    if issubclass(kind, compat.SchedulerMixin):
        given.update(example(kind.__name__))
    if "trained_betas" in arguments:
        given["trained_betas"] = Tensor(np.linspace(0.001, 0.02, 1000).astype(np.float32))
    scheduler = kind(**given)
    scheduler.save_pretrained(tmp_path)
    text = (tmp_path / "scheduler_config.json").read_text(encoding="utf-8")
    json.loads(text, parse_constant=not_json)
    again = kind.from_pretrained(tmp_path)
    for name in arguments - {"compute_dtype", "trained_betas"}:
        first, second = (np.asarray(s.config[name], object).tolist() for s in (scheduler, again))
        assert first == second, name


def test_features_that_are_not_finite_are_named():
    good, bad = FeatureStatistics(np.asarray), FeatureStatistics(np.asarray)
    good.update(RNG.standard_normal((10, 3)))
    bad.update(np.full((10, 3), np.nan))
    with pytest.raises(ValueError, match="'second'.*not finite"):
        frechet_distance(good, bad)


@pytest.mark.parametrize("name", ["EulerDiscreteScheduler", "FlowMatchEulerDiscreteScheduler"])
def test_a_number_that_is_no_timestep_is_told_the_nearest(name):
    scheduler = scheduled(name)
    with pytest.raises(ValueError, match="is the integer 901, .* floats, the nearest of them"):
        scheduler.step(SAMPLE, SAMPLE, 901)


def defined(body):
    """Names of the functions and classes of a module or class, but for setters of properties."""
    named = [node for node in body if isinstance(node, (ast.FunctionDef, ast.ClassDef))]
    return [node.name for node in named if not any("setter" in ast.dump(mark) for mark in node.decorator_list)]


@pytest.mark.parametrize("file", sorted(PACKAGE.rglob("*.py")), ids=lambda file: str(file.relative_to(PACKAGE)))
def test_no_name_is_defined_twice(file):
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for body in [tree.body, *(node.body for node in ast.walk(tree) if isinstance(node, ast.ClassDef))]:
        names = defined(body)
        assert len(names) == len(set(names)), sorted(names)
