"""The ``compare`` command: one report of several schedulers on one model."""

import base64
import json
import re
from pathlib import Path

import pytest

from mindscience_diffuser import cli
from mindscience_diffuser.runs.commands.compare import with_scheduler
from mindscience_diffuser.runs.config.load import load_config
from mindscience_diffuser.runs.config.schema import Component
from mindscience_diffuser.runs.errors import ConfigError
from mindscience_diffuser.runs.kinds.models import build_scheduler
from mindscience_diffuser.schedulers.base.conversion import process_difference

CONFIG = Path(__file__).parents[1] / "configs" / "compare.yaml"
FEW = ["compare.num_inference_steps=[2, 3]", "sampling.per_class=1", "metrics.reference_draws=1"]
TWO = (
    "compare.schedulers=[{name: EulerDiscreteScheduler, sigma_schedule: kl_optimal}, "
    "{name: EulerDiscreteScheduler, use_karras_sigmas: true}]"
)


def run(folder, *overrides):
    return cli.main(["compare", "--config", str(CONFIG), f"output={folder}", *FEW, *overrides])


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compare")
    assert run(folder, TWO) == 0
    return folder / "compare"


def test_report_holds_its_pictures_and_refers_to_nothing(report):
    page = (report / "report.html").read_text(encoding="utf-8")
    pictures = re.findall(r'src="data:image/png;base64,([^"]+)"', page)
    assert len(pictures) == 2
    assert all(base64.b64decode(picture).startswith(b"\x89PNG") for picture in pictures)
    # The colon and the slashes: the letters alone may stand in the text of a picture.
    assert "http:" not in page and "https:" not in page


def test_every_scheduler_is_measured_at_every_number_of_steps(report):
    rows = json.loads((report / "metrics.json").read_text(encoding="utf-8"))
    assert [(row["scheduler"], row["num_inference_steps"], row["calls"]) for row in rows] == [
        ("EulerDiscrete sigma_schedule=kl_optimal", 2, 2),
        ("EulerDiscrete sigma_schedule=kl_optimal", 3, 3),
        ("EulerDiscrete use_karras_sigmas", 2, 2),
        ("EulerDiscrete use_karras_sigmas", 3, 3),
    ]
    table = (report / "report.html").read_text(encoding="utf-8")
    assert all(f"<td>{row['precision']['samples']:.3f}</td>" in table for row in rows)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("compare.schedulers=[]", "'compare.schedulers' is empty"),
        ("compare.schedulers=[{name: Eule}]", "unknown scheduler 'Eule' at 'compare.schedulers[0].name'"),
        ("compare.schedulers=[{name: EulerDiscreteScheduler, use_karas_sigmas: true}]", "use_karas_sigmas"),
    ],
)
def test_bad_values_are_refused(tmp_path, capsys, override, message):
    assert run(tmp_path, override) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def beside(config, own, other):
    """Returns the run's own scheduler and another one that is compared with it."""
    config = load_config(CONFIG.with_name(f"{config}.yaml"), [f"scheduler={json.dumps(own)}"])
    component = Component(**other)
    component.place_at("compare.schedulers[0]")
    base = build_scheduler(config)
    return base, build_scheduler(with_scheduler(config, component, base))


@pytest.mark.parametrize(
    ("own", "other", "expected"),
    [
        # How a method draws its noise is its own, what the model predicts is not.
        ({"name": "DDPMScheduler", "variance_type": "fixed_large"}, "DPMSolverMultistep", {"variance_type": None}),
        ({"name": "DDPMScheduler"}, "DPMSolverSinglestep", {"variance_type": None}),
        ({"name": "DDPMScheduler", "variance_type": "learned_range"}, "SASolver", {"variance_type": "learned_range"}),
        ({"name": "DDPMScheduler", "variance_type": "fixed_large"}, "DDPMParallel", {"variance_type": "fixed_large"}),
        ({"name": "SASolverScheduler"}, "DPMSolverMultistep", {"algorithm_type": "dpmsolver++"}),
        ({"name": "SEEDSScheduler"}, "DPMSolverMultistep", {"eta": None}),
        ({"name": "UniPCMultistepScheduler", "solver_order": 5}, "DPMSolverMultistep", {"solver_order": 2}),
        ({"name": "DDIMScheduler", "beta_end": 0.01}, "CogVideoXDDIM", {"snr_shift_scale": 1.0, "beta_end": 0.01}),
    ],
)
def test_a_scheduler_takes_of_the_runs_own_one_what_means_the_same_to_it(own, other, expected):
    base, scheduler = beside("digits_ddim", own, {"name": f"{other}Scheduler"})
    assert process_difference(base, scheduler) is None
    assert {name: scheduler.config[name] for name in expected} == expected


def test_a_flow_keeps_its_shift_and_needs_no_further_arguments():
    own = {"name": "FlowMatchEulerDiscreteScheduler", "shift": 3.0}
    _, scheduler = beside("digits_flow", own, {"name": "UniPCMultistepScheduler"})
    assert (scheduler.config.flow_shift, scheduler.config.use_flow_sigmas) == (3.0, True)


def test_a_stochastic_algorithm_that_is_asked_for_adds_noise_after_a_method_without():
    other = {"name": "DPMSolverMultistepScheduler", "algorithm_type": "sde-dpmsolver++"}
    _, scheduler = beside("digits_ddim", {"name": "UniPCMultistepScheduler"}, other)
    scheduler.set_timesteps(3)
    assert scheduler.plan.stochastic


def test_the_law_of_noise_of_a_run_reaches_every_scheduler():
    config = load_config(CONFIG.with_name("north_america.yaml"), ["noise={name: StudentTNoise, nu: 4}"])
    component = Component(name="EDMEulerScheduler")
    component.place_at("compare.schedulers[0]")
    scheduler = build_scheduler(with_scheduler(config, component, build_scheduler(config)))
    assert scheduler.config.noise_variance == 2.0


@pytest.mark.parametrize(
    ("config", "own", "other", "message"),
    [
        ("ddim", {"name": "CogVideoXDDIMScheduler"}, {"name": "DDIMScheduler"}, "does not follow.*share of the clean"),
        (
            "ddim",
            {"name": "DDIMScheduler", "prediction_type": "v_prediction"},
            {"name": "RePaintScheduler"},
            "does not follow.*'prediction_type' is 'epsilon', not 'v_prediction'",
        ),
        (
            "ddim",
            {"name": "DDIMScheduler"},
            {"name": "DDIMScheduler", "num_train_timesteps": 500},
            "does not follow.*'num_train_timesteps' is 500, not 1000",
        ),
        (
            "flow",
            {"name": "FlowMatchEulerDiscreteScheduler"},
            {"name": "DDIMScheduler"},
            "cannot follow.*prediction_type='flow_prediction'",
        ),
    ],
)
def test_a_scheduler_of_another_noise_process_than_the_runs_own_one_is_refused(config, own, other, message):
    with pytest.raises(ConfigError, match=rf"compare.schedulers\[0\].*{message}"):
        beside(f"digits_{config}", own, other)
