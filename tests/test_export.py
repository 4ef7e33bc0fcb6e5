import copy
import pickle
import tempfile

import mindspore as ms
import numpy as np
import pytest
from mindspore import Tensor, nn

from mindscience_diffuser import ClassifierFreeGuidance, DDIMScheduler, DDPMScheduler, Sampler
from mindscience_diffuser.export import export_mindir, load_mindir, read_graph


class Denoiser(nn.Cell):
    def __init__(self):
        super().__init__()
        self.shift = nn.Dense(3, 5)

    def construct(self, x, timestep, condition):
        time = timestep.astype(x.dtype).reshape((-1, 1, 1)) / 1000
        return 0.3 * x + 0.1 * time + self.shift(condition).astype(x.dtype)[:, None, :]


def tensor(rng, *shape):
    return Tensor(rng.standard_normal(shape).astype(np.float32))


def sampler(scheduler_class, dtype=ms.float32, guided=False, method="loop", **options):
    ms.set_seed(0)  # The same weights, whatever was drawn before.
    scheduler = scheduler_class(compute_dtype=dtype)
    scheduler.set_timesteps(6)
    model = Denoiser()
    if guided:
        model = ClassifierFreeGuidance(model, 2.0, ms.ops.zeros((1, 3)))
    return Sampler(model, scheduler, method, **options)


CASES = {
    "ddim": (DDIMScheduler, {}),
    "ddim_eta": (DDIMScheduler, {"eta": 0.7}),
    "ddpm": (DDPMScheduler, {}),
    "ddim_guided": (DDIMScheduler, {"guided": True}),
    "ddpm_guided_unrolled": (DDPMScheduler, {"guided": True, "method": "unrolled"}),
    "ddim_half": (DDIMScheduler, {"dtype": ms.float16}),
    "ddpm_half_guided": (DDPMScheduler, {"dtype": ms.float16, "guided": True}),
}


@pytest.mark.parametrize("name", CASES)
def test_reloaded_sampler_equals_the_one_in_process_at_any_batch(name, tmp_path):
    rng = np.random.default_rng(0)
    scheduler_class, options = CASES[name]
    original = sampler(scheduler_class, **options)
    drawn = (tensor(rng, 6, 2, 4, 5),) if original.stochastic else ()
    path = export_mindir(original, tmp_path / "sampler.mindir", tensor(rng, 2, 4, 5), *drawn, tensor(rng, 2, 3))
    reloaded = load_mindir(path, plan=original.plan)
    for batch in (1, 7):
        noise, condition = tensor(rng, batch, 4, 5), tensor(rng, batch, 3)
        fresh = {"step_noise": tensor(rng, 6, batch, 4, 5)} if original.stochastic else {}
        expected = original(noise, condition, **fresh).asnumpy().astype(np.float64)
        result = reloaded(noise=noise, condition_0=condition, **fresh).asnumpy()
        assert np.abs(result - expected).max() <= 1e-6 * max(1, np.abs(expected).max())
    assert [file.name for file in tmp_path.iterdir()] == ["sampler.mindir"]


@pytest.mark.parametrize("scheduler_class", [DDIMScheduler, DDPMScheduler])
def test_reloaded_scheduler_step_equals_step(scheduler_class, tmp_path):
    rng = np.random.default_rng(1)
    scheduler = scheduler_class()
    scheduler.set_timesteps(10)
    timesteps = Tensor([900, 100], ms.int32)
    noise = {"noise": tensor(rng, 2, 3, 4)} if scheduler_class is DDPMScheduler else {}
    output, sample = tensor(rng, 2, 3, 4), tensor(rng, 2, 3, 4)
    path = export_mindir(scheduler, tmp_path / "step.mindir", output, sample, timesteps, *noise.values())
    result = load_mindir(path)(output, sample, timestep=timesteps, **noise)
    np.testing.assert_allclose(
        result.asnumpy(), scheduler.step(output, sample, timesteps, **noise).asnumpy(), atol=1e-6
    )


def test_bad_targets_are_refused_before_anything_is_compiled(tmp_path):
    original = sampler(DDIMScheduler)
    inputs = (ms.ops.zeros((2, 4, 5)), ms.ops.zeros((2, 3)))
    with pytest.raises(FileNotFoundError, match="does not exist"):
        export_mindir(original, tmp_path / "missing" / "a.mindir", *inputs)
    with pytest.raises(ValueError, match="must end in"):
        export_mindir(original, tmp_path / "a.onnx", *inputs)
    (tmp_path / "a.mindir").write_text("precious")
    with pytest.raises(FileExistsError, match="overwrite=True"):
        export_mindir(original, tmp_path / "a.mindir", *inputs)
    assert (tmp_path / "a.mindir").read_text() == "precious"
    with pytest.raises(ValueError, match="no single graph"):
        export_mindir(sampler(DDIMScheduler, method="step"), tmp_path / "b.mindir", *inputs)
    with pytest.raises(TypeError, match=r"example_inputs\[1\]"):
        export_mindir(original, tmp_path / "b.mindir", inputs[0], 3)


WRONG_ARGUMENTS = {
    "path of int": ({"path": 3}, "'path' must be a path, a str or Path, but is 3 of type int"),
    "path of bytes": ({"path": b"a.mindir"}, "'path' must be a path, a str or Path, but is b'a.mindir'"),
    **{
        name: ({name: "no"}, f"'{name}' must be True or False, but is 'no' of type str")
        for name in ("dynamic_batch", "overwrite", "portable")
    },
    "one name": ({"input_names": "xy"}, "'input_names' must be a list of str, but is 'xy'"),
    "names of int": ({"input_names": [1, 2]}, r"'input_names' must be a list of str, but is \[1, 2\]"),
    "a list": ({"inputs": [[ms.ops.zeros((2, 4, 5)), ms.ops.zeros((2, 3))]]}, r"'example_inputs\[0\]'.* is list"),
    "an array": ({"inputs": [np.zeros((2, 4, 5))]}, r"'example_inputs\[0\]' must be a Tensor.* is numpy.ndarray"),
    "a tuple": ({"inputs": [(ms.ops.zeros(2), 3)]}, r"'example_inputs\[0\]' must be a Tensor.* is int"),
}


@pytest.mark.parametrize("changed, message", WRONG_ARGUMENTS.values(), ids=WRONG_ARGUMENTS)
def test_arguments_of_another_type_are_refused_before_anything_is_compiled(changed, message, tmp_path, monkeypatch):
    def refuse(*arguments, **options):
        raise AssertionError("a graph is compiled")

    monkeypatch.setattr(ms, "export", refuse)
    options = {"path": tmp_path / "a.mindir", "inputs": [ms.ops.zeros((2, 4, 5)), ms.ops.zeros((2, 3))], **changed}
    with pytest.raises(TypeError, match=message):
        export_mindir(sampler(DDIMScheduler), options.pop("path"), *options.pop("inputs"), **options)
    assert not list(tmp_path.iterdir())


def test_a_reloaded_file_can_be_copied_and_pickled_after_a_call(tmp_path):
    path = export_mindir(sampler(DDIMScheduler), tmp_path / "a.mindir", ms.ops.zeros((2, 4, 5)), ms.ops.zeros((2, 3)))
    reloaded, inputs = load_mindir(path), (ms.ops.ones((2, 4, 5)), ms.ops.ones((2, 3)))
    expected = reloaded(*inputs).asnumpy()
    for again in (copy.copy(reloaded), copy.deepcopy(reloaded), pickle.loads(pickle.dumps(reloaded))):
        assert (again.path, again.input_names, again.plan) == (reloaded.path, reloaded.input_names, reloaded.plan)
        np.testing.assert_array_equal(again(*inputs).asnumpy(), expected)


def test_a_file_with_another_plan_is_refused(tmp_path):
    original = sampler(DDIMScheduler)
    path = export_mindir(original, tmp_path / "a.mindir", ms.ops.zeros((2, 4, 5)), ms.ops.zeros((2, 3)))
    original.scheduler.set_timesteps(7)
    with pytest.raises(ValueError, match="another plan"):
        load_mindir(path, plan=original.plan)
    with pytest.raises(TypeError, match="'plan' must be a StepPlan, such as sampler.plan, but is int"):
        load_mindir(path, plan=3)
    with pytest.raises(TypeError, match="'path' must be a path"):
        load_mindir(3)
    reloaded = load_mindir(path)
    with pytest.raises(TypeError, match="noise, condition_0"):
        reloaded(noise=ms.ops.zeros((2, 4, 5)))


def test_paths_with_spaces_and_chinese_characters(tmp_path, monkeypatch):
    folder = tmp_path / "two words, 两个词"
    folder.mkdir()
    x = ms.ops.ones((2, 3))
    path = export_mindir(nn.ReLU(), folder / "图 (1).mindir", x)
    assert (load_mindir(path)(x).asnumpy() == 1).all()
    assert [file.name for file in folder.iterdir()] == ["图 (1).mindir"]
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    with pytest.raises(ValueError, match="two words.*TMPDIR"):
        export_mindir(nn.ReLU(), folder / "b.mindir", x)
    assert not (folder / "b.mindir").exists()


def test_files_that_are_not_ours_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError):
        load_mindir(tmp_path / "none.mindir")
    (tmp_path / "text.mindir").write_text("no protobuf at all")
    with pytest.raises(ValueError, match="not a MINDIR file|not written by"):
        load_mindir(tmp_path / "text.mindir")


def test_portable_export_has_no_host_scalars(tmp_path):
    """TensorToScalar would make an NPU wait for the host at every step."""
    original = sampler(DDIMScheduler, method="unrolled")
    inputs = (ms.ops.zeros((2, 4, 5)), ms.ops.zeros((2, 3)))

    def primitives(path):
        model = read_graph(path)
        return {node.op_type.split("::")[-1].split(":")[0] for g in (model.graph, *model.functions) for node in g.node}

    portable = primitives(export_mindir(original, tmp_path / "portable.mindir", *inputs))
    assert "TensorToScalar" not in portable
    fused = primitives(export_mindir(original, tmp_path / "fused.mindir", *inputs, portable=False))
    assert "TensorToScalar" in fused


class OfTwo(nn.Cell):
    """A model whose one condition is a pair of Tensors."""

    def construct(self, x, timestep, pair):
        return 0.3 * x + pair[0][:, None, :] * pair[1][:, :, None]


def test_a_condition_that_is_a_tuple_becomes_inputs_of_their_own(tmp_path):
    rng = np.random.default_rng(2)
    scheduler = DDIMScheduler()
    scheduler.set_timesteps(3)
    original = Sampler(OfTwo(), scheduler)
    path = export_mindir(original, tmp_path / "a.mindir", tensor(rng, 2, 4, 5), (tensor(rng, 2, 5), tensor(rng, 2, 4)))
    reloaded = load_mindir(path)
    assert reloaded.input_names == ("noise", "condition_0_0", "condition_0_1")
    noise, pair = tensor(rng, 3, 4, 5), (tensor(rng, 3, 5), tensor(rng, 3, 4))
    expected = original(noise, pair).asnumpy()
    np.testing.assert_allclose(reloaded(noise, *pair).asnumpy(), expected, atol=1e-6)
    np.testing.assert_allclose(reloaded(noise, pair).asnumpy(), expected, atol=1e-6)
    np.testing.assert_allclose(reloaded(noise=noise, condition_0=pair).asnumpy(), expected, atol=1e-6)


class ForTwo(nn.Cell):
    """A model that knows the batch size."""

    def __init__(self):
        super().__init__()
        self.weight = ms.Parameter(np.ones((2, 4, 5), np.float32))

    def construct(self, x, timestep):
        return x * self.weight


class OneByOne(nn.Cell):
    """A model whose graph has a part for each sample."""

    def construct(self, x, timestep):
        return ms.ops.stack([x[i] * 0.5 for i in range(x.shape[0])])


@pytest.mark.parametrize("model", [ForTwo, OneByOne])
def test_a_model_of_one_batch_size_is_exported_with_fixed_shapes_only(model, tmp_path):
    scheduler = DDIMScheduler()
    scheduler.set_timesteps(2)
    original, noise = Sampler(model(), scheduler), tensor(np.random.default_rng(3), 2, 4, 5)
    with pytest.raises(ValueError, match="pass dynamic_batch=False"):
        export_mindir(original, tmp_path / "a.mindir", noise)
    assert not [file for file in tmp_path.iterdir() if file.suffix == ".mindir"]
    path = export_mindir(original, tmp_path / "a.mindir", noise, dynamic_batch=False)
    np.testing.assert_allclose(load_mindir(path)(noise).asnumpy(), original(noise).asnumpy(), atol=1e-6)


@pytest.mark.parametrize(
    "names", [["noise"], ["noise", "condition", "more"], ["noise", "noise"], ["noise", "noise", "condition"], []]
)
def test_wrong_input_names_are_refused(names, tmp_path):
    inputs = (ms.ops.zeros((2, 4, 5)), ms.ops.zeros((2, 3)))
    with pytest.raises(ValueError, match="'input_names' must hold 2 different names"):
        export_mindir(sampler(DDIMScheduler), tmp_path / "a.mindir", *inputs, input_names=names)
    assert not list(tmp_path.iterdir())
