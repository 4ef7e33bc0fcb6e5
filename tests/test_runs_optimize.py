"""The ``optimize`` command: a plan for a trained model, from which ``sample`` draws."""

import json
from pathlib import Path

import numpy as np
import pytest

from mindscience_diffuser import (
    DPMSolverMultistepScheduler,
    FlowMatchEulerDiscreteScheduler,
    LearnedScheduler,
    UniPCMultistepScheduler,
    cli,
)
from mindscience_diffuser.runs.commands.compare import with_scheduler
from mindscience_diffuser.runs.commands.optimize import _default_solvers
from mindscience_diffuser.runs.config.load import load_config
from mindscience_diffuser.runs.kinds.models import build_scheduler
from mindscience_diffuser.schedulers.base.conversion import process_difference
from mindscience_diffuser.schedulers.learned.learned import save_learned
from mindscience_diffuser.training.plans.optimize import _label

CONFIG = Path(__file__).parents[1] / "configs" / "digits_ddim.yaml"
FEW = ["weights=digits_ddim", "sampling.guidance_scale=1", "sampling.per_class=1", "metrics.reference_draws=1"]
PLAN = ["optimize.num_inference_steps=2", "optimize.teacher_steps=12", "optimize.iterations=3", "optimize.samples=8"]
SIZES = ["optimize.held_out=8", "optimize.batch_size=8"]
SOLVER = "optimize.solvers=[{name: DPMSolverMultistepScheduler, solver_order: 1}]"


def run(command, folder, *overrides):
    return cli.main([command, "--config", str(CONFIG), f"output={folder}", *FEW, *overrides])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("optimize")
    assert run("optimize", folder, *PLAN, *SIZES, SOLVER) == 0
    return folder / "optimize" / "2"


def test_plan_figures_and_picture_are_written(folder):
    scheduler = LearnedScheduler.from_pretrained(folder, prediction_type="v_prediction")
    assert scheduler.num_inference_steps == 2
    figures = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    assert figures["distance"] <= figures["distance_of_solvers"]["DPMSolverMultistepScheduler order 1"] * (1 + 1e-6)
    assert {"frechet_distance_of_pixels", "recall"} <= figures["best_solver"].keys() & figures["learned"].keys()
    assert (folder / "times.png").read_bytes().startswith(b"\x89PNG")


def test_samples_are_drawn_by_the_plan(folder, tmp_path):
    learned = f"scheduler={{name: LearnedScheduler, folder: {folder}}}"
    steps = ["sampling.num_inference_steps=2", "sampling.step={}"]
    assert run("sample", tmp_path, learned, *steps) == 0
    images = np.load(tmp_path / "sample" / "samples.npz")["images"]
    assert images.shape == (10, 8, 8)
    assert np.all(np.isfinite(images))


def test_another_number_of_steps_is_refused(folder, tmp_path, capsys):
    learned = f"scheduler={{name: LearnedScheduler, folder: {folder}}}"
    assert run("sample", tmp_path, learned, "sampling.num_inference_steps=3", "sampling.step={}") == 2
    assert "was learned for 2 steps" in capsys.readouterr().err


def other_plan(folder, **arguments):
    solver = DPMSolverMultistepScheduler(beta_schedule="squaredcos_cap_v2", **arguments)
    solver.set_timesteps(2)
    save_learned(folder, solver, solver.plan, 1.0)
    return f"scheduler={{name: LearnedScheduler, folder: {folder}}}"


@pytest.mark.parametrize("command", ["sample", "sweep", "export"])
def test_samples_are_not_drawn_by_the_plan_of_another_prediction(command, tmp_path, capsys):
    learned = other_plan(tmp_path / "plan", prediction_type="epsilon")
    steps = ["sampling.num_inference_steps=2", "sampling.step={}", "sweep.num_inference_steps=[2]"]
    assert run(command, tmp_path, learned, *steps) == 2
    assert "'prediction_type' is 'v_prediction', but the plan of" in capsys.readouterr().err


def test_a_plan_of_one_length_is_no_teacher(tmp_path, capsys):
    learned = other_plan(tmp_path / "plan", prediction_type="v_prediction")
    steps = ["sampling.num_inference_steps=2", "sampling.step={}"]
    assert run("optimize", tmp_path, learned, *steps, *PLAN, *SIZES, SOLVER) == 2
    assert "the teacher, refuses 'optimize.teacher_steps'" in capsys.readouterr().err


def test_a_comparison_refuses_the_plan_of_another_process(folder, tmp_path, capsys):
    learned = f"compare.schedulers=[{{name: LearnedScheduler, folder: {folder}}}]"
    steps = ["compare.num_inference_steps=[2]", "sampling.step={}"]
    assert run("compare", tmp_path, learned, *steps, "scheduler.prediction_type=epsilon") == 2
    assert "'prediction_type' is 'epsilon', but the plan of" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("optimize.num_inference_steps=20", "'num_inference_steps' is 20, but the teacher itself makes 12"),
        ("optimize.solvers=[{name: HeunDiscreteScheduler}]", "calls the model more than once a step"),
        ("optimize.learn=weights", "'optimize.learn'"),
        ("sampling.step={eta: 0.5}", "a plan is fitted to a teacher without options"),
    ],
)
def test_bad_values_are_refused(tmp_path, capsys, override, message):
    assert run("optimize", tmp_path, *PLAN, *SIZES, SOLVER, override) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("config", "teacher"),
    [
        ("digits_flow", {"name": "FlowMatchHeunDiscreteScheduler", "shift": 3.0}),
        ("digits_flow", {"name": "UniPCMultistepScheduler", "use_flow_sigmas": True, "flow_shift": 2.0}),
        ("digits_ddim", {"name": "UniPCMultistepScheduler", "use_karras_sigmas": True}),
        ("digits_ddim", {"name": "DPMSolverMultistepScheduler", "use_exponential_sigmas": True}),
        ("digits_ddim", {"name": "EulerDiscreteScheduler", "sigma_schedule": "kl_optimal"}),
        ("north_america", {"name": "EDMEulerScheduler", "sigma_schedule": "exponential"}),
    ],
)
def test_solvers_to_begin_with_follow_the_process_of_the_teacher_and_space_differently(config, teacher):
    flow = {"prediction_type": "flow_prediction"} if "use_flow_sigmas" in teacher else {}
    config = load_config(CONFIG.with_name(f"{config}.yaml"), [f"scheduler={json.dumps({**teacher, **flow})}"])
    base = build_scheduler(config)
    solvers = [build_scheduler(with_scheduler(config, component, base)) for component in _default_solvers(base)]
    for solver in solvers:
        solver.set_timesteps(6)
        assert process_difference(solver, base) is None
    assert len({solver.plan.fingerprint for solver in solvers}) == len(solvers)
    assert len({_label(solver) for solver in solvers}) == len(solvers)


def test_a_flow_has_the_same_solvers_to_begin_with_whichever_class_follows_it():
    flow = {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}
    teachers = FlowMatchEulerDiscreteScheduler(), UniPCMultistepScheduler(**flow)
    first, second = ([(c.name, c.arguments) for c in _default_solvers(teacher)] for teacher in teachers)
    assert first == second
