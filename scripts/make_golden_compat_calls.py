"""Make tests/golden/compat_calls.npz: what diffusers' schedulers return to calls that are no plain trajectory.

    python scripts/make_golden_compat_calls.py

needs diffusers 0.42.1, torch and this package. The scenarios are those of tests/compat_writes.py. Noise is not stored;
it is drawn again from its seed.
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
import compat_writes

PATH = ROOT / "tests" / "golden" / "compat_calls.npz"


def noise_of(rng, dtype):
    """Returns a function in the place of diffusers' randn_tensor."""
    return lambda shape, **_: torch.tensor(rng.standard_normal(tuple(shape)), dtype=dtype)


def main():
    """Writes the file."""
    if diffusers.__version__ != DIFFUSERS_VERSION:
        raise SystemExit(f"diffusers {diffusers.__version__} is installed; {DIFFUSERS_VERSION} is needed")
    diffusers.utils.logging.set_verbosity_error()
    warnings.simplefilter("ignore")
    index, samples = [], []
    for scenario in compat_writes.scenarios():
        kind = find(scenario["scheduler"])
        # UniPC mixes float32 into its equations, whatever the samples are.
        dtype = torch.float32 if scenario["scheduler"].startswith("UniPC") else torch.float64
        torch.set_default_dtype(dtype)
        sys.modules[kind.__module__].randn_tensor = noise_of(np.random.default_rng(compat_writes.NOISE_SEED), dtype)
        sample = compat_writes.run(
            kind(**scenario["init"]), scenario, lambda array: torch.tensor(array).to(torch.get_default_dtype())
        )
        if not torch.isfinite(sample).all():
            raise SystemExit(f"not finite in diffusers: {scenario}")
        index.append(scenario)
        samples.append(sample.numpy().astype(np.float32))
    np.savez_compressed(PATH, index=np.array(json.dumps(index)), samples=np.stack(samples))
    print(f"{len(index)} scenarios, {PATH.relative_to(ROOT)}: {PATH.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
