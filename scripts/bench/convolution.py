"""Time of a convolution on a grid by gathering and one matrix product, beside MindSpore's own; prints the ratio.

python scripts/bench/convolution.py
"""

import time

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn

from mindscience_diffuser.models.grid import GridConvolution

GRID, BATCH = (37, 49), 8
SECONDS = 1.0


def median_time(function, *inputs):
    """Returns the median time of a compiled function in seconds, after three calls."""
    compiled = ms.jit(function)
    for _ in range(3):
        compiled(*inputs).asnumpy()
    times, begin = [], time.perf_counter()
    while time.perf_counter() - begin < SECONDS or not times:
        start = time.perf_counter()
        compiled(*inputs).asnumpy()
        times.append(time.perf_counter() - start)
    return np.median(times)


class OnGrid(nn.Cell):
    """A convolution of points on the grid."""

    def __init__(self, channels):
        super().__init__()
        self.layer = GridConvolution(2, channels, channels)

    def construct(self, x):
        """Returns the convolution."""
        return self.layer(x, GRID)


def main():
    """Prints the table."""
    print("| channels | gathered, ms | nn.Conv2d, ms | ratio |\n| --- | --- | --- | --- |")
    for channels in (16, 64):
        convolution = nn.Conv2d(channels, channels, 3, pad_mode="same")
        values = np.random.default_rng(0).standard_normal((BATCH, channels, *GRID)).astype(np.float32)
        points = Tensor(values.reshape(BATCH, channels, -1).transpose(0, 2, 1).copy())
        ours = median_time(OnGrid(channels).construct, points)
        theirs = median_time(convolution.construct, Tensor(values))
        print(f"| {channels} | {ours * 1e3:.1f} | {theirs * 1e3:.1f} | {ours / theirs:.3f} |")


if __name__ == "__main__":
    main()
