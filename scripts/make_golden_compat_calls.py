"""Make tests/golden/compat_calls.npz: what diffusers' schedulers return to calls that are no plain trajectory.

    python scripts/make_golden_compat_calls.py

needs diffusers 0.42.1, torch and this package. The calls are those of tests/compat_writes.py, compat_methods.py and
published.py. Noise is not stored: it is drawn again from its seed.
"""

import json
import sys
import warnings

import diffusers
import numpy as np
import torch
from list_diffusers_api import find
from make_golden_sigma import DIFFUSERS_VERSION, ROOT

sys.path.insert(0, str(ROOT / "tests"))
import compat_methods
import compat_writes
import published

PATH = ROOT / "tests" / "golden" / "compat_calls.npz"


def noise_of(rng, dtype):
    """Returns a function in the place of diffusers' randn_tensor."""
    return lambda shape, **_: torch.tensor(rng.standard_normal(tuple(shape)), dtype=dtype)


def prepared(name):
    """Returns diffusers' class of a name and what makes its tensors; noise is drawn from the seed of the tests."""
    kind = find(name)
    # UniPC mixes float32 into its equations, whatever the samples are.
    dtype = torch.float32 if name.startswith("UniPC") else torch.float64
    torch.set_default_dtype(dtype)
    sys.modules[kind.__module__].randn_tensor = noise_of(np.random.default_rng(compat_writes.NOISE_SEED), dtype)
    return kind, lambda array: torch.tensor(array).to(dtype)


def main():
    """Writes the file."""
    if diffusers.__version__ != DIFFUSERS_VERSION:
        raise SystemExit(f"diffusers {diffusers.__version__} is installed; {DIFFUSERS_VERSION} is needed")
    diffusers.utils.logging.set_verbosity_error()
    warnings.simplefilter("ignore")
    scenarios, samples = compat_writes.scenarios(), []
    for scenario in scenarios:
        kind, tensor = prepared(scenario["scheduler"])
        sample = compat_writes.run(kind(**scenario["init"]), scenario, tensor)
        if not torch.isfinite(sample).all():
            raise SystemExit(f"not finite in diffusers: {scenario}")
        samples.append(sample.numpy().astype(np.float32))
    cases, results = compat_methods.cases(), []
    for case in cases:
        kind, tensor = prepared(case["scheduler"])
        results.append(compat_methods.flat(compat_methods.call(kind(**case["init"]), case, tensor)))
    runs = []
    for model in published.MODELS:
        kind, tensor = prepared(model["scheduler"])
        runs.append(compat_methods.flat(published.run(kind, model, tensor)))
    np.savez_compressed(
        PATH,
        index=np.array(json.dumps(scenarios)),
        samples=np.stack(samples),
        methods=np.array(json.dumps(cases)),
        results=np.concatenate(results),
        lengths=np.array([len(result) for result in results]),
        models=np.concatenate(runs),
        model_lengths=np.array([len(values) for values in runs]),
    )
    size = PATH.stat().st_size / 1024
    print(f"{len(scenarios)} writes, {len(cases)} calls, {PATH.relative_to(ROOT)}: {size:.0f} KiB")


if __name__ == "__main__":
    main()
