"""The memory of compiled graphs is given back when what compiled them is freed."""

import gc

import mindspore as ms
import numpy as np
import psutil
import pytest
from mindspore import Tensor, mint, nn

from mindscience_diffuser import DDIMScheduler, Sampler
from mindscience_diffuser.cells import WholeGraph

LAYERS = 4
SHAPE = (16, 64, 64, 64)  # 16 MiB, and a graph that is kept holds at least one Tensor of this size.


class Deep(nn.Cell):
    """A model whose graph holds the result of each of its layers to the end, as a UNet does."""

    def __init__(self):
        super().__init__(auto_prefix=False)
        self.scale = ms.Parameter(Tensor(0.5, ms.float32), name="scale")

    def construct(self, x, timestep, *conditions):
        for condition in conditions:
            x = x + condition
        kept = ()
        for _ in range(LAYERS):
            x = mint.tanh(self.scale * x)
            kept += (x,)
        for k in range(LAYERS):
            x = self.scale * x * kept[LAYERS - 1 - k]
        return x


def resident():
    gc.collect()
    return psutil.Process().memory_info().rss


def sample(model, x, method, conditions):
    scheduler = DDIMScheduler()
    scheduler.set_timesteps(2)
    return Sampler(model, scheduler, method)(x, *conditions).asnumpy()


def test_a_result_that_is_still_being_computed_outlives_its_sampler():
    x = Tensor(np.full((1, 4, 4, 4), 0.1, np.float32))
    model = Deep().set_train(False)
    first = sample(model, x, "step", (x,))
    for _ in range(8):
        np.testing.assert_array_equal(sample(model, x, "step", (x,)), first)


def gradient(model, x):
    def loss(x):
        return model(x, None).mean()

    derive = ms.value_and_grad(loss, None, model.trainable_params())

    def trained(*batch):
        return derive(*batch)[1]

    return WholeGraph().run(trained, x)[0].asnumpy()


@pytest.mark.parametrize(
    "make",
    [
        lambda model, x: sample(model, x, "unrolled", (x,)),
        lambda model, x: sample(model, x, "step", (x,)),
        gradient,
    ],
    ids=["unrolled", "step", "gradient"],
)
def test_memory_of_a_graph_is_given_back_with_its_sampler(make):
    model = Deep().set_train(False)
    x = Tensor(np.full(SHAPE, 0.1, np.float32))
    first = make(model, x)
    make(model, x)
    before = resident()
    for _ in range(3):
        np.testing.assert_array_equal(make(model, x), first)
    assert resident() - before < 2 * x.nbytes
