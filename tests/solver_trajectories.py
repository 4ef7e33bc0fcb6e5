"""Whole trajectories of solvers with a toy model, by the float64 definition of their plan and on the device."""

import warnings

import numpy as np
from mindspore import Tensor, nn
from mindspore import dtype as mstype

import mindscience_diffuser
from mindscience_diffuser import Sampler, compat

SHAPE = (2, 3, 4)


def draws(seed, count):
    """The initial noise, of unit variance, and that of `count` model calls: float32, ``(count + 1, ...)``."""
    return np.random.default_rng(seed).standard_normal((count + 1, *SHAPE)).astype(np.float32)


def toy_output(x, t, name=""):
    """What the toy model says of its scaled input; depends on the timestep, so that this is compared too.

    Models of the variance-exploding schedulers of these names are told sigma, and know the score of normal data.
    """
    if name == "ScoreSdeVeScheduler":
        return -x / (1 + t * t)
    if name == "KarrasVeScheduler":
        return -x * t / (1 + t * t)
    return (0.2 + 0.0001 * t) * x


class ToyModel(nn.Cell):
    """:func:`toy_output` in a graph."""

    def __init__(self, name=""):
        super().__init__()
        self.name = name

    def construct(self, x, timestep):
        t = timestep.astype(mstype.float32).reshape((-1, 1, 1))
        return toy_output(x.astype(mstype.float32), t, self.name).astype(x.dtype)


def constructor_arguments(config):
    """Returns the arguments of the constructor of a configuration, in whose file tau is a number."""
    init = dict(config["init"])
    if "tau_func" in init:
        init["tau_func"] = lambda t: config["init"]["tau_func"]
    return init


def scheduled(config, dtype=mstype.float32, as_diffusers=False):
    """Returns the scheduler of a configuration of a golden file, with its steps chosen; or what compat's runs on."""
    arguments = constructor_arguments(config)
    if as_diffusers:
        scheduler = getattr(compat, config["scheduler"])(**arguments).native
    else:
        scheduler = getattr(mindscience_diffuser, config["scheduler"])(**arguments, compute_dtype=dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scheduler.set_timesteps(**config["set"])
    return scheduler


def host_trajectory(config, seed, as_diffusers=False):
    """Returns the last sample of the plan of a configuration, run on the host in float64."""
    scheduler = scheduled(config, as_diffusers=as_diffusers)
    plan = scheduler.plan_for(**config["step"])
    noise = draws(seed, len(plan)).astype(np.float64)
    states = {name: np.zeros(SHAPE) for name in plan.states}
    states["sample"] = noise[0] * float(scheduler.init_noise_sigma)
    scale = np.ones(len(plan)) if plan.input_scale is None else plan.input_scale
    for i, t in enumerate(plan.timesteps.astype(np.float64)):
        output = toy_output(scale[i] * states["sample"], t, config["scheduler"])
        results = plan.run(i, **states, output=output, noise=noise[i + 1])
        states = {name: results[name] for name in states}
    return states["sample"]


def device_trajectory(config, seed, dtype=mstype.float32):
    """Returns the last sample of the trajectory that a Sampler runs as one graph."""
    scheduler = scheduled(config, dtype)
    sampler = Sampler(ToyModel(config["scheduler"]), scheduler, **config["step"])
    noise = draws(seed, len(sampler.plan))
    start = Tensor(noise[0] * float(scheduler.init_noise_sigma), dtype)
    fresh = Tensor(noise[1:], dtype) if sampler.stochastic else None
    return sampler(start, step_noise=fresh).asnumpy()
