"""Make tests/golden/science.npz: trajectories of the sampler files of GenCast and AlphaFold 3 in float64.

    python scripts/make_golden_science.py --graphcast CHECKOUT --alphafold3 CHECKOUT

needs jax, xarray and checkouts of https://github.com/google-deepmind/graphcast (commit 9c034db1) and
https://github.com/google-deepmind/alphafold3 (commit c0f97eda). The functions of the two files are run as they are;
what they import beside jax (arrays with labels, loops, random numbers) is replaced by plain forms of one meaning, so
that noise can be drawn from a seed, as the test draws it again. The denoiser is a toy. The rigid motions of AlphaFold 3
are left out but for one case, with one atom less than there are places, whose motions are stored.
"""

import argparse
import ast
import json
import numbers
import types
from collections import abc
from pathlib import Path
from typing import Any, Callable, Optional

import jax
import numpy as np
import xarray

jax.config.update("jax_enable_x64", True)
jnp = jax.numpy
PATH = Path(__file__).resolve().parent.parent / "tests" / "golden" / "science.npz"
SHAPE = (2, 5, 3)
GENCAST = [
    {"steps": 20, "s_churn": 2.5, "s_tmin": 0.75, "s_tmax": float("inf"), "s_noise": 1.05, "sigma_min": 0.03},
    {"steps": 7, "s_churn": 0.0, "s_tmin": 0.0, "s_tmax": float("inf"), "s_noise": 1.0, "sigma_min": 0.002},
    {"steps": 5, "s_churn": 40.0, "s_tmin": 0.05, "s_tmax": 50.0, "s_noise": 1.003, "sigma_min": 0.1, "rho": 5.0},
]
ALPHAFOLD = [
    {"steps": 20},
    {"steps": 6, "gamma_0": 0.0, "step_scale": 1.0},
    {"steps": 11, "gamma_0": 0.4, "gamma_min": 0.2, "noise_scale": 1.1, "step_scale": 1.638},
]


MOVED = {"steps": 12}
MASK = np.array([1, 1, 1, 1, 0])


def draw(seed, step):
    """Noise before step `step` of trajectory `seed`; -1 is where it begins."""
    return np.random.default_rng((seed, step + 1)).standard_normal(SHAPE)


def denoise(x, sigma):
    """The toy denoiser."""
    return jnp.asarray(x) / (1 + sigma**2) + 0.1 * jnp.tanh(jnp.asarray(x))


def source(path, *names):
    """Returns the text of some functions and classes of a file, without decorators."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = [node for node in tree.body if getattr(node, "name", None) in names]
    for node in found:
        node.decorator_list = []
    return compile(ast.Module(found, []), str(path), "exec")


def loops(samples):
    """Returns the loops and maps of haiku as Python carries them out; what each round returns joins `samples`."""

    def fori_loop(first, last, body_fun, init_val):
        for i in range(first, last):
            init_val = body_fun(np.asarray(i), init_val)
            samples.append(np.asarray(init_val))
        return init_val

    def scan(function, carry, values, **_):
        key, positions, level = carry
        for value in values:
            # One level for all samples, with as many axes as the positions.
            level = np.reshape(np.ravel(level)[0], (1, 1, 1))
            (key, positions, level), output = function((key, positions, level), value)
            samples.append(np.asarray(output))
        return (key, positions, level), None

    return types.SimpleNamespace(
        fori_loop=fori_loop, scan=scan, vmap=lambda function, **_: function, running_init=lambda: False
    )


def gencast(folder, seed, config):
    """Returns the sample after each step of GenCast's sampler."""
    folder = folder / "weathernext" / "weathernext1_gen"
    steps, samples = iter(range(1000)), []

    def labelled(step):
        return lambda like: xarray.DataArray(draw(seed, step()), dims=like.dims)

    names = ("rho_inverse_cdf", "noise_schedule", "stochastic_churn_rate_schedule", "apply_stochastic_churn")
    churned = labelled(lambda: next(steps))
    utils = {"np": np, "jnp": jnp, "jax": jax, "Any": Any, "spherical_white_noise_like": churned}
    exec(source(folder / "samplers_utils.py", *names), utils)
    functions = {name: value for name, value in utils.items() if callable(value)}
    # The noise of the beginning is drawn in every step of the loop, and multiplied by 0 in all but the first.
    functions["spherical_white_noise_like"] = labelled(lambda: -1)
    functions["tree_where"] = lambda condition, x, y: x if condition else y

    class Base:
        def __init__(self, denoiser):
            self._denoiser = denoiser

    space = {
        "base": types.SimpleNamespace(Sampler=Base),
        "casting": types.SimpleNamespace(infer_floating_dtype=lambda _: np.float64),
        "denoisers_base": types.SimpleNamespace(Denoiser=Any),
        "utils": types.SimpleNamespace(**functions),
        "hk": loops(samples),
        "jnp": jnp,
        "np": np,
        "xarray": xarray,
        "xarray_jax": xarray,
        "Optional": Optional,
    }
    exec(source(folder / "dpm_solver_plus_plus_2s.py", "Sampler"), space)

    def denoiser(inputs, noisy_targets, noise_levels, forcings):
        sigma = np.asarray(noise_levels).reshape(-1, 1, 1)
        return xarray.DataArray(np.asarray(denoise(noisy_targets.values, sigma)), dims=noisy_targets.dims)

    churn = [config[name] for name in ("s_churn", "s_tmin", "s_tmax", "s_noise")]
    sampler = space["Sampler"](denoiser, 80.0, config["sigma_min"], config["steps"], config.get("rho", 7.0), *churn)
    sampler(None, xarray.DataArray(np.zeros(SHAPE), dims=("batch", "lat", "lon")))
    return np.stack(samples)


def augmentation(folder, seed, motions):
    """Returns AlphaFold 3's random_augmentation of a batch, with numbers from a seed; its motions join a list."""
    rng = np.random.default_rng((seed, 10**6))
    drawn = []

    def normal(key, shape):
        drawn.append(rng.standard_normal(shape))
        return jnp.asarray(drawn[-1])

    random = types.SimpleNamespace(normal=normal, split=lambda key: (key, key))
    space = {"jnp": jnp, "jax": types.SimpleNamespace(random=random, lax=jax.lax), "abc": abc, "numbers": numbers}
    space.update(Sequence=abc.Sequence)
    exec(source(folder / "components" / "utils.py", "mask_mean"), space)
    space["utils"] = types.SimpleNamespace(mask_mean=space["mask_mean"])
    exec(source(folder / "network" / "diffusion_head.py", "random_rotation", "random_augmentation"), space)
    rotation = space["random_rotation"]

    def kept_rotation(key):
        drawn.append(np.asarray(rotation(key)))
        return drawn[-1]

    space["random_rotation"] = kept_rotation

    def augment(rng_key, positions, mask):
        # One token with all atoms; each sample is a call of its own.
        drawn.clear()
        moved = [space["random_augmentation"](rng_key, sample[None], mask[None])[0] for sample in positions]
        motions.append([np.vstack([turn, shift]) for turn, shift in zip(drawn[1::3], drawn[2::3])])
        return jnp.stack(moved)

    return augment


def alphafold(folder, seed, config, mask=None, motions=None):
    """Returns the sample after each step of AlphaFold 3's sampler; moved where there is a list for the motions."""
    steps, samples = iter(range(-1, 1000)), []
    random = types.SimpleNamespace(split=lambda key, count=2: [key] * count, normal=lambda *_: draw(seed, next(steps)))
    space = {
        "jnp": jnp,
        "hk": loops(samples),
        "jax": types.SimpleNamespace(random=random),
        "SIGMA_DATA": 16.0,
        "random_augmentation": lambda rng_key, positions, mask: positions,
        "base_config": types.SimpleNamespace(BaseConfig=object),
        "feat_batch": types.SimpleNamespace(Batch=Any),
        "Callable": Callable,
    }
    folder = folder / "src" / "alphafold3" / "model"
    exec(source(folder / "network" / "diffusion_head.py", "noise_schedule", "SampleConfig", "sample"), space)
    if motions is not None:
        space["random_augmentation"] = augmentation(folder, seed, motions)
    settings = space["SampleConfig"]()
    for name, value in {**config, "num_samples": SHAPE[0]}.items():
        setattr(settings, name, value)

    def step(positions, sigma):
        return denoise(positions, np.asarray(sigma).reshape(-1, 1, 1))

    info = types.SimpleNamespace(atom_mask=np.ones(SHAPE[1:2]) if mask is None else mask)
    space["sample"](step, types.SimpleNamespace(predicted_structure_info=info), 0, settings)
    return np.stack(samples)


def main():
    """Writes the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--graphcast", type=Path, required=True, help="checkout of graphcast")
    parser.add_argument("--alphafold3", type=Path, required=True, help="checkout of alphafold3")
    options = parser.parse_args()
    arrays = {"gencast": json.dumps(GENCAST), "alphafold3": json.dumps(ALPHAFOLD)}
    for k, config in enumerate(GENCAST):
        arrays[f"gencast_{k}"] = gencast(options.graphcast, k, config)
    for k, config in enumerate(ALPHAFOLD):
        arrays[f"alphafold3_{k}"] = alphafold(options.alphafold3, k, config)
    motions = []
    arrays.update(moved=json.dumps(MOVED), mask=MASK)
    arrays["moved_samples"] = alphafold(options.alphafold3, len(ALPHAFOLD), MOVED, MASK, motions)
    arrays["motions"] = np.array(motions)
    temporary = PATH.with_suffix(".part.npz")
    np.savez_compressed(temporary, **arrays)
    temporary.replace(PATH)
    print(f"Written to {PATH}")


if __name__ == "__main__":
    main()
