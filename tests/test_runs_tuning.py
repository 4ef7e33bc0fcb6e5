"""Runs of flow maps and of consistency models without a teacher, from end to end on tiny models."""

import json

import numpy as np
import pytest
from mindspore import Tensor
from safetensors.numpy import load_file
from test_runs_few_step import COMMON, FLOW, output_of, refusal, run, write

from mindscience_diffuser.runs.config.load import load_config
from mindscience_diffuser.runs.kinds.kind import kind_of

SAMPLING = {"per_class": 1, "num_inference_steps": 2}
MEAN_FLOW = {
    "run": "mean_flow",
    **COMMON,
    "model": {**COMMON["model"], "name": "FlowMapTransformer"},
    "scheduler": {"name": "FlowMapEulerDiscreteScheduler"},
    "sampling": SAMPLING,
}
TUNING = {
    "run": "consistency_tuning",
    **COMMON,
    "scheduler": {"name": "CMStochasticIterativeScheduler", "sigma_max": 20.0},
    "training": {**COMMON["training"], "stage_steps": 2},
    "sampling": SAMPLING,
}
KINDS = ("mean_flow", "consistency_tuning")


@pytest.fixture(scope="module")
def configs(tmp_path_factory):
    """Configuration files of trained tiny models by kind of run; the flow map began with the flow."""
    directory = tmp_path_factory.mktemp("runs")
    paths = {"flow_matching": write(directory, "flow", FLOW)}
    run("train", paths["flow_matching"])
    teacher = {"teacher": str(directory / "flow" / "train" / "config.yaml")}
    paths["mean_flow"] = write(directory, "mean_flow", {**MEAN_FLOW, **teacher})
    paths["consistency_tuning"] = write(directory, "tuning", TUNING)
    for kind in KINDS:
        run("train", paths[kind])
    return paths


@pytest.mark.parametrize("kind", KINDS)
def test_training_writes_weights_and_figures(configs, kind):
    directory = output_of(configs[kind]) / "train"
    written = {"weights.safetensors", "config.yaml", "metrics.json", "loss.png", "samples.png"}
    assert {path.name for path in directory.iterdir()} == written
    figures = json.loads((directory / "metrics.json").read_text(encoding="utf-8"))
    assert np.isfinite(figures["training"]["mean_loss_of_last_tenth"])


def test_a_flow_map_begins_with_the_flow_and_learns_the_duration(configs):
    flow = load_file(output_of(configs["flow_matching"]) / "train" / "weights.safetensors")
    config = load_config(configs["mean_flow"])
    begun = {p.name: p.asnumpy() for p in kind_of(config).objective(config).model.get_parameters()}
    assert set(begun) - set(flow) == {"duration_proj.weight"}
    for name, weight in flow.items():
        np.testing.assert_array_equal(begun[name], weight)
    trained = load_file(output_of(configs["mean_flow"]) / "train" / "weights.safetensors")
    assert all((trained[name] != begun[name]).any() for name in ("duration_proj.weight", "output_proj.weight"))


def test_batches_hold_two_levels_of_each_sample(configs):
    for kind in KINDS:
        config = load_config(configs[kind], ["training.batch_size=200"])
        batches = kind_of(config).objective(config).batches
        t, r = batches.batch(2).levels.T
        assert np.all(r <= t)
        if kind == "consistency_tuning":
            np.testing.assert_allclose(batches.batch(1).levels[:, 1], 0.002)
            assert np.mean(r > 0.0021) > 0.1
        else:
            assert np.mean(r < t) == pytest.approx(0.25, abs=0.12)


@pytest.mark.parametrize("begun", [[], ["teacher=null", "training.guidance_mix=0.5"]])
def test_a_guided_flow_map_learns_another_velocity(configs, begun):
    losses = []
    for scale in (1, 3):
        overrides = [f"training.guidance_scale={scale}", "training.adaptive_power=0", "training.interval_share=0"]
        config = load_config(configs["mean_flow"], [*begun, *overrides])
        objective = kind_of(config).objective(config)
        losses.append(float(objective.loss(*map(Tensor, objective.batches.batch(1)))))
    assert abs(losses[1] - losses[0]) > 1e-3 * losses[0]


def test_samples_of_the_exported_graph_are_those_of_the_model(configs, tmp_path):
    resolved = output_of(configs["mean_flow"]) / "train" / "config.yaml"
    run("sample", resolved, f"output={tmp_path / 'own'}")
    run("export", resolved, f"output={tmp_path}")
    exported = f"sampling.exported={tmp_path / 'export' / 'sampler.mindir'}"
    run("sample", resolved, f"output={tmp_path / 'graph'}", exported)
    own, graph = (np.load(tmp_path / name / "sample" / "samples.npz")["images"] for name in ("own", "graph"))
    np.testing.assert_allclose(graph, own, atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "overrides", "message"),
    [
        (
            "mean_flow",
            ["scheduler={name: FlowMatchEulerDiscreteScheduler}"],
            "it does not tell the model both ends of a step, as FlowMapEulerDiscreteScheduler does",
        ),
        ("mean_flow", ["model.name=PositionalConditionTransformer"], "fails on samples, timesteps and conditions"),
        ("mean_flow", ["teacher=digits_ddim"], "'teacher' must be a model of the kind 'flow_matching'"),
        ("mean_flow", ["model.hidden_channels=8"], "'model' must have the weights of the teacher"),
        ("mean_flow", ["data.patch_height=8"], "'data' must be that of the teacher"),
        ("mean_flow", ["training.interval_share=2"], "'training.interval_share' must be"),
        (
            "mean_flow",
            ["teacher=null", "training.guidance_scale=2", "training.condition_dropout=0"],
            "the model never learns what is there without a condition",
        ),
        ("mean_flow", ["training.guidance_scale=2", "training.guidance_interval=[0.5, 2]"], "'guidance_interval' must"),
        ("flow_matching", ["scheduler={name: FlowMapEulerDiscreteScheduler}"], "does not suit a run of the kind"),
        (
            "consistency_tuning",
            ["scheduler={name: DDIMScheduler}"],
            "it has no consistency function of the noise level",
        ),
        ("consistency_tuning", ["training.q=1"], "'training.q' must be"),
    ],
)
def test_bad_value_is_named_before_anything_is_written(configs, tmp_path, capsys, kind, overrides, message):
    assert message in refusal("train", configs[kind], capsys, f"output={tmp_path / 'out'}", *overrides)
    assert not (tmp_path / "out").exists()
