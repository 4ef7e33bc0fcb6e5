"""Published configurations, with the calls of their pipelines, give the timesteps, sigmas and samples of diffusers.

The golden values are made by ``scripts/make_golden_compat_calls.py``, which runs diffusers.
"""

from pathlib import Path

import numpy as np
import pytest
from compat_methods import flat
from compat_writes import NOISE_SEED
from mindspore import Tensor
from published import MODELS, run

from mindscience_diffuser import compat, set_noise_function

GOLDEN = np.load(Path(__file__).parent / "golden" / "compat_calls.npz")
ENDS = np.cumsum(GOLDEN["model_lengths"])


@pytest.mark.parametrize("index", range(len(MODELS)), ids=[model["model"] for model in MODELS])
@pytest.mark.filterwarnings("ignore")
def test_a_published_scheduler_does_what_it_does_in_diffusers(index):
    model, rng = MODELS[index], np.random.default_rng(NOISE_SEED)
    previous = set_noise_function(lambda shape, generator: rng.standard_normal(shape))
    try:
        results = run(getattr(compat, model["scheduler"]), model, lambda array: Tensor(np.float32(array)))
    finally:
        set_noise_function(previous)
    golden = GOLDEN["models"][ENDS[index] - GOLDEN["model_lengths"][index] : ENDS[index]]
    # The float32 of diffusers loses 1 - alpha_bar at the first timesteps of a cosine schedule.
    tolerance = 1e-3 if model["scheduler"] == "UnCLIPScheduler" else 1e-4
    assert sum(result.size for result in results) == len(golden)
    for result in results:
        expected, golden = golden[: result.size], golden[result.size :]
        assert np.abs(flat([result]) - expected).max() < tolerance * np.abs(expected).max()
