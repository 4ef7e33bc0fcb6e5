"""What the tests of the few-step and flow-matching schedulers share."""

import numpy as np
import pytest
from mindspore import Tensor, nn

from mindscience_diffuser import (
    FlowMatchEulerDiscreteScheduler,
    FlowMatchHeunDiscreteScheduler,
    FlowMatchLCMScheduler,
    LCMScheduler,
    TCDScheduler,
)

ALL = {
    "lcm": LCMScheduler,
    "tcd": TCDScheduler,
    "euler": FlowMatchEulerDiscreteScheduler,
    "heun": FlowMatchHeunDiscreteScheduler,
    "flow_lcm": FlowMatchLCMScheduler,
}
SINGLE = [name for name in ALL if name != "heun"]
FLOWS = ["euler", "heun", "flow_lcm"]
every = pytest.mark.parametrize("name", ALL)


def tensor(seed, *shape, dtype=np.float32):
    return Tensor(np.random.default_rng(seed).standard_normal(shape).astype(dtype))


def scheduled(name, steps=3, **options):
    scheduler = ALL[name](**options)
    scheduler.set_timesteps(steps)
    return scheduler


def fresh(scheduler, seed, *shape):
    """The noise argument of a step, where there is one."""
    return {"noise": tensor(seed, *shape)} if scheduler.stochastic else {}


def run(scheduler, x, timesteps=None, **options):
    """The last sample of an eager trajectory with the model out = 0.3 x, and noise from seeds 100, 101, ..."""
    for i, t in enumerate(scheduler.timesteps if timesteps is None else timesteps):
        x = scheduler.step(0.3 * x, x, t, **fresh(scheduler, 100 + i, *x.shape), **options)
    return x.asnumpy()


class Scaled(nn.Cell):
    """The model out = 0.3 x."""

    def construct(self, x, timestep):
        return 0.3 * x
