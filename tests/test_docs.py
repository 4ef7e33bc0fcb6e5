"""The Chinese documentation says nothing untrue: its code runs, its signatures, links and tables are those of the code.

Every fenced block of README_CN.md and docs_cn/ is exercised. The Python blocks of a page run in order in one module;
a YAML block is a whole configuration, of which data, model and scheduler are built; the commands of a page run in
order in one directory, shrunk to a few steps; a text block that names a class or method is its signature.
"""

import argparse
import importlib.metadata
import importlib.util
import inspect
import json
import pkgutil
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from mindspore import dtype as mstype

import mindscience_diffuser
from mindscience_diffuser import cli
from mindscience_diffuser.runs.config.components import build
from mindscience_diffuser.runs.config.load import load_config
from mindscience_diffuser.runs.config.registry import REGISTRY, lookup
from mindscience_diffuser.runs.data.dataset import build_data
from mindscience_diffuser.runs.kinds.films.world_model import build_world_model
from mindscience_diffuser.runs.kinds.kind import kind_of
from mindscience_diffuser.runs.kinds.models import build_model, build_scheduler
from mindscience_diffuser.runs.storage.weights import shipped_file, shipped_weights

ROOT = Path(__file__).parents[1]
API = ROOT / "docs_cn" / "api"
PAGES = [ROOT / "README_CN.md", *sorted((ROOT / "docs_cn").rglob("*.md"))]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)\s]*)?\)")
LANGUAGES = {"python", "yaml", "bash", "text"}

FEW_STEPS = {
    "optimize": [
        *("optimize.num_inference_steps=2", "optimize.teacher_steps=12", "optimize.iterations=2", "optimize.samples=8"),
        *("optimize.held_out=8", "optimize.batch_size=8", "optimize.solvers=[{name: DPMSolverMultistepScheduler}]"),
    ],
    "train": ["training.steps=2", "training.batch_size=8", "training.warmup_steps=1"],
    "sample": [],
    "sweep": ["sweep.num_inference_steps=[1]"],
    "compare": ["compare.num_inference_steps=[2]"],
    "export": [],
}
FEW_SAMPLES = ["sampling.per_class=1", "sampling.num_inference_steps=2", "metrics.reference_draws=1"]
FEW_OF_ONES_OWN = ["sampling.samples=4", "sampling.num_inference_steps=2"]
FEW_FRAMES = ["data.train_films=1", "data.train_frames=8", "rollout.films=2", "rollout.frames=2"]
FEW_ASSIMILATED = [
    *("data.train_films=3", "data.train_frames=8", "filter.members=2", "observations.every=1"),
    *("rollout.films=2", "rollout.frames=2", "rollout.num_steps_denoising=1"),
]
OF_FILMS = ("world_model", "forecast", "assimilation")
FEW_FORECAST = [
    *("data.train_films=2", "data.train_frames=8", "forecast.films=2", "forecast.frames=2", "forecast.members=2"),
]
FORECAST = "stirred_flow_forecast.metrics.json"
FORECASTS = {
    "ensemble": "集合",
    "climatology": "气候态",
    "persistence": "持续性",
    "deterministic model": "确定性模型",
}
SCORES = {
    "CRPS": "CRPS",
    "root mean square error": "均方根误差",
    "spread over error": "离散与误差之比",
    "correlation": "相关系数",
    "error of the spectrum": "能谱误差",
}
FEW_FIELDS = ["data.held_out_years=1", "sampling.samples=2", "sampling.num_inference_steps=1"]
FEW_YEARS = ["sampling.samples=90", "sampling.batch_size=90", "sampling.shard_size=90"]
SMALL_MODEL = ["model.layers=1", "model.hidden_channels=16", "model.heads=2"]
SMALL_OPERATOR = ["model.layers=1", "model.hidden_channels=4"]
SMALL_UNET = ["model.hidden_channels=4", "model.multipliers=[1]", "model.attention=[]"]


class Block(NamedTuple):
    """A fenced block: where its code starts on which page, its language and its text."""

    page: Path
    line: int
    language: str
    text: str

    def __str__(self):
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks_of(page, language=None):
    text = page.read_text(encoding="utf-8")
    blocks = [Block(page, text.count("\n", 0, m.start()) + 2, m[1], m[2]) for m in FENCE.finditer(text)]
    return [block for block in blocks if language in (None, block.language)]


def every(language):
    """Parametrizes a test over all blocks of a language."""
    return pytest.mark.parametrize("block", [b for page in PAGES for b in blocks_of(page, language)], ids=str)


def pages_with(language):
    """Parametrizes a test over the pages that have blocks of a language."""
    pages = [page for page in PAGES if blocks_of(page, language)]
    return pytest.mark.parametrize("page", pages, ids=lambda page: str(page.relative_to(ROOT)))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty working directory with the configurations that the documentation refers to."""
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@every(None)
def test_block_is_of_a_kind_that_is_exercised(block):
    assert block.language in LANGUAGES


def write_files(page, folder):
    """Writes the blocks of a page that begin with the name of a file."""
    for block in blocks_of(page):
        name = re.match(r"# ([\w/]+\.(?:py|yaml))\n", block.text)
        if name:
            (folder / name[1]).write_text(block.text, encoding="utf-8")


def write_weather(path):
    """Writes the file that the page of data calls its own: two variables of different units."""
    xarray = pytest.importorskip("xarray")
    values = np.random.default_rng(0).standard_normal((20, 16, 24)).astype(np.float32)
    named = {"temperature": 285 + 8 * values, "humidity": 8e-3 + 2e-3 * values}
    xarray.Dataset({name: (("time", "lat", "lon"), array) for name, array in named.items()}).to_netcdf(path)


@pages_with("python")
def test_python_of_a_page_runs(page, folder, monkeypatch):
    # One real file with the lines where they stand on the page: the graph compiler reads source code from files.
    lines = []
    for block in blocks_of(page, "python"):
        lines += [""] * (block.line - 1 - len(lines)) + block.text.splitlines()
    name = f"documentation_{page.stem}"
    file = folder / f"{name}.py"
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    spec = importlib.util.spec_from_file_location(name, file)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)
    spec.loader.exec_module(module)


@every("yaml")
def test_yaml_is_a_configuration_that_can_be_built(block, folder):
    write_files(block.page, folder)
    if "weather.nc" in block.text:
        write_weather(folder / "weather.nc")
    (folder / "run.yaml").write_text(block.text, encoding="utf-8")
    config = load_config("run.yaml")
    if config.run == "forecast":
        build_world_model(config, build("films", config.data))
        return
    build_model(config, build_data(config))
    if hasattr(config, "scheduler"):
        kind_of(config).check_sampling(config, build_scheduler(config))


@pages_with("bash")
def test_commands_of_a_page_run(page, folder):
    write_files(page, folder)
    for block in blocks_of(page, "bash"):
        for line in block.text.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            while words and re.fullmatch(r"[A-Z]+=\w+", words[0]):
                words = words[1:]
            if words:
                run_command(words)


def run_command(words):
    """Runs a command of the documentation; those that install things are only checked for what they refer to."""
    if words[0] == "bash":
        subprocess.run(["bash", "-n", ROOT / words[1]], check=True)
    elif words[:2] == ["pip", "install"]:
        extras = re.findall(r"\[(\w+)\]", words[-1])
        assert set(extras) <= set(importlib.metadata.metadata("mindscience_diffuser").get_all("Provides-Extra"))
    elif words[:4] == ["python", "-m", "mindscience_diffuser", "plot"]:
        assert cli.main(words[3:]) == 0
    elif words[:3] == ["python", "-m", "mindscience_diffuser"]:
        # A model with weights that exist has their sizes, and a student those of its teacher.
        own = not any(word.startswith("configs/") for word in words)
        sized = any(
            word.startswith(("weights=", "sampling.exported=", "configs/digits_lcm", "configs/digits_meanflow"))
            for word in words
        )
        fields = "configs/north_america.yaml" in words
        model = [] if sized or own else SMALL_UNET if fields else SMALL_MODEL
        films = any(word.startswith("configs/stirred_flow") for word in words)
        few = FEW_FRAMES if films else FEW_OF_ONES_OWN if own else FEW_SAMPLES
        if words[-1] in ("regression.yaml", "residual.yaml"):
            model = SMALL_UNET[:2]
            few = [] if words[-1] == "regression.yaml" else [*FEW_OF_ONES_OWN, "metrics=[{name: Moments}]"]
        few = FEW_FIELDS if fields else few
        if "configs/north_america_stations.yaml" in words:
            model, few = [], FEW_YEARS
        if "configs/stirred_flow_operator.yaml" in words:
            model = [] if sized else SMALL_OPERATOR
        if "configs/stirred_flow_forecast.yaml" in words:
            model, few = (SMALL_OPERATOR if words[3] == "train" else []), FEW_FORECAST
        if "configs/stirred_flow_assimilation.yaml" in words:
            model, few = [], FEW_ASSIMILATED
        assert cli.main([*words[3:], *FEW_STEPS[words[3]], *few, *model]) == 0
    elif words[:2] == ["python", "scripts/simulate_flow.py"]:
        subprocess.run([sys.executable, ROOT / words[1], *words[2:]], check=True)
    elif words[:2] in (["python", "scripts/ascend_check.py"], ["python", "scripts/list_primitives.py"]):
        # Run by the tests of the page for Ascend: here that their options exist.
        script = (ROOT / words[1]).read_text(encoding="utf-8")
        assert all(f'"{word}"' in script for word in words if word.startswith("--"))
    else:
        pytest.fail(f"No way to exercise this command: {shlex.join(words)}")


def script_commands():
    """Returns the commands with arguments that pages name in text blocks, over several lines too, and in inline code.

    Each is a list, the script and its arguments; those of scripts that do not use argparse are left out.
    """
    commands = []
    for page in PAGES:
        inline = re.findall(r"`(?:python )?(scripts/[\w/]+\.py[^`\n]*)`", page.read_text(encoding="utf-8"))
        blocks = [block.text.replace("\\\n", " ") for block in blocks_of(page, "text")]
        for text in inline + re.findall(r"^python ([\w/]+\.py(?:(?!^python ).)*)", "\n".join(blocks), re.M | re.S):
            words = shlex.split(text, comments=True)
            script = next(place / words[0] for place in (ROOT, ROOT / "scripts/bench") if (place / words[0]).is_file())
            if len(words) > 1 and "argparse" in script.read_text(encoding="utf-8"):
                commands.append([script, *words[1:]])
    return commands


class ParsedError(Exception):
    """A script has read its command line."""


@pytest.mark.parametrize("words", script_commands(), ids=lambda words: words[0].stem)
def test_a_script_takes_the_command_line_of_a_page(words, monkeypatch):
    def stopping(parse):
        def parsed(parser, *args, **kwargs):
            parse(parser, *args, **kwargs)
            raise ParsedError

        return parsed

    for name in ("parse_args", "parse_intermixed_args"):
        monkeypatch.setattr(argparse.ArgumentParser, name, stopping(getattr(argparse.ArgumentParser, name)))
    script, *options = words
    monkeypatch.setattr(sys, "argv", [str(script), *options])
    monkeypatch.syspath_prepend(script.parent)
    try:
        with pytest.raises(ParsedError):
            runpy.run_path(str(script), run_name="__main__")
    except ModuleNotFoundError as error:
        pytest.skip(f"{script.name} needs {error.name}, of another framework")


@every("text")
def test_signature_is_that_of_the_code(block):
    match = re.fullmatch(r"(?:class )?(mindscience_diffuser[\w.]+)(\(.*\))\n", block.text, re.DOTALL)
    if match is None:
        assert not block.text.startswith(("class ", "mindscience_diffuser"))
        return
    scope = {"mstype": mstype, "np": np}
    exec(f"def written{match[2]}: pass", scope)
    assert parameters(scope["written"]) == parameters(pkgutil.resolve_name(match[1]))
    page = block.page.read_text(encoding="utf-8")
    if "](arguments.md)" in page:
        page += (API / "arguments.md").read_text(encoding="utf-8")
    for name in parameters(scope["written"]):
        assert f"**{name}**" in page, f"{block}: '{name}' is not described"


def parameters(subject):
    """Returns kind and default of every parameter of a class or method, by name."""
    if inspect.isclass(subject) and inspect.isfunction(subject.__init__):
        subject = subject.__init__
    found = inspect.signature(subject).parameters.values()
    return {p.name: (p.kind, p.default) for p in found if p.name not in ("self", "cls")}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_lists_each_row_and_argument_once(page):
    text = page.read_text(encoding="utf-8")
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        rows = table.splitlines()[2:]
        assert len(rows) == len(set(rows))
    if page.name in ("arguments.md", "deviations.md"):
        # Reference lists: an entry of a section stands there once.
        for section in re.split(r"^#.*$", text, flags=re.MULTILINE):
            entries = re.findall(r"^- \*\*(\w+)\*\*|^\| (?!配置|---)([^|]+\|)", section, re.MULTILINE)
            assert len(entries) == len(set(entries)), [e for e in entries if entries.count(e) > 1]


@pytest.mark.parametrize("name", mindscience_diffuser.__all__)
def test_docstring_of_a_public_callable_lists_each_argument(name):
    subject = getattr(mindscience_diffuser, name)
    if callable(subject):
        for argument in parameters(subject):
            assert re.search(rf"^\s+\*{{0,2}}{argument}( \(|: )", subject.__doc__, re.MULTILINE), argument


@pytest.mark.parametrize("name", mindscience_diffuser.__all__)
def test_public_name_has_a_page_that_the_index_lists(name):
    listed = re.search(rf"\[{name}\]\((\w+\.md)\)", (API / "README.md").read_text(encoding="utf-8"))
    assert f"mindscience_diffuser.{name}(" in (API / listed[1]).read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        assert target.startswith("https://") or (page.parent / target).exists(), target


def test_figures_of_the_shipped_weights_are_those_measured():
    figures = json.loads((shipped_file("digits_ddim", ".metrics.json")).read_text(encoding="utf-8"))["samples"]
    accuracy = figures["class_accuracy"]
    rows = [(accuracy["samples"], accuracy["held_out_digits"])]
    rows += [(figures[name]["samples"], figures[name]["training_digits"]) for name in ("precision", "recall")]
    readme = (ROOT / "README_CN.md").read_text(encoding="utf-8")
    for samples, real in rows:
        assert f"| {samples:.3f} | {real:.3f} | {samples / real:.2f} |" in readme


@pytest.mark.parametrize("name", [name for name in shipped_weights() if shipped_file(name, ".sweep.json").is_file()])
def test_figures_over_the_number_of_steps_are_those_measured(name):
    page = "".join((ROOT / "docs_cn" / name).read_text(encoding="utf-8") for name in ("few_step.md", "pyramid_flow.md"))
    curves = json.loads((shipped_file(name, ".sweep.json")).read_text(encoding="utf-8"))
    quantities = ("class_accuracy", "precision", "recall", "frechet_distance_of_pixels")
    for label, points in curves.items():
        for point in points:
            figures = [f"{point[key]['samples']:.3f}" for key in quantities]
            assert f"| {' | '.join([label, str(point['num_inference_steps']), *figures])} |" in page


def test_figures_of_the_rolled_out_world_model_are_those_measured():
    page = (ROOT / "docs_cn" / "world_model.md").read_text(encoding="utf-8")
    figures = json.loads((shipped_file("stirred_flow", ".metrics.json")).read_text(encoding="utf-8"))
    measures = figures["samples"]["measures"]
    means = ["mean of frames 1 to 20", "mean of all frames"]

    def row(name, cells):
        return f"| {name} | {' | '.join(f'{mean:.3f} ± {width:.3f}' for mean, width in cells)} |"

    for by_name in measures.values():
        for name, told in by_name.items():
            assert row(name, [told[f"frame {n}"] for n in (1, 10, 20, 50, 100)] + [told[means[0]]]) in page
    differences = figures["samples"]["difference_from_the_first_noise"]
    for name in set(measures["error of the energy spectrum"]) - {"standard"}:
        assert row(name, [by_name[name][mean] for by_name in differences.values() for mean in means]) in page
    assert f"{figures['training']['parameters']:,}" in page
    assert f"{figures['training']['cpu_seconds']:.0f} 秒" in page


def test_rolled_out_world_model_beats_persistence_over_the_first_frames():
    figures = json.loads((shipped_file("stirred_flow", ".metrics.json")).read_text(encoding="utf-8"))["samples"]
    behind, width = figures["difference_from_the_first_noise"]["correlation with the simulation"]["persistence"][
        "mean of frames 1 to 20"
    ]
    assert figures["films"] >= 8
    assert behind + width < 0


def assimilated():
    path = shipped_file("stirred_flow_operator", ".safetensors").with_name("stirred_flow_assimilation.metrics.json")
    return json.loads(path.read_text(encoding="utf-8"))


def test_figures_of_the_assimilated_flow_are_those_measured():
    page = (ROOT / "docs_cn" / "assimilation.md").read_text(encoding="utf-8")
    courses = assimilated()["over_frames"]
    for quantity, by_name in courses.items():
        for name, course in by_name.items():
            cells = [f"{course[n - 1]:.3f}" for n in (1, 5, 10, 20, 40, 60, 80, 100)]
            assert f"| {name} | {' | '.join(cells)} |" in page, quantity


def test_assimilated_flow_beats_free_forecast_and_interpolation_and_knows_its_error():
    figures = assimilated()
    assert figures["members"] == 16
    assert figures["frames"] == 100
    courses = {name: np.array(course) for name, course in figures["over_frames"]["root mean square error"].items()}
    analysis = courses.pop("analysis")
    for course in courses.values():
        assert np.all(analysis[10:] < course[10:])
    ratio = np.array(figures["over_frames"]["spread over error"]["analysis"])[10:]
    assert np.all((ratio >= 0.8) & (ratio <= 1.25))


def forecast():
    return json.loads(shipped_file("stirred_flow_mean", ".safetensors").with_name(FORECAST).read_text(encoding="utf-8"))


def test_figures_of_the_forecast_are_those_measured():
    page = (ROOT / "docs_cn" / "forecast.md").read_text(encoding="utf-8")
    for title, told in SCORES.items():
        for name, course in forecast()[title].items():
            cells = [f"{course[n - 1]:.3f}" for n in (1, 5, 10, 20, 30, 50, 100)]
            assert f"| {told} | {FORECASTS[name]} | {' | '.join(cells)} |" in page


def test_forecast_keeps_its_spectrum_and_knows_its_error():
    figures = forecast()
    assert (figures["members"], figures["films"], figures["frames"]) == (16, 16, 100)
    error = {name: np.array(course) for name, course in figures["error of the spectrum"].items()}
    assert error["ensemble"][19] < 0.15 and error["ensemble"][99] < 0.25
    assert np.all(error["ensemble"] < error["persistence"])
    ratio = np.array(figures["spread over error"]["ensemble"])[4:50]
    assert np.all((ratio >= 0.85) & (ratio <= 1.15))
    crps = {name: np.array(course)[1:30] for name, course in figures["CRPS"].items()}
    for name in ("persistence", "climatology", "deterministic model"):
        assert np.all(crps["ensemble"] < crps[name])
    correlation = {name: np.array(course) for name, course in figures["correlation"].items()}
    ahead = correlation["ensemble"] - correlation["deterministic model"]
    assert np.all(ahead[:20] >= 0) and np.all(ahead[30:] > 0) and np.all(ahead > -6e-5)


def test_pictures_are_small():
    assert all(picture.stat().st_size < 300_000 for picture in (ROOT / "docs_cn").rglob("*.png"))


@pytest.mark.parametrize(
    ("pages", "runs"),
    [
        (["api/runs.md"], [kind for kind in REGISTRY["schema"] if kind not in OF_FILMS]),
        (["world_model.md", "api/runs.md"], ["world_model"]),
        (["forecast.md", "world_model.md", "api/runs.md"], ["forecast"]),
        (["assimilation.md", "world_model.md", "api/runs.md"], ["assimilation"]),
    ],
)
def test_every_key_of_a_configuration_is_described(pages, runs):
    text = "".join((ROOT / "docs_cn" / page).read_text(encoding="utf-8") for page in pages)
    for name, field in (field for run in runs for field in lookup("schema", run).model_fields.items()):
        keys = getattr(field.annotation, "model_fields", {}) if field.default_factory else {}
        for key in [f"{name}.{key}" for key in keys] or [name]:
            assert f"`{key}`" in text, key
