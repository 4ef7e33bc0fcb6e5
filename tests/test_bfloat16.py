"""Samples of bfloat16 are taken everywhere: the arithmetic is float32, drop-in results are bfloat16 again."""

import mindspore as ms
import numpy as np
import pytest
from compat_examples import steps_of
from mindspore import Tensor, nn

import mindscience_diffuser as md
from mindscience_diffuser import compat
from mindscience_diffuser.schedulers.base.scheduler import schedulers_by_name

NAMES = [name for name in schedulers_by_name() if not name.startswith(("Pyramid", "RePaint"))]
OTHER_CALLS = ("ScoreSde", "KarrasVe", "RePaint", "CogVideoXDPM", "RFD4", "Piflow", "Helios")
DTYPES = (ms.bfloat16, ms.float32)


def tensors(dtype, count=3):
    """Values that bfloat16 holds, in `dtype`."""
    rng = np.random.default_rng(0)
    values = [Tensor(rng.standard_normal((2, 4, 4, 4)).astype(np.float32)) for _ in range(count)]
    return [value.astype(ms.bfloat16).astype(dtype) for value in values]


@pytest.mark.parametrize("name", NAMES)
def test_a_step_computes_in_single_precision(name):
    results = []
    for dtype in DTYPES:
        sample, output, noise = tensors(dtype)
        scheduler = schedulers_by_name()[name]()
        scheduler.set_timesteps(4)
        options = {"noise": noise} if scheduler.plan.stochastic else {}
        results.append(scheduler.step(output, sample, scheduler.timesteps[0].item(), **options))
        if hasattr(scheduler, "add_noise"):
            results[-1] = results[-1] + scheduler.add_noise(sample, noise, scheduler.timesteps[0].item())
    assert {result.dtype for result in results} == {ms.float32}
    np.testing.assert_array_equal(results[0].asnumpy(), results[1].asnumpy())


@pytest.mark.parametrize("name", [name for name in compat.CLASSES if not name.startswith(OTHER_CALLS)])
def test_drop_in_results_are_those_of_single_precision_rounded(name):
    results = []
    for dtype in DTYPES:
        sample, output, noise = tensors(dtype)
        scheduler = getattr(compat, name)()
        scheduler.set_timesteps(steps_of(name, 4))
        t = scheduler.timesteps[len(scheduler.native.timesteps) - 1]  # No noise is drawn there.
        if "add_noise" in scheduler.facts["methods"]:
            sample = scheduler.add_noise(sample, noise, t.reshape(1))
        assert sample.dtype == dtype
        np.random.seed(0)  # For those that draw at every step.
        results.append(scheduler.step(output, t, sample.astype(ms.bfloat16).astype(dtype), return_dict=False)[0])
    assert results[0].dtype == ms.bfloat16
    single = results[1].astype(ms.bfloat16).astype(ms.float32).asnumpy()
    np.testing.assert_allclose(results[0].astype(ms.float32).asnumpy(), single, rtol=1e-2, atol=1e-2)


class Half(nn.Cell):
    def construct(self, x, timestep):
        return (x * 0.5).astype(ms.bfloat16)


@pytest.mark.parametrize("method", ["loop", "unrolled", "step"])
def test_a_sampler_takes_noise_and_outputs_of_bfloat16(method):
    scheduler = md.DDIMScheduler()
    scheduler.set_timesteps(4)
    results = [md.Sampler(Half(), scheduler, method)(*tensors(dtype, 1)) for dtype in DTYPES]
    assert results[0].dtype == ms.float32
    np.testing.assert_array_equal(results[0].asnumpy(), results[1].asnumpy())
