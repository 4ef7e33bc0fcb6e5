"""The drop-in schedulers offer what diffusers' do, by name, signature and value."""

import functools
import importlib.util
import inspect
import logging
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from compat_examples import example, steps_of
from mindspore import Tensor

import mindscience_diffuser
from mindscience_diffuser import compat
from mindscience_diffuser.compat.description import arguments_of, described, names_of_any, signature_of

ROOT = Path(__file__).parents[1]
DEVIATIONS = (ROOT / "docs_cn" / "deviations.md").read_text(encoding="utf-8")

# Attributes of diffusers' schedulers that have no meaning for a table of weights; docs_cn/deviations.md says why.
ABSENT = {
    "ConsistencyDecoderScheduler": {"init_noise_sigma"},
    "DPMSolverSDEScheduler": {"noise_sampler"},
    "PNDMScheduler": {"cur_model_output"},
}
HELIOS = {"start_sigmas", "end_sigmas", "ori_start_sigmas", "timestep_ratios"}
OTHERWISE = {
    # Dicts, which tests/test_helios_dmd.py compares.
    "HeliosDMDScheduler": HELIOS | {"timesteps_per_stage", "sigmas_per_stage"},
    "HeliosScheduler": HELIOS | {"timesteps_per_stage", "sigmas_per_stage"},
    "DDPMWuerstchenScheduler": {"s"},  # A number, not an array with one.
    "DPMSolverSDEScheduler": {"sigmas"},
    "KDPM2AncestralDiscreteScheduler": {"sigmas", "sigmas_interpol", "sigmas_down", "sigmas_up"},
    "KDPM2DiscreteScheduler": {"sigmas", "sigmas_interpol"},
}
"""Attributes that have another length; docs_cn/deviations.md tells how."""


@functools.cache
def built(name):
    return getattr(compat, name)(**example(name))


@functools.cache
def listing():
    """Returns the script that lists what diffusers offers, or skips where that is not installed."""
    for package in ("diffusers", "torchsde"):
        pytest.importorskip(package)
    spec = importlib.util.spec_from_file_location("list_diffusers_api", ROOT / "scripts" / "list_diffusers_api.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", compat.CLASSES)
def test_every_method_has_the_signature_of_diffusers(name):
    kind, facts = getattr(compat, name), described()[name]
    assert kind.__name__ == name and issubclass(kind, compat.SchedulerMixin)
    for method, parameters in {**facts["methods"], "__init__": facts["arguments"]}.items():
        assert inspect.signature(getattr(kind, method)) == signature_of(parameters), method


@pytest.mark.parametrize("name", compat.CLASSES)
def test_every_attribute_exists_or_is_told_to_be_absent(name):
    scheduler, absent = built(name), ABSENT.get(name, set())
    for attribute in described()[name]["attributes"]:
        assert hasattr(scheduler, attribute) != (attribute in absent), attribute
    for attribute in absent:
        assert attribute in section(name), f"docs_cn/deviations.md does not tell that {name} has no {attribute}"


@pytest.mark.parametrize("name", compat.CLASSES)
def test_what_only_other_schedulers_have_is_absent_as_pipelines_ask(name):
    facts, kind, scheduler = described()[name], getattr(compat, name), built(name)
    has = {*facts["methods"], *facts["attributes"], *facts["private"], *arguments_of(name)}
    for other in names_of_any() - has:
        assert not hasattr(scheduler, other), other
        assert not hasattr(kind, other) or other in facts["later"], other
    scheduler = kind(**example(name))
    scheduler.set_timesteps(steps_of(name, 4))
    assert hasattr(scheduler, "timesteps")
    for other in {"num_inference_steps"}.intersection(facts["later"]):
        assert getattr(scheduler, other) == 4 + (name == "HeliosDMDScheduler")  # It counts a point that is left out.


def test_every_class_that_deviates_points_to_the_table():
    deviating = [name for name in compat.CLASSES if section(name)]
    assert len(deviating) > 20
    for name in deviating:
        for kind in (getattr(compat, name), getattr(mindscience_diffuser, name)):
            assert "docs_cn/deviations.md" in kind.__doc__, kind


def section(name):
    """Returns what docs_cn/deviations.md says of a class."""
    return DEVIATIONS.partition(f"## {name}\n")[2].partition("\n## ")[0]


@pytest.mark.parametrize("name", compat.CLASSES)
def test_schedules_and_tables_have_the_values_of_diffusers(name):
    theirs, ours = listing().find(name)(**example(name)), built.__wrapped__(name)
    steps = steps_of(name, 8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for scheduler in (theirs, ours):
            scheduler.set_timesteps(steps)
            if hasattr(scheduler, "set_sigmas"):
                scheduler.set_sigmas(steps)
    np.testing.assert_allclose(ours.timesteps.asnumpy(), theirs.timesteps.numpy(), rtol=1e-4, atol=1e-4)
    for attribute in set(described()[name]["attributes"]) - OTHERWISE.get(name, set()) - ABSENT.get(name, set()):
        expected, value = getattr(theirs, attribute), getattr(ours, attribute)
        if attribute == "tau_func":
            assert [value(t) for t in (0, 500, 900)] == [expected(t) for t in (0, 500, 900)]
        elif hasattr(expected, "shape") or isinstance(expected, (int, float)):
            value = value.asnumpy() if isinstance(value, Tensor) else value
            assert np.shape(value) == np.shape(expected), attribute
            np.testing.assert_allclose(value, expected, rtol=1e-3, atol=1e-4, err_msg=attribute)
        else:
            assert value == expected, attribute


def test_the_list_is_what_the_installed_diffusers_offers(tmp_path, monkeypatch):
    script = listing()
    if script.diffusers.__version__ != compat.description.peer_version():
        pytest.skip("another version of diffusers")
    monkeypatch.setattr(script, "FILE", tmp_path / "api.json")
    logging.getLogger("diffusers").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        script.main()
    committed = ROOT / "mindscience_diffuser" / "compat" / "api.json"
    assert script.FILE.read_text(encoding="utf-8") == committed.read_text(encoding="utf-8")


def test_constructor_defaults_are_those_of_diffusers_not_of_mindscience():
    assert built("DDIMScheduler").config.beta_schedule == "linear"
    assert built("DDIMScheduler").native.config.beta_schedule == "linear"
    assert arguments_of("DDPMScheduler")["variance_type"] == "fixed_small"


def test_unknown_names_are_attribute_errors_that_tell_what_there_is():
    with pytest.raises(AttributeError, match="DDIMSheduler.*DDIMScheduler"):
        compat.DDIMSheduler  # noqa: B018


def test_compat_is_imported_only_when_used_and_the_package_in_a_moment():
    code = """
import sys, time
import mindspore
begin = time.perf_counter()
import mindscience_diffuser
assert time.perf_counter() - begin < 0.3
from mindscience_diffuser import DDIMScheduler
DDIMScheduler(10)
assert not [name for name in sys.modules if name.startswith("mindscience_diffuser.compat")]
from mindscience_diffuser import compat
assert "mindscience_diffuser.compat.scheduler" not in sys.modules
compat.DDIMScheduler
assert "mindscience_diffuser.compat.scheduler" in sys.modules
"""
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
