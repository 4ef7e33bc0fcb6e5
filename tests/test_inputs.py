"""Arguments of another library or of the other conventions: told apart from what they resemble."""

import numpy as np
import pytest
from mindspore import Tensor, nn

from mindscience_diffuser import (
    ConsistencyDistillation,
    DDIMPipeline,
    DiffusionTrainer,
    PyramidFlowTrainer,
    PyramidSampler,
    Sampler,
    compat,
)
from mindscience_diffuser.inputs import check_is_tensor
from mindscience_diffuser.schedulers.base.scheduler import schedulers_by_name
from mindscience_diffuser.schedulers.base.sigmas import SigmaScheduler

SHAPE = (2, 3)


def foreign_tensor():
    """A Tensor whose class has the name of MindSpore's and the module of another library."""
    return type("Tensor", (), {"__module__": "torch"})()


def test_a_tensor_of_another_library_is_named_with_how_to_convert_it():
    with pytest.raises(TypeError, match=r"'x' must be a Tensor of MindSpore, but is torch\.Tensor.*Convert it: minds"):
        check_is_tensor("x", foreign_tensor())
    with pytest.raises(TypeError, match=r"but is numpy\.ndarray\. Convert it: mindspore\.Tensor\(value\)"):
        check_is_tensor("x", np.zeros(3))
    with pytest.raises(TypeError, match=r"but is list\.$"):
        check_is_tensor("x", [1])


@pytest.mark.parametrize(
    "name", sorted(name for name, kind in schedulers_by_name().items() if hasattr(kind, "add_noise"))
)
def test_every_scheduler_names_the_library_of_a_tensor(name):
    scheduler = schedulers_by_name()[name]()
    x = Tensor(np.zeros(SHAPE, np.float32))
    with pytest.raises(TypeError, match=r"'original_samples' must be a Tensor of MindSpore, but is torch\.Tensor"):
        scheduler.add_noise(foreign_tensor(), x, 1)


@pytest.mark.parametrize(
    "build",
    [
        lambda scheduler: Sampler(nn.Identity(), scheduler),
        lambda scheduler: DiffusionTrainer(nn.Identity(), scheduler),
        lambda scheduler: DDIMPipeline(nn.Identity(), scheduler, 1, 4),
    ],
)
def test_a_drop_in_scheduler_is_answered_with_its_native_one(build):
    scheduler = compat.DDIMScheduler()
    scheduler.set_timesteps(2)
    with pytest.raises(TypeError, match=r"compat.*DDIMScheduler\. It is a drop-in scheduler.*'\.native'"):
        build(scheduler)
    build(scheduler.native)


def test_a_scheduler_of_another_kind_is_named():
    other = compat.EulerDiscreteScheduler()
    for build in (
        lambda: PyramidSampler(nn.Identity(), other, 2),
        lambda: PyramidFlowTrainer(nn.Identity(), other),
        lambda: ConsistencyDistillation(*[nn.Identity()] * 3, other, Tensor(0.0)),
    ):
        with pytest.raises(
            TypeError, match=r"'scheduler' must be an? \w+Scheduler.*, but is \w.*EulerDiscreteScheduler\.$"
        ):
            build()


@pytest.mark.parametrize(
    "name", sorted(name for name, kind in schedulers_by_name().items() if issubclass(kind, SigmaScheduler))
)
def test_noise_is_added_at_every_timestep_of_the_schedule(name):
    """Also at those in the middle of a step: the level is that of the row, eq. x = alpha * x0 + sigma * noise."""
    scheduler = schedulers_by_name()[name]()
    mu = {"mu": 1.0} if scheduler.config.get("use_dynamic_shifting") else {}
    scheduler.set_timesteps(3, **mu)
    alpha, sigma = (level[:-1] for level in scheduler.levels)
    timesteps = np.asarray(scheduler.timesteps, np.float32)
    clean, noise = (Tensor(np.full((len(timesteps), 1), value, np.float32)) for value in (1.0, 2.0))
    noised = scheduler.add_noise(clean, noise, Tensor(timesteps)).asnumpy()[:, 0]
    first = [int(np.argmin(np.abs(timesteps - t))) for t in timesteps]
    np.testing.assert_allclose(noised, (alpha + 2 * sigma)[first], rtol=1e-5)
