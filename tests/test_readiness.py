import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn, ops

from mindscience_diffuser import (
    ClassifierFreeGuidance,
    ConditionDiffusionTransformer,
    DDIMScheduler,
    DDPMScheduler,
    Sampler,
)
from mindscience_diffuser.export import export_mindir
from mindscience_diffuser.readiness import CONTROL, ascend_problems, documented_platforms, primitives

CASES = {
    "ddim_loop": (DDIMScheduler, {}, "loop", {}),
    "ddim_threshold_unrolled": (DDIMScheduler, {"thresholding": True, "sample_max_value": 2.0}, "unrolled", {}),
    "ddim_inpaint_loop": (DDIMScheduler, {}, "loop", {"eta": 0.5, "inpaint": True}),
    "ddpm_unrolled": (DDPMScheduler, {}, "unrolled", {}),
    "ddpm_noise_in_graph_loop": (DDPMScheduler, {}, "loop", {"noise_in_graph": True}),
}


def export_sampler(name, dtype, path):
    scheduler_class, arguments, method, options = CASES[name]
    scheduler = scheduler_class(compute_dtype=dtype, **arguments)
    scheduler.set_timesteps(2)
    model = ConditionDiffusionTransformer(4, 4, 10, 16, 1, 2, compute_dtype=dtype)
    guided = ClassifierFreeGuidance(model, 2.0, ops.zeros((1, 10)), guidance_rescale=0.5, interval=(10, 900))
    sampler = Sampler(guided, scheduler, method, **options)
    sample = ops.zeros((2, 16, 4), dtype)
    inputs = [sample]
    if sampler.draws:
        inputs += [ops.zeros((2,), ms.int32), ops.zeros((2,), ms.int32)]
    elif sampler.stochastic:
        inputs.append(ops.zeros((2, 2, 16, 4), dtype))
    if sampler.inpaint:
        inputs += [sample] * 3
    return export_mindir(sampler, path, *inputs, ops.zeros((2, 10)))


@pytest.mark.parametrize("dtype", [ms.float32, ms.float16])
@pytest.mark.parametrize("name", CASES)
def test_exported_samplers_hold_only_what_ascend_documents(name, dtype, tmp_path):
    path = export_sampler(name, dtype, tmp_path / "sampler.mindir")
    assert ascend_problems(path) == []
    assert {"LayerNorm", "Softmax", "Mul"} <= set(primitives(path))


def test_an_exported_step_with_learned_variance_holds_only_what_ascend_documents(tmp_path):
    scheduler = DDPMScheduler(variance_type="learned_range")
    scheduler.set_timesteps(5)
    x = ops.zeros((2, 3, 4))
    path = export_mindir(scheduler, tmp_path / "step.mindir", x, x, Tensor([3, 5], ms.int32), x, x)
    assert ascend_problems(path) == []
    assert "Exp" in primitives(path)


class Doubtful(nn.Cell):
    """Holds what the check is there to find: float64, and a primitive without documentation for Ascend."""

    def __init__(self):
        super().__init__()
        self.table = ms.Parameter(Tensor(np.ones(3), ms.float64), name="table", requires_grad=False)

    def construct(self, x):
        return x + (self.table * 2).sum().astype(x.dtype) + ops.cholesky(x @ x.T)


def test_the_check_finds_what_does_not_belong(tmp_path):
    path = export_mindir(Doubtful(), tmp_path / "doubtful.mindir", ops.ones((3, 3)), dynamic_batch=False)
    problems = " ".join(ascend_problems(path))
    assert "float64" in problems
    assert "Cholesky" in problems


def test_fused_host_scalars_are_found(tmp_path):
    scheduler = DDIMScheduler()
    scheduler.set_timesteps(5)
    x = ops.zeros((2, 3, 4))
    timestep = Tensor(200, ms.int32)
    path = export_mindir(scheduler, tmp_path / "step.mindir", x, x, timestep, portable=False)
    assert any("TensorToScalar" in problem for problem in ascend_problems(path))


def test_documentation_is_really_read():
    assert "Ascend" in documented_platforms("Mul")
    assert documented_platforms("NoSuchPrimitive") == ""
    assert not any(documented_platforms(name) == "CPU" for name in CONTROL)
