"""Flow-matching and distillation runs from end to end on tiny models, and the weights of theirs that are shipped."""

import itertools
import json

import numpy as np
import pytest
import yaml
from safetensors.numpy import load_file

from mindscience_diffuser.cli import main
from mindscience_diffuser.runs.config.load import load_config
from mindscience_diffuser.runs.data.dataset import build_data
from mindscience_diffuser.runs.kinds.kind import kind_of
from mindscience_diffuser.runs.kinds.models import build_model, build_scheduler

COMMON = {
    "data": {"name": "Digits", "patch_height": 4, "patch_width": 4},
    "model": {"name": "PositionalConditionTransformer", "hidden_channels": 16, "layers": 1, "heads": 2},
    "training": {"steps": 3, "batch_size": 16, "warmup_steps": 1, "learning_rate": 0.01},
    "sampling": {"per_class": 1, "num_inference_steps": 2, "guidance_scale": 1.5},
    "metrics": {"reference_draws": 1},
}
DDIM = {"name": "DDIMScheduler", "prediction_type": "v_prediction", "timestep_spacing": "trailing"}
FLOW = {"run": "flow_matching", **COMMON, "scheduler": {"name": "FlowMatchEulerDiscreteScheduler"}}
LCM = {
    "run": "consistency_distillation",
    **COMMON,
    "model": {**COMMON["model"], "name": "GuidanceDiffusionTransformer"},
    "scheduler": {"name": "LCMScheduler", "beta_schedule": "squaredcos_cap_v2", "prediction_type": "v_prediction"}
    | {"beta_start": 0.0001, "beta_end": 0.02},
}

PYRAMID = {
    "run": "pyramid_flow",
    **COMMON,
    "data": {"name": "Digits", "patch_height": 1, "patch_width": 1},
    "model": {**COMMON["model"], "name": "PatchDiffusionTransformer"},
    "scheduler": {"name": "PyramidFlowMatchEulerDiscreteScheduler", "stages": 2, "stage_range": [0, 0.5, 1]},
    "sampling": {**COMMON["sampling"], "num_inference_steps": [1, 2]},
}


def write(directory, name, content):
    path = directory / f"{name}.yaml"
    path.write_text(yaml.safe_dump({"output": str(directory / name), **content}), encoding="utf-8")
    return path


def run(command, path, *overrides):
    assert main([command, "--config", str(path), *overrides]) == 0


def refusal(command, path, capsys, *overrides):
    """Runs a command that must be refused, and returns the one line that it says."""
    assert main([command, "--config", str(path), *overrides]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


@pytest.fixture(scope="module")
def configs(tmp_path_factory):
    """Configuration files of trained tiny models by kind of run; the last one learnt from the one before."""
    directory = tmp_path_factory.mktemp("runs")
    paths = {"flow_matching": write(directory, "flow", FLOW)}
    run("train", paths["flow_matching"])
    paths["pyramid_flow"] = write(directory, "pyramid", PYRAMID)
    run("train", paths["pyramid_flow"])
    paths["diffusion"] = write(directory, "ddim", {**COMMON, "scheduler": DDIM})
    run("train", paths["diffusion"])
    teacher = {"teacher": str(directory / "ddim" / "train" / "config.yaml")}
    paths["consistency_distillation"] = write(directory, "lcm", {**LCM, **teacher})
    run("train", paths["consistency_distillation"])
    return paths


KINDS = ("flow_matching", "consistency_distillation", "pyramid_flow")


def output_of(path):
    return path.parent / path.stem


@pytest.mark.parametrize("kind", KINDS)
def test_train_writes_what_every_run_writes(configs, kind):
    directory = output_of(configs[kind]) / "train"
    by_level = {"loss_by_level.csv", "loss_by_level.png"} if kind == "flow_matching" else set()
    assert {path.name for path in directory.iterdir()} == {
        "weights.safetensors",
        "config.yaml",
        "metrics.json",
        "loss.png",
        "samples.png",
        *by_level,
    }
    figures = json.loads((directory / "metrics.json").read_text(encoding="utf-8"))
    assert np.isfinite(figures["training"]["mean_loss_of_last_tenth"])


@pytest.mark.parametrize("kind", KINDS)
def test_batch_depends_on_seed_and_step_only(configs, kind):
    config = load_config(configs[kind])
    batches = kind_of(config).objective(config).batches
    third = batches.batch(3)
    batches.batch(7)
    again = kind_of(config).objective(config).batches
    for array, other in zip(third, again.batch(3)):
        np.testing.assert_array_equal(array, other)
    assert (third[2] != batches.batch(4)[2]).any()


def test_distillation_starts_from_the_teacher_and_trains_the_guidance(configs):
    config = load_config(configs["consistency_distillation"])
    teacher = load_file(output_of(configs["diffusion"]) / "train" / "weights.safetensors")
    start = {p.name: p.asnumpy() for p in kind_of(config).objective(config).model.get_parameters()}
    assert set(start) - set(teacher) == {"guidance_proj.weight"}
    assert not start["guidance_proj.weight"].any()
    for name, weight in teacher.items():
        np.testing.assert_array_equal(start[name], weight)
    trained = load_file(output_of(configs["consistency_distillation"]) / "train" / "weights.safetensors")
    assert all((trained[name] != start[name]).any() for name in ("guidance_proj.weight", "output_proj.weight"))


def test_distillation_batches_hold_its_timesteps_and_scales_in_the_range(configs):
    config = load_config(configs["consistency_distillation"], ["training.batch_size=500"])
    _, _, timesteps, condition, scales = kind_of(config).objective(config).batches.batch(0)
    assert set(timesteps) == set(range(19, 1000, 20))
    assert 1 <= scales.min() < 1.05 and 2.95 < scales.max() <= 3
    np.testing.assert_array_equal(condition.sum(axis=1), 1)


@pytest.mark.parametrize(("kind", "dtype"), list(zip(KINDS, itertools.cycle(["float32", "float16"]))))
def test_samples_of_the_exported_graph_are_those_of_the_model(configs, tmp_path, kind, dtype):
    resolved = output_of(configs[kind]) / "train" / "config.yaml"
    common = [f"sampling.compute_dtype={dtype}"]
    run("sample", resolved, f"output={tmp_path / 'own'}", *common)
    run("export", resolved, f"output={tmp_path}", *common)
    exported = f"sampling.exported={tmp_path / 'export' / 'sampler.mindir'}"
    run("sample", resolved, f"output={tmp_path / 'graph'}", exported, *common)
    own, graph = (np.load(tmp_path / name / "sample" / "samples.npz")["images"] for name in ("own", "graph"))
    assert np.isfinite(own).all()
    np.testing.assert_allclose(graph, own, atol=1e-5 if dtype == "float32" else 2e-2)


def test_sweep_measures_every_number_of_steps_and_the_models_beside(configs, tmp_path):
    beside = output_of(configs["diffusion"]) / "train" / "config.yaml"
    resolved = output_of(configs["consistency_distillation"]) / "train" / "config.yaml"
    run(
        "sweep",
        resolved,
        f"output={tmp_path / 'lcm'}",
        "sweep.num_inference_steps=[1,3]",
        f"sweep.beside=[{beside}]",
    )
    directory = tmp_path / "lcm" / "sweep"
    assert {path.name for path in directory.iterdir()} == {"curves.png", "metrics.json", "config.yaml"}
    curves = json.loads((directory / "metrics.json").read_text(encoding="utf-8"))
    assert list(curves) == ["lcm, LCMScheduler", "ddim, DDIMScheduler"]
    for points in curves.values():
        assert [point["num_inference_steps"] for point in points] == [1, 3]
        assert {"class_accuracy", "precision", "recall"} <= set(points[0])
        assert points[1]["model_flops_per_sample"] == 3 * points[0]["model_flops_per_sample"]


@pytest.mark.parametrize(
    ("kind", "overrides", "message"),
    [
        (
            "flow_matching",
            ["scheduler.name=DDIMScheduler"],
            "DDIMScheduler at 'scheduler' does not suit a run of the kind 'flow_matching'",
        ),
        (
            "flow_matching",
            ["model.name=GuidanceDiffusionTransformer"],
            "takes (x, timestep, condition, guidance_scale) and the data",
        ),
        ("flow_matching", ["training.density=normal"], "'training.density' must be 'uniform', 'logit_normal'"),
        ("flow_matching", ["training.mode_scale=2"], "'mode_scale' must be in"),
        ("flow_matching", ["training.shift=0"], "'training.shift' must be a finite number above 0"),
        ("flow_matching", ["scheduler.use_dynamic_shifting=true"], "'mu' must be given"),
        (
            "diffusion",
            ["scheduler={name: FlowMatchEulerDiscreteScheduler}"],
            "does not suit a run of the kind 'diffusion': it has no betas",
        ),
        ("consistency_distillation", ["scheduler={name: DDIMScheduler}"], "it has no timesteps of a distillation"),
        ("consistency_distillation", ["scheduler.name=TCDScheduler"], "'scheduler' must be an LCMScheduler"),
        (
            "consistency_distillation",
            ["model.name=PositionalConditionTransformer"],
            "and the data give 2 conditions",
        ),
        ("consistency_distillation", ["scheduler.beta_end=0.5", "scheduler.beta_schedule=linear"], "the betas and the"),
        ("consistency_distillation", ["scheduler.prediction_type=sample"], "the prediction_type of the teacher"),
        ("consistency_distillation", ["data.patch_height=8"], "'data' must be that of the teacher"),
        ("consistency_distillation", ["model.hidden_channels=8"], "'model' must have the weights of the teacher"),
        ("consistency_distillation", ["teacher=nowhere.yaml"], "'nowhere.yaml' does not exist"),
        (
            "consistency_distillation",
            ["training.guidance_range=[3, 1]"],
            "'training.guidance_range' must be [low, high]",
        ),
        ("consistency_distillation", ["sampling.guidance_rescale=0.5"], "'sampling.guidance_rescale' must not be set"),
        (
            "pyramid_flow",
            ["scheduler={name: FlowMatchEulerDiscreteScheduler}"],
            "it has no stages, as PyramidFlowMatchEulerDiscreteScheduler has them",
        ),
        ("pyramid_flow", ["model.name=PositionalConditionTransformer"], "fails on samples, timesteps and conditions"),
        ("pyramid_flow", ["data.patch_width=2"], "'patch_width' must be 1 where samples are images"),
        ("pyramid_flow", ["scheduler.gamma=0.5"], "'gamma' must be in (0, 1/3]"),
        ("pyramid_flow", ["scheduler.stages=3"], "'stage_range' must have stages + 1 = 4 numbers"),
        ("pyramid_flow", ["sampling.num_inference_steps=[1,2,3]"], "must have one number for each of 2 stages"),
        ("pyramid_flow", ["sampling.num_inference_steps=0"], "'sampling.num_inference_steps"),
        ("pyramid_flow", ["sampling.step={eta: 1.0}"], "unknown key 'sampling.step.eta'"),
        ("pyramid_flow", ["training.sample_ratios=[1]"], "'sample_ratios' must have one part for each of 2 stages"),
        ("pyramid_flow", ["training.batch_size=15"], "'training.batch_size' must be a multiple of 2"),
    ],
)
def test_bad_value_is_named_before_anything_is_written(configs, tmp_path, capsys, kind, overrides, message):
    assert message in refusal("train", configs[kind], capsys, f"output={tmp_path / 'out'}", *overrides)
    assert not (tmp_path / "out").exists()


def test_teacher_of_another_kind_is_refused(configs, capsys):
    teacher = output_of(configs["flow_matching"]) / "train" / "config.yaml"
    line = refusal("train", configs["consistency_distillation"], capsys, f"teacher={teacher}")
    assert "'teacher' must be a model of the kind 'diffusion'" in line


def test_weights_of_the_other_transformer_are_told_apart(configs, tmp_path, capsys):
    other = {**COMMON, "model": {**COMMON["model"], "name": "ConditionDiffusionTransformer"}, "scheduler": DDIM}
    teacher = write(tmp_path, "published", other)
    weights = output_of(configs["diffusion"]) / "train" / "weights.safetensors"
    line = refusal("sample", teacher, capsys, f"weights={weights}")
    assert "those of a PositionalConditionTransformer: name that at 'model'" in line


def test_cost_counts_the_tokens_of_every_stage_and_guidance_twice(configs):
    """What the model does in one call at each resolution, times the steps there."""
    costs = {}
    for kind in ("pyramid_flow", "flow_matching", "consistency_distillation"):
        config = load_config(configs[kind])
        data, scheduler = build_data(config), build_scheduler(config)
        model = build_model(config, data)
        costs[kind] = kind_of(config).flops(config, data, scheduler, model)
        if kind == "pyramid_flow":
            assert costs[kind] == 2 * (model.flops(4, 4) + 2 * model.flops(8, 8))
            assert model.flops(8, 8) == model.transformer.flops(16)
        else:
            assert costs[kind] == (2 if kind == "flow_matching" else 1) * 2 * model.flops(4)
    trained = json.loads((output_of(configs["pyramid_flow"]) / "train" / "metrics.json").read_text(encoding="utf-8"))
    assert trained["samples"]["model_flops_per_sample"] == costs["pyramid_flow"]


def test_exported_file_cannot_be_swept(configs, capsys):
    line = refusal("sweep", configs["flow_matching"], capsys, "sampling.exported=sampler.mindir")
    assert "an exported file has one number of steps" in line
