"""Every method of the list, called as diffusers' own code calls it, returns what it returns in diffusers.

The golden results are made by ``scripts/make_golden_compat_calls.py``, which runs diffusers.
"""

import json
from pathlib import Path

import numpy as np
import pytest
from compat_methods import call, cases, flat
from compat_writes import NOISE_SEED
from mindspore import Tensor

from mindscience_diffuser import compat, set_noise_function

GOLDEN = np.load(Path(__file__).parent / "golden" / "compat_calls.npz")
CALLS = json.loads(str(GOLDEN["methods"]))
ENDS = np.cumsum(GOLDEN["lengths"])
NAMES = sorted({case["scheduler"] for case in CALLS})


def tensor(array):
    return Tensor(array.astype(np.float32))


def noise_of(rng):
    return lambda shape, generator: rng.standard_normal(shape)


def test_the_golden_file_has_every_method_of_the_list():
    assert cases() == CALLS


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.filterwarnings("ignore")
def test_methods_return_what_they_return_in_diffusers(name):
    results = GOLDEN["results"]
    for case, end, length in zip(CALLS, ENDS, GOLDEN["lengths"]):
        if case["scheduler"] != name:
            continue
        previous = set_noise_function(noise_of(np.random.default_rng(NOISE_SEED)))
        try:
            result = flat(call(getattr(compat, name)(**case["init"]), case, tensor))
        finally:
            set_noise_function(previous)
        golden = results[end - length : end]
        assert result.shape == golden.shape, case
        assert length == 0 or np.abs(result - golden).max() <= 1e-4 * np.abs(golden).max() + 1e-9, case
