"""Schedulers of published models with the calls of their pipelines, in a form that both packages run.

published.json has for each model the class of its scheduler, the values that are no defaults, and what the pipeline
gives to `set_timesteps`; with "begin", the pipeline starts from an image at that timestep. Used by
scripts/make_golden_compat_calls.py and test_published.py.
"""

import json
from pathlib import Path

import numpy as np

MODELS = json.loads((Path(__file__).parent / "published.json").read_text(encoding="utf-8"))
SHAPE = (1, 2, 4, 4)
STEPS = 8
SIGMAS = {
    "flux": np.linspace(1, 1 / STEPS, STEPS),
    "omnigen": np.linspace(1, 0, STEPS + 1)[:-1],
    "ramp": np.linspace(0, 1, STEPS),
}
"""The `sigmas` that pipelines give."""


def run(kind, model, tensor):
    """Returns timesteps and sigmas of a model's schedule, and its last sample, as Tensors."""
    rng, name = np.random.default_rng(2), model["scheduler"]
    scheduler = kind.from_config(model["config"])
    given = {"num_inference_steps": STEPS, **model["set"]}
    if "sigmas" in given:
        sigmas = SIGMAS[given["sigmas"]]
        given["sigmas"] = tensor(sigmas) if given["sigmas"] == "ramp" and name.startswith("EDM") else sigmas
        given["num_inference_steps"] = len(sigmas)
    scheduler.set_timesteps(**given)
    if model["config"].get("final_sigmas_type") == "sigma_min" and name.startswith("Flow"):  # As Cosmos' pipeline does.
        scheduler.sigmas[-1] = scheduler.sigmas[-2]
    timesteps, sigmas = scheduler.timesteps, getattr(scheduler, "sigmas", None)
    x = tensor(rng.standard_normal(SHAPE)) * float(getattr(scheduler, "init_noise_sigma", 1.0))
    count = len(timesteps) - (name == "SCMScheduler") - (name == "DDPMWuerstchenScheduler" and len(timesteps) > STEPS)
    begin = model.get("begin", 0)
    if begin and hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(begin)
    if begin:
        x = scheduler.add_noise(x, tensor(rng.standard_normal(SHAPE)), timesteps[begin : begin + 1])
    for i in range(begin, count):
        t = timesteps[i]
        if hasattr(scheduler, "scale_model_input"):
            scheduler.scale_model_input(x, t)
        output = tensor(rng.standard_normal(SHAPE))
        x = scheduler.step(output, timesteps[i : i + 1] if "Wuerstchen" in name else t, x, return_dict=False)[0]
    return [timesteps[:count], *([] if sigmas is None or name.startswith("KDPM2") else [sigmas]), x]
