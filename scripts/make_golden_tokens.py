"""Make tests/golden/tokens.npz: steps of diffusers' schedulers of tokens, with given noise.

    python scripts/make_golden_tokens.py

needs diffusers 0.42.1 and torch. The classes run as they are; what they draw is replaced by functions of uniform noise,
which the tests draw again from the same seeds: a multinomial draw is the largest of log p + Gumbel noise, a choice
among the three routes of DiscreteDDIM goes by the cumulative probabilities, a random token is the floor of K * noise.
"""

import json
from pathlib import Path

import diffusers
import numpy as np
import torch
from diffusers.schedulers import scheduling_amused

PATH = Path(__file__).resolve().parent.parent / "tests" / "golden" / "tokens.npz"
DIFFUSERS_VERSION = "0.42.1"
BATCH, LENGTH, CLASSES = 2, 12, 7
START, CORRECTOR = 99, 50
"""The step whose tokens a trajectory starts from, and what is added to a step for the noise of its corrector."""


def drawn(case, step):
    """The logits, tokens and noise of a step: arrays by name."""
    rng = np.random.default_rng((case, step))
    return {
        "logits": (2 * rng.standard_normal((BATCH, LENGTH, CLASSES))).astype(np.float32),
        "tokens": rng.integers(CLASSES + 1, size=(BATCH, LENGTH)),
        "noise": rng.uniform(1e-6, 1 - 1e-6, (BATCH, LENGTH, CLASSES + 1)).astype(np.float32),
        "position_noise": rng.uniform(1e-6, 1 - 1e-6, (BATCH, LENGTH, 2)).astype(np.float32),
    }


def gumbel(uniform):
    """Gumbel noise of uniform noise."""
    return -torch.log(-torch.log(uniform))


class Replacing:
    """Replaces a function of torch while it is entered."""

    def __init__(self, **functions):
        self.functions = functions

    def __enter__(self):
        self.before = {name: getattr(torch, name) for name in self.functions}
        for name, function in self.functions.items():
            setattr(torch, name, function)

    def __exit__(self, *exception):
        for name, function in self.before.items():
            setattr(torch, name, function)


def vq_diffusion(case, config):
    """Steps of VQDiffusion at some timesteps, each from random tokens, and the logarithms of the posterior."""
    scheduler = diffusers.VQDiffusionScheduler(CLASSES + 1, **config["init"])
    results = {"prev_sample": [], "posterior": []}
    for step, t in enumerate(config["timesteps"]):
        given = {name: torch.tensor(value) for name, value in drawn(case, step).items()}
        log_p = torch.log_softmax(given["logits"].double(), -1).float().transpose(1, 2)
        noise = given["noise"].transpose(1, 2)
        with Replacing(rand=lambda shape, noise=noise, **_: noise[:, : shape[1]]):
            results["prev_sample"].append(scheduler.step(log_p, t, given["tokens"]).prev_sample)
        if t > 0:
            results["posterior"].append(scheduler.q_posterior(log_p, given["tokens"], t))
    return results


VQ_DIFFUSION = [
    {"init": {}, "timesteps": [0, 1, 50, 98, 99]},
    {"init": {"num_train_timesteps": 5}, "timesteps": [0, 2, 4]},
    {"init": {"num_train_timesteps": 1000}, "timesteps": [0, 10, 999]},
    {"init": {"alpha_cum_start": 0.9, "alpha_cum_end": 0.2, "gamma_cum_end": 0.5}, "timesteps": [3, 70]},
    {"init": {"gamma_cum_start": 0.05, "alpha_cum_start": 0.9}, "timesteps": [1, 30, 60]},
]


def chosen(probabilities, noise):
    """A draw of each row of probabilities ``(n, K)`` by uniform noise of as many numbers."""
    return (torch.log(probabilities) + gumbel(noise.reshape(len(probabilities), -1))).argmax(-1, keepdim=True)


def amused(case, config):
    """A whole trajectory of Amused from masks, or from tokens some of which are known."""
    scheduler = diffusers.AmusedScheduler(CLASSES, config["schedule"])
    scheduler.set_timesteps(config["steps"], config["temperature"])
    known = torch.tensor(drawn(case, START)["tokens"])
    x = torch.where(known < config["known"], known, CLASSES)
    results = {"prev_sample": [], "pred_original_sample": [], "masked": []}
    for step, t in enumerate(scheduler.timesteps):
        given = {name: torch.tensor(value) for name, value in drawn(case, step).items()}
        noise, position_noise = given["noise"][..., :CLASSES], given["position_noise"][..., 0]
        scheduling_amused.gumbel_noise = lambda *_, noise=position_noise, **__: gumbel(noise)
        with Replacing(multinomial=lambda p, *_, noise=noise, **__: chosen(p, noise)):
            output = scheduler.step(given["logits"], t, x, config["start"])
        generator = torch.Generator()
        with Replacing(rand=lambda *_, noise=position_noise, **__: noise):
            results["masked"].append(scheduler.add_noise(known, t, generator))
        x = output.prev_sample
        results["prev_sample"].append(x)
        results["pred_original_sample"].append(output.pred_original_sample)
    return results


AMUSED = [
    {"schedule": schedule, "steps": steps, "temperature": temperature, "known": known, "start": start}
    for schedule in ("cosine", "linear")
    for steps, temperature, known, start in (
        (1, (2, 0), 0, 1.0),
        (3, (2, 0), 0, 1.0),
        (6, 1.5, 0, 1.0),
        (5, (0, 0), 3, 0.7),
        (8, (4.5, 0.5), 2, 1.0),
    )
]


def uniform_draws(given):
    """The functions of torch that draw tokens, routes and random tokens, by the noise of a step."""
    noise, position_noise = given["noise"][..., :CLASSES], given["position_noise"]

    def multinomial(p, **_):
        if p.shape[-1] == CLASSES:
            return chosen(p, noise)
        place = position_noise[..., 0].reshape(-1, 1) * p.sum(-1, keepdim=True)
        return (place > torch.cumsum(p, -1)).sum(-1, keepdim=True)

    def randint(high, **_):
        return torch.floor(position_noise[..., -1] * high).long()

    return {"multinomial": multinomial, "randint": randint}


def discrete_ddim(case, config):
    """A whole trajectory of DiscreteDDIM, with a sweep of its corrector after each step but the last."""
    scheduler = diffusers.DiscreteDDIMScheduler(**config["init"])
    scheduler.set_timesteps(config["steps"])
    x = torch.tensor(drawn(case, START)["tokens"]).clamp(max=CLASSES - 1)
    results = {name: [] for name in ("prev_sample", "sampled_tokens", "sampled_probs")}
    results.update({f"corrected_{name}": [] for name in results})
    select = scheduler._select_positions

    for step, t in enumerate(scheduler.timesteps):
        given = {name: torch.tensor(value) for name, value in drawn(case, step).items()}
        with Replacing(**uniform_draws(given)):
            output = scheduler.step(given["logits"], t, x, temperature=config["temperature"])
        x = output.prev_sample
        for name in ("prev_sample", "sampled_tokens", "sampled_probs"):
            results[name].append(output[name])
        if t == config["steps"] - 1:
            break
        given = {name: torch.tensor(value) for name, value in drawn(case, CORRECTOR + step).items()}
        places, position_noise = [], given["position_noise"][..., 0]

        def select_positions(*args, places=places):
            places.append(select(*args))
            return places[-1]

        def multinomial(p, given=given, places=places, **_):
            noise = torch.gather(given["noise"][..., :CLASSES], 1, places[-1][..., None].expand(-1, -1, CLASSES))
            return chosen(p, noise)

        scheduler._select_positions = select_positions
        with Replacing(multinomial=multinomial, rand=lambda *_, noise=position_noise, **__: noise.clone()):
            output = scheduler.step_correct(given["logits"], t, x)
        x = output.prev_sample
        for name in ("prev_sample", "sampled_tokens", "sampled_probs"):
            results[f"corrected_{name}"].append(output[name])
    return results


DISCRETE_DDIM = [
    {
        "init": {"corrector_selection": selection, "corrector_k": k, "corrector_selection_tau": tau},
        "steps": steps,
        "temperature": temperature,
    }
    for selection, k, tau in (
        ("lowest_log_margin", 3, 1.0),
        ("lowest_maxprob", 1, 0.3),
        ("lowest_current_prob", 5, 2.0),
        ("random", 12, 1.0),
    )
    for steps, temperature in ((3, 0.0), (4, 1.0), (2, 0.6))
]


def entropy_bound(case, config):
    """A whole trajectory of EntropyBound."""
    scheduler = diffusers.EntropyBoundScheduler(**config["init"])
    scheduler.set_timesteps(config["steps"])
    x = torch.tensor(drawn(case, START)["tokens"]).clamp(max=CLASSES - 1)
    names = ("prev_sample", "accepted_index", "sampled_tokens", "sampled_probs", "pred_logits")
    results = {name: [] for name in names}
    for step, t in enumerate(scheduler.timesteps):
        given = {name: torch.tensor(value) for name, value in drawn(case, step).items()}
        given["position_noise"] = given["position_noise"][..., :1]
        with Replacing(**uniform_draws(given)):
            output = scheduler.step(given["logits"], t, x, entropy_bound=config["bound"])
        x = output.prev_sample
        for name in names:
            results[name].append(output[name])
    return results


ENTROPY_BOUND = [
    {"init": {"entropy_bound": bound, "t_max": t_max, "t_min": t_min}, "steps": steps, "bound": override}
    for bound, override in ((0.1, None), (0.0, None), (1.0, 4.0), (2.5, None))
    for t_max, t_min, steps in ((0.8, 0.4, 4), (1.0, 1.0, 1), (0.3, 0.1, 3))
]


def block_refinement(case, config):
    """A whole block of BlockRefinement, from masks or from random tokens, with one step of editing after it."""
    scheduler = diffusers.BlockRefinementScheduler(LENGTH, **config["init"])
    scheduler.set_timesteps(config["steps"])
    mask = CLASSES if config["masks"] else None
    x = torch.tensor(drawn(case, START)["tokens"]).clamp(max=CLASSES - 1)
    prompt_mask = torch.arange(LENGTH) < config["prompt"]
    if config["masks"]:
        x = torch.where(prompt_mask, x, CLASSES)
    names = ("prev_sample", "transfer_index", "editing_transfer_index", "sampled_tokens", "sampled_probs")
    results = {name: [] for name in names}
    for step in range(config["steps"] + EDITING_STEPS):
        given = {name: torch.tensor(value) for name, value in drawn(case, step).items()}
        given["position_noise"] = given["position_noise"][..., :1]
        with Replacing(**uniform_draws(given)):
            output = scheduler.step(
                given["logits"], step, x, mask_token_id=mask, prompt_mask=prompt_mask, **config["options"]
            )
        x = output.prev_sample
        for name in names:
            results[name].append(output[name])
    return results


EDITING_STEPS = 1
BLOCK_REFINEMENT = [
    {"init": init, "steps": steps, "masks": masks, "prompt": prompt, "options": options}
    for masks in (True, False)
    for init, steps, prompt, options in (
        ({}, 4, 0, {}),
        ({"threshold": 0.6}, 5, 3, {}),
        ({"threshold": 0.8, "editing_threshold": 0.5}, 3, 4, {"temperature": 0.7}),
        ({"editing_threshold": 0.9}, 6, 2, {"editing_threshold": 0.3, "threshold": 1.0}),
        ({}, 3, 0, {"temperature": 1.3, "top_k": 3}),
        ({"threshold": 0.7}, 4, 1, {"temperature": 0.9, "top_p": 0.6, "sampling_method": "multinomial"}),
        ({}, 2, 0, {"temperature": 2.0, "top_k": 5, "top_p": 0.8}),
        ({"threshold": 0.5}, 5, 0, {"temperature": 1.0, "sampling_method": "greedy", "top_k": 2}),
    )
]
CASES = [
    *((vq_diffusion, config) for config in VQ_DIFFUSION),
    *((amused, config) for config in AMUSED),
    *((discrete_ddim, config) for config in DISCRETE_DDIM),
    *((entropy_bound, config) for config in ENTROPY_BOUND),
    *((block_refinement, config) for config in BLOCK_REFINEMENT),
]


def main():
    """Writes the file."""
    if diffusers.__version__ != DIFFUSERS_VERSION:
        raise SystemExit(f"Needs diffusers {DIFFUSERS_VERSION}, but this is {diffusers.__version__}.")
    arrays = {"cases": json.dumps([(run.__name__, config) for run, config in CASES])}
    for case, (run, config) in enumerate(CASES):
        for name, values in run(case, config).items():
            values = np.stack([np.asarray(value) for value in values])
            arrays[f"{name}_{case}"] = values.astype(np.float32 if values.dtype.kind == "f" else np.int8)
    temporary = PATH.with_suffix(".part.npz")
    np.savez_compressed(temporary, **arrays)
    temporary.replace(PATH)
    print(f"{len(CASES)} cases, {PATH.stat().st_size / 1024:.0f} KiB, in {PATH}")


if __name__ == "__main__":
    main()
