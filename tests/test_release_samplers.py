"""The samplers of single releases in half precision, and a policy around a model in an exported graph."""

import mindspore as ms
import numpy as np
import pytest
import releases
from mindspore import Tensor, nn, ops

import mindscience_diffuser
from mindscience_diffuser import GridPolicy, PiflowScheduler, Sampler
from mindscience_diffuser.export import export_mindir, load_mindir


@pytest.mark.every_case
@pytest.mark.parametrize("name", releases.CASES)
def test_float16_stays_finite_and_near(name):
    ends = []
    for dtype in (ms.float32, ms.float16):
        scheduler = getattr(mindscience_diffuser, name)(compute_dtype=dtype)
        scheduler.set_timesteps(6)
        x = Tensor(np.random.default_rng(0).standard_normal((2, 3, 4)), dtype)
        for t in scheduler.timesteps:
            fresh = {"generator": 1} if scheduler.stochastic else {}
            x = scheduler.step(ops.tanh(x), x, t, **fresh)
        assert x.dtype == dtype
        ends.append(x.asnumpy().astype(np.float64))
    assert np.isfinite(ends).all()
    assert np.linalg.norm(ends[1] - ends[0]) < 0.01 * np.linalg.norm(ends[0])


class Grid(nn.Cell):
    def construct(self, x, timestep):
        return ops.cat([ops.tanh(x) * (1 + 0.1 * k) for k in range(3)], axis=-1)


def test_a_policy_is_exported_for_any_number_of_samples(tmp_path):
    scheduler = PiflowScheduler(n_grid=3)
    scheduler.set_timesteps(2)
    sampler = Sampler(GridPolicy(Grid()), scheduler)
    x = Tensor(np.random.default_rng(0).standard_normal((3, 2, 4)), ms.float32)
    graph = load_mindir(export_mindir(sampler, tmp_path / "piflow.mindir", x[:1]))
    np.testing.assert_allclose(graph(x).asnumpy(), sampler(x).asnumpy(), atol=2e-6)
