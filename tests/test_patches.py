"""Patches: a pointwise model on patches is that on the whole, and every patch knows where it is."""

import mindspore as ms
import numpy as np
import pytest
from mindspore import Parameter, Tensor, nn, ops

from mindscience_diffuser import (
    ClassifierFreeGuidance,
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EDMHeunScheduler,
    Mask,
    PatchDiffusionTransformer,
    PatchedModel,
    PosteriorGuidance,
    Sampler,
    random_patches,
)
from mindscience_diffuser.export import export_mindir, load_mindir
from mindscience_diffuser.guidance.patches import patch_count, positions, starts
from mindscience_diffuser.readiness import ascend_problems

GRID, PATCH, OVERLAP = (21, 30), (8, 12), 3


class Pointwise(nn.Cell):
    """A denoiser of each point by itself, conditioned on a field and a vector."""

    def __init__(self):
        super().__init__()
        self.scale = Parameter(Tensor(0.3, ms.float32), name="scale")

    def construct(self, x, timestep, field, vector):
        told = ops.cos(ops.cast(timestep, x.dtype) * 0.01).reshape((-1, 1, 1, 1))
        conditions = ops.cast(field + vector.reshape((-1, 2, 1, 1)), x.dtype)
        return ops.cast(self.scale, x.dtype) * x * told + ops.tanh(x) + 0.2 * conditions


class Sums(nn.Cell):
    """Sees the whole patch: its sum, its position and its conditions."""

    def construct(self, x, timestep, both, position):
        field, vector = both
        total = x.sum((1, 2, 3), keepdims=True) + vector.reshape((-1, 1, 1, 1))
        return x * total + position * field + timestep.reshape((-1, 1, 1, 1))


def drawn(*shape, seed=0):
    return Tensor(np.random.default_rng(seed).standard_normal(shape), ms.float32)


def inputs(batch=2, grid=GRID):
    return drawn(batch, 2, *grid), drawn(batch, 1, *grid, seed=1), drawn(batch, 2, seed=2)


def patched(model, **arguments):
    return PatchedModel(model, PATCH, OVERLAP, **{"chunk": 4, "positions": False, **arguments})


def started(scheduler, steps=3):
    scheduler.set_timesteps(steps)
    return scheduler


def close(found, expected, error=1e-6):
    expected = expected.asnumpy()
    np.testing.assert_allclose(found.asnumpy(), expected, atol=error * max(np.abs(expected).max(), 1))


@pytest.mark.parametrize(
    ("scheduler", "method"),
    [(DDIMScheduler, "unrolled"), (DPMSolverMultistepScheduler, "step"), (EDMHeunScheduler, "loop")],
)
def test_pointwise_model_on_patches_is_that_on_the_whole(scheduler, method):
    x, *conditions = inputs()
    both = [Sampler(m, started(scheduler(), 2), method) for m in (patched(Pointwise()), Pointwise())]
    close(both[0](x, *conditions), both[1](x, *conditions))


@pytest.mark.parametrize("grid", [PATCH, (8, 25), (17, 12)])
def test_domains_of_any_size_from_that_of_a_patch_on(grid):
    x, *conditions = inputs(grid=grid)
    told = Tensor([1.0, 20.0], ms.float32)
    close(patched(Pointwise())(x, told, *conditions), Pointwise()(x, told, *conditions))


def mean_by_hand(x, told, field, vector):
    """What PatchedModel says of Sums, patch by patch in NumPy."""
    total, weights = np.zeros(x.shape), np.zeros(x.shape[2:])
    where = positions(GRID)
    for i in starts(GRID[0], PATCH[0], OVERLAP):
        for j in starts(GRID[1], PATCH[1], OVERLAP):
            cut = (..., slice(i, i + PATCH[0]), slice(j, j + PATCH[1]))
            distances = [np.minimum(np.arange(size), size - 1 - np.arange(size)) + 1.0 for size in PATCH]
            weight = np.outer(*distances) ** 2
            sums = x[cut].sum((1, 2, 3), keepdims=True) + vector[:, :, None, None]
            total[cut] += weight * (x[cut] * sums + where[cut] * field[cut] + told[:, None, None, None])
            weights[cut[1:]] += weight
    return total / weights


@pytest.mark.parametrize("chunk", [1, 5, 100])
def test_output_is_the_mean_over_patches_that_know_their_place(chunk):
    x, field, _ = inputs()
    vector, told = drawn(2, 1, seed=3), Tensor([1.0, 20.0], ms.float32)
    found = PatchedModel(Sums(), PATCH, OVERLAP, chunk)(x, told, (field, vector)).asnumpy()
    expected = mean_by_hand(*(value.asnumpy() for value in (x, told, field, vector)))
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize(("length", "patch", "overlap"), [(30, 12, 3), (30, 12, 11), (12, 12, 3), (13, 12, 0)])
def test_patches_overlap_enough_and_the_last_one_ends_with_the_domain(length, patch, overlap):
    first = np.array(starts(length, patch, overlap))
    assert first[0] == 0
    assert first[-1] == length - patch
    assert np.all(np.diff(first) >= 1)
    assert np.all(np.diff(first) <= patch - overlap)
    assert np.all(np.diff(first)[:-1] == patch - overlap)


def test_guidance_around_patches_is_that_around_the_whole():
    x, field, vector = inputs()
    y = drawn(2, 2, *GRID, seed=4)
    mask = np.zeros(GRID)
    mask[::3, ::4] = 1
    scheduler = started(EDMHeunScheduler(), 2)
    nothing = Tensor(np.zeros((1, 1, 1)), ms.float32), Tensor(np.zeros(2), ms.float32)

    def guided(model):
        free = ClassifierFreeGuidance(model, 3.0, nothing)
        return Sampler(PosteriorGuidance(free, scheduler, Mask(Tensor(mask, ms.float32)), 0.1), scheduler, "step")

    close(guided(patched(Pointwise()))(x, y, field, vector), guided(Pointwise())(x, y, field, vector), 1e-5)


class Gradient(nn.Cell):
    def __init__(self, model):
        super().__init__(auto_prefix=False)
        self.model, self.vjp = model, ops.GradOperation(sens_param=True)

    @ms.jit
    def construct(self, x, told, field, vector, weights):
        def output(u):
            return self.model(u, told, field, vector)

        return self.vjp(output)(x, weights)


def test_gradient_through_patches_is_that_through_the_whole():
    x, field, vector = inputs()
    given = x, Tensor([1.0, 20.0], ms.float32), field, vector, drawn(*x.shape, seed=5)
    through = patched(Pointwise(), chunk=6, differentiable=True)
    close(Gradient(through)(*given), Gradient(Pointwise())(*given))
    scheduler = started(DDIMScheduler())
    arguments = scheduler, Mask(Tensor(np.ones(GRID), ms.float32)), 0.1, "moment_matching"
    PosteriorGuidance(through, *arguments)
    with pytest.raises(ValueError, match="build it with differentiable=True, or use method='jacobian_free'"):
        PosteriorGuidance(patched(Pointwise()), *arguments)


def test_exported_patches_take_any_batch_and_are_ready_for_ascend(tmp_path):
    x, *conditions = inputs()
    sampler = Sampler(patched(Pointwise()), started(DDIMScheduler()))
    export_mindir(sampler, tmp_path / "patches.mindir", x, *conditions)
    assert ascend_problems(tmp_path / "patches.mindir") == []
    graph = load_mindir(tmp_path / "patches.mindir", plan=sampler.plan)
    x, *conditions = inputs(3)
    close(graph(x, *conditions), sampler(x, *conditions))


def test_half_precision_is_finite():
    x, *conditions = inputs()
    scheduler = started(EDMHeunScheduler(compute_dtype=ms.float16), 5)
    samples = Sampler(patched(Pointwise()), scheduler)(x.astype(ms.float16) * 80, *conditions)
    assert samples.dtype == ms.float16
    assert np.isfinite(samples.asnumpy()).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"patch": 8}, r"'patch' must be a sequence .* but is 8 of type int"),
        ({"patch": (8, 0)}, "'patch' must be at least 1, but is 0"),
        ({"patch": ()}, r"'patch' must have 1 to 3 numbers"),
        ({"overlap": 8}, r"'overlap' is 8, but must be below .* \(8, 12\): use at most 7"),
        ({"overlap": -1}, "'overlap' must be at least 0, but is -1"),
        ({"chunk": 0}, "'chunk' must be at least 1, but is 0"),
        ({"positions": 1}, "'positions' must be True or False"),
        ({"over_ranks": True}, r"'over_ranks' is True, but this process has joined no launch"),
        ({"model": "unet"}, "'model' must be an nn.Cell, but is str"),
        ({"model": PatchedModel(Pointwise(), PATCH, 3, 4)}, "'model' is PatchedModel, which corrects whole samples"),
    ],
)
def test_mistake_is_told_before_anything_is_compiled(arguments, message):
    with pytest.raises((TypeError, ValueError), match=message):
        PatchedModel(**{"model": Pointwise(), "patch": PATCH, "overlap": OVERLAP, "chunk": 4, **arguments})


def test_patch_that_the_model_cannot_take_is_told_before_anything_is_compiled():
    model = PatchDiffusionTransformer(1, 1, 4, 16, 1, 2, patch_height=4, patch_width=3)
    with pytest.raises(ValueError, match=r"multiples of \(4, 3\): use \(8, 9\) or \(12, 12\)"):
        PatchedModel(model, (10, 11), 2, 4)
    with pytest.raises(ValueError, match="takes grids with 2 axes"):
        PatchedModel(model, (12,), 2, 4)


def test_domain_smaller_than_the_patch_is_told_before_anything_is_compiled():
    x, *conditions = inputs(grid=(7, 30))
    model = patched(Pointwise())
    message = r"'patch' is \(8, 12\), which is larger than the domain, \(7, 30\): use at most \(7, 12\)"
    with pytest.raises(ValueError, match=message):
        Sampler(model, started(DDIMScheduler()))(x, *conditions)
    with pytest.raises(ValueError, match=message):
        model(x, Tensor([1.0, 2.0], ms.float32), *conditions)
    with pytest.raises(ValueError, match=message):
        random_patches(PATCH, np.random.default_rng(0), x.asnumpy())
    with pytest.raises(ValueError, match="samples have 1 axes after their channels"):
        model.check_inputs(np.zeros((2, 2, 30)), ())


class Reshaped(nn.Cell):
    """A model of patches whose output has their values in another shape."""

    def __init__(self, change):
        super().__init__()
        self.change = change

    def construct(self, x, timestep):
        return x.swapaxes(2, 3) if self.change == "transposed" else x.reshape((x.shape[0], -1))


@pytest.mark.parametrize("change", ["transposed", "flat"])
def test_output_of_another_shape_than_the_patches_is_refused(change):
    with pytest.raises(ValueError, match="The output of the model of patches has shape .*must have that of the patch"):
        patched(Reshaped(change))(drawn(2, 2, *GRID), Tensor([1, 1]))


def test_random_patches_are_cut_alike_and_know_their_place():
    whole = np.stack([positions(GRID)] * 200)
    vector = np.arange(200.0)[:, None]
    samples, twice, same, where = random_patches(PATCH, np.random.default_rng(0), whole, 2 * whole, vector)
    assert samples.shape == (200, 2, *PATCH)
    assert same is vector
    np.testing.assert_allclose(samples, where, atol=1e-6)
    np.testing.assert_array_equal(twice, 2 * samples)
    found = {tuple(corner) for corner in np.rint((where[:, :, 0, 0] + 1) * np.array(GRID) / 2 - 0.5).astype(int)}
    rows, columns = ({corner[axis] for corner in found} for axis in (0, 1))
    assert (rows, columns) == (set(range(GRID[0] - PATCH[0] + 1)), set(range(GRID[1] - PATCH[1] + 1)))


def test_number_of_patches():
    assert patch_count(GRID, PATCH, OVERLAP) == 4 * 3
