"""The ``compare`` command: one report of several schedulers on one model."""

import base64
import json
import re
from pathlib import Path

import pytest

from mindscience_diffuser import cli

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
