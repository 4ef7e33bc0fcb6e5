"""Runs every legal combination of schedule options that diffusers' schedulers share, and counts how the runs end.

    python scripts/legal_grid.py                     # ours, float32 and float16
    python scripts/legal_grid.py --peer              # diffusers beside ours, and how far apart the trajectories are
    python scripts/legal_grid.py --only Euler Heun   # classes whose name contains one of these

16 schedulers, 3 beta schedules, timestep spacings, sigma spacings, zero terminal SNR, 3 prediction types and 1, 2, 3,
10, 50 steps: 8,415 runs. The model is ``out = 0.2 * x``; every draw of noise is the same tensor, so that both packages
see the same.
"""

import argparse
import collections
import contextlib
import inspect
import itertools
import logging
import sys
import warnings

import numpy as np
from mindspore import Tensor
from mindspore import dtype as mstype
from tqdm import tqdm

import mindscience_diffuser

SCHEDULERS = (
    "DDIMScheduler",
    "DDPMScheduler",
    "DEISMultistepScheduler",
    "DPMSolverMultistepScheduler",
    "DPMSolverSinglestepScheduler",
    "EulerAncestralDiscreteScheduler",
    "EulerDiscreteScheduler",
    "HeunDiscreteScheduler",
    "KDPM2AncestralDiscreteScheduler",
    "KDPM2DiscreteScheduler",
    "LCMScheduler",
    "LMSDiscreteScheduler",
    "PNDMScheduler",
    "SASolverScheduler",
    "TCDScheduler",
    "UniPCMultistepScheduler",
)
BETAS = ("linear", "scaled_linear", "squaredcos_cap_v2")
SPACINGS = ("linspace", "leading", "trailing")
SWITCHES = ("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas", "use_lu_lambdas")
PREDICTIONS = ("epsilon", "sample", "v_prediction")
STEPS = (1, 2, 3, 10, 50)
SHAPE = (1, 4, 8, 8)
TOLERANCE = 1e-4
WITHIN = "within 1e-4"
DTYPES = {"float32": mstype.float32, "float16": mstype.float16}


def configurations(name):
    """Returns all combinations of the options that a class has."""
    known = inspect.signature(getattr(mindscience_diffuser, name).__init__).parameters
    options = {"beta_schedule": BETAS, "prediction_type": PREDICTIONS}
    if "timestep_spacing" in known:
        options["timestep_spacing"] = SPACINGS
    if "rescale_betas_zero_snr" in known:
        options["rescale_betas_zero_snr"] = (False, True)
    switches = [None, *(switch for switch in SWITCHES if switch in known)]
    for values in itertools.product(*options.values()):
        for switch in switches:
            yield {**dict(zip(options, values)), **({switch: True} if switch else {})}


def built(name, configuration, compute_dtype):
    """Returns a scheduler, or the error that refused the configuration."""
    try:
        return getattr(mindscience_diffuser, name)(**configuration, compute_dtype=compute_dtype)
    except ValueError as error:
        return error


def run_ours(scheduler, steps, start, noise):
    """Returns the final sample of a trajectory, or the error that refused it."""
    if isinstance(scheduler, Exception):
        return scheduler
    compute_dtype = scheduler.compute_dtype
    try:
        scheduler.set_timesteps(steps)
        x = Tensor(start * scheduler.init_noise_sigma, compute_dtype)
        fresh = Tensor(noise, compute_dtype)
        for timestep in scheduler.timesteps:
            output = 0.2 * scheduler.scale_model_input(x, timestep)
            x = scheduler.step(output, x, timestep, noise=fresh)
        return x.asnumpy().astype(np.float64)
    except ValueError as error:
        return error


def run_peer(name, configuration, steps, start):
    """Returns the final sample of diffusers' trajectory, or the error that ended it."""
    import diffusers
    import torch

    try:
        scheduler = getattr(diffusers, name)(**configuration)
        scheduler.set_timesteps(steps)
        x = torch.from_numpy(start) * scheduler.init_noise_sigma
        for timestep in scheduler.timesteps:
            output = 0.2 * scheduler.scale_model_input(x, timestep)
            x = scheduler.step(output, timestep, x, return_dict=False)[0]
        return x.numpy().astype(np.float64)
    except Exception as error:
        return error


def fix_peer_noise(noise):
    """Makes every draw of diffusers return `noise`."""
    import torch

    for module in peer_modules():
        if hasattr(module, "randn_tensor"):
            module.randn_tensor = lambda *args, **kwargs: torch.from_numpy(noise).to(torch.float32)


def peer_modules():
    """Returns the modules of diffusers' schedulers."""
    import diffusers

    return {sys.modules[getattr(diffusers, name).__module__] for name in SCHEDULERS}


class DoubleNumPy:
    """NumPy whose float32 is float64."""

    float32 = np.float64

    def __getattr__(self, name):
        return getattr(np, name)


@contextlib.contextmanager
def peer_in_double():
    """Makes diffusers compute in float64 where it asks for float32."""
    import torch

    single = torch.float32
    torch.float32 = torch.float64
    torch.set_default_dtype(torch.float64)
    for module in peer_modules():
        if hasattr(module, "np"):
            module.np = DoubleNumPy()
    try:
        yield
    finally:
        torch.float32 = single
        torch.set_default_dtype(single)
        for module in peer_modules():
            if hasattr(module, "np"):
                module.np = np


def run_plan(scheduler, start, noise):
    """Returns the final sample of the same trajectory on the host in float64: the table of weights without rounding."""
    plan = scheduler.plan
    states = dict.fromkeys(plan.states, np.zeros_like(start, np.float64))
    states["sample"] = start.astype(np.float64) * scheduler.init_noise_sigma
    for i in range(len(plan)):
        scale = 1.0 if plan.input_scale is None else plan.input_scale[i]
        results = plan.run(i, **states, output=0.2 * scale * states["sample"], noise=noise)
        states = {name: results[name] for name in states}
    return states["sample"]


def compared(name, configuration, steps, scheduler, start, noise, ours, theirs):
    """Returns whether ours agrees with theirs, or both do in float64, and how far the first two are apart."""
    distance = np.abs(ours - theirs).max() / np.abs(theirs).max()
    if distance <= TOLERANCE:
        return WITHIN, distance
    with peer_in_double():
        exact = run_peer(name, configuration, steps, start.astype(np.float64))
    if ending(exact) == "finite":
        apart = np.abs(run_plan(scheduler, start, noise) - exact).max() / np.abs(exact).max()
        if apart <= TOLERANCE:
            return "within 1e-4 where both are computed in float64", distance
    return "differs", distance


def ending(result):
    """Returns in a word how a run ended."""
    if isinstance(result, NotImplementedError):
        return "not implemented"
    if isinstance(result, Exception):
        return "refused" if type(result) is ValueError else "crashed"
    return "finite" if np.isfinite(result).all() else "not finite"


def main():
    """Runs the grid and prints the counts, and the runs that need an explanation."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer", action="store_true", help="run diffusers beside ours and compare")
    parser.add_argument("--only", nargs="*", default=[""], help="parts of the names of the classes to run")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    generator = np.random.default_rng(0)
    start, noise = generator.standard_normal((2, *SHAPE)).astype(np.float32)
    if options.peer:
        fix_peer_noise(noise)
    names = [name for name in SCHEDULERS if any(part in name for part in options.only)]
    cases = [(name, configuration) for name in names for configuration in configurations(name)]
    counts = collections.defaultdict(collections.Counter)
    notes = collections.defaultdict(list)
    for name, configuration in tqdm(cases, desc="configurations"):
        schedulers = {label: built(name, configuration, dtype) for label, dtype in DTYPES.items()}
        for steps in STEPS:
            what = f"{name} {steps} steps " + " ".join(k if v is True else str(v) for k, v in configuration.items())
            results = {label: run_ours(s, steps, start, noise) for label, s in schedulers.items()}
            for label, result in results.items():
                counts[label][ending(result)] += 1
                if ending(result) != "finite":
                    notes[
                        f"{label} {ending(result)} {str(result)[:110] if ending(result) == 'refused' else ''}"
                    ].append(what)
            if options.peer:
                theirs = run_peer(name, configuration, steps, start)
                counts["diffusers"][ending(theirs)] += 1
                if ending(theirs) == "finite" and ending(results["float32"]) == "finite":
                    verdict, distance = compared(
                        name, configuration, steps, schedulers["float32"], start, noise, results["float32"], theirs
                    )
                    counts["distance"][verdict] += 1
                    if verdict != WITHIN:
                        notes[f"{name} {verdict}"].append(f"{distance:.1e} {what}")
    for label, counter in counts.items():
        print(f"{label}: {sum(counter.values())} runs, " + ", ".join(f"{n} {what}" for what, n in counter.items()))
    for note, cases in notes.items():
        print(f"\n{note} ({len(cases)} runs)")
        for case in cases[:: max(len(cases) // 12, 1)][:12]:
            print("   ", case)


if __name__ == "__main__":
    main()
