"""What the pipelines of mindone and diffusers read of their schedulers and write into them.

pipeline_attributes.json is made by ``scripts/list_pipeline_attributes.py``, which parses the pipelines and asks
diffusers' schedulers for what is read.
"""

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
from compat_examples import example, steps_of
from mindspore import Tensor

from mindscience_diffuser import compat

LISTED = json.loads(Path(__file__).with_name("pipeline_attributes.json").read_text(encoding="utf-8"))
OTHER_LENGTH = {
    ("DDPMWuerstchenScheduler", "timesteps"),
    ("DPMSolverSDEScheduler", "sigmas"),
    ("KDPM2AncestralDiscreteScheduler", "sigmas"),
    ("KDPM2DiscreteScheduler", "sigmas"),
    ("ScoreSdeVeScheduler", "sigmas"),
    *((name, "model_outputs") for name in compat.CLASSES),
}
"""What docs_cn/deviations.md tells to have another length."""


def scheduled(name):
    scheduler = getattr(compat, name)(**example(name))
    scheduler.set_timesteps(steps_of(name, 4))
    return scheduler


@pytest.mark.parametrize("name", compat.CLASSES)
@pytest.mark.filterwarnings("ignore")
def test_what_pipelines_read_is_there_with_its_value_or_raises_as_in_diffusers(name):
    scheduler, expected = getattr(compat, name)(**example(name)), LISTED[name]
    for attribute in expected["later"]:
        assert not hasattr(scheduler, attribute), attribute
    scheduler = scheduled(name)
    for attribute in LISTED["read"]:
        assert hasattr(scheduler, attribute) != (attribute in expected["absent"]), attribute
    for attribute, value in expected["values"].items():
        ours = getattr(scheduler, attribute)
        if (name, attribute) in OTHER_LENGTH:
            continue
        if isinstance(ours, Tensor):
            assert list(ours.shape) == value[0], attribute
            numbers = ours.asnumpy().astype(np.float64).ravel()
            np.testing.assert_allclose([numbers[0], numbers[-1], numbers.sum()], value[1:], rtol=1e-4, atol=1e-4)
        else:
            assert ours == value and type(ours) is type(value), attribute


@pytest.mark.parametrize("name", compat.CLASSES)
@pytest.mark.filterwarnings("ignore")
def test_what_pipelines_write_is_there_afterwards_or_refused_with_a_sentence(name):
    for attribute in LISTED["written"]:
        scheduler = scheduled(name)
        if attribute not in vars(scheduler) and not hasattr(scheduler, attribute):
            continue
        value = getattr(scheduler, attribute)
        written = value * 0.5 if isinstance(value, Tensor) else value
        try:
            setattr(scheduler, attribute, written)
        except AttributeError as error:
            assert len(str(error)) > 60, attribute
            continue
        result = getattr(scheduler, attribute)
        if isinstance(value, Tensor):
            np.testing.assert_allclose(result.asnumpy(), written.asnumpy(), rtol=1e-6)
        else:
            assert result == written, attribute


@pytest.mark.parametrize("name", compat.CLASSES)
def test_what_pipelines_read_of_a_configuration_is_what_the_constructor_takes(name):
    scheduler = getattr(compat, name)(**example(name))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for key in set(LISTED["configuration"]) - {"get"}:
            assert hasattr(scheduler.config, key) == (key in scheduler.arguments), key
    assert scheduler.config.get("no such key", 3) == 3
